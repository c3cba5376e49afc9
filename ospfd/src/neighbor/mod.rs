//! A neighbor on one interface (RFC 2328 §10): what it says of itself, how far the conversation has come, what is
//! still asked of it and what it still has to acknowledge. Events come to it through the instance.

pub(crate) mod requests;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use crate::config::BfdConfig;
use crate::id::{InterfaceId, RouterId, Version};
use crate::lsdb::Slot;
use crate::packet::DatabaseDescription;
use crate::restart::Help;
use requests::Requests;

/// How far the conversation with a neighbor has come (RFC 2328 §10.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NeighborState {
    /// Nothing heard.
    #[default]
    Down,
    /// NBMA: asked, nothing heard.
    Attempt,
    /// It is heard, but does not hear us.
    Init,
    /// Both hear each other.
    TwoWay,
    /// Master and slave are being settled.
    ExStart,
    /// Databases are being described.
    Exchange,
    /// Its newer LSAs are being asked for.
    Loading,
    /// Databases are equal.
    Full,
}

/// An LSA sent, for the order of retransmissions; the truth about who acknowledged is the bitset beside the LSA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) slot: Slot,
    /// Which instance was sent.
    pub(crate) seq: i32,
    pub(crate) due: Instant,
    pub(crate) bytes: u32,
}

/// A neighbor.
#[derive(Debug)]
pub(crate) struct Neighbor {
    pub(crate) interface: InterfaceId,
    pub(crate) router: RouterId,
    pub(crate) address: IpAddr,
    pub(crate) state: NeighborState,
    pub(crate) since: Instant,
    pub(crate) heard: Instant,
    pub(crate) priority: u8,
    pub(crate) dr: u32,
    pub(crate) bdr: u32,
    pub(crate) options: u32,
    /// v3: its Interface ID; v2: 0.
    pub(crate) interface_id: u32,
    /// It is in the configuration's list (NBMA).
    pub(crate) configured: bool,
    /// We are master of the exchange.
    pub(crate) master: bool,
    pub(crate) dd_seq: u32,
    /// The last packets of the exchange, to know and to answer repeated ones.
    pub(crate) dd_received: Option<(bool, bool, bool, u32, u32)>,
    pub(crate) dd_sent: Option<DatabaseDescription>,
    /// Its first description, which came before we wanted an adjacency; it would repeat it only seconds later.
    pub(crate) early: Option<(Instant, DatabaseDescription)>,
    /// LSAs to describe to it, and how many have been.
    pub(crate) summary: Vec<Slot>,
    pub(crate) described: usize,
    pub(crate) requests: Requests,
    /// LSAs flooded to it, oldest first.
    pub(crate) sent: VecDeque<Sent>,
    /// Of those, the ones that followed an earlier instance within MinLSArrival: they may have been refused for that, and
    /// are sent again as soon as it is over.
    pub(crate) sent_soon: VecDeque<Sent>,
    /// LSAs queued or sent that it has not acknowledged.
    pub(crate) unacked: usize,
    /// Octets sent that it has not acknowledged.
    pub(crate) unacked_bytes: usize,
    /// It is restarting, and we keep it.
    pub(crate) help: Option<Help>,
    /// The BFD session that is asked for.
    pub(crate) bfd: Option<BfdConfig>,
    pub(crate) ups: u64,
    pub(crate) retransmissions: u64,
    /// Exchanges begun since it was last Full.
    pub(crate) attempts: u32,
    /// What stands in the way, as last seen.
    pub(crate) obstacle: Option<String>,
    pub(crate) stuck_alarmed: bool,
    /// The MTU in its last description; 0 before there was one, and over virtual links.
    pub(crate) mtu: u16,
}

impl Neighbor {
    pub(crate) fn new(now: Instant, interface: InterfaceId, router: RouterId, address: IpAddr) -> Self {
        Self {
            interface,
            router,
            address,
            state: NeighborState::Down,
            since: now,
            heard: now,
            priority: 0,
            dr: 0,
            bdr: 0,
            options: 0,
            interface_id: 0,
            configured: false,
            master: false,
            dd_seq: 0,
            dd_received: None,
            dd_sent: None,
            early: None,
            summary: Vec::new(),
            described: 0,
            requests: Requests::default(),
            sent: VecDeque::new(),
            sent_soon: VecDeque::new(),
            unacked: 0,
            unacked_bytes: 0,
            help: None,
            bfd: None,
            ups: 0,
            retransmissions: 0,
            attempts: 0,
            obstacle: None,
            stuck_alarmed: false,
            mtu: 0,
        }
    }

    /// What it is called as a Designated Router: the address in v2, the router id in v3.
    pub(crate) fn name(&self, version: Version) -> u32 {
        match (version, self.address) {
            (Version::V2, IpAddr::V4(address)) => address.into(),
            _ => self.router.0,
        }
    }

    /// Others are told that we are adjacent: it is Full, or was and restarts (RFC 3623 §3).
    pub(crate) fn adjacent(&self) -> bool {
        self.state == NeighborState::Full || self.help.is_some()
    }

    /// It no longer owes an acknowledgment of an LSA of `length` octets.
    pub(crate) fn settle(&mut self, length: usize) {
        self.unacked = self.unacked.saturating_sub(1);
        self.unacked_bytes = if self.unacked == 0 { 0 } else { self.unacked_bytes.saturating_sub(length) };
    }

    /// LSAs are flooded to it.
    pub(crate) fn floods(&self) -> bool {
        self.state >= NeighborState::Exchange
    }
}
