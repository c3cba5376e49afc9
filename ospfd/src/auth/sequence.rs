//! Cryptographic sequence numbers: those we send never go back, those we take never repeat.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{Number, Proof, Refused};
use crate::config::AuthKey;
use crate::drops::Drop;
use crate::id::RouterId;

/// Packet types.
const TYPES: usize = 5;
/// Routers and keys remembered for each interface. Only who has a key is remembered at all.
const MARKS_MAX: usize = 1024;

/// The low half of 64-bit numbers counts from the beginning of 2026, so many in a second; more packets than that run ahead of it.
const EPOCH: u32 = 1_767_225_600;
const TICKS: u64 = 16;

/// The numbers we send.
#[derive(Debug)]
pub(crate) struct Sequence {
    boot: u32,
    started: Instant,
    seconds: u32,
    count: u64,
}

impl Sequence {
    /// Begins a life; `boot` is greater than whatever earlier ones have sent.
    pub(crate) fn new(now: Instant, boot: u32) -> Self {
        Self { boot, started: now, seconds: boot, count: 0 }
    }

    /// Time passes.
    pub(crate) fn tick(&mut self, now: Instant) {
        let age = u32::try_from(now.saturating_duration_since(self.started).as_secs()).unwrap_or(u32::MAX);
        self.seconds = self.boot.saturating_add(age);
    }

    /// Of 32 bits. It stands still for a second, so that packets that overtake each other are taken, and is no greater than the
    /// clock, so that the next life begins above it.
    pub(super) fn plain(&self) -> u32 {
        self.seconds
    }

    /// Of 64 bits, greater each time (RFC 7474 §2, RFC 7166 §4.1); what the low half has no room for goes into the high one. The
    /// low half does not begin anew with each life but follows the clock, because FRR compares the halves apart and would take
    /// nothing from us until it has forgotten us.
    pub(super) fn next(&mut self) -> u64 {
        let ticks = u64::from(self.seconds.saturating_sub(EPOCH)) * TICKS;
        self.count = (self.count + 1).max(ticks);
        (u64::from(self.boot) << 32).saturating_add(self.count)
    }
}

/// The last numbers of one router under one key.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    plain: Option<u32>,
    strict: [Option<u64>; TYPES],
}

/// The last numbers that came in on an interface.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    marks: BTreeMap<(RouterId, u16), Marks>,
}

impl Seen {
    /// Takes the number of a packet whose digest is right, if it is not one of before. `kind` is the packet's type.
    pub(crate) fn take(&mut self, router: RouterId, kind: u8, proof: Proof) -> Result<(), Refused> {
        let Proof::Digest { key, number } = proof else { return Ok(()) };
        let place = (router, key);
        if !self.marks.contains_key(&place) && self.marks.len() >= MARKS_MAX {
            let text = format!("more than {MARKS_MAX} routers have signed packets on this link");
            return Err(Refused { reason: Drop::TooManyNeighbors, text });
        }
        let marks = self.marks.entry(place).or_default();
        let again = |last: u64, number: u64| {
            let text = format!(
                "its sequence number {number:#x} is not above the last one, {last:#x}: a replay, or it has forgotten what it sent \
                 before and needs a new key"
            );
            Refused { reason: Drop::Replay, text }
        };
        match number {
            Number::Plain(number) => match marks.plain {
                Some(last) if number < last => Err(again(u64::from(last), u64::from(number))),
                _ => {
                    marks.plain = Some(number);
                    Ok(())
                }
            },
            Number::Strict(number) => {
                let Some(mark) = marks.strict.get_mut(usize::from(kind).wrapping_sub(1)) else {
                    return Err(Refused::malformed());
                };
                match *mark {
                    Some(last) if number <= last => Err(again(last, number)),
                    _ => {
                        *mark = Some(number);
                        Ok(())
                    }
                }
            }
        }
    }

    /// A neighbor is gone. Its numbers of RFC 2328 may begin anew (§D.4.3 has them forgotten); those that a boot count leads
    /// may not, so that what it once said cannot be said again.
    pub(crate) fn forget(&mut self, router: RouterId) {
        for (_, marks) in self.marks.range_mut((router, 0)..=(router, u16::MAX)) {
            marks.plain = None;
        }
        self.marks.retain(|_, marks| marks.plain.is_some() || marks.strict.iter().any(Option::is_some));
    }

    /// Keys have changed: what was signed with one that is no longer is of no account.
    pub(crate) fn keep(&mut self, before: &[AuthKey], after: &[AuthKey]) {
        self.marks.retain(|(_, id), _| {
            let of = |keys: &[AuthKey]| keys.iter().find(|key| key.id == *id).cloned();
            of(after).is_some() && of(before) == of(after)
        });
    }
}
