//! The `exec` probe: a command, run without a shell; exit status 0 passes.
//!
//! The command gets a process group of its own, and the whole group is killed when the time is up or the check is
//! stopped, so that no child of a hanging script outlives its run.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// Octets of output kept for the verdict's detail; the rest is read and thrown away.
const OUTPUT_KEPT: usize = 4096;

/// A command that tells health by its exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecProbe {
    /// Program and arguments; the program is looked up in `PATH` unless it is a path.
    pub command: Vec<String>,
}

/// Kills the process group when dropped: on timeout, on an error, and when the check's task is aborted.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // ESRCH: everybody has left already.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl ExecProbe {
    /// The program's name.
    #[must_use]
    pub fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    pub(super) async fn run(&self, timeout: Duration) -> Result<String, String> {
        let (program, arguments) = self.command.split_first().ok_or("the command is empty")?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot run {program}: {error}"))?;
        let _group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let outcome = {
            let run = async {
                // The exit status decides: a grandchild that keeps the pipe open must not hold the verdict.
                let drain = async {
                    tokio::join!(keep(stdout.as_mut(), &mut said), keep(stderr.as_mut(), &mut complained));
                };
                tokio::pin!(drain);
                tokio::select! {
                    status = child.wait() => {
                        // What the command wrote before it ended is in the pipes already.
                        let _ = tokio::time::timeout(Duration::from_millis(10), &mut drain).await;
                        status
                    }
                    () = &mut drain => child.wait().await,
                }
            };
            tokio::time::timeout(timeout, run).await
        };
        let output = || {
            let text = if complained.is_empty() { &said } else { &complained };
            if text.is_empty() { String::new() } else { format!(": {}", super::excerpt(text, 160)) }
        };
        match outcome {
            Err(_) => Err(format!("{program} did not end within {timeout:?} and was killed{}", output())),
            Ok(Err(error)) => Err(format!("cannot wait for {program}: {error}")),
            Ok(Ok(status)) if status.success() => Ok(format!("exit status 0{}", output())),
            Ok(Ok(status)) => Err(format!("{program} ended with {status}{}", output())),
        }
    }
}

/// Reads to the end, keeping the first octets.
async fn keep(from: Option<&mut (impl AsyncRead + Unpin)>, kept: &mut Vec<u8>) {
    let Some(from) = from else { return };
    let mut chunk = vec![0_u8; 4096];
    while let Ok(count) = from.read(&mut chunk).await {
        if count == 0 {
            return;
        }
        let room = OUTPUT_KEPT.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(chunk.get(..room).unwrap_or_default());
    }
}
