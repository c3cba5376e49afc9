//! Address families as the wire numbers them (RFC 4760 §3; IANA AFI and SAFI registries).

use std::fmt;

use rib::AddressFamily;

/// An AFI and a SAFI, known to us or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AfiSafi {
    /// Address Family Identifier.
    pub afi: u16,
    /// Subsequent Address Family Identifier.
    pub safi: u8,
}

/// AFI of IPv4.
pub const AFI_IPV4: u16 = 1;
/// AFI of IPv6.
pub const AFI_IPV6: u16 = 2;
/// SAFI of unicast forwarding.
pub const SAFI_UNICAST: u8 = 1;

impl AfiSafi {
    /// IPv4 unicast.
    pub const IPV4_UNICAST: Self = Self { afi: AFI_IPV4, safi: SAFI_UNICAST };
    /// IPv6 unicast.
    pub const IPV6_UNICAST: Self = Self { afi: AFI_IPV6, safi: SAFI_UNICAST };

    /// The family this names, `None` if we do not speak it.
    #[must_use]
    pub const fn unicast(self) -> Option<AddressFamily> {
        match (self.afi, self.safi) {
            (AFI_IPV4, SAFI_UNICAST) => Some(AddressFamily::Ipv4),
            (AFI_IPV6, SAFI_UNICAST) => Some(AddressFamily::Ipv6),
            _ => None,
        }
    }
}

impl From<AddressFamily> for AfiSafi {
    fn from(family: AddressFamily) -> Self {
        match family {
            AddressFamily::Ipv4 => Self::IPV4_UNICAST,
            AddressFamily::Ipv6 => Self::IPV6_UNICAST,
        }
    }
}

impl fmt::Display for AfiSafi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unicast() {
            Some(AddressFamily::Ipv4) => f.write_str("ipv4-unicast"),
            Some(AddressFamily::Ipv6) => f.write_str("ipv6-unicast"),
            None => write!(f, "afi {} safi {}", self.afi, self.safi),
        }
    }
}
