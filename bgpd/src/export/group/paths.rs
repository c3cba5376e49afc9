//! Groups that are told several paths to a prefix (RFC 7911), and the best external path beside an internal one
//! (draft-ietf-idr-best-external): both read more of the Loc-RIB than the best path.
//!
//! The paths told are the best of those that may be told, in the order of the decision repeated without its winners. A
//! member whose own path is among them is told the others (split horizon by path).

use std::sync::Arc;

use rib::Family;
use smallvec::SmallVec;

use super::{Group, Tables, ToldView, barred, lot_of};
use crate::export::installed::Standing;
use crate::export::log::Audience;
use crate::export::profile::ExportProfile;
use crate::export::told::Told;
use crate::export::told_paths::ToldPath;
use crate::export::transform::{Source, names_itself, outgoing};
use crate::intern::AttrStore;
use crate::locrib::decision::{self, Contenders};
use crate::locrib::{DestId, Path, PathId, PeerIndex, PeerKind, Peers, Shard};

/// The identifier of a default route that is no path of the Loc-RIB: no place in the arena has this number.
const ORIGINATED: u32 = u32::MAX;

/// The path that a group without path identifiers is told of if export does not refuse it: the best one, or in its stead the
/// best that may be passed on inside the AS.
pub(in crate::export) fn choose<'a, F: Family>(
    profile: &ExportProfile,
    shard: &'a Shard<F>,
    store: &AttrStore,
    peers: &Peers,
    dest: DestId,
) -> Option<&'a Path> {
    const NOT_PASSED_ON: PeerKind = PeerKind::Internal { client: false };
    let best = shard.best(dest)?;
    if !profile.best_external || peers.get(best.peer).kind != NOT_PASSED_ON {
        return Some(best);
    }
    let mut set = shard.contenders(store, peers, dest);
    set.retain(|path| path.peer.kind != NOT_PASSED_ON);
    decision::best(&mut set).map(|(id, _)| shard.path(PathId(id)))
}

/// Usable paths, the best first: each is the winner of the decision among those after it.
pub(in crate::export) fn in_order<'a>(mut left: Contenders<'a>) -> impl Iterator<Item = PathId> + use<'a> {
    std::iter::from_fn(move || {
        let (winner, _) = decision::best(&mut left.clone())?;
        left.retain(|path| path.id != winner);
        Some(PathId(winner))
    })
}

impl Group {
    /// The best path that `client`, the only member, may be told: a route server decides for each client by its own policy, so
    /// that a path which is kept from it does not hide others (RFC 7947 §2.3.1).
    pub(super) fn best_for<F: Family>(
        &mut self,
        tables: &Tables<'_, F>,
        client: PeerIndex,
        dest: DestId,
    ) -> Option<Told> {
        let prefix = F::net(tables.shard.prefix(dest));
        in_order(tables.shard.contenders(tables.store, tables.peers, dest)).find_map(|id| {
            let path = tables.shard.path(id);
            let told = Told { attr: path.imported, source: path.peer };
            let source = Source { peer: told.source, facts: tables.peers.get(told.source) };
            let (log, profile, peers) = (&self.log, &self.profile, tables.peers);
            let bucket = self.batch.bucket(profile, tables.store, told.attr, source, prefix, |next_hop| {
                let barred = barred(log, profile, peers, told.source, next_hop);
                (barred[1], Audience::but(barred))
            });
            let kept_back = told.source == client || self.batch.next_hop_of(bucket) == Some(client);
            (!kept_back && self.batch.accepts(bucket)).then_some(told)
        })
    }

