//! The reverse index: which next-hop sets and which clients look at an address or an interface.
//!
//! Addresses stand in an ordered map per family, so that those under a changed prefix are one range. Each keeps how short
//! the prefixes were that its answer was read from: a change of a shorter prefix cannot matter to it. A table load whose
//! prefixes cover no tracked address costs one range lookup in a small map per prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;

use crate::message::Reach;
use crate::nexthop::{IfIndex, NextHopId};
use crate::route::Source;

/// Something that a resolution looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dep {
    /// The routes to an address, those of prefixes at least this long.
    Addr(IpAddr, u8),
    /// The state of an interface.
    Interface(IfIndex),
}

impl Dep {
    fn same_thing(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Addr(a, _), Self::Addr(b, _)) => a == b,
            (a, b) => a == b,
        }
    }

    /// Sorts `deps` and joins those on the same thing.
    pub(crate) fn fold(deps: &mut smallvec::SmallVec<[Self; 2]>) {
        // For one address the shortest length comes first, and that is the one to keep.
        deps.sort_unstable();
        deps.dedup_by(|later, earlier| later.same_thing(earlier));
    }
}

/// "Nothing has been read since the last change": longer than any prefix.
const UNREAD: u8 = u8::MAX;

/// What is known of a tracked address.
#[derive(Debug)]
struct Tracked {
    /// Sets whose resolution looked at the address.
    sets: BTreeSet<NextHopId>,
    /// The shortest prefix that one of these resolutions read.
    read_from: u8,
    /// Clients that follow the address, a bit per source.
    clients: u8,
    /// The length of the prefix that answers the clients; 0 if none does.
    answer_len: u8,
    /// The answer the clients have.
    reach: Option<Reach>,
    /// It stands in the queue of addresses to be answered anew.
    queued: bool,
}

impl Tracked {
    fn new() -> Self {
        Self { sets: BTreeSet::new(), read_from: UNREAD, clients: 0, answer_len: UNREAD, reach: None, queued: false }
    }

    fn is_unused(&self) -> bool {
        self.sets.is_empty() && self.clients == 0
    }
}

/// What of a prefix changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Its candidates: resolutions read those.
    pub(crate) candidates: bool,
    /// Its best route: clients are answered from that.
    pub(crate) best: bool,
}

/// The reverse index.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    v4: BTreeMap<Ipv4Addr, Tracked>,
    v6: BTreeMap<Ipv6Addr, Tracked>,
    interfaces: HashMap<IfIndex, BTreeSet<NextHopId>>,
    up: HashSet<IfIndex>,
    /// Addresses whose clients are to be answered anew.
    unanswered: Vec<IpAddr>,
}

impl Tracker {
    fn tracked_mut(&mut self, addr: IpAddr) -> &mut Tracked {
        match addr {
            IpAddr::V4(addr) => self.v4.entry(addr).or_insert_with(Tracked::new),
            IpAddr::V6(addr) => self.v6.entry(addr).or_insert_with(Tracked::new),
        }
    }

    fn existing_mut(&mut self, addr: IpAddr) -> Option<&mut Tracked> {
        match addr {
            IpAddr::V4(addr) => self.v4.get_mut(&addr),
            IpAddr::V6(addr) => self.v6.get_mut(&addr),
        }
    }

    fn drop_if_unused(&mut self, addr: IpAddr) {
        if self.existing_mut(addr).is_some_and(|tracked| tracked.is_unused()) {
            match addr {
                IpAddr::V4(addr) => self.v4.remove(&addr).is_some(),
                IpAddr::V6(addr) => self.v6.remove(&addr).is_some(),
            };
        }
    }

    /// Whether the interface is up; an unknown one is not.
    pub(crate) fn is_up(&self, index: IfIndex) -> bool {
        self.up.contains(&index)
    }

    /// Sets the state of an interface and returns the sets to resolve anew.
    pub(crate) fn set_interface(&mut self, index: IfIndex, up: bool) -> Vec<NextHopId> {
        let changed = if up { self.up.insert(index) } else { self.up.remove(&index) };
        match self.interfaces.get(&index) {
            Some(sets) if changed => sets.iter().copied().collect(),
            _ => Vec::new(),
        }
    }

