//! Logs to stderr, and the events of the machines as log lines and for watchers.

use bgpd::speaker::message::Event;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

use super::handles::{Events, What};
use crate::anycast::HistoryEntry;
use crate::config::model::{LogFormat, LogModel};

/// Changes the level while the daemon runs.
pub(super) struct Level(reload::Handle<Targets, Registry>);

impl Level {
    /// Sets the level; one that cannot be understood leaves the old, and the configuration has refused it before.
    pub(super) fn set(&self, level: &str) {
        if let Ok(targets) = level.parse::<Targets>() {
            let _ = self.0.reload(targets);
        }
    }
}

/// Starts logging; the first call of the process counts.
pub(super) fn start(model: &LogModel) -> Level {
    let targets = model.level.parse::<Targets>().unwrap_or_default();
    let (filter, handle) = reload::Layer::new(targets);
    let lines = match model.format {
        LogFormat::Text => fmt::layer().with_writer(std::io::stderr).with_ansi(false).boxed(),
        LogFormat::Json => fmt::layer().json().with_writer(std::io::stderr).boxed(),
    };
    let _ = Registry::default().with(lines.with_filter(filter)).try_init();
    Level(handle)
}

/// Passes the speaker's events on until it ends.
pub(super) async fn bgp_events(mut events: Receiver<Event>, to: Events) {
    loop {
        match events.recv().await {
            Ok(event) => {
                log_bgp(&event);
                to.send(What::Bgp(event));
            }
            Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "BGP events came too fast for the log"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Sessions' own changes are logged by the carrier.
fn log_bgp(event: &Event) {
    match event {
        Event::Neighbor { .. } => {}
        Event::UnknownPeer { remote } => tracing::warn!(%remote, "refused a BGP connection: no such neighbor"),
        Event::NearLimit { neighbor, family, count, limit } => {
            tracing::warn!(%neighbor, ?family, count, limit, "near the limit on prefixes (max_prefix)");
        }
        Event::NoPlace { neighbor } => {
            tracing::error!(%neighbor, "not taken in: there are 65,535 BGP neighbors already");
        }
        Event::UpdateFault { neighbor, what } => tracing::warn!(%neighbor, %what, "faulty UPDATE (RFC 7606)"),
    }
}

/// Passes the anycast controller's history on until it ends.
pub(super) async fn service_events(mut events: Receiver<HistoryEntry>, to: Events) {
    loop {
        match events.recv().await {
            Ok(entry) => {
                to.send(What::Service { service: entry.service.to_string(), text: entry.what });
            }
            Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "service events came too fast for the log"),
            Err(RecvError::Closed) => return,
        }
    }
}
