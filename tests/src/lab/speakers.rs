//! BGP speakers of several ASes on one link with ours, and what they learn: for tests of one feature after the other.

use std::fmt::Write as _;

use serde_json::Value;

use super::net::{Lab, Node};
use super::{Anyhop, Bird, wait_for};

/// Two hosts on one link: ours in AS 65001; the other is BGP speakers 2, 3 and 4, each 10.99.N.2 in a network of its own where
/// we are 10.99.N.1: to BIRD a neighbor's address is one session's.
pub fn pair(lab: &mut Lab) -> (Node, Node) {
    let (ours, theirs) = (lab.node("anyhop"), lab.node("peer"));
    let addresses = |host: u8| [2, 3, 4].map(|n| format!("10.99.{n}.{host}/24")).join(" ");
    lab.link((&ours, "e0", &addresses(1)), (&theirs, "e0", &addresses(2)));
    (ours, theirs)
}

/// A BGP speaker of BIRD's with a table of its own.
#[derive(Clone, Copy, Debug)]
pub struct Speaker<'a> {
    /// 10.99.N.2.
    pub n: u8,
    /// Its AS.
    pub asn: u32,
    /// Options of the session.
    pub session: &'a str,
    /// Options of the channel.
    pub channel: &'a str,
    /// Static routes: `PREFIX blackhole …`.
    pub routes: &'a [&'a str],
}

/// A speaker without options or routes of its own.
pub const PLAIN: Speaker<'_> = Speaker { n: 2, asn: 65002, session: "", channel: "", routes: &[] };

/// BIRD's configuration with these speakers, each with a table tN and protocols pN and sN of its own.
#[must_use]
pub fn bird(speakers: &[Speaker<'_>]) -> String {
    let mut config = String::from("router id 10.99.2.2;\nprotocol device {}\n");
    for Speaker { n, asn, session, channel, routes } in speakers {
        let routes: String = routes.iter().map(|route| format!("route {route};\n")).collect();
        writeln!(
            config,
            "ipv4 table t{n};\nprotocol static s{n} {{ ipv4 {{ table t{n}; }};\n{routes}}}\n\
             protocol bgp p{n} {{ local 10.99.{n}.2 as {asn}; neighbor 10.99.{n}.1 as 65001; router id 10.99.{n}.2; {session}\n\
             ipv4 {{ table t{n}; import all; export where source = RTS_STATIC; {channel} }}; }}"
        )
        .expect("a string takes it");
    }
    config
}

/// anyhop in AS 65001 with these tables beside `[node]`, and `[[neighbor]]`s that accept and announce all.
#[must_use]
pub fn ours(rest: &str, neighbors: &[(&str, &str)]) -> String {
    let mut config = format!(
        "[node]\nasn = 65001\nrouter_id = \"10.99.0.1\"\n[fib]\nbackends = []\n{rest}\n[[neighbor_group]]\nname = \"all\"\n\
         import = \"accept\"\nexport = \"accept\"\n"
    );
    for (address, keys) in neighbors {
        writeln!(config, "[[neighbor]]\naddress = \"{address}\"\ngroup = \"all\"\n{keys}").expect("a string takes it");
    }
    config
}

/// What BIRD's speaker N learned of a prefix, waiting until it says all of `words`.
#[track_caller]
pub fn bird_learns(bird: &Bird, n: u8, prefix: &str, words: &[&str]) -> String {
    wait_for(&format!("p{n} to learn {prefix} with {words:?}"), || {
        let table = bird.ask(&format!("show route all table t{n} protocol p{n}"));
        // A prefix begins a line; what is said of it is indented.
        let begin = table.find(&format!("\n{prefix} ")).ok_or_else(|| table.clone())? + 1;
        let said: String = table[begin..]
            .split_inclusive('\n')
            .enumerate()
            .take_while(|(at, line)| *at == 0 || line.starts_with(char::is_whitespace))
            .map(|(_, line)| line)
            .collect();
        match words.iter().find(|word| !said.contains(*word)) {
            None => Ok(said),
            Some(_) => Err(said),
        }
    })
}

/// What we hold of a neighbor before policy.
#[must_use]
pub fn adj_in(anyhop: &Anyhop, neighbor: &str) -> Vec<Value> {
    anyhop.ask(&["show", "adj-in", neighbor])["routes"].as_array().cloned().unwrap_or_default()
}

/// Waits until we hold so many routes of a neighbor.
#[track_caller]
pub fn learns(anyhop: &Anyhop, neighbor: &str, count: usize) -> Vec<Value> {
    wait_for(&format!("anyhop to learn {count} routes from {neighbor}"), || {
        let routes = adj_in(anyhop, neighbor);
        if routes.len() == count { Ok(routes) } else { Err(format!("{routes:?}")) }
    })
}

/// Waits until the session of BIRD's protocol stands.
#[track_caller]
pub fn established(bird: &Bird, protocol: &str) {
    wait_for(&format!("{protocol}'s session"), || {
        if bird.is_established(protocol) { Ok(()) } else { Err(bird.protocol(protocol)) }
    });
}
