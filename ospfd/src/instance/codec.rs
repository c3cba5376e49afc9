//! The edge to `wire` and `auth`: octets to packets and back, with what an interface requires of them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::auth::{self, Proof, Refused};
use crate::drops::Drop;
use crate::id::{AreaId, InterfaceId, RouterId, Version};
use crate::message::{Alarm, Outbox};
use crate::neighbor::NeighborState;
use crate::packet::Packet;
use crate::wire;

use super::Instance;

/// Between two alarms of wrong authentication on one interface.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

impl Instance {
    /// Who sent a packet, and into which area: both stand at the same place in both versions (RFC 2328 §A.3.1, RFC 5340
    /// §A.3.1). For finding the interface it is meant for; nothing of it is believed yet.
    pub(super) fn peek(&self, bytes: &Bytes) -> Option<(RouterId, AreaId)> {
        let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes);
        Some((RouterId(word(4)?), AreaId(word(8)?)))
    }

    /// Reads a packet that came in on `id`, if its authentication is right.
    pub(super) fn open(
        &mut self,
        now: Instant,
        id: InterfaceId,
        src: IpAddr,
        dst: IpAddr,
        bytes: &Bytes,
        out: &mut Outbox,
    ) -> Result<Packet, Drop> {
        let (router, _) = self.peek(bytes).ok_or(Drop::Malformed)?;
        let octet = |at: usize| bytes.get(at).copied().ok_or(Drop::Malformed);
        if octet(0)? != if self.version == Version::V2 { 2 } else { 3 } {
            return Err(Drop::Version);
        }
        // Other instances on the link have keys of their own.
        if self.version == Version::V3 && octet(14)? != self.config.instance_id {
            return Err(Drop::InstanceId);
        }
        let kind = octet(1)?;
        let interface = self.interfaces.get_mut(&id).ok_or(Drop::NoInterface)?;
        let proof = auth::check(self.version, bytes, src, &interface.config.auth)
            .and_then(|proof| interface.seen.take(router, kind, proof).map(|()| proof));
        let read = match proof {
            Ok(Proof::Weak) => wire::decode_packet(self.version, bytes, src, dst),
            Ok(Proof::Digest { .. }) => wire::decode_proven(self.version, bytes),
            Err(refused) => {
                let reason = refused.reason;
                self.on_refused(now, id, router, src, refused, out);
                return Err(reason);
            }
        };
        match read {
            Ok((packet, dropped)) => {
                if dropped.lsas > 0 {
                    self.drops.add(Drop::MalformedLsa, u64::from(dropped.lsas));
                    if let Some(interface) = self.interfaces.get_mut(&id) {
                        interface.drops.add(Drop::MalformedLsa, u64::from(dropped.lsas));
                    }
                }
                Ok(packet)
            }
            Err(wire::DecodeError::Checksum) => Err(Drop::Checksum),
            Err(wire::DecodeError::Version) => Err(Drop::Version),
            Err(_) => Err(Drop::Malformed),
        }
    }

    /// Somebody's authentication is wrong: said where people look for it, and raised once in a while, whoever says he is whom.
    fn on_refused(
        &mut self,
        now: Instant,
        id: InterfaceId,
        router: RouterId,
        src: IpAddr,
        refused: Refused,
        out: &mut Outbox,
    ) {
        let text = refused.text;
        let known = self.find_neighbor(id, router, src).and_then(|number| self.neighbor_mut(number));
        match known {
            Some(neighbor) if neighbor.state == NeighborState::Full => {}
            Some(neighbor) => neighbor.obstacle = Some(text.clone()),
            None => {
                if let Some(interface) = self.interfaces.get_mut(&id) {
                    interface.obstacle = Some(format!("{router} at {src}: {text}"));
                }
            }
        }
        let Some(interface) = self.interfaces.get_mut(&id) else { return };
        if interface.refused.is_none_or(|last| now >= last + REFUSED_PAUSE) {
            interface.refused = Some(now);
            let alarm = Alarm::Authentication { interface: id, address: src, router, reason: text };
            self.raise(now, alarm, out);
        }
    }

    /// Writes a packet that goes out of `id`.
    pub(super) fn seal(&mut self, id: InterfaceId, packet: Packet, src: IpAddr, dst: IpAddr) -> Option<Bytes> {
        let key = self.interfaces.get(&id)?.config.auth.first();
        Some(auth::seal(self.version, packet, src, dst, key, &mut self.sequence))
    }
}
