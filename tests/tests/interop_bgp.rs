//! Sessions with real BIRD, FRR, GoBGP and OpenBGPD: 1,000 prefixes each way over IPv4 and over IPv6, attributes compared in
//! their own tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhop_tests::lab::net::{Lab, Node};
use anyhop_tests::lab::route::{PeerRoute, Table, prefixes};
use anyhop_tests::lab::{Anyhop, Bird, Frr, GoBgp, OpenBgpd, lab, wait_for};
use ipnet::IpNet;

const PREFIXES: u16 = 1_000;
/// Blocks of prefixes: ours and the peer's.
const OURS: u8 = 1;
const THEIRS: u8 = 8;

/// Two hosts on one link: ours is 10.99.0.1 and fd99::1 in AS 65001, the peer's 10.99.0.2 and fd99::2 in AS 65002.
fn pair(lab: &mut Lab) -> (Node, Node) {
    let (ours, theirs) = (lab.node("anyhop"), lab.node("peer"));
    lab.link((&ours, "e0", "10.99.0.1/24 fd99::1/64"), (&theirs, "e0", "10.99.0.2/24 fd99::2/64"));
    (ours, theirs)
}

/// One family's session: is it IPv6, our address, the peer's.
const SESSIONS: [(bool, &str, &str); 2] = [(false, "10.99.0.1", "10.99.0.2"), (true, "fd99::1", "fd99::2")];

/// anyhop with 1,000 static prefixes of each family, announced with known attributes; everything is imported.
fn ours() -> String {
    let mut config = String::from(
        r#"
[node]
asn = 65001
router_id = "10.99.0.1"
[bgp]
redistribute = [ { from = "static", policy = "accept" } ]
[fib]
backends = []
[[policy]]
name = "out"
default = "reject"
rules = [ { match = { protocol = "static" }, set = { med = 50, prepend = { asn = 65001, count = 1 }, add_communities = ["65001:53", "large:65001:1:2"] }, action = "accept" } ]
[[neighbor_group]]
name = "peers"
asn = 65002
import = "accept"
export = "out"
[[neighbor]]
address = "10.99.0.2"
group = "peers"
[[neighbor]]
address = "fd99::2"
group = "peers"
"#,
    );
    for prefix in prefixes(false, OURS, PREFIXES).iter().chain(&prefixes(true, OURS, PREFIXES)) {
        writeln!(config, "[[static]]\nprefix = \"{prefix}\"\nblackhole = true").expect("a string takes it");
    }
    config
}

/// What the peer must hold for each of our prefixes.
fn expected(next_hop: &str) -> PeerRoute {
    PeerRoute::new("incomplete", &[65001, 65001], next_hop)
        .med(50)
        .communities("65001:53")
        .large_communities("65001:1:2")
}

/// Waits until the peer's table holds as many routes as we announce, then compares every one.
fn assert_holds_ours(peer: &str, ipv6: bool, our_address: &str, mut table: impl FnMut() -> Table) {
    let table = wait_for(&format!("{peer} to hold our routes"), || {
        let table = table();
        if table.len() == usize::from(PREFIXES) { Ok(table) } else { Err(format!("{} routes", table.len())) }
    });
    let ours: BTreeSet<IpNet> = prefixes(ipv6, OURS, PREFIXES).into_iter().collect();
    assert_eq!(table.keys().copied().collect::<BTreeSet<_>>(), ours, "{peer} holds exactly our prefixes");
    for (prefix, route) in &table {
        assert_eq!(route, &expected(our_address), "attributes of {prefix} in {peer}'s table");
    }
}

