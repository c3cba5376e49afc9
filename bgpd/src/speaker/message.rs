//! What goes into the speaker and what comes out: the machine's two doors as types.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rib::message::Reachability;
use rib::{AddressFamily, Answer, Protocol, RouteBatch};

pub use super::addresses::LinkAddress;
pub use super::key::{NeighborKey, NotANeighbor};
use crate::config::{NeighborConfig, Secret, SpeakerConfig};
use crate::session::{ConnId, DownReason, HistoryEntry, Negotiated};
use crate::wire::attr::{Origin, PathAttributes};

/// Everything a speaker can be told, but for received octets ([`crate::speaker::Speaker::receive`]).
#[derive(Clone, Debug)]
pub enum Input {
    /// A new configuration: the difference to the running one is carried out.
    Configure(Box<SpeakerConfig>),
    /// Somebody connected to us.
    Accepted {
        /// The carrier's number for the connection.
        conn: ConnId,
        /// Their end.
        remote: SocketAddr,
        /// Our end.
        local: SocketAddr,
        /// The interface it came in by, if their address is link-local.
        interface: Option<Arc<str>>,
    },
    /// A neighbor was found on an interface that a neighbor is configured on, or has moved.
    Discovered {
        /// The interface.
        interface: Arc<str>,
        /// Its link-local address.
        address: Ipv6Addr,
        /// The interface's index, for the scope of the address.
        scope: u32,
    },
    /// The link that a neighbor was to be found on is down.
    Vanished {
        /// The interface.
        interface: Arc<str>,
    },
    /// A connection that [`Output::Connect`] asked for stands.
    Connected {
        /// The number given in the request.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
    },
    /// A connection that [`Output::Connect`] asked for could not be made.
    ConnectFailed {
        /// The number given in the request.
        conn: ConnId,
        /// For people.
        error: String,
    },
    /// A connection ended from the other side, or failed.
    Closed {
        /// Which.
        conn: ConnId,
    },
    /// Our own routes: services, redistribution.
    Local(LocalBatch),
    /// The host's addresses, all of them, whenever they change: our own next hops are chosen among them.
    Addresses(Vec<LinkAddress>),
    /// How next hops are reached now.
    Reach(Vec<Reachability>),
    /// What became of routes that the shared RIB was asked about, each with the number of the batch after which it was said.
    Answers(Vec<(u64, Answer)>),
    /// An operator's wish.
    Command(Command),
    /// A deadline passed, or work is left over from a budget.
    Work,
}

/// An operator's wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Enable or disable a neighbor until told otherwise.
    SetEnabled {
        /// Which.
        neighbor: NeighborKey,
        /// The new state.
        enabled: bool,
        /// Sent with a shutdown (RFC 9003).
        message: String,
    },
    /// Cease and start anew (RFC 4486 §4, administrative reset).
    Reset {
        /// Which.
        neighbor: NeighborKey,
    },
    /// Re-evaluate what was learned, by route refresh if nothing is kept.
    SoftIn {
        /// Which.
        neighbor: NeighborKey,
    },
    /// Send everything again.
    SoftOut {
        /// Which.
        neighbor: NeighborKey,
    },
    /// Move traffic away from a neighbor while its session stays up: everything it is told gets GRACEFUL_SHUTDOWN, everything
    /// it said the lowest LOCAL_PREF (RFC 8326 §4). Ends when it is enabled or disabled.
    Drain {
        /// Which.
        neighbor: NeighborKey,
    },
    /// BFD says that the path to a neighbor is broken: its session ends with its routes (RFC 9384) and begins anew.
    PathDown {
        /// Which.
        neighbor: NeighborKey,
    },
    /// Withdraw our own routes and close every session (Cease, administrative shutdown).
    Shutdown,
    /// The same before a restart over which the data plane forwards on: only services are withdrawn, and neighbors that keep our
    /// routes meanwhile are told nothing, their connections just end (RFC 4724 §4.1).
    Restart,
}

/// A route of our own, to be announced.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalRoute {
    /// What it is: policies match on it, and services are exported to neighbors without an export policy.
    pub protocol: Protocol,
    /// ORIGIN (RFC 4271 §5.1.1): IGP for what this node itself offers, INCOMPLETE for what was redistributed.
    pub origin: Origin,
    /// MED to start with.
    pub med: Option<u32>,
    /// Times our AS number is prepended beside the one due.
    pub prepend: u8,
    /// Communities (RFC 1997).
    pub communities: Vec<u32>,
    /// Large communities (RFC 8092).
    pub large_communities: Vec<[u32; 3]>,
    /// Extended communities (RFC 4360).
    pub extended_communities: Vec<[u8; 8]>,
    /// Next hop if not our own address towards each neighbor.
    pub next_hop: Option<IpAddr>,
}

/// Changes to our own routes. They overtake all bulk work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalBatch {
    /// Prefix and the new route, `None` to withdraw.
    pub changes: Vec<(IpNet, Option<Arc<LocalRoute>>)>,
}

