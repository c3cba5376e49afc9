use super::election::{Candidate, elect};

fn router(name: u32, priority: u8, dr: u32, bdr: u32) -> Candidate {
    Candidate { name, router: name, priority, dr, bdr }
}

#[test]
fn the_highest_priority_then_the_highest_router_id_wins_a_first_election() {
    let fresh = [router(1, 1, 0, 0), router(2, 1, 0, 0), router(3, 1, 0, 0)];
    // Each computes the same: 3 is the only Designated Router, and nobody is the backup twice.
    assert_eq!(elect(&fresh, 3), (3, 2));
    assert_eq!(elect(&[router(1, 9, 0, 0), router(2, 1, 0, 0)], 1), (1, 2));
}

#[test]
fn who_is_designated_stays_whatever_comes() {
    let late = [router(1, 1, 1, 2), router(2, 1, 1, 2), router(9, 200, 0, 0)];
    assert_eq!(elect(&late, 9), (1, 2));
}

#[test]
fn the_backup_takes_over_and_a_new_backup_is_found() {
    let orphans = [router(2, 1, 1, 2), router(3, 1, 1, 2), router(4, 1, 1, 2)];
    // Router 1 is gone. 2 promotes itself and then sees 4 as its backup.
    assert_eq!(elect(&orphans, 2), (2, 4));
}

#[test]
fn priority_zero_is_never_elected() {
    assert_eq!(elect(&[router(1, 0, 0, 0), router(2, 0, 0, 0)], 1), (0, 0));
    assert_eq!(elect(&[router(1, 0, 0, 0), router(2, 1, 0, 0)], 2), (2, 0));
}
