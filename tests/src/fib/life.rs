//! The life of a data plane under the machine: each scene is lived through on the real thing, and judged by its dump.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use fib_sync::backend::FibBackend;
use fib_sync::sync::{Input, Phase};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rib::{Discard, FibDelta, FibFault, FibRoute, Forwarding, NextHopId, NextHopOp};

use super::{Ground, Run, Tamper, Tampered, conformance, held, net, object, route};

/// Errors a kernel gives for reasons that pass.
const PASSING: [i32; 4] = [libc::ENOBUFS, libc::EINVAL, libc::ENETUNREACH, libc::EEXIST];

/// A data plane that outlives its owners, as the suite sees it.
pub trait Subject {
    /// A new owner of the same plane; the one before has been dropped without a word, as by a crash.
    fn open(&mut self) -> Box<dyn FibBackend>;

    /// Links and neighbors to forward by.
    fn ground(&self) -> Ground;

    /// Somebody else removes this route of ours, and nobody tells the machine; whether it was there. `None` if nobody else can touch
    /// this plane.
    fn steal(&mut self, prefix: IpNet) -> Option<bool>;

    /// The plane takes at most this many routes of ours from now on. False if it has no bound of its own; the suite then puts one in
    /// between.
    fn bound(&mut self, routes: Option<usize>) -> bool {
        let _ = routes;
        false
    }

    /// The plane loses everything, as by a restart of its own. False if it cannot.
    fn wipe(&mut self) -> bool {
        false
    }
}

/// Everything a backend must pass, on a plane that holds nothing of ours; it holds nothing after. `rounds` of the random
/// part begin at `seed`; a failure names its round's seed.
///
/// # Panics
/// At the first thing that is not as it must be.
pub fn suite(subject: &mut dyn Subject, seed: u64, rounds: u64) {
    let ground = subject.ground();
    conformance(&mut *subject.open(), ground);
    for round in 0..rounds {
        random_churn_equals_a_model(subject, seed + round);
        empty(subject);
    }
    for scene in [
        a_crash_leaves_everything_and_the_next_run_writes_nothing,
        a_batch_that_breaks_is_made_good,
        passing_refusals_converge,
        drift_is_seen_and_repaired,
        a_full_plane_says_so_and_fills_up_when_there_is_room,
        a_plane_away_costs_one_write_per_changed_prefix,
        a_plane_that_lost_everything_is_filled_again,
    ] {
        scene(subject);
        empty(subject);
    }
}

fn empty(subject: &mut dyn Subject) {
    let mut run = Run::of(subject.open());
    run.work();
    run.sync.remove_all().expect("a writable data plane");
    drop(run);
    assert!(held(&mut *subject.open()).is_empty(), "a clean stop leaves nothing");
}

fn nth(n: u32) -> IpNet {
    if n.is_multiple_of(3) {
        Ipv6Net::new_assert((0x2001_0db8_u128 << 96 | u128::from(n) << 80).into(), 48).into()
    } else {
        Ipv4Net::new_assert((100 << 24 | n << 8).into(), 24).into()
    }
}

/// Objects 1 and 2 are for IPv4 and IPv6.
fn two_objects(ground: Ground) -> Vec<NextHopOp> {
    vec![object(1, ground.v4(0)), object(2, ground.v6(0))]
}

fn on_two(prefix: IpNet) -> FibRoute {
    FibRoute { prefix, next_hop: Some(NextHopId(if prefix.addr().is_ipv4() { 1 } else { 2 })) }
}

fn many(from: u32, to: u32) -> Vec<FibRoute> {
    (from..to).map(|n| on_two(nth(n))).collect()
}

fn removed(prefixes: impl IntoIterator<Item = IpNet>) -> Vec<FibRoute> {
    prefixes.into_iter().map(|prefix| FibRoute { prefix, next_hop: None }).collect()
}

/// What a RIB would hold: routes by object, objects by number.
#[derive(Default)]
struct Model {
    routes: BTreeMap<IpNet, NextHopId>,
    objects: BTreeMap<NextHopId, Forwarding>,
    next: u32,
}

impl Model {
    fn meanings(&self) -> BTreeMap<IpNet, Forwarding> {
        self.routes.iter().map(|(prefix, id)| (*prefix, self.objects[id].clone())).collect()
    }

    /// All of it under new numbers, as a RIB that starts anew would say it.
    fn renumbered(&mut self, rng: &mut Rng) -> FibDelta {
        let mut numbers: Vec<u32> = (1..=self.objects.len() as u32).collect();
        rng.shuffle(&mut numbers);
        let new: BTreeMap<NextHopId, NextHopId> =
            self.objects.keys().copied().zip(numbers.into_iter().map(NextHopId)).collect();
        self.objects = std::mem::take(&mut self.objects).into_iter().map(|(id, is)| (new[&id], is)).collect();
        self.routes.values_mut().for_each(|id| *id = new[id]);
        self.next = self.objects.len() as u32 + 1;
        self.delta(self.objects.keys().copied().collect(), self.routes.keys().copied().collect())
    }

