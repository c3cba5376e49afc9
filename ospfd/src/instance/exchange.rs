//! The exchange of databases: descriptions, requests, and when both are equal (RFC 2328 §10.6 to §10.9). Requests go out
//! while descriptions still come in.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use crate::drops::Drop;
use crate::id::LsaKey;
use crate::lsa::LsaHeader;
use crate::lsdb::{Slot, compare};
use crate::message::Outbox;
use crate::neighbor::NeighborState;
use crate::packet::{Body, DatabaseDescription, OPTION_O};

use super::{Instance, Timer};

/// Requests of one answer that are in flight with one neighbor at most; see also the window of [`crate::neighbor::requests`].
const REQUEST_PACKETS: usize = 16;

/// A first description that came early is good for so long: less than the interval at which it is repeated.
const EARLY_MAX: Duration = Duration::from_secs(5);

impl Instance {
    /// ExStart: master and slave are settled, beginning with both claiming to be master.
    pub(super) fn begin_exchange(&mut self, now: Instant, number: u32, reason: &'static str, out: &mut Outbox) {
        self.set_state(now, number, NeighborState::ExStart, reason, out);
        let Some(neighbor) = self.neighbor(number) else { return };
        let Some(interface) = self.interfaces.get(&neighbor.interface) else { return };
        let options = self.options(interface.area()) | if self.is_v2() { OPTION_O } else { 0 };
        let mtu = if interface.is_virtual() { 0 } else { interface.link.mtu };
        let Some(neighbor) = self.neighbor_mut(number) else { return };
        neighbor.attempts += 1;
        neighbor.dd_seq = neighbor.dd_seq.wrapping_add(1);
        neighbor.master = true;
        neighbor.dd_received = None;
        let first = DatabaseDescription {
            mtu,
            options,
            init: true,
            more: true,
            master: true,
            seq: neighbor.dd_seq,
            headers: Vec::new(),
        };
        neighbor.dd_sent = Some(first);
        let early = neighbor.early.take();
        self.send_description(now, number, out);
        if let Some((at, dd)) = early
            && now < at + EARLY_MAX
        {
            self.on_description(now, number, &dd, out);
        }
    }

    /// SeqNumberMismatch, BadLSReq: once more from the start.
    pub(super) fn restart_exchange(&mut self, now: Instant, number: u32, reason: &'static str, out: &mut Outbox) {
        // Down to 2-Way first, so that the lists are cleared at the one place that does it.
        self.set_state(now, number, NeighborState::TwoWay, reason, out);
        self.begin_exchange(now, number, reason, out);
    }

    /// Once more from the start because of this description. If it is a first one it is answered at once: who sent it, and is to be
    /// master, repeats it only seconds later.
    fn begin_anew(
        &mut self,
        now: Instant,
        number: u32,
        dd: &DatabaseDescription,
        reason: &'static str,
        out: &mut Outbox,
    ) {
        self.restart_exchange(now, number, reason, out);
        if dd.init && self.neighbor(number).is_some_and(|neighbor| neighbor.state == NeighborState::ExStart) {
            self.on_description(now, number, dd, out);
        }
    }

    /// Sends the current description, and again until it is answered if it is for us to go on.
    fn send_description(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        let Some(interface) = self.interfaces.get(&neighbor.interface) else { return };
        let Some(dd) = neighbor.dd_sent.clone() else { return };
        let (id, dst) = (neighbor.interface, self.towards(interface, neighbor.address));
        let again =
            neighbor.state == NeighborState::ExStart || (neighbor.state == NeighborState::Exchange && neighbor.master);
        let interval = interface.config.retransmit_interval;
        self.send(id, dst, Body::DatabaseDescription(dd), out);
        if again {
            self.timers.set(Timer::Description(number), now + interval);
        } else {
            self.timers.cancel(Timer::Description(number));
        }
    }

    pub(super) fn on_description_timer(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        if let Some(neighbor) = self.neighbor_mut(number) {
            neighbor.retransmissions += 1;
        }
        self.send_description(now, number, out);
    }

