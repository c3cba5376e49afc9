//! The whole server over a Unix socket: a real node on a host in memory, asked by real clients.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::v1;
use proto::v1::anycast_service_client::AnycastServiceClient;
use proto::v1::bgp_service_client::BgpServiceClient;
use proto::v1::fib_service_client::FibServiceClient;
use proto::v1::node_service_client::NodeServiceClient;
use proto::v1::ospf_service_client::OspfServiceClient;
use proto::v1::policy_service_client::PolicyServiceClient;
use proto::v1::rib_service_client::RibServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::daemon::{Platform, Running};

/// Longest wait for anything that should happen at once.
const SOON: Duration = Duration::from_secs(5);

/// A node and a client of its API.
struct Lab {
    running: Running,
    channel: Channel,
    socket: PathBuf,
    _dir: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("api.sock");
        let text = format!(
            r#"
            [node]
            asn = 64512
            router_id = "10.0.0.11"
            site = "lab"
            [api]
            listen = ["unix:{}", "127.0.0.1:0"]
            [bgp]
            listen = []
            [fib]
            backends = ["memory"]
            [[neighbor]]
            address = "127.0.0.9"
            asn = 64500
            passive = true
            [[static]]
            prefix = "198.51.100.0/24"
            blackhole = true
            [[service]]
            name = "dns"
            vips = ["192.0.2.53/32"]
            bind = "lo"
            [[service]]
            name = "www"
            vips = ["192.0.2.80/32"]
            bind = "lo"
            [safety]
            budget = {{ withdrawals = 1, per = "1h" }}
            "#,
            socket.display()
        );
        let model = crate::config::check_text(Path::new("lab.toml"), &text).unwrap();
        let (platform, _, _) = Platform::memory();
        let running = crate::daemon::start(model, platform, None).await.unwrap();
        let channel = connect(&format!("unix:{}", socket.display())).await;
        Self { running, channel, socket, _dir: dir }
    }

    fn rib(&self) -> RibServiceClient<Channel> {
        RibServiceClient::new(self.channel.clone())
    }

    fn anycast(&self) -> AnycastServiceClient<Channel> {
        AnycastServiceClient::new(self.channel.clone())
    }

    fn bgp(&self) -> BgpServiceClient<Channel> {
        BgpServiceClient::new(self.channel.clone())
    }

    async fn add(&self, prefix: &str) -> v1::AddRouteResponse {
        self.rib().add_route(blackhole(prefix)).await.unwrap().into_inner()
    }

    async fn wait_for_service(&self, name: &str, state: v1::ServiceState) {
        eventually(|| async {
            let request = v1::GetServiceRequest { name: name.to_owned() };
            let service = self.anycast().get_service(request).await.unwrap().into_inner().service.unwrap();
            (service.state() == state).then_some(())
        })
        .await;
    }
}

async fn connect(address: &str) -> Channel {
    let uri = if address.starts_with("unix:") { address.to_owned() } else { format!("http://{address}") };
    Endpoint::from_shared(uri).unwrap().connect().await.unwrap()
}

async fn eventually<T, F: Future<Output = Option<T>>>(mut probe: impl FnMut() -> F) -> T {
    let wait = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("it happens soon")
}

/// The next message of a watch.
async fn next<T>(stream: &mut tonic::Streaming<T>) -> T {
    tokio::time::timeout(SOON, stream.message()).await.expect("a message soon").unwrap().expect("the watch goes on")
}

fn blackhole(prefix: &str) -> v1::AddRouteRequest {
    let hop = v1::NextHop { discard: v1::Discard::Blackhole.into(), ..v1::NextHop::default() };
    v1::AddRouteRequest { prefix: prefix.to_owned(), next_hops: vec![hop], ..v1::AddRouteRequest::default() }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, words: &str) {
    let status = outcome.unwrap_err();
    assert_eq!(status.code(), code, "{}", status.message());
    assert!(status.message().contains(words), "{words:?} in {:?}", status.message());
}

