//! Destinations: prefixes, what leads to them, and the paths that won.

use foldhash::{HashMap, HashMapExt};
use ipnet::IpNet;
use smallvec::SmallVec;

use super::Path;
use crate::spf::HopsId;

/// Something that leads to a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A vertex of an area has it.
    Intra { area: u16, vertex: u32, metric: u32 },
    /// A border router of an area says so.
    Inter { area: u16, vertex: u32, metric: u32 },
    /// An external, by its slot.
    External(u32),
}

/// A prefix.
#[derive(Debug)]
pub(super) struct Dest {
    pub(super) prefix: IpNet,
    pub(super) path: Option<Path>,
    pub(super) sources: SmallVec<[Source; 1]>,
    pub(super) dirty: bool,
}

/// All of them, dense.
#[derive(Debug)]
pub(super) struct Dests {
    dests: Vec<Option<Dest>>,
    free: Vec<u32>,
    index: HashMap<IpNet, u32>,
    /// How many there are of each length, with and without a way inside.
    lengths: [u32; 129],
}

impl Default for Dests {
    fn default() -> Self {
        Self { dests: Vec::new(), free: Vec::new(), index: HashMap::new(), lengths: [0; 129] }
    }
}

impl Dests {
    pub(super) fn find(&self, prefix: &IpNet) -> Option<u32> {
        self.index.get(prefix).copied()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Dest> {
        self.dests.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Dest> {
        self.dests.get_mut(number as usize)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Dest)> {
        (0..).zip(&self.dests).filter_map(|(number, dest)| Some((number, dest.as_ref()?)))
    }

    pub(super) fn hops_mut(&mut self) -> impl Iterator<Item = &mut HopsId> {
        self.dests.iter_mut().flatten().filter_map(|dest| dest.path.as_mut()).map(|path| &mut path.hops)
    }

    /// Adds something that leads to `prefix`; the number of its destination.
    pub(super) fn add(&mut self, prefix: IpNet, source: Source) -> u32 {
        let number = match self.index.get(&prefix) {
            Some(number) => *number,
            None => {
                let dest = Dest { prefix, path: None, sources: SmallVec::new(), dirty: false };
                let number = match self.free.pop() {
                    Some(number) => {
                        if let Some(place) = self.dests.get_mut(number as usize) {
                            *place = Some(dest);
                        }
                        number
                    }
                    None => {
                        self.dests.push(Some(dest));
                        u32::try_from(self.dests.len() - 1).unwrap_or(u32::MAX)
                    }
                };
                self.index.insert(prefix, number);
                if let Some(count) = self.lengths.get_mut(usize::from(prefix.prefix_len())) {
                    *count += 1;
                }
                number
            }
        };
        if let Some(dest) = self.get_mut(number) {
            dest.sources.push(source);
        }
        number
    }

    /// Something no longer leads to a destination.
    pub(super) fn take(&mut self, number: u32, source: Source) {
        if let Some(dest) = self.get_mut(number)
            && let Some(at) = dest.sources.iter().position(|held| *held == source)
        {
            dest.sources.swap_remove(at);
        }
    }

    /// Forgets a destination that nothing leads to any more.
    pub(super) fn forget(&mut self, number: u32) {
        if self.get(number).is_none_or(|dest| !dest.sources.is_empty() || dest.path.is_some()) {
            return;
        }
        let Some(dest) = self.dests.get_mut(number as usize).and_then(Option::take) else { return };
        self.index.remove(&dest.prefix);
        self.free.push(number);
        if let Some(count) = self.lengths.get_mut(usize::from(dest.prefix.prefix_len())) {
            *count -= 1;
        }
    }

    /// The path inside the domain to an address, by the longest prefix that has one.
    pub(super) fn longest(&self, address: std::net::IpAddr) -> Option<&Path> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (0..=most)
            .rev()
            .filter(|length| self.lengths.get(usize::from(*length)).is_some_and(|count| *count > 0))
            .find_map(|length| {
                let net = IpNet::new(address, length).ok()?.trunc();
                self.get(self.find(&net)?)?.path.as_ref().filter(|path| path.inside())
            })
    }
}
