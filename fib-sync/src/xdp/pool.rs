//! Numbers that are handed out again, but never while a packet may still be following them.

use super::area::grace_period;

/// Numbers from 0 to a limit.
pub(super) struct Pool {
    free: Vec<u32>,
    /// Given back, but perhaps still being read.
    retired: Vec<u32>,
    /// Numbers from here on have never been used.
    fresh: u32,
    limit: u32,
}

impl Pool {
    /// The numbers below `limit`, all free.
    pub(super) fn new(limit: u32) -> Self {
        Self { free: Vec::new(), retired: Vec::new(), fresh: 0, limit }
    }

    /// Those that an earlier process left in use are taken.
    pub(super) fn adopt(&mut self, used: impl Fn(u32) -> bool) {
        self.fresh = (0..self.limit).rev().find(|number| used(*number)).map_or(0, |last| last + 1);
        self.free = (0..self.fresh).filter(|number| !used(*number)).collect();
        self.retired.clear();
    }

    /// Numbers that there are.
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Numbers in use.
    pub(super) fn used(&self) -> usize {
        self.fresh as usize - self.free.len() - self.retired.len()
    }

    fn left(&self) -> usize {
        self.free.len() + (self.limit - self.fresh) as usize
    }

    /// True if `count` numbers can be taken; waits for packets if it needs what was given back.
    pub(super) fn reserve(&mut self, count: usize) -> bool {
        if self.left() < count && self.left() + self.retired.len() >= count {
            grace_period();
            self.free.append(&mut self.retired);
        }
        self.left() >= count
    }

    /// A number, if one is left.
    pub(super) fn take(&mut self) -> Option<u32> {
        if !self.reserve(1) {
            return None;
        }
        Some(self.free.pop().unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh - 1
        }))
    }

    /// Gives a number back.
    pub(super) fn retire(&mut self, number: u32) {
        self.retired.push(number);
    }
}
