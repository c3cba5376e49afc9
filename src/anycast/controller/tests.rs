//! Stories of services: each gate, each order, each wish of an operator.

#![allow(clippy::disallowed_methods, reason = "a test has to begin at some time")]

use std::time::Duration;

use bgpd::speaker::message::LocalRoute;
use proptest::prelude::*;

use super::*;
use crate::anycast::gate::GRACEFUL_SHUTDOWN;
use crate::anycast::service::{Combine, Drain};
use crate::anycast::view::{BindView, ServiceState};
use crate::health::{HealthState, Probe, TcpProbe};

const VIP4: &str = "192.0.2.53/32";
const VIP6: &str = "2001:db8::53/128";

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn check(target: &str, rise: u32, fall: u32) -> CheckSpec {
    CheckSpec { rise, fall, ..CheckSpec::new(Probe::Tcp(TcpProbe::new(target.parse().unwrap()))) }
}

fn dns() -> ServiceSpec {
    ServiceSpec {
        bind: Some("lo".to_owned()),
        communities: vec![0xFC00_0035],
        checks: vec![check("127.0.0.1:53", 3, 3)],
        ..ServiceSpec::new("dns", vec![net(VIP4)])
    }
}

/// A host that does what the controller says: binds, reports addresses, acknowledges. Each can be switched off.
struct Site {
    controller: Controller,
    now: Instant,
    binds: bool,
    acknowledges: bool,
    /// Everything asked for, in words.
    log: Vec<String>,
    on_air: BTreeMap<IpNet, Arc<LocalRoute>>,
    checks: BTreeMap<CheckId, (Arc<str>, CheckSpec)>,
    bound: BTreeSet<IpNet>,
    replies: Vec<Result<(), OperatorError>>,
    finished: bool,
}

impl Site {
    fn new() -> Self {
        Self {
            controller: Controller::new(),
            now: Instant::now(),
            binds: true,
            acknowledges: true,
            log: Vec::new(),
            on_air: BTreeMap::new(),
            checks: BTreeMap::new(),
            bound: BTreeSet::new(),
            replies: Vec::new(),
            finished: false,
        }
    }

    fn with(services: &[ServiceSpec]) -> Self {
        let mut site = Self::new();
        site.configure(services);
        site
    }

    fn configure(&mut self, services: &[ServiceSpec]) {
        self.input(Input::Configure { services: services.to_vec(), budget: None });
    }

    fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut out = Outbox::new();
            self.controller.handle(self.now, input, &mut out);
            for output in out {
                inputs.extend(self.carry(output));
            }
        }
    }

    fn carry(&mut self, output: Output) -> Vec<Input> {
        match output {
            Output::Bgp(batch) => {
                for (prefix, route) in batch.changes {
                    match route {
                        Some(route) => {
                            let gshut = route.communities.contains(&GRACEFUL_SHUTDOWN);
                            self.log.push(format!("{} {prefix}", if gshut { "gshut" } else { "announce" }));
                            self.on_air.insert(prefix, route);
                        }
                        None => {
                            assert!(self.on_air.remove(&prefix).is_some(), "{prefix} withdrawn but was not announced");
                            self.log.push(format!("withdraw {prefix}"));
                        }
                    }
                }
            }
            Output::Ospf(routes) => {
                for (prefix, route) in routes {
                    let word = if route.is_some() { "ospf announce" } else { "ospf withdraw" };
                    self.log.push(format!("{word} {prefix}"));
                }
            }
            Output::Rib(batch) => {
                for change in batch.changes {
                    let word = if change.route.is_some() { "route" } else { "unroute" };
                    self.log.push(format!("{word} {}", change.prefix));
                }
            }
            Output::Await { prefix, on: true } if self.acknowledges => {
                return vec![Input::Installed { prefix, missing: Vec::new() }];
            }
            Output::Bind { service, interface, prefix } => {
                self.log.push(format!("bind {prefix} {interface}"));
                let outcome = if self.binds { Ok(self.bound.insert(prefix)) } else { Err("no such device".to_owned()) };
                let mut answers = vec![Input::Bound { service, prefix, interface, outcome }];
                if self.binds {
                    answers.push(Input::LocalAddress { addr: prefix.addr(), present: true });
                }
                return answers;
            }
            Output::Unbind { interface, prefix, .. } => {
                self.log.push(format!("unbind {prefix} {interface}"));
                assert!(self.bound.remove(&prefix), "{prefix} unbound but was not bound");
                return vec![Input::LocalAddress { addr: prefix.addr(), present: false }];
            }
            Output::StartCheck { check, service, spec } => {
                assert!(self.checks.insert(check, (service, spec)).is_none(), "check numbers are never reused");
            }
            Output::StopCheck(check) => assert!(self.checks.remove(&check).is_some()),
            Output::Await { .. } | Output::Event(_) => {}
            Output::Reply { result, .. } => self.replies.push(result),
            Output::Finished => self.finished = true,
        }
        Vec::new()
    }

    /// All checks of all services run `times`, a second apart.
    fn run_checks(&mut self, times: u32, ok: bool) {
        for _ in 0..times {
            self.wait(Duration::from_secs(1));
            for (check, (service, _)) in self.checks.clone() {
                self.verdict(check, &service, ok);
            }
        }
    }

    fn verdict(&mut self, check: CheckId, service: &Arc<str>, ok: bool) {
        let (started, at) = (self.now, self.now);
        let detail = if ok { "fine" } else { "no answer" }.to_owned();
        self.input(Input::Verdict(Verdict { service: Arc::clone(service), check, ok, detail, started, at }));
    }

    fn wait(&mut self, pause: Duration) {
        self.now += pause;
        while self.controller.deadline().is_some_and(|at| at <= self.now) {
            let before = self.controller.deadline();
            self.input(Input::Tick);
            assert!(self.controller.deadline() != before, "a deadline that has passed must not come again");
        }
    }

    fn operate(&mut self, name: &str, operation: Operation) -> Result<(), OperatorError> {
        self.input(Input::Operator { name: name.to_owned(), operation, ticket: Ticket(1) });
        self.replies.pop().expect("every operation is answered")
    }

    fn register(&mut self, spec: ServiceSpec) -> Result<(), OperatorError> {
        self.input(Input::Register { spec: Box::new(spec), ticket: Ticket(1) });
        self.replies.pop().expect("every registration is answered")
    }

    fn delete(&mut self, name: &str) -> Result<(), OperatorError> {
        self.input(Input::Delete { name: name.to_owned(), ticket: Ticket(1) });
        self.replies.pop().expect("every deletion is answered")
    }

    fn service(&self, name: &str) -> ServiceView {
        self.controller.view(Some(name)).pop().expect("the service exists")
    }

    fn state(&self, name: &str) -> ServiceState {
        self.service(name).state
    }

    /// What was asked for since the last call.
    fn taken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    fn announced(&self) -> Vec<String> {
        self.on_air.keys().map(ToString::to_string).collect()
    }
}

fn withdraw() -> Operation {
    Operation::Withdraw { reason: "disk swap".to_owned(), force: false }
}

fn drain() -> Operation {
    Operation::Drain { reason: "kernel update".to_owned(), force: false, gshut: None }
}

#[test]
fn a_service_is_bound_routed_and_then_announced_when_its_check_has_risen() {
    let mut site = Site::with(&[dns()]);
    assert_eq!(site.taken(), ["route 192.0.2.53/32", "bind 192.0.2.53/32 lo"]);
    assert_eq!(site.state("dns"), ServiceState::Waiting);
    site.run_checks(2, true);
    assert!(site.announced().is_empty(), "two of three are not enough");
    assert!(site.service("dns").reason.contains("2 of 3"), "{}", site.service("dns").reason);
    site.run_checks(1, true);
    assert_eq!(site.taken(), ["announce 192.0.2.53/32"]);
    assert_eq!(site.on_air[&net(VIP4)].communities, [0xFC00_0035]);
    assert_eq!(site.on_air[&net(VIP4)].protocol, rib::Protocol::Service);
    assert_eq!(site.state("dns"), ServiceState::Announced);
}

#[test]
fn a_falling_check_withdraws_at_once_and_leaves_the_vip_bound_and_routed() {
    let mut site = Site::with(&[dns()]);
    site.run_checks(3, true);
    site.taken();
    site.run_checks(2, false);
    assert_eq!(site.announced(), [VIP4], "two failures of three");
    site.run_checks(1, false);
    assert_eq!(site.taken(), ["withdraw 192.0.2.53/32"]);
    let view = site.service("dns");
    assert_eq!(view.state, ServiceState::Withdrawn);
    assert!(view.reason.contains("no answer"), "{}", view.reason);
    assert_eq!(view.vips[0].bind, BindView::Bound { ours: true });
    site.run_checks(3, true);
    assert_eq!(site.taken(), ["announce 192.0.2.53/32"]);
}

