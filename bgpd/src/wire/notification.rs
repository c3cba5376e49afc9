//! NOTIFICATION (RFC 4271 §4.5, §6) with the codes and subcodes of RFC 4486, 6608, 7313, 8538, 9234, 9384 and 9687, and
//! the shutdown text of RFC 9003.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::header::{self as message, MessageType};

/// Error codes.
pub mod code {
    /// Message Header Error.
    pub const HEADER: u8 = 1;
    /// OPEN Message Error.
    pub const OPEN: u8 = 2;
    /// UPDATE Message Error.
    pub const UPDATE: u8 = 3;
    /// Hold Timer Expired.
    pub const HOLD_TIMER: u8 = 4;
    /// Finite State Machine Error.
    pub const FSM: u8 = 5;
    /// Cease.
    pub const CEASE: u8 = 6;
    /// ROUTE-REFRESH Message Error (RFC 7313).
    pub const ROUTE_REFRESH: u8 = 7;
    /// Send Hold Timer Expired (RFC 9687).
    pub const SEND_HOLD_TIMER: u8 = 8;
}

/// Subcodes of [`code::HEADER`].
pub mod header {
    /// Connection Not Synchronized.
    pub const NOT_SYNCHRONIZED: u8 = 1;
    /// Bad Message Length.
    pub const BAD_LENGTH: u8 = 2;
    /// Bad Message Type.
    pub const BAD_TYPE: u8 = 3;
}

/// Subcodes of [`code::OPEN`].
pub mod open {
    /// Something else, or an optional parameter that is malformed.
    pub const UNSPECIFIC: u8 = 0;
    /// Unsupported Version Number.
    pub const VERSION: u8 = 1;
    /// Bad Peer AS.
    pub const BAD_PEER_AS: u8 = 2;
    /// Bad BGP Identifier.
    pub const BAD_IDENTIFIER: u8 = 3;
    /// Unsupported Optional Parameter.
    pub const UNSUPPORTED_PARAMETER: u8 = 4;
    /// Unacceptable Hold Time.
    pub const HOLD_TIME: u8 = 6;
    /// Unsupported Capability (RFC 5492).
    pub const UNSUPPORTED_CAPABILITY: u8 = 7;
    /// Role Mismatch (RFC 9234).
    pub const ROLE_MISMATCH: u8 = 11;
}

/// Subcodes of [`code::UPDATE`].
pub mod update {
    /// Malformed Attribute List.
    pub const MALFORMED_LIST: u8 = 1;
    /// Unrecognized Well-known Attribute.
    pub const UNRECOGNIZED_WELL_KNOWN: u8 = 2;
    /// Missing Well-known Attribute.
    pub const MISSING_WELL_KNOWN: u8 = 3;
    /// Attribute Flags Error.
    pub const FLAGS: u8 = 4;
    /// Attribute Length Error.
    pub const LENGTH: u8 = 5;
    /// Invalid ORIGIN Attribute.
    pub const ORIGIN: u8 = 6;
    /// Invalid NEXT_HOP Attribute.
    pub const NEXT_HOP: u8 = 8;
    /// Optional Attribute Error.
    pub const OPTIONAL: u8 = 9;
    /// Invalid Network Field.
    pub const NETWORK: u8 = 10;
    /// Malformed AS_PATH.
    pub const AS_PATH: u8 = 11;
}

/// Subcodes of [`code::FSM`] (RFC 6608).
pub mod fsm {
    /// Unspecified error.
    pub const UNSPECIFIED: u8 = 0;
    /// Receive Unexpected Message in OpenSent State.
    pub const IN_OPEN_SENT: u8 = 1;
    /// Receive Unexpected Message in OpenConfirm State.
    pub const IN_OPEN_CONFIRM: u8 = 2;
    /// Receive Unexpected Message in Established State.
    pub const IN_ESTABLISHED: u8 = 3;
}

/// Subcodes of [`code::CEASE`] (RFC 4486, RFC 8538, RFC 9384).
pub mod cease {
    /// Maximum Number of Prefixes Reached.
    pub const MAX_PREFIXES: u8 = 1;
    /// Administrative Shutdown.
    pub const SHUTDOWN: u8 = 2;
    /// Peer De-configured.
    pub const DECONFIGURED: u8 = 3;
    /// Administrative Reset.
    pub const RESET: u8 = 4;
    /// Connection Rejected.
    pub const REJECTED: u8 = 5;
    /// Other Configuration Change.
    pub const CONFIG_CHANGE: u8 = 6;
    /// Connection Collision Resolution.
    pub const COLLISION: u8 = 7;
    /// Out of Resources.
    pub const OUT_OF_RESOURCES: u8 = 8;
    /// Hard Reset.
    pub const HARD_RESET: u8 = 9;
    /// BFD Down.
    pub const BFD_DOWN: u8 = 10;
}

