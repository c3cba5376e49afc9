//! The DPDK agent as a process: built from `fib-sync/dpdk` once per test program, started with small tables.

#![allow(clippy::disallowed_methods, reason = "processes live in real time")]

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// Room for what tests write.
const ROOM: [&str; 12] = [
    "--routes4",
    "20000",
    "--routes6",
    "20000",
    "--groups4",
    "256",
    "--groups6",
    "16384",
    "--next-hops",
    "1024",
    "--neighbors",
    "256",
];

/// The directory with the built agent: `$ANYHOP_DPDK`, or made by `make` under the target directory. `None`, said loudly, where libdpdk is
/// not installed and cannot be for want of privilege.
///
/// # Panics
/// If it does not build; as root also if libdpdk is missing.
pub fn built(test: &str) -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        if let Some(path) = std::env::var_os("ANYHOP_DPDK") {
            return Some(PathBuf::from(path));
        }
        let known = Command::new("pkg-config").args(["--exists", "libdpdk"]).status().is_ok_and(|s| s.success());
        if !known {
            assert!(!nix::unistd::geteuid().is_root(), "no libdpdk: apt install libdpdk-dev pkg-config make gcc");
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
        let into = root.join("target/dpdk");
        std::fs::create_dir_all(&into).expect("the target directory");
        // Test programs run side by side.
        let mut make = Command::new("flock");
        make.arg(into.join("lock")).args(["make", "-s", "-C"]).arg(root.join("fib-sync/dpdk"));
        let output = make.arg(format!("BUILD={}", into.display())).output().expect("make and flock");
        assert!(output.status.success(), "the agent does not build:\n{}", String::from_utf8_lossy(&output.stderr));
        Some(into)
    });
    if built.is_none() {
        eprintln!("\n*** {test}: skipped: libdpdk is not installed (libdpdk-dev, pkg-config) ***\n");
    }
    built.clone()
}

/// Arguments for DPDK's environment without hugepages, devices and traces in the file system; `megabytes` of memory.
#[must_use]
pub fn eal(megabytes: u32) -> Vec<String> {
    let words = format!("--no-huge -m {megabytes} --no-pci --no-shconf --no-telemetry --log-level anyhop:error -l 0");
    words.split(' ').map(str::to_owned).collect()
}

/// A running agent; killed when dropped.
pub struct Router {
    program: PathBuf,
    socket: PathBuf,
    more: Vec<String>,
    child: Option<Child>,
}

impl Router {
    /// Starts an agent with tables only.
    ///
    /// # Panics
    /// If it does not listen after ten seconds.
    #[must_use]
    pub fn tables(built: &Path, socket: PathBuf) -> Self {
        Self::start(built, socket, ROOM.map(str::to_owned).to_vec())
    }

    /// Starts an agent with these arguments of its own.
    ///
    /// # Panics
    /// If it does not listen after ten seconds.
    #[must_use]
    pub fn start(built: &Path, socket: PathBuf, more: Vec<String>) -> Self {
        let mut router = Self { program: built.join("anyhop-dpdk"), socket, more, child: None };
        router.restart();
        router
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Ends it without a chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it if it runs, and starts it anew, empty.
    ///
    /// # Panics
    /// If it does not listen after ten seconds.
    pub fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(&self.program);
        command.args(eal(384)).arg("--").arg("--socket").arg(&self.socket).args(&self.more);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the agent starts");
        self.child = Some(child);
        for _ in 0..1000 {
            if UnixStream::connect(&self.socket).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the agent does not listen at {}", self.socket.display());
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_file(&self.socket);
    }
}
