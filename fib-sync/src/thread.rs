//! The thread that carries one [`Sync`]: inbox, clock, and nothing else.
//!
//! The inbox has two lanes. Questions and host events overtake; deltas wait in a lane of [`DELTAS`] places, and more while the
//! data plane swallows them: those that wait together are written as one. When the lane is full [`BackendHandle::offer`] hands the
//! delta back, and the RIB's owner pulls again when progress has come: it folds what has changed meanwhile, so a slow data
//! plane costs the RIB neither time nor memory.

mod fold;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ipnet::IpNet;
use rib::{BackendId, FibDelta, FibProgress};
use tokio::sync::oneshot;

use crate::backend::FibBackend;
use crate::host::HostEvent;
use crate::sync::{Difference, Input, Latency, Outbox, Sync, View, keep_last_words};

/// Deltas that may wait for the data plane at any time.
pub const DELTAS: usize = 4;
/// More may wait while they hold fewer routes than this many times the last batch: a load grows into large batches, and a data
/// plane that stalls leaves the rest in the RIB. While the data plane is still being read, the bound below is the only one.
const GROWTH: usize = 4;
/// But never more routes than these: under half a second of the kernel's time, and 8 MB.
const ROUTES_MOST: usize = 262_144;

/// What happens to our routes at a clean stop. A crash always keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// They stay and forward; the next start adopts them.
    Keep,
    /// They are removed.
    Remove,
}

enum Control {
    Input(Input),
    View(oneshot::Sender<View>),
    Diff(usize, oneshot::Sender<Result<Vec<Difference>, String>>),
    Stop(OnStop, oneshot::Sender<Result<usize, String>>),
}

#[derive(Default)]
struct Lanes {
    control: VecDeque<Control>,
    deltas: VecDeque<(Instant, FibDelta)>,
    /// Routes in them.
    routes: usize,
    /// Routes of the last batch, once there was one.
    last: Option<usize>,
    closed: bool,
}

impl Lanes {
    fn is_full(&self) -> bool {
        let most = self.last.map_or(ROUTES_MOST, |last| (last * GROWTH).min(ROUTES_MOST));
        self.deltas.len() >= DELTAS && self.routes >= most
    }

    /// Everything that waits and may be written at once, and since when it waits.
    fn take(&mut self) -> Option<(Instant, FibDelta)> {
        let (since, mut batch) = self.deltas.pop_front()?;
        let mut joined = false;
        while let Some((_, next)) = self.deltas.pop_front_if(|(_, next)| fold::folds(&batch, next)) {
            fold::join(&mut batch, next);
            joined = true;
        }
        self.routes -= batch.routes.len();
        self.last = Some(batch.routes.len());
        if joined {
            keep_last_words(&mut batch.next_hops, |op| op.id);
        }
        Some((since, batch))
    }
}

#[derive(Default)]
struct Inbox {
    lanes: Mutex<Lanes>,
    filled: Condvar,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // Nothing panics while holding the lock; the lanes are whole in any case.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False if the thread has ended.
    fn control(&self, control: Control) -> bool {
        let mut lanes = self.lock();
        if lanes.closed {
            return false;
        }
        lanes.control.push_back(control);
        drop(lanes);
        self.filled.notify_one();
        true
    }
}

/// Why a delta was not taken.
#[derive(Debug)]
pub enum Refused {
    /// The lane is full: offer it again after the next progress.
    Full(FibDelta),
    /// The thread has ended.
    Stopped,
}

/// The way to one data plane's thread. Cheap to clone.
#[derive(Clone)]
pub struct BackendHandle {
    id: BackendId,
    name: &'static str,
    standalone: bool,
    inbox: Arc<Inbox>,
}

