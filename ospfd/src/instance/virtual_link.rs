//! Virtual links (RFC 2328 §15, RFC 5340 §4.7): interfaces of the backbone that come up when the route calculation finds their
//! far end, and go down when it no longer does.

use std::net::IpAddr;
use std::time::Instant;

use crate::id::{AreaId, InterfaceId, RouterId};
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
}
