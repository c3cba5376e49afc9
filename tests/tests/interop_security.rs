//! Protected sessions with real BIRD and FRR: TCP-MD5 (RFC 2385), GTSM (RFC 5082) and multihop, each side dialling in turn.

use std::time::Duration;

use anyhop_tests::lab::net::{Lab, Node};
use anyhop_tests::lab::{Anyhop, Bird, Frr, lab, never, wait_for};

/// Time in which a session that could come up would: both sides try every second.
const LONG_ENOUGH: Duration = Duration::from_secs(8);

/// Two hosts on one link: ours is 10.99.0.1 in AS 65001, the peer's 10.99.0.2 in AS 65002.
fn pair(lab: &mut Lab) -> (Node, Node) {
    let (ours, theirs) = (lab.node("anyhop"), lab.node("peer"));
    lab.link((&ours, "e0", "10.99.0.1/24"), (&theirs, "e0", "10.99.0.2/24"));
    (ours, theirs)
}

fn ours(address: &str, keys: &str) -> String {
    format!(
        "[node]\nasn = 65001\nrouter_id = \"10.99.0.1\"\n[fib]\nbackends = []\n\
         [[neighbor]]\naddress = \"{address}\"\nasn = 65002\nconnect_retry = \"1s\"\n{keys}\n"
    )
}

fn bird(node: &Node, keys: &str) -> Bird {
    Bird::start(
        node,
        &format!(
            "router id 10.99.0.2;\nprotocol device {{}}\nprotocol bgp b {{\n  local 10.99.0.2 as 65002;\n  \
             neighbor 10.99.0.1 as 65001;\n  connect delay time 1; connect retry time 1;\n  \
             error wait time 1, 2;\n  ipv4 {{ import all; export all; }};\n  {keys}\n}}\n"
        ),
    )
}

fn frr(node: &Node, keys: &[&str]) -> Frr {
    let keys: String = keys.iter().map(|key| format!(" neighbor 10.99.0.1 {key}\n")).collect();
    Frr::start(
        node,
        &format!(
            "router bgp 65002\n bgp router-id 10.99.0.2\n no bgp ebgp-requires-policy\n \
             neighbor 10.99.0.1 remote-as 65001\n neighbor 10.99.0.1 timers connect 1\n{keys}"
        ),
    )
}

/// The session comes up as both sides see it, or never does as the side sees it that demands the greatest TTL: what it drops
/// cannot be known to the other, which may have heard all it needed.
fn assert_guarded(
    anyhop: &Anyhop,
    neighbor: &str,
    (theirs_on, ours_on): (bool, bool),
    what: &str,
    theirs: impl Fn() -> bool,
) {
    if theirs_on && ours_on {
        return assert_session(anyhop, neighbor, true, what, theirs);
    }
    never(what, LONG_ENOUGH, || {
        let shown = anyhop.ask(&["show", "neighbors", neighbor]).to_string();
        let stands = if ours_on { shown.to_lowercase().contains("\"established\"") } else { theirs() };
        stands.then_some(shown)
    });
}

/// The session comes up, or it never does, as both sides see it.
fn assert_session(anyhop: &Anyhop, neighbor: &str, up: bool, what: &str, theirs: impl Fn() -> bool) {
    let stands = || {
        let shown = anyhop.ask(&["show", "neighbors", neighbor]).to_string();
        (shown.to_lowercase().contains("\"established\"") || theirs(), shown)
    };
    if up {
        wait_for(what, || match stands() {
            (true, _) if theirs() => Ok(()),
            (_, shown) => Err(shown),
        });
    } else {
        never(what, LONG_ENOUGH, || match stands() {
            (true, shown) => Some(format!("established: {shown}")),
            (false, _) => None,
        });
    }
}

#[test]
fn bird_speaks_to_us_with_the_right_password_only() {
    for (key, passive, up) in
        [("right", false, true), ("right", true, true), ("wrong", false, false), ("wrong", true, false)]
    {
        let Some(mut lab) = lab("bird_speaks_to_us_with_the_right_password_only") else { return };
        let (host, peer) = pair(&mut lab);
        let theirs = bird(&peer, &format!("password \"{key}\"; {}", if passive { "" } else { "passive yes;" }));
        let anyhop = Anyhop::start(&host, &ours("10.99.0.2", &format!("password = \"right\"\npassive = {passive}")));
        let what = format!("BIRD's session, key {key}, we are passive: {passive}");
        assert_session(&anyhop, "10.99.0.2", up, &what, || theirs.is_established("b"));
    }
}

