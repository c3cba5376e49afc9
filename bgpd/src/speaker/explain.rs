//! Why a path was chosen or not, and why it is told to whom: the decision and export once more, with their reasons.

use std::sync::Arc;

use rib::NotHeld;

use super::Speaker;
use super::message::{Candidate, Explanation, ExportVerdict, NeighborKey};
use super::neighbor::Neighbor;
use super::tables::InTables;
use crate::export::transform::{self, Refusal};
use crate::export::{Group, Source, Standing, ToldView};
use crate::intern::AttrId;
use crate::locrib::decision::{self, Contenders, STEPS};
use crate::locrib::nexthop::State;
use crate::locrib::{DestId, Path, PeerIndex, PeerKind};

impl Speaker {
    pub(super) fn explain<F: InTables>(&self, prefix: F::Prefix, neighbor: Option<&NeighborKey>) -> Explanation {
        let dest = F::shard(&self.tables).lookup(prefix);
        let candidates = dest.map(|dest| self.candidates::<F>(dest)).unwrap_or_default();
        let mut asked: Vec<&Neighbor> = match neighbor {
            Some(key) => self.find(key).into_iter().collect(),
            None => self.neighbors.iter().flatten().collect(),
        };
        asked.sort_by(|a, b| a.key.cmp(&b.key));
        let exports = asked.into_iter().flat_map(|neighbor| self.export_verdicts::<F>(dest, neighbor)).collect();
        Explanation { prefix: F::net(prefix), candidates, exports }
    }

    fn candidates<F: InTables>(&self, dest: DestId) -> Vec<Candidate> {
        let shard = F::shard(&self.tables);
        let contenders = shard.contenders(&self.tables.store, &self.tables.peers, dest);
        let ranked = decision::ranking(&contenders);
        let winner = ranked.first().map(|(id, _)| *id);
        let mut candidates = Vec::new();
        for (id, path) in shard.paths(dest) {
            let place = ranked.iter().position(|(ranked, _)| *ranked == id.0);
            let chosen = path.is_multipath() || winner == Some(id.0);
            let reason = match (place, winner) {
                (Some(0), _) => winning(&contenders, &ranked),
                (Some(_), Some(winner)) => losing(&contenders, id.0, winner, path),
                _ => self.refused::<F>(dest, path),
            };
            let path = self.path_view::<F>(dest, id, path);
            candidates.push((place.unwrap_or(usize::MAX), Candidate { path, reason, chosen }));
        }
        candidates.sort_by(|(a, x), (b, y)| {
            let ids = || x.path.path_id.cmp(&y.path.path_id);
            a.cmp(b).then_with(|| x.path.from.cmp(&y.path.from)).then_with(ids)
        });
        candidates.into_iter().map(|(_, candidate)| candidate).collect()
    }

    /// Why a path is not among those decided between.
    fn refused<F: InTables>(&self, dest: DestId, path: &Path) -> String {
        let tables = &self.tables;
        if !tables.peers.is_usable(path.peer, F::FAMILY, path.generation) {
            return "its session is down".to_owned();
        }
        if path.imported == AttrId::NONE {
            let prefix = F::net(F::shard(tables).prefix(dest));
            let import = tables.imports[usize::from(path.peer.0)].as_ref();
            return match import.map(|import| import.judge(&tables.store, path.received, prefix)) {
                Some(Err(refusal)) => refusal.to_string(),
                _ => "rejected by import policy; a policy change is being applied".to_owned(),
            };
        }
        let next_hop = tables.store.facts(path.imported).next_hop;
        let addr = tables.store.next_hops.addr(next_hop);
        match tables.store.next_hops.state(next_hop) {
            State::Asked => format!("next hop {addr} is being resolved"),
            State::Known(_) if tables.store.next_hops.is_ours(next_hop) => {
                format!("next hop {addr} is an address of ours (RFC 4271 section 5.1.3)")
            }
            State::Known(_) => format!("next hop {addr} is unreachable"),
        }
    }

    /// What a neighbor is told of a prefix: one verdict, or one for each usable path where it is told several.
    fn export_verdicts<F: InTables>(&self, dest: Option<DestId>, neighbor: &Neighbor) -> Vec<ExportVerdict> {
        let no = |reason: String| vec![refusal(neighbor, None, reason)];
        let Some(group) = self.tables.group(neighbor.peer).filter(|_| neighbor.up.is_some()) else {
            return no("the session is not established".to_owned());
        };
        if !group.profile.speaks(F::FAMILY) {
            return no(format!("{} is not in use on this session", crate::wire::AfiSafi::from(F::FAMILY)));
        }
        let (shard, tables) = (F::shard(&self.tables), &self.tables);
        let candidates = dest.map(|dest| (dest, group.candidates(shard, &tables.store, &tables.peers, dest)));
        let Some((dest, candidates)) = candidates.filter(|(_, candidates)| !candidates.is_empty()) else {
            return no("there is no usable path".to_owned());
        };
        let most = group.profile.paths(F::FAMILY);
        let mut chosen = 0;
        let verdict = |path: ToldView| {
            if path.path_id.is_some() && chosen == most {
                return refusal(neighbor, path.path_id, format!("{most} better paths are told (add_path.send)"));
            }
            let (verdict, counts) = self.export_verdict::<F>(dest, path, neighbor, group);
            chosen += u16::from(counts);
            verdict
        };
        candidates.into_iter().map(verdict).collect()
    }

