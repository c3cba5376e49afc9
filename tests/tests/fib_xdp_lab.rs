//! The daemon with XDP as its data plane, in namespaces, with real traffic. The kernel of the router does not forward here
//! (`ip_forward=0`): whatever arrives was forwarded by the program.

#![allow(clippy::disallowed_methods, reason = "real traffic takes real time")]

#[path = "fib/xdp_ground.rs"]
mod xdp_ground;

use std::time::Duration;

use anyhop_tests::fib::triangle::{self, TARGETS, acquaint, came, reaches, spray, transfers};
use anyhop_tests::lab::{Anyhop, Bird, Lab, Node, lab, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Left host, router, right host; the hosts have two links to the router each on the right side for ECMP.
struct Triangle {
    lab: Lab,
    left: Node,
    router: Node,
    right: Node,
    pin: String,
}

/// Frames forwarded natively carry no half-done checksums and reach a veth only where GRO is on.
fn ready(node: &Node, interface: &str) {
    node.sh(&format!("ethtool -K {interface} tx off gro on >/dev/null"));
}

fn triangle(test: &str) -> Option<Triangle> {
    let mut lab = lab(test)?;
    let pin = xdp_ground::bpffs().join("anyhop").display().to_string();
    let [left, router, right] = ["left", "router", "right"].map(|name| lab.node(name));
    lab.link((&left, "eth0", "10.1.0.2/24 fd01::2/64"), (&router, "l0", "10.1.0.1/24 fd01::1/64"));
    lab.link((&right, "eth0", "10.2.0.2/24 fd02::2/64"), (&router, "r0", "10.2.0.1/24 fd02::1/64"));
    lab.link((&right, "eth1", "10.3.0.2/24 fd03::2/64"), (&router, "r1", "10.3.0.1/24 fd03::1/64"));
    triangle::hosts(&left, &right);
    router.sysctl("net.ipv4.ip_forward", "0");
    router.sysctl("net.ipv6.conf.all.forwarding", "0");
    ready(&left, "eth0");
    ready(&right, "eth0");
    ready(&right, "eth1");
    Some(Triangle { lab, left, router, right, pin })
}

impl Triangle {
    fn config(&self, more: &str) -> String {
        format!(
            "[node]\nasn = 64500\nrouter_id = \"10.1.0.1\"\n\
             [fib]\nbackends = [\"kernel\", \"xdp\"]\n\
             [fib.xdp]\ninterfaces = [\"l0\", \"r0\", \"r1\"]\npin = \"{}\"\n\
             limits = {{ ipv4_routes = 20000, ipv6_routes = 20000, ipv4_groups = 256, ipv6_groups = 2048, next_hops = 1024 }}\n{more}",
            self.pin
        )
    }

    /// Starts the daemon, and waits until the data plane holds all that it should and knows who is there.
    fn start(&self, more: &str) -> Anyhop {
        let anyhop = Anyhop::start(&self.router, &self.config(more));
        self.settled(&anyhop);
        anyhop
    }

    fn settled(&self, anyhop: &Anyhop) {
        triangle::settled(anyhop, "xdp");
    }

    fn acquaint(&self) {
        acquaint(&self.left, &["10.1.0.1", "fd01::1"]);
        acquaint(&self.right, &["10.2.0.1", "fd02::1", "10.3.0.1", "fd03::1"]);
    }
}

fn xdp(anyhop: &Anyhop) -> Value {
    triangle::plane(anyhop, "xdp")
}

fn counted(anyhop: &Anyhop, reason: &str) -> u64 {
    triangle::counted(anyhop, "xdp", reason)
}

#[test]
fn xdp_forwards_pings_and_tcp_both_ways_for_the_daemon() {
    let Some(lab) = triangle("xdp_forwards_pings_and_tcp_both_ways_for_the_daemon") else { return };
    let anyhop = lab.start(TARGETS);
    for port in xdp(&anyhop)["ports"].as_array().expect("ports") {
        assert_eq!((port["mode"].as_str(), port["remark"].as_str()), (Some("native"), None), "{port}");
    }
    lab.acquaint();
    let before = (counted(&anyhop, "forwarded-ipv4"), counted(&anyhop, "forwarded-ipv6"));
    for to in ["10.2.0.2", "192.0.2.1", "fd02::2", "2001:db8::1"] {
        reaches(&lab.left, to);
    }
    for to in ["10.1.0.2", "fd01::2"] {
        reaches(&lab.right, to);
    }
    transfers(&lab.left, &lab.right, "192.0.2.1", 4_000_000);
    transfers(&lab.right, &lab.left, "10.1.0.2", 4_000_000);
    transfers(&lab.left, &lab.right, "2001:db8::1", 4_000_000);
    transfers(&lab.right, &lab.left, "fd01::2", 4_000_000);
    assert!(counted(&anyhop, "forwarded-ipv4") > before.0 + 4000, "8 MB in frames of 1,500 octets");
    assert!(counted(&anyhop, "forwarded-ipv6") > before.1 + 4000);
    // The router's own address is the kernel's.
    let local = counted(&anyhop, "to-local");
    lab.left.sh("ping -c 3 -i 0.1 10.2.0.1");
    assert!(counted(&anyhop, "to-local") >= local + 3);
}

#[test]
fn xdp_in_generic_mode_forwards_too() {
    let Some(lab) = triangle("xdp_in_generic_mode_forwards_too") else { return };
    let config = lab.config(TARGETS).replace("[fib.xdp]", "[fib.xdp]\nmode = \"generic\"\ntable = \"lpm_trie\"");
    let anyhop = Anyhop::start(&lab.router, &config);
    lab.settled(&anyhop);
    lab.acquaint();
    assert_eq!(xdp(&anyhop)["ports"][0]["mode"], "generic");
    for to in ["192.0.2.1", "2001:db8::1"] {
        reaches(&lab.left, to);
    }
    transfers(&lab.left, &lab.right, "192.0.2.1", 4_000_000);
}

#[test]
fn xdp_falls_back_to_generic_only_where_it_may_and_says_so() {
    let Some(lab) = triangle("xdp_falls_back_to_generic_only_where_it_may_and_says_so") else { return };
    // A bridge's driver has no XDP.
    lab.router.sh(
        "ip addr del 10.3.0.1/24 dev r1; ip link add br0 type bridge; ip link set br0 up; ip link set r1 master br0",
    );
    lab.router.ip("addr add 10.3.0.1/24 dev br0");
    let native = lab.config("").replace("\"r1\"", "\"br0\"");
    let mut refused = Anyhop::launch(&lab.router, "refused", &native);
    assert!(!refused.process.wait(Duration::from_secs(30)).success());
    let log = refused.process.log();
    assert!(
        log.contains("br0") && log.contains("fib.xdp.mode = \\\"auto\\\"") || log.contains("fib.xdp.mode = \"auto\""),
        "{log}"
    );
    let anyhop = Anyhop::start(&lab.router, &native.replace("[fib.xdp]", "[fib.xdp]\nmode = \"auto\""));
    lab.settled(&anyhop);
    let ports = xdp(&anyhop)["ports"].clone();
    assert_eq!((&ports[0]["mode"], &ports[0]["remark"]), (&"native".into(), &Value::Null));
    assert_eq!(ports[2]["mode"], "generic");
    assert!(ports[2]["remark"].as_str().is_some_and(|remark| remark.contains("no native XDP")), "{ports}");
    acquaint(&lab.left, &["10.1.0.1"]);
    acquaint(&lab.right, &["10.3.0.1"]);
    // What came in natively cannot leave by a driver without XDP: the kernel forwards it. The way back is XDP's.
    lab.router.forward();
    let before = (counted(&anyhop, "mixed-modes"), counted(&anyhop, "forwarded-ipv4"));
    reaches(&lab.left, "10.3.0.2");
    assert!(counted(&anyhop, "mixed-modes") > before.0 && counted(&anyhop, "forwarded-ipv4") > before.1);
}

#[test]
fn flows_spread_over_equal_ways_and_move_when_a_link_falls() {
    let Some(lab) = triangle("flows_spread_over_equal_ways_and_move_when_a_link_falls") else { return };
    let anyhop = lab.start(
        "[[static]]\nprefix = \"192.0.2.0/24\"\nvia = [\"10.2.0.2\", \"10.3.0.2\"]\n\
         [[static]]\nprefix = \"2001:db8::/48\"\nvia = [\"fd02::2\", \"fd03::2\"]\n",
    );
    lab.acquaint();
    for to in ["192.0.2.1", "2001:db8::1"] {
        // The first flow of a family may find the host's neighbor unknown.
        spray(&lab.left, to);
        let before = came(&lab.right);
        spray(&lab.left, to);
        wait_for("1,200 packets", || {
            let [first, second] = [came(&lab.right)[0] - before[0], came(&lab.right)[1] - before[1]];
            let even = first >= 400 && second >= 400 && first + second >= 1200;
            if even { Ok(()) } else { Err(format!("{first} by one way and {second} by the other")) }
        });
    }
    // One way falls: every flow takes the other.
    lab.right.ip("link set eth0 down");
    wait_for("all flows by r1", || {
        let before = came(&lab.right)[1];
        spray(&lab.left, "192.0.2.1");
        let got = came(&lab.right)[1] - before;
        if got >= 1200 { Ok(()) } else { Err(format!("{got} of 1,200")) }
    });
    drop(anyhop);
}

#[test]
fn what_xdp_may_not_do_the_kernel_does() {
    let Some(lab) = triangle("what_xdp_may_not_do_the_kernel_does") else { return };
    lab.router.forward();
    let anyhop = lab.start(&format!("{TARGETS}[[static]]\nprefix = \"198.51.100.0/24\"\nvia = [\"10.2.0.77\"]\n"));
    lab.acquaint();
    reaches(&lab.left, "192.0.2.1");
    reaches(&lab.left, "2001:db8::1");
    let says = |arguments: &str| triangle::says(&lab.left, arguments);
    let rises = |reason: &str, what: &mut dyn FnMut()| triangle::rises(&anyhop, "xdp", reason, what);
    // RFC 1812 section 5.3.1, RFC 4443 section 3.3.
    rises("ttl", &mut || assert!(says("-t 1 192.0.2.1").contains("time to live exceeded")));
    rises("ttl", &mut || assert!(says("-t 1 2001:db8::1").contains("time exceeded: hop limit")));
    triangle::narrows(&anyhop, "xdp", &lab.left, &lab.router, &lab.right);
    triangle::set_mtu(&lab.router, &lab.right, 1500);
    // A fragment is the kernel's.
    rises("fragment", &mut || assert!(says("-M dont -s 3000 192.0.2.1").contains(" 0% packet loss")));
    // Options too.
    rises("options", &mut || assert!(says("-R 192.0.2.1").contains(" 0% packet loss")));
    // A gateway that is not there: the kernel asks, and tells the sender in the end.
    rises("unresolved", &mut || {
        let said = lab.left.sh("ping -c 5 -W 2 198.51.100.1 2>&1 || true");
        assert!(said.contains("Destination Host Unreachable"), "{said}");
    });
}

#[test]
fn xdp_follows_the_mac_address_of_its_interface() {
    let Some(lab) = triangle("xdp_follows_the_mac_address_of_its_interface") else { return };
    let anyhop = lab.start(TARGETS);
    lab.acquaint();
    triangle::changes_address(&anyhop, "xdp", &lab.left, &lab.router, &lab.right);
}

#[test]
fn the_death_of_the_daemon_loses_no_packet_and_the_next_takes_over() {
    let Some(lab) = triangle("the_death_of_the_daemon_loses_no_packet_and_the_next_takes_over") else { return };
    let mut anyhop = lab.start(TARGETS);
    lab.acquaint();
    reaches(&lab.left, "192.0.2.1");
    let script = "exec ping -i 0.005 -c 4000 -q 192.0.2.1";
    let mut ping = lab.left.spawn("ping", lab.left.command("sh").args(["-c", script]));
    let forwarded = counted(&anyhop, "forwarded-ipv4");
    std::thread::sleep(Duration::from_secs(1));
    anyhop.process.kill();
    std::thread::sleep(Duration::from_secs(2));
    assert!(ping.is_running());
    let mut next = Anyhop::start_named(&lab.router, "next", &lab.config(TARGETS));
    lab.settled(&next);
    assert!(next.process.log().contains("XDP tables of an earlier run taken up"), "{}", next.process.log());
    std::thread::sleep(Duration::from_secs(1));
    ping.signal(Signal::SIGINT);
    ping.wait(Duration::from_secs(30));
    let log = ping.log();
    assert!(log.contains(" 0% packet loss"), "{log}");
    // The counters lie in the maps, so they go on counting.
    assert!(counted(&next, "forwarded-ipv4") > forwarded + 400);
    // A clean stop takes everything away, programs and pins.
    next.process.signal(Signal::SIGTERM);
    assert!(next.process.wait(Duration::from_secs(20)).success());
    let links = lab.router.sh("ip -d link show l0; ip -d link show r0");
    assert!(!links.contains("xdp"), "{links}");
    assert!(!std::path::Path::new(&lab.pin).exists(), "the pins are gone");
}

/// Sends to `routes` networks from 11.0.0.0/24 on, at random, until the file `stop` is there. A datagram says if its network is an
/// odd one, and what the file `phase` said when it was sent.
const SENDER: &str = "import socket,random,time,os,struct,sys\ndir,routes=sys.argv[1],int(sys.argv[2])\n\
    s=socket.socket(socket.AF_INET,2);r=random.Random(5);sent=0\nprint('ready',flush=True)\n\
    while not os.path.exists(dir+'/stop'):\n  phase=open(dir+'/phase').read()[:1].encode()\n  for _ in range(50):\n    \
    n=r.randrange(routes);s.sendto((b'o' if n&1 else b'e')+phase,(socket.inet_ntoa(struct.pack('>I',0x0b000001+(n<<8))),9999))\n    \
    sent+=1\n  time.sleep(0.02)\nprint(sent,flush=True)\n";

/// Counts what comes by one interface, and says so whenever it is quiet.
const RECEIVER: &str = "import socket,sys,collections\ns=socket.socket(socket.AF_INET,2)\n\
    s.setsockopt(1,25,sys.argv[1].encode()+b'\\0');s.setsockopt(1,33,1<<24);s.bind(('',9999));s.settimeout(0.5)\n\
    c=collections.Counter();print('ready',flush=True)\nwhile True:\n  try:\n    c[s.recv(9).decode()]+=1\n  \
    except TimeoutError: print(*('%s=%d'%p for p in sorted(c.items())),flush=True)\n";

/// A full table comes from BIRD, lives through a crash of the daemon, and half of it goes, under traffic all the while. Routes of even
/// networks lead where the default did before, those of odd ones elsewhere.
#[test]
fn a_full_table_comes_and_goes_by_bgp_under_traffic_and_no_packet_is_lost_or_misled() {
    let test = "a_full_table_comes_and_goes_by_bgp_under_traffic_and_no_packet_is_lost_or_misled";
    let Some(mut lab) = triangle(test) else { return };
    let routes = if std::env::var_os("ANYHOP_FULL").is_some() { 1_000_000 } else { 60_000 };
    let feeder = lab.lab.node("feeder");
    lab.lab.link((&feeder, "eth0", "10.9.0.2/24"), (&lab.router, "f0", "10.9.0.1/24"));
    for own in ["11.0.0.0/8", "12.0.0.0/6", "16.0.0.0/4"] {
        lab.right.ip(&format!("route add local {own} dev lo"));
    }
    let more = "[[static]]\nprefix = \"0.0.0.0/1\"\nvia = [\"10.2.0.2\"]\n\
                [[static]]\nprefix = \"10.200.0.0/24\"\nvia = [\"10.3.0.2\"]\n\
                [[neighbor]]\naddress = \"10.9.0.2\"\nasn = 64500\nimport = \"accept\"\n";
    let config = lab.config(more).replace("ipv4_routes = 20000", &format!("ipv4_routes = {}", routes + 1000));
    let mut anyhop = Anyhop::start(&lab.router, &config);
    lab.settled(&anyhop);
    lab.acquaint();
    let held = |anyhop: &Anyhop, least: u64| {
        let begin = std::time::Instant::now();
        loop {
            let view = xdp(anyhop);
            let number = |key: &str| view[key].as_u64().unwrap_or(0);
            if number("desired") >= least && number("installed") == number("desired") && number("desired") < least + 100
            {
                return view;
            }
            assert!(begin.elapsed() < Duration::from_secs(180), "waited in vain for {least} routes: {view}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    // Whole or not at all: it is read all the time.
    let phase = |phase: &str| {
        std::fs::rename(lab.left.write("phase.new", phase), lab.left.path("phase")).expect("the node's directory");
    };
    phase("0");
    let dir = lab.left.path("");
    let mut receivers = ["eth0", "eth1"].map(|port| {
        lab.right.spawn(&format!("receiver-{port}"), lab.right.command("python3").args(["-c", RECEIVER, port]))
    });
    for receiver in &receivers {
        wait_for("a receiver", || if receiver.log().contains("ready") { Ok(()) } else { Err(receiver.log()) });
    }
    let arguments = ["-c", SENDER, &dir.display().to_string(), &routes.to_string()];
    let mut sender = lab.left.spawn("sender", lab.left.command("python3").args(arguments));
    wait_for("the sender", || if sender.log().contains("ready") { Ok(()) } else { Err(sender.log()) });

    let statics = |odd: u32| -> String {
        let network = |n: u32| format!("route {}/24 blackhole;", std::net::Ipv4Addr::from(0x0b00_0000 + (n << 8)));
        (odd..routes).step_by(2).map(network).collect()
    };
    let bird = Bird::start(
        &feeder,
        &format!(
            "router id 10.9.0.2;\nprotocol device {{}}\nprotocol static even {{ ipv4; {} }}\nprotocol static odd {{ ipv4; {} }}\n\
             protocol bgp up {{ local 10.9.0.2 as 64500; neighbor 10.9.0.1 as 64500; connect retry time 2; connect delay time 1; \
             error wait time 1, 4; ipv4 {{ import none; export filter {{ if source != RTS_STATIC then reject; \
             if proto = \"odd\" then bgp_next_hop = 10.3.0.2; else bgp_next_hop = 10.2.0.2; accept; }}; }}; }}\n",
            statics(0),
            statics(1)
        ),
    );
    held(&anyhop, u64::from(routes) + 8);
    // In force for all that is sent from here on.
    phase("1");
    std::thread::sleep(Duration::from_secs(1));
    anyhop.process.kill();
    std::thread::sleep(Duration::from_secs(1));
    let next = Anyhop::start_named(&lab.router, "next", &config);
    let view = held(&next, u64::from(routes) + 8);
    assert!(view["adopted"].as_u64() >= Some(u64::from(routes)), "what stood there was adopted: {view}");
    std::thread::sleep(Duration::from_secs(1));
    phase("2");
    std::thread::sleep(Duration::from_secs(1));
    drop(bird.ask("disable odd"));
    held(&next, u64::from(routes) / 2 + 8);
    phase("3");
    std::thread::sleep(Duration::from_secs(1));
    lab.left.write("stop", "");
    assert!(sender.wait(Duration::from_secs(10)).success());
    let sent: u64 = sender.log().lines().last().and_then(|line| line.parse().ok()).expect("a number");
    let count = |receiver: &anyhop_tests::lab::Process| -> Vec<(String, u64)> {
        let log = receiver.log();
        let line = log.lines().last().unwrap_or_default();
        line.split(' ')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, n)| (k.to_owned(), n.parse().expect("a number")))
            .collect()
    };
    let [by_first, by_second] = wait_for("every datagram", || {
        let counts = [count(&receivers[0]), count(&receivers[1])];
        let came: u64 = counts.iter().flatten().map(|(_, n)| n).sum();
        if came == sent { Ok(counts) } else { Err(format!("{came} of {sent}: {counts:?}")) }
    });
    receivers.iter_mut().for_each(anyhop_tests::lab::Process::kill);
    let kinds = |counts: &[(String, u64)]| counts.iter().map(|(kind, _)| kind.clone()).collect::<Vec<_>>();
    // Odd ones move once when the table comes, and back once when it goes.
    assert_eq!(kinds(&by_second), ["o0", "o1", "o2"], "{by_second:?}");
    assert_eq!(kinds(&by_first), ["e0", "e1", "e2", "e3", "o0", "o2", "o3"], "{by_first:?}");
    assert!(sent > 5000, "{sent}");
}
