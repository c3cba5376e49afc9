//! An FPM receiver behind the trait of all data planes.

use std::collections::HashSet;
use std::io;
use std::net::IpAddr;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ipnet::IpNet;
use rib::{FibFault, FibRoute, Forwarding, NextHopId, NextHopOp};

use super::book::{Book, Message};
use super::stream::{Ended, Stream};
use super::{FpmConfig, frame, messages};
use crate::backend::{BackendError, Capacity, FibBackend, Installed, Refusal};
use crate::memory::is_local;
use crate::netlink::KernelConfig;
use crate::netlink::encode::{self, Target};

/// Octets gathered before they are written.
const SEND_OCTETS: usize = 128 * 1024;
/// Legs of one object: what fits well into a frame, and more than anybody has.
const LEGS: usize = 256;

/// Tells an FPM receiver. What has been written on this connection is remembered: FPM cannot be asked.
pub struct FpmBackend {
    config: FpmConfig,
    route: KernelConfig,
    stream: Option<Stream>,
    buf: Vec<u8>,
    book: Book,
    written: HashMap<IpNet, NextHopId, FixedState>,
    /// Local routes written.
    punts: HashSet<IpNet>,
    local: HashSet<IpAddr>,
    ended: Option<Ended>,
}

enum Wish<'a> {
    Remove,
    Punt,
    Write(Target<'a>),
}

impl FpmBackend {
    /// A backend that connects when it is first read.
    #[must_use]
    pub fn new(config: FpmConfig) -> Self {
        let route = messages(config.protocol);
        Self {
            config,
            route,
            stream: None,
            buf: Vec::new(),
            book: Book::default(),
            written: HashMap::default(),
            punts: HashSet::new(),
            local: HashSet::new(),
            ended: None,
        }
    }

    #[allow(clippy::needless_pass_by_value)] // As `map_err` hands it over.
    fn lost(&mut self, error: io::Error) -> BackendError {
        self.stream = None;
        self.buf.clear();
        BackendError::Lost(format!("the FPM receiver at {}: {error}", self.config.address))
    }

    fn connect(&mut self) -> Result<(), BackendError> {
        if self.stream.as_ref().is_none_or(Stream::is_over) {
            self.buf.clear();
            let opened = Stream::open(&self.config.address, self.config.patience, self.ended.clone());
            let stream = opened.map_err(|error| self.lost(error))?;
            tracing::info!(address = %self.config.address, "FPM receiver connected");
            self.stream = Some(stream);
            // It may be another process: nothing is known of what it holds.
            self.book.forget();
            self.written.clear();
            self.punts.clear();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        stream.write_all(&self.buf)?;
        self.buf.clear();
        Ok(())
    }

    fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>, &KernelConfig)) -> io::Result<()> {
        let route = self.route;
        frame(&mut self.buf, |buf| encode(buf, &route));
        if self.buf.len() >= SEND_OCTETS { self.flush() } else { Ok(()) }
    }

    fn push_objects(&mut self, messages: &[Message]) -> io::Result<()> {
        messages.iter().try_for_each(|message| self.push(|buf, route| message.encode(buf, 0, route.protocol)))
    }

    fn write(&mut self, route: &FibRoute) -> Result<io::Result<()>, FibFault> {
        let prefix = route.prefix;
        let book = &self.book;
        let wish = match route.next_hop.map(|slot| (slot, book.wanted(slot))) {
            Some((_, None)) => return Err(FibFault::Errno(libc::ENOENT)),
            Some((_, Some(Forwarding::Discard(discard)))) => Wish::Write(Target::Discard(*discard)),
            Some((_, Some(Forwarding::Local))) if is_local(&self.local, prefix) => Wish::Punt,
            None | Some((_, Some(Forwarding::Local))) => Wish::Remove,
            Some((_, Some(Forwarding::Legs(legs)))) if legs.is_empty() || legs.len() > LEGS => {
                return Err(FibFault::Unsupported("a next-hop object has 1 to 256 legs"));
            }
            Some((_, Some(Forwarding::Legs(legs))))
                if prefix.addr().is_ipv6() && legs.iter().any(|leg| leg.gateway.is_some_and(|to| to.is_ipv4())) =>
            {
                return Err(FibFault::Unsupported("netlink cannot say IPv6 by an IPv4 gateway"));
            }
            Some((slot, Some(Forwarding::Legs(_)))) if self.config.next_hop_groups => {
                Wish::Write(Target::Object(slot.0))
            }
            Some((_, Some(Forwarding::Legs(legs)))) => Wish::Write(Target::Legs(legs)),
        };
        let config = &self.route;
        match wish {
            Wish::Remove => {
                if self.written.remove(&prefix).is_some() | self.punts.remove(&prefix) {
                    frame(&mut self.buf, |buf| encode::route(buf, 0, config, prefix, Target::Remove));
                }
            }
            Wish::Punt => {
                self.written.remove(&prefix);
                self.punts.insert(prefix);
                frame(&mut self.buf, |buf| encode::route(buf, 0, config, prefix, Target::Local));
            }
            Wish::Write(target) => {
                frame(&mut self.buf, |buf| encode::route(buf, 0, config, prefix, target));
                self.punts.remove(&prefix);
                self.written.extend(route.next_hop.map(|slot| (prefix, slot)));
            }
        }
        if matches!(route.next_hop.and_then(|slot| self.book.wanted(slot)), Some(Forwarding::Local))
            && !self.punts.contains(&prefix)
        {
            return Err(FibFault::NotLocal);
        }
        Ok(if self.buf.len() >= SEND_OCTETS { self.flush() } else { Ok(()) })
    }

    fn apply_all(
        &mut self,
        next_hops: &[NextHopOp],
        routes: &[FibRoute],
        unused: &[NextHopId],
        refused: &mut Vec<Refusal>,
    ) -> io::Result<()> {
        let mut objects = Vec::new();
        let mut old = unused.to_vec();
        for op in next_hops {
            self.book.want(op.id, op.forwarding.clone());
            match &op.forwarding {
                Some(Forwarding::Legs(legs)) if legs.is_empty() || legs.len() > LEGS => {
                    let fault = FibFault::Unsupported("a next-hop object has 1 to 256 legs");
                    refused.push(Refusal::NextHop(op.id, fault));
                }
                Some(Forwarding::Legs(_)) if self.config.next_hop_groups => self.book.tell(op.id, &mut objects),
                // Routes leave it first.
                _ => old.push(op.id),
            }
        }
        if self.config.next_hop_groups {
            for slot in routes.iter().filter_map(|route| route.next_hop) {
                if !self.book.is_told(slot) {
                    self.book.tell(slot, &mut objects);
                }
            }
        }
        self.push_objects(&objects)?;
        for route in routes {
            match self.write(route) {
                Ok(written) => written?,
                Err(fault) => refused.push(Refusal::Route(route.prefix, fault)),
            }
        }
        let mut gone = Vec::new();
        for slot in old {
            self.book.remove(slot, &mut gone);
            if unused.contains(&slot) {
                self.book.want(slot, None);
            }
        }
        self.book.remove_idle(&mut gone);
        self.push_objects(&gone)?;
        self.flush()
    }
}

