//! Selection: which source's route is used for a prefix.
//!
//! The lowest administrative distance wins, then the lowest metric, then the source that stands first in [`Source`], among
//! those whose next hops resolve. Distance 255 is never used.
//!
//! [`Source`]: crate::route::Source

use crate::hops::Hops;
use crate::intern::Routes;
use crate::message::Verdict;
use crate::resolve::NEVER;
use crate::table::{Cand, Slot, Table, Tabled};

/// The candidate to use, if any. Candidates stand in order of preference, so it is the first usable one.
pub(crate) fn best<F: Tabled>(table: &Table<F>, slot: Slot, routes: &Routes, hops: &Hops) -> Option<Cand> {
    table.first(slot, |cand| routes.distance(cand.route) != NEVER && hops.is_usable(routes.next_hop(cand.route)))
}

/// Why `cand` is, or is not, the one that `best` is.
pub(crate) fn verdict(cand: Cand, best: Option<Cand>, routes: &Routes, hops: &Hops) -> Verdict {
    if routes.distance(cand.route) == NEVER {
        return Verdict::NeverUsed;
    }
    if best == Some(cand) {
        return Verdict::Best;
    }
    let Some(best) = best.filter(|_| hops.is_usable(routes.next_hop(cand.route))) else { return Verdict::Unresolved };
    let (distance, metric, _) = routes.preference(cand.route, cand.source);
    let (best_distance, best_metric, _) = routes.preference(best.route, best.source);
    if distance != best_distance {
        Verdict::HigherDistance
    } else if metric != best_metric {
        Verdict::HigherMetric
    } else {
        Verdict::LaterSource
    }
}
