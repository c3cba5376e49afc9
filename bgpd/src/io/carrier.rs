//! The thread's own state: the speaker, its connections and where its outputs go. Borrowed for one slice at a time.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rib::Source;
use tokio::net::TcpStream;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::task::{AbortHandle, spawn_local};
use tracing::{debug, error, info, warn};

use super::door::Door;
use super::handle::{Request, RequestError, Tally, count};
use super::keys::Keys;
use super::lanes::Lanes;
use super::{IoConfig, RibSink, connection, discover};
use crate::config::SpeakerConfig;
use crate::session::ConnId;
use crate::speaker::message::{Command, Event, Input, Output, Query, Reply};
use crate::speaker::{Progress, Speaker};

/// Octets read from a connection at once.
const READ_MAX: usize = 64 * 1024;

/// While the RIB takes nothing, timers still run, but not more often: each run may leave a batch.
const PAUSED_WORK_EVERY: Duration = Duration::from_millis(100);

/// Batches that may wait for the RIB before timers stop too. Only a RIB that is dead gets here: the hold timers of the peers
/// then end the sessions, which is the truth.
const RIB_BACKLOG_MAX: usize = 4096;

/// Longest time from the shutdown to the end of the thread, whatever the peers do.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// What the thread starts with.
pub(super) struct Parts {
    pub(super) speaker: SpeakerConfig,
    pub(super) io: IoConfig,
    pub(super) rib: RibSink,
    pub(super) listeners: Vec<std::net::TcpListener>,
    /// What the listeners demand of those who connect.
    pub(super) keys: Keys,
    pub(super) lanes: Arc<Lanes>,
    pub(super) counters: Arc<Tally>,
    pub(super) inbox: mpsc::Receiver<Request>,
    pub(super) events: broadcast::Sender<Event>,
}

/// A connection as its tasks and the speaker's outputs share it.
#[derive(Default)]
pub(super) struct Link {
    /// There is something to transmit, or the connection is to be closed, or it is gone.
    pub(super) wake: Notify,
    /// The connection is to be closed.
    pub(super) close: Notify,
    /// To be closed as soon as everything is sent.
    pub(super) closing: Cell<bool>,
    /// Who made it, if it was accepted.
    pub(super) peer: Option<IpAddr>,
    /// No more: the speaker has been told.
    pub(super) gone: Cell<bool>,
    /// The task that dials, then the one that reads.
    pub(super) task: RefCell<Option<AbortHandle>>,
    /// The connection, once it stands.
    pub(super) stream: RefCell<Weak<TcpStream>>,
    /// Octets were read and the speaker has not heard them all.
    pub(super) reading: Cell<bool>,
}

/// The carrier.
pub(super) struct Carrier {
    pub(super) io: IoConfig,
    pub(super) counters: Arc<Tally>,
    pub(super) state: RefCell<State>,
    lanes: Arc<Lanes>,
    /// The speaker's deadline has moved forward.
    rearm: Notify,
    /// The backlog has something for the RIB.
    rib_more: Notify,
    /// The backlog is empty again.
    rib_room: Notify,
    /// The speaker has finished.
    finished: Notify,
}

/// What a slice of work borrows.
pub(super) struct State {
    pub(super) speaker: Speaker,
    pub(super) links: HashMap<ConnId, Rc<Link>>,
    inbox: mpsc::Receiver<Request>,
    pub(super) events: broadcast::Sender<Event>,
    rib: RibSink,
    backlog: VecDeque<rib::message::Input>,
    rib_gone: bool,
    armed: Option<Instant>,
    pub(super) door: Door,
    /// Tasks that look for neighbors, by interface.
    searches: HashMap<Arc<str>, AbortHandle>,
    outputs: Vec<Output>,
    scratch: BytesMut,
    shutting_down: bool,
}

