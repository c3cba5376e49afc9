//! `OspfService`: what the instances of both versions say of themselves.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use nix::net::if_::if_indextoname;
use ospfd::config::NetworkType;
use ospfd::interface::InterfaceState;
use ospfd::io::{Handle, LsdbChange};
use ospfd::neighbor::NeighborState;
use ospfd::view::{InterfaceView, LsaView, NeighborView, Query, SpfRuns, Vertex, View};
use ospfd::{AreaId, InterfaceId, Version};
use proto::v1;
use proto::v1::ospf_service_server::OspfService;
use tonic::{Request, Response, Status};

use super::lsdb::{self, Journal};
use super::{Context, Stream};

/// LSAs in one message of a watch.
const WATCH_LSAS: usize = 1000;

pub(crate) struct Service(pub(super) Arc<Context>);

impl Service {
    /// The instances of a version, of both if none is named.
    fn instances(&self, version: i32) -> Result<Vec<Handle>, Status> {
        let wanted = match v1::OspfVersion::try_from(version) {
            Ok(v1::OspfVersion::Unspecified) => None,
            Ok(v1::OspfVersion::V2) => Some(Version::V2),
            Ok(v1::OspfVersion::V3) => Some(Version::V3),
            Err(_) => return Err(Status::invalid_argument(format!("version: {version} is neither v2 nor v3"))),
        };
        let all = self.0.node.ospf.instances();
        if all.is_empty() {
            return Err(Status::failed_precondition(
                "this node does not speak OSPF: write [ospf] into its configuration",
            ));
        }
        Ok(all.iter().filter(|instance| wanted.is_none_or(|wanted| wanted == instance.version())).cloned().collect())
    }
}

async fn ask(instance: &Handle, query: Query) -> Result<View, Status> {
    instance.ask(query).await.ok_or_else(|| Status::unavailable("the node is shutting down"))
}

#[tonic::async_trait]
impl OspfService for Service {
    type WatchLsdbStream = Stream<v1::WatchLsdbResponse>;

    async fn list_interfaces(
        &self,
        req: Request<v1::ListInterfacesRequest>,
    ) -> Result<Response<v1::ListInterfacesResponse>, Status> {
        let mut interfaces = Vec::new();
        for instance in self.instances(req.into_inner().version)? {
            if let View::Interfaces(views) = ask(&instance, Query::Interfaces).await? {
                interfaces.extend(views.iter().map(|view| interface(instance.version(), view)));
            }
        }
        interfaces.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        Ok(Response::new(v1::ListInterfacesResponse { interfaces }))
    }

    async fn list_adjacencies(
        &self,
        req: Request<v1::ListAdjacenciesRequest>,
    ) -> Result<Response<v1::ListAdjacenciesResponse>, Status> {
        let mut found = Vec::new();
        for instance in self.instances(req.into_inner().version)? {
            if let View::Neighbors(views) = ask(&instance, Query::Neighbors).await? {
                found.extend(views.into_iter().map(|view| (instance.version(), view)));
            }
        }
        found.sort_by(|(a_version, a), (b_version, b)| {
            (a.router, a_version, &a.interface_name).cmp(&(b.router, b_version, &b.interface_name))
        });
        let adjacencies = found.iter().map(|(version, view)| adjacency(*version, view)).collect();
        Ok(Response::new(v1::ListAdjacenciesResponse { adjacencies }))
    }

    async fn list_lsdb(&self, req: Request<v1::ListLsdbRequest>) -> Result<Response<v1::ListLsdbResponse>, Status> {
        let req = req.into_inner();
        let area = req.area.as_deref().map(area_of).transpose()?;
        let size = match req.page_size {
            0 => 1000,
            size => size.min(10_000) as usize,
        };
        let after = match req.page_token.as_str() {
            "" => None,
            token => Some(Position::parse(token)?),
        };
        let mut rows = Vec::new();
        for instance in self.instances(req.version)? {
            if let View::Lsdb(views) = ask(&instance, Query::Lsdb { area, kind: None, adv: None }).await? {
                rows.extend(views.into_iter().map(|view| (Position::of(instance.version(), &view), view)));
            }
        }
        rows.sort_by_key(|(position, _)| *position);
        let mut rest = rows.iter().filter(|(position, _)| after.is_none_or(|after| *position > after));
        let page: Vec<_> = rest.by_ref().take(size).collect();
        let next_page_token = match (rest.next(), page.last()) {
            (Some(_), Some((last, _))) => last.token(),
            _ => String::new(),
        };
        let lsas = page.into_iter().map(|(position, view)| lsa(position.version(), view)).collect();
        Ok(Response::new(v1::ListLsdbResponse { lsas, next_page_token }))
    }

