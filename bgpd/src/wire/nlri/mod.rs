//! Prefixes as NLRI (RFC 4271 §4.3; RFC 7911 for path identifiers).
//!
//! [`PrefixIter`] is the hottest loop of the decoder and therefore written by hand: one bounds check per prefix, no
//! allocation. What a fault means for the session is [`NlriFault::notification`].

mod ipv4;
mod ipv6;

use std::marker::PhantomData;

use bytes::{BufMut, BytesMut};
use rib::Family;
use thiserror::Error;

use super::Notification;
use super::notification::update as subcode;

/// A family as NLRI.
pub trait NlriFamily: Family {
    /// The prefix of `length` bits whose leading octets are `octets`; host bits are cleared.
    ///
    /// The caller has checked that `length` is at most [`Family::BITS`] and that `octets` has `length / 8` octets,
    /// rounded up.
    fn from_octets(length: u8, octets: &[u8]) -> Self::Prefix;
    /// Appends the address octets that `prefix` needs: its length divided by 8, rounded up.
    fn put_octets(prefix: Self::Prefix, buf: &mut BytesMut);
}

/// What can be wrong with a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NlriFault {
    /// More bits than the family has.
    #[error("prefix length {0} is longer than an address")]
    Length(u8),
    /// The field ends within a prefix.
    #[error("field ends within a prefix")]
    Truncated,
}

impl NlriFault {
    /// RFC 7606 §5.3 with §3 (j): NLRI that cannot be parsed cannot be withdrawn, so the session ends: 3/10.
    #[must_use]
    pub fn notification(self) -> Notification {
        Notification::update(subcode::NETWORK)
    }
}

/// The prefixes of an NLRI field with their path identifiers (0 without add-path). Ends after the first fault.
#[derive(Clone, Debug)]
pub struct PrefixIter<'a, F> {
    rest: &'a [u8],
    add_path: bool,
    family: PhantomData<F>,
}

impl<'a, F: NlriFamily> PrefixIter<'a, F> {
    /// Walks `field`; `add_path` if path identifiers were negotiated for this family and direction.
    #[must_use]
    pub const fn new(field: &'a [u8], add_path: bool) -> Self {
        Self { rest: field, add_path, family: PhantomData }
    }

    #[cold]
    fn fault(&mut self, fault: NlriFault) -> Option<Result<(u32, F::Prefix), NlriFault>> {
        self.rest = &[];
        Some(Err(fault))
    }
}

impl<F: NlriFamily> Iterator for PrefixIter<'_, F> {
    type Item = Result<(u32, F::Prefix), NlriFault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut path_id = 0;
        if self.add_path {
            let Some((id, rest)) = self.rest.split_first_chunk::<4>() else { return self.fault(NlriFault::Truncated) };
            path_id = u32::from_be_bytes(*id);
            self.rest = rest;
        }
        let Some((&length, rest)) = self.rest.split_first() else { return self.fault(NlriFault::Truncated) };
        if length > F::BITS {
            return self.fault(NlriFault::Length(length));
        }
        let Some((octets, rest)) = rest.split_at_checked(usize::from(length).div_ceil(8)) else {
            return self.fault(NlriFault::Truncated);
        };
        self.rest = rest;
        Some(Ok((path_id, F::from_octets(length, octets))))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // A prefix takes one octet at least.
        (0, Some(self.rest.len()))
    }
}

/// Checks that a whole field can be parsed, without keeping anything.
///
/// # Errors
/// The first fault.
pub fn check<F: NlriFamily>(field: &[u8], add_path: bool) -> Result<usize, NlriFault> {
    let mut count = 0;
    for prefix in PrefixIter::<F>::new(field, add_path) {
        prefix?;
        count += 1;
    }
    Ok(count)
}

/// Octets that [`encode`] appends for `prefix`.
#[must_use]
pub fn encoded_len<F: NlriFamily>(prefix: F::Prefix, add_path: bool) -> usize {
    usize::from(F::length(prefix)).div_ceil(8) + if add_path { 5 } else { 1 }
}

/// Appends `prefix`, with its path identifier if the neighbor expects one.
pub fn encode<F: NlriFamily>(prefix: F::Prefix, path_id: Option<u32>, buf: &mut BytesMut) {
    if let Some(path_id) = path_id {
        buf.put_u32(path_id);
    }
    buf.put_u8(F::length(prefix));
    F::put_octets(prefix, buf);
}

#[cfg(test)]
mod tests;
