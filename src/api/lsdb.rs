//! Changes of the link-state databases, kept for watchers: each reads them at its own pace, and one whose connection broke may go
//! on where it stopped, as long as the changes since are still here. While nobody watches, nothing is kept and the instance
//! is not asked to tell.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ospfd::io::{Handle, LsdbChange};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tonic::Status;

/// Changes kept of one instance; who is further behind gets the whole database again.
const KEPT: usize = 16_384;
/// How long changes are kept after the last watcher has left.
const LINGER: Duration = Duration::from_secs(60);
/// How often it is seen whether anybody watches.
const LOOK: Duration = Duration::from_secs(10);

/// The last changes, numbered from the start of the daemon.
#[derive(Debug)]
pub(crate) struct Log<C> {
    /// The number of the next change.
    next: u64,
    changes: VecDeque<C>,
    most: usize,
}

impl<C: Clone> Log<C> {
    /// An empty one that keeps that many.
    pub(crate) fn new(most: usize) -> Self {
        Self { next: 0, changes: VecDeque::new(), most }
    }

    /// Where a reader stands that has read everything.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    /// Something changed.
    pub(crate) fn push(&mut self, change: C) {
        self.next += 1;
        self.changes.push_back(change);
        while self.changes.len() > self.most {
            self.changes.pop_front();
        }
    }

    /// Changes were missed: nobody can go on from before.
    pub(crate) fn miss(&mut self) {
        self.next += 1;
        self.changes.clear();
    }

    /// Up to `most` changes after a position; `None` if some of them are no longer here.
    pub(crate) fn after(&self, position: u64, most: usize) -> Option<Vec<C>> {
        let behind = usize::try_from(self.next.checked_sub(position)?).ok()?;
        let from = self.changes.len().checked_sub(behind)?;
        Some(self.changes.iter().skip(from).take(most).cloned().collect())
    }
}

/// The changes of one instance.
pub(crate) struct Journal {
    instance: Handle,
    log: Mutex<Log<LsdbChange>>,
    /// Moves with every change.
    news: watch::Sender<u64>,
    /// Whether changes are being taken down.
    running: tokio::sync::Mutex<bool>,
}

impl Journal {
    pub(crate) fn new(instance: Handle) -> Arc<Self> {
        let (log, news) = (Mutex::new(Log::new(KEPT)), watch::Sender::new(0));
        Arc::new(Self { instance, log, news, running: tokio::sync::Mutex::new(false) })
    }

    /// Whose changes they are.
    pub(crate) fn instance(&self) -> &Handle {
        &self.instance
    }

    fn log(&self) -> MutexGuard<'_, Log<LsdbChange>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Log::position`].
    pub(crate) fn position(&self) -> u64 {
        self.log().position()
    }

    /// See [`Log::after`].
    pub(crate) fn after(&self, position: u64, most: usize) -> Option<Vec<LsdbChange>> {
        self.log().after(position, most)
    }

    /// A signal that moves whenever there is news. While somebody holds it, changes are taken down.
    pub(crate) async fn follow(self: &Arc<Self>) -> watch::Receiver<u64> {
        let mut running = self.running.lock().await;
        let news = self.news.subscribe();
        if !*running {
            let changes = self.instance.watch_lsdb().await;
            *running = true;
            tokio::spawn(Arc::clone(self).take_down(changes));
        }
        news
    }

    async fn take_down(self: Arc<Self>, mut changes: broadcast::Receiver<LsdbChange>) {
        let mut watched = now();
        loop {
            let position = match tokio::time::timeout(LOOK, changes.recv()).await {
                Ok(Ok(change)) => {
                    let mut log = self.log();
                    log.push(change);
                    Some(log.position())
                }
                Ok(Err(broadcast::error::RecvError::Lagged(_))) => {
                    let mut log = self.log();
                    log.miss();
                    Some(log.position())
                }
                Ok(Err(broadcast::error::RecvError::Closed)) => return,
                Err(_) => None,
            };
            if let Some(position) = position {
                self.news.send_replace(position);
            }
            if self.news.receiver_count() > 0 {
                watched = now();
            } else if watched.elapsed() > LINGER {
                let mut running = self.running.lock().await;
                if self.news.receiver_count() == 0 {
                    *running = false;
                    self.log().miss();
                    return;
                }
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the API is a carrier")]
fn now() -> Instant {
    Instant::now()
}

/// A token to resume a watch by: the start of the daemon and a position in the journal of each version, if it is watched.
pub(crate) fn token(boot: u64, positions: [Option<u64>; 2]) -> String {
    let [v2, v3] = positions.map(|position| position.map(|number| number.to_string()).unwrap_or_default());
    format!("{boot:x}.{v2}.{v3}")
}

/// The positions in a token of this daemon; none if there is no token, or it is another daemon's.
///
/// # Errors
/// `INVALID_ARGUMENT` if it never was a token.
pub(crate) fn parse_token(boot: u64, token: &str) -> Result<[Option<u64>; 2], Status> {
    if token.is_empty() {
        return Ok([None; 2]);
    }
    let position = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    let parsed = || {
        let mut parts = token.split('.');
        let of = u64::from_str_radix(parts.next()?, 16).ok()?;
        let positions = [position(parts.next()?)?, position(parts.next()?)?];
        parts.next().is_none().then_some((of, positions))
    };
    match parsed() {
        Some((of, positions)) => Ok(if of == boot { positions } else { [None; 2] }),
        None => Err(super::request::invalid("resume_token", "is not a resume_token of this method")),
    }
}
