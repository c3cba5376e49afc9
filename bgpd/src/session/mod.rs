//! One neighbor's session: the machine of RFC 4271 §8 over at most two connections, one dialled and one accepted.
//!
//! Collisions are resolved by §6.8 among the two; what the operator sees is the state of the one that has come further.
//! Where the RFC leaves a choice: automatic restart is on, with back-off instead of a fixed IdleHoldTime; a failed dial
//! leads to Active; DelayOpen is not used. A neighbor that restarts gracefully replaces its established session by a new
//! connection once that one is confirmed (RFC 4724 §5 would drop the old one before anybody said OPEN). Octets go in by [`Session::receive`], everything else by
//! [`Session::handle`]. Routes are not this room's business.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

mod config;
mod connection;
mod counters;
mod describe;
mod events;
mod history;
mod negotiate;
mod omitted;
mod reason;
mod receive;
#[cfg(test)]
mod tests;

pub use config::SessionConfig;
pub use counters::{Counters, MessageCounts};
pub use history::HistoryEntry;
pub use negotiate::{LongLived, Negotiated, Restart};
pub use reason::{DownReason, StopCause};
pub use receive::Received;

use crate::fsm::timers::Backoff;
use crate::speaker::message::SessionState;
use crate::wire::{MessageType, Notification, header};
use connection::{Connection, Phase};
use history::History;
use omitted::Omitted;

/// The number of a TCP connection, never reused while the speaker lives. Sessions number those they dial, the carrier
/// those it accepts: the top bit tells them apart, so neither has to ask the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl ConnId {
    const ACCEPTED: u64 = 1 << 63;

    /// The `n`th connection that a carrier accepted.
    #[must_use]
    pub const fn accepted(n: u64) -> Self {
        Self(n | Self::ACCEPTED)
    }

    /// True if a carrier accepted it; a session dialled all others.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        self.0 & Self::ACCEPTED != 0
    }

    /// The `attempt`th connection dialled to the neighbor with this number ([`SessionConfig::number`]).
    #[must_use]
    pub const fn dialled(neighbor: u32, attempt: u32) -> Self {
        Self((neighbor as u64) << 32 & !Self::ACCEPTED | attempt as u64)
    }

    /// The number of the neighbor that it was dialled to, `None` for an accepted one.
    #[must_use]
    pub const fn dialled_to(self) -> Option<u32> {
        if self.is_accepted() { None } else { Some((self.0 >> 32) as u32) }
    }
}

/// What a session can be told, but for octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionInput {
    /// Let there be a session (ManualStart). Cuts a wait short; nothing if one is on its way already.
    Start,
    /// End it and stay in Idle until started again (ManualStop).
    Stop(StopCause),
    /// The neighbor connected to us.
    Accepted {
        /// The carrier's number for it.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
        /// Their end.
        remote: SocketAddr,
    },
    /// A connection that [`SessionOutput::Connect`] asked for stands.
    Connected {
        /// Which.
        conn: ConnId,
        /// Our end.
        local: SocketAddr,
    },
    /// A connection that [`SessionOutput::Connect`] asked for could not be made.
    ConnectFailed {
        /// Which.
        conn: ConnId,
        /// For people.
        error: String,
    },
    /// A connection ended from the other side, or failed.
    Closed {
        /// Which.
        conn: ConnId,
    },
    /// The established session has to end: an UPDATE was in error.
    Fail(Notification),
    /// The deadline passed.
    Tick,
}

/// What a session asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionOutput {
    /// Dial the neighbor and report with this number.
    Connect {
        /// The number.
        conn: ConnId,
    },
    /// Send a message. Messages of a connection keep their order, UPDATEs included: a NOTIFICATION is the last.
    Send {
        /// On which connection.
        conn: ConnId,
        /// The whole message.
        message: Bytes,
    },
    /// Close the connection after what was to be sent, or give up dialling it. Nothing is to be reported of it any more.
    Close {
        /// Which.
        conn: ConnId,
    },
    /// The session is up.
    Established {
        /// On this connection.
        conn: ConnId,
        /// What was agreed on.
        negotiated: Arc<Negotiated>,
    },
    /// The session, which was up, is down.
    Down {
        /// Why.
        reason: DownReason,
    },
    /// The session could not be established; the next attempt comes by itself.
    Failed {
        /// Why.
        reason: DownReason,
    },
}

