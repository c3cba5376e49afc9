//! The end of an LSA: premature or by age (RFC 2328 §14), acknowledged before it leaves the database.

use std::time::Instant;

use crate::instance::Instance;
use crate::lsdb::{Home, Slot};
use crate::message::{Alarm, Outbox, Output};
use crate::neighbor::NeighborState;

/// LSAs at MaxAge that nobody has to acknowledge any more; some may since have been replaced.
#[derive(Debug, Default)]
pub(crate) struct Flushing {
    pub(super) ready: Vec<Slot>,
}

impl Instance {
    /// A neighbor's exchange is under way, so nothing may leave the database (RFC 2328 §14).
    pub(crate) fn exchanging(&self) -> bool {
        self.each_neighbor()
            .any(|(_, neighbor)| matches!(neighbor.state, NeighborState::Exchange | NeighborState::Loading))
    }

    /// Takes out what was flushed and acknowledged.
    pub(crate) fn reap_flushed(&mut self, now: Instant, out: &mut Outbox) {
        if self.flushing.ready.is_empty() || self.exchanging() {
            return;
        }
        for slot in std::mem::take(&mut self.flushing.ready) {
            let Some(entry) = self.db.get(slot).filter(|entry| entry.flushing && entry.pending.is_empty()) else {
                continue;
            };
            let (home, header) = (entry.home, self.db.header(now, entry));
            self.tombs.bury(now, home, header, &entry.raw);
            self.db.remove(slot);
            self.announce_change(home, &header, true, out);
            self.on_reaped(now, home, &header.key);
        }
        self.clear_limits(out);
    }

    /// Says so when the database is below a limit again, by a tenth: one LSA that leaves while many were refused is no all-clear.
    fn clear_limits(&mut self, out: &mut Outbox) {
        let (db, limits) = (&self.db, self.config.limits);
        self.limited.retain(|which| {
            let (count, limit) = match *which {
                "per_origin" => (db.most_of_origin(), limits.per_origin),
                "per_neighbor" => (db.most_of_giver(), limits.per_neighbor),
                _ => (db.foreign(), limits.lsas),
            };
            let near = count >= limit - limit / 10;
            if !near {
                out.push(Output::Alarm(Alarm::LsdbLimitCleared { which }));
            }
            near
        });
    }

    /// Premature ageing, and the end of an LSA's life (RFC 2328 §14, §14.1).
    pub(crate) fn flush(&mut self, now: Instant, slot: Slot, out: &mut Outbox) {
        if self.db.get(slot).is_none_or(|entry| entry.flushing) {
            return;
        }
        self.forget_owed(slot);
        self.db.set_max_age(now, slot);
        let Some(entry) = self.db.get(slot) else { return };
        let (home, header) = (entry.home, self.db.header(now, entry));
        self.routing_gone(home, slot);
        self.announce_change(home, &header, false, out);
        self.flood(now, slot, None, out);
    }

    /// LSAs whose time has come: ours are refreshed, others' leave.
    pub(crate) fn on_aged(&mut self, now: Instant, out: &mut Outbox) {
        if self.db.deadline().is_none_or(|at| at > now) {
            return;
        }
        for slot in self.db.due_slots(now) {
            if self.db.get(slot).is_some_and(|entry| entry.own) {
                self.refresh(now, slot, out);
            } else {
                self.flush(now, slot, out);
            }
        }
    }

    /// A database of an area or link that is no longer is forgotten without a word: nobody is left to tell.
    pub(crate) fn forget_home(&mut self, now: Instant, home: Home, out: &mut Outbox) {
        let slots: Vec<Slot> = self.db.iter().filter(|(_, entry)| entry.home == home).map(|(slot, _)| slot).collect();
        for slot in slots {
            self.forget_owed(slot);
            self.routing_gone(home, slot);
            if let Some(entry) = self.db.remove(slot) {
                let header = self.db.header(now, &entry);
                self.announce_change(home, &header, true, out);
            }
        }
        self.own.forget_home(home);
    }
}
