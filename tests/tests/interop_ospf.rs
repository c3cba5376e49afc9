//! OSPF of both versions against FRR and BIRD on real links: adjacencies, routes in the kernel both ways, services as stub
//! routes and externals, carrier loss, BFD.

use anyhop_tests::lab::net::{Lab, Node};
use anyhop_tests::lab::{Anyhop, Bird, Frr, lab, wait_for};
use serde_json::Value;

/// Two hosts with a link, 10.97.0.1 and 10.97.0.2.
struct Pair {
    ours: Node,
    theirs: Node,
}

impl Pair {
    fn new(lab: &mut Lab) -> Self {
        let (ours, theirs) = (lab.node("anyhop"), lab.node("peer"));
        lab.link((&ours, "e0", "10.97.0.1/24 2001:db8:97::1/64"), (&theirs, "e0", "10.97.0.2/24 2001:db8:97::2/64"));
        Self { ours, theirs }
    }
}

fn ours(more: &str) -> String {
    format!(
        "[node]\nasn = 65001\nrouter_id = \"10.97.0.1\"\n[ospf]\n[[ospf.area]]\nid = 0\n[[ospf.interface]]\nname = \"e0\"\narea = 0\n{more}\n"
    )
}

fn neighbors(anyhop: &Anyhop) -> Vec<Value> {
    anyhop.ask(&["show", "ospf", "neighbors"])["neighbors"].as_array().cloned().unwrap_or_default()
}

#[track_caller]
fn full(anyhop: &Anyhop, count: usize) {
    wait_for("full adjacencies", || {
        let all = neighbors(anyhop);
        let full = all.iter().filter(|one| one["state"] == "full").count();
        if full == count && all.len() == count { Ok(()) } else { Err(format!("{all:?}")) }
    });
}

#[track_caller]
fn kernel_has(node: &Node, family: &str, prefix: &str, expected: bool) {
    wait_for("the kernel's route", || {
        let routes = node.ip(&format!("{family} route show {prefix}"));
        if routes.is_empty() != expected { Ok(()) } else { Err(format!("{prefix}: {routes:?}")) }
    });
}

fn bird(network: &str, more: &str) -> String {
    let interface = format!("interface \"e0\" {{ type {network}; hello 1; dead 4; {more} }};");
    format!(
        "router id 10.97.0.2;\nprotocol device {{ scan time 1; }}\nprotocol bfd {{ interface \"*\" {{ interval 50 ms; multiplier 3; }}; }}\n\
         protocol kernel k4 {{ ipv4 {{ export all; }}; }}\nprotocol kernel k6 {{ ipv6 {{ export all; }}; }}\n\
         protocol ospf v2 o2 {{ ipv4 {{ import all; export none; }}; area 0 {{ {interface} stubnet 203.0.113.1/32; }}; }}\n\
         protocol ospf v3 o3 {{ ipv6 {{ import all; export none; }}; area 0 {{ {interface} stubnet 2001:db8:113::1/128; }}; }}\n"
    )
}

#[test]
fn bird_and_anyhop_exchange_routes_over_both_versions_and_every_network_type() {
    for (theirs, network) in [("ptp", "point-to-point"), ("broadcast", "broadcast")] {
        let Some(mut lab) = lab("bird_and_anyhop_exchange_routes") else { return };
        let pair = Pair::new(&mut lab);
        pair.ours.ip("addr add 192.0.2.53/32 dev lo");
        pair.ours.ip("addr add 2001:db8:53::53/128 dev lo");
        let _bird = Bird::start(&pair.theirs, &bird(theirs, ""));
        let services =
            "[[service]]\nname = \"dns\"\nvips = [\"192.0.2.53/32\", \"2001:db8:53::53/128\"]\nvia = [\"ospf\"]\n";
        let hello = "hello_interval = \"1s\"\n";
        let anyhop = Anyhop::start(&pair.ours, &ours(&format!("network = \"{network}\"\n{hello}{services}")));
        full(&anyhop, 2);
        for (family, theirs, ours) in
            [("-4", "203.0.113.1", "192.0.2.53"), ("-6", "2001:db8:113::1", "2001:db8:53::53")]
        {
            kernel_has(&pair.ours, family, theirs, true);
            kernel_has(&pair.theirs, family, ours, true);
        }
        let withdrawn = anyhop.client(&["service", "withdraw", "dns"]);
        assert!(withdrawn.status.success(), "{withdrawn:?}");
        kernel_has(&pair.theirs, "-4", "192.0.2.53", false);
        kernel_has(&pair.theirs, "-6", "2001:db8:53::53", false);
        let trees = anyhop.ask(&["show", "ospf", "spf"]);
        assert_eq!(trees["trees"].as_array().map(Vec::len), Some(2), "{trees}");
        assert!(anyhop.ask(&["show", "ospf", "lsdb"])["lsas"].as_array().is_some_and(|lsas| lsas.len() >= 6));
        assert_eq!(anyhop.ask(&["show", "ospf", "interfaces"])["interfaces"].as_array().map(Vec::len), Some(2));
    }
}

