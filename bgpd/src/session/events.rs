//! Events but for received octets: start and stop, connections that come and go, timers (RFC 4271 §8.1).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::connection::{Connection, Phase};
use super::omitted::Omitted;
use super::{CLOSED_CAP, CLOSED_PART, COLLISION_GRACE, OPEN_HOLD_TIME, RESTART_DELAY, STABLE_AFTER};
use super::{ConnId, DownReason, Mode, Negotiated, Session, SessionInput, SessionOutput, StopCause};
use crate::fsm::collision::Direction;
use crate::fsm::timers::jittered;
use crate::wire::notification::cease;
use crate::wire::open::Open;
use crate::wire::{MessageType, Notification, header};

impl Session {
    /// Takes one event and appends to `out` what is to be done.
    pub fn handle(&mut self, now: Instant, input: SessionInput, out: &mut Vec<SessionOutput>) {
        self.now = Some(now);
        match input {
            SessionInput::Start => self.on_start(now, out),
            SessionInput::Stop(cause) => self.on_stop(now, cause, out),
            SessionInput::Accepted { conn, local, remote } => self.on_accepted(now, conn, local, remote, out),
            SessionInput::Connected { conn, local } => self.on_connected(now, conn, local, out),
            SessionInput::ConnectFailed { conn, error } => self.on_connect_failed(now, conn, error),
            SessionInput::Closed { conn } => self.on_closed(now, conn, out),
            SessionInput::Fail(notification) => {
                if let Some((conn, _)) = self.established() {
                    self.fail(now, conn, &notification, out);
                }
            }
            SessionInput::Tick => self.on_tick(now, out),
        }
    }

    fn on_start(&mut self, now: Instant, out: &mut Vec<SessionOutput>) {
        if self.mode != Mode::Running {
            self.mode = Mode::Running;
            self.dial(now, out);
        }
    }

    fn on_stop(&mut self, now: Instant, cause: StopCause, out: &mut Vec<SessionOutput>) {
        let was_up = self.established().is_some();
        for direction in [Direction::Dialled, Direction::Accepted] {
            if let Some(connection) = self.slot(direction).take() {
                let words = match &connection.phase {
                    Phase::Established(negotiated) => cause.last_words(negotiated),
                    _ => cause.notification(),
                };
                self.farewell(&connection, words.as_ref(), out);
            }
        }
        self.mode = match cause.restart() {
            Some(wait) => Mode::Holding { until: now + wait, closed_until: now + wait },
            None => Mode::Stopped,
        };
        self.connect_retry_at = None;
        self.connect_backoff.succeeded();
        self.idle_backoff.succeeded();
        self.established_at = None;
        if was_up {
            let reason = DownReason::Stopped(cause);
            self.last_down = Some(reason.clone());
            out.push(SessionOutput::Down { reason });
        }
    }

    fn on_accepted(
        &mut self,
        now: Instant,
        conn: ConnId,
        local: SocketAddr,
        remote: SocketAddr,
        out: &mut Vec<SessionOutput>,
    ) {
        let newcomer =
            Connection { phase: Phase::OpenSent, ..Connection::new(conn, Direction::Accepted, Some(local), remote) };
        match self.mode {
            // RFC 4486 §4: tells the other operator more than a closed connection.
            Mode::Stopped => {
                return self.farewell(&newcomer, Some(&Notification::cease(cease::REJECTED)), out);
            }
            Mode::Holding { closed_until, .. } if now < closed_until => return self.farewell(&newcomer, None, out),
            Mode::Holding { .. } => self.mode = Mode::Running,
            Mode::Running => {}
        }
        match self.established() {
            // RFC 4724 §5: a neighbor that restarts gracefully may have restarted before we noticed that the established
            // connection is dead. Until the new one is confirmed the old one stays.
            Some((_, negotiated)) if negotiated.peer_may_come_back() => self.make_room(),
            // RFC 4271 §6.8: it stays.
            Some(_) => return self.farewell(&newcomer, Some(&Notification::cease(cease::COLLISION)), out),
            None => {}
        }
        // A neighbor dials once at a time: it has given up what it dialled before.
        if let Some(stale) = self.accepted.take() {
            self.farewell(&stale, Some(&Notification::cease(cease::COLLISION)), out);
        }
        if self.dialled.is_none() {
            self.connect_retry_at = None;
        }
        self.accepted = Some(newcomer);
        self.open(now, Direction::Accepted, out);
    }

