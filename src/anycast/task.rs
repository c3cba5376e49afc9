//! The carrier of the anycast controller: a task that owns it, the health scheduler and the host's addresses.
//!
//! Requests come through a bounded channel. Addresses and acknowledgements come from threads that must not wait for us (the
//! RIB also waits for what we send it), so they are folded into a mailbox that keeps the last word per key.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bgpd::speaker::message::LocalBatch;
use fib_sync::host::AddressControl;
use futures::future::BoxFuture;
use ipnet::IpNet;
use ospfd::message::ServiceRoute;
use rib::{BackendId, FibFault};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};

use super::controller::{Controller, Input, Outbox, Output, Ticket};
use super::service::{Operation, OperatorError, ServiceSpec};
use super::view::{HistoryEntry, ServiceView};
use crate::health::{Scheduler, Verdict};

/// Requests that may wait; beyond that, whoever asks waits.
const REQUESTS: usize = 64;
/// Verdicts that may wait; beyond that, checks wait and so ask less often.
const VERDICTS: usize = 1024;
/// Events a watcher may be behind before it misses some and must resume from the history.
const EVENTS: usize = 256;

/// Takes announcements and withdrawals for OSPF.
pub type OspfSink = Box<dyn FnMut(Vec<(IpNet, Option<ServiceRoute>)>) + Send>;

/// What the daemon lends to the task.
pub struct Carriers {
    /// Puts VIPs on interfaces.
    pub addresses: Box<dyn AddressControl>,
    /// Hands routes and requests to the RIB.
    pub rib: Box<dyn FnMut(rib::message::Input) -> BoxFuture<'static, ()> + Send>,
    /// Hands announcements to the BGP speaker, on its urgent lane.
    pub bgp: Box<dyn FnMut(LocalBatch) -> BoxFuture<'static, ()> + Send>,
    /// Hands announcements to OSPF, without waiting.
    pub ospf: OspfSink,
    /// Shows which prefixes belong to services, as soon as one comes or goes.
    pub vips: watch::Sender<BTreeSet<IpNet>>,
}

/// The last word per key of what arrived and was not read yet; bounded by the addresses of the host and the VIPs.
#[derive(Debug, Default)]
struct Mailbox {
    addresses: BTreeMap<IpAddr, bool>,
    installed: BTreeMap<IpNet, Vec<(BackendId, Option<FibFault>)>>,
}

#[derive(Debug, Default)]
struct Post {
    mailbox: Mutex<Mailbox>,
    bell: Notify,
}

impl Post {
    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        // A map insert that panicked half-way cannot leave anything worse behind than a missing entry.
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Request {
    Configure(Vec<ServiceSpec>, Option<(u32, Duration)>, oneshot::Sender<()>),
    Operate(String, Operation, oneshot::Sender<Result<ServiceView, OperatorError>>),
    Register(Box<ServiceSpec>, oneshot::Sender<Result<ServiceView, OperatorError>>),
    Delete(String, oneshot::Sender<Result<(), OperatorError>>),
    View(Option<String>, oneshot::Sender<Vec<ServiceView>>),
    History(Option<String>, u64, usize, oneshot::Sender<Vec<HistoryEntry>>),
    Shutdown(oneshot::Sender<()>),
}

/// How the rest of the daemon speaks to the anycast controller. Cheap to clone; the task ends with the last handle.
#[derive(Clone, Debug)]
pub struct AnycastHandle {
    requests: mpsc::Sender<Request>,
    post: Arc<Post>,
    events: broadcast::Sender<HistoryEntry>,
}

impl AnycastHandle {
    /// Starts the task; must be called within a tokio runtime.
    #[must_use]
    pub fn spawn(carriers: Carriers) -> Self {
        let (requests, requests_in) = mpsc::channel(REQUESTS);
        let (verdicts, verdicts_in) = mpsc::channel(VERDICTS);
        let (events, _) = broadcast::channel(EVENTS);
        let post = Arc::new(Post::default());
        let task = Task {
            controller: Controller::new(),
            scheduler: Scheduler::new(verdicts),
            addresses: Arc::new(Mutex::new(carriers.addresses)),
            rib: carriers.rib,
            bgp: carriers.bgp,
            ospf: carriers.ospf,
            vips: carriers.vips,
            events: events.clone(),
            replies: HashMap::new(),
            last_ticket: 0,
            stopped: Vec::new(),
            finished: false,
        };
        tokio::spawn(task.run(requests_in, verdicts_in, Arc::clone(&post)));
        Self { requests, post, events }
    }

