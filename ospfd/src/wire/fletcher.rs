//! The checksum of an LSA (RFC 2328 §12.1.7, RFC 905 §B): over all but the age.

use crate::lsa::HEADER_LEN;

/// Where the two octets stand in an LSA.
const AT: usize = 16;
/// Octets after which the sums must be reduced, so that 32 bits hold them.
const CHUNK: usize = 4096;

fn sums(octets: &[u8]) -> (u32, u32) {
    let (mut c0, mut c1) = (0_u32, 0_u32);
    for chunk in octets.chunks(CHUNK) {
        for octet in chunk {
            c0 += u32::from(*octet);
            c1 += c0;
        }
        c0 %= 255;
        c1 %= 255;
    }
    (c0, c1)
}

/// Whether the checksum fits the contents. Zero is no checksum.
pub(super) fn is_right(raw: &[u8]) -> bool {
    let zero = raw.get(AT..AT + 2).is_none_or(|held| held == [0, 0]);
    !zero && raw.get(2..).is_some_and(|octets| sums(octets) == (0, 0))
}

/// Computes the checksum and puts it into its place.
pub(super) fn write(raw: &mut [u8]) -> u16 {
    if raw.len() < HEADER_LEN {
        return 0;
    }
    if let Some(held) = raw.get_mut(AT..AT + 2) {
        held.copy_from_slice(&[0, 0]);
    }
    let (c0, c1) = sums(raw.get(2..).unwrap_or_default());
    // Octets from the first checksum octet to the end, the first left out.
    let after = u32::try_from(raw.len() - AT - 1).unwrap_or(0) % 255;
    let x = (after * c0 + 255 - c1) % 255;
    let x = if x == 0 { 255 } else { x };
    let y = (510 - c0 - x) % 255;
    let y = if y == 0 { 255 } else { y };
    let pair = [u8::try_from(x).unwrap_or(255), u8::try_from(y).unwrap_or(255)];
    if let Some(held) = raw.get_mut(AT..AT + 2) {
        held.copy_from_slice(&pair);
    }
    u16::from_be_bytes(pair)
}
