//! Named points in time: each name has at most one, and the earliest is known at once. Hellos, waits, inactivity,
//! retransmissions and acknowledgments of interfaces and neighbors run on it; the ages of LSAs do not (see `lsdb`).

use std::collections::BTreeSet;
use std::hash::Hash;
use std::time::Instant;

use foldhash::{HashMap, HashMapExt};

/// Timers by name.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    queue: BTreeSet<(Instant, K)>,
    armed: HashMap<K, Instant>,
}

impl<K: Copy + Ord + Hash> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { queue: BTreeSet::new(), armed: HashMap::new() }
    }

    /// Arms `name` for `at`, whatever it was armed for.
    pub(crate) fn set(&mut self, name: K, at: Instant) {
        if let Some(old) = self.armed.insert(name, at) {
            if old == at {
                return;
            }
            self.queue.remove(&(old, name));
        }
        self.queue.insert((at, name));
    }

    /// Arms `name` for `at` unless it is due earlier already.
    pub(crate) fn set_earlier(&mut self, name: K, at: Instant) {
        if self.armed.get(&name).is_none_or(|armed| at < *armed) {
            self.set(name, at);
        }
    }

    pub(crate) fn cancel(&mut self, name: K) {
        if let Some(at) = self.armed.remove(&name) {
            self.queue.remove(&(at, name));
        }
    }

    pub(crate) fn at(&self, name: K) -> Option<Instant> {
        self.armed.get(&name).copied()
    }

    /// When the first one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the first one if it is due at `now`; it is no longer armed.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        let (at, name) = *self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        self.armed.remove(&name);
        Some(name)
    }
}
