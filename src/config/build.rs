//! From the file to the model: `[node]`, `[api]`, `[log]`, `[bgp]`, `[fib]` and what ties the parts together.
//! Neighbors, policies, services, and what the RIB is told have rooms of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bgpd::config::{Aggregate, Confederation, NeighborConfig, SpeakerConfig};
use fib_sync::dpdk::Bundled;
use fib_sync::fpm::FpmAddress;
use fib_sync::xdp::{XdpMode, XdpTable};
use ipnet::IpNet;
use toml::de::DeTable;

use super::error::Problem;
use super::file;
use super::model::{
    ApiListen, Backend, BgpModel, DpdkModel, FibModel, FpmModel, KernelModel, LogFormat, LogModel, Model, NodeModel,
    XdpModel,
};
use super::read::{Number, Once, Sink, Table};
use super::{neighbors, ospf, policies, routes, services};

/// The socket of the API when nothing is said.
/// What must outlive the node is here (systemd's StateDirectory).
const STATE_DIR: &str = "/var/lib/anyhop";
const DEFAULT_API: &str = "/run/anyhop/anyhop.sock";

/// The model of `text` and what is to be thought about, or everything that is wrong with it. Relative paths in the text begin
/// at `base`.
pub(super) fn model(text: &str, base: &Path) -> Result<(Model, Vec<Problem>), Vec<Problem>> {
    let sink = Sink::new(base);
    let (root, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        for error in syntax {
            sink.push(error.span().unwrap_or(0..0), "", error.message().trim());
        }
        return Err(sink.into_parts().0);
    }
    let root = Table::open(root.get_ref(), 0..0, "", file::ROOT, &sink);
    let model = build(&root);
    let (problems, warnings) = sink.into_parts();
    if problems.is_empty() { Ok((model, warnings)) } else { Err(problems) }
}

/// The one neighbor of `text`, in the setting of `speaker`.
pub(super) fn neighbor(text: &str, base: &Path, speaker: &SpeakerConfig) -> Result<NeighborConfig, Vec<Problem>> {
    const ROOT: file::Keys = &[file::Key { name: "neighbor", supported: true }];
    let sink = Sink::new(base);
    let (root, syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        for error in syntax {
            sink.push(error.span().unwrap_or(0..0), "neighbor", error.message().trim());
        }
        return Err(sink.into_parts().0);
    }
    let node = NodeModel {
        asn: speaker.asn,
        router_id: speaker.router_id,
        site: String::new(),
        state_dir: PathBuf::from(STATE_DIR),
    };
    let read = |root: &DeTable<'_>| {
        let root = Table::open(root, 0..0, "", ROOT, &sink);
        let all = neighbors::neighbors(&root, &[], &node, speaker.confederation.as_ref());
        let names = policies::names(&speaker.policies);
        for neighbor in &all {
            neighbor.check_policies(&names);
        }
        if root.len_of("neighbor") != 1 {
            root.wrong(0..0, "neighbor", "must be exactly one table");
        }
        neighbors::into_configs(all)
    };
    let (mut found, ranges) = if root.get_ref().contains_key("neighbor") {
        read(root.get_ref())
    } else {
        // The keys without their header: a header makes them a neighbor, if no table stands before them.
        let headed = format!("[[neighbor]]\n{text}");
        match DeTable::parse(&headed) {
            Ok(root) => read(root.get_ref()),
            Err(error) => {
                sink.push(0..0, "neighbor", error.message().trim());
                Default::default()
            }
        }
    };
    if !ranges.is_empty() {
        sink.push(0..0, "neighbor.range", "cannot be added while the daemon runs: write it into the file and reload");
    }
    let problems = sink.into_parts().0;
    match (problems.is_empty(), found.pop()) {
        (true, Some(neighbor)) => Ok(neighbor),
        (true, None) => Err(vec![Problem { span: 0..0, key: "neighbor".into(), message: "is missing".into() }]),
        (false, _) => Err(problems),
    }
}

