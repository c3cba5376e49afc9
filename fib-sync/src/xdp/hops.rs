//! Next-hop objects, and the legs they send by.
//!
//! route word -> object word -> (bucket ->) leg word. A neighbor's new MAC address is one store into its leg, whatever the
//! number of objects; an object's new meaning is one store, whatever the number of routes. Groups have 256 buckets, given out by
//! weight; when members change, buckets of those that stay keep their leg, so only flows of legs that went are moved
//! (the idea of the kernel's resilient groups).
//!
//! The RIB's side numbers objects as it likes and takes a number again at once. Our own numbers are taken again only after a
//! grace period; here lies the translation.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya::maps::{self, MapData};
use foldhash::fast::FixedState;
use rib::{Discard, FibFault, Forwarding, IfIndex, NextHopId, ResolvedLeg};

use super::area::Area;
use super::layout::{LEG_INFO_WORDS, MEMBERS, MEMBERS_WORDS, SLICE, object};
use super::pool::Pool;
use super::ports::Ports;

/// The object that local addresses hang on; it has no number outside.
pub(super) const HOST: u32 = 1;
/// The first object for routes.
const FIRST: u32 = 2;

const INFO_USED: u64 = 1;
const INFO_GATEWAY: u64 = 2;
const INFO_V4: u64 = 4;
const INFO_ONLINK: u64 = 8;

/// What tells legs apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LegKey {
    pub(super) interface: IfIndex,
    pub(super) gateway: Option<IpAddr>,
    pub(super) onlink: bool,
}

struct Leg {
    key: LegKey,
    users: u32,
}

struct Meaning {
    forwarding: Forwarding,
    external: u32,
    routes: u32,
    legs: Vec<u32>,
    slice: Option<u32>,
}

type MembersMap = maps::HashMap<MapData, u32, [u32; MEMBERS_WORDS]>;

/// The areas and maps of objects and legs.
pub(super) struct HopMaps {
    pub(super) objects: Area<AtomicU64>,
    pub(super) legs: Area<AtomicU64>,
    pub(super) infos: Area<AtomicU64>,
    pub(super) buckets: Area<AtomicU32>,
    pub(super) members: MembersMap,
}

/// All objects and legs.
pub(super) struct Hops {
    maps: HopMaps,
    numbers: Pool,
    // Asked for with every route.
    meanings: HashMap<u32, Meaning, FixedState>,
    internal: HashMap<u32, u32, FixedState>,
    leg_numbers: Pool,
    legs: HashMap<u32, Leg>,
    leg_of: HashMap<LegKey, u32>,
    slices: Pool,
    /// Legs were made that nobody has looked at yet.
    pub(super) new_legs: bool,
}

impl Hops {
    /// Objects in these maps; nothing is taken up yet.
    pub(super) fn new(maps: HopMaps) -> Self {
        let (objects, legs) = (maps.objects.len() as u32, maps.legs.len() as u32);
        let slices = (maps.buckets.len() / SLICE) as u32;
        let mut numbers = Pool::new(objects);
        // 0 means no route, 1 the host.
        numbers.adopt(|number| number < FIRST);
        let mut leg_numbers = Pool::new(legs);
        leg_numbers.adopt(|number| number == 0);
        maps.objects[HOST as usize].store(object::word(object::LOCAL, 0, 0), Ordering::Relaxed);
        Self {
            maps,
            numbers,
            meanings: HashMap::default(),
            internal: HashMap::default(),
            leg_numbers,
            legs: HashMap::new(),
            leg_of: HashMap::new(),
            slices: Pool::new(slices),
            new_legs: false,
        }
    }

