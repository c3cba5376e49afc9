//! `AnycastService`: services, and operators' wishes for them.

use std::sync::Arc;

use bgpd::policy::Community;
use proto::v1;
use proto::v1::anycast_service_server::AnycastService;
use tonic::{Request, Response, Status, Streaming};

use super::convert::{self, Clock};
use super::request::{self, invalid};
use super::{Context, Stream, feed, not_built, registration};
use crate::anycast::{
    AnycastHandle, BindView, CheckView, HistoryEntry, Operation, OperatorError, ServiceOrigin, ServiceState,
    ServiceView, Via, VipView,
};
use crate::health::{CheckSpec, HealthState};

/// Entries on a page of history when the client does not say, and at most.
const HISTORY_DEFAULT: usize = 100;
const HISTORY_MOST: u32 = 1000;

pub(crate) struct Service(pub(crate) Arc<Context>);

/// The services as watchers follow them.
pub(crate) async fn table(anycast: AnycastHandle) -> Result<Vec<(String, v1::Service)>, Status> {
    let clock = Clock::now();
    Ok(anycast.services().await.iter().map(|view| (view.spec.name.to_string(), service(view, clock))).collect())
}

/// A watcher hears of states and of checks that rise and fall, not of every run.
pub(crate) fn same(a: &v1::Service, b: &v1::Service) -> bool {
    let still = |service: &v1::Service| {
        let mut service = service.clone();
        // Times on the wall clock are computed anew each time and differ by nanoseconds.
        service.since = None;
        for check in &mut service.checks {
            *check = v1::Check { since: None, last_run: None, last_detail: String::new(), runs: 0, ..check.clone() };
        }
        service
    };
    still(a) == still(b)
}

fn refused(err: &OperatorError) -> Status {
    let text = err.to_string();
    match err {
        OperatorError::NoSuchService(_) => Status::not_found(text),
        OperatorError::Refused { .. } => Status::failed_precondition(text),
        OperatorError::Invalid(_) => invalid("content", text),
        OperatorError::Configured(_) | OperatorError::VipTaken { .. } => Status::already_exists(text),
        OperatorError::Stopping => Status::unavailable(text),
    }
}

impl Service {
    async fn operate(&self, name: &str, operation: Operation) -> Result<Option<v1::Service>, Status> {
        let name = request::name("name", name)?;
        let view = self.0.node.anycast.operate(name, operation).await.map_err(|err| refused(&err))?;
        self.0.services.nudge();
        Ok(Some(service(&view, Clock::now())))
    }

    async fn one(&self, name: &str) -> Result<v1::Service, Status> {
        let name = request::name("name", name)?;
        let view = self.0.node.anycast.service(name).await;
        let view = view.ok_or_else(|| refused(&OperatorError::NoSuchService(name.to_owned())))?;
        Ok(service(&view, Clock::now()))
    }
}

/// The reason of an operation; forcing one without a reason leaves nothing to read afterwards.
fn reason(force: bool, reason: String) -> Result<String, Status> {
    if force && reason.is_empty() {
        return Err(invalid("reason", "is empty: force needs a reason, for the history"));
    }
    request::text("reason", reason)
}

#[tonic::async_trait]
impl AnycastService for Service {
    type ReportHealthStream = Stream<v1::ReportHealthResponse>;
    type WatchServicesStream = Stream<v1::WatchServicesResponse>;

    async fn list_services(
        &self,
        _: Request<v1::ListServicesRequest>,
    ) -> Result<Response<v1::ListServicesResponse>, Status> {
        let services = table(self.0.node.anycast.clone()).await?.into_iter().map(|(_, service)| service).collect();
        Ok(Response::new(v1::ListServicesResponse { services }))
    }

    async fn get_service(
        &self,
        req: Request<v1::GetServiceRequest>,
    ) -> Result<Response<v1::GetServiceResponse>, Status> {
        let service = Some(self.one(&req.get_ref().name).await?);
        Ok(Response::new(v1::GetServiceResponse { service }))
    }

    async fn register_service(
        &self,
        req: Request<v1::RegisterServiceRequest>,
    ) -> Result<Response<v1::RegisterServiceResponse>, Status> {
        let spec = registration::parse(&req.get_ref().content)?;
        let view = self.0.node.anycast.register(spec).await.map_err(|err| refused(&err))?;
        self.0.services.nudge();
        Ok(Response::new(v1::RegisterServiceResponse { service: Some(service(&view, Clock::now())) }))
    }

