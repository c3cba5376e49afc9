//! Prefixes to be written when there is time: the order of a full load.
//!
//! Only prefixes, never states: the mirror says at the moment of writing what each is to be, so one that changes ten times while it
//! waits is written once. A random eighth of IPv4 goes first, because the kernel's trie then finds its shape before the mass
//! comes in the order it was given (of a walk: sorted, which it likes from there on); IPv6 goes beside it.

use std::collections::VecDeque;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A hash that puts neighbors far apart.
pub(crate) fn mixed(net: Ipv4Net) -> u32 {
    net.network().to_bits().wrapping_mul(0x9e37_79b1).rotate_left(15).wrapping_mul(0x85eb_ca6b)
}

/// One prefix in eight.
pub(crate) fn is_early(mixed: u32) -> bool {
    mixed >> 29 == 0
}

/// Waiting prefixes; some may wait no longer, or twice.
#[derive(Default)]
pub(crate) struct Backlog {
    early: VecDeque<Ipv4Net>,
    v4: VecDeque<Ipv4Net>,
    v6: VecDeque<Ipv6Net>,
}

impl Backlog {
    pub(crate) fn len(&self) -> usize {
        self.early.len() + self.v4.len() + self.v6.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all of it, and gives its memory back.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn push(&mut self, prefix: IpNet) {
        match prefix {
            IpNet::V4(net) if is_early(mixed(net)) => self.early.push_back(net),
            IpNet::V4(net) => self.v4.push_back(net),
            IpNet::V6(net) => self.v6.push_back(net),
        }
    }

    /// Takes at most `most` prefixes of each family.
    pub(crate) fn take(&mut self, most: usize) -> Vec<IpNet> {
        let early = self.early.len().min(most);
        let late = self.v4.len().min(most - early);
        let v6 = self.v6.len().min(most);
        let mut taken = Vec::with_capacity(early + late + v6);
        taken.extend(self.early.drain(..early).map(IpNet::V4));
        taken.extend(self.v4.drain(..late).map(IpNet::V4));
        taken.extend(self.v6.drain(..v6).map(IpNet::V6));
        if self.is_empty() {
            self.clear();
        }
        taken
    }
}

impl Extend<IpNet> for Backlog {
    fn extend<T: IntoIterator<Item = IpNet>>(&mut self, prefixes: T) {
        prefixes.into_iter().for_each(|prefix| self.push(prefix));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_of_ipv4_goes_first_and_ipv6_beside_it() {
        let mut backlog = Backlog::default();
        backlog.extend((0..8000u32).map(|n| IpNet::V4(Ipv4Net::new_assert((10 << 24 | n << 8).into(), 24))));
        backlog.extend((0..100u128).map(|n| IpNet::V6(Ipv6Net::new_assert((0x2001 << 112 | n << 80).into(), 48))));
        let early = backlog.early.len();
        assert!((800..1200).contains(&early), "{early}");
        let first = backlog.take(1000);
        assert_eq!(first.iter().filter(|net| matches!(net, IpNet::V6(_))).count(), 100);
        assert_eq!(first.len(), 1100);
        let mut all: Vec<IpNet> = first;
        while !backlog.is_empty() {
            all.extend(backlog.take(1000));
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8100);
    }
}
