//! Virtual links (RFC 2328 §15, RFC 5340 §4.7): interfaces of the backbone that come up when the route calculation finds their
//! far end, and go down when it no longer does.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use crate::id::{AreaId, InterfaceId, LsaKey, RouterId, Version};
use crate::lsa::{LinkKind, LsaBody, PREFIX_LA};
use crate::lsdb::Home;
use crate::message::Outbox;

use super::Instance;

/// How the far end of a virtual link is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VirtualPath {
    /// Packets leave on it.
    pub(crate) interface: InterfaceId,
    /// Our address in the transit area.
    pub(crate) from: IpAddr,
    /// The far end's.
    pub(crate) to: IpAddr,
    /// Cost through the transit area; from 65535 on the link is down (RFC 2328 §15).
    pub(crate) cost: u32,
}

impl Instance {
    /// The route calculation found, lost or changed the path of a virtual link.
    pub(crate) fn set_virtual_path(
        &mut self,
        now: Instant,
        transit: AreaId,
        endpoint: RouterId,
        path: Option<VirtualPath>,
        out: &mut Outbox,
    ) {
        let path = path.filter(|path| path.cost < u32::from(u16::MAX));
        let found = self.interfaces.values().find(|held| {
            held.virtual_end.as_ref().is_some_and(|end| (end.transit, end.endpoint) == (transit, endpoint))
        });
        let Some((id, before, up)) = found.map(|held| (held.id, held.far_end(), held.up)) else { return };
        let Some(path) = path else {
            if up {
                self.stop_interface(now, id, out);
            }
            if let Some(end) = self.interfaces.get_mut(&id).and_then(|held| held.virtual_end.as_mut()) {
                end.path = None;
            }
            self.own.dirty_area(transit); // bit V
            return;
        };
        if up && before != Some(path.to) {
            self.stop_interface(now, id, out);
        }
        let Some(held) = self.interfaces.get_mut(&id) else { return };
        let cost = u16::try_from(path.cost).unwrap_or(u16::MAX).max(1);
        let same = held.cost == cost;
        held.cost = cost;
        if let Some(end) = &mut held.virtual_end {
            end.path = Some((path.interface, path.from, path.to));
        }
        if !held.up {
            self.start_interface(now, id, out);
        } else if !same {
            self.own.dirty_area(AreaId::BACKBONE);
        }
    }

    /// How the far ends of virtual links are reached now (RFC 2328 §15).
    pub(super) fn find_virtual_ends(&mut self, now: Instant, out: &mut Outbox) {
        let ends: Vec<(AreaId, RouterId)> = self
            .interfaces
            .values()
            .filter_map(|held| held.virtual_end.as_ref().map(|end| (end.transit, end.endpoint)))
            .collect();
        for (transit, endpoint) in ends {
            let path = self.virtual_path(transit, endpoint);
            self.set_virtual_path(now, transit, endpoint, path, out);
        }
    }

    fn virtual_path(&self, transit: AreaId, endpoint: RouterId) -> Option<VirtualPath> {
        let (cost, hops) = self.routes().graph(transit)?.router(endpoint)?;
        let interface = self.routes().sets().get(hops).first()?.interface;
        let own = self.interfaces.get(&interface)?;
        let (from, to) = match self.version {
            Version::V2 => (own.source(Version::V2)?, self.address_of(transit, endpoint)?),
            Version::V3 => (self.global(transit, self.router)?, self.global(transit, endpoint)?),
        };
        Some(VirtualPath { interface, from, to, cost })
    }

    /// v2: an address that a router's LSA says it has in the area.
    fn address_of(&self, area: AreaId, router: RouterId) -> Option<IpAddr> {
        let key = LsaKey { kind: self.kinds().router, id: router.0, adv: router };
        let (_, entry) = self.db.lookup(Home::Area(area), &key).filter(|(_, entry)| !entry.flushing)?;
        let LsaBody::Router(lsa) = self.read(&entry.raw)? else { return None };
        let numbered = |kind| kind != LinkKind::Stub && kind != LinkKind::Virtual;
        let link = lsa.links.iter().find(|link| numbered(link.kind) && link.data > 0x00ff_ffff)?;
        Some(Ipv4Addr::from(link.data).into())
    }

    /// v3: an address of a router that the area knows (RFC 5340 §4.7).
    fn global(&self, area: AreaId, router: RouterId) -> Option<IpAddr> {
        let kind = self.kinds().prefixes?;
        let theirs = self.db.iter().map(|(_, entry)| entry).filter(|entry| {
            entry.home == Home::Area(area) && entry.key.adv == router && entry.key.kind == kind && !entry.flushing
        });
        theirs.filter_map(|entry| self.read(&entry.raw)).find_map(|body| match body {
            LsaBody::IntraAreaPrefix(lsa) => lsa
                .prefixes
                .iter()
                .find(|prefix| prefix.options & PREFIX_LA != 0 && prefix.prefix.prefix_len() == 128)
                .map(|prefix| IpAddr::V6(prefix.prefix.addr())),
            _ => None,
        })
    }
}
