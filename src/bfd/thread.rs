//! The carrier of BFD: a thread of its own, before others in the kernel's eyes where it may be, so that loaded cores are not
//! taken for broken paths. It reads everything that has come before it looks at its timers: a packet that waited in a socket
//! has arrived in time.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::packet::{Discriminator, State};
use super::path::{Wanted, forwards, resolve};
use super::session::Timers;
use super::socket::{Port, Receiver, Senders, buffer};
use super::table::{ClientId, Input, Output, Path, Row, Table};

/// Commands that may wait; more let the caller wait.
const COMMANDS_MAX: usize = 256;
/// Datagrams taken from a socket before the next one has its turn.
const BURST: usize = 64;
/// How often a path that could not be found, or that is down, is looked up again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a client sees of its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Times the path failed since the client asked: the session left Up, and no operator did it (RFC 5882 §3.2).
    pub failures: u64,
    /// Why there is no session yet.
    pub missing: Option<String>,
}

/// A session, or the wish for one, as people see it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What was asked for.
    pub wanted: Wanted,
    /// The session; none if its path is not found, see [`missing`](Self::missing).
    pub row: Option<Row>,
    /// Why there is none.
    pub missing: Option<String>,
}

enum Command {
    Want { wanted: Wanted, timers: Timers, status: watch::Sender<Status> },
    List(oneshot::Sender<Vec<Listed>>),
    Shutdown(oneshot::Sender<()>),
}

/// A client's share of a session; dropped, the client no longer depends on it.
#[derive(Debug)]
pub struct Subscription {
    status: Option<watch::Receiver<Status>>,
    wake: Arc<EventFd>,
}

impl Subscription {
    /// The status now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.as_ref().map(|status| status.borrow().clone()).unwrap_or_default()
    }

    /// Waits for the next change of the status; never returns if BFD has ended.
    pub async fn changed(&mut self) -> Status {
        if let Some(status) = &mut self.status
            && status.changed().await.is_ok()
        {
            return status.borrow_and_update().clone();
        }
        std::future::pending().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.status = None;
        // The thread looks for clients that have gone. An error means that it has ended.
        let _ = self.wake.write(1);
    }
}

/// The way to BFD. The thread ends after [`Bfd::shutdown`], or when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Bfd {
    commands: mpsc::Sender<Command>,
    wake: Arc<EventFd>,
}

impl Bfd {
    async fn send(&self, command: Command) {
        // An error means that the thread has ended: whoever waits for an answer learns it by the dropped sender.
        let _ = self.commands.send(command).await;
        let _ = self.wake.write(1);
    }

    /// Depends on a path from now on. While it cannot be found (an interface or an address is missing), it is looked for
    /// again every second, and the status says what is missing.
    pub async fn subscribe(&self, wanted: Wanted, timers: Timers) -> Subscription {
        let (sender, status) = watch::channel(Status::default());
        self.send(Command::Want { wanted, timers, status: sender }).await;
        Subscription { status: Some(status), wake: Arc::clone(&self.wake) }
    }

    /// Every session, and every wish that has none yet.
    pub async fn list(&self) -> Vec<Listed> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::List(answer)).await;
        answered.await.unwrap_or_default()
    }

    /// Tells the other sides that the end of our sessions is no failure, and ends the thread.
    pub async fn shutdown(&self) {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Shutdown(answer)).await;
        let _ = answered.await;
    }
}

/// Starts BFD. Its ports are bound when the first session needs them.
///
/// # Errors
/// The thread, or what wakes it, cannot be made.
pub fn spawn(seed: u64) -> io::Result<Bfd> {
    let wake = Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let woken = Arc::clone(&wake);
    std::thread::Builder::new().name("bfd".to_owned()).spawn(move || {
        come_first();
        Carrier::new(seed, inbox, woken).run();
    })?;
    Ok(Bfd { commands, wake })
}

/// Asks the kernel to run this thread before ordinary ones.
fn come_first() {
    let lowest = ThreadPriorityValue::try_from(1).map(ThreadPriority::Crossplatform);
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    let done = lowest.map(|priority| set_thread_priority_and_policy(thread_native_id(), priority, policy));
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::info!(
            ?error,
            "BFD runs at ordinary priority: give the daemon CAP_SYS_NICE if cores are loaded and intervals below 100 ms"
        ),
        Err(error) => tracing::debug!(%error, "no real-time priority"),
    }
}

