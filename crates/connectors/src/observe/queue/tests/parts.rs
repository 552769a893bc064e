//! The small structures, each against a plain one.

use super::super::ranges::RangeSet;
use super::super::record::{Encoder, Record, SegmentHead};
use super::super::window::Window;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeSet;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ranges_are_a_set(spans in prop::collection::vec((0_u64..200, 0_u64..20), 0..60)) {
        let (mut ranges, mut set) = (RangeSet::default(), BTreeSet::new());
        for (start, length) in spans {
            let missing: Vec<u64> = (start..start + length).filter(|n| !set.contains(n)).collect();
            let pieces = ranges.missing(start, start + length).flat_map(|(from, to)| from..to);
            prop_assert_eq!(pieces.collect::<Vec<_>>(), missing);
            ranges.insert(start, start + length);
            set.extend(start..start + length);
            let all: Vec<u64> = ranges.iter().flat_map(|(from, to)| from..to).collect();
            prop_assert_eq!(all, set.iter().copied().collect::<Vec<_>>());
            let touching = ranges.iter().zip(ranges.iter().skip(1)).any(|(a, b)| a.1 >= b.0);
            prop_assert!(!touching);
        }
        for number in 0..230 {
            prop_assert_eq!(ranges.contains(number), set.contains(&number));
            let missing = (number..).find(|n| !set.contains(n));
            prop_assert_eq!(Some(ranges.first_missing(number)), missing);
        }
        prop_assert_eq!(ranges.end(), set.last().map_or(0, |last| last + 1));
    }

    #[test]
    fn a_window_knows_the_last_half(ids in prop::collection::vec(0_u128..60, 0..200)) {
        let mut window = Window::new(20);
        let mut order = Vec::<u128>::new();
        for id in ids {
            let is_new = window.insert(id);
            let recent = order.iter().rev().take(10).any(|known| *known == id);
            let known = order.iter().rev().take(20).any(|known| *known == id);
            prop_assert!(!recent || !is_new, "one of the last ten was forgotten");
            prop_assert!(known || is_new, "one that isn't of the last twenty was known");
            if is_new {
                order.push(id);
            }
            prop_assert!(window.len() <= 20);
        }
    }

    #[test]
    fn no_bytes_break_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        prop_assert!(Record::decode(0, &bytes).is_none());
        prop_assert!(SegmentHead::decode(&bytes).is_err());
    }
}

#[test]
fn settled_numbers_in_runs_are_few_ranges() {
    let mut ranges = RangeSet::default();
    for number in (0..1_000_000).rev() {
        ranges.insert(number, number + 1);
    }
    assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, 1_000_000)]);
}

#[test]
fn an_id_that_was_not_stored_is_forgotten() {
    let mut window = Window::new(8);
    assert!([1, 2, 3].iter().all(|id| window.insert(*id)));
    window.remove(1);
    window.remove(3);
    assert!(window.insert(1) && window.insert(3));
    assert!(!window.insert(2));
    let mut none = Window::new(0);
    assert!(none.insert(1) && none.insert(1));
}

#[test]
fn a_record_says_where_it_stands() {
    let mut buffer = vec![0; 5];
    let mut encoder = Encoder::begin(&mut buffer, 100, 40, 7, 90, b"of all");
    encoder.push(42, 1, 0b101, 2, b"one");
    encoder.push(45, u128::MAX, 0b10, 0, b"");
    encoder.finish();
    let bytes = Bytes::from(buffer).slice(5..);
    assert!(Record::decode(104, &bytes).is_none(), "it stands at 105");
    let record = Record::decode(105, &bytes).unwrap();
    assert_eq!((record.first(), record.end()), (40, 46));
    assert_eq!((record.at_ms(), record.synced_to()), (7, 90));
    assert_eq!(record.shared(), "of all");
    assert_eq!(record.next_offset(), 105 + bytes.len() as u64);
    let entries: Vec<_> = record.entries().collect();
    let rows: Vec<_> = entries.iter().map(|e| (e.number, e.id, e.routes, e.priority)).collect();
    assert_eq!(rows, [(42, 1, 0b101, 2), (45, u128::MAX, 0b10, 0)]);
    assert_eq!(record.payload(&entries[0]), "one");
    assert_eq!(record.payload(&entries[1]), "");
}
