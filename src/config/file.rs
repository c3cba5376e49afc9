//! The shape of the file on disk: every table and every key, those that this version carries out and those that it
//! knows but refuses. A key in neither list is an error with a suggestion; nothing is ever ignored.

/// A key of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// False: part of the format, refused as "not yet supported".
    pub(super) supported: bool,
}

/// The keys of one table.
pub(super) type Keys = &'static [Key];

const fn yes(name: &'static str) -> Key {
    Key { name, supported: true }
}

const fn later(name: &'static str) -> Key {
    Key { name, supported: false }
}

/// The file itself.
pub(super) const ROOT: Keys = &[
    yes("node"),
    yes("api"),
    yes("log"),
    yes("bgp"),
    yes("neighbor_group"),
    yes("neighbor"),
    yes("prefix_set"),
    yes("as_path_set"),
    yes("community_set"),
    yes("policy"),
    yes("aggregate"),
    yes("static"),
    yes("rib"),
    yes("fib"),
    yes("service"),
    yes("safety"),
    later("web"),
    yes("ospf"),
    later("fleet"),
    later("rpki"),
    later("bmp"),
];

pub(super) const NODE: Keys = &[yes("asn"), yes("router_id"), yes("site"), yes("state_dir")];
pub(super) const API: Keys = &[yes("listen"), later("tls")];
pub(super) const LOG: Keys = &[yes("level"), yes("format")];
pub(super) const BGP: Keys = &[
    yes("listen"),
    yes("require_policy"),
    yes("multipath"),
    yes("cluster_id"),
    yes("redistribute"),
    yes("startup_delay"),
    yes("shutdown_message"),
    yes("best_external"),
    yes("confederation"),
];
pub(super) const MULTIPATH: Keys = &[yes("ebgp"), yes("ibgp"), yes("relax")];
pub(super) const CONFEDERATION: Keys = &[yes("id"), yes("members")];
pub(super) const OSPF: Keys = &[
    yes("redistribute"),
    yes("reference_bandwidth"),
    yes("max_metric"),
    yes("graceful_restart"),
    yes("instance_id"),
    yes("limits"),
    yes("area"),
    yes("interface"),
];
pub(super) const OSPF_MAX_METRIC: Keys = &[yes("on_startup"), yes("on_drain")];
pub(super) const OSPF_RESTART: Keys = &[yes("enabled"), yes("helper"), yes("grace_period")];
pub(super) const OSPF_LIMITS: Keys = &[yes("lsas"), yes("per_origin"), yes("per_neighbor")];
pub(super) const OSPF_AREA: Keys = &[
    yes("id"),
    yes("type"),
    yes("no_summary"),
    yes("default_cost"),
    yes("ranges"),
    yes("virtual_links"),
    yes("always_translate"),
];
pub(super) const OSPF_INTERFACE: Keys = &[
    yes("name"),
    yes("area"),
    yes("versions"),
    yes("network"),
    yes("cost"),
    yes("priority"),
    yes("passive"),
    yes("hello_interval"),
    yes("dead_interval"),
    yes("retransmit_interval"),
    yes("poll_interval"),
    yes("auth"),
    yes("mtu_ignore"),
    yes("ttl_security"),
    yes("neighbors"),
    yes("bfd"),
];
/// An element of `auth`.
pub(super) const OSPF_AUTH: Keys =
    &[yes("type"), yes("key_id"), yes("key"), yes("key_file"), yes("extended_sequence"), yes("frr8")];
/// An element of `virtual_links` that is a table.
pub(super) const OSPF_VIRTUAL: Keys = &[yes("router_id"), yes("auth")];
pub(super) const SERVICE_OSPF: Keys = &[yes("as"), yes("metric")];
pub(super) const REDISTRIBUTE: Keys = &[yes("from"), yes("policy"), yes("metric")];
/// `redistribute` of `[ospf]`.
pub(super) const REDISTRIBUTE_OSPF: Keys =
    &[yes("from"), yes("policy"), yes("metric"), yes("metric_type"), yes("tag"), yes("internal")];

