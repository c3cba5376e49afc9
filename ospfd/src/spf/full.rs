//! The whole tree: Dijkstra over flat arrays.

use std::cmp::Reverse;

use super::graph::{Around, Graph, ROOT};
use super::incremental::key;
use super::{HopSets, HopsId, UNREACHED};

impl Graph {
    /// Calculates the whole tree; what differs from before is appended to `changed`.
    pub(super) fn full(&mut self, around: &Around<'_>, sets: &mut HopSets) {
        let count = self.len();
        let mut scratch = std::mem::take(&mut self.scratch);
        std::mem::swap(&mut self.dist, &mut scratch.dist);
        std::mem::swap(&mut self.hops, &mut scratch.hops);
        self.dist.clear();
        self.dist.resize(count, UNREACHED);
        self.hops.clear();
        self.hops.resize(count, HopsId::NONE);
        let heap = &mut scratch.heap;
        heap.clear();
        if let Some(dist) = self.dist.first_mut() {
            *dist = 0;
        }
        heap.push(Reverse(key(0, true, ROOT)));
        let zeros = self.zeros > 0;
        let mut order: Vec<u32> = Vec::new();
        while let Some(Reverse(next)) = heap.pop() {
            let (cost, vertex) = super::incremental::unkey(next);
            if self.dist.get(vertex as usize) != Some(&cost) {
                continue;
            }
            if zeros {
                order.push(vertex);
            }
            let row = self.rows.get(vertex);
            for (at, edge) in row.iter().enumerate() {
                let there = cost.saturating_add(edge.cost);
                let Some(held) = self.dist.get(edge.to as usize).copied().filter(|_| there != UNREACHED) else {
                    continue;
                };
                if there > held || edge.to == ROOT {
                    continue;
                }
                let steps = self.steps(vertex, at, edge, around, sets);
                let Some(hops) = self.hops.get_mut(edge.to as usize) else { continue };
                if there == held {
                    *hops = sets.union(*hops, steps);
                    continue;
                }
                *hops = steps;
                if let (Some(dist), Some(router)) =
                    (self.dist.get_mut(edge.to as usize), self.router.get(edge.to as usize))
                {
                    *dist = there;
                    heap.push(Reverse(key(there, *router, edge.to)));
                }
            }
        }
        if zeros {
            self.settle(&order, around, sets);
        }
        for number in 0..count {
            let before = (scratch.dist.get(number), scratch.hops.get(number));
            if before != (self.dist.get(number), self.hops.get(number)) {
                self.changed.push(u32::try_from(number).unwrap_or(u32::MAX));
            }
        }
        self.scratch = scratch;
    }

    /// Where edges cost nothing, first steps are passed on until nobody learns any more.
    fn settle(&mut self, order: &[u32], around: &Around<'_>, sets: &mut HopSets) {
        let mut more = true;
        while more {
            more = false;
            for vertex in order {
                let cost = self.dist.get(*vertex as usize).copied().unwrap_or(UNREACHED);
                for (at, edge) in self.rows.get(*vertex).iter().enumerate() {
                    let there = cost.saturating_add(edge.cost);
                    if there == UNREACHED || edge.to == ROOT || self.dist.get(edge.to as usize) != Some(&there) {
                        continue;
                    }
                    let steps = self.steps(*vertex, at, edge, around, sets);
                    if let Some(hops) = self.hops.get_mut(edge.to as usize) {
                        let all = sets.union(*hops, steps);
                        more |= all != *hops;
                        *hops = all;
                    }
                }
            }
        }
    }
}
