//! Data planes as readers of the journal: deltas out, answers in.
//!
//! A data plane is told of a next-hop object in the batch of the first route that uses it, of its changes before any route,
//! and of its removal in the first batch that leaves nothing more to tell. The object's number is used again when every data
//! plane has confirmed the removal.
//!
//! A data plane that has been overrun, or lost its state, walks the whole table. Walk and journal take turns batch by
//! batch, so that the journal cannot overrun it again only because the walk is long; should it be overrun all the same, the
//! walk goes on where it is and comes round to that place again, so every prefix is reached in bounded time.

use std::collections::VecDeque;

use hashbrown::HashMap;
use ipnet::IpNet;

use crate::delta::{BackendId, FibDelta, FibFault, FibProgress, FibRoute, NextHopOp};
use crate::family::{V4, V6};
use crate::hops::BackendMask;
use crate::journal::{Cursor, Overrun};
use crate::message::FibState;
use crate::nexthop::{Discard, Forwarding, NextHopId};
use crate::places::{PLACES_PER_UNIT, Place, Walk};
use crate::rib::Rib;
use crate::route::Source;
use crate::table::{Dest, Key, Lpm, Slot, Tabled};

/// Journal entries read for one pulled route, at most: most of what a slow reader finds may be stale.
const ENTRIES_PER_ROUTE: usize = 8;

/// One data plane.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) id: BackendId,
    /// It forwards without the host's own routes, so it is told of connected and foreign kernel routes too.
    standalone: bool,
    cursor: Cursor,
    walk: Option<Walk>,
    /// The data plane asked for the walk, so it is to hear when the walk is done, and may sweep.
    walk_asked: bool,
    /// During a walk: the next batch is the journal's.
    journal_turn: bool,
    /// The position that the last batch brought the data plane to.
    told: u64,
    /// The position up to which it has answered.
    acked: u64,
    /// Answers below this were given before it lost its state.
    valid_from: u64,
    pub(crate) failed: HashMap<IpNet, FibFault>,
    /// Objects it holds that forward otherwise now.
    changed: VecDeque<NextHopId>,
    /// Objects to remove, once the data plane has been told of everything. To have passed the last change of the prefixes
    /// that used one is not enough: a prefix that changed again since is told with that later change only.
    to_remove: Vec<NextHopId>,
    /// Objects whose removal it was told of in the batch that ended at a position.
    removing: VecDeque<(u64, NextHopId)>,
}

impl Backend {
    /// Every change up to this position has been told to it.
    pub(crate) fn passed(&self) -> u64 {
        if self.walk.is_some() { self.told } else { self.cursor.passed() }
    }

    /// The position up to which it has answered.
    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    /// What became of a best route that changed last at `seq`.
    pub(crate) fn state(&self, prefix: IpNet, seq: u64) -> FibState {
        if seq > self.acked {
            FibState::Pending
        } else if let Some(fault) = self.failed.get(&prefix) {
            FibState::Failed(fault.clone())
        } else {
            FibState::Installed
        }
    }
}

impl Rib {
    pub(crate) fn insert_backend(&mut self, id: BackendId, standalone: bool) {
        assert!(id.0 < BackendMask::BITS, "data planes are numbered below {}", BackendMask::BITS);
        assert!(self.backends.iter().all(|backend| backend.id != id), "data plane {} is there already", id.0);
        let filled = !(self.tables.v4.tree.is_empty() && self.tables.v6.tree.is_empty());
        let position = self.journal.head();
        self.backends.push(Backend {
            id,
            standalone,
            cursor: self.journal.now(),
            walk: filled.then(Walk::new),
            walk_asked: false,
            journal_turn: false,
            told: position,
            acked: if filled { 0 } else { position },
            valid_from: position,
            failed: HashMap::new(),
            changed: VecDeque::new(),
            to_remove: Vec::new(),
            removing: VecDeque::new(),
        });
        if filled {
            // What was chosen before counts as told only when the walk is over, so the position must move.
            self.restart(self.backends.len() - 1);
        }
        self.recheck_all_awaited();
    }

