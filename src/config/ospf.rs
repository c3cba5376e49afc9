//! `[ospf]` with its areas and interfaces: one configuration for both versions, made into one per version.

mod auth;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use ospfd::config::{
    AreaConfig, AreaKind, AreaRange, BfdConfig, GracefulRestart, InstanceConfig, InterfaceConfig, Limits, MaxMetric,
    NetworkType,
};
use ospfd::{AreaId, RouterId, Version};
use toml::de::DeValue;

use super::bfd::bfd;
use super::file;
use super::model::{Distances, NodeModel, OspfModel};
use super::policies;
use super::read::{Mixed, Once, Table, Value};
use super::routes::{self, To};
use crate::anycast::{ServiceSpec, Via};

/// `id` of an area: dotted, or a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Area(AreaId);

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Value for Area {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let right = || "must be an area, as in \"0.0.0.0\" or 0".to_owned();
        let number = match value {
            DeValue::String(text) => {
                text.parse::<Ipv4Addr>().map(u32::from).or_else(|_| text.parse::<u32>()).map_err(|_| right())?
            }
            DeValue::Integer(number) => number.as_str().replace('_', "").parse::<u32>().map_err(|_| right())?,
            _ => return Err(right()),
        };
        Ok(Self(AreaId(number)))
    }
}

/// A bandwidth in Mbit/s: `"100G"`.
struct Bandwidth(u64);

impl Value for Bandwidth {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let right = || "must be a bandwidth, as in \"100G\" or \"1000M\"".to_owned();
        let text = value.as_str().ok_or_else(right)?;
        let (number, factor) = match text.as_bytes().last() {
            Some(b'M') => (text.trim_end_matches('M'), 1),
            Some(b'G') => (text.trim_end_matches('G'), 1000),
            Some(b'T') => (text.trim_end_matches('T'), 1_000_000),
            _ => return Err(right()),
        };
        let number: u64 = number.trim().parse().map_err(|_| right())?;
        number.checked_mul(factor).filter(|megabits| *megabits > 0).map(Self).ok_or_else(right)
    }
}

/// Whole seconds that fit the sixteen bits of a hello (RFC 5340 §A.3.2).
const HELLO_SECONDS: RangeInclusive<u64> = 1..=65_535;

/// `[ospf]`; `None` if it is not there.
pub(super) fn ospf(
    root: &Table<'_>,
    node: &NodeModel,
    distances: &Distances,
    policies: &policies::Names,
) -> Option<OspfModel> {
    let table = root.table("ospf", "ospf", file::OSPF)?;
    let mut common = InstanceConfig::new(Version::V2, RouterId(u32::from(node.router_id)));
    common.distance = distances.ospf_intra;
    if let Some(Bandwidth(megabits)) = table.get("reference_bandwidth") {
        common.reference_bandwidth_mbps = megabits;
    }
    if let Some(inner) = table.table("max_metric", "ospf.max_metric", file::OSPF_MAX_METRIC) {
        common.max_metric = MaxMetric {
            on_startup: inner.get("on_startup").unwrap_or_default(),
            on_drain: inner.get("on_drain").unwrap_or(true),
        };
    }
    if let Some(inner) = table.table("graceful_restart", "ospf.graceful_restart", file::OSPF_RESTART) {
        let default = GracefulRestart::default();
        common.graceful_restart = GracefulRestart {
            enabled: inner.get("enabled").unwrap_or(default.enabled),
            helper: inner.get("helper").unwrap_or(default.helper),
            grace_period: seconds(&inner, "grace_period", 1..=1800).unwrap_or(default.grace_period),
        };
    }
    if let Some(inner) = table.table("limits", "ospf.limits", file::OSPF_LIMITS) {
        let default = Limits::default();
        let read = |name, default| inner.int::<u32>(name, 1..=100_000_000).map_or(default, |at| at.value as usize);
        common.limits = Limits {
            lsas: read("lsas", default.lsas),
            per_origin: read("per_origin", default.per_origin),
            per_neighbor: read("per_neighbor", default.per_neighbor),
        };
    }
    common.areas = areas(&table);
    let interfaces = interfaces(&table, &common.areas);
    if interfaces.is_empty() && !table.has("interface") {
        table.missing("interface", "write [[ospf.interface]] with name and area for each link to speak on");
    }
    let mut versions = Vec::new();
    for version in [Version::V2, Version::V3] {
        let own: Vec<_> =
            interfaces.iter().filter(|(on, _)| on.contains(&version)).map(|(_, config)| config.clone()).collect();
        if own.is_empty() {
            continue;
        }
        let family = |prefix: &IpNet| matches!(prefix, IpNet::V4(_)) == (version == Version::V2);
        let mut config = InstanceConfig { version, interfaces: own, ..common.clone() };
        for area in &mut config.areas {
            area.ranges.retain(|range| family(&range.prefix));
            for (_, keys) in &mut area.virtual_auth {
                let given = !keys.is_empty();
                *keys = auth::of(version, keys);
                if given && keys.is_empty() {
                    table.wrong(table.span_of("area"), "area", format!("auth of a virtual link {}", auth::LACKS_V3));
                }
            }
        }
        for interface in &mut config.interfaces {
            interface.neighbors.retain(|neighbor| neighbor.is_ipv4() == (version == Version::V2));
            interface.auth = auth::of(version, &interface.auth);
        }
        if version == Version::V3 {
            config.instance_id = table.int("instance_id", 0..=255).map_or(0, |at| at.value);
        }
        versions.push(config);
    }
    let redistribute = routes::redistribute(&table, "ospf.redistribute", To::Ospf, policies);
    Some(OspfModel { versions, redistribute })
}

