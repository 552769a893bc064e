//! The window's law, by brute force.
//!
//! Method: a greedy client in virtual time starts every request as soon as it is let. A judge
//! counts each request at an arbitrary instant between its start and its answer, as an unknown
//! network and an unknown server clock would, and afterwards looks at every window of one span.

use std::collections::BinaryHeap;
use std::time::Duration;

use proptest::prelude::*;

use super::ms;
use crate::moment::Moment;
use crate::policy::quota::{Admit, Quota, Window};

const SPAN: Duration = Duration::from_millis(1_000);

fn window(limit: u32) -> Window {
    Window::new(Quota { limit, span: SPAN })
}

/// How one request fares, in microseconds, and what happens just before it.
#[derive(Clone, Debug)]
struct Fate {
    cost: u32,
    counted_after: u64,
    answered_after: u64,
    change: Option<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Limit(u32),
    Slow,
    Idle(u64),
}

/// Most cost inside any half-open window of one span. The fullest window begins at a request.
fn fullest(counted: &mut [(Moment, u32)]) -> u64 {
    counted.sort_unstable();
    let in_window = |start: Moment| {
        let inside = counted.iter().filter(|(at, _)| *at >= start && *at < start + SPAN);
        inside.map(|(_, cost)| u64::from(*cost)).sum()
    };
    counted.iter().map(|(start, _)| in_window(*start)).max().unwrap_or(0)
}

/// Runs the greedy client through all fates and returns when the judge counted what.
fn run(window: &mut Window, fates: &[Fate]) -> Vec<(Moment, u32)> {
    let mut now = Moment::ZERO;
    let mut answers = BinaryHeap::new();
    let mut counted = Vec::new();
    for fate in fates {
        match fate.change {
            Some(Change::Limit(limit)) => window.set_limit(limit),
            Some(Change::Slow) => window.slow(now),
            Some(Change::Idle(micros)) => now += Duration::from_micros(micros),
            None => {}
        }
        loop {
            deliver(window, &mut answers, now);
            let next = answers.peek().map(|(std::cmp::Reverse(at), _)| *at);
            now = match window.check(now, fate.cost) {
                Admit::Now => break,
                Admit::WhenAnswered => next.expect("something is on the wire"),
                Admit::At(at) => {
                    assert!(at > now, "a moment that has passed");
                    next.map_or(at, |next| next.min(at))
                }
            };
        }
        window.take(now, fate.cost);
        counted.push((now + Duration::from_micros(fate.counted_after), fate.cost));
        let answered = now + Duration::from_micros(fate.answered_after);
        answers.push((std::cmp::Reverse(answered), fate.cost));
    }
    counted
}

fn deliver(
    window: &mut Window,
    answers: &mut BinaryHeap<(std::cmp::Reverse<Moment>, u32)>,
    now: Moment,
) {
    while answers.peek().is_some_and(|(std::cmp::Reverse(at), _)| *at <= now) {
        let (std::cmp::Reverse(at), cost) = answers.pop().unwrap();
        window.answered(at, cost);
    }
}

fn fate(limit: u32) -> impl Strategy<Value = Fate> {
    let round_trip = prop_oneof![Just(0_u64), 1..200_000_u64, 1..3_000_000_u64];
    (1..=limit, round_trip, 0..=1_000_u64).prop_map(|(cost, answered_after, part)| Fate {
        cost: if cost.is_multiple_of(3) { cost } else { 1 },
        counted_after: answered_after * part / 1_000,
        answered_after,
        change: None,
    })
}

