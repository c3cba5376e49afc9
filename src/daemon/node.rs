//! A node from its model: started in the order in which the parts need each other, reloaded by difference, stopped so that
//! neighbors and kernel are left clean.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bgpd::io::IoConfig;
use fib_sync::dpdk::DpdkBackend;
use fib_sync::fpm::FpmBackend;
use fib_sync::host::{AddressControl, HostEvents, HostTable};
use fib_sync::memory::{MemoryBackend, MemoryHost, Plane};
use fib_sync::netlink::{KernelAddresses, KernelBackend, KernelConfig, NexthopCompat, monitor};
use fib_sync::thread::{BackendHandle, OnStop};
use fib_sync::xdp::XdpBackend;
use futures::FutureExt as _;
use ipnet::IpNet;
use rib::BackendId;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::handles::{ApiRoutesHandle, Events, FibHandle, Node, NodeInfo, RibHandle, StopWish, What};
use super::host::{self, HostTask, NewStatics, Wires};
use super::ospf::Ospf;
use super::planes::Alarms;
use super::redistribute::{BgpSink, Externals, Fixed, OspfSink, Redistribution};
use super::rib_thread::{self, Listeners};
use super::statics::Statics;
use super::{added, api_routes, paths, sweep};
use crate::anycast::{AnycastHandle, task::Carriers};
use crate::api::{self, ApiAddress};
use crate::bfd;
use crate::config::diff::Diff;
use crate::config::model::{Backend, KernelModel, Model};

/// Longest stop, beside the drain times of services.
const STOP_MAX: Duration = Duration::from_secs(9);
/// Longest wait for the host's first dump before services start.
const HOST_MAX: Duration = Duration::from_secs(10);

/// What a node runs on.
pub enum Platform {
    /// This host.
    Kernel,
    /// A host in memory: no privilege, nothing of this host is touched or seen.
    Memory {
        /// Puts VIPs on its links.
        host: MemoryHost,
        /// What happens on it.
        events: HostEvents,
        /// Where the `memory` data plane writes.
        plane: Plane,
    },
}

impl Platform {
    /// A host in memory with a loopback link only, and its data plane.
    #[must_use]
    pub fn memory() -> (Self, MemoryHost, Plane) {
        let (host, events) = MemoryHost::new();
        let plane = Plane::new();
        (Self::Memory { host: host.clone(), events, plane: plane.clone() }, host, plane)
    }
}