/// Two lists of keys as one.
const fn join<const A: usize, const B: usize, const N: usize>(first: [Key; A], second: [Key; B]) -> [Key; N] {
    assert!(A + B == N, "N is the sum");
    let mut all = [yes(""); N];
    let mut at = 0;
    while at < N {
        all[at] = if at < A { first[at] } else { second[at - A] };
        at += 1;
    }
    all
}

/// How many keys a group can give to its neighbors.
const SHARED_KEYS: usize = 31;

/// What a neighbor can have from its group, or say itself.
const SHARED: [Key; SHARED_KEYS] = [
    yes("asn"),
    yes("port"),
    yes("passive"),
    yes("local_address"),
    yes("local_asn"),
    yes("description"),
    yes("hold_time"),
    yes("connect_retry"),
    yes("families"),
    yes("import"),
    yes("export"),
    yes("route_reflector_client"),
    yes("route_server_client"),
    yes("next_hop_self"),
    yes("extended_messages"),
    yes("multihop"),
    yes("ttl_security"),
    yes("password"),
    yes("password_file"),
    yes("role"),
    yes("max_prefix"),
    yes("add_path"),
    yes("graceful_restart"),
    yes("default_originate"),
    yes("allow_as_in"),
    yes("remove_private_as"),
    yes("as_override"),
    yes("adj_in"),
    yes("enabled"),
    yes("bfd"),
    yes("advertise_only_installed"),
];

/// `[[neighbor]]`: one of address, interface and range says who it is.
pub(super) const NEIGHBOR: Keys = &join::<5, SHARED_KEYS, { 5 + SHARED_KEYS }>(
    [yes("address"), yes("interface"), yes("range"), yes("limit"), yes("group")],
    SHARED,
);
/// `[[neighbor_group]]`.
pub(super) const GROUP: Keys = &join::<1, SHARED_KEYS, { 1 + SHARED_KEYS }>([yes("name")], SHARED);

pub(super) const MAX_PREFIX: Keys = &[yes("limit"), yes("warn"), yes("restart")];
pub(super) const BFD: Keys = &[yes("interval"), yes("multiplier"), yes("multihop")];
pub(super) const ADD_PATH: Keys = &[yes("receive"), yes("send")];
pub(super) const GRACEFUL_RESTART: Keys = &[yes("enabled"), yes("helper"), yes("restart_time"), yes("long_lived")];

pub(super) const PREFIX_SET: Keys = &[yes("name"), yes("prefixes")];
pub(super) const AS_PATH_SET: Keys = &[yes("name"), yes("patterns")];
pub(super) const COMMUNITY_SET: Keys = &[yes("name"), yes("communities")];
pub(super) const POLICY: Keys = &[yes("name"), yes("default"), yes("rules")];
pub(super) const RULE: Keys = &[yes("match"), yes("set"), yes("action")];
pub(super) const MATCH: Keys = &[
    yes("prefix"),
    yes("prefix_set"),
    yes("as_path_set"),
    yes("origin_asn"),
    yes("community"),
    yes("community_set"),
    yes("neighbor"),
    yes("neighbor_group"),
    yes("family"),
    yes("protocol"),
    yes("next_hop"),
    yes("med"),
    yes("local_pref"),
    yes("tag"),
    later("rpki"),
    later("aspa"),
];
pub(super) const SET: Keys = &[
    yes("local_pref"),
    yes("med"),
    yes("prepend"),
    yes("next_hop"),
    yes("origin"),
    yes("add_communities"),
    yes("delete_communities"),
    yes("weight"),
    yes("metric"),
    yes("metric_type"),
    yes("tag"),
];
pub(super) const PREPEND: Keys = &[yes("asn"), yes("count")];

