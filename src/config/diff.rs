//! What a reload changes. A part that is equal is not touched; a part that cannot be changed while running refuses the whole
//! reload, which is carried out whole or not at all.

use super::model::Model;

/// The parts that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Neighbors, policies or the speaker itself.
    pub speaker: bool,
    /// What is redistributed.
    pub redistribute: bool,
    /// Static routes.
    pub statics: bool,
    /// Services or the withdrawal budget.
    pub services: bool,
    /// The log's level or format.
    pub log: bool,
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
        for neighbor in &new.speaker.neighbors {
            let address = neighbor.address;
            match old.speaker.neighbors.iter().find(|before| before.address == address) {
                None => self.lines.push(format!("neighbor {address} added")),
                Some(before) if before != neighbor => self.lines.push(format!("neighbor {address} changed")),
                Some(_) => {}
            }
        }
        for neighbor in &old.speaker.neighbors {
            if !new.speaker.neighbors.iter().any(|after| after.address == neighbor.address) {
                self.lines.push(format!("neighbor {} removed", neighbor.address));
            }
        }
    }

    fn other_lines(&mut self, old: &Model, new: &Model) {
        if old.speaker.policies != new.speaker.policies {
            self.lines.push("policies changed".to_owned());
        }
        if self.redistribute {
            self.lines.push("redistribution changed".to_owned());
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
