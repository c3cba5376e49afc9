//! GoBGP: its daemon with the API on the node's own loopback, and its table.

use serde_json::Value;

use super::net::Node;
use super::process::{Process, try_run};
use super::route::{PeerRoute, Table};
use super::wait::wait_for;

/// A running GoBGP.
#[derive(Debug)]
pub struct GoBgp {
    node: Node,
    /// The daemon.
    pub process: Process,
}

impl GoBgp {
    /// Starts GoBGP with a TOML configuration and waits until it answers.
    pub fn start(node: &Node, config: &str) -> Self {
        let path = node.write("gobgpd.toml", config);
        let mut command = node.command("gobgpd");
        command.arg("-f").arg(path).args(["-t", "toml", "--pprof-disable"]);
        let gobgp = Self { node: node.clone(), process: node.spawn("gobgpd", &mut command) };
        wait_for("gobgpd to answer", || gobgp.try_ask("global"));
        gobgp
    }

    /// Asks `gobgp`.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, command: &str) -> String {
        self.try_ask(command).unwrap_or_else(|why| panic!("{why}"))
    }

    fn try_ask(&self, command: &str) -> Result<String, String> {
        try_run(self.node.command("gobgp").args(command.split_whitespace()))
    }

    /// Runs `gobgp ARGUMENTS` for each line of arguments, several at a time.
    ///
    /// # Panics
    /// If one of them fails.
    pub fn ask_many(&self, lines: &[String]) {
        let list = self.node.write("gobgp.lines", &lines.join("\n"));
        self.node.sh(&format!("xargs -P 4 -I{{}} sh -c 'gobgp {{}}' < {}", list.display()));
    }

    /// True if the session with `neighbor` stands.
    #[must_use]
    pub fn is_established(&self, neighbor: &str) -> bool {
        self.ask(&format!("neighbor {neighbor}")).to_lowercase().contains("bgp state = established")
    }

    /// What `neighbor` said, by GoBGP's own Adj-RIB-In; `family` is `ipv4` or `ipv6`.
    #[must_use]
    pub fn learned(&self, neighbor: &str, family: &str) -> Table {
        let said = self.ask(&format!("-j neighbor {neighbor} adj-in -a {family}"));
        let view: Value = serde_json::from_str(&said).unwrap_or(Value::Null);
        let mut table = Table::new();
        for (prefix, paths) in view.as_object().into_iter().flatten() {
            let Ok(prefix) = prefix.parse() else { continue };
            let Some(path) = paths.as_array().and_then(|paths| paths.first()) else { continue };
            table.insert(prefix, route(path));
        }
        table
    }
}

/// Path attributes by type code, as GoBGP prints them.
fn route(path: &Value) -> PeerRoute {
    let mut route = PeerRoute::new("", &[], "0.0.0.0");
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    for attribute in path["attrs"].as_array().into_iter().flatten() {
        let value = &attribute["value"];
        match attribute["type"].as_u64() {
            Some(1) => {
                let names = ["igp", "egp", "incomplete"];
                let name = value.as_u64().and_then(|value| names.get(usize::try_from(value).ok()?));
                route.origin = name.map_or_else(String::new, |name| (*name).to_owned());
            }
            Some(2) => {
                let segments = attribute["as_paths"].as_array().into_iter().flatten();
                route.as_path =
                    segments.flat_map(|segment| segment["asns"].as_array().into_iter().flatten()).map(number).collect();
            }
            Some(3 | 14) => {
                if let Some(hop) = attribute["nexthop"].as_str().and_then(|hop| hop.parse().ok()) {
                    route.next_hop = hop;
                }
            }
            Some(4) => route.med = Some(number(&attribute["metric"])).filter(|med| *med > 0),
            Some(8) => {
                let one = |value: &Value| format!("{}:{}", number(value) >> 16, number(value) & 0xFFFF);
                route.communities = attribute["communities"].as_array().into_iter().flatten().map(one).collect();
            }
            Some(32) => {
                let one = |value: &Value| {
                    let part = |keys: [&str; 2]| {
                        number(
                            keys.iter().map(|key| &value[*key]).find(|found| !found.is_null()).unwrap_or(&Value::Null),
                        )
                    };
                    format!(
                        "{}:{}:{}",
                        part(["ASN", "asn"]),
                        part(["LocalData1", "local_data1"]),
                        part(["LocalData2", "local_data2"])
                    )
                };
                route.large_communities = value.as_array().into_iter().flatten().map(one).collect();
            }
            _ => {}
        }
    }
    route
}
