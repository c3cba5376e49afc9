//! The thread that follows links and neighbors, and has the kernel keep neighbors fresh.

use std::collections::HashSet;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use super::backend::Shared;
use super::sys;
use crate::netlink::neighbors::{Event, Neighbors};

/// Between two looks at neighbors that do not answer or were not confirmed for a while.
const LOOK: Duration = Duration::from_secs(2);
/// Looks between two rounds of confirmation.
const CONFIRM_EVERY: u32 = 8;
/// Neighbors asked for in one round: the kernel paces its own probes.
const ASK_MOST: usize = 512;

/// Takes in all that is there. An interface of ours that cannot be used is an error the first time.
pub(super) fn take_dump(shared: &Shared, events: &[Event]) -> Result<(), String> {
    let mut state = shared.lock();
    let mut present = HashSet::new();
    let mut neighbors = HashSet::new();
    for event in events {
        match event {
            Event::Link(link, _) => drop(present.insert(link.index)),
            Event::Neighbor { interface, addr, mac: Some(_), .. } => drop(neighbors.insert((*interface, *addr))),
            _ => {}
        }
    }
    for gone in state.plane.ports.interfaces().into_iter().filter(|index| !present.contains(index)).collect::<Vec<_>>()
    {
        let state = &mut *state;
        state.attachments.on_gone(&mut state.plane, gone);
    }
    // Neighbors first: a port that is taken up finds those behind it, and no packet a leg without.
    for event in events {
        if let Event::Neighbor { interface, addr, mac, stale } = event {
            state.plane.ports.set_neighbor(*interface, *addr, *mac, *stale);
        }
    }
    let mut outcome = Ok(());
    for event in events.iter().filter(|event| !matches!(event, Event::Neighbor { .. })) {
        if let Err(why) = state.take(event) {
            outcome = outcome.and(Err(why));
        }
    }
    state.plane.ports.keep_neighbors(|interface, addr| neighbors.contains(&(interface, addr)));
    state.plane.hops.refresh(&state.plane.ports, |_| true);
    outcome
}

/// Runs until the other end of `wake` is closed.
pub(super) fn run(shared: &Arc<Shared>, mut neighbors: Neighbors, mut wake: UnixStream) {
    let mut looks = 0u32;
    loop {
        let millis = i32::try_from(LOOK.as_millis()).unwrap_or(i32::MAX);
        let (events, woken) = match sys::wait(neighbors.fd(), wake.as_raw_fd(), millis) {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(%error, "XDP follows neighbors no more");
                return;
            }
        };
        if woken {
            // Whoever wakes us has made legs; nobody there: the end.
            if !matches!(wake.read(&mut [0; 64]), Ok(1..)) {
                return;
            }
            ask(shared, &mut neighbors, false);
        }
        if events {
            follow(shared, &mut neighbors);
        } else if !woken {
            looks += 1;
            ask(shared, &mut neighbors, looks.is_multiple_of(CONFIRM_EVERY));
        }
    }
}

fn follow(shared: &Shared, neighbors: &mut Neighbors) {
    let events = match neighbors.read() {
        Ok(events) => events,
        Err(error) => {
            tracing::warn!(%error, "cannot read neighbor events");
            vec![Event::Lost]
        }
    };
    if events.contains(&Event::Lost) {
        match neighbors.dump() {
            Ok(all) => {
                if let Err(why) = take_dump(shared, &all) {
                    tracing::warn!("{why}");
                }
            }
            Err(error) => tracing::warn!(%error, "cannot read neighbors; the next event tries again"),
        }
        return;
    }
    let mut state = shared.lock();
    for event in events {
        if let Err(why) = state.take(&event) {
            tracing::warn!("{why}");
        }
    }
}

/// Asks for gateways without an answer; for all that were not confirmed for a while, if `confirm`.
fn ask(shared: &Shared, neighbors: &mut Neighbors, confirm: bool) {
    let wanted: Vec<_> = {
        let state = shared.lock();
        let plane = &state.plane;
        let gateways = plane.hops.gateways().filter(|(on, addr)| match plane.ports.knows(*on, *addr) {
            None => false,
            Some(known) => !known || (confirm && plane.ports.wants_confirmation(*on, *addr)),
        });
        let hosts = plane.ports.stale().take(if confirm { ASK_MOST } else { 0 });
        gateways.chain(hosts).take(ASK_MOST).collect()
    };
    for (interface, addr) in wanted {
        if let Err(error) = neighbors.ask_for(interface, addr) {
            tracing::debug!(%error, %addr, "cannot ask for a neighbor");
        }
    }
}
