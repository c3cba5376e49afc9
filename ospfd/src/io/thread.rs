//! The thread of an instance: packets, requests and the clock in; packets, routes and news out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use rib::RouteBatch;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tracing::{debug, error, warn};

use super::handle::{Handle, LsdbChange, Notice, Request, Shared, Stop};
use super::socket::{LONGEST, Port, probe, usable};
use crate::config::{BfdConfig, InstanceConfig};
use crate::id::{InterfaceId, Version};
use crate::instance::Instance;
use crate::message::{Event, Input, Link, Outbox, Output};

/// Requests that may wait; beyond that, whoever asks waits.
const REQUESTS: usize = 1024;
/// Notices, and changes of databases, that a listener may be behind before it misses some.
const NOTICES: usize = 4096;
/// Packets taken from one socket before others have their turn.
const BURST: usize = 64;
/// Sockets that are ready at once; others follow in the next round.
const READY: usize = 64;
/// The key of the bell among the sockets, whose keys are indexes of links.
const BELL: u64 = u64::MAX;
/// How often an address that cannot be used yet is tried.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Longest wait for neighbors to acknowledge that we restart.
const RESTART_MAX: Duration = Duration::from_secs(3);

/// Where routes go. May wait for the RIB, which never waits for us.
pub type RouteSink = Box<dyn FnMut(RouteBatch) + Send>;

/// Starts an instance on a thread of its own.
///
/// # Errors
/// Raw sockets, or the thread, cannot be had.
pub fn spawn(config: InstanceConfig, routes: RouteSink) -> io::Result<Handle> {
    let (version, router) = (config.version, config.router_id);
    probe(version).map_err(|error| {
        let why = format!("OSPF needs raw sockets (CAP_NET_RAW): {error}");
        io::Error::new(error.kind(), why)
    })?;
    let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&wake, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
    let shared = Arc::new(Shared::new(wake));
    let (requests, inbox) = mpsc::channel(REQUESTS);
    let (notices, _) = broadcast::channel(NOTICES);
    let (lsdb, _) = broadcast::channel(NOTICES);
    let (bfd_tx, bfd) = watch::channel(BTreeMap::new());
    let handle = Handle {
        version,
        router,
        requests,
        shared: Arc::clone(&shared),
        notices: notices.clone(),
        lsdb: lsdb.clone(),
        bfd,
    };
    let name = match version {
        Version::V2 => "ospf-v2",
        Version::V3 => "ospf-v3",
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let speaking = speaking(&config);
        let mut instance = Instance::new(clock(), config);
        instance.set_stopwatch(clock);
        Carrier {
            instance,
            out: Outbox::default(),
            version,
            speaking,
            links: HashMap::new(),
            ports: HashMap::new(),
            tentative: BTreeMap::new(),
            mute: HashMap::new(),
            epoll,
            shared,
            inbox,
            routes,
            notices,
            lsdb,
            bfd: bfd_tx,
            restart: None,
        }
        .run();
    })?;
    Ok(handle)
}

#[allow(clippy::disallowed_methods)] // The carrier is where the clock is read.
fn clock() -> Instant {
    Instant::now()
}

/// The names of interfaces that packets go out of and come in on.
fn speaking(config: &InstanceConfig) -> HashSet<String> {
    config.interfaces.iter().filter(|interface| !interface.passive).map(|interface| interface.name.clone()).collect()
}

struct Carrier {
    instance: Instance,
    out: Outbox,
    version: Version,
    speaking: HashSet<String>,
    /// Names of the links there are, loopbacks left out.
    links: HashMap<u32, String>,
    ports: HashMap<u32, Port>,
    /// v3: links whose link-local address cannot be used yet.
    tentative: BTreeMap<u32, (Link, Instant)>,
    /// Links whose last packet could not be sent, or whose socket could not be opened: said once.
    mute: HashMap<u32, io::ErrorKind>,
    epoll: Epoll,
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Request>,
    routes: RouteSink,
    notices: broadcast::Sender<Notice>,
    lsdb: broadcast::Sender<LsdbChange>,
    bfd: watch::Sender<BTreeMap<(InterfaceId, IpAddr), BfdConfig>>,
    /// Somebody waits for neighbors to know that we restart, no longer than until then.
    restart: Option<(Instant, oneshot::Sender<()>)>,
}

