//! `[[neighbor_group]]` and `[[neighbor]]`: who a neighbor is, what its group gives it, and which keys make no sense together.

mod password;
mod shared;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;

use bgpd::config::{Confederation, NeighborConfig, NeighborRange, PolicyRef, RemoteAs, Role};
use ipnet::IpNet;
use rib::AddressFamily;

use super::file;
use super::model::NodeModel;
use super::policies;
use super::read::{Once, Table};
use crate::anycast::{ServiceSpec, Via};
use shared::{Hops, Names, Shared};

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

/// A group.
pub(super) struct Group<'a> {
    pub(super) name: String,
    table: Table<'a>,
    shared: Shared,
}

/// Neighbors in a range at a time unless said otherwise.
const RANGE_LIMIT: u32 = 100;

/// A neighbor, and where it stands.
pub(super) struct Neighbor<'a> {
    pub(super) config: NeighborConfig,
    /// The addresses it may come from and how many may, if it is not one but many.
    range: Option<(IpNet, u32)>,
    pub(super) group: Option<String>,
    own: (Option<Names>, Option<Names>),
    table: Table<'a>,
}

fn check_chain(table: &Table<'_>, key: &str, chain: Option<&Names>, known: &policies::Names) {
    for name in chain.into_iter().flatten() {
        policies::known(table, key, name, known, policies::Use::Neighbor);
    }
}

impl Group<'_> {
    /// Notes policies that do not exist.
    pub(super) fn check_policies(&self, known: &policies::Names) {
        check_chain(&self.table, "import", self.shared.import.as_ref(), known);
        check_chain(&self.table, "export", self.shared.export.as_ref(), known);
    }
}

impl Neighbor<'_> {
    /// Notes policies that do not exist.
    pub(super) fn check_policies(&self, known: &policies::Names) {
        check_chain(&self.table, "import", self.own.0.as_ref(), known);
        check_chain(&self.table, "export", self.own.1.as_ref(), known);
    }

    /// Warns of addresses that stay announced while nobody is behind them.
    pub(super) fn check_restart(&self, services: &[ServiceSpec]) {
        if !self.config.graceful_restart.restarting {
            return;
        }
        for service in services.iter().filter(|service| service.via.contains(&Via::Bgp)) {
            let covered = service.vips.iter().find(|vip| self.config.families.contains(&AddressFamily::of(vip)));
            if let Some(vip) = covered {
                let message = format!(
                    "enabled = true covers service {:?} ({vip}): while this node is down the neighbor keeps sending packets \
                     to dead VIPs; leave enabled out where services are announced",
                    service.name
                );
                self.table.warn(self.table.span_of("graceful_restart"), "graceful_restart", message);
                return;
            }
        }
    }
}

