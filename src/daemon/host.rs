//! The host as the node follows it: links, addresses and foreign routes become connected and kernel routes; configured
//! routes follow them; the data planes and the anycast controller learn which addresses are local.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use bgpd::speaker::message::LinkAddress;
use fib_sync::host::{HostEvent, HostEvents, HostTable, Link};
use fib_sync::thread::BackendHandle;
use ipnet::IpNet;
use rib::message::Input;
use rib::{IfIndex, RouteBatch};
use tokio::sync::{mpsc, oneshot, watch};

use super::handles::{Events, Gone, RibHandle, What};
use super::ospf::Ospf;
use super::statics::Statics;
use crate::anycast::AnycastHandle;
use crate::config::model::StaticRoute;

/// Reloads of the configured routes on their way. Full: the reload waits.
pub(super) const STATICS: usize = 1;
/// Events taken in one turn, so that a large first dump reaches the RIB in few batches.
const EVENTS_PER_TURN: usize = 256;

/// New configured routes, answered when the RIB has been told.
pub(super) type NewStatics = (Vec<StaticRoute>, oneshot::Sender<()>);

/// What the task is joined to.
pub(super) struct Wires {
    pub(super) rib: RibHandle,
    pub(super) backends: Vec<BackendHandle>,
    pub(super) anycast: AnycastHandle,
    pub(super) bgp: bgpd::io::Handle,
    pub(super) ospf: Ospf,
    pub(super) events: Events,
    /// True once the host's first dump has been told to the RIB.
    pub(super) synced: watch::Sender<bool>,
    /// The services' prefixes.
    pub(super) claimed: watch::Receiver<BTreeSet<IpNet>>,
}

pub(super) struct HostTask {
    table: HostTable,
    statics: Statics,
    wires: Wires,
    local: HashSet<IpAddr>,
    /// Links that OSPF has to be told of, with those that went down meanwhile.
    touched: BTreeMap<IfIndex, bool>,
}

impl HostTask {
    pub(super) fn new(table: HostTable, statics: Statics, wires: Wires) -> Self {
        Self { table, statics, wires, local: HashSet::new(), touched: BTreeMap::new() }
    }

    /// Runs until every source of events has ended or the RIB is gone.
    pub(super) async fn run(mut self, mut sources: Vec<HostEvents>, mut reload: mpsc::Receiver<NewStatics>) {
        let mut second = if sources.len() > 1 { sources.pop() } else { None };
        let Some(mut first) = sources.pop() else { return };
        if self.tell_statics().await.is_err() || self.claim().await.is_err() {
            return;
        }
        loop {
            let outcome = tokio::select! {
                // A new service's VIP is claimed before the address that it binds is seen.
                biased;
                Ok(()) = self.wires.claimed.changed() => self.claim().await,
                () = self.statics.path_changed() => self.tell_statics().await,
                event = first.recv() => match event {
                    Some(event) => self.turn(event, &mut first).await,
                    None => return,
                },
                Some(event) = recv(&mut second) => match &mut second {
                    Some(source) => self.turn(event, source).await,
                    None => Ok(()),
                },
                Some((statics, done)) = reload.recv() => {
                    self.statics.set(statics).await;
                    let outcome = self.tell_statics().await;
                    let _ = done.send(());
                    outcome
                }
            };
            if outcome.is_err() {
                return;
            }
        }
    }

    /// Leaves the services' prefixes to the services.
    async fn claim(&mut self) -> Result<(), Gone> {
        let vips = self.wires.claimed.borrow_and_update().clone();
        for input in self.table.claim(vips) {
            self.wires.rib.urgent(input).await?;
        }
        // Addresses of services are not the links': OSPF says them when the services do.
        self.touched.extend(self.table.links().map(|(link, _)| (link.index, false)));
        self.tell_ospf().await;
        if *self.wires.synced.borrow() {
            self.tell_addresses();
        }
        Ok(())
    }

    /// Takes `event` and those that have happened already.
    async fn turn(&mut self, event: HostEvent, source: &mut HostEvents) -> Result<(), Gone> {
        let mut next = Some(event);
        let mut links_changed = false;
        let mut addresses_changed = false;
        let mut taken = 0;
        let mut batches: Vec<RouteBatch> = Vec::new();
        while let Some(event) = next {
            taken += 1;
            links_changed |= matches!(event, HostEvent::Link(_) | HostEvent::LinkGone(_));
            let synced = event == HostEvent::Synced;
            addresses_changed |= synced || matches!(event, HostEvent::Address { .. } | HostEvent::LinkGone(_));
            for input in self.on_event(event) {
                match input {
                    // Routes of one source are gathered; order within a source is kept.
                    Input::Routes(batch) => match batches.iter_mut().find(|have| have.source == batch.source) {
                        Some(have) => append(have, batch),
                        None => batches.push(batch),
                    },
                    other => {
                        self.flush(&mut batches).await?;
                        self.wires.rib.urgent(other).await?;
                    }
                }
            }
            if synced {
                self.flush(&mut batches).await?;
                if std::mem::take(&mut links_changed) {
                    self.tell_statics().await?;
                }
                for name in self.statics.missing_interfaces(&self.table) {
                    tracing::warn!(
                        interface = name,
                        "static routes name an interface that this host does not have yet"
                    );
                }
                self.wires.synced.send_replace(true);
            }
            next = if taken < EVENTS_PER_TURN { source.try_recv() } else { None };
        }
        self.tell_ospf().await;
        self.flush(&mut batches).await?;
        if addresses_changed && *self.wires.synced.borrow() {
            self.tell_addresses();
        }
        if links_changed { self.tell_statics().await } else { Ok(()) }
    }

