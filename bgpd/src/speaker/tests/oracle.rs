//! Random operations on a speaker against a model that is too simple to be wrong: after quiet, every neighbor's view as decoded from
//! the octets it read, and the RIB, are what the model says. Neighbors with and without add-path, multipath and best-external are
//! drawn with the operations.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use proptest::prelude::*;
use rib::AddressFamily;

use super::rig::{OUR_AS, Rig, attributes, config, neighbor, net, service};
use crate::config::{AddPath, SpeakerConfig};
use crate::speaker::message::{NeighborKey, Query, Reply};
use crate::wire::attr::{Origin, PathAttributes};
use crate::wire::capability::AddPathMode;

const PEERS: [(u8, u32); 5] = [(1, 65001), (2, 65002), (3, OUR_AS), (4, OUR_AS), (5, 65001)];
const NO_EXPORT: u32 = 0xffff_ff01;

/// How the speaker and its neighbors are set up.
#[derive(Clone, Debug, Default)]
struct Setup {
    add_path: Vec<AddPath>,
    /// These offer add-path for IPv4 only.
    only_v4: Vec<bool>,
    best_external: bool,
    multipath: (u16, u16),
    relax: bool,
}

fn setup() -> impl Strategy<Value = Setup> {
    let add_path = (any::<bool>(), 0u16..4).prop_map(|(receive, send)| AddPath { receive, send });
    let some = || prop::collection::vec(prop::bool::weighted(0.2), PEERS.len());
    let multipath = (1u16..4, 1u16..4);
    (prop::collection::vec(add_path, PEERS.len()), some(), any::<bool>(), multipath, any::<bool>()).prop_map(
        |(add_path, only_v4, best_external, multipath, relax)| Setup {
            add_path,
            only_v4,
            best_external,
            multipath,
            relax,
        },
    )
}

#[derive(Clone, Debug)]
enum Op {
    Announce {
        peer: usize,
        /// 0 from neighbors without path identifiers.
        id: u32,
        prefixes: Vec<u8>,
        path: Vec<u32>,
        med: Option<u32>,
        origin: bool,
        lp: u32,
        hop: u8,
        no_export: bool,
    },
    Withdraw {
        peer: usize,
        id: u32,
        prefixes: Vec<u8>,
    },
    Local {
        prefix: u8,
        up: bool,
    },
    Lose {
        peer: usize,
    },
    Connect {
        peer: usize,
    },
    Reach {
        hop: u8,
        metric: Option<u32>,
    },
    Deaf {
        peer: usize,
        deaf: bool,
    },
    Settle,
    Later,
}

fn op() -> impl Strategy<Value = Op> {
    let peer = 0..PEERS.len();
    let prefixes = || prop::collection::vec(0u8..12, 1..5);
    let path = prop::collection::vec(65010u32..65013, 0..3);
    prop_oneof![
        8 => (peer.clone(), 0u32..3, prefixes(), path, prop::option::of(0u32..3), any::<bool>(), 99u32..102, 0u8..3, prop::bool::weighted(0.1))
            .prop_map(|(peer, id, prefixes, path, med, origin, lp, hop, no_export)| Op::Announce { peer, id, prefixes, path, med, origin, lp, hop, no_export }),
        4 => (peer.clone(), 0u32..3, prefixes()).prop_map(|(peer, id, prefixes)| Op::Withdraw { peer, id, prefixes }),
        2 => (0u8..12, any::<bool>()).prop_map(|(prefix, up)| Op::Local { prefix, up }),
        1 => peer.clone().prop_map(|peer| Op::Lose { peer }),
        2 => peer.clone().prop_map(|peer| Op::Connect { peer }),
        1 => (0u8..3, prop::option::of(0u32..3)).prop_map(|(hop, metric)| Op::Reach { hop, metric }),
        1 => (peer, any::<bool>()).prop_map(|(peer, deaf)| Op::Deaf { peer, deaf }),
        2 => Just(Op::Settle),
        1 => Just(Op::Later),
    ]
}

