//! UPDATE (RFC 4271 §4.3): its three fields, and messages packed full of routes.

use bytes::{BufMut, BytesMut};
use rib::AddressFamily;
use thiserror::Error;

use super::attr::{NextHopAttr, mp_reach, mp_unreach};
use super::header::{self, HEADER_LEN, MessageType};
use super::nlri::{self, NlriFamily};
use super::notification::update as subcode;
use super::{AfiSafi, Notification};

/// The three fields of an UPDATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateBody<'a> {
    /// Withdrawn IPv4 routes.
    pub withdrawn: &'a [u8],
    /// Path attributes; [`super::attr::scan()`] reads them.
    pub attributes: &'a [u8],
    /// Announced IPv4 routes.
    pub nlri: &'a [u8],
}

impl UpdateBody<'_> {
    /// The family whose End-of-RIB this is (RFC 4724 §2), if it is one: an empty UPDATE for IPv4, an empty MP_UNREACH_NLRI
    /// and nothing else for the others.
    #[must_use]
    pub fn end_of_rib(&self) -> Option<AfiSafi> {
        if !self.withdrawn.is_empty() || !self.nlri.is_empty() {
            return None;
        }
        if self.attributes.is_empty() {
            return Some(AfiSafi::IPV4_UNICAST);
        }
        let scan = super::attr::scan(self.attributes).ok()?;
        let unreach = scan.mp_unreach.filter(|unreach| unreach.nlri.is_empty())?;
        (scan.base_len() == 0 && scan.mp_reach.is_none() && scan.fault.is_none()).then_some(unreach.family)
    }
}

/// Splits a body into its fields.
///
/// # Errors
/// 3/1 if the lengths do not fit (RFC 4271 §6.3).
pub fn split(body: &[u8]) -> Result<UpdateBody<'_>, Notification> {
    fields(body).ok_or_else(|| Notification::update(subcode::MALFORMED_LIST))
}

fn fields(body: &[u8]) -> Option<UpdateBody<'_>> {
    let (length, rest) = body.split_first_chunk::<2>()?;
    let (withdrawn, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (attributes, nlri) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some(UpdateBody { withdrawn, attributes, nlri })
}

/// How routes are written for a neighbor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Packing {
    /// Octets in a message at most: 4,096, or 65,535 with extended messages.
    pub max_len: usize,
    /// Path identifiers are written (RFC 7911).
    pub add_path: bool,
    /// IPv4 routes stand in the fields of RFC 4271 instead of MP_REACH_NLRI and MP_UNREACH_NLRI.
    pub plain: bool,
}

impl Packing {
    /// What RFC 4271 alone gives to a neighbor for `family`.
    #[must_use]
    pub fn new(family: AddressFamily) -> Self {
        Self { max_len: header::MAX_LEN, add_path: false, plain: family == AddressFamily::Ipv4 }
    }

    fn path_id(&self, path_id: u32) -> Option<u32> {
        self.add_path.then_some(path_id)
    }
}

/// The attributes leave no room for a route: it cannot be announced to this neighbor and has to be withdrawn there
/// (RFC 4271 §9.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("attributes of {attributes} octets leave no room for a prefix in a message of {max_len}")]
pub struct DoesNotFit {
    /// Octets of the attributes.
    pub attributes: usize,
    /// Octets in a message.
    pub max_len: usize,
}

