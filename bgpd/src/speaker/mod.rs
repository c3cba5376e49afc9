//! The speaker: sessions, import, Loc-RIB and export wired together, all inline on one thread.
//!
//! Four verbs and no other door: [`Speaker::handle`] for everything but octets, [`Speaker::receive`] and [`Speaker::transmit`] for
//! octets of one connection, [`Speaker::view`] for questions. Work that no budget allowed yet makes [`Speaker::deadline`] due at once.

mod addresses;
mod arrivals;
mod configure;
mod explain;
mod feed;
mod hold;
mod keeping;
mod key;
mod limits;
pub mod message;
mod neighbor;
mod sessions;
mod tables;
#[cfg(test)]
mod tests;
mod update;
mod view;

pub use arrivals::{has_ttl_security, passwords};
pub use configure::{Effect, effect};
use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;

use crate::config::SpeakerConfig;
use crate::session::{ConnId, Received, SessionInput, SessionOutput};
use addresses::LinkAddress;
use hold::Hold;
use message::{Event, Input, NeighborKey, Output};
use neighbor::Neighbor;
use tables::{AggregateSettings, SLICE, Settings, Tables};

/// What [`Speaker::receive`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// Every whole message in the buffer was taken; more octets are needed.
    Drained,
    /// The work budget ended first: call again after other work (keepalives, local routes, other connections) had its turn.
    More,
}

/// A TCP connection, dialled or accepted.
struct Conn {
    /// The neighbor's place in [`Speaker::neighbors`].
    neighbor: usize,
    /// Whole messages of the session, before anything of export.
    control: VecDeque<Bytes>,
    /// To be forgotten once `control` is handed out.
    closing: bool,
}

/// A BGP speaker: one owner, one thread, no clock and no sockets.
pub struct Speaker {
    config: SpeakerConfig,
    tables: Tables,
    neighbors: Vec<Option<Neighbor>>,
    by_key: HashMap<NeighborKey, usize>,
    /// Places in `neighbors` by peer index.
    by_peer: Vec<usize>,
    conns: HashMap<ConnId, Conn>,
    session_outputs: Vec<SessionOutput>,
    /// The host's, in order.
    addresses: Vec<LinkAddress>,
    next_number: u32,
    /// Work is left over from a budget.
    more: bool,
    /// The time of the last input.
    now: Instant,
    shutting_down: bool,
    finished: bool,
    hold: Hold,
}

impl Speaker {
    /// A speaker with `config`; its first wishes (connections to open) are left in `out`.
    #[must_use]
    pub fn new(now: Instant, config: SpeakerConfig, out: &mut Vec<Output>) -> Self {
        let mut tables =
            Tables::new(config.seed, configure::identity(&config), config.router_id, Settings::of(&config));
        tables.set_aggregates(AggregateSettings::of(&config));
        let hold = Hold::of(now, &config);
        hold.apply(&mut tables);
        let mut speaker = Self {
            tables,
            neighbors: Vec::new(),
            by_key: HashMap::new(),
            by_peer: Vec::new(),
            conns: HashMap::new(),
            session_outputs: Vec::new(),
            addresses: Vec::new(),
            next_number: 0,
            more: false,
            now,
            shutting_down: false,
            finished: false,
            hold,
            config,
        };
        for neighbor in speaker.config.neighbors.clone() {
            speaker.add_neighbor(neighbor, None, out);
        }
        speaker
    }

