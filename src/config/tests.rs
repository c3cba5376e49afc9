//! Good files give the model they say; each bad one gives its place, its key and what would be right.

use std::path::Path;
use std::time::Duration;

use bgpd::config::{PolicyRef, RemoteAs};
use proptest::prelude::*;
use rib::{AddressFamily, AdminDistance};

use super::model::{ApiListen, Backend, StaticTo};
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
    assert_eq!((model.statics[1].to.clone(), model.statics[1].distance), (StaticTo::Blackhole, AdminDistance(250)));
    let service = &model.services[0];
    assert_eq!((service.vips.len(), service.checks.len(), service.distance), (2, 5, AdminDistance(9)));
    assert_eq!((service.communities.len(), service.large_communities.len()), (1, 1));
    assert_eq!(service.checks[0].fall, 2);
    assert_eq!(service.drain.gshut, Duration::from_secs(10));
    assert_eq!(model.withdrawal_budget, Some((10, Duration::from_secs(60))));
}

/// After the three lines of [`NODE`]: the text, and what stands in the first error.
const BAD: &[(&str, &str)] = &[
    ("[nod]\n", "4:2 nod: is not a known key; did you mean \"node\"?"),
    ("[bgp]\nlisten_on = []\n", "5:1 bgp.listen_on: is not a known key; did you mean \"listen\"?"),
    ("[web]\nlisten = \"127.0.0.1:80\"\n", "4:2 web: is not yet supported by this version"),
    ("[ospf]\n", "4:2 ospf: is not yet supported by this version"),
    ("[[aggregate]]\nprefix = \"10.0.0.0/8\"\n", "4:3 aggregate: is not yet supported by this version"),
    ("[bgp]\nconfederation = { id = 1 }\n", "5:1 bgp.confederation: is not yet supported by this version"),
    ("[api]\nlisten = [\"0.0.0.0:50051\"]\n", "5:11 api.listen: 0.0.0.0:50051 is not loopback: that needs [api.tls]"),
    ("[api]\nlisten = [\"unix:rel.sock\"]\n", "5:11 api.listen: a Unix socket is an absolute path"),
    ("[api.tls]\ncert = \"x\"\n", "4:6 api.tls: is not yet supported by this version"),
    ("[log]\nformat = \"jsn\"\n", "5:10 log.format: \"jsn\" is not one of \"text\", \"json\"; did you mean \"json\"?"),
    ("[log]\nlevel = \"lo=ud\"\n", "5:9 log.level: must be error, warn, info, debug or trace"),
    ("[bgp]\nstartup_delay = 5\n", "5:17 bgp.startup_delay: must be a duration with its unit"),
    ("[bgp]\nmultipath = { ebgp = 0 }\n", "5:22 bgp.multipath.ebgp: must be a number from 1 to 64, not 0"),
    (
        "[bgp]\nredistribute = [ { from = \"ospf\", policy = \"accept\" } ]\n",
        "5:27 bgp.redistribute.from: \"ospf\" is not yet supported by this version",
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
        "[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\npassword = \"x\"\n",
        "7:1 neighbor.password: is not yet supported by this version",
    ),
    ("[[neighbor]]\naddress = \"10.0.0.1\"\nasn = 1\nbfd = true\n", "7:1 neighbor.bfd: is not yet supported"),
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
        "[[static]]\nprefix = \"198.51.100.0/24\"\nvia = [\"2001:db8::1\"]\n",
        "6:8 static.via: 2001:db8::1 is not of the family of 198.51.100.0/24",
    ),
    (
        "[[static]]\nprefix = \"2001:db8::/32\"\nvia = [\"fe80::1\"]\n",
        "6:8 static.via: fe80::1 is link-local: interface must be given too",
    ),
    ("[rib]\ndistance = { connected = 1 }\n", "5:14 rib.distance.connected: is not a known key"),
    ("[fib]\nbackends = [\"xdp\"]\n", "5:13 fib.backends: \"xdp\" is not yet supported by this version"),
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
        "7:8 service.via: \"ospf\" is not yet",
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
