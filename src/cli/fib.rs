//! `anyhop fib …`: compare the data planes with the RIB, and repair them.

use clap::{Args, Subcommand};
use proto::v1;
use serde::Serialize;

use super::client::{Client, Failure};
use super::output::{count, json, line, print, table};
use super::view::{Backend, Difference, hops_text};

#[derive(Debug, Subcommand)]
pub(super) enum Fib {
    /// What a data plane holds against what it should hold; changes nothing
    Diff(Which),
    /// Read a data plane and write whatever differs
    Resync(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Only this data plane; default: each of them in turn
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
}

#[derive(Serialize)]
struct Differences {
    total: u64,
    differences: Vec<Difference>,
}

#[derive(Serialize)]
struct Backends {
    backends: Vec<Backend>,
}

pub(super) async fn run(client: Client, wish: Fib) -> Result<(), Failure> {
    match wish {
        Fib::Diff(which) => diff(&client, which).await,
        Fib::Resync(which) => resync(&client, which).await,
    }
}

async fn names(client: &Client, which: Which) -> Result<Vec<String>, Failure> {
    match which.backend {
        Some(name) => Ok(vec![name]),
        None => {
            let fib = client.fib().get_fib(v1::GetFibRequest {}).await?.into_inner();
            Ok(fib.backends.into_iter().map(|backend| backend.name).collect())
        }
    }
}

async fn diff(client: &Client, which: Which) -> Result<(), Failure> {
    let mut found = Differences { total: 0, differences: Vec::new() };
    for backend in names(client, which).await? {
        let answer = client.fib().diff_fib(v1::DiffFibRequest { backend }).await?.into_inner();
        found.total += answer.total;
        found.differences.extend(answer.differences.iter().map(|one| Difference::new(&answer.backend, one)));
    }
    if client.json {
        return json(&found);
    }
    if found.total == 0 {
        return line("no differences");
    }
    let rows = found.differences.iter().map(|one| {
        let reason = one.reason.clone().unwrap_or_default();
        let (desired, found) = (hops_text(&one.desired), hops_text(&one.found));
        [one.backend.clone(), one.prefix.clone(), one.kind.clone(), desired, found, reason]
    });
    print(&table(["backend", "prefix", "what", "should be", "is", "why"], rows))?;
    let listed = found.differences.len() as u64;
    if listed < found.total {
        line(&format!("… and {} more", count(found.total - listed)))?;
    }
    Ok(())
}

async fn resync(client: &Client, which: Which) -> Result<(), Failure> {
    let mut backends = Vec::new();
    for backend in names(client, which).await? {
        let answer = client.fib().resync_fib(v1::ResyncFibRequest { backend }).await?.into_inner();
        backends.extend(answer.backend.as_ref().map(Backend::from));
    }
    if client.json {
        return json(&Backends { backends });
    }
    for backend in &backends {
        line(&format!("{}: being compared and repaired; `anyhop show fib` shows the outcome", backend.name))?;
    }
    if backends.is_empty() {
        line("this node has no data planes")?;
    }
    Ok(())
}
