//! What is compared when the network is at rest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bgpd::config::AdjInKeep;
use bgpd::speaker::message::{PathView, Query, Reply, SessionState, Summary};
use bgpd::wire::attr::PathAttributes;
use ipnet::IpNet;
use rib::{AddressFamily, Forwarding, NextHop, ResolvedLeg, Source, WalkQuery};

use super::World;
use super::internet::Relation;
use super::node::Node;
use super::oracle::{self, Choice, Outcome};
use super::plan::{NO_ADVERTISE, Peer};
use super::world::Link;

/// Small pages, so that paging is walked too.
const PAGE: usize = 7;

const FAMILIES: [AddressFamily; 2] = [AddressFamily::Ipv4, AddressFamily::Ipv6];

type Chosen = BTreeMap<IpNet, Option<Outcome>>;

impl World {
    /// Fails if anything that must be true of a network at rest is not.
    pub fn check(&self) {
        let chosen = oracle::outcomes(self);
        if let Some((prefix, _)) = chosen.iter().find(|(_, choice)| choice.is_none()) {
            self.fail(&format!("the oracle knows no answer for {prefix}: the plan is to blame"));
        }
        let mut wrong = String::new();
        for node in self.nodes.iter().filter(|node| node.machines.is_some()) {
            let heard = self.check_conversations(node);
            self.check_valleys(node, &heard);
            wrong += &self.check_heard(node, &chosen, &heard);
            match self.check_choices(node, &chosen, &heard) {
                Ok(choices) => self.check_rib(node, &choices),
                Err(what) => wrong += &what,
            }
            self.check_sizes(node, &heard);
            self.check_plane(node);
        }
        if !wrong.is_empty() {
            self.fail(&wrong);
        }
        self.check_ways(&chosen);
    }

    fn node_name(&self, node: usize) -> &str {
        &self.nodes[node].name
    }

