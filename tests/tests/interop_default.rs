//! Safe by default: fed large tables by two upstreams, an anycast site exports its VIPs and nothing else.

use std::fmt::Write as _;
use std::time::Duration;

use anyhop_tests::lab::{Anyhop, Bird, Node, eventually, lab, never, wait_for};
use ipnet::IpNet;

const PREFIXES: u32 = 20_000;

/// An upstream in AS 6510`n` on 10.9`n`.0.0/24 that announces [`PREFIXES`] routes of its own.
fn upstream(node: &Node, n: u8) -> Bird {
    let mut config = format!("router id 10.9{n}.0.2;\nprotocol device {{}}\nprotocol static {{ ipv4;\n");
    for index in 0..PREFIXES {
        writeln!(config, "route 20.{}.{}.0/24 blackhole;", index >> 8, index & 0xff).expect("a string takes it");
    }
    write!(
        config,
        "}}\nprotocol bgp up {{ local 10.9{n}.0.2 as 6510{n}; neighbor 10.9{n}.0.1 as 65001; connect retry time 2; \
         connect delay time 1; ipv4 {{ import all; export where source = RTS_STATIC; }}; }}\n"
    )
    .expect("a string takes it");
    Bird::start(node, &config)
}

#[test]
fn a_site_between_two_upstreams_leaks_nothing() {
    let Some(mut lab) = lab("a_site_between_two_upstreams_leaks_nothing") else { return };
    let (ours, one, two) = (lab.node("anyhop"), lab.node("one"), lab.node("two"));
    lab.link((&ours, "e1", "10.91.0.1/24"), (&one, "e0", "10.91.0.2/24"));
    lab.link((&ours, "e2", "10.92.0.1/24"), (&two, "e0", "10.92.0.2/24"));
    let upstreams = [upstream(&one, 1), upstream(&two, 2)];
    let anyhop = Anyhop::start(
        &ours,
        "[node]\nasn = 65001\nrouter_id = \"10.91.0.1\"\n\
         [[neighbor]]\naddress = \"10.91.0.2\"\nasn = 65101\nimport = \"accept\"\n\
         [[neighbor]]\naddress = \"10.92.0.2\"\nasn = 65102\nimport = \"accept\"\n\
         [[service]]\nname = \"dns\"\nvips = [\"192.0.2.53/32\", \"192.0.2.54/32\"]\nbind = \"lo\"\n",
    );
    wait_for("both tables", || {
        let neighbors = anyhop.ask(&["show", "neighbors"]);
        let received = neighbors["neighbors"].as_array().into_iter().flatten().map(|n| n["accepted"].as_u64());
        let full = received.filter(|count| *count == Some(u64::from(PREFIXES))).count();
        if full == 2 { Ok(()) } else { Err(neighbors.to_string()) }
    });
    let vips: Vec<IpNet> = ["192.0.2.53/32", "192.0.2.54/32"].map(|vip| vip.parse().expect("a prefix")).to_vec();
    for bird in &upstreams {
        eventually("an upstream to hold the VIPs", &vips, || bird.learned("up").into_keys().collect());
    }
    never("leaked", Duration::from_secs(2), || {
        upstreams.iter().find_map(|bird| {
            let learned: Vec<IpNet> = bird.learned("up").into_keys().collect();
            (learned != vips).then(|| format!("{learned:?}"))
        })
    });
    let installed = ours.ip("route show proto 179").lines().filter(|line| line.starts_with("20.")).count();
    assert_eq!(installed, PREFIXES as usize, "and all of it forwards");
}