    /// A description came (RFC 2328 §10.6).
    pub(super) fn on_description(&mut self, now: Instant, number: u32, dd: &DatabaseDescription, out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        let (id, router) = (neighbor.interface, neighbor.router);
        let Some(interface) = self.interfaces.get(&id) else { return };
        let (ours, theirs) = (interface.link.mtu, dd.mtu);
        if theirs > ours && !interface.config.mtu_ignore && !interface.is_virtual() {
            let text = format!("its MTU is {theirs}, ours is {ours}: set the same on both, or mtu_ignore");
            let src = neighbor.address;
            self.drop_on(id, Drop::Mtu);
            return self.obstruct(now, id, router, src, text, out);
        }
        if neighbor.state == NeighborState::Init {
            self.on_two_way(now, number, out);
        }
        let ours = self.router;
        let Some(neighbor) = self.neighbor_mut(number) else { return };
        neighbor.obstacle = None;
        neighbor.mtu = dd.mtu;
        let same_again = neighbor.dd_received == Some((dd.init, dd.more, dd.master, dd.options, dd.seq));
        match neighbor.state {
            NeighborState::Down | NeighborState::Attempt | NeighborState::Init | NeighborState::TwoWay => {
                if neighbor.state == NeighborState::TwoWay && dd.init && dd.headers.is_empty() {
                    neighbor.early = Some((now, dd.clone()));
                }
                self.drop_on(id, Drop::WrongState);
            }
            NeighborState::ExStart => {
                let slave = dd.init && dd.more && dd.master && dd.headers.is_empty() && router > ours;
                let master = !dd.init && !dd.master && dd.seq == neighbor.dd_seq && router < ours;
                if slave {
                    neighbor.master = false;
                    neighbor.dd_seq = dd.seq;
                } else if !master {
                    return;
                }
                neighbor.options = dd.options;
                self.negotiated(now, number, out);
                self.take_description(now, number, dd, out);
            }
            NeighborState::Exchange if same_again => {
                if !neighbor.master {
                    self.send_description(now, number, out);
                }
            }
            NeighborState::Exchange => {
                let options_changed = neighbor.dd_received.is_some_and(|(_, _, _, options, _)| options != dd.options);
                let expected = if neighbor.master { neighbor.dd_seq } else { neighbor.dd_seq.wrapping_add(1) };
                if dd.master == neighbor.master || dd.init || options_changed || dd.seq != expected {
                    return self.begin_anew(now, number, dd, "its descriptions are out of order", out);
                }
                self.take_description(now, number, dd, out);
            }
            NeighborState::Loading | NeighborState::Full => {
                if !same_again || dd.init {
                    return self.begin_anew(now, number, dd, "it began to describe its database again", out);
                }
                if !neighbor.master {
                    self.send_description(now, number, out);
                }
            }
        }
    }

    /// NegotiationDone: what is held now is what will be described; what comes later is flooded.
    fn negotiated(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        self.set_state(now, number, NeighborState::Exchange, "master and slave are settled", out);
        self.timers.cancel(Timer::Description(number));
        let Some(id) = self.neighbor(number).map(|neighbor| neighbor.interface) else { return };
        let mut summary = Vec::new();
        let mut leaving = Vec::new();
        for (slot, entry) in self.db.iter() {
            if !self.goes_out(entry.home, entry.key.kind, id, number) {
                continue;
            }
            // RFC 2328 §10.3: what is at MaxAge is not described but flooded.
            if entry.flushing { leaving.push(slot) } else { summary.push(slot) }
        }
        for slot in leaving {
            self.owe(now, slot, number, false);
        }
        if let Some(neighbor) = self.neighbor_mut(number) {
            neighbor.summary = summary;
            neighbor.described = 0;
        }
    }

    /// A description in its order: its contents are compared, and ours goes back.
    fn take_description(&mut self, now: Instant, number: u32, dd: &DatabaseDescription, out: &mut Outbox) {
        let Some(neighbor) = self.neighbor_mut(number) else { return };
        let id = neighbor.interface;
        neighbor.dd_received = Some((dd.init, dd.more, dd.master, dd.options, dd.seq));
        let limit = self.config.limits.lsas;
        for header in &dd.headers {
            let Some(home) = self.home_of(id, header.key.kind) else {
                // RFC 2328 §10.6 would start over; leaving it out keeps the adjacency whatever the neighbor describes.
                self.drop_on(id, Drop::UnknownScope);
                continue;
            };
            let newer = self
                .db
                .lookup(home, &header.key)
                .is_none_or(|(_, entry)| compare(header, &self.db.header(now, entry)) == Ordering::Greater);
            let Some(neighbor) = self.neighbor_mut(number).filter(|_| newer) else { continue };
            if neighbor.requests.len() < limit {
                neighbor.requests.insert(*header);
            } else {
                self.limit_reached(now, "lsas", &header.key, limit, out);
            }
        }
        let Some(neighbor) = self.neighbor(number) else { return };
        if !neighbor.master {
            // The slave echoes; it is done when both have nothing more.
            self.describe(now, number, dd.seq);
            self.send_description(now, number, out);
            let more =
                self.neighbor(number).and_then(|neighbor| neighbor.dd_sent.as_ref()).is_some_and(|sent| sent.more);
            if !dd.more && !more {
                self.exchanged(now, number, out);
            }
        } else {
            let sent_more = neighbor.dd_sent.as_ref().is_some_and(|sent| sent.more);
            if !dd.more && !sent_more {
                self.timers.cancel(Timer::Description(number));
                self.exchanged(now, number, out);
            } else {
                let seq = neighbor.dd_seq.wrapping_add(1);
                self.describe(now, number, seq);
                self.send_description(now, number, out);
            }
        }
        self.request_more(now, number, out);
    }