#[test]
fn the_withdrawal_is_the_first_output_of_the_verdict_that_causes_it() {
    let mut site = Site::with(&[ServiceSpec { checks: vec![check("127.0.0.1:53", 1, 1)], ..dns() }]);
    site.run_checks(1, true);
    let (id, (service, _)) = site.checks.clone().pop_first().unwrap();
    let mut out = Outbox::new();
    let verdict = Verdict { service, check: id, ok: false, detail: "dead".into(), started: site.now, at: site.now };
    site.controller.handle(site.now, Input::Verdict(verdict), &mut out);
    assert!(matches!(&out[0], Output::Bgp(batch) if batch.changes == [(net(VIP4), None)]), "{out:?}");
}

#[test]
fn nothing_is_announced_while_a_data_plane_has_not_acknowledged() {
    let mut site = Site::new();
    site.acknowledges = false;
    site.configure(&[dns()]);
    site.run_checks(5, true);
    assert!(site.announced().is_empty());
    let missing = vec![(BackendId(1), Some(FibFault::CapacityExceeded))];
    site.input(Input::Installed { prefix: net(VIP4), missing });
    assert!(site.announced().is_empty());
    assert!(site.service("dns").reason.contains("data plane 1: it is full"), "{}", site.service("dns").reason);
    site.input(Input::Installed { prefix: net(VIP4), missing: Vec::new() });
    assert_eq!(site.announced(), [VIP4]);
    site.input(Input::Installed { prefix: net(VIP4), missing: vec![(BackendId(1), None)] });
    assert!(site.announced().is_empty(), "a data plane that lost the entry closes the gate");
}

#[test]
fn without_bind_the_vip_must_be_found_on_the_host() {
    let mut site = Site::with(&[ServiceSpec { bind: None, ..dns() }]);
    site.run_checks(5, true);
    assert!(site.announced().is_empty());
    let view = site.service("dns");
    assert!(view.reason.contains("192.0.2.53 is not a local address"), "{}", view.reason);
    let last = view.checks[0].last.clone().unwrap();
    assert!(!last.0 && last.1.contains("not a local address"), "the check itself fails with that reason: {last:?}");
    site.input(Input::LocalAddress { addr: net(VIP4).addr(), present: true });
    assert!(site.announced().is_empty(), "what was seen before it was local proves nothing");
    site.run_checks(3, true);
    assert_eq!(site.announced(), [VIP4]);
    site.input(Input::LocalAddress { addr: net(VIP4).addr(), present: false });
    assert!(site.announced().is_empty());
    assert!(!site.log.iter().any(|line| line.contains("bind")), "addresses are left alone: {:?}", site.log);
}

#[test]
fn a_run_that_began_before_the_address_was_here_does_not_count() {
    let spec = ServiceSpec { bind: None, checks: vec![check("192.0.2.53:53", 1, 1)], ..dns() };
    let mut site = Site::with(&[spec]);
    let started = site.now;
    site.wait(Duration::from_millis(100));
    site.input(Input::LocalAddress { addr: net(VIP4).addr(), present: true });
    let (id, (service, _)) = site.checks.clone().pop_first().unwrap();
    let late = Verdict { service, check: id, ok: true, detail: "another site".into(), started, at: site.now };
    site.input(Input::Verdict(late));
    assert!(site.announced().is_empty(), "another site may have answered");
    site.run_checks(1, true);
    assert_eq!(site.announced(), [VIP4]);
}

#[test]
fn a_router_in_front_of_the_service_announces_without_the_address() {
    let mut site = Site::new();
    site.acknowledges = false;
    site.configure(&[ServiceSpec { bind: None, require_local: false, ..dns() }]);
    site.run_checks(3, true);
    assert!(site.announced().is_empty(), "the data planes must have answered even so");
    site.input(Input::Installed { prefix: net(VIP4), missing: vec![(BackendId(0), Some(FibFault::NotLocal))] });
    assert_eq!(site.announced(), [VIP4], "a data plane that waits for a local address waits in vain");
}