    fn delta(&self, objects: BTreeSet<NextHopId>, routes: BTreeSet<IpNet>) -> FibDelta {
        let op = |id: NextHopId| NextHopOp { id, forwarding: self.objects.get(&id).cloned() };
        let route = |prefix: IpNet| FibRoute { prefix, next_hop: self.routes.get(&prefix).copied() };
        FibDelta {
            next_hops: objects.into_iter().map(op).collect(),
            routes: routes.into_iter().map(route).collect(),
            ..FibDelta::default()
        }
    }

    fn change(&mut self, rng: &mut Rng, ground: Ground) -> FibDelta {
        let (mut objects, mut routes) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..rng.u32(1..120) {
            if self.objects.len() < 6 || (self.objects.len() < 20 && rng.u8(..) < 12) {
                self.next += 1;
                let id = NextHopId(self.next);
                self.objects.insert(id, meaning(rng, ground));
                objects.insert(id);
            }
            if rng.u8(..) < 12 {
                let id = *rng.choice(self.objects.keys()).expect("some object");
                self.objects.insert(id, meaning(rng, ground));
                objects.insert(id);
            }
            let prefix = prefix(rng);
            if rng.u8(..) < 70 {
                self.routes.remove(&prefix);
            } else {
                let id = *rng.choice(self.objects.keys()).expect("some object");
                self.routes.insert(prefix, id);
            }
            routes.insert(prefix);
        }
        let mut delta = self.delta(objects, routes);
        if rng.u8(..) < 60 {
            let used: BTreeSet<NextHopId> = self.routes.values().copied().collect();
            delta.unused = self.objects.keys().filter(|id| !used.contains(id)).copied().collect();
            delta.next_hops.retain(|op| used.contains(&op.id));
            self.objects.retain(|id, _| used.contains(id));
        }
        delta
    }
}

/// IPv6 gateways only, which carry both families (RFC 8950), and discards.
fn meaning(rng: &mut Rng, ground: Ground) -> Forwarding {
    match rng.u8(..8) {
        0 => Forwarding::Discard(Discard::Blackhole),
        1 => Forwarding::Discard(Discard::Unreachable),
        2 => Forwarding::Discard(Discard::Prohibit),
        3 | 4 => ground.both_v6(),
        link => ground.v6(usize::from(link % 2)),
    }
}

/// Few enough to meet again, of every length that is worth a try, nested.
fn prefix(rng: &mut Rng) -> IpNet {
    if rng.bool() {
        let length = *rng.choice(&[0, 8, 16, 22, 23, 24, 25, 31, 32]).expect("a length");
        let addr = 100 << 24 | rng.u32(..4) << 16 | rng.u32(..4) << 8 | rng.u32(..4);
        Ipv4Net::new_assert(addr.into(), length).trunc().into()
    } else {
        let length = *rng.choice(&[0, 16, 32, 47, 48, 64, 127, 128]).expect("a length");
        let addr = 0x2001_0db8_u128 << 96 | u128::from(rng.u8(..4)) << 80 | u128::from(rng.u8(..4));
        Ipv6Net::new_assert(addr.into(), length).trunc().into()
    }
}

fn random_churn_equals_a_model(subject: &mut dyn Subject, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let ground = subject.ground();
    let mut model = Model::default();
    for life in 0..3 {
        let tamper = Tamper::default();
        let mut run = Run::of(Box::new(Tampered::new(subject.open(), tamper.clone())));
        let (mut told, mut delta) = (0, model.renumbered(&mut rng));
        for step in 0..rng.u32(3..9) {
            told += 1;
            delta.through = told;
            delta.walk_done = step == 0;
            if rng.u8(..) < 40 {
                tamper.break_after(rng.usize(..=delta.routes.len()));
            }
            run.handle(Input::Delta(std::mem::take(&mut delta)));
            if rng.u8(..) < 60
                && let Some(prefix) = rng.choice(model.routes.keys())
                && subject.steal(*prefix) == Some(true)
            {
                run.handle(Input::Disturbed(*prefix));
            }
            if rng.u8(..) < 40 {
                run.handle(Input::Resync);
            }
            delta = model.change(&mut rng, ground);
        }
        delta.through = told + 1;
        run.handle(Input::Delta(delta));
        // Something broken off is tried again after its time.
        run.until("the model's state", |run| {
            run.sync.view().through == told + 1 && run.sync.deadline().is_none() && !run.sync.has_work()
        });
        run.in_step();
        drop(run);
        let found = held(&mut *subject.open());
        let wanted = model.meanings();
        let wrong: Vec<_> = wanted
            .keys()
            .chain(found.keys())
            .filter(|prefix| wanted.get(prefix) != found.get(prefix))
            .map(|prefix| (prefix, wanted.get(prefix), found.get(prefix)))
            .collect();
        assert!(wrong.is_empty(), "seed {seed}, life {life}: {wrong:?}");
    }
}

