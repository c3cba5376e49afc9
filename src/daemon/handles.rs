//! What the other rooms of the roof hold of a running node: one cheap, cloneable handle per owner.
//!
//! A handle never touches a table. It sends a message to the one thread or task that owns it and awaits the answer, so
//! that nothing here can see a half-made change. Every queue behind a handle is bounded; its bound and what happens when
//! it is full stand beside the constant.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use rib::message::{Candidate, Input, Page, RouteView, Summary};
use rib::{BackendId, FibFault, Forwarding, IfIndex, NextHopSet};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::anycast::AnycastHandle;

/// Inputs waiting for the RIB. Full: the sender waits, so that the BGP session stops reading and TCP slows the peer.
pub const RIB_INPUTS: usize = 64;
/// Questions and urgent inputs waiting for the RIB. Full: the asker waits.
pub const RIB_URGENT: usize = 256;
/// Events a slow watcher may lag behind. Full: it loses the oldest and is told how many.
pub const EVENTS: usize = 1024;
/// Most routes in one page or one batch of changes, whatever was asked for: it bounds how long the RIB's owner is held.
pub const PAGE_MAX: usize = 4096;

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

/// Chosen routes that changed, each prefix once with its state now.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The prefixes and their chosen route; `None`: there is none any more.
    pub routes: Vec<(IpNet, Option<RouteView>)>,
    /// Journal position to ask from next time.
    pub through: u64,
    /// More changes are waiting.
    pub more: bool,
    /// The journal no longer reaches back to the position asked from: start anew with a walk.
    pub overrun: bool,
}

/// A message on the RIB's urgent lane.
#[derive(Debug)]
pub(crate) enum RibAsk {
    /// An input that overtakes bulk routes (services, the API).
    Input(Input),
    /// Longest-prefix match.
    Lookup(IpAddr, oneshot::Sender<Option<RouteView>>),
    /// The chosen route of exactly this prefix.
    Get(IpNet, oneshot::Sender<Option<RouteView>>),
    /// Every candidate of exactly this prefix, best first.
    Candidates(IpNet, oneshot::Sender<Vec<Candidate>>),
    /// A page of chosen routes.
    Walk { within: Option<IpNet>, from: Option<IpNet>, limit: usize, reply: oneshot::Sender<Page> },
    /// Chosen routes that changed after a journal position.
    Changes { after: u64, limit: usize, reply: oneshot::Sender<Changes> },
    /// Sizes.
    Summary(oneshot::Sender<Summary>),
}

/// The way to the thread that owns the RIB.
#[derive(Clone, Debug)]
pub struct RibHandle {
    urgent: mpsc::Sender<RibAsk>,
    inputs: mpsc::Sender<Input>,
    position: watch::Receiver<u64>,
}

/// The owner's ends of a [`RibHandle`].
#[derive(Debug)]
pub(crate) struct RibEnds {
    pub(crate) urgent: mpsc::Receiver<RibAsk>,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) position: watch::Sender<u64>,
}

impl RibHandle {
    /// A handle and the ends its owner keeps.
    pub(crate) fn new() -> (Self, RibEnds) {
        let (urgent, urgent_rx) = mpsc::channel(RIB_URGENT);
        let (inputs, inputs_rx) = mpsc::channel(RIB_INPUTS);
        let (position_tx, position) = watch::channel(0);
        (Self { urgent, inputs, position }, RibEnds { urgent: urgent_rx, inputs: inputs_rx, position: position_tx })
    }

