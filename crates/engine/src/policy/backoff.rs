//! Law: the wait before the next attempt doubles up to a maximum, half of it fixed and half of it
//! chance, and a wait the server asked for is never cut.
//!
//! Worked example with base 250 ms and maximum 30 s: after the first failed attempt the wait lies
//! between 125 and 250 ms, after the second between 250 and 500 ms, after the third between 500 ms
//! and 1 s, and from the eighth on between 15 and 30 s.
//!
//! Why half fixed ("equal jitter") and not all chance: all chance may draw nearly zero, and a
//! remote that just failed would be asked again at once. The spread is needed only so that requests
//! which failed together do not return together, and half of the wait is spread enough for that.

use std::time::Duration;

/// The wait between attempts of one request.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The longest wait after the first failed attempt.
    pub base: Duration,
    /// The longest wait of all.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_millis(250), max: Duration::from_secs(30) }
    }
}

/// The longest wait a server can ask for. A longer one is asked about again after this time, so a
/// mistaken header cannot put a run to sleep for a day.
pub const SERVER_WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// Chance added on top of a wait the server asked for, so that not everybody returns in the same
/// millisecond.
pub const SERVER_WAIT_JITTER: Duration = Duration::from_millis(250);

impl Backoff {
    /// The wait after this many failed attempts, counted from one (zero is read as one).
    /// `unit_random` is a number from zero up to one; anything else is moved there.
    #[must_use]
    pub fn wait(&self, attempt: u32, unit_random: f64) -> Duration {
        let half = self.longest(attempt) / 2;
        half + half.mul_f64(unit(unit_random))
    }

    /// The longest wait that [`Backoff::wait`] can give after this many failed attempts.
    #[must_use]
    pub fn longest(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.max)
    }

    /// The wait when the server said how long: what it said, up to [`SERVER_WAIT_MAX`], plus up to
    /// [`SERVER_WAIT_JITTER`]. Below that maximum it is never less than what the server said,
    /// whatever the base and the maximum of this back-off are.
    #[must_use]
    pub fn server_wait(&self, told: Duration, unit_random: f64) -> Duration {
        told.min(SERVER_WAIT_MAX) + SERVER_WAIT_JITTER.mul_f64(unit(unit_random))
    }
}

fn unit(random: f64) -> f64 {
    if random.is_nan() { 0.0 } else { random.clamp(0.0, 1.0) }
}
