//! Trees against the plainest way to find them, on graphs large enough that the incremental calculation gives up now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use super::{Around, Graph, HopSets, OwnLink, Run};
use crate::id::{AreaId, InterfaceId, RouterId, Version};
use crate::lsa::{LinkKind, RouterFlags, RouterLink, RouterLsa};
use crate::view::Vertex;

/// Routers and point-to-point links with a cost for each direction; router 0 is us.
struct Net {
    count: u32,
    costs: BTreeMap<(u32, u32), u16>,
}

fn id(router: u32) -> RouterId {
    RouterId(router + 1)
}

fn address(from: u32, to: u32) -> u32 {
    0x0a00_0000 + from * 0x1000 + to
}

impl Net {
    fn random(rng: &mut fastrand::Rng) -> Self {
        let count = rng.u32(2..300);
        let mut net = Self { count, costs: BTreeMap::new() };
        let spare = rng.u32(..count * 2);
        for router in 1..count {
            let near = router.saturating_sub(8);
            net.join(rng, router, near);
        }
        for _ in 0..spare {
            let router = rng.u32(..count);
            net.join(rng, router, 0);
        }
        net
    }

    fn join(&mut self, rng: &mut fastrand::Rng, router: u32, least: u32) {
        let far = rng.u32(least..self.count.min(router.max(least) + 1).max(least + 1));
        if far != router {
            self.costs.insert((router, far), rng.u16(1..20));
            self.costs.insert((far, router), rng.u16(1..20));
        }
    }

    fn lsa(&self, router: u32) -> RouterLsa {
        let links = self.costs.range((router, 0)..(router + 1, 0)).map(|((_, far), cost)| RouterLink {
            kind: LinkKind::PointToPoint,
            id: id(*far).0,
            data: address(router, *far),
            neighbor_interface: 0,
            metric: *cost,
        });
        RouterLsa { flags: RouterFlags::default(), options: 0, links: links.collect() }
    }

    fn own_links(&self) -> Vec<OwnLink> {
        let own = self.costs.range((0, 0)..(1, 0));
        let link = |far: u32| OwnLink {
            interface: InterfaceId(far),
            area: AreaId::BACKBONE,
            data: address(0, far),
            virtual_to: None,
            nets: Vec::new(),
            neighbors: vec![(id(far), IpAddr::V4(Ipv4Addr::from(address(far, 0))))],
        };
        own.map(|((_, far), _)| link(*far)).collect()
    }

    /// Costs by relaxing every edge until nothing gets better; first steps by asking every shortest path.
    fn reference(&self) -> BTreeMap<u32, (u32, BTreeSet<u32>)> {
        let mut best: BTreeMap<u32, u32> = BTreeMap::from([(0, 0)]);
        let usable = |from: u32, to: u32| self.costs.contains_key(&(to, from));
        let edges = || self.costs.iter().filter(|((from, to), _)| usable(*from, *to));
        let mut better = true;
        while better {
            better = false;
            for ((from, to), cost) in edges() {
                let Some(there) = best.get(from).map(|at| at + u32::from(*cost)) else { continue };
                if best.get(to).is_none_or(|held| there < *held) {
                    best.insert(*to, there);
                    better = true;
                }
            }
        }
        let mut order: Vec<(u32, u32)> = best.iter().map(|(router, cost)| (*cost, *router)).collect();
        order.sort_unstable();
        let mut tree: BTreeMap<u32, (u32, BTreeSet<u32>)> = BTreeMap::new();
        for (cost, router) in order {
            let near = self.costs.range((router, 0)..(router + 1, 0)).map(|((_, near), _)| *near);
            let last = near.filter(|near| {
                let there = best.get(near).zip(self.costs.get(&(*near, router)));
                router != 0 && there.is_some_and(|(at, edge)| at + u32::from(*edge) == cost)
            });
            let steps = last.flat_map(|from| match from {
                0 => BTreeSet::from([router]),
                from => tree.get(&from).map(|(_, steps)| steps.clone()).unwrap_or_default(),
            });
            let steps = steps.collect();
            tree.insert(router, (cost, steps));
        }
        tree
    }
}

struct Spf {
    graph: Graph,
    sets: HopSets,
    said: BTreeMap<u32, RouterLsa>,
    runs: BTreeMap<&'static str, u32>,
}

impl Spf {
    fn new() -> Self {
        let graph = Graph::new(Version::V2, id(0));
        Self { graph, sets: HopSets::default(), said: BTreeMap::new(), runs: BTreeMap::new() }
    }

    fn follow(&mut self, net: &Net) {
        for router in 0..net.count {
            let lsa = net.lsa(router);
            if self.said.get(&router) == Some(&lsa) {
                continue;
            }
            if lsa.links.is_empty() && router != 0 {
                self.graph.remove_router(id(router), id(router).0);
                self.said.remove(&router);
            } else {
                self.graph.set_router(id(router), id(router).0, &lsa);
                self.said.insert(router, lsa);
            }
        }
        self.graph.surroundings_changed();
        let links = net.own_links();
        let around =
            Around { area: AreaId::BACKBONE, links: &links, link_locals: &BTreeMap::new(), far_ends: &BTreeMap::new() };
        let run = match self.graph.run(&around, &mut self.sets) {
            Run::Nothing => "nothing",
            Run::Incremental => "incremental",
            Run::Full => "full",
        };
        *self.runs.entry(run).or_default() += 1;
    }

    fn tree(&self) -> BTreeMap<u32, (u32, BTreeSet<u32>)> {
        let vertices = self.graph.tree().map(|(_, vertex, cost, hops)| {
            let Vertex::Router(router) = vertex else { panic!("no networks here") };
            let steps = self.sets.get(hops).iter().map(|hop| hop.interface.0).collect();
            (router.0 - 1, (cost, steps))
        });
        vertices.collect()
    }
}

#[test]
fn trees_of_a_thousand_random_graphs_are_those_of_a_plain_calculation() {
    let mut runs: BTreeMap<&'static str, u32> = BTreeMap::new();
    for seed in 0..1000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut net = Net::random(&mut rng);
        let mut spf = Spf::new();
        spf.follow(&net);
        assert_eq!(spf.tree(), net.reference(), "seed {seed}");
        for step in 0..4 {
            for _ in 0..rng.usize(1..3) {
                let edges: Vec<(u32, u32)> = net.costs.keys().copied().collect();
                let (from, to) = rng.choice(edges).unwrap_or((0, 1));
                match rng.u8(..4) {
                    0 => _ = net.costs.remove(&(from, to)),
                    1 => net.join(&mut rng, from, 0),
                    _ => _ = net.costs.insert((from, to), rng.u16(1..20)),
                }
            }
            spf.follow(&net);
            assert_eq!(spf.tree(), net.reference(), "seed {seed} step {step}");
        }
        for (run, count) in spf.runs {
            *runs.entry(run).or_default() += count;
        }
    }
    assert!(runs["incremental"] > runs["full"] && runs["full"] > 1010, "both were needed: {runs:?}");
}
