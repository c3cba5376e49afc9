//! One service of the controller: its life, its VIPs and its checks.
//!
//! Every event ends in [`Member::settle`], which lets each VIP compare what is wanted with what is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;
use rib::{BackendId, FibFault};

use super::controller::{Common, Outbox, Output};
use super::gate::{Addresses, Moves, Step, Vip, Wish, local_since, shown};
use super::service::{Combine, Operation, ServiceSpec};
use super::view::{CheckView, HistoryEntry, ServiceState, ServiceView, VipView};
use crate::health::{CheckId, CheckSpec, HealthFsm, HealthState, Verdict};

/// Where a service is in its life; each state carries what only it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Announced whenever the gates are open.
    Running,
    /// Withdrawn by an operator, who gave this reason; bound and checked.
    Held(String),
    /// Announced with GRACEFUL_SHUTDOWN until then.
    Draining { until: Instant, why: String },
    /// Neither bound, checked nor announced.
    Drained(String),
    /// As drained, because the configuration says so.
    Disabled,
}

impl Life {
    /// Bound, routed and checked.
    fn is_active(&self) -> bool {
        matches!(self, Self::Running | Self::Held(_) | Self::Draining { .. })
    }
}

/// One running check.
#[derive(Clone, Debug)]
struct Check {
    id: CheckId,
    spec: CheckSpec,
    fsm: HealthFsm,
    last: Option<(bool, String, Instant)>,
    runs: u64,
    failures: u64,
}

/// One service.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) spec: Arc<ServiceSpec>,
    pub(super) life: Life,
    pub(super) vips: Vec<Vip>,
    /// To be forgotten once drained.
    pub(super) leaving: bool,
    /// Running checks, in configured order; none unless active.
    checks: Vec<Check>,
    /// Announced at least once since it last began to run.
    was_announced: bool,
    state: ServiceState,
    since: Instant,
}

impl Member {
    pub(super) fn new(now: Instant, spec: Arc<ServiceSpec>, common: &mut Common, out: &mut Outbox) -> Self {
        let life = if spec.enabled { Life::Running } else { Life::Disabled };
        let state = if spec.enabled { ServiceState::Waiting } else { ServiceState::Disabled };
        let vips = spec.vips.iter().map(|prefix| Vip::new(*prefix)).collect();
        let mut member =
            Self { spec, life, vips, leaving: false, checks: Vec::new(), was_announced: false, state, since: now };
        member.settle(now, common, out);
        member
    }

    pub(super) fn is_announced(&self) -> bool {
        self.vips.iter().any(Vip::is_announced)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let drain = match self.life {
            Life::Draining { until, .. } => Some(until),
            _ => None,
        };
        self.vips.iter().filter_map(Vip::retry_at).chain(drain).min()
    }

    /// Takes over a changed specification: what is equal in both goes on undisturbed.
    pub(super) fn update(&mut self, now: Instant, spec: Arc<ServiceSpec>, common: &mut Common, out: &mut Outbox) {
        if *self.spec == *spec {
            return;
        }
        self.give_up(now, &spec.vips, common, out);
        let mut before = std::mem::take(&mut self.vips);
        for prefix in &spec.vips {
            let kept = before.iter().position(|vip| vip.prefix == *prefix).map(|index| before.swap_remove(index));
            self.vips.push(kept.unwrap_or_else(|| Vip::new(*prefix)));
        }
        self.life = match (std::mem::replace(&mut self.life, Life::Disabled), spec.enabled) {
            (_, false) => Life::Disabled,
            (Life::Disabled, true) => Life::Running,
            (life, true) => life,
        };
        self.spec = spec;
        self.settle(now, common, out);
    }

    /// Lets go of the VIPs that are not in `kept`.
    pub(super) fn give_up(&mut self, now: Instant, kept: &[IpNet], common: &mut Common, out: &mut Outbox) {
        let (kept, given): (Vec<Vip>, Vec<Vip>) =
            std::mem::take(&mut self.vips).into_iter().partition(|vip| kept.contains(&vip.prefix));
        self.vips = kept;
        let mut moves = Moves::new();
        let mut steps = Vec::new();
        for mut vip in given {
            let step = vip.leave(&self.spec.name, "no longer a VIP of the service", &mut moves);
            steps.extend(step.map(|step| (vip.prefix, step)));
        }
        moves.flush(out);
        self.record_steps(now, steps, common, out);
    }

    /// Leaves for good: by way of the drain if `gracefully`.
    pub(super) fn remove(&mut self, now: Instant, gracefully: bool, why: &str, common: &mut Common, out: &mut Outbox) {
        self.leaving = true;
        if gracefully {
            self.stop(now, why, common, out);
        } else {
            self.life = Life::Drained(why.to_owned());
            self.settle(now, common, out);
        }
    }

