//! What the data planes hold, for neighbors that are told of nothing else (`advertise_only_installed`).
//!
//! With every change the shared RIB is asked what becomes of it; the batch's number tells an answer to it from one to an earlier
//! change. Only prefixes without an answer and those refused are kept here, so what is held everywhere costs nothing.

use hashbrown::HashMap;
use rib::{Family, NotHeld, Protocol};

use super::profile::ExportProfile;
use crate::intern::{AttrId, AttrStore};
use crate::locrib::journal::Cursor;
use crate::locrib::{DestId, PeerIndex, Shard};

type Map<T> = HashMap<DestId, T, foldhash::fast::FixedState>;

/// How a destination's best path stands with the data planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// All of them hold it.
    Held,
    /// The shared RIB has not been told of it yet.
    Unfed,
    /// The answer is on its way.
    Asked,
    /// One does not.
    Refused(&'a NotHeld),
}

/// One family's destinations.
#[derive(Default)]
pub struct Installed {
    on: bool,
    /// The number of the batch that asked last.
    asked: Map<u64>,
    refused: Map<NotHeld>,
    /// How far the shared RIB has been told: in the journal, and in a walk over the table.
    fed: Cursor,
    walk: Option<u32>,
}

impl Installed {
    /// Somebody wants to know; `false` if that is nothing new. Everything must be fed once more.
    pub fn begin(&mut self) -> bool {
        self.walk = Some(0).filter(|_| !self.on).or(self.walk);
        !std::mem::replace(&mut self.on, true)
    }

    /// Nobody does any more.
    pub fn end(&mut self) {
        *self = Self::default();
    }

    /// Somebody wants to know.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// The shared RIB has been told so far.
    pub const fn fed(&mut self, fed: Cursor, walk: Option<u32>) {
        (self.fed, self.walk) = (fed, walk);
    }

    /// The shared RIB is asked of `dest` with the batch of this number.
    pub fn ask(&mut self, dest: DestId, number: u64) {
        self.asked.insert(dest, number);
    }

    /// There is nothing to be asked of `dest`: it has no path, or one that needs no data plane.
    pub fn forget(&mut self, dest: DestId) {
        if self.on {
            self.asked.remove(&dest);
            self.refused.remove(&dest);
        }
    }

    /// The answer of `dest` after the batch `through`; true if that says anything new.
    pub fn answer(&mut self, dest: DestId, through: u64, held: Result<(), NotHeld>) -> bool {
        if !self.on || self.asked.get(&dest).is_some_and(|number| *number > through) {
            return false;
        }
        let waited = self.asked.remove(&dest).is_some();
        let before = match held {
            Ok(()) => self.refused.remove(&dest).is_some(),
            Err(why) => self.refused.insert(dest, why).is_none(),
        };
        waited || before
    }

    /// How a path of `dest` stands as far as a neighbor with this profile has to care.
    #[must_use]
    pub fn standing_towards<F: Family>(
        &self,
        profile: &ExportProfile,
        shard: &Shard<F>,
        store: &AttrStore,
        dest: DestId,
        (source, attr): (PeerIndex, AttrId),
    ) -> Standing<'_> {
        // Services have been waited for where they come from; a default route of ours stands for no route of its own.
        let exempt = || {
            source == PeerIndex::LOCAL
                && (store.facts(attr).protocol == Some(Protocol::Service)
                    || profile.originates(F::net(shard.prefix(dest))).is_some())
        };
        if !profile.only_installed || exempt() { Standing::Held } else { self.standing(shard, dest) }
    }

    /// Destinations that take memory.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.asked.len() + self.refused.len()
    }

    fn standing<F: Family>(&self, shard: &Shard<F>, dest: DestId) -> Standing<'_> {
        if self.walk.is_some_and(|at| dest.0 >= at) || shard.is_unread(dest, self.fed) {
            Standing::Unfed
        } else if self.asked.contains_key(&dest) {
            Standing::Asked
        } else {
            self.refused.get(&dest).map_or(Standing::Held, Standing::Refused)
        }
    }
}
