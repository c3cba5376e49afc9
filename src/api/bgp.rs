//! `BgpService`: neighbors, what they said, what they were told, and operations on their sessions.

use std::sync::Arc;

use bgpd::io::{Handle, RequestError};
use bgpd::speaker::message::{Command, NeighborKey, NeighborView, PathView, Query, Reply};
use ipnet::IpNet;
use proto::v1;
use proto::v1::bgp_service_server::BgpService;
use rib::AddressFamily;
use tonic::{Request, Response, Status};

use super::request::{self, gone, invalid};
use super::{Context, Stream, convert, feed, not_built};
use crate::daemon::handles::{NeighborRefusal, Node};

/// Longest table of a neighbor taken, octets.
const CONTENT_MOST: usize = 64 << 10;

pub(crate) struct Service(pub(crate) Arc<Context>);

/// The neighbors as watchers follow them.
pub(crate) async fn table(node: Node) -> Result<Vec<(String, v1::Neighbor)>, Status> {
    Ok(neighbors(&node, None).await?.into_iter().map(|neighbor| (neighbor.address.clone(), neighbor)).collect())
}

/// A watcher hears of states and route counts, not of every keepalive.
pub(crate) fn same(a: &v1::Neighbor, b: &v1::Neighbor) -> bool {
    let still = |neighbor: &v1::Neighbor| v1::Neighbor {
        up_for: None,
        updates_in: 0,
        updates_out: 0,
        messages_in: 0,
        messages_out: 0,
        ..neighbor.clone()
    };
    still(a) == still(b)
}

fn refused(err: &RequestError) -> Status {
    match err {
        RequestError::Stopped => Status::unavailable(err.to_string()),
        RequestError::NoSuchNeighbor(_) => Status::not_found(err.to_string()),
    }
}

fn off_topic(reply: &Reply) -> Status {
    match reply {
        Reply::NoSuchNeighbor(key) => refused(&RequestError::NoSuchNeighbor(key.clone())),
        other => Status::internal(format!("the speaker answered another question: {other:?}")),
    }
}

/// Why a neighbor was not added or deleted.
fn not_changed(refusal: &NeighborRefusal) -> Status {
    match refusal {
        NeighborRefusal::Invalid(_) => invalid("content", refusal),
        NeighborRefusal::Exists(_) => Status::already_exists(refusal.to_string()),
        NeighborRefusal::TooMany(_) => Status::resource_exhausted(refusal.to_string()),
        NeighborRefusal::Configured(_) => Status::failed_precondition(refusal.to_string()),
        NeighborRefusal::Unknown(_) => Status::not_found(refusal.to_string()),
        NeighborRefusal::Stopped(_) => Status::unavailable(refusal.to_string()),
    }
}

/// All neighbors in the order of their names, or one.
pub(crate) async fn neighbors(node: &Node, only: Option<NeighborKey>) -> Result<Vec<v1::Neighbor>, Status> {
    let added = node.neighbors.added().await.map_err(gone)?;
    match node.bgp.query(Query::Neighbors(only)).await.map_err(|err| refused(&err))? {
        Reply::Neighbors(mut views) => {
            views.sort_by(|a, b| a.key.cmp(&b.key));
            let neighbor =
                |view: &NeighborView| v1::Neighbor { added: added.contains(&view.key), ..convert::neighbor(view) };
            Ok(views.iter().map(neighbor).collect())
        }
        other => Err(off_topic(&other)),
    }
}

async fn one(node: &Node, key: NeighborKey) -> Result<v1::Neighbor, Status> {
    let found = neighbors(node, Some(key.clone())).await?.pop();
    found.ok_or_else(|| refused(&RequestError::NoSuchNeighbor(key)))
}

/// Adj-RIB-In or Adj-RIB-Out.
#[derive(Clone, Copy)]
enum Side {
    In,
    Out,
}

/// A page of what a neighbor said or was told: the paths, and the token of the next page.
async fn paths(
    bgp: &Handle,
    side: Side,
    (neighbor, family, page_size, page_token): (&str, i32, u32, &str),
) -> Result<(Vec<v1::BgpPath>, String), Status> {
    let neighbor = request::neighbor("neighbor", neighbor)?;
    let only = request::family("family", family)?;
    let size = request::page_size("page_size", page_size)?;
    let (mut family, mut after) = match adj_token(page_token)? {
        Some(at) => at,
        None => (only.unwrap_or(AddressFamily::Ipv4), None),
    };
    let mut found: Vec<PathView> = Vec::new();
    loop {
        let limit = size - found.len();
        let query = match side {
            Side::In => Query::AdjIn { neighbor: neighbor.clone(), family, after, limit },
            Side::Out => Query::AdjOut { neighbor: neighbor.clone(), family, after, limit },
        };
        let (paths, next) = match bgp.query(query).await.map_err(|err| refused(&err))? {
            Reply::Paths { paths, next } => (paths, next),
            other => return Err(off_topic(&other)),
        };
        found.extend(paths);
        // Where to go on: within the family, in the other one, or nowhere.
        let rest = match (next, family) {
            (Some(next), _) => Some((family, Some(next))),
            (None, AddressFamily::Ipv4) if only.is_none() => Some((AddressFamily::Ipv6, None)),
            (None, _) => None,
        };
        match rest {
            Some((next_family, next_after)) if found.len() < size && next_after.is_none() => {
                (family, after) = (next_family, next_after);
            }
            rest => {
                let token = rest.map(|(family, after)| write_adj_token(family, after)).unwrap_or_default();
                return Ok((found.iter().map(convert::path).collect(), token));
            }
        }
    }
}

