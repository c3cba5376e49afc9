//! A data plane with a hand in between: breaks, refusals and bounds on demand, on whatever real plane lies below.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use fib_sync::backend::{BackendError, Capacity, FibBackend, Installed, Refusal};
use ipnet::IpNet;
use rib::{FibFault, FibRoute, Forwarding, IfIndex, NextHopId, NextHopOp};

#[derive(Default)]
struct State {
    break_after: Option<usize>,
    away: bool,
    refuse: HashMap<IpNet, (FibFault, u32)>,
    most: Option<usize>,
    held: HashSet<IpNet>,
    routes: usize,
    next_hops: usize,
}

/// The hand, shared with whoever owns the plane.
#[derive(Clone, Default)]
pub struct Tamper(Arc<Mutex<State>>);

impl Tamper {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The connection breaks in the next batch after `routes` of its routes.
    pub fn break_after(&self, routes: usize) {
        self.with(|state| state.break_after = Some(routes));
    }

    /// The plane cannot be reached while `away`.
    pub fn set_away(&self, away: bool) {
        self.with(|state| state.away = away);
    }

    /// The next `times` writes of `prefix` are refused.
    pub fn refuse(&self, prefix: IpNet, fault: FibFault, times: u32) {
        self.with(|state| state.refuse.insert(prefix, (fault, times)));
    }

    /// At most this many routes are taken.
    pub fn bound(&self, routes: Option<usize>) {
        self.with(|state| state.most = routes);
    }

    /// Route messages and object messages handed to the plane since the last question.
    #[must_use]
    pub fn take_written(&self) -> (usize, usize) {
        self.with(|state| (std::mem::take(&mut state.routes), std::mem::take(&mut state.next_hops)))
    }
}

/// The plane below, tampered with.
pub struct Tampered {
    below: Box<dyn FibBackend>,
    tamper: Tamper,
}

impl Tampered {
    /// Puts the hand over `below`.
    #[must_use]
    pub fn new(below: Box<dyn FibBackend>, tamper: Tamper) -> Self {
        Self { below, tamper }
    }
}

impl State {
    fn judge(&mut self, route: &FibRoute) -> Option<FibFault> {
        if route.next_hop.is_none() {
            self.held.remove(&route.prefix);
            return None;
        }
        if let Some((fault, times)) = self.refuse.get_mut(&route.prefix) {
            let fault = fault.clone();
            *times -= 1;
            if *times == 0 {
                self.refuse.remove(&route.prefix);
            }
            return Some(fault);
        }
        if self.most.is_some_and(|most| self.held.len() >= most) && !self.held.contains(&route.prefix) {
            return Some(FibFault::CapacityExceeded);
        }
        self.held.insert(route.prefix);
        None
    }
}

impl FibBackend for Tampered {
    fn name(&self) -> &'static str {
        self.below.name()
    }

    fn capacity(&self) -> Capacity {
        let below = self.below.capacity();
        Capacity { routes: self.tamper.with(|state| state.most).or(below.routes), ..below }
    }

    fn apply(
        &mut self,
        next_hops: &[NextHopOp],
        routes: &[FibRoute],
        unused: &[NextHopId],
        refused: &mut Vec<Refusal>,
    ) -> Result<(), BackendError> {
        let below = &mut self.below;
        self.tamper.with(|state| {
            if state.away {
                return Err(BackendError::Lost("away, says the test".into()));
            }
            state.next_hops += next_hops.len();
            let reach = state.break_after.filter(|after| *after <= routes.len());
            let mut passed = Vec::with_capacity(routes.len());
            for route in &routes[..reach.unwrap_or(routes.len())] {
                match state.judge(route) {
                    Some(fault) => refused.push(Refusal::Route(route.prefix, fault)),
                    None => passed.push(*route),
                }
            }
            state.routes += passed.len();
            let unused = if reach.is_some() { &[] } else { unused };
            below.apply(next_hops, &passed, unused, refused)?;
            if reach.is_some() {
                state.break_after = None;
                return Err(BackendError::Lost("broken in the middle of a batch, says the test".into()));
            }
            Ok(())
        })
    }

    fn dump(&mut self, each: &mut dyn FnMut(Installed)) -> Result<(), BackendError> {
        if self.tamper.with(|state| state.away) {
            return Err(BackendError::Lost("away, says the test".into()));
        }
        let mut held = HashSet::new();
        self.below.dump(&mut |installed| {
            held.insert(installed.prefix);
            each(installed);
        })?;
        self.tamper.with(|state| state.held = held);
        Ok(())
    }

    fn local_address(&mut self, addr: IpAddr, present: bool) {
        self.below.local_address(addr, present);
    }

    fn carries(&self, old: &Forwarding, new: &Forwarding) -> bool {
        self.below.carries(old, new)
    }

    fn link(&mut self, index: IfIndex, up: bool, lost: &mut Vec<NextHopId>) {
        self.below.link(index, up, lost);
    }

    fn sweep_next_hops(&mut self, used: &mut dyn FnMut(NextHopId) -> bool) -> Result<(), BackendError> {
        self.below.sweep_next_hops(used)
    }
}
