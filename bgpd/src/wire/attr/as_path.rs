//! AS_PATH (RFC 4271 §5.1.2; RFC 7606 §7.2; RFC 7607 for AS 0; RFC 5065 §5 for confederations) and AS4_PATH (RFC 6793).

use std::fmt;

use bytes::{BufMut, BytesMut};
use smallvec::SmallVec;

use super::decode::{DecodeContext, Draft, PeerKind};
use super::encode::{self, EncodeContext};
use super::table::Malformed;
use super::{AsPath, PathAttributes, Segment, SegmentKind, code};
use crate::wire::AS_TRANS;

/// AS numbers in a segment on the wire: its count is one octet.
const MAX_IN_SEGMENT: usize = 255;

impl SegmentKind {
    const fn from_octet(octet: u8) -> Option<Self> {
        Some(match octet {
            1 => Self::Set,
            2 => Self::Sequence,
            3 => Self::ConfedSequence,
            4 => Self::ConfedSet,
            _ => return None,
        })
    }

    /// Within a confederation only (RFC 5065).
    #[must_use]
    pub const fn is_confed(self) -> bool {
        matches!(self, Self::ConfedSequence | Self::ConfedSet)
    }

    const fn is_sequence(self) -> bool {
        matches!(self, Self::Sequence | Self::ConfedSequence)
    }
}

impl Segment {
    /// What the segment adds to the length of its path.
    fn length(&self) -> usize {
        match self.kind {
            SegmentKind::Sequence => self.asns.len(),
            SegmentKind::Set => 1,
            SegmentKind::ConfedSequence | SegmentKind::ConfedSet => 0,
        }
    }
}

impl AsPath {
    /// One AS_SEQUENCE, the nearest AS first; empty for none.
    #[must_use]
    pub fn sequence(asns: &[u32]) -> Self {
        let mut path = Self::default();
        path.push(SegmentKind::Sequence, asns.iter().copied());
        path
    }

    /// The length that the decision compares (RFC 4271 §9.1.2.2 a: a set counts one; RFC 5065 §5.3: confederation
    /// segments count nothing).
    #[must_use]
    pub fn length(&self) -> usize {
        self.segments.iter().map(Segment::length).sum()
    }

    /// The AS the path was received from: the first of the leading sequence. Leading confederation segments are passed
    /// over by [`AsPath::neighbor_as_outside`] only.
    #[must_use]
    pub fn neighbor_as(&self) -> Option<u32> {
        let first = self.segments.first().filter(|segment| segment.kind.is_sequence())?;
        first.asns.first().copied()
    }

    /// The AS outside our confederation that the path was received from, for the comparison of MED (RFC 4271 §9.1.2.2 c,
    /// RFC 5065 §5.3); `None` if the path begins within it or with a set.
    #[must_use]
    pub fn neighbor_as_outside(&self) -> Option<u32> {
        let first = self.segments.iter().find(|segment| !segment.kind.is_confed())?;
        first.asns.first().copied().filter(|_| first.kind == SegmentKind::Sequence)
    }

    /// Whether `asn` is anywhere in the path (loop detection, RFC 4271 §9.1.2).
    #[must_use]
    pub fn contains(&self, asn: u32) -> bool {
        self.asns().any(|other| other == asn)
    }

