//! A small table that many watchers follow, each at its own pace and able to resume.
//!
//! [`Feed`] is the value: it is given the whole table again and again, notes what differs under a rising version, and
//! tells any watcher what has changed since the version it knows. [`Watched`] is its carrier: one task reads the
//! owner's table for all watchers, and only while there are any.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tonic::Status;

/// Removals remembered. A watcher further behind gets a new snapshot.
const REMOVALS_KEPT: usize = 1024;
/// How often the owner is asked while somebody watches; events make it sooner.
const POLL: Duration = Duration::from_millis(500);

/// What a watcher must be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Delta<V> {
    /// The watcher must forget what it knows.
    pub(crate) snapshot: bool,
    /// Rows that are new or changed, with their keys.
    pub(crate) updated: Vec<(String, V)>,
    /// Keys of rows that are gone.
    pub(crate) removed: Vec<String>,
    /// The version after it.
    pub(crate) version: u64,
}

/// The last state of a table with the version in which each row last changed.
#[derive(Debug)]
pub(crate) struct Feed<V> {
    version: u64,
    rows: BTreeMap<String, (u64, V)>,
    removed: VecDeque<(u64, String)>,
    /// Removals up to this version have been forgotten.
    forgotten: u64,
    same: fn(&V, &V) -> bool,
}

impl<V: Clone> Feed<V> {
    /// An empty table. `same` says whether a watcher would see no difference worth a message.
    pub(crate) fn new(same: fn(&V, &V) -> bool) -> Self {
        Self { version: 0, rows: BTreeMap::new(), removed: VecDeque::new(), forgotten: 0, same }
    }

    /// The version now.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Takes the whole table as it is now; true if a watcher has something to hear.
    pub(crate) fn update(&mut self, table: Vec<(String, V)>) -> bool {
        let next = self.version + 1;
        let mut changed = false;
        let mut before = std::mem::take(&mut self.rows);
        for (key, value) in table {
            let version = match before.remove(&key) {
                Some((version, old)) if (self.same)(&old, &value) => version,
                _ => {
                    changed = true;
                    next
                }
            };
            self.rows.insert(key, (version, value));
        }
        for key in before.into_keys() {
            changed = true;
            self.removed.push_back((next, key));
        }
        while self.removed.len() > REMOVALS_KEPT {
            if let Some((version, _)) = self.removed.pop_front() {
                self.forgotten = version;
            }
        }
        if changed {
            self.version = next;
        }
        changed
    }

    /// What has changed after `version`; a snapshot if that is not known (any more).
    pub(crate) fn since(&self, version: Option<u64>) -> Delta<V> {
        let known = version.filter(|version| (self.forgotten..=self.version).contains(version));
        let after = known.unwrap_or(0);
        let updated = self
            .rows
            .iter()
            .filter(|(_, (at, _))| known.is_none() || *at > after)
            .map(|(key, (_, value))| (key.clone(), value.clone()));
        let removed = self
            .removed
            .iter()
            // A key that has come back since is told as updated.
            .filter(|(at, key)| known.is_some() && *at > after && !self.rows.contains_key(key))
            .map(|(_, key)| key.clone());
        Delta {
            snapshot: known.is_none(),
            updated: updated.collect(),
            removed: removed.collect(),
            version: self.version,
        }
    }
}

/// Reads the whole table from its owner.
pub(crate) type Load<V> = Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<(String, V)>, Status>> + Send + Sync>;

/// A [`Feed`] kept up to date.
pub(crate) struct Watched<V> {
    feed: Mutex<Feed<V>>,
    load: Load<V>,
    version: watch::Sender<u64>,
    nudge: Notify,
}

impl<V: Clone + Send + 'static> Watched<V> {
    /// A table read by `load`.
    pub(crate) fn new(same: fn(&V, &V) -> bool, load: Load<V>) -> Arc<Self> {
        let feed = Mutex::new(Feed::new(same));
        Arc::new(Self { feed, load, version: watch::Sender::new(0), nudge: Notify::new() })
    }

    /// Something happened: read the table soon.
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Reads the table now.
    pub(crate) async fn refresh(&self) -> Result<(), Status> {
        let table = (self.load)().await?;
        let mut feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        if feed.update(table) {
            self.version.send_replace(feed.version());
        }
        Ok(())
    }

    /// Reads the table again and again while somebody watches. Never returns.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            let _ = tokio::time::timeout(POLL, self.nudge.notified()).await;
            // An owner that does not answer is on its way down; watchers are told by their own end of stream.
            if self.version.receiver_count() > 0 && self.refresh().await.is_err() {
                tokio::time::sleep(POLL).await;
            }
        }
    }

    /// A signal that moves whenever there is news.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// See [`Feed::since`].
    pub(crate) fn since(&self, version: Option<u64>) -> Delta<V> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner).since(version)
    }
}

/// A token to resume a watch by: the start of the daemon, so that another one's tokens are not taken for ours, and a version.
pub(crate) fn resume_token(boot: u64, version: u64) -> String {
    format!("{boot:x}.{version}")
}

/// The version in a token of this daemon; `None` if there is none, or it is another daemon's.
///
/// # Errors
/// `INVALID_ARGUMENT` if it never was a token.
pub(crate) fn parse_resume_token(boot: u64, token: &str) -> Result<Option<u64>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let parsed = token
        .split_once('.')
        .and_then(|(boot, version)| Some((u64::from_str_radix(boot, 16).ok()?, version.parse::<u64>().ok()?)));
    match parsed {
        Some((of, version)) => Ok((of == boot).then_some(version)),
        None => Err(super::request::invalid("resume_token", "is not a resume_token of this method")),
    }
}
