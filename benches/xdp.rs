//! XDP at a full table: the data plane's lookups beside `BPF_MAP_TYPE_LPM_TRIE` and `bpf_fib_lookup`, whole packets beside the
//! kernel's forwarding, route writes and failover. All in one run, so that the ratios hold on any machine. Fails where a bound of
//! ours is not kept.
//!
//! Needs root; uses a network and a mount namespace of its own.
//!
//! ```text
//! cargo bench --bench xdp [-- --ipv4 1000000] [--ipv6 200000] [--rounds 5]
//! ```

#![allow(clippy::disallowed_methods, reason = "a benchmark is a carrier: it reads the clock")]

#[path = "common/options.rs"]
mod options;
#[path = "common/table.rs"]
mod table;

use std::process::Command;
use std::time::{Duration, Instant};

use fib_sync::backend::FibBackend;
use fib_sync::netlink::{KernelBackend, KernelConfig, NexthopCompat};
use fib_sync::xdp::probe::{Lookup, Probe, TARGETS};
use fib_sync::xdp::{XdpBackend, XdpConfig};
use ipnet::IpNet;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rib::{FibRoute, Forwarding, IfIndex, NextHopId, NextHopOp, ResolvedLeg};

/// Routes in one batch, as the daemon sends them.
const BATCH: usize = 1024;
/// Next hops that the routes are spread over.
const NEXT_HOPS: u32 = 64;
/// Frames per measurement.
const FRAMES: u32 = 1_000_000;

fn inside4(rng: &mut fastrand::Rng, net: &IpNet) -> u32 {
    let IpNet::V4(net) = net else { unreachable!("an IPv4 prefix") };
    net.network().to_bits() | (rng.u32(..) & net.hostmask().to_bits())
}

fn inside6(rng: &mut fastrand::Rng, net: &IpNet) -> u128 {
    let IpNet::V6(net) = net else { unreachable!("an IPv6 prefix") };
    net.network().to_bits() | (rng.u128(..) & net.hostmask().to_bits())
}

