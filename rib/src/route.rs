//! Routes as protocols give them to the RIB.

use ipnet::IpNet;

use crate::nexthop::NextHopSet;

/// Which protocol a route comes from. The administrative distance is per protocol and configurable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// A prefix of one of our own interfaces.
    Connected,
    /// Configured by `[[static]]`.
    Static,
    /// A service's VIP.
    Service,
    /// Added through the API.
    Api,
    /// Learned from an external BGP neighbor.
    Ebgp,
    /// Learned from an internal BGP neighbor.
    Ibgp,
    /// OSPF, destination in this area.
    OspfIntra,
    /// OSPF, destination in another area.
    OspfInter,
    /// OSPF, external to the domain (AS-external-LSA).
    OspfExternal,
    /// OSPF, external through an NSSA.
    OspfNssa,
    /// A route somebody else put into the kernel.
    Kernel,
}

impl Protocol {
    /// Every protocol, in the order of their default distance.
    pub const ALL: [Self; 11] = [
        Self::Connected,
        Self::Static,
        Self::Service,
        Self::Api,
        Self::Ebgp,
        Self::OspfIntra,
        Self::OspfInter,
        Self::OspfExternal,
        Self::OspfNssa,
        Self::Ibgp,
        Self::Kernel,
    ];

    /// The administrative distance when the configuration says nothing.
    #[must_use]
    pub const fn default_distance(self) -> AdminDistance {
        AdminDistance(match self {
            Self::Connected => 0,
            Self::Static => 1,
            Self::Service => 5,
            Self::Api => 10,
            Self::Ebgp => 20,
            Self::OspfIntra | Self::OspfInter | Self::OspfExternal | Self::OspfNssa => 110,
            Self::Ibgp => 200,
            Self::Kernel => 220,
        })
    }

    /// The name in output and API: `connected`, `static`, `service`, `api`, `bgp`, `ospf`, `kernel`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Static => "static",
            Self::Service => "service",
            Self::Api => "api",
            Self::Ebgp | Self::Ibgp => "bgp",
            Self::OspfIntra | Self::OspfInter | Self::OspfExternal | Self::OspfNssa => "ospf",
            Self::Kernel => "kernel",
        }
    }
}

/// How far a protocol is trusted: the lowest wins, 255 is never used for forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdminDistance(pub u8);

/// The cost a protocol gives its route; compared only within one distance, lowest wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metric(pub u32);

/// Who owns a route in the RIB: at most one route per prefix and source. One BGP speaker is one source: its own
/// decision has been made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Source {
    /// Prefixes of our interfaces.
    Connected,
    /// Configured static routes.
    Static,
    /// Services' VIPs.
    Service,
    /// The API.
    Api,
    /// The BGP speaker.
    Bgp,
    /// The OSPFv2 instance.
    OspfV2,
    /// The OSPFv3 instance.
    OspfV3,
    /// Foreign kernel routes.
    Kernel,
}

impl Source {
    /// Every source, in order.
    pub const ALL: [Self; 8] =
        [Self::Connected, Self::Static, Self::Service, Self::Api, Self::Bgp, Self::OspfV2, Self::OspfV3, Self::Kernel];
}

/// Some of the sources; the default is all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sources(u8);

impl Sources {
    /// Every source.
    pub const ALL: Self = Self(u8::MAX);

    /// These.
    #[must_use]
    pub const fn of(sources: &[Source]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < sources.len() {
            bits |= 1 << sources[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Whether `source` is one of them.
    #[must_use]
    pub const fn has(self, source: Source) -> bool {
        self.0 & (1 << source as u8) != 0
    }
}

impl Default for Sources {
    fn default() -> Self {
        Self::ALL
    }
}

impl From<Source> for Sources {
    fn from(source: Source) -> Self {
        Self::of(&[source])
    }
}

const _: () = assert!(Source::ALL.len() <= 8, "a source is a bit");

/// What a source says about a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Where it comes from.
    pub protocol: Protocol,
    /// Set by the source from the configuration, [`Protocol::default_distance`] otherwise.
    pub distance: AdminDistance,
    /// The protocol's own cost.
    pub metric: Metric,
    /// Route tag; 0 is none.
    pub tag: u32,
    /// Where to, before resolution.
    pub next_hops: NextHopSet,
}

/// One change: `route` indexes [`RouteBatch::routes`]; `None` removes the source's route for the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteChange {
    /// The destination, host bits zero.
    pub prefix: IpNet,
    /// The new route's index in the batch, `None` to remove.
    pub route: Option<u32>,
}

/// A batch of changes from one source. Distinct routes stand once however many prefixes share them, so the RIB
/// interns each once per batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteBatch {
    /// Whose routes these are.
    pub source: Source,
    /// The distinct routes that `changes` refers to.
    pub routes: Vec<Route>,
    /// The changes in order; a later one for the same prefix wins.
    pub changes: Vec<RouteChange>,
    /// The source wants to hear when every data plane has answered for these routes, and whenever that changes
    /// ([`Output::Answers`](crate::message::Output::Answers)): the number that the answers name, higher from batch to batch.
    pub ask: Option<u64>,
    /// With `ask`: prefixes that it wants to hear of too, whoever's route is chosen.
    pub ask_of: Vec<IpNet>,
}

impl RouteBatch {
    /// An empty batch of `source`.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source, routes: Vec::new(), changes: Vec::new(), ask: None, ask_of: Vec::new() }
    }

    /// Appends `route` for `prefix`, sharing the last route if it is equal.
    pub fn add(&mut self, prefix: IpNet, route: Route) {
        if self.routes.last() != Some(&route) {
            self.routes.push(route);
        }
        let index = u32::try_from(self.routes.len() - 1).expect("a batch has under 2^32 routes");
        self.changes.push(RouteChange { prefix: prefix.trunc(), route: Some(index) });
    }

    /// Appends the removal of `prefix`.
    pub fn remove(&mut self, prefix: IpNet) {
        self.changes.push(RouteChange { prefix: prefix.trunc(), route: None });
    }
}
