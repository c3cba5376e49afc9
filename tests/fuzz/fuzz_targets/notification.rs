//! NOTIFICATION and ROUTE-REFRESH: no octets panic, not even on their way to people.
#![no_main]

use bgpd::wire::Notification;
use bgpd::wire::header::{self, HEADER_LEN};
use bgpd::wire::route_refresh::RouteRefresh;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Ok(notification) = Notification::decode(octets) {
        let _ = (notification.to_string(), notification.shutdown_text());
        let message = notification.to_bytes();
        assert!(message.len() <= header::MAX_LEN);
        let again = Notification::decode(&message[HEADER_LEN..]).expect("our own NOTIFICATION");
        assert!(notification.data.starts_with(&again.data));
    }
    for enhanced in [false, true] {
        if let Ok(refresh) = RouteRefresh::decode(octets, enhanced) {
            assert_eq!(RouteRefresh::decode(&refresh.to_bytes()[HEADER_LEN..], enhanced), Ok(refresh));
        }
    }
});
