//! The table that packets are looked up in: a root of 2^24 words, then groups of 256 (DIR-24-8 for IPv4). For IPv6 what lies
//! below a word is first a list of up to seven prefixes in one line of the cache, and becomes a group when there are more.
//!
//! Packets walk it while it is written. Each word is stored whole; a group or a list is filled before the word that leads to it
//! is stored, and used for something else only after a grace period. The prefixes of a list never change: another list takes
//! its place. So a packet finds what stood before a change or what stands after, never a mixture. Each word carries the length
//! of the prefix it comes from: a shorter prefix knows what not to overwrite, and a removed one what to give back, without a
//! second tree.

mod adopt;
mod grow;
mod nodes;
mod shrink;

use std::sync::atomic::AtomicU32;

use super::area::Area;
use super::layout::{GROUP_WORDS, LIST_ROUTES, LIST_WORDS, ROOT_BITS, ROOT_WORDS, route_word, word_length};
use super::pool::Pool;
use nodes::{Found, Node, Nodes, Place, octet, root_index};

/// No group or list is left.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What the writer alone knows of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    /// Routes that end in it, plus groups and lists below it.
    used: u16,
    /// The word of the longest prefix over all of it.
    under: u32,
}

/// One family's table. Addresses stand at the high end of a `u128`.
pub(super) struct Stride {
    nodes: Nodes,
    heads: Vec<Head>,
    groups: Pool,
    lists: Pool,
    /// Prefixes that a list may have; 0 without lists.
    list_routes: usize,
}

impl Stride {
    /// The table in these areas, which are empty. Without lists every prefix beyond the root has groups.
    pub(super) fn new(root: Area<AtomicU32>, groups: Area<AtomicU32>, lists: Option<Area<AtomicU32>>) -> Self {
        debug_assert_eq!(root.len(), ROOT_WORDS);
        let count = groups.len() / GROUP_WORDS;
        let list_count = lists.as_ref().map_or(0, |lists| lists.len() / LIST_WORDS);
        Self {
            list_routes: if lists.is_some() { LIST_ROUTES } else { 0 },
            nodes: Nodes { root, groups, lists },
            heads: vec![Head::default(); count],
            groups: Pool::new(count as u32),
            lists: Pool::new(list_count as u32),
        }
    }

    /// Groups and lists in use.
    pub(super) fn used(&self) -> (usize, usize) {
        (self.groups.used(), self.lists.used())
    }

    /// Brings the words of a coming write near, so that many writes wait for memory together.
    pub(super) fn touch(&self, address: u128) -> u32 {
        self.nodes.load(Place::Root(root_index(address)))
    }

    /// Writes a prefix; `fresh` if it is not in the table yet.
    pub(super) fn insert(&mut self, address: u128, length: u8, object: u32, fresh: bool) -> Result<(), Full> {
        let word = route_word(object, length);
        let first = root_index(address);
        if length <= ROOT_BITS {
            for at in first..first + (1 << (ROOT_BITS - length)) {
                self.cover(Place::Root(at), word);
            }
            return Ok(());
        }
        let (mut at, mut depth) = (Place::Root(first), ROOT_BITS);
        loop {
            match self.nodes.node(at) {
                Node::Route(under) => return self.sprout(at, depth, under, address, word),
                Node::Group(group) if length <= depth + 8 => {
                    self.heads[group as usize].used += u16::from(fresh);
                    for at in Nodes::range(group, address, depth, length) {
                        self.cover(Place::Group(at), word);
                    }
                    return Ok(());
                }
                Node::Group(group) => {
                    at = Nodes::slot(group, octet(address, depth));
                    depth += 8;
                }
                Node::List(list) => match self.nodes.find(list, address, depth, length) {
                    Found::Same(entry) => {
                        self.cover(entry, word);
                        self.cover_ways(list, address, depth, word);
                        return Ok(());
                    }
                    Found::Below(entry, deeper) => (at, depth) = (entry, deeper),
                    Found::Nothing => return self.extend(at, depth, list, address, word),
                },
            }
        }
    }

