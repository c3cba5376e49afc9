//! Reading a shard's journals: that of best paths, and while somebody wants it that of all usable paths.

use rib::Family;

use super::Shard;
use crate::locrib::DestId;
use crate::locrib::journal::{Cursor, Entry, Journal, Scope};
use crate::locrib::path::FREE;

/// The journal of all changes: who is told only of the best paths neither pays for it nor sees it.
#[derive(Default)]
pub(super) struct Every {
    journal: Journal,
    /// Low half of the position of each destination's last entry.
    changed: Vec<u32>,
}

impl<F: Family> Shard<F> {
    /// Enters a change of some usable path of `dest`, if anybody wants to know.
    pub(super) fn enter_every(&mut self, dest: DestId) {
        if let Some(every) = &mut self.every {
            let place = dest.0 as usize;
            if place >= every.changed.len() {
                every.changed.resize(self.dests.len(), 0);
            }
            every.changed[place] = every.journal.enter(dest, every.changed[place]);
        }
    }

    /// A reader starts now: it will see every change of `scope` from here on.
    pub fn join(&mut self, scope: Scope) -> Cursor {
        match scope {
            Scope::Best => self.journal.join(),
            Scope::Paths => self.every.get_or_insert_default().journal.join(),
        }
    }

    /// Nobody reads [`Scope::Paths`] any more.
    pub fn forget_every(&mut self) {
        self.every = None;
    }

    fn journal_of(&self, scope: Scope) -> Option<&Journal> {
        match scope {
            Scope::Best => Some(&self.journal),
            Scope::Paths => self.every.as_ref().map(|every| &every.journal),
        }
    }

    /// The position after the newest change.
    #[must_use]
    pub fn head(&self, scope: Scope) -> Cursor {
        self.journal_of(scope).map_or_else(Cursor::default, Journal::head)
    }

    /// Changes between `cursor` and the head.
    #[must_use]
    pub fn backlog(&self, scope: Scope, cursor: Cursor) -> u64 {
        self.journal_of(scope).map_or(0, |journal| journal.backlog(cursor))
    }

    /// The last change of the best path of `dest` is still before a reader of the best paths at `cursor`.
    #[must_use]
    pub fn is_unread(&self, dest: DestId, cursor: Cursor) -> bool {
        let changed = self.dests.get(dest.0 as usize).map_or(0, |record| record.changed);
        self.journal.is_before(cursor, changed)
    }

    /// [`Self::read`] for a reader of `scope`.
    pub fn read_in(&mut self, scope: Scope, cursor: &mut Cursor) -> Entry {
        if scope == Scope::Best {
            return self.read(cursor);
        }
        let Some(every) = &mut self.every else { return Entry::End };
        loop {
            match every.journal.next(cursor) {
                Entry::Dest(dest) => {
                    let at = dest.0 as usize;
                    let used = self.dests.get(at).is_some_and(|record| record.flags & FREE == 0);
                    if used && every.changed.get(at).is_some_and(|changed| Journal::is_latest(*cursor, *changed)) {
                        return Entry::Dest(dest);
                    }
                }
                entry => return entry,
            }
        }
    }

    /// The next change to be read at `cursor`, older entries for the same destination skipped.
    pub fn read(&mut self, cursor: &mut Cursor) -> Entry {
        loop {
            match self.journal.next(cursor) {
                Entry::Dest(dest) => {
                    let latest = self
                        .dests
                        .get(dest.0 as usize)
                        .is_some_and(|record| record.flags & FREE == 0 && Journal::is_latest(*cursor, record.changed));
                    if latest {
                        return Entry::Dest(dest);
                    }
                }
                entry => return entry,
            }
        }
    }
}
