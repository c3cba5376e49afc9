//! The host as routing sees it: links, addresses, foreign kernel routes.
//!
//! A monitor (netlink, or a script in tests) turns what happens on the host into [`HostEvent`]s. The state machine over them, which
//! produces connected and kernel routes and interface states for the RIB, is pure.

use std::net::IpAddr;

use ipnet::IpNet;
use rib::{IfIndex, Route};

mod events;
pub mod table;

pub use events::HostEvents;
pub use table::HostTable;

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number.
    pub index: IfIndex,
    /// The name, at most 15 octets.
    pub name: String,
    /// Administratively up and with carrier.
    pub up: bool,
    /// Largest packet, octets.
    pub mtu: u32,
    /// The loopback interface.
    pub loopback: bool,
}

/// Something that happened on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// A link is there, or changed.
    Link(Link),
    /// A link is gone, and all its addresses with it.
    LinkGone(IfIndex),
    /// An address is on a link, or no longer.
    Address {
        /// The link.
        index: IfIndex,
        /// The address with its prefix length; host bits are kept.
        address: IpNet,
        /// Added or removed.
        present: bool,
    },
    /// A route that is not ours stands in our table (`Some`), or no longer (`None`).
    Foreign {
        /// The destination.
        prefix: IpNet,
        /// The kernel's metric tells several routes of one prefix apart; the lowest forwards.
        metric: u32,
        /// The route as the RIB would have it.
        route: Option<Route>,
    },
    /// A route of ours was changed or removed by somebody else, or by the kernel itself.
    Disturbed(IpNet),
    /// The first dump is complete; or events were lost, and a new dump has been completed.
    Synced,
}

/// Puts addresses on interfaces and takes them off; the other half of the host.
pub trait AddressControl: Send {
    /// Adds `address` to the interface named `interface`. Succeeds with `false` if it was there already and somebody else put it
    /// there; one that an earlier run of ours left behind is ours again.
    ///
    /// # Errors
    /// A sentence that names the address, the interface and the reason.
    fn add(&mut self, interface: &str, address: IpAddr) -> Result<bool, String>;

    /// Removes `address` from the interface named `interface`. Succeeds with `false` if it was not there.
    ///
    /// # Errors
    /// A sentence that names the address, the interface and the reason.
    fn remove(&mut self, interface: &str, address: IpAddr) -> Result<bool, String>;
}
