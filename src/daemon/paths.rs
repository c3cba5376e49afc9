//! BFD for BGP (RFC 5882 §4.1): a session of BFD for every established neighbor that asks for one, and the end of the BGP
//! session when its path breaks.
//!
//! A path is watched from the moment a BGP session stands, because only then both its ends are known, until the neighbor is
//! disabled, removed or no longer asks for it. That BFD never came up, or that an operator of either side took it down, says
//! nothing about the path (RFC 5882 §3.2): BGP then goes by its hold time alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bgpd::config::{Bfd as Wish, RemoteAs};
use bgpd::io::Handle;
use bgpd::speaker::message::{Command, Event, NeighborKey, NeighborView, Query, Reply, SessionState};
use bgpd::wire::attr::PeerKind;
use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;

use crate::bfd::{self, Bfd, Subscription, Timers, Wanted};

/// A path that is watched; dropped, it no longer is.
struct Watched {
    wanted: Wanted,
    timers: Timers,
    task: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Follows the speaker until it ends. `configured` is told whenever its configuration changed.
pub(super) async fn follow(bgp: Handle, bfd: Bfd, configured: Arc<Notify>) {
    let mut events = bgp.events();
    let mut watched: HashMap<NeighborKey, Watched> = HashMap::new();
    // Sessions may stand already.
    let mut changed = None;
    loop {
        let Ok(reply) = bgp.query(Query::Neighbors(changed.clone())).await else { return };
        let views = match reply {
            Reply::Neighbors(views) => views,
            // It is gone.
            _ => Vec::new(),
        };
        match changed {
            Some(neighbor) if views.is_empty() => _ = watched.remove(&neighbor),
            Some(_) => {}
            None => watched.retain(|neighbor, _| views.iter().any(|view| view.key == *neighbor)),
        }
        for view in &views {
            update(&bgp, &bfd, &mut watched, view).await;
        }
        changed = match next(&mut events, &configured).await {
            Next::One(neighbor) => Some(neighbor),
            Next::All => None,
            Next::End => return,
        };
    }
}

/// Which neighbors are to be looked at.
enum Next {
    One(NeighborKey),
    All,
    End,
}

async fn next(events: &mut Receiver<Event>, configured: &Notify) -> Next {
    loop {
        tokio::select! {
            () = configured.notified() => return Next::All,
            event = events.recv() => match event {
                Ok(Event::Neighbor { neighbor, to: SessionState::Established | SessionState::Idle, .. }) => {
                    return Next::One(neighbor);
                }
                Ok(_) => {}
                // What was lost is looked up.
                Err(RecvError::Lagged(_)) => return Next::All,
                Err(RecvError::Closed) => return Next::End,
            },
        }
    }
}

async fn update(bgp: &Handle, bfd: &Bfd, watched: &mut HashMap<NeighborKey, Watched>, view: &NeighborView) {
    let Some(wish) = view.config.bfd.filter(|_| view.enabled) else {
        watched.remove(&view.key);
        return;
    };
    let timers = Timers { interval: wish.interval, multiplier: wish.multiplier };
    let established = view.state == SessionState::Established;
    let known = watched.get(&view.key);
    let wanted = match (established.then(|| path_of(view, wish)).flatten(), known) {
        (Some(wanted), _) => wanted,
        (None, Some(known)) => known.wanted.clone(),
        (None, None) => return,
    };
    if known.is_some_and(|known| known.wanted == wanted && known.timers == timers) {
        return;
    }
    // The new wish stands before the old one goes: a session that serves both does not end in between.
    let subscription = bfd.subscribe(wanted.clone(), timers).await;
    let task = tokio::spawn(watch(bgp.clone(), view.key.clone(), subscription)).abort_handle();
    watched.insert(view.key.clone(), Watched { wanted, timers, task });
}

/// The path of an established session.
fn path_of(view: &NeighborView, wish: Wish) -> Option<Wanted> {
    let (peer, local) = (view.address?, view.local?.ip().to_canonical());
    let link_local = matches!(peer, IpAddr::V6(peer) if peer.is_unicast_link_local());
    let multihop = wish.multihop.unwrap_or_else(|| {
        let config = &view.config;
        let far = config.multihop.or(config.ttl_security).is_some_and(|hops| hops > 1);
        let internal = match config.remote_as {
            RemoteAs::External => false,
            RemoteAs::Internal => true,
            RemoteAs::Number(_) => {
                view.negotiated.as_ref().is_some_and(|negotiated| negotiated.kind == PeerKind::Internal)
            }
        };
        !link_local && (far || internal && !bfd::on_link(local, peer))
    });
    let interface = view.config.interface.as_deref().map(str::to_owned);
    Some(Wanted { peer, local: Some(local), interface, multihop })
}

/// Ends the BGP session whenever the path fails.
async fn watch(bgp: Handle, neighbor: NeighborKey, mut path: Subscription) {
    let mut failures = 0;
    loop {
        let status = path.changed().await;
        if status.failures > failures {
            failures = status.failures;
            // An error means that the neighbor or the speaker is gone.
            let _ = bgp.command(Command::PathDown { neighbor: neighbor.clone() }).await;
        }
    }
}
