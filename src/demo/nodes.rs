//! The three nodes: their configurations, as anybody would write them, and the hosts in memory that they run on.

use std::net::SocketAddr;
use std::path::Path;

use fib_sync::host::Link;
use fib_sync::memory::Plane;
use rib::IfIndex;

use crate::config;
use crate::daemon::{Platform, Running, start};

/// The service's address.
pub(super) const VIP: &str = "192.0.2.53";
/// Loopback addresses that the nodes speak BGP from.
const EDGE_BGP: &str = "127.0.0.1";

/// A site of the demo.
#[derive(Clone, Copy)]
pub(super) struct Site {
    /// Its name.
    pub(super) name: &'static str,
    /// Where it speaks BGP from.
    pub(super) bgp: &'static str,
    /// Its next hop as the edge is told: a documentation address.
    pub(super) next_hop: &'static str,
    router_id: &'static str,
}

pub(super) const SITES: [Site; 2] = [
    Site { name: "ams1", bgp: "127.0.0.2", next_hop: "198.51.100.11", router_id: "10.0.0.11" },
    Site { name: "fra1", bgp: "127.0.0.3", next_hop: "198.51.100.12", router_id: "10.0.0.12" },
];

/// A running node and its data plane.
pub(super) struct DemoNode {
    pub(super) running: Running,
    pub(super) plane: Plane,
}

async fn node(name: &str, text: &str) -> Result<DemoNode, String> {
    let model = config::check_text(Path::new(name), text).map_err(|errors| errors.to_string())?;
    let (platform, host, plane) = Platform::memory();
    host.set_link(Link { index: IfIndex(2), name: "eth0".to_owned(), up: true, mtu: 1500, loopback: false });
    let running = start(model, platform, None).await.map_err(|error| format!("{name}: {error}"))?;
    Ok(DemoNode { running, plane })
}

/// The edge router: knows how to reach both sites, uses both when both announce.
pub(super) async fn edge() -> Result<DemoNode, String> {
    let mut text = format!(
        r#"
[node]
asn = 64500
router_id = "10.0.0.1"
[api]
listen = ["127.0.0.1:0"]
[bgp]
listen = ["{EDGE_BGP}:0"]
multipath = {{ ebgp = 2 }}
[fib]
backends = ["memory"]
[[neighbor_group]]
name = "sites"
asn = 64501
passive = true
local_address = "{EDGE_BGP}"
import = "accept"
export = "reject"
"#
    );
    for site in SITES {
        text += &format!(
            r#"
[[neighbor]]
address = "{}"
group = "sites"
description = "{}"
[[static]]
prefix = "{}/32"
interface = "eth0"
"#,
            site.bgp, site.name, site.next_hop
        );
    }
    node("edge", &text).await
}

/// A site: announces the service while its DNS server answers.
pub(super) async fn site(site: Site, edge_port: u16, dns: SocketAddr) -> Result<DemoNode, String> {
    let Site { name, bgp, next_hop, router_id } = site;
    let text = format!(
        r#"
[node]
asn = 64501
router_id = "{router_id}"
site = "{name}"
[api]
listen = ["127.0.0.1:0"]
[bgp]
listen = []
[fib]
backends = ["memory"]
[[neighbor]]
address = "{EDGE_BGP}"
port = {edge_port}
asn = 64500
local_address = "{bgp}"
connect_retry = "200ms"
description = "edge"
import = "reject"
export = "services"
[[policy]]
name = "services"
rules = [ {{ match = {{ protocol = "service" }}, set = {{ next_hop = "{next_hop}" }}, action = "accept" }} ]
[[static]]
prefix = "{next_hop}/32"
interface = "eth0"
[[service]]
name = "dns"
vips = ["{VIP}/32"]
bind = "lo"
checks = [ {{ type = "dns", target = "{dns}", query = "www.example.test A", interval = "200ms", timeout = "100ms", rise = 3, fall = 3 }} ]
"#
    );
    node(name, &text).await
}
