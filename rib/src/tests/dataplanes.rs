use super::node::*;
use crate::message::{FibState, Input, Output};
use crate::*;

fn bgp(gateway: &str) -> Route {
    route(Protocol::Ebgp, via(gateway).into())
}

#[test]
fn a_failed_next_hop_is_one_write_in_each_data_plane() {
    let mut node = Node::with_backends(2);
    node.add(Source::OspfV2, "192.0.2.1/32", route(Protocol::OspfIntra, ecmp(&[via("10.0.0.1"), via("10.0.1.1")])));
    node.bgp_table(20_000, "192.0.2.1");
    let (mut first, mut second) = (Mirror::default(), Mirror::default());
    node.pull(0, &mut first, true).pull(1, &mut second, true);
    assert_eq!(first.routes.len(), 20_001, "the connected ones are the host's own");
    let (routes, objects) = (first.route_writes, first.object_writes);

    node.link(ETH1, false).pull(0, &mut first, true).pull(1, &mut second, true);
    assert_eq!(first.route_writes, routes, "no prefix is touched");
    assert_eq!(first.object_writes, objects + 2, "the set of BGP and the set of OSPF");
    let Some(Forwarding::Legs(legs)) = first.forwarding("100.0.9.0/24") else { panic!("forwards") };
    assert_eq!((legs.len(), legs[0].gateway), (1, Some(addr("10.0.0.1"))));
    assert_eq!(second.objects, first.objects);
}

#[test]
fn when_nothing_is_left_of_a_next_hop_its_prefixes_are_selected_anew_in_slices() {
    let mut node = Node::with_backends(1);
    node.bgp_table(20_000, "10.0.0.1");
    node.add(Source::OspfV2, "100.0.7.0/24", route(Protocol::OspfIntra, via("10.0.1.1").into()));
    let mut mirror = Mirror::default();
    node.pull(0, &mut mirror, true);
    node.give(Input::Interface { index: ETH0, up: false });
    assert!(node.rib.has_work());
    node.settle().pull(0, &mut mirror, true);
    assert_eq!(mirror.routes.len(), 1, "only what OSPF has");
    assert_eq!(node.rib.summary().by_source, [(Source::Connected, 1), (Source::OspfV2, 1)]);
    node.link(ETH0, true).pull(0, &mut mirror, true);
    assert_eq!(mirror.routes.len(), 20_000);
}

#[test]
fn an_object_comes_before_its_first_route_and_goes_after_its_last_and_its_number_waits_for_the_answer() {
    let mut node = Node::with_backends(1);
    node.bgp("203.0.113.0/24", "10.0.0.1");
    let mut delta = FibDelta::default();
    assert!(!node.rib.pull_fib(BackendId(0), 100, &mut delta));
    let first = node.get("203.0.113.0/24").expect("chosen").next_hop_id;
    assert!(delta.routes.contains(&FibRoute { prefix: net("203.0.113.0/24"), next_hop: Some(first) }));
    assert_eq!(delta.next_hops.iter().map(|op| op.id).collect::<Vec<_>>(), [first]);
    node.ack(0, delta.through);

    node.remove(Source::Bgp, "203.0.113.0/24");
    assert!(!node.rib.pull_fib(BackendId(0), 100, &mut delta));
    assert_eq!((delta.routes.len(), &delta.routes[0].next_hop), (1, &None));
    assert_eq!(delta.unused, [first]);
    let through = delta.through;

    node.bgp("198.51.100.0/24", "10.0.0.2");
    let second = node.get("198.51.100.0/24").expect("chosen").next_hop_id;
    assert_ne!(second, first, "the removal is not confirmed");
    node.ack(0, through).bgp("198.18.0.0/16", "10.0.0.3");
    assert_eq!(node.get("198.18.0.0/16").expect("chosen").next_hop_id, first, "now it is");
}

