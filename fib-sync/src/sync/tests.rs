//! A RIB speaks, a scripted plane answers, and the machine keeps the two equal.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rib::{
    BackendId, Discard, FibDelta, FibFault, FibProgress, FibRoute, Forwarding, IfIndex, NextHopId, NextHopOp,
    ResolvedLeg,
};
use smallvec::smallvec;

use super::{Input, LOAD_ROUTES, Outbox, Phase, Sync};
use crate::memory::{MemoryBackend, Plane};

const ETH0: u32 = 2;
const ETH1: u32 = 3;

/// The machine, its plane, and a clock that only the test moves.
struct Bench {
    sync: Sync,
    plane: Plane,
    now: Instant,
    through: u64,
    out: Outbox,
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// `2:10.0.0.7 3:10.0.1.7`, `blackhole`, `local`.
fn forwarding(text: &str) -> Forwarding {
    match text {
        "blackhole" => Forwarding::Discard(Discard::Blackhole),
        "local" => Forwarding::Local,
        legs => Forwarding::Legs(
            legs.split(' ')
                .map(|leg| {
                    let (interface, gateway) = leg.split_once(':').unwrap();
                    let gateway: IpAddr = gateway.parse().unwrap();
                    let interface = IfIndex(interface.parse().unwrap());
                    ResolvedLeg { interface, gateway: Some(gateway), onlink: false, weight: 1 }
                })
                .collect(),
        ),
    }
}

impl Bench {
    #[allow(clippy::disallowed_methods)] // An Instant has no other origin; from here on the test moves the time.
    fn over(plane: Plane) -> Self {
        let sync = Sync::new(BackendId(0), Box::new(MemoryBackend::new(plane.clone())));
        Self { sync, plane, now: Instant::now(), through: 0, out: Outbox::default() }
    }

    fn new() -> Self {
        Self::over(Plane::new())
    }

    fn handle(&mut self, input: Input) -> &mut Self {
        self.sync.handle(self.now, input, &mut self.out);
        self
    }

    fn delta(&mut self, objects: &[(u32, &str)], routes: &[(&str, u32)], walk_done: bool) -> &mut Self {
        self.through += 1;
        let next_hops = objects.iter().map(|(id, f)| NextHopOp { id: NextHopId(*id), forwarding: Some(forwarding(f)) });
        let routes = routes
            .iter()
            .map(|(prefix, id)| FibRoute { prefix: net(prefix), next_hop: (*id != 0).then_some(NextHopId(*id)) });
        self.handle(Input::Delta(FibDelta {
            next_hops: next_hops.collect(),
            routes: routes.collect(),
            unused: Vec::new(),
            walk_done,
            through: self.through,
        }))
    }

    fn told(&mut self) -> Vec<FibProgress> {
        std::mem::take(&mut self.out.progress)
    }

    /// The only progress since the last look.
    fn progress(&mut self) -> FibProgress {
        let mut told = self.told();
        assert_eq!(told.len(), 1, "{told:?}");
        told.remove(0)
    }

    /// Lets time pass, ticking whenever the machine wants.
    fn pass(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        for _ in 0..100_000 {
            if self.sync.has_work() {
                self.handle(Input::Tick);
            } else if let Some(due) = self.sync.deadline().filter(|due| *due <= end) {
                self.now = self.now.max(due);
                self.handle(Input::Tick);
            } else {
                self.now = end;
                return self;
            }
        }
        panic!("the machine does not come to rest");
    }

    fn holds(&self, prefix: &str, as_: &str) -> bool {
        self.plane.routes().contains(&(net(prefix), forwarding(as_)))
    }

    fn in_step(&mut self) -> bool {
        self.sync.diff(10).unwrap().is_empty()
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_the_rib_tells_is_in_force_when_it_is_acknowledged() {
    let mut b = Bench::new();
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1), ("2001:db8::/32", 1)], true);
    let progress = b.progress();
    assert_eq!((progress.through, progress.failed, progress.recovered), (1, vec![], vec![]));
    assert!(b.holds("192.0.2.0/24", "2:10.0.0.7") && b.holds("2001:db8::/32", "2:10.0.0.7"));
    b.delta(&[], &[("192.0.2.0/24", 0)], false);
    assert_eq!(b.progress().through, 2);
    assert_eq!(b.plane.routes().len(), 1);
    assert!(b.in_step());
}

