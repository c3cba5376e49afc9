//! GoBGP as a peer.

use serde_json::Value;

use super::net::Host;
use super::process::Process;
use super::route::{PeerRoute, PeerTable};

/// A running GoBGP.
pub struct Gobgp {
    host: Host,
    _process: Process,
}

impl Gobgp {
    /// Starts gobgpd with this TOML configuration.
    #[must_use]
    pub fn start(host: &Host, config: &str) -> Self {
        let path = host.write("gobgpd.toml", config);
        let mut command = host.command("gobgpd");
        command.arg("-f").arg(path).args(["-t", "toml", "--api-hosts", "127.0.0.1:50099"]);
        let gobgp = Self { host: host.clone(), _process: host.spawn("gobgpd", command) };
        super::eventually("gobgpd answers", std::time::Duration::from_secs(20), || {
            let out = gobgp.try_ask("global -j");
            out.contains("65").then_some(()).ok_or(out)
        });
        gobgp
    }

    fn try_ask(&self, words: &str) -> String {
        let out = self.host.try_run(&format!("gobgp -p 50099 {words}"));
        String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
    }

    /// What `gobgp WORDS` prints.
    #[must_use]
    pub fn ask(&self, words: &str) -> String {
        self.host.run(&format!("gobgp -p 50099 {words}"))
    }

    /// Adds each prefix to the global table of `family` (`ipv4` or `ipv6`) with these attributes in GoBGP's words.
    ///
    /// # Panics
    /// When GoBGP refuses.
    pub fn announce(&self, family: &str, prefixes: &[String], attributes: &str) {
        let list = self.host.write("announce", &(prefixes.join("\n") + "\n"));
        let mut command = self.host.command("xargs");
        command
            .args(["-a"])
            .arg(list)
            .args(["-P", "8", "-I", "{}", "gobgp", "-p", "50099", "global", "rib", "-a", family, "add", "{}"]);
        command.args(attributes.split_whitespace());
        let out = command.output().expect("xargs runs");
        assert!(out.status.success(), "gobgp add: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// `Ok` when the session with `neighbor` is established.
    ///
    /// # Errors
    /// The state as GoBGP numbers it.
    pub fn established(&self, neighbor: &str) -> Result<(), String> {
        let text = self.try_ask(&format!("neighbor {neighbor} -j"));
        let value: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        let state = &value["state"]["session_state"];
        if state.as_u64() == Some(6) { Ok(()) } else { Err(state.to_string()) }
    }

    /// The best routes of `family` learned from `neighbor`.
    #[must_use]
    pub fn routes(&self, family: &str, neighbor: &str) -> PeerTable {
        let Ok(value) = serde_json::from_str::<Value>(&self.ask(&format!("global rib -a {family} -j"))) else {
            return PeerTable::new();
        };
        let all = value.as_object().cloned().unwrap_or_default();
        all.into_iter()
            .filter_map(|(prefix, paths)| {
                let path = paths.as_array()?.iter().find(|p| p["neighbor-ip"].as_str() == Some(neighbor))?.clone();
                Some((prefix, route(&path)))
            })
            .collect()
    }
}

fn route(path: &Value) -> PeerRoute {
    let mut route = PeerRoute::default();
    let number = |v: &Value| v.as_u64().and_then(|n| u32::try_from(n).ok());
    for attribute in path["attrs"].as_array().into_iter().flatten() {
        match attribute["type"].as_u64() {
            Some(1) => {
                let names = ["igp", "egp", "incomplete"];
                let index = attribute["value"].as_u64().unwrap_or(9);
                route.origin = usize::try_from(index).ok().and_then(|i| names.get(i)).unwrap_or(&"?").to_string();
            }
            Some(2) => {
                let segments = attribute["as_paths"].as_array().cloned().unwrap_or_default();
                route.as_path = segments
                    .iter()
                    .flat_map(|s| s["asns"].as_array().cloned().unwrap_or_default())
                    .filter_map(|n| number(&n))
                    .collect();
            }
            Some(3 | 14) => route.next_hop = attribute["nexthop"].as_str().unwrap_or("").to_string(),
            Some(4) => route.med = number(&attribute["metric"]),
            Some(5) => route.local_pref = number(&attribute["value"]),
            Some(8) => {
                let all = attribute["communities"].as_array().into_iter().flatten().filter_map(&number);
                route.communities = all.map(|c| format!("{}:{}", c >> 16, c & 0xffff)).collect();
                route.communities.sort();
            }
            Some(32) => {
                let all = attribute["value"].as_array().into_iter().flatten();
                route.large_communities =
                    all.map(|c| format!("{}:{}:{}", c["ASN"], c["LocalData1"], c["LocalData2"])).collect();
                route.large_communities.sort();
            }
            _ => {}
        }
    }
    route
}
