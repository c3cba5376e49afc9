//! What befalls a kernel's table, one trouble after the other, and the daemon that has to make it good: strangers' hands, links and
//! addresses that go and come back, and what the kernel refuses. Each time the table becomes again what it was, the daemon
//! counts what it saw, and in the end `anyhop fib diff` finds nothing.

#![allow(clippy::disallowed_methods, reason = "a kernel takes real time")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhop_tests::lab::{Anyhop, Bird, Lab, Node, eventually, lab, wait_for};
use serde_json::Value;

/// A router with two links to a neighbor, and routes by one and by both of them.
struct Two {
    lab: Lab,
    router: Node,
    far: Node,
}

const ROUTES: &str = "
[node]
asn = 64500
router_id = \"10.0.0.1\"
[[static]]
prefix = \"192.0.2.0/24\"
via = [\"10.0.0.2\", \"10.0.1.2\"]
[[static]]
prefix = \"198.51.100.0/24\"
via = [\"10.0.0.2\"]
[[static]]
prefix = \"2001:db8:1::/48\"
via = [\"fd00::2\", \"fd01::2\"]
[[static]]
prefix = \"2001:db8:2::/48\"
via = [\"fd00::2\"]
";
const BY_BOTH: [&str; 2] = ["192.0.2.0/24", "2001:db8:1::/48"];
const BY_FIRST: [&str; 2] = ["198.51.100.0/24", "2001:db8:2::/48"];

fn two(test: &str) -> Option<Two> {
    let mut lab = lab(test)?;
    let [router, far] = ["router", "far"].map(|name| lab.node(name));
    let mut two = Two { lab, router, far };
    two.wire(0);
    two.wire(1);
    Some(two)
}

impl Two {
    fn wire(&mut self, n: u8) {
        let ends = [(&self.router, format!("v{n}"), 1), (&self.far, format!("p{n}"), 2)];
        let [router, far] =
            ends.map(|(node, name, host)| (node, name, format!("10.0.{n}.{host}/24 fd0{n}::{host}/64")));
        self.lab.link((router.0, &router.1, &router.2), (far.0, &far.1, &far.2));
    }

    fn start(&self) -> Anyhop {
        let anyhop = Anyhop::start(&self.router, ROUTES);
        eventually("the table to be written", &whole(), || self.table());
        anyhop
    }

    /// Our routes in the kernel, each with the interfaces of its ways in order of name; dead ways are told apart.
    fn table(&self) -> BTreeSet<String> {
        let text = self.router.ip("route show proto 179") + &self.router.ip("-6 route show proto 179");
        let mut routes: Vec<(String, Vec<String>)> = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if !line.starts_with(char::is_whitespace) {
                routes.push((words[0].to_owned(), Vec::new()));
            }
            let way = words.windows(2).find(|pair| pair[0] == "dev").map(|pair| pair[1]);
            if let (Some((_, ways)), Some(way)) = (routes.last_mut(), way) {
                ways.push(if words.contains(&"dead") { format!("{way}(dead)") } else { way.to_owned() });
            }
        }
        let line = |(prefix, mut ways): (String, Vec<String>)| {
            ways.sort();
            format!("{prefix} {}", ways.join(" "))
        };
        routes.into_iter().map(line).collect()
    }

    fn becomes(&self, what: &str, expected: &BTreeSet<String>) -> Duration {
        eventually(what, expected, || self.table())
    }
}

fn routes(first: &str, second: &str) -> BTreeSet<String> {
    let mut ways = [first, second];
    ways.sort_unstable();
    let both = BY_BOTH.iter().map(|prefix| format!("{prefix} {}", ways.join(" ")));
    both.chain(BY_FIRST.iter().map(|prefix| format!("{prefix} {first}"))).collect()
}

fn whole() -> BTreeSet<String> {
    routes("v0", "v1")
}

/// What is left while the first link is away.
fn by_second() -> BTreeSet<String> {
    BY_BOTH.iter().map(|prefix| format!("{prefix} v1")).collect()
}

/// A figure of the kernel in `anyhop show fib`.
fn figure(anyhop: &Anyhop, key: &str) -> u64 {
    anyhop.ask(&["show", "fib"])["backends"][0][key].as_u64().unwrap_or_else(|| panic!("no {key} in show fib"))
}

fn differences(anyhop: &Anyhop) -> Vec<Value> {
    anyhop.ask(&["fib", "diff"])["differences"].as_array().expect("a list").clone()
}

fn in_step(anyhop: &Anyhop) {
    eventually("the data plane to be in step", &Vec::<Value>::new(), || differences(anyhop));
    assert_eq!(figure(anyhop, "failed"), 0);
}

#[test]
fn what_strangers_delete_and_replace_returns_and_is_counted() {
    let Some(two) = two("what_strangers_delete_and_replace_returns_and_is_counted") else { return };
    let anyhop = two.start();
    for theft in [
        "route del 192.0.2.0/24 proto 179 metric 20",
        "route replace 198.51.100.0/24 via 10.0.1.9 proto 186 metric 20",
        "-6 route del 2001:db8:2::/48 proto 179 metric 20",
        "-6 route replace 2001:db8:1::/48 via fd01::9 proto 186 metric 20",
        "route add 203.0.113.0/24 via 10.0.0.9 proto 179 metric 20",
    ] {
        let before = figure(&anyhop, "disturbed");
        two.router.ip(theft);
        wait_for("the theft to be noticed", || {
            let disturbed = figure(&anyhop, "disturbed");
            if disturbed > before { Ok(()) } else { Err(format!("{theft}: {disturbed}")) }
        });
        two.becomes(theft, &whole());
        in_step(&anyhop);
    }
    assert_eq!(two.router.ip("route show proto 186") + &two.router.ip("-6 route show proto 186"), "");
}

#[test]
fn objects_that_a_stranger_deletes_are_made_again_with_all_routes_on_them() {
    let Some(two) = two("objects_that_a_stranger_deletes_are_made_again_with_all_routes_on_them") else { return };
    let anyhop = two.start();
    let objects = || {
        let text = two.router.ip("nexthop show");
        let number = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
        text.lines().filter_map(number).collect::<Vec<String>>()
    };
    assert!(objects().len() >= 6, "groups and legs: {}", two.router.ip("nexthop show"));
    for id in objects() {
        let resyncs = figure(&anyhop, "resyncs");
        // A group goes with its last leg.
        two.router.sh(&format!("ip nexthop del id {id} 2>/dev/null || true"));
        two.becomes("the routes to return", &whole());
        in_step(&anyhop);
        assert!(figure(&anyhop, "resyncs") >= resyncs);
    }
    assert!(figure(&anyhop, "repaired") > 0);
}

#[test]
fn a_number_that_a_stranger_took_is_refused_told_and_healed() {
    let Some(two) = two("a_number_that_a_stranger_took_is_refused_told_and_healed") else { return };
    // Where our first groups would be: the kernel makes no group of a plain object (EINVAL).
    for n in 2..8 {
        two.router.ip(&format!("nexthop add id {} via 10.0.1.77 dev v1 proto 186", (179u32 << 24) + n));
    }
    let anyhop = Anyhop::start(&two.router, ROUTES);
    wait_for("the refusals", || {
        let refused = figure(&anyhop, "failed");
        if refused >= 3 { Ok(()) } else { Err(refused.to_string()) }
    });
    let found = differences(&anyhop);
    assert!(found.len() >= 3 && figure(&anyhop, "errors") >= 3, "{found:?}");
    for one in &found {
        assert!(one["reason"].as_str().is_some_and(|why| why.contains("Invalid argument")), "{one}");
        let [desired, found] = ["desired", "found"].map(|key| one[key].as_array().map(Vec::len));
        assert!(
            desired.is_some_and(|ways| ways > 0) && found == Some(0),
            "what should be there, and nothing is: {one}"
        );
    }
    wait_for("the alarm", || {
        let log = anyhop.process.log();
        if log.contains("kernel refuses") { Ok(()) } else { Err(log) }
    });
    for n in 2..8 {
        two.router.ip(&format!("nexthop del id {}", (179u32 << 24) + n));
    }
    two.becomes("the routes once it is free", &whole());
    in_step(&anyhop);
}

#[test]
fn a_renamed_interface_keeps_its_routes_and_loses_and_regains_them_with_its_link() {
    let test = "a_renamed_interface_keeps_its_routes_and_loses_and_regains_them_with_its_link";
    let Some(two) = two(test) else { return };
    let anyhop = two.start();
    two.router.sh("ip link set v0 down; ip link set v0 name uplink; ip link set uplink up");
    // IPv6 addresses leave with the link.
    two.router.ip("-6 addr replace fd00::1/64 dev uplink nodad");
    two.becomes("the routes by the new name", &routes("uplink", "v1"));
    in_step(&anyhop);
    two.far.ip("link set p0 down");
    two.becomes("the first link to be left out", &by_second());
    two.far.ip("link set p0 up");
    two.becomes("the routes to return", &routes("uplink", "v1"));
    in_step(&anyhop);
}

#[test]
fn an_interface_made_anew_gets_its_routes_back() {
    let Some(mut two) = two("an_interface_made_anew_gets_its_routes_back") else { return };
    let anyhop = two.start();
    for _ in 0..2 {
        two.router.ip("link del v0");
        two.becomes("the first link to be left out", &by_second());
        in_step(&anyhop);
        two.wire(0);
        two.becomes("the routes over the new link", &whole());
        in_step(&anyhop);
    }
}

#[test]
fn a_link_that_flaps_returns_to_every_group_it_was_in() {
    let Some(two) = two("a_link_that_flaps_returns_to_every_group_it_was_in") else { return };
    let anyhop = two.start();
    let groups = || two.router.ip("nexthop show").lines().filter(|line| line.contains(" group ")).count();
    let before = groups();
    for turn in 0..4 {
        // By carrier and by hand in turn. By hand takes the IPv6 addresses too.
        let (node, down, up) = match turn % 2 {
            0 => (&two.far, "link set p0 down", "link set p0 up"),
            _ => (&two.router, "link set v0 down", "link set v0 up"),
        };
        node.ip(down);
        two.becomes("the first link to be left out", &by_second());
        in_step(&anyhop);
        node.ip(up);
        two.router.ip("-6 addr replace fd00::1/64 dev v0 nodad");
        let took = two.becomes("every leg to return", &whole());
        println!("link up to every leg in the kernel: {took:?}");
        in_step(&anyhop);
        assert_eq!(groups(), before, "{}", two.router.ip("nexthop show"));
    }
    // Both at once, so that groups die too.
    two.far.sh("ip link set p0 down; ip link set p1 down");
    two.becomes("no route", &BTreeSet::new());
    two.far.sh("ip link set p1 up; ip link set p0 up");
    two.becomes("every leg to return", &whole());
    in_step(&anyhop);
}

#[test]
fn an_address_that_goes_takes_its_routes_along_until_it_returns() {
    let Some(two) = two("an_address_that_goes_takes_its_routes_along_until_it_returns") else { return };
    let anyhop = two.start();
    two.router.sh("ip addr del 10.0.0.1/24 dev v0; ip -6 addr del fd00::1/64 dev v0");
    two.becomes("the first link to be left out", &by_second());
    in_step(&anyhop);
    two.router.sh("ip addr add 10.0.0.1/24 dev v0; ip -6 addr add fd00::1/64 dev v0 nodad");
    two.becomes("the routes to return", &whole());
    in_step(&anyhop);
}

#[test]
fn a_link_that_falls_under_many_routes_stalls_neither_sessions_nor_answers() {
    let test = "a_link_that_falls_under_many_routes_stalls_neither_sessions_nor_answers";
    let Some(two) = two(test) else { return };
    let count: u32 = if std::env::var_os("ANYHOP_FULL").is_some() { 1_000_000 } else { 100_000 };
    // The session is by the second link, the routes' next hop by the first.
    let mut config = String::from(
        "router id 10.0.1.2;\nprotocol device {}\nprotocol bgp edge {\n  local 10.0.1.2 as 65001;\n  \
         neighbor 10.0.1.1 as 64500;\n  hold time 3;\n  keepalive time 1;\n  \
         ipv4 { export filter { bgp_next_hop = 10.0.0.2; accept; }; import none; };\n}\n\
         protocol static { ipv4;\n",
    );
    for n in 0..count {
        let addr = std::net::Ipv4Addr::from((11 << 24) + (n << 8));
        config += &format!("route {addr}/24 blackhole;\n");
    }
    config += "}\n";
    let bird = Bird::start(&two.far, &config);
    let neighbor = "[fib.kernel]\nnexthop_compat = \"off\"\n[[neighbor]]\naddress = \"10.0.1.2\"\nasn = 65001\n\
                    import = \"accept\"\nhold_time = \"3s\"\npassive = true\n";
    let anyhop = Anyhop::start(&two.router, &format!("{ROUTES}{neighbor}"));
    let most = u64::from(count);
    let waiting = Instant::now() + Duration::from_secs(300);
    while figure(&anyhop, "installed") < most {
        assert!(Instant::now() < waiting, "{} of {count} routes", figure(&anyhop, "installed"));
        std::thread::sleep(Duration::from_millis(200));
    }
    let since = bird.since("edge");
    let mut slowest = Duration::ZERO;
    let mut ask = || {
        let asked = Instant::now();
        drop(anyhop.ask(&["show", "neighbors"]));
        slowest = slowest.max(asked.elapsed());
    };
    for command in ["link set p0 down", "link set p0 up"] {
        two.far.ip(command);
        for _ in 0..50 {
            ask();
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    assert!(bird.is_established("edge"), "{}", bird.protocol("edge"));
    let moved = bird.since("edge").abs_diff(since);
    assert!(moved < Duration::from_millis(100), "the session is the same: {}", bird.protocol("edge"));
    println!("{count} routes lost and regained with a link: slowest answer {slowest:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let limit = Instant::now() + Duration::from_secs(120);
    while figure(&anyhop, "installed") < most {
        assert!(Instant::now() < limit, "{} of {count} routes are back", figure(&anyhop, "installed"));
        std::thread::sleep(Duration::from_millis(200));
    }
}
