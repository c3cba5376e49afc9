//! From the paths of one destination to the best of them, and to the journal if that is another one than before.

use rib::Family;
use rib::message::Reach;
use smallvec::SmallVec;

use super::{Context, Shard};
use crate::attrs::{Facts, flag};
use crate::intern::{AttrId, AttrStore};
use crate::locrib::decision::{self, Contender, Contenders, Multipath};
use crate::locrib::nexthop::{OWN, State};
use crate::locrib::path::{HAS_BEST, MULTIPATH, NIL};
use crate::locrib::{DestId, Path, PeerIndex, PeerKind, Peers};

/// The configured rules for paths used together.
struct Together<'a, 'b> {
    context: &'a Context<'b>,
    paths: &'a [Path],
}

impl Multipath for Together<'_, '_> {
    fn most(&self, winner: &Contender<'_>) -> usize {
        usize::from(match winner.peer.kind {
            PeerKind::Local => 1,
            PeerKind::External => self.context.multipath_ebgp,
            PeerKind::Internal { .. } | PeerKind::Confed => self.context.multipath_ibgp,
        })
    }

    fn alike(&self, winner: &Contender<'_>, path: &Contender<'_>) -> bool {
        if self.context.multipath_relax {
            return true;
        }
        if path.facts.neighbor_as != winner.facts.neighbor_as {
            return false;
        }
        let of = |id: u32| self.paths[id as usize].imported;
        let as_path = |id| self.context.store.attributes(id).as_path;
        // As FRR has it: one AS beyond the border is one domain; inside ours, the whole path has to agree.
        !winner.peer.kind.is_inside() || of(winner.id) == of(path.id) || as_path(of(winner.id)) == as_path(of(path.id))
    }
}

impl<F: Family> Shard<F> {
    pub(in crate::locrib) fn decide(
        &mut self,
        context: &mut Context<'_>,
        dest: DestId,
        before: Option<(PeerIndex, AttrId)>,
    ) {
        self.enter_every(dest);
        let mut multipath_changed = false;
        let head = self.dests[dest.0 as usize].head;
        let alone = head != NIL && self.paths[head as usize].next == NIL;
        let winner = if alone {
            // Nearly every prefix of an edge router: nothing to compare.
            multipath_changed = self.mark(head, false);
            self.usable(context, dest, head).map(|_| head)
        } else if head == NIL {
            None
        } else {
            let (winner, changed) = self.decide_among(context, dest);
            multipath_changed |= changed;
            winner
        };
        match winner {
            Some(winner) => {
                self.bring_to_front(dest, winner);
                self.dests[dest.0 as usize].flags |= HAS_BEST;
            }
            None => self.dests[dest.0 as usize].flags &= !HAS_BEST,
        }
        if multipath_changed || self.best_key(dest) != before {
            let changed = self.dests[dest.0 as usize].changed;
            self.dests[dest.0 as usize].changed = self.journal.enter(dest, changed);
        }
        if self.dests[dest.0 as usize].head == NIL {
            self.bury(dest);
        }
    }

    /// The way to a path's next hop, if the path may be used (RFC 4271 §9.1.2: accepted, no loop, resolvable).
    fn usable(&self, context: &mut Context<'_>, dest: DestId, at: u32) -> Option<Reach> {
        let path = &self.paths[at as usize];
        if !path.imported.is_some() || !context.peers.is_usable(path.peer, F::FAMILY, path.generation) {
            return None;
        }
        let facts = context.store.facts(path.imported);
        let (next_hop, drops) = (facts.next_hop, Self::drops(facts));
        match context.store.next_hops.state(next_hop) {
            State::Known(reach) => reach.or(drops.then_some(OWN)),
            State::Asked if drops => Some(OWN),
            // Our own routes are announced whatever their next hop.
            State::Asked if path.peer == PeerIndex::LOCAL => Some(OWN),
            State::Asked => {
                context.store.next_hops.wait(next_hop, F::FAMILY, dest);
                None
            }
        }
        .or_else(|| (path.peer == PeerIndex::LOCAL).then_some(OWN))
    }

    /// What is dropped here needs no way to a next hop (RFC 7999 §3.3).
    const fn drops(facts: &Facts) -> bool {
        facts.flags & flag::DISCARD != 0
    }

    fn decide_among(&mut self, context: &mut Context<'_>, dest: DestId) -> (Option<u32>, bool) {
        let mut reaches = SmallVec::<[(u32, Reach); 8]>::new();
        let mut at = self.dests[dest.0 as usize].head;
        while at != NIL {
            if let Some(reach) = self.usable(context, dest, at) {
                reaches.push((at, reach));
            }
            at = self.paths[at as usize].next;
        }
        let (store, peers) = (&*context.store, context.peers);
        let mut set: Contenders<'_> = reaches
            .iter()
            .map(|(at, reach)| {
                let path = &self.paths[*at as usize];
                Contender {
                    id: *at,
                    facts: store.facts(path.imported),
                    peer: peers.get(path.peer),
                    igp_metric: reach.metric.0,
                    path_id: self.received_id(*at),
                }
            })
            .collect();
        let together = Together { context, paths: &self.paths };
        let winner = decision::decide(&mut set, &together).map(|(winner, _)| winner);
        let chosen: SmallVec<[u32; 8]> =
            if set.len() > 1 { set.iter().map(|path| path.id).collect() } else { SmallVec::new() };
        let mut changed = false;
        let mut at = self.dests[dest.0 as usize].head;
        while at != NIL {
            changed |= self.mark(at, chosen.contains(&at));
            at = self.paths[at as usize].next;
        }
        // With several in use, a change of any of them is a change of the route.
        (winner, changed || chosen.len() > 1)
    }

    fn mark(&mut self, at: u32, multipath: bool) -> bool {
        let path = &mut self.paths[at as usize];
        let before = path.is_multipath();
        path.flags = if multipath { path.flags | MULTIPATH } else { path.flags & !MULTIPATH };
        before != multipath
    }

    fn bring_to_front(&mut self, dest: DestId, winner: u32) {
        let head = self.dests[dest.0 as usize].head;
        if head == winner {
            return;
        }
        let mut at = head;
        while at != NIL {
            let next = self.paths[at as usize].next;
            if next == winner {
                self.paths[at as usize].next = self.paths[winner as usize].next;
                break;
            }
            at = next;
        }
        self.paths[winner as usize].next = head;
        self.dests[dest.0 as usize].head = winner;
    }

    /// The paths that may be used, as the decision sees them; for explaining it.
    pub fn contenders<'a>(&'a self, store: &'a AttrStore, peers: &'a Peers, dest: DestId) -> Contenders<'a> {
        self.paths(dest)
            .filter(|(_, path)| path.imported.is_some() && peers.is_usable(path.peer, F::FAMILY, path.generation))
            .filter_map(|(id, path)| {
                let facts = store.facts(path.imported);
                let own = (path.peer == PeerIndex::LOCAL || Self::drops(facts)).then_some(OWN);
                let reach = store.next_hops.reach(facts.next_hop).or(own)?;
                Some(Contender {
                    id: id.0,
                    facts,
                    peer: peers.get(path.peer),
                    igp_metric: reach.metric.0,
                    path_id: self.path_id(id),
                })
            })
            .collect()
    }
}
