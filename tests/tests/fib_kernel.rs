//! The kernel as a data plane, on real kernels: each test has a network namespace of its own.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhop_tests::fib::namespace::{Announced, Watch, in_namespace, index, ip, ips, sysctl, two_links};
use anyhop_tests::fib::{Ground, Run, Subject, conformance, gone, net, object, route, suite, wait_for};
use fib_sync::backend::{BackendError, FibBackend, Refusal};
use fib_sync::host::{AddressControl, HostEvent, HostEvents, HostTable};
use fib_sync::netlink::monitor::{self, MonitorConfig};
use fib_sync::netlink::{KernelAddresses, KernelBackend, KernelConfig, NexthopCompat};
use fib_sync::sync::Input;
use fib_sync::thread::{self, OnStop};
use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use rib::{BackendId, Discard, FibDelta, FibFault, FibRoute, Forwarding, IfIndex, ResolvedLeg};

fn config() -> KernelConfig {
    KernelConfig::default()
}

fn kernel() -> KernelBackend {
    KernelBackend::open(config()).expect("the kernel")
}

/// A machine on the kernel, as one run of the daemon has it.
fn begin_run() -> Run {
    Run::of(Box::new(kernel()))
}

/// The kernel of this namespace, whoever owns it at the time.
struct Kernel {
    ground: Ground,
    open: fn() -> KernelBackend,
}

impl Subject for Kernel {
    fn open(&mut self) -> Box<dyn FibBackend> {
        Box::new((self.open)())
    }

    fn ground(&self) -> Ground {
        self.ground
    }

    fn steal(&mut self, prefix: IpNet) -> Option<bool> {
        let family = if prefix.addr().is_ipv4() { "-4" } else { "-6" };
        let command = [family, "route", "del", &prefix.to_string(), "proto", "179", "metric", "20"];
        let output = std::process::Command::new("ip").args(command).output().expect("iproute2");
        Some(output.status.success())
    }

    fn wipe(&mut self) -> bool {
        // With the links goes everything on them, objects included.
        for link in self.ground.links {
            let name = name_of(link);
            ips(&format!("link set {name} down\nlink set {name} up"));
            carrier(&name);
        }
        true
    }
}

fn name_of(link: IfIndex) -> String {
    let links = ip("-o link show");
    let number = format!("{}: ", link.0);
    let name = links.lines().find_map(|line| line.strip_prefix(&number)?.split(['@', ':']).next());
    name.expect("the link").to_owned()
}

#[test]
fn the_kernel_conforms() {
    in_namespace(|| {
        let ground = two_links();
        conformance(&mut kernel(), ground);
        assert_eq!(ip("nexthop show"), "", "no object is left behind");
    });
}

#[test]
fn the_kernel_conforms_with_the_compat_mode_off() {
    in_namespace(|| {
        let ground = two_links();
        let config = KernelConfig { nexthop_compat: NexthopCompat::Off, ..config() };
        conformance(&mut KernelBackend::open(config).expect("the kernel"), ground);
        let mode = std::fs::read_to_string("/proc/sys/net/ipv4/nexthop_compat_mode").expect("a sysctl");
        assert_eq!(mode.trim(), "0");
    });
}

#[test]
fn the_kernel_conforms_without_next_hop_objects() {
    in_namespace(|| {
        let ground = two_links();
        conformance(&mut KernelBackend::open_classic(config()).expect("the kernel"), ground);
    });
}

#[test]
fn the_kernel_conforms_in_a_table_of_a_large_number() {
    in_namespace(|| {
        let ground = two_links();
        let config = KernelConfig { table: 100_000, protocol: 200, metric: 7, ..config() };
        let mut backend = KernelBackend::open(config).expect("the kernel");
        conformance(&mut backend, ground);
        let mut refused = Vec::new();
        backend.apply(&[object(1, ground.v4(0))], &[route("192.0.2.0/24", 1)], &[], &mut refused).expect("a kernel");
        assert!(ip("route show table 100000 proto 200").contains("metric 7"));
        assert_eq!(ip("route show proto 200"), "");
    });
}

#[test]
fn the_kernel_lives_through_the_suite() {
    in_namespace(|| {
        let ground = two_links();
        suite(&mut Kernel { ground, open: kernel }, 1, 12);
        assert_eq!(ip("nexthop show") + &ip("route show proto 179") + &ip("-6 route show proto 179"), "");
    });
}

#[test]
fn the_kernel_lives_through_the_suite_without_next_hop_objects() {
    in_namespace(|| {
        let ground = two_links();
        let open = || KernelBackend::open_classic(config()).expect("the kernel");
        suite(&mut Kernel { ground, open }, 100, 6);
    });
}

