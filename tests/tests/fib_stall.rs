//! A data plane that stalls: the RIB goes on as if nothing were, memory stays, and afterwards each changed prefix is written once.
//! A second plane beside it hears everything in time.

#![allow(clippy::disallowed_methods, reason = "a stall takes real time")]

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use fib_sync::backend::{BackendError, Capacity, FibBackend, Installed, Refusal};
use fib_sync::memory::{MemoryBackend, Plane};
use fib_sync::thread::{self, BackendHandle, OnStop, Refused};
use ipnet::{IpNet, Ipv4Net};
use rib::message::{FibState, Input};
use rib::{
    BackendId, FibDelta, FibProgress, FibRoute, IfIndex, Metric, NextHop, NextHopId, NextHopOp, Protocol, Rib,
    RibConfig, Route, RouteBatch, Source,
};

/// As the daemon pulls.
const DELTA: usize = 1024;
const BATCH: usize = 256;

/// Every batch waits for as long as it is shut.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn shut(&self, shut: bool) {
        *self.0.0.lock().expect("no panic under it") = shut;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let shut = self.0.0.lock().expect("no panic under it");
        drop(self.0.1.wait_while(shut, |shut| *shut).expect("no panic under it"));
    }
}

struct Gated {
    inner: MemoryBackend,
    gate: Gate,
}

impl FibBackend for Gated {
    fn name(&self) -> &'static str {
        self.inner.name()
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
        self.gate.pass();
        self.inner.apply(next_hops, routes, unused, refused)
    }

    fn dump(&mut self, each: &mut dyn FnMut(Installed)) -> Result<(), BackendError> {
        self.inner.dump(each)
    }

    fn local_address(&mut self, addr: IpAddr, present: bool) {
        self.inner.local_address(addr, present);
    }
}

/// A data plane as the RIB's owner has it.
struct End {
    id: BackendId,
    handle: BackendHandle,
    answers: Receiver<FibProgress>,
    waiting: Option<FibDelta>,
}

impl End {
    fn new(rib: &mut Rib, id: u8, backend: Box<dyn FibBackend>) -> Self {
        let id = BackendId(id);
        let (tell, answers) = channel();
        let handle = thread::spawn(backend, id, move |progress| drop(tell.send(progress))).expect("a thread");
        rib.add_backend(id);
        Self { id, handle, answers, waiting: None }
    }

    /// Gives what there is room for, and takes answers; true if anything moved.
    fn carry(&mut self, rib: &mut Rib) -> bool {
        let mut moved = false;
        for progress in self.answers.try_iter().collect::<Vec<_>>() {
            handle(rib, Input::Fib(progress));
            moved = true;
        }
        let delta = self.waiting.take().or_else(|| {
            (rib.fib_pending(self.id) && self.handle.has_room()).then(|| {
                let mut delta = FibDelta::default();
                rib.pull_fib(self.id, DELTA, &mut delta);
                delta
            })
        });
        if let Some(delta) = delta {
            match self.handle.offer(delta) {
                Ok(()) => moved = true,
                Err(Refused::Full(delta)) => self.waiting = Some(delta),
                Err(Refused::Stopped) => panic!("the data plane has stopped"),
            }
        }
        moved
    }
}

fn handle(rib: &mut Rib, input: Input) {
    let mut out = Vec::new();
    rib.handle(Instant::now(), input, &mut out);
    while rib.has_work() {
        rib.handle(Instant::now(), Input::Work, &mut out);
    }
}

fn nth(n: u32) -> IpNet {
    Ipv4Net::new_assert(((20 << 24) + (n << 8)).into(), 24).into()
}

fn via(gateway: &str) -> Route {
    let gateway: IpAddr = gateway.parse().expect("an address");
    let protocol = Protocol::Ebgp;
    let (distance, next_hops) = (protocol.default_distance(), NextHop::via(gateway).into());
    Route { protocol, distance, metric: Metric(0), tag: 0, next_hops }
}

fn batch(prefixes: impl Iterator<Item = u32>, gateway: &str) -> Input {
    let mut batch = RouteBatch::new(Source::Bgp);
    prefixes.for_each(|n| batch.add(nth(n), via(gateway)));
    Input::Routes(batch)
}

/// True if anything moved.
fn carry(rib: &mut Rib, ends: &mut [End]) -> bool {
    ends.iter_mut().fold(false, |moved, end| moved | end.carry(rib))
}

/// Until every data plane has answered for every prefix.
fn settle(rib: &mut Rib, ends: &mut [End], prefixes: u32) {
    let is_installed = |rib: &Rib, n: u32| {
        rib.get(nth(n)).is_some_and(|view| view.fib.iter().all(|(_, state)| *state == FibState::Installed))
    };
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let moved = carry(rib, ends);
        let done = ends.iter().all(|end| end.waiting.is_none() && !rib.fib_pending(end.id));
        if done && !moved && (0..prefixes).all(|n| is_installed(rib, n)) {
            return;
        }
        assert!(Instant::now() < limit, "the data planes do not come to rest");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Resident octets of this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
}

