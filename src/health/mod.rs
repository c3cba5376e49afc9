//! Health checks: what is asked of a local service instance, how often, and what the answers amount to.
//!
//! [`HealthFsm`] (rise, fall) is a value; [`Scheduler`] is its carrier, which runs the probes and reports every run
//! as a [`Verdict`]. Probes always go to the configured local target: what a VIP answers from another site proves
//! nothing about this one. Who acts on health is the business of [`crate::anycast`].

pub mod fsm;
pub mod probes;
pub mod scheduler;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use fsm::{HealthFsm, HealthState};
pub use probes::{DnsProbe, DnsQuestion, ExecProbe, HttpProbe, Probe, TcpProbe};
pub use scheduler::Scheduler;

/// A running check's number, given by the anycast controller and never reused: a verdict that arrives after its
/// check was stopped or replaced belongs to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(pub u64);

/// One check as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckSpec {
    /// What is asked.
    pub probe: Probe,
    /// Time from the start of a run to the start of the next.
    pub interval: Duration,
    /// A run that takes longer has failed.
    pub timeout: Duration,
    /// Successes in a row after which a check that is down counts as up; at least 1.
    pub rise: u32,
    /// Failures in a row after which a check that is up counts as down; at least 1.
    pub fall: u32,
}

impl CheckSpec {
    /// Default time between runs.
    pub const INTERVAL: Duration = Duration::from_secs(1);
    /// Default limit of a run.
    pub const TIMEOUT: Duration = Duration::from_millis(500);
    /// Default successes in a row to rise.
    pub const RISE: u32 = 3;
    /// Default failures in a row to fall.
    pub const FALL: u32 = 3;

    /// `probe` with the default interval, timeout, rise and fall.
    #[must_use]
    pub fn new(probe: Probe) -> Self {
        Self { probe, interval: Self::INTERVAL, timeout: Self::TIMEOUT, rise: Self::RISE, fall: Self::FALL }
    }
}

/// The outcome of one run of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The service the check belongs to.
    pub service: Arc<str>,
    /// Which check.
    pub check: CheckId,
    /// Passed or failed.
    pub ok: bool,
    /// For people: what was answered, or why it failed.
    pub detail: String,
    /// When the run began.
    pub started: Instant,
    /// When the outcome was known.
    pub at: Instant,
}
