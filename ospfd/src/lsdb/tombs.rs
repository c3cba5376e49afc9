//! LSAs that were flushed a moment ago. An LSA at MaxAge leaves a database as soon as everybody has acknowledged it (RFC 2328
//! §14), and an older copy that was overtaken on its way, or is sent again, would then be taken for news and live on in one
//! database alone. So what was flushed is remembered a little longer than copies can be underway.

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
/// Between two words to somebody that it is flushed.
const PAUSE: Duration = Duration::from_secs(1);
/// So many are remembered; 300 KB with an external's octets each.
const MAX: usize = 1024;

#[derive(Debug)]
struct Tomb {
    flushed: Instant,
    told: Option<Instant>,
    header: LsaHeader,
    raw: Bytes,
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
        if matches!(home, Home::Link(_)) || header.seq == SequenceNumber::MAX {
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
        let raw = Bytes::copy_from_slice(raw);
        self.held.insert((home, header.key), Tomb { flushed: now, told: None, header, raw });
        self.order.push_back((now, home, header.key));
    }

    /// Whether what came is older than what was flushed, or the same; then also what the sender should be told, unless it just
    /// was.
    pub(crate) fn refuses(&mut self, now: Instant, home: Home, came: &LsaHeader) -> Option<Option<(LsaHeader, Bytes)>> {
        let tomb = self.held.get_mut(&(home, came.key)).filter(|tomb| now < tomb.flushed + LIFE)?;
        if compare(came, &tomb.header) == std::cmp::Ordering::Greater {
            return None;
        }
        if tomb.told.is_some_and(|told| now < told + PAUSE) {
            return Some(None);
        }
        tomb.told = Some(now);
        Some(Some((tomb.header, tomb.raw.clone())))
    }

    /// The number of one that we flushed ourselves.
    pub(crate) fn number(&self, now: Instant, home: Home, key: &LsaKey) -> Option<SequenceNumber> {
        let tomb = self.held.get(&(home, *key)).filter(|tomb| now < tomb.flushed + OWN_LIFE)?;
        Some(tomb.header.seq)
    }
}
