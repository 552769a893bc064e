//! Waits between attempts: their envelope, their spread and the largest numbers.

use std::time::Duration;

use proptest::prelude::*;

use crate::policy::backoff::{Backoff, SERVER_WAIT_JITTER, SERVER_WAIT_MAX};

const ALMOST_ONE: f64 = 1.0 - f64::EPSILON;

#[test]
fn worked_example() {
    let backoff = Backoff::default();
    let cases = [(1, 125, 250), (2, 250, 500), (3, 500, 1_000), (8, 15_000, 30_000)];
    for (attempt, least, most) in cases {
        assert_eq!(backoff.wait(attempt, 0.0), Duration::from_millis(least));
        let longest = backoff.wait(attempt, ALMOST_ONE);
        assert!(Duration::from_millis(most) - longest < Duration::from_micros(1), "{longest:?}");
    }
    assert_eq!(backoff.wait(0, 0.5), backoff.wait(1, 0.5));
}

#[test]
fn the_largest_numbers_do_no_harm() {
    let longest = Backoff { base: Duration::MAX, max: Duration::MAX };
    assert_eq!(longest.wait(u32::MAX, 0.0), Duration::MAX / 2);
    assert!(longest.wait(u32::MAX, 1.0) <= Duration::MAX);
    let none = Backoff { base: Duration::ZERO, max: Duration::ZERO };
    assert_eq!(none.wait(u32::MAX, 1.0), Duration::ZERO);
}

#[test]
fn a_server_is_believed_for_ten_minutes() {
    let backoff = Backoff::default();
    assert_eq!(backoff.server_wait(Duration::from_secs(60), 0.0), Duration::from_secs(60));
    assert_eq!(backoff.server_wait(Duration::MAX, 0.0), SERVER_WAIT_MAX);
    assert_eq!(backoff.server_wait(Duration::ZERO, 1.0), SERVER_WAIT_JITTER);
}

proptest! {
    #[test]
    fn waits_stay_within_an_envelope_that_only_widens(
        base in 1..10_000_000_u64, max in 1..100_000_000_u64, attempt: u32, random in 0.0..1.0_f64
    ) {
        let backoff =
            Backoff { base: Duration::from_micros(base), max: Duration::from_micros(max) };
        let wait = backoff.wait(attempt, random);
        prop_assert!(wait >= backoff.longest(attempt) / 2);
        prop_assert!(wait <= backoff.longest(attempt));
        prop_assert!(backoff.longest(attempt) <= backoff.max);
        prop_assert!(backoff.longest(attempt) <= backoff.longest(attempt.saturating_add(1)));
        prop_assert!(wait <= backoff.wait(attempt.saturating_add(1), random));
    }

    #[test]
    fn a_server_wait_is_never_cut(told in 0..=600_000_u64, random: f64) {
        let told = Duration::from_millis(told);
        let wait = Backoff::default().server_wait(told, random);
        prop_assert!(wait >= told && wait <= told + SERVER_WAIT_JITTER);
    }
}
