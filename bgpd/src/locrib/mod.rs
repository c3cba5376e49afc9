//! The Loc-RIB (RFC 4271 §3.2): every path to every prefix of a family, the decision between them, and the journal of changes.
//!
//! [`Shard`] owns one family. Its path records *are* the Adj-RIB-In: each carries the attribute id as received and the one after
//! import policy. Sessions, export and the shared RIB reach it by dense prefix ids.

pub mod decision;
pub mod journal;
pub mod nexthop;
pub mod path;
pub mod peers;
pub mod shard;
pub mod stale;
#[cfg(test)]
mod tests;

pub use path::{Dest, DestId, Path, PathId};
pub use peers::{PeerFacts, PeerIndex, PeerKind, Peers};
pub use shard::{Change, Context, Shard};
pub use stale::{Ageing, Count, Epochs, Standing};
