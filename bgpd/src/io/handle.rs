//! The handle: what the rest of the daemon holds of a running speaker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rib::Answer;
use rib::message::Reachability;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::lanes::Lanes;
use crate::config::SpeakerConfig;
use crate::speaker::message::{Command, Event, LinkAddress, LocalBatch, NeighborKey, Query, Reply};

/// A wish and where its answer goes.
#[derive(Debug)]
pub(super) enum Request {
    Command(Command, oneshot::Sender<Result<(), RequestError>>),
    Query(Query, oneshot::Sender<Reply>),
    Configure(Box<SpeakerConfig>, oneshot::Sender<()>),
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The speaker's thread has ended.
    #[error("the BGP speaker is not running")]
    Stopped,
    /// The command names a neighbor that is not there.
    #[error("there is no neighbor {0}; `anyhop show neighbors` lists them")]
    NoSuchNeighbor(NeighborKey),
}

/// What the carrier has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted from configured neighbors.
    pub accepted: u64,
    /// Connections refused because they came from no neighbor.
    pub strangers: u64,
    /// Connections refused because their neighbor has too many open.
    pub crowded: u64,
    /// Connections of neighbors refused because they were not protected as configured (TCP-MD5, GTSM).
    pub unprotected: u64,
    /// Connections of ours that stood.
    pub connected: u64,
    /// Connections of ours that could not be made.
    pub connect_failed: u64,
    /// Octets received.
    pub octets_in: u64,
    /// Octets sent.
    pub octets_out: u64,
    /// Times that reading stopped because the RIB's inbox was full.
    pub rib_full: u64,
}

/// The counters as the thread writes them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) accepted: AtomicU64,
    pub(super) strangers: AtomicU64,
    pub(super) crowded: AtomicU64,
    pub(super) unprotected: AtomicU64,
    pub(super) connected: AtomicU64,
    pub(super) connect_failed: AtomicU64,
    pub(super) octets_in: AtomicU64,
    pub(super) octets_out: AtomicU64,
    pub(super) rib_full: AtomicU64,
}

/// Adds to one of the counters.
pub(super) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

/// A running speaker. Clones are the same speaker; when the last one is dropped, it shuts down.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    lanes: Arc<Lanes>,
    counters: Arc<Tally>,
    events: broadcast::Sender<Event>,
    ended: watch::Receiver<()>,
    listening: Arc<[SocketAddr]>,
}

impl Handle {
    pub(super) fn new(
        requests: mpsc::Sender<Request>,
        lanes: Arc<Lanes>,
        counters: Arc<Tally>,
        events: broadcast::Sender<Event>,
        ended: watch::Receiver<()>,
        listening: Vec<SocketAddr>,
    ) -> Self {
        Self { requests, lanes, counters, events, ended, listening: listening.into() }
    }

    /// Changes our own routes. Never blocks and overtakes all bulk work: of several pending changes to a prefix the latest counts.
    /// May be called from any thread.
    pub fn local(&self, batch: LocalBatch) {
        self.lanes.put_local(batch);
    }

    /// Tells how tracked next hops are reached now. Never blocks and overtakes all bulk work: of several pending states of an address
    /// the latest counts. May be called from any thread.
    pub fn reach(&self, states: Vec<Reachability>) {
        self.lanes.put_reach(states);
    }

    /// Tells what became of routes after the batch of this number, for those who asked ([`rib::RouteBatch::ask`]). Never blocks; of several
    /// pending answers for a prefix the latest counts. May be called from any thread.
    pub fn answers(&self, through: u64, answers: Vec<Answer>) {
        self.lanes.put_answers(through, answers);
    }

    /// Tells which addresses the host has: our own next hops are chosen among them. Never blocks; the last word counts. May be called
    /// from any thread.
    pub fn addresses(&self, addresses: Vec<LinkAddress>) {
        self.lanes.put_addresses(addresses);
    }

    /// Carries out an operator's wish.
    ///
    /// # Errors
    /// The neighbor does not exist, or the speaker has stopped.
    pub async fn command(&self, command: Command) -> Result<(), RequestError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Command(command, answer)).await.map_err(|_| RequestError::Stopped)?;
        answered.await.map_err(|_| RequestError::Stopped)?
    }

    /// Asks a question. It is answered between two slices of work.
    ///
    /// # Errors
    /// The speaker has stopped.
    pub async fn query(&self, query: Query) -> Result<Reply, RequestError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Query(query, answer)).await.map_err(|_| RequestError::Stopped)?;
        answered.await.map_err(|_| RequestError::Stopped)
    }

    /// Hands over a new configuration: neighbors whose own part is equal are not touched. Returns when the difference has been
    /// taken up; sessions follow.
    ///
    /// # Errors
    /// The speaker has stopped.
    pub async fn configure(&self, config: SpeakerConfig) -> Result<(), RequestError> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Configure(Box::new(config), answer);
        self.requests.send(request).await.map_err(|_| RequestError::Stopped)?;
        answered.await.map_err(|_| RequestError::Stopped)
    }

    /// What happens from now on. A receiver that lags behind by more than 4096 events loses the oldest and is told so.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Tally {
            accepted,
            strangers,
            crowded,
            unprotected,
            connected,
            connect_failed,
            octets_in,
            octets_out,
            rib_full,
        } = &*self.counters;
        Counters {
            accepted: read(accepted),
            strangers: read(strangers),
            crowded: read(crowded),
            unprotected: read(unprotected),
            connected: read(connected),
            connect_failed: read(connect_failed),
            octets_in: read(octets_in),
            octets_out: read(octets_out),
            rib_full: read(rib_full),
        }
    }

    /// The addresses listened on, with the ports that port 0 became.
    #[must_use]
    pub fn listening(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// Withdraws our own routes, closes every session with a Cease, and returns when the thread has ended.
    pub async fn shutdown(&self) {
        self.end(Command::Shutdown).await;
    }

    /// The same before a restart over which the data plane forwards on; see [`Command::Restart`].
    pub async fn restart(&self) {
        self.end(Command::Restart).await;
    }

    async fn end(&self, how: Command) {
        // An error means that the thread has ended already.
        let _ = self.command(how).await;
        self.ended().await;
    }

    /// Returns when the thread has ended, for whatever reason.
    pub async fn ended(&self) {
        // The sender never sends: the only event is its drop.
        let _ = self.ended.clone().changed().await;
    }
}
