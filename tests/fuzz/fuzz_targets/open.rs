//! Framing and OPEN: no octets panic, and what was understood is written and understood again.
#![no_main]

use bgpd::wire::header::{self, HEADER_LEN};
use bgpd::wire::open::Open;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    for extended in [false, true] {
        if let Ok(Some(header)) = header::decode(octets, extended) {
            assert!((HEADER_LEN..=header::MAX_LEN_EXTENDED).contains(&header.length));
        }
    }
    let Ok(open) = Open::decode(octets) else { return };
    let message = open.to_bytes();
    let header = header::decode(&message, false).expect("our own header").expect("whole");
    assert_eq!(header.length, message.len());
    let again = Open::decode(&message[HEADER_LEN..]).expect("our own OPEN");
    // Names for people may be cut, and a message that was full may not hold all in one parameter.
    assert_eq!((again.asn, again.hold_secs, again.router_id), (open.asn, open.hold_secs, open.router_id));
});
