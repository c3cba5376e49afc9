//! Graceful restart (RFC 4724) with real BIRD, FRR and GoBGP: they die and come back, and so do we; what was announced stays
//! meanwhile. And long-lived graceful restart (RFC 9494), where BIRD stays away.

use std::time::Duration;

use anyhop_tests::lab::net::{Lab, Node};
use anyhop_tests::lab::wait::never;
use anyhop_tests::lab::{Anyhop, Bird, Frr, GoBgp, lab, wait_for};

/// We are 10.99.0.1 in AS 65001, BIRD is 10.99.0.2 in AS 65002.
fn pair(lab: &mut Lab) -> (Node, Node) {
    let (ours, theirs) = (lab.node("anyhop"), lab.node("peer"));
    lab.link((&ours, "e0", "10.99.0.1/24"), (&theirs, "e0", "10.99.0.2/24"));
    (ours, theirs)
}

/// Coming back takes a minute.
const SOON: &str = "graceful restart time 60;";

fn bird(prefixes: &[&str], restart: &str) -> String {
    let routes: String = prefixes.iter().map(|prefix| format!("route {prefix} blackhole; ")).collect();
    format!(
        "router id 10.99.0.2;\ngraceful restart wait 5;\nprotocol device {{}}\nprotocol static st {{ ipv4; {routes} }}\n\
         protocol bgp p {{ local 10.99.0.2 as 65002; neighbor 10.99.0.1 as 65001; graceful restart on; \
         {restart} connect delay time 1; error wait time 1, 2; \
         ipv4 {{ import all; export where source = RTS_STATIC; }}; }}"
    )
}

const OURS: &str = r#"
[node]
asn = 65001
router_id = "10.99.0.1"
[bgp]
redistribute = [ { from = "static", policy = "accept" } ]
[[static]]
prefix = "203.0.113.0/24"
blackhole = true
[[neighbor]]
address = "10.99.0.2"
asn = 65002
import = "accept"
export = "accept"
connect_retry = "1s"
graceful_restart = { enabled = true, restart_time = "60s" }
"#;

