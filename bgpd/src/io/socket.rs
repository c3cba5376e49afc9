//! Sockets for BGP: listening, dialling, and the options both ends get.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{Error, options};
use crate::speaker::message::Protection;

/// Octets the kernel may hold that are not sent yet: what is beyond stays in the speaker, where a newer route replaces an older
/// one instead of queueing behind it. Two loopback segments or twenty Ethernet ones: enough to keep a line busy.
pub(super) const NOTSENT_LOWAT: u32 = 32 * 1024;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 512;

/// Internetwork Control (RFC 4271 Appendix E), today CS6 (RFC 4594 §3.2).
const TOS: u32 = 0xC0;

/// What cannot be listened on, and why.
fn cannot_listen(address: SocketAddr) -> impl Fn(io::Error) -> Error {
    move |source| match source.kind() {
        io::ErrorKind::AddrInUse => Error::InUse(address),
        io::ErrorKind::PermissionDenied => Error::Denied(address),
        io::ErrorKind::AddrNotAvailable => Error::NotLocal(address),
        _ => Error::Listen { address, source },
    }
}

/// A bound socket on which nobody can connect yet: what protects it is to be set first.
pub(super) fn bind(address: SocketAddr) -> Result<Socket, Error> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        // A restart must not wait for the old connections' TIME_WAIT.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Only the first packet tells whether a connection was protected from the beginning.
        options::save_syn(socket.as_fd())?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    bound().map_err(cannot_listen(address))
}

/// Lets others connect to a bound socket.
pub(super) fn listen(socket: Socket, address: SocketAddr) -> Result<std::net::TcpListener, Error> {
    // Somebody else may have begun to listen since it was bound.
    socket.listen(BACKLOG).map_err(cannot_listen(address))?;
    Ok(socket.into())
}

/// Reads after "cannot connect: ".
fn because(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// `address` with the scope it needs if it is link-local (RFC 4007 §6).
pub(super) fn scoped(address: SocketAddr, scope: Option<u32>) -> SocketAddr {
    match (address, scope) {
        (SocketAddr::V6(mut v6), Some(scope)) if v6.ip().is_unicast_link_local() => {
            v6.set_scope_id(scope);
            v6.into()
        }
        (address, _) => address,
    }
}

/// A socket to dial with, bound to `local` if one is given. `remote` has its scope.
pub(super) fn dial(
    remote: SocketAddr,
    local: Option<IpAddr>,
    protection: &Protection,
) -> io::Result<tokio::net::TcpSocket> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    protect(&SockRef::from(&socket), remote, protection)?;
    if let Some(local) = local {
        let scope = if let SocketAddr::V6(v6) = remote { Some(v6.scope_id()) } else { None };
        socket.bind(&scoped(SocketAddr::new(local, 0), scope).into())?;
    }
    Ok(tokio::net::TcpSocket::from_std_stream(socket.into()))
}

/// A connection that a neighbor has made to us; an error if it must not be used.
pub(super) fn accepted(stream: &tokio::net::TcpStream, remote: SocketAddr, protection: &Protection) -> io::Result<()> {
    let least = least_ttl(protection);
    if least.is_none() && protection.password.is_none() {
        return protect(&SockRef::from(stream), remote, protection);
    }
    // Its first packet came before we could ask for a TTL, and perhaps before a key was set: only the packet itself can tell.
    let first = options::first_packet(stream.as_fd())?;
    let denied = |text: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    if let Some(least) = least {
        let came = first.map(|first| first.ttl);
        if came.is_none_or(|ttl| ttl < least) {
            let came = came.map_or("an unknown TTL".to_owned(), |ttl| format!("TTL {ttl}"));
            return denied(format!("its first packet came with {came}, less than {least} (ttl_security, RFC 5082)"));
        }
    }
    // The kernel lets a signed packet through only if it has the key. Of a flood (SYN cookies) it keeps no packet: then the last
    // packet of the handshake was checked.
    if protection.password.is_some() && first.is_some_and(|first| !first.signed) {
        return denied("its first packet came unsigned, before the TCP-MD5 password was set".to_owned());
    }
    protect(&SockRef::from(stream), remote, protection)
}

/// The least TTL that GTSM admits.
fn least_ttl(protection: &Protection) -> Option<u8> {
    // RFC 5082 §3: 255 less the routers passed; directly connected is one hop.
    protection.hops_max.map(|hops| 255 - hops.saturating_sub(1))
}

fn protect(socket: &SockRef<'_>, remote: SocketAddr, protection: &Protection) -> io::Result<()> {
    if let Some(password) = &protection.password {
        // Also on accepted sockets: one that was waiting to be accepted while the password changed holds the old one.
        options::md5_key(socket.as_fd(), remote.ip().into(), Some(password.expose()))
            .map_err(|error| because("cannot set the TCP-MD5 password", &error))?;
    }
    if let Some(least) = least_ttl(protection) {
        options::min_ttl(socket.as_fd(), remote.is_ipv4(), least)
            .map_err(|error| because("cannot set the TTL demanded (ttl_security)", &error))?;
    }
    common(socket, remote, protection.ttl)
}

/// What every connection gets, ours and theirs.
pub(super) fn common(socket: &SockRef<'_>, remote: SocketAddr, ttl: Option<u8>) -> io::Result<()> {
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

/// The unspecified address of `address`' family.
pub(super) fn unspecified(address: SocketAddr) -> SocketAddr {
    let ip = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 0)
}
