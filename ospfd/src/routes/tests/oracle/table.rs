//! The routing table: prefixes of the areas we are in, of others through border routers (RFC 2328 §16.2, §16.3), and from
//! outside.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

use super::external::externals;
use super::tree::{Reach, Tree, grow};
use super::{Hops, Lsas, Path, PathKind, Prefixes, Snapshot, merge, offer};
use crate::config::AreaKind;
use crate::id::{AreaId, RouterId, Version};
use crate::lsa::{LS_INFINITY, LinkKind, LsaBody, PREFIX_NU};

/// A way to an AS boundary router.
#[derive(Clone, Debug)]
pub(crate) struct Boundary {
    pub(crate) area: AreaId,
    pub(crate) intra: bool,
    pub(crate) reach: Reach,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) prefixes: Prefixes,
    pub(crate) trees: BTreeMap<AreaId, Tree>,
    pub(crate) boundaries: BTreeMap<RouterId, Vec<Boundary>>,
}

/// Calculates everything.
pub(crate) fn calculate(snapshot: &Snapshot) -> Table {
    let mut table = Table::default();
    // The backbone last: its virtual links lead through the others.
    let mut far_ends: BTreeMap<RouterId, Hops> = BTreeMap::new();
    let areas = snapshot.areas.iter().filter(|(area, _)| **area != AreaId::BACKBONE);
    for (area, (config, lsas)) in areas.chain(snapshot.areas.get_key_value(&AreaId::BACKBONE)) {
        let tree = grow(snapshot, *area, lsas, &far_ends);
        for end in &config.virtual_links {
            if let Some((reach, _)) = tree.routers.get(end) {
                far_ends.entry(*end).or_insert_with(|| reach.hops.clone());
            }
        }
        intra(snapshot, *area, lsas, &tree, &mut table.prefixes);
        for (router, (reach, flags)) in &tree.routers {
            if flags.external && *router != snapshot.router {
                let boundary = Boundary { area: *area, intra: true, reach: reach.clone() };
                table.boundaries.entry(*router).or_default().push(boundary);
            }
        }
        table.trees.insert(*area, tree);
    }
    inter(snapshot, &mut table);
    externals(snapshot, &mut table);
    table
}

fn intra_path(area: AreaId, reach: &Reach, metric: u32) -> Path {
    let cost = reach.cost.saturating_add(metric);
    Path { kind: PathKind::Intra, area, cost, outer: 0, rank: 0, second: false, tag: 0, hops: reach.hops.clone() }
}

/// Prefixes of an area (§16.1 (4) and stage two, RFC 5340 §4.8.1 with §4.4.3.9).
fn intra(snapshot: &Snapshot, area: AreaId, lsas: &Lsas, tree: &Tree, prefixes: &mut Prefixes) {
    let v2 = snapshot.version == Version::V2;
    for (header, body) in &lsas.0 {
        let key = header.key;
        match body {
            LsaBody::Network(lsa) if v2 => {
                let Some(reach) = tree.networks.get(&(key.id, key.adv)) else { continue };
                if let Some(Ok(net)) = lsa.mask_len.map(|length| Ipv4Net::new(Ipv4Addr::from(key.id), length)) {
                    offer(prefixes, IpNet::V4(net.trunc()), intra_path(area, reach, 0));
                }
            }
            LsaBody::Router(lsa) if v2 => {
                let Some((reach, _)) = tree.routers.get(&key.adv) else { continue };
                for link in lsa.links.iter().filter(|link| link.kind == LinkKind::Stub) {
                    let length = u8::try_from(link.data.leading_ones()).unwrap_or(32);
                    if let Ok(net) = Ipv4Net::new(Ipv4Addr::from(link.id), length) {
                        offer(prefixes, IpNet::V4(net.trunc()), intra_path(area, reach, u32::from(link.metric)));
                    }
                }
            }
            LsaBody::IntraAreaPrefix(lsa) => {
                let to = lsa.referenced;
                if to.adv != key.adv {
                    continue; // RFC 5340 §A.4.10: of the same originator
                }
                let reach = if matches!(to.kind.0, 1 | 0x2001) {
                    tree.routers.get(&to.adv).map(|(reach, _)| reach)
                } else {
                    tree.networks.get(&(to.id, to.adv))
                };
                let Some(reach) = reach else { continue };
                for prefix in lsa.prefixes.iter().filter(|prefix| prefix.options & PREFIX_NU == 0) {
                    offer(prefixes, IpNet::V6(prefix.prefix), intra_path(area, reach, u32::from(prefix.metric)));
                }
            }
            _ => {}
        }
    }
}

/// Prefixes and boundary routers of other areas (§16.2), improved through transit areas (§16.3).
fn inter(snapshot: &Snapshot, table: &mut Table) {
    // RFC 3509 §2.2: a border router without a live backbone looks into all its areas.
    let backbone = table.trees.get(&AreaId::BACKBONE).is_some_and(|tree| tree.routers.len() > 1);
    let only_backbone = snapshot.border() && backbone;
    for (area, (config, lsas)) in &snapshot.areas {
        let examined = !only_backbone || *area == AreaId::BACKBONE;
        let Some(tree) = table.trees.get(area) else { continue };
        let transit = !examined && tree.transit && *area != AreaId::BACKBONE;
        if !examined && !transit {
            continue;
        }
        for (header, body) in &lsas.0 {
            let adv = header.key.adv;
            let Some((reach, flags)) = tree.routers.get(&adv).filter(|_| adv != snapshot.router) else { continue };
            if !flags.border {
                continue;
            }
            match body {
                // Defaults of stub areas are for those inside.
                LsaBody::Summary(lsa)
                    if snapshot.border() && config.kind != AreaKind::Normal && lsa.prefix.prefix_len() == 0 => {}
                LsaBody::Summary(lsa) if lsa.metric < LS_INFINITY && lsa.prefix_options & PREFIX_NU == 0 => {
                    let path = Path {
                        kind: PathKind::Inter,
                        area: *area,
                        cost: reach.cost.saturating_add(lsa.metric),
                        outer: 0,
                        rank: 0,
                        second: false,
                        tag: 0,
                        hops: reach.hops.clone(),
                    };
                    if examined {
                        offer(&mut table.prefixes, lsa.prefix, path);
                    } else if let Some(held) = table.prefixes.get_mut(&lsa.prefix) {
                        shortcut(held, path);
                    }
                }
                LsaBody::AsbrSummary(lsa) if lsa.metric < LS_INFINITY && lsa.router != snapshot.router && examined => {
                    let reach = Reach { cost: reach.cost.saturating_add(lsa.metric), hops: reach.hops.clone() };
                    let boundary = Boundary { area: *area, intra: false, reach };
                    let held = table.boundaries.entry(lsa.router).or_default();
                    // §16.2 (6): in one area, the way inside is always preferred.
                    if !held.iter().any(|held| held.intra && held.area == *area) {
                        held.push(boundary);
                    }
                }
                _ => {}
            }
        }
    }
}

/// §16.3: what goes through the backbone may go a shorter way through a transit area.
fn shortcut(held: &mut Path, path: Path) {
    if held.area != AreaId::BACKBONE || held.kind > PathKind::Inter {
        return;
    }
    if path.cost < held.cost {
        held.cost = path.cost;
        held.hops = path.hops;
    } else if path.cost == held.cost {
        merge(&mut held.hops, &path.hops);
    }
}
