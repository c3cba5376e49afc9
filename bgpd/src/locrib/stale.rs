//! How long a path counts: the generations of a neighbor's paths in one family (RFC 4724 §4.2, RFC 7313 §4, RFC 9494 §4.2).
//!
//! Every path carries the generation in which it was last said. A lost session, or the beginning of a route refresh, moves the
//! neighbor on to the next generation: nothing is touched, but all its paths are a generation older at once. How many older
//! generations may still be used says what that means for them. When somebody begins or ends keeping is not decided here.

use rib::{AddressFamily, Family};

use super::peers::{PeerIndex, Peers};
use super::shard::{Context, Shard};
use super::{DestId, PathId};
use crate::attrs::flag;
use crate::intern::{AttrId, AttrStore};
use crate::wire::attr::community;

/// Most generations kept beside the present one. Far below half of all, so that a path that is gone cannot be taken for one of
/// a later round before the walk has taken it out.
const KEPT_MAX: u8 = 100;

/// What a path is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Said in the present session, since the last route refresh began.
    Fresh,
    /// Kept and used as before, until it is said again or its time is over.
    Stale,
    /// Kept beyond the restart time: the last choice (RFC 9494 §4.3).
    LongLived,
    /// To be taken out; never used.
    Gone,
}

/// A neighbor's generations in one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// What is said now belongs to this one.
    fresh: u8,
    /// So many generations before it are stale.
    recent: u8,
    /// So many generations before it are kept; those beyond `recent` are long-lived.
    kept: u8,
}

impl Epoch {
    /// The generation of what is said now.
    #[inline]
    #[must_use]
    pub const fn fresh(self) -> u8 {
        self.fresh
    }

    /// A path of `generation` may be used.
    #[inline]
    #[must_use]
    pub const fn is_usable(self, generation: u8) -> bool {
        self.fresh.wrapping_sub(generation) <= self.kept
    }

    /// What a path of `generation` is worth.
    #[must_use]
    pub const fn standing(self, generation: u8) -> Standing {
        match self.fresh.wrapping_sub(generation) {
            0 => Standing::Fresh,
            age if age <= self.recent => Standing::Stale,
            age if age <= self.kept => Standing::LongLived,
            _ => Standing::Gone,
        }
    }

    /// Older paths are kept.
    #[must_use]
    pub const fn keeps(self) -> bool {
        self.kept > 0
    }

    /// Long-lived paths are kept.
    #[must_use]
    pub const fn keeps_long(self) -> bool {
        self.kept > self.recent
    }

    /// Everything said until now is gone.
    fn lose(&mut self) {
        *self = Self { fresh: self.fresh.wrapping_add(1), recent: 0, kept: 0 };
    }

    /// What was said in the present generation becomes stale. What was stale before goes, as RFC 4724 §4.2 has it of a second
    /// restart before the first was over, unless it is long-lived, whose own timer runs.
    fn keep(&mut self) {
        let kept = if self.keeps_long() && self.kept < KEPT_MAX { self.kept + 1 } else { 1 };
        *self = Self { fresh: self.fresh.wrapping_add(1), recent: 1, kept };
    }

    /// What was said in the present generation becomes stale too (RFC 7313 §4). False if that happened too often without an end:
    /// nothing changes then.
    fn renew(&mut self) -> bool {
        if self.kept == KEPT_MAX {
            return false;
        }
        *self = Self { fresh: self.fresh.wrapping_add(1), recent: self.recent + 1, kept: self.kept + 1 };
        true
    }

    /// Whatever is stale is gone.
    fn sweep(&mut self) {
        (self.recent, self.kept) = (0, 0);
    }

    /// Whatever is stale is long-lived.
    fn grow_old(&mut self) {
        self.recent = 0;
    }

    /// It is time that no path of a generation long gone is left: its number comes again.
    const fn is_due(self) -> bool {
        self.fresh.is_multiple_of(128)
    }
}

/// A neighbor's generations, IPv4 and IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epochs([Epoch; 2]);

const fn place(family: AddressFamily) -> usize {
    match family {
        AddressFamily::Ipv4 => 0,
        AddressFamily::Ipv6 => 1,
    }
}

impl Epochs {
    /// Those of `family`.
    #[inline]
    #[must_use]
    pub const fn of(&self, family: AddressFamily) -> Epoch {
        self.0[place(family)]
    }
}

/// What happens to the paths of a neighbor in a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ageing {
    /// The session is lost: all are gone.
    Lose,
    /// The session is lost, but they are kept.
    Keep,
    /// The session is lost while the neighbor was saying them again: they are kept, and those stale by that too.
    KeepAll,
    /// The neighbor says all of them again.
    Renew,
    /// What is stale is gone.
    Sweep,
    /// What is stale is long-lived from now on.
    GrowOld,
}

