//! The journal: a bounded ring of ids of changed destinations, read by each reader at its own cursor.
//!
//! A destination remembers the position of its last change; an older entry for it is skipped, so a reader sees each destination
//! once however often it changed. A reader that fell out of the ring walks the whole table instead.

use super::DestId;

/// Entries the ring holds: 512 KiB, some hundred work slices.
const CAPACITY: usize = 1 << 17;

/// Which changes a reader wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Of the best path and those used together with it.
    Best,
    /// Of any usable path.
    Paths,
}

/// A position in the journal; positions only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(u64);

/// What stands at a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// This destination changed; whether the entry is its latest is for [`Journal::is_latest`] to say.
    Dest(DestId),
    /// Nothing newer.
    End,
    /// The entry is gone: walk the table and go on from [`Journal::head`].
    Overrun,
}

/// The ring.
#[derive(Debug, Default)]
pub struct Journal {
    ring: Vec<DestId>,
    head: u64,
    /// The furthest any reader has read: what was entered after it will still be read by all of them.
    read_to: u64,
}

impl Journal {
    /// The position after the newest entry.
    #[must_use]
    pub fn head(&self) -> Cursor {
        Cursor(self.head)
    }

    /// Enters a change of `dest`, whose last change is at `changed` (low half of a position); returns the new value for it.
    pub fn enter(&mut self, dest: DestId, changed: u32) -> u32 {
        // A change that no reader has seen yet covers this one too.
        let behind = u64::from((self.head as u32).wrapping_sub(changed));
        if behind > 0
            && behind <= self.head
            && behind <= self.head - self.read_to
            && behind <= self.ring.len() as u64
            && self.ring[self.place(self.head - behind)] == dest
        {
            return changed;
        }
        let at = self.head;
        if self.ring.len() < CAPACITY {
            self.ring.push(dest);
        } else {
            let place = self.place(at);
            self.ring[place] = dest;
        }
        self.head += 1;
        at as u32
    }

    fn place(&self, at: u64) -> usize {
        at as usize & (CAPACITY - 1)
    }

    /// What stands at `cursor`; moves it on if there is something.
    pub fn next(&mut self, cursor: &mut Cursor) -> Entry {
        if cursor.0 == self.head {
            return Entry::End;
        }
        if cursor.0 + (self.ring.len() as u64) < self.head {
            return Entry::Overrun;
        }
        let dest = self.ring[self.place(cursor.0)];
        cursor.0 += 1;
        self.read_to = self.read_to.max(cursor.0);
        Entry::Dest(dest)
    }

    /// True if the entry just read, before `cursor`, is the latest of a destination whose last change is at `changed`.
    #[must_use]
    pub fn is_latest(cursor: Cursor, changed: u32) -> bool {
        (cursor.0 - 1) as u32 == changed
    }

    /// A change at `changed` (low half of a position) is still before a reader at `cursor`.
    #[must_use]
    pub fn is_before(&self, cursor: Cursor, changed: u32) -> bool {
        let behind = u64::from((self.head as u32).wrapping_sub(changed));
        behind > 0 && behind <= self.backlog(cursor)
    }

    /// A reader starts at the head: it will see everything entered from now on.
    pub fn join(&mut self) -> Cursor {
        self.read_to = self.head;
        Cursor(self.head)
    }

    /// Entries between `cursor` and the head.
    #[must_use]
    pub fn backlog(&self, cursor: Cursor) -> u64 {
        self.head - cursor.0
    }
}
