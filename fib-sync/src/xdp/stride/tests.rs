//! The table against a list of prefixes that is searched from end to end.

use std::collections::BTreeMap;

use proptest::prelude::*;

use std::sync::atomic::Ordering;

use super::super::layout::{EXT, LIST, MAX_OBJECTS, word_object};
use super::*;

fn table(groups: usize, lists: usize) -> Stride {
    let lists = (lists > 0).then(|| Area::private(lists * LIST_WORDS));
    Stride::new(Area::private(ROOT_WORDS), Area::private(groups * GROUP_WORDS), lists)
}

fn mask(length: u8) -> u128 {
    if length == 0 { 0 } else { u128::MAX << (128 - u32::from(length)) }
}

type Model = BTreeMap<(u8, u128), u32>;

fn best(model: &Model, address: u128) -> Option<(u8, u32)> {
    model.iter().rev().find(|((length, net), _)| address & mask(*length) == *net).map(|((length, _), o)| (*length, *o))
}

fn under(model: &Model, net: u128, length: u8) -> u32 {
    let over = model.iter().rev().find(|((l, n), _)| *l < length && net & mask(*l) == *n);
    over.map_or(0, |((length, _), object)| route_word(*object, *length))
}

fn step(table: &mut Stride, model: &mut Model, net: u128, length: u8, object: Option<u32>) {
    let net = net & mask(length);
    match object {
        Some(object) => {
            let fresh = model.insert((length, net), object).is_none();
            table.insert(net, length, object, fresh).expect("room");
        }
        None => {
            if model.remove(&(length, net)).is_some() {
                table.remove(net, length, under(model, net, length));
            }
        }
    }
}

fn agrees(table: &Stride, model: &Model, address: u128) {
    let word = table.lookup(address);
    let found = (word != 0).then(|| (word_length(word), word_object(word)));
    assert_eq!(found, best(model, address), "{address:032x}");
}

/// Prefixes that lie over and beside each other, so that every level is met.
fn crowded() -> impl Strategy<Value = (u128, u8)> {
    let lengths = prop_oneof![Just(0u8), 16..=24u8, 25..=32u8, 33..=56u8, 57..=128u8];
    (prop::collection::vec(0..3u8, 16), lengths).prop_map(|(octets, length)| {
        let octets: [u8; 16] = octets.try_into().expect("sixteen");
        (u128::from_be_bytes(octets.map(|o| [0, 1, 0x80][usize::from(o)])), length)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_list_of_prefixes(steps in prop::collection::vec((crowded(), prop::option::weighted(0.6, 1..1000u32)), 1..120)) {
        let mut table = table(4096, 4096);
        let mut model = Model::new();
        for ((net, length), object) in &steps {
            step(&mut table, &mut model, *net, *length, *object);
        }
        for ((net, length), _) in &steps {
            let host = !mask(*length);
            for address in [*net & mask(*length), *net, *net | host, (*net | host).wrapping_add(1), (*net & mask(*length)).wrapping_sub(1)] {
                agrees(&table, &model, address);
            }
        }
        // An adopted table counts its groups as the one that made it.
        let (used, before) = (table.used(), table.heads.clone());
        let nodes = table.nodes;
        let mut again = Stride::new(nodes.root, nodes.groups, nodes.lists);
        let over = |address: u128, most: u8| under(&model, address, most + 1);
        prop_assert!(again.adopt(model.keys().map(|(length, net)| (*net, *length)), &over));
        prop_assert_eq!(again.used(), used);
        for (head, before) in again.heads.iter().zip(before).filter(|(head, _)| head.used > 0) {
            prop_assert_eq!(*head, before);
        }
        // And everything taken away leaves nothing.
        for (length, net) in model.clone().into_keys() {
            step(&mut again, &mut model, net, length, None);
        }
        prop_assert_eq!(again.used(), (0, 0));
        for ((net, length), _) in &steps {
            prop_assert_eq!(again.lookup(*net & mask(*length)), 0);
        }
    }
}

/// A prefix in a narrow corner: many lie over and beside each other, at every depth.
fn narrow(rng: &mut fastrand::Rng) -> (u128, u8) {
    let shared = 0x2a00_0102_0304_0506_0708_090a_0b0c_0d0e_u128;
    let corner = *rng.choice(&[24u8, 32, 40, 48, 56, 64, 88, 112]).expect("some");
    let spread = rng.u128(..) & rng.u128(..) & !mask(corner) & mask((corner + rng.u8(4..=14)).min(128));
    let length = rng.u8(corner.saturating_sub(6)..=(corner + 16).min(128));
    ((shared ^ spread) & mask(length), length)
}

/// Waves of prefixes come and go; at every turn some are looked up, and the next process would find the same.
#[test]
fn lists_become_groups_and_groups_become_lists_again() {
    for seed in 0..6 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut table, mut model) = (table(512, 512), Model::new());
        let mut most = (0, 0);
        for turn in 0..3_000 {
            let grows = turn / 250 % 2 == 0;
            let (net, length) = narrow(&mut rng);
            if rng.u8(0..10) < if grows { 8 } else { 1 } {
                step(&mut table, &mut model, net, length, Some(rng.u32(1..50)));
            } else if !model.is_empty() {
                let (length, net) = *model.keys().nth(rng.usize(0..model.len())).expect("one of them");
                step(&mut table, &mut model, net, length, None);
            }
            for _ in 0..4 {
                let (address, length) = narrow(&mut rng);
                agrees(&table, &model, address);
                agrees(&table, &model, address | !mask(length));
                agrees(&table, &model, address ^ 1 << rng.u8(0..104));
            }
            most = (most.0.max(table.used().0), most.1.max(table.used().1));
            if turn % 100 == 99 {
                let (used, heads) = (table.used(), table.heads.clone());
                let over = |address: u128, most: u8| under(&model, address, most + 1);
                assert!(
                    table.adopt(model.keys().map(|(length, net)| (*net, *length)), &over),
                    "seed {seed}, turn {turn}"
                );
                assert_eq!(table.used(), used, "seed {seed}, turn {turn}");
                for (head, before) in table.heads.iter().zip(heads).filter(|(head, _)| head.used > 0) {
                    assert_eq!(*head, before, "seed {seed}, turn {turn}");
                }
            }
        }
        assert!(most.0 > 5 && most.1 > 20, "both were used: {most:?}");
        while let Some((length, net)) = model.keys().next().copied() {
            step(&mut table, &mut model, net, length, None);
            assert!(table.used().0 <= model.len() / 2, "{} groups for {} routes", table.used().0, model.len());
        }
        assert_eq!(table.used(), (0, 0));
    }
}

