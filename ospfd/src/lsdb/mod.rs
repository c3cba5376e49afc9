//! The link-state database: every LSA of every scope once, in a slab with one hash over it. An LSA has a birth time
//! instead of an age that ticks; who still has to acknowledge it is a bitset beside it. What an LSA means to routing
//! is read once, when it is installed, by the route calculation; here are its header and its octets.

pub(crate) mod bits;
#[cfg(test)]
mod tests;
pub(crate) mod tombs;

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt};
use hashbrown::HashTable;

use crate::id::{AreaId, InterfaceId, LsaKey, RouterId, SequenceNumber};
use crate::lsa::{Lsa, LsaHeader, MAX_AGE};
use bits::Bits;

/// Ages further apart than this make the younger instance the newer one (RFC 2328 §B MaxAgeDiff), in seconds.
const MAX_AGE_DIFF: u16 = 900;
/// An own LSA is refreshed at this age (RFC 2328 §B LSRefreshTime), in seconds.
pub(crate) const REFRESH_AGE: u16 = 1800;

/// Which database an LSA is in: its flooding scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Home {
    As,
    Area(AreaId),
    Link(InterfaceId),
}

/// A place in the slab. It is reused after a removal, so what is kept over time is checked against the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

/// One LSA held. 100,000 of them with an external's 36 octets are 16 MB.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) home: Home,
    pub(crate) key: LsaKey,
    pub(crate) seq: SequenceNumber,
    pub(crate) checksum: u16,
    pub(crate) length: u16,
    pub(crate) options: u8,
    /// We are its originator.
    pub(crate) own: bool,
    /// It is at MaxAge and waits for its acknowledgments (RFC 2328 §14).
    pub(crate) flushing: bool,
    /// How often it came newer within MinLSArrival.
    pub(crate) burst: u8,
    /// The neighbor it came first from, for the limit per neighbor; `u32::MAX` for ours.
    pub(crate) giver: u32,
    /// Milliseconds of the database's clock at which its age was 0; may lie before the clock's start.
    born_ms: i64,
    /// Milliseconds of the database's clock at which this instance came.
    pub(crate) installed_ms: i64,
    /// Milliseconds of the database's clock at which it was last sent to anybody.
    pub(crate) sent_ms: i64,
    /// Milliseconds between this instance and the last time that somebody got the one before it.
    pub(crate) since_last_ms: i64,
    /// Milliseconds of the database's clock at which it was last sent back to somebody with an older one.
    pub(crate) returned_ms: i64,
    /// Neighbors that have not acknowledged this instance.
    pub(crate) pending: Bits,
    pub(crate) raw: Box<[u8]>,
}

/// The database.
#[derive(Debug)]
pub(crate) struct Lsdb {
    epoch: Instant,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: foldhash::fast::FixedState,
    /// LSAs by originator, ours left out.
    origins: HashMap<RouterId, u32>,
    /// LSAs by the neighbor they came from.
    givers: HashMap<u32, u32>,
    /// Seconds of the clock -> slots that reach their refresh or maximum age then, or did when they were put there.
    ages: BTreeMap<i64, Vec<Slot>>,
    foreign: usize,
}

/// What [`Lsdb::install`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) slot: Slot,
    /// Who had not acknowledged what was there before, and its octets.
    pub(crate) owed: Bits,
    pub(crate) length: u16,
    /// The contents differ from what was held before (RFC 2328 §13.2), so routes may.
    pub(crate) changed: bool,
}

