//! `anyhop neighbor …`: operations on BGP sessions.

use bgpd::speaker::message::NeighborKey;
use clap::{Subcommand, ValueEnum};
use proto::v1;
use serde::Serialize;

use super::client::{Client, Failure};
use super::output::{json, line, print};
use super::view::{Message, Neighbor as View};

#[derive(Debug, Subcommand)]
pub(super) enum Neighbor {
    /// Allow the session
    Enable {
        /// The neighbor
        address: NeighborKey,
    },
    /// Close the session and keep it closed
    Disable {
        /// The neighbor
        address: NeighborKey,
        /// Text for the other side (RFC 9003)
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// Close the session and start anew, or exchange routes anew
    Reset {
        /// The neighbor
        address: NeighborKey,
        /// Keep the session: apply policy to what was learned again (in), or send everything again (out)
        #[arg(long, value_name = "DIRECTION")]
        soft: Option<Soft>,
    },
    /// Move traffic away while the session stays up (RFC 8326); enable or disable ends it
    Drain {
        /// The neighbor
        address: NeighborKey,
    },
    /// The last messages each way, the latest last
    History {
        /// The neighbor
        address: NeighborKey,
        /// With their octets
        #[arg(long)]
        octets: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Soft {
    In,
    Out,
}

pub(super) async fn run(client: Client, wish: Neighbor) -> Result<(), Failure> {
    let mut api = client.bgp();
    let (done, after) = match wish {
        Neighbor::Enable { address } => {
            let request = set_enabled(&address, true, None);
            ("enabled", api.set_neighbor_enabled(request).await?.into_inner().neighbor)
        }
        Neighbor::Disable { address, message } => {
            let request = set_enabled(&address, false, message);
            ("disabled", api.set_neighbor_enabled(request).await?.into_inner().neighbor)
        }
        Neighbor::Reset { address, soft } => {
            let (done, kind) = match soft {
                None => ("being reset", v1::ResetKind::Hard),
                Some(Soft::In) => ("being read again", v1::ResetKind::SoftIn),
                Some(Soft::Out) => ("being told everything again", v1::ResetKind::SoftOut),
            };
            let request = v1::ResetNeighborRequest { address: address.to_string(), kind: kind.into() };
            (done, api.reset_neighbor(request).await?.into_inner().neighbor)
        }
        Neighbor::Drain { address } => {
            let request = v1::DrainNeighborRequest { address: address.to_string() };
            ("being drained", api.drain_neighbor(request).await?.into_inner().neighbor)
        }
        Neighbor::History { address, octets } => return history(&client, &address, octets).await,
    };
    let neighbor = after.as_ref().map(View::from);
    let neighbor = neighbor.ok_or_else(|| Failure::failed("the daemon answered without the neighbor"))?;
    if client.json {
        return json(&neighbor);
    }
    line(&format!("neighbor {} is {done}", neighbor.address))
}

#[derive(Serialize)]
struct History {
    messages: Vec<Message>,
}

async fn history(client: &Client, address: &NeighborKey, octets: bool) -> Result<(), Failure> {
    let request = v1::GetMessageHistoryRequest { neighbor: address.to_string() };
    let answer = client.bgp().get_message_history(request).await?.into_inner();
    let messages: Vec<_> = answer.messages.iter().map(Message::from).collect();
    if client.json {
        return json(&History { messages });
    }
    if messages.is_empty() {
        return line(&format!("no message was exchanged with {address} yet"));
    }
    print(&history_text(&messages, octets))
}

/// A line for each message, and its octets below it if they are wanted.
pub(super) fn history_text(messages: &[Message], octets: bool) -> String {
    let mut text = String::new();
    for message in messages {
        let arrow = if message.direction == "out" { "->" } else { "<-" };
        let time = message.time.as_deref().unwrap_or("-");
        text.push_str(&format!("{time}  {arrow} {:<13} {:>5}  {}\n", message.r#type, message.length, message.text));
        if octets {
            text.push_str(&format!("    {}\n", message.octets));
        }
    }
    text
}

fn set_enabled(address: &NeighborKey, enabled: bool, message: Option<String>) -> v1::SetNeighborEnabledRequest {
    v1::SetNeighborEnabledRequest { address: address.to_string(), enabled, message: message.unwrap_or_default() }
}
