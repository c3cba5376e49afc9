//! What we say ourselves: own LSAs as they should be, against what the database has of them. Contents come from `area`
//! (router-, network-, prefix- and link-LSAs) and `external`; summaries from the route calculation. Here is when they may
//! go out: the first change at once, further ones after a growing pause up to MinLSInterval (RFC 2328 §12.4), and the
//! answer to foreign copies (§13.4) and to the end of sequence numbers (§12.1.6).

mod area;
mod external;
mod ids;
mod kinds;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::id::{AreaId, InterfaceId, LsaKey, LsaType, SequenceNumber, Version};
use crate::instance::Instance;
use crate::lsa::{Lsa, LsaBody, LsaHeader};
use crate::lsdb::{Home, Slot};
use crate::message::{Alarm, Outbox};
use crate::neighbor::NeighborState;
use crate::wire;
use ids::Ids;
pub(crate) use kinds::Kinds;

/// Between two answers to foreign copies of one LSA: who refuses an answer for MinLSArrival takes the next one.
const FIGHT_PAUSE: Duration = Duration::from_millis(1000);
/// So many answers in a row are no leftovers of our last life any more.
const FIGHTS_ALARM: u32 = 4;
/// After the last sequence number is flushed here, for so long others may still wait for acknowledgments of the flush, and
/// until then take the first number for an old one.
const WRAP_PAUSE: Duration = Duration::from_millis(100);
/// Paces remembered before those that no longer matter are forgotten.
const PACES_MAX: usize = 4096;

/// An LSA that should be in others' databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) options: u8,
    pub(crate) body: LsaBody,
}

/// How fast one LSA may be originated again.
#[derive(Debug)]
struct Pace {
    last: Instant,
    wait: Duration,
    not_before: Instant,
    due: Option<Instant>,
    want: Option<Want>,
    fought: Option<Instant>,
    fights: u32,
}

/// Our own LSAs.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// What others should have of us.
    held: BTreeSet<(Home, LsaKey)>,
    paces: HashMap<(Home, LsaKey), Pace>,
    queue: BTreeSet<(Instant, Home, LsaKey)>,
    all: bool,
    areas: BTreeSet<AreaId>,
    links: BTreeSet<InterfaceId>,
    prefixes: BTreeSet<IpNet>,
    ids: HashMap<(Home, LsaType), Ids>,
    /// What we were when externals and flags were last decided.
    role: Option<Role>,
}

/// What all areas hear of us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) border: bool,
    pub(crate) external: bool,
    pub(crate) areas: Vec<AreaId>,
    /// Networks that a forwarding address may be on.
    pub(crate) networks: Vec<(AreaId, IpNet)>,
}

impl Own {
    /// What we say into an area may have changed.
    pub(crate) fn dirty_area(&mut self, area: AreaId) {
        self.areas.insert(area);
    }

    /// What we say of a link, on it, may have changed.
    pub(crate) fn dirty_link(&mut self, id: InterfaceId) {
        self.links.insert(id);
    }

    /// What we say of our links, everywhere.
    pub(crate) fn dirty_routers(&mut self) {
        self.all = true;
    }

    pub(crate) fn dirty_all(&mut self) {
        self.all = true;
        self.role = None;
    }

    pub(crate) fn dirty_prefix(&mut self, prefix: IpNet) {
        self.prefixes.insert(prefix);
    }

    pub(crate) fn holds(&self, home: Home, key: &LsaKey) -> bool {
        self.held.contains(&(home, *key))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _, _)| *at)
    }

    /// What waits for its time is due now.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.queue = std::mem::take(&mut self.queue)
            .into_iter()
            .map(|(at, home, key)| {
                let at = at.min(now);
                if let Some(pace) = self.paces.get_mut(&(home, key)) {
                    pace.due = Some(at);
                }
                (at, home, key)
            })
            .collect();
    }

    pub(crate) fn forget_home(&mut self, home: Home) {
        self.held.retain(|(held, _)| *held != home);
        self.paces.retain(|(held, _), _| *held != home);
        self.queue.retain(|(_, held, _)| *held != home);
        self.ids.retain(|(held, _), _| *held != home);
        if let Home::Area(area) = home {
            self.areas.insert(area);
        }
        self.role = None;
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Names of one type in one home that others should have.
    fn of_kind(&self, home: Home, kind: LsaType) -> Vec<LsaKey> {
        let low = LsaKey { kind, id: 0, adv: crate::id::RouterId(0) };
        let high = LsaKey { kind, id: u32::MAX, adv: crate::id::RouterId(u32::MAX) };
        self.held.range((home, low)..=(home, high)).map(|(_, key)| *key).collect()
    }
}

