//! What the RIB tells the data planes, and what they answer.
//!
//! Deltas are folded: a reader gets the *current* state of each changed prefix once, however often it changed since
//! the reader last looked. A batch's `through` is a position in the RIB's journal; a data plane that has applied the
//! batch answers with that position, and every prefix changed at or before it, and not named as failed, is installed.

use std::fmt;

use ipnet::IpNet;

use crate::nexthop::{Forwarding, NextHopId};

/// Which data plane, numbered in configuration order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId(pub u8);

/// A next-hop object to write. All of a batch's writes with `Some` come before its routes, those with `None` after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHopOp {
    /// The object.
    pub id: NextHopId,
    /// Its new meaning; `None` removes it, which happens only after its last route has been acknowledged elsewhere.
    pub forwarding: Option<Forwarding>,
}

/// A route to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FibRoute {
    /// The destination, host bits zero.
    pub prefix: IpNet,
    /// The next-hop object to use; `None` removes the route.
    pub next_hop: Option<NextHopId>,
}

/// Changes for one data plane, each prefix at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FibDelta {
    /// Next-hop objects to create or replace before the routes.
    pub next_hops: Vec<NextHopOp>,
    /// Routes to write or remove.
    pub routes: Vec<FibRoute>,
    /// Next-hop objects to remove after the routes.
    pub unused: Vec<NextHopId>,
    /// Set on the last batch of a full walk that was asked for: whatever the data plane holds of ours and has not been told of since
    /// the walk began may be swept.
    pub walk_done: bool,
    /// The journal position this batch brings the data plane to.
    pub through: u64,
}

impl FibDelta {
    /// True if the batch changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next_hops.is_empty() && self.routes.is_empty() && self.unused.is_empty() && !self.walk_done
    }
}

/// Why a data plane does not hold a route as told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FibFault {
    /// The address of a local route is not on any interface of this host yet.
    NotLocal,
    /// The data plane is full.
    CapacityExceeded,
    /// The data plane cannot express the route (family, number of legs, kind).
    Unsupported(&'static str),
    /// The data plane refused with this errno.
    Errno(i32),
}

impl fmt::Display for FibFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLocal => f.write_str("the address is not on any interface of this host"),
            Self::CapacityExceeded => f.write_str("the data plane is full"),
            Self::Unsupported(what) => write!(f, "the data plane cannot express it: {what}"),
            Self::Errno(errno) => std::io::Error::from_raw_os_error(errno.saturating_abs()).fmt(f),
        }
    }
}

/// A data plane's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FibProgress {
    /// Who answers.
    pub backend: BackendId,
    /// All changes up to this journal position have been applied, but for the failed ones.
    pub through: u64,
    /// Prefixes that newly failed, with the reason; they are retried by the data plane's own machine.
    pub failed: Vec<(IpNet, FibFault)>,
    /// Prefixes that had failed and are now as told.
    pub recovered: Vec<IpNet>,
}