#[tokio::test]
async fn a_lookup_finds_the_longest_prefix_or_nothing() {
    let lab = Lab::new().await;
    let lookup = |address: &str| v1::LookupRequest { address: address.to_owned() };
    let found = lab.rib().lookup(lookup("198.51.100.7")).await.unwrap().into_inner().route.unwrap();
    assert_eq!((found.prefix.as_str(), found.protocol()), ("198.51.100.0/24", v1::Protocol::Static));
    lab.add("198.51.100.0/28").await;
    let found = lab.rib().lookup(lookup("198.51.100.7")).await.unwrap().into_inner().route.unwrap();
    assert_eq!((found.prefix.as_str(), found.protocol(), found.distance), ("198.51.100.0/28", v1::Protocol::Api, 10));
    eventually(|| async {
        let found = lab.rib().lookup(lookup("198.51.100.7")).await.unwrap().into_inner().route.unwrap();
        (found.fib[0].backend == "memory" && found.fib[0].state() == v1::FibState::Installed).then_some(())
    })
    .await;
    refused(lab.rib().lookup(lookup("203.0.113.1")).await, Code::NotFound, "no route covers 203.0.113.1");
    refused(lab.rib().lookup(lookup("")).await, Code::InvalidArgument, "address: ");

    let addresses = ["203.0.113.1", "198.51.100.200"].map(str::to_owned).to_vec();
    let batch = lab.rib().lookup_batch(v1::LookupBatchRequest { addresses }).await.unwrap().into_inner().results;
    let prefixes: Vec<_> = batch.iter().map(|one| one.route.as_ref().map(|route| route.prefix.as_str())).collect();
    assert_eq!(prefixes, [None, Some("198.51.100.0/24")]);
    let addresses = vec!["198.51.100.1".to_owned(), "one".to_owned()];
    let batch = lab.rib().lookup_batch(v1::LookupBatchRequest { addresses }).await;
    refused(batch, Code::InvalidArgument, "addresses[1]: ");
    lab.running.stop().await;
}

#[tokio::test]
async fn pages_put_together_are_the_table() {
    let lab = Lab::new().await;
    let mut expected: Vec<String> = (0..25).map(|i| format!("203.0.113.{}/32", i * 4)).collect();
    expected.push("2001:db8::/32".to_owned());
    for prefix in expected.iter().rev() {
        lab.add(prefix).await;
    }
    let ours = v1::ListRoutesRequest {
        protocols: vec![v1::Protocol::Api.into()],
        page_size: 7,
        ..v1::ListRoutesRequest::default()
    };
    let walk = async |mut request: v1::ListRoutesRequest| {
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let page = lab.rib().list_routes(request.clone()).await.unwrap().into_inner();
            assert!(page.routes.len() <= 7);
            pages += 1;
            found.extend(page.routes.into_iter().map(|route| route.prefix));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return (found, pages);
            }
        }
    };
    let (found, pages) = walk(ours.clone()).await;
    assert_eq!(found, expected);
    assert!(pages >= 4, "{pages}");

    let v6 = v1::ListRoutesRequest { family: v1::AddressFamily::Ipv6.into(), ..ours.clone() };
    assert_eq!(walk(v6).await.0, ["2001:db8::/32"]);
    let within =
        |prefix: &str, longer| v1::ListRoutesRequest { prefix: Some(prefix.to_owned()), longer, ..ours.clone() };
    assert_eq!(walk(within("203.0.113.0/29", true)).await.0, ["203.0.113.0/32", "203.0.113.4/32"]);
    assert!(walk(within("203.0.113.0/29", false)).await.0.is_empty());
    assert_eq!(walk(within("203.0.113.4/32", false)).await.0, ["203.0.113.4/32"]);

    let bad = |request| async { lab.rib().list_routes(request).await };
    refused(bad(within("", true)).await, Code::InvalidArgument, "prefix: ");
    refused(bad(v1::ListRoutesRequest { longer: true, ..ours.clone() }).await, Code::InvalidArgument, "longer: ");
    let token = v1::ListRoutesRequest { page_token: "x".to_owned(), ..ours.clone() };
    refused(bad(token).await, Code::InvalidArgument, "page_token: ");
    lab.running.stop().await;
}

/// What a watch of routes has told so far.
#[derive(Default)]
struct Seen {
    snapshots: u32,
    synced: bool,
    routes: std::collections::BTreeSet<String>,
    token: String,
}

