//! The decision as a table where each row wins by one rule; the journal against a plain model.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::decision::{Contender, Contenders, Multipath, STEPS, best, decide, loses_at_once, ranking};
use super::journal::{Entry, Journal};
use super::nexthop::NextHopId;
use super::{DestId, PeerFacts, PeerKind};
use crate::attrs::Facts;

/// A path with everything equal.
#[derive(Clone, Copy, Debug)]
struct Row {
    facts: Facts,
    peer: PeerFacts,
    igp_metric: u32,
    path_id: u32,
}

fn row() -> Row {
    Row {
        facts: Facts {
            weight: 0,
            local_pref: 100,
            med: 10,
            neighbor_as: 65001,
            originator: 0,
            next_hop: NextHopId(0),
            path_length: 3,
            cluster_length: 0,
            origin: 1,
            flags: 0,
            prepend: 0,
            protocol: None,
        },
        peer: PeerFacts {
            kind: PeerKind::Internal { client: false },
            epochs: super::Epochs::default(),
            route_server_client: false,
            up: true,
            router_id: Ipv4Addr::new(10, 0, 0, 5),
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5)),
        },
        igp_metric: 10,
        path_id: 10,
    }
}

fn contenders(rows: &[Row]) -> Contenders<'_> {
    rows.iter()
        .zip(0..)
        .map(|(row, id)| Contender {
            id,
            facts: &row.facts,
            peer: &row.peer,
            igp_metric: row.igp_metric,
            path_id: row.path_id,
        })
        .collect()
}

/// So many paths, whatever their AS_PATH.
struct AtMost(usize);

impl Multipath for AtMost {
    fn most(&self, _: &Contender<'_>) -> usize {
        self.0
    }

    fn alike(&self, _: &Contender<'_>, _: &Contender<'_>) -> bool {
        true
    }
}

fn winner(rows: &[Row]) -> (u32, Option<&'static str>) {
    let (id, step) = best(&mut contenders(rows)).expect("there are paths");
    (id, step.map(|step| step.reason))
}

#[test]
fn each_step_decides_when_all_before_are_equal() {
    // Each change makes a path better in one step; all steps after it are made worse, so that only the order can decide.
    type Better = fn(&mut Row);
    let rows: [(&str, Better, Better); 13] = [
        ("not long-lived stale", |_| (), |_| ()),
        ("higher weight", |r| r.facts.weight = 1, |_| ()),
        ("originated here", |r| r.peer.kind = PeerKind::Local, |_| ()),
        ("higher LOCAL_PREF", |r| r.facts.local_pref = 101, |r| r.facts.local_pref = 99),
        ("shorter AS_PATH", |r| r.facts.path_length = 2, |r| r.facts.path_length = 4),
        ("lower ORIGIN", |r| r.facts.origin = 0, |r| r.facts.origin = 2),
        ("lower MED", |r| r.facts.med = 9, |r| r.facts.med = 11),
        ("external over internal", |r| r.peer.kind = PeerKind::External, |_| ()),
        ("lower IGP cost to the next hop", |r| r.igp_metric = 9, |r| r.igp_metric = 11),
        ("lower router id", |r| r.facts.originator = 1, |r| r.facts.originator = u32::MAX),
        ("shorter CLUSTER_LIST", |_| (), |r| r.facts.cluster_length = 2),
        ("lower neighbor address", |r| r.peer.address = "10.0.0.4".parse().expect("address"), |_| ()),
        ("lower path identifier", |r| r.path_id = 9, |r| r.path_id = 11),
    ];
    assert_eq!(rows.len(), STEPS.len(), "a step without a row");
    for (at, (reason, better, _)) in rows.iter().enumerate() {
        let (mut good, mut other) = (row(), row());
        if *reason == "not long-lived stale" {
            other.facts.flags = crate::attrs::flag::LLGR_STALE;
        }
        if *reason == "shorter CLUSTER_LIST" {
            other.facts.cluster_length = 1;
        }
        better(&mut good);
        for (_, _, worse) in &rows[at + 1..] {
            worse(&mut good);
        }
        assert_eq!(winner(&[other, good]), (1, Some(*reason)));
        assert_eq!(winner(&[good, other]), (0, Some(*reason)));
    }
}

#[test]
fn med_is_compared_only_within_one_neighbor_as_and_over_the_whole_set() {
    // RFC 4271 §9.1.2.2 c: A beats B by router id, C removes A by MED, so B is left: no order of pairs says this.
    let (mut a, mut b, mut c) = (row(), row(), row());
    (a.facts.neighbor_as, a.facts.med, a.peer.router_id) = (1, 20, Ipv4Addr::new(1, 0, 0, 1));
    (b.facts.neighbor_as, b.facts.med, b.peer.router_id) = (2, 30, Ipv4Addr::new(2, 0, 0, 2));
    (c.facts.neighbor_as, c.facts.med, c.peer.router_id) = (1, 10, Ipv4Addr::new(3, 0, 0, 3));
    for (rows, best) in [([a, b, c], 1), ([c, b, a], 1), ([b, a, c], 0), ([c, a, b], 2), ([a, c, b], 2), ([b, c, a], 0)]
    {
        assert_eq!(winner(&rows), (best, Some("lower router id")));
    }
    assert_eq!(winner(&[a, b]), (0, Some("lower router id")));
    assert_eq!(ranking(&contenders(&[a, b, c])).len(), 3);
}

