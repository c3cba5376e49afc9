//! The carrier: runs a [`Speaker`](crate::speaker::Speaker) on a thread of its own, with real sockets and the real clock.
//!
//! Everything happens inline on that thread: octets are read, decoded, decided and encoded without a channel in between. Each
//! connection has a task that reads and one that writes; they take turns in slices that the speaker's work budget bounds, and every
//! slice begins with what is urgent (our own routes, next hops, commands), so urgent work waits for one slice and never behind bulk.
//!
//! What is bounded, and what happens when it is full:
//! - routes to the RIB: sessions are no longer read, so TCP slows the peers; nothing is dropped;
//! - octets to a peer: at most one chunk beside the socket's own (`TCP_NOTSENT_LOWAT`); the rest stays in the speaker, where it coalesces;
//! - local routes, reachability, what became of routes: one pending change per prefix and address, the latest wins;
//! - requests: the caller waits;
//! - events: a subscriber that lags loses the oldest and is told how many;
//! - connections from strangers: refused and counted, a few per second are reported.

mod carrier;
mod connection;
mod discover;
mod door;
mod handle;
mod keys;
mod lanes;
mod options;
mod socket;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};

pub use handle::{Counters, Handle, RequestError};

use crate::config::SpeakerConfig;
use crate::speaker::{has_ttl_security, passwords};
use lanes::Lanes;

/// Where the speaker's routes go, and the next hops it wants followed: the inbox of the RIB's owner.
pub type RibSink = mpsc::Sender<rib::message::Input>;

/// Requests that may wait; more let the caller wait.
const REQUESTS_MAX: usize = 64;

/// Events kept for a subscriber that lags.
const EVENTS_KEPT: usize = 4096;

/// What the carrier itself has to know; everything about neighbors is in [`SpeakerConfig`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoConfig {
    /// Addresses to listen on; none means only to dial. IPv6 sockets take IPv6 only, so `0.0.0.0` and `[::]` stand side by side.
    pub listen: Vec<SocketAddr>,
    /// Longest wait for a connection to stand.
    pub connect_timeout: Duration,
    /// Longest wait for a peer to take the last octets of a connection that is being closed.
    pub close_timeout: Duration,
}

impl Default for IoConfig {
    fn default() -> Self {
        Self { listen: Vec::new(), connect_timeout: Duration::from_secs(10), close_timeout: Duration::from_secs(2) }
    }
}

/// Why the carrier could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {0} for BGP: the address is already in use. Another BGP daemon or another anyhop runs here \
         (see `ss -ltnp`); stop it, or set another address under `listen` in [bgp], or [] to only dial out"
    )]
    InUse(SocketAddr),
    /// The port needs a privilege.
    #[error(
        "cannot listen on {0} for BGP: permission denied. Ports below 1024 need root or CAP_NET_BIND_SERVICE; or set a higher \
         port under `listen` in [bgp]"
    )]
    Denied(SocketAddr),
    /// The address is not one of this host.
    #[error(
        "cannot listen on {0} for BGP: this host has no such address. Correct `listen` in [bgp], or add the address first"
    )]
    NotLocal(SocketAddr),
    /// Something else about a listening socket.
    #[error("cannot listen on {address} for BGP: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The thread or its runtime could not be made.
    #[error("cannot start the BGP thread: {0}")]
    Thread(std::io::Error),
}

/// Starts a speaker on a thread of its own. Listening sockets are bound before this returns.
///
/// The thread ends after [`Handle::shutdown`], or when the last handle is dropped; both close every session with a Cease.
///
/// # Errors
/// Names the address that cannot be listened on, the reason, and what would help.
pub fn spawn(speaker: SpeakerConfig, io: IoConfig, rib: RibSink) -> Result<Handle, Error> {
    // What has to be signed is demanded before anybody can connect.
    let bound = io.listen.iter().map(|address| socket::bind(*address)).collect::<Result<Vec<_>, _>>()?;
    let mut keys = keys::Keys::new(&bound).map_err(Error::Thread)?;
    keys.set_gtsm(has_ttl_security(&speaker));
    keys.set(&passwords(&speaker));
    let listeners = bound.into_iter().zip(&io.listen).map(|(socket, address)| socket::listen(socket, *address));
    let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
    let listening =
        listeners.iter().zip(&io.listen).map(|(listener, asked)| listener.local_addr().unwrap_or(*asked)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
    let lanes = Arc::new(Lanes::default());
    let counters = Arc::new(handle::Tally::default());
    let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
    let (events, _) = broadcast::channel(EVENTS_KEPT);
    let (running, ended) = watch::channel(());
    let parts = carrier::Parts {
        speaker,
        io,
        rib,
        listeners,
        keys,
        lanes: Arc::clone(&lanes),
        counters: Arc::clone(&counters),
        inbox,
        events: events.clone(),
    };
    std::thread::Builder::new()
        .name("bgp".to_owned())
        .spawn(move || {
            tokio::task::LocalSet::new().block_on(&runtime, carrier::run(parts));
            // Dropped last, also by a panic: whoever waits for the end learns of it.
            drop(running);
        })
        .map_err(Error::Thread)?;
    Ok(Handle::new(requests, lanes, counters, events, ended, listening))
}
