//! Ways inside the domain: within an area (RFC 2328 §16.1, RFC 5340 §4.8.1), to other areas (§16.2), and shorter ones through
//! transit areas (§16.3).

use ipnet::IpNet;

use super::dests::Source;
use super::{Outcome, Path, PathKind, Routes, Share, offer};
use crate::config::AreaKind;
use crate::id::AreaId;

impl Routes {
    /// Finds the paths of all destinations that are to be looked at.
    pub(super) fn find_paths(&mut self, outcome: &mut Outcome) {
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut outside: Vec<u32> = Vec::new();
        let mut at = 0;
        while let Some(number) = dirty.get(at).copied() {
            at += 1;
            outcome.work.items += 1;
            let Some((prefix, before)) = self.dests.get(number).map(|dest| (dest.prefix, dest.path)) else { continue };
            let inside = self.inside(number);
            outcome.dests.push((number, before));
            if let Some(dest) = self.dests.get_mut(number) {
                dest.path = inside;
            }
            if inside.is_none() {
                outside.push(number);
            }
            // RFC 2328 §16.6 in reverse: what is sent to addresses in there may go another way now.
            if inside != before.filter(Path::inside) {
                self.dirty_forwarders(&prefix);
                dirty.append(&mut self.dirty);
            }
        }
        for number in outside {
            let path = self.outside(number);
            if let Some(dest) = self.dests.get_mut(number) {
                dest.path = path;
            }
        }
        for number in dirty {
            if let Some(dest) = self.dests.get_mut(number) {
                dest.dirty = false;
            }
        }
        outcome.dests.retain(|(number, before)| {
            let same = self.dests.get(*number).is_some_and(|dest| dest.path == *before);
            if same {
                self.dests.forget(*number);
            }
            !same
        });
    }

    /// Those that have no path and nothing that leads there are forgotten, once everybody knows.
    pub(crate) fn forget_gone(&mut self, outcome: &Outcome) {
        for (number, _) in &outcome.dests {
            self.dests.forget(*number);
        }
    }

    fn inside(&mut self, number: u32) -> Option<Path> {
        let dest = self.dests.get(number)?;
        let mut best: Option<Path> = None;
        let (prefix, sources) = (dest.prefix, dest.sources.clone());
        for source in &sources {
            if let Source::Intra { area, vertex, metric } = *source
                && let Some(path) = self.step_on(PathKind::Intra, area, vertex, metric)
            {
                offer(&mut best, path, &mut self.sets);
            }
        }
        if best.is_none() {
            for source in &sources {
                if let Some(path) = self.summary(source, Share::Examined, &prefix) {
                    offer(&mut best, path, &mut self.sets);
                }
            }
        }
        if let Some(held) = best.as_mut().filter(|held| held.area == AreaId::BACKBONE) {
            // §16.3: what goes through the backbone may go a shorter way through a transit area.
            for source in &sources {
                let Some(path) = self.summary(source, Share::Transit, &prefix) else { continue };
                if path.cost < held.cost {
                    (held.cost, held.hops) = (path.cost, path.hops);
                } else if path.cost == held.cost {
                    held.hops = self.sets.union(held.hops, path.hops);
                }
            }
        }
        best
    }

    fn summary(&self, source: &Source, share: Share, prefix: &IpNet) -> Option<Path> {
        let Source::Inter { area, vertex, metric } = *source else { return None };
        // The default route of a stub area is for those inside. Two border routers without a backbone, which look into all their
        // areas (RFC 3509 §2.2), would send to each other by it what neither has a way for; cf. RFC 3101 §2.5 (3) for type-7 ones.
        if prefix.prefix_len() == 0 && self.border() && self.area_kind(area) != Some(AreaKind::Normal) {
            return None;
        }
        if self.share(area) != share || !self.area(area)?.graph.flags(vertex).border {
            return None;
        }
        self.step_on(PathKind::Inter, area, vertex, metric)
    }

    /// The path that ends with a vertex and a metric beyond it.
    fn step_on(&self, kind: PathKind, area: u16, vertex: u32, metric: u32) -> Option<Path> {
        let (area, cost, hops) = self.reach(area, vertex)?;
        Some(Path { kind, area, cost: cost.saturating_add(metric), outer: 0, rank: 0, afar: false, tag: 0, hops })
    }
}
