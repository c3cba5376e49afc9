//! Next-hop objects between the RIB's numbers and the data plane's.
//!
//! The RIB numbers its objects anew at each start; the data plane still holds those of the run before. Each object of the data
//! plane has a slot, its number there. A RIB number is bound to a slot at its first route: to the slot that route already
//! uses, if that means the same, so that a restart writes nothing; to a free one otherwise.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rib::{FibFault, Forwarding, IfIndex, NextHopId, NextHopOp};

use crate::backend::{Installed, MAX_NEXT_HOPS};
use crate::mirror::Slot;

/// Numbers from here on stand for held routes without an object, by what they mean; no data plane ever sees them.
const PLAIN: u32 = MAX_NEXT_HOPS - (1 << 16);

/// Never means anything: routes found with an object that contradicts itself hang here until written anew.
pub(crate) const UNKNOWN: Slot = Slot(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// Nobody; may be taken.
    Free,
    /// Found in the data plane, not yet named by the RIB.
    Held,
    /// Used by this RIB object.
    Bound(NextHopId),
}

struct Info {
    owner: Owner,
    forwarding: Option<Forwarding>,
    /// The data plane dropped the object and the routes on it.
    lost: bool,
    /// The data plane refused the present meaning.
    fault: Option<FibFault>,
}

const FREE: Info = Info { owner: Owner::Free, forwarding: None, lost: false, fault: None };

struct Known {
    forwarding: Forwarding,
    slot: Option<Slot>,
}

/// What [`Slots::declare`] changed.
pub(crate) struct Changed {
    pub(crate) slot: Slot,
    /// The meaning before.
    pub(crate) old: Forwarding,
    /// The data plane had lost the object with its routes.
    pub(crate) was_lost: bool,
}

