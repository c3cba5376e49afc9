//! What the kernel holds of ours: objects first, then the routes on them.

use std::io;

use rib::{Forwarding, NextHopId};
use smallvec::SmallVec;

use super::backend::{KernelBackend, lost, side};
use super::decode::{self, NextHop};
use super::encode::{self, AF_INET, AF_INET6, RTM_NEWNEXTHOP, RTM_NEWROUTE};
use super::objects::Side;
use super::socket::Socket;
use super::{KernelConfig, Support};
use crate::backend::{BackendError, Installed};

impl KernelBackend {
    pub(super) fn dump_all(&mut self, each: &mut dyn FnMut(Installed)) -> Result<(), BackendError> {
        if self.support == Support::Objects {
            let protocol = self.config.protocol;
            let ours: Vec<NextHop> = next_hops(&mut self.sockets[0])
                .map_err(lost)?
                .into_iter()
                .filter(|object| object.protocol == protocol && self.objects.is_ours(object.id))
                .collect();
            self.objects.load(ours);
        }
        let Self { config, support, sockets, objects, .. } = self;
        // Routes on one object come one after the other more often than not, and what it means takes a while to say.
        let mut last: Option<((NextHopId, Side), Forwarding)> = None;
        for family in [AF_INET, AF_INET6] {
            routes(&mut sockets[0], family, config.table, config.protocol, &mut |route| {
                if route.metric != config.metric || route.tos != 0 {
                    return;
                }
                let side = side(route.prefix);
                let object = route.next_hop.and_then(|id| objects.slot_of(id)).filter(|(_, of)| *of == side);
                if let Some((slot, side)) = object
                    && last.as_ref().is_none_or(|(of, _)| *of != (slot, side))
                {
                    last = objects.meaning(slot, side).map(|meaning| ((slot, side), meaning));
                }
                let (forwarding, next_hop) = match (object, &last) {
                    (Some(object), Some((of, meaning))) if object == *of && *support == Support::Objects => {
                        (meaning.clone(), Some(object.0))
                    }
                    _ => (plain(&route, *support), None),
                };
                each(Installed { prefix: route.prefix, forwarding, next_hop });
            })
            .map_err(lost)?;
        }
        Ok(())
    }

    /// The number of the kernel's object for a slot and the family of `prefix`; for people who look with `ip nexthop`.
    #[must_use]
    pub fn kernel_number(&self, slot: NextHopId, prefix: ipnet::IpNet) -> u32 {
        self.objects.group_id(slot, side(prefix))
    }
}

/// How a route without an object of ours forwards. Where objects are used, one that spells its gateways out would not follow
/// them: it counts as equal to nothing (no legs), and is written anew.
fn plain(route: &decode::Route, support: Support) -> Forwarding {
    match decode::forwarding(route) {
        Some(Forwarding::Legs(_)) if support == Support::Objects || route.next_hop.is_some() => nothing(),
        Some(forwarding) => forwarding,
        None => nothing(),
    }
}

fn nothing() -> Forwarding {
    Forwarding::Legs(SmallVec::new())
}

/// All next-hop objects of the namespace; none where the kernel has no such thing.
pub(super) fn next_hops(socket: &mut Socket) -> io::Result<Vec<NextHop>> {
    let found = std::cell::RefCell::new(Vec::new());
    let answer = socket.dump(&encode::dump_next_hops, &mut || found.borrow_mut().clear(), &mut |message| {
        if message.kind == RTM_NEWNEXTHOP {
            found.borrow_mut().extend(decode::next_hop(message.payload));
        }
    });
    match answer.map_err(|error| (error.raw_os_error(), error)) {
        Ok(()) | Err((Some(libc::EOPNOTSUPP), _)) => Ok(found.into_inner()),
        Err((_, error)) => Err(error),
    }
}

/// Routes of one family, table, and protocol (0 for all); none where the kernel lacks the family or the table. A route may come
/// twice if others write at the same time.
pub(super) fn routes(
    socket: &mut Socket,
    family: u8,
    table: u32,
    protocol: u8,
    each: &mut dyn FnMut(decode::Route),
) -> io::Result<()> {
    let request = |buf: &mut Vec<u8>, seq: u32| encode::dump_routes(buf, seq, family, table, protocol);
    let answer = socket.dump(&request, &mut || {}, &mut |message| {
        if message.kind == RTM_NEWROUTE
            && let Some(route) = decode::route(message.payload)
            // Kernels before 4.20 do not filter.
            && route.table == table
            && (protocol == 0 || route.protocol == protocol)
            && !route.cloned
        {
            each(route);
        }
    });
    match answer.map_err(|error| (error.raw_os_error(), error)) {
        Ok(()) | Err((Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT), _)) => Ok(()),
        Err((_, error)) => Err(error),
    }
}

/// Everything of ours is as the configuration says: used by whoever asks whether a route is.
pub(super) fn is_own(route: &decode::Route, config: &KernelConfig) -> bool {
    route.protocol == config.protocol && route.metric == config.metric
}
