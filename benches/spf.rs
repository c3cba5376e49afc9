//! `cargo bench --bench spf`: how long OSPF's calculation of shortest paths takes, as a whole and for one change, beside a plain
//! Dijkstra over the same graph that keeps nothing but distances and parents.
//!
//! The graph: two random halves of mean degree 3.5 with costs of 1 to 100, one link between them, and a router on one link.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use ospfd::lsa::{LinkKind, RouterFlags, RouterLink, RouterLsa};
use ospfd::spf::{Around, Graph, HopSets, OwnLink, Run};
use ospfd::{AreaId, InterfaceId, RouterId, Version};

/// Whole trees that are timed.
const FULL: usize = 31;
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
    fn dijkstra(&self) -> Duration {
        let mut starts = vec![0];
        let mut edges: Vec<(u32, u32)> = Vec::new();
        for links in &self.0 {
            edges.extend(links.iter().map(|(to, cost)| (*to, u32::from(*cost))));
            starts.push(edges.len());
        }
        let spent = (0..FULL).map(|_| {
            let started = Instant::now();
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
            started.elapsed()
        });
        spread(spent.collect()).0
    }
}

fn id(router: u32) -> RouterId {
    RouterId(router + 1)
}

/// Median and highest.
fn spread(mut spent: Vec<Duration>) -> (Duration, Duration) {
    spent.sort_unstable();
    (spent[spent.len() / 2], spent[spent.len() - 1])
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
        let floor = net.dijkstra();
        let full = (0..FULL).map(|_| {
            graph.forget_tree();
            let started = Instant::now();
            assert_eq!(graph.run(&around, &mut sets), Run::Full);
            started.elapsed()
        });
        let (full, slowest) = spread(full.collect());
        println!(
            "{routers} routers: Dijkstra {floor:.1?}, full {full:.1?} (at most {slowest:.1?}, with all back links {first:.1?})"
        );
        let mut rng = fastrand::Rng::with_seed(7);
        let leaf = (routers / 2 / 3, routers);
        for (what, leaf) in [("the link to the leaf", Some(leaf)), ("any link", None)] {
            let (mut spent, mut whole) = (Vec::new(), 0);
            for _ in 0..CHANGES / 2 {
                let (one, other) = leaf.unwrap_or_else(|| {
                    let one = rng.u32(1..routers);
                    (one, rng.choice(&net.0[one as usize]).map_or(0, |(to, _)| *to))
                });
                for gone in [true, false] {
                    let lsas = [(one, other), (other, one)].map(|(own, far)| (own, net.lsa(own, gone.then_some(far))));
                    let started = Instant::now();
                    for (router, lsa) in &lsas {
                        graph.set_router(id(*router), id(*router).0, lsa);
                    }
                    whole += usize::from(graph.run(&around, &mut sets) == Run::Full);
                    spent.push(started.elapsed());
                }
            }
            let (median, most) = spread(spent);
            println!("  {what} goes and comes: {median:.1?}, at most {most:.1?}, {whole} of {CHANGES} as a whole");
        }
    }
}