    /// Drains, at once if nothing is announced.
    pub(super) fn stop(&mut self, now: Instant, why: &str, common: &mut Common, out: &mut Outbox) {
        match self.life {
            // Already on its way with its own time.
            Life::Draining { .. } | Life::Drained(_) => {}
            Life::Disabled => self.life = Life::Drained(why.to_owned()),
            Life::Running | Life::Held(_) => {
                let gshut = self.spec.drain.gshut;
                self.life = if gshut.is_zero() || !self.is_announced() {
                    Life::Drained(why.to_owned())
                } else {
                    Life::Draining { until: now + gshut, why: why.to_owned() }
                };
                self.settle(now, common, out);
            }
        }
    }

    pub(super) fn operate(&mut self, now: Instant, operation: Operation, common: &mut Common, out: &mut Outbox) {
        let life = match (operation, &self.life) {
            // So already.
            (Operation::Announce, Life::Running)
            | (Operation::Undrain, Life::Running | Life::Held(_))
            | (Operation::Withdraw { .. }, Life::Held(_) | Life::Drained(_))
            | (Operation::Drain { .. }, Life::Draining { .. } | Life::Drained(_)) => return,
            (Operation::Announce | Operation::Undrain, _) => Life::Running,
            (Operation::Withdraw { reason, .. }, _) => Life::Held(reason),
            (Operation::Drain { reason, gshut, .. }, _) => {
                let gshut = gshut.unwrap_or(self.spec.drain.gshut);
                if gshut.is_zero() || !self.is_announced() {
                    Life::Drained(reason)
                } else {
                    Life::Draining { until: now + gshut, why: reason }
                }
            }
        };
        self.life = life;
        if self.life == Life::Running {
            self.was_announced = self.is_announced();
        }
        self.settle(now, common, out);
    }

    pub(super) fn verdict(&mut self, now: Instant, mut verdict: Verdict, common: &mut Common, out: &mut Outbox) {
        let Some(index) = self.checks.iter().position(|check| check.id == verdict.check) else { return };
        if let Some(why) = self.not_local(index, verdict.started, &common.addresses) {
            verdict.ok = false;
            verdict.detail = why;
        }
        let Some(check) = self.checks.get_mut(index) else { return };
        check.runs += 1;
        check.failures += u64::from(!verdict.ok);
        let changed = check.fsm.handle(now, verdict.ok);
        let what = changed.map(|state| {
            let probe = &check.spec.probe;
            match state {
                HealthState::Up => format!("check {probe} has risen: {}", verdict.detail),
                HealthState::Down => format!("check {probe} has fallen: {}", verdict.detail),
            }
        });
        check.last = Some((verdict.ok, verdict.detail, verdict.at));
        if let Some(what) = what {
            // The routes first: a withdrawal waits for nothing.
            self.settle(now, common, out);
            self.record(now, None, what, common, out);
        }
    }

    /// Why a run that began at `started` proves nothing: the VIP was not on this host, so another site may have answered.
    fn not_local(&self, check: usize, started: Instant, addresses: &Addresses) -> Option<String> {
        if !self.spec.require_local {
            return None;
        }
        let was_local = |vip: &IpNet| local_since(addresses, vip).is_some_and(|since| since <= started);
        let target = self.checks.get(check).and_then(|check| check.spec.probe.target());
        let asked = target.and_then(|target| self.spec.vips.iter().find(|vip| vip.contains(&target)));
        let missing = match asked {
            Some(vip) => (!was_local(vip)).then_some(vip),
            None if self.spec.vips.iter().any(was_local) => None,
            None => self.spec.vips.first(),
        };
        missing.map(|vip| format!("{} is not a local address of this host", shown(vip)))
    }

    pub(super) fn address(&mut self, now: Instant, addr: IpAddr, present: bool, common: &mut Common, out: &mut Outbox) {
        let mut touched = false;
        let mut taken = Vec::new();
        for vip in self.vips.iter_mut().filter(|vip| vip.prefix.contains(&addr)) {
            touched = true;
            if vip.address(now, present) {
                taken.push(vip.prefix);
            }
        }
        if touched {
            self.settle(now, common, out);
        }
        for prefix in taken {
            let what = format!("{} was taken off its interface by somebody else; it is bound again", shown(&prefix));
            self.record(now, Some(prefix), what, common, out);
        }
    }

