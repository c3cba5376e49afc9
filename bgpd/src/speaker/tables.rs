//! The speaker's tables and the work on them: everything between a session and the wire that is not a session.

mod aggregate;
mod default_route;
mod local;
mod scan;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use ipnet::IpNet;
use rib::message::Reachability;
use rib::{AddressFamily, Answer, RouteBatch, Source, V4, V6};

use super::addresses::LinkAddress;
use super::feed::Feed;
use super::message::Output;
use super::update::Nlri;
use crate::attrs::Identity;
use crate::export::{ExportProfile, Group, Installed, Tables as ExportTables};
use crate::import::Import;
use crate::intern::{AttrId, AttrStore, RawKey};
use crate::locrib::journal::{Cursor, Scope};
use crate::locrib::nexthop::Affected;
use crate::locrib::{Ageing, Context, DestId, PeerFacts, PeerIndex, PeerKind, Peers, Shard};
use crate::wire::nlri::NlriFamily;
pub(super) use aggregate::AggregateSettings;
use aggregate::Aggregates;
use scan::Scan;

/// Destinations of work in one slice; some 200 µs.
pub(super) const SLICE: usize = 2_000;

/// What the tables need of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) multipath_ebgp: u16,
    pub(super) multipath_ibgp: u16,
    pub(super) multipath_relax: bool,
    pub(super) distance_ebgp: u8,
    pub(super) distance_ibgp: u8,
}

/// A family's tables, chosen by type.
pub(super) trait InTables: NlriFamily {
    fn shard(tables: &Tables) -> &Shard<Self>;
    fn shard_mut(shards: &mut Shards) -> &mut Shard<Self>;
    const AT: usize;
}

impl InTables for V4 {
    fn shard(tables: &Tables) -> &Shard<Self> {
        &tables.shards.v4
    }
    fn shard_mut(shards: &mut Shards) -> &mut Shard<Self> {
        &mut shards.v4
    }
    const AT: usize = 0;
}

impl InTables for V6 {
    fn shard(tables: &Tables) -> &Shard<Self> {
        &tables.shards.v6
    }
    fn shard_mut(shards: &mut Shards) -> &mut Shard<Self> {
        &mut shards.v6
    }
    const AT: usize = 1;
}

/// Both families' Loc-RIBs.
pub(super) struct Shards {
    pub(super) v4: Shard<V4>,
    pub(super) v6: Shard<V6>,
}

/// The tables.
pub(super) struct Tables {
    pub(super) settings: Settings,
    pub(super) store: AttrStore,
    pub(super) peers: Peers,
    pub(super) shards: Shards,
    pub(super) groups: Vec<Option<Group>>,
    by_profile: HashMap<Arc<ExportProfile>, usize>,
    group_of: Vec<Option<usize>>,
    /// Import contexts of neighbors with a session.
    pub(super) imports: Vec<Option<Arc<Import>>>,
    feed: Feed,
    /// What the data planes hold, by family, while a neighbor is told of nothing else.
    pub(super) installed: [Installed; 2],
    /// Batches for the shared RIB that asked.
    asked: u64,
    aggregates: Aggregates,
    /// The default route that neighbors are told who want one, by family; interned when the first one does.
    default_routes: Option<[AttrId; 2]>,
    scan: Scan,
    pub(super) scratch: Scratch,
    /// Exports are held until then, or until told otherwise.
    pub(super) hold_exports: bool,
    /// The shared RIB is not told either: it goes by what an earlier run left (RFC 4724 §4.1).
    pub(super) hold_rib: bool,
    urgent: [Vec<DestId>; 2],
    retired: Vec<PeerIndex>,
    turn: usize,
}

/// Buffers reused from UPDATE to UPDATE.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) raw: RawKey,
    pub(super) v4: Vec<Nlri<ipnet::Ipv4Net>>,
    pub(super) v6: Vec<Nlri<ipnet::Ipv6Net>>,
}

