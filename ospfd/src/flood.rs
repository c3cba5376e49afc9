//! Flooding (RFC 2328 §13, RFC 5340 §4.5): what comes in, and to whom it goes. An LSA waits for acknowledgments in a
//! bitset beside it; the queues of neighbors and interfaces only give the order.

mod acks;
mod ageing;
mod sending;

use std::cmp::Ordering;
use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::config::AreaKind;
use crate::drops::Drop;
use crate::id::{InterfaceId, LsaKey, LsaType, SequenceNumber, Version};
use crate::instance::Instance;
use crate::interface::{Interface, InterfaceState};
use crate::lsa::{Lsa, LsaBody, LsaHeader, MAX_AGE};
use crate::lsdb::{Home, Slot, compare};
use crate::message::{Alarm, Event, Outbox, Output};
use crate::neighbor::NeighborState;
use crate::packet::OPTION_O;
use crate::wire::{self, Scope};

pub(crate) use self::ageing::Flushing;

/// Within MinLSArrival so many newer instances of one LSA are taken: what a sender's back-off that begins at once explains.
const BURST_MAX: u8 = 6;

/// From whom an LSA came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Giver {
    pub(crate) neighbor: u32,
    pub(crate) interface: InterfaceId,
}

impl Instance {
    /// The database an LSA of this type belongs to when it comes in on `id`; `None` if it does not belong there.
    pub(crate) fn home_of(&self, id: InterfaceId, kind: LsaType) -> Option<Home> {
        let interface = self.interfaces.get(&id)?;
        let area = interface.area();
        match wire::scope(self.version, kind)? {
            Scope::Link => (!interface.is_virtual()).then_some(Home::Link(id)),
            Scope::Area => {
                let nssa = kind == self.kinds().nssa;
                (!nssa || self.area_kind(area) == AreaKind::Nssa).then_some(Home::Area(area))
            }
            Scope::As => (self.area_kind(area) == AreaKind::Normal).then_some(Home::As),
        }
    }

    /// Whether an LSA of this home and type is flooded and described to a neighbor on `id`.
    pub(crate) fn goes_out(&self, home: Home, kind: LsaType, id: InterfaceId, number: u32) -> bool {
        let Some(interface) = self.interfaces.get(&id) else { return false };
        let scope = match home {
            Home::Link(link) => link == id && !interface.is_virtual(),
            Home::Area(area) => area == interface.area(),
            // RFC 2328 §13.3: not into stub areas, and not over virtual links, whose transit area has them.
            Home::As => !interface.is_virtual() && self.area_kind(interface.area()) == AreaKind::Normal,
        };
        // RFC 5250 §3.1: opaque LSAs only to those who said that they understand them.
        let opaque = self.version == Version::V2 && (9..=11).contains(&kind.0);
        scope && (!opaque || self.neighbor(number).is_some_and(|neighbor| neighbor.options & OPTION_O != 0))
    }

    /// An update came (RFC 2328 §13).
    pub(crate) fn on_update(&mut self, now: Instant, number: u32, lsas: Vec<Lsa>, out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        let (id, address) = (neighbor.interface, neighbor.address);
        if neighbor.state < NeighborState::Exchange {
            return self.drop_on(id, Drop::WrongState);
        }
        let mut direct: Vec<LsaHeader> = Vec::new();
        for lsa in lsas {
            if self.neighbor(number).is_none_or(|neighbor| neighbor.state < NeighborState::Exchange) {
                break;
            }
            self.take(now, number, id, lsa, &mut direct, out);
        }
        if !direct.is_empty()
            && let Some(interface) = self.interfaces.get(&id)
        {
            let dst = self.towards(interface, address);
            self.send_acks(id, dst, &direct, out);
        }
        self.request_more(now, number, out);
    }

