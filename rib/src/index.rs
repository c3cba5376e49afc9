//! Exact match from prefix to number: open addressing with linear probing and no tombstones, in parts that grow on their own.
//!
//! A place holds the key's 32-bit hash beside the number, so that growing and deleting never touch the keys, and a probe reads a
//! key only where the hash already agrees. The hash is seeded ([`Family::hash`](crate::Family::hash)): neighbors choose prefixes,
//! and must not be able to choose collisions.
//!
//! The first bits of the hash say in which part a key is. Moving a million keys to a larger table would hold up their owner for
//! tens of milliseconds; a part has a few thousand then, which a cache holds.

use crate::prefetch::prefetch;

/// An empty place; else the hash in the upper half, and the number plus one in the lower.
const EMPTY: u64 = 0;
/// Bits of the hash that choose the part.
const PART_BITS: u32 = 8;
/// Places of the smallest part that has any.
const SMALLEST: usize = 8;
/// Places a guess looks at: about a line of the cache.
const GUESSED: usize = 8;

fn word(hash: u32, number: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(number + 1)
}

fn hash_of(word: u64) -> u32 {
    (word >> 32) as u32
}

fn number_of(word: u64) -> u32 {
    (word as u32).wrapping_sub(1)
}

/// Numbers by the hash of their keys: 8 octets a place, at most four fifths of them taken.
#[derive(Debug)]
pub struct Index {
    parts: Box<[Part]>,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// An index without numbers.
    #[must_use]
    pub fn new() -> Self {
        Self { parts: (0..1 << PART_BITS).map(|_| Part::default()).collect() }
    }

    fn part(&self, hash: u32) -> &Part {
        &self.parts[(hash >> (u32::BITS - PART_BITS)) as usize]
    }

    fn part_mut(&mut self, hash: u32) -> &mut Part {
        &mut self.parts[(hash >> (u32::BITS - PART_BITS)) as usize]
    }

    /// Brings the place that `hash` begins at into the cache.
    #[inline]
    pub fn prefetch(&self, hash: u32) {
        let part = self.part(hash);
        if let Some(place) = part.places.get(part.home(hash)) {
            prefetch(place);
        }
    }

    /// The first number whose hash agrees, if it is near: a guess to prefetch by.
    #[inline]
    #[must_use]
    pub fn guess(&self, hash: u32) -> Option<u32> {
        let part = self.part(hash);
        let run = part.places.iter().skip(part.home(hash)).take(GUESSED).take_while(|word| **word != EMPTY);
        run.copied().find(|word| hash_of(*word) == hash).map(number_of)
    }

    /// The number with `hash` that `is` the key's.
    #[inline]
    #[must_use]
    pub fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let part = self.part(hash);
        part.probe(hash, |word| is(number_of(word))).map(|at| number_of(part.places[at]))
    }

    /// Adds `number`, which must not be in the index and is under 2^32 - 1.
    pub fn insert(&mut self, hash: u32, number: u32) {
        let part = self.part_mut(hash);
        if (part.len + 1) * 5 > part.places.len() * 4 {
            part.resize((part.places.len() * 3 / 2).max(SMALLEST));
        }
        part.put(word(hash, number));
        part.len += 1;
    }

    /// Removes `number`.
    pub fn remove(&mut self, hash: u32, number: u32) {
        let part = self.part_mut(hash);
        let Some(at) = part.probe(hash, |found| found == word(hash, number)) else {
            debug_assert!(false, "only numbers in the index are removed");
            return;
        };
        part.take(at);
        part.len -= 1;
        if part.places.len() > SMALLEST && part.len * 6 < part.places.len() {
            part.resize((part.places.len() / 3).max(SMALLEST));
        }
    }
}

/// A ring of places; none until there is a number.
#[derive(Debug, Default)]
struct Part {
    places: Vec<u64>,
    len: usize,
}