#[test]
fn a_prefix_that_flaps_is_told_once_with_its_current_state() {
    let mut node = Node::with_backends(1);
    for round in 1..=9 {
        node.bgp("203.0.113.0/24", &format!("10.0.0.{round}")).remove(Source::Bgp, "203.0.113.0/24");
    }
    node.bgp("203.0.113.0/24", "10.0.0.77");
    let mut mirror = Mirror::default();
    node.pull(0, &mut mirror, true);
    assert_eq!(mirror.route_writes, 1);
    let Some(Forwarding::Legs(legs)) = mirror.forwarding("203.0.113.0/24") else { panic!("forwards") };
    assert_eq!(legs[0].gateway, Some(addr("10.0.0.77")));
}

#[test]
fn a_stalled_data_plane_is_overrun_and_catches_up_by_a_walk_removals_included() {
    let mut node = Node::with_journal(1000);
    node.link(ETH0, true).connect("10.0.0.0/24", ETH0);
    node.rib.add_backend(BackendId(0));
    node.bgp_table(5000, "10.0.0.1");
    let mut mirror = Mirror::default();
    node.pull(0, &mut mirror, true);
    assert_eq!((mirror.routes.len(), mirror.walks_done), (5000, 0), "nobody asked for a sweep");

    let mut batch = RouteBatch::new(Source::Bgp);
    (0..3000).for_each(|number| batch.remove(many(number)));
    (3000..4000).for_each(|number| batch.add(many(number), bgp("10.0.0.2")));
    node.give(Input::Routes(batch)).settle();
    node.pull(0, &mut mirror, true).settle();
    assert_eq!((mirror.routes.len(), mirror.walks_done), (2000, 0));
    let best = node.get("100.11.184.0/24").expect("number 3000");
    assert_eq!(mirror.routes[&many(3000)], best.next_hop_id);
    assert_eq!(table::Lpm::len(&node.rib.tables.v4.tree), 2001, "what was removed is freed when the data plane knows");
}

#[test]
fn a_walk_goes_on_under_change_and_ends_equal() {
    let mut node = Node::with_links();
    node.bgp_table(3000, "10.0.0.1");
    node.rib.add_standalone_backend(BackendId(3));
    let mut mirror = Mirror::default();
    let mut delta = FibDelta::default();
    let mut rng = fastrand::Rng::with_seed(3);
    let mut batches = 0;
    while node.rib.pull_fib(BackendId(3), 50, &mut delta) {
        mirror.apply(&delta);
        batches += 1;
        if batches < 400 {
            let mut batch = RouteBatch::new(Source::Bgp);
            for _ in 0..20 {
                let prefix = many(rng.u32(0..3500));
                if rng.bool() { batch.remove(prefix) } else { batch.add(prefix, bgp("10.0.1.2")) }
            }
            node.give(Input::Routes(batch)).settle();
        }
    }
    mirror.apply(&delta);
    assert_eq!(mirror.walks_done, 0);
    let page = node.rib.walk(&WalkQuery { limit: 10_000, ..WalkQuery::default() });
    let best: Vec<_> = page.routes.iter().map(|view| (view.prefix, view.next_hop_id)).collect();
    assert_eq!(mirror.routes.into_iter().collect::<Vec<_>>(), best);
}

#[test]
fn a_data_plane_that_lost_its_state_gets_everything_and_answers_from_before_do_not_count() {
    let mut node = Node::with_backends(1);
    node.bgp_table(300, "10.0.0.1");
    let mut mirror = Mirror::default();
    node.pull(0, &mut mirror, true);
    let state = |node: &Node| node.get("100.0.9.0/24").expect("chosen").fib;
    assert_eq!(state(&node), [(BackendId(0), FibState::Installed)]);
    let before = mirror.through;
    node.give(Input::FibResync(BackendId(0)));
    node.ack(0, before);
    assert_eq!(state(&node), [(BackendId(0), FibState::Pending)]);
    let mut fresh = Mirror::default();
    node.pull(0, &mut fresh, true);
    assert_eq!((fresh.routes.len(), fresh.walks_done), (300, 1));
    assert_eq!(state(&node), [(BackendId(0), FibState::Installed)]);
}

