//! What is altered for one neighbor, and what only some neighbors can do, at daemons that can it too: AS numbers, two-octet
//! speakers, next hops of the other family, link bandwidths, best external paths, neighbors out of a range, last words.

use anyhop_tests::lab::speakers::{PLAIN, Speaker, adj_in, bird, bird_learns, established, learns, ours, pair};
use anyhop_tests::lab::{Anyhop, Bird, Frr, OpenBgpd, eventually, lab, wait_for};
use serde_json::Value;

const ROUTE: &[&str] = &["198.51.100.0/24 blackhole"];

#[test]
fn bird_sees_the_as_numbers_that_we_are_to_show() {
    let Some(mut lab) = lab("bird_sees_the_as_numbers_that_we_are_to_show") else { return };
    let (host, peer) = pair(&mut lab);
    // Two sites of one customer, and a neighbor to which we are another AS, which it has in a path of its own.
    let old = Speaker {
        n: 4,
        asn: 65004,
        routes: &["203.0.113.0/24 blackhole"],
        channel: "export filter { if source != RTS_STATIC then reject; bgp_path.prepend(65099); bgp_path.prepend(65001); accept; };",
        ..PLAIN
    };
    let config = bird(&[Speaker { routes: ROUTE, ..PLAIN }, Speaker { n: 3, ..PLAIN }, old])
        .replace("neighbor 10.99.4.1 as 65001", "neighbor 10.99.4.1 as 65099");
    let bird = Bird::start(&peer, &config);
    let neighbors = [
        ("10.99.2.2", "asn = 65002\nremove_private_as = true"),
        ("10.99.3.2", "asn = 65002\nas_override = true"),
        ("10.99.4.2", "asn = 65004\nlocal_asn = 65099"),
    ];
    let text = ours("", &neighbors);
    let mut anyhop = Anyhop::start(&host, &text);
    bird_learns(&bird, 3, "198.51.100.0/24", &["BGP.as_path: 65001 65001\n"]);
    bird_learns(&bird, 4, "198.51.100.0/24", &["BGP.as_path: 65099 65002\n"]);
    // Our AS is in that path, once as itself and once as the one that the neighbor knows.
    let looped = learns(&anyhop, "10.99.4.2", 1);
    assert!(looped[0]["imported"].is_null(), "{looped:?}");
    anyhop.reconfigure(&text.replace("local_asn = 65099", "local_asn = 65099\nallow_as_in = 2"));
    bird_learns(&bird, 2, "203.0.113.0/24", &["BGP.as_path: 65001\n"]);
}

#[test]
fn a_bird_of_two_octets_loses_no_as_number() {
    let Some(mut lab) = lab("a_bird_of_two_octets_loses_no_as_number") else { return };
    let (host, peer) = pair(&mut lab);
    let bird = Bird::start(
        &peer,
        &bird(&[
            Speaker { session: "enable as4 off;", routes: &["203.0.113.0/24 blackhole"], ..PLAIN },
            Speaker { n: 3, asn: 4_200_000_001, routes: ROUTE, ..PLAIN },
            Speaker { n: 4, asn: 65004, ..PLAIN },
        ]),
    );
    let neighbors = [("10.99.2.2", "asn = 65002"), ("10.99.3.2", "asn = 4200000001"), ("10.99.4.2", "asn = 65004")];
    let anyhop = Anyhop::start(&host, &ours("", &neighbors));
    // By AS4_PATH, beside a path that says 23456 (RFC 6793 §4.2.2).
    bird_learns(&bird, 2, "198.51.100.0/24", &["BGP.as_path: 65001 4200000001\n"]);
    let sent = anyhop.ask(&["neighbor", "history", "10.99.2.2"]).to_string();
    assert!(sent.contains("02060202fde95ba0"), "two octets each: {sent}");
    bird_learns(&bird, 4, "198.51.100.0/24", &["BGP.as_path: 65001 4200000001\n"]);
    bird_learns(&bird, 3, "203.0.113.0/24", &["BGP.as_path: 65001 65002\n"]);
}

