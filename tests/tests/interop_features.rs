//! One feature after the other against the daemons that have it too: several paths, reflection, roles, route servers,
//! confederations, extended messages, route refresh, graceful shutdown, limits, aggregates.

use std::fmt::Write as _;

use anyhop_tests::lab::net::Node;
use anyhop_tests::lab::route::PeerRoute;
use anyhop_tests::lab::speakers::{PLAIN, Speaker, adj_in, bird, bird_learns, established, learns, ours, pair};
use anyhop_tests::lab::wait::never;
use anyhop_tests::lab::{Anyhop, Bird, Frr, GoBgp, lab, wait_for};
use serde_json::Value;

#[test]
fn bird_and_anyhop_tell_each_other_several_paths() {
    let Some(mut lab) = lab("bird_and_anyhop_tell_each_other_several_paths") else { return };
    let (host, peer) = pair(&mut lab);
    let route: &[&str] = &["198.51.100.0/24 blackhole"];
    let two = "198.51.100.0/24 blackhole";
    let mut config = bird(&[
        Speaker { routes: route, ..PLAIN },
        Speaker { n: 3, asn: 65003, channel: "add paths tx;", routes: route, ..PLAIN },
        Speaker { n: 4, asn: 65004, channel: "add paths rx;", ..PLAIN },
    ]);
    // A second path of the third speaker.
    writeln!(config, "protocol static s3b {{ ipv4 {{ table t3; preference 150; }}; route {two} {{ bgp_community.add((65003,9)); }}; }}")
        .expect("a string takes it");
    let bird = Bird::start(&peer, &config);
    let neighbors = [
        ("10.99.2.2", "asn = 65002"),
        ("10.99.3.2", "asn = 65003\nadd_path = { receive = true }"),
        ("10.99.4.2", "asn = 65004\nadd_path = { send = 8 }"),
    ];
    let anyhop = Anyhop::start(&host, &ours("", &neighbors));
    let paths = learns(&anyhop, "10.99.3.2", 2);
    assert_ne!(paths[0]["path_id"], paths[1]["path_id"], "{paths:?}");
    bird_learns(&bird, 4, "198.51.100.0/24", &["65001 65002", "65001 65003", "(65003,9)"]);
    wait_for("three paths at p4", || {
        let said = bird.ask("show route table t4 protocol p4");
        let paths = said.matches("[AS").count();
        if paths == 3 { Ok(()) } else { Err(said) }
    });
    // One path goes: its identifier is withdrawn, the others stay.
    let _ = bird.ask("disable s3b");
    wait_for("two paths at p4", || {
        let said = bird.ask("show route all table t4 protocol p4");
        if said.matches("BGP.as_path").count() == 2 && !said.contains("(65003,9)") { Ok(()) } else { Err(said) }
    });
    learns(&anyhop, "10.99.3.2", 1);
}

/// Two of BIRD's speakers, 3 and 4, tell the same prefix; the third neighbor, 2, is told both paths.
fn told_both(host: &Node, peer: &Node) -> (Bird, Anyhop) {
    let routes: &[&str] = &["198.51.100.0/24 blackhole"];
    // Port 179 is the other's.
    let session = "strict bind; local port 1179;";
    let speakers = [3, 4].map(|n| Speaker { n, asn: 65000 + u32::from(n), session, routes, ..PLAIN });
    let bird = Bird::start(peer, &bird(&speakers));
    let neighbors = [
        ("10.99.2.2", "asn = 65002\nadd_path = { receive = true, send = 8 }"),
        ("10.99.3.2", "asn = 65003\nport = 1179"),
        ("10.99.4.2", "asn = 65004\nport = 1179"),
    ];
    let anyhop = Anyhop::start(host, &ours("", &neighbors));
    for neighbor in ["10.99.3.2", "10.99.4.2"] {
        learns(&anyhop, neighbor, 1);
    }
    (bird, anyhop)
}

