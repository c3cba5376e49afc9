//! The kernel as a data plane at the size of the Internet: the floor, ours and BIRD in one run.
//!
//! `cargo bench --bench fib` as root, with `-- --v4 N --v6 N` for other sizes, `--rounds N` to keep the best of several, and
//! `--no-bird`. Every measurement has a network namespace of its own. The floor is `flood`: netlink octets encoded beforehand. Ours
//! begins at a loaded RIB, or at routes as BGP gives them, and ends when the RIB has the kernel's acknowledgment. A line with a
//! bound that is not kept makes the run fail.

mod bird;
mod flood;
#[path = "../common/node.rs"]
mod node;
#[path = "../common/options.rs"]
mod numbers;
#[path = "../common/table.rs"]
mod table;

use std::process::{Command, ExitCode};
use std::time::Duration;

use fastrand::Rng;
use fib_sync::netlink::{KernelBackend, KernelConfig, NexthopCompat};
use fib_sync::sync::{Input as Told, Outbox, Sync};
use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use node::{ID, Node, batches, full_rib, handle, now, rib};
use rib::FibDelta;
use rib::message::Input;

struct Options {
    v4: usize,
    v6: usize,
    rounds: usize,
    bird: bool,
}

/// Prefixes of both families, each in random order, and all of them mixed.
struct Set {
    v4: Vec<IpNet>,
    v6: Vec<IpNet>,
    all: Vec<IpNet>,
}

fn set(options: &Options) -> Set {
    let [v4, v6] = table::prefixes(options.v4, options.v6);
    let mut all: Vec<IpNet> = v4.iter().chain(&v6).copied().collect();
    Rng::with_seed(2).shuffle(&mut all);
    Set { v4, v6, all }
}

/// Runs `work` in a network namespace with one link; the kernel is given time to take the last one apart.
fn in_namespace<T: Send>(work: impl FnOnce(u32) -> T + Send) -> T {
    std::thread::sleep(Duration::from_secs(3));
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace needs root");
        for line in [
            "link set lo up",
            "link add v0 type veth peer name v1",
            "link set v1 up",
            "link set v0 up",
            "addr add 10.0.0.1/16 dev v0",
            "-6 addr add fd00::1/64 dev v0 nodad",
        ] {
            let done = Command::new("ip").args(line.split(' ')).status().expect("iproute2");
            assert!(done.success(), "ip {line}");
        }
        std::fs::write("/proc/sys/net/ipv6/route/max_size", "2147483647").ok();
        std::fs::write("/proc/sys/net/ipv4/nexthop_compat_mode", "0").ok();
        work(nix::net::if_::if_nametoindex("v0").expect("the link"))
    };
    std::thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// User and system time of this process.
fn processor() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    let after_name = stat.rsplit(')').next().expect("a name in brackets");
    let ticks = |n: usize| after_name.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).expect("ticks");
    (ticks(11) / 100.0, ticks(12) / 100.0)
}

fn kernel() -> KernelBackend {
    let config = KernelConfig { nexthop_compat: NexthopCompat::Off, ..KernelConfig::default() };
    KernelBackend::open(config).expect("the kernel")
}

/// What one round measured; seconds unless said otherwise.
#[derive(Clone, Copy)]
struct Round {
    floor: f64,
    floor_random: f64,
    floor_dump: f64,
    floor_failover: f64,
    loaded: f64,
    streamed: f64,
    restarted: f64,
    failover: [f64; 2],
    own_share: f64,
    octets: f64,
    bird: f64,
}

impl Round {
    fn best(self, other: Self) -> Self {
        let failover = [0, 1].map(|n| self.failover[n].min(other.failover[n]));
        Self {
            floor: self.floor.min(other.floor),
            floor_random: self.floor_random.min(other.floor_random),
            floor_dump: self.floor_dump.min(other.floor_dump),
            floor_failover: self.floor_failover.min(other.floor_failover),
            loaded: self.loaded.min(other.loaded),
            streamed: self.streamed.min(other.streamed),
            restarted: self.restarted.min(other.restarted),
            failover,
            own_share: self.own_share.min(other.own_share),
            octets: self.octets.max(other.octets),
            bird: self.bird.min(other.bird),
        }
    }
}

