//! Which routes stand, exactly: a hash table in a pinned map, so that the next process finds them.
//!
//! The tables that packets use have forgotten prefixes that longer ones hide. This book has not: it answers a dump, and which
//! prefix comes to light when a longer one goes. Open addressing with linear probing; a removal moves later records back, so
//! there are no tombstones. One writer; a process that dies while writing is noticed by `state` and the records are read as
//! far as they make sense.

use std::sync::atomic::{AtomicU64, Ordering};

use super::area::Area;
use super::layout::{MAX_OBJECTS, ROUTE6_WORDS};
use super::stride::Full;

const USED: u64 = 1 << 63;

/// Which of the two record layouts a book has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One word: used, length (6 bits from 56), object (22 bits from 32), address.
    V4,
    /// Three words: address, then used, length (8 bits from 22) and object.
    V6,
}

impl Layout {
    const fn words(self) -> usize {
        match self {
            Self::V4 => 1,
            Self::V6 => ROUTE6_WORDS,
        }
    }

    const fn longest(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// A record: address at the high end, prefix length, object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) address: u128,
    pub(super) length: u8,
    pub(super) object: u32,
}

/// One family's routes.
pub(super) struct Book {
    layout: Layout,
    area: Area<AtomicU64>,
    /// Slots less one; slots are a power of two.
    mask: usize,
    most: usize,
    lengths: [u32; 129],
    len: usize,
}

/// Slots for at most `routes` routes: a quarter at least stays free.
pub(super) fn slots_for(routes: u32) -> u32 {
    (u64::from(routes) * 4 / 3 + 1).next_power_of_two().min(1 << 30) as u32
}

fn prefix_mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

impl Book {
    /// The book in `area`, which may hold records of an earlier process; at most `most` routes.
    pub(super) fn new(layout: Layout, area: Area<AtomicU64>, most: usize) -> Self {
        let slots = area.len() / layout.words();
        debug_assert!(slots.is_power_of_two());
        let mut book = Self { layout, area, mask: slots - 1, most, lengths: [0; 129], len: 0 };
        for at in 0..slots {
            if let Some(record) = book.read(at) {
                book.len += 1;
                book.lengths[usize::from(record.length)] += 1;
            }
        }
        book
    }

    /// Routes in the book.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn read(&self, at: usize) -> Option<Record> {
        match self.layout {
            Layout::V4 => {
                let word = self.area[at].load(Ordering::Relaxed);
                let length = (word >> 56) as u8 & 0x3f;
                let object = (word >> 32) as u32 & (MAX_OBJECTS - 1);
                (word & USED != 0).then(|| Record { address: u128::from(word as u32) << 96, length, object })
            }
            Layout::V6 => {
                let word = |i: usize| self.area[at * ROUTE6_WORDS + i].load(Ordering::Relaxed);
                let meta = word(2);
                let address = || u128::from(word(0)) << 64 | u128::from(word(1));
                let (length, object) = ((meta >> 22) as u8, meta as u32 & (MAX_OBJECTS - 1));
                (meta & USED != 0).then(|| Record { address: address(), length, object })
            }
        }
    }

    fn write(&self, at: usize, record: Option<Record>) {
        match self.layout {
            Layout::V4 => {
                let word = record.map_or(0, |r| {
                    USED | u64::from(r.length) << 56 | u64::from(r.object) << 32 | (r.address >> 96) as u64
                });
                self.area[at].store(word, Ordering::Relaxed);
            }
            Layout::V6 => {
                let words = &self.area[at * ROUTE6_WORDS..][..ROUTE6_WORDS];
                let Some(r) = record else { return words[2].store(0, Ordering::Relaxed) };
                words[0].store((r.address >> 64) as u64, Ordering::Relaxed);
                words[1].store(r.address as u64, Ordering::Relaxed);
                let meta = USED | u64::from(r.length) << 22 | u64::from(r.object);
                words[2].store(meta, Ordering::Release);
            }
        }
    }

    fn home(&self, address: u128, length: u8) -> usize {
        let folded = (address >> 64) as u64 ^ (address as u64).rotate_left(23) ^ u64::from(length) << 3;
        let mixed = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32) as usize & self.mask
    }

    /// Brings the record of a coming write near.
    pub(super) fn touch(&self, address: u128, length: u8) -> u64 {
        self.area[self.home(address, length) * self.layout.words()].load(Ordering::Relaxed)
    }

    /// The slot of a prefix, or the free one where it would stand.
    fn find(&self, address: u128, length: u8) -> (usize, Option<Record>) {
        let mut at = self.home(address, length);
        loop {
            match self.read(at) {
                None => return (at, None),
                Some(record) if record.address == address && record.length == length => return (at, Some(record)),
                Some(_) => at = (at + 1) & self.mask,
            }
        }
    }

    /// The object of a prefix.
    pub(super) fn get(&self, address: u128, length: u8) -> Option<u32> {
        if self.lengths[usize::from(length)] == 0 {
            return None;
        }
        self.find(address, length).1.map(|record| record.object)
    }

    /// Sets the object of a prefix; answers with the one before.
    pub(super) fn set(&mut self, address: u128, length: u8, object: u32) -> Result<Option<u32>, Full> {
        let (at, before) = self.find(address, length);
        if before.is_none() {
            if self.len >= self.most {
                return Err(Full);
            }
            self.len += 1;
            self.lengths[usize::from(length)] += 1;
        }
        self.write(at, Some(Record { address, length, object }));
        Ok(before.map(|record| record.object))
    }

    /// Takes a prefix out; answers with its object.
    pub(super) fn remove(&mut self, address: u128, length: u8) -> Option<u32> {
        if self.lengths[usize::from(length)] == 0 {
            return None;
        }
        let (mut hole, found) = self.find(address, length);
        let object = found?.object;
        self.len -= 1;
        self.lengths[usize::from(length)] -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let Some(record) = self.read(at) else { break };
            let home = self.home(record.address, record.length);
            // It may stand in the hole if that lies on its way from home.
            if at.wrapping_sub(home) & self.mask >= at.wrapping_sub(hole) & self.mask {
                self.write(hole, Some(record));
                hole = at;
            }
        }
        self.write(hole, None);
        Some(object)
    }

    /// The longest prefix over this one: its length and object.
    pub(super) fn over(&self, address: u128, length: u8) -> Option<(u8, u32)> {
        (0..length).rev().find_map(|shorter| Some((shorter, self.get(address & prefix_mask(shorter), shorter)?)))
    }

    /// Every record that can be one.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let sound =
            |r: &Record| r.length <= self.layout.longest() && r.object != 0 && r.address & !prefix_mask(r.length) == 0;
        (0..=self.mask).filter_map(|at| self.read(at)).filter(sound)
    }
}

#[cfg(test)]
mod tests;
