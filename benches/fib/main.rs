//! The kernel as a data plane at the size of the Internet: the floor, ours and BIRD in one run.
//!
//! `cargo bench --bench fib` as root, with `-- --v4 N --v6 N` for other sizes, `--rounds N` to keep the best of several, and
//! `--no-bird`. Every measurement has a network namespace of its own. The floor is `flood`: netlink octets encoded beforehand. Ours
//! begins at a loaded RIB, or at routes as BGP gives them, and ends when the RIB has the kernel's acknowledgment. A line with a
//! bound that is not kept makes the run fail.

mod bird;
mod flood;

use std::collections::HashSet;
use std::net::IpAddr;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use fib_sync::netlink::{KernelBackend, KernelConfig, NexthopCompat};
use fib_sync::sync::{Input as Told, Outbox, Sync, View};
use fib_sync::thread::{self, BackendHandle, OnStop, Refused};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::sched::{CloneFlags, unshare};
use rib::message::Input;
use rib::{
    BackendId, FibDelta, FibProgress, IfIndex, Metric, NextHop, NextHopSet, Protocol, Rib, RibConfig, Route,
    RouteBatch, Source,
};

const ID: BackendId = BackendId(0);
/// As the daemon pulls.
const DELTA: usize = 1024;
/// As BGP gives.
const BATCH: usize = 256;
const LENGTHS_V4: [(u8, u8); 8] = [(24, 60), (23, 10), (22, 12), (21, 5), (20, 5), (19, 3), (18, 2), (16, 3)];
const LENGTHS_V6: [(u8, u8); 6] = [(48, 48), (32, 14), (44, 10), (40, 8), (36, 8), (46, 12)];

#[allow(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}

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

fn length(rng: &mut Rng, table: &[(u8, u8)]) -> u8 {
    let mut rest = rng.u8(0..100);
    for (length, share) in table {
        if rest < *share {
            return *length;
        }
        rest -= share;
    }
    table[0].0
}

