//! Hellos: who is there (RFC 2328 §9.5, §10.5), who is designated (§9.4), and who is silent. A hello goes out at once when a
//! link comes up and when somebody new is heard, so that adjacencies do not wait for an interval to pass.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::{AreaKind, NetworkType};
use crate::drops::Drop;
use crate::id::{InterfaceId, RouterId, Version};
use crate::interface::election::{Candidate, elect};
use crate::interface::{Interface, InterfaceState};
use crate::message::{Alarm, Outbox};
use crate::neighbor::{Neighbor, NeighborState};
use crate::packet::{Body, Hello, OPTION_E, OPTION_N};

use super::{Instance, Timer};

/// Unasked hellos keep this distance.
const HELLO_PAUSE: Duration = Duration::from_millis(5);
/// Neighbors of one interface; more are not listened to. A hello lists them all in one packet of 1500 octets.
const NEIGHBORS_MAX: usize = 350;

impl Instance {
    /// A hello came in (RFC 2328 §10.5, RFC 5340 §4.2.2.1).
    pub(super) fn on_hello(
        &mut self,
        now: Instant,
        id: InterfaceId,
        router: RouterId,
        src: IpAddr,
        hello: &Hello,
        out: &mut Outbox,
    ) {
        let Some(interface) = self.interfaces.get(&id) else { return };
        if let Some((reason, obstacle)) = self.hello_mismatch(interface, hello) {
            self.drop_on(id, reason);
            return self.obstruct(now, id, router, src, obstacle, out);
        }
        let (elects, priority_zero) = (interface.elects(), interface.config.priority == 0);
        let number = match self.find_neighbor(id, router, src) {
            Some(number) => number,
            None if interface.neighbors.len() >= NEIGHBORS_MAX => return self.drop_on(id, Drop::TooManyNeighbors),
            None => self.add_neighbor(now, id, router, src),
        };
        // The same address speaks with another id, or the same id from another address: it is another router now.
        if self
            .neighbor(number)
            .is_some_and(|neighbor| neighbor.router != router && neighbor.state > NeighborState::Attempt)
        {
            self.remove_neighbor(now, number, "its router id changed", out);
            return self.on_hello(now, id, router, src, hello, out);
        }
        let dead = self.interfaces.get(&id).map_or(Duration::from_secs(40), |held| held.config.dead_interval);
        let version = self.version;
        let Some(neighbor) = self.neighbor_mut(number) else { return };
        let name_before = neighbor.name(version);
        let fresh = neighbor.state <= NeighborState::Attempt;
        let moved = neighbor.address != src || neighbor.interface_id != hello.interface_id;
        let before = (neighbor.priority, neighbor.dr == name_before, neighbor.bdr == name_before);
        (neighbor.router, neighbor.address, neighbor.heard) = (router, src, now);
        let helped = neighbor.help.is_some();
        if !helped {
            // RFC 3623 §3.2: who was designated stays so while it restarts, though its first hellos know nothing of it.
            (neighbor.priority, neighbor.dr, neighbor.bdr) = (hello.priority, hello.dr, hello.bdr);
        }
        neighbor.interface_id = hello.interface_id;
        if neighbor.state < NeighborState::ExStart {
            neighbor.obstacle = None; // what stops an exchange is not answered by hellos
        }
        if fresh {
            neighbor.options = hello.options;
        }
        let name = neighbor.name(version);
        let after = (neighbor.priority, neighbor.dr == name, neighbor.bdr == name);
        if let Some(interface) = self.interfaces.get_mut(&id) {
            interface.obstacle = None;
        }
        self.timers.set(Timer::Inactivity(number), now + dead);
        if fresh {
            self.set_state(now, number, NeighborState::Init, "a hello came", out);
            self.hello_soon(now, id);
        } else if moved {
            self.routing.neighborhood_changed();
            if let Some(area) = self.interfaces.get(&id).map(Interface::area) {
                self.own.dirty_area(area);
            }
        }
        if hello.neighbors.contains(&self.router) {
            self.on_two_way(now, number, out);
        } else {
            // A restarting neighbor does not know us yet; that is no reason to leave it (RFC 3623 §3.2).
            if !helped {
                self.on_one_way(now, number, out);
            }
            // It may have begun anew without our noticing, and waits for a hello that names it.
            self.hello_soon(now, id);
        }
        if !elects {
            return;
        }
        let two_way = self.neighbor(number).is_some_and(|neighbor| neighbor.state >= NeighborState::TwoWay);
        let state = self.interfaces.get(&id).map(|interface| interface.state);
        match state {
            Some(InterfaceState::Waiting) => {
                // BackupSeen (RFC 2328 §9.2): the network has its Designated Router, so there is nothing to wait for.
                let dr_alone = hello.dr == name && hello.bdr == 0;
                if self.resumes_as_dr(hello.dr, hello.bdr, id) {
                    self.timers.cancel(Timer::Wait(id));
                    self.take_role_back(now, id, hello.dr, hello.bdr, out);
                } else if two_way && (hello.bdr == name || dr_alone) {
                    self.timers.cancel(Timer::Wait(id));
                    self.run_election(now, id, out);
                }
            }
            Some(_) if two_way && (before != after || name != name_before) => self.run_election(now, id, out),
            Some(InterfaceState::DrOther) if priority_zero && fresh && two_way => self.run_election(now, id, out),
            _ => {}
        }
    }