impl FibBackend for FpmBackend {
    fn name(&self) -> &'static str {
        "fpm"
    }

    fn capacity(&self) -> Capacity {
        Capacity { routes: None, legs: LEGS }
    }

    fn apply(
        &mut self,
        next_hops: &[NextHopOp],
        routes: &[FibRoute],
        unused: &[NextHopId],
        refused: &mut Vec<Refusal>,
    ) -> Result<(), BackendError> {
        // Whoever connects must be told everything, which only a dump begins; so this does not connect.
        self.apply_all(next_hops, routes, unused, refused).map_err(|error| self.lost(error))
    }

    fn dump(&mut self, each: &mut dyn FnMut(Installed)) -> Result<(), BackendError> {
        self.connect()?;
        for (prefix, slot) in &self.written {
            let Some(forwarding) = self.book.wanted(*slot) else { continue };
            let next_hop = self.config.next_hop_groups.then_some(*slot);
            each(Installed { prefix: *prefix, forwarding: forwarding.clone(), next_hop });
        }
        Ok(())
    }

    fn local_address(&mut self, addr: IpAddr, present: bool) {
        if present {
            self.local.insert(addr);
        } else {
            self.local.remove(&addr);
        }
    }

    fn standalone(&self) -> bool {
        true
    }

    fn carries(&self, old: &Forwarding, new: &Forwarding) -> bool {
        let both_legs = matches!((old, new), (Forwarding::Legs(_), Forwarding::Legs(_)));
        old == new || (self.config.next_hop_groups && both_legs)
    }

    fn sweep_next_hops(&mut self, used: &mut dyn FnMut(NextHopId) -> bool) -> Result<(), BackendError> {
        let mut gone = Vec::new();
        for slot in self.book.told().into_iter().filter(|slot| !used(*slot)) {
            self.book.remove(slot, &mut gone);
        }
        self.book.remove_idle(&mut gone);
        self.push_objects(&gone).and_then(|()| self.flush()).map_err(|error| self.lost(error))
    }

    fn when_lost(&mut self, tell: Ended) {
        self.ended = Some(tell);
    }
}
