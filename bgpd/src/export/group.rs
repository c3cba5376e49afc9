//! A group: one Adj-RIB-Out for neighbors that are told the same, fed from the journal.

mod paths;
mod solo;

mod refresh;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;
use rib::{AddressFamily, Family};

use super::batch::Batch;
use super::installed::{Installed, Standing};
use super::log::{Audience, Lane, Log, Piece};
use super::profile::ExportProfile;
use super::told::{Told, ToldTable};
use super::told_paths::ToldPaths;
use super::transform::{Source, names_itself, outgoing};
use crate::intern::{AttrId, AttrStore};
use crate::locrib::journal::{Cursor, Entry};
use crate::locrib::{DestId, PeerIndex, Peers, Shard};
use crate::wire::attr::NextHopAttr;
use crate::wire::nlri::NlriFamily;
use crate::wire::route_refresh::RefreshKind;
use crate::wire::update;
use paths::choose;

/// Encoded octets that the slowest member may have outstanding before the group stops reading the journal.
const OUTSTANDING_MAX: usize = 1 << 20;
/// While members are told everything, only so much stands ready for them: the rest is a position in a table.
const DUMP_OUTSTANDING: usize = 256 * 1024;
/// A member that has been far behind for so long while others are not goes on alone.
const PATIENCE: Duration = Duration::from_millis(50);

/// What export reads.
pub struct Tables<'a, F: Family> {
    /// The Loc-RIB.
    pub shard: &'a mut Shard<F>,
    /// Attribute sets.
    pub store: &'a mut AttrStore,
    /// Neighbors.
    pub peers: &'a Peers,
    /// What the data planes hold.
    pub installed: &'a Installed,
}

/// What a member was told of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldView {
    /// The path identifier it was sent with, if the session has them.
    pub path_id: Option<u32>,
    /// The attributes after import.
    pub attr: AttrId,
    /// Whose path it is.
    pub source: PeerIndex,
}

/// Members that are being told everything that the group was told.
struct Dump {
    at: u32,
    end: u32,
    whom: Arc<[PeerIndex]>,
    /// Those of them that are told where it begins and ends (RFC 7313).
    marked: Vec<PeerIndex>,
}

/// One family of a group.
struct Lot {
    cursor: Cursor,
    /// A walk over the whole table, at its start and after falling out of the journal.
    walk: Option<u32>,
    /// What is told changes although paths do not: the walk tells everything again.
    forced: bool,
    told: ToldTable,
    /// The same in groups with several paths to a prefix; of the two, one is in use.
    paths: ToldPaths,
    /// Of what is told, by path identifier (0 without): the member that is not told because it is itself the next hop.
    barred: HashMap<(DestId, u32), PeerIndex, foldhash::fast::FixedState>,
    dump: Option<Dump>,
    /// Members whose dump has not begun.
    waiting: Vec<PeerIndex>,
    /// Members that are to be told everything again, with marks at both ends (RFC 7313).
    refreshing: Vec<PeerIndex>,
    /// Destinations with routes of our own that changed: they take the urgent lane.
    local: Vec<DestId>,
    /// Destinations to look at again though their paths did not change.
    due: VecDeque<DestId>,
    /// Where the bulk lane ended when it last held a destination that is in the urgent lane otherwise.
    urgent_after: HashMap<DestId, u64, foldhash::fast::FixedState>,
}

/// An export group.
pub struct Group {
    /// What makes its members alike.
    pub profile: Arc<ExportProfile>,
    lots: [Lot; 2],
    log: Log,
    batch: Batch,
    /// It was split off for one slow member and joins the others again when it has caught up.
    pub solo: bool,
}

const fn lot_of(family: AddressFamily) -> usize {
    match family {
        AddressFamily::Ipv4 => 0,
        AddressFamily::Ipv6 => 1,
    }
}

/// Members that are not told a path: its source (split horizon), and who is itself the next hop that would be told (RFC 4271
/// §5.1.3).
fn barred(
    log: &Log,
    profile: &ExportProfile,
    peers: &Peers,
    source: PeerIndex,
    next_hop: Option<NextHopAttr>,
) -> [Option<PeerIndex>; 2] {
    let foreign = next_hop.filter(|hop| names_itself(profile, *hop, hop.addr()));
    let owner = foreign.and_then(|hop| {
        let mut others = log.members.iter().map(|member| member.peer).filter(|peer| *peer != source);
        others.find(|peer| peers.get(*peer).address == hop.addr())
    });
    [log.is_member(source).then_some(source), owner]
}

