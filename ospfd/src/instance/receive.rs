//! Packets in: may it be taken, whom is it from, which machine is it for (RFC 2328 §8.2, RFC 5340 §4.2.2). What is not
//! taken is counted by its reason and changes nothing.

use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;

use crate::drops::Drop;
use crate::id::{AreaId, InterfaceId, Version};
use crate::interface::Interface;
use crate::message::{Alarm, Outbox};
use crate::neighbor::NeighborState;
use crate::packet::{Body, Packet};

use super::Instance;

impl Instance {
    #[allow(clippy::too_many_arguments)] // the fields of one input
    pub(super) fn on_packet(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        src: IpAddr,
        dst: IpAddr,
        ttl: Option<u8>,
        bytes: &Bytes,
        out: &mut Outbox,
    ) {
        let (id, packet) = match self.admit(now, interface, src, dst, ttl, bytes, out) {
            Ok(admitted) => admitted,
            Err(reason) => {
                if reason == Drop::Area {
                    self.on_other_area(now, interface, src, dst, bytes, out);
                }
                return self.drop_on(interface, reason);
            }
        };
        let router = packet.router;
        let body = match packet.body {
            Body::Hello(hello) => return self.on_hello(now, id, router, src, &hello, out),
            body => body,
        };
        let Some(number) = self.find_neighbor(id, router, src) else { return self.drop_on(id, Drop::UnknownNeighbor) };
        if self.neighbor(number).is_none_or(|held| held.router != router || held.state < NeighborState::Init) {
            return self.drop_on(id, Drop::UnknownNeighbor);
        }
        match body {
            Body::Hello(_) => {}
            Body::DatabaseDescription(dd) => self.on_description(now, number, &dd, out),
            Body::LinkStateRequest(keys) => self.on_requests(now, number, &keys, out),
            Body::LinkStateUpdate(lsas) => self.on_update(now, number, lsas, out),
            Body::LinkStateAck(headers) => self.on_acks(now, number, &headers, out),
        }
    }

    /// Somebody on the link takes it for another area than we do. Those who speak another instance may (RFC 5340 §2.4).
    fn on_other_area(
        &mut self,
        now: Instant,
        id: InterfaceId,
        src: IpAddr,
        dst: IpAddr,
        bytes: &Bytes,
        out: &mut Outbox,
    ) {
        let Some(ours) = self.interfaces.get(&id).filter(|held| held.speaks()).map(Interface::area) else { return };
        let Ok(Packet { router, area: theirs, body: Body::Hello(_), .. }) = self.open(now, id, src, dst, bytes, out)
        else {
            return;
        };
        let text = format!("it has this link in area {theirs}, we have it in {ours}: set the same on both");
        self.obstruct(now, id, router, src, text, out);
    }

    /// The interface a packet is for, which may be a virtual link, and its contents.
    #[allow(clippy::too_many_arguments)] // the fields of one input
    fn admit(
        &mut self,
        now: Instant,
        id: InterfaceId,
        src: IpAddr,
        dst: IpAddr,
        ttl: Option<u8>,
        bytes: &Bytes,
        out: &mut Outbox,
    ) -> Result<(InterfaceId, Packet), Drop> {
        if self.stopping {
            return Err(Drop::NoInterface);
        }
        let (router, area) = self.peek(bytes).ok_or(Drop::Malformed)?;
        let physical = self.interfaces.get(&id).filter(|held| held.speaks() && held.area() == area);
        let interface = match physical {
            Some(interface) => interface,
            // RFC 2328 §8.2: from the far end of a virtual link, through its transit area.
            None if area == AreaId::BACKBONE => {
                let transit = self.interfaces.get(&id).map(Interface::area).ok_or(Drop::NoInterface)?;
                let found = self.interfaces.values().find(|held| {
                    held.up
                        && held.virtual_end.as_ref().is_some_and(|end| end.endpoint == router && end.transit == transit)
                });
                found.filter(|_| !dst.is_multicast()).ok_or(Drop::Area)?
            }
            None if self.interfaces.get(&id).is_some_and(Interface::speaks) => return Err(Drop::Area),
            None => return Err(Drop::NoInterface),
        };
        let id = interface.id;
        if interface.config.ttl_security && !interface.is_virtual() && ttl.is_some_and(|ttl| ttl != 255) {
            return Err(Drop::Ttl);
        }
        if interface.source(self.version) == Some(src) {
            return Err(Drop::OwnPacket);
        }
        if dst == self.designated_routers() && !interface.designated() {
            return Err(Drop::NotDesignated);
        }
        // RFC 2328 §8.2: from the same subnet; on point-to-point links anything goes.
        if let (Version::V2, IpAddr::V4(address)) = (self.version, src)
            && !interface.point_to_point()
            && !interface.on_subnet(address)
        {
            return Err(Drop::Subnet);
        }
        let packet = self.open(now, id, src, dst, bytes, out)?;
        if packet.router == self.router {
            let local = self.links.values().any(|(link, _)| {
                link.addresses.iter().any(|net| net.addr() == src) || link.link_local.map(IpAddr::V6) == Some(src)
            });
            if local {
                return Err(Drop::OwnPacket);
            }
            let alarm = Alarm::DuplicateRouterId { interface: id, address: src, router: packet.router };
            if let Some(interface) = self.interfaces.get_mut(&id) {
                interface.obstacle = Some(format!("{src} has our router id {}: give one of us another", packet.router));
            }
            self.raise(now, alarm, out);
            return Err(Drop::DuplicateRouterId);
        }
        if packet.router.0 == 0 {
            return Err(Drop::Malformed);
        }
        Ok((id, packet))
    }
}
