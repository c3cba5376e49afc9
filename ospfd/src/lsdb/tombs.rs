//! LSAs that were flushed a moment ago. An LSA at MaxAge leaves a database as soon as everybody has acknowledged it (RFC 2328
//! §14), and an older copy that was overtaken on its way, or is sent again, would then be taken for news and live on in one
//! database alone. So what was flushed is remembered a little longer than copies can be underway.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Home, compare};
use crate::id::{LsaKey, SequenceNumber};
use crate::lsa::{LsaHeader, MAX_AGE};

/// Longer than a retransmission.
const LIFE: Duration = Duration::from_secs(10);
/// We remember our own for so long, to go on with numbers that nobody takes for old.
const OWN_LIFE: Duration = Duration::from_secs(20);
/// So many are remembered; 300 KB with an external's octets each.
const MAX: usize = 1024;

#[derive(Debug)]
struct Tomb {
    flushed: Instant,
    header: LsaHeader,
    raw: Bytes,
}

impl Tomb {
    /// It had the last number, so that what comes after it has a lower one.
    fn last(&self) -> bool {
        self.header.seq == SequenceNumber::MAX
    }
}

/// What was flushed.
#[derive(Debug, Default)]
pub(crate) struct Tombs {
    held: HashMap<(Home, LsaKey), Tomb>,
    order: VecDeque<(Instant, Home, LsaKey)>,
}

impl Tombs {
    /// An LSA was flushed. What has the last number may begin anew, so that an older one is news.
    pub(crate) fn bury(&mut self, now: Instant, home: Home, header: LsaHeader, raw: &[u8]) {
        if matches!(home, Home::Link(_)) {
            return;
        }
        while let Some((at, home, key)) = self.order.front().copied() {
            if now < at + OWN_LIFE && self.order.len() < MAX {
                break;
            }
            self.order.pop_front();
            if self.held.get(&(home, key)).is_some_and(|tomb| tomb.flushed == at) {
                self.held.remove(&(home, key));
            }
        }
        let header = LsaHeader { age: MAX_AGE, ..header };
        // What was flushed before may be newer than a flush that was overtaken.
        let newer = |tomb: &Tomb| !tomb.last() && compare(&tomb.header, &header) == Ordering::Greater;
        if self.held.get(&(home, header.key)).is_some_and(newer) {
            return;
        }
        let raw = Bytes::copy_from_slice(raw);
        self.held.insert((home, header.key), Tomb { flushed: now, header, raw });
        self.order.push_back((now, home, header.key));
    }

    /// What was flushed, at MaxAge, if what came is older than that.
    pub(crate) fn refuses(&self, now: Instant, home: Home, came: &LsaHeader) -> Option<(LsaHeader, Bytes)> {
        let tomb = self.held.get(&(home, came.key)).filter(|tomb| now < tomb.flushed + LIFE && !tomb.last())?;
        (compare(came, &tomb.header) == Ordering::Less).then(|| (tomb.header, tomb.raw.clone()))
    }

    /// The number of one that we flushed ourselves.
    pub(crate) fn number(&self, now: Instant, home: Home, key: &LsaKey) -> Option<SequenceNumber> {
        let tomb = self.held.get(&(home, *key)).filter(|tomb| now < tomb.flushed + OWN_LIFE && !tomb.last())?;
        Some(tomb.header.seq)
    }

    /// Whether what came is the end of the last number that was seen here already, sent again by somebody who waits for an
    /// acknowledgment of it. It is not the end of what began anew since then, and would chase that round the network.
    pub(crate) fn ended(&self, now: Instant, home: Home, came: &LsaHeader) -> bool {
        came.age == MAX_AGE
            && came.seq == SequenceNumber::MAX
            && self
                .held
                .get(&(home, came.key))
                .is_some_and(|tomb| now < tomb.flushed + LIFE && tomb.last() && tomb.header.checksum == came.checksum)
    }
}
