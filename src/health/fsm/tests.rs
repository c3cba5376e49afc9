//! Rise and fall.

#![allow(clippy::disallowed_methods, reason = "a test has to begin at some time")]

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{HealthFsm, HealthState};

fn run(fsm: &mut HealthFsm, outcomes: &str) -> String {
    let now = Instant::now();
    let outcome = |c| fsm.handle(now, c == '+').map_or('.', |state| if state == HealthState::Up { 'U' } else { 'D' });
    outcomes.chars().map(outcome).collect()
}

#[test]
fn a_check_begins_down_rises_and_falls_only_after_a_row() {
    let mut fsm = HealthFsm::new(Instant::now(), 3, 2);
    assert_eq!(run(&mut fsm, "++-+++"), ".....U");
    assert_eq!(run(&mut fsm, "-+-+--"), ".....D");
    assert_eq!(run(&mut fsm, "----"), "....");
}

#[test]
fn zero_counts_as_one() {
    let mut fsm = HealthFsm::new(Instant::now(), 0, 0);
    assert_eq!(run(&mut fsm, "+-+"), "UDU");
}

#[test]
fn it_remembers_since_when() {
    let begin = Instant::now();
    let mut fsm = HealthFsm::new(begin, 2, 1);
    let second = Duration::from_secs(1);
    fsm.handle(begin + second, true);
    assert_eq!((fsm.since(), fsm.progress()), (begin, (1, 2)));
    fsm.handle(begin + 2 * second, true);
    assert_eq!((fsm.since(), fsm.progress()), (begin + 2 * second, (0, 1)));
}

proptest! {
    /// The state is what the latest long enough row of equal outcomes says.
    #[test]
    fn the_latest_full_row_decides(outcomes in prop::collection::vec(any::<bool>(), 0..200), rise in 1_u32..5, fall in 1_u32..5) {
        let now = Instant::now();
        let mut fsm = HealthFsm::new(now, rise, fall);
        let (mut up, mut row, mut last) = (false, 0, None);
        for ok in outcomes {
            row = if last == Some(ok) { row + 1 } else { 1 };
            last = Some(ok);
            if ok && row >= rise { up = true; }
            if !ok && row >= fall { up = false; }
            fsm.handle(now, ok);
            prop_assert_eq!(fsm.is_up(), up);
        }
    }
}
