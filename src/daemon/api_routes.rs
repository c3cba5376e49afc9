//! The owner of the routes that were added through the API: it keeps their leases and gives them to the RIB.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rib::message::Input;
use rib::{AdminDistance, Metric, Protocol, Route, RouteBatch, Source};
use tokio::sync::mpsc;

use super::handles::{ApiRoute, ApiRouteAsk, ApiRoutesHandle, RibHandle};

/// Asks that may wait. Full: the caller waits.
const ASKS: usize = 64;
/// Most routes of the API, so that a client in a loop cannot fill the memory.
const ROUTES_MAX: usize = 1_000_000;

struct Owner {
    rib: RibHandle,
    distance: AdminDistance,
    routes: BTreeMap<IpNet, (ApiRoute, Option<Instant>)>,
}

/// Starts the owner on the current runtime; it ends with the last handle.
pub(super) fn spawn(rib: RibHandle, distance: AdminDistance) -> ApiRoutesHandle {
    let (asks, received) = mpsc::channel(ASKS);
    tokio::spawn(Owner { rib, distance, routes: BTreeMap::new() }.run(received));
    ApiRoutesHandle(asks)
}

#[allow(clippy::disallowed_methods)] // The carrier of leases reads the clock.
fn now() -> Instant {
    Instant::now()
}

impl Owner {
    async fn run(mut self, mut asks: mpsc::Receiver<ApiRouteAsk>) {
        loop {
            let due = self.routes.values().filter_map(|(_, expiry)| *expiry).min();
            let expire = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => self.ask(ask).await,
                    None => return,
                },
                () = expire => self.expire().await,
            }
        }
    }

    async fn ask(&mut self, ask: ApiRouteAsk) {
        match ask {
            ApiRouteAsk::Add(route, reply) => {
                let _ = reply.send(self.add(route).await);
            }
            ApiRouteAsk::Delete(prefix, reply) => {
                let known = self.routes.remove(&prefix).is_some();
                if known {
                    self.tell(|batch| batch.remove(prefix)).await;
                }
                let _ = reply.send(known);
            }
            ApiRouteAsk::List(reply) => {
                let at = now();
                let left = |expiry: Option<Instant>| expiry.map(|expiry| expiry.saturating_duration_since(at));
                let _ =
                    reply.send(self.routes.values().map(|(route, expiry)| (route.clone(), left(*expiry))).collect());
            }
        }
    }

    async fn add(&mut self, mut route: ApiRoute) -> Result<bool, String> {
        route.prefix = route.prefix.trunc();
        let prefix = route.prefix;
        let new = !self.routes.contains_key(&prefix);
        if new && self.routes.len() >= ROUTES_MAX {
            return Err(format!("the API has {ROUTES_MAX} routes already, which is the most; delete some first"));
        }
        if route.lease.is_some_and(|lease| lease.is_zero()) {
            return Err("a lease of zero would end at once; leave it out for a route that stays".to_owned());
        }
        if route.lease.is_some_and(|lease| lease > Duration::from_secs(366 * 86_400)) {
            return Err("a lease is at most 366 days; leave it out for a route that stays".to_owned());
        }
        let expiry = route.lease.map(|lease| now() + lease);
        let in_rib = Route {
            protocol: Protocol::Api,
            distance: self.distance,
            metric: Metric(route.metric),
            tag: route.tag,
            next_hops: route.next_hops.clone(),
        };
        self.routes.insert(prefix, (route, expiry));
        self.tell(|batch| batch.add(prefix, in_rib)).await;
        Ok(new)
    }

    async fn expire(&mut self) {
        let at = now();
        let over = |expiry: &Option<Instant>| expiry.is_some_and(|expiry| expiry <= at);
        let gone: Vec<IpNet> =
            self.routes.iter().filter(|(_, (_, expiry))| over(expiry)).map(|(prefix, _)| *prefix).collect();
        for prefix in &gone {
            self.routes.remove(prefix);
            tracing::info!(%prefix, "lease of the API's route ended");
        }
        self.tell(|batch| gone.iter().for_each(|prefix| batch.remove(*prefix))).await;
    }

    async fn tell(&self, fill: impl FnOnce(&mut RouteBatch)) {
        let mut batch = RouteBatch::new(Source::Api);
        fill(&mut batch);
        // The RIB is gone only when the node stops.
        let _ = self.rib.urgent(Input::Routes(batch)).await;
    }
}
