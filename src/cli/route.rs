//! `anyhop route …`: routes owned by the API.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, Subcommand};
use ipnet::IpNet;
use proto::v1;

use super::client::{Client, Failure};
use super::output::{json, line};
use super::view::{Route as View, hops_text};

#[derive(Debug, Subcommand)]
pub(super) enum Route {
    /// Add a route, or replace the one added before
    Add(Add),
    /// Remove a route added before
    Del {
        /// The exact prefix
        prefix: IpNet,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The destination
    prefix: IpNet,
    /// A gateway, with its interface if link-local: 10.0.0.1, fe80::1%eth0; several: one --via each
    #[arg(long, value_name = "ADDR[%INTERFACE]", value_parser = via, required_unless_present_any = ["interface", "blackhole"])]
    via: Vec<v1::NextHop>,
    /// The destination is on this link
    #[arg(long, value_name = "NAME", conflicts_with = "via")]
    interface: Option<String>,
    /// Drop the packets
    #[arg(long, conflicts_with_all = ["via", "interface"])]
    blackhole: bool,
    /// Cost among routes of equal distance
    #[arg(long, default_value_t = 0)]
    metric: u32,
    /// Route tag
    #[arg(long, default_value_t = 0)]
    tag: u32,
    /// Remove the route unless it is added again within this time, as in 30s or 5m
    #[arg(long, value_name = "TIME", value_parser = lease)]
    pub(super) lease: Option<Duration>,
}

/// `10.0.0.1`, `fe80::1%eth0`.
fn via(text: &str) -> Result<v1::NextHop, String> {
    let (addr, interface) = text.split_once('%').unwrap_or((text, ""));
    let addr: IpAddr = addr.parse().map_err(|_| format!("{addr:?} is no address"))?;
    Ok(v1::NextHop { gateway: addr.to_string(), interface: interface.to_owned(), ..v1::NextHop::default() })
}

/// `300ms`, `30s`, `5m`, `2h`, `1d`.
pub(super) fn lease(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is no length of time: write it as in 300ms, 30s, 5m, 2h or 1d");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}

pub(super) async fn run(client: Client, wish: Route) -> Result<(), Failure> {
    match wish {
        Route::Add(add) => {
            let answer = client.rib().add_route(request(add)).await?.into_inner();
            let route = answer.route.as_ref().map(View::from);
            let route = route.ok_or_else(|| Failure::failed("the daemon answered without the route"))?;
            if client.json {
                return json(&route);
            }
            let done = if answer.replaced { "replaced" } else { "added" };
            line(&format!("{done} {} {}", route.prefix, hops_text(&route.next_hops)))
        }
        Route::Del { prefix } => {
            let request = v1::DeleteRouteRequest { prefix: prefix.to_string() };
            let answer = client.rib().delete_route(request).await?.into_inner();
            let route = answer.route.as_ref().map(View::from);
            let route = route.ok_or_else(|| Failure::failed("the daemon answered without the route"))?;
            if client.json {
                return json(&route);
            }
            line(&format!("removed {} {}", route.prefix, hops_text(&route.next_hops)))
        }
    }
}

fn request(add: Add) -> v1::AddRouteRequest {
    let mut next_hops = add.via;
    if let Some(interface) = add.interface {
        next_hops.push(v1::NextHop { interface, ..v1::NextHop::default() });
    }
    if add.blackhole {
        next_hops.push(v1::NextHop { discard: v1::Discard::Blackhole.into(), ..v1::NextHop::default() });
    }
    v1::AddRouteRequest {
        prefix: add.prefix.to_string(),
        next_hops,
        metric: add.metric,
        tag: add.tag,
        lease: add.lease.map(|lease| prost_types::Duration::try_from(lease).unwrap_or_default()),
    }
}
