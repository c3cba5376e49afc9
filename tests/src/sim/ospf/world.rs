//! The network as it runs: instances, what is on its way between them, and the verbs of stories.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use ospfd::InterfaceId;
use ospfd::config::NetworkType;
use ospfd::instance::Instance;
use ospfd::message::{Event as Said, ExternalRoute, Input, Outbox, Output, ServiceRoute};

use super::plan::{DEAD, Plan};
use crate::sim::clock::Clock;

/// Quiet is: no change, and nothing but hellos, for so long. Longer than it takes to notice silence, to poll silent
/// neighbors of a cloud, and to elect somebody.
const QUIET: Duration = Duration::from_secs(DEAD.as_secs() + 15);

/// A network that is not quiet after so long never will be; refreshes begin later than that.
const SETTLE_MAX: Duration = Duration::from_secs(1200);

/// Lines of the trace that a failure shows.
const TRACE_SHOWN: usize = 60;

/// Events at one instant: more of them are a machine that does not let time pass.
const EVENTS_AT_ONCE: u32 = 2_000_000;

/// Something that happens at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// A router's deadline, in one of its lives.
    Wake(usize, u32),
    /// A packet arrives.
    Arrive(u64),
}

/// A packet on its way.
#[derive(Clone, Debug)]
pub struct Flight {
    /// To this router.
    pub to: usize,
    /// In this life of it: who is restarted has lost what was underway.
    pub life: u32,
    /// As it will be told.
    pub input: Input,
}

/// A router as it runs.
#[derive(Default)]
pub struct Node {
    /// The machine, while it is alive.
    pub instance: Option<Instance>,
    /// What its RIB has of it.
    pub routes: BTreeMap<IpNet, rib::Route>,
    wake: Option<Instant>,
}

/// A seeded network in virtual time.
pub struct World {
    /// How to run it again.
    pub replay: String,
    /// What it is configured to be.
    pub plan: Plan,
    /// As it runs.
    pub nodes: Vec<Node>,
    pub(super) rng: fastrand::Rng,
    pub(super) clock: Clock<Event>,
    pub(super) flights: BTreeMap<u64, Flight>,
    pub(super) sent: u64,
    /// Everything but hellos.
    pub(super) activity: u64,
    /// LSAs that were flooded, described or asked for, in packets.
    pub packets: BTreeMap<u8, u64>,
    /// Where an interface leads: its wire, and its place there.
    pub(super) places: BTreeMap<(usize, InterfaceId), (usize, usize)>,
    /// Forwarding loops that are there now, and since when.
    pub(super) loops: BTreeMap<(IpNet, BTreeSet<usize>), Duration>,
    /// When there was last a loop while neighbors were not what they seemed.
    pub(super) unsettled_at: Duration,
    /// Routers that may stop because all that is owed before a graceful restart was acknowledged.
    pub(super) ready: BTreeSet<usize>,
    hash: DefaultHasher,
    recent: VecDeque<(Duration, String)>,
    loud: bool,
}

impl World {
    /// A network whose every accident follows from `seed`; nobody runs yet.
    #[must_use]
    pub fn new(seed: u64, plan: Plan) -> Self {
        let mut places = BTreeMap::new();
        for (wire, held) in plan.wires.iter().enumerate() {
            for (place, end) in held.ends.iter().enumerate() {
                assert!(
                    places.insert((end.router, end.id), (wire, place)).is_none(),
                    "interfaces have names of their own"
                );
            }
        }
        Self {
            replay: format!("World::new({seed}, …) in the test that failed"),
            nodes: plan.routers.iter().map(|_| Node::default()).collect(),
            plan,
            rng: fastrand::Rng::with_seed(seed),
            clock: Clock::new(),
            flights: BTreeMap::new(),
            sent: 0,
            activity: 0,
            packets: BTreeMap::new(),
            places,
            loops: BTreeMap::new(),
            unsettled_at: Duration::ZERO,
            ready: BTreeSet::new(),
            hash: DefaultHasher::new(),
            recent: VecDeque::new(),
            loud: std::env::var_os("ANYHOP_TRACE").is_some(),
        }
    }

    /// Everything that happened, in one number.
    #[must_use]
    pub fn trace(&self) -> u64 {
        self.hash.finish()
    }

    /// Puts what happened into the trace.
    pub(super) fn record(&mut self, what: impl Hash, words: impl FnOnce() -> String) {
        (self.clock.elapsed(), what).hash(&mut self.hash);
        let words = words();
        if words.is_empty() {
            return;
        }
        if self.loud {
            println!("{:>12.6} {words}", self.clock.elapsed().as_secs_f64());
        }
        if self.recent.len() == TRACE_SHOWN {
            self.recent.pop_front();
        }
        self.recent.push_back((self.clock.elapsed(), words));
    }