#[test]
fn both_families_go_over_one_session_with_bird_and_ipv4_by_ipv6_next_hops() {
    let Some(mut lab) = lab("both_families_go_over_one_session_with_bird_and_ipv4_by_ipv6_next_hops") else { return };
    let (host, peer) = (lab.node("anyhop"), lab.node("peer"));
    lab.link((&host, "e0", "fd99::1/64"), (&peer, "e0", "fd99::2/64"));
    let bird = Bird::start(
        &peer,
        "router id 10.99.2.2;\nprotocol device {}\n\
         protocol static s4 { ipv4; route 198.51.100.0/24 blackhole; }\nprotocol static s6 { ipv6; route 2001:db8:1::/48 blackhole; }\n\
         protocol bgp p { local fd99::2 as 65002; neighbor fd99::1 as 65001;\n\
         ipv4 { extended next hop on; import all; export where source = RTS_STATIC; };\n\
         ipv6 { import all; export where source = RTS_STATIC; }; }",
    );
    let statics = "[bgp]\nredistribute = [ { from = \"static\", policy = \"accept\" } ]\n\
         [[static]]\nprefix = \"203.0.113.0/24\"\nblackhole = true\n[[static]]\nprefix = \"2001:db8:2::/48\"\nblackhole = true";
    let keys = "asn = 65002\nfamilies = [\"ipv4-unicast\", \"ipv6-unicast\"]";
    let anyhop = Anyhop::start(&host, &ours(statics, &[("fd99::2", keys)]));
    let routes = learns(&anyhop, "fd99::2", 2);
    for route in &routes {
        assert_eq!(route["attributes"]["next_hop"], "fd99::2", "{route}");
    }
    wait_for("BIRD to learn both families", || {
        let said = bird.ask("show route all protocol p");
        let both = ["203.0.113.0/24", "2001:db8:2::/48"].iter().all(|prefix| said.contains(prefix));
        if both && said.matches("BGP.next_hop: fd99::1").count() == 2 { Ok(()) } else { Err(said) }
    });
}

#[test]
fn link_bandwidths_of_frr_weight_the_next_hops() {
    let Some(mut lab) = lab("link_bandwidths_of_frr_weight_the_next_hops") else { return };
    let (host, peer) = pair(&mut lab);
    let frr = |n: u8, bandwidth: u32| {
        format!(
            "router bgp 6500{n}\n bgp router-id 10.99.{n}.2\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
             neighbor 10.99.{n}.1 remote-as 65001\n neighbor 10.99.{n}.1 update-source 10.99.{n}.2\n \
             address-family ipv4 unicast\n  network 198.51.100.0/24\n  neighbor 10.99.{n}.1 route-map WEIGHT out\n \
             exit-address-family\n!\nroute-map WEIGHT permit 10\n set extcommunity bandwidth {bandwidth}\n"
        )
    };
    // The second is on a link of its own: FRR listens on every address.
    let other = lab.node("other");
    lab.link((&host, "e1", "10.99.5.1/24"), (&other, "e0", "10.99.5.2/24"));
    let _slow = Frr::start(&peer, &frr(2, 100));
    let _fast = Frr::start(&other, &frr(5, 300));
    let neighbors = [("10.99.2.2", "asn = 65002"), ("10.99.5.2", "asn = 65005")];
    let anyhop = Anyhop::start(&host, &ours("[bgp]\nmultipath = { ebgp = 4, relax = true }", &neighbors));
    learns(&anyhop, "10.99.2.2", 1);
    learns(&anyhop, "10.99.5.2", 1);
    let expected = [("10.99.2.2", 1), ("10.99.5.2", 3)].map(|(hop, weight)| (Value::from(hop), Value::from(weight)));
    wait_for("both next hops with weights of one to three", || {
        let view = anyhop.ask(&["lookup", "198.51.100.1"]);
        let hops = view["next_hops"].as_array().into_iter().flatten();
        let hops: Vec<_> = hops.map(|hop| (hop["gateway"].clone(), hop["weight"].clone())).collect();
        if hops == expected { Ok(()) } else { Err(view.to_string()) }
    });
}