    /// Forgets a data plane and everything it holds.
    pub fn remove_backend(&mut self, id: BackendId) {
        let Some(at) = self.backends.iter().position(|backend| backend.id == id) else { return };
        let refused = self.backends.remove(at).failed;
        self.answer_again(refused.keys());
        for hop in self.nexthops.hops.all() {
            let entry = self.nexthops.hops.get_mut(hop);
            entry.queued.clear(id);
            if entry.held.has(id) {
                self.let_go(hop, id);
            }
        }
        self.recheck_all_awaited();
    }

    /// `backend` does not hold `hop` any more.
    fn let_go(&mut self, hop: NextHopId, backend: BackendId) {
        let entry = self.nexthops.hops.get_mut(hop);
        entry.held.clear(backend);
        if entry.held.is_empty() && !self.nexthops.hops.is_live(hop) {
            self.nexthops.hops.free(hop);
        }
    }

    /// The last route with this set is gone.
    pub(crate) fn retire(&mut self, hop: NextHopId) {
        self.nexthops.forget(hop);
        let held = self.nexthops.hops.get(hop).held;
        if held.is_empty() {
            self.nexthops.hops.free(hop);
            return;
        }
        // The marker moves the journal on, so that the batch with the removal ends at a position of its own, and its answer
        // cannot be mistaken for an earlier one.
        self.journal.push(Key::MARKER);
        for backend in self.backends.iter_mut().filter(|backend| held.has(backend.id)) {
            backend.to_remove.push(hop);
        }
    }

    /// A set forwards otherwise: every data plane that holds it is to hear it, once, whatever number of prefixes use it.
    pub(crate) fn requeue(&mut self, hop: NextHopId) {
        let entry = self.nexthops.hops.get_mut(hop);
        for backend in &mut self.backends {
            if entry.held.has(backend.id) && !entry.queued.has(backend.id) {
                entry.queued.set(backend.id);
                backend.changed.push_back(hop);
            }
        }
    }

    /// The data plane lost its state, or wants to be sure.
    pub(crate) fn resync(&mut self, id: BackendId) {
        let Some(at) = self.backends.iter().position(|backend| backend.id == id) else { return };
        self.backends[at].walk_asked = true;
        self.restart(at);
        self.recheck_all_awaited();
    }

    /// Begins a full walk for a data plane that holds nothing it can rely on.
    fn restart(&mut self, at: usize) {
        let position = self.journal.push(Key::MARKER);
        let cursor = self.journal.now();
        let backend = &mut self.backends[at];
        backend.cursor = cursor;
        backend.walk = Some(Walk::new());
        backend.journal_turn = false;
        backend.told = position - 1;
        backend.acked = 0;
        backend.valid_from = position;
        let refused = std::mem::take(&mut backend.failed);
        backend.changed.clear();
        // Removals are told anew at the end of the walk: until then the data plane may hold routes of its own finding that
        // still use the old objects.
        backend.to_remove.extend(backend.removing.drain(..).map(|(_, hop)| hop));
        let id = backend.id;
        for hop in self.nexthops.hops.live().collect::<Vec<_>>() {
            let entry = self.nexthops.hops.get_mut(hop);
            entry.held.clear(id);
            entry.queued.clear(id);
        }
        self.answer_again(refused.keys());
    }