#[test]
fn iproute_sees_what_was_meant() {
    in_namespace(|| {
        let ground = two_links();
        let mut run = begin_run();
        let onlink = ResolvedLeg {
            interface: ground.links[0],
            gateway: Some("172.31.0.9".parse().expect("an address")),
            onlink: true,
            weight: 1,
        };
        let device = ResolvedLeg { interface: ground.links[1], gateway: None, onlink: false, weight: 1 };
        run.delta(
            vec![
                object(1, ground.both_v4()),
                object(2, Forwarding::Legs([onlink].into_iter().collect())),
                object(3, Forwarding::Legs([device].into_iter().collect())),
                object(4, ground.v6(0)),
                object(5, Forwarding::Discard(Discard::Prohibit)),
            ],
            vec![
                route("192.0.2.0/24", 1),
                route("198.51.100.0/24", 2),
                route("203.0.113.0/24", 3),
                route("2001:db8:3::/48", 3),
                route("203.0.114.0/24", 4),
                route("2001:db8:5::/48", 5),
            ],
            true,
        );
        run.nothing_failed();
        run.in_step();
        let show = |prefix: &str| ip(&format!("route show {prefix}"));
        let ecmp = show("192.0.2.0/24");
        assert!(
            ecmp.contains("via 10.0.0.2 dev v0 weight 3") && ecmp.contains("via 10.0.1.2 dev v1 weight 1"),
            "{ecmp}"
        );
        assert!(ecmp.contains("proto 179") && ecmp.contains("metric 20"), "{ecmp}");
        let via = show("198.51.100.0/24");
        assert!(via.contains("via 172.31.0.9 dev v0") && via.contains("onlink"), "{via}");
        assert!(show("203.0.113.0/24").contains("dev v1"), "{}", show("203.0.113.0/24"));
        assert!(show("203.0.114.0/24").contains("via inet6 fd00::2"), "{}", show("203.0.114.0/24"));
        let v6 = |prefix: &str| ip(&format!("-6 route show {prefix}"));
        assert!(v6("2001:db8:3::/48").contains("dev v1"), "{}", v6("2001:db8:3::/48"));
        assert!(v6("2001:db8:5::/48").starts_with("prohibit"), "{}", v6("2001:db8:5::/48"));
        // The kernel chooses as it would forward.
        assert!(ip("route get 198.51.100.7").contains("172.31.0.9"));
        assert!(ip("route get 203.0.114.7").contains("fd00::2"));
    });
}

#[test]
fn failover_of_a_thousand_routes_is_one_object_write() {
    in_namespace(|| {
        sysctl("ipv4/nexthop_compat_mode", "0");
        let ground = two_links();
        let mut run = begin_run();
        let v4 = (0..1000).map(|n| route(&format!("10.{}.{}.0/24", 100 + n / 250, n % 250), 1));
        let v6 = (0..1000).map(|n| route(&format!("2001:db8:{n:x}::/48"), 2));
        // The second legs are in use elsewhere, as in life.
        let elsewhere = [route("192.0.2.0/24", 3), route("2001:db9::/48", 4)];
        run.delta(
            vec![object(1, ground.v4(0)), object(2, ground.v6(0)), object(3, ground.v4(1)), object(4, ground.v6(1))],
            v4.chain(v6).chain(elsewhere).collect(),
            true,
        );
        run.nothing_failed();
        let watch = Watch::new();
        run.delta(vec![object(1, ground.v4(1))], vec![], false);
        // The second leg is there already: the group is written, and the leg nobody uses any more removed.
        assert_eq!(watch.announced(), Announced { objects: 1, removed_objects: 1, ..Announced::default() });
        run.delta(vec![object(2, ground.v6(1))], vec![], false);
        let v6 = watch.announced();
        // IPv6 groups have their only leg for themselves: it is rewritten where it is.
        assert_eq!((v6.objects, v6.removed_objects, v6.removed_routes), (1, 0, 0), "{v6:?}");
        run.nothing_failed();
        assert!(ip("route get 10.101.7.7").contains("10.0.1.2"));
        assert!(ip("-6 route get 2001:db8:77::7").contains("fd01::2"));
        run.in_step();
        // Alone on a new leg, and from there to another: one write, of the leg.
        let by = |gateway: &str| {
            let gateway = Some(gateway.parse().expect("an address"));
            Forwarding::Legs([ResolvedLeg { gateway, ..ground.leg(0, ground.v4[0], 1) }].into_iter().collect())
        };
        run.delta(vec![object(1, by("10.0.0.8")), object(2, by("fd00::8"))], vec![], false);
        watch.announced();
        run.delta(vec![object(1, by("10.0.0.9")), object(2, by("fd00::9"))], vec![], false);
        assert_eq!(watch.announced(), Announced { objects: 2, ..Announced::default() });
        run.nothing_failed();
        assert!(ip("route get 10.101.7.7").contains("10.0.0.9"));
        assert!(ip("-6 route get 2001:db8:77::7").contains("fd00::9"));
        run.in_step();
    });
}

#[test]
fn foreign_routes_are_untouched() {
    in_namespace(|| {
        let ground = two_links();
        let foreign = "
            route add 192.0.2.0/24 via 10.0.0.9 metric 100
            route add 198.51.100.0/24 via 10.0.0.9 proto 186 metric 20
            route add blackhole 203.0.113.0/24 proto 179 metric 21
            -6 route add 2001:db8::/32 via fd00::9 metric 100
            nexthop add id 7 via 10.0.0.9 dev v0
            route add 100.64.0.0/10 nhid 7";
        ips(foreign);
        let show = || ip("route show") + &ip("-6 route show") + &ip("nexthop show id 7");
        let before = show();
        let mut run = begin_run();
        run.delta(
            vec![object(1, ground.v4(1)), object(2, ground.v6(1))],
            vec![route("192.0.2.0/24", 1), route("2001:db8::/32", 2)],
            true,
        );
        run.nothing_failed();
        assert!(ip("route get 192.0.2.7").contains("10.0.1.2"), "ours has the lower metric");
        run.delta(vec![], vec![gone("192.0.2.0/24"), gone("2001:db8::/32"), gone("198.51.100.0/24")], false);
        assert_eq!(run.sync.remove_all().expect("a kernel"), 0);
        assert_eq!(show(), before);
    });
}

