//! What the backend and its watcher share: the connection, and what the agent has been told over it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use rib::{Discard, FibFault, FibRoute, Forwarding, IfIndex, NextHopId, NextHopOp};
use smallvec::SmallVec;

use super::DpdkConfig;
use super::agent::{Agent, Ended};
use super::child::Router;
use crate::backend::{BackendError, Installed, Refusal};
use crate::fpm::book::{Book, LEGS, Message};
use crate::fpm::messages;
use crate::memory::is_local;
use crate::netlink::decode::{self, NextHop};
use crate::netlink::encode::{self, RTM_NEWNEXTHOP, RTM_NEWROUTE, RTN_LOCAL, Target};
use crate::netlink::neighbors::{self, Event};

/// A router that we started is given so long to listen, in steps.
const START_STEPS: u32 = 400;
const START_STEP: Duration = Duration::from_millis(50);
/// As many as a group may have in any agent.
const LEGS_MOST: usize = 256;

type Mac = [u8; 6];

/// What is to be sent for a route.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Object(u32),
    Discard(Discard),
    Punt,
    Remove,
}

struct Write {
    prefix: IpNet,
    what: What,
}

pub(super) struct State {
    config: DpdkConfig,
    agent: Option<Agent>,
    router: Option<Router>,
    book: Book,
    /// Our addresses: they go to the host, whatever the RIB says of them.
    local: HashSet<IpAddr>,
    /// Prefixes sent to the host: by this run, and as found.
    punts: HashSet<IpNet>,
    found_punts: HashSet<IpNet>,
    /// The RIB's routes for single addresses, which ours may hide; 0 if the object is not known.
    hosts: HashMap<IpNet, NextHopId>,
    /// Everybody on any link, and if that was confirmed lately.
    known: HashMap<(IfIndex, IpAddr), (Mac, bool)>,
    pub(super) links: HashMap<IfIndex, String>,
    pub(super) ended: Option<Ended>,
    /// Objects came since the watcher looked.
    pub(super) new_legs: bool,
}

fn is_host(prefix: IpNet) -> bool {
    prefix.prefix_len() == prefix.max_prefix_len()
}

fn fault(errno: i32) -> FibFault {
    match errno {
        libc::ENOSPC | libc::ENOMEM => FibFault::CapacityExceeded,
        errno => FibFault::Errno(errno),
    }
}

impl State {
    pub(super) fn new(config: DpdkConfig) -> Self {
        Self {
            config,
            agent: None,
            router: None,
            book: Book::default(),
            local: HashSet::new(),
            punts: HashSet::new(),
            found_punts: HashSet::new(),
            hosts: HashMap::new(),
            known: HashMap::new(),
            links: HashMap::new(),
            ended: None,
            new_legs: false,
        }
    }

    pub(super) fn agent(&self) -> Option<&Agent> {
        self.agent.as_ref()
    }

    #[allow(clippy::needless_pass_by_value)] // As `map_err` hands it over.
    fn lost(&mut self, error: io::Error) -> BackendError {
        self.agent = None;
        BackendError::Lost(format!("the agent at {}: {error}", self.config.socket.display()))
    }

    /// Runs `work` with the connection; one that fails is closed.
    pub(super) fn with<T>(&mut self, work: impl FnOnce(&mut Agent) -> io::Result<T>) -> Result<T, BackendError> {
        let agent = self.agent.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        agent.and_then(work).map_err(|error| self.lost(error))
    }

    fn connect(&mut self) -> Result<(), BackendError> {
        if self.agent.is_some() {
            return Ok(());
        }
        let agent = match Agent::connect(&self.config.socket, self.ended.clone()) {
            Err(_) if self.config.bundled.is_some() => self.start_router(),
            other => other,
        };
        let agent = agent.map_err(|error| self.lost(error))?;
        if let (Some(bundled), true, None, Some(pid)) =
            (&self.config.bundled, agent.hello.child, &self.router, agent.pid())
        {
            self.router = Some(Router::adopt(bundled, &self.config.socket, pid));
        }
        tracing::info!(
            socket = %self.config.socket.display(),
            ports = agent.hello.ports.len(),
            started = agent.hello.started,
            "DPDK agent connected"
        );
        self.agent = Some(agent);
        Ok(())
    }

