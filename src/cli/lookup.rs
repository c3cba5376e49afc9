//! `anyhop lookup IP`: how an address is reached.

use std::net::IpAddr;

use clap::Args;
use proto::v1;

use super::client::{Client, Failure};
use super::output::{json, print};
use super::view::{self, Route};

#[derive(Debug, Args)]
pub(super) struct Lookup {
    /// The address, IPv4 or IPv6
    address: IpAddr,
}

pub(super) async fn run(client: Client, wish: Lookup) -> Result<(), Failure> {
    let address = wish.address.to_string();
    let answer = client.rib().lookup(v1::LookupRequest { address: address.clone() }).await?.into_inner();
    let route = answer.route.as_ref().map(Route::from);
    let route = route.ok_or_else(|| Failure::failed(format!("the daemon answered without a route for {address}")))?;
    if client.json {
        return json(&route);
    }
    print(&text(&route))
}

/// The route on a few lines.
pub(super) fn text(route: &Route) -> String {
    let mut text = format!(
        "{}  {}  distance {}  metric {}{}\n",
        route.prefix,
        route.protocol_text(),
        route.distance,
        route.metric,
        if route.tag == 0 { String::new() } else { format!("  tag {}", route.tag) },
    );
    let (stated, resolved) = (view::hops_text(&route.next_hops), view::hops_text(&route.resolved));
    let rows = [
        ("next hops", stated.clone()),
        (
            "resolved",
            if resolved.is_empty() { "no: the next hops are not reachable".to_owned() } else { resolved.clone() },
        ),
        ("fib", route.fib_text()),
    ];
    for (name, value) in rows {
        // What is already resolved need not be said twice.
        if name != "resolved" || resolved != stated {
            text.push_str(&format!("  {name:<10} {value}\n"));
        }
    }
    text
}
