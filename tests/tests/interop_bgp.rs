//! Sessions with real BIRD, FRR and GoBGP: 1,000 prefixes each way over IPv4 and over IPv6, attributes compared in
//! their own tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use anyhop_tests::lab::route::{PeerRoute, PeerTable, ipv4_prefixes, ipv6_prefixes};
use anyhop_tests::lab::{Anyhop, Bird, Frr, Gobgp, Host, Lab, eventually, have};

const PREFIXES: usize = 1_000;
const SESSION: Duration = Duration::from_secs(45);
const ROUTES: Duration = Duration::from_secs(30);

/// Two hosts on one link: ours is 10.99.0.1 and fd99::1 in AS 65001, the peer's 10.99.0.2 and fd99::2 in AS 65002.
fn pair(lab: &Lab) -> (Host, Host) {
    let (ours, theirs) = (lab.host("anyhop"), lab.host("peer"));
    lab.link((&ours, "e0", &["10.99.0.1/24", "fd99::1/64"]), (&theirs, "e0", &["10.99.0.2/24", "fd99::2/64"]));
    (ours, theirs)
}

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
    for prefix in ipv4_prefixes(20, PREFIXES).iter().chain(&ipv6_prefixes(0x2000, PREFIXES)) {
        writeln!(config, "[[static]]\nprefix = \"{prefix}\"\nblackhole = true").expect("a string takes it");
    }
    config
}

/// What the peer must hold for each of our prefixes.
fn expected(next_hop: &str, local_pref: Option<u32>) -> PeerRoute {
    PeerRoute {
        next_hop: next_hop.to_string(),
        as_path: vec![65001, 65001],
        origin: "incomplete".to_string(),
        med: Some(50),
        local_pref,
        communities: vec!["65001:53".to_string()],
        large_communities: vec!["65001:1:2".to_string()],
    }
}

fn assert_holds_ours(table: &PeerTable, prefixes: &[String], expected: &PeerRoute) {
    let held: BTreeSet<&String> = table.keys().collect();
    assert_eq!(held, prefixes.iter().collect(), "the peer holds exactly our prefixes");
    for (prefix, route) in table {
        assert_eq!(route, expected, "attributes of {prefix}");
    }
}

/// Waits until anyhop holds `prefixes` from `neighbor`, then checks each one's attributes as anyhop shows them.
fn assert_learned(anyhop: &Anyhop, neighbor: &str, family: &str, prefixes: &[String], med: u64) {
    let routes = eventually(&format!("anyhop learns from {neighbor}"), ROUTES, || {
        let value = anyhop.json(&format!("show adj-in {neighbor} --family {family}"));
        let routes = value["routes"].as_array().cloned().unwrap_or_default();
        if routes.len() == prefixes.len() { Ok(routes) } else { Err(format!("{} routes", routes.len())) }
    });
    let held: BTreeSet<&str> = routes.iter().filter_map(|r| r["prefix"].as_str()).collect();
    assert_eq!(held, prefixes.iter().map(String::as_str).collect(), "anyhop holds exactly the peer's prefixes");
    for route in &routes {
        let attributes = &route["attributes"];
        assert_eq!(attributes["as_path"], "65002", "{route}");
        assert_eq!(attributes["med"], med, "{route}");
        assert_eq!(attributes["next_hop"], neighbor, "{route}");
        assert_eq!(attributes["communities"], serde_json::json!(["65002:7"]), "{route}");
        assert_eq!(attributes["large_communities"], serde_json::json!(["65002:7:8"]), "{route}");
        assert_eq!(route["best"], true, "{route}");
    }
}

fn in_the_rib(anyhop: &Anyhop, address: &str, prefix: &str, gateway: &str) {
    let value = anyhop.json(&format!("lookup {address}"));
    assert_eq!(value["prefix"], prefix, "{value}");
    assert_eq!(value["protocol"], "bgp", "{value}");
    assert!(value.to_string().contains(gateway), "{value}");
}

#[test]
fn bird_and_anyhop_exchange_a_thousand_prefixes_of_each_family() {
    let Some(lab) = Lab::new().filter(|_| have("bird")) else { return };
    let (host, peer) = pair(&lab);
    let attributes =
        "{ bgp_community.add((65002,7)); bgp_large_community.add((65002,7,8)); bgp_med = 33; bgp_origin = 0; }";
    let mut config = String::from("router id 10.99.0.2;\nprotocol device {}\n");
    for (name, channel, prefixes) in
        [("s4", "ipv4", ipv4_prefixes(40, PREFIXES)), ("s6", "ipv6", ipv6_prefixes(0x4000, PREFIXES))]
    {
        writeln!(config, "protocol static {name} {{\n  {channel};").expect("a string takes it");
        for prefix in prefixes {
            writeln!(config, "  route {prefix} blackhole {attributes};").expect("a string takes it");
        }
        config += "}\n";
    }
    // BIRD sends a MED to an external neighbor only if the export filter sets it.
    for (name, channel, ours, theirs) in
        [("p4", "ipv4", "10.99.0.1", "10.99.0.2"), ("p6", "ipv6", "fd99::1", "fd99::2")]
    {
        writeln!(
            config,
            "protocol bgp {name} {{ local {theirs} as 65002; neighbor {ours} as 65001; {channel} {{ import all; \
             export filter {{ if proto = \"s4\" || proto = \"s6\" then {{ bgp_med = 33; accept; }} reject; }}; }}; }}"
        )
        .expect("a string takes it");
    }
    let bird = Bird::start(&peer, &config);
    let anyhop = Anyhop::start(&host, &ours());
    for (protocol, family, address, near, from, learned) in [
        ("p4", "ipv4", "10.99.0.1", "10.99.0.2", ipv4_prefixes(20, PREFIXES), ipv4_prefixes(40, PREFIXES)),
        ("p6", "ipv6", "fd99::1", "fd99::2", ipv6_prefixes(0x2000, PREFIXES), ipv6_prefixes(0x4000, PREFIXES)),
    ] {
        eventually("BIRD's session", SESSION, || bird.established(protocol));
        eventually("BIRD has our routes", ROUTES, || {
            let n = bird.routes(protocol).len();
            if n == PREFIXES { Ok(()) } else { Err(format!("{n} routes")) }
        });
        assert_holds_ours(&bird.routes(protocol), &from, &expected(address, Some(100)));
        assert_learned(&anyhop, near, &format!("{family}-unicast"), &learned, 33);
    }
    in_the_rib(&anyhop, "10.40.3.9", "10.40.3.0/24", "10.99.0.2");
    in_the_rib(&anyhop, "2001:db8:4003::9", "2001:db8:4003::/48", "fd99::2");
}

