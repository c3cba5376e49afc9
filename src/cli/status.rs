//! `anyhop status`: one screen, and what is wrong last, where the eye ends.

use proto::v1;
use serde::Serialize;

use super::client::{Client, Failure};
use super::output::{count, json, print, span, table};
use super::show;
use super::view::{self, Backend, Neighbor, OspfNeighbor, Service};

/// Rows of one table on the screen; what is not well comes first.
const ROWS: usize = 12;

#[derive(Clone, Debug, Serialize)]
pub(super) struct Node {
    pub(super) version: String,
    pub(super) hostname: String,
    pub(super) asn: u32,
    pub(super) router_id: String,
    pub(super) site: Option<String>,
    pub(super) pid: u32,
    pub(super) started_at: Option<String>,
    pub(super) uptime_seconds: f64,
    pub(super) config_path: Option<String>,
    pub(super) bgp_listen: Vec<String>,
    pub(super) api_listen: Vec<String>,
    pub(super) backends: Vec<String>,
    pub(super) routes_ipv4: u64,
    pub(super) routes_ipv6: u64,
    pub(super) routes_by_protocol: std::collections::BTreeMap<String, u64>,
    pub(super) next_hops: u64,
    pub(super) bgp_paths: u64,
    pub(super) bgp_attribute_sets: u64,
    /// Connections from addresses that are no neighbor's.
    pub(super) bgp_refused: u64,
    /// Of neighbors, not signed or not with the TTL demanded.
    pub(super) bgp_refused_unprotected: u64,
    /// Of neighbors that have too many open.
    pub(super) bgp_refused_crowded: u64,
}

impl From<&v1::GetInfoResponse> for Node {
    fn from(info: &v1::GetInfoResponse) -> Self {
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        Self {
            version: info.version.clone(),
            hostname: info.hostname.clone(),
            asn: info.asn,
            router_id: info.router_id.clone(),
            site: some(&info.site),
            pid: info.pid,
            started_at: info.started_at.as_ref().map(view::time),
            uptime_seconds: info.uptime.as_ref().map(view::duration).unwrap_or_default().as_secs_f64(),
            config_path: some(&info.config_path),
            bgp_listen: info.bgp_listen.clone(),
            api_listen: info.api_listen.clone(),
            backends: info.backends.clone(),
            routes_ipv4: info.routes_ipv4,
            routes_ipv6: info.routes_ipv6,
            routes_by_protocol: info.routes_by_protocol.iter().map(|by| (by.protocol.clone(), by.routes)).collect(),
            next_hops: info.next_hops,
            bgp_paths: info.bgp_paths,
            bgp_attribute_sets: info.bgp_attribute_sets,
            bgp_refused: info.bgp_refused,
            bgp_refused_unprotected: info.bgp_refused_unprotected,
            bgp_refused_crowded: info.bgp_refused_crowded,
        }
    }
}

/// An OSPF instance.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ospf {
    pub(super) version: String,
    pub(super) neighbors: u32,
    pub(super) full: u32,
    pub(super) lsas: u32,
    pub(super) border: bool,
    pub(super) boundary: bool,
    pub(super) max_metric: bool,
    pub(super) restarting: bool,
}