struct Client {
    wanted: Wanted,
    timers: Timers,
    status: watch::Sender<Status>,
    /// Where it is now; `Err` says why nowhere.
    path: Result<Path, String>,
    /// The session's failures when this client joined.
    before: u64,
}

struct Carrier {
    table: Table,
    clients: HashMap<ClientId, Client>,
    last: u64,
    receivers: HashMap<(Port, bool), Receiver>,
    senders: Senders,
    inbox: mpsc::Receiver<Command>,
    wake: Arc<EventFd>,
    look_again: Option<Instant>,
    outputs: Vec<Output>,
    /// Sessions whose last packet could not be sent: said once, not for each packet.
    mute: HashMap<Discriminator, io::ErrorKind>,
}

#[allow(clippy::disallowed_methods)] // The carrier is where the clock is read.
fn clock() -> Instant {
    Instant::now()
}

impl Carrier {
    fn new(seed: u64, inbox: mpsc::Receiver<Command>, wake: Arc<EventFd>) -> Self {
        Self {
            table: Table::new(seed),
            clients: HashMap::new(),
            last: 0,
            receivers: HashMap::new(),
            senders: Senders::new(seed.rotate_left(17)),
            inbox,
            wake,
            look_again: None,
            outputs: Vec::new(),
            mute: HashMap::new(),
        }
    }

