//! What was configured for and agreed on with a neighbor: capabilities, roles, restarts, limits, protection. Passwords stay out.

use std::time::SystemTime;

use bgpd::session::{DownReason, HistoryEntry, Negotiated, StopCause};
use bgpd::speaker::message::{NeighborView, SessionState};
use bgpd::wire::MessageType;
use bgpd::wire::capability::{AddPathMode, Role};
use proto::v1;

use super::{duration, family, timestamp};

/// Whether a session has it.
type InUse = fn(&Negotiated) -> bool;

/// Capabilities by name.
const CAPABILITIES: &[(&str, InUse)] = &[
    ("4-octet-as", |agreed| agreed.as4),
    ("extended-messages", |agreed| agreed.extended_messages),
    ("route-refresh", |agreed| agreed.route_refresh),
    ("enhanced-route-refresh", |agreed| agreed.enhanced_refresh),
    ("extended-next-hop", |agreed| agreed.extended_next_hop),
    ("add-path", |agreed| !agreed.add_path.is_empty()),
    ("graceful-restart", |agreed| agreed.our_restart.is_some() && agreed.peer_restart.is_some()),
    ("long-lived-graceful-restart", |agreed| !agreed.our_long_lived.is_empty() && !agreed.peer_long_lived.is_empty()),
    ("role", |agreed| agreed.peer_role.is_some()),
];

fn role(role: Role) -> String {
    match role {
        Role::Provider => "provider",
        Role::RouteServer => "rs",
        Role::RouteServerClient => "rs-client",
        Role::Customer => "customer",
        Role::Peer => "peer",
    }
    .to_owned()
}

/// A message of the history, as of `now`.
pub(crate) fn message(entry: &HistoryEntry, now: SystemTime) -> v1::BgpMessage {
    let kind = match entry.kind {
        MessageType::Open => "OPEN",
        MessageType::Update => "UPDATE",
        MessageType::Notification => "NOTIFICATION",
        MessageType::Keepalive => "KEEPALIVE",
        MessageType::RouteRefresh => "ROUTE-REFRESH",
    };
    v1::BgpMessage {
        time: now.checked_sub(entry.age).map(timestamp),
        sent: entry.sent,
        octets: entry.octets.to_vec(),
        r#type: kind.to_owned(),
        text: entry.description.clone(),
        length: u32::try_from(entry.length).unwrap_or(u32::MAX),
    }
}

/// The part of a neighbor that is about its session.
pub(super) fn of(view: &NeighborView) -> v1::Neighbor {
    let agreed = view.negotiated.as_deref();
    let has = |(name, has): &(&str, fn(&Negotiated) -> bool)| agreed.is_some_and(has).then(|| (*name).to_owned());
    let established = view.state == SessionState::Established;
    let fell = view.last_down.as_ref().map(ToString::to_string).filter(|_| !established);
    v1::Neighbor {
        remote: agreed.map(|agreed| agreed.remote.to_string()).unwrap_or_default(),
        interface: view.config.interface.as_deref().unwrap_or_default().to_owned(),
        dynamic: view.dynamic,
        draining: view.draining,
        capabilities: CAPABILITIES.iter().filter_map(has).collect(),
        role: view.config.role.map(role).unwrap_or_default(),
        remote_role: agreed.and_then(|agreed| agreed.peer_role).map(role).unwrap_or_default(),
        add_path: agreed.map(|agreed| add_path(view, agreed)).unwrap_or_default(),
        graceful_restart: Some(restart(view)),
        max_prefix: max_prefix(view),
        ttl_security: view.config.ttl_security.map(u32::from),
        password: view.config.password.is_some(),
        last_error: view.connect_error.clone().filter(|_| !established).or(fell).unwrap_or_default(),
        peer_address: view.address.map(|address| address.to_string()).unwrap_or_default(),
        passive: view.config.passive,
        ..v1::Neighbor::default()
    }
}

fn add_path(view: &NeighborView, agreed: &Negotiated) -> Vec<v1::NeighborAddPath> {
    let one = |(of, mode): &(_, AddPathMode)| v1::NeighborAddPath {
        family: family(*of).into(),
        receive: matches!(mode, AddPathMode::Receive | AddPathMode::Both),
        send: if matches!(mode, AddPathMode::Send | AddPathMode::Both) { view.config.add_path.send.into() } else { 0 },
    };
    agreed.add_path.iter().map(one).collect()
}

fn restart(view: &NeighborView) -> v1::NeighborRestart {
    let agreed = view.negotiated.as_deref();
    let peer = agreed.and_then(|agreed| agreed.peer_restart.as_ref());
    let long_lived = agreed.and_then(|agreed| agreed.peer_long_lived.iter().map(|family| family.stale_time).max());
    v1::NeighborRestart {
        helper: view.config.graceful_restart.helper,
        enabled: view.config.graceful_restart.restarting,
        restarting: view.stale > 0 && view.state != SessionState::Established,
        stale: view.stale,
        restart_time: peer.map(|restart| duration(restart.restart_time)),
        long_lived: long_lived.map(duration),
    }
}

fn max_prefix(view: &NeighborView) -> Option<v1::NeighborMaxPrefix> {
    let limit = view.config.max_prefix?;
    let (v4, v6) = view.received_by_family;
    let exceeded = matches!(&view.last_down, Some(DownReason::Stopped(StopCause::MaxPrefix { .. })));
    Some(v1::NeighborMaxPrefix {
        limit: limit.limit,
        warn: limit.warn,
        restart: limit.restart.map(duration),
        warned: v4.max(v6) >= u64::from(limit.warn),
        exceeded: exceeded && view.state != SessionState::Established,
    })
}
