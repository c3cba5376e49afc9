//! `RibService`: lookups, walks, live changes, explanations, and the routes that the API owns.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bgpd::speaker::message::{Query, Reply};
use ipnet::IpNet;
use proto::v1;
use proto::v1::rib_service_server::RibService;
use rib::{AddressFamily, Metric, NextHop, NextHopSet, Protocol, Route, Source, WalkQuery, WatchFilter};
use tonic::{Request, Response, Status};

use super::convert::{self, Names};
use super::request::{self, gone, invalid};
use super::{Context, Stream, feed, retention};
use crate::daemon::handles::{ApiRoute, WatchStep};

/// Most addresses of one batch.
const BATCH_MOST: usize = 10_000;
/// Most routes looked at for one page, so that a filter that matches little cannot hold the RIB.
const WALK_MOST: usize = 65_536;
/// Shortest and longest lease.
const LEASE: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);

pub(crate) struct Service(pub(crate) Arc<Context>);

impl Service {
    /// What the API was told, as a route. The configured distance is the RIB's to know; if the route is gone from there
    /// already, the default one is shown.
    async fn stated(&self, route: &ApiRoute) -> Result<v1::Route, Status> {
        let node = &self.0.node;
        let known = node.rib.candidates(route.prefix).await.map_err(gone)?;
        let distance =
            known.iter().find(|candidate| candidate.source == Source::Api).map(|candidate| candidate.route.distance);
        let stated = Route {
            protocol: Protocol::Api,
            distance: distance.unwrap_or_else(|| Protocol::Api.default_distance()),
            metric: Metric(route.metric),
            tag: route.tag,
            next_hops: route.next_hops.clone(),
        };
        Ok(Names::new(&node.info).stated(&route.prefix.to_string(), &stated))
    }
}

#[tonic::async_trait]
impl RibService for Service {
    type WatchRoutesStream = Stream<v1::WatchRoutesResponse>;

    async fn lookup(&self, req: Request<v1::LookupRequest>) -> Result<Response<v1::LookupResponse>, Status> {
        let addr = request::address("address", &req.get_ref().address)?;
        let node = &self.0.node;
        let view = node.rib.lookup(addr).await.map_err(gone)?;
        let view = view.ok_or_else(|| Status::not_found(format!("no route covers {addr}")))?;
        let route = Names::new(&node.info).route(&view);
        Ok(Response::new(v1::LookupResponse { address: addr.to_string(), route: Some(route) }))
    }

    async fn lookup_batch(
        &self,
        req: Request<v1::LookupBatchRequest>,
    ) -> Result<Response<v1::LookupBatchResponse>, Status> {
        let addresses = req.into_inner().addresses;
        if addresses.is_empty() {
            return Err(invalid("addresses", "is empty: give at least one address"));
        }
        if addresses.len() > BATCH_MOST {
            let what = format_args!("{} are given, at most {BATCH_MOST} are allowed", addresses.len());
            return Err(invalid("addresses", what));
        }
        let parse = |(i, text): (usize, &String)| request::address(&format!("addresses[{i}]"), text);
        let addresses = addresses.iter().enumerate().map(parse).collect::<Result<Vec<IpAddr>, _>>()?;
        let node = &self.0.node;
        let mut names = Names::new(&node.info);
        let mut results = Vec::with_capacity(addresses.len());
        let views = node.rib.lookup_many(&addresses).await.map_err(gone)?;
        for (addr, view) in addresses.into_iter().zip(views) {
            results.push(v1::LookupResult { address: addr.to_string(), route: view.map(|view| names.route(&view)) });
        }
        Ok(Response::new(v1::LookupBatchResponse { results }))
    }

