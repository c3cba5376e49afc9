//! Packets out: whom they go to (RFC 2328 §8.1, RFC 5340 §4.2.1), what options they carry, how much fits.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::{AreaKind, NetworkType};
use crate::id::{AreaId, InterfaceId, Version};
use crate::interface::{Interface, InterfaceState};
use crate::lsa::{HEADER_LEN, LsaHeader};
use crate::message::{Outbox, Output};
use crate::packet::{Body, OPTION_E, OPTION_N, OPTION_R, OPTION_V6, Packet};

use super::Instance;

/// Octets of an LSA's name in a request, in both versions.
const REQUEST_LEN: usize = 12;

impl Instance {
    /// AllSPFRouters.
    pub(crate) fn all_routers(&self) -> IpAddr {
        match self.version {
            Version::V2 => Ipv4Addr::new(224, 0, 0, 5).into(),
            Version::V3 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 5).into(),
        }
    }

    /// AllDRouters.
    pub(crate) fn designated_routers(&self) -> IpAddr {
        match self.version {
            Version::V2 => Ipv4Addr::new(224, 0, 0, 6).into(),
            Version::V3 => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 6).into(),
        }
    }

    /// What we can do, as said in the hellos and LSAs of an area (RFC 2328 §A.2, RFC 5340 §A.2).
    pub(crate) fn options(&self, area: AreaId) -> u32 {
        let kind = match self.area_kind(area) {
            AreaKind::Normal => OPTION_E,
            AreaKind::Stub => 0,
            AreaKind::Nssa => OPTION_N,
        };
        match self.version {
            Version::V2 => kind,
            Version::V3 => kind | OPTION_V6 | OPTION_R,
        }
    }

    /// Where packets to one neighbor go: on point-to-point links to the group, so that no address must be resolved and
    /// unnumbered links work (RFC 2328 §8.1).
    pub(crate) fn towards(&self, interface: &Interface, address: IpAddr) -> IpAddr {
        if !interface.is_virtual() && interface.config.network == NetworkType::PointToPoint {
            self.all_routers()
        } else {
            address
        }
    }

    /// The group that floods and delayed acknowledgments go to (RFC 2328 §13.3, §13.5).
    pub(crate) fn flood_group(&self, interface: &Interface) -> IpAddr {
        let everybody =
            matches!(interface.state, InterfaceState::Dr | InterfaceState::Backup | InterfaceState::PointToPoint);
        if everybody { self.all_routers() } else { self.designated_routers() }
    }

    /// Octets of an OSPF packet header.
    fn header_len(&self) -> usize {
        match self.version {
            Version::V2 => 24,
            Version::V3 => 16,
        }
    }

    /// Octets of LSAs that fit into an update on this interface.
    pub(crate) fn update_room(&self, interface: &Interface) -> usize {
        interface.payload_max(self.version).saturating_sub(self.header_len() + 4)
    }

    /// Headers that fit into an acknowledgment or a description.
    pub(crate) fn headers_room(&self, interface: &Interface) -> usize {
        (interface.payload_max(self.version).saturating_sub(self.header_len() + 12) / HEADER_LEN).max(1)
    }

    /// Names that fit into a request.
    pub(crate) fn requests_room(&self, interface: &Interface) -> usize {
        (interface.payload_max(self.version).saturating_sub(self.header_len()) / REQUEST_LEN).max(1)
    }

    /// Acknowledges `headers` to one address or group.
    pub(crate) fn send_acks(&mut self, id: InterfaceId, dst: IpAddr, headers: &[LsaHeader], out: &mut Outbox) {
        let Some(room) = self.interfaces.get(&id).map(|interface| self.headers_room(interface)) else { return };
        for chunk in headers.chunks(room) {
            self.send(id, dst, Body::LinkStateAck(chunk.to_vec()), out);
        }
    }

    /// Sends one packet out of `id`.
    pub(crate) fn send(&mut self, id: InterfaceId, dst: IpAddr, body: Body, out: &mut Outbox) {
        let Some(interface) = self.interfaces.get(&id) else { return };
        let Some(src) = interface.source(self.version) else { return };
        let packet = Packet { router: self.router, area: interface.area(), instance_id: self.config.instance_id, body };
        let ttl = if interface.is_virtual() || interface.config.ttl_security { 255 } else { 1 };
        let first = interface.virtual_end.as_ref().and_then(|end| end.path).map_or(id, |(first, _, _)| first);
        let Some(bytes) = self.seal(id, packet, src, dst) else { return };
        out.push(Output::Send { interface: first, src, dst, ttl, bytes });
    }
}
