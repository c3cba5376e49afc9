//! How an adjacency comes and goes: the neighbor state machine of RFC 2328 §10.3 but for the exchange of databases.
//! Every change of state goes through [`Instance::set_state`].

use std::net::IpAddr;
use std::time::Instant;

use crate::id::InterfaceId;
use crate::interface::{Interface, InterfaceState};
use crate::message::{Event, Outbox, Output};
use crate::neighbor::NeighborState;

use super::{Instance, Timer};

impl Instance {
    /// The one place where a neighbor's state changes.
    pub(super) fn set_state(
        &mut self,
        now: Instant,
        number: u32,
        to: NeighborState,
        reason: &'static str,
        out: &mut Outbox,
    ) {
        let Some(neighbor) = self.neighbor_mut(number) else { return };
        let from = neighbor.state;
        if from == to {
            return;
        }
        neighbor.state = to;
        neighbor.since = now;
        if to <= NeighborState::Init {
            neighbor.early = None;
        }
        if to == NeighborState::Full {
            neighbor.ups += 1;
            neighbor.attempts = 0;
            neighbor.stuck_alarmed = false;
            neighbor.obstacle = None;
        }
        let (interface, router, address) = (neighbor.interface, neighbor.router, neighbor.address);
        out.push(Output::Event(Event::Neighbor { interface, router, address, from, to, reason }));
        if from >= NeighborState::Exchange && to < NeighborState::Exchange {
            self.forget_exchange(number);
        }
        if from == NeighborState::Full || to == NeighborState::Full {
            let area = self.interfaces.get(&interface).map(Interface::area);
            if let Some(area) = area {
                self.own.dirty_area(area);
            }
            if let Some(transit) =
                self.interfaces.get(&interface).and_then(|held| held.virtual_end.as_ref()).map(|end| end.transit)
            {
                self.own.dirty_area(transit); // bit V
            }
            self.own.dirty_link(interface);
            self.routing.neighborhood_changed();
        }
        self.update_bfd(number, out);
    }

    /// What was under way with a neighbor is no longer (RFC 2328 §10.3: the lists are cleared).
    fn forget_exchange(&mut self, number: u32) {
        for timer in [Timer::Description(number), Timer::Requests(number), Timer::Retransmit(number)] {
            self.timers.cancel(timer);
        }
        if let Some(neighbor) = self.neighbor_mut(number) {
            neighbor.requests.clear();
            neighbor.summary = Vec::new();
            neighbor.described = 0;
            neighbor.sent.clear();
            neighbor.sent_soon.clear();
            (neighbor.dd_received, neighbor.dd_sent) = (None, None);
        }
        self.forget_pending(number);
    }

    /// 2-WayReceived.
    pub(super) fn on_two_way(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        if neighbor.state != NeighborState::Init {
            return;
        }
        let id = neighbor.interface;
        self.set_state(now, number, NeighborState::TwoWay, "it hears us", out);
        self.hello_soon(now, id);
        if self.wants_adjacency(number) {
            self.begin_exchange(now, number, "an adjacency is wanted", out);
        }
        let state = self.interfaces.get(&id).map(|interface| interface.state);
        if matches!(state, Some(InterfaceState::DrOther | InterfaceState::Backup | InterfaceState::Dr)) {
            self.run_election(now, id, out); // NeighborChange, RFC 2328 §9.2
        }
    }

    /// 1-WayReceived: it has forgotten us.
    pub(super) fn on_one_way(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        if neighbor.state < NeighborState::TwoWay {
            return;
        }
        let id = neighbor.interface;
        self.set_state(now, number, NeighborState::Init, "it no longer hears us", out);
        self.hello_soon(now, id);
        self.run_election(now, id, out);
    }

    /// AdjOK? (RFC 2328 §10.3).
    pub(super) fn adj_ok(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        let Some(state) = self.neighbor(number).map(|neighbor| neighbor.state) else { return };
        let wanted = self.wants_adjacency(number);
        if state == NeighborState::TwoWay && wanted {
            self.begin_exchange(now, number, "an adjacency is wanted", out);
        } else if state >= NeighborState::ExStart && !wanted {
            self.set_state(now, number, NeighborState::TwoWay, "neither of us is designated", out);
            self.timers.cancel(Timer::Description(number));
        }
    }

    /// Whether to become adjacent (RFC 2328 §10.4).
    pub(super) fn wants_adjacency(&self, number: u32) -> bool {
        let Some(neighbor) = self.neighbor(number) else { return false };
        let Some(interface) = self.interfaces.get(&neighbor.interface) else { return false };
        if !interface.elects() {
            return true;
        }
        let name = neighbor.name(self.version);
        interface.designated() || interface.dr == name || interface.bdr == name || neighbor.help.is_some()
    }

    /// A neighbor goes (KillNbr, LLDown, InactivityTimer).
    pub(super) fn remove_neighbor(&mut self, now: Instant, number: u32, reason: &'static str, out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        let (id, configured, address) = (neighbor.interface, neighbor.configured, neighbor.address);
        let router = neighbor.router;
        if neighbor.help.is_some() {
            self.end_help(now, number, reason, out);
        }
        self.set_state(now, number, NeighborState::Down, reason, out);
        self.forget_pending(number);
        for timer in [Timer::Inactivity(number), Timer::Grace(number), Timer::Description(number)] {
            self.timers.cancel(timer);
        }
        if let Some(place) = self.neighbors.get_mut(number as usize) {
            *place = None;
        }
        let mut up = false;
        if let Some(interface) = self.interfaces.get_mut(&id) {
            interface.neighbors.retain(|held| *held != number);
            interface.seen.forget(router);
            up = interface.up;
            self.busy.insert(id);
        }
        if up && configured {
            // It stays a neighbor to be asked, at the poll interval (RFC 2328 §9.5.1).
            let again = self.add_neighbor(now, id, crate::id::RouterId(0), address);
            if let Some(neighbor) = self.neighbor_mut(again) {
                neighbor.configured = true;
            }
        }
        if up && self.interfaces.get(&id).is_some_and(|held| held.state != InterfaceState::Waiting) {
            self.run_election(now, id, out);
        }
    }

    /// BFD lost it: as if the dead interval had passed (RFC 5882 §4.1), also while it restarts (§4.3.2.2).
    pub(super) fn on_bfd_down(&mut self, now: Instant, id: InterfaceId, address: IpAddr, out: &mut Outbox) {
        let Some(interface) = self.interfaces.get(&id) else { return };
        let found = interface.neighbors.iter().copied().find(|number| {
            self.neighbor(*number).is_some_and(|held| held.address == address && held.state >= NeighborState::Init)
        });
        if let Some(number) = found {
            self.remove_neighbor(now, number, "BFD lost it", out);
        }
    }

    /// Asks for, or ends, the BFD session with a neighbor: wanted from 2-Way on (RFC 5882 §4.1 leaves it to us).
    pub(super) fn update_bfd(&mut self, number: u32, out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        let Some(interface) = self.interfaces.get(&neighbor.interface) else { return };
        let session =
            interface.config.bfd.filter(|_| neighbor.state >= NeighborState::TwoWay && !interface.is_virtual());
        let (id, address) = (neighbor.interface, neighbor.address);
        if neighbor.bfd != session {
            out.push(Output::BfdWanted { interface: id, address, session });
            if let Some(neighbor) = self.neighbor_mut(number) {
                neighbor.bfd = session;
            }
        }
    }
}
