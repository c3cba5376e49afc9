//! A RIB as BGP fills it, and its data plane, wired as in the daemon.

use std::net::IpAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use fib_sync::backend::FibBackend;
use fib_sync::sync::View;
use fib_sync::thread::{self, BackendHandle, OnStop, Refused};
use ipnet::IpNet;
use rib::message::Input;
use rib::{
    BackendId, FibDelta, FibProgress, IfIndex, Metric, NextHop, NextHopSet, Protocol, Rib, RibConfig, Route,
    RouteBatch, RouteChange, Source,
};

/// The one data plane.
pub(crate) const ID: BackendId = BackendId(0);
/// As the daemon pulls.
const DELTA: usize = 1024;
/// As BGP gives.
const BATCH: usize = 256;

#[allow(clippy::disallowed_methods, reason = "it measures")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn route(protocol: Protocol, next_hop: NextHop) -> Route {
    let distance = protocol.default_distance();
    Route { protocol, distance, metric: Metric(0), tag: 0, next_hops: NextHopSet::from(next_hop) }
}

fn via(addr: &str) -> NextHop {
    NextHop::via(addr.parse::<IpAddr>().expect("an address"))
}

/// How the BGP next hops are reached.
pub(crate) fn ways(v4: &str, v6: &str) -> Input {
    let mut batch = RouteBatch::new(Source::Static);
    batch.add("192.0.2.0/24".parse().expect("a prefix"), route(Protocol::Static, via(v4)));
    batch.add("2001:db8:ffff::/48".parse().expect("a prefix"), route(Protocol::Static, via(v6)));
    Input::Routes(batch)
}

/// A RIB with its links and ways, and without routes of BGP.
pub(crate) fn rib(link: u32) -> Rib {
    let mut rib = Rib::new(RibConfig::default());
    let mut links = RouteBatch::new(Source::Connected);
    let connected = route(Protocol::Connected, NextHop::Interface(IfIndex(link)));
    links.add("10.0.0.0/16".parse().expect("a prefix"), connected.clone());
    links.add("fd00::/64".parse().expect("a prefix"), connected);
    for input in
        [Input::Interface { index: IfIndex(link), up: true }, Input::Routes(links), ways("10.0.0.2", "fd00::2")]
    {
        handle(&mut rib, input);
    }
    rib
}

/// The same with routes.
pub(crate) fn full_rib(link: u32, prefixes: &[IpNet], next_hops: u8) -> Rib {
    let mut rib = rib(link);
    batches(prefixes, next_hops).for_each(|batch| handle(&mut rib, batch));
    rib
}

pub(crate) fn handle(rib: &mut Rib, input: Input) {
    let mut out = Vec::new();
    rib.handle(now(), input, &mut out);
    while rib.has_work() {
        rib.handle(now(), Input::Work, &mut out);
    }
}

/// As BGP gives them, spread over so many next hops of each family.
pub(crate) fn batches(prefixes: &[IpNet], next_hops: u8) -> impl Iterator<Item = Input> {
    (0..).step_by(BATCH).zip(prefixes.chunks(BATCH)).map(move |(first, prefixes)| {
        let mut batch = RouteBatch::new(Source::Bgp);
        let v4 = (1..=next_hops).map(|n| format!("192.0.2.{n}"));
        let v6 = (1..=next_hops).map(|n| format!("2001:db8:ffff::{n:x}"));
        batch.routes = v4.chain(v6).map(|addr| route(Protocol::Ebgp, via(&addr))).collect();
        let change = |(at, prefix): (u32, &IpNet)| {
            let own = if prefix.addr().is_ipv6() { u32::from(next_hops) } else { 0 };
            RouteChange { prefix: *prefix, route: Some(own + at % u32::from(next_hops)) }
        };
        batch.changes = (first..).zip(prefixes).map(change).collect();
        Input::Routes(batch)
    })
}

/// A RIB and its data plane.
pub(crate) struct Node {
    pub(crate) rib: Rib,
    pub(crate) plane: BackendHandle,
    answers: mpsc::Receiver<FibProgress>,
    waiting: Option<FibDelta>,
    told: u64,
    answered: u64,
}

impl Node {
    pub(crate) fn new(mut rib: Rib, backend: Box<dyn FibBackend>) -> Self {
        let (tell, answers) = mpsc::channel();
        if backend.standalone() {
            rib.add_standalone_backend(ID);
        } else {
            rib.add_backend(ID);
        }
        let plane = thread::spawn(backend, ID, move |progress| drop(tell.send(progress))).expect("a thread");
        Self { rib, plane, answers, waiting: None, told: 0, answered: 0 }
    }

    /// Takes answers that are there, or waits a while for one.
    pub(crate) fn listen(&mut self, wait: Duration) {
        let first = if wait.is_zero() { self.answers.try_recv().ok() } else { self.answers.recv_timeout(wait).ok() };
        let more: Vec<FibProgress> = first.into_iter().chain(self.answers.try_iter()).collect();
        for progress in more {
            assert_eq!(progress.failed, [], "the data plane refuses");
            self.answered = progress.through;
            handle(&mut self.rib, Input::Fib(progress));
        }
    }

    /// True if more could be given at once.
    pub(crate) fn feed(&mut self) -> bool {
        let delta = match self.waiting.take() {
            Some(delta) => delta,
            None if self.rib.fib_pending(ID) && self.plane.has_room() => {
                let mut delta = FibDelta::default();
                self.rib.pull_fib(ID, DELTA, &mut delta);
                self.told = delta.through;
                delta
            }
            None => return false,
        };
        match self.plane.offer(delta) {
            Ok(()) => self.plane.has_room(),
            Err(Refused::Full(delta)) => {
                self.waiting = Some(delta);
                false
            }
            Err(Refused::Stopped) => panic!("the data plane has stopped"),
        }
    }

    /// Until the RIB has the data plane's word for everything.
    pub(crate) fn settle(&mut self) {
        while self.waiting.is_some() || self.rib.fib_pending(ID) || self.answered < self.told {
            let more = self.feed();
            self.listen(if more { Duration::ZERO } else { Duration::from_millis(10) });
        }
    }

    /// The protocols have told everything, says the daemon then.
    pub(crate) fn sweep(&mut self) {
        let end = FibDelta { walk_done: true, ..FibDelta::default() };
        assert!(self.plane.offer(end).is_ok(), "an idle data plane has room");
        // The answer to a question comes after what was given before it.
        self.view();
    }

    pub(crate) fn view(&self) -> View {
        block_on(self.plane.view()).expect("a data plane")
    }

    /// Seconds of the quickest of some failovers of the way under all routes of one family, or of both, with the answer.
    pub(crate) fn failover(&mut self, turns: usize, v4: bool, v6: bool) -> f64 {
        let mut best = f64::MAX;
        for turn in 0..turns {
            let to = |moves: bool| if moves && turn % 2 == 0 { 3 } else { 2 };
            let begin = now();
            handle(&mut self.rib, ways(&format!("10.0.0.{}", to(v4)), &format!("fd00::{}", to(v6))));
            self.settle();
            best = best.min(begin.elapsed().as_secs_f64());
        }
        best
    }

    /// The RIB without its data plane, which keeps its routes.
    pub(crate) fn leave(mut self) -> Rib {
        assert_eq!(block_on(self.plane.stop(OnStop::Keep)), Ok(0));
        self.rib.remove_backend(ID);
        self.rib
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}