/// `source` has a path to `dest` that may be used.
fn has_path<F: Family>(tables: &Tables<'_, F>, dest: DestId, source: PeerIndex) -> bool {
    let usable = |generation| tables.peers.is_usable(source, F::FAMILY, generation);
    tables.shard.paths_of(dest, source).any(|(_, path)| path.imported.is_some() && usable(path.generation))
}

impl Group {
    /// A group without members that has told nobody anything; it begins with a walk. The cursors are from [`Shard::join`] with
    /// the profile's scopes, of IPv4 and IPv6.
    #[must_use]
    pub fn new(profile: Arc<ExportProfile>, cursors: [Cursor; 2]) -> Self {
        let lots = cursors.map(|cursor| Lot {
            cursor,
            walk: Some(0),
            forced: false,
            told: ToldTable::default(),
            paths: ToldPaths::default(),
            barred: HashMap::default(),
            dump: None,
            waiting: Vec::new(),
            refreshing: Vec::new(),
            local: Vec::new(),
            due: VecDeque::new(),
            urgent_after: HashMap::default(),
        });
        let mut batch = Batch::default();
        batch.clear();
        Self { profile, lots, log: Log::default(), batch, solo: false }
    }

    /// Adds a neighbor whose session was established; it is told everything, then End-of-RIB.
    pub fn join(&mut self, peer: PeerIndex) {
        self.log.join(peer, [self.profile.ipv4, self.profile.ipv6]);
        for lot in &mut self.lots {
            if lot.walk != Some(0) || lot.told.len() + lot.paths.len() > 0 {
                lot.waiting.push(peer);
            }
        }
    }

    /// Removes a neighbor. True if it was the last.
    pub fn leave(&mut self, store: &mut AttrStore, peer: PeerIndex) -> bool {
        self.log.leave(peer);
        self.forget_dumps(peer);
        let empty = self.log.members.is_empty();
        if empty {
            self.clear(store);
        }
        empty
    }

    fn forget_dumps(&mut self, peer: PeerIndex) {
        for lot in &mut self.lots {
            lot.waiting.retain(|waiting| *waiting != peer);
            lot.refreshing.retain(|waiting| *waiting != peer);
            if let Some(dump) = &mut lot.dump
                && dump.whom.contains(&peer)
            {
                dump.marked.retain(|marked| *marked != peer);
                let rest: Vec<_> = dump.whom.iter().copied().filter(|whom| *whom != peer).collect();
                if rest.is_empty() {
                    lot.dump = None;
                } else {
                    dump.whom = rest.into();
                }
            }
        }
    }

    /// Gives every attribute set back.
    pub fn clear(&mut self, store: &mut AttrStore) {
        for lot in &mut self.lots {
            lot.told.clear(store);
            lot.paths.clear(store);
            lot.barred.clear();
        }
    }

    /// A neighbor is a member.
    #[must_use]
    pub fn is_member(&self, peer: PeerIndex) -> bool {
        self.log.is_member(peer)
    }