    /// What of a hello must agree and does not, and what to do about it.
    fn hello_mismatch(&self, interface: &Interface, hello: &Hello) -> Option<(Drop, String)> {
        let config = &interface.config;
        let (ours, theirs) = (config.hello_interval.as_secs(), u64::from(hello.hello_interval_secs));
        if ours != theirs {
            let text = format!("its hello_interval is {theirs} s, ours is {ours} s: set the same on both");
            return Some((Drop::HelloInterval, text));
        }
        let (ours, theirs) = (config.dead_interval.as_secs(), u64::from(hello.dead_interval_secs));
        if ours != theirs {
            let text = format!("its dead_interval is {theirs} s, ours is {ours} s: set the same on both");
            return Some((Drop::DeadInterval, text));
        }
        // RFC 2328 §10.5: not on point-to-point networks and virtual links.
        if self.is_v2() && !interface.point_to_point() {
            let mask = interface.subnet().map_or(0, |net| net.prefix_len());
            if hello.mask_len != mask {
                let text = format!("its network mask is /{}, ours is /{mask}: set the same on both", hello.mask_len);
                return Some((Drop::Mask, text));
            }
        }
        let kind = self.area_kind(interface.area());
        let expected = match kind {
            AreaKind::Normal => OPTION_E,
            AreaKind::Stub => 0,
            AreaKind::Nssa => OPTION_N,
        };
        let said = hello.options & (OPTION_E | OPTION_N);
        if said != expected {
            let theirs = match said {
                OPTION_E => "normal",
                OPTION_N => "nssa",
                0 => "stub",
                _ => "normal and nssa at once",
            };
            let text =
                format!("it takes area {} for {theirs}, we have it as {kind:?}: set the same type", interface.area());
            return Some((Drop::AreaKind, text));
        }
        None
    }

    /// Who on the interface this is: known by address on v2's multi-access networks, by router id elsewhere
    /// (RFC 2328 §10.5, RFC 5340 §4.2.2).
    pub(super) fn find_neighbor(&self, id: InterfaceId, router: RouterId, src: IpAddr) -> Option<u32> {
        let interface = self.interfaces.get(&id)?;
        let by_address = self.is_v2() && !interface.point_to_point();
        let found = interface.neighbors.iter().copied().find(|number| {
            self.neighbor(*number)
                .is_some_and(|neighbor| if by_address { neighbor.address == src } else { neighbor.router == router })
        });
        // A configured neighbor of v3 is known by its address until it tells its router id.
        found.or_else(|| {
            interface.neighbors.iter().copied().find(|number| {
                self.neighbor(*number).is_some_and(|neighbor| neighbor.router.0 == 0 && neighbor.address == src)
            })
        })
    }

