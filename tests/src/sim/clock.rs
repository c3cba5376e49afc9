//! Virtual time and the queue of what happens next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use bgpd::session::ConnId;

use super::tcp::{Side, TcpId};

/// A node's number, and the number of its life: events for an earlier life are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Life {
    /// The node.
    pub node: usize,
    /// How often it had been started before.
    pub life: u32,
}

/// Something that happens at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// A node's deadline.
    Wake(Life),
    /// A connection request reaches the other node.
    Syn(TcpId),
    /// The answer to a connection request reaches the one who asked.
    SynAck(TcpId),
    /// A connection request has failed.
    Refused(Life, ConnId),
    /// This side may have something to send, and room for it.
    Flush(TcpId, Side),
    /// The next chunk reaches this side.
    Arrive(TcpId, Side),
    /// This side's program reads what has arrived.
    Read(TcpId, Side),
    /// This side's speaker has octets left over from its budget.
    Slice(TcpId, Side),
    /// A reset reaches this side.
    Reset(TcpId, Side),
    /// This side has waited long enough for its last octets to go.
    Cut(TcpId, Side),
}

/// The clock and the queue.
pub struct Clock<E: Ord = Event> {
    epoch: Instant,
    elapsed: Duration,
    queue: BinaryHeap<Reverse<(Duration, u64, E)>>,
    scheduled: u64,
}

impl<E: Ord> Default for Clock<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Ord> Clock<E> {
    /// Time zero, nothing to happen.
    #[must_use]
    #[allow(clippy::disallowed_methods)] // only differences to this instant are ever used
    pub fn new() -> Self {
        Self { epoch: Instant::now(), elapsed: Duration::ZERO, queue: BinaryHeap::new(), scheduled: 0 }
    }

    /// Time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The present as the machines are told it.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.epoch + self.elapsed
    }

    /// An instant of a machine as time since the beginning.
    #[must_use]
    pub fn since_start(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.epoch)
    }

    /// Lets `event` happen at `at`, or now if that has passed; events of one time happen in the order they were scheduled.
    pub fn schedule(&mut self, at: Duration, event: E) {
        self.queue.push(Reverse((at.max(self.elapsed), self.scheduled, event)));
        self.scheduled += 1;
    }

    /// Lets `event` happen after `delay`.
    pub fn after(&mut self, delay: Duration, event: E) {
        self.schedule(self.elapsed + delay, event);
    }

    /// The next event not later than `limit`; time moves to it, or to `limit` if there is none.
    pub fn next(&mut self, limit: Duration) -> Option<E> {
        match self.queue.peek() {
            Some(Reverse((at, ..))) if *at <= limit => {
                let Reverse((at, _, event)) = self.queue.pop()?;
                self.elapsed = at;
                Some(event)
            }
            _ => {
                self.elapsed = self.elapsed.max(limit);
                None
            }
        }
    }
}