    fn start_router(&mut self) -> io::Result<Agent> {
        let Some(bundled) = self.config.bundled.clone() else { return Err(io::ErrorKind::NotFound.into()) };
        if self.router.as_mut().is_none_or(|router| router.ended().is_some()) {
            self.router = Some(Router::start(&bundled, &self.config.socket)?);
        }
        for _ in 0..START_STEPS {
            match Agent::connect(&self.config.socket, self.ended.clone()) {
                Ok(agent) => return Ok(agent),
                Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                    return Err(error);
                }
                Err(_) => {}
            }
            if let Some(status) = self.router.as_mut().and_then(Router::ended) {
                return Err(io::Error::other(format!("the router ended at once: {status}; what it says is above")));
            }
            std::thread::sleep(START_STEP);
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the router was started and does not listen"))
    }

    pub(super) fn apply(
        &mut self,
        next_hops: &[NextHopOp],
        routes: &[FibRoute],
        unused: &[NextHopId],
        refused: &mut Vec<Refusal>,
    ) -> Result<(), BackendError> {
        if self.agent.is_none() {
            return Err(self.lost(io::ErrorKind::NotConnected.into()));
        }
        let mut objects = Vec::new();
        let mut old = unused.to_vec();
        for op in next_hops {
            self.book.want(op.id, op.forwarding.clone());
            match &op.forwarding {
                Some(Forwarding::Legs(legs)) if legs.is_empty() || legs.len() > LEGS_MOST => {
                    refused.push(Refusal::NextHop(op.id, FibFault::Unsupported("a next-hop object has 1 to 256 legs")));
                }
                Some(Forwarding::Legs(_)) => self.book.tell(op.id, &mut objects),
                // Routes leave it first.
                _ => old.push(op.id),
            }
        }
        let mut last = None;
        for slot in routes.iter().filter_map(|route| route.next_hop) {
            if last.replace(slot) != Some(slot) && !self.book.is_told(slot) {
                self.book.tell(slot, &mut objects);
            }
        }
        self.new_legs |= !objects.is_empty();
        let mut writes = self.writes(routes, refused);
        // What covers others first, and last when it goes: the agent's tables then change entry by entry. New ways before old ones
        // are taken away. A prefix may stand twice, for its object's sake and for its own: the last word stays the last.
        writes.sort_by(|a, b| {
            let gone = |write: &Write| write.what == What::Remove;
            gone(a).cmp(&gone(b)).then_with(|| if gone(a) { b.prefix.cmp(&a.prefix) } else { a.prefix.cmp(&b.prefix) })
        });
        let mut gone = Vec::new();
        for slot in old {
            self.book.remove(slot, &mut gone);
        }
        for slot in unused {
            self.book.want(*slot, None);
        }
        self.book.remove_idle(&mut gone);
        let answers = self.with(|agent| send(agent, &objects, &writes, &gone))?;
        self.take_answers(&answers, [&objects, &gone], &writes, next_hops, routes, refused);
        Ok(())
    }

    fn writes(&mut self, routes: &[FibRoute], refused: &mut Vec<Refusal>) -> Vec<Write> {
        let mut writes = Vec::with_capacity(routes.len());
        for route in routes {
            let prefix = route.prefix;
            let hidden = is_host(prefix) && self.local.contains(&prefix.addr());
            let what = match route.next_hop.map(|slot| (slot, self.book.wanted(slot))) {
                None => What::Remove,
                Some((_, None)) => {
                    refused.push(Refusal::Route(prefix, FibFault::Errno(libc::ENOENT)));
                    continue;
                }
                Some((_, Some(Forwarding::Discard(discard)))) => What::Discard(*discard),
                Some((_, Some(Forwarding::Local))) if is_local(&self.local, prefix) => What::Punt,
                Some((_, Some(Forwarding::Local))) => {
                    refused.push(Refusal::Route(prefix, FibFault::NotLocal));
                    What::Remove
                }
                Some((slot, Some(Forwarding::Legs(_)))) => What::Object(slot.0),
            };
            if is_host(prefix) {
                match route.next_hop {
                    Some(slot) if what != What::Remove => drop(self.hosts.insert(prefix, slot)),
                    _ => drop(self.hosts.remove(&prefix)),
                }
            }
            if what == What::Punt {
                self.punts.insert(prefix);
            } else if hidden {
                // The address goes to the host, before and after.
                continue;
            } else if !self.punts.is_empty() {
                self.punts.remove(&prefix);
            }
            writes.push(Write { prefix, what });
        }
        writes
    }

