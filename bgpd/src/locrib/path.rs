//! The records of the Loc-RIB: 16 octets a path, 16 a destination of IPv4 (28 of IPv6).
//!
//! Paths of a destination are a singly linked list through one arena; the best path, if there is one, stands first.
//! A path is known by its neighbor and the path identifier it came with (RFC 7911 §3). Identifiers other than 0 stand in an array
//! of their own beside the arena, which exists once a neighbor has sent one: speakers without such neighbors do not pay for it.

use crate::intern::AttrId;
use crate::locrib::PeerIndex;

/// A prefix's dense number. Freed ids are reused once nobody has been told of the old prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestId(pub u32);

/// A path's place in the arena: its own as long as the path is there, whatever its attributes become. What a neighbor is told
/// of several paths is identified by it ([`Self::number`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathId(pub u32);

impl PathId {
    /// The path identifier that neighbors are told (RFC 7911 §3), never 0.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0 + 1
    }
}

/// End of a list.
pub(crate) const NIL: u32 = u32::MAX;

/// A path: what one neighbor said about one prefix.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    pub(super) next: u32,
    /// Attributes as received.
    pub received: AttrId,
    /// Attributes after import policy; [`AttrId::NONE`] if the path may not be used.
    pub imported: AttrId,
    /// Whose path it is.
    pub peer: PeerIndex,
    /// When its neighbor last said it: see [`super::stale`].
    pub generation: u8,
    pub(super) flags: u8,
}

/// The path is used together with the best one.
pub(super) const MULTIPATH: u8 = 1;
/// The path came with an identifier other than 0: it stands in the array of identifiers.
pub(super) const IDENTIFIED: u8 = 2;

impl Path {
    /// Used together with the best path.
    #[must_use]
    pub fn is_multipath(&self) -> bool {
        self.flags & MULTIPATH != 0
    }
}

/// A destination.
#[derive(Clone, Copy, Debug)]
pub struct Dest<P> {
    pub(super) prefix: P,
    pub(super) flags: u8,
    pub(super) head: u32,
    /// Low half of the journal position of its last change.
    pub(super) changed: u32,
}

/// The first path of the list is the best one.
pub(super) const HAS_BEST: u8 = 1;
/// The shared RIB holds our route for it.
pub(super) const IN_RIB: u8 = 2;
/// It stands in the list of destinations without paths.
pub(super) const TOMB: u8 = 4;
/// The slot is free.
pub(super) const FREE: u8 = 8;
/// It has or had a route of our own: its changes take the urgent lane.
pub(super) const LOCAL: u8 = 16;

const _: () = assert!(size_of::<Path>() == 16);
const _: () = assert!(size_of::<Dest<ipnet::Ipv4Net>>() == 16);
const _: () = assert!(size_of::<Dest<ipnet::Ipv6Net>>() == 28);