fn changing_fate() -> impl Strategy<Value = Fate> {
    let change = prop_oneof![
        8 => Just(None),
        1 => (1..40_u32).prop_map(|limit| Some(Change::Limit(limit))),
        1 => Just(Some(Change::Slow)),
        1 => (0..2_500_000_u64).prop_map(|micros| Some(Change::Idle(micros))),
    ];
    (fate(20), change).prop_map(|(fate, change)| Fate { change, ..fate })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_window_of_the_server_holds_more_than_the_limit(
        (limit, spacing, fates) in (1..30_u32, any::<bool>()).prop_flat_map(|(limit, spacing)| {
            (Just(limit), Just(spacing), prop::collection::vec(fate(limit), 1..150))
        })
    ) {
        let mut window = window(limit).with_spacing(spacing);
        let mut counted = run(&mut window, &fates);
        prop_assert!(fullest(&mut counted) <= u64::from(limit));
    }

    #[test]
    fn changes_on_the_way_never_exceed_the_largest_limit_in_force(
        fates in prop::collection::vec(changing_fate(), 1..150)
    ) {
        let limits = fates.iter().filter_map(|fate| match fate.change {
            Some(Change::Limit(limit)) => Some(limit),
            _ => None,
        });
        let largest = limits.max().unwrap_or(0).max(20);
        let mut window = window(20);
        let mut counted = run(&mut window, &fates);
        prop_assert!(fullest(&mut counted) <= u64::from(largest));
        prop_assert!((0.1..=1.0).contains(&window.factor()));
        prop_assert!(window.cooling_entries() <= fates.len());
    }

    #[test]
    fn the_promised_moment_is_kept(
        limit in 1..10_u32, costs in prop::collection::vec((1..12_u32, 0..400_000_u64), 1..40)
    ) {
        // Every request is answered at once, so a wait can only be for a moment.
        let mut window = window(limit);
        let mut now = Moment::ZERO;
        for (cost, pause) in costs {
            now += Duration::from_micros(pause);
            match window.check(now, cost) {
                Admit::Now => {}
                Admit::At(at) => {
                    prop_assert_ne!(window.check(Moment::from_micros(at.as_micros() - 1), cost),
                        Admit::Now);
                    now = at;
                }
                Admit::WhenAnswered => prop_assert!(false, "nothing is on the wire"),
            }
            prop_assert_eq!(window.check(now, cost), Admit::Now);
            window.take(now, cost);
            window.answered(now, cost);
            prop_assert!(window.available(now) < limit);
        }
    }

    #[test]
    fn a_closed_loop_gets_the_limit_per_span_and_round_trip(
        limit in 1..60_u32, round_trip in 1..900_000_u64, cycles in 1..6_u64
    ) {
        let fates = vec![
            Fate { cost: 1, counted_after: 0, answered_after: round_trip, change: None };
            (u64::from(limit) * (cycles + 1)) as usize
        ];
        let counted = run(&mut window(limit), &fates);
        let cycle = SPAN + Duration::from_micros(round_trip);
        let end = Moment::ZERO + cycle * u32::try_from(cycles).unwrap();
        let started = counted.iter().filter(|(at, _)| *at < end).count() as u64;
        prop_assert_eq!(started, u64::from(limit) * cycles);
    }
}

#[test]
fn worked_example() {
    let mut window = Window::new("2/10s".parse().unwrap());
    window.take(ms(0), 1);
    window.take(ms(0), 1);
    assert_eq!(window.check(ms(0), 1), Admit::WhenAnswered);
    window.answered(ms(1_000), 1);
    window.answered(ms(3_000), 1);
    assert_eq!(window.check(ms(5_000), 1), Admit::At(ms(11_000)));
    assert_eq!(window.check(ms(5_000), 2), Admit::At(ms(13_000)));
    assert_eq!((window.available(ms(5_000)), window.available(ms(11_000))), (0, 1));
    assert_eq!(window.check(ms(11_000), 1), Admit::Now);
}

/// Why the gate has no token bucket: its capacity and its rate both fit into one window.
#[test]
fn a_token_bucket_breaks_the_quota_that_a_window_keeps() {
    let (limit, per_token) = (50_u32, 20_000);
    let (mut tokens, mut filled_at, mut now) = (limit, 0_u64, 0_u64);
    let mut counted = Vec::new();
    for _ in 0..300 {
        let due = u32::try_from((now - filled_at) / per_token).unwrap();
        filled_at += u64::from(due) * per_token;
        tokens = (tokens + due).min(limit);
        if tokens == 0 {
            now = filled_at + per_token;
            (tokens, filled_at) = (1, now);
        }
        tokens -= 1;
        counted.push((Moment::from_micros(now), 1));
    }
    assert_eq!(fullest(&mut counted), 99);

    let fate = Fate { cost: 1, counted_after: 0, answered_after: 0, change: None };
    let mut counted = run(&mut window(limit), &vec![fate; 300]);
    assert_eq!(fullest(&mut counted), 50);
}

