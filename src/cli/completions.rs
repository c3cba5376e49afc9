//! `anyhop completions SHELL`: a completion script on stdout.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::client::Failure;
use super::{Cli, output};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

pub(super) fn run(wish: &Completions) -> Result<ExitCode, Failure> {
    output::print(&script(wish.shell))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn script(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "anyhop", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