    /// The verdict on one path, and whether it is of those that the group is told.
    fn export_verdict<F: InTables>(
        &self,
        dest: DestId,
        path: ToldView,
        neighbor: &Neighbor,
        group: &Group,
    ) -> (ExportVerdict, bool) {
        let prefix = F::net(F::shard(&self.tables).prefix(dest));
        let source = Source { peer: path.source, facts: self.tables.peers.get(path.source) };
        let outgoing = transform::outgoing(&group.profile, &self.tables.store, path.attr, source, prefix);
        let counts = outgoing.is_ok();
        let no = |reason: String| (refusal(neighbor, path.path_id, reason), counts);
        if path.source == neighbor.peer {
            let which = if path.path_id.is_some() { "the" } else { "the best" };
            return no(format!("split horizon: {which} path is its own"));
        }
        if self.tables.hold_exports {
            return no("announcements are held until all neighbors have sent End-of-RIB (startup_delay)".to_owned());
        }
        if let Some(aggregate) = group.profile.summarised_by(prefix) {
            return no(Refusal::Summarised(aggregate).to_string());
        }
        let (attributes, rule) = match outgoing {
            Err(refusal) => return no(refusal.to_string()),
            Ok(outgoing) => outgoing,
        };
        let own = self.tables.peers.get(neighbor.peer).address;
        if transform::names_itself(&group.profile, attributes.next_hop, own) {
            return no(Refusal::OwnNextHop(own).to_string());
        }
        let installed = &self.tables.installed[F::AT];
        let shown = (path.source, path.attr);
        match installed.standing_towards(&group.profile, F::shard(&self.tables), &self.tables.store, dest, shown) {
            Standing::Held => {}
            Standing::Refused(why) => return no(format!("advertise_only_installed: {}", not_held(why))),
            Standing::Asked | Standing::Unfed => {
                return no("advertise_only_installed: not every data plane has answered for it yet".to_owned());
            }
        }
        let announced = group.told(F::FAMILY, dest, neighbor.peer).any(|told| told.path_id == path.path_id);
        let by = match rule {
            Some(rule) => rule.to_string(),
            None if group.profile.originates(prefix).is_some() => "default_originate".to_owned(),
            None if path.source == PeerIndex::LOCAL => "our own route".to_owned(),
            None => "no policy forbids it".to_owned(),
        };
        let verdict = ExportVerdict {
            announced,
            attributes: Some(Arc::new(attributes)),
            ..refusal(neighbor, path.path_id, if announced { by } else { format!("{by}; not sent yet") })
        };
        (verdict, counts)
    }
}

fn refusal(neighbor: &Neighbor, path_id: Option<u32>, reason: String) -> ExportVerdict {
    ExportVerdict { neighbor: neighbor.key.clone(), path_id, announced: false, reason, attributes: None }
}

fn not_held(why: &NotHeld) -> String {
    match why {
        NotHeld::NoRoute => "no data plane holds the prefix, because no route of it is usable".to_owned(),
        NotHeld::Other(source) => format!("the data planes forward it by another route ({source:?})").to_lowercase(),
        NotHeld::Refused(backend, fault) => format!("data plane {} does not hold it: {fault}", backend.0),
    }
}

fn winning(contenders: &Contenders<'_>, ranked: &[(u32, Option<&'static decision::Step>)]) -> String {
    let own = ranked.first().and_then(|(id, _)| contenders.iter().find(|path| path.id == *id));
    match ranked.first() {
        Some((_, Some(step))) => step.reason.to_owned(),
        _ if own.is_some_and(|path| path.peer.kind == PeerKind::Local) => "originated here".to_owned(),
        _ => "the only usable path".to_owned(),
    }
}

fn losing(contenders: &Contenders<'_>, loser: u32, winner: u32, path: &Path) -> String {
    let find = |id| contenders.iter().find(|path| path.id == id);
    let (Some(loser), Some(winner)) = (find(loser), find(winner)) else { return String::new() };
    if path.is_multipath() {
        return "equal up to the IGP cost: used together with the best".to_owned();
    }
    match decision::first_difference(loser, winner) {
        Some(step) => step.against.to_owned(),
        // MED removed it for the sake of a third path through the same AS.
        None => STEPS[decision::MED_STEP].against.to_owned(),
    }
}
