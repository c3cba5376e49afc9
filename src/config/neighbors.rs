//! `[[neighbor_group]]` and `[[neighbor]]`: a group's keys are the defaults of its neighbors.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bgpd::config::{AdjInKeep, NeighborConfig, PolicyRef, RemoteAs};
use rib::AddressFamily;
use toml::de::DeValue;

use super::file;
use super::model::NodeModel;
use super::policies;
use super::read::{At, Once, Table, Value};

/// BGP families by name.
const FAMILIES: &[(&str, AddressFamily)] =
    &[("ipv4-unicast", AddressFamily::Ipv4), ("ipv6-unicast", AddressFamily::Ipv6)];
/// Families of the field that this version does not speak.
const FAMILIES_LATER: &[&str] =
    &["ipv4-labeled-unicast", "ipv6-labeled-unicast", "vpnv4", "vpnv6", "l2vpn-evpn", "ipv4-flowspec", "ipv6-flowspec"];

/// A family's name in the configuration.
pub(super) fn family(text: &str) -> Result<AddressFamily, String> {
    if FAMILIES_LATER.contains(&text) {
        return Err(format!("{text:?} is not yet supported by this version"));
    }
    FAMILIES
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, family)| *family)
        .ok_or_else(|| super::read::not_a_word(text, FAMILIES.iter().map(|(name, _)| *name)))
}

/// `asn` of a neighbor.
struct Asn(RemoteAs);

impl Value for Asn {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let right = || "must be a number from 1 to 4294967294, \"external\" or \"internal\"".to_owned();
        match value {
            DeValue::String(text) if text == "external" => Ok(Self(RemoteAs::External)),
            DeValue::String(text) if text == "internal" => Ok(Self(RemoteAs::Internal)),
            DeValue::Integer(number) => match u32::from_str_radix(&number.as_str().replace('_', ""), number.radix()) {
                Ok(asn) if (1..u32::MAX).contains(&asn) && asn != 23456 => Ok(Self(RemoteAs::Number(asn))),
                _ => Err(right()),
            },
            _ => Err(right()),
        }
    }
}

/// Policies of one direction, with their places.
type Names = Vec<At<String>>;

/// The keys that a group gives to its neighbors.
#[derive(Clone, Default)]
struct Shared {
    asn: Option<RemoteAs>,
    port: Option<u16>,
    passive: Option<bool>,
    local_address: Option<IpAddr>,
    local_asn: Option<u32>,
    description: Option<String>,
    hold_time: Option<Duration>,
    connect_retry: Option<Duration>,
    families: Option<Vec<AddressFamily>>,
    import: Option<Names>,
    export: Option<Names>,
    route_reflector_client: Option<bool>,
    next_hop_self: Option<bool>,
    extended_messages: Option<bool>,
    multihop: Option<u8>,
    adj_in: Option<AdjInKeep>,
    enabled: Option<bool>,
}

impl Shared {
    fn read(table: &Table<'_>) -> Self {
        Self {
            asn: table.get::<Asn>("asn").map(|asn| asn.0),
            port: table.int("port", 1..=65535).map(|at| at.value),
            passive: table.get("passive"),
            local_address: local_address(table),
            local_asn: table.int("local_asn", 1..=4_294_967_294).map(|at| at.value),
            description: table.get("description"),
            hold_time: hold_time(table),
            connect_retry: connect_retry(table),
            families: families(table),
            import: table.one_or_more("import"),
            export: table.one_or_more("export"),
            route_reflector_client: table.get("route_reflector_client"),
            next_hop_self: table.get("next_hop_self"),
            extended_messages: table.get("extended_messages"),
            multihop: table.int("multihop", 1..=255).map(|at| at.value),
            adj_in: table.word("adj_in", &[("all", AdjInKeep::All), ("accepted", AdjInKeep::Accepted)]),
            enabled: table.get("enabled"),
        }
    }

    /// `self` where it says something, `group` elsewhere.
    fn over(self, group: Self) -> Self {
        Self {
            asn: self.asn.or(group.asn),
            port: self.port.or(group.port),
            passive: self.passive.or(group.passive),
            local_address: self.local_address.or(group.local_address),
            local_asn: self.local_asn.or(group.local_asn),
            description: self.description.or(group.description),
            hold_time: self.hold_time.or(group.hold_time),
            connect_retry: self.connect_retry.or(group.connect_retry),
            families: self.families.or(group.families),
            import: self.import.or(group.import),
            export: self.export.or(group.export),
            route_reflector_client: self.route_reflector_client.or(group.route_reflector_client),
            next_hop_self: self.next_hop_self.or(group.next_hop_self),
            extended_messages: self.extended_messages.or(group.extended_messages),
            multihop: self.multihop.or(group.multihop),
            adj_in: self.adj_in.or(group.adj_in),
            enabled: self.enabled.or(group.enabled),
        }
    }
}

