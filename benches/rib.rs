//! The table at the size of the Internet: 1,000,000 IPv4 and 200,000 IPv6 prefixes with the BGP mix of lengths.
//!
//! Run with `cargo bench --bench rib`. Each figure of the RIB stands beside the same operation on the bare `prefix-trie` map, which
//! is its floor. Every iteration takes its addresses and prefixes in random order, so that caches do not flatter.

#[path = "common/table.rs"]
mod table;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fastrand::Rng;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use rib::message::Input;
use rib::{
    BackendId, FibDelta, FibProgress, IfIndex, NextHop, NextHopSet, Protocol, Rib, RibConfig, Route, RouteBatch, Source,
};

const IPV4: usize = 1_000_000;
const IPV6: usize = 200_000;
/// Neighbors of the benchmark's speaker, each a next hop.
const NEXT_HOPS: u8 = 100;
/// Routes travel in batches of this many.
const BATCH: usize = 1024;

struct Set {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
    /// Both, in random order.
    all: Vec<IpNet>,
    /// An address under each of them.
    addrs: Vec<IpAddr>,
}

fn set() -> Set {
    let [v4, v6] = table::prefixes(IPV4, IPV6);
    let mut all: Vec<IpNet> = v4.iter().chain(&v6).copied().collect();
    let mut rng = Rng::with_seed(2);
    rng.shuffle(&mut all);
    let v4 = v4.into_iter().filter_map(|net| if let IpNet::V4(net) = net { Some(net) } else { None }).collect();
    let v6 = v6.into_iter().filter_map(|net| if let IpNet::V6(net) = net { Some(net) } else { None }).collect();
    let addrs = all.iter().map(|net| under(*net, &mut rng)).collect();
    Set { v4, v6, all, addrs }
}

fn under(net: IpNet, rng: &mut Rng) -> IpAddr {
    match net {
        IpNet::V4(net) => Ipv4Addr::from(u32::from(net.network()) | rng.u32(..) & u32::from(net.hostmask())).into(),
        IpNet::V6(net) => Ipv6Addr::from(u128::from(net.network()) | rng.u128(..) & u128::from(net.hostmask())).into(),
    }
}

fn bgp(neighbor: u8, metric: u32) -> Route {
    let protocol = Protocol::Ebgp;
    Route {
        protocol,
        distance: protocol.default_distance(),
        metric: rib::Metric(metric),
        tag: 0,
        next_hops: NextHopSet::from(NextHop::via(Ipv4Addr::new(10, 0, 0, neighbor).into())),
    }
}

/// The batches of a whole table.
fn batches(prefixes: &[IpNet], metric: u32) -> Vec<RouteBatch> {
    let batch = |prefixes: &[IpNet]| {
        let mut batch = RouteBatch::new(Source::Bgp);
        batch.routes = (1..=NEXT_HOPS).map(|neighbor| bgp(neighbor, metric)).collect();
        batch.changes = (0..)
            .zip(prefixes)
            .map(|(number, prefix)| rib::RouteChange { prefix: *prefix, route: Some(number % u32::from(NEXT_HOPS)) })
            .collect();
        batch
    };
    prefixes.chunks(BATCH).map(batch).collect()
}

#[allow(clippy::disallowed_methods, reason = "a benchmark is a carrier: it gives the machine its time")]
fn node() -> (Rib, Instant) {
    let now = Instant::now();
    let mut rib = Rib::new(RibConfig::default());
    let mut out = Vec::new();
    rib.handle(now, Input::Interface { index: IfIndex(2), up: true }, &mut out);
    let mut links = RouteBatch::new(Source::Connected);
    let connected = Route {
        protocol: Protocol::Connected,
        distance: Protocol::Connected.default_distance(),
        next_hops: NextHop::Interface(IfIndex(2)).into(),
        ..bgp(1, 0)
    };
    links.add("10.0.0.0/24".parse().expect("a prefix"), connected);
    rib.handle(now, Input::Routes(links), &mut out);
    (rib, now)
}

