//! `anyhop demo`: the main job in one process. Three nodes with RIBs and data planes of their own speak real BGP over TCP on
//! loopback; two DNS servers run beside them; one dies and comes back.
//!
//! Nothing of the speaker is weakened for it: next hops are documentation addresses (RFC 5737), set by each site's
//! export policy and resolvable at the edge by its own configured routes. Every step is awaited with a bound and asserted.

mod dns;
mod nodes;
mod story;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Longest run of the whole story.
const LONGEST: Duration = Duration::from_secs(14);

/// Runs the demo; with `hold` it stays after the last step, until interrupted, and says where the APIs are.
///
/// Ends with 0 only if every step held.
#[must_use]
pub fn run(hold: bool) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        let mut log = Timeline::new();
        let story = tokio::time::timeout(LONGEST, story::tell(&mut log)).await;
        let scene = story.unwrap_or_else(|_| Err(format!("the story took longer than {LONGEST:?}")))?;
        if hold {
            scene.hold(&mut log).await;
        }
        scene.end().await;
        log.say("done", "every step held");
        Ok::<(), String>(())
    });
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What people read: one line per step, with the time since the start.
struct Timeline {
    began: Instant,
}

#[allow(clippy::disallowed_methods)] // The demo is its own carrier and tells real time.
fn now() -> Instant {
    Instant::now()
}

impl Timeline {
    fn new() -> Self {
        Self { began: now() }
    }

    /// A line of the story. Who has closed our output has seen enough.
    fn say(&mut self, topic: &str, text: &str) {
        let at = self.began.elapsed().as_secs_f64();
        let _ = writeln!(std::io::stdout(), "{at:7.3} s  {topic:<9} {text}");
    }

    /// Text without a time.
    fn plain(&mut self, text: &str) {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

#[cfg(test)]
mod tests {
    /// The README's first command, as a test.
    #[test]
    fn every_step_of_the_demo_holds() {
        assert_eq!(format!("{:?}", super::run(false)), format!("{:?}", std::process::ExitCode::SUCCESS));
    }
}
