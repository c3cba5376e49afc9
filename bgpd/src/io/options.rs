//! Socket options that the standard wrappers lack: TCP-MD5 keys (RFC 2385), GTSM (RFC 5082), the saved SYN, and control
//! messages of raw sockets. The only file of this crate's input and output with `unsafe`.

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::IpNet;
use libc::{c_int, c_void, socklen_t};
use tokio::io::unix::AsyncFd;

/// Longest TCP-MD5 key the kernel takes.
pub(super) const MD5_KEY_MAX: usize = libc::TCP_MD5SIG_MAXKEYLEN;

/// `struct tcp_md5sig` of `linux/tcp.h`.
#[repr(C)]
struct TcpMd5Sig {
    address: libc::sockaddr_storage,
    flags: u8,
    prefix_len: u8,
    key_len: u16,
    ifindex: c_int,
    key: [u8; MD5_KEY_MAX],
}

/// `TCP_MD5SIG_FLAG_PREFIX`: the key counts for a range.
const FLAG_PREFIX: u8 = 1;

fn set<T>(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let len = size_of::<T>() as socklen_t;
    // SAFETY: the descriptor is open while it is borrowed, and the kernel reads `len` octets of a live value of that size.
    #[allow(unsafe_code)]
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads at most `buf.len()` octets of an option; returns how many there were.
fn get(socket: BorrowedFd<'_>, level: c_int, name: c_int, buf: &mut [u8]) -> io::Result<usize> {
    let mut len = buf.len() as socklen_t;
    // SAFETY: the kernel writes at most `len` octets, which `buf` has, and says in `len` how many.
    #[allow(unsafe_code)]
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, buf.as_mut_ptr().cast::<c_void>(), &raw mut len) };
    if result == 0 { Ok((len as usize).min(buf.len())) } else { Err(io::Error::last_os_error()) }
}

fn storage(address: IpAddr) -> libc::sockaddr_storage {
    let socket = socket2::SockAddr::from(std::net::SocketAddr::new(address, 0));
    // SAFETY: all-zero octets are a valid `sockaddr_storage`.
    #[allow(unsafe_code)]
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    // SAFETY: a `SockAddr` is at most as long as a `sockaddr_storage`, and both are plain octets.
    #[allow(unsafe_code)]
    unsafe {
        std::ptr::copy_nonoverlapping(
            socket.as_ptr().cast::<u8>(),
            (&raw mut storage).cast::<u8>(),
            (socket.len() as usize).min(size_of::<libc::sockaddr_storage>()),
        );
    }
    storage
}

/// Demands that every segment exchanged with `range` over `socket` is signed with `key`; `None` takes the demand back. On a
/// listening socket it counts for connections to come. To take back a key that is not there is no error.
pub(super) fn md5_key(socket: BorrowedFd<'_>, range: IpNet, key: Option<&str>) -> io::Result<()> {
    let key = key.unwrap_or_default().as_bytes();
    let mut octets = [0; MD5_KEY_MAX];
    let Some(place) = octets.get_mut(..key.len()) else {
        let text = format!("a TCP-MD5 password has at most {MD5_KEY_MAX} octets, this one has {}", key.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    };
    place.copy_from_slice(key);
    let option = TcpMd5Sig {
        address: storage(range.network()),
        flags: FLAG_PREFIX,
        prefix_len: range.prefix_len(),
        key_len: key.len() as u16,
        ifindex: 0,
        key: octets,
    };
    match set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG_EXT, &option) {
        Err(error) if key.is_empty() && error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        done => done,
    }
}

/// Drops segments that came with a smaller TTL or hop limit (RFC 5082 §3).
pub(super) fn min_ttl(socket: BorrowedFd<'_>, v4: bool, least: u8) -> io::Result<()> {
    let least = c_int::from(least);
    if v4 {
        set(socket, libc::IPPROTO_IP, libc::IP_MINTTL, &least)
    } else {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, &least)
    }
}

/// Connections accepted by this socket keep the packet they began with.
pub(super) fn save_syn(listener: BorrowedFd<'_>) -> io::Result<()> {
    set(listener, libc::IPPROTO_TCP, libc::TCP_SAVE_SYN, &1_i32)
}

/// What the packet that a connection began with tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstPacket {
    /// Its TTL or hop limit when it came.
    pub(super) ttl: u8,
    /// It carried a TCP-MD5 signature (RFC 2385): the kernel has let it through, so the signature was right.
    pub(super) signed: bool,
}

/// The packet that an accepted connection began with; it is forgotten by asking.
pub(super) fn first_packet(socket: BorrowedFd<'_>) -> io::Result<Option<FirstPacket>> {
    // An IPv4 header has at most 60 octets, TCP's as many; an IPv6 header 40 and few extensions.
    let mut packet = [0; 512];
    let len = get(socket, libc::IPPROTO_TCP, libc::TCP_SAVED_SYN, &mut packet)?;
    Ok(packet.get(..len).and_then(read_first_packet))
}

