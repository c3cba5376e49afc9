//! The bundled router as a child, for those who want to try without a data plane of their own.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Bundled;

const NAME: &str = "anyhop-dpdk";

/// The program: what the configuration says, beside our own binary, or wherever the search path has it.
fn program(bundled: &Bundled) -> PathBuf {
    if let Some(program) = &bundled.program {
        return program.clone();
    }
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(NAME)));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(NAME))
}

/// A router that was started by us. Dropped in good order it ends, unless it is to be kept; when this process dies, it lives on.
pub(super) struct Router {
    child: Child,
    keep: bool,
}

impl Router {
    pub(super) fn start(bundled: &Bundled, socket: &Path) -> io::Result<Self> {
        let program = program(bundled);
        if let Some(directory) = socket.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut command = Command::new(&program);
        command.args(&bundled.eal).arg("--").arg("--socket").arg(socket).args(&bundled.args);
        // Signals from our terminal are not for it.
        command.stdin(Stdio::null()).process_group(0);
        let child = command.spawn().map_err(|error| {
            let hint = "build it by `make -C fib-sync/dpdk` (needs libdpdk-dev), or name it in fib.dpdk.agent";
            io::Error::new(error.kind(), format!("cannot start {}: {error}; {hint}", program.display()))
        })?;
        tracing::info!(program = %program.display(), pid = child.id(), "DPDK router started");
        Ok(Self { child, keep: bundled.keep })
    }

    /// The exit status, if it has ended.
    pub(super) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // It has nothing to tidy up but its socket, which the next one replaces.
        if self.child.kill().is_ok() {
            let _ = self.child.wait();
        }
    }
}
