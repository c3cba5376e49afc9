//! The machine: routes of every source in, best routes to every data plane out.
//!
//! `handle` takes one input and does a bounded amount of work; what is left is announced by `has_work`. Data planes and
//! watchers are readers of one journal: they pull at their own pace and never hold the machine back.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;
use smallvec::SmallVec;

use crate::answers::Answers;
use crate::dataplane::Backend;
use crate::delta::BackendId;
use crate::family::{AddressFamily, V4, V6};
use crate::hops::Users;
use crate::installed::Awaited;
use crate::intern::{RouteId, Routes};
use crate::journal::Journal;
use crate::message::{Input, Output, Reach, Reachability};
use crate::nexthop::Forwarding;
use crate::places::{PLACES_PER_UNIT, Walk};
use crate::resolve::{Effect, NexthopTracker, World};
use crate::route::{Protocol, RouteBatch, Source};
use crate::select;
use crate::table::{Cand, Key, Slot, Tabled, Tables, marks};
use crate::track::Change;
use crate::watch::Watcher;

/// What the RIB must be told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RibConfig {
    /// Most changes kept for readers that are behind; a reader further behind walks the whole table (a data plane) or is
    /// told so (a watcher). Four octets each.
    pub journal_max_entries: usize,
}

impl Default for RibConfig {
    fn default() -> Self {
        Self { journal_max_entries: 1 << 20 }
    }
}

/// Work of one `handle`, in changed prefixes: at 150 to 400 ns each it lasts 100 µs at most, for which urgent asks wait.
const WORK_PER_CALL: usize = 256;
/// Changes of one source before the next source has its turn.
const TURN: usize = 128;
/// Changes whose destinations are looked up together: what was found stays in the first cache until it is used.
const LOOKED_UP_TOGETHER: usize = 32;
/// The price of resolving a set, beside one for every prefix read.
const RESOLVE_UNITS: usize = 3;
/// Removed destinations freed by one `handle`.
const GRAVES_PER_CALL: usize = WORK_PER_CALL;

/// Work of a source that waits its turn.
#[derive(Debug)]
enum Job {
    /// A batch, its next change, and the interned numbers of its routes as far as they have been met.
    Batch { batch: RouteBatch, next: usize, ids: Vec<Option<RouteId>> },
    /// Removal of all the source's routes.
    Flush { walk: Walk },
}

/// The routing information base.
#[derive(Debug)]
pub struct Rib {
    pub(crate) tables: Tables,
    pub(crate) routes: Routes,
    pub(crate) nexthops: NexthopTracker,
    pub(crate) journal: Journal<Key>,
    pub(crate) backends: Vec<Backend>,
    pub(crate) watchers: Vec<Watcher>,
    pub(crate) last_watch: u64,
    pub(crate) awaited: Awaited,
    pub(crate) answers: Answers,
    pub(crate) chosen_ipv4: usize,
    pub(crate) chosen_ipv6: usize,
    pub(crate) chosen_by_source: [usize; Source::ALL.len()],
    /// Candidates by source: a flush ends when its source has none.
    held_by_source: [usize; Source::ALL.len()],
    jobs: [VecDeque<Job>; Source::ALL.len()],
    /// The source whose turn is next.
    turn: usize,
    /// A walk over all slots that selects anew.
    sweep: Option<Walk>,
    /// Removed destinations, to be freed when every reader has passed the position.
    graves: VecDeque<(u64, Key)>,
}

impl Rib {
    /// An empty table.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a configuration is handed over")]
    pub fn new(config: RibConfig) -> Self {
        Self {
            tables: Tables::new(),
            routes: Routes::default(),
            nexthops: NexthopTracker::new(),
            journal: Journal::new(config.journal_max_entries),
            backends: Vec::new(),
            watchers: Vec::new(),
            last_watch: 0,
            awaited: Awaited::default(),
            answers: Answers::default(),
            chosen_ipv4: 0,
            chosen_ipv6: 0,
            chosen_by_source: [0; Source::ALL.len()],
            held_by_source: [0; Source::ALL.len()],
            jobs: std::array::from_fn(|_| VecDeque::new()),
            turn: 0,
            sweep: None,
            graves: VecDeque::new(),
        }
    }

