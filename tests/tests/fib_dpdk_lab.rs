//! The daemon with a DPDK process as its data plane, in namespaces, with real traffic. The kernel of the router does not
//! forward here (`ip_forward=0`) unless a test says so: whatever arrives went through the example router.
//!
//! Each port of the router is a pair of devices: one on the wire, one on the far end of a veth pair whose near end is the
//! kernel's interface of that name. The kernel hears nothing of the wire itself.

#![allow(clippy::disallowed_methods, reason = "real traffic takes real time")]

use std::path::PathBuf;
use std::time::Duration;

use anyhop_tests::fib::router::{built, eal};
use anyhop_tests::fib::triangle::{self, TARGETS, acquaint, came, reaches, spray, transfers};
use anyhop_tests::lab::{Anyhop, Lab, Node, Process, lab, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;

/// DPDK's devices for interfaces of the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Device {
    /// Packet sockets; they put fragments together before the router sees them, so the router sees none.
    AfPacket,
    /// libpcap: every frame as it is on the wire.
    Pcap,
}

impl Device {
    fn on(self, number: usize, interface: &str) -> String {
        match self {
            Self::AfPacket => format!("net_af_packet{number},iface={interface}"),
            Self::Pcap => format!("net_pcap{number},rx_iface_in={interface},tx_iface={interface}"),
        }
    }
}

/// Left host, router, right host; the right one has two links to the router, for ECMP.
struct Triangle {
    device: Device,
    agent: Option<Process>,
    left: Node,
    router: Node,
    right: Node,
    built: PathBuf,
    // The last to go.
    _lab: Lab,
}

const PORTS: [&str; 3] = ["l0", "r0", "r1"];

fn triangle(test: &str) -> Option<Triangle> {
    triangle_of(test, Device::AfPacket)
}

fn triangle_of(test: &str, device: Device) -> Option<Triangle> {
    let mut lab = lab(test)?;
    let built = built(test)?;
    let [left, router, right] = ["left", "router", "right"].map(|name| lab.node(name));
    lab.link((&left, "eth0", "10.1.0.2/24 fd01::2/64"), (&router, "wl0", ""));
    lab.link((&right, "eth0", "10.2.0.2/24 fd02::2/64"), (&router, "wr0", ""));
    lab.link((&right, "eth1", "10.3.0.2/24 fd03::2/64"), (&router, "wr1", ""));
    for (n, port) in (1..).zip(PORTS) {
        router.ip(&format!("link add {port} type veth peer name x{port}"));
        for silent in [format!("w{port}"), format!("x{port}")] {
            router.sysctl(&format!("net.ipv6.conf.{silent}.disable_ipv6"), "1");
            router.ip(&format!("link set {silent} up arp off"));
        }
        router.sysctl(&format!("net.ipv6.conf.{port}.accept_dad"), "0");
        router.ip(&format!("addr add 10.{n}.0.1/24 dev {port}"));
        router.ip(&format!("addr add fd0{n}::1/64 dev {port}"));
        router.ip(&format!("link set {port} up"));
    }
    // No half-done checksums and no frames larger than the wire's: a packet socket gives them as they are.
    for (node, interface) in
        [(&left, "eth0"), (&right, "eth0"), (&right, "eth1"), (&router, "l0"), (&router, "r0"), (&router, "r1")]
    {
        node.sh(&format!("ethtool -K {interface} tx off gro off >/dev/null"));
    }
    triangle::hosts(&left, &right);
    router.sysctl("net.ipv4.ip_forward", "0");
    router.sysctl("net.ipv6.conf.all.forwarding", "0");
    let mut triangle = Triangle { device, agent: None, left, router, right, built, _lab: lab };
    triangle.start_agent("agent");
    Some(triangle)
}

impl Triangle {
    fn socket(&self) -> PathBuf {
        self.router.path("dpdk.sock")
    }

    /// Starts the router's data plane, empty.
    fn start_agent(&mut self, name: &str) {
        let mut command = self.router.command(self.built.join("anyhop-dpdk"));
        command.args(eal(384));
        for (n, port) in PORTS.iter().enumerate() {
            command.args(["--vdev", &self.device.on(2 * n, &format!("w{port}"))]);
            command.args(["--vdev", &self.device.on(2 * n + 1, &format!("x{port}"))]);
        }
        command.arg("--").arg("--socket").arg(self.socket());
        for (n, port) in PORTS.iter().enumerate() {
            command.args(["--port", &format!("{},host={},link={port}", 2 * n, 2 * n + 1)]);
        }
        let room =
            "--idle 100 --routes4 20000 --routes6 20000 --groups4 256 --groups6 2048 --next-hops 1024 --neighbors 256";
        command.args(room.split(' '));
        let mut agent = self.router.spawn(name, &mut command);
        wait_for("the agent to listen", || {
            assert!(agent.is_running(), "the agent has ended:\n{}", agent.log());
            if agent.log().contains("listening at") { Ok(()) } else { Err(agent.log()) }
        });
        self.agent = Some(agent);
    }

