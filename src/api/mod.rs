//! The gRPC API: package `anyhop.v1` on every `[api] listen`, with health and reflection beside it.
//!
//! A file per service. A service asks the owners of tables through the handles of a [`Node`] and holds no state of its
//! own but what watchers need: [`feed`] and [`events`]. Requests are checked in [`request`], answers made in [`convert`];
//! API types go no further.

mod anycast;
mod bfd;
mod bgp;
mod convert;
mod events;
mod feed;
mod fib;
mod listen;
mod lsdb;
mod node;
mod ospf;
mod policy;
mod registration;
mod request;
mod retention;
mod rib;
mod server;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;

use futures::FutureExt as _;
use proto::v1;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

pub use self::listen::{ApiAddress, ListenError, Listeners};
pub use self::server::serve;
use crate::daemon::handles::Node;

/// Messages of a watch on their way to a client. Full: the watch waits and folds what happens meanwhile.
const STREAM_MESSAGES: usize = 8;

/// What the services share.
pub(crate) struct Context {
    /// The node they speak for.
    node: Node,
    /// Tells this run of the daemon from others in resume tokens.
    boot: u64,
    /// What happened lately.
    events: Arc<events::EventLog>,
    /// The neighbors, as watchers follow them.
    neighbors: Arc<feed::Watched<v1::Neighbor>>,
    /// The services, as watchers follow them.
    services: Arc<feed::Watched<v1::Service>>,
    /// Changes of the link-state databases, for watchers; one for each version that is spoken.
    databases: Vec<Arc<lsdb::Journal>>,
    /// What keeps changes of routes for watchers that resume.
    retention: Arc<retention::Retention>,
    /// True once the API is to end.
    stopping: watch::Receiver<bool>,
}

/// The answer to a watch.
pub(crate) type Stream<T> = ReceiverStream<Result<T, Status>>;

impl Context {
    fn new(node: Node, stopping: watch::Receiver<bool>) -> Arc<Self> {
        let boot = node.info.started.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let boot = u64::try_from(boot.as_micros()).unwrap_or_default();
        let neighbors = {
            let node = node.clone();
            feed::Watched::new(bgp::same, Arc::new(move || bgp::table(node.clone()).boxed()))
        };
        let services = {
            let anycast = node.anycast.clone();
            feed::Watched::new(anycast::same, Arc::new(move || anycast::table(anycast.clone()).boxed()))
        };
        let databases = node.ospf.instances().iter().cloned().map(lsdb::Journal::new).collect();
        Arc::new(Self {
            node,
            boot,
            events: Arc::default(),
            neighbors,
            services,
            databases,
            retention: Arc::default(),
            stopping,
        })
    }

    /// Runs `body` for one watcher, until it ends, the client leaves or the API ends.
    fn stream<T, F>(&self, body: impl FnOnce(mpsc::Sender<Result<T, Status>>) -> F) -> Response<Stream<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let (messages, stream) = mpsc::channel(STREAM_MESSAGES);
        let body = body(messages.clone());
        let mut stopping = self.stopping.clone();
        tokio::spawn(async move {
            let outcome = tokio::select! {
                () = messages.closed() => Ok(()),
                _ = stopping.wait_for(|stopping| *stopping) => Err(Status::unavailable("the node is shutting down")),
                outcome = body => outcome,
            };
            if let Err(status) = outcome {
                let _ = messages.send(Err(status)).await;
            }
        });
        Response::new(ReceiverStream::new(stream))
    }

    /// Follows a small table for one watcher. `only` selects one row; `message` says what it is told.
    fn follow<V, T>(
        &self,
        watched: &Arc<feed::Watched<V>>,
        resume: Option<u64>,
        only: Option<String>,
        message: fn(feed::Delta<V>, String) -> T,
    ) -> Response<Stream<T>>
    where
        V: Clone + Send + 'static,
        T: Send + 'static,
    {
        let (watched, boot) = (Arc::clone(watched), self.boot);
        self.stream(move |messages| async move {
            let mut news = watched.follow();
            watched.refresh().await?;
            let mut known = resume;
            let mut first = true;
            loop {
                news.borrow_and_update();
                let mut delta = watched.since(known);
                if let Some(only) = &only {
                    delta.updated.retain(|(key, _)| key == only);
                    delta.removed.retain(|key| key == only);
                }
                known = Some(delta.version);
                // The first message is sent even if it is empty: it says that the watch stands.
                if first || delta.snapshot || !delta.updated.is_empty() || !delta.removed.is_empty() {
                    first = false;
                    let token = feed::resume_token(boot, delta.version);
                    if messages.send(Ok(message(delta, token))).await.is_err() {
                        return Ok(());
                    }
                }
                if news.changed().await.is_err() {
                    return Ok(());
                }
            }
        })
    }
}

/// The answer of every method that is not built yet.
fn not_built(what: &str) -> Status {
    Status::unimplemented(format!("not built yet: {what}"))
}
