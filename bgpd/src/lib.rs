//! The BGP speaker (RFC 4271): wire format, sessions, policy, decision and export.
//!
//! [`speaker::Speaker`] is the machine; everything under it is a value that gets time and input as arguments. Sockets
//! and clocks live in [`io`] only.

pub mod attrs;
pub mod config;
pub mod export;
pub mod fsm;
pub mod import;
pub mod intern;
pub mod io;
pub mod locrib;
pub mod policy;
pub mod roles;
pub mod session;
pub mod speaker;
pub mod wire;