    fn pages(&self, node: &Node, question: impl Fn(Option<IpNet>) -> Query) -> Vec<PathView> {
        let Some(machines) = &node.machines else { return Vec::new() };
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let Reply::Paths { paths, next } = machines.speaker.view(self.clock.now(), &question(after)) else {
                self.fail(&format!("{} gives no page", node.name));
            };
            let prefixes: BTreeSet<IpNet> = paths.iter().map(|path| path.prefix).collect();
            if prefixes.len() > PAGE {
                let given = prefixes.len();
                self.fail(&format!("{} gives a page of {given} prefixes when {PAGE} were asked for", node.name));
            }
            all.extend(paths);
            match next {
                Some(next) if after.is_none_or(|after| next > after) => after = Some(next),
                Some(next) => self.fail(&format!("{}: the page after {after:?} is said to begin at {next}", node.name)),
                None => return all,
            }
        }
    }

    pub(super) fn adj_in(&self, node: &Node, neighbor: IpAddr) -> Vec<PathView> {
        let ask = |family, after| Query::AdjIn { neighbor: neighbor.into(), family, after, limit: PAGE };
        let pages = |family| self.pages(node, |after| ask(family, after));
        FAMILIES.into_iter().flat_map(pages).collect()
    }

    pub(super) fn adj_out(&self, node: &Node, neighbor: IpAddr) -> Vec<PathView> {
        let ask = |family, after| Query::AdjOut { neighbor: neighbor.into(), family, after, limit: PAGE };
        let pages = |family| self.pages(node, |after| ask(family, after));
        FAMILIES.into_iter().flat_map(pages).collect()
    }

    /// What a router's neighbors say to have told it is what it says to have heard, which is returned.
    fn check_conversations<'a>(&self, node: &'a Node) -> Vec<(&'a Peer, Vec<PathView>)> {
        let mut all = Vec::new();
        for peer in node.peers.iter().filter(|peer| peer.configured) {
            let heard = self.adj_in(node, peer.remote);
            if self.session(node, peer.remote) != Some(SessionState::Established) {
                if !heard.is_empty() {
                    self.fail(&format!("{} holds routes of {} without a session", node.name, peer.remote));
                }
                continue;
            }
            let other = &self.nodes[peer.node];
            let told = self.adj_out(other, peer.local);
            let by_name = |views: &[PathView]| -> BTreeMap<(IpNet, Option<u32>), _> {
                views.iter().map(|view| ((view.prefix, view.path_id), view.attributes.clone())).collect()
            };
            let (mut told_by_name, heard_by_name) = (by_name(&told), by_name(&heard));
            if told_by_name.len() != told.len() || heard_by_name.len() != heard.len() {
                self.fail(&format!("a path stands twice between {} and {}", other.name, node.name));
            }
            if peer.adj_in == AdjInKeep::Accepted {
                // What was refused is not kept; what was accepted is proven by the choices.
                if heard.iter().any(|view| view.imported.is_none()) {
                    self.fail(&format!("{} keeps of {} what it refused", node.name, peer.remote));
                }
                told_by_name.retain(|name, _| heard_by_name.contains_key(name));
            }
            if told_by_name != heard_by_name {
                self.fail(&format!(
                    "AdjRibOut({0} -> {1}) is not AdjRibIn({1} <- {0}), session {2} - {3}:\n  told {told_by_name:?}\n  heard {heard_by_name:?}",
                    other.name, node.name, peer.remote, peer.local
                ));
            }
            all.push((peer, heard));
        }
        all
    }

    /// Nobody accepts what came down from a provider, or across from a peer, and then went up or across (RFC 7908 §3, types 1 to 4).
    fn check_valleys(&self, node: &Node, heard: &[(&Peer, Vec<PathView>)]) {
        // Paths that are altered on their way do not tell where a route has been.
        if self.relations.is_empty() || self.alters {
            return;
        }
        for view in heard.iter().flat_map(|(_, views)| views).filter(|view| view.imported.is_some()) {
            let mut way: Vec<u32> =
                view.attributes.as_path.segments.iter().flat_map(|part| part.asns.to_vec()).collect();
            way.insert(0, node.asn);
            way.dedup();
            let mut falling = false;
            for pair in way.windows(2).rev() {
                let relation = self.relations.get(&(pair[1], pair[0]));
                let rises = match relation {
                    Some(Relation::Customer) => false,
                    Some(Relation::Equal | Relation::Provider) => true,
                    None => self.fail(&format!("{} holds {} by {way:?}: no such sessions", node.name, view.prefix)),
                };
                if falling && rises {
                    self.fail(&format!("{} holds {} by {way:?}, a route leak at {}", node.name, view.prefix, pair[1]));
                }
                falling |= relation != Some(&Relation::Provider);
            }
        }
    }

    /// Every neighbor has said what the oracle says, and nothing else.
    fn check_heard(&self, node: &Node, chosen: &Chosen, heard: &[(&Peer, Vec<PathView>)]) -> String {
        let mut wrong = String::new();
        for (peer, views) in heard {
            let mut found: BTreeMap<IpNet, Vec<String>> = BTreeMap::new();
            for view in views {
                found.entry(view.prefix).or_default().push(describe(peer.remote, &view.attributes));
            }
            found.values_mut().for_each(|paths| paths.sort_unstable());
            let told = |prefix: &IpNet| -> &[String] {
                let told =
                    chosen.get(prefix).and_then(|outcome| outcome.as_ref()?.told.get(&(node.life.node, peer.remote)));
                told.map_or(&[], Vec::as_slice)
            };
            for prefix in chosen.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
                let (found, told) = (found.get(prefix).map_or(&[][..], Vec::as_slice), told(prefix));
                // What was refused need not be kept.
                let right = match peer.adj_in {
                    AdjInKeep::All => found == told,
                    AdjInKeep::Accepted => found.iter().all(|path| told.contains(path)),
                };
                if !right {
                    let (name, remote) = (&node.name, peer.remote);
                    wrong += &format!(
                        "{name} has heard of {prefix} from {remote}\n  {found:#?}\nand should have\n  {told:#?}\n"
                    );
                }
            }
        }
        wrong
    }

    /// The speaker has chosen what the oracle says, and nothing else.
    fn check_choices<'a>(
        &self,
        node: &Node,
        chosen: &'a Chosen,
        heard: &[(&Peer, Vec<PathView>)],
    ) -> Result<BTreeMap<IpNet, &'a Choice>, String> {
        let mut best: BTreeMap<IpNet, Vec<String>> = BTreeMap::new();
        for (peer, views) in heard {
            for view in views.iter().filter(|view| view.best) {
                let Some(imported) = &view.imported else {
                    self.fail(&format!("{} has chosen a path to {} that it refused", node.name, view.prefix));
                };
                best.entry(view.prefix).or_default().push(describe(peer.remote, imported));
            }
        }
        let choices = chosen.iter().filter_map(|(prefix, choices)| {
            Some((*prefix, choices.as_ref()?.choices.get(&node.life.node).filter(|choice| choice.best.from.is_some())?))
        });
        let choices: BTreeMap<IpNet, &Choice> = choices.collect();
        let wanted: BTreeMap<IpNet, Vec<String>> =
            choices.iter().map(|(prefix, choice)| (*prefix, vec![choice.best.describe()])).collect();
        if best == wanted {
            return Ok(choices);
        }
        let differ = |a: &BTreeMap<IpNet, Vec<String>>, b: &BTreeMap<IpNet, Vec<String>>| -> Vec<String> {
            a.iter().filter(|(prefix, way)| b.get(prefix) != Some(way)).map(|(p, way)| format!("{p} {way:?}")).collect()
        };
        let (found, missed) = (differ(&best, &wanted), differ(&wanted, &best));
        Err(format!("{} has chosen\n  {found:#?}\nand should have chosen\n  {missed:#?}\n", node.name))
    }

    /// The RIB holds of BGP exactly what the speaker chose.
    fn check_rib(&self, node: &Node, choices: &BTreeMap<IpNet, &Choice>) {
        let Some(machines) = &node.machines else { return };
        let mut missing: BTreeSet<IpNet> = choices.keys().copied().collect();
        for view in self.rib_routes(node).into_iter().filter(|view| view.source == Source::Bgp) {
            missing.remove(&view.prefix);
            let legs: BTreeSet<IpAddr> =
                view.route.next_hops.legs().iter().filter_map(|leg| gateway(leg.next_hop)).collect();
            let right = choices.get(&view.prefix).is_some_and(|choice| {
                legs.len() == choice.used
                    && legs.is_subset(&choice.equal)
                    && choice.best.next_hop.is_some_and(|best| legs.contains(&best))
            });
            if !right {
                let choice = choices.get(&view.prefix);
                self.fail(&format!("{}'s RIB sends {} to {legs:?}, the choice is {choice:?}", node.name, view.prefix));
            }
        }
        if let Some(prefix) = missing.first() {
            let (choice, held) = (choices.get(prefix), machines.rib.candidates(*prefix));
            self.fail(&format!(
                "{}'s RIB has no route of BGP to {prefix}, but {held:?}; the choice is {choice:?}",
                node.name
            ));
        }
        for prefix in choices.keys() {
            let Some(best) = machines.rib.lookup(prefix.addr()) else {
                self.fail(&format!("{} finds nothing for {}", node.name, prefix.addr()));
            };
            if !best.prefix.contains(&prefix.addr()) {
                self.fail(&format!("{} looks up {} and finds {}", node.name, prefix.addr(), best.prefix));
            }
        }
    }

    /// What the speaker counts is what it shows, and what nobody uses is gone.
    fn check_sizes(&self, node: &Node, heard: &[(&Peer, Vec<PathView>)]) {
        let summary = self.summary(node);
        let Some(machines) = &node.machines else { return };
        let Reply::Neighbors(views) = machines.speaker.view(self.clock.now(), &Query::Neighbors(None)) else {
            self.fail(&format!("{} knows no neighbors", node.name));
        };
        let mut paths = [0, 0];
        for (peer, held) in heard {
            let Some(view) = views.iter().find(|view| view.address == Some(peer.remote)) else {
                self.fail(&format!("{} does not list {}", node.name, peer.remote));
            };
            let accepted = held.iter().filter(|view| view.imported.is_some()).count() as u64;
            let told = self.adj_out(node, peer.remote).len() as u64;
            let counted = (view.received, view.accepted, view.advertised);
            if counted != (held.len() as u64, accepted, told) {
                self.fail(&format!(
                    "{} counts {counted:?} routes received, accepted, advertised of {} and shows {:?}",
                    node.name,
                    peer.remote,
                    (held.len(), accepted, told)
                ));
            }
            for path in held {
                paths[usize::from(matches!(path.prefix, IpNet::V6(_)))] += 1;
            }
        }
        for prefix in node.announced.keys() {
            paths[usize::from(matches!(prefix, IpNet::V6(_)))] += 1;
        }
        if [summary.paths.0, summary.paths.1] != paths {
            self.fail(&format!("{} holds {:?} paths and shows {paths:?}", node.name, summary.paths));
        }
        let nothing = paths == [0, 0] && summary.prefixes == (0, 0);
        if paths == [0, 0] && (!nothing || summary.attribute_sets > 0) {
            self.fail(&format!("{} holds no path, and yet {summary:?}", node.name));
        }
        if summary.groups > heard.len() {
            self.fail(&format!("{} has {} export groups for {} sessions", node.name, summary.groups, heard.len()));
        }
    }

    fn summary(&self, node: &Node) -> Summary {
        let speaker = node.machines.as_ref().map(|machines| &machines.speaker);
        match speaker.map(|speaker| speaker.view(self.clock.now(), &Query::Summary)) {
            Some(Reply::Summary(summary)) => summary,
            _ => self.fail(&format!("{} gives no summary", node.name)),
        }
    }

    fn rib_routes(&self, node: &Node) -> Vec<rib::message::RouteView> {
        let Some(machines) = &node.machines else { return Vec::new() };
        let (mut all, mut query) = (Vec::new(), WalkQuery { limit: PAGE, ..WalkQuery::default() });
        loop {
            let page = machines.rib.walk(&query);
            all.extend(page.routes);
            match page.next {
                Some(next) => query.start = Some(next),
                None => return all,
            }
        }
    }

    /// The data plane forwards exactly as the RIB says.
    fn check_plane(&self, node: &Node) {
        let chosen: BTreeMap<IpNet, Forwarding> = self
            .rib_routes(node)
            .into_iter()
            // The memory plane, like the kernel, keeps no route for what is local.
            .filter(|view| view.forwarding != Forwarding::Local)
            .map(|view| (view.prefix, view.forwarding))
            .collect();
        let held: BTreeMap<IpNet, Forwarding> = node.plane.routes().into_iter().collect();
        if chosen != held {
            self.fail(&format!("{}'s data plane holds\n  {held:?}\nand the RIB says\n  {chosen:?}", node.name));
        }
    }

    /// A packet to any announced prefix arrives at one who announces it, wherever it starts and whichever leg it takes, if there is a
    /// choice where it starts; and else it arrives nowhere.
    fn check_ways(&self, chosen: &Chosen) {
        for (prefix, choices) in chosen {
            let Some(choices) = choices else { continue };
            let mut ends = vec![None; self.nodes.len()];
            for start in (0..self.nodes.len()).filter(|node| self.nodes[*node].machines.is_some()) {
                let arrives = self.arrives(start, *prefix, &mut ends, &mut Vec::new());
                let expected = choices.choices.contains_key(&start);
                let excused = arrives == Err(Strange::TornAs);
                if !excused && arrives.is_ok() != expected {
                    let should = if expected { "must arrive" } else { "can arrive nowhere" };
                    let said = |node: &usize| {
                        let choice = choices.choices.get(node).map(|choice| choice.best.describe());
                        format!("{} of AS {}: {choice:?}", self.node_name(*node), self.nodes[*node].asn)
                    };
                    let way: Vec<String> = self.walk(start, *prefix).iter().map(said).collect();
                    let start = self.node_name(start);
                    self.fail(&format!("a packet from {start} to {prefix} {should}: {arrives:?}; one way is {way:#?}"));
                }
            }
        }
    }

    /// Follows every leg.
    fn arrives(
        &self,
        at: usize,
        prefix: IpNet,
        ends: &mut Vec<Option<Result<(), Strange>>>,
        way: &mut Vec<usize>,
    ) -> Result<(), Strange> {
        let node = &self.nodes[at];
        if node.announced.contains_key(&prefix) && node.machines.is_some() {
            return Ok(());
        }
        if let Some(begin) = way.iter().position(|node| *node == at) {
            // Where paths do not tell where they have been, a torn AS may have its own packets back through others.
            let round = if self.alters { &way[begin..] } else { &[at][..] };
            let excuse = round.iter().find_map(|node| self.excuse(*node, prefix));
            return Err(excuse.unwrap_or(Strange::Loop(at)));
        }
        if let Some(known) = &ends[at] {
            return known.clone();
        }
        way.push(at);
        let mut result = Err(self.excuse(at, prefix).unwrap_or(Strange::NoRoute(at)));
        if let Some((_, Forwarding::Legs(legs))) = node.plane.lookup(prefix.addr()) {
            for leg in &legs {
                result = match self.over(node, leg) {
                    Some(next) => self.arrives(next, prefix, ends, way),
                    None => Err(Strange::DeadEnd(at)),
                };
                if result.is_err() {
                    break;
                }
            }
        }
        way.pop();
        ends[at] = Some(result.clone());
        result
    }

    /// Where a session within the AS is missing, its routers may disagree about where to send a packet; where reflection chooses for
    /// others and their cables are not all whole, too (RFC 4456 §11).
    fn excuse(&self, at: usize, prefix: IpNet) -> Option<Strange> {
        let asn = self.nodes[at].asn;
        let mut members = self.nodes.iter().filter(|node| node.asn == asn && node.machines.is_some());
        let sessions_missing =
            members.any(|node| node.peers.iter().any(|peer| peer.asn == asn && !self.can_stand(peer)));
        let inside = |link: &Link| link.cable && link.nodes.iter().all(|node| self.nodes[*node].asn == asn);
        let torn = self.flat.contains(&asn) && self.links.iter().any(|link| inside(link) && !link.passes());
        (sessions_missing || torn || self.lacks_family(asn) || self.hides(asn, prefix)).then_some(Strange::TornAs)
    }

    /// A router of the AS tells nobody of the path that it has chosen, its own; who understands several paths is told of another one
    /// (RFC 7911), and the rest of nothing.
    fn hides(&self, asn: u32, prefix: IpNet) -> bool {
        self.nodes.iter().filter(|node| node.asn == asn && node.machines.is_some()).any(|node| {
            let own = node.announced.get(&prefix);
            let several = |peer: &Peer| peer.asn == asn && peer.add_path.send > 0;
            own.is_some_and(|own| own.communities.contains(&NO_ADVERTISE)) && node.peers.iter().any(several)
        })
    }

    /// A reload has taken a family out of a session within the AS: its routers do not all hear of the same prefixes.
    fn lacks_family(&self, asn: u32) -> bool {
        let mut spoken: BTreeMap<(usize, usize), BTreeSet<bool>> = BTreeMap::new();
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.asn == asn) {
            for peer in node.peers.iter().filter(|peer| peer.asn == asn) {
                let families = peer.families.iter().map(|family| *family == AddressFamily::Ipv6);
                spoken.entry((at, peer.node)).or_default().extend(families);
            }
        }
        let all: BTreeSet<bool> = spoken.values().flatten().copied().collect();
        spoken.values().any(|families| *families != all)
    }

    /// The router that a leg leads to.
    fn over(&self, node: &Node, leg: &ResolvedLeg) -> Option<usize> {
        let port = node.port_towards(leg.gateway?).filter(|port| port.index == leg.interface)?;
        self.links[port.link].passes().then_some(port.node)
    }

    /// The routers that a packet to `prefix` passes, by the first leg of what their data planes hold; ends where it is delivered,
    /// dropped, or would pass a router twice.
    #[must_use]
    pub fn walk(&self, start: usize, prefix: IpNet) -> Vec<usize> {
        let (mut way, mut seen) = (vec![start], BTreeSet::from([start]));
        let mut at = start;
        loop {
            let node = &self.nodes[at];
            if node.announced.contains_key(&prefix) {
                return way;
            }
            let Some((_, Forwarding::Legs(legs))) = node.plane.lookup(prefix.addr()) else { return way };
            let Some(next) = legs.first().and_then(|leg| self.over(node, leg)) else { return way };
            at = next;
            way.push(at);
            if !seen.insert(at) {
                return way;
            }
        }
    }
}