#[test]
fn bird_is_told_the_best_external_path_inside() {
    let Some(mut lab) = lab("bird_is_told_the_best_external_path_inside") else { return };
    let (host, peer) = pair(&mut lab);
    let preferred = "export filter { if source != RTS_STATIC then reject; bgp_local_pref = 200; accept; };";
    let bird = Bird::start(
        &peer,
        &bird(&[
            Speaker { asn: 65001, routes: ROUTE, channel: preferred, ..PLAIN },
            Speaker { n: 3, asn: 65003, routes: ROUTE, ..PLAIN },
        ]),
    );
    let neighbors = [("10.99.2.2", "asn = 65001"), ("10.99.3.2", "asn = 65003")];
    let text = ours("[bgp]\nbest_external = true", &neighbors);
    let mut anyhop = Anyhop::start(&host, &text);
    bird_learns(&bird, 2, "198.51.100.0/24", &["BGP.as_path: 65003\n"]);
    bird_learns(&bird, 3, "198.51.100.0/24", &["BGP.as_path: 65001\n"]);
    anyhop.reconfigure(&text.replace("best_external = true", "best_external = false"));
    wait_for("it to be withdrawn", || {
        let said = bird.ask("show route table t2 protocol p2");
        if said.contains("198.51.100.0/24") { Err(said) } else { Ok(()) }
    });
}

#[test]
fn birds_out_of_a_range_are_let_in_up_to_its_limit() {
    let Some(mut lab) = lab("birds_out_of_a_range_are_let_in_up_to_its_limit") else { return };
    let (host, peer) = pair(&mut lab);
    let speakers =
        [2, 3, 4].map(|n| Speaker { n, asn: 65000 + u32::from(n), session: "connect delay time 1;", ..PLAIN });
    let bird = Bird::start(&peer, &bird(&speakers));
    let range = "[[neighbor]]\nrange = \"10.99.0.0/16\"\nasn = \"external\"\nlimit = 2\nimport = \"accept\"\nexport = \"accept\"\n";
    let anyhop = Anyhop::start(&host, &ours(range, &[]));
    let up = || [2, 3, 4].into_iter().filter(|n| bird.is_established(&format!("p{n}"))).collect::<Vec<u8>>();
    let first = wait_for("two sessions", || if up().len() == 2 { Ok(up()) } else { Err(format!("{:?}", up())) });
    let view = anyhop.ask(&["show", "neighbors"]);
    let dynamic = view["neighbors"].as_array().into_iter().flatten().filter(|one| one["dynamic"] == true).count();
    assert_eq!(dynamic, 2, "{view}");
    // One leaves, and the third finds room.
    let _ = bird.ask(&format!("disable p{}", first[0]));
    let third = [2, 3, 4].into_iter().find(|n| !first.contains(n)).expect("one of three");
    established(&bird, &format!("p{third}"));
}

