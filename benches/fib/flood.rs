//! The floor: rtnetlink messages encoded beforehand and handed to the kernel as fast as it takes them.
//!
//! Independent of the product's encoder and sender: next-hop ids, 128 KiB per send, one answer each, a thread per family.
#![allow(unsafe_code, reason = "plain system calls, so that nothing stands between the floor and the kernel")]

use std::time::{Duration, Instant};

use ipnet::IpNet;

const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const NEW_NEXT_HOP: u16 = 104;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const REPLACE: u16 = 0x100;
/// Not the product's number: nothing of the floor may be taken for ours.
pub(crate) const PROTOCOL: u8 = 213;
const SEND: usize = 128 * 1024;

struct Socket(i32);

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and used nowhere else.
        unsafe { libc::close(self.0) };
    }
}

impl Socket {
    fn open() -> Self {
        // SAFETY: system calls on values of plain data that live through them.
        unsafe {
            let fd = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            assert!(fd >= 0, "a netlink socket");
            for (level, name, value) in [
                (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, 16 << 20),
                (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 16 << 20),
                (270, 10, 1),
                (270, 12, 1),
            ] {
                let value: i32 = value;
                libc::setsockopt(fd, level, name, std::ptr::from_ref(&value).cast(), 4);
            }
            Self(fd)
        }
    }

    fn send(&self, octets: &[u8]) {
        // SAFETY: pointer and length describe the slice.
        let sent = unsafe { libc::send(self.0, octets.as_ptr().cast(), octets.len(), 0) };
        assert_eq!(sent, octets.len() as isize, "{}", std::io::Error::last_os_error());
    }

    fn receive(&self, buf: &mut [u8]) -> usize {
        // SAFETY: pointer and length describe the slice.
        let got = unsafe { libc::recv(self.0, buf.as_mut_ptr().cast(), buf.len(), 0) };
        usize::try_from(got).unwrap_or_else(|_| panic!("netlink: {}", std::io::Error::last_os_error()))
    }

    /// Reads until the answer to `seq`; any refusal is fatal, for a floor with refusals is none.
    fn answered(&self, seq: u32, buf: &mut [u8]) {
        loop {
            let got = self.receive(buf);
            for message in messages(&buf[..got]) {
                let errno = i32::from_ne_bytes(message[16..20].try_into().expect("four octets"));
                assert_eq!((u16_at(message, 4), errno), (2, 0), "the kernel refuses the floor's message");
                if u32_at(message, 8) == seq {
                    return;
                }
            }
        }
    }
}

fn u16_at(octets: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(octets[at..at + 2].try_into().expect("two octets"))
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(octets[at..at + 4].try_into().expect("four octets"))
}

fn messages(mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = u32_at(octets.get(..16)?, 0) as usize;
        let (message, rest) = octets.split_at_checked(length)?;
        octets = rest.get(length.next_multiple_of(4) - length..).unwrap_or_default();
        Some(message)
    })
}

