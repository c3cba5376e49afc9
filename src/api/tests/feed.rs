//! A table that watchers follow.

use tonic::Code;

use crate::api::feed::{Delta, Feed, parse_resume_token, resume_token};

type Row = (&'static str, u32);

fn feed() -> Feed<Row> {
    // A watcher cares for the number only.
    Feed::new(|a, b| a.1 == b.1)
}

fn table(rows: &[Row]) -> Vec<(String, Row)> {
    rows.iter().map(|row| (row.0.to_owned(), *row)).collect()
}

fn told(delta: &Delta<Row>) -> (bool, Vec<Row>, Vec<&str>) {
    let updated = delta.updated.iter().map(|(_, row)| *row).collect();
    (delta.snapshot, updated, delta.removed.iter().map(String::as_str).collect())
}

#[test]
fn a_newcomer_gets_a_snapshot_and_then_only_what_changes() {
    let mut feed = feed();
    assert!(feed.update(table(&[("a", 1), ("b", 1)])));
    let first = feed.since(None);
    assert_eq!(told(&first), (true, vec![("a", 1), ("b", 1)], vec![]));

    assert!(feed.update(table(&[("a", 1), ("b", 2), ("c", 1)])));
    let second = feed.since(Some(first.version));
    assert_eq!(told(&second), (false, vec![("b", 2), ("c", 1)], vec![]));

    assert!(feed.update(table(&[("c", 1), ("b", 2)])));
    let third = feed.since(Some(second.version));
    assert_eq!(told(&third), (false, vec![], vec!["a"]));
}

#[test]
fn the_same_table_is_no_news() {
    let mut feed = feed();
    feed.update(table(&[("a", 1)]));
    let version = feed.version();
    assert!(!feed.update(table(&[("a", 1)])));
    assert_eq!(feed.version(), version);
}

#[test]
fn changes_are_folded_for_who_comes_late() {
    let mut feed = feed();
    feed.update(table(&[("a", 1)]));
    let known = feed.version();
    for number in 2..50 {
        feed.update(table(&[("a", number)]));
    }
    assert_eq!(told(&feed.since(Some(known))), (false, vec![("a", 49)], vec![]));
}

#[test]
fn a_row_that_left_and_came_back_is_told_as_updated_not_as_removed() {
    let mut feed = feed();
    feed.update(table(&[("a", 1)]));
    let known = feed.version();
    feed.update(table(&[]));
    feed.update(table(&[("a", 1)]));
    assert_eq!(told(&feed.since(Some(known))), (false, vec![("a", 1)], vec![]));
}

#[test]
fn who_is_further_behind_than_removals_are_remembered_starts_anew() {
    let mut feed = feed();
    feed.update(table(&[("a", 1)]));
    let known = feed.version();
    for _ in 0..1100 {
        feed.update(table(&[("a", 1), ("b", 1)]));
        feed.update(table(&[("a", 1)]));
    }
    assert_eq!(told(&feed.since(Some(known))), (true, vec![("a", 1)], vec![]));
    assert_eq!(told(&feed.since(Some(feed.version()))), (false, vec![], vec![]));
}

#[test]
fn a_version_from_the_future_gets_a_snapshot() {
    let mut feed = feed();
    feed.update(table(&[("a", 1)]));
    assert!(feed.since(Some(feed.version() + 1)).snapshot);
}

#[test]
fn tokens_hold_within_one_run_of_the_daemon_only() {
    let token = resume_token(0xabc, 17);
    assert_eq!(parse_resume_token(0xabc, &token).unwrap(), Some(17));
    assert_eq!(parse_resume_token(0xdef, &token).unwrap(), None);
    assert_eq!(parse_resume_token(0xabc, "").unwrap(), None);
    for wrong in ["17", "x.1", "abc.", "abc.-1", "."] {
        assert_eq!(parse_resume_token(0xabc, wrong).unwrap_err().code(), Code::InvalidArgument, "{wrong}");
    }
}