impl From<&v1::OspfInfo> for Ospf {
    fn from(info: &v1::OspfInfo) -> Self {
        Self {
            version: info.version.clone(),
            neighbors: info.neighbors,
            full: info.full,
            lsas: info.lsas,
            border: info.border,
            boundary: info.boundary,
            max_metric: info.max_metric,
            restarting: info.restarting,
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Status {
    pub(super) node: Node,
    pub(super) services: Vec<Service>,
    pub(super) neighbors: Vec<Neighbor>,
    pub(super) ospf: Vec<Ospf>,
    /// Neighbors of OSPF that should be full and are not.
    pub(super) ospf_not_full: Vec<OspfNeighbor>,
    pub(super) fib: Vec<Backend>,
    pub(super) problems: Vec<String>,
}

pub(super) async fn run(client: Client) -> Result<(), Failure> {
    let (mut node, mut anycast, mut bgp, mut fib) = (client.node(), client.anycast(), client.bgp(), client.fib());
    let (info, services, neighbors, backends) = tokio::try_join!(
        node.get_info(v1::GetInfoRequest {}),
        anycast.list_services(v1::ListServicesRequest {}),
        bgp.list_neighbors(v1::ListNeighborsRequest {}),
        fib.get_fib(v1::GetFibRequest {}),
    )?;
    let info = info.into_inner();
    // Only a node that speaks it answers.
    let adjacencies = match info.ospf.is_empty() {
        true => Vec::new(),
        false => client.ospf().list_adjacencies(v1::ListAdjacenciesRequest::default()).await?.into_inner().adjacencies,
    };
    let status = Status {
        node: Node::from(&info),
        services: services.get_ref().services.iter().map(Service::from).collect(),
        neighbors: neighbors.get_ref().neighbors.iter().map(Neighbor::from).collect(),
        ospf: info.ospf.iter().map(Ospf::from).collect(),
        ospf_not_full: adjacencies.iter().filter(|one| is_amiss(one)).map(OspfNeighbor::from).collect(),
        fib: backends.get_ref().backends.iter().map(Backend::from).collect(),
        problems: info.problems,
    };
    if client.json { json(&status) } else { print(&text(&status)) }
}

/// Whether a neighbor should be closer to us. Two that are not designated stop at two-way (RFC 2328 §10.4).
fn is_amiss(neighbor: &v1::OspfAdjacency) -> bool {
    match neighbor.state.as_str() {
        "full" => false,
        "two-way" => !neighbor.status.is_empty(),
        _ => true,
    }
}

pub(super) fn text(status: &Status) -> String {
    let node = &status.node;
    let site = node.site.as_ref().map(|site| format!("  site {site}")).unwrap_or_default();
    let uptime = std::time::Duration::try_from_secs_f64(node.uptime_seconds).unwrap_or_default();
    let mut text = format!(
        "{}  AS {}  router id {}{site}  up {}  anyhop {}\n",
        node.hostname,
        node.asn,
        node.router_id,
        span(uptime),
        node.version
    );
    let by: Vec<_> =
        node.routes_by_protocol.iter().map(|(name, routes)| format!("{name} {}", count(*routes))).collect();
    let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
    text.push_str(&format!("routes: {} IPv4, {} IPv6{by}\n", count(node.routes_ipv4), count(node.routes_ipv6)));

    let refused = [
        (node.bgp_refused, "from strangers"),
        (node.bgp_refused_unprotected, "not protected as configured"),
        (node.bgp_refused_crowded, "beyond what a neighbor may have open"),
    ];
    let refused =
        refused.iter().filter(|(number, _)| *number > 0).map(|(number, why)| format!("{} {why}", count(*number)));
    let refused = refused.collect::<Vec<_>>().join(", ");
    if !refused.is_empty() {
        text.push_str(&format!("BGP connections refused: {refused}\n"));
    }

    if !status.services.is_empty() {
        let mut services: Vec<_> = status.services.iter().collect();
        services.sort_by_key(|service| service.state == "announced");
        let rows = services.iter().take(ROWS).map(|service| {
            let announced = service.vips.iter().filter(|vip| vip.announced).count();
            let up = service.checks.iter().filter(|check| check.health.as_deref() == Some("up")).count();
            [
                service.name.clone(),
                service.state.clone(),
                format!("{announced}/{}", service.vips.len()),
                format!("{up}/{}", service.checks.len()),
                service.reason.clone(),
            ]
        });
        text.push('\n');
        text.push_str(&table(["service", "state", "vips ", "checks ", "why"], rows));
        more(&mut text, services.len(), "show services");
    }
    if !status.neighbors.is_empty() {
        let mut neighbors = status.neighbors.clone();
        neighbors.sort_by_key(|neighbor| neighbor.state == "established");
        let shown = neighbors.len();
        neighbors.truncate(ROWS);
        text.push('\n');
        text.push_str(&show::neighbors_table(&neighbors));
        more(&mut text, shown, "show neighbors");
    }
    for ospf in &status.ospf {
        let roles = [
            (ospf.border, "border router"),
            (ospf.boundary, "AS boundary router"),
            (ospf.max_metric, "asks to be routed around"),
            (ospf.restarting, "restarting"),
        ];
        let roles: String = roles.iter().filter(|(is, _)| *is).map(|(_, role)| format!(", {role}")).collect();
        let (full, all, lsas) = (count(ospf.full.into()), count(ospf.neighbors.into()), count(ospf.lsas.into()));
        text.push_str(&format!("\nOSPF{}: {full} of {all} neighbors full, {lsas} LSAs{roles}", ospf.version));
    }
    if !status.ospf.is_empty() {
        text.push('\n');
    }
    if !status.ospf_not_full.is_empty() {
        let rows = status.ospf_not_full.iter().take(ROWS).map(|one| {
            let why = one.status.as_deref().unwrap_or_default();
            [
                one.router_id.clone(),
                one.version.clone(),
                one.interface.clone(),
                one.state.clone(),
                one.in_state_for.map(span).unwrap_or_default(),
                why.to_owned(),
            ]
        });
        text.push_str(&table(["router", "version", "interface", "state", "for", "why"], rows));
        more(&mut text, status.ospf_not_full.len(), "show ospf neighbors");
    }
    if !status.fib.is_empty() {
        text.push('\n');
        text.push_str(&show::fib_table(&status.fib));
    }
    text.push('\n');
    if status.problems.is_empty() {
        text.push_str("nothing is wrong\n");
    } else {
        text.push_str("what is wrong\n");
        for problem in status.problems.iter().take(ROWS) {
            text.push_str(&format!("  {problem}\n"));
        }
        more(&mut text, status.problems.len(), "status --json");
    }
    text
}

fn more(text: &mut String, all: usize, command: &str) {
    if all > ROWS {
        text.push_str(&format!("  … and {} more: `anyhop {command}`\n", all - ROWS));
    }
}