#[test]
fn a_drain_goes_gshut_wait_withdraw_unbind() {
    let mut site = Site::with(&[ServiceSpec { drain: Drain { gshut: Duration::from_secs(30) }, ..dns() }]);
    site.run_checks(3, true);
    site.taken();
    site.operate("dns", drain()).unwrap();
    assert_eq!(site.taken(), ["gshut 192.0.2.53/32"]);
    assert_eq!(site.on_air[&net(VIP4)].communities, [0xFC00_0035, GRACEFUL_SHUTDOWN]);
    assert_eq!(site.state("dns"), ServiceState::Draining);
    site.wait(Duration::from_secs(29));
    assert!(site.taken().is_empty(), "the wait is kept");
    site.wait(Duration::from_secs(1));
    assert_eq!(site.taken(), ["withdraw 192.0.2.53/32", "unroute 192.0.2.53/32", "unbind 192.0.2.53/32 lo"]);
    assert_eq!(site.state("dns"), ServiceState::Drained);
    assert!(site.checks.is_empty(), "a drained service is not checked");
    site.operate("dns", Operation::Undrain).unwrap();
    site.run_checks(2, true);
    assert!(site.announced().is_empty(), "health is proved anew");
    site.run_checks(1, true);
    assert_eq!(site.announced(), [VIP4]);
}

#[test]
fn a_drain_without_gshut_withdraws_at_once() {
    let mut site = Site::with(&[dns()]);
    site.run_checks(3, true);
    site.taken();
    site.operate("dns", drain()).unwrap();
    assert_eq!(site.taken(), ["withdraw 192.0.2.53/32", "unroute 192.0.2.53/32", "unbind 192.0.2.53/32 lo"]);
}

#[test]
fn a_check_that_falls_during_a_drain_withdraws_without_waiting() {
    let mut site = Site::with(&[ServiceSpec { drain: Drain { gshut: Duration::from_secs(30) }, ..dns() }]);
    site.run_checks(3, true);
    site.operate("dns", drain()).unwrap();
    site.taken();
    site.run_checks(3, false);
    assert_eq!(site.taken(), ["withdraw 192.0.2.53/32"]);
    site.run_checks(3, true);
    assert!(site.taken().is_empty(), "a draining service never comes back by itself");
}

#[test]
fn an_undrain_during_the_wait_takes_the_community_off_again() {
    let mut site = Site::with(&[ServiceSpec { drain: Drain { gshut: Duration::from_secs(30) }, ..dns() }]);
    site.run_checks(3, true);
    site.operate("dns", drain()).unwrap();
    site.taken();
    site.operate("dns", Operation::Undrain).unwrap();
    assert_eq!(site.taken(), ["announce 192.0.2.53/32"]);
    site.wait(Duration::from_secs(60));
    assert!(site.taken().is_empty());
}

#[test]
fn an_operator_holds_a_service_down_until_announce() {
    let mut site = Site::with(&[dns()]);
    site.run_checks(3, true);
    site.taken();
    site.operate("dns", withdraw()).unwrap();
    assert_eq!(site.taken(), ["withdraw 192.0.2.53/32"]);
    assert_eq!(site.state("dns"), ServiceState::Held);
    assert!(site.service("dns").reason.contains("disk swap"));
    site.run_checks(5, true);
    site.operate("dns", Operation::Undrain).unwrap();
    site.configure(&[ServiceSpec { communities: vec![1], ..dns() }]);
    assert!(site.taken().is_empty(), "neither health, undrain nor a reload lifts the hold");
    site.operate("dns", Operation::Announce).unwrap();
    assert_eq!(site.taken(), ["announce 192.0.2.53/32"]);
}

#[test]
fn announce_never_goes_past_a_closed_gate() {
    let mut site = Site::with(&[dns()]);
    site.operate("dns", Operation::Announce).unwrap();
    site.run_checks(3, false);
    assert!(site.announced().is_empty());
}

#[test]
fn the_budget_refuses_operators_but_never_health() {
    let names = ["a", "b", "c"];
    let services: Vec<ServiceSpec> = (0..3)
        .map(|index| ServiceSpec {
            checks: vec![check("127.0.0.1:53", 1, 1)],
            bind: Some("lo".to_owned()),
            ..ServiceSpec::new(names[index], vec![net(&format!("192.0.2.{index}/32"))])
        })
        .collect();
    let mut site = Site::new();
    let minute = Duration::from_secs(60);
    site.input(Input::Configure { services, budget: Some((1, minute)) });
    site.run_checks(1, true);
    site.operate("a", withdraw()).unwrap();
    let refused = site.operate("b", drain()).unwrap_err();
    assert!(matches!(&refused, OperatorError::Refused { rule: "safety.budget", .. }), "{refused}");
    assert_eq!(site.state("b"), ServiceState::Announced);
    site.operate("b", Operation::Withdraw { reason: "fire".into(), force: true }).unwrap();
    assert_eq!(site.announced(), ["192.0.2.2/32"]);
    site.run_checks(1, false);
    assert!(site.announced().is_empty(), "a failed check is never held back");
    site.run_checks(1, true);
    site.wait(minute);
    site.operate("c", withdraw()).unwrap();
}

