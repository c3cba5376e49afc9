//! What a border router tells each of its areas of the others (RFC 2328 §12.4.3, RFC 3101 §2.7).

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::external::best;
use super::{Hops, Path, PathKind, Snapshot, Table};
use crate::config::{AreaConfig, AreaKind, AreaRange};
use crate::id::{AreaId, Version};
use crate::lsa::{AsbrSummaryLsa, LS_INFINITY, LsaBody, SummaryLsa};
use crate::packet::{OPTION_E, OPTION_R, OPTION_V6};

/// Bodies of the summary-LSAs that `area` should have of us.
pub(crate) fn summaries(snapshot: &Snapshot, table: &Table, area: AreaId) -> Vec<LsaBody> {
    let Some((config, _)) = snapshot.areas.get(&area).filter(|_| snapshot.border()) else { return Vec::new() };
    let mut told: BTreeMap<IpNet, u32> = BTreeMap::new();
    if config.kind == AreaKind::Normal || !config.no_summary {
        let transit = table.trees.get(&area).is_some_and(|tree| tree.transit);
        let mut ranges: BTreeMap<IpNet, (AreaRange, u32)> = BTreeMap::new();
        for (prefix, path) in &table.prefixes {
            if !crosses(snapshot, path, area) {
                continue;
            }
            let from = snapshot.areas.get(&path.area).map(|(config, _)| config);
            // The backbone's own ranges are not used towards an area that virtual links go through (§12.4.3).
            let aggregate = path.kind == PathKind::Intra && !(transit && path.area == AreaId::BACKBONE);
            match from.filter(|_| aggregate).and_then(|from| range_of(from, prefix)) {
                Some(range) => {
                    let held = ranges.entry(range.prefix).or_insert((range, 0));
                    held.1 = held.1.max(path.cost);
                }
                None => {
                    told.insert(*prefix, path.cost);
                }
            }
        }
        for (prefix, (range, cost)) in ranges {
            if range.advertise {
                told.insert(prefix, range.cost.unwrap_or(cost));
            }
        }
    }
    if config.kind == AreaKind::Stub || (config.kind == AreaKind::Nssa && config.no_summary) {
        told.insert(default(snapshot.version), config.default_cost);
    }
    let mut bodies: Vec<LsaBody> = told
        .into_iter()
        .filter(|(_, cost)| *cost < LS_INFINITY)
        .map(|(prefix, metric)| LsaBody::Summary(SummaryLsa { prefix, prefix_options: 0, metric }))
        .collect();
    if config.kind == AreaKind::Normal {
        for router in table.boundaries.keys() {
            let Some(way) = best(snapshot, table, *router, None) else { continue };
            let inter = !way.intra && way.area != AreaId::BACKBONE;
            let back = way.area == area || leads_into(snapshot, &way.reach.hops, area);
            if back || inter || way.reach.cost >= LS_INFINITY {
                continue;
            }
            let options = if snapshot.version == Version::V3 { OPTION_V6 | OPTION_R | OPTION_E } else { 0 };
            bodies.push(LsaBody::AsbrSummary(AsbrSummaryLsa { router: *router, options, metric: way.reach.cost }));
        }
    }
    bodies
}

/// Whether a path is told to `area`: intra-area ones to all others, inter-area ones from the backbone to the others (RFC 3509
/// §2.2), and none where it leads to itself.
fn crosses(snapshot: &Snapshot, path: &Path, area: AreaId) -> bool {
    let goes = match path.kind {
        PathKind::Intra => path.area != area,
        PathKind::Inter => path.area == AreaId::BACKBONE && area != AreaId::BACKBONE,
        PathKind::External1 | PathKind::External2 => false,
    };
    goes && !leads_into(snapshot, &path.hops, area)
}

fn leads_into(snapshot: &Snapshot, hops: &Hops, area: AreaId) -> bool {
    hops.iter().any(|hop| snapshot.links.iter().any(|own| own.interface == hop.interface && own.area == area))
}

fn range_of(config: &AreaConfig, prefix: &IpNet) -> Option<AreaRange> {
    config
        .ranges
        .iter()
        .filter(|range| range.prefix.contains(prefix))
        .max_by_key(|range| range.prefix.prefix_len())
        .copied()
}

/// The default route.
fn default(version: Version) -> IpNet {
    match version {
        Version::V2 => IpNet::V4(Ipv4Net::default()),
        Version::V3 => IpNet::V6(Ipv6Net::default()),
    }
}
