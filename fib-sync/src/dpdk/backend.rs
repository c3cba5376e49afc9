//! The agent behind the trait of all data planes.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rib::{FibRoute, Forwarding, IfIndex, NextHopId, NextHopOp};

use super::agent::Agent;
use super::state::State;
use super::{DpdkConfig, REASONS};
use crate::backend::{BackendError, Capacity, Facts, FibBackend, Installed, Port, Refusal};
use crate::netlink::follow::{Follower, Follows};
use crate::netlink::neighbors::{Event, Neighbors};

/// What the backend and its follower share.
struct Shared(Mutex<State>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked, the next dump makes it good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follows for Shared {
    fn changed(&self, events: &[Event]) {
        self.lock().take(events, false);
    }

    fn all(&self, events: &[Event]) {
        self.lock().take(events, true);
    }

    fn wanted(&self, confirm: bool, most: usize) -> Vec<(IfIndex, IpAddr)> {
        self.lock().wanted_neighbors(confirm, most)
    }
}

/// Forwards by a DPDK process. Follows neighbors in the network namespace of the thread that opened it.
pub struct DpdkBackend {
    // Before what it looks at.
    follower: Follower,
    shared: Arc<Shared>,
}

impl DpdkBackend {
    /// Begins to follow neighbors. The agent is looked for when the data plane is first read: it may start later.
    ///
    /// # Errors
    /// [`BackendError::Lost`] when the kernel's links and neighbors cannot be read.
    pub fn open(config: DpdkConfig) -> Result<Self, BackendError> {
        let lost = |error: std::io::Error| BackendError::Lost(format!("cannot follow neighbors: {error}"));
        let mut neighbors = Neighbors::open().map_err(lost)?;
        let mut state = State::new(config);
        state.take(&neighbors.dump().map_err(lost)?, true);
        let shared = Arc::new(Shared(Mutex::new(state)));
        let follower = Follower::spawn("fib-dpdk-watch", neighbors, Arc::clone(&shared)).map_err(lost)?;
        Ok(Self { follower, shared })
    }
}

impl FibBackend for DpdkBackend {
    fn name(&self) -> &'static str {
        "dpdk"
    }

    fn capacity(&self) -> Capacity {
        let state = self.shared.lock();
        let hello = state.agent().map(|agent| &agent.hello);
        Capacity { routes: hello.map(|hello| hello.routes), legs: hello.map_or(256, |hello| hello.legs) }
    }

    fn apply(
        &mut self,
        next_hops: &[NextHopOp],
        routes: &[FibRoute],
        unused: &[NextHopId],
        refused: &mut Vec<Refusal>,
    ) -> Result<(), BackendError> {
        let new_legs = {
            let mut state = self.shared.lock();
            state.apply(next_hops, routes, unused, refused)?;
            std::mem::take(&mut state.new_legs)
        };
        if new_legs {
            self.follower.wake();
        }
        Ok(())
    }

    fn dump(&mut self, each: &mut dyn FnMut(Installed)) -> Result<(), BackendError> {
        self.shared.lock().dump(each)?;
        self.follower.wake();
        Ok(())
    }

    fn facts(&self) -> Facts {
        let mut state = self.shared.lock();
        let Some(agent) = state.agent() else { return Facts::default() };
        let port = |index: &IfIndex| match state.links.get(index) {
            Some(name) => Port { name: name.clone(), mode: "dpdk", remark: None },
            None => Port {
                name: format!("#{}", index.0),
                mode: "",
                remark: Some("the agent names an interface that this host does not have".into()),
            },
        };
        let ports = agent.hello.ports.iter().map(port).collect();
        let counters = state.with(Agent::counters).unwrap_or_default();
        Facts { ports, counters: REASONS.into_iter().zip(counters).collect() }
    }

    fn local_address(&mut self, addr: IpAddr, present: bool) {
        self.shared.lock().local_address(addr, present);
    }

    fn standalone(&self) -> bool {
        true
    }

    fn carries(&self, old: &Forwarding, new: &Forwarding) -> bool {
        // What is no object but a kind of route is written route by route.
        old == new || matches!((old, new), (Forwarding::Legs(_), Forwarding::Legs(_)))
    }

    fn sweep_next_hops(&mut self, used: &mut dyn FnMut(NextHopId) -> bool) -> Result<(), BackendError> {
        self.shared.lock().sweep(used)
    }

    fn when_lost(&mut self, tell: Arc<dyn Fn() + Send + Sync>) {
        self.shared.lock().ended = Some(tell);
    }
}