#[test]
fn frr_and_anyhop_tell_each_other_several_paths() {
    let Some(mut lab) = lab("frr_and_anyhop_tell_each_other_several_paths") else { return };
    let (host, peer) = pair(&mut lab);
    let frr = Frr::start(
        &peer,
        "router bgp 65002\n bgp router-id 10.99.2.2\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
         neighbor 10.99.2.1 remote-as 65001\n neighbor 10.99.2.1 update-source 10.99.2.2\n neighbor 10.99.2.1 passive\n \
         address-family ipv4 unicast\n  network 203.0.113.0/24\n  neighbor 10.99.2.1 addpath-tx-all-paths\n exit-address-family\n",
    );
    let (_bird, anyhop) = told_both(&host, &peer);
    wait_for("both paths at FRR", || {
        let said = frr.ask("show bgp ipv4 unicast 198.51.100.0/24");
        if said.contains("65001 65003") && said.contains("65001 65004") { Ok(()) } else { Err(said) }
    });
    // What it tells comes with identifiers: its own prefix, and the paths that it has of us, which are loops.
    let routes = learns(&anyhop, "10.99.2.2", 3);
    let ids: std::collections::BTreeSet<Option<u64>> = routes.iter().map(|route| route["path_id"].as_u64()).collect();
    assert_eq!(ids.len(), 3, "{routes:?}");
    for route in &routes {
        assert_eq!(route["imported"].is_null(), route["prefix"] != "203.0.113.0/24", "{route}");
    }
}

#[test]
fn gobgp_and_anyhop_tell_each_other_several_paths() {
    let Some(mut lab) = lab("gobgp_and_anyhop_tell_each_other_several_paths") else { return };
    let (host, peer) = pair(&mut lab);
    let gobgp = GoBgp::start(
        &peer,
        "[global.config]\nas = 65002\nrouter-id = \"10.99.2.2\"\nport = -1\n\
         [[neighbors]]\n[neighbors.config]\nneighbor-address = \"10.99.2.1\"\npeer-as = 65001\n\
         [neighbors.transport.config]\nlocal-address = \"10.99.2.2\"\n[neighbors.timers.config]\nconnect-retry = 1\n\
         [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"ipv4-unicast\"\n\
         [neighbors.afi-safis.add-paths.config]\nreceive = true\nsend-max = 8\n",
    );
    let (_bird, anyhop) = told_both(&host, &peer);
    wait_for("GoBGP's session", || if gobgp.is_established("10.99.2.1") { Ok(()) } else { Err("not yet".to_owned()) });
    wait_for("both paths at GoBGP", || {
        let said = gobgp.ask("neighbor 10.99.2.1 adj-in");
        if said.contains("65001 65003") && said.contains("65001 65004") { Ok(()) } else { Err(said) }
    });
    for id in [7, 8] {
        let _ = gobgp.ask(&format!("global rib add 203.0.113.0/24 identifier {id} med {id}"));
    }
    let paths = learns(&anyhop, "10.99.2.2", 2);
    assert_ne!(paths[0]["path_id"], paths[1]["path_id"], "{paths:?}");
    let _ = gobgp.ask("global rib del 203.0.113.0/24 identifier 7");
    learns(&anyhop, "10.99.2.2", 1);
}

#[test]
fn anyhop_reflects_between_bird_and_frr() {
    let Some(mut lab) = lab("anyhop_reflects_between_bird_and_frr") else { return };
    let (host, peer) = pair(&mut lab);
    let other = lab.node("frr");
    lab.link((&host, "e1", "10.98.0.1/24"), (&other, "e0", "10.98.0.2/24"));
    host.forward();
    peer.ip("route add 10.98.0.0/24 via 10.99.2.1");
    other.ip("route add 10.99.2.0/24 via 10.98.0.1");
    let bird = Bird::start(&peer, &bird(&[Speaker { asn: 65001, routes: &["198.51.100.0/24 blackhole"], ..PLAIN }]));
    let frr = Frr::start(
        &other,
        "router bgp 65001\n bgp router-id 10.98.0.2\n no bgp network import-check\n neighbor 10.98.0.1 remote-as 65001\n \
         address-family ipv4 unicast\n  network 203.0.113.0/24\n exit-address-family\n",
    );
    let clients =
        [("10.99.2.2", "asn = \"internal\"\nroute_reflector_client = true"), ("10.98.0.2", "asn = \"internal\"")];
    let _anyhop = Anyhop::start(&host, &ours("[bgp]\ncluster_id = \"10.0.0.77\"", &clients));
    bird_learns(
        &bird,
        2,
        "203.0.113.0/24",
        &["BGP.originator_id: 10.98.0.2", "BGP.cluster_list: 10.0.0.77", "BGP.next_hop: 10.98.0.2"],
    );
    wait_for("FRR to learn BIRD's route by reflection", || {
        let said = frr.ask("show bgp ipv4 unicast 198.51.100.0/24 json");
        let view: Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
        let path = &view["paths"][0];
        let right = path["originatorId"] == "10.99.2.2"
            && path["clusterList"]["list"][0] == "10.0.0.77"
            && path["nexthops"][0]["ip"] == "10.99.2.2"
            && path["locPrf"] == 100;
        if right { Ok(()) } else { Err(said) }
    });
}