/// Tokens of Adj-RIB pages: the family, and the prefix to go on after: `4:192.0.2.0/24`, `6:`.
fn write_adj_token(family: AddressFamily, after: Option<IpNet>) -> String {
    let family = match family {
        AddressFamily::Ipv4 => '4',
        AddressFamily::Ipv6 => '6',
    };
    format!("{family}:{}", after.map(|net| net.to_string()).unwrap_or_default())
}

fn adj_token(token: &str) -> Result<Option<(AddressFamily, Option<IpNet>)>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let wrong = || invalid("page_token", "is not a next_page_token of this method");
    let (family, after) = token.split_once(':').ok_or_else(wrong)?;
    let family = match family {
        "4" => AddressFamily::Ipv4,
        "6" => AddressFamily::Ipv6,
        _ => return Err(wrong()),
    };
    let after = match after {
        "" => None,
        net => Some(net.parse::<IpNet>().map_err(|_| wrong())?),
    };
    match after {
        Some(net) if AddressFamily::of(&net) != family => Err(wrong()),
        after => Ok(Some((family, after))),
    }
}

#[tonic::async_trait]
impl BgpService for Service {
    type WatchNeighborsStream = Stream<v1::WatchNeighborsResponse>;

    async fn list_neighbors(
        &self,
        _: Request<v1::ListNeighborsRequest>,
    ) -> Result<Response<v1::ListNeighborsResponse>, Status> {
        let neighbors = neighbors(&self.0.node, None).await?;
        Ok(Response::new(v1::ListNeighborsResponse { neighbors }))
    }

    async fn get_neighbor(
        &self,
        req: Request<v1::GetNeighborRequest>,
    ) -> Result<Response<v1::GetNeighborResponse>, Status> {
        let addr = request::neighbor("address", &req.get_ref().address)?;
        let neighbor = Some(one(&self.0.node, addr).await?);
        Ok(Response::new(v1::GetNeighborResponse { neighbor }))
    }

    async fn add_neighbor(
        &self,
        req: Request<v1::AddNeighborRequest>,
    ) -> Result<Response<v1::AddNeighborResponse>, Status> {
        let content = req.into_inner().content;
        if content.trim().is_empty() {
            return Err(invalid("content", "is empty: give a [[neighbor]] table as TOML"));
        }
        if content.len() > CONTENT_MOST {
            return Err(invalid("content", format_args!("is larger than {CONTENT_MOST} octets")));
        }
        let added = self.0.node.neighbors.add(content).await.map_err(gone)?;
        let key = added.map_err(|refusal| not_changed(&refusal))?;
        self.0.neighbors.nudge();
        let neighbor = Some(one(&self.0.node, key).await?);
        Ok(Response::new(v1::AddNeighborResponse { neighbor }))
    }

    async fn delete_neighbor(
        &self,
        req: Request<v1::DeleteNeighborRequest>,
    ) -> Result<Response<v1::DeleteNeighborResponse>, Status> {
        let key = request::neighbor("address", &req.get_ref().address)?;
        let neighbor = Some(one(&self.0.node, key.clone()).await?);
        let deleted = self.0.node.neighbors.delete(key).await.map_err(gone)?;
        deleted.map_err(|refusal| not_changed(&refusal))?;
        self.0.neighbors.nudge();
        Ok(Response::new(v1::DeleteNeighborResponse { neighbor }))
    }

    async fn set_neighbor_enabled(
        &self,
        req: Request<v1::SetNeighborEnabledRequest>,
    ) -> Result<Response<v1::SetNeighborEnabledResponse>, Status> {
        let req = req.into_inner();
        let neighbor = request::neighbor("address", &req.address)?;
        let message = request::text("message", req.message)?;
        if req.enabled && !message.is_empty() {
            return Err(invalid("message", "is sent with a shutdown only: leave it empty to enable a neighbor"));
        }
        let bgp = &self.0.node.bgp;
        let command = Command::SetEnabled { neighbor: neighbor.clone(), enabled: req.enabled, message };
        bgp.command(command).await.map_err(|err| refused(&err))?;
        self.0.neighbors.nudge();
        let neighbor = Some(one(&self.0.node, neighbor).await?);
        Ok(Response::new(v1::SetNeighborEnabledResponse { neighbor }))
    }

