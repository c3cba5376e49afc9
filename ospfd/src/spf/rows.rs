//! The edges of all vertices in one array: a walk over the graph touches few lines of memory.

/// An edge, as its vertex's row has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// The vertex it leads to.
    pub(super) to: u32,
    /// Cost of going there; [`UNREACHED`](super::UNREACHED) if there is no going that way.
    pub(super) cost: u32,
    /// Cost of coming back.
    pub(super) back: u32,
    /// Between a network and a router: what the router's LSA says of its link.
    pub(super) data: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    start: u32,
    len: u32,
    room: u32,
}

/// A row per vertex, sorted by where the edges lead to.
#[derive(Debug, Default)]
pub(super) struct Rows {
    places: Vec<Place>,
    edges: Vec<Edge>,
    waste: usize,
}

/// Wasted edges that are not worth a move.
const WASTE_MIN: usize = 4096;

impl Rows {
    pub(super) fn get(&self, vertex: u32) -> &[Edge] {
        let Some(place) = self.places.get(vertex as usize) else { return &[] };
        self.edges.get(place.start as usize..(place.start + place.len) as usize).unwrap_or(&[])
    }

    /// The edge of `vertex` to `to`.
    pub(super) fn find(&self, vertex: u32, to: u32) -> Option<(usize, &Edge)> {
        let row = self.get(vertex);
        let at = row.binary_search_by_key(&to, |edge| edge.to).ok()?;
        Some((at, row.get(at)?))
    }

    /// Makes `row` the row of `vertex`.
    pub(super) fn set(&mut self, vertex: u32, row: &[Edge]) {
        if self.places.len() <= vertex as usize {
            self.places.resize(vertex as usize + 1, Place::default());
        }
        let Some(place) = self.places.get_mut(vertex as usize) else { return };
        let len = u32::try_from(row.len()).unwrap_or(0);
        if len > place.room {
            self.waste += place.room as usize;
            *place = Place { start: u32::try_from(self.edges.len()).unwrap_or(u32::MAX), len, room: len };
            self.edges.extend_from_slice(row);
        } else {
            place.len = len;
            let start = place.start as usize;
            if let Some(held) = self.edges.get_mut(start..start + row.len()) {
                held.copy_from_slice(row);
            }
        }
        if self.waste > WASTE_MIN.max(self.edges.len() / 2) {
            self.tidy();
        }
    }

    fn tidy(&mut self) {
        let mut edges = Vec::with_capacity(self.edges.len() - self.waste);
        for place in &mut self.places {
            let row = self.edges.get(place.start as usize..(place.start + place.len) as usize).unwrap_or(&[]);
            place.start = u32::try_from(edges.len()).unwrap_or(u32::MAX);
            place.room = place.len;
            edges.extend_from_slice(row);
        }
        self.edges = edges;
        self.waste = 0;
    }
}
