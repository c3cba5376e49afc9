//! The words of a table, where they stand, and what they lead to; `fib-sync/xdp/tables.h` reads the same.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use smallvec::SmallVec;

use crate::xdp::area::Area;
use crate::xdp::layout::{
    EXT, GROUP_WORDS, LIST, LIST_BITS, LIST_ROUTES, LIST_WORDS, MAX_OBJECTS, ROOT_BITS, word_length,
};

/// Where a list has its keys, in words: after the word for the rest, and those of its prefixes.
const KEYS: usize = 1 + LIST_ROUTES;

/// The word of `address` in the root.
pub(super) fn root_index(address: u128) -> usize {
    (address >> (128 - u32::from(ROOT_BITS))) as usize
}

/// The octet of `address` from bit `depth` on.
pub(super) fn octet(address: u128, depth: u8) -> usize {
    (address >> (120 - u32::from(depth)) & 0xff) as usize
}

/// What lists at `depth` compare of `address`.
pub(super) fn window(address: u128, depth: u8) -> u32 {
    (address << depth >> (128 - u32::from(LIST_BITS))) as u32
}

/// The longest prefix that a list at `depth` can tell from others.
pub(super) fn window_end(depth: u8) -> u8 {
    (depth + LIST_BITS).min(128)
}

/// The bits of a window that belong to its first so many, 1 to 32.
pub(super) fn window_mask(bits: u8) -> u32 {
    u32::MAX << (u32::from(bits).wrapping_neg() & 31)
}

/// True if the first bits, 1 to 32, of two windows are the same.
pub(super) fn starts_alike(window: u32, key: u32, bits: u8) -> bool {
    (window ^ key) & window_mask(bits) == 0
}

/// What a word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A route's word, or 0.
    Route(u32),
    Group(u32),
    List(u32),
}

pub(super) fn node(word: u32) -> Node {
    let number = word & (MAX_OBJECTS - 1);
    match word & (EXT | LIST) {
        0 => Node::Route(word),
        LIST => Node::List(number),
        _ => Node::Group(number),
    }
}

/// A word that leads to a group or a list at `depth`.
pub(super) fn way(kind: u32, number: u32, depth: u8) -> u32 {
    kind | u32::from(depth) << 22 | number
}

/// Where a word stands, as its number among all of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Root(usize),
    Group(usize),
    List(usize),
}

/// A prefix of a list: its bits in the window, and a route's word or one that leads on, with the prefix's length either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: u32,
    pub(super) word: u32,
}

impl Entry {
    pub(super) fn length(self) -> u8 {
        word_length(self.word)
    }
}

/// Those of one list and one more, the longest first.
pub(super) type Entries = SmallVec<[Entry; LIST_ROUTES + 1]>;

/// What a list knows of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Here it stands.
    Same(Place),
    /// This entry leads to it, at this depth.
    Below(Place, u8),
    Nothing,
}

/// The words, shared with the kernel.
pub(super) struct Nodes {
    pub(super) root: Area<AtomicU32>,
    pub(super) groups: Area<AtomicU32>,
    pub(super) lists: Option<Area<AtomicU32>>,
}

impl Nodes {
    fn lists(&self) -> &[AtomicU32] {
        self.lists.as_deref().unwrap_or_default()
    }

    fn word(&self, at: Place) -> &AtomicU32 {
        match at {
            Place::Root(at) => &self.root[at],
            Place::Group(at) => &self.groups[at],
            Place::List(at) => &self.lists()[at],
        }
    }

    pub(super) fn load(&self, at: Place) -> u32 {
        self.word(at).load(Ordering::Relaxed)
    }

    /// Packets may follow the word from here on: what it leads to must be seen first.
    pub(super) fn store(&self, at: Place, word: u32) {
        self.word(at).store(word, Ordering::Release);
    }

    pub(super) fn node(&self, at: Place) -> Node {
        node(self.load(at))
    }

    /// The places of all words of a group.
    pub(super) fn slots(group: u32) -> Range<usize> {
        let first = group as usize * GROUP_WORDS;
        first..first + GROUP_WORDS
    }