/// The speaker's neighbors and ranges.
pub(super) fn into_configs(all: Vec<Neighbor<'_>>) -> (Vec<NeighborConfig>, Vec<NeighborRange>) {
    let (mut neighbors, mut ranges) = (Vec::new(), Vec::new());
    for Neighbor { config, range, .. } in all {
        match range {
            Some((range, limit)) => ranges.push(NeighborRange { range, limit, template: config }),
            None => neighbors.push(config),
        }
    }
    (neighbors, ranges)
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

/// Who a neighbor is.
enum Who {
    /// An address, with the link it belongs to if it is link-local.
    Address(IpAddr, Option<Arc<str>>),
    /// Whoever is at the other end of a link.
    Interface(Arc<str>),
    /// Whoever connects from there.
    Range(IpNet),
}

impl Who {
    /// What stands for the address in the configuration.
    fn address(&self) -> IpAddr {
        match self {
            Self::Address(addr, _) => *addr,
            // RFC 5549 and its kin run over link-local IPv6.
            Self::Interface(_) | Self::Range(IpNet::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
            Self::Range(IpNet::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
        }
    }

    /// What may stand once.
    fn name(&self) -> String {
        match self {
            Self::Address(addr, None) => addr.to_string(),
            Self::Address(addr, Some(interface)) => format!("{addr}%{interface}"),
            Self::Interface(interface) => interface.to_string(),
            Self::Range(range) => range.to_string(),
        }
    }
}

fn interface_name(table: &Table<'_>, span: Range<usize>, key: &str, name: &str) -> Option<Arc<str>> {
    // IFNAMSIZ with its NUL.
    if name.is_empty() || name.len() > 15 || name.contains(['/', '%']) || name.contains(char::is_whitespace) {
        table.wrong(span, key, format!("{name:?} is no interface's name; one is like \"eth0\""));
        return None;
    }
    Some(name.into())
}

/// `address`, also with its link behind a `%`.
fn address(table: &Table<'_>) -> Option<Who> {
    let written = table.at::<String>("address")?;
    let span = || written.span.clone();
    let (text, zone) = match written.value.split_once('%') {
        Some((text, zone)) => (text, Some(interface_name(table, span(), "address", zone)?)),
        None => (written.value.as_str(), None),
    };
    let Ok(addr) = text.parse::<IpAddr>() else {
        let right = "must be an IP address, as in \"10.0.0.1\" or \"2001:db8::1\"";
        table.wrong(span(), "address", format!("{right}, not {:?}", written.value));
        return None;
    };
    if addr.is_unspecified() || addr.is_multicast() || matches!(addr, IpAddr::V4(v4) if v4.is_broadcast()) {
        table.wrong(span(), "address", format!("{addr} is no neighbor's address"));
        return None;
    }
    let named = table.at::<String>("interface");
    let interface = named.as_ref().and_then(|at| interface_name(table, at.span.clone(), "interface", &at.value));
    if named.is_some() && interface.is_none() {
        return None;
    }
    if !matches!(addr, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
        if zone.is_some() {
            table.wrong(span(), "address", format!("{addr} is not link-local: write it without what follows the %"));
        } else if named.is_some() {
            let message = format!("stands with address = \"{addr}\", which is not link-local; write one of the two");
            table.wrong(table.span_of("interface"), "interface", message);
        } else {
            return Some(Who::Address(addr, None));
        }
        return None;
    }
    match (zone, interface) {
        (Some(zone), Some(interface)) if zone != interface => {
            let message = format!("{interface:?} is another link than that of the address, {zone:?}; write it once");
            table.wrong(table.span_of("interface"), "interface", message);
            None
        }
        (None, None) => {
            let message = format!("{addr} is link-local: give its interface, too, as in \"{addr}%eth0\"");
            table.wrong(span(), "address", message);
            None
        }
        (zone, interface) => Some(Who::Address(addr, zone.or(interface))),
    }
}

fn who(table: &Table<'_>) -> Option<Who> {
    if table.has("range") {
        for other in ["address", "interface"] {
            if table.has(other) {
                let message = "stands together with range; write one of address, interface and range";
                table.wrong(table.span_of(other), other, message);
                return None;
            }
        }
        let range = table.at::<IpNet>("range")?;
        if range.value.addr().is_multicast() {
            table.wrong(range.span, "range", format!("{} holds no neighbor's address", range.value));
            return None;
        }
        return Some(Who::Range(range.value));
    }
    if table.has("address") {
        return address(table);
    }
    if !table.has("interface") {
        table.missing("address", "the neighbor's IP address; or interface = \"eth0\", or range = \"10.0.0.0/24\"");
        return None;
    }
    let name = table.at::<String>("interface")?;
    interface_name(table, name.span, "interface", &name.value).map(Who::Interface)
}

/// Every `[[neighbor]]`, completed by its group and the defaults.
pub(super) fn neighbors<'a>(
    root: &Table<'a>,
    groups: &[Group<'a>],
    node: &NodeModel,
    confederation: Option<&Confederation>,
) -> Vec<Neighbor<'a>> {
    let by_name: BTreeMap<&str, &Group<'_>> = groups.iter().map(|group| (group.name.as_str(), group)).collect();
    let mut once = Once::<String>::default();
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
        let who = who(&table);
        let limit = table.int::<u32>("limit", 1..=65535);
        if let Some(limit) = limit.as_ref().filter(|_| !table.has("range")) {
            table.wrong(limit.span.clone(), "limit", "goes with range; max_prefix limits prefixes");
        }
        if keys.asn.is_none() && !table.has("asn") && (group.is_none() || found.is_some()) {
            table.missing("asn", "the neighbor's AS number, \"external\" or \"internal\"");
        }
        let Some(who) = who else { continue };
        let place = ["address", "range", "interface"].into_iter().find(|key| table.has(key)).unwrap_or("address");
        if !once.take(who.name(), &table, place, table.span_of(place)) {
            continue;
        }
        let mut config = complete(&who, keys, node, confederation, &table);
        let range = match who {
            Who::Range(range) => {
                config.passive = true;
                Some((range, limit.map_or(RANGE_LIMIT, |at| at.value)))
            }
            Who::Address(..) | Who::Interface(_) => None,
        };
        all.push(Neighbor { config, range, group: group.map(|at| at.value), own: policies, table });
    }
    all
}

/// Notes what makes no sense together, at the neighbor's own key or, if it comes from the group, at the neighbor.
fn judge(who: &Who, keys: &Shared, node: &NodeModel, confederation: Option<&Confederation>, table: &Table<'_>) {
    let wrong = |key: &str, message: String| table.wrong(table.span_of(key), key, message);
    let remote_as = keys.asn.unwrap_or(RemoteAs::External);
    let internal = match remote_as {
        RemoteAs::Internal => true,
        RemoteAs::External => false,
        RemoteAs::Number(asn) => asn == keys.local_asn.unwrap_or(node.asn),
    };
    let member =
        matches!(remote_as, RemoteAs::Number(asn) if confederation.is_some_and(|all| all.members.contains(&asn)));
    if let Some(local) = keys.local_address {
        let address = who.address();
        if local.is_ipv4() != address.is_ipv4() {
            let of = match who {
                Who::Interface(_) => "an unnumbered session, which is IPv6".to_owned(),
                Who::Range(range) => format!("the range {range}"),
                Who::Address(..) => format!("the neighbor's address {address}"),
            };
            wrong("local_address", format!("{local} is not of the family of {of}"));
        }
    }
    if let (RemoteAs::Number(remote), Some(local)) = (remote_as, keys.local_asn)
        && remote == local
        && local != node.asn
    {
        wrong("local_asn", format!("{local} is the neighbor's own AS; leave it out, or give another"));
    }
    if matches!(who, Who::Range(_)) && keys.passive == Some(false) {
        wrong("passive", "must not be false with range: nobody knows whom to dial".to_owned());
    }
    let is = |key: &Option<bool>| *key == Some(true);
    if is(&keys.route_reflector_client) && !internal {
        wrong(
            "route_reflector_client",
            "only an internal neighbor can be a route-reflection client (RFC 4456)".to_owned(),
        );
    }
    for (key, set, why) in [
        ("role", keys.role.is_some(), "roles are between different ASes (RFC 9234)"),
        ("route_server_client", is(&keys.route_server_client), "a route server serves other ASes (RFC 7947)"),
        ("as_override", is(&keys.as_override), "there is only our own AS to be replaced"),
        ("remove_private_as", is(&keys.remove_private_as), "its AS_PATH is not ours to change"),
    ] {
        if set && internal {
            wrong(key, format!("is not for an internal neighbor: {why}; leave it out"));
        }
    }
    if keys.role.is_some() && member {
        wrong(
            "role",
            "is not for a member of our confederation: roles are between different ASes (RFC 9234)".to_owned(),
        );
    }
    if is(&keys.route_server_client) {
        // RFC 7947 §2.2.2: the AS_PATH is handed on as it is.
        for (key, set) in [("as_override", is(&keys.as_override)), ("remove_private_as", is(&keys.remove_private_as))] {
            if set {
                wrong(
                    key,
                    "contradicts route_server_client: a route server leaves the AS_PATH alone (RFC 7947)".to_owned(),
                );
            }
        }
        if keys.role.is_some_and(|role| role != Role::RouteServer) {
            wrong("role", "contradicts route_server_client: our role is then \"rs\"".to_owned());
        }
    }
}

fn complete(
    who: &Who,
    keys: Shared,
    node: &NodeModel,
    confederation: Option<&Confederation>,
    table: &Table<'_>,
) -> NeighborConfig {
    judge(who, &keys, node, confederation, table);
    let chain = |chain: Option<Names>| match chain {
        Some(names) => PolicyRef::Chain(names.into_iter().map(|at| at.value).collect()),
        None => PolicyRef::Unset,
    };
    let defaults = NeighborConfig::new(who.address(), keys.asn.unwrap_or(RemoteAs::External));
    NeighborConfig {
        interface: match who {
            Who::Address(_, interface) => interface.clone(),
            Who::Interface(interface) => Some(Arc::clone(interface)),
            Who::Range(_) => None,
        },
        port: keys.port.unwrap_or(defaults.port),
        local_asn: keys.local_asn,
        local_address: keys.local_address,
        description: keys.description.unwrap_or_default(),
        passive: keys.passive.unwrap_or(defaults.passive),
        enabled: keys.enabled.unwrap_or(defaults.enabled),
        hold_time: keys.hold_time.unwrap_or(defaults.hold_time),
        connect_retry: keys.connect_retry.unwrap_or(defaults.connect_retry),
        families: keys.families.unwrap_or(defaults.families),
        import: chain(keys.import),
        export: chain(keys.export),
        adj_in: keys.adj_in.unwrap_or(defaults.adj_in),
        next_hop_self: keys.next_hop_self.unwrap_or(defaults.next_hop_self),
        route_reflector_client: keys.route_reflector_client.unwrap_or(defaults.route_reflector_client),
        extended_messages: keys.extended_messages.unwrap_or(defaults.extended_messages),
        multihop: match keys.hops {
            Some(Hops::Multihop(hops)) => Some(hops),
            _ => None,
        },
        ttl_security: match keys.hops {
            Some(Hops::Security(hops)) => Some(hops),
            _ => None,
        },
        password: keys.password,
        role: keys.role,
        max_prefix: keys.max_prefix,
        route_server_client: keys.route_server_client.unwrap_or(defaults.route_server_client),
        add_path: keys.add_path.unwrap_or(defaults.add_path),
        graceful_restart: keys.graceful_restart.unwrap_or(defaults.graceful_restart),
        default_originate: keys.default_originate.unwrap_or(defaults.default_originate),
        allow_as_in: keys.allow_as_in.unwrap_or(defaults.allow_as_in),
        remove_private_as: keys.remove_private_as.unwrap_or(defaults.remove_private_as),
        as_override: keys.as_override.unwrap_or(defaults.as_override),
        advertise_only_installed: keys.advertise_only_installed.unwrap_or(defaults.advertise_only_installed),
        bfd: keys.bfd.flatten(),
        ..defaults
    }
}
