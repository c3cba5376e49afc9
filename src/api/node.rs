//! `NodeService`: who the node is, what is wrong, what happens, and its end.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bgpd::speaker::message::{Query, Reply};
use ospfd::view::{SummaryView, View};
use proto::v1;
use proto::v1::node_service_server::NodeService;
use tonic::{Request, Response, Status};

use super::request::{self, gone, invalid};
use super::{Context, Stream, bfd, bgp, convert, feed, not_built};

/// Longest configuration taken for checking, octets.
const CONFIG_MOST: usize = 4 << 20;

pub(crate) struct Service(pub(crate) Arc<Context>);

impl Service {
    /// What an operator should look at, a sentence each, worst first.
    async fn problems(&self) -> Result<Vec<String>, Status> {
        let node = &self.0.node;
        let mut problems = Vec::new();
        let services = node.anycast.services().await;
        // A data plane refuses the route of a VIP that is not local; whether that is wrong, the service's state says.
        let not_local = services.iter().flat_map(|service| &service.vips).filter(|vip| !vip.local).count();
        for fib in &node.fibs {
            let stats = fib.stats().await.map_err(gone)?;
            if let Some(error) = stats.error {
                problems.push(format!("data plane {}: {error}", fib.name));
            }
            for port in &stats.facts.ports {
                if let Some(remark) = &port.remark {
                    problems.push(format!("data plane {}: {}: {remark}", fib.name, port.name));
                }
            }
            let refused = stats.failed.saturating_sub(not_local);
            if refused > 0 {
                problems.push(format!(
                    "data plane {} refuses {refused} routes; `anyhop show routes` says which and why",
                    fib.name
                ));
            }
        }
        for service in services {
            use crate::anycast::ServiceState::{Partial, Waiting, Withdrawn};
            if matches!(service.state, Waiting | Partial | Withdrawn) {
                problems.push(format!("service {} is {}: {}", service.spec.name, service.state.name(), service.reason));
            }
        }
        for neighbor in bgp::neighbors(node, None).await? {
            let state = neighbor.state();
            if neighbor.enabled && state != v1::SessionState::Established {
                let why = if neighbor.last_down.is_empty() { neighbor.notes.join("; ") } else { neighbor.last_down };
                let why = if why.is_empty() { why } else { format!(": {why}") };
                problems.push(format!("neighbor {} is not established{why}", neighbor.address));
            } else if neighbor.enabled {
                problems.extend(neighbor.notes.iter().map(|note| format!("neighbor {}: {note}", neighbor.address)));
            }
        }
        for (version, summary) in self.ospf().await {
            problems.extend(summary.problems.into_iter().map(|problem| format!("OSPF{version}: {problem}")));
        }
        Ok(problems)
    }

    /// What the instances say of themselves, by the name of their version.
    async fn ospf(&self) -> Vec<(&'static str, SummaryView)> {
        let mut all = Vec::new();
        for instance in self.0.node.ospf.instances() {
            // An instance that has ended has nothing to say: the node stops.
            if let Some(View::Summary(summary)) = instance.ask(ospfd::view::Query::Summary).await {
                all.push((super::ospf::version_name(instance.version()), *summary));
            }
        }
        all
    }
}

fn ospf_info((version, summary): &(&str, SummaryView)) -> v1::OspfInfo {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    v1::OspfInfo {
        version: (*version).to_owned(),
        neighbors: count(summary.neighbors),
        full: count(summary.full),
        lsas: count(summary.lsas),
        border: summary.border,
        boundary: summary.external,
        max_metric: summary.max_metric,
        restarting: summary.restarting,
    }
}

#[tonic::async_trait]
impl NodeService for Service {
    type WatchEventsStream = Stream<v1::WatchEventsResponse>;
    type DumpMrtStream = Stream<v1::DumpMrtResponse>;

    #[allow(clippy::disallowed_methods, reason = "carrier: uptime is said to people")]
    async fn get_info(&self, _: Request<v1::GetInfoRequest>) -> Result<Response<v1::GetInfoResponse>, Status> {
        let node = &self.0.node;
        let info = &node.info;
        let summary = node.rib.summary().await.map_err(gone)?;
        let bgp = match node.bgp.query(Query::Summary).await.map_err(gone)? {
            Reply::Summary(summary) => summary,
            other => return Err(Status::internal(format!("the speaker answered another question: {other:?}"))),
        };
        let connections = node.bgp.counters();
        let by_protocol = summary.by_source.iter().map(|(source, routes)| v1::ProtocolCount {
            protocol: source_name(*source).to_owned(),
            routes: *routes as u64,
        });
        Ok(Response::new(v1::GetInfoResponse {
            version: info.version.to_owned(),
            asn: info.asn,
            router_id: info.router_id.to_string(),
            site: info.site.clone(),
            started_at: Some(convert::timestamp(info.started)),
            uptime: Some(convert::duration(SystemTime::now().duration_since(info.started).unwrap_or_default())),
            config_path: info.config.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            hostname: info.hostname.clone(),
            bgp_listen: info.bgp_listen.iter().map(ToString::to_string).collect(),
            backends: info.backends.iter().map(ToString::to_string).collect(),
            api_listen: info.api_listen.clone(),
            routes_ipv4: summary.ipv4 as u64,
            routes_ipv6: summary.ipv6 as u64,
            routes_by_protocol: by_protocol.collect(),
            next_hops: summary.next_hops as u64,
            bgp_paths: (bgp.paths.0 + bgp.paths.1) as u64,
            bgp_attribute_sets: bgp.attribute_sets as u64,
            problems: self.problems().await?,
            pid: std::process::id(),
            bgp_refused: connections.strangers,
            bgp_refused_unprotected: connections.unprotected,
            bgp_refused_crowded: connections.crowded,
            ospf: self.ospf().await.iter().map(ospf_info).collect(),
        }))
    }

