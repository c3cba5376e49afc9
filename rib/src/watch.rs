//! Watchers: readers of the journal that want routes as people see them.

use ipnet::IpNet;

use crate::family::{V4, V6};
use crate::journal::{Cursor, Overrun};
use crate::message::RouteView;
use crate::rib::Rib;
use crate::route::Sources;
use crate::table::{Key, Tabled};

/// A watcher's number, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub u64);

/// What a watcher wants to see; the default is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchFilter {
    /// Only this prefix and longer ones under it.
    pub within: Option<IpNet>,
    /// Only best routes of these sources. A prefix whose best route is another source's is reported as gone.
    pub sources: Sources,
}

/// The outcome of one pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// More changes wait.
    More,
    /// Nothing waits.
    Idle,
    /// The watcher was too slow and changes are lost: it goes on from now; take a new snapshot by walking.
    Overrun,
    /// There is no such watcher.
    Unknown,
}

/// Journal entries read by one pull for each change it may return.
const ENTRIES_PER_CHANGE: usize = 16;

/// One watcher.
#[derive(Debug)]
pub(crate) struct Watcher {
    id: WatchId,
    filter: WatchFilter,
    pub(crate) cursor: Cursor,
}

impl Rib {
    /// Starts a watcher of changes of best routes from now on. Take a snapshot by [`Rib::walk`] after this call, then apply
    /// what [`Rib::pull_watch`] gives: nothing is missed.
    ///
    /// A prefix is reported when its best route changes. A next hop that moves under unchanged routes is not a change of
    /// theirs, however many they are.
    pub fn watch(&mut self, filter: WatchFilter) -> WatchId {
        self.last_watch += 1;
        let id = WatchId(self.last_watch);
        self.watchers.push(Watcher { id, filter, cursor: self.journal.now() });
        id
    }

    /// Starts a watcher that has seen every change up to `position`; `None` if the journal no longer reaches back so far.
    pub fn watch_from(&mut self, filter: WatchFilter, position: u64) -> Option<WatchId> {
        let cursor = Cursor::after(position);
        if position > self.journal.head() || self.journal.is_overrun(cursor) {
            return None;
        }
        let id = self.watch(filter);
        if let Some(watcher) = self.watchers.last_mut() {
            watcher.cursor = cursor;
        }
        Some(id)
    }

    /// The journal position up to which a watcher has seen every change; `None` if there is no such watcher.
    #[must_use]
    pub fn watch_position(&self, id: WatchId) -> Option<u64> {
        self.watchers.iter().find(|watcher| watcher.id == id).map(|watcher| watcher.cursor.passed())
    }

    /// The position of the newest change; 0 before the first.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.journal.head()
    }

    /// Ends a watcher.
    pub fn unwatch(&mut self, id: WatchId) {
        self.watchers.retain(|watcher| watcher.id != id);
    }

    /// Appends at most `limit` changes to `out`, each prefix with its current best route, `None` if it has none that the
    /// filter lets through.
    pub fn pull_watch(&mut self, id: WatchId, limit: usize, out: &mut Vec<(IpNet, Option<RouteView>)>) -> Pulled {
        let Some(at) = self.watchers.iter().position(|watcher| watcher.id == id) else { return Pulled::Unknown };
        let Watcher { filter, mut cursor, .. } = self.watchers[at];
        let full = out.len() + limit.max(1);
        let mut outcome = Pulled::More;
        for _ in 0..limit.max(1).saturating_mul(ENTRIES_PER_CHANGE) {
            if out.len() >= full {
                break;
            }
            match self.journal.read(&mut cursor) {
                Ok(Some((_, Key::MARKER))) => {}
                Ok(Some((position, key))) if key.is_v6() => out.extend(self.watched::<V6>(key, position, &filter)),
                Ok(Some((position, key))) => out.extend(self.watched::<V4>(key, position, &filter)),
                Ok(None) => break,
                Err(Overrun) => {
                    cursor = self.journal.now();
                    outcome = Pulled::Overrun;
                    break;
                }
            }
        }
        if outcome != Pulled::Overrun && !self.journal.is_behind(cursor) {
            outcome = Pulled::Idle;
        }
        self.watchers[at].cursor = cursor;
        outcome
    }

    /// True if [`Rib::pull_watch`] has something to say.
    #[must_use]
    pub fn watch_pending(&self, id: WatchId) -> bool {
        self.watchers.iter().any(|watcher| watcher.id == id && self.journal.is_behind(watcher.cursor))
    }

    fn watched<F: Tabled>(&self, key: Key, position: u64, filter: &WatchFilter) -> Option<(IpNet, Option<RouteView>)> {
        let dest = F::table(&self.tables).dest(key.slot());
        let prefix = F::net(dest.prefix);
        if dest.seq != position || filter.within.is_some_and(|within| !within.contains(&prefix)) {
            return None;
        }
        let shown = dest.best.is_some_and(|source| filter.sources.has(source));
        Some((prefix, self.view::<F>(key.slot()).filter(|_| shown)))
    }
}