/// What the speaker asks its carrier to do. Octets to send are not here: they are pulled per connection
/// ([`crate::speaker::Speaker::transmit`]), so that what a slow neighbor has not taken stays where it can coalesce.
#[derive(Clone, Debug)]
pub enum Output {
    /// Open a TCP connection and report with this number.
    Connect {
        /// The number to report with.
        conn: ConnId,
        /// Where to.
        remote: SocketAddr,
        /// From which address, if it matters.
        local: Option<IpAddr>,
        /// The interface that a link-local `remote` belongs to.
        interface: Option<Arc<str>>,
        /// How the connection is protected.
        protection: Protection,
    },
    /// Send what [`crate::speaker::Speaker::transmit`] still has for the connection, then close it.
    Close {
        /// Which.
        conn: ConnId,
    },
    /// The connection has something to transmit.
    Writable {
        /// Which.
        conn: ConnId,
    },
    /// Routes for the shared RIB.
    Rib(RouteBatch),
    /// Follow these next hops, and those no longer.
    Track {
        /// New addresses.
        add: Vec<IpAddr>,
        /// Addresses no path uses any more.
        remove: Vec<IpAddr>,
    },
    /// Something people want to see.
    Event(Event),
    /// After [`Command::Shutdown`]: every session is closed and every last octet handed out.
    Finished,
}

/// How connections with a neighbor are protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// Time to live of what we send: 1 to a directly connected external neighbor, more for multihop, 255 under GTSM,
    /// `None` = the host's default.
    pub ttl: Option<u8>,
    /// What is received must have come over at most so many hops (GTSM, RFC 5082).
    pub hops_max: Option<u8>,
    /// Every segment is signed (TCP-MD5, RFC 2385).
    pub password: Option<Secret>,
}

/// Something people want to see.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A neighbor's session changed.
    Neighbor {
        /// Which.
        neighbor: NeighborKey,
        /// The state before.
        from: SessionState,
        /// The state now.
        to: SessionState,
        /// Why it fell, if it did.
        reason: Option<DownReason>,
    },
    /// A connection from an address that is no neighbor was refused.
    UnknownPeer {
        /// Its address.
        remote: IpAddr,
    },
    /// A neighbor has come near the limit on its prefixes (`max_prefix`).
    NearLimit {
        /// Which.
        neighbor: NeighborKey,
        /// In which family.
        family: AddressFamily,
        /// What is held of it.
        count: u32,
        /// What ends the session when it is exceeded.
        limit: u32,
    },
    /// There is no place for another neighbor: a speaker has 65,535.
    NoPlace {
        /// Who cannot be one.
        neighbor: NeighborKey,
    },
    /// A route or message was treated by RFC 7606 without a reset.
    UpdateFault {
        /// Who sent it.
        neighbor: NeighborKey,
        /// What was wrong and what was done.
        what: String,
    },
}

/// The states of RFC 4271 §8.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// No resources, no connection.
    Idle,
    /// Waiting for a connection of ours.
    Connect,
    /// Waiting to try again, or for theirs.
    Active,
    /// OPEN sent.
    OpenSent,
    /// OPEN accepted, waiting for KEEPALIVE.
    OpenConfirm,
    /// Exchanging routes.
    Established,
}

/// What can be asked of a speaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// All neighbors, or one.
    Neighbors(Option<NeighborKey>),
    /// A page of what a neighbor said, before and after import policy.
    AdjIn {
        /// Whose.
        neighbor: NeighborKey,
        /// Which family.
        family: AddressFamily,
        /// Start after this prefix.
        after: Option<IpNet>,
        /// At most so many prefixes; all paths of a prefix stand on one page.
        limit: usize,
    },
    /// A page of what a neighbor was told.
    AdjOut {
        /// Whose.
        neighbor: NeighborKey,
        /// Which family.
        family: AddressFamily,
        /// Start after this prefix.
        after: Option<IpNet>,
        /// At most so many routes.
        limit: usize,
    },
    /// Every path to a prefix, in the order of the decision, and why it is or is not announced to `neighbor`.
    Explain {
        /// The exact prefix.
        prefix: IpNet,
        /// For whom the export is explained; all neighbors if none is named.
        neighbor: Option<NeighborKey>,
    },
    /// The last messages from and to a neighbor.
    History(NeighborKey),
    /// Sizes.
    Summary,
}

/// The answer to a [`Query`], variant by variant.
#[derive(Clone, Debug)]
pub enum Reply {
    /// To [`Query::Neighbors`].
    Neighbors(Vec<NeighborView>),
    /// To [`Query::AdjIn`] and [`Query::AdjOut`].
    Paths {
        /// The page, in prefix order.
        paths: Vec<PathView>,
        /// Where the next page begins (give it as `after`); `None` at the end.
        next: Option<IpNet>,
    },
    /// To [`Query::Explain`].
    Explain(Explanation),
    /// To [`Query::History`]: oldest first.
    History(Vec<HistoryEntry>),
    /// To [`Query::Summary`].
    Summary(Summary),
    /// The neighbor named does not exist.
    NoSuchNeighbor(NeighborKey),
}

