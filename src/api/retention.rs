//! Keeps the RIB's journal for a while, so that a watcher whose connection broke can resume.
//!
//! The RIB forgets changes as soon as every reader has passed them. While routes are watched, and for a minute after, an
//! [`Anchor`] is taken now and then and dropped when it is a minute old: between them the changes of the last minute stay.
//! That holds back at most what the journal's own bound allows; a node whose routes nobody watches pays nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::daemon::handles::{Anchor, Gone, RibHandle};

/// How long changes are kept.
const KEPT: Duration = Duration::from_secs(60);
/// How often an anchor is taken.
pub(crate) const STEP: Duration = Duration::from_secs(10);

/// The anchors, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Retention(Mutex<VecDeque<(Instant, Anchor)>>);

#[allow(clippy::disallowed_methods, reason = "the API is a carrier")]
fn now() -> Instant {
    Instant::now()
}

impl Retention {
    /// Routes are watched: keep what changes from now on.
    pub(crate) async fn touch(&self, rib: &RibHandle) -> Result<(), Gone> {
        let fresh = {
            let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            held.back().is_some_and(|(taken, _)| taken.elapsed() < STEP)
        };
        if !fresh {
            let anchor = rib.anchor().await?;
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back((now(), anchor));
        }
        Ok(())
    }

    /// Drops what is old. Never returns.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(STEP).await;
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            while held.front().is_some_and(|(taken, _)| taken.elapsed() > KEPT) {
                held.pop_front();
            }
        }
    }
}