    /// An established connection leaves its place to one that the neighbor dialled.
    fn make_room(&mut self) {
        if self.accepted.as_ref().is_some_and(Connection::is_established) {
            self.dialled = self.accepted.take();
            if let Some(connection) = &mut self.dialled {
                connection.direction = Direction::Dialled;
            }
        }
    }

    fn on_connected(&mut self, now: Instant, conn: ConnId, local: SocketAddr, out: &mut Vec<SessionOutput>) {
        let confirmed = self.accepted.as_ref().is_some_and(|other| matches!(other.phase, Phase::OpenConfirm(_)));
        match &mut self.dialled {
            Some(connection) if connection.id == conn && !connection.stands() => {
                connection.local = Some(local);
                self.connect_retry_at = None;
                self.last_connect_error = None;
                if confirmed {
                    // The neighbor may have a session on the other already: no reason to make it choose.
                    self.dialled = None;
                    return out.push(SessionOutput::Close { conn });
                }
                self.open(now, Direction::Dialled, out);
            }
            Some(connection) if connection.id == conn => {}
            // Given up before it stood; the carrier may have learned that too late.
            _ => out.push(SessionOutput::Close { conn }),
        }
    }

    fn on_connect_failed(&mut self, now: Instant, conn: ConnId, error: String) {
        if self.dialled.as_ref().is_some_and(|connection| connection.id == conn && !connection.stands()) {
            self.dialled = None;
            self.last_connect_error = Some(error);
            self.retry_later(now);
        }
    }

    fn on_closed(&mut self, now: Instant, conn: ConnId, out: &mut Vec<SessionOutput>) {
        if let Some(connection) = self.take(conn) {
            self.fell(now, &connection, DownReason::ConnectionLost, out);
        }
    }

    fn on_tick(&mut self, now: Instant, out: &mut Vec<SessionOutput>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if let Mode::Holding { until, .. } = self.mode
            && until <= now
        {
            self.on_start(now, out);
        }
        if due(self.connect_retry_at) {
            self.on_connect_retry(now, out);
        }
        for direction in [Direction::Dialled, Direction::Accepted] {
            let Some(connection) = self.slot(direction).as_ref() else { continue };
            let conn = connection.id;
            if due(connection.hold_at) {
                self.end(now, conn, &Notification::hold_timer(), DownReason::HoldTimerExpired, out);
            } else if due(connection.send_hold_at) {
                self.end(now, conn, &Notification::send_hold_timer(), DownReason::SendHoldTimerExpired, out);
            } else if due(connection.deferred_until()) {
                self.undefer(now, direction, out);
            } else if due(connection.keepalive_at) {
                self.send(conn, MessageType::Keepalive, header::keepalive(), out);
                self.spoke(now, direction);
            }
        }
    }

    /// RFC 4271 §8.2.2: in Connect the attempt is given up for a new one, in Active a new one is made.
    fn on_connect_retry(&mut self, now: Instant, out: &mut Vec<SessionOutput>) {
        self.connect_retry_at = None;
        if self.dialled.as_ref().is_some_and(Connection::stands) {
            return;
        }
        if let Some(attempt) = self.dialled.take() {
            self.last_connect_error = Some("no answer".to_owned());
            self.connect_backoff.failed();
            out.push(SessionOutput::Close { conn: attempt.id });
        }
        if self.accepted.is_none() {
            self.dial(now, out);
        }
    }

    fn dial(&mut self, now: Instant, out: &mut Vec<SessionOutput>) {
        if self.config.passive || self.dialled.is_some() {
            return;
        }
        let conn = ConnId::dialled(self.config.number, self.attempts);
        self.attempts = self.attempts.wrapping_add(1);
        self.dialled = Some(Connection::new(conn, Direction::Dialled, None, self.config.remote));
        self.connect_retry_at = Some(now + jittered(self.connect_backoff.current(), &mut self.rng));
        out.push(SessionOutput::Connect { conn });
    }

    /// Active: wait for the neighbor, and dial after a while.
    fn retry_later(&mut self, now: Instant) {
        let wait = self.connect_backoff.failed();
        if !self.config.passive && self.accepted.is_none() {
            self.connect_retry_at = Some(now + jittered(wait, &mut self.rng));
        }
    }

    /// The OPEN we send now.
    pub(super) fn our_open(&self) -> Open {
        let mut open = self.config.open(self.established_count == 0, self.settled);
        self.omitted.apply(&mut open);
        open
    }

