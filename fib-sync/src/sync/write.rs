//! Writing to the data plane, and what its answers change.

use std::time::Instant;

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use ipnet::IpNet;
use rib::{FibFault, FibRoute, NextHopId, NextHopOp};

use super::{Phase, SLICE_ROUTES, Sync};
use crate::backend::{BackendError, Refusal};
use crate::mirror::{Slot, State};
use crate::retry::delay;

/// Whether the mirror shows the routes of a batch as installed before the data plane has answered. What is refused, or lost, is
/// corrected; for the rest a second look at a table that no cache holds is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marked {
    /// It does.
    Installed,
    /// It does not.
    Not,
}

impl Sync {
    /// Writes one batch and takes in the answers. While the data plane is away nothing is written: the mirror holds what is
    /// wanted, and the next dump shows what differs.
    pub(super) fn write(&mut self, now: Instant, objects: &[NextHopOp], routes: &[FibRoute], unused: &[NextHopId]) {
        self.write_as(now, objects, routes, unused, Marked::Not);
    }

    /// As [`Self::write`], of routes that the mirror may show as installed already.
    pub(super) fn write_as(
        &mut self,
        now: Instant,
        objects: &[NextHopOp],
        routes: &[FibRoute],
        unused: &[NextHopId],
        marked: Marked,
    ) {
        if objects.is_empty() && routes.is_empty() && unused.is_empty() {
            return;
        }
        if self.is_away() {
            routes.iter().for_each(|route| self.set_state(route.prefix, State::Pending));
            return;
        }
        let mut refused = Vec::new();
        let answer = self.backend.apply(objects, routes, unused, &mut refused);
        self.counters.batches += 1;
        self.counters.routes += routes.len() as u64;
        self.counters.next_hops += objects.len() as u64;
        if let Err(error) = answer {
            self.lost(now, error);
            for route in routes {
                self.set_state(route.prefix, State::Pending);
            }
            return;
        }
        self.counters.errors += refused.len() as u64;
        let mut faulty: HashSet<IpNet, FixedState> = HashSet::default();
        let mut broken: HashSet<NextHopId, FixedState> = HashSet::default();
        for refusal in refused {
            match refusal {
                Refusal::Route(prefix, fault) => {
                    faulty.insert(prefix);
                    self.refuse(now, prefix, fault);
                }
                Refusal::NextHop(number, fault) => {
                    broken.insert(number);
                    self.refuse_object(now, Slot(number.0), &fault);
                }
            }
        }
        for route in routes {
            if faulty.is_empty() || !faulty.contains(&route.prefix) {
                self.accept(route.prefix, marked);
            }
        }
        for operation in objects {
            if broken.is_empty() || !broken.contains(&operation.id) {
                self.accept_object(now, Slot(operation.id.0));
            }
        }
    }

    fn set_state(&mut self, prefix: IpNet, state: State) {
        self.mirror.update(prefix, |_| state);
    }

    fn accept(&mut self, prefix: IpNet, marked: Marked) {
        if marked == Marked::Not {
            self.set_state(prefix, State::Installed);
        }
        if self.retry.settled(prefix) {
            self.recovered.push(prefix);
        }
    }

    pub(super) fn refuse(&mut self, now: Instant, prefix: IpNet, fault: FibFault) {
        self.set_state(prefix, State::Failed);
        if self.retry.failed(now, prefix, fault.clone()) {
            self.failed.push((prefix, fault));
        }
    }

    /// An object kept its old meaning: none of its routes is as told.
    fn refuse_object(&mut self, now: Instant, slot: Slot, fault: &FibFault) {
        self.objects_due.get_or_insert(now + delay(self.objects_level));
        if self.slots.set_fault(slot, Some(fault.clone())).as_ref() == Some(fault) {
            return;
        }
        let on = self.mirror.select(|on, state| on == slot && state == State::Installed);
        self.failed.extend(on.into_iter().map(|prefix| (prefix, fault.clone())));
    }

    fn accept_object(&mut self, now: Instant, slot: Slot) {
        if self.slots.set_fault(slot, None).is_none() {
            return;
        }
        let told = |state| matches!(state, State::Installed | State::Pending);
        self.recovered.extend(self.mirror.select(|on, state| on == slot && told(state)));
        // Routes refused for want of the object need not wait for their time.
        if self.retry.len() > 0 {
            self.retry.hurry(now);
        }
    }

    pub(super) fn retry_objects(&mut self, now: Instant) {
        self.objects_due = None;
        let faulty = self.slots.faulty();
        if faulty.is_empty() {
            self.objects_level = 0;
            return;
        }
        self.counters.retries += faulty.len() as u64;
        self.objects_level = self.objects_level.saturating_add(1);
        let objects: Vec<NextHopOp> = faulty.into_iter().map(|slot| self.slots.operation(slot)).collect();
        self.write(now, &objects, &[], &[]);
        if self.objects_due.is_none() {
            self.objects_level = 0;
        }
    }

    pub(super) fn retry_routes(&mut self, now: Instant) {
        let due = self.retry.take_due(now, SLICE_ROUTES);
        self.counters.retries += due.len() as u64;
        self.write_wanted(now, &due);
        self.retry.probed(now);
    }

    pub(super) fn restore_disturbed(&mut self, now: Instant) {
        self.disturbed_due = None;
        let prefixes: Vec<IpNet> = std::mem::take(&mut self.disturbed).into_iter().collect();
        self.write_wanted(now, &prefixes);
    }

    /// Writes `prefixes` as the RIB wants them now, with their objects; removes those it does not want.
    pub(super) fn write_wanted(&mut self, now: Instant, prefixes: &[IpNet]) {
        let mirror = &self.mirror;
        let wanted = |prefix: &IpNet| match mirror.get(*prefix) {
            Some((_, State::Held)) => None,
            Some((slot, _)) => Some((*prefix, Some(slot))),
            None => Some((*prefix, None)),
        };
        let wanted: Vec<_> = prefixes.iter().filter_map(wanted).collect();
        self.write_on(now, &wanted, Marked::Not);
    }

    /// Writes prefixes onto slots, with what the slots mean; removes those without.
    pub(super) fn write_on(&mut self, now: Instant, wanted: &[(IpNet, Option<Slot>)], marked: Marked) {
        let mut slots: HashSet<Slot, FixedState> = HashSet::default();
        let mut objects = Vec::new();
        let mut routes = Vec::with_capacity(wanted.len());
        for (prefix, slot) in wanted {
            if let Some(slot) = *slot
                && slots.insert(slot)
            {
                objects.push(self.slots.operation(slot));
            }
            routes.push(FibRoute { prefix: *prefix, next_hop: slot.map(|slot| NextHopId(slot.0)) });
        }
        self.write_as(now, &objects, &routes, &[], marked);
    }

    /// The data plane cannot be reached: nothing is known of it until it has been read.
    pub(super) fn lost(&mut self, now: Instant, error: BackendError) {
        self.counters.errors += 1;
        self.setbacks = self.setbacks.saturating_add(1);
        tracing::warn!(backend = self.backend.name(), %error, "data plane away");
        self.read_due = Some(now + self.setback_delay());
        self.phase = Phase::Away(error);
        self.repairs.clear();
        self.removals.clear();
    }
}