#[test]
fn who_waits_for_a_prefix_hears_when_every_data_plane_holds_it_and_when_one_does_not() {
    let mut node = Node::with_backends(2);
    let vip = net("192.0.2.53/32");
    let told = |node: &mut Node| {
        let mut told = Vec::new();
        node.out.retain(|output| match output {
            Output::Installed { prefix, missing } => {
                assert_eq!(*prefix, vip);
                told.push(missing.clone());
                false
            }
            Output::Reach { .. } | Output::Answers { .. } => true,
        });
        told
    };
    let (zero, one) = (BackendId(0), BackendId(1));
    node.give(Input::AwaitInstalled { prefix: vip, on: true });
    assert_eq!(told(&mut node), [vec![(zero, None), (one, None)]]);
    node.add(Source::Service, "192.0.2.53/32", route(Protocol::Service, NextHop::Local.into()));
    assert!(told(&mut node).is_empty(), "still nobody has it");
    let mut delta = FibDelta::default();
    node.rib.pull_fib(zero, 10, &mut delta);
    node.ack(0, delta.through);
    assert_eq!(told(&mut node), [vec![(one, None)]]);
    node.rib.pull_fib(one, 10, &mut delta);
    let answer = |failed: Vec<(ipnet::IpNet, FibFault)>, recovered| {
        Input::Fib(FibProgress { backend: one, through: delta.through, failed, recovered })
    };
    node.give(answer(vec![(vip, FibFault::NotLocal)], vec![]));
    assert_eq!(told(&mut node), [vec![(one, Some(FibFault::NotLocal))]]);
    node.give(answer(vec![], vec![vip]));
    assert_eq!(told(&mut node), [vec![]], "installed everywhere");
    node.give(answer(vec![], vec![]));
    assert!(told(&mut node).is_empty());
    node.remove(Source::Service, "192.0.2.53/32");
    assert_eq!(told(&mut node), [vec![(zero, None), (one, None)]]);
    node.give(Input::AwaitInstalled { prefix: vip, on: false });
    node.add(Source::Service, "192.0.2.53/32", route(Protocol::Service, NextHop::Local.into()));
    assert!(told(&mut node).is_empty());
}

/// What BGP has been answered since the last time: the number of its batch, and each prefix.
fn answers(node: &mut Node) -> Vec<(u64, String, Result<(), NotHeld>)> {
    let mut told = Vec::new();
    node.out.retain(|output| match output {
        Output::Answers { client: Source::Bgp, through, answers } => {
            told.extend(answers.iter().map(|answer| (*through, answer.prefix.to_string(), answer.held.clone())));
            false
        }
        _ => true,
    });
    told
}

fn asking(number: u64, changes: &[(&str, Option<&str>)]) -> Input {
    let mut batch = RouteBatch { ask: Some(number), ..RouteBatch::new(Source::Bgp) };
    for (prefix, gateway) in changes {
        match gateway {
            Some(gateway) => batch.add(net(prefix), bgp(gateway)),
            None => batch.remove(net(prefix)),
        }
    }
    Input::Routes(batch)
}

