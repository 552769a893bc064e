//! The retry budget's law over random histories of successes, retries and idle time.

use std::time::Duration;

use proptest::prelude::*;

use super::ms;
use crate::moment::Moment;
use crate::policy::budget::{Budget, Terms};

#[derive(Clone, Debug)]
enum Act {
    Succeed(u32),
    Retry(u32),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (1..50_u32).prop_map(Act::Succeed),
        (1..50_u32).prop_map(Act::Retry),
        (1..3_000_000_u64).prop_map(Act::Pass),
    ]
}

proptest! {
    #[test]
    fn retries_never_exceed_their_share(
        ratio in 0.0..=1.0_f64, floor in 0..20_u32, cap in 1..50_u32,
        acts in prop::collection::vec(act(), 1..60)
    ) {
        let terms = Terms { ratio, min_per_second: floor, balance_max: cap };
        let mut budget = Budget::new(terms);
        let mut now = Moment::ZERO;
        let (mut successes, mut retries) = (0_u32, 0_u32);
        for act in acts {
            match act {
                Act::Succeed(times) => {
                    successes += times;
                    (0..times).for_each(|_| budget.deposit(now));
                }
                Act::Retry(times) => {
                    retries += (0..times).filter(|_| budget.try_spend(now)).count() as u32;
                }
                Act::Pass(micros) => now += Duration::from_micros(micros),
            }
            let seconds = now.as_micros() as f64 / 1e6;
            let paid = f64::from(successes) * ratio + seconds * f64::from(floor) + f64::from(cap);
            prop_assert!(f64::from(retries) <= paid + 1e-3, "{retries} retries, {paid} paid");
            prop_assert!(budget.balance(now) <= u64::from(cap));
        }
    }

    #[test]
    fn the_promised_moment_is_the_first_one(
        floor in 1..1_000_u32, spent in 0..200_u32, start in 0..10_000_000_u64
    ) {
        let terms = Terms { ratio: 0.0, min_per_second: floor, balance_max: 100 };
        let mut budget = Budget::new(terms);
        let now = Moment::from_micros(start);
        (0..spent).for_each(|_| { budget.try_spend(now); });
        let ready = budget.ready_at(now);
        if ready > now {
            let before = Moment::from_micros(ready.as_micros() - 1);
            prop_assert!(!budget.clone().try_spend(before));
        }
        prop_assert!(budget.try_spend(ready));
    }
}

#[test]
fn worked_example() {
    let mut budget = Budget::default();
    let outage = (0..1_000).filter(|_| budget.try_spend(ms(0))).count();
    assert_eq!(outage, 100);
    assert_eq!(budget.ready_at(ms(0)), ms(100));
    let trickle = (1..=1_000).filter(|tick| budget.try_spend(ms(tick * 10))).count();
    assert_eq!(trickle, 100, "ten a second for ten seconds");
    (0..1_000).for_each(|_| budget.deposit(ms(10_000)));
    assert_eq!(budget.balance(ms(10_000)), 100, "the balance is bounded");
}

#[test]
fn five_successes_pay_for_one_retry() {
    let terms = Terms { ratio: 0.2, min_per_second: 0, balance_max: 1 };
    let mut budget = Budget::new(terms);
    assert!(budget.try_spend(ms(0)));
    assert_eq!(budget.ready_at(ms(0)), Moment::NEVER);
    (0..4).for_each(|_| budget.deposit(ms(0)));
    assert!(!budget.try_spend(ms(0)));
    budget.deposit(ms(0));
    assert!(budget.try_spend(ms(0)));
}

#[test]
fn odd_terms_and_a_clock_that_stands_still_do_no_harm() {
    let terms = Terms { ratio: f64::NAN, min_per_second: u32::MAX, balance_max: 0 };
    let mut budget = Budget::new(terms);
    assert!(budget.try_spend(Moment::NEVER));
    assert!(!budget.try_spend(ms(0)), "earlier time earns nothing");
    budget.deposit(ms(0));
    assert!(!budget.try_spend(Moment::NEVER));
}
