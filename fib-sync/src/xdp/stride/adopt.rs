//! A table that an earlier process wrote.

use super::nodes::{Found, Node, Nodes, Place, node, octet, root_index, window_end};
use super::{Head, Stride};
use crate::xdp::layout::{LIST_BITS, ROOT_BITS, word_length};

/// Which groups and lists something leads to.
struct Marks {
    groups: Vec<bool>,
    lists: Vec<bool>,
}

/// Marks a number; false if something else led to it already, or there is none such.
fn mark(marks: &mut [bool], number: u32) -> bool {
    marks.get_mut(number as usize).is_some_and(|mark| !std::mem::replace(mark, true))
}

impl Stride {
    /// Takes up a table that an earlier process wrote to the end; `routes` are those that it holds, and `over` tells the word of
    /// the longest prefix over an address that is no longer than so many bits. False if the table is not of one piece: then it
    /// must be built anew.
    pub(in crate::xdp) fn adopt(
        &mut self,
        routes: impl Iterator<Item = (u128, u8)>,
        over: &dyn Fn(u128, u8) -> u32,
    ) -> bool {
        let mut marks = Marks { groups: vec![false; self.heads.len()], lists: vec![false; self.lists.limit()] };
        self.heads.fill(Head::default());
        for at in 0..self.nodes.root.len() {
            let word = self.nodes.load(Place::Root(at));
            let address = (at as u128) << (128 - u32::from(ROOT_BITS));
            if !self.take_up(&mut marks, word, ROOT_BITS, address, over) {
                return false;
            }
        }
        for (address, length) in routes.filter(|(_, length)| *length > ROOT_BITS) {
            match self.end_of(address, length) {
                Some(Some(group)) => self.heads[group as usize].used += 1,
                Some(None) => {}
                None => return false,
            }
        }
        self.groups.adopt(|group| marks.groups[group as usize]);
        self.lists.adopt(|list| marks.lists[list as usize]);
        true
    }

    /// What a word at `depth` leads to; false if it is not of one piece.
    fn take_up(
        &mut self,
        marks: &mut Marks,
        word: u32,
        depth: u8,
        address: u128,
        over: &dyn Fn(u128, u8) -> u32,
    ) -> bool {
        match node(word) {
            Node::Route(_) => true,
            _ if word_length(word) != depth || depth >= 128 => false,
            Node::Group(group) => {
                if !mark(&mut marks.groups, group) {
                    return false;
                }
                self.heads[group as usize].under = over(address, depth);
                Nodes::slots(group).enumerate().all(|(octet, at)| {
                    let below = self.nodes.load(Place::Group(at));
                    self.heads[group as usize].used += u16::from(!matches!(node(below), Node::Route(_)));
                    let address = address | (octet as u128) << (120 - u32::from(depth));
                    self.take_up(marks, below, depth + 8, address, over)
                })
            }
            Node::List(list) => {
                if !mark(&mut marks.lists, list) {
                    return false;
                }
                self.nodes.entries(list).into_iter().all(|entry| {
                    let length = entry.length();
                    let address = address | u128::from(entry.key) << (128 - u32::from(LIST_BITS)) >> depth;
                    let even = matches!(node(entry.word), Node::Route(_)) || length % 8 == 0;
                    let inside = depth < length && length <= window_end(depth) && even;
                    inside && self.take_up(marks, entry.word, length, address, over)
                })
            }
        }
    }

    /// The group in which a prefix longer than the root ends, or that it stands in a list.
    fn end_of(&self, address: u128, length: u8) -> Option<Option<u32>> {
        let (mut at, mut depth) = (Place::Root(root_index(address)), ROOT_BITS);
        loop {
            match self.nodes.node(at) {
                Node::Route(_) => return None,
                Node::Group(group) if length <= depth + 8 => return Some(Some(group)),
                Node::Group(group) => {
                    at = Nodes::slot(group, octet(address, depth));
                    depth += 8;
                }
                Node::List(list) => match self.nodes.find(list, address, depth, length) {
                    Found::Same(_) => return Some(None),
                    Found::Below(entry, deeper) => (at, depth) = (entry, deeper),
                    Found::Nothing => return None,
                },
            }
        }
    }
}
