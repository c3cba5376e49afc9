//! The main job on the real thing: a service's check dies and BIRD loses the route; routes of FRR forward packets through
//! the kernel; crashes, stops and reloads leave behind exactly what they should.

use std::time::Duration;

use anyhop_tests::lab::process::Process;
use anyhop_tests::lab::services::{dns_server, http_server};
use anyhop_tests::lab::{Anyhop, Bird, Frr, Lab, Node, PeerRoute, eventually, lab, never, wait_for};
use ipnet::IpNet;
use nix::sys::signal::Signal;

const NODE: &str = "[node]\nasn = 65001\nrouter_id = \"10.99.0.1\"\n";
const STOP: Duration = Duration::from_secs(15);

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

/// anyhop (10.99.0.1, fd99::1, AS 65001) and a peer (10.99.0.2, fd99::2, AS 65002) on one link.
fn pair(lab: &mut Lab) -> (Node, Node) {
    let (ours, theirs) = (lab.node("anyhop"), lab.node("peer"));
    lab.link((&ours, "e0", "10.99.0.1/24 fd99::1/64"), (&theirs, "e0", "10.99.0.2/24 fd99::2/64"));
    (ours, theirs)
}

/// BIRD with a session of each family to anyhop, exporting the static routes given per family.
fn bird(node: &Node, statics4: &str, statics6: &str) -> Bird {
    Bird::start(
        node,
        &format!(
            "router id 10.99.0.2;\nprotocol device {{}}\n\
             protocol static {{ ipv4; {statics4} }}\nprotocol static {{ ipv6; {statics6} }}\n\
             protocol bgp p4 {{ local 10.99.0.2 as 65002; neighbor 10.99.0.1 as 65001; connect retry time 2; \
               connect delay time 1; error wait time 1, 4; ipv4 {{ import all; export where source = RTS_STATIC; }}; }}\n\
             protocol bgp p6 {{ local fd99::2 as 65002; neighbor fd99::1 as 65001; connect retry time 2; \
               connect delay time 1; error wait time 1, 4; ipv6 {{ import all; export where source = RTS_STATIC; }}; }}\n"
        ),
    )
}

fn established(bird: &Bird, protocols: &[&str]) {
    for protocol in protocols {
        wait_for(protocol, || if bird.is_established(protocol) { Ok(()) } else { Err(bird.protocol(protocol)) });
    }
}

/// Two neighbors without any policy: services are exported to them, and nothing else either way (RFC 8212).
const BARE_NEIGHBORS: &str =
    "[[neighbor]]\naddress = \"10.99.0.2\"\nasn = 65002\n[[neighbor]]\naddress = \"fd99::2\"\nasn = 65002\n";

/// The same neighbors, believed in everything.
const OPEN_NEIGHBORS: &str = "[[neighbor]]\naddress = \"10.99.0.2\"\nasn = 65002\nimport = \"accept\"\n\
                              [[neighbor]]\naddress = \"fd99::2\"\nasn = 65002\nimport = \"accept\"\n";

fn service(check: &str) -> String {
    format!(
        "[[service]]\nname = \"dns\"\nvips = [\"192.0.2.53/32\", \"2001:db8::53/128\"]\nbind = \"lo\"\n\
         communities = [\"65001:53\"]\n\
         checks = [ {{ {check}, interval = \"100ms\", timeout = \"90ms\", rise = 3, fall = 3 }} ]\n"
    )
}

fn vip_is_bound(node: &Node) -> bool {
    let addresses = node.ip("addr show dev lo");
    addresses.contains("192.0.2.53/32") && addresses.contains("2001:db8::53/128")
}

/// The kernel's routes that bear our mark.
fn our_routes(node: &Node) -> Vec<String> {
    let both = node.ip("-4 route show proto 179") + &node.ip("-6 route show proto 179");
    // A route's further lines, one per next hop, begin with blanks.
    let heads = both.lines().filter(|line| !line.starts_with(char::is_whitespace));
    let mut routes: Vec<String> = heads.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    routes.sort();
    routes
}

