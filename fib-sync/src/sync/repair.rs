//! Comparing with what the data plane says of itself: at the start, after a loss, on request.

use std::time::Instant;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use ipnet::IpNet;
use rib::{FibRoute, Forwarding, NextHopId};
use smallvec::SmallVec;

use super::write::Marked;
use super::{Difference, LOOKED_UP_TOGETHER, Phase, SLICE_ROUTES, Sync};
use crate::backend::{BackendError, Installed};
use crate::mirror::State;

impl Sync {
    /// Reads the data plane: equal routes are as told, other wanted ones are queued to be written; what the RIB has not named
    /// is held while its first walk goes on, and queued to be removed after.
    pub(super) fn read(&mut self, now: Instant) {
        self.counters.dumps += 1;
        self.read_due = None;
        for prefix in self.mirror.select(|_, state| state == State::Held) {
            self.mirror.remove(prefix);
        }
        self.mirror.restate(|_, state| if state == State::Installed { State::Pending } else { state });
        self.slots.clear_lost();
        let Self { backend, mirror, slots, retry, recovered, walking, .. } = self;
        let mut extra = Vec::new();
        let mut compare = |found: &mut Vec<Installed>| {
            // Looked up one right after the other, they wait for memory together.
            let known: Vec<_> = found.iter().map(|installed| mirror.get(installed.prefix)).collect();
            for (installed, known) in found.drain(..).zip(known) {
                let prefix = installed.prefix;
                match known {
                    None if *walking => {
                        let slot = slots.hold(installed);
                        mirror.set(prefix, slot, State::Held);
                    }
                    None => extra.push(prefix),
                    Some((slot, State::Pending | State::Failed)) if slots.matches(slot, &installed) => {
                        mirror.set(prefix, slot, State::Installed);
                        if retry.settled(prefix) {
                            recovered.push(prefix);
                        }
                    }
                    Some(_) => {}
                }
            }
        };
        let mut found = Vec::with_capacity(LOOKED_UP_TOGETHER);
        let answer = backend.dump(&mut |mut installed| {
            installed.prefix = installed.prefix.trunc();
            found.push(installed);
            if found.len() == LOOKED_UP_TOGETHER {
                compare(&mut found);
            }
        });
        compare(&mut found);
        if let Err(error) = answer {
            self.lost(now, error);
            return;
        }
        if self.is_away() {
            tracing::info!(backend = self.backend.name(), "data plane is back");
        }
        self.setbacks = 0;
        self.phase = Phase::Running;
        self.repairs.clear();
        self.repairs.extend(self.mirror.select(|_, state| state == State::Pending));
        self.removals = extra;
        // Object writes that were under way when the data plane left are taken up again.
        if !self.slots.faulty().is_empty() {
            self.objects_due.get_or_insert(now);
        }
        self.counters.repaired += self.repairs.len() as u64;
        self.counters.swept += self.removals.len() as u64;
        self.repair_slice(now);
        // A route that is still to be written may stand on an object that is to go.
        if !self.walking && self.repairs.is_empty() {
            self.sweep_objects(now);
        }
    }

    /// Writes the next slice of what was found wrong: wanted routes first, since an unwanted one harms less.
    pub(super) fn repair_slice(&mut self, now: Instant) {
        if !self.repairs.is_empty() {
            let slice = self.repairs.take(SLICE_ROUTES);
            let mirror = &mut self.mirror;
            let mut still = Vec::with_capacity(slice.len());
            for together in slice.chunks(LOOKED_UP_TOGETHER) {
                // Those that a delta has written meanwhile are done. The first look is for the cache.
                let waits = |prefix: &&IpNet| matches!(mirror.get(**prefix), Some((_, State::Pending)));
                let waiting: SmallVec<[IpNet; LOOKED_UP_TOGETHER]> = together.iter().filter(waits).copied().collect();
                let installed = |state| if state == State::Pending { State::Installed } else { state };
                still.extend(waiting.into_iter().filter_map(|prefix| match mirror.update(prefix, installed) {
                    Some((slot, State::Pending)) => Some((prefix, Some(slot))),
                    _ => None,
                }));
            }
            self.write_on(now, &still, Marked::Installed);
            if self.repairs.is_empty() && !self.is_away() {
                let unused = self.release_gone();
                self.write(now, &[], &[], &unused);
                self.finish_walk(now);
            }
        } else if !self.removals.is_empty() {
            let slice = self.removals.split_off(self.removals.len().saturating_sub(SLICE_ROUTES));
            let mirror = &self.mirror;
            let gone = slice.into_iter().filter(|prefix| mirror.get(*prefix).is_none());
            let routes: Vec<FibRoute> = gone.map(|prefix| FibRoute { prefix, next_hop: None }).collect();
            self.write(now, &[], &routes, &[]);
            self.retry.room(now);
        }
    }

