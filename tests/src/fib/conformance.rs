//! What every backend must do by itself, without the machine above it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fib_sync::backend::{FibBackend, Refusal};
use ipnet::IpNet;
use rib::{Discard, FibFault, FibRoute, Forwarding, IfIndex, NextHopId, NextHopOp, ResolvedLeg};

/// Two links that are up, each with a neighbor per family.
#[derive(Clone, Copy)]
pub struct Ground {
    /// The links.
    pub links: [IfIndex; 2],
    /// The IPv4 neighbor on each.
    pub v4: [IpAddr; 2],
    /// The IPv6 neighbor on each.
    pub v6: [IpAddr; 2],
}

impl Ground {
    /// A leg over one link by any gateway.
    #[must_use]
    pub fn leg(&self, link: usize, gateway: IpAddr, weight: u16) -> ResolvedLeg {
        ResolvedLeg { interface: self.links[link], gateway: Some(gateway), onlink: false, weight }
    }

    /// By the neighbor on one link.
    #[must_use]
    pub fn v4(&self, link: usize) -> Forwarding {
        Forwarding::Legs([self.leg(link, self.v4[link], 1)].into_iter().collect())
    }

    /// By the neighbor on one link.
    #[must_use]
    pub fn v6(&self, link: usize) -> Forwarding {
        Forwarding::Legs([self.leg(link, self.v6[link], 1)].into_iter().collect())
    }

    /// By both, three to one.
    #[must_use]
    pub fn both_v4(&self) -> Forwarding {
        Forwarding::Legs([self.leg(0, self.v4[0], 3), self.leg(1, self.v4[1], 1)].into_iter().collect())
    }

    /// By both, three to one.
    #[must_use]
    pub fn both_v6(&self) -> Forwarding {
        Forwarding::Legs([self.leg(0, self.v6[0], 3), self.leg(1, self.v6[1], 1)].into_iter().collect())
    }
}

/// The prefix that `text` says.
///
/// # Panics
/// If it says none.
#[must_use]
pub fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

/// What a RIB says of its object `id`.
#[must_use]
pub fn object(id: u32, forwarding: Forwarding) -> NextHopOp {
    NextHopOp { id: NextHopId(id), forwarding: Some(forwarding) }
}

/// A route on the object `id`.
#[must_use]
pub fn route(prefix: &str, id: u32) -> FibRoute {
    FibRoute { prefix: net(prefix), next_hop: Some(NextHopId(id)) }
}

/// A route that is to go.
#[must_use]
pub fn gone(prefix: &str) -> FibRoute {
    FibRoute { prefix: net(prefix), next_hop: None }
}

/// All that `backend` holds of ours, by its own dump.
///
/// # Panics
/// If it cannot be read, or names a prefix twice.
pub fn held(backend: &mut dyn FibBackend) -> BTreeMap<IpNet, Forwarding> {
    let mut held = BTreeMap::new();
    backend
        .dump(&mut |installed| {
            let twice = held.insert(installed.prefix, installed.forwarding);
            assert!(twice.is_none(), "{} is dumped twice", installed.prefix);
        })
        .expect("a readable data plane");
    held
}

fn apply(backend: &mut dyn FibBackend, next_hops: &[NextHopOp], routes: &[FibRoute], unused: &[u32]) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let unused: Vec<NextHopId> = unused.iter().copied().map(NextHopId).collect();
    backend.apply(next_hops, routes, &unused, &mut refused).expect("a writable data plane");
    refused
}

/// Everything below, on a data plane that holds nothing of ours; it holds nothing after.
pub fn conformance(backend: &mut dyn FibBackend, ground: Ground) {
    assert!(held(backend).is_empty(), "begin with an empty data plane");
    writes_and_removes(backend, ground);
    moves_with_the_object(backend, ground);
    splits_by_weight(backend, ground);
    takes_as_many_legs_as_it_says(backend, ground);
    discards(backend, ground);
    refuses_one_and_takes_the_rest(backend, ground);
    acknowledges_local_routes(backend, ground);
    takes_many(backend, ground);
    sweeps(backend, ground);
    assert!(held(backend).is_empty(), "every step cleans up");
}

fn writes_and_removes(backend: &mut dyn FibBackend, ground: Ground) {
    let objects = [object(1, ground.v4(0)), object(2, ground.v6(0))];
    let routes = [route("192.0.2.0/24", 1), route("0.0.0.0/0", 1), route("2001:db8::/32", 2), route("::/0", 2)];
    assert_eq!(apply(backend, &objects, &routes, &[]), []);
    let expected: BTreeMap<IpNet, Forwarding> = [
        (net("192.0.2.0/24"), ground.v4(0)),
        (net("0.0.0.0/0"), ground.v4(0)),
        (net("2001:db8::/32"), ground.v6(0)),
        (net("::/0"), ground.v6(0)),
    ]
    .into();
    assert_eq!(held(backend), expected);
    // Saying it again changes nothing.
    assert_eq!(apply(backend, &objects, &routes, &[]), []);
    assert_eq!(held(backend), expected);
    // Another object for one of them.
    assert_eq!(apply(backend, &[object(3, ground.v4(1))], &[route("192.0.2.0/24", 3)], &[]), []);
    assert_eq!(held(backend)[&net("192.0.2.0/24")], ground.v4(1));
    let all = ["192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0"].map(gone);
    assert_eq!(apply(backend, &[], &all, &[1, 2, 3]), []);
    assert!(held(backend).is_empty());
    assert_eq!(apply(backend, &[], &all, &[1, 2, 3]), [], "removing what is not there succeeds");
}