/// A neighbor as people and programs see it.
#[derive(Clone, Debug)]
pub struct NeighborView {
    /// Its name.
    pub key: NeighborKey,
    /// Its address, if it is configured, found or connected.
    pub address: Option<IpAddr>,
    /// Its configured or learned AS.
    pub asn: Option<u32>,
    /// For people.
    pub description: String,
    /// The state.
    pub state: SessionState,
    /// Administratively up.
    pub enabled: bool,
    /// How long in Established.
    pub up_for: Option<Duration>,
    /// Our end of the connection.
    pub local: Option<SocketAddr>,
    /// Its BGP Identifier.
    pub router_id: Option<Ipv4Addr>,
    /// Negotiated hold time.
    pub hold_time: Option<Duration>,
    /// Families in use on this session.
    pub families: Vec<AddressFamily>,
    /// Prefixes held from it.
    pub received: u64,
    /// Of those, accepted by the import policy.
    pub accepted: u64,
    /// Prefixes it has been told.
    pub advertised: u64,
    /// UPDATE messages from it.
    pub updates_in: u64,
    /// UPDATE messages to it.
    pub updates_out: u64,
    /// Messages of any type from it and to it.
    pub messages: (u64, u64),
    /// Times the session was established.
    pub established_count: u64,
    /// Why it last fell.
    pub last_down: Option<DownReason>,
    /// Why nothing is imported, exported or connected, if so: RFC 8212, disabled, no answer, …
    pub notes: Vec<String>,
    /// What people may want to know of it though nothing is wrong: which range let it in, where it was found.
    pub facts: Vec<String>,
    /// What it is configured to be.
    pub config: Box<NeighborConfig>,
    /// What both ends agreed on in this session.
    pub negotiated: Option<Arc<Negotiated>>,
    /// Traffic is moved away from it ([`Command::Drain`]).
    pub draining: bool,
    /// It was not known before it connected: a range let it in.
    pub dynamic: bool,
    /// Prefixes held from it, by family.
    pub received_by_family: (u64, u64),
    /// Of those, stale ones: kept over its restart (RFC 4724).
    pub stale: u64,
    /// Why the last attempt to connect failed.
    pub connect_error: Option<String>,
    /// It has said in this session all that it knew: End-of-RIB of every family.
    pub spoken: bool,
}

/// A path as people and programs see it.
#[derive(Clone, Debug)]
pub struct PathView {
    /// The destination.
    pub prefix: IpNet,
    /// The neighbor it is from, `None` if our own.
    pub from: Option<NeighborKey>,
    /// The path identifier it came with (adj-in) or is sent with (adj-out), on sessions that have them (RFC 7911).
    pub path_id: Option<u32>,
    /// Attributes as received (adj-in) or as sent (adj-out).
    pub attributes: Arc<PathAttributes>,
    /// Attributes after import policy; `None` if rejected. Absent for adj-out.
    pub imported: Option<Arc<PathAttributes>>,
    /// It is the prefix's best path.
    pub best: bool,
}

/// Every path to a prefix and its fate.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The prefix.
    pub prefix: IpNet,
    /// The paths, best first.
    pub candidates: Vec<Candidate>,
    /// For each neighbor asked for: announced or not, and by which rule.
    pub exports: Vec<ExportVerdict>,
}

/// One path and the rule that chose or rejected it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The path.
    pub path: PathView,
    /// Reads after "because": `higher LOCAL_PREF`, `next hop 10.0.0.1 is unreachable`, `rejected by policy from-transit, rule 2`.
    pub reason: String,
    /// Chosen, or of those used together with it.
    pub chosen: bool,
}

/// Whether a neighbor is told, and why.
#[derive(Clone, Debug)]
pub struct ExportVerdict {
    /// Whom.
    pub neighbor: NeighborKey,
    /// Which path, by the identifier it is told with, on sessions that have them (RFC 7911): one verdict for each then.
    pub path_id: Option<u32>,
    /// Told or not.
    pub announced: bool,
    /// The rule: `policy to-transit, rule 1`, `RFC 8212: no export policy`, `split horizon`, `NO_EXPORT`.
    pub reason: String,
    /// What it is told.
    pub attributes: Option<Arc<PathAttributes>>,
}

/// Sizes of a speaker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Prefixes with at least one path, by family.
    pub prefixes: (usize, usize),
    /// Paths, by family.
    pub paths: (usize, usize),
    /// Distinct attribute sets.
    pub attribute_sets: usize,
    /// Export groups.
    pub groups: usize,
    /// The shared RIB has not been told everything yet: routes are held after a restart (RFC 4724 §4.1), or on their way.
    pub holding: bool,
}
