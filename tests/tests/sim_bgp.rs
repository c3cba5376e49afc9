//! Stories of whole networks: BGP speakers with their RIBs and data planes in virtual time. `settle` waits for rest and compares
//! everything that must be equal; see `anyhop_tests::sim::checker`.
//!
//! `ANYHOP_SEEDS=5000 cargo test -p anyhop-tests --test sim_bgp random` runs more seeds, `ANYHOP_SEED=17` only that one, and
//! `ANYHOP_TRACE=1` prints every event.

use std::time::Duration;

use anyhop_tests::sim::World;
use anyhop_tests::sim::fault::random_network;

#[test]
fn a_route_travels_along_the_line_and_back() {
    let mut w = World::seeded(1).line(["a", "b", "c", "d"]);
    w.announce("a", "192.0.2.0/24").settle();
    w.expect_path(["d", "c", "b", "a"], "192.0.2.0/24");
    w.withdraw("a", "192.0.2.0/24").settle();
    w.expect_no_route("d", "192.0.2.0/24").expect_no_route("b", "192.0.2.0/24");
}

#[test]
fn octets_may_arrive_one_by_one() {
    let mut w = World::seeded(2).line(["a", "b", "c"]).octet_by_octet("a", "b");
    w.announce("a", "192.0.2.0/24").announce("c", "198.51.100.0/24").settle();
    w.expect_path(["c", "b", "a"], "192.0.2.0/24").expect_path(["a", "b", "c"], "198.51.100.0/24");
}

#[test]
fn a_triangle_goes_round_a_pulled_cable() {
    let mut w = World::seeded(3).ring(["a", "b", "c"]);
    w.announce("a", "192.0.2.0/24").settle();
    w.expect_path(["b", "a"], "192.0.2.0/24");
    w.unplug("a", "b").run_for(Duration::from_millis(500));
    // Long before any hold timer: losing the port is enough.
    w.expect_path(["b", "c", "a"], "192.0.2.0/24");
    w.settle().plug("a", "b").settle();
    w.expect_path(["b", "a"], "192.0.2.0/24");
}

#[test]
fn a_silent_link_is_noticed_by_the_hold_timer_and_forgiven_later() {
    let mut w = World::seeded(4).ring(["a", "b", "c"]);
    w.announce("a", "192.0.2.0/24").settle();
    w.partition("a", "b").settle();
    w.expect_path(["b", "c", "a"], "192.0.2.0/24");
    w.heal("a", "b").settle();
    w.expect_path(["b", "a"], "192.0.2.0/24");
}

#[test]
fn a_short_silence_loses_nothing() {
    let mut w = World::seeded(5).line(["a", "b", "c"]);
    w.announce("a", "192.0.2.0/24").settle();
    w.partition("a", "b").announce("a", "198.51.100.0/24").withdraw("a", "192.0.2.0/24");
    w.run_for(Duration::from_secs(4)).heal("a", "b").settle();
    w.expect_route("c", "198.51.100.0/24").expect_no_route("c", "192.0.2.0/24");
}

#[test]
fn both_halves_of_a_partition_use_their_own_site() {
    let mut w = World::seeded(6).line(["site1", "edge1", "edge2", "site2"]);
    w.announce("site1", "192.0.2.53/32").announce("site2", "192.0.2.53/32").settle();
    w.expect_path(["edge1", "site1"], "192.0.2.53/32").expect_path(["edge2", "site2"], "192.0.2.53/32");
    w.partition("edge1", "edge2").withdraw("site2", "192.0.2.53/32").settle();
    w.expect_route("edge1", "192.0.2.53/32").expect_no_route("edge2", "192.0.2.53/32");
    w.heal("edge1", "edge2").settle();
    w.expect_path(["edge2", "edge1", "site1"], "192.0.2.53/32");
}

#[test]
fn a_crash_leaves_routes_in_the_kernel_and_the_restart_puts_them_right() {
    let mut w = World::seeded(7).line(["a", "b", "c"]);
    w.announce("a", "192.0.2.0/24").announce("a", "198.51.100.0/24").settle();
    w.crash("b").run_for(Duration::from_secs(1));
    w.expect_route("b", "192.0.2.0/24").expect_no_route("c", "192.0.2.0/24");
    w.withdraw("a", "198.51.100.0/24").restart("b").settle();
    w.expect_path(["c", "b", "a"], "192.0.2.0/24");
    w.expect_no_route("b", "198.51.100.0/24").expect_no_route("c", "198.51.100.0/24");
}

#[test]
fn a_router_without_power_is_missed_and_welcomed_back() {
    let mut w = World::seeded(8).ring(["a", "b", "c", "d"]);
    w.announce("a", "192.0.2.0/24").settle();
    w.expect_path(["c", "b", "a"], "192.0.2.0/24");
    w.power_off("b").settle();
    w.expect_path(["c", "d", "a"], "192.0.2.0/24");
    w.restart("b").settle();
    w.expect_path(["c", "b", "a"], "192.0.2.0/24");
}

