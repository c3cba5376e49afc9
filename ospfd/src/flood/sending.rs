//! What was queued for interfaces and neighbors goes out, paced by their acknowledgments, and again if none comes (RFC 2328 §13.6).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::id::InterfaceId;
use crate::instance::{Instance, Timer};
use crate::lsa::{Lsa, LsaBody, MAX_AGE};
use crate::lsdb::Slot;
use crate::message::Outbox;
use crate::neighbor::Sent;
use crate::packet::Body;

/// Octets of LSAs on their way to one neighbor that it has not acknowledged; more wait until it has. Half of a default
/// socket buffer, so that a burst is not lost there and retransmitted seconds later.
const WINDOW_BYTES: usize = 96 * 1024;
/// Rest of a retransmission that did not fit into the window.
const RETRANSMIT_PAUSE: Duration = Duration::from_millis(100);

impl Instance {
    /// Where floods and delayed acknowledgments of an interface go: a group, or every adjacent neighbor.
    pub(super) fn flood_targets(&self, id: InterfaceId) -> Vec<IpAddr> {
        let Some(interface) = self.interfaces.get(&id) else { return Vec::new() };
        if interface.groups() {
            return vec![self.flood_group(interface)];
        }
        self.neighbors_on(interface).filter(|neighbor| neighbor.floods()).map(|neighbor| neighbor.address).collect()
    }

    /// Sends what was queued on interfaces, as far as neighbors keep up.
    pub(crate) fn flush_busy(&mut self, now: Instant, out: &mut Outbox) {
        for id in std::mem::take(&mut self.busy) {
            self.flush_interface(now, id, out);
        }
    }

    fn flush_interface(&mut self, now: Instant, id: InterfaceId, out: &mut Outbox) {
        let Some(interface) = self.interfaces.get(&id) else { return };
        if interface.flood.is_empty() {
            return;
        }
        let numbers = interface.neighbors.clone();
        let groups = interface.groups();
        // The slowest sets the pace; who does not acknowledge at all is left to retransmission, which empties its window.
        let outstanding = |held: &Self| {
            numbers.iter().filter_map(|number| held.neighbor(*number)).map(|held| held.unacked_bytes).max().unwrap_or(0)
        };
        while outstanding(self) < WINDOW_BYTES {
            let mut batch: Vec<Slot> = Vec::new();
            let mut size = 0;
            while size < WINDOW_BYTES / 4 {
                let Some(interface) = self.interfaces.get_mut(&id) else { return };
                let Some((slot, seq)) = interface.flood.pop_front() else { break };
                let Some(entry) = self.db.get(slot).filter(|entry| entry.seq == seq) else { continue };
                if !numbers.iter().any(|number| entry.pending.contains(*number)) {
                    continue; // everybody has it already
                }
                size += usize::from(entry.length);
                batch.push(slot);
            }
            if batch.is_empty() {
                return;
            }
            for number in &numbers {
                let bytes: usize = batch
                    .iter()
                    .filter_map(|slot| self.db.get(*slot))
                    .filter(|entry| entry.pending.contains(*number))
                    .map(|entry| usize::from(entry.length))
                    .sum();
                let Some(neighbor) = self.neighbor_mut(*number).filter(|_| bytes > 0) else { continue };
                neighbor.unacked_bytes += bytes;
                let address = neighbor.address;
                if !groups {
                    let theirs: Vec<Slot> = batch
                        .iter()
                        .copied()
                        .filter(|slot| self.db.get(*slot).is_some_and(|entry| entry.pending.contains(*number)))
                        .collect();
                    self.send_updates(now, id, address, &theirs, out);
                }
            }
            if groups && let Some(dst) = self.interfaces.get(&id).map(|interface| self.flood_group(interface)) {
                self.send_updates(now, id, dst, &batch, out);
            }
        }
    }

    /// Sends LSAs in as few packets as they fit into.
    pub(crate) fn send_updates(
        &mut self,
        now: Instant,
        id: InterfaceId,
        dst: IpAddr,
        slots: &[Slot],
        out: &mut Outbox,
    ) {
        let Some(interface) = self.interfaces.get(&id) else { return };
        let room = self.update_room(interface);
        let delay = u16::try_from(interface.config.transmit_delay.as_secs()).unwrap_or(1).max(1);
        let mut lsas: Vec<Lsa> = Vec::new();
        let mut size = 0;
        let now_ms = self.db.ms(now);
        for slot in slots {
            if let Some(entry) = self.db.get_mut(*slot) {
                entry.sent_ms = now_ms;
            }
            let Some(entry) = self.db.get(*slot) else { continue };
            let mut header = self.db.header(now, entry);
            header.age = header.age.saturating_add(delay).min(MAX_AGE);
            let mut raw = entry.raw.to_vec();
            if let Some(age) = raw.get_mut(..2) {
                age.copy_from_slice(&header.age.to_be_bytes());
            }
            if size + raw.len() > room && !lsas.is_empty() {
                self.send(id, dst, Body::LinkStateUpdate(std::mem::take(&mut lsas)), out);
                size = 0;
            }
            size += raw.len();
            lsas.push(Lsa { header, body: LsaBody::Opaque(Bytes::new()), raw: raw.into() });
        }
        if !lsas.is_empty() {
            self.send(id, dst, Body::LinkStateUpdate(lsas), out);
        }
    }

    /// What a neighbor did not acknowledge is sent to it again (RFC 2328 §13.6).
    pub(crate) fn on_retransmit_timer(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        let Some(interface) = self.interfaces.get(&neighbor.interface) else { return };
        let (id, dst) = (neighbor.interface, self.towards(interface, neighbor.address));
        let interval = interface.config.retransmit_interval;
        let mut slots: Vec<Slot> = Vec::new();
        let (mut size, mut full) = (0, false);
        for soon in [true, false] {
            loop {
                let Some(neighbor) = self.neighbor_mut(number) else { return };
                let queue = if soon { &mut neighbor.sent_soon } else { &mut neighbor.sent };
                let Some(sent) = queue.front().copied() else { break };
                let live = self
                    .db
                    .get(sent.slot)
                    .is_some_and(|entry| entry.seq.0 == sent.seq && entry.pending.contains(number));
                full = size >= WINDOW_BYTES;
                if live && (sent.due > now || full) {
                    break;
                }
                let Some(neighbor) = self.neighbor_mut(number) else { return };
                let queue = if soon { &mut neighbor.sent_soon } else { &mut neighbor.sent };
                queue.pop_front();
                if live {
                    size += sent.bytes as usize;
                    slots.push(sent.slot);
                    neighbor.sent.push_back(Sent { due: now + interval, ..sent });
                    neighbor.retransmissions += 1;
                }
            }
        }
        let Some(neighbor) = self.neighbor_mut(number) else { return };
        if !slots.is_empty() {
            neighbor.unacked_bytes = size;
        }
        let next = [neighbor.sent.front(), neighbor.sent_soon.front()].into_iter().flatten().map(|sent| sent.due).min();
        if let Some(next) = next {
            let at = if full { now + RETRANSMIT_PAUSE } else { next.max(now + Duration::from_millis(1)) };
            self.timers.set(Timer::Retransmit(number), at);
        }
        self.send_updates(now, id, dst, &slots, out);
        self.busy.insert(id);
    }
}