/// All objects that the RIB has named or the data plane holds.
pub(crate) struct Slots {
    ids: HashMap<NextHopId, Known, FixedState>,
    infos: Vec<Info>,
    free: Vec<u32>,
    /// What held routes without an object mean, from [`PLAIN`] on, and the way back.
    plain: Vec<Forwarding>,
    plain_numbers: HashMap<Forwarding, Slot, FixedState>,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            ids: HashMap::default(),
            infos: vec![FREE],
            free: Vec::new(),
            plain: Vec::new(),
            plain_numbers: HashMap::default(),
        }
    }

    /// Number of objects the RIB uses.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    fn info(&self, slot: Slot) -> Option<&Info> {
        self.infos.get(slot.0 as usize)
    }

    fn info_mut(&mut self, slot: Slot) -> &mut Info {
        &mut self.infos[slot.0 as usize]
    }

    pub(crate) fn forwarding(&self, slot: Slot) -> Option<&Forwarding> {
        match slot.0.checked_sub(PLAIN) {
            Some(at) => self.plain.get(at as usize),
            None => self.info(slot)?.forwarding.as_ref(),
        }
    }

    pub(crate) fn is_local(&self, slot: Slot) -> bool {
        matches!(self.forwarding(slot), Some(Forwarding::Local))
    }

    /// The operation that tells the data plane what `slot` means.
    pub(crate) fn operation(&self, slot: Slot) -> NextHopOp {
        NextHopOp { id: NextHopId(slot.0), forwarding: self.forwarding(slot).cloned() }
    }

    /// The RIB says what `id` means. Answers with what must be rewritten, if the data plane knows the object and it is not so yet.
    pub(crate) fn declare(&mut self, id: NextHopId, forwarding: Forwarding) -> Option<Changed> {
        let known = self.ids.entry(id).or_insert_with(|| Known { forwarding: forwarding.clone(), slot: None });
        known.forwarding.clone_from(&forwarding);
        let slot = known.slot?;
        let info = self.info_mut(slot);
        let was_lost = std::mem::take(&mut info.lost);
        let old = info.forwarding.replace(forwarding)?;
        let same = info.forwarding.as_ref() == Some(&old);
        (!same || was_lost || info.fault.is_some()).then_some(Changed { slot, old, was_lost })
    }

    /// The slot `id` is bound to.
    pub(crate) fn slot_of(&self, id: NextHopId) -> Option<Slot> {
        self.ids.get(&id)?.slot
    }

    /// Whether a route found on `held` is already as `id` wants it; binds `id` to that slot if neither is bound. Answers with the
    /// slot to note for the route, and whether the binding is new.
    pub(crate) fn adopt(&mut self, id: NextHopId, held: Slot) -> Option<(Slot, bool)> {
        let known = self.ids.get(&id)?;
        if self.forwarding(held) != Some(&known.forwarding) {
            return None;
        }
        if held.0 >= PLAIN {
            // The route says itself how it forwards: any number may stand for that.
            return self.bind(id);
        }
        let bound = known.slot;
        let info = self.infos.get_mut(held.0 as usize)?;
        match bound {
            Some(slot) if slot == held => Some((slot, false)),
            None if info.owner == Owner::Held => {
                info.owner = Owner::Bound(id);
                self.ids.get_mut(&id)?.slot = Some(held);
                Some((held, true))
            }
            _ => None,
        }
    }

    /// The slot of `id`, taking a free one at its first use, and whether that is new. `None` if the RIB never named `id` or all
    /// slots are taken.
    pub(crate) fn bind(&mut self, id: NextHopId) -> Option<(Slot, bool)> {
        let known = self.ids.get_mut(&id)?;
        if let Some(slot) = known.slot {
            return Some((slot, false));
        }
        let slot = match self.free.pop() {
            Some(free) => Slot(free),
            None if self.infos.len() < PLAIN as usize => {
                self.infos.push(FREE);
                Slot(self.infos.len() as u32 - 1)
            }
            None => return None,
        };
        known.slot = Some(slot);
        let forwarding = Some(known.forwarding.clone());
        *self.info_mut(slot) = Info { owner: Owner::Bound(id), forwarding, ..FREE };
        Some((slot, true))
    }

    /// The RIB uses `id` no more. Answers with the slot to remove from the data plane; none while routes that the RIB has not
    /// named yet hang on it (`held`): they forward until they are swept, and the object is swept with them.
    pub(crate) fn release(&mut self, id: NextHopId, held: impl FnOnce(Slot) -> bool) -> Option<Slot> {
        let slot = self.ids.remove(&id)?.slot?;
        if held(slot) {
            self.info_mut(slot).owner = Owner::Held;
            return None;
        }
        self.set_free(slot);
        Some(slot)
    }

    fn set_free(&mut self, slot: Slot) {
        *self.info_mut(slot) = FREE;
        self.free.push(slot.0);
    }

    /// The slot of a route that the data plane holds and the RIB has not named.
    pub(crate) fn hold(&mut self, installed: Installed) -> Slot {
        let Some(NextHopId(number)) = installed.next_hop else { return self.hold_plain(installed.forwarding) };
        if number == 0 || number >= PLAIN {
            return UNKNOWN;
        }
        while self.infos.len() <= number as usize {
            self.free.push(self.infos.len() as u32);
            self.infos.push(FREE);
        }
        let slot = Slot(number);
        let info = self.info_mut(slot);
        match info.owner {
            Owner::Free => {
                *info = Info { owner: Owner::Held, forwarding: Some(installed.forwarding), ..FREE };
                self.free.retain(|free| *free != number);
                slot
            }
            _ if info.forwarding.as_ref() == Some(&installed.forwarding) => slot,
            _ => UNKNOWN,
        }
    }

    fn hold_plain(&mut self, forwarding: Forwarding) -> Slot {
        if let Some(slot) = self.plain_numbers.get(&forwarding) {
            return *slot;
        }
        let slot = Slot(PLAIN + self.plain.len() as u32);
        if slot.0 >= MAX_NEXT_HOPS {
            return UNKNOWN;
        }
        self.plain.push(forwarding.clone());
        self.plain_numbers.insert(forwarding, slot);
        slot
    }

    /// True if a route on `slot` is as found.
    pub(crate) fn matches(&self, slot: Slot, installed: &Installed) -> bool {
        self.forwarding(slot) == Some(&installed.forwarding)
            && installed.next_hop.is_none_or(|number| number == NextHopId(slot.0))
    }

    /// Frees every slot that was held and never bound; answers with their objects.
    pub(crate) fn drop_held(&mut self) -> Vec<NextHopId> {
        self.plain.clear();
        self.plain_numbers.clear();
        let held = (1..).zip(&self.infos[1..]).filter(|(_, info)| info.owner == Owner::Held);
        let objects: Vec<NextHopId> = held.map(|(number, _)| NextHopId(number)).collect();
        for number in &objects {
            self.set_free(Slot(number.0));
        }
        objects
    }

    /// True if the RIB uses the object of this number.
    pub(crate) fn is_bound(&self, number: NextHopId) -> bool {
        self.infos.get(number.0 as usize).is_some_and(|info| matches!(info.owner, Owner::Bound(_)))
    }

    /// The data plane dropped the object with its routes.
    pub(crate) fn set_lost(&mut self, number: NextHopId) -> Option<Slot> {
        let info = self.infos.get_mut(number.0 as usize)?;
        info.lost = true;
        Some(Slot(number.0))
    }

    /// Bound slots with a leg over `index`, each with whether its object was lost; marks them found again.
    pub(crate) fn take_over_link(&mut self, index: IfIndex) -> Vec<(Slot, bool)> {
        let mut over = Vec::new();
        for (number, info) in self.infos.iter_mut().enumerate() {
            if let (Owner::Bound(_), Some(Forwarding::Legs(legs))) = (info.owner, &info.forwarding)
                && legs.iter().any(|leg| leg.interface == index)
            {
                over.push((Slot(number as u32), std::mem::take(&mut info.lost)));
            }
        }
        over
    }

    /// Nothing is lost any more: the data plane has just been read.
    pub(crate) fn clear_lost(&mut self) {
        self.infos.iter_mut().for_each(|info| info.lost = false);
    }

    /// The last answer to writing `slot`; returns the one before.
    pub(crate) fn set_fault(&mut self, slot: Slot, fault: Option<FibFault>) -> Option<FibFault> {
        std::mem::replace(&mut self.info_mut(slot).fault, fault)
    }

    /// The reason why `slot` does not mean what the RIB said.
    pub(crate) fn fault(&self, slot: Slot) -> Option<&FibFault> {
        self.info(slot)?.fault.as_ref()
    }

    /// Bound slots that were refused.
    pub(crate) fn faulty(&self) -> Vec<Slot> {
        let faulty = |info: &Info| info.fault.is_some() && matches!(info.owner, Owner::Bound(_));
        (1..self.infos.len() as u32).filter(|n| faulty(&self.infos[*n as usize])).map(Slot).collect()
    }
}
