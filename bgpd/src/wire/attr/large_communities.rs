//! LARGE_COMMUNITY (RFC 8092).

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, put_list};
use super::table::Malformed;
use super::{PathAttributes, code};

/// RFC 8092 §5.
pub(super) fn decode(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    match value.as_chunks::<12>() {
        ([], _) | (_, [_, ..]) => Err("length is not a multiple of 12, or 0"),
        (list, []) => {
            draft.large_communities = list
                .iter()
                .map(|&[a, b, c, d, e, f, g, h, i, j, k, l]| [[a, b, c, d], [e, f, g, h], [i, j, k, l]])
                .map(|parts| parts.map(u32::from_be_bytes))
                .collect();
            Ok(())
        }
    }
}

pub(super) fn encode(attributes: &PathAttributes, _: &EncodeContext, buf: &mut BytesMut) {
    let flags = attributes.partial.flags(code::LARGE_COMMUNITIES);
    put_list(flags, code::LARGE_COMMUNITIES, &attributes.large_communities, octets, buf);
}

fn octets(parts: &[u32; 3]) -> [u8; 12] {
    let mut octets = [0; 12];
    for (part, four) in parts.iter().zip(octets.as_chunks_mut::<4>().0) {
        *four = part.to_be_bytes();
    }
    octets
}
