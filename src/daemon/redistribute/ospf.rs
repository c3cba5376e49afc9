//! OSPF as a receiver of redistributed routes: they become external routes of this router (RFC 2328 §12.4.4, RFC 5340 §4.4.3.5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bgpd::policy::{Chain, MetricType, Outcome, Subject};
use bgpd::wire::attr::{NextHopAttr, PathAttributes};
use ipnet::IpNet;
use rib::message::RouteView;
use rib::{Protocol, Source};

use super::{Sink, gateways};
use crate::config::model::Redistribute;

/// The metric of an external route when nobody says one; what every implementation uses.
const DEFAULT_METRIC: u32 = 20;
/// The greatest metric that is not "unreachable" (RFC 2328 §A.4.5).
const METRIC_MAX: u32 = 0xff_fffe;

/// An external route of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExternalRoute {
    /// Its cost, under 2^24 - 1.
    pub(crate) metric: u32,
    /// How it is counted.
    pub(crate) metric_type: MetricType,
    /// Its tag; 0 is none.
    pub(crate) tag: u32,
    /// The gateway that the route has here, for the forwarding address where that is on a network of OSPF.
    pub(crate) gateway: Option<IpAddr>,
}

/// Changes of external routes, as OSPF is given them.
pub(crate) type Externals = Vec<(IpNet, Option<Arc<ExternalRoute>>)>;

/// OSPF, of both versions.
pub(crate) struct OspfSink<T> {
    /// Hands changes on without waiting.
    pub(crate) give: T,
    /// Our AS: the tag that marks what came from BGP.
    pub(crate) asn: u32,
}

impl<T: Fn(Externals) + Send + Sync + 'static> Sink for OspfSink<T> {
    type Given = ExternalRoute;

    fn judge(&self, what: &Redistribute, chain: &Chain, route: &RouteView) -> Option<ExternalRoute> {
        external_route(what, chain, route, self.asn)
    }

    fn tell(&self, changes: Externals) {
        (self.give)(changes);
    }
}

/// The route as originated; `None` if the policy refuses it, or it may have come from OSPF.
pub(super) fn external_route(what: &Redistribute, chain: &Chain, route: &RouteView, asn: u32) -> Option<ExternalRoute> {
    // Loop guards. What an internal neighbor says may be OSPF's own route, given to BGP by another router of this AS: the
    // internal ones are taken only if asked for.
    match route.source {
        Source::OspfV2 | Source::OspfV3 => return None,
        Source::Bgp if route.route.protocol == Protocol::Ibgp && !what.internal => return None,
        _ => {}
    }
    let own: IpAddr = match route.prefix {
        IpNet::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpNet::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let next_hop = match own {
        IpAddr::V4(addr) => NextHopAttr::V4(addr),
        IpAddr::V6(addr) => NextHopAttr::V6 { global: addr, link_local: None },
    };
    let attributes = PathAttributes { med: Some(route.route.metric.0), ..PathAttributes::local(next_hop) };
    let gateways = gateways(route);
    let subject = Subject {
        prefix: route.prefix,
        attributes: &attributes,
        weight: 0,
        protocol: route.route.protocol,
        tag: route.route.tag,
        gateways: &gateways,
        neighbor: own,
        local_asn: asn,
        local_address: own,
    };
    let verdict = chain.evaluate(&subject);
    if verdict.outcome == Outcome::Reject {
        return None;
    }
    // The mark by which BGP knows its own routes again, and the tag that a route has had already.
    let mark = if route.source == Source::Bgp { asn } else { route.route.tag };
    Some(ExternalRoute {
        metric: verdict.route.metric.or(what.metric).unwrap_or(DEFAULT_METRIC).min(METRIC_MAX),
        metric_type: verdict.route.metric_type.unwrap_or(what.metric_type),
        tag: verdict.route.tag.or(what.tag).unwrap_or(mark),
        // There is room for one; of several, we are the one that knows all.
        gateway: if let [only] = gateways[..] { Some(only) } else { None },
    })
}
