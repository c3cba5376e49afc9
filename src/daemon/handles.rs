//! What the other rooms of the roof hold of a running node: one cheap, cloneable handle per owner.
//!
//! A handle never touches a table. It sends a message to the one thread or task that owns it and awaits the answer, so
//! that nothing here can see a half-made change. Every queue behind a handle is bounded; its bound and what happens when
//! it is full stand beside the constant.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fib_sync::sync::Phase;
use fib_sync::thread::BackendHandle;
use ipnet::IpNet;
use rib::message::{Candidate, FibState, Input, Page, RouteView, Summary};
use rib::query::WalkQuery;
use rib::watch::{Pulled, WatchFilter, WatchId};
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

/// What a watcher is given by one pull.
#[derive(Debug)]
pub(crate) struct Changes {
    /// The prefixes and their chosen route; `None`: there is none any more.
    pub(crate) routes: Vec<(IpNet, Option<RouteView>)>,
    /// The journal position that a later watch can resume from.
    pub(crate) through: u64,
    /// More changes, or changes were lost.
    pub(crate) pulled: Pulled,
}

/// A watcher that the RIB's owner keeps for as long as this lives.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) id: WatchId,
    /// The journal position that the watcher begins after.
    pub(crate) began: u64,
    /// The owner holds the other end weakly and forgets the watcher when this one is gone.
    #[allow(dead_code, reason = "held only to be dropped")]
    pub(crate) alive: Arc<()>,
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
    Walk(WalkQuery, oneshot::Sender<Page>),
    /// Start a watcher, after a journal position if one is given and the journal reaches back so far.
    Watch { after: Option<u64>, filter: WatchFilter, reply: oneshot::Sender<Option<Lease>> },
    /// What a watcher has not seen yet.
    Pull { id: WatchId, limit: usize, reply: oneshot::Sender<Changes> },
    /// Sizes.
    Summary(oneshot::Sender<Summary>),
    /// All that should be in a data plane has been told: it may remove what an earlier run left and nobody asked for.
    Sweep(BackendId),
    /// End the thread.
    Stop,
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
        self.page(WalkQuery { within, start: from, limit, ..WalkQuery::default() }).await
    }

    /// A page of chosen routes as `query` says, at most [`PAGE_MAX`] long.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn page(&self, mut query: WalkQuery) -> Result<Page, Gone> {
        query.limit = query.limit.clamp(1, PAGE_MAX);
        self.ask(|reply| RibAsk::Walk(query, reply)).await
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
        self.watch_only(WatchFilter::default())
    }

    /// As [`RibHandle::watch`], but only what passes `filter`.
    #[must_use]
    pub fn watch_only(&self, filter: WatchFilter) -> RibWatch {
        RibWatch { rib: self.clone(), stage: Stage::Begin, filter, moved: self.position.clone() }
    }

    /// Follows the changes after a journal position that an earlier watch ended with; where the journal no longer reaches back
    /// so far, as [`RibHandle::watch`].
    #[must_use]
    pub fn watch_from(&self, after: u64) -> RibWatch {
        let mut watch = self.watch();
        watch.stage = Stage::Resume { after };
        watch
    }

    /// Where the BGP speaker puts its routes: the bulk lane itself.
    pub(crate) fn sink(&self) -> mpsc::Sender<Input> {
        self.inputs.clone()
    }

    /// Lets a data plane remove what an earlier run left there, behind everything that it has to be told now.
    pub(crate) async fn sweep(&self, backend: BackendId) -> Result<(), Gone> {
        Ok(self.urgent.send(RibAsk::Sweep(backend)).await?)
    }

    /// Ends the RIB's thread; whoever asks afterwards hears [`Gone`].
    pub(crate) async fn stop(&self) {
        let _ = self.urgent.send(RibAsk::Stop).await;
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
    filter: WatchFilter,
    moved: watch::Receiver<u64>,
}

#[derive(Clone, Debug)]
enum Stage {
    Begin,
    Resume { after: u64 },
    Walk { lease: Lease, from: Option<IpNet> },
    Synced { lease: Lease },
    Follow { lease: Lease },
}

/// Routes of one step of a watch.
const WATCH_STEP: usize = 512;

