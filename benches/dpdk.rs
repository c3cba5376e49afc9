//! A DPDK data plane at a full table: the daemon's way into it beside bare `rte_fib_add`, its lookups beside bare lookups, restart
//! and failover. All in one run, so that the ratios hold on any machine. Fails where a bound of ours is not kept.
//!
//! Needs libdpdk-dev, pkg-config, make and a C compiler; no root, no hugepages. About 4 GB of memory.
//!
//! ```text
//! cargo bench --bench dpdk [-- --ipv4 1000000] [--ipv6 200000] [--rounds 1]
//! ```

#![allow(clippy::disallowed_methods, reason = "a benchmark is a carrier: it reads the clock")]

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use fib_sync::dpdk::{DpdkBackend, DpdkConfig};
use fib_sync::thread::{self, BackendHandle, OnStop, Refused};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
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
/// BGP next hops that the routes are spread over, as in the bare run.
const NEXT_HOPS: u8 = 64;

/// Lengths in the share that the global tables have, per cent.
const LENGTHS_V4: [(u8, u8); 8] = [(24, 60), (23, 10), (22, 12), (21, 5), (20, 5), (19, 3), (18, 2), (16, 3)];
const LENGTHS_V6: [(u8, u8); 6] = [(48, 48), (32, 14), (44, 10), (40, 8), (36, 8), (46, 12)];

struct Options {
    ipv4: usize,
    ipv6: usize,
    rounds: usize,
}

fn options() -> Options {
    let mut options = Options { ipv4: 1_000_000, ipv6: 200_000, rounds: 1 };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let mut number =
            || words.next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{word} needs a number"));
        match word.as_str() {
            "--ipv4" => options.ipv4 = number(),
            "--ipv6" => options.ipv6 = number(),
            "--rounds" => options.rounds = number(),
            other => panic!("unknown option {other}"),
        }
    }
    options
}

fn length(rng: &mut fastrand::Rng, table: &[(u8, u8)]) -> u8 {
    let mut rest = rng.u8(0..100);
    for (length, share) in table {
        if rest < *share {
            return *length;
        }
        rest -= share;
    }
    table[0].0
}

/// Prefixes in random order, by family.
fn prefixes(options: &Options) -> [Vec<IpNet>; 2] {
    let mut rng = fastrand::Rng::with_seed(1);
    let mut seen = HashSet::new();
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    while v4.len() < options.ipv4 {
        let addr = rng.u32(0x0100_0000..0xdfff_ffff);
        let net = IpNet::from(Ipv4Net::new_assert(addr.into(), length(&mut rng, &LENGTHS_V4)).trunc());
        if ![10, 127].contains(&(addr >> 24)) && seen.insert(net) {
            v4.push(net);
        }
    }
    while v6.len() < options.ipv6 {
        // 2000::/3, clustered as allocations are: 16 bits of registries, some thousand holders each.
        let top = 0x2400_u128 + u128::from(rng.u16(0..0x0a00));
        let addr = top << 112 | u128::from(rng.u16(0..4096)) << 96 | u128::from(rng.u32(..)) << 64;
        let net = IpNet::from(Ipv6Net::new_assert(addr.into(), length(&mut rng, &LENGTHS_V6)).trunc());
        if seen.insert(net) {
            v6.push(net);
        }
    }
    [v4, v6]
}

/// For the program that measures bare tables.
fn write(path: &Path, prefixes: &[&IpNet]) {
    let mut octets = Vec::with_capacity(prefixes.len() * 18);
    for prefix in prefixes {
        let mut addr = [0; 16];
        let family = match prefix.network() {
            IpAddr::V4(v4) => {
                addr[..4].copy_from_slice(&v4.octets());
                4
            }
            IpAddr::V6(v6) => {
                addr = v6.octets();
                6
            }
        };
        octets.extend([family, prefix.prefix_len()]);
        octets.extend(addr);
    }
    std::fs::write(path, octets).expect("a temporary file");
}

fn eal(megabytes: u32) -> Vec<String> {
    let words =
        format!("--no-huge -m {megabytes} --no-pci --no-shconf --no-telemetry --log-level anyhop:error -l 0 --");
    words.split(' ').map(str::to_owned).collect()
}

