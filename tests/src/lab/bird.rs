//! BIRD 2 as a peer.

use std::process::Command;

use super::net::Host;
use super::process::Process;
use super::route::{PeerRoute, PeerTable};

/// A running BIRD.
pub struct Bird {
    host: Host,
    process: Process,
}

impl Bird {
    /// Starts BIRD with this configuration, in the foreground.
    #[must_use]
    pub fn start(host: &Host, config: &str) -> Self {
        let path = host.write("bird.conf", config);
        let mut command = host.command("bird");
        command.args(["-f", "-c"]).arg(path).arg("-s").arg(host.dir().join("bird.ctl"));
        command.arg("-P").arg(host.dir().join("bird.pid"));
        Self { host: host.clone(), process: host.spawn("bird", command) }
    }

    /// The process, for signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What `birdc COMMAND` prints.
    #[must_use]
    pub fn ask(&self, command: &str) -> String {
        let out = Command::new("birdc")
            .arg("-s")
            .arg(self.host.dir().join("bird.ctl"))
            .args(command.split_whitespace())
            .output()
            .expect("birdc runs");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// `Ok` when the protocol's session is established.
    ///
    /// # Errors
    /// The line that BIRD shows.
    pub fn established(&self, protocol: &str) -> Result<(), String> {
        let text = self.ask(&format!("show protocols {protocol}"));
        if text.contains("Established") { Ok(()) } else { Err(text) }
    }

    /// The best routes that `protocol` gave, with their attributes.
    #[must_use]
    pub fn routes(&self, protocol: &str) -> PeerTable {
        parse(&self.ask(&format!("show route all primary protocol {protocol}")))
    }

    /// True if BIRD holds any route for exactly `prefix`.
    #[must_use]
    pub fn has(&self, prefix: &str) -> bool {
        self.ask(&format!("show route {prefix}")).lines().any(|line| line.starts_with(prefix))
    }
}

fn parse(text: &str) -> PeerTable {
    let mut table = PeerTable::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(first) = line.split_whitespace().next() {
            if first.contains('/') && !line.starts_with([' ', '\t']) {
                current = Some(first.to_string());
                table.insert(first.to_string(), PeerRoute::default());
                continue;
            }
        }
        let Some(route) = current.as_ref().and_then(|prefix| table.get_mut(prefix)) else { continue };
        let Some((key, value)) = line.trim().split_once(": ") else { continue };
        match key {
            "BGP.origin" => route.origin = value.to_lowercase(),
            "BGP.as_path" => route.as_path = value.split_whitespace().filter_map(|w| w.parse().ok()).collect(),
            "BGP.next_hop" => route.next_hop = value.split_whitespace().next().unwrap_or("").to_string(),
            "BGP.med" => route.med = value.parse().ok(),
            "BGP.local_pref" => route.local_pref = value.parse().ok(),
            "BGP.community" => route.communities = tuples(value),
            "BGP.large_community" => route.large_communities = tuples(value),
            _ => {}
        }
    }
    table
}

/// `(1,2) (3,4)` and `(1, 2, 3)` as `1:2`, sorted.
fn tuples(value: &str) -> Vec<String> {
    let mut all: Vec<String> = value
        .split(')')
        .map(|part| part.trim().trim_start_matches('(').replace(", ", ":").replace(',', ":"))
        .filter(|part| !part.is_empty())
        .collect();
    all.sort();
    all
}