/// Gives the batches and works until nothing is left; the data plane, if there is one, reads and answers along.
fn give(rib: &mut Rib, now: Instant, batches: impl IntoIterator<Item = RouteBatch>, delta: &mut FibDelta) {
    let mut out = Vec::new();
    for batch in batches {
        rib.handle(now, Input::Routes(batch), &mut out);
        while rib.has_work() {
            rib.handle(now, Input::Work, &mut out);
        }
        while rib.pull_fib(BackendId(0), 4096, delta) {}
        let (backend, through) = (BackendId(0), delta.through);
        let progress = FibProgress { backend, through, failed: Vec::new(), recovered: Vec::new() };
        rib.handle(now, Input::Fib(progress), &mut out);
    }
}

/// Times `count` operations spread over the iterations that criterion wants.
#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn timed(work: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    work();
    begin.elapsed()
}

/// The trees alone.
type Bare = (PrefixMap<Ipv4Net, u32>, PrefixMap<Ipv6Net, u32>);

fn lookup(c: &mut Criterion, set: &Set, rib: &Rib, bare: &Bare) {
    let mut group = c.benchmark_group("lookup");
    let mut at = 0;
    let mut next = || {
        at = (at + 1) % set.addrs.len();
        set.addrs[at]
    };
    group.bench_function("bare", |b| {
        b.iter(|| match next() {
            IpAddr::V4(addr) => black_box(bare.0.get_lpm(&addr.into()).map(|(_, slot)| *slot)),
            IpAddr::V6(addr) => black_box(bare.1.get_lpm(&addr.into()).map(|(_, slot)| *slot)),
        });
    });
    group.bench_function("rib_brief", |b| b.iter(|| black_box(rib.lookup_brief(next()))));
    group.bench_function("rib_view", |b| b.iter(|| black_box(rib.lookup(next()))));
    group.finish();
}

fn insert(c: &mut Criterion, set: &Set) {
    let mut group = c.benchmark_group("insert_all");
    group.sample_size(10).throughput(Throughput::Elements(set.all.len() as u64));
    group.bench_function("bare", |b| {
        b.iter_batched_ref(
            || (PrefixMap::new(), PrefixMap::new()),
            |(v4, v6)| {
                for (slot, net) in (0u32..).zip(&set.all) {
                    match net {
                        IpNet::V4(net) => v4.insert(*net, slot),
                        IpNet::V6(net) => v6.insert(*net, slot),
                    };
                }
            },
            BatchSize::PerIteration,
        );
    });
    for (name, with_backend) in [("rib", false), ("rib_and_data_plane", true)] {
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || {
                    let (mut rib, now) = node();
                    if with_backend {
                        rib.add_backend(BackendId(0));
                    }
                    (rib, now, Some(batches(&set.all, 0)))
                },
                |(rib, now, batches)| give(rib, *now, batches.take().into_iter().flatten(), &mut FibDelta::default()),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn update(c: &mut Criterion, set: &Set, rib: &mut Rib, now: Instant, bare: &mut Bare) {
    let mut group = c.benchmark_group("update");
    let mut shuffled = set.all.clone();
    let mut rng = Rng::with_seed(2);
    rng.shuffle(&mut shuffled);
    let mut metric = 0;
    let mut delta = FibDelta::default();
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(50);
    group.bench_function("bare_1024", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for iteration in 0..iterations {
                let from = rng.usize(0..shuffled.len() - BATCH);
                let slot = iteration as u32;
                spent += timed(|| {
                    for net in &shuffled[from..from + BATCH] {
                        match net {
                            IpNet::V4(net) => bare.0.insert(*net, slot),
                            IpNet::V6(net) => bare.1.insert(*net, slot),
                        };
                    }
                });
            }
            spent
        });
    });
    // One iteration is one batch of random prefixes, each with another next hop and metric than before.
    group.bench_function("rib_batch_of_1024", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                metric += 1;
                let from = rng.usize(0..shuffled.len() - BATCH);
                let batch = batches(&shuffled[from..from + BATCH], metric);
                spent += timed(|| {
                    let mut out = Vec::new();
                    for batch in batch {
                        rib.handle(now, Input::Routes(batch), &mut out);
                    }
                    while rib.has_work() {
                        rib.handle(now, Input::Work, &mut out);
                    }
                });
            }
            spent
        });
    });
    rib.add_backend(BackendId(0));
    while rib.pull_fib(BackendId(0), 4096, &mut delta) {}
    group.bench_function("rib_and_data_plane_batch_of_1024", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                metric += 1;
                let from = rng.usize(0..shuffled.len() - BATCH);
                let batch = batches(&shuffled[from..from + BATCH], metric);
                spent += timed(|| give(rib, now, batch, &mut delta));
            }
            spent
        });
    });
    group.finish();
}

