//! Finding the neighbor on an interface: router advertisements (RFC 4861 §4.2) tell each end the other's link-local address.
//!
//! We advertise ourselves with a router lifetime, so that hosts do not take us as default router, of zero (§6.2.3), and take
//! any router that answers as the neighbor. What is done with the address found is the speaker's business.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;
use tracing::{debug, info};

use super::carrier::{Carrier, now};
use super::options;
use crate::speaker::message::Input;

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// RFC 4861 §6.1: a packet with less was forwarded by somebody.
const HOP_LIMIT: u8 = 255;

/// Between two advertisements of ours (§6.2.1: MaxRtrAdvInterval, at least 4 s).
const ADVERTISE_EVERY: Duration = Duration::from_secs(10);
/// While nobody was found, and for the first few.
const ADVERTISE_AT_FIRST: Duration = Duration::from_secs(3);
/// Advertisements that follow fast after the link came up (§6.2.4: MAX_INITIAL_RTR_ADVERTISEMENTS).
const INITIAL: u32 = 3;
/// §6.2.6: MIN_DELAY_BETWEEN_RAS.
const ANSWER_EVERY: Duration = Duration::from_secs(3);
/// Wait before an interface that is not there, or is down, is looked at again without a word from the kernel.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Our solicitation: type, code, checksum (by the kernel), reserved (§4.1).
const SOLICITATION: [u8; 8] = [ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];

/// Our advertisement (§4.2): hop limit, flags, lifetime, reachable and retransmission times all unspecified.
const ADVERTISEMENT: [u8; 16] = [ROUTER_ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Looks for the neighbor on `interface` until aborted.
pub(super) async fn run(carrier: Rc<Carrier>, interface: Arc<str>) {
    let mut told = String::new();
    loop {
        match session(&carrier, &interface).await {
            Ok(()) => told.clear(),
            // Once per reason, and never for an interface that is merely down.
            Err(error) => {
                let text = error.to_string();
                if text != told {
                    info!(%interface, %error, "cannot look for a BGP neighbor now; trying again");
                    told = text;
                }
            }
        }
        carrier.found(Input::Vanished { interface: Arc::clone(&interface) });
        sleep(LOOK_EVERY).await;
    }
}

/// The link is up and its interface is still the same one.
fn is_up(interface: &str, index: u32) -> bool {
    // `operstate` is "unknown" on links without a notion of it: loopback, tunnels.
    let state = std::fs::read_to_string(format!("/sys/class/net/{interface}/operstate")).unwrap_or_default();
    options::index_of(interface) == Some(index) && matches!(state.trim(), "up" | "unknown")
}

/// One life of a link: from up to down.
async fn session(carrier: &Rc<Carrier>, interface: &Arc<str>) -> io::Result<()> {
    let index = options::index_of(interface)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {interface}")))?;
    let changes = options::watch(link_changes()?)?;
    while !is_up(interface, index) {
        if options::index_of(interface) != Some(index) {
            return Ok(());
        }
        changed(&changes).await?;
    }
    let socket = options::watch(open(interface, index)?)?;
    let mut sent = 0;
    let mut answered: Option<Instant> = None;
    let mut found: Option<(Ipv6Addr, Instant)> = None;
    let mut next = now();
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {
                send(socket.get_ref(), &ADVERTISEMENT, ALL_NODES, index);
                if found.is_none() {
                    send(socket.get_ref(), &SOLICITATION, ALL_ROUTERS, index);
                }
                sent += 1;
                let soon = sent < INITIAL || found.is_none();
                next = now() + if soon { ADVERTISE_AT_FIRST } else { ADVERTISE_EVERY };
            }
            changed = changed(&changes) => {
                changed?;
                if !is_up(interface, index) {
                    return Ok(());
                }
            }
            heard = receive(&socket) => match heard? {
                // Said again now and then: the speaker may not have been able to use it the first time.
                Heard::Advertisement(address) if found.is_none_or(|(_, told)| now() >= told + ANSWER_EVERY) => {
                    if found.is_none_or(|(known, _)| known != address) {
                        debug!(%interface, %address, "router found");
                    }
                    found = Some((address, now()));
                    let interface = Arc::clone(interface);
                    carrier.found(Input::Discovered { interface, address, scope: index });
                }
                Heard::Solicitation if answered.is_none_or(|at| now() >= at + ANSWER_EVERY) => {
                    answered = Some(now());
                    send(socket.get_ref(), &ADVERTISEMENT, ALL_NODES, index);
                }
                Heard::Advertisement(_) | Heard::Solicitation => {}
            },
        }
    }
}