    /// Takes up what an earlier process left; `used` are the objects that routes hang on, with how many each. False if it is
    /// not of one piece.
    pub(super) fn adopt(&mut self, used: &HashMap<u32, u32>) -> bool {
        let mut taken = HashSet::new();
        for (number, routes) in used.iter().filter(|(number, _)| **number != HOST) {
            let Some((forwarding, legs, slice)) = self.read(*number) else { return false };
            for leg in &legs {
                self.legs.get_mut(leg).into_iter().for_each(|leg| leg.users += 1);
            }
            if slice.is_some_and(|slice| !taken.insert(slice)) {
                return false;
            }
            self.internal.insert(*number, *number);
            self.meanings.insert(*number, Meaning { forwarding, external: *number, routes: *routes, legs, slice });
        }
        self.numbers.adopt(|number| number < FIRST || used.contains_key(&number));
        self.leg_numbers.adopt(|number| number == 0 || self.legs.contains_key(&number));
        self.slices.adopt(|slice| taken.contains(&slice));
        true
    }

    /// What an object in the maps means, its legs, which are noted, and its slice of buckets.
    #[allow(clippy::type_complexity)] // Three parts of one meaning, taken apart at once.
    pub(super) fn read(&mut self, number: u32) -> Option<(Forwarding, Vec<u32>, Option<u32>)> {
        let word = self.maps.objects.get(number as usize)?.load(Ordering::Acquire);
        let low = word as u32;
        let members: Vec<(u32, u32)> = match object::kind(word) {
            object::LEG => vec![(low, 1)],
            object::GROUP => {
                let members = self.maps.members.get(&number, 0).ok()?;
                let count = (members[0] as usize).min(MEMBERS);
                members[2..][..2 * count].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
            }
            object::DROP => return Some((Forwarding::Discard(Discard::Blackhole), Vec::new(), None)),
            object::PUNT if low == 1 => return Some((Forwarding::Discard(Discard::Prohibit), Vec::new(), None)),
            object::PUNT => return Some((Forwarding::Discard(Discard::Unreachable), Vec::new(), None)),
            object::LOCAL => return Some((Forwarding::Local, Vec::new(), None)),
            _ => return None,
        };
        let mut legs = Vec::new();
        let mut resolved = Vec::new();
        for (number, weight) in members {
            let key = self.read_leg(number)?;
            self.legs.entry(number).or_insert(Leg { key, users: 0 });
            self.leg_of.insert(key, number);
            legs.push(number);
            let LegKey { interface, gateway, onlink } = key;
            resolved.push(ResolvedLeg { interface, gateway, onlink, weight: weight as u16 });
        }
        let slice = (object::kind(word) == object::GROUP).then_some(low / SLICE as u32);
        if resolved.is_empty() || slice.is_some_and(|slice| slice as usize >= self.maps.buckets.len() / SLICE) {
            return None;
        }
        Some((Forwarding::Legs(resolved.into_iter().collect()), legs, slice))
    }

