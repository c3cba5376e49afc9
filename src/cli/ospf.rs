//! `anyhop show ospf …`: neighbors, interfaces, databases and trees of both versions.

use std::collections::BTreeSet;

use clap::{Subcommand, ValueEnum};
use proto::v1;
use serde::Serialize;

use super::client::{Client, Failure};
use super::output::{count, json, line, or_dash, print, span, table};
use super::view::{Lsa, OspfInterface, OspfNeighbor, SpfRuns, SpfVertex};

/// LSAs asked for at a time.
const PAGE: u32 = 10_000;

#[derive(Debug, Subcommand)]
pub(super) enum Ospf {
    /// Neighbors, and why one is not full
    Neighbors(Which),
    /// Interfaces
    Interfaces(Which),
    /// The link-state database
    Lsdb {
        #[command(flatten)]
        which: Which,
        /// Only this area, as in 0.0.0.0
        #[arg(long)]
        area: Option<String>,
    },
    /// The trees of shortest paths
    Spf {
        #[command(flatten)]
        which: Which,
        /// Only this area, as in 0.0.0.0
        #[arg(long)]
        area: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Which {
    /// Only this version
    #[arg(long = "ospf", value_name = "VERSION")]
    version: Option<Version>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Version {
    V2,
    V3,
}

impl Which {
    fn number(self) -> i32 {
        match self.version {
            None => v1::OspfVersion::Unspecified,
            Some(Version::V2) => v1::OspfVersion::V2,
            Some(Version::V3) => v1::OspfVersion::V3,
        }
        .into()
    }
}

pub(super) async fn run(client: &Client, wish: Ospf) -> Result<(), Failure> {
    match wish {
        Ospf::Neighbors(which) => neighbors(client, which).await,
        Ospf::Interfaces(which) => interfaces(client, which).await,
        Ospf::Lsdb { which, area } => lsdb(client, which, area).await,
        Ospf::Spf { which, area } => spf(client, which, area).await,
    }
}

#[derive(Serialize)]
struct Neighbors {
    neighbors: Vec<OspfNeighbor>,
}

async fn neighbors(client: &Client, which: Which) -> Result<(), Failure> {
    let request = v1::ListAdjacenciesRequest { version: which.number() };
    let answer = client.ospf().list_adjacencies(request).await?.into_inner();
    let neighbors: Vec<_> = answer.adjacencies.iter().map(OspfNeighbor::from).collect();
    if client.json {
        return json(&Neighbors { neighbors });
    }
    if neighbors.is_empty() {
        return line("no OSPF neighbors");
    }
    let head = ["ROUTER", "VERSION", "INTERFACE", "ADDRESS", "AREA", "STATE", "FOR", "DEAD IN", "STATUS"];
    let rows = neighbors.iter().map(|one| {
        [
            one.router_id.clone(),
            one.version.clone(),
            one.interface.clone(),
            one.address.clone(),
            one.area.clone(),
            one.state.clone(),
            or_dash(one.in_state_for.map(span).unwrap_or_default()),
            or_dash(one.dead_in.map(span).unwrap_or_default()),
            or_dash(one.status.as_deref().unwrap_or_default()),
        ]
    });
    print(&table(head, rows))
}

#[derive(Serialize)]
struct Interfaces {
    interfaces: Vec<OspfInterface>,
}

async fn interfaces(client: &Client, which: Which) -> Result<(), Failure> {
    let request = v1::ListInterfacesRequest { version: which.number() };
    let answer = client.ospf().list_interfaces(request).await?.into_inner();
    let interfaces: Vec<_> = answer.interfaces.iter().map(OspfInterface::from).collect();
    if client.json {
        return json(&Interfaces { interfaces });
    }
    if interfaces.is_empty() {
        return line("no OSPF interfaces: none of [[ospf.interface]] is here");
    }
    let head =
        ["INTERFACE", "VERSION", "AREA", "NETWORK", "STATE", "ADDRESS", "COST ", "DR", "FULL ", "NEIGHBORS ", "STATUS"];
    let rows = interfaces.iter().map(|one| {
        [
            one.name.clone(),
            one.version.clone(),
            one.area.clone(),
            or_dash(one.network.as_deref().unwrap_or_default()),
            one.state.clone(),
            or_dash(one.address.as_deref().unwrap_or_default()),
            count(one.cost.into()),
            or_dash(one.designated_router.as_deref().unwrap_or_default()),
            count(one.full.into()),
            count(one.neighbors.into()),
            or_dash(one.status.as_deref().unwrap_or_default()),
        ]
    });
    print(&table(head, rows))
}

#[derive(Serialize)]
struct Lsdb {
    lsas: Vec<Lsa>,
}

async fn lsdb(client: &Client, which: Which, area: Option<String>) -> Result<(), Failure> {
    let mut request = v1::ListLsdbRequest { version: which.number(), area, page_size: PAGE, page_token: String::new() };
    let mut lsas = Vec::new();
    loop {
        let page = client.ospf().list_lsdb(request.clone()).await?.into_inner();
        lsas.extend(page.lsas.iter().map(Lsa::from));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    if client.json {
        return json(&Lsdb { lsas });
    }
    let head = ["VERSION", "AREA", "TYPE", "ID", "ROUTER", "SEQUENCE", "AGE", "CHECKSUM", "LENGTH "];
    let rows = lsas.iter().map(|one| {
        [
            one.version.clone(),
            or_dash(one.area.as_deref().unwrap_or_default()),
            format!("{:#06x}", one.kind),
            one.id.clone(),
            one.advertising_router.clone(),
            one.sequence.clone(),
            or_dash(one.age.map(span).unwrap_or_default()),
            one.checksum.clone(),
            count(one.length.into()),
        ]
    });
    print(&table(head, rows))
}

#[derive(Serialize)]
struct Tree {
    version: String,
    area: String,
    runs: u64,
    full: SpfRuns,
    incremental: SpfRuns,
    partial: SpfRuns,
    vertices: Vec<SpfVertex>,
}

#[derive(Serialize)]
struct Trees {
    trees: Vec<Tree>,
}

async fn spf(client: &Client, which: Which, only: Option<String>) -> Result<(), Failure> {
    let request = v1::ListInterfacesRequest { version: which.number() };
    let answer = client.ospf().list_interfaces(request).await?.into_inner();
    let mut wanted: BTreeSet<(i32, String)> =
        answer.interfaces.iter().map(|one| (one.version, one.area.clone())).collect();
    if let Some(only) = only {
        wanted.retain(|(_, area)| *area == only);
        if wanted.is_empty() {
            return Err(Failure::usage(format!("no interface is in area {only}")));
        }
    }
    let mut trees = Vec::new();
    for (version, area) in wanted {
        let request = v1::GetSpfRequest { version, area: area.clone() };
        let answer = client.ospf().get_spf(request).await?.into_inner();
        let version = if version == i32::from(v1::OspfVersion::V2) { "v2" } else { "v3" }.to_owned();
        trees.push(Tree {
            version,
            area,
            runs: answer.runs,
            full: answer.full.unwrap_or_default().into(),
            incremental: answer.incremental.unwrap_or_default().into(),
            partial: answer.partial.unwrap_or_default().into(),
            vertices: answer.vertices.iter().map(SpfVertex::from).collect(),
        });
    }
    if client.json {
        return json(&Trees { trees });
    }
    for tree in &trees {
        line(&format!(
            "OSPF{} area {}: {} vertices, {} calculations: full {}, incremental {}, prefixes only {}",
            tree.version,
            tree.area,
            tree.vertices.len(),
            tree.runs,
            tree.full,
            tree.incremental,
            tree.partial
        ))?;
        let rows = tree.vertices.iter().map(|one| {
            let router = or_dash(one.advertising_router.as_deref().unwrap_or_default());
            [count(one.distance.into()), one.kind.to_owned(), one.id.clone(), router]
        });
        print(&table(["DISTANCE ", "KIND", "ID", "ROUTER"], rows))?;
    }
    Ok(())
}
