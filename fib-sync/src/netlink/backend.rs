//! The kernel as a data plane.
//!
//! With next-hop objects every route is a prefix and a number. Without (Linux before 5.3) routes carry their gateways, and
//! [`KernelBackend::carries`] makes the machine send them again when a next hop changes.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use rib::{FibFault, FibRoute, Forwarding, IfIndex, NextHopId, NextHopOp};

use super::encode::{self, Batch, Target};
use super::objects::{LegKey, Members, Objects, Side};
use super::socket::Socket;
use super::{KernelConfig, Support, privilege, probe, set_compat};
use crate::backend::{BackendError, Capacity, FibBackend, Installed, Refusal};
use crate::backlog;
use crate::memory::is_local;

/// From here on the two families are written side by side.
const PARALLEL_ROUTES: usize = 2048;
/// From here on the order of a batch matters.
const ORDER_ROUTES: usize = 1024;

/// Writes our routes into the kernel's tables. Belongs to the network namespace of the thread that opened it.
pub struct KernelBackend {
    pub(super) config: KernelConfig,
    pub(super) support: Support,
    /// One per family.
    pub(super) sockets: [Socket; 2],
    pub(super) objects: Objects,
    local: HashSet<IpAddr>,
}

/// Messages that concern one route each, with what the answer changes.
#[derive(Clone, Copy)]
struct Write<'a> {
    prefix: IpNet,
    target: Target<'a>,
    slot: Option<NextHopId>,
}

impl KernelBackend {
    /// Opens the kernel of this thread's network namespace, and finds out what it offers.
    ///
    /// # Errors
    /// [`BackendError::Privilege`] without CAP_NET_ADMIN, [`BackendError::Lost`] when there is no rtnetlink at all.
    pub fn open(config: KernelConfig) -> Result<Self, BackendError> {
        let mut sockets = [Socket::open().map_err(lost)?, Socket::open().map_err(lost)?];
        let support = probe(&mut sockets[0], config.protocol)?;
        if support == Support::Objects {
            set_compat(&config);
        } else {
            tracing::info!("this kernel has no next-hop objects: a changed next hop rewrites all of its routes");
        }
        Ok(Self { config, support, sockets, objects: Objects::new(config.protocol), local: HashSet::new() })
    }

