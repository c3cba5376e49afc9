//! XDP as a data plane, seen from the trait and by trial runs of the program: conformance, what becomes of each kind of packet,
//! lookups during churn, restart. `fib_xdp_lab.rs` has the daemon with real traffic.

#[path = "fib/xdp_ground.rs"]
mod xdp_ground;

use std::path::PathBuf;
use std::process::Command;

use anyhop_tests::fib::namespace::{in_namespace, ip, ips, two_links};
use anyhop_tests::fib::{Ground, Subject, conformance, net, object, route, suite, wait_for};
use fib_sync::backend::FibBackend;
use fib_sync::xdp::probe::{Lookup, Probe};
use fib_sync::xdp::{XdpBackend, XdpMode, XdpTable};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rib::{Discard, FibRoute, Forwarding, NextHopId};
use xdp_ground::{bpffs, config};

#[test]
fn xdp_conforms() {
    in_namespace(|| {
        let bpffs = bpffs();
        let ground = two_links();
        let mut backend = XdpBackend::open(config(&bpffs, &["v0", "v1"])).expect("XDP");
        conformance(&mut backend, ground);
        assert_eq!(backend.groups_used(), [(0, 0); 2]);
    });
}

#[test]
fn xdp_conforms_over_lpm_tries_and_in_generic_mode() {
    in_namespace(|| {
        let bpffs = bpffs();
        let ground = two_links();
        let mut config = config(&bpffs, &["v0", "v1"]);
        config.table = XdpTable::LpmTrie;
        config.mode = XdpMode::Generic;
        conformance(&mut XdpBackend::open(config).expect("XDP"), ground);
    });
}

/// The pinned tables, whoever owns them at the time.
struct Pinned {
    bpffs: PathBuf,
    ground: Ground,
}

impl Subject for Pinned {
    fn open(&mut self) -> Box<dyn FibBackend> {
        Box::new(XdpBackend::open(config(&self.bpffs, &["v0", "v1"])).expect("XDP"))
    }

    fn ground(&self) -> Ground {
        self.ground
    }

    fn steal(&mut self, _: IpNet) -> Option<bool> {
        // Nobody else can tell where the words of a prefix lie.
        None
    }
}

#[test]
fn xdp_lives_through_the_suite() {
    in_namespace(|| {
        let bpffs = bpffs();
        let ground = two_links();
        suite(&mut Pinned { bpffs, ground }, 200, 4);
    });
}

/// The compiler that built the committed objects: another one's code is as good and yet not the same.
const CLANG: &str = "14.";

#[test]
fn the_committed_objects_are_what_the_sources_say() {
    let skipped = |why: &str| eprintln!("\n*** the_committed_objects_are_what_the_sources_say: skipped: {why} ***\n");
    let Ok(version) = Command::new("clang").arg("--version").output() else {
        return skipped("needs clang 14 and llvm (Debian 12: apt-get install clang llvm)");
    };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if !version.contains(&format!("version {CLANG}")) {
        return skipped(&format!("the objects were built with clang {CLANG}x, this is {version}"));
    }
    let sources = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fib-sync/xdp"));
    let built = tempfile::tempdir().expect("a directory");
    let output = Command::new("sh").arg(sources.join("build.sh")).arg(built.path()).output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for object in ["anyhop.bpf.o", "probe.bpf.o"] {
        let [fresh, committed] = [built.path(), &sources].map(|dir| std::fs::read(dir.join(object)).expect(object));
        assert!(fresh == committed, "{object} is not what its source says: run fib-sync/xdp/build.sh and commit");
    }
}