#[test]
fn who_asks_hears_once_every_data_plane_has_answered_and_again_when_one_thinks_otherwise() {
    let mut node = Node::with_backends(2);
    let mut mirrors = [Mirror::default(), Mirror::default()];
    let (a, b) = ("203.0.113.0/24", "198.51.100.0/24");
    let held = |number, prefix: &str| (number, prefix.to_owned(), Ok(()));
    node.give(asking(1, &[(a, Some("10.0.0.1")), (b, Some("10.0.0.1"))])).settle();
    node.pull(0, &mut mirrors[0], true);
    assert_eq!(answers(&mut node), [], "the other data plane has not said a word");
    node.pull(1, &mut mirrors[1], false);
    let progress =
        |through, failed, recovered| Input::Fib(FibProgress { backend: BackendId(1), through, failed, recovered });
    let refused = FibFault::CapacityExceeded;
    node.give(progress(mirrors[1].through, vec![(net(b), refused.clone())], vec![])).settle();
    let no = (1, b.to_owned(), Err(NotHeld::Refused(BackendId(1), refused.clone())));
    assert_eq!(answers(&mut node), [held(1, a), no]);
    node.give(progress(mirrors[1].through, vec![], vec![net(b)])).settle();
    assert_eq!(answers(&mut node), [held(1, b)], "it fits after all");
    node.give(progress(mirrors[1].through, vec![(net(a), refused.clone())], vec![])).settle();
    assert_eq!(
        answers(&mut node),
        [(1, a.to_owned(), Err(NotHeld::Refused(BackendId(1), refused)))],
        "and is lost again"
    );

    // The same once more is answered for once more; a change is answered for when it is there, under its number.
    node.give(asking(2, &[(b, Some("10.0.0.1"))])).settle();
    assert_eq!(answers(&mut node), [held(2, b)]);
    node.give(asking(3, &[(b, Some("10.0.1.2"))])).settle();
    node.pull(0, &mut mirrors[0], true);
    assert_eq!(answers(&mut node), []);
    node.give(asking(4, &[(b, Some("10.0.0.1"))])).settle();
    node.pull(1, &mut mirrors[1], true);
    assert_eq!(answers(&mut node), [], "the first data plane does not hold this one yet");
    node.pull(0, &mut mirrors[0], true);
    assert_eq!(answers(&mut node), [held(4, b)]);

    // Nobody is answered for what he has taken back.
    node.give(asking(5, &[(b, None), (a, None)])).settle();
    node.pull(0, &mut mirrors[0], true).pull(1, &mut mirrors[1], true);
    assert_eq!(answers(&mut node), []);
}

#[test]
fn who_asks_hears_that_another_source_is_chosen_unless_that_is_all_the_same() {
    let mut node = Node::with_backends(1);
    let mut mirror = Mirror::default();
    let prefix = "203.0.113.0/24";
    node.give(asking(1, &[(prefix, Some("10.0.0.1"))])).settle().pull(0, &mut mirror, true);
    assert_eq!(answers(&mut node), [(1, prefix.to_owned(), Ok(()))]);
    node.static_route(prefix, via("10.0.1.2")).pull(0, &mut mirror, true);
    assert_eq!(answers(&mut node), [(1, prefix.to_owned(), Err(NotHeld::Other(Source::Static)))]);
    let batch = RouteBatch { ask: Some(2), ask_of: vec![net(prefix)], ..RouteBatch::new(Source::Bgp) };
    node.give(Input::Routes(batch)).settle();
    assert_eq!(answers(&mut node), [(2, prefix.to_owned(), Ok(()))], "it is redistributed, say");
    // No route is left at all.
    node.give(asking(3, &[])).remove(Source::Bgp, prefix).remove(Source::Static, prefix).pull(0, &mut mirror, true);
    assert_eq!(answers(&mut node), [(3, prefix.to_owned(), Err(NotHeld::NoRoute))]);
}