    /// Replaces what `set` depends on, `old` by `new`; both folded.
    pub(crate) fn depend(&mut self, set: NextHopId, old: &[Dep], new: &[Dep]) {
        for dep in new {
            match *dep {
                Dep::Addr(addr, length) => {
                    let tracked = self.tracked_mut(addr);
                    tracked.sets.insert(set);
                    tracked.read_from = tracked.read_from.min(length);
                }
                Dep::Interface(index) => {
                    self.interfaces.entry(index).or_default().insert(set);
                }
            }
        }
        for dep in old.iter().filter(|old| !new.iter().any(|new| new.same_thing(old))) {
            match *dep {
                Dep::Addr(addr, _) => {
                    if let Some(tracked) = self.existing_mut(addr) {
                        tracked.sets.remove(&set);
                    }
                    self.drop_if_unused(addr);
                }
                Dep::Interface(index) => {
                    if let Some(sets) = self.interfaces.get_mut(&index) {
                        sets.remove(&set);
                        if sets.is_empty() {
                            self.interfaces.remove(&index);
                        }
                    }
                }
            }
        }
    }

    /// A prefix changed: calls `dirty` for every set to resolve anew, and queues the addresses to answer anew.
    pub(crate) fn touched(&mut self, prefix: IpNet, what: Change, mut dirty: impl FnMut(NextHopId)) {
        let length = prefix.prefix_len();
        let unanswered = &mut self.unanswered;
        let mut visit = |addr: IpAddr, tracked: &mut Tracked| {
            if what.candidates && length >= tracked.read_from {
                tracked.read_from = UNREAD;
                tracked.sets.iter().copied().for_each(&mut dirty);
            }
            if what.best && tracked.clients != 0 && length >= tracked.answer_len && !tracked.queued {
                tracked.queued = true;
                unanswered.push(addr);
            }
        };
        match prefix {
            IpNet::V4(net) if !self.v4.is_empty() => {
                for (addr, tracked) in self.v4.range_mut(net.network()..=net.broadcast()) {
                    visit(IpAddr::V4(*addr), tracked);
                }
            }
            IpNet::V6(net) if !self.v6.is_empty() => {
                for (addr, tracked) in self.v6.range_mut(net.network()..=net.broadcast()) {
                    visit(IpAddr::V6(*addr), tracked);
                }
            }
            IpNet::V4(_) | IpNet::V6(_) => {}
        }
    }

    /// `client` follows `addr` from now on.
    pub(crate) fn follow(&mut self, client: Source, addr: IpAddr) {
        self.tracked_mut(addr).clients |= 1 << client as u8;
    }

    /// `client` does not follow `addr` any more.
    pub(crate) fn unfollow(&mut self, client: Source, addr: IpAddr) {
        if let Some(tracked) = self.existing_mut(addr) {
            tracked.clients &= !(1 << client as u8);
        }
        self.drop_if_unused(addr);
    }

    /// Whether `client` follows `addr`.
    #[cfg(test)]
    pub(crate) fn follows(&mut self, client: Source, addr: IpAddr) -> bool {
        self.existing_mut(addr).is_some_and(|tracked| tracked.clients & (1 << client as u8) != 0)
    }

    /// Queues every followed address to be answered anew.
    pub(crate) fn doubt_all(&mut self) {
        let v4 = self.v4.iter_mut().map(|(addr, tracked)| (IpAddr::V4(*addr), tracked));
        let v6 = self.v6.iter_mut().map(|(addr, tracked)| (IpAddr::V6(*addr), tracked));
        for (addr, tracked) in v4.chain(v6).filter(|(_, tracked)| tracked.clients != 0) {
            if !std::mem::replace(&mut tracked.queued, true) {
                self.unanswered.push(addr);
            }
        }
    }

    /// True if addresses wait to be answered anew.
    pub(crate) fn has_unanswered(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// The next address to answer anew.
    pub(crate) fn next_unanswered(&mut self) -> Option<IpAddr> {
        while let Some(addr) = self.unanswered.pop() {
            if let Some(tracked) = self.existing_mut(addr)
                && std::mem::take(&mut tracked.queued)
            {
                return Some(addr);
            }
        }
        None
    }

    /// Notes the answer for `addr`, read from a prefix of length `answer_len`; returns the clients to tell, all of them if the
    /// answer is new.
    pub(crate) fn answer(&mut self, addr: IpAddr, answer_len: u8, reach: Option<Reach>) -> u8 {
        let Some(tracked) = self.existing_mut(addr) else { return 0 };
        tracked.answer_len = answer_len;
        if std::mem::replace(&mut tracked.reach, reach) == reach { 0 } else { tracked.clients }
    }
}