/// The clock. Machines get the time as an argument; this is where it comes from.
#[allow(clippy::disallowed_methods)] // the carrier is the one place with a clock
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Runs until the speaker has finished.
pub(super) async fn run(parts: Parts) {
    let Parts { speaker, io, rib, listeners, keys, lanes, counters, inbox, events } = parts;
    let mut outputs = Vec::new();
    let speaker = Speaker::new(now(), speaker, &mut outputs);
    let state = State {
        speaker,
        links: HashMap::new(),
        inbox,
        events,
        rib,
        backlog: VecDeque::new(),
        rib_gone: false,
        armed: None,
        door: Door::new(keys),
        searches: HashMap::new(),
        outputs,
        scratch: BytesMut::new(),
        shutting_down: false,
    };
    let carrier = Rc::new(Carrier {
        io,
        counters,
        state: RefCell::new(state),
        lanes,
        rearm: Notify::new(),
        rib_more: Notify::new(),
        rib_room: Notify::new(),
        finished: Notify::new(),
    });
    carrier.search();
    carrier.dispatch();
    for listener in listeners {
        spawn_local(Rc::clone(&carrier).accept(listener));
    }
    spawn_local(Rc::clone(&carrier).timers());
    spawn_local(Rc::clone(&carrier).feed_rib());
    spawn_local(Rc::clone(&carrier).urgent_lane());
    spawn_local(Rc::clone(&carrier).request_lane());
    carrier.finished.notified().await;
    carrier.last_octets().await;
}

impl Carrier {
    /// Gives the speaker an input and carries out what it wants.
    pub(super) fn handle(self: &Rc<Self>, input: Input) {
        let state = &mut *self.state.borrow_mut();
        state.speaker.handle(now(), input, &mut state.outputs);
        self.carry_out(state);
    }

    /// One slice of reading: urgent work first, then whole messages from `buf` until the budget ends.
    pub(super) fn receive(self: &Rc<Self>, conn: ConnId, buf: &mut BytesMut) -> Progress {
        self.urgent();
        let state = &mut *self.state.borrow_mut();
        let progress = state.speaker.receive(now(), conn, buf, &mut state.outputs);
        self.carry_out(state);
        progress
    }

    /// One slice of writing: urgent work first, so that a withdrawal is among what is pulled.
    pub(super) fn transmit(self: &Rc<Self>, conn: ConnId, max_octets: usize, pieces: &mut Vec<Bytes>) {
        self.urgent();
        let state = &mut *self.state.borrow_mut();
        state.speaker.transmit(conn, max_octets, pieces);
        self.arm(state);
    }

    /// The connection is no more: it ended from the other side, failed, or was closed and its last octets are sent or given up.
    /// The speaker is told once.
    pub(super) fn lost(self: &Rc<Self>, conn: ConnId, link: &Link) {
        if !link.gone.replace(true) {
            {
                let state = &mut *self.state.borrow_mut();
                state.links.remove(&conn);
                if let Some(peer) = link.peer {
                    state.door.leave(peer);
                }
            }
            link.wake.notify_one();
            if let Some(task) = link.task.borrow_mut().take() {
                task.abort();
            }
            self.handle(Input::Closed { conn });
        }
    }

    /// The dial came to nothing.
    pub(super) fn dial_failed(self: &Rc<Self>, conn: ConnId, error: String) {
        self.state.borrow_mut().links.remove(&conn);
        self.handle(Input::ConnectFailed { conn, error });
    }

    /// A buffer with room for one read.
    pub(super) fn take_buffer(&self, leftover: BytesMut) -> BytesMut {
        let mut buf = if leftover.is_empty() { std::mem::take(&mut self.state.borrow_mut().scratch) } else { leftover };
        buf.reserve(READ_MAX);
        buf
    }

    /// Gives the buffer back and keeps only what is left in it: an idle connection holds no memory.
    pub(super) fn put_buffer(&self, mut buf: BytesMut) -> BytesMut {
        let leftover = if buf.is_empty() { BytesMut::new() } else { BytesMut::from(&buf[..]) };
        buf.clear();
        self.state.borrow_mut().scratch = buf;
        leftover
    }

    /// Returns when the RIB has taken what was waiting for it. Until then nothing is read: TCP slows the peers.
    pub(super) async fn rib_has_room(&self) {
        loop {
            let room = self.rib_room.notified();
            if self.state.borrow().backlog.is_empty() {
                return;
            }
            room.await;
        }
    }

    /// Takes everything from the urgent lanes.
    fn urgent(self: &Rc<Self>) {
        let urgent = self.lanes.take();
        if let Some(addresses) = urgent.addresses {
            self.handle(Input::Addresses(addresses));
        }
        if let Some(states) = urgent.reach {
            self.handle(Input::Reach(states));
        }
        if let Some(answers) = urgent.answers {
            self.handle(Input::Answers(answers));
        }
        if let Some(batch) = urgent.local {
            self.handle(Input::Local(batch));
        }
        loop {
            let request = self.state.borrow_mut().inbox.try_recv();
            let Ok(request) = request else { break };
            self.answer(request);
        }
    }

