//! The routing table after any sequence of changes is the one that the plain calculation finds.

mod domain;
mod oracle;

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{Outcome, Path, Routes, Telling};
use crate::id::Version::{self, V2, V3};
use crate::id::{AreaId, RouterId};
use crate::lsa::LsaBody;
use crate::view::Vertex;
use domain::Domain;

const SEQUENCES: u64 = 1000;
const CHANGES: usize = 10;

/// What areas have been told, and the RIB.
#[derive(Default)]
struct Heard {
    rib: BTreeMap<IpNet, oracle::Path>,
    prefixes: BTreeMap<(AreaId, IpNet), LsaBody>,
    boundaries: BTreeMap<(AreaId, RouterId), LsaBody>,
}

impl Heard {
    fn hear(&mut self, routes: &Routes, outcome: &Outcome) {
        for (number, before) in &outcome.dests {
            let (prefix, path) = routes.dest(*number).unwrap();
            assert_eq!(self.rib.remove(&prefix), before.map(|path| plain(routes, &path)), "{prefix} before");
            if let Some(path) = path {
                self.rib.insert(prefix, plain(routes, &path));
            }
        }
        if outcome.all {
            (self.prefixes, self.boundaries) = (BTreeMap::new(), BTreeMap::new());
            for area in routes.attached().keys() {
                for body in routes.summaries(*area) {
                    self.take(*area, body);
                }
            }
            return;
        }
        for telling in routes.tellings(outcome) {
            match telling {
                Telling::Prefix(area, _, Some(body)) | Telling::Boundary(area, _, Some(body)) => self.take(area, body),
                Telling::Prefix(area, prefix, None) => _ = self.prefixes.remove(&(area, prefix)),
                Telling::Boundary(area, router, None) => _ = self.boundaries.remove(&(area, router)),
            }
        }
    }

    fn take(&mut self, area: AreaId, body: LsaBody) {
        match &body {
            LsaBody::Summary(lsa) => _ = self.prefixes.insert((area, lsa.prefix), body),
            LsaBody::AsbrSummary(lsa) => _ = self.boundaries.insert((area, lsa.router), body),
            other => panic!("{other:?}"),
        }
    }
}

fn plain(routes: &Routes, path: &Path) -> oracle::Path {
    let Path { kind, rank, afar, area, cost, outer, tag, hops } = *path;
    oracle::Path { kind, area, cost, outer, rank, second: afar, tag, hops: routes.sets().get(hops).into() }
}

/// Everything that was calculated against the plain calculation.
fn compare(routes: &Routes, heard: &Heard, snapshot: &oracle::Snapshot, what: &str) {
    let table = oracle::calculate(snapshot);
    for (area, tree) in &table.trees {
        let graph = routes.graph(*area).unwrap();
        let mut found: BTreeMap<Vertex, (u32, Vec<_>)> = BTreeMap::new();
        for (_, vertex, cost, hops) in graph.tree() {
            found.insert(vertex, (cost, routes.sets().get(hops).to_vec()));
        }
        let routers = tree.routers.iter().map(|(router, (reach, _))| (Vertex::Router(*router), reach));
        let networks = tree.networks.iter().map(|((id, adv), reach)| (Vertex::Network(*id, *adv), reach));
        let should: BTreeMap<Vertex, (u32, Vec<_>)> =
            routers.chain(networks).map(|(vertex, reach)| (vertex, (reach.cost, reach.hops.to_vec()))).collect();
        assert_eq!(found, should, "{what}: tree of {area}");
    }
    let paths = routes.all_dests().filter_map(|(_, prefix, path)| Some((prefix, plain(routes, &path?))));
    let paths: BTreeMap<IpNet, oracle::Path> = paths.collect();
    assert_eq!(paths, table.prefixes, "{what}: paths");
    assert_eq!(heard.rib, table.prefixes, "{what}: changes that were told");
    let mut prefixes = BTreeMap::new();
    let mut boundaries = BTreeMap::new();
    for area in snapshot.areas.keys() {
        for body in oracle::summaries(snapshot, &table, *area) {
            match &body {
                LsaBody::Summary(lsa) => _ = prefixes.insert((*area, lsa.prefix), body),
                LsaBody::AsbrSummary(lsa) => _ = boundaries.insert((*area, lsa.router), body),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(heard.prefixes, prefixes, "{what}: summaries");
    assert_eq!(heard.boundaries, boundaries, "{what}: boundary routers");
}

fn run(version: Version, seed: u64) -> [u32; 2] {
    let mut domain = Domain::new(version, seed);
    let mut routes = Routes::new(version, domain.root());
    let mut heard = Heard::default();
    let mut trees = [0; 2];
    for step in 0..=CHANGES {
        if step > 0 {
            domain.change();
        }
        domain.tell(&mut routes);
        let outcome = routes.calculate(domain.surroundings());
        heard.hear(&routes, &outcome);
        routes.forget_gone(&outcome);
        compare(&routes, &heard, &domain.snapshot(), &format!("{version:?} seed {seed} step {step}"));
        trees[0] += outcome.work.full;
        trees[1] += outcome.work.incremental;
    }
    trees
}

#[test]
fn incremental_equals_full_on_a_thousand_random_change_sequences() {
    for version in [V2, V3] {
        let mut trees = [0; 2];
        for seed in 0..SEQUENCES {
            let [full, incremental] = run(version, seed);
            trees = [trees[0] + full, trees[1] + incremental];
        }
        let [full, incremental] = trees;
        assert!(incremental > full, "{version:?}: {full} full, {incremental} incremental");
    }
}
