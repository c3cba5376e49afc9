//! Members that go on alone: slow ones, so that nobody waits for them, and those that are told by another profile.

use std::sync::Arc;
use std::time::Instant;

use super::{DUMP_OUTSTANDING, Group, OUTSTANDING_MAX, PATIENCE};
use crate::export::log::{Audience, Piece};
use crate::export::profile::ExportProfile;
use crate::intern::AttrStore;
use crate::locrib::PeerIndex;
use crate::locrib::journal::Cursor;

impl Group {
    /// A member that holds the others up, if there is one; time runs from the first call that finds it behind.
    pub fn laggard(&mut self, now: Instant) -> Option<PeerIndex> {
        if self.log.members.len() < 2 {
            return None;
        }
        let least = self.log.members.iter().map(|member| member.outstanding).min().unwrap_or(0);
        let dumps: Vec<Arc<[PeerIndex]>> =
            self.lots.iter().filter_map(|lot| lot.dump.as_ref().map(|dump| Arc::clone(&dump.whom))).collect();
        let mut found = None;
        for member in &mut self.log.members {
            // Whoever is being told everything holds up only others of the same dump.
            let dumping = dumps.iter().any(|whom| whom.len() > 1 && whom.contains(&member.peer));
            let far = if dumping { DUMP_OUTSTANDING / 2 } else { OUTSTANDING_MAX / 2 };
            if member.outstanding < far || least > far / 2 {
                member.slow_since = None;
            } else if now >= *member.slow_since.get_or_insert(now) + PATIENCE {
                found = Some(member.peer);
            }
        }
        found
    }

    /// Somebody holds the others up since they took what they had, and [`Self::laggard`] has not been asked since: time must
    /// begin to run, though there may be nothing that may be read.
    #[must_use]
    pub fn has_new_laggard(&self) -> bool {
        if self.log.members.len() < 2 || self.log.most_outstanding() < DUMP_OUTSTANDING / 2 {
            return false;
        }
        let least = self.log.members.iter().map(|member| member.outstanding).min().unwrap_or(0);
        let dumping = |peer: &PeerIndex| {
            let mut dumps = self.lots.iter().filter_map(|lot| lot.dump.as_ref());
            dumps.any(|dump| dump.whom.len() > 1 && dump.whom.contains(peer))
        };
        self.log.members.iter().filter(|member| member.slow_since.is_none()).any(|member| {
            let far = if dumping(&member.peer) { DUMP_OUTSTANDING / 2 } else { OUTSTANDING_MAX / 2 };
            member.outstanding >= far && least <= far / 2
        })
    }

    /// When [`Self::laggard`] has to be asked again.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.log.members.iter().filter_map(|member| member.slow_since).min().map(|since| since + PATIENCE)
    }

    /// Splits a member off into a group of its own. It keeps its cursor and the pieces it had outstanding; from then on
    /// it is only encoded for as fast as it takes.
    pub fn split(&mut self, store: &mut AttrStore, peer: PeerIndex) -> Option<Self> {
        let being_told: [bool; 2] = std::array::from_fn(|at| {
            let lot = &self.lots[at];
            lot.waiting.contains(&peer) || lot.dump.as_ref().is_some_and(|dump| dump.whom.contains(&peer))
        });
        let refreshing = [0, 1].map(|at| self.lots[at].is_refreshing(peer));
        self.forget_dumps(peer);
        let (member, pieces) = self.log.leave(peer)?;
        let mut alone = Self::new(Arc::clone(&self.profile), [self.lots[0].cursor, self.lots[1].cursor]);
        alone.solo = true;
        alone.log.join(peer, member.eor_due);
        alone.log.members[0].updates = member.updates;
        for (lane, piece) in pieces {
            alone.log.push(lane, Piece { audience: Audience::Only(peer), ..piece });
        }
        for (at, told_all) in being_told.into_iter().enumerate() {
            let (from, to) = (&self.lots[at], &mut alone.lots[at]);
            (to.walk, to.forced) = (from.walk, from.forced);
            to.told = from.told.duplicate(store);
            to.paths = from.paths.duplicate(store);
            to.barred.clone_from(&from.barred);
            to.local.clone_from(&from.local);
            to.due.clone_from(&from.due);
            // A refresh begins anew; a second beginning is what then counts (RFC 7313 §4).
            to.waiting.extend((told_all && !refreshing[at]).then_some(peer));
            to.refreshing.extend(refreshing[at].then_some(peer));
        }
        Some(alone)
    }

    /// From now on the members are told by another profile: everything is told again, and what the new one refuses is
    /// taken back. The cursors are from [`Shard::join`] with the new one's scopes.
    pub fn reprofile(&mut self, profile: Arc<ExportProfile>, cursors: [Cursor; 2]) {
        self.profile = profile;
        for (lot, cursor) in self.lots.iter_mut().zip(cursors) {
            (lot.walk, lot.forced, lot.cursor) = (Some(0), true, cursor);
        }
    }

    /// Takes the only member of a settled and drained group in, this one being settled too: both were told the same.
    pub fn adopt(&mut self, store: &mut AttrStore, mut alone: Self) {
        for member in &alone.log.members {
            self.log.join(member.peer, [false; 2]);
            if let Some(joined) = self.log.members.last_mut() {
                joined.updates = member.updates;
            }
        }
        for (lot, other) in self.lots.iter_mut().zip(&alone.lots) {
            lot.barred.extend(other.barred.iter().map(|(told, own)| (*told, *own)));
        }
        alone.clear(store);
    }
}