#[test]
fn an_address_that_somebody_takes_away_withdraws_and_is_bound_again() {
    let mut site = Site::with(&[dns()]);
    site.run_checks(3, true);
    site.taken();
    site.bound.clear();
    site.input(Input::LocalAddress { addr: net(VIP4).addr(), present: false });
    assert_eq!(site.taken(), ["withdraw 192.0.2.53/32"]);
    assert!(site.service("dns").reason.contains("taken off"), "{}", site.service("dns").reason);
    site.wait(Duration::from_millis(999));
    assert!(site.taken().is_empty(), "not in a tight fight with whoever takes it off");
    site.wait(Duration::from_millis(1));
    assert_eq!(site.taken(), ["bind 192.0.2.53/32 lo", "announce 192.0.2.53/32"]);
}

#[test]
fn an_interface_that_is_not_there_is_tried_again_ever_more_slowly() {
    let mut site = Site::new();
    site.binds = false;
    site.configure(&[dns()]);
    assert_eq!(site.service("dns").vips[0].bind, BindView::Failed("no such device".to_owned()));
    assert!(site.service("dns").reason.contains("no such device"));
    site.taken();
    for _ in 0..120 {
        site.wait(Duration::from_secs(1));
    }
    let attempts = site.taken().len();
    assert!((6..=9).contains(&attempts), "1, 2, 4, 8, 16, 30, 30, … seconds: {attempts} attempts in 120 s");
    site.binds = true;
    site.wait(Duration::from_secs(30));
    site.run_checks(3, true);
    assert_eq!(site.announced(), [VIP4]);
}

#[test]
fn an_address_found_on_the_host_is_not_taken_off_by_the_drain() {
    let mut site = Site::new();
    site.bound.insert(net(VIP4));
    site.configure(&[dns()]);
    assert_eq!(site.service("dns").vips[0].bind, BindView::Bound { ours: false });
    site.run_checks(3, true);
    site.taken();
    site.operate("dns", drain()).unwrap();
    assert_eq!(site.taken(), ["withdraw 192.0.2.53/32", "unroute 192.0.2.53/32"]);
}

#[test]
fn one_vip_may_be_announced_while_the_other_waits() {
    let mut site = Site::with(&[ServiceSpec { bind: None, vips: vec![net(VIP4), net(VIP6)], ..dns() }]);
    site.input(Input::LocalAddress { addr: net(VIP6).addr(), present: true });
    site.run_checks(3, true);
    assert_eq!(site.announced(), [VIP6]);
    let view = site.service("dns");
    assert_eq!(view.state, ServiceState::Partial);
    assert!(view.vips[0].blocked.as_ref().unwrap().contains("192.0.2.53"));
    assert_eq!(view.vips[1].blocked, None);
}

#[test]
fn all_wants_every_check_and_any_wants_one() {
    for (combine, with_one_up) in [(Combine::All, false), (Combine::Any, true)] {
        let checks = vec![check("127.0.0.1:53", 1, 1), check("127.0.0.1:80", 1, 1)];
        let mut site = Site::with(&[ServiceSpec { checks, combine, ..dns() }]);
        let (first, (service, _)) = site.checks.clone().pop_first().unwrap();
        site.verdict(first, &service, true);
        assert_eq!(!site.announced().is_empty(), with_one_up, "{combine:?}");
        site.run_checks(1, true);
        assert_eq!(site.announced(), [VIP4]);
        site.verdict(first, &service, false);
        assert_eq!(!site.announced().is_empty(), with_one_up, "{combine:?}");
        site.run_checks(1, false);
        assert!(site.announced().is_empty());
    }
}

#[test]
fn a_service_without_checks_is_healthy() {
    let mut site = Site::with(&[ServiceSpec { checks: Vec::new(), ..dns() }]);
    assert_eq!(site.taken(), ["route 192.0.2.53/32", "bind 192.0.2.53/32 lo", "announce 192.0.2.53/32"]);
}

#[test]
fn a_reload_touches_nothing_that_is_equal() {
    let www = ServiceSpec { checks: Vec::new(), ..ServiceSpec::new("www", vec![net("192.0.2.80/32")]) };
    let mut site = Site::with(&[dns(), www.clone()]);
    site.run_checks(3, true);
    let checks: Vec<CheckId> = site.checks.keys().copied().collect();
    site.taken();
    site.configure(&[www, dns()]);
    assert!(site.taken().is_empty());
    assert_eq!(site.checks.keys().copied().collect::<Vec<_>>(), checks);
    assert_eq!(site.state("dns"), ServiceState::Announced);
}

