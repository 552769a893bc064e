//! When requests are due. A thread of its own releases each at its moment, since timers of the
//! asynchronous runtime have a resolution of one millisecond, which is more than an answer takes.

use super::{Pace, Plan};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Due {
    /// When; in a closed loop, when it is sent.
    pub(super) at: Instant,
    /// Its number in the run.
    pub(super) number: u64,
}

/// The requests of a run.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    connections: usize,
    begin: Instant,
    /// What is due from here on is measured.
    pub(super) measured_from: Instant,
    /// Nothing is due from here on.
    pub(super) end: Instant,
    /// What is not sent by then is given up.
    pub(super) give_up: Instant,
    due: Mutex<State>,
    /// A permit for each request that is due.
    ready: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Due>,
    /// The next number of a closed loop.
    next: u64,
}

/// How many requests are released at once at most, before connections get to see them.
const RELEASE_MAX: usize = 256;

impl Schedule {
    pub(super) fn new(plan: &Plan, begin: Instant) -> Self {
        let measured_from = begin + plan.warmup;
        let end = measured_from + plan.duration;
        Self {
            pace: plan.pace,
            connections: plan.connections,
            begin,
            measured_from,
            end,
            give_up: end + plan.timeout,
            due: Mutex::default(),
            ready: Semaphore::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases requests until the end; returns at once for a closed loop.
    pub(super) fn release(&self) {
        let mut random = fastrand::Rng::new();
        let mut number = 0_u64;
        let mut at = self.begin;
        while self.pace != Pace::Closed && at < self.end {
            let now = Instant::now();
            if at > now {
                std::thread::sleep(at - now);
                continue;
            }
            let mut count = 0;
            let mut state = self.state();
            while at <= now && at < self.end && count < RELEASE_MAX {
                state.waiting.push_back(Due { at, number });
                (number, count) = (number + 1, count + 1);
                at = self.next(at, number, &mut random);
            }
            drop(state);
            self.ready.add_permits(count);
        }
        // Each connection gets one more, finds nothing, and ends.
        self.ready.add_permits(self.connections);
    }

    fn next(&self, last: Instant, number: u64, random: &mut fastrand::Rng) -> Instant {
        match self.pace {
            // From the beginning, so that no rounding adds up.
            Pace::Fixed(rate) => self.begin + Duration::from_secs_f64(number as f64 / rate),
            Pace::Poisson(rate) => {
                last + Duration::from_secs_f64(-(1.0 - random.f64()).ln() / rate)
            }
            Pace::Closed => last,
        }
    }

    /// The next request for a connection that is free; `None` at the end.
    pub(super) async fn next_due(&self) -> Option<Due> {
        if self.pace == Pace::Closed {
            let at = Instant::now();
            if at >= self.end {
                return None;
            }
            let mut state = self.state();
            state.next += 1;
            return Some(Due { at, number: state.next - 1 });
        }
        self.ready.acquire().await.ok()?.forget();
        if Instant::now() >= self.give_up {
            return None;
        }
        self.state().waiting.pop_front()
    }

    /// What was due and never sent.
    pub(super) fn unsent(&self) -> Vec<Due> {
        self.state().waiting.iter().copied().collect()
    }

    /// Whether a request is measured, and not of the warm-up.
    pub(super) fn is_measured(&self, due: Due) -> bool {
        due.at >= self.measured_from
    }
}