/// Starts the thread of `backend`. `progress` is called on that thread and may block: the data plane then waits.
///
/// # Errors
/// When the system has no thread left.
pub fn spawn(
    mut backend: Box<dyn FibBackend>,
    id: BackendId,
    progress: impl FnMut(FibProgress) + Send + 'static,
) -> std::io::Result<BackendHandle> {
    let (name, standalone) = (backend.name(), backend.standalone());
    let inbox = Arc::new(Inbox::default());
    let lost = Arc::clone(&inbox);
    backend.when_lost(Arc::new(move || {
        lost.control(Control::Input(Input::Resync));
    }));
    let carrier = Carrier {
        sync: Sync::new(id, backend),
        inbox: Arc::clone(&inbox),
        out: Outbox::default(),
        latency: Latency::default(),
        writes_next: false,
        progress,
    };
    std::thread::Builder::new().name(format!("fib-{name}")).spawn(move || carrier.run())?;
    Ok(BackendHandle { id, name, standalone, inbox })
}

impl BackendHandle {
    /// The data plane's number.
    #[must_use]
    pub fn id(&self) -> BackendId {
        self.id
    }

    /// The data plane's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// As [`FibBackend::standalone`] says: the RIB is to add it as such.
    #[must_use]
    pub fn standalone(&self) -> bool {
        self.standalone
    }

    /// True if a delta would be taken now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let lanes = self.inbox.lock();
        !lanes.closed && !lanes.is_full()
    }

    /// Hands over a delta without waiting.
    ///
    /// # Errors
    /// Gives the delta back if the lane is full.
    pub fn offer(&self, delta: FibDelta) -> Result<(), Refused> {
        let mut lanes = self.inbox.lock();
        if lanes.closed {
            return Err(Refused::Stopped);
        }
        if lanes.is_full() {
            return Err(Refused::Full(delta));
        }
        lanes.routes += delta.routes.len();
        lanes.deltas.push_back((now(), delta));
        drop(lanes);
        self.inbox.filled.notify_one();
        Ok(())
    }

    /// Tells the data plane what concerns it of what happened on the host. Every event may be given.
    pub fn host_event(&self, event: &HostEvent) {
        let input = match event {
            HostEvent::Link(link) => Input::Link { index: link.index, up: link.up },
            HostEvent::LinkGone(index) => Input::Link { index: *index, up: false },
            HostEvent::Disturbed(prefix) => Input::Disturbed(*prefix),
            HostEvent::Synced => Input::Resync,
            // An address on two links is local until the last one goes, which only the host table knows.
            HostEvent::Address { .. } | HostEvent::Foreign { .. } => return,
        };
        self.inbox.control(Control::Input(input));
    }

    /// Whether `addr` is local to this host, as [`crate::host::HostTable::is_local`] says after each event of an address or a
    /// vanished link. May repeat what is known.
    pub fn local_address(&self, addr: IpAddr, present: bool) {
        self.inbox.control(Control::Input(Input::LocalAddress { addr, present }));
    }

    /// Somebody else touched this route of ours.
    pub fn disturbed(&self, prefix: IpNet) {
        self.inbox.control(Control::Input(Input::Disturbed(prefix)));
    }

    /// Reads the data plane and makes it as it should be; progress tells the outcome.
    pub fn resync(&self) {
        self.inbox.control(Control::Input(Input::Resync));
    }

    /// The RIB is about to tell everything from the start: call it before the walk's first delta.
    pub fn rewalk(&self) {
        self.inbox.control(Control::Input(Input::Rewalk));
    }

    /// A snapshot; `None` if the thread has ended.
    pub async fn view(&self) -> Option<View> {
        let (answer, question) = oneshot::channel();
        self.inbox.control(Control::View(answer));
        question.await.ok()
    }

    /// The routes that are not in the data plane as the RIB wants them, at most `limit`.
    ///
    /// # Errors
    /// A sentence, when the data plane cannot be read.
    pub async fn diff(&self, limit: usize) -> Result<Vec<Difference>, String> {
        let (answer, question) = oneshot::channel();
        self.inbox.control(Control::Diff(limit, answer));
        question.await.unwrap_or_else(|_| Err(format!("the {} data plane has been stopped", self.name)))
    }

    /// Ends the thread, after what was asked of it before; deltas still waiting are dropped. Answers with the number of routes
    /// removed.
    ///
    /// # Errors
    /// A sentence, when routes were to be removed and could not.
    pub async fn stop(&self, on_stop: OnStop) -> Result<usize, String> {
        let (answer, question) = oneshot::channel();
        if !self.inbox.control(Control::Stop(on_stop, answer)) {
            return Ok(0);
        }
        question.await.unwrap_or(Ok(0))
    }
}

