//! What the data plane ought to hold, and whether it does: one compact entry per route.
//!
//! An IPv4 entry takes 8 octets and an IPv6 entry 20, plus one of the hash table; at the table's lowest fill that is 21 and
//! 48 octets per route, about 20 on a full table of both families. Reasons for refusals and next-hop meanings live elsewhere,
//! because only few routes have the one and many routes share the other.

use std::hash::BuildHasher;
use std::net::{Ipv4Addr, Ipv6Addr};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The place of a next-hop object in [`crate::slots::Slots`]; also its number in the data plane. Below 2^22, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u32);

/// How a route stands between RIB and data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// As the RIB told, acknowledged.
    Installed,
    /// As the RIB told, not yet written (the data plane is away, or lost the object under it).
    Pending,
    /// As the RIB told, refused; the reason is in the retry table.
    Failed,
    /// Found in the data plane, and the RIB has not spoken of it in its present walk.
    Held,
}

/// Slot (22 bits), prefix length (8), state (2) in one word.
#[derive(Clone, Copy)]
struct Packed(u32);

impl Packed {
    fn new(slot: Slot, length: u8, state: State) -> Self {
        debug_assert!(slot.0 < crate::backend::MAX_NEXT_HOPS);
        Self(slot.0 << 10 | u32::from(length) << 2 | state as u32)
    }

    fn slot(self) -> Slot {
        Slot(self.0 >> 10)
    }

    fn length(self) -> u8 {
        (self.0 >> 2) as u8
    }

    fn state(self) -> State {
        match self.0 & 3 {
            0 => State::Installed,
            1 => State::Pending,
            2 => State::Failed,
            _ => State::Held,
        }
    }
}

/// The entry of one prefix; `address` is four octets' worth for IPv4, four words for IPv6.
#[derive(Clone, Copy)]
struct Entry<A> {
    address: A,
    packed: Packed,
}

type V6Words = [u32; 4];

fn words(address: Ipv6Addr) -> V6Words {
    let bits = address.to_bits();
    [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32]
}

fn address(words: V6Words) -> Ipv6Addr {
    Ipv6Addr::from_bits(words.iter().fold(0u128, |bits, word| bits << 32 | u128::from(*word)))
}

/// One family's table.
struct Table<A> {
    entries: HashTable<Entry<A>>,
    hasher: FixedState,
}

impl<A: Copy + Eq + std::hash::Hash> Table<A> {
    fn new() -> Self {
        Self { entries: HashTable::new(), hasher: FixedState::default() }
    }

    fn get(&self, address: A, length: u8) -> Option<Packed> {
        let hash = self.hasher.hash_one((address, length));
        let found = self.entries.find(hash, |e| e.address == address && e.packed.length() == length);
        found.map(|e| e.packed)
    }

    fn get_mut(&mut self, address: A, length: u8) -> Option<&mut Packed> {
        let hash = self.hasher.hash_one((address, length));
        let found = self.entries.find_mut(hash, |e| e.address == address && e.packed.length() == length);
        found.map(|e| &mut e.packed)
    }

    fn set(&mut self, address: A, packed: Packed) -> Option<Packed> {
        let length = packed.length();
        let hash = self.hasher.hash_one((address, length));
        if let Some(entry) = self.entries.find_mut(hash, |e| e.address == address && e.packed.length() == length) {
            return Some(std::mem::replace(&mut entry.packed, packed));
        }
        let hasher = &self.hasher;
        self.entries
            .insert_unique(hash, Entry { address, packed }, |e| hasher.hash_one((e.address, e.packed.length())));
        None
    }

    fn remove(&mut self, address: A, length: u8) -> Option<Packed> {
        let hash = self.hasher.hash_one((address, length));
        let found = self.entries.find_entry(hash, |e| e.address == address && e.packed.length() == length).ok()?;
        let packed = found.remove().0.packed;
        // A table that once held a million routes does not keep their memory for a thousand.
        if self.entries.capacity() > 4096 && self.entries.len() < self.entries.capacity() / 8 {
            let hasher = &self.hasher;
            self.entries.shrink_to(self.entries.len() * 2, |e| hasher.hash_one((e.address, e.packed.length())));
        }
        Some(packed)
    }

