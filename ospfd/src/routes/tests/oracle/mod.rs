//! The whole calculation in its plainest form (RFC 2328 §16, RFC 5340 §4.8, RFC 3101 §2.5): everything anew from the LSAs that
//! hold, ordered maps, no numbers, nothing kept. What the routing table should be.

mod external;
mod summaries;
mod table;
mod tree;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::AreaConfig;
use crate::id::{AreaId, InterfaceId, RouterId, Version};
use crate::lsa::{LsaBody, LsaHeader};
use crate::routes::PathKind;
use crate::spf::{Hop, Hops, OwnLink};
pub(super) use summaries::summaries;
pub(super) use table::{Table, calculate};

/// Adds the steps of `more`.
fn merge(hops: &mut Hops, more: &[Hop]) {
    hops.extend_from_slice(more);
    hops.sort_unstable();
    hops.dedup();
}

/// LSAs of an area, or of the whole domain, that hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lsas(pub(in crate::routes::tests) Vec<(LsaHeader, LsaBody)>);

/// Everything a calculation needs.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) version: Version,
    pub(crate) router: RouterId,
    pub(crate) links: Vec<OwnLink>,
    pub(crate) areas: BTreeMap<AreaId, (AreaConfig, Lsas)>,
    pub(crate) externals: Lsas,
    /// v3: link-local addresses from link-LSAs.
    pub(crate) link_locals: HashMap<(InterfaceId, RouterId), IpAddr>,
}

impl Snapshot {
    /// We are in more than one area.
    pub(crate) fn border(&self) -> bool {
        self.areas.len() > 1
    }
}

/// The best paths to a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) kind: PathKind,
    /// The area it leads through; of externals the one that the boundary router is reached through.
    pub(crate) area: AreaId,
    /// Cost inside, for type-1 externals with the outside added.
    pub(crate) cost: u32,
    /// Cost of a type-2 external.
    pub(crate) outer: u32,
    /// Externals: 0 is a type-7 LSA to be translated, 1 a type-5, 2 another type-7 (RFC 3101 §2.5 6e).
    pub(crate) rank: u8,
    /// Externals: the first choice of RFC 2328 §16.4.1 does not hold.
    pub(crate) second: bool,
    pub(crate) tag: u32,
    pub(crate) hops: Hops,
}

impl Path {
    fn order(&self) -> (PathKind, u32, bool, u32, u8) {
        (self.kind, self.outer, self.second, self.cost, self.rank)
    }
}

/// Prefixes and their best paths.
pub(crate) type Prefixes = BTreeMap<IpNet, Path>;

/// Offers a path; equally good ones are used together, what is ours alone stays that. The area of the first one stays.
fn offer(prefixes: &mut Prefixes, prefix: IpNet, path: Path) {
    let Some(held) = prefixes.get_mut(&prefix) else {
        prefixes.insert(prefix, path);
        return;
    };
    match path.order().cmp(&held.order()) {
        std::cmp::Ordering::Less => *held = path,
        std::cmp::Ordering::Equal => {
            if held.hops.is_empty() || path.hops.is_empty() {
                held.hops = Hops::new();
            } else {
                merge(&mut held.hops, &path.hops);
            }
            held.tag = held.tag.min(path.tag);
        }
        std::cmp::Ordering::Greater => {}
    }
}
