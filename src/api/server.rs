//! The server: every service on every listener, with `grpc.health.v1` and reflection (v1 and v1alpha).

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use proto::v1;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};

use super::listen::{Listener, Listeners};
use super::{Context, anycast, bgp, events, fib, node, ospf, policy, rib};
use crate::daemon::handles::Node;

/// Requests of one connection carried out at a time. More wait in HTTP/2.
const REQUESTS_PER_CONNECTION: usize = 256;
/// How often a silent client is asked whether it is still there, so that its watches do not live for ever.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long requests under way may take to end once the API is to end.
const GRACE: Duration = Duration::from_secs(1);

/// Serves `node` on `listeners` until `stop` completes; watches are then ended, requests given a second, and Unix
/// socket files removed.
///
/// # Errors
/// When a listener cannot be served.
pub async fn serve(listeners: Listeners, node: Node, stop: impl Future<Output = ()>) -> io::Result<()> {
    let (stopping_tx, stopping) = watch::channel(false);
    let context = Context::new(node, stopping.clone());
    let (health, routes) = routes(&context).map_err(io::Error::other)?;
    set_health(&health, ServingStatus::Serving).await;

    let mut background = JoinSet::new();
    background.spawn(events::record(Arc::clone(&context)));
    background.spawn(Arc::clone(&context.neighbors).run());
    background.spawn(Arc::clone(&context.services).run());
    background.spawn(Arc::clone(&context.retention).run());

    let mut servers = JoinSet::new();
    let mut files = Vec::new();
    for listener in listeners.bound {
        let server = Server::builder()
            .concurrency_limit_per_connection(REQUESTS_PER_CONNECTION)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .add_routes(routes.clone());
        let mut stopping = stopping.clone();
        let stopped = async move {
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        match listener {
            Listener::Unix { socket, file } => {
                files.push(file);
                let incoming = UnixListenerStream::new(UnixListener::from_std(socket)?);
                servers.spawn(server.serve_with_incoming_shutdown(resilient(incoming), stopped));
            }
            Listener::Tcp(socket) => {
                let incoming = TcpListenerStream::new(TcpListener::from_std(socket)?);
                // Small messages of watches are not held back for more.
                let incoming = incoming.inspect_ok(|stream| drop(stream.set_nodelay(true)));
                servers.spawn(server.serve_with_incoming_shutdown(resilient(incoming), stopped));
            }
        }
    }

    tokio::pin!(stop);
    let outcome = loop {
        tokio::select! {
            () = &mut stop => break Ok(()),
            Some(ended) = servers.join_next() => match ended {
                Ok(Ok(())) => {}
                Ok(Err(err)) => break Err(io::Error::other(err)),
                Err(err) => break Err(io::Error::other(err)),
            },
        }
    };
    set_health(&health, ServingStatus::NotServing).await;
    stopping_tx.send_replace(true);
    let drained = tokio::time::timeout(GRACE, async { while servers.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::debug!("API connections were still open and have been closed");
    }
    drop(files);
    outcome
}

/// Goes on accepting after an error of a single connection, or while the process is out of file descriptors.
fn resilient<S, T>(incoming: S) -> impl futures::Stream<Item = io::Result<T>>
where
    S: futures::Stream<Item = io::Result<T>>,
{
    incoming.filter_map(|accepted| async {
        match accepted {
            Ok(stream) => Some(Ok(stream)),
            Err(err) => {
                tracing::warn!(error = %err, "an API connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    })
}

/// The names that a health checker can ask for; empty is the server as a whole.
const HEALTH_OF: [&str; 8] = [
    "",
    v1::node_service_server::SERVICE_NAME,
    v1::bgp_service_server::SERVICE_NAME,
    v1::rib_service_server::SERVICE_NAME,
    v1::fib_service_server::SERVICE_NAME,
    v1::anycast_service_server::SERVICE_NAME,
    v1::ospf_service_server::SERVICE_NAME,
    v1::policy_service_server::SERVICE_NAME,
];

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for name in HEALTH_OF {
        health.set_service_status(name, status).await;
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Every service, with a status for health checkers.
fn routes(context: &Arc<Context>) -> Result<(HealthReporter, Routes), Error> {
    let health = HealthReporter::new();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let health_service =
        tonic_health::pb::health_server::HealthServer::new(HealthService::from_health_reporter(health.clone()));
    let routes = Routes::new(v1::node_service_server::NodeServiceServer::new(node::Service(Arc::clone(context))))
        .add_service(v1::bgp_service_server::BgpServiceServer::new(bgp::Service(Arc::clone(context))))
        .add_service(v1::rib_service_server::RibServiceServer::new(rib::Service(Arc::clone(context))))
        .add_service(v1::fib_service_server::FibServiceServer::new(fib::Service(Arc::clone(context))))
        .add_service(v1::anycast_service_server::AnycastServiceServer::new(anycast::Service(Arc::clone(context))))
        .add_service(v1::ospf_service_server::OspfServiceServer::new(ospf::Service(Arc::clone(context))))
        .add_service(v1::policy_service_server::PolicyServiceServer::new(policy::Service))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .prepare();
    Ok((health, routes))
}