#[test]
fn after_a_crash_nothing_equal_is_written_and_nothing_is_removed_that_is_wanted() {
    in_namespace(|| {
        let ground = two_links();
        let mut before = begin_run();
        let mut routes: Vec<FibRoute> = (0..250).map(|n| route(&format!("10.100.{n}.0/24"), 1)).collect();
        routes.extend((0..250).map(|n| route(&format!("10.101.{n}.0/24"), 2)));
        routes.extend((0..250).map(|n| route(&format!("2001:db8:{n:x}::/48"), 3)));
        routes.push(route("203.0.113.0/24", 4));
        routes.push(route("198.51.100.0/24", 1));
        let objects = |ids: [u32; 4]| {
            vec![
                object(ids[0], ground.v4(0)),
                object(ids[1], ground.both_v4()),
                object(ids[2], ground.both_v6()),
                object(ids[3], Forwarding::Discard(Discard::Blackhole)),
            ]
        };
        before.delta(objects([1, 2, 3, 4]), routes.clone(), true);
        before.nothing_failed();
        drop(before);

        let watch = Watch::new();
        let mut after = begin_run();
        // Numbered anew; the last route is no longer wanted; walked in two batches.
        let renumbered = |route: &FibRoute| {
            let number = [40, 30, 20, 10][route.next_hop.expect("a next hop").0 as usize - 1];
            FibRoute { next_hop: Some(rib::NextHopId(number)), ..*route }
        };
        let last = routes.len() - 1;
        let wanted: Vec<FibRoute> = routes[..last].iter().map(renumbered).collect();
        after.delta(objects([40, 30, 20, 10]), wanted[..300].to_vec(), false);
        after.delta(vec![], wanted[300..].to_vec(), false);
        assert_eq!(watch.announced(), Announced::default(), "adopted untouched");
        assert_eq!(after.view().counters.adopted as usize, last);
        after.delta(vec![], vec![], true);
        assert_eq!(watch.announced(), Announced { removed_routes: 1, ..Announced::default() });
        after.nothing_failed();
        after.in_step();
        // The adopted objects carry a failover.
        after.delta(vec![object(30, ground.v4(1))], vec![], false);
        assert!(ip("route get 10.101.7.7").contains("10.0.1.2"));
        after.in_step();
    });
}

#[test]
fn what_a_former_run_left_half_done_is_put_right() {
    in_namespace(|| {
        let ground = two_links();
        let mut before = begin_run();
        before.delta(
            vec![object(1, ground.v4(0)), object(2, ground.v4(1))],
            vec![route("192.0.2.0/24", 1), route("198.51.100.0/24", 2)],
            true,
        );
        drop(before);
        // Objects without a route, a route of ours without object, a route on the other's object.
        let group = 179u32 << 24 | 2;
        let leg = (179u32 << 24) + (1 << 23) + 77;
        ips(&format!(
            "nexthop add id {leg} via 10.0.0.77 dev v0 proto 179
             nexthop add id {} group {leg} proto 179
             route add 203.0.113.0/24 via 10.0.0.2 proto 179 metric 20
             route replace 198.51.100.0/24 nhid {group} proto 179 metric 20",
            (179u32 << 24) + 5000
        ));
        let mut after = begin_run();
        after.delta(
            vec![object(1, ground.v4(0)), object(2, ground.v4(1))],
            vec![route("192.0.2.0/24", 1), route("198.51.100.0/24", 2), route("203.0.113.0/24", 1)],
            true,
        );
        after.nothing_failed();
        after.in_step();
        let objects = ip("nexthop show");
        assert!(!objects.contains("10.0.0.77"), "{objects}");
        assert_eq!(objects.lines().count(), 4, "two groups of one leg each: {objects}");
        assert!(ip("route get 198.51.100.7").contains("10.0.1.2"));
        // The former plain route follows its object.
        after.delta(vec![object(1, ground.v4(1))], vec![], false);
        assert!(ip("route get 203.0.113.7").contains("10.0.1.2"));
    });
}

fn watched(backend: &KernelBackend, learn: bool) -> (HostEvents, monitor::MonitorHandle) {
    monitor::spawn(MonitorConfig { kernel: config(), learn, own_ports: backend.ports() }).expect("a monitor")
}

/// Hands host events to the machine as the daemon does, until `until` is satisfied.
fn carry(run: &mut Run, events: &mut HostEvents, what: &str, mut until: impl FnMut(&HostEvent) -> bool) {
    wait_for(what, || {
        let event = events.try_recv()?;
        match &event {
            HostEvent::Link(link) => run.handle(Input::Link { index: link.index, up: link.up }),
            HostEvent::LinkGone(index) => run.handle(Input::Link { index: *index, up: false }),
            HostEvent::Disturbed(prefix) => run.handle(Input::Disturbed(*prefix)),
            HostEvent::Synced => run.handle(Input::Resync),
            HostEvent::Address { .. } | HostEvent::Foreign { .. } => {}
        }
        until(&event).then_some(())
    });
}

fn synced(event: &HostEvent) -> bool {
    *event == HostEvent::Synced
}