/// What the bare run prints, by name.
fn bare(built: &Path, file: &Path) -> HashMap<String, f64> {
    let output = Command::new(built.join("fib-bench")).args(eal(3072)).arg(file).output().expect("the bare program");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let line = |line: &str| line.split_once(' ').and_then(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
    said.lines().filter_map(line).collect()
}

struct Agent(Child, PathBuf);

impl Agent {
    fn start(built: &Path, socket: &Path) -> Self {
        let mut command = Command::new(built.join("anyhop-dpdk"));
        command.args(eal(2560)).arg("--socket").arg(socket).args(["--groups6", "393216"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the agent");
        let agent = Self(child, socket.to_path_buf());
        while UnixStream::connect(socket).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_file(&self.1);
    }
}

fn route(protocol: Protocol, next_hop: NextHop) -> Route {
    let distance = protocol.default_distance();
    Route { protocol, distance, metric: Metric(0), tag: 0, next_hops: NextHopSet::from(next_hop) }
}

fn via(addr: IpAddr) -> NextHop {
    NextHop::via(addr)
}

fn addr(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// How the BGP next hops are reached.
fn ways(v4: &str, v6: &str) -> Input {
    let mut batch = RouteBatch::new(Source::Static);
    batch.add("192.0.2.0/24".parse().expect("a prefix"), route(Protocol::Static, via(addr(v4))));
    batch.add("2001:db8:ffff::/48".parse().expect("a prefix"), route(Protocol::Static, via(addr(v6))));
    Input::Routes(batch)
}

fn handle(rib: &mut Rib, input: Input) {
    let mut out = Vec::new();
    rib.handle(Instant::now(), input, &mut out);
    while rib.has_work() {
        rib.handle(Instant::now(), Input::Work, &mut out);
    }
}

/// A RIB with these routes, as BGP gives them.
fn rib(prefixes: &[IpNet]) -> Rib {
    let mut rib = Rib::new(RibConfig::default());
    let mut links = RouteBatch::new(Source::Connected);
    let connected = route(Protocol::Connected, NextHop::Interface(IfIndex(1)));
    links.add("10.0.0.0/16".parse().expect("a prefix"), connected.clone());
    links.add("fd00::/64".parse().expect("a prefix"), connected);
    for input in [Input::Interface { index: IfIndex(1), up: true }, Input::Routes(links), ways("10.0.0.2", "fd00::2")] {
        handle(&mut rib, input);
    }
    for (n, prefixes) in (0u32..).zip(prefixes.chunks(BATCH)) {
        let mut batch = RouteBatch::new(Source::Bgp);
        for number in 0..NEXT_HOPS {
            batch.routes.push(route(Protocol::Ebgp, via([192, 0, 2, number + 1].into())));
        }
        for number in 0..NEXT_HOPS {
            batch.routes.push(route(Protocol::Ebgp, via(addr(&format!("2001:db8:ffff::{:x}", number + 1)))));
        }
        let change = |(at, prefix): (u32, &IpNet)| {
            let hop = (n * BATCH as u32 + at) % u32::from(NEXT_HOPS);
            let number = hop + if prefix.addr().is_ipv6() { u32::from(NEXT_HOPS) } else { 0 };
            rib::RouteChange { prefix: *prefix, route: Some(number) }
        };
        batch.changes = (0u32..).zip(prefixes).map(change).collect();
        handle(&mut rib, Input::Routes(batch));
    }
    rib
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
    fn new(rib: Rib, socket: &Path) -> Self {
        let (tell, answers) = mpsc::channel();
        let config = DpdkConfig { socket: socket.to_path_buf(), bundled: None };
        let backend = DpdkBackend::open(config).expect("neighbors can be followed");
        let plane = thread::spawn(Box::new(backend), ID, move |progress| drop(tell.send(progress))).expect("a thread");
        let mut node = Self { rib, plane, answers, waiting: None, told: 0, answered: 0 };
        node.rib.add_standalone_backend(ID);
        node
    }

    fn listen(&mut self, wait: Duration) {
        let first = if wait.is_zero() { self.answers.try_recv().ok() } else { self.answers.recv_timeout(wait).ok() };
        let more: Vec<FibProgress> = first.into_iter().chain(self.answers.try_iter()).collect();
        for progress in more {
            assert_eq!(progress.failed, [], "the agent refuses");
            self.answered = progress.through;
            handle(&mut self.rib, Input::Fib(progress));
        }
    }

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

    fn view(&self) -> fib_sync::sync::View {
        block_on(self.plane.view()).expect("a data plane")
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// Seconds of a load from a RIB, of one failover under all of it, and of a new process over the unchanged table.
fn ours(built: &Path, dir: &Path, prefixes: &[IpNet]) -> [f64; 3] {
    let socket = dir.join("dpdk.sock");
    let _agent = Agent::start(built, &socket);
    let full = rib(prefixes);
    let begin = Instant::now();
    let mut node = Node::new(full, &socket);
    node.settle();
    let load = begin.elapsed().as_secs_f64();
    let end = FibDelta { walk_done: true, ..FibDelta::default() };
    assert!(node.plane.offer(end).is_ok(), "an idle data plane has room");
    let view = node.view();
    assert_eq!((view.installed, view.failed), (prefixes.len() + 4, 0));
    let mut failover = f64::MAX;
    for turn in 0..20 {
        let to = if turn % 2 == 0 { 3 } else { 2 };
        let begin = Instant::now();
        handle(&mut node.rib, ways(&format!("10.0.0.{to}"), &format!("fd00::{to}")));
        node.settle();
        failover = failover.min(begin.elapsed().as_secs_f64());
    }
    let after = node.view().counters;
    assert!(after.routes - view.counters.routes <= 100, "no route is written for a failover: {after:?}");
    assert_eq!(block_on(node.plane.stop(OnStop::Keep)), Ok(0));
    let mut full = node.rib;
    full.remove_backend(ID);
    let begin = Instant::now();
    let mut node = Node::new(full, &socket);
    node.settle();
    let restart = begin.elapsed().as_secs_f64();
    let counters = node.view().counters;
    assert_eq!((counters.adopted as usize, counters.routes), (prefixes.len() + 4, 0), "nothing is written again");
    assert_eq!(block_on(node.plane.stop(OnStop::Keep)), Ok(0));
    [load, failover, restart]
}

fn main() {
    let options = options();
    if !Command::new("pkg-config").args(["--exists", "libdpdk"]).status().is_ok_and(|status| status.success()) {
        println!("skipped: libdpdk is not installed (libdpdk-dev, pkg-config)");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = root.join("target/dpdk");
    let make = Command::new("make")
        .args(["-s", "-C"])
        .arg(root.join("fib-sync/dpdk"))
        .arg(format!("BUILD={}", built.display()))
        .status()
        .expect("make");
    assert!(make.success(), "the agent does not build");
    let dir = tempfile::tempdir().expect("a directory");
    let sets = prefixes(&options);
    let file = dir.path().join("prefixes");
    let (mut best, mut sorted): (HashMap<String, f64>, HashMap<String, f64>) = (HashMap::new(), HashMap::new());
    let mut own = [[f64::MAX; 3]; 2];
    let keep = |best: &mut HashMap<String, f64>, run: HashMap<String, f64>| {
        for (name, value) in run {
            let held = best.entry(name).or_insert(value);
            *held = held.min(value);
        }
    };
    for _ in 0..options.rounds {
        let all: Vec<&IpNet> = sets.iter().flatten().collect();
        write(&file, &all);
        keep(&mut best, bare(&built, &file));
        let mut in_order = all;
        in_order.sort_unstable();
        write(&file, &in_order);
        keep(&mut sorted, bare(&built, &file));
        for (own, set) in own.iter_mut().zip(&sets) {
            for (held, value) in own.iter_mut().zip(ours(&built, dir.path(), set)) {
                *held = held.min(value);
            }
        }
    }
    let mut missed = false;
    println!("\nroutes into a DPDK process, {} IPv4 and {} IPv6", options.ipv4, options.ipv6);
    for (family, count, name) in [(0, options.ipv4, "4"), (1, options.ipv6, "6")] {
        let rate = |seconds: f64| count as f64 / seconds / 1e3;
        let add = best[&format!("bare-add{name}")];
        let ordered = sorted[&format!("bare-add{name}")];
        let lost = best[&format!("bare-failed{name}")];
        let [load, failover, restart] = own[family];
        println!("IPv{name}: bare rte_fib add, random order    {:>8.0} k/s   ({lost:.0} refused)", rate(add));
        println!("IPv{name}: bare rte_fib add, by address      {:>8.0} k/s", rate(ordered));
        println!("IPv{name}: the agent's tables, random order  {:>8.0} k/s", rate(best[&format!("tables-add{name}")]));
        println!(
            "IPv{name}: from a loaded RIB, acknowledged   {:>8.0} k/s   {:.2} x bare, {:.2} x bare by address",
            rate(load),
            add / load,
            ordered / load
        );
        println!("IPv{name}: new process, unchanged table      {restart:>8.2} s");
        println!("IPv{name}: next hop of all routes, RIB and back {:>6.0} us", failover * 1e6);
        // A bare table that refuses much of the set is no measure.
        missed |= name == "4" && add / load < 0.7;
    }
    for name in ["4", "6"] {
        let [bare, ours, way] = ["bare-lookup", "lookup", "lookup-way"].map(|what| best[&format!("{what}{name}")]);
        println!("IPv{name}: lookup, bare {bare:.1} ns, ours {ours:.1} ns, with the way's MAC address {way:.1} ns");
        missed |= ours > bare * 1.25;
    }
    println!("failover in the array, with all of an object's book-keeping: {:.0} ns", best["failover"]);
    assert!(!missed, "a bound is not kept: 0.7 x bare adds, 1.25 x bare lookups");
}