/// Four of the twelve are of IPv6.
fn prefix(n: u8) -> IpNet {
    if n < 8 { net(&format!("192.0.{n}.0/24")) } else { net(&format!("2001:db8:{n}::/48")) }
}

fn hop(n: u8, prefix: IpNet) -> String {
    match prefix {
        IpNet::V4(_) => format!("198.51.100.{}", n + 1),
        IpNet::V6(_) => format!("2001:db8:ffff::{}", n + 1),
    }
}

/// AS_PATH, MED, LOCAL_PREF and next hop.
type Told = (Vec<u32>, Option<u32>, Option<u32>, IpAddr);

/// A path and whose it is: neighbor and path identifier, or our own.
#[derive(Clone, Debug)]
struct Said {
    from: Option<(usize, u32)>,
    attributes: PathAttributes,
}

impl Said {
    fn internal(&self) -> bool {
        self.from.is_some_and(|(peer, _)| PEERS[peer].1 == OUR_AS)
    }

    fn path(&self) -> Vec<u32> {
        self.attributes.as_path.segments.iter().flat_map(|segment| segment.asns.iter().copied()).collect()
    }

    fn first_as(&self) -> u32 {
        self.path().first().copied().unwrap_or(0)
    }

    fn local_pref(&self) -> u32 {
        self.attributes.local_pref.unwrap_or(100)
    }

    /// What the steps behind the IGP cost read: router ids are addresses, in the order of PEERS.
    fn last_steps(&self) -> (u8, u32) {
        self.from.map_or((0, 0), |(peer, id)| (PEERS[peer].0, id))
    }
}

#[derive(Default)]
struct Model {
    setup: Setup,
    paths: BTreeMap<(usize, u32, IpNet), PathAttributes>,
    local: BTreeSet<IpNet>,
    up: BTreeSet<usize>,
    metric: BTreeMap<IpAddr, Option<u32>>,
}

fn keep<K: Ord>(set: &mut Vec<Said>, key: impl Fn(&Said) -> K) {
    if let Some(least) = set.iter().map(&key).min() {
        set.retain(|said| key(said) == least);
    }
}

impl Model {
    fn cost(&self, said: &Said) -> Option<u32> {
        match said.from {
            Some(_) => *self.metric.get(&said.attributes.next_hop.addr()).unwrap_or(&Some(0)),
            None => Some(0),
        }
    }

    fn usable(&self, prefix: IpNet) -> Vec<Said> {
        let learned = self.paths.iter().filter(|((.., of), _)| *of == prefix);
        let learned = learned
            .map(|((peer, id, _), attributes)| Said { from: Some((*peer, *id)), attributes: attributes.clone() });
        let own =
            self.local.contains(&prefix).then(|| Said { from: None, attributes: attributes(&[], &hop(0, prefix)) });
        learned.chain(own).filter(|said| self.cost(said).is_some()).collect()
    }

    /// RFC 4271 §9.1.2.2 down to the IGP cost, said as plainly as possible.
    fn equal(&self, mut set: Vec<Said>) -> Vec<Said> {
        keep(&mut set, |said| said.from.is_some());
        keep(&mut set, |said| u32::MAX - said.local_pref());
        keep(&mut set, |said| said.path().len());
        keep(&mut set, |said| said.attributes.origin);
        let all = set.clone();
        let med = |said: &Said| said.attributes.med.unwrap_or(0);
        set.retain(|said| !all.iter().any(|other| other.first_as() == said.first_as() && med(other) < med(said)));
        keep(&mut set, Said::internal);
        keep(&mut set, |said| self.cost(said));
        set.sort_by_key(Said::last_steps);
        set
    }

    fn best(&self, set: Vec<Said>) -> Option<Said> {
        self.equal(set).into_iter().next()
    }

    /// Best first: what is best when those before it are taken away.
    fn ranked(&self, prefix: IpNet) -> Vec<Said> {
        let mut left = self.usable(prefix);
        let mut ranked = Vec::new();
        while let Some(best) = self.best(left.clone()) {
            left.retain(|said| said.from != best.from);
            ranked.push(best);
        }
        ranked
    }

