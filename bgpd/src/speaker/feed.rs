//! The shared RIB's share: best paths (and those used together with them) as routes, distinct ones once per batch.

use hashbrown::HashMap;
use rib::{
    AdminDistance, Discard, Family, IfIndex, Leg, Metric, NextHop, NextHopSet, Protocol, Route, RouteBatch, RouteChange,
};
use smallvec::{SmallVec, smallvec};

use super::tables::Settings;
use crate::attrs::flag;
use crate::export::Installed;
use crate::intern::{AttrId, AttrStore};
use crate::locrib::journal::{Cursor, Entry};
use crate::locrib::{DestId, Path, PeerIndex, PeerKind, Peers, Shard};
use crate::wire::attr::PathAttributes;

/// The RIB's reader of the journals.
pub(super) struct Feed {
    cursors: [Cursor; 2],
    walks: [Option<u32>; 2],
    routes: HashMap<(AttrId, bool), u32, foldhash::fast::FixedState>,
    /// Link bandwidths of sets that are used together with others, for one run.
    bandwidths: Bandwidths,
}

type Bandwidths = HashMap<AttrId, Option<f32>, foldhash::fast::FixedState>;

impl Feed {
    pub(super) fn new(cursors: [Cursor; 2]) -> Self {
        Self { cursors, walks: [None, None], routes: HashMap::default(), bandwidths: HashMap::default() }
    }

    /// Everything is to be told once more.
    pub(super) fn again(&mut self) {
        self.walks = [Some(0), Some(0)];
    }

    /// Appends at most `budget` changes to `batch`; true if there are more.
    pub(super) fn run<F: Family>(
        &mut self,
        context: &mut (Settings, &AttrStore, &Peers),
        shard: &mut Shard<F>,
        at: usize,
        budget: usize,
        (batch, installed): (&mut RouteBatch, &mut Installed),
    ) -> bool {
        let more = self.read(context, shard, at, budget, batch, installed);
        installed.fed(self.cursors[at], self.walks[at]);
        more
    }

    fn read<F: Family>(
        &mut self,
        context: &mut (Settings, &AttrStore, &Peers),
        shard: &mut Shard<F>,
        at: usize,
        mut budget: usize,
        batch: &mut RouteBatch,
        installed: &mut Installed,
    ) -> bool {
        self.routes.clear();
        self.bandwidths.clear();
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
            let best = shard.best(dest).copied();
            if installed.is_on() {
                match best {
                    Some(best) if is_fed(context, &best) => installed.ask(dest, batch.ask.unwrap_or_default()),
                    Some(best) if context.1.facts(best.imported).protocol != Some(Protocol::Service) => {
                        installed.ask(dest, batch.ask.unwrap_or_default());
                        batch.ask_of.push(prefix);
                    }
                    _ => installed.forget(dest),
                }
            }
            let best = best.filter(|best| is_fed(context, best));
            let route = best.map(|best| {
                let internal = context.2.get(best.peer).kind.is_inside();
                let key = (best.imported, internal);
                match last {
                    Some((known, index)) if known == key && !best.is_multipath() => index,
                    _ => {
                        if best.is_multipath() {
                            let legs = together(context.1, shard, dest, &mut self.bandwidths);
                            add(batch, route(context, &best, internal, legs))
                        } else {
                            let index = *self
                                .routes
                                .entry(key)
                                .or_insert_with(|| add(batch, route(context, &best, internal, None)));
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

/// The next hops of the paths used together, weighted by link bandwidth if all of them have one.
fn together<F: Family>(
    store: &AttrStore,
    shard: &Shard<F>,
    dest: DestId,
    bandwidths: &mut Bandwidths,
) -> Option<NextHopSet> {
    let used: SmallVec<[AttrId; 8]> = shard
        .paths(dest)
        .filter(|(_, path)| path.is_multipath() && path.imported.is_some())
        .map(|(_, path)| path.imported)
        // What drops packets does not share them with what forwards them.
        .filter(|id| store.facts(*id).flags & flag::DISCARD == 0)
        .collect();
    let bandwidth = |id: &AttrId| *bandwidths.entry(*id).or_insert_with(|| link_bandwidth(&store.attributes(*id)));
    let all: Option<SmallVec<[f32; 8]>> = used.iter().map(bandwidth).collect();
    let weights = all.map_or_else(|| smallvec![1; used.len()], |all| weights(&all));
    NextHopSet::new(
        used.iter().zip(weights).map(|(id, weight)| Leg { next_hop: via(store, *id), weight_less_one: weight - 1 }),
    )
}

/// The link bandwidth extended community (draft-ietf-idr-link-bandwidth §2), transitive or not, in octets per second; one
/// that is no positive number is none.
fn link_bandwidth(attributes: &PathAttributes) -> Option<f32> {
    attributes.extended_communities.iter().find_map(|community| match community {
        [0x40 | 0x00, 0x04, _, _, value @ ..] => {
            Some(f32::from_be_bytes(*value)).filter(|value| value.is_finite() && *value > 0.0)
        }
        _ => None,
    })
}

/// Weights from 1 to 255 in proportion to bandwidths, in lowest terms.
fn weights(bandwidths: &[f32]) -> SmallVec<[u8; 8]> {
    let most = bandwidths.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let scaled: SmallVec<[u8; 8]> =
        bandwidths.iter().map(|bandwidth| (bandwidth / most * 255.0).round().clamp(1.0, 255.0) as u8).collect();
    let divisor = scaled.iter().copied().fold(0, |mut a: u8, mut b| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    });
    scaled.into_iter().map(|weight| weight / divisor.max(1)).collect()
}

fn route(context: &(Settings, &AttrStore, &Peers), best: &Path, internal: bool, together: Option<NextHopSet>) -> Route {
    let (settings, store, _) = context;
    if best.peer == PeerIndex::LOCAL {
        return discard(settings);
    }
    let facts = store.facts(best.imported);
    Route {
        protocol: if internal { Protocol::Ibgp } else { Protocol::Ebgp },
        distance: AdminDistance(if internal { settings.distance_ibgp } else { settings.distance_ebgp }),
        // As FRR and BIRD have it: MED is the metric that other protocols see.
        metric: Metric(facts.med),
        tag: 0,
        next_hops: together
            .filter(|_| facts.flags & flag::DISCARD == 0)
            .unwrap_or_else(|| via(store, best.imported).into()),
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

/// A next hop as the shared RIB resolves it; a link-local one names its link.
fn via(store: &AttrStore, id: AttrId) -> NextHop {
    let facts = store.facts(id);
    if facts.flags & flag::DISCARD != 0 {
        return NextHop::Discard(Discard::Blackhole);
    }
    let addr = store.next_hops.addr(facts.next_hop);
    match store.next_hops.link(facts.next_hop) {
        0 => NextHop::via(addr),
        link => NextHop::Gateway { addr, interface: Some(IfIndex(link)), onlink: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_in_proportion_and_in_lowest_terms() {
        let rows: [(&[f32], &[u8]); 6] = [
            (&[1e9, 1e9], &[1, 1]),
            (&[1e9, 2e9], &[128, 255]),
            (&[3e9, 1e9], &[3, 1]),
            (&[1.0, 1e12], &[1, 255]),
            (&[5e8, 1.5e9, 1e9], &[1, 3, 2]),
            (&[f32::MAX, f32::MIN_POSITIVE], &[255, 1]),
        ];
        for (bandwidths, expected) in rows {
            assert_eq!(weights(bandwidths)[..], *expected, "{bandwidths:?}");
        }
    }
}