    /// Removes a prefix; `under` is the word of the longest prefix that remains over it, 0 if there is none.
    pub(super) fn remove(&mut self, address: u128, length: u8, under: u32) {
        let first = root_index(address);
        if length <= ROOT_BITS {
            for at in first..first + (1 << (ROOT_BITS - length)) {
                self.uncover(Place::Root(at), length, under);
            }
            return;
        }
        // The way down: the places of the words that lead on.
        let mut way = shrink::Way::new();
        let (mut at, mut depth) = (Place::Root(first), ROOT_BITS);
        loop {
            way.push(at);
            match self.nodes.node(at) {
                Node::Group(group) if length <= depth + 8 => {
                    for at in Nodes::range(group, address, depth, length) {
                        self.uncover(Place::Group(at), length, under);
                    }
                    self.heads[group as usize].used -= 1;
                    return self.settle(way, group, depth);
                }
                Node::Group(group) => {
                    at = Nodes::slot(group, octet(address, depth));
                    depth += 8;
                }
                Node::List(list) => match self.nodes.find(list, address, depth, length) {
                    Found::Same(entry) => return self.take_out(way, address, list, entry, under),
                    Found::Below(entry, deeper) => (at, depth) = (entry, deeper),
                    Found::Nothing => return debug_assert!(false, "a prefix that was inserted has its entry"),
                },
                Node::Route(_) => return debug_assert!(false, "a prefix that was inserted has its groups"),
            }
        }
    }

    /// Writes `word` wherever nothing longer stands, at a place and below it.
    #[inline]
    fn cover(&mut self, at: Place, word: u32) {
        match self.nodes.node(at) {
            Node::Route(old) if word_length(old) <= word_length(word) => self.nodes.store(at, word),
            Node::Route(_) => {}
            below => self.cover_below(below, word),
        }
    }

    fn cover_below(&mut self, below: Node, word: u32) {
        match below {
            Node::Route(_) => {}
            Node::Group(group) => {
                let head = &mut self.heads[group as usize];
                if word_length(head.under) <= word_length(word) {
                    head.under = word;
                }
                Nodes::slots(group).for_each(|at| self.cover(Place::Group(at), word));
            }
            Node::List(list) => {
                self.cover(Nodes::under(list), word);
                self.nodes.ways(list).for_each(|entry| self.cover(entry, word));
            }
        }
    }

    /// Gives back what a prefix of this length had covered, at a place and below it.
    #[inline]
    fn uncover(&mut self, at: Place, length: u8, under: u32) {
        match self.nodes.node(at) {
            Node::Route(old) if old != 0 && word_length(old) == length => self.nodes.store(at, under),
            Node::Route(_) => {}
            below => self.uncover_below(below, length, under),
        }
    }

    fn uncover_below(&mut self, below: Node, length: u8, under: u32) {
        match below {
            Node::Route(_) => {}
            Node::Group(group) => {
                let head = &mut self.heads[group as usize];
                if head.under != 0 && word_length(head.under) == length {
                    head.under = under;
                }
                Nodes::slots(group).for_each(|at| self.uncover(Place::Group(at), length, under));
            }
            Node::List(list) => {
                self.uncover(Nodes::under(list), length, under);
                self.nodes.ways(list).for_each(|entry| self.uncover(entry, length, under));
            }
        }
    }

    /// The word a packet to `address` would find.
    #[cfg(test)]
    pub(super) fn lookup(&self, address: u128) -> u32 {
        let (mut at, mut depth) = (Place::Root(root_index(address)), ROOT_BITS);
        loop {
            match self.nodes.node(at) {
                Node::Route(word) => return word,
                Node::Group(group) => {
                    at = Nodes::slot(group, octet(address, depth));
                    depth += 8;
                }
                Node::List(list) => {
                    at = self.nodes.best(list, address, depth);
                    depth = word_length(self.nodes.load(at));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
