//! Deltas that have waited together become one; the machine writes each prefix of it once, as told last.
//!
//! A large batch is written faster than many small ones (the kernel's tries have an order they like, and both families go side by
//! side), and what changed twice while the data plane was busy is one message.

use rib::{FibDelta, NextHopId};

/// True if `next` may be folded into what `so_far` became: the end of a walk sweeps, so nothing may overtake it, and a number
/// that is removed must be gone before it means something new.
pub(super) fn folds(so_far: &FibDelta, next: &FibDelta) -> bool {
    let named_again = |id: &NextHopId| next.next_hops.iter().any(|op| op.id == *id);
    let removed = so_far.next_hops.iter().filter(|op| op.forwarding.is_none()).map(|op| &op.id);
    !so_far.walk_done && !so_far.unused.iter().chain(removed).any(named_again)
}

/// `next` after `so_far`. Prefixes and objects may stand twice; the later word counts.
pub(super) fn join(so_far: &mut FibDelta, mut next: FibDelta) {
    so_far.next_hops.append(&mut next.next_hops);
    so_far.routes.append(&mut next.routes);
    so_far.unused.append(&mut next.unused);
    so_far.walk_done |= next.walk_done;
    so_far.through = so_far.through.max(next.through);
}

#[cfg(test)]
mod tests {
    use rib::{Discard, FibRoute, Forwarding, NextHopOp};

    use super::*;
    use crate::sync::keep_last_words;

    fn object(id: u32, discard: Discard) -> NextHopOp {
        NextHopOp { id: NextHopId(id), forwarding: Some(Forwarding::Discard(discard)) }
    }

    fn route(prefix: &str, id: Option<u32>) -> FibRoute {
        FibRoute { prefix: prefix.parse().unwrap(), next_hop: id.map(NextHopId) }
    }

    #[test]
    fn the_last_word_about_each_object_stands_and_routes_keep_their_order() {
        let mut delta = FibDelta {
            next_hops: vec![object(1, Discard::Blackhole)],
            routes: vec![route("192.0.2.0/24", Some(1)), route("198.51.100.0/24", Some(1))],
            through: 3,
            ..FibDelta::default()
        };
        let next = FibDelta {
            next_hops: vec![object(1, Discard::Prohibit), object(2, Discard::Blackhole)],
            routes: vec![route("192.0.2.0/24", None), route("203.0.113.0/24", Some(2))],
            walk_done: true,
            through: 9,
            unused: vec![NextHopId(7)],
        };
        assert!(folds(&delta, &next));
        join(&mut delta, next);
        keep_last_words(&mut delta.next_hops, |op| op.id);
        assert_eq!(delta.next_hops, [object(1, Discard::Prohibit), object(2, Discard::Blackhole)]);
        let routes = [
            route("192.0.2.0/24", Some(1)),
            route("198.51.100.0/24", Some(1)),
            route("192.0.2.0/24", None),
            route("203.0.113.0/24", Some(2)),
        ];
        assert_eq!(delta.routes, routes);
        assert_eq!((delta.through, delta.walk_done, delta.unused), (9, true, vec![NextHopId(7)]));
    }

    #[test]
    fn nothing_overtakes_the_end_of_a_walk_or_a_number_that_is_given_again() {
        let ended = FibDelta { walk_done: true, ..FibDelta::default() };
        assert!(!folds(&ended, &FibDelta::default()));
        let again = FibDelta { next_hops: vec![object(7, Discard::Blackhole)], ..FibDelta::default() };
        assert!(!folds(&FibDelta { unused: vec![NextHopId(7)], ..FibDelta::default() }, &again));
        let removed = NextHopOp { id: NextHopId(7), forwarding: None };
        assert!(!folds(&FibDelta { next_hops: vec![removed], ..FibDelta::default() }, &again));
        assert!(folds(&FibDelta { unused: vec![NextHopId(8)], ..FibDelta::default() }, &again));
    }
}
