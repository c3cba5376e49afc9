//! Who is Designated Router, and who its backup (RFC 2328 §9.4): a function over what the routers on a network say
//! of themselves.

/// A router that takes part: us, or a neighbor in 2-Way or above. Names are as in hellos (address in v2, router id in v3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// What it is called as a Designated Router.
    pub(crate) name: u32,
    /// Its router id, which breaks ties.
    pub(crate) router: u32,
    /// Its priority.
    pub(crate) priority: u8,
    /// Whom it calls Designated Router.
    pub(crate) dr: u32,
    /// Whom it calls Backup.
    pub(crate) bdr: u32,
}

/// The Designated Router and its backup; 0 is none. `me` is our own name.
pub(crate) fn elect(candidates: &[Candidate], me: u32) -> (u32, u32) {
    let before = candidates.iter().find(|candidate| candidate.name == me).map(|own| (own.dr, own.bdr));
    let first = round(candidates);
    // Step 4: if our own role changed, once more with what we say now.
    let role = |(dr, bdr): (u32, u32)| (dr == me, bdr == me);
    if before.is_some_and(|before| role(before) == role(first)) || before.is_none() {
        return first;
    }
    let again: Vec<Candidate> = candidates
        .iter()
        .map(
            |candidate| {
                if candidate.name == me { Candidate { dr: first.0, bdr: first.1, ..*candidate } } else { *candidate }
            },
        )
        .collect();
    round(&again)
}

/// Steps 2 and 3.
fn round(candidates: &[Candidate]) -> (u32, u32) {
    let best = |among: &mut dyn Iterator<Item = &Candidate>| {
        among.max_by_key(|candidate| (candidate.priority, candidate.router)).map_or(0, |candidate| candidate.name)
    };
    let eligible = || candidates.iter().filter(|candidate| candidate.priority > 0);
    let no_dr = || eligible().filter(|candidate| candidate.dr != candidate.name);
    let mut bdr = best(&mut no_dr().filter(|candidate| candidate.bdr == candidate.name));
    if bdr == 0 {
        bdr = best(&mut no_dr());
    }
    let mut dr = best(&mut eligible().filter(|candidate| candidate.dr == candidate.name));
    if dr == 0 {
        dr = bdr;
    }
    (dr, bdr)
}
