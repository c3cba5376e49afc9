//! The urgent lanes: pending changes from other threads that coalesce by key, so that they are bounded and never block the sender.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use rib::message::{Reach, Reachability};
use rib::{Answer, NotHeld};
use tokio::sync::Notify;

use crate::speaker::message::{LinkAddress, LocalBatch, LocalRoute};

/// Pending changes, the latest per key, in the order the keys first came.
#[derive(Debug)]
struct Pending<K, V> {
    order: Vec<(K, V)>,
    index: HashMap<K, usize>,
}

impl<K, V> Default for Pending<K, V> {
    fn default() -> Self {
        Self { order: Vec::new(), index: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash, V> Pending<K, V> {
    fn put(&mut self, key: K, value: V) {
        match self.index.entry(key) {
            Entry::Occupied(at) => self.order[*at.get()].1 = value,
            Entry::Vacant(at) => {
                at.insert(self.order.len());
                self.order.push((key, value));
            }
        }
    }

    fn take(&mut self) -> Vec<(K, V)> {
        self.index.clear();
        std::mem::take(&mut self.order)
    }
}

/// What became of a route, and the number of the batch after which that was said.
type Said = (u64, Result<(), NotHeld>);

/// What was pending: our own routes, the state of next hops, what became of routes, the host's addresses.
#[derive(Debug, Default)]
pub(super) struct Urgent {
    pub(super) local: Option<LocalBatch>,
    pub(super) reach: Option<Vec<Reachability>>,
    pub(super) answers: Option<Vec<(u64, Answer)>>,
    pub(super) addresses: Option<Vec<LinkAddress>>,
}

/// The lanes, shared by the handles and the thread.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    local: Mutex<Pending<IpNet, Option<Arc<LocalRoute>>>>,
    reach: Mutex<Pending<IpAddr, Option<Reach>>>,
    answers: Mutex<Pending<IpNet, Said>>,
    addresses: Mutex<Option<Vec<LinkAddress>>>,
    /// Set after something was put, cleared before taking: looked at once per slice, where a lock would cost more.
    filled: AtomicBool,
    wake: Notify,
}

impl Lanes {
    pub(super) fn put_local(&self, batch: LocalBatch) {
        let mut pending = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        for (prefix, route) in batch.changes {
            pending.put(prefix.trunc(), route);
        }
        drop(pending);
        self.announce();
    }

    pub(super) fn put_reach(&self, states: Vec<Reachability>) {
        let mut pending = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        for state in states {
            pending.put(state.addr, state.reach);
        }
        drop(pending);
        self.announce();
    }

    pub(super) fn put_answers(&self, through: u64, answers: Vec<Answer>) {
        let mut pending = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for answer in answers {
            pending.put(answer.prefix, (through, answer.held));
        }
        drop(pending);
        self.announce();
    }

    pub(super) fn put_addresses(&self, addresses: Vec<LinkAddress>) {
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = Some(addresses);
        self.announce();
    }

    fn announce(&self) {
        self.filled.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Everything that is pending now.
    pub(super) fn take(&self) -> Urgent {
        if !self.filled.swap(false, Ordering::Acquire) {
            return Urgent::default();
        }
        let changes = self.local.lock().unwrap_or_else(PoisonError::into_inner).take();
        let states = self.reach.lock().unwrap_or_else(PoisonError::into_inner).take();
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).take();
        let answer = |(prefix, (through, held))| (through, Answer { prefix, held });
        Urgent {
            answers: (!answers.is_empty()).then(|| answers.into_iter().map(answer).collect()),
            addresses: self.addresses.lock().unwrap_or_else(PoisonError::into_inner).take(),
            local: (!changes.is_empty()).then_some(LocalBatch { changes }),
            reach: (!states.is_empty())
                .then(|| states.into_iter().map(|(addr, reach)| Reachability { addr, reach }).collect()),
        }
    }

    /// Completes when something was put.
    pub(super) async fn filled(&self) {
        self.wake.notified().await;
    }
}
