//! The agent in a DPDK process: the suite of all data planes on it, and what is its own: capacity, its restart, hostile octets,
//! readers against a writer.

#![allow(clippy::disallowed_methods, reason = "processes live in real time")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use anyhop_tests::fib::namespace::{in_namespace, ip, two_links};
use anyhop_tests::fib::router::{built, eal};
use anyhop_tests::fib::{Ground, Router, Run, Subject, conformance, gone, held, net, object, route, suite, wait_for};
use fib_sync::backend::{FibBackend, Refusal};
use fib_sync::dpdk::{Bundled, DpdkBackend, DpdkConfig};
use fib_sync::thread::{self, OnStop};
use ipnet::IpNet;
use rib::{BackendId, FibDelta, FibFault, FibRoute, Forwarding, NextHopId};

fn socket(dir: &Path) -> PathBuf {
    dir.join("dpdk.sock")
}

fn open(router: &Router) -> DpdkBackend {
    let config = DpdkConfig { socket: router.socket().to_path_buf(), bundled: None };
    DpdkBackend::open(config).expect("neighbors can be followed")
}

/// A link whose IPv4 gateways take IPv6 too: the agent only wants a MAC address.
struct Plane {
    router: Router,
    ground: Ground,
}

impl Subject for Plane {
    fn open(&mut self) -> Box<dyn FibBackend> {
        Box::new(open(&self.router))
    }

    fn ground(&self) -> Ground {
        self.ground
    }

    fn steal(&mut self, prefix: IpNet) -> Option<bool> {
        // A second client, as somebody with the wrong tool would be.
        let mut thief = UnixStream::connect(self.router.socket()).expect("the agent");
        let (family, addr) = match prefix {
            IpNet::V4(net) => (2, net.network().octets().to_vec()),
            IpNet::V6(net) => (10, net.network().octets().to_vec()),
        };
        const DEL_ROUTE: u16 = 25;
        const REQUEST_ACK: u16 = 5;
        let mut message = Vec::new();
        message.extend(((16 + 12 + 4 + addr.len()) as u32).to_ne_bytes());
        message.extend(DEL_ROUTE.to_ne_bytes());
        message.extend(REQUEST_ACK.to_ne_bytes());
        message.extend(77u32.to_ne_bytes());
        message.extend([0; 4]);
        message.extend([family, prefix.prefix_len(), 0, 0, 254, 0, 0, 0, 0, 0, 0, 0]);
        message.extend(((4 + addr.len()) as u16).to_ne_bytes());
        message.extend(1u16.to_ne_bytes());
        message.extend(addr);
        let mut frame = vec![1, 1];
        frame.extend(((message.len() + 4) as u16).to_be_bytes());
        frame.extend(message);
        thief.write_all(&frame).expect("the agent");
        // A greeting of 4 + 172 octets, then an answer whose error follows the heads of frame and message.
        let mut answer = [0; 176 + 4 + 16 + 4];
        thief.read_exact(&mut answer).expect("the agent answers");
        let error = i32::from_ne_bytes(*answer[196..].first_chunk().expect("four octets"));
        Some(error == 0)
    }

    fn wipe(&mut self) -> bool {
        self.router.restart();
        true
    }
}

/// Runs `test` with an agent in a namespace of its own.
fn with_agent(name: &str, test: impl FnOnce(Router, Ground) + Send + 'static) {
    let Some(built) = built(name) else { return };
    in_namespace(move || {
        let dir = tempfile::tempdir().expect("a directory");
        let ground = two_links();
        test(Router::tables(&built, socket(dir.path())), ground);
    });
}

#[test]
fn the_dpdk_agent_conforms() {
    with_agent("the_dpdk_agent_conforms", |router, ground| conformance(&mut open_read(&router), ground));
}

/// A backend that is connected, as the machine's first dump leaves it.
fn open_read(router: &Router) -> DpdkBackend {
    let mut backend = open(router);
    backend.dump(&mut |_| {}).expect("the agent");
    backend
}

