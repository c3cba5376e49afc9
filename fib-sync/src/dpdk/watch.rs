//! The thread that follows links and neighbors for the agent, and has the kernel find and confirm those in use.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::backend::Shared;
use crate::netlink::neighbors::{Event, Neighbors};
use crate::xdp::sys;

/// Between two looks at neighbors that do not answer.
const LOOK: Duration = Duration::from_secs(2);
/// Looks between two rounds of confirmation.
const CONFIRM_EVERY: u32 = 8;
/// Neighbors asked for in one round: the kernel paces its own probes.
const ASK_MOST: usize = 512;

/// Runs until the other end of `wake` is closed.
pub(super) fn run(shared: &Shared, mut neighbors: Neighbors, mut wake: UnixStream) {
    let mut looks = 0u32;
    loop {
        let millis = i32::try_from(LOOK.as_millis()).unwrap_or(i32::MAX);
        let (events, woken) = match sys::wait(neighbors.fd(), wake.as_raw_fd(), millis) {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(%error, "neighbors are no longer followed");
                return;
            }
        };
        if woken {
            match wake.read(&mut [0; 64]) {
                Ok(0) | Err(_) => return,
                Ok(_) => ask(shared, &mut neighbors, false),
            }
        }
        if events {
            follow(shared, &mut neighbors);
        } else if !woken {
            looks = looks.wrapping_add(1);
            ask(shared, &mut neighbors, looks.is_multiple_of(CONFIRM_EVERY));
        }
    }
}

fn follow(shared: &Shared, neighbors: &mut Neighbors) {
    let events = neighbors.read().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot read neighbor events");
        vec![Event::Lost]
    });
    if !events.contains(&Event::Lost) {
        shared.lock().take(&events, false);
        return;
    }
    match neighbors.dump() {
        Ok(all) => shared.lock().take(&all, true),
        Err(error) => tracing::warn!(%error, "cannot read neighbors; the next event tries again"),
    }
}

fn ask(shared: &Shared, neighbors: &mut Neighbors, confirm: bool) {
    let wanted = shared.lock().wanted_neighbors(confirm, ASK_MOST);
    for (interface, addr) in wanted {
        if let Err(error) = neighbors.ask_for(interface, addr) {
            tracing::debug!(%error, %addr, "cannot ask for a neighbor");
        }
    }
}
