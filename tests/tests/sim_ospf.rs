//! Random OSPF networks of both versions under random misfortune, by seed: after every quiet all databases are equal, all
//! tables are what a naive oracle says, and no loop lived long before.
//!
//! `ANYHOP_SEEDS=5000 cargo test -p anyhop-tests --test sim_ospf` runs more seeds, `ANYHOP_SEED=17` only that one, and
//! `ANYHOP_TRACE=1` prints every event.

use anyhop_tests::sim::ospf::World;
use anyhop_tests::sim::ospf::random::random_plan;

/// Seeds in the short form.
const SEEDS: u64 = 200;

/// Parts, so that test runners can use several cores.
const PARTS: u64 = 4;

/// A start, misfortune and quiet, some things left broken, misfortune again; in the end all is whole.
fn story(seed: u64, areas: bool) -> u64 {
    let mut w = World::new(seed, random_plan(seed, areas));
    w.replay = format!("ANYHOP_SEED={seed} cargo test -p anyhop-tests --test sim_ospf");
    let events = 3 + usize::try_from(seed % 12).expect("small");
    w.start_all().settle();
    w.misfortune(events, 50).settle();
    w.misfortune(events, 100).settle();
    w.trace()
}

fn seeds(part: u64, areas: bool) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("ANYHOP_SEED") {
        if seed % PARTS == part {
            story(seed, areas);
        }
        return;
    }
    let first = number("ANYHOP_FIRST_SEED").unwrap_or(0);
    for seed in (first..first + number("ANYHOP_SEEDS").unwrap_or(SEEDS)).filter(|seed| seed % PARTS == part) {
        story(seed, areas);
    }
}

#[test]
fn random_ospf_networks_come_to_rest_as_they_must_1() {
    seeds(0, false);
}

#[test]
fn random_ospf_networks_come_to_rest_as_they_must_2() {
    seeds(1, false);
}

#[test]
fn random_ospf_networks_come_to_rest_as_they_must_3() {
    seeds(2, false);
}

#[test]
fn random_ospf_networks_come_to_rest_as_they_must_4() {
    seeds(3, false);
}

#[test]
fn equal_seeds_give_equal_ospf_networks_to_the_octet() {
    assert_eq!(story(20, false), story(20, false));
    assert_ne!(story(20, false), story(21, false));
}