    /// A neighbor is heard of for the first time.
    pub(super) fn add_neighbor(&mut self, now: Instant, id: InterfaceId, router: RouterId, src: IpAddr) -> u32 {
        let mut neighbor = Neighbor::new(now, id, router, src);
        neighbor.dd_seq = self.rng.u32(..);
        let free = self.neighbors.iter().position(Option::is_none);
        let number = match free {
            Some(index) => {
                if let Some(place) = self.neighbors.get_mut(index) {
                    *place = Some(neighbor);
                }
                index
            }
            None => {
                self.neighbors.push(Some(neighbor));
                self.neighbors.len() - 1
            }
        };
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        if let Some(interface) = self.interfaces.get_mut(&id) {
            interface.neighbors.push(number);
        }
        number
    }

    /// Configured neighbors are asked (RFC 2328 §9.3, §10.3 Start).
    pub(super) fn start_configured(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        let Some(interface) = self.interfaces.get(&id) else { return };
        let (addresses, dead) = (interface.config.neighbors.clone(), interface.config.dead_interval);
        for address in addresses {
            let known = self
                .interfaces
                .get(&id)
                .is_some_and(|interface| self.neighbors_on(interface).any(|neighbor| neighbor.address == address));
            if address.is_ipv4() != self.is_v2() || known {
                continue;
            }
            let number = self.add_neighbor(now, id, RouterId(0), address);
            if let Some(neighbor) = self.neighbor_mut(number) {
                neighbor.configured = true;
            }
            self.set_state(now, number, NeighborState::Attempt, "it is configured", out);
            self.timers.set(Timer::Inactivity(number), now + dead);
        }
    }

    /// A hello is due now, unless one has just been sent.
    pub(super) fn hello_soon(&mut self, now: Instant, id: InterfaceId) {
        let last = self.interfaces.get(&id).and_then(|interface| interface.last_hello);
        let at = last.map_or(now, |last| now.max(last + HELLO_PAUSE));
        self.timers.set_earlier(Timer::Hello(id), at);
    }

    pub(super) fn on_hello_timer(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        let Some(interface) = self.interfaces.get_mut(&id) else { return };
        if !interface.speaks() {
            return;
        }
        interface.last_hello = Some(now);
        let interval = interface.config.hello_interval;
        self.send_hello(id, None, out);
        // RFC 2328 §9.5: no two routers may fall into step; a tenth less never loses a neighbor.
        let jitter = interval.mul_f64(self.rng.f64() * 0.1);
        self.timers.set(Timer::Hello(id), now + interval.saturating_sub(jitter).max(Duration::from_millis(1)));
    }

    /// Silent configured neighbors are asked at the slower poll interval.
    pub(super) fn on_poll_timer(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        let Some(interface) = self.interfaces.get(&id) else { return };
        let poll = interface.config.poll_interval.max(Duration::from_secs(1));
        let silent: Vec<IpAddr> = self
            .neighbors_on(interface)
            .filter(|neighbor| neighbor.state == NeighborState::Down)
            .map(|neighbor| neighbor.address)
            .collect();
        for address in silent {
            self.send_hello(id, Some(address), out);
        }
        self.timers.set(Timer::Poll(id), now + poll);
    }

    /// Sends a hello to everybody who should hear it, or to one address.
    pub(super) fn send_hello(&mut self, id: InterfaceId, to: Option<IpAddr>, out: &mut Outbox) {
        self.send_hello_with(id, to, true, out);
    }