    async fn delete_service(
        &self,
        req: Request<v1::DeleteServiceRequest>,
    ) -> Result<Response<v1::DeleteServiceResponse>, Status> {
        let name = &req.get_ref().name;
        let before = self.one(name).await?;
        self.0.node.anycast.delete(name).await.map_err(|err| refused(&err))?;
        self.0.services.nudge();
        Ok(Response::new(v1::DeleteServiceResponse { service: Some(before) }))
    }

    async fn announce(&self, req: Request<v1::AnnounceRequest>) -> Result<Response<v1::AnnounceResponse>, Status> {
        let service = self.operate(&req.get_ref().name, Operation::Announce).await?;
        Ok(Response::new(v1::AnnounceResponse { service }))
    }

    async fn withdraw(&self, req: Request<v1::WithdrawRequest>) -> Result<Response<v1::WithdrawResponse>, Status> {
        let v1::WithdrawRequest { name, force, reason: why } = req.into_inner();
        let operation = Operation::Withdraw { reason: reason(force, why)?, force };
        let service = self.operate(&name, operation).await?;
        Ok(Response::new(v1::WithdrawResponse { service }))
    }

    async fn drain(&self, req: Request<v1::DrainRequest>) -> Result<Response<v1::DrainResponse>, Status> {
        let v1::DrainRequest { name, force, reason: why, gshut } = req.into_inner();
        let gshut = gshut.map(|gshut| request::duration("gshut", gshut)).transpose()?;
        let operation = Operation::Drain { reason: reason(force, why)?, force, gshut };
        let service = self.operate(&name, operation).await?;
        Ok(Response::new(v1::DrainResponse { service }))
    }

    async fn undrain(&self, req: Request<v1::UndrainRequest>) -> Result<Response<v1::UndrainResponse>, Status> {
        let service = self.operate(&req.get_ref().name, Operation::Undrain).await?;
        Ok(Response::new(v1::UndrainResponse { service }))
    }

    async fn set_maintenance(
        &self,
        _: Request<v1::SetMaintenanceRequest>,
    ) -> Result<Response<v1::SetMaintenanceResponse>, Status> {
        Err(not_built("Drain takes a service out of use until Undrain"))
    }

    async fn report_health(
        &self,
        _: Request<Streaming<v1::ReportHealthRequest>>,
    ) -> Result<Response<Self::ReportHealthStream>, Status> {
        Err(not_built("checks are of type dns, http, tcp or exec"))
    }

    async fn watch_services(
        &self,
        req: Request<v1::WatchServicesRequest>,
    ) -> Result<Response<Self::WatchServicesStream>, Status> {
        let req = req.into_inner();
        let resume = feed::parse_resume_token(self.0.boot, &req.resume_token)?;
        let only = match req.name {
            None => None,
            Some(name) => Some(self.one(&name).await?.name),
        };
        Ok(self.0.follow(&self.0.services, resume, only, |delta, resume_token| v1::WatchServicesResponse {
            snapshot_start: delta.snapshot,
            snapshot_end: delta.snapshot,
            updated: delta.updated.into_iter().map(|(_, service)| service).collect(),
            removed: delta.removed,
            resume_token,
        }))
    }

    async fn get_history(
        &self,
        req: Request<v1::GetHistoryRequest>,
    ) -> Result<Response<v1::GetHistoryResponse>, Status> {
        let req = req.get_ref();
        let name = self.one(&req.name).await?.name;
        let size = match req.page_size {
            0 => HISTORY_DEFAULT,
            size @ 1..=HISTORY_MOST => size as usize,
            size => {
                let what = format_args!("{size} is too large, at most {HISTORY_MOST} is allowed");
                return Err(invalid("page_size", what));
            }
        };
        let after = match req.page_token.as_str() {
            "" => 0,
            token => {
                token.parse::<u64>().map_err(|_| invalid("page_token", "is not a next_page_token of this method"))?
            }
        };
        // The controller answers with the latest entries; a page takes the oldest of those not read yet.
        let held = self.0.node.anycast.history(Some(&name), after, usize::MAX).await;
        let next = (held.len() > size).then(|| held.get(size - 1)).flatten();
        let next_page_token = next.map(|entry| entry.sequence.to_string()).unwrap_or_default();
        let clock = Clock::now();
        let entries = held.iter().take(size).map(|entry| history(entry, clock)).collect();
        Ok(Response::new(v1::GetHistoryResponse { entries, next_page_token }))
    }
}

