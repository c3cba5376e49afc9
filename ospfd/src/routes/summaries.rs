//! What a border router tells each of its areas of the others (RFC 2328 §12.4.3, RFC 3101 §2.7).

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Outcome, Path, PathKind, Routes};
use crate::config::{AreaConfig, AreaKind, AreaRange};
use crate::id::{AreaId, RouterId, Version};
use crate::lsa::{AsbrSummaryLsa, LS_INFINITY, LsaBody, SummaryLsa};
use crate::packet::{OPTION_E, OPTION_R, OPTION_V6};
use crate::spf::HopsId;

/// Something that an area should hear of us now, or no longer.
#[derive(Clone, Debug)]
pub(crate) enum Telling {
    /// Of a prefix.
    Prefix(AreaId, IpNet, Option<LsaBody>),
    /// Of a boundary router.
    Boundary(AreaId, RouterId, Option<LsaBody>),
}

/// Ranges that cover something that is told to an area: by that area, their own, and prefix, with the highest cost in them.
#[derive(Debug, Default)]
struct Told {
    ranges: BTreeMap<(AreaId, AreaId, IpNet), (AreaRange, u32)>,
}

impl Routes {
    /// Looks what the configured ranges cover now.
    fn told(&self) -> Told {
        let mut told = Told::default();
        if self.attached().values().all(|config| config.ranges.is_empty()) {
            return told;
        }
        for (_, prefix, path) in self.all_dests() {
            if let Some((area, range, path)) = path.and_then(|path| self.range_over(&path, &prefix)) {
                for to in self.attached().keys().filter(|to| self.crosses(&path, **to)) {
                    let held = told.ranges.entry((*to, area, range.prefix)).or_insert((range, 0));
                    held.1 = held.1.max(path.cost);
                }
            }
        }
        told
    }

    /// The range of its own area that stands for a prefix.
    fn range_over(&self, path: &Path, prefix: &IpNet) -> Option<(AreaId, AreaRange, Path)> {
        let config = self.attached().get(&path.area).filter(|_| path.kind == PathKind::Intra)?;
        let over = config.ranges.iter().filter(|range| range.prefix.contains(prefix));
        Some((path.area, *over.max_by_key(|range| range.prefix.prefix_len())?, *path))
    }

    /// Whether a path counts for a range.
    fn in_range(&self, path: &Path, prefix: &IpNet) -> bool {
        self.range_over(path, prefix).is_some()
    }

    /// The cost at which `area` should hear of a prefix from us.
    fn told_to(&self, told: &Told, area: AreaId, prefix: &IpNet) -> Option<u32> {
        let config = self.attached().get(&area).filter(|_| self.border())?;
        let cost = if takes_default(config) && *prefix == default(self.version) {
            Some(config.default_cost)
        } else if config.kind == AreaKind::Normal || !config.no_summary {
            self.range_told(told, area, prefix).or_else(|| {
                let path = self.path(prefix).filter(|path| self.crosses(path, area))?;
                let alone = !self.aggregates(path.area, area) || !self.in_range(&path, prefix);
                alone.then_some(path.cost)
            })
        } else {
            None
        };
        cost.filter(|cost| *cost < LS_INFINITY)
    }

    /// Whether a path is told to `area`.
    fn crosses(&self, path: &Path, area: AreaId) -> bool {
        path.inside() && passes(path.area, path.kind == PathKind::Intra, area) && !self.leads_into(path.hops, area)
    }

    /// A next hop is in `area`, which has a better word on it then, or would only send back what we told it to send to us: split
    /// horizon (§12.4.3).
    fn leads_into(&self, hops: HopsId, area: AreaId) -> bool {
        self.sets.get(hops).iter().any(|hop| self.around.area_of(hop.interface) == Some(area))
    }

    /// The backbone's own ranges are not used towards an area that virtual links go through (§12.4.3).
    fn aggregates(&self, from: AreaId, area: AreaId) -> bool {
        from != AreaId::BACKBONE || !self.graph(area).is_some_and(crate::spf::Graph::transit)
    }