enum Heard {
    Advertisement(Ipv6Addr),
    Solicitation,
}

/// What a message says, if RFC 4861 §6.1 lets it be heard. The kernel has verified the checksum.
fn judge(message: &[u8], from: Ipv6Addr, hop_limit: u8) -> Option<Heard> {
    let (kind, code) = (*message.first()?, *message.get(1)?);
    match (kind, code) {
        _ if hop_limit != HOP_LIMIT => None,
        (ROUTER_ADVERTISEMENT, 0) if message.len() >= ADVERTISEMENT.len() && from.is_unicast_link_local() => {
            Some(Heard::Advertisement(from))
        }
        (ROUTER_SOLICITATION, 0) if message.len() >= SOLICITATION.len() => Some(Heard::Solicitation),
        _ => None,
    }
}

async fn receive(socket: &AsyncFd<Socket>) -> io::Result<Heard> {
    // Options of an advertisement are not looked at: what is beyond is cut off.
    let mut buf = [0; 256];
    loop {
        let mut ready = socket.readable().await?;
        match options::receive(socket.as_fd(), &mut buf) {
            Ok(packet) => {
                if let Some(heard) = buf.get(..packet.len).and_then(|m| judge(m, packet.from, packet.hop_limit)) {
                    return Ok(heard);
                }
                // A flood of others' packets does not hold up sessions.
                tokio::task::yield_now().await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
            Err(error) => return Err(error),
        }
    }
}

/// A packet that cannot be sent is like one that was lost: the next one follows.
fn send(socket: &Socket, message: &[u8], to: Ipv6Addr, index: u32) {
    if let Err(error) = socket.send_to(message, &SockAddr::from(SocketAddrV6::new(to, 0, 0, index))) {
        debug!(%error, "cannot send a router advertisement or solicitation");
    }
}

fn open(interface: &str, index: u32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).map_err(|error| {
        io::Error::new(error.kind(), format!("a raw ICMPv6 socket (needs root or CAP_NET_RAW): {error}"))
    })?;
    options::only_icmp_types(socket.as_fd(), &[ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT])?;
    options::receive_hop_limit(socket.as_fd())?;
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_multicast_if_v6(index)?;
    socket.set_multicast_hops_v6(HOP_LIMIT.into())?;
    socket.set_multicast_loop_v6(false)?;
    socket.join_multicast_v6(&ALL_ROUTERS, index)?;
    Ok(socket)
}

/// The kernel's word that links have changed; which and how is asked of the link itself.
fn link_changes() -> io::Result<Socket> {
    let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE)))?;
    socket.set_nonblocking(true)?;
    options::join_link_changes(socket.as_fd())?;
    Ok(socket)
}

/// Returns when some link has changed. An overrun says so too.
async fn changed(socket: &AsyncFd<Socket>) -> io::Result<()> {
    let mut ready = socket.readable().await?;
    let mut thrown = [0_u8; 4096];
    loop {
        match options::receive(socket.as_fd(), &mut thrown) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            Err(error) => return Err(error),
        }
    }
    ready.clear_ready();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    #[test]
    fn only_what_came_over_no_router_is_heard() {
        assert!(matches!(judge(&ADVERTISEMENT, ROUTER, 255), Some(Heard::Advertisement(ROUTER))));
        assert!(matches!(judge(&SOLICITATION, Ipv6Addr::UNSPECIFIED, 255), Some(Heard::Solicitation)));
        assert!(judge(&ADVERTISEMENT, ROUTER, 254).is_none(), "RFC 4861 §6.1.2: forwarded");
        assert!(judge(&SOLICITATION, ROUTER, 254).is_none(), "RFC 4861 §6.1.1: forwarded");
    }

    #[test]
    fn advertisements_that_are_none_are_not_heard() {
        let global = "2001:db8::1".parse().expect("address");
        assert!(judge(&ADVERTISEMENT, global, 255).is_none(), "RFC 4861 §6.1.2: not from a link-local address");
        assert!(judge(&ADVERTISEMENT[..15], ROUTER, 255).is_none(), "cut short");
        let mut coded = ADVERTISEMENT;
        coded[1] = 1;
        assert!(judge(&coded, ROUTER, 255).is_none(), "code is not 0");
        assert!(judge(&[], ROUTER, 255).is_none());
        assert!(judge(&[136; 24], ROUTER, 255).is_none(), "a neighbor advertisement");
    }
}
