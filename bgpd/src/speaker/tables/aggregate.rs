//! Aggregates (RFC 4271 §9.2.2.2): a prefix of ours for as long as a more specific one is there.
//!
//! A reader of the journals like any other. What `summary_only` keeps back is for export to know
//! ([`ExportProfile::summarised_by`](crate::export::ExportProfile::summarised_by)): a more specific prefix that is there
//! is what makes its aggregate be there.

use std::net::Ipv4Addr;

use hashbrown::HashMap;
use ipnet::IpNet;
use rib::{AddressFamily, V4, V6};

use super::local::own_next_hop;
use super::{InTables, SLICE, Tables};
use crate::attrs::{Extra, Facts};
use crate::config::{Aggregate, SpeakerConfig};
use crate::locrib::journal::{Cursor, Entry};
use crate::locrib::{Change, DestId, PeerIndex};
use crate::wire::attr::{Aggregator, Origin, PathAttributes};

/// What aggregates need of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::speaker) struct AggregateSettings {
    list: Vec<Aggregate>,
    asn: u32,
    router_id: Option<Ipv4Addr>,
}

impl AggregateSettings {
    pub(in crate::speaker) fn of(config: &SpeakerConfig) -> Self {
        // RFC 5065 §5.3: the world sees the confederation.
        let asn = config.confederation.as_ref().map_or(config.asn, |confederation| confederation.id);
        Self { list: config.aggregates.clone(), asn, router_id: Some(config.router_id) }
    }
}

/// What a more specific route adds to its aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    /// ORIGIN, as a number: higher is worse.
    origin: u8,
    /// Its AS_PATH is not empty: aggregation hides it.
    has_path: bool,
}

/// What an aggregate is announced with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum {
    /// RFC 4271 §9.2.2.2: the worst of all.
    origin: Origin,
    /// ATOMIC_AGGREGATE is due (RFC 4271 §5.1.6).
    atomic: bool,
}

struct Known {
    prefix: IpNet,
    /// Contributors; bounded by the table.
    shares: HashMap<DestId, Share, foldhash::fast::FixedState>,
    origins: [usize; 3],
    with_path: usize,
    /// Announced like this.
    announced: Option<Sum>,
    dirty: bool,
}

impl Known {
    fn new(prefix: IpNet) -> Self {
        Self { prefix, shares: HashMap::default(), origins: [0; 3], with_path: 0, announced: None, dirty: false }
    }

    fn set(&mut self, dest: DestId, share: Option<Share>) {
        let before = match share {
            Some(share) => self.shares.insert(dest, share),
            None => self.shares.remove(&dest),
        };
        if before == share {
            return;
        }
        if let Some(share) = share {
            self.origins[usize::from(share.origin.min(2))] += 1;
            self.with_path += usize::from(share.has_path);
        }
        if let Some(before) = before {
            self.origins[usize::from(before.origin.min(2))] -= 1;
            self.with_path -= usize::from(before.has_path);
        }
        self.dirty = true;
    }

    fn sum(&self) -> Option<Sum> {
        let worst = [Origin::Incomplete, Origin::Egp, Origin::Igp];
        let origin = worst.into_iter().find(|origin| self.origins[usize::from(*origin as u8)] > 0)?;
        Some(Sum { origin, atomic: self.with_path > 0 })
    }
}

/// The aggregates of both families.
pub(super) struct Aggregates {
    settings: AggregateSettings,
    known: [Vec<Known>; 2],
    cursors: [Cursor; 2],
    walks: [Option<u32>; 2],
}

impl Aggregates {
    pub(super) fn new(cursors: [Cursor; 2]) -> Self {
        Self { settings: AggregateSettings::default(), known: Default::default(), cursors, walks: [None; 2] }
    }

    /// `dest` must not be given to another prefix yet.
    pub(super) fn holds(&self, family: AddressFamily, dest: DestId) -> bool {
        self.known[lot(family)].iter().any(|known| known.shares.contains_key(&dest))
    }
}

const fn lot(family: AddressFamily) -> usize {
    match family {
        AddressFamily::Ipv4 => 0,
        AddressFamily::Ipv6 => 1,
    }
}

impl Tables {
    /// These are the aggregates from now on.
    pub(in crate::speaker) fn set_aggregates(&mut self, settings: AggregateSettings) {
        if settings == self.aggregates.settings {
            return;
        }
        self.drop_aggregates();
        for aggregate in &settings.list {
            let prefix = aggregate.prefix.trunc();
            self.aggregates.known[lot(AddressFamily::of(&prefix))].push(Known::new(prefix));
        }
        self.aggregates.settings = settings;
        self.aggregates.walks = [Some(0), Some(0)];
        self.aggregates.cursors = [self.shards.v4.journal.join(), self.shards.v6.journal.join()];
    }

