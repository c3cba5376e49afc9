//! BIRD 2: its daemon with a control socket of its own, and its table.

use std::time::Duration;

use super::net::Node;
use super::process::{Process, try_run};
use super::route::{PeerRoute, Table};
use super::wait::wait_for;

/// A running BIRD.
#[derive(Debug)]
pub struct Bird {
    node: Node,
    /// The daemon.
    pub process: Process,
}

impl Bird {
    /// Starts BIRD with `config` and waits until it answers.
    pub fn start(node: &Node, config: &str) -> Self {
        let path = node.write("bird.conf", config);
        let mut command = node.command("bird");
        command.arg("-f").arg("-c").arg(path).arg("-s").arg(node.path("bird.ctl")).arg("-P").arg(node.path("bird.pid"));
        let bird = Self { node: node.clone(), process: node.spawn("bird", &mut command) };
        wait_for("bird to answer", || bird.try_ask("show status"));
        bird
    }

    /// Asks `birdc`.
    ///
    /// # Panics
    /// If BIRD refuses.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, command: &str) -> String {
        self.try_ask(command).unwrap_or_else(|why| panic!("{why}"))
    }

    fn try_ask(&self, command: &str) -> Result<String, String> {
        let socket = self.node.path("bird.ctl");
        try_run(self.node.command("birdc").arg("-s").arg(socket).args(command.split_whitespace()))
    }

    /// True if the protocol's session stands.
    #[must_use]
    pub fn is_established(&self, protocol: &str) -> bool {
        self.ask(&format!("show protocols {protocol}")).contains("Established")
    }

    /// How often the session of the protocol went up, by the log of state changes.
    #[must_use]
    pub fn protocol(&self, protocol: &str) -> String {
        self.ask(&format!("show protocols all {protocol}"))
    }

    /// The time of day at which the protocol came into its state. BIRD computes it anew for each answer from two clocks,
    /// so that it wavers by a millisecond.
    ///
    /// # Panics
    /// If BIRD shows none.
    #[track_caller]
    #[must_use]
    pub fn since(&self, protocol: &str) -> Duration {
        let said = self.ask(&format!("show protocols {protocol}"));
        let line = said.lines().find(|line| line.split_whitespace().next() == Some(protocol));
        let time = line.and_then(|line| line.split_whitespace().nth(4)).and_then(time_of_day);
        time.unwrap_or_else(|| panic!("no time of {protocol} in {said}"))
    }

    /// What was learned through a protocol, in BIRD's own table.
    #[must_use]
    pub fn learned(&self, protocol: &str) -> Table {
        parse(&self.ask(&format!("show route all protocol {protocol}")))
    }
}

/// `22:22:22.754` since midnight.
fn time_of_day(text: &str) -> Option<Duration> {
    let mut parts = text.split(':');
    let (hours, minutes) = (parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?);
    let seconds = Duration::try_from_secs_f64(parts.next()?.parse().ok()?).ok()?;
    Some(Duration::from_secs(60) * (hours * 60 + minutes) + seconds)
}

fn parse(text: &str) -> Table {
    let mut table = Table::new();
    let mut current = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(first) = words.first() else { continue };
        if !line.starts_with(char::is_whitespace) {
            // "192.0.2.0/24  unicast [any 12:00:00.000] * (100) [AS64512i]"; a second route of a prefix begins with blanks.
            current = first.parse().ok();
            if let Some(prefix) = current {
                table.insert(prefix, PeerRoute::new("", &[], "0.0.0.0"));
            }
            continue;
        }
        let Some(route) = current.and_then(|prefix| table.get_mut(&prefix)) else { continue };
        let rest = words.get(1..).unwrap_or_default();
        match *first {
            "BGP.origin:" => route.origin = rest.join(" ").to_lowercase(),
            "BGP.as_path:" => route.as_path = rest.iter().filter_map(|asn| asn.parse().ok()).collect(),
            // IPv6: the global address, then the link-local one.
            "BGP.next_hop:" => route.next_hop = rest.first().and_then(|hop| hop.parse().ok()).unwrap_or(route.next_hop),
            "BGP.med:" => route.med = rest.first().and_then(|med| med.parse().ok()).filter(|med| *med > 0),
            "BGP.community:" => route.communities = tuples(&rest.join(" ")).collect(),
            "BGP.large_community:" => route.large_communities = tuples(&rest.join(" ")).collect(),
            _ => {}
        }
    }
    table
}

/// `(64512,53) (64512, 1, 2)` as `64512:53`, `64512:1:2`.
fn tuples(text: &str) -> impl Iterator<Item = String> + '_ {
    let tuple = |part: &str| part.split(',').map(str::trim).collect::<Vec<_>>().join(":");
    text.split(['(', ')']).filter(|part| part.contains(',')).map(tuple)
}