    /// Brings the RIB's configured routes to what the configuration, the interfaces and BFD say now.
    async fn tell_statics(&mut self) -> Result<(), Gone> {
        match self.statics.changes(&|name| self.table.index_of(name)) {
            Some(batch) => self.wires.rib.urgent(Input::Routes(batch)).await,
            None => Ok(()),
        }
    }

    async fn flush(&self, batches: &mut Vec<RouteBatch>) -> Result<(), Gone> {
        for batch in batches.drain(..) {
            self.wires.rib.urgent(Input::Routes(batch)).await?;
        }
        Ok(())
    }

    fn on_event(&mut self, event: HostEvent) -> Vec<Input> {
        for backend in &self.wires.backends {
            backend.host_event(&event);
        }
        self.say(&event);
        match &event {
            HostEvent::Link(link) => *self.touched.entry(link.index).or_default() |= !link.up,
            HostEvent::LinkGone(index) => _ = self.touched.insert(*index, true),
            HostEvent::Address { index, .. } => _ = self.touched.entry(*index).or_default(),
            HostEvent::Foreign { .. } | HostEvent::Disturbed(_) | HostEvent::Synced => {}
        }
        let concerned: Vec<IpAddr> = match &event {
            HostEvent::Address { address, .. } => vec![address.addr()],
            HostEvent::LinkGone(_) => self.local.iter().copied().collect(),
            _ => Vec::new(),
        };
        let inputs = self.table.handle(event);
        for addr in concerned {
            let present = self.table.is_local(addr);
            let changed = if present { self.local.insert(addr) } else { self.local.remove(&addr) };
            if changed {
                for backend in &self.wires.backends {
                    backend.local_address(addr, present);
                }
                self.wires.anycast.local_address(addr, present);
            }
        }
        inputs
    }

    /// Tells the BGP speaker among which addresses it finds its own next hops. Those of services are not among them: they may be
    /// at other sites as well.
    fn tell_addresses(&self) {
        let claimed = self.wires.claimed.borrow();
        let own = |address: &IpNet| !claimed.iter().any(|vip| vip.contains(&address.addr()));
        let addresses = self.table.links().flat_map(|(link, addresses)| {
            let own = addresses.iter().copied().filter(own);
            own.map(|address| LinkAddress { link: link.index.0, address })
        });
        self.wires.bgp.addresses(addresses.collect());
    }

    /// Tells OSPF of the links that changed: first that they went down, if they did, then what they are now.
    async fn tell_ospf(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() || !self.wires.ospf.speaks() {
            return;
        }
        for index in touched.iter().filter(|(_, went)| **went).map(|(index, _)| *index) {
            self.wires.ospf.link_down(index).await;
        }
        let claimed = self.wires.claimed.borrow().clone();
        for (link, addresses) in self.table.links().filter(|(link, _)| link.up && touched.contains_key(&link.index)) {
            let own = addresses.iter().filter(|address| !claimed.iter().any(|vip| vip.contains(&address.addr())));
            let own = own.copied().collect();
            self.wires.ospf.link(link, own, self.lender(link, &claimed)).await;
        }
    }

    /// The address that a link without one of its own speaks from: one of the loopback, or of another link.
    fn lender(&self, borrower: &Link, claimed: &BTreeSet<IpNet>) -> Option<IpAddr> {
        let mut lenders: Vec<_> = self.table.links().filter(|(link, _)| link.index != borrower.index).collect();
        lenders.sort_by_key(|(link, _)| (!link.loopback, link.index));
        let addresses = lenders.iter().flat_map(|(_, addresses)| addresses.iter()).map(IpNet::addr);
        let own = |address: &IpAddr| !claimed.iter().any(|vip| vip.contains(address));
        addresses.filter(|address| address.is_ipv4() && !address.is_loopback()).find(own)
    }

    /// Tells people of a link that changed.
    fn say(&self, event: &HostEvent) {
        let (index, name, up): (IfIndex, String, bool) = match event {
            HostEvent::Link(link) if self.table.link(link.index).is_none_or(|before| before.up != link.up) => {
                (link.index, link.name.clone(), link.up)
            }
            HostEvent::LinkGone(index) => (*index, self.table.name_of(*index).unwrap_or_default().to_owned(), false),
            _ => return,
        };
        tracing::debug!(interface = %name, up, "link");
        self.wires.events.send(What::Link { index, name, up });
    }
}

async fn recv(source: &mut Option<HostEvents>) -> Option<HostEvent> {
    match source {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

/// `batch` behind `have`, with its indexes moved.
fn append(have: &mut RouteBatch, batch: RouteBatch) {
    let offset = u32::try_from(have.routes.len()).expect("a turn has few routes");
    have.routes.extend(batch.routes);
    have.changes.extend(batch.changes.into_iter().map(|mut change| {
        change.route = change.route.map(|index| index + offset);
        change
    }));
}
