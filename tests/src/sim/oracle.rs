//! What must be true of a network at rest, computed from its shape alone by means that share nothing with the product.
//!
//! Every router has an AS of its own and accepts and announces everything, so RFC 4271 §9.1 leaves one answer: the shortest AS
//! path; among those the neighbor with the lowest BGP Identifier; among its links the one whose far address is lowest.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::World;

/// The path a router must have chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Its own route.
    Own,
    /// The route of this neighbor.
    Learned {
        /// The neighbor's router.
        from: usize,
        /// The neighbor's address.
        address: IpAddr,
        /// The AS path as received.
        as_path: Vec<u32>,
    },
}

/// For every prefix that anybody announces: the choice of each router that must have one.
#[must_use]
pub fn choices(world: &World) -> BTreeMap<IpNet, BTreeMap<usize, Choice>> {
    let alive = |node: usize| world.nodes[node].machines.is_some();
    let mut all: BTreeMap<IpNet, BTreeMap<usize, Choice>> = BTreeMap::new();
    for (index, node) in world.nodes.iter().enumerate().filter(|(index, _)| alive(*index)) {
        for prefix in node.announced.keys() {
            all.entry(*prefix).or_default().insert(index, Choice::Own);
        }
    }
    for chosen in all.values_mut() {
        // Ring by ring around those who announce: who is reached in this round has no shorter path.
        loop {
            let mut reached: BTreeMap<usize, (Ipv4Addr, IpAddr, Choice)> = BTreeMap::new();
            for (index, node) in world.nodes.iter().enumerate() {
                if !alive(index) || chosen.contains_key(&index) {
                    continue;
                }
                for port in &node.ports {
                    let link = &world.links[port.link];
                    let peer = if link.nodes[0] == index { link.nodes[1] } else { link.nodes[0] };
                    let Some(theirs) = chosen.get(&peer).filter(|_| link.up && !link.silent) else { continue };
                    let mut as_path = vec![world.nodes[peer].asn];
                    if let Choice::Learned { as_path: rest, .. } = theirs {
                        as_path.extend(rest);
                    }
                    let rank = (world.nodes[peer].router_id, port.peer);
                    if reached.get(&index).is_none_or(|(id, address, _)| rank < (*id, *address)) {
                        let choice = Choice::Learned { from: peer, address: port.peer, as_path };
                        reached.insert(index, (rank.0, rank.1, choice));
                    }
                }
            }
            if reached.is_empty() {
                break;
            }
            chosen.extend(reached.into_iter().map(|(index, (_, _, choice))| (index, choice)));
        }
    }
    all
}
