//! What the calculation makes us say: summaries into each area (RFC 2328 §12.4.3), type-7 LSAs of NSSAs as type 5 (RFC 3101
//! §3.2). Only what changed is looked at, unless areas did.

use std::collections::BTreeMap;
use std::time::Instant;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::config::{AreaConfig, AreaKind};
use crate::id::{AreaId, RouterId};
use crate::instance::Instance;
use crate::lsa::{ExternalLsa, LsaBody, PREFIX_P};
use crate::lsdb::{Home, Slot};
use crate::message::Outbox;
use crate::packet::{OPTION_E, OPTION_N};
use crate::routes::{Outcome, Telling};
use crate::view::Vertex;

impl Instance {
    /// Brings what we tell our areas of each other up to date.
    pub(super) fn tell_areas(&mut self, now: Instant, outcome: &Outcome, out: &mut Outbox) {
        if std::mem::take(&mut self.routing.summaries) || outcome.all {
            let areas: Vec<AreaId> = self.routes().attached().keys().copied().collect();
            for area in areas {
                let bodies = self.routes().summaries(area);
                self.reconcile_summaries(now, area, bodies, out);
            }
            return;
        }
        for telling in self.routes().tellings(outcome) {
            match telling {
                Telling::Prefix(area, prefix, body) => self.reconcile_summary(now, area, prefix, body, out),
                Telling::Boundary(area, router, body) => self.reconcile_boundary(now, area, router, body, out),
            }
        }
    }

    /// Type-7 LSAs of our NSSAs that go on as type 5, if it is for us to translate (RFC 3101 §3), and the default route of
    /// NSSAs (§2.7).
    pub(super) fn translate(&mut self, now: Instant, out: &mut Outbox) {
        let kind_is = |kind: AreaKind| move |(_, config): &(&AreaId, &AreaConfig)| config.kind == kind;
        let attached = || self.routes().attached().iter();
        let nssas: Vec<AreaConfig> =
            attached().filter(kind_is(AreaKind::Nssa)).map(|(_, config)| config.clone()).collect();
        if nssas.is_empty() && !self.routing.translates() {
            return;
        }
        let normal = attached().any(|area| kind_is(AreaKind::Normal)(&area));
        let border = self.routes().border();
        let mut wanted: BTreeMap<IpNet, ExternalLsa> = BTreeMap::new();
        for config in &nssas {
            let default = (border && !config.no_summary).then_some(config.default_cost);
            self.nssa_default(now, config.id, default, out);
        }
        let translating: Vec<AreaId> = nssas
            .iter()
            .filter(|config| border && normal && self.translator(config.id, config.always_translate))
            .map(|config| config.id)
            .collect();
        for slot in self.routes().nssa() {
            let Some((options, lsa)) = self.translatable(Slot(slot), &translating) else { continue };
            let propagates = u32::from(options) & OPTION_N != 0 || lsa.prefix_options & PREFIX_P != 0;
            // Only what is the way we go ourselves (§3.2).
            let used = self.routes().path(&lsa.prefix).is_some_and(|path| path.rank == 0 && !path.inside());
            if propagates && lsa.forwarding.is_some() && used && self.external_route(&lsa.prefix).is_none() {
                let better = wanted.get(&lsa.prefix).is_none_or(|held| lsa.metric < held.metric);
                if better {
                    wanted.insert(lsa.prefix, ExternalLsa { prefix_options: 0, ..lsa });
                }
            }
        }
        let kind = self.kinds().external;
        let stale: Vec<IpNet> =
            self.routing.translated.iter().filter(|net| !wanted.contains_key(net)).copied().collect();
        for prefix in stale {
            if self.external_route(&prefix).is_none() {
                self.reconcile_prefix(now, Home::As, kind, prefix, None, out);
            }
        }
        self.routing.translated = wanted.keys().copied().collect();
        for (prefix, lsa) in wanted {
            self.reconcile_prefix(now, Home::As, kind, prefix, Some((OPTION_E, LsaBody::External(lsa))), out);
        }
    }

    /// Another router's type-7 LSA of one of these areas, with the options of its header.
    fn translatable(&self, slot: Slot, areas: &[AreaId]) -> Option<(u8, ExternalLsa)> {
        let entry = self.db.get(slot)?;
        let Home::Area(area) = entry.home else { return None };
        if entry.key.adv == self.router || !areas.contains(&area) {
            return None;
        }
        match self.read(&entry.raw)? {
            LsaBody::External(lsa) => Some((entry.options, lsa)),
            _ => None,
        }
    }

    /// Whether we translate for an NSSA: always, or as its border router with the highest id if nobody does always (§3.1).
    fn translator(&self, area: AreaId, always: bool) -> bool {
        let Some(graph) = self.routes().graph(area) else { return false };
        let others = |router: RouterId, number| {
            let flags = graph.flags(number);
            router == self.router || !flags.border || (router < self.router && !flags.translator)
        };
        always
            || graph.tree().all(|(number, vertex, ..)| match vertex {
                Vertex::Router(router) => others(router, number),
                Vertex::Network(..) => true,
            })
    }

    fn nssa_default(&mut self, now: Instant, area: AreaId, cost: Option<u32>, out: &mut Outbox) {
        let prefix = if self.is_v2() { IpNet::V4(Ipv4Net::default()) } else { IpNet::V6(Ipv6Net::default()) };
        if self.external_route(&prefix).is_some() {
            return;
        }
        let body = cost.map(|metric| {
            let lsa = ExternalLsa {
                prefix,
                prefix_options: 0,
                type2: false,
                metric,
                forwarding: None,
                tag: 0,
                referenced: None,
            };
            (0, LsaBody::External(lsa))
        });
        self.reconcile_prefix(now, Home::Area(area), self.kinds().nssa, prefix, body, out);
    }
}
