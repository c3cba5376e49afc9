//! The books about the kernel's objects.

use rib::{Forwarding, IfIndex, NextHopId, ResolvedLeg};

use super::*;

const SLOT: NextHopId = NextHopId(1);
const OTHER: NextHopId = NextHopId(2);

fn legs(of: &[(u32, &str)]) -> Forwarding {
    let leg = |(interface, gateway): &(u32, &str)| ResolvedLeg {
        interface: IfIndex(*interface),
        gateway: Some(gateway.parse().unwrap()),
        onlink: false,
        weight: 1,
    };
    Forwarding::Legs(of.iter().map(leg).collect())
}

/// Plans, and notes the plan as carried out. Answers with the legs and members written.
fn write(objects: &mut Objects, slot: NextHopId, side: Side) -> Option<(usize, Members)> {
    let plan = objects.plan(slot, side).unwrap()?;
    for (id, _) in &plan.legs {
        objects.leg_written(*id, true);
    }
    objects.group_written(slot, side, Some(plan.members.clone()));
    Some((plan.legs.len(), plan.members))
}

#[test]
fn legs_are_shared_and_leave_with_their_last_group() {
    let mut objects = Objects::new(179);
    objects.want(SLOT, Some(legs(&[(2, "10.0.0.2"), (3, "10.0.1.2")])));
    objects.want(OTHER, Some(legs(&[(2, "10.0.0.2")])));
    assert_eq!(write(&mut objects, SLOT, Side::V4).unwrap().0, 2);
    assert_eq!(write(&mut objects, OTHER, Side::V4).unwrap().0, 0, "the leg is there");
    assert!(write(&mut objects, SLOT, Side::V4).is_none(), "nothing to say twice");
    assert_eq!(objects.take_idle(), []);
    objects.want(SLOT, Some(legs(&[(3, "10.0.1.2")])));
    write(&mut objects, SLOT, Side::V4);
    assert_eq!(objects.take_idle(), [], "the other group uses it");
    objects.group_written(OTHER, Side::V4, None);
    assert_eq!(objects.take_idle().len(), 1);
}

#[test]
fn an_ipv6_group_with_one_leg_has_it_for_itself_and_moves_by_one_write_of_it() {
    let mut objects = Objects::new(179);
    for slot in [SLOT, OTHER] {
        objects.want(slot, Some(legs(&[(2, "fd00::2")])));
        assert_eq!(write(&mut objects, slot, Side::V6).unwrap().0, 1, "each its own");
    }
    // One of them moves to where the other will be, and the other follows.
    for slot in [SLOT, OTHER] {
        objects.want(slot, Some(legs(&[(2, "fd00::3")])));
        let plan = objects.plan(slot, Side::V6).unwrap().unwrap();
        assert!(!plan.group && plan.legs.len() == 1, "the leg, and not the group");
        objects.leg_written(plan.legs[0].0, true);
    }
    assert_eq!(objects.take_idle(), []);
    // With a second leg both are shared ones.
    objects.want(SLOT, Some(legs(&[(2, "fd00::3"), (3, "fd00::4")])));
    assert_eq!(write(&mut objects, SLOT, Side::V6).unwrap().0, 2);
    assert_eq!(objects.take_idle().len(), 1, "its own is not needed any more");
}

#[test]
fn numbers_tell_what_they_are() {
    let objects = Objects::new(179);
    let (v4, v6) = (objects.group_id(SLOT, Side::V4), objects.group_id(SLOT, Side::V6));
    assert_eq!((v4, v6), ((179 << 24) + 2, (179 << 24) + 3));
    assert_eq!(objects.slot_of(v4), Some((SLOT, Side::V4)));
    assert_eq!(objects.slot_of(v6), Some((SLOT, Side::V6)));
    assert_eq!(objects.slot_of((179 << 24) + LEGS), None, "that is a leg");
    assert_eq!(objects.slot_of(7), None);
    assert!(objects.is_ours(probe_id(179)) && !objects.is_ours(probe_id(180)));
}

#[test]
fn a_fallen_link_takes_its_legs_and_the_groups_that_have_no_other() {
    let mut objects = Objects::new(179);
    objects.want(SLOT, Some(legs(&[(2, "10.0.0.2"), (3, "10.0.1.2")])));
    objects.want(OTHER, Some(legs(&[(2, "10.0.0.2")])));
    write(&mut objects, SLOT, Side::V4);
    write(&mut objects, OTHER, Side::V4);
    assert_eq!(objects.link_lost(IfIndex(2)), [OTHER]);
    assert!(!objects.has_group(OTHER, Side::V4));
    assert_eq!(objects.meaning(SLOT, Side::V4), Some(legs(&[(3, "10.0.1.2")])));
    // Its return writes the leg and both groups.
    assert_eq!(write(&mut objects, SLOT, Side::V4).unwrap().0, 1);
    assert_eq!(write(&mut objects, OTHER, Side::V4).unwrap().0, 0);
    assert_eq!(objects.link_lost(IfIndex(9)), []);
}

#[test]
fn what_is_dumped_is_what_was_written() {
    let mut before = Objects::new(179);
    before.want(SLOT, Some(legs(&[(2, "fd00::2"), (3, "fd01::2")])));
    let mut found = Vec::new();
    for side in Side::BOTH {
        let plan = before.plan(SLOT, side).unwrap().unwrap();
        for (id, key) in &plan.legs {
            before.leg_written(*id, true);
            let body = Body::Leg { interface: key.interface, gateway: key.gateway, onlink: key.onlink };
            found.push(NextHop { id: *id, family: key.family, protocol: 179, body });
        }
        let body = Body::Group(plan.members.clone());
        found.push(NextHop { id: before.group_id(SLOT, side), family: 0, protocol: 179, body });
        before.group_written(SLOT, side, Some(plan.members));
    }
    // A leg of an object that does not exist, a leg twice, a blackhole.
    let base = 179 << 24;
    let leg = Body::Leg { interface: IfIndex(2), gateway: Some("fd00::2".parse().unwrap()), onlink: false };
    found.push(NextHop { id: base + LEGS + 50, family: 10, protocol: 179, body: leg });
    found.push(NextHop { id: base + 900, family: 0, protocol: 179, body: Body::Group(vec![(base + LEGS + 60, 1)]) });
    found.push(NextHop { id: base + LEGS + 70, family: 2, protocol: 179, body: Body::Blackhole });
    let mut after = Objects::new(179);
    after.want(SLOT, Some(legs(&[(2, "fd00::2"), (3, "fd01::2")])));
    after.load(found);
    assert!(after.plan(SLOT, Side::V4).unwrap().is_none() && after.plan(SLOT, Side::V6).unwrap().is_none());
    assert_eq!(after.take_strays(), [base + LEGS + 50, base + LEGS + 70, base + 900]);
    assert_eq!(after.groups(), [(SLOT, Side::V4), (SLOT, Side::V6)]);
}

#[test]
fn equal_legs_are_one_member_with_the_weight_of_both() {
    let mut objects = Objects::new(179);
    objects.want(SLOT, Some(legs(&[(2, "10.0.0.2"), (2, "10.0.0.2")])));
    let plan = objects.plan(SLOT, Side::V4).unwrap().unwrap();
    assert_eq!(plan.members.iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_doubted_group_is_written_again_with_its_legs() {
    let mut objects = Objects::new(179);
    objects.want(SLOT, Some(legs(&[(2, "10.0.0.2")])));
    write(&mut objects, SLOT, Side::V4);
    objects.doubt(SLOT, Side::V4);
    assert_eq!(write(&mut objects, SLOT, Side::V4).unwrap().0, 1);
}