    async fn check_config(
        &self,
        req: Request<v1::CheckConfigRequest>,
    ) -> Result<Response<v1::CheckConfigResponse>, Status> {
        let content = &req.get_ref().content;
        if content.is_empty() {
            return Err(invalid("content", "is empty: give the configuration file's text"));
        }
        if content.len() > CONFIG_MOST {
            return Err(invalid("content", format_args!("is larger than {CONFIG_MOST} octets")));
        }
        // As if it stood in our file's place: that is where its relative paths begin.
        let path = self.0.node.info.config.as_deref().unwrap_or(Path::new("content"));
        let review = crate::config::review_text(path, content);
        let (found, severity) = match &review {
            Ok((_, warnings)) => (warnings, v1::Severity::Warning),
            Err(errors) => (errors, v1::Severity::Error),
        };
        let findings = found.list().iter().map(|found| finding(found, severity)).collect();
        Ok(Response::new(v1::CheckConfigResponse { valid: review.is_ok(), findings }))
    }

    async fn plan_config(&self, _: Request<v1::PlanConfigRequest>) -> Result<Response<v1::PlanConfigResponse>, Status> {
        Err(not_built("validate the file with CheckConfig, then send SIGHUP"))
    }

    async fn apply_config(
        &self,
        _: Request<v1::ApplyConfigRequest>,
    ) -> Result<Response<v1::ApplyConfigResponse>, Status> {
        Err(not_built("write the configuration file, then send SIGHUP"))
    }

    async fn confirm_config(
        &self,
        _: Request<v1::ConfirmConfigRequest>,
    ) -> Result<Response<v1::ConfirmConfigResponse>, Status> {
        Err(not_built("write the configuration file, then send SIGHUP"))
    }

    async fn rollback_config(
        &self,
        _: Request<v1::RollbackConfigRequest>,
    ) -> Result<Response<v1::RollbackConfigResponse>, Status> {
        Err(not_built("write the former configuration file, then send SIGHUP"))
    }

    async fn watch_events(
        &self,
        req: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let req = req.into_inner();
        let kind = |number: &i32| match v1::EventKind::try_from(*number) {
            Ok(kind) if kind != v1::EventKind::Unspecified => Ok(kind),
            _ => Err(invalid("kinds", format_args!("{number} is no kind of event"))),
        };
        let kinds = req.kinds.iter().map(kind).collect::<Result<Vec<_>, _>>()?;
        let boot = self.0.boot;
        let resume = feed::parse_resume_token(boot, &req.resume_token)?;
        let log = Arc::clone(&self.0.events);
        Ok(self.0.stream(move |messages| async move {
            let mut latest = log.follow();
            let mut known = resume;
            // What is held now is the snapshot, unless the client resumes.
            let mut snapshot = known.is_none().then_some(true);
            loop {
                let newest = *latest.borrow_and_update();
                let mut read = log.read(known);
                known = Some(read.through);
                read.events.retain(|event| kinds.is_empty() || kinds.contains(&event.kind()));
                let caught_up = read.through >= newest;
                if snapshot.is_some() || !read.events.is_empty() || read.lost > 0 {
                    let message = v1::WatchEventsResponse {
                        snapshot_start: snapshot == Some(true),
                        snapshot_end: snapshot.is_some() && caught_up,
                        events: read.events,
                        resume_token: feed::resume_token(boot, read.through),
                        lost: read.lost,
                    };
                    snapshot = if caught_up { None } else { snapshot.map(|_| false) };
                    if messages.send(Ok(message)).await.is_err() {
                        return Ok(());
                    }
                }
                if caught_up && latest.changed().await.is_err() {
                    return Ok(());
                }
            }
        }))
    }

    async fn list_bfd_sessions(
        &self,
        _: Request<v1::ListBfdSessionsRequest>,
    ) -> Result<Response<v1::ListBfdSessionsResponse>, Status> {
        let sessions = self.0.node.bfd.list().await.iter().map(bfd::session).collect();
        Ok(Response::new(v1::ListBfdSessionsResponse { sessions }))
    }

    async fn dump_mrt(&self, _: Request<v1::DumpMrtRequest>) -> Result<Response<Self::DumpMrtStream>, Status> {
        Err(not_built("RibService.ListRoutes walks the table"))
    }

    async fn shutdown(&self, req: Request<v1::ShutdownRequest>) -> Result<Response<v1::ShutdownResponse>, Status> {
        let reason = request::text("reason", req.into_inner().reason)?;
        tracing::info!(%reason, "shutdown asked for through the API");
        self.0.node.shutdown(if reason.is_empty() { "API".to_owned() } else { reason });
        Ok(Response::new(v1::ShutdownResponse {}))
    }
}

fn finding(error: &crate::config::Located, severity: v1::Severity) -> v1::ConfigFinding {
    let place = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    v1::ConfigFinding {
        severity: severity.into(),
        line: place(error.line),
        column: place(error.column),
        key: error.key.clone(),
        message: error.message.clone(),
    }
}

fn source_name(source: rib::Source) -> &'static str {
    match source {
        rib::Source::Connected => "connected",
        rib::Source::Static => "static",
        rib::Source::Service => "service",
        rib::Source::Api => "api",
        rib::Source::Bgp => "bgp",
        rib::Source::OspfV2 | rib::Source::OspfV3 => "ospf",
        rib::Source::Kernel => "kernel",
    }
}
