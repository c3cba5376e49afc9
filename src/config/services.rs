//! `[[service]]` with its checks, and `[safety]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use bgpd::policy::Community;
use ipnet::IpNet;
use ospfd::message::{ExternalRoute, ServiceRoute};
use rib::AdminDistance;
use toml::de::{DeTable, DeValue};

use super::file::{self, Keys};
use super::read::{Once, Table, Text, Value};
use crate::anycast::{Combine, Drain, OSPF_METRIC, ServiceSpec, Via};
use crate::health::probes::dns::Rcode;
use crate::health::probes::http::HttpUrl;
use crate::health::{CheckSpec, DnsProbe, DnsQuestion, ExecProbe, HttpProbe, Probe, TcpProbe};

/// Kinds of check of the format that this version cannot run.
const CHECKS_LATER: [&str; 4] = ["grpc", "icmp", "systemd", "lease"];
const CHECKS: [(&str, Keys); 4] =
    [("dns", file::CHECK_DNS), ("http", file::CHECK_HTTP), ("tcp", file::CHECK_TCP), ("exec", file::CHECK_EXEC)];

/// Notes services that are to be announced by OSPF where it is not spoken.
pub(super) fn check_via(root: &Table<'_>, services: &[ServiceSpec], ospf: bool) {
    for service in services.iter().filter(|service| !ospf && service.via.contains(&Via::Ospf)) {
        let message = format!("service {:?} is announced via \"ospf\": write [ospf] with its interfaces", service.name);
        root.wrong(root.span_of("service"), "service.via", message);
    }
}

/// How OSPF announces a service.
fn ospf(table: &Table<'_>) -> Option<ServiceRoute> {
    let inner = table.table("ospf", "service.ospf", file::SERVICE_OSPF)?;
    if inner.word("as", &[("stub", false), ("external", true)]).unwrap_or(false) {
        let metric = inner.int("metric", 0..=0xff_fffe).map_or(u32::from(OSPF_METRIC), |at| at.value);
        return Some(ServiceRoute::External(ExternalRoute { metric, type2: true, tag: 0, forwarding: None }));
    }
    let metric = inner.int("metric", 0..=0xfffe).map_or(OSPF_METRIC, |at| at.value);
    Some(ServiceRoute::Stub { metric })
}

/// Every `[[service]]`.
pub(super) fn services(root: &Table<'_>, distance: AdminDistance) -> Vec<ServiceSpec> {
    let mut once = Once::<String>::default();
    let mut owners: BTreeMap<IpNet, String> = BTreeMap::new();
    let mut all = Vec::new();
    for table in root.tables("service", "service", file::SERVICE) {
        if !table.has("name") {
            table.missing("name", "what `anyhop service` calls it");
        }
        if !table.has("vips") {
            table.missing("vips", "the prefixes to announce, as in [\"192.0.2.53/32\"]");
        }
        let name = table.at::<String>("name");
        let vips = table.list::<IpNet>("vips");
        let mut spec = ServiceSpec::new(name.as_ref().map_or("", |at| at.value.as_str()), Vec::new());
        spec.distance = distance;
        spec.bind = table.get("bind");
        spec.require_local = table.get("require_local").unwrap_or(true);
        spec.checks = checks(&table);
        words(&table, &mut spec);
        spec.ospf = ospf(&table).unwrap_or(spec.ospf);
        communities(&table, &mut spec);
        let written_vips = vips.as_ref().map(|_| table.len_of("vips"));
        for vip in vips.unwrap_or_default() {
            if let Some(owner) = owners.get(&vip.value) {
                table.wrong(vip.span, "vips", format!("{} belongs to service {owner:?} already", vip.value));
                continue;
            }
            owners.insert(vip.value, spec.name.to_string());
            spec.vips.push(vip.value);
        }
        if let Some(name) = name
            && once.take(name.value, &table, "name", name.span)
            && written_vips == Some(spec.vips.len())
            && let Err(message) = spec.validate()
        {
            let key = if message.starts_with("name") { "name" } else { "vips" };
            table.wrong(table.span_of(key), key, message);
        }
        all.push(spec);
    }
    all
}

