//! Next-hop objects as a stream of messages tells them: one leg by itself, several as a group over objects of one leg.
//!
//! An object has its slot's number, so that a route names the slot; the legs of groups are numbered from [`LEGS`] on and shared
//! by all groups. Replacing an object is one message, however many routes name it.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rib::{Forwarding, NextHopId, ResolvedLeg};
use smallvec::SmallVec;

use crate::backend::MAX_NEXT_HOPS;
use crate::netlink::decode::{Body, NextHop};
use crate::netlink::encode::{self, AF_INET, family_of};
use crate::netlink::objects::LegKey;

/// Numbers from here on are legs of groups.
pub(crate) const LEGS: u32 = 2 * MAX_NEXT_HOPS;

/// Members with weights, by number, in the order of their legs.
type Members = Vec<(u32, u16)>;

/// What the receiver holds under a slot's number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    Leg(LegKey),
    Group(Members),
}

#[derive(Clone, Default)]
struct Slot {
    wanted: Option<Forwarding>,
    told: Told,
}

struct Leg {
    id: u32,
    users: u32,
    told: bool,
}

/// One message about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// An object of one leg.
    Leg(u32, LegKey),
    /// An object of several.
    Group(u32, Members),
    /// No object any more.
    Remove(u32),
}

impl Message {
    /// The object's number.
    pub(crate) fn id(&self) -> u32 {
        match self {
            Self::Leg(id, _) | Self::Group(id, _) | Self::Remove(id) => *id,
        }
    }

    pub(crate) fn encode(&self, buf: &mut Vec<u8>, seq: u32, protocol: u8) {
        match self {
            Self::Leg(id, key) => encode::next_hop(buf, seq, protocol, *id, key),
            Self::Group(id, members) => encode::group(buf, seq, protocol, *id, members),
            Self::Remove(id) => encode::remove_next_hop(buf, seq, *id),
        }
    }
}

/// All objects.
#[derive(Default)]
pub(crate) struct Book {
    slots: Vec<Slot>,
    legs: HashMap<LegKey, Leg, FixedState>,
    keys: HashMap<u32, LegKey, FixedState>,
    free: Vec<u32>,
    next_leg: u32,
    /// Found at the receiver and of no sense to us.
    strays: Vec<u32>,
}

fn key(leg: &ResolvedLeg) -> LegKey {
    // A leg without gateway carries both families; the message must say one.
    let family = leg.gateway.as_ref().map_or(AF_INET, family_of);
    LegKey { interface: leg.interface, gateway: leg.gateway, onlink: leg.onlink, family }
}

fn leg(key: LegKey, weight: u16) -> ResolvedLeg {
    ResolvedLeg { interface: key.interface, gateway: key.gateway, onlink: key.onlink, weight }
}