fn floor_of(set: &Set, in_order: bool) -> (f64, f64) {
    in_namespace(|link| {
        flood::object(1, "10.0.0.2".parse().expect("an address"), link);
        flood::object(2, "fd00::2".parse().expect("an address"), link);
        let took = match in_order {
            true => flood::flood(&flood::ordered(&set.v4), &flood::ordered(&set.v6)),
            false => flood::flood(&set.v4, &set.v6),
        };
        let begin = now();
        let found = flood::dump(false, flood::PROTOCOL) + flood::dump(true, flood::PROTOCOL);
        assert_eq!(found, set.all.len(), "the floor wrote everything");
        (took.as_secs_f64(), begin.elapsed().as_secs_f64())
    })
}

/// The kernel's own time for a changed next hop under all IPv6 routes: the leg that they hang on, which is the slowest, written anew
/// with another gateway by one message.
fn flood_leg(link: u32) -> f64 {
    let shown = Command::new("ip").args(["nexthop", "show"]).output().expect("iproute2");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let words = shown.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let legs = words.filter(|words| words.get(3).is_some_and(|via| via.starts_with("fd00::")));
    let took = legs.map(|words| {
        let number: u32 = words[1].parse().expect("its number");
        let back = words[3].parse().expect("its gateway");
        let other = "fd00::77".parse().expect("an address");
        let took = (0..10).map(|turn| flood::object(number, if turn % 2 == 0 { other } else { back }, link));
        took.min().expect("ten turns")
    });
    took.max().unwrap_or_else(|| panic!("a leg of IPv6 in {shown}")).as_secs_f64()
}

/// From a loaded RIB; then a next hop fails under all routes, again and again; then a new process over the unchanged table.
fn loaded_of(set: &Set) -> (f64, [f64; 2], f64, f64, f64) {
    in_namespace(|link| {
        let full = full_rib(link, &set.all, 1);
        let begin = now();
        let mut node = Node::new(full, Box::new(kernel()));
        node.settle();
        let took = begin.elapsed().as_secs_f64();
        node.sweep();
        let view = node.view();
        assert_eq!((view.installed, view.failed), (set.all.len() + 2, 0));
        let octets = view.mirror_octets as f64 / view.installed as f64;

        let written = view.counters;
        // One family moves at a time.
        let failover = [node.failover(10, true, false), node.failover(10, false, true)];
        let counters = node.view().counters;
        let (routes, objects) = (counters.routes - written.routes, counters.next_hops - written.next_hops);
        // The two ways themselves change their next hops; nothing that uses them is written.
        assert!(routes <= 40 && objects <= 80, "{routes} route messages, {objects} objects in 20 failovers");

        let full = node.leave();
        let begin = now();
        let mut node = Node::new(full, Box::new(kernel()));
        node.settle();
        let restarted = begin.elapsed().as_secs_f64();
        let counters = node.view().counters;
        assert_eq!((counters.adopted as usize, counters.routes), (set.all.len() + 2, 0), "nothing is written again");
        node.leave();
        // Last, for the leg is not ours any more after it.
        let floor_failover = flood_leg(link);
        (took, failover, floor_failover, restarted, octets)
    })
}

fn streamed_of(set: &Set) -> f64 {
    in_namespace(|link| {
        let batches: Vec<Input> = batches(&set.all, 1).collect();
        let mut node = Node::new(rib(link), Box::new(kernel()));
        node.settle();
        let begin = now();
        for batch in batches {
            handle(&mut node.rib, batch);
            node.listen(Duration::ZERO);
            while node.feed() {}
        }
        node.settle();
        let took = begin.elapsed().as_secs_f64();
        assert_eq!(node.view().installed, set.all.len() + 2);
        node.leave();
        took
    })
}

/// The machine and the backend alone, user time against the kernel's.
fn own_share_of(set: &Set) -> f64 {
    in_namespace(|link| {
        let mut full = full_rib(link, &set.all, 1);
        full.add_backend(ID);
        let mut deltas = Vec::new();
        while full.fib_pending(ID) {
            let mut delta = FibDelta::default();
            full.pull_fib(ID, 65_536, &mut delta);
            deltas.push(delta);
        }
        let mut sync = Sync::new(ID, Box::new(kernel()));
        let mut out = Outbox::default();
        let (user, system) = processor();
        for delta in deltas {
            sync.handle(now(), Told::Delta(delta), &mut out);
        }
        while sync.has_work() {
            sync.handle(now(), Told::Tick, &mut out);
        }
        let after = processor();
        assert_eq!(sync.view().installed, set.all.len() + 2);
        (after.0 - user) / (after.1 - system)
    })
}

