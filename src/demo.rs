//! The demo: being written; until then it says that it did not hold.

use std::process::ExitCode;

/// `anyhop demo`.
#[must_use]
pub fn run(_hold: bool) -> ExitCode {
    eprintln!("the demo is not built yet");
    ExitCode::FAILURE
}