    async fn get_spf(&self, req: Request<v1::GetSpfRequest>) -> Result<Response<v1::GetSpfResponse>, Status> {
        let req = req.into_inner();
        if req.version == i32::from(v1::OspfVersion::Unspecified) {
            return Err(Status::invalid_argument("version: must be v2 or v3"));
        }
        let area = area_of(&req.area)?;
        for instance in self.instances(req.version)? {
            if let View::Spf(Some(view)) = ask(&instance, Query::Spf(area)).await? {
                let vertices = view.vertices.iter().map(|(vertex, cost)| vertex_row(*vertex, *cost)).collect();
                return Ok(Response::new(v1::GetSpfResponse {
                    vertices,
                    runs: view.full.count + view.incremental.count + view.partial.count,
                    full: Some(runs(view.full)),
                    incremental: Some(runs(view.incremental)),
                    partial: Some(runs(view.partial)),
                }));
            }
        }
        Err(Status::not_found(format!("area: no interface of this version is in area {area}")))
    }

    async fn watch_lsdb(&self, req: Request<v1::WatchLsdbRequest>) -> Result<Response<Self::WatchLsdbStream>, Status> {
        let req = req.into_inner();
        let wanted: Vec<Version> = self.instances(req.version)?.iter().map(Handle::version).collect();
        let boot = self.0.boot;
        let known = lsdb::parse_token(boot, &req.resume_token)?;
        let watched = |journal: &&Arc<Journal>| wanted.contains(&journal.instance().version());
        let journals: Vec<_> = self.0.databases.iter().filter(watched).cloned().collect();
        Ok(self.0.stream(move |messages| follow(journals, boot, known, messages)))
    }
}

type Messages = tokio::sync::mpsc::Sender<Result<v1::WatchLsdbResponse, Status>>;

/// Sends the databases, unless the watcher knows them up to a position, then their changes until the client leaves. A watcher too
/// slow for the journals gets the databases again.
async fn follow(
    journals: Vec<Arc<Journal>>,
    boot: u64,
    mut known: [Option<u64>; 2],
    messages: Messages,
) -> Result<(), Status> {
    let mut news = Vec::new();
    for journal in &journals {
        news.push(journal.follow().await);
    }
    let mut first = true;
    loop {
        for receiver in &mut news {
            receiver.borrow_and_update();
        }
        let mut message = v1::WatchLsdbResponse::default();
        let mut lost = false;
        for journal in &journals {
            let position = &mut known[place(journal)];
            match position.and_then(|position| journal.after(position, WATCH_LSAS)) {
                Some(changes) => {
                    *position = position.map(|position| position + changes.len() as u64);
                    tell(journal.instance(), changes, &mut message);
                }
                None => lost = true,
            }
        }
        if lost {
            if !snapshot(&journals, boot, &mut known, &messages).await? {
                return Ok(());
            }
            first = false;
            continue;
        }
        // The first message of a resumed watch is sent even if it is empty: it says that the watch stands.
        if first || !message.updated.is_empty() || !message.removed.is_empty() {
            first = false;
            message.resume_token = lsdb::token(boot, known);
            if messages.send(Ok(message)).await.is_err() {
                return Ok(());
            }
        }
        let behind = |journal: &Arc<Journal>| known[place(journal)] != Some(journal.position());
        if !journals.iter().any(behind) {
            let changes = news.iter_mut().map(|receiver| Box::pin(receiver.changed()));
            if futures::future::select_all(changes).await.0.is_err() {
                return Ok(());
            }
        }
    }
}

