//! Which addresses and which link lead to a peer: asked of the kernel, because clients know only a part of it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::num::NonZeroU32;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{if_indextoname, if_nametoindex};
use nix::sys::socket::{AddressFamily, SockaddrLike as _, SockaddrStorage};

use super::table::Path;

/// What a client knows of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// The other side.
    pub peer: IpAddr,
    /// Our side, if it is known.
    pub local: Option<IpAddr>,
    /// The link, if it is known. A link-local peer needs it.
    pub interface: Option<String>,
    /// There may be several hops (RFC 5883).
    pub multihop: bool,
}

/// Finds the path, or says what is missing.
pub(super) fn resolve(wanted: &Wanted) -> Result<Path, String> {
    let index = match &wanted.interface {
        Some(name) => Some(if_nametoindex(name.as_str()).map_err(|_| format!("there is no interface {name}"))?),
        None => None,
    };
    let local = match (wanted.local, index) {
        (Some(local), _) => local,
        (None, Some(index)) => match link_address(wanted, index) {
            Some(local) => local,
            None => towards(wanted.peer, index)?,
        },
        (None, None) => towards(wanted.peer, 0)?,
    };
    if wanted.multihop {
        return Ok(Path { peer: wanted.peer, local, link: None });
    }
    let index = match index {
        Some(index) => index,
        None => link_of(local).ok_or_else(|| format!("no interface has the address {local}"))?,
    };
    let link = NonZeroU32::new(index).ok_or("the interface has no index")?;
    Ok(Path { peer: wanted.peer, local, link: Some(link) })
}

/// The address that the kernel would send from; a datagram socket that is connected sends nothing.
fn towards(peer: IpAddr, scope: u32) -> Result<IpAddr, String> {
    let (any, peer): (SocketAddr, SocketAddr) = match peer {
        IpAddr::V4(_) => (([0; 4], 0).into(), (peer, super::PORT_SINGLE).into()),
        IpAddr::V6(peer) => {
            (([0_u16; 8], 0).into(), std::net::SocketAddrV6::new(peer, super::PORT_SINGLE, 0, scope).into())
        }
    };
    let local = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(peer)?;
        socket.local_addr()
    });
    local.map(|local| local.ip()).map_err(|error| format!("no way to {}: {error}", peer.ip()))
}

fn addresses() -> impl Iterator<Item = (String, IpAddr)> {
    getifaddrs().into_iter().flatten().filter_map(|entry| {
        let address = ip(entry.address.as_ref()?)?;
        Some((entry.interface_name, address))
    })
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    match address.family()? {
        AddressFamily::Inet => address.as_sockaddr_in().map(|address| address.ip().into()),
        AddressFamily::Inet6 => address.as_sockaddr_in6().map(|address| address.ip().into()),
        _ => None,
    }
}

fn link_of(local: IpAddr) -> Option<u32> {
    let (name, _) = addresses().find(|(_, address)| *address == local)?;
    if_nametoindex(name.as_str()).ok()
}

/// Whether `peer` is in a prefix of the interface that has the address `local`: one hop away.
#[must_use]
pub fn on_link(local: IpAddr, peer: IpAddr) -> bool {
    getifaddrs().into_iter().flatten().any(|entry| {
        let (address, mask) = (entry.address.as_ref().and_then(ip), entry.netmask.as_ref().and_then(ip));
        let Some(mask) = mask.filter(|_| address == Some(local)) else { return false };
        ipnet::IpNet::with_netmask(local, mask).is_ok_and(|prefix| prefix.contains(&peer))
    })
}

/// An address of the link that speaks to the peer: of its family, link-local to link-local.
fn link_address(wanted: &Wanted, index: u32) -> Option<IpAddr> {
    let name = wanted.interface.as_deref()?;
    let link_local = |address: &IpAddr| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    if let Ok(local) = towards(wanted.peer, index)
        && addresses().any(|(link, address)| link == name && address == local)
    {
        return Some(local);
    }
    addresses()
        .find(|(link, address)| {
            link == name
                && address.is_ipv4() == wanted.peer.is_ipv4()
                && link_local(address) == link_local(&wanted.peer)
        })
        .map(|(_, address)| address)
}

/// Whether echo packets come back from here. Most systems address them to themselves, so that it is our kernel that has to
/// forward them (RFC 5881 §4); to promise what it does not do would take the other side's session down.
pub(super) fn forwards(path: &Path) -> bool {
    let family = if path.peer.is_ipv4() { "ipv4" } else { "ipv6" };
    let name = path.link.and_then(|link| if_indextoname(link.get()).ok());
    let Some(name) = name.as_ref().and_then(|name| name.to_str().ok()) else { return false };
    let switch = std::fs::read_to_string(format!("/proc/sys/net/{family}/conf/{name}/forwarding"));
    switch.is_ok_and(|switch| switch.trim() == "1")
}