impl RibWatch {
    /// The next step; waits until there is one. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn next(&mut self) -> Result<WatchStep, Gone> {
        loop {
            match self.stage.clone() {
                Stage::Begin => {
                    // The watcher is there before the walk begins, so nothing falls between them.
                    let Some(lease) = self.lease(None).await? else { return Err(Gone) };
                    self.stage = Stage::Walk { lease, from: None };
                    return Ok(WatchStep::Reset);
                }
                Stage::Resume { after } => {
                    self.stage = match self.lease(Some(after)).await? {
                        Some(lease) => Stage::Follow { lease },
                        None => Stage::Begin,
                    };
                }
                Stage::Walk { lease, from } => {
                    let query = WalkQuery {
                        start: from,
                        within: self.filter.within,
                        source: self.filter.source,
                        limit: WATCH_STEP,
                        ..WalkQuery::default()
                    };
                    let page = self.rib.page(query).await?;
                    self.stage = match page.next {
                        Some(next) => Stage::Walk { lease, from: Some(next) },
                        None => Stage::Synced { lease },
                    };
                    if !page.routes.is_empty() {
                        return Ok(WatchStep::Snapshot(page.routes));
                    }
                }
                Stage::Synced { lease } => {
                    let began = lease.began;
                    self.stage = Stage::Follow { lease };
                    return Ok(WatchStep::Synced(began));
                }
                Stage::Follow { lease } => {
                    self.moved.borrow_and_update();
                    let id = lease.id;
                    let changes = self.rib.ask(|reply| RibAsk::Pull { id, limit: WATCH_STEP, reply }).await?;
                    if matches!(changes.pulled, Pulled::Overrun | Pulled::Unknown) {
                        self.stage = Stage::Begin;
                        continue;
                    }
                    if !changes.routes.is_empty() {
                        return Ok(WatchStep::Changed { routes: changes.routes, through: changes.through });
                    }
                    if changes.pulled == Pulled::Idle {
                        self.moved.changed().await.map_err(|_| Gone)?;
                    }
                }
            }
        }
    }

    async fn lease(&self, after: Option<u64>) -> Result<Option<Lease>, Gone> {
        let filter = self.filter;
        self.rib.ask(|reply| RibAsk::Watch { after, filter, reply }).await
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

/// Most differences that one [`FibHandle::diff`] names.
const DIFFERENCES_MAX: usize = 16_384;

/// The way to one data plane.
#[derive(Clone)]
pub struct FibHandle {
    /// Its number, as in [`RouteView::fib`].
    pub id: BackendId,
    /// Its name: `kernel`, `memory`.
    pub name: &'static str,
    pub(crate) backend: BackendHandle,
    pub(crate) rib: RibHandle,
}

impl std::fmt::Debug for FibHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FibHandle").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl FibHandle {
    /// Sizes and counts.
    ///
    /// # Errors
    /// [`Gone`] when the data plane has stopped.
    pub async fn stats(&self) -> Result<FibStats, Gone> {
        let view = self.backend.view().await.ok_or(Gone)?;
        Ok(FibStats {
            desired: view.ipv4 + view.ipv6,
            installed: view.installed,
            pending: view.pending,
            failed: view.failed,
            next_hops: view.next_hops,
            batches: view.counters.batches,
            resyncs: view.counters.dumps,
            error: match view.phase {
                Phase::Away(error) => Some(error.to_string()),
                Phase::Starting | Phase::Running => None,
            },
        })
    }

    /// A page of routes in prefix order, beginning at `from` (a page's `next`), at most `limit`. A page may be shorter, even
    /// empty, and yet have a `next`.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn entries(&self, from: Option<IpNet>, limit: usize) -> Result<FibPage, Gone> {
        let page = self.rib.walk(None, from, limit).await?;
        let entries = page.routes.into_iter().filter_map(|route| {
            let (_, state) = route.fib.into_iter().find(|(id, _)| *id == self.id)?;
            let installed = state == FibState::Installed;
            let fault = if let FibState::Failed(fault) = state { Some(fault) } else { None };
            Some(FibEntry { prefix: route.prefix, forwarding: route.forwarding, installed, fault })
        });
        Ok(FibPage { entries: entries.collect(), next: page.next })
    }

    /// What the data plane holds against what it should hold, by its own dump; at most 16,384 differences. The inner error says
    /// why it could not be read.
    ///
    /// # Errors
    /// [`Gone`] when the data plane has stopped.
    pub async fn diff(&self) -> Result<Result<Vec<FibDifference>, String>, Gone> {
        let found = match self.backend.diff(DIFFERENCES_MAX).await {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let differences = found.into_iter().filter_map(|one| match (one.wanted, one.found) {
            (Some(_), None) => Some(FibDifference::Missing(one.prefix)),
            (None, Some(_)) => Some(FibDifference::Surplus(one.prefix)),
            (Some(desired), Some(found)) => Some(FibDifference::Different { prefix: one.prefix, desired, found }),
            (None, None) => None,
        });
        Ok(Ok(differences.collect()))
    }

    /// Dumps the data plane and writes whatever differs. Returns once it has been read.
    ///
    /// # Errors
    /// [`Gone`] when the data plane has stopped.
    pub async fn resync(&self) -> Result<(), Gone> {
        self.backend.resync();
        self.backend.view().await.map(drop).ok_or(Gone)
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