const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Two links with gateways whose addresses are known for good.
fn gateways() -> Ground {
    let ground = two_links();
    ips("neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev v0 nud permanent
         neigh add 10.0.1.2 lladdr 02:00:00:00:00:02 dev v1 nud permanent
         -6 neigh add fd00::2 lladdr 02:00:00:00:00:02 dev v0 nud permanent
         -6 neigh add fd01::2 lladdr 02:00:00:00:00:02 dev v1 nud permanent");
    ground
}

fn mac_of(interface: &str) -> [u8; 6] {
    let line = ip(&format!("-br link show dev {interface}"));
    let mac = line.split_whitespace().nth(2).expect("an address");
    let octets: Vec<u8> = mac.split(':').map(|octet| u8::from_str_radix(octet, 16).expect("hex")).collect();
    octets.try_into().expect("six octets")
}

fn checksum(header: &[u8]) -> u16 {
    let mut sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn frame4(to_mac: [u8; 6], from: &str, to: &str, ttl: u8) -> Vec<u8> {
    let addr = |text: &str| text.parse::<std::net::Ipv4Addr>().expect("an address").octets();
    let mut ip = vec![0x45, 0, 0, 46, 0, 0, 0, 0, ttl, 17, 0, 0];
    ip.extend(addr(from).into_iter().chain(addr(to)));
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    let mut frame = [to_mac.as_slice(), &[2, 9, 9, 9, 9, 9], &[8, 0], &ip].concat();
    frame.resize(60, 7);
    frame
}

fn frame6(to_mac: [u8; 6], from: &str, to: &str, hops: u8) -> Vec<u8> {
    let addr = |text: &str| text.parse::<std::net::Ipv6Addr>().expect("an address").octets();
    let head = [to_mac.as_slice(), &[2, 9, 9, 9, 9, 9], &[0x86, 0xdd], &[0x60, 0, 0, 0, 0, 8, 17, hops]].concat();
    [head.as_slice(), &addr(from), &addr(to), &[7; 8]].concat()
}

const DROP: u32 = 1;
const PASS: u32 = 2;
const REDIRECT: u32 = 4;

#[test]
fn each_kind_of_frame_has_its_verdict_and_is_counted() {
    in_namespace(|| {
        let bpffs = bpffs();
        let ground = gateways();
        let mut backend = XdpBackend::open(config(&bpffs, &["v0", "v1"])).expect("XDP");
        let us = mac_of("v0");
        let discard = |discard| Forwarding::Discard(discard);
        let objects = [
            object(1, ground.v4(1)),
            object(2, ground.v6(1)),
            object(3, discard(Discard::Blackhole)),
            object(4, discard(Discard::Unreachable)),
            object(
                5,
                Forwarding::Legs([ground.leg(1, "10.0.1.99".parse().expect("an address"), 1)].into_iter().collect()),
            ),
        ];
        let routes = [
            route("192.0.2.0/24", 1),
            route("2001:db8::/32", 2),
            route("198.51.100.0/24", 3),
            route("203.0.113.0/24", 4),
            route("198.18.0.0/15", 5),
        ];
        let mut refused = Vec::new();
        backend.apply(&objects, &routes, &[], &mut refused).expect("XDP");
        assert_eq!(refused, []);
        backend.local_address("192.0.2.53".parse().expect("an address"), true);
        let count = |reason: &str| {
            let counters = backend.counters();
            counters.iter().find(|(name, _)| *name == reason).expect("a counter").1
        };
        let trial = |frame: &[u8]| backend.trial(frame, ground.links[0], 1).expect("a trial run");
        wait_for("the gateways", || {
            let known = trial(&frame4(us, "10.0.0.9", "192.0.2.1", 64)).verdict == REDIRECT
                && trial(&frame6(us, "fd00::9", "2001:db8::1", 64)).verdict == REDIRECT;
            known.then_some(())
        });
        // What is forwarded is one TTL older, has a right checksum and the addresses of the next link.
        let sent = frame4(us, "10.0.0.9", "192.0.2.1", 64);
        let left = trial(&sent);
        assert_eq!(left.verdict, REDIRECT);
        assert_eq!((&left.frame[..6], &left.frame[6..12]), (&GATEWAY[..], &mac_of("v1")[..]));
        assert_eq!((left.frame[22], checksum(&left.frame[14..34])), (63, 0), "RFC 1624");
        assert_eq!((&left.frame[26..], &left.frame[12..22]), (&sent[26..], &sent[12..22]), "and nothing else");
        let sent = frame6(us, "fd00::9", "2001:db8::1", 64);
        let left = trial(&sent);
        assert_eq!((left.verdict, left.frame[21], &left.frame[22..]), (REDIRECT, 63, &sent[22..]));
        // The checksum's corner: what becomes 0xffff by the carry.
        for from in 1..=255u8 {
            let left = trial(&frame4(us, &format!("10.0.{from}.9"), "192.0.2.1", from.max(2)));
            assert_eq!(checksum(&left.frame[14..34]), 0, "{from}");
        }
        let plain = |to: &str| frame4(us, "10.0.0.9", to, 64);
        let changed = |at: usize, octet: u8, sum: bool| {
            let mut frame = plain("192.0.2.1");
            frame[at] = octet;
            if sum {
                frame[24..26].fill(0);
                let sum = checksum(&frame[14..34]).to_be_bytes();
                frame[24..26].copy_from_slice(&sum);
            }
            frame
        };
        let from = |from: &str| frame4(us, from, "192.0.2.1", 64);
        let tagged = [&plain("192.0.2.1")[..12], &[0x81, 0, 0, 5], &plain("192.0.2.1")[12..]].concat();
        let six = |from: &str, to: &str| frame6(us, from, to, 64);
        let mut options6 = six("fd00::9", "2001:db8::1");
        options6[20] = 0;
        let mut fragment6 = six("fd00::9", "2001:db8::1");
        fragment6[20] = 44;
        let rows: Vec<(&str, u32, &str, Vec<u8>)> = vec![
            ("blackhole", DROP, "discarded", plain("198.51.100.1")),
            ("unreachable", PASS, "unreachable", plain("203.0.113.1")),
            ("local address under a route", PASS, "to-local", plain("192.0.2.53")),
            ("no route", PASS, "no-route", plain("100.64.0.1")),
            ("no route", PASS, "no-route", six("fd00::9", "2001:db9::1")),
            ("gateway without an address", PASS, "unresolved", plain("198.18.0.1")),
            ("TTL 1", PASS, "ttl", frame4(us, "10.0.0.9", "192.0.2.1", 1)),
            ("TTL 0", PASS, "ttl", frame4(us, "10.0.0.9", "192.0.2.1", 0)),
            ("hop limit 1", PASS, "ttl", frame6(us, "fd00::9", "2001:db8::1", 1)),
            ("first fragment", PASS, "fragment", changed(20, 0x20, true)),
            ("later fragment", PASS, "fragment", changed(21, 1, true)),
            ("IPv6 fragment", PASS, "fragment", fragment6),
            ("options", PASS, "options", changed(14, 0x46, true)),
            ("hop-by-hop options", PASS, "options", options6),
            ("bad checksum", PASS, "malformed", changed(24, 0xaa, false)),
            ("longer than the frame", PASS, "malformed", changed(17, 200, true)),
            ("version 5", PASS, "malformed", changed(14, 0x55, true)),
            ("from 127/8", PASS, "martian", from("127.0.0.1")),
            ("from 0/8", PASS, "martian", from("0.1.2.3")),
            ("from multicast", PASS, "martian", from("224.0.0.5")),
            ("link-local", PASS, "martian", plain("169.254.1.1")),
            ("to multicast", PASS, "martian", plain("224.0.0.5")),
            ("to broadcast", PASS, "martian", plain("255.255.255.255")),
            ("IPv6 link-local", PASS, "martian", six("fe80::1", "2001:db8::1")),
            ("IPv6 loopback", PASS, "martian", six("::1", "2001:db8::1")),
            ("IPv6 multicast", PASS, "martian", six("fd00::9", "ff02::1")),
            ("another host's frame", PASS, "not-ours", frame4(GATEWAY, "10.0.0.9", "192.0.2.1", 64)),
            ("broadcast frame", PASS, "not-ours", frame4([0xff; 6], "10.0.0.9", "192.0.2.1", 64)),
            ("VLAN", PASS, "not-ip", tagged),
            ("ARP", PASS, "not-ip", changed(13, 6, false)),
        ];
        for (what, verdict, reason, frame) in rows {
            let before = count(reason);
            let run = trial(&frame);
            assert_eq!((run.verdict, count(reason)), (verdict, before + 1), "{what}");
            assert_eq!(run.frame, frame, "{what}: the kernel gets it as it came");
        }
        // The MTU of the way out.
        ips("link set p1 mtu 1280\nlink set v1 mtu 1280");
        let long = |octets: u16| {
            let mut frame = changed(16, octets.to_be_bytes()[0], false);
            frame[17] = octets.to_be_bytes()[1];
            frame[24..26].fill(0);
            let sum = checksum(&frame[14..34]).to_be_bytes();
            frame[24..26].copy_from_slice(&sum);
            frame.resize(14 + usize::from(octets), 7);
            frame
        };
        wait_for("the MTU", || (trial(&long(1281)).verdict == PASS).then_some(()));
        assert_eq!(trial(&long(1280)).verdict, REDIRECT);
        assert!(count("mtu") > 0);
        // The link falls: the gateway is as good as unknown.
        ip("link set p1 down");
        wait_for("the link to fall", || (trial(&plain("192.0.2.1")).verdict == PASS).then_some(()));
    });
}

/// Applies and expects no refusal.
fn write(backend: &mut XdpBackend, routes: &[FibRoute]) {
    let mut refused = Vec::new();
    backend.apply(&[], routes, &[], &mut refused).expect("XDP");
    assert_eq!(refused, []);
}

/// Two /16 (or /32), written over by longer and longer prefixes that come and go. Targets lie in the first only, whose routes
/// use objects A and B; the second uses C. Tables are small, so what the one gives back the other takes at once.
#[test]
fn no_lookup_meets_a_half_written_state_during_churn() {
    in_namespace(|| {
        let bpffs = bpffs();
        let ground = gateways();
        let mut config = config(&bpffs, &["v0", "v1"]);
        config.limits.ipv4_groups = 96;
        config.limits.ipv6_groups = 48;
        config.limits.ipv6_routes = 256;
        let mut backend = XdpBackend::open(config).expect("XDP");
        let objects =
            [object(1, ground.v4(0)), object(2, ground.v4(1)), object(3, Forwarding::Discard(Discard::Blackhole))];
        let base = [route("20.0.0.0/16", 1), route("30.0.0.0/16", 3), route("2a00::/32", 1), route("2b00::/32", 3)];
        let mut refused = Vec::new();
        backend.apply(&objects, &base, &[], &mut refused).expect("XDP");
        assert_eq!(refused, []);
        let numbers = [1, 2, 3].map(|id| backend.object(NextHopId(id)).expect("an object"));
        assert!(numbers[0] < numbers[1] && numbers[1] < numbers[2], "{numbers:?}");
        let probe = Probe::open(&backend).expect("the probe");
        let mut rng = fastrand::Rng::with_seed(6);
        let targets4: Vec<u32> = (0..1 << 14).map(|n| 0x1400_0000 | (n % 48) << 8 | rng.u32(0..256)).collect();
        let targets6: Vec<u128> =
            (0..1 << 14).map(|n| (0x2a00_u128 << 112) | ((n % 24) << 72) | (u128::from(rng.u64(..)) % 4096)).collect();
        probe.targets4(&targets4);
        probe.targets6(&targets6);
        probe.allow(numbers[0]..=numbers[1]);
        let stop = std::sync::atomic::AtomicBool::new(false);
        let stopped = || stop.load(std::sync::atomic::Ordering::Relaxed);
        let judged = std::thread::scope(|scope| {
            let probe = &probe;
            let judge = scope.spawn(move || {
                let mut looked = 0u64;
                while !stopped() {
                    for v4 in [true, false] {
                        looked += probe.lookups(Lookup::Judge, v4, ground.links[0], 2000).expect("a run").1;
                    }
                }
                looked
            });
            #[allow(clippy::disallowed_methods, reason = "a race needs real time")]
            let end = std::time::Instant::now() + std::time::Duration::from_secs(6);
            let mut standing: Vec<IpNet> = Vec::new();
            let mut rounds = 0;
            #[allow(clippy::disallowed_methods, reason = "a race needs real time")]
            while std::time::Instant::now() < end {
                rounds += 1;
                let own = rounds % 2 == 0;
                let mut batch: Vec<FibRoute> =
                    standing.drain(..).map(|prefix| FibRoute { prefix, next_hop: None }).collect();
                for n in 0..24u8 {
                    let length = rng.u8(25..=32);
                    let addr = (if own { 0x1400_0000 } else { 0x1e00_0000 })
                        | u32::from(rng.u8(0..48)) << 8
                        | u32::from(n * 8);
                    standing.push(Ipv4Net::new_assert(addr.into(), length).trunc().into());
                    let length = rng.u8(49..=128);
                    let top: u128 = if own { 0x2a00 << 112 } else { 0x2b00 << 112 };
                    // Every other one in the first three /56, which then need groups below them.
                    let near = u128::from(rng.u8(0..24) >> (n % 2 * 3));
                    let addr = top | near << 72 | u128::from(rng.u16(0..4096));
                    standing.push(Ipv6Net::new_assert(addr.into(), length).trunc().into());
                }
                standing.sort_unstable();
                standing.dedup();
                batch.extend(standing.iter().map(|prefix| FibRoute {
                    prefix: *prefix,
                    next_hop: Some(NextHopId(if own { rng.u32(1..=2) } else { 3 })),
                }));
                // One batch may not name a prefix twice.
                let mut named = std::collections::HashSet::new();
                batch.reverse();
                batch.retain(|route| named.insert(route.prefix));
                write(&mut backend, &batch);
                // A route in the middle, from one object to the other and away.
                write(&mut backend, &[route("20.0.0.0/20", 2 - rounds % 2), route("2a00::/40", 1 + rounds % 2)]);
                let gone = ["20.0.0.0/20", "2a00::/40"].map(|text| FibRoute { prefix: net(text), next_hop: None });
                write(&mut backend, &gone);
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(rounds > 100, "the writer was never at rest: {rounds} rounds");
            judge.join().expect("the judge")
        });
        assert!(judged > 1_000_000, "{judged} lookups during the churn");
        assert_eq!(probe.wrong(), 0, "of {judged}");
        // The judge can say no.
        probe.allow(numbers[1]..=numbers[1]);
        write(&mut backend, &[]);
        probe.lookups(Lookup::Judge, true, ground.links[0], 200).expect("a run");
        assert!(probe.wrong() > 0);
    });
}

/// What version 1 of the layout left, with all its routes, is read over by the next process.
#[test]
fn tables_of_an_older_layout_are_read_over() {
    in_namespace(|| {
        let bpffs = bpffs();
        let ground = gateways();
        let config = config(&bpffs, &["v0", "v1"]);
        let routes =
            [route("20.0.0.0/16", 1), route("20.0.3.128/25", 2), route("2a00::/32", 1), route("2a00::7:0/112", 2)];
        {
            let mut backend = XdpBackend::open(config.clone()).expect("XDP");
            let objects = [object(1, ground.v4(0)), object(2, ground.v4(1))];
            backend.apply(&objects, &routes, &[], &mut Vec::new()).expect("XDP");
        }
        for (version, survive) in [(1, true), (99, false)] {
            Probe::say_version(&config.pin, version).expect("pinned tables");
            let mut backend = XdpBackend::open(config.clone()).expect("XDP");
            let mut found = Vec::new();
            backend.dump(&mut |installed| found.push(installed.prefix)).expect("XDP");
            found.sort_unstable();
            let mut expected: Vec<IpNet> = routes.iter().map(|route| route.prefix).filter(|_| survive).collect();
            expected.sort_unstable();
            assert_eq!(found, expected, "version {version}");
            let probe = Probe::open(&backend).expect("the probe");
            probe.targets6(&[0x2a00 << 112 | 0x7_0001, 0x2a00 << 112 | 5]);
            let (_, hits) = probe.lookups(Lookup::Stride, false, ground.links[0], 10).expect("a run");
            assert_eq!(hits > 0, survive, "packets find them, version {version}");
        }
    });
}

/// Live frames go on while a full table is written, changed and removed under them. Every frame is to arrive.
#[test]
fn a_full_table_is_loaded_under_traffic_without_a_frame_lost() {
    in_namespace(|| {
        let bpffs = bpffs();
        let ground = gateways();
        let full = std::env::var_os("ANYHOP_FULL").is_some();
        let routes: u32 = if full { 1_000_000 } else { 150_000 };
        let mut config = config(&bpffs, &["v0", "v1"]);
        config.limits.ipv4_routes = routes + 16;
        let mut backend = XdpBackend::open(config).expect("XDP");
        let mut refused = Vec::new();
        let objects = [object(1, ground.v4(0)), object(2, ground.v4(0))];
        backend.apply(&objects, &[route("0.0.0.0/1", 1)], &[], &mut refused).expect("XDP");
        let mut probe = Probe::open(&backend).expect("the probe");
        // 1.x.y.0/24 and on, all below the default half.
        let prefixes: Vec<IpNet> =
            (0..routes).map(|n| Ipv4Net::new_assert((0x0b00_0000 + (n << 8)).into(), 24).into()).collect();
        let mut rng = fastrand::Rng::with_seed(1);
        probe.targets4(&(0..1 << 16).map(|_| 0x0b00_0000 + (rng.u32(0..routes) << 8) + 1).collect::<Vec<_>>());
        probe.sink(anyhop_tests::fib::namespace::index("p0")).expect("a sink");
        let from = (ground.links[1], mac_of("v1"));
        let frame = frame4(from.1, "10.0.1.9", "11.0.0.1", 64);
        wait_for("the gateway", || {
            let trial = backend.trial(&frame4(mac_of("v0"), "10.0.1.9", "11.0.0.1", 64), ground.links[0], 1);
            (trial.expect("a trial").verdict == REDIRECT).then_some(())
        });
        let mut sent = 0u64;
        let mut written = 0;
        let burst = 8192;
        for (id, chunks) in [(Some(1), 4096), (Some(2), 4096), (None, 4096)] {
            for chunk in prefixes.chunks(chunks) {
                // Both in turn on a machine with few cores; the churn test has them at once.
                probe.send(Some(&backend), &frame, from, burst).expect("live frames");
                sent += u64::from(burst);
                let batch: Vec<FibRoute> =
                    chunk.iter().map(|prefix| FibRoute { prefix: *prefix, next_hop: id.map(NextHopId) }).collect();
                write(&mut backend, &batch);
                written += batch.len();
            }
        }
        assert_eq!(written, 3 * routes as usize);
        wait_for("every frame to arrive", || (probe.arrived() >= sent).then_some(()));
        assert_eq!(probe.arrived(), sent);
    });
}

#[test]
fn a_failed_next_hop_is_one_write_and_all_routes_follow() {
    in_namespace(|| {
        let bpffs = bpffs();
        let ground = gateways();
        let mut backend = XdpBackend::open(config(&bpffs, &["v0", "v1"])).expect("XDP");
        let mut refused = Vec::new();
        let routes: Vec<FibRoute> = (0..90_000u32)
            .map(|n| FibRoute {
                prefix: Ipv4Net::new_assert((0x0b00_0000 + (n << 8)).into(), 24).into(),
                next_hop: Some(NextHopId(1)),
            })
            .collect();
        backend.apply(&[object(1, ground.v4(0))], &routes, &[], &mut refused).expect("XDP");
        let us = mac_of("v0");
        let out = |backend: &XdpBackend, n: u32| {
            let to = std::net::Ipv4Addr::from(0x0b00_0001 + (n << 8)).to_string();
            let trial = backend.trial(&frame4(us, "10.0.0.9", &to, 64), ground.links[0], 1).expect("a trial");
            (trial.verdict, trial.frame[6..12].to_vec())
        };
        wait_for("the gateway", || (out(&backend, 7).0 == REDIRECT).then_some(()));
        assert_eq!(out(&backend, 7).1, mac_of("v0"));
        #[allow(clippy::disallowed_methods, reason = "it is the time that counts")]
        let begin = std::time::Instant::now();
        backend.apply(&[object(1, ground.v4(1))], &[], &[], &mut refused).expect("XDP");
        let took = begin.elapsed();
        assert_eq!(refused, []);
        for n in [0, 7, 44_444, 89_999] {
            assert_eq!(out(&backend, n), (REDIRECT, mac_of("v1").to_vec()));
        }
        assert!(took < std::time::Duration::from_millis(20), "{took:?}: it grows with the routes");
    });
}
