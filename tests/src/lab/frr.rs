//! FRR: zebra and bgpd with sockets of their own, and their tables.

use std::path::Path;

use serde_json::Value;

use super::net::Node;
use super::process::{Process, try_run};
use super::route::{PeerRoute, Table};
use super::wait::wait_for;

/// Where Debian keeps FRR's daemons.
const DAEMONS: &str = "/usr/lib/frr";

/// A running FRR: zebra and bgpd.
#[derive(Debug)]
pub struct Frr {
    node: Node,
    /// bgpd, which uses zebra and so goes first.
    pub bgpd: Process,
    /// bfdd, if it was asked for.
    pub bfdd: Option<Process>,
    /// ospfd and ospf6d, if they were asked for.
    pub ospf: Vec<Process>,
    /// zebra.
    pub zebra: Process,
}

/// Starts one of FRR's daemons.
fn daemon(node: &Node, name: &str, path: &Path, more: &[&str]) -> Process {
    let mut command = node.command(format!("{DAEMONS}/{name}"));
    command.arg("-f").arg(path).arg("-i").arg(node.path(&format!("{name}.pid")));
    command.arg("-z").arg(node.path("zserv.api")).arg("--vty_socket").arg(node.dir());
    command.args(["-u", "frr", "-g", "frr", "-P", "0", "--log", "stdout"]).args(more);
    node.spawn(name, &mut command)
}

impl Frr {
    /// Starts zebra and bgpd, bgpd with `config`, and waits until bgpd answers.
    pub fn start(node: &Node, config: &str) -> Self {
        Self::launch(node, config, None)
    }

    /// The same, and bfdd with `bfd`.
    pub fn start_with_bfd(node: &Node, config: &str, bfd: &str) -> Self {
        Self::launch(node, config, Some(bfd))
    }

    /// Starts zebra, bfdd with `bfd`, ospfd with `v2` and ospf6d with `v3`, and a bgpd that does nothing.
    pub fn start_with_ospf(node: &Node, bfd: &str, v2: &str, v3: &str) -> Self {
        let mut frr = Self::launch(node, "", Some(bfd));
        for (name, config) in [("ospfd", v2), ("ospf6d", v3)] {
            let path = node.write(&format!("{name}.conf"), config);
            frr.ospf.push(daemon(node, name, &path, &[]));
        }
        frr
    }

    fn launch(node: &Node, config: &str, bfd: Option<&str>) -> Self {
        let path = node.write("frr.conf", config);
        let empty = node.write("zebra.conf", "");
        let daemon = |name: &str, path: &Path, more: &[&str]| daemon(node, name, path, more);
        // FRR gives its privileges up and must still write its sockets.
        node.open_to_all();
        let zebra = daemon("zebra", &empty, &[]);
        wait_for("zebra's socket", || node.path("zserv.api").exists().then_some(()).ok_or("not there".to_owned()));
        let control = node.path("bfdd.sock").display().to_string();
        let bfdd = bfd.map(|bfd| daemon("bfdd", &node.write("bfdd.conf", bfd), &["--bfdctl", &control]));
        let bgpd = daemon("bgpd", &path, &[]);
        let frr = Self { node: node.clone(), bgpd, bfdd, ospf: Vec::new(), zebra };
        wait_for("bgpd to answer", || {
            let said = frr.try_ask("show bgp summary json")?;
            if said.contains("% ") { Err(said) } else { Ok(()) }
        });
        frr
    }

    /// Asks `vtysh`.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, command: &str) -> String {
        self.try_ask(command).unwrap_or_else(|why| panic!("{why}"))
    }

    fn try_ask(&self, command: &str) -> Result<String, String> {
        try_run(self.node.command("vtysh").arg("--vty_socket").arg(self.node.dir()).args(["-c", command]))
    }

    /// Gives `vtysh` several commands in one run, as for a change of configuration.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    #[must_use]
    pub fn ask_all(&self, commands: &[&str]) -> String {
        let mut vtysh = self.node.command("vtysh");
        vtysh.arg("--vty_socket").arg(self.node.dir()).args(commands.iter().flat_map(|command| ["-c", command]));
        try_run(&mut vtysh).unwrap_or_else(|why| panic!("{why}"))
    }

    fn json(&self, command: &str) -> Value {
        serde_json::from_str(&self.ask(command)).unwrap_or(Value::Null)
    }

    /// True if the session with `neighbor` stands.
    #[must_use]
    pub fn is_established(&self, neighbor: &str) -> bool {
        let view = self.json(&format!("show bgp neighbors {neighbor} json"));
        view[neighbor]["bgpState"] == "Established"
    }

    /// How often the session with `neighbor` was established and lost.
    #[must_use]
    pub fn transitions(&self, neighbor: &str) -> (u64, u64) {
        let view = self.json(&format!("show bgp neighbors {neighbor} json"));
        let count = |key: &str| view[neighbor][key].as_u64().unwrap_or(0);
        (count("connectionsEstablished"), count("connectionsDropped"))
    }

    /// bgpd's own table of one family: `ipv4` or `ipv6`; only what was learned.
    #[must_use]
    pub fn learned(&self, family: &str) -> Table {
        let view = self.json(&format!("show bgp {family} unicast json detail"));
        let mut table = Table::new();
        for (prefix, paths) in view["routes"].as_object().into_iter().flatten() {
            let Ok(prefix) = prefix.parse() else { continue };
            // A list: something about the prefix first, then its paths.
            let learned = |path: &&Value| path["nexthops"].is_array() && path["sourced"] != Value::Bool(true);
            let paths = paths.as_array();
            let Some(path) = paths.into_iter().flatten().find(learned) else { continue };
            let hop = path["nexthops"].as_array().into_iter().flatten().find(|hop| hop["scope"] != "link-local");
            let Some(hop) = hop.and_then(|hop| hop["ip"].as_str()) else { continue };
            let as_path: Vec<u32> = path["aspath"]["string"]
                .as_str()
                .unwrap_or_default()
                .split_whitespace()
                .filter_map(|asn| asn.parse().ok())
                .collect();
            let mut route = PeerRoute::new(&path["origin"].as_str().unwrap_or_default().to_lowercase(), &as_path, hop);
            route.med = path["metric"].as_u64().and_then(|med| u32::try_from(med).ok()).filter(|med| *med > 0);
            route = route.communities(path["community"]["string"].as_str().unwrap_or_default());
            route = route.large_communities(path["largeCommunity"]["string"].as_str().unwrap_or_default());
            table.insert(prefix, route);
        }
        table
    }
}