    /// As [`Self::send_hello`]; without `listing` it says that we hear nobody, which ends adjacencies at once.
    pub(crate) fn send_hello_with(&mut self, id: InterfaceId, to: Option<IpAddr>, listing: bool, out: &mut Outbox) {
        let Some(interface) = self.interfaces.get(&id) else { return };
        let config = &interface.config;
        let mask_len = match self.version {
            // RFC 2328 §9.5: 0 on unnumbered links and virtual links.
            Version::V2 if !interface.is_virtual() && !interface.unnumbered() => {
                interface.subnet().map_or(0, |net| net.prefix_len())
            }
            _ => 0,
        };
        let heard = self.neighbors_on(interface).filter(|neighbor| listing && neighbor.state >= NeighborState::Init);
        let hello = Hello {
            mask_len,
            interface_id: if self.is_v2() { 0 } else { id.0 },
            options: self.options(interface.area()),
            priority: config.priority,
            hello_interval_secs: u16::try_from(config.hello_interval.as_secs()).unwrap_or(u16::MAX),
            dead_interval_secs: u32::try_from(config.dead_interval.as_secs()).unwrap_or(u32::MAX),
            dr: if listing { interface.dr } else { 0 },
            bdr: if listing { interface.bdr } else { 0 },
            neighbors: heard.map(|neighbor| neighbor.router).collect(),
        };
        let destinations: Vec<IpAddr> = match to {
            Some(address) => vec![address],
            None if interface.multicast() => vec![self.all_routers()],
            None if interface.is_virtual() => interface.far_end().into_iter().collect(),
            None => self.hello_targets(interface),
        };
        for dst in destinations {
            self.send(id, dst, Body::Hello(hello.clone()), out);
        }
    }

    /// Whom hellos go to without multicast (RFC 2328 §9.5.1). Routers that cannot become designated need not hear each
    /// other; that they do is harmless and shows whom the operator forgot.
    fn hello_targets(&self, interface: &Interface) -> Vec<IpAddr> {
        self.neighbors_on(interface)
            .filter(|neighbor| neighbor.state != NeighborState::Down)
            .map(|neighbor| neighbor.address)
            .collect()
    }

    /// A neighbor was silent for the dead interval.
    pub(super) fn on_inactivity(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        if neighbor.help.is_some() {
            return; // RFC 3623 §3.1: it is restarting; its grace period has its own timer.
        }
        if neighbor.configured && neighbor.state == NeighborState::Attempt {
            return self.set_state(now, number, NeighborState::Down, "it does not answer", out);
        }
        self.remove_neighbor(now, number, "it was silent for the dead interval", out);
    }

    /// Nobody said who is designated: we elect.
    pub(super) fn on_wait_timer(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        self.run_election(now, id, out);
    }

    /// RFC 2328 §9.4, with its step 6 (new adjacencies) and what we say of the network.
    pub(crate) fn run_election(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        let Some(interface) = self.interfaces.get(&id) else { return };
        if !interface.up || !interface.elects() || interface.config.passive {
            return;
        }
        let me = interface.self_id(self.version, self.router);
        let mut candidates: Vec<Candidate> = self
            .neighbors_on(interface)
            .filter(|neighbor| neighbor.state >= NeighborState::TwoWay || neighbor.help.is_some())
            .map(|neighbor| Candidate {
                name: neighbor.name(self.version),
                router: neighbor.router.0,
                priority: neighbor.priority,
                dr: neighbor.dr,
                bdr: neighbor.bdr,
            })
            .collect();
        candidates.push(Candidate {
            name: me,
            router: self.router.0,
            priority: interface.config.priority,
            dr: interface.dr,
            bdr: interface.bdr,
        });
        let (dr, bdr) = elect(&candidates, me);
        self.set_roles(now, id, dr, bdr, out);
    }

    /// Takes the outcome of an election.
    pub(crate) fn set_roles(&mut self, now: Instant, id: InterfaceId, dr: u32, bdr: u32, out: &mut Outbox) {
        let (version, router) = (self.version, self.router);
        let Some(interface) = self.interfaces.get_mut(&id) else { return };
        let me = interface.self_id(version, router);
        let state = match () {
            () if dr == me => InterfaceState::Dr,
            () if bdr == me => InterfaceState::Backup,
            () => InterfaceState::DrOther,
        };
        let before = (interface.state, interface.dr, interface.bdr);
        if before == (state, dr, bdr) {
            return;
        }
        (interface.state, interface.dr, interface.bdr) = (state, dr, bdr);
        let (numbers, area, nbma) =
            (interface.neighbors.clone(), interface.area(), interface.config.network == NetworkType::Nbma);
        if nbma && matches!(state, InterfaceState::Dr | InterfaceState::Backup) {
            self.start_configured(now, id, out);
        }
        self.hello_soon(now, id);
        if (before.1, before.2) != (dr, bdr) {
            for number in numbers {
                self.adj_ok(now, number, out);
            }
        }
        self.own.dirty_area(area);
        self.own.dirty_link(id);
        self.routing.neighborhood_changed();
    }

