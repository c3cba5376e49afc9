//! One raw socket per link and version (RFC 2328 §A.1, RFC 5340 §A.1): bound to its link, in both groups, with TTL and destination of
//! what comes in, source and TTL of what goes out.

use std::io;
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use bytes::Bytes;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::id::Version;

/// The number of OSPF among the protocols of IP.
const OSPF: i32 = 89;
/// Octets of the longest packet of IP.
pub(super) const LONGEST: usize = 65_535;
/// Internetwork control (CS6): RFC 2328 §A.1 asks for it in the words of its time.
const DSCP_CS6: u32 = 0xc0;
/// Octets that may wait to be read: a neighbor floods a whole database without waiting for us.
const RECEIVE_BUFFER: usize = 8 << 20;
const ALL_ROUTERS_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 5);
const DESIGNATED_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 6);
const ALL_ROUTERS_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 5);
const DESIGNATED_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 6);

/// A packet as it arrived.
pub(super) struct Arrival {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) ttl: Option<u8>,
    /// From the OSPF header on.
    pub(super) bytes: Bytes,
}

/// The socket of a link.
#[derive(Debug)]
pub(super) struct Port {
    socket: Socket,
    version: Version,
    index: u32,
    space: Vec<u8>,
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn raw(version: Version) -> io::Result<Socket> {
    let domain = match version {
        Version::V2 => Domain::IPV4,
        Version::V3 => Domain::IPV6,
    };
    Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(OSPF)))
}

/// Whether packets can be sent from `address`: not before the kernel knows that nobody else on the link has it (RFC 4862 §5.4).
pub(super) fn usable(address: Ipv6Addr, index: u32) -> bool {
    UdpSocket::bind(SocketAddrV6::new(address, 0, 0, index)).is_ok()
}

/// Whether raw sockets may be had at all.
///
/// # Errors
/// The kernel's, above all that the privilege is missing.
pub(super) fn probe(version: Version) -> io::Result<()> {
    raw(version).map(drop)
}

impl Port {
    /// Opens the socket of the link `index`, which is called `name`.
    pub(super) fn open(version: Version, name: &str, index: u32) -> io::Result<Self> {
        let socket = raw(version)?;
        socket.bind_device(Some(name.as_bytes()))?;
        match version {
            Version::V2 => {
                setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
                socket.set_multicast_loop_v4(false)?;
                socket.set_tos_v4(DSCP_CS6)?;
                for group in [ALL_ROUTERS_V4, DESIGNATED_V4] {
                    socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
                }
            }
            Version::V3 => {
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                socket.set_multicast_loop_v6(false)?;
                socket.set_tclass_v6(DSCP_CS6)?;
                for group in [ALL_ROUTERS_V6, DESIGNATED_V6] {
                    socket.join_multicast_v6(&group, index)?;
                }
            }
        }
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            // Without the privilege: as much as the host allows.
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        let space = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo, libc::c_int);
        Ok(Self { socket, version, index, space })
    }

    /// The next packet, if there is one.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<Arrival>> {
        let (length, src, ttl, dst) = {
            let mut slices = [IoSliceMut::new(buffer)];
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
            let (mut ttl, mut dst) = (None, None);
            for message in got.cmsgs()? {
                match message {
                    ControlMessageOwned::Ipv4Ttl(value) | ControlMessageOwned::Ipv6HopLimit(value) => {
                        ttl = u8::try_from(value).ok();
                    }
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        dst = Some(IpAddr::from(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))));
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        dst = Some(IpAddr::from(Ipv6Addr::from(info.ipi6_addr.s6_addr)));
                    }
                    _ => {}
                }
            }
            let src = got.address.as_ref().and_then(|address| {
                let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
                v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
            });
            (got.bytes, src, ttl, dst)
        };
        let (Some(src), Some(dst)) = (src, dst) else { return Ok(None) };
        let octets = buffer.get(..length).unwrap_or_default();
        let octets = match self.version {
            Version::V2 => without_ip_header(octets),
            Version::V3 => octets,
        };
        Ok(Some(Arrival { src, dst, ttl, bytes: Bytes::copy_from_slice(octets) }))
    }

    /// Sends a packet out of the link.
    pub(super) fn send(&self, src: IpAddr, dst: IpAddr, ttl: u8, bytes: &[u8]) -> io::Result<()> {
        let slices = [IoSlice::new(bytes)];
        let ttl = i32::from(ttl);
        let fd = self.socket.as_raw_fd();
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: i32::try_from(self.index).unwrap_or(0),
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from(src).to_be() },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let to = SockaddrStorage::from(SocketAddr::new(dst.into(), 0));
                let control = [ControlMessage::Ipv4PacketInfo(&info), ControlMessage::Ipv4Ttl(&ttl)];
                sendmsg(fd, &slices, &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let info =
                    libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: src.octets() }, ipi6_ifindex: self.index };
                let link_local = dst.is_unicast_link_local() || dst.is_multicast();
                let scope = if link_local { self.index } else { 0 };
                let to = SockaddrStorage::from(SocketAddr::V6(SocketAddrV6::new(dst, 0, 0, scope)));
                let control = [ControlMessage::Ipv6PacketInfo(&info), ControlMessage::Ipv6HopLimit(&ttl)];
                sendmsg(fd, &slices, &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
            }
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "source and destination of two families")),
        }
        Ok(())
    }
}

/// A raw socket of IPv4 gives the IP header, too; empty if that is not whole.
fn without_ip_header(octets: &[u8]) -> &[u8] {
    let length = octets.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    if length < 20 { &[] } else { octets.get(length..).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::without_ip_header;

    #[test]
    fn the_ip_header_is_cut_by_the_length_it_says_and_nothing_is_read_beyond_the_end() {
        let mut packet = vec![0x46; 24];
        packet.extend([2, 1, 0, 44]);
        assert_eq!(without_ip_header(&packet), [2, 1, 0, 44]);
        for short in [&[][..], &[0x45], &[0x4f; 30], &[0x41; 30]] {
            assert_eq!(without_ip_header(short), [0_u8; 0]);
        }
    }
}