    pub(super) fn slot(group: u32, octet: usize) -> Place {
        Place::Group(group as usize * GROUP_WORDS + octet)
    }

    /// The places that a prefix has in the group where it ends.
    pub(super) fn range(group: u32, address: u128, depth: u8, length: u8) -> Range<usize> {
        let first = group as usize * GROUP_WORDS + octet(address, depth);
        first..first + (1 << (depth + 8 - length))
    }

    /// The place of the word for what no prefix of a list is for.
    pub(super) fn under(list: u32) -> Place {
        Place::List(list as usize * LIST_WORDS)
    }

    fn entry_place(list: u32, at: usize) -> Place {
        Place::List(list as usize * LIST_WORDS + 1 + at)
    }

    /// The list and the number of the entry that a word at this place belongs to.
    pub(super) fn entry_at(place: usize) -> (u32, usize) {
        ((place / LIST_WORDS) as u32, place % LIST_WORDS - 1)
    }

    pub(super) fn entries(&self, list: u32) -> Entries {
        let words = &self.lists()[list as usize * LIST_WORDS..][..LIST_WORDS];
        let word = |at: usize| words[at].load(Ordering::Relaxed);
        (0..LIST_ROUTES)
            .map(|at| Entry { key: word(KEYS + at), word: word(1 + at) })
            .take_while(|entry| entry.word != 0)
            .collect()
    }

    /// Fills a list that no packet can come to.
    pub(super) fn write_list(&self, list: u32, under: u32, entries: &[Entry]) {
        debug_assert!(entries.is_sorted_by(|a, b| a.length() >= b.length()), "the first that matches is the longest");
        let words = &self.lists()[list as usize * LIST_WORDS..][..LIST_WORDS];
        words[0].store(under, Ordering::Relaxed);
        for at in 0..LIST_ROUTES {
            let entry = entries.get(at).copied().unwrap_or(Entry { key: 0, word: 0 });
            words[1 + at].store(entry.word, Ordering::Relaxed);
            words[KEYS + at].store(entry.key, Ordering::Relaxed);
        }
    }

    /// The entries that lead on.
    pub(super) fn ways(&self, list: u32) -> impl Iterator<Item = Place> + use<> {
        let entries = self.entries(list).into_iter().enumerate();
        entries
            .filter(|(_, entry)| !matches!(node(entry.word), Node::Route(_)))
            .map(move |(at, _)| Self::entry_place(list, at))
    }

    /// The entries that lead on to what is longer than a prefix, and under it.
    pub(super) fn ways_below(
        &self,
        list: u32,
        address: u128,
        depth: u8,
        length: u8,
    ) -> impl Iterator<Item = Place> + use<> {
        let window = window(address, depth);
        let entries = self.entries(list).into_iter().enumerate();
        entries
            .filter(move |(_, entry)| {
                let leads_on = !matches!(node(entry.word), Node::Route(_));
                leads_on && entry.length() > length && starts_alike(window, entry.key, length - depth)
            })
            .map(move |(at, _)| Self::entry_place(list, at))
    }

    /// Where a prefix stands in a list, or what leads to it.
    pub(super) fn find(&self, list: u32, address: u128, depth: u8, length: u8) -> Found {
        let window = window(address, depth);
        for (at, entry) in self.entries(list).into_iter().enumerate() {
            let place = Self::entry_place(list, at);
            if entry.length() > length || !starts_alike(window, entry.key, entry.length() - depth) {
                continue;
            }
            if entry.length() == length {
                return Found::Same(place);
            }
            // Where the window ends a route leads to what is longer, once there is something.
            if entry.length() == window_end(depth) || !matches!(node(entry.word), Node::Route(_)) {
                return Found::Below(place, entry.length());
            }
        }
        Found::Nothing
    }

    /// The place of the word for an address in a list.
    pub(super) fn best(&self, list: u32, address: u128, depth: u8) -> Place {
        let window = window(address, depth);
        let best = self.entries(list).iter().position(|entry| starts_alike(window, entry.key, entry.length() - depth));
        best.map_or(Self::under(list), |at| Self::entry_place(list, at))
    }
}
