//! The decision process (RFC 4271 §9.1.2, RFC 4456 §9): a function over the set of paths of a prefix, as a table of steps.
//!
//! Paths have no order: MULTI_EXIT_DISC compares only within one neighbor AS, so the outcome of two depends on a third. Each step
//! removes from the set what it finds worse; the step that leaves one path is the reason.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::peers::{PeerFacts, PeerKind};
use crate::attrs::{Facts, flag};

/// A path that may be used, with all the steps read.
#[derive(Clone, Copy, Debug)]
pub struct Contender<'a> {
    /// What it is: the caller's number for the path.
    pub id: u32,
    /// Attributes after import policy.
    pub facts: &'a Facts,
    /// Its neighbor.
    pub peer: &'a PeerFacts,
    /// Cost of reaching its next hop.
    pub igp_metric: u32,
    /// The path identifier it came with.
    pub path_id: u32,
}

/// A step: lower is better, compared among all, or only among paths through one neighbor AS.
pub struct Step {
    /// Reads after "because": what the survivors have.
    pub reason: &'static str,
    /// What the others have.
    pub against: &'static str,
    key: Compare,
}

enum Compare {
    /// Lowest wins.
    All(fn(&Contender<'_>) -> u64),
    /// Lowest wins within one neighbor AS.
    NeighborAs(fn(&Contender<'_>) -> u64),
    /// Lowest address wins.
    Address(fn(&Contender<'_>) -> IpAddr),
}

/// The steps in order.
pub const STEPS: &[Step] = &[
    // RFC 9494 §4.3: less preferred than any other, whatever it says.
    Step {
        reason: "not long-lived stale",
        against: "long-lived stale (LLGR_STALE)",
        key: Compare::All(|path| u64::from(path.facts.flags & flag::LLGR_STALE != 0)),
    },
    Step {
        reason: "higher weight",
        against: "lower weight",
        key: Compare::All(|path| u64::from(u32::MAX - path.facts.weight)),
    },
    // Before LOCAL_PREF: a site whose own route lost to a copy of it that came back with a higher one would take back its own
    // announcement, and with it perhaps the copy.
    Step {
        reason: "originated here",
        against: "not originated here",
        key: Compare::All(|path| u64::from(path.peer.kind != PeerKind::Local)),
    },
    // RFC 4271 §9.1.1: degree of preference.
    Step {
        reason: "higher LOCAL_PREF",
        against: "lower LOCAL_PREF",
        key: Compare::All(|path| u64::from(u32::MAX - path.facts.local_pref)),
    },
    // §9.1.2.2 a.
    Step {
        reason: "shorter AS_PATH",
        against: "longer AS_PATH",
        key: Compare::All(|path| u64::from(path.facts.path_length)),
    },
    // §9.1.2.2 b.
    Step { reason: "lower ORIGIN", against: "higher ORIGIN", key: Compare::All(|path| u64::from(path.facts.origin)) },
    // §9.1.2.2 c, within one neighbor AS, over the whole set: deterministic.
    Step { reason: "lower MED", against: "higher MED", key: Compare::NeighborAs(|path| u64::from(path.facts.med)) },
    // §9.1.2.2 d.
    Step {
        reason: "external over internal",
        against: "internal, another is external",
        key: Compare::All(|path| u64::from(path.peer.kind.is_inside())),
    },
    // §9.1.2.2 e.
    Step {
        reason: "lower IGP cost to the next hop",
        against: "higher IGP cost to the next hop",
        key: Compare::All(|path| u64::from(path.igp_metric)),
    },
    // §9.1.2.2 f; RFC 4456 §9: ORIGINATOR_ID instead of the neighbor's identifier.
    Step {
        reason: "lower router id",
        against: "higher router id",
        key: Compare::All(|path| u64::from(path.router_id())),
    },
    // RFC 4456 §9.
    Step {
        reason: "shorter CLUSTER_LIST",
        against: "longer CLUSTER_LIST",
        key: Compare::All(|path| u64::from(path.facts.cluster_length)),
    },
    // §9.1.2.2 g.
    Step {
        reason: "lower neighbor address",
        against: "higher neighbor address",
        key: Compare::Address(|path| path.peer.address),
    },
    // Several paths of one neighbor (RFC 7911): the outcome must not depend on which came first.
    Step {
        reason: "lower path identifier",
        against: "higher path identifier",
        key: Compare::All(|path| u64::from(path.path_id)),
    },
];

/// Paths equal in all steps before this one may be used together.
pub const MULTIPATH_STEPS: usize = 9;

/// The row of MED: before it, a path that loses to any other can never change the outcome among the rest.
pub(crate) const MED_STEP: usize = 6;

impl Contender<'_> {
    fn router_id(&self) -> u32 {
        if self.facts.originator == 0 { self.peer.router_id.to_bits() } else { self.facts.originator }
    }
}

/// The set under decision; small sets need no heap.
pub type Contenders<'a> = SmallVec<[Contender<'a>; 8]>;

/// Which paths may be used together with the winner.
pub trait Multipath {
    /// Paths at most, the winner counted.
    fn most(&self, winner: &Contender<'_>) -> usize;

    /// `path`, equal to the winner in all steps before [`MULTIPATH_STEPS`] and of its kind, may be used together with it.
    fn alike(&self, winner: &Contender<'_>, path: &Contender<'_>) -> bool;
}

/// Only the winner is asked for.
struct Single;

impl Multipath for Single {
    fn most(&self, _: &Contender<'_>) -> usize {
        1
    }

    fn alike(&self, _: &Contender<'_>, _: &Contender<'_>) -> bool {
        false
    }
}

/// The winner's id, and the step that decided (`None`: it was alone).
///
/// The paths that may be used together are left in `set`, the winner first, the others in the order of the remaining steps.
pub fn decide(set: &mut Contenders<'_>, multipath: &impl Multipath) -> Option<(u32, Option<&'static Step>)> {
    if set.len() < 2 {
        return set.first().map(|only| (only.id, None));
    }
    let mut equal: Contenders<'_> = Contenders::new();
    let mut decided = None;
    for (number, step) in STEPS.iter().enumerate() {
        if number == MULTIPATH_STEPS {
            equal = set.clone();
        }
        let before = set.len();
        step.keep_best(set);
        if set.len() < before {
            decided = Some(step);
        }
        if set.len() == 1 {
            break;
        }
    }
    // The last steps tell any two paths apart.
    let winner = set[0];
    let most = multipath.most(&winner);
    set.clear();
    set.push(winner);
    if most > 1 {
        // Equal up to the IGP cost, of the same kind, and a next hop of its own: anything else adds no way to forward.
        equal.retain(|path| {
            path.id != winner.id
                && path.peer.kind.is_inside() == winner.peer.kind.is_inside()
                && path.peer.kind != PeerKind::Local
                && multipath.alike(&winner, path)
        });
        // Which of too many are taken must not depend on the order in which they came.
        equal.sort_by_key(|path| (path.router_id(), path.facts.cluster_length, path.peer.address, path.path_id));
        for path in &equal {
            if set.len() < most && set.iter().all(|chosen| chosen.facts.next_hop != path.facts.next_hop) {
                set.push(*path);
            }
        }
    }
    Some((winner.id, decided))
}

/// The winner alone: its id, and the step that decided.
pub fn best(set: &mut Contenders<'_>) -> Option<(u32, Option<&'static Step>)> {
    decide(set, &Single)
}

impl Step {
    fn keep_best(&self, set: &mut Contenders<'_>) {
        match self.key {
            Compare::All(key) => {
                if let Some(best) = set.iter().map(key).min() {
                    set.retain(|path| key(path) == best);
                }
            }
            Compare::Address(key) => {
                if let Some(best) = set.iter().map(key).min() {
                    set.retain(|path| key(path) == best);
                }
            }
            Compare::NeighborAs(key) => {
                // RFC 4271 §9.1.2.2 c: remove each path for which another of the same neighbor AS is lower. Both sides come from
                // the set before the step; removing in place would give the same, as the lowest of an AS is never removed.
                let mut worst_possible = SmallVec::<[(u32, u64); 8]>::new();
                for path in set.iter() {
                    let (asn, value) = (path.facts.neighbor_as, key(path));
                    match worst_possible.iter_mut().find(|(known, _)| *known == asn) {
                        Some((_, lowest)) => *lowest = (*lowest).min(value),
                        None => worst_possible.push((asn, value)),
                    }
                }
                set.retain(|path| worst_possible.contains(&(path.facts.neighbor_as, key(path))));
            }
        }
    }
}

/// True if `new` loses to the present winner in a step before MED, so that adding it changes nothing.
#[must_use]
pub fn loses_at_once(new: &Contender<'_>, winner: &Contender<'_>) -> bool {
    for step in &STEPS[..MED_STEP] {
        if let Compare::All(key) = step.key {
            match key(new).cmp(&key(winner)) {
                std::cmp::Ordering::Greater => return true,
                std::cmp::Ordering::Less => return false,
                std::cmp::Ordering::Equal => {}
            }
        }
    }
    false
}

/// Every contender's fate, best first: its id, the step and whether it won that step. Repeats the decision for the remaining
/// paths, so that the order reads as "what would be next".
#[must_use]
pub fn ranking(set: &Contenders<'_>) -> Vec<(u32, Option<&'static Step>)> {
    let mut left = set.clone();
    let mut ranked = Vec::with_capacity(set.len());
    while !left.is_empty() {
        let mut round = left.clone();
        let Some((winner, step)) = best(&mut round) else { break };
        ranked.push((winner, step));
        left.retain(|path| path.id != winner);
    }
    ranked
}

/// The first step in which `loser` is worse than `winner`; MED counts only within one neighbor AS.
#[must_use]
pub fn first_difference(loser: &Contender<'_>, winner: &Contender<'_>) -> Option<&'static Step> {
    STEPS.iter().find(|step| match step.key {
        Compare::All(key) => key(loser) > key(winner),
        Compare::Address(key) => key(loser) > key(winner),
        Compare::NeighborAs(key) => loser.facts.neighbor_as == winner.facts.neighbor_as && key(loser) > key(winner),
    })
}