impl Part {
    /// Where the run of a hash begins: what is left of the hash as a share of the ring, so that any size will do.
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash << PART_BITS) * self.places.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.places.len() { 0 } else { at + 1 }
    }

    /// Places from `from` on to `to`, round the ring.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.places.len() - from }
    }

    /// The first place of the run whose hash agrees and that `found` takes.
    fn probe(&self, hash: u32, mut found: impl FnMut(u64) -> bool) -> Option<usize> {
        let mut at = self.home(hash);
        loop {
            let word = *self.places.get(at)?;
            if word == EMPTY {
                return None;
            }
            if hash_of(word) == hash && found(word) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    fn put(&mut self, word: u64) {
        let mut at = self.home(hash_of(word));
        while self.places[at] != EMPTY {
            at = self.after(at);
        }
        self.places[at] = word;
    }

    /// Empties a place and closes the gap by moving later ones of the run back.
    fn take(&mut self, at: usize) {
        let (mut gap, mut at) = (at, at);
        loop {
            at = self.after(at);
            let word = self.places[at];
            if word == EMPTY {
                break;
            }
            // It may move into the gap if its home is not after the gap.
            if self.distance(self.home(hash_of(word)), at) >= self.distance(gap, at) {
                self.places[gap] = word;
                gap = at;
            }
        }
        self.places[gap] = EMPTY;
    }

    fn resize(&mut self, size: usize) {
        let old = std::mem::replace(&mut self.places, vec![EMPTY; size]);
        old.into_iter().filter(|word| *word != EMPTY).for_each(|word| self.put(word));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn turn(index: &mut Index, model: &mut HashSet<u32>, hash: u32, number: u32, insert: bool) {
        if insert && model.insert(number) {
            index.insert(hash, number);
        } else if !insert && model.remove(&number) {
            index.remove(hash, number);
        }
    }

    fn mixed(number: u32) -> u32 {
        number.wrapping_mul(0x9e37_79b9)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Few parts and few distinct hashes: long runs, gaps, and wraps round the end.
        #[test]
        fn it_is_a_map(ops in prop::collection::vec((0u32..200, any::<bool>()), 1..600)) {
            let hash = |number: u32| if number.is_multiple_of(3) { 0x00ff_ffff - number % 8 } else { mixed(number) >> 8 };
            let (mut index, mut model) = (Index::new(), HashSet::new());
            for (number, insert) in ops {
                turn(&mut index, &mut model, hash(number), number, insert);
                for number in 0..200 {
                    let found = index.find(hash(number), |other| other == number);
                    prop_assert_eq!(found, model.contains(&number).then_some(number), "{}", number);
                }
            }
        }
    }

    #[test]
    fn while_it_grows_and_shrinks_nothing_is_lost_and_nothing_comes_back() {
        const MANY: u32 = 20_000;
        let mut rng = fastrand::Rng::with_seed(7);
        let (mut index, mut model) = (Index::new(), HashSet::new());
        let places = |index: &Index| index.parts.iter().map(|part| part.places.len()).sum::<usize>();
        let mut most = 0;
        for growing in [true, false, true, false] {
            for _ in 0..8 * MANY {
                let number = rng.u32(0..MANY);
                // One in five goes the other way.
                turn(&mut index, &mut model, mixed(number), number, growing == (rng.u8(..) > 51));
                let asked = rng.u32(0..MANY);
                let found = index.find(mixed(asked), |other| other == asked);
                assert_eq!(found, model.contains(&asked).then_some(asked), "{asked}");
            }
            most = most.max(places(&index));
        }
        assert!(most * 4 > model.len() * 5, "a fifth is free: {most}");
        (0..MANY).for_each(|number| turn(&mut index, &mut model, mixed(number), number, false));
        assert!(index.parts.iter().all(|part| part.len == 0 && part.places.iter().all(|word| *word == EMPTY)));
        assert!(places(&index) <= (SMALLEST * 6) << PART_BITS, "it shrank from {most}");
    }

    #[test]
    fn a_guess_is_the_number_or_none() {
        let mut index = Index::new();
        (0..10_000).for_each(|number| index.insert(mixed(number), number));
        let right = (0..10_000).filter(|number| index.guess(mixed(*number)) == Some(*number)).count();
        assert!(right > 9_000, "{right} of 10,000");
        assert!((10_000..20_000).all(|number| index.guess(mixed(number)).is_none()));
    }
}
