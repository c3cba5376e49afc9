//! Sockets for BGP: listening, dialling, and the options both ends get.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::Error;
use crate::config::{NeighborConfig, RemoteAs, SpeakerConfig};

/// Octets the kernel may hold that are not sent yet: what is beyond stays in the speaker, where a newer route replaces an older
/// one instead of queueing behind it. Two loopback segments or twenty Ethernet ones: enough to keep a line busy.
pub(super) const NOTSENT_LOWAT: u32 = 32 * 1024;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 512;

/// Internetwork Control (RFC 4271 Appendix E), today CS6 (RFC 4594 §3.2).
const TOS: u32 = 0xC0;

/// A bound, listening socket.
pub(super) fn listen(address: SocketAddr) -> Result<std::net::TcpListener, Error> {
    try_listen(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => Error::InUse(address),
        io::ErrorKind::PermissionDenied => Error::Denied(address),
        io::ErrorKind::AddrNotAvailable => Error::NotLocal(address),
        _ => Error::Listen { address, source },
    })
}

fn try_listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket to dial with, bound to `local` if one is given.
pub(super) fn dial(remote: SocketAddr, local: Option<IpAddr>, ttl: Option<u8>) -> io::Result<tokio::net::TcpSocket> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    options(&SockRef::from(&socket), remote, ttl)?;
    if let Some(local) = local {
        socket.bind(&SocketAddr::new(local, 0).into())?;
    }
    Ok(tokio::net::TcpSocket::from_std_stream(socket.into()))
}

/// What every connection gets, ours and theirs.
pub(super) fn options(socket: &SockRef<'_>, remote: SocketAddr, ttl: Option<u8>) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    if remote.is_ipv4() {
        socket.set_tos_v4(TOS)?;
        ttl.map_or(Ok(()), |ttl| socket.set_ttl_v4(ttl.into()))
    } else {
        socket.set_tclass_v6(TOS)?;
        ttl.map_or(Ok(()), |ttl| socket.set_unicast_hops_v6(ttl.into()))
    }
}

/// The time to live towards a neighbor: 1 keeps an external session on the link, `None` is the host's own.
pub(super) fn ttl(config: &SpeakerConfig, neighbor: &NeighborConfig) -> Option<u8> {
    let external = match neighbor.remote_as {
        RemoteAs::Number(asn) => asn != neighbor.local_asn.unwrap_or(config.asn),
        RemoteAs::External => true,
        RemoteAs::Internal => false,
    };
    external.then(|| neighbor.multihop.unwrap_or(1))
}

/// The unspecified address of `address`' family.
pub(super) fn unspecified(address: SocketAddr) -> SocketAddr {
    let ip = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 0)
}
