//! The carrier of health checks: a task per running check, each with its own rhythm.
//!
//! Runs of one check never overlap: a run that outlasts the interval delays the next. First runs are spread over the
//! interval by the check's name, so that many services on a host, or many hosts booted at once, do not ask in step.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::{CheckId, CheckSpec, Verdict};

/// The first run comes at the latest after this long, whatever the interval.
const LONGEST_PHASE: Duration = Duration::from_secs(1);

/// Runs checks and sends their verdicts.
#[derive(Debug)]
pub struct Scheduler {
    running: HashMap<CheckId, AbortHandle>,
    verdicts: mpsc::Sender<Verdict>,
}

impl Scheduler {
    /// A scheduler that reports to `verdicts`; when that is full, checks wait (and so ask less often).
    #[must_use]
    pub fn new(verdicts: mpsc::Sender<Verdict>) -> Self {
        Self { running: HashMap::new(), verdicts }
    }

    /// Starts a check; must be called within a tokio runtime.
    pub fn start(&mut self, check: CheckId, service: &Arc<str>, spec: CheckSpec) {
        let task = tokio::spawn(run(check, Arc::clone(service), spec, self.verdicts.clone()));
        if let Some(before) = self.running.insert(check, task.abort_handle()) {
            before.abort();
        }
    }

    /// Stops a check; a run under way is broken off.
    pub fn stop(&mut self, check: CheckId) {
        if let Some(task) = self.running.remove(&check) {
            task.abort();
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        for task in self.running.values() {
            task.abort();
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "carrier: verdicts carry the time they were made")]
async fn run(check: CheckId, service: Arc<str>, spec: CheckSpec, verdicts: mpsc::Sender<Verdict>) {
    let interval = spec.interval.max(Duration::from_millis(1));
    let first = tokio::time::Instant::now() + phase(&service, check, interval);
    let mut ticks = tokio::time::interval_at(first, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let started = std::time::Instant::now();
        let outcome = spec.probe.run(spec.timeout).await;
        let ok = outcome.is_ok();
        let detail = outcome.unwrap_or_else(|why| why);
        let at = std::time::Instant::now();
        if verdicts.send(Verdict { service: Arc::clone(&service), check, ok, detail, started, at }).await.is_err() {
            return;
        }
    }
}

/// When in its interval a check runs first: the same at every start of the daemon, different between services.
fn phase(service: &str, check: CheckId, interval: Duration) -> Duration {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    (service, check.0).hash(&mut hasher);
    let share = (hasher.finish() % 1024) as u32;
    interval.min(LONGEST_PHASE) * share / 1024
}

#[cfg(test)]
mod tests;
