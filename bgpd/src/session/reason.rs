//! Why a session ends, in types for programs and in words for people.

use std::fmt;

use bytes::{BufMut, BytesMut};

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
    MaxPrefixes {
        /// In which family.
        family: AfiSafi,
        /// The limit.
        limit: u32,
    },
    /// We cannot take more.
    OutOfResources,
    /// BFD says the path is broken (RFC 9384).
    BfdDown,
}

impl StopCause {
    /// What the neighbor is told.
    #[must_use]
    pub fn notification(&self) -> Notification {
        match self {
            Self::AdminShutdown { message } => Notification::cease_with_text(cease::SHUTDOWN, message),
            Self::AdminReset { message } => Notification::cease_with_text(cease::RESET, message),
            Self::Deconfigured => Notification::cease(cease::DECONFIGURED),
            Self::ConfigChange => Notification::cease(cease::CONFIG_CHANGE),
            Self::MaxPrefixes { family, limit } => {
                let mut data = BytesMut::with_capacity(7);
                data.put_u16(family.afi);
                data.put_u8(family.safi);
                data.put_u32(*limit);
                Notification::cease(cease::MAX_PREFIXES).with_data(data.freeze())
            }
            Self::OutOfResources => Notification::cease(cease::OUT_OF_RESOURCES),
            Self::BfdDown => Notification::cease(cease::BFD_DOWN),
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
            Self::MaxPrefixes { family, limit } => write!(f, "more than {limit} prefixes of {family}"),
            Self::OutOfResources => f.write_str("out of resources"),
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
    /// The neighbor ended it.
    NotificationReceived(Notification),
    /// The neighbor made an error, and we ended it.
    NotificationSent(Notification),
    /// We ended it for a reason of our own.
    Stopped(StopCause),
}

impl DownReason {
    /// The neighbor broke the protocol or says that we did: dialling again at once would only repeat it.
    pub(super) fn is_error(&self) -> bool {
        match self {
            Self::ConnectionLost | Self::HoldTimerExpired | Self::Stopped(_) => false,
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
            Self::NotificationReceived(notification) => write!(f, "neighbor sent NOTIFICATION: {notification}"),
            Self::NotificationSent(notification) => write!(f, "we sent NOTIFICATION: {notification}"),
            Self::Stopped(cause) => write!(f, "{cause}"),
        }
    }
}
