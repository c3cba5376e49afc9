//! The table against a list of prefixes that is searched from end to end.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::layout::word_object;
use super::*;

fn table(groups: usize) -> Stride {
    Stride::new(Area::private(ROOT_WORDS), Area::private(groups * GROUP_WORDS))
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
        let mut table = table(4096);
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
        let before = table.used.clone();
        let kept: Vec<usize> = (0..before.len()).filter(|g| before[*g] > 0).collect();
        let mut again = Stride { used: vec![0; before.len()], pool: Pool::new(before.len() as u32), root: table.root, groups: table.groups };
        prop_assert!(again.adopt(model.keys().map(|(length, net)| (*net, *length))));
        prop_assert!(kept.iter().all(|g| again.used[*g] == before[*g]));
        prop_assert_eq!(again.groups_used(), kept.len());
        // And everything taken away leaves nothing.
        for (length, net) in model.clone().into_keys() {
            step(&mut again, &mut model, net, length, None);
        }
        prop_assert_eq!(again.groups_used(), 0);
        for ((net, length), _) in &steps {
            prop_assert_eq!(again.lookup(*net & mask(*length)), 0);
        }
    }
}

#[test]
fn a_full_pool_refuses_and_serves_again_after_a_removal() {
    let mut table = table(13);
    let host = 0x2001_0db8_u128 << 96 | 1;
    table.insert(host, 128, 7, true).expect("thirteen groups reach an IPv6 host");
    assert_eq!(table.insert(1 << 127, 32, 8, true), Err(Full));
    assert_eq!(table.lookup(1 << 127), 0, "a refused prefix leaves nothing");
    table.insert(host, 48, 9, true).expect("a prefix on the way needs no group of its own");
    table.remove(host, 128, route_word(9, 48));
    table.insert(1 << 127, 32, 8, true).expect("retired groups come back after a grace period");
    assert_eq!(word_object(table.lookup(1 << 127)), 8);
    assert_eq!(word_object(table.lookup(host)), 9);
}

#[test]
fn a_reader_never_sees_a_gap_or_a_stranger_while_more_specific_prefixes_come_and_go() {
    let table = std::sync::Mutex::new(table(64));
    let net = 0x0a00_0000_u128 << 96;
    table.lock().unwrap().insert(net, 8, 1, true).expect("room");
    let (root, groups): (*const AtomicU32, *const AtomicU32) = {
        let table = table.lock().unwrap();
        (table.root.as_ptr(), table.groups.as_ptr())
    };
    let (root, groups) = (root as usize, groups as usize);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            // Reads as a packet does: beside the writer, without any lock.
            #[allow(unsafe_code)]
            // SAFETY: both point to words mapped until the end of the test.
            let word =
                |base: usize, at: usize| unsafe { (*(base as *const AtomicU32).add(at)).load(Ordering::Acquire) };
            let mut reads = 0u64;
            while !stop.load(Ordering::Relaxed) || reads < 100_000 {
                let mut found = word(root, 0x000a_0001);
                if found & EXT != 0 {
                    found = word(groups, (found & !EXT) as usize * GROUP_WORDS + 5);
                }
                assert!(matches!(word_object(found), 1 | 2), "neither the short prefix nor the long one: {found:x}");
                reads += 1;
            }
        });
        for _ in 0..2_000 {
            let mut table = table.lock().unwrap();
            table.insert(net | 0x0105 << 96, 32, 2, true).expect("room");
            table.remove(net | 0x0105 << 96, 32, route_word(1, 8));
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().expect("the reader agrees");
    });
}
