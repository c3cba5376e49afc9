//! The lab: hosts in network namespaces, joined by veth pairs, running anyhop and foreign daemons.
//!
//! A [`Lab`] owns everything it made and takes it down when dropped, also when a test panics: processes by their own
//! ids, namespaces by their own names (all begin with `anyhop-`). Without root a test prints `skipped: …` and returns.

pub mod anyhop;
pub mod bird;
pub mod frr;
pub mod gobgp;
pub mod net;
pub mod process;
pub mod route;

use std::time::Duration;

pub use anyhop::Anyhop;
pub use bird::Bird;
pub use frr::Frr;
pub use gobgp::Gobgp;
pub use net::{Host, Lab};
pub use process::Process;
pub use route::PeerRoute;

/// Calls `check` every 50 ms until it holds.
///
/// # Panics
/// When `check` still fails after `limit`; says what was awaited and what was seen last.
pub fn eventually<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Result<T, String>) -> T {
    let rounds = (limit.as_millis() / 50).max(1);
    let mut last = String::new();
    for _ in 0..rounds {
        match check() {
            Ok(value) => return value,
            Err(seen) => last = seen,
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what}: not within {limit:?}; last seen: {last}");
}

/// True if `program` can be started here; otherwise says loudly that the test is skipped.
#[must_use]
pub fn have(program: &str) -> bool {
    let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/frr"]
        .iter()
        .any(|dir| std::path::Path::new(dir).join(program).exists());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}
