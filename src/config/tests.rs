//! Good files give the model they say; each bad one gives its place, its key and what would be right.

use std::path::Path;
use std::time::Duration;

use bgpd::config::{AddPath, Aggregate, Confederation, GracefulRestart, MaxPrefix, PolicyRef, RemoteAs, Role, Secret};
use bgpd::speaker::Effect;
use ospfd::RouterId;
use ospfd::config::AuthKind;
use ospfd::message::{ExternalRoute, ServiceRoute};
use proptest::prelude::*;
use rib::{AddressFamily, AdminDistance, Discard, Metric, Protocol};

use super::model::{ApiListen, Backend, StaticLeg, StaticTo};
use super::{Model, check_text, diff::Diff};

const NODE: &str = "[node]\nasn = 64512\nrouter_id = \"10.0.0.11\"\n";

fn good(rest: &str) -> Model {
    let text = format!("{NODE}{rest}");
    check_text(Path::new("t.toml"), &text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The errors of `text` as `line:column key: message`, one a line.
fn errors_of(text: &str) -> Vec<String> {
    let errors = check_text(Path::new("t.toml"), text).expect_err("the file is wrong");
    errors.list().iter().map(|e| format!("{}:{} {}: {}", e.line, e.column, e.key, e.message)).collect()
}

#[test]
fn a_small_file_has_the_contract_s_defaults() {
    let model = good("[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 64500\n");
    let neighbor = &model.speaker.neighbors[0];
    assert!(model.speaker.require_policy);
    assert_eq!(neighbor.hold_time, Duration::from_secs(90));
    assert_eq!(neighbor.families, [AddressFamily::Ipv4]);
    assert_eq!(neighbor.import, PolicyRef::Unset);
    assert!(neighbor.extended_messages && !neighbor.passive && neighbor.enabled);
    assert_eq!(model.fib.backends, [Backend::Kernel]);
    assert_eq!((model.fib.kernel.table, model.fib.kernel.metric, model.fib.kernel.protocol), (254, 20, 179));
    assert_eq!(model.api, [ApiListen::Unix("/run/anyhop/anyhop.sock".into())]);
    assert_eq!(model.bgp.listen.len(), 2);
    assert!(good("").bgp.listen.is_empty(), "without a neighbor nobody listens");
}

#[test]
fn a_group_gives_defaults_and_the_neighbor_has_the_last_word() {
    let model = good(
        "[[neighbor_group]]\nname = \"transit\"\nasn = 64500\nhold_time = \"30s\"\nimport = \"accept\"\n\
         [[neighbor]]\naddress = \"10.0.0.1\"\ngroup = \"transit\"\n\
         [[neighbor]]\naddress = \"2001:db8::1\"\ngroup = \"transit\"\nhold_time = \"9s\"\nasn = \"internal\"\nimport = [\"reject\"]\n",
    );
    let [a, b] = model.speaker.neighbors.as_slice() else { panic!("two neighbors") };
    assert_eq!((a.remote_as, a.hold_time), (RemoteAs::Number(64500), Duration::from_secs(30)));
    assert_eq!(a.import, PolicyRef::Chain(vec!["accept".into()]));
    assert_eq!((b.remote_as, b.hold_time), (RemoteAs::Internal, Duration::from_secs(9)));
    assert_eq!(b.import, PolicyRef::Chain(vec!["reject".into()]));
    assert_eq!(b.families, [AddressFamily::Ipv6]);
}

#[test]
fn policies_statics_services_and_distances_are_read() {
    let model = good(
        r#"
[bgp]
redistribute = [ { from = "static", policy = "out" } ]
[[neighbor]]
address = "10.0.0.1"
asn = "external"
export = "out"
[[prefix_set]]
name = "mine"
prefixes = ["192.0.2.0/24 le 32"]
[[policy]]
name = "out"
rules = [ { match = { prefix_set = "mine" }, set = { med = 10, add_communities = ["64512:100"] }, action = "accept" } ]
[[static]]
prefix = "198.51.100.0/24"
via = ["10.0.0.1", "10.0.1.1"]
[[static]]
prefix = "203.0.113.0/24"
blackhole = true
distance = 250
[rib]
distance = { static = 7, service = 9 }
[fib]
backends = ["memory"]
[[service]]
name = "dns"
vips = ["192.0.2.53/32", "2001:db8::53/128"]
bind = "lo"
communities = ["64512:53", "large:64512:1:2"]
checks = [
  { type = "dns", target = "127.0.0.1:53", query = "example.test A", interval = "200ms", timeout = "100ms", rise = 1, fall = 2 },
  { type = "http", url = "http://127.0.0.1:8080/", status = "200-399" },
  { type = "http", target = "127.0.0.1:8080", path = "/healthz" },
  { type = "tcp", target = "127.0.0.1:25", expect = "220" },
  { type = "exec", command = ["true"] },
]
combine = "any"
down = "withdraw"
drain = { gshut = "10s" }
[safety]
budget = { withdrawals = 10, per = "1m" }
"#,
    );
    assert_eq!(model.bgp.redistribute[0].policy, ["out"]);
    assert_eq!(model.speaker.policies.policies["out"].rules.len(), 1);
    assert_eq!(model.statics[0].distance, AdminDistance(7));
    assert_eq!(
        (model.statics[1].to.clone(), model.statics[1].distance),
        (StaticTo::Discard(Discard::Blackhole), AdminDistance(250))
    );
    let service = &model.services[0];
    assert_eq!((service.vips.len(), service.checks.len(), service.distance), (2, 5, AdminDistance(9)));
    assert_eq!((service.communities.len(), service.large_communities.len()), (1, 1));
    assert_eq!(service.checks[0].fall, 2);
    assert_eq!(service.drain.gshut, Duration::from_secs(10));
    assert_eq!(model.withdrawal_budget, Some((10, Duration::from_secs(60))));
}

#[test]
fn a_static_route_has_weighted_ways_over_links_or_is_a_discard_and_distances_reach_every_protocol() {
    let model = good(
        r#"
[[static]]
prefix = "198.51.100.0/24"
via = [ "10.0.0.1", { gateway = "10.0.1.1", weight = 3 }, { gateway = "192.0.2.9", interface = "eth1", onlink = true },
        { interface = "eth2", weight = 256 }, { gateway = "2001:db8::1" } ]
metric = 7
tag = 42
bfd = { interval = "50ms" }
[[static]]
prefix = "2001:db8:1::/48"
via = "fe80::1"
interface = "eth0"
[[static]]
prefix = "203.0.113.0/24"
unreachable = true
[[static]]
prefix = "203.0.112.0/24"
prohibit = true
[[static]]
prefix = "192.0.2.0/24"
interface = "eth0"
[rib]
distance = { ospf = 115, ospf_external = 180 }
"#,
    );
    let leg = |gateway: &str, interface: &str, onlink, weight| StaticLeg {
        gateway: (!gateway.is_empty()).then(|| gateway.parse().expect("an address")),
        interface: (!interface.is_empty()).then(|| interface.to_owned()),
        onlink,
        weight,
    };
    let to: Vec<StaticTo> = model.statics.iter().map(|route| route.to.clone()).collect();
    let legs = StaticTo::Legs(vec![
        leg("10.0.0.1", "", false, 1),
        leg("10.0.1.1", "", false, 3),
        leg("192.0.2.9", "eth1", true, 1),
        leg("", "eth2", false, 256),
        leg("2001:db8::1", "", false, 1),
    ]);
    let link_local = StaticTo::Legs(vec![leg("fe80::1", "eth0", false, 1)]);
    let link = StaticTo::Legs(vec![leg("", "eth0", false, 1)]);
    let discard = StaticTo::Discard;
    assert_eq!(to, [legs, link_local, discard(Discard::Unreachable), discard(Discard::Prohibit), link]);
    assert_eq!((model.statics[0].metric, model.statics[0].tag), (Metric(7), 42));
    assert_eq!(model.statics[0].bfd.map(|bfd| (bfd.interval, bfd.multiplier)), Some((Duration::from_millis(50), 3)));
    assert_eq!(model.statics[1].bfd, None);
    let of = |protocol| model.distances.of(protocol).0;
    assert_eq!(Protocol::ALL.map(of), [0, 1, 5, 10, 20, 115, 115, 180, 115, 200, 220]);
    let ways: Vec<String> = (0..65).map(|n| format!("\"10.0.0.{n}\"")).collect();
    let many = format!("{NODE}[[static]]\nprefix = \"198.51.100.0/24\"\nvia = [{}]\n", ways[1..].join(", "));
    assert!(check_text(Path::new("t.toml"), &many).is_ok(), "64 ways");
    let more =
        format!("{NODE}[[static]]\nprefix = \"198.51.100.0/24\"\nvia = [{}, \"10.0.1.1\"]\n", ways[1..].join(", "));
    assert!(errors_of(&more)[0].contains("static.via: 65 ways are given, at most 64 can be used together"));
}

#[test]
fn ospf_is_one_configuration_for_two_versions() {
    let model = good(
        r#"
[ospf]
reference_bandwidth = "400G"
max_metric = { on_startup = "30s", on_drain = false }
graceful_restart = { helper = false, grace_period = "60s" }
instance_id = 7
limits = { lsas = 1000 }
redistribute = [ { from = "static", policy = "accept", metric = 30, metric_type = 1, tag = 5 } ]
[[ospf.area]]
id = "0.0.0.0"
[[ospf.area]]
id = 1
type = "nssa"
no_summary = true
default_cost = 12
ranges = ["10.1.0.0/16", "2001:db8:1::/48"]
[[ospf.interface]]
name = "eth0"
area = 0
network = "point-to-point"
cost = 10
hello_interval = "2s"
bfd = true
[[ospf.interface]]
name = "eth1"
area = "0.0.0.1"
versions = ["v2"]
network = "nbma"
neighbors = ["10.0.0.7"]
priority = 0
passive = true
[[service]]
name = "dns"
vips = ["192.0.2.53/32"]
via = ["bgp", "ospf"]
ospf = { as = "external", metric = 99 }
"#,
    );
    let ospf = model.ospf.expect("OSPF");
    assert_eq!(ospf.redistribute[0].tag, Some(5));
    let [v2, v3] = &ospf.versions[..] else { panic!("{:?}", ospf.versions) };
    assert_eq!((v2.interfaces.len(), v3.interfaces.len(), v2.instance_id, v3.instance_id), (2, 1, 0, 7));
    assert_eq!((v2.reference_bandwidth_mbps, v2.limits.lsas, v2.graceful_restart.helper), (400_000, 1000, false));
    assert_eq!(v2.max_metric.on_startup, Duration::from_secs(30));
    assert_eq!((v2.areas[1].ranges.len(), v3.areas[1].ranges.len(), v3.areas[1].default_cost), (1, 1, 12));
    let eth0 = &v3.interfaces[0];
    assert_eq!((eth0.hello_interval, eth0.dead_interval), (Duration::from_secs(2), Duration::from_secs(8)));
    assert_eq!(eth0.bfd.map(|bfd| bfd.interval), Some(Duration::from_millis(300)));
    assert_eq!((v2.interfaces[1].priority, v2.interfaces[1].passive, v2.interfaces[1].neighbors.len()), (0, true, 1));
    let external = ExternalRoute { metric: 99, type2: true, tag: 0, forwarding: None };
    assert_eq!(model.services[0].ospf, ServiceRoute::External(external));
}

/// After the three lines of [`NODE`]: the text, and what stands in the first error.
#[test]
fn each_version_of_ospf_has_the_keys_that_it_can_use() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("key"), "from-a-file\n").expect("written");
    let text = format!(
        "{NODE}state_dir = \"kept\"\n[ospf]\ngraceful_restart = {{ enabled = true }}\n[[ospf.area]]\nid = 0\n[[ospf.area]]\nid = 1\n\
         virtual_links = [\"10.0.0.8\", {{ router_id = \"10.0.0.9\", auth = [ {{ type = \"hmac-sha-1\", key_id = 2, key = \"v\" }} ] }}]\n\
         [[ospf.interface]]\nname = \"eth0\"\narea = 0\nauth = [\n  {{ type = \"md5\", key_id = 1, key = \"hush\" }},\n  \
         {{ type = \"hmac-sha-256\", key_id = 2, key_file = \"key\", extended_sequence = true }},\n  {{ type = \"none\" }},\n]\n"
    );
    let (model, warnings) = super::review_text(&dir.path().join("t.toml"), &text).expect("valid");
    assert_eq!(model.node.state_dir, dir.path().join("kept"));
    assert!(warnings.list().iter().all(|warning| warning.message.contains("read by others")), "{warnings}");
    let [v2, v3] = &model.ospf.as_ref().expect("OSPF").versions[..] else { panic!() };
    assert!(v2.graceful_restart.enabled && v3.graceful_restart.enabled);
    let told = |config: &ospfd::config::InstanceConfig| -> Vec<(AuthKind, u16, Vec<u8>, bool)> {
        let keys = config.interfaces[0].auth.iter();
        keys.map(|key| (key.kind, key.id, key.secret.reveal().to_vec(), key.extended)).collect()
    };
    let none = (AuthKind::None, 0, Vec::new(), false);
    let file = |extended| (AuthKind::HmacSha256, 2, b"from-a-file".to_vec(), extended);
    assert_eq!(told(v2), [(AuthKind::Md5, 1, b"hush".to_vec(), false), file(true), none.clone()]);
    assert_eq!(told(v3), [file(false), none]);
    for version in [v2, v3] {
        let area = &version.areas[1];
        assert_eq!(area.virtual_links, [RouterId(0x0a00_0008), RouterId(0x0a00_0009)]);
        assert_eq!(
            (area.virtual_auth.len(), area.virtual_auth[0].0, area.virtual_auth[0].1.len()),
            (1, RouterId(0x0a00_0009), 1)
        );
    }
    let debug = format!("{model:?}");
    assert!(!debug.contains("hush") && !debug.contains("from-a-file"), "Debug shows no key");
    // A key that other routers may take differently, and a restart that may leave dead addresses announced.
    let text = format!(
        "{NODE}[ospf]\ngraceful_restart = {{ enabled = true }}\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\n\
         auth = [ {{ type = \"hmac-sha-1\", key_id = 1, key = \"{}\" }} ]\n\
         [[service]]\nname = \"dns\"\nvips = [\"192.0.2.53/32\"]\nvia = [\"ospf\"]\n",
        "hush".repeat(6)
    );
    let (_, warnings) = super::review_text(&dir.path().join("t.toml"), &text).expect("valid");
    let said: Vec<&str> = warnings.list().iter().map(|warning| warning.message.as_str()).collect();
    assert!(said.iter().any(|said| said.starts_with("is longer than the digest")), "{said:?}");
    assert!(said.iter().any(|said| said.starts_with("enabled = true covers service \"dns\"")), "{said:?}");
    assert!(!warnings.to_string().contains("hush"), "{warnings}");
}