/// Why a node could not start; every variant says what would help.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The API cannot listen.
    #[error(transparent)]
    Api(#[from] api::ListenError),
    /// BGP cannot listen.
    #[error(transparent)]
    Bgp(#[from] bgpd::io::Error),
    /// A data plane cannot be used.
    #[error("fib.backends: {0}")]
    Backend(#[from] fib_sync::backend::BackendError),
    /// The kernel cannot be watched.
    #[error("cannot watch this host's links and addresses: {0}")]
    Monitor(std::io::Error),
    /// The kernel's addresses cannot be changed.
    #[error("{0}")]
    Addresses(String),
    /// No thread can be had.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A policy cannot be used.
    #[error("{0}")]
    Policy(String),
}

/// Hands redistributed routes to OSPF.
type Give = Box<dyn Fn(Externals) + Send + Sync>;

/// A running node and what stops it.
pub struct Running {
    /// The handles.
    pub node: Node,
    model: Model,
    seed: u64,
    backends: Vec<BackendHandle>,
    redistribution: Redistribution<BgpSink>,
    into_ospf: Redistribution<OspfSink<Give>>,
    statics: mpsc::Sender<NewStatics>,
    fixed: watch::Sender<Fixed>,
    wishes: mpsc::Receiver<StopWish>,
    api_stop: watch::Sender<bool>,
    api: JoinHandle<()>,
    rib_thread: std::thread::JoinHandle<()>,
    _monitor: Option<monitor::MonitorHandle>,
}

/// Opens what the model asks for of the host: events, addresses, data planes.
struct Opened {
    backends: Vec<Box<dyn fib_sync::backend::FibBackend>>,
    addresses: Box<dyn AddressControl>,
    sources: Vec<HostEvents>,
    monitor: Option<monitor::MonitorHandle>,
}

fn open(model: &Model, platform: Platform) -> Result<Opened, StartError> {
    match platform {
        Platform::Memory { host, events, plane } => {
            let backends = model.fib.backends.iter().map(|_| Box::new(MemoryBackend::new(plane.clone())) as _).take(1);
            Ok(Opened { backends: backends.collect(), addresses: Box::new(host), sources: vec![events], monitor: None })
        }
        Platform::Kernel => open_kernel(model),
    }
}

fn open_kernel(model: &Model) -> Result<Opened, StartError> {
    let kernel = kernel_config(&model.fib.kernel);
    let mut backends: Vec<Box<dyn fib_sync::backend::FibBackend>> = Vec::new();
    let mut own_ports = Vec::new();
    for backend in &model.fib.backends {
        match backend {
            Backend::Kernel => {
                let backend = KernelBackend::open(kernel)?;
                own_ports = backend.ports();
                backends.push(Box::new(backend));
            }
            Backend::Xdp => backends.push(Box::new(XdpBackend::open(model.fib.xdp.config.clone())?)),
            Backend::Dpdk => backends.push(Box::new(DpdkBackend::open(model.fib.dpdk.config.clone())?)),
            Backend::Fpm => backends.push(Box::new(FpmBackend::new(model.fib.fpm.config.clone()))),
            Backend::Memory => backends.push(Box::new(MemoryBackend::new(Plane::new()))),
        }
    }
    let (events, handle) = monitor::spawn(monitor::MonitorConfig { kernel, learn: model.fib.kernel.learn, own_ports })
        .map_err(StartError::Monitor)?;
    let mut sources = vec![events];
    // A trial without the kernel binds VIPs in memory, too: nothing of the host is touched.
    let addresses: Box<dyn AddressControl> = if model.fib.backends == [Backend::Memory] {
        let (host, events) = MemoryHost::new();
        sources.push(events);
        Box::new(host)
    } else {
        Box::new(KernelAddresses::open().map_err(StartError::Addresses)?)
    };
    Ok(Opened { backends, addresses, sources, monitor: Some(handle) })
}

/// The configured routes over interfaces, which connected networks may hide.
fn fixed(model: &Model) -> Fixed {
    let over_links = model.statics.iter().filter(|route| route.to.gateways().next().is_none());
    over_links.map(|route| (route.prefix, (route.metric, route.tag))).collect()
}

/// Some neighbor is asked to keep our routes while we restart.
fn restarts_gracefully(model: &Model) -> bool {
    model.speaker.neighbors.iter().any(|neighbor| neighbor.enabled && neighbor.graceful_restart.restarting)
}

/// Neighbors of OSPF are asked to keep us while we restart.
fn ospf_restarts_gracefully(model: &Model) -> bool {
    model.ospf.iter().flat_map(|ospf| &ospf.versions).any(|config| config.graceful_restart.enabled)
}

/// An earlier run left routes that still forward. A data plane that cannot be read counts as one that lost them: to say that
/// forwarding went on although it did not draws traffic into a hole.
fn forwards(backends: &mut [Box<dyn fib_sync::backend::FibBackend>]) -> bool {
    !backends.is_empty()
        && backends.iter_mut().all(|backend| {
            let mut found = false;
            match backend.dump(&mut |_| found = true) {
                Ok(()) => found,
                Err(error) => {
                    tracing::warn!(backend = backend.name(), %error, "cannot tell what an earlier run left");
                    false
                }
            }
        })
}

fn kernel_config(model: &KernelModel) -> KernelConfig {
    KernelConfig {
        table: model.table,
        metric: model.metric,
        protocol: model.protocol,
        nexthop_compat: if model.nexthop_compat_off { NexthopCompat::Off } else { NexthopCompat::Leave },
    }
}

/// Starts a node. Sockets are bound and privileges checked before anything is announced or written; on return the
/// host has been read and the services have begun. `config` is the file the model came from, for people.
///
/// # Errors
/// What cannot be had, and what would help. Nothing is left running then.
pub async fn start(model: Model, platform: Platform, config: Option<PathBuf>) -> Result<Running, StartError> {
    let addresses: Vec<ApiAddress> = model.api.iter().map(Into::into).collect();
    let listeners = api::Listeners::bind(&addresses)?;
    let mut opened = open(&model, platform)?;
    let seed = fresh_seed();

    let events = Events::default();
    let (rib, ends) = RibHandle::new();
    let io = IoConfig { listen: model.bgp.listen.clone(), ..IoConfig::default() };
    let mut speaker = model.speaker.clone();
    speaker.seed = seed;
    let graceful = restarts_gracefully(&model) || ospf_restarts_gracefully(&model);
    let forwards = graceful && forwards(&mut opened.backends);
    speaker.restarting = restarts_gracefully(&model) && forwards;
    let bgp = bgpd::io::spawn(speaker, io, rib.sink())?;
    // The configured VIPs are the services' from the first moment, also those bound before we came.
    let vips = model.services.iter().flat_map(|service| service.vips.iter().copied()).collect();
    let (vips, claimed) = watch::channel(vips);
    let bfd = bfd::spawn(seed.rotate_left(32))?;
    let ospf = Ospf::start(&model, &rib, &bfd, &events, seed, forwards)?;
    let anycast = anycast(&rib, &bgp, &ospf, opened.addresses, vips);
    let backends = spawn_backends(opened.backends, &rib, &events)?;
    let listening = Listeners { bgp: bgp.clone(), anycast: anycast.clone() };
    let rib_thread = rib_thread::spawn(ends, backends.clone(), listening)?;

    let sink = BgpSink { bgp: bgp.clone(), asn: model.node.asn };
    let (fixed, hidden) = watch::channel(fixed(&model));
    let redistribution = Redistribution::new(rib.clone(), sink, claimed.clone(), hidden.clone());
    let instances = ospf.clone();
    let give = move |routes| instances.redistribute(&routes);
    let into_ospf = Redistribution::new(
        rib.clone(),
        OspfSink { give: Box::new(give) as Give, asn: model.node.asn },
        claimed.clone(),
        hidden,
    );
    let (synced_tx, synced) = watch::channel(false);
    let (statics, new_statics) = mpsc::channel(host::STATICS);
    let wires = Wires {
        rib: rib.clone(),
        backends: backends.clone(),
        anycast: anycast.clone(),
        bgp: bgp.clone(),
        ospf: ospf.clone(),
        events: events.clone(),
        synced: synced_tx,
        claimed,
    };
    let configured_routes = Statics::new(model.statics.clone(), bfd.clone()).await;
    let task = HostTask::new(HostTable::new(model.distances.kernel), configured_routes, wires);
    tokio::spawn(task.run(opened.sources, new_statics));

    let (stop, wishes) = mpsc::channel(1);
    let fibs = fib_handles(&backends, &rib);
    let info = node_info(&model, config, &bgp, &listeners, &fibs);
    let api_routes: ApiRoutesHandle = api_routes::spawn(rib.clone(), model.distances.api);
    let mut speaker = model.speaker.clone();
    speaker.seed = seed;
    let base = info.config.as_ref().and_then(|path| path.parent()).map(Path::to_path_buf).unwrap_or_default();
    let configured = Arc::new(Notify::new());
    let neighbors = added::spawn(bgp.clone(), speaker, base, Arc::clone(&configured));
    let node = Node { info: Arc::new(info), rib, bgp, ospf, anycast, fibs, api_routes, neighbors, bfd, events, stop };

    let (api_stop, api_stopped) = watch::channel(false);
    let api = tokio::spawn(serve(listeners, node.clone(), api_stopped));
    tokio::spawn(paths::follow(node.bgp.clone(), node.bfd.clone(), configured));
    tokio::spawn(super::log::bgp_events(node.bgp.events(), node.events.clone()));
    tokio::spawn(super::log::service_events(node.anycast.subscribe(), node.events.clone()));
    tokio::spawn(sweep::run(node.clone(), synced.clone()));

    let mut running = Running {
        node,
        seed,
        backends,
        redistribution,
        into_ospf,
        statics,
        fixed,
        wishes,
        api_stop,
        api,
        rib_thread,
        _monitor: opened.monitor,
        model,
    };
    running.begin(synced).await?;
    Ok(running)
}

#[allow(clippy::disallowed_methods)] // The roof draws the one seed of the node's jitter.
fn fresh_seed() -> u64 {
    fastrand::Rng::new().u64(..)
}

fn anycast(
    rib: &RibHandle,
    bgp: &bgpd::io::Handle,
    ospf: &Ospf,
    addresses: Box<dyn AddressControl>,
    vips: watch::Sender<BTreeSet<IpNet>>,
) -> AnycastHandle {
    let (rib, bgp, ospf) = (rib.clone(), bgp.clone(), ospf.clone());
    AnycastHandle::spawn(Carriers {
        addresses,
        rib: Box::new(move |input| {
            let rib = rib.clone();
            // The RIB is gone only when the node stops.
            async move {
                let _ = rib.urgent(input).await;
            }
            .boxed()
        }),
        bgp: Box::new(move |batch| {
            bgp.local(batch);
            futures::future::ready(()).boxed()
        }),
        ospf: Box::new(move |routes| ospf.services(&routes)),
        vips,
    })
}

fn spawn_backends(
    opened: Vec<Box<dyn fib_sync::backend::FibBackend>>,
    rib: &RibHandle,
    events: &Events,
) -> Result<Vec<BackendHandle>, StartError> {
    let mut backends = Vec::new();
    for (number, backend) in opened.into_iter().enumerate() {
        let id = BackendId(u8::try_from(number).expect("a handful of data planes"));
        let rib = rib.clone();
        let (events, mut alarms) = (events.clone(), Alarms::new(backend.name()));
        // The RIB never waits for a data plane, so this wait ends.
        let tell = move |progress| {
            for text in alarms.take(&progress) {
                tracing::warn!("{text}");
                events.send(What::Fib { backend: id, text });
            }
            let _ = rib.blocking_urgent(rib::message::Input::Fib(progress));
        };
        backends.push(fib_sync::thread::spawn(backend, id, tell)?);
    }
    Ok(backends)
}

fn fib_handles(backends: &[BackendHandle], rib: &RibHandle) -> Vec<FibHandle> {
    let handle = |backend: &BackendHandle| FibHandle {
        id: backend.id(),
        name: backend.name(),
        backend: backend.clone(),
        rib: rib.clone(),
    };
    backends.iter().map(handle).collect()
}

#[allow(clippy::disallowed_methods)] // People want the wall-clock time of the start.
fn node_info(
    model: &Model,
    config: Option<PathBuf>,
    bgp: &bgpd::io::Handle,
    listeners: &api::Listeners,
    fibs: &[FibHandle],
) -> NodeInfo {
    NodeInfo {
        version: env!("CARGO_PKG_VERSION"),
        hostname: std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
        asn: model.node.asn,
        router_id: model.node.router_id,
        site: model.node.site.clone(),
        started: SystemTime::now(),
        config,
        bgp_listen: bgp.listening().to_vec(),
        api_listen: listeners.addresses().iter().map(ToString::to_string).collect(),
        backends: fibs.iter().map(|fib| fib.name).collect(),
    }
}

async fn serve(listeners: api::Listeners, node: Node, mut stopped: watch::Receiver<bool>) {
    let stop = async move {
        // An error means that the node is gone.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    if let Err(error) = api::serve(listeners, node, stop).await {
        tracing::error!(%error, "the API has ended");
    }
}

impl Running {
    /// Waits for the host's first dump, then begins with services and redistribution.
    async fn begin(&mut self, mut synced: watch::Receiver<bool>) -> Result<(), StartError> {
        if tokio::time::timeout(HOST_MAX, synced.wait_for(|synced| *synced)).await.is_err() {
            tracing::warn!("this host's links and addresses have not been read after {HOST_MAX:?}; going on without");
        }
        self.redistribute(&self.model.clone()).map_err(StartError::Policy)?;
        self.node.anycast.configure(self.model.services.clone(), self.model.withdrawal_budget).await;
        Ok(())
    }

    fn redistribute(&mut self, model: &Model) -> Result<(), String> {
        let policies = &model.speaker.policies;
        self.redistribution.apply(&model.bgp.redistribute, policies)?;
        self.into_ospf.apply(model.ospf.as_ref().map_or(&[], |ospf| &ospf.redistribute), policies)
    }

    /// The configuration in force.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Waits until somebody asks the node to stop (the API).
    pub async fn stop_wish(&mut self) -> StopWish {
        match self.wishes.recv().await {
            Some(wish) => wish,
            // The node itself holds a sender.
            None => std::future::pending().await,
        }
    }

    /// Carries out the difference between the model in force and `model`: all of it or nothing. What is equal, above all
    /// neighbors, is not touched.
    ///
    /// # Errors
    /// Why the old configuration stays in force.
    pub async fn reload(&mut self, model: Model) -> Result<Diff, String> {
        let diff = Diff::between(&self.model, &model);
        if !diff.restart.is_empty() {
            let keys = diff.restart.join(", ");
            return Err(format!("a change of {keys} needs a restart of the daemon; nothing was changed"));
        }
        // The only part that can be refused comes first.
        self.redistribute(&model)?;
        if diff.speaker {
            let mut speaker = model.speaker.clone();
            speaker.seed = self.seed;
            self.node.neighbors.configure(speaker).await.map_err(|gone| gone.to_string())??;
        }
        if diff.ospf {
            self.node.ospf.configure(&model, self.seed).await;
        }
        if diff.statics {
            let (done, told) = oneshot::channel();
            let gone = || "the node is shutting down".to_owned();
            self.statics.send((model.statics.clone(), done)).await.map_err(|_| gone())?;
            told.await.map_err(|_| gone())?;
            self.fixed.send_replace(fixed(&model));
        }
        if diff.services {
            self.node.anycast.configure(model.services.clone(), model.withdrawal_budget).await;
        }
        self.model = model;
        Ok(diff)
    }

    /// Stops the node: services are drained and withdrawn, VIPs taken off, sessions closed with a Cease, our routes removed
    /// from the data planes unless told to keep them. Where all keep them, neighbors that keep our routes over a restart are
    /// left to do so (RFC 4724 §4.1, RFC 3623 §2.1). Takes at most nine seconds and the drain times.
    pub async fn stop(self) {
        self.node.events.send(What::Stopping);
        let services = self.node.anycast.services().await;
        let drain = services.iter().map(|service| service.spec.drain.gshut).max().unwrap_or_default();
        let budget = STOP_MAX + drain;
        let node = self.node.clone();
        let fib = &self.model.fib;
        let keeps = |handle: &BackendHandle| match handle.name() {
            "xdp" => fib.xdp.keep_on_exit,
            "dpdk" => fib.dpdk.keep_on_exit,
            "fpm" => fib.fpm.keep_on_exit,
            _ => fib.kernel.keep_on_exit,
        };
        let (kept, removed): (Vec<_>, Vec<_>) = self.backends.iter().cloned().partition(keeps);
        let forwards_on = removed.is_empty() && !kept.is_empty();
        let ospf_restarts = forwards_on && ospf_restarts_gracefully(&self.model);
        let orderly = async move {
            // Who comes back at once is not routed around.
            if !ospf_restarts {
                node.ospf.drain().await;
            }
            node.anycast.shutdown().await;
            // Routes that stay must outlive the sessions they came from.
            stop_backends(&kept, OnStop::Keep).await;
            node.ospf.stop(ospf_restarts).await;
            let sessions = async {
                match forwards_on {
                    true => node.bgp.restart().await,
                    false => node.bgp.shutdown().await,
                }
            };
            if tokio::time::timeout(Duration::from_secs(4), sessions).await.is_err() {
                tracing::warn!("BGP sessions did not close in time");
            }
            // After the sessions: until then their paths are watched.
            node.bfd.shutdown().await;
            stop_backends(&removed, OnStop::Remove).await;
        };
        if tokio::time::timeout(budget, orderly).await.is_err() {
            tracing::warn!("stopping took longer than {budget:?}; ending without the rest");
        }
        self.api_stop.send_replace(true);
        let _ = tokio::time::timeout(Duration::from_secs(2), self.api).await;
        self.node.rib.stop().await;
        let thread = self.rib_thread;
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

async fn stop_backends(backends: &[BackendHandle], how: OnStop) {
    for backend in backends {
        match backend.stop(how).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(backend = backend.name(), removed, "removed our routes"),
            Err(error) => tracing::error!(backend = backend.name(), %error, "could not remove our routes"),
        }
    }
}