/// Reads everything; where something is wrong a default stands in, and the problem in the sink keeps it from being used.
fn build(root: &Table<'_>) -> Model {
    let node = node(root);
    let distances = routes::distances(root);
    let fib = fib(root);
    let groups = neighbors::groups(root);
    let confederation = confederation(root, &node);
    let neighbors = neighbors::neighbors(root, &groups, &node, confederation.as_ref());
    let policies = policies::policies(root, &groups, &neighbors);
    let policy_names = policies::names(&policies);
    for neighbor in &neighbors {
        neighbor.check_policies(&policy_names);
    }
    for group in &groups {
        group.check_policies(&policy_names);
    }
    let (bgp, rest) = bgp(root, &node, !neighbors.is_empty(), &policy_names);
    let ospf = ospf::ospf(root, &node, &distances, &policy_names);
    let services = services::services(root, distances.service);
    services::check_via(root, &services, ospf.is_some());
    if let Some(ospf) = &ospf {
        ospf::check_restart(root, ospf, &services);
    }
    let withdrawal_budget = services::budget(root);
    let statics = routes::statics(root, &distances);
    for neighbor in &neighbors {
        neighbor.check_restart(&services);
    }
    let (neighbors, ranges) = neighbors::into_configs(neighbors);
    let speaker = SpeakerConfig {
        cluster_id: rest.cluster_id,
        require_policy: rest.require_policy,
        multipath_ebgp: rest.multipath.0,
        multipath_ibgp: rest.multipath.1,
        multipath_relax: rest.multipath_relax,
        best_external: rest.best_external,
        confederation,
        aggregates: aggregates(root),
        distance_ebgp: distances.ebgp.0,
        distance_ibgp: distances.ibgp.0,
        startup_delay: rest.startup_delay,
        shutdown_message: rest.shutdown_message,
        policies: Arc::new(policies),
        neighbors,
        ranges,
        ..SpeakerConfig::new(node.asn, node.router_id)
    };
    Model {
        node,
        api: api(root),
        log: log(root),
        bgp,
        speaker,
        statics,
        distances,
        ospf,
        fib,
        services,
        withdrawal_budget,
    }
}

fn node(root: &Table<'_>) -> NodeModel {
    let empty = NodeModel {
        asn: 0,
        router_id: Ipv4Addr::UNSPECIFIED,
        site: String::new(),
        state_dir: PathBuf::from(STATE_DIR),
    };
    let Some(table) = root.table("node", "node", file::NODE) else {
        if !root.has("node") {
            root.missing("node", "write [node] with asn and router_id");
        }
        return empty;
    };
    let asn = table.int::<u32>("asn", 1..=4_294_967_294);
    if !table.has("asn") {
        table.missing("asn", "our AS number; 64512 to 65534 are for private use");
    }
    if let Some(asn) = asn.as_ref().filter(|asn| asn.value == 23456) {
        // RFC 6793 §9: AS_TRANS stands for a number that does not fit in two octets.
        table.wrong(asn.span.clone(), "asn", "23456 is reserved (AS_TRANS, RFC 6793); write the real number");
    }
    let router_id = table.at::<Ipv4Addr>("router_id");
    if !table.has("router_id") {
        table.missing("router_id", "four numbers with dots, unique in our AS, as in \"10.0.0.11\"");
    }
    if let Some(id) = router_id.as_ref().filter(|id| id.value.is_unspecified()) {
        // RFC 6286 §2.1.
        table.wrong(id.span.clone(), "router_id", "must not be 0.0.0.0; an address of this host is usual");
    }
    NodeModel {
        asn: asn.map_or(empty.asn, |asn| asn.value),
        router_id: router_id.map_or(empty.router_id, |id| id.value),
        site: table.get("site").unwrap_or_default(),
        state_dir: table.resolve(&table.get::<String>("state_dir").unwrap_or_else(|| STATE_DIR.to_owned())),
    }
}

