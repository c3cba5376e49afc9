//! Operators at work on a running daemon: services withdrawn, drained and taken back, refusals and their exit codes.
//!
//! Needs no privilege: no data plane, no binding, no neighbor.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhop_tests::lab::process::Process;
use anyhop_tests::lab::{anyhop_bin, eventually, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// A daemon in a directory of its own.
struct Daemon {
    process: Process,
    dir: TempDir,
}

impl Daemon {
    fn start(rest: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        write(dir.path(), rest);
        let mut command = Command::new(anyhop_bin());
        command.arg("run").arg("-c").arg(dir.path().join("anyhop.toml"));
        let process = Process::spawn("anyhop", &mut command, &dir.path().join("log"));
        let mut daemon = Self { process, dir };
        wait_for("anyhop to answer", || {
            assert!(daemon.process.is_running(), "anyhop has ended:\n{}", daemon.process.log());
            let output = daemon.client(&["show", "services"]);
            if output.status.success() { Ok(()) } else { Err(said(&output)) }
        });
        daemon
    }

    fn client(&self, arguments: &[&str]) -> Output {
        let api = format!("unix:{}", self.dir.path().join("api.sock").display());
        Command::new(anyhop_bin()).args(arguments).args(["--api", &api]).output().expect("the client runs")
    }

    /// The service's state by `show services --json`, wherever it stands in the answer.
    fn state(&self, name: &str) -> String {
        let output = self.client(&["show", "services", "--json"]);
        let value: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", said(&output)));
        let services = value.as_array().or_else(|| value["services"].as_array()).cloned().unwrap_or_default();
        let service = services.iter().find(|service| service["name"] == name);
        let state = service.and_then(|service| service["state"].as_str());
        state.unwrap_or_else(|| panic!("no state of {name} in {value}")).to_lowercase()
    }

    fn expect(&self, arguments: &[&str], code: i32) -> String {
        let output = self.client(arguments);
        assert_eq!(output.status.code(), Some(code), "anyhop {arguments:?}: {}", said(&output));
        said(&output)
    }
}

fn write(dir: &Path, rest: &str) {
    let api = dir.join("api.sock");
    let head = format!(
        "[node]\nasn = 64512\nrouter_id = \"10.0.0.11\"\n[api]\nlisten = [\"unix:{}\"]\n[fib]\nbackends = []\n",
        api.display()
    );
    std::fs::write(dir.join("anyhop.toml"), head + rest).expect("the file is written");
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn service(name: &str, vip: &str) -> String {
    format!("[[service]]\nname = \"{name}\"\nvips = [\"{vip}\"]\nrequire_local = false\n")
}

#[test]
fn a_service_is_withdrawn_announced_drained_and_taken_back() {
    let daemon = Daemon::start(&service("dns", "192.0.2.53/32"));
    let is = |state: &str| {
        eventually(state, &true, || daemon.state("dns").contains(state));
    };
    is("announced");
    daemon.expect(&["service", "withdraw", "dns", "--reason", "disk swap"], 0);
    is("held");
    let shown = daemon.expect(&["show", "services"], 0);
    assert!(shown.contains("disk swap"), "the table says why: {shown}");
    daemon.expect(&["service", "announce", "dns"], 0);
    is("announced");
    daemon.expect(&["service", "drain", "dns"], 0);
    is("drained");
    daemon.expect(&["service", "undrain", "dns"], 0);
    is("announced");
    let complaint = daemon.expect(&["service", "withdraw", "nds"], 1);
    assert!(complaint.contains("nds"), "{complaint}");
}

#[test]
fn a_withdrawal_over_the_budget_is_refused_with_exit_3_unless_forced() {
    let rest = "[safety]\nbudget = { withdrawals = 1, per = \"1h\" }\n".to_owned()
        + &service("a", "192.0.2.1/32")
        + &service("b", "192.0.2.2/32");
    let daemon = Daemon::start(&rest);
    for name in ["a", "b"] {
        eventually(name, &true, || daemon.state(name).contains("announced"));
    }
    daemon.expect(&["service", "withdraw", "a"], 0);
    let refusal = daemon.expect(&["service", "withdraw", "b"], 3);
    assert!(refusal.contains("safety.budget"), "it says which rule: {refusal}");
    assert!(daemon.state("b").contains("announced"));
    daemon.expect(&["service", "withdraw", "b", "--force", "--reason", "it burns"], 0);
    assert!(daemon.state("b").contains("held"));
}

#[test]
fn sighup_takes_over_services_and_a_broken_file_changes_nothing() {
    let mut daemon = Daemon::start(&service("dns", "192.0.2.53/32"));
    write(daemon.dir.path(), &(service("dns", "192.0.2.53/32") + &service("www", "192.0.2.80/32")));
    daemon.process.signal(Signal::SIGHUP);
    eventually("the new service", &true, || {
        let output = daemon.client(&["show", "services"]);
        said(&output).contains("www")
    });
    write(daemon.dir.path(), "[[service]]\nname = \"broken\n");
    daemon.process.signal(Signal::SIGHUP);
    std::thread::sleep(Duration::from_secs(1));
    assert!(daemon.process.is_running());
    assert!(daemon.state("www").contains("announced"));
    let log = daemon.process.log();
    assert!(log.contains("anyhop.toml"), "the log says what was wrong with which file:\n{log}");
}

#[test]
fn sigterm_ends_in_time_with_exit_0() {
    let mut daemon = Daemon::start(&service("dns", "192.0.2.53/32"));
    let mode = std::fs::metadata(daemon.dir.path().join("api.sock")).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o007, 0, "the socket is not open to everybody: {mode:o}");
    daemon.process.signal(Signal::SIGTERM);
    assert_eq!(daemon.process.wait(Duration::from_secs(10)).code(), Some(0), "{}", daemon.process.log());
    assert!(!daemon.dir.path().join("api.sock").exists());
}
