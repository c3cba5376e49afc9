//! LOCAL_PREF (RFC 4271 §5.1.5; RFC 7606 §7.5).

use bytes::BytesMut;

use super::decode::{DecodeContext, Draft};
use super::encode::{EncodeContext, WELL_KNOWN, put};
use super::table::Malformed;
use super::{PathAttributes, PeerKind, code};

pub(super) fn decode(value: &[u8], _: &DecodeContext, draft: &mut Draft) -> Result<(), Malformed> {
    draft.local_pref = Some(u32::from_be_bytes(value.try_into().map_err(|_| "length is not 4")?));
    Ok(())
}

pub(super) fn encode(attributes: &PathAttributes, context: &EncodeContext, buf: &mut BytesMut) {
    if let Some(value) = attributes.local_pref.filter(|_| context.peer != PeerKind::External) {
        put(WELL_KNOWN, code::LOCAL_PREF, &value.to_be_bytes(), buf);
    }
}