fn words(table: &Table<'_>, spec: &mut ServiceSpec) {
    if let Some(via) = table.one_or_more::<String>("via") {
        spec.via.clear();
        for at in via {
            match at.value.as_str() {
                "bgp" if spec.via.contains(&Via::Bgp) => table.wrong(at.span, "via", "\"bgp\" stands twice"),
                "bgp" => spec.via.push(Via::Bgp),
                "ospf" if spec.via.contains(&Via::Ospf) => table.wrong(at.span, "via", "\"ospf\" stands twice"),
                "ospf" => spec.via.push(Via::Ospf),
                other => table.wrong(at.span, "via", super::read::not_a_word(other, ["bgp", "ospf"].into_iter())),
            }
        }
    }
    match table.at::<Either>("combine") {
        Some(at) => match at.value {
            Either::Word(word) if word == "all" => spec.combine = Combine::All,
            Either::Word(word) if word == "any" => spec.combine = Combine::Any,
            Either::Word(word) => {
                table.wrong(at.span, "combine", super::read::not_a_word(&word, ["all", "any"].into_iter()));
            }
            Either::Other => {
                table.wrong(
                    at.span,
                    "combine",
                    "a score is not yet supported by this version; \"all\" and \"any\" are",
                );
            }
        },
        None => spec.combine = Combine::All,
    }
    if let Some(at) = table.at::<Either>("down") {
        match at.value {
            Either::Word(word) if word == "withdraw" => {}
            Either::Word(word) => {
                table.wrong(at.span, "down", super::read::not_a_word(&word, ["withdraw"].into_iter()));
            }
            Either::Other => {
                table.wrong(at.span, "down", "steps are not yet supported by this version; \"withdraw\" is");
            }
        }
    }
    if let Some(drain) = table.table("drain", "service.drain", file::DRAIN) {
        spec.drain = Drain { gshut: drain.get("gshut").unwrap_or_default() };
    }
}

/// A word, or some richer form that this version refuses.
enum Either {
    Word(String),
    Other,
}

impl Value for Either {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Table(_) | DeValue::Array(_) => Ok(Self::Other),
            other => String::read(other).map(Self::Word),
        }
    }
}

fn communities(table: &Table<'_>, spec: &mut ServiceSpec) {
    for at in table.list::<Text<Community>>("communities").unwrap_or_default() {
        match at.value.0 {
            Community::Standard(value) => spec.communities.push(value),
            Community::Large(value) => spec.large_communities.push(value),
            Community::Extended(value) => spec.extended_communities.push(value),
        }
    }
}

fn keys_of(table: &DeTable<'_>) -> Keys {
    let kind = table.get("type").and_then(|value| value.get_ref().as_str());
    CHECKS.iter().find(|(name, _)| Some(*name) == kind).map_or(file::CHECK_ANY, |(_, keys)| keys)
}

fn checks(service: &Table<'_>) -> Vec<CheckSpec> {
    let mut all = Vec::new();
    for table in service.tables_by("checks", "service.checks", keys_of) {
        if !table.has("type") {
            table.missing("type", "one of dns, http, tcp, exec");
        }
        let Some(kind) = table.at::<String>("type") else { continue };
        let probe = match kind.value.as_str() {
            "dns" => dns(&table),
            "http" => http(&table),
            "tcp" => tcp(&table),
            "exec" => exec(&table),
            later if CHECKS_LATER.contains(&later) => {
                table.wrong(kind.span, "type", format!("{later:?} is not yet supported by this version"));
                None
            }
            other => {
                let words = CHECKS.iter().map(|(name, _)| *name);
                table.wrong(kind.span, "type", super::read::not_a_word(other, words));
                None
            }
        };
        let interval = period(&table, "interval").unwrap_or(CheckSpec::INTERVAL);
        let timeout = period(&table, "timeout");
        let count = |name| table.int::<u32>(name, 1..=1000).map(|at| at.value);
        let rise = count("rise").unwrap_or(CheckSpec::RISE);
        let fall = count("fall").unwrap_or(CheckSpec::FALL);
        if let Some(given) = timeout.filter(|given| *given > interval) {
            let message =
                format!("{given:?} is longer than the interval of {interval:?}: a run would overlap the next");
            table.wrong(table.span_of("timeout"), "timeout", message);
        }
        let timeout = timeout.unwrap_or(CheckSpec::TIMEOUT.min(interval));
        if let Some(probe) = probe {
            all.push(CheckSpec { probe, interval, timeout, rise, fall });
        }
    }
    all
}