fn set(options: &Options) -> Set {
    let mut rng = Rng::with_seed(1);
    let mut seen = HashSet::new();
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    while v4.len() < options.v4 {
        let addr = rng.u32(0x0100_0000..0xdfff_ffff);
        let net = IpNet::from(Ipv4Net::new_assert(addr.into(), length(&mut rng, &LENGTHS_V4)).trunc());
        // The links' and the loopback's own space.
        if ![10, 127].contains(&(addr >> 24)) && seen.insert(net) {
            v4.push(net);
        }
    }
    while v6.len() < options.v6 {
        // 2000::/3, clustered as allocations are: 16 bits of registries, some thousand holders each.
        let top = 0x2400_u128 + u128::from(rng.u16(0..0x0a00));
        let addr = top << 112 | u128::from(rng.u16(0..4096)) << 96 | u128::from(rng.u32(..)) << 64;
        let net = IpNet::from(Ipv6Net::new_assert(addr.into(), length(&mut rng, &LENGTHS_V6)).trunc());
        if seen.insert(net) {
            v6.push(net);
        }
    }
    let mut all: Vec<IpNet> = v4.iter().chain(&v6).copied().collect();
    rng.shuffle(&mut all);
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

fn route(protocol: Protocol, next_hop: NextHop) -> Route {
    let distance = protocol.default_distance();
    Route { protocol, distance, metric: Metric(0), tag: 0, next_hops: NextHopSet::from(next_hop) }
}

fn via(addr: &str) -> NextHop {
    NextHop::via(addr.parse::<IpAddr>().expect("an address"))
}

/// How the BGP next hops are reached.
fn ways(v4: &str, v6: &str) -> Input {
    let mut batch = RouteBatch::new(Source::Static);
    batch.add("192.0.2.0/24".parse().expect("a prefix"), route(Protocol::Static, via(v4)));
    batch.add("2001:db8:ffff::/48".parse().expect("a prefix"), route(Protocol::Static, via(v6)));
    Input::Routes(batch)
}

/// A RIB with its links and ways, and without routes.
fn rib(link: u32) -> Rib {
    let mut rib = Rib::new(RibConfig::default());
    let mut links = RouteBatch::new(Source::Connected);
    let connected = route(Protocol::Connected, NextHop::Interface(IfIndex(link)));
    links.add("10.0.0.0/16".parse().expect("a prefix"), connected.clone());
    links.add("fd00::/64".parse().expect("a prefix"), connected);
    for input in
        [Input::Interface { index: IfIndex(link), up: true }, Input::Routes(links), ways("10.0.0.2", "fd00::2")]
    {
        handle(&mut rib, input);
    }
    rib
}

fn handle(rib: &mut Rib, input: Input) {
    let mut out = Vec::new();
    rib.handle(now(), input, &mut out);
    while rib.has_work() {
        rib.handle(now(), Input::Work, &mut out);
    }
}

/// As BGP gives them.
fn batches(prefixes: &[IpNet]) -> impl Iterator<Item = Input> {
    prefixes.chunks(BATCH).map(|prefixes| {
        let mut batch = RouteBatch::new(Source::Bgp);
        batch.routes = ["192.0.2.1", "2001:db8:ffff::1"].map(|addr| route(Protocol::Ebgp, via(addr))).to_vec();
        let number = |prefix: &IpNet| u32::from(prefix.addr().is_ipv6());
        batch.changes =
            prefixes.iter().map(|prefix| rib::RouteChange { prefix: *prefix, route: Some(number(prefix)) }).collect();
        Input::Routes(batch)
    })
}

/// A RIB and its data plane, wired as in the daemon.
struct Node {
    rib: Rib,
    plane: BackendHandle,
    answers: mpsc::Receiver<FibProgress>,
    waiting: Option<FibDelta>,
    told: u64,
    answered: u64,
}

impl Node {
    fn new(rib: Rib) -> Self {
        let (tell, answers) = mpsc::channel();
        let config = KernelConfig { nexthop_compat: NexthopCompat::Off, ..KernelConfig::default() };
        let backend = KernelBackend::open(config).expect("the kernel");
        let plane = thread::spawn(Box::new(backend), ID, move |progress| drop(tell.send(progress))).expect("a thread");
        let mut node = Self { rib, plane, answers, waiting: None, told: 0, answered: 0 };
        node.rib.add_backend(ID);
        node
    }

    /// Takes answers that are there, or waits a while for one.
    fn listen(&mut self, wait: Duration) {
        let first = if wait.is_zero() { self.answers.try_recv().ok() } else { self.answers.recv_timeout(wait).ok() };
        let more: Vec<FibProgress> = first.into_iter().chain(self.answers.try_iter()).collect();
        for progress in more {
            assert_eq!(progress.failed, [], "the kernel refuses");
            self.answered = progress.through;
            handle(&mut self.rib, Input::Fib(progress));
        }
    }

    /// True if more could be given at once.
    fn feed(&mut self) -> bool {
        let delta = match self.waiting.take() {
            Some(delta) => delta,
            None if self.rib.fib_pending(ID) && self.plane.has_room() => {
                let mut delta = FibDelta::default();
                self.rib.pull_fib(ID, DELTA, &mut delta);
                self.told = delta.through;
                delta
            }
            None => return false,
        };
        match self.plane.offer(delta) {
            Ok(()) => self.plane.has_room(),
            Err(Refused::Full(delta)) => {
                self.waiting = Some(delta);
                false
            }
            Err(Refused::Stopped) => panic!("the data plane has stopped"),
        }
    }

    fn settle(&mut self) {
        while self.waiting.is_some() || self.rib.fib_pending(ID) || self.answered < self.told {
            let more = self.feed();
            self.listen(if more { Duration::ZERO } else { Duration::from_millis(10) });
        }
    }

    /// The protocols have told everything, says the daemon then.
    fn sweep(&mut self) {
        let end = FibDelta { walk_done: true, ..FibDelta::default() };
        assert!(self.plane.offer(end).is_ok(), "an idle data plane has room");
        // The answer to a question comes after what was given before it.
        self.view();
    }

    fn view(&self) -> View {
        block_on(self.plane.view()).expect("a data plane")
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// What one round measured; seconds unless said otherwise.
#[derive(Clone, Copy)]
struct Round {
    floor: f64,
    floor_random: f64,
    floor_dump: f64,
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

/// From a loaded RIB; then a next hop fails under all routes, again and again; then a new process over the unchanged table.
fn loaded_of(set: &Set) -> (f64, [f64; 2], f64, f64) {
    in_namespace(|link| {
        let mut full = rib(link);
        batches(&set.all).for_each(|batch| handle(&mut full, batch));
        let begin = now();
        let mut node = Node::new(full);
        node.settle();
        let took = begin.elapsed().as_secs_f64();
        node.sweep();
        let view = node.view();
        assert_eq!((view.installed, view.failed), (set.all.len() + 2, 0));
        let octets = view.mirror_octets as f64 / view.installed as f64;

        let written = view.counters;
        let mut failover = [f64::MAX; 2];
        for turn in 0..20 {
            let side = turn % 2;
            let other = |n| if turn / 2 % 2 == n { 3 } else { 2 };
            // One family moves at a time.
            let (v4, v6) = if side == 0 { (other(0), other(1)) } else { (other(0), other(0)) };
            let begin = now();
            handle(&mut node.rib, ways(&format!("10.0.0.{v4}"), &format!("fd00::{v6}")));
            node.settle();
            failover[side] = failover[side].min(begin.elapsed().as_secs_f64());
        }
        let counters = node.view().counters;
        let (routes, objects) = (counters.routes - written.routes, counters.next_hops - written.next_hops);
        // The two ways themselves change their next hops; nothing that uses them is written.
        assert!(routes <= 40 && objects <= 80, "{routes} route messages, {objects} objects in 20 failovers");
        assert_eq!(block_on(node.plane.stop(OnStop::Keep)), Ok(0));

        let begin = now();
        let mut node = Node::new(node.rib_again());
        node.settle();
        let restarted = begin.elapsed().as_secs_f64();
        let counters = node.view().counters;
        assert_eq!((counters.adopted as usize, counters.routes), (set.all.len() + 2, 0), "nothing is written again");
        assert_eq!(block_on(node.plane.stop(OnStop::Keep)), Ok(0));
        (took, failover, restarted, octets)
    })
}

impl Node {
    /// The same RIB without its data plane.
    fn rib_again(mut self) -> Rib {
        self.rib.remove_backend(ID);
        self.rib
    }
}

fn streamed_of(set: &Set) -> f64 {
    in_namespace(|link| {
        let batches: Vec<Input> = batches(&set.all).collect();
        let mut node = Node::new(rib(link));
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
        assert_eq!(block_on(node.plane.stop(OnStop::Keep)), Ok(0));
        took
    })
}

/// The machine and the backend alone, user time against the kernel's.
fn own_share_of(set: &Set) -> f64 {
    in_namespace(|link| {
        let mut full = rib(link);
        batches(&set.all).for_each(|batch| handle(&mut full, batch));
        full.add_backend(ID);
        let mut deltas = Vec::new();
        while full.fib_pending(ID) {
            let mut delta = FibDelta::default();
            full.pull_fib(ID, 65_536, &mut delta);
            deltas.push(delta);
        }
        let mut sync = Sync::new(ID, Box::new(KernelBackend::open(KernelConfig::default()).expect("the kernel")));
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
    let (loaded, failover, restarted, octets) = loaded_of(set);
    let streamed = streamed_of(set);
    let own_share = own_share_of(set);
    let bird = if options.bird { in_namespace(|_| bird::load(&set.v4, &set.v6)) } else { None };
    let bird = bird.map_or(f64::NAN, |took| took.as_secs_f64());
    Round { floor, floor_random, floor_dump, loaded, streamed, restarted, failover, own_share, octets, bird }
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
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|n| n.parse().ok()).expect("a number");
        match word.as_str() {
            "--v4" => options.v4 = number(),
            "--v6" => options.v6 = number(),
            "--rounds" => options.rounds = number(),
            "--no-bird" => options.bird = false,
            // Given by cargo.
            "--bench" => {}
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
            "one next hop fails under all IPv6 routes, ms",
            &millis(best.failover[1]),
            best.failover[1] * 1e3,
            25.0,
            25.0,
        ),
        line("processor of ours, to the kernel's", "", best.own_share, 0.15, 0.15),
        line("octets a route in the machine", "", best.octets, 40.0, 40.0),
    ];
    if best.bird.is_finite() {
        println!("{:<58} {:>12} {:>9.2}", "from a loaded RIB, to BIRD", "", best.loaded / best.bird);
    }
    ExitCode::from(u8::from(kept.contains(&false)))
}