/// Sends whole databases, and notes where their changes go on; false: the client has left.
async fn snapshot(
    journals: &[Arc<Journal>],
    boot: u64,
    known: &mut [Option<u64>; 2],
    messages: &Messages,
) -> Result<bool, Status> {
    let mut rows = Vec::new();
    for journal in journals {
        // What happens while the database is read is told twice rather than never.
        known[place(journal)] = Some(journal.position());
        let instance = journal.instance();
        if let View::Lsdb(views) = ask(instance, Query::Lsdb { area: None, kind: None, adv: None }).await? {
            rows.extend(views.iter().map(|view| lsa(instance.version(), view)));
        }
    }
    let mut rows = rows.into_iter().peekable();
    let mut first = true;
    loop {
        let updated = rows.by_ref().take(WATCH_LSAS).collect();
        let last = rows.peek().is_none();
        let message = v1::WatchLsdbResponse {
            updated,
            removed: Vec::new(),
            resume_token: if last { lsdb::token(boot, *known) } else { String::new() },
            snapshot: std::mem::take(&mut first),
            snapshot_end: last,
        };
        if messages.send(Ok(message)).await.is_err() {
            return Ok(false);
        }
        if last {
            return Ok(true);
        }
    }
}

/// Adds changes to a message: of several of one LSA the last one.
fn tell(instance: &Handle, changes: Vec<LsdbChange>, message: &mut v1::WatchLsdbResponse) {
    let mut last = BTreeMap::new();
    for change in changes {
        last.insert((change.area, change.interface, change.header.key), change);
    }
    for change in last.into_values() {
        let own = change.header.key.adv == instance.router();
        let row = v1::Lsa { own, ..changed(instance.version(), &change) };
        if change.gone { message.removed.push(row) } else { message.updated.push(row) }
    }
}

/// Where a version stands in a token.
fn place(journal: &Journal) -> usize {
    usize::from(journal.instance().version() == Version::V3)
}

fn area_of(text: &str) -> Result<AreaId, Status> {
    let number = text.parse::<Ipv4Addr>().map(u32::from).or_else(|_| text.parse::<u32>());
    number.map(AreaId).map_err(|_| Status::invalid_argument(format!("area: {text:?} is no area, as \"0.0.0.0\" is")))
}

/// Where an LSA stands in the list, as a page token has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    version: u8,
    /// AS scope comes last.
    area: u64,
    interface: u32,
    kind: u16,
    id: u32,
    adv: u32,
}

impl Position {
    fn of(version: Version, view: &LsaView) -> Self {
        Self {
            version: if version == Version::V2 { 2 } else { 3 },
            area: view.area.map_or(u64::MAX, |area| u64::from(area.0)),
            interface: view.interface.map_or(0, |interface| interface.0),
            kind: view.header.key.kind.0,
            id: view.header.key.id,
            adv: view.header.key.adv.0,
        }
    }

    fn version(self) -> Version {
        if self.version == 2 { Version::V2 } else { Version::V3 }
    }

    fn token(self) -> String {
        let Self { version, area, interface, kind, id, adv } = self;
        format!("{version}.{area}.{interface}.{kind}.{id}.{adv}")
    }

    fn parse(token: &str) -> Result<Self, Status> {
        let wrong = || Status::invalid_argument("page_token: give the next_page_token of the page before");
        let numbers: Vec<u64> =
            token.split('.').map(|part| part.parse().ok()).collect::<Option<_>>().ok_or_else(wrong)?;
        let [version, area, interface, kind, id, adv] = numbers[..] else { return Err(wrong()) };
        let narrow = |number: u64| u32::try_from(number).map_err(|_| wrong());
        Ok(Self {
            version: u8::try_from(version).map_err(|_| wrong())?,
            area,
            interface: narrow(interface)?,
            kind: u16::try_from(kind).map_err(|_| wrong())?,
            id: narrow(id)?,
            adv: narrow(adv)?,
        })
    }
}

/// A version as people call it.
pub(super) fn version_name(version: Version) -> &'static str {
    match version {
        Version::V2 => "v2",
        Version::V3 => "v3",
    }
}

fn version_number(version: Version) -> i32 {
    match version {
        Version::V2 => v1::OspfVersion::V2,
        Version::V3 => v1::OspfVersion::V3,
    }
    .into()
}

