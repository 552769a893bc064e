//! What the server's headers said, against a server that counts down to a reset far away.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use proptest::prelude::*;

use super::ms;
use crate::moment::Moment;
use crate::policy::quota::{Admit, SPAN_MAX, Told};

const RESET: u64 = 3_600_000_000;

/// How one request fares, in microseconds, and whether its answer carries the headers.
#[derive(Clone, Debug)]
struct Fate {
    counted_after: u64,
    answered_after: u64,
    silent: bool,
}

/// One thing that happens: the server counts a request, or its answer arrives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Happening {
    Counted(usize),
    Answered(usize),
}

struct Server<'a> {
    fates: &'a [Fate],
    left: u32,
    said: Vec<u32>,
    overdrawn: bool,
    on_wire: u32,
    queue: BinaryHeap<Reverse<(u64, Happening)>>,
}

impl Server<'_> {
    fn send(&mut self, now: u64, index: usize) {
        let fate = &self.fates[index];
        self.on_wire += 1;
        self.queue.push(Reverse((now + fate.counted_after, Happening::Counted(index))));
        self.queue.push(Reverse((now + fate.answered_after, Happening::Answered(index))));
    }

    /// Lets the next thing happen and returns its time.
    fn step(&mut self, told: &mut Told) -> u64 {
        let Reverse((now, happening)) = self.queue.pop().expect("something is on the wire");
        match happening {
            Happening::Counted(index) => {
                self.overdrawn |= self.left == 0;
                self.left = self.left.saturating_sub(1);
                self.said[index] = self.left;
            }
            Happening::Answered(index) => {
                self.on_wire -= 1;
                let at = Moment::from_micros(now);
                if self.fates[index].silent {
                    told.answered(at, 1);
                } else {
                    let left_time = Duration::from_micros(RESET - now);
                    // Servers round to seconds.
                    let rounded = Duration::from_secs(left_time.as_secs() + 1);
                    told.learn(at, self.said[index], rounded, self.on_wire);
                }
            }
        }
        now
    }
}

/// Sends the first request alone, as nothing is known before, then all others greedily. Returns
/// how many the server counted and whether there were ever too many.
fn run(left: u32, fates: &[Fate]) -> (u32, bool) {
    let mut told = Told::new();
    let mut server = Server {
        fates,
        left,
        said: vec![0; fates.len()],
        overdrawn: false,
        on_wire: 0,
        queue: BinaryHeap::new(),
    };
    let mut now = 0;
    for index in 0..fates.len() {
        loop {
            match told.check(Moment::from_micros(now), 1) {
                Admit::Now if index == 1 && server.on_wire > 0 => now = server.step(&mut told),
                Admit::Now => break,
                Admit::WhenAnswered => now = server.step(&mut told),
                Admit::At(at) => {
                    assert!(at.as_micros() >= RESET, "nothing but the reset helps");
                    assert_eq!(server.on_wire, 0, "answers could still bring a better figure");
                    return (left - server.left, server.overdrawn);
                }
            }
        }
        told.take(Moment::from_micros(now), 1);
        server.send(now, index);
    }
    while !server.queue.is_empty() {
        server.step(&mut told);
    }
    (left - server.left, server.overdrawn)
}

fn fate(silent: impl Strategy<Value = bool>) -> impl Strategy<Value = Fate> {
    (1..300_000_u64, 0..=1_000_u64, silent).prop_map(|(answered_after, part, silent)| Fate {
        counted_after: answered_after * part / 1_000,
        answered_after,
        silent,
    })
}

fn loud() -> Fate {
    Fate { counted_after: 10, answered_after: 20, silent: false }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_left_is_used_up_exactly_however_answers_overtake_each_other(
        left in 1..40_u32, fates in prop::collection::vec(fate(Just(false)), 1..80)
    ) {
        let (counted, overdrawn) = run(left, &fates);
        prop_assert!(!overdrawn);
        prop_assert_eq!(counted, left.min(u32::try_from(fates.len()).unwrap()));
    }

    #[test]
    fn silent_answers_neither_overdraw_nor_stall(
        left in 1..40_u32, fates in prop::collection::vec(fate(any::<bool>()), 1..80)
    ) {
        let mut fates = fates;
        fates[0] = loud();
        let (_, overdrawn) = run(left, &fates);
        prop_assert!(!overdrawn);
    }
}

#[test]
fn worked_example() {
    let mut told = Told::new();
    assert_eq!(told.check(ms(0), 1), Admit::Now);
    told.learn(ms(0), 5, Duration::from_secs(30), 3);
    told.take(ms(0), 1);
    assert_eq!(told.check(ms(0), 2), Admit::WhenAnswered);
    told.take(ms(0), 1);
    assert_eq!(told.check(ms(0), 1), Admit::WhenAnswered);
    told.learn(ms(100), 4, Duration::from_secs(30), 4);
    assert_eq!(told.check(ms(100), 1), Admit::WhenAnswered);
    told.learn(ms(200), 0, Duration::from_secs(30), 0);
    assert_eq!(told.check(ms(200), 1), Admit::At(ms(30_200)));
    assert_eq!(told.check(ms(30_200), 1), Admit::Now);
}

#[test]
fn an_overtaken_answer_does_not_raise_the_figure() {
    let mut told = Told::new();
    told.learn(ms(0), 3, Duration::from_secs(30), 1);
    told.learn(ms(10), 9, Duration::from_secs(30), 0);
    for _ in 0..3 {
        told.take(ms(10), 1);
    }
    assert_eq!(told.check(ms(10), 1), Admit::WhenAnswered);
}

#[test]
fn a_silent_answer_that_overtook_a_figure_is_held_against_it() {
    let mut told = Told::new();
    told.learn(ms(0), 5, Duration::from_secs(30), 2);
    told.answered(ms(10), 1);
    // Counted before the silent one, so of these three only two are left.
    told.learn(ms(20), 3, Duration::from_secs(30), 0);
    assert_eq!(told.check(ms(20), 2), Admit::Now);
    assert_eq!(told.check(ms(20), 3), Admit::At(ms(30_020)));
}

#[test]
fn a_later_reset_is_a_new_count() {
    let mut told = Told::new();
    told.learn(ms(0), 0, Duration::from_secs(10), 0);
    assert_eq!(told.check(ms(0), 1), Admit::At(ms(10_000)));
    told.learn(ms(9_000), 50, Duration::from_secs(61), 0);
    assert_eq!(told.check(ms(9_000), 50), Admit::Now);
}

#[test]
fn given_up_requests_are_not_waited_for() {
    let mut told = Told::new();
    told.learn(ms(0), 1, Duration::from_secs(10), 0);
    told.take(ms(0), 1);
    assert_eq!(told.check(ms(1), 1), Admit::WhenAnswered);
    told.answered(ms(2), 1);
    assert_eq!(told.check(ms(2), 1), Admit::At(ms(10_000)));
}

#[test]
fn an_absurd_reset_is_believed_for_a_day() {
    let mut told = Told::new();
    told.learn(ms(0), 0, Duration::MAX, 0);
    assert_eq!(told.check(ms(0), 1), Admit::At(Moment::ZERO + SPAN_MAX));
}
