//! What can be asked of an instance, and the answers: rows for people and the API, copied out so that nobody holds
//! the instance while reading.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::config::NetworkType;
use crate::id::{AreaId, InterfaceId, LsaType, RouterId};
use crate::interface::InterfaceState;
use crate::lsa::LsaHeader;
use crate::neighbor::NeighborState;

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// All interfaces.
    Interfaces,
    /// All neighbors.
    Neighbors,
    /// LSAs, in order of area, type, id, originator; `None` is any.
    Lsdb {
        /// Only of this area (AS-scoped ones are in none).
        area: Option<AreaId>,
        /// Only of this type.
        kind: Option<LsaType>,
        /// Only of this originator.
        adv: Option<RouterId>,
    },
    /// The shortest-path tree of an area.
    Spf(AreaId),
    /// The instance as a whole.
    Summary,
}

/// An answer, of the kind that was asked for.
#[derive(Clone, Debug)]
pub enum View {
    /// To [`Query::Interfaces`].
    Interfaces(Vec<InterfaceView>),
    /// To [`Query::Neighbors`].
    Neighbors(Vec<NeighborView>),
    /// To [`Query::Lsdb`].
    Lsdb(Vec<LsaView>),
    /// To [`Query::Spf`]; `None` if we are not in that area.
    Spf(Option<SpfView>),
    /// To [`Query::Summary`].
    Summary(Box<SummaryView>),
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceView {
    /// Its id.
    pub id: InterfaceId,
    /// Its name; `vlink-AREA-ROUTER` for a virtual link.
    pub name: String,
    /// The area it is in.
    pub area: AreaId,
    /// What the link is; `None` for a virtual link.
    pub network: Option<NetworkType>,
    /// Where its machine is.
    pub state: InterfaceState,
    /// The address it speaks from.
    pub address: Option<IpAddr>,
    /// Cost of sending over it.
    pub cost: u16,
    /// MTU in octets.
    pub mtu: u16,
    /// Our priority.
    pub priority: u8,
    /// Announced, not spoken on.
    pub passive: bool,
    /// The Designated Router: its address in v2, its router id in v3, as 32 bits; 0 is none.
    pub dr: u32,
    /// The Backup Designated Router.
    pub bdr: u32,
    /// Between hellos.
    pub hello_interval: Duration,
    /// Until a silent neighbor is down.
    pub dead_interval: Duration,
    /// Neighbors heard of.
    pub neighbors: usize,
    /// Neighbors fully adjacent.
    pub full: usize,
    /// Packets dropped on it, by reason, of which there were some.
    pub drops: Vec<(&'static str, u64)>,
    /// Why somebody was last refused, in words that say what to do.
    pub obstacle: Option<String>,
}

/// One neighbor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighborView {
    /// On this interface.
    pub interface: InterfaceId,
    /// Its name.
    pub interface_name: String,
    /// In this area.
    pub area: AreaId,
    /// Its router id.
    pub router: RouterId,
    /// Its address.
    pub address: IpAddr,
    /// Where its machine is.
    pub state: NeighborState,
    /// Since when.
    pub age: Duration,
    /// Its priority.
    pub priority: u8,
    /// The Designated Router it sees.
    pub dr: u32,
    /// The Backup Designated Router it sees.
    pub bdr: u32,
    /// Until it is declared down if it stays silent.
    pub dead_in: Duration,
    /// LSAs it has not acknowledged.
    pub unacknowledged: usize,
    /// LSAs we still ask it for.
    pub requested: usize,
    /// We keep it up while it restarts.
    pub helping: bool,
    /// Times it came up to Full.
    pub ups: u64,
    /// Packets and LSAs of ours that were sent again.
    pub retransmissions: u64,
    /// Why it is not Full, in words that say what to do.
    pub stuck: Option<String>,
}

/// One LSA of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LsaView {
    /// Its area; `None` for AS scope.
    pub area: Option<AreaId>,
    /// Its interface, for link scope.
    pub interface: Option<InterfaceId>,
    /// Its header, with the age it has now.
    pub header: LsaHeader,
    /// We originated it.
    pub own: bool,
    /// Its octets, with the age it was received with.
    pub raw: Bytes,
}

/// A router or a network of a tree of shortest paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vertex {
    /// A router.
    Router(RouterId),
    /// A network, by its Link State ID and its Designated Router.
    Network(u32, RouterId),
}

/// Calculations of one kind since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpfRuns {
    /// How many.
    pub count: u64,
    /// How long the last one took, if somebody measures.
    pub last: Option<Duration>,
    /// How long the longest one took.
    pub longest: Option<Duration>,
}

/// The tree of an area.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpfView {
    /// Calculations of all areas together, in which a whole tree was found anew.
    pub full: SpfRuns,
    /// Those in which parts of trees were.
    pub incremental: SpfRuns,
    /// Those that left the trees as they were: prefixes, summaries and externals only.
    pub partial: SpfRuns,
    /// Vertices that are reached, with the cost, nearest first.
    pub vertices: Vec<(Vertex, u32)>,
}

/// The instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SummaryView {
    /// LSAs in all databases.
    pub lsas: usize,
    /// Neighbors that are fully adjacent.
    pub full: usize,
    /// All neighbors.
    pub neighbors: usize,
    /// We are an area border router.
    pub border: bool,
    /// We are an AS boundary router.
    pub external: bool,
    /// We ask others to route around us.
    pub max_metric: bool,
    /// We are restarting gracefully.
    pub restarting: bool,
    /// LSAs originated, refreshes included.
    pub originated: u64,
    /// LSAs received and installed.
    pub installed: u64,
    /// Packets and LSAs dropped, by reason.
    pub drops: Vec<(&'static str, u64)>,
    /// Problems an operator should see, in words.
    pub problems: Vec<String>,
}
