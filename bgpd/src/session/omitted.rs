//! Capabilities that a neighbor could not bear are left out of the next OPEN, once (RFC 5492 §3).

use crate::wire::AfiSafi;
use crate::wire::Notification;
use crate::wire::capability::{self, Capability};
use crate::wire::notification::{code, open as subcode};
use crate::wire::open::Open;

/// What our OPEN is without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Omitted {
    /// Nothing.
    Nothing,
    /// These.
    Listed(Vec<Capability>),
    /// All optional parameters.
    Everything,
}

impl Omitted {
    /// What to leave out after `notification` answered `ours`. Nothing if it is about something else, or if no family
    /// would be left to speak.
    pub(super) fn after(notification: &Notification, ours: &Open) -> Self {
        let omitted = match (notification.code, notification.subcode) {
            (code::OPEN, subcode::UNSUPPORTED_PARAMETER) => Self::Everything,
            // The list is of what it cannot bear, or of what it misses: of the latter we sent nothing.
            (code::OPEN, subcode::UNSUPPORTED_CAPABILITY) => match capability::decode_list(&notification.data) {
                Ok((_, list)) if !list.is_empty() => Self::Listed(list),
                _ => Self::Nothing,
            },
            _ => Self::Nothing,
        };
        let mut shorter = ours.clone();
        omitted.apply(&mut shorter);
        let speaks = |family: &AfiSafi| ours.families().contains(family);
        if shorter == *ours || !shorter.families().iter().any(speaks) { Self::Nothing } else { omitted }
    }

    /// Takes what is omitted out of `open`.
    pub(super) fn apply(&self, open: &mut Open) {
        match self {
            Self::Nothing => {}
            Self::Everything => open.capabilities.clear(),
            Self::Listed(list) => open.capabilities.retain(|ours| {
                !list.iter().any(|theirs| match ours {
                    Capability::MultiProtocol(_) => ours == theirs,
                    _ => ours.code() == theirs.code(),
                })
            }),
        }
    }
}