    /// The TCP connection stands: OPEN is sent.
    fn open(&mut self, now: Instant, direction: Direction, out: &mut Vec<SessionOutput>) {
        let message = self.our_open().to_bytes();
        let Some(connection) = self.slot(direction) else { return };
        connection.phase = Phase::OpenSent;
        connection.hold_at = Some(now + OPEN_HOLD_TIME);
        let conn = connection.id;
        self.send(conn, MessageType::Open, message, out);
    }

    /// The neighbor confirmed our OPEN on this connection; it is the session now, and another one is closed. If that one
    /// was established, the neighbor has restarted: nothing is said on the old connection, and routes may be kept
    /// (RFC 4724 §5).
    pub(super) fn establish(&mut self, now: Instant, direction: Direction, out: &mut Vec<SessionOutput>) {
        let Some(connection) = self.slot(direction) else { return };
        let negotiated = match &mut connection.phase {
            Phase::OpenConfirm(negotiated) => Arc::clone(negotiated),
            Phase::Deferred { confirmed, .. } => {
                *confirmed = true;
                return connection.heard(now);
            }
            _ => return,
        };
        let conn = connection.id;
        connection.phase = Phase::Established(Arc::clone(&negotiated));
        connection.heard(now);
        connection.progressed(now);
        if let Some(other) = self.slot(opposite(direction)).take() {
            let replaced = other.is_established();
            self.farewell(&other, Some(&Notification::cease(cease::COLLISION)).filter(|_| !replaced), out);
            if replaced {
                self.last_down = Some(DownReason::Replaced);
                out.push(SessionOutput::Down { reason: DownReason::Replaced });
            }
        }
        self.connect_retry_at = None;
        self.connect_backoff.succeeded();
        self.established_at = Some(now);
        self.established_count += 1;
        out.push(SessionOutput::Established { conn, negotiated });
    }

    /// Their OPEN was accepted on this connection: it is confirmed.
    pub(super) fn confirm(
        &mut self,
        now: Instant,
        direction: Direction,
        negotiated: Arc<Negotiated>,
        out: &mut Vec<SessionOutput>,
    ) {
        let Some(connection) = self.slot(direction) else { return };
        let conn = connection.id;
        connection.phase = Phase::OpenConfirm(negotiated);
        connection.heard(now);
        self.send(conn, MessageType::Keepalive, header::keepalive(), out);
        self.spoke(now, direction);
    }

    /// Their OPEN was accepted, but the other connection would win against this one, once they say OPEN there.
    pub(super) fn defer(&mut self, now: Instant, direction: Direction, negotiated: Negotiated) {
        let Some(connection) = self.slot(direction) else { return };
        let until = now + COLLISION_GRACE;
        connection.phase = Phase::Deferred { negotiated: Arc::new(negotiated), until, confirmed: false };
        connection.heard(now);
    }

    /// Nothing came on the connection that would have won, or it is gone: this one goes on.
    fn undefer(&mut self, now: Instant, direction: Direction, out: &mut Vec<SessionOutput>) {
        let Some(connection) = self.slot(direction) else { return };
        let Phase::Deferred { negotiated, confirmed, .. } = &connection.phase else { return };
        let (negotiated, confirmed) = (Arc::clone(negotiated), *confirmed);
        self.yield_to_other(opposite(direction), out);
        self.confirm(now, direction, negotiated, out);
        if confirmed {
            self.establish(now, direction, out);
        }
    }

    /// Ends a connection for an error of the neighbor.
    pub(super) fn fail(
        &mut self,
        now: Instant,
        conn: ConnId,
        notification: &Notification,
        out: &mut Vec<SessionOutput>,
    ) {
        let reason = DownReason::NotificationSent(notification.clone());
        self.end(now, conn, notification, reason, out);
    }

    fn end(
        &mut self,
        now: Instant,
        conn: ConnId,
        notification: &Notification,
        reason: DownReason,
        out: &mut Vec<SessionOutput>,
    ) {
        if let Some(connection) = self.take(conn) {
            self.farewell(&connection, Some(notification), out);
            self.fell(now, &connection, reason, out);
        }
    }

