//! ROUTE-REFRESH (RFC 2918) with the demarcation of enhanced route refresh (RFC 7313).

use bytes::{BufMut, Bytes, BytesMut};

use super::header::{self, MessageType};
use super::notification::{code, header as header_subcode, route_refresh as subcode};
use super::{AfiSafi, Notification};

/// What a ROUTE-REFRESH says (RFC 7313 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefreshKind {
    /// Send everything again.
    Request,
    /// Beginning of a route refresh: what follows is everything.
    Begin,
    /// End of a route refresh: what was not repeated is gone.
    End,
    /// A subtype we do not know; to be ignored (RFC 7313 §5).
    Unknown(u8),
}

impl RefreshKind {
    const fn octet(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Begin => 1,
            Self::End => 2,
            Self::Unknown(octet) => octet,
        }
    }

    const fn from_octet(octet: u8) -> Self {
        match octet {
            0 => Self::Request,
            1 => Self::Begin,
            2 => Self::End,
            other => Self::Unknown(other),
        }
    }
}

/// A ROUTE-REFRESH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteRefresh {
    /// Which family.
    pub family: AfiSafi,
    /// What about it.
    pub kind: RefreshKind,
}

impl RouteRefresh {
    /// Reads a body. `enhanced` if RFC 7313 was negotiated: without it the subtype is reserved and ignored, and every such
    /// message is a request (RFC 2918 §3).
    ///
    /// # Errors
    /// A length other than four is 7/1 with the whole message when enhanced refresh is in use and the subtype is one of
    /// its own (RFC 7313 §5), and 1/2 with the length otherwise (RFC 4271 §6.1; we offer no outbound route filters).
    pub fn decode(body: &[u8], enhanced: bool) -> Result<Self, Notification> {
        if let &[afi_high, afi_low, kind, safi] = body {
            let family = AfiSafi { afi: u16::from_be_bytes([afi_high, afi_low]), safi };
            let kind = if enhanced { RefreshKind::from_octet(kind) } else { RefreshKind::Request };
            return Ok(Self { family, kind });
        }
        if enhanced && matches!(body.get(2), Some(1 | 2)) {
            let mut message = BytesMut::with_capacity(header::HEADER_LEN + body.len());
            let start = header::begin(MessageType::RouteRefresh, &mut message);
            message.put_slice(&body[..body.len().min(header::MAX_LEN_EXTENDED - header::HEADER_LEN)]);
            header::finish(start, &mut message);
            return Err(Notification::new(code::ROUTE_REFRESH, subcode::LENGTH).with_data(message.freeze()));
        }
        let length = u16::try_from(header::HEADER_LEN + body.len()).unwrap_or(u16::MAX);
        Err(Notification::header(header_subcode::BAD_LENGTH).with_data(Bytes::copy_from_slice(&length.to_be_bytes())))
    }

    /// Appends the whole message.
    pub fn encode(&self, buf: &mut BytesMut) {
        let start = header::begin(MessageType::RouteRefresh, buf);
        buf.put_u16(self.family.afi);
        buf.put_u8(self.kind.octet());
        buf.put_u8(self.family.safi);
        header::finish(start, buf);
    }

    /// The whole message.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(header::HEADER_LEN + 4);
        self.encode(&mut buf);
        buf.freeze()
    }
}
