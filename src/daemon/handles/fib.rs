//! The way to one data plane: its own machine for sizes and differences, the RIB for what stands in it.

use fib_sync::backend::Facts;
use fib_sync::sync::{Counters, Difference, Latency, Phase};
use fib_sync::thread::BackendHandle;
use ipnet::IpNet;
use rib::message::FibState;
use rib::{BackendId, FibFault, Forwarding};

use super::{Gone, RibHandle};

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
    /// Of the refused ones, those without room.
    pub over_capacity: usize,
    /// Most routes, if it is bounded.
    pub capacity: Option<usize>,
    /// What has happened since start.
    pub counters: Counters,
    /// How long batches took.
    pub latency: Latency,
    /// What it says of itself: interfaces, counters.
    pub facts: Facts,
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

/// Most differences that one [`FibHandle::diff`] names.
const DIFFERENCES_MAX: usize = 16_384;

/// The way to one data plane.
#[derive(Clone)]
pub struct FibHandle {
    /// Its number, as in [`RouteView::fib`].
    pub id: BackendId,
    /// Its name: `kernel`, `xdp`, `memory`.
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
            over_capacity: view.over_capacity,
            capacity: view.capacity.routes,
            counters: view.counters,
            latency: view.latency,
            facts: view.facts,
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

    /// What the data plane holds against what it should hold, by its own dump; at most 16,384 differences.
    ///
    /// # Errors
    /// A sentence, when the data plane cannot be read.
    pub async fn diff(&self) -> Result<Vec<Difference>, String> {
        self.backend.diff(DIFFERENCES_MAX).await
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
