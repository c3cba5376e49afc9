//! One TCP connection of a session: its state and its timers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ConnId, Negotiated};
use crate::fsm::collision::Direction;
use crate::fsm::timers::jittered;
use crate::speaker::message::SessionState;

/// RFC 9687 §4.3: eight minutes, or twice the hold time if that is longer.
const SEND_HOLD_MIN: Duration = Duration::from_secs(480);

/// How far a connection has come.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Being dialled.
    Connecting,
    /// OPEN sent.
    OpenSent,
    /// Their OPEN accepted, but not confirmed yet: the other connection, on which they have not said OPEN, would win a
    /// collision with this one.
    Deferred {
        negotiated: Arc<Negotiated>,
        /// The other has so long to show that it lives.
        until: Instant,
        /// Our OPEN was confirmed meanwhile.
        confirmed: bool,
    },
    /// Their OPEN accepted and confirmed.
    OpenConfirm(Arc<Negotiated>),
    /// In use.
    Established(Arc<Negotiated>),
}

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: ConnId,
    pub(super) direction: Direction,
    /// Our end; known once the connection stands.
    pub(super) local: Option<SocketAddr>,
    pub(super) remote: SocketAddr,
    pub(super) phase: Phase,
    pub(super) hold_at: Option<Instant>,
    pub(super) keepalive_at: Option<Instant>,
    /// The neighbor has to take something before (RFC 9687).
    pub(super) send_hold_at: Option<Instant>,
}

impl Connection {
    pub(super) fn new(id: ConnId, direction: Direction, local: Option<SocketAddr>, remote: SocketAddr) -> Self {
        Self {
            id,
            direction,
            local,
            remote,
            phase: Phase::Connecting,
            hold_at: None,
            keepalive_at: None,
            send_hold_at: None,
        }
    }

    pub(super) const fn state(&self) -> SessionState {
        match self.phase {
            Phase::Connecting => SessionState::Connect,
            Phase::OpenSent => SessionState::OpenSent,
            Phase::Deferred { .. } | Phase::OpenConfirm(_) => SessionState::OpenConfirm,
            Phase::Established(_) => SessionState::Established,
        }
    }

    pub(super) const fn negotiated(&self) -> Option<&Arc<Negotiated>> {
        match &self.phase {
            Phase::Deferred { negotiated, .. } | Phase::OpenConfirm(negotiated) | Phase::Established(negotiated) => {
                Some(negotiated)
            }
            Phase::Connecting | Phase::OpenSent => None,
        }
    }

    pub(super) const fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established(_))
    }

    /// The TCP connection stands: there is somebody to tell that it ends.
    pub(super) const fn stands(&self) -> bool {
        !matches!(self.phase, Phase::Connecting)
    }

    /// Something was heard: the hold time begins anew (RFC 4271 §8.2.2; not at all if it is zero).
    pub(super) fn heard(&mut self, now: Instant) {
        self.hold_at = self.negotiated().filter(|n| !n.hold_time.is_zero()).map(|n| now + n.hold_time);
    }

    /// Something was sent: the next KEEPALIVE is due a jittered interval from now (RFC 4271 §4.4, §10).
    pub(super) fn spoke(&mut self, now: Instant, rng: &mut fastrand::Rng) {
        let interval = self.negotiated().map(|n| n.keepalive).filter(|interval| !interval.is_zero());
        self.keepalive_at = interval.map(|interval| now + jittered(interval, rng));
    }

    /// The neighbor took something: the send hold time begins anew, if there is one (RFC 9687 §4.3: not with a hold time
    /// of zero).
    pub(super) fn progressed(&mut self, now: Instant) {
        if let Phase::Established(negotiated) = &self.phase
            && !negotiated.hold_time.is_zero()
        {
            self.send_hold_at = Some(now + SEND_HOLD_MIN.max(negotiated.hold_time * 2));
        }
    }

    pub(super) const fn deferred_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Deferred { until, .. } => Some(until),
            _ => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.hold_at, self.keepalive_at, self.send_hold_at, self.deferred_until()].into_iter().flatten().min()
    }
}
