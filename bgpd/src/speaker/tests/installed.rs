//! Neighbors that are told only of what every data plane holds (`advertise_only_installed`).

use rib::{Answer, BackendId, FibFault, NotHeld, Protocol, Source};

use super::rig::{OUR_AS, Rig, attributes, config, neighbor, net, service};
use crate::config::{AddPath, NeighborConfig};
use crate::speaker::message::{Input, LocalRoute, Query, Reply};
use crate::wire::attr::PathAttributes;

const HOP: &str = "198.51.100.1";
const A: &str = "203.0.113.0/24";
const B: &str = "2001:db8:1::/48";

fn careful(n: u8, asn: u32) -> NeighborConfig {
    NeighborConfig { advertise_only_installed: true, ..neighbor(n, asn) }
}

/// Two neighbors that are told everything, and a third that is not.
fn three() -> Rig {
    Rig::up(config(vec![neighbor(1, 65001), neighbor(2, 65002), careful(3, 65003)]))
}

fn full() -> NotHeld {
    NotHeld::Refused(BackendId(1), FibFault::CapacityExceeded)
}

impl Rig {
    /// The RIB answers for `prefix` as it was after the batch `through`.
    fn answer(&mut self, through: u64, prefix: &str, held: Result<(), NotHeld>) -> &mut Self {
        self.input(Input::Answers(vec![(through, Answer { prefix: net(prefix), held })]));
        self.settle()
    }

    fn holds(&mut self, prefix: &str) -> &mut Self {
        self.answer(self.asks, prefix, Ok(()))
    }