    /// Hands over an input behind the bulk already queued; waits while the queue is full.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn input(&self, input: Input) -> Result<(), Gone> {
        Ok(self.inputs.send(input).await?)
    }

    /// Hands over an input that overtakes all bulk: service routes, routes of the API, data-plane answers.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn urgent(&self, input: Input) -> Result<(), Gone> {
        Ok(self.urgent.send(RibAsk::Input(input)).await?)
    }

    /// [`RibHandle::input`] from a thread that is not async.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub fn blocking_input(&self, input: Input) -> Result<(), Gone> {
        Ok(self.inputs.blocking_send(input)?)
    }

    /// [`RibHandle::urgent`] from a thread that is not async.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub fn blocking_urgent(&self, input: Input) -> Result<(), Gone> {
        Ok(self.urgent.blocking_send(RibAsk::Input(input))?)
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> RibAsk) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.urgent.send(question(reply)).await?;
        Ok(answer.await?)
    }

    /// The chosen route with the longest prefix that holds `addr`.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn lookup(&self, addr: IpAddr) -> Result<Option<RouteView>, Gone> {
        self.ask(|reply| RibAsk::Lookup(addr, reply)).await
    }

    /// The chosen route of exactly `prefix`.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn get(&self, prefix: IpNet) -> Result<Option<RouteView>, Gone> {
        self.ask(|reply| RibAsk::Get(prefix.trunc(), reply)).await
    }

    /// Every source's route for exactly `prefix`, best first, with the reason for its rank.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn candidates(&self, prefix: IpNet) -> Result<Vec<Candidate>, Gone> {
        self.ask(|reply| RibAsk::Candidates(prefix.trunc(), reply)).await
    }

    /// A page of chosen routes in prefix order, of those within `within` if given, beginning at `from` (a page's `next`), at
    /// most `limit` (and at most [`PAGE_MAX`]).
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn walk(&self, within: Option<IpNet>, from: Option<IpNet>, limit: usize) -> Result<Page, Gone> {
        let limit = limit.clamp(1, PAGE_MAX);
        self.ask(|reply| RibAsk::Walk { within, from, limit, reply }).await
    }

    /// The prefixes that changed after journal position `after`, folded: each once, as it is now.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn changes(&self, after: u64, limit: usize) -> Result<Changes, Gone> {
        let limit = limit.clamp(1, PAGE_MAX);
        self.ask(|reply| RibAsk::Changes { after, limit, reply }).await
    }

    /// Sizes of the RIB.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn summary(&self) -> Result<Summary, Gone> {
        self.ask(RibAsk::Summary).await
    }

    /// The RIB's journal position now.
    #[must_use]
    pub fn position(&self) -> u64 {
        *self.position.borrow()
    }

    /// Follows the chosen routes from now on: first every route, then what changes. Nothing is queued for a slow
    /// watcher; it reads the journal at its own pace and gets each prefix as it is when it comes to look.
    #[must_use]
    pub fn watch(&self) -> RibWatch {
        RibWatch { rib: self.clone(), stage: Stage::Begin, moved: self.position.clone() }
    }

    /// Follows the changes after a journal position that an earlier watch ended with.
    #[must_use]
    pub fn watch_from(&self, after: u64) -> RibWatch {
        RibWatch { rib: self.clone(), stage: Stage::Follow { after }, moved: self.position.clone() }
    }
}

/// One step of a [`RibWatch`].
#[derive(Clone, Debug)]
pub enum WatchStep {
    /// A watcher must forget what it has: a snapshot begins (at the start, and after it was too slow for the journal).
    Reset,
    /// A part of the snapshot.
    Snapshot(Vec<RouteView>),
    /// The snapshot is complete; the journal position resumes here.
    Synced(u64),
    /// Prefixes that changed, with the journal position to resume from after them.
    Changed {
        /// The prefixes and their chosen route; `None`: there is none any more.
        routes: Vec<(IpNet, Option<RouteView>)>,
        /// Resume from here.
        through: u64,
    },
}

/// A watcher of chosen routes; see [`RibHandle::watch`].
#[derive(Debug)]
pub struct RibWatch {
    rib: RibHandle,
    stage: Stage,
    moved: watch::Receiver<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Begin,
    Walk { began: u64, from: Option<IpNet> },
    Follow { after: u64 },
}

