//! A graceful restart of our own (RFC 3623, RFC 5187) between BIRD and FRR: packets go on through our kernel, and no route of
//! anybody's leaves, though the daemon is away for longer than the dead interval; and if it dies without a word.

use std::time::Duration;

use anyhop_tests::lab::net::Node;
use anyhop_tests::lab::wait::never;
use anyhop_tests::lab::{Anyhop, Bird, Frr, Lab, lab, wait_for};
use nix::sys::signal::Signal;

/// BIRD (203.0.113.1) - we - FRR (203.0.113.2).
struct Line {
    left: Node,
    ours: Node,
    right: Node,
    _lab: Lab,
}

fn line(name: &str) -> Option<Line> {
    let mut lab = lab(name)?;
    let (left, ours, right) = (lab.node("left"), lab.node("anyhop"), lab.node("right"));
    lab.link((&left, "e0", "10.95.1.1/24 2001:db8:95:1::1/64"), (&ours, "e0", "10.95.1.2/24 2001:db8:95:1::2/64"));
    lab.link((&ours, "e1", "10.95.2.2/24 2001:db8:95:2::2/64"), (&right, "e0", "10.95.2.3/24 2001:db8:95:2::3/64"));
    ours.forward();
    for (node, number) in [(&left, 1), (&right, 2)] {
        node.ip(&format!("addr add 203.0.113.{number}/32 dev lo"));
        node.ip(&format!("addr add 2001:db8:113::{number}/128 dev lo"));
    }
    Some(Line { left, ours, right, _lab: lab })
}

fn bird() -> &'static str {
    "router id 10.95.0.1;\nprotocol device { scan time 1; }\n\
     protocol kernel k4 { ipv4 { export all; }; }\nprotocol kernel k6 { ipv6 { export all; }; }\n\
     protocol ospf v2 o2 { graceful restart aware; ipv4 { import all; export none; }; \
     area 0 { interface \"e0\" { type ptp; hello 1; dead 4; }; stubnet 203.0.113.1/32; }; }\n\
     protocol ospf v3 o3 { graceful restart aware; ipv6 { import all; export none; }; \
     area 0 { interface \"e0\" { type ptp; hello 1; dead 4; }; stubnet 2001:db8:113::1/128; }; }\n"
}

fn frr(node: &Node) -> Frr {
    let v2 = "interface e0\n ip ospf area 0\n ip ospf network point-to-point\n ip ospf hello-interval 1\n ip ospf dead-interval 4\nexit\n\
              interface lo\n ip ospf area 0\nexit\nrouter ospf\n ospf router-id 10.95.0.3\n capability opaque\n graceful-restart helper enable\nexit\n";
    let v3 = "interface e0\n ipv6 ospf6 area 0\n ipv6 ospf6 network point-to-point\n ipv6 ospf6 hello-interval 1\n ipv6 ospf6 dead-interval 4\n\
              exit\ninterface lo\n ipv6 ospf6 area 0\nexit\nrouter ospf6\n ospf6 router-id 10.95.0.3\n graceful-restart helper enable\nexit\n";
    Frr::start_with_ospf(node, "", v2, v3)
}

fn ours(line: &Line) -> String {
    let interface = |name: &str| {
        format!(
            "[[ospf.interface]]\nname = \"{name}\"\narea = 0\nnetwork = \"point-to-point\"\nhello_interval = \"1s\"\n"
        )
    };
    format!(
        "[node]\nasn = 65001\nrouter_id = \"10.95.0.2\"\nstate_dir = \"{}\"\n[fib.kernel]\non_exit = \"keep\"\n\
         [ospf]\ngraceful_restart = {{ enabled = true, grace_period = \"60s\" }}\n[[ospf.area]]\nid = 0\n{}{}",
        line.ours.path("state").display(),
        interface("e0"),
        interface("e1")
    )
}

/// Every route that must be there in every kernel.
fn missing(line: &Line) -> Option<String> {
    let wanted = [
        (&line.left, "-4", "203.0.113.2"),
        (&line.left, "-6", "2001:db8:113::2"),
        (&line.ours, "-4", "203.0.113.1"),
        (&line.ours, "-6", "2001:db8:113::1"),
        (&line.ours, "-4", "203.0.113.2"),
        (&line.ours, "-6", "2001:db8:113::2"),
        (&line.right, "-4", "203.0.113.1"),
        (&line.right, "-6", "2001:db8:113::1"),
    ];
    wanted.into_iter().find_map(|(node, family, prefix)| {
        let routes = node.ip(&format!("{family} route show {prefix}"));
        routes.is_empty().then(|| format!("{prefix} at {}", node.dir().display()))
    })
}

fn restarts(name: &str, end: impl Fn(&mut Anyhop), away: Duration) {
    let Some(line) = line(name) else { return };
    let _bird = Bird::start(&line.left, bird());
    let frr = frr(&line.right);
    let config = ours(&line);
    let mut anyhop = Anyhop::start(&line.ours, &config);
    wait_for("every route", || missing(&line).map_or(Ok(()), Err));
    // What a restart must not change for others has come to rest.
    std::thread::sleep(Duration::from_secs(6));
    let mut pings = Vec::new();
    for (family, to) in [("-4", "203.0.113.2"), ("-6", "2001:db8:113::2")] {
        let from = if family == "-4" { "203.0.113.1" } else { "2001:db8:113::1" };
        let mut command = line.left.command("ping");
        command.args([family, "-q", "-i", "0.05", "-I", from, to]);
        pings.push(line.left.spawn(&format!("ping{family}"), &mut command));
    }
    end(&mut anyhop);
    let helping = |what: &str| frr.ask(what);
    never("a route left while we are away", away, || missing(&line));
    let again = Anyhop::start_named(&line.ours, "again", &config);
    wait_for("the end of the restart", || {
        if let Some(lost) = missing(&line) {
            panic!(
                "{lost} left\n{}\n{}\n{}",
                again.process.log(),
                helping("show ip ospf graceful-restart helper detail"),
                helping("show ipv6 ospf6 graceful-restart helper detail")
            );
        }
        let log = again.process.log();
        match log.matches("RestartEnded").count() {
            2 => Ok(()),
            _ => Err(log),
        }
    });
    let log = again.process.log();
    assert_eq!(log.matches("all adjacencies are back").count(), 2, "{log}");
    never("a route left after we were back", Duration::from_secs(8), || missing(&line));
    let neighbors = again.ask(&["show", "ospf", "neighbors"]);
    let full = neighbors["neighbors"].as_array().into_iter().flatten().filter(|one| one["state"] == "full").count();
    assert_eq!(full, 4, "{neighbors}");
    for mut ping in pings {
        ping.signal(Signal::SIGINT);
        ping.wait(Duration::from_secs(5));
        let said = ping.log();
        assert!(said.contains(" 0% packet loss"), "{said}");
    }
}

#[test]
fn a_planned_restart_of_ours_loses_no_packet_between_bird_and_frr() {
    // Longer than their dead interval of 4 s.
    restarts(
        "a_planned_restart_of_ours",
        |anyhop| {
            anyhop.process.signal(Signal::SIGTERM);
            anyhop.process.wait(Duration::from_secs(10));
        },
        Duration::from_secs(8),
    );
}

#[test]
fn who_is_killed_and_back_at_once_loses_no_packet_between_bird_and_frr() {
    restarts("who_is_killed_and_back_at_once", |anyhop| anyhop.process.kill(), Duration::from_millis(500));
}