    fn take_answers(
        &mut self,
        answers: &[(usize, i32)],
        [objects, gone]: [&[Message]; 2],
        writes: &[Write],
        next_hops: &[NextHopOp],
        routes: &[FibRoute],
        refused: &mut Vec<Refusal>,
    ) {
        let mut faulty: HashMap<NextHopId, FibFault> = HashMap::new();
        let mut leg_fault = None;
        for (index, errno) in answers {
            if let Some(object) = objects.get(*index) {
                self.book.doubt(object.id());
                if object.id() >= LEGS {
                    leg_fault = Some(fault(*errno));
                } else {
                    // A group says that its member is missing; why, the member said.
                    let why = leg_fault.clone().filter(|_| *errno == libc::ENOENT).unwrap_or_else(|| fault(*errno));
                    faulty.insert(NextHopId(object.id()), why);
                }
            } else if let Some(write) = writes.get(*index - objects.len()) {
                // Not there: as wanted.
                if write.what != What::Remove || *errno != libc::ENOENT {
                    // The object is missing because it was refused.
                    let why = if let What::Object(id) = write.what { faulty.get(&NextHopId(id)) } else { None };
                    refused.push(Refusal::Route(write.prefix, why.cloned().unwrap_or_else(|| fault(*errno))));
                }
            } else if *errno != libc::ENOENT {
                let object = gone.get(*index - objects.len() - writes.len()).map(Message::id);
                tracing::debug!(?object, errno, "next-hop object not removed");
            }
        }
        if faulty.is_empty() {
            return;
        }
        for op in next_hops {
            if let Some(why) = faulty.get(&op.id) {
                refused.push(Refusal::NextHop(op.id, why.clone()));
            }
        }
        let already: HashSet<IpNet> = refused
            .iter()
            .filter_map(|refusal| if let Refusal::Route(prefix, _) = refusal { Some(*prefix) } else { None })
            .collect();
        for route in routes.iter().filter(|route| !already.contains(&route.prefix)) {
            if let Some(why) = route.next_hop.and_then(|slot| faulty.get(&slot)) {
                refused.push(Refusal::Route(route.prefix, why.clone()));
            }
        }
    }

    fn read_objects(&mut self) -> Result<Vec<NextHop>, BackendError> {
        let mut objects = Vec::new();
        self.with(|agent| {
            agent.dump(encode::dump_next_hops, &mut |message| {
                if message.kind == RTM_NEWNEXTHOP {
                    objects.extend(decode::next_hop(message.payload));
                }
            })
        })?;
        Ok(objects)
    }

