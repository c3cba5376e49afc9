//! A DPDK data plane at a full table: the daemon's way into it beside bare `rte_fib_add`, its lookups beside bare lookups, restart
//! and failover. All in one run, so that the ratios hold on any machine. Fails where a bound of ours is not kept.
//!
//! Needs libdpdk-dev, pkg-config, make and a C compiler; no root, no hugepages. About 4 GB of memory.
//!
//! ```text
//! cargo bench --bench dpdk [-- --ipv4 1000000] [--ipv6 200000] [--rounds 1]
//! ```

#![allow(clippy::disallowed_methods, reason = "a benchmark is a carrier: it reads the clock")]

#[path = "common/node.rs"]
mod node;
#[path = "common/options.rs"]
mod options;
#[path = "common/table.rs"]
mod table;

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fib_sync::dpdk::{DpdkBackend, DpdkConfig};
use ipnet::IpNet;
use node::{Node, full_rib, now};

/// BGP next hops that the routes are spread over, as in the bare run.
const NEXT_HOPS: u8 = 64;

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

/// Seconds of a load from a RIB, of one failover under all of it, and of a new process over the unchanged table.
fn ours(built: &Path, dir: &Path, prefixes: &[IpNet]) -> [f64; 3] {
    let socket = dir.join("dpdk.sock");
    let _agent = Agent::start(built, &socket);
    let open = || {
        let config = DpdkConfig { socket: socket.clone(), bundled: None };
        Box::new(DpdkBackend::open(config).expect("neighbors can be followed"))
    };
    let full = full_rib(1, prefixes, NEXT_HOPS);
    let begin = now();
    let mut node = Node::new(full, open());
    node.settle();
    let load = begin.elapsed().as_secs_f64();
    node.sweep();
    let view = node.view();
    // Two links and two ways beside those of BGP.
    assert_eq!((view.installed, view.failed), (prefixes.len() + 4, 0));
    let failover = node.failover(20, true, true);
    let after = node.view().counters;
    assert!(after.routes - view.counters.routes <= 100, "no route is written for a failover: {after:?}");
    let full = node.leave();
    let begin = now();
    let mut node = Node::new(full, open());
    node.settle();
    let restart = begin.elapsed().as_secs_f64();
    let counters = node.view().counters;
    assert_eq!((counters.adopted as usize, counters.routes), (prefixes.len() + 4, 0), "nothing is written again");
    node.leave();
    [load, failover, restart]
}

fn main() {
    let (mut ipv4, mut ipv6, mut rounds) = (1_000_000, 200_000, 1);
    let unknown = options::options(&mut [("ipv4", &mut ipv4), ("ipv6", &mut ipv6), ("rounds", &mut rounds)]);
    assert!(unknown.is_empty(), "no such options: {unknown:?}");
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
    let sets = table::prefixes(ipv4, ipv6);
    let file = dir.path().join("prefixes");
    let (mut best, mut sorted): (HashMap<String, f64>, HashMap<String, f64>) = (HashMap::new(), HashMap::new());
    let mut own = [[f64::MAX; 3]; 2];
    let keep = |best: &mut HashMap<String, f64>, run: HashMap<String, f64>| {
        for (name, value) in run {
            let held = best.entry(name).or_insert(value);
            *held = held.min(value);
        }
    };
    for _ in 0..rounds {
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
    println!("\nroutes into a DPDK process, {ipv4} IPv4 and {ipv6} IPv6");
    for (family, count, name) in [(0, ipv4, "4"), (1, ipv6, "6")] {
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
