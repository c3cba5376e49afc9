//! When to sweep what an earlier run left in the data planes.
//!
//! A daemon that crashed leaves its routes forwarding. The next run adopts those that are still right as they are told, and the
//! others must go, but not before the neighbors have had the time to say them again. The sign for that is that every enabled
//! neighbor is established and its routes have stopped coming; the limit is two minutes.

use std::time::Duration;

use bgpd::speaker::message::{NeighborKey, NeighborView, Query, Reply, SessionState};
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
    // After a restart BGP holds its routes for as long as it told the neighbors; then it lets go by itself.
    while holding(&node).await {
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

async fn converged(node: &Node) {
    let mut before: Vec<(NeighborKey, u64)> = Vec::new();
    let mut quiet = 0;
    loop {
        let Ok(Reply::Neighbors(neighbors)) = node.bgp.query(Query::Neighbors(None)).await else { return };
        let waiting: Vec<&NeighborView> = neighbors.iter().filter(|neighbor| neighbor.enabled).collect();
        if waiting.is_empty() {
            return;
        }
        let all_up = waiting.iter().all(|neighbor| neighbor.state == SessionState::Established);
        let now: Vec<(NeighborKey, u64)> =
            waiting.iter().map(|neighbor| (neighbor.key.clone(), neighbor.updates_in)).collect();
        quiet = if all_up && now == before && !holding(node).await { quiet + 1 } else { 0 };
        if quiet >= QUIET_LOOKS {
            return;
        }
        before = now;
        tokio::time::sleep(LOOK).await;
    }
}
