//! A neighbor that knows no capabilities is spoken to without any, once (RFC 5492 §3).
//!
//! Only "unsupported optional parameter" says so. "Unsupported capability" names what *we* lack (RFC 5492 §5): leaving more out
//! would not mend it, and could cost a family for as long as the session lasts.

use crate::wire::notification::{code, open as subcode};
use crate::wire::open::Open;
use crate::wire::{AfiSafi, Notification};

/// What our OPEN is without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Omitted {
    /// Nothing.
    Nothing,
    /// All optional parameters.
    Everything,
}

impl Omitted {
    /// What to leave out after `notification` answered `ours`. Nothing if it is about something else, or if no family would be
    /// left to speak: without capabilities it is IPv4 unicast alone.
    pub(super) fn after(notification: &Notification, ours: &Open) -> Self {
        let knows_none = (notification.code, notification.subcode) == (code::OPEN, subcode::UNSUPPORTED_PARAMETER);
        if knows_none && !ours.capabilities.is_empty() && ours.families().contains(&AfiSafi::IPV4_UNICAST) {
            Self::Everything
        } else {
            Self::Nothing
        }
    }

    /// Takes what is omitted out of `open`.
    pub(super) fn apply(self, open: &mut Open) {
        match self {
            Self::Nothing => {}
            Self::Everything => open.capabilities.clear(),
        }
    }
}
