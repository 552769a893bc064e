//! The estimate is checked against a run whose end is known: 500 steps through `50/60s` with a
//! round trip of 0.1 s take nine rounds of 60.1 s.

use super::{Deaf, Feed, header, seconds, window};
use crate::display::pace::Pace;
use windlass_engine::event::Waiting;
use windlass_engine::remote::Meter;

const STEPS: u64 = 500;
const END: f64 = 9.0 * 60.1;

fn meter(available: u32) -> Meter {
    let waiting = (available == 0).then(|| Waiting::Quota("writes".into()));
    let windows = vec![window("writes", "50/60s", available), window("all", "6000/60s", 5000)];
    Meter { windows, waiting, ..Meter::default() }
}

#[test]
fn it_counts_down_evenly_through_a_lumpy_quota() {
    let plan = header(STEPS, 0);
    let mut feed = Feed::started(&plan, Deaf);
    let mut pace = Pace::new(seconds(0.0), STEPS);
    let (mut settled, mut told) = (0, None::<f64>);
    for tenth in 1..(END * 10.0) as u64 {
        let now = tenth as f64 / 10.0;
        let due = (((now / 60.1).floor() as u64) + 1) * 50;
        feed.done(now, settled..due.min(STEPS));
        settled = due.min(STEPS);
        pace.observe(seconds(now), &meter(0));
        let eta = pace.eta(seconds(now), STEPS - settled, &feed.tally, &meter(0)).unwrap();
        let eta = eta.as_secs_f64();
        assert!((eta - (END - now)).abs() < 1.1, "at {now}: {eta}");
        if let Some(last) = told {
            assert!((last - eta - 0.1).abs() < 0.5, "at {now}: from {last} to {eta}");
        }
        told = Some(eta);
    }
}

#[test]
fn a_phase_that_something_else_limits_is_told_by_its_average() {
    let plan = header(STEPS, 0);
    let mut feed = Feed::started(&plan, Deaf);
    let mut pace = Pace::new(seconds(0.0), STEPS);
    for second in 1..=100u32 {
        let now = f64::from(second);
        feed.done(now, u64::from(second) * 2 - 2..u64::from(second) * 2);
        pace.observe(seconds(now), &meter(50 - second % 2));
    }
    // Two a second can't come through this window of 50 in 60 s: it is not what limits.
    let eta = pace.eta(seconds(100.0), 300, &feed.tally, &meter(40)).unwrap();
    assert!((145.0..155.0).contains(&eta.as_secs_f64()), "{eta:?}");
}

#[test]
fn a_phase_behind_its_schedule_is_told_by_its_average() {
    let plan = header(STEPS, 0);
    let mut feed = Feed::started(&plan, Deaf);
    let mut pace = Pace::new(seconds(0.0), STEPS);
    pace.observe(seconds(0.1), &meter(0));
    feed.done(150.0, 0..50);
    pace.observe(seconds(150.0), &meter(0));
    let eta = pace.eta(seconds(150.0), 450, &feed.tally, &meter(0)).unwrap();
    assert!((1345.0..1355.0).contains(&eta.as_secs_f64()), "{eta:?}");
}

#[test]
fn the_first_burst_does_not_promise_too_much() {
    let plan = header(STEPS, 0);
    let mut feed = Feed::started(&plan, Deaf);
    let mut pace = Pace::new(seconds(0.0), STEPS);
    feed.done(0.2, 0..50);
    pace.observe(seconds(0.2), &meter(0));
    let eta = pace.eta(seconds(0.2), 450, &feed.tally, &meter(0)).unwrap();
    assert!(eta.as_secs_f64() > 500.0, "{eta:?}");
}

#[test]
fn a_pause_is_neither_progress_nor_delay() {
    let plan = header(100, 0);
    let mut feed = Feed::started(&plan, Deaf);
    let mut pace = Pace::new(seconds(0.0), 100);
    let (at_work, paused) = (Meter::default(), Meter { paused: true, ..Meter::default() });
    feed.done(10.0, 0..50);
    pace.observe(seconds(10.0), &at_work);
    pace.observe(seconds(1000.0), &paused);
    assert_eq!(pace.eta(seconds(1000.0), 50, &feed.tally, &paused), None);
    pace.observe(seconds(1000.1), &at_work);
    let eta = pace.eta(seconds(1000.1), 50, &feed.tally, &at_work).unwrap();
    assert!((9.5..10.5).contains(&eta.as_secs_f64()), "{eta:?}");
}

#[test]
fn nobody_knows_before_the_first_answer() {
    let plan = header(100, 0);
    let feed = Feed::started(&plan, Deaf);
    let pace = Pace::new(seconds(0.0), 100);
    assert_eq!(pace.eta(seconds(0.5), 100, &feed.tally, &Meter::default()), None);
}