#[test]
fn roles_agree_with_bird_and_mark_what_must_not_leak() {
    let Some(mut lab) = lab("roles_agree_with_bird_and_mark_what_must_not_leak") else { return };
    let (host, peer) = pair(&mut lab);
    let bird = Bird::start(
        &peer,
        &bird(&[
            Speaker { session: "local role provider;", routes: &["198.51.100.0/24 blackhole"], ..PLAIN },
            Speaker { n: 3, asn: 65003, session: "local role peer;", ..PLAIN },
            Speaker {
                n: 4,
                asn: 65004,
                session: "local role customer;",
                routes: &["203.0.113.0/24 blackhole"],
                ..PLAIN
            },
        ]),
    );
    let neighbors = [
        ("10.99.2.2", "asn = 65002\nrole = \"customer\""),
        ("10.99.3.2", "asn = 65003\nrole = \"peer\""),
        ("10.99.4.2", "asn = 65004\nrole = \"provider\""),
    ];
    let anyhop = Anyhop::start(&host, &ours("", &neighbors));
    for protocol in ["p2", "p3", "p4"] {
        established(&bird, protocol);
    }
    // What the provider said goes to the customer with its mark (RFC 9234 §5), and not to the peer.
    bird_learns(&bird, 4, "198.51.100.0/24", &["BGP.as_path: 65001 65002", "BGP.otc: 65002"]);
    bird_learns(&bird, 2, "203.0.113.0/24", &["BGP.as_path: 65001 65004"]);
    bird_learns(&bird, 3, "203.0.113.0/24", &["BGP.as_path: 65001 65004", "BGP.otc: 65001"]);
    let leaked = bird.ask("show route table t3 protocol p3");
    assert!(!leaked.contains("198.51.100.0/24"), "{leaked}");
    let why = anyhop.ask(&["explain", "198.51.100.0/24", "--neighbor", "10.99.3.2"]).to_string();
    assert!(why.contains("9234"), "{why}");
}

#[test]
fn roles_that_contradict_each_other_make_no_session() {
    let Some(mut lab) = lab("roles_that_contradict_each_other_make_no_session") else { return };
    let (host, peer) = pair(&mut lab);
    let bird = Bird::start(&peer, &bird(&[Speaker { session: "local role customer;", ..PLAIN }]));
    let anyhop = Anyhop::start(&host, &ours("", &[("10.99.2.2", "asn = 65002\nrole = \"customer\"")]));
    wait_for("a refusal", || {
        let view = anyhop.ask(&["show", "neighbors", "10.99.2.2"]).to_string();
        if view.to_lowercase().contains("role") { Ok(()) } else { Err(view) }
    });
    assert!(!bird.is_established("p2"));
}

#[test]
fn a_route_server_leaves_everything_as_its_clients_said_it() {
    let Some(mut lab) = lab("a_route_server_leaves_everything_as_its_clients_said_it") else { return };
    let (host, peer) = pair(&mut lab);
    let other = lab.node("frr");
    lab.link((&host, "e1", "10.98.0.1/24"), (&other, "e0", "10.98.0.2/24"));
    let tagged = "198.51.100.0/24 blackhole { bgp_community.add((65002,7)); bgp_large_community.add((65002,7,8)); }";
    let _bird = Bird::start(
        &peer,
        &bird(&[Speaker {
            channel: "export filter { if source != RTS_STATIC then reject; bgp_med = 42; accept; };",
            routes: &[tagged],
            ..PLAIN
        }]),
    );
    let frr = Frr::start(
        &other,
        "router bgp 65003\n bgp router-id 10.98.0.2\n no bgp ebgp-requires-policy\n neighbor 10.98.0.1 remote-as 65001\n",
    );
    let client = "route_server_client = true";
    let (two, three) = (format!("asn = 65002\n{client}"), format!("asn = 65003\n{client}"));
    let _anyhop = Anyhop::start(&host, &ours("", &[("10.99.2.2", two.as_str()), ("10.98.0.2", three.as_str())]));
    let expected =
        PeerRoute::new("igp", &[65002], "10.99.2.2").med(42).communities("65002:7").large_communities("65002:7:8");
    wait_for("FRR to learn BIRD's route", || {
        let table = frr.learned("ipv4");
        if table.values().eq([&expected]) { Ok(()) } else { Err(format!("{table:?}")) }
    });
}

