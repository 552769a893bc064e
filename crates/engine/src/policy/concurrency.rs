//! Law: the number of requests on the wire grows by one per round trip while that costs no latency,
//! shrinks by a tenth when the remote pushes back or slows down, and never leaves its bounds.
//!
//! Worked example, limit 10: ten requests were on the wire during the last round trip, nobody
//! pushed back, and the mean latency was 80 ms against an average of 80 ms, so the limit becomes
//! 11. Then the remote saturates, the mean rises to 140 ms while the average is 82 ms with a
//! deviation of 4 ms: 140 is above 82 + 2.5 x 4, so the limit becomes 9.
//!
//! It grows only with evidence that the limit was in use, so an idle run does not drift to the
//! maximum. Only successful answers measure latency: a refusal is quick and says nothing of load.
//! Waiting for a quota or between attempts is no latency; the caller measures attempts only.

use std::time::Duration;

pub use super::Bounds;
use crate::moment::Moment;

/// Bounds for remotes that state none.
pub const ADAPTIVE_DEFAULT: Bounds = Bounds { min: 1, max: 200, start: 4 };

/// The weight of the newest round trip in the average.
const NEWEST: f64 = 0.4;
/// Deviations above the average from which latency counts as push-back.
const DEVIATIONS: f64 = 2.5;
/// Differences below one percent are the noise of timers and rounding, not news.
const NOISE: f64 = 0.01;

/// How a request ended, as far as concurrency is concerned.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A good answer: its latency counts.
    Success,
    /// The remote could not keep up: refused, unavailable, or no answer in time.
    PushBack,
    /// Anything else, such as a rejected request. It only leaves the wire.
    Other,
}

/// The end of one request.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Finish {
    /// From the start of this attempt to its end.
    pub latency: Duration,
    /// How it ended.
    pub kind: Kind,
}

/// The bound on requests on the wire of one remote.
#[derive(Clone, Debug)]
pub struct Concurrency {
    limit: u32,
    in_flight: u32,
    adaptive: Option<Adaptive>,
}

impl Concurrency {
    /// A limit that stays as it is set. Zero is read as one.
    #[must_use]
    pub fn fixed(limit: u32) -> Self {
        Self { limit: limit.max(1), in_flight: 0, adaptive: None }
    }

    /// A limit that follows the remote within these bounds.
    #[must_use]
    pub fn adaptive(bounds: Bounds) -> Self {
        let bounds = bounds.ordered();
        Self { limit: bounds.start, in_flight: 0, adaptive: Some(Adaptive::new(bounds)) }
    }

    /// How many requests may be on the wire, at least one.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// How many are.
    #[must_use]
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether one more may start.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.has_room_beside(0)
    }

    /// Whether one more may start while so many places are kept for others.
    #[must_use]
    pub const fn has_room_beside(&self, kept: u32) -> bool {
        self.in_flight.saturating_add(kept) < self.limit
    }

    /// A request starts. Only after [`Concurrency::has_room`].
    pub fn started(&mut self, _now: Moment) {
        debug_assert!(self.has_room(), "started without room");
        self.in_flight += 1;
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.reached |= self.in_flight >= self.limit;
        }
    }

    /// A request ended, well or not. To be called once for every start.
    pub fn finished(&mut self, now: Moment, finish: Finish) {
        debug_assert!(self.in_flight > 0, "finished more than started");
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(adaptive) = &mut self.adaptive {
            self.limit = adaptive.finished(now, finish, self.limit);
        }
    }

    /// Sets the limit from outside. An adaptive one goes on from there, within its bounds. What is
    /// on the wire beyond a lower limit stays there until it is answered.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = match &self.adaptive {
            Some(adaptive) => limit.clamp(adaptive.bounds.min, adaptive.bounds.max),
            None => limit.max(1),
        };
    }
}

/// What was seen in the present round trip, and the average of those before.
#[derive(Clone, Debug)]
struct Adaptive {
    bounds: Bounds,
    past: Option<Average>,
    latency_sum: f64,
    latency_count: u32,
    pushed_back: bool,
    reached: bool,
    round_ends: Moment,
}

impl Adaptive {
    const fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            past: None,
            latency_sum: 0.0,
            latency_count: 0,
            pushed_back: false,
            reached: false,
            round_ends: Moment::ZERO,
        }
    }

    fn finished(&mut self, now: Moment, finish: Finish, limit: u32) -> u32 {
        match finish.kind {
            Kind::Success => {
                self.latency_sum += finish.latency.as_secs_f64();
                self.latency_count += 1;
            }
            Kind::PushBack => self.pushed_back = true,
            Kind::Other => {}
        }
        if now < self.round_ends {
            return limit;
        }
        let latency =
            (self.latency_count > 0).then(|| self.latency_sum / f64::from(self.latency_count));
        let next = self.next_limit(limit, latency);
        self.next_round(now, latency, finish.latency);
        next
    }

    fn next_limit(&self, limit: u32, latency: Option<f64>) -> u32 {
        let (calm, slow) = match (self.past, latency) {
            (Some(past), Some(latency)) => (past.covers(latency), past.is_exceeded_by(latency)),
            _ => (false, false),
        };
        if self.pushed_back || slow {
            (limit - limit.div_ceil(10)).max(self.bounds.min)
        } else if self.reached && calm {
            (limit + 1).min(self.bounds.max)
        } else {
            limit
        }
    }

    /// The next round lasts as long as an average answer takes, or, before any success, as long as
    /// the answer just seen.
    fn next_round(&mut self, now: Moment, latency: Option<f64>, last: Duration) {
        if let Some(latency) = latency {
            self.past = Some(match self.past {
                Some(past) => past.with(latency),
                None => Average { mean: latency, variance: 0.0 },
            });
        }
        let length = self.past.map_or(last, |past| Duration::from_secs_f64(past.mean));
        *self = Self { past: self.past, round_ends: now + length, ..Self::new(self.bounds) };
    }
}

/// An average that forgets, with its variance, in seconds.
#[derive(Copy, Clone, Debug)]
struct Average {
    mean: f64,
    variance: f64,
}

impl Average {
    fn with(self, point: f64) -> Self {
        let difference = point - self.mean;
        let step = NEWEST * difference;
        Self {
            mean: self.mean + step,
            variance: (1.0 - NEWEST) * (self.variance + difference * step),
        }
    }

    fn covers(self, point: f64) -> bool {
        point <= self.mean * (1.0 + NOISE)
    }

    fn is_exceeded_by(self, point: f64) -> bool {
        point > self.mean + (DEVIATIONS * self.variance.sqrt()).max(self.mean * NOISE)
    }
}
