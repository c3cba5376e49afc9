//! Jitter (RFC 4271 §10) and back-off: how long to wait before the next attempt.

use std::time::Duration;

/// `period` times a random factor from 0.75 to 1.0, drawn anew each time (RFC 4271 §10).
pub fn jittered(period: Duration, rng: &mut fastrand::Rng) -> Duration {
    period.mul_f64(0.75 + 0.25 * rng.f64())
}

/// A wait that doubles with every failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// `base` after the first failure, never more than `cap` (or `base`, if that is longer).
    #[must_use]
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap: cap.max(base), failures: 0 }
    }

    /// Counts a failure, and returns the wait it costs, before jitter.
    pub fn failed(&mut self) -> Duration {
        let wait = self.base.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        wait.min(self.cap)
    }

    /// The wait as it stands, without counting a failure.
    #[must_use]
    pub fn current(&self) -> Duration {
        self.base.saturating_mul(1 << self.failures.min(16)).min(self.cap)
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// It worked: the next failure costs the first wait again.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }
}
