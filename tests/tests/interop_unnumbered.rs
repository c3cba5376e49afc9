//! A session with real FRR over a link without addresses: found by router advertisements (RFC 4861), spoken over link-local
//! addresses, IPv4 routes with IPv6 next hops (RFC 8950), and a packet that takes them.

use anyhop_tests::lab::{Anyhop, Frr, eventually, lab, wait_for};

const OURS: &str = r#"
[node]
asn = 65001
router_id = "10.1.0.1"
[bgp]
redistribute = [ { from = "static", policy = "accept" } ]
[[static]]
prefix = "10.1.0.0/24"
blackhole = true
[[neighbor]]
interface = "e0"
asn = "external"
import = "accept"
export = "accept"
families = ["ipv4-unicast", "ipv6-unicast"]
connect_retry = "1s"
"#;

const THEIRS: &str = "\
router bgp 65002
 bgp router-id 10.2.0.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor e0 interface remote-as external
 neighbor e0 timers connect 1
 address-family ipv4 unicast
  network 10.2.0.0/24
 exit-address-family
";

#[test]
fn frr_is_found_on_the_link_and_ipv4_goes_over_it_without_ipv4_addresses() {
    let Some(mut lab) = lab("frr_is_found_on_the_link_and_ipv4_goes_over_it_without_ipv4_addresses") else { return };
    let (host, peer) = (lab.node("anyhop"), lab.node("peer"));
    lab.link((&host, "e0", ""), (&peer, "e0", ""));
    for (node, address) in [(&host, "10.1.0.1/32"), (&peer, "10.2.0.1/32")] {
        node.ip(&format!("address add {address} dev lo"));
        node.forward();
    }
    let frr = Frr::start(&peer, THEIRS);
    let anyhop = Anyhop::start(&host, OURS);
    wait_for("the session", || {
        let shown = anyhop.ask(&["show", "neighbors", "e0"]).to_string();
        let both = shown.to_lowercase().contains("\"established\"") && frr.is_established("e0");
        if both { Ok(()) } else { Err(format!("{shown}\n{}", frr.ask("show bgp neighbors e0"))) }
    });
    // The IPv4 route is in the kernel with an IPv6 gateway, and carries a packet there and back.
    wait_for("the route over an IPv6 next hop", || {
        let routes = host.ip("route show 10.2.0.0/24");
        if routes.contains("via inet6 fe80::") { Ok(()) } else { Err(routes) }
    });
    eventually("an echo over the link", &true, || host.succeeds("ping -c 1 -W 1 -I 10.1.0.1 10.2.0.1"));

    // The link goes down: so does the session, at once and not by its hold timer; and it comes back by itself.
    host.ip("link set e0 down");
    eventually("the session to fall", &false, || {
        anyhop.ask(&["show", "neighbors", "e0"]).to_string().to_lowercase().contains("\"established\"")
    });
    host.ip("link set e0 up");
    eventually("the session to come back", &true, || {
        anyhop.ask(&["show", "neighbors", "e0"]).to_string().to_lowercase().contains("\"established\"")
    });
    assert!(!host.ip("-6 route show default").contains("e0"), "we advertise no default route");
    assert!(!peer.ip("-6 route show default").contains("e0"), "and the peer takes none");
}