fn read_first_packet(packet: &[u8]) -> Option<FirstPacket> {
    let (ttl, segment) = match packet.first()? >> 4 {
        4 => (*packet.get(8)?, packet.get(usize::from(packet[0] & 0x0f) * 4..)?),
        6 => (*packet.get(7)?, after_extensions(*packet.get(6)?, packet.get(40..)?)),
        _ => return None,
    };
    Some(FirstPacket { ttl, signed: is_signed(segment).unwrap_or(false) })
}

/// The TCP segment behind the extension headers of IPv6 (RFC 8200 §4); nothing if it cannot be found.
fn after_extensions(mut next: u8, mut rest: &[u8]) -> &[u8] {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const DESTINATION: u8 = 60;
    while matches!(next, HOP_BY_HOP | ROUTING | DESTINATION) {
        let Some([after, units]) = rest.first_chunk() else { return &[] };
        let Some(behind) = rest.get((usize::from(*units) + 1) * 8..) else { return &[] };
        (next, rest) = (*after, behind);
    }
    if i32::from(next) == libc::IPPROTO_TCP { rest } else { &[] }
}

/// The segment has the option of RFC 2385; `None` if it is cut short.
fn is_signed(segment: &[u8]) -> Option<bool> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const SIGNATURE: u8 = 19;
    let mut options = segment.get(20..usize::from(segment.get(12)? >> 4) * 4)?;
    loop {
        options = match options {
            [] | [END, ..] => return Some(false),
            [NOTHING, rest @ ..] => rest,
            [SIGNATURE, ..] => return Some(true),
            [_, len, ..] => options.get(usize::from(*len).max(2)..)?,
            [_] => return None,
        };
    }
}

/// The index of an interface by its name.
pub(super) fn index_of(interface: &str) -> Option<u32> {
    let name = CString::new(interface).ok()?;
    // SAFETY: the name is a live C string.
    #[allow(unsafe_code)]
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

/// The name of an interface by its index.
pub(super) fn name_of(index: u32) -> Option<String> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the kernel's name fits IF_NAMESIZE octets with its zero.
    #[allow(unsafe_code)]
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    if found.is_null() {
        return None;
    }
    let octets: Vec<u8> = name.iter().map(|octet| octet.cast_unsigned()).take_while(|octet| *octet != 0).collect();
    String::from_utf8(octets).ok()
}

/// Received packets come with their hop limit.
pub(super) fn receive_hop_limit(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, &1_i32)
}

/// `ICMP6_FILTER`: only these ICMPv6 types are received (RFC 3542 §3.2).
pub(super) fn only_icmp_types(socket: BorrowedFd<'_>, types: &[u8]) -> io::Result<()> {
    const ICMP6_FILTER: c_int = 1;
    let mut blocked = [u32::MAX; 8];
    for kind in types {
        blocked[usize::from(kind >> 5)] &= !(1 << (kind & 31));
    }
    set(socket, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &blocked)
}

