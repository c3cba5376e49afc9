//! The datagram sockets of BFD: receiving on the well-known ports with TTL and link, sending from a port per session
//! (RFC 5881 §4, RFC 5883 §4).

use std::collections::HashMap;
use std::io;
use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use nix::net::if_::if_indextoname;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::packet::{Control, Discriminator};
use super::table::{Arrival, Path};
use super::{PORT_ECHO, PORT_MULTI, PORT_SINGLE};

/// Octets of the longest datagram that is looked at: control packets with any authentication, and echo packets.
const LONGEST: usize = 256;
/// RFC 5881 §4: source ports are from this range.
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;
/// Ports tried until one is free.
const TRIES: usize = 64;
/// Internetwork control (CS6), as routing protocols have it.
const DSCP_CS6: u32 = 0xc0;

/// What a receiving socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Port {
    Single,
    Multi,
    Echo,
}

impl Port {
    fn number(self) -> u16 {
        match self {
            Self::Single => PORT_SINGLE,
            Self::Multi => PORT_MULTI,
            Self::Echo => PORT_ECHO,
        }
    }
}

/// A socket on a well-known port.
#[derive(Debug)]
pub(super) struct Receiver {
    socket: Socket,
    port: Port,
    space: Vec<u8>,
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Receiver {
    /// Binds the port for a family.
    pub(super) fn open(port: Port, ipv6: bool) -> io::Result<Self> {
        let (domain, any) = if ipv6 {
            (Domain::IPV6, IpAddr::from(Ipv6Addr::UNSPECIFIED))
        } else {
            (Domain::IPV4, IpAddr::from(Ipv4Addr::UNSPECIFIED))
        };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        if ipv6 {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            // Echo packets go back with this.
            socket.set_unicast_hops_v6(u32::from(u8::MAX) - 1)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            socket.set_ttl_v4(u32::from(u8::MAX) - 1)?;
        }
        socket.bind(&SocketAddr::new(any, port.number()).into())?;
        let space = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo, libc::c_int);
        Ok(Self { socket, port, space })
    }

    /// What the socket is for.
    pub(super) fn port(&self) -> Port {
        self.port
    }

    /// The next datagram, if there is one: how it came and its octets.
    pub(super) fn receive<'a>(
        &mut self,
        buffer: &'a mut [u8; LONGEST],
    ) -> io::Result<Option<(Arrival, SocketAddr, &'a [u8])>> {
        let (length, from, ttl, to) = {
            let mut slices = [IoSliceMut::new(&mut buffer[..])];
            let got = recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut slices,
                Some(&mut self.space),
                MsgFlags::MSG_DONTWAIT,
            );
            let got = match got {
                Ok(got) => got,
                Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let (mut ttl, mut to) = (None, None);
            for message in got.cmsgs()? {
                match message {
                    ControlMessageOwned::Ipv4Ttl(value) | ControlMessageOwned::Ipv6HopLimit(value) => {
                        ttl = u8::try_from(value).ok();
                    }
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        let address = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr));
                        to = Some((IpAddr::from(address), u32::try_from(info.ipi_ifindex).unwrap_or(0)));
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        to = Some((IpAddr::from(Ipv6Addr::from(info.ipi6_addr.s6_addr)), info.ipi6_ifindex));
                    }
                    _ => {}
                }
            }
            (got.bytes, got.address.as_ref().and_then(socket_address), ttl, to)
        };
        let (Some(from), Some((local, link))) = (from, to) else { return Ok(None) };
        let arrival = Arrival { peer: from.ip(), local, link, ttl, multihop: self.port == Port::Multi };
        Ok(Some((arrival, from, buffer.get(..length).unwrap_or_default())))
    }

    /// Sends octets back to where they came from, one hop poorer: an echo packet that was turned around.
    pub(super) fn reflect(&self, to: SocketAddr, octets: &[u8]) -> io::Result<()> {
        self.socket.send_to(octets, &to.into()).map(|_| ())
    }
}

/// A buffer for [`Receiver::receive`].
pub(super) fn buffer() -> [u8; LONGEST] {
    [0; LONGEST]
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddrV6::new(v6.ip(), v6.port(), 0, v6.scope_id()).into())
}

/// The sending side of every session.
#[derive(Debug)]
pub(super) struct Senders {
    sockets: HashMap<Discriminator, (Socket, SocketAddr)>,
    chance: fastrand::Rng,
}

impl Senders {
    pub(super) fn new(seed: u64) -> Self {
        Self { sockets: HashMap::new(), chance: fastrand::Rng::with_seed(seed) }
    }

    /// Makes a session's socket: its own source port for its whole life (RFC 5881 §4), TTL 255 (§5).
    pub(super) fn open(&mut self, session: Discriminator, path: &Path) -> io::Result<()> {
        let domain = if path.peer.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        if path.peer.is_ipv4() {
            socket.set_ttl_v4(u32::from(u8::MAX))?;
            socket.set_tos_v4(DSCP_CS6)?;
        } else {
            socket.set_only_v6(true)?;
            socket.set_unicast_hops_v6(u32::from(u8::MAX))?;
            socket.set_tclass_v6(DSCP_CS6)?;
        }
        // Nothing is read from it.
        socket.set_recv_buffer_size(0)?;
        let link = path.link.map_or(0, std::num::NonZeroU32::get);
        if let Some(index) = path.link
            && let Ok(name) = if_indextoname(index.get())
        {
            socket.bind_device(Some(name.as_bytes()))?;
        }
        self.bind(&socket, path.local, link)?;
        let port = if path.link.is_some() { PORT_SINGLE } else { PORT_MULTI };
        self.sockets.insert(session, (socket, scoped(path.peer, port, link)));
        Ok(())
    }

    fn bind(&mut self, socket: &Socket, local: IpAddr, link: u32) -> io::Result<()> {
        let mut tries = 0;
        loop {
            match socket.bind(&scoped(local, self.chance.u16(SOURCE_PORTS), link).into()) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => tries += 1,
                done => return done,
            }
        }
    }

    /// Sends a packet; a session without a socket sends nothing.
    pub(super) fn send(&self, session: Discriminator, packet: &Control) -> io::Result<()> {
        match self.sockets.get(&session) {
            Some((socket, peer)) => socket.send_to(&packet.encode(), &(*peer).into()).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Ends a session's socket.
    pub(super) fn close(&mut self, session: Discriminator) {
        self.sockets.remove(&session);
    }
}

/// An address with the scope that link-local ones need.
fn scoped(address: IpAddr, port: u16, link: u32) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, port, 0, link).into(),
        _ => SocketAddr::new(address, port),
    }
}