fn ips(commands: &str) {
    for line in commands.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let output = Command::new("ip").args(line.split(' ')).output().expect("iproute2");
        assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn link(name: &str) -> (IfIndex, [u8; 6]) {
    let output = Command::new("ip").args(["-o", "link", "show", "dev", name]).output().expect("iproute2");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let index = text.split(':').next().and_then(|n| n.parse().ok()).expect("a number");
    let mac = text.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
    let octets: Vec<u8> = mac.split(':').map(|octet| u8::from_str_radix(octet, 16).expect("hex")).collect();
    (IfIndex(index), octets.try_into().expect("six octets"))
}

fn namespace() {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("root, for namespaces of our own");
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("mounts of our own");
    mount(Some("bpf"), "/mnt", Some("bpf"), MsFlags::empty(), none).expect("a BPF file system");
    ips("link set lo up
         link add w0 type veth peer name w1
         link add v0 type veth peer name v1
         link add u0 type veth peer name u1
         addr add 10.0.0.1/16 dev v0
         addr add 10.1.0.1/16 dev w0
         addr add 10.2.0.1/16 dev u0
         -6 addr add fd00::1/64 dev v0 nodad
         -6 addr add fd01::1/64 dev w0 nodad");
    for name in ["w0", "w1", "v0", "v1", "u0", "u1"] {
        ips(&format!("link set {name} up"));
    }
    let switch = |name: &str, value: &str| std::fs::write(format!("/proc/sys/net/{name}"), value).expect("a switch");
    switch("ipv4/ip_forward", "1");
    switch("ipv6/conf/all/forwarding", "1");
    for name in ["all", "w0"] {
        switch(&format!("ipv4/conf/{name}/rp_filter"), "0");
    }
    switch("ipv6/route/max_size", "2147483647");
    for n in 2..2 + NEXT_HOPS {
        ips(&format!(
            "neigh add 10.0.0.{n} lladdr 02:00:00:00:00:02 dev v0 nud permanent
             neigh add 10.2.0.{n} lladdr 02:00:00:00:00:02 dev u0 nud permanent
             -6 neigh add fd00::{n:x} lladdr 02:00:00:00:00:02 dev v0 nud permanent"
        ));
    }
}

fn leg(interface: IfIndex, gateway: &str) -> Forwarding {
    let gateway = Some(gateway.parse().expect("an address"));
    Forwarding::Legs([ResolvedLeg { interface, gateway, onlink: false, weight: 1 }].into_iter().collect())
}

fn load(backend: &mut dyn FibBackend, objects: &[NextHopOp], routes: &[FibRoute], batch: usize) -> Duration {
    let mut refused = Vec::new();
    backend.apply(objects, &[], &[], &mut refused).expect("a data plane");
    let begin = Instant::now();
    for chunk in routes.chunks(batch) {
        backend.apply(&[], chunk, &[], &mut refused).expect("a data plane");
    }
    let took = begin.elapsed();
    assert!(refused.is_empty(), "{} refused, first {:?}", refused.len(), refused[0]);
    took
}

/// The best of some rounds, the loop taken off.
fn lookup(probe: &Probe, who: Lookup, v4: bool, from: IfIndex, rounds: usize) -> (f64, u64) {
    let mut best = f64::MAX;
    let mut hits = 0;
    for _ in 0..rounds {
        let (empty, _) = probe.lookups(Lookup::Nobody, v4, from, 16_384).expect("a run");
        let (nanos, found) = probe.lookups(who, v4, from, 16_384).expect("a run");
        best = best.min(nanos - empty);
        hits = found;
    }
    (best, hits)
}

fn frame() -> Vec<u8> {
    let ip = [0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 2, 11, 0, 0, 1, 0x30, 0x39, 0, 9, 0, 26, 0, 0];
    let mut frame = [&[2, 0, 0, 0, 0, 1, 2, 9, 9, 9, 9, 9, 8, 0][..], &ip].concat();
    frame.resize(60, 0);
    frame
}

/// Nanoseconds per frame until all have arrived.
fn whole_path(probe: &mut Probe, forwarder: Option<&XdpBackend>, from: (IfIndex, [u8; 6]), rounds: usize) -> f64 {
    let mut best = f64::MAX;
    probe.send(forwarder, &frame(), from, 10_000).expect("frames");
    std::thread::sleep(Duration::from_millis(100));
    for _ in 0..rounds {
        let before = probe.arrived();
        let begin = Instant::now();
        probe.send(forwarder, &frame(), from, FRAMES).expect("frames");
        let nanos = begin.elapsed().as_nanos() as f64 / f64::from(FRAMES);
        std::thread::sleep(Duration::from_millis(200));
        let arrived = probe.arrived() - before;
        assert!(arrived >= u64::from(FRAMES) * 999 / 1000, "only {arrived} of {FRAMES} frames arrived");
        best = best.min(nanos);
    }
    best
}

fn main() {
    let (mut ipv4, mut ipv6, mut rounds) = (1_000_000, 200_000, 5);
    let unknown = options::options(&mut [("ipv4", &mut ipv4), ("ipv6", &mut ipv6), ("rounds", &mut rounds)]);
    assert!(unknown.is_empty(), "no such options: {unknown:?}");
    namespace();
    let all = table::prefixes(ipv4, ipv6).concat();
    let (v0, w0, u0) = (link("v0"), link("w0"), link("u0"));
    let mut objects = Vec::new();
    for n in 0..NEXT_HOPS {
        let forwarding = leg(v0.0, &format!("10.0.0.{}", 2 + n));
        objects.push(NextHopOp { id: NextHopId(1 + n), forwarding: Some(forwarding) });
        let forwarding = leg(v0.0, &format!("fd00::{:x}", 2 + n));
        objects.push(NextHopOp { id: NextHopId(1 + NEXT_HOPS + n), forwarding: Some(forwarding) });
    }
    let to = |at: usize, prefix: &IpNet| {
        let first = if prefix.addr().is_ipv4() { 1 } else { 1 + NEXT_HOPS };
        FibRoute { prefix: *prefix, next_hop: Some(NextHopId(first + at as u32 % NEXT_HOPS)) }
    };
    let routes: Vec<FibRoute> = all.iter().enumerate().map(|(at, prefix)| to(at, prefix)).collect();
    let (v4, v6) = routes.split_at(ipv4);

    let mut config = XdpConfig { pin: "/mnt/anyhop".into(), ..XdpConfig::default() };
    config.interfaces = ["v0", "w0", "u0"].map(str::to_owned).into();
    config.limits.ipv4_routes = config.limits.ipv4_routes.max(ipv4 as u32 + 1024);
    config.limits.ipv6_routes = config.limits.ipv6_routes.max(ipv6 as u32 + 1024);
    let mut xdp = XdpBackend::open(config).expect("XDP");
    let rate = |took: Duration, routes: usize| routes as f64 / took.as_secs_f64() / 1e6;
    let fresh = rate(load(&mut xdp, &objects, v4, BATCH), v4.len());
    let fresh6 = rate(load(&mut xdp, &[], v6, BATCH), v6.len());
    // Each to another next hop, as when a better neighbor comes.
    let mut best: f64 = 0.0;
    for round in 1..=rounds {
        let moved: Vec<FibRoute> = v4.iter().enumerate().map(|(at, route)| to(at + round, &route.prefix)).collect();
        best = best.max(rate(load(&mut xdp, &[], &moved, BATCH), moved.len()));
    }
    let [(groups4, _), (groups6, lists)] = xdp.groups_used();
    println!(
        "in use: {groups4} groups for {} IPv4 routes, {groups6} groups and {lists} lists for {} IPv6 routes",
        v4.len(),
        v6.len()
    );
    println!("route writes, million/s: IPv4 new {fresh:.2}, IPv4 to another next hop {best:.2}, IPv6 new {fresh6:.2}");

    let mut probe = Probe::open(&xdp).expect("the probe");
    let begin = Instant::now();
    probe.fill(&all).expect("tries");
    println!("LPM_TRIE insert, million/s: {:.2}", rate(begin.elapsed(), all.len()));
    let kernel = KernelConfig { nexthop_compat: NexthopCompat::Off, ..KernelConfig::default() };
    let mut kernel = KernelBackend::open(kernel).expect("the kernel");
    load(&mut kernel, &objects, &routes, 65_536);

    let mut rng = fastrand::Rng::with_seed(7);
    let some = |rng: &mut fastrand::Rng, of: &[FibRoute]| of[rng.usize(0..of.len())].prefix;
    let targets: Vec<u32> = (0..TARGETS)
        .map(|n| {
            if n % 10 == 0 {
                rng.u32(0x0b00_0000..0x7f00_0000)
            } else {
                let net = some(&mut rng, v4);
                inside4(&mut rng, &net)
            }
        })
        .collect();
    probe.targets4(&targets);
    let targets: Vec<u128> = (0..TARGETS)
        .map(|n| {
            if n % 10 == 0 {
                0x2 << 124 | rng.u128(..) >> 4
            } else {
                let net = some(&mut rng, v6);
                inside6(&mut rng, &net)
            }
        })
        .collect();
    probe.targets6(&targets);
    let mut kept = true;
    for (v4, name, must) in [(true, "IPv4", 15.0), (false, "IPv6", 5.0)] {
        let (ours, hits) = lookup(&probe, Lookup::Stride, v4, w0.0, rounds);
        let (trie, trie_hits) = lookup(&probe, Lookup::Trie, v4, w0.0, rounds);
        let (fib, fib_hits) = lookup(&probe, Lookup::Kernel, v4, w0.0, rounds);
        assert_eq!(hits, trie_hits, "{name}: the tables and the tries answer alike");
        // Of what no route leads to the kernel may say something else than "no route"; none of ours may be missing.
        assert!(fib_hits >= hits * 99 / 100, "{name}: the kernel finds {fib_hits}, we find {hits}");
        let ratio = trie / ours;
        println!(
            "{name} lookup, ns: ours {ours:.1}, LPM_TRIE {trie:.1}, bpf_fib_lookup {fib:.1}: ours takes 1/{ratio:.1} of LPM_TRIE's time \
             (must be 1/{must}), 1/{:.1} of bpf_fib_lookup's",
            fib / ours
        );
        kept &= ratio >= must;
    }
    // The whole path, to targets that all have routes.
    let targets: Vec<u32> = (0..TARGETS)
        .map(|_| {
            let net = some(&mut rng, v4);
            inside4(&mut rng, &net)
        })
        .collect();
    probe.targets4(&targets);
    probe.sink(link("v1").0).expect("a sink");
    probe.sink(link("u1").0).expect("a sink");
    let ours = whole_path(&mut probe, Some(&xdp), w0, rounds);
    let theirs = whole_path(&mut probe, None, w0, rounds);
    println!(
        "whole packets, ns: ours {ours:.0} ({:.2} Mpps), the kernel {theirs:.0} ({:.2} Mpps): {:.1} times (must be 3)",
        1e3 / ours,
        1e3 / theirs,
        theirs / ours
    );
    kept &= theirs / ours >= 3.0;
    // Failover: every route's object away from its link and back.
    let mut worst = Duration::ZERO;
    for round in 0..rounds * 2 {
        for n in 0..NEXT_HOPS {
            let (interface, net) = if round % 2 == 0 { (u0.0, "10.2.0") } else { (v0.0, "10.0.0") };
            let op = NextHopOp { id: NextHopId(1 + n), forwarding: Some(leg(interface, &format!("{net}.{}", 2 + n))) };
            let begin = Instant::now();
            xdp.apply(&[op], &[], &[], &mut Vec::new()).expect("XDP");
            worst = worst.max(begin.elapsed());
        }
    }
    println!(
        "failover of a next hop under {} routes: {:.3} ms at worst (must be 1)",
        v4.len() / NEXT_HOPS as usize,
        worst.as_secs_f64() * 1e3
    );
    kept &= worst <= Duration::from_millis(1) && fresh.max(best) >= 5.0;
    assert!(kept, "a bound is not kept");
}
