//! What operators do to sessions and what the neighbor hears of it (RFC 4486, RFC 8203/9003, RFC 8326), limits with a timed
//! restart, local AS numbers.

#![allow(clippy::disallowed_methods, reason = "timers are measured in real time")]

use std::time::{Duration, Instant};

use bgpd::speaker::message::{Command, SessionState};

use super::octets::{self, four_octet_as, message, multiprotocol};
use super::peer::Peer;
use super::rig::{OUR_AS, Rig, key, neighbor};

const AS: u32 = 64501;
const ROUTE: &str = "192.0.2.0/24";

#[test]
fn disabling_says_administrative_shutdown_with_its_reason_and_keeps_the_neighbor_out() {
    let rig = Rig::new(&neighbor(1, AS, ""));
    let mut peer = Peer::up(&rig, 1, AS);
    let disable = |message: &str| Command::SetEnabled { neighbor: key(1), enabled: false, message: message.to_owned() };
    rig.command(disable("cable work"));
    assert_eq!(peer.expect_notification(6, 2), b"\x0acable work");
    // RFC 4486 §4: Connection Rejected, as often as it comes.
    for _ in 0..2 {
        assert!(Peer::connect(&rig, 1).expect_notification(6, 5).is_empty());
    }
    rig.command(Command::SetEnabled { neighbor: key(1), enabled: true, message: String::new() });
    let mut peer = Peer::up(&rig, 1, AS);
    // RFC 9003 §2: UTF-8, cut between characters at 255 octets.
    rig.command(disable(&"é".repeat(200)));
    let text = peer.expect_notification(6, 2);
    assert_eq!((usize::from(text[0]), text.len()), (254, 255));
    assert_eq!(std::str::from_utf8(&text[1..]).expect("UTF-8"), "é".repeat(127));
}

#[test]
fn a_reset_says_so_and_the_neighbor_may_come_back_at_once() {
    let rig = Rig::new(&neighbor(1, AS, ""));
    for _ in 0..3 {
        let mut peer = Peer::up(&rig, 1, AS);
        rig.until(1, SessionState::Established);
        rig.command(Command::Reset { neighbor: key(1) });
        assert!(peer.expect_notification(6, 4).is_empty(), "no text was given");
    }
    assert_eq!(rig.neighbor(1).established_count, 3);
}

#[test]
fn a_neighbor_that_is_deleted_is_told() {
    let rig = Rig::new(&neighbor(2, 64502, ""));
    rig.add_neighbor(&neighbor(1, AS, ""));
    let mut peer = Peer::up(&rig, 1, AS);
    rig.delete_neighbor(1);
    assert!(peer.expect_notification(6, 3).is_empty(), "Peer De-configured");
}

#[test]
fn a_changed_session_key_says_other_configuration_change_and_a_policy_nothing() {
    let policy = "import = \"reject\"";
    let mut rig = Rig::new(&(neighbor(1, AS, policy) + &neighbor(2, 64502, "hold_time = \"90s\"")));
    let (mut live, mut reset) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, 64502));
    live.announce_plain(&[AS], "10.0.0.1", &[ROUTE]);
    rig.reload("import = \"reject\"", "import = \"accept\"");
    // Judged anew without a word of the neighbor.
    reset.expect_route(ROUTE);
    rig.reload("hold_time = \"90s\"", "hold_time = \"60s\"");
    assert!(reset.expect_notification(6, 6).is_empty());
    live.settle();
    let mut again = Peer::connect(&rig, 2);
    assert_eq!(again.open(64502, &[multiprotocol(1), four_octet_as(64502)]).hold, 60);
}

#[test]
fn a_drained_neighbor_keeps_its_session_and_sees_gshut() {
    let rig = Rig::new(&(neighbor(1, AS, "") + &neighbor(2, 64502, "") + &neighbor(3, OUR_AS, "")));
    let (mut drained, mut other) = (Peer::up(&rig, 1, AS), Peer::up(&rig, 2, 64502));
    let mut inside = Peer::up(&rig, 3, OUR_AS);
    other.announce_plain(&[64502], "10.0.0.2", &[ROUTE]);
    drained.announce_plain(&[AS], "10.0.0.1", &["198.51.100.0/24"]);
    assert!(drained.expect_route(ROUTE).communities().is_empty());
    assert_eq!(inside.expect_route("198.51.100.0/24").local_pref(), Some(100));
    rig.command(Command::Drain { neighbor: key(1) });
    drained.await_route(ROUTE, |route| route.communities() == [0xffff_0000]);
    inside.await_route("198.51.100.0/24", |route| route.local_pref() == Some(0));
    rig.command(Command::SetEnabled { neighbor: key(1), enabled: true, message: String::new() });
    drained.await_route(ROUTE, |route| route.communities().is_empty());
    inside.await_route("198.51.100.0/24", |route| route.local_pref() == Some(100));
    assert_eq!(rig.neighbor(1).established_count, 1);
}