    /// Objects that no route of the RIB needs are removed.
    pub(super) fn sweep_objects(&mut self, now: Instant) {
        let Self { backend, slots, .. } = self;
        if let Err(error) = backend.sweep_next_hops(&mut |number| slots.is_bound(number)) {
            self.lost(now, error);
        }
    }

    /// Removes everything of ours from the data plane: the last act of a clean stop. Answers with the number of routes removed.
    ///
    /// # Errors
    /// When the data plane cannot be read or written.
    pub fn remove_all(&mut self) -> Result<usize, BackendError> {
        let mut routes = Vec::new();
        self.backend.dump(&mut |installed| routes.push(FibRoute { prefix: installed.prefix, next_hop: None }))?;
        let mut refused = Vec::new();
        self.backend.apply(&[], &routes, &[], &mut refused)?;
        self.backend.sweep_next_hops(&mut |_| false)?;
        for refusal in &refused {
            tracing::warn!(backend = self.backend.name(), ?refusal, "could not be removed");
        }
        Ok(routes.len() - refused.len().min(routes.len()))
    }

    /// Compares the data plane's dump with what the RIB wants; at most `limit` differences.
    ///
    /// # Errors
    /// When the data plane cannot be read.
    pub fn diff(&mut self, limit: usize) -> Result<Vec<Difference>, BackendError> {
        let Self { backend, mirror, slots, retry, .. } = self;
        let mut differences = Vec::new();
        let mut seen = 0usize;
        let mut note = |prefix: IpNet, wanted: Option<Forwarding>, found: Option<Forwarding>| {
            if differences.len() < limit {
                let fault = retry.fault(prefix).cloned();
                differences.push(Difference { prefix, wanted, found, fault });
            }
        };
        // Next-hop objects are compared as well, since a route on the wrong one would follow the wrong failover.
        backend.dump(&mut |installed| {
            let prefix = installed.prefix.trunc();
            match mirror.get(prefix) {
                // Still waiting for the RIB's word.
                Some((_, State::Held)) => {}
                Some((slot, _)) => {
                    seen += 1;
                    if !slots.matches(slot, &installed) {
                        note(prefix, slots.forwarding(slot).cloned(), Some(installed.forwarding));
                    }
                }
                None => note(prefix, None, Some(installed.forwarding)),
            }
        })?;
        // Local routes need no entry in a data plane that gives local packets to the host by itself.
        let expected = mirror.select(|slot, state| state != State::Held && !slots.is_local(slot));
        if expected.len() > seen {
            let mut found: HashSet<IpNet, FixedState> = HashSet::default();
            backend.dump(&mut |installed| {
                found.insert(installed.prefix.trunc());
            })?;
            for prefix in expected.into_iter().filter(|prefix| !found.contains(prefix)) {
                let wanted = mirror.get(prefix).and_then(|(slot, _)| slots.forwarding(slot).cloned());
                note(prefix, wanted, None);
            }
        }
        Ok(differences)
    }

    /// The number in the data plane of the object that the RIB calls `id`, once a route has used it.
    #[must_use]
    pub fn number_of(&self, id: NextHopId) -> Option<NextHopId> {
        self.slots.slot_of(id).map(|slot| NextHopId(slot.0))
    }
}
