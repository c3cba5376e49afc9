//! Neighbors and ports for data planes that build frames themselves: who has which MAC address, and what our links are like.
//!
//! Such a data plane sends past the kernel, which therefore never notices that a neighbor it was not asked for has changed. So
//! the kernel is asked, by `NTF_USE`, to find or confirm those in use (`include/uapi/linux/neighbour.h`).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};

use rib::IfIndex;

use super::decode::{self, Message};
use super::encode::{self, CREATE, DUMP, REQUEST, RTM_DELLINK, RTM_NEWLINK};
use super::socket::{Read, Socket};
use crate::host::Link;

pub(crate) const RTM_NEWNEIGH: u16 = 28;
pub(crate) const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;

const GROUP_LINK: u32 = 1;
const GROUP_NEIGHBOR: u32 = 3;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NTF_USE: u8 = 1;
/// NUD_REACHABLE, STALE, DELAY, PROBE, NOARP, PERMANENT: the address is good to send to.
const USABLE: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
const NUD_STALE: u16 = 0x04;
const ARPHRD_ETHER: u16 = 1;

/// What happened to links and neighbors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A link is there or changed; its MAC address if it is Ethernet.
    Link(Link, Option<[u8; 6]>),
    /// A link is gone.
    LinkGone(IfIndex),
    /// A neighbor's MAC address, `None` if there is none to send to.
    Neighbor {
        /// On which link.
        interface: IfIndex,
        /// Who.
        addr: IpAddr,
        /// Where.
        mac: Option<[u8; 6]>,
        /// Not confirmed for a while.
        stale: bool,
    },
    /// Events were lost: dump again.
    Lost,
}

/// Reads neighbors and links of the network namespace it was opened in.
pub(crate) struct Neighbors {
    events: Socket,
    asks: Socket,
}

impl Neighbors {
    /// Opens the sockets; events are queued from here on.
    ///
    /// # Errors
    /// When there is no rtnetlink.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { events: Socket::with_groups(&[GROUP_LINK, GROUP_NEIGHBOR], &[])?, asks: Socket::open()? })
    }

    /// Readable when there are events.
    pub(crate) fn fd(&self) -> RawFd {
        self.events.raw_fd().as_raw_fd()
    }

    /// Everything that is there now.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub(crate) fn dump(&mut self) -> io::Result<Vec<Event>> {
        let all = std::cell::RefCell::new(Vec::new());
        self.asks.dump(&encode::dump_links, &mut || all.borrow_mut().clear(), &mut |message| {
            all.borrow_mut().extend(event(message));
        })?;
        let links = all.borrow().len();
        let truncate = &mut || all.borrow_mut().truncate(links);
        self.asks.dump(&dump_neighbors, truncate, &mut |message| all.borrow_mut().extend(event(message)))?;
        Ok(all.into_inner())
    }

    /// The events that are there; empty if there are none.
    ///
    /// # Errors
    /// When the socket is broken.
    pub(crate) fn read(&mut self) -> io::Result<Vec<Event>> {
        let octets = match self.events.read_events()? {
            Read::Octets(octets) => octets,
            Read::Overrun => return Ok(vec![Event::Lost]),
        };
        Ok(decode::messages(self.events.octets(octets)).filter_map(|message| event(&message)).collect())
    }

    /// Asks the kernel to find or confirm a neighbor; the answer comes as an event, if one comes.
    ///
    /// # Errors
    /// When the request could not be sent.
    pub(crate) fn ask_for(&mut self, interface: IfIndex, addr: IpAddr) -> io::Result<()> {
        let seq = self.asks.next_seq();
        self.asks.skip_seq(1);
        let mut request = Vec::new();
        let start = encode::begin(&mut request, RTM_NEWNEIGH, REQUEST | CREATE, seq);
        request.extend_from_slice(&[encode::family_of(&addr), 0, 0, 0]);
        request.extend_from_slice(&interface.0.to_ne_bytes());
        request.extend_from_slice(&[0, 0, NTF_USE, 0]);
        encode::attribute_addr(&mut request, NDA_DST, addr);
        encode::end(&mut request, start);
        // Without ACK only an error would be answered; the next dump skips it by its number.
        self.asks.send(&request)
    }
}

/// Asks for all neighbors.
pub(crate) fn dump_neighbors(buf: &mut Vec<u8>, seq: u32) {
    let start = encode::begin(buf, RTM_GETNEIGH, REQUEST | DUMP, seq);
    buf.extend_from_slice(&[0; 12]);
    encode::end(buf, start);
}

/// Says that `addr` is at `mac`, or nowhere: for data planes that take it so.
pub(crate) fn encode_neighbor(buf: &mut Vec<u8>, seq: u32, interface: IfIndex, addr: IpAddr, mac: Option<[u8; 6]>) {
    const NUD_REACHABLE: u16 = 2;
    let (kind, flags) = if mac.is_some() { (RTM_NEWNEIGH, REQUEST | CREATE) } else { (RTM_DELNEIGH, REQUEST) };
    let start = encode::begin(buf, kind, flags, seq);
    buf.extend_from_slice(&[encode::family_of(&addr), 0, 0, 0]);
    buf.extend_from_slice(&interface.0.to_ne_bytes());
    buf.extend_from_slice(&NUD_REACHABLE.to_ne_bytes());
    buf.extend_from_slice(&[0, 0]);
    encode::attribute_addr(buf, NDA_DST, addr);
    if let Some(mac) = mac {
        encode::attribute(buf, NDA_LLADDR, &mac);
    }
    encode::end(buf, start);
}

fn event(message: &Message<'_>) -> Option<Event> {
    match message.kind {
        RTM_NEWLINK => Some(Event::Link(decode::link(message.payload)?, link_mac(message.payload))),
        // Bridges announce a port's departure in this form too: the family octet tells them apart.
        RTM_DELLINK if message.payload.first() == Some(&0) => {
            Some(Event::LinkGone(decode::link(message.payload)?.index))
        }
        RTM_NEWNEIGH | RTM_DELNEIGH => neighbor(message),
        _ => None,
    }
}

fn mac(value: &[u8]) -> Option<[u8; 6]> {
    value.try_into().ok()
}

fn link_mac(payload: &[u8]) -> Option<[u8; 6]> {
    const IFLA_ADDRESS: u16 = 1;
    if decode::u16_at(payload, 2)? != ARPHRD_ETHER {
        return None;
    }
    decode::attributes(payload.get(16..)?).find(|(kind, _)| *kind == IFLA_ADDRESS).and_then(|(_, value)| mac(value))
}

/// Reads RTM_NEWNEIGH or RTM_DELNEIGH.
pub(crate) fn neighbor(message: &Message<'_>) -> Option<Event> {
    let family = *message.payload.first()?;
    if family != encode::AF_INET && family != encode::AF_INET6 {
        return None;
    }
    let interface = IfIndex(decode::u32_at(message.payload, 4)?);
    let state = decode::u16_at(message.payload, 8)?;
    let (mut to, mut at) = (None, None);
    for (kind, value) in decode::attributes(message.payload.get(12..)?) {
        match kind {
            NDA_DST => to = decode::addr(value),
            NDA_LLADDR => at = mac(value),
            _ => {}
        }
    }
    let usable = message.kind == RTM_NEWNEIGH && state & USABLE != 0;
    let stale = usable && state & NUD_STALE != 0;
    Some(Event::Neighbor { interface, addr: to?, mac: at.filter(|_| usable), stale })
}