impl RibWatch {
    /// The next step; waits until there is one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn next(&mut self) -> Result<WatchStep, Gone> {
        loop {
            match self.stage {
                Stage::Begin => {
                    // Changes during the walk are read again from the position before it: no gap, some said twice.
                    let began = self.rib.changes(u64::MAX, 1).await?.through;
                    self.stage = Stage::Walk { began, from: None };
                    return Ok(WatchStep::Reset);
                }
                Stage::Walk { began, from } => {
                    let page = self.rib.walk(None, from, 512).await?;
                    self.stage = match page.next {
                        Some(next) => Stage::Walk { began, from: Some(next) },
                        None => Stage::Follow { after: began },
                    };
                    if !page.routes.is_empty() {
                        return Ok(WatchStep::Snapshot(page.routes));
                    }
                    if page.next.is_none() {
                        return Ok(WatchStep::Synced(began));
                    }
                }
                Stage::Follow { after } => {
                    self.moved.borrow_and_update();
                    let changes = self.rib.changes(after, 512).await?;
                    if changes.overrun {
                        self.stage = Stage::Begin;
                        continue;
                    }
                    self.stage = Stage::Follow { after: changes.through };
                    if !changes.routes.is_empty() {
                        return Ok(WatchStep::Changed { routes: changes.routes, through: changes.through });
                    }
                    if !changes.more {
                        self.moved.changed().await.map_err(|_| Gone)?;
                    }
                }
            }
        }
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

/// Sizes and counts of one data plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FibStats {
    /// Routes that should be there.
    pub desired: usize,
    /// Routes acknowledged.
    pub installed: usize,
    /// Routes sent or about to be.
    pub pending: usize,
    /// Routes refused, being retried.
    pub failed: usize,
    /// Next-hop objects.
    pub next_hops: usize,
    /// Batches applied since start.
    pub batches: u64,
    /// Full resynchronisations since start.
    pub resyncs: u64,
    /// Why the data plane cannot be written at the moment, if so.
    pub error: Option<String>,
}

/// A route of one data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FibEntry {
    /// The destination.
    pub prefix: IpNet,
    /// How it forwards.
    pub forwarding: Forwarding,
    /// Acknowledged.
    pub installed: bool,
    /// Why it was refused, if so.
    pub fault: Option<FibFault>,
}

/// A page of a data plane's routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FibPage {
    /// Routes in prefix order.
    pub entries: Vec<FibEntry>,
    /// Start of the next page; `None` at the end.
    pub next: Option<IpNet>,
}

/// A difference between what a data plane should hold and what its own dump says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FibDifference {
    /// Should be there and is not.
    Missing(IpNet),
    /// Is there, marked as ours, and should not be.
    Surplus(IpNet),
    /// Is there with another forwarding.
    Different {
        /// The destination.
        prefix: IpNet,
        /// What should be.
        desired: Forwarding,
        /// What is.
        found: Forwarding,
    },
}

/// A message to a data plane's owner.
#[derive(Debug)]
pub(crate) enum FibAsk {
    Stats(oneshot::Sender<FibStats>),
    Entries { from: Option<IpNet>, limit: usize, reply: oneshot::Sender<FibPage> },
    Diff(oneshot::Sender<Result<Vec<FibDifference>, String>>),
    Resync(oneshot::Sender<()>),
}

/// The way to one data plane.
#[derive(Clone, Debug)]
pub struct FibHandle {
    /// Its number, as in [`RouteView::fib`].
    pub id: BackendId,
    /// Its name: `kernel`, `memory`.
    pub name: &'static str,
    pub(crate) asks: mpsc::Sender<FibAsk>,
}

impl FibHandle {
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> FibAsk) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(question(reply)).await?;
        Ok(answer.await?)
    }

    /// Sizes and counts.
    ///
    /// # Errors
    /// [`Gone`] when the data plane has stopped.
    pub async fn stats(&self) -> Result<FibStats, Gone> {
        self.ask(FibAsk::Stats).await
    }

    /// A page of routes in prefix order, beginning at `from` (a page's `next`), at most `limit`.
    ///
    /// # Errors
    /// [`Gone`] when the data plane has stopped.
    pub async fn entries(&self, from: Option<IpNet>, limit: usize) -> Result<FibPage, Gone> {
        let limit = limit.clamp(1, PAGE_MAX);
        self.ask(|reply| FibAsk::Entries { from, limit, reply }).await
    }

    /// What the data plane holds against what it should hold, by its own dump. The inner error says why it could not be
    /// read.
    ///
    /// # Errors
    /// [`Gone`] when the data plane has stopped.
    pub async fn diff(&self) -> Result<Result<Vec<FibDifference>, String>, Gone> {
        self.ask(FibAsk::Diff).await
    }

    /// Dumps the data plane and writes whatever differs.
    ///
    /// # Errors
    /// [`Gone`] when the data plane has stopped.
    pub async fn resync(&self) -> Result<(), Gone> {
        self.ask(FibAsk::Resync).await
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
    /// The anycast controller; it runs without services, too.
    pub anycast: AnycastHandle,
    /// The data planes in configuration order.
    pub fibs: Vec<FibHandle>,
    /// Routes of the API.
    pub api_routes: ApiRoutesHandle,
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
