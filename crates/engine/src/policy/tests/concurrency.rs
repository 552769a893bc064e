//! The concurrency limit against remotes described by a few numbers.
//!
//! Method: a closed loop in virtual time keeps as many requests on the wire as the limit allows.
//! The remote answers in its base latency up to its knee, proportionally later beyond, and refuses
//! beyond its wall.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use proptest::prelude::*;

use super::ms;
use crate::moment::Moment;
use crate::policy::concurrency::{ADAPTIVE_DEFAULT, Bounds, Concurrency, Finish, Kind};

#[derive(Copy, Clone, Debug)]
struct Remote {
    base_ms: u64,
    knee: u32,
    wall: u32,
}

const CONSTANT: Remote = Remote { base_ms: 50, knee: u32::MAX, wall: u32::MAX };

struct Loop {
    concurrency: Concurrency,
    now: Moment,
    wire: BinaryHeap<Reverse<(Moment, Moment, bool)>>,
}

impl Loop {
    fn new(concurrency: Concurrency) -> Self {
        Self { concurrency, now: Moment::ZERO, wire: BinaryHeap::new() }
    }

    /// Sees this many answers and returns the limit after each.
    fn run(&mut self, remote: Remote, answers: usize) -> Vec<u32> {
        (0..answers).map(|_| self.step(remote)).collect()
    }

    fn step(&mut self, remote: Remote) -> u32 {
        while self.concurrency.has_room() {
            self.concurrency.started(self.now);
            let load = self.concurrency.in_flight();
            let over = f64::from(load) / f64::from(remote.knee);
            let latency = Duration::from_millis(remote.base_ms).mul_f64(over.max(1.0));
            self.wire.push(Reverse((self.now + latency, self.now, load > remote.wall)));
        }
        let Reverse((at, started, refused)) = self.wire.pop().unwrap();
        self.now = at;
        let kind = if refused { Kind::PushBack } else { Kind::Success };
        let latency = at.saturating_since(started);
        self.concurrency.finished(at, Finish { latency, kind });
        self.concurrency.limit()
    }
}

fn bounds(min: u32, max: u32, start: u32) -> Bounds {
    Bounds { min, max, start }
}

#[test]
fn constant_latency_lets_it_grow_to_the_maximum_and_never_shrink() {
    let mut traffic = Loop::new(Concurrency::adaptive(ADAPTIVE_DEFAULT));
    let limits = traffic.run(CONSTANT, 40_000);
    assert!(limits.is_sorted(), "it shrank");
    assert_eq!(limits.last(), Some(&200));
}

#[test]
fn a_limit_that_is_not_used_does_not_grow() {
    let mut concurrency = Concurrency::adaptive(bounds(1, 100, 10));
    for round in 0..1_000 {
        concurrency.started(ms(round * 50));
        let finish = Finish { latency: Duration::from_millis(50), kind: Kind::Success };
        concurrency.finished(ms(round * 50 + 50), finish);
        assert_eq!(concurrency.limit(), 10);
    }
}

#[test]
fn refusals_shrink_it_by_a_tenth_for_each_round_trip() {
    let mut concurrency = Concurrency::adaptive(bounds(1, 100, 100));
    let mut now = ms(0);
    let mut seen = Vec::new();
    for _ in 0..6 {
        for _ in 0..3 {
            concurrency.started(now);
            let latency = Duration::from_millis(20);
            concurrency.finished(now, Finish { latency, kind: Kind::PushBack });
        }
        seen.push(concurrency.limit());
        now += Duration::from_millis(20);
    }
    assert_eq!(seen, [90, 81, 72, 64, 57, 51]);
}

#[test]
fn other_endings_only_leave_the_wire() {
    let mut concurrency = Concurrency::adaptive(bounds(1, 100, 10));
    for round in 0..1_000 {
        (0..10).for_each(|_| concurrency.started(ms(round)));
        let finish = Finish { latency: Duration::from_millis(round), kind: Kind::Other };
        (0..10).for_each(|_| concurrency.finished(ms(round), finish));
    }
    assert_eq!((concurrency.limit(), concurrency.in_flight()), (10, 0));
}

