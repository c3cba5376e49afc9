//! Shortest paths inside an area (RFC 2328 §16.1, RFC 5340 §4.8.1), with all first steps of equal cost.
//!
//! | question | room |
//! |---|---|
//! | which routers and networks are there, and what do they say? | `graph`: a dense number for each |
//! | who is linked to whom, at what cost? | `resolve`: a row of edges each, back links resolved when an LSA comes; `rows` keeps them |
//! | which first steps? | `hops`: interned sets |
//! | what is the whole tree? | `full` |
//! | what of the tree changes? | `incremental` |
//!
//! The incremental calculation gives up when much changes, and the full one takes over; both always end in the same tree.

mod full;
mod graph;
mod hops;
mod incremental;
mod resolve;
mod rows;
#[cfg(test)]
mod tests;

pub use graph::{Around, Graph, Run};
pub use hops::{Hop, HopSets, Hops, HopsId, OwnLink};

/// The cost of what cannot be reached.
pub const UNREACHED: u32 = u32::MAX;
