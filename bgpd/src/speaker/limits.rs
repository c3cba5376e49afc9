//! How much a neighbor may announce (`max_prefix`; RFC 4271 §6.7, RFC 4486 §4): a warning first, then the end of the session.
//!
//! What counts is what is held of it in a family, before import policy. An UPDATE is counted whole: nothing of one that
//! goes over the limit is told to others, as export comes after the count.

use rib::AddressFamily;

use super::Speaker;
use super::message::{Event, Output};
use super::neighbor::Neighbor;
use crate::config::MaxPrefix;
use crate::session::{SessionInput, StopCause};

/// Which warnings were given, by family.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Warned([bool; 2]);

/// What a count means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Below,
    Near,
    Over,
}

const fn verdict(limit: MaxPrefix, held: u32) -> Verdict {
    match held {
        held if held > limit.limit => Verdict::Over,
        held if held >= limit.warn => Verdict::Near,
        _ => Verdict::Below,
    }
}

impl Speaker {
    /// Prefixes held of a neighbor, by family.
    fn held(&self, neighbor: &Neighbor) -> [(AddressFamily, u32); 2] {
        let shards = &self.tables.shards;
        [
            (AddressFamily::Ipv4, shards.v4.counts(neighbor.peer).received),
            (AddressFamily::Ipv6, shards.v6.counts(neighbor.peer).received),
        ]
    }

    /// Looks whether a neighbor with a session holds to its limit.
    pub(super) fn check_limit(&mut self, at: usize, out: &mut Vec<Output>) {
        let Some(neighbor) = self.neighbors[at].as_ref().filter(|neighbor| neighbor.up.is_some()) else { return };
        let Some(limit) = neighbor.config.max_prefix else { return };
        let held = self.held(neighbor);
        let Some(neighbor) = &mut self.neighbors[at] else { return };
        for (place, (family, count)) in held.into_iter().enumerate() {
            match verdict(limit, count) {
                Verdict::Below => neighbor.warned.0[place] = false,
                Verdict::Near if neighbor.warned.0[place] => {}
                Verdict::Near => {
                    neighbor.warned.0[place] = true;
                    let neighbor = neighbor.key.clone();
                    out.push(Output::Event(Event::NearLimit { neighbor, family, count, limit: limit.limit }));
                }
                Verdict::Over => {
                    neighbor.warned = Warned::default();
                    let cause =
                        StopCause::MaxPrefix { family: family.into(), limit: limit.limit, restart: limit.restart };
                    return self.tell_session(at, SessionInput::Stop(cause), out);
                }
            }
        }
    }
}