fn a_crash_leaves_everything_and_the_next_run_writes_nothing(subject: &mut dyn Subject) {
    let ground = subject.ground();
    let mut before = Run::of(subject.open());
    before.delta(two_objects(ground), many(0, 600), true);
    before.work();
    before.nothing_failed();
    drop(before);
    assert_eq!(held(&mut *subject.open()).len(), 600, "a crash removes nothing");

    let tamper = Tamper::default();
    let mut after = Run::of(Box::new(Tampered::new(subject.open(), tamper.clone())));
    // Numbered the other way round; the last hundred are not wanted any more, and a hundred others are.
    let renumbered = |route: FibRoute| {
        let next_hop = route.next_hop.map(|id| NextHopId(30 - id.0 * 10));
        FibRoute { next_hop, ..route }
    };
    let objects = vec![object(20, ground.v4(0)), object(10, ground.v6(0))];
    after.delta(objects, many(0, 500).into_iter().map(renumbered).collect(), false);
    after.work();
    assert_eq!(tamper.take_written().0, 0, "what is equal is adopted untouched");
    after.delta(vec![], many(600, 700).into_iter().map(renumbered).collect(), true);
    after.work();
    after.nothing_failed();
    assert_eq!(tamper.take_written().0, 200, "a hundred written, a hundred swept");
    let counters = after.view().counters;
    assert_eq!((counters.adopted, counters.swept), (500, 100));
    after.in_step();
}

fn a_batch_that_breaks_is_made_good(subject: &mut dyn Subject) {
    let tamper = Tamper::default();
    let mut run = Run::of(Box::new(Tampered::new(subject.open(), tamper.clone())));
    tamper.break_after(250);
    run.delta(two_objects(subject.ground()), many(0, 600), true);
    assert!(matches!(run.view().phase, Phase::Away(_)));
    assert!(run.out.progress.is_empty(), "nothing is acknowledged of which nothing is known");
    run.until("the connection", |run| run.view().installed == 600);
    run.nothing_failed();
    run.in_step();
    assert_eq!(run.view().through, run.through);
    assert!(run.view().counters.errors > 0, "it is counted");
}

fn passing_refusals_converge(subject: &mut dyn Subject) {
    let tamper = Tamper::default();
    let mut run = Run::of(Box::new(Tampered::new(subject.open(), tamper.clone())));
    for (n, errno) in (0..).zip(PASSING) {
        tamper.refuse(nth(n), FibFault::Errno(errno), 2);
    }
    run.delta(two_objects(subject.ground()), many(0, 50), true);
    run.work();
    let wrong: BTreeMap<IpNet, Option<FibFault>> =
        run.sync.diff(100).expect("a readable plane").into_iter().map(|one| (one.prefix, one.fault)).collect();
    let expected = (0..).zip(PASSING).map(|(n, errno)| (nth(n), Some(FibFault::Errno(errno)))).collect();
    assert_eq!(wrong, expected, "a difference is named with its reason");
    assert_eq!((run.view().failed, run.view().installed), (PASSING.len(), 50 - PASSING.len()));
    run.until("the routes refused", |run| run.view().failed == 0);
    run.in_step();
    let recovered: BTreeSet<IpNet> = run.out.progress.iter().flat_map(|progress| progress.recovered.clone()).collect();
    assert_eq!(recovered, (0..PASSING.len() as u32).map(nth).collect());
    let counters = run.view().counters;
    assert_eq!((counters.errors, counters.retries), (2 * PASSING.len() as u64, 2 * PASSING.len() as u64));
}

fn drift_is_seen_and_repaired(subject: &mut dyn Subject) {
    let mut run = Run::of(subject.open());
    run.delta(two_objects(subject.ground()), many(0, 60), true);
    run.work();
    match [subject.steal(nth(7)), subject.steal(nth(9))] {
        [Some(true), Some(true)] => {}
        [None, None] => {
            println!("drift is not tried: nobody else can touch this plane");
            return;
        }
        other => panic!("the routes were not there: {other:?}"),
    }
    let seen: BTreeSet<IpNet> =
        run.sync.diff(100).expect("a readable plane").into_iter().map(|one| one.prefix).collect();
    assert_eq!(seen, [nth(7), nth(9)].into());
    run.handle(Input::Resync);
    run.work();
    run.in_step();
    assert_eq!(run.view().counters.repaired, 2);
    // Told of by a monitor.
    assert_eq!(subject.steal(nth(8)), Some(true));
    run.handle(Input::Disturbed(nth(8)));
    run.until("the route", |run| run.sync.diff(1).expect("a readable plane").is_empty());
    assert_eq!(run.view().counters.disturbed, 1);
}

