//! Waiting for what comes in its own time.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long anything may take on a slow and busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Asks until `probe` gives a value, and returns it.
///
/// # Panics
/// After [`PATIENCE`], with what was waited for and the last reason given.
#[track_caller]
pub fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match probe() {
            Ok(value) => return value,
            Err(why) if begin.elapsed() > PATIENCE => panic!("waited {PATIENCE:?} in vain for {what}: {why}"),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Asks until `probe` gives `expected`; the time it took.
///
/// # Panics
/// After [`PATIENCE`], with the last value.
#[track_caller]
pub fn eventually<T: PartialEq + Debug>(what: &str, expected: &T, mut probe: impl FnMut() -> T) -> Duration {
    let begin = Instant::now();
    loop {
        let value = probe();
        if value == *expected {
            return begin.elapsed();
        }
        assert!(
            begin.elapsed() <= PATIENCE,
            "waited {PATIENCE:?} in vain for {what}:\n expected {expected:?}\n      got {value:?}"
        );
        std::thread::sleep(PAUSE);
    }
}

/// Watches for `span` that `probe` never says anything.
///
/// # Panics
/// With what it said.
#[track_caller]
pub fn never(what: &str, span: Duration, mut probe: impl FnMut() -> Option<String>) {
    let begin = Instant::now();
    while begin.elapsed() < span {
        if let Some(seen) = probe() {
            panic!("{what} after {:?}: {seen}", begin.elapsed());
        }
        std::thread::sleep(PAUSE);
    }
}