impl Seen {
    fn take(&mut self, message: v1::WatchRoutesResponse) {
        if message.snapshot_start {
            self.snapshots += 1;
            self.routes.clear();
            self.synced = false;
        }
        self.synced |= message.snapshot_end;
        self.routes.extend(message.updated.into_iter().map(|route| route.prefix));
        for prefix in message.removed {
            self.routes.remove(&prefix);
        }
        if !message.resume_token.is_empty() {
            self.token = message.resume_token;
        }
    }

    async fn until(&mut self, stream: &mut tonic::Streaming<v1::WatchRoutesResponse>, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            self.take(next(stream).await);
        }
    }
}

#[tokio::test]
async fn a_watch_tells_the_table_then_the_changes_and_resumes_where_it_stopped() {
    let lab = Lab::new().await;
    let all = v1::WatchRoutesRequest::default();
    let mut stream = lab.rib().watch_routes(all.clone()).await.unwrap().into_inner();
    let mut seen = Seen::default();
    seen.until(&mut stream, |seen| seen.synced).await;
    assert!(seen.routes.contains("198.51.100.0/24"), "{:?}", seen.routes);
    lab.add("203.0.113.0/24").await;
    seen.until(&mut stream, |seen| seen.routes.contains("203.0.113.0/24")).await;
    drop(stream);

    // What happens while nobody watches is told to who resumes, and nothing else.
    lab.add("203.0.113.128/25").await;
    let delete = v1::DeleteRouteRequest { prefix: "203.0.113.0/24".to_owned() };
    let removed = lab.rib().delete_route(delete.clone()).await.unwrap().into_inner().route.unwrap();
    assert_eq!((removed.prefix.as_str(), removed.protocol()), ("203.0.113.0/24", v1::Protocol::Api));
    let resumed = v1::WatchRoutesRequest { resume_token: seen.token.clone(), ..all.clone() };
    let mut stream = lab.rib().watch_routes(resumed).await.unwrap().into_inner();
    seen.until(&mut stream, |seen| seen.routes.contains("203.0.113.128/25")).await;
    seen.until(&mut stream, |seen| !seen.routes.contains("203.0.113.0/24")).await;
    assert_eq!(seen.snapshots, 1);

    // A token of another daemon's is answered with a new snapshot; nonsense is refused.
    let foreign = v1::WatchRoutesRequest { resume_token: "abc.1".to_owned(), ..all.clone() };
    let mut stream = lab.rib().watch_routes(foreign).await.unwrap().into_inner();
    assert!(next(&mut stream).await.snapshot_start);
    let nonsense = v1::WatchRoutesRequest { resume_token: "nonsense".to_owned(), ..all };
    refused(lab.rib().watch_routes(nonsense).await, Code::InvalidArgument, "resume_token: ");
    refused(lab.rib().delete_route(delete).await, Code::NotFound, "203.0.113.0/24");
    lab.running.stop().await;
}

#[tokio::test]
async fn a_watch_of_a_prefix_hears_of_nothing_else() {
    let lab = Lab::new().await;
    let only =
        v1::WatchRoutesRequest { prefix: Some("203.0.113.0/24".to_owned()), ..v1::WatchRoutesRequest::default() };
    let mut stream = lab.rib().watch_routes(only).await.unwrap().into_inner();
    let mut seen = Seen::default();
    seen.until(&mut stream, |seen| seen.synced).await;
    assert!(seen.routes.is_empty(), "{:?}", seen.routes);
    for prefix in ["198.51.100.0/28", "203.0.113.7/32", "203.0.112.0/23", "203.0.113.0/24"] {
        lab.add(prefix).await;
    }
    seen.until(&mut stream, |seen| seen.routes.len() == 2).await;
    assert_eq!(seen.routes.into_iter().collect::<Vec<_>>(), ["203.0.113.0/24", "203.0.113.7/32"]);
    lab.running.stop().await;
}