    /// The members.
    pub fn members(&self) -> impl Iterator<Item = PeerIndex> + '_ {
        self.log.members.iter().map(|member| member.peer)
    }

    /// Members that have something to take and had nothing before.
    pub fn woken(&mut self) -> impl Iterator<Item = PeerIndex> + '_ {
        self.log.woken.drain(..)
    }

    /// The next whole messages for a member.
    pub fn take(&mut self, peer: PeerIndex) -> Option<Bytes> {
        self.log.take(peer)
    }

    /// Somebody was told of `dest`, so that its prefix must be kept until that is taken back.
    #[must_use]
    pub fn has_told(&self, family: AddressFamily, dest: DestId) -> bool {
        let lot = &self.lots[lot_of(family)];
        lot.told.get(dest).is_some() || lot.paths.any(dest)
    }

    /// The id will mean another prefix.
    pub fn forget(&mut self, family: AddressFamily, dest: DestId) {
        self.lots[lot_of(family)].urgent_after.remove(&dest);
    }

    /// What `peer` was told of last.
    pub fn told(&self, family: AddressFamily, dest: DestId, peer: PeerIndex) -> impl Iterator<Item = ToldView> + '_ {
        let lot = &self.lots[lot_of(family)];
        let one = lot.told.get(dest).map(|told| ToldView { path_id: None, attr: told.attr, source: told.source });
        let several = lot.paths.get(dest).map(|told| ToldView {
            path_id: Some(told.number),
            attr: told.attr,
            source: told.source,
        });
        let barred = move |told: &ToldView| lot.barred.get(&(dest, told.path_id.unwrap_or(0))) == Some(&peer);
        one.into_iter().chain(several).filter(move |told| told.source != peer && !barred(told))
    }

    /// Destinations told in both families, for finding leaks in tests.
    #[cfg(test)]
    pub(crate) fn told_len(&self) -> usize {
        self.lots.iter().map(|lot| lot.told.len() + lot.paths.len()).sum()
    }

    /// Routes that `peer` was told, and UPDATEs it has taken.
    #[must_use]
    pub fn counts(&self, peer: PeerIndex) -> (u64, u64) {
        let to_peer = |lot: &Lot| {
            let barred = lot.barred.values().filter(|own| **own == peer).count();
            lot.told.len() - lot.told.from(peer) + lot.paths.len() - lot.paths.from(peer) - barred
        };
        let told = self.lots.iter().map(to_peer).sum::<usize>() as u64;
        (told, self.log.member(peer).map_or(0, |member| member.updates))
    }

    /// Changes it has still to read.
    fn backlog<F: Family>(&self, shard: &Shard<F>) -> u64 {
        shard.backlog(self.profile.scope(F::FAMILY), self.lots[lot_of(F::FAMILY)].cursor)
    }

    /// Something to read that outstanding octets do not forbid.
    #[must_use]
    pub fn has_work<F: Family>(&self, shard: &Shard<F>) -> bool {
        let lot = &self.lots[lot_of(F::FAMILY)];
        if !self.profile.speaks(F::FAMILY) {
            return false;
        }
        let behind = lot.walk.is_some() || self.backlog(shard) > 0;
        ((behind || !lot.due.is_empty()) && self.log.most_outstanding() < OUTSTANDING_MAX)
            || !lot.local.is_empty()
            || ((lot.dump.is_some() || self.is_dump_due(F::FAMILY)) && self.dump_ready(lot))
    }

    /// More than `far` changes are unread, although outstanding octets do not forbid reading.
    #[must_use]
    pub fn is_far_behind<F: Family>(&self, shard: &Shard<F>, far: u64) -> bool {
        self.profile.speaks(F::FAMILY) && self.log.most_outstanding() < OUTSTANDING_MAX && self.backlog(shard) > far
    }

    /// It has read everything, and everybody has been told everything.
    #[must_use]
    pub fn is_settled<F: Family>(&self, shard: &Shard<F>) -> bool {
        let lot = &self.lots[lot_of(F::FAMILY)];
        let read = lot.walk.is_none() && self.backlog(shard) == 0 && lot.local.is_empty() && lot.due.is_empty();
        !self.profile.speaks(F::FAMILY)
            || (read && lot.dump.is_none() && lot.waiting.is_empty() && lot.refreshing.is_empty())
    }

    /// No octets wait to be taken.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.log.most_outstanding() == 0
    }

    fn dump_ready(&self, lot: &Lot) -> bool {
        match &lot.dump {
            Some(dump) => self
                .log
                .members
                .iter()
                .filter(|member| dump.whom.contains(&member.peer))
                .all(|member| member.outstanding < DUMP_OUTSTANDING),
            None => true,
        }
    }

    /// Does at most `budget` destinations of work in this family; returns what is left of the budget.
    pub fn run<F: NlriFamily>(&mut self, tables: &mut Tables<'_, F>, budget: usize) -> usize {
        if !self.profile.speaks(F::FAMILY) {
            // What it does not speak must not hold the journal or owe it a walk.
            let lot = &mut self.lots[lot_of(F::FAMILY)];
            lot.cursor = tables.shard.head(self.profile.scope(F::FAMILY));
            return budget;
        }
        let mut left = self.run_journal(tables, budget);
        self.run_local(tables);
        let lot = &mut self.lots[lot_of(F::FAMILY)];
        lot.forced &= lot.walk.is_some();
        left = self.run_dump(tables, left);
        self.end_of_rib(F::FAMILY);
        left
    }

    fn run_journal<F: NlriFamily>(&mut self, tables: &mut Tables<'_, F>, mut budget: usize) -> usize {
        if self.log.most_outstanding() >= OUTSTANDING_MAX {
            return budget;
        }
        let scope = self.profile.scope(F::FAMILY);
        // What comes to it meanwhile is for the next time.
        let mut due = self.lots[lot_of(F::FAMILY)].due.len();
        while budget > 0 {
            let lot = &mut self.lots[lot_of(F::FAMILY)];
            let dest = match lot.walk {
                _ if due > 0 => {
                    due -= 1;
                    budget -= 1;
                    let Some(dest) = lot.due.pop_front() else { continue };
                    dest
                }
                Some(at) if at < tables.shard.end() => {
                    lot.walk = Some(at + 1);
                    budget -= 1;
                    DestId(at)
                }
                Some(_) => {
                    lot.walk = None;
                    continue;
                }
                None => match tables.shard.read_in(scope, &mut lot.cursor) {
                    Entry::Dest(dest) => {
                        budget -= 1;
                        dest
                    }
                    Entry::End => break,
                    Entry::Overrun => {
                        lot.cursor = tables.shard.join(scope);
                        lot.walk = Some(0);
                        continue;
                    }
                },
            };
            if !tables.shard.is_used(dest) {
                continue;
            }
            if tables.shard.is_local(dest) {
                self.lots[lot_of(F::FAMILY)].local.push(dest);
            } else {
                self.process(tables, dest);
            }
        }
        if !self.batch.is_empty() {
            self.batch.flush(&self.profile, tables.shard, Lane::Bulk, &mut self.log);
        }
        self.batch.clear();
        budget
    }

    /// The data planes say otherwise of these than before.
    pub fn reconsider<F: Family>(&mut self, shard: &Shard<F>, dests: &[DestId]) {
        if !self.profile.only_installed || !self.profile.speaks(F::FAMILY) {
            return;
        }
        let lot = &mut self.lots[lot_of(F::FAMILY)];
        lot.due.extend(dests);
        if lot.due.len() > shard.end() as usize {
            // Members take so little that a look at everything is less.
            lot.due.clear();
            lot.walk = Some(0);
        }
    }

    /// Routes of our own that changed: told at once, before all bulk, whatever is outstanding.
    pub fn urgent<F: NlriFamily>(&mut self, tables: &mut Tables<'_, F>, dests: &[DestId]) {
        if self.profile.speaks(F::FAMILY) {
            self.lots[lot_of(F::FAMILY)].local.extend_from_slice(dests);
            self.run_local(tables);
        }
    }

    fn run_local<F: NlriFamily>(&mut self, tables: &mut Tables<'_, F>) {
        let lot = &mut self.lots[lot_of(F::FAMILY)];
        if lot.local.is_empty() {
            return;
        }
        let mut dests = std::mem::take(&mut lot.local);
        dests.sort_unstable();
        dests.dedup();
        dests.retain(|dest| tables.shard.is_used(*dest));
        // A destination may overtake only what does not speak of it.
        let bulk_end = self.log.bulk_end();
        let log = &self.log;
        let after = &mut lot.urgent_after;
        let (urgent, bulk): (Vec<_>, Vec<_>) =
            dests.into_iter().partition(|dest| log.bulk_taken(*after.entry(*dest).or_insert(bulk_end)));
        for (lane, dests) in [(Lane::Urgent, urgent), (Lane::Bulk, bulk)] {
            for dest in &dests {
                self.process(tables, *dest);
            }
            self.batch.flush(&self.profile, tables.shard, lane, &mut self.log);
            if lane == Lane::Bulk {
                self.note_bulk(F::FAMILY, &dests);
            }
        }
    }

    fn note_bulk(&mut self, family: AddressFamily, dests: &[DestId]) {
        let end = self.log.bulk_end();
        let after = &mut self.lots[lot_of(family)].urgent_after;
        after.extend(dests.iter().map(|dest| (*dest, end)));
    }

    /// Compares what the group was told of `dest` with the best path now, and puts the difference into the batch.
    fn process<F: Family>(&mut self, tables: &mut Tables<'_, F>, dest: DestId) {
        if self.profile.paths(F::FAMILY) > 0 {
            return self.process_paths(tables, dest);
        }
        let was = self.lots[lot_of(F::FAMILY)].told.get(dest);
        let prefix = F::net(tables.shard.prefix(dest));
        let best = match (self.profile.originates(prefix), self.profile.client) {
            (Some(attr), _) => Some(Told { attr, source: PeerIndex::LOCAL }),
            _ if self.profile.summarised_by(prefix).is_some() => None,
            (None, Some(client)) => self.best_for(tables, client, dest),
            (None, None) => choose(&self.profile, tables.shard, tables.store, tables.peers, dest)
                .map(|path| Told { attr: path.imported, source: path.peer }),
        };
        let best = best.and_then(|best| self.installed(tables, dest, was, best));
        let forced = self.lots[lot_of(F::FAMILY)].forced;
        if was == best && !forced {
            return;
        }
        let want = best.and_then(|best| {
            let source = Source { peer: best.source, facts: tables.peers.get(best.source) };
            let (log, profile, peers) = (&self.log, &self.profile, tables.peers);
            let bucket = self.batch.bucket(profile, tables.store, best.attr, source, prefix, |next_hop| {
                let barred = barred(log, profile, peers, best.source, next_hop);
                (barred[1], Audience::but(barred))
            });
            self.batch.accepts(bucket).then_some((best, bucket))
        });
        match (was, want) {
            (None, None) => return,
            (Some(was), None) => {
                let audience = self.heard(F::FAMILY, was.source, (dest, 0));
                self.batch.withdraw(audience, dest);
            }
            (None, Some((_, bucket))) => self.batch.announce(bucket, dest),
            (Some(was), Some((best, bucket))) => {
                if forced || !self.is_same(tables, was, best, bucket, prefix) {
                    // Split horizon: who had it from us and is now its source must not keep it.
                    if was.source != best.source && self.log.is_member(best.source) {
                        self.batch.withdraw(Audience::Only(best.source), dest);
                    }
                    if let Some(owner) = self.newly_barred(F::FAMILY, was.source, (dest, 0), bucket) {
                        self.batch.withdraw(Audience::Only(owner), dest);
                    }
                    self.batch.announce(bucket, dest);
                }
            }
        }
        let own = want.and_then(|(_, bucket)| self.batch.next_hop_of(bucket));
        self.note_barred(F::FAMILY, (dest, 0), own);
        let told = &mut self.lots[lot_of(F::FAMILY)].told;
        told.set(tables.store, dest, want.map(|(best, _)| best));
    }

    /// What may be told of `dest` where `best` is its best path: that, if the data planes hold it. While they have not answered what
    /// was told stays, as long as its source still has a path.
    fn installed<F: Family>(
        &mut self,
        tables: &Tables<'_, F>,
        dest: DestId,
        was: Option<Told>,
        best: Told,
    ) -> Option<Told> {
        match self.standing(tables, dest, best.source, best.attr) {
            Standing::Held => Some(best),
            Standing::Refused(_) => None,
            Standing::Asked | Standing::Unfed => was.filter(|was| has_path(tables, dest, was.source)),
        }
    }

    /// How a path of `dest` stands with the data planes, if that matters here; what the shared RIB must be told first is looked
    /// at again.
    fn standing<'a, F: Family>(
        &mut self,
        tables: &'a Tables<'_, F>,
        dest: DestId,
        source: PeerIndex,
        attr: AttrId,
    ) -> Standing<'a> {
        let Tables { shard, store, installed, .. } = tables;
        let standing = installed.standing_towards(&self.profile, shard, store, dest, (source, attr));
        if standing == Standing::Unfed {
            self.lots[lot_of(F::FAMILY)].due.push_back(dest);
        }
        standing
    }

    /// Whom a withdrawal of what was told is for: everybody who was told it.
    fn heard(&self, family: AddressFamily, source: PeerIndex, told: (DestId, u32)) -> Audience {
        let own = self.lots[lot_of(family)].barred.get(&told).copied();
        Audience::but([self.log.is_member(source).then_some(source), own])
    }

    /// The member that is the next hop of what the bucket tells and was told of `was`: it must not keep that.
    fn newly_barred(
        &self,
        family: AddressFamily,
        was: PeerIndex,
        told: (DestId, u32),
        bucket: u32,
    ) -> Option<PeerIndex> {
        let own = self.batch.next_hop_of(bucket).filter(|own| *own != was)?;
        (self.lots[lot_of(family)].barred.get(&told) != Some(&own)).then_some(own)
    }

    /// Remembers which member is not told because it is the next hop.
    fn note_barred(&mut self, family: AddressFamily, told: (DestId, u32), own: Option<PeerIndex>) {
        let barred = &mut self.lots[lot_of(family)].barred;
        match own {
            Some(own) => {
                barred.insert(told, own);
            }
            None if barred.is_empty() => {}
            None => {
                barred.remove(&told);
            }
        }
    }

    /// True if everybody who was told `was` would be told the very same now (RFC 4271 §9.2: no duplicates).
    fn is_same<F: Family>(
        &mut self,
        tables: &Tables<'_, F>,
        was: Told,
        best: Told,
        bucket: u32,
        prefix: ipnet::IpNet,
    ) -> bool {
        if was.source != best.source && (self.log.is_member(was.source) || self.log.is_member(best.source)) {
            return false;
        }
        let (old, new) = (tables.store.facts(was.attr), tables.store.facts(best.attr));
        if old.path_length != new.path_length || old.neighbor_as != new.neighbor_as || old.origin != new.origin {
            return false;
        }
        let source = Source { peer: was.source, facts: tables.peers.get(was.source) };
        outgoing(&self.profile, tables.store, was.attr, source, prefix)
            .is_ok_and(|(told, _)| self.batch.same(&self.profile, bucket, &told, prefix))
    }

    fn run_dump<F: NlriFamily>(&mut self, tables: &mut Tables<'_, F>, mut budget: usize) -> usize {
        let at = lot_of(F::FAMILY);
        self.begin_dump(F::FAMILY, tables.shard.end());
        if !self.dump_ready(&self.lots[at]) {
            return budget;
        }
        let Some(mut dump) = self.lots[at].dump.take() else { return budget };
        let mut local = Vec::new();
        while budget > 0 && dump.at < dump.end {
            let dest = DestId(dump.at);
            dump.at += 1;
            budget -= 1;
            if self.profile.paths(F::FAMILY) > 0 {
                if self.dump_paths(tables, dest, &dump.whom) && tables.shard.is_local(dest) {
                    local.push(dest);
                }
                continue;
            }
            let Some(told) = self.lots[at].told.get(dest) else { continue };
            let prefix = F::net(tables.shard.prefix(dest));
            let source = Source { peer: told.source, facts: tables.peers.get(told.source) };
            let (log, profile, peers) = (&self.log, &self.profile, tables.peers);
            let bucket = self.batch.bucket(profile, tables.store, told.attr, source, prefix, |next_hop| {
                let barred = barred(log, profile, peers, told.source, next_hop);
                (barred[1], Audience::Of(Arc::clone(&dump.whom), barred))
            });
            if self.batch.accepts(bucket) {
                if let Some(own) = self.batch.next_hop_of(bucket) {
                    self.note_barred(F::FAMILY, (dest, 0), Some(own));
                }
                self.batch.announce(bucket, dest);
                if tables.shard.is_local(dest) {
                    local.push(dest);
                }
            }
        }
        self.batch.flush(&self.profile, tables.shard, Lane::Bulk, &mut self.log);
        self.note_bulk(F::FAMILY, &local);
        if dump.at < dump.end {
            self.lots[at].dump = Some(dump);
        } else {
            self.mark(F::FAMILY, RefreshKind::End, &dump.marked);
        }
        budget
    }

    /// RFC 4724 §2: the end of the initial update, for members that have been told everything.
    fn end_of_rib(&mut self, family: AddressFamily) {
        let lot = &self.lots[lot_of(family)];
        if lot.walk.is_some() || !lot.local.is_empty() {
            return;
        }
        let being_told = |peer: &PeerIndex| {
            lot.waiting.contains(peer) || lot.dump.as_ref().is_some_and(|dump| dump.whom.contains(peer))
        };
        let due: Vec<PeerIndex> = self
            .log
            .members
            .iter_mut()
            .filter(|member| member.eor_due[lot_of(family)] && !being_told(&member.peer))
            .map(|member| {
                member.eor_due[lot_of(family)] = false;
                member.peer
            })
            .collect();
        for peer in due {
            let mut buf = BytesMut::new();
            update::encode_end_of_rib(family, &mut buf);
            self.log.push(Lane::Bulk, Piece { octets: buf.freeze(), messages: 1, audience: Audience::Only(peer) });
        }
    }
}
