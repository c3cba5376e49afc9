//! Where the databases lead (RFC 2328 §16, RFC 5340 §4.8, RFC 3101 §2.5): a tree of shortest paths for each area, prefixes on
//! it, then those of other areas, then those from outside. Everything is calculated anew from the LSAs that hold; values
//! in, values out, nothing is kept here.

mod external;
mod summaries;
mod table;
mod tree;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use smallvec::SmallVec;

use crate::config::AreaConfig;
use crate::id::{AreaId, InterfaceId, LsaKey, RouterId, Version};
use crate::lsa::{LsaBody, LsaHeader};
pub(crate) use summaries::summaries;
pub(crate) use table::{Table, calculate};

/// A first step; without an address the destination is on the link itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hop {
    pub(crate) interface: InterfaceId,
    pub(crate) via: Option<IpAddr>,
}

/// First steps of equal cost, sorted; none at all is here.
pub(crate) type Hops = SmallVec<[Hop; 2]>;

/// Adds the steps of `more`.
pub(crate) fn merge(hops: &mut Hops, more: &[Hop]) {
    hops.extend_from_slice(more);
    hops.sort_unstable();
    hops.dedup();
}

/// One of our links that is up.
#[derive(Clone, Debug)]
pub(crate) struct OwnLink {
    pub(crate) interface: InterfaceId,
    pub(crate) area: AreaId,
    /// What our router-LSA says of it: an address or an interface id.
    pub(crate) data: u32,
    /// It is a virtual link, and this is where its packets go.
    pub(crate) virtual_to: Option<RouterId>,
    /// Its addresses with the length of their prefix.
    pub(crate) nets: Vec<IpNet>,
    /// Who is heard on it, with the address to send to.
    pub(crate) neighbors: Vec<(RouterId, IpAddr)>,
}

/// LSAs of an area, or of the whole domain, that hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lsas(pub(crate) Vec<(LsaHeader, LsaBody)>);

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
    /// LSA types of the version.
    pub(crate) is_router: fn(&LsaKey) -> bool,
}

impl Snapshot {
    /// We are in more than one area.
    pub(crate) fn border(&self) -> bool {
        self.areas.len() > 1
    }
}

/// How preferred a path is (RFC 2328 §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PathKind {
    Intra,
    Inter,
    External1,
    External2,
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
    pub(crate) tag: u32,
    pub(crate) hops: Hops,
}

impl Path {
    fn order(&self) -> (PathKind, u32, u32, u8) {
        (self.kind, self.outer, self.cost, self.rank)
    }
}

/// Prefixes and their best paths.
pub(crate) type Prefixes = BTreeMap<IpNet, Path>;

/// Offers a path; equally good ones are used together.
pub(crate) fn offer(prefixes: &mut Prefixes, prefix: IpNet, path: Path) {
    match prefixes.get_mut(&prefix) {
        None => {
            prefixes.insert(prefix, path);
        }
        Some(held) => match path.order().cmp(&held.order()) {
            std::cmp::Ordering::Less => *held = path,
            // Ours alone stays ours alone.
            std::cmp::Ordering::Equal if !held.hops.is_empty() && !path.hops.is_empty() => {
                merge(&mut held.hops, &path.hops);
            }
            _ => {}
        },
    }
}
