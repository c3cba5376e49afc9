//! The way to the thread that owns the RIB: questions, inputs, and watches that read its journal at their own pace.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use rib::BackendId;
use rib::message::{Candidate, Input, Page, RouteView, Summary};
use rib::query::WalkQuery;
use rib::watch::{Pulled, WatchFilter, WatchId};
use tokio::sync::{mpsc, oneshot, watch};

use super::Gone;

/// Inputs waiting for the RIB. Full: the sender waits, so that the BGP session stops reading and TCP slows the peer.
pub const RIB_INPUTS: usize = 64;
/// Questions and urgent inputs waiting for the RIB. Full: the asker waits.
pub const RIB_URGENT: usize = 256;
/// Most routes in one page or one batch of changes, whatever was asked for: it bounds how long the RIB's owner is held.
pub const PAGE_MAX: usize = 512;
/// Most addresses of one question, for the same reason.
pub(crate) const LOOKUPS_MAX: usize = 256;

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
    /// The same of several addresses, at most [`LOOKUPS_MAX`].
    LookupMany(Vec<IpAddr>, oneshot::Sender<Vec<Option<RouteView>>>),
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

    /// As [`RibHandle::lookup`] for several addresses, answered in their order. They are asked for in parts of [`LOOKUPS_MAX`], so
    /// the answers may be of several moments.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn lookup_many(&self, addrs: &[IpAddr]) -> Result<Vec<Option<RouteView>>, Gone> {
        let mut all = Vec::with_capacity(addrs.len());
        for part in addrs.chunks(LOOKUPS_MAX) {
            all.append(&mut self.ask(|reply| RibAsk::LookupMany(part.to_vec(), reply)).await?);
        }
        Ok(all)
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

    /// Keeps the changes from now on, within the journal's bound, so that a watch that ends can be resumed. Drop it to let them go.
    ///
    /// # Errors
    /// [`Gone`] when the RIB has stopped.
    pub async fn anchor(&self) -> Result<Anchor, Gone> {
        let filter = WatchFilter::default();
        let lease = self.ask(|reply| RibAsk::Watch { after: None, filter, reply }).await?;
        lease.map(Anchor).ok_or(Gone)
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

/// Keeps the journal from being trimmed past the moment it was taken, for as long as it lives; see [`RibHandle::anchor`].
#[derive(Clone, Debug)]
pub struct Anchor(#[allow(dead_code, reason = "held only to be dropped")] Lease);

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
                        sources: self.filter.sources,
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
