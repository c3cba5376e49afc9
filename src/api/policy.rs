//! `PolicyService`: not built yet. Every method says so.

use proto::v1::policy_service_server::PolicyService;
use proto::v1::{
    ListPoliciesRequest, ListPoliciesResponse, PreviewPolicyRequest, PreviewPolicyResponse, TestPolicyRequest,
    TestPolicyResponse,
};
use tonic::{Request, Response, Status};

use super::not_built;

pub(crate) struct Service;

#[tonic::async_trait]
impl PolicyService for Service {
    async fn list_policies(&self, _: Request<ListPoliciesRequest>) -> Result<Response<ListPoliciesResponse>, Status> {
        Err(not_built("policies stand in the configuration file"))
    }

    async fn test_policy(&self, _: Request<TestPolicyRequest>) -> Result<Response<TestPolicyResponse>, Status> {
        Err(not_built("RibService.Explain says what the policies in force do to a prefix"))
    }

    async fn preview_policy(
        &self,
        _: Request<PreviewPolicyRequest>,
    ) -> Result<Response<PreviewPolicyResponse>, Status> {
        Err(not_built("RibService.Explain says what the policies in force do to a prefix"))
    }
}