fn message(buf: &mut Vec<u8>, kind: u16, flags: u16, seq: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = buf.len();
    buf.extend_from_slice(&[0; 4]);
    buf.extend_from_slice(&kind.to_ne_bytes());
    buf.extend_from_slice(&flags.to_ne_bytes());
    buf.extend_from_slice(&seq.to_ne_bytes());
    buf.extend_from_slice(&[0; 4]);
    body(buf);
    let length = (buf.len() - start) as u32;
    buf[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

fn attribute(buf: &mut Vec<u8>, kind: u16, value: &[u8]) {
    buf.extend_from_slice(&(value.len() as u16 + 4).to_ne_bytes());
    buf.extend_from_slice(&kind.to_ne_bytes());
    buf.extend_from_slice(value);
    buf.resize(buf.len().next_multiple_of(4), 0);
}

/// Creates or replaces the next-hop object `id` by the gateway on `link`; how long that took.
#[allow(clippy::disallowed_methods, reason = "it measures")]
pub(crate) fn object(id: u32, gateway: std::net::IpAddr, link: u32) -> Duration {
    let mut buf = Vec::new();
    message(&mut buf, NEW_NEXT_HOP, REQUEST | ACK | CREATE | REPLACE, 1, |buf| {
        let family = if gateway.is_ipv4() { 2 } else { 10 };
        buf.extend_from_slice(&[family, 0, PROTOCOL, 0, 0, 0, 0, 0]);
        attribute(buf, 1, &id.to_ne_bytes());
        attribute(buf, 5, &link.to_ne_bytes());
        match gateway {
            std::net::IpAddr::V4(addr) => attribute(buf, 6, &addr.octets()),
            std::net::IpAddr::V6(addr) => attribute(buf, 6, &addr.octets()),
        }
    });
    let socket = Socket::open();
    let begin = Instant::now();
    socket.send(&buf);
    socket.answered(1, &mut [0; 65_536]);
    begin.elapsed()
}

/// The messages of one family, cut into sends, each with the number of its last message.
struct Sends(Vec<(Vec<u8>, u32)>);

fn encode(prefixes: &[IpNet], object: u32) -> Sends {
    let mut sends = Vec::new();
    let mut buf = Vec::with_capacity(SEND);
    for (seq, prefix) in (1u32..).zip(prefixes) {
        let last = buf.len();
        message(&mut buf, NEW_ROUTE, REQUEST | CREATE | REPLACE, seq, |buf| {
            let family = if prefix.addr().is_ipv4() { 2 } else { 10 };
            buf.extend_from_slice(&[family, prefix.prefix_len(), 0, 0, 254, PROTOCOL, 0, 1, 0, 0, 0, 0]);
            match prefix {
                IpNet::V4(net) => attribute(buf, 1, &net.network().octets()),
                IpNet::V6(net) => attribute(buf, 1, &net.network().octets()),
            }
            attribute(buf, 6, &20u32.to_ne_bytes());
            attribute(buf, 30, &object.to_ne_bytes());
        });
        if buf.len() + 128 > SEND || seq as usize == prefixes.len() {
            let flags = u16_at(&buf, last + 6) | ACK;
            buf[last + 6..last + 8].copy_from_slice(&flags.to_ne_bytes());
            sends.push((std::mem::replace(&mut buf, Vec::with_capacity(SEND)), seq));
        }
    }
    Sends(sends)
}

impl Sends {
    fn flood(&self) {
        let socket = Socket::open();
        let mut buf = vec![0; 256 * 1024];
        for (octets, last) in &self.0 {
            socket.send(octets);
            socket.answered(*last, &mut buf);
        }
    }
}

/// Writes both families side by side, each in the order given, on the objects 1 and 2; without the time of encoding.
#[allow(clippy::disallowed_methods, reason = "it measures")]
pub(crate) fn flood(v4: &[IpNet], v6: &[IpNet]) -> Duration {
    let (v4, v6) = (encode(v4, 1), encode(v6, 2));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| v6.flood());
        v4.flood();
    });
    begin.elapsed()
}

/// The order that the kernel's IPv4 trie likes: a random eighth first, the rest sorted. IPv6 simply sorted.
pub(crate) fn ordered(prefixes: &[IpNet]) -> Vec<IpNet> {
    let mut ordered = prefixes.to_vec();
    let seeds = if ordered.first().is_some_and(|net| net.addr().is_ipv4()) { ordered.len() / 8 } else { 0 };
    ordered[seeds..].sort_unstable();
    ordered
}

/// Reads all routes of one family and `protocol`; how many.
pub(crate) fn dump(v6: bool, protocol: u8) -> usize {
    let mut request = Vec::new();
    message(&mut request, GET_ROUTE, REQUEST | DUMP, 1, |buf| {
        buf.extend_from_slice(&[if v6 { 10 } else { 2 }, 0, 0, 0, 254, protocol, 0, 0, 0, 0, 0, 0]);
    });
    let socket = Socket::open();
    socket.send(&request);
    let mut buf = vec![0; 1 << 20];
    let mut found = 0;
    loop {
        let got = socket.receive(&mut buf);
        for message in messages(&buf[..got]) {
            match u16_at(message, 4) {
                3 => return found,
                // An empty table.
                2 => return 0,
                _ => found += usize::from(message[16 + 5] == protocol),
            }
        }
    }
}
