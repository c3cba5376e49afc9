//! What `--json` prints: the API's messages with stable keys, words instead of numbers, and `null` for what does not
//! apply. Tables are made from the same values.

use std::time::Duration;

use proto::v1;
use serde::{Serialize, Serializer};

/// `SESSION_STATE_OPEN_SENT` without the enum's name, as `open-sent`; empty for unspecified.
pub(super) fn word(name: &str, of: &str) -> String {
    match name.strip_prefix(of).unwrap_or(name) {
        "UNSPECIFIED" => String::new(),
        rest => rest.to_ascii_lowercase().replace('_', "-"),
    }
}

/// `None` for nothing.
fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Protobuf durations are signed; ours never are.
pub(super) fn duration(duration: &prost_types::Duration) -> Duration {
    Duration::try_from(*duration).unwrap_or_default()
}

/// RFC 3339 in UTC, to the millisecond.
pub(super) fn time(time: &prost_types::Timestamp) -> String {
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    match jiff::Timestamp::from_nanosecond(nanos) {
        Ok(at) => format!("{at:.3}"),
        Err(_) => String::new(),
    }
}

/// Seconds, as a number with fraction.
fn seconds<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => to.serialize_some(&duration.as_secs_f64()),
        None => to.serialize_none(),
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct NextHop {
    pub(super) gateway: Option<String>,
    pub(super) interface: Option<String>,
    pub(super) interface_index: Option<u32>,
    pub(super) onlink: bool,
    pub(super) discard: Option<String>,
    pub(super) local: bool,
    pub(super) weight: u32,
}

impl From<&v1::NextHop> for NextHop {
    fn from(hop: &v1::NextHop) -> Self {
        Self {
            gateway: some(&hop.gateway),
            interface: some(&hop.interface),
            interface_index: Some(hop.interface_index).filter(|index| *index != 0),
            onlink: hop.onlink,
            discard: some(&word(hop.discard().as_str_name(), "DISCARD_")),
            local: hop.local,
            weight: hop.weight,
        }
    }
}