/// Batches that waited together come as one, in which a prefix may stand several times.
#[test]
fn of_a_prefix_that_stands_twice_in_a_batch_the_last_word_is_written_once() {
    let mut b = Bench::new();
    b.delta(&[(1, "2:10.0.0.7"), (2, "3:10.0.1.7")], &[("192.0.2.0/24", 1), ("198.51.100.0/24", 1)], true);
    let before = b.plane.written();
    let routes = [("192.0.2.0/24", 0), ("198.51.100.0/24", 2), ("192.0.2.0/24", 2), ("198.51.100.0/24", 0)];
    b.delta(&[], &routes, false);
    let written = b.plane.written();
    assert_eq!((written.routes - before.routes, written.removals - before.removals), (1, 1));
    assert!(b.holds("192.0.2.0/24", "3:10.0.1.7") && b.in_step());
    assert_eq!(b.plane.routes().len(), 1);
}

#[test]
fn a_route_that_is_taken_back_and_given_again_within_a_load_is_never_gone() {
    let mut b = Bench::new();
    b.delta(&[(1, "2:10.0.0.7"), (2, "3:10.0.1.7")], &[("192.0.2.0/24", 1), ("198.51.100.0/24", 1)], true);
    let load: Vec<String> = (0..LOAD_ROUTES + 10).map(|n| format!("10.{}.{}.0/24", n >> 8, n & 255)).collect();
    let mut routes = vec![("192.0.2.0/24", 0), ("198.51.100.0/24", 0)];
    routes.extend(load.iter().map(|prefix| (prefix.as_str(), 1)));
    routes.push(("192.0.2.0/24", 2));
    b.delta(&[], &routes, false);
    assert!(b.holds("192.0.2.0/24", "2:10.0.0.7"), "as before until its turn comes");
    b.pass(SECOND);
    assert!(b.holds("192.0.2.0/24", "3:10.0.1.7") && b.in_step());
    assert_eq!(b.plane.routes().len(), load.len() + 1);
}

#[test]
fn a_failed_next_hop_is_one_write_however_many_routes_use_it() {
    let mut b = Bench::new();
    let routes: Vec<String> = (0..200).map(|n| format!("10.{n}.0.0/16")).collect();
    let routes: Vec<(&str, u32)> = routes.iter().map(|prefix| (prefix.as_str(), 1)).collect();
    b.delta(&[(1, "2:10.0.0.7")], &routes, true);
    let before = b.plane.written();
    b.delta(&[(1, "3:10.0.1.7")], &[], false);
    let after = b.plane.written();
    assert_eq!((after.routes, after.next_hops), (before.routes, before.next_hops + 1));
    assert!(b.holds("10.77.0.0/16", "3:10.0.1.7"));
}

#[test]
fn a_repeated_route_is_not_written_again() {
    let mut b = Bench::new();
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], true);
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], false);
    assert_eq!(b.plane.written().routes, 1);
    assert_eq!(b.told().last().unwrap().through, 2);
}

#[test]
fn a_refused_route_is_tried_again_with_growing_pauses_and_its_recovery_is_told() {
    let mut b = Bench::new();
    b.plane.refuse(net("192.0.2.0/24"), FibFault::Errno(101), 4);
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1), ("198.51.100.0/24", 1)], true);
    let progress = b.progress();
    assert_eq!(progress.failed, [(net("192.0.2.0/24"), FibFault::Errno(101))]);
    assert!(b.holds("198.51.100.0/24", "2:10.0.0.7"), "the others of the batch go on");
    // 100, 200, 400 ms: refused again, which is no news.
    b.pass(Duration::from_millis(750));
    assert!(b.told().is_empty());
    assert_eq!(b.sync.view().counters.retries, 3);
    assert_eq!(b.sync.view().failed, 1);
    b.pass(Duration::from_millis(800));
    assert_eq!(b.progress().recovered, [net("192.0.2.0/24")]);
    assert!(b.in_step());
    assert_eq!(b.sync.deadline(), None);
}