    /// One LSA of an update.
    fn take(
        &mut self,
        now: Instant,
        number: u32,
        id: InterfaceId,
        mut lsa: Lsa,
        direct: &mut Vec<LsaHeader>,
        out: &mut Outbox,
    ) {
        lsa.header.age = lsa.header.age.min(MAX_AGE);
        let header = lsa.header;
        let Some(home) = self.home_of(id, header.key.kind) else { return self.drop_on(id, Drop::UnknownScope) };
        let held = self.db.lookup(home, &header.key).map(|(slot, entry)| (slot, self.db.header(now, entry)));
        // §13 (4): nothing to flush.
        if header.age == MAX_AGE && held.is_none() && !self.exchanging() {
            self.tombs.bury(now, home, header, &lsa.raw);
            direct.push(header);
            return;
        }
        // RFC 2328 §12.1.6: the numbers have begun anew; who sent the end of the last one has yet to hear that we know of it.
        if held.is_some_and(|(_, held)| held.seq < SequenceNumber::MAX) && self.tombs.ended(now, home, &header) {
            direct.push(header);
            return;
        }
        if held.is_none() && header.age < MAX_AGE && self.refuse_flushed(now, number, id, home, &header, out) {
            return;
        }
        match held.map_or(Ordering::Greater, |(_, held)| compare(&header, &held)) {
            Ordering::Greater => {
                let giver = Giver { neighbor: number, interface: id };
                self.take_newer(now, giver, home, held.map(|(slot, _)| slot), &lsa, out);
            }
            Ordering::Equal => {
                let Some((slot, _)) = held else { return };
                // §13 (6) is BadLSReq; what is held is never asked for, because an install takes it off every list.
                if let Some(neighbor) = self.neighbor_mut(number) {
                    neighbor.requests.remove(&header.key);
                }
                if self.acknowledged(slot, number) {
                    // An implied acknowledgment (§13 7a, table 19).
                    let from_dr = self.designated_giver(number).0;
                    let backup = self.interfaces.get(&id).is_some_and(|held| held.state == InterfaceState::Backup);
                    if backup && from_dr {
                        self.ack_later(now, id, header, out);
                    }
                } else {
                    direct.push(header);
                }
            }
            Ordering::Less => self.send_ours(now, number, home, &header.key, out),
        }
    }

    /// An older copy of what was flushed a moment ago is no news. What was flushed comes back at MaxAge and is flooded, so
    /// that whoever has the copy must acknowledge its end. The copy may have come because we asked for it, and then it does
    /// not come again: one lost word about it would leave the databases unequal for good.
    fn refuse_flushed(
        &mut self,
        now: Instant,
        number: u32,
        id: InterfaceId,
        home: Home,
        came: &LsaHeader,
        out: &mut Outbox,
    ) -> bool {
        let Some((header, raw)) = self.tombs.refuses(now, home, came) else { return false };
        self.drop_on(id, Drop::Flushed);
        let lsa = Lsa { header, body: LsaBody::Opaque(Bytes::new()), raw };
        let own = self.is_own(home, &lsa);
        // Not by `install`: to routes and to restarts that we help nothing changes.
        let slot = self.db.install(now, home, &lsa, own, number).slot;
        self.announce_change(home, &header, false, out);
        self.flood(now, slot, None, out);
        true
    }

