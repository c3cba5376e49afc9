//! Questions to the table: lookups, candidates and resumable walks.

use ipnet::IpNet;

use crate::family::AddressFamily;
use crate::route::Source;

/// One page of a walk. The default walks both families from the start, [`WalkQuery::DEFAULT_LIMIT`] routes a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkQuery {
    /// Only this family; both if `None`, IPv4 first.
    pub family: Option<AddressFamily>,
    /// Where to go on: [`crate::message::Page::next`] of the page before; it need not exist any more.
    pub start: Option<IpNet>,
    /// Only this prefix and longer ones under it.
    pub within: Option<IpNet>,
    /// Only best routes of this source.
    pub source: Option<Source>,
    /// Most routes of the page. A page may be shorter, even empty, and yet have a `next`: the work for one page is
    /// bounded too.
    pub limit: usize,
}

impl WalkQuery {
    /// Routes of a page when nothing is said.
    pub const DEFAULT_LIMIT: usize = 256;
}

impl Default for WalkQuery {
    fn default() -> Self {
        Self { family: None, start: None, within: None, source: None, limit: Self::DEFAULT_LIMIT }
    }
}
