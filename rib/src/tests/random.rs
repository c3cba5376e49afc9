//! A hundred thousand random operations against a naive model: linear scans, nothing remembered, nothing incremental.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fastrand::Rng;
use ipnet::IpNet;

use super::node::*;
use crate::message::{FibState, Input, Verdict};
use crate::*;

/// What the second watcher sees.
const SOME: Sources = Sources::of(&[Source::Static, Source::OspfV2, Source::OspfV3]);
const INTERFACES: [IfIndex; 3] = [IfIndex(2), IfIndex(3), IfIndex(4)];

/// Where packets leave: interface, gateway, onlink.
type Exit = (IfIndex, Option<IpAddr>, bool);

/// What a naive resolution says of a set: nothing, or the legs with their weights.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Legs(BTreeMap<Exit, u128>),
    Discard(Discard),
    Local,
}

impl Way {
    fn of(forwarding: &Forwarding) -> Self {
        match forwarding {
            Forwarding::Legs(legs) => {
                let exit = |leg: &ResolvedLeg| ((leg.interface, leg.gateway, leg.onlink), u128::from(leg.weight));
                Self::Legs(legs.iter().map(exit).collect())
            }
            Forwarding::Discard(how) => Self::Discard(*how),
            Forwarding::Local => Self::Local,
        }
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The rule of weights, in fractions: each leg's share of its set goes to what it resolved to in proportion; equal exits are one.
/// Whenever something was divided or joined the weights are brought to lowest terms; above 256 they are rounded to have
/// 256 as the greatest and 1 as the least.
fn share(parts: &[(u128, BTreeMap<Exit, u128>)]) -> BTreeMap<Exit, u128> {
    let divided = parts.iter().any(|(_, exits)| exits.len() > 1);
    let total = |exits: &BTreeMap<Exit, u128>| if divided { exits.values().sum() } else { 1 };
    let common = parts.iter().map(|(_, exits)| total(exits)).fold(1, |a, b| a / gcd(a, b) * b);
    let mut shares = BTreeMap::new();
    let mut joined = false;
    for (weight, exits) in parts {
        for (exit, part) in exits {
            let amount = weight * if divided { *part } else { 1 } * (common / total(exits));
            joined |= shares.contains_key(exit);
            *shares.entry(*exit).or_insert(0) += amount;
        }
    }
    if divided || joined {
        let divisor = shares.values().copied().fold(0, gcd);
        shares.values_mut().for_each(|amount| *amount /= divisor);
    }
    let greatest = shares.values().copied().max().unwrap_or(1);
    if greatest > 256 {
        shares.values_mut().for_each(|amount| *amount = ((*amount * 256 + greatest / 2) / greatest).max(1));
    }
    shares.into_iter().take(64).collect()
}

/// The table as the rules say, not as a program would keep it.
#[derive(Debug, Default)]
struct Model {
    routes: BTreeMap<IpNet, BTreeMap<Source, Route>>,
    up: BTreeSet<IfIndex>,
}

impl Model {
    fn apply(&mut self, source: Source, prefix: IpNet, route: Option<Route>) {
        let at = self.routes.entry(prefix).or_default();
        match route {
            Some(route) => at.insert(source, route),
            None => at.remove(&source),
        };
        if at.is_empty() {
            self.routes.remove(&prefix);
        }
    }

    /// Covering prefixes, longest first.
    fn covers(&self, addr: IpAddr) -> Vec<IpNet> {
        let mut covers: Vec<_> = self.routes.keys().copied().filter(|net| net.contains(&addr)).collect();
        covers.sort_by_key(|net| std::cmp::Reverse(net.prefix_len()));
        covers
    }

    fn candidates(&self, prefix: IpNet) -> Vec<(Source, &Route)> {
        let mut all: Vec<_> = self.routes.get(&prefix).into_iter().flatten().map(|(s, r)| (*s, r)).collect();
        all.sort_by_key(|(source, route)| (route.distance, route.metric, *source));
        all
    }

    /// The way of a set, and how far up the chain a loop came back to. `None` as a whole: too tangled to say.
    fn set(&self, set: &NextHopSet, chain: &mut Vec<NextHopSet>, steps: &mut u32) -> (Option<Way>, usize) {
        let depth = chain.len();
        chain.push(set.clone());
        let mut lowest = usize::MAX;
        let mut ways = Vec::new();
        for leg in set.legs() {
            let (way, low) = self.leg(&leg.next_hop, chain, steps);
            lowest = lowest.min(low);
            ways.extend(way.map(|way| (u128::from(leg.weight()), way)));
        }
        chain.pop();
        let mut parts = Vec::new();
        for (weight, way) in &ways {
            if let Way::Legs(exits) = way {
                parts.push((*weight, exits.clone()));
            }
        }
        let way = if !parts.is_empty() {
            Some(Way::Legs(share(&parts)))
        } else {
            let mut others = ways.iter().map(|(_, way)| way);
            others.clone().find(|way| matches!(way, Way::Discard(_))).or(others.next()).cloned()
        };
        (way, if lowest >= depth { usize::MAX } else { lowest })
    }

    fn leg(&self, next_hop: &NextHop, chain: &mut Vec<NextHopSet>, steps: &mut u32) -> (Option<Way>, usize) {
        let none = usize::MAX;
        let one = |interface, gateway, onlink| Some(Way::Legs([((interface, gateway, onlink), 1)].into()));
        match *next_hop {
            NextHop::Discard(how) => (Some(Way::Discard(how)), none),
            NextHop::Local => (Some(Way::Local), none),
            NextHop::Interface(index) => (self.up.contains(&index).then(|| one(index, None, false)).flatten(), none),
            NextHop::Gateway { addr, interface: Some(index), onlink } => {
                let direct = NextHop::Interface(index);
                let is_direct = |route: &Route| route.next_hops.legs().iter().any(|leg| leg.next_hop == direct);
                let near = onlink || self.covers(addr).iter().any(|net| self.routes[net].values().any(is_direct));
                let usable = near && self.up.contains(&index);
                (usable.then(|| one(index, Some(addr), onlink)).flatten(), none)
            }
            NextHop::Gateway { addr, interface: None, .. } => {
                let mut lowest = none;
                for prefix in self.covers(addr) {
                    for (_, route) in self.candidates(prefix) {
                        if route.distance == AdminDistance(255) {
                            continue;
                        }
                        *steps += 1;
                        if *steps > 4000 {
                            return (None, 0);
                        }
                        if let Some(place) = chain.iter().position(|on_chain| *on_chain == route.next_hops) {
                            return (None, lowest.min(place));
                        }
                        let (way, low) = self.set(&route.next_hops, chain, steps);
                        lowest = lowest.min(low);
                        match way {
                            Some(Way::Legs(legs)) => {
                                let onlink = route.protocol != Protocol::Connected;
                                let through = |(index, gateway, on): Exit| match gateway {
                                    Some(_) => (index, gateway, on),
                                    None => (index, Some(addr), onlink),
                                };
                                let mut exits = BTreeMap::new();
                                for (exit, weight) in legs {
                                    // What was on the link may now be one with what had the gateway already.
                                    *exits.entry(through(exit)).or_insert(0) += weight;
                                }
                                return (Some(Way::Legs(exits)), lowest);
                            }
                            Some(Way::Discard(how)) => return (Some(Way::Discard(how)), lowest),
                            Some(Way::Local) => return (None, lowest),
                            None if low != none => return (None, lowest),
                            None => {}
                        }
                    }
                }
                (None, lowest)
            }
        }
    }

    /// The best source and way of every prefix that has one; `None` for a prefix that is too tangled.
    fn best(&self) -> BTreeMap<IpNet, Option<(Source, Way)>> {
        let mut memo: BTreeMap<&NextHopSet, Option<Option<Way>>> = BTreeMap::new();
        let mut best = BTreeMap::new();
        for prefix in self.routes.keys() {
            for (source, route) in self.candidates(*prefix) {
                if route.distance == AdminDistance(255) {
                    continue;
                }
                let way = memo.entry(&route.next_hops).or_insert_with(|| {
                    let mut steps = 0;
                    let (way, _) = self.set(&route.next_hops, &mut Vec::new(), &mut steps);
                    (steps <= 4000).then_some(way)
                });
                match way {
                    None => {
                        best.insert(*prefix, None);
                        break;
                    }
                    Some(Some(way)) => {
                        best.insert(*prefix, Some((source, way.clone())));
                        break;
                    }
                    Some(None) => {}
                }
            }
        }
        best
    }
}

/// A world small enough that prefixes cover gateways, and gateways lead to each other, all the time.
struct Dice(Rng);

impl Dice {
    fn addr(&mut self) -> IpAddr {
        let rng = &mut self.0;
        let (a, b, c) = (rng.u8(0..4), rng.u8(0..3), rng.u8(1..4));
        if rng.u8(0..3) > 0 {
            IpAddr::from([10, a, b, c])
        } else {
            IpAddr::from([0x2001, 0xdb8, u16::from(a), u16::from(b), 0, 0, 0, u16::from(c)])
        }
    }

    fn prefix(&mut self) -> IpNet {
        let addr = self.addr();
        let lengths: [u8; 6] = if addr.is_ipv4() { [0, 14, 16, 24, 30, 32] } else { [0, 32, 46, 48, 64, 128] };
        let weighted = [0, 1, 2, 2, 3, 3, 3, 3, 4, 5, 5][self.0.usize(0..11)];
        IpNet::new(addr, lengths[weighted]).expect("a length").trunc()
    }

    fn next_hop(&mut self) -> NextHop {
        let index = INTERFACES[self.0.usize(0..3)];
        match self.0.u8(0..40) {
            0 => NextHop::Discard([Discard::Blackhole, Discard::Unreachable, Discard::Prohibit][self.0.usize(0..3)]),
            1 => NextHop::Local,
            2..=7 => NextHop::Interface(index),
            8..=10 => NextHop::Gateway { addr: self.addr(), interface: Some(index), onlink: false },
            11 => NextHop::Gateway { addr: self.addr(), interface: Some(index), onlink: true },
            _ => NextHop::via(self.addr()),
        }
    }

    fn route(&mut self, source: Source) -> Route {
        use Protocol as P;
        let weight = |rng: &mut Rng| if rng.u8(0..8) == 0 { rng.u8(..) } else { rng.u8(0..3) };
        let protocols: &[Protocol] = match source {
            Source::Connected => &[P::Connected],
            Source::Static => &[P::Static],
            Source::Service => &[P::Service],
            Source::Api => &[P::Api],
            Source::Bgp => &[P::Ebgp, P::Ibgp],
            Source::OspfV2 | Source::OspfV3 => &[P::OspfIntra, P::OspfInter, P::OspfExternal, P::OspfNssa],
            Source::Kernel => &[P::Kernel],
        };
        let protocol = protocols[self.0.usize(0..protocols.len())];
        let hops: Vec<Leg> = match source {
            Source::Connected => vec![NextHop::Interface(INTERFACES[self.0.usize(0..3)]).into()],
            Source::Service => vec![NextHop::Local.into()],
            _ if self.0.u8(0..100) == 0 => (0..64)
                .map(|n| {
                    let addr = IpAddr::from([10, 0, 3, n]);
                    let interface = Some(INTERFACES[self.0.usize(0..3)]);
                    let next_hop = NextHop::Gateway { addr, interface, onlink: true };
                    Leg { next_hop, weight_less_one: weight(&mut self.0) }
                })
                .collect(),
            _ => {
                let legs = if self.0.u8(0..4) == 0 { 1 + self.0.usize(0..3) } else { 1 };
                (0..legs).map(|_| Leg { next_hop: self.next_hop(), weight_less_one: weight(&mut self.0) }).collect()
            }
        };
        // Mostly as configured by default; now and then by the route, and sometimes never to be used.
        let distance = match self.0.u8(0..12) {
            0 => AdminDistance(255),
            1..=3 => AdminDistance([1, 20, 110, 200][self.0.usize(0..4)]),
            _ => protocol.default_distance(),
        };
        Route {
            protocol,
            distance: if source == Source::Connected { AdminDistance(0) } else { distance },
            metric: Metric(self.0.u32(0..2)),
            tag: self.0.u32(0..2),
            next_hops: NextHopSet::new(hops).expect("legs"),
        }
    }

    fn source(&mut self) -> Source {
        let often = [Source::Bgp, Source::Bgp, Source::Static, Source::OspfV2];
        let at = self.0.usize(0..12);
        often.get(at).copied().unwrap_or_else(|| Source::ALL[at - often.len()])
    }

    fn batch(&mut self) -> RouteBatch {
        let mut batch = RouteBatch::new(self.source());
        for _ in 0..1 + self.0.usize(0..4) {
            let prefix = self.prefix();
            if self.0.u8(0..5) < 2 { batch.remove(prefix) } else { batch.add(prefix, self.route(batch.source)) }
        }
        batch
    }
}

/// A data plane that pulls when it feels like it, and what it holds.
struct Plane {
    id: u8,
    mirror: Mirror,
    unanswered: Vec<u64>,
}

impl Plane {
    fn pull(&mut self, node: &mut Node, limit: usize) -> bool {
        let mut delta = FibDelta::default();
        let more = node.rib.pull_fib(BackendId(self.id), limit, &mut delta);
        self.mirror.apply(&delta);
        self.unanswered.push(delta.through);
        more
    }

    fn answer(&mut self, node: &mut Node) {
        for through in self.unanswered.drain(..) {
            node.ack(self.id, through);
        }
    }
}

struct Run {
    node: Node,
    model: Model,
    dice: Dice,
    planes: [Plane; 2],
    watch: WatchId,
    watched: BTreeMap<IpNet, (Source, Route)>,
    /// A watcher as redistribution is one: of some sources only.
    some: WatchId,
    some_seen: BTreeMap<IpNet, (Source, Route)>,
    tangled: usize,
    compared: usize,
    overruns: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        // A journal so short that readers are overrun all the time.
        let mut node = Node::with_journal(150);
        node.rib.add_backend(BackendId(0));
        node.rib.add_standalone_backend(BackendId(1));
        let watch = node.rib.watch(WatchFilter::default());
        let some = node.rib.watch(WatchFilter { sources: SOME, ..WatchFilter::default() });
        let plane = |id| Plane { id, mirror: Mirror::default(), unanswered: Vec::new() };
        Self {
            node,
            model: Model::default(),
            dice: Dice(Rng::with_seed(seed)),
            planes: [plane(0), plane(1)],
            watch,
            watched: BTreeMap::new(),
            some,
            some_seen: BTreeMap::new(),
            tangled: 0,
            compared: 0,
            overruns: 0,
        }
    }

    fn step(&mut self) {
        match self.dice.0.u8(0..100) {
            0..=79 => {
                let batch = self.dice.batch();
                for change in &batch.changes {
                    let route = change.route.map(|index| batch.routes[index as usize].clone());
                    self.model.apply(batch.source, change.prefix, route);
                }
                self.node.give(Input::Routes(batch));
            }
            80..=83 => {
                let index = INTERFACES[self.dice.0.usize(0..3)];
                let up = self.dice.0.u8(0..4) > 0;
                if up {
                    self.model.up.insert(index)
                } else {
                    self.model.up.remove(&index)
                };
                self.node.give(Input::Interface { index, up });
            }
            84 if self.dice.0.u8(0..8) == 0 => {
                let source = self.dice.source();
                let all: Vec<IpNet> = self.model.routes.keys().copied().collect();
                all.into_iter().for_each(|prefix| self.model.apply(source, prefix, None));
                self.node.give(Input::Flush(source));
            }
            85..=86 => {
                let addr = self.dice.addr();
                let (add, remove) = if self.dice.0.bool() { (vec![addr], vec![]) } else { (vec![], vec![addr]) };
                self.node.give(Input::Track { client: Source::Bgp, add, remove });
            }
            87..=94 => {
                let at = self.dice.0.usize(0..2);
                let limit = 1 + self.dice.0.usize(0..30);
                self.planes[at].pull(&mut self.node, limit);
            }
            95..=96 => {
                let at = self.dice.0.usize(0..2);
                self.planes[at].answer(&mut self.node);
            }
            97..=98 => self.pull_watch(20),
            99 if self.dice.0.u8(0..20) == 0 => {
                // A data plane restarts: everything it held is gone, and what it has not answered is never answered.
                let at = self.dice.0.usize(0..2);
                self.planes[at].unanswered.clear();
                self.planes[at].mirror = Mirror { through: 0, ..Mirror::default() };
                self.node.give(Input::FibResync(BackendId(self.planes[at].id)));
                // Removals of objects it had may still be told, and cannot be checked against an empty mirror.
                self.drain_resync(at);
            }
            _ => {}
        }
    }

    /// After a restart the data plane reads to the end of the walk; removals of objects of its former life are let pass.
    fn drain_resync(&mut self, at: usize) {
        let mut delta = FibDelta::default();
        loop {
            let plane = &mut self.planes[at];
            self.node.rib.pull_fib(BackendId(plane.id), 40, &mut delta);
            delta.unused.retain(|id| plane.mirror.objects.contains_key(id));
            plane.mirror.apply(&delta);
            plane.unanswered.push(delta.through);
            if delta.walk_done {
                break;
            }
        }
    }

    fn pull_watch(&mut self, limit: usize) {
        let rib = &mut self.node.rib;
        let all = (self.watch, &mut self.watched, Sources::ALL);
        for (watch, seen, sources) in [all, (self.some, &mut self.some_seen, SOME)] {
            let mut changes = Vec::new();
            let pulled = rib.pull_watch(watch, limit, &mut changes);
            for (prefix, view) in changes {
                match view {
                    Some(view) => seen.insert(prefix, (view.source, view.route)),
                    None => seen.remove(&prefix),
                };
            }
            if pulled == Pulled::Overrun {
                self.overruns += 1;
                let page = rib.walk(&WalkQuery { limit: usize::MAX / 16, sources, ..WalkQuery::default() });
                *seen = page.routes.into_iter().map(|view| (view.prefix, (view.source, view.route))).collect();
            }
        }
    }

    /// Everything settles and is compared.
    fn check(&mut self) {
        self.node.settle();
        self.check_selection();
        self.check_lookups();
        self.check_reaches();
        self.check_readers();
        self.check_counts();
    }

    fn check_selection(&mut self) {
        let best = self.model.best();
        let prefixes: BTreeSet<IpNet> = self.model.routes.keys().copied().collect();
        let page = self.node.rib.walk(&WalkQuery { limit: 100_000, ..WalkQuery::default() });
        let chosen: BTreeMap<IpNet, _> = page.routes.into_iter().map(|view| (view.prefix, view)).collect();
        for prefix in chosen.keys() {
            assert!(prefixes.contains(prefix), "{prefix} is chosen though nobody has it");
        }
        for prefix in prefixes {
            let view = chosen.get(&prefix);
            let expected = best.get(&prefix);
            if let Some(None) = expected {
                self.tangled += 1;
                continue;
            }
            self.compared += 1;
            let actual = view.map(|view| (view.source, Way::of(&view.forwarding)));
            if let Some(view) = view {
                assert_eq!(
                    view.route, self.model.routes[&prefix][&view.source],
                    "metric and tag are what the source said"
                );
            }
            assert_eq!(
                actual.as_ref(),
                expected.and_then(Option::as_ref),
                "{prefix}: {:#?}",
                self.model.routes[&prefix]
            );
            let verdicts = self.node.rib.candidates(prefix);
            assert_eq!(verdicts.len(), self.model.routes[&prefix].len());
            let winners = verdicts.iter().filter(|candidate| candidate.verdict == Verdict::Best);
            assert_eq!(winners.count(), usize::from(view.is_some()));
        }
        // History leaves no trace: a node that is told only the outcome agrees in everything, weights included.
        let mut fresh = Node::new();
        self.model.up.iter().for_each(|index| {
            fresh.give(Input::Interface { index: *index, up: true });
        });
        for (prefix, routes) in self.model.routes.iter().rev() {
            for (source, route) in routes {
                let mut batch = RouteBatch::new(*source);
                batch.add(*prefix, route.clone());
                fresh.give(Input::Routes(batch));
            }
        }
        fresh.settle();
        for (prefix, view) in &chosen {
            let other = fresh.rib.get(*prefix).unwrap_or_else(|| panic!("{prefix} is not chosen by a fresh node"));
            assert_eq!((other.source, &other.forwarding), (view.source, &view.forwarding), "{prefix}");
        }
        assert_eq!(fresh.rib.summary(), self.node.rib.summary());
    }

    fn check_lookups(&mut self) {
        let page = self.node.rib.walk(&WalkQuery { limit: 100_000, ..WalkQuery::default() });
        for _ in 0..50 {
            let addr = self.dice.addr();
            let covers = page.routes.iter().map(|view| view.prefix).filter(|net| net.contains(&addr));
            let longest = covers.max_by_key(IpNet::prefix_len);
            assert_eq!(self.node.rib.lookup(addr).map(|view| view.prefix), longest, "{addr}");
            assert_eq!(self.node.rib.lookup_brief(addr).map(|(net, _)| net), longest);
        }
    }

    /// What the client was told last of each address is what a lookup says now.
    fn check_reaches(&mut self) {
        let told = self.node.reaches(Source::Bgp);
        for (addr, reach) in told {
            // Words to former followers are not held against the machine, so ask anew: the answer must be the same.
            self.node.give(Input::Track { client: Source::Api, add: vec![addr], remove: vec![] });
            let now = self.node.reaches(Source::Api)[&addr];
            self.node.give(Input::Track { client: Source::Api, add: vec![], remove: vec![addr] });
            let follows = self.node.rib.nexthops.tracker.follows(Source::Bgp, addr);
            assert!(!follows || now == reach, "{addr}: told {reach:?}, but it is {now:?}");
            let expected = self.node.rib.lookup(addr).filter(|view| view.forwarding != Forwarding::Local);
            assert_eq!(now.map(|reach| reach.protocol), expected.map(|view| view.route.protocol));
        }
    }

    fn check_readers(&mut self) {
        while self.node.rib.watch_pending(self.watch) || self.node.rib.watch_pending(self.some) {
            self.pull_watch(1000);
        }
        for at in 0..2 {
            while self.planes[at].pull(&mut self.node, 25) {}
            self.planes[at].answer(&mut self.node);
        }
        self.node.settle();
        let page = self.node.rib.walk(&WalkQuery { limit: 100_000, ..WalkQuery::default() });
        let watched: BTreeMap<_, _> =
            page.routes.iter().map(|view| (view.prefix, (view.source, view.route.clone()))).collect();
        assert_eq!(self.watched, watched);
        let some = |(_, (source, _)): &(IpNet, (Source, Route))| SOME.has(*source);
        assert_eq!(self.some_seen, watched.into_iter().filter(some).collect());
        for plane in &self.planes {
            let told = |view: &&message::RouteView| {
                plane.id == 1 || !matches!(view.source, Source::Connected | Source::Kernel)
            };
            let best: BTreeMap<_, _> =
                page.routes.iter().filter(told).map(|view| (view.prefix, view.next_hop_id)).collect();
            assert_eq!(plane.mirror.routes, best, "data plane {}", plane.id);
            for view in page.routes.iter().filter(told) {
                assert_eq!(plane.mirror.objects[&view.next_hop_id], view.forwarding, "{}", view.prefix);
                let state = view.fib.iter().find(|(id, _)| id.0 == plane.id).map(|(_, state)| state);
                assert_eq!(state, Some(&FibState::Installed), "{}", view.prefix);
            }
            let used: BTreeSet<_> = best.values().copied().collect();
            let live: BTreeSet<_> = self.node.rib.nexthops.hops.live().collect();
            for id in plane.mirror.objects.keys() {
                assert!(used.contains(id) || live.contains(id), "{id:?} is held for nobody");
            }
        }
    }

    /// Nothing is left of what is gone.
    fn check_counts(&self) {
        let rib = &self.node.rib;
        let candidates = self.model.routes.values().map(BTreeMap::len).sum::<usize>();
        let distinct: BTreeSet<_> = self.model.routes.values().flatten().map(|(_, route)| &route.next_hops).collect();
        assert_eq!(rib.summary().next_hops, distinct.len());
        let stored = table::Lpm::len(&rib.tables.v4.tree) + table::Lpm::len(&rib.tables.v6.tree);
        assert_eq!(stored, self.model.routes.len(), "{candidates} candidates");
        let all: BTreeSet<String> =
            self.model.routes.values().flatten().map(|(_, route)| format!("{route:?}")).collect();
        assert_eq!(rib.routes.len(), all.len());
        assert_eq!(rib.journal.len(), 0, "every reader has passed everything");
    }
}

/// Ten thousand operations for each seed.
fn runs(seeds: std::ops::RangeInclusive<u64>) {
    let (mut tangled, mut compared, mut overruns, mut walks) = (0, 0, 0, 0);
    for seed in seeds {
        let mut run = Run::new(seed);
        for step in 1..=10_000 {
            run.step();
            if step % 1000 == 0 {
                run.check();
            }
        }
        tangled += run.tangled;
        compared += run.compared;
        overruns += run.overruns;
        walks += run.planes.iter().map(|plane| plane.mirror.walks_done).sum::<usize>();
    }
    assert!(compared > 4_000 && tangled * 50 < compared, "{compared} compared, {tangled} too tangled");
    assert!(overruns > 20 && walks > 3, "{overruns} overruns, {walks} walks: the readers had too easy a life");
}

// A hundred thousand operations, in two halves because test threads run beside each other.

#[test]
fn random_operations_agree_with_the_model_first_half() {
    runs(1..=5);
}

#[test]
fn random_operations_agree_with_the_model_second_half() {
    runs(6..=10);
}