#[tokio::test]
async fn a_route_under_lease_goes_unless_it_is_renewed() {
    let lab = Lab::new().await;
    let leased = |lease: i64| {
        let lease = Some(prost_types::Duration { seconds: lease, nanos: 0 });
        v1::AddRouteRequest { lease, ..blackhole("203.0.113.0/24") }
    };
    refused(lab.rib().add_route(leased(0)).await, Code::InvalidArgument, "lease: ");
    let first = lab.rib().add_route(leased(1)).await.unwrap().into_inner();
    assert_eq!((first.replaced, first.lease.map(|lease| lease.seconds)), (false, Some(1)));
    let second = lab.rib().add_route(leased(1)).await.unwrap().into_inner();
    assert!(second.replaced);
    eventually(|| async {
        let request = v1::LookupRequest { address: "203.0.113.1".to_owned() };
        lab.rib().lookup(request).await.is_err_and(|status| status.code() == Code::NotFound).then_some(())
    })
    .await;
    lab.running.stop().await;
}

#[tokio::test]
async fn a_route_is_explained_and_one_nobody_knows_is_not() {
    let lab = Lab::new().await;
    lab.add("198.51.100.0/24").await;
    let explain =
        |prefix: &str, neighbor: &str| v1::ExplainRequest { prefix: prefix.to_owned(), neighbor: neighbor.to_owned() };
    let told = lab.rib().explain(explain("198.51.100.0/24", "")).await.unwrap().into_inner();
    let candidates: Vec<_> = told.candidates.iter().map(|one| (one.protocol(), one.chosen)).collect();
    assert_eq!(candidates, [(v1::Protocol::Static, true), (v1::Protocol::Api, false)]);
    assert!(told.candidates[1].reason.contains("lower administrative distance"), "{}", told.candidates[1].reason);
    assert_eq!(told.route.unwrap().protocol(), v1::Protocol::Static);
    refused(lab.rib().explain(explain("203.0.113.0/24", "")).await, Code::NotFound, "203.0.113.0/24");
    refused(lab.rib().explain(explain("198.51.100.1/24", "")).await, Code::InvalidArgument, "198.51.100.0/24");
    refused(lab.rib().explain(explain("198.51.100.0/24", "10.9.9.9")).await, Code::NotFound, "10.9.9.9");
    lab.running.stop().await;
}

#[tokio::test]
async fn a_service_is_held_and_let_go_and_a_second_withdrawal_needs_force() {
    let lab = Lab::new().await;
    for name in ["dns", "www"] {
        lab.wait_for_service(name, v1::ServiceState::Announced).await;
    }
    let only = v1::WatchServicesRequest { name: Some("dns".to_owned()), ..v1::WatchServicesRequest::default() };
    let mut stream = lab.anycast().watch_services(only).await.unwrap().into_inner();
    let first = next(&mut stream).await;
    assert!(first.snapshot_start && first.snapshot_end);
    assert_eq!(first.updated.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["dns"]);

    let withdraw = |name: &str, force, reason: &str| v1::WithdrawRequest {
        name: name.to_owned(),
        force,
        reason: reason.to_owned(),
    };
    let held = lab.anycast().withdraw(withdraw("dns", false, "disk swap")).await.unwrap().into_inner().service.unwrap();
    assert_eq!(held.state(), v1::ServiceState::Held);
    let told = next(&mut stream).await;
    assert_eq!((told.snapshot_start, told.updated[0].state()), (false, v1::ServiceState::Held));
    assert!(told.updated[0].reason.contains("disk swap"), "{}", told.updated[0].reason);

    let refusal = lab.anycast().withdraw(withdraw("www", false, "")).await;
    refused(refusal, Code::FailedPrecondition, "safety.budget");
    refused(lab.anycast().withdraw(withdraw("www", true, "")).await, Code::InvalidArgument, "reason: ");
    lab.anycast().withdraw(withdraw("www", true, "it burns")).await.unwrap();
    refused(lab.anycast().withdraw(withdraw("", true, "all of them")).await, Code::InvalidArgument, "name: ");
    refused(lab.anycast().withdraw(withdraw("nope", false, "")).await, Code::NotFound, "nope");

    lab.anycast().announce(v1::AnnounceRequest { name: "dns".to_owned() }).await.unwrap();
    lab.wait_for_service("dns", v1::ServiceState::Announced).await;
    let request = v1::GetHistoryRequest { name: "dns".to_owned(), page_size: 1, page_token: String::new() };
    let page = lab.anycast().get_history(request.clone()).await.unwrap().into_inner();
    assert_eq!(page.entries.len(), 1);
    let rest = v1::GetHistoryRequest { page_size: 0, page_token: page.next_page_token, ..request };
    let rest = lab.anycast().get_history(rest).await.unwrap().into_inner();
    assert!(rest.entries.iter().all(|entry| entry.sequence > page.entries[0].sequence));
    assert!(rest.entries.iter().any(|entry| entry.message.contains("disk swap")), "{:?}", rest.entries);
    lab.running.stop().await;
}

