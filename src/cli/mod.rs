//! The command line: one binary is daemon and client.
//!
//! A file per command. Client commands ask a running daemon through its API, print a table or, with `--json`, an object
//! with stable keys, and end with the contract's codes: 0 ok, 1 failed, 2 wrong usage or invalid configuration, 3 refused by
//! a safety rule.

mod client;
mod completions;
mod explain;
mod fib;
mod local;
mod lookup;
mod neighbor;
mod ospf;
mod output;
mod route;
mod service;
mod show;
mod status;
#[cfg(test)]
mod tests;
mod view;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::client::{Client, Failure};
use crate::api::ApiAddress;

/// Where the daemon's configuration stands if nothing is said.
const CONFIG: &str = "/etc/anyhop/anyhop.toml";
/// Where the daemon's API is if nothing is said.
const API: &str = "unix:/run/anyhop/anyhop.sock";

/// A routing daemon for anycast, and its client.
#[derive(Debug, Parser)]
#[command(name = "anyhop", version, max_term_width = 110, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 ok, 1 failed, 2 wrong usage or invalid configuration, 3 refused by a safety rule."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    options: Options,
}

/// What every client command takes.
#[derive(Clone, Debug, Args)]
struct Options {
    /// The daemon's API: unix:/path or host:port
    #[arg(long, global = true, env = "ANYHOP_API", default_value = API, value_name = "ADDR", help_heading = "Client options")]
    api: ApiAddress,
    /// Print JSON with stable keys instead of tables
    #[arg(long, global = true, help_heading = "Client options")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Run {
        /// The configuration
        #[arg(short, long, default_value = CONFIG, value_name = "FILE")]
        config: PathBuf,
    },
    /// Validate a configuration
    Check {
        /// The configuration
        file: PathBuf,
    },
    /// Show the main job, self-contained: no root, no network, under 15 s
    Demo {
        /// Keep the nodes running afterwards
        #[arg(long)]
        hold: bool,
    },
    /// One screen: services, neighbors, FIB, what is wrong
    Status,
    /// Tables of the running daemon
    #[command(subcommand)]
    Show(show::Show),
    /// Longest-prefix match in the RIB, with next hops and FIB state
    Lookup(lookup::Lookup),
    /// Every candidate for a prefix, and why it is or is not announced
    Explain(explain::Explain),
    /// A live stream
    #[command(subcommand)]
    Watch(watch::Watch),
    /// Operations on anycast services
    #[command(subcommand)]
    Service(service::Service),
    /// Operations on BGP sessions
    #[command(subcommand)]
    Neighbor(neighbor::Neighbor),
    /// Routes owned by the API
    #[command(subcommand)]
    Route(route::Route),
    /// Compare the data planes with the RIB, and repair them
    #[command(subcommand)]
    Fib(fib::Fib),
    /// Print a completion script
    Completions(completions::Completions),
    // Part of the contract and not of this version: answered with a sentence, not shown in help.
    #[command(hide = true, disable_help_flag = true)]
    Plan(Later),
    #[command(hide = true, disable_help_flag = true)]
    Apply(Later),
    #[command(hide = true, disable_help_flag = true)]
    Confirm(Later),
    #[command(hide = true, disable_help_flag = true)]
    Rollback(Later),
    #[command(hide = true, disable_help_flag = true)]
    Policy(Later),
    #[command(hide = true, disable_help_flag = true)]
    Mrt(Later),
    #[command(hide = true, disable_help_flag = true)]
    Top(Later),
}

/// The arguments of a command that is not built yet: anything.
#[derive(Debug, Args)]
struct Later {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => {
            // Help and version are no errors and go to stdout; a closed pipe there is the reader's business.
            let _ = err.print();
            return ExitCode::from(u8::try_from(err.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let Cli { command, options } = cli;
    match command {
        Command::Run { config } => Ok(local::run(&config)),
        Command::Check { file } => Ok(local::check(&file, options.json)),
        Command::Demo { hold } => Ok(local::demo(hold)),
        Command::Completions(wish) => completions::run(&wish),
        Command::Status => client(options, status::run),
        Command::Show(wish) => client(options, |client| show::run(client, wish)),
        Command::Lookup(wish) => client(options, |client| lookup::run(client, wish)),
        Command::Explain(wish) => client(options, |client| explain::run(client, wish)),
        Command::Watch(wish) => client(options, |client| watch::run(client, wish)),
        Command::Service(wish) => client(options, |client| service::run(client, wish)),
        Command::Neighbor(wish) => client(options, |client| neighbor::run(client, wish)),
        Command::Route(wish) => client(options, |client| route::run(client, wish)),
        Command::Fib(wish) => client(options, |client| fib::run(client, wish)),
        Command::Plan(later) | Command::Apply(later) | Command::Confirm(later) | Command::Rollback(later) => {
            Err(Failure::not_built(
                &later,
                "write the configuration file, `anyhop check` it, then send SIGHUP to the daemon",
            ))
        }
        Command::Policy(later) => {
            Err(Failure::not_built(&later, "`anyhop explain PREFIX` says what the policies in force do"))
        }
        Command::Mrt(later) => Err(Failure::not_built(&later, "`anyhop show routes --json` prints the table")),
        Command::Top(later) => Err(Failure::not_built(&later, "`anyhop status` and `anyhop watch` show what goes on")),
    }
}

/// Connects and runs a client command to its end.
fn client<F>(options: Options, command: impl FnOnce(Client) -> F) -> Result<ExitCode, Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|err| Failure::failed(format!("cannot start the runtime: {err}")))?;
    runtime.block_on(async {
        let client = Client::connect(options.api, options.json).await?;
        command(client).await
    })?;
    Ok(ExitCode::SUCCESS)
}