    fn config(&self, more: &str) -> String {
        format!(
            "[node]\nasn = 64500\nrouter_id = \"10.1.0.1\"\n[fib]\nbackends = [\"kernel\", \"dpdk\"]\n\
             [fib.dpdk]\nsocket = \"{}\"\n{more}",
            self.socket().display()
        )
    }

    /// Starts the daemon, and waits until the data plane holds all that it should.
    fn start(&self, name: &str, more: &str) -> Anyhop {
        let anyhop = Anyhop::start_named(&self.router, name, &self.config(more));
        settled(&anyhop);
        anyhop
    }

    fn acquaint(&self) {
        acquaint(&self.left, &["10.1.0.1", "fd01::1"]);
        acquaint(&self.right, &["10.2.0.1", "fd02::1", "10.3.0.1", "fd03::1"]);
    }
}

fn settled(anyhop: &Anyhop) {
    triangle::settled(anyhop, "dpdk");
}

fn dpdk(anyhop: &Anyhop) -> Value {
    triangle::plane(anyhop, "dpdk")
}

fn counted(anyhop: &Anyhop, reason: &str) -> u64 {
    triangle::counted(anyhop, "dpdk", reason)
}

#[test]
fn dpdk_forwards_pings_and_tcp_for_the_daemon() {
    let Some(lab) = triangle("dpdk_forwards_pings_and_tcp_for_the_daemon") else { return };
    let anyhop = lab.start("anyhop", TARGETS);
    let names: Vec<Value> =
        dpdk(&anyhop)["ports"].as_array().expect("ports").iter().map(|port| port["name"].clone()).collect();
    assert_eq!(names, PORTS);
    lab.acquaint();
    let before = (counted(&anyhop, "forwarded-ipv4"), counted(&anyhop, "forwarded-ipv6"));
    for to in ["10.2.0.2", "192.0.2.1", "fd02::2", "2001:db8::1"] {
        reaches(&lab.left, to);
    }
    for to in ["10.1.0.2", "fd01::2"] {
        reaches(&lab.right, to);
    }
    for (from, to, addr) in [
        (&lab.left, &lab.right, "192.0.2.1"),
        (&lab.right, &lab.left, "10.1.0.2"),
        (&lab.left, &lab.right, "2001:db8::1"),
        (&lab.right, &lab.left, "fd01::2"),
    ] {
        transfers(from, to, addr, 1_000_000);
    }
    assert!(counted(&anyhop, "forwarded-ipv4") > before.0 + 1400, "two megabytes in frames of 1,500 octets");
    assert!(counted(&anyhop, "forwarded-ipv6") > before.1 + 1400);
    // The router's own address is the kernel's.
    lab.left.sh("ping -c 3 -i 0.1 10.2.0.1");
}