#[test]
fn a_refused_route_that_the_rib_withdraws_is_forgotten() {
    let mut b = Bench::new();
    b.plane.refuse(net("192.0.2.0/24"), FibFault::Errno(101), 100);
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], true);
    b.told();
    b.delta(&[], &[("192.0.2.0/24", 0)], false);
    assert_eq!(b.progress().failed, []);
    b.pass(60 * SECOND);
    assert_eq!(b.sync.view().counters.retries, 0);
    assert_eq!(b.sync.view().failed, 0);
}

#[test]
fn a_refused_next_hop_fails_every_route_on_it_until_it_is_taken() {
    let mut b = Bench::new();
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1), ("198.51.100.0/24", 1)], true);
    b.told();
    b.plane.refuse_next_hops(FibFault::Errno(113), 2);
    b.delta(&[(1, "3:10.0.1.7")], &[], false);
    let mut failed = b.progress().failed;
    failed.sort_by_key(|(prefix, _)| *prefix);
    assert_eq!(failed, [net("192.0.2.0/24"), net("198.51.100.0/24")].map(|p| (p, FibFault::Errno(113))));
    assert_eq!(b.sync.view().failed, 2);
    b.pass(SECOND);
    let mut recovered = b.progress().recovered;
    recovered.sort_unstable();
    assert_eq!(recovered, [net("192.0.2.0/24"), net("198.51.100.0/24")]);
    assert!(b.holds("192.0.2.0/24", "3:10.0.1.7"));
    assert!(b.in_step());
}

#[test]
fn new_routes_whose_next_hop_is_refused_follow_when_it_is_taken() {
    let mut b = Bench::new();
    b.plane.refuse_next_hops(FibFault::Errno(113), 1);
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], true);
    assert_eq!(b.progress().failed.len(), 1);
    b.pass(SECOND);
    assert_eq!(b.progress().recovered, [net("192.0.2.0/24")]);
    assert!(b.in_step());
}

#[test]
fn after_a_crash_equal_routes_are_adopted_untouched_and_the_rest_is_swept() {
    let plane = Plane::new();
    let mut before = Bench::over(plane.clone());
    before.delta(
        &[(1, "2:10.0.0.7"), (2, "3:10.0.1.7")],
        &[("192.0.2.0/24", 1), ("198.51.100.0/24", 1), ("203.0.113.0/24", 2), ("2001:db8::/32", 2)],
        true,
    );
    drop(before);
    let written = plane.written();
    // The new RIB numbers its objects otherwise, and one route is gone, one has moved.
    let mut after = Bench::over(plane.clone());
    after.delta(&[(77, "3:10.0.1.7")], &[("203.0.113.0/24", 77)], false);
    after.delta(&[(5, "2:10.0.0.7")], &[("192.0.2.0/24", 5), ("2001:db8::/32", 5)], false);
    assert_eq!(plane.routes().len(), 4, "nothing is removed before the walk ends");
    after.delta(&[], &[], true);
    let view = after.sync.view();
    assert_eq!((view.counters.adopted, view.counters.swept), (2, 1));
    assert_eq!(plane.written().routes, written.routes + 1, "only the moved one is written");
    assert_eq!(plane.written().next_hops, written.next_hops);
    assert_eq!(plane.routes().len(), 3);
    assert!(after.in_step());
    // The adopted object is the one that a later failover writes.
    after.delta(&[(77, "2:10.0.0.9")], &[], false);
    assert!(after.holds("203.0.113.0/24", "2:10.0.0.9"));
    assert!(after.in_step());
}