impl Tables {
    pub(super) fn new(seed: u64, identity: Identity, router_id: std::net::Ipv4Addr, settings: Settings) -> Self {
        let mut shards = Shards { v4: Shard::new(seed), v6: Shard::new(seed.rotate_left(17)) };
        let feed = Feed::new([shards.v4.journal.join(), shards.v6.journal.join()]);
        let aggregates = Aggregates::new([shards.v4.journal.join(), shards.v6.journal.join()]);
        Self {
            settings,
            aggregates,
            default_routes: None,
            store: AttrStore::new(seed, identity),
            peers: Peers::new(router_id),
            shards,
            groups: Vec::new(),
            by_profile: HashMap::new(),
            group_of: vec![None],
            imports: vec![None],
            feed,
            installed: Default::default(),
            asked: 0,
            scan: Scan::default(),
            scratch: Scratch::default(),
            hold_exports: false,
            hold_rib: false,
            urgent: [Vec::new(), Vec::new()],
            retired: Vec::new(),
            turn: 0,
        }
    }

    pub(super) fn context<'a>(settings: Settings, store: &'a mut AttrStore, peers: &'a Peers) -> Context<'a> {
        Context {
            store,
            peers,
            multipath_ebgp: settings.multipath_ebgp,
            multipath_ibgp: settings.multipath_ibgp,
            multipath_relax: settings.multipath_relax,
        }
    }

    /// A place for a neighbor; `None` if there is none left.
    pub(super) fn add_peer(&mut self, facts: PeerFacts) -> Option<PeerIndex> {
        // A place is used again once no path of its last holder can be left; if there is no other, that is seen to now.
        if !self.peers.has_room() {
            while self.scan_slice(SLICE) {}
        }
        if self.is_scanned()
            && let Some(peer) = self.retired.pop()
        {
            let epochs = self.peers.get(peer).epochs;
            *self.peers.get_mut(peer) = PeerFacts { epochs, ..facts };
            return Some(peer);
        }
        let peer = self.peers.push(facts)?;
        self.group_of.push(None);
        self.imports.push(None);
        Some(peer)
    }

    /// [`Self::add_peer`] would find a place.
    pub(super) fn has_place(&self) -> bool {
        self.peers.has_room() || !self.retired.is_empty()
    }

    /// A neighbor is no more; its session is down.
    pub(super) fn remove_peer(&mut self, peer: PeerIndex) {
        self.retired.push(peer);
    }

    /// A session stands: its routes may come, and it is told ours.
    pub(super) fn peer_up(
        &mut self,
        peer: PeerIndex,
        router_id: std::net::Ipv4Addr,
        kind: PeerKind,
        import: Arc<Import>,
    ) {
        let facts = self.peers.get_mut(peer);
        facts.up = true;
        facts.router_id = router_id;
        facts.kind = kind;
        facts.route_server_client = import.route_server_client;
        self.imports[usize::from(peer.0)] = Some(import);
    }

    /// A session is gone; what becomes of its paths is for [`Self::age`].
    pub(super) fn peer_down(&mut self, peer: PeerIndex) {
        self.leave(peer);
        self.imports[usize::from(peer.0)] = None;
        self.peers.get_mut(peer).up = false;
    }

    /// Paths of `peer` age at once; what is gone by that is taken out in slices.
    pub(super) fn age(&mut self, peer: PeerIndex, family: AddressFamily, ageing: Ageing) {
        let due = match family {
            AddressFamily::Ipv4 => self.shards.v4.age(&mut self.peers, peer, ageing),
            AddressFamily::Ipv6 => self.shards.v6.age(&mut self.peers, peer, ageing),
        };
        if ageing != Ageing::Renew || due {
            self.rescan();
        }
        if due {
            // Generations come again: no path of long gone ones may be left.
            while self.scan_slice(SLICE) {}
        }
    }

