//! A set of neighbors, by their number: one word for up to 64 of them.

use smallvec::SmallVec;

/// Numbers of neighbors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits(SmallVec<[u64; 1]>);

impl Bits {
    /// Adds `bit`; false if it was there.
    pub(crate) fn insert(&mut self, bit: u32) -> bool {
        let (word, mask) = place(bit);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0.get_mut(word).is_some_and(|held| {
            let new = *held & mask == 0;
            *held |= mask;
            new
        })
    }

    /// Takes `bit` out; false if it was not there.
    pub(crate) fn remove(&mut self, bit: u32) -> bool {
        let (word, mask) = place(bit);
        self.0.get_mut(word).is_some_and(|held| {
            let was = *held & mask != 0;
            *held &= !mask;
            was
        })
    }

    pub(crate) fn contains(&self, bit: u32) -> bool {
        let (word, mask) = place(bit);
        self.0.get(word).is_some_and(|held| held & mask != 0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        // Most often there is none.
        let held = if self.is_empty() { &[] } else { self.0.as_slice() };
        held.iter().enumerate().flat_map(|(index, word)| {
            let base = u32::try_from(index * 64).unwrap_or(u32::MAX);
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| base + bit)
        })
    }
}

fn place(bit: u32) -> (usize, u64) {
    ((bit / 64) as usize, 1 << (bit % 64))
}