    /// Adds a data plane that leaves connected and foreign kernel routes to the host: the kernel itself, or its stand-in.
    /// Where such a route is the best of its prefix, the data plane is told to have none of ours.
    ///
    /// # Panics
    /// If the number is 32 or more, or in use.
    pub fn add_backend(&mut self, backend: BackendId) {
        self.insert_backend(backend, false);
    }

    /// Adds a data plane that must be told of connected and foreign kernel routes too, because it forwards without asking
    /// the kernel (XDP, DPDK).
    ///
    /// # Panics
    /// If the number is 32 or more, or in use.
    pub fn add_standalone_backend(&mut self, backend: BackendId) {
        self.insert_backend(backend, true);
    }

    /// Takes one input and does a bounded amount of work; answers are appended to `out`. Inputs of one source are carried out in
    /// order; a source with much to do does not hold up another.
    pub fn handle(&mut self, _now: Instant, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Routes(batch) => {
                let ids = vec![None; batch.routes.len()];
                self.jobs[batch.source as usize].push_back(Job::Batch { batch, next: 0, ids });
            }
            Input::Flush(source) => self.jobs[source as usize].push_back(Job::Flush { walk: Walk::new() }),
            Input::Interface { index, up } => self.nexthops.set_interface(index, up),
            Input::Track { client, add, remove } => self.track(client, &add, &remove, out),
            Input::Fib(progress) => self.progress(progress),
            Input::FibResync(backend) => self.resync(backend),
            Input::AwaitInstalled { prefix, on } => self.await_installed(prefix, on),
            Input::Work => {}
        }
        self.work(out);
    }

    /// True while work waits that the budget cut off: call [`Rib::handle`] with [`Input::Work`] before taking more bulk input.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.nexthops.has_dirty()
            || self.nexthops.tracker.has_unanswered()
            || self.sweep.is_some()
            || self.jobs.iter().any(|jobs| !jobs.is_empty())
            || self.has_answers()
            || self.graves.front().is_some_and(|(position, _)| *position <= self.passed_by_all())
    }

    /// Works until nothing is left or the budget is spent: next hops first, because a failed one is worth more than any
    /// number of new routes.
    fn work(&mut self, out: &mut Vec<Output>) {
        let mut budget = WORK_PER_CALL;
        let mut answers: Vec<(Source, Reachability)> = Vec::new();
        while budget > 0 {
            let spent = if self.nexthops.has_dirty() {
                let steps = self.nexthops.resolve_next(World { tables: &self.tables, routes: &self.routes });
                RESOLVE_UNITS + steps + self.follow_effects()
            } else if let Some(addr) = self.nexthops.tracker.next_unanswered() {
                self.answer(addr, &mut answers);
                1
            } else {
                // Sweep and sources share what is left.
                self.sweep(TURN) + self.turn(TURN)
            };
            if spent == 0 {
                break;
            }
            budget = budget.saturating_sub(spent);
        }
        answers.sort_by_key(|(client, state)| (*client, state.addr));
        for told in answers.chunk_by(|a, b| a.0 == b.0) {
            out.push(Output::Reach { client: told[0].0, states: told.iter().map(|(_, state)| *state).collect() });
        }
        self.tell_awaited(out);
        self.tell_answers(out);
        self.free_passed();
    }

    /// Carries out what resolving has brought about; returns the work it was.
    fn follow_effects(&mut self) -> usize {
        let mut spent = 0;
        for (hop, effect) in self.nexthops.take_effects() {
            match effect {
                Effect::Moved => self.requeue(hop),
                Effect::Flipped => match self.nexthops.hops.get(hop).users.clone() {
                    Users::Named(keys) => {
                        spent += keys.len();
                        for key in keys {
                            self.reselect_key(key);
                        }
                    }
                    // A walk under way has passed some of the users: it comes round to this place again.
                    Users::Many => self.sweep = Some(self.sweep.map_or(Walk::new(), Walk::again)),
                },
            }
        }
        spent
    }

    /// Selects anew over the next places, up to `units` of work.
    fn sweep(&mut self, units: usize) -> usize {
        let mut looked = 0;
        let mut changed = 0;
        while changed + looked / PLACES_PER_UNIT < units {
            let Some(walk) = &mut self.sweep else { break };
            match walk.step(&self.tables) {
                Some(place) => {
                    looked += 1;
                    if let Some(key) = place.key(&self.tables) {
                        changed += usize::from(self.reselect_key(key));
                    }
                }
                None => self.sweep = None,
            }
        }
        changed + looked.div_ceil(PLACES_PER_UNIT)
    }

    fn reselect_key(&mut self, key: Key) -> bool {
        if key.is_v6() { self.reselect::<V6>(key.slot()) } else { self.reselect::<V4>(key.slot()) }
    }

    /// One turn of the next source that has something to do.
    fn turn(&mut self, units: usize) -> usize {
        for _ in 0..self.jobs.len() {
            let source = Source::ALL[self.turn];
            self.turn = (self.turn + 1) % self.jobs.len();
            match self.jobs[source as usize].pop_front() {
                Some(Job::Batch { batch, next, ids }) => return self.batch(batch, next, ids, units),
                Some(Job::Flush { walk }) => return self.flush(source, walk, units),
                None => {}
            }
        }
        0
    }

    fn batch(&mut self, batch: RouteBatch, next: usize, mut ids: Vec<Option<RouteId>>, units: usize) -> usize {
        let end = batch.changes.len().min(next + units);
        for together in batch.changes[next..end].chunks(LOOKED_UP_TOGETHER) {
            // Each half waits for memory once for all of them; below, a cache has them.
            let hashes: SmallVec<[u32; LOOKED_UP_TOGETHER]> =
                together.iter().map(|change| self.look_ahead(change.prefix)).collect();
            for (change, hash) in together.iter().zip(&hashes) {
                match change.prefix {
                    IpNet::V4(_) => self.tables.v4.prefetch_dest(*hash),
                    IpNet::V6(_) => self.tables.v6.prefetch_dest(*hash),
                }
            }
            for (change, hash) in together.iter().zip(hashes) {
                let route = change.route.and_then(|index| {
                    let index = index as usize;
                    debug_assert!(index < batch.routes.len(), "a change names a route of its batch");
                    let id = ids.get_mut(index)?;
                    Some(*id.get_or_insert_with(|| self.intern(&batch, index)))
                });
                if change.route.is_some() && route.is_none() {
                    continue;
                }
                match change.prefix {
                    IpNet::V4(net) => self.change::<V4>(net.trunc(), hash, batch.source, route),
                    IpNet::V6(net) => self.change::<V6>(net.trunc(), hash, batch.source, route),
                }
            }
        }
        self.ask(&batch, next, end);
        let spent = end - next + 1;
        if end < batch.changes.len() {
            self.jobs[batch.source as usize].push_front(Job::Batch { batch, next: end, ids });
        } else {
            ids.into_iter().flatten().for_each(|id| self.release(id));
        }
        spent
    }

    /// The number of a route of the batch, held until the batch is over. New next hops are resolved at once, so that their
    /// first prefixes need not be selected twice.
    fn intern(&mut self, batch: &RouteBatch, index: usize) -> RouteId {
        let route = &batch.routes[index];
        let hops = &mut self.nexthops.hops;
        let mut fresh = None;
        let id = self.routes.intern(route, || {
            let (hop, is_new) = hops.intern(&route.next_hops);
            fresh = is_new.then_some(hop);
            hop
        });
        if let Some(hop) = fresh {
            self.nexthops.resolve(hop, World { tables: &self.tables, routes: &self.routes });
            self.follow_effects();
        }
        id
    }

    fn release(&mut self, id: RouteId) {
        if let Some(hop) = self.routes.release(id)
            && self.nexthops.hops.release(hop)
        {
            self.retire(hop);
        }
    }

    /// Removes the source's routes over the next slots.
    fn flush(&mut self, source: Source, mut walk: Walk, units: usize) -> usize {
        let mut looked = 0;
        let mut changed = 0;
        while changed + looked / PLACES_PER_UNIT <= units {
            if self.held_by_source[source as usize] == 0 {
                return changed + 1;
            }
            let Some(place) = walk.step(&self.tables) else { return changed + 1 };
            if let Some(key) = place.key(&self.tables) {
                let removed = if key.is_v6() {
                    self.flush_slot::<V6>(key.slot(), source)
                } else {
                    self.flush_slot::<V4>(key.slot(), source)
                };
                changed += usize::from(removed);
            }
            looked += 1;
        }
        self.jobs[source as usize].push_front(Job::Flush { walk });
        changed + looked.div_ceil(PLACES_PER_UNIT)
    }

    fn flush_slot<F: Tabled>(&mut self, slot: Slot, source: Source) -> bool {
        let table = F::table(&self.tables);
        let held = table.route_of(slot, source).is_some();
        if held {
            let prefix = table.dest(slot).prefix;
            self.change_slot::<F>(slot, prefix, source, None);
        }
        held
    }

    /// The hash of a prefix that is about to change; where the index has it is on its way from memory then.
    fn look_ahead(&self, prefix: IpNet) -> u32 {
        fn look<F: Tabled>(tables: &Tables, prefix: F::Prefix) -> u32 {
            let table = F::table(tables);
            let hash = table.hash(prefix);
            table.prefetch_index(hash);
            hash
        }
        match prefix {
            IpNet::V4(net) => look::<V4>(&self.tables, net.trunc()),
            IpNet::V6(net) => look::<V6>(&self.tables, net.trunc()),
        }
    }

    /// One change of one source: the only door for additions and removals alike.
    fn change<F: Tabled>(&mut self, prefix: F::Prefix, hash: u32, source: Source, route: Option<RouteId>) {
        let table = F::table_mut(&mut self.tables);
        let slot = if route.is_some() {
            let awaited = &self.awaited;
            Some(table.ensure(hash, prefix, || awaited.contains(F::net(prefix))))
        } else {
            table.find(hash, prefix)
        };
        if let Some(slot) = slot {
            self.change_slot::<F>(slot, prefix, source, route);
        }
    }

    fn change_slot<F: Tabled>(&mut self, slot: Slot, prefix: F::Prefix, source: Source, route: Option<RouteId>) {
        let key = Key::new::<F>(slot);
        let table = F::table_mut(&mut self.tables);
        let before = table.best(slot);
        let old = table.set(slot, source, route, &self.routes);
        if old == route {
            return;
        }
        match (old, route) {
            (None, Some(_)) => self.held_by_source[source as usize] += 1,
            (Some(_), None) => self.held_by_source[source as usize] -= 1,
            _ => {}
        }
        if let Some(route) = route {
            self.routes.acquire(route);
            self.nexthops.hops.add_user(self.routes.next_hop(route), key);
        }
        let after = select::best(F::table(&self.tables), slot, &self.routes, &self.nexthops.hops);
        let best = before != after;
        if best {
            self.announce::<F>(slot, before.map(|cand| cand.source), after);
        }
        self.nexthops.touched(F::net(prefix), Change { candidates: true, best });
        if let Some(old) = old {
            self.nexthops.hops.drop_user(self.routes.next_hop(old), key);
            self.release(old);
        }
        if route.is_none() && F::table(&self.tables).is_bare(slot) {
            self.graves.push_back((self.journal.head(), key));
        }
    }

    /// Selects anew among unchanged candidates; true if the best is another.
    fn reselect<F: Tabled>(&mut self, slot: Slot) -> bool {
        let table = F::table(&self.tables);
        let after = select::best(table, slot, &self.routes, &self.nexthops.hops);
        let before = table.dest(slot).best;
        if after.map(|cand| cand.source) == before {
            return false;
        }
        let prefix = table.dest(slot).prefix;
        self.announce::<F>(slot, before, after);
        self.nexthops.touched(F::net(prefix), Change { candidates: false, best: true });
        true
    }

    /// The best route of a destination is another: into the journal with it.
    fn announce<F: Tabled>(&mut self, slot: Slot, before: Option<Source>, after: Option<Cand>) {
        let dest = F::table_mut(&mut self.tables).dest_mut(slot);
        let after = after.map(|cand| cand.source);
        dest.best = after;
        dest.seq = self.journal.push(Key::new::<F>(slot));
        let dest = *dest;
        if dest.is_marked(marks::AWAITED) {
            self.awaited.changed(F::net(dest.prefix));
        }
        if dest.is_marked(marks::ASKED_OWN | marks::ASKED_ANY) {
            self.answer_later::<F>(slot);
        }
        let chosen = match F::FAMILY {
            AddressFamily::Ipv4 => &mut self.chosen_ipv4,
            AddressFamily::Ipv6 => &mut self.chosen_ipv6,
        };
        *chosen = *chosen + usize::from(after.is_some()) - usize::from(before.is_some());
        if before != after {
            if let Some(source) = before {
                self.chosen_by_source[source as usize] -= 1;
            }
            if let Some(source) = after {
                self.chosen_by_source[source as usize] += 1;
            }
        }
    }

    /// Frees removed destinations and journal entries that every reader has passed.
    fn free_passed(&mut self) {
        let passed = self.passed_by_all();
        for _ in 0..GRAVES_PER_CALL {
            match self.graves.front() {
                Some((position, _)) if *position <= passed => {}
                _ => break,
            }
            let Some((position, key)) = self.graves.pop_front() else { break };
            if key.is_v6() {
                self.bury::<V6>(key.slot(), position);
            } else {
                self.bury::<V4>(key.slot(), position);
            }
        }
        self.journal.trim(passed);
    }

    fn bury<F: Tabled>(&mut self, slot: Slot, position: u64) {
        let table = F::table_mut(&mut self.tables);
        // It may have come back to life, and even died again: then a later grave is its own.
        if !table.is_vacant(slot) && table.is_bare(slot) && table.dest(slot).seq <= position {
            let prefix = F::net(table.dest(slot).prefix);
            table.bury(slot);
            for backend in &mut self.backends {
                backend.failed.remove(&prefix);
            }
        }
    }

    fn track(&mut self, client: Source, add: &[IpAddr], remove: &[IpAddr], out: &mut Vec<Output>) {
        for addr in remove {
            self.nexthops.tracker.unfollow(client, *addr);
        }
        let mut answers = Vec::new();
        let mut states = Vec::with_capacity(add.len());
        for addr in add {
            self.nexthops.tracker.follow(client, *addr);
            let reach = self.answer(*addr, &mut answers);
            states.push(Reachability { addr: *addr, reach });
        }
        // Others who follow the address may learn of a change by the way.
        for (other, state) in answers.into_iter().filter(|(other, _)| *other != client) {
            out.push(Output::Reach { client: other, states: vec![state] });
        }
        if !states.is_empty() {
            out.push(Output::Reach { client, states });
        }
    }

    /// Answers the clients of `addr` anew.
    fn answer(&mut self, addr: IpAddr, answers: &mut Vec<(Source, Reachability)>) -> Option<Reach> {
        let (length, reach) = match addr {
            IpAddr::V4(addr) => self.reach::<V4>(addr),
            IpAddr::V6(addr) => self.reach::<V6>(addr),
        };
        let clients = self.nexthops.tracker.answer(addr, length, reach);
        let told = Source::ALL.iter().filter(|source| clients & (1 << **source as u8) != 0);
        answers.extend(told.map(|source| (*source, Reachability { addr, reach })));
        reach
    }

    /// How `addr` is reached, and the length of the prefix that says so.
    fn reach<F: Tabled>(&self, addr: F::Addr) -> (u8, Option<Reach>) {
        let Some(slot) = self.covering::<F>(addr) else { return (0, None) };
        let table = F::table(&self.tables);
        let length = F::length(table.dest(slot).prefix);
        let Some(best) = table.best(slot) else { return (length, None) };
        let route = self.routes.route(best.route);
        // A next hop that is this host itself leads nowhere.
        let own = self.nexthops.hops.resolved(self.routes.next_hop(best.route)) == Some(&Forwarding::Local);
        let connected = route.protocol == Protocol::Connected;
        (length, (!own).then_some(Reach { metric: route.metric, protocol: route.protocol, connected }))
    }
}
