//! The machine that decides when a service is announced.
//!
//! It binds VIPs, puts their routes into the RIB, follows health and data planes, and announces a VIP only while it
//! is local, acknowledged by every data plane, and healthy; a gate that closes withdraws at once. It has no clock, no sockets
//! and no tasks: [`super::task`] carries its outputs out and feeds the answers back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgpd::speaker::message::LocalBatch;
use ipnet::IpNet;
use ospfd::message::ServiceRoute;
use rib::{BackendId, FibFault, RouteBatch};

use super::gate::Addresses;
use super::member::{Life, Member};
use super::safety::WithdrawalBudget;
use super::service::{Operation, OperatorError, ServiceOrigin, ServiceSpec};
use super::view::{HistoryEntry, ServiceView};
use crate::health::{CheckId, CheckSpec, Verdict};

/// The history keeps so many entries over all services; the oldest make room.
pub const HISTORY_LIMIT: usize = 1024;
/// Most services at once, configured and registered.
pub const SERVICE_LIMIT: usize = 4096;

/// The carrier's number for a request that waits for its [`Output::Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// Everything the controller can be told.
#[derive(Clone, Debug)]
pub enum Input {
    /// The services of the configuration, all of them: the difference to what runs is carried out.
    Configure {
        /// Validated services of origin `Config`; names and VIPs are unique.
        services: Vec<ServiceSpec>,
        /// So many withdrawals by operators in so long.
        budget: Option<(u32, Duration)>,
    },
    /// A check ran.
    Verdict(Verdict),
    /// An address came to this host or left it.
    LocalAddress {
        /// Which.
        addr: IpAddr,
        /// Came or left.
        present: bool,
    },
    /// The answer to [`Output::Bind`].
    Bound {
        /// The service of the request.
        service: Arc<str>,
        /// The VIP of the request.
        prefix: IpNet,
        /// The interface of the request.
        interface: String,
        /// `Ok(true)` if it was added, `Ok(false)` if it was there; or a sentence why not.
        outcome: Result<bool, String>,
    },
    /// The RIB's answer to [`Output::Await`], now and whenever it changes.
    Installed {
        /// The prefix asked for.
        prefix: IpNet,
        /// The data planes that do not hold it; empty = installed everywhere.
        missing: Vec<(BackendId, Option<FibFault>)>,
    },
    /// An operator's wish.
    Operator {
        /// Which service.
        name: String,
        /// What is wished.
        operation: Operation,
        /// Answered by [`Output::Reply`].
        ticket: Ticket,
    },
    /// Register a service through the API, or change a registered one.
    Register {
        /// The service; its origin is set to `Api`.
        spec: Box<ServiceSpec>,
        /// Answered by [`Output::Reply`].
        ticket: Ticket,
    },
    /// Delete a service registered through the API.
    Delete {
        /// Which.
        name: String,
        /// Answered by [`Output::Reply`].
        ticket: Ticket,
    },
    /// Drain every service, then say [`Output::Finished`].
    Shutdown,
    /// A deadline passed.
    Tick,
}

/// What the controller asks for. Outputs of one input are to be carried out in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Put the VIP's address on the interface and answer with [`Input::Bound`].
    Bind {
        /// The service that asks.
        service: Arc<str>,
        /// The interface.
        interface: String,
        /// The VIP, a host prefix.
        prefix: IpNet,
    },
    /// Take an address off that we put there.
    Unbind {
        /// The service that asks.
        service: Arc<str>,
        /// The interface.
        interface: String,
        /// The VIP, a host prefix.
        prefix: IpNet,
    },
    /// Routes of source `service` for the RIB.
    Rib(RouteBatch),
    /// Follow a prefix's installation, or stop.
    Await {
        /// The prefix.
        prefix: IpNet,
        /// Start or stop.
        on: bool,
    },
    /// Announce and withdraw by BGP.
    Bgp(LocalBatch),
    /// Announce and withdraw by OSPF.
    Ospf(Vec<(IpNet, Option<ServiceRoute>)>),
    /// Run a check until told otherwise.
    StartCheck {
        /// Its number.
        check: CheckId,
        /// The service it is for.
        service: Arc<str>,
        /// The check.
        spec: CheckSpec,
    },
    /// Stop a check.
    StopCheck(CheckId),
    /// Something people want to see; also kept in the history.
    Event(HistoryEntry),
    /// The answer to a request.
    Reply {
        /// The request's number.
        ticket: Ticket,
        /// Done, or why not.
        result: Result<(), OperatorError>,
    },
    /// After [`Input::Shutdown`]: every service is drained.
    Finished,
}

