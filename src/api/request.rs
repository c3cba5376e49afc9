//! What comes out of requests, checked: every refusal is `INVALID_ARGUMENT`, names the field and says what would be right.

use std::net::IpAddr;
use std::time::Duration;

use bgpd::speaker::message::NeighborKey;
use ipnet::IpNet;
use proto::v1;
use rib::{AddressFamily, Discard, IfIndex, Leg, NextHop, NextHopSet};
use tonic::Status;

/// Items on a page when the client does not say.
const PAGE_DEFAULT: usize = 1000;
/// Most items a client may ask for on a page.
const PAGE_MOST: u32 = 10_000;
/// Longest text an operator may give as a reason or message, octets (RFC 9003 §2 for what is sent on).
const TEXT_MOST: usize = 255;

/// `INVALID_ARGUMENT` for `field`.
pub(crate) fn invalid(field: &str, what: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{field}: {what}"))
}

/// The daemon is on its way down.
pub(crate) fn gone(why: impl std::fmt::Display) -> Status {
    Status::unavailable(why.to_string())
}

/// The name of a neighbor, which must be given: its address, or the interface it is found on.
pub(crate) fn neighbor(field: &str, text: &str) -> Result<NeighborKey, Status> {
    if text.is_empty() {
        return Err(invalid(
            field,
            "is empty: give an address, as in \"192.0.2.1\" or \"fe80::1%eth0\", or an interface",
        ));
    }
    text.parse().map_err(|err| invalid(field, format_args!("{text:?} {err}")))
}

/// An address that must be given.
pub(crate) fn address(field: &str, text: &str) -> Result<IpAddr, Status> {
    if text.is_empty() {
        return Err(invalid(field, "is empty: give an address, as in \"192.0.2.1\" or \"2001:db8::1\""));
    }
    text.parse().map_err(|_| invalid(field, format_args!("{text:?} is no IPv4 or IPv6 address")))
}

/// A prefix that must be given, without host bits.
pub(crate) fn prefix(field: &str, text: &str) -> Result<IpNet, Status> {
    if text.is_empty() {
        return Err(invalid(field, "is empty: give a prefix, as in \"192.0.2.0/24\" or \"2001:db8::/32\""));
    }
    let net: IpNet = text
        .parse()
        .map_err(|_| invalid(field, format_args!("{text:?} is no prefix; write it as in \"192.0.2.0/24\"")))?;
    if net != net.trunc() {
        return Err(invalid(field, format_args!("{text:?} has host bits set; {} would be right", net.trunc())));
    }
    Ok(net)
}

/// A prefix that selects if present, and must not be empty then.
pub(crate) fn optional_prefix(field: &str, text: Option<&str>) -> Result<Option<IpNet>, Status> {
    text.map(|text| prefix(field, text)).transpose()
}

/// A name that must be given: an empty selector never means "all".
pub(crate) fn name<'a>(field: &str, text: &'a str) -> Result<&'a str, Status> {
    if text.is_empty() {
        return Err(invalid(field, "is empty: name exactly one"));
    }
    Ok(text)
}

/// A text for people, bounded.
pub(crate) fn text(field: &str, text: String) -> Result<String, Status> {
    if text.len() > TEXT_MOST {
        return Err(invalid(field, format_args!("has {} octets, at most {TEXT_MOST} are allowed", text.len())));
    }
    Ok(text)
}

/// A family to select; `None` = both.
pub(crate) fn family(field: &str, number: i32) -> Result<Option<AddressFamily>, Status> {
    match v1::AddressFamily::try_from(number) {
        Ok(v1::AddressFamily::Unspecified) => Ok(None),
        Ok(v1::AddressFamily::Ipv4) => Ok(Some(AddressFamily::Ipv4)),
        Ok(v1::AddressFamily::Ipv6) => Ok(Some(AddressFamily::Ipv6)),
        Err(_) => Err(invalid(field, format_args!("{number} is no address family"))),
    }
}

/// A page size; 0 means the default.
pub(crate) fn page_size(field: &str, size: u32) -> Result<usize, Status> {
    match size {
        0 => Ok(PAGE_DEFAULT),
        1..=PAGE_MOST => Ok(size as usize),
        _ => Err(invalid(field, format_args!("{size} is too large, at most {PAGE_MOST} is allowed"))),
    }
}

