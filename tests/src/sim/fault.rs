//! Random networks and random misfortune, by seed.

use std::sync::Arc;
use std::time::Duration;

use bgpd::config::{AdjInKeep, MaxPrefix};
use bgpd::speaker::message::{Command, Input, LocalRoute, NeighborKey};
use bgpd::wire::attr::Origin;
use ipnet::IpNet;
use rib::{AddressFamily, Protocol};

use super::World;
use super::internet::{random_add_path, random_prefix, random_rules};
use super::plan::{Filter, NO_ADVERTISE, NO_EXPORT, Rules};

/// A network of three to seven routers: a random tree, and some lines more.
#[must_use]
pub fn random_network(seed: u64) -> World {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x6E65_7477_6F72_6B73);
    let names: Vec<String> = (0..rng.usize(3..=7)).map(|index| format!("r{index}")).collect();
    let mut world = names.iter().fold(World::seeded(seed), |world, name| world.node(name));
    for index in 1..names.len() {
        world = world.link(&names[rng.usize(0..index)], &names[index]);
    }
    for _ in 0..rng.usize(0..=names.len()) {
        let (a, b) = (rng.usize(0..names.len()), rng.usize(0..names.len()));
        if a != b {
            world = world.link(&names[a], &names[b]);
        }
    }
    world
}

impl World {
    /// Random events with random pauses, then repair of everything broken.
    pub fn misfortune(&mut self, events: usize) -> &mut Self {
        self.misfortune_left(events, 100)
    }

    /// Random events with random pauses, then repair of so many percent of what is broken.
    pub fn misfortune_left(&mut self, events: usize, percent: u8) -> &mut Self {
        for _ in 0..events {
            self.one_event();
            let pause = match self.rng.u8(0..4) {
                0 => Duration::ZERO,
                1 => Duration::from_millis(self.rng.u64(0..50)),
                2 => Duration::from_millis(self.rng.u64(0..3_000)),
                _ => Duration::from_secs(self.rng.u64(0..30)),
            };
            self.run_for(pause);
            self.check_unrest();
        }
        self.repair_some(percent)
    }

    /// Everything that is broken is whole again.
    pub fn repair(&mut self) -> &mut Self {
        self.repair_some(100)
    }

    /// Of everything that is broken, so many percent are whole again. What an operator has configured stays.
    pub fn repair_some(&mut self, percent: u8) -> &mut Self {
        for link in 0..self.links.len() {
            if self.links[link].cable && self.links[link].silent && self.rng.u8(0..100) < percent {
                self.silence(link, false);
            }
            if !self.links[link].up && self.rng.u8(0..100) < percent {
                self.carrier(link, true);
            }
        }
        for node in 0..self.nodes.len() {
            self.relieve(node);
            self.nodes[node].read_rate = None;
            if self.nodes[node].machines.is_none() && self.rng.u8(0..100) < percent {
                let name = self.nodes[node].name.clone();
                self.restart(&name);
            }
        }
        self
    }

    /// Limits are lifted, and no session stays drained for which that leaves more than one outcome.
    fn relieve(&mut self, node: usize) {
        if self.nodes[node].peers.iter().any(|peer| peer.max_prefix.is_some()) {
            self.nodes[node].peers.iter_mut().for_each(|peer| peer.max_prefix = None);
            self.reconfigure(node, &["no limits".to_owned()]);
        }
        let name = self.nodes[node].name.clone();
        for at in 0..self.nodes[node].peers.len() {
            let peer = &mut self.nodes[node].peers[at];
            if !peer.drained || peer.drains {
                continue;
            }
            let (neighbor, enabled) = (NeighborKey::from(peer.remote), peer.is_wanted());
            (peer.operator, peer.drained) = (Some(enabled), false);
            self.record((node, neighbor.clone()), || format!("{name}: {neighbor} is drained no longer"));
            let command = Command::SetEnabled { neighbor, enabled, message: String::new() };
            self.tell(&name, Input::Command(command));
        }
    }

    /// Nobody announces anything any more.
    pub fn withdraw_all(&mut self) -> &mut Self {
        for node in 0..self.nodes.len() {
            for prefix in self.nodes[node].announced.keys().copied().collect::<Vec<_>>() {
                self.own(node, prefix, None);
            }
        }
        self
    }

