//! Namespaces, links and addresses.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::process::Process;

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A set of hosts that vanishes when dropped.
pub struct Lab {
    prefix: String,
    dir: TempDir,
    names: std::cell::RefCell<Vec<String>>,
}

/// One host: a network namespace.
#[derive(Clone, Debug)]
pub struct Host {
    /// The namespace's name.
    pub namespace: String,
    dir: PathBuf,
}

impl Lab {
    /// An empty lab; `None`, with the reason printed, where namespaces cannot be made.
    #[must_use]
    pub fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root (network namespaces)");
            return None;
        }
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("anyhop-{}-{serial}", std::process::id());
        let dir = tempfile::Builder::new().prefix("anyhop-lab-").tempdir().expect("a temporary directory");
        // Daemons that give up root must be able to walk through.
        run(Command::new("chmod").arg("755").arg(dir.path()));
        Some(Self { prefix, dir, names: Vec::new().into() })
    }

    /// A new host with its loopback up.
    #[must_use]
    pub fn host(&self, name: &str) -> Host {
        let namespace = format!("{}-{name}", self.prefix);
        ip(&["netns", "add", &namespace]);
        self.names.borrow_mut().push(namespace.clone());
        let dir = self.dir.path().join(name);
        std::fs::create_dir(&dir).expect("a host's directory");
        let host = Host { namespace, dir };
        host.ip(&["link", "set", "lo", "up"]);
        host
    }

    /// Joins two hosts by a veth pair; each end is (host, interface name, addresses with length).
    pub fn link(&self, a: (&Host, &str, &[&str]), b: (&Host, &str, &[&str])) {
        let (host_a, dev_a, _) = a;
        let (host_b, dev_b, _) = b;
        host_a.ip(&["link", "add", dev_a, "type", "veth", "peer", "name", dev_b, "netns", &host_b.namespace]);
        for (host, dev, addresses) in [a, b] {
            for address in addresses {
                let mut words = vec!["addr", "add", address, "dev", dev];
                if address.contains(':') {
                    words.push("nodad");
                }
                host.ip(&words);
            }
            host.ip(&["link", "set", dev, "up"]);
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in self.names.borrow().iter() {
            let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
        }
    }
}

impl Host {
    /// The host's own directory, removed with the lab.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A command that will run on this host.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program).stdin(Stdio::null());
        command
    }

    /// Runs a shell-like line of words on this host and returns its standard output.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, line: &str) -> String {
        let out = self.try_run(line);
        assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Runs a line of words on this host.
    pub fn try_run(&self, line: &str) -> Output {
        let mut words = line.split_whitespace();
        let program = words.next().expect("a program");
        self.command(program).args(words).output().unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    /// `ip -n HOST …`.
    pub fn ip(&self, words: &[&str]) {
        let mut all = vec!["-n", &self.namespace];
        all.extend_from_slice(words);
        ip(&all);
    }

    /// One sysctl of this host, as `net/ipv4/ip_forward`.
    pub fn sysctl(&self, key: &str, value: &str) {
        self.run(&format!("sysctl -qw {key}={value}"));
    }

    /// Starts a program that is killed when the returned value is dropped; its output goes to `NAME.log` in [`Self::dir`].
    #[must_use]
    pub fn spawn(&self, name: &str, command: Command) -> Process {
        Process::start(name, &self.dir, command)
    }

    /// Writes a file into the host's directory.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.join(name);
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    /// True if `address` answers one of three echo requests.
    #[must_use]
    pub fn pings(&self, address: &str) -> bool {
        self.try_run(&format!("ping -c 3 -i 0.2 -W 1 {address}")).status.success()
    }

    /// The kernel's routes of our protocol number (179), one line each.
    #[must_use]
    pub fn our_routes(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for family in ["-4", "-6"] {
            lines.extend(self.run(&format!("ip {family} route show proto 179")).lines().map(str::to_string));
        }
        lines
    }
}

fn ip(words: &[&str]) {
    run(Command::new("ip").args(words));
}

fn run(command: &mut Command) {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
}
