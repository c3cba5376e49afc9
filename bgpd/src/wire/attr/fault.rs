//! What is wrong with an attribute, and what RFC 7606 wants done about it.

use std::fmt;

use super::table;
use crate::wire::Notification;

/// What to do (RFC 7606 §2). "AFI/SAFI disable" is never chosen: it leaves a session up that has silently lost a family,
/// where a reset is seen by people and heals itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultAction {
    /// End the session with this.
    Reset(Notification),
    /// Take every route of the UPDATE as withdrawn.
    TreatAsWithdraw,
    /// Go on without the attribute.
    DiscardAttribute,
}

/// A fault in the attributes of an UPDATE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttrFault {
    /// The attribute's type code; 0 if it is the list as a whole.
    pub code: u8,
    /// What is wrong, in words.
    pub what: &'static str,
    /// What to do.
    pub action: FaultAction,
}

impl AttrFault {
    pub(super) const fn withdraw(code: u8, what: &'static str) -> Self {
        Self { code, what, action: FaultAction::TreatAsWithdraw }
    }

    pub(super) const fn discard(code: u8, what: &'static str) -> Self {
        Self { code, what, action: FaultAction::DiscardAttribute }
    }

    pub(super) const fn reset(code: u8, what: &'static str, notification: Notification) -> Self {
        Self { code, what, action: FaultAction::Reset(notification) }
    }

    /// The stronger one wins when several attributes are malformed (RFC 7606 §3 h).
    pub(super) const fn strength(&self) -> u8 {
        match self.action {
            FaultAction::DiscardAttribute => 0,
            FaultAction::TreatAsWithdraw => 1,
            FaultAction::Reset(_) => 2,
        }
    }
}

impl fmt::Display for AttrFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, table::name(self.code)) {
            (0, _) => f.write_str("attribute list")?,
            (_, Some(name)) => f.write_str(name)?,
            (code, None) => write!(f, "attribute {code}")?,
        }
        write!(f, ": {}; ", self.what)?;
        match &self.action {
            FaultAction::Reset(notification) => write!(f, "session reset ({notification})"),
            FaultAction::TreatAsWithdraw => f.write_str("routes treated as withdrawn"),
            FaultAction::DiscardAttribute => f.write_str("attribute discarded"),
        }
    }
}