#[test]
fn two_equal_next_hops_of_the_run_before_stay_apart() {
    let plane = Plane::new();
    let mut before = Bench::over(plane.clone());
    // Two BGP next hops that resolve alike today and may part tomorrow.
    before.delta(&[(1, "2:10.0.0.7"), (2, "2:10.0.0.7")], &[("192.0.2.0/24", 1), ("198.51.100.0/24", 2)], true);
    drop(before);
    let written = plane.written();
    let mut after = Bench::over(plane.clone());
    let objects = [(8, "2:10.0.0.7"), (9, "2:10.0.0.7")];
    after.delta(&objects, &[("198.51.100.0/24", 8), ("192.0.2.0/24", 9)], true);
    assert_eq!(plane.written(), written);
    after.delta(&[(8, "3:10.0.1.7")], &[], false);
    assert!(after.holds("198.51.100.0/24", "3:10.0.1.7") && after.holds("192.0.2.0/24", "2:10.0.0.7"));
}

#[test]
fn a_full_plane_refuses_some_and_takes_them_when_routes_leave() {
    let mut b = Bench::new();
    b.plane.set_capacity(Some(3));
    let routes: Vec<String> = (0..5).map(|n| format!("10.{n}.0.0/16")).collect();
    let told: Vec<(&str, u32)> = routes.iter().map(|prefix| (prefix.as_str(), 1)).collect();
    b.delta(&[(1, "2:10.0.0.7")], &told, true);
    let failed = b.progress().failed;
    assert_eq!(failed.len(), 2);
    assert!(failed.iter().all(|(_, fault)| *fault == FibFault::CapacityExceeded));
    // While it is full, probes grow rare and change nothing.
    b.pass(300 * SECOND);
    assert!(b.told().is_empty());
    assert!(b.sync.view().counters.retries < 60, "{}", b.sync.view().counters.retries);
    b.delta(&[], &[("10.0.0.0/16", 0)], false);
    b.told();
    b.pass(SECOND);
    assert_eq!(b.progress().recovered.len(), 1);
    assert_eq!(b.plane.routes().len(), 3);
    b.plane.set_capacity(None);
    b.pass(60 * SECOND);
    assert_eq!(b.progress().recovered.len(), 1);
    assert!(b.in_step());
}

#[test]
fn many_refused_for_capacity_enter_quickly_once_there_is_room() {
    let mut b = Bench::new();
    b.plane.set_capacity(Some(10));
    let routes: Vec<String> = (0..5000).map(|n| format!("10.{}.{}.0/24", n / 250, n % 250)).collect();
    let told: Vec<(&str, u32)> = routes.iter().map(|prefix| (prefix.as_str(), 1)).collect();
    b.delta(&[(1, "2:10.0.0.7")], &told, true);
    assert_eq!(b.progress().failed.len(), 4990);
    b.pass(100 * SECOND);
    b.plane.set_capacity(None);
    b.pass(30 * SECOND);
    assert_eq!(b.plane.routes().len(), 5000);
    assert_eq!(b.told().iter().map(|p| p.recovered.len()).sum::<usize>(), 4990);
}

#[test]
fn what_others_remove_is_restored() {
    let mut b = Bench::new();
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], true);
    b.plane.forget(net("192.0.2.0/24"));
    assert_eq!(b.sync.diff(10).unwrap().len(), 1);
    b.handle(Input::Disturbed(net("192.0.2.0/24")));
    b.pass(SECOND);
    assert!(b.in_step());
    assert_eq!(b.sync.view().counters.disturbed, 1);
}

#[test]
fn a_flood_of_disturbances_ends_in_one_reading() {
    let mut b = Bench::new();
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], true);
    b.plane.forget(net("192.0.2.0/24"));
    for n in 0..20_000u32 {
        b.handle(Input::Disturbed(net(&format!("10.{}.{}.0/24", n / 256, n % 256))));
    }
    b.pass(SECOND);
    assert!(b.in_step());
    assert!(b.sync.view().counters.dumps < 10);
}

