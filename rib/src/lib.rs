//! The shared routing information base: the ground floor of anyhop.
//!
//! Every protocol puts its routes here; the RIB chooses per prefix by administrative distance and metric, resolves
//! next hops recursively, answers longest-prefix-match queries and feeds every data plane through one journal.

pub mod delta;
pub mod family;
pub mod message;
pub mod nexthop;
pub mod query;
pub mod rib;
pub mod route;
pub mod watch;

pub use delta::{BackendId, FibDelta, FibFault, FibProgress, FibRoute, NextHopOp};
pub use family::{AddressFamily, Family, V4, V6};
pub use nexthop::{Discard, Forwarding, IfIndex, Leg, NextHop, NextHopId, NextHopSet, ResolvedLeg};
pub use query::WalkQuery;
pub use rib::{Rib, RibConfig};
pub use route::{AdminDistance, Metric, Protocol, Route, RouteBatch, RouteChange, Source};
pub use watch::{Pulled, WatchFilter, WatchId};
