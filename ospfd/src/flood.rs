//! Flooding (RFC 2328 §13, RFC 5340 §4.5): what comes in, what goes out to whom, and who still owes an acknowledgment. An
//! LSA waits for acknowledgments in a bitset beside it; the queues of neighbors and interfaces only give the order.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::config::AreaKind;
use crate::drops::Drop;
use crate::id::{InterfaceId, LsaKey, LsaType, SequenceNumber, Version};
use crate::instance::{Instance, Timer};
use crate::interface::{Interface, InterfaceState};
use crate::lsa::{Lsa, LsaBody, LsaHeader, MAX_AGE};
use crate::lsdb::bits::Bits;
use crate::lsdb::{Home, Slot, compare};
use crate::message::{Alarm, Event, Outbox, Output};
use crate::neighbor::{NeighborState, Sent};
use crate::packet::{Body, OPTION_O};
use crate::wire::{self, Scope};

/// Octets of LSAs on their way to one neighbor that it has not acknowledged; more wait until it has. Half of a default
/// socket buffer, so that a burst is not lost there and retransmitted seconds later.
const WINDOW_BYTES: usize = 96 * 1024;
/// Within MinLSArrival so many newer instances of one LSA are taken: what a sender's back-off that begins at once explains.
const BURST_MAX: u8 = 6;
/// After MinLSArrival an instance that was refused for it is taken (RFC 2328 §13 5a).
const SOON: Duration = Duration::from_millis(1010);
/// Rest of a retransmission that did not fit into the window.
const RETRANSMIT_PAUSE: Duration = Duration::from_millis(100);