/// Waits until anyhop holds the peer's prefixes, checks each one's attributes as anyhop shows them, and one by lookup.
fn assert_learned(anyhop: &Anyhop, neighbor: &str, ipv6: bool) {
    let family = if ipv6 { "ipv6-unicast" } else { "ipv4-unicast" };
    let routes = wait_for(&format!("anyhop to learn from {neighbor}"), || {
        let value = anyhop.ask(&["show", "adj-in", neighbor, "--family", family]);
        let routes = value["routes"].as_array().cloned().unwrap_or_default();
        if routes.len() == usize::from(PREFIXES) { Ok(routes) } else { Err(format!("{} routes", routes.len())) }
    });
    let theirs = prefixes(ipv6, THEIRS, PREFIXES);
    let held: BTreeSet<IpNet> = routes.iter().filter_map(|r| r["prefix"].as_str()?.parse().ok()).collect();
    assert_eq!(held, theirs.iter().copied().collect(), "anyhop holds exactly the peer's prefixes");
    for route in &routes {
        let attributes = &route["attributes"];
        assert_eq!(attributes["as_path"], "65002", "{route}");
        assert_eq!(attributes["med"], 33, "{route}");
        assert_eq!(attributes["next_hop"], neighbor, "{route}");
        assert_eq!(attributes["communities"], serde_json::json!(["65002:7"]), "{route}");
        assert_eq!(attributes["large_communities"], serde_json::json!(["65002:7:8"]), "{route}");
        assert_eq!(route["best"], true, "{route}");
    }
    let value = anyhop.ask(&["lookup", &theirs[77].addr().to_string()]);
    assert_eq!(value["prefix"], theirs[77].to_string(), "{value}");
    assert_eq!(value["protocol"], "bgp", "{value}");
    assert!(value.to_string().contains(neighbor), "{value}");
}

fn established(peer: &str, mut stands: impl FnMut() -> bool) {
    wait_for(&format!("{peer}'s session"), || if stands() { Ok(()) } else { Err("not established".to_owned()) });
}

#[test]
fn bird_and_anyhop_exchange_a_thousand_prefixes_of_each_family() {
    let Some(mut lab) = lab("bird_and_anyhop_exchange_a_thousand_prefixes_of_each_family") else { return };
    let (host, peer) = pair(&mut lab);
    let attributes = "{ bgp_community.add((65002,7)); bgp_large_community.add((65002,7,8)); bgp_origin = ORIGIN_IGP; }";
    let mut config = String::from("router id 10.99.0.2;\nprotocol device {}\n");
    for (ipv6, ours, theirs) in SESSIONS {
        let v = if ipv6 { 6 } else { 4 };
        writeln!(config, "protocol static s{v} {{\n  ipv{v};").expect("a string takes it");
        for prefix in prefixes(ipv6, THEIRS, PREFIXES) {
            writeln!(config, "  route {prefix} blackhole {attributes};").expect("a string takes it");
        }
        // BIRD sends a MED to an external neighbor only if the export filter sets it.
        writeln!(
            config,
            "}}\nprotocol bgp p{v} {{ local {theirs} as 65002; neighbor {ours} as 65001; ipv{v} {{ import all; \
             export filter {{ if source = RTS_STATIC then {{ bgp_med = 33; accept; }} reject; }}; }}; }}"
        )
        .expect("a string takes it");
    }
    let bird = Bird::start(&peer, &config);
    let anyhop = Anyhop::start(&host, &ours());
    for (ipv6, ours, theirs) in SESSIONS {
        let protocol = if ipv6 { "p6" } else { "p4" };
        established("BIRD", || bird.is_established(protocol));
        assert_holds_ours("BIRD", ipv6, ours, || bird.learned(protocol));
        assert_learned(&anyhop, theirs, ipv6);
    }
}

#[test]
fn frr_and_anyhop_exchange_a_thousand_prefixes_of_each_family() {
    let Some(mut lab) = lab("frr_and_anyhop_exchange_a_thousand_prefixes_of_each_family") else { return };
    let (host, peer) = pair(&mut lab);
    let mut config = String::from(
        "router bgp 65002\n bgp router-id 10.99.0.2\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
         neighbor 10.99.0.1 remote-as 65001\n neighbor fd99::1 remote-as 65001\n no neighbor fd99::1 activate\n",
    );
    for (ipv6, ours, _) in SESSIONS {
        let family = if ipv6 { "ipv6" } else { "ipv4" };
        writeln!(config, " address-family {family} unicast\n  neighbor {ours} activate").expect("a string takes it");
        for prefix in prefixes(ipv6, THEIRS, PREFIXES) {
            writeln!(config, "  network {prefix} route-map TAG").expect("a string takes it");
        }
        writeln!(config, "  neighbor {ours} route-map OWN out\n exit-address-family").expect("a string takes it");
    }
    config += "!\nroute-map TAG permit 10\n set community 65002:7\n set large-community 65002:7:8\n set metric 33\n\
               bgp as-path access-list OWN permit ^$\nroute-map OWN permit 10\n match as-path OWN\n";
    let frr = Frr::start(&peer, &config);
    let anyhop = Anyhop::start(&host, &ours());
    for (ipv6, ours, theirs) in SESSIONS {
        established("FRR", || frr.is_established(ours));
        assert_holds_ours("FRR", ipv6, ours, || frr.learned(if ipv6 { "ipv6" } else { "ipv4" }));
        assert_learned(&anyhop, theirs, ipv6);
    }
}