    /// Takes over the services of the configuration and the withdrawal budget; equal services are not touched. Returns once carried out.
    pub async fn configure(&self, services: Vec<ServiceSpec>, budget: Option<(u32, Duration)>) {
        let _ = self.ask(|reply| Request::Configure(services, budget, reply)).await;
    }

    /// Carries out an operator's wish; the service as it is afterwards.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub async fn operate(&self, name: &str, operation: Operation) -> Result<ServiceView, OperatorError> {
        let name = name.to_owned();
        self.ask(|reply| Request::Operate(name, operation, reply)).await.unwrap_or(Err(OperatorError::Stopping))
    }

    /// Registers a service, or changes one registered before.
    ///
    /// # Errors
    /// When it is not valid, or its name or a VIP belongs to another.
    pub async fn register(&self, spec: ServiceSpec) -> Result<ServiceView, OperatorError> {
        let spec = Box::new(spec);
        self.ask(|reply| Request::Register(spec, reply)).await.unwrap_or(Err(OperatorError::Stopping))
    }

    /// Deletes a registered service, by way of its drain.
    ///
    /// # Errors
    /// When there is none of that name, or it is configured.
    pub async fn delete(&self, name: &str) -> Result<(), OperatorError> {
        let name = name.to_owned();
        self.ask(|reply| Request::Delete(name, reply)).await.unwrap_or(Err(OperatorError::Stopping))
    }

    /// All services by name.
    pub async fn services(&self) -> Vec<ServiceView> {
        self.ask(|reply| Request::View(None, reply)).await.unwrap_or_default()
    }

    /// The service named.
    pub async fn service(&self, name: &str) -> Option<ServiceView> {
        let name = Some(name.to_owned());
        self.ask(|reply| Request::View(name, reply)).await.unwrap_or_default().pop()
    }

    /// The latest `limit` history entries with a sequence above `after`, oldest first, of all services or the one named.
    pub async fn history(&self, name: Option<&str>, after: u64, limit: usize) -> Vec<HistoryEntry> {
        let name = name.map(str::to_owned);
        self.ask(|reply| Request::History(name, after, limit, reply)).await.unwrap_or_default()
    }

    /// Events from now on. A watcher that is too slow gets `Lagged` and resumes from [`AnycastHandle::history`].
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<HistoryEntry> {
        self.events.subscribe()
    }

    /// Drains every service; returns when all are withdrawn and unbound.
    pub async fn shutdown(&self) {
        let _ = self.ask(Request::Shutdown).await;
    }

    /// An address came to this host or left it. Never waits.
    pub fn local_address(&self, addr: IpAddr, present: bool) {
        self.post.mailbox().addresses.insert(addr, present);
        self.post.bell.notify_one();
    }

    /// The RIB's word on an awaited prefix ([`rib::message::Output::Installed`]). Never waits.
    pub fn installed(&self, prefix: IpNet, missing: Vec<(BackendId, Option<FibFault>)>) {
        self.post.mailbox().installed.insert(prefix, missing);
        self.post.bell.notify_one();
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// The host's addresses, lent to one blocking call at a time.
type Shared = Arc<Mutex<Box<dyn AddressControl>>>;

struct Task {
    controller: Controller,
    scheduler: Scheduler,
    addresses: Shared,
    rib: Box<dyn FnMut(rib::message::Input) -> BoxFuture<'static, ()> + Send>,
    bgp: Box<dyn FnMut(LocalBatch) -> BoxFuture<'static, ()> + Send>,
    ospf: OspfSink,
    vips: watch::Sender<BTreeSet<IpNet>>,
    events: broadcast::Sender<HistoryEntry>,
    replies: HashMap<Ticket, Result<(), OperatorError>>,
    last_ticket: u64,
    stopped: Vec<oneshot::Sender<()>>,
    finished: bool,
}

impl Task {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut verdicts: mpsc::Receiver<Verdict>,
        post: Arc<Post>,
    ) {
        loop {
            let deadline = self.controller.deadline().map(tokio::time::Instant::from_std);
            tokio::select! {
                // Urgent first: a verdict may withdraw.
                biased;
                Some(verdict) = verdicts.recv() => self.handle(Input::Verdict(verdict)).await,
                () = post.bell.notified() => {
                    let mailbox = std::mem::take(&mut *post.mailbox());
                    for (addr, present) in mailbox.addresses {
                        self.handle(Input::LocalAddress { addr, present }).await;
                    }
                    for (prefix, missing) in mailbox.installed {
                        self.handle(Input::Installed { prefix, missing }).await;
                    }
                }
                () = sleep_until(deadline) => self.handle(Input::Tick).await,
                request = requests.recv() => match request {
                    Some(request) => self.on_request(request).await,
                    None => return,
                },
            }
        }
    }

    async fn on_request(&mut self, request: Request) {
        // Whoever asked may have gone away meanwhile: an answer that nobody takes is dropped.
        match request {
            Request::Configure(services, budget, reply) => {
                self.handle(Input::Configure { services, budget }).await;
                let _ = reply.send(());
            }
            Request::Operate(name, operation, reply) => {
                let ticket = self.next_ticket();
                self.handle(Input::Operator { name: name.clone(), operation, ticket }).await;
                let _ = reply.send(self.outcome(ticket, &name));
            }
            Request::Register(spec, reply) => {
                let (ticket, name) = (self.next_ticket(), Arc::clone(&spec.name));
                self.handle(Input::Register { spec, ticket }).await;
                let _ = reply.send(self.outcome(ticket, &name));
            }
            Request::Delete(name, reply) => {
                let ticket = self.next_ticket();
                self.handle(Input::Delete { name, ticket }).await;
                let _ = reply.send(self.replies.remove(&ticket).unwrap_or(Err(OperatorError::Stopping)));
            }
            Request::View(name, reply) => {
                let _ = reply.send(self.controller.view(name.as_deref()));
            }
            Request::History(name, after, limit, reply) => {
                let _ = reply.send(self.controller.history(name.as_deref(), after, limit));
            }
            Request::Shutdown(reply) => {
                self.stopped.push(reply);
                self.handle(Input::Shutdown).await;
                self.answer_stopped();
            }
        }
    }

    fn next_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        Ticket(self.last_ticket)
    }

