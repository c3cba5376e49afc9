//! What the RIB is told by the file: `[rib]`, `[[static]]`, and the `redistribute` of protocols.

use std::net::IpAddr;
use std::ops::Range;

use bgpd::policy::MetricType;
use ipnet::IpNet;
use rib::{AdminDistance, Discard, Metric, NextHopSet};

use super::bfd::bfd;
use super::file;
use super::model::{Distances, Origin, Redistribute, StaticLeg, StaticRoute, StaticTo};
use super::policies;
use super::read::{Mixed, Once, Table};

/// `[rib] distance`.
pub(super) fn distances(root: &Table<'_>) -> Distances {
    let mut model = Distances::default();
    let Some(rib) = root.table("rib", "rib", file::RIB) else { return model };
    let Some(table) = rib.table("distance", "rib.distance", file::DISTANCE) else { return model };
    let read = |name| table.int::<u8>(name, 1..=255).map(|at| AdminDistance(at.value));
    if let Some(ospf) = read("ospf") {
        (model.ospf_intra, model.ospf_inter, model.ospf_external, model.ospf_nssa) = (ospf, ospf, ospf, ospf);
    }
    for (name, field) in [
        ("static", &mut model.statics),
        ("service", &mut model.service),
        ("api", &mut model.api),
        ("ebgp", &mut model.ebgp),
        ("ospf_intra", &mut model.ospf_intra),
        ("ospf_inter", &mut model.ospf_inter),
        ("ospf_external", &mut model.ospf_external),
        ("ospf_nssa", &mut model.ospf_nssa),
        ("ibgp", &mut model.ibgp),
        ("kernel", &mut model.kernel),
    ] {
        *field = read(name).unwrap_or(*field);
    }
    model
}

/// Who is given routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// The BGP speaker.
    Bgp,
    /// OSPF.
    Ospf,
}

impl To {
    fn keys(self) -> file::Keys {
        match self {
            Self::Bgp => file::REDISTRIBUTE,
            Self::Ospf => file::REDISTRIBUTE_OSPF,
        }
    }

    fn uses(self) -> policies::Use {
        match self {
            Self::Bgp => policies::Use::Bgp,
            Self::Ospf => policies::Use::Ospf,
        }
    }

    /// A protocol is never given what came from it.
    fn origins(self) -> &'static [(&'static str, Origin)] {
        const ALL: &[(&str, Origin)] = &[
            ("bgp", Origin::Bgp),
            ("static", Origin::Static),
            ("connected", Origin::Connected),
            ("kernel", Origin::Kernel),
            ("api", Origin::Api),
            ("ospf", Origin::Ospf),
        ];
        match self {
            Self::Bgp => &ALL[1..],
            Self::Ospf => &ALL[..ALL.len() - 1],
        }
    }
}

/// The `redistribute` of a protocol's table; `path` is its name, as in `bgp.redistribute`.
pub(super) fn redistribute<'a>(
    table: &Table<'a>,
    path: &'a str,
    to: To,
    policies: &policies::Names,
) -> Vec<Redistribute> {
    let mut all: Vec<Redistribute> = Vec::new();
    for table in table.tables("redistribute", path, to.keys()) {
        if !table.has("from") {
            let words: Vec<_> = to.origins().iter().map(|(word, _)| *word).collect();
            table.missing("from", format_args!("one of {}", words.join(", ")));
        }
        let Some(from) = table.word("from", to.origins()) else { continue };
        if all.iter().any(|before| before.from == from) {
            let word = to.origins().iter().find(|(_, origin)| *origin == from).map_or("", |(word, _)| word);
            table.wrong(table.span_of("from"), "from", format!("{word} stands twice; each may stand once"));
        }
        let chain = table.one_or_more::<String>("policy");
        if !table.has("policy") {
            table.missing("policy", "a policy's name; \"accept\" gives all");
        }
        let chain = chain.unwrap_or_default();
        for name in &chain {
            policies::known(&table, "policy", name, policies, to.uses());
        }
        // RFC 2328 §A.4.5: the metric of an external route has 24 bits, all ones is "unreachable".
        let most = if to == To::Ospf { 0xff_fffe } else { 0xffff_ffff };
        let internal = table.get("internal").unwrap_or(false);
        if internal && from != Origin::Bgp {
            table.wrong(
                table.span_of("internal"),
                "internal",
                "is for from = \"bgp\": routes of internal neighbors too",
            );
        }
        all.push(Redistribute {
            from,
            policy: chain.into_iter().map(|at| at.value).collect(),
            metric: table.int("metric", 0..=most).map(|at| at.value),
            metric_type: policies::metric_type(&table).unwrap_or(MetricType::Two),
            tag: table.int("tag", 0..=0xffff_ffff).map(|at| at.value),
            internal,
        });
    }
    all
}

/// Every `[[static]]`.
pub(super) fn statics(root: &Table<'_>, distances: &Distances) -> Vec<StaticRoute> {
    let mut all = Vec::new();
    let mut once = Once::<IpNet>::default();
    for table in root.tables("static", "static", file::STATIC) {
        if !table.has("prefix") {
            table.missing("prefix", "the destination, as in \"198.51.100.0/24\"");
        }
        let prefix = table.at::<IpNet>("prefix");
        let distance = table.int::<u8>("distance", 1..=255).map_or(distances.statics, |at| AdminDistance(at.value));
        let number = |name| table.int::<u32>(name, 0..=0xffff_ffff).map_or(0, |at| at.value);
        let (metric, tag) = (Metric(number("metric")), number("tag"));
        let Some(prefix) = prefix else { continue };
        if !once.take(prefix.value, &table, "prefix", prefix.span) {
            continue;
        }
        let Some(to) = destination(&table, prefix.value) else { continue };
        let watched = bfd(&table, "static.bfd").flatten();
        if watched.is_some() && !to.gateways().any(|_| true) {
            table.wrong(table.span_of("bfd"), "bfd", "watches the way to a gateway: give one by via");
        }
        all.push(StaticRoute { prefix: prefix.value, to, distance, metric, tag, bfd: watched });
    }
    all
}