    /// Puts a neighbor into the group of its profile.
    pub(super) fn join(&mut self, peer: PeerIndex, profile: ExportProfile) {
        self.leave(peer);
        let profile = Arc::new(self.with_default_route(profile));
        let at = match self.by_profile.get(&profile) {
            Some(&at) => at,
            None => {
                let cursors = self.cursors(&profile);
                let at = self.put(Group::new(Arc::clone(&profile), cursors));
                self.by_profile.insert(profile, at);
                at
            }
        };
        if let Some(group) = &mut self.groups[at] {
            group.join(peer);
        }
        self.group_of[usize::from(peer.0)] = Some(at);
    }

    /// Neighbors are told by other profiles from now on, without a new session.
    pub(super) fn reprofile(&mut self, changes: &[(PeerIndex, ExportProfile)]) {
        let mut left: Vec<(PeerIndex, Arc<ExportProfile>)> =
            changes.iter().map(|(peer, profile)| (*peer, Arc::new(self.with_default_route(profile.clone())))).collect();
        left.retain(|(peer, profile)| self.group(*peer).is_some_and(|group| group.profile != *profile));
        while let Some((peer, profile)) = left.pop() {
            let cursors = self.cursors(&profile);
            let Some(at) = self.group_of[usize::from(peer.0)] else { continue };
            // If all members change alike, the group goes on as it is; otherwise this one goes on alone until it has caught up.
            let alike =
                left.iter().filter(|(other, to)| self.group_of[usize::from(other.0)] == Some(at) && *to == profile);
            let all = self.groups[at].as_ref().is_some_and(|group| group.members().count() == alike.count() + 1);
            let known = self.by_profile.contains_key(&profile);
            if all {
                left.retain(|(other, _)| self.group_of[usize::from(other.0)] != Some(at));
                if let Some(group) = &mut self.groups[at] {
                    if !group.solo {
                        self.by_profile.remove(&group.profile);
                    }
                    group.reprofile(Arc::clone(&profile), cursors);
                    group.solo = known;
                }
                if !known {
                    self.by_profile.insert(profile, at);
                }
                continue;
            }
            let Some(group) = &mut self.groups[at] else { continue };
            if let Some(mut alone) = group.split(&mut self.store, peer) {
                alone.reprofile(Arc::clone(&profile), cursors);
                alone.solo = known;
                let at = self.put(alone);
                self.group_of[usize::from(peer.0)] = Some(at);
                if !known {
                    self.by_profile.insert(profile, at);
                }
            }
        }
        self.forget_unread();
    }

    /// Where a reader with this profile begins.
    fn cursors(&mut self, profile: &ExportProfile) -> [Cursor; 2] {
        if profile.only_installed {
            let begun = self.installed.each_mut().map(Installed::begin);
            if begun.contains(&true) {
                self.feed.again();
            }
        }
        [
            self.shards.v4.join(profile.scope(AddressFamily::Ipv4)),
            self.shards.v6.join(profile.scope(AddressFamily::Ipv6)),
        ]
    }

    /// Changes of other than best paths are noted only while somebody reads of them.
    fn forget_unread(&mut self) {
        let read = |family| self.groups.iter().flatten().any(|group| group.profile.scope(family) == Scope::Paths);
        let (v4, v6) = (read(AddressFamily::Ipv4), read(AddressFamily::Ipv6));
        if !v4 {
            self.shards.v4.forget_every();
        }
        if !v6 {
            self.shards.v6.forget_every();
        }
    }

    fn put(&mut self, group: Group) -> usize {
        match self.groups.iter().position(Option::is_none) {
            Some(at) => {
                self.groups[at] = Some(group);
                at
            }
            None => {
                self.groups.push(Some(group));
                self.groups.len() - 1
            }
        }
    }

    fn leave(&mut self, peer: PeerIndex) {
        let Some(at) = self.group_of[usize::from(peer.0)].take() else { return };
        let Some(group) = &mut self.groups[at] else { return };
        if group.leave(&mut self.store, peer) {
            if !group.solo {
                self.by_profile.remove(&group.profile);
            }
            self.groups[at] = None;
            self.forget_unread();
        }
    }

    /// The group that tells `peer`.
    pub(super) fn group(&self, peer: PeerIndex) -> Option<&Group> {
        self.groups[self.group_of[usize::from(peer.0)]?].as_ref()
    }