#[test]
fn what_is_asked_while_a_data_plane_is_away_waits_once_however_often_it_changes() {
    let mut node = Node::with_backends(1);
    let mut mirror = Mirror::default();
    for number in 1..=50 {
        let mut batch = RouteBatch { ask: Some(number), ..RouteBatch::new(Source::Bgp) };
        let gateway = if number % 2 == 0 { "10.0.0.1" } else { "10.0.1.2" };
        (0..100).for_each(|prefix| batch.add(many(prefix), bgp(gateway)));
        node.give(Input::Routes(batch)).settle();
    }
    assert_eq!(answers(&mut node), []);
    // It starts anew while it is at it, and refuses one.
    node.give(Input::FibResync(BackendId(0))).pull(0, &mut mirror, false);
    let failed = vec![(many(7), FibFault::CapacityExceeded)];
    let through = mirror.through;
    node.give(Input::Fib(FibProgress { backend: BackendId(0), through, failed, recovered: vec![] })).settle();
    let told = answers(&mut node);
    assert_eq!(told.len(), 100);
    assert!(
        told.iter().all(|(number, prefix, held)| *number == 50 && held.is_err() == (*prefix == many(7).to_string()))
    );
    // The data plane leaves, and with it the refusal.
    node.rib.remove_backend(BackendId(0));
    node.give(Input::Work).settle();
    assert_eq!(answers(&mut node), [(50, many(7).to_string(), Ok(()))]);
}

#[test]
fn the_hosts_own_routes_go_only_to_data_planes_that_do_not_ask_the_kernel() {
    let mut node = Node::with_backends(1);
    node.rib.add_standalone_backend(BackendId(1));
    node.bgp("198.51.100.0/24", "10.0.0.1");
    node.connect("198.51.100.0/24", ETH1);
    let (mut kernel, mut xdp) = (Mirror::default(), Mirror::default());
    node.pull(0, &mut kernel, true).pull(1, &mut xdp, true);
    assert_eq!(kernel.routes.len(), 0, "ours has made way for the connected one");
    assert_eq!(xdp.routes.len(), 4);
    node.remove(Source::Connected, "198.51.100.0/24").pull(0, &mut kernel, true);
    assert_eq!(kernel.routes.len(), 1);
}

#[test]
fn watchers_see_each_change_once_filtered_and_learn_that_they_were_too_slow() {
    let mut node = Node::with_journal(100);
    node.link(ETH0, true).connect("10.0.0.0/24", ETH0);
    let all = node.rib.watch(WatchFilter::default());
    let some = node.rib.watch(WatchFilter { within: Some(net("203.0.113.0/24")), sources: Source::Bgp.into() });
    node.bgp("203.0.113.0/25", "10.0.0.1").bgp("198.51.100.0/24", "10.0.0.1");
    node.bgp("203.0.113.0/25", "10.0.0.2");
    let mut changes = Vec::new();
    assert_eq!(node.rib.pull_watch(all, 10, &mut changes), Pulled::Idle);
    assert_eq!(changes.len(), 2, "the flap is folded");
    changes.clear();
    assert_eq!(node.rib.pull_watch(some, 10, &mut changes), Pulled::Idle);
    assert_eq!(changes.iter().map(|(prefix, _)| *prefix).collect::<Vec<_>>(), [net("203.0.113.0/25")]);
    node.static_route("203.0.113.0/25", via("10.0.0.3"));
    changes.clear();
    node.rib.pull_watch(some, 10, &mut changes);
    assert!(changes[0].1.is_none(), "the best route is not of that source any more");
    node.bgp_table(500, "10.0.0.1");
    assert_eq!(node.rib.pull_watch(all, 10, &mut changes), Pulled::Overrun);
    assert_eq!(node.rib.pull_watch(all, 10, &mut changes), Pulled::Idle);
    node.rib.unwatch(all);
    assert_eq!(node.rib.pull_watch(all, 10, &mut changes), Pulled::Unknown);
}

#[test]
fn a_data_plane_that_leaves_frees_what_only_it_held() {
    let mut node = Node::with_backends(1);
    node.bgp("203.0.113.0/24", "10.0.0.1");
    let id = node.get("203.0.113.0/24").expect("chosen").next_hop_id;
    node.pull(0, &mut Mirror::default(), false);
    node.remove(Source::Bgp, "203.0.113.0/24");
    node.rib.remove_backend(BackendId(0));
    node.bgp("203.0.113.0/24", "10.0.0.9");
    assert_eq!(node.get("203.0.113.0/24").expect("chosen").next_hop_id, id);
}