/// A socket on which the kernel tells that links have changed. It is bound, for one without a port hears nothing: the kernel takes
/// it for itself, which needs not be told.
pub(super) fn join_link_changes(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all-zero octets are a valid `sockaddr_nl`.
    #[allow(unsafe_code)]
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = libc::RTMGRP_LINK as u32;
    // SAFETY: the descriptor is open while it is borrowed, and the kernel reads a live address of the length said.
    #[allow(unsafe_code)]
    let result = unsafe {
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of::<libc::sockaddr_nl>() as socklen_t)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `socket` in the care of the runtime's poll.
pub(super) fn watch(socket: socket2::Socket) -> io::Result<AsyncFd<socket2::Socket>> {
    // SAFETY: a `Socket` keeps one and the same descriptor open for as long as it lives, and the `AsyncFd` owns it.
    #[allow(unsafe_code)]
    unsafe {
        AsyncFd::register(socket).map_err(io::Error::from)
    }
}

/// A packet of a raw ICMPv6 socket.
pub(super) struct Packet {
    /// Octets of the message.
    pub(super) len: usize,
    pub(super) from: Ipv6Addr,
    /// 0 if the kernel did not say.
    pub(super) hop_limit: u8,
}

/// Receives one packet into `buf` without waiting.
pub(super) fn receive(socket: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<Packet> {
    /// Room for a few control messages; `u64` for their alignment.
    const CONTROL: usize = 16;
    let mut control = [0_u64; CONTROL];
    let mut slice = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: all-zero octets are valid values of both.
    #[allow(unsafe_code)]
    let (mut from, mut header): (libc::sockaddr_in6, libc::msghdr) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    header.msg_name = (&raw mut from).cast();
    header.msg_namelen = size_of::<libc::sockaddr_in6>() as socklen_t;
    header.msg_iov = &raw mut slice;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of::<[u64; CONTROL]>() as _;
    // SAFETY: every pointer in the header is to a live local of the length said there.
    #[allow(unsafe_code)]
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    let mut hop_limit = 0;
    // SAFETY: the kernel has filled the header; the macros stay within `msg_controllen`, and a hop limit is an `int` that
    // is read unaligned.
    #[allow(unsafe_code)]
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::IPPROTO_IPV6 && (*message).cmsg_type == libc::IPV6_HOPLIMIT {
                let value: c_int = std::ptr::read_unaligned(libc::CMSG_DATA(message).cast());
                hop_limit = u8::try_from(value).unwrap_or(0);
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
    }
    Ok(Packet { len: len.min(buf.len()), from: Ipv6Addr::from(from.sin6_addr.s6_addr), hop_limit })
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;

    fn listener(address: &str) -> TcpListener {
        TcpListener::bind(address.parse::<SocketAddr>().expect("address")).expect("bound")
    }

    /// Dials with a key for `to`'s host and says whether the handshake was done.
    fn dials(to: SocketAddr, key: Option<&str>) -> bool {
        let socket =
            socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None).expect("socket");
        md5_key(socket.as_fd(), to.ip().into(), key).expect("key");
        socket.connect_timeout(&to.into(), Duration::from_millis(300)).is_ok()
    }

    #[test]
    fn only_the_right_key_reaches_a_listener_with_one() {
        for (bind, range) in [("127.0.0.1:0", "127.0.0.0/8"), ("[::1]:0", "::1/128")] {
            let open = listener(bind);
            let to = open.local_addr().expect("address");
            md5_key(open.as_fd(), range.parse().expect("range"), Some("secret")).expect("the kernel knows TCP-MD5");
            assert!(dials(to, Some("secret")), "{bind}");
            assert!(!dials(to, Some("wrong")), "{bind}");
            assert!(!dials(to, None), "{bind}");
            md5_key(open.as_fd(), range.parse().expect("range"), None).expect("taken back");
            md5_key(open.as_fd(), range.parse().expect("range"), None).expect("and once more");
            assert!(dials(to, None), "{bind}");
        }
    }

    #[test]
    fn a_password_beyond_the_kernels_bound_is_refused_in_words() {
        let open = listener("127.0.0.1:0");
        let error = md5_key(open.as_fd(), "127.0.0.1/32".parse().expect("range"), Some(&"x".repeat(81))).unwrap_err();
        assert!(error.to_string().contains("at most 80 octets"), "{error}");
    }

    #[test]
    fn the_first_packets_ttl_is_told_once() {
        for bind in ["127.0.0.1:0", "[::1]:0"] {
            let open = listener(bind);
            save_syn(open.as_fd()).expect("saved");
            let _dialled = TcpStream::connect(open.local_addr().expect("address")).expect("connected");
            let (accepted, _) = open.accept().expect("accepted");
            let expected = FirstPacket { ttl: 64, signed: false };
            assert_eq!(first_packet(accepted.as_fd()).expect("asked"), Some(expected), "{bind}");
            assert_eq!(first_packet(accepted.as_fd()).expect("asked"), None, "{bind}");
        }
    }

    #[test]
    fn the_first_packet_tells_whether_it_was_signed() {
        for (bind, range) in [("127.0.0.1:0", "127.0.0.0/8"), ("[::1]:0", "::1/128")] {
            let open = listener(bind);
            save_syn(open.as_fd()).expect("saved");
            let to = open.local_addr().expect("address");
            md5_key(open.as_fd(), range.parse().expect("range"), Some("secret")).expect("the kernel knows TCP-MD5");
            assert!(dials(to, Some("secret")), "{bind}");
            let (accepted, _) = open.accept().expect("accepted");
            let first = first_packet(accepted.as_fd()).expect("asked").expect("kept");
            assert_eq!(first, FirstPacket { ttl: 64, signed: true }, "{bind}");
        }
    }

    #[test]
    fn a_first_packet_that_is_cut_short_is_not_signed() {
        // IPv6, a hop-by-hop header of 8 octets, TCP with a signature after two octets of nothing.
        let mut packet = vec![0x60, 0, 0, 0, 0, 48, 0, 255];
        packet.extend_from_slice(&[0; 32]);
        packet.extend_from_slice(&[6, 0, 0, 0, 0, 0, 0, 0]);
        let mut segment = vec![0; 20];
        segment[12] = 0xa0;
        segment.extend_from_slice(&[1, 1, 19, 18]);
        segment.extend_from_slice(&[0; 16]);
        packet.extend_from_slice(&segment);
        assert_eq!(read_first_packet(&packet), Some(FirstPacket { ttl: 255, signed: true }));
        for end in 40..packet.len() {
            assert_eq!(read_first_packet(&packet[..end]), Some(FirstPacket { ttl: 255, signed: false }), "{end}");
        }
        for end in 0..8 {
            assert_eq!(read_first_packet(&packet[..end]), None, "{end}");
        }
    }

    #[test]
    fn interfaces_have_names_and_numbers() {
        let index = index_of("lo").expect("every host has a loopback");
        assert_eq!(name_of(index).as_deref(), Some("lo"));
        assert_eq!(index_of("no-such-if"), None);
        assert_eq!(name_of(u32::MAX), None);
    }
}
