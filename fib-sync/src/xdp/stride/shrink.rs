//! How a table gives lists and groups back.

use smallvec::SmallVec;

use super::Stride;
use super::nodes::{Entries, Entry, Node, Nodes, Place, node, window_end, window_mask};
use crate::xdp::layout::{GROUP_WORDS, LIST_BITS, LIST_ROUTES, word_length};

/// Places of the words that lead from the root to where a prefix ends.
pub(super) type Way = SmallVec<[Place; 14]>;

/// A group with no more than this many things in it becomes a list again, if they leave room in it.
const FEW: u16 = 3;

/// The depth of what the last word leads to.
fn way_depth(way: &Way, nodes: &Nodes) -> u8 {
    way.last().map_or(0, |at| word_length(nodes.load(*at)))
}

impl Stride {
    /// Removes the prefix that stands at `entry` of the list at the end of `way`.
    pub(super) fn take_out(&mut self, way: Way, address: u128, list: u32, entry: Place, under: u32) {
        let length = word_length(self.nodes.load(entry));
        if !matches!(self.nodes.node(entry), Node::Route(_)) {
            // Longer ones remain.
            return self.uncover(entry, length, under);
        }
        let depth = way_depth(&way, &self.nodes);
        for place in self.nodes.ways_below(list, address, depth, length) {
            self.uncover(place, length, under);
        }
        self.cut(way, list, entry);
    }

    /// Takes an entry out of the list at the end of `way`.
    fn cut(&mut self, way: Way, list: u32, entry: Place) {
        let Place::List(index) = entry else { return };
        let mut entries = self.nodes.entries(list);
        entries.remove(Nodes::entry_at(index).1);
        let under = self.nodes.load(Nodes::under(list));
        if entries.is_empty() {
            self.fold(way, under);
        } else if let Some(at) = way.last() {
            // Each removal gives back what it takes, and writes leave one more than they need.
            let made = self.list(word_length(self.nodes.load(*at)), under, &entries);
            self.nodes.store(*at, made);
        }
        self.lists.retire(list);
    }

    /// What the last word of `way` leads to says nothing more than `word`.
    fn fold(&mut self, mut way: Way, word: u32) {
        let Some(at) = way.pop() else { return };
        match at {
            Place::Root(_) => self.nodes.store(at, word),
            Place::Group(slot) => {
                self.nodes.store(at, word);
                let group = (slot / GROUP_WORDS) as u32;
                self.heads[group as usize].used -= 1;
                let depth = way_depth(&way, &self.nodes);
                self.settle(way, group, depth);
            }
            // The entry itself, if its prefix is a route.
            Place::List(_) if word_length(word) == word_length(self.nodes.load(at)) => self.nodes.store(at, word),
            Place::List(index) => self.cut(way, Nodes::entry_at(index).0, at),
        }
    }

    /// Something in the group at the end of `way` is gone.
    pub(super) fn settle(&mut self, way: Way, group: u32, depth: u8) {
        let head = self.heads[group as usize];
        if head.used == 0 {
            // All its words say what stands over it.
            self.fold(way, head.under);
            self.groups.retire(group);
        } else if head.used <= FEW
            && self.list_routes > 0
            && let Some(entries) = self.few(group, depth)
            && self.lists.reserve(2)
            && let Some(at) = way.last()
        {
            let merged: SmallVec<[u32; 2]> = Nodes::slots(group)
                .filter_map(|at| match self.nodes.node(Place::Group(at)) {
                    Node::List(list) => Some(list),
                    Node::Group(_) | Node::Route(_) => None,
                })
                .collect();
            let made = self.list(depth, head.under, &entries);
            self.nodes.store(*at, made);
            self.groups.retire(group);
            merged.into_iter().for_each(|list| self.lists.retire(list));
        }
    }

    /// What is in a group, if it can be told from its words and leaves room in a list.
    fn few(&self, group: u32, depth: u8) -> Option<Entries> {
        let mut entries = Entries::new();
        let mut seen = 0;
        for (octet, at) in Nodes::slots(group).enumerate() {
            let word = self.nodes.load(Place::Group(at));
            let key = (octet as u32) << (LIST_BITS - 8);
            match node(word) {
                Node::Route(_) if word_length(word) <= depth => continue,
                Node::Route(_) => {
                    let key = key & window_mask(word_length(word) - depth);
                    // The same prefix fills many words.
                    if entries.iter().any(|other| other.key == key && other.word == word) {
                        continue;
                    }
                    entries.push(Entry { key, word });
                }
                Node::Group(_) => entries.push(Entry { key, word }),
                Node::List(list) => {
                    let below = self.nodes.entries(list);
                    if below.iter().any(|entry| entry.length() > window_end(depth)) {
                        return None;
                    }
                    entries.extend(below.into_iter().map(|entry| Entry { key: key | entry.key >> 8, ..entry }));
                    if self.hides_a_route(word) {
                        entries.push(Entry { key, word: self.nodes.load(Nodes::under(list)) });
                    }
                }
            }
            seen += 1 + u16::from(self.hides_a_route(word));
            if entries.len() > LIST_ROUTES - 2 {
                return None;
            }
        }
        entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.length()));
        // Less than there is: something is hidden by what is longer.
        (seen == self.heads[group as usize].used).then_some(entries)
    }
}