    /// §13 (5): a newer instance.
    fn take_newer(&mut self, now: Instant, giver: Giver, home: Home, held: Option<Slot>, lsa: &Lsa, out: &mut Outbox) {
        let Giver { neighbor: number, interface: id } = giver;
        let key = lsa.header.key;
        let now_ms = self.db.ms(now);
        let own = self.is_own(home, lsa);
        let arrival_ms = i64::try_from(self.config.pacing.min_arrival.as_millis()).unwrap_or(i64::MAX);
        let held = held.and_then(|slot| self.db.get(slot)).map(|entry| (entry.installed_ms, entry.burst, entry.own));
        // §13 (5a), loosened for senders that answer to a change at once; not for copies of what we said ourselves.
        if let Some((installed_ms, burst, false)) = held
            && now_ms - installed_ms < arrival_ms
            && burst >= BURST_MAX
        {
            return self.drop_on(id, Drop::TooSoon);
        }
        if !own && held.is_none() && !self.within_limits(now, number, &key, out) {
            // Acknowledged and forgotten: the neighbor would send it for ever, and the adjacency would never come up.
            self.drop_on(id, Drop::Limit);
            if let Some(neighbor) = self.neighbor_mut(number) {
                neighbor.requests.remove(&key);
            }
            return self.ack_later(now, id, lsa.header, out);
        }
        if own {
            self.drop_on(id, Drop::ForeignOwn);
            self.before_foreign_own(now, home, lsa, out);
        }
        let Some(slot) = self.install(now, home, lsa, own, number, out) else { return };
        let back = self.flood(now, slot, Some(giver), out);
        // §13.5, table 19.
        if !back {
            let backup = self.interfaces.get(&id).is_some_and(|held| held.state == InterfaceState::Backup);
            if !backup || self.designated_giver(number).0 {
                self.ack_later(now, id, lsa.header, out);
            }
        }
        if own {
            self.answer_foreign_own(now, home, slot, out);
        }
        self.on_grace(now, number, lsa, out);
    }

    /// §13 (8): the neighbor gets ours, unless it just did. It goes the way that floods go: on a network with a Designated Router
    /// who got it alone would take it for granted that that one passes it on.
    pub(crate) fn send_ours(&mut self, now: Instant, number: u32, home: Home, key: &LsaKey, out: &mut Outbox) {
        let now_ms = self.db.ms(now);
        let arrival_ms = i64::try_from(self.config.pacing.min_arrival.as_millis()).unwrap_or(i64::MAX);
        let Some(slot) = self.db.find(home, key) else { return };
        let Some(entry) = self.db.get_mut(slot) else { return };
        // It waits for its flush to be acknowledged before its sequence numbers begin anew.
        if entry.flushing && entry.seq == SequenceNumber::MAX {
            return;
        }
        if now_ms - entry.returned_ms < arrival_ms {
            return;
        }
        entry.returned_ms = now_ms;
        let Some(id) = self.neighbor(number).map(|neighbor| neighbor.interface) else { return };
        for dst in self.flood_targets(id) {
            self.send_updates(now, id, dst, &[slot], out);
        }
    }

    /// Whether a neighbor's foreign LSA may be added (`ospf.limits`).
    fn within_limits(&mut self, now: Instant, number: u32, key: &LsaKey, out: &mut Outbox) -> bool {
        let limits = self.config.limits;
        let counts = [
            ("lsas", self.db.foreign(), limits.lsas),
            ("per_origin", self.db.of_origin(key.adv), limits.per_origin),
            ("per_neighbor", self.db.of_giver(number), limits.per_neighbor),
        ];
        let Some((which, _, limit)) = counts.into_iter().find(|(_, count, limit)| count >= limit) else { return true };
        self.limit_reached(now, which, key, limit, out);
        false
    }

    /// An LSA is refused for a limit: one alarm for each limit, not one for each LSA.
    pub(crate) fn limit_reached(
        &mut self,
        now: Instant,
        which: &'static str,
        key: &LsaKey,
        limit: usize,
        out: &mut Outbox,
    ) {
        if self.limited.insert(which) {
            self.raise(now, Alarm::LsdbLimit { which, key: *key, limit }, out);
        }
    }

    /// The one door into the database: acknowledgments waited for are no longer, routes are calculated anew.
    pub(crate) fn install(
        &mut self,
        now: Instant,
        home: Home,
        lsa: &Lsa,
        own: bool,
        giver: u32,
        out: &mut Outbox,
    ) -> Option<Slot> {
        let installed = self.db.install(now, home, lsa, own, giver);
        self.no_longer_owed(&installed.owed, installed.length);
        self.stats.installed += 1;
        if installed.changed {
            self.routing_changed(home, installed.slot, lsa);
            self.end_help_by_change(now, home, lsa, out);
            self.check_resume(now, lsa, out);
        }
        self.announce_change(home, &lsa.header, false, out);
        Some(installed.slot)
    }