fn api(root: &Table<'_>) -> Vec<ApiListen> {
    let default = || vec![ApiListen::Unix(PathBuf::from(DEFAULT_API))];
    let Some(table) = root.table("api", "api", file::API) else { return default() };
    let Some(list) = table.list::<String>("listen") else { return default() };
    let mut listen = Vec::new();
    for at in list {
        let parsed = if let Some(path) = at.value.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            if path.is_absolute() && path.as_os_str().len() < 108 {
                Ok(ApiListen::Unix(path))
            } else {
                Err("a Unix socket is an absolute path of under 108 octets, as in \"unix:/run/anyhop/anyhop.sock\""
                    .into())
            }
        } else {
            match at.value.parse::<SocketAddr>() {
                Ok(addr) if addr.ip().is_loopback() => Ok(ApiListen::Tcp(addr)),
                Ok(addr) => Err(format!(
                    "{addr} is not loopback: that needs [api.tls], which is not yet supported by this version; listen on \"127.0.0.1:{}\"",
                    addr.port()
                )),
                Err(_) => Err(format!("{:?} is neither \"unix:/path\" nor \"127.0.0.1:50051\"", at.value)),
            }
        };
        match parsed {
            Ok(one) if listen.contains(&one) => table.wrong(at.span, "listen", format!("{one} stands twice")),
            Ok(one) => listen.push(one),
            Err(message) => table.wrong(at.span, "listen", message),
        }
    }
    listen
}

fn log(root: &Table<'_>) -> LogModel {
    let mut model = LogModel { level: "info".to_owned(), format: LogFormat::Text };
    let Some(table) = root.table("log", "log", file::LOG) else { return model };
    if let Some(level) = table.at::<String>("level") {
        if level.value.trim().is_empty() || level.value.parse::<tracing_subscriber::filter::Targets>().is_err() {
            let right = "error, warn, info, debug or trace, also by part, as in \"info,bgpd=debug\"";
            table.wrong(level.span, "level", format!("must be {right}, not {:?}", level.value));
        } else {
            model.level = level.value;
        }
    }
    if let Some(format) = table.word("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]) {
        model.format = format;
    }
    model
}

/// What of `[bgp]` the speaker needs.
struct SpeakerPart {
    require_policy: bool,
    multipath: (u16, u16),
    multipath_relax: bool,
    best_external: bool,
    cluster_id: Ipv4Addr,
    startup_delay: Duration,
    shutdown_message: String,
}

fn bgp(root: &Table<'_>, node: &NodeModel, neighbors: bool, policies: &policies::Names) -> (BgpModel, SpeakerPart) {
    let mut part = SpeakerPart {
        require_policy: true,
        multipath: (1, 1),
        multipath_relax: false,
        best_external: false,
        cluster_id: node.router_id,
        startup_delay: Duration::ZERO,
        shutdown_message: String::new(),
    };
    let default_listen = || {
        let any = |ip: &str| SocketAddr::new(ip.parse::<IpAddr>().expect("a literal"), 179);
        if neighbors { vec![any("0.0.0.0"), any("::")] } else { Vec::new() }
    };
    let mut model = BgpModel { listen: default_listen(), redistribute: Vec::new() };
    let Some(table) = root.table("bgp", "bgp", file::BGP) else { return (model, part) };
    if let Some(listen) = table.list::<SocketAddr>("listen") {
        model.listen = listen.into_iter().map(|at| at.value).collect();
    }
    part.require_policy = table.get("require_policy").unwrap_or(true);
    if let Some(multipath) = table.table("multipath", "bgp.multipath", file::MULTIPATH) {
        let ways = |name| multipath.int::<u16>(name, 1..=64).map_or(1, |at| at.value);
        part.multipath = (ways("ebgp"), ways("ibgp"));
        part.multipath_relax = multipath.get("relax").unwrap_or(false);
    }
    part.best_external = table.get("best_external").unwrap_or(false);
    if let Some(id) = table.at::<Ipv4Addr>("cluster_id") {
        if id.value.is_unspecified() {
            table.wrong(id.span, "cluster_id", "must not be 0.0.0.0; the router id is usual");
        } else {
            part.cluster_id = id.value;
        }
    }
    if let Some(delay) = table.at::<Duration>("startup_delay") {
        if delay.value > Duration::from_secs(3600) {
            table.wrong(delay.span, "startup_delay", "must be at most \"1h\"");
        } else {
            part.startup_delay = delay.value;
        }
    }
    if let Some(text) = table.at::<String>("shutdown_message") {
        // RFC 9003 §2: at most 255 octets of UTF-8.
        if text.value.len() > 255 {
            table.wrong(text.span, "shutdown_message", "must be at most 255 octets long (RFC 9003)");
        } else {
            part.shutdown_message = text.value;
        }
    }
    model.redistribute = routes::redistribute(&table, "bgp.redistribute", routes::To::Bgp, policies);
    (model, part)
}