    pub(super) fn bound(
        &mut self,
        now: Instant,
        prefix: IpNet,
        interface: &str,
        outcome: Result<bool, String>,
        common: &mut Common,
        out: &mut Outbox,
    ) -> bool {
        let Some(vip) = self.vips.iter_mut().find(|vip| vip.prefix == prefix) else { return false };
        let what = match &outcome {
            Ok(true) => format!("{} bound to {interface}", shown(&prefix)),
            Ok(false) => format!("{} found on {interface}", shown(&prefix)),
            Err(why) => why.clone(),
        };
        let taken = vip.bound(now, interface, outcome);
        if taken {
            self.settle(now, common, out);
            self.record(now, Some(prefix), what, common, out);
        }
        taken
    }

    pub(super) fn installed(
        &mut self,
        now: Instant,
        prefix: IpNet,
        missing: &[(BackendId, Option<FibFault>)],
        common: &mut Common,
        out: &mut Outbox,
    ) {
        if let Some(vip) = self.vips.iter_mut().find(|vip| vip.prefix == prefix) {
            vip.installed(missing.to_vec());
            self.settle(now, common, out);
        }
    }

    pub(super) fn tick(&mut self, now: Instant, common: &mut Common, out: &mut Outbox) {
        if let Life::Draining { until, why } = &self.life
            && *until <= now
        {
            self.life = Life::Drained(why.clone());
            self.settle(now, common, out);
        }
        let mut moves = Moves::new();
        for vip in &mut self.vips {
            vip.retry(now, &self.spec.name, &mut moves);
        }
        moves.flush(out);
    }

    /// The checks taken together.
    fn is_healthy(&self) -> bool {
        match self.spec.combine {
            _ if self.spec.checks.is_empty() => true,
            Combine::All => !self.checks.is_empty() && self.checks.iter().all(|check| check.fsm.is_up()),
            Combine::Any => self.checks.iter().any(|check| check.fsm.is_up()),
        }
    }

    /// Why the service as a whole does not want to be announced.
    fn unwanted(&self) -> Option<String> {
        match &self.life {
            Life::Held(why) if why.is_empty() => Some("withdrawn by an operator".to_owned()),
            Life::Held(why) => Some(format!("withdrawn by an operator: {why}")),
            Life::Drained(why) if why.is_empty() => Some("drained".to_owned()),
            Life::Drained(why) => Some(format!("drained: {why}")),
            Life::Disabled => Some("not enabled".to_owned()),
            Life::Running | Life::Draining { .. } if self.is_healthy() => None,
            Life::Running | Life::Draining { .. } => Some(self.unhealthy()),
        }
    }

    /// The first check that is down, in words.
    fn unhealthy(&self) -> String {
        let Some(check) = self.checks.iter().find(|check| !check.fsm.is_up()) else {
            return "no check has risen".to_owned();
        };
        let probe = &check.spec.probe;
        match &check.last {
            None => format!("check {probe} has not run yet"),
            Some((true, _, _)) => {
                let (passed, needed) = check.fsm.progress();
                format!("check {probe} has passed {passed} of {needed} times in a row")
            }
            Some((false, detail, _)) => format!("check {probe} is down: {detail}"),
        }
    }

    fn settle(&mut self, now: Instant, common: &mut Common, out: &mut Outbox) {
        let check_orders = self.settle_checks(now, common);
        let draining = matches!(self.life, Life::Draining { .. });
        let wish = match self.unwanted() {
            Some(why) if self.life.is_active() => Wish::Up(Err(why)),
            Some(why) => Wish::Gone(why),
            None => Wish::Up(Ok(Vip::announcement(&self.spec, draining))),
        };
        let mut moves = Moves::new();
        let mut steps = Vec::new();
        for vip in &mut self.vips {
            let before = vip.is_announced();
            // A drain never announces what was not.
            let wish = if draining && !before { &Wish::Up(Err("draining".to_owned())) } else { &wish };
            let step = vip.settle(&self.spec, wish, &common.addresses, &mut moves);
            steps.extend(step.map(|step| (vip.prefix, step)));
        }
        moves.flush(out);
        out.extend(check_orders);
        self.was_announced |= self.is_announced();
        let state = self.current_state();
        let changed = state != self.state;
        if changed {
            (self.state, self.since) = (state, now);
        }
        if changed && steps.is_empty() {
            let what = self.reason(&common.addresses);
            self.record(now, None, what, common, out);
        }
        self.record_steps(now, steps, common, out);
    }