/// Processor time of this thread.
fn spent() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock").into()
}

#[test]
fn a_plane_that_stalls_costs_the_rib_nothing_and_catches_up_with_one_write_per_prefix() {
    let full = std::env::var_os("ANYHOP_FULL").is_some();
    let (stall, prefixes) = if full { (Duration::from_secs(60), 200_000) } else { (Duration::from_secs(3), 50_000) };
    let mut rib = Rib::new(RibConfig::default());
    for index in [2, 3] {
        handle(&mut rib, Input::Interface { index: IfIndex(index), up: true });
    }
    let mut links = RouteBatch::new(Source::Connected);
    for (prefix, index) in [("10.0.0.0/24", 2), ("10.0.1.0/24", 3)] {
        let next_hops = NextHop::Interface(IfIndex(index)).into();
        let protocol = Protocol::Connected;
        let distance = protocol.default_distance();
        let route = Route { protocol, distance, metric: Metric(0), tag: 0, next_hops };
        links.add(prefix.parse().expect("a prefix"), route);
    }
    handle(&mut rib, Input::Routes(links));
    let (gate, slow, quick) = (Gate::default(), Plane::new(), Plane::new());
    let gated = Gated { inner: MemoryBackend::new(slow.clone()), gate: gate.clone() };
    let mut ends =
        [End::new(&mut rib, 0, Box::new(gated)), End::new(&mut rib, 1, Box::new(MemoryBackend::new(quick.clone())))];
    let all: Vec<u32> = (0..prefixes).collect();
    for some in all.chunks(BATCH) {
        handle(&mut rib, batch(some.iter().copied(), "10.0.0.2"));
        carry(&mut rib, &mut ends);
    }
    settle(&mut rib, &mut ends, prefixes);

    let mut rng = fastrand::Rng::with_seed(5);
    let mut changed = HashSet::new();
    let mut churn = |rib: &mut Rib, ends: &mut [End], changed: &mut HashSet<u32>| {
        let some: Vec<u32> = (0..BATCH).map(|_| rng.u32(0..prefixes)).collect();
        let gateway = if rng.bool() { "10.0.0.2" } else { "10.0.1.2" };
        let begin = spent();
        handle(rib, batch(some.iter().copied(), gateway));
        let took = spent() - begin;
        changed.extend(some);
        carry(rib, ends);
        took
    };
    let mut free: Vec<Duration> = (0..500).map(|_| churn(&mut rib, &mut ends, &mut changed)).collect();
    settle(&mut rib, &mut ends, prefixes);

    gate.shut(true);
    changed.clear();
    let written = slow.written();
    let mut stalled = Vec::new();
    let begin = Instant::now();
    let mut memory = None;
    while begin.elapsed() < stall {
        stalled.push(churn(&mut rib, &mut ends, &mut changed));
        // The journal has filled, and whatever the allocator keeps is kept.
        if memory.is_none() && begin.elapsed() > stall / 3 {
            memory = Some(resident());
        }
        // About 25,000 changes a second: more than any Internet does.
        std::thread::sleep(Duration::from_millis(10));
    }
    let grown = resident().saturating_sub(memory.expect("a third of the stall has passed"));
    assert_eq!(slow.written().routes, written.routes, "it is stalled");
    assert_eq!(quick.routes().len(), prefixes as usize);
    gate.shut(false);
    settle(&mut rib, &mut ends, prefixes);
    let after = slow.written();

    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let changes = stalled.len() * BATCH;
    let (free, stalled) = (median(&mut free), median(&mut stalled));
    let writes = (after.routes - written.routes) as usize;
    println!(
        "stalled {stall:?}: {changes} changes of {} prefixes, {writes} writes afterwards; a batch of {BATCH} took {stalled:?} \
         ({free:?} without a stall), {grown} octets more",
        changed.len()
    );
    // What had been handed over when the stall began may be written beside it.
    assert!(writes <= changed.len() + 8 * DELTA, "{writes} writes for {} prefixes", changed.len());
    assert!(grown < 16 << 20, "{grown} octets");
    assert_eq!(sorted(&slow), sorted(&quick));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for end in ends {
        assert_eq!(runtime.block_on(end.handle.stop(OnStop::Keep)), Ok(0));
    }
}

fn sorted(plane: &Plane) -> Vec<(IpNet, rib::Forwarding)> {
    let mut routes = plane.routes();
    routes.sort_by_key(|(prefix, _)| *prefix);
    routes
}