    /// Something is not as it must be.
    ///
    /// # Panics
    ///
    /// Always, with the last events and how to run the world again.
    pub fn fail(&self, why: &str) -> ! {
        if self.nodes.len() <= 20 || self.loud {
            println!("{}", self.plan);
        }
        for (at, words) in &self.recent {
            println!("{:>12.6} {words}", at.as_secs_f64());
        }
        panic!("{why}\nat {:?}; replay: {}", self.clock.elapsed(), self.replay);
    }

    /// Everybody who should runs, from now on.
    pub fn start_all(&mut self) -> &mut Self {
        for router in 0..self.nodes.len() {
            if self.plan.routers[router].alive {
                self.boot(router, None);
            }
        }
        self
    }

    /// A router starts, with nothing that it knew; `resume` is what is left of a grace period.
    pub fn boot(&mut self, router: usize, resume: Option<Duration>) {
        let held = &mut self.plan.routers[router];
        (held.alive, held.drained) = (true, false);
        held.lives += 1;
        let life = held.lives;
        self.record((router, life, resume), || format!("r{router} starts, life {life}, {resume:?}"));
        let mut config = self.plan.config(router);
        config.resume = resume;
        self.nodes[router].instance = Some(Instance::new(self.clock.now(), config));
        self.nodes[router].wake = None;
        self.activity += 1;
        if self.loud {
            self.tell(router, Input::WatchLsdb(true));
        }
        self.tell(router, Input::InterfaceUp(self.plan.loopback_link(router)));
        for (wire, place) in self.plan.ends_of(router).collect::<Vec<_>>() {
            if self.plan.wires[wire].ends[place].carrier {
                self.tell(router, Input::InterfaceUp(self.plan.link(wire, place)));
            }
        }
        let routes: Vec<(IpNet, Option<ExternalRoute>)> =
            self.plan.routers[router].externals.iter().map(|(prefix, route)| (*prefix, Some(*route))).collect();
        self.tell(router, Input::Redistribute(routes));
        for (prefix, route) in self.plan.routers[router].services.clone() {
            self.tell(router, Input::Service { prefix, announce: Some(route) });
        }
    }

    /// A router stops without a word. Its tables go with it, unless what forwards goes on.
    pub fn crash(&mut self, router: usize, forwarding: bool) {
        self.record(("crash", router), || format!("r{router} stops"));
        self.plan.routers[router].alive = false;
        self.nodes[router].instance = None;
        self.activity += 1;
        if !forwarding {
            self.nodes[router].routes.clear();
        }
    }

    /// Carrier comes or goes at one end of a wire.
    pub fn carrier(&mut self, wire: usize, place: usize, up: bool) {
        let end = &mut self.plan.wires[wire].ends[place];
        if std::mem::replace(&mut end.carrier, up) == up {
            return;
        }
        let (router, id) = (end.router, end.id);
        self.record(("carrier", wire, place, up), || format!("r{router} {id:?} carrier {up}"));
        self.activity += 1;
        let input = if up { Input::InterfaceUp(self.plan.link(wire, place)) } else { Input::InterfaceDown(id) };
        self.tell(router, input);
    }

    /// A wire is cut so that both ends know, or whole again.
    pub fn cable(&mut self, wire: usize, up: bool) -> &mut Self {
        for place in 0..self.plan.wires[wire].ends.len() {
            self.carrier(wire, place, up);
        }
        self
    }

    /// Who hears whom on a wire changes, and nobody is told.
    pub fn part(&mut self, wire: usize, parts: &[u8]) {
        self.record(("part", wire, parts), || format!("wire {wire} in parts {parts:?}"));
        self.activity += 1;
        for (end, part) in self.plan.wires[wire].ends.iter_mut().zip(parts) {
            end.part = *part;
        }
    }

    /// A router is told its configuration as it is now.
    pub fn reconfigure(&mut self, router: usize) {
        let config = self.plan.config(router);
        self.activity += 1;
        self.tell(router, Input::Config(Box::new(config)));
    }

    /// A router brings something in, or no longer.
    pub fn redistribute(&mut self, router: usize, prefix: IpNet, route: Option<ExternalRoute>) {
        self.record((router, prefix, route.map(|route| route.metric)), || format!("r{router} {prefix} {route:?}"));
        let held = &mut self.plan.routers[router].externals;
        match route {
            Some(route) => held.insert(prefix, route),
            None => held.remove(&prefix),
        };
        self.activity += 1;
        self.tell(router, Input::Redistribute(vec![(prefix, route)]));
    }

    /// A service comes to a router, changes there, or goes.
    pub fn service(&mut self, router: usize, prefix: IpNet, announce: Option<ServiceRoute>) {
        self.record((router, prefix, announce.is_some()), || format!("r{router} service {prefix} {announce:?}"));
        let held = &mut self.plan.routers[router].services;
        match announce {
            Some(route) => held.insert(prefix, route),
            None => held.remove(&prefix),
        };
        self.activity += 1;
        self.tell(router, Input::Service { prefix, announce });
    }