#[test]
fn a_withdrawal_reaches_the_far_router_though_another_reads_slowly() {
    let mut w = World::seeded(9).line(["a", "b", "c"]).node("slow").link("b", "slow");
    w.announce("a", "192.0.2.53/32").settle();
    w.read_rate("slow", Some(200));
    for third in 0..200 {
        w.announce("a", &format!("198.51.{third}.0/24"));
    }
    w.run_for(Duration::from_secs(2)).withdraw("a", "192.0.2.53/32").run_for(Duration::from_millis(200));
    w.expect_no_route("c", "192.0.2.53/32");
    w.read_rate("slow", None).settle();
    w.expect_no_route("slow", "192.0.2.53/32").expect_route("slow", "198.51.199.0/24");
}

#[test]
fn a_slow_reader_skips_what_has_been_overtaken() {
    let mut w = World::seeded(10).line(["a", "b", "slow"]);
    w.announce("a", "192.0.2.0/24").settle();
    w.read_rate("slow", Some(300));
    for _ in 0..50 {
        w.withdraw("a", "192.0.2.0/24").run_for(Duration::from_millis(20));
        w.announce("a", "192.0.2.0/24").run_for(Duration::from_millis(20));
    }
    w.read_rate("slow", None).settle();
    w.expect_route("slow", "192.0.2.0/24");
}

#[test]
fn connections_that_are_reset_again_and_again_come_back() {
    let mut w = World::seeded(11).ring(["a", "b", "c"]);
    w.announce("a", "192.0.2.0/24").settle();
    for _ in 0..10 {
        w.reset_connections("a", "b").run_for(Duration::from_millis(700));
    }
    w.settle().expect_path(["b", "a"], "192.0.2.0/24");
}

#[test]
fn a_data_plane_that_refuses_and_forgets_is_put_right() {
    let mut w = World::seeded(13).line(["a", "b", "c"]);
    w.refuse("b", "192.0.2.0/24", 3).announce("a", "192.0.2.0/24").announce("a", "198.51.100.0/24");
    w.run_for(Duration::from_millis(100)).expect_no_route("b", "192.0.2.0/24").expect_route("b", "198.51.100.0/24");
    w.settle().expect_path(["c", "b", "a"], "192.0.2.0/24");
    w.disturb("b", "192.0.2.0/24").settle().expect_path(["c", "b", "a"], "192.0.2.0/24");
}

#[test]
fn parallel_links_are_one_neighbor_each() {
    let mut w = World::seeded(12).line(["a", "b"]).link("a", "b");
    w.announce("a", "192.0.2.0/24").settle();
    w.unplug("a", "b").settle();
    w.expect_path(["b", "a"], "192.0.2.0/24");
}

#[test]
fn equal_seeds_give_equal_worlds_to_the_octet() {
    let run = |seed| {
        let mut w = random_network(seed);
        w.misfortune(12).settle();
        w.trace()
    };
    assert_eq!(run(20), run(20));
    assert_ne!(run(20), run(21));
}

#[test]
fn random_networks_come_to_rest_as_they_must() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("ANYHOP_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ANYHOP_SEEDS").unwrap_or(200),
    };
    for seed in seeds {
        let mut w = random_network(seed);
        w.replay = format!("ANYHOP_SEED={seed} cargo test -p anyhop-tests --test sim_bgp random_networks");
        let events = 5 + usize::try_from(seed % 20).expect("small");
        w.misfortune(events).settle();
        w.misfortune(events).settle();
    }
}

#[test]
fn a_planned_restart_breaks_no_way_and_takes_the_site_away() {
    let mut w = World::seeded(11).line(["a", "b", "c"]);
    for node in &mut w.nodes {
        for peer in &mut node.peers {
            peer.graceful_restart.restarting = true;
            peer.graceful_restart.restart_time = Duration::from_secs(60);
        }
    }
    w.announce("a", "192.0.2.53/32").announce("b", "198.51.100.53/32").settle();
    w.stop_for_restart("b").run_for(Duration::from_secs(2));
    // What passes through it goes on; what it was itself is gone.
    w.expect_path(["c", "b", "a"], "192.0.2.53/32").expect_no_route("c", "198.51.100.53/32");
    w.restart("b").run_for(Duration::from_secs(2));
    w.expect_path(["c", "b", "a"], "192.0.2.53/32");
    w.settle().expect_route("c", "198.51.100.53/32");
    // A stop for good is the end of both at once.
    w.stop("b").run_for(Duration::from_secs(2));
    w.expect_no_route("c", "192.0.2.53/32");
    w.restart("b").settle().expect_path(["c", "b", "a"], "192.0.2.53/32");
}
