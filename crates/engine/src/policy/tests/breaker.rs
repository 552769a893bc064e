//! The breaker, by hand and through random histories in which requests answer in any order.

use std::time::Duration;

use proptest::prelude::*;

use super::ms;
use crate::moment::Moment;
use crate::policy::breaker::{Admit, Breaker, Rules, State};

/// A breaker that ten failures in a row opened at this moment, with nothing on the wire.
fn opened_at(now: Moment) -> Breaker {
    let mut breaker = Breaker::default();
    (0..10).for_each(|_| breaker.started(now));
    (0..10).for_each(|_| breaker.failed(now));
    breaker
}

#[test]
fn worked_example() {
    let mut breaker = opened_at(ms(4_000));
    assert_eq!(breaker.state(), State::Open { until: ms(5_000) });
    let mut now = ms(5_000);
    for seconds in [2, 4, 8, 16, 32, 60, 60] {
        let before = Moment::from_micros(now.as_micros() - 1);
        assert_eq!(breaker.check(before), Admit::At(now));
        assert_eq!(breaker.check(now), Admit::Now);
        breaker.started(now);
        assert_eq!(breaker.check(now), Admit::WhenAnswered);
        breaker.failed(now);
        now += Duration::from_secs(seconds);
        assert_eq!(breaker.state(), State::Open { until: now });
    }
    for expected in [State::HalfOpen, State::Closed] {
        breaker.started(now);
        assert_eq!(breaker.state(), State::HalfOpen);
        breaker.succeeded(now);
        assert_eq!(breaker.state(), expected);
    }
    (0..10).for_each(|_| breaker.started(now));
    (0..10).for_each(|_| breaker.failed(now));
    assert_eq!(breaker.state(), State::Open { until: now + Duration::from_secs(1) });
}

#[test]
fn only_failures_in_a_row_open_it() {
    let mut breaker = Breaker::default();
    for round in 0..40 {
        breaker.started(ms(round));
        if round % 10 == 9 {
            breaker.succeeded(ms(round))
        } else {
            breaker.failed(ms(round))
        }
        assert_eq!(breaker.state(), State::Closed);
    }
}

#[test]
fn ignored_answers_neither_break_a_row_nor_add_to_it() {
    let mut breaker = Breaker::default();
    for _ in 0..9 {
        breaker.started(ms(0));
        breaker.failed(ms(0));
        breaker.started(ms(0));
        breaker.ignored(ms(0));
    }
    assert_eq!(breaker.state(), State::Closed);
    breaker.started(ms(0));
    breaker.failed(ms(0));
    assert_eq!(breaker.state(), State::Open { until: ms(1_000) });
}

#[test]
fn an_ignored_probe_makes_room_for_the_next_one() {
    let mut breaker = opened_at(ms(0));
    breaker.started(ms(1_000));
    breaker.ignored(ms(1_100));
    assert_eq!(breaker.state(), State::HalfOpen);
    assert_eq!(breaker.check(ms(1_100)), Admit::Now);
}

#[test]
fn probes_must_succeed_one_after_the_other() {
    let mut breaker = opened_at(ms(0));
    breaker.started(ms(1_000));
    breaker.succeeded(ms(1_000));
    breaker.started(ms(1_000));
    breaker.failed(ms(1_000));
    breaker.started(ms(3_000));
    breaker.succeeded(ms(3_000));
    assert_eq!(breaker.state(), State::HalfOpen, "the success before the failure is forgotten");
}

#[test]
fn late_answers_of_earlier_requests_do_not_count_as_probes() {
    let mut breaker = Breaker::default();
    (0..13).for_each(|_| breaker.started(ms(0)));
    (0..10).for_each(|_| breaker.failed(ms(10)));
    assert_eq!(breaker.check(ms(10)), Admit::At(ms(1_010)));
    assert_eq!(breaker.check(ms(1_010)), Admit::WhenAnswered, "three are still on the wire");
    breaker.succeeded(ms(1_100));
    breaker.succeeded(ms(1_200));
    breaker.failed(ms(1_300));
    assert_eq!(breaker.state(), State::Open { until: ms(1_010) });
    assert_eq!(breaker.check(ms(1_300)), Admit::Now);
}

#[derive(Clone, Debug)]
enum Act {
    Start(u32),
    Succeed,
    Fail,
    Ignore,
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => (1..6_u32).prop_map(Act::Start),
        2 => Just(Act::Succeed),
        4 => Just(Act::Fail),
        1 => Just(Act::Ignore),
        2 => (0..2_000_000_u64).prop_map(Act::Pass),
    ]
}

proptest! {
    #[test]
    fn never_admits_more_than_its_probes(
        failures in 1..6_u32, probes in 1..4_u32, acts in prop::collection::vec(act(), 1..200)
    ) {
        let rules = Rules { failures, probes, ..Rules::default() };
        let mut breaker = Breaker::new(rules);
        let mut now = Moment::ZERO;
        let mut on_wire = 0_u32;
        for act in acts {
            match act {
                Act::Start(times) => (0..times).for_each(|_| {
                    if breaker.check(now) == Admit::Now {
                        breaker.started(now);
                        on_wire += 1;
                    }
                }),
                Act::Pass(micros) => now += Duration::from_micros(micros),
                _ if on_wire == 0 => {}
                Act::Succeed => { breaker.succeeded(now); on_wire -= 1; }
                Act::Fail => { breaker.failed(now); on_wire -= 1; }
                Act::Ignore => { breaker.ignored(now); on_wire -= 1; }
            }
            match breaker.check(now) {
                Admit::At(at) => prop_assert!(at > now && at <= now + rules.open_for_max),
                Admit::WhenAnswered => prop_assert!(on_wire > 0),
                Admit::Now => {}
            }
            if breaker.state() == State::HalfOpen {
                prop_assert!(on_wire <= 1, "{on_wire} probes at once");
            }
        }
    }

    #[test]
    fn a_remote_that_recovers_is_used_again(failed_probes in 0..12_u32) {
        let mut breaker = opened_at(ms(0));
        let mut now = ms(0);
        for probe in 0..failed_probes + 2 {
            if let Admit::At(at) = breaker.check(now) {
                now = at;
            }
            breaker.started(now);
            if probe < failed_probes { breaker.failed(now) } else { breaker.succeeded(now) }
        }
        prop_assert_eq!(breaker.state(), State::Closed);
    }
}