    fn read_leg(&self, number: u32) -> Option<LegKey> {
        let words = self.maps.infos.get(number as usize * LEG_INFO_WORDS..)?.get(..LEG_INFO_WORDS)?;
        let [head, high, low] = [0, 1, 2].map(|at: usize| words[at].load(Ordering::Acquire));
        let flags = head >> 32;
        let gateway = (flags & INFO_GATEWAY != 0).then(|| {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&high.to_ne_bytes());
            octets[8..].copy_from_slice(&low.to_ne_bytes());
            let addr = Ipv6Addr::from(octets);
            if flags & INFO_V4 != 0 { IpAddr::V4(Ipv4Addr::from_bits(addr.to_bits() as u32)) } else { IpAddr::V6(addr) }
        });
        let interface = IfIndex(head as u32);
        (flags & INFO_USED != 0).then_some(LegKey { interface, gateway, onlink: flags & INFO_ONLINK != 0 })
    }

    /// Our number of an object.
    pub(super) fn internal(&self, external: NextHopId) -> Option<u32> {
        self.internal.get(&external.0).copied()
    }

    /// What an object of ours means, and its number outside.
    pub(super) fn meaning(&self, number: u32) -> Option<(&Forwarding, NextHopId)> {
        self.meanings.get(&number).map(|meaning| (&meaning.forwarding, NextHopId(meaning.external)))
    }

    /// All objects by our numbers and those outside.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, NextHopId)> + '_ {
        self.meanings.iter().map(|(number, meaning)| (*number, NextHopId(meaning.external)))
    }

    /// A route more hangs on the object, or fewer.
    pub(super) fn count_routes(&mut self, number: u32, change: i32) {
        if let Some(meaning) = self.meanings.get_mut(&number) {
            meaning.routes = meaning.routes.saturating_add_signed(change);
        }
    }

    /// Routes on the object.
    pub(super) fn routes_on(&self, number: u32) -> u32 {
        self.meanings.get(&number).map_or(0, |meaning| meaning.routes)
    }

    /// Creates or changes an object.
    pub(super) fn set(&mut self, external: NextHopId, forwarding: &Forwarding, ports: &Ports) -> Result<(), FibFault> {
        let known = self.internal(external);
        if known.is_some_and(|number| self.meanings[&number].forwarding == *forwarding) {
            return Ok(());
        }
        let members = match forwarding {
            Forwarding::Legs(legs) if legs.is_empty() || legs.len() > MEMBERS => {
                return Err(FibFault::Unsupported("an XDP next-hop object has 1 to 64 legs"));
            }
            Forwarding::Legs(legs) => self.take_legs(legs, ports)?,
            Forwarding::Discard(_) | Forwarding::Local => Vec::new(),
        };
        let Some(number) = known.or_else(|| self.numbers.take()) else {
            self.release_legs(members.iter().map(|(leg, _)| *leg));
            return Err(FibFault::CapacityExceeded);
        };
        let old = self.meanings.remove(&number);
        let old_slice = old.as_ref().and_then(|old| old.slice);
        let (word, slice) = match (forwarding, members.as_slice()) {
            (Forwarding::Discard(Discard::Blackhole), _) => (object::word(object::DROP, 0, 0), None),
            (Forwarding::Discard(Discard::Unreachable), _) => (object::word(object::PUNT, 0, 0), None),
            (Forwarding::Discard(Discard::Prohibit), _) => (object::word(object::PUNT, 1, 0), None),
            (Forwarding::Local, _) => (object::word(object::LOCAL, 0, 0), None),
            (Forwarding::Legs(_), [(only, 1)]) => (object::word(object::LEG, *only, 0), None),
            (Forwarding::Legs(_), members) => match self.write_group(number, members, old_slice) {
                Ok(slice) => (object::word(object::GROUP, slice * SLICE as u32, SLICE as u16 - 1), Some(slice)),
                Err(fault) => {
                    self.release_legs(members.iter().map(|(leg, _)| *leg));
                    match old {
                        Some(old) => drop(self.meanings.insert(number, old)),
                        None => self.numbers.retire(number),
                    }
                    return Err(fault);
                }
            },
        };
        // The one store by which all routes on the object move.
        self.maps.objects[number as usize].store(word, Ordering::Release);
        let routes = old.as_ref().map_or(0, |old| old.routes);
        if let Some(old) = old {
            self.let_go(number, old, slice);
        }
        self.internal.insert(external.0, number);
        let legs = members.into_iter().map(|(leg, _)| leg).collect();
        let forwarding = forwarding.clone();
        self.meanings.insert(number, Meaning { forwarding, external: external.0, routes, legs, slice });
        Ok(())
    }

    /// Removes an object that no route hangs on. Its word stays until the number is taken again: a packet may be on its way.
    pub(super) fn remove(&mut self, external: NextHopId) {
        let Some(number) = self.internal.remove(&external.0) else { return };
        if let Some(old) = self.meanings.remove(&number) {
            self.let_go(number, old, None);
        }
        self.numbers.retire(number);
    }

    fn let_go(&mut self, number: u32, old: Meaning, slice: Option<u32>) {
        self.release_legs(old.legs.into_iter());
        if let Some(freed) = old.slice.filter(|freed| Some(*freed) != slice) {
            self.slices.retire(freed);
            if slice.is_none() && self.maps.members.remove(&number).is_err() {
                tracing::debug!(number, "a group's members were gone already");
            }
        }
    }

    fn take_legs(&mut self, legs: &[ResolvedLeg], ports: &Ports) -> Result<Vec<(u32, u32)>, FibFault> {
        let mut members = Vec::with_capacity(legs.len());
        for leg in legs {
            let key = LegKey { interface: leg.interface, gateway: leg.gateway, onlink: leg.onlink };
            let Some(number) = self.leg_of.get(&key).copied().or_else(|| self.new_leg(key, ports)) else {
                self.release_legs(members.iter().map(|(leg, _)| *leg));
                return Err(FibFault::CapacityExceeded);
            };
            if let Some(leg) = self.legs.get_mut(&number) {
                leg.users += 1;
            }
            members.push((number, u32::from(leg.weight)));
        }
        Ok(members)
    }

    fn new_leg(&mut self, key: LegKey, ports: &Ports) -> Option<u32> {
        let number = self.leg_numbers.take()?;
        let mut flags = INFO_USED;
        let mut gateway = [0; 16];
        if let Some(addr) = key.gateway {
            flags |= INFO_GATEWAY | if addr.is_ipv4() { INFO_V4 } else { 0 };
            gateway = neighbor_octets(addr);
        }
        if key.onlink {
            flags |= INFO_ONLINK;
        }
        let (high, low) = (gateway.first_chunk(), gateway.last_chunk());
        let half = |octets: Option<&[u8; 8]>| octets.copied().map_or(0, u64::from_ne_bytes);
        let words = &self.maps.infos[number as usize * LEG_INFO_WORDS..][..LEG_INFO_WORDS];
        words[1].store(half(high), Ordering::Relaxed);
        words[2].store(half(low), Ordering::Relaxed);
        words[0].store(flags << 32 | u64::from(key.interface.0), Ordering::Release);
        self.maps.legs[number as usize].store(ports.leg_word(&key), Ordering::Release);
        self.legs.insert(number, Leg { key, users: 0 });
        self.leg_of.insert(key, number);
        self.new_legs = true;
        Some(number)
    }

    fn release_legs(&mut self, legs: impl Iterator<Item = u32>) {
        for number in legs {
            let Some(leg) = self.legs.get_mut(&number) else { continue };
            leg.users -= 1;
            if leg.users == 0 {
                self.leg_of.remove(&leg.key);
                self.legs.remove(&number);
                self.leg_numbers.retire(number);
            }
        }
    }

    /// Writes who is in a group and which flows each member takes.
    fn write_group(&mut self, number: u32, members: &[(u32, u32)], old: Option<u32>) -> Result<u32, FibFault> {
        let slice = old.or_else(|| self.slices.take()).ok_or(FibFault::CapacityExceeded)?;
        let mut value = [0; MEMBERS_WORDS];
        value[0] = members.len() as u32;
        for (at, (leg, weight)) in members.iter().enumerate() {
            (value[2 + 2 * at], value[3 + 2 * at]) = (*leg, *weight);
        }
        if let Err(error) = self.maps.members.insert(number, value, 0) {
            tracing::warn!(%error, "cannot note the members of a group");
            if old.is_none() {
                self.slices.retire(slice);
            }
            return Err(FibFault::CapacityExceeded);
        }
        let buckets = &self.maps.buckets[slice as usize * SLICE..][..SLICE];
        let before: Vec<Option<u32>> =
            buckets.iter().map(|bucket| old.map(|_| bucket.load(Ordering::Relaxed))).collect();
        for (bucket, leg) in buckets.iter().zip(share(members, &before)) {
            bucket.store(leg, Ordering::Release);
        }
        Ok(slice)
    }

    /// Writes anew the words of all legs that `concerned` names.
    pub(super) fn refresh(&self, ports: &Ports, concerned: impl Fn(&LegKey) -> bool) {
        for (number, leg) in self.legs.iter().filter(|(_, leg)| concerned(&leg.key)) {
            self.maps.legs[*number as usize].store(ports.leg_word(&leg.key), Ordering::Release);
        }
    }

    /// A neighbor's leg, in both its forms.
    pub(super) fn refresh_neighbor(&self, ports: &Ports, interface: IfIndex, addr: IpAddr) {
        for onlink in [false, true] {
            let key = LegKey { interface, gateway: Some(addr), onlink };
            if let Some(number) = self.leg_of.get(&key) {
                self.maps.legs[*number as usize].store(ports.leg_word(&key), Ordering::Release);
            }
        }
    }

    /// The gateways in use.
    pub(super) fn gateways(&self) -> impl Iterator<Item = (IfIndex, IpAddr)> + '_ {
        self.leg_of.keys().filter_map(|key| Some((key.interface, key.gateway?)))
    }
}