/// `confederation` of `[bgp]`; our own AS may be named among the members.
fn confederation(root: &Table<'_>, node: &NodeModel) -> Option<Confederation> {
    // The other keys of [bgp] are read, and its unknown ones noted, by `bgp`.
    let bgp = root.inner("bgp", "bgp")?;
    let table = bgp.table("confederation", "bgp.confederation", file::CONFEDERATION)?;
    if !table.has("id") {
        table.missing("id", "the AS number that all the world sees");
    }
    let id = table.int::<u32>("id", 1..=4_294_967_294);
    if let Some(at) = id.as_ref().filter(|at| at.value == node.asn) {
        let message =
            format!("{} is node.asn, which is our member AS; the confederation needs another number", at.value);
        table.wrong(at.span.clone(), "id", message);
    }
    let mut members = Vec::new();
    for at in table.list::<Number>("members").unwrap_or_default() {
        let Number(asn) = at.value;
        if id.as_ref().is_some_and(|id| id.value == asn) {
            table.wrong(at.span, "members", format!("{asn} is the confederation itself; list its member ASes"));
        } else if members.contains(&asn) {
            table.wrong(at.span, "members", format!("{asn} stands twice; each may stand once"));
        } else {
            members.push(asn);
        }
    }
    members.retain(|asn| *asn != node.asn);
    id.map(|id| Confederation { id: id.value, members })
}

fn aggregates(root: &Table<'_>) -> Vec<Aggregate> {
    let mut all = Vec::new();
    let mut once = Once::<IpNet>::default();
    for table in root.tables("aggregate", "aggregate", file::AGGREGATE) {
        if !table.has("prefix") {
            table.missing("prefix", "the prefix announced for its more specific ones, as in \"198.51.100.0/22\"");
        }
        let summary_only = table.get("summary_only").unwrap_or(false);
        let Some(prefix) = table.at::<IpNet>("prefix") else { continue };
        if prefix.value.prefix_len() == prefix.value.max_prefix_len() {
            let message = format!("{} can have no more specific ones", prefix.value);
            table.wrong(prefix.span, "prefix", message);
        } else if once.take(prefix.value, &table, "prefix", prefix.span) {
            all.push(Aggregate { prefix: prefix.value, summary_only });
        }
    }
    all
}