const BAD: &[(&str, &str)] = &[
    ("[nod]\n", "4:2 nod: is not a known key; did you mean \"node\"?"),
    ("[bgp]\nlisten_on = []\n", "5:1 bgp.listen_on: is not a known key; did you mean \"listen\"?"),
    ("[web]\nlisten = \"127.0.0.1:80\"\n", "4:2 web: is not yet supported by this version"),
    ("[ospf]\n", "4:1 ospf.interface: is missing: write [[ospf.interface]]"),
    (
        "[ospf]\n[[ospf.area]]\nid = \"x\"\n[[ospf.interface]]\nname = \"e\"\narea = 0\n",
        "6:6 ospf.area.id: must be an area, as in",
    ),
    (
        "[ospf]\n[[ospf.area]]\nid = 0\ntype = \"stub\"\n[[ospf.interface]]\nname = \"e\"\narea = 0\n",
        "7:8 ospf.area.type: the backbone carries everything",
    ),
    (
        "[ospf]\n[[ospf.area]]\nid = 1\nno_summary = true\n[[ospf.interface]]\nname = \"e\"\narea = 1\n",
        "7:14 ospf.area.no_summary: is for type \"stub\" and \"nssa\"",
    ),
    (
        "[ospf]\n[[ospf.area]]\nid = 1\ntype = \"nssa\"\nvirtual_links = [\"10.0.0.9\"]\n[[ospf.interface]]\nname = \"e\"\narea = 1\n",
        "8:18 ospf.area.virtual_links: leads through",
    ),
    ("[ospf]\n[[ospf.interface]]\nname = \"eth0\"\n", "5:1 ospf.interface.area: is missing"),
    (
        "[ospf]\n[[ospf.area]]\nid = 1\n[[ospf.interface]]\nname = \"eth0\"\narea = 2\n",
        "9:8 ospf.interface.area: there is no [[ospf.area]] 0.0.0.2",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\nhello_interval = \"100ms\"\n",
        "8:18 ospf.interface.hello_interval: must be whole seconds from \"1s\" to \"65535s\"; bfd sees a dead path sooner",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\ndead_interval = \"10s\"\n",
        "8:17 ospf.interface.dead_interval: must be longer than hello_interval",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\nneighbors = [\"10.0.0.7\"]\n",
        "8:13 ospf.interface.neighbors: is for network = \"nbma\"",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\nversions = [\"v4\"]\n",
        "8:13 ospf.interface.versions: \"v4\" is not one of \"v2\", \"v3\"",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\nauth = [ { type = \"md6\", key_id = 1, key = \"hush\" } ]\n",
        "8:19 ospf.interface.auth.type: \"md6\" is not one of",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\nauth = [ { type = \"md5\", key_id = 1, key = \"hush\" } ]\n",
        "8:8 ospf.interface.auth: has no key for OSPFv3, which takes hmac-sha-1, -256, -384 and -512 only",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\nversions = [\"v2\"]\nauth = [ { type = \"md5\", key_id = 1, key = \"hushhushhushhushh\" } ]\n",
        "9:44 ospf.interface.auth.key: is 17 octets long; this type takes from 1 to 16",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\nversions = [\"v2\"]\nauth = [ { type = \"simple\", key = \"hush\", key_id = 1 } ]\n",
        "9:52 ospf.interface.auth.key_id: is for digests",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\nauth = [ { type = \"hmac-sha-256\", key_id = 256, key = \"hush\" } ]\n",
        "8:44 ospf.interface.auth.key_id: must be",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\nauth = [ { type = \"hmac-sha-256\", key = \"hush\" } ]\n",
        "8:10 ospf.interface.auth.key_id: is missing",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\nauth = [ { type = \"hmac-sha-256\", key_id = 1 } ]\n",
        "8:10 ospf.interface.auth.key: is missing",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\nauth = [ { type = \"hmac-sha-1\", key_id = 1, key = \"a\" }, { type = \"hmac-sha-256\", key_id = 1, key = \"b\" } ]\n",
        "8:92 ospf.interface.auth.key_id: 1 stands twice",
    ),
    (
        "[ospf]\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\nversions = [\"v3\"]\nauth = [ { type = \"hmac-sha-1\", key_id = 300, key = \"a\", extended_sequence = true } ]\n",
        "9:78 ospf.interface.auth.extended_sequence: is for hmac-sha-* in OSPFv2",
    ),
    (
        "[ospf]\nreference_bandwidth = \"fast\"\n[[ospf.interface]]\nname = \"eth0\"\narea = 0\n",
        "5:23 ospf.reference_bandwidth: must be a bandwidth, as in \"100G\"",
    ),
    ("[[aggregate]]\nprefix = \"10.0.0.1/8\"\n", "5:10 aggregate.prefix: 10.0.0.1/8 has bits set beyond its length"),
    ("[[aggregate]]\nprefix = \"10.0.0.1/32\"\n", "5:10 aggregate.prefix: 10.0.0.1/32 can have no more specific ones"),
    ("[[aggregate]]\nsummary_only = true\n", "4:1 aggregate.prefix: is missing"),
    (
        "[[aggregate]]\nprefix = \"10.0.0.0/8\"\n[[aggregate]]\nprefix = \"10.0.0.0/8\"\n",
        "7:10 aggregate.prefix: 10.0.0.0/8 stands twice",
    ),
    ("[bgp]\nconfederation = { id = 64512 }\n", "5:24 bgp.confederation.id: 64512 is node.asn, which is our member AS"),
    ("[bgp]\nconfederation = { members = [1] }\n", "5:17 bgp.confederation.id: is missing"),
    ("[bgp]\nconfederation = { id = 9, members = [8, 8] }\n", "5:41 bgp.confederation.members: 8 stands twice"),
    (
        "[bgp]\nconfederation = { id = 9, members = [9] }\n",
        "5:38 bgp.confederation.members: 9 is the confederation itself",
    ),
    (
        "[bgp]\nconfederation = { id = 9, members = [0] }\n",
        "5:38 bgp.confederation.members: must be a number from 1 to 4294967294, not 0",
    ),
    ("[bgp]\nbest_external = 1\n", "5:17 bgp.best_external: must be true or false, not 1"),
    ("[api]\nlisten = [\"0.0.0.0:50051\"]\n", "5:11 api.listen: 0.0.0.0:50051 is not loopback: that needs [api.tls]"),
    ("[api]\nlisten = [\"unix:rel.sock\"]\n", "5:11 api.listen: a Unix socket is an absolute path"),
    ("[api.tls]\ncert = \"x\"\n", "4:6 api.tls: is not yet supported by this version"),
    ("[log]\nformat = \"jsn\"\n", "5:10 log.format: \"jsn\" is not one of \"text\", \"json\"; did you mean \"json\"?"),
    ("[log]\nlevel = \"lo=ud\"\n", "5:9 log.level: must be error, warn, info, debug or trace"),
    ("[bgp]\nstartup_delay = 5\n", "5:17 bgp.startup_delay: must be a duration with its unit"),
    ("[bgp]\nmultipath = { ebgp = 0 }\n", "5:22 bgp.multipath.ebgp: must be a number from 1 to 64, not 0"),
    (
        "[bgp]\nredistribute = [ { from = \"bgp\", policy = \"accept\" } ]\n",
        "5:27 bgp.redistribute.from: \"bgp\" is not one of \"static\", \"connected\", \"kernel\", \"api\", \"ospf\"",
    ),
    (
        "[bgp]\nredistribute = [ { from = \"static\", policy = \"p\" } ]\n[[policy]]\nname = \"p\"\nrules = [ { set = { tag = 7 } } ]\n",
        "5:46 bgp.redistribute.policy: policy \"p\" sets tag: only redistribution into OSPF has one",
    ),
    (
        "[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\nimport = \"p\"\n[[policy]]\nname = \"p\"\nrules = [ { set = { metric = 7 } } ]\n",
        "7:10 neighbor.import: policy \"p\" sets metric: only redistribution has a metric; MED is set by \"med\"",
    ),
    (
        "[bgp]\nredistribute = [ { from = \"static\", policy = \"acept\" } ]\n",
        "5:46 bgp.redistribute.policy: there is no policy named \"acept\"; did you mean \"accept\"?",
    ),
    ("[[neighbor]]\nasn = 1\n", "4:1 neighbor.address: is missing"),
    ("[[neighbor]]\naddress = \"10.0.0.1\"\n", "4:1 neighbor.asn: is missing"),
    ("[[neighbor]]\naddress = \"10.0.0.256\"\nasn = 1\n", "5:11 neighbor.address: must be an IP address"),
    ("[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 0\n", "6:7 neighbor.asn: must be a number from 1"),
    (
        "[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\nhold_time = \"2s\"\n",
        "7:13 neighbor.hold_time: must be \"0s\" (none) or whole seconds from \"3s\"",
    ),
    (
        "[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\nhold_tme = \"9s\"\n",
        "7:1 neighbor.hold_tme: is not a known key; did you mean \"hold_time\"?",
    ),
    (
        "[[static]]\nprefix = \"198.51.100.0/24\"\ninterface = \"eth0\"\nbfd = true\n",
        "7:7 static.bfd: watches the way to a gateway: give one by via",
    ),
    ("[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\nbfd = 3\n", "7:7 neighbor.bfd: must be true, false, or a table"),
    (
        "[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\n[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 2\n",
        "8:11 neighbor.address: 10.0.0.1 stands twice",
    ),
    (
        "[[neighbor_group]]\nname = \"transit\"\n[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\ngroup = \"transt\"\n",
        "9:9 neighbor.group: there is no neighbor_group named \"transt\"; did you mean \"transit\"?",
    ),
    (
        "[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\nexport = [\"accept\", \"nowhere\"]\n",
        "7:21 neighbor.export: there is no policy named \"nowhere\"; define it in [[policy]]",
    ),
    (
        "[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\nfamilies = [\"ipv4\"]\n",
        "7:13 neighbor.families: \"ipv4\" is not one of \"ipv4-unicast\", \"ipv6-unicast\"",
    ),
    (
        "[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\nlocal_address = \"2001:db8::1\"\n",
        "7:17 neighbor.local_address: 2001:db8::1 is not of the family",
    ),
    (
        "[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\nroute_reflector_client = true\n",
        "7:26 neighbor.route_reflector_client: only an internal neighbor",
    ),
    ("[neighbor]\naddress = \"10.0.0.1\"\n", "4:1 neighbor: must be a list of tables: write [[neighbor]]"),
    ("[[prefix_set]]\nname = \"a\"\nprefixes = [\"192.0.2.1/24\"]\n", "6:13 prefix_set.prefixes: \"192.0.2.1/24\": "),
    ("[[community_set]]\nname = \"a\"\ncommunities = [\"64512\"]\n", "6:16 community_set.communities: \"64512\""),
    ("[[policy]]\nname = \"accept\"\n", "5:8 policy.name: \"accept\" is built in"),
    (
        "[[policy]]\nname = \"p\"\nrules = [ { match = { prefix_set = \"min\" } } ]\n[[prefix_set]]\nname = \"mine\"\nprefixes = []\n",
        "6:36 policy.rules.match.prefix_set: there is no prefix_set named \"min\"; did you mean \"mine\"?",
    ),
    (
        "[[policy]]\nname = \"p\"\nrules = [ { match = { rpki = \"invalid\" } } ]\n",
        "6:23 policy.rules.match.rpki: is not yet supported by this version",
    ),
    ("[[policy]]\nname = \"p\"\nrules = [ { action = \"acept\" } ]\n", "6:22 policy.rules.action: "),
    (
        "[[static]]\nprefix = \"198.51.100.1/24\"\nblackhole = true\n",
        "5:10 static.prefix: 198.51.100.1/24 has bits set beyond its length; 198.51.100.0/24 would be right",
    ),
    ("[[static]]\nprefix = \"198.51.100.0/24\"\n", "5:10 static.prefix: needs one of via"),
    (
        "[[static]]\nprefix = \"2001:db8::/32\"\nvia = [\"10.0.0.1\"]\n",
        "6:8 static.via: 10.0.0.1 is not of the family of 2001:db8::/32",
    ),
    (
        "[[static]]\nprefix = \"198.51.100.0/24\"\nvia = [\"10.0.0.1\", { gateway = \"10.0.0.1\", weight = 2 }]\n",
        "6:20 static.via: this way stands twice; a weight gives it a greater share",
    ),
    (
        "[[static]]\nprefix = \"198.51.100.0/24\"\nvia = [{ gateway = \"10.0.0.1\", weigth = 2 }]\n",
        "6:32 static.via.weigth: is not a known key; did you mean \"weight\"?",
    ),
    (
        "[[static]]\nprefix = \"198.51.100.0/24\"\nvia = [{ gateway = \"10.0.0.1\", weight = 257 }]\n",
        "6:41 static.via.weight: must be a number from 1 to 256, not 257",
    ),
    (
        "[[static]]\nprefix = \"198.51.100.0/24\"\nvia = [{ gateway = \"10.0.0.1\", onlink = true }]\n",
        "6:8 static.via: 10.0.0.1 is said to be onlink, but not on which",
    ),
    (
        "[[static]]\nprefix = \"198.51.100.0/24\"\nvia = [{ weight = 3 }]\n",
        "6:8 static.via: names neither gateway nor interface",
    ),
    (
        "[[static]]\nprefix = \"198.51.100.0/24\"\nvia = [\"10.0.0.1\"]\nprohibit = true\n",
        "7:12 static.prohibit: stands alone",
    ),
    (
        "[[static]]\nprefix = \"198.51.100.0/24\"\nblackhole = true\nunreachable = true\n",
        "6:13 static.blackhole: stands alone",
    ),
    (
        "[[static]]\nprefix = \"198.51.100.0/24\"\ninterface = \"eth0\"\nonlink = true\n",
        "7:10 static.onlink: is about a gateway",
    ),
    (
        "[[static]]\nprefix = \"2001:db8::/32\"\nvia = [\"fe80::1\"]\n",
        "6:8 static.via: fe80::1 is link-local: interface must be given too",
    ),
    ("[rib]\ndistance = { connected = 1 }\n", "5:14 rib.distance.connected: is not a known key"),
    ("[fib]\nbackends = [\"dpdk\"]\n", "5:12 fib.backends: \"dpdk\" needs to know where: fib.dpdk.socket"),
    ("[fib.dpdk]\nsocket = \"dpdk.sock\"\n", "5:10 fib.dpdk.socket: must be an absolute path"),
    ("[fib.dpdk]\nsocket = \"/run/a\"\neal = [\"-m\"]\n", "6:7 fib.dpdk.eal: is for the bundled agent"),
    ("[fib.fpm]\naddress = \"2620\"\n", "5:11 fib.fpm.address: must be host:port or unix:/path"),
    ("[fib.fpm]\naddress = \"unix:fpm\"\n", "5:11 fib.fpm.address: must be host:port or unix:/path"),
    (
        "[fib]\nbackends = [\"kernel\", \"xdp\"]\n",
        "5:12 fib.backends: \"xdp\" forwards between interfaces: name them in",
    ),
    ("[fib.xdp]\ninterfaces = [\"eth0\", \"eth0\"]\n", "5:23 fib.xdp.interfaces: eth0 stands twice"),
    ("[fib.xdp]\ninterfaces = [\"a/b\"]\n", "5:15 fib.xdp.interfaces: \"a/b\" is no name of an interface"),
    ("[fib.xdp]\nmode = \"driver\"\n", "5:8 fib.xdp.mode: \"driver\" is not one of"),
    ("[fib.xdp]\npin = \"anyhop\"\n", "5:7 fib.xdp.pin: must be an absolute path"),
    (
        "[fib.xdp]\nlimits = { next_hops = 5000000 }\n",
        "5:24 fib.xdp.limits.next_hops: must be a number from 1 to 4194302",
    ),
    ("[fib]\nbackends = [\"kernal\"]\n", "5:13 fib.backends: \"kernal\" is not one of"),
    ("[fib.kernel]\nprotocol = 186\n", "5:12 fib.kernel.protocol: 186 to 199 belong to other routing daemons"),
    ("[fib.kernel]\ntable = 255\n", "5:9 fib.kernel.table: 255 is the kernel's own table"),
    ("[[service]]\nname = \"dns\"\n", "4:1 service.vips: is missing"),
    (
        "[[service]]\nname = \"a\"\nvips = [\"192.0.2.53/32\"]\n[[service]]\nname = \"b\"\nvips = [\"192.0.2.53/32\"]\n",
        "9:9 service.vips: 192.0.2.53/32 belongs to service \"a\" already",
    ),
    (
        "[[service]]\nname = \"a\"\nvips = [\"192.0.2.53/24\"]\n",
        "6:9 service.vips: 192.0.2.53/24 has bits set beyond its length; 192.0.2.0/24 would be right",
    ),
    (
        "[[service]]\nname = \"a\"\nvips = [\"192.0.2.53/32\"]\nvia = [\"ospf\"]\n",
        "4:1 service.via: service \"a\" is announced via \"ospf\": write [ospf] with its interfaces",
    ),
    (
        "[[service]]\nname = \"a\"\nvips = [\"192.0.2.53/32\"]\ncombine = { score = 0.5 }\n",
        "7:11 service.combine: a score is not yet supported",
    ),
    (
        "[[service]]\nname = \"a\"\nvips = [\"192.0.2.53/32\"]\nchecks = [ { type = \"icmp\", target = \"127.0.0.1\" } ]\n",
        "7:21 service.checks.type: \"icmp\" is not yet supported by this version",
    ),
    (
        "[[service]]\nname = \"a\"\nvips = [\"192.0.2.53/32\"]\nchecks = [ { type = \"tcp\" } ]\n",
        "7:12 service.checks.target: is missing",
    ),
    (
        "[[service]]\nname = \"a\"\nvips = [\"192.0.2.53/32\"]\nchecks = [ { type = \"tcp\", target = \"127.0.0.1:1\", query = \"x\" } ]\n",
        "7:52 service.checks.query: is not a known key",
    ),
    (
        "[[service]]\nname = \"a\"\nvips = [\"192.0.2.53/32\"]\nchecks = [ { type = \"tcp\", target = \"127.0.0.1:1\", interval = \"1s\", timeout = \"2s\" } ]\n",
        "7:79 service.checks.timeout: 2s is longer than the interval of 1s",
    ),
];

#[test]
fn each_bad_line_is_reported_at_its_place_with_what_would_be_right() {
    let mut wrong = Vec::new();
    for (rest, expected) in BAD {
        let found = errors_of(&format!("{NODE}{rest}"));
        if !found.first().is_some_and(|first| first.starts_with(expected)) {
            wrong.push(format!("{rest}\n  expected {expected}\n  found    {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn several_errors_are_reported_at_once_in_the_order_of_the_text() {
    let found =
        errors_of("[node]\nasn = \"x\"\nrouter_id = \"0.0.0.0\"\n[[static]]\nprefix = \"10.0.0.1/8\"\nvai = []\n");
    let places: Vec<&str> = found.iter().map(|line| line.split(' ').next().expect("a place")).collect();
    assert_eq!(places, ["2:7", "3:13", "5:10", "6:1"], "{found:#?}");
}

#[test]
fn an_error_shows_the_line_and_points_at_the_value() {
    let text = format!("{NODE}[[static]]\nprefix = \"10.0.0.1/8\"\nblackhole = true\n");
    let errors = check_text(Path::new("/etc/anyhop/anyhop.toml"), &text).expect_err("host bits").to_string();
    assert_eq!(
        errors,
        "/etc/anyhop/anyhop.toml:5:10: static.prefix: 10.0.0.1/8 has bits set beyond its length; 10.0.0.0/8 would be right\n  \
         |\n5 | prefix = \"10.0.0.1/8\"\n  |          ^^^^^^^^^^^^"
    );
}

#[test]
fn text_that_is_no_toml_and_a_file_that_is_not_there_say_so() {
    assert!(errors_of("[node\nasn = 1\n")[0].starts_with("1:"), "{:?}", errors_of("[node\nasn = 1\n"));
    let gone = super::check(Path::new("/nonexistent/anyhop.toml")).expect_err("no file").to_string();
    assert!(gone.starts_with("/nonexistent/anyhop.toml: cannot read the file: "), "{gone}");
    assert!(errors_of("")[0].contains("node: is missing: write [node] with asn and router_id"));
}

#[test]
fn a_reload_names_what_it_changes_and_what_needs_a_restart() {
    let a = good("[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\n");
    let b = good("[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\n[[neighbor]]\naddress = \"10.0.0.2\"\nasn = 2\n");
    assert!(Diff::between(&a, &a.clone()).is_empty());
    assert_eq!(Diff::between(&a, &b).lines, ["neighbor 10.0.0.2 added"]);
    assert_eq!(Diff::between(&b, &a).lines, ["neighbor 10.0.0.2 removed"]);
    let c = good("[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\n[fib]\nbackends = []\n");
    assert_eq!(Diff::between(&a, &c).restart, ["fib"]);
}

proptest! {
    /// No text panics, and every error has a place inside the text.
    #[test]
    fn no_text_panics(text in "(\\[+(node|neighbor|policy|service|static|bgp)\\]+|[a-z_]{1,12} = |\"[ -~]{0,9}\"|[0-9]{1,3}|[\\[\\]{},.= \n]|é){0,40}") {
        if let Err(errors) = check_text(Path::new("t.toml"), &text) {
            for error in errors.list() {
                prop_assert!(error.line >= 1 && error.column >= 1);
                prop_assert!(error.line <= text.matches('\n').count() + 1);
            }
            let _ = errors.to_string();
        }
    }
}

/// A line after an external neighbor's address and AS, and the error at it without its place.
const BAD_NEIGHBOR: &[(&str, &str)] = &[
    ("interface = \"eth0\"", "interface: stands with address = \"10.0.0.1\", which is not link-local"),
    ("range = \"10.0.0.0/24\"", "address: stands together with range; write one of address, interface and range"),
    ("limit = 5", "limit: goes with range; max_prefix limits prefixes"),
    ("ttl_security = 0", "ttl_security: must be a number from 1 to 254, not 0"),
    ("ttl_security = 255", "ttl_security: must be a number from 1 to 254, not 255"),
    ("ttl_security = 1\nmultihop = 2", "ttl_security: stands together with multihop"),
    (
        "role = \"custmer\"",
        "role: \"custmer\" is not one of \"provider\", \"customer\", \"peer\", \"rs\", \"rs-client\"; did",
    ),
    ("max_prefix = {}", "max_prefix.limit: is missing: the most prefixes"),
    ("max_prefix = 5", "max_prefix: must be a table, not 5"),
    ("max_prefix = { limit = 0 }", "max_prefix.limit: must be a number from 1 to 4294967295, not 0"),
    ("max_prefix = { limit = 9, warn = 1.5 }", "max_prefix.warn: must be a share from 0 to 1, as in 0.8, not 1.5"),
    ("max_prefix = { limit = 9, warn = \"80%\" }", "max_prefix.warn: must be a share from 0 to 1"),
    (
        "max_prefix = { limit = 9, restart = \"0s\" }",
        "max_prefix.restart: must be whole seconds from \"1s\" to \"30d\"",
    ),
    ("add_path = { send = 300 }", "add_path.send: must be a number from 0 to 255, not 300"),
    ("add_path = { recieve = true }", "add_path.recieve: is not a known key; did you mean \"receive\"?"),
    (
        "graceful_restart = { restart_time = \"4096s\" }",
        "graceful_restart.restart_time: must be whole seconds from \"1s\"",
    ),
    ("graceful_restart = { restart_time = \"1500ms\" }", "graceful_restart.restart_time: must be whole seconds"),
    ("graceful_restart = { long_lived = \"195d\" }", "graceful_restart.long_lived: must be whole seconds"),
    (
        "graceful_restart = { helper = false, long_lived = \"1h\" }",
        "graceful_restart.long_lived: needs enabled = true (to be kept) or helper = true (to keep)",
    ),
    ("graceful_restart = true", "graceful_restart: must be a table, not true"),
    ("allow_as_in = 11", "allow_as_in: must be a number from 0 to 10, not 11"),
    ("asn = \"internal\"\nrole = \"peer\"", "role: is not for an internal neighbor: roles are between different ASes"),
    ("asn = 64512\nroute_server_client = true", "route_server_client: is not for an internal neighbor"),
    ("asn = 64512\nas_override = true", "as_override: is not for an internal neighbor"),
    ("asn = 64512\nremove_private_as = true", "remove_private_as: is not for an internal neighbor"),
    ("route_server_client = true\nas_override = true", "as_override: contradicts route_server_client"),
    (
        "route_server_client = true\nrole = \"customer\"",
        "role: contradicts route_server_client: our role is then \"rs\"",
    ),
    ("bfd = \"yes\"", "bfd: must be true, false, or a table as in { interval = \"50ms\", multiplier = 3 }"),
    ("bfd = { interval = \"1ms\" }", "bfd.interval: must be from \"10ms\" to \"60s\""),
    ("bfd = { multiplier = 0 }", "bfd.multiplier: must be a number from 1 to 255, not 0"),
    ("bfd = { min_rx = \"50ms\" }", "bfd.min_rx: is not a known key"),
    ("advertise_only_installed = 1", "advertise_only_installed: must be true or false, not 1"),
];

#[test]
fn a_neighbor_s_key_that_makes_no_sense_is_refused_with_what_would() {
    let mut wrong = Vec::new();
    for (lines, expected) in BAD_NEIGHBOR {
        let asn = if lines.starts_with("asn") { "" } else { "asn = 64500\n" };
        let text = format!("{NODE}[[neighbor]]\naddress = \"10.0.0.1\"\n{asn}{lines}\n");
        let found = errors_of(&text);
        let first = found.first().and_then(|line| line.split_once(' ')).map(|(_, said)| said).unwrap_or_default();
        if !first.starts_with(&format!("neighbor.{expected}")) || found.len() != 1 {
            wrong.push(format!("{lines}\n  expected {expected}\n  found    {found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_neighbor_is_an_address_a_link_or_a_range() {
    let model = good(
        "[[neighbor]]\naddress = \"fe80::1%eth0\"\nasn = 1\n\
         [[neighbor]]\naddress = \"fe80::1\"\ninterface = \"eth1\"\nasn = 1\n\
         [[neighbor]]\ninterface = \"eth0\"\nasn = \"external\"\nfamilies = [\"ipv4-unicast\", \"ipv6-unicast\"]\n\
         [[neighbor]]\nrange = \"10.0.0.0/24\"\nasn = \"external\"\n\
         [[neighbor]]\nrange = \"2001:db8::/64\"\nlimit = 7\nasn = 1\n",
    );
    let who: Vec<_> = model.speaker.neighbors.iter().map(|n| (n.address.to_string(), n.interface.as_deref())).collect();
    let expected = [("fe80::1", Some("eth0")), ("fe80::1", Some("eth1")), ("::", Some("eth0"))];
    assert_eq!(who, expected.map(|(address, interface)| (address.to_owned(), interface)));
    let ranges: Vec<_> = model.speaker.ranges.iter().map(|r| (r.range.to_string(), r.limit)).collect();
    assert_eq!(ranges, [("10.0.0.0/24".to_owned(), 100), ("2001:db8::/64".to_owned(), 7)]);
    let template = &model.speaker.ranges[1].template;
    assert!(template.passive && template.families == [AddressFamily::Ipv6]);
    assert_eq!(model.bgp.listen.len(), 2, "a range is a reason to listen");

    for (text, expected) in [
        ("address = \"fe80::1\"\n", "neighbor.address: fe80::1 is link-local: give its interface, too"),
        ("address = \"fe80::1%eth0\"\ninterface = \"eth1\"\n", "neighbor.interface: \"eth1\" is another link"),
        ("address = \"10.0.0.1%eth0\"\n", "neighbor.address: 10.0.0.1 is not link-local"),
        ("address = \"fe80::1%\"\n", "neighbor.address: \"\" is no interface's name"),
        (
            "interface = \"a name too long for one\"\n",
            "neighbor.interface: \"a name too long for one\" is no interface's",
        ),
        ("range = \"10.0.0.0/24\"\npassive = false\n", "neighbor.passive: must not be false with range"),
        ("range = \"10.0.0.1/24\"\n", "neighbor.range: 10.0.0.1/24 has bits set"),
        ("range = \"10.0.0.0/24\"\nlimit = 0\n", "neighbor.limit: must be a number from 1 to 65535"),
        (
            "interface = \"eth0\"\nlocal_address = \"10.0.0.1\"\n",
            "neighbor.local_address: 10.0.0.1 is not of the family",
        ),
    ] {
        let found = errors_of(&format!("{NODE}[[neighbor]]\nasn = 1\n{text}"));
        assert!(found[0].split_once(' ').is_some_and(|(_, said)| said.starts_with(expected)), "{text}: {found:#?}");
    }
    for twice in ["range = \"10.0.0.0/24\"\n", "interface = \"eth0\"\n", "address = \"fe80::1%eth0\"\n"] {
        let one = format!("[[neighbor]]\nasn = 1\n{twice}");
        let found = errors_of(&format!("{NODE}{one}{one}"));
        assert!(found[0].contains("stands twice; each may stand once"), "{found:#?}");
    }
}

#[test]
fn every_key_of_a_session_reaches_the_speaker() {
    let model = good(
        r#"
[bgp]
confederation = { id = 64999, members = [64512, 64513] }
multipath = { ebgp = 4, ibgp = 2, relax = true }
best_external = true
[[aggregate]]
prefix = "198.51.100.0/22"
summary_only = true
[[neighbor]]
address = "10.0.0.1"
asn = 64500
password = "hush"
ttl_security = 2
role = "customer"
max_prefix = { limit = 1000, warn = 0.8, restart = "5m" }
add_path = { receive = true, send = 4 }
graceful_restart = { enabled = true, restart_time = "60s", long_lived = "1h" }
default_originate = true
allow_as_in = 3
remove_private_as = true
as_override = true
advertise_only_installed = true
[[neighbor]]
address = "10.0.0.2"
asn = 64501
role = "rs"
route_server_client = true
max_prefix = { limit = 10 }
"#,
    );
    let speaker = &model.speaker;
    assert_eq!(speaker.confederation, Some(Confederation { id: 64999, members: vec![64513] }));
    assert_eq!((speaker.multipath_ebgp, speaker.multipath_ibgp, speaker.multipath_relax), (4, 2, true));
    assert!(speaker.best_external);
    assert_eq!(speaker.aggregates, [Aggregate { prefix: "198.51.100.0/22".parse().unwrap(), summary_only: true }]);
    let [a, b] = speaker.neighbors.as_slice() else { panic!("two neighbors") };
    assert_eq!(a.password.as_ref().map(Secret::expose), Some("hush"));
    assert_eq!((a.ttl_security, a.multihop, a.role), (Some(2), None, Some(Role::Customer)));
    let five_minutes = Some(Duration::from_secs(300));
    assert_eq!(a.max_prefix, Some(MaxPrefix { limit: 1000, warn: 800, restart: five_minutes }));
    assert_eq!(a.add_path, AddPath { receive: true, send: 4 });
    let restart = GracefulRestart {
        helper: true,
        restarting: true,
        restart_time: Duration::from_secs(60),
        long_lived: Some(Duration::from_secs(3600)),
    };
    assert_eq!(a.graceful_restart, restart);
    assert!(a.advertise_only_installed && !b.advertise_only_installed);
    assert!(a.default_originate && a.remove_private_as && a.as_override && a.allow_as_in == 3);
    assert_eq!((b.role, b.route_server_client), (Some(Role::RouteServer), true));
    assert_eq!(b.max_prefix, Some(MaxPrefix { limit: 10, warn: 8, restart: None }));
    assert_eq!(b.graceful_restart, GracefulRestart::default());
}

#[test]
fn a_group_gives_every_kind_of_key_and_the_neighbor_s_own_way_wins_whole() {
    let model = good(
        r#"
[[neighbor_group]]
name = "g"
asn = 64500
password = "of the group"
multihop = 3
role = "peer"
max_prefix = { limit = 5, restart = "1m" }
add_path = { receive = true }
graceful_restart = { helper = false }
allow_as_in = 1
[[neighbor]]
address = "10.0.0.1"
group = "g"
[[neighbor]]
address = "10.0.0.2"
group = "g"
password = "own"
ttl_security = 1
role = "customer"
max_prefix = { limit = 6 }
add_path = { send = 2 }
graceful_restart = {}
allow_as_in = 0
"#,
    );
    let [a, b] = model.speaker.neighbors.as_slice() else { panic!("two neighbors") };
    assert_eq!(a.password.as_ref().map(Secret::expose), Some("of the group"));
    assert_eq!((a.multihop, a.ttl_security, a.role, a.allow_as_in), (Some(3), None, Some(Role::Peer), 1));
    assert!(a.add_path.receive && !a.graceful_restart.helper && a.max_prefix.is_some_and(|max| max.restart.is_some()));
    assert_eq!(b.password.as_ref().map(Secret::expose), Some("own"));
    assert_eq!((b.multihop, b.ttl_security, b.role, b.allow_as_in), (None, Some(1), Some(Role::Customer), 0));
    assert_eq!(b.add_path, AddPath { receive: false, send: 2 });
    assert!(b.graceful_restart.helper && b.max_prefix.is_some_and(|max| max.restart.is_none() && max.limit == 6));
}

#[test]
fn a_restart_that_would_hold_dead_vips_is_warned_of() {
    let text = |family: &str, enabled: bool| {
        format!(
            "{NODE}[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\nfamilies = [\"{family}\"]\n\
             graceful_restart = {{ enabled = {enabled} }}\n[[service]]\nname = \"dns\"\nvips = [\"192.0.2.53/32\"]\n"
        )
    };
    let warned = |text: &str| {
        let (_, warnings) = super::review_text(Path::new("t.toml"), text).expect("valid");
        warnings.list().iter().map(|w| format!("{}:{} {}: {}", w.line, w.column, w.key, w.message)).collect::<Vec<_>>()
    };
    let found = warned(&text("ipv4-unicast", true));
    assert_eq!(found.len(), 1, "{found:#?}");
    let start = "8:20 neighbor.graceful_restart: enabled = true covers service \"dns\" (192.0.2.53/32)";
    assert!(found[0].starts_with(start), "{found:#?}");
    assert!(warned(&text("ipv6-unicast", true)).is_empty() && warned(&text("ipv4-unicast", false)).is_empty());
}

#[test]
fn a_password_is_read_from_its_file_and_never_repeated() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &[u8], mode: u32| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode set");
    };
    write("key", b"hush hush\n", 0o600);
    write("open", b"hush hush\r\n", 0o644);
    write("empty", b"\n", 0o600);
    write("long", "hushhush".repeat(11).as_bytes(), 0o600);
    write("binary", b"hush\xff", 0o600);
    let review = |line: &str| {
        let text = format!("{NODE}[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\n{line}\n");
        super::review_text(&dir.path().join("t.toml"), &text)
    };
    let (model, warnings) = review("password_file = \"key\"").expect("valid");
    assert_eq!(model.speaker.neighbors[0].password.as_ref().map(Secret::expose), Some("hush hush"));
    assert!(warnings.is_empty());
    assert!(!format!("{model:?}").contains("hush"), "Debug shows no password");
    let (model, warnings) = review("password_file = \"open\"").expect("valid");
    assert_eq!(model.speaker.neighbors[0].password.as_ref().map(Secret::expose), Some("hush hush"));
    assert!(warnings.list()[0].message.contains("can be read by others than its owner"), "{warnings}");
    let long = format!("password = \"{}\"", "hush".repeat(21));
    for (line, expected) in [
        ("password_file = \"gone\"", "gone: cannot read the file: No such file"),
        ("password_file = \".\"", "is no file"),
        ("password_file = \"empty\"", "is empty"),
        ("password_file = \"long\"", "is 88 octets long; TCP-MD5 takes at most 80"),
        ("password_file = \"binary\"", "is no text in UTF-8"),
        ("password = \"hush\"\npassword_file = \"key\"", "stands together with password"),
        (long.as_str(), "is 84 octets long; TCP-MD5 takes at most 80"),
        ("password = \"\"", "is empty"),
        ("password = [\"hush\"]", "must be a text in quotes"),
        ("password = hush", "…"),
        ("password = \"hush\\q\"", "…"),
        ("password = \"\"\"\nhush\\q\n\"\"\"", "…"),
        ("password = \"hush", "…"),
        ("pasword = \"hush\"", "did you mean \"password\"?"),
        ("max_prefix = { limit = 0, password = \"hush\" }", "is not a known key"),
    ] {
        let errors = review(line).expect_err(line);
        let said = errors.to_string();
        assert!(said.contains(expected), "{line}: {said}");
        assert!(!said.contains("hush") && !format!("{errors:?}").contains("hush"), "{line}: {said}");
    }
}

/// Lines of a neighbor changed, and what that does to its session.
const EFFECTS: &[(&str, &str, Option<Effect>)] = &[
    ("", "", None),
    ("", "description = \"x\"", Some(Effect::Live)),
    ("", "import = \"accept\"", Some(Effect::Live)),
    ("", "export = \"accept\"", Some(Effect::Live)),
    ("", "max_prefix = { limit = 5 }", Some(Effect::Live)),
    ("", "connect_retry = \"9s\"", Some(Effect::Live)),
    ("", "default_originate = true", Some(Effect::Live)),
    ("adj_in = \"accepted\"", "adj_in = \"accepted\"\nimport = \"accept\"", Some(Effect::Refresh)),
    ("adj_in = \"accepted\"", "", Some(Effect::Refresh)),
    ("", "adj_in = \"accepted\"", Some(Effect::Live)),
    ("", "hold_time = \"9s\"", Some(Effect::Reset)),
    ("", "families = [\"ipv4-unicast\", \"ipv6-unicast\"]", Some(Effect::Reset)),
    ("", "password = \"x\"", Some(Effect::Reset)),
    ("password = \"x\"", "password = \"y\"", Some(Effect::Reset)),
    ("", "ttl_security = 1", Some(Effect::Reset)),
    ("", "role = \"peer\"", Some(Effect::Reset)),
    ("", "add_path = { receive = true }", Some(Effect::Reset)),
    ("", "graceful_restart = { enabled = true }", Some(Effect::Reset)),
    ("", "local_address = \"10.0.0.2\"", Some(Effect::Reset)),
    ("", "enabled = false", Some(Effect::Reset)),
];

#[test]
fn a_reload_says_of_each_neighbor_whether_its_session_goes_on() {
    let mut wrong = Vec::new();
    for (before, after, expected) in EFFECTS {
        let with = |lines: &str| good(&format!("[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\n{lines}\n"));
        let diff = Diff::between(&with(before), &with(after));
        let found = diff.effects.first().map(|(_, effect)| *effect);
        if found != *expected {
            wrong.push(format!("{before:?} -> {after:?}: {found:?}, not {expected:?}"));
        }
        assert!(!diff.lines.iter().any(|line| line.contains('\u{22}')), "no value is repeated: {:?}", diff.lines);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_examples_are_valid_and_nothing_is_said_against_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let dir = tempfile::tempdir().expect("a directory");
    let key = dir.path().join("clients.key");
    std::fs::write(&key, "for the test\n").expect("written");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode set");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&root).expect("the examples") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            // A lab, with a configuration of its own making.
            continue;
        }
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a text");
        // As if it stood beside its key file.
        match super::review_text(&dir.path().join(&name), &text) {
            Ok((_, warnings)) => assert!(warnings.is_empty(), "{warnings}"),
            Err(errors) => panic!("{errors}"),
        }
        names.push(name);
    }
    names.sort();
    assert_eq!(names, ["anycast-site.toml", "edge.toml", "route-reflector.toml", "route-server.toml"]);
}