/// Subcodes of [`code::ROUTE_REFRESH`].
pub mod route_refresh {
    /// Invalid Message Length.
    pub const LENGTH: u8 = 1;
}

/// Names of a code's subcodes.
type SubcodeNames = &'static [(u8, &'static str)];

/// Names by code, and below each the names by subcode.
const NAMES: &[(u8, &str, SubcodeNames)] = &[
    (
        code::HEADER,
        "Message Header Error",
        &[(1, "Connection Not Synchronized"), (2, "Bad Message Length"), (3, "Bad Message Type")],
    ),
    (
        code::OPEN,
        "OPEN Message Error",
        &[
            (1, "Unsupported Version Number"),
            (2, "Bad Peer AS"),
            (3, "Bad BGP Identifier"),
            (4, "Unsupported Optional Parameter"),
            (6, "Unacceptable Hold Time"),
            (7, "Unsupported Capability"),
            (11, "Role Mismatch"),
        ],
    ),
    (
        code::UPDATE,
        "UPDATE Message Error",
        &[
            (1, "Malformed Attribute List"),
            (2, "Unrecognized Well-known Attribute"),
            (3, "Missing Well-known Attribute"),
            (4, "Attribute Flags Error"),
            (5, "Attribute Length Error"),
            (6, "Invalid ORIGIN Attribute"),
            (8, "Invalid NEXT_HOP Attribute"),
            (9, "Optional Attribute Error"),
            (10, "Invalid Network Field"),
            (11, "Malformed AS_PATH"),
        ],
    ),
    (code::HOLD_TIMER, "Hold Timer Expired", &[]),
    (
        code::FSM,
        "Finite State Machine Error",
        &[
            (1, "Unexpected Message in OpenSent State"),
            (2, "Unexpected Message in OpenConfirm State"),
            (3, "Unexpected Message in Established State"),
        ],
    ),
    (
        code::CEASE,
        "Cease",
        &[
            (1, "Maximum Number of Prefixes Reached"),
            (2, "Administrative Shutdown"),
            (3, "Peer De-configured"),
            (4, "Administrative Reset"),
            (5, "Connection Rejected"),
            (6, "Other Configuration Change"),
            (7, "Connection Collision Resolution"),
            (8, "Out of Resources"),
            (9, "Hard Reset"),
            (10, "BFD Down"),
        ],
    ),
    (code::ROUTE_REFRESH, "ROUTE-REFRESH Message Error", &[(1, "Invalid Message Length")]),
    (code::SEND_HOLD_TIMER, "Send Hold Timer Expired", &[]),
];

/// A NOTIFICATION: why a session ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notification {
    /// Error code.
    pub code: u8,
    /// Error subcode.
    pub subcode: u8,
    /// What the code and subcode define, or nothing.
    pub data: Bytes,
}