impl Instance {
    /// Numbers of the LSA types of our version.
    pub(crate) fn kinds(&self) -> &'static Kinds {
        match self.version {
            Version::V2 => &kinds::V2,
            Version::V3 => &kinds::V3,
        }
    }

    /// The Link State ID of our router-LSA.
    pub(crate) fn own_router_id(&self) -> u32 {
        match self.version {
            Version::V2 => self.router.0,
            Version::V3 => 0,
        }
    }

    /// What an LSA's octets say.
    pub(crate) fn read(&self, raw: &[u8]) -> Option<LsaBody> {
        wire::decode_lsa(self.version, raw).ok().map(|lsa| lsa.body)
    }

    /// Brings what we say up to date. True if something went out.
    pub(crate) fn originate_due(&mut self, now: Instant, out: &mut Outbox) -> bool {
        if self.stopping || self.resuming() {
            return false;
        }
        let before = self.stats.originated;
        let role = self.role();
        if self.own.role.as_ref() != Some(&role) {
            self.own.role = Some(role);
            self.own.all = true;
            let prefixes: Vec<IpNet> = self.externals.keys().chain(self.services.keys()).copied().collect();
            self.own.prefixes.extend(prefixes);
        }
        if std::mem::take(&mut self.own.all) {
            let areas: Vec<AreaId> = self.areas.keys().copied().collect();
            self.own.areas.extend(areas);
            let links: Vec<InterfaceId> = self.interfaces.keys().copied().collect();
            self.own.links.extend(links);
        }
        for id in std::mem::take(&mut self.own.links) {
            self.reconcile_link(now, id, out);
        }
        for area in std::mem::take(&mut self.own.areas) {
            self.reconcile_area(now, area, out);
        }
        for prefix in std::mem::take(&mut self.own.prefixes) {
            self.reconcile_external(now, prefix, out);
        }
        while let Some((at, home, key)) = self.own.queue.first().copied() {
            if at > now {
                break;
            }
            self.own.queue.pop_first();
            let Some(pace) = self.own.paces.get_mut(&(home, key)) else { continue };
            pace.due = None;
            if let Some(want) = pace.want.take() {
                self.emit(now, home, key, want, out);
            }
        }
        self.sweep(now, out);
        if self.own.paces.len() > PACES_MAX {
            let max = self.config.pacing.originate_max;
            self.own.paces.retain(|_, pace| pace.want.is_some() || now < pace.last + 2 * max);
        }
        self.stats.originated != before
    }

    /// Others should have this LSA, with these contents.
    pub(crate) fn declare(
        &mut self,
        now: Instant,
        home: Home,
        key: LsaKey,
        options: u8,
        body: LsaBody,
        out: &mut Outbox,
    ) {
        self.own.held.insert((home, key));
        let held = self.db.lookup(home, &key).filter(|(_, entry)| entry.own && !entry.flushing);
        if let Some((_, entry)) = held
            && entry.options == options
            && self.read(&entry.raw).as_ref() == Some(&body)
        {
            // It is out already; a change that was waiting has been taken back.
            self.unqueue(home, &key);
            return;
        }
        let want = Want { options, body };
        let not_before = self.own.paces.get(&(home, key)).map_or(now, |pace| pace.not_before);
        if not_before <= now {
            self.unqueue(home, &key);
            self.emit(now, home, key, want, out);
        } else {
            self.queue(home, key, not_before, want);
        }
    }

    /// Others should no longer have this LSA. There is no pause for that.
    pub(crate) fn withdraw(&mut self, now: Instant, home: Home, key: LsaKey, out: &mut Outbox) {
        if !self.own.held.remove(&(home, key)) {
            return;
        }
        self.unqueue(home, &key);
        if let Some((slot, entry)) = self.db.lookup(home, &key)
            && entry.own
        {
            self.flush(now, slot, out);
        }
    }

    /// Of `kinds` in `home` others should have exactly what was declared as `wanted`.
    fn withdraw_others(
        &mut self,
        now: Instant,
        home: Home,
        kinds: &[LsaType],
        wanted: &BTreeSet<LsaKey>,
        out: &mut Outbox,
    ) {
        for kind in kinds {
            for key in self.own.of_kind(home, *kind) {
                if !wanted.contains(&key) {
                    self.withdraw(now, home, key, out);
                }
            }
        }
    }

    fn queue(&mut self, home: Home, key: LsaKey, at: Instant, want: Want) {
        self.unqueue(home, &key);
        if let Some(pace) = self.own.paces.get_mut(&(home, key)) {
            pace.want = Some(want);
            pace.due = Some(at);
            self.own.queue.insert((at, home, key));
        }
    }

    fn unqueue(&mut self, home: Home, key: &LsaKey) {
        if let Some(pace) = self.own.paces.get_mut(&(home, *key)) {
            pace.want = None;
            if let Some(at) = pace.due.take() {
                self.own.queue.remove(&(at, home, *key));
            }
        }
    }

    /// Originates an LSA now.
    fn emit(&mut self, now: Instant, home: Home, key: LsaKey, want: Want, out: &mut Outbox) {
        let (step, max) = (self.config.pacing.originate_step, self.config.pacing.originate_max);
        // Pauses spare those who listen. While links come up and nobody is adjacent there are none.
        let heard = self.each_neighbor().any(|(_, neighbor)| neighbor.state >= NeighborState::Exchange);
        let pace = self.own.paces.entry((home, key)).or_insert_with(|| Pace {
            last: now,
            wait: Duration::ZERO,
            not_before: now,
            due: None,
            want: None,
            fought: None,
            fights: 0,
        });
        // A rest that is longer than the last wait, and than neighbors refuse newer copies: a change is answered at once again.
        // What never rests is told once in MinLSInterval (RFC 2328 §B).
        let rest = if pace.wait < max { pace.wait.max(self.config.pacing.min_arrival) } else { 2 * max };
        if now >= pace.last + rest {
            pace.wait = Duration::ZERO;
        }
        let held = self.db.lookup(home, &key).map(|(slot, entry)| (slot, entry.seq));
        let seq = match held {
            // It was flushed a moment ago, and others remember that.
            None => self
                .tombs
                .number(now, home, &key)
                .map_or(SequenceNumber::INITIAL, |last| SequenceNumber(last.0.saturating_add(1))),
            // RFC 2328 §12.1.6: the last number must be flushed everywhere first; `on_reaped` goes on.
            Some((slot, SequenceNumber::MAX)) => {
                pace.want = Some(want);
                self.flush(now, slot, out);
                return;
            }
            Some((_, seq)) => SequenceNumber(seq.0 + 1),
        };
        if heard {
            pace.last = now;
            pace.not_before = now + pace.wait;
            pace.wait = if pace.wait.is_zero() { step } else { (pace.wait * 2).min(max) };
        }
        let header = LsaHeader { age: 0, options: want.options, key, seq, checksum: 0, length: 0 };
        let lsa = wire::encode_lsa(self.version, header, &want.body);
        if let Some(slot) = self.install(now, home, &lsa, true, u32::MAX, out) {
            self.stats.originated += 1;
            self.flood(now, slot, None, out);
        }
    }

    /// Half of its life is over (RFC 2328 §12.4): the same again.
    pub(crate) fn refresh(&mut self, now: Instant, slot: Slot, out: &mut Outbox) {
        let Some(entry) = self.db.get(slot) else { return };
        let (home, key, options) = (entry.home, entry.key, entry.options);
        if self.resuming() || self.stopping {
            return;
        }
        let queued = self.own.paces.get(&(home, key)).is_some_and(|pace| pace.due.is_some());
        match self.read(&entry.raw) {
            Some(_) if queued => {} // a newer one goes out soon
            Some(body) if self.own.holds(home, &key) => self.emit(now, home, key, Want { options, body }, out),
            _ => self.flush(now, slot, out),
        }
    }

    /// Whether an LSA is in our name (RFC 2328 §13.4): by its originator, or of a network whose Designated Router has one
    /// of our addresses, which is what we said under another router id.
    pub(crate) fn is_own(&self, home: Home, lsa: &Lsa) -> bool {
        let key = lsa.header.key;
        if key.adv == self.router {
            return true;
        }
        self.version == Version::V2
            && key.kind == self.kinds().network
            && matches!(home, Home::Area(_))
            && self.interfaces.values().any(|interface| {
                interface.up && !interface.is_virtual() && interface.address_bits() == key.id && key.id != 0
            })
    }

    /// A foreign copy of ours, newer than ours, is about to be installed: what we really say is remembered.
    pub(crate) fn before_foreign_own(&mut self, now: Instant, home: Home, lsa: &Lsa, _out: &mut Outbox) {
        let key = lsa.header.key;
        if !self.own.holds(home, &key) || self.resuming() {
            return;
        }
        let ours = self
            .db
            .lookup(home, &key)
            .filter(|(_, entry)| entry.own)
            .and_then(|(_, entry)| Some(Want { options: entry.options, body: self.read(&entry.raw)? }));
        let pace = self.own.paces.entry((home, key)).or_insert_with(|| Pace {
            last: now,
            wait: Duration::ZERO,
            not_before: now,
            due: None,
            want: None,
            fought: None,
            fights: 0,
        });
        if pace.want.is_none() {
            pace.want = ours;
        }
    }

    /// The foreign copy is installed and flooded; now ours, newer still, or its end (RFC 2328 §13.4).
    pub(crate) fn answer_foreign_own(&mut self, now: Instant, home: Home, slot: Slot, out: &mut Outbox) {
        if self.resuming() {
            return; // RFC 3623 §2.2: it is what our last life said, and it stays until the restart is over.
        }
        let Some(entry) = self.db.get(slot) else { return };
        let key = entry.key;
        if !self.own.holds(home, &key) {
            return self.flush(now, slot, out);
        }
        let Some(pace) = self.own.paces.get_mut(&(home, key)) else { return };
        let Some(want) = pace.want.take() else { return };
        pace.fights = if pace.fought.is_some_and(|last| now < last + 60 * FIGHT_PAUSE) { pace.fights + 1 } else { 1 };
        let alarm = pace.fights >= FIGHTS_ALARM;
        let at = pace.fought.map_or(now, |last| now.max(last + FIGHT_PAUSE));
        if at <= now {
            pace.fought = Some(now);
            self.unqueue(home, &key);
            self.emit(now, home, key, want, out);
        } else {
            self.queue(home, key, at, want);
        }
        if alarm {
            self.raise(now, Alarm::ForeignSelfLsa { key }, out);
        }
    }

    /// A foreign copy of ours was answered so lately that words about it may still be on their way.
    pub(crate) fn fought_lately(&self, now: Instant, home: Home, key: &LsaKey) -> bool {
        let fought = self.own.paces.get(&(home, *key)).and_then(|pace| pace.fought);
        fought.is_some_and(|last| now < last + FIGHT_PAUSE)
    }

    /// An LSA is flushed and gone. If others should still have it, its numbers begin anew.
    pub(crate) fn on_reaped(&mut self, now: Instant, home: Home, key: &LsaKey) {
        if !self.own.holds(home, key) {
            return;
        }
        if let Some(pace) = self.own.paces.get_mut(&(home, *key))
            && pace.want.is_some()
            && pace.due.is_none()
        {
            let at = now + WRAP_PAUSE;
            pace.due = Some(at);
            self.own.queue.insert((at, home, *key));
        }
    }
}
