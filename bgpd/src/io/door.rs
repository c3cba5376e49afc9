//! The door: who may connect to us. Strangers are reset and counted, a neighbor holds a bounded number of connections, and what
//! has to be protected (TCP-MD5, GTSM) is, from its first packet on.
//!
//! One connection is taken per turn of the thread, so a flood of them costs a session its share of a turn and no more.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tracing::{error, warn};

use super::carrier::{Carrier, Link, State, log, now};
use super::handle::count;
use super::keys::Keys;
use super::{options, socket};
use crate::session::ConnId;
use crate::speaker::message::{Event, Input, Reply};

/// Turns of the thread in which a neighbor's other connections are heard before a new one is judged.
const HEARD_TURNS: u32 = 32;

/// Refused connections that are reported per second.
const REFUSALS_PER_SECOND: u32 = 4;

/// Connections that one address may have open, those being closed included. A session needs two.
const CONNECTIONS_PER_NEIGHBOR: u32 = 16;

/// An accept that fails again and again is reported so often.
const ACCEPT_REPORT_EVERY: Duration = Duration::from_secs(10);

/// Wait after an accept that failed for lack of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What the door remembers.
pub(super) struct Door {
    keys: Keys,
    /// Connections accepted so far.
    accepted: u64,
    /// Since when refusals are counted for reports, and how many there were.
    reported: (Instant, u32),
    /// Open connections that were accepted, by peer.
    crowd: HashMap<IpAddr, u32>,
}

impl Door {
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, accepted: 0, reported: (now(), 0), crowd: HashMap::new() }
    }

    fn is_crowded(&self, peer: IpAddr) -> bool {
        self.crowd.get(&peer).is_some_and(|open| *open >= CONNECTIONS_PER_NEIGHBOR)
    }

    fn enter(&mut self, peer: IpAddr) -> ConnId {
        *self.crowd.entry(peer).or_default() += 1;
        self.accepted += 1;
        ConnId::accepted(self.accepted)
    }

    /// A connection that `peer` made is closed.
    pub(super) fn leave(&mut self, peer: IpAddr) {
        if let Some(open) = self.crowd.get_mut(&peer) {
            *open -= 1;
            if *open == 0 {
                self.crowd.remove(&peer);
            }
        }
    }

    /// A few per second; the counters know of all.
    fn may_report(&mut self) -> bool {
        let now = now();
        let (since, shown) = &mut self.reported;
        if now.duration_since(*since) >= Duration::from_secs(1) {
            (*since, *shown) = (now, 0);
        }
        *shown += 1;
        *shown <= REFUSALS_PER_SECOND
    }
}

impl Carrier {
    pub(super) async fn accept(self: Rc<Self>, listener: std::net::TcpListener) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return error!(%error, "cannot accept BGP connections"),
        };
        let mut reported: Option<Instant> = None;
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => {
                    self.hear_out(remote.ip().to_canonical()).await;
                    self.accepted(stream, remote);
                }
                Err(error) => {
                    // No file descriptor or no memory is left: what waits is accepted when there is.
                    if reported.is_none_or(|at| now() >= at + ACCEPT_REPORT_EVERY) {
                        warn!(%error, "cannot accept BGP connections; trying again");
                        reported = Some(now());
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// A neighbor may have ended its session a moment ago and come back: what it said before is heard before it is judged by
    /// the session it had. One that says very much is not heard to the end.
    async fn hear_out(&self, peer: IpAddr) {
        for _ in 0..HEARD_TURNS {
            // The sockets are polled in between.
            tokio::task::yield_now().await;
            if !self.state.borrow().links.values().any(|link| link.has_unheard(peer)) {
                return;
            }
        }
    }

    fn accepted(self: &Rc<Self>, stream: TcpStream, remote: SocketAddr) {
        let peer = remote.ip().to_canonical();
        let interface = match remote {
            SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() => options::name_of(v6.scope_id()).map(Arc::from),
            _ => None,
        };
        let conn = {
            let state = &mut *self.state.borrow_mut();
            let Some(protection) = state.speaker.protection(peer, interface.as_ref()) else {
                count(&self.counters.strangers, 1);
                reset(stream);
                return state.report_stranger(peer);
            };
            if state.door.is_crowded(peer) {
                count(&self.counters.crowded, 1);
                return reset(stream);
            }
            let demanded = protection.password.as_ref().is_none_or(|password| state.door.keys.demands(peer, password));
            let checked = if demanded { socket::accepted(&stream, remote, &protection) } else { Err(unsigned()) };
            if let Err(error) = checked {
                count(&self.counters.unprotected, 1);
                reset(stream);
                if state.door.may_report() {
                    warn!(peer = %peer, %error, "a neighbor's connection refused");
                }
                return;
            }
            count(&self.counters.accepted, 1);
            state.door.enter(peer)
        };
        let local = stream.local_addr().unwrap_or_else(|_| socket::unspecified(remote));
        let link = Rc::new(Link { peer: Some(peer), ..Link::default() });
        self.start(conn, &link, stream);
        self.state.borrow_mut().links.insert(conn, link);
        self.handle(Input::Accepted { conn, remote, local, interface });
    }
}

impl Link {
    /// `peer` is at the other end, and said something, or ended the connection, that the speaker has not heard yet.
    fn has_unheard(&self, peer: IpAddr) -> bool {
        let Some(stream) = self.stream.borrow().upgrade() else { return false };
        if self.gone.get() || stream.peer_addr().is_ok_and(|addr| addr.ip().to_canonical() != peer) {
            return false;
        }
        let mut octet = [MaybeUninit::uninit()];
        let waits = stream.try_io(Interest::READABLE, || SockRef::from(&*stream).peek(&mut octet));
        self.reading.get() || !waits.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl State {
    fn report_stranger(&mut self, remote: IpAddr) {
        if self.door.may_report() {
            let event = Event::UnknownPeer { remote };
            log(&event);
            // No subscriber is no error.
            let _ = self.events.send(event);
        }
    }

    /// The listening sockets demand what the speaker's neighbors are protected by.
    pub(super) fn protect_listeners(&mut self) {
        self.door.keys.set_gtsm(self.speaker.has_ttl_security());
        self.door.keys.set(&self.speaker.passwords());
    }

    /// What only the carrier knows of a neighbor.
    pub(super) fn annotate(&self, reply: &mut Reply) {
        let Reply::Neighbors(views) = reply else { return };
        for view in views {
            let Some(address) = view.address else { continue };
            let protection = self.speaker.protection(address, view.key.interface());
            let signed = protection.is_some_and(|protection| protection.password.is_some());
            if let (true, Some(error)) = (signed, self.door.keys.failure(address)) {
                view.notes.push(format!("its connections are refused: the TCP-MD5 password cannot be set: {error}"));
            }
            if !signed && self.door.keys.demands_any(address) {
                view.notes.push(
                    "its connections have to be signed (TCP-MD5): it has no password, but a range that it is in has"
                        .to_owned(),
                );
            }
        }
    }
}

/// The error of a connection that no listening socket has demanded the right key of.
fn unsigned() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "its TCP-MD5 password could not be demanded when it connected")
}

/// Refuses a connection without a word (no FIN: the other end learns at once, and nothing of it stays here).
fn reset(stream: TcpStream) {
    // An ordinary close will do as well.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}