#[tokio::test]
async fn a_service_can_be_registered_and_deleted_but_not_the_configured_ones() {
    let lab = Lab::new().await;
    let register = |content: &str| v1::RegisterServiceRequest { content: content.to_owned() };
    let ntp = "name = \"ntp\"\nvips = [\"192.0.2.123/32\"]\nbind = \"lo\"\n";
    let service = lab.anycast().register_service(register(ntp)).await.unwrap().into_inner().service.unwrap();
    assert!(service.registered);
    lab.wait_for_service("ntp", v1::ServiceState::Announced).await;
    let taken = ntp.replace("ntp", "time");
    refused(lab.anycast().register_service(register(&taken)).await, Code::AlreadyExists, "192.0.2.123");
    let configured = ntp.replace("ntp", "dns").replace(".123", ".54");
    refused(lab.anycast().register_service(register(&configured)).await, Code::AlreadyExists, "configuration");

    let delete = |name: &str| v1::DeleteServiceRequest { name: name.to_owned() };
    refused(lab.anycast().delete_service(delete("dns")).await, Code::AlreadyExists, "configuration");
    lab.anycast().delete_service(delete("ntp")).await.unwrap();
    eventually(|| async {
        let request = v1::GetServiceRequest { name: "ntp".to_owned() };
        lab.anycast().get_service(request).await.is_err_and(|status| status.code() == Code::NotFound).then_some(())
    })
    .await;
    lab.running.stop().await;
}

