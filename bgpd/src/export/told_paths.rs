//! What a group with several paths to a prefix (RFC 7911) was last told: 4 octets a destination and 16 a path.

use crate::intern::{AttrId, AttrStore};
use crate::locrib::{DestId, PeerIndex};

/// A path a group was told of: its identifier there, its attributes after import, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ToldPath {
    pub(super) number: u32,
    pub(super) attr: AttrId,
    pub(super) source: PeerIndex,
}

#[derive(Clone, Copy)]
struct Node {
    path: ToldPath,
    next: u32,
}

const NIL: u32 = u32::MAX;

const _: () = assert!(size_of::<Node>() == 16);

/// Told paths by destination, in lists through one arena; each entry is a user of its attribute set.
#[derive(Clone)]
pub(super) struct ToldPaths {
    heads: Vec<u32>,
    nodes: Vec<Node>,
    free: u32,
    len: usize,
    by_source: Vec<u32>,
}

impl Default for ToldPaths {
    fn default() -> Self {
        Self { heads: Vec::new(), nodes: Vec::new(), free: NIL, len: 0, by_source: Vec::new() }
    }
}

impl ToldPaths {
    /// The paths told of `dest`, the best first.
    pub(super) fn get(&self, dest: DestId) -> impl Iterator<Item = ToldPath> + '_ {
        let mut at = self.heads.get(dest.0 as usize).copied().unwrap_or(NIL);
        std::iter::from_fn(move || {
            let node = (at != NIL).then(|| self.nodes[at as usize])?;
            at = node.next;
            Some(node.path)
        })
    }

    /// Some path was told of `dest`.
    pub(super) fn any(&self, dest: DestId) -> bool {
        self.heads.get(dest.0 as usize).is_some_and(|head| *head != NIL)
    }

    /// Replaces what was told of `dest`, users of attribute sets included.
    pub(super) fn set(&mut self, store: &mut AttrStore, dest: DestId, paths: &[ToldPath]) {
        let place = dest.0 as usize;
        if place >= self.heads.len() {
            if paths.is_empty() {
                return;
            }
            self.heads.resize(place + 1, NIL);
        }
        for path in paths {
            store.retain(path.attr, 1);
        }
        let mut at = std::mem::replace(&mut self.heads[place], NIL);
        while at != NIL {
            let Node { path, next } = self.nodes[at as usize];
            store.release(path.attr);
            self.count(path.source, -1);
            self.nodes[at as usize].next = self.free;
            (self.free, at) = (at, next);
        }
        let mut next = NIL;
        for path in paths.iter().rev() {
            self.count(path.source, 1);
            let node = Node { path: *path, next };
            next = if self.free == NIL {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 paths are told")
            } else {
                let at = self.free;
                self.free = self.nodes[at as usize].next;
                self.nodes[at as usize] = node;
                at
            };
        }
        self.heads[place] = next;
    }

    fn count(&mut self, source: PeerIndex, change: i32) {
        let at = usize::from(source.0);
        if at >= self.by_source.len() {
            self.by_source.resize(at + 1, 0);
        }
        self.by_source[at] = self.by_source[at].wrapping_add_signed(change);
        self.len = self.len.wrapping_add_signed(change as isize);
    }

    /// Paths told.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Of those, paths of `source`.
    pub(super) fn from(&self, source: PeerIndex) -> usize {
        self.by_source.get(usize::from(source.0)).copied().unwrap_or(0) as usize
    }

    /// A second table with the same content.
    pub(super) fn duplicate(&self, store: &mut AttrStore) -> Self {
        for path in self.entries() {
            store.retain(path.attr, 1);
        }
        self.clone()
    }

    /// Gives every attribute set back.
    pub(super) fn clear(&mut self, store: &mut AttrStore) {
        for path in self.entries() {
            store.release(path.attr);
        }
        *self = Self::default();
    }

    fn entries(&self) -> impl Iterator<Item = ToldPath> + '_ {
        (0..self.heads.len() as u32).map(DestId).flat_map(|dest| self.get(dest))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::attrs::{Extra, Identity};
    use crate::wire::attr::{NextHopAttr, PathAttributes};

    proptest! {
        #[test]
        fn the_table_is_a_map_of_lists_and_keeps_count(
            ops in prop::collection::vec((0u32..6, prop::collection::vec((0u32..4, 0u16..3), 0..4)), 1..60)
        ) {
            let mut store = AttrStore::new(1, Identity::default());
            let attr = store.intern(&PathAttributes::local(NextHopAttr::V4([192, 0, 2, 1].into())), Extra::default());
            let mut told = ToldPaths::default();
            let mut model: BTreeMap<u32, Vec<ToldPath>> = BTreeMap::new();
            for (dest, paths) in ops {
                let paths: Vec<_> = paths
                    .into_iter()
                    .map(|(number, source)| ToldPath { number, attr, source: PeerIndex(source) })
                    .collect();
                told.set(&mut store, DestId(dest), &paths);
                model.insert(dest, paths);
                for dest in 0..6 {
                    let expected = model.get(&dest).cloned().unwrap_or_default();
                    prop_assert_eq!(told.any(DestId(dest)), !expected.is_empty());
                    prop_assert_eq!(told.get(DestId(dest)).collect::<Vec<_>>(), expected);
                }
                let all = || model.values().flatten();
                prop_assert_eq!(told.len(), all().count());
                prop_assert_eq!(store.users(), 1 + told.len() as u64);
                for source in 0..3 {
                    let from = all().filter(|path| path.source == PeerIndex(source)).count();
                    prop_assert_eq!(told.from(PeerIndex(source)), from);
                }
            }
            let mut second = told.duplicate(&mut store);
            told.clear(&mut store);
            second.clear(&mut store);
            prop_assert_eq!(store.users(), 1);
        }
    }
}
