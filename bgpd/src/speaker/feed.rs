//! The shared RIB's share: best paths (and those used together with them) as routes, distinct ones once per batch.

use hashbrown::HashMap;
use rib::{AdminDistance, Discard, Metric, NextHop, NextHopSet, Protocol, Route, RouteBatch, RouteChange};

use super::tables::Settings;
use crate::intern::{AttrId, AttrStore};
use crate::locrib::journal::{Cursor, Entry};
use crate::locrib::{DestId, Key, Path, PeerIndex, PeerKind, Peers, Shard};

/// The RIB's reader of the journals.
pub(super) struct Feed {
    cursors: [Cursor; 2],
    walks: [Option<u32>; 2],
    routes: HashMap<(AttrId, bool), u32, foldhash::fast::FixedState>,
}

impl Feed {
    pub(super) fn new(cursors: [Cursor; 2]) -> Self {
        Self { cursors, walks: [None, None], routes: HashMap::default() }
    }

    /// Everything is to be told once more.
    pub(super) fn again(&mut self) {
        self.walks = [Some(0), Some(0)];
    }

    /// Appends at most `budget` changes to `batch`; true if there are more.
    pub(super) fn run<F: Key>(
        &mut self,
        context: &mut (Settings, &AttrStore, &Peers),
        shard: &mut Shard<F>,
        at: usize,
        mut budget: usize,
        batch: &mut RouteBatch,
    ) -> bool {
        self.routes.clear();
        let mut last: Option<((AttrId, bool), u32)> = None;
        while budget > 0 {
            let dest = match self.walks[at] {
                Some(next) if next < shard.end() => {
                    self.walks[at] = Some(next + 1);
                    DestId(next)
                }
                Some(_) => {
                    self.walks[at] = None;
                    continue;
                }
                None => match shard.read(&mut self.cursors[at]) {
                    Entry::Dest(dest) => dest,
                    Entry::End => return false,
                    Entry::Overrun => {
                        self.cursors[at] = shard.journal.join();
                        self.walks[at] = Some(0);
                        continue;
                    }
                },
            };
            budget -= 1;
            if !shard.is_used(dest) {
                continue;
            }
            let prefix = F::net(shard.prefix(dest));
            let best = shard.best(dest).copied().filter(|best| is_fed(context, best));
            let route = best.map(|best| {
                let internal = context.2.get(best.peer).kind.is_internal();
                let key = (best.imported, internal);
                match last {
                    Some((known, index)) if known == key && !best.is_multipath() => index,
                    _ => {
                        if best.is_multipath() {
                            add(batch, route(context, shard, dest, best.imported, internal))
                        } else {
                            let index = *self
                                .routes
                                .entry(key)
                                .or_insert_with(|| add(batch, route(context, shard, dest, best.imported, internal)));
                            last = Some((key, index));
                            index
                        }
                    }
                }
            });
            let held = shard.set_in_rib(dest, route.is_some());
            if route.is_some() || held {
                batch.changes.push(RouteChange { prefix, route });
            }
        }
        true
    }
}

/// Our own routes came from the RIB, except for aggregates: those have no protocol.
fn is_fed(context: &(Settings, &AttrStore, &Peers), best: &Path) -> bool {
    context.2.get(best.peer).kind != PeerKind::Local || context.1.facts(best.imported).protocol.is_none()
}

fn add(batch: &mut RouteBatch, route: Route) -> u32 {
    // Attribute sets that differ in what the RIB does not read make one route.
    let recent = batch.routes.len().saturating_sub(8);
    if let Some(at) = batch.routes[recent..].iter().position(|known| *known == route) {
        return (recent + at) as u32;
    }
    batch.routes.push(route);
    batch.routes.len() as u32 - 1
}

fn route<F: Key>(
    context: &(Settings, &AttrStore, &Peers),
    shard: &Shard<F>,
    dest: DestId,
    best: AttrId,
    internal: bool,
) -> Route {
    let (settings, store, _) = context;
    let facts = store.facts(best);
    if shard.best(dest).is_some_and(|best| best.peer == PeerIndex::LOCAL) {
        return discard(settings);
    }
    let via = |id: AttrId| NextHop::via(store.next_hops.addr(store.facts(id).next_hop));
    let further = shard.paths(dest).filter(|(_, path)| path.is_multipath() && path.imported.is_some());
    let legs = std::iter::once(best).chain(further.map(|(_, path)| path.imported)).map(|id| via(id).into());
    Route {
        protocol: if internal { Protocol::Ibgp } else { Protocol::Ebgp },
        distance: AdminDistance(if internal { settings.distance_ibgp } else { settings.distance_ebgp }),
        // As FRR and BIRD have it: MED is the metric that other protocols see.
        metric: Metric(facts.med),
        tag: 0,
        next_hops: NextHopSet::new(legs).unwrap_or_else(|| via(best).into()),
    }
}

/// RFC 4632 §5.1: what an aggregate attracts and no more specific route takes is dropped, so that it cannot loop. Distant,
/// as FRR has its local routes: whatever else knows the prefix comes first.
fn discard(settings: &Settings) -> Route {
    Route {
        protocol: Protocol::Ibgp,
        distance: AdminDistance(settings.distance_ibgp),
        metric: Metric(0),
        tag: 0,
        next_hops: NextHopSet::new([NextHop::Discard(Discard::Blackhole).into()]).expect("one leg is a set"),
    }
}
