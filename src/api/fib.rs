//! `FibService`: what the data planes hold, and making it what they should hold.

use std::sync::Arc;

use proto::v1;
use proto::v1::fib_service_server::FibService;
use tonic::{Request, Response, Status};

use super::Context;
use super::convert::{self, Names};
use super::request::{self, gone, invalid};
use crate::daemon::handles::FibHandle;

/// Most differences in one answer.
const DIFFERENCES_MOST: usize = 10_000;
/// Most entries looked at for one page, so that a filter that matches little cannot hold the data plane.
const WALK_MOST: usize = 65_536;

pub(crate) struct Service(pub(crate) Arc<Context>);

impl Service {
    fn backend(&self, name: &str) -> Result<&FibHandle, Status> {
        let name = request::name("backend", name)?;
        let fibs = &self.0.node.fibs;
        fibs.iter().find(|fib| fib.name == name).ok_or_else(|| {
            let names = fibs.iter().map(|fib| fib.name).collect::<Vec<_>>().join(", ");
            let known =
                if names.is_empty() { "this node has none".to_owned() } else { format!("this node has {names}") };
            Status::not_found(format!("there is no data plane {name:?}; {known}"))
        })
    }
}

#[tonic::async_trait]
impl FibService for Service {
    async fn get_fib(&self, _: Request<v1::GetFibRequest>) -> Result<Response<v1::GetFibResponse>, Status> {
        let mut backends = Vec::new();
        for fib in &self.0.node.fibs {
            backends.push(convert::fib_backend(fib.name, &fib.stats().await.map_err(gone)?));
        }
        Ok(Response::new(v1::GetFibResponse { backends }))
    }

    async fn list_entries(
        &self,
        req: Request<v1::ListEntriesRequest>,
    ) -> Result<Response<v1::ListEntriesResponse>, Status> {
        let req = req.into_inner();
        let fib = self.backend(&req.backend)?;
        let within = request::optional_prefix("prefix", req.prefix.as_deref())?;
        let state = match v1::FibState::try_from(req.state) {
            Ok(v1::FibState::Unspecified) => None,
            Ok(state) => Some(state),
            Err(_) => return Err(invalid("state", format_args!("{} is no state", req.state))),
        };
        let size = request::page_size("page_size", req.page_size)?;
        // What lies within a prefix stands together in prefix order, beginning with the prefix itself.
        let mut from = request::page_token("page_token", &req.page_token)?.or(within);
        let mut names = Names::new(&self.0.node.info);
        let mut entries = Vec::new();
        let mut seen = 0;
        let next = loop {
            let page = fib.entries(from, size - entries.len()).await.map_err(gone)?;
            seen += page.entries.len();
            for entry in &page.entries {
                let inside = within.is_none_or(|within| within.contains(&entry.prefix));
                if inside && state.is_none_or(|state| convert::fib_entry_state(entry) == state) {
                    entries.push(names.fib_entry(entry));
                }
            }
            let passed = |next: &ipnet::IpNet| within.is_some_and(|within| !within.contains(next));
            match page.next.filter(|next| !passed(next)) {
                Some(next) if entries.len() < size && seen < WALK_MOST => from = Some(next),
                next => break next,
            }
        };
        let next_page_token = next.map(|next| next.to_string()).unwrap_or_default();
        Ok(Response::new(v1::ListEntriesResponse { entries, next_page_token }))
    }

    async fn diff_fib(&self, req: Request<v1::DiffFibRequest>) -> Result<Response<v1::DiffFibResponse>, Status> {
        let fib = self.backend(&req.get_ref().backend)?;
        let differences = fib
            .diff()
            .await
            .map_err(|why| Status::unavailable(format!("the data plane {} could not be read: {why}", fib.name)))?;
        let mut names = Names::new(&self.0.node.info);
        Ok(Response::new(v1::DiffFibResponse {
            backend: fib.name.to_owned(),
            total: differences.len() as u64,
            differences: differences.iter().take(DIFFERENCES_MOST).map(|one| names.fib_difference(one)).collect(),
        }))
    }

    async fn resync_fib(&self, req: Request<v1::ResyncFibRequest>) -> Result<Response<v1::ResyncFibResponse>, Status> {
        let fib = self.backend(&req.get_ref().backend)?;
        fib.resync().await.map_err(gone)?;
        let backend = convert::fib_backend(fib.name, &fib.stats().await.map_err(gone)?);
        Ok(Response::new(v1::ResyncFibResponse { backend: Some(backend) }))
    }
}
