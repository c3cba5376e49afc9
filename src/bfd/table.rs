//! All BFD sessions of a node: one for each pair of systems and kind of path, whoever asks for it (RFC 5882 §2, §3).
//!
//! It finds the session a packet belongs to (RFC 5880 §6.8.6, RFC 5881 §3 and §5, RFC 5883 §3), gives sessions the fastest
//! timers any client asked for, and ends a session nobody asks for in a way the other side does not take for a failure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::packet::{Control, Discriminator, Malformed, State};
use super::session::{self, Session, SessionView, Timers};

/// How often echo packets may come.
const ECHO: Duration = Duration::from_millis(10);
/// The TTL of a packet that nobody forwarded (RFC 5881 §5).
const UNFORWARDED: u8 = 255;

/// Between which two systems, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The other side.
    pub peer: IpAddr,
    /// Our side.
    pub local: IpAddr,
    /// The link of a single hop, by index; none if there may be several hops (RFC 5883).
    pub link: Option<NonZeroU32>,
}

/// What tells sessions apart before the other side knows our discriminator: link and peer on a single hop (RFC 5881 §3),
/// both addresses over several (RFC 5883 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    Single(IpAddr, NonZeroU32),
    Multi(IpAddr, IpAddr),
}

impl Path {
    fn key(&self) -> Key {
        match self.link {
            Some(link) => Key::Single(self.peer, link),
            None => Key::Multi(self.peer, self.local),
        }
    }
}

/// Somebody who depends on a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// From.
    pub peer: IpAddr,
    /// To.
    pub local: IpAddr,
    /// By this link.
    pub link: u32,
    /// With this TTL or hop limit, if the system told.
    pub ttl: Option<u8>,
    /// On the port for several hops.
    pub multihop: bool,
}

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// It is no control packet for us.
    Malformed(Malformed),
    /// It was forwarded on its way over a single hop.
    Ttl,
    /// There is no session for it.
    NoSession,
}

/// What the table is told.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A client depends on a path from now on; a second wish of the same client replaces the first.
    Want {
        /// Who.
        client: ClientId,
        /// Which path.
        path: Path,
        /// How fast.
        timers: Timers,
        /// Echo packets of the other side come back from here; counts if the session is new.
        echo: bool,
    },
    /// A client no longer does.
    Unwant {
        /// Who.
        client: ClientId,
    },
    /// Octets came.
    Received(Arrival, &'a [u8]),
    /// The deadline passed.
    Tick,
    /// The node stops: every session says that this is no failure.
    Shutdown,
}

/// What the table says, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Make a way to send for a new session.
    Open(Discriminator, Path),
    /// Send this.
    Send(Discriminator, Control),
    /// A session's state changed.
    State {
        /// Which.
        session: Discriminator,
        /// Before.
        from: State,
        /// Now.
        to: State,
    },
    /// The session has ended.
    Close(Discriminator),
}

/// A session as it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where.
    pub path: Path,
    /// How many depend on it.
    pub clients: usize,
    /// Itself.
    pub session: SessionView,
    /// Packets that belonged to it.
    pub received: u64,
    /// Packets of ours.
    pub sent: u64,
}

#[derive(Debug)]
struct Entry {
    session: Session,
    path: Path,
    clients: BTreeMap<ClientId, Timers>,
    /// Its place in the queue of deadlines.
    due: Option<Instant>,
    /// When a session without clients ends.
    ends: Option<Instant>,
    received: u64,
    sent: u64,
}

impl Entry {
    /// The fastest that any client asks for.
    fn timers(&self) -> Option<Timers> {
        self.clients.values().copied().min_by_key(|timers| (timers.detection(), timers.interval))
    }
}

/// The sessions.
#[derive(Debug)]
pub struct Table {
    sessions: HashMap<Discriminator, Entry>,
    keys: HashMap<Key, Discriminator>,
    clients: HashMap<ClientId, Discriminator>,
    due: BTreeSet<(Instant, Discriminator)>,
    dropped: HashMap<Dropped, u64>,
    chance: fastrand::Rng,
    said: Vec<session::Output>,
}

