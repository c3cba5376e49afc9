//! FPM: what a listener of ours makes of our stream, and that FRR's zebra says the same for the same routes.

#![allow(clippy::disallowed_methods, reason = "connections live in real time")]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhop_tests::fib::namespace::{in_namespace, index, ips};
use anyhop_tests::fib::{FpmListener, Ground, Run, Said, conformance, net, object, route, wait_for};
use anyhop_tests::lab::anyhop_bin;
use fib_sync::backend::FibBackend;
use fib_sync::fpm::{FpmAddress, FpmBackend, FpmConfig};
use fib_sync::sync::Phase;
use fib_sync::thread;
use ipnet::IpNet;
use rib::{BackendId, Discard, FibDelta, FibRoute, Forwarding, IfIndex};

fn ground() -> Ground {
    Ground {
        links: [IfIndex(2), IfIndex(3)],
        v4: ["10.0.0.2", "10.0.1.2"].map(|addr| addr.parse().expect("an address")),
        v6: ["fd00::2", "fd01::2"].map(|addr| addr.parse().expect("an address")),
    }
}

fn config(address: FpmAddress, next_hop_groups: bool) -> FpmConfig {
    FpmConfig { address, next_hop_groups, ..FpmConfig::default() }
}

fn tcp(groups: bool) -> (FpmListener, FpmConfig) {
    let (listener, address) = FpmListener::tcp();
    (listener, config(FpmAddress::Tcp(address), groups))
}

fn many(count: u32, object: u32) -> Vec<FibRoute> {
    (0..count).map(|n| route(&format!("10.{}.{}.0/24", n / 250, n % 250), object)).collect()
}

/// A table as the listener should have it.
fn said(forwarding: &Forwarding) -> Said {
    match forwarding {
        Forwarding::Legs(legs) => {
            let mut ways: Vec<_> = legs.iter().map(|leg| (leg.gateway, leg.interface.0, leg.weight)).collect();
            ways.sort_unstable();
            Said::Ways(ways)
        }
        Forwarding::Discard(Discard::Blackhole) => Said::Kind(6),
        Forwarding::Discard(Discard::Unreachable) => Said::Kind(7),
        Forwarding::Discard(Discard::Prohibit) => Said::Kind(8),
        Forwarding::Local => Said::Kind(2),
    }
}

#[test]
fn fpm_conforms_in_both_forms_and_over_both_kinds_of_socket() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("fpm.sock");
    for groups in [true, false] {
        let (listener, config) = tcp(groups);
        conforms(&listener, config);
    }
    let listener = FpmListener::unix(&path);
    conforms(&listener, config(FpmAddress::Unix(path), true));
}

fn conforms(listener: &FpmListener, config: FpmConfig) {
    let mut backend = FpmBackend::new(config);
    backend.dump(&mut |_| {}).expect("a listener");
    conformance(&mut backend, ground());
    wait_for("the last message", || listener.heard().table().is_empty().then_some(()));
    let heard = listener.heard();
    assert_eq!((heard.nonsense, heard.connections), (vec![], 1));
    assert!(heard.kinds[&24] > 10_000 && heard.kinds[&25] > 10_000, "{:?}", heard.kinds);
}

#[test]
fn the_listener_s_table_is_what_was_told() {
    for groups in [true, false] {
        let (listener, config) = tcp(groups);
        let mut run = Run::of(Box::new(FpmBackend::new(config)));
        let ground = ground();
        let meanings = [
            ground.v4(0),
            ground.both_v6(),
            Forwarding::Discard(Discard::Blackhole),
            Forwarding::Discard(Discard::Prohibit),
            Forwarding::Local,
        ];
        let prefixes = ["192.0.2.0/24", "2001:db8::/32", "198.51.100.0/24", "2001:db8:1::/48", "192.0.2.53/32"];
        run.handle(fib_sync::sync::Input::LocalAddress { addr: net("192.0.2.53/32").addr(), present: true });
        let objects = (1..).zip(&meanings).map(|(n, meaning)| object(n, meaning.clone())).collect();
        let routes = (1..).zip(prefixes).map(|(n, prefix)| route(prefix, n)).collect();
        run.delta(objects, routes, true);
        run.work();
        run.nothing_failed();
        let expected: BTreeMap<IpNet, Said> = prefixes.into_iter().map(net).zip(meanings.iter().map(said)).collect();
        wait_for("the table", || (listener.heard().table() == expected).then_some(()));
        assert_eq!(listener.heard().on_objects(), if groups { 2 } else { 0 });
        // A next hop fails: one message, or one per route.
        run.delta(vec![object(1, ground.v4(1))], vec![], false);
        run.work();
        wait_for("the other way", || {
            (listener.heard().table()[&net("192.0.2.0/24")] == said(&ground.v4(1))).then_some(())
        });
        assert_eq!(listener.heard().nonsense, Vec::<String>::new());
    }
}

