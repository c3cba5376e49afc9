//! Connection collision (RFC 4271 §6.8, RFC 6286 §2.3): both ends dialled, and both choose the same connection to keep.

use std::net::Ipv4Addr;

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// We did.
    Dialled,
    /// The neighbor did.
    Accepted,
}

/// What identifies a speaker in a collision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// BGP Identifier.
    pub router_id: Ipv4Addr,
    /// AS number, which decides between equal identifiers (RFC 6286 §2.3).
    pub asn: u32,
}

/// The connection that stays: the one opened by the speaker with the higher identifier, compared as numbers.
#[must_use]
pub fn winner(ours: Identity, theirs: Identity) -> Direction {
    let rank = |identity: Identity| (identity.router_id.to_bits(), identity.asn);
    if rank(ours) > rank(theirs) { Direction::Dialled } else { Direction::Accepted }
}
