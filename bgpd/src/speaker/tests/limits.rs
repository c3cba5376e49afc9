//! Neighbors that announce too much, and neighbors that are drained.

use std::time::Duration;

use super::rig::{OUR_AS, Rig, attributes, config, neighbor};
use crate::config::MaxPrefix;
use crate::locrib::{Epochs, PeerFacts, PeerIndex, PeerKind};
use crate::session::{DownReason, StopCause};
use crate::speaker::configure;
use crate::speaker::message::{Command, Event, Input, NeighborKey, SessionState};
use crate::speaker::tables::{Settings, Tables};
use crate::wire::AfiSafi;
use crate::wire::attr::community::GRACEFUL_SHUTDOWN;

const HOP: &str = "198.51.100.1";
const RESTART: Duration = Duration::from_secs(60);

fn limited(restart: Option<Duration>) -> Rig {
    let mut config = config(vec![neighbor(1, 65001), neighbor(2, 65002)]);
    config.neighbors[0].max_prefix = Some(MaxPrefix { limit: 4, warn: 3, restart });
    Rig::up(config)
}

fn key(n: u8) -> NeighborKey {
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, n)).into()
}

fn announce(rig: &mut Rig, count: u8) {
    for n in 0..count {
        rig.announce(1, &format!("10.{n}.0.0/16"), &attributes(&[65001], HOP));
    }
    rig.settle();
}

fn warnings(rig: &Rig) -> usize {
    rig.events.iter().filter(|event| matches!(event, Event::NearLimit { count: 3, limit: 4, .. })).count()
}

#[test]
fn a_neighbor_is_warned_of_once_and_cut_off_at_one_prefix_too_many() {
    let mut rig = limited(Some(RESTART));
    announce(&mut rig, 4);
    assert_eq!(warnings(&rig), 1);
    assert_eq!(rig.fake(1).notifications, 0, "the limit itself is allowed");
    rig.announce(1, "2001:db8::/32", &attributes(&[65001], "2001:db8::1")).settle();
    assert_eq!(rig.fake(1).notifications, 0, "each family counts for itself");

    rig.announce(1, "10.200.0.0/16", &attributes(&[65001], HOP)).settle();
    assert_eq!(rig.fake(1).notifications, 1);
    let fell = rig.events.iter().rev().find_map(|event| match event {
        Event::Neighbor { reason: Some(reason), .. } => Some(reason.clone()),
        _ => None,
    });
    let cause = StopCause::MaxPrefix { family: AfiSafi::IPV4_UNICAST, limit: 4, restart: Some(RESTART) };
    assert_eq!(fell, Some(DownReason::Stopped(cause)));
    assert_eq!(rig.told(2, "10.200.0.0/16"), None, "the one too many was never told");
    assert_eq!(rig.told(2, "10.0.0.0/16"), None);
    assert!(rig.rib.is_empty());

    // It may come back when the time is over, and not before.
    rig.lose(1).settle();
    rig.connect(0);
    assert_ne!(rig.state(1), SessionState::Established);
    rig.later(RESTART + RESTART / 2);
    rig.connect(0);
    rig.settle();
    assert_eq!(rig.state(1), SessionState::Established);
    announce(&mut rig, 3);
    assert_eq!(warnings(&rig), 2, "a new session is warned of anew");
    rig.assert_no_leak();
}

#[test]
fn without_a_restart_time_an_operator_has_to_say_so() {
    let mut rig = limited(None);
    announce(&mut rig, 5);
    rig.lose(1).settle();
    rig.later(Duration::from_secs(86_400));
    rig.connect(0);
    assert_ne!(rig.state(1), SessionState::Established);
    rig.input(Input::Command(Command::SetEnabled { neighbor: key(1), enabled: true, message: String::new() }));
    rig.connect(0);
    rig.settle();
    assert_eq!(rig.state(1), SessionState::Established);
}

#[test]
fn a_lower_limit_counts_at_once_and_a_higher_one_lets_it_come_back() {
    let mut rig = limited(None);
    announce(&mut rig, 4);
    let mut config = rig.config.clone();
    config.neighbors[0].max_prefix = Some(MaxPrefix { limit: 2, warn: 2, restart: None });
    rig.input(Input::Configure(Box::new(config.clone())));
    rig.settle();
    assert_eq!(rig.fake(1).notifications, 1);
    rig.lose(1).settle();
    config.neighbors[0].max_prefix = None;
    rig.input(Input::Configure(Box::new(config)));
    rig.connect(0);
    rig.settle();
    assert_eq!(rig.state(1), SessionState::Established);
}

#[test]
fn a_drained_neighbor_sees_gshut_and_its_routes_come_last() {
    let mut rig = Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002), neighbor(3, OUR_AS)]));
    rig.announce(1, "192.0.2.0/24", &attributes(&[65001], HOP));
    rig.announce(2, "192.0.2.0/24", &attributes(&[65002, 7], HOP));
    rig.announce(2, "198.51.100.0/24", &attributes(&[65002], HOP)).settle();
    assert_eq!(rig.told(3, "192.0.2.0/24"), Some(vec![65001]));

    rig.input(Input::Command(Command::Drain { neighbor: key(1) }));
    rig.settle();
    assert_eq!(rig.told(3, "192.0.2.0/24"), Some(vec![65002, 7]), "traffic moves to the other");
    let told = rig.told_attributes(1, "198.51.100.0/24").expect("still announced");
    assert!(told.has_community(GRACEFUL_SHUTDOWN));
    assert!(!rig.told_attributes(3, "198.51.100.0/24").expect("announced").has_community(GRACEFUL_SHUTDOWN));
    assert_eq!(rig.state(1), SessionState::Established, "the session stays up");

    rig.input(Input::Command(Command::SetEnabled { neighbor: key(1), enabled: true, message: String::new() }));
    rig.settle();
    assert_eq!(rig.told(3, "192.0.2.0/24"), Some(vec![65001]));
    assert!(!rig.told_attributes(1, "198.51.100.0/24").expect("announced").has_community(GRACEFUL_SHUTDOWN));
    rig.assert_no_leak();
}

#[test]
fn places_for_neighbors_come_to_an_end_and_are_used_again() {
    let config = config(Vec::new());
    let mut tables = Tables::new(1, configure::identity(&config), config.router_id, Settings::of(&config));
    let facts = || PeerFacts {
        kind: PeerKind::External,
        epochs: Epochs::default(),
        route_server_client: false,
        up: false,
        router_id: std::net::Ipv4Addr::UNSPECIFIED,
        address: std::net::Ipv4Addr::LOCALHOST.into(),
    };
    let mut last = None;
    for _ in 0..u16::MAX {
        assert!(tables.has_place());
        last = tables.add_peer(facts());
    }
    assert_eq!((last, tables.has_place(), tables.add_peer(facts())), (Some(PeerIndex(u16::MAX)), false, None));
    tables.remove_peer(PeerIndex(77));
    assert!(tables.has_place());
    // A walk that has still to find what its last holder said is brought to its end first.
    tables.rescan();
    assert_eq!(tables.add_peer(facts()), Some(PeerIndex(77)));
    assert!(!tables.has_place());
}