    /// A router asks others to route around it, or no longer.
    pub fn drain(&mut self, router: usize, on: bool) {
        self.record((router, on), || format!("r{router} drains {on}"));
        self.plan.routers[router].drained = on;
        self.activity += 1;
        self.tell(router, Input::Drain(on));
    }

    /// Gives an input to a router, if it runs.
    pub fn tell(&mut self, router: usize, input: Input) {
        let now = self.clock.now();
        let Some(instance) = &mut self.nodes[router].instance else { return };
        let mut out = Outbox::default();
        instance.handle(now, input, &mut out);
        let deadline = instance.deadline();
        if let Some(at) = deadline.filter(|at| self.nodes[router].wake.is_none_or(|wake| *at < wake)) {
            self.nodes[router].wake = Some(at);
            let life = self.plan.routers[router].lives;
            self.clock.schedule(self.clock.since_start(at), Event::Wake(router, life));
        }
        for output in out.outputs {
            self.act(router, output);
        }
    }

    fn act(&mut self, router: usize, output: Output) {
        match output {
            Output::Send { interface, src, dst, ttl, bytes } => self.send(router, interface, src, dst, ttl, &bytes),
            Output::Routes(batch) => {
                self.activity += 1;
                self.record((router, batch.changes.len()), String::new);
                for change in batch.changes {
                    (change.prefix, change.route.is_some()).hash(&mut self.hash);
                    match change.route {
                        Some(index) => {
                            let route = batch.routes[index as usize].clone();
                            self.nodes[router].routes.insert(change.prefix, route)
                        }
                        None => self.nodes[router].routes.remove(&change.prefix),
                    };
                }
            }
            Output::Event(Said::ReadyToRestart) => {
                self.ready.insert(router);
            }
            Output::Event(event) => {
                if matches!(event, Said::Neighbor { .. } | Said::Helping { .. } | Said::RestartEnded { .. }) {
                    self.activity += 1;
                }
                let loud = self.loud;
                self.record(router, || if loud { format!("r{router} {event:?}") } else { String::new() });
            }
            Output::Alarm(alarm) => {
                self.activity += 1;
                self.record(router, || format!("r{router} {alarm:?}"));
            }
            Output::BfdWanted { .. } => {}
        }
    }

    /// Time passes.
    pub fn run_for(&mut self, span: Duration) -> &mut Self {
        let limit = self.clock.elapsed() + span;
        let mut last = (self.clock.elapsed(), 0);
        while let Some(event) = self.clock.next(limit) {
            last = if last.0 == self.clock.elapsed() { (last.0, last.1 + 1) } else { (self.clock.elapsed(), 0) };
            if last.1 > EVENTS_AT_ONCE {
                self.fail("time stands still");
            }
            match event {
                Event::Wake(router, life) => self.wake(router, life),
                Event::Arrive(number) => {
                    let Some(flight) = self.flights.remove(&number) else { continue };
                    if flight.life == self.plan.routers[flight.to].lives {
                        self.tell(flight.to, flight.input);
                    }
                }
            }
        }
        self
    }

    fn wake(&mut self, router: usize, life: u32) {
        if life != self.plan.routers[router].lives || self.nodes[router].instance.is_none() {
            return;
        }
        // A deadline that has since moved away: the machine is asked again when it is due.
        if self.nodes[router].wake.is_some_and(|wake| wake > self.clock.now()) {
            return;
        }
        self.nodes[router].wake = None;
        self.tell(router, Input::Tick);
    }

    /// Time passes until nothing has happened for a while, then everything is checked.
    pub fn settle(&mut self) -> &mut Self {
        let begun = self.clock.elapsed();
        let (mut seen, mut since) = (self.activity, self.clock.elapsed());
        while self.clock.elapsed() < since + QUIET {
            if self.clock.elapsed() > begun + SETTLE_MAX {
                self.fail("it never comes to rest");
            }
            self.run_for(Duration::from_millis(if self.clock.elapsed() < begun + DEAD { 500 } else { 2_500 }));
            self.check_loops();
            if self.activity != seen {
                (seen, since) = (self.activity, self.clock.elapsed());
            }
        }
        let elapsed = self.clock.elapsed();
        self.record("quiet", || format!("quiet, {:?} after it began", elapsed - begun));
        self.check_quiet()
    }

    /// Point-to-point or not, an end hears another.
    pub(super) fn hears(&self, wire: usize, from: usize, to: usize) -> bool {
        let held = &self.plan.wires[wire];
        let (a, b) = (held.ends[from], held.ends[to]);
        let both = a.carrier && b.carrier && a.part == b.part;
        // Whatever is sent into a cable without carrier at the far end is lost too.
        both && (held.network != NetworkType::PointToPoint || held.ends.len() == 2)
    }
}
