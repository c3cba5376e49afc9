//! Joining the legs of a set after each has been resolved by itself.

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::nexthop::{Discard, Forwarding, IfIndex, NextHopSet, ResolvedLeg};

/// Greatest weight of a leg, as the kernel has it.
const MAX_WEIGHT: u64 = 256;

/// What one leg resolved to.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// These legs, which share its traffic by their weights.
    Legs(SmallVec<[ResolvedLeg; 1]>),
    Discard(Discard),
    Local,
}

impl Found {
    pub(crate) fn leg(interface: IfIndex, gateway: Option<IpAddr>, onlink: bool) -> Self {
        Self::Legs(SmallVec::from_buf([ResolvedLeg { interface, gateway, onlink, weight: 1 }]))
    }
}

/// A resolved leg with the weight its route gives it.
#[derive(Clone, Debug)]
pub(crate) struct LegOutcome {
    pub(crate) weight: u16,
    pub(crate) found: Found,
}

/// The forwarding of a set whose resolved legs are these. Legs that forward win over a discard, a discard over local
/// delivery. `None` if there is none.
pub(crate) fn join(outcomes: SmallVec<[LegOutcome; 2]>) -> Option<Forwarding> {
    // The usual case, without arithmetic: one leg that led to one leg keeps its weight.
    let mut parts: SmallVec<[(u16, SmallVec<[ResolvedLeg; 1]>); 2]> = SmallVec::new();
    let mut other = None;
    for LegOutcome { weight, found } in outcomes {
        match (found, &other) {
            (Found::Legs(legs), _) => parts.push((weight, legs)),
            (Found::Discard(how), None | Some(Forwarding::Local)) => other = Some(Forwarding::Discard(how)),
            (Found::Local, None) => other = Some(Forwarding::Local),
            (Found::Discard(_) | Found::Local, _) => {}
        }
    }
    if parts.is_empty() { other } else { Some(Forwarding::Legs(share(parts))) }
}

/// Divides each part's weight among its legs, joins equal legs, and brings the weights back into range.
fn share(parts: SmallVec<[(u16, SmallVec<[ResolvedLeg; 1]>); 2]>) -> SmallVec<[ResolvedLeg; 1]> {
    let divided = parts.iter().any(|(_, legs)| legs.len() > 1);
    // Every part's legs sum to `total`; with one common multiple of all totals no share is a fraction. 2^40 bounds it, and
    // then rounding loses nothing that 256 steps of weight could show.
    let total = |legs: &[ResolvedLeg]| legs.iter().map(|leg| u64::from(leg.weight)).sum::<u64>().max(1);
    let scale = if divided {
        parts.iter().map(|(_, legs)| total(legs)).fold(1, |scale, total| lcm(scale, total).min(1 << 40))
    } else {
        1
    };
    let mut shares: SmallVec<[(ResolvedLeg, u64); 4]> = SmallVec::new();
    for (weight, legs) in parts {
        let total = if divided { total(&legs) } else { 1 };
        for leg in legs {
            let part = if divided { u64::from(leg.weight) } else { 1 };
            let amount = (u128::from(weight) * u128::from(part) * u128::from(scale) / u128::from(total)).max(1);
            shares.push((ResolvedLeg { weight: 0, ..leg }, u64::try_from(amount).unwrap_or(u64::MAX)));
        }
    }
    shares.sort_unstable_by_key(|(leg, _)| *leg);
    let before = shares.len();
    shares.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            earlier.1 = earlier.1.saturating_add(later.1);
        }
        same
    });
    if divided || shares.len() < before {
        let common = shares.iter().fold(0, |common, (_, amount)| gcd(common, *amount)).max(1);
        shares.iter_mut().for_each(|(_, amount)| *amount /= common);
    }
    let greatest = shares.iter().map(|(_, amount)| *amount).max().unwrap_or(1);
    if greatest > MAX_WEIGHT {
        for (_, amount) in &mut shares {
            let scaled =
                (u128::from(*amount) * u128::from(MAX_WEIGHT) + u128::from(greatest) / 2) / u128::from(greatest);
            *amount = u64::try_from(scaled).unwrap_or(MAX_WEIGHT).max(1);
        }
    }
    shares
        .into_iter()
        .take(NextHopSet::MAX_LEGS)
        .map(|(leg, amount)| ResolvedLeg { weight: u16::try_from(amount).unwrap_or(u16::MAX), ..leg })
        .collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn lcm(a: u64, b: u64) -> u64 {
    (a / gcd(a, b)).saturating_mul(b)
}