/// A prefix in a list gets another object, or goes: what longer ones in the list lead to falls back on it.
#[test]
fn what_hangs_below_a_prefix_of_a_list_follows_it() {
    let mut table = table(4, 32);
    let (net, far) = (0x2a00_0080_u128 << 96, 0x2a00_0080_0001_0002_0003_u128 << 48);
    table.insert(net, 25, 1, true).expect("room");
    table.insert(far, 80, 2, true).expect("room");
    let beside = far ^ 1 << 50;
    assert_eq!(word_object(table.lookup(beside)), 1);
    table.insert(net, 25, 3, false).expect("room");
    assert_eq!(word_object(table.lookup(beside)), 3);
    table.remove(net, 25, route_word(4, 8));
    assert_eq!(word_object(table.lookup(beside)), 4);
    assert_eq!(word_object(table.lookup(far | 1)), 2);
}

/// Eight prefixes far down a common way: one list leads to their group, not a group for every octet.
#[test]
fn what_lies_together_needs_no_groups_on_the_way() {
    let mut table = table(4, 32);
    let net = 0x2001_0db8_0001_0002_u128 << 64;
    for n in 0..=LIST_ROUTES as u128 {
        table.insert(net | n << 56, 72, 1 + n as u32, true).expect("room");
    }
    let (groups, lists) = table.used();
    assert!(groups <= 1 && lists <= 3, "{groups} groups, {lists} lists");
    for n in 0..=LIST_ROUTES as u128 {
        assert_eq!(word_object(table.lookup(net | n << 56 | 5)), 1 + n as u32);
    }
    assert_eq!(table.lookup(net | 0xff << 56), 0);
}

#[test]
fn a_full_pool_refuses_and_serves_again_after_a_removal() {
    // A write begins when thirteen lists are free: as many as it may take, and one for the next removal.
    let mut table = table(1, 14);
    let host = 0x2001_0db8_u128 << 96 | 1;
    table.insert(host, 128, 7, true).expect("four lists reach an IPv6 host");
    assert_eq!(table.used(), (0, 4));
    assert_eq!(table.insert(1 << 127, 32, 8, true), Err(Full));
    assert_eq!(table.lookup(1 << 127), 0, "a refused prefix leaves nothing");
    table.insert(host, 128, 9, false).expect("another object needs no room");
    table.remove(host, 128, 0);
    assert_eq!(table.used(), (0, 0));
    table.insert(1 << 127, 32, 8, true).expect("retired lists come back after a grace period");
    assert_eq!(word_object(table.lookup(1 << 127)), 8);
    assert_eq!(table.lookup(host), 0);
}