#[test]
fn a_route_that_was_found_and_then_disturbed_is_not_taken_for_good() {
    let plane = Plane::new();
    let mut before = Bench::over(plane.clone());
    before.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], true);
    drop(before);
    let mut after = Bench::over(plane.clone());
    after.handle(Input::Tick);
    plane.forget(net("192.0.2.0/24"));
    after.handle(Input::Disturbed(net("192.0.2.0/24")));
    after.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], true);
    assert!(after.holds("192.0.2.0/24", "2:10.0.0.7"));
    assert!(after.in_step());
}

#[test]
fn a_connection_lost_in_the_middle_of_a_batch_is_made_good_before_it_is_acknowledged() {
    let mut b = Bench::new();
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], true);
    b.told();
    b.plane.break_after(1);
    let moved = [("192.0.2.0/24", 0), ("198.51.100.0/24", 1), ("203.0.113.0/24", 1)];
    b.delta(&[], &moved, false);
    assert!(b.told().is_empty(), "nothing is acknowledged that is not known to be in force");
    assert!(matches!(b.sync.view().phase, Phase::Away(_)));
    b.pass(SECOND);
    assert_eq!(b.progress().through, 2);
    assert!(b.in_step());
    assert_eq!(b.plane.routes().len(), 2);
}

#[test]
fn while_the_plane_is_away_the_rib_goes_on_and_the_plane_catches_up_with_the_last_word() {
    let mut b = Bench::new();
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1), ("198.51.100.0/24", 1)], true);
    b.plane.set_down(true);
    b.told();
    for n in 0..100 {
        b.delta(&[(1, if n % 2 == 0 { "3:10.0.1.7" } else { "2:10.0.0.7" })], &[("203.0.113.0/24", 1)], false);
    }
    b.delta(&[], &[("198.51.100.0/24", 0)], false);
    b.pass(10 * SECOND);
    assert!(b.told().is_empty());
    b.plane.wipe();
    b.plane.set_down(false);
    let written = b.plane.written().routes;
    b.pass(40 * SECOND);
    assert_eq!(b.progress().through, 102);
    assert!(b.plane.written().routes - written <= 2, "one write per route, not per change");
    assert!(b.holds("203.0.113.0/24", "2:10.0.0.7") && b.holds("192.0.2.0/24", "2:10.0.0.7"));
    assert!(b.in_step());
}

#[test]
fn a_plane_that_is_away_from_the_start_gets_everything_when_it_comes() {
    let plane = Plane::new();
    plane.set_down(true);
    let mut b = Bench::over(plane);
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], true);
    assert!(b.told().is_empty());
    b.plane.set_down(false);
    b.pass(SECOND);
    assert_eq!(b.progress().through, 1);
    assert!(b.in_step());
}

#[test]
fn resync_repairs_what_nobody_told_of() {
    let mut b = Bench::new();
    let routes: Vec<String> = (0..20_000).map(|n| format!("10.{}.{}.0/24", n / 250, n % 250)).collect();
    let told: Vec<(&str, u32)> = routes.iter().map(|prefix| (prefix.as_str(), 1)).collect();
    b.delta(&[(1, "2:10.0.0.7")], &told, true);
    b.plane.wipe();
    b.handle(Input::Resync);
    b.pass(SECOND);
    assert_eq!(b.plane.routes().len(), 20_000);
    assert!(b.in_step());
}

#[test]
fn a_new_walk_of_the_rib_sweeps_what_it_does_not_name() {
    let mut b = Bench::new();
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1), ("198.51.100.0/24", 1)], true);
    let written = b.plane.written().routes;
    b.handle(Input::Rewalk);
    assert_eq!(b.plane.routes().len(), 2);
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], true);
    assert_eq!(b.plane.routes().len(), 1);
    assert_eq!(b.plane.written().routes, written);
    assert!(b.in_step());
}

