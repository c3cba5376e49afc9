//! All destinations of both families in one line, and walks along it.
//!
//! A place is a slot of either family, even ones IPv4's and odd ones IPv6's, so that it keeps its meaning while the tables grow.
//! A walk goes in the order of memory, which is many times faster than in the order of prefixes, and goes on whatever is added
//! and removed meanwhile: a destination stays at its place as long as it lives.

use crate::family::{V4, V6};
use crate::table::{Key, Tables};

/// Places that can be looked at for the price of one changed prefix: with one family in use half of them are empty, and all
/// after a great removal.
pub(crate) const PLACES_PER_UNIT: usize = 16;

/// A slot of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

impl Place {
    const FIRST: Self = Self(0);

    /// Where a destination is.
    pub(crate) fn of(key: Key) -> Self {
        Self(u64::from(key.slot()) * 2 + u64::from(key.is_v6()))
    }

    /// The destination that is there, if any.
    pub(crate) fn key(self, tables: &Tables) -> Option<Key> {
        let slot = u32::try_from(self.0 / 2).ok()?;
        if self.0.is_multiple_of(2) {
            (slot < tables.v4.slots() && !tables.v4.is_vacant(slot)).then(|| Key::new::<V4>(slot))
        } else {
            (slot < tables.v6.slots() && !tables.v6.is_vacant(slot)).then(|| Key::new::<V6>(slot))
        }
    }

    fn is_beyond(self, tables: &Tables) -> bool {
        self.0 >= 2 * u64::from(tables.v4.slots().max(tables.v6.slots()))
    }
}

/// A walk over all places, or once round from where it was begun anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// The place reached: everything before it, since the walk began, has been given.
    next: Place,
    /// Where to stop; after the last place if `None`.
    to: Option<Place>,
    /// After the last place go on from the first to this one.
    then_to: Option<Place>,
}

impl Walk {
    /// From the first place to the last.
    pub(crate) const fn new() -> Self {
        Self { next: Place::FIRST, to: None, then_to: None }
    }

    /// On from here, and round to here: what this walk has passed is to be passed again.
    pub(crate) fn again(self) -> Self {
        Self { next: self.next, to: None, then_to: Some(self.next).filter(|place| *place > Place::FIRST) }
    }

    /// Whether the walk has this place still before it.
    pub(crate) fn will_reach(self, place: Place) -> bool {
        let ahead = place >= self.next && self.to.is_none_or(|to| place < to);
        ahead || self.then_to.is_some_and(|to| place < to)
    }

    /// The next place; `None` at the end.
    pub(crate) fn step(&mut self, tables: &Tables) -> Option<Place> {
        if self.to.is_some_and(|to| self.next >= to) {
            return None;
        }
        if self.next.is_beyond(tables) {
            *self = Self { next: Place::FIRST, to: Some(self.then_to?), then_to: None };
        }
        let here = self.next;
        self.next = Place(here.0 + 1);
        Some(here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(ipv4: u32, ipv6: u32) -> Tables {
        let mut tables = Tables::new();
        for n in 0..ipv4 {
            let prefix = ipnet::Ipv4Net::new_assert((10 << 24 | n << 8).into(), 24);
            tables.v4.ensure(tables.v4.hash(prefix), prefix, || false);
        }
        for n in 0..ipv6 {
            let address = 0x2001_0db8_u128 << 96 | u128::from(n) << 80;
            let prefix = ipnet::Ipv6Net::new_assert(address.into(), 48);
            tables.v6.ensure(tables.v6.hash(prefix), prefix, || false);
        }
        tables
    }

    fn rest(walk: &mut Walk, tables: &Tables) -> Vec<Key> {
        std::iter::from_fn(|| walk.step(tables)).filter_map(|place| place.key(tables)).collect()
    }

    #[test]
    fn a_walk_meets_every_destination_of_both_families_once() {
        let tables = tables(3, 2);
        let met = rest(&mut Walk::new(), &tables);
        let [four, six] = [Key::new::<V4>, Key::new::<V6>];
        assert_eq!(met, [four(0), six(0), four(1), six(1), four(2)]);
    }

    #[test]
    fn begun_again_it_comes_round_to_where_it_was_and_stops() {
        let mut tables = tables(4, 0);
        let mut walk = Walk::new();
        let first = walk.step(&tables).expect("a place");
        walk.step(&tables).expect("the place beside it, without a destination");
        let passed = |walk: Walk, slot| !walk.will_reach(Place::of(Key::new::<V4>(slot)));
        assert!(passed(walk, 0) && !passed(walk, 1));
        walk = walk.again();
        assert!(!passed(walk, 0) && !passed(walk, 3));
        // What is added meanwhile comes as well.
        let added = "192.0.2.0/24".parse().expect("a prefix");
        tables.v4.ensure(tables.v4.hash(added), added, || false);
        let met = rest(&mut walk, &tables);
        assert_eq!(met, [1, 2, 3, 4, 0].map(Key::new::<V4>));
        assert_eq!(first.key(&tables), Some(Key::new::<V4>(0)));
        assert!(passed(walk, 0) && passed(walk, 4) && walk.step(&tables).is_none());
    }

    #[test]
    fn a_freed_place_is_passed_over() {
        let mut tables = tables(2, 1);
        tables.v4.bury(0);
        assert_eq!(rest(&mut Walk::new(), &tables), [Key::new::<V6>(0), Key::new::<V4>(1)]);
    }
}