/// Appends UPDATEs that announce `routes` (path identifier and prefix) with `attributes`, as
/// [`super::attr::PathAttributes::encode`] wrote them with the same choice of `plain`. Returns the number of messages;
/// none for no route.
///
/// # Errors
/// [`DoesNotFit`] before anything was written for a route that does not fit; messages before it are whole.
pub fn encode_reach<F: NlriFamily>(
    attributes: &[u8],
    next_hop: &NextHopAttr,
    routes: impl IntoIterator<Item = (u32, F::Prefix)>,
    packing: &Packing,
    buf: &mut BytesMut,
) -> Result<usize, DoesNotFit> {
    let plain = packing.plain && F::FAMILY == AddressFamily::Ipv4;
    let head = HEADER_LEN + 4 + attributes.len() + if plain { 0 } else { mp_reach::head_len(next_hop) };
    let mut routes = routes.into_iter().peekable();
    let mut messages = 0;
    while let Some((_, prefix)) = routes.peek() {
        if head + nlri::encoded_len::<F>(*prefix, packing.add_path) > packing.max_len {
            return Err(DoesNotFit { attributes: attributes.len(), max_len: packing.max_len });
        }
        let start = header::begin(MessageType::Update, buf);
        buf.put_u16(0);
        let attributes_at = buf.len();
        buf.put_u16(0);
        if plain {
            buf.put_slice(attributes);
            put_length(attributes_at, buf);
            fill::<F>(&mut routes, start, packing, buf);
        } else {
            // RFC 7606 §5.1: the attribute that carries routes comes first. Attributes follow it, so room is kept.
            let reach_at = mp_reach::begin(F::FAMILY.into(), next_hop, buf);
            let room = Packing { max_len: packing.max_len - attributes.len(), ..*packing };
            fill::<F>(&mut routes, start, &room, buf);
            put_length(reach_at, buf);
            buf.put_slice(attributes);
            put_length(attributes_at, buf);
        }
        header::finish(start, buf);
        messages += 1;
    }
    Ok(messages)
}

/// Appends UPDATEs that withdraw `routes`. Returns the number of messages; none for no route.
pub fn encode_unreach<F: NlriFamily>(
    routes: impl IntoIterator<Item = (u32, F::Prefix)>,
    packing: &Packing,
    buf: &mut BytesMut,
) -> usize {
    let plain = packing.plain && F::FAMILY == AddressFamily::Ipv4;
    let mut routes = routes.into_iter().peekable();
    let mut messages = 0;
    while routes.peek().is_some() {
        let start = header::begin(MessageType::Update, buf);
        let first_length_at = buf.len();
        buf.put_u16(0);
        if plain {
            // The length of the attributes follows.
            let room = Packing { max_len: packing.max_len - 2, ..*packing };
            fill::<F>(&mut routes, start, &room, buf);
            put_length(first_length_at, buf);
            buf.put_u16(0);
        } else {
            let attributes_at = buf.len();
            buf.put_u16(0);
            let unreach_at = mp_unreach::begin(F::FAMILY.into(), buf);
            fill::<F>(&mut routes, start, packing, buf);
            put_length(unreach_at, buf);
            put_length(attributes_at, buf);
        }
        header::finish(start, buf);
        messages += 1;
    }
    messages
}

/// Appends End-of-RIB for `family` (RFC 4724 §2).
pub fn encode_end_of_rib(family: AddressFamily, buf: &mut BytesMut) {
    let start = header::begin(MessageType::Update, buf);
    buf.put_u16(0);
    let attributes_at = buf.len();
    buf.put_u16(0);
    if family != AddressFamily::Ipv4 {
        let unreach_at = mp_unreach::begin(family.into(), buf);
        put_length(unreach_at, buf);
        put_length(attributes_at, buf);
    }
    header::finish(start, buf);
}

/// Writes routes into the message begun at `start` as long as they fit.
fn fill<F: NlriFamily>(
    routes: &mut std::iter::Peekable<impl Iterator<Item = (u32, F::Prefix)>>,
    start: usize,
    packing: &Packing,
    buf: &mut BytesMut,
) {
    let fits = |prefix, written| written + nlri::encoded_len::<F>(prefix, packing.add_path) <= packing.max_len;
    while let Some((path_id, prefix)) = routes.next_if(|(_, prefix)| fits(*prefix, buf.len() - start)) {
        nlri::encode::<F>(prefix, packing.path_id(path_id), buf);
    }
}

/// Writes at `at` how many octets follow the two there.
fn put_length(at: usize, buf: &mut BytesMut) {
    let length = u16::try_from(buf.len() - at - 2).expect("encoders keep messages within 65,535 octets");
    buf[at..at + 2].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests;
