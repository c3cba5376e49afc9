//! No octets panic, and odd but honest messages are understood.

use proptest::prelude::*;

use super::*;

fn read_all(octets: &[u8]) {
    for message in messages(octets) {
        let _ = route(message.payload);
        let _ = next_hop(message.payload);
        let _ = link(message.payload);
        let _ = address(message.payload);
    }
    let _ = route(octets);
    let _ = next_hop(octets);
    let _ = link(octets);
    let _ = address(octets);
    let _ = multipath(octets);
}

proptest! {
    #[test]
    fn chance_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_all(&octets);
    }

    /// Random attributes behind a plausible head reach deeper than plain chance does.
    #[test]
    fn chance_attributes_never_panic(
        head in proptest::collection::vec(any::<u8>(), 16),
        attributes in proptest::collection::vec((0..40u16, proptest::collection::vec(any::<u8>(), 0..40), any::<u8>()), 0..12),
        family in prop_oneof![Just(AF_INET), Just(AF_INET6)],
        length in 0..=128u8,
    ) {
        for head_length in [8, 12, 16] {
            let mut octets = head[..head_length].to_vec();
            (octets[0], octets[1]) = (family, length);
            for (kind, value, lie) in &attributes {
                // Now and then a length that lies.
                let claimed = value.len() as u16 + 4 + if *lie > 250 { u16::from(*lie) } else { 0 };
                octets.extend_from_slice(&claimed.to_ne_bytes());
                octets.extend_from_slice(&kind.to_ne_bytes());
                octets.extend_from_slice(value);
                octets.resize(octets.len().next_multiple_of(4), 0);
            }
            read_all(&octets);
        }
    }
}

#[test]
fn a_message_cut_short_ends_the_reading() {
    let mut octets = 20u32.to_ne_bytes().to_vec();
    octets.extend_from_slice(&[2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(messages(&octets).count(), 0, "four octets are missing");
    octets.extend_from_slice(&[0; 4]);
    assert_eq!(messages(&octets).count(), 1);
    octets.extend_from_slice(&[0; 16]);
    assert_eq!(messages(&octets).count(), 1, "a length of nothing leads nowhere");
}

#[test]
fn of_a_point_to_point_address_our_end_counts() {
    let mut octets = vec![AF_INET, 32, 0, 0, 5, 0, 0, 0];
    octets.extend_from_slice(&[8, 0, 1, 0, 10, 0, 0, 2]);
    octets.extend_from_slice(&[8, 0, 2, 0, 10, 0, 0, 1]);
    assert_eq!(address(&octets), Some((IfIndex(u32::from_ne_bytes([5, 0, 0, 0])), "10.0.0.1/32".parse().unwrap())));
}

#[test]
fn a_link_is_up_only_with_carrier() {
    let with = |flags: u32| {
        let mut octets = vec![0; 16];
        octets[4..8].copy_from_slice(&3u32.to_ne_bytes());
        octets[8..12].copy_from_slice(&flags.to_ne_bytes());
        octets.extend_from_slice(&9u16.to_ne_bytes());
        octets.extend_from_slice(&3u16.to_ne_bytes());
        octets.extend_from_slice(b"eth0\0\0\0\0");
        link(&octets).unwrap()
    };
    assert_eq!((with(0x41).name.as_str(), with(0x41).up), ("eth0", true));
    assert!(!with(0x01).up && !with(0x40).up);
    assert!(with(0x49).loopback);
}