fn fib(root: &Table<'_>) -> FibModel {
    let mut model = FibModel {
        backends: vec![Backend::Kernel],
        kernel: KernelModel::default(),
        xdp: XdpModel::default(),
        dpdk: DpdkModel::default(),
        fpm: FpmModel::default(),
    };
    let Some(table) = root.table("fib", "fib", file::FIB) else { return model };
    if let Some(names) = table.list::<String>("backends") {
        model.backends.clear();
        for at in names {
            let backend = match at.value.as_str() {
                "kernel" => Backend::Kernel,
                "memory" => Backend::Memory,
                "xdp" => Backend::Xdp,
                "dpdk" => Backend::Dpdk,
                "fpm" => Backend::Fpm,
                other => {
                    let words = ["kernel", "memory", "xdp", "dpdk", "fpm"];
                    table.wrong(at.span, "backends", super::read::not_a_word(other, words.into_iter()));
                    continue;
                }
            };
            if model.backends.contains(&backend) {
                table.wrong(at.span, "backends", format!("{:?} stands twice; each may stand once", backend.name()));
            } else {
                model.backends.push(backend);
            }
        }
    }
    if let Some(kernel) = table.table("kernel", "fib.kernel", file::KERNEL) {
        model.kernel = kernel_model(&kernel);
    }
    if let Some(xdp) = table.table("xdp", "fib.xdp", file::XDP) {
        model.xdp = xdp_model(&xdp);
    }
    if let Some(dpdk) = table.table("dpdk", "fib.dpdk", file::DPDK) {
        model.dpdk = dpdk_model(&dpdk);
    }
    if let Some(fpm) = table.table("fpm", "fib.fpm", file::FPM) {
        model.fpm = fpm_model(&fpm);
    }
    if model.backends.contains(&Backend::Dpdk) && !table.has("dpdk") {
        let message = "\"dpdk\" needs to know where: fib.dpdk.socket of a running agent, or fib.dpdk.eal to start the bundled one";
        table.wrong(table.span_of("backends"), "backends", message);
    }
    if model.backends.contains(&Backend::Dpdk) && !model.backends.contains(&Backend::Kernel) {
        let message = "\"dpdk\" leaves to the kernel what it cannot do by itself: without \"kernel\" beside it such packets find only \
                       the routes that others write";
        table.warn(table.span_of("backends"), "backends", message);
    }
    if model.backends.contains(&Backend::Xdp) {
        if model.xdp.config.interfaces.is_empty() {
            let message =
                "\"xdp\" forwards between interfaces: name them in fib.xdp.interfaces, as in [\"eth0\", \"eth1\"]";
            table.wrong(table.span_of("backends"), "backends", message);
        }
        if !model.backends.contains(&Backend::Kernel) {
            let message = "\"xdp\" leaves to the kernel what it cannot do by itself: without \"kernel\" beside it such packets \
                           find only the routes that others write";
            table.warn(table.span_of("backends"), "backends", message);
        }
    }
    model
}

fn xdp_model(table: &Table<'_>) -> XdpModel {
    let mut model = XdpModel::default();
    let config = &mut model.config;
    let mut once = Once::default();
    for at in table.list::<String>("interfaces").unwrap_or_default() {
        // IFNAMSIZ, the closing zero included.
        if at.value.is_empty() || at.value.len() > 15 || at.value.contains('/') {
            table.wrong(at.span, "interfaces", format!("{:?} is no name of an interface", at.value));
        } else if once.take(at.value.clone(), table, "interfaces", at.span) {
            config.interfaces.push(at.value);
        }
    }
    let modes = [("native", XdpMode::Native), ("generic", XdpMode::Generic), ("auto", XdpMode::Auto)];
    config.mode = table.word("mode", &modes).unwrap_or(config.mode);
    let tables = [("stride", XdpTable::Stride), ("lpm_trie", XdpTable::LpmTrie)];
    config.table = table.word("table", &tables).unwrap_or(config.table);
    if let Some(at) = table.at::<String>("pin") {
        if at.value.starts_with('/') {
            config.pin = at.value.into();
        } else {
            table.wrong(at.span, "pin", "must be an absolute path on a BPF file system, as in \"/sys/fs/bpf/anyhop\"");
        }
    }
    model.keep_on_exit = table.word("on_exit", &[("remove", false), ("keep", true)]).unwrap_or(model.keep_on_exit);
    if let Some(limits) = table.table("limits", "fib.xdp.limits", file::XDP_LIMITS) {
        let own = &mut config.limits;
        // Bounds of the layout: a group number has 31 bits less those of its words, an object number 22.
        for (key, value, most) in [
            ("ipv4_routes", &mut own.ipv4_routes, 1 << 26),
            ("ipv6_routes", &mut own.ipv6_routes, 1 << 26),
            ("ipv4_groups", &mut own.ipv4_groups, 1 << 22),
            ("ipv6_groups", &mut own.ipv6_groups, 1 << 22),
            ("next_hops", &mut own.next_hops, (1 << 22) - 2),
            ("neighbors", &mut own.neighbors, 1 << 24),
        ] {
            *value = limits.int::<u32>(key, 1..=most).map_or(*value, |at| at.value);
        }
    }
    model
}

