//! How a remote behaves under load: slower with every request in flight, much slower past a knee,
//! and full at a limit. It is what a client's adaptive concurrency is judged by.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use windlass_sim::parse_span;

use super::outage::Remote;

/// The answering times of each remote, as flags. The default is none at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct LoadOptions {
    /// How long a remote takes for a request that is alone
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "0")]
    pub delay_base: Duration,
    /// How much longer for every other request of that remote in flight
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "0")]
    pub delay_slope: Duration,
    /// The requests in flight beyond which the time doubles with every quarter more
    #[arg(long, value_name = "REQUESTS")]
    pub knee: Option<u32>,
    /// The requests in flight of a remote that it takes at most
    #[arg(long, value_name = "REQUESTS")]
    pub hard_limit: Option<u32>,
    /// What happens to a request beyond --hard-limit
    #[arg(long, value_enum, default_value_t)]
    pub over_limit: OverLimit,
}

/// What happens to a request beyond the hard limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OverLimit {
    /// It is answered 503.
    #[default]
    Unavailable,
    /// It is answered 429.
    TooMany,
    /// Its connection is cut.
    Drop,
}

/// The longest time that the doubling past the knee can lead to.
const LONGEST: Duration = Duration::from_secs(60);

impl LoadOptions {
    /// How long a remote takes for a request, itself included in the number in flight.
    #[must_use]
    pub fn delay(&self, in_flight: u32) -> Duration {
        let others = in_flight.saturating_sub(1);
        let linear = self.delay_base.saturating_add(self.delay_slope.saturating_mul(others));
        let Some(knee) = self.knee.filter(|knee| in_flight > *knee) else { return linear };
        let quarters = f64::from(in_flight - knee) / (f64::from(knee.max(1)) / 4.0);
        let longest = LONGEST.max(linear);
        let seconds = linear.as_secs_f64() * quarters.min(64.0).exp2();
        Duration::try_from_secs_f64(seconds).map_or(longest, |delay| delay.min(longest))
    }

    pub(super) fn is_over(&self, in_flight: u32) -> bool {
        self.hard_limit.is_some_and(|most| in_flight > most)
    }
}

/// How one remote was used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests in flight now.
    pub in_flight: u32,
    /// The most that there ever were.
    pub most_in_flight: u32,
    /// Requests by the status of their answer; 0 is a cut connection.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests whose client went away before the answer.
    pub abandoned: u64,
}

/// The traffic of all remotes.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    all: Mutex<[Traffic; 3]>,
}

impl Gauges {
    fn all(&self) -> MutexGuard<'_, [Traffic; 3]> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn of(&self, remote: Remote) -> Traffic {
        self.all()[remote as usize].clone()
    }

    /// Counts a request until its visit ends.
    pub(super) fn enter(&self, remote: Remote) -> Visit<'_> {
        let mut all = self.all();
        let traffic = &mut all[remote as usize];
        traffic.in_flight += 1;
        traffic.most_in_flight = traffic.most_in_flight.max(traffic.in_flight);
        Visit { in_flight: traffic.in_flight, remote, status: None, gauges: self }
    }
}

/// One request in flight. Dropped without an answer, it counts as abandoned.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    pub in_flight: u32,
    remote: Remote,
    status: Option<u16>,
    gauges: &'a Gauges,
}

impl Visit<'_> {
    /// Ends the visit with the status of its answer, 0 for a cut connection.
    pub(super) fn end(mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut all = self.gauges.all();
        let traffic = &mut all[self.remote as usize];
        traffic.in_flight -= 1;
        match self.status {
            Some(status) => *traffic.statuses.entry(status).or_default() += 1,
            None => traffic.abandoned += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_grows_by_the_slope_and_doubles_past_the_knee() {
        let ms = Duration::from_millis;
        let load = LoadOptions {
            delay_base: ms(100),
            delay_slope: ms(10),
            knee: Some(8),
            hard_limit: Some(20),
            ..LoadOptions::default()
        };
        assert_eq!([1, 2, 8].map(|n| load.delay(n)), [100, 110, 170].map(ms));
        // With a knee of 8, two more requests are a quarter.
        assert_eq!(load.delay(10), ms(190 * 2));
        assert_eq!(load.delay(12), ms(210 * 4));
        assert_eq!(load.delay(10_000), Duration::from_micros(100_090_000));
        assert_eq!([20, 21].map(|n| load.is_over(n)), [false, true]);
        assert_eq!(LoadOptions::default().delay(1_000), Duration::ZERO);
    }
}