#[test]
fn routes_return_with_their_link_and_with_every_leg() {
    for classic in [false, true] {
        in_namespace(move || {
            let ground = two_links();
            let backend = if classic { KernelBackend::open_classic(config()) } else { KernelBackend::open(config()) };
            let backend = backend.expect("the kernel");
            let (mut events, _monitor) = watched(&backend, false);
            let mut run = Run::of(Box::new(backend));
            carry(&mut run, &mut events, "the first dump", synced);
            run.delta(
                vec![
                    object(1, ground.v4(0)),
                    object(2, ground.both_v4()),
                    object(3, ground.v6(0)),
                    object(4, ground.both_v6()),
                ],
                vec![
                    route("192.0.2.0/24", 1),
                    route("198.51.100.0/24", 2),
                    route("2001:db8:1::/48", 3),
                    route("2001:db8:2::/48", 4),
                ],
                true,
            );
            run.nothing_failed();
            let before = ip("route show proto 179") + &ip("-6 route show proto 179");
            let v0 = ground.links[0];
            let went =
                |up: bool| move |event: &HostEvent| matches!(event, HostEvent::Link(l) if l.index == v0 && l.up == up);
            ip("link set v0 down");
            assert!(!ip("route show proto 179").contains("192.0.2.0/24"), "the kernel drops the route in silence");
            carry(&mut run, &mut events, "the link to fall", went(false));
            ip("link set v0 up");
            carry(&mut run, &mut events, "the link to come back", went(true));
            run.settle();
            assert_eq!(ip("route show proto 179") + &ip("-6 route show proto 179"), before, "classic: {classic}");
            run.in_step();
            // By carrier, not by hand; and both links at once, so that groups die too.
            ips("link set p0 down\nlink set p1 down");
            carry(&mut run, &mut events, "the carrier to go", went(false));
            ips("link set p1 up\nlink set p0 up");
            carry(&mut run, &mut events, "the carrier to come back", went(true));
            run.settle();
            assert_eq!(ip("route show proto 179") + &ip("-6 route show proto 179"), before, "classic: {classic}");
            run.in_step();
        });
    }
}

#[test]
fn what_others_do_to_our_routes_is_undone() {
    in_namespace(|| {
        let ground = two_links();
        let backend = kernel();
        let (mut events, _monitor) = watched(&backend, false);
        let mut run = Run::of(Box::new(backend));
        carry(&mut run, &mut events, "the first dump", synced);
        let routes = vec![route("192.0.2.0/24", 1), route("198.51.100.0/24", 1), route("2001:db8::/32", 2)];
        run.delta(vec![object(1, ground.v4(0)), object(2, ground.v6(0))], routes, true);
        let before = ip("route show proto 179") + &ip("-6 route show proto 179");
        let disturbed = |prefix: &'static str| move |event: &HostEvent| *event == HostEvent::Disturbed(net(prefix));

        ip("route del 192.0.2.0/24 proto 179 metric 20");
        carry(&mut run, &mut events, "word of the removal", disturbed("192.0.2.0/24"));
        run.settle();
        run.in_step();
        ip("route replace 192.0.2.0/24 via 10.0.1.9 proto 186 metric 20");
        carry(&mut run, &mut events, "word of the theft", disturbed("192.0.2.0/24"));
        run.settle();
        run.in_step();
        ip("-6 route del 2001:db8::/32 proto 179 metric 20");
        carry(&mut run, &mut events, "word of the IPv6 removal", disturbed("2001:db8::/32"));
        run.settle();
        run.in_step();
        ip("route add 203.0.113.0/24 via 10.0.0.9 proto 179 metric 20");
        carry(&mut run, &mut events, "word of a route in our name", disturbed("203.0.113.0/24"));
        run.settle();
        run.in_step();
        // An object takes its routes with it, and the kernel does not name them.
        let id = (179u32 << 24) + run.sync.number_of(rib::NextHopId(1)).expect("a number").0 * 2;
        ip(&format!("nexthop del id {id}"));
        carry(&mut run, &mut events, "a new dump", synced);
        run.settle();
        run.in_step();
        assert_eq!(ip("route show proto 179") + &ip("-6 route show proto 179"), before);
    });
}