#[test]
fn frr_speaks_to_us_with_the_right_password_only() {
    for (key, passive, up) in
        [("right", false, true), ("right", true, true), ("wrong", false, false), ("wrong", true, false)]
    {
        let Some(mut lab) = lab("frr_speaks_to_us_with_the_right_password_only") else { return };
        let (host, peer) = pair(&mut lab);
        let password = format!("password {key}");
        let options: &[&str] = &[&password, "passive"];
        let theirs = frr(&peer, if passive { &options[..1] } else { options });
        let anyhop = Anyhop::start(&host, &ours("10.99.0.2", &format!("password = \"right\"\npassive = {passive}")));
        let what = format!("FRR's session, key {key}, we are passive: {passive}");
        assert_session(&anyhop, "10.99.0.2", up, &what, || theirs.is_established("10.99.0.1"));
    }
}

#[test]
fn bird_and_we_demand_the_greatest_ttl() {
    for (theirs_on, ours_on) in [(true, true), (true, false), (false, true)] {
        let Some(mut lab) = lab("bird_and_we_demand_the_greatest_ttl") else { return };
        let (host, peer) = pair(&mut lab);
        let theirs = bird(&peer, if theirs_on { "ttl security on;" } else { "" });
        let anyhop = Anyhop::start(&host, &ours("10.99.0.2", if ours_on { "ttl_security = 1" } else { "" }));
        let what = format!("BIRD's session, GTSM there: {theirs_on}, here: {ours_on}");
        assert_guarded(&anyhop, "10.99.0.2", (theirs_on, ours_on), &what, || theirs.is_established("b"));
    }
}

#[test]
fn frr_and_we_demand_the_greatest_ttl() {
    for (theirs_on, ours_on) in [(true, true), (true, false), (false, true)] {
        let Some(mut lab) = lab("frr_and_we_demand_the_greatest_ttl") else { return };
        let (host, peer) = pair(&mut lab);
        let theirs = frr(&peer, if theirs_on { &["ttl-security hops 1"] } else { &[] });
        let anyhop = Anyhop::start(&host, &ours("10.99.0.2", if ours_on { "ttl_security = 1" } else { "" }));
        let what = format!("FRR's session, GTSM there: {theirs_on}, here: {ours_on}");
        assert_guarded(&anyhop, "10.99.0.2", (theirs_on, ours_on), &what, || theirs.is_established("10.99.0.1"));
    }
}

#[test]
fn a_router_between_us_needs_multihop() {
    for (multihop, up) in [(true, true), (false, false)] {
        let Some(mut lab) = lab("a_router_between_us_needs_multihop") else { return };
        let (host, router, peer) = (lab.node("anyhop"), lab.node("router"), lab.node("peer"));
        lab.link((&host, "e0", "10.98.0.1/24"), (&router, "e0", "10.98.0.9/24"));
        lab.link((&router, "e1", "10.97.0.9/24"), (&peer, "e0", "10.97.0.2/24"));
        router.forward();
        host.ip("route add 10.97.0.0/24 via 10.98.0.9");
        peer.ip("route add 10.98.0.0/24 via 10.97.0.9");
        let theirs = Bird::start(
            &peer,
            "router id 10.99.0.2;\nprotocol device {}\nprotocol bgp b {\n  local 10.97.0.2 as 65002;\n  \
             neighbor 10.98.0.1 as 65001;\n  multihop 3;\n  passive yes;\n  ipv4 { import all; export all; };\n}\n",
        );
        let anyhop = Anyhop::start(&host, &ours("10.97.0.2", if multihop { "multihop = 3" } else { "" }));
        let what = format!("a session over a router, multihop: {multihop}");
        assert_session(&anyhop, "10.97.0.2", up, &what, || theirs.is_established("b"));
    }
}
