//! `anyhop show …`: tables of the running daemon.

use bgpd::speaker::message::NeighborKey;
use clap::{Subcommand, ValueEnum};
use ipnet::IpNet;
use proto::v1;
use serde::Serialize;

use super::Later;
use super::client::{Client, Failure};
use super::ospf::{self, Ospf};
use super::output::{count, json, line, or_dash, print, span, table};
use super::view::{AddPath, Attributes, Backend, BfdSession, MaxPrefix, Neighbor, Path, Restart, Route, Service};

/// Routes asked for at a time.
const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Show {
    /// BGP neighbors, or one in full
    Neighbors {
        /// Only this one
        address: Option<NeighborKey>,
    },
    /// Chosen routes
    Routes {
        /// Only this prefix
        prefix: Option<IpNet>,
        /// With PREFIX: and everything inside it
        #[arg(long, requires = "prefix")]
        longer: bool,
        /// Only this family
        #[arg(long)]
        family: Option<Family>,
        /// Only routes of this protocol; several: one --protocol each
        #[arg(long)]
        protocol: Vec<Protocol>,
    },
    /// What a neighbor said (Adj-RIB-In), before and after policy
    AdjIn(Adj),
    /// What a neighbor has been told (Adj-RIB-Out)
    AdjOut(Adj),
    /// Anycast services with their VIPs and checks
    Services {
        /// Only this one
        name: Option<String>,
    },
    /// Data planes
    Fib,
    /// OSPF, both versions
    #[command(subcommand)]
    Ospf(Ospf),
    /// BFD sessions
    Bfd,
    #[command(hide = true, disable_help_flag = true)]
    Policies(Later),
}

