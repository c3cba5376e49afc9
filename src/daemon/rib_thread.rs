//! The thread that owns the RIB: urgent asks first, then bulk input, then whatever a budget cut off; after each step every
//! data plane with room is given what changed, and answers are passed on. Nothing here waits for a data plane, for BGP or
//! for the anycast controller, so none of them can hold up another.

use std::sync::{Arc, Weak};
use std::time::Instant;

use fib_sync::thread::{BackendHandle, Refused};
use rib::message::{Input, Output};
use rib::{BackendId, FibDelta, Rib, RibConfig, Source, WalkQuery, WatchFilter, WatchId};
use tokio::sync::watch;

use super::handles::{Changes, Lease, RibAsk, RibEnds};
use crate::anycast::AnycastHandle;

/// Routes in one batch to a data plane: about a millisecond of the kernel's time.
const DELTA_MAX: usize = 1024;
/// Work on urgent asks before bulk has its turn again, in lookups of one address: about 100 µs.
const URGENT_UNITS: usize = 512;
/// What an ask costs beside the routes it reads.
const ASK_UNITS: usize = 4;

/// Who hears what the RIB has to say. None of these calls waits.
pub(super) struct Listeners {
    pub(super) bgp: bgpd::io::Handle,
    pub(super) anycast: AnycastHandle,
}

struct Plane {
    handle: BackendHandle,
    /// A batch that did not fit; offered again before another is pulled.
    waiting: Option<FibDelta>,
    /// Once it has been told everything, it is told so.
    sweep: bool,
    stopped: bool,
}

struct Owner {
    rib: Rib,
    planes: Vec<Plane>,
    listeners: Listeners,
    position: watch::Sender<u64>,
    watchers: Vec<(WatchId, Weak<()>)>,
    out: Vec<Output>,
    stopped: bool,
}

/// Starts the thread.
///
/// # Errors
/// When the system has no thread left.
pub(super) fn spawn(
    ends: RibEnds,
    backends: Vec<BackendHandle>,
    listeners: Listeners,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    std::thread::Builder::new().name("rib".to_owned()).spawn(move || {
        let mut rib = Rib::new(RibConfig::default());
        for backend in &backends {
            if backend.standalone() {
                rib.add_standalone_backend(backend.id());
            } else {
                rib.add_backend(backend.id());
            }
        }
        let planes =
            backends.into_iter().map(|handle| Plane { handle, waiting: None, sweep: false, stopped: false }).collect();
        let RibEnds { urgent, inputs, position } = ends;
        let owner = Owner { rib, planes, listeners, position, watchers: Vec::new(), out: Vec::new(), stopped: false };
        runtime.block_on(owner.run(urgent, inputs));
    })
}

#[allow(clippy::disallowed_methods)] // The carrier reads the clock for its machine.
fn now() -> Instant {
    Instant::now()
}

impl Owner {
    async fn run(
        mut self,
        mut urgent: tokio::sync::mpsc::Receiver<RibAsk>,
        mut inputs: tokio::sync::mpsc::Receiver<Input>,
    ) {
        // A data plane has room for more than it was given in the last round.
        let mut more = false;
        while !self.stopped {
            let mut spent = 0;
            while spent < URGENT_UNITS
                && !self.stopped
                && let Ok(ask) = urgent.try_recv()
            {
                spent += self.ask(ask);
            }
            if self.rib.has_work() {
                // Between two slices of bulk whoever waits for this processor has it: the API's answers first of all.
                std::thread::yield_now();
                self.input(Input::Work);
            } else if let Ok(input) = inputs.try_recv() {
                self.input(input);
            } else if spent == 0 && !more {
                tokio::select! {
                    biased;
                    ask = urgent.recv() => match ask {
                        Some(ask) => {
                            self.ask(ask);
                        }
                        None => break,
                    },
                    Some(input) = inputs.recv() => self.input(input),
                }
            }
            more = self.pass_on();
        }
    }

    fn input(&mut self, input: Input) {
        self.rib.handle(now(), input, &mut self.out);
    }

