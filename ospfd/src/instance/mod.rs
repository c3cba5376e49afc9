//! One OSPF instance: one version, all its areas. A machine without sockets, clock and randomness.
//!
//! | question | room |
//! |---|---|
//! | what comes up, goes down, is configured? | `links` |
//! | whom is a packet from, and for which machine? | `receive`, `transmit` |
//! | who is there, who is designated? | `hello` |
//! | how does an adjacency come and go? | `adjacency`, `exchange` |
//! | who gets which LSA, who has acknowledged? | [`crate::flood`] |
//! | what do we say ourselves? | [`crate::originate`] |
//! | where does it lead? | `routing` |
//! | what is the state? | `views` |

mod adjacency;
mod codec;
mod exchange;
mod hello;
mod links;
mod receive;
pub(crate) mod routing;
#[cfg(test)]
mod tests;
mod transmit;
mod views;
pub(crate) mod virtual_link;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::auth::Sequence;
use crate::config::{AreaConfig, AreaKind, InstanceConfig};
use crate::drops::{Drop, Drops};
use crate::flood::Flushing;
use crate::id::{AreaId, InterfaceId, RouterId, Version};
use crate::interface::Interface;
use crate::lsdb::Lsdb;
use crate::lsdb::tombs::Tombs;
use crate::message::{Alarm, ExternalRoute, Input, Link, Outbox, Output, ServiceRoute};
use crate::neighbor::Neighbor;
use crate::originate::Own;
use crate::restart::Restart;
use crate::routes::Routes;
use crate::timers::Timers;
use routing::Routing;

/// Names of things that happen later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The next hello of an interface.
    Hello(InterfaceId),
    /// Waiting for a Designated Router ends.
    Wait(InterfaceId),
    /// Acknowledgments have waited for company long enough.
    Acks(InterfaceId),
    /// Silent NBMA neighbors are asked again.
    Poll(InterfaceId),
    /// A neighbor has been silent for too long.
    Inactivity(u32),
    /// A database description was not answered.
    Description(u32),
    /// Requests were not answered.
    Requests(u32),
    /// LSAs were not acknowledged.
    Retransmit(u32),
    /// A neighbor's grace period ends.
    Grace(u32),
    /// Max-metric at startup ends.
    Startup,
    /// Our own grace period ends.
    Restart,
    /// Externals of our last life are flushed if nobody told them again.
    Sweep,
    /// The carrier may stop though not everybody acknowledged our grace-LSAs.
    RestartReady,
    /// Stuck adjacencies are looked at.
    Stuck,
}

/// An area we are in.
#[derive(Debug)]
pub(crate) struct Area {
    pub(crate) config: AreaConfig,
}

/// Counts for the summary.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) originated: u64,
    pub(crate) installed: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Instance {
    pub(crate) config: InstanceConfig,
    pub(crate) version: Version,
    pub(crate) router: RouterId,
    pub(crate) rng: fastrand::Rng,
    pub(crate) sequence: Sequence,
    pub(crate) areas: BTreeMap<AreaId, Area>,
    /// Every link of the machine, configured or not.
    pub(crate) links: BTreeMap<InterfaceId, (Link, bool)>,
    pub(crate) interfaces: BTreeMap<InterfaceId, Interface>,
    pub(crate) neighbors: Vec<Option<Neighbor>>,
    pub(crate) db: Lsdb,
    pub(crate) timers: Timers<Timer>,
    pub(crate) own: Own,
    pub(crate) flushing: Flushing,
    pub(crate) tombs: Tombs,
    /// Interfaces with LSAs or acknowledgments to send.
    pub(crate) busy: BTreeSet<InterfaceId>,
    pub(crate) externals: BTreeMap<IpNet, ExternalRoute>,
    pub(crate) services: BTreeMap<IpNet, ServiceRoute>,
    pub(crate) routing: Routing,
    pub(crate) restart: Restart,
    pub(crate) draining: bool,
    pub(crate) stopping: bool,
    pub(crate) watched: bool,
    pub(crate) drops: Drops,
    pub(crate) stats: Stats,
    /// Limits that LSAs are refused for, each said once.
    pub(crate) limited: BTreeSet<&'static str>,
    /// Alarms by their text, with the time they were last raised.
    raised: BTreeMap<String, Instant>,
}

/// The same alarm is not raised again within this time.
const ALARM_PAUSE: Duration = Duration::from_secs(60);
/// Alarms remembered for that; more are raised without a pause.
const ALARMS_MAX: usize = 256;
/// Rounds of origination and route calculation within one call; more of them wait for the next tick.
const ROUNDS_MAX: usize = 8;

impl Instance {
    /// An instance that knows its configuration and no link yet.
    #[must_use]
    pub fn new(now: Instant, config: InstanceConfig) -> Self {
        let mut instance = Self {
            version: config.version,
            router: config.router_id,
            rng: fastrand::Rng::with_seed(config.seed),
            sequence: Sequence::new(now, config.boot_count),
            areas: BTreeMap::new(),
            links: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            neighbors: Vec::new(),
            db: Lsdb::new(now),
            timers: Timers::new(),
            own: Own::default(),
            flushing: Flushing::default(),
            tombs: Tombs::default(),
            busy: BTreeSet::new(),
            externals: BTreeMap::new(),
            services: BTreeMap::new(),
            routing: Routing::new(now, Routes::new(config.version, config.router_id)),
            restart: Restart::default(),
            draining: false,
            stopping: false,
            watched: false,
            drops: Drops::default(),
            stats: Stats::default(),
            limited: BTreeSet::new(),
            raised: BTreeMap::new(),
            config,
        };
        if !instance.config.max_metric.on_startup.is_zero() {
            instance.timers.set(Timer::Startup, now + instance.config.max_metric.on_startup);
        }
        instance.begin_resume(now);
        instance.apply_areas();
        // No link is known yet: there is nothing to send.
        instance.apply_virtual_links(now, &mut Outbox::default());
        instance
    }