#[allow(clippy::disallowed_methods)] // The carrier reads the clock for its machine.
fn now() -> Instant {
    Instant::now()
}

enum Next {
    Control(Control),
    Delta(Instant, FibDelta),
    Tick,
}

struct Carrier<P> {
    sync: Sync,
    inbox: Arc<Inbox>,
    out: Outbox,
    latency: Latency,
    /// A delta has been taken since the last tick.
    writes_next: bool,
    progress: P,
}

impl<P: FnMut(FibProgress)> Carrier<P> {
    fn run(mut self) {
        // Whatever ends this thread, nobody is left waiting for it.
        let _close = Close(Arc::clone(&self.inbox));
        self.sync.handle(now(), Input::Tick, &mut self.out);
        self.tell();
        loop {
            match self.next() {
                Next::Control(Control::Input(input)) => self.sync.handle(now(), input, &mut self.out),
                Next::Control(Control::View(answer)) => {
                    let mut view = self.sync.view();
                    view.latency = self.latency;
                    // Who asked may have left.
                    let _ = answer.send(view);
                }
                Next::Control(Control::Diff(limit, answer)) => {
                    let _ = answer.send(self.sync.diff(limit).map_err(|error| error.to_string()));
                }
                Next::Control(Control::Stop(on_stop, answer)) => {
                    let removed = match on_stop {
                        OnStop::Keep => Ok(0),
                        OnStop::Remove => self.sync.remove_all().map_err(|error| error.to_string()),
                    };
                    self.inbox.lock().closed = true;
                    // The data plane is closed before the answer: who waits for it may end the process.
                    drop(self.sync);
                    let _ = answer.send(removed);
                    return;
                }
                Next::Delta(since, delta) => {
                    self.sync.handle(now(), Input::Delta(delta), &mut self.out);
                    self.measure(since);
                    self.writes_next = true;
                }
                Next::Tick => {
                    self.sync.handle(now(), Input::Tick, &mut self.out);
                    self.writes_next = false;
                }
            }
            self.tell();
        }
    }

    fn measure(&mut self, since: Instant) {
        let took = now().saturating_duration_since(since);
        self.latency.last = took;
        self.latency.longest = self.latency.longest.max(took);
        self.latency.total += took;
        self.latency.batches += 1;
    }

    fn tell(&mut self) {
        for progress in self.out.progress.drain(..) {
            (self.progress)(progress);
        }
    }

    fn next(&self) -> Next {
        let mut lanes = self.inbox.lock();
        loop {
            if let Some(control) = lanes.control.pop_front() {
                return Next::Control(control);
            }
            // A deadline that has passed goes before deltas, or a busy RIB would starve retries.
            let deadline = self.sync.deadline();
            let at = now();
            if deadline.is_some_and(|deadline| deadline <= at) {
                return Next::Tick;
            }
            // Telling and writing take turns: the RIB's thread prepares the next batch while a slice is written.
            let work = self.sync.has_work();
            if !(self.writes_next && work)
                && let Some((since, delta)) = lanes.take()
            {
                return Next::Delta(since, delta);
            }
            if work {
                return Next::Tick;
            }
            lanes = match deadline {
                None => self.inbox.filled.wait(lanes).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let wait = deadline.saturating_duration_since(at);
                    self.inbox.filled.wait_timeout(lanes, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

struct Close(Arc<Inbox>);

impl Drop for Close {
    fn drop(&mut self) {
        let mut lanes = self.0.lock();
        lanes.closed = true;
        // Dropping the questions answers them.
        lanes.control.clear();
        lanes.deltas.clear();
    }
}

#[cfg(test)]
mod tests;
