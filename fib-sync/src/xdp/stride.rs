//! The table that packets are looked up in: a root of 2^24 words, then groups of 256 (DIR-24-8 for IPv4; the same with up to
//! 13 further levels for IPv6).
//!
//! Packets walk it while it is written. Each word is stored whole; a group is filled before the word that leads to it is
//! stored, and used for something else only after a grace period. So a packet finds what stood before a change or what stands
//! after, never a mixture. Each word carries the length of the prefix it comes from: a shorter prefix knows what not to
//! overwrite, and a removed one what to give back, without a second tree.

use std::sync::atomic::{AtomicU32, Ordering};

use super::area::Area;
use super::layout::{EXT, GROUP_WORDS, ROOT_BITS, ROOT_WORDS, route_word, word_length};
use super::pool::Pool;

/// No group is left.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// One family's table. Addresses stand at the high end of a `u128`.
pub(super) struct Stride {
    root: Area<AtomicU32>,
    groups: Area<AtomicU32>,
    /// Routes that end in each group, plus groups below it.
    used: Vec<u16>,
    pool: Pool,
}

/// The word of `address` in the root.
fn root_index(address: u128) -> usize {
    (address >> (128 - u32::from(ROOT_BITS))) as usize
}

/// The octet of `address` from bit `depth` on.
fn octet(address: u128, depth: u8) -> usize {
    (address >> (120 - u32::from(depth)) & 0xff) as usize
}

impl Stride {
    /// The table in these areas, which are empty.
    pub(super) fn new(root: Area<AtomicU32>, groups: Area<AtomicU32>) -> Self {
        debug_assert_eq!(root.len(), ROOT_WORDS);
        let count = groups.len() / GROUP_WORDS;
        Self { root, groups, used: vec![0; count], pool: Pool::new(count as u32) }
    }

    /// Takes up a table that an earlier process wrote to the end; `routes` are those that it holds. False if the table is not
    /// of one piece: then it must be built anew.
    pub(super) fn adopt(&mut self, routes: impl Iterator<Item = (u128, u8)>) -> bool {
        let mut marked = vec![false; self.used.len()];
        for slot in self.root.iter() {
            let word = slot.load(Ordering::Relaxed);
            if word & EXT != 0 && !mark(&self.groups, &mut self.used, &mut marked, word & !EXT, 1) {
                return false;
            }
        }
        for (address, length) in routes.filter(|(_, length)| *length > ROOT_BITS) {
            match self.group_of(address, length) {
                Some(group) => self.used[group as usize] += 1,
                None => return false,
            }
        }
        self.pool.adopt(|group| marked[group as usize]);
        true
    }

    /// Groups in use.
    pub(super) fn groups_used(&self) -> usize {
        self.pool.used()
    }

    /// Brings the words of a coming write near, so that many writes wait for memory together.
    pub(super) fn touch(&self, address: u128) -> u32 {
        self.root[root_index(address)].load(Ordering::Relaxed)
    }

    fn slots(&self, group: u32) -> &[AtomicU32] {
        let first = group as usize * GROUP_WORDS;
        &self.groups[first..first + GROUP_WORDS]
    }

    /// The group in which a prefix longer than the root ends.
    fn group_of(&self, address: u128, length: u8) -> Option<u32> {
        let mut word = self.root[root_index(address)].load(Ordering::Relaxed);
        let mut depth = ROOT_BITS;
        loop {
            let group = (word & EXT != 0).then_some(word & !EXT)?;
            if length <= depth + 8 {
                return Some(group);
            }
            word = self.slots(group)[octet(address, depth)].load(Ordering::Relaxed);
            depth += 8;
        }
    }

    /// Writes a prefix; `fresh` if it is not in the table yet.
    pub(super) fn insert(&mut self, address: u128, length: u8, object: u32, fresh: bool) -> Result<(), Full> {
        let word = route_word(object, length);
        if length <= ROOT_BITS {
            let first = root_index(address);
            for slot in &self.root[first..first + (1 << (ROOT_BITS - length))] {
                self.cover(slot, word, length);
            }
            return Ok(());
        }
        self.reserve(address, length)?;
        let mut depth = ROOT_BITS;
        let mut parent: Option<u32> = None;
        let mut at = root_index(address);
        loop {
            let group = self.descend(parent, at)?;
            if length <= depth + 8 {
                self.used[group as usize] += u16::from(fresh);
                for slot in self.range(group, address, depth, length) {
                    self.cover(slot, word, length);
                }
                return Ok(());
            }
            (parent, at) = (Some(group), octet(address, depth));
            depth += 8;
        }
    }