/// LSAs at MaxAge that nobody has to acknowledge any more; some may since have been replaced.
#[derive(Debug, Default)]
pub(crate) struct Flushing {
    ready: Vec<Slot>,
}

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
        if held.is_none() && header.age < MAX_AGE && self.refuse_flushed(now, number, id, home, &header, out) {
            return;
        }
        match held.map_or(Ordering::Greater, |(_, held)| compare(&header, &held)) {
            Ordering::Greater => self.take_newer(now, number, id, home, held.map(|(slot, _)| slot), &lsa, out),
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
            Ordering::Less => self.return_newer(now, number, home, &header.key, out),
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
    #[allow(clippy::too_many_arguments)] // one LSA, where it came from and what it replaces
    fn take_newer(
        &mut self,
        now: Instant,
        number: u32,
        id: InterfaceId,
        home: Home,
        held: Option<Slot>,
        lsa: &Lsa,
        out: &mut Outbox,
    ) {
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
        let back = self.flood(now, slot, Some(Giver { neighbor: number, interface: id }), out);
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

    /// §13 (8): ours is newer; the neighbor gets it, unless it just did.
    fn return_newer(&mut self, now: Instant, number: u32, home: Home, key: &LsaKey, out: &mut Outbox) {
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
        let Some(neighbor) = self.neighbor(number) else { return };
        let Some(interface) = self.interfaces.get(&neighbor.interface) else { return };
        let (id, dst) = (neighbor.interface, self.towards(interface, neighbor.address));
        self.send_updates(now, id, dst, &[slot], out);
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
        self.limited.insert(which);
        // One alarm for each limit, not one for each LSA.
        if !self.alarmed_limits.contains(which) {
            self.alarmed_limits.insert(which);
            self.raise(now, Alarm::LsdbLimit { which, key: *key, limit }, out);
        }
        false
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

    /// Nobody owes an acknowledgment of what is in `slot` any more, because it will be something else.
    fn forget_owed(&mut self, slot: Slot) {
        let Some(entry) = self.db.get_mut(slot) else { return };
        let length = entry.length;
        let pending = std::mem::take(&mut entry.pending);
        self.no_longer_owed(&pending, length);
    }

    fn no_longer_owed(&mut self, pending: &Bits, length: u16) {
        for number in pending.iter() {
            if let Some(neighbor) = self.neighbor_mut(number) {
                neighbor.settle(usize::from(length));
            }
        }
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
                self.owe(now, slot, number);
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

    /// A neighbor owes an acknowledgment of what is in `slot`.
    pub(crate) fn owe(&mut self, now: Instant, slot: Slot, number: u32) {
        let Some(interface) = self.neighbor(number).and_then(|neighbor| self.interfaces.get(&neighbor.interface))
        else {
            return;
        };
        let interval = interface.config.retransmit_interval;
        let arrival_ms = i64::try_from(self.config.pacing.min_arrival.as_millis()).unwrap_or(i64::MAX);
        let Some(entry) = self.db.get_mut(slot) else { return };
        if !entry.pending.insert(number) {
            return;
        }
        let soon = entry.since_last_ms < arrival_ms && interval > SOON;
        let due = now + if soon { SOON } else { interval };
        let sent = Sent { slot, seq: entry.seq.0, due, bytes: u32::from(entry.length) };
        if let Some(neighbor) = self.neighbor_mut(number) {
            neighbor.unacked += 1;
            if soon { neighbor.sent_soon.push_back(sent) } else { neighbor.sent.push_back(sent) }
        }
        self.timers.set_earlier(Timer::Retransmit(number), due);
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

    /// Takes an acknowledgment of what is in `slot`; false if none was owed.
    fn acknowledged(&mut self, slot: Slot, number: u32) -> bool {
        let Some(entry) = self.db.get_mut(slot) else { return false };
        if !entry.pending.remove(number) {
            return false;
        }
        let (length, done) = (usize::from(entry.length), entry.flushing && entry.pending.is_empty());
        if done {
            self.flushing.ready.push(slot);
        }
        if let Some(neighbor) = self.neighbor_mut(number) {
            neighbor.settle(length);
            let id = neighbor.interface;
            if self.interfaces.get(&id).is_some_and(|interface| !interface.flood.is_empty()) {
                self.busy.insert(id);
            }
        }
        true
    }

    /// Acknowledgments came (RFC 2328 §13.7).
    pub(crate) fn on_acks(&mut self, now: Instant, number: u32, headers: &[LsaHeader]) {
        let Some(neighbor) = self.neighbor(number) else { return };
        let id = neighbor.interface;
        if neighbor.state < NeighborState::Exchange {
            return self.drop_on(id, Drop::WrongState);
        }
        for header in headers {
            let Some(home) = self.home_of(id, header.key.kind) else { continue };
            let Some((slot, entry)) = self.db.lookup(home, &header.key) else { continue };
            if compare(header, &self.db.header(now, entry)) == Ordering::Equal {
                self.acknowledged(slot, number);
            }
        }
        self.on_acknowledged(now, number);
    }

    /// An acknowledgment that may wait a little for company.
    fn ack_later(&mut self, now: Instant, id: InterfaceId, header: LsaHeader, out: &mut Outbox) {
        let delay = self.config.pacing.ack_delay;
        let Some(interface) = self.interfaces.get(&id) else { return };
        let room = self.headers_room(interface);
        let Some(interface) = self.interfaces.get_mut(&id) else { return };
        interface.acks.push(header);
        if interface.acks.len() >= room {
            self.flush_acks(id, out);
        } else {
            self.timers.set_earlier(Timer::Acks(id), now + delay);
        }
    }

    /// Sends what waits for company.
    pub(crate) fn flush_acks(&mut self, id: InterfaceId, out: &mut Outbox) {
        self.timers.cancel(Timer::Acks(id));
        let Some(interface) = self.interfaces.get_mut(&id) else { return };
        let headers = std::mem::take(&mut interface.acks);
        if headers.is_empty() {
            return;
        }
        for dst in self.flood_targets(id) {
            self.send_acks(id, dst, &headers, out);
        }
    }

    /// Where floods and delayed acknowledgments of an interface go: a group, or every adjacent neighbor.
    fn flood_targets(&self, id: InterfaceId) -> Vec<IpAddr> {
        let Some(interface) = self.interfaces.get(&id) else { return Vec::new() };
        if interface.groups() {
            return vec![self.flood_group(interface)];
        }
        self.neighbors_on(interface).filter(|neighbor| neighbor.floods()).map(|neighbor| neighbor.address).collect()
    }

    /// Sends what was queued on interfaces, as far as neighbors keep up.
    pub(crate) fn flush_busy(&mut self, now: Instant, out: &mut Outbox) {
        for id in std::mem::take(&mut self.busy) {
            self.flush_interface(now, id, out);
        }
    }

    fn flush_interface(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        let Some(interface) = self.interfaces.get(&id) else { return };
        if interface.flood.is_empty() {
            return;
        }
        let numbers = interface.neighbors.clone();
        let groups = interface.groups();
        // The slowest sets the pace; who does not acknowledge at all is left to retransmission, which empties its window.
        let outstanding = |held: &Self| {
            numbers.iter().filter_map(|number| held.neighbor(*number)).map(|held| held.unacked_bytes).max().unwrap_or(0)
        };
        while outstanding(self) < WINDOW_BYTES {
            let mut batch: Vec<Slot> = Vec::new();
            let mut size = 0;
            while size < WINDOW_BYTES / 4 {
                let Some(interface) = self.interfaces.get_mut(&id) else { return };
                let Some((slot, seq)) = interface.flood.pop_front() else { break };
                let Some(entry) = self.db.get(slot).filter(|entry| entry.seq == seq) else { continue };
                if !numbers.iter().any(|number| entry.pending.contains(*number)) {
                    continue; // everybody has it already
                }
                size += usize::from(entry.length);
                batch.push(slot);
            }
            if batch.is_empty() {
                return;
            }
            for number in &numbers {
                let bytes: usize = batch
                    .iter()
                    .filter_map(|slot| self.db.get(*slot))
                    .filter(|entry| entry.pending.contains(*number))
                    .map(|entry| usize::from(entry.length))
                    .sum();
                let Some(neighbor) = self.neighbor_mut(*number).filter(|_| bytes > 0) else { continue };
                neighbor.unacked_bytes += bytes;
                let address = neighbor.address;
                if !groups {
                    let theirs: Vec<Slot> = batch
                        .iter()
                        .copied()
                        .filter(|slot| self.db.get(*slot).is_some_and(|entry| entry.pending.contains(*number)))
                        .collect();
                    self.send_updates(now, id, address, &theirs, out);
                }
            }
            if groups && let Some(dst) = self.interfaces.get(&id).map(|interface| self.flood_group(interface)) {
                self.send_updates(now, id, dst, &batch, out);
            }
        }
    }

    /// Sends LSAs in as few packets as they fit into.
    pub(crate) fn send_updates(
        &mut self,
        now: Instant,
        id: InterfaceId,
        dst: IpAddr,
        slots: &[Slot],
        out: &mut Outbox,
    ) {
        let Some(interface) = self.interfaces.get(&id) else { return };
        let room = self.update_room(interface);
        let delay = u16::try_from(interface.config.transmit_delay.as_secs()).unwrap_or(1).max(1);
        let mut lsas: Vec<Lsa> = Vec::new();
        let mut size = 0;
        let now_ms = self.db.ms(now);
        for slot in slots {
            if let Some(entry) = self.db.get_mut(*slot) {
                entry.sent_ms = now_ms;
            }
            let Some(entry) = self.db.get(*slot) else { continue };
            let mut header = self.db.header(now, entry);
            header.age = header.age.saturating_add(delay).min(MAX_AGE);
            let mut raw = entry.raw.to_vec();
            if let Some(age) = raw.get_mut(..2) {
                age.copy_from_slice(&header.age.to_be_bytes());
            }
            if size + raw.len() > room && !lsas.is_empty() {
                self.send(id, dst, Body::LinkStateUpdate(std::mem::take(&mut lsas)), out);
                size = 0;
            }
            size += raw.len();
            lsas.push(Lsa { header, body: LsaBody::Opaque(Bytes::new()), raw: raw.into() });
        }
        if !lsas.is_empty() {
            self.send(id, dst, Body::LinkStateUpdate(lsas), out);
        }
    }

    /// What a neighbor did not acknowledge is sent to it again (RFC 2328 §13.6).
    pub(crate) fn on_retransmit_timer(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        let Some(interface) = self.interfaces.get(&neighbor.interface) else { return };
        let (id, dst) = (neighbor.interface, self.towards(interface, neighbor.address));
        let interval = interface.config.retransmit_interval;
        let mut slots: Vec<Slot> = Vec::new();
        let (mut size, mut full) = (0, false);
        for soon in [true, false] {
            loop {
                let Some(neighbor) = self.neighbor_mut(number) else { return };
                let queue = if soon { &mut neighbor.sent_soon } else { &mut neighbor.sent };
                let Some(sent) = queue.front().copied() else { break };
                let live = self
                    .db
                    .get(sent.slot)
                    .is_some_and(|entry| entry.seq.0 == sent.seq && entry.pending.contains(number));
                full = size >= WINDOW_BYTES;
                if live && (sent.due > now || full) {
                    break;
                }
                let Some(neighbor) = self.neighbor_mut(number) else { return };
                let queue = if soon { &mut neighbor.sent_soon } else { &mut neighbor.sent };
                queue.pop_front();
                if live {
                    size += sent.bytes as usize;
                    slots.push(sent.slot);
                    neighbor.sent.push_back(Sent { due: now + interval, ..sent });
                    neighbor.retransmissions += 1;
                }
            }
        }
        let Some(neighbor) = self.neighbor_mut(number) else { return };
        if !slots.is_empty() {
            neighbor.unacked_bytes = size;
        }
        let next = [neighbor.sent.front(), neighbor.sent_soon.front()].into_iter().flatten().map(|sent| sent.due).min();
        if let Some(next) = next {
            let at = if full { now + RETRANSMIT_PAUSE } else { next.max(now + Duration::from_millis(1)) };
            self.timers.set(Timer::Retransmit(number), at);
        }
        self.send_updates(now, id, dst, &slots, out);
        self.busy.insert(id);
    }

    /// A neighbor will not acknowledge anything any more.
    pub(crate) fn forget_pending(&mut self, number: u32) {
        let owing = self.neighbor(number).is_some_and(|neighbor| neighbor.unacked > 0);
        if let Some(neighbor) = self.neighbor_mut(number) {
            (neighbor.unacked, neighbor.unacked_bytes) = (0, 0);
        }
        if owing {
            self.flushing.ready.extend(self.db.forget_pending(number));
        }
    }

    /// A neighbor's exchange is under way, so nothing may leave the database (RFC 2328 §14).
    fn exchanging(&self) -> bool {
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
        self.clear_limits(now, out);
    }

    /// Says so when the database is below its limits again.
    fn clear_limits(&mut self, _now: Instant, out: &mut Outbox) {
        if self.limited.contains("lsas") && self.db.foreign() < self.config.limits.lsas {
            self.limited.remove("lsas");
            self.alarmed_limits.remove("lsas");
            out.push(Output::Alarm(Alarm::LsdbLimitCleared { which: "lsas" }));
        }
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