impl Carrier {
    fn run(mut self) {
        let mut buffer = vec![0; LONGEST];
        let mut ready = [EpollEvent::empty(); READY];
        loop {
            let count = match self.epoll.wait(&mut ready, self.timeout()) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(error) => {
                    error!(%error, "OSPF cannot wait for its sockets and ends");
                    return;
                }
            };
            // Services first: a withdrawal must not wait behind a database.
            self.mail();
            for event in ready.iter().take(count) {
                if event.data() != BELL {
                    self.receive(u32::try_from(event.data()).unwrap_or(0), &mut buffer);
                } else if !self.requests() {
                    return;
                }
            }
            let now = clock();
            if self.instance.deadline().is_some_and(|due| due <= now) {
                self.tell(now, Input::Tick);
            }
            self.look_again(now);
            if let Some((_, answer)) = self.restart.take_if(|(until, _)| *until <= now) {
                let _ = answer.send(());
                return;
            }
        }
    }

    fn timeout(&self) -> EpollTimeout {
        let restart = self.restart.as_ref().map(|(until, _)| *until);
        let look = self.tentative.values().map(|(_, at)| *at).min();
        let Some(due) = [self.instance.deadline(), restart, look].into_iter().flatten().min() else {
            return EpollTimeout::NONE;
        };
        let wait = due.saturating_duration_since(clock());
        // Rounded up: too early would be in vain.
        let millis = wait.as_micros().div_ceil(1000).min(60_000);
        EpollTimeout::from(u16::try_from(millis).unwrap_or(u16::MAX))
    }

    fn mail(&mut self) {
        let (services, externals) = {
            let mut mailbox = self.shared.mailbox();
            (std::mem::take(&mut mailbox.services), std::mem::take(&mut mailbox.externals))
        };
        for (prefix, announce) in services {
            self.tell(clock(), Input::Service { prefix, announce });
        }
        if !externals.is_empty() {
            self.tell(clock(), Input::Redistribute(externals.into_iter().collect()));
        }
    }

    fn receive(&mut self, index: u32, buffer: &mut [u8]) {
        for _ in 0..BURST {
            let Some(port) = self.ports.get_mut(&index) else { return };
            match port.receive(buffer) {
                Ok(Some(arrival)) => {
                    self.shared.counters.received();
                    let interface = InterfaceId(index);
                    let (src, dst, ttl, bytes) = (arrival.src, arrival.dst, arrival.ttl, arrival.bytes);
                    self.tell(clock(), Input::Packet { interface, src, dst, ttl, bytes });
                }
                Ok(None) => return,
                Err(error) => {
                    // The link is going: its end is told by the monitor.
                    debug!(index, %error, "OSPF socket");
                    return;
                }
            }
        }
    }

    /// Carries out what was asked for; false: the thread ends.
    fn requests(&mut self) -> bool {
        // An error means that the bell was not rung after all.
        let _ = self.shared.wake.read();
        loop {
            match self.inbox.try_recv() {
                Ok(Request::Input(input)) => self.input(input),
                // Who no longer listens needs no answer.
                Ok(Request::View(query, answer)) => _ = answer.send(self.instance.view(clock(), query)),
                Ok(Request::Stop(Stop::Leave, answer)) => {
                    self.tell(clock(), Input::Shutdown);
                    let _ = answer.send(());
                    return false;
                }
                Ok(Request::Stop(Stop::Restart, answer)) => {
                    self.restart = Some((clock() + RESTART_MAX, answer));
                    self.tell(clock(), Input::PrepareRestart);
                }
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.tell(clock(), Input::Shutdown);
                    return false;
                }
            }
        }
    }

    /// Links whose address may have become usable.
    fn look_again(&mut self, now: Instant) {
        let due = self.tentative.extract_if(.., |_, (_, at)| *at <= now);
        for (_, (link, _)) in due.collect::<Vec<_>>() {
            self.input(Input::InterfaceUp(link));
        }
    }

    fn input(&mut self, input: Input) {
        match &input {
            Input::InterfaceUp(link) | Input::AddressesChanged(link) => {
                self.tentative.remove(&link.id.0);
                if let Some(address) = link.link_local
                    && self.version == Version::V3
                    && self.speaking.contains(&link.name)
                    && !usable(address, link.id.0)
                {
                    self.tentative.insert(link.id.0, (link.clone(), clock() + LOOK_AGAIN));
                    return;
                }
                self.prepare(link);
            }
            Input::InterfaceDown(id) => _ = self.tentative.remove(&id.0),
            Input::Config(config) => {
                self.speaking = speaking(config);
                let links: Vec<_> = self.links.iter().map(|(index, name)| (*index, name.clone())).collect();
                for (index, name) in links {
                    self.open_or_close(index, &name);
                }
            }
            _ => {}
        }
        self.tell(clock(), input);
    }

    /// Makes sure that a link that is spoken on has its socket.
    fn prepare(&mut self, link: &Link) {
        if !link.loopback {
            self.links.insert(link.id.0, link.name.clone());
            self.open_or_close(link.id.0, &link.name);
        }
    }

    fn open_or_close(&mut self, index: u32, name: &str) {
        if !self.speaking.contains(name) {
            // Its end in the epoll set comes with its closing.
            self.ports.remove(&index);
            return;
        }
        if self.ports.contains_key(&index) {
            return;
        }
        let opened = Port::open(self.version, name, index).and_then(|port| {
            self.epoll.add(&port, EpollEvent::new(EpollFlags::EPOLLIN, u64::from(index)))?;
            Ok(port)
        });
        match opened {
            Ok(port) => {
                self.mute.remove(&index);
                self.ports.insert(index, port);
            }
            Err(error) => {
                if self.mute.insert(index, error.kind()) != Some(error.kind()) {
                    warn!(interface = name, %error, "OSPF cannot speak on an interface");
                }
            }
        }
    }

    fn tell(&mut self, now: Instant, input: Input) {
        let gone = if let Input::InterfaceDown(id) = &input { Some(id.0) } else { None };
        self.instance.handle(now, input, &mut self.out);
        let outputs = std::mem::take(&mut self.out.outputs);
        self.carry(&outputs);
        for output in outputs {
            if let Output::Routes(batch) = output {
                (self.routes)(batch);
            }
        }
        if let Some(index) = gone {
            // An interface that comes back may be another one with the same number.
            self.ports.remove(&index);
            self.links.remove(&index);
        }
    }

    fn carry(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Send { interface, src, dst, ttl, bytes } => self.send(interface.0, *src, *dst, *ttl, bytes),
                Output::Routes(_) => {}
                Output::Alarm(alarm) => _ = self.notices.send(Notice::Alarm(alarm.clone())),
                Output::Event(event) => self.event(event),
                Output::BfdWanted { interface, address, session } => self.bfd.send_modify(|wanted| {
                    let key = (*interface, *address);
                    match session {
                        Some(session) => _ = wanted.insert(key, *session),
                        None => _ = wanted.remove(&key),
                    }
                }),
            }
        }
    }

    fn send(&mut self, index: u32, src: IpAddr, dst: IpAddr, ttl: u8, bytes: &[u8]) {
        let Some(port) = self.ports.get(&index) else { return };
        let done = port.send(src, dst, ttl, bytes);
        self.shared.counters.sent(&done);
        match done {
            Ok(()) => _ = self.mute.remove(&index),
            Err(error) => {
                if self.mute.insert(index, error.kind()) != Some(error.kind()) {
                    debug!(index, %src, %dst, %error, "an OSPF packet could not be sent");
                }
            }
        }
    }

    fn event(&mut self, event: &Event) {
        if let Event::Lsa { area, interface, header, gone } = event {
            let change = LsdbChange { area: *area, interface: *interface, header: *header, gone: *gone };
            if self.lsdb.send(change).is_err() {
                // Nobody listens any more.
                self.instance.handle(clock(), Input::WatchLsdb(false), &mut self.out);
            }
            return;
        }
        if matches!(event, Event::ReadyToRestart)
            && let Some((until, _)) = &mut self.restart
        {
            *until = clock();
        }
        // Nobody listening is no error.
        let _ = self.notices.send(Notice::Event(event.clone()));
    }
}