    fn run(mut self) {
        loop {
            let due = [self.table.deadline(), self.look_again].into_iter().flatten().min();
            let ready = match self.wait(due) {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::error!(%error, "BFD cannot wait for its sockets and ends");
                    return;
                }
            };
            for port in ready {
                self.receive(port);
            }
            if !self.commands() {
                return;
            }
            let now = clock();
            if self.table.deadline().is_some_and(|at| at <= now) {
                self.tell(now, Input::Tick);
            }
            if self.look_again.is_some_and(|at| at <= now) {
                self.look_again(now);
            }
        }
    }

    fn wait(&self, due: Option<Instant>) -> io::Result<Vec<(Port, bool)>> {
        let mut fds = vec![PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        let ports: Vec<_> = self.receivers.keys().copied().collect();
        fds.extend(ports.iter().map(|port| PollFd::new(self.receivers[port].as_fd(), PollFlags::POLLIN)));
        let timeout = due.map(|due| TimeSpec::from_duration(due.saturating_duration_since(clock())));
        match ppoll(&mut fds, timeout, None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = ports.into_iter().zip(&fds[1..]).filter(|(_, fd)| fd.any().unwrap_or(true));
        Ok(ready.map(|(port, _)| port).collect())
    }

    fn receive(&mut self, port: (Port, bool)) {
        let mut octets = buffer();
        for _ in 0..BURST {
            let Some(receiver) = self.receivers.get_mut(&port) else { return };
            let (arrival, from, octets) = match receiver.receive(&mut octets) {
                Ok(Some(got)) => got,
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(%error, "BFD socket");
                    return;
                }
            };
            if receiver.port() != Port::Echo {
                self.tell(clock(), Input::Received(arrival, octets));
            } else if self.table.reflects(&arrival) {
                // A lost echo packet is the sender's to notice.
                let _ = receiver.reflect(from, octets);
            }
        }
    }

    /// Carries out what was asked for; false: the thread ends.
    fn commands(&mut self) -> bool {
        if self.wake.read().is_err() {
            // Nothing was asked for.
            return true;
        }
        loop {
            match self.inbox.try_recv() {
                Ok(Command::Want { wanted, timers, status }) => self.want(wanted, timers, status),
                // Who no longer listens needs no answer.
                Ok(Command::List(answer)) => _ = answer.send(self.list()),
                Ok(Command::Shutdown(answer)) => {
                    self.tell(clock(), Input::Shutdown);
                    let _ = answer.send(());
                    return false;
                }
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.tell(clock(), Input::Shutdown);
                    return false;
                }
            }
        }
        let gone: Vec<_> =
            self.clients.iter().filter(|(_, client)| client.status.is_closed()).map(|(id, _)| *id).collect();
        for client in gone {
            self.clients.remove(&client);
            self.tell(clock(), Input::Unwant { client });
        }
        true
    }

    fn want(&mut self, wanted: Wanted, timers: Timers, status: watch::Sender<Status>) {
        self.last += 1;
        let id = ClientId(self.last);
        let client = Client { wanted, timers, status, path: Err(String::new()), before: 0 };
        self.clients.insert(id, client);
        self.place(clock(), id);
    }

    /// Finds a client's path and gives it its session.
    fn place(&mut self, now: Instant, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let found = resolve(&client.wanted);
        if found == client.path {
            return;
        }
        client.path = found.clone();
        match found {
            Ok(path) => {
                let timers = client.timers;
                self.tell(now, Input::Want { client: id, path, timers, echo: forwards(&path) });
                let failures = self.table.of(id).map_or(0, |row| row.session.failures);
                if let Some(client) = self.clients.get_mut(&id) {
                    client.before = failures.saturating_sub(client.status.borrow().failures);
                }
                self.report(id);
            }
            Err(missing) => {
                tracing::debug!(peer = %client.wanted.peer, %missing, "no path for a BFD session");
                self.tell(now, Input::Unwant { client: id });
                if let Some(client) = self.clients.get(&id) {
                    client.status.send_modify(|status| {
                        status.state = State::Down;
                        status.missing = Some(missing);
                    });
                }
            }
        }
        self.look_again.get_or_insert(now + LOOK_AGAIN);
    }

    /// Paths that are missing or down may be others now: an interface came back with another index, an address moved.
    fn look_again(&mut self, now: Instant) {
        let down = |id: &ClientId| self.table.of(*id).is_none_or(|row| row.session.state != State::Up);
        let down: Vec<_> = self.clients.keys().copied().filter(down).collect();
        for id in &down {
            self.place(now, *id);
        }
        self.look_again = (!self.clients.is_empty()).then_some(now + LOOK_AGAIN);
    }

    fn report(&self, id: ClientId) {
        let (Some(client), Some(row)) = (self.clients.get(&id), self.table.of(id)) else { return };
        let failures = row.session.failures.saturating_sub(client.before);
        client.status.send_replace(Status { state: row.session.state, failures, missing: None });
    }

    fn tell(&mut self, now: Instant, input: Input<'_>) {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.table.handle(now, input, &mut outputs);
        for output in outputs.drain(..) {
            self.carry(output);
        }
        self.outputs = outputs;
    }

    fn carry(&mut self, output: Output) {
        match output {
            Output::Open(session, path) => self.open(session, &path),
            Output::Send(session, packet) => match self.senders.send(session, &packet) {
                Ok(()) => _ = self.mute.remove(&session),
                Err(error) => {
                    if self.mute.insert(session, error.kind()) != Some(error.kind()) {
                        tracing::debug!(%session, %error, "a BFD packet could not be sent");
                    }
                }
            },
            Output::State { session, from, to } => {
                if let Some(row) = self.table.row(session) {
                    tracing::info!(peer = %row.path.peer, %from, %to, diagnostic = %row.session.diagnostic, "BFD state");
                }
                let clients: Vec<_> = self.table.clients(session).collect();
                for client in clients {
                    self.report(client);
                }
            }
            Output::Close(session) => {
                self.senders.close(session);
                self.mute.remove(&session);
            }
        }
    }

    fn open(&mut self, session: Discriminator, path: &Path) {
        let ipv6 = path.peer.is_ipv6();
        let ports: &[Port] = if path.link.is_some() { &[Port::Single, Port::Echo] } else { &[Port::Multi] };
        for port in ports {
            if self.receivers.contains_key(&(*port, ipv6)) {
                continue;
            }
            match Receiver::open(*port, ipv6) {
                Ok(receiver) => _ = self.receivers.insert((*port, ipv6), receiver),
                Err(error) => tracing::error!(
                    ?port,
                    ipv6,
                    %error,
                    "BFD cannot listen: no session of this kind comes up. Another BFD daemon may run here (see `ss -lunp`)"
                ),
            }
        }
        if let Err(error) = self.senders.open(session, path) {
            tracing::warn!(peer = %path.peer, local = %path.local, %error, "BFD cannot send to a peer");
        }
    }

    fn list(&self) -> Vec<Listed> {
        let mut seen = std::collections::HashSet::new();
        let mut listed = Vec::new();
        for (id, client) in &self.clients {
            let row = self.table.of(*id);
            if row.is_none_or(|row| seen.insert(row.session.local_discriminator)) {
                listed.push(Listed { wanted: client.wanted.clone(), row, missing: client.path.clone().err() });
            }
        }
        listed.sort_by(|a, b| (a.wanted.peer, &a.wanted.interface).cmp(&(b.wanted.peer, &b.wanted.interface)));
        listed
    }
}
