//! When to try refused routes again: exponential back-off without a heap.
//!
//! All routes refused for the same number of times wait equally long, so each such level is a queue in order of time. What a
//! full data plane refused is another matter: a few routes probe for room, and only if all of them enter the rest follows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ipnet::IpNet;
use rib::FibFault;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(30);
const LEVELS: usize = 10;
const PROBE_ROUTES: usize = 64;

/// The wait after the `level`th refusal in a row, counted from 0.
pub(crate) fn delay(level: u8) -> Duration {
    FIRST_DELAY.saturating_mul(1 << u32::from(level.min(16))).min(MAX_DELAY)
}

struct Refused {
    fault: FibFault,
    level: u8,
    /// `None` for what waits for an event and not for a time.
    due: Option<Instant>,
}

/// Refused routes, and the order in which they are tried again.
pub(crate) struct Retry {
    refused: HashMap<IpNet, Refused, FixedState>,
    /// Entries whose time is not that of the table are stale and skipped.
    levels: [VecDeque<(Instant, IpNet)>; LEVELS],
    over_capacity: VecDeque<IpNet>,
    probe_due: Option<Instant>,
    probe_level: u8,
    probe_routes: usize,
    /// A refusal for capacity has come since the last probe began.
    full: bool,
}

impl Retry {
    pub(crate) fn new() -> Self {
        Self {
            refused: HashMap::default(),
            levels: std::array::from_fn(|_| VecDeque::new()),
            over_capacity: VecDeque::new(),
            probe_due: None,
            probe_level: 0,
            probe_routes: PROBE_ROUTES,
            full: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.refused.len()
    }

    /// Routes refused for want of room.
    pub(crate) fn over_capacity(&self) -> usize {
        self.refused.values().filter(|refused| refused.fault == FibFault::CapacityExceeded).count()
    }

    pub(crate) fn fault(&self, prefix: IpNet) -> Option<&FibFault> {
        self.refused.get(&prefix).map(|refused| &refused.fault)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpNet, &FibFault)> {
        self.refused.iter().map(|(prefix, refused)| (*prefix, &refused.fault))
    }

    /// Notes a refusal; true if it is new or for another reason than before.
    pub(crate) fn failed(&mut self, now: Instant, prefix: IpNet, fault: FibFault) -> bool {
        let before = self.refused.get(&prefix);
        let news = before.is_none_or(|before| before.fault != fault);
        let level = before.map_or(0, |before| before.level.saturating_add(1).min(LEVELS as u8 - 1));
        let due = match fault {
            // RIB or host must change first; both tell.
            FibFault::NotLocal => None,
            FibFault::CapacityExceeded => {
                self.full = true;
                self.over_capacity.push_back(prefix);
                self.probe_due.get_or_insert(now + delay(self.probe_level));
                None
            }
            FibFault::Unsupported(_) | FibFault::Errno(_) => {
                let due = now + delay(level);
                self.levels[usize::from(level)].push_back((due, prefix));
                Some(due)
            }
        };
        self.refused.insert(prefix, Refused { fault, level, due });
        news
    }

    /// The route is written or of no interest any more; true if it had been refused.
    pub(crate) fn settled(&mut self, prefix: IpNet) -> bool {
        !self.refused.is_empty() && self.refused.remove(&prefix).is_some()
    }

    /// Routes left: a full data plane may have room.
    pub(crate) fn room(&mut self, now: Instant) {
        if let Some(due) = &mut self.probe_due {
            *due = (*due).min(now + FIRST_DELAY);
        }
    }

    /// Something outside has changed: whatever waits for its time is due, with patience reset.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.levels.iter_mut().for_each(VecDeque::clear);
        for (prefix, refused) in &mut self.refused {
            if refused.due.is_some() {
                refused.level = 0;
                refused.due = Some(now);
                self.levels[0].push_back((now, *prefix));
            }
        }
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.levels.iter().filter_map(|level| level.front()).map(|(due, _)| *due).chain(self.probe_due).min()
    }

    /// At most `most` routes that are due.
    pub(crate) fn take_due(&mut self, now: Instant, most: usize) -> Vec<IpNet> {
        let mut taken = Vec::new();
        for level in &mut self.levels {
            while taken.len() < most {
                let Some((due, prefix)) = level.pop_front_if(|(due, _)| *due <= now) else { break };
                if self.refused.get(&prefix).is_some_and(|refused| refused.due == Some(due)) {
                    taken.push(prefix);
                }
            }
        }
        if self.probe_due.is_some_and(|due| due <= now) {
            self.take_probe(now, most.min(self.probe_routes), &mut taken);
        }
        taken
    }

    fn take_probe(&mut self, now: Instant, most: usize, taken: &mut Vec<IpNet>) {
        let until = taken.len() + most;
        while taken.len() < until {
            let Some(prefix) = self.over_capacity.pop_front() else { break };
            if self.refused.get(&prefix).is_some_and(|refused| refused.fault == FibFault::CapacityExceeded) {
                taken.push(prefix);
            }
        }
        self.full = false;
        self.probe_due = (!self.over_capacity.is_empty() || taken.len() > until - most).then_some(now);
    }

    /// After the routes of [`Self::take_due`] have been tried: go on at once if there was room, wait longer if not.
    pub(crate) fn probed(&mut self, now: Instant) {
        if self.probe_due.is_none_or(|due| due > now) {
            return;
        }
        if self.full {
            self.probe_level = self.probe_level.saturating_add(1).min(LEVELS as u8 - 1);
            self.probe_routes = PROBE_ROUTES;
            self.probe_due = Some(now + delay(self.probe_level));
        } else {
            self.probe_level = 0;
            self.probe_routes = (self.probe_routes * 4).min(1 << 16);
            self.probe_due = (!self.over_capacity.is_empty()).then_some(now);
        }
    }
}