#[test]
fn a_soft_reset_sends_everything_again_or_asks_for_it() {
    let rig = Rig::new(&(neighbor(1, AS, "adj_in = \"accepted\"") + &neighbor(2, 64502, "")));
    let able = [multiprotocol(1), four_octet_as(AS), (2, vec![])];
    let mut asked = Peer::up_with(&rig, 1, AS, &able);
    let mut told = Peer::up(&rig, 2, 64502);
    asked.announce_plain(&[AS], "10.0.0.1", &[ROUTE]);
    told.expect_route(ROUTE);
    told.settle();
    told.table.clear();
    rig.command(Command::SoftOut { neighbor: key(2) });
    told.expect_route(ROUTE);
    asked.settle();
    rig.command(Command::SoftIn { neighbor: key(1) });
    assert!(
        matches!(asked.next_but_updates(Duration::from_secs(5)), super::peer::Event::Message(octets::REFRESH, body)
            if body == [0, 1, 0, 1])
    );
    assert_eq!((rig.neighbor(1).established_count, rig.neighbor(2).established_count), (1, 1));
}

#[test]
fn a_limit_with_a_restart_time_lets_the_neighbor_back_after_it() {
    let rig = Rig::new(&neighbor(1, AS, "max_prefix = { limit = 1, restart = \"1s\" }"));
    let mut peer = Peer::up(&rig, 1, AS);
    peer.announce_plain(&[AS], "10.0.0.1", &[ROUTE, "198.51.100.0/24"]);
    assert_eq!(peer.expect_notification(6, 1), [0, 1, 1, 0, 0, 0, 1]);
    let began = Instant::now();
    // Until then it is not spoken to.
    let mut early = Peer::connect(&rig, 1);
    early.settle_closed();
    let mut tries = 0;
    let mut back = loop {
        let mut peer = Peer::connect(&rig, 1);
        let id = [10, 255, 1, 1].into();
        peer.send(&message(octets::OPEN, &octets::open(64501, 90, id, &[multiprotocol(1), four_octet_as(AS)])));
        if let super::peer::Event::Message(octets::OPEN, _) = peer.next(Duration::from_secs(2)) {
            break peer;
        }
        tries += 1;
        assert!(tries < 100, "it is not let back");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    back.confirm();
    back.announce_plain(&[AS], "10.0.0.1", &[ROUTE]);
    back.settle();
    assert_eq!(rig.neighbor(1).received, 1);
}

#[test]
fn a_local_as_is_all_that_its_neighbor_sees() {
    let rig = Rig::new(&(neighbor(1, AS, "local_asn = 70000") + &neighbor(2, 64502, "") + &neighbor(3, OUR_AS, "")));
    let mut peer = Peer::connect(&rig, 1);
    let opened = peer.open(AS, &[multiprotocol(1), four_octet_as(AS)]);
    assert_eq!(opened.my_as, 23456, "AS_TRANS (RFC 6793 §4.2.2)");
    assert_eq!(opened.capability(65), Some(&70000_u32.to_be_bytes()[..]));
    peer.confirm();
    let (mut outside, mut inside) = (Peer::up(&rig, 2, 64502), Peer::up(&rig, 3, OUR_AS));
    outside.announce_plain(&[64502], "10.0.0.2", &[ROUTE]);
    assert_eq!(peer.expect_route(ROUTE).path(), "70000 64502");
    peer.announce_plain(&[AS], "10.0.0.1", &["198.51.100.0/24"]);
    assert_eq!(inside.expect_route("198.51.100.0/24").path(), "64501");
    assert_eq!(outside.expect_route("198.51.100.0/24").path(), "65000 64501");
    // Our other number in a path of its is a loop, too.
    peer.announce_plain(&[AS, 70000], "10.0.0.1", &["198.51.100.0/24"]);
    outside.await_gone("198.51.100.0/24");
}
