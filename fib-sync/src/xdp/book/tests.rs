//! The book against a map of the standard library, and what the next process finds in it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn book(layout: Layout, most: u32) -> Book {
    Book::new(layout, Area::private(slots_for(most) as usize * layout.words()), most as usize)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn holds_what_a_map_holds(
        v6 in any::<bool>(),
        steps in prop::collection::vec((0..48u32, 0..=32u8, prop::option::weighted(0.6, 1..MAX_OBJECTS)), 1..300),
    ) {
        let mut book = book(if v6 { Layout::V6 } else { Layout::V4 }, 40);
        let mut map: BTreeMap<(u128, u8), u32> = BTreeMap::new();
        for (address, length, object) in steps {
            let key = (u128::from(address.wrapping_mul(0x1234_5679)) << 96 & prefix_mask(length), length);
            match object {
                None => prop_assert_eq!(book.remove(key.0, key.1), map.remove(&key)),
                Some(_) if map.len() == 40 && !map.contains_key(&key) => {
                    prop_assert_eq!(book.set(key.0, key.1, 1), Err(Full));
                }
                Some(object) => prop_assert_eq!(book.set(key.0, key.1, object), Ok(map.insert(key, object))),
            }
            let over = map.iter().filter(|((net, l), _)| *l < length && key.0 & prefix_mask(*l) == *net);
            let over = over.max_by_key(|((_, l), _)| *l).map(|((_, l), object)| (*l, *object));
            prop_assert_eq!(book.over(key.0, key.1), over);
        }
        let read: BTreeMap<_, _> = book.records().map(|r| ((r.address, r.length), r.object)).collect();
        prop_assert_eq!(&read, &map);
        let next = Book::new(book.layout, book.area, book.most);
        prop_assert_eq!(next.len(), map.len());
        prop_assert_eq!(next.lengths, book.lengths);
    }
}