    /// Fills `delta` with the next at most `limit` changes for `backend`, after clearing it; returns true if more wait.
    ///
    /// `walk_done` ends only a walk that was asked for by [`Input::FibResync`](crate::message::Input::FibResync). After an overrun
    /// removals are told one by one, so nothing needs to be swept; and what an earlier run left in the data plane should be
    /// swept only when the protocols have told everything, which the RIB cannot know: then ask. Routes that were never told
    /// may be among those removed.
    pub fn pull_fib(&mut self, backend: BackendId, limit: usize, delta: &mut FibDelta) -> bool {
        delta.next_hops.clear();
        delta.routes.clear();
        delta.unused.clear();
        delta.walk_done = false;
        delta.through = 0;
        let Some(at) = self.backends.iter().position(|entry| entry.id == backend) else { return false };
        let limit = limit.max(1);
        if !self.pull_changed(at, limit, delta) {
            delta.through = self.backends[at].told;
            return true;
        }
        let limit = limit - delta.next_hops.len().min(limit - 1);
        let entry = &mut self.backends[at];
        let journal_turn = match entry.walk {
            None => true,
            Some(_) => std::mem::take(&mut entry.journal_turn) && self.journal.is_behind(entry.cursor),
        };
        if journal_turn {
            self.pull_journal(at, limit, delta);
        } else {
            self.pull_walk(at, limit, delta);
        }
        self.pull_removals(at, delta);
        delta.through = self.backends[at].told;
        self.is_pending(at)
    }

    /// True if [`Rib::pull_fib`] would give something.
    #[must_use]
    pub fn fib_pending(&self, backend: BackendId) -> bool {
        self.backends.iter().position(|entry| entry.id == backend).is_some_and(|at| self.is_pending(at))
    }

    fn is_pending(&self, at: usize) -> bool {
        let backend = &self.backends[at];
        backend.walk.is_some() || !backend.changed.is_empty() || self.journal.is_behind(backend.cursor)
    }

    /// Objects that forward otherwise; false if `limit` left some.
    fn pull_changed(&mut self, at: usize, limit: usize, delta: &mut FibDelta) -> bool {
        let backend = &mut self.backends[at];
        while delta.next_hops.len() < limit {
            let Some(hop) = backend.changed.pop_front() else { return true };
            let entry = self.nexthops.hops.get_mut(hop);
            let queued = entry.queued.has(backend.id);
            entry.queued.clear(backend.id);
            if queued && entry.held.has(backend.id) && self.nexthops.hops.is_live(hop) {
                let forwarding = self.nexthops.hops.resolved(hop).cloned();
                delta.next_hops.extend(forwarding.map(|is| NextHopOp { id: hop, forwarding: Some(is) }));
            }
        }
        backend.changed.is_empty()
    }

    fn pull_journal(&mut self, at: usize, limit: usize, delta: &mut FibDelta) {
        for _ in 0..limit.saturating_mul(ENTRIES_PER_ROUTE) {
            if delta.routes.len() >= limit {
                break;
            }
            match self.journal.read(&mut self.backends[at].cursor) {
                Ok(None) => break,
                Ok(Some((_, Key::MARKER))) => {}
                Ok(Some((position, key))) if key.is_v6() => self.tell_if_current::<V6>(at, key, position, delta),
                Ok(Some((position, key))) => self.tell_if_current::<V4>(at, key, position, delta),
                Err(Overrun) => {
                    let backend = &mut self.backends[at];
                    backend.cursor = self.journal.now();
                    backend.walk = Some(backend.walk.map_or(Walk::new(), Walk::again));
                    return;
                }
            }
        }
        let backend = &mut self.backends[at];
        if backend.walk.is_none() {
            backend.told = backend.cursor.passed();
        }
    }

    fn tell_if_current<F: Tabled>(&mut self, at: usize, key: Key, position: u64, delta: &mut FibDelta) {
        let dest = F::table(&self.tables).dest(key.slot());
        let later = self.backends[at].walk.is_some_and(|walk| walk.will_reach(Place::of(key)));
        if dest.seq == position && !later {
            self.tell::<F>(at, key.slot(), delta);
        }
    }

