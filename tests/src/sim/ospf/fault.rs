//! Random misfortune, and its repair.

use std::time::Duration;

use ospfd::message::ServiceRoute;

use super::World;
use super::random::{random_cost, random_external};

impl World {
    /// Random events with random pauses. So many percent of what is broken is then whole again.
    pub fn misfortune(&mut self, events: usize, percent: u8) -> &mut Self {
        for _ in 0..events {
            self.one_event();
            let pause = match self.rng.u8(0..6) {
                0 => Duration::ZERO,
                1 | 2 => Duration::from_millis(self.rng.u64(0..50)),
                3 | 4 => Duration::from_millis(self.rng.u64(0..3_000)),
                _ => Duration::from_secs(self.rng.u64(0..50)),
            };
            self.run_for(pause);
            self.check_loops();
        }
        self.repair(percent)
    }

    /// Of what is broken, so many percent are whole again.
    pub fn repair(&mut self, percent: u8) -> &mut Self {
        for wire in 0..self.plan.wires.len() {
            for place in 0..self.plan.wires[wire].ends.len() {
                if !self.plan.wires[wire].ends[place].carrier && self.rng.u8(0..100) < percent {
                    self.carrier(wire, place, true);
                }
            }
            let torn = self.plan.wires[wire].ends.iter().any(|end| end.part != 0);
            if torn && self.rng.u8(0..100) < percent {
                let whole = vec![0; self.plan.wires[wire].ends.len()];
                self.part(wire, &whole);
            }
        }
        for router in 0..self.nodes.len() {
            if !self.plan.routers[router].alive && self.rng.u8(0..100) < percent {
                self.boot(router, None);
            }
            if self.plan.routers[router].drained && self.rng.u8(0..100) < percent {
                self.drain(router, false);
            }
        }
        self
    }

    /// One random event.
    pub fn one_event(&mut self) {
        let router = self.rng.usize(0..self.nodes.len());
        let alive = self.plan.routers[router].alive;
        if self.plan.wires.is_empty() {
            return;
        }
        let wire = self.rng.usize(0..self.plan.wires.len());
        let place = self.rng.usize(0..self.plan.wires[wire].ends.len());
        match self.rng.u8(0..20) {
            0..=2 => {
                let up = !self.plan.wires[wire].ends[place].carrier;
                self.cable(wire, up);
            }
            3 => {
                let up = !self.plan.wires[wire].ends[place].carrier;
                self.carrier(wire, place, up);
            }
            4..=6 => self.tear(wire),
            7..=9 => {
                let cost = random_cost(&mut self.rng);
                let end = &mut self.plan.wires[wire].ends[place];
                end.cost = cost;
                let owner = end.router;
                self.record((wire, place, cost), || format!("r{owner} wire {wire} costs {cost}"));
                self.reconfigure(owner);
            }
            10 | 11 if alive => self.crash(router, false),
            10 | 11 => self.boot(router, None),
            // It is back before anybody has noticed.
            12 if alive => {
                self.crash(router, false);
                let pause = Duration::from_millis(self.rng.u64(0..5_000));
                self.run_for(pause);
                self.boot(router, None);
            }
            13 if alive => {
                let on = !self.plan.routers[router].drained;
                self.drain(router, on);
            }
            14..=16 => self.bring(router),
            17 => {
                let priority = self.rng.u8(0..3);
                let end = &mut self.plan.wires[wire].ends[place];
                end.priority = priority;
                let owner = end.router;
                self.record((wire, place, priority), || format!("r{owner} wire {wire} priority {priority}"));
                self.reconfigure(owner);
            }
            18 => {
                let (loss, twice, jitter) = (self.rng.u8(0..12), self.rng.u8(0..20), self.rng.u64(0..20_000));
                let held = &mut self.plan.wires[wire];
                (held.loss, held.twice, held.jitter) = (loss, twice, Duration::from_micros(jitter));
            }
            _ => self.flap(wire),
        }
    }

    /// Silence: who is on a wire hears only some of the others.
    fn tear(&mut self, wire: usize) {
        let whole = self.plan.wires[wire].ends.iter().all(|end| end.part == 0);
        let parts: Vec<u8> =
            self.plan.wires[wire].ends.iter().map(|_| if whole { self.rng.u8(0..2) } else { 0 }).collect();
        self.part(wire, &parts);
    }

    /// A cable that comes and goes.
    fn flap(&mut self, wire: usize) {
        for _ in 0..self.rng.usize(1..6) {
            let up = !self.plan.wires[wire].ends[0].carrier;
            self.cable(wire, up);
            let pause = Duration::from_millis(self.rng.u64(0..400));
            self.run_for(pause);
        }
    }

    /// What somebody brings in, or serves, changes, goes, or comes back.
    fn bring(&mut self, router: usize) {
        let owners: Vec<usize> = (0..self.nodes.len())
            .filter(|owner| {
                let held = &self.plan.routers[*owner];
                !held.externals.is_empty() || !held.services.is_empty()
            })
            .collect();
        let Some(owner) = owners.get(router % owners.len().max(1)).copied() else { return };
        let held = &self.plan.routers[owner];
        let (externals, services) = (held.externals.clone(), held.services.clone());
        let which = self.rng.usize(0..externals.len() + services.len());
        if let Some((prefix, _)) = externals.iter().nth(which) {
            let route = random_external(&mut self.rng);
            return self.redistribute(owner, *prefix, Some(route));
        }
        let Some((prefix, route)) = services.iter().nth(which - externals.len()) else { return };
        // Withdrawn, and back: both at once or with time between them.
        self.service(owner, *prefix, None);
        let pause = Duration::from_millis(self.rng.u64(0..3_000));
        self.run_for(pause);
        let changed = match route {
            ServiceRoute::Stub { .. } => ServiceRoute::Stub { metric: random_cost(&mut self.rng) },
            ServiceRoute::External(_) => ServiceRoute::External(random_external(&mut self.rng)),
        };
        self.service(owner, *prefix, Some(changed));
    }
}
