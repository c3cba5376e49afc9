//! Rise and fall: how single verdicts become a state that is worth acting on.
//!
//! A check starts as down and rises only after `rise` successes in a row, so that a node that boots announces nothing
//! it has not seen working. Damping of a state that flaps is left to the anycast controller.

use std::time::Instant;

/// What a check's recent runs amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthState {
    /// Not risen yet, or fallen.
    Down,
    /// Risen.
    Up,
}

/// The state of one check, with the run of equal outcomes that may change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthFsm {
    state: HealthState,
    rise: u32,
    fall: u32,
    /// Outcomes in a row that contradict `state`.
    against: u32,
    since: Instant,
}

impl HealthFsm {
    /// A check that is down since `now`; `rise` and `fall` below 1 count as 1.
    #[must_use]
    pub fn new(now: Instant, rise: u32, fall: u32) -> Self {
        Self { state: HealthState::Down, rise: rise.max(1), fall: fall.max(1), against: 0, since: now }
    }

    /// The same, but up from the start: for a check that is added to a service which others have proved healthy.
    #[must_use]
    pub fn risen(now: Instant, rise: u32, fall: u32) -> Self {
        Self { state: HealthState::Up, ..Self::new(now, rise, fall) }
    }

    /// Takes the outcome of a run; the new state if it changed.
    pub fn handle(&mut self, now: Instant, ok: bool) -> Option<HealthState> {
        let (agrees, needed, other) = match self.state {
            HealthState::Down => (!ok, self.rise, HealthState::Up),
            HealthState::Up => (ok, self.fall, HealthState::Down),
        };
        if agrees {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < needed {
            return None;
        }
        (self.state, self.against, self.since) = (other, 0, now);
        Some(other)
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> HealthState {
        self.state
    }

    /// True once risen and until fallen.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == HealthState::Up
    }

    /// When the state last changed, or the check began.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Outcomes in a row against the state, and how many it takes to change it: `2 of 3`.
    #[must_use]
    pub fn progress(&self) -> (u32, u32) {
        let needed = match self.state {
            HealthState::Down => self.rise,
            HealthState::Up => self.fall,
        };
        (self.against, needed)
    }
}

#[cfg(test)]
mod tests;