#[test]
fn the_dpdk_agent_lives_through_the_suite() {
    with_agent("the_dpdk_agent_lives_through_the_suite", |router, ground| {
        let rounds = if std::env::var_os("ANYHOP_FULL").is_some() { 100 } else { 12 };
        suite(&mut Plane { router, ground }, 1, rounds);
    });
}

#[test]
fn a_full_agent_refuses_what_has_no_room_and_keeps_the_rest() {
    let name = "a_full_agent_refuses_what_has_no_room_and_keeps_the_rest";
    let Some(built) = built(name) else { return };
    in_namespace(move || {
        let dir = tempfile::tempdir().expect("a directory");
        let ground = two_links();
        let room = "--routes4 100 --routes6 1000 --groups4 64 --groups6 64 --next-hops 4 --neighbors 16";
        let router = Router::start(&built, socket(dir.path()), room.split(' ').map(str::to_owned).collect());
        let mut backend = open_read(&router);
        assert_eq!(backend.capacity().routes, Some(1100));
        let apply = |backend: &mut DpdkBackend, ops: &[rib::NextHopOp], routes: &[FibRoute]| {
            let mut refused = Vec::new();
            backend.apply(ops, routes, &[], &mut refused).expect("the agent");
            refused
        };
        // Routes: the bound of the table.
        let many: Vec<FibRoute> = (0..150).map(|n| route(&format!("100.64.{n}.0/24"), 1)).collect();
        let refused = apply(&mut backend, &[object(1, ground.v4(0)), object(2, ground.v6(0))], &many);
        assert_eq!(refused.len(), 50);
        assert!(refused.iter().all(|one| matches!(one, Refusal::Route(_, FibFault::CapacityExceeded))), "{refused:?}");
        assert_eq!(held(&mut backend).len(), 100);
        // What goes makes room, however often: rte_fib's own account of its groups would be full after a few rounds.
        for round in 0..100 {
            let turn: Vec<FibRoute> = (0..10).map(|n| route(&format!("3000:{:x}::/48", round * 16 + n), 2)).collect();
            let all: Vec<FibRoute> = turn.iter().map(|route| FibRoute { next_hop: None, ..*route }).collect();
            assert_eq!(apply(&mut backend, &[], &turn), [], "round {round}");
            assert_eq!(apply(&mut backend, &[], &all), [], "round {round}");
        }
        // Groups of entries: the first takes three, each other one two, of 64.
        let deep: Vec<FibRoute> = (0..40).map(|n| route(&format!("2001:{n:x}::/48"), 2)).collect();
        let refused = apply(&mut backend, &[], &deep);
        assert_eq!(refused.len(), 40 - (64 - 1) / 2);
        assert!(refused.iter().all(|one| matches!(one, Refusal::Route(_, FibFault::CapacityExceeded))), "{refused:?}");
        assert_eq!(held(&mut backend).len(), 100 + 40 - refused.len());
        // From a full agent anything can go, and what waited takes its place.
        let mut all: Vec<FibRoute> = deep.iter().map(|route| FibRoute { next_hop: None, ..*route }).collect();
        all.reverse();
        assert_eq!(apply(&mut backend, &[], &all), []);
        assert_eq!(apply(&mut backend, &[], &deep[31..]), []);
        assert_eq!(held(&mut backend).len(), 100 + 9);
        // Next hops: two more objects, not three.
        let refused =
            apply(&mut backend, &[object(3, ground.v4(1)), object(4, ground.v6(1)), object(5, ground.v4(1))], &[]);
        assert_eq!(refused, [Refusal::NextHop(NextHopId(5), FibFault::CapacityExceeded)]);
        let refused = apply(&mut backend, &[], &[route("100.64.0.0/24", 5)]);
        assert_eq!(refused, [Refusal::Route(net("100.64.0.0/24"), FibFault::CapacityExceeded)]);
        apply(&mut backend, &[], &[gone("100.64.1.0/24")]);
        assert_eq!(apply(&mut backend, &[], &[route("100.64.140.0/24", 1)]), []);
    });
}