impl Table {
    /// No session; discriminators and jitter come from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            sessions: HashMap::new(),
            keys: HashMap::new(),
            clients: HashMap::new(),
            due: BTreeSet::new(),
            dropped: HashMap::new(),
            chance: fastrand::Rng::with_seed(seed),
            said: Vec::new(),
        }
    }

    /// Takes an input; what is to be done comes into `out`.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Want { client, path, timers, echo } => self.on_want(now, client, path, (timers, echo), out),
            Input::Unwant { client } => self.on_unwant(now, client, out),
            Input::Received(arrival, octets) => {
                if let Err(why) = self.on_received(now, arrival, octets, out) {
                    *self.dropped.entry(why).or_default() += 1;
                }
            }
            Input::Tick => self.on_tick(now, out),
            Input::Shutdown => {
                let all: Vec<_> = self.sessions.keys().copied().collect();
                for session in all {
                    self.tell(now, session, session::Input::Disable, out);
                }
            }
        }
    }

    /// When [`Input::Tick`] is wanted.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A client's session.
    #[must_use]
    pub fn of(&self, client: ClientId) -> Option<Row> {
        self.sessions.get(self.clients.get(&client)?).map(row)
    }

    /// Those who depend on a session.
    pub fn clients(&self, session: Discriminator) -> impl Iterator<Item = ClientId> + '_ {
        self.sessions.get(&session).into_iter().flat_map(|entry| entry.clients.keys().copied())
    }

    /// A session.
    #[must_use]
    pub fn row(&self, session: Discriminator) -> Option<Row> {
        self.sessions.get(&session).map(row)
    }

    /// All sessions, in the order of their paths.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<_> = self.sessions.values().map(row).collect();
        rows.sort_unstable_by_key(|row| row.path);
        rows
    }

    /// Whether a packet that came like this belongs to a session that is up: only for those echo packets are reflected.
    #[must_use]
    pub fn reflects(&self, arrival: &Arrival) -> bool {
        let session = self.find(arrival).and_then(|session| self.sessions.get(&session));
        arrival.ttl == Some(UNFORWARDED) && session.is_some_and(|entry| entry.session.view().state == State::Up)
    }

    /// How many packets were dropped, by reason.
    #[must_use]
    pub fn dropped(&self) -> &HashMap<Dropped, u64> {
        &self.dropped
    }

    fn on_want(
        &mut self,
        now: Instant,
        client: ClientId,
        path: Path,
        (timers, echo): (Timers, bool),
        out: &mut Vec<Output>,
    ) {
        let session = match self.keys.get(&path.key()) {
            Some(session) => *session,
            None => self.create(now, path, (timers, echo), out),
        };
        if let Some(before) = self.clients.insert(client, session)
            && before != session
        {
            self.leave(now, client, before, out);
        }
        let Some(entry) = self.sessions.get_mut(&session) else { return };
        entry.clients.insert(client, timers);
        entry.ends = None;
        let timers = entry.timers().unwrap_or(timers);
        self.tell(now, session, session::Input::Configure(timers), out);
        self.tell(now, session, session::Input::Enable, out);
    }

    fn on_unwant(&mut self, now: Instant, client: ClientId, out: &mut Vec<Output>) {
        if let Some(session) = self.clients.remove(&client) {
            self.leave(now, client, session, out);
        }
    }

    fn create(
        &mut self,
        now: Instant,
        path: Path,
        (timers, echo): (Timers, bool),
        out: &mut Vec<Output>,
    ) -> Discriminator {
        let number = loop {
            let number = Discriminator(NonZeroU32::new(self.chance.u32(1..)).unwrap_or(NonZeroU32::MIN));
            if !self.sessions.contains_key(&number) {
                break number;
            }
        };
        // RFC 5883 §3: there is no echo over several hops.
        let echo = if echo && path.link.is_some() { ECHO } else { Duration::ZERO };
        let session = Session::new(now, number, timers, echo, self.chance.u64(..));
        let entry = Entry { session, path, clients: BTreeMap::new(), due: None, ends: None, received: 0, sent: 0 };
        self.sessions.insert(number, entry);
        self.keys.insert(path.key(), number);
        out.push(Output::Open(number, path));
        self.schedule(number);
        number
    }

    fn leave(&mut self, now: Instant, client: ClientId, session: Discriminator, out: &mut Vec<Output>) {
        let Some(entry) = self.sessions.get_mut(&session) else { return };
        entry.clients.remove(&client);
        match entry.timers() {
            Some(timers) => self.tell(now, session, session::Input::Configure(timers), out),
            None => {
                // RFC 5880 §6.8.16: AdminDown is said for as long as the other side would wait for us.
                let view = entry.session.view();
                let until =
                    now + view.transmit_interval.max(Duration::from_secs(1)) * u32::from(view.timers.multiplier);
                entry.ends = Some(until);
                self.tell(now, session, session::Input::Disable, out);
            }
        }
    }

    fn on_received(
        &mut self,
        now: Instant,
        arrival: Arrival,
        octets: &[u8],
        out: &mut Vec<Output>,
    ) -> Result<(), Dropped> {
        // RFC 5881 §5: without authentication this is what keeps strangers out; RFC 5883 has no such rule.
        if !arrival.multihop && arrival.ttl != Some(UNFORWARDED) {
            return Err(Dropped::Ttl);
        }
        let packet = Control::decode(octets).map_err(Dropped::Malformed)?;
        let by_path = self.find(&arrival);
        let session = match packet.your_discriminator {
            // Our number alone would do (RFC 5880 §6.8.6); that it came on the path as well keeps others' packets out.
            Some(number) => by_path.filter(|found| *found == number),
            None => by_path,
        }
        .ok_or(Dropped::NoSession)?;
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.received += 1;
        }
        self.tell(now, session, session::Input::Received(&packet), out);
        Ok(())
    }

    fn find(&self, arrival: &Arrival) -> Option<Discriminator> {
        let key = if arrival.multihop {
            Key::Multi(arrival.peer, arrival.local)
        } else {
            Key::Single(arrival.peer, NonZeroU32::new(arrival.link)?)
        };
        self.keys.get(&key).copied()
    }

    fn on_tick(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some(&(at, session)) = self.due.first()
            && at <= now
        {
            if self.sessions.get(&session).is_some_and(|entry| entry.ends.is_some_and(|end| end <= now)) {
                self.close(session, out);
            } else {
                self.tell(now, session, session::Input::Tick, out);
            }
        }
    }

    fn close(&mut self, session: Discriminator, out: &mut Vec<Output>) {
        let Some(entry) = self.sessions.remove(&session) else { return };
        self.keys.remove(&entry.path.key());
        if let Some(at) = entry.due {
            self.due.remove(&(at, session));
        }
        out.push(Output::Close(session));
    }

    fn tell(&mut self, now: Instant, number: Discriminator, input: session::Input<'_>, out: &mut Vec<Output>) {
        let Some(entry) = self.sessions.get_mut(&number) else { return };
        entry.session.handle(now, input, &mut self.said);
        for said in self.said.drain(..) {
            out.push(match said {
                session::Output::Send(packet) => {
                    entry.sent += 1;
                    Output::Send(number, packet)
                }
                session::Output::State { from, to } => Output::State { session: number, from, to },
            });
        }
        self.schedule(number);
    }

    fn schedule(&mut self, number: Discriminator) {
        let Some(entry) = self.sessions.get_mut(&number) else { return };
        let due = [entry.session.deadline(), entry.ends].into_iter().flatten().min();
        if due != entry.due {
            if let Some(before) = entry.due {
                self.due.remove(&(before, number));
            }
            if let Some(after) = due {
                self.due.insert((after, number));
            }
            entry.due = due;
        }
    }
}

fn row(entry: &Entry) -> Row {
    Row {
        path: entry.path,
        clients: entry.clients.len(),
        session: entry.session.view(),
        received: entry.received,
        sent: entry.sent,
    }
}