fn state(state: ServiceState) -> v1::ServiceState {
    match state {
        ServiceState::Waiting => v1::ServiceState::Waiting,
        ServiceState::Announced => v1::ServiceState::Announced,
        ServiceState::Partial => v1::ServiceState::Partial,
        ServiceState::Withdrawn => v1::ServiceState::Withdrawn,
        ServiceState::Held => v1::ServiceState::Held,
        ServiceState::Draining => v1::ServiceState::Draining,
        ServiceState::Drained => v1::ServiceState::Drained,
        ServiceState::Disabled => v1::ServiceState::Disabled,
    }
}

fn service(view: &ServiceView, clock: Clock) -> v1::Service {
    let spec = &view.spec;
    let via = |via: &Via| match via {
        Via::Bgp => "bgp".to_owned(),
        Via::Ospf => "ospf".to_owned(),
    };
    let communities = (spec.communities.iter().map(|value| convert::standard_community(*value)))
        .chain(spec.large_communities.iter().map(|value| Community::Large(*value).to_string()))
        .chain(spec.extended_communities.iter().map(|value| Community::Extended(*value).to_string()));
    v1::Service {
        name: spec.name.to_string(),
        state: state(view.state).into(),
        reason: view.reason.clone(),
        since: Some(clock.timestamp(view.since)),
        health: if view.healthy { v1::Health::Up } else { v1::Health::Down }.into(),
        vips: view.vips.iter().map(vip).collect(),
        checks: view.checks.iter().zip(&spec.checks).map(|(view, spec)| check(view, spec, clock)).collect(),
        via: spec.via.iter().map(via).collect(),
        bind: spec.bind.clone().unwrap_or_default(),
        communities: communities.collect(),
        registered: spec.origin == ServiceOrigin::Api,
    }
}

fn vip(view: &VipView) -> v1::Vip {
    let (bind, bind_error) = match &view.bind {
        BindView::NotAsked => (v1::BindState::Unspecified, String::new()),
        BindView::Unbound => (v1::BindState::Unbound, String::new()),
        BindView::Binding => (v1::BindState::Binding, String::new()),
        BindView::Bound { ours: true } => (v1::BindState::Bound, String::new()),
        BindView::Bound { ours: false } => (v1::BindState::Found, String::new()),
        BindView::Failed(why) => (v1::BindState::Failed, why.clone()),
    };
    v1::Vip {
        prefix: view.prefix.to_string(),
        announced: view.announced,
        bind: bind.into(),
        bind_error,
        local: view.local,
        installed: view.installed,
        blocked: view.blocked.clone().unwrap_or_default(),
    }
}

fn check(view: &CheckView, spec: &CheckSpec, clock: Clock) -> v1::Check {
    let health = match (view.id, view.state) {
        (None, _) => v1::Health::Unspecified,
        (Some(_), HealthState::Up) => v1::Health::Up,
        (Some(_), HealthState::Down) => v1::Health::Down,
    };
    v1::Check {
        r#type: view.kind.to_owned(),
        what: view.what.clone(),
        health: health.into(),
        progress: view.progress.0,
        needed: view.progress.1,
        interval: Some(convert::duration(spec.interval)),
        timeout: Some(convert::duration(spec.timeout)),
        since: view.since.map(|at| clock.timestamp(at)),
        last_run: view.last.as_ref().map(|(_, _, at)| clock.timestamp(*at)),
        last_passed: view.last.as_ref().is_some_and(|(passed, _, _)| *passed),
        last_detail: view.last.as_ref().map(|(_, detail, _)| detail.clone()).unwrap_or_default(),
        runs: view.runs,
        failures: view.failures,
    }
}

fn history(entry: &HistoryEntry, clock: Clock) -> v1::HistoryEntry {
    v1::HistoryEntry {
        time: Some(clock.timestamp(entry.at)),
        state: state(entry.state).into(),
        message: entry.what.clone(),
        vip: entry.vip.map(|vip| vip.to_string()).unwrap_or_default(),
        sequence: entry.sequence,
    }
}
