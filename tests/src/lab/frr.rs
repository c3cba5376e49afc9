//! FRR (zebra and bgpd) as a peer.

use std::process::Command;

use serde_json::Value;

use super::net::Host;
use super::process::Process;
use super::route::{PeerRoute, PeerTable};

/// A running FRR. The processes end with the value.
pub struct Frr {
    host: Host,
    _zebra: Process,
    bgpd: Process,
}

impl Frr {
    /// Starts zebra and bgpd with this bgpd configuration.
    ///
    /// # Panics
    /// When the daemons cannot be started.
    #[must_use]
    pub fn start(host: &Host, config: &str) -> Self {
        host.write("zebra.conf", "");
        host.write("bgpd.conf", config);
        // The daemons give up root for the user `frr` and then open their sockets in this directory.
        let status = Command::new("chown").args(["-R", "frr:frr"]).arg(host.dir()).status().expect("chown runs");
        assert!(status.success(), "chown to frr");
        let zebra = host.spawn("zebra", daemon(host, "zebra"));
        let zserv = host.dir().join("zserv");
        super::eventually("zebra listens", std::time::Duration::from_secs(20), || {
            zserv.exists().then_some(()).ok_or_else(|| zebra.log())
        });
        let bgpd = host.spawn("bgpd", daemon(host, "bgpd"));
        Self { host: host.clone(), _zebra: zebra, bgpd }
    }

    /// The BGP daemon's process.
    pub fn bgpd(&mut self) -> &mut Process {
        &mut self.bgpd
    }

    /// What `vtysh -c COMMAND` prints for each command, in one run.
    #[must_use]
    pub fn ask(&self, commands: &[&str]) -> String {
        let mut vtysh = Command::new("vtysh");
        vtysh.arg("--vty_socket").arg(self.host.dir());
        for command in commands {
            vtysh.args(["-c", command]);
        }
        let out = vtysh.output().expect("vtysh runs");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// `Ok` when the session with `neighbor` is established.
    ///
    /// # Errors
    /// The state that FRR shows.
    pub fn established(&self, neighbor: &str) -> Result<(), String> {
        let text = self.ask(&[&format!("show bgp neighbors {neighbor} json")]);
        let value: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        match value[neighbor]["bgpState"].as_str() {
            Some("Established") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    /// Prefixes in the table of `family` (`ipv4` or `ipv6`) learned from `neighbor`.
    #[must_use]
    pub fn prefixes(&self, family: &str, neighbor: &str) -> Vec<String> {
        let text = self.ask(&[&format!("show bgp {family} unicast json")]);
        let Ok(value) = serde_json::from_str::<Value>(&text) else { return Vec::new() };
        let Some(routes) = value["routes"].as_object() else { return Vec::new() };
        let from = |path: &Value| path["peerId"].as_str() == Some(neighbor);
        routes
            .iter()
            .filter(|(_, paths)| paths.as_array().is_some_and(|paths| paths.iter().any(from)))
            .map(|(prefix, _)| prefix.clone())
            .collect()
    }

    /// The routes for exactly `prefixes`, with all attributes.
    #[must_use]
    pub fn routes(&self, family: &str, prefixes: &[String]) -> PeerTable {
        let mut table = PeerTable::new();
        for some in prefixes.chunks(100) {
            let commands: Vec<String> = some.iter().map(|p| format!("show bgp {family} unicast {p} json")).collect();
            let text = self.ask(&commands.iter().map(String::as_str).collect::<Vec<_>>());
            for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>().flatten() {
                if let Some(prefix) = value["prefix"].as_str() {
                    table.insert(prefix.to_string(), route(&value["paths"][0]));
                }
            }
        }
        table
    }
}

fn daemon(host: &Host, name: &str) -> Command {
    let dir = host.dir();
    let mut command = host.command(format!("/usr/lib/frr/{name}"));
    command.arg("-f").arg(dir.join(format!("{name}.conf")));
    command.arg("-i").arg(dir.join(format!("{name}.pid")));
    command.arg("-z").arg(dir.join("zserv")).arg("--vty_socket").arg(dir);
    command.args(["-P", "0", "--log", "stdout"]);
    command
}

fn route(path: &Value) -> PeerRoute {
    let number = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
    let list = |v: &Value| {
        let mut all: Vec<String> =
            v["list"].as_array().into_iter().flatten().filter_map(|c| c.as_str().map(str::to_string)).collect();
        all.sort();
        all
    };
    let segments = path["aspath"]["segments"].as_array().cloned().unwrap_or_default();
    PeerRoute {
        next_hop: path["nexthops"][0]["ip"].as_str().unwrap_or("").to_string(),
        as_path: segments
            .iter()
            .flat_map(|s| s["list"].as_array().cloned().unwrap_or_default())
            .filter_map(|n| number(&n))
            .collect(),
        origin: path["origin"].as_str().unwrap_or("").to_lowercase(),
        med: number(&path["metric"]),
        local_pref: number(&path["locPrf"]),
        communities: list(&path["community"]),
        large_communities: list(&path["largeCommunity"]),
    }
}
