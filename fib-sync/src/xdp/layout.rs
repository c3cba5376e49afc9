//! The layout of the maps, version 2: the other side of `fib-sync/xdp/tables.h`. Foreign programs rely on it: whoever changes
//! a line raises [`VERSION`].

/// Raised whenever a program that knows the layout before would read wrongly.
pub(super) const VERSION: u64 = 2;
/// Since this version the daemon's own book, and what its records mean, are as now: its routes can be read over.
pub(super) const BOOK_SINCE: u64 = 1;
/// First word of the `state` map: "ANYHOPX" and a zero.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"ANYHOPX\0");

/// Words of the `state` map.
pub(super) mod state {
    /// [`super::MAGIC`], written last.
    pub(in crate::xdp) const MAGIC: usize = 0;
    /// [`super::VERSION`].
    pub(in crate::xdp) const VERSION: usize = 1;
    /// Not 0 while the tables are being written: who dies then leaves them to be built anew.
    pub(in crate::xdp) const WRITING: usize = 2;
    /// Goes into every flow's hash.
    pub(in crate::xdp) const FLOW_SEED: usize = 3;
    /// 1 if the programs look up in the tries.
    pub(in crate::xdp) const LPM_MODE: usize = 4;
    /// Words of the map.
    pub(in crate::xdp) const WORDS: usize = 64;
}

/// Set in a word that leads to a group.
pub(super) const EXT: u32 = 1 << 31;
/// Set in a word that leads to a list.
pub(super) const LIST: u32 = 1 << 30;
/// Objects, groups and lists are numbered below this.
pub(super) const MAX_OBJECTS: u32 = 1 << 22;
/// Bits that the first table resolves.
pub(super) const ROOT_BITS: u8 = 24;
/// Words of the first table.
pub(super) const ROOT_WORDS: usize = 1 << ROOT_BITS;
/// Words of a group.
pub(super) const GROUP_WORDS: usize = 256;
/// Prefixes in a list.
pub(super) const LIST_ROUTES: usize = 7;
/// Bits of an address that a list compares, from its depth on.
pub(super) const LIST_BITS: u8 = 32;
/// Words of a list: one for the rest, one for each prefix, then their keys: a line of the cache.
pub(super) const LIST_WORDS: usize = 16;

/// A route word: an object, and the length of the prefix it comes from.
pub(super) const fn route_word(object: u32, length: u8) -> u32 {
    object | (length as u32) << 22
}

/// The prefix length in a route word; the depth of what another word leads to.
pub(super) const fn word_length(word: u32) -> u8 {
    (word >> 22) as u8
}

/// The object in a route word.
#[cfg(test)]
pub(super) const fn word_object(word: u32) -> u32 {
    word & (MAX_OBJECTS - 1)
}

/// The kinds of object words.
pub(super) mod object {
    // 0 means nothing.
    /// The low 32 bits are a leg.
    pub(in crate::xdp) const LEG: u64 = 1;
    /// The low 32 bits are the first bucket, the next 16 the number of buckets less one.
    pub(in crate::xdp) const GROUP: u64 = 2;
    /// Drop.
    pub(in crate::xdp) const DROP: u64 = 3;
    /// To this host.
    pub(in crate::xdp) const LOCAL: u64 = 4;
    /// To the kernel, which answers with ICMP.
    pub(in crate::xdp) const PUNT: u64 = 5;

    /// A word of `kind`.
    pub(in crate::xdp) const fn word(kind: u64, low: u32, mask: u16) -> u64 {
        kind << 56 | (mask as u64) << 32 | low as u64
    }

    /// The kind of a word.
    pub(in crate::xdp) const fn kind(word: u64) -> u64 {
        word >> 56
    }
}

/// The states of leg words.
pub(super) mod leg {
    /// To the kernel, which asks for the neighbor.
    pub(in crate::xdp) const UNRESOLVED: u64 = 0;
    /// MAC address and port are known.
    pub(in crate::xdp) const RESOLVED: u64 = 1;
    /// The destination itself is on the port's link: look it up among the neighbors.
    pub(in crate::xdp) const ONLINK: u64 = 2;

    /// A word of `state`.
    pub(in crate::xdp) const fn word(state: u64, port: u8, mac: [u8; 6]) -> u64 {
        state << 56 | (port as u64) << 48 | super::mac_word(mac)
    }
}

/// A MAC address, its first octet lowest.
pub(super) const fn mac_word(mac: [u8; 6]) -> u64 {
    u64::from_le_bytes([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], 0, 0])
}

/// Places for ports.
pub(super) const PORTS: usize = 256;
/// Places that an interface number may take, from its remainder on.
pub(super) const PORT_PROBES: usize = 4;
/// In a port's first word: the program runs there in generic mode.
pub(super) const PORT_GENERIC: u64 = 1 << 56;
/// Words of a port: mtu and interface number, MAC address.
pub(super) const PORT_WORDS: usize = 2;

/// Words of an IPv6 route's record.
pub(super) const ROUTE6_WORDS: usize = 3;
/// Words of what a leg means: interface and flags, gateway twice.
pub(super) const LEG_INFO_WORDS: usize = 3;
/// Legs of one group.
pub(super) const MEMBERS: usize = 64;
/// 32-bit words of a group's meaning: a count, a zero, and leg and weight of each member.
pub(super) const MEMBERS_WORDS: usize = 2 + 2 * MEMBERS;
/// Buckets come in slices of this many.
pub(super) const SLICE: usize = 256;
