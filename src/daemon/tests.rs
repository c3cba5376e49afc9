//! Nodes on hosts in memory: wired, reloaded, stopped; two of them speak real BGP over loopback.

#![allow(clippy::disallowed_methods, reason = "a test waits in real time")]

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bgpd::speaker::message::{NeighborView, Query, Reply, SessionState};
use bgpd::wire::MessageType;
use fib_sync::host::Link;
use fib_sync::memory::{MemoryHost, Plane};
use ipnet::IpNet;
use rib::{FibFault, IfIndex, NextHop, Protocol};

use super::handles::{ApiRoute, Node, WatchStep};
use super::{Platform, Running, start};
use crate::config::{Model, check_text};

const LONG: Duration = Duration::from_secs(10);

fn model(text: &str) -> Model {
    check_text(Path::new("test.toml"), text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// A node without neighbors or API.
fn quiet(rest: &str) -> Model {
    model(&format!(
        "[node]\nasn = 64500\nrouter_id = \"10.0.0.1\"\n[api]\nlisten = []\n[fib]\nbackends = [\"memory\"]\n{rest}"
    ))
}

fn eth0(up: bool) -> Link {
    Link { index: IfIndex(2), name: "eth0".to_owned(), up, mtu: 1500, loopback: false }
}

async fn node(model: Model) -> (Running, MemoryHost, Plane) {
    let (platform, host, plane) = Platform::memory();
    (start(model, platform, None).await.expect("the node starts"), host, plane)
}

/// Looks until `seen` says so.
async fn until(what: &str, mut seen: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !seen().await {
        assert!(began.elapsed() < LONG, "{what} did not happen within {LONG:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

async fn has(node: &Node, prefix: &str) -> bool {
    node.rib.get(net(prefix)).await.expect("the RIB runs").is_some()
}

async fn neighbor(node: &Node, address: &str) -> NeighborView {
    let address: IpAddr = address.parse().expect("an address");
    match node.bgp.query(Query::Neighbors(Some(address.into()))).await {
        Ok(Reply::Neighbors(mut views)) => views.pop().expect("the neighbor is there"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_route_follows_the_interface_it_names() {
    let (node, host, plane) = node(quiet("[[static]]\nprefix = \"198.51.100.0/24\"\ninterface = \"eth0\"\n")).await;
    assert!(!has(&node.node, "198.51.100.0/24").await, "there is no eth0 yet");
    host.set_link(eth0(true));
    until("the route", async || plane.lookup("198.51.100.1".parse().expect("an address")).is_some()).await;
    host.set_link(eth0(false));
    until("its end", async || plane.routes().is_empty()).await;
    host.set_link(eth0(true));
    until("its return", async || !plane.routes().is_empty()).await;
    host.remove_link(IfIndex(2));
    until("its end with the link", async || plane.routes().is_empty()).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_removes_our_routes_unless_told_to_keep_them_and_the_next_start_sweeps_what_is_not_wanted() {
    let text = "[[static]]\nprefix = \"198.51.100.0/24\"\nblackhole = true\n[[static]]\nprefix = \"203.0.113.0/24\"\nblackhole = true\n";
    let (first, _, plane) = node(quiet(text)).await;
    until("both routes", async || plane.routes().len() == 2).await;
    first.stop().await;
    assert_eq!(plane.routes(), []);

    let (second, _, plane) = node(quiet(&format!("{text}[fib.kernel]\non_exit = \"keep\"\n"))).await;
    until("both routes", async || plane.routes().len() == 2).await;
    second.stop().await;
    assert_eq!(plane.routes().len(), 2);

    // The next run wants only one of them.
    let (host, events) = MemoryHost::new();
    let platform = Platform::Memory { host, events, plane: plane.clone() };
    let third = start(quiet("[[static]]\nprefix = \"203.0.113.0/24\"\nblackhole = true\n"), platform, None).await;
    let third = third.expect("the node starts");
    until("the sweep", async || plane.routes().len() == 1).await;
    assert_eq!(plane.routes()[0].0, net("203.0.113.0/24"));
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_bound_announced_in_the_rib_and_not_disturbed_by_the_sweep() {
    let (node, _host, _plane) =
        node(quiet("[[service]]\nname = \"dns\"\nvips = [\"192.0.2.53/32\"]\nbind = \"lo\"\n")).await;
    let mut history = node.node.anycast.subscribe();
    until("the announcement", async || {
        node.node.anycast.service("dns").await.is_some_and(|service| service.vips.iter().all(|vip| vip.announced))
    })
    .await;
    let route = node.node.rib.get(net("192.0.2.53/32")).await.expect("the RIB runs").expect("the service's route");
    assert!(matches!(route.route.protocol, Protocol::Connected | Protocol::Service));
    while history.try_recv().is_ok() {}
    for fib in &node.node.fibs {
        node.node.rib.sweep(fib.id).await.expect("the RIB runs");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(history.try_recv().is_err(), "a sweep is nothing to a service");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_the_api_ends_with_its_lease() {
    let (node, _, plane) = node(quiet("")).await;
    let route = |prefix: &str, lease| ApiRoute {
        prefix: net(prefix),
        next_hops: NextHop::Discard(rib::Discard::Blackhole).into(),
        metric: 0,
        tag: 0,
        lease,
    };
    let api = &node.node.api_routes;
    assert_eq!(api.add(route("198.51.100.0/24", Some(Duration::from_millis(300)))).await, Ok(Ok(true)));
    assert_eq!(api.add(route("203.0.113.0/24", None)).await, Ok(Ok(true)));
    assert_eq!(api.add(route("203.0.113.0/24", None)).await, Ok(Ok(false)));
    assert!(api.add(route("192.0.2.0/24", Some(Duration::ZERO))).await.expect("it runs").is_err());
    until("both routes", async || plane.routes().len() == 2).await;
    until("the end of the lease", async || plane.routes().len() == 1).await;
    assert_eq!(api.list().await.expect("it runs").len(), 1);
    assert_eq!(api.delete(net("203.0.113.0/24")).await, Ok(true));
    assert_eq!(api.delete(net("203.0.113.0/24")).await, Ok(false));
    until("the end of the route", async || plane.routes().is_empty()).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_gives_a_snapshot_then_changes_and_resumes_where_nothing_was_missed() {
    let (node, _, _) = node(quiet("[[static]]\nprefix = \"198.51.100.0/24\"\nblackhole = true\n")).await;
    until("the route", async || has(&node.node, "198.51.100.0/24").await).await;
    let mut watch = node.node.rib.watch();
    assert!(matches!(watch.next().await, Ok(WatchStep::Reset)));
    let Ok(WatchStep::Snapshot(routes)) = watch.next().await else { panic!("a snapshot") };
    assert_eq!(routes.len(), 1);
    assert!(matches!(watch.next().await, Ok(WatchStep::Synced(_))));
    let route = ApiRoute {
        prefix: net("203.0.113.0/24"),
        next_hops: NextHop::Discard(rib::Discard::Blackhole).into(),
        metric: 0,
        tag: 0,
        lease: None,
    };
    node.node.api_routes.add(route).await.expect("it runs").expect("it is taken");
    let Ok(WatchStep::Changed { routes, through }) = watch.next().await else { panic!("a change") };
    assert_eq!((routes[0].0, routes[0].1.is_some()), (net("203.0.113.0/24"), true));
    let mut resumed = node.node.rib.watch_from(through);
    node.node.api_routes.delete(net("203.0.113.0/24")).await.expect("it runs");
    let Ok(WatchStep::Changed { routes, .. }) = resumed.next().await else { panic!("no snapshot is needed") };
    assert_eq!((routes[0].0, routes[0].1.is_none()), (net("203.0.113.0/24"), true));
    // A position of another run is no place to resume from.
    let mut stranger = node.node.rib.watch_from(1 << 40);
    assert!(matches!(stranger.next().await, Ok(WatchStep::Reset)));
    node.stop().await;
    assert!(watch.next().await.is_err(), "the RIB is gone");
}

/// The speaking end of a pair: announces static routes within 198.51.100.0/22 with a documentation next hop.
fn speaker(port: u16, statics: &[&str], more: &str) -> Model {
    let statics: String =
        statics.iter().map(|prefix| format!("[[static]]\nprefix = \"{prefix}\"\nblackhole = true\n")).collect();
    model(&format!(
        r#"
[node]
asn = 64501
router_id = "10.0.0.2"
[api]
listen = []
[bgp]
listen = []
redistribute = [ {{ from = "static", policy = "ours" }} ]
[fib]
backends = ["memory"]
[[neighbor]]
address = "127.0.0.1"
port = {port}
asn = 64500
local_address = "127.0.0.4"
connect_retry = "100ms"
import = "reject"
export = "out"
[[policy]]
name = "ours"
rules = [ {{ match = {{ prefix = "198.51.100.0/22 le 24" }}, set = {{ med = 7, add_communities = ["64501:9"] }}, action = "accept" }} ]
[[policy]]
name = "out"
rules = [ {{ set = {{ next_hop = "192.0.2.1" }}, action = "accept" }} ]
{statics}{more}"#
    ))
}

/// The listening end.
fn listener() -> Model {
    model(
        r#"
[node]
asn = 64500
router_id = "10.0.0.1"
[api]
listen = []
[bgp]
listen = ["127.0.0.1:0"]
[fib]
backends = ["memory"]
[[neighbor]]
address = "127.0.0.4"
asn = "external"
passive = true
import = "accept"
[[static]]
prefix = "192.0.2.1/32"
interface = "eth0"
"#,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn redistribution_follows_policy_and_reloads_while_the_session_stays() {
    let (edge, host, plane) = node(listener()).await;
    host.set_link(eth0(true));
    let port = edge.node.info.bgp_listen[0].port();
    let (mut site, _, _) = node(speaker(port, &["198.51.100.0/24", "203.0.113.0/24"], "")).await;
    until("the route at the edge", async || has(&edge.node, "198.51.100.0/24").await).await;
    assert!(!has(&edge.node, "203.0.113.0/24").await, "the policy does not let it out");
    let answer = edge.node.bgp.query(Query::Explain { prefix: net("198.51.100.0/24"), neighbor: None }).await;
    let Ok(Reply::Explain(explanation)) = answer else { panic!("{answer:?}") };
    let attributes = &explanation.candidates[0].path.attributes;
    assert_eq!((attributes.med, attributes.communities.as_slice()), (Some(7), [(64501 << 16) | 9].as_slice()));
    until("the data plane", async || plane.lookup("198.51.100.1".parse().expect("an address")).is_some()).await;

    // A reload that trades one route for another.
    let diff = site.reload(speaker(port, &["198.51.101.0/24"], "")).await.expect("the reload is carried out");
    assert!(diff.statics && !diff.speaker);
    until("the trade", async || has(&edge.node, "198.51.101.0/24").await && !has(&edge.node, "198.51.100.0/24").await)
        .await;

    // A new neighbor does not disturb the old one.
    let another = "[[neighbor]]\naddress = \"127.0.0.9\"\nasn = 64502\npassive = true\n";
    let diff = site.reload(speaker(port, &["198.51.101.0/24"], another)).await.expect("the reload is carried out");
    assert_eq!(diff.lines, ["neighbor 127.0.0.9 added"]);
    // What needs a restart is refused whole.
    let mut other = speaker(port, &[], "");
    other.node.site = "ams1".to_owned();
    let refused = site.reload(other).await.expect_err("the site's name needs a restart");
    assert!(refused.contains("node"), "{refused}");
    assert!(has(&site.node, "198.51.101.0/24").await, "nothing was changed");
    let view = neighbor(&site.node, "127.0.0.1").await;
    assert_eq!((view.state, view.established_count), (SessionState::Established, 1));

    // A clean stop withdraws before it leaves.
    site.stop().await;
    until("the withdrawal", async || !has(&edge.node, "198.51.101.0/24").await).await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_careful_neighbor_is_told_only_what_the_data_plane_took_and_hears_when_it_is_lost() {
    let (edge, host, _) = node(listener()).await;
    host.set_link(eth0(true));
    let port = edge.node.info.bgp_listen[0].port();
    let mut model = speaker(port, &["198.51.100.0/24", "198.51.101.0/24"], "");
    model.speaker.neighbors[0].advertise_only_installed = true;
    let (platform, _, plane) = Platform::memory();
    let refused = net("198.51.100.0/24");
    plane.refuse(refused, FibFault::Unsupported("not today"), u32::MAX);
    let site = start(model, platform, None).await.expect("the node starts");
    until("the route that was taken", async || has(&edge.node, "198.51.101.0/24").await).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!has(&edge.node, "198.51.100.0/24").await);
    let reason = async || match site.node.bgp.query(Query::Explain { prefix: refused, neighbor: None }).await {
        Ok(Reply::Explain(explanation)) => explanation.exports[0].reason.clone(),
        other => panic!("{other:?}"),
    };
    let said = reason().await;
    assert!(said.starts_with("advertise_only_installed: data plane 0") && said.ends_with("not today"), "{said}");
    plane.refuse(refused, FibFault::Unsupported("not today"), 0);
    until("the route that was taken in the end", async || has(&edge.node, "198.51.100.0/24").await).await;
    // Lost, and refused when it is to be written again.
    plane.refuse(refused, FibFault::Unsupported("not today"), u32::MAX);
    assert!(plane.forget(refused));
    site.node.fibs[0].resync().await.expect("the data plane runs");
    until("the withdrawal", async || !has(&edge.node, "198.51.100.0/24").await).await;
    assert!(has(&edge.node, "198.51.101.0/24").await);
    plane.refuse(refused, FibFault::Unsupported("not today"), 0);
    until("its return", async || has(&edge.node, "198.51.100.0/24").await).await;
    site.stop().await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_same_socket_or_port_is_told_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("api.sock");
    let with_socket = || {
        let mut model = listener();
        model.api = vec![crate::config::model::ApiListen::Unix(socket.clone())];
        model
    };
    let (first, _, _) = node(with_socket()).await;
    let second = start(with_socket(), Platform::memory().0, None).await.err().expect("the socket is taken").to_string();
    assert!(second.contains("api.sock"), "{second}");
    let mut same_port = listener();
    same_port.bgp.listen.clone_from(&first.node.info.bgp_listen);
    let second = start(same_port, Platform::memory().0, None).await.err().expect("the port is taken").to_string();
    assert!(second.contains("already in use"), "{second}");
    first.stop().await;
    assert!(!socket.exists(), "the socket file goes with its daemon");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reloads_of_the_same_file_send_nothing_but_keepalives() {
    let (edge, host, _) = node(listener()).await;
    host.set_link(eth0(true));
    let port = edge.node.info.bgp_listen[0].port();
    let file = || speaker(port, &["198.51.100.0/24", "198.51.101.0/24"], "");
    let (mut site, _, _) = node(file()).await;
    until("the routes at the edge", async || has(&edge.node, "198.51.101.0/24").await).await;
    until("End-of-RIB", async || neighbor(&site.node, "127.0.0.1").await.updates_out >= 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = (neighbor(&site.node, "127.0.0.1").await, neighbor(&edge.node, "127.0.0.4").await);
    for round in 0..1000 {
        let diff = site.reload(file()).await.expect("the reload is carried out");
        assert!(diff.is_empty() || round % 100 == 1, "{:?}", diff.lines);
        // Now and then something that reaches the speaker and is nobody else's business.
        if round % 100 == 0 {
            let mut other = file();
            other.speaker.neighbors[0].description = format!("round {round}");
            let diff = site.reload(other).await.expect("the reload is carried out");
            assert_eq!(diff.lines, ["neighbor 127.0.0.1 changed"]);
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let after = (neighbor(&site.node, "127.0.0.1").await, neighbor(&edge.node, "127.0.0.4").await);
    for (before, after) in [(&before.0, &after.0), (&before.1, &after.1)] {
        assert_eq!(after.state, SessionState::Established);
        assert_eq!(after.established_count, before.established_count);
        assert_eq!((after.updates_in, after.updates_out), (before.updates_in, before.updates_out));
    }
    // Not only no UPDATE: all that was said in between is KEEPALIVE.
    let said = after.0.messages.1 - before.0.messages.1;
    let Ok(Reply::History(entries)) = site.node.bgp.query(Query::History(after.0.key.clone())).await else {
        panic!("the history is told")
    };
    let sent: Vec<_> = entries.iter().filter(|entry| entry.sent).collect();
    let new = &sent[sent.len() - usize::try_from(said).expect("a few")..];
    assert!(new.iter().all(|entry| entry.kind == MessageType::Keepalive), "{new:?}");
    site.stop().await;
    edge.stop().await;
}