/// Whether a session is wanted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// No, until [`SessionInput::Start`].
    Stopped,
    /// Not yet (IdleHold): something went wrong, and dialling waits.
    Holding {
        /// Until then.
        until: Instant,
        /// The neighbor's connections are refused until then, as RFC 4271 §8.2.2 has it for Idle. Not at all if nobody
        /// broke the protocol: then only our own eagerness is damped.
        closed_until: Instant,
    },
    /// Yes.
    Running,
}

/// Longest wait between attempts to connect, unless more is configured.
const CONNECT_RETRY_CAP: Duration = Duration::from_secs(30);
/// Longest wait after an error.
const IDLE_HOLD_CAP: Duration = Duration::from_secs(120);
/// The wait after a session that held well ended without an error.
const RESTART_DELAY: Duration = Duration::from_millis(500);
/// A session that held for so long was a good one: waits begin anew.
const STABLE_AFTER: Duration = Duration::from_secs(60);
/// Part of the wait after an error during which the neighbor may not come either.
const CLOSED_PART: u32 = 4;
/// The longest of these, so that a neighbor which was repaired is not kept out.
const CLOSED_CAP: Duration = Duration::from_secs(5);
/// How long a connection that lost a collision waits for the winner's OPEN.
const COLLISION_GRACE: Duration = Duration::from_secs(1);
/// "A large value" for the hold timer until OPEN is there (RFC 4271 §8.2.2).
const OPEN_HOLD_TIME: Duration = Duration::from_secs(240);

/// The machine of one neighbor.
#[derive(Clone, Debug)]
pub struct Session {
    config: SessionConfig,
    rng: fastrand::Rng,
    mode: Mode,
    dialled: Option<Connection>,
    accepted: Option<Connection>,
    /// ConnectRetryTimer: give up dialling, or dial.
    connect_retry_at: Option<Instant>,
    connect_backoff: Backoff,
    idle_backoff: Backoff,
    attempts: u32,
    counters: Counters,
    established_at: Option<Instant>,
    established_count: u64,
    last_down: Option<DownReason>,
    last_connect_error: Option<String>,
    omitted: Omitted,
    /// The speaker's own restart is over.
    settled: bool,
    history: History,
    /// The time of the last input.
    now: Option<Instant>,
}

