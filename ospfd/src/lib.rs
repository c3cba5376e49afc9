//! The OSPF speaker: one sans-I/O engine for OSPFv2 (RFC 2328) and OSPFv3 (RFC 5340). Packets and LSAs are values of one
//! shape for both; only layouts and addresses differ, at the edge. It feeds the shared RIB as the sources
//! [`rib::Source::OspfV2`] and [`rib::Source::OspfV3`], beside `bgpd` and without knowing of it.

mod auth;
pub mod config;
mod drops;
mod flood;
pub mod id;
pub mod instance;
pub mod interface;
pub mod io;
pub mod lsa;
mod lsdb;
pub mod message;
pub mod neighbor;
mod originate;
pub mod packet;
mod restart;
mod routes;
pub mod spf;
mod timers;
pub mod view;
pub mod wire;

pub use id::{AreaId, InterfaceId, RouterId, Version};
