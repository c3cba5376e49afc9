//! Bad requests name the field and say what would be right.

use std::time::Duration;

use proto::v1;
use rib::{Discard, NextHop};
use tonic::{Code, Status};

use crate::api::{registration, request};

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, field: &str, word: &str) {
    let status = outcome.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with(&format!("{field}:")), "{}", status.message());
    assert!(status.message().contains(word), "{}", status.message());
}

#[test]
fn prefixes_have_no_host_bits() {
    assert_eq!(request::prefix("prefix", "192.0.2.0/24").unwrap().to_string(), "192.0.2.0/24");
    refused(request::prefix("prefix", "192.0.2.1/24"), "prefix", "192.0.2.0/24 would be right");
    refused(request::prefix("prefix", "2001:db8::1/32"), "prefix", "2001:db8::/32");
    refused(request::prefix("prefix", "192.0.2.0"), "prefix", "no prefix");
    refused(request::prefix("prefix", ""), "prefix", "empty");
}

#[test]
fn an_empty_selector_never_means_all() {
    assert_eq!(request::optional_prefix("prefix", None).unwrap(), None);
    refused(request::optional_prefix("prefix", Some("")), "prefix", "empty");
    refused(request::address("neighbor", ""), "neighbor", "empty");
    refused(request::name("name", ""), "name", "exactly one");
}

#[test]
fn numbers_have_bounds() {
    assert_eq!(request::page_size("page_size", 0).unwrap(), 1000);
    assert_eq!(request::page_size("page_size", 1).unwrap(), 1);
    refused(request::page_size("page_size", 10_001), "page_size", "10000");
    refused(request::family("family", 9), "family", "9");
    refused(request::page_token("page_token", "nonsense"), "page_token", "next_page_token");
    refused(request::text("reason", "x".repeat(256)), "reason", "255");
    let lease = |seconds, nanos| request::duration("lease", prost_types::Duration { seconds, nanos });
    assert_eq!(lease(1, 500_000_000).unwrap(), Duration::from_millis(1500));
    refused(lease(-1, 0), "lease", "negative");
}

fn via(gateway: &str) -> v1::NextHop {
    v1::NextHop { gateway: gateway.to_owned(), ..v1::NextHop::default() }
}

#[test]
fn next_hops_become_legs() {
    let hops = [v1::NextHop { weight: 256, ..via("10.0.0.2") }, via("10.0.0.1")];
    let set = request::next_hops("next_hops", &hops).unwrap();
    let legs: Vec<_> = set.legs().iter().map(|leg| (leg.next_hop, leg.weight())).collect();
    let gateway = |text: &str| NextHop::via(text.parse().unwrap());
    assert_eq!(legs, [(gateway("10.0.0.1"), 1), (gateway("10.0.0.2"), 256)]);

    let on_loopback = v1::NextHop { interface: "lo".to_owned(), ..v1::NextHop::default() };
    let set = request::next_hops("next_hops", &[on_loopback]).unwrap();
    assert!(matches!(set.legs()[0].next_hop, NextHop::Interface(_)));

    let blackhole = v1::NextHop { discard: v1::Discard::Blackhole.into(), ..v1::NextHop::default() };
    let set = request::next_hops("next_hops", &[blackhole]).unwrap();
    assert_eq!(set.legs()[0].next_hop, NextHop::Discard(Discard::Blackhole));
}

#[test]
fn next_hops_that_make_no_sense_are_named_by_their_place() {
    let blackhole = v1::NextHop { discard: v1::Discard::Blackhole.into(), ..v1::NextHop::default() };
    let none = v1::NextHop::default();
    let rows: Vec<(Vec<v1::NextHop>, &str, &str)> = vec![
        (vec![], "next_hops", "empty"),
        (vec![via("10.0.0.1"), via("10.0.0.1")], "next_hops", "twice"),
        (vec![via("10.0.0.1"), blackhole.clone()], "next_hops", "alone"),
        (vec![via("10.0.0.1"); 65], "next_hops", "64"),
        (vec![via("10.0.0.1"), none.clone()], "next_hops[1]", "no gateway"),
        (vec![via("ten")], "next_hops[0].gateway", "no IPv4 or IPv6 address"),
        (vec![via("224.0.0.1")], "next_hops[0].gateway", "cannot be a gateway"),
        (vec![via("fe80::1")], "next_hops[0].gateway", "interface"),
        (vec![v1::NextHop { gateway: "10.0.0.1".to_owned(), ..blackhole }], "next_hops[0]", "exclude"),
        (vec![v1::NextHop { weight: 257, ..via("10.0.0.1") }], "next_hops[0].weight", "257"),
        (vec![v1::NextHop { onlink: true, ..via("10.0.0.1") }], "next_hops[0].onlink", "interface"),
        (vec![v1::NextHop { interface: "nope0".to_owned(), ..none }], "next_hops[0].interface", "nope0"),
        (vec![v1::NextHop { interface_index: 3, ..via("10.0.0.1") }], "next_hops[0].interface_index", "output only"),
    ];
    for (hops, field, word) in rows {
        refused(request::next_hops("next_hops", &hops), field, word);
    }
}

#[test]
fn a_service_is_registered_by_the_rules_of_the_configuration() {
    let plain = "name = \"dns\"\nvips = [\"192.0.2.53/32\"]\nrequire_local = false\n";
    let with_header = format!("[[service]]\n{plain}");
    let spec = registration::parse(plain).unwrap();
    assert_eq!(spec, registration::parse(&with_header).unwrap());
    assert_eq!((&*spec.name, spec.require_local), ("dns", false));
    assert_eq!(spec.origin, crate::anycast::ServiceOrigin::Api);

    for (content, word) in [
        (" ", "empty"),
        ("name = ", "no TOML"),
        ("name = \"dns\"\nvips = [\"192.0.2.1/24\"]", "192.0.2.0/24"),
        ("name = \"dns\"\nvips = [\"192.0.2.1/32\"]\nbnid = \"lo\"", "bind"),
        (&format!("{with_header}{with_header}"), "exactly one"),
        (&format!("{with_header}[[neighbor]]\naddress = \"10.0.0.1\""), "neighbor"),
        (&format!("{plain}[[neighbor]]\naddress = \"10.0.0.1\""), "neighbor"),
    ] {
        refused(registration::parse(content), "content", word);
    }
}