    /// Withdraws every aggregate, for good.
    pub(super) fn drop_aggregates(&mut self) {
        self.aggregates.settings = AggregateSettings::default();
        for known in std::mem::take(&mut self.aggregates.known).into_iter().flatten() {
            if known.announced.is_some() {
                self.put_aggregate(known.prefix, None);
            }
        }
        self.tell_urgent::<V4>();
        self.tell_urgent::<V6>();
    }

    /// Our own route for this prefix was changed by somebody else.
    pub(super) fn aggregate_overridden(&mut self, prefix: &IpNet) {
        let family = AddressFamily::of(prefix);
        for known in self.aggregates.known[lot(family)].iter_mut().filter(|known| known.prefix == prefix.trunc()) {
            known.announced = None;
            known.dirty = true;
        }
    }

    /// Reads what changed; true if there is more.
    pub(super) fn run_aggregates(&mut self) -> bool {
        let more = self.read_aggregates::<V4>() | self.read_aggregates::<V6>();
        self.settle_aggregates();
        self.tell_urgent::<V4>();
        self.tell_urgent::<V6>();
        more
    }

    fn read_aggregates<F: InTables>(&mut self) -> bool {
        let Self { aggregates, shards, store, .. } = self;
        let shard = F::shard_mut(shards);
        if aggregates.known[F::AT].is_empty() {
            aggregates.cursors[F::AT] = shard.journal.head();
            aggregates.walks[F::AT] = None;
            return false;
        }
        for _ in 0..SLICE * 2 {
            let dest = match aggregates.walks[F::AT] {
                Some(at) if at < shard.end() => {
                    aggregates.walks[F::AT] = Some(at + 1);
                    DestId(at)
                }
                Some(_) => {
                    aggregates.walks[F::AT] = None;
                    continue;
                }
                None => match shard.read(&mut aggregates.cursors[F::AT]) {
                    Entry::Dest(dest) => dest,
                    Entry::End => return false,
                    Entry::Overrun => {
                        aggregates.cursors[F::AT] = shard.journal.join();
                        aggregates.walks[F::AT] = Some(0);
                        continue;
                    }
                },
            };
            if !shard.is_used(dest) {
                continue;
            }
            let prefix = F::net(shard.prefix(dest));
            let share = shard.best(dest).map(|best| share(store.facts(best.imported)));
            for known in &mut aggregates.known[F::AT] {
                if known.prefix.contains(&prefix) && known.prefix != prefix {
                    known.set(dest, share);
                }
            }
        }
        true
    }

    /// Aggregates whose contributors changed are announced or withdrawn.
    pub(super) fn settle_aggregates(&mut self) {
        for at in [0, 1] {
            for number in 0..self.aggregates.known[at].len() {
                let known = &mut self.aggregates.known[at][number];
                if !std::mem::take(&mut known.dirty) {
                    continue;
                }
                let (prefix, sum) = (known.prefix, known.sum());
                // Somebody else's route of our own for the same prefix comes first.
                if known.announced == sum || known.announced.is_none() && self.has_own(&prefix) {
                    continue;
                }
                self.aggregates.known[at][number].announced = sum;
                self.put_aggregate(prefix, sum);
            }
        }
    }

    fn has_own(&self, prefix: &IpNet) -> bool {
        fn has<F: InTables>(tables: &Tables, prefix: F::Prefix) -> bool {
            let shard = F::shard(tables);
            shard.lookup(prefix).is_some_and(|dest| shard.paths_of(dest, PeerIndex::LOCAL).next().is_some())
        }
        match prefix {
            IpNet::V4(prefix) => has::<V4>(self, *prefix),
            IpNet::V6(prefix) => has::<V6>(self, *prefix),
        }
    }

    fn put_aggregate(&mut self, prefix: IpNet, sum: Option<Sum>) {
        let id = sum.map(|sum| {
            let Aggregates { settings, .. } = &self.aggregates;
            self.store.intern(&attributes(settings, &prefix, sum), Extra::default())
        });
        let change = Change { peer: PeerIndex::LOCAL, path_id: 0, path: id.map(|id| (id, id)) };
        match prefix {
            IpNet::V4(prefix) => self.change_local::<V4>(prefix, change),
            IpNet::V6(prefix) => self.change_local::<V6>(prefix, change),
        }
        if let Some(id) = id {
            self.store.release(id);
        }
    }
}

fn share(facts: &Facts) -> Share {
    Share { origin: facts.origin, has_path: facts.path_length > 0 }
}

fn attributes(settings: &AggregateSettings, prefix: &IpNet, sum: Sum) -> PathAttributes {
    let router_id = settings.router_id.unwrap_or(Ipv4Addr::UNSPECIFIED);
    PathAttributes {
        origin: sum.origin,
        atomic_aggregate: sum.atomic,
        aggregator: Some(Aggregator { asn: settings.asn, router_id }),
        ..PathAttributes::local(own_next_hop(AddressFamily::of(prefix)))
    }
}
