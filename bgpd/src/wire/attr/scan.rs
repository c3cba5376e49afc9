//! One cheap pass over the attributes of an UPDATE: where each begins and ends, and the two that carry routes.
//!
//! The result is enough to look a whole attribute set up by its octets ([`Scan::base`] and the next hop of
//! [`Scan::mp_reach`]) and to decode nothing when it was seen before.

use super::fault::AttrFault;
use super::{MpReach, MpUnreach};
use super::{code, flags, mp_reach, mp_unreach};
use crate::wire::Notification;
use crate::wire::notification::update as subcode;

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// Flags.
    pub flags: u8,
    /// Type code.
    pub code: u8,
    /// Value.
    pub value: &'a [u8],
    /// The whole attribute: type, length and value; the data of NOTIFICATIONs (RFC 4271 §6.3).
    pub whole: &'a [u8],
}

/// The attributes of a field in order; ends with an error if one overruns the field.
#[derive(Clone, Debug)]
pub struct TlvIter<'a> {
    rest: &'a [u8],
}

impl<'a> TlvIter<'a> {
    /// Walks `attributes`.
    #[must_use]
    pub const fn new(attributes: &'a [u8]) -> Self {
        Self { rest: attributes }
    }

    #[inline]
    fn split(&self) -> Option<(Tlv<'a>, &'a [u8])> {
        let (&[flags, code], after_type) = self.rest.split_first_chunk::<2>()?;
        let (length, after_length) = if flags & flags::EXTENDED_LENGTH == 0 {
            let (&length, rest) = after_type.split_first()?;
            (usize::from(length), rest)
        } else {
            let (length, rest) = after_type.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        };
        let (value, rest) = after_length.split_at_checked(length)?;
        let whole = &self.rest[..self.rest.len() - rest.len()];
        Some((Tlv { flags, code, value, whole }, rest))
    }
}

impl<'a> Iterator for TlvIter<'a> {
    /// An attribute, or the type code of one that overruns the field (0 if not even that is there).
    type Item = Result<Tlv<'a>, u8>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        if let Some((tlv, rest)) = self.split() {
            self.rest = rest;
            Some(Ok(tlv))
        } else {
            let code = self.rest.get(1).copied().unwrap_or(0);
            self.rest = &[];
            Some(Err(code))
        }
    }
}

/// What [`scan`] found.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    /// The attributes but for MP_REACH_NLRI and MP_UNREACH_NLRI, in at most three runs; unused runs are empty.
    base: [&'a [u8]; 3],
    /// MP_REACH_NLRI.
    pub mp_reach: Option<MpReach<'a>>,
    /// MP_UNREACH_NLRI.
    pub mp_unreach: Option<MpUnreach<'a>>,
    /// A fault that makes every route of the UPDATE withdrawn: an attribute overruns the field (RFC 7606 §4), or one of
    /// the two above has wrong flags (§3 c). [`super::decode()`] reports it.
    pub fault: Option<AttrFault>,
}

impl<'a> Scan<'a> {
    /// The attributes but for the two that carry routes, as runs of octets, none of them empty: one run in nearly all
    /// messages. Equal runs mean equal attributes, next hop of MP_REACH_NLRI excepted.
    pub fn base(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.base.iter().copied().filter(|run| !run.is_empty())
    }

    /// Octets in [`Scan::base`].
    #[must_use]
    pub fn base_len(&self) -> usize {
        self.base.iter().map(|run| run.len()).sum()
    }

    /// The attributes in [`Scan::base`].
    pub fn attributes(&self) -> impl Iterator<Item = Tlv<'a>> + '_ {
        // The scan has found every bound, so there is no error left to come.
        self.base().flat_map(TlvIter::new).filter_map(Result::ok)
    }
}

/// Finds the attributes in the attribute field of an UPDATE.
///
/// # Errors
/// The NOTIFICATION that ends the session: MP_REACH_NLRI or MP_UNREACH_NLRI twice (RFC 7606 §3 g: 3/1) or overrunning the
/// field (§3 j: 3/1), or so malformed
/// that its routes cannot be found (§3 j, §7.11: 3/9 with the attribute).
pub fn scan(attributes: &[u8]) -> Result<Scan<'_>, Notification> {
    let mut scan = Scan { base: [&[]; 3], mp_reach: None, mp_unreach: None, fault: None };
    let (mut run, mut run_start, mut at) = (0, 0, 0);
    for tlv in TlvIter::new(attributes) {
        let tlv = match tlv {
            Ok(tlv) => tlv,
            // RFC 7606 §3 j: routes whose end is not known cannot be withdrawn.
            Err(code::MP_REACH | code::MP_UNREACH) => return Err(Notification::update(subcode::MALFORMED_LIST)),
            Err(code) => {
                scan.fault = Some(AttrFault::withdraw(code, "overruns the attribute field"));
                break;
            }
        };
        let start = at;
        at += tlv.whole.len();
        if tlv.code != code::MP_REACH && tlv.code != code::MP_UNREACH {
            continue;
        }
        // At most one of each, so that `run` stays within 0..=2.
        scan.base[run] = &attributes[run_start..start];
        run += 1;
        run_start = at;
        let twice = if tlv.code == code::MP_REACH {
            scan.mp_reach.replace(mp_reach::decode(&tlv)?).is_some()
        } else {
            scan.mp_unreach.replace(mp_unreach::decode(&tlv)?).is_some()
        };
        if twice {
            return Err(Notification::update(subcode::MALFORMED_LIST));
        }
        // RFC 4760 §3, §4: optional non-transitive.
        if tlv.flags & (flags::OPTIONAL | flags::TRANSITIVE) != flags::OPTIONAL {
            scan.fault = Some(AttrFault::withdraw(tlv.code, "flags are not optional non-transitive"));
        }
    }
    scan.base[run] = &attributes[run_start..at];
    Ok(scan)
}