    fn octets(&self) -> usize {
        self.entries.allocation_size()
    }
}

/// Desired routes of both families.
pub(crate) struct Mirror {
    v4: Table<u32>,
    v6: Table<V6Words>,
}

impl Mirror {
    pub(crate) fn new() -> Self {
        Self { v4: Table::new(), v6: Table::new() }
    }

    /// Entries, held ones included.
    pub(crate) fn len(&self) -> usize {
        self.v4.entries.len() + self.v6.entries.len()
    }

    /// Heap octets of the tables.
    pub(crate) fn octets(&self) -> usize {
        self.v4.octets() + self.v6.octets()
    }

    pub(crate) fn get(&self, prefix: IpNet) -> Option<(Slot, State)> {
        let packed = match prefix {
            IpNet::V4(net) => self.v4.get(net.network().to_bits(), net.prefix_len()),
            IpNet::V6(net) => self.v6.get(words(net.network()), net.prefix_len()),
        };
        packed.map(|packed| (packed.slot(), packed.state()))
    }

    /// Sets the entry; returns what was there.
    pub(crate) fn set(&mut self, prefix: IpNet, slot: Slot, state: State) -> Option<(Slot, State)> {
        let packed = Packed::new(slot, prefix.prefix_len(), state);
        let before = match prefix {
            IpNet::V4(net) => self.v4.set(net.network().to_bits(), packed),
            IpNet::V6(net) => self.v6.set(words(net.network()), packed),
        };
        before.map(|packed| (packed.slot(), packed.state()))
    }

    /// Gives the entry the state that `to` answers, if there is one; what it was. One look at the table, which for a full one is
    /// most of the work.
    pub(crate) fn update(&mut self, prefix: IpNet, to: impl FnOnce(State) -> State) -> Option<(Slot, State)> {
        let packed = match prefix {
            IpNet::V4(net) => self.v4.get_mut(net.network().to_bits(), net.prefix_len()),
            IpNet::V6(net) => self.v6.get_mut(words(net.network()), net.prefix_len()),
        }?;
        let (slot, state) = (packed.slot(), packed.state());
        *packed = Packed::new(slot, packed.length(), to(state));
        Some((slot, state))
    }

    pub(crate) fn remove(&mut self, prefix: IpNet) -> Option<(Slot, State)> {
        let packed = match prefix {
            IpNet::V4(net) => self.v4.remove(net.network().to_bits(), net.prefix_len()),
            IpNet::V6(net) => self.v6.remove(words(net.network()), net.prefix_len()),
        };
        packed.map(|packed| (packed.slot(), packed.state()))
    }

    /// Calls `each` for every entry, in no particular order.
    pub(crate) fn for_each(&self, mut each: impl FnMut(IpNet, Slot, State)) {
        for e in &self.v4.entries {
            each(net4(e.address, e.packed), e.packed.slot(), e.packed.state());
        }
        for e in &self.v6.entries {
            each(net6(e.address, e.packed), e.packed.slot(), e.packed.state());
        }
    }

    /// Gives every entry the state that `to` answers.
    pub(crate) fn restate(&mut self, mut to: impl FnMut(Slot, State) -> State) {
        for e in &mut self.v4.entries {
            e.packed = Packed::new(e.packed.slot(), e.packed.length(), to(e.packed.slot(), e.packed.state()));
        }
        for e in &mut self.v6.entries {
            e.packed = Packed::new(e.packed.slot(), e.packed.length(), to(e.packed.slot(), e.packed.state()));
        }
    }

    /// The prefixes of all entries that `wanted` accepts.
    pub(crate) fn select(&self, mut wanted: impl FnMut(Slot, State) -> bool) -> Vec<IpNet> {
        let mut found = Vec::new();
        self.for_each(|prefix, slot, state| {
            if wanted(slot, state) {
                found.push(prefix);
            }
        });
        found
    }
}

fn net4(address: u32, packed: Packed) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_bits(address), packed.length()))
}

fn net6(words: V6Words, packed: Packed) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(address(words), packed.length()))
}

#[cfg(test)]
mod tests;
