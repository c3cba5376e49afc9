//! The part of the tree that hangs on edges that changed (after Ramalingam and Reps). First those vertices are found that lost
//! every shortest path they had; then they, and whom a new edge brings nearer, are settled as Dijkstra would; last, first
//! steps are passed on as far as they differ. Costs of edges are positive except from a network to its routers, so that a
//! vertex is looked at only when all before it are right.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::graph::{Around, Graph, ROOT};
use super::resolve::Change;
use super::rows::Edge;
use super::{HopSets, HopsId, UNREACHED};

/// The vertex lost all its shortest paths.
const LOST: u8 = 1;
/// It is queued to be looked at: whether it did.
const SUSPECT: u8 = 2;
/// Its first steps are to be found anew.
const STEPS: u8 = 4;
/// How it was is noted.
const NOTED: u8 = 8;
/// One of so many vertices may be looked at before the whole tree is calculated instead. A look costs here some five times what
/// it costs there, so that a part never takes longer than the whole, and one that was given up not much longer.
const PART: usize = 16;
/// So many may always.
const PART_MIN: usize = 64;

/// Memory that runs use again.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) heap: BinaryHeap<Reverse<u64>>,
    pub(super) dist: Vec<u32>,
    pub(super) hops: Vec<HopsId>,
    marks: Vec<u8>,
    marked: Vec<u32>,
    lost: Vec<u32>,
    /// Looks at vertices that may still be taken.
    left: usize,
    /// Vertices with cost and first steps as they were.
    noted: Vec<(u32, u32, HopsId)>,
}

/// The order of calculation: by cost, networks before routers, so that all equal paths are found (RFC 2328 §16.1 (3)).
pub(super) fn key(cost: u32, router: bool, vertex: u32) -> u64 {
    (u64::from(cost) << 32) | (u64::from(router) << 31) | u64::from(vertex)
}

pub(super) fn unkey(key: u64) -> (u32, u32) {
    let cost = u32::try_from(key >> 32).unwrap_or(UNREACHED);
    (cost, u32::try_from(key & 0x7fff_ffff).unwrap_or(0))
}

impl Scratch {
    fn mark(&mut self, vertex: u32, bit: u8) -> bool {
        let Some(marks) = self.marks.get_mut(vertex as usize) else { return false };
        if *marks == 0 {
            self.marked.push(vertex);
        }
        let new = *marks & bit == 0;
        *marks |= bit;
        new
    }

    fn is(&self, vertex: u32, bit: u8) -> bool {
        self.marks.get(vertex as usize).is_some_and(|marks| marks & bit != 0)
    }

    /// Takes a look at a vertex; false if there were too many.
    fn look(&mut self) -> bool {
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }

    fn clear(&mut self) {
        for vertex in self.marked.drain(..) {
            if let Some(marks) = self.marks.get_mut(vertex as usize) {
                *marks = 0;
            }
        }
        self.heap.clear();
        self.lost.clear();
        self.noted.clear();
    }
}

impl Graph {
    /// Takes `changes` into the tree; false if that is too much, and everything is as it was.
    pub(super) fn incremental(
        &mut self,
        changes: &[Change],
        direct: bool,
        around: &Around<'_>,
        sets: &mut HopSets,
    ) -> bool {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.marks.resize(self.len(), 0);
        scratch.left = (self.len() / PART).max(PART_MIN);
        let mut done = self.find_lost(changes, &mut scratch) && self.settle_lost(changes, &mut scratch);
        if done {
            if direct {
                self.suspect_neighbors(&mut scratch);
            }
            done = self.pass_steps_on(around, sets, &mut scratch);
        }
        if !done {
            for (vertex, dist, hops) in &scratch.noted {
                self.put(*vertex, *dist, *hops);
            }
        }
        for (vertex, dist, hops) in &scratch.noted {
            if self.at(*vertex) != (*dist, *hops) {
                self.changed.push(*vertex);
            }
        }
        scratch.clear();
        self.scratch = scratch;
        done
    }

    fn at(&self, vertex: u32) -> (u32, HopsId) {
        let at = vertex as usize;
        (self.cost(vertex), self.hops.get(at).copied().unwrap_or_default())
    }

    fn cost(&self, vertex: u32) -> u32 {
        self.dist.get(vertex as usize).copied().unwrap_or(UNREACHED)
    }

    fn put(&mut self, vertex: u32, cost: u32, steps: HopsId) {
        if let (Some(dist), Some(hops)) = (self.dist.get_mut(vertex as usize), self.hops.get_mut(vertex as usize)) {
            (*dist, *hops) = (cost, steps);
        }
    }

    fn key_of(&self, vertex: u32) -> Reverse<u64> {
        Reverse(key(self.cost(vertex), self.router.get(vertex as usize) == Some(&true), vertex))
    }

    fn note(&mut self, vertex: u32, scratch: &mut Scratch) {
        if scratch.mark(vertex, NOTED) {
            let (dist, hops) = self.at(vertex);
            scratch.noted.push((vertex, dist, hops));
        }
    }

    /// The cost of coming to a vertex by the far end of an edge of its row.
    fn coming(&self, vertex: u32, edge: &Edge) -> u32 {
        match edge.to {
            // Over links of ours only if we can use them, which our own row knows.
            ROOT => self.rows.find(ROOT, vertex).map_or(UNREACHED, |(_, edge)| edge.cost),
            from => self.cost(from).saturating_add(edge.back),
        }
    }

    /// Whether a vertex still has a path as short as before, or shorter, by one that has not lost all of its own.
    fn supported(&self, vertex: u32, scratch: &Scratch) -> bool {
        let cost = self.cost(vertex);
        let mut row = self.rows.get(vertex).iter();
        row.any(|edge| !scratch.is(edge.to, LOST) && self.coming(vertex, edge) <= cost)
    }

