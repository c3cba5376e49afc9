//! Namespaces, links and addresses.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::process::{Process, run};

/// Distinguishes the labs of one test process.
static LABS: AtomicU32 = AtomicU32::new(0);
/// What the names of our namespaces begin with; the process's number follows.
const PREFIX: &str = "anyhop-lab-";

/// A small network of its own. Dropped last, it takes its namespaces with it.
#[derive(Debug)]
pub struct Lab {
    name: String,
    dir: Rc<TempDir>,
    namespaces: Vec<String>,
}

/// A host of the lab: a namespace and a directory.
#[derive(Clone, Debug)]
pub struct Node {
    namespace: String,
    dir: PathBuf,
    // Keeps the directory until the last process that writes there is gone.
    lab_dir: Rc<TempDir>,
}

impl Lab {
    /// An empty network.
    pub(super) fn new() -> Self {
        sweep();
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let dir = tempfile::Builder::new().prefix("anyhop-lab-").tempdir().expect("a temporary directory");
        Self { name: format!("{PREFIX}{}-{number}", std::process::id()), dir: Rc::new(dir), namespaces: Vec::new() }
    }

    /// A new host, its loopback up.
    pub fn node(&mut self, name: &str) -> Node {
        let namespace = format!("{}-{name}", self.name);
        run(Command::new("ip").args(["netns", "add", &namespace]));
        self.namespaces.push(namespace.clone());
        let dir = self.dir.path().join(name);
        std::fs::create_dir(&dir).expect("a directory per node");
        let node = Node { namespace, dir, lab_dir: Rc::clone(&self.dir) };
        node.ip("link set lo up");
        // Addresses are usable at once: nobody else is on these links.
        node.sysctl("net.ipv6.conf.all.accept_dad", "0");
        node.sysctl("net.ipv6.conf.default.accept_dad", "0");
        node
    }

    /// A link between `a` and `b`: interface names and addresses with prefix lengths, blank-separated.
    pub fn link(&mut self, (a, a_name, a_addrs): (&Node, &str, &str), (b, b_name, b_addrs): (&Node, &str, &str)) {
        run(Command::new("ip").args(["link", "add", a_name, "netns", &a.namespace, "type", "veth"]).args([
            "peer",
            "name",
            b_name,
            "netns",
            &b.namespace,
        ]));
        for (node, name, addrs) in [(a, a_name, a_addrs), (b, b_name, b_addrs)] {
            node.sysctl(&format!("net.ipv6.conf.{name}.accept_dad"), "0");
            for addr in addrs.split_whitespace() {
                node.ip(&format!("addr add {addr} dev {name}"));
            }
            node.ip(&format!("link set {name} up"));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

impl Node {
    /// Where this node's files go.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Lets daemons that run as other users write to the node's directory.
    ///
    /// # Panics
    /// If its mode cannot be changed.
    pub fn open_to_all(&self) {
        let mode =
            |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("our directory");
        mode(self.lab_dir.path(), 0o755);
        mode(&self.dir, 0o777);
    }

    /// A path under the node's directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file of the node; its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("the node's directory is writable");
        path
    }

    /// A command that will run on this node.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// Runs `ip ARGUMENTS` here; what it printed.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn ip(&self, arguments: &str) -> String {
        run(Command::new("ip").args(["-n", &self.namespace]).args(arguments.split_whitespace()))
    }

    /// Runs a shell script here; what it printed.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn sh(&self, script: &str) -> String {
        run(self.command("sh").args(["-ec", script]))
    }

    /// True if a shell script succeeds here.
    #[must_use]
    pub fn succeeds(&self, script: &str) -> bool {
        self.command("sh").args(["-ec", script]).output().is_ok_and(|output| output.status.success())
    }

    /// Starts a program here; its output goes to `NAME.log` in the node's directory.
    pub fn spawn(&self, name: &str, command: &mut Command) -> Process {
        Process::spawn(name, command, &self.path(&format!("{name}.log")))
    }

    /// Sets a kernel parameter of the namespace.
    pub fn sysctl(&self, key: &str, value: &str) {
        run(self.command("sysctl").args(["-qw", &format!("{key}={value}")]));
    }

    /// Forwards packets between interfaces from now on.
    pub fn forward(&self) {
        self.sysctl("net.ipv4.ip_forward", "1");
        self.sysctl("net.ipv6.conf.all.forwarding", "1");
    }
}

/// Removes namespaces of test processes that are gone.
fn sweep() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}