/// The whole chain with one kind of check.
fn follows_its_check(test: &str, check: &str, server: fn(&Node, u16) -> Process) {
    let Some(mut lab) = lab(test) else { return };
    let (ours, theirs) = pair(&mut lab);
    let bird = bird(&theirs, "", "");
    let _anyhop = Anyhop::start(&ours, &[NODE, BARE_NEIGHBORS, &service(check)].concat());
    established(&bird, &["p4", "p6"]);
    never("announced although nobody serves", Duration::from_millis(1500), || {
        bird.learned("p4").keys().next().map(ToString::to_string)
    });
    assert!(vip_is_bound(&ours), "bound whatever its health:\n{}", ours.ip("addr show dev lo"));
    let expected = |hop: &str| Some(PeerRoute::new("igp", &[65001], hop).communities("65001:53"));
    let seen =
        || (bird.learned("p4").remove(&net("192.0.2.53/32")), bird.learned("p6").remove(&net("2001:db8::53/128")));
    let mut first = server(&ours, 5300);
    eventually("BIRD to hold the VIPs", &(expected("10.99.0.1"), expected("fd99::1")), seen);
    assert_eq!(bird.learned("p4").len() + bird.learned("p6").len(), 2, "the VIPs and nothing else");
    first.kill();
    let took = eventually("BIRD to lose them", &(None, None), seen);
    assert!(took < Duration::from_secs(5), "three failures at 100 ms, then at once: took {took:?}");
    assert!(vip_is_bound(&ours), "a failing check leaves the VIP bound");
    let _second = server(&ours, 5300);
    eventually("BIRD to hold the VIPs again", &(expected("10.99.0.1"), expected("fd99::1")), seen);
}

#[test]
fn bird_sees_a_vip_while_its_dns_check_holds() {
    let check = "type = \"dns\", target = \"127.0.0.1:5300\", query = \"example.test A\"";
    follows_its_check("bird_sees_a_vip_while_its_dns_check_holds", check, dns_server);
}

#[test]
fn bird_sees_a_vip_while_its_http_check_holds() {
    let check = "type = \"http\", url = \"http://127.0.0.1:5300/healthz\"";
    follows_its_check("bird_sees_a_vip_while_its_http_check_holds", check, http_server);
}

#[test]
fn routes_learned_from_frr_forward_packets_through_the_kernel() {
    let Some(mut lab) = lab("routes_learned_from_frr_forward_packets_through_the_kernel") else { return };
    let (ours, theirs) = pair(&mut lab);
    let host = lab.node("host");
    lab.link((&host, "e0", "10.98.0.2/24 fd98::2/64"), (&ours, "e1", "10.98.0.1/24 fd98::1/64"));
    host.ip("route add default via 10.98.0.1");
    host.ip("-6 route add default via fd98::1");
    ours.forward();
    theirs.ip("addr add 198.51.100.1/32 dev lo");
    theirs.ip("-6 addr add 2001:db8:51::1/128 dev lo");
    theirs.ip("route add 10.98.0.0/24 via 10.99.0.1");
    theirs.ip("-6 route add fd98::/64 via fd99::1");
    let frr = Frr::start(
        &theirs,
        "router bgp 65002\n bgp router-id 10.99.0.2\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
         neighbor 10.99.0.1 remote-as 65001\n neighbor fd99::1 remote-as 65001\n \
         address-family ipv4 unicast\n  network 198.51.100.0/24\n exit-address-family\n \
         address-family ipv6 unicast\n  neighbor fd99::1 activate\n  network 2001:db8:51::/48\n exit-address-family\n",
    );
    assert!(!host.succeeds("ping -c 1 -W 1 198.51.100.1"), "no way there without a route");
    let _anyhop = Anyhop::start(&ours, &[NODE, OPEN_NEIGHBORS].concat());
    for neighbor in ["10.99.0.1", "fd99::1"] {
        eventually(neighbor, &true, || frr.is_established(neighbor));
    }
    let expected = vec!["198.51.100.0/24".to_owned(), "2001:db8:51::/48".to_owned()];
    eventually("the kernel to hold FRR's routes", &expected, || our_routes(&ours));
    assert!(ours.ip("route show 198.51.100.0/24").contains("via 10.99.0.2 dev e0"));
    for address in ["198.51.100.1", "2001:db8:51::1"] {
        eventually("a ping across", &true, || host.succeeds(&format!("ping -c 1 -W 2 {address}")));
    }
    let gone =
        frr.ask_all(&["conf t", "router bgp 65002", "address-family ipv4 unicast", "no network 198.51.100.0/24"]);
    assert!(!gone.contains('%'), "{gone}");
    eventually("the withdrawn route to leave the kernel", &vec!["2001:db8:51::/48".to_owned()], || our_routes(&ours));
}

