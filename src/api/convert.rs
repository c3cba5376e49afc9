//! From the types of the machines to those of `anyhop.v1`. API types go no further into the house than this.
//!
//! What comes the other way, out of requests, is checked in [`super::request`].

mod session;

pub(crate) use session::message;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bgpd::policy::Community;
use bgpd::speaker::message as bgp;
use bgpd::wire::attr::{self, NextHopAttr, PathAttributes};
use fib_sync::sync::Difference;
use proto::v1;
use rib::message::{Candidate, FibState, RouteView, Verdict};
use rib::{AddressFamily, BackendId, Discard, Forwarding, IfIndex, Leg, NextHop, NextHopSet, Protocol, Route};

use crate::daemon::handles::{self, NodeInfo};

/// Puts names to numbers: interfaces by asking the kernel once each, data planes from the configuration.
#[derive(Debug)]
pub(crate) struct Names {
    info: Arc<NodeInfo>,
    interfaces: HashMap<IfIndex, String>,
}

impl Names {
    /// Names as of now; to be used for one request, since interfaces can be renamed.
    pub(crate) fn new(info: &Arc<NodeInfo>) -> Self {
        Self { info: Arc::clone(info), interfaces: HashMap::new() }
    }

    /// The name of an interface; empty if the host has no such interface (any more).
    fn interface(&mut self, index: IfIndex) -> String {
        let find = || {
            let name = nix::net::if_::if_indextoname(index.0).ok();
            name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        self.interfaces.entry(index).or_insert_with(find).clone()
    }

    fn backend(&self, id: BackendId) -> String {
        self.info.backends.get(usize::from(id.0)).map_or_else(|| format!("#{}", id.0), |name| (*name).to_owned())
    }

    /// A chosen route.
    pub(crate) fn route(&mut self, view: &RouteView) -> v1::Route {
        let fib = view.fib.iter().map(|(backend, state)| fib_status(self.backend(*backend), state)).collect();
        v1::Route {
            resolved: self.forwarding(&view.forwarding),
            next_hop_id: view.next_hop_id.0,
            fib,
            ..self.stated(&view.prefix.to_string(), &view.route)
        }
    }

    /// A route as its source states it; resolution and data planes left out.
    pub(crate) fn stated(&mut self, prefix: &str, route: &Route) -> v1::Route {
        let (protocol, kind) = protocol(route.protocol);
        v1::Route {
            prefix: prefix.to_owned(),
            protocol: protocol.into(),
            kind: kind.into(),
            distance: route.distance.0.into(),
            metric: route.metric.0,
            tag: route.tag,
            next_hops: self.next_hops(&route.next_hops),
            ..v1::Route::default()
        }
    }

    /// Next hops as a source states them.
    pub(crate) fn next_hops(&mut self, set: &NextHopSet) -> Vec<v1::NextHop> {
        set.legs().iter().map(|leg| self.leg(leg)).collect()
    }

    fn leg(&mut self, leg: &Leg) -> v1::NextHop {
        let weight = leg.weight().into();
        match leg.next_hop {
            NextHop::Gateway { addr, interface, onlink } => v1::NextHop {
                gateway: addr.to_string(),
                interface: interface.map(|index| self.interface(index)).unwrap_or_default(),
                interface_index: interface.map_or(0, |index| index.0),
                onlink,
                weight,
                ..v1::NextHop::default()
            },
            NextHop::Interface(index) => v1::NextHop {
                interface: self.interface(index),
                interface_index: index.0,
                weight,
                ..v1::NextHop::default()
            },
            NextHop::Discard(kind) => v1::NextHop { discard: discard(kind).into(), weight, ..v1::NextHop::default() },
            NextHop::Local => v1::NextHop { local: true, weight, ..v1::NextHop::default() },
        }
    }

    /// Next hops as data planes are told them.
    pub(crate) fn forwarding(&mut self, forwarding: &Forwarding) -> Vec<v1::NextHop> {
        match forwarding {
            Forwarding::Legs(legs) => legs
                .iter()
                .map(|leg| v1::NextHop {
                    gateway: leg.gateway.map(|addr| addr.to_string()).unwrap_or_default(),
                    interface: self.interface(leg.interface),
                    interface_index: leg.interface.0,
                    onlink: leg.onlink,
                    weight: leg.weight.into(),
                    ..v1::NextHop::default()
                })
                .collect(),
            Forwarding::Discard(kind) => {
                vec![v1::NextHop { discard: discard(*kind).into(), weight: 1, ..v1::NextHop::default() }]
            }
            Forwarding::Local => vec![v1::NextHop { local: true, weight: 1, ..v1::NextHop::default() }],
        }
    }

    /// A candidate of the RIB.
    pub(crate) fn candidate(&mut self, candidate: &Candidate) -> v1::RibCandidate {
        let (protocol, kind) = protocol(candidate.route.protocol);
        v1::RibCandidate {
            protocol: protocol.into(),
            kind: kind.into(),
            distance: candidate.route.distance.0.into(),
            metric: candidate.route.metric.0,
            next_hops: self.next_hops(&candidate.route.next_hops),
            chosen: candidate.verdict == Verdict::Best,
            reason: verdict(candidate.verdict).to_owned(),
        }
    }

    /// An entry of a data plane.
    pub(crate) fn fib_entry(&mut self, entry: &handles::FibEntry) -> v1::FibEntry {
        v1::FibEntry {
            prefix: entry.prefix.to_string(),
            next_hops: self.forwarding(&entry.forwarding),
            state: fib_entry_state(entry).into(),
            reason: entry.fault.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }

    /// A difference between a data plane and what it should hold.
    pub(crate) fn fib_difference(&mut self, difference: &Difference) -> v1::FibDifference {
        use v1::FibDifferenceKind as Kind;
        let Difference { prefix, wanted, found, fault } = difference;
        let kind = match (wanted, found) {
            (Some(_), None) => Kind::Missing,
            (None, _) => Kind::Extra,
            (Some(_), Some(_)) => Kind::Different,
        };
        let mut ways = |of: &Option<Forwarding>| of.as_ref().map(|of| self.forwarding(of)).unwrap_or_default();
        let (desired, found) = (ways(wanted), ways(found));
        let reason = fault.as_ref().map(ToString::to_string).unwrap_or_default();
        v1::FibDifference { prefix: prefix.to_string(), kind: kind.into(), desired, found, reason }
    }
}

/// The state of an entry: refused, acknowledged, or neither yet.
pub(crate) fn fib_entry_state(entry: &handles::FibEntry) -> v1::FibState {
    match (&entry.fault, entry.installed) {
        (Some(_), _) => v1::FibState::Failed,
        (None, true) => v1::FibState::Installed,
        (None, false) => v1::FibState::Pending,
    }
}

/// A data plane's figures.
pub(crate) fn fib_backend(name: &str, stats: &handles::FibStats) -> v1::FibBackend {
    v1::FibBackend {
        name: name.to_owned(),
        desired: stats.desired as u64,
        installed: stats.installed as u64,
        pending: stats.pending as u64,
        failed: stats.failed as u64,
        next_hops: stats.next_hops as u64,
        batches: stats.batches,
        resyncs: stats.resyncs,
        over_capacity: stats.over_capacity as u64,
        capacity: stats.capacity.unwrap_or_default() as u64,
        errors: stats.counters.errors,
        retries: stats.counters.retries,
        disturbed: stats.counters.disturbed,
        repaired: stats.counters.repaired,
        adopted: stats.counters.adopted,
        swept: stats.counters.swept,
        batch_mean_us: stats.latency.total.as_micros() as u64 / stats.latency.batches.max(1),
        batch_longest_us: stats.latency.longest.as_micros() as u64,
        error: stats.error.clone().unwrap_or_default(),
        ports: stats.facts.ports.iter().map(fib_port).collect(),
        counters: stats.facts.counters.iter().map(fib_counter).collect(),
    }
}

fn fib_port(port: &fib_sync::backend::Port) -> v1::FibPort {
    let remark = port.remark.clone().unwrap_or_default();
    v1::FibPort { name: port.name.clone(), mode: port.mode.to_owned(), remark }
}

fn fib_counter((name, value): &(&'static str, u64)) -> v1::FibCounter {
    v1::FibCounter { name: (*name).to_owned(), value: *value }
}

fn fib_status(backend: String, state: &FibState) -> v1::FibStatus {
    let (state, reason) = match state {
        FibState::Pending => (v1::FibState::Pending, String::new()),
        FibState::Installed => (v1::FibState::Installed, String::new()),
        FibState::Failed(why) => (v1::FibState::Failed, why.to_string()),
    };
    v1::FibStatus { backend, state: state.into(), reason }
}

/// A protocol and the kind of its routes.
pub(crate) fn protocol(protocol: Protocol) -> (v1::Protocol, v1::RouteKind) {
    use v1::{Protocol as P, RouteKind as K};
    match protocol {
        Protocol::Connected => (P::Connected, K::Unspecified),
        Protocol::Static => (P::Static, K::Unspecified),
        Protocol::Service => (P::Service, K::Unspecified),
        Protocol::Api => (P::Api, K::Unspecified),
        Protocol::Ebgp => (P::Bgp, K::Ebgp),
        Protocol::Ibgp => (P::Bgp, K::Ibgp),
        Protocol::OspfIntra => (P::Ospf, K::OspfIntraArea),
        Protocol::OspfInter => (P::Ospf, K::OspfInterArea),
        Protocol::OspfExternal => (P::Ospf, K::OspfExternal),
        Protocol::OspfNssa => (P::Ospf, K::OspfNssa),
        Protocol::Kernel => (P::Kernel, K::Unspecified),
    }
}

fn discard(kind: Discard) -> v1::Discard {
    match kind {
        Discard::Blackhole => v1::Discard::Blackhole,
        Discard::Unreachable => v1::Discard::Unreachable,
        Discard::Prohibit => v1::Discard::Prohibit,
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Best => "it is the best",
        Verdict::Unresolved => "its next hop does not resolve",
        Verdict::HigherDistance => "another has a lower administrative distance",
        Verdict::NeverUsed => "administrative distance 255 is never used",
        Verdict::HigherMetric => "another of equal distance has a lower metric",
        Verdict::LaterSource => "all is equal and another source comes first",
    }
}

fn family(family: AddressFamily) -> v1::AddressFamily {
    match family {
        AddressFamily::Ipv4 => v1::AddressFamily::Ipv4,
        AddressFamily::Ipv6 => v1::AddressFamily::Ipv6,
    }
}

/// A state of a session.
pub(crate) fn session_state(state: bgp::SessionState) -> v1::SessionState {
    match state {
        bgp::SessionState::Idle => v1::SessionState::Idle,
        bgp::SessionState::Connect => v1::SessionState::Connect,
        bgp::SessionState::Active => v1::SessionState::Active,
        bgp::SessionState::OpenSent => v1::SessionState::OpenSent,
        bgp::SessionState::OpenConfirm => v1::SessionState::OpenConfirm,
        bgp::SessionState::Established => v1::SessionState::Established,
    }
}

/// A neighbor.
pub(crate) fn neighbor(view: &bgp::NeighborView) -> v1::Neighbor {
    v1::Neighbor {
        address: view.key.to_string(),
        asn: view.asn.unwrap_or_default(),
        description: view.description.clone(),
        state: session_state(view.state).into(),
        enabled: view.enabled,
        up_for: view.up_for.map(duration),
        local: view.local.map(|addr| addr.to_string()).unwrap_or_default(),
        router_id: view.router_id.map(|id| id.to_string()).unwrap_or_default(),
        hold_time: view.hold_time.map(duration),
        families: view.families.iter().map(|f| family(*f).into()).collect(),
        received: view.received,
        accepted: view.accepted,
        advertised: view.advertised,
        updates_in: view.updates_in,
        updates_out: view.updates_out,
        messages_in: view.messages.0,
        messages_out: view.messages.1,
        established_count: view.established_count,
        last_down: view.last_down.as_ref().map(down_reason).unwrap_or_default(),
        notes: view.notes.clone(),
        facts: view.facts.clone(),
        ..session::of(view)
    }
}

/// Why a session fell, for people.
pub(crate) fn down_reason(reason: &bgpd::session::DownReason) -> String {
    reason.to_string()
}

/// A path with its attributes.
pub(crate) fn path(view: &bgp::PathView) -> v1::BgpPath {
    v1::BgpPath {
        prefix: view.prefix.to_string(),
        from: view.from.as_ref().map(|addr| addr.to_string()).unwrap_or_default(),
        attributes: Some(attributes(&view.attributes)),
        imported: view.imported.as_deref().map(attributes),
        best: view.best,
        path_id: view.path_id,
    }
}

/// A BGP path and its fate.
pub(crate) fn bgp_candidate(candidate: &bgp::Candidate) -> v1::BgpCandidate {
    v1::BgpCandidate { path: Some(path(&candidate.path)), chosen: candidate.chosen, reason: candidate.reason.clone() }
}

/// Whether a neighbor is told.
pub(crate) fn export_decision(verdict: &bgp::ExportVerdict) -> v1::ExportDecision {
    v1::ExportDecision {
        neighbor: verdict.neighbor.to_string(),
        announced: verdict.announced,
        reason: verdict.reason.clone(),
        attributes: verdict.attributes.as_deref().map(attributes),
        path_id: verdict.path_id,
    }
}

/// Path attributes.
pub(crate) fn attributes(attrs: &PathAttributes) -> v1::PathAttributes {
    let link_local = match attrs.next_hop {
        NextHopAttr::V6 { link_local: Some(addr), .. } => addr.to_string(),
        NextHopAttr::V4(_) | NextHopAttr::V6 { link_local: None, .. } => String::new(),
    };
    v1::PathAttributes {
        origin: match attrs.origin {
            attr::Origin::Igp => v1::Origin::Igp,
            attr::Origin::Egp => v1::Origin::Egp,
            attr::Origin::Incomplete => v1::Origin::Incomplete,
        }
        .into(),
        as_path: attrs.as_path.segments.iter().map(segment).collect(),
        as_path_text: attrs.as_path.segments.iter().map(segment_text).collect::<Vec<_>>().join(" "),
        next_hop: attrs.next_hop.addr().to_string(),
        next_hop_link_local: link_local,
        med: attrs.med,
        local_pref: attrs.local_pref,
        atomic_aggregate: attrs.atomic_aggregate,
        aggregator: attrs.aggregator.map(|by| format!("{} {}", by.asn, by.router_id)).unwrap_or_default(),
        communities: attrs.communities.iter().map(|value| standard_community(*value)).collect(),
        extended_communities: attrs
            .extended_communities
            .iter()
            .map(|value| Community::Extended(*value).to_string())
            .collect(),
        large_communities: attrs.large_communities.iter().map(|[a, b, c]| format!("{a}:{b}:{c}")).collect(),
        originator_id: attrs.originator_id.map(|id| id.to_string()).unwrap_or_default(),
        cluster_list: attrs.cluster_list.iter().map(ToString::to_string).collect(),
        only_to_customer: attrs.only_to_customer,
        unknown: attrs
            .unknown
            .iter()
            .map(|unknown| v1::UnknownAttribute {
                flags: unknown.flags.into(),
                code: unknown.code.into(),
                value: unknown.value.to_vec(),
            })
            .collect(),
    }
}

/// RFC 1997 in numbers, so that programs need no table of names.
pub(crate) fn standard_community(value: u32) -> String {
    format!("{}:{}", value >> 16, value & 0xFFFF)
}

fn segment(segment: &attr::Segment) -> v1::AsPathSegment {
    let kind = match segment.kind {
        attr::SegmentKind::Set => v1::SegmentKind::Set,
        attr::SegmentKind::Sequence => v1::SegmentKind::Sequence,
        attr::SegmentKind::ConfedSequence => v1::SegmentKind::ConfedSequence,
        attr::SegmentKind::ConfedSet => v1::SegmentKind::ConfedSet,
    };
    v1::AsPathSegment { kind: kind.into(), asns: segment.asns.to_vec() }
}

/// `64500 64501`, `{64502 64503}`, `(65001 65002)`, `[65003]`.
fn segment_text(segment: &attr::Segment) -> String {
    let asns = segment.asns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match segment.kind {
        attr::SegmentKind::Sequence => asns,
        attr::SegmentKind::Set => format!("{{{asns}}}"),
        attr::SegmentKind::ConfedSequence => format!("({asns})"),
        attr::SegmentKind::ConfedSet => format!("[{asns}]"),
    }
}

/// A length of time.
pub(crate) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// A wall-clock time.
pub(crate) fn timestamp(at: SystemTime) -> prost_types::Timestamp {
    prost_types::Timestamp::from(at)
}

/// Relates the monotonic clock of the machines to the wall clock of people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    instant: Instant,
    wall: SystemTime,
}

impl Clock {
    /// Both clocks now.
    #[allow(clippy::disallowed_methods, reason = "the API is a carrier: it says times to people")]
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }

    /// `at` on the wall clock.
    pub(crate) fn timestamp(&self, at: Instant) -> prost_types::Timestamp {
        let wall = match self.instant.checked_duration_since(at) {
            Some(ago) => self.wall.checked_sub(ago),
            None => self.wall.checked_add(at.duration_since(self.instant)),
        };
        timestamp(wall.unwrap_or(SystemTime::UNIX_EPOCH))
    }
}
