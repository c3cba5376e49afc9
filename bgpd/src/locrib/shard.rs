//! One family's Loc-RIB: prefixes, paths, decision and journal behind one door, [`Shard::change`].

mod deciding;
mod reading;

use rib::{AddressFamily, Family, Index, prefetch};

use super::decision::{self, Contender};
use super::journal::Journal;
use super::path::{FREE, HAS_BEST, IDENTIFIED, IN_RIB, LOCAL, NIL, TOMB};
use super::stale::{Count, Counts, Standing};
use super::{Dest, DestId, Path, PathId, PeerIndex, Peers};
use crate::intern::{AttrId, AttrStore};
use reading::Every;

/// What deciding reads beside the paths.
pub struct Context<'a> {
    /// Attribute sets and next hops.
    pub store: &'a mut AttrStore,
    /// Neighbors.
    pub peers: &'a Peers,
    /// Most equal external paths used together.
    pub multipath_ebgp: u16,
    /// Most equal internal paths used together.
    pub multipath_ibgp: u16,
    /// Paths used together need only be of equal length; otherwise external ones have to be through one neighbor AS and internal
    /// ones have the same AS_PATH.
    pub multipath_relax: bool,
}

/// What a neighbor says about a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose word it is.
    pub peer: PeerIndex,
    /// The path identifier it came with (RFC 7911 §3); 0 from neighbors that send none, and for our own routes.
    pub path_id: u32,
    /// Attributes as received and after import policy; `None` to withdraw.
    pub path: Option<(AttrId, AttrId)>,
}

/// Paths of one neighbor to one prefix at most: they are looked through one by one.
pub const PATHS_MAX: usize = 1024;

/// One family's Loc-RIB.
pub struct Shard<F: Family> {
    index: Index,
    seed: u64,
    dests: Vec<Dest<F::Prefix>>,
    free_dests: Vec<u32>,
    pub(super) paths: Vec<Path>,
    /// Received path identifiers by place in `paths`; empty until there is one other than 0.
    path_ids: Vec<u32>,
    free_path: u32,
    tombs: Vec<u32>,
    /// Entries of `tombs` that the last attempt could not free.
    tombs_kept: usize,
    /// The journal of destinations whose best path changed.
    pub journal: Journal,
    /// While somebody reads it: the journal of destinations with any change of a usable path.
    every: Option<Box<Every>>,
    pub(super) counts: Counts,
    path_count: usize,
}

