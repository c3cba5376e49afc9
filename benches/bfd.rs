//! `cargo bench --bench bfd` (as root, with FRR and BIRD installed): how soon a silent cut is in the kernel's table, at 50 ms × 3.
//!
//! Two hosts of the same daemon on a bridge, BGP and BFD between them. The bridge drops a port, nobody's carrier falls, and the
//! time counts until the kernel removes the route learned from the other side. Phases against the packets' rhythm are random.
//! Beside it the processor time that BFD takes at rest. `ANYHOP_CUTS` sets the number of cuts (20).

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhop_tests::lab::net::{Lab, Node};
use anyhop_tests::lab::{Anyhop, Bird, Frr, lab, wait_for};
use nix::unistd::Pid;

const PREFIX: &str = "203.0.113.0/24";
/// How long processor time is measured.
const REST: Duration = Duration::from_secs(10);

#[allow(clippy::large_enum_variant, reason = "there is one")]
enum Dut {
    Anyhop([Anyhop; 2]),
    Bird([Bird; 2]),
    Frr([Frr; 2]),
}

impl Dut {
    fn start(name: &str, nodes: &[Node; 2]) -> Self {
        let [a, b] = nodes;
        match name {
            "anyhop" => Self::Anyhop([Anyhop::start(a, &anyhop(1)), Anyhop::start(b, &anyhop(2))]),
            "bird" => Self::Bird([Bird::start(a, &bird(1)), Bird::start(b, &bird(2))]),
            _ => Self::Frr([Frr::start_with_bfd(a, &frr(1), FRR_BFD), Frr::start_with_bfd(b, &frr(2), FRR_BFD)]),
        }
    }

    /// Our side's BFD session is up.
    fn is_up(&self) -> bool {
        match self {
            Self::Anyhop([one, _]) => one.ask(&["show", "bfd"])["sessions"][0]["state"] == "up",
            Self::Bird([one, _]) => one.ask("show bfd sessions").contains(" Up "),
            Self::Frr([one, _]) => one.ask("show bfd peers").contains("Status: up"),
        }
    }

    /// Processor time that BFD has taken so far on our side: its thread's, or its process's.
    fn cpu(&self) -> Duration {
        match self {
            Self::Anyhop([one, _]) => schedstat(one.process.pid(), Some("bfd")),
            Self::Bird([one, _]) => schedstat(one.process.pid(), None),
            Self::Frr([one, _]) => schedstat(one.bfdd.as_ref().expect("bfdd runs").pid(), None),
        }
    }
}

fn anyhop(n: u8) -> String {
    let other = 3 - n;
    format!(
        "[node]\nasn = 6500{n}\nrouter_id = \"10.98.0.{n}\"\n[bgp]\nredistribute = [{{ from = \"static\", policy = \"accept\" }}]\n\
         [[neighbor]]\naddress = \"10.98.0.{other}\"\nasn = 6500{other}\nimport = \"accept\"\nexport = \"accept\"\n\
         connect_retry = \"500ms\"\nbfd = {{ interval = \"50ms\", multiplier = 3 }}\n{}",
        if n == 2 { format!("[[static]]\nprefix = \"{PREFIX}\"\nblackhole = true\n") } else { String::new() }
    )
}

fn bird(n: u8) -> String {
    let other = 3 - n;
    let route = if n == 2 { format!("route {PREFIX} blackhole;") } else { String::new() };
    format!(
        "router id 10.98.0.{n};\nprotocol device {{}}\nprotocol kernel {{ ipv4 {{ export where source = RTS_BGP; }}; }}\n\
         protocol static {{ ipv4; {route} }}\n\
         protocol bfd {{ interface \"*\" {{ interval 50 ms; multiplier 3; }}; }}\n\
         protocol bgp p {{ local 10.98.0.{n} as 6500{n}; neighbor 10.98.0.{other} as 6500{other}; direct; bfd on;\n\
         error wait time 1, 2; connect retry time 1; connect delay time 1;\nipv4 {{ import all; export all; }}; }}\n"
    )
}