#[test]
fn a_local_route_is_acknowledged_when_its_address_is_there_and_fails_when_it_goes() {
    let mut b = Bench::new();
    let (vip, addr) = (net("192.0.2.53/32"), "192.0.2.53".parse().unwrap());
    b.delta(&[(1, "local")], &[("192.0.2.53/32", 1)], true);
    assert_eq!(b.progress().failed, [(vip, FibFault::NotLocal)]);
    b.pass(100 * SECOND);
    assert!(b.told().is_empty());
    b.handle(Input::LocalAddress { addr, present: true });
    assert_eq!(b.progress().recovered, [vip]);
    assert!(b.plane.routes().is_empty(), "nothing is written for it");
    assert!(b.in_step());
    b.handle(Input::LocalAddress { addr, present: false });
    assert_eq!(b.progress().failed, [(vip, FibFault::NotLocal)]);
}

#[test]
fn a_vip_that_moves_between_here_and_elsewhere_leaves_no_trace() {
    let mut b = Bench::new();
    let addr = "192.0.2.53".parse().unwrap();
    b.handle(Input::LocalAddress { addr, present: true });
    b.delta(&[(1, "local"), (2, "2:10.0.0.7")], &[("192.0.2.53/32", 2)], true);
    assert!(b.holds("192.0.2.53/32", "2:10.0.0.7"));
    b.delta(&[], &[("192.0.2.53/32", 1)], false);
    assert!(b.plane.routes().is_empty());
    b.delta(&[], &[("192.0.2.53/32", 2)], false);
    assert!(b.holds("192.0.2.53/32", "2:10.0.0.7"));
    assert!(b.told().iter().all(|progress| progress.failed.is_empty()));
}

#[test]
fn an_unused_object_leaves_the_plane_and_its_number_serves_again() {
    let mut b = Bench::new();
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], true);
    for n in 2..50 {
        b.through += 1;
        let through = b.through;
        b.handle(Input::Delta(FibDelta {
            next_hops: vec![NextHopOp { id: NextHopId(n), forwarding: Some(forwarding("3:10.0.1.7")) }],
            routes: vec![FibRoute { prefix: net("192.0.2.0/24"), next_hop: Some(NextHopId(n)) }],
            unused: vec![NextHopId(n - 1)],
            walk_done: false,
            through,
        }));
        assert_eq!(b.plane.next_hops(), 1);
        assert!(b.sync.number_of(NextHopId(n)).unwrap().0 <= 2);
    }
    assert!(b.in_step());
}

#[test]
fn a_clean_stop_removes_what_is_ours() {
    let mut b = Bench::new();
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1), ("2001:db8::/32", 1)], true);
    assert_eq!(b.sync.remove_all().unwrap(), 2);
    assert!(b.plane.routes().is_empty());
    assert_eq!(b.plane.next_hops(), 0);
}

/// A plane that loses objects with their link, as the kernel does.
mod lossy {
    use rib::FibRoute;

    use super::*;
    use crate::backend::{BackendError, Capacity, FibBackend, Installed, Refusal};

    pub(super) struct Lossy {
        pub(super) inner: MemoryBackend,
        pub(super) carries: bool,
    }

    impl FibBackend for Lossy {
        fn name(&self) -> &'static str {
            "lossy"
        }

        fn capacity(&self) -> Capacity {
            self.inner.capacity()
        }

        fn apply(
            &mut self,
            next_hops: &[NextHopOp],
            routes: &[FibRoute],
            unused: &[NextHopId],
            refused: &mut Vec<Refusal>,
        ) -> Result<(), BackendError> {
            self.inner.apply(next_hops, routes, unused, refused)
        }

        fn dump(&mut self, each: &mut dyn FnMut(Installed)) -> Result<(), BackendError> {
            self.inner.dump(each)
        }

        fn local_address(&mut self, addr: IpAddr, present: bool) {
            self.inner.local_address(addr, present);
        }

        fn carries(&self, _: &Forwarding, _: &Forwarding) -> bool {
            self.carries
        }