    async fn reset_neighbor(
        &self,
        req: Request<v1::ResetNeighborRequest>,
    ) -> Result<Response<v1::ResetNeighborResponse>, Status> {
        let req = req.into_inner();
        let neighbor = request::neighbor("address", &req.address)?;
        let command = match v1::ResetKind::try_from(req.kind) {
            Ok(v1::ResetKind::Unspecified | v1::ResetKind::Hard) => Command::Reset { neighbor: neighbor.clone() },
            Ok(v1::ResetKind::SoftIn) => Command::SoftIn { neighbor: neighbor.clone() },
            Ok(v1::ResetKind::SoftOut) => Command::SoftOut { neighbor: neighbor.clone() },
            Err(_) => return Err(invalid("kind", format_args!("{} is no kind of reset", req.kind))),
        };
        let bgp = &self.0.node.bgp;
        let before = one(&self.0.node, neighbor).await?;
        bgp.command(command).await.map_err(|err| refused(&err))?;
        self.0.neighbors.nudge();
        Ok(Response::new(v1::ResetNeighborResponse { neighbor: Some(before) }))
    }

    async fn drain_neighbor(
        &self,
        req: Request<v1::DrainNeighborRequest>,
    ) -> Result<Response<v1::DrainNeighborResponse>, Status> {
        let neighbor = request::neighbor("address", &req.get_ref().address)?;
        let command = Command::Drain { neighbor: neighbor.clone() };
        self.0.node.bgp.command(command).await.map_err(|err| refused(&err))?;
        self.0.neighbors.nudge();
        let neighbor = Some(one(&self.0.node, neighbor).await?);
        Ok(Response::new(v1::DrainNeighborResponse { neighbor }))
    }

    async fn list_adj_in(&self, req: Request<v1::ListAdjInRequest>) -> Result<Response<v1::ListAdjInResponse>, Status> {
        let req = req.get_ref();
        let wish = (req.neighbor.as_str(), req.family, req.page_size, req.page_token.as_str());
        let (paths, next_page_token) = paths(&self.0.node.bgp, Side::In, wish).await?;
        Ok(Response::new(v1::ListAdjInResponse { paths, next_page_token }))
    }

    async fn list_adj_out(
        &self,
        req: Request<v1::ListAdjOutRequest>,
    ) -> Result<Response<v1::ListAdjOutResponse>, Status> {
        let req = req.get_ref();
        let wish = (req.neighbor.as_str(), req.family, req.page_size, req.page_token.as_str());
        let (paths, next_page_token) = paths(&self.0.node.bgp, Side::Out, wish).await?;
        Ok(Response::new(v1::ListAdjOutResponse { paths, next_page_token }))
    }

    #[allow(clippy::disallowed_methods, reason = "carrier: people want the wall-clock time of a message")]
    async fn get_message_history(
        &self,
        req: Request<v1::GetMessageHistoryRequest>,
    ) -> Result<Response<v1::GetMessageHistoryResponse>, Status> {
        let neighbor = request::neighbor("neighbor", &req.get_ref().neighbor)?;
        let entries = match self.0.node.bgp.query(Query::History(neighbor)).await.map_err(|err| refused(&err))? {
            Reply::History(entries) => entries,
            other => return Err(off_topic(&other)),
        };
        let now = std::time::SystemTime::now();
        let messages = entries.iter().map(|entry| convert::message(entry, now)).collect();
        Ok(Response::new(v1::GetMessageHistoryResponse { messages }))
    }

    async fn get_rpki(&self, _: Request<v1::GetRpkiRequest>) -> Result<Response<v1::GetRpkiResponse>, Status> {
        Err(not_built("this version does not ask RPKI caches"))
    }

    async fn watch_neighbors(
        &self,
        req: Request<v1::WatchNeighborsRequest>,
    ) -> Result<Response<Self::WatchNeighborsStream>, Status> {
        let req = req.into_inner();
        let resume = feed::parse_resume_token(self.0.boot, &req.resume_token)?;
        let only = match req.address {
            None => None,
            Some(text) => Some(one(&self.0.node, request::neighbor("address", &text)?).await?.address),
        };
        Ok(self.0.follow(&self.0.neighbors, resume, only, |delta, resume_token| v1::WatchNeighborsResponse {
            snapshot_start: delta.snapshot,
            snapshot_end: delta.snapshot,
            updated: delta.updated.into_iter().map(|(_, neighbor)| neighbor).collect(),
            removed: delta.removed,
            resume_token,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adj_tokens_come_back_as_they_were_given_and_nothing_else_passes() {
        for (family, after) in [
            (AddressFamily::Ipv4, Some("192.0.2.0/24")),
            (AddressFamily::Ipv6, Some("2001:db8::/32")),
            (AddressFamily::Ipv6, None),
        ] {
            let after = after.map(|net| net.parse().unwrap());
            assert_eq!(adj_token(&write_adj_token(family, after)).unwrap(), Some((family, after)));
        }
        assert_eq!(adj_token("").unwrap(), None);
        for wrong in ["x", "5:192.0.2.0/24", "6:192.0.2.0/24", "4:2001:db8::/32", "4:hello", ":"] {
            let status = adj_token(wrong).unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{wrong}");
            assert!(status.message().starts_with("page_token:"), "{wrong}");
        }
    }
}