const DISCARDS: [(&str, Discard); 3] =
    [("blackhole", Discard::Blackhole), ("unreachable", Discard::Unreachable), ("prohibit", Discard::Prohibit)];

/// Where a static route leads; `None` if that cannot be made out, which has been noted.
fn destination(table: &Table<'_>, prefix: IpNet) -> Option<StaticTo> {
    let ways = table.has("via") || table.has("interface");
    let discards: Vec<_> = DISCARDS.iter().filter(|(name, _)| table.get::<bool>(name).unwrap_or(false)).collect();
    if let Some((name, how)) = discards.first() {
        if discards.len() > 1 || ways {
            table.wrong(table.span_of(name), name, "stands alone: without via, interface and the like of it");
            return None;
        }
        return Some(StaticTo::Discard(*how));
    }
    let legs = legs(table, prefix)?;
    if legs.is_empty() && table.len_of("via") == 0 {
        let message =
            "needs one of via = [\"10.0.0.1\"], interface = \"eth0\", blackhole, unreachable or prohibit = true";
        table.wrong(table.span_of("prefix"), "prefix", message);
    }
    (!legs.is_empty()).then_some(StaticTo::Legs(legs))
}

/// The ways that `via` and `interface` give; `None` if one of them is wrong.
fn legs(table: &Table<'_>, prefix: IpNet) -> Option<Vec<StaticLeg>> {
    let common = interface(table);
    let onlink = table.get("onlink").unwrap_or(false);
    let Some(items) = table.mixed::<IpAddr>("via", "static.via", file::STATIC_VIA) else {
        if onlink {
            table.wrong(table.span_of("onlink"), "onlink", "is about a gateway: give via, too");
        }
        let leg = |name| StaticLeg { gateway: None, interface: Some(name), onlink: false, weight: 1 };
        return Some(common.map(leg).into_iter().collect());
    };
    let written = table.len_of("via").max(1);
    let mut legs: Vec<StaticLeg> = Vec::new();
    for item in items {
        let (leg, span) = match item {
            Mixed::Value(at) => {
                let leg = StaticLeg { gateway: Some(at.value), interface: common.clone(), onlink, weight: 1 };
                (leg, at.span)
            }
            Mixed::Table(inner) => {
                let leg = StaticLeg {
                    gateway: inner.get("gateway"),
                    interface: interface(&inner).or_else(|| common.clone()),
                    onlink: inner.get("onlink").unwrap_or(onlink && inner.has("gateway")),
                    weight: inner.int("weight", 1..=256).map_or(1, |at| at.value),
                };
                (leg, inner.span())
            }
        };
        judge(table, &leg, prefix, span.clone())?;
        if legs.iter().any(|before| (before.gateway, &before.interface) == (leg.gateway, &leg.interface)) {
            table.wrong(span, "via", "this way stands twice; a weight gives it a greater share");
            return None;
        }
        legs.push(leg);
    }
    if legs.len() > NextHopSet::MAX_LEGS {
        let message = format!("{} ways are given, at most {} can be used together", legs.len(), NextHopSet::MAX_LEGS);
        table.wrong(table.span_of("via"), "via", message);
    }
    (legs.len() == written || table.len_of("via") == 0).then_some(legs)
}

fn interface(table: &Table<'_>) -> Option<String> {
    let name = table.at::<String>("interface")?;
    if name.value.is_empty() || name.value.len() > 15 || name.value.contains(['/', ' ']) {
        table.wrong(name.span, "interface", "must be an interface's name, as in \"eth0\"");
        return None;
    }
    Some(name.value)
}

/// Notes what is wrong with one way.
fn judge(table: &Table<'_>, leg: &StaticLeg, prefix: IpNet, span: Range<usize>) -> Option<()> {
    let wrong = match leg.gateway {
        None if leg.interface.is_none() => Some("names neither gateway nor interface".to_owned()),
        None => leg.onlink.then(|| "onlink is about a gateway: name one".to_owned()),
        Some(addr) => bad_gateway(addr, leg, prefix),
    };
    match wrong {
        Some(message) => {
            table.wrong(span, "via", message);
            None
        }
        None => Some(()),
    }
}

fn bad_gateway(addr: IpAddr, leg: &StaticLeg, prefix: IpNet) -> Option<String> {
    let linkless = leg.interface.is_none();
    if addr.is_unspecified() || addr.is_multicast() || addr.is_loopback() {
        Some(format!("{addr} is no gateway; a unicast address of a neighbor is"))
    } else if addr.is_ipv4() && prefix.addr().is_ipv6() {
        // RFC 8950 has it the other way round only; the kernel too.
        Some(format!("{addr} is not of the family of {prefix}; an IPv4 prefix may have an IPv6 gateway, not this"))
    } else if linkless && matches!(addr, IpAddr::V6(addr) if addr.is_unicast_link_local()) {
        Some(format!("{addr} is link-local: interface must be given too"))
    } else if linkless && leg.onlink {
        Some(format!("{addr} is said to be onlink, but not on which: interface must be given too"))
    } else {
        None
    }
}
