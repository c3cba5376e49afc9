//! The thread that follows links and neighbors for data planes that build frames themselves, and has the kernel find and
//! confirm those in use.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rib::IfIndex;

use super::neighbors::{Event, Neighbors};
use super::socket::wait_readable;

/// Between two looks at neighbors that do not answer or were not confirmed for a while.
const LOOK: Duration = Duration::from_secs(2);
/// Looks between two rounds of confirmation.
const CONFIRM_EVERY: u32 = 8;
/// Neighbors asked for in one round: the kernel paces its own probes.
const ASK_MOST: usize = 512;

/// A data plane that wants to know who is where.
pub(crate) trait Follows: Send + Sync + 'static {
    /// What happened, in its order.
    fn changed(&self, events: &[Event]);

    /// Everything there is: what is not named is gone.
    fn all(&self, events: &[Event]);

    /// Who is to be asked for: gateways without an answer, and with `confirm` also those that were not confirmed for a while. At
    /// most `most`.
    fn wanted(&self, confirm: bool, most: usize) -> Vec<(IfIndex, IpAddr)>;
}

/// The thread; it ends when this is dropped.
pub(crate) struct Follower {
    /// A byte wakes it; closing it ends it.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Follows what `neighbors` hears from here on.
    ///
    /// # Errors
    /// When there are no more threads or sockets.
    pub(crate) fn spawn(name: &str, neighbors: Neighbors, who: Arc<impl Follows>) -> io::Result<Self> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || run(&*who, neighbors, woken))?;
        Ok(Self { wake: Some(wake), thread: Some(thread) })
    }

    /// There may be somebody new to ask for.
    pub(crate) fn wake(&self) {
        // Full means that it has not yet read what woke it before.
        let _ = self.wake.as_ref().map(|mut wake| wake.write(&[1]));
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(who: &impl Follows, mut neighbors: Neighbors, mut wake: UnixStream) {
    let mut looks = 0u32;
    loop {
        let (events, woken) = match wait_readable(neighbors.fd(), wake.as_raw_fd(), Some(LOOK)) {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(%error, "neighbors are no longer followed");
                return;
            }
        };
        if woken {
            // Whoever wakes us has made legs; nobody there: the end.
            if !matches!(wake.read(&mut [0; 64]), Ok(1..)) {
                return;
            }
            ask(who, &mut neighbors, false);
        }
        if events {
            follow(who, &mut neighbors);
        } else if !woken {
            looks = looks.wrapping_add(1);
            ask(who, &mut neighbors, looks.is_multiple_of(CONFIRM_EVERY));
        }
    }
}

fn follow(who: &impl Follows, neighbors: &mut Neighbors) {
    let events = neighbors.read().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot read neighbor events");
        vec![Event::Lost]
    });
    if !events.contains(&Event::Lost) {
        who.changed(&events);
        return;
    }
    match neighbors.dump() {
        Ok(all) => who.all(&all),
        Err(error) => tracing::warn!(%error, "cannot read neighbors; the next event tries again"),
    }
}

fn ask(who: &impl Follows, neighbors: &mut Neighbors, confirm: bool) {
    for (interface, addr) in who.wanted(confirm, ASK_MOST) {
        if let Err(error) = neighbors.ask_for(interface, addr) {
            tracing::debug!(%error, %addr, "cannot ask for a neighbor");
        }
    }
}