impl Book {
    fn slot(&mut self, slot: NextHopId) -> &mut Slot {
        let at = slot.0 as usize;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, Slot::default());
        }
        &mut self.slots[at]
    }

    /// What a slot is to mean.
    pub(crate) fn wanted(&self, slot: NextHopId) -> Option<&Forwarding> {
        self.slots.get(slot.0 as usize)?.wanted.as_ref()
    }

    pub(crate) fn want(&mut self, slot: NextHopId, forwarding: Option<Forwarding>) {
        self.slot(slot).wanted = forwarding;
    }

    /// True if the receiver has an object under the slot's number.
    pub(crate) fn is_told(&self, slot: NextHopId) -> bool {
        self.slots.get(slot.0 as usize).is_some_and(|slot| slot.told != Told::Nothing)
    }

    /// Nothing is told any more: the receiver is another one.
    pub(crate) fn forget(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.told = Told::Nothing);
        self.legs.clear();
        self.keys.clear();
        self.free.clear();
        self.strays.clear();
        self.next_leg = 0;
    }

    /// Appends what makes the receiver's object what is wanted, legs first; nothing for slots without legs. Counts as told.
    pub(crate) fn tell(&mut self, slot: NextHopId, out: &mut Vec<Message>) {
        let Some(Forwarding::Legs(legs)) = self.wanted(slot).cloned() else { return };
        let told = match &legs[..] {
            [one] if one.weight <= 1 => Told::Leg(key(one)),
            _ => Told::Group(self.members(&legs, out)),
        };
        if self.slot(slot).told == told {
            return;
        }
        out.push(match &told {
            Told::Group(members) => Message::Group(slot.0, members.clone()),
            Told::Leg(key) => Message::Leg(slot.0, *key),
            Told::Nothing => return,
        });
        self.replace(slot, told);
    }

    fn members(&mut self, legs: &[ResolvedLeg], out: &mut Vec<Message>) -> Members {
        let mut members = Members::with_capacity(legs.len());
        for one in legs {
            let key = key(one);
            let id = match self.legs.get(&key) {
                Some(leg) => leg.id,
                None => self.new_leg(key),
            };
            if let Some(leg) = self.legs.get_mut(&key)
                && !std::mem::replace(&mut leg.told, true)
            {
                out.push(Message::Leg(id, key));
            }
            let weight = one.weight.clamp(1, 256);
            match members.iter_mut().find(|(member, _)| *member == id) {
                Some((_, sum)) => *sum = (*sum + weight).min(256),
                None => members.push((id, weight)),
            }
        }
        members
    }

    fn new_leg(&mut self, key: LegKey) -> u32 {
        let id = self.free.pop().unwrap_or_else(|| {
            self.next_leg += 1;
            LEGS + self.next_leg - 1
        });
        self.legs.insert(key, Leg { id, users: 0, told: false });
        self.keys.insert(id, key);
        id
    }

    fn replace(&mut self, slot: NextHopId, told: Told) {
        self.count(&told, 1);
        let before = std::mem::replace(&mut self.slot(slot).told, told);
        self.count(&before, -1);
    }

    fn count(&mut self, told: &Told, by: i32) {
        let Told::Group(members) = told else { return };
        for (id, _) in members {
            if let Some(leg) = self.keys.get(id).and_then(|key| self.legs.get_mut(key)) {
                leg.users = leg.users.saturating_add_signed(by);
            }
        }
    }

    /// Appends the removal of a slot's object, if it has one.
    pub(crate) fn remove(&mut self, slot: NextHopId, out: &mut Vec<Message>) {
        if self.is_told(slot) {
            self.replace(slot, Told::Nothing);
            out.push(Message::Remove(slot.0));
        }
    }

    /// Appends the removal of legs that no group has.
    pub(crate) fn remove_idle(&mut self, out: &mut Vec<Message>) {
        let Self { legs, keys, free, .. } = self;
        legs.retain(|_, leg| {
            if leg.users == 0 {
                keys.remove(&leg.id);
                free.push(leg.id);
                out.push(Message::Remove(leg.id));
            }
            leg.users > 0
        });
    }

    /// The receiver refused a message about this object: it is written again next time.
    pub(crate) fn doubt(&mut self, id: u32) {
        if id < LEGS {
            self.replace(NextHopId(id), Told::Nothing);
        } else if let Some(leg) = self.keys.get(&id).and_then(|key| self.legs.get_mut(key)) {
            leg.told = false;
        }
    }

    /// What the receiver's object under a slot's number means.
    pub(crate) fn meaning(&self, slot: NextHopId) -> Option<Forwarding> {
        let mut legs: SmallVec<[ResolvedLeg; 1]> = match &self.slots.get(slot.0 as usize)?.told {
            Told::Nothing => return None,
            Told::Leg(key) => [leg(*key, 1)].into_iter().collect(),
            Told::Group(members) => {
                let one = |(id, weight): &(u32, u16)| Some(leg(*self.keys.get(id)?, *weight));
                members.iter().map(one).collect::<Option<_>>()?
            }
        };
        legs.sort_unstable();
        Some(Forwarding::Legs(legs))
    }

    /// Takes up what the receiver holds by its own word; what is wanted stays.
    pub(crate) fn load(&mut self, found: Vec<NextHop>) {
        self.forget();
        let (groups, singles): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|object| matches!(object.body, Body::Group(_)));
        for object in singles {
            let Body::Leg { interface, gateway, onlink } = object.body else {
                self.strays.push(object.id);
                continue;
            };
            let key = LegKey { interface, gateway, onlink, family: gateway.as_ref().map_or(AF_INET, family_of) };
            if (1..MAX_NEXT_HOPS).contains(&object.id) {
                self.slot(NextHopId(object.id)).told = Told::Leg(key);
            } else if (LEGS..2 * LEGS).contains(&object.id) && !self.legs.contains_key(&key) {
                self.legs.insert(key, Leg { id: object.id, users: 0, told: true });
                self.keys.insert(object.id, key);
                self.next_leg = self.next_leg.max(object.id - LEGS + 1);
            } else {
                self.strays.push(object.id);
            }
        }
        // Numbers of strays are not given out before they are swept.
        let strays = self.strays.iter().filter_map(|id| id.checked_sub(LEGS).filter(|n| *n < LEGS));
        self.next_leg = strays.fold(self.next_leg, |at, n| at.max(n + 1));
        for object in groups {
            let Body::Group(members) = object.body else { continue };
            if (1..MAX_NEXT_HOPS).contains(&object.id) && members.iter().all(|(id, _)| self.keys.contains_key(id)) {
                self.replace(NextHopId(object.id), Told::Group(members));
            } else {
                self.strays.push(object.id);
            }
        }
    }

    /// Slots whose object the receiver has.
    pub(crate) fn told(&self) -> Vec<NextHopId> {
        let told = (0..).zip(&self.slots).filter(|(_, slot)| slot.told != Told::Nothing);
        told.map(|(number, _)| NextHopId(number)).collect()
    }

    /// Appends the removal of what was found and makes no sense.
    pub(crate) fn remove_strays(&mut self, out: &mut Vec<Message>) {
        // Groups come last in the dump, and go first.
        out.extend(std::mem::take(&mut self.strays).into_iter().rev().map(Message::Remove));
    }

    /// Links and gateways that objects use.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = LegKey> + '_ {
        let single = |slot: &Slot| if let Told::Leg(key) = &slot.told { Some(*key) } else { None };
        self.slots.iter().filter_map(single).chain(self.legs.keys().copied()).filter(|key| key.gateway.is_some())
    }
}
