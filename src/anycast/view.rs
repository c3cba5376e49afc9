//! Services as people and programs see them.

use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;

use super::service::ServiceSpec;
use crate::health::{CheckId, HealthState};

/// Where a service stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceState {
    /// Not announced yet: a gate is still closed for the first time.
    Waiting,
    /// Every VIP is announced.
    Announced,
    /// Some VIPs are announced, the gates of others are closed.
    Partial,
    /// Not announced because a gate has closed.
    Withdrawn,
    /// Not announced because an operator said so.
    Held,
    /// Announced with GRACEFUL_SHUTDOWN; to be withdrawn.
    Draining,
    /// Withdrawn and unbound until taken back.
    Drained,
    /// Not enabled.
    Disabled,
}

impl ServiceState {
    /// The name in output and API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Announced => "announced",
            Self::Partial => "partial",
            Self::Withdrawn => "withdrawn",
            Self::Held => "held",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Disabled => "disabled",
        }
    }
}

/// Whether a VIP is on the interface named in `bind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindView {
    /// The service binds no addresses.
    NotAsked,
    /// Not bound (drained or disabled).
    Unbound,
    /// Asked for, not answered.
    Binding,
    /// On the interface; `ours` if this process put it there, which a clean stop takes back.
    Bound {
        /// We added it.
        ours: bool,
    },
    /// Could not be bound; tried again.
    Failed(String),
}

/// One VIP and its gates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipView {
    /// The prefix.
    pub prefix: IpNet,
    /// Announced now.
    pub announced: bool,
    /// On the interface named in `bind`.
    pub bind: BindView,
    /// The address is on this host.
    pub local: bool,
    /// Every data plane has acknowledged it.
    pub installed: bool,
    /// The first gate that is closed, as a sentence: `192.0.2.53 is not a local address`. `None` when all are open.
    pub blocked: Option<String>,
}

/// One check and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckView {
    /// The running check's number; `None` while it does not run.
    pub id: Option<CheckId>,
    /// `dns`, `http`, `tcp`, `exec`.
    pub kind: &'static str,
    /// What is asked, in words.
    pub what: String,
    /// Risen or not.
    pub state: HealthState,
    /// Outcomes in a row against the state, and how many change it.
    pub progress: (u32, u32),
    /// When the state last changed.
    pub since: Option<Instant>,
    /// The last run: passed or failed, its detail, when it ended.
    pub last: Option<(bool, String, Instant)>,
    /// Runs so far.
    pub runs: u64,
    /// Failed runs so far.
    pub failures: u64,
}

/// One service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceView {
    /// As configured.
    pub spec: Arc<ServiceSpec>,
    /// Where it stands.
    pub state: ServiceState,
    /// Why it stands there, as a sentence.
    pub reason: String,
    /// When the state last changed.
    pub since: Instant,
    /// The checks taken together.
    pub healthy: bool,
    /// VIPs in configured order.
    pub vips: Vec<VipView>,
    /// Checks in configured order.
    pub checks: Vec<CheckView>,
}

/// Something that happened to a service.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// Counts up from 1, for resuming.
    pub sequence: u64,
    /// When.
    pub at: Instant,
    /// Which service.
    pub service: Arc<str>,
    /// The state after it.
    pub state: ServiceState,
    /// The prefix it is about, if it is about one.
    pub vip: Option<IpNet>,
    /// What happened, as a sentence.
    pub what: String,
}