#[test]
fn the_monitor_hears_the_host_and_not_our_own_echo() {
    in_namespace(|| {
        ips("link add v0 type veth peer name p0\nlink set p0 up\nlink set v0 up\naddr add 10.0.0.1/24 dev v0");
        ips("route add 192.0.2.0/24 via 10.0.0.9 proto 186 metric 50\nroute add default via 10.0.0.8");
        let v0 = index("v0");
        let mut backend = kernel();
        let (mut events, _monitor) = watched(&backend, true);
        let mut first = Vec::new();
        wait_for("the first dump", || {
            first.push(events.try_recv()?);
            (first.last() == Some(&HostEvent::Synced)).then_some(())
        });
        let address = |text: &str, present| HostEvent::Address { index: v0, address: net(text), present };
        assert!(first.contains(&address("10.0.0.1/24", true)), "{first:?}");
        assert!(first.iter().any(|e| matches!(e, HostEvent::Link(l) if l.name == "lo" && l.loopback && l.up)));
        assert!(
            first.iter().any(|e| matches!(e, HostEvent::Link(l) if l.name == "v0" && !l.loopback && l.mtu == 1500))
        );
        let foreign: Vec<_> = first
            .iter()
            .filter_map(|e| match e {
                HostEvent::Foreign { prefix, metric, route: Some(_) } => Some((*prefix, *metric)),
                _ => None,
            })
            .collect();
        assert_eq!(foreign, [(net("0.0.0.0/0"), 0), (net("192.0.2.0/24"), 50)]);

        let ground = Ground {
            links: [v0, v0],
            v4: ["10.0.0.2".parse().expect("addr"); 2],
            v6: ["::".parse().expect("addr"); 2],
        };
        let mut refused = Vec::new();
        backend.apply(&[object(1, ground.v4(0))], &[route("203.0.113.0/24", 1)], &[], &mut refused).expect("a kernel");
        backend.apply(&[], &[gone("203.0.113.0/24")], &[rib::NextHopId(1)], &mut refused).expect("a kernel");
        assert_eq!(refused, []);
        ip("addr add 10.0.0.5/24 dev v0");
        ip("route del 192.0.2.0/24 proto 186");
        ip("route add 198.51.100.0/24 proto 186 nexthop via 10.0.0.9 weight 2 nexthop via 10.0.0.10");
        ip("link del v0");
        let mut heard = Vec::new();
        wait_for("the link to go", || {
            heard.push(events.try_recv()?);
            (heard.last() == Some(&HostEvent::LinkGone(v0))).then_some(())
        });
        assert_eq!(heard[0], address("10.0.0.5/24", true), "nothing of our own before it: {heard:?}");
        assert_eq!(heard[1], HostEvent::Foreign { prefix: net("192.0.2.0/24"), metric: 50, route: None });
        let HostEvent::Foreign { route: Some(route), .. } = &heard[2] else { panic!("{heard:?}") };
        assert_eq!(route.next_hops.legs().len(), 2);
        assert!(!heard.iter().any(|e| matches!(e, HostEvent::Disturbed(_))), "{heard:?}");
    });
}

#[test]
fn events_that_the_kernel_had_to_drop_are_made_up_for() {
    in_namespace(|| {
        ips("link add v0 type veth peer name p0\nlink set p0 up\nlink set v0 up\naddr add 10.0.0.1/24 dev v0");
        let config = MonitorConfig { kernel: config(), learn: true, own_ports: Vec::new() };
        let (mut events, _monitor) = monitor::spawn(config).expect("a monitor");
        let mut host = HostTable::new(rib::AdminDistance(220));
        let mut dumps = 0;
        let mut take = |event: HostEvent| {
            dumps += u32::from(synced(&event));
            host.handle(event);
            dumps
        };
        wait_for("the first dump", || events.try_recv().is_some_and(|event| take(event) == 1).then_some(()));
        // Nobody reads meanwhile: first the channel fills, then the socket.
        let prefixes: Vec<String> =
            (0..60_000).map(|n| format!("100.{}.{}.{}/32", 64 + n / 62_500, n / 250 % 250, n % 250)).collect();
        let batch = |verb: &str, of: &[String]| {
            let lines: String = of.iter().map(|prefix| format!("route {verb} {prefix} via 10.0.0.9\n")).collect();
            let file = std::env::temp_dir().join(format!("anyhop-fib-{}-{verb}", std::process::id()));
            std::fs::write(&file, lines).expect("a file");
            ip(&format!("-batch {}", file.display()));
            std::fs::remove_file(file).expect("our file");
        };
        batch("add", &prefixes);
        batch("del", &prefixes[10..]);
        ip("addr add 192.0.2.53/32 dev lo");
        let mut foreign = std::collections::HashSet::new();
        wait_for("a second dump", || {
            while let Some(event) = events.try_recv() {
                match &event {
                    HostEvent::Foreign { prefix, route: Some(_), .. } => drop(foreign.insert(*prefix)),
                    HostEvent::Foreign { prefix, route: None, .. } => drop(foreign.remove(prefix)),
                    _ => {}
                }
                if take(event) == 2 {
                    return Some(());
                }
            }
            None
        });
        let mut left: Vec<_> = foreign.into_iter().collect();
        left.sort_unstable();
        assert_eq!(left, prefixes[..10].iter().map(|prefix| net(prefix)).collect::<Vec<_>>());
        assert!(host.is_local("192.0.2.53".parse().expect("an address")));
    });
}

#[test]
fn a_refused_next_hop_heals_when_its_link_gets_the_address() {
    in_namespace(|| {
        let ground = two_links();
        let mut run = begin_run();
        let strange =
            ResolvedLeg { gateway: Some("10.9.0.2".parse().expect("an address")), ..ground.leg(0, ground.v4[0], 1) };
        run.delta(
            vec![object(1, Forwarding::Legs([strange].into_iter().collect())), object(2, ground.v4(0))],
            vec![route("192.0.2.0/24", 1), route("198.51.100.0/24", 2)],
            true,
        );
        let progress = run.out.progress.remove(0);
        assert!(
            matches!(progress.failed[..], [(prefix, FibFault::Errno(_))] if prefix == net("192.0.2.0/24")),
            "{progress:?}"
        );
        assert!(ip("route get 198.51.100.7").contains("10.0.0.2"));
        ip("addr add 10.9.0.1/24 dev v0");
        run.settle();
        assert_eq!(run.out.progress.last().expect("progress").recovered, [net("192.0.2.0/24")]);
        run.in_step();
    });
}

#[test]
fn ipv6_by_an_ipv4_neighbor_is_refused_in_words() {
    in_namespace(|| {
        let ground = two_links();
        let mut refused = Vec::new();
        kernel().apply(&[object(1, ground.v4(0))], &[route("2001:db8::/32", 1)], &[], &mut refused).expect("a kernel");
        assert!(
            matches!(&refused[..], [Refusal::Route(_, FibFault::Unsupported(why))] if why.contains("IPv4 gateway")),
            "{refused:?}"
        );
    });
}

