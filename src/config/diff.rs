//! What a reload changes. A part that is equal is not touched; a part that cannot be changed while running refuses the whole
//! reload, which is carried out whole or not at all.

use std::collections::BTreeMap;

use bgpd::config::NeighborConfig;
use bgpd::speaker::{Effect, effect};

use super::model::Model;

/// A neighbor's name, and what there is to know of it; for a range also how many.
fn named(model: &Model) -> BTreeMap<String, (&NeighborConfig, u32)> {
    let single = model.speaker.neighbors.iter().map(|neighbor| (name(neighbor), (neighbor, 0)));
    let ranges = model.speaker.ranges.iter().map(|range| (range.range.to_string(), (&range.template, range.limit)));
    single.chain(ranges).collect()
}

/// The versions of OSPF that are spoken.
fn versions(model: &Model) -> Vec<ospfd::Version> {
    model.ospf.iter().flat_map(|ospf| &ospf.versions).map(|config| config.version).collect()
}

/// `10.0.0.1`, `fe80::1%eth0`, or `eth0` for whoever is found there.
fn name(neighbor: &NeighborConfig) -> String {
    match &neighbor.interface {
        None => neighbor.address.to_string(),
        Some(interface) if neighbor.address.is_unspecified() => interface.to_string(),
        Some(interface) => format!("{}%{interface}", neighbor.address),
    }
}

/// The parts that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Neighbors, policies or the speaker itself.
    pub speaker: bool,
    /// What is redistributed.
    pub redistribute: bool,
    /// What OSPF is told.
    pub ospf: bool,
    /// Static routes.
    pub statics: bool,
    /// Services or the withdrawal budget.
    pub services: bool,
    /// The log's level or format.
    pub log: bool,
    /// What is done to neighbors that stay, by name; those that nothing is done to are not here.
    pub effects: Vec<(String, Effect)>,
    /// What people are told, one line per change.
    pub lines: Vec<String>,
    /// Keys that cannot be changed without a restart.
    pub restart: Vec<&'static str>,
}

impl Diff {
    /// What leads from `old` to `new`.
    #[must_use]
    pub fn between(old: &Model, new: &Model) -> Self {
        let mut diff = Self {
            speaker: old.speaker != new.speaker,
            redistribute: old.bgp.redistribute != new.bgp.redistribute,
            statics: old.statics != new.statics,
            ospf: old.ospf != new.ospf,
            services: old.services != new.services || old.withdrawal_budget != new.withdrawal_budget,
            log: old.log != new.log,
            ..Self::default()
        };
        diff.neighbors(old, new);
        diff.other_lines(old, new);
        for (key, same) in [
            ("node", old.node == new.node),
            ("api.listen", old.api == new.api),
            ("bgp.listen", old.bgp.listen == new.bgp.listen),
            // Another version, or none, is another instance.
            ("ospf (a version that begins or ends)", versions(old) == versions(new)),
            ("fib", old.fib == new.fib),
            ("rib.distance", old.distances == new.distances),
            ("log.format", old.log.format == new.log.format),
        ] {
            if !same {
                diff.restart.push(key);
            }
        }
        diff
    }

    fn neighbors(&mut self, old: &Model, new: &Model) {
        let (before, now) = (named(old), named(new));
        for (name, neighbor) in &now {
            match before.get(name) {
                None => self.lines.push(format!("neighbor {name} added")),
                Some(before) => {
                    let effect = effect((&old.speaker, before.0), (&new.speaker, neighbor.0));
                    if before != neighbor {
                        let said = match effect {
                            Some(Effect::Reset) => ", which resets its session",
                            Some(Effect::Refresh) => ", which asks it for its routes again",
                            Some(Effect::Live) | None => "",
                        };
                        self.lines.push(format!("neighbor {name} changed{said}"));
                    }
                    self.effects.extend(effect.map(|effect| (name.clone(), effect)));
                }
            }
        }
        for name in before.keys().filter(|name| !now.contains_key(*name)) {
            self.lines.push(format!("neighbor {name} removed"));
        }
    }

    fn other_lines(&mut self, old: &Model, new: &Model) {
        if old.speaker.policies != new.speaker.policies {
            self.lines.push("policies changed".to_owned());
        }
        if self.redistribute {
            self.lines.push("redistribution changed".to_owned());
        }
        if self.ospf {
            self.lines.push("OSPF changed".to_owned());
        }
        if self.statics {
            self.lines.push(format!("static routes changed ({} before, {} now)", old.statics.len(), new.statics.len()));
        }
        for service in &new.services {
            match old.services.iter().find(|before| before.name == service.name) {
                None => self.lines.push(format!("service {} added", service.name)),
                Some(before) if before != service => self.lines.push(format!("service {} changed", service.name)),
                Some(_) => {}
            }
        }
        for service in &old.services {
            if !new.services.iter().any(|after| after.name == service.name) {
                self.lines.push(format!("service {} removed", service.name));
            }
        }
        if self.log {
            self.lines.push("log changed".to_owned());
        }
    }

    /// True if nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.restart.is_empty() && !self.speaker && !self.services
    }
}
