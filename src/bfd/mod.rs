//! BFD (RFC 5880): sees within milliseconds that a path is broken, for BGP, OSPF and static routes alike.
//!
//! Asynchronous mode over a single hop (RFC 5881) and over several (RFC 5883); echo packets of others are reflected. One
//! session serves all who depend on a path (RFC 5882). `packet` knows octets, `session` and `table` are machines without
//! clock or socket, `thread` carries them with `path` and `socket`. What a client does about a failure is its own affair.

pub mod packet;
mod path;
pub mod session;
mod socket;
pub mod table;
#[cfg(test)]
mod tests;
mod thread;

pub use packet::{Control, Diagnostic, Discriminator, Malformed, State};
pub use path::{Wanted, on_link};
pub use session::{SessionView, Timers};
pub use table::{Path, Row};
pub use thread::{Bfd, Listed, Status, Subscription, spawn};

/// Control packets over a single hop (RFC 5881 §4).
const PORT_SINGLE: u16 = 3784;
/// Echo packets (RFC 5881 §4).
const PORT_ECHO: u16 = 3785;
/// Control packets over several hops (RFC 5883 §5).
const PORT_MULTI: u16 = 4784;
