//! A message on one line, in words of people.

use std::fmt::{Display, Write};

use rib::{AddressFamily, V4, V6};

use super::history::Reading;
use crate::wire::attr::{
    self, Community, DecodeContext, ExtendedCommunity, LargeCommunity, MpReach, NextHopAttr, Origin, PathAttributes,
    Scan, Target,
};
use crate::wire::header::MessageType;
use crate::wire::nlri::{NlriFamily, PrefixIter};
use crate::wire::open::Open;
use crate::wire::route_refresh::{RefreshKind, RouteRefresh};
use crate::wire::{AfiSafi, Notification, update};

/// Prefixes or other things named before the rest is only counted.
const NAMED: usize = 12;

/// What a message of `kind` with this whole body says.
pub(super) fn describe(kind: MessageType, body: &[u8], reading: Reading) -> String {
    let words = match kind {
        MessageType::Open => Open::decode(body).map(|open| of_open(&open)),
        MessageType::Update => of_update(body, reading),
        MessageType::Notification => Notification::decode(body).map(|notification| notification.to_string()),
        MessageType::Keepalive => return kind.name().to_owned(),
        MessageType::RouteRefresh => RouteRefresh::decode(body, true).map(of_refresh),
    };
    let words = words.unwrap_or_else(|fault| format!("malformed ({fault})"));
    format!("{}: {words}", kind.name())
}

fn of_open(open: &Open) -> String {
    let mut words = format!("AS {}, hold time {} s, identifier {}", open.asn, open.hold_secs, open.router_id);
    words += if open.capabilities.is_empty() { ", no capabilities" } else { "; " };
    words + &list(open.capabilities.iter(), usize::MAX)
}

fn of_refresh(refresh: RouteRefresh) -> String {
    match refresh.kind {
        RefreshKind::Request => format!("send {} again", refresh.family),
        RefreshKind::Begin => format!("beginning of {}", refresh.family),
        RefreshKind::End => format!("end of {}", refresh.family),
        RefreshKind::Unknown(subtype) => format!("{} with unknown subtype {subtype}", refresh.family),
    }
}

fn of_update(body: &[u8], reading: Reading) -> Result<String, Notification> {
    let fields = update::split(body)?;
    if let Some(family) = fields.end_of_rib() {
        return Ok(format!("End-of-RIB of {family}"));
    }
    let scan = attr::scan(fields.attributes)?;
    let mut parts = Vec::new();
    let mut routes = |verb: &str, family: AfiSafi, field: &[u8]| {
        if !field.is_empty() {
            parts.push(format!("{verb} {}", prefixes(family, field, reading)));
        }
    };
    routes("withdraw", AfiSafi::IPV4_UNICAST, fields.withdrawn);
    if let Some(unreach) = &scan.mp_unreach {
        routes("withdraw", unreach.family, unreach.nlri);
    }
    routes("announce", AfiSafi::IPV4_UNICAST, fields.nlri);
    if let Some(reach) = &scan.mp_reach {
        routes("announce", reach.family, reach.nlri);
    }
    if scan.base_len() > 0 || scan.mp_reach.is_some() {
        parts.push(attributes(&scan, reading, fields.nlri.is_empty()));
    }
    Ok(parts.join("; "))
}

fn prefixes(family: AfiSafi, field: &[u8], reading: Reading) -> String {
    let [v4, v6] = reading.paths;
    match family.unicast() {
        Some(AddressFamily::Ipv4) => prefixes_of::<V4>(field, v4),
        Some(AddressFamily::Ipv6) => prefixes_of::<V6>(field, v6),
        None => format!("{} octets of {family}", field.len()),
    }
}

fn prefixes_of<F: NlriFamily>(field: &[u8], add_path: bool) -> String {
    let words = PrefixIter::<F>::new(field, add_path).map(|prefix| match prefix {
        Ok((path, prefix)) if add_path => format!("{} (path {path})", F::net(prefix)),
        Ok((_, prefix)) => F::net(prefix).to_string(),
        Err(fault) => fault.to_string(),
    });
    list(words, NAMED)
}

fn attributes(scan: &Scan<'_>, reading: Reading, mp: bool) -> String {
    let Reading { as4, kind, .. } = reading;
    let context = DecodeContext { as4, extended_next_hop: true, ..DecodeContext::new(kind) };
    match attr::decode(scan, &context, if mp { Target::Mp } else { Target::Plain }) {
        Ok(decoded) => of_attributes(&decoded.attributes, scan.mp_reach.as_ref()),
        Err(fault) => fault.to_string(),
    }
}

fn of_attributes(attributes: &PathAttributes, reach: Option<&MpReach<'_>>) -> String {
    let origin = match attributes.origin {
        Origin::Igp => "igp",
        Origin::Egp => "egp",
        Origin::Incomplete => "incomplete",
    };
    let mut words = format!("origin {origin}, as-path \"{}\"", attributes.as_path);
    let mut add = |name: &str, value: Option<&dyn Display>| {
        if let Some(value) = value {
            // Writing to a string does not fail.
            let _ = write!(words, ", {name} {value}");
        }
    };
    match attributes.next_hop {
        NextHopAttr::V4(addr) => add("next-hop", Some(&addr)),
        NextHopAttr::V6 { global, link_local } => {
            add("next-hop", Some(&global));
            add("and", link_local.as_ref().map(|addr| addr as &dyn Display));
        }
    }
    add("for", reach.map(|reach| &reach.family as &dyn Display));
    add("med", attributes.med.as_ref().map(|value| value as &dyn Display));
    add("local-pref", attributes.local_pref.as_ref().map(|value| value as &dyn Display));
    add("only-to-customer", attributes.only_to_customer.as_ref().map(|value| value as &dyn Display));
    add("originator", attributes.originator_id.as_ref().map(|value| value as &dyn Display));
    let some = |list: String| (!list.is_empty()).then_some(list);
    let lists = [
        ("clusters", some(list(attributes.cluster_list.iter(), NAMED))),
        ("communities", some(list(attributes.communities.iter().map(|c| Community(*c)), NAMED))),
        (
            "extended communities",
            some(list(attributes.extended_communities.iter().map(|c| ExtendedCommunity(*c)), NAMED)),
        ),
        ("large communities", some(list(attributes.large_communities.iter().map(|c| LargeCommunity(*c)), NAMED))),
        ("unknown attributes", some(list(attributes.unknown.iter().map(|unknown| unknown.code), NAMED))),
    ];
    for (name, list) in &lists {
        add(name, list.as_ref().map(|list| list as &dyn Display));
    }
    if attributes.atomic_aggregate {
        words += ", atomic-aggregate";
    }
    if let Some(aggregator) = attributes.aggregator {
        let _ = write!(words, ", aggregator {} {}", aggregator.asn, aggregator.router_id);
    }
    words
}

/// The first `named` items, and how many more there are.
fn list<T: Display>(items: impl Iterator<Item = T>, named: usize) -> String {
    let mut words = String::new();
    let mut more = 0;
    for (n, item) in items.enumerate() {
        if n < named {
            let _ = write!(words, "{}{item}", if n == 0 { "" } else { ", " });
        } else {
            more += 1;
        }
    }
    if more > 0 {
        let _ = write!(words, " and {more} more");
    }
    words
}