    fn outcome(&mut self, ticket: Ticket, name: &str) -> Result<ServiceView, OperatorError> {
        self.replies.remove(&ticket).unwrap_or(Err(OperatorError::Stopping))?;
        self.controller.view(Some(name)).pop().ok_or_else(|| OperatorError::NoSuchService(name.to_owned()))
    }

    fn answer_stopped(&mut self) {
        if self.finished {
            for reply in self.stopped.drain(..) {
                let _ = reply.send(());
            }
        }
    }

    /// Feeds one input, carries its outputs out in order, and feeds the answers of the host back at once.
    #[allow(clippy::disallowed_methods, reason = "carrier: the controller gets the time from here")]
    async fn handle(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        let mut out = Outbox::new();
        while let Some(input) = inputs.pop_front() {
            let verdict = matches!(input, Input::Verdict(_));
            self.controller.handle(Instant::now(), input, &mut out);
            if !verdict {
                // Before anything is bound, so that an address is never taken for anybody else's.
                let vips = self.controller.vips();
                self.vips.send_if_modified(|known| {
                    *known != vips && {
                        *known = vips;
                        true
                    }
                });
            }
            for output in out.drain(..) {
                if let Some(answer) = self.carry(output).await {
                    inputs.push_back(answer);
                }
            }
        }
        self.answer_stopped();
    }

    async fn carry(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Bgp(batch) => (self.bgp)(batch).await,
            Output::Ospf(routes) => (self.ospf)(routes),
            Output::Rib(batch) => (self.rib)(rib::message::Input::Routes(batch)).await,
            Output::Await { prefix, on } => (self.rib)(rib::message::Input::AwaitInstalled { prefix, on }).await,
            Output::StartCheck { check, service, spec } => self.scheduler.start(check, &service, spec),
            Output::StopCheck(check) => self.scheduler.stop(check),
            Output::Event(entry) => {
                tracing::info!(service = %entry.service, state = entry.state.name(), "{}", entry.what);
                // Fails only while nobody watches.
                let _ = self.events.send(entry);
            }
            Output::Reply { ticket, result } => {
                self.replies.insert(ticket, result);
            }
            Output::Finished => self.finished = true,
            Output::Bind { service, interface, prefix } => {
                let name = interface.clone();
                let outcome = Self::host(&self.addresses, move |host| host.add(&name, prefix.addr())).await;
                return Some(Input::Bound { service, prefix, interface, outcome });
            }
            Output::Unbind { service, interface, prefix } => {
                let name = interface.clone();
                if let Err(error) = Self::host(&self.addresses, move |host| host.remove(&name, prefix.addr())).await {
                    tracing::warn!(%service, %interface, %prefix, %error, "VIP left behind");
                }
            }
        }
        None
    }

    /// A call to the host's addresses, which may block in the kernel: not on a runtime thread.
    async fn host<F>(addresses: &Shared, call: F) -> Result<bool, String>
    where
        F: FnOnce(&mut dyn AddressControl) -> Result<bool, String> + Send + 'static,
    {
        let addresses = Arc::clone(addresses);
        let call = move || call(&mut **addresses.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(call).await.unwrap_or_else(|error| Err(error.to_string()))
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
