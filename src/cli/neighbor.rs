//! `anyhop neighbor …`: operations on BGP sessions.

use bgpd::speaker::message::NeighborKey;
use clap::{Subcommand, ValueEnum};
use proto::v1;

use super::Later;
use super::client::{Client, Failure};
use super::output::{json, line};
use super::view::Neighbor as View;

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
    #[command(hide = true, disable_help_flag = true)]
    Drain(Later),
    #[command(hide = true, disable_help_flag = true)]
    History(Later),
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
            let request = set_enabled(address, true, None);
            ("enabled", api.set_neighbor_enabled(request).await?.into_inner().neighbor)
        }
        Neighbor::Disable { address, message } => {
            let request = set_enabled(address, false, message);
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
        Neighbor::Drain(later) => return Err(Failure::not_built(&later, "`anyhop neighbor disable ADDR`")),
        Neighbor::History(later) => return Err(Failure::not_built(&later, "`anyhop watch events` shows what happens")),
    };
    let neighbor = after.as_ref().map(View::from);
    let neighbor = neighbor.ok_or_else(|| Failure::failed("the daemon answered without the neighbor"))?;
    if client.json {
        return json(&neighbor);
    }
    line(&format!("neighbor {} is {done}", neighbor.address))
}

fn set_enabled(address: NeighborKey, enabled: bool, message: Option<String>) -> v1::SetNeighborEnabledRequest {
    v1::SetNeighborEnabledRequest { address: address.to_string(), enabled, message: message.unwrap_or_default() }
}
