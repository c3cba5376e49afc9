//! `cargo bench --bench spf`: how long OSPF's calculation of shortest paths takes, as a whole and for one change, beside a plain
//! Dijkstra over the same graph that keeps nothing but distances and parents.
//!
//! The graph: two random halves of mean degree 3.5 with costs of 1 to 100, one link between them, and a router on one link.
//!
//! Of each kind of run there are the median and the highest of the time that passed, and the highest of the processor time: where
//! other programs run, the time that passed has maxima of 4 ms, the Dijkstra's as much as ours.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use ospfd::lsa::{LinkKind, RouterFlags, RouterLink, RouterLsa};
use ospfd::spf::{Around, Graph, HopSets, OwnLink, Run};
use ospfd::{AreaId, InterfaceId, RouterId, Version};

/// Whole trees that are timed.
const FULL: usize = 201;
/// Changes that are timed.
const CHANGES: usize = 400;

/// Links of each router: to whom, cost.
struct Net(Vec<Vec<(u32, u16)>>);

impl Net {
    fn new(routers: u32) -> Self {
        let mut rng = fastrand::Rng::with_seed(42);
        let mut net = Self(vec![Vec::new(); routers as usize + 1]);
        let half = routers / 2;
        for (low, high) in [(0, half), (half, routers)] {
            for router in low..high {
                net.join(&mut rng, router, if router + 1 == high { low } else { router + 1 });
            }
            for _ in 0..(high - low) * 3 / 4 {
                let (one, other) = (rng.u32(low..high), rng.u32(low..high));
                net.join(&mut rng, one, other);
            }
        }
        net.join(&mut rng, half / 2, half + half / 2);
        net.join(&mut rng, half / 3, routers);
        net
    }

    fn join(&mut self, rng: &mut fastrand::Rng, one: u32, other: u32) {
        let cost = rng.u16(1..=100);
        if one != other && self.0[one as usize].iter().all(|(to, _)| *to != other) {
            self.0[one as usize].push((other, cost));
            self.0[other as usize].push((one, cost));
        }
    }

    fn lsa(&self, router: u32, without: Option<u32>) -> RouterLsa {
        let links = self.0[router as usize].iter().filter(|(to, _)| Some(*to) != without);
        let link = |(to, metric): &(u32, u16)| RouterLink {
            kind: LinkKind::PointToPoint,
            id: id(*to).0,
            data: *to,
            neighbor_interface: 0,
            metric: *metric,
        };
        RouterLsa { flags: RouterFlags::default(), options: 0, links: links.map(link).collect() }
    }

    fn own_links(&self) -> Vec<OwnLink> {
        let link = |(to, _): &(u32, u16)| OwnLink {
            interface: InterfaceId(*to),
            area: AreaId::BACKBONE,
            data: *to,
            virtual_to: None,
            nets: Vec::new(),
            neighbors: vec![(id(*to), IpAddr::V4(Ipv4Addr::from(*to)))],
        };
        self.0[0].iter().map(link).collect()
    }

    /// The floor: rows in one array, a binary heap, distances and parents.
    fn dijkstra(&self) -> Spent {
        let mut starts = vec![0];
        let mut edges: Vec<(u32, u32)> = Vec::new();
        for links in &self.0 {
            edges.extend(links.iter().map(|(to, cost)| (*to, u32::from(*cost))));
            starts.push(edges.len());
        }
        let mut spent = Spent::default();
        for _ in 0..FULL {
            let started = Spent::start();
            let (mut best, mut parents) = (vec![u32::MAX; self.0.len()], vec![0; self.0.len()]);
            let mut heap = BinaryHeap::from([Reverse((0, 0))]);
            best[0] = 0;
            while let Some(Reverse((cost, router))) = heap.pop() {
                let at = router as usize;
                if cost > best[at] {
                    continue;
                }
                for (to, more) in &edges[starts[at]..starts[at + 1]] {
                    if cost + more < best[*to as usize] {
                        (best[*to as usize], parents[*to as usize]) = (cost + more, router);
                        heap.push(Reverse((cost + more, *to)));
                    }
                }
            }
            std::hint::black_box((&best, &parents));
            spent.end(started);
        }
        spent
    }
}

