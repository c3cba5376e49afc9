//! One TCP connection of a session: its state and its timers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::{ConnId, Negotiated};
use crate::fsm::collision::Direction;
use crate::fsm::timers::jittered;
use crate::speaker::message::SessionState;

/// How far a connection has come.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Being dialled.
    Connecting,
    /// OPEN sent.
    OpenSent,
    /// Their OPEN accepted.
    OpenConfirm(Arc<Negotiated>),
    /// In use.
    Established(Arc<Negotiated>),
}

/// A connection. RFC 9687's send hold timer will stand beside the other two.
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
}

impl Connection {
    pub(super) fn new(id: ConnId, direction: Direction, local: Option<SocketAddr>, remote: SocketAddr) -> Self {
        Self { id, direction, local, remote, phase: Phase::Connecting, hold_at: None, keepalive_at: None }
    }

    pub(super) const fn state(&self) -> SessionState {
        match self.phase {
            Phase::Connecting => SessionState::Connect,
            Phase::OpenSent => SessionState::OpenSent,
            Phase::OpenConfirm(_) => SessionState::OpenConfirm,
            Phase::Established(_) => SessionState::Established,
        }
    }

    pub(super) const fn negotiated(&self) -> Option<&Arc<Negotiated>> {
        match &self.phase {
            Phase::OpenConfirm(negotiated) | Phase::Established(negotiated) => Some(negotiated),
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

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.hold_at, self.keepalive_at].into_iter().flatten().min()
    }
}