/// The prefixes of BIRD's that are in our kernel's table.
fn installed(host: &Node) -> Vec<String> {
    let routes = host.ip("route show via 10.99.0.2");
    routes.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[track_caller]
fn learned(host: &Node, prefixes: &[&str]) {
    wait_for("BIRD's routes in the kernel", || {
        let held = installed(host);
        // A route that stays must not leave even for a moment.
        assert!(held.is_empty() || held.iter().any(|prefix| prefix == "198.51.100.0/24"), "{held:?}");
        if held == prefixes { Ok(()) } else { Err(format!("{held:?}")) }
    });
}

#[test]
fn bird_dies_and_its_routes_stay_until_it_says_otherwise() {
    let Some(mut lab) = lab("bird_dies_and_its_routes_stay_until_it_says_otherwise") else { return };
    let (host, peer) = pair(&mut lab);
    let mut first = Bird::start(&peer, &bird(&["192.0.2.0/24", "198.51.100.0/24"], SOON));
    let anyhop = Anyhop::start(&host, OURS);
    learned(&host, &["192.0.2.0/24", "198.51.100.0/24"]);
    first.process.kill();
    wait_for("the session to fall", || {
        let view = anyhop.ask(&["show", "neighbors", "10.99.0.2"]).to_string();
        if view.contains("\"state\":\"established\"") { Err(view) } else { Ok(()) }
    });
    never("a route left with the session", Duration::from_secs(2), || {
        let held = installed(&host);
        (held.len() != 2).then(|| format!("{held:?}"))
    });
    // It comes back with one prefix fewer: End-of-RIB sweeps that one.
    let _second = Bird::start(&peer, &bird(&["198.51.100.0/24"], SOON));
    learned(&host, &["198.51.100.0/24"]);
}

#[test]
fn we_die_and_bird_keeps_our_routes_until_we_are_back() {
    let Some(mut lab) = lab("we_die_and_bird_keeps_our_routes_until_we_are_back") else { return };
    let (host, peer) = pair(&mut lab);
    let bird = Bird::start(&peer, &bird(&["198.51.100.0/24"], SOON));
    let mut first = Anyhop::start(&host, OURS);
    let held = || bird.ask("show route protocol p").contains("203.0.113.0/24");
    wait_for("our route at BIRD", || if held() { Ok(()) } else { Err(bird.protocol("p")) });
    learned(&host, &["198.51.100.0/24"]);
    first.process.kill();
    never("BIRD let our route go, or our kernel BIRD's", Duration::from_secs(2), || {
        (!held() || installed(&host).len() != 1).then(|| format!("{}\n{:?}", bird.protocol("p"), installed(&host)))
    });
    let _second = Anyhop::start_named(&host, "again", OURS);
    wait_for("the session to come back", || {
        assert!(held(), "our route stays over the restart: {}", bird.protocol("p"));
        if bird.is_established("p") { Ok(()) } else { Err(bird.protocol("p")) }
    });
    never("a route left after the restart", Duration::from_secs(3), || {
        (!held() || installed(&host).len() != 1).then(|| format!("{}\n{:?}", bird.protocol("p"), installed(&host)))
    });
}

#[test]
fn bird_stays_away_and_its_routes_become_the_last_resort_before_they_go() {
    let Some(mut lab) = lab("bird_stays_away_and_its_routes_become_the_last_resort_before_they_go") else { return };
    let (host, peer) = pair(&mut lab);
    let long = "graceful restart time 1; long lived graceful restart on; long lived stale time 6;";
    let mut bird = Bird::start(&peer, &bird(&["198.51.100.0/24"], long));
    let ours = OURS.replace("restart_time = \"60s\"", "restart_time = \"60s\", long_lived = \"1h\"");
    let anyhop = Anyhop::start(&host, &ours);
    learned(&host, &["198.51.100.0/24"]);
    bird.process.kill();
    wait_for("LLGR_STALE", || {
        assert_eq!(installed(&host), ["198.51.100.0/24"], "it is still forwarded by");
        let view = anyhop.ask(&["show", "adj-in", "10.99.0.2"]).to_string();
        if view.contains("65535:6") { Ok(()) } else { Err(view) }
    });
    wait_for("the end of its time", || match &installed(&host)[..] {
        [] => Ok(()),
        held => Err(format!("{held:?}")),
    });
}

/// A neighbor with these prefixes is started, dies and comes back with the first only: both stay, then the second goes.
fn dies_and_comes_back<P>(host: &Node, start: impl Fn(&[&str]) -> P, kill: impl FnOnce(&mut P)) {
    let mut first = start(&["198.51.100.0/24", "192.0.2.0/24"]);
    let anyhop = Anyhop::start(host, OURS);
    learned(host, &["192.0.2.0/24", "198.51.100.0/24"]);
    kill(&mut first);
    wait_for("the session to fall", || {
        let view = anyhop.ask(&["show", "neighbors", "10.99.0.2"]).to_string();
        if view.contains("\"state\":\"established\"") { Err(view) } else { Ok(()) }
    });
    never("a route left with the session", Duration::from_secs(2), || {
        let held = installed(host);
        (held.len() != 2).then(|| format!("{held:?}"))
    });
    drop(first);
    let _second = start(&["198.51.100.0/24"]);
    wait_for("the route that did not come back to go", || match &installed(host)[..] {
        [one] if one == "198.51.100.0/24" => Ok(()),
        held => Err(format!("{held:?}")),
    });
}

#[test]
fn frr_dies_and_its_routes_stay_until_it_says_otherwise() {
    let Some(mut lab) = lab("frr_dies_and_its_routes_stay_until_it_says_otherwise") else { return };
    let (host, peer) = pair(&mut lab);
    let start = |prefixes: &[&str]| {
        let networks: String = prefixes.iter().map(|prefix| format!("  network {prefix}\n")).collect();
        Frr::start(
            &peer,
            &format!(
                "router bgp 65002\n bgp router-id 10.99.0.2\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
                 bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time 60\n \
                 neighbor 10.99.0.1 remote-as 65001\n address-family ipv4 unicast\n{networks} exit-address-family\n"
            ),
        )
    };
    dies_and_comes_back(&host, start, |frr: &mut Frr| {
        frr.bgpd.kill();
        frr.zebra.kill();
    });
}

#[test]
fn gobgp_dies_and_its_routes_stay_until_it_says_otherwise() {
    let Some(mut lab) = lab("gobgp_dies_and_its_routes_stay_until_it_says_otherwise") else { return };
    let (host, peer) = pair(&mut lab);
    let config = "[global.config]\nas = 65002\nrouter-id = \"10.99.0.2\"\n\
                  [[neighbors]]\n[neighbors.config]\nneighbor-address = \"10.99.0.1\"\npeer-as = 65001\n\
                  [neighbors.timers.config]\nconnect-retry = 1\n\
                  [neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 60\n\
                  [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"ipv4-unicast\"\n\
                  [neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n";
    let start = |prefixes: &[&str]| {
        let gobgp = GoBgp::start(&peer, config);
        gobgp.ask_many(&prefixes.iter().map(|prefix| format!("global rib add {prefix}")).collect::<Vec<_>>());
        gobgp
    };
    dies_and_comes_back(&host, start, |gobgp: &mut GoBgp| gobgp.process.kill());
}
