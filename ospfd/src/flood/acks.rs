//! Acknowledgments: who owes one (RFC 2328 §13.7), and what is acknowledged together (§13.5).

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use crate::drops::Drop;
use crate::id::{InterfaceId, SequenceNumber};
use crate::instance::{Instance, Timer};
use crate::lsa::{LsaHeader, MAX_AGE};
use crate::lsdb::bits::Bits;
use crate::lsdb::{Home, Slot, compare};
use crate::message::Outbox;
use crate::neighbor::{NeighborState, Sent};
use crate::wire;

/// So long we wait for a word from a Designated Router about what it should know already.
const PROMPT: Duration = Duration::from_millis(300);
/// After MinLSArrival an instance that was refused for it is taken (RFC 2328 §13 5a).
const SOON: Duration = Duration::from_millis(1010);

impl Instance {
    /// Nobody owes an acknowledgment of what is in `slot` any more, because it will be something else.
    pub(super) fn forget_owed(&mut self, slot: Slot) {
        let Some(entry) = self.db.get_mut(slot) else { return };
        let length = entry.length;
        let pending = std::mem::take(&mut entry.pending);
        self.no_longer_owed(&pending, length);
    }

    pub(super) fn no_longer_owed(&mut self, pending: &Bits, length: u16) {
        for number in pending.iter() {
            if let Some(neighbor) = self.neighbor_mut(number) {
                neighbor.settle(usize::from(length));
            }
        }
    }

    /// A neighbor owes an acknowledgment of what is in `slot`; if it should have come already, it is sent it soon.
    pub(crate) fn owe(&mut self, now: Instant, slot: Slot, number: u32, overdue: bool) {
        let Some(interface) = self.neighbor(number).and_then(|neighbor| self.interfaces.get(&neighbor.interface))
        else {
            return;
        };
        let interval = interface.config.retransmit_interval;
        let arrival_ms = i64::try_from(self.config.pacing.min_arrival.as_millis()).unwrap_or(i64::MAX);
        let Some(entry) = self.db.get_mut(slot) else { return };
        if !entry.pending.insert(number) {
            return;
        }
        let soon = entry.since_last_ms < arrival_ms && interval > SOON;
        let early = soon || overdue;
        let due = now
            + if soon {
                SOON
            } else if overdue {
                PROMPT
            } else {
                interval
            };
        let sent = Sent { slot, seq: entry.seq.0, due, bytes: u32::from(entry.length) };
        if let Some(neighbor) = self.neighbor_mut(number) {
            neighbor.unacked += 1;
            if early {
                let at = neighbor.sent_soon.partition_point(|other| other.due <= due);
                neighbor.sent_soon.insert(at, sent);
            } else {
                neighbor.sent.push_back(sent);
            }
        }
        self.timers.set_earlier(Timer::Retransmit(number), due);
    }

    /// Takes an acknowledgment of what is in `slot`; false if none was owed.
    pub(super) fn acknowledged(&mut self, slot: Slot, number: u32) -> bool {
        let Some(entry) = self.db.get_mut(slot) else { return false };
        if !entry.pending.remove(number) {
            return false;
        }
        let (length, done) = (usize::from(entry.length), entry.flushing && entry.pending.is_empty());
        if done {
            self.flushing.ready.push(slot);
        }
        if let Some(neighbor) = self.neighbor_mut(number) {
            neighbor.settle(length);
            let id = neighbor.interface;
            if self.interfaces.get(&id).is_some_and(|interface| !interface.flood.is_empty()) {
                self.busy.insert(id);
            }
        }
        true
    }

    /// Acknowledgments came (RFC 2328 §13.7).
    pub(crate) fn on_acks(&mut self, now: Instant, number: u32, headers: &[LsaHeader], out: &mut Outbox) {
        let Some(neighbor) = self.neighbor(number) else { return };
        let id = neighbor.interface;
        if neighbor.state < NeighborState::Exchange {
            return self.drop_on(id, Drop::WrongState);
        }
        for header in headers {
            let Some(home) = self.home_of(id, header.key.kind) else { continue };
            let Some((slot, entry)) = self.db.lookup(home, &header.key) else { continue };
            let (held, own) = (self.db.header(now, entry), entry.own);
            match compare(header, &held) {
                Ordering::Equal => {
                    self.acknowledged(slot, number);
                }
                Ordering::Greater if own => self.on_lie_acked(now, number, home, slot, header, out),
                Ordering::Greater | Ordering::Less => {}
            }
        }
        self.on_acknowledged(now, number);
    }

    /// A neighbor acknowledges a newer instance than ours of what we say ourselves. Somebody told it that in our name, so it will not
    /// send it to us, and without a word the lie would stay until the next refresh (RFC 2328 §13.4). The last number may be
    /// acknowledged late, when what ended with it has begun anew.
    fn on_lie_acked(&mut self, now: Instant, number: u32, home: Home, slot: Slot, acked: &LsaHeader, out: &mut Outbox) {
        if self.resuming() || self.fought_lately(now, home, &acked.key) {
            return;
        }
        if acked.seq == SequenceNumber::MAX && acked.age < MAX_AGE {
            // Its end must be newer than it, which takes its content: the neighbor answers ours with it (§13 (8)).
            return self.send_ours(now, number, home, &acked.key, out);
        }
        // Of the others the number is enough to go beyond them.
        let Some(body) = self.db.get(slot).and_then(|entry| self.read(&entry.raw)) else { return };
        let lsa = wire::encode_lsa(self.version, *acked, &body);
        self.before_foreign_own(now, home, &lsa, out);
        let Some(slot) = self.install(now, home, &lsa, true, number, out) else { return };
        self.flood(now, slot, None, out);
        self.answer_foreign_own(now, home, slot, out);
    }

    /// An acknowledgment that may wait a little for company.
    pub(super) fn ack_later(&mut self, now: Instant, id: InterfaceId, header: LsaHeader, out: &mut Outbox) {
        let delay = self.config.pacing.ack_delay;
        let Some(interface) = self.interfaces.get(&id) else { return };
        let room = self.headers_room(interface);
        let Some(interface) = self.interfaces.get_mut(&id) else { return };
        interface.acks.push(header);
        if interface.acks.len() >= room {
            self.flush_acks(id, out);
        } else {
            self.timers.set_earlier(Timer::Acks(id), now + delay);
        }
    }

    /// Sends what waits for company.
    pub(crate) fn flush_acks(&mut self, id: InterfaceId, out: &mut Outbox) {
        self.timers.cancel(Timer::Acks(id));
        let Some(interface) = self.interfaces.get_mut(&id) else { return };
        let headers = std::mem::take(&mut interface.acks);
        if headers.is_empty() {
            return;
        }
        for dst in self.flood_targets(id) {
            self.send_acks(id, dst, &headers, out);
        }
    }

    /// A neighbor will not acknowledge anything any more.
    pub(crate) fn forget_pending(&mut self, number: u32) {
        let owing = self.neighbor(number).is_some_and(|neighbor| neighbor.unacked > 0);
        if let Some(neighbor) = self.neighbor_mut(number) {
            (neighbor.unacked, neighbor.unacked_bytes) = (0, 0);
        }
        if owing {
            self.flushing.ready.extend(self.db.forget_pending(number));
        }
    }
}
