//! What a protocol is given of a route, and what it is never given.

use std::net::IpAddr;
use std::path::Path;

use bgpd::policy::{Chain, MetricType};
use rib::message::RouteView;
use rib::{Forwarding, Metric, NextHop, NextHopId, Protocol, Route, Source};

use super::bgp::{came_from_bgp, local_route};
use super::ospf::{ExternalRoute, external_route};
use crate::config::check_text;
use crate::config::model::{Origin, Redistribute};

const ASN: u32 = 64512;

fn view(prefix: &str, source: Source, protocol: Protocol, metric: u32, tag: u32, gateway: &str) -> RouteView {
    let gateway: IpAddr = gateway.parse().expect("an address");
    let next_hops = NextHop::via(gateway).into();
    RouteView {
        prefix: prefix.parse().expect("a prefix"),
        route: Route { protocol, distance: protocol.default_distance(), metric: Metric(metric), tag, next_hops },
        source,
        next_hop_id: NextHopId(1),
        forwarding: Forwarding::Local,
        fib: Vec::new(),
    }
}

fn from(origin: Origin) -> Redistribute {
    let policy = Vec::new();
    Redistribute { from: origin, policy, metric: None, metric_type: MetricType::Two, tag: None, internal: false }
}

/// The chain of the one policy that `rules` make.
fn chain(rules: &str) -> Chain {
    let text =
        format!("[node]\nasn = {ASN}\nrouter_id = \"10.0.0.1\"\n[[policy]]\nname = \"p\"\nrules = [ {rules} ]\n");
    let model = check_text(Path::new("test.toml"), &text).unwrap_or_else(|errors| panic!("{errors}"));
    Chain::compile(&model.speaker.policies, &["p".to_owned()]).expect("it compiles")
}

#[test]
fn policies_see_protocol_gateway_and_tag_and_set_the_metric() {
    let chain = chain(
        "{ match = { protocol = \"ospf-external\" }, action = \"reject\" }, \
         { match = { tag = 7 }, set = { metric = 700 }, action = \"accept\" }, \
         { match = { next_hop = \"10.0.0.9\" }, set = { metric = 900, tag = 9, metric_type = 1 }, action = \"accept\" }, \
         { match = { protocol = \"ospf\" }, action = \"accept\" }",
    );
    let med = |view: &RouteView| local_route(&from(Origin::Ospf), &chain, view, ASN).map(|route| route.med);
    let ospf = |kind, tag, gateway| view("192.0.2.0/24", Source::OspfV2, kind, 30, tag, gateway);
    assert_eq!(med(&ospf(Protocol::OspfExternal, 7, "10.0.0.9")), None);
    assert_eq!(med(&ospf(Protocol::OspfIntra, 7, "10.0.0.9")), Some(Some(700)));
    assert_eq!(med(&ospf(Protocol::OspfInter, 0, "10.0.0.9")), Some(Some(900)));
    assert_eq!(med(&ospf(Protocol::OspfInter, 0, "10.0.0.8")), Some(Some(30)), "the metric it has");
    assert_eq!(med(&view("192.0.2.0/24", Source::Static, Protocol::Static, 0, 0, "10.0.0.8")), None, "no rule");
    let given = Redistribute { metric: Some(55), ..from(Origin::Ospf) };
    let by_entry = local_route(&given, &chain, &ospf(Protocol::OspfInter, 0, "10.0.0.8"), ASN);
    assert_eq!(by_entry.map(|route| route.med), Some(Some(55)), "the metric that the entry gives");

    let external = |view: &RouteView| external_route(&from(Origin::Static), &chain, view, ASN);
    let fixed = view("192.0.2.0/24", Source::Static, Protocol::Static, 0, 0, "10.0.0.9");
    let expected = ExternalRoute {
        metric: 900,
        metric_type: MetricType::One,
        tag: 9,
        gateway: Some("10.0.0.9".parse().expect("an address")),
    };
    assert_eq!(external(&fixed), Some(expected));
}

#[test]
fn a_route_never_goes_back_to_the_protocol_it_came_from() {
    let accept = Chain::accept();
    let bgp = view("192.0.2.0/24", Source::Bgp, Protocol::Ebgp, 0, 0, "10.0.0.9");
    let internal = view("192.0.2.0/24", Source::Bgp, Protocol::Ibgp, 0, 0, "10.0.0.9");
    let ospf = view("192.0.2.0/24", Source::OspfV2, Protocol::OspfIntra, 0, 0, "10.0.0.9");
    let fixed = view("192.0.2.0/24", Source::Static, Protocol::Static, 0, ASN, "10.0.0.9");
    assert!(came_from_bgp(&bgp, ASN) && came_from_bgp(&internal, ASN));
    assert!(!came_from_bgp(&ospf, ASN));
    assert!(!came_from_bgp(&fixed, ASN), "a tag of the operator's own is no mark");

    let given = external_route(&from(Origin::Bgp), &accept, &bgp, ASN).expect("what an external neighbor said");
    assert_eq!((given.tag, given.metric, given.metric_type), (ASN, 20, MetricType::Two), "marked by our AS");
    // On the next router the mark comes back as the tag of an OSPF route.
    let back = view("192.0.2.0/24", Source::OspfV3, Protocol::OspfExternal, 20, given.tag, "10.0.0.9");
    assert!(came_from_bgp(&back, ASN));
    assert!(!came_from_bgp(&back, 64999), "to another AS it is as good as any");

    assert_eq!(external_route(&from(Origin::Ospf), &accept, &ospf, ASN), None);
    assert_eq!(external_route(&from(Origin::Bgp), &accept, &internal, ASN), None, "it may be OSPF's own");
    let asked = Redistribute { internal: true, ..from(Origin::Bgp) };
    assert!(external_route(&asked, &accept, &internal, ASN).is_some());
    assert_eq!(external_route(&from(Origin::Static), &accept, &fixed, ASN).map(|route| route.tag), Some(ASN), "kept");
}