/// Warns of addresses that stay announced while nobody is behind them: a planned restart takes services back first, but who
/// dies cannot.
pub(super) fn check_restart(root: &Table<'_>, ospf: &OspfModel, services: &[ServiceSpec]) {
    let enabled = ospf.versions.iter().any(|config| config.graceful_restart.enabled);
    let Some(service) = services.iter().find(|service| enabled && service.via.contains(&Via::Ospf)) else { return };
    let Some(table) = root.inner("ospf", "ospf") else { return };
    let message = format!(
        "enabled = true covers service {:?}: if this node dies, neighbors keep sending packets to dead VIPs until it is back; leave \
         enabled out where services are announced",
        service.name
    );
    table.warn(table.span_of("graceful_restart"), "graceful_restart", message);
}

fn areas(table: &Table<'_>) -> Vec<AreaConfig> {
    let mut all = Vec::new();
    let mut once = Once::<Area>::default();
    for table in table.tables("area", "ospf.area", file::OSPF_AREA) {
        if !table.has("id") {
            table.missing("id", "the area's number, as in \"0.0.0.0\"");
        }
        let Some(id) = table.at::<Area>("id") else { continue };
        if !once.take(id.value, &table, "id", id.span) {
            continue;
        }
        let Area(id) = id.value;
        let mut area = AreaConfig::new(id);
        let kinds = [("normal", AreaKind::Normal), ("stub", AreaKind::Stub), ("nssa", AreaKind::Nssa)];
        area.kind = table.word("type", &kinds).unwrap_or_default();
        if id == AreaId::BACKBONE && area.kind != AreaKind::Normal {
            table.wrong(
                table.span_of("type"),
                "type",
                "the backbone carries everything between areas: it is \"normal\"",
            );
        }
        area.no_summary = table.get("no_summary").unwrap_or(false);
        if area.no_summary && area.kind == AreaKind::Normal {
            table.wrong(table.span_of("no_summary"), "no_summary", "is for type \"stub\" and \"nssa\"");
        }
        area.default_cost = table.int("default_cost", 0..=0xff_fffe).map_or(area.default_cost, |at| at.value);
        area.always_translate = table.get("always_translate").unwrap_or(false);
        for at in table.list::<IpNet>("ranges").unwrap_or_default() {
            if area.ranges.iter().any(|range| range.prefix == at.value) {
                table.wrong(at.span, "ranges", format!("{} stands twice; each may stand once", at.value));
            } else {
                area.ranges.push(AreaRange { prefix: at.value, advertise: true, cost: None });
            }
        }
        for link in
            table.mixed::<Ipv4Addr>("virtual_links", "ospf.area.virtual_links", file::OSPF_VIRTUAL).unwrap_or_default()
        {
            let (router, span, keys) = match link {
                Mixed::Value(at) => (at.value, at.span, Vec::new()),
                Mixed::Table(inner) => {
                    if !inner.has("router_id") {
                        inner.missing("router_id", "the border router at the other end, as in \"10.0.0.9\"");
                    }
                    let Some(at) = inner.at::<Ipv4Addr>("router_id") else { continue };
                    (at.value, at.span, auth::keys(&inner, "ospf.area.virtual_links.auth", &[]))
                }
            };
            if id == AreaId::BACKBONE || area.kind != AreaKind::Normal {
                // RFC 2328 §3.6, §15.
                let message = "leads through an area that is neither the backbone nor a stub nor an NSSA";
                table.wrong(span, "virtual_links", message);
                continue;
            }
            let router = RouterId(u32::from(router));
            area.virtual_links.push(router);
            if !keys.is_empty() {
                area.virtual_auth.push((router, keys));
            }
        }
        all.push(area);
    }
    all
}