/// The word of an address as packets find it, beside the writer and without any lock.
struct Reader([usize; 3]);

impl Reader {
    fn of(table: &Stride) -> Self {
        let lists = table.nodes.lists.as_deref().map_or(0, |lists| lists.as_ptr() as usize);
        Self([table.nodes.root.as_ptr() as usize, table.nodes.groups.as_ptr() as usize, lists])
    }

    fn word(&self, area: usize, at: usize) -> u32 {
        // SAFETY: the areas stay mapped until the end of the test, and the numbers in them lie within.
        #[allow(unsafe_code)]
        unsafe {
            (*(self.0[area] as *const AtomicU32).add(at)).load(Ordering::Acquire)
        }
    }

    fn look(&self, address: u128) -> u32 {
        let mut word = self.word(0, root_index(address));
        while word & (EXT | LIST) != 0 {
            let (number, depth) = ((word & (MAX_OBJECTS - 1)) as usize, word_length(word));
            if word & EXT != 0 {
                word = self.word(1, number * GROUP_WORDS + octet(address, depth));
                continue;
            }
            let list = number * LIST_WORDS;
            let window = nodes::window(address, depth);
            word = self.word(2, list);
            for at in 0..LIST_ROUTES {
                let found = self.word(2, list + 1 + at);
                if found == 0 {
                    break;
                }
                let key = self.word(2, list + 1 + LIST_ROUTES + at);
                if nodes::starts_alike(window, key, word_length(found) - depth) {
                    word = found;
                    break;
                }
            }
        }
        word
    }
}

#[test]
fn a_reader_never_sees_a_gap_or_a_stranger_while_more_specific_prefixes_come_and_go() {
    let (v4, v6) = (0x0a00_0000_u128 << 96, 0x2a00_u128 << 112);
    // What comes and goes is for the address that is read; strangers are beside it, and drive it from list to group and back.
    let cases = [
        (table(64, 0), v4, v4 | 0x0001_0105 << 96, vec![(v4 | 0x0001_0105 << 96, 32)], vec![]),
        (
            table(64, 64),
            v6,
            v6 | 0x0007_0008 << 64 | 9,
            vec![(v6, 40), (v6 | 7 << 80, 48), (v6 | 0x0007_0008 << 64, 64), (v6 | 0x0007_0008 << 64 | 9, 128)],
            (0..7)
                .map(|n| (v6 | (0x0007_0100 + n) << 64, 64))
                .chain((0..7).map(|n| (v6 | (n + 8) << 80, 48)))
                .collect(),
        ),
    ];
    for (mut table, net, read, own, strangers) in cases {
        table.insert(net, 8, 1, true).expect("room");
        let reader = Reader::of(&table);
        let stop = std::sync::atomic::AtomicBool::new(false);
        let reads = std::sync::atomic::AtomicU64::new(0);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let found = reader.look(read);
                    assert!(matches!(word_object(found), 1 | 2), "neither the short prefix nor a long one: {found:x}");
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
            let base = route_word(1, 8);
            let mut rounds = 0;
            while !reader.is_finished() && (rounds < 200 || reads.load(Ordering::Relaxed) < 10_000_000) {
                rounds += 1;
                for (net, length) in &own {
                    table.insert(*net, *length, 2, true).expect("room");
                }
                for (net, length) in &strangers {
                    table.insert(*net, *length, 3, true).expect("room");
                }
                for (net, length) in &strangers {
                    let over = own.iter().rev().find(|(over, most)| most < length && net & mask(*most) == *over);
                    let under = over.map_or(base, |(_, length)| route_word(2, *length));
                    table.remove(*net, *length, under);
                }
                for at in (0..own.len()).rev() {
                    let under = at.checked_sub(1).map_or(base, |over| route_word(2, own[over].1));
                    table.remove(own[at].0, own[at].1, under);
                }
            }
            stop.store(true, Ordering::Relaxed);
            reader.join().expect("the reader agrees");
        });
        assert_eq!(table.used(), (0, 0), "everything came back");
    }
}