#[test]
fn multipath_takes_equal_paths_with_next_hops_of_their_own() {
    let mut rows = [row(); 5];
    for (row, n) in rows.iter_mut().zip(0..) {
        row.facts.next_hop = NextHopId(n);
        row.peer.router_id = Ipv4Addr::from_bits(n);
    }
    rows[2].facts.next_hop = NextHopId(1);
    rows[3].igp_metric = 11;
    let mut set = contenders(&rows);
    assert_eq!(decide(&mut set, &AtMost(8)).map(|(id, _)| id), Some(0));
    assert_eq!(set.iter().map(|path| path.id).collect::<Vec<_>>(), [0, 1, 4]);
    let mut set = contenders(&rows);
    decide(&mut set, &AtMost(2));
    assert_eq!(set.len(), 2);
}

fn any_row() -> impl Strategy<Value = Row> {
    (0u32..2, 99u32..102, 0u32..3, 1u32..3, 0u16..3, 0u8..2, any::<bool>(), 0u32..2, 1u32..200).prop_map(
        |(weight, local_pref, med, neighbor_as, path_length, origin, external, igp_metric, router_id)| {
            let mut row = row();
            row.facts = Facts { weight, local_pref, med, neighbor_as, path_length, origin, ..row.facts };
            row.peer.kind = if external { PeerKind::External } else { PeerKind::Internal { client: false } };
            row.peer.router_id = Ipv4Addr::from_bits(router_id);
            row.peer.address = IpAddr::V4(row.peer.router_id);
            row.igp_metric = igp_metric;
            row
        },
    )
}

proptest! {
    #[test]
    fn the_order_of_paths_does_not_matter(rows in prop::collection::vec(any_row(), 1..6), turn in 0usize..6) {
        let (best, _) = winner(&rows);
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        let (again, _) = winner(&turned);
        let address = |row: &Row| row.peer.address;
        prop_assert_eq!(address(&rows[best as usize]), address(&turned[again as usize]));
    }

    #[test]
    fn a_path_that_loses_at_once_changes_nothing(rows in prop::collection::vec(any_row(), 1..6), new in any_row()) {
        let (best, _) = winner(&rows);
        let all: Vec<Row> = rows.iter().copied().chain([new]).collect();
        let set = contenders(&all);
        if loses_at_once(&set[rows.len()], &set[best as usize]) {
            prop_assert_eq!(winner(&all).0, best);
        }
    }
}

#[test]
fn a_reader_sees_each_destination_once_however_often_it_changed() {
    let mut journal = Journal::default();
    let (mut fast, mut slow) = (journal.join(), journal.join());
    let mut changed = [0; 2];
    let mut enter = |journal: &mut Journal, dest: u32| {
        changed[dest as usize] = journal.enter(DestId(dest), changed[dest as usize]);
        changed
    };
    enter(&mut journal, 0);
    let now = enter(&mut journal, 0);
    assert_eq!(journal.next(&mut fast), Entry::Dest(DestId(0)));
    assert!(Journal::is_latest(fast, now[0]));
    assert_eq!(journal.next(&mut fast), Entry::End, "two changes before anybody read are one entry");
    enter(&mut journal, 1);
    let now = enter(&mut journal, 0);
    assert_eq!(journal.next(&mut slow), Entry::Dest(DestId(0)));
    assert!(!Journal::is_latest(slow, now[0]), "a newer entry follows");
    assert_eq!(journal.next(&mut slow), Entry::Dest(DestId(1)));
    assert_eq!(journal.next(&mut slow), Entry::Dest(DestId(0)));
    assert!(Journal::is_latest(slow, now[0]));
    assert_eq!(journal.next(&mut slow), Entry::End);
}

#[test]
fn a_reader_that_fell_out_of_the_ring_is_told_to_walk() {
    let mut journal = Journal::default();
    let mut cursor = journal.join();
    let mut reader = cursor;
    for dest in 0..1 << 18 {
        journal.enter(DestId(dest), 0);
        assert_eq!(journal.next(&mut reader), Entry::Dest(DestId(dest)));
    }
    assert_eq!(journal.next(&mut cursor), Entry::Overrun);
    cursor = journal.join();
    assert_eq!(journal.next(&mut cursor), Entry::End);
}