    /// Removes a prefix; `under` is the word of the longest prefix that remains over it, 0 if there is none.
    pub(super) fn remove(&mut self, address: u128, length: u8, under: u32) {
        if length <= ROOT_BITS {
            let first = root_index(address);
            for slot in &self.root[first..first + (1 << (ROOT_BITS - length))] {
                self.uncover(slot, length, under);
            }
            return;
        }
        // The way down: each group with the slot that leads to it.
        let mut way: [(Option<u32>, usize, u32); 13] = [(None, 0, 0); 13];
        let mut steps = 0;
        let mut depth = ROOT_BITS;
        let mut parent = None;
        let mut at = root_index(address);
        loop {
            let word = self.slot(parent, at).load(Ordering::Relaxed);
            debug_assert!(word & EXT != 0, "a prefix that was inserted has its groups");
            if word & EXT == 0 {
                return;
            }
            let group = word & !EXT;
            way[steps] = (parent, at, group);
            steps += 1;
            if length <= depth + 8 {
                for slot in self.range(group, address, depth, length) {
                    self.uncover(slot, length, under);
                }
                break;
            }
            (parent, at) = (Some(group), octet(address, depth));
            depth += 8;
        }
        // Groups that resolve nothing any more: the word above takes over what all of theirs say.
        for (parent, at, group) in way[..steps].iter().rev().copied() {
            self.used[group as usize] -= 1;
            if self.used[group as usize] > 0 {
                return;
            }
            let word = self.slots(group)[0].load(Ordering::Relaxed);
            self.slot(parent, at).store(word, Ordering::Release);
            self.pool.retire(group);
        }
    }

    fn slot(&self, group: Option<u32>, at: usize) -> &AtomicU32 {
        match group {
            None => &self.root[at],
            Some(group) => &self.slots(group)[at],
        }
    }

    fn range(&self, group: u32, address: u128, depth: u8, length: u8) -> &[AtomicU32] {
        let first = octet(address, depth);
        &self.slots(group)[first..first + (1 << (depth + 8 - length))]
    }

    /// The group that the slot leads to, made if there is none.
    fn descend(&mut self, parent: Option<u32>, at: usize) -> Result<u32, Full> {
        let word = self.slot(parent, at).load(Ordering::Relaxed);
        if word & EXT != 0 {
            return Ok(word & !EXT);
        }
        let group = self.pool.take().ok_or(Full)?;
        for slot in self.slots(group) {
            slot.store(word, Ordering::Relaxed);
        }
        self.used[group as usize] = 0;
        // Packets may enter the group from here on: what it says must be seen first.
        self.slot(parent, at).store(EXT | group, Ordering::Release);
        if let Some(parent) = parent {
            self.used[parent as usize] += 1;
        }
        Ok(group)
    }

    /// Sees that all groups that `insert` may need are there before it begins.
    fn reserve(&mut self, address: u128, length: u8) -> Result<(), Full> {
        let needed = self.missing(address, length);
        if self.pool.reserve(needed) { Ok(()) } else { Err(Full) }
    }

    fn missing(&self, address: u128, length: u8) -> usize {
        let mut word = self.root[root_index(address)].load(Ordering::Relaxed);
        let mut depth = ROOT_BITS;
        while word & EXT != 0 {
            if length <= depth + 8 {
                return 0;
            }
            word = self.slots(word & !EXT)[octet(address, depth)].load(Ordering::Relaxed);
            depth += 8;
        }
        usize::from(length - depth).div_ceil(8)
    }

    fn cover(&self, slot: &AtomicU32, word: u32, length: u8) {
        let old = slot.load(Ordering::Relaxed);
        if old & EXT != 0 {
            for slot in self.slots(old & !EXT) {
                self.cover(slot, word, length);
            }
        } else if word_length(old) <= length {
            slot.store(word, Ordering::Relaxed);
        }
    }

    fn uncover(&self, slot: &AtomicU32, length: u8, under: u32) {
        let old = slot.load(Ordering::Relaxed);
        if old & EXT != 0 {
            for slot in self.slots(old & !EXT) {
                self.uncover(slot, length, under);
            }
        } else if old != 0 && word_length(old) == length {
            slot.store(under, Ordering::Relaxed);
        }
    }

    /// The word a packet to `address` would find.
    #[cfg(test)]
    pub(super) fn lookup(&self, address: u128) -> u32 {
        let mut word = self.root[root_index(address)].load(Ordering::Acquire);
        let mut depth = ROOT_BITS;
        while word & EXT != 0 {
            word = self.slots(word & !EXT)[octet(address, depth)].load(Ordering::Acquire);
            depth += 8;
        }
        word
    }
}

/// Counts the groups below `group`; false if one is named twice, is out of range or lies too deep.
fn mark(groups: &[AtomicU32], used: &mut [u16], marked: &mut [bool], group: u32, level: u8) -> bool {
    match marked.get_mut(group as usize) {
        Some(mark) if !*mark && level <= 13 => *mark = true,
        _ => return false,
    }
    let first = group as usize * GROUP_WORDS;
    (first..first + GROUP_WORDS).all(|at| {
        let word = groups[at].load(Ordering::Relaxed);
        if word & EXT == 0 {
            return true;
        }
        used[group as usize] += 1;
        mark(groups, used, marked, word & !EXT, level + 1)
    })
}

#[cfg(test)]
mod tests;
