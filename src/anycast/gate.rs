//! One VIP: whether it is bound, routed and announced, and which gate keeps it back.
//!
//! [`Vip::settle`] is the only place where a VIP is announced or withdrawn, bound or unbound: it compares what is wanted
//! with what was last asked for and puts the difference into [`Moves`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgpd::speaker::message::{LocalBatch, LocalRoute};
use bgpd::wire::attr::Origin;
use ipnet::IpNet;
use ospfd::message::{ExternalRoute, ServiceRoute};
use rib::{AdminDistance, BackendId, FibFault, Metric, NextHop, Protocol, Route, RouteBatch, Source};

use super::controller::{Outbox, Output};
use super::service::{ServiceSpec, Via};
use super::view::BindView;

/// The first attempt to bind again comes after this long, each further one after twice as long.
const REBIND_FIRST: Duration = Duration::from_secs(1);
/// The longest pause between attempts to bind.
const REBIND_LONGEST: Duration = Duration::from_secs(30);

/// GRACEFUL_SHUTDOWN (RFC 8326 §3): 65535:0.
pub(super) const GRACEFUL_SHUTDOWN: u32 = 0xFFFF_0000;

/// This host's addresses, each with the time since when it has been here.
pub(super) type Addresses = BTreeMap<IpAddr, Instant>;

/// Since when an address of `prefix` has been on this host; `None` if none is.
pub(super) fn local_since(addresses: &Addresses, prefix: &IpNet) -> Option<Instant> {
    addresses.range(prefix.network()..=prefix.broadcast()).map(|(_, since)| *since).min()
}

/// The binding of a VIP to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Binding {
    /// Not bound by us.
    None,
    /// Asked for.
    Asked,
    /// There; `ours` if we put it there.
    Bound { ours: bool },
    /// Refused, or taken away by somebody; asked for again at `retry_at`.
    Lost { why: String, retry_at: Instant, ours: bool },
}

/// How a VIP is announced, by each protocol that does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Announcement {
    bgp: Option<Arc<LocalRoute>>,
    ospf: Option<ServiceRoute>,
}

/// What the service as a whole wants of its VIPs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Bound and routed; announced so when the VIP's own gates are open, with the reason if not wanted.
    Up(Result<Announcement, String>),
    /// Neither bound, routed nor announced.
    Gone(String),
}

/// One VIP of a service.
#[derive(Clone, Debug)]
pub(super) struct Vip {
    pub(super) prefix: IpNet,
    /// The interface it is bound to, or is to be.
    interface: Option<String>,
    binding: Binding,
    attempts: u32,
    /// In the RIB, with this distance.
    routed: Option<AdminDistance>,
    /// What the RIB said last; `None` until it has said something.
    missing: Option<Vec<(BackendId, Option<FibFault>)>>,
    announced: Option<Announcement>,
}

/// What a settled VIP did, for the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Announced,
    /// Announced before and now, with other attributes.
    Changed,
    Withdrawn(String),
}

/// Changes of announcements, by protocol.
#[derive(Debug, Default)]
struct Changes {
    bgp: LocalBatch,
    ospf: Vec<(IpNet, Option<ServiceRoute>)>,
}

impl Changes {
    fn flush(self, out: &mut Outbox) {
        if !self.bgp.changes.is_empty() {
            out.push(Output::Bgp(self.bgp));
        }
        if !self.ospf.is_empty() {
            out.push(Output::Ospf(self.ospf));
        }
    }
}

/// What is asked for at the end of one input, in an order that never announces early nor unbinds before withdrawing.
#[derive(Debug)]
pub(super) struct Moves {
    withdraw: Changes,
    announce: Changes,
    rib: RouteBatch,
    awaits: Vec<(IpNet, bool)>,
    unbind: Vec<Output>,
    bind: Vec<Output>,
}

impl Moves {
    pub(super) fn new() -> Self {
        Self {
            withdraw: Changes::default(),
            announce: Changes::default(),
            rib: RouteBatch::new(Source::Service),
            awaits: Vec::new(),
            unbind: Vec::new(),
            bind: Vec::new(),
        }
    }

    pub(super) fn flush(self, out: &mut Outbox) {
        self.withdraw.flush(out);
        // Watch before the route is there, so that no acknowledgement is missed.
        out.extend(self.awaits.into_iter().map(|(prefix, on)| Output::Await { prefix, on }));
        if !self.rib.changes.is_empty() {
            out.push(Output::Rib(self.rib));
        }
        out.extend(self.unbind);
        out.extend(self.bind);
        self.announce.flush(out);
    }
}

impl Vip {
    pub(super) fn new(prefix: IpNet) -> Self {
        Self {
            prefix,
            interface: None,
            binding: Binding::None,
            attempts: 0,
            routed: None,
            missing: None,
            announced: None,
        }
    }

