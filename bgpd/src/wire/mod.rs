//! Octets on the wire and their values; knows nothing of sessions, tables or policy.
//!
//! Every decoder takes a slice, checks every length before it uses it, and answers with a value or with exactly the
//! NOTIFICATION (or the RFC 7606 action) that the RFCs demand. Every encoder writes into a `BytesMut`.

pub mod attr;
pub mod capability;
pub mod family;
pub mod header;
pub mod nlri;
pub mod notification;
pub mod open;
pub mod route_refresh;
pub mod update;

pub use family::AfiSafi;
pub use header::{Header, MessageType};
pub use notification::Notification;

/// AS_TRANS: stands for an AS number of four octets where only two fit (RFC 6793 §4.2.1).
pub const AS_TRANS: u16 = 23456;

#[cfg(test)]
pub(crate) mod strategies;
#[cfg(test)]
mod tests;