#[tokio::test]
async fn a_neighbor_is_disabled_under_the_eyes_of_a_watcher() {
    let lab = Lab::new().await;
    let mut stream = lab.bgp().watch_neighbors(v1::WatchNeighborsRequest::default()).await.unwrap().into_inner();
    let first = next(&mut stream).await;
    assert!(first.snapshot_start && first.snapshot_end && first.updated[0].enabled);
    let set = |address: &str, enabled, message: &str| v1::SetNeighborEnabledRequest {
        address: address.to_owned(),
        enabled,
        message: message.to_owned(),
    };
    let after = lab.bgp().set_neighbor_enabled(set("127.0.0.9", false, "bye")).await.unwrap().into_inner();
    assert!(!after.neighbor.unwrap().enabled);
    let told = next(&mut stream).await;
    assert_eq!((told.snapshot_start, told.updated[0].enabled), (false, false));
    // Who resumes at the first message is told of the change, not of the whole table.
    let resume = v1::WatchNeighborsRequest { resume_token: first.resume_token, ..v1::WatchNeighborsRequest::default() };
    let mut resumed = lab.bgp().watch_neighbors(resume).await.unwrap().into_inner();
    let told = next(&mut resumed).await;
    assert_eq!((told.snapshot_start, told.updated.len()), (false, 1));

    refused(lab.bgp().set_neighbor_enabled(set("10.9.9.9", true, "")).await, Code::NotFound, "10.9.9.9");
    refused(lab.bgp().set_neighbor_enabled(set("", false, "")).await, Code::InvalidArgument, "address: ");
    refused(lab.bgp().set_neighbor_enabled(set("127.0.0.9", true, "hi")).await, Code::InvalidArgument, "message: ");
    let reset = |address: &str, kind| v1::ResetNeighborRequest { address: address.to_owned(), kind };
    refused(lab.bgp().reset_neighbor(reset("", 0)).await, Code::InvalidArgument, "address: ");
    refused(lab.bgp().reset_neighbor(reset("127.0.0.9", 77)).await, Code::InvalidArgument, "kind: ");
    let adj = v1::ListAdjInRequest { neighbor: "10.9.9.9".to_owned(), ..v1::ListAdjInRequest::default() };
    refused(lab.bgp().list_adj_in(adj).await, Code::NotFound, "10.9.9.9");
    lab.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbor_is_added_survives_reloads_and_is_deleted_and_nobody_is_told_its_password() {
    let mut lab = Lab::new().await;
    let content = "address = \"127.0.0.10\"\nasn = 64501\npassive = true\npassword = \"hush-hush\"\nrole = \"customer\"\n\
                   max_prefix = { limit = 100 }\nttl_security = 2\n";
    let add = |content: &str| v1::AddNeighborRequest { content: content.to_owned() };
    let added = lab.bgp().add_neighbor(add(content)).await.unwrap().into_inner().neighbor.unwrap();
    assert_eq!((added.address.as_str(), added.asn, added.added), ("127.0.0.10", 64501, true));
    assert_eq!((added.role.as_str(), added.password, added.ttl_security), ("customer", true, Some(2)));
    assert_eq!(added.max_prefix.as_ref().map(|max| (max.limit, max.warn)), Some((100, 75)));
    assert!(!format!("{added:?}").contains("hush"));

    refused(lab.bgp().add_neighbor(add(content)).await, Code::AlreadyExists, "127.0.0.10 was added already");
    let configured = "[[neighbor]]\naddress = \"127.0.0.9\"\nasn = 1\n";
    refused(
        lab.bgp().add_neighbor(add(configured)).await,
        Code::AlreadyExists,
        "127.0.0.9 stands in the configuration",
    );
    for (content, words) in [
        ("", "content: is empty"),
        ("address = \"127.0.0.11\"\n", "neighbor.asn: is missing"),
        ("address = \"127.0.0.11\"\nasn = 1\nhold_time = \"1s\"\n", "neighbor.hold_time: must be"),
        ("address = \"127.0.0.11\"\nasn = 1\nimport = \"nowhere\"\n", "there is no policy named \"nowhere\""),
        ("address = \"127.0.0.11\"\nasn = 1\ngroup = \"g\"\n", "there is no neighbor_group named \"g\""),
        ("address = \"127.0.0.11\"\nasn = 1\npassword = \"hush\"\nttl_security = 0\n", "neighbor.ttl_security"),
        ("address = \"127.0.0.11\"\nasn = 1\npassword = \"hush\\q\"\n", "neighbor"),
        ("range = \"127.0.0.0/8\"\nasn = 1\n", "cannot be added while the daemon runs"),
        ("[[neighbor]]\naddress = \"127.0.0.11\"\nasn = 1\n[bgp]\nlisten = []\n", "bgp: is not a known key"),
        (
            "[[neighbor]]\naddress = \"127.0.0.11\"\nasn = 1\n[[neighbor]]\naddress = \"127.0.0.12\"\nasn = 1\n",
            "exactly one",
        ),
    ] {
        let outcome = lab.bgp().add_neighbor(add(content)).await;
        assert!(!format!("{outcome:?}").contains("hush"), "{outcome:?}");
        refused(outcome, Code::InvalidArgument, words);
    }

    // A reload of the file, with something changed in it, leaves the added neighbor where it is.
    let names = async |lab: &Lab| {
        let list = lab.bgp().list_neighbors(v1::ListNeighborsRequest {}).await.unwrap().into_inner().neighbors;
        list.into_iter().map(|neighbor| neighbor.address).collect::<Vec<_>>()
    };
    let mut model = lab.running.model().clone();
    model.speaker.neighbors[0].description = "changed".to_owned();
    lab.running.reload(model.clone()).await.unwrap();
    assert_eq!(names(&lab).await, ["127.0.0.9", "127.0.0.10"]);

    let delete = |address: &str| v1::DeleteNeighborRequest { address: address.to_owned() };
    refused(
        lab.bgp().delete_neighbor(delete("127.0.0.9")).await,
        Code::FailedPrecondition,
        "stands in the configuration",
    );
    refused(lab.bgp().delete_neighbor(delete("127.0.0.77")).await, Code::NotFound, "there is no neighbor");
    refused(lab.bgp().delete_neighbor(delete("")).await, Code::InvalidArgument, "address: is empty");
    lab.bgp().delete_neighbor(delete("127.0.0.10")).await.unwrap();
    assert_eq!(names(&lab).await, ["127.0.0.9"]);

    // What the file says wins over what was added.
    lab.bgp().add_neighbor(add(content)).await.unwrap();
    let mut own = model.speaker.neighbors[0].clone();
    own.address = "127.0.0.10".parse().unwrap();
    model.speaker.neighbors.push(own);
    lab.running.reload(model).await.unwrap();
    assert_eq!(names(&lab).await, ["127.0.0.9", "127.0.0.10"]);
    refused(
        lab.bgp().delete_neighbor(delete("127.0.0.10")).await,
        Code::FailedPrecondition,
        "stands in the configuration",
    );
}

#[tokio::test]
async fn data_planes_are_named_or_refused() {
    let lab = Lab::new().await;
    let mut fib = FibServiceClient::new(lab.channel.clone());
    let entries =
        async |request: v1::ListEntriesRequest| FibServiceClient::new(lab.channel.clone()).list_entries(request).await;
    let memory = v1::ListEntriesRequest { backend: "memory".to_owned(), ..v1::ListEntriesRequest::default() };
    eventually(|| async {
        let inside = v1::ListEntriesRequest { prefix: Some("198.51.100.0/24".to_owned()), ..memory.clone() };
        let found = entries(inside).await.unwrap().into_inner().entries;
        let states: Vec<_> = found.iter().map(|entry| (entry.prefix.as_str(), entry.state())).collect();
        (states == [("198.51.100.0/24", v1::FibState::Installed)]).then_some(())
    })
    .await;
    let failed = v1::ListEntriesRequest { state: v1::FibState::Failed.into(), ..memory };
    assert!(entries(failed).await.unwrap().into_inner().entries.is_empty());
    let diff = |backend: &str| v1::DiffFibRequest { backend: backend.to_owned() };
    let same = fib.diff_fib(diff("memory")).await.unwrap().into_inner();
    assert_eq!((same.total, same.differences.len()), (0, 0));
    refused(fib.diff_fib(diff("")).await, Code::InvalidArgument, "backend: ");
    refused(fib.diff_fib(diff("xdp")).await, Code::NotFound, "this node has memory");
    refused(fib.resync_fib(v1::ResyncFibRequest::default()).await, Code::InvalidArgument, "backend: ");
    lab.running.stop().await;
}

#[tokio::test]
async fn the_node_says_who_it_is_checks_files_and_tells_events() {
    let lab = Lab::new().await;
    let mut node = NodeServiceClient::new(lab.channel.clone());
    let info = node.get_info(v1::GetInfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.asn, info.router_id.as_str(), info.site.as_str()), (64512, "10.0.0.11", "lab"));
    assert_eq!((info.pid, info.api_listen.len()), (std::process::id(), 2));
    assert!(info.problems.iter().any(|problem| problem.contains("127.0.0.9")), "{:?}", info.problems);

    let check = |content: &str| v1::CheckConfigRequest { content: content.to_owned() };
    let verdict = node.check_config(check("[node]\nasn = 1\nrouter_id = \"10.0.0.1\"\n")).await.unwrap().into_inner();
    assert!(verdict.valid && verdict.findings.is_empty(), "{:?}", verdict.findings);
    let verdict = node.check_config(check("[node]\nasn = 0\nrouter_id = \"10.0.0.1\"\n")).await.unwrap().into_inner();
    assert_eq!((verdict.valid, verdict.findings[0].line), (false, 2));
    assert!(verdict.findings[0].key.contains("asn"), "{:?}", verdict.findings);
    refused(node.check_config(check("")).await, Code::InvalidArgument, "content: ");

    let mut events = node.watch_events(v1::WatchEventsRequest::default()).await.unwrap().into_inner();
    assert!(next(&mut events).await.snapshot_start);
    let down = v1::SetNeighborEnabledRequest { address: "127.0.0.9".to_owned(), ..Default::default() };
    lab.bgp().set_neighbor_enabled(down).await.unwrap();
    let event = loop {
        let message = next(&mut events).await;
        if let Some(event) = message.events.into_iter().find(|event| event.kind() == v1::EventKind::Neighbor) {
            break event;
        }
    };
    assert_eq!(event.subject, "127.0.0.9");
    lab.running.stop().await;
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let lab = Lab::new().await;
    let mut ospf = OspfServiceClient::new(lab.channel.clone());
    let without = "does not speak OSPF";
    refused(ospf.list_interfaces(v1::ListInterfacesRequest::default()).await, Code::FailedPrecondition, without);
    let mut policy = PolicyServiceClient::new(lab.channel.clone());
    refused(policy.list_policies(v1::ListPoliciesRequest {}).await, Code::Unimplemented, "not built yet");
    let mut node = NodeServiceClient::new(lab.channel.clone());
    refused(node.plan_config(v1::PlanConfigRequest::default()).await, Code::Unimplemented, "SIGHUP");
    refused(lab.bgp().get_rpki(v1::GetRpkiRequest {}).await, Code::Unimplemented, "not built yet");
    lab.running.stop().await;
}

