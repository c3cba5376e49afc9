//! What is still asked of a neighbor (RFC 2328 §10.9). Several requests are in flight; what an LSA will bring is known
//! from its description, so that the answers never overrun the receive buffer, and the next request goes when half of
//! the window has been answered.

use std::collections::VecDeque;

use foldhash::{HashMap, HashMapExt};

use crate::id::LsaKey;
use crate::lsa::LsaHeader;

/// Octets of LSAs that may be on their way to us from one neighbor: half of a default socket buffer.
const WINDOW_BYTES: usize = 96 * 1024;

/// The link state request list.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    wanted: Option<HashMap<LsaKey, LsaHeader>>,
    queue: VecDeque<LsaKey>,
    flying: VecDeque<LsaKey>,
    flying_bytes: usize,
}

impl Requests {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.wanted.as_ref().map_or(0, HashMap::len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The instance that is wanted.
    pub(crate) fn get(&self, key: &LsaKey) -> Option<&LsaHeader> {
        self.wanted.as_ref()?.get(key)
    }

    /// Wants what `header` describes.
    pub(crate) fn insert(&mut self, header: LsaHeader) {
        let wanted = self.wanted.get_or_insert_with(HashMap::new);
        if wanted.insert(header.key, header).is_none() {
            self.queue.push_back(header.key);
        }
    }

    /// It came, or is no longer wanted.
    pub(crate) fn remove(&mut self, key: &LsaKey) -> bool {
        let Some(header) = self.wanted.as_mut().and_then(|wanted| wanted.remove(key)) else { return false };
        // What was asked for is answered in the order of asking, more or less; what is left of it is dropped lazily.
        self.flying_bytes = self.flying_bytes.saturating_sub(usize::from(header.length));
        while let Some(first) = self.flying.front() {
            if self.get(first).is_some() {
                break;
            }
            self.flying.pop_front();
        }
        if self.flying.is_empty() {
            self.flying_bytes = 0;
        }
        true
    }

    /// Nothing asked for is unanswered, though something is wanted; or half of the window is free.
    pub(crate) fn ready(&self) -> bool {
        !self.queue.is_empty() && self.flying_bytes <= WINDOW_BYTES / 2
    }

    /// How many have not been asked for yet.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Up to `max` names to ask for now; empty when the window is full or nothing is left.
    pub(crate) fn next(&mut self, max: usize) -> Vec<LsaKey> {
        let mut keys = Vec::new();
        while keys.len() < max && self.flying_bytes < WINDOW_BYTES {
            let Some(key) = self.queue.pop_front() else { break };
            let Some(length) = self.get(&key).map(|header| usize::from(header.length)) else { continue };
            self.flying_bytes += length;
            self.flying.push_back(key);
            keys.push(key);
        }
        keys
    }

    /// Nobody answered for the retransmission interval: what is in flight is asked for again.
    pub(crate) fn retry(&mut self) {
        while let Some(key) = self.flying.pop_back() {
            if self.get(&key).is_some() {
                self.queue.push_front(key);
            }
        }
        self.flying_bytes = 0;
    }
}