fn round(set: &Set, options: &Options) -> Round {
    let (floor, floor_dump) = floor_of(set, true);
    let (floor_random, _) = floor_of(set, false);
    let (loaded, failover, floor_failover, restarted, octets) = loaded_of(set);
    let streamed = streamed_of(set);
    let own_share = own_share_of(set);
    let bird = if options.bird { in_namespace(|_| bird::load(&set.v4, &set.v6)) } else { None };
    let bird = bird.map_or(f64::NAN, |took| took.as_secs_f64());
    Round {
        floor,
        floor_random,
        floor_dump,
        floor_failover,
        loaded,
        streamed,
        restarted,
        failover,
        own_share,
        octets,
        bird,
    }
}

/// Prints a line; true if its bound is kept.
fn line(what: &str, value: &str, ratio: f64, must: f64, moonshot: f64) -> bool {
    let kept = ratio <= must;
    let verdict = match (kept, ratio <= moonshot) {
        (true, true) => "moonshot",
        (true, false) => "must",
        (false, _) => "MISSED",
    };
    println!("{what:<58} {value:>12} {ratio:>9.2} {must:>7.2} {moonshot:>9.2}  {verdict}");
    kept
}

fn options() -> Options {
    let mut options = Options { v4: 1_000_000, v6: 200_000, rounds: 1, bird: true };
    let Options { v4, v6, rounds, bird } = &mut options;
    for word in numbers::options(&mut [("v4", v4), ("v6", v6), ("rounds", rounds)]) {
        match word.as_str() {
            "--no-bird" => *bird = false,
            other => panic!("{other}: not an option"),
        }
    }
    options
}

fn main() -> ExitCode {
    let options = options();
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root, for network namespaces of its own");
        return ExitCode::SUCCESS;
    }
    let set = set(&options);
    let rounds = (0..options.rounds.max(1)).map(|_| round(&set, &options));
    let best = rounds.reduce(Round::best).expect("at least one round");
    let seconds = |value: f64| format!("{value:.2} s");
    let millis = |value: f64| format!("{:.2} ms", value * 1e3);
    println!("\n{} IPv4 and {} IPv6 routes into the kernel", set.v4.len(), set.v6.len());
    println!("{:<58} {:>12}", "floor: flood in the kernel's order", seconds(best.floor));
    println!("{:<58} {:>12}", "floor: flood in random order", seconds(best.floor_random));
    println!("{:<58} {:>12}", "floor: dump", seconds(best.floor_dump));
    println!("{:<58} {:>12}", "floor: one object written under all IPv6 routes", millis(best.floor_failover));
    println!("{:<58} {:>12}", "BIRD, static routes to the kernel", seconds(best.bird));
    println!("\n{:<58} {:>12} {:>9} {:>7} {:>9}", "", "ours", "ratio", "must", "moonshot");
    let loaded = best.loaded / best.floor;
    let streamed = best.streamed / best.floor_random;
    let restarted = best.restarted / best.floor_dump;
    let kept = [
        line("from a loaded RIB, to the floor in order", &seconds(best.loaded), loaded, 1.5, 1.15),
        line("streamed as BGP gives it, to the floor in random order", &seconds(best.streamed), streamed, 1.5, 1.25),
        line("restart over the unchanged table, to the dump", &seconds(best.restarted), restarted, 2.0, 2.0),
        line(
            "one next hop fails under all IPv4 routes, ms",
            &millis(best.failover[0]),
            best.failover[0] * 1e3,
            1.0,
            1.0,
        ),
        line(
            // 25 ms where the kernel takes 17.
            "one next hop fails under all IPv6 routes, to the floor",
            &millis(best.failover[1]),
            best.failover[1] / best.floor_failover,
            1.5,
            1.5,
        ),
        line("processor of ours, to the kernel's", "", best.own_share, 0.15, 0.15),
        line("octets a route in the machine", "", best.octets, 40.0, 40.0),
    ];
    if best.bird.is_finite() {
        println!("{:<58} {:>12} {:>9.2}", "from a loaded RIB, to BIRD", "", best.loaded / best.bird);
    }
    ExitCode::from(u8::from(kept.contains(&false)))
}