fn on_exit(table: &Table<'_>) -> bool {
    table.word("on_exit", &[("remove", false), ("keep", true)]).unwrap_or(false)
}

fn dpdk_model(table: &Table<'_>) -> DpdkModel {
    let mut model = DpdkModel { keep_on_exit: on_exit(table), ..DpdkModel::default() };
    let absolute = |key: &str, example: &str| {
        let at = table.at::<String>(key)?;
        if at.value.starts_with('/') {
            return Some(PathBuf::from(at.value));
        }
        table.wrong(at.span, key, format!("must be an absolute path, as in {example:?}"));
        None
    };
    let words = |key: &str| -> Vec<String> {
        table.list::<String>(key).unwrap_or_default().into_iter().map(|at| at.value).collect()
    };
    if let Some(socket) = absolute("socket", "/run/anyhop/dpdk.sock") {
        model.config.socket = socket;
    }
    let program = absolute("agent", "/usr/lib/anyhop/anyhop-dpdk");
    // Whoever names the socket runs the agent; else the bundled one is ours to start.
    if table.has("socket") {
        for key in ["eal", "agent", "args"].into_iter().filter(|key| table.has(key)) {
            let message =
                "is for the bundled agent, which is started only where no socket is named; leave one of the two out";
            table.wrong(table.span_of(key), key, message);
        }
    } else {
        let (eal, args) = (words("eal"), words("args"));
        model.config.bundled = Some(Bundled { program, eal, args, keep: model.keep_on_exit });
    }
    model
}

fn fpm_model(table: &Table<'_>) -> FpmModel {
    let mut model = FpmModel { keep_on_exit: on_exit(table), ..FpmModel::default() };
    model.config.next_hop_groups = table.get("next_hop_groups").unwrap_or(true);
    if let Some(at) = table.at::<String>("address") {
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        let has_port = at.value.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && is_port(port));
        match at.value.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => model.config.address = FpmAddress::Unix(path.into()),
            None if has_port => model.config.address = FpmAddress::Tcp(at.value),
            _ => {
                let message = "must be host:port or unix:/path, as in \"127.0.0.1:2620\"";
                table.wrong(at.span, "address", message);
            }
        }
    }
    model
}

fn kernel_model(table: &Table<'_>) -> KernelModel {
    let default = KernelModel::default();
    let number = table.int::<u32>("table", 1..=0xffff_ffff);
    if let Some(at) = number.as_ref().filter(|at| at.value == 255) {
        table.wrong(at.span.clone(), "table", "255 is the kernel's own table of local addresses; 254 is \"main\"");
    }
    let protocol = table.int::<u8>("protocol", 1..=255);
    if let Some(at) = &protocol {
        match at.value {
            0..=4 => table.wrong(
                at.span.clone(),
                "protocol",
                "1 to 4 belong to the kernel and to administrators; 179 is ours",
            ),
            186..=199 => {
                table.wrong(at.span.clone(), "protocol", "186 to 199 belong to other routing daemons; 179 is ours");
            }
            _ => {}
        }
    }
    KernelModel {
        table: number.map_or(default.table, |at| at.value),
        metric: table.int::<u32>("metric", 1..=0xffff_ffff).map_or(default.metric, |at| at.value),
        protocol: protocol.map_or(default.protocol, |at| at.value),
        keep_on_exit: table.word("on_exit", &[("remove", false), ("keep", true)]).unwrap_or(default.keep_on_exit),
        nexthop_compat_off: table
            .word("nexthop_compat", &[("leave", false), ("off", true)])
            .unwrap_or(default.nexthop_compat_off),
        learn: table.get("learn").unwrap_or(default.learn),
    }
}
