//! Link-state advertisements as values, the same for both versions: what RFC 2328 §A.4 and RFC 5340 §A.4 lay out on
//! the wire, with v3's intra-area-prefix and link LSAs beside v2's stub links. Layouts live in `wire`.

use bytes::Bytes;
use ipnet::{IpNet, Ipv6Net};
use std::net::{IpAddr, Ipv6Addr};

use crate::id::{LsaKey, RouterId, SequenceNumber};

/// The age at which an LSA is flushed, in seconds (RFC 2328 §B).
pub const MAX_AGE: u16 = 3600;
/// The unreachable metric of summaries and externals, 24 bits (RFC 2328 §B).
pub const LS_INFINITY: u32 = 0x00ff_ffff;
/// A link's metric that makes it a last resort (RFC 6987).
pub const MAX_LINK_METRIC: u16 = 0xffff;
/// Octets of an LSA header, in both versions.
pub const HEADER_LEN: usize = 20;

/// An LSA's header (RFC 2328 §A.4.1, RFC 5340 §A.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LsaHeader {
    /// Seconds since origination, without the DoNotAge bit.
    pub age: u16,
    /// OSPFv2 options of the header; 0 in v3, where they stand in the bodies.
    pub options: u8,
    /// Its name.
    pub key: LsaKey,
    /// Which instance of it.
    pub seq: SequenceNumber,
    /// Fletcher checksum over all but the age.
    pub checksum: u16,
    /// Octets with header.
    pub length: u16,
}

/// A received or originated LSA: header, meaning and the octets that are flooded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lsa {
    /// Its header; `age` as it was when the octets were read or written.
    pub header: LsaHeader,
    /// What it says.
    pub body: LsaBody,
    /// The whole LSA as it is on the wire.
    pub raw: Bytes,
}

/// What an LSA says, in one shape for both versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LsaBody {
    /// v2 type 1, v3 0x2001.
    Router(RouterLsa),
    /// v2 type 2, v3 0x2002.
    Network(NetworkLsa),
    /// v2 type 3, v3 0x2003 (inter-area-prefix).
    Summary(SummaryLsa),
    /// v2 type 4, v3 0x2004 (inter-area-router).
    AsbrSummary(AsbrSummaryLsa),
    /// v2 types 5 and 7, v3 0x4005 and 0x2007; the key's type tells which.
    External(ExternalLsa),
    /// v3 0x0008.
    Link(LinkLsa),
    /// v3 0x2009.
    IntraAreaPrefix(IntraAreaPrefixLsa),
    /// Opaque LSAs (RFC 5250, v2 types 9 to 11) and unknown types: carried by their flooding scope, not read. The
    /// octets after the header.
    Opaque(Bytes),
}

/// The bits of a router-LSA's first octet (RFC 2328 §A.4.2, RFC 3101 §2.4 for Nt, RFC 5340 §A.4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterFlags {
    /// B: area border router.
    pub border: bool,
    /// E: AS boundary router.
    pub external: bool,
    /// V: endpoint of a virtual link through this area.
    pub virtual_link: bool,
    /// Nt: translates NSSA LSAs unconditionally.
    pub translator: bool,
}

/// Who a router is linked to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouterLsa {
    /// What the router is.
    pub flags: RouterFlags,
    /// Options: the 24 bits of v3; in v2 a copy of the header's octet.
    pub options: u32,
    /// Its links, in the order of the LSA.
    pub links: Vec<RouterLink>,
}

/// What kind of link (RFC 2328 §A.4.2 numbering).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// 1: to one router.
    PointToPoint,
    /// 2: to a transit network.
    Transit,
    /// 3: to a stub network; v2 only.
    Stub,
    /// 4: a virtual link.
    Virtual,
}

/// One link of a router-LSA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterLink {
    /// What kind.
    pub kind: LinkKind,
    /// v2: Link ID (neighbor's router id, DR's address, or the stub network). v3: Neighbor Router ID.
    pub id: u32,
    /// v2: Link Data (own address, own interface index if unnumbered, or the stub network's mask). v3: Interface ID.
    pub data: u32,
    /// v3: Neighbor Interface ID; 0 in v2.
    pub neighbor_interface: u32,
    /// Cost of sending over the link.
    pub metric: u16,
}

/// Who is on a transit network; originated by its Designated Router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkLsa {
    /// v2: length of the network mask (with the Link State ID it gives the prefix); `None` in v3.
    pub mask_len: Option<u8>,
    /// Options: the 24 bits of v3; in v2 a copy of the header's octet.
    pub options: u32,
    /// The routers fully adjacent to the DR, itself included.
    pub attached: Vec<RouterId>,
}

/// A destination in another area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummaryLsa {
    /// The destination.
    pub prefix: IpNet,
    /// v3 prefix options (RFC 5340 §A.4.1.1); 0 in v2.
    pub prefix_options: u8,
    /// Cost from the border router, up to [`LS_INFINITY`].
    pub metric: u32,
}

/// An AS boundary router in another area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsbrSummaryLsa {
    /// The boundary router.
    pub router: RouterId,
    /// v3: its options; 0 in v2.
    pub options: u32,
    /// Cost from the border router, up to [`LS_INFINITY`].
    pub metric: u32,
}

/// A destination outside the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalLsa {
    /// The destination.
    pub prefix: IpNet,
    /// v3 prefix options, with the P-bit of NSSA LSAs; 0 in v2, where P is in the header's options.
    pub prefix_options: u8,
    /// Type 2: the metric is larger than any internal cost (bit E).
    pub type2: bool,
    /// The cost, up to [`LS_INFINITY`].
    pub metric: u32,
    /// Where traffic should go, if not to the originator.
    pub forwarding: Option<IpAddr>,
    /// External route tag; 0 is none.
    pub tag: u32,
    /// v3: an LSA with more about this destination (type and Link State ID), of the same originator.
    pub referenced: Option<(crate::id::LsaType, u32)>,
}

/// A prefix as v3 writes it (RFC 5340 §A.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LsaPrefix {
    /// The prefix, host bits zero.
    pub prefix: Ipv6Net,
    /// NU, LA, P, DN bits.
    pub options: u8,
    /// Cost; 0 in a link-LSA, where the field is reserved.
    pub metric: u16,
}

/// Prefix option: not for unicast calculations.
pub const PREFIX_NU: u8 = 0x01;
/// Prefix option: a local address of the router.
pub const PREFIX_LA: u8 = 0x02;
/// Prefix option: to be propagated out of the NSSA by its translator.
pub const PREFIX_P: u8 = 0x08;

/// v3: a router's link-local address and prefixes on one link (RFC 5340 §A.4.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkLsa {
    /// Router priority on the link.
    pub priority: u8,
    /// The options to be set in the network-LSA.
    pub options: u32,
    /// Next hop for what is reached through this router on the link.
    pub link_local: Ipv6Addr,
    /// Prefixes of the link.
    pub prefixes: Vec<LsaPrefix>,
}

/// v3: prefixes of a router or a transit network (RFC 5340 §A.4.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntraAreaPrefixLsa {
    /// The router- or network-LSA they belong to.
    pub referenced: LsaKey,
    /// The prefixes.
    pub prefixes: Vec<LsaPrefix>,
}
