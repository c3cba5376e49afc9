//! Octets of a connection to messages, and what each message does to the session (RFC 4271 §6, §8.2.2).

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::connection::Phase;
use super::events::opposite;
use super::history::Reading;
use super::negotiate::{Negotiated, negotiate};
use super::{ConnId, Session, SessionOutput};
use crate::fsm::collision::{self, Direction, Identity};
use crate::fsm::messages::{self, Due};
use crate::wire::Notification;
use crate::wire::header::{self, HEADER_LEN, Header};
use crate::wire::open::Open;
use crate::wire::route_refresh::{RefreshKind, RouteRefresh};

/// A message taken off a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The body of an UPDATE, unread: [`crate::wire::update::split`].
    Update(Bytes),
    /// A ROUTE-REFRESH. Its family may be one that is not in use, to be ignored then.
    RouteRefresh(RouteRefresh),
    /// A message that the session has dealt with.
    Handled,
}

impl Session {
    /// Takes at most one whole message off the front of `buf`, octets received on `conn` in their order. `None`: more
    /// octets are needed, or the connection is being closed and `buf` was emptied.
    ///
    /// The carrier reads no more into `buf` while a message is whole in it, so that it stays bounded by one message and
    /// one read.
    pub fn receive(
        &mut self,
        now: Instant,
        conn: ConnId,
        buf: &mut BytesMut,
        out: &mut Vec<SessionOutput>,
    ) -> Option<Received> {
        self.now = Some(now);
        let known = self.connections().find(|connection| connection.id == conn && connection.stands());
        let Some(connection) = known else {
            buf.clear();
            return None;
        };
        let (state, direction) = (connection.state(), connection.direction);
        let negotiated = connection.negotiated();
        let extended = negotiated.is_some_and(|negotiated| negotiated.extended_messages);
        let enhanced = negotiated.is_some_and(|negotiated| negotiated.enhanced_refresh);
        let reading = Reading::of(negotiated.map(Arc::as_ref), false);
        let outcome = match header::decode(buf, extended) {
            Ok(None) => return None,
            Ok(Some(Header { length, .. })) if buf.len() < length => {
                buf.reserve(length - buf.len());
                return None;
            }
            Ok(Some(Header { kind, length })) => {
                let body = buf.split_to(length).freeze().slice(HEADER_LEN..);
                self.counters.received.add(kind, 1);
                self.history.received(now, kind, &body, reading);
                messages::due(state, kind).and_then(|due| match due {
                    Due::Open => self.on_open(now, direction, &body, out),
                    Due::Confirm => {
                        self.establish(now, direction, out);
                        Ok(Received::Handled)
                    }
                    Due::Alive => {
                        self.heard(now, direction);
                        Ok(Received::Handled)
                    }
                    Due::Routes => {
                        self.heard(now, direction);
                        Ok(Received::Update(body))
                    }
                    Due::Refresh => RouteRefresh::decode(&body, enhanced).map(|refresh| match refresh.kind {
                        // RFC 7313 §5: ignored.
                        RefreshKind::Unknown(_) => Received::Handled,
                        RefreshKind::Request | RefreshKind::Begin | RefreshKind::End => Received::RouteRefresh(refresh),
                    }),
                    Due::End => {
                        let notification = Notification::decode(&body)?;
                        self.ended(now, conn, notification, out);
                        Ok(Received::Handled)
                    }
                })
            }
            Err(notification) => Err(notification),
        };
        match outcome {
            Ok(received) => Some(received),
            Err(notification) => {
                self.fail(now, conn, &notification, out);
                buf.clear();
                None
            }
        }
    }

    /// OPEN in OpenSent: judge it, resolve a collision, confirm.
    fn on_open(
        &mut self,
        now: Instant,
        direction: Direction,
        body: &[u8],
        out: &mut Vec<SessionOutput>,
    ) -> Result<Received, Notification> {
        let open = Open::decode(body)?;
        let Some(connection) = self.slot(direction).as_ref() else { return Ok(Received::Handled) };
        let local = connection.local.unwrap_or(connection.remote);
        let remote = connection.remote;
        let negotiated = negotiate(&self.config, &self.our_open(), &open, local, remote)?;

        self.meet(now, direction, negotiated, out);
        Ok(Received::Handled)
    }

    /// RFC 4271 §6.8. Whoever is confirmed may be in use at the other end a moment later, so nothing is confirmed that
    /// both ends would not keep: otherwise each may close what the other keeps.
    fn meet(&mut self, now: Instant, direction: Direction, negotiated: Negotiated, out: &mut Vec<SessionOutput>) {
        let ours = Identity { router_id: negotiated.local_router_id, asn: negotiated.local_asn };
        let theirs = Identity { router_id: negotiated.peer_router_id, asn: negotiated.peer_asn };
        let wins = collision::winner(ours, theirs) == direction;
        let other = opposite(direction);
        match self.slot(other).as_ref().map(|connection| &connection.phase) {
            // The established one goes when this one is confirmed; see [`Session::establish`].
            Some(Phase::Established(_) | Phase::Connecting) | None => {}
            Some(Phase::OpenSent | Phase::Deferred { .. } | Phase::OpenConfirm(_)) if wins => {
                self.yield_to_other(other, out);
            }
            Some(Phase::Deferred { .. } | Phase::OpenConfirm(_)) => return self.yield_to_other(direction, out),
            // The neighbor may have seen the other one, or it may not: it has a moment to say OPEN there.
            Some(Phase::OpenSent) => return self.defer(now, direction, negotiated),
        }
        self.confirm(now, direction, Arc::new(negotiated), out);
    }

    fn heard(&mut self, now: Instant, direction: Direction) {
        if let Some(connection) = self.slot(direction) {
            connection.heard(now);
        }
    }
}