    fn reason(&self, prefix: &str, n: u8) -> String {
        let neighbor = std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, n));
        match self.view(&Query::Explain { prefix: net(prefix), neighbor: Some(neighbor.into()) }) {
            Reply::Explain(explanation) => explanation.exports[0].reason.clone(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_route_is_told_when_every_data_plane_holds_it_and_taken_back_when_one_does_not() {
    let mut rig = three();
    for (prefix, hop) in [(A, HOP), (B, "2001:db8::1")] {
        rig.announce(1, prefix, &attributes(&[65001], hop)).settle();
        assert!(rig.told(2, prefix).is_some());
        assert_eq!(rig.told(3, prefix), None);
        assert_eq!(rig.reason(prefix, 3), "advertise_only_installed: not every data plane has answered for it yet");
        assert_eq!(rig.asked.get(&net(prefix)), Some(&rig.asks), "the RIB has been asked");
        rig.holds(prefix);
        assert_eq!(rig.told(3, prefix), Some(vec![OUR_AS, 65001]));

        rig.answer(rig.asks, prefix, Err(full()));
        assert_eq!(rig.told(3, prefix), None);
        assert!(rig.told(2, prefix).is_some());
        assert_eq!(
            rig.reason(prefix, 3),
            "advertise_only_installed: data plane 1 does not hold it: the data plane is full"
        );
        rig.holds(prefix);
        assert_eq!(rig.told(3, prefix), Some(vec![OUR_AS, 65001]));
        rig.answer(rig.asks, prefix, Err(NotHeld::Other(Source::Static)));
        assert_eq!(rig.told(3, prefix), None, "another route forwards it");
        rig.holds(prefix).withdraw(1, prefix).settle();
        assert_eq!(rig.told(3, prefix), None);
        assert_eq!(rig.speaker.tables.installed[usize::from(prefix == B)].kept(), 0);
    }
    rig.assert_no_leak();
}

#[test]
fn while_the_data_planes_work_the_old_word_stands_unless_its_path_is_gone() {
    let mut rig = three();
    rig.announce(1, A, &attributes(&[65001], HOP)).settle().holds(A);
    let old = rig.asks;
    rig.announce(1, A, &PathAttributes { med: Some(9), ..attributes(&[65001, 65009], HOP) }).settle();
    assert_eq!(rig.told(2, A), Some(vec![OUR_AS, 65001, 65009]));
    assert_eq!(rig.told(3, A), Some(vec![OUR_AS, 65001]));
    let updates = rig.fake(3).updates;
    rig.answer(old, A, Ok(()));
    assert_eq!(rig.fake(3).updates, updates, "that was said of the change before");
    rig.holds(A);
    assert_eq!(rig.told(3, A), Some(vec![OUR_AS, 65001, 65009]));

    // A second path stands in when the first neighbor is lost: its predecessor must not be told any longer.
    rig.announce(2, A, &attributes(&[65002, 65002, 65002], HOP)).settle();
    assert_eq!(rig.told(3, A), Some(vec![OUR_AS, 65001, 65009]));
    rig.lose(1).settle();
    assert_eq!(rig.told(3, A), None);
    rig.holds(A);
    assert_eq!(rig.told(3, A), Some(vec![OUR_AS, 65002, 65002, 65002]));
    rig.assert_no_leak();
}

#[test]
fn our_own_routes_are_waited_for_too_but_services_have_been_already() {
    let mut rig = three();
    let fixed = LocalRoute { protocol: Protocol::Static, ..service() };
    rig.local("192.0.2.53/32", Some(service())).local("192.0.2.0/24", Some(fixed)).settle();
    assert_eq!(rig.told(3, "192.0.2.53/32"), Some(vec![OUR_AS]));
    assert_eq!((rig.told(2, "192.0.2.0/24"), rig.told(3, "192.0.2.0/24")), (Some(vec![OUR_AS]), None));
    assert!(rig.asked.contains_key(&net("192.0.2.0/24")) && !rig.rib.contains_key(&net("192.0.2.0/24")));
    rig.holds("192.0.2.0/24");
    assert_eq!(rig.told(3, "192.0.2.0/24"), Some(vec![OUR_AS]));
    rig.answer(rig.asks, "192.0.2.0/24", Err(full()));
    assert_eq!(rig.told(3, "192.0.2.0/24"), None);
    // A failed service is withdrawn at once, though another site's route for it has not been answered for.
    rig.announce(1, "192.0.2.53/32", &attributes(&[65001], HOP)).settle();
    rig.local("192.0.2.53/32", None).settle();
    assert_eq!(rig.told(3, "192.0.2.53/32"), None);
    rig.holds("192.0.2.53/32");
    assert_eq!(rig.told(3, "192.0.2.53/32"), Some(vec![OUR_AS, 65001]));
}

#[test]
fn a_reload_turns_it_on_and_off_without_a_new_session() {
    let everything = config(vec![neighbor(1, 65001), neighbor(2, 65002), neighbor(3, 65003)]);
    let mut rig = Rig::up(everything.clone());
    rig.announce(1, A, &attributes(&[65001], HOP)).settle();
    assert!(rig.asked.is_empty(), "nobody wants to know");
    let only = config(vec![neighbor(1, 65001), neighbor(2, 65002), careful(3, 65003)]);
    rig.input(Input::Configure(Box::new(only)));
    rig.settle();
    assert!(rig.told(3, A).is_some(), "what stands is not taken back before the data planes have said anything");
    rig.answer(rig.asks, A, Err(full()));
    assert_eq!(rig.told(3, A), None);
    rig.input(Input::Configure(Box::new(everything)));
    rig.settle();
    assert!(rig.told(3, A).is_some());
    assert_eq!(rig.fake(3).notifications, 0);
    let asks = rig.asks;
    rig.announce(1, B, &attributes(&[65001], "2001:db8::1")).settle();
    assert_eq!(rig.asks, asks, "nobody wants to know any more");
}

#[test]
fn with_several_paths_to_a_prefix_all_of_them_wait_and_go_together() {
    let several = AddPath { receive: false, send: 4 };
    let mut rig = Rig::up(config(vec![
        neighbor(1, 65001),
        neighbor(2, 65002),
        NeighborConfig { add_path: several, ..careful(3, 65003) },
    ]));
    rig.announce(1, A, &attributes(&[65001], HOP)).announce(2, A, &attributes(&[65002, 65002], HOP)).settle();
    assert_eq!(rig.fake(3).paths.len(), 0);
    rig.holds(A);
    assert_eq!(rig.fake(3).paths.len(), 2);
    rig.lose(1).settle();
    assert_eq!(rig.fake(3).paths.len(), 1, "the other one was told before, and is still there");
    rig.answer(rig.asks, A, Err(full()));
    assert_eq!(rig.fake(3).paths.len(), 0);
    rig.holds(A);
    assert_eq!(rig.fake(3).paths.len(), 1);
    rig.assert_no_leak();
}

#[test]
fn who_does_not_read_costs_a_bounded_memory_and_hears_the_last_word() {
    let mut rig = three();
    let prefixes: Vec<String> = (0..5000).map(|n| format!("100.64.{}.{}/32", n / 250, n % 250)).collect();
    rig.fake(3).deaf = true;
    for prefix in &prefixes {
        rig.announce(1, prefix, &attributes(&[65001], HOP));
    }
    rig.settle();
    for turn in 0..20 {
        for prefix in &prefixes {
            let held = if turn % 2 == 0 { Err(full()) } else { Ok(()) };
            rig.input(Input::Answers(vec![(rig.asks, Answer { prefix: net(prefix), held })]));
        }
    }
    rig.fake(3).deaf = false;
    rig.settle();
    assert_eq!(prefixes.iter().filter(|prefix| rig.told(3, prefix).is_some()).count(), prefixes.len());
    assert_eq!(rig.speaker.tables.installed[0].kept(), 0);
    rig.assert_no_leak();
}