#[test]
fn static_routes_become_externals_and_a_lost_carrier_takes_routes_at_once() {
    let Some(mut lab) = lab("static_routes_become_externals") else { return };
    let pair = Pair::new(&mut lab);
    let _bird = Bird::start(&pair.theirs, &bird("ptp", ""));
    let behind = lab.node("behind");
    lab.link((&pair.ours, "e1", "192.0.2.7/32"), (&behind, "e0", ""));
    let fixed = "[[static]]\nprefix = \"198.51.100.0/24\"\nblackhole = true\n[[static]]\nprefix = \"2001:db8:100::/48\"\nblackhole = true\n\
                 [[static]]\nprefix = \"192.0.2.7/32\"\ninterface = \"e1\"\n";
    let given = ours(&format!("network = \"point-to-point\"\nhello_interval = \"1s\"\n{fixed}"))
        .replace("[ospf]\n", "[ospf]\nredistribute = [ { from = \"static\", policy = \"accept\", metric = 7, metric_type = 1, tag = 42 } ]\n");
    let anyhop = Anyhop::start(&pair.ours, &given);
    full(&anyhop, 2);
    kernel_has(&pair.theirs, "-4", "198.51.100.0/24", true);
    kernel_has(&pair.theirs, "-6", "2001:db8:100::/48", true);
    // A connected network hides the configured route over its link, and leads to the same place.
    kernel_has(&pair.theirs, "-4", "192.0.2.7", true);
    kernel_has(&pair.ours, "-4", "203.0.113.1", true);
    pair.theirs.ip("link set e0 down");
    kernel_has(&pair.ours, "-4", "203.0.113.1", false);
    pair.theirs.ip("link set e0 up");
    full(&anyhop, 2);
    kernel_has(&pair.ours, "-4", "203.0.113.1", true);
}

#[test]
fn a_neighbor_that_cannot_become_full_says_why() {
    let Some(mut lab) = lab("a_neighbor_that_cannot_become_full") else { return };
    let pair = Pair::new(&mut lab);
    pair.theirs.ip("link set e0 mtu 1400");
    let _bird = Bird::start(&pair.theirs, &bird("ptp", ""));
    let anyhop =
        Anyhop::start(&pair.ours, &ours("network = \"point-to-point\"\nhello_interval = \"1s\"\nversions = [\"v2\"]"));
    wait_for("the reason", || {
        let all = neighbors(&anyhop);
        match all.first().map(|one| one["status"].to_string()) {
            Some(status) if status.contains("MTU") => Ok(()),
            _ => Err(format!("{all:?}")),
        }
    });
    pair.theirs.ip("link set e0 mtu 1500");
    full(&anyhop, 1);
}

#[test]
fn frr_and_anyhop_exchange_routes_over_both_versions_and_watch_the_path_by_bfd() {
    let Some(mut lab) = lab("frr_and_anyhop_exchange_routes") else { return };
    let pair = Pair::new(&mut lab);
    pair.theirs.ip("addr add 203.0.113.1/32 dev lo");
    pair.theirs.ip("addr add 2001:db8:113::1/128 dev lo");
    // FRR looks for its own addresses, and the link-local one must be ready.
    let v2 = "interface e0\n ip ospf area 0\n ip ospf network point-to-point\n ip ospf hello-interval 1\n ip ospf dead-interval 4\n \
              ip ospf bfd\n ip ospf bfd profile fast\nexit\ninterface lo\n ip ospf area 0\nexit\nrouter ospf\n ospf router-id 10.97.0.2\nexit\n";
    let v3 = "interface e0\n ipv6 ospf6 area 0\n ipv6 ospf6 network point-to-point\n ipv6 ospf6 hello-interval 1\n ipv6 ospf6 dead-interval 4\n\
              exit\ninterface lo\n ipv6 ospf6 area 0\nexit\nrouter ospf6\n ospf6 router-id 10.97.0.2\nexit\n";
    let bfd = "bfd\n profile fast\n  detect-multiplier 3\n  transmit-interval 50\n  receive-interval 50\n exit\nexit\n";
    let frr = Frr::start_with_ospf(&pair.theirs, bfd, v2, v3);
    let more = "network = \"point-to-point\"\nhello_interval = \"1s\"\nbfd = { interval = \"50ms\", multiplier = 3 }";
    let fixed = "[[static]]\nprefix = \"198.51.100.0/24\"\nblackhole = true\n[[static]]\nprefix = \"2001:db8:100::/48\"\nblackhole = true\n";
    let given = ours(&format!("{more}\n{fixed}"))
        .replace("[ospf]\n", "[ospf]\nredistribute = [ { from = \"static\", policy = \"accept\" } ]\n");
    let anyhop = Anyhop::start(&pair.ours, &given);
    full(&anyhop, 2);
    kernel_has(&pair.ours, "-4", "203.0.113.1", true);
    kernel_has(&pair.ours, "-6", "2001:db8:113::1", true);
    kernel_has(&pair.theirs, "-4", "198.51.100.0/24", true);
    kernel_has(&pair.theirs, "-6", "2001:db8:100::/48", true);
    wait_for("a BFD session", || {
        let sessions = anyhop.ask(&["show", "bfd"]);
        if sessions.to_string().contains("\"up\"") {
            Ok(())
        } else {
            Err(format!("{sessions}\n{}", frr.ask("show bfd peers")))
        }
    });
}
