//! What the other rooms of the roof hold of a running node: one cheap, cloneable handle per owner.
//!
//! A handle never touches a table. It sends a message to the one thread or task that owns it and awaits the answer, so
//! that nothing here can see a half-made change. Every queue behind a handle is bounded; its bound and what happens when
//! it is full stand beside the constant.

mod fib;
mod neighbors;
mod rib;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::rib::{BackendId, IfIndex, NextHopSet};
use ipnet::IpNet;
use tokio::sync::{broadcast, mpsc, oneshot};

pub use fib::{FibEntry, FibHandle, FibPage, FibStats};
pub(crate) use neighbors::NeighborAsk;
pub use neighbors::{NeighborRefusal, NeighborsHandle};
pub use rib::{Anchor, PAGE_MAX, RIB_INPUTS, RIB_URGENT, RibHandle, RibWatch, WatchStep};
pub(crate) use rib::{Changes, Lease, RibAsk, RibEnds};

use crate::anycast::AnycastHandle;
use crate::bfd::Bfd;
use crate::daemon::ospf::Ospf;

/// Events a slow watcher may lag behind. Full: it loses the oldest and is told how many.
pub const EVENTS: usize = 1024;

/// The owner of the answer has stopped: the node is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node is shutting down")]
pub struct Gone;

impl<T> From<mpsc::error::SendError<T>> for Gone {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self
    }
}

impl From<oneshot::error::RecvError> for Gone {
    fn from(_: oneshot::error::RecvError) -> Self {
        Self
    }
}

/// A route owned by the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRoute {
    /// The destination, host bits zero.
    pub prefix: IpNet,
    /// Where to.
    pub next_hops: NextHopSet,
    /// The metric; lowest wins within the API's distance.
    pub metric: u32,
    /// Route tag; 0 is none.
    pub tag: u32,
    /// Removed unless added again within this time.
    pub lease: Option<Duration>,
}

/// A message to the owner of the API's routes.
#[derive(Debug)]
pub(crate) enum ApiRouteAsk {
    Add(ApiRoute, oneshot::Sender<Result<bool, String>>),
    Delete(IpNet, oneshot::Sender<bool>),
    List(oneshot::Sender<Vec<(ApiRoute, Option<Duration>)>>),
}

/// The way to the owner of the routes that were added through the API.
#[derive(Clone, Debug)]
pub struct ApiRoutesHandle(pub(crate) mpsc::Sender<ApiRouteAsk>);

impl ApiRoutesHandle {
    /// Adds or replaces a route; `true` if there was none for the prefix.
    ///
    /// # Errors
    /// [`Gone`] when the node stops; the inner error says why the route is refused (too many, a lease of zero).
    pub async fn add(&self, route: ApiRoute) -> Result<Result<bool, String>, Gone> {
        let (reply, answer) = oneshot::channel();
        self.0.send(ApiRouteAsk::Add(route, reply)).await?;
        Ok(answer.await?)
    }

    /// Removes a route; `false` if the API had none for the prefix.
    ///
    /// # Errors
    /// [`Gone`] when the node stops.
    pub async fn delete(&self, prefix: IpNet) -> Result<bool, Gone> {
        let (reply, answer) = oneshot::channel();
        self.0.send(ApiRouteAsk::Delete(prefix.trunc(), reply)).await?;
        Ok(answer.await?)
    }

    /// Every route of the API with what is left of its lease.
    ///
    /// # Errors
    /// [`Gone`] when the node stops.
    pub async fn list(&self) -> Result<Vec<(ApiRoute, Option<Duration>)>, Gone> {
        let (reply, answer) = oneshot::channel();
        self.0.send(ApiRouteAsk::List(reply)).await?;
        Ok(answer.await?)
    }
}

/// What a node is, fixed while it runs but for a reload of `site`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// The package's version.
    pub version: &'static str,
    /// The host's name.
    pub hostname: String,
    /// Our AS number.
    pub asn: u32,
    /// BGP Identifier.
    pub router_id: Ipv4Addr,
    /// Label of this site, empty if none is configured.
    pub site: String,
    /// When the node started.
    pub started: SystemTime,
    /// The configuration file, if there is one.
    pub config: Option<PathBuf>,
    /// Addresses BGP listens on, as bound.
    pub bgp_listen: Vec<SocketAddr>,
    /// Addresses the API listens on, as bound.
    pub api_listen: Vec<String>,
    /// Names of the data planes by number.
    pub backends: Vec<&'static str>,
}

/// Something people want to see, with the time it was seen.
#[derive(Clone, Debug)]
pub struct NodeEvent {
    /// When.
    pub at: SystemTime,
    /// What.
    pub what: What,
}

/// What a [`NodeEvent`] says.
#[derive(Clone, Debug)]
pub enum What {
    /// Of the BGP speaker.
    Bgp(bgpd::speaker::message::Event),
    /// A service or one of its checks changed state.
    Service {
        /// The service's name.
        service: String,
        /// One line for people.
        text: String,
    },
    /// A data plane failed or recovered.
    Fib {
        /// Which.
        backend: BackendId,
        /// One line for people.
        text: String,
    },
    /// A link came up or went down.
    Link {
        /// The kernel's number.
        index: IfIndex,
        /// Its name.
        name: String,
        /// The state now.
        up: bool,
    },
    /// An OSPF neighbor came or went, or something about OSPF needs an operator.
    Ospf {
        /// The interface or router it is about.
        subject: String,
        /// One line for people.
        text: String,
        /// Somebody should look.
        bad: bool,
    },
    /// The configuration was reloaded, or a reload was refused and the old one kept.
    Config {
        /// Whether it is in force.
        applied: bool,
        /// One line for people.
        text: String,
    },
    /// The node began to stop.
    Stopping,
}

/// The sender of node events.
#[derive(Clone, Debug)]
pub struct Events(broadcast::Sender<Arc<NodeEvent>>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(EVENTS).0)
    }
}

impl Events {
    /// Tells every watcher. Nobody listening is no error.
    #[allow(clippy::disallowed_methods, reason = "the carrier stamps events with wall-clock time for people")]
    pub fn send(&self, what: What) {
        let _ = self.0.send(Arc::new(NodeEvent { at: SystemTime::now(), what }));
    }

    /// Follows what happens from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<NodeEvent>> {
        self.0.subscribe()
    }
}

/// A running node, as the API and the command line see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub info: Arc<NodeInfo>,
    /// The RIB.
    pub rib: RibHandle,
    /// The BGP speaker; it runs without neighbors, too.
    pub bgp: bgpd::io::Handle,
    /// OSPF, of each version that is spoken.
    pub ospf: Ospf,
    /// The anycast controller; it runs without services, too.
    pub anycast: AnycastHandle,
    /// The data planes in configuration order.
    pub fibs: Vec<FibHandle>,
    /// Routes of the API.
    pub api_routes: ApiRoutesHandle,
    /// Neighbors of the file and of the API.
    pub neighbors: NeighborsHandle,
    /// BFD; it runs without sessions, too.
    pub bfd: Bfd,
    /// What happens.
    pub events: Events,
    /// Ends the node when sent to; see [`Node::shutdown`].
    pub(crate) stop: mpsc::Sender<StopWish>,
}

/// Why and how the node should stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopWish {
    /// For the log.
    pub reason: String,
}

impl Node {
    /// Asks the node to stop as on SIGTERM: withdraw, close sessions, clean up. Returns at once.
    pub fn shutdown(&self, reason: impl Into<String>) {
        // Full or closed: a stop is under way already.
        let _ = self.stop.try_send(StopWish { reason: reason.into() });
    }
}