    /// The identified paths that `to` is told at most; `None`: the best one without.
    fn most(&self, to: usize, prefix: IpNet) -> Option<usize> {
        let spoken = matches!(prefix, IpNet::V4(_)) || !self.setup.only_v4[to];
        Some(usize::from(self.setup.add_path[to].send)).filter(|most| *most > 0 && spoken)
    }

    fn reads_ids(&self, from: usize, prefix: IpNet) -> bool {
        self.setup.add_path[from].receive && (matches!(prefix, IpNet::V4(_)) || !self.setup.only_v4[from])
    }

    /// What `to` ought to have been told of `prefix`, sorted.
    fn told(&self, to: usize, prefix: IpNet) -> Vec<Told> {
        let external = PEERS[to].1 != OUR_AS;
        let may = |said: &Said| {
            (external || !said.internal()) && !(external && said.attributes.communities.contains(&NO_EXPORT))
        };
        let chosen: Vec<Said> = match self.most(to, prefix) {
            Some(most) => self.ranked(prefix).into_iter().filter(may).take(most).collect(),
            None => {
                let mut set = self.usable(prefix);
                if self.setup.best_external && !external && self.best(set.clone()).is_some_and(|best| best.internal()) {
                    set.retain(|said| !said.internal());
                }
                self.best(set).into_iter().filter(may).collect()
            }
        };
        let own: IpAddr = match prefix {
            IpNet::V4(_) => Ipv4Addr::new(10, 0, 0, 100).into(),
            IpNet::V6(_) => "2001:db8::100".parse().expect("our address"),
        };
        let others = chosen.into_iter().filter(|said| said.from.is_none_or(|(from, _)| from != to));
        let mut told: Vec<Told> = others
            .map(|said| match external {
                true => ([vec![OUR_AS], said.path()].concat(), None, None, own),
                false => {
                    let next_hop = said.from.map_or(own, |_| said.attributes.next_hop.addr());
                    (said.path(), said.attributes.med, Some(said.local_pref()), next_hop)
                }
            })
            .collect();
        told.sort();
        told
    }

    /// The next hops of the route in the RIB.
    fn next_hops(&self, prefix: IpNet) -> BTreeSet<IpAddr> {
        let mut equal = self.equal(self.usable(prefix));
        let Some(best) = equal.first().cloned().filter(|best| best.from.is_some()) else { return BTreeSet::new() };
        let most = if best.internal() { self.setup.multipath.1 } else { self.setup.multipath.0 };
        equal.retain(|said| {
            let alike = if best.internal() { said.path() == best.path() } else { said.first_as() == best.first_as() };
            self.setup.relax || alike
        });
        let mut hops = BTreeSet::new();
        for said in equal {
            if hops.len() < usize::from(most) {
                hops.insert(said.attributes.next_hop.addr());
            }
        }
        hops
    }
}

fn plain() -> Setup {
    Setup {
        add_path: vec![AddPath::default(); PEERS.len()],
        only_v4: vec![false; PEERS.len()],
        multipath: (1, 1),
        ..Setup::default()
    }
}

fn rig(setup: &Setup) -> Rig {
    let mut neighbors: Vec<_> = PEERS.iter().map(|(n, asn)| neighbor(*n, *asn)).collect();
    for (neighbor, add_path) in neighbors.iter_mut().zip(&setup.add_path) {
        neighbor.add_path = *add_path;
    }
    let mut rig = Rig::new(SpeakerConfig {
        best_external: setup.best_external,
        multipath_ebgp: setup.multipath.0,
        multipath_ibgp: setup.multipath.1,
        multipath_relax: setup.relax,
        ..config(neighbors)
    });
    for (at, only_v4) in setup.only_v4.iter().enumerate() {
        if *only_v4 && setup.add_path[at] != AddPath::default() {
            rig.offers.insert(at, vec![(AddressFamily::Ipv4, AddPathMode::Both)]);
        }
    }
    (0..PEERS.len()).for_each(|at| rig.connect(at));
    rig.settle();
    rig
}