    fn answer(self: &Rc<Self>, request: Request) {
        // Whoever asked may have gone: then nobody needs the answer.
        match request {
            Request::Query(query, answer) => {
                let state = self.state.borrow();
                let mut reply = state.speaker.view(now(), &query);
                state.annotate(&mut reply);
                let _ = answer.send(reply);
            }
            Request::Configure(config, answer) => {
                self.handle(Input::Configure(config));
                self.state.borrow_mut().protect_listeners();
                self.search();
                let _ = answer.send(());
            }
            Request::Command(command, answer) => {
                let _ = answer.send(self.command(command));
            }
        }
    }

    fn command(self: &Rc<Self>, command: Command) -> Result<(), RequestError> {
        let named = match &command {
            Command::SetEnabled { neighbor, .. }
            | Command::Reset { neighbor }
            | Command::SoftIn { neighbor }
            | Command::SoftOut { neighbor }
            | Command::Drain { neighbor }
            | Command::PathDown { neighbor } => Some(neighbor.clone()),
            Command::Shutdown | Command::Restart => None,
        };
        if let Some(neighbor) = named {
            let query = Query::Neighbors(Some(neighbor));
            if let Reply::NoSuchNeighbor(key) = self.state.borrow().speaker.view(now(), &query) {
                return Err(RequestError::NoSuchNeighbor(key));
            }
            self.handle(Input::Command(command));
        } else {
            self.shut_down(command);
        }
        Ok(())
    }

    fn shut_down(self: &Rc<Self>, how: Command) {
        if !std::mem::replace(&mut self.state.borrow_mut().shutting_down, true) {
            self.handle(Input::Command(how));
            let carrier = Rc::clone(self);
            spawn_local(async move {
                tokio::time::sleep(SHUTDOWN_MAX).await;
                warn!("BGP sessions did not end within {SHUTDOWN_MAX:?}; the rest is cut off");
                carrier.finished.notify_one();
            });
        }
    }

    fn dispatch(self: &Rc<Self>) {
        let state = &mut *self.state.borrow_mut();
        self.carry_out(state);
    }

