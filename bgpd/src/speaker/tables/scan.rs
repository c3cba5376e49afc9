//! The walk in slices over the whole table: lost sessions, repeated imports, next hops that changed.

use hashbrown::HashSet;
use rib::{V4, V6};

use super::{InTables, Tables};
use crate::intern::AttrId;
use crate::locrib::nexthop::NextHopId;
use crate::locrib::{Change, DestId, PeerIndex};

/// A walk in slices over all destinations, for what concerns an unknown part of them. New tasks join a walk under way: it then
/// goes round once more from where it is.
#[derive(Default)]
pub(super) struct Scan {
    at: [u32; 2],
    /// Destinations still to be visited; a lost session's paths are found by their generation.
    left: [usize; 2],
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
    pub(super) fn rescan(&mut self) {
        self.scan.left = [self.shards.v4.end() as usize, self.shards.v6.end() as usize];
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
        while budget > 0 && self.scan.left[F::AT] > 0 {
            let end = F::shard(self).end();
            if end == 0 {
                self.scan.left[F::AT] = 0;
                break;
            }
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
        let mut changes = smallvec::SmallVec::<[(PeerIndex, u32, Option<AttrId>); 4]>::new();
        let mut redecide = self.scan.all;
        for (id, path) in F::shard(self).paths(dest) {
            let path_id = F::shard(self).path_id(id);
            if path.generation != self.peers.get(path.peer).generation {
                changes.push((path.peer, path_id, None));
            } else if self.scan.soft.contains(&path.peer) {
                changes.push((path.peer, path_id, Some(path.received)));
            }
            redecide |= path.imported.is_some()
                && !self.scan.dirty.is_empty()
                && self.scan.dirty.contains(&self.store.facts(path.imported).next_hop);
        }
        for (peer, path_id, received) in changes {
            let import = self.imports[usize::from(peer.0)].clone();
            let path = received.zip(import).map(|(received, import)| {
                let prefix = F::net(F::shard(self).prefix(dest));
                (received, import.apply(&mut self.store, received, &mut None, prefix))
            });
            let mut context = Self::context(self.settings, &mut self.store, &self.peers);
            F::shard_mut(&mut self.shards).change_dest(&mut context, dest, Change { peer, path_id, path });
            if let Some((_, imported)) = path {
                self.store.release(imported);
            }
        }
        if redecide {
            let mut context = Self::context(self.settings, &mut self.store, &self.peers);
            F::shard_mut(&mut self.shards).redecide(&mut context, dest);
        }
    }
}