/// Where the controller puts its outputs; reused between inputs.
pub type Outbox = Vec<Output>;

/// What all services share: addresses, numbers, history.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) addresses: Addresses,
    pub(super) history: VecDeque<HistoryEntry>,
    pub(super) last_sequence: u64,
    pub(super) last_check: u64,
}

impl Common {
    pub(super) fn next_check(&mut self) -> CheckId {
        self.last_check += 1;
        CheckId(self.last_check)
    }

    pub(super) fn record(&mut self, mut entry: HistoryEntry, out: &mut Outbox) {
        self.last_sequence += 1;
        entry.sequence = self.last_sequence;
        if self.history.len() == HISTORY_LIMIT {
            self.history.pop_front();
        }
        self.history.push_back(entry.clone());
        out.push(Output::Event(entry));
    }
}

/// Services and their announcements.
#[derive(Debug, Default)]
pub struct Controller {
    services: BTreeMap<Arc<str>, Member>,
    common: Common,
    budget: WithdrawalBudget,
    /// Shutting down; `Some(true)` once [`Output::Finished`] was said.
    stopping: Option<bool>,
}

impl Controller {
    /// A controller without services.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an input at `now` and appends what is to be done to `out`.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Outbox) {
        match input {
            Input::Configure { services, budget } => self.on_configure(now, services, budget, out),
            Input::Verdict(verdict) => self.on_verdict(now, verdict, out),
            Input::LocalAddress { addr, present } => self.on_local_address(now, addr, present, out),
            Input::Bound { service, prefix, interface, outcome } => {
                self.on_bound(now, service, prefix, interface, outcome, out);
            }
            Input::Installed { prefix, missing } => self.on_installed(now, prefix, &missing, out),
            Input::Operator { name, operation, ticket } => {
                let result = self.on_operator(now, &name, operation, out);
                out.push(Output::Reply { ticket, result });
            }
            Input::Register { spec, ticket } => {
                let result = self.on_register(now, *spec, out);
                out.push(Output::Reply { ticket, result });
            }
            Input::Delete { name, ticket } => {
                let result = self.on_delete(now, &name, out);
                out.push(Output::Reply { ticket, result });
            }
            Input::Shutdown => self.on_shutdown(now, out),
            Input::Tick => self.on_tick(now, out),
        }
        self.sweep(out);
    }

    /// When the controller wants [`Input::Tick`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.services.values().filter_map(Member::deadline).min()
    }

    /// All services by name, or the one named.
    #[must_use]
    pub fn view(&self, name: Option<&str>) -> Vec<ServiceView> {
        let wanted = |member: &&Member| name.is_none_or(|name| name == &*member.spec.name);
        self.services.values().filter(wanted).map(|member| member.view(&self.common.addresses)).collect()
    }

    /// The VIPs of all services, whatever their state.
    #[must_use]
    pub fn vips(&self) -> BTreeSet<IpNet> {
        self.services.values().flat_map(|member| member.spec.vips.iter().copied()).collect()
    }

    /// The latest `limit` history entries after `after`, oldest first, of all services or the one named.
    #[must_use]
    pub fn history(&self, name: Option<&str>, after: u64, limit: usize) -> Vec<HistoryEntry> {
        let wanted = |entry: &&HistoryEntry| entry.sequence > after && name.is_none_or(|name| name == &*entry.service);
        let mut entries: Vec<_> = self.common.history.iter().rev().filter(wanted).take(limit).cloned().collect();
        entries.reverse();
        entries
    }

    fn on_configure(
        &mut self,
        now: Instant,
        services: Vec<ServiceSpec>,
        budget: Option<(u32, Duration)>,
        out: &mut Outbox,
    ) {
        self.budget.configure(budget);
        if self.stopping.is_some() {
            return;
        }
        let named: BTreeSet<Arc<str>> = services.iter().map(|spec| Arc::clone(&spec.name)).collect();
        let claimed: BTreeMap<IpNet, Arc<str>> =
            services.iter().flat_map(|spec| spec.vips.iter().map(|vip| (*vip, Arc::clone(&spec.name)))).collect();
        for (name, member) in &mut self.services {
            let claimed_by_other =
                member.vips.iter().any(|vip| claimed.get(&vip.prefix).is_some_and(|owner| owner != name));
            let gone = member.spec.origin == ServiceOrigin::Config && !named.contains(name);
            let overruled = member.spec.origin == ServiceOrigin::Api && named.contains(name);
            // A service that still runs but passes a VIP on gives it up in its own update below.
            if gone {
                member.remove(now, !claimed_by_other, "removed from the configuration", &mut self.common, out);
            } else if overruled || (claimed_by_other && member.spec.origin == ServiceOrigin::Api) {
                member.remove(now, false, "overruled by the configuration", &mut self.common, out);
            }
        }
        self.sweep(out);
        // Those that give up VIPs go first, so that no VIP is ever in two hands.
        let (mut first, mut then) = (Vec::new(), Vec::new());
        for spec in services {
            let gives_up = self
                .services
                .get(&spec.name)
                .is_some_and(|member| member.vips.iter().any(|vip| !spec.vips.contains(&vip.prefix)));
            if gives_up { first.push(spec) } else { then.push(spec) }
        }
        // Two services may exchange VIPs: drop what is given up before anything new is taken.
        for spec in &first {
            if let Some(member) = self.services.get_mut(&spec.name) {
                member.give_up(now, &spec.vips, &mut self.common, out);
            }
        }
        for spec in first.into_iter().chain(then) {
            self.put(now, spec, out);
        }
    }

    /// Creates or updates a service; an equal one is not touched.
    fn put(&mut self, now: Instant, spec: ServiceSpec, out: &mut Outbox) {
        if let Some(member) = self.services.get_mut(&spec.name) {
            if member.leaving {
                member.remove(now, false, "replaced", &mut self.common, out);
                self.sweep(out);
            } else {
                member.update(now, Arc::new(spec), &mut self.common, out);
                return;
            }
        }
        let member = Member::new(now, Arc::new(spec), &mut self.common, out);
        self.services.insert(Arc::clone(&member.spec.name), member);
    }

    fn on_verdict(&mut self, now: Instant, verdict: Verdict, out: &mut Outbox) {
        if let Some(member) = self.services.get_mut(&verdict.service) {
            member.verdict(now, verdict, &mut self.common, out);
        }
    }

    fn on_local_address(&mut self, now: Instant, addr: IpAddr, present: bool, out: &mut Outbox) {
        let changed = if present {
            let new = !self.common.addresses.contains_key(&addr);
            self.common.addresses.entry(addr).or_insert(now);
            new
        } else {
            self.common.addresses.remove(&addr).is_some()
        };
        if changed {
            for member in self.services.values_mut() {
                member.address(now, addr, present, &mut self.common, out);
            }
        }
    }

    fn on_bound(
        &mut self,
        now: Instant,
        service: Arc<str>,
        prefix: IpNet,
        interface: String,
        outcome: Result<bool, String>,
        out: &mut Outbox,
    ) {
        let added = outcome == Ok(true);
        let taken = self
            .services
            .get_mut(&service)
            .is_some_and(|member| member.bound(now, prefix, &interface, outcome, &mut self.common, out));
        if added && !taken {
            // Drained or removed while the request was under way.
            out.push(Output::Unbind { service, interface, prefix });
        }
    }

    fn on_installed(
        &mut self,
        now: Instant,
        prefix: IpNet,
        missing: &[(BackendId, Option<FibFault>)],
        out: &mut Outbox,
    ) {
        for member in self.services.values_mut() {
            member.installed(now, prefix, missing, &mut self.common, out);
        }
    }

    fn on_operator(
        &mut self,
        now: Instant,
        name: &str,
        operation: Operation,
        out: &mut Outbox,
    ) -> Result<(), OperatorError> {
        if self.stopping.is_some() {
            return Err(OperatorError::Stopping);
        }
        let Some(member) = self.services.get_mut(name).filter(|member| !member.leaving) else {
            return Err(OperatorError::NoSuchService(name.to_owned()));
        };
        if matches!(member.life, Life::Disabled) {
            return Err(OperatorError::Invalid(format!("service {name:?} is disabled: enable it first")));
        }
        let (takes_down, force) = match &operation {
            Operation::Withdraw { force, .. } | Operation::Drain { force, .. } => (member.is_announced(), *force),
            Operation::Announce | Operation::Undrain => (false, false),
        };
        if takes_down
            && let Err(detail) = self.budget.take(now)
            && !force
        {
            return Err(OperatorError::Refused { rule: "safety.budget", detail });
        }
        member.operate(now, operation, &mut self.common, out);
        Ok(())
    }

    fn on_register(&mut self, now: Instant, mut spec: ServiceSpec, out: &mut Outbox) -> Result<(), OperatorError> {
        if self.stopping.is_some() {
            return Err(OperatorError::Stopping);
        }
        spec.origin = ServiceOrigin::Api;
        spec.validate().map_err(OperatorError::Invalid)?;
        match self.services.get(&spec.name) {
            Some(member) if member.spec.origin == ServiceOrigin::Config => {
                return Err(OperatorError::Configured(spec.name.to_string()));
            }
            None if self.services.len() >= SERVICE_LIMIT => {
                return Err(OperatorError::Invalid(format!(
                    "there are {SERVICE_LIMIT} services already, the most at once"
                )));
            }
            _ => {}
        }
        for (name, member) in &mut self.services {
            let Some(vip) = member.vips.iter().map(|vip| vip.prefix).find(|vip| spec.vips.contains(vip)) else {
                continue;
            };
            if *name == spec.name {
                continue;
            }
            if !member.leaving {
                return Err(OperatorError::VipTaken { vip, owner: name.to_string() });
            }
            member.remove(now, false, "its VIP is taken over", &mut self.common, out);
        }
        self.sweep(out);
        self.put(now, spec, out);
        Ok(())
    }

    fn on_delete(&mut self, now: Instant, name: &str, out: &mut Outbox) -> Result<(), OperatorError> {
        let Some(member) = self.services.get_mut(name).filter(|member| !member.leaving) else {
            return Err(OperatorError::NoSuchService(name.to_owned()));
        };
        if member.spec.origin == ServiceOrigin::Config {
            return Err(OperatorError::Configured(name.to_owned()));
        }
        member.remove(now, true, "deleted through the API", &mut self.common, out);
        Ok(())
    }

    fn on_shutdown(&mut self, now: Instant, out: &mut Outbox) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(false);
        for member in self.services.values_mut() {
            member.stop(now, "the daemon is stopping", &mut self.common, out);
        }
    }

    fn on_tick(&mut self, now: Instant, out: &mut Outbox) {
        for member in self.services.values_mut() {
            member.tick(now, &mut self.common, out);
        }
    }

    /// Forgets removed services that are drained, and says when the last one is while stopping.
    fn sweep(&mut self, out: &mut Outbox) {
        self.services.retain(|_, member| !(member.leaving && matches!(member.life, Life::Drained(_))));
        let draining = self.services.values().any(|member| matches!(member.life, Life::Draining { .. }));
        if self.stopping == Some(false) && !draining {
            self.stopping = Some(true);
            out.push(Output::Finished);
        }
    }
}

#[cfg(test)]
mod tests;