    async fn list_routes(
        &self,
        req: Request<v1::ListRoutesRequest>,
    ) -> Result<Response<v1::ListRoutesResponse>, Status> {
        let req = req.into_inner();
        let prefix = request::optional_prefix("prefix", req.prefix.as_deref())?;
        let family = request::family("family", req.family)?;
        let protocols = protocols(&req.protocols)?;
        let size = request::page_size("page_size", req.page_size)?;
        let mut from = request::page_token("page_token", &req.page_token)?;
        if req.longer && prefix.is_none() {
            return Err(invalid("longer", "needs a prefix"));
        }
        let wanted = |prefix: &IpNet, protocol: Protocol| {
            family.is_none_or(|family| AddressFamily::of(prefix) == family)
                && (protocols.is_empty() || protocols.contains(&convert::protocol(protocol).0))
        };
        let node = &self.0.node;
        let mut names = Names::new(&node.info);
        if let Some(prefix) = prefix.filter(|_| !req.longer) {
            let found = node.rib.get(prefix).await.map_err(gone)?;
            let found = found.filter(|view| wanted(&view.prefix, view.route.protocol));
            let routes = found.map(|view| names.route(&view)).into_iter().collect();
            return Ok(Response::new(v1::ListRoutesResponse { routes, next_page_token: String::new() }));
        }
        let mut routes = Vec::new();
        let mut seen = 0;
        let next = loop {
            let limit = size - routes.len();
            let query = WalkQuery { family, start: from, within: prefix, limit, ..WalkQuery::default() };
            let page = node.rib.page(query).await.map_err(gone)?;
            seen += page.routes.len();
            routes.extend(
                page.routes
                    .iter()
                    .filter(|view| wanted(&view.prefix, view.route.protocol))
                    .map(|view| names.route(view)),
            );
            match page.next {
                Some(next) if routes.len() < size && seen < WALK_MOST => from = Some(next),
                next => break next,
            }
        };
        let next_page_token = next.map(|next| next.to_string()).unwrap_or_default();
        Ok(Response::new(v1::ListRoutesResponse { routes, next_page_token }))
    }

    async fn watch_routes(
        &self,
        req: Request<v1::WatchRoutesRequest>,
    ) -> Result<Response<Self::WatchRoutesStream>, Status> {
        let req = req.into_inner();
        let only = request::optional_prefix("prefix", req.prefix.as_deref())?;
        let boot = self.0.boot;
        let resume = feed::parse_resume_token(boot, &req.resume_token)?;
        let node = self.0.node.clone();
        let mut watch = match resume.filter(|after| *after <= node.rib.position()) {
            Some(after) => node.rib.watch_from(after),
            None => node.rib.watch_only(WatchFilter { within: only, ..WatchFilter::default() }),
        };
        let retention = Arc::clone(&self.0.retention);
        retention.touch(&node.rib).await.map_err(gone)?;
        Ok(self.0.stream(move |messages| async move {
            loop {
                let step = tokio::time::timeout(retention::STEP, watch.next()).await;
                retention.touch(&node.rib).await.map_err(gone)?;
                // Nothing has happened for a while; the step goes on where it was.
                let Ok(step) = step else { continue };
                let mut names = Names::new(&node.info);
                let message = watch_message(boot, step.map_err(gone)?, only, &mut names);
                if let Some(message) = message
                    && messages.send(Ok(message)).await.is_err()
                {
                    return Ok(());
                }
            }
        }))
    }

    async fn explain(&self, req: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        let req = req.into_inner();
        let prefix = request::prefix("prefix", &req.prefix)?;
        let neighbor = match req.neighbor.as_str() {
            "" => None,
            text => Some(request::neighbor("neighbor", text)?),
        };
        let node = &self.0.node;
        let candidates = node.rib.candidates(prefix).await.map_err(gone)?;
        let chosen = node.rib.get(prefix).await.map_err(gone)?;
        let bgp = match node.bgp.query(Query::Explain { prefix, neighbor }).await.map_err(gone)? {
            Reply::Explain(explanation) => explanation,
            Reply::NoSuchNeighbor(addr) => {
                return Err(Status::not_found(format!("there is no neighbor {addr}")));
            }
            other => return Err(Status::internal(format!("the speaker answered another question: {other:?}"))),
        };
        if candidates.is_empty() && bgp.candidates.is_empty() {
            return Err(Status::not_found(format!("nobody knows a route for exactly {prefix}")));
        }
        let mut names = Names::new(&node.info);
        Ok(Response::new(v1::ExplainResponse {
            prefix: prefix.to_string(),
            route: chosen.map(|view| names.route(&view)),
            candidates: candidates.iter().map(|candidate| names.candidate(candidate)).collect(),
            bgp_candidates: bgp.candidates.iter().map(convert::bgp_candidate).collect(),
            exports: bgp.exports.iter().map(convert::export_decision).collect(),
        }))
    }

