//! Batch sizes against work with a fixed cost per request and a cost per item.

use std::time::Duration;

use proptest::prelude::*;

use crate::policy::batch_size::{BatchSize, Bounds};

const TARGET: Duration = Duration::from_secs(1);

fn sizes(min: u32, max: u32, start: u32) -> BatchSize {
    BatchSize::new(Bounds { min, max, start }, Some(TARGET))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs full batches and returns the last size.
fn run(size: &mut BatchSize, batches: usize, fixed: Duration, item: Duration) -> usize {
    for _ in 0..batches {
        let count = size.size();
        size.observed(count, fixed + item * u32::try_from(count).unwrap());
    }
    size.size()
}

#[test]
fn worked_example() {
    let mut size = sizes(1, 10_000, 100);
    size.observed(100, millis(250));
    assert_eq!(size.size(), 200);
    size.observed(200, millis(500));
    assert_eq!(size.size(), 400);
    size.too_large(400);
    assert_eq!(size.size(), 200);
    size.observed(200, millis(500));
    assert_eq!(size.size(), 203);
}

#[test]
fn batches_refused_together_cost_one_halving() {
    let mut size = sizes(1, 10_000, 1_000);
    (0..10).for_each(|_| size.too_large(1_000));
    assert_eq!(size.size(), 500);
}

#[test]
fn a_refused_size_is_approached_again_slowly_but_surely() {
    let mut size = sizes(1, 1_000, 1_000);
    size.too_large(1_000);
    assert_eq!(run(&mut size, 1, Duration::ZERO, millis(1)), 507);
    assert!(run(&mut size, 20, Duration::ZERO, millis(1)) < 800);
    assert!(run(&mut size, 80, Duration::ZERO, millis(1)) >= 990);
}

#[test]
fn without_a_target_only_refusals_count() {
    let mut size = BatchSize::new(Bounds { min: 1, max: 1_000, start: 1_000 }, None);
    assert_eq!(run(&mut size, 3, millis(60_000), millis(1)), 1_000, "slow, and still full");
    size.too_large(1_000);
    assert_eq!(size.size(), 500);
    assert_eq!(run(&mut size, 1, Duration::ZERO, millis(1)), 507);
    assert_eq!(run(&mut size, 100, Duration::ZERO, millis(1)), 1_000);
}

#[test]
fn a_small_last_batch_says_little() {
    let mut size = sizes(1, 1_000, 100);
    size.observed(3, millis(90));
    assert_eq!(size.size(), 100);
    size.observed(3, millis(1_200));
    assert_eq!(size.size(), 50);
}

#[test]
fn odd_observations_do_no_harm() {
    let mut size = sizes(2, 1_000, 100);
    size.observed(0, millis(5_000));
    size.observed(usize::MAX, Duration::MAX);
    assert_eq!(size.size(), 100);
    size.observed(100, Duration::ZERO);
    assert_eq!(size.size(), 200);
    size.observed(200, Duration::MAX);
    assert_eq!(size.size(), 100);
    size.too_large(usize::MAX);
    assert_eq!(size.size(), 100);
    size.too_large(0);
    assert_eq!(size.size(), 2);
    let mut stuck = BatchSize::new(Bounds { min: 1, max: 9, start: 4 }, Some(Duration::ZERO));
    stuck.observed(4, Duration::ZERO);
    assert_eq!(stuck.size(), 4);
}

proptest! {
    #[test]
    fn stays_within_bounds_and_changes_at_most_twofold(
        min in 1..50_u32, more in 0..5_000_u32, start in 0..6_000_u32,
        seen in prop::collection::vec((0..8_000_usize, 0..20_000_u64, any::<bool>()), 1..60)
    ) {
        let (min, max) = (min, min + more);
        let mut size = sizes(min, max, start);
        for (count, took, refused) in seen {
            let before = size.size();
            if refused && count % 4 == 0 {
                size.too_large(count);
                prop_assert!(size.size() <= before);
            } else {
                size.observed(count, millis(took));
                prop_assert!(size.size() <= before * 2 && size.size() >= before / 2);
            }
            prop_assert!((min as usize..=max as usize).contains(&size.size()));
        }
    }

    #[test]
    fn converges_on_a_step_change_of_the_cost(
        fixed in 0..400_u64, first in 20..20_000_u64, second in 20..20_000_u64
    ) {
        let mut size = sizes(1, 1_000_000, 100);
        let fixed = millis(fixed);
        for item in [first, second].map(Duration::from_micros) {
            run(&mut size, 60, fixed, item);
            let exact = (TARGET - fixed).as_secs_f64() / item.as_secs_f64();
            let slack = exact * 0.05 + 1.0;
            let off = (size.size() as f64 - exact).abs();
            prop_assert!(off <= slack, "{} instead of {exact}", size.size());
        }
    }
}