#[test]
fn it_settles_between_idle_and_the_wall_of_a_remote() {
    let remote = Remote { base_ms: 50, knee: u32::MAX, wall: 40 };
    let mut traffic = Loop::new(Concurrency::adaptive(bounds(1, 200, 4)));
    let limits = traffic.run(remote, 40_000);
    // Refusals are known one round trip late, so it oversteps a little and may be cut twice.
    let settled = &limits[20_000..];
    assert!(settled.iter().all(|limit| (30..=43).contains(limit)), "{:?}", settled.iter().max());
}

#[test]
fn it_recovers_after_an_outage() {
    let mut traffic = Loop::new(Concurrency::adaptive(bounds(1, 50, 50)));
    traffic.run(CONSTANT, 500);
    let outage = Remote { wall: 0, ..CONSTANT };
    let limits = traffic.run(outage, 2_000);
    assert_eq!(limits.last(), Some(&1));
    let limits = traffic.run(CONSTANT, 10_000);
    assert_eq!(limits.last(), Some(&50));
}

#[test]
fn a_sudden_rise_of_latency_shrinks_it() {
    let mut traffic = Loop::new(Concurrency::adaptive(bounds(1, 50, 50)));
    traffic.run(CONSTANT, 2_000);
    let slower = Remote { base_ms: 500, ..CONSTANT };
    let limits = traffic.run(slower, 200);
    assert!(limits.iter().min() < Some(&50));
}

#[test]
fn a_rise_within_the_noise_of_timers_does_not_shrink_it() {
    let mut concurrency = Concurrency::adaptive(bounds(1, 100, 10));
    for round in 0..200 {
        concurrency.started(ms(round * 60));
        let micros = if round < 100 { 50_000 } else { 50_300 };
        let finish = Finish { latency: Duration::from_micros(micros), kind: Kind::Success };
        concurrency.finished(ms(round * 60 + 51), finish);
        assert_eq!(concurrency.limit(), 10);
    }
}

#[test]
fn a_fixed_limit_changes_only_by_hand() {
    let mut traffic = Loop::new(Concurrency::fixed(8));
    let outage = Remote { wall: 0, ..CONSTANT };
    assert!(traffic.run(outage, 500).iter().all(|limit| *limit == 8));
    let mut concurrency = traffic.concurrency;
    concurrency.set_limit(2);
    assert!(!concurrency.has_room(), "seven are still on the wire");
    concurrency.set_limit(0);
    assert_eq!(concurrency.limit(), 1);
    concurrency.set_limit(1_000);
    assert!(concurrency.has_room());
}

#[test]
fn bounds_hold_whatever_is_asked() {
    let mut concurrency = Concurrency::adaptive(bounds(5, 2, 90));
    assert_eq!(concurrency.limit(), 5);
    concurrency.set_limit(90);
    assert_eq!(concurrency.limit(), 5);
    assert_eq!(Concurrency::fixed(0).limit(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_stays_within_its_bounds(
        min in 1..10_u32, more in 0..60_u32, start in 0..100_u32,
        phases in prop::collection::vec((0..300_u64, 1..60_u32, 0..80_u32, 1..200_usize), 1..6)
    ) {
        let max = min + more;
        let mut traffic = Loop::new(Concurrency::adaptive(bounds(min, max, start)));
        for (base_ms, knee, wall, answers) in phases {
            for limit in traffic.run(Remote { base_ms, knee, wall }, answers) {
                prop_assert!((min..=max).contains(&limit), "{limit} outside {min}..={max}");
                prop_assert!(traffic.concurrency.in_flight() <= max);
            }
        }
    }

    #[test]
    fn noise_does_not_drive_it_to_the_minimum(
        noise in prop::collection::vec(-10..=10_i64, 50..200)
    ) {
        let mut concurrency = Concurrency::adaptive(bounds(1, 30, 10));
        let mut now = ms(0);
        for percent in noise.iter().cycle().take(2_000) {
            let latency = Duration::from_micros(u64::try_from(50_000 + percent * 500).unwrap());
            let room = concurrency.limit();
            (0..room).for_each(|_| concurrency.started(now));
            now += latency;
            let finish = Finish { latency, kind: Kind::Success };
            (0..room).for_each(|_| concurrency.finished(now, finish));
        }
        prop_assert!(concurrency.limit() >= 5, "{}", concurrency.limit());
    }
}
