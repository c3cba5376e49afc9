//! BFD sessions as `--json` prints them.

use std::time::Duration;

use proto::v1;
use serde::Serialize;

use super::{duration, seconds, some};

/// A session, or the wish for one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::cli) struct BfdSession {
    pub(in crate::cli) address: String,
    pub(in crate::cli) local_address: Option<String>,
    pub(in crate::cli) interface: Option<String>,
    pub(in crate::cli) multihop: bool,
    pub(in crate::cli) state: String,
    pub(in crate::cli) diagnostic: Option<String>,
    pub(in crate::cli) remote_state: Option<String>,
    pub(in crate::cli) remote_diagnostic: Option<String>,
    pub(in crate::cli) local_discriminator: u32,
    pub(in crate::cli) remote_discriminator: u32,
    #[serde(rename = "transmit_interval_seconds", serialize_with = "seconds")]
    pub(in crate::cli) transmit_interval: Option<Duration>,
    #[serde(rename = "detection_time_seconds", serialize_with = "seconds")]
    pub(in crate::cli) detection_time: Option<Duration>,
    #[serde(rename = "in_state_for_seconds", serialize_with = "seconds")]
    pub(in crate::cli) in_state_for: Option<Duration>,
    pub(in crate::cli) failures: u64,
    pub(in crate::cli) clients: u32,
    pub(in crate::cli) packets_in: u64,
    pub(in crate::cli) packets_out: u64,
    pub(in crate::cli) missing: Option<String>,
}

impl From<&v1::BfdSession> for BfdSession {
    fn from(session: &v1::BfdSession) -> Self {
        Self {
            address: session.address.clone(),
            local_address: some(&session.local_address),
            interface: some(&session.interface),
            multihop: session.multihop,
            state: session.state.clone(),
            diagnostic: some(&session.diagnostic),
            remote_state: some(&session.remote_state),
            remote_diagnostic: some(&session.remote_diagnostic),
            local_discriminator: session.local_discriminator,
            remote_discriminator: session.remote_discriminator,
            transmit_interval: session.transmit_interval.as_ref().map(duration),
            detection_time: session.detection_time.as_ref().map(duration),
            in_state_for: session.in_state_for.as_ref().map(duration),
            failures: session.failures,
            clients: session.clients,
            packets_in: session.packets_in,
            packets_out: session.packets_out,
            missing: some(&session.missing),
        }
    }
}
