//! What `--json` prints: the API's messages with stable keys, words instead of numbers, and `null` for what does not
//! apply. Tables are made from the same values.

mod bfd;
mod bgp;
mod ospf;

use std::collections::BTreeMap;
use std::time::Duration;

use proto::v1;
use serde::{Serialize, Serializer};

pub(super) use bfd::BfdSession;
pub(super) use bgp::{AddPath, Attributes, MaxPrefix, Message, Neighbor, Path, Restart};
pub(super) use ospf::{Lsa, OspfInterface, OspfNeighbor, SpfRuns, SpfVertex};

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
    pub(super) over_capacity: u64,
    pub(super) capacity: u64,
    pub(super) errors: u64,
    pub(super) retries: u64,
    pub(super) disturbed: u64,
    pub(super) repaired: u64,
    pub(super) adopted: u64,
    pub(super) swept: u64,
    pub(super) batch_mean_us: u64,
    pub(super) batch_longest_us: u64,
    pub(super) error: Option<String>,
    pub(super) ports: Vec<Port>,
    pub(super) counters: BTreeMap<String, u64>,
}

/// An interface of a data plane.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) mode: Option<String>,
    pub(super) remark: Option<String>,
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
            over_capacity: backend.over_capacity,
            capacity: backend.capacity,
            errors: backend.errors,
            retries: backend.retries,
            disturbed: backend.disturbed,
            repaired: backend.repaired,
            adopted: backend.adopted,
            swept: backend.swept,
            batch_mean_us: backend.batch_mean_us,
            batch_longest_us: backend.batch_longest_us,
            error: some(&backend.error),
            ports: backend.ports.iter().map(Port::from).collect(),
            counters: backend.counters.iter().map(|one| (one.name.clone(), one.value)).collect(),
        }
    }
}

impl From<&v1::FibPort> for Port {
    fn from(port: &v1::FibPort) -> Self {
        Self { name: port.name.clone(), mode: some(&port.mode), remark: some(&port.remark) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Difference {
    pub(super) backend: String,
    pub(super) prefix: String,
    pub(super) kind: String,
    pub(super) desired: Vec<NextHop>,
    pub(super) found: Vec<NextHop>,
    pub(super) reason: Option<String>,
}

impl Difference {
    pub(super) fn new(backend: &str, difference: &v1::FibDifference) -> Self {
        Self {
            backend: backend.to_owned(),
            prefix: difference.prefix.clone(),
            kind: word(difference.kind().as_str_name(), "FIB_DIFFERENCE_KIND_"),
            desired: next_hops(&difference.desired),
            found: next_hops(&difference.found),
            reason: some(&difference.reason),
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