impl Notification {
    /// A NOTIFICATION without data.
    #[must_use]
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode, data: Bytes::new() }
    }

    /// The same with `data`.
    #[must_use]
    pub fn with_data(mut self, data: Bytes) -> Self {
        self.data = data;
        self
    }

    /// A Message Header Error.
    #[must_use]
    pub const fn header(subcode: u8) -> Self {
        Self::new(code::HEADER, subcode)
    }

    /// An OPEN Message Error.
    #[must_use]
    pub const fn open(subcode: u8) -> Self {
        Self::new(code::OPEN, subcode)
    }

    /// An UPDATE Message Error.
    #[must_use]
    pub const fn update(subcode: u8) -> Self {
        Self::new(code::UPDATE, subcode)
    }

    /// Hold Timer Expired.
    #[must_use]
    pub const fn hold_timer() -> Self {
        Self::new(code::HOLD_TIMER, 0)
    }

    /// Send Hold Timer Expired (RFC 9687 §4.2).
    #[must_use]
    pub const fn send_hold_timer() -> Self {
        Self::new(code::SEND_HOLD_TIMER, 0)
    }

    /// A Hard Reset with this one in it (RFC 8538 §3.1): code, subcode and data.
    #[must_use]
    pub fn hard(&self) -> Self {
        let mut data = BytesMut::with_capacity(2 + self.data.len());
        data.put_slice(&[self.code, self.subcode]);
        data.put_slice(&self.data);
        Self::cease(cease::HARD_RESET).with_data(data.freeze())
    }

    /// It is a Hard Reset: routes are not kept over it (RFC 8538 §3).
    #[must_use]
    pub const fn is_hard_reset(&self) -> bool {
        self.code == code::CEASE && self.subcode == cease::HARD_RESET
    }

    /// What a Hard Reset has in it; `None` if it is none, or has nothing.
    #[must_use]
    pub fn inner(&self) -> Option<Self> {
        match &self.data[..] {
            [code, subcode, ..] if self.is_hard_reset() => {
                Some(Self::new(*code, *subcode).with_data(self.data.slice(2..)))
            }
            _ => None,
        }
    }

    /// A Finite State Machine Error: a message of `kind` where none was due (RFC 6608 §4: the type is the data).
    #[must_use]
    pub fn unexpected(subcode: u8, kind: MessageType) -> Self {
        Self::new(code::FSM, subcode).with_data(Bytes::copy_from_slice(&[kind as u8]))
    }

    /// A Cease.
    #[must_use]
    pub const fn cease(subcode: u8) -> Self {
        Self::new(code::CEASE, subcode)
    }

    /// A Cease with a text for the other operator (RFC 9003), cut at the last whole character within 255 octets. An
    /// empty text sends none.
    #[must_use]
    pub fn cease_with_text(subcode: u8, text: &str) -> Self {
        if text.is_empty() {
            return Self::cease(subcode);
        }
        let mut end = text.len().min(usize::from(u8::MAX));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut data = BytesMut::with_capacity(1 + end);
        data.put_u8(u8::try_from(end).unwrap_or(u8::MAX));
        data.put_slice(&text.as_bytes()[..end]);
        Self::cease(subcode).with_data(data.freeze())
    }

    /// The text of an administrative shutdown or reset (RFC 9003), also within a Hard Reset; control characters are
    /// replaced. `None` if there is none or it is not well-formed UTF-8.
    #[must_use]
    pub fn shutdown_text(&self) -> Option<String> {
        if let Some(inner) = self.inner().filter(|inner| !inner.is_hard_reset()) {
            return inner.shutdown_text();
        }
        if self.code != code::CEASE || !matches!(self.subcode, cease::SHUTDOWN | cease::RESET) {
            return None;
        }
        let (&length, rest) = self.data.split_first()?;
        let text = std::str::from_utf8(rest.get(..usize::from(length))?).ok()?;
        if text.is_empty() {
            return None;
        }
        Some(text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect())
    }

    /// Names of the code and of the subcode, `None` where no RFC names it.
    #[must_use]
    pub fn names(&self) -> (Option<&'static str>, Option<&'static str>) {
        let Some((_, name, subcodes)) = NAMES.iter().find(|(code, ..)| *code == self.code) else { return (None, None) };
        (Some(name), subcodes.iter().find(|(subcode, _)| *subcode == self.subcode).map(|(_, name)| *name))
    }

    /// Reads a body.
    ///
    /// # Errors
    /// 1/2 if it is shorter than two octets; the framing refuses that before.
    pub fn decode(body: &[u8]) -> Result<Self, Self> {
        match body {
            [code, subcode, data @ ..] => Ok(Self::new(*code, *subcode).with_data(Bytes::copy_from_slice(data))),
            _ => Err(Self::header(header::BAD_LENGTH)),
        }
    }

    /// Appends the whole message. Data that would make it longer than 4,096 octets are cut.
    pub fn encode(&self, buf: &mut BytesMut) {
        let start = message::begin(MessageType::Notification, buf);
        buf.put_u8(self.code);
        buf.put_u8(self.subcode);
        buf.put_slice(&self.data[..self.data.len().min(message::MAX_LEN - message::HEADER_LEN - 2)]);
        message::finish(start, buf);
    }

    /// The whole message.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(message::HEADER_LEN + 2 + self.data.len());
        self.encode(&mut buf);
        buf.freeze()
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names() {
            (Some(code), Some(subcode)) => write!(f, "{code}: {subcode}")?,
            (Some(code), None) if self.subcode == 0 => write!(f, "{code}")?,
            (Some(code), None) => write!(f, "{code}: subcode {}", self.subcode)?,
            (None, _) => write!(f, "error {}/{}", self.code, self.subcode)?,
        }
        if let Some(inner) = self.inner().filter(|inner| !inner.is_hard_reset()) {
            return write!(f, ", {inner}");
        }
        if let Some(text) = self.shutdown_text() {
            return write!(f, " (\"{text}\")");
        }
        if !self.data.is_empty() {
            f.write_str(" [")?;
            // A line for people: the rest is in the data.
            for octet in self.data.iter().take(16) {
                write!(f, "{octet:02x}")?;
            }
            f.write_str(if self.data.len() > 16 { "…]" } else { "]" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Notification {}