    /// Every AS number in the path, in its order.
    pub fn asns(&self) -> impl Iterator<Item = u32> + '_ {
        self.segments.iter().flat_map(|segment| segment.asns.iter().copied())
    }

    /// Whether the path is empty: it originates in our AS.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Puts `asn` in front, `count` times (RFC 4271 §5.1.2 b).
    pub fn prepend(&mut self, asn: u32, count: usize) {
        self.prepend_kind(SegmentKind::Sequence, asn, count);
    }

    /// Puts our member AS in front, for a neighbor in another member AS (RFC 5065 §4.1).
    pub fn prepend_confed(&mut self, asn: u32) {
        self.prepend_kind(SegmentKind::ConfedSequence, asn, 1);
    }

    fn prepend_kind(&mut self, kind: SegmentKind, asn: u32, count: usize) {
        if count == 0 {
            return;
        }
        match self.segments.first_mut().filter(|first| first.kind == kind) {
            Some(first) => first.asns.insert_many(0, std::iter::repeat_n(asn, count)),
            None => self.segments.insert(0, Segment { kind, asns: std::iter::repeat_n(asn, count).collect() }),
        }
    }

    /// Takes the confederation segments out, for a neighbor outside of it (RFC 5065 §4.1 c).
    pub fn strip_confed(&mut self) {
        if self.segments.iter().all(|segment| !segment.kind.is_confed()) {
            return;
        }
        let mut stripped = Self::default();
        for segment in self.segments.drain(..).filter(|segment| !segment.kind.is_confed()) {
            stripped.push(segment.kind, segment.asns);
        }
        *self = stripped;
    }

    /// Takes every private AS number (RFC 6996 §5) out, but for `keep`.
    pub fn remove_private(&mut self, keep: u32) {
        if self.asns().any(|asn| is_private(asn) && asn != keep) {
            self.rebuild(|asn| (!is_private(asn) || asn == keep).then_some(asn));
        }
    }

    /// Puts `new` wherever `old` is.
    pub fn replace(&mut self, old: u32, new: u32) {
        if self.contains(old) {
            self.rebuild(|asn| Some(if asn == old { new } else { asn }));
        }
    }

    fn rebuild(&mut self, each: impl Fn(u32) -> Option<u32>) {
        let mut rebuilt = Self::default();
        for segment in self.segments.drain(..) {
            rebuilt.push(segment.kind, segment.asns.into_iter().filter_map(&each));
        }
        *self = rebuilt;
    }

    /// Appends AS numbers. Adjacent sequences of one kind become one, so that equal paths are equal values however the
    /// neighbor cut them.
    fn push(&mut self, kind: SegmentKind, asns: impl IntoIterator<Item = u32>) {
        match self.segments.last_mut().filter(|last| last.kind == kind && kind.is_sequence()) {
            Some(last) => last.asns.extend(asns),
            None => {
                let asns: SmallVec<[u32; 6]> = asns.into_iter().collect();
                if !asns.is_empty() {
                    self.segments.push(Segment { kind, asns });
                }
            }
        }
    }
}

