//! The tables as a whole: routes in, words out.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{MapData, PerCpuArray};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rib::{FibFault, FibRoute, Forwarding, IfIndex, NextHopId, NextHopOp};

use super::area::Area;
use super::book::{Book, Record};
use super::hops::{HOST, Hops};
use super::layout::{route_word, state};
use super::ports::Ports;
use super::stride::Stride;
use crate::backend::{Installed, Refusal};
use crate::memory::is_local;
use crate::netlink::neighbors::Event;

/// Writes whose memory is asked for together.
const AHEAD: usize = 16;

/// Where packets look up.
pub(super) enum Table {
    Stride(Box<Stride>),
    Trie4(LpmTrie<MapData, [u8; 4], u32>),
    Trie6(LpmTrie<MapData, [u8; 16], u32>),
}

impl Table {
    fn insert(&mut self, address: u128, length: u8, object: u32, fresh: bool) -> Result<(), FibFault> {
        let octets = address.to_be_bytes();
        let word = route_word(object, length);
        let written = match self {
            Self::Stride(table) => return table.insert(address, length, object, fresh).map_err(|_| FULL),
            Self::Trie4(trie) => {
                trie.insert(&Key::new(length.into(), [octets[0], octets[1], octets[2], octets[3]]), word, 0)
            }
            Self::Trie6(trie) => trie.insert(&Key::new(length.into(), octets), word, 0),
        };
        written.map_err(|_| FULL)
    }

    fn remove(&mut self, address: u128, length: u8, under: impl FnOnce() -> u32) {
        let octets = address.to_be_bytes();
        let gone = match self {
            Self::Stride(table) => return table.remove(address, length, under()),
            Self::Trie4(trie) => trie.remove(&Key::new(length.into(), [octets[0], octets[1], octets[2], octets[3]])),
            Self::Trie6(trie) => trie.remove(&Key::new(length.into(), octets)),
        };
        if let Err(error) = gone {
            tracing::debug!(%error, "a prefix was not in its trie");
        }
    }

    fn touch(&self, address: u128) -> u32 {
        if let Self::Stride(table) = self { table.touch(address) } else { 0 }
    }

    /// Takes up what stands; false if it is not of one piece.
    fn adopt(&mut self, book: &Book) -> bool {
        match self {
            Self::Stride(table) => {
                let over = |address: u128, most: u8| {
                    book.over(address, most + 1).map_or(0, |(length, object)| route_word(object, length))
                };
                table.adopt(book.records().map(|record| (record.address, record.length)), &over)
            }
            // Written one by one by the kernel: if the book was closed, they agree.
            Self::Trie4(_) | Self::Trie6(_) => true,
        }
    }
}

const FULL: FibFault = FibFault::CapacityExceeded;

/// One family's routes: the book, and the table that packets use.
pub(super) struct FamilyTables {
    pub(super) book: Book,
    pub(super) table: Table,
}

/// Everything in the maps.
pub(super) struct Plane {
    pub(super) families: [FamilyTables; 2],
    pub(super) hops: Hops,
    pub(super) ports: Ports,
    state: Area<AtomicU64>,
    counters: PerCpuArray<MapData, u64>,
    local: HashSet<IpAddr>,
    /// Routes of the RIB for addresses of this host: the host goes first.
    shadowed: HashMap<IpNet, u32>,
}

/// Which family, and the address at the high end.
fn key(prefix: IpNet) -> (usize, u128, u8) {
    match prefix {
        IpNet::V4(net) => (0, u128::from(net.network().to_bits()) << 96, net.prefix_len()),
        IpNet::V6(net) => (1, net.network().to_bits(), net.prefix_len()),
    }
}

pub(super) fn prefix(family: usize, record: Record) -> IpNet {
    if family == 0 {
        IpNet::V4(Ipv4Net::new_assert(((record.address >> 96) as u32).into(), record.length))
    } else {
        IpNet::V6(Ipv6Net::new_assert(record.address.into(), record.length))
    }
}

impl Plane {
    pub(super) fn new(
        families: [FamilyTables; 2],
        hops: Hops,
        ports: Ports,
        state: Area<AtomicU64>,
        counters: PerCpuArray<MapData, u64>,
    ) -> Self {
        Self { families, hops, ports, state, counters, local: HashSet::new(), shadowed: HashMap::new() }
    }

