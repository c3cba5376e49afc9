//! A data plane in memory: for simulation, for the demo, and for hosts without the privilege to change the kernel.
//!
//! It is honest: it forwards by longest match over what it was told, keeps its content when its owner dies, refuses what its
//! capacity or its script says, and can forget. [`Plane`] is the thing itself, which outlives a [`MemoryBackend`] as a kernel
//! outlives a daemon.

pub mod host;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rib::{FibFault, FibRoute, Forwarding, NextHopId, NextHopOp};

use crate::backend::{BackendError, Capacity, FibBackend, Installed, Refusal};
pub use host::MemoryHost;

/// Legs of one object.
const LEGS: usize = 256;

#[derive(Default)]
struct State {
    routes: HashMap<IpNet, NextHopId>,
    objects: BTreeMap<NextHopId, Forwarding>,
    capacity: Option<usize>,
    refuse_routes: HashMap<IpNet, (FibFault, u32)>,
    refuse_next_hops: Option<(FibFault, u32)>,
    break_after: Option<u32>,
    down: bool,
    writes: u64,
    removals: u64,
    object_writes: u64,
}

/// What a plane has been made to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Routes written.
    pub routes: u64,
    /// Routes removed.
    pub removals: u64,
    /// Next-hop objects written.
    pub next_hops: u64,
}

/// The data plane itself, shared by handle.
#[derive(Clone, Default)]
pub struct Plane(Arc<Mutex<State>>);

impl Plane {
    /// An empty plane without bound.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; a poisoned state would still be whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds at most this many routes from now on; those that are there stay.
    pub fn set_capacity(&self, routes: Option<usize>) {
        self.lock().capacity = routes;
    }

    /// Refuses the next `times` writes of `prefix`.
    pub fn refuse(&self, prefix: IpNet, fault: FibFault, times: u32) {
        let mut state = self.lock();
        if times == 0 {
            state.refuse_routes.remove(&prefix);
        } else {
            state.refuse_routes.insert(prefix, (fault, times));
        }
    }

    /// Refuses the next `times` writes of any next-hop object.
    pub fn refuse_next_hops(&self, fault: FibFault, times: u32) {
        self.lock().refuse_next_hops = (times > 0).then_some((fault, times));
    }

    /// The connection breaks in the middle of the next batch, after `routes` of its routes. It can be taken up again.
    pub fn break_after(&self, routes: u32) {
        self.lock().break_after = Some(routes);
    }

    /// Cannot be reached while `down`.
    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    /// Somebody else removes a route; whether it was there.
    pub fn forget(&self, prefix: IpNet) -> bool {
        self.lock().routes.remove(&prefix).is_some()
    }

    /// All content is lost, as when a machine is switched off.
    pub fn wipe(&self) {
        let mut state = self.lock();
        state.routes.clear();
        state.objects.clear();
    }

    /// How `addr` is forwarded: the longest match, with its prefix.
    #[must_use]
    pub fn lookup(&self, addr: IpAddr) -> Option<(IpNet, Forwarding)> {
        let state = self.lock();
        let bits = if addr.is_ipv4() { 32 } else { 128 };
        (0..=bits).rev().find_map(|length| {
            let prefix: IpNet = match addr {
                IpAddr::V4(addr) => Ipv4Net::new_assert(addr, length).trunc().into(),
                IpAddr::V6(addr) => Ipv6Net::new_assert(addr, length).trunc().into(),
            };
            let object = state.objects.get(state.routes.get(&prefix)?)?;
            Some((prefix, object.clone()))
        })
    }

    /// Every route with how it forwards, in order.
    #[must_use]
    pub fn routes(&self) -> Vec<(IpNet, Forwarding)> {
        let state = self.lock();
        let resolved = |(prefix, id): (&IpNet, &NextHopId)| Some((*prefix, state.objects.get(id)?.clone()));
        let mut routes: Vec<_> = state.routes.iter().filter_map(resolved).collect();
        routes.sort_unstable_by_key(|(prefix, _)| *prefix);
        routes
    }

    /// Number of next-hop objects.
    #[must_use]
    pub fn next_hops(&self) -> usize {
        self.lock().objects.len()
    }

    /// What the plane has been made to do so far.
    #[must_use]
    pub fn written(&self) -> Written {
        let state = self.lock();
        Written { routes: state.writes, removals: state.removals, next_hops: state.object_writes }
    }
}

/// The way to a [`Plane`].
pub struct MemoryBackend {
    plane: Plane,
    local: HashSet<IpAddr>,
}

impl MemoryBackend {
    /// A backend that writes to `plane`.
    #[must_use]
    pub fn new(plane: Plane) -> Self {
        Self { plane, local: HashSet::new() }
    }

    /// The plane behind it.
    #[must_use]
    pub fn plane(&self) -> Plane {
        self.plane.clone()
    }
}