#[test]
fn a_confederation_with_frr_looks_like_one_as_to_bird() {
    let Some(mut lab) = lab("a_confederation_with_frr_looks_like_one_as_to_bird") else { return };
    let (host, peer) = pair(&mut lab);
    let other = lab.node("frr");
    lab.link((&host, "e1", "10.98.0.1/24"), (&other, "e0", "10.98.0.2/24"));
    let outside = "router id 10.99.2.2;\nprotocol device {}\nprotocol static st2 { ipv4; route 198.51.100.0/24 blackhole; }\n\
         protocol bgp p2 { local 10.99.2.2 as 65002; neighbor 10.99.2.1 as 64999; \
         ipv4 { import all; export where source = RTS_STATIC; }; }";
    let bird = Bird::start(&peer, outside);
    let frr = Frr::start(
        &other,
        "router bgp 65011\n bgp router-id 10.98.0.2\n bgp confederation identifier 64999\n bgp confederation peers 65001\n \
         no bgp ebgp-requires-policy\n no bgp network import-check\n neighbor 10.98.0.1 remote-as 65001\n \
         address-family ipv4 unicast\n  network 203.0.113.0/24\n exit-address-family\n",
    );
    let rest = "[bgp]\nconfederation = { id = 64999, members = [65011] }";
    let anyhop = Anyhop::start(&host, &ours(rest, &[("10.99.2.2", "asn = 65002"), ("10.98.0.2", "asn = 65011")]));
    wait_for("BIRD to learn the member's route", || {
        let said = bird.ask("show route all protocol p2");
        if said.contains("203.0.113.0/24") && said.contains("BGP.as_path: 64999\n") { Ok(()) } else { Err(said) }
    });
    wait_for("FRR to learn the outer route", || {
        let said = frr.ask("show bgp ipv4 unicast 198.51.100.0/24 json");
        let view: Value = serde_json::from_str(&said).map_err(|error| error.to_string())?;
        let path = &view["paths"][0];
        let right = path["aspath"]["string"] == "(65001) 65002" && path["locPrf"] == 100;
        if right { Ok(()) } else { Err(said) }
    });
    let routes = learns(&anyhop, "10.98.0.2", 1);
    assert_eq!(routes[0]["attributes"]["as_path"], "(65011)", "{routes:?}");
}

#[test]
fn a_message_longer_than_4096_octets_passes_between_birds() {
    let Some(mut lab) = lab("a_message_longer_than_4096_octets_passes_between_birds") else { return };
    let (host, peer) = pair(&mut lab);
    let tags: String = (0..600).map(|n| format!("bgp_large_community.add((65002,{n},1)); ")).collect();
    let long = format!("198.51.100.0/24 blackhole {{ {tags} }}");
    let extended = "enable extended messages on;";
    let bird = Bird::start(
        &peer,
        &bird(&[
            Speaker { session: extended, routes: &[long.as_str(), "192.0.2.0/24 blackhole"], ..PLAIN },
            Speaker { n: 3, asn: 65003, session: extended, ..PLAIN },
            Speaker { n: 4, asn: 65004, ..PLAIN },
        ]),
    );
    let neighbors = [("10.99.2.2", "asn = 65002"), ("10.99.3.2", "asn = 65003"), ("10.99.4.2", "asn = 65004")];
    let _anyhop = Anyhop::start(&host, &ours("", &neighbors));
    let said = bird_learns(&bird, 3, "198.51.100.0/24", &["(65002, 599, 1)"]);
    assert_eq!(said.matches("(65002, ").count(), 600, "{said}");
    // Who does not speak them is not told what does not fit, and keeps its session (RFC 8654 §4).
    bird_learns(&bird, 4, "192.0.2.0/24", &["65001 65002"]);
    assert!(!bird.ask("show route table t4 protocol p4").contains("198.51.100.0/24"));
    assert!(bird.is_established("p4"));
}

#[test]
fn a_refresh_of_bird_sweeps_nothing_that_is_still_there() {
    let Some(mut lab) = lab("a_refresh_of_bird_sweeps_nothing_that_is_still_there") else { return };
    let (host, peer) = pair(&mut lab);
    let routes: Vec<String> = (0..50).map(|n| format!("10.50.{n}.0/24 blackhole")).collect();
    let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
    let bird = Bird::start(&peer, &bird(&[Speaker { routes: &routes, ..PLAIN }]));
    let anyhop = Anyhop::start(&host, &ours("", &[("10.99.2.2", "asn = 65002\nadj_in = \"accepted\"")]));
    learns(&anyhop, "10.99.2.2", 50);
    let since = bird.since("p2");
    let _ = anyhop.ask(&["neighbor", "reset", "10.99.2.2", "--soft", "in"]);
    never("routes were lost in a refresh", std::time::Duration::from_secs(2), || {
        let held = adj_in(&anyhop, "10.99.2.2").len();
        (held != 50).then(|| format!("{held} routes"))
    });
    // BIRD asks us, too.
    let _ = bird.ask("reload in p2");
    established(&bird, "p2");
    assert!(bird.since("p2").abs_diff(since).as_millis() < 100, "the session stands");
}

