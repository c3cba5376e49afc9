//! What a group was last told: 8 octets a destination, in chunks that exist only where something was told.

use crate::intern::{AttrId, AttrStore};
use crate::locrib::{DestId, PeerIndex};

/// The path a group was last told of: its attributes after import, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) attr: AttrId,
    pub(super) source: PeerIndex,
}

const NOTHING: Told = Told { attr: AttrId::NONE, source: PeerIndex(0) };
const CHUNK: usize = 512;

#[derive(Clone)]
struct Chunk {
    used: u16,
    told: [Told; CHUNK],
}

const _: () = assert!(size_of::<Told>() == 8);

/// Told paths by destination; each entry is a user of its attribute set.
#[derive(Default)]
pub(super) struct ToldTable {
    chunks: Vec<Option<Box<Chunk>>>,
    len: usize,
    by_source: Vec<u32>,
}

impl ToldTable {
    #[inline]
    pub(super) fn get(&self, dest: DestId) -> Option<Told> {
        let chunk = self.chunks.get(dest.0 as usize / CHUNK)?.as_ref()?;
        let told = chunk.told[dest.0 as usize % CHUNK];
        told.attr.is_some().then_some(told)
    }

    /// Replaces what was told of `dest`, users of attribute sets included.
    #[inline]
    pub(super) fn set(&mut self, store: &mut AttrStore, dest: DestId, told: Option<Told>) {
        let at = dest.0 as usize / CHUNK;
        if at >= self.chunks.len() {
            if told.is_none() {
                return;
            }
            self.chunks.resize_with(at + 1, || None);
        }
        if told.is_none() && self.chunks[at].is_none() {
            return;
        }
        let chunk = self.chunks[at].get_or_insert_with(|| Box::new(Chunk { used: 0, told: [NOTHING; CHUNK] }));
        let new = told.unwrap_or(NOTHING);
        let old = std::mem::replace(&mut chunk.told[dest.0 as usize % CHUNK], new);
        if new.attr.is_some() {
            store.retain(new.attr, 1);
            chunk.used += 1;
            self.len += 1;
            Self::count(&mut self.by_source, new.source, 1);
        }
        if old.attr.is_some() {
            store.release(old.attr);
            chunk.used -= 1;
            self.len -= 1;
            Self::count(&mut self.by_source, old.source, -1);
        }
        if chunk.used == 0 {
            self.chunks[at] = None;
        }
    }

    fn count(by_source: &mut Vec<u32>, source: PeerIndex, change: i32) {
        let at = usize::from(source.0);
        if at >= by_source.len() {
            by_source.resize(at + 1, 0);
        }
        by_source[at] = by_source[at].wrapping_add_signed(change);
    }

    /// Destinations told.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Of those, with a path of `source`.
    pub(super) fn from(&self, source: PeerIndex) -> usize {
        self.by_source.get(usize::from(source.0)).copied().unwrap_or(0) as usize
    }

    /// A second table with the same content.
    pub(super) fn duplicate(&self, store: &mut AttrStore) -> Self {
        for told in self.entries() {
            store.retain(told.attr, 1);
        }
        Self { chunks: self.chunks.clone(), len: self.len, by_source: self.by_source.clone() }
    }

    /// Gives every attribute set back.
    pub(super) fn clear(&mut self, store: &mut AttrStore) {
        for told in self.entries() {
            store.release(told.attr);
        }
        *self = Self::default();
    }

    fn entries(&self) -> impl Iterator<Item = Told> + '_ {
        self.chunks.iter().flatten().flat_map(|chunk| chunk.told.iter().copied()).filter(|told| told.attr.is_some())
    }
}
