//! Stories for the command line: what is understood, what is printed, and with which code it ends.

use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use clap_complete::Shell;
use proto::v1;
use tonic::{Code, Status};

use super::client::Failure;
use super::view::{Neighbor, Path, Route, Service};
use super::{Cli, Command, completions, lookup, output, show, status, view};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("anyhop").chain(line.split_whitespace()))
}

#[test]
fn the_contracts_commands_are_understood() {
    Cli::command().debug_assert();
    for line in [
        "run",
        "run -c /tmp/a.toml",
        "check /tmp/a.toml",
        "demo",
        "demo --hold",
        "status",
        "status --json --api unix:/tmp/a.sock",
        "--json status",
        "show neighbors",
        "show neighbors 10.0.0.1",
        "show routes",
        "show routes 192.0.2.0/24 --longer",
        "show routes --protocol bgp --protocol static --family ipv6",
        "show adj-in 10.0.0.1",
        "show adj-out 2001:db8::1 --family ipv6-unicast --json",
        "show services",
        "show services dns",
        "show fib",
        "lookup 192.0.2.1 --api 127.0.0.1:50051",
        "explain 192.0.2.0/24",
        "explain 192.0.2.0/24 --neighbor 10.0.0.1",
        "watch routes",
        "watch routes 192.0.2.0/24 --resume 1.2",
        "watch neighbors",
        "watch services",
        "watch events --json",
        "service announce dns",
        "service withdraw dns --reason maintenance",
        "service withdraw dns --force --reason fire",
        "service drain dns --gshut 30s",
        "service undrain dns",
        "neighbor enable 10.0.0.1",
        "neighbor disable 10.0.0.1 --message later",
        "neighbor reset 10.0.0.1",
        "neighbor reset 10.0.0.1 --soft in",
        "neighbor reset 10.0.0.1 --soft out",
        "route add 198.51.100.0/24 --via 10.0.0.1 --via 10.0.0.2 --lease 5m",
        "route add fe80::/64 --via fe80::1%eth0",
        "route add 198.51.100.0/24 --blackhole",
        "route del 198.51.100.0/24",
        "fib diff",
        "fib resync --backend kernel",
        "completions bash",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for line in [
        "frobnicate",
        "lookup 192.0.2.0/24",
        "lookup host.example",
        "show routes --longer",
        "show routes 192.0.2.0",
        "show adj-in",
        "explain 192.0.2.1.2/24",
        "watch everything",
        "service withdraw",
        "service withdraw dns --force",
        "neighbor reset 10.0.0.1 --soft sideways",
        "route add 198.51.100.0/24",
        "route add 198.51.100.0/24 --via 10.0.0.1 --blackhole",
        "route add 198.51.100.0/24 --via gateway",
        "route add 198.51.100.0/24 --blackhole --lease soon",
        "status --api nowhere",
        "completions klingon",
    ] {
        let err = parse(line).map(|_| line).unwrap_err();
        assert_eq!(err.exit_code(), 2, "{line}: {err}");
    }
    assert_eq!(parse("--help").unwrap_err().exit_code(), 0);
    assert_eq!(parse("--version").unwrap_err().exit_code(), 0);
}

#[test]
fn commands_of_later_versions_are_answered_and_not_advertised() {
    let help = Cli::command().render_long_help().to_string();
    for (line, name) in [
        ("plan /tmp/a.toml", "plan"),
        ("apply /tmp/a.toml --confirm 60s", "apply"),
        ("confirm", "confirm"),
        ("rollback", "rollback"),
        ("policy test /tmp/a", "policy"),
        ("mrt dump /tmp/a", "mrt"),
        ("top", "top"),
    ] {
        let failure = super::dispatch(parse(line).unwrap()).unwrap_err();
        assert_eq!(failure.code(), 1, "{line}");
        assert!(failure.message().starts_with("not built yet"), "{line}: {}", failure.message());
        assert!(!help.lines().any(|said| said.trim_start().starts_with(&format!("{name} "))), "{name} is in the help");
    }
    for line in ["show ospf neighbors", "show policies", "service maintenance dns"] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn the_code_says_who_refused() {
    for (status, code) in [
        (Status::failed_precondition("refused by safety.budget"), 3),
        (Status::invalid_argument("prefix: is empty"), 2),
        (Status::not_found("no route covers 192.0.2.1"), 1),
        (Status::unimplemented("not built yet: later"), 1),
        (Status::unavailable("the node is shutting down"), 1),
        (Status::new(Code::Internal, "oops"), 1),
    ] {
        let words = status.message().to_owned();
        let failure = Failure::from(status);
        assert_eq!(failure.code(), code, "{words}");
        assert!(failure.message().contains(&words), "{}", failure.message());
    }
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let closed = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    assert_eq!((Failure::write(&closed).code(), Failure::write(&closed).message()), (0, ""));
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    assert_eq!(Failure::write(&full).code(), 1);
}

#[test]
fn nobody_at_home_names_the_address_and_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nobody.sock");
    for api in [format!("unix:{}", path.display()), "127.0.0.1:1".to_owned()] {
        let failure = super::dispatch(parse(&format!("status --api {api}")).unwrap()).unwrap_err();
        assert_eq!(failure.code(), 1);
        assert!(failure.message().contains(&format!("cannot reach anyhop at {api}")), "{}", failure.message());
        assert!(failure.message().contains("is the daemon running?"), "{}", failure.message());
    }
}

fn route() -> Route {
    let gateway = v1::NextHop { gateway: "10.0.0.1".to_owned(), weight: 1, ..v1::NextHop::default() };
    let resolved = v1::NextHop { interface: "eth0".to_owned(), interface_index: 2, ..gateway.clone() };
    let fib =
        v1::FibStatus { backend: "kernel".to_owned(), state: v1::FibState::Installed.into(), reason: String::new() };
    Route::from(&v1::Route {
        prefix: "192.0.2.0/24".to_owned(),
        protocol: v1::Protocol::Bgp.into(),
        kind: v1::RouteKind::Ebgp.into(),
        distance: 20,
        next_hops: vec![gateway],
        resolved: vec![resolved],
        next_hop_id: 3,
        fib: vec![fib],
        ..v1::Route::default()
    })
}

#[test]
fn a_route_is_one_row_and_its_json_keys_are_stable() {
    let table = show::routes_table(&[route()]);
    let rows: Vec<_> = table.lines().collect();
    assert_eq!(
        rows,
        [
            "PREFIX        PROTOCOL  DISTANCE/METRIC  NEXT HOPS              FIB",
            "192.0.2.0/24  ebgp      20/0             via 10.0.0.1 dev eth0  kernel installed",
        ]
    );
    let json = serde_json::to_value(route()).unwrap();
    assert_eq!((&json["protocol"], &json["kind"]), (&"bgp".into(), &"ebgp".into()));
    assert_eq!(json["next_hops"][0]["gateway"], "10.0.0.1");
    assert_eq!(json["next_hops"][0]["interface"], serde_json::Value::Null);
    assert_eq!(json["resolved"][0]["interface"], "eth0");
    assert_eq!(json["fib"][0]["state"], "installed");
    let mut keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    let expected =
        ["distance", "fib", "kind", "metric", "next_hop_id", "next_hops", "prefix", "protocol", "resolved", "tag"];
    assert_eq!(keys, expected);
}

#[test]
fn a_lookup_says_how_it_resolves_only_if_that_says_more() {
    let text = lookup::text(&route());
    assert!(text.starts_with("192.0.2.0/24  ebgp  distance 20  metric 0\n"), "{text}");
    assert!(
        text.contains("next hops  via 10.0.0.1\n") && text.contains("resolved   via 10.0.0.1 dev eth0\n"),
        "{text}"
    );
    let mut plain = route();
    plain.resolved = plain.next_hops.clone();
    assert!(!lookup::text(&plain).contains("resolved"));
}

fn neighbor(state: v1::SessionState) -> v1::Neighbor {
    v1::Neighbor {
        address: "10.0.0.1".to_owned(),
        asn: 64500,
        state: state.into(),
        enabled: true,
        received: 1_234_567,
        families: vec![v1::AddressFamily::Ipv4.into()],
        last_down: "hold timer expired".to_owned(),
        ..v1::Neighbor::default()
    }
}

#[test]
fn a_neighbor_that_is_down_says_why_and_one_that_is_up_does_not() {
    let down = Neighbor::from(&neighbor(v1::SessionState::OpenSent));
    let table = show::neighbors_table(std::slice::from_ref(&down));
    assert!(table.contains("open-sent") && table.contains("hold timer expired"), "{table}");
    assert!(table.contains("1,234,567"), "{table}");
    let up_for = Some(prost_types::Duration { seconds: 90, nanos: 0 });
    let up = Neighbor::from(&v1::Neighbor { up_for, ..neighbor(v1::SessionState::Established) });
    let table = show::neighbors_table(std::slice::from_ref(&up));
    assert!(table.contains("1m 30s") && !table.contains("hold timer"), "{table}");
    let json = serde_json::to_value(&up).unwrap();
    assert_eq!((json["state"].as_str(), json["up_seconds"].as_f64()), (Some("established"), Some(90.0)));
    assert_eq!(json["families"][0], "ipv4-unicast");
    assert_eq!(serde_json::to_value(&down).unwrap()["up_seconds"], serde_json::Value::Null);
    let off = Neighbor::from(&v1::Neighbor { enabled: false, ..neighbor(v1::SessionState::Idle) });
    assert_eq!(off.state_text(), "disabled");
}

fn service() -> Service {
    let vip = v1::Vip {
        prefix: "192.0.2.53/32".to_owned(),
        blocked: "192.0.2.53 is not a local address".to_owned(),
        ..v1::Vip::default()
    };
    let check = v1::Check {
        r#type: "dns".to_owned(),
        what: "dns 127.0.0.1:53 example.test A".to_owned(),
        health: v1::Health::Up.into(),
        progress: 2,
        needed: 3,
        last_detail: "timeout".to_owned(),
        ..v1::Check::default()
    };
    Service::from(&v1::Service {
        name: "dns".to_owned(),
        state: v1::ServiceState::Waiting.into(),
        reason: "a VIP is not ready".to_owned(),
        vips: vec![vip],
        checks: vec![check],
        ..v1::Service::default()
    })
}

#[test]
fn a_service_shows_its_gates_and_how_near_a_check_is_to_falling() {
    let text = show::services_text(&[service()]);
    for words in [
        "dns  waiting: a VIP is not ready",
        "192.0.2.53/32            not announced: 192.0.2.53 is not a local address",
        "up (2/3 against it): timeout",
    ] {
        assert!(text.contains(words), "{words:?} in:\n{text}");
    }
}

#[test]
fn paths_mark_the_best_and_the_rejected() {
    let path = |best, imported: bool| {
        let attributes = v1::PathAttributes { as_path_text: "64500".to_owned(), ..v1::PathAttributes::default() };
        Path::from(&v1::BgpPath {
            prefix: "192.0.2.0/24".to_owned(),
            best,
            imported: imported.then(|| attributes.clone()),
            attributes: Some(attributes),
            ..v1::BgpPath::default()
        })
    };
    let received = show::paths_table(&[path(true, true), path(false, true), path(false, false)], true);
    let marks: Vec<_> = received.lines().skip(1).map(|row| row.get(..2).unwrap()).collect();
    assert_eq!(marks, ["> ", "  ", "x "]);
    // What was sent has no import policy to be rejected by.
    let sent = show::paths_table(&[path(false, false)], false);
    assert!(sent.lines().nth(1).unwrap().starts_with("  192.0.2.0/24"), "{sent}");
}

#[test]
fn status_fits_a_screen_and_ends_with_what_is_wrong() {
    let info = v1::GetInfoResponse {
        hostname: "r1".to_owned(),
        asn: 64512,
        router_id: "10.0.0.11".to_owned(),
        site: "ams1".to_owned(),
        uptime: Some(prost_types::Duration { seconds: 3700, nanos: 0 }),
        routes_ipv4: 1_000_000,
        bgp_refused: 1_234,
        bgp_refused_unprotected: 5,
        ..v1::GetInfoResponse::default()
    };
    let many = (0..500).map(|i| {
        let state = if i == 499 { v1::SessionState::Active } else { v1::SessionState::Established };
        Neighbor::from(&v1::Neighbor { address: format!("10.0.{}.{}", i / 256, i % 256), ..neighbor(state) })
    });
    let status = status::Status {
        node: status::Node::from(&info),
        services: vec![service()],
        neighbors: many.collect(),
        ospf: Vec::new(),
        ospf_not_full: Vec::new(),
        fib: Vec::new(),
        problems: vec!["neighbor 10.0.1.243 is not established: hold timer expired".to_owned()],
    };
    let text = status::text(&status);
    assert!(text.lines().count() <= 40, "{text}");
    assert!(text.starts_with("r1  AS 64512  router id 10.0.0.11  site ams1  up 1h 1m"), "{text}");
    assert!(text.contains("routes: 1,000,000 IPv4"), "{text}");
    let refused = "BGP connections refused: 1,234 from strangers, 5 not protected as configured\n";
    assert!(text.contains(refused), "{text}");
    // The one that is down is shown though it is the last of 500.
    assert!(text.contains("10.0.1.243"), "{text}");
    assert!(text.contains("and 488 more"), "{text}");
    assert!(text.trim_end().ends_with("hold timer expired"), "{text}");
    assert!(text.lines().all(|row| row.chars().count() <= 120), "{text}");
}

#[test]
fn completions_know_the_commands() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let script = completions::script(shell);
        assert!(script.contains("lookup") && script.contains("neighbor"), "{shell}");
    }
}

#[test]
fn spans_and_counts_read_well() {
    let spans =
        [(0, "0s"), (12, "12ms"), (1_500, "1.5s"), (59_000, "59s"), (312_000, "5m 12s"), (273_600_000, "3d 4h")];
    for (millis, text) in spans {
        assert_eq!(output::span(Duration::from_millis(millis)), text);
    }
    for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
        assert_eq!(output::count(number), text);
    }
    assert_eq!(view::time(&prost_types::Timestamp { seconds: 0, nanos: 1_000_000 }), "1970-01-01T00:00:00.001Z");
}

#[test]
fn lengths_of_time_are_read_as_in_the_configuration() {
    for (text, millis) in [("300ms", 300), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000)] {
        let line = format!("route add 192.0.2.0/24 --blackhole --lease {text}");
        let Command::Route(super::route::Route::Add(add)) = parse(&line).unwrap().command else { panic!("{line}") };
        assert_eq!(add.lease, Some(Duration::from_millis(millis)), "{text}");
    }
}
