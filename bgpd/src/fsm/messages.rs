//! Which message is due in which state (RFC 4271 §8.2.2, RFC 6608 for what to answer to the others).

use crate::speaker::message::SessionState;
use crate::wire::notification::fsm as subcode;
use crate::wire::{MessageType, Notification};

/// What to do with a whole message in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// OPEN in OpenSent: negotiate.
    Open,
    /// The KEEPALIVE that confirms our OPEN.
    Confirm,
    /// The neighbor lives.
    Alive,
    /// Routes.
    Routes,
    /// A request to send routes again.
    Refresh,
    /// The neighbor ends the session.
    End,
}

/// What a message of `kind` means in `state`.
///
/// # Errors
/// The Finite State Machine Error of RFC 6608 for a message that is not due.
pub fn due(state: SessionState, kind: MessageType) -> Result<Due, Notification> {
    use MessageType as M;
    use SessionState as S;
    match (state, kind) {
        (S::OpenSent, M::Open) => Ok(Due::Open),
        (S::OpenConfirm, M::Keepalive) => Ok(Due::Confirm),
        (S::Established, M::Keepalive) => Ok(Due::Alive),
        (S::Established, M::Update) => Ok(Due::Routes),
        (S::Established, M::RouteRefresh) => Ok(Due::Refresh),
        (_, M::Notification) => Ok(Due::End),
        (state, kind) => Err(Notification::unexpected(
            match state {
                S::OpenSent => subcode::IN_OPEN_SENT,
                S::OpenConfirm => subcode::IN_OPEN_CONFIRM,
                S::Established => subcode::IN_ESTABLISHED,
                S::Idle | S::Connect | S::Active => subcode::UNSPECIFIED,
            },
            kind,
        )),
    }
}
