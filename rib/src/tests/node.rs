//! A node under test: the machine, one mirror per data plane, and short words for routes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::message::{Input, Output, Reachability, RouteView, Verdict};
use crate::*;

pub(super) fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

pub(super) fn addr(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(super) const ETH0: IfIndex = IfIndex(2);
pub(super) const ETH1: IfIndex = IfIndex(3);

pub(super) fn via(text: &str) -> NextHop {
    NextHop::via(addr(text))
}

pub(super) fn route(protocol: Protocol, next_hops: NextHopSet) -> Route {
    Route { protocol, distance: protocol.default_distance(), metric: Metric(0), tag: 0, next_hops }
}

pub(super) fn ecmp(hops: &[NextHop]) -> NextHopSet {
    NextHopSet::new(hops.iter().map(|hop| Leg::from(*hop))).expect("legs")
}

/// What a data plane would hold: deltas applied in order, with the rules of their order asserted.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    pub(super) routes: BTreeMap<IpNet, NextHopId>,
    pub(super) objects: BTreeMap<NextHopId, Forwarding>,
    pub(super) through: u64,
    pub(super) route_writes: usize,
    pub(super) object_writes: usize,
    pub(super) walks_done: usize,
}

impl Mirror {
    pub(super) fn apply(&mut self, delta: &FibDelta) {
        let mut seen = std::collections::BTreeSet::new();
        for op in &delta.next_hops {
            self.object_writes += 1;
            self.objects.insert(op.id, op.forwarding.clone().expect("removals go by `unused`"));
        }
        for route in &delta.routes {
            assert!(seen.insert(route.prefix), "{} twice in one batch", route.prefix);
            match route.next_hop {
                Some(id) => {
                    self.route_writes += 1;
                    assert!(self.objects.contains_key(&id), "{} uses {id:?} before it was written", route.prefix);
                    self.routes.insert(route.prefix, id);
                }
                None => self.route_writes += usize::from(self.routes.remove(&route.prefix).is_some()),
            }
        }
        for id in &delta.unused {
            assert!(!self.routes.values().any(|used| used == id), "{id:?} removed while in use");
            assert!(self.objects.remove(id).is_some(), "{id:?} removed but never written");
        }
        assert!(delta.through >= self.through, "the position never goes back");
        self.through = delta.through;
        self.walks_done += usize::from(delta.walk_done);
    }

    /// How a packet to exactly this prefix is forwarded.
    pub(super) fn forwarding(&self, prefix: &str) -> Option<&Forwarding> {
        self.routes.get(&net(prefix)).map(|id| &self.objects[id])
    }
}

pub(super) struct Node {
    pub(super) rib: Rib,
    pub(super) out: Vec<Output>,
    now: Instant,
}

impl Node {
    pub(super) fn new() -> Self {
        Self::with_journal(1 << 16)
    }

    #[allow(clippy::disallowed_methods, reason = "a test is a carrier: it gives the machine its time")]
    pub(super) fn with_journal(journal_max_entries: usize) -> Self {
        Self { rib: Rib::new(RibConfig { journal_max_entries }), out: Vec::new(), now: Instant::now() }
    }

    /// A node with two links that are up: 10.0.0.0/24 and 2001:db8:a::/64 on eth0, 10.0.1.0/24 on eth1.
    pub(super) fn with_links() -> Self {
        Self::with_backends(0)
    }

    /// The same, with so many data planes from the beginning.
    pub(super) fn with_backends(count: u8) -> Self {
        let mut node = Self::new();
        (0..count).for_each(|number| node.rib.add_backend(BackendId(number)));
        node.link(ETH0, true).link(ETH1, true);
        node.connect("10.0.0.0/24", ETH0).connect("10.0.1.0/24", ETH1).connect("2001:db8:a::/64", ETH0);
        node
    }

    pub(super) fn give(&mut self, input: Input) -> &mut Self {
        self.now += Duration::from_millis(1);
        self.rib.handle(self.now, input, &mut self.out);
        self
    }

    pub(super) fn settle(&mut self) -> &mut Self {
        let mut calls = 0;
        while self.rib.has_work() {
            self.give(Input::Work);
            calls += 1;
            assert!(calls < 1_000_000, "work never ends");
        }
        self
    }