fn moves_with_the_object(backend: &mut dyn FibBackend, ground: Ground) {
    let routes = [route("192.0.2.0/24", 1), route("198.51.100.0/24", 1), route("2001:db8::/32", 2)];
    apply(backend, &[object(1, ground.v4(0)), object(2, ground.v6(0))], &routes, &[]);
    let again = |old: &Forwarding, new: &Forwarding, backend: &dyn FibBackend| !backend.carries(old, new);
    let mut resend = Vec::new();
    if again(&ground.v4(0), &ground.v4(1), backend) {
        resend.extend_from_slice(&routes[..2]);
    }
    if again(&ground.v6(0), &ground.v6(1), backend) {
        resend.extend_from_slice(&routes[2..]);
    }
    assert_eq!(apply(backend, &[object(1, ground.v4(1)), object(2, ground.v6(1))], &resend, &[]), []);
    let now = held(backend);
    assert_eq!(now[&net("192.0.2.0/24")], ground.v4(1));
    assert_eq!(now[&net("198.51.100.0/24")], ground.v4(1));
    assert_eq!(now[&net("2001:db8::/32")], ground.v6(1));
    apply(backend, &[], &["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"].map(gone), &[1, 2]);
}

fn splits_by_weight(backend: &mut dyn FibBackend, ground: Ground) {
    let routes = [route("192.0.2.0/24", 1), route("2001:db8::/32", 2)];
    assert_eq!(apply(backend, &[object(1, ground.both_v4()), object(2, ground.both_v6())], &routes, &[]), []);
    let now = held(backend);
    assert_eq!(now[&net("192.0.2.0/24")], ground.both_v4());
    assert_eq!(now[&net("2001:db8::/32")], ground.both_v6());
    // One leg falls, and comes back.
    for (v4, v6) in [(ground.v4(1), ground.v6(1)), (ground.both_v4(), ground.both_v6())] {
        let resend: &[FibRoute] = if backend.carries(&ground.both_v4(), &ground.v4(1)) { &[] } else { &routes };
        assert_eq!(apply(backend, &[object(1, v4.clone()), object(2, v6.clone())], resend, &[]), []);
        let now = held(backend);
        assert_eq!(now[&net("192.0.2.0/24")], v4);
        assert_eq!(now[&net("2001:db8::/32")], v6);
    }
    apply(backend, &[], &["192.0.2.0/24", "2001:db8::/32"].map(gone), &[1, 2]);
}

/// Up to 64 of different weights, as RIB and configuration allow, or fewer where the plane says so.
fn takes_as_many_legs_as_it_says(backend: &mut dyn FibBackend, ground: Ground) {
    let count = backend.capacity().legs.min(64);
    let nth = |first: IpAddr, n: usize| match first {
        IpAddr::V4(addr) => IpAddr::V4((addr.to_bits() + n as u32).into()),
        IpAddr::V6(addr) => IpAddr::V6((addr.to_bits() + n as u128).into()),
    };
    let legs = |of: [IpAddr; 2]| {
        let leg = |n: usize| ground.leg(n % 2, nth(of[n % 2], n), n as u16 + 1);
        let mut legs: Vec<_> = (0..count).map(leg).collect();
        legs.sort_unstable();
        Forwarding::Legs(legs.into())
    };
    let (v4, v6) = (legs(ground.v4), legs(ground.v6));
    let routes = [route("192.0.2.0/24", 1), route("2001:db8::/32", 2)];
    assert_eq!(apply(backend, &[object(1, v4.clone()), object(2, v6.clone())], &routes, &[]), []);
    let now = held(backend);
    assert_eq!((&now[&net("192.0.2.0/24")], &now[&net("2001:db8::/32")]), (&v4, &v6));
    apply(backend, &[], &["192.0.2.0/24", "2001:db8::/32"].map(gone), &[1, 2]);
}