#[test]
fn a_crash_leaves_routes_in_place_and_the_restart_adopts_them() {
    let Some(mut lab) = lab("a_crash_leaves_routes_in_place_and_the_restart_adopts_them") else { return };
    let (ours, theirs) = pair(&mut lab);
    let statics4: String = (0..50).map(|n| format!("route 198.51.100.{n}/32 blackhole; ")).collect();
    let statics6: String = (0..50).map(|n| format!("route 2001:db8:51:{n:x}::/64 blackhole; ")).collect();
    let bird = bird(&theirs, &statics4, &statics6);
    let config = [NODE, OPEN_NEIGHBORS].concat();
    let mut anyhop = Anyhop::start(&ours, &config);
    established(&bird, &["p4", "p6"]);
    eventually("all routes to be in the kernel", &100, || our_routes(&ours).len());
    let before = our_routes(&ours);
    let monitor = ours.spawn("monitor", ours.command("ip").args(["monitor", "route"]));
    anyhop.process.kill();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(our_routes(&ours), before, "a crash leaves live routes in place");
    let anyhop = Anyhop::start(&ours, &config);
    established(&bird, &["p4", "p6"]);
    eventually("anyhop to hold BIRD's routes again", &100, || {
        anyhop.ask(&["show", "routes"])["routes"]
            .as_array()
            .map_or(0, |routes| routes.iter().filter(|route| route["protocol"] == "bgp").count())
    });
    // A sweep, if one were to come, comes after the first full walk.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(our_routes(&ours), before);
    let seen = monitor.log();
    assert!(
        !seen.lines().any(|line| line.contains("Deleted") && line.contains("proto 179")),
        "deleted on the way:\n{seen}"
    );
    // The adopted routes are under control: what BIRD takes back leaves the kernel.
    let _ = bird.ask("disable p4");
    eventually("the withdrawn routes to leave", &50, || our_routes(&ours).len());
}

#[test]
fn a_stop_leaves_nothing_behind_and_says_goodbye() {
    let Some(mut lab) = lab("a_stop_leaves_nothing_behind_and_says_goodbye") else { return };
    let (ours, theirs) = pair(&mut lab);
    let bird = bird(&theirs, "route 198.51.100.0/24 blackhole;", "route 2001:db8:51::/48 blackhole;");
    ours.ip("route add 203.0.113.0/24 via 10.99.0.2");
    let _dns = dns_server(&ours, 5300);
    let check = "type = \"dns\", target = \"127.0.0.1:5300\", query = \"example.test A\"";
    let config = [NODE, OPEN_NEIGHBORS, &service(check)].concat();
    let mut killed = Anyhop::start(&ours, &config);
    eventually("the VIPs to be bound", &true, || vip_is_bound(&ours));
    killed.process.kill();
    // What a killed run bound is taken up by the next, and removed by its stop.
    let mut anyhop = Anyhop::start(&ours, &config);
    established(&bird, &["p4", "p6"]);
    eventually("both routes to be in the kernel", &2, || our_routes(&ours).len());
    eventually("BIRD to hold the VIP", &true, || bird.learned("p4").contains_key(&net("192.0.2.53/32")));
    anyhop.process.signal(Signal::SIGTERM);
    let status = anyhop.process.wait(STOP);
    assert_eq!(status.code(), Some(0), "{}", anyhop.process.log());
    assert_eq!(our_routes(&ours), Vec::<String>::new());
    assert!(!ours.ip("addr show dev lo").contains("192.0.2.53"), "{}", ours.ip("addr show dev lo"));
    assert!(!ours.ip("addr show dev lo").contains("2001:db8::53"));
    assert!(ours.ip("route show").contains("203.0.113.0/24"), "foreign routes are not ours to remove");
    let state = bird.protocol("p4");
    assert!(state.contains("Received: Administrative shutdown"), "Cease with its reason (RFC 4486):\n{state}");
    assert!(bird.learned("p4").is_empty() && bird.learned("p6").is_empty());
    assert!(!ours.path("anyhop.sock").exists(), "the socket goes too");
}

#[test]
fn redistributed_connected_routes_do_not_announce_a_sick_service() {
    let Some(mut lab) = lab("redistributed_connected_routes_do_not_announce_a_sick_service") else { return };
    let (ours, theirs) = pair(&mut lab);
    let bird = bird(&theirs, "", "");
    ours.ip("addr add 203.0.113.1/32 dev lo");
    let rest = "[bgp]\nrequire_policy = false\nredistribute = [ { from = \"connected\", policy = \"accept\" } ]\n";
    let check = "type = \"tcp\", target = \"127.0.0.1:5300\"";
    let _anyhop = Anyhop::start(&ours, &[NODE, rest, OPEN_NEIGHBORS, &service(check)].concat());
    established(&bird, &["p4", "p6"]);
    eventually("BIRD to hold a connected route", &true, || bird.learned("p4").contains_key(&net("203.0.113.1/32")));
    assert!(vip_is_bound(&ours));
    never("a service that nobody serves was announced", Duration::from_secs(2), || {
        bird.learned("p4").contains_key(&net("192.0.2.53/32")).then(|| bird.protocol("p4"))
    });
}

