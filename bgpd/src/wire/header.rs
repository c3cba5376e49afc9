//! Message framing (RFC 4271 §4.1, §6.1; RFC 8654 for messages of more than 4,096 octets).

use bytes::{BufMut, Bytes, BytesMut};

use super::Notification;
use super::notification::header as subcode;

/// Octets of a header: marker, length, type.
pub const HEADER_LEN: usize = 19;
/// Longest message unless extended messages are negotiated.
pub const MAX_LEN: usize = 4096;
/// Longest message when they are (RFC 8654 §3).
pub const MAX_LEN_EXTENDED: usize = 65535;

/// What every message begins with (RFC 4271 §4.1).
pub const MARKER: [u8; 16] = [0xff; 16];

/// The types of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MessageType {
    /// OPEN.
    Open = 1,
    /// UPDATE.
    Update = 2,
    /// NOTIFICATION.
    Notification = 3,
    /// KEEPALIVE.
    Keepalive = 4,
    /// ROUTE-REFRESH (RFC 2918).
    RouteRefresh = 5,
}

impl MessageType {
    const fn from_octet(octet: u8) -> Option<Self> {
        Some(match octet {
            1 => Self::Open,
            2 => Self::Update,
            3 => Self::Notification,
            4 => Self::Keepalive,
            5 => Self::RouteRefresh,
            _ => return None,
        })
    }

    /// The shortest and longest message of this type, header included (RFC 4271 §6.1; RFC 8654 §4: OPEN and KEEPALIVE
    /// are never extended). ROUTE-REFRESH has rules of its own in [`super::route_refresh`].
    const fn bounds(self, extended: bool) -> (usize, usize) {
        let max = if extended { MAX_LEN_EXTENDED } else { MAX_LEN };
        match self {
            Self::Open => (29, MAX_LEN),
            Self::Update => (23, max),
            Self::Notification => (21, max),
            Self::Keepalive => (HEADER_LEN, HEADER_LEN),
            Self::RouteRefresh => (HEADER_LEN, max),
        }
    }

    /// The name in RFC 4271.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Update => "UPDATE",
            Self::Notification => "NOTIFICATION",
            Self::Keepalive => "KEEPALIVE",
            Self::RouteRefresh => "ROUTE-REFRESH",
        }
    }
}

/// A header that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The type.
    pub kind: MessageType,
    /// Octets of the whole message, header included.
    pub length: usize,
}

/// Reads the header at the start of `buf`; `Ok(None)` if it is not there in full yet. The body may still be on its way.
///
/// # Errors
/// The NOTIFICATION of RFC 4271 §6.1: 1/1 for a wrong marker (noticed as soon as its first wrong octet is there), 1/2
/// with the length field, 1/3 with the type.
pub fn decode(buf: &[u8], extended: bool) -> Result<Option<Header>, Notification> {
    let present = buf.len().min(MARKER.len());
    if buf[..present] != MARKER[..present] {
        return Err(Notification::header(subcode::NOT_SYNCHRONIZED));
    }
    let Some(&[high, low, kind]) = buf.get(MARKER.len()..HEADER_LEN) else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let bad_length = || Notification::header(subcode::BAD_LENGTH).with_data(Bytes::copy_from_slice(&[high, low]));
    if length < HEADER_LEN {
        return Err(bad_length());
    }
    let Some(kind) = MessageType::from_octet(kind) else {
        return Err(Notification::header(subcode::BAD_TYPE).with_data(Bytes::copy_from_slice(&[kind])));
    };
    let (min, max) = kind.bounds(extended);
    if length < min || length > max {
        return Err(bad_length());
    }
    Ok(Some(Header { kind, length }))
}

/// Appends a header whose length is not known yet, and returns where it stands; [`finish`] fills the length in.
pub fn begin(kind: MessageType, buf: &mut BytesMut) -> usize {
    let start = buf.len();
    buf.put_slice(&MARKER);
    buf.put_u16(0);
    buf.put_u8(kind as u8);
    start
}

/// Completes the message begun at `start`: everything after it is its body.
///
/// # Panics
/// If the message is longer than 65,535 octets: encoders bound what they write.
pub fn finish(start: usize, buf: &mut BytesMut) {
    let length = u16::try_from(buf.len() - start).expect("encoders keep messages within 65,535 octets");
    buf[start + 16..start + 18].copy_from_slice(&length.to_be_bytes());
}

/// A KEEPALIVE (RFC 4271 §4.4).
#[must_use]
pub fn keepalive() -> Bytes {
    const KEEPALIVE: [u8; HEADER_LEN] = {
        let mut message = [0xff; HEADER_LEN];
        message[16] = 0;
        message[17] = 19;
        message[18] = MessageType::Keepalive as u8;
        message
    };
    Bytes::from_static(&KEEPALIVE)
}