    /// Something stops an adjacency, and only an operator can mend it: kept for who asks, and said at once. A neighbor we do not
    /// know yet is the interface's matter.
    pub(super) fn obstruct(
        &mut self,
        now: Instant,
        id: InterfaceId,
        router: RouterId,
        src: IpAddr,
        text: String,
        out: &mut Outbox,
    ) {
        let known = if let Some(number) = self.find_neighbor(id, router, src) {
            let Some(neighbor) = self.neighbor_mut(number) else { return };
            neighbor.stuck_alarmed = true;
            neighbor.obstacle.replace(text.clone()).as_ref() == Some(&text)
        } else {
            let Some(interface) = self.interfaces.get_mut(&id) else { return };
            let whole = format!("{router} at {src}: {text}");
            interface.obstacle.replace(whole.clone()) == Some(whole)
        };
        if !known {
            self.raise(now, Alarm::AdjacencyStuck { interface: id, router, reason: text }, out);
        }
    }

    /// Tells the operator of adjacencies that do not come up.
    pub(super) fn on_stuck_timer(&mut self, now: Instant, out: &mut Outbox) {
        let numbers: Vec<u32> = self.each_neighbor().map(|(number, _)| number).collect();
        for number in numbers {
            let Some(reason) = self.stuck_reason(now, number) else { continue };
            let Some(neighbor) = self.neighbor_mut(number) else { continue };
            if std::mem::replace(&mut neighbor.stuck_alarmed, true) {
                continue;
            }
            let (interface, router) = (neighbor.interface, neighbor.router);
            self.raise(now, Alarm::AdjacencyStuck { interface, router, reason }, out);
        }
        if self.interfaces.values().any(Interface::speaks) {
            self.timers.set(Timer::Stuck, now + Duration::from_secs(10));
        }
    }

    /// Why a neighbor is not where it should be; `None` while it is, or may still come there by itself.
    pub(super) fn stuck_reason(&self, now: Instant, number: u32) -> Option<String> {
        let neighbor = self.neighbor(number)?;
        let interface = self.interfaces.get(&neighbor.interface)?;
        if let Some(obstacle) = &neighbor.obstacle {
            return (neighbor.state != NeighborState::Full).then(|| obstacle.clone());
        }
        let mut patience = interface.config.retransmit_interval.max(Duration::from_secs(1)) * 2;
        if interface.elects() {
            // It may still wait for a Designated Router (RFC 2328 §9.1), and answers to nothing else until then.
            patience += interface.config.dead_interval;
        }
        if now.saturating_duration_since(neighbor.since) < patience {
            return None;
        }
        match neighbor.state {
            NeighborState::Init => Some(
                "it does not list us in its hellos: our hellos do not reach it, or it refuses them (area, timers, mask, authentication)"
                    .to_owned(),
            ),
            NeighborState::Attempt | NeighborState::Down => Some("it does not answer: is OSPF running there?".to_owned()),
            // It takes no packets longer than its own, so ours end before they are answered.
            NeighborState::ExStart | NeighborState::Exchange
                if neighbor.mtu != 0 && neighbor.mtu < interface.link.mtu && !interface.is_virtual() =>
            {
                Some(format!(
                    "its MTU is {}, ours is {}: set the same on both, or have it ignore the MTU",
                    neighbor.mtu, interface.link.mtu
                ))
            }
            NeighborState::ExStart => Some(format!(
                "it does not answer our database descriptions: compare MTUs (ours is {}) and see that unicast passes",
                interface.link.mtu
            )),
            NeighborState::Exchange | NeighborState::Loading => Some(format!(
                "the exchange of databases does not end ({} LSAs still asked for): large packets may be lost on the way, compare MTUs",
                neighbor.requests.len()
            )),
            NeighborState::TwoWay | NeighborState::Full => None,
        }
    }
}
