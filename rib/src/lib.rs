//! The shared routing information base: the ground floor of anyhop.
//!
//! Every protocol puts its routes here; the RIB chooses per prefix by administrative distance and metric, resolves
//! next hops recursively, answers longest-prefix-match queries and feeds every data plane through one journal.
//!
//! | question | room |
//! |---|---|
//! | where is a prefix? | [`table`], over a tree of prefixes, an [`index`] for exactly one and a slab of destinations; `places` walks along the slab |
//! | which route wins? | `select`, over routes that are interned once each |
//! | does its next hop resolve? | `resolve`, `legs`, and `track`, the reverse index |
//! | who has been told? | [`journal`], read by data planes (`dataplane`) and by watchers ([`watch`]) |
//! | what became of it? | `installed` for who waits for a prefix, `answers` for who asks about all of its routes |
//! | what is the state now? | [`query`] |

mod answers;
mod dataplane;
pub mod delta;
pub mod family;
mod hops;
pub mod index;
mod installed;
mod intern;
pub mod journal;
mod legs;
pub mod message;
pub mod nexthop;
mod places;
mod prefetch;
pub mod query;
mod resolve;
mod rib;
pub mod route;
mod select;
mod slab;
pub mod table;
#[cfg(test)]
mod tests;
mod track;
pub mod watch;

pub use answers::{Answer, NotHeld};
pub use delta::{BackendId, FibDelta, FibFault, FibProgress, FibRoute, NextHopOp};
pub use family::{AddressFamily, Family, V4, V6};
pub use index::Index;
pub use journal::{Cursor, Journal, Overrun};
pub use nexthop::{Discard, Forwarding, IfIndex, Leg, NextHop, NextHopId, NextHopSet, ResolvedLeg};
pub use prefetch::prefetch;
pub use query::WalkQuery;
pub use rib::{Rib, RibConfig};
pub use route::{AdminDistance, Metric, Protocol, Route, RouteBatch, RouteChange, Source, Sources};
pub use watch::{Pulled, WatchFilter, WatchId};
