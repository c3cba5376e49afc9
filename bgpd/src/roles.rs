//! Roles and ONLY_TO_CUSTOMER: the procedures of RFC 9234 §5 as two tables. Only for external neighbors, IPv4 and IPv6 unicast;
//! whether the neighbor announced a role does not matter (§4.2), ours is enough.

use std::fmt;

use crate::wire::capability::Role;

/// A route that breaks the order of customers, peers and providers (RFC 7908).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// A customer or route server client said something that it was only to tell its own customers.
    FromBelow {
        /// Our role.
        role: Role,
        /// ONLY_TO_CUSTOMER.
        otc: u32,
    },
    /// A peer passed on what another AS marked.
    FromPeer {
        /// ONLY_TO_CUSTOMER, which is not the peer's AS.
        otc: u32,
    },
    /// A marked route does not go to a provider, a peer or a route server.
    Upward {
        /// Our role.
        role: Role,
    },
}

/// What the neighbor of a speaker in `role` is.
const fn neighbor_of(role: Role) -> &'static str {
    match role {
        Role::Provider => "customer",
        Role::RouteServer => "route server client",
        Role::RouteServerClient => "route server",
        Role::Customer => "provider",
        Role::Peer => "peer",
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromBelow { role, otc } => {
                write!(f, "route leak (RFC 9234): from a {} with ONLY_TO_CUSTOMER {otc}", neighbor_of(*role))
            }
            Self::FromPeer { otc } => {
                write!(f, "route leak (RFC 9234): from a peer with ONLY_TO_CUSTOMER {otc}, which is not its AS")
            }
            Self::Upward { role } => {
                write!(f, "RFC 9234: a route with ONLY_TO_CUSTOMER does not go to a {}", neighbor_of(*role))
            }
        }
    }
}

/// What becomes of ONLY_TO_CUSTOMER as received: the value to be added, if one is.
///
/// # Errors
/// The route is a leak and must not be used.
pub fn ingress(role: Role, remote_asn: u32, otc: Option<u32>) -> Result<Option<u32>, Leak> {
    match (role, otc) {
        (Role::Provider | Role::RouteServer, Some(otc)) => Err(Leak::FromBelow { role, otc }),
        (Role::Peer, Some(otc)) if otc != remote_asn => Err(Leak::FromPeer { otc }),
        (Role::Customer | Role::Peer | Role::RouteServerClient, None) => Ok(Some(remote_asn)),
        _ => Ok(None),
    }
}

/// Whether ONLY_TO_CUSTOMER is added on the way out; `marked`: it is there.
///
/// # Errors
/// The route must not be told.
pub fn egress(role: Role, marked: bool) -> Result<bool, Leak> {
    match (role, marked) {
        (Role::Customer | Role::Peer | Role::RouteServerClient, true) => Err(Leak::Upward { role }),
        (Role::Provider | Role::Peer | Role::RouteServer, false) => Ok(true),
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9234 §5, every row: our role, what is received from AS 65001 and what becomes of it.
    #[test]
    fn the_ingress_matrix() {
        let leak = Err(());
        let rows = [
            // Our role, no OTC, the neighbor's AS, another AS.
            (Role::Provider, [Ok(None), leak, leak]),
            (Role::RouteServer, [Ok(None), leak, leak]),
            (Role::Peer, [Ok(Some(65001)), Ok(None), leak]),
            (Role::Customer, [Ok(Some(65001)), Ok(None), Ok(None)]),
            (Role::RouteServerClient, [Ok(Some(65001)), Ok(None), Ok(None)]),
        ];
        for (role, expected) in rows {
            for (otc, expected) in [None, Some(65001), Some(7)].into_iter().zip(expected) {
                assert_eq!(ingress(role, 65001, otc).map_err(drop), expected, "we are {role:?}, OTC {otc:?}");
            }
        }
    }

    #[test]
    fn the_egress_matrix() {
        let rows = [
            // Our role, without OTC, with it.
            (Role::Provider, Ok(true), Ok(false)),
            (Role::RouteServer, Ok(true), Ok(false)),
            (Role::Peer, Ok(true), Err(())),
            (Role::Customer, Ok(false), Err(())),
            (Role::RouteServerClient, Ok(false), Err(())),
        ];
        for (role, without, with) in rows {
            assert_eq!(egress(role, false).map_err(drop), without, "we are {role:?}");
            assert_eq!(egress(role, true).map_err(drop), with, "we are {role:?}, marked");
        }
    }
}
