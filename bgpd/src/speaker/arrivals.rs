//! Whom a connection belongs to, and neighbors that are found on an interface.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::Speaker;
use super::message::{NeighborKey, Output, Protection};
use super::neighbor;

impl Speaker {
    /// The neighbor that a connection from `address` belongs to. `interface` is where it came in if the address is link-local.
    pub(super) fn from(&self, address: IpAddr, interface: Option<&Arc<str>>) -> Option<usize> {
        let address = address.to_canonical();
        let named = self.by_key.get(&NeighborKey::of(address, interface));
        let found = || match (address, interface) {
            // Whoever speaks on the interface of an unnumbered neighbor is that neighbor.
            (IpAddr::V6(v6), Some(interface)) if v6.is_unicast_link_local() => {
                self.by_key.get(&NeighborKey::Interface(Arc::clone(interface)))
            }
            _ => None,
        };
        named.or_else(found).copied()
    }

    /// How a connection from there has to be protected; `None` if nobody is expected from there.
    #[must_use]
    pub fn protection(&self, address: IpAddr, interface: Option<&Arc<str>>) -> Option<Protection> {
        let neighbor = self.neighbors[self.from(address, interface)?].as_ref()?;
        Some(neighbor::protection(&self.config, &neighbor.config))
    }

    pub(super) fn discovered(&mut self, interface: &Arc<str>, address: Ipv6Addr, scope: u32, _out: &mut Vec<Output>) {
        let Some(&at) = self.by_key.get(&NeighborKey::Interface(Arc::clone(interface))) else { return };
        if let Some(neighbor) = &mut self.neighbors[at] {
            neighbor.found = Some((address, scope));
        }
    }

    pub(super) fn vanished(&mut self, interface: &Arc<str>, _out: &mut Vec<Output>) {
        let Some(&at) = self.by_key.get(&NeighborKey::Interface(Arc::clone(interface))) else { return };
        if let Some(neighbor) = &mut self.neighbors[at] {
            neighbor.found = None;
        }
    }
}
