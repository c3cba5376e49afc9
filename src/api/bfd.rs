//! BFD sessions as the API tells them.

use std::time::{Duration, Instant};

use proto::v1;

use crate::bfd::{Diagnostic, Listed, State};

/// A session, or the wish for one.
pub(super) fn session(listed: &Listed) -> v1::BfdSession {
    let wanted = &listed.wanted;
    let named = v1::BfdSession {
        address: wanted.peer.to_string(),
        state: State::Down.to_string(),
        interface: wanted.interface.clone().unwrap_or_default(),
        multihop: wanted.multihop,
        missing: listed.missing.clone().unwrap_or_default(),
        ..v1::BfdSession::default()
    };
    let Some(row) = listed.row else { return named };
    let session = row.session;
    let words = |diagnostic: Diagnostic| match diagnostic {
        Diagnostic::NONE => String::new(),
        other => other.to_string(),
    };
    v1::BfdSession {
        state: session.state.to_string(),
        local_address: row.path.local.to_string(),
        multihop: row.path.link.is_none(),
        diagnostic: words(session.diagnostic),
        remote_state: session.remote_state.to_string(),
        remote_diagnostic: words(session.remote_diagnostic),
        local_discriminator: session.local_discriminator.0.get(),
        remote_discriminator: session.remote_discriminator.map_or(0, |number| number.0.get()),
        transmit_interval: duration(session.transmit_interval),
        detection_time: session.detection_time.and_then(duration),
        in_state_for: duration(age(session.since)),
        failures: session.failures,
        clients: u32::try_from(row.clients).unwrap_or(u32::MAX),
        packets_in: row.received,
        packets_out: row.sent,
        ..named
    }
}

#[allow(clippy::disallowed_methods)] // People are told how long ago something was.
fn age(since: Instant) -> Duration {
    Instant::now().saturating_duration_since(since)
}

fn duration(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}
