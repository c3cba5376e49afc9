//! `anyhop service …`: operators' wishes for anycast services.

use clap::{Args, Subcommand};
use proto::v1;

use super::client::{Client, Failure};
use super::output::{json, line};
use super::view::Service as View;
use super::{Later, route::lease};

#[derive(Debug, Subcommand)]
pub(super) enum Service {
    /// Announce again after `withdraw`, as soon as the service is ready
    Announce(Name),
    /// Withdraw now and keep it withdrawn until `announce`
    Withdraw(Forced),
    /// Move traffic away, withdraw and unbind, until `undrain`
    Drain {
        #[command(flatten)]
        forced: Forced,
        /// Announce with GRACEFUL_SHUTDOWN for so long first, as in 30s; default: as configured
        #[arg(long, value_parser = lease, value_name = "TIME")]
        gshut: Option<std::time::Duration>,
    },
    /// Take a drained service back
    Undrain(Name),
    #[command(hide = true, disable_help_flag = true)]
    Maintenance(Later),
    #[command(hide = true, disable_help_flag = true)]
    Report(Later),
}

#[derive(Debug, Args)]
pub(super) struct Name {
    /// The service's name
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct Forced {
    /// The service's name
    name: String,
    /// Do it even if a safety rule forbids it
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) async fn run(client: Client, wish: Service) -> Result<(), Failure> {
    let mut api = client.anycast();
    let after = match wish {
        Service::Announce(Name { name }) => api.announce(v1::AnnounceRequest { name }).await?.into_inner().service,
        Service::Withdraw(Forced { name, force, reason }) => {
            let request = v1::WithdrawRequest { name, force, reason: reason.unwrap_or_default() };
            api.withdraw(request).await?.into_inner().service
        }
        Service::Drain { forced: Forced { name, force, reason }, gshut } => {
            let gshut = gshut.map(|gshut| prost_types::Duration::try_from(gshut).unwrap_or_default());
            let request = v1::DrainRequest { name, force, reason: reason.unwrap_or_default(), gshut };
            api.drain(request).await?.into_inner().service
        }
        Service::Undrain(Name { name }) => api.undrain(v1::UndrainRequest { name }).await?.into_inner().service,
        Service::Maintenance(later) => return Err(Failure::not_built(&later, "`anyhop service drain NAME`")),
        Service::Report(later) => return Err(Failure::not_built(&later, "checks are of type dns, http, tcp or exec")),
    };
    let service = after.as_ref().map(View::from);
    let service = service.ok_or_else(|| Failure::failed("the daemon answered without the service"))?;
    if client.json {
        return json(&service);
    }
    line(&format!("service {} is {}: {}", service.name, service.state, service.reason))
}
