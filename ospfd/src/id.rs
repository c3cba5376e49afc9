//! The names OSPF gives to things: router, area, interface, LSA, sequence number. Both versions use the same
//! 32-bit numbers (RFC 2328 §1.2, RFC 5340 §2.11); what they stand for in v2 (addresses) and v3 is said where used.

use std::fmt;
use std::net::Ipv4Addr;

/// The protocol version an instance speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// OSPF for IPv4, RFC 2328.
    V2,
    /// OSPF for IPv6, RFC 5340.
    V3,
}

macro_rules! dotted {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                Ipv4Addr::from(self.0).fmt(out)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                Ipv4Addr::from(self.0).fmt(out)
            }
        }
    };
}

dotted!(
    /// A router's identity in the domain; 0 is nobody.
    RouterId
);
dotted!(
    /// An area; 0 is the backbone.
    AreaId
);

impl AreaId {
    /// Area 0.0.0.0, through which all inter-area traffic goes (RFC 2328 §3.1).
    pub const BACKBONE: Self = Self(0);
}

/// One of our own interfaces: the kernel's index, or a number of our own above them for a virtual link. It is the
/// Interface ID of OSPFv3 (RFC 5340 §4.1.2) and the link data of an unnumbered OSPFv2 link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceId(pub u32);

/// The age-independent version of an LSA: signed, linear (RFC 2328 §12.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceNumber(pub i32);

impl SequenceNumber {
    /// The first one an LSA is originated with.
    pub const INITIAL: Self = Self(-0x7fff_ffff);
    /// The last one; after it the LSA must be flushed before it can be originated again.
    pub const MAX: Self = Self(0x7fff_ffff);
}

/// LS type in one numbering for both versions: v2's 1 to 11 as they are, v3's 16 bits with U and scope bits
/// (RFC 5340 §A.4.2.1) as they are on the wire. Which constants apply is decided by the instance's [`Version`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LsaType(pub u16);

impl fmt::Debug for LsaType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:#06x}", self.0)
    }
}

/// What names an LSA in a link-state database (RFC 2328 §12.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LsaKey {
    /// What kind of LSA.
    pub kind: LsaType,
    /// Link State ID: an address in v2, mostly a plain number in v3.
    pub id: u32,
    /// Who originated it.
    pub adv: RouterId,
}
