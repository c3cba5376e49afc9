//! What a router is configured to do, in words that the oracle reads too: sessions and their policies.
//!
//! The speaker gets it as [`NeighborConfig`] and [`PolicySet`]; the oracle applies [`Rules`] by means of its own. What the two have in
//! common is only this description.

use std::net::IpAddr;
use std::time::Duration;

use bgpd::config::{AddPath, AdjInKeep, GracefulRestart, MaxPrefix, NeighborConfig, PolicyRef, RemoteAs, Role};
use bgpd::policy::{Action, Community, CommunityPattern, Match, Policy, PolicySet, PrefixPattern, Prepend, Rule, Set};
use ipnet::IpNet;
use rib::AddressFamily;

/// Hold time in simulations: short, so that silence is noticed soon.
pub const HOLD_TIME: Duration = Duration::from_secs(9);

/// Marks that routers put on routes to know where they came from.
pub const MARKS: [u32; 3] = [0xFDE8_0001, 0xFDE8_0002, 0xFDE8_0003];

/// NO_EXPORT (RFC 1997).
pub const NO_EXPORT: u32 = 0xFFFF_FF01;

/// GRACEFUL_SHUTDOWN (RFC 8326).
pub const GRACEFUL_SHUTDOWN: u32 = 0xFFFF_0000;

/// NO_ADVERTISE (RFC 1997).
pub const NO_ADVERTISE: u32 = 0xFFFF_FF02;

/// A direction's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Nothing configured: RFC 8212 speaks for external neighbors.
    Unset,
    /// Everything, unchanged.
    Accept,
    /// By rules.
    Rules(Rules),
}

/// A policy: what is refused, then what is changed of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Refused prefixes.
    pub deny: Vec<IpNet>,
    /// Routes with one of these communities are refused.
    pub deny_marks: Vec<u32>,
    /// [`MARKS`] are taken off.
    pub unmark: bool,
    /// Communities that are put on.
    pub add: Vec<u32>,
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// MED.
    pub med: Option<u32>,
    /// Times that our AS is prepended.
    pub prepend: u8,
}

/// A session that a router is to have.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The link it runs over.
    pub link: usize,
    /// The other router.
    pub node: usize,
    /// The other router's AS.
    pub asn: u32,
    /// Our address.
    pub local: IpAddr,
    /// The other router's address.
    pub remote: IpAddr,
    /// Families offered.
    pub families: Vec<AddressFamily>,
    /// The other router is our reflection client.
    pub client: bool,
    /// We put ourselves as next hop on internal sessions.
    pub next_hop_self: bool,
    /// So many times our AS may be in its paths.
    pub allow_as_in: u8,
    /// Private AS numbers are taken out of what it is told, but for its own.
    pub remove_private_as: bool,
    /// Its AS number is replaced by ours in what it is told.
    pub as_override: bool,
    /// Import policy.
    pub import: Filter,
    /// Export policy.
    pub export: Filter,
    /// What is kept of what it says.
    pub adj_in: AdjInKeep,
    /// Messages of up to 65,535 octets are offered.
    pub extended_messages: bool,
    /// We never dial.
    pub passive: bool,
    /// What is kept over restarts (RFC 4724, RFC 9494).
    pub graceful_restart: GracefulRestart,
    /// How many paths to a prefix are said, and whether several are understood (RFC 7911).
    pub add_path: AddPath,
    /// Our role (RFC 9234).
    pub role: Option<Role>,
    /// How much the other router may say.
    pub max_prefix: Option<MaxPrefix>,
    /// An operator moves traffic away from it (RFC 8326).
    pub drained: bool,
    /// It may stay so without harm to the one outcome.
    pub drains: bool,
    /// Our configuration has this neighbor.
    pub configured: bool,
    /// Administratively up, by configuration.
    pub enabled: bool,
    /// Administratively up, by an operator's word since the start.
    pub operator: Option<bool>,
}