/// Interfaces with the versions that are spoken on them.
fn interfaces(table: &Table<'_>, areas: &[AreaConfig]) -> Vec<(Vec<Version>, InterfaceConfig)> {
    let mut all = Vec::new();
    let mut once = Once::<String>::default();
    for table in table.tables("interface", "ospf.interface", file::OSPF_INTERFACE) {
        if !table.has("name") {
            table.missing("name", "the link's name, as in \"eth0\"");
        }
        if !table.has("area") {
            table.missing("area", "the area the link is in, as in \"0.0.0.0\"");
        }
        let (Some(name), Some(area)) = (table.at::<String>("name"), table.at::<Area>("area")) else { continue };
        // IFNAMSIZ, the closing zero included.
        if name.value.is_empty() || name.value.len() > 15 || name.value.contains(['/', ' ']) {
            table.wrong(name.span, "name", "must be an interface's name, as in \"eth0\"");
            continue;
        }
        let Area(id) = area.value;
        if !areas.is_empty() && !areas.iter().any(|area| area.id == id) {
            table.wrong(area.span, "area", format!("there is no [[ospf.area]] {id}"));
        }
        if !once.take(name.value.clone(), &table, "name", name.span) {
            continue;
        }
        let versions = versions(&table);
        let mut config = interface(&table, &name.value, id);
        config.auth = auth::keys(&table, "ospf.interface.auth", &versions);
        all.push((versions, config));
    }
    all
}

fn versions(table: &Table<'_>) -> Vec<Version> {
    let Some(words) = table.one_or_more::<String>("versions") else { return vec![Version::V2, Version::V3] };
    let mut versions = Vec::new();
    for at in words {
        let version = match at.value.as_str() {
            "v2" => Version::V2,
            "v3" => Version::V3,
            other => {
                table.wrong(at.span, "versions", super::read::not_a_word(other, ["v2", "v3"].into_iter()));
                continue;
            }
        };
        if versions.contains(&version) {
            table.wrong(at.span, "versions", format!("{:?} stands twice", at.value));
        } else {
            versions.push(version);
        }
    }
    if versions.is_empty() && table.len_of("versions") == 0 {
        table.wrong(table.span_of("versions"), "versions", "names no version; leave the interface out instead");
    }
    versions
}

fn interface(table: &Table<'_>, name: &str, area: AreaId) -> InterfaceConfig {
    let networks = [
        ("broadcast", NetworkType::Broadcast),
        ("point-to-point", NetworkType::PointToPoint),
        ("nbma", NetworkType::Nbma),
        ("point-to-multipoint", NetworkType::PointToMultipoint),
    ];
    let mut config = InterfaceConfig::new(name, area, table.word("network", &networks).unwrap_or_default());
    // RFC 2328 §C.3 knows no cost of zero, but for loopbacks it is usual.
    config.cost = table.int::<u16>("cost", 0..=65_535).map(|at| at.value);
    config.priority = table.int("priority", 0..=255).map_or(config.priority, |at| at.value);
    config.passive = table.get("passive").unwrap_or(false);
    if let Some(hello) = seconds(table, "hello_interval", HELLO_SECONDS) {
        config.hello_interval = hello;
        // RFC 2328 §C.3: four hellos, unless said otherwise.
        config.dead_interval = (hello * 4).min(Duration::from_secs(*HELLO_SECONDS.end()));
    }
    config.dead_interval = seconds(table, "dead_interval", HELLO_SECONDS).unwrap_or(config.dead_interval);
    if config.dead_interval <= config.hello_interval {
        let message = "must be longer than hello_interval: one lost hello would be the end of a neighbor";
        table.wrong(table.span_of("dead_interval"), "dead_interval", message);
    }
    config.retransmit_interval = seconds(table, "retransmit_interval", 1..=3600).unwrap_or(config.retransmit_interval);
    config.poll_interval = seconds(table, "poll_interval", HELLO_SECONDS).unwrap_or(config.poll_interval);
    config.mtu_ignore = table.get("mtu_ignore").unwrap_or(false);
    config.ttl_security = table.get("ttl_security").unwrap_or(false);
    config.neighbors = table.list::<IpAddr>("neighbors").unwrap_or_default().into_iter().map(|at| at.value).collect();
    let listed = matches!(config.network, NetworkType::Nbma | NetworkType::PointToMultipoint);
    if !config.neighbors.is_empty() && !listed {
        let message =
            "is for network = \"nbma\" and \"point-to-multipoint\"; elsewhere neighbors are found by multicast";
        table.wrong(table.span_of("neighbors"), "neighbors", message);
    }
    config.bfd = bfd(table, "ospf.interface.bfd").flatten().map(|wish| {
        if wish.multihop == Some(true) {
            table.wrong(table.span_of("bfd"), "bfd", "neighbors of OSPF are one hop away: leave multihop out");
        }
        BfdConfig { interval: wish.interval, multiplier: wish.multiplier }
    });
    config
}

/// A duration of whole seconds.
fn seconds(table: &Table<'_>, name: &str, range: RangeInclusive<u64>) -> Option<Duration> {
    let at = table.at::<Duration>(name)?;
    if at.value.subsec_nanos() != 0 || !range.contains(&at.value.as_secs()) {
        let (least, most) = (range.start(), range.end());
        let hint =
            if name == "dead_interval" || name == "hello_interval" { "; bfd sees a dead path sooner" } else { "" };
        table.wrong(at.span, name, format!("must be whole seconds from \"{least}s\" to \"{most}s\"{hint}"));
        return None;
    }
    Some(at.value)
}