#[test]
fn what_the_dpdk_router_may_not_do_the_kernel_does() {
    let test = "what_the_dpdk_router_may_not_do_the_kernel_does";
    let Some(lab) = triangle_of(test, Device::Pcap) else { return };
    lab.router.forward();
    let more = "[[static]]\nprefix = \"198.51.100.0/24\"\nvia = [\"10.2.0.77\"]\n\
                [[static]]\nprefix = \"3fff:77::/32\"\nvia = [\"fd02::77\"]\n\
                [[static]]\nprefix = \"203.0.113.0/24\"\nblackhole = true\n";
    let anyhop = lab.start("anyhop", &format!("{TARGETS}{more}"));
    lab.acquaint();
    reaches(&lab.left, "192.0.2.1");
    reaches(&lab.left, "2001:db8::1");
    let says = |arguments: &str| triangle::says(&lab.left, arguments);
    let arrives = |arguments: &str| triangle::arrives(&lab.left, arguments);
    let rises = |reason: &str, what: &mut dyn FnMut()| triangle::rises(&anyhop, "dpdk", reason, what);
    // RFC 1812 section 5.3.1, RFC 4443 section 3.3: who let it die says so, from the address of the link it came by.
    rises("ttl", &mut || {
        let said = says("-t 1 192.0.2.1");
        assert!(said.contains("from 10.1.0.1") && said.contains("time to live exceeded"), "{said}");
    });
    rises("ttl", &mut || {
        let said = says("-t 1 2001:db8::1");
        assert!(said.contains("from fd01::1") && said.contains("time exceeded: hop limit"), "{said}");
    });
    // Addresses of the router, of the near link and the far one.
    for own in ["10.1.0.1", "10.2.0.1", "fd01::1", "fd02::1"] {
        assert!(rises("to-host", &mut || arrives(own)) >= 2);
    }
    // Fragments are forwarded one by one; those for the router itself it gets all of.
    for (reason, to) in [("forwarded-ipv4", "192.0.2.1"), ("forwarded-ipv6", "2001:db8::1")] {
        let forwarded = rises(reason, &mut || arrives(&format!("-M dont -s 4000 {to}")));
        assert!(forwarded >= 12, "two datagrams of three fragments each way: {forwarded}");
    }
    assert!(rises("to-host", &mut || arrives("-M dont -s 4000 10.2.0.1")) >= 6);
    triangle::narrows(&anyhop, "dpdk", &lab.left, &lab.router, &lab.right);
    arrives("-M do -s 1372 10.2.0.2");
    triangle::set_mtu(&lab.router, &lab.right, 1500);
    lab.left.sh("ip route flush cache; ip -6 route flush cache");
    wait_for("the way to be wide again", || {
        let said = says("-M do -s 1440 192.0.2.1");
        if said.contains(" 0% packet loss") { Ok(()) } else { Err(said) }
    });
    // Options are the host's.
    rises("to-host", &mut || arrives("-R 192.0.2.1"));
    rises("blackhole", &mut || assert!(says("203.0.113.1").contains("100% packet loss")));
    for nowhere in ["100.64.0.1", "3fff:88::1"] {
        rises("no-route", &mut || assert!(says(nowhere).contains("unreachable"), "{}", says(nowhere)));
    }
    // A gateway that is not there: the kernel asks, and tells the sender in the end.
    for (to, words) in [("198.51.100.1", "destination host unreachable"), ("3fff:77::1", "address unreachable")] {
        rises("unresolved", &mut || {
            let said = lab.left.sh(&format!("ping -c 5 -W 2 {to} 2>&1 || true")).to_lowercase();
            assert!(said.contains(words), "{said}");
        });
    }
    // And when it comes up its packets are forwarded here.
    lab.right.ip("addr add 10.2.0.77/24 dev eth0");
    lab.right.ip("addr add 198.51.100.1/32 dev lo");
    reaches(&lab.left, "198.51.100.1");
    wait_for("the router to forward by itself", || {
        let before = counted(&anyhop, "unresolved");
        arrives("198.51.100.1");
        if counted(&anyhop, "unresolved") == before { Ok(()) } else { Err("the kernel did".to_owned()) }
    });
}

#[test]
fn the_dpdk_router_follows_the_mac_address_of_its_interface() {
    let Some(lab) = triangle("the_dpdk_router_follows_the_mac_address_of_its_interface") else { return };
    let anyhop = lab.start("anyhop", TARGETS);
    lab.acquaint();
    triangle::changes_address(&anyhop, "dpdk", &lab.left, &lab.router, &lab.right);
}

/// What a router that the daemon itself starts lives with: its tables, no ports.
#[test]
fn a_bundled_router_outlives_a_crash_and_ends_with_the_next_daemon() {
    let test = "a_bundled_router_outlives_a_crash_and_ends_with_the_next_daemon";
    let (Some(mut lab), Some(built)) = (lab(test), built(test)) else { return };
    own_run_directory();
    let router = lab.node("router");
    router.ip("link add v0 type veth peer name v1");
    let list = |words: &[String]| words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    let room = "--routes4 100 --routes6 100 --groups4 64 --groups6 64 --next-hops 16 --neighbors 16";
    let room: Vec<String> = room.split(' ').map(str::to_owned).collect();
    let config = format!(
        "[node]\nasn = 64500\nrouter_id = \"10.1.0.1\"\n[fib]\nbackends = [\"kernel\", \"dpdk\"]\n\
         [fib.dpdk]\nagent = \"{}\"\neal = [{}]\nargs = [{}]\n\
         [[static]]\nprefix = \"203.0.113.0/24\"\nblackhole = true\n",
        built.join("anyhop-dpdk").display(),
        list(&eal(384)),
        list(&room)
    );
    let holds = |anyhop: &Anyhop| {
        wait_for("the router to hold the route", || {
            let dpdk = dpdk(anyhop);
            if dpdk["installed"] == 1 { Ok(()) } else { Err(dpdk.to_string()) }
        });
    };
    let mut first = Anyhop::start_named(&router, "first", &config);
    holds(&first);
    let agent = answering().expect("the router that the daemon started");
    first.process.kill();
    assert_eq!(answering(), Some(agent), "a crash leaves it");
    let mut second = Anyhop::start_named(&router, "second", &config);
    holds(&second);
    assert_eq!(answering(), Some(agent), "it is taken up, no other is started");
    assert_eq!(dpdk(&second)["adopted"], 1);
    second.process.signal(Signal::SIGTERM);
    assert!(second.process.wait(Duration::from_secs(20)).success());
    wait_for("the router to end", || answering().map_or(Ok(()), |pid| Err(format!("{pid} answers"))));
}

