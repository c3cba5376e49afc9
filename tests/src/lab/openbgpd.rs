//! OpenBGPD: its daemon with a control socket of its own, and its table.

use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

use serde_json::Value;

use super::net::Node;
use super::process::{Process, try_run};
use super::route::{PeerRoute, Table};
use super::wait::wait_for;

/// A running OpenBGPD.
#[derive(Debug)]
pub struct OpenBgpd {
    node: Node,
    /// The daemon; its helpers end with it.
    pub process: Process,
}

impl OpenBgpd {
    /// Starts OpenBGPD with `config`, to which its socket is added, and waits until it answers.
    ///
    /// # Panics
    /// If the directory into which Debian's build locks its helpers cannot be made.
    pub fn start(node: &Node, config: &str) -> Self {
        DirBuilder::new().recursive(true).mode(0o755).create("/run/openbgpd").expect("root may make it");
        let socket = node.path("bgpd.sock");
        let path = node.write("bgpd.conf", &format!("socket \"{}\"\nfib-update no\n{config}", socket.display()));
        // It reads no configuration that others could read.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our own file");
        let mut command = node.command("/usr/sbin/bgpd");
        command.arg("-d").arg("-f").arg(path);
        let openbgpd = Self { node: node.clone(), process: node.spawn("openbgpd", &mut command) };
        wait_for("OpenBGPD to answer", || openbgpd.try_ask("show summary"));
        openbgpd
    }

    fn try_ask(&self, command: &str) -> Result<String, String> {
        let socket = self.node.path("bgpd.sock");
        try_run(self.node.command("bgpctl").arg("-j").arg("-s").arg(socket).args(command.split_whitespace()))
    }

    /// Asks `bgpctl`, which answers in JSON.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    #[must_use]
    pub fn ask(&self, command: &str) -> Value {
        let said = self.try_ask(command).unwrap_or_else(|why| panic!("{why}"));
        serde_json::from_str(&said).unwrap_or_else(|why| panic!("{why} in {said}"))
    }

    /// True if the session with `neighbor` stands.
    #[must_use]
    pub fn is_established(&self, neighbor: &str) -> bool {
        self.ask(&format!("show neighbor {neighbor}"))["neighbors"][0]["state"] == "Established"
    }

    /// The paths learned from others, as it shows them; `family` is `inet` or `inet6`.
    #[must_use]
    pub fn paths(&self, family: &str) -> Vec<Value> {
        let mut rib = self.ask(&format!("show rib {family} detail"));
        let mut paths = rib["rib"].as_array_mut().map(std::mem::take).unwrap_or_default();
        paths.retain(|path| path["neighbor"]["description"] != "LOCAL");
        paths
    }

    /// The same in the form of all daemons.
    #[must_use]
    pub fn learned(&self, family: &str) -> Table {
        let paths = self.paths(family);
        paths.iter().filter_map(|path| Some((path["prefix"].as_str()?.parse().ok()?, route(path)))).collect()
    }
}

fn route(path: &Value) -> PeerRoute {
    let text = |key: &str| path[key].as_str().unwrap_or_default().to_owned();
    let as_path: Vec<u32> = text("aspath").split_whitespace().filter_map(|asn| asn.parse().ok()).collect();
    let mut route = PeerRoute::new(&text("origin").to_lowercase(), &as_path, &text("exit_nexthop"));
    route.med = path["metric"].as_u64().and_then(|med| u32::try_from(med).ok()).filter(|med| *med > 0);
    let list = |key: &str| {
        let words = path[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        words.map(str::to_owned).collect()
    };
    route.communities = list("communities");
    route.large_communities = list("large_communities");
    route
}