    pub(super) fn dump(&mut self, each: &mut dyn FnMut(Installed)) -> Result<(), BackendError> {
        // A connection that has ended unseen is taken up anew: the agent was restarted.
        let found = if self.agent.is_some() { self.read_objects().ok() } else { None };
        let objects = match found {
            Some(objects) => objects,
            None => {
                self.connect()?;
                self.read_objects()?
            }
        };
        self.book.load(objects);
        let local = &self.local;
        self.hosts.retain(|prefix, _| local.contains(&prefix.addr()));
        self.found_punts.clear();
        let Self { agent, book, hosts, found_punts, .. } = self;
        let answer = agent.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)).and_then(|agent| {
            let request = |buf: &mut Vec<u8>, seq: u32| encode::dump_routes(buf, seq, 0, 254, 0);
            agent.dump(request, &mut |message| {
                let Some(route) = decode::route(message.payload).filter(|_| message.kind == RTM_NEWROUTE) else {
                    return;
                };
                if route.kind == RTN_LOCAL {
                    found_punts.insert(route.prefix);
                    return;
                }
                let slot = route.next_hop.filter(|id| *id < LEGS).map(NextHopId);
                let (forwarding, next_hop) = match (route.discard(), slot.and_then(|slot| book.meaning(slot))) {
                    (Some(discard), _) => (Forwarding::Discard(discard), None),
                    (None, Some(meaning)) => (meaning, slot),
                    // On an object that makes no sense to us: equal to nothing, and written anew.
                    (None, None) => (Forwarding::Legs(SmallVec::new()), None),
                };
                if is_host(route.prefix) {
                    hosts.insert(route.prefix, slot.unwrap_or(NextHopId(0)));
                }
                each(Installed { prefix: route.prefix, forwarding, next_hop });
            })
        });
        answer.map_err(|error| self.lost(error))?;
        for (prefix, slot) in self.hosts.iter().filter(|(prefix, _)| self.found_punts.contains(*prefix)) {
            // Hidden by our own address: as the RIB wants it.
            match self.book.wanted(*slot) {
                Some(Forwarding::Legs(legs)) => {
                    let forwarding = Forwarding::Legs(legs.clone());
                    each(Installed { prefix: *prefix, forwarding, next_hop: Some(*slot) });
                }
                Some(Forwarding::Discard(discard)) => {
                    each(Installed { prefix: *prefix, forwarding: Forwarding::Discard(*discard), next_hop: None });
                }
                Some(Forwarding::Local) | None => {}
            }
        }
        self.tell_addresses()?;
        self.tell_neighbors()
    }

    /// Our addresses that the agent does not know of.
    fn tell_addresses(&mut self) -> Result<(), BackendError> {
        let host = |addr: &IpAddr| IpNet::from(*addr);
        let missing: Vec<Write> =
            self.local.iter().map(host).filter(|prefix| !self.found_punts.contains(prefix)).map(punt).collect();
        self.punts.extend(self.local.iter().map(host));
        self.write_quietly(&missing)
    }

    fn write_quietly(&mut self, writes: &[Write]) -> Result<(), BackendError> {
        let answers = self.with(|agent| send(agent, &[], writes, &[]))?;
        for (index, errno) in answers.into_iter().filter(|(_, errno)| *errno != libc::ENOENT) {
            let prefix = writes[index].prefix;
            tracing::warn!(%prefix, errno, "the agent does not take this: packets to it may follow a shorter route");
        }
        Ok(())
    }

    pub(super) fn local_address(&mut self, addr: IpAddr, present: bool) {
        let prefix = IpNet::from(addr);
        let changed = if present { self.local.insert(addr) } else { self.local.remove(&addr) };
        if !changed || self.agent.is_none() {
            return;
        }
        let write = if present {
            self.punts.insert(prefix);
            punt(prefix)
        } else {
            self.punts.remove(&prefix);
            match self.hosts.get(&prefix).map(|slot| (slot, self.book.wanted(*slot))) {
                Some((slot, Some(Forwarding::Legs(_)))) => Write { prefix, what: What::Object(slot.0) },
                Some((_, Some(Forwarding::Discard(discard)))) => Write { prefix, what: What::Discard(*discard) },
                _ => Write { prefix, what: What::Remove },
            }
        };
        if let Err(error) = self.write_quietly(&[write]) {
            tracing::debug!(%error, "the next dump tells the agent of our addresses");
        }
    }

    pub(super) fn sweep(&mut self, used: &mut dyn FnMut(NextHopId) -> bool) -> Result<(), BackendError> {
        let mut gone = Vec::new();
        for slot in self.book.told().into_iter().filter(|slot| !used(*slot)) {
            self.book.remove(slot, &mut gone);
        }
        self.book.remove_idle(&mut gone);
        self.book.remove_strays(&mut gone);
        let Self { punts, found_punts, .. } = self;
        let stale: Vec<Write> = std::mem::take(found_punts)
            .into_iter()
            .filter(|prefix| !punts.contains(prefix))
            .map(|prefix| Write { prefix, what: What::Remove })
            .collect();
        self.with(|agent| send(agent, &[], &stale, &gone)).map(drop)
    }

    /// Events of links and neighbors; `all` if they are everything there is.
    pub(super) fn take(&mut self, events: &[Event], all: bool) {
        if all {
            self.known.clear();
            self.links.clear();
        }
        let mut told = Vec::new();
        for event in events {
            match event {
                Event::Link(link, _) => drop(self.links.insert(link.index, link.name.clone())),
                Event::LinkGone(index) => {
                    self.links.remove(index);
                    self.known.retain(|(interface, addr), _| {
                        if interface == index {
                            told.push((*index, *addr, None));
                        }
                        interface != index
                    });
                }
                Event::Neighbor { interface, addr, mac: Some(mac), stale } => {
                    let before = self.known.insert((*interface, *addr), (*mac, *stale));
                    if before.is_none_or(|(before, _)| before != *mac) {
                        told.push((*interface, *addr, Some(*mac)));
                    }
                }
                Event::Neighbor { interface, addr, mac: None, .. } => {
                    if self.known.remove(&(*interface, *addr)).is_some() {
                        told.push((*interface, *addr, None));
                    }
                }
                Event::Lost => {}
            }
        }
        let outcome = if all { self.tell_neighbors() } else { self.send_neighbors(&told) };
        if let Err(error) = outcome {
            tracing::debug!(%error, "the next dump tells the agent of neighbors");
        }
    }

    /// The agent's neighbors become those that we know.
    fn tell_neighbors(&mut self) -> Result<(), BackendError> {
        if self.agent.is_none() {
            return Ok(());
        }
        let mut held: HashMap<(IfIndex, IpAddr), Mac> = HashMap::new();
        self.with(|agent| {
            agent.dump(neighbors::dump_neighbors, &mut |message| {
                if let Some(Event::Neighbor { interface, addr, mac: Some(mac), .. }) = neighbors::neighbor(message) {
                    held.insert((interface, addr), mac);
                }
            })
        })?;
        let known = &self.known;
        let gone = held.keys().filter(|who| !known.contains_key(who)).map(|(on, addr)| (*on, *addr, None));
        let wrong = known.iter().filter(|(who, (mac, _))| held.get(who) != Some(mac));
        let told: Vec<_> = gone.chain(wrong.map(|((on, addr), (mac, _))| (*on, *addr, Some(*mac)))).collect();
        self.send_neighbors(&told)
    }

    fn send_neighbors(&mut self, told: &[(IfIndex, IpAddr, Option<Mac>)]) -> Result<(), BackendError> {
        let Some(agent) = &self.agent else { return Ok(()) };
        let ports = agent.hello.ports.clone();
        let told: Vec<_> = told.iter().filter(|(on, ..)| ports.contains(on)).collect();
        if told.is_empty() {
            return Ok(());
        }
        let answers = self.with(|agent| {
            let mut batch = agent.batch();
            for (on, addr, mac) in &told {
                batch.push(|buf, seq| neighbors::encode_neighbor(buf, seq, *on, *addr, *mac))?;
            }
            batch.finish()
        })?;
        if let Some((index, errno)) = answers.first() {
            let (on, addr, _) = told[*index];
            tracing::warn!(interface = on.0, %addr, errno, refused = answers.len(), "the agent does not take neighbors");
        }
        Ok(())
    }

    /// Who is to be asked for: gateways without an answer, and with `confirm` those that were not confirmed for a while.
    pub(super) fn wanted_neighbors(&self, confirm: bool, most: usize) -> Vec<(IfIndex, IpAddr)> {
        let Some(agent) = &self.agent else { return Vec::new() };
        let ports = &agent.hello.ports;
        let gateways = self.book.gateways().filter_map(|key| Some((key.interface, key.gateway?)));
        let missing = gateways.filter(|who| !self.known.contains_key(who));
        let stale = self.known.iter().filter(|(_, (_, stale))| confirm && *stale).map(|(who, _)| *who);
        let mut wanted: Vec<_> = missing.chain(stale).filter(|(on, _)| ports.contains(on)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.truncate(most);
        wanted
    }
}

fn punt(prefix: IpNet) -> Write {
    Write { prefix, what: What::Punt }
}

/// Objects, then routes, then objects that go; answers by index in that order.
fn send(agent: &mut Agent, objects: &[Message], writes: &[Write], gone: &[Message]) -> io::Result<Vec<(usize, i32)>> {
    let config = messages(RTPROT);
    let mut batch = agent.batch();
    for object in objects {
        batch.push(|buf, seq| object.encode(buf, seq, config.protocol))?;
    }
    for write in writes {
        let target = match write.what {
            What::Object(id) => Target::Object(id),
            What::Discard(discard) => Target::Discard(discard),
            What::Punt => Target::Local,
            What::Remove => Target::Remove,
        };
        batch.push(|buf, seq| encode::route(buf, seq, &config, write.prefix, target))?;
    }
    for object in gone {
        batch.push(|buf, seq| object.encode(buf, seq, config.protocol))?;
    }
    batch.finish()
}

/// Ours, as in the kernel; the agent has no other clients and does not keep it.
const RTPROT: u8 = 179;
