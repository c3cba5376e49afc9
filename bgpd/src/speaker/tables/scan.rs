//! The walk in slices over the whole table: lost sessions, repeated imports, next hops that changed.

use hashbrown::HashSet;
use rib::{V4, V6};

use super::{InTables, Tables};
use crate::attrs::flag;
use crate::intern::AttrId;
use crate::locrib::nexthop::NextHopId;
use crate::locrib::{Change, DestId, PathId, PeerIndex, Standing, stale};

/// A walk in slices over all destinations, for what concerns an unknown part of them. New tasks join a walk under way: it then
/// goes round once more from where it is.
#[derive(Default)]
pub(super) struct Scan {
    at: [u32; 2],
    /// Destinations still to be visited; a lost session's paths are found by their generation.
    left: [usize; 2],
    /// The end of the table that `left` goes by.
    end: [u32; 2],
    soft: HashSet<PeerIndex>,
    pub(super) dirty: HashSet<NextHopId>,
    all: bool,
}

impl Tables {
    /// Import of these neighbors has to be repeated over what they said.
    pub(in crate::speaker) fn soft_in(&mut self, peer: PeerIndex) {
        self.scan.soft.insert(peer);
        self.rescan();
    }

    /// Every decision has to be repeated.
    pub(in crate::speaker) fn redecide_all(&mut self) {
        self.scan.all = true;
        self.rescan();
    }

    /// A walk begins, or one under way goes round once more.
    pub(in crate::speaker) fn rescan(&mut self) {
        self.scan.end = [self.shards.v4.end(), self.shards.v6.end()];
        self.scan.left = self.scan.end.map(|end| end as usize);
    }

    /// No walk is under way: whatever was to be found has been found.
    pub(super) fn is_scanned(&self) -> bool {
        self.scan.left == [0, 0]
    }

    /// One slice of the walk; true if it is not over.
    pub(super) fn scan_slice(&mut self, budget: usize) -> bool {
        if self.scan.left == [0, 0] {
            return false;
        }
        let left = self.scan_family::<V4>(budget);
        self.scan_family::<V6>(left);
        if self.scan.left == [0, 0] {
            let at = self.scan.at;
            self.scan = Scan { at, ..Scan::default() };
            return false;
        }
        true
    }

    fn scan_family<F: InTables>(&mut self, mut budget: usize) -> usize {
        let end = F::shard(self).end();
        if self.scan.left[F::AT] > 0 && end != self.scan.end[F::AT] {
            // What was added is on the way, and would be taken for what is still to come; what began anew is walked anew.
            let added = end.checked_sub(self.scan.end[F::AT]);
            self.scan.left[F::AT] = added.map_or(end as usize, |added| self.scan.left[F::AT] + added as usize);
            self.scan.end[F::AT] = end;
        }
        while budget > 0 && self.scan.left[F::AT] > 0 {
            let at = if self.scan.at[F::AT] < end { self.scan.at[F::AT] } else { 0 };
            self.scan.at[F::AT] = at + 1;
            self.scan.left[F::AT] -= 1;
            budget -= 1;
            self.scan_dest::<F>(DestId(at));
        }
        budget
    }

    fn scan_dest<F: InTables>(&mut self, dest: DestId) {
        if !F::shard(self).is_used(dest) {
            return;
        }
        let mut due = smallvec::SmallVec::<[(PathId, Due); 4]>::new();
        let mut redecide = self.scan.all;
        for (id, path) in F::shard(self).paths(dest) {
            let standing = self.peers.get(path.peer).epochs.of(F::FAMILY).standing(path.generation);
            let soft = self.scan.soft.contains(&path.peer);
            match standing {
                Standing::Gone => due.push((id, Due::Removal)),
                // RFC 9494 §4.2: marked once, and once more after import was repeated.
                Standing::LongLived if soft || !self.is_marked(path.imported) => due.push((id, Due::Mark { soft })),
                _ if soft => due.push((id, Due::Import)),
                _ => {}
            }
            redecide |= path.imported.is_some()
                && !self.scan.dirty.is_empty()
                && self.scan.dirty.contains(&self.store.facts(path.imported).next_hop);
        }
        for (id, due) in due {
            self.carry_out::<F>(dest, id, due);
        }
        if redecide {
            let mut context = Self::context(self.settings, &mut self.store, &self.peers);
            F::shard_mut(&mut self.shards).redecide(&mut context, dest);
        }
    }

    fn is_marked(&self, imported: AttrId) -> bool {
        !imported.is_some() || self.store.facts(imported).flags & flag::LLGR_STALE != 0
    }

    fn carry_out<F: InTables>(&mut self, dest: DestId, id: PathId, due: Due) {
        let shard = F::shard(self);
        let Some((_, path)) = shard.paths(dest).find(|(other, _)| *other == id) else { return };
        let (path, removal) = (*path, Change { peer: path.peer, path_id: shard.path_id(id), path: None });
        let import = self.imports[usize::from(path.peer.0)].clone();
        let prefix = F::net(shard.prefix(dest));
        let imported = match (due, import) {
            (Due::Removal, _) => None,
            (Due::Import | Due::Mark { soft: true }, Some(import)) => {
                Some(import.apply(&mut self.store, path.received, &mut None, prefix))
            }
            // Without a session there is nothing to judge by: what was accepted stands.
            _ => {
                self.store.retain(path.imported, 1);
                Some(path.imported)
            }
        };
        let imported = match (due, imported) {
            (Due::Mark { .. }, Some(imported)) => stale::mark(&mut self.store, path.received, imported),
            (_, imported) => imported,
        };
        let mut context = Self::context(self.settings, &mut self.store, &self.peers);
        match imported {
            None => F::shard_mut(&mut self.shards).change_dest(&mut context, dest, removal),
            Some(imported) => {
                F::shard_mut(&mut self.shards).reimport(&mut context, dest, id, imported);
                self.store.release(imported);
            }
        }
    }
}

/// What a path on the way is due for.
#[derive(Clone, Copy)]
enum Due {
    /// Its time is over.
    Removal,
    /// Import is repeated.
    Import,
    /// It is long-lived now, or still after import was repeated.
    Mark { soft: bool },
}