#[test]
fn a_full_agent_lets_everything_go_and_change() {
    let Some(built) = built("a_full_agent_lets_everything_go_and_change") else { return };
    in_namespace(move || {
        let dir = tempfile::tempdir().expect("a directory");
        let ground = two_links();
        let room = "--routes4 1000 --routes6 1000 --groups4 64 --groups6 64 --next-hops 8 --neighbors 16";
        let router = Router::start(&built, socket(dir.path()), room.split(' ').map(str::to_owned).collect());
        let mut backend = open_read(&router);
        let objects =
            [object(1, ground.v4(0)), object(2, ground.v4(1)), object(3, ground.v6(0)), object(4, ground.v6(1))];
        let mut refused = Vec::new();
        backend.apply(&objects, &[], &[], &mut refused).expect("the agent");
        let mut write = |routes: &[FibRoute]| {
            let mut refused = Vec::new();
            backend.apply(&[], routes, &[], &mut refused).expect("the agent");
            let prefix = |one: &Refusal| match one {
                Refusal::Route(prefix, FibFault::CapacityExceeded) => *prefix,
                other => panic!("{other:?}"),
            };
            (refused.iter().map(prefix).collect::<Vec<IpNet>>(), held(&mut backend))
        };
        // Both halves of a /24 by the same way need no group in rte_fib, one of them alone does. Of IPv6 each /48 and the /56
        // in it need four, of which two to three are their own.
        let halves = |half: u32, id| (0..80).map(move |n| route(&format!("100.64.{n}.{}/25", half * 128), id));
        let nested =
            |n: u32, id| [route(&format!("2001:{n:x}::/48"), id), route(&format!("2001:{n:x}:0:100::/56"), id)];
        let mut rng = fastrand::Rng::with_seed(4);
        for round in 0..6 {
            let (first, second) = if round % 2 == 0 { (1, 2) } else { (2, 1) };
            let mut all: Vec<FibRoute> = halves(0, first).chain(halves(1, first)).collect();
            all.extend((0..40).flat_map(|n| nested(n, first + 2)));
            let (without_room, table) = write(&all);
            let left_out = |six: bool| without_room.iter().filter(|prefix| prefix.addr().is_ipv6() == six).count();
            assert_eq!(
                (left_out(false), table.len()),
                (2 * (80 - 63), all.len() - without_room.len()),
                "round {round}"
            );
            assert!(left_out(true) > 20, "round {round}");
            let mut standing: Vec<IpNet> = table.into_keys().collect();
            standing.sort_unstable();
            if round % 2 == 1 {
                // Each second one takes another way, so that no neighbors are equal any more.
                let other = |prefix: &IpNet| if prefix.addr().is_ipv6() { second + 2 } else { second };
                let change = |prefix: &IpNet| route(&prefix.to_string(), other(prefix));
                let changed: Vec<FibRoute> = standing.iter().step_by(2).map(change).collect();
                assert_eq!(write(&changed).0, [], "round {round}: a change is refused");
            }
            // They leave in any order.
            rng.shuffle(&mut standing);
            for some in standing.chunks(7) {
                let some: Vec<FibRoute> = some.iter().map(|prefix| gone(&prefix.to_string())).collect();
                assert_eq!(write(&some).0, [], "round {round}: a removal is refused");
            }
            // What had no room has it now.
            let waiting: Vec<FibRoute> = all.iter().filter(|one| without_room.contains(&one.prefix)).copied().collect();
            let (refused, table) = write(&waiting);
            assert!(refused.iter().all(|prefix| prefix.addr().is_ipv6()), "round {round}: {refused:?}");
            assert_eq!(table.len(), waiting.len() - refused.len());
            let all: Vec<FibRoute> = table.keys().map(|prefix| gone(&prefix.to_string())).collect();
            assert_eq!(write(&all), (vec![], Default::default()), "round {round}");
        }
    });
}

