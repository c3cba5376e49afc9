//! A bounded journal of changes with readers at their own pace.
//!
//! The writer appends small items and gets a position for each; a reader holds a [`Cursor`] and reads on from there. The
//! journal keeps nothing but the items: *what* an item means now is looked up by the reader, so a writer that keeps the
//! latest position beside each thing lets readers skip stale entries and see every thing once with its current state.
//! When the journal is full its oldest item is dropped, never the writer held up; a reader that had not read it is told
//! [`Overrun`] and takes the whole state by a walk instead.

use std::collections::VecDeque;

/// A reader's place: the position it reads next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    next: u64,
}

impl Cursor {
    /// The place right after `position`.
    #[must_use]
    pub fn after(position: u64) -> Self {
        Self { next: position.saturating_add(1) }
    }

    /// The position of the last item read or skipped; 0 if none.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.next - 1
    }
}

/// The reader was too slow: items it had not read are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

/// The journal. Positions start at 1 and only grow.
#[derive(Clone, Debug)]
pub struct Journal<T> {
    items: VecDeque<T>,
    /// The position of the oldest item kept.
    oldest: u64,
    max_items: usize,
}

impl<T: Copy> Journal<T> {
    /// An empty journal that keeps at most `max_items` (at least one).
    #[must_use]
    pub fn new(max_items: usize) -> Self {
        Self { items: VecDeque::new(), oldest: 1, max_items: max_items.max(1) }
    }

    /// Appends `item`, dropping the oldest if the journal is full, and returns its position.
    pub fn push(&mut self, item: T) -> u64 {
        if self.items.len() >= self.max_items {
            self.items.pop_front();
            self.oldest += 1;
        }
        self.items.push_back(item);
        self.head()
    }

    /// The position of the newest item; 0 before the first.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.oldest + self.items.len() as u64 - 1
    }

    /// How many items are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True if no item is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// A cursor that reads only what comes from now on.
    #[must_use]
    pub fn now(&self) -> Cursor {
        Cursor { next: self.head() + 1 }
    }

    /// True if items before `cursor`'s next one are gone, so that [`Journal::read`] would say [`Overrun`].
    #[must_use]
    pub fn is_overrun(&self, cursor: Cursor) -> bool {
        cursor.next < self.oldest
    }

    /// True if something waits for `cursor`, be it an overrun.
    #[must_use]
    pub fn is_behind(&self, cursor: Cursor) -> bool {
        cursor.next <= self.head()
    }

    /// The next item and its position, `None` at the end.
    ///
    /// # Errors
    /// [`Overrun`] if it is gone; take [`Journal::now`], then the whole state.
    pub fn read(&self, cursor: &mut Cursor) -> Result<Option<(u64, T)>, Overrun> {
        let index = cursor.next.checked_sub(self.oldest).ok_or(Overrun)?;
        let item = usize::try_from(index).ok().and_then(|index| self.items.get(index));
        Ok(item.map(|item| {
            cursor.next += 1;
            (cursor.passed(), *item)
        }))
    }

    /// Forgets every item up to and with `passed`: all readers have read it.
    pub fn trim(&mut self, passed: u64) {
        let count = (passed + 1).saturating_sub(self.oldest).min(self.items.len() as u64);
        self.oldest += count;
        let count = usize::try_from(count).expect("no more than the items kept");
        if count == self.items.len() {
            self.items.clear();
        } else {
            self.items.drain(..count);
        }
    }
}
