//! Graceful restart (RFC 3623, RFC 5187): we keep a neighbor that restarts, and come back ourselves without anybody routing
//! around us.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use crate::id::{InterfaceId, LsaKey, LsaType, RouterId, SequenceNumber, Version};
use crate::instance::{Instance, Timer};
use crate::interface::{Interface, InterfaceState};
use crate::lsa::{LinkKind, Lsa, LsaBody, LsaHeader, MAX_AGE, RouterLink};
use crate::lsdb::{Home, Slot};
use crate::message::{Event, Outbox, Output};
use crate::neighbor::NeighborState;
use crate::packet::Body;
use crate::wire;

/// v3's grace-LSA (RFC 5187 §2.2): link scope.
const GRACE_V3: LsaType = LsaType(0x000b);
/// v2's: opaque, link scope, opaque type 3 (RFC 3623 §A).
const GRACE_V2: LsaType = LsaType(9);
const GRACE_V2_ID: u32 = 3 << 24;
/// So long the carrier waits for acknowledgments of our grace-LSAs.
const READY_WAIT: Duration = Duration::from_secs(3);
/// Reasons in our grace-LSAs (RFC 3623 §A): unknown, and a software restart.
const REASON_UNKNOWN: u8 = 0;
const REASON_SOFTWARE: u8 = 1;
/// Externals of the last life are not flushed before so long after the end of a restart: what is redistributed may come from
/// protocols that need their time, too.
const EXTERNALS_WAIT: Duration = Duration::from_secs(30);
/// A grace-LSA before our first hello cannot be acknowledged, so it goes out more than once.
const ASKED_TIMES: usize = 2;

/// A neighbor that we help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Help {
    pub(crate) until: Instant,
}

/// Our own restart.
#[derive(Debug, Default)]
pub(crate) struct Restart {
    /// Grace-LSAs are out, and the carrier waits for their acknowledgments.
    pub(crate) preparing: bool,
    /// We are back, and say nothing of ourselves until everybody is adjacent again or this time has come.
    pub(crate) until: Option<Instant>,
    /// What the last life left in others' databases must still be flushed if it is no longer true.
    pub(crate) sweep: bool,
    /// The last life left external routes, and others are left them until those of this one have been told.
    pub(crate) externals: bool,
}

/// What a grace-LSA says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grace {
    period: Duration,
    /// v2: who restarts, on networks with several routers.
    address: Option<u32>,
}

fn is_grace(version: Version, key: &LsaKey) -> bool {
    match version {
        Version::V2 => key.kind == GRACE_V2 && key.id >> 24 == 3,
        Version::V3 => key.kind == GRACE_V3,
    }
}