const FRR_BFD: &str =
    "bfd\n profile fast\n  detect-multiplier 3\n  transmit-interval 50\n  receive-interval 50\n exit\nexit\n";

fn frr(n: u8) -> String {
    let other = 3 - n;
    let network = if n == 2 { format!("  network {PREFIX}\n") } else { String::new() };
    format!(
        "router bgp 6500{n}\n bgp router-id 10.98.0.{n}\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
         neighbor 10.98.0.{other} remote-as 6500{other}\n neighbor 10.98.0.{other} timers connect 1\n \
         neighbor 10.98.0.{other} bfd profile fast\n address-family ipv4 unicast\n{network} exit-address-family\nexit\n"
    )
}

/// Nanoseconds on a processor of a process's threads, or of those with a name.
fn schedstat(pid: Pid, name: Option<&str>) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
        if name.is_some_and(|name| comm.trim() != name) {
            return None;
        }
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The kernel's news of our prefix: whether it is there, and when that was heard.
struct Monitor {
    child: Child,
    news: Receiver<(Instant, bool)>,
}

impl Monitor {
    fn start(node: &Node) -> Self {
        let mut command = node.command("ip");
        let mut child = command.args(["-o", "monitor", "route"]).stdout(Stdio::piped()).spawn().expect("ip monitor");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (told, news) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok).filter(|line| line.contains(PREFIX)) {
                if told.send((Instant::now(), !line.starts_with("Deleted"))).is_err() {
                    return;
                }
            }
        });
        Self { child, news }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn measure(name: &str, cuts: usize, chance: &mut fastrand::Rng) -> Option<()> {
    let mut lab: Lab = lab("benches/bfd")?;
    let nodes = [lab.node("one"), lab.node("two")];
    let middle = lab.node("middle");
    lab.link((&nodes[0], "e0", "10.98.0.1/24"), (&middle, "p1", ""));
    lab.link((&nodes[1], "e0", "10.98.0.2/24"), (&middle, "p2", ""));
    for command in ["link add br0 type bridge", "link set br0 up", "link set p1 master br0", "link set p2 master br0"] {
        middle.ip(command);
    }
    let dut = Dut::start(name, &nodes);
    let route = || nodes[0].ip(&format!("route show {PREFIX}"));
    let ready = || {
        wait_for("the route and its BFD session", || {
            let route = route();
            if !route.is_empty() && dut.is_up() { Ok(()) } else { Err(route) }
        });
    };
    ready();
    std::thread::sleep(Duration::from_secs(3));
    let (before, begin) = (dut.cpu(), Instant::now());
    std::thread::sleep(REST);
    let share = (dut.cpu() - before).as_secs_f64() / begin.elapsed().as_secs_f64();

    let monitor = Monitor::start(&nodes[0]);
    let mut times = Vec::new();
    for _ in 0..cuts {
        ready();
        std::thread::sleep(Duration::from_millis(chance.u64(1500..2500)));
        while monitor.news.try_recv().is_ok() {}
        middle.ip("link set p2 nomaster");
        let cut = Instant::now();
        let gone = loop {
            let (at, there) = monitor.news.recv_timeout(Duration::from_secs(30)).expect("the route goes");
            if !there {
                break at;
            }
        };
        times.push(gone.saturating_duration_since(cut));
        middle.ip("link set p2 master br0");
    }
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{name:8} {:7.1} {:7.1} {:7.1} {:10.2}",
        ms(times[0]),
        ms(times[times.len() / 2]),
        ms(*times.last().expect("some")),
        share * 1e3
    );
    Some(())
}

fn main() {
    let cuts = std::env::var("ANYHOP_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(20);
    let mut chance = fastrand::Rng::with_seed(5880);
    println!("silent cut to the kernel's route gone, BFD 50 ms x 3, {cuts} cuts");
    println!("{:8} {:>7} {:>7} {:>7} {:>10}", "", "min ms", "median", "max", "cpu ms/s");
    for name in ["anyhop", "frr", "bird"] {
        if measure(name, cuts, &mut chance).is_none() {
            return;
        }
    }
}