fn a_full_plane_says_so_and_fills_up_when_there_is_room(subject: &mut dyn Subject) {
    const ROOM: usize = 200;
    let own = subject.bound(Some(ROOM));
    let tamper = Tamper::default();
    let bound = |subject: &mut dyn Subject, most| match own {
        true => drop(subject.bound(most)),
        false => tamper.bound(most),
    };
    bound(subject, Some(ROOM));
    let mut run = Run::of(Box::new(Tampered::new(subject.open(), tamper.clone())));
    run.delta(two_objects(subject.ground()), many(0, 500), true);
    run.work();
    let view = run.view();
    assert_eq!((view.installed, view.failed, view.over_capacity), (ROOM, 300, 300));
    let told: Vec<_> = run.out.progress.drain(..).flat_map(|progress| progress.failed).collect();
    assert_eq!(told.len(), 300, "the RIB is told of every route that is not in");
    assert!(told.iter().all(|(_, fault)| *fault == FibFault::CapacityExceeded));
    let missing: BTreeSet<IpNet> = told.into_iter().map(|(prefix, _)| prefix).collect();
    let seen: BTreeSet<IpNet> =
        run.sync.diff(1000).expect("a readable plane").into_iter().map(|one| one.prefix).collect();
    assert_eq!(seen, missing, "RIB and plane agree on what is missing");
    // A hundred leave, and as many enter.
    let leaving: Vec<IpNet> = (0..500).map(nth).filter(|prefix| !missing.contains(prefix)).take(100).collect();
    run.delta(vec![], removed(leaving), false);
    run.until("those that have room", |run| run.view().failed == 200);
    assert_eq!(run.view().installed, ROOM);
    bound(subject, None);
    run.handle(Input::Resync);
    run.until("the rest", |run| run.view().failed == 0);
    assert_eq!((run.view().installed, run.view().over_capacity), (400, 0));
    run.in_step();
    let recovered: BTreeSet<IpNet> = run.out.progress.iter().flat_map(|progress| progress.recovered.clone()).collect();
    assert_eq!(recovered, missing, "the RIB is told of every route that came in after all");
}

fn a_plane_away_costs_one_write_per_changed_prefix(subject: &mut dyn Subject) {
    let ground = subject.ground();
    let tamper = Tamper::default();
    let mut run = Run::of(Box::new(Tampered::new(subject.open(), tamper.clone())));
    run.delta(two_objects(ground), many(0, 300), true);
    run.work();
    tamper.set_away(true);
    // Fifty prefixes change forty times; the machine learns on the way that nobody hears.
    for turn in 0..40 {
        let object = if turn % 2 == 0 { 3 } else { 4 };
        let routes = (0..50).map(|n| FibRoute { prefix: nth(n), next_hop: Some(NextHopId(object)) }).collect();
        run.delta(vec![object_both(3, ground, 0), object_both(4, ground, 1)], routes, false);
    }
    run.delta(vec![], removed((290..300).map(nth)), false);
    let _ = tamper.take_written();
    tamper.set_away(false);
    run.until("the plane", |run| run.view().phase == Phase::Running && run.view().through == run.through);
    run.work();
    run.in_step();
    assert_eq!(tamper.take_written().0, 60, "fifty written once, ten removed once");
}

/// By the IPv6 neighbor on `link`, for both families.
fn object_both(id: u32, ground: Ground, link: usize) -> NextHopOp {
    object(id, ground.v6(link))
}

fn a_plane_that_lost_everything_is_filled_again(subject: &mut dyn Subject) {
    let mut run = Run::of(subject.open());
    run.delta(two_objects(subject.ground()), many(0, 300), true);
    run.delta(vec![], vec![route("198.51.100.0/24", 1)], false);
    run.work();
    if !subject.wipe() {
        println!("loss is not tried: this plane keeps what it has");
        return;
    }
    assert_eq!(run.sync.diff(1000).expect("a readable plane").len(), 301);
    run.handle(Input::Resync);
    run.until("everything", |run| run.view().installed == 301);
    run.in_step();
    assert!(held(&mut *subject.open()).contains_key(&net("198.51.100.0/24")));
}
