//! BGP as a receiver of redistributed routes: they become local routes of the speaker.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bgpd::policy::{Chain, NextHopMode, Outcome, Subject};
use bgpd::speaker::message::{LocalBatch, LocalRoute};
use bgpd::wire::attr::{NextHopAttr, Origin, PathAttributes};
use ipnet::IpNet;
use rib::Source;
use rib::message::RouteView;

use super::{Sink, gateways};
use crate::config::model::Redistribute;

/// The BGP speaker.
pub(crate) struct BgpSink {
    /// Its handle.
    pub(crate) bgp: bgpd::io::Handle,
    /// Our AS: for prepending, and the tag that marks in OSPF what came from BGP here.
    pub(crate) asn: u32,
}

impl Sink for BgpSink {
    type Given = LocalRoute;

    fn judge(&self, what: &Redistribute, chain: &Chain, route: &RouteView) -> Option<LocalRoute> {
        if came_from_bgp(route, self.asn) {
            return None;
        }
        local_route(what, chain, route, self.asn)
    }

    fn tell(&self, changes: Vec<(IpNet, Option<Arc<LocalRoute>>)>) {
        self.bgp.local(LocalBatch { changes });
    }
}

/// Loop guard: BGP's own routes, and those that some router of our AS has given from BGP to OSPF, which marks them with the AS
/// number as their tag. Given back they would come first everywhere, with an empty AS_PATH.
pub(super) fn came_from_bgp(route: &RouteView, asn: u32) -> bool {
    match route.source {
        Source::Bgp => true,
        Source::OspfV2 | Source::OspfV3 => route.route.tag == asn,
        _ => false,
    }
}

/// The route as announced; `None` if the policy refuses it.
pub(super) fn local_route(what: &Redistribute, chain: &Chain, route: &RouteView, asn: u32) -> Option<LocalRoute> {
    let own: IpAddr = match route.prefix {
        IpNet::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpNet::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let next_hop = match own {
        IpAddr::V4(addr) => NextHopAttr::V4(addr),
        IpAddr::V6(addr) => NextHopAttr::V6 { global: addr, link_local: None },
    };
    let metric = what.metric.unwrap_or(route.route.metric.0);
    let before = PathAttributes {
        // RFC 4271 §5.1.1: learned by other means than the domain's own routing.
        origin: Origin::Incomplete,
        med: (metric != 0 || what.metric.is_some()).then_some(metric),
        ..PathAttributes::local(next_hop)
    };
    let subject = Subject {
        prefix: route.prefix,
        attributes: &before,
        weight: 0,
        protocol: route.route.protocol,
        tag: route.route.tag,
        gateways: &gateways(route),
        neighbor: own,
        local_asn: asn,
        local_address: own,
    };
    let verdict = chain.evaluate(&subject);
    let after = match verdict.outcome {
        Outcome::Reject => return None,
        Outcome::Accept => before,
        Outcome::AcceptChanged(changed) => changed.0,
    };
    let prepended: usize = after.as_path.segments.iter().map(|segment| segment.asns.len()).sum();
    Some(LocalRoute {
        protocol: route.route.protocol,
        origin: after.origin,
        med: verdict.route.metric.or(after.med),
        prepend: u8::try_from(prepended).unwrap_or(u8::MAX),
        communities: after.communities,
        large_communities: after.large_communities,
        extended_communities: after.extended_communities,
        next_hop: (verdict.next_hop == NextHopMode::Address).then(|| after.next_hop.addr()),
    })
}
