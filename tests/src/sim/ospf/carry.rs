//! Packets on wires. What is addressed to somebody beyond the wire is forwarded by the routers' own tables, as packets of
//! virtual links are.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use ospfd::InterfaceId;
use ospfd::message::Input;

use super::World;
use super::world::{Event, Flight};

/// The type of hellos, which go on for ever.
const HELLO: u8 = 1;

/// Routers that a packet passes at most.
const HOPS_MAX: usize = 64;

impl World {
    pub(super) fn send(&mut self, router: usize, id: InterfaceId, src: IpAddr, dst: IpAddr, ttl: u8, bytes: &Bytes) {
        let kind = bytes.get(1).copied().unwrap_or_default();
        if kind != HELLO {
            self.activity += 1;
        }
        *self.packets.entry(kind).or_default() += 1;
        self.record((router, id.0, dst, bytes), String::new);
        let Some((wire, place)) = self.places.get(&(router, id)).copied() else { return };
        if !self.plan.wires[wire].ends[place].carrier {
            return;
        }
        let on_wire: Vec<usize> = (0..self.plan.wires[wire].ends.len())
            .filter(|to| *to != place && (dst.is_multicast() || self.answers_to(wire, *to, dst)))
            .collect();
        if on_wire.is_empty() && ttl > 1 {
            self.forward(router, src, dst, ttl, bytes);
        }
        for to in on_wire {
            if self.hears(wire, place, to) {
                let end = self.plan.wires[wire].ends[to];
                let input = Input::Packet { interface: end.id, src, dst, ttl: Some(ttl), bytes: bytes.clone() };
                self.deliver(wire, end.router, &input);
            }
        }
    }

    fn answers_to(&self, wire: usize, place: usize, dst: IpAddr) -> bool {
        self.plan.speaker(wire, place) == dst || self.plan.address(wire, place).is_some_and(|net| net.addr() == dst)
    }

    /// Loss, doubles and delay of one packet.
    fn deliver(&mut self, wire: usize, to: usize, input: &Input) {
        let held = &self.plan.wires[wire];
        let (loss, twice, delay, jitter) = (held.loss, held.twice, held.delay, held.jitter);
        if loss > 0 && self.rng.u8(0..100) < loss {
            return;
        }
        let times = if twice > 0 && self.rng.u8(0..100) < twice { 2 } else { 1 };
        for _ in 0..times {
            let more =
                if jitter.is_zero() { 0 } else { self.rng.u64(0..u64::try_from(jitter.as_micros()).unwrap_or(1)) };
            self.fly(to, delay + Duration::from_micros(more), input.clone());
        }
    }

    fn fly(&mut self, to: usize, delay: Duration, input: Input) {
        self.sent += 1;
        let life = self.plan.routers[to].lives;
        self.flights.insert(self.sent, Flight { to, life, input });
        self.clock.after(delay, Event::Arrive(self.sent));
    }

    /// From router to router, each by its own table, to whom `dst` belongs.
    fn forward(&mut self, from: usize, src: IpAddr, dst: IpAddr, ttl: u8, bytes: &Bytes) {
        let (mut at, mut delay) = (from, Duration::ZERO);
        for _ in 0..HOPS_MAX {
            let Some((wire, place, to)) = self.next_step(at, dst) else { return };
            let held = &self.plan.wires[wire];
            let (loss, next) = (held.loss, held.ends[to]);
            delay += held.delay;
            if !self.hears(wire, place, to) || (loss > 0 && self.rng.u8(0..100) < loss) {
                return;
            }
            at = next.router;
            if self.owns(at, dst) {
                let input = Input::Packet { interface: next.id, src, dst, ttl: Some(ttl), bytes: bytes.clone() };
                return self.fly(at, delay, input);
            }
        }
    }

    /// An address of a router itself.
    fn owns(&self, router: usize, address: IpAddr) -> bool {
        self.plan.loopback(router) == address
            || self
                .plan
                .ends_of(router)
                .any(|(wire, place)| self.plan.address(wire, place).is_some_and(|net| net.addr() == address))
    }

    /// Where a router sends what is for `dst`: a wire, its own place there, and the place of the next router.
    pub(super) fn next_step(&self, router: usize, dst: IpAddr) -> Option<(usize, usize, usize)> {
        let connected = self.plan.ends_of(router).find(|(wire, place)| {
            let end = self.plan.wires[*wire].ends[*place];
            end.carrier && self.plan.address(*wire, *place).is_some_and(|net| net.contains(&dst))
        });
        if let Some((wire, place)) = connected {
            let to = (0..self.plan.wires[wire].ends.len()).find(|to| self.answers_to(wire, *to, dst))?;
            return Some((wire, place, to));
        }
        let (_, route) = self.best_match(router, dst)?;
        self.legs(router, route).next()
    }

    /// The longest prefix in a router's table that covers an address.
    pub(super) fn best_match(&self, router: usize, dst: IpAddr) -> Option<(IpNet, &rib::Route)> {
        let routes = &self.nodes[router].routes;
        let most = if dst.is_ipv4() { 32 } else { 128 };
        (0..=most).rev().find_map(|length| {
            let net = IpNet::new(dst, length).ok()?.trunc();
            routes.get(&net).map(|route| (net, route))
        })
    }

    /// Where the legs of a route lead: a wire, the router's place there, and the place of the next router.
    pub(super) fn legs<'a>(
        &'a self,
        router: usize,
        route: &'a rib::Route,
    ) -> impl Iterator<Item = (usize, usize, usize)> + 'a {
        route.next_hops.legs().iter().filter_map(move |leg| {
            let rib::NextHop::Gateway { addr, interface: Some(index), .. } = leg.next_hop else { return None };
            let (wire, place) = self.places.get(&(router, InterfaceId(index.0))).copied()?;
            let ends = self.plan.wires[wire].ends.len();
            let to = (0..ends).find(|to| *to != place && self.answers_to(wire, *to, addr))?;
            Some((wire, place, to))
        })
    }
}