pub(super) const AGGREGATE: Keys = &[yes("prefix"), yes("summary_only")];
pub(super) const STATIC: Keys = &[
    yes("prefix"),
    yes("via"),
    yes("interface"),
    yes("onlink"),
    yes("blackhole"),
    yes("unreachable"),
    yes("prohibit"),
    yes("distance"),
    yes("metric"),
    yes("tag"),
    yes("bfd"),
];
/// An element of `via` that is a table.
pub(super) const STATIC_VIA: Keys = &[yes("gateway"), yes("interface"), yes("onlink"), yes("weight")];
pub(super) const RIB: Keys = &[yes("distance")];
pub(super) const DISTANCE: Keys = &[
    yes("static"),
    yes("service"),
    yes("api"),
    yes("ebgp"),
    yes("ospf"),
    yes("ospf_intra"),
    yes("ospf_inter"),
    yes("ospf_external"),
    yes("ospf_nssa"),
    yes("ibgp"),
    yes("kernel"),
];

pub(super) const FIB: Keys = &[yes("backends"), yes("kernel"), yes("xdp"), yes("dpdk"), yes("fpm")];
pub(super) const DPDK: Keys = &[yes("socket"), yes("eal"), yes("agent"), yes("args"), yes("on_exit")];
pub(super) const FPM: Keys = &[yes("address"), yes("next_hop_groups"), yes("on_exit")];
pub(super) const XDP: Keys = &[yes("interfaces"), yes("mode"), yes("pin"), yes("table"), yes("on_exit"), yes("limits")];
pub(super) const XDP_LIMITS: Keys = &[
    yes("ipv4_routes"),
    yes("ipv6_routes"),
    yes("ipv4_groups"),
    yes("ipv6_groups"),
    yes("next_hops"),
    yes("neighbors"),
];
pub(super) const KERNEL: Keys =
    &[yes("table"), yes("metric"), yes("protocol"), yes("on_exit"), yes("nexthop_compat"), yes("learn")];

pub(super) const SERVICE: Keys = &[
    yes("name"),
    yes("vips"),
    yes("via"),
    yes("bind"),
    yes("require_local"),
    yes("communities"),
    yes("checks"),
    yes("combine"),
    yes("down"),
    yes("drain"),
    yes("ospf"),
    later("damping"),
    later("safety"),
];
pub(super) const DRAIN: Keys = &[yes("gshut")];
pub(super) const SAFETY: Keys = &[yes("budget")];
pub(super) const BUDGET: Keys = &[yes("withdrawals"), yes("per")];

/// `type = "dns"`.
pub(super) const CHECK_DNS: Keys = &[
    yes("type"),
    yes("target"),
    yes("query"),
    yes("rcode"),
    yes("answer"),
    yes("interval"),
    yes("timeout"),
    yes("rise"),
    yes("fall"),
    later("weight"),
];
/// `type = "http"`.
pub(super) const CHECK_HTTP: Keys = &[
    yes("type"),
    yes("url"),
    yes("target"),
    yes("path"),
    yes("status"),
    yes("body"),
    yes("interval"),
    yes("timeout"),
    yes("rise"),
    yes("fall"),
    later("weight"),
];
/// `type = "tcp"`.
pub(super) const CHECK_TCP: Keys = &[
    yes("type"),
    yes("target"),
    yes("send"),
    yes("expect"),
    yes("interval"),
    yes("timeout"),
    yes("rise"),
    yes("fall"),
    later("weight"),
];
/// `type = "exec"`.
pub(super) const CHECK_EXEC: Keys =
    &[yes("type"), yes("command"), yes("interval"), yes("timeout"), yes("rise"), yes("fall"), later("weight")];
/// A check whose `type` is missing or unknown: its other keys are not judged.
pub(super) const CHECK_ANY: Keys = &[
    yes("type"),
    yes("target"),
    yes("query"),
    yes("rcode"),
    yes("answer"),
    yes("url"),
    yes("path"),
    yes("status"),
    yes("body"),
    yes("send"),
    yes("expect"),
    yes("command"),
    yes("service"),
    yes("unit"),
    yes("interval"),
    yes("timeout"),
    yes("rise"),
    yes("fall"),
    yes("weight"),
];