/// Address octets as neighbors are keyed: IPv4 mapped into IPv6.
pub(super) fn neighbor_octets(addr: IpAddr) -> [u8; 16] {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
        IpAddr::V6(addr) => addr.octets(),
    }
}

/// A leg for each bucket, by weight, each member at least one; who stays keeps as many of its buckets as it may.
fn share(members: &[(u32, u32)], before: &[Option<u32>]) -> Vec<u32> {
    let total: u64 = members.iter().map(|(_, weight)| u64::from(*weight).max(1)).sum();
    // Cumulative rounding: the parts add up exactly, and equal weights differ by at most one.
    let mut sum = 0;
    let mut left: Vec<(u32, u64)> = Vec::with_capacity(members.len());
    for (leg, weight) in members {
        let from = before.len() as u64 * sum / total;
        sum += u64::from(*weight).max(1);
        left.push((*leg, before.len() as u64 * sum / total - from));
    }
    for at in 0..left.len() {
        if left[at].1 == 0
            && let Some(most) = (0..left.len()).max_by_key(|at| left[*at].1)
        {
            left[most].1 -= 1;
            left[at].1 = 1;
        }
    }
    let mut result: Vec<Option<u32>> = vec![None; before.len()];
    for (now, old) in result.iter_mut().zip(before) {
        let Some(old) = old else { continue };
        if let Some((leg, quota)) = left.iter_mut().find(|(leg, quota)| leg == old && *quota > 0) {
            *quota -= 1;
            *now = Some(*leg);
        }
    }
    // The rest in turn, so that neighbors among the buckets are of different legs.
    let mut turn = 0;
    let mut next = || {
        while left[turn % left.len()].1 == 0 {
            turn += 1;
        }
        let at = turn % left.len();
        left[at].1 -= 1;
        turn += 1;
        left[at].0
    };
    result.into_iter().map(|leg| leg.unwrap_or_else(&mut next)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn parts(buckets: &[u32]) -> BTreeMap<u32, usize> {
        let mut parts = BTreeMap::new();
        buckets.iter().for_each(|leg| *parts.entry(*leg).or_default() += 1);
        parts
    }

    #[test]
    fn buckets_are_shared_by_weight_and_each_member_has_one() {
        let empty = vec![None; 256];
        assert_eq!(parts(&share(&[(1, 1), (2, 1)], &empty)), [(1, 128), (2, 128)].into());
        assert_eq!(parts(&share(&[(1, 3), (2, 1)], &empty)), [(1, 192), (2, 64)].into());
        assert_eq!(parts(&share(&[(1, 256), (2, 1)], &empty))[&2], 1);
        let many: Vec<(u32, u32)> = (1..=64).map(|leg| (leg, 1)).collect();
        assert!(parts(&share(&many, &empty)).values().all(|part| *part == 4));
    }

    #[test]
    fn only_flows_of_a_leg_that_went_are_moved() {
        let before = share(&[(1, 1), (2, 1), (3, 1), (4, 1)], &[None; 256]);
        let some: Vec<Option<u32>> = before.iter().copied().map(Some).collect();
        let after = share(&[(1, 1), (2, 1), (4, 1)], &some);
        for (before, after) in before.iter().zip(&after) {
            assert!(*before == 3 || before == after, "a flow of leg {before} was moved to {after}");
        }
        let sizes = parts(&after);
        assert!(sizes.values().all(|part| (85..=86).contains(part)), "{sizes:?}");
    }
}
