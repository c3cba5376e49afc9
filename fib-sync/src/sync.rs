//! The machine between the RIB's changes and one data plane.
//!
//! It remembers what the RIB wants (the mirror), writes what differs, tries refused routes again, and compares with the
//! data plane's own dump whenever belief is not enough: at the start, after a lost connection, after lost events. Start and
//! repair are the same code: read what is there, adopt what is equal, write the rest, remove what nobody wants.
//!
//! Deltas are applied in the order they come. A position is acknowledged only when nothing older is outstanding, so the RIB's
//! "installed" is true in the data plane. Threads, clocks and queues are [`crate::thread`]'s.

mod repair;
mod view;
mod write;

use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rib::{BackendId, FibDelta, FibFault, FibProgress, FibRoute, IfIndex, NextHopId, NextHopOp};

use crate::backend::FibBackend;
use crate::backlog::Backlog;
use crate::mirror::{Mirror, Slot, State};
use crate::retry::{Retry, delay};
use crate::slots::{Slots, UNKNOWN};

pub use view::{Counters, Difference, Latency, Phase, View};

/// Routes of each family written between two looks at the inbox while repairing, retrying or loading: about 25 ms of the kernel's.
const SLICE_ROUTES: usize = 16_384;
/// A batch of more writes than this is a load: its routes join the backlog, to be written in slices and in a good order, while
/// the RIB goes on telling and objects change between the slices.
const LOAD_ROUTES: usize = 8192;
/// Routes of a batch that are looked up together: a cache holds what was found until they have been dealt with.
const LOOKED_UP_TOGETHER: usize = 256;
/// Disturbances are gathered for this long, since who removes one route often removes many.
const GATHER: Duration = Duration::from_millis(20);
/// With more disturbances than this the whole data plane is read instead.
const GATHER_MOST: usize = 4096;

/// Everything the machine can be told.
#[derive(Clone, Debug)]
pub enum Input {
    /// The RIB's next batch.
    Delta(FibDelta),
    /// An address became local to this host, or ceased to be.
    LocalAddress {
        /// The address.
        addr: IpAddr,
        /// It is local now.
        present: bool,
    },
    /// A link went down or came up.
    Link {
        /// Which.
        index: IfIndex,
        /// It forwards now.
        up: bool,
    },
    /// Somebody else touched this route of ours.
    Disturbed(IpNet),
    /// Read the data plane, and make it as it should be.
    Resync,
    /// The RIB is about to tell everything from the start: forget what was told, keep what the data plane holds.
    Rewalk,
    /// A deadline has passed.
    Tick,
}

/// What the machine answers; reused by the carrier.
#[derive(Debug, Default)]
pub struct Outbox {
    /// For the RIB, in order.
    pub progress: Vec<FibProgress>,
}

/// What waits for the end of the backlog.
#[derive(Default)]
struct After {
    /// Objects that the RIB uses no more.
    gone: Vec<NextHopId>,
    /// The RIB's walk has ended.
    walk_done: bool,
}

/// Keeps one data plane equal to what the RIB tells. See the module.
pub struct Sync {
    id: BackendId,
    backend: Box<dyn FibBackend>,
    mirror: Mirror,
    slots: Slots,
    retry: Retry,
    phase: Phase,
    /// Refusals of a whole dump or batch in a row.
    setbacks: u8,
    /// When the data plane is to be read; at once at the start.
    read_due: Option<Instant>,
    /// No walk of the RIB has ended yet: what the data plane holds and the RIB has not named may still be named.
    walking: bool,
    /// Found missing or different, or part of a load: to be written in slices.
    repairs: Backlog,
    /// Said by the RIB, and to be done when the backlog is written: until then routes may stand on what is to go.
    after: After,
    /// Found and not wanted, to be removed in slices.
    removals: Vec<IpNet>,
    disturbed: HashSet<IpNet, FixedState>,
    disturbed_due: Option<Instant>,
    /// Objects that were refused are tried again then.
    objects_due: Option<Instant>,
    objects_level: u8,
    through: u64,
    acknowledged: u64,
    failed: Vec<(IpNet, FibFault)>,
    recovered: Vec<IpNet>,
    counters: Counters,
    started: bool,
}

impl Sync {
    /// A machine for `backend`, which is `id` to the RIB. Before anything else it reads what the data plane holds.
    #[must_use]
    pub fn new(id: BackendId, backend: Box<dyn FibBackend>) -> Self {
        Self {
            id,
            backend,
            mirror: Mirror::new(),
            slots: Slots::new(),
            retry: Retry::new(),
            phase: Phase::Starting,
            setbacks: 0,
            read_due: None,
            walking: true,
            repairs: Backlog::default(),
            after: After::default(),
            removals: Vec::new(),
            disturbed: HashSet::default(),
            disturbed_due: None,
            objects_due: None,
            objects_level: 0,
            through: 0,
            acknowledged: 0,
            failed: Vec::new(),
            recovered: Vec::new(),
            counters: Counters::default(),
            started: false,
        }
    }

