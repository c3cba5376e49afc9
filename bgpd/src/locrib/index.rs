//! Exact match from prefix to dense id: open addressing with linear probing and no tombstones.
//!
//! A slot holds the key's 32-bit hash beside the id, so that growing and deleting never touch the keys, and a probe reads a key
//! only where the hash already agrees. The hash is seeded: neighbors choose prefixes, and must not be able to choose collisions.

use rib::{Family, V4, V6, prefetch};

/// What the index needs of a family beside [`Family`].
pub trait Key: Family {
    /// A seeded hash of `prefix` with all 32 bits usable.
    fn hash(prefix: Self::Prefix, seed: u64) -> u32;
}

/// Multiply and fold, the mixing step of wyhash and foldhash.
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ ((wide >> 64) as u64)
}

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
const MIX: u64 = 0xd6e8_feb8_6659_fd93;

impl Key for V4 {
    fn hash(prefix: Self::Prefix, seed: u64) -> u32 {
        let key = u64::from(prefix.addr().to_bits()) << 8 | u64::from(prefix.prefix_len());
        let mixed = fold(key ^ seed, MIX ^ seed.rotate_left(32));
        (fold(mixed ^ seed, ODD) >> 16) as u32
    }
}

impl Key for V6 {
    fn hash(prefix: Self::Prefix, seed: u64) -> u32 {
        let bits = prefix.addr().to_bits();
        let high = fold((bits >> 64) as u64 ^ seed, MIX ^ u64::from(prefix.prefix_len()));
        let low = fold(bits as u64 ^ seed.rotate_left(32), ODD ^ high);
        (fold(low ^ high ^ seed, MIX) >> 16) as u32
    }
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    /// The id plus one; 0 is empty.
    id: u32,
}

const EMPTY: Slot = Slot { hash: 0, id: 0 };
const SMALLEST: usize = 64;

/// The table: 8 octets a slot, at most three quarters full.
pub(super) struct Index {
    slots: Vec<Slot>,
    len: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { slots: vec![EMPTY; SMALLEST], len: 0 }
    }

    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    /// Brings the slot that `hash` begins at into the cache.
    pub(super) fn prefetch(&self, hash: u32) {
        prefetch(&self.slots[hash as usize & self.mask()]);
    }

    /// The id in the slot that `hash` begins at, if the hashes agree: a guess to prefetch by.
    pub(super) fn guess(&self, hash: u32) -> Option<u32> {
        let slot = self.slots[hash as usize & self.mask()];
        (slot.id != 0 && slot.hash == hash).then(|| slot.id - 1)
    }

    /// The id with `hash` that `is` the key.
    pub(super) fn find(&self, hash: u32, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.mask();
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot.id == 0 {
                return None;
            }
            if slot.hash == hash && is(slot.id - 1) {
                return Some(slot.id - 1);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds `id`, which must not be in the table.
    pub(super) fn insert(&mut self, hash: u32, id: u32) {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.resize(self.slots.len() * 2);
        }
        self.place(Slot { hash, id: id + 1 });
        self.len += 1;
    }

    fn place(&mut self, slot: Slot) {
        let mask = self.mask();
        let mut at = slot.hash as usize & mask;
        while self.slots[at].id != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    fn resize(&mut self, size: usize) {
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; size]);
        for slot in old.into_iter().filter(|slot| slot.id != 0) {
            self.place(slot);
        }
    }

    /// Removes `id`, closing the gap by moving later slots of the run back.
    pub(super) fn remove(&mut self, hash: u32, id: u32) {
        let mask = self.mask();
        let mut at = hash as usize & mask;
        while self.slots[at].id != id + 1 {
            debug_assert!(self.slots[at].id != 0, "only ids in the table are removed");
            if self.slots[at].id == 0 {
                return;
            }
            at = (at + 1) & mask;
        }
        let mut gap = at;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot.id == 0 {
                break;
            }
            // A slot may move into the gap if its home is not in (gap, at].
            let home = slot.hash as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(gap) & mask) {
                self.slots[gap] = slot;
                gap = at;
            }
        }
        self.slots[gap] = EMPTY;
        self.len -= 1;
        if self.slots.len() > SMALLEST && self.len * 8 < self.slots.len() {
            self.resize(self.slots.len() / 2);
        }
    }
}
