//! The rules one by one; [`crate::session`] has the stories.

use std::time::Duration;

use super::collision::{Direction, Identity, winner};
use super::messages::{Due, due};
use super::timers::{Backoff, jittered};
use crate::speaker::message::SessionState as S;
use crate::wire::MessageType as M;

#[test]
fn the_higher_identifier_keeps_what_it_dialled() {
    let identity = |id: [u8; 4], asn| Identity { router_id: id.into(), asn };
    let rows = [
        (identity([10, 0, 0, 2], 1), identity([10, 0, 0, 1], 9), Direction::Dialled),
        (identity([10, 0, 0, 1], 9), identity([10, 0, 0, 2], 1), Direction::Accepted),
        // Compared as numbers, most significant octet first.
        (identity([9, 255, 255, 255], 1), identity([10, 0, 0, 0], 1), Direction::Accepted),
        // RFC 6286 §2.3: equal identifiers, the larger AS.
        (identity([10, 0, 0, 1], 70_000), identity([10, 0, 0, 1], 1), Direction::Dialled),
        (identity([10, 0, 0, 1], 1), identity([10, 0, 0, 1], 70_000), Direction::Accepted),
    ];
    for (ours, theirs, expected) in rows {
        assert_eq!(winner(ours, theirs), expected);
        // The neighbor comes to the same connection, which it calls by the other name.
        assert_ne!(winner(theirs, ours), expected);
    }
}

#[test]
fn each_message_has_its_states_and_is_an_error_in_the_others() {
    let allowed = [
        (S::OpenSent, M::Open, Due::Open),
        (S::OpenConfirm, M::Keepalive, Due::Confirm),
        (S::Established, M::Keepalive, Due::Alive),
        (S::Established, M::Update, Due::Routes),
        (S::Established, M::RouteRefresh, Due::Refresh),
    ];
    for state in [S::OpenSent, S::OpenConfirm, S::Established] {
        for kind in [M::Open, M::Update, M::Notification, M::Keepalive, M::RouteRefresh] {
            let row = allowed.iter().find(|(s, k, _)| (*s, *k) == (state, kind));
            match (row, due(state, kind)) {
                (Some((.., expected)), outcome) => assert_eq!(outcome, Ok(*expected)),
                (None, outcome) if kind == M::Notification => assert_eq!(outcome, Ok(Due::End)),
                (None, outcome) => {
                    // RFC 6608 §4: subcode by state, type as data.
                    let notification = outcome.expect_err("not due");
                    let subcode = [S::OpenSent, S::OpenConfirm, S::Established].iter().position(|s| *s == state);
                    assert_eq!((notification.code, Some(usize::from(notification.subcode) - 1)), (5, subcode));
                    assert_eq!(&notification.data[..], [kind as u8]);
                }
            }
        }
    }
}

#[test]
fn jitter_takes_a_quarter_at_most() {
    let mut rng = fastrand::Rng::with_seed(1);
    let period = Duration::from_secs(100);
    let draws: Vec<Duration> = (0..1000).map(|_| jittered(period, &mut rng)).collect();
    assert!(draws.iter().all(|draw| (Duration::from_secs(75)..=period).contains(draw)));
    assert!(draws.iter().any(|draw| *draw < Duration::from_secs(77)));
    assert!(draws.iter().any(|draw| *draw > Duration::from_secs(98)));
}

#[test]
fn waits_double_up_to_the_cap_and_begin_anew_after_a_success() {
    let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(30));
    let waits: Vec<u64> = (0..5).map(|_| backoff.failed().as_secs()).collect();
    assert_eq!(waits, [5, 10, 20, 30, 30]);
    backoff.succeeded();
    assert_eq!((backoff.current().as_secs(), backoff.failed().as_secs()), (5, 5));
    // A base above the cap is taken as it is, and nothing overflows.
    let mut slow = Backoff::new(Duration::from_secs(300), Duration::from_secs(30));
    assert!((0..100).all(|_| slow.failed().as_secs() == 300));
}