    pub(super) fn group_mut(&mut self, peer: PeerIndex) -> Option<&mut Group> {
        self.groups[self.group_of[usize::from(peer.0)]?].as_mut()
    }

    /// The shared RIB has to be told everything again: distances changed.
    pub(super) fn feed_again(&mut self) {
        self.feed.again();
    }

    /// No neighbor wants only what is installed any more.
    pub(super) fn forget_installed(&mut self) {
        self.installed.iter_mut().for_each(Installed::end);
    }

    /// The RIB's answers about what became of routes, each with the number of the batch after which it was given.
    pub(super) fn answered(&mut self, answers: Vec<(u64, Answer)>) {
        let mut changed: [Vec<DestId>; 2] = Default::default();
        for (through, answer) in answers {
            let (at, dest) = match answer.prefix {
                IpNet::V4(net) => (0, self.shards.v4.lookup(net)),
                IpNet::V6(net) => (1, self.shards.v6.lookup(net)),
            };
            let Some(dest) = dest else { continue };
            if self.installed[at].answer(dest, through, answer.held) {
                changed[at].push(dest);
            }
        }
        for group in self.groups.iter_mut().flatten() {
            group.reconsider(&self.shards.v4, &changed[0]);
            group.reconsider(&self.shards.v6, &changed[1]);
        }
    }

    /// The RIB's answers about next hops.
    pub(super) fn reach(&mut self, states: &[Reachability]) {
        let affected = self.store.next_hops.answer(states);
        self.reconsider(affected);
    }

    /// The host's addresses: nobody can be forwarded to by them.
    pub(super) fn host_addresses(&mut self, addresses: &[LinkAddress]) {
        let own = addresses.iter().map(|known| match known.address.addr() {
            IpAddr::V6(addr) if addr.is_unicast_link_local() => (IpAddr::V6(addr), known.link),
            addr => (addr, 0),
        });
        let affected = self.store.next_hops.set_host(own);
        self.reconsider(affected);
    }

    /// Decides anew what depends on next hops that changed.
    fn reconsider(&mut self, affected: Affected) {
        for (family, dest) in affected.dests {
            let mut context = Self::context(self.settings, &mut self.store, &self.peers);
            match family {
                AddressFamily::Ipv4 if self.shards.v4.is_used(dest) => self.shards.v4.redecide(&mut context, dest),
                AddressFamily::Ipv6 if self.shards.v6.is_used(dest) => self.shards.v6.redecide(&mut context, dest),
                _ => {}
            }
        }
        if !affected.scan.is_empty() {
            self.scan.dirty.extend(affected.scan);
            self.rescan();
        }
    }

    /// One slice of everything that is due. True if there is more.
    pub(super) fn run(&mut self, now: Instant, out: &mut Vec<Output>) -> bool {
        let mut more = self.scan_slice(SLICE);
        more |= self.run_aggregates();
        if !self.hold_rib {
            more |= self.feed_rib(out);
        }
        if !self.hold_exports {
            more |= self.run_groups(now);
        }
        let idle = !more;
        self.free_tombs::<V4>(idle);
        self.free_tombs::<V6>(idle);
        let (add, remove) = self.store.next_hops.changes(now);
        if !add.is_empty() || !remove.is_empty() {
            out.push(Output::Track { add, remove });
        }
        more
    }

    /// Readers are so far behind that no more should be taken in before they have caught up.
    pub(super) fn is_congested(&self) -> bool {
        const FAR: u64 = 1 << 16;
        !self.hold_exports
            && self
                .groups
                .iter()
                .flatten()
                .any(|group| group.is_far_behind(&self.shards.v4, FAR) || group.is_far_behind(&self.shards.v6, FAR))
    }