    /// Takes one input; what the carrier has to do is appended to `out`.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        self.now = now;
        match input {
            Input::Configure(config) => self.configure(*config, out),
            Input::Accepted { conn, remote, local, interface } => {
                self.accepted(conn, remote, local, interface.as_ref(), out);
            }
            Input::Discovered { interface, address, scope } => self.discovered(&interface, address, scope, out),
            Input::Vanished { interface } => self.vanished(&interface, out),
            Input::Connected { conn, local } => self.tell_conn(conn, SessionInput::Connected { conn, local }, out),
            Input::ConnectFailed { conn, error } => {
                self.tell_conn(conn, SessionInput::ConnectFailed { conn, error }, out);
                self.conns.remove(&conn);
            }
            Input::Closed { conn } => {
                self.tell_conn(conn, SessionInput::Closed { conn }, out);
                self.conns.remove(&conn);
                self.check_finished(out);
            }
            Input::Local(batch) => {
                if !self.shutting_down {
                    self.tables.local(&batch);
                }
            }
            Input::Addresses(addresses) => self.readdress(addresses, out),
            Input::Reach(states) => self.tables.reach(&states),
            Input::Answers(answers) => self.tables.answered(answers),
            Input::Command(command) => self.command(command, out),
            Input::Work => {}
        }
        self.tick(out);
        self.run(out);
    }

    /// Takes whole messages from the front of `buf` until it holds none or the work budget ends.
    ///
    /// Octets of an incomplete message stay in `buf`. A connection that is not known (any more) has its octets discarded.
    pub fn receive(&mut self, now: Instant, conn: ConnId, buf: &mut BytesMut, out: &mut Vec<Output>) -> Progress {
        self.now = now;
        let Some(at) = self.conns.get(&conn).filter(|conn| !conn.closing).map(|conn| conn.neighbor) else {
            buf.clear();
            return Progress::Drained;
        };
        if self.tables.is_congested() {
            self.run(out);
            return Progress::More;
        }
        let mut budget = SLICE;
        let mut progress = Progress::Drained;
        while let Some(neighbor) = self.neighbors[at].as_mut() {
            let from = neighbor.session.state();
            let received = neighbor.session.receive(now, conn, buf, &mut self.session_outputs);
            if !self.session_outputs.is_empty() {
                let (to, key) = (neighbor.session.state(), neighbor.key.clone());
                let reason = self.carry_out(at, out);
                if from != to || reason.is_some() {
                    out.push(Output::Event(Event::Neighbor { neighbor: key, from, to, reason }));
                }
            }
            match received {
                None => break,
                Some(Received::Update(body)) => budget = budget.saturating_sub(1 + self.on_update(at, &body, out)),
                Some(Received::RouteRefresh(refresh)) => {
                    budget = budget.saturating_sub(1);
                    self.on_refresh(at, refresh, out);
                }
                Some(Received::Handled) => budget = budget.saturating_sub(1),
            }
            if budget == 0 {
                if !buf.is_empty() {
                    progress = Progress::More;
                }
                break;
            }
        }
        self.run(out);
        progress
    }

    /// Appends what `conn` is to be sent next, in order, until at least `max_octets` were appended or there is no more.
    ///
    /// Every piece is one or more whole messages; the carrier keeps what its socket did not take. Room that was made may let
    /// export go on: ask [`Self::deadline`] afterwards.
    pub fn transmit(&mut self, conn: ConnId, max_octets: usize, pieces: &mut Vec<Bytes>) {
        let mut octets = 0;
        let Some(held) = self.conns.get_mut(&conn) else { return };
        // The carrier asks for more when its socket took what it had (RFC 9687).
        let mut session = self.neighbors[held.neighbor].as_mut().map(|neighbor| &mut neighbor.session);
        if let Some(session) = &mut session {
            session.progressed(self.now, conn);
        }
        while octets < max_octets
            && let Some(message) = held.control.pop_front()
        {
            octets += message.len();
            if let Some(session) = &mut session {
                session.note_handed_out(self.now, &message);
            }
            pieces.push(message);
        }
        if held.closing && held.control.is_empty() {
            self.conns.remove(&conn);
            // Told at the next occasion, which is now.
            self.more = self.shutting_down;
            return;
        }
        let Some(neighbor) = &mut self.neighbors[held.neighbor] else { return };
        if neighbor.up != Some(conn) || !held.control.is_empty() {
            return;
        }
        let Some(group) = self.tables.group_mut(neighbor.peer) else { return };
        let before = group.counts(neighbor.peer).1;
        while octets < max_octets
            && let Some(piece) = group.take(neighbor.peer)
        {
            octets += piece.len();
            pieces.push(piece);
        }
        let updates = group.counts(neighbor.peer).1 - before;
        if let (true, Some(last)) = (updates > 0, pieces.last()) {
            neighbor.session.sent_updates(self.now, updates);
            // What came before it in this slice would hardly stay.
            neighbor.session.note_sent(self.now, last);
        }
    }

    /// When [`Input::Work`] is due: a timer, or work left over from a budget (then not later than now).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.more || self.tables.has_export_work() {
            return Some(self.now);
        }
        let sessions = self.neighbors.iter().flatten().filter_map(|neighbor| neighbor.session.deadline());
        let keeping = self.neighbors.iter().flatten().filter_map(|neighbor| neighbor.keeping.deadline());
        sessions.chain(keeping).chain(self.hold.deadline()).chain(self.tables.deadline()).chain(self.forget_at()).min()
    }

    /// Timers of sessions, and the end of the start.
    fn tick(&mut self, out: &mut Vec<Output>) {
        for at in 0..self.neighbors.len() {
            let due = self.neighbors[at]
                .as_ref()
                .and_then(|neighbor| neighbor.session.deadline())
                .is_some_and(|deadline| deadline <= self.now);
            if due {
                self.tell_session(at, SessionInput::Tick, out);
            }
        }
        for at in 0..self.neighbors.len() {
            if let Some(neighbor) = &mut self.neighbors[at]
                && neighbor.keeping.deadline().is_some_and(|deadline| deadline <= self.now)
            {
                let actions = neighbor.keeping.tick(self.now);
                self.age(at, actions);
            }
        }
        self.end_holds();
        self.forget_absent(out);
    }

    fn run(&mut self, out: &mut Vec<Output>) {
        self.more = self.tables.run(self.now, out);
        self.wake(out);
        self.check_finished(out);
    }

    /// Tells the carrier of members that have something to take.
    fn wake(&mut self, out: &mut Vec<Output>) {
        for group in self.tables.groups.iter_mut().flatten() {
            for peer in group.woken() {
                let at = self.by_peer[usize::from(peer.0)];
                let conn = self.neighbors[at].as_ref().and_then(|neighbor| neighbor.up);
                out.extend(conn.map(|conn| Output::Writable { conn }));
            }
        }
    }

    fn check_finished(&mut self, out: &mut Vec<Output>) {
        if self.shutting_down && !self.finished && self.conns.is_empty() {
            self.finished = true;
            out.push(Output::Finished);
        }
    }
}