    fn carry_out(self: &Rc<Self>, state: &mut State) {
        let mut outputs = std::mem::take(&mut state.outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Connect { conn, remote, local, interface, protection } => {
                    let link = Rc::new(Link::default());
                    state.links.insert(conn, Rc::clone(&link));
                    let link_of_dial = Rc::clone(&link);
                    let carrier = Rc::clone(self);
                    let dial = connection::dial(carrier, conn, link_of_dial, remote, local, interface, protection);
                    *link.task.borrow_mut() = Some(spawn_local(dial).abort_handle());
                }
                Output::Close { conn } => {
                    if let Some(link) = state.links.remove(&conn) {
                        link.closing.set(true);
                        link.wake.notify_one();
                        link.close.notify_one();
                        // Nothing is read any more, and a dial ends here.
                        if let Some(task) = link.task.borrow_mut().take() {
                            task.abort();
                        }
                    }
                }
                Output::Writable { conn } => {
                    if let Some(link) = state.links.get(&conn) {
                        link.wake.notify_one();
                    }
                }
                Output::Rib(batch) => self.to_rib(state, rib::message::Input::Routes(batch)),
                Output::Track { add, remove } => {
                    self.to_rib(state, rib::message::Input::Track { client: Source::Bgp, add, remove });
                }
                Output::Event(event) => {
                    log(&event);
                    // No subscriber is no error.
                    let _ = state.events.send(event);
                }
                Output::Finished => self.finished.notify_one(),
            }
        }
        state.outputs = outputs;
        self.arm(state);
    }

    fn to_rib(&self, state: &mut State, input: rib::message::Input) {
        if state.rib_gone {
            return;
        }
        if !state.backlog.is_empty() {
            state.backlog.push_back(input);
            return;
        }
        match state.rib.try_send(input) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(input)) => {
                count(&self.counters.rib_full, 1);
                state.backlog.push_back(input);
                self.rib_more.notify_one();
            }
            Err(mpsc::error::TrySendError::Closed(_)) => self.rib_is_gone(state),
        }
    }

    fn rib_is_gone(&self, state: &mut State) {
        if !std::mem::replace(&mut state.rib_gone, true) && !state.shutting_down {
            error!("the RIB has stopped while BGP is running: routes go nowhere until the daemon is restarted");
        }
        state.backlog.clear();
        self.rib_room.notify_waiters();
    }

    /// Wakes the timer if the deadline is earlier than the one it sleeps for.
    fn arm(&self, state: &mut State) {
        let deadline = state.speaker.deadline();
        if deadline.is_some_and(|deadline| state.armed.is_none_or(|armed| deadline < armed)) {
            state.armed = deadline;
            self.rearm.notify_one();
        }
    }

    async fn timers(self: Rc<Self>) {
        loop {
            let (deadline, paused) = {
                let state = &mut *self.state.borrow_mut();
                state.armed = state.speaker.deadline();
                (state.armed, state.backlog.len())
            };
            let Some(deadline) = deadline else {
                self.rearm.notified().await;
                continue;
            };
            if paused >= RIB_BACKLOG_MAX {
                self.rib_has_room().await;
            } else if paused > 0 {
                tokio::time::sleep(PAUSED_WORK_EVERY).await;
            }
            if deadline > now() {
                tokio::select! {
                    () = tokio::time::sleep_until(deadline.into()) => {}
                    () = self.rearm.notified() => continue,
                }
            }
            self.urgent();
            self.handle(Input::Work);
            // Sockets are polled and everybody else has a turn before the next slice.
            tokio::task::yield_now().await;
        }
    }

    async fn feed_rib(self: Rc<Self>) {
        let rib = self.state.borrow().rib.clone();
        loop {
            self.rib_more.notified().await;
            loop {
                let permit = rib.reserve().await;
                let state = &mut *self.state.borrow_mut();
                let Ok(permit) = permit else {
                    self.rib_is_gone(state);
                    return;
                };
                let Some(input) = state.backlog.pop_front() else { break };
                permit.send(input);
                if state.backlog.is_empty() {
                    self.rib_room.notify_waiters();
                    break;
                }
            }
        }
    }

    async fn urgent_lane(self: Rc<Self>) {
        loop {
            self.lanes.filled().await;
            self.urgent();
        }
    }

    async fn request_lane(self: Rc<Self>) {
        loop {
            let request = std::future::poll_fn(|cx| self.state.borrow_mut().inbox.poll_recv(cx)).await;
            let Some(request) = request else { break };
            self.answer(request);
        }
        // Every handle is gone: nobody could stop us later.
        self.shut_down(Command::Shutdown);
    }

    /// Looks for neighbors on the interfaces that want it, and no longer on others.
    fn search(self: &Rc<Self>) {
        let state = &mut *self.state.borrow_mut();
        let wanted = state.speaker.searched();
        state.searches.retain(|name, task| {
            let keep = wanted.contains(name) && !task.is_finished();
            if !keep {
                task.abort();
            }
            keep
        });
        for name in wanted {
            let carrier = Rc::clone(self);
            let task = || spawn_local(discover::run(carrier, Arc::clone(&name))).abort_handle();
            state.searches.entry(Arc::clone(&name)).or_insert_with(task);
        }
    }

    /// A neighbor was found, or its link is down. Its password is demanded before it is dialled.
    pub(super) fn found(self: &Rc<Self>, input: Input) {
        self.handle(input);
        self.state.borrow_mut().protect_listeners();
    }

    /// Starts the tasks of a connection that stands.
    pub(super) fn start(self: &Rc<Self>, conn: ConnId, link: &Rc<Link>, stream: TcpStream) {
        let stream = Rc::new(stream);
        *link.stream.borrow_mut() = Rc::downgrade(&stream);
        let reader = connection::read(Rc::clone(self), conn, Rc::clone(link), Rc::clone(&stream));
        *link.task.borrow_mut() = Some(spawn_local(reader).abort_handle());
        let writer = connection::write(Rc::clone(self), conn, Rc::clone(link), stream);
        spawn_local(writer);
    }

    /// Gives closing connections the time to send what they have.
    async fn last_octets(self: &Rc<Self>) {
        let deadline = now() + self.io.close_timeout;
        while connection::open() > 0 && now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// One line per transition, none per route.
pub(super) fn log(event: &Event) {
    match event {
        Event::Neighbor { neighbor, from, to, reason } => {
            info!(peer = %neighbor, ?from, ?to, ?reason, "session state");
        }
        Event::UnknownPeer { remote } => debug!(%remote, "connection from an address that is no neighbor refused"),
        Event::NearLimit { .. } | Event::NoPlace { .. } => {}
        Event::UpdateFault { neighbor, what } => debug!(peer = %neighbor, what, "faulty UPDATE"),
    }
}