fn run(setup: Setup, ops: Vec<Op>) {
    let mut rig = rig(&setup);
    let mut model = Model { setup, up: (0..PEERS.len()).collect(), ..Model::default() };
    for op in ops {
        match op {
            Op::Announce { peer, id, prefixes, path, med, origin, lp, hop: via, no_export } => {
                if !model.up.contains(&peer) {
                    continue;
                }
                let (n, asn) = PEERS[peer];
                let external = asn != OUR_AS;
                let path = if external { [vec![asn], path].concat() } else { path };
                for number in prefixes {
                    let prefix = prefix(number);
                    let mut said = attributes(&path, &hop(via, prefix));
                    said.med = med;
                    said.origin = if origin { Origin::Igp } else { Origin::Incomplete };
                    said.local_pref = (!external).then_some(lp);
                    said.communities = if no_export { vec![NO_EXPORT] } else { vec![] };
                    let id = if model.reads_ids(peer, prefix) { id } else { 0 };
                    rig.say(n, &[(id, prefix)], Some(&said));
                    model.paths.insert((peer, id, prefix), said);
                }
            }
            Op::Withdraw { peer, id, prefixes } => {
                if model.up.contains(&peer) {
                    let gone = prefixes.into_iter().map(prefix);
                    let gone: Vec<_> =
                        gone.map(|prefix| (if model.reads_ids(peer, prefix) { id } else { 0 }, prefix)).collect();
                    rig.say(PEERS[peer].0, &gone, None);
                    for (id, prefix) in gone {
                        model.paths.remove(&(peer, id, prefix));
                    }
                }
            }
            Op::Local { prefix: number, up } => {
                let prefix = prefix(number);
                rig.local(&prefix.to_string(), up.then(service));
                if up {
                    model.local.insert(prefix)
                } else {
                    model.local.remove(&prefix)
                };
            }
            Op::Lose { peer } => {
                if model.up.remove(&peer) {
                    rig.lose(PEERS[peer].0);
                    model.paths.retain(|(of, ..), _| *of != peer);
                }
            }
            Op::Connect { peer } => {
                if model.up.insert(peer) {
                    rig.connect(peer);
                }
            }
            Op::Reach { hop: via, metric } => {
                for of in [prefix(0), prefix(11)] {
                    let addr = hop(via, of);
                    model.metric.insert(addr.parse().expect("an address"), metric);
                    rig.reach(&addr, metric);
                }
            }
            Op::Deaf { peer, deaf } => rig.fake(PEERS[peer].0).deaf = deaf,
            Op::Settle => {
                rig.settle();
            }
            Op::Later => {
                rig.later(Duration::from_millis(60));
            }
        }
    }
    for (n, _) in PEERS {
        rig.fake(n).deaf = false;
    }
    rig.settle();
    rig.assert_no_leak();
    for number in 0..12 {
        let prefix = prefix(number);
        for (to, (n, _)) in PEERS.iter().enumerate() {
            if model.up.contains(&to) {
                let fake = rig.fake(*n);
                let several = fake.paths.iter().filter(|((of, _), _)| *of == prefix).map(|(_, told)| told);
                let mut told: Vec<Told> = several.chain(fake.view.get(&prefix)).map(as_told).collect();
                told.sort();
                assert_eq!(told, model.told(to, prefix), "{prefix} as told to neighbor {n}");
            }
        }
        let route = rig.rib.get(&prefix);
        let legs = route.iter().flat_map(|route| route.next_hops.legs());
        let held: BTreeSet<IpAddr> = legs
            .map(|leg| match leg.next_hop {
                rib::NextHop::Gateway { addr, .. } => addr,
                ref other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(held, model.next_hops(prefix), "{prefix} in the RIB");
    }
    for (n, _) in PEERS.iter().enumerate().filter(|(at, _)| model.up.contains(at)).map(|(_, peer)| peer) {
        assert_eq!(adj_out(&rig, *n), heard(&mut rig, *n), "the view of what neighbor {n} was told");
    }
}

fn as_told(told: &PathAttributes) -> Told {
    let path = told.as_path.segments.iter().flat_map(|segment| segment.asns.iter().copied()).collect();
    (path, told.med, told.local_pref, told.next_hop.addr())
}

/// Prefixes and path identifiers that `n` was told, by its own account.
fn heard(rig: &mut Rig, n: u8) -> BTreeSet<(IpNet, Option<u32>)> {
    let fake = rig.fake(n);
    let several = fake.paths.keys().map(|(prefix, id)| (*prefix, Some(*id)));
    several.chain(fake.view.keys().map(|prefix| (*prefix, None))).collect()
}

/// The same by the speaker's.
fn adj_out(rig: &Rig, n: u8) -> BTreeSet<(IpNet, Option<u32>)> {
    let neighbor = NeighborKey::Address(Ipv4Addr::new(10, 0, 0, n).into());
    let page = |family| match rig.view(&Query::AdjOut { neighbor: neighbor.clone(), family, after: None, limit: 100 }) {
        Reply::Paths { paths, .. } => paths,
        other => panic!("{other:?}"),
    };
    let views = [AddressFamily::Ipv4, AddressFamily::Ipv6].into_iter().flat_map(page);
    views.map(|view| (view.prefix, view.path_id)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn views_and_rib_agree_with_the_model(ops in prop::collection::vec(op(), 1..60)) {
        run(plain(), ops);
    }

    #[test]
    fn so_they_do_with_several_paths(setup in setup(), ops in prop::collection::vec(op(), 1..60)) {
        run(setup, ops);
    }

    /// RFC 4271 §9.1.2.2 c done as it must be: over the whole set, so that nothing depends on who spoke first.
    #[test]
    fn the_order_of_arrival_makes_no_difference(
        (said, order) in prop::collection::vec(said(), 2..9)
            .prop_flat_map(|mut said| {
                let mut known = BTreeSet::new();
                said.retain(|(peer, id, _)| known.insert((*peer, *id)));
                (Just(said.clone()), Just(said).prop_shuffle())
            }),
        mut setup in setup(),
    ) {
        for add_path in &mut setup.add_path {
            add_path.receive = true;
        }
        let end = |order: &[(usize, u32, PathAttributes)]| {
            let mut rig = rig(&setup);
            for (peer, id, attributes) in order {
                rig.say(PEERS[*peer].0, &[(*id, prefix(0))], Some(attributes));
                rig.settle();
            }
            let told = |rig: &mut Rig, n: u8| {
                let fake = rig.fake(n);
                let mut told: Vec<Told> = fake.paths.values().chain(fake.view.values()).map(as_told).collect();
                told.sort();
                told
            };
            (PEERS.map(|(n, _)| told(&mut rig, n)), rig.rib.get(&prefix(0)).map(|route| route.next_hops.clone()))
        };
        prop_assert_eq!(end(&said), end(&order));
    }
}

/// Paths that many steps leave equal, each neighbor and identifier once.
fn said() -> impl Strategy<Value = (usize, u32, PathAttributes)> {
    (0..PEERS.len(), 0u32..2, 65010u32..65012, 0u32..3, 0u8..3).prop_map(|(peer, id, asn, med, via)| {
        let external = PEERS[peer].1 != OUR_AS;
        let path = if external { vec![PEERS[peer].1, asn] } else { vec![asn, 65020] };
        let mut said = attributes(&path, &hop(via, prefix(0)));
        said.med = Some(med);
        said.local_pref = (!external).then_some(100);
        (peer, id, said)
    })
}

/// Found by the property above: a destination's number is used again, and what was known of the urgent lane went with it.
#[test]
fn a_reused_number_does_not_overtake_what_is_queued() {
    let announce = |prefixes| Op::Announce {
        peer: 0,
        id: 0,
        prefixes,
        path: vec![],
        med: None,
        origin: false,
        lp: 99,
        hop: 0,
        no_export: false,
    };
    let ops = vec![
        Op::Local { prefix: 0, up: true },
        Op::Local { prefix: 0, up: false },
        announce(vec![7]),
        Op::Deaf { peer: 1, deaf: true },
        announce(vec![0]),
        Op::Settle,
        Op::Local { prefix: 7, up: true },
    ];
    run(plain(), ops);
}
