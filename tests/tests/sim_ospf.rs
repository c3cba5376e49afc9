//! Random OSPF networks of both versions under random misfortune, by seed: after every quiet all databases are equal, all
//! tables are what a naive oracle says, and no loop lived long before.
//!
//! `ANYHOP_SEEDS=5000 cargo test -p anyhop-tests --test sim_ospf` runs more seeds, `ANYHOP_SEED=17` only that one, and
//! `ANYHOP_TRACE=1` prints every event.

use anyhop_tests::sim::ospf::World;
use anyhop_tests::sim::ospf::random::{random_plan, random_plan_of};

/// Seeds in the short form.
const SEEDS: u64 = 200;

/// Parts, so that test runners can use several cores.
const PARTS: u64 = 4;

/// Half of the networks have several areas, in each part.
fn several_areas(seed: u64) -> bool {
    seed / PARTS % 2 == 1
}

fn story(seed: u64) -> u64 {
    let mut w = World::new(seed, random_plan(seed, several_areas(seed)));
    w.replay = format!("ANYHOP_SEED={seed} cargo test -p anyhop-tests --test sim_ospf");
    misfortunes(w, 3 + usize::try_from(seed % 12).expect("small"))
}

/// A start, misfortune and quiet, some things left broken, misfortune again; in the end all is whole.
fn misfortunes(mut w: World, events: usize) -> u64 {
    w.start_all().settle();
    w.misfortune(events, 50).settle();
    w.misfortune(events, 100).settle();
    w.trace()
}

fn seeds(part: u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("ANYHOP_SEED") {
        if seed % PARTS == part {
            story(seed);
        }
        return;
    }
    let first = number("ANYHOP_FIRST_SEED").unwrap_or(0);
    for seed in (first..first + number("ANYHOP_SEEDS").unwrap_or(SEEDS)).filter(|seed| seed % PARTS == part) {
        story(seed);
    }
}

#[test]
fn random_ospf_networks_come_to_rest_as_they_must_1() {
    seeds(0);
}

#[test]
fn random_ospf_networks_come_to_rest_as_they_must_2() {
    seeds(1);
}

#[test]
fn random_ospf_networks_come_to_rest_as_they_must_3() {
    seeds(2);
}

#[test]
fn random_ospf_networks_come_to_rest_as_they_must_4() {
    seeds(3);
}

/// Large networks; in the long form up to five hundred routers, which takes minutes.
fn large(sizes: &[usize], areas: bool) {
    let most = if std::env::var_os("ANYHOP_FULL").is_some() { sizes.len() } else { 1 };
    for routers in &sizes[..most] {
        let seed = u64::try_from(*routers).expect("small");
        let plan = random_plan_of(&mut fastrand::Rng::with_seed(seed ^ 0x6F73_7066), *routers, areas);
        misfortunes(World::new(seed, plan), 8);
    }
}

#[test]
fn large_ospf_networks_of_one_area_come_to_rest_as_they_must() {
    large(&[60, 100, 200, 500], false);
}

#[test]
fn large_ospf_networks_of_several_areas_come_to_rest_as_they_must() {
    large(&[60, 100, 200], true);
}

#[test]
fn equal_seeds_give_equal_ospf_networks_to_the_octet() {
    for (one, other) in [(16, 17), (20, 21)] {
        assert_eq!(story(one), story(one));
        assert_ne!(story(one), story(other));
    }
}
