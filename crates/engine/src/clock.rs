//! The one clock: tokio's, so that tests can pause it, read as [`Moment`]s since the run began.

use crate::moment::Moment;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Reads the time of a run. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose moment zero is now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The present moment, in microseconds since the start.
    #[must_use]
    pub fn now(&self) -> Moment {
        let micros = self.origin.elapsed().as_micros();
        Moment::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Sleeps for so long.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Sleeps until `moment`, rounded up to the timer's millisecond. A past moment returns at once.
    pub async fn sleep_until(&self, moment: Moment) {
        let since_start = moment.saturating_since(Moment::ZERO);
        match self.origin.checked_add(since_start) {
            Some(instant) => tokio::time::sleep_until(instant).await,
            None => std::future::pending().await,
        }
    }
}

/// The wall clock in milliseconds since 1970, for labels and ages only, never for waiting.
#[must_use]
pub fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