#[test]
fn who_connects_anew_is_told_everything() {
    let (listener, config) = tcp(true);
    let (tell, told) = mpsc::channel();
    let plane =
        thread::spawn(Box::new(FpmBackend::new(config)), BackendId(0), move |progress| drop(tell.send(progress)))
            .expect("a thread");
    let delta = FibDelta {
        next_hops: vec![object(1, ground().both_v4())],
        routes: many(3000, 1),
        walk_done: true,
        through: 1,
        ..FibDelta::default()
    };
    assert!(plane.offer(delta).is_ok());
    assert_eq!(told.recv_timeout(Duration::from_secs(10)).expect("an answer").failed, []);
    wait_for("the first table", || (listener.heard().table().len() == 3000).then_some(()));
    // Nobody writes; the end of the connection is noticed all the same.
    listener.hang_up();
    wait_for("the second connection", || (listener.heard().connections == 2).then_some(()));
    wait_for("the second table", || (listener.heard().table().len() == 3000).then_some(()));
    assert_eq!(listener.heard().nonsense, Vec::<String>::new());
}

#[test]
fn a_receiver_that_does_not_read_costs_nobody_else_anything() {
    let (listener, mut config) = tcp(true);
    config.patience = Duration::from_millis(300);
    let (tell, told) = mpsc::channel();
    let plane =
        thread::spawn(Box::new(FpmBackend::new(config)), BackendId(0), move |progress| drop(tell.send(progress)))
            .expect("a thread");
    let first =
        FibDelta { next_hops: vec![object(1, ground().v4(0))], walk_done: true, through: 1, ..FibDelta::default() };
    assert!(plane.offer(first).is_ok());
    told.recv_timeout(Duration::from_secs(10)).expect("an answer");
    wait_for("the connection", || (listener.heard().connections == 1).then_some(()));
    listener.set_deaf(true);
    // More than any socket buffer; whoever offers never waits, and is told when there is no room.
    let (mut taken, mut full, mut offering) = (0, 0, Duration::ZERO);
    let routes = many(20_000, 1);
    for turn in 0..100u64 {
        let delta = FibDelta { routes: routes.clone(), through: turn + 2, ..FibDelta::default() };
        let begin = Instant::now();
        let offered = plane.offer(delta);
        offering += begin.elapsed();
        match offered {
            Ok(()) => taken = turn + 2,
            Err(_) => full += 1,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(offering < Duration::from_secs(2), "offering does not wait: {offering:?}");
    println!("{taken} taken last, {full} refused for want of room");
    listener.set_deaf(false);
    wait_for_long("the whole table", || {
        let table = listener.heard().table();
        let progress = told.try_iter().last().map(|progress| progress.through);
        (table.len() == 20_000 && (progress.is_none() || progress == Some(taken))).then_some(())
    });
    assert_eq!(listener.heard().nonsense, Vec::<String>::new());
}

fn wait_for_long(what: &str, mut look: impl FnMut() -> Option<()>) {
    let end = Instant::now() + Duration::from_secs(40);
    while look().is_none() {
        assert!(Instant::now() < end, "{what} does not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nobody_who_listens_is_no_reason_to_stop() {
    let address = {
        let (_listener, address) = FpmListener::tcp();
        address
    };
    let mut run = Run::of(Box::new(FpmBackend::new(config(FpmAddress::Tcp(address.clone()), true))));
    run.delta(vec![object(1, ground().v4(0))], many(10, 1), true);
    let Phase::Away(error) = run.view().phase else { panic!("nobody listens") };
    assert!(error.to_string().contains(&address), "{error}");
}

/// A child that ends with the test.
struct Daemon(std::process::Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const STATICS: [(&str, &[&str]); 4] = [
    ("192.0.2.0/24", &["10.0.0.2"]),
    ("198.51.100.0/24", &["10.0.0.2", "10.0.1.2"]),
    ("2001:db8::/32", &["fd00::2"]),
    ("2001:db8:1::/48", &["fd00::2", "fd01::2"]),
];
const HOLE: &str = "203.0.113.0/24";

fn zebra(dir: &std::path::Path, address: &str, groups: bool) -> Option<[Daemon; 2]> {
    const DAEMONS: &str = "/usr/lib/frr";
    if !std::path::Path::new(DAEMONS).join("staticd").exists() {
        eprintln!("\n*** FRR is not installed: its stream is not compared ***\n");
        return None;
    }
    let (host, port) = address.rsplit_once(':').expect("an address");
    let form = if groups { "" } else { "no fpm use-next-hop-groups\n" };
    std::fs::write(dir.join("zebra.conf"), format!("{form}fpm address {host} port {port}\n")).expect("a file");
    let mut statics = format!("ip route {HOLE} blackhole\n");
    for (prefix, gateways) in STATICS {
        let word = if prefix.contains(':') { "ipv6" } else { "ip" };
        gateways.iter().for_each(|gateway| statics += &format!("{word} route {prefix} {gateway}\n"));
    }
    std::fs::write(dir.join("staticd.conf"), statics).expect("a file");
    // FRR gives its privileges up and must still write here.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(dir, open).expect("our directory");
    let start = |name: &str, more: &[&str]| {
        let mut command = Command::new(format!("{DAEMONS}/{name}"));
        command.arg("-f").arg(dir.join(format!("{name}.conf"))).arg("-i").arg(dir.join(format!("{name}.pid")));
        command.arg("-z").arg(dir.join("zserv.api")).arg("--vty_socket").arg(dir);
        command.args(["-u", "frr", "-g", "frr", "-P", "0", "--log", "file:/dev/null"]).args(more);
        Daemon(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("FRR"))
    };
    let zebra = start("zebra", &["-M", "dplane_fpm_nl"]);
    wait_for("zebra's socket", || dir.join("zserv.api").exists().then_some(()));
    Some([zebra, start("staticd", &[])])
}

fn ours(dir: &std::path::Path, address: &str, groups: bool) -> Daemon {
    let mut text = format!(
        "[node]\nasn = 64500\nrouter_id = \"10.0.0.1\"\n[api]\nlisten = [\"unix:{}\"]\n\
         [fib]\nbackends = [\"fpm\"]\n[fib.fpm]\naddress = \"{address}\"\nnext_hop_groups = {groups}\n\
         [[static]]\nprefix = \"{HOLE}\"\nblackhole = true\n",
        dir.join("api.sock").display()
    );
    for (prefix, gateways) in STATICS {
        text += &format!("[[static]]\nprefix = \"{prefix}\"\nvia = {gateways:?}\n");
    }
    std::fs::write(dir.join("anyhop.toml"), text).expect("a file");
    let mut command = Command::new(anyhop_bin());
    command.arg("run").arg("-c").arg(dir.join("anyhop.toml")).stdin(Stdio::null()).stderr(Stdio::null());
    Daemon(command.spawn().expect("anyhop"))
}

#[test]
fn zebra_says_the_same_for_the_same_routes() {
    in_namespace(|| {
        ips("link add a0 type veth peer name p0
             link add a1 type veth peer name p1
             link set p0 up
             link set p1 up
             link set a0 up
             link set a1 up
             addr add 10.0.0.1/24 dev a0
             addr add 10.0.1.1/24 dev a1
             -6 addr add fd00::1/64 dev a0 nodad
             -6 addr add fd01::1/64 dev a1 nodad");
        let (a0, a1) = (index("a0").0, index("a1").0);
        for groups in [true, false] {
            let dir = tempfile::tempdir().expect("a directory");
            let way = |gateway: &str| {
                let interface = if gateway.starts_with("10.0.0.") || gateway.starts_with("fd00:") { a0 } else { a1 };
                (Some(gateway.parse().expect("an address")), interface, 1)
            };
            let mut expected: BTreeMap<IpNet, Said> = STATICS
                .iter()
                .map(|(prefix, gateways)| (net(prefix), Said::Ways(gateways.iter().map(|to| way(to)).collect())))
                .collect();
            expected.insert(net(HOLE), Said::Kind(6));
            let chosen = |listener: &FpmListener| -> BTreeMap<IpNet, Said> {
                listener.heard().table().into_iter().filter(|(prefix, _)| expected.contains_key(prefix)).collect()
            };
            let whole = |who: &str, listener: &FpmListener| {
                let end = Instant::now() + Duration::from_secs(20);
                while chosen(listener) != expected {
                    assert!(Instant::now() < end, "{who}: {:#?}, not {expected:#?}", listener.heard());
                    std::thread::sleep(Duration::from_millis(20));
                }
            };
            let (our_ear, address) = FpmListener::tcp();
            let _anyhop = ours(dir.path(), &address, groups);
            whole("anyhop", &our_ear);
            let connected = [("10.0.0.0/24", a0), ("fd01::/64", a1)];
            for (prefix, interface) in connected {
                assert_eq!(our_ear.heard().table()[&net(prefix)], Said::Ways(vec![(None, interface, 1)]));
            }
            let (their_ear, address) = FpmListener::tcp();
            let Some(_frr) = zebra(dir.path(), &address, groups) else { return };
            whole("zebra", &their_ear);
            for (prefix, interface) in connected {
                assert_eq!(their_ear.heard().table()[&net(prefix)], Said::Ways(vec![(None, interface, 1)]));
            }
            let kinds = |listener: &FpmListener| listener.heard().kinds.keys().copied().collect::<Vec<u16>>();
            let of = if groups { vec![24, 104] } else { vec![24] };
            assert_eq!(kinds(&our_ear), of, "ours: {:?}", our_ear.heard().kinds);
            for kind in of {
                assert!(kinds(&their_ear).contains(&kind), "zebra's: {:?}", their_ear.heard().kinds);
            }
            assert_eq!(our_ear.heard().nonsense, Vec::<String>::new());
        }
    });
}
