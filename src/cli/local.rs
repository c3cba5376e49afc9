//! The commands that are not a client's: the daemon, the check of a configuration, the demo.

use std::path::Path;
use std::process::ExitCode;

use super::output;

/// The configuration cannot be used.
const INVALID: u8 = 2;

/// `anyhop check FILE`.
pub(super) fn check(file: &Path) -> ExitCode {
    match crate::config::check(file) {
        Ok(_) => match output::line(&format!("{}: valid", file.display())) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        },
        Err(errors) => {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "{errors}");
            ExitCode::from(INVALID)
        }
    }
}

/// `anyhop run [-c FILE]`.
pub(super) fn run(config: &Path) -> ExitCode {
    crate::daemon::run(config)
}

/// `anyhop demo [--hold]`.
pub(super) fn demo(hold: bool) -> ExitCode {
    crate::demo::run(hold)
}
