//! What the data plane makes of links and neighbors.

use std::collections::HashSet;
use std::net::IpAddr;

use rib::IfIndex;

use super::backend::{Shared, State};
use crate::netlink::follow::Follows;
use crate::netlink::neighbors::Event;

impl Follows for Shared {
    fn changed(&self, events: &[Event]) {
        let mut state = self.lock();
        for event in events {
            if let Err(why) = state.take(event) {
                tracing::warn!("{why}");
            }
        }
    }

    fn all(&self, events: &[Event]) {
        if let Err(why) = self.lock().take_all(events) {
            tracing::warn!("{why}");
        }
    }

    fn wanted(&self, confirm: bool, most: usize) -> Vec<(IfIndex, IpAddr)> {
        let state = self.lock();
        let plane = &state.plane;
        let gateways = plane.hops.gateways().filter(|(on, addr)| match plane.ports.knows(*on, *addr) {
            None => false,
            Some(known) => !known || (confirm && plane.ports.wants_confirmation(*on, *addr)),
        });
        let hosts = plane.ports.stale().take(if confirm { most } else { 0 });
        gateways.chain(hosts).take(most).collect()
    }
}

impl State {
    /// One event of the host.
    fn take(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Link(link, mac) => self.attachments.on_link(&mut self.plane, link, *mac)?,
            Event::LinkGone(index) => self.attachments.on_gone(&mut self.plane, *index),
            Event::Neighbor { .. } => self.plane.neighbor(event),
            Event::Lost => {}
        }
        Ok(())
    }

    /// Takes in all that is there. An interface of ours that cannot be used is an error the first time.
    pub(super) fn take_all(&mut self, events: &[Event]) -> Result<(), String> {
        let mut present = HashSet::new();
        let mut neighbors = HashSet::new();
        for event in events {
            match event {
                Event::Link(link, _) => drop(present.insert(link.index)),
                Event::Neighbor { interface, addr, mac: Some(_), .. } => drop(neighbors.insert((*interface, *addr))),
                _ => {}
            }
        }
        for gone in self.plane.ports.interfaces().into_iter().filter(|index| !present.contains(index)) {
            self.attachments.on_gone(&mut self.plane, gone);
        }
        // Neighbors first: a port that is taken up finds those behind it, and no packet a leg without.
        for event in events {
            if let Event::Neighbor { interface, addr, mac, stale } = event {
                self.plane.ports.set_neighbor(*interface, *addr, *mac, *stale);
            }
        }
        let mut outcome = Ok(());
        for event in events.iter().filter(|event| !matches!(event, Event::Neighbor { .. })) {
            if let Err(why) = self.take(event) {
                outcome = outcome.and(Err(why));
            }
        }
        self.plane.ports.keep_neighbors(|interface, addr| neighbors.contains(&(interface, addr)));
        self.plane.hops.refresh(&self.plane.ports, |_| true);
        outcome
    }
}