    /// The neighbor ended a connection by NOTIFICATION, which is not answered (RFC 4271 §6.4).
    pub(super) fn ended(
        &mut self,
        now: Instant,
        conn: ConnId,
        notification: Notification,
        out: &mut Vec<SessionOutput>,
    ) {
        if let Some(connection) = self.take(conn) {
            self.farewell(&connection, None, out);
            // RFC 5492 §3: once without what it could not bear, then with everything again.
            let again = !connection.is_established() && self.omitted == Omitted::Nothing;
            let omit = if again { Omitted::after(&notification, &self.our_open()) } else { Omitted::Nothing };
            self.fell(now, &connection, DownReason::NotificationReceived(notification), out);
            self.omitted = omit;
            if let (Mode::Holding { until, closed_until }, false) = (&mut self.mode, self.omitted == Omitted::Nothing) {
                *until = now + RESTART_DELAY;
                *closed_until = now;
            }
        }
    }

    /// Closes a connection that lost a collision. The session goes on with the other.
    pub(super) fn yield_to_other(&mut self, direction: Direction, out: &mut Vec<SessionOutput>) {
        if let Some(loser) = self.slot(direction).take() {
            self.farewell(&loser, Some(&Notification::cease(cease::COLLISION)), out);
        }
    }

    /// The last words on a connection.
    fn farewell(&mut self, connection: &Connection, words: Option<&Notification>, out: &mut Vec<SessionOutput>) {
        if let Some(words) = words.filter(|_| connection.stands()) {
            self.send(connection.id, MessageType::Notification, words.to_bytes(), out);
        }
        out.push(SessionOutput::Close { conn: connection.id });
    }

    /// What follows when a connection is gone that did not lose to another.
    fn fell(&mut self, now: Instant, gone: &Connection, reason: DownReason, out: &mut Vec<SessionOutput>) {
        let was_up = gone.is_established();
        if self.connections().any(Connection::stands) {
            // The other may still make it.
            for direction in [Direction::Dialled, Direction::Accepted] {
                self.undefer(now, direction, out);
            }
            if was_up {
                self.established_at = None;
                self.last_down = Some(reason.clone());
                out.push(SessionOutput::Down { reason });
            }
            return;
        }
        self.omitted = Omitted::Nothing;
        let held_well = self.established_at.take().is_some_and(|since| now.duration_since(since) >= STABLE_AFTER);
        if held_well {
            self.idle_backoff.succeeded();
        }
        if matches!(gone.phase, Phase::OpenSent) && reason == DownReason::ConnectionLost {
            // RFC 4271 §8.2.2, OpenSent, TcpConnectionFails: Active. What is being dialled goes on.
            if self.dialled.is_none() {
                self.retry_later(now);
            }
        } else {
            if let Some(attempt) = self.dialled.take() {
                self.farewell(&attempt, None, out);
            }
            let wait = if reason.is_collision() {
                RESTART_DELAY
            } else if was_up && !reason.is_error() && self.idle_backoff.failures() == 0 {
                // Free of charge once; the next fall soon after this one waits longer.
                self.idle_backoff.failed().min(RESTART_DELAY)
            } else {
                self.idle_backoff.failed()
            };
            let until = now + jittered(wait, &mut self.rng);
            let closed = if reason.is_error() { (wait / CLOSED_PART).min(CLOSED_CAP) } else { Duration::ZERO };
            self.mode = Mode::Holding { until, closed_until: now + closed };
            self.connect_retry_at = None;
        }
        self.last_down = Some(reason.clone());
        out.push(if was_up { SessionOutput::Down { reason } } else { SessionOutput::Failed { reason } });
    }

    pub(super) fn send(&mut self, conn: ConnId, kind: MessageType, message: Bytes, out: &mut Vec<SessionOutput>) {
        self.counters.sent.add(kind, 1);
        if let Some(now) = self.now {
            self.history.sent(now, &message, None);
        }
        out.push(SessionOutput::Send { conn, message });
    }

    fn spoke(&mut self, now: Instant, direction: Direction) {
        let slot = match direction {
            Direction::Dialled => &mut self.dialled,
            Direction::Accepted => &mut self.accepted,
        };
        if let Some(connection) = slot {
            connection.spoke(now, &mut self.rng);
        }
    }

    pub(super) const fn slot(&mut self, direction: Direction) -> &mut Option<Connection> {
        match direction {
            Direction::Dialled => &mut self.dialled,
            Direction::Accepted => &mut self.accepted,
        }
    }

    /// Takes the connection out of its slot.
    fn take(&mut self, conn: ConnId) -> Option<Connection> {
        let direction = self.connections().find(|connection| connection.id == conn)?.direction;
        self.slot(direction).take()
    }
}

pub(super) const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Dialled => Direction::Accepted,
        Direction::Accepted => Direction::Dialled,
    }
}
