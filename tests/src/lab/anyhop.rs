//! anyhop itself, run as users run it: the binary, a configuration file, the command line.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::net::Host;
use super::process::Process;

/// The daemon's binary beside this test's own, or what `ANYHOP_BIN` names.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("ANYHOP_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the test's own path");
    let path = test.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps").join("anyhop");
    assert!(path.exists(), "{} is missing: build the workspace first (cargo build --workspace)", path.display());
    path
}

/// A running anyhop.
pub struct Anyhop {
    host: Host,
    process: Process,
}

impl Anyhop {
    /// Starts the daemon and waits until its API answers. `config` needs no `[api]`: one is put before it.
    #[must_use]
    pub fn start(host: &Host, config: &str) -> Self {
        let anyhop = Self::launch(host, config);
        anyhop.await_api();
        anyhop
    }

    /// Starts the daemon and does not wait.
    #[must_use]
    pub fn launch(host: &Host, config: &str) -> Self {
        Self::write_config(host, config);
        let mut command = host.command(binary());
        command.args(["run", "-c"]).arg(host.dir().join("anyhop.toml"));
        Self { host: host.clone(), process: host.spawn("anyhop", command) }
    }

    fn write_config(host: &Host, config: &str) {
        let api = format!("[api]\nlisten = [\"unix:{}\"]\n\n", host.dir().join("api.sock").display());
        host.write("anyhop.toml", &(api + config));
    }

    /// Waits until the API answers.
    pub fn await_api(&self) {
        super::eventually("anyhop's API answers", Duration::from_secs(20), || {
            let out = self.try_cli("status --json");
            out.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&out.stderr).into_owned())
        });
    }

    /// Replaces the configuration file and asks for a reload.
    pub fn reload(&self, config: &str) {
        Self::write_config(&self.host, config);
        self.process.signal(Signal::SIGHUP);
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Everything the daemon has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Runs a client command against this daemon.
    pub fn try_cli(&self, line: &str) -> Output {
        let mut command = self.host.command(binary());
        command.args(line.split_whitespace());
        command.arg("--api").arg(format!("unix:{}", self.host.dir().join("api.sock").display()));
        command.output().expect("the client runs")
    }

    /// Runs a client command that must succeed and returns what it prints.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn cli(&self, line: &str) -> String {
        let out = self.try_cli(line);
        assert!(out.status.success(), "anyhop {line}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Runs a client command with `--json` and parses what it prints.
    #[must_use]
    pub fn json(&self, line: &str) -> Value {
        let text = self.cli(&format!("{line} --json"));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("anyhop {line} --json: {e}: {text}"))
    }
}
