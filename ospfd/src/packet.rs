//! OSPF packets as values, the same for both versions (RFC 2328 §A.3, RFC 5340 §A.3). Layouts and authentication live
//! in `wire` and `auth`; meaning is given by the interface and neighbor machines.

use crate::id::{AreaId, LsaKey, RouterId};
use crate::lsa::{Lsa, LsaHeader};

/// A whole packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it.
    pub router: RouterId,
    /// The area it was sent into.
    pub area: AreaId,
    /// v3: instance id (RFC 5340 §A.3.1); 0 in v2.
    pub instance_id: u8,
    /// What it says.
    pub body: Body,
}

/// The five packet types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Type 1.
    Hello(Hello),
    /// Type 2.
    DatabaseDescription(DatabaseDescription),
    /// Type 3: the wanted LSAs.
    LinkStateRequest(Vec<LsaKey>),
    /// Type 4. LSAs that could not be read are left out by the decoder, which counts them with their reason.
    LinkStateUpdate(Vec<Lsa>),
    /// Type 5.
    LinkStateAck(Vec<LsaHeader>),
}

/// Discovers and keeps neighbors, elects the DR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// v2: length of the interface's network mask, 0 on unnumbered links; 0 in v3.
    pub mask_len: u8,
    /// v3: the sender's Interface ID; 0 in v2.
    pub interface_id: u32,
    /// 8 bits in v2, 24 in v3.
    pub options: u32,
    /// Router priority; 0 cannot become DR.
    pub priority: u8,
    /// Seconds between hellos.
    pub hello_interval_secs: u16,
    /// Seconds until a silent router is down (16 bits in v3).
    pub dead_interval_secs: u32,
    /// The Designated Router: interface address in v2, router id in v3; 0 is none.
    pub dr: u32,
    /// The Backup Designated Router, as `dr`.
    pub bdr: u32,
    /// Router ids heard on the link within the dead interval.
    pub neighbors: Vec<RouterId>,
}

/// Describes the sender's database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseDescription {
    /// Interface MTU in octets; 0 on virtual links.
    pub mtu: u16,
    /// 8 bits in v2, 24 in v3.
    pub options: u32,
    /// I: the first packet.
    pub init: bool,
    /// M: more follow.
    pub more: bool,
    /// MS: the sender is master.
    pub master: bool,
    /// DD sequence number.
    pub seq: u32,
    /// What is described.
    pub headers: Vec<LsaHeader>,
}

/// Options bits that both versions have at the same place: E, this area takes AS-external-LSAs.
pub const OPTION_E: u32 = 0x02;
/// N (v3, and v2's N/P bit at the same place): this area is an NSSA.
pub const OPTION_N: u32 = 0x08;
/// v3 V6: the router takes part in IPv6 routing.
pub const OPTION_V6: u32 = 0x01;
/// v3 R: the originator is an active router.
pub const OPTION_R: u32 = 0x10;
/// v2 O: opaque LSAs are understood (RFC 5250).
pub const OPTION_O: u32 = 0x40;
/// v3 DC / v2 DC: demand circuits (never set by us).
pub const OPTION_DC: u32 = 0x20;
/// v3 L: a block of link-local signaling follows (RFC 5613); never set by us.
pub const OPTION_L: u32 = 0x0200;
/// v3 AT: an authentication trailer follows (RFC 7166).
pub const OPTION_AT: u32 = 0x0400;
