//! The machine: routes of every source in, best routes to every data plane out.
//!
//! `handle` takes one input and does a bounded amount of work; what is left is announced by `has_work`. Data planes and
//! watchers are readers of one journal: they pull at their own pace and never hold the machine back.

use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use crate::delta::{BackendId, FibDelta};
use crate::message::{Candidate, Input, Output, Page, RouteView, Summary};
use crate::query::WalkQuery;
use crate::watch::{Pulled, WatchFilter, WatchId};

/// What the RIB must be told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RibConfig {
    /// Most changes kept for readers that are behind; a reader further behind walks the whole table (a data plane) or is
    /// told so (a watcher). Four octets each.
    pub journal_max_entries: usize,
}

impl Default for RibConfig {
    fn default() -> Self {
        Self { journal_max_entries: 1 << 20 }
    }
}

/// The routing information base.
#[derive(Debug)]
pub struct Rib {
    config: RibConfig,
}

impl Rib {
    /// An empty table.
    #[must_use]
    pub fn new(config: RibConfig) -> Self {
        Self { config }
    }

    /// Takes one input and does a bounded amount of work; answers are appended to `out`.
    pub fn handle(&mut self, _now: Instant, _input: Input, _out: &mut Vec<Output>) {}

    /// True while work waits that the budget cut off: call [`Rib::handle`] with [`Input::Work`] soon.
    #[must_use]
    pub fn has_work(&self) -> bool {
        false
    }

    /// Adds a data plane that leaves connected and foreign kernel routes to the host: the kernel itself, or its stand-in.
    pub fn add_backend(&mut self, _backend: BackendId) {}

    /// Adds a data plane that must be told of connected and foreign kernel routes too, because it forwards without asking
    /// the kernel (XDP, DPDK).
    pub fn add_standalone_backend(&mut self, _backend: BackendId) {}

    /// Forgets a data plane.
    pub fn remove_backend(&mut self, _backend: BackendId) {}

    /// Fills `delta` with the next at most `limit` changes for `backend`; returns true if more wait.
    pub fn pull_fib(&mut self, _backend: BackendId, _limit: usize, _delta: &mut FibDelta) -> bool {
        false
    }

    /// True if [`Rib::pull_fib`] would give something.
    #[must_use]
    pub fn fib_pending(&self, _backend: BackendId) -> bool {
        false
    }

    /// Starts a watcher of changes from now on.
    pub fn watch(&mut self, _filter: WatchFilter) -> WatchId {
        WatchId(0)
    }

    /// Ends a watcher.
    pub fn unwatch(&mut self, _id: WatchId) {}

    /// Appends at most `limit` changes to `out`, each prefix once with its current best route.
    pub fn pull_watch(&mut self, _id: WatchId, _limit: usize, _out: &mut Vec<(IpNet, Option<RouteView>)>) -> Pulled {
        Pulled::Idle
    }

    /// The best route of the longest prefix that covers `addr`.
    #[must_use]
    pub fn lookup(&self, _addr: IpAddr) -> Option<RouteView> {
        None
    }

    /// The best route of exactly this prefix.
    #[must_use]
    pub fn get(&self, _prefix: IpNet) -> Option<RouteView> {
        None
    }

    /// Every route that sources have for exactly this prefix, most preferred first, each with its verdict.
    #[must_use]
    pub fn candidates(&self, _prefix: IpNet) -> Vec<Candidate> {
        Vec::new()
    }

    /// One page of the best routes in prefix order.
    #[must_use]
    pub fn walk(&self, _query: &WalkQuery) -> Page {
        Page::default()
    }

    /// Sizes.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let _ = &self.config;
        Summary::default()
    }
}
