//! What goes into the RIB and what comes out: the machine's two doors as types.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::answers::Answer;
use crate::delta::{BackendId, FibFault, FibProgress};
use crate::nexthop::{Forwarding, IfIndex, NextHopId};
use crate::route::{Metric, Protocol, Route, RouteBatch, Source};

/// Everything the RIB can be told.
#[derive(Clone, Debug)]
pub enum Input {
    /// Routes of a source.
    Routes(RouteBatch),
    /// Remove every route of a source; carried out in slices.
    Flush(Source),
    /// An interface came up, went down or vanished; legs over an interface that is not up do not resolve.
    Interface {
        /// Which.
        index: IfIndex,
        /// Administratively up with carrier.
        up: bool,
    },
    /// `client` wants to know how these addresses are reached, now and whenever that changes.
    Track {
        /// Who asks.
        client: Source,
        /// Addresses to follow.
        add: Vec<IpAddr>,
        /// Addresses no longer of interest.
        remove: Vec<IpAddr>,
    },
    /// A data plane's answer.
    Fib(FibProgress),
    /// A data plane lost its state or asks for a full walk.
    FibResync(BackendId),
    /// Say when this prefix becomes installed in every data plane, and when it ceases to be.
    AwaitInstalled {
        /// The exact prefix.
        prefix: IpNet,
        /// Start or stop.
        on: bool,
    },
    /// Go on with work that the budget cut off.
    Work,
}

/// What the RIB asks its carrier to pass on. Data-plane deltas are not here: they are pulled.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// How tracked addresses are reached now.
    Reach {
        /// Who asked.
        client: Source,
        /// The addresses whose state is new.
        states: Vec<Reachability>,
    },
    /// What became of routes that a batch asked about ([`RouteBatch::ask`]).
    Answers {
        /// Who asked.
        client: Source,
        /// The number of its last batch that has been carried out.
        through: u64,
        /// The prefixes; each as it is after that batch.
        answers: Vec<Answer>,
    },
    /// An awaited prefix changed state. An empty `missing` means: installed everywhere.
    Installed {
        /// The prefix asked for.
        prefix: IpNet,
        /// The data planes that do not hold it, each with its reason, or none given while the answer is on its way.
        missing: Vec<(BackendId, Option<FibFault>)>,
    },
}

/// How a tracked address is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reachability {
    /// The address.
    pub addr: IpAddr,
    /// `None` if no route resolves it.
    pub reach: Option<Reach>,
}

/// The way to a reachable address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The covering route's metric, for BGP's "lowest IGP cost" (RFC 4271 §9.1.2.2 e).
    pub metric: Metric,
    /// The covering route's protocol.
    pub protocol: Protocol,
    /// The address is on one of our own links.
    pub connected: bool,
}

/// A prefix's state in one data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FibState {
    /// Sent or about to be; not answered.
    Pending,
    /// Acknowledged.
    Installed,
    /// Refused; retried.
    Failed(FibFault),
}

/// A chosen route as people and programs see it.
#[derive(Clone, Debug)]
pub struct RouteView {
    /// The destination.
    pub prefix: IpNet,
    /// What the source said.
    pub route: Route,
    /// Whose route it is.
    pub source: Source,
    /// The interned next-hop object.
    pub next_hop_id: NextHopId,
    /// How its next hops resolve now.
    pub forwarding: Forwarding,
    /// The state in each data plane, by number.
    pub fib: Vec<(BackendId, FibState)>,
}

/// Why a candidate was or was not chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the best.
    Best,
    /// Its next hop does not resolve.
    Unresolved,
    /// Another has a lower administrative distance.
    HigherDistance,
    /// Distance 255: never used.
    NeverUsed,
    /// Another of equal distance has a lower metric.
    HigherMetric,
    /// All equal: the lower source number won.
    LaterSource,
}

/// One candidate for a prefix.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Whose route it is.
    pub source: Source,
    /// What the source said.
    pub route: Route,
    /// The outcome.
    pub verdict: Verdict,
}

/// A page of a walk in prefix order (IPv4 before IPv6).
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Chosen routes.
    pub routes: Vec<RouteView>,
    /// Start of the next page; `None` at the end.
    pub next: Option<IpNet>,
}

/// Sizes, for status and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Chosen IPv4 routes.
    pub ipv4: usize,
    /// Chosen IPv6 routes.
    pub ipv6: usize,
    /// Chosen routes by source.
    pub by_source: Vec<(Source, usize)>,
    /// Interned next-hop objects.
    pub next_hops: usize,
}
