//! `OspfService`: not built yet. Every method says so.

use proto::v1::ospf_service_server::OspfService;
use proto::v1::{
    GetSpfRequest, GetSpfResponse, ListAdjacenciesRequest, ListAdjacenciesResponse, ListInterfacesRequest,
    ListInterfacesResponse, ListLsdbRequest, ListLsdbResponse, WatchLsdbRequest, WatchLsdbResponse,
};
use tonic::{Request, Response, Status};

use super::{Stream, not_built};

pub(crate) struct Service;

fn ospf<T>() -> Result<T, Status> {
    Err(not_built("this version does not speak OSPF"))
}

#[tonic::async_trait]
impl OspfService for Service {
    type WatchLsdbStream = Stream<WatchLsdbResponse>;

    async fn list_interfaces(
        &self,
        _: Request<ListInterfacesRequest>,
    ) -> Result<Response<ListInterfacesResponse>, Status> {
        ospf()
    }

    async fn list_adjacencies(
        &self,
        _: Request<ListAdjacenciesRequest>,
    ) -> Result<Response<ListAdjacenciesResponse>, Status> {
        ospf()
    }

    async fn list_lsdb(&self, _: Request<ListLsdbRequest>) -> Result<Response<ListLsdbResponse>, Status> {
        ospf()
    }

    async fn get_spf(&self, _: Request<GetSpfRequest>) -> Result<Response<GetSpfResponse>, Status> {
        ospf()
    }

    async fn watch_lsdb(&self, _: Request<WatchLsdbRequest>) -> Result<Response<Self::WatchLsdbStream>, Status> {
        ospf()
    }
}
