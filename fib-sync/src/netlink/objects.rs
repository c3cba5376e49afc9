//! The kernel's next-hop objects of ours, as we believe them to be.
//!
//! Each RIB object is a *group* in the kernel, even with one leg: routes hang on the group, and a changed next hop is one
//! write of it (a plain object with 200,000 IPv6 routes on it takes ten times as long, for the kernel walks them). The members are
//! *legs*, one kernel object per distinct interface, gateway and family, shared by the groups. IPv6 routes cannot use
//! IPv4 legs, so a group exists once per family that has routes on it. An IPv6 group with a single leg has that leg for itself: when
//! the next hop changes, the leg is rewritten in place, which the kernel does in a third of a group's time.
//!
//! Numbers: `protocol << 24` is ours; the lower half holds groups (twice the slot, plus one for IPv6), the upper half legs.

use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use rib::{FibFault, Forwarding, IfIndex, NextHopId, ResolvedLeg};
use smallvec::SmallVec;

use super::decode::{Body, NextHop};
use super::encode::{AF_INET, AF_INET6, family_of};
use crate::backend::MAX_NEXT_HOPS;

const LEGS: u32 = 2 * MAX_NEXT_HOPS;
const LEG_MAX: u32 = MAX_NEXT_HOPS * 2;

/// A number of ours that is never given to an object.
pub(super) fn probe_id(protocol: u8) -> u32 {
    (u32::from(protocol) << 24) + LEGS + LEG_MAX - 1
}

/// What distinguishes a leg object from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LegKey {
    pub(crate) interface: IfIndex,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) onlink: bool,
    /// The gateway's family, or that of the routes if there is none.
    pub(crate) family: u8,
}

/// A leg, and the slot whose IPv6 group has it for itself; 0 is no slot: all groups may share it.
type Place = (LegKey, u32);

struct Leg {
    id: u32,
    /// Groups that have it as a member.
    users: u32,
    /// The kernel has it, as far as we know.
    sure: bool,
}

/// Members with weights, by number.
pub(super) type Members = Vec<(u32, u16)>;

/// The routes' family: the index into a slot's groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Side {
    V4,
    V6,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];
}

#[derive(Clone, Default)]
struct Slot {
    /// What it is to mean.
    wanted: Option<Forwarding>,
    /// What its groups are in the kernel.
    groups: [Option<Members>; 2],
}

/// All of ours.
pub(super) struct Objects {
    base: u32,
    slots: Vec<Slot>,
    legs: HashMap<Place, Leg, FixedState>,
    keys: HashMap<u32, Place, FixedState>,
    idle: HashSet<Place, FixedState>,
    free: Vec<u32>,
    next_leg: u32,
    /// Objects in our range that make no sense to us, to be swept.
    strays: Vec<u32>,
}

/// What to write so that a group becomes what is wanted: legs first.
pub(super) struct Plan {
    pub(super) legs: Vec<(u32, LegKey)>,
    pub(super) members: Members,
    /// The group itself is to be written; else its only leg becomes another in place.
    pub(super) group: bool,
}

impl Objects {
    pub(super) fn new(protocol: u8) -> Self {
        Self {
            base: u32::from(protocol) << 24,
            slots: Vec::new(),
            legs: HashMap::default(),
            keys: HashMap::default(),
            idle: HashSet::default(),
            free: Vec::new(),
            next_leg: 0,
            strays: Vec::new(),
        }
    }

    pub(super) fn group_id(&self, slot: NextHopId, side: Side) -> u32 {
        self.base + slot.0 * 2 + side as u32
    }

    /// The slot and side of a kernel number, if it is a group of ours.
    pub(super) fn slot_of(&self, id: u32) -> Option<(NextHopId, Side)> {
        let offset = id.checked_sub(self.base).filter(|offset| *offset < LEGS)?;
        Some((NextHopId(offset / 2), Side::BOTH[offset as usize % 2]))
    }

    pub(super) fn is_ours(&self, id: u32) -> bool {
        id >> 24 == self.base >> 24
    }