        fn link(&mut self, index: IfIndex, up: bool, lost: &mut Vec<NextHopId>) {
            if up {
                return;
            }
            let mut routes = Vec::new();
            let on =
                |f: &Forwarding| matches!(f, Forwarding::Legs(legs) if legs.iter().all(|leg| leg.interface == index));
            self.inner
                .dump(&mut |installed| {
                    if on(&installed.forwarding) {
                        routes.push(FibRoute { prefix: installed.prefix, next_hop: None });
                        lost.extend(installed.next_hop);
                    }
                })
                .unwrap();
            self.inner.apply(&[], &routes, &[], &mut Vec::new()).unwrap();
            lost.sort_unstable();
            lost.dedup();
        }
    }
}

#[test]
fn routes_lost_with_a_link_return_with_it_and_others_are_left_alone() {
    let mut b = Bench::new();
    let inner = MemoryBackend::new(b.plane.clone());
    b.sync = Sync::new(BackendId(0), Box::new(lossy::Lossy { inner, carries: true }));
    b.delta(
        &[(1, "2:10.0.0.7"), (2, "3:10.0.1.7"), (3, "2:10.0.0.7 3:10.0.1.7")],
        &[("192.0.2.0/24", 1), ("198.51.100.0/24", 2), ("203.0.113.0/24", 3)],
        true,
    );
    b.handle(Input::Link { index: IfIndex(ETH0), up: false });
    assert_eq!(b.plane.routes().len(), 2);
    assert_eq!(b.sync.view().pending, 1);
    let written = b.plane.written().routes;
    b.handle(Input::Link { index: IfIndex(ETH0), up: true });
    b.pass(SECOND);
    assert_eq!(b.plane.written().routes, written + 1);
    assert!(b.in_step());
    assert_eq!(b.sync.view().pending, 0);
}

#[test]
fn routes_lost_with_a_link_follow_when_the_rib_moves_their_next_hop() {
    let mut b = Bench::new();
    let inner = MemoryBackend::new(b.plane.clone());
    b.sync = Sync::new(BackendId(0), Box::new(lossy::Lossy { inner, carries: true }));
    b.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1)], true);
    b.handle(Input::Link { index: IfIndex(ETH0), up: false });
    assert!(b.plane.routes().is_empty());
    b.delta(&[(1, "3:10.0.1.7")], &[], false);
    assert!(b.holds("192.0.2.0/24", "3:10.0.1.7"));
    b.handle(Input::Link { index: IfIndex(ETH1), up: true });
    b.pass(SECOND);
    assert!(b.in_step());
}

#[test]
fn a_plane_without_objects_gets_the_routes_again_when_their_next_hop_changes() {
    let mut b = Bench::new();
    let inner = MemoryBackend::new(b.plane.clone());
    b.sync = Sync::new(BackendId(0), Box::new(lossy::Lossy { inner, carries: false }));
    b.delta(&[(1, "2:10.0.0.7"), (2, "blackhole")], &[("192.0.2.0/24", 1), ("198.51.100.0/24", 2)], true);
    let written = b.plane.written().routes;
    b.delta(&[(1, "3:10.0.1.7")], &[], false);
    assert_eq!(b.plane.written().routes, written + 1);
    assert!(b.holds("192.0.2.0/24", "3:10.0.1.7"));
}

fn note(progress: &FibProgress, failed: &mut std::collections::HashSet<IpNet>) {
    failed.extend(progress.failed.iter().map(|(prefix, _)| *prefix));
    progress.recovered.iter().for_each(|prefix| {
        failed.remove(prefix);
    });
}

