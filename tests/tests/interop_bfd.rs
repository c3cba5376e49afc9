//! BFD against the daemons that have it too, over a link that can be cut without anybody's carrier falling: FRR's bfdd, BIRD,
//! and anyhop itself.

use std::time::{Duration, Instant};

use anyhop_tests::lab::net::{Lab, Node};
use anyhop_tests::lab::wait::never;
use anyhop_tests::lab::{Anyhop, Bird, Frr, lab, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Two hosts, 10.98.0.1 and 10.98.0.2, and a bridge between them.
struct Cable {
    ours: Node,
    theirs: Node,
    middle: Node,
}

impl Cable {
    fn new(lab: &mut Lab) -> Self {
        let (ours, theirs, middle) = (lab.node("anyhop"), lab.node("peer"), lab.node("middle"));
        lab.link((&ours, "e0", "10.98.0.1/24 2001:db8:98::1/64"), (&middle, "p1", ""));
        lab.link((&theirs, "e0", "10.98.0.2/24 2001:db8:98::2/64"), (&middle, "p2", ""));
        for command in
            ["link add br0 type bridge", "link set br0 up", "link set p1 master br0", "link set p2 master br0"]
        {
            middle.ip(command);
        }
        Self { ours, theirs, middle }
    }

    /// Nothing passes any longer, and no host sees its carrier fall.
    #[allow(clippy::disallowed_methods)] // how long it takes to be seen is what is asked
    fn cut(&self) -> Instant {
        self.middle.ip("link set p2 nomaster");
        Instant::now()
    }

    fn mend(&self) {
        self.middle.ip("link set p2 master br0");
    }
}

/// anyhop in AS 65001 with one neighbor.
fn ours(asn: u32, neighbor: &str, keys: &str) -> String {
    format!(
        "[node]\nasn = {asn}\nrouter_id = \"10.98.0.{}\"\n[fib]\nbackends = []\n[[neighbor]]\naddress = \"{neighbor}\"\n\
         import = \"accept\"\nexport = \"accept\"\n{keys}\n",
        asn - 65000
    )
}

const FAST: &str = "bfd = { interval = \"50ms\", multiplier = 3 }";

fn sessions(anyhop: &Anyhop) -> Vec<Value> {
    anyhop.ask(&["show", "bfd"])["sessions"].as_array().cloned().unwrap_or_default()
}

#[track_caller]
fn comes_up(anyhop: &Anyhop) -> Value {
    wait_for("a BFD session to come up", || match &sessions(anyhop)[..] {
        [one] if one["state"] == "up" => Ok(one.clone()),
        other => Err(format!("{other:?}")),
    })
}

fn neighbor(anyhop: &Anyhop, address: &str) -> Value {
    let answer = anyhop.ask(&["show", "neighbors", address]);
    if answer["neighbors"].is_array() { answer["neighbors"][0].clone() } else { answer }
}

/// Waits until the BGP session has fallen, and returns how long after `cut` that was seen.
#[track_caller]
fn falls(anyhop: &Anyhop, address: &str, cut: Instant) -> Duration {
    wait_for("the BGP session to fall", || {
        let view = neighbor(anyhop, address);
        let why = view["last_down"].to_string();
        if view["state"] != "established" && why.contains("BFD") { Ok(cut.elapsed()) } else { Err(view.to_string()) }
    })
}

#[track_caller]
fn stands(anyhop: &Anyhop, address: &str) {
    wait_for("the BGP session to stand", || {
        let view = neighbor(anyhop, address);
        if view["state"] == "established" { Ok(()) } else { Err(view.to_string()) }
    });
}

#[test]
fn a_silent_cut_between_two_anyhops_ends_bgp_long_before_its_hold_time_and_a_stop_is_no_failure() {
    let Some(mut lab) = lab("a_silent_cut_between_two_anyhops") else { return };
    let cable = Cable::new(&mut lab);
    let one = Anyhop::start(&cable.ours, &ours(65001, "10.98.0.2", &format!("asn = 65002\n{FAST}")));
    let mut other = Anyhop::start(&cable.theirs, &ours(65002, "10.98.0.1", &format!("asn = 65001\n{FAST}")));
    for (anyhop, address) in [(&one, "10.98.0.2"), (&other, "10.98.0.1")] {
        stands(anyhop, address);
        let session = comes_up(anyhop);
        assert_eq!(session["multihop"], false);
        assert_eq!(session["clients"], 1);
    }
    wait_for("fast timers", || {
        let session = comes_up(&one);
        if session["detection_time_seconds"] == 0.15 { Ok(()) } else { Err(session.to_string()) }
    });
    let cut = cable.cut();
    let after = falls(&one, "10.98.0.2", cut).max(falls(&other, "10.98.0.1", cut));
    assert!(after < Duration::from_secs(5), "seen after {after:?}");
    assert_eq!(sessions(&one)[0]["diagnostic"], "control detection time expired");
    cable.mend();
    stands(&one, "10.98.0.2");
    let failures = comes_up(&one)["failures"].clone();
    other.process.signal(Signal::SIGTERM);
    wait_for("the other side to say that it is stopping", || {
        let session = sessions(&one)[0].clone();
        if session["state"] == "down" { Ok(()) } else { Err(session.to_string()) }
    });
    assert_eq!(sessions(&one)[0]["failures"], failures, "a stop is no failure of the path (RFC 5882 §3.2)");
}

#[test]
fn bird_and_anyhop_watch_a_path_over_one_hop() {
    bird_watches("bird_and_anyhop_watch_a_path_over_one_hop", "direct", false);
}

#[test]
fn bird_and_anyhop_watch_a_path_over_several_hops() {
    bird_watches("bird_and_anyhop_watch_a_path_over_several_hops", "multihop 3", true);
}

fn bird_watches(test: &str, how: &str, multihop: bool) {
    let Some(mut lab) = lab(test) else { return };
    let cable = Cable::new(&mut lab);
    let config = format!(
        "router id 10.98.0.2;\nprotocol device {{}}\n\
         protocol bfd bfd1 {{ interface \"*\" {{ interval 50 ms; multiplier 3; }}; multihop {{ interval 50 ms; multiplier 3; }}; }}\n\
         protocol bgp p1 {{ local 10.98.0.2 as 65002; neighbor 10.98.0.1 as 65001; {how}; bfd on;\n\
         error wait time 1, 2; connect retry time 1; connect delay time 1;\nipv4 {{ import all; export none; }}; }}"
    );
    let bird = Bird::start(&cable.theirs, &config);
    let keys = if multihop { "asn = 65002\nmultihop = 3" } else { "asn = 65002" };
    let anyhop = Anyhop::start(&cable.ours, &ours(65001, "10.98.0.2", &format!("{keys}\n{FAST}")));
    stands(&anyhop, "10.98.0.2");
    assert_eq!(comes_up(&anyhop)["multihop"], multihop);
    wait_for("BIRD's session", || {
        let said = bird.ask("show bfd sessions");
        if said.contains("Up") { Ok(()) } else { Err(said) }
    });
    never("a flap", Duration::from_secs(2), || {
        let session = sessions(&anyhop)[0].clone();
        (session["state"] != "up").then(|| session.to_string())
    });
    let after = falls(&anyhop, "10.98.0.2", cable.cut());
    assert!(after < Duration::from_secs(5), "seen after {after:?}");
    cable.mend();
    stands(&anyhop, "10.98.0.2");
    let failures = comes_up(&anyhop)["failures"].clone();
    // BIRD takes its own side down, and BGP goes on.
    let _ = bird.ask("disable bfd1");
    wait_for("BIRD's side to go", || {
        let session = sessions(&anyhop)[0].clone();
        if session["state"] == "down" { Ok(()) } else { Err(session.to_string()) }
    });
    if sessions(&anyhop)[0]["remote_state"] == "admin-down" {
        assert_eq!(sessions(&anyhop)[0]["failures"], failures);
    }
}

#[test]
fn frr_and_anyhop_watch_a_path_and_frr_gets_its_echoes_back() {
    let Some(mut lab) = lab("frr_and_anyhop_watch_a_path") else { return };
    let cable = Cable::new(&mut lab);
    let bfd = "bfd\n profile fast\n  detect-multiplier 3\n  transmit-interval 50\n  receive-interval 50\n  echo-mode\n  \
               echo transmit-interval 50\n exit\nexit\n";
    let bgp = "router bgp 65002\n bgp router-id 10.98.0.2\n no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n \
               neighbor 10.98.0.1 remote-as 65001\n neighbor 10.98.0.1 bfd profile fast\n address-family ipv4 unicast\n  \
               neighbor 10.98.0.1 activate\n exit-address-family\nexit\n";
    // FRR addresses its echo packets to itself: our kernel sends them back.
    cable.ours.forward();
    let frr = Frr::start_with_bfd(&cable.theirs, bgp, bfd);
    let anyhop = Anyhop::start(&cable.ours, &ours(65001, "10.98.0.2", &format!("asn = 65002\n{FAST}")));
    stands(&anyhop, "10.98.0.2");
    comes_up(&anyhop);
    wait_for("bfdd's sessions, and its echo packets back", || {
        let said = frr.ask("show bfd peers counters");
        let echoes: Vec<u64> = said
            .lines()
            .filter(|line| line.contains("Echo packet input"))
            .filter_map(|line| line.split(':').nth(1)?.trim().split(' ').next()?.parse().ok())
            .collect();
        if echoes.iter().any(|count| *count > 5) {
            Ok(())
        } else {
            Err(format!("{said}\n{}", frr.ask("show bfd peers")))
        }
    });
    never("a flap", Duration::from_secs(2), || {
        let session = sessions(&anyhop)[0].clone();
        (session["state"] != "up").then(|| session.to_string())
    });
    let cut = cable.cut();
    let after = falls(&anyhop, "10.98.0.2", cut);
    assert!(after < Duration::from_secs(5), "seen after {after:?}");
    wait_for("FRR's BGP to fall by BFD", || {
        let said = frr.ask("show bgp neighbors 10.98.0.1");
        if said.contains("Cease/BFD Down") { Ok(()) } else { Err(said) }
    });
    cable.mend();
    stands(&anyhop, "10.98.0.2");
    let failures = comes_up(&anyhop)["failures"].clone();
    // FRR's operator takes the session down: it says so, the path has not failed, and BGP goes on (RFC 5882 §3.2).
    let _ = frr.ask_all(&["configure terminal", "bfd", "profile fast", "shutdown"]);
    wait_for("FRR's side to be down by its operator", || {
        let session = sessions(&anyhop)[0].clone();
        if session["remote_state"] == "admin-down" { Ok(()) } else { Err(session.to_string()) }
    });
    never("a failure", Duration::from_secs(1), || {
        let session = sessions(&anyhop)[0].clone();
        let view = neighbor(&anyhop, "10.98.0.2");
        (session["failures"] != failures || view["state"] != "established").then(|| format!("{session}\n{view}"))
    });
    let _ = frr.ask_all(&["configure terminal", "bfd", "profile fast", "no shutdown"]);
    assert_eq!(comes_up(&anyhop)["failures"], failures);
}

#[test]
fn one_session_serves_bgp_ospf_and_a_static_route_and_takes_all_of_them_down() {
    let Some(mut lab) = lab("one_session_serves_bgp_ospf_and_a_static_route") else { return };
    let cable = Cable::new(&mut lab);
    let config = |n: u8| {
        let other = 3 - n;
        let statics = format!("[[static]]\nprefix = \"198.51.100.0/24\"\nvia = \"10.98.0.{other}\"\n{FAST}\n");
        let ospf = format!(
            "[ospf]\n[[ospf.area]]\nid = 0\n[[ospf.interface]]\nname = \"e0\"\narea = 0\nversions = [\"v2\"]\n\
             network = \"point-to-point\"\n{FAST}\n"
        );
        let peer = format!("10.98.0.{other}");
        ours(65000 + u32::from(n), &peer, &format!("asn = 6500{other}\n{FAST}\n{statics}{ospf}"))
    };
    let one = Anyhop::start(&cable.ours, &config(1));
    let _other = Anyhop::start(&cable.theirs, &config(2));
    stands(&one, "10.98.0.2");
    let adjacent = || one.ask(&["show", "ospf", "neighbors"])["neighbors"][0]["state"] == "full";
    let leads = || {
        let found = one.client(&["lookup", "198.51.100.1"]);
        String::from_utf8_lossy(&found.stdout).contains("10.98.0.2")
    };
    wait_for("one session for three, the adjacency, and the route", || {
        let all = sessions(&one);
        let right = matches!(&all[..], [one] if one["state"] == "up" && one["clients"] == 3);
        if right && adjacent() && leads() { Ok(()) } else { Err(format!("{all:?}")) }
    });
    let cut = cable.cut();
    let after = falls(&one, "10.98.0.2", cut);
    wait_for(
        "the adjacency and the route to go",
        || {
            if adjacent() || leads() { Err("there".to_owned()) } else { Ok(()) }
        },
    );
    // Long before the dead interval of 40 s and the hold time of 90 s.
    assert!(after < Duration::from_secs(5) && cut.elapsed() < Duration::from_secs(10), "seen after {after:?}");
    cable.mend();
    stands(&one, "10.98.0.2");
    wait_for("all to be whole again", || if adjacent() && leads() { Ok(()) } else { Err(String::new()) });
}

#[test]
fn fifty_milliseconds_times_three_do_not_flap_while_every_core_is_loaded() {
    let Some(mut lab) = lab("fifty_milliseconds_times_three_do_not_flap") else { return };
    let cable = Cable::new(&mut lab);
    let one = Anyhop::start(&cable.ours, &ours(65001, "2001:db8:98::2", &format!("asn = 65002\n{FAST}")));
    let _other = Anyhop::start(&cable.theirs, &ours(65002, "2001:db8:98::1", &format!("asn = 65001\n{FAST}")));
    stands(&one, "2001:db8:98::2");
    comes_up(&one);
    let seconds = if std::env::var_os("ANYHOP_FULL").is_some() { 60 } else { 8 };
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut load: Vec<_> = (0..cores * 2)
        .map(|n| {
            let script = format!("end=$(($(date +%s)+{seconds})); while [ $(date +%s) -lt $end ]; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done");
            cable.middle.spawn(&format!("load{n}"), cable.middle.command("sh").args(["-c", &script]))
        })
        .collect();
    std::thread::sleep(Duration::from_secs(seconds));
    for process in &mut load {
        process.wait(Duration::from_secs(20));
    }
    let session = sessions(&one)[0].clone();
    assert_eq!((session["state"].as_str(), session["failures"].as_u64()), (Some("up"), Some(0)), "{session}");
    assert!(session["packets_in"].as_u64() > Some(seconds * 15), "{session}");
}

#[test]
fn a_static_route_leaves_a_gateway_whose_path_is_cut_and_comes_back_to_it() {
    let Some(mut lab) = lab("a_static_route_leaves_a_gateway") else { return };
    let cable = Cable::new(&mut lab);
    let other = lab.node("other");
    lab.link((&cable.ours, "e1", "10.97.0.1/24"), (&other, "e0", "10.97.0.2/24"));
    let bird = "router id 10.98.0.2;\nprotocol device {}\n\
                protocol bfd { interface \"*\" { interval 50 ms; multiplier 3; }; neighbor 10.98.0.1; }\n";
    let bird = Bird::start(&cable.theirs, bird);
    // The other gateway knows no BFD, which says nothing about it.
    let bfd = "bfd = { interval = \"50ms\", multiplier = 3 }";
    let anyhop = Anyhop::start(
        &cable.ours,
        &format!(
            "[node]\nasn = 65001\nrouter_id = \"10.98.0.1\"\n[[static]]\nprefix = \"198.51.100.0/24\"\n\
             via = [\"10.98.0.2\", \"10.97.0.2\"]\n{bfd}\n[[static]]\nprefix = \"203.0.113.0/24\"\nvia = \"10.98.0.2\"\n{bfd}\n"
        ),
    );
    let up = |session: &Value| session["state"] == "up" && session["address"].to_string().contains("10.98.0.2");
    let leads = |both: bool| {
        wait_for("the RIB to follow the path", || {
            let lookup = |address: &str| format!("{:?}", anyhop.client(&["lookup", address]));
            let (shared, alone) = (lookup("198.51.100.1"), lookup("203.0.113.1"));
            let right = shared.contains("10.97.0.2")
                && shared.contains("10.98.0.2") == both
                && alone.contains("10.98.0.2") == both;
            if right { Ok(()) } else { Err(format!("{shared}\n{alone}")) }
        });
    };
    wait_for("BIRD's session to come up", || {
        let all = sessions(&anyhop);
        if all.iter().any(up) { Ok(()) } else { Err(format!("{all:?}\n{}", bird.ask("show bfd sessions"))) }
    });
    leads(true);
    let failures = sessions(&anyhop).iter().filter(|session| up(session)).count();
    assert_eq!((sessions(&anyhop).len(), failures), (2, 1));
    cable.cut();
    leads(false);
    cable.mend();
    leads(true);
}