    /// As [`Self::open`], but never uses next-hop objects: for kernels where they are unwanted, and to compare.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_classic(config: KernelConfig) -> Result<Self, BackendError> {
        let mut backend = Self::open(config)?;
        backend.support = Support::Classic;
        Ok(backend)
    }

    /// Our numbers as they appear in the kernel's notifications: what comes from them is no news.
    #[must_use]
    pub fn ports(&self) -> Vec<u32> {
        self.sockets.iter().map(Socket::port).collect()
    }

    /// Writes the groups of `wanted` that differ, legs first; refused ones are noted in `refused` and answered.
    fn write_groups(
        &mut self,
        wanted: &[(NextHopId, Side)],
        refused: &mut Vec<(NextHopId, Side, FibFault)>,
    ) -> Result<(), BackendError> {
        let mut groups: Vec<(NextHopId, Side, Members)> = Vec::new();
        let mut legs: Vec<(u32, LegKey)> = Vec::new();
        let mut in_place: Vec<(NextHopId, Side, Members)> = Vec::new();
        let mut seen = HashSet::new();
        for (slot, side) in wanted {
            match self.objects.plan(*slot, *side) {
                Ok(None) => {}
                Ok(Some(plan)) => {
                    legs.extend(plan.legs.into_iter().filter(|(id, _)| seen.insert(*id)));
                    if plan.group {
                        groups.push((*slot, *side, plan.members));
                    } else {
                        in_place.push((*slot, *side, plan.members));
                    }
                }
                Err(fault) => refused.push((*slot, *side, fault)),
            }
        }
        let protocol = self.config.protocol;
        let mut batch = Batch::new(&mut self.sockets[0]);
        for (id, leg) in &legs {
            batch.push(|buf, seq| encode::next_hop(buf, seq, protocol, *id, leg)).map_err(lost)?;
        }
        let failed: HashMap<u32, i32> =
            batch.finish().map_err(lost)?.into_iter().map(|(index, errno)| (legs[index].0, errno)).collect();
        for (id, _) in &legs {
            let errno = failed.get(id);
            if errno == Some(&libc::EPERM) {
                return Err(privilege("write next-hop objects"));
            }
            self.objects.leg_written(*id, errno.is_none());
        }
        for (slot, side, members) in in_place {
            if let Some(errno) = members.iter().find_map(|(id, _)| failed.get(id)) {
                refused.push((slot, side, fault(*errno)));
            }
        }
        // A group with a leg that cannot be is written with the others, but counts as refused: it is not what was told.
        let mut batch = Batch::new(&mut self.sockets[0]);
        let mut written = Vec::new();
        for (slot, side, members) in groups {
            if let Some(errno) = members.iter().find_map(|(id, _)| failed.get(id)) {
                refused.push((slot, side, fault(*errno)));
            }
            let good: Members = members.into_iter().filter(|(id, _)| !failed.contains_key(id)).collect();
            if !good.is_empty() {
                let id = self.objects.group_id(slot, side);
                batch.push(|buf, seq| encode::group(buf, seq, protocol, id, &good)).map_err(lost)?;
                written.push((slot, side, good));
            }
        }
        let answers: HashMap<usize, i32> = batch.finish().map_err(lost)?.into_iter().collect();
        for (index, (slot, side, members)) in written.into_iter().enumerate() {
            match answers.get(&index) {
                None => self.objects.group_written(slot, side, Some(members)),
                Some(errno) => {
                    // Perhaps the kernel has lost a leg that we believe in.
                    self.objects.doubt(slot, side);
                    for (id, _) in &members {
                        self.objects.doubt_leg(*id);
                    }
                    refused.push((slot, side, fault(*errno)));
                }
            }
        }
        Ok(())
    }

    fn remove_objects(&mut self, ids: &[u32]) -> Result<(), BackendError> {
        let mut batch = Batch::new(&mut self.sockets[0]);
        for id in ids {
            batch.push(|buf, seq| encode::remove_next_hop(buf, seq, *id)).map_err(lost)?;
        }
        for (index, errno) in batch.finish().map_err(lost)? {
            if errno != libc::ENOENT {
                tracing::debug!(id = ids[index], errno, "next-hop object not removed");
            }
        }
        Ok(())
    }

    /// Removes groups that mean nothing now, and legs without a group.
    fn clean(&mut self, groups: &[(NextHopId, Side)]) -> Result<(), BackendError> {
        let mut ids = Vec::new();
        for (slot, side) in groups {
            if self.objects.has_group(*slot, *side) {
                ids.push(self.objects.group_id(*slot, *side));
                self.objects.group_written(*slot, *side, None);
            }
        }
        ids.extend(self.objects.take_idle());
        if ids.is_empty() { Ok(()) } else { self.remove_objects(&ids) }
    }
}