    /// Takes what happened at `now`, and appends what is to be done.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Outbox) {
        self.sequence.tick(now);
        match input {
            Input::Packet { interface, src, dst, ttl, bytes } => {
                self.on_packet(now, interface, src, dst, ttl, &bytes, out);
            }
            Input::InterfaceUp(link) => self.on_link(now, link, true, out),
            Input::InterfaceDown(id) => self.on_link_down(now, id, out),
            Input::AddressesChanged(link) => {
                let up = self.links.get(&link.id).is_some_and(|(_, up)| *up);
                self.on_link(now, link, up, out);
            }
            Input::Redistribute(routes) => self.on_redistribute(routes),
            Input::Service { prefix, announce } => self.on_service(prefix, announce),
            Input::Drain(on) => {
                self.draining = on;
                self.own.dirty_routers();
            }
            Input::Config(config) => self.on_config(now, *config, out),
            Input::BfdDown { interface, address } => self.on_bfd_down(now, interface, address, out),
            Input::Tick => {}
            Input::Shutdown => self.on_shutdown(now, out),
            Input::PrepareRestart => self.on_prepare_restart(now, out),
            Input::WatchLsdb(on) => self.watched = on,
        }
        self.run_timers(now, out);
        self.settle(now, out);
    }

    /// When [`Input::Tick`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let own = self.own.deadline().filter(|_| !self.stopping && !self.resuming());
        let routing = self.routing.deadline().filter(|_| !self.stopping && !self.awaits_neighbors());
        [self.timers.next(), self.db.deadline(), own, routing].into_iter().flatten().min()
    }

    fn run_timers(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Hello(id) => self.on_hello_timer(now, id, out),
                Timer::Wait(id) => self.on_wait_timer(now, id, out),
                Timer::Acks(id) => self.flush_acks(id, out),
                Timer::Poll(id) => self.on_poll_timer(now, id, out),
                Timer::Inactivity(number) => self.on_inactivity(now, number, out),
                Timer::Description(number) => self.on_description_timer(now, number, out),
                Timer::Requests(number) => self.on_requests_timer(now, number, out),
                Timer::Retransmit(number) => self.on_retransmit_timer(now, number, out),
                Timer::Grace(number) => self.end_help(now, number, "its grace period is over", out),
                Timer::Startup => self.own.dirty_routers(),
                Timer::Restart => self.end_restart(now, "the grace period is over", out),
                Timer::Sweep => self.on_sweep_timer(),
                Timer::RestartReady => self.on_restart_ready(out),
                Timer::Stuck => self.on_stuck_timer(now, out),
            }
        }
        self.on_aged(now, out);
    }

    /// Does what follows: own LSAs that changed are originated, routes calculated, everything is sent.
    fn settle(&mut self, now: Instant, out: &mut Outbox) {
        for _ in 0..ROUNDS_MAX {
            let originated = self.originate_due(now, out);
            let calculated = self.calculate(now, out);
            if !originated && !calculated {
                break;
            }
        }
        self.flush_busy(now, out);
        self.reap_flushed(now, out);
    }

    pub(crate) fn neighbor(&self, number: u32) -> Option<&Neighbor> {
        self.neighbors.get(number as usize)?.as_ref()
    }

    pub(crate) fn neighbor_mut(&mut self, number: u32) -> Option<&mut Neighbor> {
        self.neighbors.get_mut(number as usize)?.as_mut()
    }

    /// All neighbors with their numbers.
    pub(crate) fn each_neighbor(&self) -> impl Iterator<Item = (u32, &Neighbor)> {
        self.neighbors.iter().enumerate().filter_map(|(index, neighbor)| {
            neighbor.as_ref().map(|neighbor| (u32::try_from(index).unwrap_or(u32::MAX), neighbor))
        })
    }

    /// The neighbors of an interface.
    pub(crate) fn neighbors_on<'a>(&'a self, interface: &'a Interface) -> impl Iterator<Item = &'a Neighbor> {
        interface.neighbors.iter().filter_map(|number| self.neighbor(*number))
    }

    pub(crate) fn area_kind(&self, area: AreaId) -> AreaKind {
        self.areas.get(&area).map_or(AreaKind::Normal, |area| area.config.kind)
    }

    /// We ask others to route around us now (RFC 6987).
    pub(crate) fn max_metric(&self) -> bool {
        (self.draining && self.config.max_metric.on_drain) || self.timers.at(Timer::Startup).is_some()
    }

    /// Counts a dropped packet or LSA.
    pub(crate) fn drop_on(&mut self, interface: InterfaceId, reason: Drop) {
        self.drops.count(reason);
        if let Some(interface) = self.interfaces.get_mut(&interface) {
            interface.drops.count(reason);
        }
    }

    /// Raises `alarm` unless it was raised a short time ago.
    pub(crate) fn raise(&mut self, now: Instant, alarm: Alarm, out: &mut Outbox) {
        let text = format!("{alarm:?}");
        if self.raised.get(&text).is_some_and(|last| now < *last + ALARM_PAUSE) {
            return;
        }
        if self.raised.len() >= ALARMS_MAX {
            self.raised.retain(|_, last| now < *last + ALARM_PAUSE);
        }
        if self.raised.len() < ALARMS_MAX {
            self.raised.insert(text, now);
        }
        out.push(Output::Alarm(alarm));
    }
}
