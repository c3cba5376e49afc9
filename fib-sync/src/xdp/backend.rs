//! XDP behind the trait of all data planes.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rib::{FibRoute, IfIndex, NextHopId, NextHopOp};

use super::XdpConfig;
use super::attach::Attachments;
use super::layout::MEMBERS;
use super::load::{self, lost};
use super::plane::Plane;
use super::sys::{self, Trial};
use crate::backend::{BackendError, Capacity, Facts, FibBackend, Installed, Refusal};
use crate::netlink::follow::Follower;
use crate::netlink::neighbors::{Event, Neighbors};

/// What the backend and its follower share.
pub(super) struct Shared(Mutex<State>);

pub(super) struct State {
    pub(super) plane: Plane,
    pub(super) attachments: Attachments,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // The tables are whole after every store, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forwards by XDP. Belongs to the network namespace of the thread that opened it.
pub struct XdpBackend {
    config: XdpConfig,
    shared: Arc<Shared>,
    /// Taken when it is to end.
    follower: Option<Follower>,
    program: OwnedFd,
    /// The pin directory is locked while this is open.
    _lock: File,
}

impl XdpBackend {
    /// Takes up the pinned tables or makes new ones, attaches the program, and begins to follow neighbors. Forwarding that was
    /// going on goes on.
    ///
    /// # Errors
    /// [`BackendError::Privilege`] without CAP_BPF and CAP_NET_ADMIN; [`BackendError::Lost`] when the pin directory or an
    /// interface cannot be used, with what would help.
    pub fn open(config: XdpConfig) -> Result<Self, BackendError> {
        let mut neighbors = Neighbors::open().map_err(|error| lost("cannot follow neighbors", error))?;
        let loaded = load::open(&config)?;
        if loaded.adopted {
            tracing::info!(routes = loaded.plane.len(), "XDP tables of an earlier run taken up");
        }
        let program = loaded.program.try_clone().map_err(|error| lost("cannot keep the XDP program", error))?;
        let attachments = Attachments::new(loaded.program, config.clone());
        let shared = Arc::new(Shared(Mutex::new(State { plane: loaded.plane, attachments })));
        let events = neighbors.dump().map_err(|error| lost("cannot read links and neighbors", error))?;
        let names: Vec<String> = events
            .iter()
            .filter_map(|event| if let Event::Link(link, _) = event { Some(link.name.clone()) } else { None })
            .collect();
        {
            let state = &mut *shared.lock();
            state.take_all(&events).map_err(BackendError::Lost)?;
            for name in state.attachments.missing(|name| names.iter().any(|have| have == name)) {
                tracing::warn!(
                    interface = name,
                    "fib.xdp.interfaces names an interface that this host does not have yet"
                );
            }
            state.attachments.drop_strangers(&mut state.plane);
        }
        load::remove_sets(&config.pin, load::current(&config.pin).as_deref());
        let follower = Follower::spawn("fib-xdp-watch", neighbors, Arc::clone(&shared));
        let follower = follower.map_err(|error| lost("cannot follow neighbors", error))?;
        follower.wake();
        Ok(Self { config, shared, follower: Some(follower), program, _lock: loaded.lock })
    }

    /// What became of the packets, by reason; see [`super::REASONS`].
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.shared.lock().plane.counters()
    }

    /// What the program makes of a frame that comes in on `interface`, an attached one; nothing is sent.
    ///
    /// # Errors
    /// When the kernel cannot run it, as with an interface in generic mode.
    pub fn trial(&self, frame: &[u8], interface: IfIndex, repeat: u32) -> std::io::Result<Trial> {
        sys::trial(self.program.as_fd(), frame, interface.0, repeat)
    }

    /// The forwarding program.
    pub(super) fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    /// Where everything is pinned.
    pub(super) fn pin(&self) -> &Path {
        &self.config.pin
    }

    /// The number in the maps of a next-hop object, as foreign programs meet it.
    #[must_use]
    pub fn object(&self, id: NextHopId) -> Option<u32> {
        self.shared.lock().plane.hops.internal(id)
    }

    /// Groups of 256 words and lists in use, for IPv4 and IPv6.
    #[must_use]
    pub fn groups_used(&self) -> [(usize, usize); 2] {
        self.shared.lock().plane.groups_used()
    }
}

impl FibBackend for XdpBackend {
    fn name(&self) -> &'static str {
        "xdp"
    }

    fn capacity(&self) -> Capacity {
        let limits = &self.config.limits;
        Capacity { routes: Some(limits.ipv4_routes as usize + limits.ipv6_routes as usize), legs: MEMBERS }
    }

    fn apply(
        &mut self,
        next_hops: &[NextHopOp],
        routes: &[FibRoute],
        unused: &[NextHopId],
        refused: &mut Vec<Refusal>,
    ) -> Result<(), BackendError> {
        let new_legs = {
            let plane = &mut self.shared.lock().plane;
            plane.apply(next_hops, routes, unused, refused);
            plane.take_new_legs()
        };
        if let Some(follower) = self.follower.as_ref().filter(|_| new_legs) {
            follower.wake();
        }
        Ok(())
    }

    fn dump(&mut self, each: &mut dyn FnMut(Installed)) -> Result<(), BackendError> {
        self.shared.lock().plane.dump(each);
        Ok(())
    }

    fn facts(&self) -> Facts {
        let state = self.shared.lock();
        Facts { ports: state.attachments.ports(), counters: state.plane.counters() }
    }

    fn local_address(&mut self, addr: IpAddr, present: bool) {
        self.shared.lock().plane.local_address(addr, present);
    }

    fn standalone(&self) -> bool {
        true
    }

    fn sweep_next_hops(&mut self, used: &mut dyn FnMut(NextHopId) -> bool) -> Result<(), BackendError> {
        self.shared.lock().plane.sweep(used);
        Ok(())
    }
}

impl Drop for XdpBackend {
    fn drop(&mut self) {
        drop(self.follower.take());
        let mut state = self.shared.lock();
        // With routes left, forwarding goes on and the next process takes it up; without, there is nothing to keep.
        if state.plane.routes() == 0 {
            state.attachments.remove_all();
        }
    }
}