    /// What the group has to be told of `dest` now: the paths and their buckets.
    fn wanted<F: Family>(&mut self, tables: &Tables<'_, F>, dest: DestId) -> SmallVec<[(ToldPath, u32); 8]> {
        let most = usize::from(self.profile.paths(F::FAMILY));
        let prefix = F::net(tables.shard.prefix(dest));
        let mut wanted = SmallVec::new();
        if let Some(attr) = self.profile.originates(prefix) {
            let told = ToldPath { number: ORIGINATED, attr, source: PeerIndex::LOCAL };
            let source = Source { peer: told.source, facts: tables.peers.get(told.source) };
            let bucket =
                self.batch.bucket(&self.profile, tables.store, attr, source, prefix, |_| (None, Audience::All));
            wanted.extend(self.batch.accepts(bucket).then_some((told, bucket)));
            return wanted;
        }
        if self.profile.summarised_by(prefix).is_some() {
            return wanted;
        }
        for id in in_order(tables.shard.contenders(tables.store, tables.peers, dest)) {
            let path = tables.shard.path(id);
            let told = ToldPath { number: id.number(), attr: path.imported, source: path.peer };
            let source = Source { peer: told.source, facts: tables.peers.get(told.source) };
            let (log, profile, peers) = (&self.log, &self.profile, tables.peers);
            let bucket = self.batch.bucket(profile, tables.store, told.attr, source, prefix, |next_hop| {
                let barred = barred(log, profile, peers, told.source, next_hop);
                (barred[1], Audience::but(barred))
            });
            if self.batch.accepts(bucket) {
                wanted.push((told, bucket));
                if wanted.len() == most {
                    break;
                }
            }
        }
        wanted
    }

    /// [`Group::process`] for several paths: each identifier is announced, replaced or withdrawn on its own.
    pub(super) fn process_paths<F: Family>(&mut self, tables: &mut Tables<'_, F>, dest: DestId) {
        let at = lot_of(F::FAMILY);
        let were: SmallVec<[ToldPath; 8]> = self.lots[at].paths.get(dest).collect();
        let mut wanted = self.wanted(tables, dest);
        if let Some(best) = tables.shard.best(dest).filter(|_| !wanted.is_empty()) {
            match self.standing(tables, dest, best.peer, best.imported) {
                Standing::Held => {}
                Standing::Refused(_) => wanted.clear(),
                // What was told stays, but for paths that are gone.
                Standing::Asked | Standing::Unfed => {
                    return self.keep_paths(tables, dest, &were, &wanted);
                }
            }
        }
        let forced = self.lots[at].forced;
        for was in &were {
            if wanted.iter().all(|(told, _)| told.number != was.number) {
                let audience = self.heard(F::FAMILY, was.source, (dest, was.number));
                self.note_barred(F::FAMILY, (dest, was.number), None);
                self.batch.withdraw_path(audience, was.number, dest);
            }
        }
        for (told, bucket) in &wanted {
            let was = were.iter().find(|was| was.number == told.number);
            if let Some(was) = was {
                if !forced && (was == told || self.is_same_path(tables, *was, *told, *bucket, dest)) {
                    continue;
                }
                // The identifier of a path that went is another neighbor's now, which must not keep it.
                if was.source != told.source && self.log.is_member(told.source) {
                    self.batch.withdraw_path(Audience::Only(told.source), told.number, dest);
                }
                if let Some(owner) = self.newly_barred(F::FAMILY, was.source, (dest, told.number), *bucket) {
                    self.batch.withdraw_path(Audience::Only(owner), told.number, dest);
                }
            }
            self.note_barred(F::FAMILY, (dest, told.number), self.batch.next_hop_of(*bucket));
            self.batch.announce_path(*bucket, told.number, dest);
        }
        if were.iter().ne(wanted.iter().map(|(told, _)| told)) {
            let told: SmallVec<[ToldPath; 8]> = wanted.iter().map(|(told, _)| *told).collect();
            self.lots[at].paths.set(tables.store, dest, &told);
        }
    }

