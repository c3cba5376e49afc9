//! Neighbors and their paths as people and programs see them.

use std::time::Duration;

use proto::v1;
use serde::Serialize;

use super::{duration, seconds, some, time, word};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct Neighbor {
    pub(in crate::cli) address: String,
    pub(in crate::cli) asn: Option<u32>,
    pub(in crate::cli) description: Option<String>,
    pub(in crate::cli) state: String,
    pub(in crate::cli) enabled: bool,
    #[serde(rename = "up_seconds", serialize_with = "seconds")]
    pub(in crate::cli) up_for: Option<Duration>,
    pub(in crate::cli) local: Option<String>,
    pub(in crate::cli) router_id: Option<String>,
    #[serde(rename = "hold_time_seconds", serialize_with = "seconds")]
    pub(in crate::cli) hold_time: Option<Duration>,
    pub(in crate::cli) families: Vec<String>,
    pub(in crate::cli) received: u64,
    pub(in crate::cli) accepted: u64,
    pub(in crate::cli) advertised: u64,
    pub(in crate::cli) updates_in: u64,
    pub(in crate::cli) updates_out: u64,
    pub(in crate::cli) messages_in: u64,
    pub(in crate::cli) messages_out: u64,
    pub(in crate::cli) established_count: u64,
    pub(in crate::cli) last_down: Option<String>,
    pub(in crate::cli) notes: Vec<String>,
    pub(in crate::cli) facts: Vec<String>,
    pub(in crate::cli) remote: Option<String>,
    pub(in crate::cli) peer_address: Option<String>,
    pub(in crate::cli) interface: Option<String>,
    pub(in crate::cli) dynamic: bool,
    pub(in crate::cli) draining: bool,
    pub(in crate::cli) added: bool,
    pub(in crate::cli) passive: bool,
    pub(in crate::cli) capabilities: Vec<String>,
    pub(in crate::cli) role: Option<String>,
    pub(in crate::cli) remote_role: Option<String>,
    pub(in crate::cli) add_path: Vec<AddPath>,
    pub(in crate::cli) graceful_restart: Restart,
    pub(in crate::cli) max_prefix: Option<MaxPrefix>,
    pub(in crate::cli) ttl_security: Option<u32>,
    /// Whether there is one.
    pub(in crate::cli) password: bool,
    pub(in crate::cli) last_error: Option<String>,
}

/// A message of a neighbor's history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct Message {
    pub(in crate::cli) time: Option<String>,
    pub(in crate::cli) direction: &'static str,
    pub(in crate::cli) r#type: String,
    pub(in crate::cli) length: u32,
    pub(in crate::cli) text: String,
    /// Hexadecimal; shorter than `length` if the message is long or old.
    pub(in crate::cli) octets: String,
}