/// Reads the TLVs of a grace-LSA; `None` if the grace period is missing or a length is wrong.
fn read_grace(mut body: &[u8]) -> Option<Grace> {
    let (mut period, mut address) = (None, None);
    while let Some((head, rest)) = body.split_first_chunk::<4>() {
        let [t0, t1, l0, l1] = *head;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let value = rest.get(..length)?;
        match (u16::from_be_bytes([t0, t1]), <[u8; 4]>::try_from(value)) {
            (1, Ok(secs)) => period = Some(Duration::from_secs(u64::from(u32::from_be_bytes(secs)))),
            (3, Ok(bits)) => address = Some(u32::from_be_bytes(bits)),
            _ => {}
        }
        body = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(Grace { period: period?, address })
}

fn write_grace(period: Duration, reason: u8, address: Option<u32>) -> Bytes {
    let mut body = BytesMut::with_capacity(24);
    body.put_slice(&[0, 1, 0, 4]);
    body.put_u32(u32::try_from(period.as_secs()).unwrap_or(u32::MAX));
    body.put_slice(&[0, 2, 0, 1, reason, 0, 0, 0]);
    if let Some(address) = address {
        body.put_slice(&[0, 3, 0, 4]);
        body.put_u32(address);
    }
    body.freeze()
}

impl Instance {
    /// An LSA was installed; if it is a grace-LSA, we begin or end to help (RFC 3623 §3.1).
    pub(crate) fn on_grace(&mut self, now: Instant, giver: u32, lsa: &Lsa, out: &mut Outbox) {
        if !is_grace(self.version, &lsa.header.key) || lsa.header.key.adv == self.router {
            return;
        }
        let Some(id) = self.neighbor(giver).map(|neighbor| neighbor.interface) else { return };
        let LsaBody::Opaque(body) = &lsa.body else { return };
        let Some(grace) = read_grace(body) else { return };
        let several = self.interfaces.get(&id).is_some_and(|interface| !interface.point_to_point());
        let by_address = self.version == Version::V2 && several && grace.address.is_some();
        let Some(interface) = self.interfaces.get(&id) else { return };
        let found = interface.neighbors.iter().copied().find(|number| {
            self.neighbor(*number).is_some_and(|neighbor| {
                if by_address {
                    Some(neighbor.name(Version::V2)) == grace.address
                } else {
                    neighbor.router == lsa.header.key.adv
                }
            })
        });
        let Some(number) = found else { return };
        if lsa.header.age >= MAX_AGE {
            return self.end_help(now, number, "it is back", out);
        }
        let config = self.config.graceful_restart;
        let age = Duration::from_secs(u64::from(lsa.header.age));
        let left = grace.period.saturating_sub(age).min(config.grace_period);
        let Some(neighbor) = self.neighbor_mut(number) else { return };
        if !config.helper || left.is_zero() || (neighbor.state != NeighborState::Full && neighbor.help.is_none()) {
            return;
        }
        let first = neighbor.help.is_none();
        neighbor.help = Some(Help { until: now + left });
        let router = neighbor.router;
        self.timers.set(Timer::Grace(number), now + left);
        if first {
            out.push(Output::Event(Event::Helping { router, helping: true, reason: "it restarts gracefully" }));
        }
    }

    /// We no longer help (RFC 3623 §3.2): it counts as adjacent again only if it is.
    pub(crate) fn end_help(&mut self, now: Instant, number: u32, reason: &'static str, out: &mut Outbox) {
        self.timers.cancel(Timer::Grace(number));
        let Some(neighbor) = self.neighbor_mut(number) else { return };
        if neighbor.help.take().is_none() {
            return;
        }
        let (id, router, heard) = (neighbor.interface, neighbor.router, neighbor.heard);
        out.push(Output::Event(Event::Helping { router, helping: false, reason }));
        let Some(interface) = self.interfaces.get(&id) else { return };
        let (area, dead, elects) = (interface.area(), interface.config.dead_interval, interface.elects());
        let settled = interface.state != InterfaceState::Waiting;
        // Its hellos may have been missing for the whole time.
        self.timers.set(Timer::Inactivity(number), (heard + dead).max(now));
        self.own.dirty_area(area);
        self.own.dirty_link(id);
        self.routing.neighborhood_changed();
        if elects && settled {
            self.run_election(now, id, out);
        }
    }

    /// The topology changed, so who restarts and does not know of it may loop packets (RFC 3623 §3.2).
    pub(crate) fn end_help_by_change(&mut self, now: Instant, home: Home, lsa: &Lsa, out: &mut Outbox) {
        if matches!(lsa.body, LsaBody::Opaque(_) | LsaBody::Link(_)) {
            return;
        }
        let helped: Vec<u32> = self
            .each_neighbor()
            .filter(|(number, held)| {
                held.help.is_some()
                    && held.router != lsa.header.key.adv
                    && self.goes_out(home, lsa.header.key.kind, held.interface, *number)
            })
            .map(|(number, _)| number)
            .collect();
        for number in helped {
            self.end_help(now, number, "the topology changed", out);
        }
    }

    /// Tells neighbors that we will be back (RFC 3623 §2.1).
    pub(crate) fn on_prepare_restart(&mut self, now: Instant, out: &mut Outbox) {
        self.restart.preparing = true;
        let period = self.config.graceful_restart.grace_period;
        let ids: Vec<InterfaceId> = self
            .interfaces
            .values()
            .filter(|interface| interface.speaks() && !interface.is_virtual() && !interface.neighbors.is_empty())
            .map(|interface| interface.id)
            .collect();
        // What waits for its time is said now: afterwards nobody hears it before we are back.
        self.own.hurry(now);
        self.originate_due(now, out);
        for id in ids {
            let Some((key, body)) = self.grace(id, period, REASON_SOFTWARE) else { continue };
            self.declare(now, Home::Link(id), key, 0, body, out);
        }
        self.timers.set(Timer::RestartReady, now + READY_WAIT);
        self.ready_to_restart(out);
    }

    /// Our grace-LSA of an interface.
    fn grace(&self, id: InterfaceId, period: Duration, reason: u8) -> Option<(LsaKey, LsaBody)> {
        let interface = self.interfaces.get(&id)?;
        let (kind, number, address) = match self.version {
            Version::V2 => (GRACE_V2, GRACE_V2_ID, (!interface.point_to_point()).then(|| interface.address_bits())),
            Version::V3 => (GRACE_V3, id.0, None),
        };
        let key = LsaKey { kind, id: number, adv: self.router };
        Some((key, LsaBody::Opaque(write_grace(period, reason, address))))
    }

    /// Asks the neighbors of an interface to keep us, before the first hello, which would end their adjacencies: the last life
    /// ended without a word (RFC 3623 §5). They still flood with us, and we are nobody's neighbor yet.
    pub(crate) fn ask_to_be_kept(&mut self, id: InterfaceId, out: &mut Outbox) {
        let Some(left) = self.config.resume.filter(|_| self.config.ask_at_start && self.resuming()) else { return };
        let Some((key, body)) = self.grace(id, left, REASON_UNKNOWN) else { return };
        let Some(interface) = self.interfaces.get(&id) else { return };
        let targets: Vec<IpAddr> = if interface.multicast() {
            vec![self.all_routers()]
        } else {
            self.neighbors_on(interface).map(|neighbor| neighbor.address).collect()
        };
        let header = LsaHeader { age: 0, options: 0, key, seq: SequenceNumber::INITIAL, checksum: 0, length: 0 };
        let lsa = wire::encode_lsa(self.version, header, &body);
        for dst in targets {
            for _ in 0..ASKED_TIMES {
                self.send(id, dst, Body::LinkStateUpdate(vec![lsa.clone()]), out);
            }
        }
    }

    /// An acknowledgment came; perhaps the last one that we wait for.
    pub(crate) fn on_acknowledged(&mut self, now: Instant, _number: u32) {
        if self.restart.preparing && !self.grace_owed() {
            self.timers.set(Timer::RestartReady, now);
        }
    }

    fn grace_owed(&self) -> bool {
        self.db.iter().any(|(_, entry)| entry.own && is_grace(self.version, &entry.key) && !entry.pending.is_empty())
    }

    fn ready_to_restart(&mut self, out: &mut Outbox) {
        if self.restart.preparing && !self.grace_owed() {
            self.on_restart_ready(out);
        }
    }

    /// Everybody knows, or was waited for long enough.
    pub(crate) fn on_restart_ready(&mut self, out: &mut Outbox) {
        self.timers.cancel(Timer::RestartReady);
        if std::mem::take(&mut self.restart.preparing) {
            // From here on nothing is said: what we would say now is no longer what neighbors should believe.
            self.stopping = true;
            out.push(Output::Event(Event::ReadyToRestart));
        }
    }

    /// We are back from a graceful restart.
    pub(crate) fn begin_resume(&mut self, now: Instant) {
        if let Some(left) = self.config.resume.filter(|left| !left.is_zero()) {
            self.restart.until = Some(now + left);
            self.timers.set(Timer::Restart, now + left);
        }
    }

    /// We say nothing of ourselves yet (RFC 3623 §2.2).
    pub(crate) fn resuming(&self) -> bool {
        self.restart.until.is_some()
    }

    /// A neighbor says that we are designated: so we were before (RFC 3623 §2.2 (2)).
    pub(crate) fn resumes_as_dr(&self, dr: u32, bdr: u32, id: InterfaceId) -> bool {
        let Some(interface) = self.interfaces.get(&id).filter(|_| self.resuming()) else { return false };
        let me = interface.self_id(self.version, self.router);
        dr == me || bdr == me
    }

    pub(crate) fn take_role_back(&mut self, now: Instant, id: InterfaceId, dr: u32, bdr: u32, out: &mut Outbox) {
        self.set_roles(now, id, dr, bdr, out);
    }

    /// An adjacency came up. Perhaps it was the last one that was there before (RFC 3623 §2.2 (1)).
    pub(crate) fn on_full(&mut self, now: Instant, number: u32, out: &mut Outbox) {
        if self.neighbor(number).is_some_and(|neighbor| neighbor.help.is_some()) {
            // It has our database again; its grace-LSA's flush will say that it is done.
            self.routing.neighborhood_changed();
        }
        if !self.resuming() {
            return;
        }
        if self.all_back() {
            self.end_restart(now, "all adjacencies are back", out);
        } else if !self.remembered() {
            // The databases are equal, and ours is not in them: there is nothing to come back to.
            self.end_restart(now, "nobody remembers us", out);
        } else {
            self.look_for_leavers(now, out);
        }
    }

    /// A router-LSA of our last life is still there.
    fn remembered(&self) -> bool {
        self.db.iter().any(|(_, entry)| entry.own && !entry.flushing && entry.key.kind == self.kinds().router)
    }

    /// Whom our router-LSAs of the last life name is adjacent again.
    fn all_back(&self) -> bool {
        let kinds = self.kinds();
        let mut seen = false;
        for (_, entry) in self.db.iter() {
            if !entry.own || entry.key.kind != kinds.router {
                continue;
            }
            let Some(LsaBody::Router(lsa)) = self.read(&entry.raw) else { continue };
            seen = true;
            for link in &lsa.links {
                let back = match link.kind {
                    LinkKind::PointToPoint | LinkKind::Virtual => self
                        .each_neighbor()
                        .any(|(_, held)| held.router.0 == link.id && held.state == NeighborState::Full),
                    LinkKind::Transit => self.transit_back(link.id, link.neighbor_interface),
                    LinkKind::Stub => true,
                };
                if !back {
                    return false;
                }
            }
        }
        seen
    }

    /// A transit network is as it was: as its Designated Router we have everybody, otherwise we have its Designated Router.
    fn transit_back(&self, dr: u32, dr_interface: u32) -> bool {
        let Some(interface) = self.interfaces.values().find(|interface| {
            interface.elects()
                && interface.dr != 0
                && interface.dr == dr
                && (self.version == Version::V2 || interface.dr != self.router.0 || interface.id.0 == dr_interface)
        }) else {
            return false;
        };
        if interface.state != InterfaceState::Dr {
            return self
                .neighbors_on(interface)
                .any(|held| held.name(self.version) == dr && held.state == NeighborState::Full);
        }
        let id = if self.version == Version::V2 { dr } else { interface.id.0 };
        let key = LsaKey { kind: self.kinds().network, id, adv: self.router };
        let Some((_, entry)) = self.db.lookup(Home::Area(interface.area()), &key) else { return false };
        let Some(LsaBody::Network(lsa)) = self.read(&entry.raw) else { return false };
        lsa.attached.iter().filter(|router| **router != self.router).all(|router| {
            self.neighbors_on(interface).any(|held| held.router == *router && held.state == NeighborState::Full)
        })
    }

    /// Something of the topology was installed while we restart.
    pub(crate) fn check_resume(&mut self, now: Instant, lsa: &Lsa, out: &mut Outbox) {
        if self.resuming() && matches!(lsa.body, LsaBody::Router(_) | LsaBody::Network(_)) {
            self.look_for_leavers(now, out);
        }
    }

    /// Whether a neighbor says that it is not adjacent to us, though our last life says so: it does not help (RFC 3623 §2.2 (2)).
    /// In whatever order the databases come, both must be there.
    fn look_for_leavers(&mut self, now: Instant, out: &mut Outbox) {
        let kinds = self.kinds();
        let left = self.db.iter().any(|(_, entry)| {
            if !entry.own || entry.flushing || entry.key.kind != kinds.router {
                return false;
            }
            let Some(LsaBody::Router(ours)) = self.read(&entry.raw) else { return false };
            ours.links.iter().any(|link| match link.kind {
                LinkKind::PointToPoint => self.left_by(entry.home, RouterId(link.id)),
                LinkKind::Transit => {
                    self.left_out(entry.home, link.id, link.neighbor_interface) || self.led_by_another(entry.home, link)
                }
                LinkKind::Stub | LinkKind::Virtual => false,
            })
        });
        if left {
            self.end_restart(now, "a neighbor did not wait for us", out);
        }
    }

    /// The router-LSA of `router` is there and has no link to us.
    fn left_by(&self, home: Home, router: RouterId) -> bool {
        let id = if self.is_v2() { router.0 } else { 0 };
        let key = LsaKey { kind: self.kinds().router, id, adv: router };
        let Some((_, entry)) = self.db.lookup(home, &key).filter(|(_, entry)| !entry.flushing) else { return false };
        let Some(LsaBody::Router(theirs)) = self.read(&entry.raw) else { return false };
        !theirs.links.iter().any(|link| link.kind == LinkKind::PointToPoint && link.id == self.router.0)
    }

    /// The network of a link of ours has another Designated Router than it had: neighbors went on without us.
    fn led_by_another(&self, home: Home, link: &RouterLink) -> bool {
        self.interfaces.values().any(|interface| {
            interface.up
                && interface.elects()
                && home == Home::Area(interface.area())
                && interface.state != InterfaceState::Waiting
                && interface.dr != 0
                && interface.dr != link.id
                && self.link_data(interface) == link.data
        })
    }

    /// The network-LSA of somebody else is there, and we are not in it.
    fn left_out(&self, home: Home, dr: u32, interface: u32) -> bool {
        let kind = self.kinds().network;
        let id = if self.is_v2() { dr } else { interface };
        let of_it = |key: &LsaKey| key.kind == kind && key.id == id && (self.is_v2() || key.adv.0 == dr);
        self.db
            .iter()
            .filter(|(_, entry)| entry.home == home && !entry.own && !entry.flushing && of_it(&entry.key))
            .any(|(_, entry)| {
                let Some(LsaBody::Network(network)) = self.read(&entry.raw) else { return false };
                !network.attached.contains(&self.router)
            })
    }

    /// Our restart is over: everything is said anew, and what is no longer true is flushed (RFC 3623 §2.3).
    pub(crate) fn end_restart(&mut self, now: Instant, reason: &'static str, out: &mut Outbox) {
        if self.restart.until.take().is_none() {
            return;
        }
        self.timers.cancel(Timer::Restart);
        self.timers.set(Timer::Sweep, now + EXTERNALS_WAIT);
        self.restart.sweep = true;
        self.restart.externals =
            self.db.iter().any(|(_, entry)| entry.own && !entry.flushing && self.external_kind(entry.key.kind));
        self.own.dirty_all();
        self.routing.neighborhood_changed();
        out.push(Output::Event(Event::RestartEnded { reason }));
    }

    /// What our last life said and we do not say is flushed, grace-LSAs among it.
    pub(crate) fn sweep(&mut self, now: Instant, out: &mut Outbox) {
        if self.resuming() || !std::mem::take(&mut self.restart.sweep) {
            return;
        }
        let wait = self.restart.externals;
        let stale: Vec<Slot> = self
            .db
            .iter()
            .filter(|(_, entry)| entry.own && !entry.flushing && !self.own.holds(entry.home, &entry.key))
            .filter(|(_, entry)| !(wait && self.external_kind(entry.key.kind)))
            .map(|(slot, _)| slot)
            .collect();
        for slot in stale {
            self.flush(now, slot, out);
        }
    }

    /// Externals have had their time to be told again.
    pub(crate) fn on_sweep_timer(&mut self) {
        (self.restart.sweep, self.restart.externals) = (true, false);
    }

    fn external_kind(&self, kind: LsaType) -> bool {
        kind == self.kinds().external || kind == self.kinds().nssa
    }

    /// We stop for good (RFC 2328 §14.1 for our LSAs; an empty hello ends adjacencies without the dead interval).
    pub(crate) fn on_shutdown(&mut self, now: Instant, out: &mut Outbox) {
        let slots: Vec<Slot> =
            self.db.iter().filter(|(_, entry)| entry.own && !entry.flushing).map(|(slot, _)| slot).collect();
        for slot in slots {
            self.flush(now, slot, out);
        }
        self.own.clear();
        self.flush_busy(now, out);
        let ids: Vec<InterfaceId> = self.interfaces.values().filter(|held| held.speaks()).map(|held| held.id).collect();
        for id in ids {
            self.flush_acks(id, out);
            self.send_hello_with(id, None, false, out);
        }
        self.stopping = true;
    }

    /// Interfaces that are up in an area.
    pub(crate) fn live_interfaces(&self, area: crate::id::AreaId) -> impl Iterator<Item = &Interface> {
        self.interfaces.values().filter(move |interface| interface.up && interface.area() == area)
    }
}