#[test]
fn graceful_shutdown_is_sent_and_honoured() {
    let Some(mut lab) = lab("graceful_shutdown_is_sent_and_honoured") else { return };
    let (host, peer) = pair(&mut lab);
    let going = "198.51.100.0/24 blackhole { bgp_community.add((65535,0)); }";
    let bird = Bird::start(
        &peer,
        &bird(&[
            Speaker { routes: &[going], ..PLAIN },
            Speaker { n: 3, asn: 65003, routes: &["203.0.113.0/24 blackhole"], ..PLAIN },
        ]),
    );
    let anyhop = Anyhop::start(&host, &ours("", &[("10.99.2.2", "asn = 65002"), ("10.99.3.2", "asn = 65003")]));
    let routes = learns(&anyhop, "10.99.2.2", 1);
    assert_eq!(routes[0]["imported"]["local_pref"], 0, "{routes:?}");
    bird_learns(&bird, 2, "203.0.113.0/24", &["65001 65003"]);
    let _ = anyhop.ask(&["neighbor", "drain", "10.99.2.2"]);
    bird_learns(&bird, 2, "203.0.113.0/24", &["(65535,0)"]);
    assert!(bird.is_established("p2"));
    let _ = anyhop.ask(&["neighbor", "enable", "10.99.2.2"]);
    wait_for("the community to go", || {
        let said = bird.ask("show route all table t2 protocol p2");
        if said.contains("203.0.113.0/24") && !said.contains("(65535,0)") { Ok(()) } else { Err(said) }
    });
}

#[test]
fn bird_announces_too_much_and_is_cut_off_for_a_while() {
    let Some(mut lab) = lab("bird_announces_too_much_and_is_cut_off_for_a_while") else { return };
    let (host, peer) = pair(&mut lab);
    let routes: Vec<String> = (0..10).map(|n| format!("10.50.{n}.0/24 blackhole")).collect();
    let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
    let bird = Bird::start(&peer, &bird(&[Speaker { routes: &routes, ..PLAIN }]));
    let keys = "asn = 65002\nmax_prefix = { limit = 8, warn = 0.5, restart = \"3s\" }\nconnect_retry = \"1s\"";
    let anyhop = Anyhop::start(&host, &ours("", &[("10.99.2.2", keys)]));
    wait_for("BIRD to be told", || {
        let said = bird.protocol("p2");
        if said.contains("Maximum number of prefixes reached") { Ok(()) } else { Err(said) }
    });
    // BIRD withdraws some and is let in again after the time has passed.
    let _ = bird.ask("disable s2");
    established(&bird, "p2");
    let view = anyhop.ask(&["show", "neighbors", "10.99.2.2"]).to_string();
    assert!(view.contains("Established") || view.contains("established"), "{view}");
}

#[test]
fn bird_sees_an_aggregate_and_a_default_route() {
    let Some(mut lab) = lab("bird_sees_an_aggregate_and_a_default_route") else { return };
    let (host, peer) = pair(&mut lab);
    let bird = Bird::start(
        &peer,
        &bird(&[Speaker { routes: &["198.51.101.0/24 blackhole"], ..PLAIN }, Speaker { n: 3, asn: 65003, ..PLAIN }]),
    );
    let rest = "[[aggregate]]\nprefix = \"198.51.100.0/22\"\nsummary_only = true";
    let neighbors = [("10.99.2.2", "asn = 65002"), ("10.99.3.2", "asn = 65003\ndefault_originate = true")];
    let _anyhop = Anyhop::start(&host, &ours(rest, &neighbors));
    let said = bird_learns(&bird, 3, "198.51.100.0/22", &["BGP.as_path: 65001\n", "BGP.atomic_aggr", "BGP.aggregator"]);
    assert!(said.contains("10.99.0.1"), "{said}");
    bird_learns(&bird, 3, "0.0.0.0/0", &["BGP.as_path: 65001\n"]);
    assert!(!bird.ask("show route table t3 protocol p3").contains("198.51.101.0/24"));
    assert!(!bird.ask("show route table t2 protocol p2").contains("0.0.0.0/0"));
}
