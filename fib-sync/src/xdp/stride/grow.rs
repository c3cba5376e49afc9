//! How a table gets lists and groups.

use super::nodes::{Entries, Entry, Node, Nodes, Place, node, starts_alike, way, window, window_end, window_mask};
use super::{Full, Head, Stride};
use crate::xdp::layout::{EXT, GROUP_WORDS, LIST, LIST_BITS, LIST_ROUTES, word_length};

/// Lists that one write may take: one for each prefix of a list that is full and for the new one, one above their group, three
/// from where the first ends down to a host. One more is left for the next removal.
const LISTS: usize = LIST_ROUTES + 6;

impl Stride {
    /// A prefix below a word that had nothing below it.
    pub(super) fn sprout(&mut self, at: Place, depth: u8, under: u32, address: u128, word: u32) -> Result<(), Full> {
        self.reserve(usize::from(self.list_routes == 0))?;
        let entry = self.entry(depth, under, address, word);
        let made = self.build(depth, under, &[entry]);
        self.nodes.store(at, made);
        if let Place::Group(slot) = at {
            self.heads[slot / GROUP_WORDS].used += 1;
        }
        Ok(())
    }

    /// One more prefix in a list: another list or a group takes its place.
    pub(super) fn extend(&mut self, at: Place, depth: u8, list: u32, address: u128, word: u32) -> Result<(), Full> {
        let mut entries = self.nodes.entries(list);
        self.reserve(usize::from(entries.len() >= self.list_routes))?;
        let over = self.nodes.load(self.nodes.best(list, address, depth));
        let entry = self.entry(depth, over, address, word);
        self.cover_ways(list, address, depth, word);
        entries.insert(entries.partition_point(|other| other.length() >= entry.length()), entry);
        let made = self.build(depth, self.nodes.load(Nodes::under(list)), &entries);
        self.nodes.store(at, made);
        self.lists.retire(list);
        Ok(())
    }

    /// A prefix in a list covers what the list's longer ones lead to.
    pub(super) fn cover_ways(&mut self, list: u32, address: u128, depth: u8, word: u32) {
        for place in self.nodes.ways_below(list, address, depth, word_length(word)) {
            self.cover(place, word);
        }
    }

    fn reserve(&mut self, groups: usize) -> Result<(), Full> {
        let lists = if self.list_routes == 0 { 0 } else { LISTS };
        if self.groups.reserve(groups) && self.lists.reserve(lists) { Ok(()) } else { Err(Full) }
    }

    /// The entry for a prefix in a list at `depth`: one that ends beyond the window has a list of its own there.
    fn entry(&mut self, depth: u8, under: u32, address: u128, word: u32) -> Entry {
        let key = window(address, depth);
        let end = window_end(depth);
        if word_length(word) <= end {
            return Entry { key, word };
        }
        let below = self.entry(end, under, address, word);
        Entry { key, word: self.list(end, under, &[below]) }
    }

    /// A word that leads to these prefixes: to a list as long as they fit, else to a group that tells them apart.
    pub(super) fn build(&mut self, depth: u8, under: u32, entries: &[Entry]) -> u32 {
        if entries.len() <= self.list_routes {
            return self.list(depth, under, entries);
        }
        let first = entries[0].key;
        let apart = |end: u8| entries.iter().any(|e| e.length() <= end || !starts_alike(e.key, first, end - depth));
        let mut deep = depth;
        while !apart(deep + 8) {
            deep += 8;
        }
        let moved = |entry: &Entry| Entry { key: entry.key << (deep - depth), ..*entry };
        let group = self.group(deep, under, entries.iter().map(moved).collect());
        if deep == depth {
            return group;
        }
        self.list(depth, under, &[Entry { key: first & window_mask(deep - depth), word: group }])
    }

    pub(super) fn list(&mut self, depth: u8, under: u32, entries: &[Entry]) -> u32 {
        let list = self.lists.take().expect("reserved before the write began");
        self.nodes.write_list(list, under, entries);
        way(LIST, list, depth)
    }

    fn group(&mut self, depth: u8, under: u32, entries: Entries) -> u32 {
        let group = self.groups.take().expect("reserved before the write began");
        let octet = |entry: &Entry| (entry.key >> (LIST_BITS - 8)) as usize;
        let (mut longer, ending): (Entries, Entries) =
            entries.into_iter().partition(|entry| entry.length() > depth + 8);
        let mut words = [under; GROUP_WORDS];
        let mut used = 0;
        // The shortest first.
        for entry in ending.iter().rev() {
            words[octet(entry)..][..1 << (depth + 8 - entry.length())].fill(entry.word);
            used += 1 + u16::from(self.hides_a_route(entry.word));
        }
        while let Some(first) = longer.first().copied() {
            let slot = octet(&first);
            let (mut these, others): (Entries, Entries) = longer.into_iter().partition(|entry| octet(entry) == slot);
            these.iter_mut().for_each(|entry| entry.key <<= 8);
            longer = others;
            words[slot] = self.list(depth + 8, words[slot], &these);
            used += 1;
        }
        for (at, word) in Nodes::slots(group).zip(words) {
            self.nodes.store(Place::Group(at), word);
        }
        self.heads[group as usize] = Head { used, under };
        way(EXT, group, depth)
    }

    /// True if a word leads on and there is a route just as long as the way there.
    pub(super) fn hides_a_route(&self, word: u32) -> bool {
        let under = match node(word) {
            Node::Route(_) => return false,
            Node::Group(group) => self.heads[group as usize].under,
            Node::List(list) => self.nodes.load(Nodes::under(list)),
        };
        under != 0 && word_length(under) == word_length(word)
    }
}