    fn find_lost(&mut self, changes: &[Change], scratch: &mut Scratch) -> bool {
        for change in changes.iter().filter(|change| change.to != ROOT) {
            scratch.mark(change.to, STEPS);
            let from = self.cost(change.from);
            let was = from.saturating_add(change.old);
            if change.new > change.old
                && was != UNREACHED
                && was == self.cost(change.to)
                && scratch.mark(change.to, SUSPECT)
            {
                scratch.heap.push(self.key_of(change.to));
            }
        }
        while let Some(Reverse(next)) = scratch.heap.pop() {
            let (cost, vertex) = unkey(next);
            if !scratch.look() {
                return false;
            }
            if self.supported(vertex, scratch) {
                continue;
            }
            scratch.mark(vertex, LOST);
            scratch.lost.push(vertex);
            for edge in self.rows.get(vertex) {
                let there = cost.saturating_add(edge.cost);
                // Shorter is an edge that is so from now on: it may have been the last of a shortest path before.
                if there == UNREACHED || edge.to == ROOT || there > self.cost(edge.to) {
                    continue;
                }
                scratch.mark(edge.to, STEPS);
                if scratch.mark(edge.to, SUSPECT) {
                    scratch.heap.push(self.key_of(edge.to));
                }
            }
        }
        true
    }

    fn settle_lost(&mut self, changes: &[Change], scratch: &mut Scratch) -> bool {
        let lost = std::mem::take(&mut scratch.lost);
        for vertex in &lost {
            self.note(*vertex, scratch);
            self.put(*vertex, UNREACHED, HopsId::NONE);
        }
        for vertex in &lost {
            let ways = self.rows.get(*vertex).iter().filter(|edge| !scratch.is(edge.to, LOST));
            let best = ways.map(|edge| self.coming(*vertex, edge)).min().unwrap_or(UNREACHED);
            self.nearer(*vertex, best, scratch);
        }
        scratch.lost = lost;
        for change in changes.iter().filter(|change| change.to != ROOT) {
            let there = self.cost(change.from).saturating_add(change.new);
            self.nearer(change.to, there, scratch);
        }
        while let Some(Reverse(next)) = scratch.heap.pop() {
            let (cost, vertex) = unkey(next);
            if self.cost(vertex) != cost {
                continue;
            }
            if !scratch.look() {
                return false;
            }
            for at in 0..self.rows.get(vertex).len() {
                let Some(edge) = self.rows.get(vertex).get(at).copied() else { break };
                if edge.to != ROOT {
                    self.nearer(edge.to, cost.saturating_add(edge.cost), scratch);
                }
            }
        }
        true
    }

    /// A vertex may be nearer than was known.
    fn nearer(&mut self, vertex: u32, cost: u32, scratch: &mut Scratch) {
        if cost >= self.cost(vertex) {
            return;
        }
        self.note(vertex, scratch);
        let (_, hops) = self.at(vertex);
        self.put(vertex, cost, hops);
        scratch.heap.push(self.key_of(vertex));
    }

    /// Routers on networks that we are on may have other addresses there.
    fn suspect_neighbors(&self, scratch: &mut Scratch) {
        for network in self.rows.get(ROOT).iter().filter(|edge| self.router.get(edge.to as usize) == Some(&false)) {
            for edge in self.rows.get(network.to) {
                scratch.mark(edge.to, STEPS);
            }
        }
    }

    fn pass_steps_on(&mut self, around: &Around<'_>, sets: &mut HopSets, scratch: &mut Scratch) -> bool {
        let moved: Vec<u32> = scratch.noted.iter().map(|(vertex, ..)| *vertex).collect();
        for vertex in moved {
            scratch.mark(vertex, STEPS);
        }
        for at in 0..scratch.marked.len() {
            let Some(vertex) = scratch.marked.get(at).copied() else { break };
            if vertex != ROOT && scratch.is(vertex, STEPS) {
                scratch.heap.push(self.key_of(vertex));
            }
        }
        while let Some(Reverse(next)) = scratch.heap.pop() {
            let (_, vertex) = unkey(next);
            if !scratch.look() {
                return false;
            }
            let steps = self.steps_to(vertex, around, sets);
            let (cost, held) = self.at(vertex);
            let moved = scratch.is(vertex, NOTED);
            if steps == held && !moved {
                continue;
            }
            self.note(vertex, scratch);
            self.put(vertex, cost, steps);
            if cost == UNREACHED {
                continue;
            }
            for edge in self.rows.get(vertex) {
                let there = cost.saturating_add(edge.cost);
                if there != UNREACHED && edge.to != ROOT && there == self.cost(edge.to) && scratch.mark(edge.to, STEPS)
                {
                    scratch.heap.push(self.key_of(edge.to));
                }
            }
        }
        true
    }

    /// First steps to a vertex by all its shortest paths.
    fn steps_to(&self, vertex: u32, around: &Around<'_>, sets: &mut HopSets) -> HopsId {
        let cost = self.cost(vertex);
        let mut all = HopsId::NONE;
        if cost == UNREACHED {
            return all;
        }
        for edge in self.rows.get(vertex) {
            if self.coming(vertex, edge) != cost {
                continue;
            }
            let steps = match edge.to {
                ROOT => {
                    self.rows.find(ROOT, vertex).and_then(|(at, _)| self.first.get(at)).copied().unwrap_or_default()
                }
                from => self.steps_beyond(from, self.at(from).1, vertex, edge.data, around, sets),
            };
            all = sets.union(all, steps);
        }
        all
    }
}
