//! What we bring in from outside: AS-external-LSAs (RFC 2328 §12.4.4, RFC 5340 §4.4.3.6) and, in NSSAs, type-7 LSAs
//! (RFC 3101 §2.4), from redistributed routes and services. And the summaries that the route calculation wants.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use super::{Instance, Role};
use crate::config::{AreaKind, NetworkType};
use crate::id::{AreaId, LsaKey, LsaType, RouterId, Version};
use crate::interface::Interface;
use crate::lsa::{ExternalLsa, LS_INFINITY, LsaBody, PREFIX_P};
use crate::lsdb::Home;
use crate::message::{ExternalRoute, Outbox, ServiceRoute};
use crate::packet::{OPTION_E, OPTION_N};

impl Instance {
    /// Routes of other protocols come and go.
    pub(crate) fn on_redistribute(&mut self, routes: Vec<(IpNet, Option<ExternalRoute>)>) {
        for (prefix, route) in routes {
            let prefix = prefix.trunc();
            if !self.speaks_of(&prefix) {
                continue;
            }
            let before = match route {
                Some(route) => self.externals.insert(prefix, route),
                None => self.externals.remove(&prefix),
            };
            if before != route {
                self.own.dirty_prefix(prefix);
                self.routing.externals_changed();
            }
        }
    }

    /// A service comes, changes or goes.
    pub(crate) fn on_service(&mut self, prefix: IpNet, announce: Option<ServiceRoute>) {
        let prefix = prefix.trunc();
        if !self.speaks_of(&prefix) {
            return;
        }
        let before = match announce {
            Some(route) => self.services.insert(prefix, route),
            None => self.services.remove(&prefix),
        };
        if before == announce {
            return;
        }
        self.own.dirty_prefix(prefix);
        if [before, announce].iter().flatten().any(|route| matches!(route, ServiceRoute::Stub { .. })) {
            self.own.dirty_routers();
        }
    }

    fn speaks_of(&self, prefix: &IpNet) -> bool {
        matches!(prefix, IpNet::V4(_)) == (self.version == Version::V2)
    }

    /// What all areas hear of us.
    pub(crate) fn role(&self) -> Role {
        Role {
            border: self.is_border(),
            external: !self.externals.is_empty()
                || self.routing.translates()
                || self.restart.externals
                || self.services.values().any(|route| matches!(route, ServiceRoute::External(_))),
            areas: self.attached_areas().collect(),
            networks: self.forwarding_networks().collect(),
        }
    }

    /// Networks of ours that others reach inside OSPF, and on which somebody else may be the better next hop.
    fn forwarding_networks(&self) -> impl Iterator<Item = (AreaId, IpNet)> {
        let shared = |interface: &&Interface| {
            interface.up
                && !interface.is_virtual()
                && !interface.link.loopback
                && matches!(interface.config.network, NetworkType::Broadcast | NetworkType::Nbma)
        };
        let nets = |interface: &Interface| {
            interface.link.addresses.iter().map(move |net| (interface.area(), *net)).collect::<Vec<_>>()
        };
        let own = |(_, net): &(AreaId, IpNet)| self.speaks_of(net);
        self.interfaces.values().filter(shared).flat_map(nets).filter(own)
    }

    /// The next hop of a route as its forwarding address, which spares others the way over us: if it is on such a network
    /// (RFC 2328 §12.4.4.1, RFC 5340 §4.4.3.5), for a type-7 LSA in the same NSSA (RFC 3101 §2.3).
    fn forwarding(&self, route: &ExternalRoute, area: Option<AreaId>) -> Option<IpAddr> {
        let address = route.forwarding?;
        let mut networks = self.forwarding_networks().filter(|(of, _)| area.is_none_or(|area| *of == area));
        networks.any(|(_, net)| net.contains(&address) && net.addr() != address).then_some(address)
    }

    /// The external route we announce for a prefix; a service goes before a redistributed route.
    pub(crate) fn external_route(&self, prefix: &IpNet) -> Option<ExternalRoute> {
        match self.services.get(prefix) {
            Some(ServiceRoute::External(route)) => Some(*route),
            _ => self.externals.get(prefix).copied(),
        }
    }

    /// Brings one prefix's external LSAs up to date, in every area that takes one.
    pub(super) fn reconcile_external(&mut self, now: Instant, prefix: IpNet, out: &mut Outbox) {
        let route = self.external_route(&prefix);
        let attached: Vec<(AreaId, AreaKind)> =
            self.attached_areas().map(|area| (area, self.area_kind(area))).collect();
        let normal = attached.iter().any(|(_, kind)| *kind == AreaKind::Normal);
        let border = attached.len() > 1;
        let kind = self.kinds().external;
        let body = route.filter(|_| normal).map(|route| external(prefix, &route, self.forwarding(&route, None), 0));
        self.reconcile_prefix(now, Home::As, kind, prefix, body.map(|body| (OPTION_E, LsaBody::External(body))), out);
        let nssas: Vec<AreaId> =
            self.areas.keys().copied().filter(|area| self.area_kind(*area) == AreaKind::Nssa).collect();
        for area in nssas {
            let here = attached.iter().any(|(attached, _)| *attached == area);
            // RFC 3101 §2.4: an address in the area if it may be translated; a border router that says it in the other
            // areas itself does not want that.
            let beside = route.and_then(|route| self.forwarding(&route, Some(area)));
            let own = beside.or_else(|| self.address_in(area));
            let translate = !(border && normal) && own.is_some();
            let body = route.filter(|_| here).map(|route| {
                let options = if translate { PREFIX_P } else { 0 };
                let options = if self.version == Version::V3 { options } else { 0 };
                let forwarding = if translate { own } else { beside };
                let header = if translate { OPTION_N } else { 0 };
                (header, LsaBody::External(external(prefix, &route, forwarding, options)))
            });
            self.reconcile_prefix(now, Home::Area(area), self.kinds().nssa, prefix, body, out);
        }
    }

