//! What must be true at any time, at rest or not: of routes that are kept though nobody says them (RFC 4724, RFC 9494).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bgpd::speaker::message::{NeighborView, Query, Reply, SessionState};
use bgpd::wire::attr::{PathAttributes, community};
use bgpd::wire::capability::Capability;
use ipnet::IpNet;

use super::World;
use super::clock::Life;
use super::internet::{LONG_LIVED_MAX, RESTART_MAX};
use super::node::Node;

/// When a neighbor was first seen away with routes of it kept, and which of its sessions was the last.
pub(super) type Away = BTreeMap<(Life, IpAddr), (u64, Duration)>;

/// Timers are due at an instant, their work a moment later.
const SLACK: Duration = Duration::from_millis(100);

fn is_marked(attributes: &PathAttributes) -> bool {
    attributes.has_community(community::LLGR_STALE)
}

impl World {
    /// Fails if anything that must be true at any time is not.
    pub(super) fn check_unrest(&mut self) {
        let mut away = Away::new();
        for node in self.nodes.iter().filter(|node| node.machines.is_some()) {
            let views = self.neighbor_views(node);
            self.check_kept(node, &views, &mut away);
            self.check_marks(node, &views);
        }
        self.away = away;
    }

    fn neighbor_views(&self, node: &Node) -> Vec<NeighborView> {
        let speaker = node.machines.as_ref().map(|machines| &machines.speaker);
        match speaker.map(|speaker| speaker.view(self.clock.now(), &Query::Neighbors(None))) {
            Some(Reply::Neighbors(views)) => views,
            _ => self.fail(&format!("{} knows no neighbors", node.name)),
        }
    }

    /// Routes of who is away are kept for its restart time, marked after that, and gone in the end.
    fn check_kept(&self, node: &Node, views: &[NeighborView], away: &mut Away) {
        let gone = views.iter().filter(|view| view.stale > 0 && view.state != SessionState::Established);
        for (view, address) in gone.filter_map(|view| Some((view, view.address?))) {
            let (name, now) = (&node.name, self.clock.elapsed());
            let key = (node.life, address);
            let known = self.away.get(&key).filter(|(session, _)| *session == view.established_count);
            let since = known.map_or(now, |(_, since)| *since);
            away.insert(key, (view.established_count, since));
            let lasting = now - since;
            if lasting > RESTART_MAX + LONG_LIVED_MAX + SLACK {
                self.fail(&format!("{name} keeps {} routes of {address}, away for {lasting:?}", view.stale));
            }
            let paths = self.adj_in(node, address);
            let fresh =
                |path: &&bgpd::speaker::message::PathView| path.imported.as_ref().is_some_and(|set| !is_marked(set));
            if lasting > RESTART_MAX + SLACK
                && let Some(path) = paths.iter().find(fresh)
            {
                self.fail(&format!("{name} keeps {} of {address} unmarked, away for {lasting:?}", path.prefix));
            }
        }
    }

    /// Marked routes are the last choice, and told only to those who know what the mark means.
    fn check_marks(&self, node: &Node, views: &[NeighborView]) {
        let mut better: BTreeMap<IpNet, IpAddr> = BTreeMap::new();
        let mut chosen = Vec::new();
        for peer in node.peers.iter().filter(|peer| peer.configured) {
            for path in self.adj_in(node, peer.remote) {
                let Some(imported) = &path.imported else { continue };
                let direct = |next_hop: IpAddr| node.port_towards(next_hop).is_some_and(|port| port.up);
                match is_marked(imported) {
                    true if path.best => chosen.push((path.prefix, peer.remote)),
                    false if direct(imported.next_hop.addr()) => {
                        better.insert(path.prefix, peer.remote);
                    }
                    _ => {}
                }
            }
        }
        for (prefix, from) in chosen {
            if let Some(other) = better.get(&prefix) {
                let name = &node.name;
                self.fail(&format!(
                    "{name} has chosen {prefix} of {from}, which is long-lived, though {other} says it"
                ));
            }
        }
        for view in views.iter().filter(|view| view.state == SessionState::Established) {
            let (Some(address), Some(negotiated)) = (view.address, &view.negotiated) else { continue };
            let capable = |one: &Capability| matches!(one, Capability::LongLivedGracefulRestart(_));
            if negotiated.peer_restart.is_some() && negotiated.peer_capabilities.iter().any(capable) {
                continue;
            }
            if let Some(path) = self.adj_out(node, address).iter().find(|path| is_marked(&path.attributes)) {
                let (name, prefix) = (&node.name, path.prefix);
                self.fail(&format!("{name} tells {address} of {prefix} with a mark it does not know (RFC 9494 §4.3)"));
            }
        }
    }
}