fn local_address(table: &Table<'_>) -> Option<IpAddr> {
    let at = table.at::<IpAddr>("local_address")?;
    if at.value.is_unspecified() || at.value.is_multicast() {
        table.wrong(at.span, "local_address", format!("{} is no address of this host", at.value));
        return None;
    }
    Some(at.value)
}

fn hold_time(table: &Table<'_>) -> Option<Duration> {
    let at = table.at::<Duration>("hold_time")?;
    let seconds = at.value.as_secs();
    // RFC 4271 §4.2: zero, or at least three seconds; two octets on the wire.
    let right = (seconds == 0 || (3..=65535).contains(&seconds)) && at.value.subsec_nanos() == 0;
    if !right {
        table.wrong(
            at.span,
            "hold_time",
            "must be \"0s\" (none) or whole seconds from \"3s\" to \"65535s\" (RFC 4271)",
        );
        return None;
    }
    Some(at.value)
}

fn connect_retry(table: &Table<'_>) -> Option<Duration> {
    let at = table.at::<Duration>("connect_retry")?;
    if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&at.value) {
        table.wrong(at.span, "connect_retry", "must be from \"100ms\" to \"1h\"");
        return None;
    }
    Some(at.value)
}

fn families(table: &Table<'_>) -> Option<Vec<AddressFamily>> {
    let list = table.list::<String>("families")?;
    let mut families = Vec::new();
    for at in list {
        match family(&at.value) {
            Ok(family) if families.contains(&family) => {
                table.wrong(at.span, "families", format!("{:?} stands twice; each may stand once", at.value));
            }
            Ok(family) => families.push(family),
            Err(message) => table.wrong(at.span, "families", message),
        }
    }
    if table.len_of("families") == 0 {
        let example = "leave it out, or write [\"ipv4-unicast\"]";
        table.wrong(table.span_of("families"), "families", format!("must name at least one family: {example}"));
    }
    Some(families)
}

/// A group.
pub(super) struct Group<'a> {
    pub(super) name: String,
    table: Table<'a>,
    shared: Shared,
}

/// A neighbor, and where it stands.
pub(super) struct Neighbor<'a> {
    pub(super) config: NeighborConfig,
    pub(super) group: Option<String>,
    own: (Option<Names>, Option<Names>),
    table: Table<'a>,
}

fn check_chain(table: &Table<'_>, key: &str, chain: Option<&Names>, known: &[String]) {
    for name in chain.into_iter().flatten() {
        policies::known(table, key, name, known);
    }
}

impl Group<'_> {
    /// Notes policies that do not exist.
    pub(super) fn check_policies(&self, known: &[String]) {
        check_chain(&self.table, "import", self.shared.import.as_ref(), known);
        check_chain(&self.table, "export", self.shared.export.as_ref(), known);
    }
}

impl Neighbor<'_> {
    /// Notes policies that do not exist.
    pub(super) fn check_policies(&self, known: &[String]) {
        check_chain(&self.table, "import", self.own.0.as_ref(), known);
        check_chain(&self.table, "export", self.own.1.as_ref(), known);
    }
}

/// Every `[[neighbor_group]]`.
pub(super) fn groups<'a>(root: &Table<'a>) -> Vec<Group<'a>> {
    let mut once = Once::<String>::default();
    let mut all = Vec::new();
    for table in root.tables("neighbor_group", "neighbor_group", file::GROUP) {
        let shared = Shared::read(&table);
        if !table.has("name") {
            table.missing("name", "neighbors refer to it by group = \"…\"");
        }
        let Some(name) = table.at::<String>("name") else { continue };
        if once.take(name.value.clone(), &table, "name", name.span) {
            all.push(Group { name: name.value, table, shared });
        }
    }
    all
}