/// As operators write it: `64500 64501 {1,2} (65001 65002) [65003,65004]`.
impl fmt::Display for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, segment) in self.segments.iter().enumerate() {
            let (open, between, close) = match segment.kind {
                SegmentKind::Sequence => ("", " ", ""),
                SegmentKind::Set => ("{", ",", "}"),
                SegmentKind::ConfedSequence => ("(", " ", ")"),
                SegmentKind::ConfedSet => ("[", ",", "]"),
            };
            f.write_str(if number == 0 { "" } else { " " })?;
            f.write_str(open)?;
            for (number, asn) in segment.asns.iter().enumerate() {
                f.write_str(if number == 0 { "" } else { between })?;
                write!(f, "{asn}")?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

/// RFC 6996 §5.
#[must_use]
pub const fn is_private(asn: u32) -> bool {
    matches!(asn, 64512..=65534 | 4_200_000_000..=4_294_967_294)
}

fn parse(mut value: &[u8], as4: bool) -> Result<AsPath, Malformed> {
    let width = if as4 { 4 } else { 2 };
    let mut path = AsPath::default();
    while let Some((&[kind, count], rest)) = value.split_first_chunk::<2>() {
        let kind = SegmentKind::from_octet(kind).ok_or("unknown segment type")?;
        if count == 0 {
            return Err("segment without AS numbers");
        }
        let (octets, rest) =
            rest.split_at_checked(usize::from(count) * width).ok_or("segment overruns the attribute")?;
        if as4 {
            path.push(kind, octets.as_chunks::<4>().0.iter().map(|octets| u32::from_be_bytes(*octets)));
        } else {
            path.push(kind, octets.as_chunks::<2>().0.iter().map(|octets| u32::from(u16::from_be_bytes(*octets))));
        }
        value = rest;
    }
    if !value.is_empty() {
        return Err("one octet is left over");
    }
    if path.contains(0) {
        return Err("contains AS 0 (RFC 7607)");
    }
    Ok(path)
}

pub(super) fn decode(value: &[u8], context: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    let path = parse(value, context.as4)?;
    let has_confed = path.segments.iter().any(|segment| segment.kind.is_confed());
    match context.peer {
        // RFC 5065 §5.
        PeerKind::External if has_confed => return Err("confederation segments from outside the confederation"),
        PeerKind::Confed if path.segments.first().is_none_or(|first| first.kind != SegmentKind::ConfedSequence) => {
            return Err("does not begin with AS_CONFED_SEQUENCE");
        }
        _ => {}
    }
    draft.as_path = Some(path);
    Ok(())
}

pub(super) fn decode_as4(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    // RFC 6793 §6: too small for one AS number.
    if value.len() < 6 {
        return Err("no AS number in it");
    }
    let mut path = parse(value, true)?;
    // RFC 6793 §6: confederation segments must not be here; they are discarded and the rest counts.
    path.strip_confed();
    draft.as4_path = Some(path).filter(|path| !path.is_empty());
    Ok(())
}

/// The path of four octets from what a speaker of two octets sent (RFC 6793 §4.2.3): as much of the front of `path` as it
/// is longer, then `as4_path`.
pub(super) fn reconcile(path: AsPath, as4_path: AsPath) -> AsPath {
    let Some(mut wanted) = path.length().checked_sub(as4_path.length()) else { return path };
    let mut whole = AsPath::default();
    for segment in path.segments {
        if segment.kind.is_confed() {
            whole.push(segment.kind, segment.asns);
        } else if wanted == 0 {
            break;
        } else if segment.kind == SegmentKind::Set {
            wanted -= 1;
            whole.push(segment.kind, segment.asns);
        } else {
            let taken = wanted.min(segment.asns.len());
            wanted -= taken;
            whole.push(segment.kind, segment.asns.into_iter().take(taken));
        }
    }
    for segment in as4_path.segments {
        whole.push(segment.kind, segment.asns);
    }
    whole
}

fn put<const N: usize>(
    flags: u8,
    code: u8,
    segments: impl Iterator<Item = (SegmentKind, impl AsRef<[u32]>)> + Clone,
    octets: fn(u32) -> [u8; N],
    buf: &mut BytesMut,
) {
    let length_of = |asns: &[u32]| asns.len().div_ceil(MAX_IN_SEGMENT) * 2 + asns.len() * N;
    encode::put_head(flags, code, segments.clone().map(|(_, asns)| length_of(asns.as_ref())).sum(), buf);
    for (kind, asns) in segments {
        for piece in asns.as_ref().chunks(MAX_IN_SEGMENT) {
            buf.put_u8(kind as u8);
            buf.put_u8(u8::try_from(piece.len()).unwrap_or(u8::MAX));
            for asn in piece {
                buf.put_slice(&octets(*asn));
            }
        }
    }
}

pub(super) fn encode(attributes: &PathAttributes, context: &EncodeContext, buf: &mut BytesMut) {
    let segments = attributes.as_path.segments.iter().map(|segment| (segment.kind, &segment.asns));
    if context.as4 {
        put(encode::WELL_KNOWN, code::AS_PATH, segments, u32::to_be_bytes, buf);
    } else {
        let two = |asn: u32| u16::try_from(asn).unwrap_or(AS_TRANS).to_be_bytes();
        put(encode::WELL_KNOWN, code::AS_PATH, segments, two, buf);
    }
}

/// RFC 6793 §4.2.2: only to speakers of two octets, only where two do not do, without confederation segments.
pub(super) fn encode_as4(attributes: &PathAttributes, context: &EncodeContext, buf: &mut BytesMut) {
    let segments = attributes.as_path.segments.iter().filter(|segment| !segment.kind.is_confed());
    let segments = segments.map(|segment| (segment.kind, &segment.asns));
    if !context.as4 && segments.clone().any(|(_, asns)| asns.iter().any(|asn| *asn > u32::from(u16::MAX))) {
        put(encode::TRANSITIVE, code::AS4_PATH, segments, u32::to_be_bytes, buf);
    }
}