    fn feed_rib(&mut self, out: &mut Vec<Output>) -> bool {
        let mut batch = RouteBatch::new(Source::Bgp);
        let [v4, v6] = &mut self.installed;
        if v4.is_on() {
            self.asked += 1;
            batch.ask = Some(self.asked);
        }
        let mut context = (self.settings, &self.store, &self.peers);
        let mut more = self.feed.run(&mut context, &mut self.shards.v4, 0, SLICE * 2, (&mut batch, v4));
        more |= self.feed.run(&mut context, &mut self.shards.v6, 1, SLICE * 2, (&mut batch, v6));
        if !batch.changes.is_empty() || !batch.ask_of.is_empty() {
            out.push(Output::Rib(batch));
        }
        more
    }

    fn run_groups(&mut self, now: Instant) -> bool {
        let count = self.groups.len().max(1);
        let mut left = SLICE * 4;
        let share = (left / count).max(512);
        // Who was first last time is last this time; where there are many, the next slice begins with whom this one left out.
        self.turn = (self.turn + 1) % count;
        let first = self.turn;
        for turn in 0..self.groups.len() {
            let at = (turn + first) % count;
            let Some(group) = &mut self.groups[at] else { continue };
            let (store, peers) = (&mut self.store, &self.peers);
            if left > 0 {
                let given = share.min(left);
                let [held_v4, held_v6] = &self.installed;
                let mut v4 = ExportTables { shard: &mut self.shards.v4, store, peers, installed: held_v4 };
                let v4 = group.run(&mut v4, given);
                let mut v6 = ExportTables { shard: &mut self.shards.v6, store, peers, installed: held_v6 };
                let v6 = group.run(&mut v6, given);
                left = left.saturating_sub(2 * given - v4 - v6);
                if left == 0 {
                    self.turn = at;
                }
            }
            if let Some(slow) = group.laggard(now)
                && let Some(alone) = group.split(store, slow)
            {
                let at = self.put(alone);
                self.group_of[usize::from(slow.0)] = Some(at);
            }
        }
        self.rejoin();
        self.has_export_work()
    }

    /// Groups of one that have caught up join the others again.
    fn rejoin(&mut self) {
        for at in 0..self.groups.len() {
            let settled = self.groups[at].as_ref().is_some_and(|group| group.solo && self.is_settled(group));
            if !settled {
                continue;
            }
            let Some(alone) = self.groups[at].take_if(|group| group.is_drained()) else { continue };
            let home = self.by_profile.get(&alone.profile).copied();
            let ready = home.and_then(|home| self.groups[home].as_ref()).is_some_and(|home| self.is_settled(home));
            match home {
                Some(home) if ready => {
                    for peer in alone.members() {
                        self.group_of[usize::from(peer.0)] = Some(home);
                    }
                    if let Some(home) = &mut self.groups[home] {
                        home.adopt(&mut self.store, alone);
                    }
                }
                _ => self.groups[at] = Some(alone),
            }
        }
    }

    fn is_settled(&self, group: &Group) -> bool {
        group.is_settled(&self.shards.v4) && group.is_settled(&self.shards.v6)
    }

    /// Export has something to do that it may do.
    pub(super) fn has_export_work(&self) -> bool {
        !self.hold_exports
            && self.groups.iter().flatten().any(|group| {
                group.has_work(&self.shards.v4) || group.has_work(&self.shards.v6) || group.has_new_laggard()
            })
    }

    /// When [`Self::run`] is due although nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let groups = self.groups.iter().flatten().filter_map(Group::deadline);
        groups.chain(self.store.next_hops.deadline()).min()
    }

    fn free_tombs<F: InTables>(&mut self, idle: bool) {
        let (groups, aggregates) = (&self.groups, &self.aggregates);
        let default_route = self.default_route_held::<F>();
        let held = |dest| {
            default_route == Some(dest)
                || aggregates.holds(F::FAMILY, dest)
                || groups.iter().flatten().any(|group| group.has_told(F::FAMILY, dest))
        };
        let freed = F::shard_mut(&mut self.shards).free_tombs(idle, held);
        for dest in freed {
            self.groups.iter_mut().flatten().for_each(|group| group.forget(F::FAMILY, dest));
            self.installed[F::AT].forget(dest);
        }
    }
}