fn period(table: &Table<'_>, name: &str) -> Option<Duration> {
    let at = table.at::<Duration>(name)?;
    if !(Duration::from_millis(10)..=Duration::from_secs(3600)).contains(&at.value) {
        table.wrong(at.span, name, "must be from \"10ms\" to \"1h\"");
        return None;
    }
    Some(at.value)
}

fn required<T: Value>(table: &Table<'_>, name: &str, right: &str) -> Option<T> {
    if !table.has(name) {
        table.missing(name, right);
    }
    table.get(name)
}

fn dns(table: &Table<'_>) -> Option<Probe> {
    let target = required::<SocketAddr>(table, "target", "the server asked, as in \"127.0.0.1:53\"");
    let question = required::<Text<DnsQuestion>>(table, "query", "what is asked, as in \"example.test A\"");
    let rcode = table.get::<Text<Rcode>>("rcode").map_or_else(Rcode::default, |text| text.0);
    let answer = table.get::<String>("answer");
    Some(Probe::Dns(DnsProbe { target: target?, question: question?.0, rcode, answer }))
}

fn http(table: &Table<'_>) -> Option<Probe> {
    let url = if table.has("target") && !table.has("url") {
        local_url(table)
    } else {
        for key in ["target", "path"] {
            if table.has(key) {
                table.wrong(table.span_of(key), key, "stands in place of url, not beside it");
            }
        }
        let right = "as in \"http://127.0.0.1:8080/healthz\"; or target = \"127.0.0.1:8080\" and path = \"/healthz\"";
        required::<Text<HttpUrl>>(table, "url", right).map(|text| text.0)
    };
    let status = table.get::<Status>("status").map_or(200..=299, |status| status.0);
    let body = table.get::<String>("body");
    Some(Probe::Http(HttpProbe { url: url?, status, body }))
}

/// `target` and `path`, the form that the other checks have.
fn local_url(table: &Table<'_>) -> Option<HttpUrl> {
    let target = table.get::<SocketAddr>("target")?;
    let path = table.at::<String>("path");
    let text = path.as_ref().map_or("/", |path| path.value.as_str());
    match format!("http://{target}/{}", text.strip_prefix('/').unwrap_or(text)).parse() {
        Ok(url) => Some(url),
        Err(message) => {
            table.wrong(table.span_of("path"), "path", message);
            None
        }
    }
}

/// Status codes that pass: `204` or `"200-399"`.
struct Status(RangeInclusive<u16>);

impl Value for Status {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (100..=599).contains(code));
        let range = match value {
            DeValue::Integer(number) => code(number.as_str()).map(|code| code..=code),
            DeValue::String(text) => match text.split_once('-') {
                Some((low, high)) => code(low).zip(code(high)).map(|(low, high)| low..=high),
                None => code(text).map(|code| code..=code),
            },
            _ => None,
        };
        let right = "must be a status code or a range of them, as in 204 or \"200-399\"";
        range.filter(|range| !range.is_empty()).map(Self).ok_or_else(|| right.to_owned())
    }
}

fn tcp(table: &Table<'_>) -> Option<Probe> {
    let target = required::<SocketAddr>(table, "target", "the server asked, as in \"127.0.0.1:25\"");
    let send = table.get::<String>("send").map(String::into_bytes);
    let expect = table.get::<String>("expect").map(String::into_bytes);
    Some(Probe::Tcp(TcpProbe { target: target?, send, expect }))
}

fn exec(table: &Table<'_>) -> Option<Probe> {
    if !table.has("command") {
        table.missing("command", "program and arguments, as in [\"/usr/local/bin/check\", \"dns\"]");
    }
    let command: Vec<String> = table.list::<String>("command")?.into_iter().map(|at| at.value).collect();
    if command.first().is_none_or(String::is_empty) {
        table.wrong(table.span_of("command"), "command", "must name a program");
        return None;
    }
    Some(Probe::Exec(ExecProbe { command }))
}

/// `[safety] budget`.
pub(super) fn budget(root: &Table<'_>) -> Option<(u32, Duration)> {
    let table = root.table("safety", "safety", file::SAFETY)?;
    let budget = table.table("budget", "safety.budget", file::BUDGET)?;
    for (name, right) in
        [("withdrawals", "how many, as in 10"), ("per", "the time they are counted over, as in \"1m\"")]
    {
        if !budget.has(name) {
            budget.missing(name, right);
        }
    }
    let withdrawals = budget.int::<u32>("withdrawals", 0..=1_000_000)?.value;
    Some((withdrawals, period(&budget, "per")?))
}
