//! Random internets under random misfortune, by seed: every rule of `anyhop_tests::sim::checker` after every quiet.
//!
//! `ANYHOP_SEEDS=5000 cargo test -p anyhop-tests --test sim_random` runs more seeds, `ANYHOP_SEED=17` only that one, and
//! `ANYHOP_TRACE=1` prints every event.

use anyhop_tests::sim::internet::random_internet;

/// Seeds in the short form.
const SEEDS: u64 = 200;

/// Parts, so that test runners can use several cores.
const PARTS: u64 = 4;

/// Misfortune and quiet, some things left broken, misfortune again; at last nobody announces anything and nothing may be left.
fn story(seed: u64) -> u64 {
    let mut w = random_internet(seed);
    w.replay = format!("ANYHOP_SEED={seed} cargo test -p anyhop-tests --test sim_random");
    let events = 5 + usize::try_from(seed % 20).expect("small");
    w.announce_some(events).settle();
    w.misfortune_left(events, 60).settle();
    w.misfortune_left(events, 100).settle();
    w.withdraw_all().settle();
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
fn random_internets_come_to_rest_as_they_must_1() {
    seeds(0);
}

#[test]
fn random_internets_come_to_rest_as_they_must_2() {
    seeds(1);
}

#[test]
fn random_internets_come_to_rest_as_they_must_3() {
    seeds(2);
}

#[test]
fn random_internets_come_to_rest_as_they_must_4() {
    seeds(3);
}

#[test]
fn equal_seeds_give_equal_internets_to_the_octet() {
    assert_eq!(story(20), story(20));
    assert_ne!(story(20), story(21));
}
