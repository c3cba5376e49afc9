//! anyhop itself: the built binary as daemon and as client.

use std::path::PathBuf;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::net::Node;
use super::process::Process;
use super::wait::wait_for;

/// The built binary: `$ANYHOP_BIN`, or `anyhop` in the directory of the profile that the test itself was built for.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn anyhop_bin() -> PathBuf {
    let beside_the_test = || {
        let test = std::env::current_exe().ok()?;
        // target/PROFILE/deps/TEST
        Some(test.parent()?.parent()?.join("anyhop"))
    };
    let path = std::env::var_os("ANYHOP_BIN").map(PathBuf::from).or_else(beside_the_test);
    match path {
        Some(path) if path.is_file() => path,
        path => {
            panic!("no anyhop binary at {path:?}: run `cargo build` first (with the test's profile), or set ANYHOP_BIN")
        }
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Anyhop {
    node: Node,
    name: String,
    /// The daemon.
    pub process: Process,
}

impl Anyhop {
    /// Starts the daemon with `config` (everything but `[api]`) and waits until it answers.
    pub fn start(node: &Node, config: &str) -> Self {
        Self::start_named(node, "anyhop", config)
    }

    /// As [`Anyhop::start`], under a name of its own: several on one node.
    pub fn start_named(node: &Node, name: &str, config: &str) -> Self {
        let mut anyhop = Self::launch(node, name, config);
        wait_for("anyhop to answer", || {
            if !anyhop.process.is_running() {
                panic!("anyhop has ended:\n{}", anyhop.process.log());
            }
            let output = anyhop.client(&["show", "neighbors", "--json"]);
            if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
        });
        anyhop
    }

    /// Starts the daemon and does not wait.
    pub fn launch(node: &Node, name: &str, config: &str) -> Self {
        let path = write_config(node, name, config);
        let mut command = node.command(anyhop_bin());
        command.arg("run").arg("-c").arg(path).env("RUST_BACKTRACE", "1");
        Self { node: node.clone(), name: name.to_owned(), process: node.spawn(name, &mut command) }
    }

    /// Replaces the configuration file; takes effect with a reload.
    pub fn write_config(&self, config: &str) {
        write_config(&self.node, &self.name, config);
    }

    /// Replaces the configuration file and tells the daemon, which takes it up a moment later.
    pub fn reconfigure(&mut self, config: &str) {
        self.write_config(config);
        self.process.signal(Signal::SIGHUP);
    }

    /// Runs the client against this daemon.
    #[must_use]
    pub fn client(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(anyhop_bin());
        command.args(arguments).arg("--api").arg(format!("unix:{}", socket(&self.node, &self.name).display()));
        command.output().expect("the client runs")
    }

    /// Runs a client command that must succeed, with `--json`; what it said.
    ///
    /// # Panics
    /// If it fails or says no JSON.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let output = self.client(&[arguments, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "anyhop {arguments:?}: {}\n{said}{complained}", output.status);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("anyhop {arguments:?} says no JSON: {error}\n{said}"))
    }
}

fn socket(node: &Node, name: &str) -> PathBuf {
    node.path(&format!("{name}.sock"))
}

fn write_config(node: &Node, name: &str, config: &str) -> PathBuf {
    let api = format!("[api]\nlisten = [\"unix:{}\"]\n", socket(node, name).display());
    node.write(&format!("{name}.toml"), &format!("{config}\n{api}"))
}