impl Lsdb {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            entries: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: foldhash::fast::FixedState::default(),
            origins: HashMap::new(),
            givers: HashMap::new(),
            ages: BTreeMap::new(),
            foreign: 0,
        }
    }

    fn hash(&self, home: Home, key: &LsaKey) -> u64 {
        self.hasher.hash_one((home, key))
    }

    /// `now` on the database's clock.
    pub(crate) fn ms(&self, now: Instant) -> i64 {
        i64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(i64::MAX)
    }

    pub(crate) fn find(&self, home: Home, key: &LsaKey) -> Option<Slot> {
        let found = self.index.find(self.hash(home, key), |slot| {
            self.get(Slot(*slot)).is_some_and(|entry| entry.key == *key && entry.home == home)
        });
        found.map(|slot| Slot(*slot))
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(slot.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.get_mut(slot.0 as usize)?.as_mut()
    }

    pub(crate) fn lookup(&self, home: Home, key: &LsaKey) -> Option<(Slot, &Entry)> {
        let slot = self.find(home, key)?;
        Some((slot, self.get(slot)?))
    }

    /// Everything that is held.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            entry.as_ref().map(|entry| (Slot(u32::try_from(index).unwrap_or(u32::MAX)), entry))
        })
    }

    /// How many LSAs are held.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// How many of them are not ours.
    pub(crate) fn foreign(&self) -> usize {
        self.foreign
    }

    /// How many of them are of `origin`, if it is not us.
    pub(crate) fn of_origin(&self, origin: RouterId) -> usize {
        self.origins.get(&origin).map_or(0, |count| *count as usize)
    }

    /// How many of them came first from the neighbor with this number.
    pub(crate) fn of_giver(&self, giver: u32) -> usize {
        self.givers.get(&giver).map_or(0, |count| *count as usize)
    }

    /// How many one origin has, at most.
    pub(crate) fn most_of_origin(&self) -> usize {
        self.origins.values().max().map_or(0, |count| *count as usize)
    }

    /// How many came first from one neighbor, at most.
    pub(crate) fn most_of_giver(&self) -> usize {
        self.givers.values().max().map_or(0, |count| *count as usize)
    }

    /// Puts `lsa` in the place of what has its name. Acknowledgments that were waited for are no longer (§13 5c).
    pub(crate) fn install(&mut self, now: Instant, home: Home, lsa: &Lsa, own: bool, giver: u32) -> Installed {
        let now_ms = self.ms(now);
        let header = &lsa.header;
        let born_ms = now_ms - i64::from(header.age) * 1000;
        let flushing = header.age >= MAX_AGE;
        let due = self.due(born_ms, own);
        if let Some(slot) = self.find(home, &header.key) {
            let Some(entry) = self.entries.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
                unreachable!("the index names held entries")
            };
            // RFC 2328 §13.2: a change is of options, of MaxAge, or of anything after the header.
            let changed = entry.options != header.options
                || entry.flushing != flushing
                || entry.raw.get(crate::lsa::HEADER_LEN..) != lsa.raw.get(crate::lsa::HEADER_LEN..);
            entry.burst = if now_ms - entry.installed_ms < 1000 { entry.burst.saturating_add(1) } else { 0 };
            let (owed, length) = (std::mem::take(&mut entry.pending), entry.length);
            (entry.seq, entry.checksum, entry.length) = (header.seq, header.checksum, header.length);
            (entry.options, entry.flushing) = (header.options, flushing);
            entry.since_last_ms = now_ms - entry.installed_ms.max(entry.sent_ms);
            (entry.born_ms, entry.installed_ms) = (born_ms, now_ms);
            entry.returned_ms = i64::MIN / 2;
            if entry.raw.len() == lsa.raw.len() {
                entry.raw.copy_from_slice(&lsa.raw);
            } else {
                entry.raw = lsa.raw.as_ref().into();
            }
            self.ages.entry(due).or_default().push(slot);
            return Installed { slot, owed, length, changed };
        }
        let entry = Entry {
            home,
            key: header.key,
            seq: header.seq,
            checksum: header.checksum,
            length: header.length,
            options: header.options,
            own,
            flushing,
            burst: 0,
            giver: if own { u32::MAX } else { giver },
            born_ms,
            installed_ms: now_ms,
            sent_ms: i64::MIN / 2,
            since_last_ms: i64::MAX,
            returned_ms: i64::MIN / 2,
            pending: Bits::default(),
            raw: lsa.raw.as_ref().into(),
        };
        if !own {
            self.foreign += 1;
            *self.origins.entry(header.key.adv).or_default() += 1;
            *self.givers.entry(giver).or_default() += 1;
        }
        let slot = if let Some(slot) = self.free.pop() {
            if let Some(place) = self.entries.get_mut(slot as usize) {
                *place = Some(entry);
            }
            slot
        } else {
            self.entries.push(Some(entry));
            u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
        };
        let hash = self.hash(home, &header.key);
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.insert_unique(hash, slot, |slot| {
            let entry = entries.get(*slot as usize).and_then(Option::as_ref);
            entry.map_or(0, |entry| hasher.hash_one((entry.home, &entry.key)))
        });
        self.ages.entry(due).or_default().push(Slot(slot));
        Installed { slot: Slot(slot), owed: Bits::default(), length: 0, changed: true }
    }

    /// The second at which somebody must look at an LSA born then: its refresh if it is ours, its end otherwise.
    fn due(&self, born_ms: i64, own: bool) -> i64 {
        // Rounded up: an LSA is never looked at before its time.
        (born_ms + i64::from(if own { REFRESH_AGE } else { MAX_AGE }) * 1000 + 999).div_euclid(1000)
    }

    /// Its age now is MaxAge, whatever it was (RFC 2328 §14.1); the octets say so too.
    pub(crate) fn set_max_age(&mut self, now: Instant, slot: Slot) {
        let now_ms = self.ms(now);
        if let Some(entry) = self.get_mut(slot) {
            entry.born_ms = now_ms - i64::from(MAX_AGE) * 1000;
            entry.since_last_ms = now_ms - entry.installed_ms.max(entry.sent_ms);
            entry.installed_ms = now_ms;
            entry.flushing = true;
        }
    }

    /// Nobody waits for the acknowledgments of a neighbor any more; the answer is what was at MaxAge only for that.
    pub(crate) fn forget_pending(&mut self, number: u32) -> Vec<Slot> {
        let mut done = Vec::new();
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let Some(entry) = entry else { continue };
            if entry.pending.remove(number) && entry.flushing && entry.pending.is_empty() {
                done.push(Slot(u32::try_from(index).unwrap_or(u32::MAX)));
            }
        }
        done
    }

    /// Takes it out.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Entry> {
        let entry = self.entries.get_mut(slot.0 as usize)?.take()?;
        let hash = self.hash(entry.home, &entry.key);
        if let Ok(found) = self.index.find_entry(hash, |held| *held == slot.0) {
            found.remove();
        }
        self.free.push(slot.0);
        if !entry.own {
            self.foreign -= 1;
            decrement(&mut self.origins, entry.key.adv);
            decrement(&mut self.givers, entry.giver);
        }
        Some(entry)
    }

    /// The age of `entry`, in seconds, at most MaxAge.
    pub(crate) fn age(&self, now: Instant, entry: &Entry) -> u16 {
        if entry.flushing {
            return MAX_AGE;
        }
        u16::try_from(((self.ms(now) - entry.born_ms) / 1000).clamp(0, i64::from(MAX_AGE))).unwrap_or(MAX_AGE)
    }

    /// The header of `entry` with its age at `now`.
    pub(crate) fn header(&self, now: Instant, entry: &Entry) -> LsaHeader {
        LsaHeader {
            age: self.age(now, entry),
            options: entry.options,
            key: entry.key,
            seq: entry.seq,
            checksum: entry.checksum,
            length: entry.length,
        }
    }

    /// When [`Lsdb::due_slots`] has something.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let second = *self.ages.keys().next()?;
        Some(self.epoch + Duration::from_secs(u64::try_from(second).unwrap_or(0)))
    }

    /// Own LSAs that want a refresh and foreign ones that reached MaxAge by `now`.
    pub(crate) fn due_slots(&mut self, now: Instant) -> Vec<Slot> {
        let second = self.ms(now).div_euclid(1000);
        let mut due = Vec::new();
        while let Some(first) = self.ages.first_entry() {
            if *first.key() > second {
                break;
            }
            due.extend(first.remove());
        }
        due.retain(|slot| {
            self.get(*slot).is_some_and(|entry| {
                let limit = if entry.own { REFRESH_AGE } else { MAX_AGE };
                !entry.flushing && self.ms(now) - entry.born_ms >= i64::from(limit) * 1000
            })
        });
        due.sort_unstable();
        due.dedup();
        due
    }
}

fn decrement<K: std::hash::Hash + Eq + Copy>(counts: &mut HashMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// Which of two instances of one LSA is newer: `Greater` if `a` is (RFC 2328 §13.1).
pub(crate) fn compare(a: &LsaHeader, b: &LsaHeader) -> std::cmp::Ordering {
    let by_age = || {
        match (a.age >= MAX_AGE, b.age >= MAX_AGE) {
            (true, false) => std::cmp::Ordering::Greater,
            (false, true) => std::cmp::Ordering::Less,
            // The younger one is newer, if they are far enough apart.
            _ if a.age.abs_diff(b.age) > MAX_AGE_DIFF => b.age.cmp(&a.age),
            _ => std::cmp::Ordering::Equal,
        }
    };
    a.seq.cmp(&b.seq).then(a.checksum.cmp(&b.checksum)).then_with(by_age)
}