    fn pull_walk(&mut self, at: usize, limit: usize, delta: &mut FibDelta) {
        let Some(mut walk) = self.backends[at].walk else { return };
        let mut ended = false;
        for _ in 0..limit.saturating_mul(PLACES_PER_UNIT) {
            if delta.routes.len() >= limit {
                break;
            }
            let Some(place) = walk.step(&self.tables) else {
                ended = true;
                break;
            };
            match place.key(&self.tables) {
                Some(key) if key.is_v6() => self.tell::<V6>(at, key.slot(), delta),
                Some(key) => self.tell::<V4>(at, key.slot(), delta),
                None => {}
            }
        }
        let backend = &mut self.backends[at];
        backend.journal_turn = true;
        backend.walk = Some(walk).filter(|_| !ended);
        if ended {
            // The journal has been read along, so the walk ends at its cursor.
            backend.told = backend.cursor.passed();
            delta.walk_done = std::mem::take(&mut backend.walk_asked);
        }
    }

    /// Appends a destination's current state, and before it the next-hop object if the data plane has it not yet.
    fn tell<F: Tabled>(&mut self, at: usize, slot: Slot, delta: &mut FibDelta) {
        let table = F::table(&self.tables);
        let backend = &self.backends[at];
        let best = table
            .best(slot)
            .filter(|best| backend.standalone || !matches!(best.source, Source::Connected | Source::Kernel));
        let next_hop = best.map(|best| self.routes.next_hop(best.route));
        if let Some(id) = next_hop {
            let forwarding = self.nexthops.hops.resolved(id).cloned();
            let entry = self.nexthops.hops.get_mut(id);
            if !entry.held.has(backend.id) {
                entry.held.set(backend.id);
                // Between a set's failure and the new selection of its prefixes there is nothing better to say.
                let forwarding = forwarding.unwrap_or(Forwarding::Discard(Discard::Unreachable));
                delta.next_hops.push(NextHopOp { id, forwarding: Some(forwarding) });
            }
        }
        let Dest { prefix, .. } = *table.dest(slot);
        delta.routes.push(FibRoute { prefix: F::net(prefix), next_hop });
    }

    fn pull_removals(&mut self, at: usize, delta: &mut FibDelta) {
        let backend = &mut self.backends[at];
        if backend.walk.is_none() && !self.journal.is_behind(backend.cursor) {
            backend.removing.extend(backend.to_remove.iter().map(|hop| (backend.told, *hop)));
            delta.unused.append(&mut backend.to_remove);
        }
    }

    /// A data plane answers.
    pub(crate) fn progress(&mut self, progress: FibProgress) {
        let Some(at) = self.backends.iter().position(|backend| backend.id == progress.backend) else { return };
        let backend = &mut self.backends[at];
        let mut named = Vec::with_capacity(progress.failed.len() + progress.recovered.len());
        for prefix in progress.recovered {
            backend.failed.remove(&prefix);
            named.push(prefix);
        }
        for (prefix, fault) in progress.failed {
            backend.failed.insert(prefix, fault);
            named.push(prefix);
        }
        let mut gone = Vec::new();
        if progress.through >= backend.valid_from && progress.through > backend.acked {
            backend.acked = progress.through;
            while backend.removing.front().is_some_and(|(position, _)| *position <= progress.through) {
                gone.extend(backend.removing.pop_front());
            }
        }
        for (_, hop) in gone {
            self.let_go(hop, progress.backend);
        }
        self.recheck_awaited(&named);
        self.answer_again(&named);
    }

    /// The position every reader has passed; overrun watchers, who have lost the journal anyway, do not count.
    pub(crate) fn passed_by_all(&self) -> u64 {
        let backends = self.backends.iter().map(Backend::passed);
        let watchers = self.watchers.iter().map(|watcher| watcher.cursor);
        let watchers = watchers.filter(|cursor| !self.journal.is_overrun(*cursor)).map(|cursor| cursor.passed());
        backends.chain(watchers).min().unwrap_or(self.journal.head())
    }
}