    fn range_told(&self, told: &Told, area: AreaId, prefix: &IpNet) -> Option<u32> {
        let of = |from: &AreaId| told.ranges.get(&(area, *from, *prefix));
        let others = || self.attached().keys().filter(|from| **from != area && self.aggregates(**from, area));
        let (range, _) = others().find_map(of)?;
        let cost = others().filter_map(of).map(|(_, cost)| *cost).max()?;
        range.advertise.then_some(range.cost.unwrap_or(cost))
    }

    /// What areas should hear after a calculation that left them what they are.
    pub(crate) fn tellings(&self, outcome: &Outcome) -> Vec<Telling> {
        let mut tellings = Vec::new();
        if !self.border() {
            return tellings;
        }
        let mut prefixes: Vec<IpNet> = Vec::with_capacity(outcome.dests.len());
        let mut ranges = false;
        for (number, before) in &outcome.dests {
            let Some((prefix, path)) = self.dest(*number) else { continue };
            prefixes.push(prefix);
            ranges |= [*before, path].iter().flatten().any(|path| self.in_range(path, &prefix));
        }
        if ranges {
            prefixes.extend(self.attached().values().flat_map(|config| &config.ranges).map(|range| range.prefix));
        }
        let told = self.told();
        for area in self.attached().keys().copied() {
            let of_prefix = |prefix: &IpNet| Telling::Prefix(area, *prefix, self.summary_body(&told, area, prefix));
            tellings.extend(prefixes.iter().map(of_prefix));
            let of_router = |router: &RouterId| Telling::Boundary(area, *router, self.boundary_body(area, *router));
            tellings.extend(outcome.boundaries.iter().map(of_router));
        }
        tellings
    }

    /// Bodies of the summary-LSAs that `area` should have of us, all of them.
    pub(crate) fn summaries(&self, area: AreaId) -> Vec<LsaBody> {
        if !self.border() {
            return Vec::new();
        }
        let told = &self.told();
        let mut prefixes: Vec<IpNet> = self.all_dests().map(|(_, prefix, _)| prefix).collect();
        prefixes.extend(self.attached().values().flat_map(|config| &config.ranges).map(|range| range.prefix));
        prefixes.push(default(self.version));
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut bodies: Vec<LsaBody> =
            prefixes.iter().filter_map(|prefix| self.summary_body(told, area, prefix)).collect();
        bodies.extend(self.all_boundaries().into_iter().filter_map(|router| self.boundary_body(area, router)));
        bodies
    }

    /// The summary-LSA of a prefix into `area`.
    fn summary_body(&self, told: &Told, area: AreaId, prefix: &IpNet) -> Option<LsaBody> {
        let metric = self.told_to(told, area, prefix)?;
        Some(LsaBody::Summary(SummaryLsa { prefix: *prefix, prefix_options: 0, metric }))
    }

    /// The summary-LSA of a boundary router into `area`.
    fn boundary_body(&self, area: AreaId, router: RouterId) -> Option<LsaBody> {
        let kind = |area: AreaId| self.attached().get(&area).map(|config| config.kind);
        let way = self.boundary(router).filter(|_| self.border() && kind(area) == Some(AreaKind::Normal))?;
        let goes = way.cost < LS_INFINITY && passes(way.area, way.intra, area) && !self.leads_into(way.hops, area);
        let options = if self.version == Version::V3 { OPTION_V6 | OPTION_R | OPTION_E } else { 0 };
        goes.then_some(LsaBody::AsbrSummary(AsbrSummaryLsa { router, options, metric: way.cost }))
    }
}

fn takes_default(config: &AreaConfig) -> bool {
    config.kind == AreaKind::Stub || (config.kind == AreaKind::Nssa && config.no_summary)
}

/// What leads through the area `from` is told to `area`: ways inside areas to all others, ways to other areas only from the
/// backbone to the others (RFC 3509 §2.2).
fn passes(from: AreaId, intra: bool, area: AreaId) -> bool {
    from != area && (intra || from == AreaId::BACKBONE)
}

/// The default route.
fn default(version: Version) -> IpNet {
    match version {
        Version::V2 => IpNet::V4(Ipv4Net::default()),
        Version::V3 => IpNet::V6(Ipv6Net::default()),
    }
}
