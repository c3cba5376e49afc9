//! Numbered storage that never moves: chunks of equal size, freed numbers used again.
//!
//! A plain `Vec` would copy the whole table when it grows (tens of milliseconds at a million routes) and hold up to twice
//! what it needs.

/// Items per chunk: 96 KiB of IPv4 destinations.
const CHUNK: usize = 4096;

/// Numbered storage.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }

    /// Stores `item` and returns its number.
    pub(crate) fn insert(&mut self, item: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            *self.get_mut(slot) = item;
            return slot;
        }
        let slot = self.slots();
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks.last_mut().expect("a chunk was just ensured").push(item);
        slot
    }

    /// Gives the number back and leaves `vacant` in its place.
    pub(crate) fn release(&mut self, slot: u32, vacant: T) {
        *self.get_mut(slot) = vacant;
        self.free.push(slot);
    }

    pub(crate) fn get(&self, slot: u32) -> &T {
        let slot = slot as usize;
        &self.chunks[slot / CHUNK][slot % CHUNK]
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut T {
        let slot = slot as usize;
        &mut self.chunks[slot / CHUNK][slot % CHUNK]
    }

    /// One more than the highest number ever given.
    pub(crate) fn slots(&self) -> u32 {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        let slots = full + self.chunks.last().map_or(0, Vec::len);
        u32::try_from(slots).expect("a slab has under 2^32 slots")
    }
}
