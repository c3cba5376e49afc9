//! Random operations on a speaker against a model that is too simple to be wrong: after quiet, every neighbor's view as decoded from
//! the octets it read, and the RIB, are what the model says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use proptest::prelude::*;

use super::rig::{OUR_AS, Rig, attributes, config, neighbor, net, service, update};
use crate::wire::attr::{Origin, PathAttributes};

const PEERS: [(u8, u32); 5] = [(1, 65001), (2, 65002), (3, OUR_AS), (4, OUR_AS), (5, 65001)];
const NO_EXPORT: u32 = 0xffff_ff01;

#[derive(Clone, Debug)]
enum Op {
    Announce {
        peer: usize,
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
        8 => (peer.clone(), prefixes(), path, prop::option::of(0u32..3), any::<bool>(), 99u32..102, 0u8..3, prop::bool::weighted(0.1))
            .prop_map(|(peer, prefixes, path, med, origin, lp, hop, no_export)| Op::Announce { peer, prefixes, path, med, origin, lp, hop, no_export }),
        4 => (peer.clone(), prefixes()).prop_map(|(peer, prefixes)| Op::Withdraw { peer, prefixes }),
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

#[derive(Default)]
struct Model {
    paths: BTreeMap<(usize, IpNet), PathAttributes>,
    local: BTreeSet<IpNet>,
    up: BTreeSet<usize>,
    metric: BTreeMap<IpAddr, Option<u32>>,
}

impl Model {
    fn usable(&self, attributes: &PathAttributes) -> Option<u32> {
        *self.metric.get(&attributes.next_hop.addr()).unwrap_or(&Some(0))
    }

    /// RFC 4271 §9.1.2.2, said as plainly as possible.
    fn best(&self, prefix: IpNet) -> Option<(usize, &PathAttributes)> {
        let mut set: Vec<(usize, &PathAttributes)> = self
            .paths
            .iter()
            .filter(|((_, of), attributes)| *of == prefix && self.usable(attributes).is_some())
            .map(|((peer, _), attributes)| (*peer, attributes))
            .collect();
        let internal = |peer: usize| PEERS[peer].1 == OUR_AS;
        let first_as = |a: &PathAttributes| a.as_path.segments.first().map_or(0, |segment| segment.asns[0]);
        let keep = |set: &mut Vec<(usize, &PathAttributes)>, key: &dyn Fn(usize, &PathAttributes) -> u64| {
            if let Some(least) = set.iter().map(|(peer, a)| key(*peer, a)).min() {
                set.retain(|(peer, a)| key(*peer, a) == least);
            }
        };
        keep(&mut set, &|_, a| u64::from(u32::MAX - a.local_pref.unwrap_or(100)));
        keep(&mut set, &|_, a| a.as_path.segments.iter().map(|segment| segment.asns.len() as u64).sum());
        keep(&mut set, &|_, a| a.origin as u64);
        let all = set.clone();
        set.retain(|(_, a)| {
            !all.iter().any(|(_, b)| first_as(a) == first_as(b) && b.med.unwrap_or(0) < a.med.unwrap_or(0))
        });
        keep(&mut set, &|peer, _| u64::from(internal(peer)));
        keep(&mut set, &|_, a| u64::from(self.usable(a).unwrap_or(u32::MAX)));
        // Router ids are the addresses, in the order of PEERS.
        keep(&mut set, &|peer, _| u64::from(PEERS[peer].0));
        set.first().copied()
    }

    /// What `to` ought to have been told of `prefix`.
    fn told(&self, to: usize, prefix: IpNet) -> Option<Told> {
        let external = PEERS[to].1 != OUR_AS;
        let own: IpAddr = match prefix {
            IpNet::V4(_) => Ipv4Addr::new(10, 0, 0, 100).into(),
            IpNet::V6(_) => "2001:db8::100".parse().expect("our address"),
        };
        let best = self.best(prefix);
        // LOCAL_PREF of a route of ours is the default: one learned with more wins.
        let local = self.local.contains(&prefix)
            && best.is_none_or(|(_, attributes)| attributes.local_pref.unwrap_or(100) <= 100);
        if local {
            return Some(if external { (vec![OUR_AS], None, None, own) } else { (vec![], None, Some(100), own) });
        }
        let (from, attributes) = best?;
        let from_internal = PEERS[from].1 == OUR_AS;
        if from == to || (from_internal && !external) || (external && attributes.communities.contains(&NO_EXPORT)) {
            return None;
        }
        let path: Vec<u32> =
            attributes.as_path.segments.iter().flat_map(|segment| segment.asns.iter().copied()).collect();
        Some(if external {
            ([vec![OUR_AS], path].concat(), None, None, own)
        } else {
            (path, attributes.med, Some(attributes.local_pref.unwrap_or(100)), attributes.next_hop.addr())
        })
    }
}

fn run(ops: Vec<Op>) {
    let neighbors = PEERS.iter().map(|(n, asn)| neighbor(*n, *asn)).collect();
    let mut rig = Rig::up(config(neighbors));
    let mut model = Model { up: (0..PEERS.len()).collect(), ..Model::default() };
    for op in ops {
        match op {
            Op::Announce { peer, prefixes, path, med, origin, lp, hop: via, no_export } => {
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
                    let kind = rig.fake(n).kind;
                    rig.send(n, update(kind, &[prefix], Some(&said)));
                    model.paths.insert((peer, prefix), said);
                }
            }
            Op::Withdraw { peer, prefixes } => {
                if model.up.contains(&peer) {
                    let gone: Vec<IpNet> = prefixes.into_iter().map(prefix).collect();
                    let kind = rig.fake(PEERS[peer].0).kind;
                    rig.send(PEERS[peer].0, update(kind, &gone, None));
                    for prefix in gone {
                        model.paths.remove(&(peer, prefix));
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
                    model.paths.retain(|(of, _), _| *of != peer);
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
            if !model.up.contains(&to) {
                continue;
            }
            let told = rig.fake(*n).view.get(&prefix).map(|told| {
                let path = told.as_path.segments.iter().flat_map(|segment| segment.asns.iter().copied()).collect();
                (path, told.med, told.local_pref, told.next_hop.addr())
            });
            assert_eq!(told, model.told(to, prefix), "{prefix} as told to neighbor {n}");
        }
        let best = model.best(prefix);
        let local = model.local.contains(&prefix)
            && best.is_none_or(|(_, attributes)| attributes.local_pref.unwrap_or(100) <= 100);
        let expected = best.filter(|_| !local).map(|(_, attributes)| attributes.next_hop.addr());
        let held = rig.rib.get(&prefix).map(|route| match route.next_hops.legs()[0].next_hop {
            rib::NextHop::Gateway { addr, .. } => addr,
            ref other => panic!("{other:?}"),
        });
        assert_eq!(held, expected, "{prefix} in the RIB");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn views_and_rib_agree_with_the_model(ops in prop::collection::vec(op(), 1..60)) {
        run(ops);
    }
}

/// Found by the property above: a destination's number is used again, and what was known of the urgent lane went with it.
#[test]
fn a_reused_number_does_not_overtake_what_is_queued() {
    let announce = |prefixes| Op::Announce {
        peer: 0,
        prefixes,
        path: vec![],
        med: None,
        origin: false,
        lp: 99,
        hop: 0,
        no_export: false,
    };
    run(vec![
        Op::Local { prefix: 0, up: true },
        Op::Local { prefix: 0, up: false },
        announce(vec![7]),
        Op::Deaf { peer: 1, deaf: true },
        announce(vec![0]),
        Op::Settle,
        Op::Local { prefix: 7, up: true },
    ]);
}