    pub(super) fn link(&mut self, index: IfIndex, up: bool) -> &mut Self {
        self.give(Input::Interface { index, up }).settle()
    }

    pub(super) fn connect(&mut self, prefix: &str, index: IfIndex) -> &mut Self {
        self.add(Source::Connected, prefix, route(Protocol::Connected, NextHop::Interface(index).into()))
    }

    pub(super) fn add(&mut self, source: Source, prefix: &str, route: Route) -> &mut Self {
        let mut batch = RouteBatch::new(source);
        batch.add(net(prefix), route);
        self.give(Input::Routes(batch)).settle()
    }

    pub(super) fn remove(&mut self, source: Source, prefix: &str) -> &mut Self {
        let mut batch = RouteBatch::new(source);
        batch.remove(net(prefix));
        self.give(Input::Routes(batch)).settle()
    }

    pub(super) fn static_route(&mut self, prefix: &str, hop: NextHop) -> &mut Self {
        self.add(Source::Static, prefix, route(Protocol::Static, hop.into()))
    }

    pub(super) fn bgp(&mut self, prefix: &str, gateway: &str) -> &mut Self {
        self.add(Source::Bgp, prefix, route(Protocol::Ebgp, via(gateway).into()))
    }

    /// A table of `count` /24s from 100.0.0.0 on.
    pub(super) fn bgp_table(&mut self, count: u32, gateway: &str) -> &mut Self {
        let mut batch = RouteBatch::new(Source::Bgp);
        for number in 0..count {
            batch.add(many(number), route(Protocol::Ebgp, via(gateway).into()));
        }
        self.give(Input::Routes(batch)).settle()
    }

    pub(super) fn track(&mut self, client: Source, addrs: &[&str]) -> &mut Self {
        let add = addrs.iter().map(|text| addr(text)).collect();
        self.give(Input::Track { client, add, remove: Vec::new() })
    }

    pub(super) fn get(&self, prefix: &str) -> Option<RouteView> {
        self.rib.get(net(prefix))
    }

    pub(super) fn lookup(&self, text: &str) -> Option<RouteView> {
        self.rib.lookup(addr(text))
    }

    pub(super) fn best_source(&self, prefix: &str) -> Option<Source> {
        self.get(prefix).map(|view| view.source)
    }

    pub(super) fn verdicts(&self, prefix: &str) -> Vec<(Source, Verdict)> {
        self.rib.candidates(net(prefix)).into_iter().map(|cand| (cand.source, cand.verdict)).collect()
    }

    /// The interface and gateway of every leg, in order.
    pub(super) fn legs(&self, prefix: &str) -> Vec<(u32, Option<IpAddr>, u16)> {
        match self.get(prefix).map(|view| view.forwarding) {
            Some(Forwarding::Legs(legs)) => legs.iter().map(|leg| (leg.interface.0, leg.gateway, leg.weight)).collect(),
            _ => Vec::new(),
        }
    }

    /// What `client` has been told since the last time, the latest word on each address.
    pub(super) fn reaches(&mut self, client: Source) -> BTreeMap<IpAddr, Option<message::Reach>> {
        let mut told = BTreeMap::new();
        self.out.retain(|output| match output {
            Output::Reach { client: to, states } if *to == client => {
                told.extend(states.iter().map(|Reachability { addr, reach }| (*addr, *reach)));
                false
            }
            _ => true,
        });
        told
    }

    /// Pulls everything into `mirror`, and answers if `ack`.
    pub(super) fn pull(&mut self, backend: u8, mirror: &mut Mirror, ack: bool) -> &mut Self {
        let mut delta = FibDelta::default();
        loop {
            let more = self.rib.pull_fib(BackendId(backend), 64, &mut delta);
            mirror.apply(&delta);
            if ack {
                self.ack(backend, delta.through);
            }
            if !more {
                break;
            }
        }
        self
    }

    pub(super) fn ack(&mut self, backend: u8, through: u64) -> &mut Self {
        let backend = BackendId(backend);
        self.give(Input::Fib(FibProgress { backend, through, failed: Vec::new(), recovered: Vec::new() }))
    }
}

pub(super) fn many(number: u32) -> IpNet {
    let base = u32::from(std::net::Ipv4Addr::new(100, 0, 0, 0));
    IpNet::new(std::net::Ipv4Addr::from(base + (number << 8)).into(), 24).expect("a /24")
}
