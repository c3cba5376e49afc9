//! The lab itself: BIRD, FRR and GoBGP speak to each other, and their tables read the same through our eyes.

use anyhop_tests::lab::route::prefixes;
use anyhop_tests::lab::{Bird, Frr, GoBgp, PeerRoute, eventually, lab, wait_for};

#[test]
fn three_foreign_daemons_agree_about_one_route() {
    let Some(mut lab) = lab("three_foreign_daemons_agree_about_one_route") else { return };
    let (bird, frr, gobgp) = (lab.node("bird"), lab.node("frr"), lab.node("gobgp"));
    lab.link((&bird, "to-frr", "10.0.1.1/24 2001:db8:1::1/64"), (&frr, "to-bird", "10.0.1.2/24 2001:db8:1::2/64"));
    lab.link((&bird, "to-gobgp", "10.0.2.1/24 2001:db8:2::1/64"), (&gobgp, "to-bird", "10.0.2.2/24 2001:db8:2::2/64"));
    let session = |name: &str, family: &str, neighbor: &str, asn: u32| {
        format!(
            "protocol bgp {name} {{ local as 65001; neighbor {neighbor} as {asn}; \
             {family} {{ import all; export filter {{ if source != RTS_STATIC then reject; bgp_med = 50; accept; }}; next hop self; }}; }}\n"
        )
    };
    let attributes = "{ bgp_community.add((65001,7)); bgp_large_community.add((65001,1,2)); }";
    let (v4, v6) = (prefixes(false, 0, 1)[0], prefixes(true, 0, 1)[0]);
    let config = [
        "router id 10.0.0.1;\nprotocol device {}\n".to_owned(),
        format!("protocol static {{ ipv4; route {v4} blackhole {attributes}; }}\n"),
        format!("protocol static {{ ipv6; route {v6} blackhole {attributes}; }}\n"),
        session("frr4", "ipv4", "10.0.1.2", 65002),
        session("frr6", "ipv6", "2001:db8:1::2", 65002),
        session("go4", "ipv4", "10.0.2.2", 65003),
        session("go6", "ipv6", "2001:db8:2::2", 65003),
    ];
    let frr_config = "router bgp 65002\n bgp router-id 10.0.0.2\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
         neighbor 10.0.1.1 remote-as 65001\n neighbor 2001:db8:1::1 remote-as 65001\n \
         address-family ipv4 unicast\n  network 10.200.0.0/24\n exit-address-family\n \
         address-family ipv6 unicast\n  neighbor 2001:db8:1::1 activate\n  network 2001:db8:f::/48\n exit-address-family\n";
    let neighbor = |address: &str, family: &str| {
        format!(
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{address}\"\npeer-as = 65001\n\
             [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}-unicast\"\n"
        )
    };
    let gobgp_config = format!(
        "[global.config]\nas = 65003\nrouter-id = \"10.0.0.3\"\n{}{}",
        neighbor("10.0.2.1", "ipv4"),
        neighbor("2001:db8:2::1", "ipv6")
    );
    let b = Bird::start(&bird, &config.concat());
    let f = Frr::start(&frr, frr_config);
    let g = GoBgp::start(&gobgp, &gobgp_config);
    g.ask_many(&[
        "global rib add 10.201.0.0/24 origin egp med 9 community 65003:4 large-community 65003:1:2".to_owned()
    ]);
    for name in ["frr4", "frr6", "go4", "go6"] {
        wait_for(name, || if b.is_established(name) { Ok(()) } else { Err(b.protocol(name)) });
    }
    for neighbor in ["10.0.1.1", "2001:db8:1::1"] {
        eventually(neighbor, &true, || f.is_established(neighbor));
    }
    for neighbor in ["10.0.2.1", "2001:db8:2::1"] {
        eventually(neighbor, &true, || g.is_established(neighbor));
    }
    let expected =
        |hop: &str| PeerRoute::new("igp", &[65001], hop).med(50).communities("65001:7").large_communities("65001:1:2");
    eventually("frr's IPv4 table", &Some(expected("10.0.1.1")), || f.learned("ipv4").remove(&v4));
    eventually("frr's IPv6 table", &Some(expected("2001:db8:1::1")), || f.learned("ipv6").remove(&v6));
    eventually("gobgp's IPv4 table", &Some(expected("10.0.2.1")), || g.learned("10.0.2.1", "ipv4").remove(&v4));
    eventually("gobgp's IPv6 table", &Some(expected("2001:db8:2::1")), || {
        g.learned("2001:db8:2::1", "ipv6").remove(&v6)
    });
    let from_frr = PeerRoute::new("igp", &[65002], "10.0.1.2");
    eventually("bird's table", &Some(from_frr), || b.learned("frr4").remove(&"10.200.0.0/24".parse().unwrap()));
    let from_gobgp =
        PeerRoute::new("egp", &[65003], "10.0.2.2").med(9).communities("65003:4").large_communities("65003:1:2");
    eventually("bird's table", &Some(from_gobgp), || b.learned("go4").remove(&"10.201.0.0/24".parse().unwrap()));
    assert!(!f.learned("ipv4").contains_key(&"10.200.0.0/24".parse().unwrap()), "its own network is not learned");
}
