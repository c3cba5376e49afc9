//! `anyhop run`: a node as a process. Signals, the service manager, logs and exit codes.

use std::path::Path;
use std::process::ExitCode;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::handles::What;
use super::log::{self, Level};
use super::node::{self, Platform, Running};
use crate::config;

/// Runs the daemon in the foreground with the configuration at `path`, until SIGTERM or SIGINT; SIGHUP reloads.
///
/// Ends with 0 after an orderly stop, 2 if the configuration is wrong, 1 if something cannot be had.
#[must_use]
pub fn run(path: &Path) -> ExitCode {
    let (model, warnings) = match config::review(path) {
        Ok(reviewed) => reviewed,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(2);
        }
    };
    let level = log::start(&model.log);
    warn(&warnings);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("anyhop: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(supervise(path, model, &level));
    // A probe that hangs in a name lookup must not hold up the end.
    runtime.shutdown_background();
    code
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Tells the service manager, if there is one.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

async fn supervise(path: &Path, model: config::Model, level: &Level) -> ExitCode {
    // Before the sockets: a signal during the start must not kill a half-started node.
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("anyhop: cannot handle signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut running = match node::start(model, Platform::Kernel, Some(path.to_owned())).await {
        Ok(running) => running,
        Err(error) => {
            eprintln!("anyhop: {error}");
            return ExitCode::FAILURE;
        }
    };
    let info = running.node.info.clone();
    tracing::info!(
        version = info.version,
        asn = info.asn,
        router_id = %info.router_id,
        bgp = ?info.bgp_listen,
        api = ?info.api_listen,
        fib = ?info.backends,
        "anyhop runs"
    );
    notify(&[NotifyState::Ready]);
    let why = loop {
        tokio::select! {
            _ = signals.hangup.recv() => reload(&mut running, path, level).await,
            _ = signals.terminate.recv() => break "SIGTERM".to_owned(),
            _ = signals.interrupt.recv() => break "SIGINT".to_owned(),
            wish = running.stop_wish() => break wish.reason,
        }
    };
    tracing::info!(%why, "stopping");
    notify(&[NotifyState::Stopping]);
    running.stop().await;
    tracing::info!("stopped");
    ExitCode::SUCCESS
}

/// Logs what the configuration allows and may be unwise.
fn warn(warnings: &config::Errors) {
    for found in warnings.list() {
        let at = format!("{}:{}:{}", warnings.file().display(), found.line, found.column);
        tracing::warn!(%at, key = found.key, "{}", found.message);
    }
}

async fn reload(running: &mut Running, path: &Path, level: &Level) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no monotonic clock for the service manager"),
    }
    let outcome = match config::review(path) {
        Ok((model, warnings)) => {
            warn(&warnings);
            running.reload(model).await
        }
        Err(errors) => Err(errors.to_string()),
    };
    let (applied, text) = match outcome {
        Ok(diff) if diff.lines.is_empty() => (true, "reloaded: nothing changed".to_owned()),
        Ok(diff) => (true, format!("reloaded: {}", diff.lines.join("; "))),
        Err(error) => (false, format!("reload refused, the old configuration stays in force: {error}")),
    };
    if applied {
        level.set(&running.model().log.level);
        tracing::info!("{text}");
    } else {
        tracing::error!("{text}");
    }
    running.node.events.send(What::Config { applied, text });
    notify(&[NotifyState::Ready]);
}