#[test]
fn a_reload_leaves_an_unchanged_neighbor_alone() {
    let Some(mut lab) = lab("a_reload_leaves_an_unchanged_neighbor_alone") else { return };
    let (ours, theirs) = pair(&mut lab);
    let bird = bird(&theirs, "", "");
    let config = |hold_time: &str, community: &str| {
        format!(
            "{NODE}[[neighbor]]\naddress = \"10.99.0.2\"\nasn = 65002\n\
             [[neighbor]]\naddress = \"fd99::2\"\nasn = 65002\nhold_time = \"{hold_time}\"\n\
             [[service]]\nname = \"dns\"\nvips = [\"192.0.2.53/32\"]\nbind = \"lo\"\ncommunities = [\"{community}\"]\n"
        )
    };
    let mut anyhop = Anyhop::start(&ours, &config("90s", "65001:1"));
    established(&bird, &["p4", "p6"]);
    let communities = || bird.learned("p4").remove(&net("192.0.2.53/32")).map(|route| route.communities);
    let expected = |text: &str| Some(PeerRoute::new("", &[], "0.0.0.0").communities(text).communities);
    eventually("BIRD to hold the VIP", &expected("65001:1"), communities);
    let (p4, p6) = (bird.since("p4"), bird.since("p6"));
    // Longer than what counts as the same time below.
    std::thread::sleep(Duration::from_millis(1100));
    let same = |protocol: &str, before: Duration| bird.since(protocol).abs_diff(before) < Duration::from_millis(500);
    anyhop.write_config(&config("30s", "65001:2"));
    anyhop.process.signal(Signal::SIGHUP);
    eventually("the reload to reach BIRD", &expected("65001:2"), communities);
    eventually("the changed neighbor to be reset", &false, || same("p6", p6));
    established(&bird, &["p4", "p6"]);
    assert!(same("p4", p4), "the unchanged neighbor's session stood all the while");
    assert!(!same("p6", p6), "the changed neighbor's was made anew");

    // A broken file changes nothing.
    anyhop.write_config(&config("30s", "65001:3").replace("asn = 65002", "asn = \"many\""));
    anyhop.process.signal(Signal::SIGHUP);
    never("a broken file took effect", Duration::from_secs(2), || {
        (communities() != expected("65001:2")).then(|| bird.protocol("p4"))
    });
    assert!(anyhop.process.is_running());
    assert!(same("p4", p4), "nor did the broken file touch it");
}

#[test]
fn a_second_daemon_on_the_same_socket_is_refused() {
    let Some(mut lab) = lab("a_second_daemon_on_the_same_socket_is_refused") else { return };
    let ours = lab.node("anyhop");
    let config = format!("{NODE}[fib]\nbackends = []\n");
    let first = Anyhop::start(&ours, &config);
    let mut second = Anyhop::launch(&ours, "anyhop", &config);
    let status = second.process.wait(STOP);
    assert_eq!(status.code(), Some(1));
    let said = second.process.log();
    assert!(said.contains("anyhop.sock"), "names the socket:\n{said}");
    assert!(first.client(&["show", "neighbors"]).status.success(), "the first goes on");
}

#[test]
fn a_crash_does_not_leave_a_socket_that_blocks_the_next_start() {
    let Some(mut lab) = lab("a_crash_does_not_leave_a_socket_that_blocks_the_next_start") else { return };
    let ours = lab.node("anyhop");
    let config = format!("{NODE}[fib]\nbackends = []\n");
    let mut first = Anyhop::start(&ours, &config);
    first.process.kill();
    assert!(ours.path("anyhop.sock").exists());
    let _second = Anyhop::start(&ours, &config);
}

#[test]
fn an_external_neighbor_without_policy_gets_and_gives_nothing() {
    let Some(mut lab) = lab("an_external_neighbor_without_policy_gets_and_gives_nothing") else { return };
    let (ours, theirs) = pair(&mut lab);
    let bird = bird(&theirs, "route 198.51.100.0/24 blackhole;", "route 2001:db8:51::/48 blackhole;");
    let rest = "[bgp]\nredistribute = [ { from = \"static\", policy = \"accept\" } ]\n\
                [[static]]\nprefix = \"203.0.113.0/24\"\nblackhole = true\n\
                [[service]]\nname = \"dns\"\nvips = [\"192.0.2.53/32\"]\nbind = \"lo\"\n";
    let anyhop = Anyhop::start(&ours, &[NODE, rest, BARE_NEIGHBORS].concat());
    established(&bird, &["p4", "p6"]);
    let only_the_vip = vec![net("192.0.2.53/32")];
    eventually("BIRD to hold the VIP", &only_the_vip, || bird.learned("p4").into_keys().collect());
    never("RFC 8212 is broken", Duration::from_secs(2), || {
        let learned: Vec<IpNet> = bird.learned("p4").into_keys().collect();
        let routes = our_routes(&ours);
        let foreign = routes.iter().any(|route| route != "203.0.113.0/24" && route != "blackhole");
        (learned != only_the_vip || foreign).then(|| format!("BIRD holds {learned:?}, the kernel {routes:?}"))
    });
    let said = anyhop.ask(&["show", "neighbors"]).to_string();
    assert!(said.contains("8212"), "the operator is told why: {said}");
}
