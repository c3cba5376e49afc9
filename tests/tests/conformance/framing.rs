//! Messages and the octet stream: cut, joined, cut short, and more connections than anybody needs.

use std::net::Ipv4Addr;

use super::octets::{
    self, KEEPALIVE, NOTIFICATION, OPEN, four_octet_as, message, multiprotocol, next_hop, nlri, origin, path, update,
};
use super::peer::Peer;
use super::rig::{Rig, neighbor};

const AS: u32 = 64501;
const ROUTE: &str = "192.0.2.0/24";
const OTHER: &str = "198.51.100.0/24";

fn good() -> [Vec<u8>; 3] {
    [origin(0), path(&[AS]), next_hop("10.0.0.1")]
}

fn announcement(prefix: &str) -> Vec<u8> {
    update(&[], &good().concat(), &nlri(&[prefix]))
}

fn open(number: u8) -> Vec<u8> {
    let capabilities = [multiprotocol(1), four_octet_as(AS)];
    message(OPEN, &octets::open(64501, 90, Ipv4Addr::new(10, 255, 1, number), &capabilities))
}

#[test]
fn a_whole_conversation_may_come_in_one_segment() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let mut seer = Peer::up(&rig, 2, 64502);
    let mut eager = Peer::connect(&rig, 1);
    let end_of_rib = update(&[], &[], &[]);
    let keepalive = message(KEEPALIVE, &[]);
    // It does not wait for a word of ours.
    eager.send(&[open(1), keepalive, announcement(ROUTE), announcement(OTHER), end_of_rib].concat());
    seer.expect_route(ROUTE);
    seer.expect_route(OTHER);
    eager.expect_open();
    eager.expect_keepalive();
    eager.await_end_of_rib(1);
}

#[test]
fn what_stands_after_a_notification_or_an_error_is_not_read() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "") + &neighbor(3, AS, "")));
    let mut seer = Peer::up(&rig, 2, 64502);
    let mut sender = Peer::up(&rig, 1, AS);
    sender.send(&[message(NOTIFICATION, &[6, 2]), announcement(ROUTE)].concat());
    sender.settle_closed();
    let mut sender = Peer::up(&rig, 3, AS);
    sender.send(&[message(9, &[]), announcement(OTHER)].concat());
    assert_eq!(sender.expect_notification(1, 3), [9]);
    seer.settle();
    assert!(seer.table.is_empty() && seer.withdrawals.is_empty(), "{:?}", seer.table);
}

#[test]
fn a_connection_that_breaks_within_a_message_leaves_nothing_of_it() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let mut seer = Peer::up(&rig, 2, 64502);
    let whole = announcement(OTHER);
    // Cut in the marker, the length, the attributes and before the last octet; ended in order or by a reset.
    for (round, cut) in [1, 17, 19, 30, whole.len() - 1].into_iter().enumerate() {
        let mut sender = Peer::up(&rig, 1, AS);
        sender.announce(&good(), &[ROUTE]);
        seer.expect_route(ROUTE);
        sender.send(&whole[..cut]);
        if round % 2 == 0 {
            sender.reset();
        }
        drop(sender);
        seer.await_gone(ROUTE);
        assert!(seer.route(OTHER).is_none());
    }
}

#[test]
fn the_last_word_counts_however_often_a_neighbor_changes_its_mind() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "")));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, 64502));
    let withdrawal = |prefix| update(&nlri(&[prefix]), &[], &[]);
    for _ in 0..200 {
        let words = [announcement(ROUTE), withdrawal(ROUTE), announcement(OTHER), withdrawal(OTHER)];
        sender.send(&words.concat());
    }
    sender.send(&announcement(ROUTE));
    sender.flush_to(&mut seer, &good());
    seer.expect_route(ROUTE);
    seer.settle();
    assert!(seer.route(OTHER).is_none());
}

#[test]
fn a_flood_of_connections_keeps_no_neighbor_out() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "") + &neighbor(3, 64503, "")));
    let (mut sender, mut seer) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, 64502));
    // Strangers, a neighbor whose session stands, and one that dials again and again without a word.
    let (mut held, mut dialled) = (Vec::new(), Vec::new());
    for round in 0..60 {
        for number in [77, 78 + round, 1] {
            held.extend(rig.try_connect(number));
        }
        dialled.extend(rig.try_connect(3));
    }
    sender.announce(&good(), &[ROUTE]);
    seer.expect_route(ROUTE);
    // Once it means it, it is let in, whatever the strangers hold.
    drop(dialled);
    let stream = (0..500).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        rig.try_connect(3).ok()
    });
    let mut late = Peer::on(stream.expect("a neighbor is let in"), 3);
    late.open(64503, &[multiprotocol(1), four_octet_as(64503)]);
    late.confirm();
    late.expect_route(ROUTE);
    drop(held);
    sender.withdraw(&[ROUTE]);
    seer.await_gone(ROUTE);
    late.await_gone(ROUTE);
    assert_eq!(rig.neighbor(1).established_count, 1);
}
