//! When to sweep what an earlier run left in the data planes.
//!
//! A daemon that crashed leaves its routes forwarding. The next run adopts those that are still right as they are told, and the
//! others must go, but not before the neighbors have had the time to say them again. The sign for that is that every enabled
//! neighbor of BGP is established and has said End-of-RIB if it ever will, every neighbor of OSPF adjacent, and that nothing new
//! comes; the limit is two minutes.

use std::time::{Duration, Instant};

use bgpd::speaker::message::{NeighborKey, NeighborView, Query, Reply, SessionState};
use ospfd::interface::InterfaceState;
use ospfd::io::Handle;
use ospfd::neighbor::NeighborState;
use ospfd::view::View;
use tokio::sync::watch;

use super::handles::Node;

/// Between two looks at the neighbors.
const LOOK: Duration = Duration::from_millis(500);
/// Looks in a row that show nothing new.
const QUIET_LOOKS: u32 = 4;
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(120);

/// Waits for the right time, then has every data plane swept once.
pub(super) async fn run(node: Node, mut synced: watch::Receiver<bool>) {
    if synced.wait_for(|synced| *synced).await.is_err() {
        return;
    }
    // After a restart BGP and OSPF hold their routes for as long as they told the neighbors; then they let go by themselves.
    while holding(&node).await || restarting(&node).await {
        tokio::time::sleep(LOOK).await;
    }
    let _ = tokio::time::timeout(LONGEST, converged(&node)).await;
    for fib in &node.fibs {
        tracing::debug!(backend = fib.name, "sweeping what an earlier run left");
        if node.rib.sweep(fib.id).await.is_err() {
            return;
        }
    }
}

/// BGP knows routes that the RIB has not been told.
async fn holding(node: &Node) -> bool {
    matches!(node.bgp.query(Query::Summary).await, Ok(Reply::Summary(summary)) if summary.holding)
}

/// OSPF comes back from a graceful restart, and knows routes that the RIB has not been told.
async fn restarting(node: &Node) -> bool {
    for instance in node.ospf.instances() {
        if let Some(View::Summary(summary)) = instance.ask(ospfd::view::Query::Summary).await
            && summary.restarting
        {
            return true;
        }
    }
    false
}

/// Returns once every protocol has said what it has to say, at once if none is spoken.
async fn converged(node: &Node) {
    let start = now();
    let mut before = Vec::new();
    let mut quiet = 0;
    loop {
        let Ok(Reply::Neighbors(neighbors)) = node.bgp.query(Query::Neighbors(None)).await else { return };
        let waiting: Vec<&NeighborView> = neighbors.iter().filter(|neighbor| neighbor.enabled).collect();
        if waiting.is_empty() && !node.ospf.speaks() {
            return;
        }
        let mut settled = waiting.iter().all(|neighbor| has_told(neighbor));
        let mut heard: Vec<(Option<NeighborKey>, u64)> =
            waiting.iter().map(|neighbor| (Some(neighbor.key.clone()), neighbor.updates_in)).collect();
        for instance in node.ospf.instances() {
            let Some((ready, installed)) = ospf(instance, start.elapsed()).await else { return };
            settled &= ready;
            heard.push((None, installed));
        }
        quiet = if settled && heard == before && !holding(node).await { quiet + 1 } else { 0 };
        if quiet >= QUIET_LOOKS {
            return;
        }
        before = heard;
        tokio::time::sleep(LOOK).await;
    }
}

/// Silence is no proof: BIRD rests for seconds before the last of many routes. Who speaks of graceful restart says when it has
/// told everything (RFC 4724 §2).
fn has_told(neighbor: &NeighborView) -> bool {
    let says_so = neighbor.negotiated.as_ref().is_some_and(|negotiated| negotiated.peer_restart.is_some());
    neighbor.state == SessionState::Established && (neighbor.spoken || !says_so)
}

/// Whether an instance that is as old as that has all its adjacencies, and how many LSAs it has taken so far. An interface without a
/// neighbor may get one until its dead interval is over; `None`: the instance has ended.
async fn ospf(instance: &Handle, age: Duration) -> Option<(bool, u64)> {
    let View::Summary(summary) = instance.ask(ospfd::view::Query::Summary).await? else { return None };
    let View::Interfaces(interfaces) = instance.ask(ospfd::view::Query::Interfaces).await? else { return None };
    let View::Neighbors(neighbors) = instance.ask(ospfd::view::Query::Neighbors).await? else { return None };
    let spoken = interfaces.iter().filter(|one| {
        !one.passive && !matches!(one.state, InterfaceState::Down | InterfaceState::Loopback) && one.network.is_some()
    });
    let mut settled = neighbors.iter().all(|one| matches!(one.state, NeighborState::TwoWay | NeighborState::Full));
    for interface in spoken {
        settled &= interface.state != InterfaceState::Waiting;
        settled &= interface.neighbors > 0 || age > interface.dead_interval;
    }
    Some((settled, summary.installed))
}

#[allow(clippy::disallowed_methods, reason = "a carrier reads the clock")]
fn now() -> Instant {
    Instant::now()
}