    /// So many random routes of random routers.
    pub fn announce_some(&mut self, count: usize) -> &mut Self {
        for _ in 0..count {
            let node = self.rng.usize(0..self.nodes.len());
            self.announce_any(node);
        }
        self
    }

    fn announce_any(&mut self, node: usize) {
        let rng = &mut self.rng;
        let communities = match rng.u8(0..12) {
            0 => vec![NO_EXPORT],
            1 => vec![NO_ADVERTISE],
            2 => vec![0xFC00_0001, 0xFC00_0035],
            _ => Vec::new(),
        };
        let route = LocalRoute {
            protocol: if rng.u8(0..4) == 0 { Protocol::Static } else { Protocol::Service },
            origin: if rng.bool() { Origin::Igp } else { Origin::Incomplete },
            med: (self.meds && rng.bool()).then(|| rng.u32(0..30)),
            prepend: if rng.u8(0..4) == 0 { rng.u8(1..4) } else { 0 },
            communities,
            large_communities: if rng.bool() { vec![[4_200_000_000, 1, 2]] } else { Vec::new() },
            extended_communities: Vec::new(),
            next_hop: None,
        };
        let prefix = random_prefix(rng);
        self.own(node, prefix, Some(Arc::new(route)));
    }

    fn any_cable(&mut self) -> usize {
        let cables: Vec<usize> = (0..self.links.len()).filter(|link| self.links[*link].cable).collect();
        cables[self.rng.usize(0..cables.len())]
    }

    /// One random event.
    pub fn one_event(&mut self) {
        let node = self.rng.usize(0..self.nodes.len());
        let name = self.nodes[node].name.clone();
        let alive = self.nodes[node].machines.is_some();
        match self.rng.u8(0..30) {
            0..=5 => self.announce_any(node),
            6..=8 => {
                let announced: Vec<IpNet> = self.nodes[node].announced.keys().copied().collect();
                if !announced.is_empty() {
                    let prefix = announced[self.rng.usize(0..announced.len())];
                    self.own(node, prefix, None);
                }
            }
            9 | 10 => {
                let link = self.any_cable();
                let silent = self.links[link].silent;
                self.silence(link, !silent);
            }
            11 | 12 => {
                let link = self.any_cable();
                let up = self.links[link].up;
                self.carrier(link, !up);
            }
            13 => {
                let link = self.rng.usize(0..self.links.len());
                self.reset_link(link);
            }
            14 if alive => {
                self.crash(&name);
            }
            15 if alive => {
                self.power_off(&name);
            }
            14 | 15 => {
                self.restart(&name);
            }
            16 => {
                let (prefix, times) = (random_prefix(&mut self.rng).to_string(), self.rng.u32(1..4));
                self.refuse(&name, &prefix, times);
            }
            17 => {
                let held = self.nodes[node].plane.routes();
                if let Some((prefix, _)) = held.get(self.rng.usize(0..held.len().max(1))) {
                    self.disturb(&name, &prefix.to_string());
                }
            }
            18 => {
                let rate = if self.nodes[node].read_rate.is_some() { None } else { Some(self.rng.u32(200..20_000)) };
                self.read_rate(&name, rate);
            }
            19 => {
                let link = self.rng.usize(0..self.links.len());
                let (delay, jitter) = (self.rng.u64(50..200_000), self.rng.u64(0..50_000));
                let chunk_max = if self.rng.u8(0..4) == 0 { self.rng.usize(1..20) } else { self.rng.usize(64..4096) };
                let link = &mut self.links[link];
                (link.delay, link.jitter) = (Duration::from_micros(delay), Duration::from_micros(jitter));
                link.chunk_max = chunk_max;
            }
            20..=23 => self.operator(node),
            24 if alive => {
                self.stop(&name);
            }
            25 if alive => {
                self.stop_for_restart(&name);
            }
            _ => self.reload(node),
        }
    }

