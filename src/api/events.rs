//! The recent events of the node, numbered, so that a watcher can resume and learn what it has missed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bgpd::speaker::message as bgp;
use proto::v1;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::{Context, convert};
use crate::daemon::handles::{NodeEvent, What};

/// Events held for watchers that come late or resume.
const EVENTS_KEPT: usize = 1024;
/// Most events in one message.
const EVENTS_PER_MESSAGE: usize = 256;

/// The recent events.
#[derive(Debug)]
pub(crate) struct EventLog {
    ring: Mutex<Ring>,
    latest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    /// Number of the last event, counted from 1; numbers of lost events are left out.
    last: u64,
    events: VecDeque<v1::Event>,
}

/// What a watcher gets to read.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Read {
    /// The events, oldest first.
    pub(crate) events: Vec<v1::Event>,
    /// Events between the position asked from and the first of these that are not held (any more).
    pub(crate) lost: u64,
    /// The position after them.
    pub(crate) through: u64,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { ring: Mutex::default(), latest: watch::Sender::new(0) }
    }
}

impl EventLog {
    /// Appends an event under the next number.
    pub(crate) fn push(&self, event: v1::Event) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.last += 1;
        let sequence = ring.last;
        ring.events.push_back(v1::Event { sequence, ..event });
        if ring.events.len() > EVENTS_KEPT {
            ring.events.pop_front();
        }
        self.latest.send_replace(sequence);
    }

    /// Counts events that could not be had.
    pub(crate) fn skip(&self, lost: u64) {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).last += lost;
    }

    /// Events after number `after`, a bounded number of them; from the oldest one held if `None`.
    pub(crate) fn read(&self, after: Option<u64>) -> Read {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        // A number that was never given is another daemon's or made up: begin with what is held.
        let after = after.filter(|after| *after <= ring.last);
        let first_wanted = ring.events.partition_point(|event| event.sequence <= after.unwrap_or(0));
        let events: Vec<_> = ring.events.range(first_wanted..).take(EVENTS_PER_MESSAGE).cloned().collect();
        let lost = match (after, events.first(), events.last()) {
            // Gaps inside are losses, too.
            (Some(after), Some(_), Some(last)) => last.sequence - after - events.len() as u64,
            (None, Some(first), Some(last)) => last.sequence + 1 - first.sequence - events.len() as u64,
            (Some(after), _, _) => ring.last - after,
            (None, _, _) => 0,
        };
        let through = events.last().map_or(ring.last, |event| event.sequence);
        Read { events, lost, through }
    }

    /// A signal that moves with every event.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }
}

/// Writes down what happens on the node, and has the watched tables read soon. Returns when the node has ended.
pub(crate) async fn record(context: Arc<Context>) {
    let mut happening = context.node.events.subscribe();
    loop {
        match happening.recv().await {
            Ok(event) => {
                match event.what {
                    What::Bgp(_) => context.neighbors.nudge(),
                    What::Service { .. } => context.services.nudge(),
                    What::Fib { .. } | What::Link { .. } | What::Ospf { .. } | What::Config { .. } | What::Stopping => {
                        context.neighbors.nudge();
                        context.services.nudge();
                    }
                }
                context.events.push(told(&event));
            }
            Err(RecvError::Lagged(lost)) => context.events.skip(lost),
            Err(RecvError::Closed) => return,
        }
    }
}

/// An event as people and programs are told it; numbered when it is written down.
fn told(event: &NodeEvent) -> v1::Event {
    use v1::EventKind as Kind;
    use v1::Severity::{Error, Info, Warning};
    let (kind, severity, subject, message) = match &event.what {
        What::Bgp(bgp::Event::Neighbor { neighbor, from, to, reason }) => {
            let severity = if *from == bgp::SessionState::Established { Warning } else { Info };
            let why = reason.as_ref().map(|why| format!(": {}", convert::down_reason(why))).unwrap_or_default();
            (Kind::Neighbor, severity, neighbor.to_string(), format!("session {from:?} -> {to:?}{why}"))
        }
        What::Bgp(bgp::Event::UnknownPeer { remote }) => (
            Kind::Neighbor,
            Warning,
            remote.to_string(),
            "refused a connection: no such neighbor is configured".to_owned(),
        ),
        What::Bgp(bgp::Event::NearLimit { neighbor, family, count, limit }) => (
            Kind::Neighbor,
            Warning,
            neighbor.to_string(),
            format!("{count} prefixes of {family:?} are held of it, the limit is {limit} (max_prefix)"),
        ),
        What::Bgp(bgp::Event::NoPlace { neighbor }) => (
            Kind::Neighbor,
            Error,
            neighbor.to_string(),
            "not taken in: there are 65,535 BGP neighbors already".to_owned(),
        ),
        What::Bgp(bgp::Event::UpdateFault { neighbor, what }) => {
            (Kind::Neighbor, Warning, neighbor.to_string(), what.clone())
        }
        What::Service { service, text } => (Kind::Service, Info, service.clone(), text.clone()),
        What::Fib { backend, text } => (Kind::Fib, Warning, format!("#{}", backend.0), text.clone()),
        What::Link { name, up, .. } => {
            let (severity, text) = if *up { (Info, "up") } else { (Warning, "down") };
            (Kind::Interface, severity, name.clone(), text.to_owned())
        }
        What::Ospf { subject, text, bad } => {
            (Kind::Ospf, if *bad { Warning } else { Info }, subject.clone(), text.clone())
        }
        What::Config { applied, text } => {
            (Kind::Node, if *applied { Info } else { Error }, "configuration".to_owned(), text.clone())
        }
        What::Stopping => (Kind::Node, Info, "node".to_owned(), "stopping".to_owned()),
    };
    v1::Event {
        sequence: 0,
        time: Some(convert::timestamp(event.at)),
        kind: kind.into(),
        severity: severity.into(),
        subject,
        message,
    }
}
