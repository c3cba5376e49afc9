//! The bundled router as a child, for those who want to try without a data plane of their own.

use std::io;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Bundled;
use super::agent::pid_of;

const NAME: &str = "anyhop-dpdk";

/// The program: what the configuration says, beside our own binary, or wherever the search path has it.
fn program(bundled: &Bundled) -> PathBuf {
    if let Some(program) = &bundled.program {
        return program.clone();
    }
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(NAME)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(NAME))
}

/// A router that was started by us or by an earlier run of ours. Dropped in good order it ends, unless it is to be kept; when this process
/// dies, it lives on.
pub(super) struct Router {
    process: Process,
    socket: PathBuf,
    keep: bool,
}

enum Process {
    Child(Child),
    /// The earlier run's child, whom we know by its socket.
    Adopted(Pid),
}

impl Router {
    pub(super) fn start(bundled: &Bundled, socket: &Path) -> io::Result<Self> {
        let program = program(bundled);
        if let Some(directory) = socket.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut command = Command::new(&program);
        command.args(&bundled.eal).args(["--", "--child", "--socket"]).arg(socket).args(&bundled.args);
        // Signals from our terminal are not for it.
        command.stdin(Stdio::null()).process_group(0);
        let child = command.spawn().map_err(|error| {
            let hint = "build it by `make -C fib-sync/dpdk` (needs libdpdk-dev), or name it in fib.dpdk.agent";
            io::Error::new(error.kind(), format!("cannot start {}: {error}; {hint}", program.display()))
        })?;
        tracing::info!(program = %program.display(), pid = child.id(), "DPDK router started");
        Ok(Self { process: Process::Child(child), socket: socket.to_owned(), keep: bundled.keep })
    }

    /// One that an earlier run started, which did not come to ending it.
    pub(super) fn adopt(bundled: &Bundled, socket: &Path, pid: Pid) -> Self {
        tracing::info!(%pid, "DPDK router of an earlier run adopted");
        Self { process: Process::Adopted(pid), socket: socket.to_owned(), keep: bundled.keep }
    }

    /// Why it is no more, if it has ended.
    pub(super) fn ended(&mut self) -> Option<String> {
        match &mut self.process {
            Process::Child(child) => child.try_wait().ok().flatten().map(|status| status.to_string()),
            Process::Adopted(pid) => (answering(&self.socket) != Some(*pid)).then(|| "gone".to_owned()),
        }
    }
}

/// Who listens there.
fn answering(socket: &Path) -> Option<Pid> {
    UnixStream::connect(socket).ok().and_then(|stream| pid_of(&stream))
}

impl Drop for Router {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // It has nothing to tidy up but its socket, which the next one replaces.
        match &mut self.process {
            Process::Child(child) => {
                if child.kill().is_ok() {
                    let _ = child.wait();
                }
            }
            // Numbers are given out again: it must be the one that answers.
            Process::Adopted(pid) if answering(&self.socket) == Some(*pid) => {
                if let Err(error) = kill(*pid, Signal::SIGKILL) {
                    tracing::warn!(%pid, %error, "the DPDK router of an earlier run cannot be ended");
                }
            }
            Process::Adopted(_) => {}
        }
    }
}