#[test]
fn addresses_come_and_go() {
    in_namespace(|| {
        let mut control = KernelAddresses::open().expect("netlink");
        for addr in ["192.0.2.53", "2001:db8::53"] {
            let addr: IpAddr = addr.parse().expect("an address");
            assert_eq!(control.add("lo", addr), Ok(true));
            // It bears our mark: an earlier run that was killed left it, and it is ours to remove.
            assert_eq!(control.add("lo", addr), Ok(true));
            assert!(ip("addr show dev lo").contains(&format!("{addr}/{}", if addr.is_ipv4() { 32 } else { 128 })));
            assert!(!ip("addr show dev lo").contains("tentative"));
            UdpSocket::bind(SocketAddr::new(addr, 0)).expect("usable at once");
            assert_eq!(control.remove("lo", addr), Ok(true));
            assert_eq!(control.remove("lo", addr), Ok(false));
            ip(&format!("addr add {addr} dev lo"));
            assert_eq!(control.add("lo", addr), Ok(false), "an administrator's address is not ours");
        }
        let error = control.add("nowhere0", "192.0.2.53".parse().expect("an address")).expect_err("no such link");
        assert!(error.contains("192.0.2.53") && error.contains("there is no interface nowhere0"), "{error}");
        assert!(control.add("a name that is too long", "192.0.2.53".parse().expect("an address")).is_err());
    });
}

const WITHOUT_PRIVILEGE: &str = "ANYHOP_TEST_WITHOUT_PRIVILEGE";

/// The part that runs without the privilege; started by the test below.
#[test]
#[ignore = "started by without_privilege_the_error_says_what_to_do"]
fn without_privilege_inner() {
    if std::env::var_os(WITHOUT_PRIVILEGE).is_none() {
        println!("skipped: without_privilege_the_error_says_what_to_do starts it");
        return;
    }
    let Err(BackendError::Privilege(words)) = KernelBackend::open(config()) else { panic!("no privilege was needed") };
    assert!(words.contains("CAP_NET_ADMIN") && words.contains("fib.backends"), "{words}");
    let mut control = KernelAddresses::open().expect("reading needs no privilege");
    let error = control.add("lo", "192.0.2.53".parse().expect("an address")).expect_err("no privilege");
    assert!(error.contains("CAP_NET_ADMIN") && error.contains("192.0.2.53"), "{error}");
    let config = MonitorConfig { kernel: config(), learn: true, own_ports: Vec::new() };
    let (mut events, _monitor) = monitor::spawn(config).expect("watching needs no privilege");
    wait_for("the first dump", || synced(&events.try_recv()?).then_some(()));
}

#[test]
fn without_privilege_the_error_says_what_to_do() {
    in_namespace(|| {
        let this = std::env::current_exe().expect("this test");
        let output = std::process::Command::new("setpriv")
            .args(["--bounding-set=-net_admin", "--inh-caps=-all"])
            .arg(this)
            .env(WITHOUT_PRIVILEGE, "1")
            .args(["--exact", "without_privilege_inner", "--ignored", "--nocapture"])
            .output()
            .expect("setpriv of util-linux");
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed") && !text.contains("skipped:"), "{text}");
    });
}

#[test]
fn the_thread_writes_answers_questions_and_cleans_up() {
    in_namespace(|| {
        let ground = two_links();
        let (tell, told) = mpsc::channel();
        let backend = thread::spawn(Box::new(kernel()), BackendId(3), move |progress| {
            tell.send(progress).expect("the test listens");
        })
        .expect("a thread");
        let delta = FibDelta {
            next_hops: vec![object(1, ground.v4(0)), object(2, Forwarding::Local)],
            routes: vec![route("192.0.2.0/24", 1), route("192.0.2.53/32", 2)],
            unused: vec![],
            walk_done: true,
            through: 42,
        };
        backend.offer(delta).expect("room");
        let progress = told.recv_timeout(Duration::from_secs(5)).expect("progress");
        assert_eq!((progress.backend, progress.through), (BackendId(3), 42));
        assert_eq!(progress.failed, [(net("192.0.2.53/32"), FibFault::NotLocal)]);
        backend.local_address("192.0.2.53".parse().expect("an address"), true);
        let progress = told.recv_timeout(Duration::from_secs(5)).expect("progress");
        assert_eq!(progress.recovered, [net("192.0.2.53/32")]);

        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let view = backend.view().await.expect("a view");
            assert_eq!((view.name, view.installed, view.failed), ("kernel", 2, 0));
            assert!(view.latency.batches == 1 && !view.latency.last.is_zero());
            ip("route del 192.0.2.0/24 proto 179 metric 20");
            assert_eq!(backend.diff(10).await.expect("a diff").len(), 1);
            backend.resync();
            assert_eq!(backend.diff(10).await.expect("a diff"), []);
            assert_eq!(backend.stop(OnStop::Remove).await, Ok(1));
            assert!(backend.view().await.is_none());
            assert!(backend.diff(1).await.expect_err("stopped").contains("stopped"));
        });
        assert_eq!(ip("route show proto 179") + &ip("nexthop show"), "");
        assert!(matches!(backend.offer(FibDelta::default()), Err(thread::Refused::Stopped)));
    });
}