    /// Makes exactly the configured checks run while the service is active; the orders for the scheduler.
    ///
    /// A check that is new to a service on air starts as risen and has `fall` runs to disagree: a reload that changes a
    /// check must not take a healthy service down at every site at once.
    fn settle_checks(&mut self, now: Instant, common: &mut Common) -> Vec<Output> {
        let wanted: &[CheckSpec] = if self.life.is_active() { &self.spec.checks } else { &[] };
        if self.checks.len() == wanted.len() && self.checks.iter().zip(wanted).all(|(check, spec)| check.spec == *spec)
        {
            return Vec::new();
        }
        let on_air = self.is_announced();
        let mut orders = Vec::new();
        let mut before = std::mem::take(&mut self.checks);
        for spec in wanted {
            let kept = before.iter().position(|check| check.spec == *spec).map(|index| before.swap_remove(index));
            let check = kept.unwrap_or_else(|| {
                let id = common.next_check();
                orders.push(Output::StartCheck { check: id, service: Arc::clone(&self.spec.name), spec: spec.clone() });
                let begin = if on_air { HealthFsm::risen } else { HealthFsm::new };
                let fsm = begin(now, spec.rise, spec.fall);
                Check { id, spec: spec.clone(), fsm, last: None, runs: 0, failures: 0 }
            });
            self.checks.push(check);
        }
        orders.extend(before.into_iter().map(|check| Output::StopCheck(check.id)));
        orders
    }

    fn current_state(&self) -> ServiceState {
        let announced = self.vips.iter().filter(|vip| vip.is_announced()).count();
        match self.life {
            Life::Disabled => ServiceState::Disabled,
            Life::Drained(_) => ServiceState::Drained,
            Life::Draining { .. } => ServiceState::Draining,
            Life::Held(_) => ServiceState::Held,
            Life::Running if announced == self.vips.len() => ServiceState::Announced,
            Life::Running if announced > 0 => ServiceState::Partial,
            Life::Running if self.was_announced => ServiceState::Withdrawn,
            Life::Running => ServiceState::Waiting,
        }
    }

    /// Why the service is in its state.
    fn reason(&self, addresses: &Addresses) -> String {
        if let Life::Draining { why, .. } = &self.life {
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            return format!("announced with GRACEFUL_SHUTDOWN, to be withdrawn{why}");
        }
        let blocked =
            || self.vips.iter().filter(|vip| !vip.is_announced()).find_map(|vip| self.blocked(vip, addresses));
        blocked().unwrap_or_else(|| "local, acknowledged and healthy".to_owned())
    }

    fn blocked(&self, vip: &Vip, addresses: &Addresses) -> Option<String> {
        if !self.life.is_active() {
            return self.unwanted();
        }
        // In the order in which the gates open.
        vip.closed(&self.spec, addresses).or_else(|| self.unwanted())
    }

    pub(super) fn view(&self, addresses: &Addresses) -> ServiceView {
        let vips = self.vips.iter().map(|vip| VipView {
            prefix: vip.prefix,
            announced: vip.is_announced(),
            bind: vip.bind_view(),
            local: local_since(addresses, &vip.prefix).is_some(),
            installed: vip.is_installed(&self.spec),
            blocked: self.blocked(vip, addresses),
        });
        let running = self.checks.iter().map(|check| CheckView {
            id: Some(check.id),
            kind: check.spec.probe.kind(),
            what: check.spec.probe.to_string(),
            state: check.fsm.state(),
            progress: check.fsm.progress(),
            since: Some(check.fsm.since()),
            last: check.last.clone(),
            runs: check.runs,
            failures: check.failures,
        });
        let idle = self.spec.checks.iter().map(|spec| CheckView {
            id: None,
            kind: spec.probe.kind(),
            what: spec.probe.to_string(),
            state: HealthState::Down,
            progress: (0, spec.rise),
            since: None,
            last: None,
            runs: 0,
            failures: 0,
        });
        ServiceView {
            spec: Arc::clone(&self.spec),
            state: self.state,
            reason: self.reason(addresses),
            since: self.since,
            healthy: self.is_healthy(),
            vips: vips.collect(),
            checks: if self.checks.is_empty() { idle.collect() } else { running.collect() },
        }
    }

    fn record_steps(&self, now: Instant, steps: Vec<(IpNet, Step)>, common: &mut Common, out: &mut Outbox) {
        for (prefix, step) in steps {
            let what = match step {
                Step::Announced => format!("{prefix} announced"),
                Step::Changed if self.state == ServiceState::Draining => {
                    format!("{prefix} announced with GRACEFUL_SHUTDOWN")
                }
                Step::Changed => format!("{prefix} announced with other attributes"),
                Step::Withdrawn(why) => format!("{prefix} withdrawn: {why}"),
            };
            self.record(now, Some(prefix), what, common, out);
        }
    }

    fn record(&self, now: Instant, vip: Option<IpNet>, what: String, common: &mut Common, out: &mut Outbox) {
        let service = Arc::clone(&self.spec.name);
        common.record(HistoryEntry { sequence: 0, at: now, service, state: self.state, vip, what }, out);
    }
}
