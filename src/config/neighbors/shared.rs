//! The keys of `[[neighbor]]` that a `[[neighbor_group]]` can give: read, judged one by one, and laid over one another. What
//! they mean together is judged next door.

use std::net::IpAddr;
use std::time::Duration;

use bgpd::config::{AddPath, AdjInKeep, Bfd, GracefulRestart, MaxPrefix, RemoteAs, Role, Secret};
use rib::AddressFamily;
use toml::de::DeValue;

use super::{family, password};
use crate::config::bfd::bfd;
use crate::config::file;
use crate::config::read::{At, Table, Value};

/// `asn` of a neighbor.
pub(super) struct Asn(pub(super) RemoteAs);

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
pub(super) type Names = Vec<At<String>>;

/// How far away the neighbor may be: the two exclude each other, so that whoever says one has not the other from its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hops {
    /// `multihop`.
    Multihop(u8),
    /// `ttl_security`.
    Security(u8),
}

/// The shared keys with their readers; `over` takes what is said over what the group says.
macro_rules! shared {
    ($($field:ident: $kind:ty = $read:expr;)*) => {
        /// What a table says of the shared keys.
        #[derive(Clone, Default)]
        pub(super) struct Shared {
            $(pub(super) $field: Option<$kind>,)*
        }

        impl Shared {
            /// Reads them; what is wrong is noted and left out.
            pub(super) fn read(table: &Table<'_>) -> Self {
                Self { $($field: { let read: fn(&Table<'_>) -> Option<$kind> = $read; read(table) },)* }
            }

            /// `self` where it says something, `group` elsewhere.
            pub(super) fn over(self, group: Self) -> Self {
                Self { $($field: self.$field.or(group.$field),)* }
            }
        }
    };
}

shared! {
    asn: RemoteAs = |table| table.get::<Asn>("asn").map(|asn| asn.0);
    port: u16 = |table| table.int("port", 1..=65535).map(|at| at.value);
    passive: bool = |table| table.get("passive");
    local_address: IpAddr = local_address;
    local_asn: u32 = |table| table.int("local_asn", 1..=4_294_967_294).map(|at| at.value);
    description: String = |table| table.get("description");
    hold_time: Duration = hold_time;
    connect_retry: Duration = connect_retry;
    families: Vec<AddressFamily> = families;
    import: Names = |table| table.one_or_more("import");
    export: Names = |table| table.one_or_more("export");
    route_reflector_client: bool = |table| table.get("route_reflector_client");
    route_server_client: bool = |table| table.get("route_server_client");
    next_hop_self: bool = |table| table.get("next_hop_self");
    extended_messages: bool = |table| table.get("extended_messages");
    hops: Hops = hops;
    password: Secret = password::read;
    role: Role = |table| table.word("role", ROLES);
    max_prefix: MaxPrefix = max_prefix;
    add_path: AddPath = add_path;
    graceful_restart: GracefulRestart = graceful_restart;
    default_originate: bool = |table| table.get("default_originate");
    allow_as_in: u8 = |table| table.int("allow_as_in", 0..=10).map(|at| at.value);
    remove_private_as: bool = |table| table.get("remove_private_as");
    as_override: bool = |table| table.get("as_override");
    advertise_only_installed: bool = |table| table.get("advertise_only_installed");
    adj_in: AdjInKeep = |table| table.word("adj_in", &[("all", AdjInKeep::All), ("accepted", AdjInKeep::Accepted)]);
    enabled: bool = |table| table.get("enabled");
    bfd: Option<Bfd> = |table| bfd(table, path(table, "neighbor.bfd", "neighbor_group.bfd"));
}

/// Our role towards a neighbor (RFC 9234 §4.1).
const ROLES: &[(&str, Role)] = &[
    ("provider", Role::Provider),
    ("customer", Role::Customer),
    ("peer", Role::Peer),
    ("rs", Role::RouteServer),
    ("rs-client", Role::RouteServerClient),
];

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

fn hops(table: &Table<'_>) -> Option<Hops> {
    let multihop = table.int("multihop", 1..=255).map(|at| Hops::Multihop(at.value));
    // RFC 5082 §3: packets are sent with 255 and must arrive with at least 255 less the hops, counted from 1.
    let security = table.int("ttl_security", 1..=254).map(|at| Hops::Security(at.value));
    if table.has("multihop") && table.has("ttl_security") {
        let message = "stands together with multihop; write ttl_security = N alone, for a neighbor up to N hops away";
        table.wrong(table.span_of("ttl_security"), "ttl_security", message);
    }
    multihop.or(security)
}

/// A duration in whole seconds within `range`.
fn seconds(table: &Table<'_>, name: &str, range: std::ops::RangeInclusive<u64>, right: &str) -> Option<Duration> {
    let at = table.at::<Duration>(name)?;
    if at.value.subsec_nanos() != 0 || !range.contains(&at.value.as_secs()) {
        table.wrong(at.span, name, right);
        return None;
    }
    Some(at.value)
}

fn max_prefix(table: &Table<'_>) -> Option<MaxPrefix> {
    let inner =
        table.table("max_prefix", path(table, "neighbor.max_prefix", "neighbor_group.max_prefix"), file::MAX_PREFIX)?;
    if !inner.has("limit") {
        inner.missing("limit", "the most prefixes of a family that the neighbor may announce");
    }
    let limit = inner.int::<u32>("limit", 1..=4_294_967_295).map(|at| at.value);
    let warn = inner.share("warn").map_or(0.75, |at| at.value);
    let right = "must be whole seconds from \"1s\" to \"30d\"; leave it out to wait for an operator";
    let restart = seconds(&inner, "restart", 1..=30 * 86400, right);
    let limit = limit?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a u32 is one")]
    let warn = (f64::from(limit) * warn).ceil() as u32;
    Some(MaxPrefix { limit, warn: warn.clamp(1, limit), restart })
}

fn add_path(table: &Table<'_>) -> Option<AddPath> {
    let inner = table.table("add_path", path(table, "neighbor.add_path", "neighbor_group.add_path"), file::ADD_PATH)?;
    Some(AddPath {
        receive: inner.get("receive").unwrap_or(false),
        send: inner.int("send", 0..=255).map_or(0, |at| at.value),
    })
}

fn graceful_restart(table: &Table<'_>) -> Option<GracefulRestart> {
    let name = path(table, "neighbor.graceful_restart", "neighbor_group.graceful_restart");
    let inner = table.table("graceful_restart", name, file::GRACEFUL_RESTART)?;
    let default = GracefulRestart::default();
    // RFC 4724 §3: twelve bits on the wire. RFC 9494 §3.1: twenty-four.
    let time = "must be whole seconds from \"1s\" to \"4095s\" (RFC 4724)";
    let long = "must be whole seconds from \"1s\" to \"194d\" (RFC 9494)";
    let restart = GracefulRestart {
        helper: inner.get("helper").unwrap_or(default.helper),
        restarting: inner.get("enabled").unwrap_or(default.restarting),
        restart_time: seconds(&inner, "restart_time", 1..=4095, time).unwrap_or(default.restart_time),
        long_lived: seconds(&inner, "long_lived", 1..=194 * 86400, long),
    };
    if inner.has("long_lived") && !restart.helper && !restart.restarting {
        let message = "needs enabled = true (to be kept) or helper = true (to keep); leave it out otherwise";
        inner.wrong(inner.span_of("long_lived"), "long_lived", message);
    }
    Some(restart)
}

/// The name of a table within a neighbor or a group.
fn path(table: &Table<'_>, neighbor: &'static str, group: &'static str) -> &'static str {
    if table.key("") == "neighbor_group." { group } else { neighbor }
}