#[test]
fn an_agent_that_starts_late_or_anew_is_told_everything_by_itself() {
    with_agent("an_agent_that_starts_late_or_anew_is_told_everything_by_itself", |mut router, ground| {
        router.kill();
        let (tell, told) = mpsc::channel();
        let backend = Box::new(open(&router));
        let plane = thread::spawn(backend, BackendId(0), move |progress| drop(tell.send(progress))).expect("a thread");
        let routes: Vec<FibRoute> = (0..200).map(|n| route(&format!("100.64.{n}.0/24"), 1)).collect();
        let delta = FibDelta {
            next_hops: vec![object(1, ground.both_v4())],
            routes,
            walk_done: true,
            through: 7,
            ..FibDelta::default()
        };
        assert!(plane.offer(delta).is_ok());
        router.restart();
        let progress = told.recv_timeout(Duration::from_secs(20)).expect("the agent is found");
        assert_eq!((progress.through, progress.failed), (7, vec![]));
        let table = |router: &Router| held(&mut open_read(router));
        assert_eq!(table(&router).len(), 200);
        // Nobody writes: that it has gone is seen by its silence.
        router.restart();
        wait_for("all routes in the new agent", || (table(&router).len() == 200).then_some(()));
        assert_eq!(table(&router)[&net("100.64.7.0/24")], ground.both_v4());
        let stopped = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        assert_eq!(stopped.block_on(plane.stop(OnStop::Remove)), Ok(200));
        assert!(table(&router).is_empty());
    });
}

#[test]
fn our_own_address_goes_to_the_host_whatever_the_rib_says() {
    with_agent("our_own_address_goes_to_the_host_whatever_the_rib_says", |router, ground| {
        let mut run = Run::of(Box::new(open(&router)));
        let host = "192.0.2.53/32";
        run.delta(
            vec![object(1, ground.v4(0)), object(2, ground.v4(1))],
            vec![route(host, 1), route("192.0.2.0/24", 2)],
            true,
        );
        run.work();
        let seen = |router: &Router| held(&mut open_read(router)).remove(&net(host));
        assert_eq!(seen(&router), Some(ground.v4(0)));
        let address = |present| fib_sync::sync::Input::LocalAddress { addr: net(host).addr(), present };
        run.handle(address(true));
        assert_eq!(seen(&router), None, "a stranger sees no route of the RIB there, but the way to the host");
        run.in_step();
        run.delta(vec![], vec![route(host, 2)], false);
        run.work();
        run.nothing_failed();
        assert_eq!(seen(&router), None, "still the host's");
        run.handle(address(false));
        assert_eq!(seen(&router), Some(ground.v4(1)), "as the RIB said meanwhile");
        run.in_step();
        // A crash leaves the way to the host; the next run, which has no such address, removes it.
        run.handle(address(true));
        drop(run);
        let mut next = Run::of(Box::new(open(&router)));
        next.delta(vec![object(1, ground.v4(1))], vec![route("192.0.2.0/24", 1)], true);
        next.work();
        assert_eq!(held(&mut open_read(&router)).len(), 1);
        next.in_step();
    });
}

