//! The engine's own time: whole microseconds since the run began.
//!
//! Policies reckon in moments and never read a clock, so a run of forty minutes is tested in a
//! second and every decision can be repeated exactly. This file owns the arithmetic, which
//! saturates instead of wrapping; it must never learn what time it is.

use std::ops::{Add, AddAssign};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time, in microseconds since the run began.
///
/// Moments of two different runs have nothing to do with each other. Wall-clock times are labels
/// for people and are kept elsewhere.
#[derive(
    Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Moment(u64);

impl Moment {
    /// The beginning of the run.
    pub const ZERO: Self = Self(0);

    /// A moment that does not come, about 584,000 years after the beginning.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment this many microseconds after the beginning.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the beginning.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this moment, zero when `earlier` is in truth the later one.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Adds a span and stops at [`Moment::NEVER`]. A part of a microsecond counts as a whole one, so
/// that a wait is never cut short by rounding.
impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let micros = u64::try_from(span.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_saturates_at_never() {
        assert_eq!(Moment::NEVER + Duration::from_secs(1), Moment::NEVER);
        assert_eq!(Moment::ZERO + Duration::MAX, Moment::NEVER);
    }

    #[test]
    fn a_part_of_a_microsecond_counts_as_a_whole_one() {
        let mut moment = Moment::from_micros(10);
        moment += Duration::from_nanos(1);
        assert_eq!(moment.as_micros(), 11);
        moment += Duration::from_micros(4);
        assert_eq!(moment.as_micros(), 15);
    }

    #[test]
    fn time_since_a_later_moment_is_zero() {
        let (early, late) = (Moment::from_micros(3), Moment::from_micros(8));
        assert_eq!(late.saturating_since(early), Duration::from_micros(5));
        assert_eq!(early.saturating_since(late), Duration::ZERO);
    }

    #[test]
    fn serialises_as_a_plain_number() {
        let text = serde_json::to_string(&Moment::from_micros(1_500)).expect("a number is JSON");
        assert_eq!(text, "1500");
        assert_eq!(serde_json::from_str::<Moment>(&text).unwrap(), Moment::from_micros(1_500));
    }
}
