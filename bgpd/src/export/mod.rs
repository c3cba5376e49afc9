//! Adj-RIB-Out (RFC 4271 §3.2) by groups: neighbors with equal [`ExportProfile`]s share what they were told and its octets.
//!
//! A [`Group`] reads the journal at its cursor, takes the best path of the moment, compares with what the group was last
//! told, and packs and encodes the difference once. Members take the pieces but their own. What a member has not taken
//! yet is bounded; beyond, the group waits and depth stays in the journal, where it coalesces.

mod batch;
pub mod group;
mod installed;
mod log;
mod profile;
mod told;
mod told_paths;
pub mod transform;

pub use group::{Group, Tables, ToldView};
pub use installed::{Installed, Standing};
pub use profile::{ExportProfile, Filter};
pub use transform::{Refusal, Source};
