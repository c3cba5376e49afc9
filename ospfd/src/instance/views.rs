//! Answers to questions: rows copied out of the machine.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::interface::Interface;
use crate::lsdb::Home;
use crate::neighbor::NeighborState;
use crate::view::{InterfaceView, LsaView, NeighborView, Query, SummaryView, View};

use super::{Instance, Timer};

impl Instance {
    /// Answers `query` as of `now`.
    #[must_use]
    pub fn view(&self, now: Instant, query: Query) -> View {
        match query {
            Query::Interfaces => {
                View::Interfaces(self.interfaces.values().map(|held| self.interface_view(held)).collect())
            }
            Query::Neighbors => {
                let mut rows: Vec<NeighborView> =
                    self.each_neighbor().filter_map(|(number, _)| self.neighbor_view(now, number)).collect();
                rows.sort_by_key(|row| (row.interface, row.router, row.address));
                View::Neighbors(rows)
            }
            Query::Lsdb { area, kind, adv } => {
                let mut rows: Vec<LsaView> = self
                    .db
                    .iter()
                    .filter(|(_, entry)| kind.is_none_or(|kind| entry.key.kind == kind))
                    .filter(|(_, entry)| adv.is_none_or(|adv| entry.key.adv == adv))
                    .map(|(_, entry)| {
                        let (area, interface) = match entry.home {
                            Home::As => (None, None),
                            Home::Area(area) => (Some(area), None),
                            Home::Link(id) => (self.interfaces.get(&id).map(Interface::area), Some(id)),
                        };
                        let raw = Bytes::copy_from_slice(&entry.raw);
                        LsaView { area, interface, header: self.db.header(now, entry), own: entry.own, raw }
                    })
                    .filter(|row| area.is_none() || row.area == area)
                    .collect();
                rows.sort_by_key(|row| {
                    (row.area, row.interface, row.header.key.kind, row.header.key.id, row.header.key.adv)
                });
                View::Lsdb(rows)
            }
            Query::Spf(area) => View::Spf(self.spf_view(area)),
            Query::Summary => View::Summary(Box::new(self.summary_view(now))),
        }
    }

    fn interface_view(&self, held: &Interface) -> InterfaceView {
        let config = &held.config;
        InterfaceView {
            id: held.id,
            name: held.link.name.clone(),
            area: held.area(),
            network: (!held.is_virtual()).then_some(config.network),
            state: held.state,
            address: held.source(self.version),
            cost: held.cost,
            mtu: held.link.mtu,
            priority: config.priority,
            passive: config.passive,
            dr: held.dr,
            bdr: held.bdr,
            hello_interval: config.hello_interval,
            dead_interval: config.dead_interval,
            neighbors: self.neighbors_on(held).filter(|neighbor| neighbor.state >= NeighborState::Init).count(),
            full: self.neighbors_on(held).filter(|neighbor| neighbor.state == NeighborState::Full).count(),
            drops: held.drops.rows(),
            obstacle: held.obstacle.clone().filter(|_| held.up),
        }
    }

    fn neighbor_view(&self, now: Instant, number: u32) -> Option<NeighborView> {
        let held = self.neighbor(number)?;
        let interface = self.interfaces.get(&held.interface)?;
        let dead_in =
            self.timers.at(Timer::Inactivity(number)).map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        Some(NeighborView {
            interface: held.interface,
            interface_name: interface.link.name.clone(),
            area: interface.area(),
            router: held.router,
            address: held.address,
            state: held.state,
            age: now.saturating_duration_since(held.since),
            priority: held.priority,
            dr: held.dr,
            bdr: held.bdr,
            dead_in,
            unacknowledged: held.unacked,
            requested: held.requests.len(),
            helping: held.help.is_some(),
            ups: held.ups,
            retransmissions: held.retransmissions,
            stuck: self.stuck_reason(now, number),
        })
    }

    fn summary_view(&self, now: Instant) -> SummaryView {
        let role = self.role();
        let mut problems: Vec<String> = Vec::new();
        for (number, held) in self.each_neighbor() {
            if let Some(reason) = self.stuck_reason(now, number) {
                let name = self.interfaces.get(&held.interface).map_or("", |interface| interface.link.name.as_str());
                problems.push(format!("neighbor {} at {} on {name}: {reason}", held.router, held.address));
            }
        }
        for interface in self.interfaces.values() {
            if let Some(obstacle) = interface.obstacle.as_ref().filter(|_| interface.up) {
                problems.push(format!("{}: {obstacle}", interface.link.name));
            }
        }
        for which in &self.limited {
            problems.push(format!("LSAs were refused: ospf.limits.{which} is reached"));
        }
        SummaryView {
            lsas: self.db.len(),
            full: self.each_neighbor().filter(|(_, held)| held.state == NeighborState::Full).count(),
            neighbors: self.each_neighbor().filter(|(_, held)| held.state >= NeighborState::Init).count(),
            border: role.border,
            external: role.external,
            max_metric: self.max_metric(),
            restarting: self.resuming(),
            originated: self.stats.originated,
            installed: self.stats.installed,
            drops: self.drops.rows(),
            problems,
        }
    }
}
