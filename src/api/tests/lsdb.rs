//! The journal of the link-state databases.

use super::super::lsdb::{Log, parse_token, token};

#[test]
fn a_reader_goes_on_where_it_stopped_as_long_as_the_changes_are_kept() {
    let mut log = Log::new(3);
    log.push('a');
    let position = log.position();
    for change in ['b', 'c', 'd'] {
        log.push(change);
    }
    assert_eq!(log.after(position, 10), Some(vec!['b', 'c', 'd']));
    assert_eq!(log.after(position, 2), Some(vec!['b', 'c']), "at most as many as asked for");
    assert_eq!(log.after(log.position(), 10), Some(vec![]));
    log.push('e');
    assert_eq!(log.after(position, 10), None, "what comes first is no longer here");
    assert_eq!(log.after(position + 1, 10), Some(vec!['c', 'd', 'e']));
    assert_eq!(log.after(99, 10), None, "a position of the future is another log's");
}

#[test]
fn nobody_goes_on_from_before_changes_that_were_missed() {
    let mut log = Log::new(3);
    log.push('a');
    let position = log.position();
    log.miss();
    assert_eq!(log.after(position, 10), None);
    assert_eq!(log.after(log.position(), 10), Some(vec![]));
}

#[test]
fn tokens_of_both_versions_hold_within_one_run_of_the_daemon() {
    for positions in [[Some(7), Some(0)], [None, Some(9)], [Some(3), None]] {
        assert_eq!(parse_token(255, &token(255, positions)).expect("our token"), positions);
        assert_eq!(parse_token(1, &token(255, positions)).expect("another run's"), [None, None]);
    }
    assert_eq!(parse_token(1, "").expect("no token"), [None, None]);
    for wrong in ["x", "ff.1", "ff.1.2.3", "ff.a.b"] {
        let status = parse_token(255, wrong).expect_err("never was a token");
        assert!(status.message().contains("resume_token"), "{status}");
    }
}