#[test]
fn a_bundled_router_is_started_and_ends_with_us_unless_it_is_kept() {
    let name = "a_bundled_router_is_started_and_ends_with_us_unless_it_is_kept";
    let Some(built) = built(name) else { return };
    in_namespace(move || {
        let dir = tempfile::tempdir().expect("a directory");
        ip("link add v0 type veth peer name v1");
        let args = "--routes4 100 --routes6 100 --groups6 64 --next-hops 16 --neighbors 16";
        let bundled = |keep| Bundled {
            program: Some(built.join("anyhop-dpdk")),
            eal: eal(384),
            args: args.split(' ').map(str::to_owned).collect(),
            keep,
        };
        let config = |keep| DpdkConfig { socket: dir.path().join("run/dpdk.sock"), bundled: Some(bundled(keep)) };
        let mut backend = DpdkBackend::open(config(false)).expect("neighbors");
        backend.dump(&mut |_| {}).expect("a router that was started");
        assert_eq!(backend.facts().counters.first(), Some(&("forwarded-ipv4", 0)));
        drop(backend);
        assert!(UnixStream::connect(&config(false).socket).is_err(), "it ended");
        let mut broken = config(false);
        broken.bundled.as_mut().expect("bundled").program = Some("/nonexistent/anyhop-dpdk".into());
        let why = DpdkBackend::open(broken).expect("neighbors").dump(&mut |_| {}).unwrap_err().to_string();
        assert!(why.contains("/nonexistent/anyhop-dpdk") && why.contains("libdpdk-dev"), "{why}");
        let mut backend = DpdkBackend::open(config(true)).expect("neighbors");
        backend.dump(&mut |_| {}).expect("a router that was started");
        drop(backend);
        let (first, ended) = (peer(&config(false).socket), || UnixStream::connect(&config(false).socket).is_err());
        // As after a crash: a run that finds the router of an earlier one ends it as its own.
        let mut kept = DpdkBackend::open(config(true)).expect("neighbors");
        kept.dump(&mut |_| {}).expect("the same router");
        drop(kept);
        assert_eq!(peer(&config(false).socket), first, "it is kept");
        let mut adopted = DpdkBackend::open(config(false)).expect("neighbors");
        adopted.dump(&mut |_| {}).expect("the same router");
        assert_eq!(peer(&config(false).socket), first, "no second one was started");
        drop(adopted);
        wait_for("it to end", || ended().then_some(()));
        // One that somebody else has started is not ours to end.
        let room = args.split(' ').map(str::to_owned).collect();
        let router = Router::start(&built, config(false).socket, room);
        let mut backend = DpdkBackend::open(config(false)).expect("neighbors");
        backend.dump(&mut |_| {}).expect("the other's router");
        drop(backend);
        assert!(!ended(), "it is another's");
        drop(router);
    });
}

/// The process at the other end.
fn peer(socket: &Path) -> nix::unistd::Pid {
    let stream = UnixStream::connect(socket).expect("somebody listens");
    let who = nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::PeerCredentials).expect("credentials");
    nix::unistd::Pid::from_raw(who.pid())
}

#[test]
fn readers_meet_no_half_written_state_and_hostile_octets_no_crash() {
    let Some(built) = built("readers_meet_no_half_written_state_and_hostile_octets_no_crash") else { return };
    let mut churn = Command::new(built.join("churn"));
    let mut eal = eal(1024);
    // A reader beside the writer.
    *eal.last_mut().expect("lcores") = "0,1".into();
    let output = churn.args(eal).output().expect("the test program of the agent");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if said.contains("needs two lcores") || said.contains("lcore 1 unavailable") {
        eprintln!("\n*** skipped: a reader beside a writer needs two processors ***\n");
        return;
    }
    assert!(output.status.success() && said.contains(" 0 wrong"), "{said}");
    assert!(said.contains("3000 hostile frames survived"), "{said}");
}

#[test]
fn a_discard_becomes_a_way_and_back_without_a_gap_in_the_books() {
    with_agent("a_discard_becomes_a_way_and_back_without_a_gap_in_the_books", |router, ground| {
        let mut run = Run::of(Box::new(open(&router)));
        let discard = Forwarding::Discard(rib::Discard::Unreachable);
        run.delta(vec![object(1, discard.clone())], vec![route("192.0.2.0/24", 1), route("::/0", 1)], true);
        for forwarding in [ground.both_v6(), discard.clone(), ground.v6(1), discard] {
            run.delta(vec![object(1, forwarding.clone())], vec![], false);
            run.work();
            run.nothing_failed();
            run.in_step();
            assert_eq!(held(&mut open_read(&router)).values().collect::<Vec<_>>(), [&forwarding, &forwarding]);
        }
    });
}