    /// Takes up what an earlier process left in the maps; false if they are not of one piece.
    pub(super) fn adopt(&mut self) -> bool {
        let mut used: HashMap<u32, u32> = HashMap::new();
        for family in &self.families {
            for record in family.book.records() {
                *used.entry(record.object).or_default() += 1;
            }
        }
        if !self.hops.adopt(&used) || !self.families.iter_mut().all(|family| family.table.adopt(&family.book)) {
            return false;
        }
        // A dump does not tell them, so their numbers would be taken for free.
        let is_local = |number: u32| matches!(self.hops.meaning(number), Some((Forwarding::Local, _)));
        let local: Vec<NextHopId> =
            self.hops.all().filter(|(number, _)| is_local(*number)).map(|(_, external)| external).collect();
        self.writing(true);
        self.remove_objects(&local);
        self.writing(false);
        true
    }

    /// Routes in the tables, those of local addresses included.
    pub(super) fn len(&self) -> usize {
        self.families.iter().map(|family| family.book.len()).sum()
    }

    /// Routes of the RIB in the tables.
    pub(super) fn routes(&self) -> usize {
        let own = |family: &FamilyTables| family.book.records().filter(|record| record.object != HOST).count();
        self.families.iter().map(own).sum()
    }

    /// Groups and lists in use per family; 0 in trie mode.
    pub(super) fn groups_used(&self) -> [(usize, usize); 2] {
        [0, 1].map(|at: usize| match &self.families[at].table {
            Table::Stride(table) => table.used(),
            Table::Trie4(_) | Table::Trie6(_) => (0, 0),
        })
    }

    pub(super) fn counters(&self) -> Vec<(&'static str, u64)> {
        super::counters::read(&self.counters)
    }

    /// Whoever finds this mark without a writer knows that the tables may contradict each other.
    fn writing(&self, on: bool) {
        self.state[state::WRITING].store(u64::from(on), Ordering::Release);
        fence(Ordering::SeqCst);
    }

    pub(super) fn apply(
        &mut self,
        next_hops: &[NextHopOp],
        routes: &[FibRoute],
        unused: &[NextHopId],
        refused: &mut Vec<Refusal>,
    ) {
        self.writing(true);
        let mut gone: Vec<NextHopId> = Vec::new();
        for op in next_hops {
            match &op.forwarding {
                None => gone.push(op.id),
                Some(forwarding) => {
                    if let Err(fault) = self.hops.set(op.id, forwarding, &self.ports) {
                        refused.push(Refusal::NextHop(op.id, fault));
                    }
                }
            }
        }
        // Make before break; what did not fit is tried again when the removals have made room.
        let mut full = Vec::new();
        for chunk in routes.chunks(AHEAD) {
            self.touch(chunk);
            for route in chunk {
                if let Some(id) = route.next_hop
                    && let Err(fault) = self.write(route.prefix, id)
                {
                    full.push((*route, fault));
                }
            }
        }
        for route in routes.iter().filter(|route| route.next_hop.is_none()) {
            self.shadowed.remove(&route.prefix);
            if !self.is_host(route.prefix) {
                self.take(route.prefix);
            }
        }
        for (route, fault) in full {
            let retried = match (&fault, route.next_hop) {
                (FibFault::CapacityExceeded, Some(id)) => self.write(route.prefix, id),
                _ => Err(fault),
            };
            if let Err(fault) = retried {
                refused.push(Refusal::Route(route.prefix, fault));
            }
        }
        gone.extend_from_slice(unused);
        self.remove_objects(&gone);
        self.writing(false);
    }

    /// Loads that do not wait for each other: the writes that follow find their words near.
    fn touch(&self, routes: &[FibRoute]) {
        let mut seen = 0;
        for route in routes {
            let (family, address, length) = key(route.prefix);
            let tables = &self.families[family];
            seen ^= tables.book.touch(address, length) ^ u64::from(tables.table.touch(address));
        }
        std::hint::black_box(seen);
    }

    fn is_host(&self, prefix: IpNet) -> bool {
        prefix.prefix_len() == prefix.max_prefix_len() && self.local.contains(&prefix.addr())
    }

    fn write(&mut self, prefix: IpNet, id: NextHopId) -> Result<(), FibFault> {
        let Some(number) = self.hops.internal(id) else { return Err(FibFault::Errno(libc::ENOENT)) };
        if matches!(self.hops.meaning(number), Some((Forwarding::Local, _))) && !is_local(&self.local, prefix) {
            self.take(prefix);
            return Err(FibFault::NotLocal);
        }
        if self.is_host(prefix) {
            self.shadowed.insert(prefix, number);
            return Ok(());
        }
        self.put(prefix, number)
    }

    fn put(&mut self, prefix: IpNet, number: u32) -> Result<(), FibFault> {
        let (family, address, length) = key(prefix);
        let tables = &mut self.families[family];
        let before = tables.book.set(address, length, number).map_err(|_| FULL)?;
        if before == Some(number) {
            return Ok(());
        }
        if let Err(fault) = tables.table.insert(address, length, number, before.is_none()) {
            // Only a new prefix needs room.
            tables.book.remove(address, length);
            return Err(fault);
        }
        self.hops.count_routes(number, 1);
        if let Some(before) = before {
            self.hops.count_routes(before, -1);
        }
        Ok(())
    }

