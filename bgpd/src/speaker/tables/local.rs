//! Our own routes: they overtake everything.

use std::sync::Arc;

use ipnet::IpNet;
use rib::{AddressFamily, Protocol, V4, V6};

use super::{ExportTables, InTables, Tables};
use crate::attrs::Extra;
use crate::intern::AttrId;
use crate::locrib::{Change, DestId, PeerIndex};
use crate::speaker::message::{LocalBatch, LocalRoute};
use crate::wire::attr::{NextHopAttr, PathAttributes};

impl Tables {
    /// Our own routes: decided and told at once.
    pub(in crate::speaker) fn local(&mut self, batch: &LocalBatch) {
        let mut memo: Option<(*const LocalRoute, AddressFamily, AttrId)> = None;
        for (prefix, route) in &batch.changes {
            let family = AddressFamily::of(prefix);
            let id = route.as_ref().map(|route| match memo {
                Some((known, of, id)) if known == Arc::as_ptr(route) && of == family => id,
                _ => {
                    let (attributes, extra) = local_attributes(route, family);
                    let id = self.store.intern(&attributes, extra);
                    if let Some((_, _, old)) = memo.replace((Arc::as_ptr(route), family, id)) {
                        self.store.release(old);
                    }
                    id
                }
            });
            let change = Change { peer: PeerIndex::LOCAL, path_id: 0, path: id.map(|id| (id, id)) };
            match prefix {
                IpNet::V4(prefix) => self.change_local::<V4>(prefix.trunc(), change),
                IpNet::V6(prefix) => self.change_local::<V6>(prefix.trunc(), change),
            }
            self.aggregate_overridden(prefix);
        }
        self.settle_aggregates();
        if let Some((_, _, id)) = memo {
            self.store.release(id);
        }
        self.tell_urgent::<V4>();
        self.tell_urgent::<V6>();
    }

    pub(super) fn change_local<F: InTables>(&mut self, prefix: F::Prefix, change: Change) {
        let mut context = Self::context(self.settings, &mut self.store, &self.peers);
        let shard = F::shard_mut(&mut self.shards);
        let hash = shard.hash(prefix);
        self.urgent[F::AT].extend(shard.change(&mut context, hash, prefix, change));
    }

    pub(super) fn tell_urgent<F: InTables>(&mut self) {
        let dests = std::mem::take(&mut self.urgent[F::AT]);
        if !dests.is_empty() && !self.hold_exports {
            for group in self.groups.iter_mut().flatten() {
                let shard = F::shard_mut(&mut self.shards);
                let (peers, installed) = (&self.peers, &self.installed[F::AT]);
                group.urgent(&mut ExportTables { shard, store: &mut self.store, peers, installed }, &dests);
            }
        }
    }

    /// Withdraws every route of our own.
    pub(in crate::speaker) fn withdraw_local(&mut self) {
        self.drop_aggregates();
        self.withdraw_local_in::<V4>();
        self.withdraw_local_in::<V6>();
    }

    /// Withdraws every service of ours: who keeps our other routes while we restart must not send it packets meanwhile.
    pub(in crate::speaker) fn withdraw_services(&mut self) {
        let mut changes = Vec::new();
        self.services::<V4>(&mut changes);
        self.services::<V6>(&mut changes);
        self.local(&LocalBatch { changes });
    }

    fn services<F: InTables>(&self, changes: &mut Vec<(IpNet, Option<Arc<LocalRoute>>)>) {
        let shard = F::shard(self);
        let of_ours = (0..shard.end()).map(DestId).filter(|dest| shard.is_used(*dest) && shard.is_local(*dest));
        for dest in of_ours {
            let is_service = |id: AttrId| id.is_some() && self.store.facts(id).protocol == Some(Protocol::Service);
            if shard.paths_of(dest, PeerIndex::LOCAL).any(|(_, path)| is_service(path.imported)) {
                changes.push((F::net(shard.prefix(dest)), None));
            }
        }
    }

    fn withdraw_local_in<F: InTables>(&mut self) {
        for dest in (0..F::shard(self).end()).map(DestId) {
            if F::shard(self).is_used(dest) && F::shard(self).is_local(dest) {
                let mut context = Self::context(self.settings, &mut self.store, &self.peers);
                let change = Change { peer: PeerIndex::LOCAL, path_id: 0, path: None };
                F::shard_mut(&mut self.shards).change_dest(&mut context, dest, change);
                self.urgent[F::AT].push(dest);
            }
        }
        self.tell_urgent::<F>();
    }
}

/// The unspecified next hop stands for our address towards each neighbor.
pub(super) const fn own_next_hop(family: AddressFamily) -> NextHopAttr {
    match family {
        AddressFamily::Ipv4 => NextHopAttr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        AddressFamily::Ipv6 => NextHopAttr::V6 { global: std::net::Ipv6Addr::UNSPECIFIED, link_local: None },
    }
}

/// A route of our own as attributes.
fn local_attributes(route: &LocalRoute, family: AddressFamily) -> (PathAttributes, Extra) {
    let next_hop = match (route.next_hop, family) {
        (Some(std::net::IpAddr::V4(addr)), AddressFamily::Ipv4) => NextHopAttr::V4(addr),
        (Some(std::net::IpAddr::V6(global)), AddressFamily::Ipv6) => NextHopAttr::V6 { global, link_local: None },
        (_, family) => own_next_hop(family),
    };
    fn sorted<T: Ord + Clone>(list: &[T]) -> Vec<T> {
        let mut list = list.to_vec();
        list.sort_unstable();
        list.dedup();
        list
    }
    let attributes = PathAttributes {
        origin: route.origin,
        med: route.med,
        communities: sorted(&route.communities),
        extended_communities: sorted(&route.extended_communities),
        large_communities: sorted(&route.large_communities),
        ..PathAttributes::local(next_hop)
    };
    (attributes, Extra { protocol: Some(route.protocol), prepend: route.prepend, ..Extra::default() })
}