#[test]
fn chance_never_parts_the_plane_from_the_rib() {
    for seed in 0..300 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut b = Bench::new();
        let mut wanted = std::collections::HashMap::<IpNet, u32>::new();
        let mut failed = std::collections::HashSet::new();
        b.delta(&[], &[], true);
        for _ in 0..300 {
            b.told().iter().for_each(|progress| note(progress, &mut failed));
            let prefix = format!("10.{}.0.0/16", rng.u8(..24));
            match rng.u8(..12) {
                0 => b.plane.refuse(net(&prefix), FibFault::Errno(101), rng.u32(1..4)),
                1 => b.plane.break_after(rng.u32(..3)),
                2 => {
                    b.plane.forget(net(&prefix));
                    b.handle(Input::Disturbed(net(&prefix)));
                }
                3 => b.plane.set_capacity(rng.bool().then(|| rng.usize(1..20))),
                4 => b.plane.refuse_next_hops(FibFault::Errno(113), 1),
                5 => {
                    b.handle(Input::Resync);
                }
                6 => b.plane.set_down(rng.u8(..4) == 0),
                7 => {
                    b.pass(Duration::from_millis(rng.u64(1..500)));
                }
                _ => {
                    let id = rng.u32(..5);
                    if id == 0 {
                        wanted.remove(&net(&prefix));
                    } else {
                        wanted.insert(net(&prefix), id);
                    }
                    // To the RIB a changed prefix is pending anew.
                    failed.remove(&net(&prefix));
                    let leg = format!("{}:10.0.0.{}", rng.u8(2..5), rng.u8(1..5));
                    b.delta(&[(id.max(1), &leg)], &[(&prefix, id)], false);
                }
            }
        }
        b.plane.set_down(false);
        b.plane.set_capacity(None);
        b.pass(200 * SECOND);
        let view = b.sync.view();
        assert_eq!((view.failed, view.pending), (0, 0), "seed {seed}");
        assert_eq!(b.sync.diff(10).unwrap(), [], "seed {seed}");
        assert_eq!(b.plane.routes().len(), wanted.len(), "seed {seed}");
        // By what was told, every prefix ends as installed.
        b.told().iter().for_each(|progress| note(progress, &mut failed));
        failed.retain(|prefix| wanted.contains_key(prefix));
        assert!(failed.is_empty(), "seed {seed}: {failed:?}");
    }
}

#[test]
fn unknown_next_hops_are_refused_and_not_invented() {
    let mut b = Bench::new();
    b.delta(&[], &[("192.0.2.0/24", 9)], true);
    assert!(matches!(b.progress().failed[..], [(_, FibFault::Unsupported(_))]));
    let legs = Forwarding::Legs(smallvec![]);
    b.through += 1;
    let through = b.through;
    let op = NextHopOp { id: NextHopId(9), forwarding: Some(legs) };
    let route = FibRoute { prefix: net("192.0.2.0/24"), next_hop: Some(NextHopId(9)) };
    b.handle(Input::Delta(FibDelta { next_hops: vec![op], routes: vec![route], through, ..FibDelta::default() }));
    assert_eq!(b.progress().failed.len(), 1);
    assert!(b.plane.routes().is_empty());
}

/// Found by the simulator: the object left with its last told route, and took along a route of the earlier run that the RIB named
/// only then; nobody wrote it again.
#[test]
fn an_object_stays_while_a_route_of_the_earlier_run_hangs_on_it() {
    let mut before = Bench::new();
    before.delta(&[(1, "2:10.0.0.7")], &[("192.0.2.0/24", 1), ("198.51.100.0/24", 1), ("203.0.113.0/24", 1)], true);
    let mut b = Bench::over(before.plane.clone());
    b.delta(&[(9, "2:10.0.0.7")], &[("192.0.2.0/24", 9)], false);
    let through = b.through + 1;
    b.through = through;
    b.handle(Input::Delta(FibDelta {
        routes: vec![FibRoute { prefix: net("192.0.2.0/24"), next_hop: None }],
        unused: vec![NextHopId(9)],
        through,
        ..FibDelta::default()
    }));
    assert!(b.holds("198.51.100.0/24", "2:10.0.0.7"), "not named yet, so it still forwards");
    b.delta(&[(9, "2:10.0.0.7")], &[("198.51.100.0/24", 9)], false);
    assert!(b.holds("198.51.100.0/24", "2:10.0.0.7"));
    b.delta(&[], &[], true);
    assert_eq!(b.plane.routes(), [(net("198.51.100.0/24"), forwarding("2:10.0.0.7"))], "the rest is swept");
    assert!(b.in_step());
    assert_eq!(b.plane.next_hops(), 1);
}