    /// An address of ours in an area, a loopback's if there is one.
    fn address_in(&self, area: AreaId) -> Option<IpAddr> {
        let usable = |address: &IpAddr| match address {
            IpAddr::V4(_) => self.version == Version::V2,
            IpAddr::V6(address) => self.version == Version::V3 && !address.is_unicast_link_local(),
        };
        let mut found: Vec<(bool, IpAddr)> = self
            .live_interfaces(area)
            .flat_map(|interface| {
                let outer = !interface.link.loopback;
                interface.link.addresses.iter().map(move |net| (outer, net.addr()))
            })
            .filter(|(_, address)| usable(address) && !address.is_loopback())
            .collect();
        found.sort_unstable();
        found.first().map(|(_, address)| *address)
    }

    /// Declares or withdraws the LSA of one prefix.
    pub(crate) fn reconcile_prefix(
        &mut self,
        now: Instant,
        home: Home,
        kind: LsaType,
        prefix: IpNet,
        body: Option<(u32, LsaBody)>,
        out: &mut Outbox,
    ) {
        let adv = self.router;
        let Some((options, body)) = body else {
            let id = self.own.ids.get_mut(&(home, kind)).and_then(|ids| ids.release(&prefix));
            if let Some(id) = id {
                self.withdraw(now, home, LsaKey { kind, id, adv }, out);
            }
            return;
        };
        let Some((id, evicted)) = self.own.ids.entry((home, kind)).or_default().assign(prefix) else { return };
        let options = self.lsa_options(options);
        self.declare(now, home, LsaKey { kind, id, adv }, options, body, out);
        if let Some(evicted) = evicted {
            self.moved(now, home, kind, evicted, out);
        }
    }

    /// A prefix lost its Link State ID to a host route and gets another.
    fn moved(&mut self, now: Instant, home: Home, kind: LsaType, prefix: IpNet, out: &mut Outbox) {
        if kind == self.kinds().summary {
            self.routing.summaries_changed();
        } else {
            self.reconcile_external(now, prefix, out);
        }
        let _ = home;
    }

    /// Options in an LSA's header: v3 has none there.
    pub(super) fn lsa_options(&self, options: u32) -> u8 {
        match self.version {
            Version::V2 => u8::try_from(options & 0xff).unwrap_or(0),
            Version::V3 => 0,
        }
    }

    /// Of summaries into `area`, others should have exactly `wanted` (RFC 2328 §12.4.3), which the route calculation decides.
    pub(crate) fn reconcile_summaries(&mut self, now: Instant, area: AreaId, wanted: Vec<LsaBody>, out: &mut Outbox) {
        if self.stopping || self.resuming() {
            return;
        }
        let home = Home::Area(area);
        let (prefix_kind, router_kind, adv) = (self.kinds().summary, self.kinds().asbr, self.router);
        let mut prefixes: BTreeSet<IpNet> = BTreeSet::new();
        let mut routers: BTreeSet<LsaKey> = BTreeSet::new();
        for body in wanted {
            match body {
                LsaBody::Summary(summary) => {
                    prefixes.insert(summary.prefix);
                    self.reconcile_summary(now, area, summary.prefix, Some(body), out);
                }
                LsaBody::AsbrSummary(summary) => {
                    routers.insert(LsaKey { kind: router_kind, id: summary.router.0, adv });
                    self.reconcile_boundary(now, area, summary.router, Some(body), out);
                }
                _ => {}
            }
        }
        let stale: Vec<IpNet> = self
            .own
            .ids
            .get(&(home, prefix_kind))
            .map(|ids| ids.prefixes().filter(|prefix| !prefixes.contains(prefix)).collect())
            .unwrap_or_default();
        for prefix in stale {
            self.reconcile_prefix(now, home, prefix_kind, prefix, None, out);
        }
        self.withdraw_others(now, home, &[router_kind], &routers, out);
    }

    /// Of a prefix of another area, `area` should hear this.
    pub(crate) fn reconcile_summary(
        &mut self,
        now: Instant,
        area: AreaId,
        prefix: IpNet,
        body: Option<LsaBody>,
        out: &mut Outbox,
    ) {
        let body = body.map(|body| (self.options(area), body));
        self.reconcile_prefix(now, Home::Area(area), self.kinds().summary, prefix, body, out);
    }

    /// Of a boundary router of another area, `area` should hear this.
    pub(crate) fn reconcile_boundary(
        &mut self,
        now: Instant,
        area: AreaId,
        router: RouterId,
        body: Option<LsaBody>,
        out: &mut Outbox,
    ) {
        let home = Home::Area(area);
        let key = LsaKey { kind: self.kinds().asbr, id: router.0, adv: self.router };
        match body {
            Some(body) => {
                let options = self.lsa_options(self.options(area));
                self.declare(now, home, key, options, body, out);
            }
            None => self.withdraw(now, home, key, out),
        }
    }
}

fn external(prefix: IpNet, route: &ExternalRoute, forwarding: Option<IpAddr>, prefix_options: u8) -> ExternalLsa {
    ExternalLsa {
        prefix,
        prefix_options,
        type2: route.type2,
        metric: route.metric.min(LS_INFINITY),
        forwarding,
        tag: route.tag,
        referenced: None,
    }
}
