//! The local withdrawal budget: how many services operators and the API may take down in a while.
//!
//! Health verdicts are never held back by it: a node that is alone must withdraw what does not work.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A sliding window over withdrawals by operators and the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WithdrawalBudget {
    limit: Option<(u32, Duration)>,
    /// Times of the withdrawals within the window, oldest first; at most `limit.0`.
    taken: VecDeque<Instant>,
}

impl WithdrawalBudget {
    /// Sets the limit to so many withdrawals in so long; `None` = no limit. What was taken under a limit before still counts.
    pub fn configure(&mut self, limit: Option<(u32, Duration)>) {
        self.limit = limit;
    }

    /// Takes one withdrawal out of the budget.
    ///
    /// # Errors
    /// When none is left, a sentence with the numbers; nothing is taken then.
    pub fn take(&mut self, now: Instant) -> Result<(), String> {
        let Some((withdrawals, per)) = self.limit else { return Ok(()) };
        while self.taken.front().is_some_and(|at| now.saturating_duration_since(*at) >= per) {
            self.taken.pop_front();
        }
        if self.taken.len() >= withdrawals as usize {
            let wait = self.taken.front().map_or(per, |at| per.saturating_sub(now.saturating_duration_since(*at)));
            return Err(format!(
                "{} withdrawals within the last {per:?}, at most {withdrawals} are allowed; the next in {wait:?}",
                self.taken.len()
            ));
        }
        self.taken.push_back(now);
        Ok(())
    }
}