#[test]
fn kept_routes_outlive_a_clean_stop() {
    in_namespace(|| {
        let ground = two_links();
        let (tell, told) = mpsc::channel();
        let backend = thread::spawn(Box::new(kernel()), BackendId(0), move |progress| {
            let _ = tell.send(progress);
        })
        .expect("a thread");
        let (next_hops, routes) = (vec![object(1, ground.v4(0))], vec![route("192.0.2.0/24", 1)]);
        backend.offer(FibDelta { next_hops, routes, walk_done: true, through: 1, unused: vec![] }).expect("room");
        told.recv_timeout(Duration::from_secs(5)).expect("progress");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        assert_eq!(runtime.block_on(backend.stop(OnStop::Keep)), Ok(0));
        assert!(ip("route show proto 179").contains("192.0.2.0/24"));
    });
}

/// A neighbor of the namespace under test, in a namespace and on a thread of its own: reached by `link`, with an address that
/// only a route leads to. Answers every datagram.
fn echo_host(link: &str, own: &'static str, far: &'static str, back: &'static str) -> mpsc::Sender<()> {
    let (path, known) = mpsc::channel();
    let (wired, go) = mpsc::channel::<()>();
    let (stop, stopped) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        let (pid, thread) = (std::process::id(), nix::unistd::gettid());
        path.send(format!("/proc/{pid}/task/{thread}/ns/net")).expect("the test waits");
        go.recv().expect("the test wires us");
        ips(&format!(
            "link set lo up
             link set far up
             {own}
             {far}
             {back}"
        ));
        let socket = UdpSocket::bind("[::]:7").expect("port 7");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let mut buf = [0; 64];
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            if let Ok((got, from)) = socket.recv_from(&mut buf) {
                let _ = socket.send_to(&buf[..got], from);
            }
        }
    });
    let path = known.recv().expect("a namespace");
    ip(&format!("link add name {link} type veth peer name far netns {path}"));
    ip(&format!("link set {link} up"));
    wired.send(()).expect("the neighbor waits");
    carrier(link);
    stop
}

/// Waits for the other end: next hops over a link without carrier are refused.
fn carrier(link: &str) {
    wait_for("the carrier", || ip(&format!("-o link show dev {link}")).contains("LOWER_UP").then_some(()));
}

fn answers(to: &str) -> bool {
    let to: SocketAddr = to.parse().expect("an address");
    let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(from).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let mut buf = [0; 64];
    socket.send_to(b"hello", to).is_ok() && socket.recv(&mut buf).is_ok_and(|got| &buf[..got] == b"hello")
}

#[test]
fn packets_follow_the_routes() {
    in_namespace(|| {
        let first = echo_host(
            "left",
            "addr add 10.1.0.2/24 dev far",
            "addr add 192.0.2.7/32 dev lo",
            "route add default via 10.1.0.1",
        );
        let second = echo_host(
            "right",
            "-6 addr add fd02::2/64 dev far nodad",
            "-6 addr add 2001:db8:7::7/128 dev lo nodad",
            "-6 route add default via fd02::1",
        );
        ips("addr add 10.1.0.1/24 dev left\n-6 addr add fd02::1/64 dev right nodad");
        assert!(!answers("192.0.2.7:7") && !answers("[2001:db8:7::7]:7"));
        let leg = |link: &str, gateway: &str| {
            let gateway = Some(gateway.parse().expect("an address"));
            let leg = ResolvedLeg { interface: index(link), gateway, onlink: false, weight: 1 };
            Forwarding::Legs([leg].into_iter().collect())
        };
        let mut run = begin_run();
        run.delta(
            vec![object(1, leg("left", "10.1.0.2")), object(2, leg("right", "fd02::2"))],
            vec![route("192.0.2.0/24", 1), route("2001:db8:7::/48", 2)],
            true,
        );
        run.nothing_failed();
        wait_for("an IPv4 answer", || answers("192.0.2.7:7").then_some(()));
        wait_for("an IPv6 answer", || answers("[2001:db8:7::7]:7").then_some(()));
        // Withdrawn is unreachable at once.
        run.delta(vec![], vec![gone("192.0.2.0/24")], false);
        assert!(!answers("192.0.2.7:7"));
        run.delta(vec![object(1, Forwarding::Discard(Discard::Blackhole))], vec![route("192.0.2.0/24", 1)], false);
        assert!(!answers("192.0.2.7:7"));
        run.delta(vec![object(1, leg("left", "10.1.0.2"))], vec![], false);
        wait_for("an IPv4 answer again", || answers("192.0.2.7:7").then_some(()));
        drop((first, second));
    });
}