    /// How a service is announced, gracefully going or not: with GRACEFUL_SHUTDOWN by BGP, at the greatest cost by OSPF.
    pub(super) fn announcement(spec: &ServiceSpec, going: bool) -> Announcement {
        Announcement {
            bgp: spec.via.contains(&Via::Bgp).then(|| Self::local_route(spec, going)),
            ospf: spec.via.contains(&Via::Ospf).then(|| if going { last_resort(spec.ospf) } else { spec.ospf }),
        }
    }

    fn local_route(spec: &ServiceSpec, graceful_shutdown: bool) -> Arc<LocalRoute> {
        let mut communities = spec.communities.clone();
        if graceful_shutdown {
            communities.push(GRACEFUL_SHUTDOWN);
        }
        communities.sort_unstable();
        communities.dedup();
        Arc::new(LocalRoute {
            protocol: Protocol::Service,
            origin: Origin::Igp,
            med: None,
            prepend: 0,
            communities,
            large_communities: spec.large_communities.clone(),
            extended_communities: spec.extended_communities.clone(),
            next_hop: None,
        })
    }

    pub(super) fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    pub(super) fn is_installed(&self, spec: &ServiceSpec) -> bool {
        self.missing.as_ref().is_some_and(|missing| !missing.iter().any(|item| counts(item, spec)))
    }

    /// The first of the VIP's own gates that is closed.
    pub(super) fn closed(&self, spec: &ServiceSpec, addresses: &Addresses) -> Option<String> {
        let shown = shown(&self.prefix);
        if spec.require_local && local_since(addresses, &self.prefix).is_none() {
            return Some(match &self.binding {
                Binding::Lost { why, .. } => why.clone(),
                Binding::Asked | Binding::Bound { .. } => format!("{shown} is not a local address yet: being bound"),
                Binding::None => format!(
                    "{shown} is not a local address: put it on an interface, name one in bind, or set require_local = false"
                ),
            });
        }
        let Some(missing) = &self.missing else {
            return Some(format!("{shown} is not acknowledged by the data planes yet"));
        };
        missing.iter().find(|item| counts(item, spec)).map(|(backend, fault)| match fault {
            None => format!("{shown} is not acknowledged by data plane {} yet", backend.0),
            Some(fault) => format!("{shown} is refused by data plane {}: {}", backend.0, describe(fault)),
        })
    }

    pub(super) fn settle(
        &mut self,
        spec: &Arc<ServiceSpec>,
        wish: &Wish,
        addresses: &Addresses,
        moves: &mut Moves,
    ) -> Option<Step> {
        match wish {
            Wish::Gone(why) => self.leave(&spec.name, why, moves),
            Wish::Up(announcement) => {
                self.bind(spec, moves);
                self.enter(spec.distance, moves);
                let wanted = match announcement {
                    Err(why) => Err(why.clone()),
                    Ok(_) if spec.via.is_empty() => Err("no protocol of via announces it".to_owned()),
                    Ok(route) => self.closed(spec, addresses).map_or_else(|| Ok(route.clone()), Err),
                };
                self.announce(wanted, moves)
            }
        }
    }

    fn announce(&mut self, wanted: Result<Announcement, String>, moves: &mut Moves) -> Option<Step> {
        let (now, why) = match wanted {
            Ok(now) => (Some(now), String::new()),
            Err(why) => (None, why),
        };
        if now == self.announced {
            return None;
        }
        let before = std::mem::replace(&mut self.announced, now.clone());
        let step = match (&before, &now) {
            (None, _) => Step::Announced,
            (Some(_), Some(_)) => Step::Changed,
            (Some(_), None) => Step::Withdrawn(why),
        };
        let (before, now) = (before.unwrap_or_default(), now.unwrap_or_default());
        if before.bgp != now.bgp {
            let changes = if now.bgp.is_some() { &mut moves.announce } else { &mut moves.withdraw };
            changes.bgp.changes.push((self.prefix, now.bgp));
        }
        if before.ospf != now.ospf {
            let changes = if now.ospf.is_some() { &mut moves.announce } else { &mut moves.withdraw };
            changes.ospf.push((self.prefix, now.ospf));
        }
        Some(step)
    }

    /// Withdraws, takes the route out of the RIB, unbinds: in that order.
    pub(super) fn leave(&mut self, service: &Arc<str>, why: &str, moves: &mut Moves) -> Option<Step> {
        let step = self.announce(Err(why.to_owned()), moves);
        if self.routed.take().is_some() {
            moves.rib.remove(self.prefix);
            moves.awaits.push((self.prefix, false));
            self.missing = None;
        }
        self.unbind(service, moves);
        step
    }

    fn enter(&mut self, distance: AdminDistance, moves: &mut Moves) {
        if self.routed == Some(distance) {
            return;
        }
        if self.routed.is_none() {
            moves.awaits.push((self.prefix, true));
        }
        self.routed = Some(distance);
        let route = Route {
            protocol: Protocol::Service,
            distance,
            metric: Metric(0),
            tag: 0,
            next_hops: NextHop::Local.into(),
        };
        moves.rib.add(self.prefix, route);
    }