#[test]
fn a_reload_that_changes_only_communities_keeps_the_service_on_air() {
    let mut site = Site::with(&[dns()]);
    site.run_checks(3, true);
    site.taken();
    site.configure(&[ServiceSpec { communities: vec![7], ..dns() }]);
    assert_eq!(site.taken(), ["announce 192.0.2.53/32"]);
    assert_eq!(site.on_air[&net(VIP4)].communities, [7]);
}

#[test]
fn a_check_changed_on_air_has_its_falls_to_disagree_and_does_not_take_the_service_down() {
    let mut site = Site::with(&[dns()]);
    site.run_checks(3, true);
    let changed = ServiceSpec { checks: vec![check("127.0.0.1:5353", 3, 2)], ..dns() };
    site.configure(std::slice::from_ref(&changed));
    assert_eq!(site.announced(), [VIP4]);
    assert_eq!(site.checks.len(), 1);
    site.run_checks(2, false);
    assert!(site.announced().is_empty());
    // Changed again while it is off the air: now it must rise.
    site.configure(&[dns()]);
    assert_eq!(site.service("dns").checks[0].state, HealthState::Down);
    site.run_checks(2, true);
    assert!(site.announced().is_empty());
    site.run_checks(1, true);
    assert_eq!(site.announced(), [VIP4]);
}

#[test]
fn a_verdict_of_a_stopped_check_belongs_to_nobody() {
    let mut site = Site::with(&[dns()]);
    let (old, (service, _)) = site.checks.clone().pop_first().unwrap();
    site.configure(&[ServiceSpec { checks: vec![check("127.0.0.1:5353", 1, 1)], ..dns() }]);
    for _ in 0..5 {
        site.verdict(old, &service, true);
    }
    assert!(site.announced().is_empty());
}

#[test]
fn vips_come_and_go_one_by_one_on_reload() {
    let mut site = Site::with(&[dns()]);
    site.run_checks(3, true);
    site.taken();
    site.configure(&[ServiceSpec { vips: vec![net(VIP4), net(VIP6)], ..dns() }]);
    assert_eq!(site.taken(), ["route 2001:db8::53/128", "bind 2001:db8::53/128 lo", "announce 2001:db8::53/128"]);
    site.configure(&[ServiceSpec { vips: vec![net(VIP6)], ..dns() }]);
    assert_eq!(site.taken(), ["withdraw 192.0.2.53/32", "unroute 192.0.2.53/32", "unbind 192.0.2.53/32 lo"]);
    assert_eq!(site.announced(), [VIP6]);
}

#[test]
fn two_services_exchange_their_vips_in_one_reload() {
    let spec = |name: &str, vip: &str| ServiceSpec { checks: Vec::new(), ..ServiceSpec::new(name, vec![net(vip)]) };
    let bound = |name, vip| ServiceSpec { bind: Some("lo".to_owned()), ..spec(name, vip) };
    let mut site = Site::with(&[bound("a", VIP4), bound("b", VIP6)]);
    assert_eq!(site.announced().len(), 2);
    site.configure(&[bound("a", VIP6), bound("b", VIP4)]);
    assert_eq!(site.announced().len(), 2);
    assert_eq!(site.bound.len(), 2);
    assert_eq!(site.state("a"), ServiceState::Announced);
    assert_eq!(site.state("b"), ServiceState::Announced);
}

#[test]
fn a_renamed_service_hands_its_vip_over_without_a_drain() {
    let with_drain = |name: &str| ServiceSpec {
        name: name.into(),
        checks: Vec::new(),
        drain: Drain { gshut: Duration::from_secs(30) },
        ..dns()
    };
    let mut site = Site::with(&[with_drain("dns")]);
    site.taken();
    site.configure(&[with_drain("resolver")]);
    assert_eq!(site.controller.view(None).len(), 1);
    assert_eq!(site.announced(), [VIP4]);
    assert_eq!(site.bound.len(), 1);
}

#[test]
fn a_removed_service_drains_and_is_forgotten() {
    let mut site = Site::with(&[ServiceSpec { drain: Drain { gshut: Duration::from_secs(5) }, ..dns() }]);
    site.run_checks(3, true);
    site.taken();
    site.configure(&[]);
    assert_eq!(site.taken(), ["gshut 192.0.2.53/32"]);
    assert!(matches!(site.operate("dns", Operation::Undrain), Err(OperatorError::NoSuchService(_))));
    site.wait(Duration::from_secs(5));
    assert_eq!(site.taken(), ["withdraw 192.0.2.53/32", "unroute 192.0.2.53/32", "unbind 192.0.2.53/32 lo"]);
    assert!(site.controller.view(None).is_empty());
    assert!(site.checks.is_empty());
}