/// What to send for a route; an error is a refusal without asking the kernel.
fn target(objects: &Objects, support: Support, slot: NextHopId, prefix: IpNet) -> Result<Target<'_>, FibFault> {
    match objects.wanted(slot) {
        None => Err(FibFault::Errno(libc::ENOENT)),
        Some(Forwarding::Discard(discard)) => Ok(Target::Discard(*discard)),
        // The kernel gives local addresses to the host by itself; only what stood there before must go.
        Some(Forwarding::Local) => Ok(Target::Remove),
        Some(Forwarding::Legs(_)) if support == Support::Objects => {
            Ok(Target::Object(objects.group_id(slot, side(prefix))))
        }
        Some(Forwarding::Legs(legs)) => {
            let v4_gateway = |leg: &rib::ResolvedLeg| leg.gateway.is_some_and(|addr| addr.is_ipv4());
            if side(prefix) == Side::V6 && legs.iter().any(v4_gateway) {
                return Err(FibFault::Unsupported("the kernel cannot send IPv6 by an IPv4 gateway"));
            }
            Ok(Target::Legs(legs))
        }
    }
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` hands it over.
pub(super) fn lost(error: io::Error) -> BackendError {
    BackendError::Lost(error.to_string())
}

pub(super) fn side(prefix: IpNet) -> Side {
    if matches!(prefix, IpNet::V4(_)) { Side::V4 } else { Side::V6 }
}

fn fault(errno: i32) -> FibFault {
    match errno {
        libc::ENOSPC | libc::ENOMEM => FibFault::CapacityExceeded,
        errno => FibFault::Errno(errno),
    }
}

/// The order in which the kernel's trees work fastest. The IPv6 tree likes neighbors after each other. The IPv4 trie resizes its
/// upper nodes again and again under sorted writes: a random eighth first gives them their size, and removal is random
/// altogether (a million routes: 4.4 s of processor, 8 s in the order of writing).
fn order(writes: &mut Vec<Write<'_>>) {
    if writes.len() < ORDER_ROUTES {
        return;
    }
    let key = |write: &Write<'_>| match write.prefix {
        IpNet::V4(net) => {
            let mixed = backlog::mixed(net);
            let removal = write.target == Target::Remove;
            let early = removal || backlog::is_early(mixed);
            let place = if early { mixed } else { net.network().to_bits() };
            // Removals first: they make room.
            u64::from(!removal) << 41 | u64::from(!early) << 40 | u64::from(place) << 8 | u64::from(net.prefix_len())
        }
        // Neighbors need no more than this; between them, and at equal addresses, the order of writing does.
        IpNet::V6(net) => (net.network().to_bits() >> 64) as u64,
    };
    // Numbers are sorted many times faster than messages.
    let mut places: Vec<(u64, u32)> = writes.iter().map(key).zip(0..).collect();
    if !places.is_sorted() {
        places.sort_unstable();
        *writes = places.into_iter().map(|(_, at)| writes[at as usize]).collect();
    }
}

/// Sends `writes`; answers with the refused ones by index.
fn send(socket: &mut Socket, config: &KernelConfig, writes: &[Write<'_>]) -> io::Result<Vec<(usize, i32)>> {
    let mut batch = Batch::new(socket);
    for write in writes {
        batch.push(|buf, seq| encode::route(buf, seq, config, write.prefix, write.target))?;
    }
    batch.finish()
}

impl FibBackend for KernelBackend {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn capacity(&self) -> Capacity {
        Capacity { routes: None, legs: 64 }
    }

    fn apply(
        &mut self,
        next_hops: &[NextHopOp],
        routes: &[FibRoute],
        unused: &[NextHopId],
        refused: &mut Vec<Refusal>,
    ) -> Result<(), BackendError> {
        let mut old = Vec::new();
        let mut groups = Vec::new();
        for op in next_hops {
            self.objects.want(op.id, op.forwarding.clone());
            for side in Side::BOTH {
                if self.objects.has_group(op.id, side) {
                    match op.forwarding {
                        Some(Forwarding::Legs(_)) => groups.push((op.id, side)),
                        // Routes leave it first.
                        _ => old.push((op.id, side)),
                    }
                }
            }
        }
        if self.support == Support::Objects {
            let changed = groups.len();
            let mut seen = HashSet::new();
            for route in routes {
                if let Some(slot) = route.next_hop
                    && matches!(self.objects.wanted(slot), Some(Forwarding::Legs(_)))
                    && !self.objects.has_group(slot, side(route.prefix))
                    && seen.insert((slot, side(route.prefix)))
                {
                    groups.push((slot, side(route.prefix)));
                }
            }
            let mut faults = Vec::new();
            self.write_groups(&groups, &mut faults)?;
            let named: HashSet<NextHopId> = next_hops.iter().map(|op| op.id).collect();
            for (slot, side, fault) in faults {
                // A group that only this batch's routes want fails with them.
                if named.contains(&slot) && groups[..changed].contains(&(slot, side)) {
                    refused.push(Refusal::NextHop(slot, fault.clone()));
                }
                let on = routes.iter().filter(|r| r.next_hop == Some(slot) && self::side(r.prefix) == side);
                refused.extend(on.map(|route| Refusal::Route(route.prefix, fault.clone())));
            }
        }
        self.write_routes(routes, refused)?;
        for slot in unused {
            self.objects.want(*slot, None);
            old.extend(Side::BOTH.map(|side| (*slot, side)));
        }
        self.clean(&old)
    }

    fn dump(&mut self, each: &mut dyn FnMut(Installed)) -> Result<(), BackendError> {
        self.dump_all(each)
    }

    fn local_address(&mut self, addr: IpAddr, present: bool) {
        if present {
            self.local.insert(addr);
        } else {
            self.local.remove(&addr);
        }
    }

    fn carries(&self, old: &Forwarding, new: &Forwarding) -> bool {
        let both_legs = matches!((old, new), (Forwarding::Legs(_), Forwarding::Legs(_)));
        old == new || (self.support == Support::Objects && both_legs)
    }

    fn link(&mut self, index: IfIndex, up: bool, lost: &mut Vec<NextHopId>) {
        if up {
            return;
        }
        lost.extend(match self.support {
            Support::Objects => self.objects.link_lost(index),
            // The kernel drops routes with one leg and keeps dead legs of others, by rules that differ per family.
            Support::Classic => self.objects.over(index),
        });
    }

    fn sweep_next_hops(&mut self, used: &mut dyn FnMut(NextHopId) -> bool) -> Result<(), BackendError> {
        let strays = self.objects.take_strays();
        self.remove_objects(&strays)?;
        let groups: Vec<_> = self.objects.groups().into_iter().filter(|(slot, _)| !used(*slot)).collect();
        self.clean(&groups)
    }
}

impl KernelBackend {
    fn write_routes(&mut self, routes: &[FibRoute], refused: &mut Vec<Refusal>) -> Result<(), BackendError> {
        let skip: HashSet<IpNet> = refused
            .iter()
            .filter_map(|refusal| match refusal {
                Refusal::Route(prefix, _) => Some(*prefix),
                Refusal::NextHop(..) => None,
            })
            .collect();
        let mut writes: [Vec<Write<'_>>; 2] = [Vec::new(), Vec::new()];
        let mut not_local = Vec::new();
        for route in routes {
            if !skip.is_empty() && skip.contains(&route.prefix) {
                continue;
            }
            let target = match route.next_hop {
                None => Ok(Target::Remove),
                Some(slot) => target(&self.objects, self.support, slot, route.prefix),
            };
            // Only what is local is wanted and yet not written.
            if route.next_hop.is_some() && target == Ok(Target::Remove) && !is_local(&self.local, route.prefix) {
                not_local.push(Refusal::Route(route.prefix, FibFault::NotLocal));
            }
            match target {
                Ok(target) => {
                    let write = Write { prefix: route.prefix, target, slot: route.next_hop };
                    writes[side(route.prefix) as usize].push(write);
                }
                Err(fault) => refused.push(Refusal::Route(route.prefix, fault)),
            }
        }
        let [v4, v6] = &mut writes;
        order(v4);
        order(v6);
        let config = &self.config;
        // The borrow of the sockets is apart from that of the objects, which the targets hold.
        let [socket4, socket6] = &mut self.sockets;
        let (answers4, answers6) = if v4.len().min(v6.len()) >= PARALLEL_ROUTES {
            std::thread::scope(|scope| {
                let other = scope.spawn(|| send(socket6, config, v6));
                let answers4 = send(socket4, config, v4);
                (answers4, other.join().unwrap_or_else(|_| Err(io::Error::other("the IPv6 writer panicked"))))
            })
        } else {
            (send(socket4, config, v4), send(socket6, config, v6))
        };
        let mut doubtful = HashSet::new();
        for (answers, writes) in [(answers4, v4), (answers6, v6)] {
            for (index, errno) in answers.map_err(lost)? {
                let write = &writes[index];
                match (errno, write.target) {
                    (libc::EPERM, _) => return Err(privilege("write routes")),
                    // It is not there: as wanted.
                    (libc::ESRCH | libc::ENOENT, Target::Remove) => {}
                    (errno, target) => {
                        if let (Some(slot), Target::Object(_)) = (write.slot, target) {
                            doubtful.insert((slot, side(write.prefix)));
                        }
                        refused.push(Refusal::Route(write.prefix, fault(errno)));
                    }
                }
            }
        }
        refused.append(&mut not_local);
        for (slot, side) in doubtful {
            self.objects.doubt(slot, side);
        }
        Ok(())
    }
}