    /// Carries out an ask; returns the work it was.
    fn ask(&mut self, ask: RibAsk) -> usize {
        let units = ASK_UNITS
            + match &ask {
                RibAsk::LookupMany(addrs, _) => addrs.len(),
                RibAsk::Walk(WalkQuery { limit, .. }, _) | RibAsk::Pull { limit, .. } => *limit,
                _ => 0,
            };
        // An answer that nobody waits for any more is dropped.
        match ask {
            RibAsk::Input(input) => self.input(input),
            RibAsk::Lookup(addr, reply) => drop(reply.send(self.rib.lookup(addr))),
            RibAsk::LookupMany(addrs, reply) => {
                drop(reply.send(addrs.into_iter().map(|addr| self.rib.lookup(addr)).collect()));
            }
            RibAsk::Get(prefix, reply) => drop(reply.send(self.rib.get(prefix))),
            RibAsk::Candidates(prefix, reply) => drop(reply.send(self.rib.candidates(prefix))),
            RibAsk::Walk(query, reply) => drop(reply.send(self.rib.walk(&query))),
            RibAsk::Summary(reply) => drop(reply.send(self.rib.summary())),
            RibAsk::Watch { after, filter, reply } => drop(reply.send(self.watch(after, filter))),
            RibAsk::Pull { id, limit, reply } => {
                let mut routes = Vec::new();
                let pulled = self.rib.pull_watch(id, limit, &mut routes);
                let through = self.rib.watch_position(id).unwrap_or_default();
                drop(reply.send(Changes { routes, through, pulled }));
            }
            RibAsk::Sweep(id) => {
                for plane in self.planes.iter_mut().filter(|plane| plane.handle.id() == id) {
                    plane.sweep = true;
                }
            }
            RibAsk::Stop => self.stopped = true,
        }
        units
    }

    fn watch(&mut self, after: Option<u64>, filter: WatchFilter) -> Option<Lease> {
        self.forget_watchers();
        let id = match after {
            Some(after) => self.rib.watch_from(filter, after)?,
            None => self.rib.watch(filter),
        };
        let alive = Arc::new(());
        self.watchers.push((id, Arc::downgrade(&alive)));
        Some(Lease { id, began: self.rib.watch_position(id).unwrap_or_default(), alive })
    }

    /// Ends the watchers whose readers are gone: a reader that never comes would keep the journal from being trimmed.
    fn forget_watchers(&mut self) {
        let rib = &mut self.rib;
        self.watchers.retain(|(id, alive)| {
            let kept = alive.strong_count() > 0;
            if !kept {
                rib.unwatch(*id);
            }
            kept
        });
    }

    /// Passes on what came out; true if a data plane could be given more at once.
    fn pass_on(&mut self) -> bool {
        for output in self.out.drain(..) {
            match output {
                Output::Reach { client: Source::Bgp, states } => self.listeners.bgp.reach(states),
                Output::Answers { through, answers, .. } => self.listeners.bgp.answers(through, answers),
                Output::Reach { client, states } => {
                    tracing::warn!(?client, addresses = states.len(), "nobody follows next hops for this source");
                }
                Output::Installed { prefix, missing } => self.listeners.anycast.installed(prefix, missing),
            }
        }
        let mut more = false;
        for plane in &mut self.planes {
            more |= plane.feed(&mut self.rib);
        }
        let position = self.rib.position();
        if self.watchers.iter().any(|(_, alive)| alive.strong_count() == 0) {
            self.forget_watchers();
        }
        self.position.send_if_modified(|told| std::mem::replace(told, position) != position);
        more
    }
}

impl Plane {
    /// Gives the data plane one batch, if there is one and it has room; true if it could take another at once. One at a time, so
    /// that urgent asks need not wait for several.
    fn feed(&mut self, rib: &mut Rib) -> bool {
        let id: BackendId = self.handle.id();
        if self.stopped {
            return false;
        }
        let delta = match self.waiting.take() {
            Some(delta) => delta,
            None if rib.fib_pending(id) && self.handle.has_room() => {
                let mut delta = FibDelta::default();
                rib.pull_fib(id, DELTA_MAX, &mut delta);
                delta
            }
            // Not a walk of the RIB: every change has been told, so the mirror is whole without repeating it, and nothing
            // that is installed counts as unanswered meanwhile.
            None if self.sweep && !rib.fib_pending(id) && self.handle.has_room() => {
                self.sweep = false;
                FibDelta { walk_done: true, ..FibDelta::default() }
            }
            None => return false,
        };
        match self.handle.offer(delta) {
            Ok(()) => (rib.fib_pending(id) || self.sweep) && self.handle.has_room(),
            // The answer to a batch before it brings us here again.
            Err(Refused::Full(delta)) => {
                self.waiting = Some(delta);
                false
            }
            Err(Refused::Stopped) => {
                self.stopped = true;
                false
            }
        }
    }
}