#[test]
fn a_service_that_is_disabled_leaves_and_comes_back_when_enabled() {
    let mut site = Site::with(&[dns()]);
    site.run_checks(3, true);
    site.taken();
    site.configure(&[ServiceSpec { enabled: false, ..dns() }]);
    assert_eq!(site.taken(), ["withdraw 192.0.2.53/32", "unroute 192.0.2.53/32", "unbind 192.0.2.53/32 lo"]);
    assert_eq!(site.state("dns"), ServiceState::Disabled);
    assert!(matches!(site.operate("dns", Operation::Announce), Err(OperatorError::Invalid(_))));
    site.configure(&[dns()]);
    site.run_checks(3, true);
    assert_eq!(site.announced(), [VIP4]);
}

#[test]
fn the_api_registers_changes_and_deletes_but_not_what_is_configured() {
    let mut site = Site::with(&[dns()]);
    let www = ServiceSpec {
        checks: Vec::new(),
        bind: Some("lo".into()),
        ..ServiceSpec::new("www", vec![net("192.0.2.80/32")])
    };
    assert!(matches!(site.register(dns()), Err(OperatorError::Configured(_))));
    assert!(matches!(site.delete("dns"), Err(OperatorError::Configured(_))));
    let thief = ServiceSpec { name: "thief".into(), ..dns() };
    assert!(matches!(site.register(thief), Err(OperatorError::VipTaken { .. })));
    let host_bits = ServiceSpec { vips: vec![net("192.0.2.1/24")], bind: None, ..www.clone() };
    let why = site.register(host_bits).unwrap_err().to_string();
    assert!(why.contains("192.0.2.0/24"), "says what would be right: {why}");
    site.register(www.clone()).unwrap();
    assert_eq!(site.service("www").spec.origin, ServiceOrigin::Api);
    assert_eq!(site.announced(), ["192.0.2.80/32"]);
    site.configure(&[dns()]);
    assert_eq!(site.announced(), ["192.0.2.80/32"], "a reload leaves the API's services alone");
    site.register(ServiceSpec { communities: vec![9], ..www }).unwrap();
    assert_eq!(site.on_air[&net("192.0.2.80/32")].communities, [9]);
    site.delete("www").unwrap();
    assert!(site.announced().is_empty());
    assert!(matches!(site.delete("www"), Err(OperatorError::NoSuchService(_))));
}

#[test]
fn the_configuration_overrules_a_registered_service() {
    let mut site = Site::new();
    site.register(ServiceSpec { checks: Vec::new(), ..dns() }).unwrap();
    site.configure(&[dns()]);
    assert_eq!(site.service("dns").spec.origin, ServiceOrigin::Config);
    assert!(site.announced().is_empty(), "its check has yet to rise");
    site.run_checks(3, true);
    assert_eq!(site.announced(), [VIP4]);
}

#[test]
fn a_shutdown_drains_all_within_their_drain_times() {
    let slow = ServiceSpec {
        checks: Vec::new(),
        drain: Drain { gshut: Duration::from_secs(4) },
        ..ServiceSpec::new("slow", vec![net(VIP6)])
    };
    let slow = ServiceSpec { bind: Some("lo".into()), ..slow };
    let mut site = Site::with(&[ServiceSpec { checks: Vec::new(), ..dns() }, slow]);
    site.taken();
    site.input(Input::Shutdown);
    let first = site.taken();
    assert_eq!(
        first,
        ["withdraw 192.0.2.53/32", "unroute 192.0.2.53/32", "unbind 192.0.2.53/32 lo", "gshut 2001:db8::53/128"]
    );
    assert!(!site.finished);
    assert_eq!(site.operate("dns", Operation::Undrain), Err(OperatorError::Stopping));
    site.wait(Duration::from_secs(4));
    assert!(site.finished);
    assert!(site.bound.is_empty());
}

#[test]
fn a_shutdown_without_services_is_finished_at_once() {
    let mut site = Site::new();
    site.input(Input::Shutdown);
    assert!(site.finished);
}