fn failover(c: &mut Criterion, rib: &mut Rib, now: Instant) {
    let mut group = c.benchmark_group("next_hop_moves_under_1.2M_routes");
    group.sample_size(20);
    let mut delta = FibDelta::default();
    let mut metric = 0u32;
    // The link's prefix changes from one interface to the other: a hundred sets resolve anew, a hundred objects are written,
    // and no route.
    group.bench_function("hundred_objects", |b| {
        let mut out = Vec::new();
        rib.handle(now, Input::Interface { index: IfIndex(3), up: true }, &mut out);
        while rib.pull_fib(BackendId(0), 4096, &mut delta) {}
        b.iter(|| {
            metric += 1;
            let mut batch = RouteBatch::new(Source::Connected);
            let connected = Route {
                protocol: Protocol::Connected,
                distance: Protocol::Connected.default_distance(),
                next_hops: NextHop::Interface(IfIndex(2 + metric % 2)).into(),
                ..bgp(1, 0)
            };
            batch.add("10.0.0.0/24".parse().expect("a prefix"), connected);
            rib.handle(now, Input::Routes(batch), &mut out);
            while rib.has_work() {
                rib.handle(now, Input::Work, &mut out);
            }
            let mut objects = 0;
            let mut routes = 0;
            loop {
                let more = rib.pull_fib(BackendId(0), 4096, &mut delta);
                objects += delta.next_hops.len();
                routes += delta.routes.len();
                if !more {
                    break;
                }
            }
            assert_eq!(
                (objects, routes),
                (usize::from(NEXT_HOPS), 1),
                "objects and the link's own prefix, nothing else"
            );
        });
    });
    group.finish();
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<usize>().ok()).unwrap_or(0) << 10
}

fn all(c: &mut Criterion) {
    let set = set();
    let before = resident();
    let mut bare = (PrefixMap::new(), PrefixMap::new());
    (0..).zip(&set.v4).for_each(|(slot, net)| {
        bare.0.insert(*net, slot);
    });
    (0..).zip(&set.v6).for_each(|(slot, net)| {
        bare.1.insert(*net, slot);
    });
    let with_bare = resident();
    let (mut rib, now) = node();
    // In parts, so that the batches themselves do not count.
    for part in set.all.chunks(BATCH * 16) {
        give(&mut rib, now, batches(part, 0), &mut FibDelta::default());
    }
    let per_prefix = |octets: usize| octets as f64 / set.all.len() as f64;
    println!(
        "memory per prefix: bare {:.1} octets, rib {:.1} octets",
        per_prefix(with_bare - before),
        per_prefix(resident() - with_bare)
    );
    lookup(c, &set, &rib, &bare);
    update(c, &set, &mut rib, now, &mut bare);
    drop(bare);
    failover(c, &mut rib, now);
    drop(rib);
    insert(c, &set);
}

criterion_group!(benches, all);
criterion_main!(benches);