#[test]
fn gobgp_and_anyhop_exchange_a_thousand_prefixes_of_each_family() {
    let Some(mut lab) = lab("gobgp_and_anyhop_exchange_a_thousand_prefixes_of_each_family") else { return };
    let (host, peer) = pair(&mut lab);
    let mut config = String::from("[global.config]\nas = 65002\nrouter-id = \"10.99.0.2\"\n");
    for (ipv6, ours, _) in SESSIONS {
        let family = if ipv6 { "ipv6-unicast" } else { "ipv4-unicast" };
        writeln!(
            config,
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{ours}\"\npeer-as = 65001\n\
             [neighbors.timers.config]\nconnect-retry = 5\n\
             [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\""
        )
        .expect("a string takes it");
    }
    let gobgp = GoBgp::start(&peer, &config);
    let mut lines = Vec::new();
    for (ipv6, _, _) in SESSIONS {
        let family = if ipv6 { "ipv6" } else { "ipv4" };
        lines.extend(prefixes(ipv6, THEIRS, PREFIXES).into_iter().map(|prefix| {
            format!("global rib -a {family} add {prefix} origin igp med 33 community 65002:7 large-community 65002:7:8")
        }));
    }
    gobgp.ask_many(&lines);
    let anyhop = Anyhop::start(&host, &ours());
    for (ipv6, ours, theirs) in SESSIONS {
        established("GoBGP", || gobgp.is_established(ours));
        assert_holds_ours("GoBGP", ipv6, ours, || gobgp.learned(ours, if ipv6 { "ipv6" } else { "ipv4" }));
        assert_learned(&anyhop, theirs, ipv6);
    }
}

#[test]
fn openbgpd_and_anyhop_exchange_a_thousand_prefixes_of_each_family() {
    let Some(mut lab) = lab("openbgpd_and_anyhop_exchange_a_thousand_prefixes_of_each_family") else { return };
    let (host, peer) = pair(&mut lab);
    let mut config = String::from("AS 65002\nrouter-id 10.99.0.2\n");
    for (ipv6, ours, theirs) in SESSIONS {
        let family = if ipv6 { "IPv6" } else { "IPv4" };
        writeln!(
            config,
            "listen on {theirs}\nneighbor {ours} {{\n remote-as 65001\n announce {family} unicast\n}}\n\
             allow from {ours}\nallow to {ours} prefix-set theirs\n"
        )
        .expect("a string takes it");
        for prefix in prefixes(ipv6, THEIRS, PREFIXES) {
            writeln!(config, "network {prefix} set {{ community 65002:7 large-community 65002:7:8 metric 33 }}")
                .expect("a string takes it");
        }
    }
    let theirs: Vec<String> = SESSIONS
        .iter()
        .flat_map(|(ipv6, _, _)| prefixes(*ipv6, THEIRS, PREFIXES))
        .map(|prefix| prefix.to_string())
        .collect();
    let openbgpd = OpenBgpd::start(&peer, &format!("prefix-set theirs {{ {} }}\n{config}", theirs.join(" ")));
    let anyhop = Anyhop::start(&host, &ours());
    for (ipv6, ours, theirs) in SESSIONS {
        established("OpenBGPD", || openbgpd.is_established(ours));
        assert_holds_ours("OpenBGPD", ipv6, ours, || openbgpd.learned(if ipv6 { "inet6" } else { "inet" }));
        assert_learned(&anyhop, theirs, ipv6);
    }
}