    async fn add_route(&self, req: Request<v1::AddRouteRequest>) -> Result<Response<v1::AddRouteResponse>, Status> {
        let req = req.into_inner();
        let prefix = request::prefix("prefix", &req.prefix)?;
        let next_hops = request::next_hops("next_hops", &req.next_hops)?;
        reachable_family(prefix, &next_hops)?;
        let lease = req.lease.map(|lease| request::duration("lease", lease)).transpose()?;
        if let Some(lease) = lease
            && !LEASE.contains(&lease)
        {
            return Err(invalid("lease", format_args!("{lease:?} is not within 1 s to 30 days")));
        }
        let route = ApiRoute { prefix, next_hops, metric: req.metric, tag: req.tag, lease };
        let node = &self.0.node;
        let kept = route.clone();
        let fresh = node.api_routes.add(route).await.map_err(gone)?.map_err(|why| invalid("prefix", why))?;
        let shown = self.stated(&kept).await?;
        Ok(Response::new(v1::AddRouteResponse {
            route: Some(shown),
            replaced: !fresh,
            lease: lease.map(convert::duration),
        }))
    }

    async fn delete_route(
        &self,
        req: Request<v1::DeleteRouteRequest>,
    ) -> Result<Response<v1::DeleteRouteResponse>, Status> {
        let prefix = request::prefix("prefix", &req.get_ref().prefix)?;
        let node = &self.0.node;
        let owned = node.api_routes.list().await.map_err(gone)?.into_iter().find(|(route, _)| route.prefix == prefix);
        // Between the two questions the lease may have run out: only the second decides.
        match (owned, node.api_routes.delete(prefix).await.map_err(gone)?) {
            (Some((route, _)), true) => {
                let route = Some(self.stated(&route).await?);
                Ok(Response::new(v1::DeleteRouteResponse { route }))
            }
            _ => Err(Status::not_found(format!("the API owns no route for {prefix}"))),
        }
    }
}

fn protocols(numbers: &[i32]) -> Result<Vec<v1::Protocol>, Status> {
    let check = |number: &i32| match v1::Protocol::try_from(*number) {
        Ok(protocol) if protocol != v1::Protocol::Unspecified => Ok(protocol),
        _ => Err(invalid("protocols", format_args!("{number} is no protocol"))),
    };
    numbers.iter().map(check).collect()
}

/// An IPv4 prefix can be reached over an IPv6 gateway (RFC 8950); the kernel knows nothing the other way round.
fn reachable_family(prefix: IpNet, hops: &NextHopSet) -> Result<(), Status> {
    let wrong = hops.legs().iter().find_map(|leg| match leg.next_hop {
        NextHop::Gateway { addr: IpAddr::V4(addr), .. } if matches!(prefix, IpNet::V6(_)) => Some(addr),
        _ => None,
    });
    match wrong {
        Some(addr) => {
            Err(invalid("next_hops", format_args!("{addr} cannot be the gateway of the IPv6 prefix {prefix}")))
        }
        None => Ok(()),
    }
}

/// What a watcher is told of a step; nothing if the step is about other prefixes only.
fn watch_message(
    boot: u64,
    step: WatchStep,
    only: Option<IpNet>,
    names: &mut Names,
) -> Option<v1::WatchRoutesResponse> {
    let wanted = |prefix: &IpNet| only.is_none_or(|only| only.contains(prefix));
    let mut message = v1::WatchRoutesResponse::default();
    match step {
        WatchStep::Reset => message.snapshot_start = true,
        WatchStep::Snapshot(routes) => {
            message.updated = routes.iter().filter(|view| wanted(&view.prefix)).map(|view| names.route(view)).collect();
            if message.updated.is_empty() {
                return None;
            }
        }
        WatchStep::Synced(position) => {
            message.snapshot_end = true;
            message.resume_token = feed::resume_token(boot, position);
        }
        WatchStep::Changed { routes, through } => {
            for (prefix, view) in routes.iter().filter(|(prefix, _)| wanted(prefix)) {
                match view {
                    Some(view) => message.updated.push(names.route(view)),
                    None => message.removed.push(prefix.to_string()),
                }
            }
            if message.updated.is_empty() && message.removed.is_empty() {
                return None;
            }
            message.resume_token = feed::resume_token(boot, through);
        }
    }
    Some(message)
}