/// Why a packet did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Strange {
    /// This router would see it twice.
    Loop(usize),
    /// This router has no route.
    NoRoute(usize),
    /// This router sends it where nobody is.
    DeadEnd(usize),
    /// In circles, where that is to be expected.
    TornAs,
}

/// A path in the oracle's words.
pub(super) fn describe(from: IpAddr, path: &PathAttributes) -> String {
    let as_path: Vec<u32> = path.as_path.segments.iter().flat_map(|segment| segment.asns.iter().copied()).collect();
    let communities: BTreeSet<u32> = path.communities.iter().copied().collect();
    let (from, next_hop) = (Some(from), Some(path.next_hop.addr()));
    let (med, local_pref, originator) = (path.med, path.local_pref, path.originator_id);
    let (origin, clusters, otc) = (path.origin as u8, path.cluster_list.to_vec(), path.only_to_customer);
    format!(
        "from {from:?} path {as_path:?} origin {origin} via {next_hop:?} med {med:?} pref {local_pref:?} {communities:x?} {originator:?} {clusters:?} otc {otc:?}"
    )
}

fn gateway(next_hop: NextHop) -> Option<IpAddr> {
    match next_hop {
        NextHop::Gateway { addr, .. } => Some(addr),
        NextHop::Interface(_) | NextHop::Discard(_) | NextHop::Local => None,
    }
}
