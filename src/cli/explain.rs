//! `anyhop explain PREFIX`: every candidate, the rule that chose or rejected it, and who is told.

use bgpd::speaker::message::NeighborKey;
use clap::Args;
use ipnet::IpNet;
use proto::v1;

use super::client::{Client, Failure};
use super::output::{json, print};
use super::view::{Explanation, hops_text};
use super::{lookup, output};

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The exact prefix
    prefix: IpNet,
    /// Only the announcement to this neighbor
    #[arg(long, value_name = "ADDR")]
    neighbor: Option<NeighborKey>,
}

pub(super) async fn run(client: Client, wish: Explain) -> Result<(), Failure> {
    let request = v1::ExplainRequest {
        prefix: wish.prefix.to_string(),
        neighbor: wish.neighbor.map(|addr| addr.to_string()).unwrap_or_default(),
    };
    let answer = Explanation::from(client.rib().explain(request).await?.get_ref());
    if client.json { json(&answer) } else { print(&text(&answer)) }
}

pub(super) fn text(explanation: &Explanation) -> String {
    let mut text = match &explanation.route {
        Some(route) => lookup::text(route),
        None => format!("{}  no route is chosen\n", explanation.prefix),
    };
    let mark = |chosen: bool| if chosen { ">" } else { " " };
    if !explanation.candidates.is_empty() {
        text.push_str("\nRIB candidates\n");
        for candidate in &explanation.candidates {
            text.push_str(&format!(
                "{} {:<9} {:>7}  {}  because {}\n",
                mark(candidate.chosen),
                candidate.kind.as_ref().unwrap_or(&candidate.protocol),
                format!("{}/{}", candidate.distance, candidate.metric),
                hops_text(&candidate.next_hops),
                candidate.reason,
            ));
        }
    }
    if !explanation.bgp_candidates.is_empty() {
        text.push_str("\nBGP paths\n");
        for candidate in &explanation.bgp_candidates {
            let path = candidate.path.as_ref();
            let from = path.and_then(|path| path.from.as_deref()).unwrap_or("ourselves");
            let attributes = path.and_then(|path| path.imported.as_ref().or(path.attributes.as_ref()));
            text.push_str(&format!("{} from {from}: {}\n", mark(candidate.chosen), because(&candidate.reason)));
            if let Some(attributes) = attributes {
                text.push_str(&format!("    {}\n", attributes.text()));
            }
        }
    }
    if !explanation.exports.is_empty() {
        text.push_str("\nAnnouncements\n");
        let rows = explanation.exports.iter().map(|export| {
            let verdict = if export.announced { "announced" } else { "not announced" };
            let told = export.attributes.as_ref().map(|attributes| attributes.text()).unwrap_or_default();
            let id = export.path_id.map(|id| format!(" path {id}")).unwrap_or_default();
            [format!("{}{id}", export.neighbor), verdict.to_owned(), export.reason.clone(), told]
        });
        text.push_str(&output::table(["neighbor", "verdict", "because", "told"], rows));
    }
    text
}

fn because(reason: &str) -> String {
    if reason.is_empty() { "no reason given".to_owned() } else { format!("because {reason}") }
}