    fn slot(&mut self, slot: NextHopId) -> &mut Slot {
        let at = slot.0 as usize;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, Slot::default());
        }
        &mut self.slots[at]
    }

    pub(super) fn wanted(&self, slot: NextHopId) -> Option<&Forwarding> {
        self.slots.get(slot.0 as usize)?.wanted.as_ref()
    }

    pub(super) fn want(&mut self, slot: NextHopId, forwarding: Option<Forwarding>) {
        self.slot(slot).wanted = forwarding;
    }

    pub(super) fn has_group(&self, slot: NextHopId, side: Side) -> bool {
        self.slots.get(slot.0 as usize).is_some_and(|slot| slot.groups[side as usize].is_some())
    }

    /// What must be written for the group to be as wanted; `None` if it is so.
    ///
    /// # Errors
    /// When the kernel has no such group.
    pub(super) fn plan(&mut self, slot: NextHopId, side: Side) -> Result<Option<Plan>, FibFault> {
        let Some(Forwarding::Legs(legs)) = self.wanted(slot).cloned() else { return Ok(None) };
        let owner = if side == Side::V6 && legs.len() == 1 { slot.0 } else { 0 };
        if let [leg] = &legs[..]
            && let Some(plan) = self.turn_only_leg(slot, side, (leg_key(leg, side)?, owner), leg.weight)
        {
            return Ok(Some(plan));
        }
        let mut plan = Plan { legs: Vec::new(), members: Vec::with_capacity(legs.len()), group: true };
        for leg in &legs {
            let key = leg_key(leg, side)?;
            let (id, sure) = self.leg((key, owner))?;
            if !sure {
                plan.legs.push((id, key));
            }
            // The kernel wants each member once.
            match plan.members.iter_mut().find(|(member, _)| *member == id) {
                Some((_, weight)) => *weight = (*weight + leg.weight).min(256),
                None => plan.members.push((id, leg.weight.clamp(1, 256))),
            }
        }
        plan.members.sort_unstable_by_key(|(id, _)| self.keys.get(id).copied());
        let same = self.slot(slot).groups[side as usize].as_ref() == Some(&plan.members);
        Ok((!same || !plan.legs.is_empty()).then_some(plan))
    }

    /// A group with one leg that nobody shares moves by rewriting that leg: an IPv6 group with 200,000 routes takes 16 ms so, and
    /// 50 ms by writing the group.
    fn turn_only_leg(&mut self, slot: NextHopId, side: Side, new: Place, weight: u16) -> Option<Plan> {
        let members = self.slot(slot).groups[side as usize].clone()?;
        let [(id, had)] = members[..] else { return None };
        let old = *self.keys.get(&id)?;
        let leg = self.legs.get(&old)?;
        let turns = leg.users == 1 && leg.sure && had == weight.clamp(1, 256) && old.0.family == new.0.family;
        if !turns || self.legs.contains_key(&new) {
            return None;
        }
        self.legs.remove(&old);
        self.legs.insert(new, Leg { id, users: 1, sure: false });
        self.keys.insert(id, new);
        Some(Plan { legs: vec![(id, new.0)], members, group: false })
    }

    fn leg(&mut self, key: Place) -> Result<(u32, bool), FibFault> {
        if let Some(leg) = self.legs.get(&key) {
            return Ok((leg.id, leg.sure));
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.next_leg < LEG_MAX - 1 => {
                self.next_leg += 1;
                self.next_leg - 1
            }
            None => return Err(FibFault::CapacityExceeded),
        };
        let id = self.base + LEGS + number;
        self.legs.insert(key, Leg { id, users: 0, sure: false });
        self.keys.insert(id, key);
        self.idle.insert(key);
        Ok((id, false))
    }

    pub(super) fn leg_written(&mut self, id: u32, sure: bool) {
        if let Some(leg) = self.keys.get(&id).and_then(|key| self.legs.get_mut(key)) {
            leg.sure = sure;
        }
    }

    /// The kernel now has the group with these members, or no longer has it.
    pub(super) fn group_written(&mut self, slot: NextHopId, side: Side, members: Option<Members>) {
        self.count(members.as_ref(), 1);
        let before = std::mem::replace(&mut self.slot(slot).groups[side as usize], members);
        self.count(before.as_ref(), -1);
    }

    fn count(&mut self, members: Option<&Members>, by: i32) {
        for (id, _) in members.into_iter().flatten() {
            let Some(key) = self.keys.get(id) else { continue };
            let Some(leg) = self.legs.get_mut(key) else { continue };
            leg.users = leg.users.saturating_add_signed(by);
            if leg.users == 0 {
                self.idle.insert(*key);
            } else {
                self.idle.remove(key);
            }
        }
    }

    /// Legs that no group uses, taken out of the books; those the kernel may have are to be removed.
    pub(super) fn take_idle(&mut self) -> Vec<u32> {
        let mut remove = Vec::new();
        for key in std::mem::take(&mut self.idle) {
            if let Some(leg) = self.drop_leg(key)
                && leg.sure
            {
                remove.push(leg.id);
            }
        }
        remove
    }

    fn drop_leg(&mut self, key: Place) -> Option<Leg> {
        let leg = self.legs.remove(&key)?;
        self.keys.remove(&leg.id);
        self.free.push(leg.id - self.base - LEGS);
        self.idle.remove(&key);
        Some(leg)
    }

    /// A route on this group was refused as if the kernel had lost it: write it and its legs again next time.
    pub(super) fn doubt(&mut self, slot: NextHopId, side: Side) {
        let Some(members) = self.slot(slot).groups[side as usize].clone() else { return };
        for (id, _) in &members {
            self.doubt_leg(*id);
        }
        self.group_written(slot, side, None);
    }

    /// The kernel refused a group with this member: write the member again next time.
    pub(super) fn doubt_leg(&mut self, id: u32) {
        if let Some(leg) = self.keys.get(&id).and_then(|key| self.legs.get_mut(key)) {
            leg.sure = false;
        }
    }

    /// Slots with a leg over this link.
    pub(super) fn over(&self, index: IfIndex) -> Vec<NextHopId> {
        let is_over = |slot: &Slot| matches!(&slot.wanted, Some(Forwarding::Legs(legs)) if legs.iter().any(|leg| leg.interface == index));
        (0..).zip(&self.slots).filter(|(_, slot)| is_over(slot)).map(|(number, _)| NextHopId(number)).collect()
    }

    /// The kernel dropped all legs over this link, and every group without another leg. Answers with the slots of those groups.
    pub(super) fn link_lost(&mut self, index: IfIndex) -> Vec<NextHopId> {
        let gone: HashSet<u32, FixedState> =
            self.keys.iter().filter(|(_, (key, _))| key.interface == index).map(|(id, _)| *id).collect();
        let mut lost = Vec::new();
        if gone.is_empty() {
            return lost;
        }
        for number in 0..self.slots.len() {
            let slot = NextHopId(number as u32);
            for side in Side::BOTH {
                let Some(members) = &self.slots[number].groups[side as usize] else { continue };
                let left: Members = members.iter().copied().filter(|(id, _)| !gone.contains(id)).collect();
                if left.len() == members.len() {
                    continue;
                }
                if left.is_empty() {
                    lost.push(slot);
                }
                self.group_written(slot, side, (!left.is_empty()).then_some(left));
            }
        }
        let keys: Vec<Place> = gone.iter().filter_map(|id| self.keys.get(id).copied()).collect();
        for key in keys {
            self.drop_leg(key);
        }
        lost.dedup();
        lost
    }

    /// Forgets what the kernel has and learns it from its dump; what is wanted stays.
    pub(super) fn load(&mut self, found: Vec<NextHop>) {
        self.legs.clear();
        self.keys.clear();
        self.idle.clear();
        self.free.clear();
        self.strays.clear();
        self.slots.iter_mut().for_each(|slot| slot.groups = [None, None]);
        let (groups, singles): (Vec<NextHop>, Vec<NextHop>) =
            found.into_iter().partition(|object| matches!(object.body, Body::Group(_)));
        // Who has a leg for itself, by number.
        let mut owners: HashMap<u32, u32, FixedState> = HashMap::default();
        for object in &groups {
            if let (Body::Group(members), Some((slot, Side::V6))) = (&object.body, self.slot_of(object.id))
                && let [(leg, _)] = members[..]
            {
                owners.insert(leg, slot.0);
            }
        }
        let mut highest = 0;
        for object in singles {
            let Body::Leg { interface, gateway, onlink } = object.body else {
                self.strays.push(object.id);
                continue;
            };
            let owner = owners.get(&object.id).copied().unwrap_or(0);
            let key = (LegKey { interface, gateway, onlink, family: object.family }, owner);
            let number = object.id.wrapping_sub(self.base + LEGS);
            if number >= LEG_MAX - 1 || self.legs.contains_key(&key) {
                self.strays.push(object.id);
                continue;
            }
            highest = highest.max(number + 1);
            self.legs.insert(key, Leg { id: object.id, users: 0, sure: true });
            self.keys.insert(object.id, key);
            self.idle.insert(key);
        }
        self.next_leg = highest;
        // Numbers of strays are not given out before they are swept, or the sweep would hit the new one.
        let taken: HashSet<u32, FixedState> = self.keys.keys().chain(&self.strays).map(|id| id - self.base).collect();
        self.free = (0..highest).rev().filter(|number| !taken.contains(&(LEGS + number))).collect();
        for object in groups {
            let Body::Group(members) = object.body else { continue };
            let known = members.iter().all(|(id, _)| self.keys.contains_key(id));
            match self.slot_of(object.id) {
                Some((slot, side)) if slot.0 != 0 && known => {
                    // Members in the order of their legs, as plans have them.
                    let mut members = members;
                    members.sort_unstable_by_key(|(id, _)| self.keys.get(id).copied());
                    self.group_written(slot, side, Some(members));
                }
                _ => self.strays.push(object.id),
            }
        }
    }

    /// What a group in the kernel means.
    pub(super) fn meaning(&self, slot: NextHopId, side: Side) -> Option<Forwarding> {
        let members = self.slots.get(slot.0 as usize)?.groups[side as usize].as_ref()?;
        let leg = |(id, weight): &(u32, u16)| {
            let key = self.keys.get(id)?;
            let (LegKey { interface, gateway, onlink, .. }, _) = *key;
            Some(ResolvedLeg { interface, gateway, onlink, weight: *weight })
        };
        let mut legs: SmallVec<[ResolvedLeg; 1]> = members.iter().map(leg).collect::<Option<_>>()?;
        legs.sort_unstable();
        Some(Forwarding::Legs(legs))
    }

    /// Groups in the kernel.
    pub(super) fn groups(&self) -> Vec<(NextHopId, Side)> {
        let slots = (0..self.slots.len() as u32).map(NextHopId);
        slots
            .flat_map(|slot| Side::BOTH.map(|side| (slot, side)))
            .filter(|(slot, side)| self.has_group(*slot, *side))
            .collect()
    }

    pub(super) fn take_strays(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.strays)
    }
}

fn leg_key(leg: &ResolvedLeg, side: Side) -> Result<LegKey, FibFault> {
    let family = match (leg.gateway, side) {
        (Some(IpAddr::V4(_)), Side::V6) => {
            return Err(FibFault::Unsupported("the kernel cannot send IPv6 by an IPv4 gateway"));
        }
        (Some(gateway), _) => family_of(&gateway),
        (None, Side::V4) => AF_INET,
        (None, Side::V6) => AF_INET6,
    };
    Ok(LegKey { interface: leg.interface, gateway: leg.gateway, onlink: leg.onlink, family })
}

#[cfg(test)]
mod tests;
