use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::node::*;
use crate::table::{Lpm, PrefixTable};
use crate::*;

fn v4() -> impl Strategy<Value = Ipv4Net> {
    // Few leading bits, so that prefixes cover each other.
    (0u32..16, any::<u32>(), 0u8..=32).prop_map(|(top, low, length)| {
        Ipv4Net::new((top << 28 | low & 0x0f0f_000f).into(), length).expect("a length").trunc()
    })
}

fn v6() -> impl Strategy<Value = Ipv6Net> {
    (0u128..8, any::<u128>(), 0u8..=128).prop_map(|(top, low, length)| {
        let low = low & 0x0f00_0000_000f_0000_0000_0000_0000_0003;
        Ipv6Net::new((top << 125 | low).into(), length).expect("a length").trunc()
    })
}

/// Every operation of the tree against a linear scan.
fn against_a_scan<F: Family>(stored: &[F::Prefix], removed: &[F::Prefix], asked: &[F::Prefix])
where
    F::Prefix: PartialEq,
{
    let mut tree = PrefixTable::<F>::default();
    let mut scan = BTreeMap::new();
    for (slot, prefix) in (0..).zip(stored) {
        assert_eq!(tree.insert(*prefix, slot), scan.insert(*prefix, slot));
    }
    for prefix in removed.iter().chain(stored.iter().step_by(3)) {
        assert_eq!(tree.remove(*prefix), scan.remove(prefix));
    }
    assert_eq!(tree.len(), scan.len());
    let covers = |outer: &F::Prefix, inner: &F::Prefix| F::net(*outer).contains(&F::net(*inner));
    for asked in asked.iter().chain(stored) {
        let mut above: Vec<_> = scan.iter().filter(|(p, _)| covers(p, asked)).map(|(p, s)| (*p, *s)).collect();
        above.sort_by_key(|(prefix, _)| F::length(*prefix));
        assert_eq!(tree.longest(*asked), above.last().copied());
        assert_eq!(tree.covers(*asked).collect::<Vec<_>>(), above);
        above.retain(|(prefix, _)| prefix != asked);
        assert_eq!(tree.shorter(*asked), above.last().copied());
        let below: Vec<_> = scan.iter().filter(|(p, _)| covers(asked, p)).map(|(p, s)| (*p, *s)).collect();
        assert_eq!(tree.children(*asked).collect::<Vec<_>>(), below);
        let rest: Vec<_> = scan.range(*asked..).map(|(p, s)| (*p, *s)).collect();
        assert_eq!(tree.from(*asked, true).collect::<Vec<_>>(), rest);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_agrees_with_a_linear_scan_ipv4(
        stored in proptest::collection::vec(v4(), 0..120),
        removed in proptest::collection::vec(v4(), 0..20),
        asked in proptest::collection::vec(v4(), 0..40),
    ) {
        against_a_scan::<V4>(&stored, &removed, &asked);
    }

    #[test]
    fn the_tree_agrees_with_a_linear_scan_ipv6(
        stored in proptest::collection::vec(v6(), 0..120),
        removed in proptest::collection::vec(v6(), 0..20),
        asked in proptest::collection::vec(v6(), 0..40),
    ) {
        against_a_scan::<V6>(&stored, &removed, &asked);
    }

    #[test]
    fn a_journal_gives_every_reader_every_item_once_or_says_overrun(
        max in 1usize..40,
        steps in proptest::collection::vec((0u8..4, 0usize..30), 0..200),
    ) {
        let mut journal = Journal::new(max);
        let mut cursors = [journal.now(), journal.now()];
        let mut pushed = 0u64;
        for (what, count) in steps {
            match what {
                0 | 1 => for _ in 0..count {
                    pushed += 1;
                    prop_assert_eq!(journal.push(pushed), pushed);
                },
                2 => {
                    let cursor = &mut cursors[count % 2];
                    let expected = cursor.passed() + 1;
                    match journal.read(cursor) {
                        Ok(Some((position, item))) => {
                            prop_assert_eq!((position, item), (expected, expected));
                        }
                        Ok(None) => prop_assert_eq!(expected, pushed + 1),
                        Err(Overrun) => {
                            prop_assert!(expected + max as u64 <= pushed);
                            *cursor = journal.now();
                        }
                    }
                }
                _ => {
                    let passed = cursors.iter().map(Cursor::passed).min().unwrap_or(0);
                    journal.trim(passed);
                }
            }
            prop_assert!(journal.len() <= max);
            prop_assert_eq!(journal.head(), pushed);
        }
    }
}

#[test]
fn a_destination_is_as_small_as_promised() {
    assert_eq!(size_of::<table::Dest<V4>>(), 24);
    assert_eq!(size_of::<table::Dest<V6>>(), 32);
}

#[test]
fn lookups_pass_over_prefixes_without_a_usable_route() {
    let mut node = Node::with_links();
    node.static_route("0.0.0.0/0", via("10.0.0.254")).bgp("203.0.0.0/16", "10.0.0.1");
    node.bgp("203.0.113.0/24", "192.168.77.1").bgp("203.0.113.0/25", "10.0.0.2").remove(Source::Bgp, "203.0.113.0/25");
    node.static_route("192.168.0.0/16", NextHop::Interface(IfIndex(99)));
    assert_eq!(
        node.lookup("203.0.113.7").expect("covered").prefix,
        net("203.0.113.0/24"),
        "192.168.77.1 by the default"
    );
    node.remove(Source::Static, "0.0.0.0/0");
    assert_eq!(node.lookup("203.0.113.7").expect("covered").prefix, net("203.0.0.0/16"));
    assert!(node.lookup("8.8.8.8").is_none());
    assert!(node.lookup("2001:db8:ffff::1").is_none());
    assert_eq!(node.lookup("2001:db8:a::77").expect("connected").prefix, net("2001:db8:a::/64"));
}

#[test]
fn a_walk_is_paged_filtered_and_resumable_under_change() {
    let mut node = Node::with_links();
    node.bgp_table(1000, "10.0.0.1").bgp("2001:db8:1::/48", "2001:db8:a::1");
    let mut query = WalkQuery { limit: 64, ..WalkQuery::default() };
    let mut seen: Vec<IpNet> = Vec::new();
    loop {
        let page = node.rib.walk(&query);
        assert!(page.routes.len() <= 64);
        seen.extend(page.routes.iter().map(|view| view.prefix));
        let Some(next) = page.next else { break };
        query.start = Some(next);
        // The very place to go on from is removed, and something before and something behind it is added.
        if seen.len() < 300 {
            node.remove(Source::Bgp, &next.to_string());
            node.bgp("99.0.0.0/8", "10.0.0.1").bgp("101.0.0.0/8", "10.0.0.1");
        }
    }
    assert!(seen.is_sorted() && seen.windows(2).all(|pair| pair[0] != pair[1]), "in order, none twice");
    assert!(seen.contains(&net("101.0.0.0/8")) && !seen.contains(&net("99.0.0.0/8")));
    assert!(seen.len() > 990);

    let within = WalkQuery { within: Some(net("100.0.8.0/21")), ..WalkQuery::default() };
    let page = node.rib.walk(&within);
    assert!(page.next.is_none() && page.routes.iter().all(|view| net("100.0.8.0/21").contains(&view.prefix)));
    assert!(!page.routes.is_empty());
    let connected = WalkQuery { sources: Source::Connected.into(), limit: 1000, ..WalkQuery::default() };
    assert_eq!(node.rib.walk(&connected).routes.len(), 3);
    let v6 = WalkQuery { family: Some(AddressFamily::Ipv6), ..WalkQuery::default() };
    assert_eq!(node.rib.walk(&v6).routes.len(), 2);
}