    /// Makes the next description.
    fn describe(&mut self, now: Instant, number: u32, seq: u32) {
        let Some(neighbor) = self.neighbor(number) else { return };
        let id = neighbor.interface;
        let Some(interface) = self.interfaces.get(&id) else { return };
        let room = self.headers_room(interface);
        let options = self.options(interface.area()) | if self.is_v2() { OPTION_O } else { 0 };
        let mtu = if interface.is_virtual() { 0 } else { interface.link.mtu };
        let mut described = neighbor.described;
        let mut headers: Vec<LsaHeader> = Vec::new();
        while headers.len() < room {
            let Some(slot) = neighbor.summary.get(described) else { break };
            described += 1;
            // The slot may hold something else by now; what goes out of this interface may be described.
            if let Some(entry) =
                self.db.get(*slot).filter(|entry| self.goes_out(entry.home, entry.key.kind, id, number))
            {
                headers.push(self.db.header(now, entry));
            }
        }
        let more = described < neighbor.summary.len();
        let master = neighbor.master;
        if let Some(neighbor) = self.neighbor_mut(number) {
            neighbor.described = described;
            neighbor.dd_seq = seq;
            if !more {
                neighbor.summary = Vec::new();
                neighbor.described = 0;
            }
            neighbor.dd_sent = Some(DatabaseDescription { mtu, options, init: false, more, master, seq, headers });
        }
    }

    /// ExchangeDone.
    fn exchanged(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        let empty = self.neighbor(number).is_some_and(|neighbor| neighbor.requests.is_empty());
        if empty {
            self.become_full(now, number, out);
        } else {
            self.set_state(now, number, NeighborState::Loading, "databases are described", out);
        }
    }

    /// LoadingDone.
    fn become_full(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        self.timers.cancel(Timer::Requests(number));
        self.set_state(now, number, NeighborState::Full, "databases are equal", out);
        self.on_full(now, number, out);
    }

    /// Asks for more if the window has room, and notices when nothing is left to ask for.
    pub(crate) fn request_more(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        let (id, state) = (neighbor.interface, neighbor.state);
        if !matches!(state, NeighborState::Exchange | NeighborState::Loading) {
            return;
        }
        let Some(interface) = self.interfaces.get(&id) else { return };
        let (room, dst) = (self.requests_room(interface), self.towards(interface, neighbor.address));
        let interval = interface.config.retransmit_interval;
        if neighbor.requests.is_empty() {
            self.timers.cancel(Timer::Requests(number));
            if state == NeighborState::Loading {
                self.become_full(now, number, out);
            }
            return;
        }
        if !neighbor.requests.ready() {
            return;
        }
        // Its next description, which is on its way, fills the packet.
        let describes = neighbor.dd_received.is_some_and(|(_, more, ..)| more);
        if state == NeighborState::Exchange && describes && neighbor.requests.waiting() < room {
            return;
        }
        for _ in 0..REQUEST_PACKETS {
            let keys = self.neighbor_mut(number).map(|neighbor| neighbor.requests.next(room)).unwrap_or_default();
            if keys.is_empty() {
                break;
            }
            self.send(id, dst, Body::LinkStateRequest(keys), out);
        }
        self.timers.set(Timer::Requests(number), now + interval);
    }

    pub(super) fn on_requests_timer(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        if let Some(neighbor) = self.neighbor_mut(number) {
            neighbor.retransmissions += 1;
            neighbor.requests.retry();
        }
        self.request_more(now, number, out);
    }

    /// A request came (RFC 2328 §10.7): answered at once, and not kept for retransmission, for it will be asked again.
    pub(super) fn on_requests(&mut self, now: Instant, number: u32, keys: &[LsaKey], out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        let id = neighbor.interface;
        if neighbor.state < NeighborState::Exchange {
            return self.drop_on(id, Drop::WrongState);
        }
        let Some(interface) = self.interfaces.get(&id) else { return };
        let dst = self.towards(interface, neighbor.address);
        let mut slots: Vec<Slot> = Vec::with_capacity(keys.len());
        for key in keys {
            match self.home_of(id, key.kind).and_then(|home| self.db.find(home, key)) {
                Some(slot) => slots.push(slot),
                None => return self.restart_exchange(now, number, "it asked for an LSA that we do not have", out),
            }
        }
        self.send_updates(now, id, dst, &slots, out);
    }
}