#[test]
fn the_history_tells_the_story_and_is_bounded() {
    let mut site = Site::with(&[dns()]);
    site.run_checks(3, true);
    site.run_checks(3, false);
    let story: Vec<String> = site.controller.history(Some("dns"), 0, 100).into_iter().map(|entry| entry.what).collect();
    let find = |needle: &str| {
        story.iter().position(|what| what.contains(needle)).unwrap_or_else(|| panic!("{needle}: {story:#?}"))
    };
    assert!(find("bound to lo") < find("192.0.2.53/32 announced"));
    assert!(
        find("192.0.2.53/32 announced") < find("192.0.2.53/32 withdrawn: check tcp 127.0.0.1:53 is down: no answer")
    );
    for _ in 0..HISTORY_LIMIT {
        site.run_checks(3, true);
        site.run_checks(3, false);
    }
    let all = site.controller.history(None, 0, usize::MAX);
    assert_eq!(all.len(), HISTORY_LIMIT);
    assert!(all.windows(2).all(|pair| pair[0].sequence + 1 == pair[1].sequence));
    let resumed = site.controller.history(None, all[HISTORY_LIMIT - 3].sequence, usize::MAX);
    assert_eq!(resumed, all[HISTORY_LIMIT - 2..]);
}

#[derive(Clone, Debug)]
enum Act {
    Verdict(bool),
    Address(bool),
    Installed(bool),
    Operate(Operation),
    Configure(u8),
    Wait(u16),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => any::<bool>().prop_map(Act::Verdict),
        2 => any::<bool>().prop_map(Act::Address),
        2 => any::<bool>().prop_map(Act::Installed),
        1 => prop_oneof![
            Just(Operation::Announce),
            Just(Operation::Undrain),
            Just(withdraw()),
            Just(Operation::Drain { reason: String::new(), force: false, gshut: Some(Duration::from_millis(700)) }),
        ].prop_map(Act::Operate),
        1 => (0_u8..4).prop_map(Act::Configure),
        1 => (0_u16..2000).prop_map(Act::Wait),
    ]
}

proptest! {
    /// Whatever happens in whatever order: what is on air is local, acknowledged and healthy, by books kept here.
    #[test]
    fn nothing_is_ever_on_air_with_a_gate_closed(acts in prop::collection::vec(act(), 1..120), rise in 1_u32..4, fall in 1_u32..4) {
        let vip = net(VIP4);
        let variant = |number: u8| ServiceSpec {
            bind: None,
            checks: vec![check("127.0.0.1:53", rise, fall)],
            communities: vec![u32::from(number)],
            enabled: number != 3,
            ..dns()
        };
        let mut site = Site::new();
        site.acknowledges = false;
        site.configure(&[variant(0)]);
        let (mut local, mut acknowledged, mut enabled) = (false, false, true);
        let (mut up, mut streak) = (false, 0_u32);
        let mut check_now = site.checks.keys().next().copied();
        for act in acts {
            match act {
                Act::Verdict(ok) => {
                    site.wait(Duration::from_millis(10));
                    if let Some((id, (service, _))) = site.checks.clone().pop_first() {
                        let counted = ok && local;
                        if counted == up { streak = 0; } else { streak += 1; }
                        if streak >= if up { fall } else { rise } { up = !up; streak = 0; }
                        site.verdict(id, &service, ok);
                    }
                }
                Act::Address(present) => {
                    local = present;
                    site.input(Input::LocalAddress { addr: vip.addr(), present });
                }
                Act::Installed(yes) => {
                    let routed = !matches!(site.state("dns"), ServiceState::Drained | ServiceState::Disabled);
                    acknowledged = yes && routed;
                    let missing = if yes { Vec::new() } else { vec![(BackendId(0), None)] };
                    site.input(Input::Installed { prefix: vip, missing });
                }
                Act::Operate(operation) => {
                    let _ = site.operate("dns", operation);
                }
                Act::Configure(number) => {
                    enabled = number != 3;
                    site.configure(&[variant(number)]);
                }
                Act::Wait(millis) => site.wait(Duration::from_millis(u64::from(millis))),
            }
            let state = site.state("dns");
            let held = matches!(state, ServiceState::Held | ServiceState::Drained);
            if matches!(state, ServiceState::Drained | ServiceState::Disabled) { acknowledged = false; }
            let check_after = site.checks.keys().next().copied();
            if check_after != check_now { (up, streak) = (false, 0); check_now = check_after; }
            let open = local && acknowledged && up && enabled && !held;
            if open && state != ServiceState::Draining {
                prop_assert_eq!(site.announced(), [VIP4], "all gates are open");
            } else if !open {
                prop_assert!(site.announced().is_empty(), "a gate is closed: {}", site.service("dns").reason);
            }
        }
    }
}