    fn bind(&mut self, spec: &Arc<ServiceSpec>, moves: &mut Moves) {
        if self.interface != spec.bind {
            self.unbind(&spec.name, moves);
            self.interface.clone_from(&spec.bind);
        }
        if self.binding == Binding::None && self.interface.is_some() {
            self.ask(&spec.name, moves);
        }
    }

    fn ask(&mut self, service: &Arc<str>, moves: &mut Moves) {
        if let Some(interface) = &self.interface {
            self.binding = Binding::Asked;
            moves.bind.push(Output::Bind {
                service: Arc::clone(service),
                interface: interface.clone(),
                prefix: self.prefix,
            });
        }
    }

    fn unbind(&mut self, service: &Arc<str>, moves: &mut Moves) {
        let before = std::mem::replace(&mut self.binding, Binding::None);
        self.attempts = 0;
        let ours = matches!(before, Binding::Bound { ours: true } | Binding::Lost { ours: true, .. });
        if let Some(interface) = self.interface.take()
            && ours
        {
            moves.unbind.push(Output::Unbind { service: Arc::clone(service), interface, prefix: self.prefix });
        }
    }

    /// The carrier's answer to a request to bind. False if nobody waits for it any more, so that an address that was added
    /// must be taken off again.
    pub(super) fn bound(&mut self, now: Instant, interface: &str, outcome: Result<bool, String>) -> bool {
        if self.binding != Binding::Asked || self.interface.as_deref() != Some(interface) {
            return false;
        }
        match outcome {
            Ok(added) => {
                self.attempts = 0;
                self.binding = Binding::Bound { ours: added };
            }
            Err(why) => {
                let pause = REBIND_FIRST.saturating_mul(1 << self.attempts.min(5)).min(REBIND_LONGEST);
                self.attempts += 1;
                self.binding = Binding::Lost { why, retry_at: now + pause, ours: false };
            }
        }
        true
    }

    /// The address became local or ceased to be. True if it is bound by the service and was taken away.
    pub(super) fn address(&mut self, now: Instant, present: bool) -> bool {
        match (&self.binding, present) {
            (Binding::Bound { ours }, false) => {
                let why = format!("{} was taken off its interface by somebody else", shown(&self.prefix));
                self.binding = Binding::Lost { why, retry_at: now + REBIND_FIRST, ours: *ours };
                true
            }
            (Binding::Lost { ours, .. }, true) => {
                self.binding = Binding::Bound { ours: *ours };
                false
            }
            _ => false,
        }
    }

    pub(super) fn installed(&mut self, missing: Vec<(BackendId, Option<FibFault>)>) {
        if self.routed.is_some() {
            self.missing = Some(missing);
        }
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        match &self.binding {
            Binding::Lost { retry_at, .. } => Some(*retry_at),
            _ => None,
        }
    }

    pub(super) fn retry(&mut self, now: Instant, service: &Arc<str>, moves: &mut Moves) {
        if self.retry_at().is_some_and(|at| at <= now) {
            self.ask(service, moves);
        }
    }

    pub(super) fn bind_view(&self) -> BindView {
        match (&self.interface, &self.binding) {
            (None, _) => BindView::NotAsked,
            (_, Binding::None) => BindView::Unbound,
            (_, Binding::Asked) => BindView::Binding,
            (_, Binding::Bound { ours }) => BindView::Bound { ours: *ours },
            (_, Binding::Lost { why, .. }) => BindView::Failed(why.clone()),
        }
    }
}

/// The same at a cost that any other site beats: the greatest that still can be used (RFC 2328 §A.4.2, §A.4.5).
fn last_resort(route: ServiceRoute) -> ServiceRoute {
    match route {
        ServiceRoute::Stub { .. } => ServiceRoute::Stub { metric: u16::MAX - 1 },
        ServiceRoute::External(route) => ServiceRoute::External(ExternalRoute { metric: 0xff_fffe, ..route }),
    }
}

/// Whether a data plane's missing entry keeps the VIP back: with `require_local = false` the service runs behind this
/// router, and a data plane that waits for a local address waits in vain.
fn counts((_, fault): &(BackendId, Option<FibFault>), spec: &ServiceSpec) -> bool {
    spec.require_local || *fault != Some(FibFault::NotLocal)
}

fn describe(fault: &FibFault) -> String {
    match fault {
        FibFault::NotLocal => "the address is on no interface yet".to_owned(),
        FibFault::CapacityExceeded => "it is full".to_owned(),
        FibFault::Unsupported(what) => (*what).to_owned(),
        FibFault::Errno(errno) => std::io::Error::from_raw_os_error(*errno).to_string(),
    }
}

/// A host prefix as its address.
pub(super) fn shown(prefix: &IpNet) -> String {
    if prefix.prefix_len() == prefix.max_prefix_len() { prefix.addr().to_string() } else { prefix.to_string() }
}