    /// Takes back those of what was told that are not wanted any more, and leaves the others as they are.
    fn keep_paths<F: Family>(
        &mut self,
        tables: &mut Tables<'_, F>,
        dest: DestId,
        were: &[ToldPath],
        wanted: &[(ToldPath, u32)],
    ) {
        let is_wanted =
            |was: &ToldPath| wanted.iter().any(|(told, _)| (told.number, told.source) == (was.number, was.source));
        for was in were.iter().filter(|was| !is_wanted(was)) {
            let audience = self.heard(F::FAMILY, was.source, (dest, was.number));
            self.note_barred(F::FAMILY, (dest, was.number), None);
            self.batch.withdraw_path(audience, was.number, dest);
        }
        let kept: SmallVec<[ToldPath; 8]> = were.iter().copied().filter(is_wanted).collect();
        if kept.len() < were.len() {
            self.lots[lot_of(F::FAMILY)].paths.set(tables.store, dest, &kept);
        }
    }

    fn is_same_path<F: Family>(
        &mut self,
        tables: &Tables<'_, F>,
        was: ToldPath,
        told: ToldPath,
        bucket: u32,
        dest: DestId,
    ) -> bool {
        let plain = |path: ToldPath| Told { attr: path.attr, source: path.source };
        self.is_same(tables, plain(was), plain(told), bucket, F::net(tables.shard.prefix(dest)))
    }

    /// The part of a dump that concerns `dest`; true if there is something to tell.
    pub(super) fn dump_paths<F: Family>(
        &mut self,
        tables: &Tables<'_, F>,
        dest: DestId,
        whom: &Arc<[PeerIndex]>,
    ) -> bool {
        let prefix = F::net(tables.shard.prefix(dest));
        let mut any = false;
        let paths: SmallVec<[ToldPath; 8]> = self.lots[lot_of(F::FAMILY)].paths.get(dest).collect();
        for path in paths {
            let source = Source { peer: path.source, facts: tables.peers.get(path.source) };
            let (log, profile, peers) = (&self.log, &self.profile, tables.peers);
            let bucket = self.batch.bucket(profile, tables.store, path.attr, source, prefix, |next_hop| {
                let barred = barred(log, profile, peers, path.source, next_hop);
                (barred[1], Audience::Of(Arc::clone(whom), barred))
            });
            if self.batch.accepts(bucket) {
                if let Some(own) = self.batch.next_hop_of(bucket) {
                    self.note_barred(F::FAMILY, (dest, path.number), Some(own));
                }
                self.batch.announce_path(bucket, path.number, dest);
                any = true;
            }
        }
        any
    }

    /// Of what is known of `dest`, what is told if export does not refuse it, the best first; for explaining it.
    pub fn candidates<F: Family>(
        &self,
        shard: &Shard<F>,
        store: &AttrStore,
        peers: &Peers,
        dest: DestId,
    ) -> Vec<ToldView> {
        let several = self.profile.paths(F::FAMILY) > 0;
        if let Some(attr) = self.profile.originates(F::net(shard.prefix(dest))) {
            return vec![ToldView { path_id: several.then_some(ORIGINATED), attr, source: PeerIndex::LOCAL }];
        }
        let view = |path_id, path: &Path| ToldView { path_id, attr: path.imported, source: path.peer };
        if several {
            let paths = in_order(shard.contenders(store, peers, dest));
            return paths.map(|id| view(Some(id.number()), shard.path(id))).collect();
        }
        if let Some(client) = self.profile.client {
            // Those that it may not be told come first, each with its reason.
            let mut done = false;
            let wanted = |path: &&Path| {
                let source = Source { peer: path.peer, facts: peers.get(path.peer) };
                let told = outgoing(&self.profile, store, path.imported, source, F::net(shard.prefix(dest)));
                let named = |next_hop| names_itself(&self.profile, next_hop, peers.get(client).address);
                let may = path.peer != client && told.is_ok_and(|(told, _)| !named(told.next_hop));
                let before = done;
                done |= may;
                !before
            };
            let paths = in_order(shard.contenders(store, peers, dest)).map(|id| shard.path(id));
            return paths.take_while(wanted).map(|path| view(None, path)).collect();
        }
        choose(&self.profile, shard, store, peers, dest).map(|path| view(None, path)).into_iter().collect()
    }
}
