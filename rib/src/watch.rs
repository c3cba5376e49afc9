//! Watchers: readers of the journal that want routes as people see them.

use ipnet::IpNet;

use crate::route::Source;

/// A watcher's number, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub u64);

/// What a watcher wants to see; the default is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchFilter {
    /// Only this prefix and longer ones under it.
    pub within: Option<IpNet>,
    /// Only best routes of this source. A prefix whose best route is another source's is reported as gone.
    pub source: Option<Source>,
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
