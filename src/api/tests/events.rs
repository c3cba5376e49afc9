//! The log of recent events.

use proto::v1;

use crate::api::events::EventLog;

fn event(subject: &str) -> v1::Event {
    v1::Event { subject: subject.to_owned(), ..v1::Event::default() }
}

fn numbers(events: &[v1::Event]) -> Vec<u64> {
    events.iter().map(|event| event.sequence).collect()
}

#[test]
fn a_reader_goes_on_where_it_stopped() {
    let log = EventLog::default();
    assert!(log.read(None).events.is_empty());
    log.push(event("a"));
    log.push(event("b"));
    let first = log.read(None);
    assert_eq!((numbers(&first.events), first.lost, first.through), (vec![1, 2], 0, 2));
    log.push(event("c"));
    let second = log.read(Some(first.through));
    assert_eq!((numbers(&second.events), second.lost, second.through), (vec![3], 0, 3));
    let third = log.read(Some(second.through));
    assert_eq!((numbers(&third.events), third.lost, third.through), (vec![], 0, 3));
}

#[test]
fn what_is_lost_is_counted_wherever_it_was_lost() {
    let log = EventLog::default();
    log.push(event("a"));
    log.skip(3);
    log.push(event("e"));
    // Between two events that are held …
    let read = log.read(Some(0));
    assert_eq!((numbers(&read.events), read.lost, read.through), (vec![1, 5], 3, 5));
    // … after the last one …
    log.skip(2);
    let read = log.read(Some(5));
    assert_eq!((numbers(&read.events), read.lost, read.through), (vec![], 2, 7));
    // … and before the first one held.
    for _ in 0..2000 {
        log.push(event("x"));
    }
    let read = log.read(Some(7));
    assert_eq!(read.events.first().map(|event| event.sequence), Some(2007 - 1023));
    assert_eq!(read.lost, 2007 - 1024 - 7);
}

#[test]
fn a_long_log_is_read_in_pieces_without_gaps() {
    let log = EventLog::default();
    for _ in 0..1000 {
        log.push(event("x"));
    }
    let (mut known, mut seen) = (None, Vec::new());
    loop {
        let read = log.read(known);
        assert_eq!(read.lost, 0);
        known = Some(read.through);
        if read.events.is_empty() {
            break;
        }
        seen.extend(numbers(&read.events));
    }
    assert_eq!(seen, (1..=1000).collect::<Vec<_>>());
}

#[test]
fn a_number_that_was_never_given_begins_with_what_is_held() {
    let log = EventLog::default();
    log.push(event("a"));
    let read = log.read(Some(99));
    assert_eq!((numbers(&read.events), read.lost), (vec![1], 0));
}
