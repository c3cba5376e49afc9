//! The edge to `wire`: octets to packets and back, with what an interface requires of them.

use std::net::IpAddr;

use bytes::Bytes;

use crate::drops::Drop;
use crate::id::{AreaId, InterfaceId, RouterId, Version};
use crate::interface::Interface;
use crate::packet::Packet;
use crate::wire;

use super::Instance;

impl Instance {
    /// Who sent a packet, and into which area: both stand at the same place in both versions (RFC 2328 §A.3.1, RFC 5340
    /// §A.3.1). For finding the interface it is meant for; nothing of it is believed yet.
    pub(super) fn peek(&self, bytes: &Bytes) -> Option<(RouterId, AreaId)> {
        let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes);
        Some((RouterId(word(4)?), AreaId(word(8)?)))
    }

    /// Reads a packet that came in on `id`.
    pub(super) fn open(&mut self, id: InterfaceId, src: IpAddr, dst: IpAddr, bytes: &Bytes) -> Result<Packet, Drop> {
        match wire::decode_packet(self.version, bytes, src, dst) {
            Ok((packet, dropped)) => {
                if dropped.lsas > 0 {
                    self.drops.add(Drop::MalformedLsa, u64::from(dropped.lsas));
                    if let Some(interface) = self.interfaces.get_mut(&id) {
                        interface.drops.add(Drop::MalformedLsa, u64::from(dropped.lsas));
                    }
                }
                if self.version == Version::V3 && packet.instance_id != self.config.instance_id {
                    return Err(Drop::InstanceId);
                }
                Ok(packet)
            }
            Err(wire::DecodeError::Checksum) => Err(Drop::Checksum),
            Err(wire::DecodeError::Version) => Err(Drop::Version),
            Err(_) => Err(Drop::Malformed),
        }
    }

    /// Writes a packet that goes out of `interface`.
    pub(super) fn seal(&self, _interface: &Interface, packet: &Packet, src: IpAddr, dst: IpAddr) -> Option<Bytes> {
        Some(wire::encode_packet(self.version, packet, src, dst))
    }
}