    /// Tells who watches.
    pub(crate) fn announce_change(&self, home: Home, header: &LsaHeader, gone: bool, out: &mut Outbox) {
        if !self.watched {
            return;
        }
        let (area, interface) = match home {
            Home::As => (None, None),
            Home::Area(area) => (Some(area), None),
            Home::Link(link) => (self.interfaces.get(&link).map(Interface::area), Some(link)),
        };
        out.push(Output::Event(Event::Lsa { area, interface, header: *header, gone }));
    }

    /// RFC 2328 §13.3. True if it goes out of the interface it came in on.
    pub(crate) fn flood(&mut self, now: Instant, slot: Slot, from: Option<Giver>, out: &mut Outbox) -> bool {
        let Some(entry) = self.db.get(slot) else { return false };
        let (home, key, seq) = (entry.home, entry.key, entry.seq);
        let header = self.db.header(now, entry);
        let mut back = false;
        let mut loaded: Vec<u32> = Vec::new();
        let ids: SmallVec<[InterfaceId; 8]> = match home {
            Home::Link(link) => SmallVec::from_iter([link]),
            Home::Area(_) | Home::As => self.interfaces.keys().copied().collect(),
        };
        for id in ids {
            let Some(interface) = self.interfaces.get(&id) else { continue };
            let numbers: SmallVec<[u32; 8]> = SmallVec::from_slice(&interface.neighbors);
            let state = interface.state;
            let mut owed = false;
            for number in numbers {
                if !self.goes_out(home, key.kind, id, number) {
                    continue;
                }
                let Some(neighbor) = self.neighbor_mut(number).filter(|neighbor| neighbor.floods()) else { continue };
                // (1b): it is still loading, and may have this one or a newer one itself.
                if let Some(wanted) = neighbor.requests.get(&key) {
                    let order = compare(&header, wanted);
                    if order == Ordering::Less {
                        continue;
                    }
                    neighbor.requests.remove(&key);
                    loaded.push(number);
                    if order == Ordering::Equal {
                        continue;
                    }
                }
                if from.is_some_and(|from| from.neighbor == number) {
                    continue;
                }
                // (3), (4): whoever of the network it came from, the Designated Router should have it by now. If somebody lied in the
                // name of its Backup, or told the Backup alone, it has not: soon it is sent it.
                let here = from.is_some_and(|from| from.interface == id);
                self.owe(now, slot, number, here && self.designated_giver(number).0);
                owed = true;
            }
            if !owed {
                continue;
            }
            if let Some(from) = from.filter(|from| from.interface == id) {
                // (3), (4): the Designated Router does it, and who has not got it is served by retransmission.
                let (dr, bdr) = self.designated_giver(from.neighbor);
                if dr || bdr || state == InterfaceState::Backup {
                    continue;
                }
                back = true;
            }
            if let Some(interface) = self.interfaces.get_mut(&id) {
                interface.flood.push_back((slot, seq));
            }
            self.busy.insert(id);
        }
        if header.age == MAX_AGE && self.db.get(slot).is_some_and(|entry| entry.pending.is_empty()) {
            self.flushing.ready.push(slot);
        }
        for number in loaded {
            if from.is_none_or(|from| from.neighbor != number) {
                self.request_more(now, number, out);
            }
        }
        back
    }

    /// Whether a neighbor is the Designated Router, or the Backup.
    fn designated_giver(&self, number: u32) -> (bool, bool) {
        let Some(neighbor) = self.neighbor(number) else { return (false, false) };
        let Some(interface) = self.interfaces.get(&neighbor.interface).filter(|held| held.elects()) else {
            return (false, false);
        };
        let name = neighbor.name(self.version);
        (interface.dr == name, interface.bdr == name)
    }
}