fn discards(backend: &mut dyn FibBackend, ground: Ground) {
    for discard in [Discard::Blackhole, Discard::Unreachable, Discard::Prohibit] {
        let meaning = Forwarding::Discard(discard);
        let routes = [route("192.0.2.0/24", 1), route("2001:db8::/32", 1)];
        assert_eq!(apply(backend, &[object(1, meaning.clone())], &routes, &[]), []);
        let now = held(backend);
        assert_eq!((&now[&net("192.0.2.0/24")], &now[&net("2001:db8::/32")]), (&meaning, &meaning));
        // From there to a neighbor and back, on the same object.
        let away = [object(1, ground.v6(0))];
        let resend: &[FibRoute] = if backend.carries(&meaning, &ground.v6(0)) { &[] } else { &routes };
        assert_eq!(apply(backend, &away, resend, &[]), []);
        let now = held(backend);
        assert_eq!(now[&net("2001:db8::/32")], ground.v6(0));
        assert_eq!(now[&net("192.0.2.0/24")], ground.v6(0), "RFC 8950: IPv4 by an IPv6 neighbor");
        let resend: &[FibRoute] = if backend.carries(&ground.v6(0), &meaning) { &[] } else { &routes };
        assert_eq!(apply(backend, &[object(1, meaning.clone())], resend, &[]), []);
        assert_eq!(held(backend)[&net("2001:db8::/32")], meaning);
        apply(backend, &[], &["192.0.2.0/24", "2001:db8::/32"].map(gone), &[1]);
        assert!(held(backend).is_empty());
    }
}

fn refuses_one_and_takes_the_rest(backend: &mut dyn FibBackend, ground: Ground) {
    let routes = [route("192.0.2.0/24", 1), route("198.51.100.0/24", 999), route("203.0.113.0/24", 1)];
    let refused = apply(backend, &[object(1, ground.v4(0))], &routes, &[]);
    assert!(matches!(&refused[..], [Refusal::Route(prefix, _)] if *prefix == net("198.51.100.0/24")), "{refused:?}");
    let now = held(backend);
    assert_eq!(now.keys().copied().collect::<Vec<_>>(), [net("192.0.2.0/24"), net("203.0.113.0/24")]);
    apply(backend, &[], &["192.0.2.0/24", "203.0.113.0/24"].map(gone), &[1]);
}

fn acknowledges_local_routes(backend: &mut dyn FibBackend, ground: Ground) {
    let addr: IpAddr = "192.0.2.53".parse().expect("an address");
    let objects = [object(1, Forwarding::Local), object(2, ground.v4(0))];
    // A route to elsewhere stands there first.
    apply(backend, &objects, &[route("192.0.2.53/32", 2)], &[]);
    let refused = apply(backend, &[], &[route("192.0.2.53/32", 1)], &[]);
    assert_eq!(refused, [Refusal::Route(net("192.0.2.53/32"), FibFault::NotLocal)]);
    assert!(held(backend).is_empty(), "the way to elsewhere is gone");
    backend.local_address(addr, true);
    assert_eq!(apply(backend, &[], &[route("192.0.2.53/32", 1), route("192.0.2.0/24", 1)], &[]), []);
    assert!(held(backend).is_empty());
    backend.local_address(addr, false);
    assert_eq!(apply(backend, &[], &[route("192.0.2.53/32", 1)], &[]).len(), 1);
    apply(backend, &[], &["192.0.2.53/32", "192.0.2.0/24"].map(gone), &[1, 2]);
}

fn takes_many(backend: &mut dyn FibBackend, ground: Ground) {
    let prefixes: Vec<String> = (0..6000)
        .map(|n| format!("10.{}.{}.0/24", 100 + n / 250, n % 250))
        .chain((0..4000).map(|n| format!("2001:db8:{n:x}::/48")))
        .collect();
    let routes: Vec<FibRoute> =
        prefixes.iter().map(|prefix| route(prefix, if prefix.contains(':') { 2 } else { 1 })).collect();
    let broken = route("198.51.100.0/24", 999);
    let batch: Vec<FibRoute> =
        routes[..3000].iter().copied().chain([broken]).chain(routes[3000..].iter().copied()).collect();
    let refused = apply(backend, &[object(1, ground.both_v4()), object(2, ground.v6(0))], &batch, &[]);
    assert_eq!(refused.len(), 1, "only the broken one: {:?}", &refused[..refused.len().min(3)]);
    assert_eq!(held(backend).len(), routes.len());
    let removals: Vec<FibRoute> = prefixes.iter().map(|prefix| gone(prefix)).collect();
    assert_eq!(apply(backend, &[], &removals, &[1, 2]), []);
    assert!(held(backend).is_empty());
}

fn sweeps(backend: &mut dyn FibBackend, ground: Ground) {
    let objects = [object(1, ground.v4(0)), object(2, ground.v4(1))];
    apply(backend, &objects, &[route("192.0.2.0/24", 1), route("198.51.100.0/24", 2)], &[]);
    assert_eq!(held(backend).len(), 2);
    apply(backend, &[], &[gone("198.51.100.0/24")], &[]);
    backend.sweep_next_hops(&mut |id| id == NextHopId(1)).expect("a writable data plane");
    assert_eq!(held(backend).len(), 1, "what is used stays");
    apply(backend, &[], &[gone("192.0.2.0/24")], &[1]);
    backend.sweep_next_hops(&mut |_| false).expect("a writable data plane");
}