impl Session {
    /// A stopped session. `seed` makes its jitter.
    #[must_use]
    pub fn new(config: SessionConfig, seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            mode: Mode::Stopped,
            dialled: None,
            accepted: None,
            connect_retry_at: None,
            connect_backoff: Backoff::new(config.connect_retry, CONNECT_RETRY_CAP),
            idle_backoff: Backoff::new(config.connect_retry, IDLE_HOLD_CAP),
            attempts: 0,
            counters: Counters::default(),
            established_at: None,
            established_count: 0,
            last_down: None,
            last_connect_error: None,
            omitted: Omitted::Nothing,
            settled: false,
            history: History::default(),
            now: None,
            config,
        }
    }

    /// The state of RFC 4271 §8.2.2: that of the connection which has come further.
    #[must_use]
    pub fn state(&self) -> SessionState {
        if self.mode != Mode::Running {
            return SessionState::Idle;
        }
        let furthest = self.connections().max_by_key(|connection| rank(connection.state()));
        furthest.map_or(SessionState::Active, Connection::state)
    }

    /// When [`SessionInput::Tick`] is due next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let holding = match self.mode {
            Mode::Holding { until, .. } => Some(until),
            Mode::Stopped | Mode::Running => None,
        };
        self.connections().filter_map(Connection::deadline).chain(holding).chain(self.connect_retry_at).min()
    }

    /// The configuration in use.
    #[must_use]
    pub const fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// Gives the session another configuration. It counts for connections made from now on; to have it count for a
    /// running session, stop it with [`StopCause::ConfigChange`] before and start it after.
    pub fn set_config(&mut self, config: SessionConfig) {
        self.connect_backoff = Backoff::new(config.connect_retry, CONNECT_RETRY_CAP);
        self.idle_backoff = Backoff::new(config.connect_retry, IDLE_HOLD_CAP);
        self.config = config;
    }

    /// Our own restart is over: OPENs from now on do not say that we are restarting (RFC 4724 §4.1).
    pub const fn restart_is_over(&mut self) {
        self.settled = true;
    }

    /// What was agreed on, and on which connection, if the session is up.
    #[must_use]
    pub fn established(&self) -> Option<(ConnId, &Arc<Negotiated>)> {
        self.connections().find_map(|connection| match &connection.phase {
            Phase::Established(negotiated) => Some((connection.id, negotiated)),
            _ => None,
        })
    }

    /// Since when the session is up.
    #[must_use]
    pub const fn established_at(&self) -> Option<Instant> {
        self.established_at
    }

    /// Times the session came up.
    #[must_use]
    pub const fn established_count(&self) -> u64 {
        self.established_count
    }

    /// Why it was last down or could not come up.
    #[must_use]
    pub const fn last_down(&self) -> Option<&DownReason> {
        self.last_down.as_ref()
    }

    /// Why the neighbor could last not be dialled, unless it could since.
    #[must_use]
    pub fn last_connect_error(&self) -> Option<&str> {
        self.last_connect_error.as_deref()
    }

    /// Messages so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Tells that `count` UPDATEs were handed out for the established connection: they stand for a KEEPALIVE (RFC 4271
    /// §8.2.2, event UPDATE sent).
    pub fn sent_updates(&mut self, now: Instant, count: u64) {
        self.counters.sent.add(MessageType::Update, count);
        let rng = &mut self.rng;
        let connections = self.dialled.iter_mut().chain(self.accepted.iter_mut());
        for connection in connections.filter(|connection| connection.is_established()) {
            connection.spoke(now, rng);
        }
    }

    /// Tells that the carrier's socket took what was handed out for `conn` before (RFC 9687 §4.2, SendHoldTimer). A
    /// neighbor that takes nothing for eight minutes, or twice the hold time, has lost its session.
    pub fn progressed(&mut self, now: Instant, conn: ConnId) {
        let mut connections = self.dialled.iter_mut().chain(self.accepted.iter_mut());
        if let Some(connection) = connections.find(|connection| connection.id == conn) {
            connection.progressed(now);
        }
    }

    /// Tells that a ROUTE-REFRESH was handed out for the established connection.
    pub const fn sent_route_refresh(&mut self) {
        self.counters.sent.add(MessageType::RouteRefresh, 1);
    }

    /// Notes UPDATEs and ROUTE-REFRESHs that were handed out for the established connection: `piece` is whole messages. Of
    /// several pieces handed out at once the last is enough.
    pub fn note_sent(&mut self, now: Instant, piece: &[u8]) {
        let negotiated = self.established().map(|(_, negotiated)| Arc::clone(negotiated));
        self.history.sent(now, piece, negotiated.as_deref());
    }

    /// The same for a message of the queue in which those of the session itself stand, which are noted already.
    pub fn note_handed_out(&mut self, now: Instant, message: &[u8]) {
        let ours = |kind: &u8| *kind != MessageType::Update as u8 && *kind != MessageType::RouteRefresh as u8;
        if !message.get(header::HEADER_LEN - 1).is_none_or(ours) {
            self.note_sent(now, message);
        }
    }

    /// The last messages of both directions, oldest first; those of former sessions among them.
    #[must_use]
    pub fn history(&self, now: Instant) -> Vec<HistoryEntry> {
        self.history.entries(now)
    }

    fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.dialled.iter().chain(self.accepted.iter())
    }
}

/// States in the order of progress. Connect comes before Active in name, but after it here.
const fn rank(state: SessionState) -> u8 {
    match state {
        SessionState::Idle => 0,
        SessionState::Active => 1,
        SessionState::Connect => 2,
        SessionState::OpenSent => 3,
        SessionState::OpenConfirm => 4,
        SessionState::Established => 5,
    }
}