impl Peer {
    /// A session that accepts and tells everything.
    #[must_use]
    pub fn new(link: usize, node: usize, asn: u32, local: IpAddr, remote: IpAddr) -> Self {
        Self {
            link,
            node,
            asn,
            local,
            remote,
            families: vec![AddressFamily::of_addr(&remote)],
            client: false,
            next_hop_self: false,
            allow_as_in: 0,
            remove_private_as: false,
            as_override: false,
            import: Filter::Accept,
            export: Filter::Accept,
            adj_in: AdjInKeep::All,
            extended_messages: true,
            passive: false,
            graceful_restart: GracefulRestart::default(),
            add_path: AddPath::default(),
            role: None,
            max_prefix: None,
            drained: false,
            drains: false,
            configured: true,
            enabled: true,
            operator: None,
        }
    }

    /// We want this session.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.configured && self.operator.unwrap_or(self.enabled)
    }

    /// As the speaker is told it.
    #[must_use]
    pub fn config(&self) -> NeighborConfig {
        NeighborConfig {
            local_address: Some(self.local),
            hold_time: HOLD_TIME,
            connect_retry: Duration::from_secs(2),
            families: self.families.clone(),
            import: self.import.reference(&self.name("from")),
            export: self.export.reference(&self.name("to")),
            adj_in: self.adj_in,
            route_reflector_client: self.client,
            next_hop_self: self.next_hop_self,
            allow_as_in: self.allow_as_in,
            remove_private_as: self.remove_private_as,
            as_override: self.as_override,
            extended_messages: self.extended_messages,
            passive: self.passive,
            graceful_restart: self.graceful_restart,
            add_path: self.add_path,
            role: self.role,
            max_prefix: self.max_prefix,
            enabled: self.enabled,
            ..NeighborConfig::new(self.remote, RemoteAs::Number(self.asn))
        }
    }

    fn name(&self, direction: &str) -> String {
        format!("{direction}-{}", self.remote)
    }
}

/// The policies of a router's sessions, by the names that [`Peer::config`] uses.
#[must_use]
pub fn policies(peers: &[Peer]) -> PolicySet {
    let mut set = PolicySet::default();
    let pattern = |community: u32| -> CommunityPattern {
        Community::Standard(community).to_string().parse().expect("a community is its own pattern")
    };
    set.community_sets.insert("marks".into(), MARKS.into_iter().map(pattern).collect());
    for peer in peers {
        for (filter, name) in [(&peer.import, peer.name("from")), (&peer.export, peer.name("to"))] {
            let Filter::Rules(rules) = filter else { continue };
            let (prefixes, marks) = (format!("{name}-prefixes"), format!("{name}-marks"));
            set.prefix_sets.insert(prefixes.clone(), rules.deny.iter().copied().map(PrefixPattern::exact).collect());
            set.community_sets.insert(marks.clone(), rules.deny_marks.iter().copied().map(pattern).collect());
            set.policies.insert(name, rules.policy(prefixes, marks));
        }
    }
    set
}

impl Filter {
    fn reference(&self, name: &str) -> PolicyRef {
        match self {
            Self::Unset => PolicyRef::Unset,
            Self::Accept => PolicyRef::Chain(vec!["accept".into()]),
            Self::Rules(_) => PolicyRef::Chain(vec![name.into()]),
        }
    }
}

impl Rules {
    fn policy(&self, prefixes: String, marks: String) -> Policy {
        let refuse = |matches| Rule { matches, set: Set::default(), action: Action::Reject };
        let mut rules = Vec::new();
        // A set that nothing matches on needs no rule, and a rule on prefixes makes export ask for each of them.
        if !self.deny.is_empty() {
            rules.push(refuse(Match { prefix_set: Some(prefixes), ..Match::default() }));
        }
        if !self.deny_marks.is_empty() {
            rules.push(refuse(Match { community_set: Some(marks), ..Match::default() }));
        }
        let set = Set {
            local_pref: self.local_pref,
            med: self.med,
            prepend: (self.prepend > 0).then_some(Prepend { asn: None, count: self.prepend }),
            delete_communities: self.unmark.then(|| "marks".to_owned()),
            add_communities: self.add.iter().copied().map(Community::Standard).collect(),
            ..Set::default()
        };
        rules.push(Rule { matches: Match::default(), set, action: Action::Next });
        Policy { default: Action::Accept, rules }
    }
}
