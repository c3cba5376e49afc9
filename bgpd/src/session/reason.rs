//! Why a session ends, in types for programs and in words for people.

use std::fmt;
use std::time::Duration;

use bytes::{BufMut, BytesMut};

use super::Negotiated;
use crate::wire::notification::{cease, code};
use crate::wire::{AfiSafi, Notification};

/// Why we end a session or refuse to have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// An operator disabled the neighbor, or the daemon stops.
    AdminShutdown {
        /// For the other operator (RFC 9003); may be empty.
        message: String,
    },
    /// An operator wants it to start anew.
    AdminReset {
        /// For the other operator (RFC 9003); may be empty.
        message: String,
    },
    /// The neighbor is gone from the configuration.
    Deconfigured,
    /// Its configuration changed in a way that needs a new session.
    ConfigChange,
    /// It announced more prefixes than allowed (RFC 4486 §4).
    MaxPrefix {
        /// In which family.
        family: AfiSafi,
        /// The limit.
        limit: u32,
        /// The session may come up again after so long; `None`: when it is started.
        restart: Option<Duration>,
    },
    /// We restart, and the neighbor is to keep our routes meanwhile: nothing is said, the connection just ends
    /// (RFC 4724 §4.1).
    Restarting,
    /// BFD says the path is broken (RFC 9384).
    BfdDown,
}

impl StopCause {
    /// What the neighbor is told.
    #[must_use]
    pub fn notification(&self) -> Option<Notification> {
        Some(match self {
            Self::AdminShutdown { message } => Notification::cease_with_text(cease::SHUTDOWN, message),
            Self::AdminReset { message } => Notification::cease_with_text(cease::RESET, message),
            Self::Deconfigured => Notification::cease(cease::DECONFIGURED),
            Self::ConfigChange => Notification::cease(cease::CONFIG_CHANGE),
            Self::MaxPrefix { family, limit, .. } => {
                let mut data = BytesMut::with_capacity(7);
                data.put_u16(family.afi);
                data.put_u8(family.safi);
                data.put_u32(*limit);
                Notification::cease(cease::MAX_PREFIXES).with_data(data.freeze())
            }
            Self::BfdDown => Notification::cease(cease::BFD_DOWN),
            Self::Restarting => return None,
        })
    }

    /// What the neighbor of an established session is told: if both ends go on gracefully after a NOTIFICATION, some
    /// routes would be kept over it, and they are to go nevertheless, the words are wrapped in a Hard Reset (RFC 8538
    /// §3.1).
    pub(super) fn last_words(&self, negotiated: &Negotiated) -> Option<Notification> {
        let words = self.notification()?;
        Some(if self.is_hard() && negotiated.notifies_gracefully() && negotiated.restarts_any() {
            words.hard()
        } else {
            words
        })
    }

    /// The routes of both ends are to go with the session (RFC 8538 §4).
    #[must_use]
    pub const fn is_hard(&self) -> bool {
        match self {
            Self::AdminShutdown { .. }
            | Self::AdminReset { .. }
            | Self::Deconfigured
            | Self::MaxPrefix { .. }
            // What is kept would be forwarded into the hole that BFD has found.
            | Self::BfdDown => true,
            Self::ConfigChange | Self::Restarting => false,
        }
    }

    /// When the session may come up again without being started.
    pub(super) const fn restart(&self) -> Option<Duration> {
        match self {
            Self::MaxPrefix { restart, .. } => *restart,
            _ => None,
        }
    }
}

impl fmt::Display for StopCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AdminShutdown { message } if message.is_empty() => f.write_str("administrative shutdown"),
            Self::AdminShutdown { message } => write!(f, "administrative shutdown (\"{message}\")"),
            Self::AdminReset { message } if message.is_empty() => f.write_str("administrative reset"),
            Self::AdminReset { message } => write!(f, "administrative reset (\"{message}\")"),
            Self::Deconfigured => f.write_str("removed from the configuration"),
            Self::ConfigChange => f.write_str("configuration changed"),
            Self::MaxPrefix { family, limit, .. } => write!(f, "more than {limit} prefixes of {family}"),
            Self::Restarting => f.write_str("we restart"),
            Self::BfdDown => f.write_str("BFD is down"),
        }
    }
}

/// Why a session fell or could not be established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// The connection was closed or failed.
    ConnectionLost,
    /// Nothing was heard for the hold time.
    HoldTimerExpired,
    /// The neighbor took nothing for the send hold time (RFC 9687).
    SendHoldTimerExpired,
    /// The neighbor, which restarts gracefully, came with another connection (RFC 4724 §5).
    Replaced,
    /// The neighbor ended it.
    NotificationReceived(Notification),
    /// The neighbor made an error, and we ended it.
    NotificationSent(Notification),
    /// We ended it for a reason of our own.
    Stopped(StopCause),
}

impl DownReason {
    /// The neighbor's routes may be kept, of the families that [`Negotiated::helps`] names: the connection was lost
    /// without a word (RFC 4724 §4.2), or with one that is no Hard Reset if both ends go on gracefully after those
    /// (RFC 8538 §4).
    #[must_use]
    pub fn keeps_routes(&self, negotiated: &Negotiated) -> bool {
        if !negotiated.helps_any() {
            return false;
        }
        match self {
            Self::ConnectionLost | Self::Replaced => true,
            Self::HoldTimerExpired | Self::SendHoldTimerExpired => negotiated.notifies_gracefully(),
            Self::NotificationReceived(notification) | Self::NotificationSent(notification) => {
                negotiated.notifies_gracefully() && !notification.is_hard_reset()
            }
            Self::Stopped(cause) => negotiated.notifies_gracefully() && !cause.is_hard(),
        }
    }

    /// The neighbor broke the protocol or says that we did: dialling again at once would only repeat it.
    pub(super) fn is_error(&self) -> bool {
        match self {
            Self::ConnectionLost
            | Self::HoldTimerExpired
            | Self::SendHoldTimerExpired
            | Self::Replaced
            | Self::Stopped(_) => false,
            Self::NotificationReceived(notification) => notification.code != code::CEASE,
            Self::NotificationSent(_) => true,
        }
    }

    /// Both ends dialled and each closed the connection that the other kept: to be tried again soon.
    pub(super) fn is_collision(&self) -> bool {
        matches!(self, Self::NotificationReceived(Notification { code: code::CEASE, subcode: cease::COLLISION, .. }))
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionLost => f.write_str("connection lost"),
            Self::HoldTimerExpired => f.write_str("hold timer expired"),
            Self::SendHoldTimerExpired => f.write_str("send hold timer expired: the neighbor took nothing"),
            Self::Replaced => f.write_str("the neighbor restarted and connected anew"),
            Self::NotificationReceived(notification) => write!(f, "neighbor sent NOTIFICATION: {notification}"),
            Self::NotificationSent(notification) => write!(f, "we sent NOTIFICATION: {notification}"),
            Self::Stopped(cause) => write!(f, "{cause}"),
        }
    }
}
