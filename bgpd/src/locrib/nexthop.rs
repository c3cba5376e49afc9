//! BGP next hops (RFC 4271 §9.1.2.1): each address once, with how the shared RIB says it is reached.
//!
//! A next hop lives as long as an attribute set names it, and some time longer, so that a route that goes and comes back finds
//! it resolved. While the first answer is outstanding, the destinations that wait for it are remembered one by one; a
//! later change asks for a scan of the table for its dependents.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};
use rib::AddressFamily;
use rib::message::{Reach, Reachability};

use super::DestId;

/// A next hop's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NextHopId(pub u32);

/// How long an unused next hop stays tracked.
const LINGER: Duration = Duration::from_secs(30);

/// Destinations remembered while the first answer is outstanding; beyond, a scan finds them.
const WAITING_MAX: usize = 1 << 16;

/// What is known of a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Asked, not answered: counts as unreachable.
    Asked,
    /// Answered.
    Known(Option<Reach>),
}

#[derive(Debug)]
struct Entry {
    addr: IpAddr,
    /// The link that a link-local address is on; 0 for others.
    link: u32,
    /// Attribute sets that name it.
    uses: u32,
    /// It is an address of this host: nothing can be forwarded there (RFC 4271 §5.1.3), whatever the RIB says.
    ours: bool,
    state: State,
    waiting: Vec<(AddressFamily, DestId)>,
    overflow: bool,
}

/// Who has to decide anew after an answer.
#[derive(Debug, Default)]
pub struct Affected {
    /// These destinations.
    pub dests: Vec<(AddressFamily, DestId)>,
    /// All destinations with a path through one of these.
    pub scan: Vec<NextHopId>,
}

/// The table.
#[derive(Debug, Default)]
pub struct NextHops {
    by_addr: HashMap<IpAddr, u32, foldhash::fast::FixedState>,
    on_link: HashMap<(IpAddr, u32), u32, foldhash::fast::FixedState>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    idle: Vec<u32>,
    sweep_at: Option<Instant>,
    add: Vec<IpAddr>,
    /// The host's own addresses, those of one link with its number.
    host: HashSet<(IpAddr, u32), foldhash::fast::FixedState>,
}

impl NextHops {
    /// The number of `addr`, on the link of that number if it is not 0, with one use more.
    pub fn acquire(&mut self, addr: IpAddr, link: u32) -> NextHopId {
        let known = if link == 0 { self.by_addr.get(&addr) } else { self.on_link.get(&(addr, link)) };
        let id = match known {
            Some(&id) => id,
            None => self.insert(addr, link),
        };
        if let Some(entry) = &mut self.entries[id as usize] {
            entry.uses += 1;
        }
        NextHopId(id)
    }

