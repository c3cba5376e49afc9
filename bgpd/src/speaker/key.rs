//! How a neighbor is named: by its address, or by the interface it is found on.
//!
//! Link-local addresses repeat on every interface (RFC 4007 §6), and a neighbor that is found by router advertisements has no
//! configured address at all, so an address alone names neither.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

/// The name of a neighbor, unique within a speaker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeighborKey {
    /// By an address that is the same on every interface.
    Address(IpAddr),
    /// By a link-local address on an interface: `fe80::1%eth0`.
    LinkLocal(Ipv6Addr, Arc<str>),
    /// By the interface it is found on (unnumbered): `eth0`.
    Interface(Arc<str>),
}

impl NeighborKey {
    /// The name of a neighbor configured with this address and interface.
    #[must_use]
    pub fn of(address: IpAddr, interface: Option<&Arc<str>>) -> Self {
        match (address, interface) {
            (address, Some(interface)) if address.is_unspecified() => Self::Interface(Arc::clone(interface)),
            (IpAddr::V6(address), Some(interface)) if address.is_unicast_link_local() => {
                Self::LinkLocal(address, Arc::clone(interface))
            }
            (address, _) => Self::Address(address),
        }
    }

    /// The address in the name, if there is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::LinkLocal(address, _) => Some(IpAddr::V6(*address)),
            Self::Interface(_) => None,
        }
    }

    /// The interface in the name, if there is one.
    #[must_use]
    pub fn interface(&self) -> Option<&Arc<str>> {
        match self {
            Self::Address(_) => None,
            Self::LinkLocal(_, interface) | Self::Interface(interface) => Some(interface),
        }
    }
}

impl From<IpAddr> for NeighborKey {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl fmt::Display for NeighborKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            // RFC 4007 §11.
            Self::LinkLocal(address, interface) => write!(f, "{address}%{interface}"),
            Self::Interface(interface) => f.pad(interface),
        }
    }
}

/// The text names no neighbor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is neither an address (192.0.2.1, 2001:db8::1, fe80::1%eth0) nor the name of an interface (eth0)")]
pub struct NotANeighbor;

/// Longest name of a Linux interface: IFNAMSIZ without the terminating zero.
const INTERFACE_OCTETS_MAX: usize = 15;

fn interface(name: &str) -> Result<Arc<str>, NotANeighbor> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/' || c == '%' || c == ':';
    // What is all digits and dots was meant as an address.
    let address_like = name.chars().all(|c| c.is_ascii_digit() || c == '.');
    if name.is_empty() || name.len() > INTERFACE_OCTETS_MAX || name.contains(odd) || address_like {
        return Err(NotANeighbor);
    }
    Ok(name.into())
}

impl FromStr for NeighborKey {
    type Err = NotANeighbor;

    fn from_str(text: &str) -> Result<Self, NotANeighbor> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address));
        }
        match text.split_once('%') {
            Some((address, zone)) => match address.parse::<Ipv6Addr>() {
                Ok(address) if address.is_unicast_link_local() => Ok(Self::LinkLocal(address, interface(zone)?)),
                _ => Err(NotANeighbor),
            },
            None => Ok(Self::Interface(interface(text)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_as_it_is_written() {
        for text in ["192.0.2.1", "2001:db8::1", "fe80::1", "fe80::1%eth0", "eth0", "br-lan.100"] {
            let key: NeighborKey = text.parse().expect(text);
            assert_eq!(key.to_string(), text);
        }
        assert!(matches!("fe80::1%eth0".parse(), Ok(NeighborKey::LinkLocal(_, name)) if &*name == "eth0"));
        assert!(matches!("eth0".parse(), Ok(NeighborKey::Interface(_))));
        for text in
            ["", "10.0.0", "10.0.0.300", "2001:db8::1%eth0", "fe80::1%", "a b", "a/b", "sixteen-octets-x", "fe80::g"]
        {
            assert_eq!(text.parse::<NeighborKey>(), Err(NotANeighbor), "{text}");
        }
    }

    #[test]
    fn an_address_on_two_interfaces_names_two_neighbors() {
        let at = |name: &str| NeighborKey::of("fe80::1".parse().expect("address"), Some(&Arc::from(name)));
        assert_ne!(at("eth0"), at("eth1"));
        // A global address is one neighbor, whatever interface it is said to be on.
        let global = "2001:db8::1".parse().expect("address");
        assert_eq!(NeighborKey::of(global, Some(&Arc::from("eth0"))), NeighborKey::Address(global));
    }
}