#[test]
fn last_words_reach_the_operator_at_the_other_end() {
    let Some(mut lab) = lab("last_words_reach_the_operator_at_the_other_end") else { return };
    let (host, peer) = pair(&mut lab);
    let bird = Bird::start(&peer, &bird(&[Speaker { session: "strict bind; local port 1179;", ..PLAIN }]));
    let frr = Frr::start(
        &peer,
        "router bgp 65003\n bgp router-id 10.99.3.2\n no bgp ebgp-requires-policy\n neighbor 10.99.3.1 remote-as 65001\n \
         neighbor 10.99.3.1 update-source 10.99.3.2\n neighbor 10.99.3.1 passive\n",
    );
    let anyhop =
        Anyhop::start(&host, &ours("", &[("10.99.2.2", "asn = 65002\nport = 1179"), ("10.99.3.2", "asn = 65003")]));
    established(&bird, "p2");
    eventually("FRR's session", &true, || frr.is_established("10.99.3.1"));
    let says = |neighbor: &str, words: &str| {
        wait_for(&format!("{words:?} of {neighbor}"), || {
            let view = anyhop.ask(&["show", "neighbors", neighbor]).to_string();
            if view.contains(words) { Ok(()) } else { Err(view) }
        });
    };
    // Theirs to us.
    let _ = bird.ask("disable p2 \"new line card, ticket 17\"");
    says("10.99.2.2", "new line card, ticket 17");
    let _ = bird.ask("enable p2");
    let _ = frr.ask_all(&[
        "configure terminal",
        "router bgp 65003",
        "neighbor 10.99.3.1 shutdown message moving to rack 4",
    ]);
    says("10.99.3.2", "moving to rack 4");
    let _ = frr.ask_all(&["configure terminal", "router bgp 65003", "no neighbor 10.99.3.1 shutdown"]);
    established(&bird, "p2");
    eventually("FRR's session again", &true, || frr.is_established("10.99.3.1"));
    // Ours to them. FRR keeps the text in its log only.
    let _ = anyhop.ask(&["neighbor", "disable", "10.99.2.2", "--message", "Grüße: back at 06:00"]);
    wait_for("BIRD to show it", || {
        let said = bird.protocol("p2");
        if said.contains("Grüße: back at 06:00") { Ok(()) } else { Err(said) }
    });
}

#[test]
fn openbgpd_agrees_on_roles_and_takes_several_paths() {
    let Some(mut lab) = lab("openbgpd_agrees_on_roles_and_takes_several_paths") else { return };
    let (host, peer) = pair(&mut lab);
    let routes: &[&str] = &["198.51.100.0/24 blackhole"];
    let session = "strict bind; local port 1179;";
    let bird =
        Bird::start(&peer, &bird(&[3, 4].map(|n| Speaker { n, asn: 65000 + u32::from(n), session, routes, ..PLAIN })));
    let openbgpd = OpenBgpd::start(
        &peer,
        "AS 65002\nrouter-id 10.99.2.2\nlisten on 10.99.2.2\nnetwork 203.0.113.0/24\n\
         neighbor 10.99.2.1 {\n remote-as 65001\n local-address 10.99.2.2\n announce policy provider\n\
         announce add-path recv yes\n announce enhanced refresh yes\n}\nallow from any\nallow to any\n",
    );
    let keys = "asn = 65002\nrole = \"customer\"\nadd_path = { send = 8 }\nadj_in = \"accepted\"";
    let neighbors =
        [("10.99.2.2", keys), ("10.99.3.2", "asn = 65003\nport = 1179"), ("10.99.4.2", "asn = 65004\nport = 1179")];
    let anyhop = Anyhop::start(&host, &ours("", &neighbors));
    eventually("OpenBGPD's session", &true, || openbgpd.is_established("10.99.2.1"));
    wait_for("both paths at OpenBGPD", || {
        let paths = openbgpd.paths("inet");
        let said: Vec<&str> = paths.iter().filter_map(|path| path["aspath"].as_str()).collect();
        let both = ["65001 65003", "65001 65004"].iter().all(|path| said.contains(path));
        if both && said.len() == 2 { Ok(()) } else { Err(format!("{paths:?}")) }
    });
    // What a provider says must not go up again (RFC 9234 §5): it is marked with the provider's number.
    let held = learns(&anyhop, "10.99.2.2", 1);
    let view = anyhop.ask(&["show", "neighbors", "10.99.2.2"]);
    assert_eq!(view["remote_role"], "provider", "{view}");
    assert_eq!(held[0]["imported"]["only_to_customer"], 65002, "{held:?}");
    // A refresh that is marked at both ends sweeps nothing that is said again.
    let _ = anyhop.ask(&["neighbor", "reset", "10.99.2.2", "--soft", "in"]);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(adj_in(&anyhop, "10.99.2.2").len(), 1);
    drop(bird);
}