    fn take(&mut self, prefix: IpNet) {
        let (family, address, length) = key(prefix);
        let FamilyTables { book, table } = &mut self.families[family];
        let Some(number) = book.remove(address, length) else { return };
        table.remove(address, length, || {
            book.over(address, length).map_or(0, |(over, object)| route_word(object, over))
        });
        self.hops.count_routes(number, -1);
    }

    /// Removes objects, with routes that still hang on them.
    fn remove_objects(&mut self, ids: &[NextHopId]) {
        let doomed: HashSet<u32> = ids.iter().filter_map(|id| self.hops.internal(*id)).collect();
        if doomed.iter().any(|number| self.hops.routes_on(*number) > 0) {
            self.take_all(|record| doomed.contains(&record.object));
        }
        self.shadowed.retain(|_, number| !doomed.contains(number));
        for id in ids {
            self.hops.remove(*id);
        }
    }

    fn take_all(&mut self, which: impl Fn(&Record) -> bool) {
        for family in 0..2 {
            let found: Vec<Record> = self.families[family].book.records().filter(&which).collect();
            for record in found {
                self.take(prefix(family, record));
            }
        }
    }

    pub(super) fn dump(&self, each: &mut dyn FnMut(Installed)) {
        let tell = |prefix: IpNet, number: u32, each: &mut dyn FnMut(Installed)| {
            // Local routes are the RIB's to tell again: whether the address is still local only it can say.
            if let Some((forwarding, id)) = self.hops.meaning(number).filter(|(f, _)| **f != Forwarding::Local) {
                each(Installed { prefix, forwarding: forwarding.clone(), next_hop: Some(id) });
            }
        };
        for (family, tables) in self.families.iter().enumerate() {
            tables.book.records().for_each(|record| tell(prefix(family, record), record.object, each));
        }
        self.shadowed.iter().for_each(|(prefix, number)| tell(*prefix, *number, each));
    }

    /// Routes that an earlier process left, as the RIB would tell them.
    pub(super) fn sweep(&mut self, used: &mut dyn FnMut(NextHopId) -> bool) {
        self.writing(true);
        let strays: Vec<NextHopId> = self.hops.all().map(|(_, id)| id).filter(|id| !used(*id)).collect();
        self.remove_objects(&strays);
        // Local addresses of an earlier process that are none now.
        let local = self.local.clone();
        for family in 0..2 {
            let host = |record: &Record| record.object == HOST;
            let found: Vec<Record> = self.families[family].book.records().filter(host).collect();
            for record in found.into_iter().map(|record| prefix(family, record)) {
                if !local.contains(&record.addr()) {
                    self.take(record);
                }
            }
        }
        self.writing(false);
    }

    /// An address became local or ceased to be.
    pub(super) fn local_address(&mut self, addr: IpAddr, present: bool) {
        let host = IpNet::from(addr);
        let (family, address, length) = key(host);
        if present == self.local.contains(&addr) {
            return;
        }
        self.writing(true);
        if present {
            self.local.insert(addr);
            match self.families[family].book.get(address, length) {
                Some(HOST) | None => {}
                Some(number) => drop(self.shadowed.insert(host, number)),
            }
            if let Err(fault) = self.put(host, HOST) {
                tracing::warn!(%addr, ?fault, "no room for a local address: packets to it may follow a shorter route");
            }
        } else {
            self.local.remove(&addr);
            let back = self.shadowed.remove(&host);
            let back = back.filter(|number| !matches!(self.hops.meaning(*number), Some((Forwarding::Local, _))));
            match back {
                Some(number) => drop(self.put(host, number)),
                None => self.take(host),
            }
        }
        self.writing(false);
    }

    /// A neighbor, or a port's state. Links are attached elsewhere.
    pub(super) fn neighbor(&mut self, event: &Event) {
        if let Event::Neighbor { interface, addr, mac, stale } = event {
            self.ports.set_neighbor(*interface, *addr, *mac, *stale);
            self.hops.refresh_neighbor(&self.ports, *interface, *addr);
        }
    }

    /// True if legs were made since the last call: their neighbors may have to be asked for.
    pub(super) fn take_new_legs(&mut self) -> bool {
        std::mem::take(&mut self.hops.new_legs)
    }

    /// A port came, changed or went.
    pub(super) fn refresh(&self, interface: IfIndex) {
        self.hops.refresh(&self.ports, |key| key.interface == interface);
    }
}
