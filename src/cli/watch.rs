//! `anyhop watch …`: live streams, a line per change; with `--json` an object per line.
//!
//! A watch that breaks because the daemon restarts or the connection is lost ends with an error: who wants to go on
//! resumes by the token in the last object.

use bgpd::speaker::message::NeighborKey;
use clap::Subcommand;
use ipnet::IpNet;
use proto::v1;
use serde::Serialize;

use super::client::{Client, Failure};
use super::output::{json_line, line, span};
use super::view::{Event, Neighbor, Route, Service};

#[derive(Debug, Subcommand)]
pub(super) enum Watch {
    /// Chosen routes
    Routes {
        /// Only this prefix and everything inside it
        prefix: Option<IpNet>,
        /// Go on after this token of an earlier watch
        #[arg(long, value_name = "TOKEN")]
        resume: Option<String>,
    },
    /// BGP neighbors
    Neighbors {
        /// Only this one
        address: Option<NeighborKey>,
        /// Go on after this token of an earlier watch
        #[arg(long, value_name = "TOKEN")]
        resume: Option<String>,
    },
    /// Anycast services
    Services {
        /// Only this one
        name: Option<String>,
        /// Go on after this token of an earlier watch
        #[arg(long, value_name = "TOKEN")]
        resume: Option<String>,
    },
    /// What happens on the node
    Events {
        /// Go on after this token of an earlier watch
        #[arg(long, value_name = "TOKEN")]
        resume: Option<String>,
    },
}

/// A message of a watch as one line of JSON: `updated` holds routes, neighbors or services.
#[derive(Serialize)]
struct Message<T> {
    snapshot_start: bool,
    snapshot_end: bool,
    updated: Vec<T>,
    removed: Vec<String>,
    resume_token: Option<String>,
}

#[derive(Serialize)]
struct Events {
    snapshot_start: bool,
    snapshot_end: bool,
    events: Vec<Event>,
    lost: u64,
    resume_token: Option<String>,
}

pub(super) async fn run(client: Client, wish: Watch) -> Result<(), Failure> {
    match wish {
        Watch::Routes { prefix, resume } => routes(&client, prefix, resume).await,
        Watch::Neighbors { address, resume } => neighbors(&client, address, resume).await,
        Watch::Services { name, resume } => services(&client, name, resume).await,
        Watch::Events { resume } => events(&client, resume).await,
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The daemon ended the stream without an error, which it never does while it runs.
fn ended() -> Failure {
    Failure::failed("the daemon ended the watch")
}

impl<T: Serialize> Message<T> {
    /// Prints the message: lines made by `text` for people, one object for programs.
    fn print(self, json: bool, text: impl Fn(&T) -> String) -> Result<(), Failure> {
        if json {
            return json_line(&self);
        }
        for item in &self.updated {
            line(&text(item))?;
        }
        for key in &self.removed {
            line(&format!("- {key}"))?;
        }
        if self.snapshot_end {
            line("-- that is all there is now; changes follow --")?;
        }
        Ok(())
    }
}

async fn routes(client: &Client, prefix: Option<IpNet>, resume: Option<String>) -> Result<(), Failure> {
    let request = v1::WatchRoutesRequest {
        prefix: prefix.map(|prefix| prefix.to_string()),
        resume_token: resume.unwrap_or_default(),
    };
    let mut stream = client.rib().watch_routes(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        let message = Message {
            snapshot_start: message.snapshot_start,
            snapshot_end: message.snapshot_end,
            updated: message.updated.iter().map(Route::from).collect(),
            removed: message.removed,
            resume_token: some(message.resume_token),
        };
        message.print(client.json, |route: &Route| {
            format!("+ {} {} {} {}", route.prefix, route.protocol_text(), route.preference_text(), route.hops_text())
        })?;
    }
    Err(ended())
}

async fn neighbors(client: &Client, address: Option<NeighborKey>, resume: Option<String>) -> Result<(), Failure> {
    let request = v1::WatchNeighborsRequest {
        address: address.map(|address| address.to_string()),
        resume_token: resume.unwrap_or_default(),
    };
    let mut stream = client.bgp().watch_neighbors(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        let message = Message {
            snapshot_start: message.snapshot_start,
            snapshot_end: message.snapshot_end,
            updated: message.updated.iter().map(Neighbor::from).collect(),
            removed: message.removed,
            resume_token: some(message.resume_token),
        };
        message.print(client.json, |neighbor: &Neighbor| {
            let up = neighbor.up_for.map(|up| format!(" for {}", span(up))).unwrap_or_default();
            let note = some(neighbor.note_text()).map(|note| format!(" ({note})")).unwrap_or_default();
            format!(
                "+ {} {}{up}: {} received, {} accepted, {} told{note}",
                neighbor.address,
                neighbor.state_text(),
                neighbor.received,
                neighbor.accepted,
                neighbor.advertised
            )
        })?;
    }
    Err(ended())
}

async fn services(client: &Client, name: Option<String>, resume: Option<String>) -> Result<(), Failure> {
    let request = v1::WatchServicesRequest { name, resume_token: resume.unwrap_or_default() };
    let mut stream = client.anycast().watch_services(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        let message = Message {
            snapshot_start: message.snapshot_start,
            snapshot_end: message.snapshot_end,
            updated: message.updated.iter().map(Service::from).collect(),
            removed: message.removed,
            resume_token: some(message.resume_token),
        };
        message.print(client.json, |service: &Service| {
            let checks: String = service
                .checks
                .iter()
                .map(|check| {
                    let health = check.health.as_deref().unwrap_or("not running");
                    format!("; {} {health} {}/{}", check.r#type, check.progress, check.needed)
                })
                .collect();
            format!("+ {} {}: {}{checks}", service.name, service.state, service.reason)
        })?;
    }
    Err(ended())
}

async fn events(client: &Client, resume: Option<String>) -> Result<(), Failure> {
    let request = v1::WatchEventsRequest { resume_token: resume.unwrap_or_default(), kinds: Vec::new() };
    let mut stream = client.node().watch_events(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        let message = Events {
            snapshot_start: message.snapshot_start,
            snapshot_end: message.snapshot_end,
            events: message.events.iter().map(Event::from).collect(),
            lost: message.lost,
            resume_token: some(message.resume_token),
        };
        if client.json {
            json_line(&message)?;
            continue;
        }
        if message.lost > 0 {
            line(&format!("-- {} events are lost --", message.lost))?;
        }
        for event in &message.events {
            let time = event.time.as_deref().unwrap_or("-");
            line(&format!("{time} {:<7} {} {}: {}", event.severity, event.kind, event.subject, event.message))?;
        }
        if message.snapshot_end {
            line("-- that is all there was; what follows is new --")?;
        }
    }
    Err(ended())
}
