use rib::{Forwarding, IfIndex, NextHopId, ResolvedLeg};

use super::book::{Book, LEGS, Message};
use super::frame;
use crate::netlink::decode::{Body, NextHop};

fn leg(n: u8, weight: u16) -> ResolvedLeg {
    ResolvedLeg { interface: IfIndex(2), gateway: Some([10, 0, 0, n].into()), onlink: false, weight }
}

fn legs(legs: &[ResolvedLeg]) -> Option<Forwarding> {
    Some(Forwarding::Legs(legs.iter().copied().collect()))
}

fn tell(book: &mut Book, slot: u32, forwarding: Option<Forwarding>) -> Vec<Message> {
    let mut out = Vec::new();
    book.want(NextHopId(slot), forwarding);
    book.tell(NextHopId(slot), &mut out);
    out
}

#[test]
fn a_frame_says_its_length_in_network_order() {
    let mut buf = vec![7];
    frame(&mut buf, |buf| buf.extend_from_slice(&[0; 300]));
    assert_eq!((&buf[..5], buf.len()), (&[7, 1, 1, 1, 48][..], 305));
}

#[test]
fn one_leg_is_one_message_and_its_failover_too() {
    let mut book = Book::default();
    let told = tell(&mut book, 5, legs(&[leg(1, 1)]));
    assert!(matches!(&told[..], [Message::Leg(5, key)] if key.gateway == Some([10, 0, 0, 1].into())), "{told:?}");
    assert_eq!(tell(&mut book, 5, legs(&[leg(1, 1)])), [], "nothing is said twice");
    let told = tell(&mut book, 5, legs(&[leg(2, 1)]));
    assert!(matches!(&told[..], [Message::Leg(5, key)] if key.gateway == Some([10, 0, 0, 2].into())), "{told:?}");
    assert_eq!(book.meaning(NextHopId(5)), legs(&[leg(2, 1)]));
}

#[test]
fn groups_share_their_legs_which_go_with_the_last() {
    let mut book = Book::default();
    let both = [leg(1, 3), leg(2, 1)];
    let told = tell(&mut book, 1, legs(&both));
    let [first, second] = [LEGS, LEGS + 1];
    assert!(
        matches!(&told[..], [Message::Leg(a, _), Message::Leg(b, _), Message::Group(1, members)]
        if *a == first && *b == second && *members == [(first, 3), (second, 1)]),
        "{told:?}"
    );
    let told = tell(&mut book, 2, legs(&both));
    assert!(matches!(&told[..], [Message::Group(2, _)]), "the legs are there: {told:?}");
    let mut gone = Vec::new();
    book.remove(NextHopId(1), &mut gone);
    book.remove_idle(&mut gone);
    assert_eq!(gone, [Message::Remove(1)], "the other group has them yet");
    // A group of one keeps a weight that one leg alone could not say.
    let told = tell(&mut book, 2, legs(&[leg(1, 3)]));
    assert!(matches!(&told[..], [Message::Group(2, members)] if *members == [(first, 3)]), "{told:?}");
    gone.clear();
    book.remove_idle(&mut gone);
    assert_eq!(gone, [Message::Remove(second)]);
}

#[test]
fn what_was_refused_is_said_again() {
    let mut book = Book::default();
    let told = tell(&mut book, 1, legs(&[leg(1, 1), leg(2, 1)]));
    book.doubt(LEGS + 1);
    book.doubt(1);
    let again = tell(&mut book, 1, legs(&[leg(1, 1), leg(2, 1)]));
    assert_eq!(again, told[1..], "the leg and the group, and not the other leg");
}

#[test]
fn a_receiver_s_own_word_is_taken_up_and_what_makes_no_sense_goes() {
    let one = |id, n: u8| NextHop {
        id,
        family: 2,
        protocol: 0,
        body: Body::Leg { interface: IfIndex(2), gateway: Some([10, 0, 0, n].into()), onlink: false },
    };
    let group =
        |id, members: &[(u32, u16)]| NextHop { id, family: 0, protocol: 0, body: Body::Group(members.to_vec()) };
    let mut book = Book::default();
    book.load(vec![
        one(7, 1),
        one(LEGS + 3, 1),
        one(LEGS + 4, 2),
        one(LEGS + 5, 2),
        group(8, &[(LEGS + 3, 1), (LEGS + 4, 2)]),
        group(9, &[(1234, 1)]),
        one(0xf000_0000, 9),
    ]);
    assert_eq!(book.meaning(NextHopId(7)), legs(&[leg(1, 1)]));
    assert_eq!(book.meaning(NextHopId(8)), legs(&[leg(1, 1), leg(2, 2)]));
    assert_eq!(book.meaning(NextHopId(9)), None);
    assert_eq!(tell(&mut book, 8, legs(&[leg(1, 1), leg(2, 2)])), [], "it is as wanted");
    let told = tell(&mut book, 10, legs(&[leg(3, 1), leg(1, 1)]));
    assert!(matches!(told[0], Message::Leg(id, _) if id == LEGS + 6), "beyond what is to be swept: {told:?}");
    let mut gone = Vec::new();
    book.remove_strays(&mut gone);
    assert_eq!(gone, [Message::Remove(9), Message::Remove(0xf000_0000), Message::Remove(LEGS + 5)]);
}