/// True if `prefix`, a local route, has an address of this host.
pub(crate) fn is_local(local: &HashSet<IpAddr>, prefix: IpNet) -> bool {
    if prefix.prefix_len() == prefix.max_prefix_len() {
        return local.contains(&prefix.addr());
    }
    local.iter().any(|addr| prefix.contains(addr))
}

impl State {
    fn reachable(&self) -> Result<(), BackendError> {
        if self.down { Err(BackendError::Lost("the memory plane is switched off".into())) } else { Ok(()) }
    }

    fn scripted_route(&mut self, prefix: IpNet) -> Option<FibFault> {
        let (fault, times) = self.refuse_routes.get_mut(&prefix)?;
        let fault = fault.clone();
        *times -= 1;
        if *times == 0 {
            self.refuse_routes.remove(&prefix);
        }
        Some(fault)
    }

    fn write_next_hop(&mut self, op: &NextHopOp) -> Result<(), FibFault> {
        let Some(forwarding) = &op.forwarding else {
            self.objects.remove(&op.id);
            return Ok(());
        };
        if self.objects.get(&op.id) == Some(forwarding) {
            return Ok(());
        }
        if let Some((fault, times)) = &mut self.refuse_next_hops {
            let fault = fault.clone();
            *times -= 1;
            if *times == 0 {
                self.refuse_next_hops = None;
            }
            return Err(fault);
        }
        if matches!(forwarding, Forwarding::Legs(legs) if legs.is_empty() || legs.len() > LEGS) {
            return Err(FibFault::Unsupported("a next-hop object has 1 to 256 legs"));
        }
        self.object_writes += 1;
        self.objects.insert(op.id, forwarding.clone());
        Ok(())
    }

    fn write_route(&mut self, local: &HashSet<IpAddr>, prefix: IpNet, id: NextHopId) -> Result<(), FibFault> {
        if let Some(fault) = self.scripted_route(prefix) {
            return Err(fault);
        }
        match self.objects.get(&id) {
            None => return Err(FibFault::Errno(libc::EINVAL)),
            Some(Forwarding::Local) => {
                self.routes.remove(&prefix);
                return if is_local(local, prefix) { Ok(()) } else { Err(FibFault::NotLocal) };
            }
            Some(_) => {}
        }
        if self.capacity.is_some_and(|most| self.routes.len() >= most) && !self.routes.contains_key(&prefix) {
            return Err(FibFault::CapacityExceeded);
        }
        self.writes += 1;
        self.routes.insert(prefix, id);
        Ok(())
    }
}

impl FibBackend for MemoryBackend {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capacity(&self) -> Capacity {
        Capacity { routes: self.plane.lock().capacity, legs: LEGS }
    }

    fn apply(
        &mut self,
        next_hops: &[NextHopOp],
        routes: &[FibRoute],
        unused: &[NextHopId],
        refused: &mut Vec<Refusal>,
    ) -> Result<(), BackendError> {
        let mut state = self.plane.lock();
        state.reachable()?;
        for op in next_hops {
            if let Err(fault) = state.write_next_hop(op) {
                refused.push(Refusal::NextHop(op.id, fault));
            }
        }
        for route in routes {
            if let Some(left) = state.break_after.as_mut() {
                if *left == 0 {
                    state.break_after = None;
                    return Err(BackendError::Lost("the connection broke in the middle of a batch".into()));
                }
                *left -= 1;
            }
            match route.next_hop {
                Some(id) => {
                    if let Err(fault) = state.write_route(&self.local, route.prefix, id) {
                        refused.push(Refusal::Route(route.prefix, fault));
                    }
                }
                None => {
                    if state.routes.remove(&route.prefix).is_some() {
                        state.removals += 1;
                    }
                }
            }
        }
        for id in unused {
            state.objects.remove(id);
            state.routes.retain(|_, on| on != id);
        }
        Ok(())
    }

    fn dump(&mut self, each: &mut dyn FnMut(Installed)) -> Result<(), BackendError> {
        let state = self.plane.lock();
        state.reachable()?;
        for (prefix, id) in &state.routes {
            if let Some(forwarding) = state.objects.get(id) {
                each(Installed { prefix: *prefix, forwarding: forwarding.clone(), next_hop: Some(*id) });
            }
        }
        Ok(())
    }

    fn local_address(&mut self, addr: IpAddr, present: bool) {
        if present {
            self.local.insert(addr);
        } else {
            self.local.remove(&addr);
        }
    }

    fn sweep_next_hops(&mut self, used: &mut dyn FnMut(NextHopId) -> bool) -> Result<(), BackendError> {
        let mut state = self.plane.lock();
        state.reachable()?;
        let State { objects, routes, .. } = &mut *state;
        objects.retain(|id, _| used(*id));
        routes.retain(|_, id| objects.contains_key(id));
        Ok(())
    }
}