#[test]
fn packets_are_forwarded_between_others() {
    in_namespace(|| {
        sysctl("ipv4/ip_forward", "1");
        let server = echo_host(
            "right",
            "addr add 10.2.0.2/24 dev far",
            "addr add 192.0.2.7/32 dev lo",
            "route add default via 10.2.0.1",
        );
        ip("addr add 10.2.0.1/24 dev right");
        // The client's namespace, on another thread, knows only its way to us.
        let (path, known) = mpsc::channel();
        let (wired, go) = mpsc::channel::<()>();
        let client = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            path.send(format!("/proc/{}/task/{}/ns/net", std::process::id(), nix::unistd::gettid())).expect("the test");
            go.recv().expect("wired");
            ips("link set client up\naddr add 10.3.0.2/24 dev client\nroute add default via 10.3.0.1");
            go.recv().expect("routed");
            wait_for("an answer through the router", || answers("192.0.2.7:7").then_some(()));
        });
        ip(&format!("link add name left type veth peer name client netns {}", known.recv().expect("a namespace")));
        ips("addr add 10.3.0.1/24 dev left\nlink set left up");
        wired.send(()).expect("the client waits");
        let mut run = begin_run();
        carrier("left");
        let gateway = Some("10.2.0.2".parse().expect("an address"));
        let leg = ResolvedLeg { interface: index("right"), gateway, onlink: false, weight: 1 };
        run.delta(vec![object(1, Forwarding::Legs([leg].into_iter().collect()))], vec![route("192.0.2.0/24", 1)], true);
        run.nothing_failed();
        wired.send(()).expect("the client waits");
        client.join().expect("forwarded");
        drop(server);
    });
}

/// Processor time of this process and of the kernel on its behalf, in seconds: on a busy machine the fairer measure.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    let after_name = stat.rsplit(')').next().expect("a name in brackets");
    let ticks = |n: usize| after_name.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).expect("ticks");
    (ticks(11) + ticks(12)) / 100.0
}

/// A full table: a million IPv4 routes and 200,000 IPv6 ones. Needs half a gigabyte and a quarter of a minute; prints what it took.
#[test]
#[ignore = "half a gigabyte of routes; run by tests/run --full"]
#[allow(clippy::disallowed_methods)] // It measures.
fn a_full_table_enters_moves_at_once_and_is_adopted_untouched() {
    in_namespace(|| {
        sysctl("ipv4/nexthop_compat_mode", "0");
        let ground = two_links();
        let mut rng = fastrand::Rng::with_seed(7);
        let mut seen = std::collections::HashSet::new();
        let mut routes = Vec::new();
        while routes.len() < 1_000_000 {
            // Lengths as on the Internet, in thousandths up to each.
            const LENGTHS: [(u32, u8); 9] =
                [(14, 16), (22, 17), (36, 18), (61, 19), (106, 20), (158, 21), (268, 22), (368, 23), (1000, 24)];
            let chance = rng.u32(..1000);
            let length = LENGTHS.iter().find(|(until, _)| chance < *until).expect("a thousandth").1;
            let addr = rng.u32(1 << 24..0xdf << 24);
            let prefix = ipnet::Ipv4Net::new(addr.into(), length).expect("a length").trunc();
            if !prefix.network().is_loopback() && seen.insert(prefix) {
                routes.push(FibRoute { prefix: prefix.into(), next_hop: Some(rib::NextHopId(1)) });
            }
        }
        for n in 0..200_000u128 {
            let addr = (0x2001u128 << 112) | (n << 80);
            let prefix = ipnet::Ipv6Net::new(addr.into(), 48).expect("a length");
            routes.push(FibRoute { prefix: prefix.into(), next_hop: Some(rib::NextHopId(2)) });
        }
        rng.shuffle(&mut routes);
        let fill = |run: &mut Run, ids: [u32; 2]| {
            run.delta(vec![object(ids[0], ground.v4(0)), object(ids[1], ground.v6(0))], vec![], false);
            for batch in routes.chunks(65_536) {
                let numbered = |route: &FibRoute| {
                    let id = ids[route.next_hop.expect("a next hop").0 as usize - 1];
                    FibRoute { next_hop: Some(rib::NextHopId(id)), ..*route }
                };
                run.delta(vec![], batch.iter().map(numbered).collect(), false);
            }
            run.delta(vec![], vec![], true);
            run.work();
            run.nothing_failed();
        };
        let mut run = begin_run();
        let (begin, spent) = (Instant::now(), processor());
        fill(&mut run, [1, 2]);
        let took = begin.elapsed();
        println!(
            "filled: {took:?}, {:.0} routes/s, {:.2} s of processor",
            routes.len() as f64 / took.as_secs_f64(),
            processor() - spent
        );
        let view = run.view();
        assert_eq!(view.installed, routes.len());
        assert!(view.mirror_octets / routes.len() <= 40, "{} octets a route", view.mirror_octets / routes.len());
        for (what, object) in [("IPv4", object(1, ground.v4(1))), ("IPv6", object(2, ground.v6(1)))] {
            let (begin, spent) = (Instant::now(), processor());
            run.delta(vec![object], vec![], false);
            println!("failover of all {what} routes: {:?}, {:.2} s of processor", begin.elapsed(), processor() - spent);
        }
        run.delta(vec![object(1, ground.v4(0)), object(2, ground.v6(0))], vec![], false);
        let (begin, spent) = (Instant::now(), processor());
        run.in_step();
        println!("diff: {:?}, {:.2} s of processor", begin.elapsed(), processor() - spent);
        drop(run);
        let mut run = begin_run();
        let (begin, spent) = (Instant::now(), processor());
        fill(&mut run, [20, 10]);
        println!("adopted: {:?}, {:.2} s of processor", begin.elapsed(), processor() - spent);
        let counters = run.view().counters;
        assert_eq!((counters.adopted as usize, counters.routes, counters.swept), (routes.len(), 0, 0));
        let (begin, spent) = (Instant::now(), processor());
        assert_eq!(run.sync.remove_all().expect("a kernel"), routes.len());
        println!("removed: {:?}, {:.2} s of processor", begin.elapsed(), processor() - spent);
        assert_eq!(ip("nexthop show"), "");
    });
}