#[test]
fn a_cost_above_the_limit_goes_alone() {
    let mut window = window(3);
    window.take(ms(0), 1);
    assert_eq!(window.check(ms(0), 9), Admit::WhenAnswered);
    window.answered(ms(50), 1);
    assert_eq!(window.check(ms(60), 9), Admit::At(ms(1_050)));
    window.take(ms(1_050), 9);
    assert_eq!((window.out(), window.available(ms(1_050))), (9, 0));
    window.answered(ms(1_100), 9);
    assert_eq!(window.check(ms(1_100), 1), Admit::At(ms(2_100)));
    assert_eq!(window.available(ms(2_100)), 3);
}

#[test]
fn a_cut_limit_is_reached_without_taking_permits_back() {
    let mut window = window(10);
    window.take(ms(0), 8);
    window.set_limit(4);
    window.answered(ms(100), 5);
    assert_eq!(window.check(ms(200), 1), Admit::At(ms(1_100)));
    assert_eq!(window.check(ms(200), 2), Admit::WhenAnswered);
    assert_eq!(window.available(ms(1_100)), 1);
    window.set_limit(20);
    assert_eq!(window.available(ms(1_100)), 17);
}

#[test]
fn push_back_slows_once_a_span_and_calm_spans_give_back() {
    let mut window = window(50);
    window.slow(ms(0));
    window.slow(ms(500));
    assert_eq!(window.available(ms(500)), 40);
    window.slow(ms(1_000));
    assert_eq!(window.available(ms(1_000)), 32);
    assert_eq!((window.available(ms(1_999)), window.available(ms(2_000))), (32, 34));
    assert_eq!(window.available(ms(9_000)), 50);
    assert_eq!(window.check(ms(9_000), 50), Admit::Now);
    assert!((window.factor() - 1.0).abs() < 1e-9);
}

#[test]
fn slowing_ends_at_a_tenth_and_at_one_permit() {
    let (mut wide, mut narrow) = (window(50), window(3));
    for second in 0..100 {
        // A little under two spans apart, so recovery cannot keep up.
        wide.slow(ms(second * 1_000));
        wide.slow(ms(second * 1_000 + 500));
        narrow.slow(ms(second * 1_000));
        narrow.slow(ms(second * 1_000 + 500));
    }
    assert_eq!(wide.available(ms(99_500)), 5);
    assert_eq!(narrow.available(ms(99_500)), 1);
}

#[test]
fn spacing_spreads_the_permits_over_the_span() {
    let mut window = window(10).with_spacing(true);
    window.take(ms(0), 1);
    assert_eq!(window.check(ms(0), 1), Admit::At(ms(100)));
    window.take(ms(100), 3);
    assert_eq!(window.check(ms(250), 1), Admit::At(ms(400)));
    window.slow(ms(250));
    window.take(ms(400), 1);
    assert_eq!(window.check(ms(400), 1), Admit::At(ms(525)));
}

#[test]
fn answers_of_the_same_microsecond_share_one_entry() {
    let mut window = window(1_000);
    window.take(ms(0), 1_000);
    for _ in 0..1_000 {
        window.answered(ms(5), 1);
    }
    assert_eq!(window.cooling_entries(), 1);
    assert_eq!(window.available(ms(1_005)), 1_000);
}

#[test]
fn the_largest_numbers_do_no_harm() {
    let mut window = window(u32::MAX);
    window.take(ms(0), u32::MAX);
    window.answered(Moment::NEVER, u32::MAX);
    assert_eq!(window.check(ms(1), 1), Admit::At(Moment::NEVER));
    assert_eq!(window.check(ms(1), 0), Admit::Now);
}

#[test]
fn requests_of_an_earlier_process_hold_their_permits_until_their_time() {
    let mut window = window(3);
    window.recall(ms(0), ms(0), 1);
    assert_eq!(window.available(ms(0)), 3, "what is back already is not held");
    window.recall(ms(0), ms(400), 2);
    window.recall(ms(0), ms(900), 5);
    assert_eq!(window.available(ms(0)), 0, "no more than the limit is taken in");
    assert_eq!(window.check(ms(0), 1), Admit::At(ms(400)));
    assert_eq!(window.available(ms(400)), 2);
    assert_eq!(window.available(ms(900)), 3);
}
