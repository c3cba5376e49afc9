//! OSPF as `--json` prints it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use proto::v1;
use serde::Serialize;

use super::{duration, seconds, some, word};

fn version(version: v1::OspfVersion) -> String {
    word(version.as_str_name(), "OSPF_VERSION_")
}

/// An interface that speaks OSPF.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct OspfInterface {
    pub(in crate::cli) name: String,
    pub(in crate::cli) version: String,
    pub(in crate::cli) area: String,
    pub(in crate::cli) state: String,
    pub(in crate::cli) network: Option<String>,
    pub(in crate::cli) address: Option<String>,
    pub(in crate::cli) cost: u32,
    pub(in crate::cli) mtu: u32,
    pub(in crate::cli) priority: u32,
    pub(in crate::cli) passive: bool,
    pub(in crate::cli) designated_router: Option<String>,
    pub(in crate::cli) backup_designated_router: Option<String>,
    #[serde(rename = "hello_interval_seconds", serialize_with = "seconds")]
    pub(in crate::cli) hello_interval: Option<Duration>,
    #[serde(rename = "dead_interval_seconds", serialize_with = "seconds")]
    pub(in crate::cli) dead_interval: Option<Duration>,
    pub(in crate::cli) neighbors: u32,
    pub(in crate::cli) full: u32,
    pub(in crate::cli) drops: BTreeMap<String, u64>,
    pub(in crate::cli) status: Option<String>,
}

impl From<&v1::OspfInterface> for OspfInterface {
    fn from(interface: &v1::OspfInterface) -> Self {
        Self {
            name: interface.name.clone(),
            version: version(interface.version()),
            area: interface.area.clone(),
            state: interface.state.clone(),
            network: some(&interface.network),
            address: some(&interface.address),
            cost: interface.cost,
            mtu: interface.mtu,
            priority: interface.priority,
            passive: interface.passive,
            designated_router: some(&interface.designated_router),
            backup_designated_router: some(&interface.backup_designated_router),
            hello_interval: interface.hello_interval.as_ref().map(duration),
            dead_interval: interface.dead_interval.as_ref().map(duration),
            neighbors: interface.neighbors,
            full: interface.full,
            drops: interface.drops.clone().into_iter().collect(),
            status: some(&interface.status),
        }
    }
}

/// A neighbor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct OspfNeighbor {
    pub(in crate::cli) router_id: String,
    pub(in crate::cli) address: String,
    pub(in crate::cli) interface: String,
    pub(in crate::cli) version: String,
    pub(in crate::cli) area: String,
    pub(in crate::cli) state: String,
    #[serde(rename = "in_state_for_seconds", serialize_with = "seconds")]
    pub(in crate::cli) in_state_for: Option<Duration>,
    #[serde(rename = "dead_in_seconds", serialize_with = "seconds")]
    pub(in crate::cli) dead_in: Option<Duration>,
    pub(in crate::cli) priority: u32,
    pub(in crate::cli) unacknowledged: u32,
    pub(in crate::cli) requested: u32,
    pub(in crate::cli) retransmissions: u64,
    pub(in crate::cli) ups: u64,
    pub(in crate::cli) helping: bool,
    pub(in crate::cli) status: Option<String>,
}

impl From<&v1::OspfAdjacency> for OspfNeighbor {
    fn from(neighbor: &v1::OspfAdjacency) -> Self {
        Self {
            router_id: neighbor.router_id.clone(),
            address: neighbor.address.clone(),
            interface: neighbor.interface.clone(),
            version: version(neighbor.version()),
            area: neighbor.area.clone(),
            state: neighbor.state.clone(),
            in_state_for: neighbor.in_state_for.as_ref().map(duration),
            dead_in: neighbor.dead_in.as_ref().map(duration),
            priority: neighbor.priority,
            unacknowledged: neighbor.unacknowledged,
            requested: neighbor.requested,
            retransmissions: neighbor.retransmissions,
            ups: neighbor.ups,
            helping: neighbor.helping,
            status: some(&neighbor.status),
        }
    }
}

/// An LSA.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct Lsa {
    pub(in crate::cli) version: String,
    pub(in crate::cli) area: Option<String>,
    pub(in crate::cli) interface: Option<String>,
    #[serde(rename = "type")]
    pub(in crate::cli) kind: u32,
    pub(in crate::cli) id: String,
    pub(in crate::cli) advertising_router: String,
    pub(in crate::cli) sequence: String,
    #[serde(rename = "age_seconds", serialize_with = "seconds")]
    pub(in crate::cli) age: Option<Duration>,
    pub(in crate::cli) checksum: String,
    pub(in crate::cli) length: u32,
    pub(in crate::cli) own: bool,
}

impl From<&v1::Lsa> for Lsa {
    fn from(lsa: &v1::Lsa) -> Self {
        Self {
            version: version(lsa.version()),
            area: some(&lsa.area),
            interface: some(&lsa.interface),
            kind: lsa.r#type,
            id: lsa.id.clone(),
            advertising_router: lsa.advertising_router.clone(),
            sequence: format!("{:#010x}", lsa.sequence),
            age: lsa.age.as_ref().map(duration),
            checksum: format!("{:#06x}", lsa.checksum),
            length: lsa.length,
            own: lsa.own,
        }
    }
}

/// A router or network of a tree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct SpfVertex {
    pub(in crate::cli) kind: &'static str,
    pub(in crate::cli) id: String,
    pub(in crate::cli) advertising_router: Option<String>,
    pub(in crate::cli) distance: u32,
}

impl From<&v1::SpfVertex> for SpfVertex {
    fn from(vertex: &v1::SpfVertex) -> Self {
        Self {
            kind: if vertex.network { "network" } else { "router" },
            id: vertex.id.clone(),
            advertising_router: some(&vertex.advertising_router),
            distance: vertex.distance,
        }
    }
}

/// Calculations of one kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct SpfRuns {
    pub(in crate::cli) count: u64,
    pub(in crate::cli) last_us: Option<u64>,
    pub(in crate::cli) longest_us: Option<u64>,
}

impl From<v1::SpfRuns> for SpfRuns {
    fn from(runs: v1::SpfRuns) -> Self {
        let micros =
            |span: &prost_types::Duration| u64::try_from(span.seconds * 1_000_000 + i64::from(span.nanos / 1000)).ok();
        Self {
            count: runs.count,
            last_us: runs.last.as_ref().and_then(micros),
            longest_us: runs.longest.as_ref().and_then(micros),
        }
    }
}

impl fmt::Display for SpfRuns {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.count)?;
        match (self.last_us, self.longest_us) {
            (Some(last), Some(longest)) => write!(out, " (last {last} µs, longest {longest} µs)"),
            _ => Ok(()),
        }
    }
}