/// Every `[[neighbor]]`, completed by its group and the defaults.
pub(super) fn neighbors<'a>(root: &Table<'a>, groups: &[Group<'a>], node: &NodeModel) -> Vec<Neighbor<'a>> {
    let by_name: BTreeMap<&str, &Group<'_>> = groups.iter().map(|group| (group.name.as_str(), group)).collect();
    let mut once = Once::<IpAddr>::default();
    let mut all = Vec::new();
    for table in root.tables("neighbor", "neighbor", file::NEIGHBOR) {
        let own = Shared::read(&table);
        let policies = (own.import.clone(), own.export.clone());
        let group = table.at::<String>("group");
        let found = group.as_ref().and_then(|name| by_name.get(name.value.as_str()));
        if let (Some(name), None) = (&group, found) {
            let near = super::read::nearest(&name.value, by_name.keys().copied());
            let hint =
                near.map_or("define it in [[neighbor_group]]".to_owned(), |near| format!("did you mean {near:?}?"));
            table.wrong(
                name.span.clone(),
                "group",
                format!("there is no neighbor_group named {:?}; {hint}", name.value),
            );
        }
        let keys = own.over(found.map(|group| group.shared.clone()).unwrap_or_default());
        let address = table.at::<IpAddr>("address");
        if !table.has("address") && !table.has("interface") && !table.has("range") {
            table.missing("address", "the neighbor's IP address");
        }
        if keys.asn.is_none() && !table.has("asn") && (group.is_none() || found.is_some()) {
            table.missing("asn", "the neighbor's AS number, \"external\" or \"internal\"");
        }
        let Some(address) = address else { continue };
        let addr = address.value;
        if addr.is_unspecified() || addr.is_multicast() || matches!(addr, IpAddr::V4(v4) if v4.is_broadcast()) {
            table.wrong(address.span, "address", format!("{addr} is no neighbor's address"));
            continue;
        }
        if matches!(addr, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            let message = "link-local neighbors are not yet supported by this version; use a global address";
            table.wrong(address.span, "address", message);
            continue;
        }
        if !once.take(addr, &table, "address", address.span) {
            continue;
        }
        if let Some(local) = keys.local_address.filter(|local| local.is_ipv4() != addr.is_ipv4()) {
            let message = format!("{local} is not of the family of the neighbor's address {addr}");
            table.wrong(table.span_of("local_address"), "local_address", message);
        }
        let config = complete(addr, keys, node, &table);
        all.push(Neighbor { config, group: group.map(|at| at.value), own: policies, table });
    }
    all
}

fn complete(address: IpAddr, keys: Shared, node: &NodeModel, table: &Table<'_>) -> NeighborConfig {
    let remote_as = keys.asn.unwrap_or(RemoteAs::External);
    let internal = match remote_as {
        RemoteAs::Internal => true,
        RemoteAs::External => false,
        RemoteAs::Number(asn) => asn == node.asn,
    };
    if let (RemoteAs::Number(remote), Some(local)) = (remote_as, keys.local_asn)
        && remote == local
        && local != node.asn
    {
        let message = format!("{local} is the neighbor's own AS; leave it out, or give another");
        table.wrong(table.span_of("local_asn"), "local_asn", message);
    }
    if keys.route_reflector_client == Some(true) && !internal {
        let message = "only an internal neighbor can be a route-reflection client (RFC 4456)";
        table.wrong(table.span_of("route_reflector_client"), "route_reflector_client", message);
    }
    let chain = |chain: Option<Names>| match chain {
        Some(names) => PolicyRef::Chain(names.into_iter().map(|at| at.value).collect()),
        None => PolicyRef::Unset,
    };
    let defaults = NeighborConfig::new(address, remote_as);
    NeighborConfig {
        port: keys.port.unwrap_or(defaults.port),
        local_asn: keys.local_asn,
        local_address: keys.local_address,
        description: keys.description.unwrap_or_default(),
        passive: keys.passive.unwrap_or(defaults.passive),
        enabled: keys.enabled.unwrap_or(defaults.enabled),
        hold_time: keys.hold_time.unwrap_or(defaults.hold_time),
        connect_retry: keys.connect_retry.unwrap_or(defaults.connect_retry),
        families: keys.families.unwrap_or_else(|| defaults.families.clone()),
        import: chain(keys.import),
        export: chain(keys.export),
        adj_in: keys.adj_in.unwrap_or(defaults.adj_in),
        next_hop_self: keys.next_hop_self.unwrap_or(defaults.next_hop_self),
        route_reflector_client: keys.route_reflector_client.unwrap_or(defaults.route_reflector_client),
        extended_messages: keys.extended_messages.unwrap_or(defaults.extended_messages),
        multihop: keys.multihop,
        ..defaults
    }
}
