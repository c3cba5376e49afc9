//! A service as configured, or as registered through the API: plain data, validated at the edge.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use ospfd::message::ServiceRoute;
use rib::{AdminDistance, Protocol};

use crate::health::CheckSpec;

/// The cost of a service's VIPs in OSPF unless somebody says another.
pub const OSPF_METRIC: u16 = 10;

/// A routing protocol that announces a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// BGP.
    Bgp,
    /// OSPF.
    Ospf,
}

/// How several checks make one health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Combine {
    /// Every check must have risen.
    #[default]
    All,
    /// One risen check is enough.
    Any,
}

/// How a service leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Drain {
    /// How long the routes are announced with GRACEFUL_SHUTDOWN (RFC 8326) before they are withdrawn; zero = not at all.
    pub gshut: Duration,
}

/// Who a service belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceOrigin {
    /// The configuration: only a reload changes or removes it.
    Config,
    /// The API: lives until it is deleted or the daemon stops.
    Api,
}

impl ServiceOrigin {
    /// `config` or `api`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Api => "api",
        }
    }
}

/// Everything the controller needs to know of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// Unique name.
    pub name: Arc<str>,
    /// The prefixes announced, host bits zero; none is in two services.
    pub vips: Vec<IpNet>,
    /// The protocols that announce them.
    pub via: Vec<Via>,
    /// How OSPF announces them.
    pub ospf: ServiceRoute,
    /// The interface the VIPs are put on; `None` = addresses are left alone. Only host prefixes can be bound.
    pub bind: Option<String>,
    /// A VIP that is no local address is not announced.
    pub require_local: bool,
    /// Communities (RFC 1997) on the announcements.
    pub communities: Vec<u32>,
    /// Large communities (RFC 8092) on the announcements.
    pub large_communities: Vec<[u32; 3]>,
    /// Extended communities (RFC 4360) on the announcements.
    pub extended_communities: Vec<[u8; 8]>,
    /// Checks; a service without any is healthy.
    pub checks: Vec<CheckSpec>,
    /// How they make one health.
    pub combine: Combine,
    /// How the service leaves.
    pub drain: Drain,
    /// Administrative distance of the VIPs' routes in the RIB.
    pub distance: AdminDistance,
    /// False: known, but neither bound, checked nor announced.
    pub enabled: bool,
    /// Who it belongs to.
    pub origin: ServiceOrigin,
}

impl ServiceSpec {
    /// A service of the configuration with every default: via BGP, no binding, no checks, must be local.
    #[must_use]
    pub fn new(name: &str, vips: Vec<IpNet>) -> Self {
        Self {
            name: name.into(),
            vips,
            via: vec![Via::Bgp],
            ospf: ServiceRoute::Stub { metric: OSPF_METRIC },
            bind: None,
            require_local: true,
            communities: Vec::new(),
            large_communities: Vec::new(),
            extended_communities: Vec::new(),
            checks: Vec::new(),
            combine: Combine::All,
            drain: Drain::default(),
            distance: Protocol::Service.default_distance(),
            enabled: true,
            origin: ServiceOrigin::Config,
        }
    }

    /// What is wrong with the service taken alone.
    ///
    /// # Errors
    /// A sentence naming the key and what would be right.
    pub fn validate(&self) -> Result<(), String> {
        if self.name.is_empty()
            || self.name.len() > 128
            || self.name.chars().any(|c| c.is_control() || c.is_whitespace())
        {
            return Err(format!("name {:?} must be 1 to 128 characters without blanks", self.name));
        }
        if self.vips.is_empty() {
            return Err("vips is empty: a service needs at least one prefix, as in \"192.0.2.53/32\"".to_owned());
        }
        for (index, vip) in self.vips.iter().enumerate() {
            if *vip != vip.trunc() {
                return Err(format!("vip {vip} has host bits: {} would be right", vip.trunc()));
            }
            if vip.addr().is_unspecified() || vip.addr().is_multicast() || vip.addr().is_loopback() {
                return Err(format!("vip {vip} cannot be announced: it is no unicast address of the network"));
            }
            if self.vips.iter().take(index).any(|before| before == vip) {
                return Err(format!("vip {vip} stands twice"));
            }
            if self.bind.is_some() && vip.prefix_len() != vip.max_prefix_len() {
                return Err(format!("vip {vip} is no single address and cannot be bound: leave out bind"));
            }
        }
        if self.checks.iter().any(|check| check.interval.is_zero() || check.timeout.is_zero()) {
            return Err("a check's interval and timeout must be longer than zero".to_owned());
        }
        Ok(())
    }
}

/// An operator's wish for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// End a hold or a drain: announce as soon as the gates are open. Never announces past a closed gate.
    Announce,
    /// Withdraw now and hold the service down until `Announce`. The VIP stays bound, checks go on.
    Withdraw {
        /// Why, for the history.
        reason: String,
        /// Even against the withdrawal budget.
        force: bool,
    },
    /// Graceful shutdown community, wait, withdraw, unbind; held until `Undrain` or `Announce`.
    Drain {
        /// Why, for the history.
        reason: String,
        /// Even against the withdrawal budget.
        force: bool,
        /// Instead of the service's own [`Drain::gshut`].
        gshut: Option<Duration>,
    },
    /// Take a drained service back: bind, check, announce.
    Undrain,
}

/// Why an operator's wish was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// There is no service of that name.
    #[error("there is no service {0:?}; `anyhop show services` lists them")]
    NoSuchService(String),
    /// A safety rule forbids it; `rule` names it.
    #[error("refused by {rule}: {detail}; --force --reason TEXT overrides")]
    Refused {
        /// The rule: `safety.budget`.
        rule: &'static str,
        /// What the rule counts and found.
        detail: String,
    },
    /// The name belongs to a service of the configuration.
    #[error("service {0:?} belongs to the configuration: change the file and reload")]
    Configured(String),
    /// The service is not valid.
    #[error("{0}")]
    Invalid(String),
    /// A VIP belongs to another service.
    #[error("vip {vip} belongs to service {owner:?}")]
    VipTaken {
        /// Which.
        vip: IpNet,
        /// Whose it is.
        owner: String,
    },
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}