#[test]
fn frr_and_anyhop_exchange_a_thousand_prefixes_of_each_family() {
    let Some(lab) = Lab::new().filter(|_| have("bgpd")) else { return };
    let (host, peer) = pair(&lab);
    let mut config = String::from(
        "router bgp 65002\n bgp router-id 10.99.0.2\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
         neighbor 10.99.0.1 remote-as 65001\n neighbor fd99::1 remote-as 65001\n",
    );
    for (family, neighbor, prefixes) in
        [("ipv4", "10.99.0.1", ipv4_prefixes(40, PREFIXES)), ("ipv6", "fd99::1", ipv6_prefixes(0x4000, PREFIXES))]
    {
        writeln!(config, " address-family {family} unicast\n  neighbor {neighbor} activate")
            .expect("a string takes it");
        for prefix in prefixes {
            writeln!(config, "  network {prefix} route-map TAG").expect("a string takes it");
        }
        writeln!(config, "  neighbor {neighbor} route-map OWN out\n exit-address-family").expect("a string takes it");
    }
    config += "!\nroute-map TAG permit 10\n set community 65002:7\n set large-community 65002:7:8\n set metric 33\n\
               bgp as-path access-list OWN permit ^$\nroute-map OWN permit 10\n match as-path OWN\n";
    let frr = Frr::start(&peer, &config);
    let anyhop = Anyhop::start(&host, &ours());
    for (family, address, near, from, learned) in [
        ("ipv4", "10.99.0.1", "10.99.0.2", ipv4_prefixes(20, PREFIXES), ipv4_prefixes(40, PREFIXES)),
        ("ipv6", "fd99::1", "fd99::2", ipv6_prefixes(0x2000, PREFIXES), ipv6_prefixes(0x4000, PREFIXES)),
    ] {
        eventually("FRR's session", SESSION, || frr.established(address));
        eventually("FRR has our routes", ROUTES, || {
            let n = frr.prefixes(family, address).len();
            if n == PREFIXES { Ok(()) } else { Err(format!("{n} routes")) }
        });
        assert_holds_ours(&frr.routes(family, &from), &from, &expected(address, None));
        assert_learned(&anyhop, near, &format!("{family}-unicast"), &learned, 33);
    }
    in_the_rib(&anyhop, "10.40.3.9", "10.40.3.0/24", "10.99.0.2");
}

#[test]
fn gobgp_and_anyhop_exchange_a_thousand_prefixes_of_each_family() {
    let Some(lab) = Lab::new().filter(|_| have("gobgpd")) else { return };
    let (host, peer) = pair(&lab);
    let mut config = String::from("[global.config]\nas = 65002\nrouter-id = \"10.99.0.2\"\n");
    for (neighbor, family) in [("10.99.0.1", "ipv4-unicast"), ("fd99::1", "ipv6-unicast")] {
        writeln!(
            config,
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{neighbor}\"\npeer-as = 65001\n\
             [neighbors.timers.config]\nconnect-retry = 5\n\
             [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\""
        )
        .expect("a string takes it");
    }
    let gobgp = Gobgp::start(&peer, &config);
    let attributes = "origin igp med 33 community 65002:7 large-community 65002:7:8";
    gobgp.announce("ipv4", &ipv4_prefixes(40, PREFIXES), attributes);
    gobgp.announce("ipv6", &ipv6_prefixes(0x4000, PREFIXES), attributes);
    let anyhop = Anyhop::start(&host, &ours());
    for (family, address, near, from, learned) in [
        ("ipv4", "10.99.0.1", "10.99.0.2", ipv4_prefixes(20, PREFIXES), ipv4_prefixes(40, PREFIXES)),
        ("ipv6", "fd99::1", "fd99::2", ipv6_prefixes(0x2000, PREFIXES), ipv6_prefixes(0x4000, PREFIXES)),
    ] {
        eventually("GoBGP's session", SESSION, || gobgp.established(address));
        eventually("GoBGP has our routes", ROUTES, || {
            let n = gobgp.routes(family, address).len();
            if n == PREFIXES { Ok(()) } else { Err(format!("{n} routes")) }
        });
        assert_holds_ours(&gobgp.routes(family, address), &from, &expected(address, None));
        assert_learned(&anyhop, near, &format!("{family}-unicast"), &learned, 33);
    }
    in_the_rib(&anyhop, "10.40.3.9", "10.40.3.0/24", "10.99.0.2");
}
