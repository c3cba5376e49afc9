//! The machine as people and programs see it.

use std::time::Duration;

use ipnet::IpNet;
use rib::{BackendId, FibFault, Forwarding};

use super::Sync;
use crate::backend::{BackendError, Capacity, Facts};
use crate::mirror::State;

/// Refused routes that a view names; it counts them all.
const FAULTS_SHOWN: usize = 64;

/// Where the machine stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The data plane has not been read yet.
    Starting,
    /// In touch.
    Running,
    /// The data plane cannot be reached; tried again with growing pauses.
    Away(BackendError),
}

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches handed to the data plane.
    pub batches: u64,
    /// Route writes and removals among them.
    pub routes: u64,
    /// Next-hop objects among them.
    pub next_hops: u64,
    /// Writes tried again after a refusal.
    pub retries: u64,
    /// Refusals, and batches lost as a whole.
    pub errors: u64,
    /// Routes found as wanted and left untouched.
    pub adopted: u64,
    /// Routes found that nobody wanted, and removed.
    pub swept: u64,
    /// Routes of ours that others touched.
    pub disturbed: u64,
    /// Times the data plane was read.
    pub dumps: u64,
    /// Wanted routes that a dump showed to be missing or different.
    pub repaired: u64,
}

/// How long batches took from the RIB's hand to the data plane's answer; filled in by the carrier, which has a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The last batch.
    pub last: Duration,
    /// The longest.
    pub longest: Duration,
    /// All together, to be divided by `batches`.
    pub total: Duration,
    /// Batches measured.
    pub batches: u64,
}

/// A snapshot for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The data plane's number.
    pub backend: BackendId,
    /// Its name.
    pub name: &'static str,
    /// Where the machine stands.
    pub phase: Phase,
    /// The RIB's first walk has ended.
    pub walked: bool,
    /// What the data plane can hold.
    pub capacity: Capacity,
    /// What it says of itself.
    pub facts: Facts,
    /// IPv4 routes wanted.
    pub ipv4: usize,
    /// IPv6 routes wanted.
    pub ipv6: usize,
    /// Routes acknowledged.
    pub installed: usize,
    /// Routes not written yet.
    pub pending: usize,
    /// Routes refused.
    pub failed: usize,
    /// Those of them that the data plane had no room for.
    pub over_capacity: usize,
    /// Routes found at the start of which the RIB has not spoken yet.
    pub held: usize,
    /// Next-hop objects in use.
    pub next_hops: usize,
    /// The first refused routes with their reasons.
    pub faults: Vec<(IpNet, FibFault)>,
    /// The RIB's journal position acknowledged.
    pub through: u64,
    /// What has happened.
    pub counters: Counters,
    /// How long batches took.
    pub latency: Latency,
    /// Heap octets of the mirror.
    pub mirror_octets: usize,
}

/// A route that is not in the data plane as the RIB wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The destination.
    pub prefix: IpNet,
    /// As the RIB wants it; `None` if it does not.
    pub wanted: Option<Forwarding>,
    /// As the data plane says; `None` if it has none. Equal to `wanted` if only the next-hop object is another one.
    pub found: Option<Forwarding>,
    /// The last refusal, if that is the reason.
    pub fault: Option<FibFault>,
}

impl Sync {
    /// A snapshot. Walks the mirror: some milliseconds on a full table.
    #[must_use]
    pub fn view(&self) -> View {
        let mut view = View {
            backend: self.id,
            name: self.backend.name(),
            phase: self.phase.clone(),
            walked: !self.walking,
            capacity: self.backend.capacity(),
            facts: self.backend.facts(),
            ipv4: 0,
            ipv6: 0,
            installed: 0,
            pending: 0,
            failed: 0,
            over_capacity: self.retry.over_capacity(),
            held: 0,
            next_hops: self.slots.len(),
            faults: self.retry.iter().take(FAULTS_SHOWN).map(|(prefix, fault)| (prefix, fault.clone())).collect(),
            through: self.acknowledged,
            counters: self.counters,
            latency: Latency::default(),
            mirror_octets: self.mirror.octets(),
        };
        self.mirror.for_each(|prefix, slot, state| {
            match state {
                State::Held => {
                    view.held += 1;
                    return;
                }
                State::Installed if self.slots.fault(slot).is_some() => view.failed += 1,
                State::Installed => view.installed += 1,
                State::Pending => view.pending += 1,
                State::Failed => view.failed += 1,
            }
            match prefix {
                IpNet::V4(_) => view.ipv4 += 1,
                IpNet::V6(_) => view.ipv6 += 1,
            }
        });
        view
    }
}