    fn insert(&mut self, addr: IpAddr, link: u32) -> u32 {
        // An unspecified next hop is our own route's, one on a known link is a neighbor's there: they need no resolution.
        let own = addr.is_unspecified() || link != 0;
        let state = if own { State::Known(Some(OWN)) } else { State::Asked };
        if !own {
            self.add.push(addr);
        }
        let ours = self.host.contains(&(addr, link));
        let entry = Entry { addr, link, uses: 0, ours, state, waiting: Vec::new(), overflow: false };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = Some(entry);
                id
            }
            None => {
                self.entries.push(Some(entry));
                u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 next hops")
            }
        };
        if link == 0 {
            self.by_addr.insert(addr, id);
        } else {
            self.on_link.insert((addr, link), id);
        }
        id
    }

    /// One use less.
    pub fn release(&mut self, id: NextHopId) {
        if let Some(entry) = &mut self.entries[id.0 as usize] {
            debug_assert!(entry.uses > 0, "a next hop is released as often as acquired");
            entry.uses -= 1;
            if entry.uses == 0 {
                self.idle.push(id.0);
            }
        }
    }

    /// The address of `id`.
    #[must_use]
    pub fn addr(&self, id: NextHopId) -> IpAddr {
        self.entries[id.0 as usize].as_ref().map_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), |entry| entry.addr)
    }

    /// The number of the link that `id` is on; 0 if it is to be resolved.
    #[must_use]
    pub fn link(&self, id: NextHopId) -> u32 {
        self.entries[id.0 as usize].as_ref().map_or(0, |entry| entry.link)
    }

    /// What is known of `id`. An address of our own leads nowhere.
    #[must_use]
    pub fn state(&self, id: NextHopId) -> State {
        let state = |entry: &Entry| if entry.ours { State::Known(None) } else { entry.state };
        self.entries[id.0 as usize].as_ref().map_or(State::Asked, state)
    }

    /// `id` is an address of this host.
    #[must_use]
    pub fn is_ours(&self, id: NextHopId) -> bool {
        self.entries[id.0 as usize].as_ref().is_some_and(|entry| entry.ours)
    }

    /// The host has these addresses now, those that repeat on every link with its number, others with 0. What became ours or
    /// is so no longer asks for a scan.
    pub fn set_host(&mut self, addresses: impl IntoIterator<Item = (IpAddr, u32)>) -> Affected {
        self.host = addresses.into_iter().collect();
        let mut affected = Affected::default();
        for (entry, id) in self.entries.iter_mut().zip(0..) {
            let Some(entry) = entry else { continue };
            let ours = self.host.contains(&(entry.addr, entry.link));
            if std::mem::replace(&mut entry.ours, ours) != ours {
                affected.scan.push(NextHopId(id));
            }
        }
        affected
    }

    /// The way to `id`, if there is one.
    #[inline]
    #[must_use]
    pub fn reach(&self, id: NextHopId) -> Option<Reach> {
        match self.state(id) {
            State::Known(reach) => reach,
            State::Asked => None,
        }
    }

    /// `dest` waits for the first answer about `id`, if that is outstanding.
    pub fn wait(&mut self, id: NextHopId, family: AddressFamily, dest: DestId) {
        let Some(entry) = &mut self.entries[id.0 as usize] else { return };
        if entry.state != State::Asked || entry.overflow {
            return;
        }
        if entry.waiting.len() < WAITING_MAX {
            entry.waiting.push((family, dest));
        } else {
            entry.overflow = true;
            entry.waiting = Vec::new();
        }
    }

    /// Takes the RIB's answers.
    pub fn answer(&mut self, states: &[Reachability]) -> Affected {
        let mut affected = Affected::default();
        for Reachability { addr, reach } in states {
            let Some(&id) = self.by_addr.get(addr) else { continue };
            let Some(entry) = &mut self.entries[id as usize] else { continue };
            let before = std::mem::replace(&mut entry.state, State::Known(*reach));
            if before == entry.state {
                continue;
            }
            if before == State::Asked && !entry.overflow {
                affected.dests.append(&mut entry.waiting);
            } else {
                entry.overflow = false;
                affected.scan.push(NextHopId(id));
            }
        }
        affected
    }

    /// Addresses to be tracked from now on, and those no longer.
    pub fn changes(&mut self, now: Instant) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let add = std::mem::take(&mut self.add);
        let mut remove = Vec::new();
        match self.sweep_at {
            Some(at) if now >= at => {
                self.sweep_at = None;
                for id in std::mem::take(&mut self.idle) {
                    let unused = self.entries[id as usize].as_ref().is_some_and(|entry| entry.uses == 0);
                    if unused && let Some(entry) = self.entries[id as usize].take() {
                        self.free.push(id);
                        if entry.link != 0 {
                            self.on_link.remove(&(entry.addr, entry.link));
                            continue;
                        }
                        self.by_addr.remove(&entry.addr);
                        if !entry.addr.is_unspecified() {
                            remove.push(entry.addr);
                        }
                    }
                }
            }
            None if !self.idle.is_empty() => self.sweep_at = Some(now + LINGER),
            _ => {}
        }
        (add, remove)
    }

    /// When unused next hops are let go.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.sweep_at
    }

    /// One past the highest number given.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No next hop was ever seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The way to ourselves.
pub(super) const OWN: Reach = Reach { metric: rib::Metric(0), protocol: rib::Protocol::Connected, connected: true };