/// Who listens where the bundled router does.
fn answering() -> Option<i32> {
    let stream = std::os::unix::net::UnixStream::connect("/run/anyhop/dpdk.sock").ok()?;
    let who = nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::PeerCredentials).expect("credentials");
    Some(who.pid())
}

/// The bundled router's socket has a fixed place: other tests and daemons of this host have theirs.
fn own_run_directory() {
    use nix::mount::{MsFlags, mount};
    std::fs::create_dir_all("/run/anyhop").expect("a directory");
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("mounts of our own");
    mount(Some("tmpfs"), "/run/anyhop", Some("tmpfs"), MsFlags::empty(), none).expect("a directory of our own");
}

#[test]
fn flows_spread_over_equal_ways_through_dpdk_and_move_when_one_is_withdrawn() {
    let test = "flows_spread_over_equal_ways_through_dpdk_and_move_when_one_is_withdrawn";
    let Some(lab) = triangle(test) else { return };
    let anyhop = lab.start("anyhop", "[[static]]\nprefix = \"192.0.2.0/24\"\nvia = [\"10.2.0.2\", \"10.3.0.2\"]\n");
    lab.acquaint();
    let before = came(&lab.right);
    wait_for("1,200 packets by both ways", || {
        // Again if need be: a loaded machine drops some at the ports.
        spray(&lab.left, "192.0.2.1");
        std::thread::sleep(Duration::from_millis(200));
        let [first, second] = [came(&lab.right)[0] - before[0], came(&lab.right)[1] - before[1]];
        let even = first >= 400 && second >= 400 && first + second >= 1200;
        if even { Ok(()) } else { Err(format!("{first} by one way and {second} by the other")) }
    });
    // The link of one way falls: every flow takes the other.
    lab.router.ip("link set r0 down");
    wait_for("all flows by r1", || {
        let before = came(&lab.right)[1];
        spray(&lab.left, "192.0.2.1");
        std::thread::sleep(Duration::from_millis(200));
        let got = came(&lab.right)[1] - before;
        if got >= 1200 { Ok(()) } else { Err(format!("{got} of 1,200")) }
    });
    drop(anyhop);
}

#[test]
fn neither_the_death_of_the_daemon_nor_of_the_agent_is_the_end() {
    let Some(mut lab) = triangle("neither_the_death_of_the_daemon_nor_of_the_agent_is_the_end") else { return };
    let mut anyhop = lab.start("anyhop", TARGETS);
    lab.acquaint();
    reaches(&lab.left, "192.0.2.1");
    let script = "exec ping -i 0.005 -c 4000 -q 192.0.2.1";
    let mut ping = lab.left.spawn("ping", lab.left.command("sh").args(["-c", script]));
    let forwarded = counted(&anyhop, "forwarded-ipv4");
    std::thread::sleep(Duration::from_secs(1));
    anyhop.process.kill();
    std::thread::sleep(Duration::from_secs(2));
    assert!(ping.is_running());
    let mut next = lab.start("next", TARGETS);
    std::thread::sleep(Duration::from_secs(1));
    ping.signal(Signal::SIGINT);
    ping.wait(Duration::from_secs(30));
    let log = ping.log();
    assert!(log.contains(" 0% packet loss"), "{log}");
    assert!(counted(&next, "forwarded-ipv4") > forwarded + 400);
    let view = dpdk(&next);
    assert!(view["adopted"].as_u64().is_some_and(|adopted| adopted >= 6), "what stood there was adopted: {view}");
    // The agent dies and comes back empty; the daemon notices and tells it everything.
    lab.agent.as_mut().expect("the agent").kill();
    assert!(!lab.left.succeeds("ping -c 1 -W 1 192.0.2.1"), "nobody forwards");
    lab.start_agent("agent-again");
    wait_for("the daemon to fill the new agent", || {
        if lab.left.succeeds("ping -c 1 -W 1 192.0.2.1") { Ok(()) } else { Err(dpdk(&next).to_string()) }
    });
    settled(&next);
    for to in ["192.0.2.1", "2001:db8::1", "10.2.0.2"] {
        reaches(&lab.left, to);
    }
    // A clean stop leaves the agent without routes.
    next.process.signal(Signal::SIGTERM);
    assert!(next.process.wait(Duration::from_secs(20)).success());
    assert!(!lab.left.succeeds("ping -c 1 -W 1 192.0.2.1"));
}