impl From<&v1::BgpMessage> for Message {
    fn from(message: &v1::BgpMessage) -> Self {
        Self {
            time: message.time.as_ref().map(time),
            direction: if message.sent { "out" } else { "in" },
            r#type: message.r#type.clone(),
            length: message.length,
            text: message.text.clone(),
            octets: message.octets.iter().map(|octet| format!("{octet:02x}")).collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct AddPath {
    pub(in crate::cli) family: String,
    pub(in crate::cli) receive: bool,
    pub(in crate::cli) send: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(in crate::cli) struct Restart {
    pub(in crate::cli) helper: bool,
    pub(in crate::cli) enabled: bool,
    pub(in crate::cli) restarting: bool,
    pub(in crate::cli) stale: u64,
    #[serde(rename = "restart_time_seconds", serialize_with = "seconds")]
    pub(in crate::cli) restart_time: Option<Duration>,
    #[serde(rename = "long_lived_seconds", serialize_with = "seconds")]
    pub(in crate::cli) long_lived: Option<Duration>,
}

impl From<&v1::NeighborRestart> for Restart {
    fn from(restart: &v1::NeighborRestart) -> Self {
        Self {
            helper: restart.helper,
            enabled: restart.enabled,
            restarting: restart.restarting,
            stale: restart.stale,
            restart_time: restart.restart_time.as_ref().map(duration),
            long_lived: restart.long_lived.as_ref().map(duration),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct MaxPrefix {
    pub(in crate::cli) limit: u32,
    pub(in crate::cli) warn: u32,
    #[serde(rename = "restart_seconds", serialize_with = "seconds")]
    pub(in crate::cli) restart: Option<Duration>,
    pub(in crate::cli) warned: bool,
    pub(in crate::cli) exceeded: bool,
}

impl From<&v1::NeighborMaxPrefix> for MaxPrefix {
    fn from(limit: &v1::NeighborMaxPrefix) -> Self {
        Self {
            limit: limit.limit,
            warn: limit.warn,
            restart: limit.restart.as_ref().map(duration),
            warned: limit.warned,
            exceeded: limit.exceeded,
        }
    }
}

/// `ipv4-unicast`.
fn family_name(family: v1::AddressFamily) -> String {
    format!("{}-unicast", word(family.as_str_name(), "ADDRESS_FAMILY_"))
}

impl From<&v1::Neighbor> for Neighbor {
    fn from(neighbor: &v1::Neighbor) -> Self {
        Self {
            address: neighbor.address.clone(),
            asn: Some(neighbor.asn).filter(|asn| *asn != 0),
            description: some(&neighbor.description),
            state: word(neighbor.state().as_str_name(), "SESSION_STATE_"),
            enabled: neighbor.enabled,
            up_for: neighbor.up_for.as_ref().map(duration),
            local: some(&neighbor.local),
            router_id: some(&neighbor.router_id),
            hold_time: neighbor.hold_time.as_ref().map(duration),
            families: neighbor.families().map(family_name).collect(),
            received: neighbor.received,
            accepted: neighbor.accepted,
            advertised: neighbor.advertised,
            updates_in: neighbor.updates_in,
            updates_out: neighbor.updates_out,
            messages_in: neighbor.messages_in,
            messages_out: neighbor.messages_out,
            established_count: neighbor.established_count,
            last_down: some(&neighbor.last_down),
            notes: neighbor.notes.clone(),
            facts: neighbor.facts.clone(),
            remote: some(&neighbor.remote),
            peer_address: some(&neighbor.peer_address),
            interface: some(&neighbor.interface),
            dynamic: neighbor.dynamic,
            draining: neighbor.draining,
            added: neighbor.added,
            passive: neighbor.passive,
            capabilities: neighbor.capabilities.clone(),
            role: some(&neighbor.role),
            remote_role: some(&neighbor.remote_role),
            add_path: neighbor
                .add_path
                .iter()
                .map(|of| AddPath { family: family_name(of.family()), receive: of.receive, send: of.send })
                .collect(),
            graceful_restart: neighbor.graceful_restart.as_ref().map(Restart::from).unwrap_or_default(),
            max_prefix: neighbor.max_prefix.as_ref().map(MaxPrefix::from),
            ttl_security: neighbor.ttl_security,
            password: neighbor.password,
            last_error: some(&neighbor.last_error),
        }
    }
}

impl Neighbor {
    /// The state, or that an operator took it down.
    pub(in crate::cli) fn state_text(&self) -> String {
        match self {
            Self { enabled: false, .. } => "disabled".to_owned(),
            Self { draining: true, state, .. } => format!("{state}, draining"),
            Self { state, .. } => state.clone(),
        }
    }

    /// Why it is not as one would wish, short enough for a table; `anyhop show neighbors ADDR` says it all.
    pub(in crate::cli) fn note_text(&self) -> String {
        let down = self.last_down.iter().filter(|_| self.state != "established");
        let mut why = down.chain(&self.notes);
        match (why.next(), why.count()) {
            (None, _) => String::new(),
            (Some(first), 0) => first.clone(),
            (Some(first), more) => format!("{first} (+{more})"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct Attributes {
    pub(in crate::cli) origin: String,
    pub(in crate::cli) as_path: String,
    pub(in crate::cli) next_hop: String,
    pub(in crate::cli) next_hop_link_local: Option<String>,
    pub(in crate::cli) med: Option<u32>,
    pub(in crate::cli) local_pref: Option<u32>,
    pub(in crate::cli) atomic_aggregate: bool,
    pub(in crate::cli) aggregator: Option<String>,
    pub(in crate::cli) communities: Vec<String>,
    pub(in crate::cli) extended_communities: Vec<String>,
    pub(in crate::cli) large_communities: Vec<String>,
    pub(in crate::cli) originator_id: Option<String>,
    pub(in crate::cli) cluster_list: Vec<String>,
    pub(in crate::cli) only_to_customer: Option<u32>,
    pub(in crate::cli) unknown: Vec<UnknownAttribute>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct UnknownAttribute {
    pub(in crate::cli) code: u32,
    pub(in crate::cli) flags: u32,
    /// Hexadecimal.
    pub(in crate::cli) value: String,
}

impl From<&v1::PathAttributes> for Attributes {
    fn from(attrs: &v1::PathAttributes) -> Self {
        Self {
            origin: word(attrs.origin().as_str_name(), "ORIGIN_"),
            as_path: attrs.as_path_text.clone(),
            next_hop: attrs.next_hop.clone(),
            next_hop_link_local: some(&attrs.next_hop_link_local),
            med: attrs.med,
            local_pref: attrs.local_pref,
            atomic_aggregate: attrs.atomic_aggregate,
            aggregator: some(&attrs.aggregator),
            communities: attrs.communities.clone(),
            extended_communities: attrs.extended_communities.clone(),
            large_communities: attrs.large_communities.clone(),
            originator_id: some(&attrs.originator_id),
            cluster_list: attrs.cluster_list.clone(),
            only_to_customer: attrs.only_to_customer,
            unknown: attrs
                .unknown
                .iter()
                .map(|unknown| UnknownAttribute {
                    code: unknown.code,
                    flags: unknown.flags,
                    value: unknown.value.iter().map(|octet| format!("{octet:02x}")).collect(),
                })
                .collect(),
        }
    }
}

impl Attributes {
    /// All communities in one cell.
    pub(in crate::cli) fn communities_text(&self) -> String {
        let large = self.large_communities.iter().map(|large| format!("large:{large}"));
        let all: Vec<String> =
            self.communities.iter().cloned().chain(self.extended_communities.iter().cloned()).chain(large).collect();
        all.join(" ")
    }

    /// One line for `explain`.
    pub(in crate::cli) fn text(&self) -> String {
        let mut text = format!("next hop {}, AS path [{}], origin {}", self.next_hop, self.as_path, self.origin);
        if let Some(pref) = self.local_pref {
            text.push_str(&format!(", local pref {pref}"));
        }
        if let Some(med) = self.med {
            text.push_str(&format!(", med {med}"));
        }
        let communities = self.communities_text();
        if !communities.is_empty() {
            text.push_str(&format!(", communities {communities}"));
        }
        text
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct Path {
    pub(in crate::cli) prefix: String,
    pub(in crate::cli) from: Option<String>,
    pub(in crate::cli) best: bool,
    pub(in crate::cli) path_id: Option<u32>,
    pub(in crate::cli) attributes: Option<Attributes>,
    pub(in crate::cli) imported: Option<Attributes>,
}

impl From<&v1::BgpPath> for Path {
    fn from(path: &v1::BgpPath) -> Self {
        Self {
            prefix: path.prefix.clone(),
            from: some(&path.from),
            best: path.best,
            path_id: path.path_id,
            attributes: path.attributes.as_ref().map(Attributes::from),
            imported: path.imported.as_ref().map(Attributes::from),
        }
    }
}