    /// An operator says something about a session.
    fn operator(&mut self, node: usize) {
        let count = self.nodes[node].peers.len();
        if count == 0 || self.nodes[node].machines.is_none() {
            return;
        }
        let at = self.rng.usize(0..count);
        let which = self.rng.u8(0..11);
        let peer = &mut self.nodes[node].peers[at];
        let neighbor = NeighborKey::from(peer.remote);
        if !peer.configured {
            return;
        }
        let command = match which {
            0 | 1 => Command::SoftIn { neighbor: neighbor.clone() },
            2 | 3 => Command::SoftOut { neighbor: neighbor.clone() },
            4 | 5 => Command::Reset { neighbor: neighbor.clone() },
            6 => Command::PathDown { neighbor: neighbor.clone() },
            7 | 8 => {
                peer.drained = true;
                Command::Drain { neighbor: neighbor.clone() }
            }
            _ => {
                let enabled = !peer.is_wanted();
                (peer.operator, peer.drained) = (Some(enabled), false);
                Command::SetEnabled { neighbor: neighbor.clone(), enabled, message: "maintenance".into() }
            }
        };
        let name = self.nodes[node].name.clone();
        self.record((node, neighbor, which), || format!("{name}: {command:?}"));
        self.tell(&name, Input::Command(command));
    }

    /// The router gets another configuration.
    fn reload(&mut self, node: usize) {
        let count = self.nodes[node].peers.len();
        if count == 0 {
            return;
        }
        let mut words = Vec::new();
        let before = self.nodes[node].peers.clone();
        for _ in 0..self.rng.usize(1..4) {
            let at = self.rng.usize(0..count);
            words.push(self.change_peer(node, at));
        }
        for (peer, before) in self.nodes[node].peers.iter_mut().zip(&before) {
            // What an operator said counts until the configuration says something new.
            if peer.enabled != before.enabled {
                peer.operator = None;
            }
            if peer.configured != before.configured {
                (peer.operator, peer.drained) = (None, false);
            }
        }
        if self.rng.u8(0..8) == 0 {
            self.nodes[node].multipath = [self.rng.u16(1..5), self.rng.u16(1..5)];
        }
        if self.rng.u8(0..8) == 0 && !self.flat.contains(&self.nodes[node].asn) {
            self.nodes[node].best_external = !self.nodes[node].best_external;
        }
        self.reconfigure(node, &words);
    }

    /// The router is told its configuration as it is now.
    fn reconfigure(&mut self, node: usize, words: &[String]) {
        let name = self.nodes[node].name.clone();
        self.record((node, words), || format!("{name}: reload: {words:?}"));
        let config = self.nodes[node].config(self.nodes[node].seed);
        if self.nodes[node].machines.is_some() {
            self.tell(&name, Input::Configure(Box::new(config)));
        }
    }

    fn change_peer(&mut self, node: usize, at: usize) -> String {
        let asn = self.nodes[node].asn;
        let rng = &mut self.rng;
        let peer = &mut self.nodes[node].peers[at];
        let external = peer.asn != asn;
        match rng.u8(0..16) {
            0..=5 if external => {
                // What neighbors are to each other stays, and with it the one outcome.
                let fresh = random_rules(rng, false);
                if let Filter::Rules(rules) = &mut peer.export {
                    *rules = Rules { deny: fresh.deny, prepend: fresh.prepend, ..rules.clone() };
                }
            }
            6 | 7 if external => {
                let fresh = random_rules(rng, false);
                if let Filter::Rules(rules) = &mut peer.import {
                    rules.deny = fresh.deny;
                }
            }
            8 | 9 => {
                peer.adj_in = if peer.adj_in == AdjInKeep::All { AdjInKeep::Accepted } else { AdjInKeep::All };
            }
            10 => peer.extended_messages = !peer.extended_messages,
            11 => {
                peer.enabled = !peer.enabled;
            }
            12 if peer.families.len() > 1 => {
                let gone = if rng.bool() { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 };
                peer.families.retain(|family| *family != gone);
            }
            13 => {
                peer.configured = !peer.configured;
            }
            14 => {
                let limit = rng.u32(1..4);
                let restart = rng.bool().then(|| Duration::from_secs(rng.u64(1..20)));
                peer.max_prefix = Some(MaxPrefix { limit, warn: rng.u32(1..=limit), restart });
            }
            15 => peer.add_path = random_add_path(rng),
            _ => peer.passive = false,
        }
        format!("{} {:?}", peer.remote, peer.export)
    }
}