impl<F: Family> Shard<F> {
    /// An empty table.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            index: Index::new(),
            seed,
            dests: Vec::new(),
            free_dests: Vec::new(),
            paths: Vec::new(),
            path_ids: Vec::new(),
            free_path: NIL,
            tombs: Vec::new(),
            tombs_kept: 0,
            journal: Journal::default(),
            every: None,
            counts: Counts::default(),
            path_count: 0,
        }
    }

    /// The hash to find `prefix` by.
    #[inline]
    #[must_use]
    pub fn hash(&self, prefix: F::Prefix) -> u32 {
        F::hash(prefix, self.seed)
    }

    /// First half of warming the cache for a batch: the index.
    #[inline]
    pub fn prefetch_index(&self, hash: u32) {
        self.index.prefetch(hash);
    }

    /// Second half: the record that the index most likely leads to.
    #[inline]
    pub fn prefetch_dest(&self, hash: u32) {
        if let Some(id) = self.index.guess(hash) {
            prefetch(&self.dests[id as usize]);
        }
    }

    /// The id of `prefix`, if it is known.
    #[inline]
    #[must_use]
    pub fn find(&self, hash: u32, prefix: F::Prefix) -> Option<DestId> {
        self.index.find(hash, |id| self.dests[id as usize].prefix == prefix).map(DestId)
    }

    /// The id of `prefix`, if it is known.
    #[must_use]
    pub fn lookup(&self, prefix: F::Prefix) -> Option<DestId> {
        self.find(self.hash(prefix), prefix)
    }

    fn obtain(&mut self, hash: u32, prefix: F::Prefix) -> DestId {
        if let Some(dest) = self.find(hash, prefix) {
            return dest;
        }
        let dest = Dest { prefix, flags: 0, head: NIL, changed: 0 };
        let id = match self.free_dests.pop() {
            Some(id) => {
                self.dests[id as usize] = dest;
                id
            }
            None => {
                self.dests.push(dest);
                u32::try_from(self.dests.len() - 1).expect("fewer than 2^32 prefixes")
            }
        };
        self.index.insert(hash, id);
        DestId(id)
    }

    /// Makes `prefix` a destination without a path, unless it is one already. It is freed like any other when nobody was told
    /// of it.
    pub fn obtain_empty(&mut self, prefix: F::Prefix) -> DestId {
        let dest = self.obtain(self.hash(prefix), prefix);
        self.bury(dest);
        dest
    }

    /// The one door: a neighbor says this about `prefix` now. Returns its id, unless nothing was and is known of it.
    ///
    /// The attribute ids are retained as needed; the caller keeps its own.
    #[inline]
    pub fn change(
        &mut self,
        context: &mut Context<'_>,
        hash: u32,
        prefix: F::Prefix,
        change: Change,
    ) -> Option<DestId> {
        let dest = match change.path {
            Some(_) => self.obtain(hash, prefix),
            None => self.find(hash, prefix)?,
        };
        self.change_dest(context, dest, change);
        Some(dest)
    }

    /// [`Self::change`] for a prefix whose id is known.
    pub fn change_dest(&mut self, context: &mut Context<'_>, dest: DestId, change: Change) {
        if change.peer == PeerIndex::LOCAL {
            self.dests[dest.0 as usize].flags |= LOCAL;
        }
        let before = self.best_key(dest);
        match (self.position(dest, change.peer, change.path_id), change.path) {
            (None, None) => return,
            (None, Some((received, imported))) => {
                if change.path_id != 0 && self.paths_of(dest, change.peer).count() >= PATHS_MAX {
                    self.counts.refuse(change.peer);
                    return;
                }
                if !self.add(context, dest, (change.peer, change.path_id), received, imported) {
                    if imported.is_some() {
                        self.enter_every(dest);
                    }
                    return;
                }
            }
            (Some((_, at)), Some((received, imported))) => {
                if !self.replace(context, at, received, imported) {
                    return;
                }
            }
            (Some((previous, at)), None) => {
                let usable = self.paths[at as usize].imported.is_some();
                self.unlink(context, dest, previous, at);
                if !usable {
                    self.bury(dest);
                    return;
                }
            }
        }
        self.decide(context, dest, before);
    }

    /// What identifies the best path to those who are told of it. Ids in it stay retained until the decision is over.
    pub(super) fn best_key(&self, dest: DestId) -> Option<(PeerIndex, AttrId)> {
        self.best(dest).map(|path| (path.peer, path.imported))
    }

    /// The path identifier that a path came with; 0 if it came without.
    #[inline]
    #[must_use]
    pub fn path_id(&self, path: PathId) -> u32 {
        self.received_id(path.0)
    }

    #[inline]
    fn received_id(&self, at: u32) -> u32 {
        if self.paths[at as usize].flags & IDENTIFIED == 0 { 0 } else { self.path_ids[at as usize] }
    }

    fn identify(&mut self, at: u32, path_id: u32) {
        if path_id != 0 {
            if self.path_ids.len() < self.paths.len() {
                self.path_ids.resize(self.paths.len(), 0);
            }
            self.path_ids[at as usize] = path_id;
            self.paths[at as usize].flags |= IDENTIFIED;
        }
    }

    fn position(&self, dest: DestId, peer: PeerIndex, path_id: u32) -> Option<(u32, u32)> {
        let (mut previous, mut at) = (NIL, self.dests[dest.0 as usize].head);
        while at != NIL {
            let path = &self.paths[at as usize];
            if path.peer == peer && self.received_id(at) == path_id {
                return Some((previous, at));
            }
            (previous, at) = (at, path.next);
        }
        None
    }

    /// Links a new path; `false` if it cannot change the decision.
    fn add(
        &mut self,
        context: &mut Context<'_>,
        dest: DestId,
        (peer, path_id): (PeerIndex, u32),
        received: AttrId,
        imported: AttrId,
    ) -> bool {
        context.store.retain(received, 1);
        context.store.retain(imported, 1);
        let generation = context.peers.get(peer).epochs.of(F::FAMILY).fresh();
        self.counts.add(peer, Standing::Fresh, 1, i32::from(imported.is_some()));
        self.path_count += 1;
        let record = &mut self.dests[dest.0 as usize];
        let path = Path { next: NIL, received, imported, peer, generation, flags: 0 };
        // Behind the head: the best path keeps its place until the decision says otherwise.
        let after = record.head;
        let id = if self.free_path == NIL {
            self.paths.push(path);
            u32::try_from(self.paths.len() - 1).expect("fewer than 2^32 paths")
        } else {
            let id = self.free_path;
            self.free_path = self.paths[id as usize].next;
            self.paths[id as usize] = path;
            id
        };
        if after == NIL {
            record.head = id;
        } else {
            self.paths[id as usize].next = self.paths[after as usize].next;
            self.paths[after as usize].next = id;
        }
        let has_best = record.flags & HAS_BEST != 0;
        self.identify(id, path_id);
        if !imported.is_some() {
            return false;
        }
        if !has_best || context.multipath_ebgp > 1 || context.multipath_ibgp > 1 {
            return true;
        }
        // A winner of a lost session decides nothing; the sweep is on its way to it.
        let winner = self.paths[after as usize];
        if !context.peers.is_usable(winner.peer, F::FAMILY, winner.generation) {
            return true;
        }
        let contender = |id, path: &Path| Contender {
            id,
            facts: context.store.facts(path.imported),
            peer: context.peers.get(path.peer),
            igp_metric: 0,
            path_id: 0,
        };
        let loses = decision::loses_at_once(&contender(id, &path), &contender(after, &winner));
        if loses {
            self.wait(context, dest, imported);
        }
        !loses
    }

    /// A path whose next hop has not been answered for yet is decided on again when it is.
    fn wait(&self, context: &mut Context<'_>, dest: DestId, imported: AttrId) {
        let next_hop = context.store.facts(imported).next_hop;
        context.store.next_hops.wait(next_hop, F::FAMILY, dest);
    }

    /// Puts a neighbor's new word in the place of the old one; `false` if that changes nothing.
    fn replace(&mut self, context: &mut Context<'_>, at: u32, received: AttrId, imported: AttrId) -> bool {
        let old = self.paths[at as usize];
        let epoch = context.peers.get(old.peer).epochs.of(F::FAMILY);
        let standing = epoch.standing(old.generation);
        if old.received == received && old.imported == imported && standing == Standing::Fresh {
            return false;
        }
        context.store.retain(received, 1);
        context.store.retain(imported, 1);
        self.counts.add(old.peer, standing, -1, -i32::from(old.imported.is_some()));
        self.counts.add(old.peer, Standing::Fresh, 1, i32::from(imported.is_some()));
        let path = &mut self.paths[at as usize];
        path.received = received;
        path.imported = imported;
        path.generation = epoch.fresh();
        context.store.release(old.received);
        context.store.release(old.imported);
        old.imported != imported || standing == Standing::Gone
    }

    fn unlink(&mut self, context: &mut Context<'_>, dest: DestId, previous: u32, at: u32) {
        let path = self.paths[at as usize];
        if previous == NIL {
            let record = &mut self.dests[dest.0 as usize];
            record.head = path.next;
            record.flags &= !HAS_BEST;
        } else {
            self.paths[previous as usize].next = path.next;
        }
        let standing = context.peers.get(path.peer).epochs.of(F::FAMILY).standing(path.generation);
        self.counts.add(path.peer, standing, -1, -i32::from(path.imported.is_some()));
        context.store.release(path.received);
        context.store.release(path.imported);
        self.paths[at as usize] =
            Path { next: self.free_path, received: AttrId::NONE, imported: AttrId::NONE, flags: 0, ..path };
        self.free_path = at;
        self.path_count -= 1;
    }

    /// Paths of `peer` that may be used, stale ones included.
    #[must_use]
    pub fn counts(&self, peer: PeerIndex) -> Count {
        let [fresh, stale] = self.counts.of(peer);
        Count {
            received: fresh.received + stale.received,
            accepted: fresh.accepted + stale.accepted,
            refused: fresh.refused,
        }
    }

    /// Of [`Self::counts`], the stale ones.
    #[must_use]
    pub fn stale_counts(&self, peer: PeerIndex) -> Count {
        self.counts.of(peer)[1]
    }

    /// Decides anew, as when the way to a next hop changed.
    pub fn redecide(&mut self, context: &mut Context<'_>, dest: DestId) {
        if self.dests[dest.0 as usize].flags & FREE == 0 {
            let before = self.best_key(dest);
            self.decide(context, dest, before);
        }
    }

    fn bury(&mut self, dest: DestId) {
        let record = &mut self.dests[dest.0 as usize];
        if record.head == NIL && record.flags & TOMB == 0 {
            record.flags |= TOMB;
            self.tombs.push(dest.0);
        }
    }

    /// Frees destinations without paths that nobody was told of; `told` asks the readers. Does nothing while there is
    /// little to gain. Returns the freed ids that had routes of our own.
    pub fn free_tombs(&mut self, idle: bool, told: impl Fn(DestId) -> bool) -> Vec<DestId> {
        let mut freed = Vec::new();
        if self.tombs.is_empty()
            || !(idle && self.tombs.len() > self.tombs_kept || self.tombs.len() > 2 * self.tombs_kept + 4096)
        {
            return freed;
        }
        let mut tombs = std::mem::take(&mut self.tombs);
        tombs.retain(|&id| {
            let record = &mut self.dests[id as usize];
            if record.head != NIL {
                record.flags &= !TOMB;
                return false;
            }
            if record.flags & IN_RIB != 0 || told(DestId(id)) {
                return true;
            }
            let hash = F::hash(record.prefix, self.seed);
            if record.flags & LOCAL != 0 {
                freed.push(DestId(id));
            }
            record.flags = FREE;
            self.index.remove(hash, id);
            self.free_dests.push(id);
            false
        });
        self.tombs_kept = tombs.len();
        self.tombs = tombs;
        if self.free_dests.len() == self.dests.len() {
            // Nothing is left: give the memory back.
            self.dests = Vec::new();
            self.free_dests = Vec::new();
            self.paths = Vec::new();
            self.path_ids = Vec::new();
            self.free_path = NIL;
        }
        freed
    }

    /// The best path.
    #[inline]
    #[must_use]
    pub fn best(&self, dest: DestId) -> Option<&Path> {
        let record = &self.dests[dest.0 as usize];
        (record.flags & HAS_BEST != 0).then(|| &self.paths[record.head as usize])
    }

    /// The path at a place that is in use.
    #[must_use]
    pub fn path(&self, id: PathId) -> &Path {
        &self.paths[id.0 as usize]
    }

    /// All paths, the best one first if there is one.
    pub fn paths(&self, dest: DestId) -> impl Iterator<Item = (PathId, &Path)> {
        let mut at = self.dests[dest.0 as usize].head;
        std::iter::from_fn(move || {
            (at != NIL).then(|| {
                let (id, path) = (PathId(at), &self.paths[at as usize]);
                at = path.next;
                (id, path)
            })
        })
    }

    /// The paths of `peer`, with their places.
    pub fn paths_of(&self, dest: DestId, peer: PeerIndex) -> impl Iterator<Item = (PathId, &Path)> {
        self.paths(dest).filter(move |(_, path)| path.peer == peer)
    }

    /// The best path's place.
    #[must_use]
    pub fn best_id(&self, dest: DestId) -> Option<PathId> {
        let record = &self.dests[dest.0 as usize];
        (record.flags & HAS_BEST != 0).then_some(PathId(record.head))
    }

    /// The prefix of `dest`.
    #[inline]
    #[must_use]
    pub fn prefix(&self, dest: DestId) -> F::Prefix {
        self.dests[dest.0 as usize].prefix
    }

    /// It has or had a route of our own.
    #[must_use]
    pub fn is_local(&self, dest: DestId) -> bool {
        self.dests[dest.0 as usize].flags & LOCAL != 0
    }

    /// Notes whether the shared RIB holds our route; returns what was noted before.
    pub fn set_in_rib(&mut self, dest: DestId, held: bool) -> bool {
        let flags = &mut self.dests[dest.0 as usize].flags;
        let before = *flags & IN_RIB != 0;
        *flags = if held { *flags | IN_RIB } else { *flags & !IN_RIB };
        before
    }

    /// True for an id in use.
    #[must_use]
    pub fn is_used(&self, dest: DestId) -> bool {
        self.dests.get(dest.0 as usize).is_some_and(|record| record.flags & FREE == 0)
    }

    /// One past the highest id.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.dests.len() as u32
    }

    /// Prefixes known, with a path or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.dests.len() - self.free_dests.len()
    }

    /// No prefix is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Prefixes with a path.
    #[must_use]
    pub fn prefix_count(&self) -> usize {
        self.len() - self.tombs.iter().filter(|id| self.dests[**id as usize].head == NIL).count()
    }

    /// Paths of all neighbors.
    #[must_use]
    pub fn path_count(&self) -> usize {
        self.path_count
    }

    /// This shard's family.
    #[must_use]
    pub fn family(&self) -> AddressFamily {
        F::FAMILY
    }
}