impl<F: Family> Shard<F> {
    /// Carries `ageing` out. True if the table has to be walked before generations are given out again.
    pub fn age(&mut self, peers: &mut Peers, peer: PeerIndex, ageing: Ageing) -> bool {
        let epoch = &mut peers.get_mut(peer).epochs.0[place(F::FAMILY)];
        match ageing {
            Ageing::Lose => {
                epoch.lose();
                self.counts.forget(peer, true);
            }
            Ageing::Keep => {
                let long = epoch.keeps_long();
                epoch.keep();
                if !long {
                    self.counts.forget(peer, false);
                }
                self.counts.grow_stale(peer);
            }
            Ageing::Renew => {
                if !epoch.renew() {
                    return false;
                }
                self.counts.grow_stale(peer);
            }
            Ageing::KeepAll => {
                if !epoch.renew() {
                    return self.age(peers, peer, Ageing::Keep);
                }
                self.counts.grow_stale(peer);
            }
            Ageing::Sweep => {
                epoch.sweep();
                self.counts.forget(peer, false);
                return false;
            }
            Ageing::GrowOld => {
                epoch.grow_old();
                return false;
            }
        }
        epoch.is_due()
    }

    /// What import makes of a path now, said anew or not: its age stays.
    pub fn reimport(&mut self, context: &mut Context<'_>, dest: DestId, path: PathId, imported: AttrId) {
        let before = self.best_key(dest);
        let old = self.paths[path.0 as usize];
        if old.imported == imported {
            return;
        }
        let standing = context.peers.get(old.peer).epochs.of(F::FAMILY).standing(old.generation);
        self.counts.add(old.peer, standing, 0, i32::from(imported.is_some()) - i32::from(old.imported.is_some()));
        context.store.retain(imported, 1);
        self.paths[path.0 as usize].imported = imported;
        self.decide(context, dest, before);
        context.store.release(old.imported);
    }
}

/// A long-lived path's attributes (RFC 9494 §4.2): with LLGR_STALE, or none at all if NO_LLGR forbids to keep it. Takes the
/// caller's use of `imported`, and returns one of the result.
pub fn mark(store: &mut AttrStore, received: AttrId, imported: AttrId) -> Option<AttrId> {
    if !imported.is_some() {
        return Some(imported);
    }
    // §4.2: as sent by the neighbor, or by our policy.
    let forbidden = (store.facts(imported).flags | store.facts(received).flags) & flag::NO_LLGR != 0;
    let marked = (!forbidden).then(|| {
        let mut attributes = store.attributes(imported);
        attributes.add_community(community::LLGR_STALE);
        let extra = store.extra(imported);
        store.intern(&attributes, extra)
    });
    store.release(imported);
    marked
}

/// Paths of one neighbor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Held.
    pub received: u32,
    /// Of those, usable after import policy.
    pub accepted: u32,
    /// Not taken in the present session: beyond [`PATHS_MAX`](super::shard::PATHS_MAX) to one prefix.
    pub refused: u32,
}

impl Count {
    fn add(&mut self, received: i32, accepted: i32) {
        self.received = self.received.wrapping_add_signed(received);
        self.accepted = self.accepted.wrapping_add_signed(accepted);
    }
}

/// Paths of all neighbors, by age.
#[derive(Debug, Default)]
pub(super) struct Counts(Vec<[Count; 2]>);

impl Counts {
    /// Counts paths of this standing.
    pub(super) fn add(&mut self, peer: PeerIndex, standing: Standing, received: i32, accepted: i32) {
        let place = usize::from(peer.0);
        if place >= self.0.len() {
            self.0.resize(place + 1, Default::default());
        }
        match standing {
            Standing::Fresh => self.0[place][0].add(received, accepted),
            Standing::Stale | Standing::LongLived => self.0[place][1].add(received, accepted),
            // Forgotten when they went.
            Standing::Gone => {}
        }
    }

    /// Counts a path that was not taken.
    #[cold]
    pub(super) fn refuse(&mut self, peer: PeerIndex) {
        self.add(peer, Standing::Fresh, 0, 0);
        let refused = &mut self.0[usize::from(peer.0)][0].refused;
        *refused = refused.saturating_add(1);
    }

    /// Fresh paths, and those kept beside them.
    pub(super) fn of(&self, peer: PeerIndex) -> [Count; 2] {
        self.0.get(usize::from(peer.0)).copied().unwrap_or_default()
    }

    fn forget(&mut self, peer: PeerIndex, fresh_too: bool) {
        if let Some([fresh, stale]) = self.0.get_mut(usize::from(peer.0)) {
            *stale = Count::default();
            if fresh_too {
                *fresh = Count::default();
            }
        }
    }

    fn grow_stale(&mut self, peer: PeerIndex) {
        if let Some([fresh, stale]) = self.0.get_mut(usize::from(peer.0)) {
            stale.received += fresh.received;
            stale.accepted += fresh.accepted;
            *fresh = Count::default();
        }
    }
}
