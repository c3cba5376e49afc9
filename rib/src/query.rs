//! Questions to the table: lookups, candidates and resumable walks.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::family::{AddressFamily, Family, V4, V6};
use crate::message::{Candidate, Page, RouteView, Summary};
use crate::nexthop::{Discard, Forwarding, NextHopId};
use crate::rib::Rib;
use crate::route::{Source, Sources};
use crate::select;
use crate::table::{Lpm, Slot, Tabled};

/// One page of a walk. The default walks both families from the start, [`WalkQuery::DEFAULT_LIMIT`] routes a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkQuery {
    /// Only this family; both if `None`, IPv4 first.
    pub family: Option<AddressFamily>,
    /// Where to go on: [`Page::next`] of the page before; it need not exist any more.
    pub start: Option<IpNet>,
    /// Only this prefix and longer ones under it.
    pub within: Option<IpNet>,
    /// Only best routes of these sources.
    pub sources: Sources,
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
        Self { family: None, start: None, within: None, sources: Sources::ALL, limit: Self::DEFAULT_LIMIT }
    }
}

/// Destinations looked at for each route that a page may have, before the page is cut short.
const LOOKED_AT_PER_ROUTE: usize = 8;

impl Rib {
    /// The best route of the longest prefix that covers `addr`.
    #[must_use]
    pub fn lookup(&self, addr: IpAddr) -> Option<RouteView> {
        match addr {
            IpAddr::V4(addr) => self.covering::<V4>(addr).and_then(|slot| self.view::<V4>(slot)),
            IpAddr::V6(addr) => self.covering::<V6>(addr).and_then(|slot| self.view::<V6>(slot)),
        }
    }

    /// As [`Rib::lookup`], only the prefix and its next-hop object: nothing is copied.
    #[must_use]
    pub fn lookup_brief(&self, addr: IpAddr) -> Option<(IpNet, NextHopId)> {
        match addr {
            IpAddr::V4(addr) => self.covering::<V4>(addr).and_then(|slot| self.brief::<V4>(slot)),
            IpAddr::V6(addr) => self.covering::<V6>(addr).and_then(|slot| self.brief::<V6>(slot)),
        }
    }

    fn brief<F: Tabled>(&self, slot: Slot) -> Option<(IpNet, NextHopId)> {
        let table = F::table(&self.tables);
        let best = table.best(slot)?;
        Some((F::net(table.dest(slot).prefix), self.routes.next_hop(best.route)))
    }

    /// The destination with a best route that covers `addr` with the longest prefix. Destinations without one (unresolved, or
    /// removed and not yet freed) are passed over.
    pub(crate) fn covering<F: Tabled>(&self, addr: F::Addr) -> Option<Slot> {
        let table = F::table(&self.tables);
        let mut cover = table.tree.longest(F::host(addr));
        while let Some((prefix, slot)) = cover {
            if table.dest(slot).best.is_some() {
                return Some(slot);
            }
            cover = table.tree.shorter(prefix);
        }
        None
    }

    /// The best route of exactly this prefix.
    #[must_use]
    pub fn get(&self, prefix: IpNet) -> Option<RouteView> {
        match prefix {
            IpNet::V4(net) => self.tables.v4.get(net.trunc()).and_then(|slot| self.view::<V4>(slot)),
            IpNet::V6(net) => self.tables.v6.get(net.trunc()).and_then(|slot| self.view::<V6>(slot)),
        }
    }

    /// Every route that sources have for exactly this prefix, most preferred first, each with its verdict.
    #[must_use]
    pub fn candidates(&self, prefix: IpNet) -> Vec<Candidate> {
        match prefix {
            IpNet::V4(net) => self.candidates_of::<V4>(net.trunc()),
            IpNet::V6(net) => self.candidates_of::<V6>(net.trunc()),
        }
    }

    fn candidates_of<F: Tabled>(&self, prefix: F::Prefix) -> Vec<Candidate> {
        let table = F::table(&self.tables);
        let Some(slot) = table.get(prefix) else { return Vec::new() };
        let best = table.best(slot);
        let explain = |cand: crate::table::Cand| Candidate {
            source: cand.source,
            route: self.routes.route(cand.route).clone(),
            verdict: select::verdict(cand, best, &self.routes, &self.nexthops.hops),
        };
        table.candidates(slot).into_iter().map(explain).collect()
    }

    /// One page of the best routes in prefix order.
    #[must_use]
    pub fn walk(&self, query: &WalkQuery) -> Page {
        let mut page = Page::default();
        let within = query.within.map(|within| within.trunc());
        let mut start = query.start;
        if let Some(within) = within {
            start = Some(start.map_or(within, |start| start.max(within)));
        }
        let family = query.family.or(within.map(|within| AddressFamily::of(&within)));
        let mut budget = query.limit.max(1).saturating_mul(LOOKED_AT_PER_ROUTE);
        if family != Some(AddressFamily::Ipv6) && !matches!(start, Some(IpNet::V6(_))) {
            let from = start.and_then(V4::prefix).unwrap_or_default();
            self.walk_family::<V4>(from, within, query, &mut budget, &mut page);
            if page.next.is_some() || family == Some(AddressFamily::Ipv4) {
                return page;
            }
        }
        if family != Some(AddressFamily::Ipv4) {
            let from = start.and_then(V6::prefix).unwrap_or_default();
            self.walk_family::<V6>(from, within, query, &mut budget, &mut page);
        }
        page
    }

    fn walk_family<F: Tabled>(
        &self,
        from: F::Prefix,
        within: Option<IpNet>,
        query: &WalkQuery,
        budget: &mut usize,
        page: &mut Page,
    ) {
        let table = F::table(&self.tables);
        for (prefix, slot) in table.tree.from(from, true) {
            let net = F::net(prefix);
            if within.is_some_and(|within| !within.contains(&net)) {
                return;
            }
            if page.routes.len() >= query.limit.max(1) || *budget == 0 {
                page.next = Some(net);
                return;
            }
            *budget -= 1;
            let best = table.dest(slot).best;
            if best.is_some_and(|source| query.sources.has(source)) {
                page.routes.extend(self.view::<F>(slot));
            }
        }
    }

    /// A destination's best route in full.
    pub(crate) fn view<F: Tabled>(&self, slot: Slot) -> Option<RouteView> {
        let table = F::table(&self.tables);
        let best = table.best(slot)?;
        let dest = table.dest(slot);
        let prefix = F::net(dest.prefix);
        let next_hop_id = self.routes.next_hop(best.route);
        let forwarding = self.nexthops.hops.resolved(next_hop_id).cloned();
        Some(RouteView {
            prefix,
            route: self.routes.route(best.route).clone(),
            source: best.source,
            next_hop_id,
            // Unresolved only in the moment before the prefix is selected anew.
            forwarding: forwarding.unwrap_or(Forwarding::Discard(Discard::Unreachable)),
            fib: self.backends.iter().map(|backend| (backend.id, backend.state(prefix, dest.seq))).collect(),
        })
    }

    /// Sizes.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let by_source = Source::ALL.iter().map(|source| (*source, self.chosen_by_source[*source as usize]));
        Summary {
            ipv4: self.chosen_ipv4,
            ipv6: self.chosen_ipv6,
            by_source: by_source.filter(|(_, count)| *count > 0).collect(),
            next_hops: self.nexthops.hops.len(),
        }
    }
}
