//! How the rest of the daemon speaks to an instance: requests through a bounded queue, routes to announce through a mailbox
//! that keeps the last word per prefix, because who redistributes must not wait.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use nix::sys::eventfd::EventFd;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::config::BfdConfig;
use crate::id::{AreaId, InterfaceId, RouterId, Version};
use crate::lsa::LsaHeader;
use crate::message::{Alarm, Event, ExternalRoute, Input, ServiceRoute};
use crate::view::{Query, View};

/// Something people should hear of.
#[derive(Clone, Debug)]
pub enum Notice {
    /// An operator must know.
    Alarm(Alarm),
    /// Good to know.
    Event(Event),
}

/// A database changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LsdbChange {
    /// The area; `None` for AS scope.
    pub area: Option<AreaId>,
    /// The interface of a link-scoped one.
    pub interface: Option<InterfaceId>,
    /// Its header now.
    pub header: LsaHeader,
    /// It left the database.
    pub gone: bool,
}

/// How an instance ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// For good: our LSAs are flushed.
    Leave,
    /// For a short time: neighbors are asked to keep us (RFC 3623 §2.1).
    Restart,
}

/// What the carrier counted.
#[derive(Debug, Default)]
pub struct Counters {
    received: AtomicU64,
    sent: AtomicU64,
    send_errors: AtomicU64,
}

impl Counters {
    pub(super) fn received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, done: &io::Result<()>) {
        let counter = if done.is_ok() { &self.sent } else { &self.send_errors };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Packets received, sent, and not sent because of an error.
    #[must_use]
    pub fn read(&self) -> [(&'static str, u64); 3] {
        [("received", &self.received), ("sent", &self.sent), ("send_errors", &self.send_errors)]
            .map(|(name, counter)| (name, counter.load(Ordering::Relaxed)))
    }
}

pub(super) enum Request {
    Input(Input),
    View(Query, oneshot::Sender<View>),
    Stop(Stop, oneshot::Sender<()>),
}

/// The last word per prefix of what is to be announced.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    pub(super) externals: BTreeMap<IpNet, Option<ExternalRoute>>,
    pub(super) services: BTreeMap<IpNet, Option<ServiceRoute>>,
}

/// What carrier and handles share.
pub(super) struct Shared {
    pub(super) wake: EventFd,
    pub(super) counters: Counters,
    mailbox: Mutex<Mailbox>,
}

impl Shared {
    pub(super) fn new(wake: EventFd) -> Self {
        Self { wake, counters: Counters::default(), mailbox: Mutex::default() }
    }

    pub(super) fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        // An insert that panicked half-way leaves nothing worse behind than a missing entry.
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ring(&self) {
        // An error means that the carrier has rung already, or is gone.
        let _ = self.wake.write(1);
    }
}

/// The way to an instance. Cheap to clone; the carrier ends with [`Handle::stop`] or with the last handle.
#[derive(Clone)]
pub struct Handle {
    pub(super) version: Version,
    pub(super) router: RouterId,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) shared: Arc<Shared>,
    pub(super) notices: broadcast::Sender<Notice>,
    pub(super) lsdb: broadcast::Sender<LsdbChange>,
    pub(super) bfd: watch::Receiver<BTreeMap<(InterfaceId, IpAddr), BfdConfig>>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("version", &self.version).finish_non_exhaustive()
    }
}

impl Handle {
    /// The version it speaks.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Our router id.
    #[must_use]
    pub fn router(&self) -> RouterId {
        self.router
    }

    /// Packets in and out.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Tells it that something happened. Waits while too much is on its way; nothing happens once it has ended.
    pub async fn tell(&self, input: Input) {
        let _ = self.requests.send(Request::Input(input)).await;
        self.shared.ring();
    }

    /// Redistributes routes, or takes them back. Does not wait; of several states of a prefix the last one counts.
    pub fn redistribute(&self, routes: impl IntoIterator<Item = (IpNet, Option<ExternalRoute>)>) {
        self.shared.mailbox().externals.extend(routes);
        self.shared.ring();
    }

    /// Announces services, or withdraws them. Does not wait; goes before everything else that waits.
    pub fn services(&self, routes: impl IntoIterator<Item = (IpNet, Option<ServiceRoute>)>) {
        self.shared.mailbox().services.extend(routes);
        self.shared.ring();
    }

    /// Asks; `None` once it has ended.
    pub async fn ask(&self, query: Query) -> Option<View> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::View(query, answer)).await.ok()?;
        self.shared.ring();
        answered.await.ok()
    }

    /// What happens from now on.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Changes of the databases from now on.
    pub async fn watch_lsdb(&self) -> broadcast::Receiver<LsdbChange> {
        let changes = self.lsdb.subscribe();
        self.tell(Input::WatchLsdb(true)).await;
        changes
    }

    /// The neighbors whose paths BFD should watch.
    #[must_use]
    pub fn bfd(&self) -> watch::Receiver<BTreeMap<(InterfaceId, IpAddr), BfdConfig>> {
        self.bfd.clone()
    }

    /// Ends it; returns once neighbors have been told.
    pub async fn stop(&self, how: Stop) {
        let (answer, answered) = oneshot::channel();
        if self.requests.send(Request::Stop(how, answer)).await.is_ok() {
            self.shared.ring();
            let _ = answered.await;
        }
    }
}
