//! Random networks and random misfortune, by seed.

use std::time::Duration;

use super::World;

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
        for _ in 0..events {
            self.one_event();
            let pause = match self.rng.u8(0..4) {
                0 => Duration::ZERO,
                1 => Duration::from_millis(self.rng.u64(0..50)),
                2 => Duration::from_millis(self.rng.u64(0..3_000)),
                _ => Duration::from_secs(self.rng.u64(0..30)),
            };
            self.run_for(pause);
        }
        self.repair()
    }

    /// Everything that is broken is whole again.
    pub fn repair(&mut self) -> &mut Self {
        for link in 0..self.links.len() {
            if self.links[link].silent {
                self.silence(link, false);
            }
            if !self.links[link].up {
                self.carrier(link, true);
            }
        }
        for node in 0..self.nodes.len() {
            self.nodes[node].read_rate = None;
            if self.nodes[node].machines.is_none() {
                self.boot(node);
            }
        }
        self
    }

    fn one_event(&mut self) {
        let node = self.rng.usize(0..self.nodes.len());
        let link = self.rng.usize(0..self.links.len());
        let name = self.nodes[node].name.clone();
        let alive = self.nodes[node].machines.is_some();
        match self.rng.u8(0..14) {
            0..=3 => {
                let prefix = self.any_prefix();
                self.announce(&name, &prefix);
            }
            4 | 5 => {
                let announced = self.nodes[node].announced.keys().next().map(ToString::to_string);
                if let Some(prefix) = announced {
                    self.withdraw(&name, &prefix);
                }
            }
            6 => {
                let silent = self.links[link].silent;
                self.silence(link, !silent);
            }
            7 => {
                let up = self.links[link].up;
                self.carrier(link, !up);
            }
            8 => {
                self.reset_link(link);
            }
            9 if alive => {
                self.crash(&name);
            }
            10 if alive => {
                self.power_off(&name);
            }
            9 | 10 => {
                self.restart(&name);
            }
            11 => {
                let prefix = self.any_prefix();
                let times = self.rng.u32(1..4);
                self.refuse(&name, &prefix, times);
            }
            12 => {
                let held = self.nodes[node].plane.routes();
                if let Some((prefix, _)) = held.get(self.rng.usize(0..held.len().max(1))) {
                    self.disturb(&name, &prefix.to_string());
                }
            }
            _ => {
                let rate = if self.nodes[node].read_rate.is_some() { None } else { Some(self.rng.u32(200..20_000)) };
                self.read_rate(&name, rate);
            }
        }
    }

    /// One of a few prefixes, so that several routers announce the same.
    fn any_prefix(&mut self) -> String {
        match self.rng.u8(0..3) {
            0 => format!("192.0.2.{}/32", self.rng.u8(0..4)),
            1 => format!("198.51.{}.0/24", self.rng.u8(100..116)),
            _ => format!("203.0.113.{}/28", self.rng.u8(0..4) * 16),
        }
    }
}