#[derive(Debug, clap::Args)]
pub(super) struct Adj {
    /// The neighbor
    neighbor: NeighborKey,
    /// Only this family
    #[arg(long)]
    family: Option<Family>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Family {
    #[value(alias = "ipv4-unicast")]
    Ipv4,
    #[value(alias = "ipv6-unicast")]
    Ipv6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    Connected,
    Static,
    Service,
    Api,
    Bgp,
    Ospf,
    Kernel,
}

fn family(family: Option<Family>) -> i32 {
    match family {
        None => v1::AddressFamily::Unspecified,
        Some(Family::Ipv4) => v1::AddressFamily::Ipv4,
        Some(Family::Ipv6) => v1::AddressFamily::Ipv6,
    }
    .into()
}

fn protocol(protocol: Protocol) -> i32 {
    match protocol {
        Protocol::Connected => v1::Protocol::Connected,
        Protocol::Static => v1::Protocol::Static,
        Protocol::Service => v1::Protocol::Service,
        Protocol::Api => v1::Protocol::Api,
        Protocol::Bgp => v1::Protocol::Bgp,
        Protocol::Ospf => v1::Protocol::Ospf,
        Protocol::Kernel => v1::Protocol::Kernel,
    }
    .into()
}

pub(super) async fn run(client: Client, wish: Show) -> Result<(), Failure> {
    match wish {
        Show::Neighbors { address: None } => neighbors(&client).await,
        Show::Neighbors { address: Some(address) } => neighbor(&client, address).await,
        Show::Routes { prefix, longer, family: f, protocol: protocols } => {
            let request = v1::ListRoutesRequest {
                prefix: prefix.map(|prefix| prefix.to_string()),
                longer,
                family: family(f),
                protocols: protocols.into_iter().map(protocol).collect(),
                page_size: PAGE,
                page_token: String::new(),
            };
            routes(&client, request).await
        }
        Show::AdjIn(adj) => adj_in(&client, &adj).await,
        Show::AdjOut(adj) => adj_out(&client, &adj).await,
        Show::Services { name } => services(&client, name).await,
        Show::Fib => fib(&client).await,
        Show::Ospf(wish) => ospf::run(&client, wish).await,
        Show::Bfd => bfd(&client).await,
        Show::Policies(later) => Err(Failure::not_built(&later, "policies stand in the configuration file")),
    }
}

#[derive(Serialize)]
struct Neighbors {
    neighbors: Vec<Neighbor>,
}

async fn neighbors(client: &Client) -> Result<(), Failure> {
    let answer = client.bgp().list_neighbors(v1::ListNeighborsRequest {}).await?.into_inner();
    let neighbors: Vec<_> = answer.neighbors.iter().map(Neighbor::from).collect();
    if client.json {
        return json(&Neighbors { neighbors });
    }
    if neighbors.is_empty() {
        return line("no neighbors are configured");
    }
    print(&neighbors_table(&neighbors))
}

/// One row per neighbor, and why it is not as one would wish.
pub(super) fn neighbors_table(neighbors: &[Neighbor]) -> String {
    let rows = neighbors.iter().map(|neighbor| {
        [
            neighbor.address.clone(),
            neighbor.asn.map_or_else(|| "-".to_owned(), |asn| asn.to_string()),
            neighbor.state_text(),
            neighbor.up_for.map_or_else(|| "-".to_owned(), span),
            count(neighbor.received),
            count(neighbor.accepted),
            count(neighbor.advertised),
            neighbor.note_text(),
        ]
    });
    table(["neighbor", "as ", "state", "up ", "received ", "accepted ", "told ", "note"], rows)
}

async fn neighbor(client: &Client, address: NeighborKey) -> Result<(), Failure> {
    let request = v1::GetNeighborRequest { address: address.to_string() };
    let answer = client.bgp().get_neighbor(request).await?.into_inner();
    let neighbor = answer.neighbor.as_ref().map(Neighbor::from);
    let neighbor = neighbor.ok_or_else(|| Failure::failed("the daemon answered without the neighbor"))?;
    if client.json { json(&neighbor) } else { print(&neighbor_text(&neighbor)) }
}

fn neighbor_text(neighbor: &Neighbor) -> String {
    let seconds = |time: Option<std::time::Duration>| time.map_or_else(|| "-".to_owned(), span);
    let rows = [
        ("description", or_dash(neighbor.description.clone().unwrap_or_default())),
        ("AS", neighbor.asn.map_or_else(|| "-".to_owned(), |asn| asn.to_string())),
        ("router id", or_dash(neighbor.router_id.clone().unwrap_or_default())),
        ("state", neighbor.state_text()),
        ("up for", seconds(neighbor.up_for)),
        ("our end", or_dash(neighbor.local.clone().unwrap_or_default())),
        ("hold time", seconds(neighbor.hold_time)),
        ("families", or_dash(neighbor.families.join(", "))),
        (
            "prefixes",
            format!(
                "{} received, {} accepted, {} told",
                count(neighbor.received),
                count(neighbor.accepted),
                count(neighbor.advertised)
            ),
        ),
        ("updates", format!("{} in, {} out", count(neighbor.updates_in), count(neighbor.updates_out))),
        ("messages", format!("{} in, {} out", count(neighbor.messages_in), count(neighbor.messages_out))),
        ("established", format!("{} times", neighbor.established_count)),
        ("last down", or_dash(neighbor.last_down.clone().unwrap_or_default())),
    ];
    // What is the same for most neighbors is shown where it is not.
    let some = [
        ("their end", neighbor.remote.clone()),
        ("interface", neighbor.interface.clone()),
        ("added", neighbor.added.then(|| "through the API, until the daemon restarts".to_owned())),
        ("passive", neighbor.passive.then(|| "it has to connect to us".to_owned())),
        ("agreed on", Some(neighbor.capabilities.join(", ")).filter(|names| !names.is_empty())),
        ("our role", neighbor.role.as_ref().map(|role| role_text(role, neighbor.remote_role.as_deref()))),
        ("add-path", Some(add_path_text(&neighbor.add_path)).filter(|text| !text.is_empty())),
        ("restart", Some(restart_text(&neighbor.graceful_restart)).filter(|text| !text.is_empty())),
        ("max prefix", neighbor.max_prefix.as_ref().map(max_prefix_text)),
        ("GTSM", neighbor.ttl_security.map(|hops| format!("at most {hops} hops away"))),
        ("password", neighbor.password.then(|| "TCP-MD5".to_owned())),
        ("last error", neighbor.last_error.clone().filter(|error| Some(error) != neighbor.last_down.as_ref())),
    ];
    let some = some.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    let mut text = format!("neighbor {}\n", neighbor.address);
    for (name, value) in rows.into_iter().chain(some) {
        text.push_str(&format!("  {name:<12} {value}\n"));
    }
    for note in &neighbor.notes {
        text.push_str(&format!("  note         {note}\n"));
    }
    for fact in &neighbor.facts {
        text.push_str(&format!("  fact         {fact}\n"));
    }
    text
}

fn role_text(ours: &str, theirs: Option<&str>) -> String {
    match theirs {
        Some(theirs) => format!("{ours}, theirs {theirs}"),
        None => format!("{ours}, theirs not named"),
    }
}

fn add_path_text(families: &[AddPath]) -> String {
    let one = |of: &AddPath| {
        let receive = of.receive.then(|| "several received".to_owned());
        let send = (of.send > 0).then(|| format!("up to {} sent", of.send));
        format!("{}: {}", of.family, [receive, send].into_iter().flatten().collect::<Vec<_>>().join(", "))
    };
    families.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn restart_text(restart: &Restart) -> String {
    let parts = [
        restart.helper.then(|| "its routes are kept over its restart".to_owned()),
        restart.enabled.then(|| "ours are to be kept over ours".to_owned()),
        restart.restart_time.map(|time| format!("it needs {}", span(time))),
        restart.long_lived.map(|time| format!("long-lived for {}", span(time))),
        restart.restarting.then(|| "it is restarting".to_owned()),
        (restart.stale > 0).then(|| format!("{} stale prefixes", count(restart.stale))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn max_prefix_text(limit: &MaxPrefix) -> String {
    let after = match limit.restart {
        Some(time) => format!("then down for {}", span(time)),
        None => "then down until reset".to_owned(),
    };
    let state = match limit {
        MaxPrefix { exceeded: true, .. } => "; exceeded",
        MaxPrefix { warned: true, .. } => "; above the warning",
        MaxPrefix { .. } => "",
    };
    format!("{} per family, warning from {}, {after}{state}", count(limit.limit.into()), count(limit.warn.into()))
}

/// Prints a walk page by page: a table of a million routes is never held here.
struct Pages {
    json: bool,
    first: bool,
}

impl Pages {
    fn begin(json: bool) -> Result<Self, Failure> {
        if json {
            print("{\"routes\": [")?;
        }
        Ok(Self { json, first: true })
    }

    fn page<T: Serialize>(&mut self, items: &[T], text: impl FnOnce(&[T], bool) -> String) -> Result<(), Failure> {
        if items.is_empty() {
            return Ok(());
        }
        if self.json {
            for item in items {
                let separator = if self.first { "\n" } else { ",\n" };
                self.first = false;
                let item = serde_json::to_string(item);
                let item = item.map_err(|err| Failure::failed(format!("cannot write JSON: {err}")))?;
                print(&format!("{separator}{item}"))?;
            }
            return Ok(());
        }
        let head = std::mem::take(&mut self.first);
        print(&text(items, head))
    }

    fn end(self, nothing: &str) -> Result<(), Failure> {
        match (self.json, self.first) {
            (true, _) => print("\n]}\n"),
            (false, true) => line(nothing),
            (false, false) => Ok(()),
        }
    }
}

/// A page after the first goes on without a head.
fn headless(text: String, head: bool) -> String {
    if head { text } else { text.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default() }
}

async fn routes(client: &Client, mut request: v1::ListRoutesRequest) -> Result<(), Failure> {
    let nothing = match &request.prefix {
        Some(prefix) => format!("no route for {prefix}; `anyhop lookup` finds the route that covers an address"),
        None => "no routes".to_owned(),
    };
    let mut pages = Pages::begin(client.json)?;
    let mut api = client.rib();
    loop {
        let answer = api.list_routes(request.clone()).await?.into_inner();
        let routes: Vec<_> = answer.routes.iter().map(Route::from).collect();
        pages.page(&routes, |routes, head| headless(routes_table(routes), head))?;
        if answer.next_page_token.is_empty() {
            return pages.end(&nothing);
        }
        request.page_token = answer.next_page_token;
    }
}

pub(super) fn routes_table(routes: &[Route]) -> String {
    let rows = routes.iter().map(|route| {
        [route.prefix.clone(), route.protocol_text(), route.preference_text(), route.hops_text(), route.fib_text()]
    });
    table(["prefix", "protocol", "distance/metric", "next hops", "fib"], rows)
}

async fn adj_in(client: &Client, adj: &Adj) -> Result<(), Failure> {
    let mut pages = Pages::begin(client.json)?;
    let mut request = v1::ListAdjInRequest {
        neighbor: adj.neighbor.to_string(),
        family: family(adj.family),
        page_size: PAGE,
        page_token: String::new(),
    };
    let mut api = client.bgp();
    loop {
        let answer = api.list_adj_in(request.clone()).await?.into_inner();
        let paths: Vec<_> = answer.paths.iter().map(Path::from).collect();
        pages.page(&paths, |paths, head| headless(paths_table(paths, true), head))?;
        if answer.next_page_token.is_empty() {
            return pages.end(&format!("nothing is held from {}", adj.neighbor));
        }
        request.page_token = answer.next_page_token;
    }
}

async fn adj_out(client: &Client, adj: &Adj) -> Result<(), Failure> {
    let mut pages = Pages::begin(client.json)?;
    let mut request = v1::ListAdjOutRequest {
        neighbor: adj.neighbor.to_string(),
        family: family(adj.family),
        page_size: PAGE,
        page_token: String::new(),
    };
    let mut api = client.bgp();
    loop {
        let answer = api.list_adj_out(request.clone()).await?.into_inner();
        let paths: Vec<_> = answer.paths.iter().map(Path::from).collect();
        pages.page(&paths, |paths, head| headless(paths_table(paths, false), head))?;
        if answer.next_page_token.is_empty() {
            return pages.end(&format!("{} has been told nothing", adj.neighbor));
        }
        request.page_token = answer.next_page_token;
    }
}

/// `>` marks the best path; for what was received, `x` what the import policy rejected.
pub(super) fn paths_table(paths: &[Path], received: bool) -> String {
    let rows = paths.iter().map(|path| {
        let mark = match path {
            Path { best: true, .. } => ">",
            Path { imported: None, .. } if received => "x",
            Path { .. } => " ",
        };
        let of = |text: fn(&Attributes) -> String| path.attributes.as_ref().map(text).unwrap_or_default();
        let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let id = path.path_id.map(|id| format!(" path {id}")).unwrap_or_default();
        [
            format!("{mark} {}{id}", path.prefix),
            of(|attributes| attributes.next_hop.clone()),
            number(path.attributes.as_ref().and_then(|attributes| attributes.local_pref)),
            number(path.attributes.as_ref().and_then(|attributes| attributes.med)),
            of(|attributes| or_dash(attributes.as_path.clone())),
            of(|attributes| attributes.origin.clone()),
            of(Attributes::communities_text),
        ]
    });
    table(["  prefix", "next hop", "pref ", "med ", "as path", "origin", "communities"], rows)
}

#[derive(Serialize)]
struct Services {
    services: Vec<Service>,
}

async fn services(client: &Client, name: Option<String>) -> Result<(), Failure> {
    let one = name.is_some();
    let found = match name {
        Some(name) => {
            let answer = client.anycast().get_service(v1::GetServiceRequest { name }).await?;
            answer.into_inner().service.into_iter().collect()
        }
        None => client.anycast().list_services(v1::ListServicesRequest {}).await?.into_inner().services,
    };
    let services: Vec<_> = found.iter().map(Service::from).collect();
    match (client.json, services.first()) {
        (true, Some(service)) if one => json(service),
        (true, _) => json(&Services { services }),
        (false, None) => line("no services are configured"),
        (false, Some(_)) => print(&services_text(&services)),
    }
}

/// Each service with its VIPs and checks below it.
pub(super) fn services_text(services: &[Service]) -> String {
    let mut text = String::new();
    for service in services {
        let origin = if service.registered { "  (registered through the API)" } else { "" };
        text.push_str(&format!("{}  {}{origin}: {}\n", service.name, service.state, service.reason));
        for vip in &service.vips {
            let state = if vip.announced { "announced" } else { "not announced" };
            let why = vip.bind_error.as_ref().or(vip.blocked.as_ref());
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            text.push_str(&format!("  vip    {:<24} {state}{why}\n", vip.prefix));
        }
        for check in &service.checks {
            let health = check.health.as_deref().unwrap_or("not running");
            // Only a run against the present state is worth saying.
            let progress = match check.progress {
                0 => String::new(),
                progress => format!(" ({progress}/{} against it)", check.needed),
            };
            let last = check.last_detail.as_deref().unwrap_or("no run yet");
            text.push_str(&format!("  check  {:<24} {health}{progress}: {last}\n", check.what));
        }
    }
    text
}

#[derive(Serialize)]
struct Backends {
    backends: Vec<Backend>,
}

async fn fib(client: &Client) -> Result<(), Failure> {
    let answer = client.fib().get_fib(v1::GetFibRequest {}).await?.into_inner();
    let backends: Vec<_> = answer.backends.iter().map(Backend::from).collect();
    if client.json {
        return json(&Backends { backends });
    }
    if backends.is_empty() {
        return line("this node has no data planes: it is control plane only");
    }
    print(&fib_table(&backends))?;
    print(&fib_history(&backends))?;
    let ports = backends.iter().flat_map(|backend| backend.ports.iter().map(|port| (&backend.name, port)));
    let ports: Vec<_> = ports
        .map(|(backend, port)| {
            let mode = port.mode.clone().unwrap_or_else(|| "off".to_owned());
            [backend.clone(), port.name.clone(), mode, port.remark.clone().unwrap_or_default()]
        })
        .collect();
    if !ports.is_empty() {
        print(&table(["backend", "interface", "mode", "remark"], ports))?;
    }
    let counted =
        backends.iter().flat_map(|backend| backend.counters.iter().map(|(of, value)| (&backend.name, of, *value)));
    let counted: Vec<_> = counted
        .filter(|(_, _, value)| *value > 0)
        .map(|(backend, of, value)| [backend.clone(), of.clone(), count(value)])
        .collect();
    if !counted.is_empty() {
        print(&table(["backend", "counted", "packets "], counted))?;
    }
    Ok(())
}

/// What has happened since the start.
fn fib_history(backends: &[Backend]) -> String {
    let rows = backends.iter().map(|backend| {
        let latency = format!("{} / {} µs", count(backend.batch_mean_us), count(backend.batch_longest_us));
        let drift = format!("{} / {}", count(backend.disturbed), count(backend.repaired));
        let (adopted, swept) = (count(backend.adopted), count(backend.swept));
        [
            backend.name.clone(),
            count(backend.batches),
            latency,
            count(backend.errors),
            count(backend.retries),
            drift,
            adopted,
            swept,
        ]
    });
    let heads = ["backend", "batches", "mean / longest", "errors", "retries", "touched / repaired", "adopted", "swept"];
    table(heads, rows)
}

pub(super) fn fib_table(backends: &[Backend]) -> String {
    let rows = backends.iter().map(|backend| {
        [
            backend.name.clone(),
            count(backend.desired),
            count(backend.installed),
            count(backend.pending),
            count(backend.failed),
            count(backend.next_hops),
            backend.error.clone().unwrap_or_else(|| "ok".to_owned()),
        ]
    });
    table(["backend", "desired ", "installed ", "pending ", "failed ", "next hops ", "state"], rows)
}

#[derive(Serialize)]
struct BfdSessions {
    sessions: Vec<BfdSession>,
}

async fn bfd(client: &Client) -> Result<(), Failure> {
    let answer = client.node().list_bfd_sessions(v1::ListBfdSessionsRequest {}).await?.into_inner();
    let sessions: Vec<_> = answer.sessions.iter().map(BfdSession::from).collect();
    if client.json {
        return json(&BfdSessions { sessions });
    }
    if sessions.is_empty() {
        return line(
            "no BFD sessions: neighbors ask for them with bfd = true once they are established, OSPF interfaces and static routes likewise",
        );
    }
    print(&bfd_table(&sessions))
}

fn bfd_table(sessions: &[BfdSession]) -> String {
    let head = ["PEER", "LOCAL", "STATE", "FOR", "INTERVAL", "DETECTION", "FAILURES ", "CLIENTS ", "LAST"];
    table(
        head,
        sessions.iter().map(|session| {
            let last = session.missing.as_deref().or(session.diagnostic.as_deref()).unwrap_or_default();
            [
                session.address.clone(),
                or_dash(session.local_address.as_deref().unwrap_or_default()),
                session.state.clone(),
                or_dash(session.in_state_for.map(span).unwrap_or_default()),
                or_dash(session.transmit_interval.map(span).unwrap_or_default()),
                or_dash(session.detection_time.map(span).unwrap_or_default()),
                count(session.failures),
                count(session.clients.into()),
                or_dash(last),
            ]
        }),
    )
}