fn duration(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn dotted(number: u32) -> String {
    if number == 0 { String::new() } else { Ipv4Addr::from(number).to_string() }
}

fn named(interface: InterfaceId) -> String {
    let name = if_indextoname(interface.0).ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_else(|| interface.0.to_string())
}

fn interface(version: Version, view: &InterfaceView) -> v1::OspfInterface {
    let state = match view.state {
        InterfaceState::Down => "down",
        InterfaceState::Loopback => "loopback",
        InterfaceState::Waiting => "waiting",
        InterfaceState::PointToPoint => "point-to-point",
        InterfaceState::DrOther => "dr-other",
        InterfaceState::Backup => "backup",
        InterfaceState::Dr => "dr",
    };
    let network = match view.network {
        None => "",
        Some(NetworkType::Broadcast) => "broadcast",
        Some(NetworkType::PointToPoint) => "point-to-point",
        Some(NetworkType::Nbma) => "nbma",
        Some(NetworkType::PointToMultipoint) => "point-to-multipoint",
    };
    v1::OspfInterface {
        name: view.name.clone(),
        version: version_number(version),
        area: view.area.to_string(),
        state: state.to_owned(),
        cost: u32::from(view.cost),
        network: network.to_owned(),
        address: view.address.as_ref().map(IpAddr::to_string).unwrap_or_default(),
        mtu: u32::from(view.mtu),
        priority: u32::from(view.priority),
        passive: view.passive,
        designated_router: dotted(view.dr),
        backup_designated_router: dotted(view.bdr),
        hello_interval: duration(view.hello_interval),
        dead_interval: duration(view.dead_interval),
        neighbors: count(view.neighbors),
        full: count(view.full),
        drops: view.drops.iter().map(|(reason, number)| ((*reason).to_owned(), *number)).collect(),
        status: view.obstacle.clone().unwrap_or_default(),
    }
}

fn adjacency(version: Version, view: &NeighborView) -> v1::OspfAdjacency {
    let state = match view.state {
        NeighborState::Down => "down",
        NeighborState::Attempt => "attempt",
        NeighborState::Init => "init",
        NeighborState::TwoWay => "two-way",
        NeighborState::ExStart => "exstart",
        NeighborState::Exchange => "exchange",
        NeighborState::Loading => "loading",
        NeighborState::Full => "full",
    };
    v1::OspfAdjacency {
        router_id: view.router.to_string(),
        address: view.address.to_string(),
        interface: view.interface_name.clone(),
        version: version_number(version),
        state: state.to_owned(),
        full_for: (view.state == NeighborState::Full).then(|| duration(view.age)).flatten(),
        area: view.area.to_string(),
        status: view.stuck.clone().unwrap_or_default(),
        priority: u32::from(view.priority),
        dead_in: duration(view.dead_in),
        unacknowledged: count(view.unacknowledged),
        requested: count(view.requested),
        retransmissions: view.retransmissions,
        ups: view.ups,
        helping: view.helping,
        in_state_for: duration(view.age),
    }
}

fn lsa(version: Version, view: &LsaView) -> v1::Lsa {
    let change = LsdbChange { area: view.area, interface: view.interface, header: view.header, gone: false };
    v1::Lsa { own: view.own, ..changed(version, &change) }
}

fn changed(version: Version, change: &LsdbChange) -> v1::Lsa {
    let header = &change.header;
    v1::Lsa {
        version: version_number(version),
        area: change.area.map(|area| area.to_string()).unwrap_or_default(),
        r#type: u32::from(header.key.kind.0),
        id: Ipv4Addr::from(header.key.id).to_string(),
        advertising_router: header.key.adv.to_string(),
        sequence: header.seq.0,
        age: duration(Duration::from_secs(u64::from(header.age))),
        interface: change.interface.map(named).unwrap_or_default(),
        checksum: u32::from(header.checksum),
        length: u32::from(header.length),
        own: false,
    }
}

fn runs(runs: SpfRuns) -> v1::SpfRuns {
    v1::SpfRuns { count: runs.count, last: runs.last.and_then(duration), longest: runs.longest.and_then(duration) }
}

fn vertex_row(vertex: Vertex, cost: u32) -> v1::SpfVertex {
    let (id, network, adv) = match vertex {
        Vertex::Router(router) => (router.to_string(), false, String::new()),
        Vertex::Network(id, adv) => (Ipv4Addr::from(id).to_string(), true, adv.to_string()),
    };
    v1::SpfVertex { id, distance: cost, network, advertising_router: adv }
}