#[tokio::test]
async fn every_listener_serves_health_and_both_reflections() {
    use tokio_stream::once;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::{v1 as new, v1alpha as old};

    let lab = Lab::new().await;
    let addresses = lab.running.node.info.api_listen.clone();
    assert_eq!(addresses.len(), 2);
    for address in addresses {
        let channel = connect(&address).await;
        let health = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
        assert_eq!(health.get_ref().status(), ServingStatus::Serving);
        let service = HealthCheckRequest { service: "anyhop.v1.RibService".to_owned() };
        let health = HealthClient::new(channel.clone()).check(service).await.unwrap();
        assert_eq!(health.get_ref().status(), ServingStatus::Serving, "{address}");

        use new::server_reflection_request::MessageRequest;
        use new::server_reflection_response::MessageResponse;
        let ask = new::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = new::server_reflection_client::ServerReflectionClient::new(channel.clone());
        let answer = next(&mut client.server_reflection_info(once(ask)).await.unwrap().into_inner()).await;
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("{address}: no list of services")
        };
        let services: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
        for name in ["Node", "Bgp", "Ospf", "Rib", "Fib", "Policy", "Anycast"] {
            assert!(services.contains(&format!("anyhop.v1.{name}Service").as_str()), "{name} in {services:?}");
        }
        assert!(services.contains(&"grpc.health.v1.Health"), "{services:?}");

        let ask = old::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(old::server_reflection_request::MessageRequest::FileContainingSymbol(
                "anyhop.v1.RibService".to_owned(),
            )),
        };
        let mut client = old::server_reflection_client::ServerReflectionClient::new(channel);
        let answer = next(&mut client.server_reflection_info(once(ask)).await.unwrap().into_inner()).await;
        assert!(matches!(
            answer.message_response,
            Some(old::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
        ));
    }
    lab.running.stop().await;
}

#[tokio::test]
async fn a_stop_ends_watches_and_takes_the_socket_away() {
    let mut lab = Lab::new().await;
    let mut stream = lab.rib().watch_routes(v1::WatchRoutesRequest::default()).await.unwrap().into_inner();
    next(&mut stream).await;
    let mut node = NodeServiceClient::new(lab.channel.clone());
    let long = v1::ShutdownRequest { reason: "x".repeat(300) };
    refused(node.shutdown(long).await, Code::InvalidArgument, "reason: ");
    node.shutdown(v1::ShutdownRequest { reason: "upgrade".to_owned() }).await.unwrap();
    let wish = tokio::time::timeout(SOON, lab.running.stop_wish()).await.unwrap();
    assert_eq!(wish.reason, "upgrade");
    #[allow(clippy::disallowed_methods, reason = "how long a stop takes")]
    let stopping = std::time::Instant::now();
    let stop = tokio::spawn(lab.running.stop());
    let end = loop {
        match tokio::time::timeout(SOON, stream.message()).await.expect("the watch ends") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a watch ends with the reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    stop.await.unwrap();
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
    assert!(!lab.socket.exists());
}
