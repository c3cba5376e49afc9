//! Prefixes from outside: AS-external-LSAs (RFC 2328 §16.4) and type-7 LSAs (RFC 3101 §2.5).

use std::net::IpAddr;

use ipnet::IpNet;

use super::table::{Boundary, Table};
use super::{Path, PathKind, Prefixes, Snapshot, merge, offer};
use crate::config::AreaKind;
use crate::id::{AreaId, RouterId};
use crate::lsa::{ExternalLsa, LS_INFINITY, LsaBody, LsaHeader, PREFIX_NU, PREFIX_P};
use crate::packet::OPTION_N;

pub(super) fn externals(snapshot: &Snapshot, table: &mut Table) {
    let mut found = Prefixes::new();
    for (header, body) in &snapshot.externals.0 {
        if let LsaBody::External(lsa) = body {
            one(snapshot, table, header, lsa, None, &mut found);
        }
    }
    for (area, (config, lsas)) in &snapshot.areas {
        if config.kind != AreaKind::Nssa {
            continue;
        }
        for (header, body) in &lsas.0 {
            if let LsaBody::External(lsa) = body {
                one(snapshot, table, header, lsa, Some(*area), &mut found);
            }
        }
    }
    for (prefix, path) in found {
        // Inside goes before outside (§11).
        table.prefixes.entry(prefix).or_insert(path);
    }
}

/// Whether a type-7 LSA is to be translated (RFC 3101 §2.4).
fn propagates(header: &LsaHeader, lsa: &ExternalLsa) -> bool {
    u32::from(header.options) & OPTION_N != 0 || lsa.prefix_options & PREFIX_P != 0
}

fn one(
    snapshot: &Snapshot,
    table: &Table,
    header: &LsaHeader,
    lsa: &ExternalLsa,
    nssa: Option<AreaId>,
    found: &mut Prefixes,
) {
    let adv = header.key.adv;
    if lsa.metric >= LS_INFINITY || adv == snapshot.router || lsa.prefix_options & PREFIX_NU != 0 {
        return;
    }
    let Some(boundary) = best(snapshot, table, adv, nssa) else { return };
    let rank = match nssa {
        None => 1,
        Some(_) if propagates(header, lsa) && lsa.forwarding.is_some() => 0,
        Some(_) => 2,
    };
    // RFC 3101 §2.5 (3): a border router does not take defaults from the NSSA that are not meant for it.
    if nssa.is_some() && rank == 2 && snapshot.border() && lsa.prefix.prefix_len() == 0 {
        return;
    }
    let (inside, area, cost, hops) = match lsa.forwarding {
        None => (boundary.intra, boundary.area, boundary.reach.cost, boundary.reach.hops),
        Some(address) => {
            let Some(path) = longest(&table.prefixes, address) else { return };
            let inside = match nssa {
                None => path.kind <= PathKind::Inter,
                Some(area) => path.kind == PathKind::Intra && path.area == area,
            };
            if !inside {
                return;
            }
            // On a link of ours the forwarding address itself is the first step.
            let mut hops = path.hops.clone();
            for hop in &mut hops {
                hop.via = hop.via.or(Some(address));
            }
            if hops.is_empty() {
                let on = snapshot
                    .links
                    .iter()
                    .find(|own| own.area == path.area && own.nets.iter().any(|held| held.contains(&address)));
                let Some(hop) = on.map(|own| super::Hop { interface: own.interface, via: Some(address) }) else {
                    return;
                };
                merge(&mut hops, &[hop]);
            }
            (path.kind == PathKind::Intra, path.area, path.cost, hops)
        }
    };
    let (kind, cost, outer) = if lsa.type2 {
        (PathKind::External2, cost, lsa.metric)
    } else {
        (PathKind::External1, cost.saturating_add(lsa.metric), 0)
    };
    let second = !(inside && area != AreaId::BACKBONE);
    offer(found, lsa.prefix, Path { kind, area, cost, outer, rank, second, tag: lsa.tag, hops });
}

/// The way to a boundary router through areas that take type-5 LSAs, or through one NSSA (§16.4.1, RFC 3101 §2.5 (3)): inside
/// areas other than the backbone first, then by cost, then by the highest area; all equal ones together.
pub(crate) fn best(snapshot: &Snapshot, table: &Table, router: RouterId, nssa: Option<AreaId>) -> Option<Boundary> {
    let ways = table.boundaries.get(&router)?.iter();
    let fits = |way: &&Boundary| match nssa {
        None => snapshot.areas.get(&way.area).is_some_and(|(config, _)| config.kind == AreaKind::Normal),
        Some(area) => way.area == area && way.intra,
    };
    let ways: Vec<&Boundary> = ways.filter(fits).collect();
    let order = |way: &Boundary| {
        (!(way.intra && way.area != AreaId::BACKBONE), way.reach.cost, std::cmp::Reverse(way.area), !way.intra)
    };
    let mut best = (*ways.iter().min_by_key(|way| order(way))?).clone();
    for way in ways {
        if order(way) == order(&best) {
            merge(&mut best.reach.hops, &way.reach.hops);
        }
    }
    Some(best)
}

fn longest(prefixes: &Prefixes, address: IpAddr) -> Option<&Path> {
    let most = if address.is_ipv4() { 32 } else { 128 };
    (0..=most).rev().find_map(|length| {
        let net = IpNet::new(address, length).ok()?.trunc();
        prefixes.get(&net).filter(|path| path.kind <= PathKind::Inter)
    })
}
