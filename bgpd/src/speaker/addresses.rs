//! Our own next hops: chosen among the host's addresses, as RFC 4271 §5.1.3, RFC 2545 §3 and RFC 8950 §4 want them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

/// An address of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkAddress {
    /// The kernel's number of the link it is on; not 0.
    pub link: u32,
    /// The address with its prefix length; host bits are kept.
    pub address: IpNet,
}

/// What we can be on one session as the next hop of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) v6: Option<Ipv6Addr>,
    /// Only on a link that we share with the neighbor.
    pub(super) link_local: Option<Ipv6Addr>,
}

/// The link of our end of a session: that of its address, or its scope if that is link-local. 0 if not known.
pub(super) fn link_of(local: SocketAddr, remote: SocketAddr, addresses: &[LinkAddress]) -> u32 {
    for end in [local, remote] {
        if let SocketAddr::V6(end) = end
            && end.scope_id() != 0
        {
            return end.scope_id();
        }
    }
    let ip = local.ip().to_canonical();
    addresses.iter().find(|known| known.address.addr() == ip).map_or(0, |known| known.link)
}

/// Our next hops on a session between `local` and `remote`. The transport's own family has the transport's address; the other
/// has an address of the same link, and an IPv4 one the router id if that is an address of this host. Never an
/// IPv4-mapped one: nobody can forward to it.
pub(super) fn own(local: SocketAddr, remote: SocketAddr, router_id: Ipv4Addr, addresses: &[LinkAddress]) -> Own {
    let link = link_of(local, remote, addresses);
    let (local, remote) = (local.ip().to_canonical(), remote.ip().to_canonical());
    let on_link = || addresses.iter().filter(move |known| link != 0 && known.link == link);
    let v4 = |known: &LinkAddress| match known.address.addr() {
        IpAddr::V4(addr) if !addr.is_loopback() && !addr.is_link_local() => Some(addr),
        _ => None,
    };
    let global = |known: &LinkAddress| match known.address.addr() {
        IpAddr::V6(addr) if !addr.is_loopback() && !addr.is_unicast_link_local() => Some(addr),
        _ => None,
    };
    let link_local = |known: &LinkAddress| match known.address.addr() {
        IpAddr::V6(addr) if addr.is_unicast_link_local() => Some(addr),
        _ => None,
    };
    let router_id = addresses.iter().any(|known| known.address.addr() == router_id).then_some(router_id);
    // RFC 2545 §3: the link-local address only where the neighbor is on the link too.
    let is_link_local = |addr: IpAddr| matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local());
    let shared = is_link_local(remote) || on_link().any(|known| known.address.contains(&remote));
    let mut own = Own {
        v4: on_link().find_map(v4).or(router_id),
        v6: on_link().find_map(global),
        link_local: on_link().find_map(link_local).filter(|_| shared),
    };
    match local {
        IpAddr::V4(addr) => own.v4 = Some(addr),
        IpAddr::V6(addr) if addr.is_unicast_link_local() => own.link_local = Some(addr),
        IpAddr::V6(addr) => own.v6 = Some(addr),
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Vec<LinkAddress> {
        [(1, "127.0.0.1/8"), (1, "::1/128"), (1, "10.255.0.1/32"), (1, "2001:db8:ff::1/128")]
            .into_iter()
            .chain([(2, "10.0.0.1/24"), (2, "2001:db8::1/64"), (2, "fe80::1/64"), (3, "fe80::1/64")])
            .map(|(link, address)| LinkAddress { link, address: address.parse().expect("a prefix") })
            .collect()
    }

    fn end(text: &str) -> SocketAddr {
        text.parse().expect("a socket address")
    }

    #[test]
    fn our_next_hops_are_addresses_of_the_sessions_link() {
        let (v4, v6) = (|text: &str| text.parse::<Ipv4Addr>().ok(), |text: &str| text.parse::<Ipv6Addr>().ok());
        let rows = [
            // Both families over IPv4 and over IPv6, on a shared link.
            ("10.0.0.1:179", "10.0.0.2:179", (v4("10.0.0.1"), v6("2001:db8::1"), v6("fe80::1"))),
            ("[2001:db8::1]:179", "[2001:db8::2]:179", (v4("10.0.0.1"), v6("2001:db8::1"), v6("fe80::1"))),
            // Between loopback addresses: no link is shared.
            ("10.255.0.1:179", "10.255.0.2:179", (v4("10.255.0.1"), v6("2001:db8:ff::1"), None)),
            ("[2001:db8:ff::1]:179", "[2001:db8:ff::2]:179", (v4("10.255.0.1"), v6("2001:db8:ff::1"), None)),
            // Unnumbered: nothing but link-local addresses there; the router id is one of ours.
            ("[fe80::1%3]:179", "[fe80::2%3]:179", (v4("10.255.0.1"), None, v6("fe80::1"))),
            // An address that the host is not known to have.
            ("192.0.2.1:179", "192.0.2.2:179", (v4("192.0.2.1"), None, None)),
        ];
        for (local, remote, (v4, v6, link_local)) in rows {
            let own = own(end(local), end(remote), Ipv4Addr::new(10, 255, 0, 1), &host());
            assert_eq!(own, Own { v4, v6, link_local }, "{local} to {remote}");
        }
        let unnumbered = own(end("[fe80::1%3]:179"), end("[fe80::2%3]:179"), Ipv4Addr::new(7, 7, 7, 7), &host());
        assert_eq!(unnumbered.v4, None, "a router id that is no address of ours is no next hop");
    }
}