    /// Takes `input` at `now`; answers go to `out`.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Outbox) {
        if !self.started {
            self.started = true;
            self.read(now);
        }
        match input {
            Input::Delta(delta) => self.on_delta(now, delta),
            Input::LocalAddress { addr, present } => self.on_local_address(now, addr, present),
            Input::Link { index, up } => self.on_link(now, index, up),
            Input::Disturbed(prefix) => self.on_disturbed(now, prefix),
            Input::Resync => self.on_resync(now),
            Input::Rewalk => self.on_rewalk(now),
            Input::Tick => self.on_tick(now),
        }
        self.report(out);
    }

    /// When [`Input::Tick`] is wanted; a time that has passed means at once.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.is_away() {
            return self.read_due;
        }
        [self.read_due, self.disturbed_due, self.objects_due, self.retry.deadline()].into_iter().flatten().min()
    }

    /// True while there is work that waits only for the next [`Input::Tick`]; the carrier gives it whenever its inbox is empty.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let outstanding = !self.repairs.is_empty() || !self.removals.is_empty();
        !self.started || (outstanding && !self.is_away())
    }

    fn is_away(&self) -> bool {
        matches!(self.phase, Phase::Away(_))
    }

    fn on_delta(&mut self, now: Instant, delta: FibDelta) {
        let mut objects = Vec::with_capacity(delta.next_hops.len());
        let mut routes = Vec::new();
        let mut gone = delta.unused;
        for op in delta.next_hops {
            match op.forwarding {
                Some(forwarding) => self.declare(op.id, forwarding, &mut objects, &mut routes),
                None => gone.push(op.id),
            }
        }
        for together in delta.routes.chunks(LOOKED_UP_TOGETHER) {
            // Looked up one right after the other, they wait for memory together; below, a cache has them.
            let mirror = &self.mirror;
            let standing =
                |route: &&FibRoute| matches!(mirror.get(route.prefix), Some((_, State::Installed | State::Held)));
            routes.reserve(together.len() - together.iter().filter(standing).count());
            for route in together {
                let prefix = route.prefix.trunc();
                match route.next_hop {
                    Some(id) => self.want(now, prefix, id, &mut objects, &mut routes),
                    None => self.unwant(now, prefix, &mut routes),
                }
            }
        }
        self.through = self.through.max(delta.through);
        if !self.is_away()
            && (routes.len() > LOAD_ROUTES || (!self.repairs.is_empty() && routes.len() > LOAD_ROUTES / 8))
        {
            routes.retain(|route| {
                if route.next_hop.is_some() {
                    self.repairs.push(route.prefix);
                }
                // What has been wanted again in the same breath waits in the backlog, and keeps its route until then.
                route.next_hop.is_none() && self.mirror.get(route.prefix).is_none()
            });
            self.compact_backlog();
        }
        keep_last_words(&mut routes, |route| route.prefix);
        self.after.gone.append(&mut gone);
        self.after.walk_done |= delta.walk_done;
        let unused = if self.repairs.is_empty() { self.release_gone() } else { Vec::new() };
        self.write(now, &objects, &routes, &unused);
        if self.repairs.is_empty() {
            self.finish_walk(now);
        }
    }

    /// What the RIB does not use any more leaves the books; answers with the objects to remove.
    fn release_gone(&mut self) -> Vec<NextHopId> {
        let gone = std::mem::take(&mut self.after.gone);
        let held = if gone.is_empty() { HashSet::default() } else { self.held_slots() };
        let free = gone.into_iter().filter_map(|id| self.slots.release(id, |slot| held.contains(&slot)));
        free.map(|slot| NextHopId(slot.0)).collect()
    }

    fn finish_walk(&mut self, now: Instant) {
        if std::mem::take(&mut self.after.walk_done) {
            self.on_walk_done(now);
        }
    }

    /// A prefix that changes again while it waits stands in the backlog twice; that must not add up.
    fn compact_backlog(&mut self) {
        if self.repairs.len() > LOAD_ROUTES + self.mirror.len() * 2 {
            self.repairs.clear();
            self.repairs.extend(self.mirror.select(|_, state| state == State::Pending));
        }
    }

    /// Slots that routes found and not yet named hang on.
    fn held_slots(&self) -> HashSet<Slot, FixedState> {
        let mut held = HashSet::default();
        if self.walking {
            // Asks for no prefix: the list stays empty.
            self.mirror.select(|slot, state| {
                if state == State::Held {
                    held.insert(slot);
                }
                false
            });
        }
        held
    }

    fn declare(
        &mut self,
        id: NextHopId,
        forwarding: rib::Forwarding,
        objects: &mut Vec<NextHopOp>,
        routes: &mut Vec<FibRoute>,
    ) {
        let Some(changed) = self.slots.declare(id, forwarding) else { return };
        let operation = self.slots.operation(changed.slot);
        let carried = operation.forwarding.as_ref().is_some_and(|new| self.backend.carries(&changed.old, new));
        objects.push(operation);
        if changed.was_lost || !carried {
            let number = Some(NextHopId(changed.slot.0));
            let on = self.mirror.select(|slot, state| slot == changed.slot && state != State::Held);
            routes.extend(on.into_iter().map(|prefix| FibRoute { prefix, next_hop: number }));
        }
    }

    /// One route of the RIB: adopt it, leave it, or write it.
    fn want(
        &mut self,
        now: Instant,
        prefix: IpNet,
        id: NextHopId,
        objects: &mut Vec<NextHopOp>,
        routes: &mut Vec<FibRoute>,
    ) {
        match self.mirror.get(prefix) {
            Some((held, State::Held)) => {
                if let Some((slot, fresh)) = self.slots.adopt(id, held) {
                    if fresh {
                        objects.push(self.slots.operation(slot));
                    }
                    self.mirror.set(prefix, slot, State::Installed);
                    self.counters.adopted += 1;
                    return;
                }
            }
            Some((slot, State::Installed)) if self.slots.slot_of(id) == Some(slot) => return,
            // It was told as failed for its object's sake, and leaves that object now.
            Some((slot, _)) if self.slots.fault(slot).is_some() => self.recovered.push(prefix),
            _ => {}
        }
        let Some((slot, fresh)) = self.slots.bind(id) else {
            let fault = FibFault::Unsupported("the route's next-hop object is unknown, or there are over four million");
            self.refuse(now, prefix, fault);
            return;
        };
        if fresh {
            objects.push(self.slots.operation(slot));
        }
        self.mirror.set(prefix, slot, State::Pending);
        routes.push(FibRoute { prefix, next_hop: Some(NextHopId(slot.0)) });
    }

    fn unwant(&mut self, now: Instant, prefix: IpNet, routes: &mut Vec<FibRoute>) {
        if self.retry.settled(prefix) {
            self.recovered.push(prefix);
        }
        if self.mirror.remove(prefix).is_some() {
            self.retry.room(now);
            routes.push(FibRoute { prefix, next_hop: None });
        }
    }

    /// The RIB has told everything: what was found and not named has no owner.
    fn on_walk_done(&mut self, now: Instant) {
        self.walking = false;
        if self.is_away() {
            return;
        }
        let stale = self.mirror.select(|_, state| state == State::Held);
        for prefix in &stale {
            self.mirror.remove(*prefix);
        }
        self.counters.swept += stale.len() as u64;
        let routes: Vec<FibRoute> = stale.into_iter().map(|prefix| FibRoute { prefix, next_hop: None }).collect();
        let unused = self.slots.drop_held();
        self.write(now, &[], &routes, &unused);
        self.sweep_objects(now);
    }

    fn on_local_address(&mut self, now: Instant, addr: IpAddr, present: bool) {
        self.backend.local_address(addr, present);
        let mut routes = Vec::new();
        for prefix in covering(addr) {
            if let Some((slot, state)) = self.mirror.get(prefix)
                && state != State::Held
                && self.slots.is_local(slot)
            {
                routes.push(FibRoute { prefix, next_hop: Some(NextHopId(slot.0)) });
            }
        }
        self.write(now, &[], &routes, &[]);
    }

    fn on_link(&mut self, now: Instant, index: IfIndex, up: bool) {
        let mut lost = Vec::new();
        self.backend.link(index, up, &mut lost);
        if !lost.is_empty() {
            let lost: HashSet<_, FixedState> =
                lost.into_iter().filter_map(|number| self.slots.set_lost(number)).collect();
            self.mirror.restate(|slot, state| match state {
                State::Installed if lost.contains(&slot) => State::Pending,
                // Found once, but gone with its link: never to be adopted.
                state => state,
            });
            self.forget_held(|slot| lost.contains(&slot));
        }
        if !up || self.is_away() {
            return;
        }
        // What was refused because the link was down may enter now, and what fell with it is written again.
        self.retry.hurry(now);
        let over = self.slots.take_over_link(index);
        let objects: Vec<NextHopOp> = over.iter().map(|(slot, _)| self.slots.operation(*slot)).collect();
        self.write(now, &objects, &[], &[]);
        let again: HashSet<_, FixedState> = over.iter().filter(|(_, lost)| *lost).map(|(slot, _)| *slot).collect();
        if !again.is_empty() {
            self.repairs.extend(self.mirror.select(|slot, state| again.contains(&slot) && state == State::Pending));
        }
    }

    /// Held routes on these slots are no longer believed to be as found.
    fn forget_held(&mut self, mut on: impl FnMut(Slot) -> bool) {
        for prefix in self.mirror.select(|slot, state| state == State::Held && on(slot)) {
            self.mirror.set(prefix, UNKNOWN, State::Held);
        }
    }

    fn on_disturbed(&mut self, now: Instant, prefix: IpNet) {
        self.counters.disturbed += 1;
        let prefix = prefix.trunc();
        if let Some((_, State::Held)) = self.mirror.get(prefix) {
            self.mirror.set(prefix, UNKNOWN, State::Held);
            return;
        }
        if self.disturbed.len() >= GATHER_MOST {
            self.disturbed.clear();
            self.disturbed_due = None;
            self.read_due = Some(now + GATHER);
            return;
        }
        self.disturbed.insert(prefix);
        self.disturbed_due.get_or_insert(now + GATHER);
    }

    fn on_resync(&mut self, now: Instant) {
        self.retry.hurry(now);
        self.read(now);
    }

    fn on_rewalk(&mut self, now: Instant) {
        self.mirror = Mirror::new();
        self.retry = Retry::new();
        self.repairs.clear();
        self.removals.clear();
        self.walking = true;
        self.read(now);
    }

    fn on_tick(&mut self, now: Instant) {
        let passed = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if passed(self.read_due) {
            self.read(now);
        }
        if self.is_away() {
            return;
        }
        self.repair_slice(now);
        if passed(self.disturbed_due) {
            self.restore_disturbed(now);
        }
        if passed(self.objects_due) {
            self.retry_objects(now);
        }
        if passed(self.retry.deadline()) {
            self.retry_routes(now);
        }
    }

    /// Tells the RIB what is new. Positions wait until the data plane is there and nothing found is outstanding.
    fn report(&mut self, out: &mut Outbox) {
        if self.is_away() {
            return;
        }
        if !self.repairs.is_empty() {
            // Nothing new, but there is room for more: the RIB waits for a word.
            let nothing =
                FibProgress { backend: self.id, through: self.acknowledged, failed: Vec::new(), recovered: Vec::new() };
            out.progress.push(nothing);
            return;
        }
        if self.through == self.acknowledged && self.failed.is_empty() && self.recovered.is_empty() {
            return;
        }
        self.acknowledged = self.through;
        // A route refused and written within one turn, or the other way round, is told as it is now.
        let retry = &self.retry;
        let slots = &self.slots;
        let mirror = &self.mirror;
        let mut seen: HashSet<IpNet, FixedState> = HashSet::default();
        let fault = |prefix: IpNet| {
            retry.fault(prefix).cloned().or_else(|| mirror.get(prefix).and_then(|(slot, _)| slots.fault(slot).cloned()))
        };
        let failed = self.failed.drain(..).rev().filter(|(prefix, _)| seen.insert(*prefix));
        let failed: Vec<_> = failed.filter_map(|(prefix, _)| fault(prefix).map(|fault| (prefix, fault))).collect();
        let recovered = self.recovered.drain(..).filter(|prefix| fault(*prefix).is_none()).collect();
        out.progress.push(FibProgress { backend: self.id, through: self.through, failed, recovered });
    }

    fn setback_delay(&self) -> Duration {
        delay(self.setbacks.max(1))
    }
}

/// Leaves of each key what was said last, in the order of those last words: a batch may be several of the RIB's, joined while the
/// data plane was busy.
pub(crate) fn keep_last_words<T, K: Eq + Hash>(items: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let mut said: HashSet<K, FixedState> = HashSet::with_capacity_and_hasher(items.len(), FixedState::default());
    items.reverse();
    items.retain(|item| said.insert(key(item)));
    items.reverse();
}

/// Every prefix that covers `addr`, longest first.
fn covering(addr: IpAddr) -> impl Iterator<Item = IpNet> {
    let bits = if addr.is_ipv4() { 32 } else { 128 };
    (0..=bits).rev().map(move |length| match addr {
        IpAddr::V4(addr) => Ipv4Net::new_assert(addr, length).trunc().into(),
        IpAddr::V6(addr) => Ipv6Net::new_assert(addr, length).trunc().into(),
    })
}

#[cfg(test)]
mod tests;