/// Where a page begins: tokens are prefixes, opaque to clients.
pub(crate) fn page_token(field: &str, token: &str) -> Result<Option<IpNet>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    token.parse().map(Some).map_err(|_| invalid(field, "is not a next_page_token of this method"))
}

/// A length of time that must not be negative.
pub(crate) fn duration(field: &str, duration: prost_types::Duration) -> Result<Duration, Status> {
    Duration::try_from(duration).map_err(|_| invalid(field, "is negative or out of range"))
}

/// Next hops of a route.
pub(crate) fn next_hops(field: &str, hops: &[v1::NextHop]) -> Result<NextHopSet, Status> {
    if hops.len() > NextHopSet::MAX_LEGS {
        let most = NextHopSet::MAX_LEGS;
        return Err(invalid(field, format_args!("{} next hops are given, at most {most} are allowed", hops.len())));
    }
    let legs: Vec<Leg> =
        hops.iter().enumerate().map(|(i, hop)| leg(&format!("{field}[{i}]"), hop)).collect::<Result<_, _>>()?;
    if legs.len() > 1 && legs.iter().any(|leg| matches!(leg.next_hop, NextHop::Discard(_) | NextHop::Local)) {
        return Err(invalid(field, "a discard or local next hop must stand alone"));
    }
    let given = legs.len();
    let set = NextHopSet::new(legs)
        .ok_or_else(|| invalid(field, "is empty: give at least one gateway, interface or discard"))?;
    if set.legs().len() != given {
        return Err(invalid(field, "the same next hop stands twice; use weight for an uneven share"));
    }
    Ok(set)
}

fn leg(field: &str, hop: &v1::NextHop) -> Result<Leg, Status> {
    let discard = match v1::Discard::try_from(hop.discard) {
        Ok(v1::Discard::Unspecified) => None,
        Ok(v1::Discard::Blackhole) => Some(Discard::Blackhole),
        Ok(v1::Discard::Unreachable) => Some(Discard::Unreachable),
        Ok(v1::Discard::Prohibit) => Some(Discard::Prohibit),
        Err(_) => return Err(invalid(&format!("{field}.discard"), format_args!("{} is no discard", hop.discard))),
    };
    let weight_less_one = match hop.weight {
        0 => 0,
        weight @ 1..=256 => u8::try_from(weight - 1).unwrap_or(u8::MAX),
        weight => return Err(invalid(&format!("{field}.weight"), format_args!("{weight} is not within 1 to 256"))),
    };
    if let Some(index) = Some(hop.interface_index).filter(|index| *index != 0) {
        let what = format_args!("{index} is given, but it is output only: name the interface in \"interface\"");
        return Err(invalid(&format!("{field}.interface_index"), what));
    }
    let forwards = !hop.gateway.is_empty() || !hop.interface.is_empty();
    let next_hop = match (discard, hop.local, forwards) {
        (Some(kind), false, false) => NextHop::Discard(kind),
        (None, true, false) => NextHop::Local,
        (None, false, true) => forwarded(field, hop)?,
        (None, false, false) => return Err(invalid(field, "names no gateway, interface or discard")),
        _ => return Err(invalid(field, "gateway or interface, discard and local exclude one another")),
    };
    Ok(Leg { next_hop, weight_less_one })
}

fn forwarded(field: &str, hop: &v1::NextHop) -> Result<NextHop, Status> {
    let interface = match hop.interface.as_str() {
        "" => None,
        name => {
            let index = nix::net::if_::if_nametoindex(name).map_err(|_| {
                invalid(&format!("{field}.interface"), format_args!("this host has no interface {name:?}"))
            })?;
            Some(IfIndex(index))
        }
    };
    if hop.onlink && (interface.is_none() || hop.gateway.is_empty()) {
        return Err(invalid(&format!("{field}.onlink"), "needs both a gateway and an interface"));
    }
    if hop.gateway.is_empty() {
        return interface.map(NextHop::Interface).ok_or_else(|| invalid(field, "names no gateway or interface"));
    }
    let gateway = format!("{field}.gateway");
    let addr = address(&gateway, &hop.gateway)?;
    if addr.is_unspecified() || addr.is_multicast() || addr.is_loopback() {
        return Err(invalid(&gateway, format_args!("{addr} cannot be a gateway")));
    }
    let link_local = matches!(addr, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if link_local && interface.is_none() {
        return Err(invalid(&gateway, format_args!("{addr} is link-local: name the interface too")));
    }
    Ok(NextHop::Gateway { addr, interface, onlink: hop.onlink })
}