impl NextHop {
    /// `via 10.0.0.1 dev eth0 onlink weight 2`, as iproute2 has it.
    pub(super) fn text(&self) -> String {
        if self.local {
            return "local".to_owned();
        }
        if let Some(discard) = &self.discard {
            return discard.clone();
        }
        let gateway = self.gateway.as_ref().map(|gateway| format!("via {gateway}"));
        let interface = match (&self.interface, self.interface_index) {
            (Some(name), _) => Some(format!("dev {name}")),
            (None, Some(index)) => Some(format!("dev if{index}")),
            (None, None) => None,
        };
        let onlink = self.onlink.then(|| "onlink".to_owned());
        let weight = (self.weight > 1).then(|| format!("weight {}", self.weight));
        [gateway, interface, onlink, weight].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

fn next_hops(hops: &[v1::NextHop]) -> Vec<NextHop> {
    hops.iter().map(NextHop::from).collect()
}

/// Several next hops in one cell.
pub(super) fn hops_text(hops: &[NextHop]) -> String {
    hops.iter().map(NextHop::text).collect::<Vec<_>>().join(", ")
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct FibStatus {
    pub(super) backend: String,
    pub(super) state: String,
    pub(super) reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Route {
    pub(super) prefix: String,
    pub(super) protocol: String,
    pub(super) kind: Option<String>,
    pub(super) distance: u32,
    pub(super) metric: u32,
    pub(super) tag: u32,
    pub(super) next_hops: Vec<NextHop>,
    pub(super) resolved: Vec<NextHop>,
    pub(super) next_hop_id: u32,
    pub(super) fib: Vec<FibStatus>,
}

impl From<&v1::Route> for Route {
    fn from(route: &v1::Route) -> Self {
        Self {
            prefix: route.prefix.clone(),
            protocol: word(route.protocol().as_str_name(), "PROTOCOL_"),
            kind: some(&word(route.kind().as_str_name(), "ROUTE_KIND_")),
            distance: route.distance,
            metric: route.metric,
            tag: route.tag,
            next_hops: next_hops(&route.next_hops),
            resolved: next_hops(&route.resolved),
            next_hop_id: route.next_hop_id,
            fib: route
                .fib
                .iter()
                .map(|status| FibStatus {
                    backend: status.backend.clone(),
                    state: word(status.state().as_str_name(), "FIB_STATE_"),
                    reason: some(&status.reason),
                })
                .collect(),
        }
    }
}

impl Route {
    /// `ebgp`, `ospf-intra-area`, or the plain protocol.
    pub(super) fn protocol_text(&self) -> String {
        self.kind.clone().unwrap_or_else(|| self.protocol.clone())
    }

    /// `20/0` as FRR has it.
    pub(super) fn preference_text(&self) -> String {
        format!("{}/{}", self.distance, self.metric)
    }

    /// Where packets go: resolved if that says more.
    pub(super) fn hops_text(&self) -> String {
        let (stated, resolved) = (hops_text(&self.next_hops), hops_text(&self.resolved));
        if resolved.is_empty() || resolved == stated { stated } else { resolved }
    }

    /// `kernel installed`, `kernel failed: …`; `-` without data planes.
    pub(super) fn fib_text(&self) -> String {
        let one = |status: &FibStatus| match &status.reason {
            Some(reason) => format!("{} {}: {reason}", status.backend, status.state),
            None => format!("{} {}", status.backend, status.state),
        };
        super::output::or_dash(self.fib.iter().map(one).collect::<Vec<_>>().join(", "))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Neighbor {
    pub(super) address: String,
    pub(super) asn: Option<u32>,
    pub(super) description: Option<String>,
    pub(super) state: String,
    pub(super) enabled: bool,
    #[serde(rename = "up_seconds", serialize_with = "seconds")]
    pub(super) up_for: Option<Duration>,
    pub(super) local: Option<String>,
    pub(super) router_id: Option<String>,
    #[serde(rename = "hold_time_seconds", serialize_with = "seconds")]
    pub(super) hold_time: Option<Duration>,
    pub(super) families: Vec<String>,
    pub(super) received: u64,
    pub(super) accepted: u64,
    pub(super) advertised: u64,
    pub(super) updates_in: u64,
    pub(super) updates_out: u64,
    pub(super) messages_in: u64,
    pub(super) messages_out: u64,
    pub(super) established_count: u64,
    pub(super) last_down: Option<String>,
    pub(super) notes: Vec<String>,
    pub(super) remote: Option<String>,
    pub(super) peer_address: Option<String>,
    pub(super) interface: Option<String>,
    pub(super) dynamic: bool,
    pub(super) draining: bool,
    pub(super) added: bool,
    pub(super) passive: bool,
    pub(super) capabilities: Vec<String>,
    pub(super) role: Option<String>,
    pub(super) remote_role: Option<String>,
    pub(super) add_path: Vec<AddPath>,
    pub(super) graceful_restart: Restart,
    pub(super) max_prefix: Option<MaxPrefix>,
    pub(super) ttl_security: Option<u32>,
    /// Whether there is one.
    pub(super) password: bool,
    pub(super) last_error: Option<String>,
}

/// A message of a neighbor's history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Message {
    pub(super) time: Option<String>,
    pub(super) direction: &'static str,
    pub(super) r#type: String,
    pub(super) length: u32,
    pub(super) text: String,
    /// Hexadecimal; shorter than `length` if the message is long or old.
    pub(super) octets: String,
}

impl From<&v1::BgpMessage> for Message {
    fn from(message: &v1::BgpMessage) -> Self {
        Self {
            time: message.time.as_ref().map(time),
            direction: if message.sent { "out" } else { "in" },
            r#type: message.r#type.clone(),
            length: message.length,
            text: message.text.clone(),
            octets: message.octets.iter().map(|octet| format!("{octet:02x}")).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct AddPath {
    pub(super) family: String,
    pub(super) receive: bool,
    pub(super) send: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Restart {
    pub(super) helper: bool,
    pub(super) enabled: bool,
    pub(super) restarting: bool,
    pub(super) stale: u64,
    #[serde(rename = "restart_time_seconds", serialize_with = "seconds")]
    pub(super) restart_time: Option<Duration>,
    #[serde(rename = "long_lived_seconds", serialize_with = "seconds")]
    pub(super) long_lived: Option<Duration>,
}

impl From<&v1::NeighborRestart> for Restart {
    fn from(restart: &v1::NeighborRestart) -> Self {
        Self {
            helper: restart.helper,
            enabled: restart.enabled,
            restarting: restart.restarting,
            stale: restart.stale,
            restart_time: restart.restart_time.as_ref().map(duration),
            long_lived: restart.long_lived.as_ref().map(duration),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct MaxPrefix {
    pub(super) limit: u32,
    pub(super) warn: u32,
    #[serde(rename = "restart_seconds", serialize_with = "seconds")]
    pub(super) restart: Option<Duration>,
    pub(super) warned: bool,
    pub(super) exceeded: bool,
}

impl From<&v1::NeighborMaxPrefix> for MaxPrefix {
    fn from(limit: &v1::NeighborMaxPrefix) -> Self {
        Self {
            limit: limit.limit,
            warn: limit.warn,
            restart: limit.restart.as_ref().map(duration),
            warned: limit.warned,
            exceeded: limit.exceeded,
        }
    }
}

/// `ipv4-unicast`.
fn family_name(family: v1::AddressFamily) -> String {
    format!("{}-unicast", word(family.as_str_name(), "ADDRESS_FAMILY_"))
}

impl From<&v1::Neighbor> for Neighbor {
    fn from(neighbor: &v1::Neighbor) -> Self {
        Self {
            address: neighbor.address.clone(),
            asn: Some(neighbor.asn).filter(|asn| *asn != 0),
            description: some(&neighbor.description),
            state: word(neighbor.state().as_str_name(), "SESSION_STATE_"),
            enabled: neighbor.enabled,
            up_for: neighbor.up_for.as_ref().map(duration),
            local: some(&neighbor.local),
            router_id: some(&neighbor.router_id),
            hold_time: neighbor.hold_time.as_ref().map(duration),
            families: neighbor.families().map(family_name).collect(),
            received: neighbor.received,
            accepted: neighbor.accepted,
            advertised: neighbor.advertised,
            updates_in: neighbor.updates_in,
            updates_out: neighbor.updates_out,
            messages_in: neighbor.messages_in,
            messages_out: neighbor.messages_out,
            established_count: neighbor.established_count,
            last_down: some(&neighbor.last_down),
            notes: neighbor.notes.clone(),
            remote: some(&neighbor.remote),
            peer_address: some(&neighbor.peer_address),
            interface: some(&neighbor.interface),
            dynamic: neighbor.dynamic,
            draining: neighbor.draining,
            added: neighbor.added,
            passive: neighbor.passive,
            capabilities: neighbor.capabilities.clone(),
            role: some(&neighbor.role),
            remote_role: some(&neighbor.remote_role),
            add_path: neighbor
                .add_path
                .iter()
                .map(|of| AddPath { family: family_name(of.family()), receive: of.receive, send: of.send })
                .collect(),
            graceful_restart: neighbor.graceful_restart.as_ref().map(Restart::from).unwrap_or_default(),
            max_prefix: neighbor.max_prefix.as_ref().map(MaxPrefix::from),
            ttl_security: neighbor.ttl_security,
            password: neighbor.password,
            last_error: some(&neighbor.last_error),
        }
    }
}

impl Neighbor {
    /// The state, or that an operator took it down.
    pub(super) fn state_text(&self) -> String {
        match self {
            Self { enabled: false, .. } => "disabled".to_owned(),
            Self { draining: true, state, .. } => format!("{state}, draining"),
            Self { state, .. } => state.clone(),
        }
    }

    /// Why it is not as one would wish, short enough for a table; `anyhop show neighbors ADDR` says it all.
    pub(super) fn note_text(&self) -> String {
        let down = self.last_down.iter().filter(|_| self.state != "established");
        let mut why = down.chain(&self.notes);
        match (why.next(), why.count()) {
            (None, _) => String::new(),
            (Some(first), 0) => first.clone(),
            (Some(first), more) => format!("{first} (+{more})"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Attributes {
    pub(super) origin: String,
    pub(super) as_path: String,
    pub(super) next_hop: String,
    pub(super) next_hop_link_local: Option<String>,
    pub(super) med: Option<u32>,
    pub(super) local_pref: Option<u32>,
    pub(super) atomic_aggregate: bool,
    pub(super) aggregator: Option<String>,
    pub(super) communities: Vec<String>,
    pub(super) extended_communities: Vec<String>,
    pub(super) large_communities: Vec<String>,
    pub(super) originator_id: Option<String>,
    pub(super) cluster_list: Vec<String>,
    pub(super) only_to_customer: Option<u32>,
    pub(super) unknown: Vec<UnknownAttribute>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct UnknownAttribute {
    pub(super) code: u32,
    pub(super) flags: u32,
    /// Hexadecimal.
    pub(super) value: String,
}

impl From<&v1::PathAttributes> for Attributes {
    fn from(attrs: &v1::PathAttributes) -> Self {
        Self {
            origin: word(attrs.origin().as_str_name(), "ORIGIN_"),
            as_path: attrs.as_path_text.clone(),
            next_hop: attrs.next_hop.clone(),
            next_hop_link_local: some(&attrs.next_hop_link_local),
            med: attrs.med,
            local_pref: attrs.local_pref,
            atomic_aggregate: attrs.atomic_aggregate,
            aggregator: some(&attrs.aggregator),
            communities: attrs.communities.clone(),
            extended_communities: attrs.extended_communities.clone(),
            large_communities: attrs.large_communities.clone(),
            originator_id: some(&attrs.originator_id),
            cluster_list: attrs.cluster_list.clone(),
            only_to_customer: attrs.only_to_customer,
            unknown: attrs
                .unknown
                .iter()
                .map(|unknown| UnknownAttribute {
                    code: unknown.code,
                    flags: unknown.flags,
                    value: unknown.value.iter().map(|octet| format!("{octet:02x}")).collect(),
                })
                .collect(),
        }
    }
}

impl Attributes {
    /// All communities in one cell.
    pub(super) fn communities_text(&self) -> String {
        let large = self.large_communities.iter().map(|large| format!("large:{large}"));
        let all: Vec<String> =
            self.communities.iter().cloned().chain(self.extended_communities.iter().cloned()).chain(large).collect();
        all.join(" ")
    }

    /// One line for `explain`.
    pub(super) fn text(&self) -> String {
        let mut text = format!("next hop {}, AS path [{}], origin {}", self.next_hop, self.as_path, self.origin);
        if let Some(pref) = self.local_pref {
            text.push_str(&format!(", local pref {pref}"));
        }
        if let Some(med) = self.med {
            text.push_str(&format!(", med {med}"));
        }
        let communities = self.communities_text();
        if !communities.is_empty() {
            text.push_str(&format!(", communities {communities}"));
        }
        text
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Path {
    pub(super) prefix: String,
    pub(super) from: Option<String>,
    pub(super) best: bool,
    pub(super) path_id: Option<u32>,
    pub(super) attributes: Option<Attributes>,
    pub(super) imported: Option<Attributes>,
}

impl From<&v1::BgpPath> for Path {
    fn from(path: &v1::BgpPath) -> Self {
        Self {
            prefix: path.prefix.clone(),
            from: some(&path.from),
            best: path.best,
            path_id: path.path_id,
            attributes: path.attributes.as_ref().map(Attributes::from),
            imported: path.imported.as_ref().map(Attributes::from),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Vip {
    pub(super) prefix: String,
    pub(super) announced: bool,
    pub(super) bind: Option<String>,
    pub(super) bind_error: Option<String>,
    pub(super) local: bool,
    pub(super) installed: bool,
    pub(super) blocked: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Check {
    pub(super) r#type: String,
    pub(super) what: String,
    pub(super) health: Option<String>,
    pub(super) progress: u32,
    pub(super) needed: u32,
    #[serde(rename = "interval_seconds", serialize_with = "seconds")]
    pub(super) interval: Option<Duration>,
    #[serde(rename = "timeout_seconds", serialize_with = "seconds")]
    pub(super) timeout: Option<Duration>,
    pub(super) since: Option<String>,
    pub(super) last_run: Option<String>,
    pub(super) last_passed: bool,
    pub(super) last_detail: Option<String>,
    pub(super) runs: u64,
    pub(super) failures: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) reason: String,
    pub(super) since: Option<String>,
    pub(super) health: Option<String>,
    pub(super) vips: Vec<Vip>,
    pub(super) checks: Vec<Check>,
    pub(super) via: Vec<String>,
    pub(super) bind: Option<String>,
    pub(super) communities: Vec<String>,
    pub(super) registered: bool,
}

impl From<&v1::Service> for Service {
    fn from(service: &v1::Service) -> Self {
        let vip = |vip: &v1::Vip| Vip {
            prefix: vip.prefix.clone(),
            announced: vip.announced,
            bind: some(&word(vip.bind().as_str_name(), "BIND_STATE_")),
            bind_error: some(&vip.bind_error),
            local: vip.local,
            installed: vip.installed,
            blocked: some(&vip.blocked),
        };
        let check = |check: &v1::Check| Check {
            r#type: check.r#type.clone(),
            what: check.what.clone(),
            health: some(&word(check.health().as_str_name(), "HEALTH_")),
            progress: check.progress,
            needed: check.needed,
            interval: check.interval.as_ref().map(duration),
            timeout: check.timeout.as_ref().map(duration),
            since: check.since.as_ref().map(time),
            last_run: check.last_run.as_ref().map(time),
            last_passed: check.last_passed,
            last_detail: some(&check.last_detail),
            runs: check.runs,
            failures: check.failures,
        };
        Self {
            name: service.name.clone(),
            state: word(service.state().as_str_name(), "SERVICE_STATE_"),
            reason: service.reason.clone(),
            since: service.since.as_ref().map(time),
            health: some(&word(service.health().as_str_name(), "HEALTH_")),
            vips: service.vips.iter().map(vip).collect(),
            checks: service.checks.iter().map(check).collect(),
            via: service.via.clone(),
            bind: some(&service.bind),
            communities: service.communities.clone(),
            registered: service.registered,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) desired: u64,
    pub(super) installed: u64,
    pub(super) pending: u64,
    pub(super) failed: u64,
    pub(super) next_hops: u64,
    pub(super) batches: u64,
    pub(super) resyncs: u64,
    pub(super) error: Option<String>,
}

impl From<&v1::FibBackend> for Backend {
    fn from(backend: &v1::FibBackend) -> Self {
        Self {
            name: backend.name.clone(),
            desired: backend.desired,
            installed: backend.installed,
            pending: backend.pending,
            failed: backend.failed,
            next_hops: backend.next_hops,
            batches: backend.batches,
            resyncs: backend.resyncs,
            error: some(&backend.error),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Difference {
    pub(super) backend: String,
    pub(super) prefix: String,
    pub(super) kind: String,
    pub(super) desired: Vec<NextHop>,
    pub(super) found: Vec<NextHop>,
}

impl Difference {
    pub(super) fn new(backend: &str, difference: &v1::FibDifference) -> Self {
        Self {
            backend: backend.to_owned(),
            prefix: difference.prefix.clone(),
            kind: word(difference.kind().as_str_name(), "FIB_DIFFERENCE_KIND_"),
            desired: next_hops(&difference.desired),
            found: next_hops(&difference.found),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Event {
    pub(super) sequence: u64,
    pub(super) time: Option<String>,
    pub(super) kind: String,
    pub(super) severity: String,
    pub(super) subject: String,
    pub(super) message: String,
}

impl From<&v1::Event> for Event {
    fn from(event: &v1::Event) -> Self {
        Self {
            sequence: event.sequence,
            time: event.time.as_ref().map(time),
            kind: word(event.kind().as_str_name(), "EVENT_KIND_"),
            severity: word(event.severity().as_str_name(), "SEVERITY_"),
            subject: event.subject.clone(),
            message: event.message.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct RibCandidate {
    pub(super) protocol: String,
    pub(super) kind: Option<String>,
    pub(super) distance: u32,
    pub(super) metric: u32,
    pub(super) next_hops: Vec<NextHop>,
    pub(super) chosen: bool,
    pub(super) reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct BgpCandidate {
    pub(super) path: Option<Path>,
    pub(super) chosen: bool,
    pub(super) reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Export {
    pub(super) neighbor: String,
    pub(super) announced: bool,
    pub(super) reason: String,
    pub(super) path_id: Option<u32>,
    pub(super) attributes: Option<Attributes>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Explanation {
    pub(super) prefix: String,
    pub(super) route: Option<Route>,
    pub(super) candidates: Vec<RibCandidate>,
    pub(super) bgp_candidates: Vec<BgpCandidate>,
    pub(super) exports: Vec<Export>,
}

impl From<&v1::ExplainResponse> for Explanation {
    fn from(explanation: &v1::ExplainResponse) -> Self {
        let candidate = |candidate: &v1::RibCandidate| RibCandidate {
            protocol: word(candidate.protocol().as_str_name(), "PROTOCOL_"),
            kind: some(&word(candidate.kind().as_str_name(), "ROUTE_KIND_")),
            distance: candidate.distance,
            metric: candidate.metric,
            next_hops: next_hops(&candidate.next_hops),
            chosen: candidate.chosen,
            reason: candidate.reason.clone(),
        };
        let bgp_candidate = |candidate: &v1::BgpCandidate| BgpCandidate {
            path: candidate.path.as_ref().map(Path::from),
            chosen: candidate.chosen,
            reason: candidate.reason.clone(),
        };
        let export = |export: &v1::ExportDecision| Export {
            neighbor: export.neighbor.clone(),
            announced: export.announced,
            reason: export.reason.clone(),
            path_id: export.path_id,
            attributes: export.attributes.as_ref().map(Attributes::from),
        };
        Self {
            prefix: explanation.prefix.clone(),
            route: explanation.route.as_ref().map(Route::from),
            candidates: explanation.candidates.iter().map(candidate).collect(),
            bgp_candidates: explanation.bgp_candidates.iter().map(bgp_candidate).collect(),
            exports: explanation.exports.iter().map(export).collect(),
        }
    }
}