fn id(router: u32) -> RouterId {
    RouterId(router + 1)
}

/// Of many runs, the time that passed and the time that a processor was ours.
#[derive(Default)]
struct Spent {
    passed: Vec<Duration>,
    processor: Vec<Duration>,
}

impl Spent {
    fn start() -> (Instant, Duration) {
        (Instant::now(), thread_time())
    }

    fn end(&mut self, (began, processor): (Instant, Duration)) {
        self.processor.push(thread_time() - processor);
        self.passed.push(began.elapsed());
    }

    /// The most that a run took of the processor.
    fn most(&self) -> Duration {
        self.processor.iter().max().copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut passed = self.passed.clone();
        passed.sort_unstable();
        let Some(highest) = passed.last() else { return write!(f, "never") };
        let (median, most, runs) = (passed[passed.len() / 2], self.most(), passed.len());
        write!(f, "{median:.1?} (at most {highest:.1?}, of the processor {most:.1?}; {runs} runs)")
    }
}

/// How long the processor was this thread's.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the clock of the thread").into()
}

/// A change: the two ends of a link that goes and comes back.
#[derive(Clone, Copy)]
enum Which {
    Leaf,
    Any,
    Ours,
    Middle,
}

impl Which {
    const ALL: [(Self, &str); 4] = [
        (Self::Leaf, "the link to the leaf"),
        (Self::Any, "any link"),
        (Self::Ours, "a link of ours"),
        (Self::Middle, "the link between the halves"),
    ];

    fn pick(self, net: &Net, routers: u32, rng: &mut fastrand::Rng) -> (u32, u32) {
        let of = |rng: &mut fastrand::Rng, one: u32| (one, rng.choice(&net.0[one as usize]).map_or(0, |(to, _)| *to));
        match self {
            Self::Leaf => (routers / 2 / 3, routers),
            Self::Any => {
                let one = rng.u32(1..routers);
                of(rng, one)
            }
            Self::Ours => of(rng, 0),
            Self::Middle => (routers / 4, routers / 2 + routers / 4),
        }
    }
}

fn main() {
    for routers in [1000, 5000, 10_000] {
        let net = Net::new(routers);
        let mut graph = Graph::new(Version::V2, id(0));
        let mut sets = HopSets::default();
        for router in 0..=routers {
            graph.set_router(id(router), id(router).0, &net.lsa(router, None));
        }
        let (links, none, far) = (net.own_links(), BTreeMap::new(), BTreeMap::new());
        let around = Around { area: AreaId::BACKBONE, links: &links, link_locals: &none, far_ends: &far };
        let started = Instant::now();
        graph.run(&around, &mut sets);
        let first = started.elapsed();
        println!("{routers} routers: the first run, with all back links: {first:.1?}");
        println!("  Dijkstra: {}", net.dijkstra());
        let mut full = Spent::default();
        for _ in 0..FULL {
            graph.forget_tree();
            let started = Spent::start();
            assert_eq!(graph.run(&around, &mut sets), Run::Full);
            full.end(started);
        }
        println!("  full: {full}");
        let mut rng = fastrand::Rng::with_seed(7);
        for (which, what) in Which::ALL {
            let (mut parts, mut whole) = (Spent::default(), Spent::default());
            for _ in 0..CHANGES / 2 {
                let (one, other) = which.pick(&net, routers, &mut rng);
                for gone in [true, false] {
                    let lsas = [(one, other), (other, one)].map(|(own, far)| (own, net.lsa(own, gone.then_some(far))));
                    let started = Spent::start();
                    for (router, lsa) in &lsas {
                        graph.set_router(id(*router), id(*router).0, lsa);
                    }
                    match graph.run(&around, &mut sets) {
                        Run::Full => whole.end(started),
                        _ => parts.end(started),
                    }
                }
            }
            println!("  {what} goes and comes, in part: {parts}; as a whole after all: {whole}");
            assert!(parts.most() <= full.most(), "a part took longer than the whole");
        }
    }
}
