//! When a phase will be done, honestly.
//!
//! A quota of 50 a minute settles 50 steps in the first second and then none for 59: neither the
//! present rate nor the average says when it ends. So there are two estimates. The schedule is
//! what the quota windows in use allow: a round of `limit` requests every span and round trip.
//! As long as the phase keeps to it, the schedule minus the time so far is the answer, which
//! counts down evenly through the lumps. A phase that is behind its schedule is limited by
//! something else, one ahead of it by less than these windows; then what is left divided by the
//! average says when it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use windlass_engine::Moment;
use windlass_engine::event::Waiting;
use windlass_engine::remote::{Meter, WindowMeter};
use windlass_engine::tally::Tally;

/// How late a phase may be and still count as keeping to its schedule, besides 5 %.
const GRACE: Duration = Duration::from_secs(2);

/// The seconds that [`Tally::rate_now`] looks back on.
const RATE_SPAN: Duration = Duration::from_secs(5);

/// The pace of one phase in this session.
#[derive(Clone, Debug)]
pub struct Pace {
    began: Moment,
    /// Steps without an outcome when it began.
    steps: u64,
    /// Time that it was paused.
    idle: Duration,
    last: Option<Moment>,
    available: BTreeMap<String, u32>,
    /// Windows that this phase was seen to draw from; others do not limit it.
    used: BTreeSet<String>,
}

impl Pace {
    /// A phase that begins now with so many steps to do.
    #[must_use]
    pub fn new(now: Moment, steps: u64) -> Self {
        Self {
            began: now,
            steps,
            idle: Duration::ZERO,
            last: None,
            available: BTreeMap::new(),
            used: BTreeSet::new(),
        }
    }

    /// Takes in that the phase has grown to so many steps.
    pub fn grow(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// Looks at the remote's windows; to be called regularly.
    pub fn observe(&mut self, now: Moment, meter: &Meter) {
        let last = self.last.replace(now).unwrap_or(now);
        if meter.paused {
            self.idle += now.saturating_since(last);
        }
        if let Some(Waiting::Quota(name)) = &meter.waiting {
            self.used.insert(name.clone());
        }
        for window in &meter.windows {
            let before = self.available.insert(window.name.clone(), window.available);
            if before.is_some_and(|before| window.available < before) {
                self.used.insert(window.name.clone());
            }
        }
    }

    /// How long the phase has lasted, pauses included.
    #[must_use]
    pub fn lasted(&self, now: Moment) -> Duration {
        now.saturating_since(self.began)
    }

    /// How many steps of it got their outcome, when so many are left.
    #[must_use]
    pub fn settled(&self, left: u64) -> u64 {
        self.steps.saturating_sub(left)
    }

    /// Steps a second over the time that it was not paused.
    #[must_use]
    pub fn average(&self, now: Moment, left: u64) -> f64 {
        let seconds = self.worked(now).as_secs_f64();
        if seconds > 0.0 { self.settled(left) as f64 / seconds } else { 0.0 }
    }

    /// Whether it draws from a window so long that the rate of this moment says nothing.
    #[must_use]
    pub fn is_lumpy(&self, meter: &Meter) -> bool {
        meter
            .windows
            .iter()
            .any(|window| self.used.contains(&window.name) && window.quota.span > RATE_SPAN)
    }

    /// How long it will still take; `None` while nobody can know.
    #[must_use]
    pub fn eta(&self, now: Moment, left: u64, tally: &Tally, meter: &Meter) -> Option<Duration> {
        if left == 0 || meter.paused {
            return (left == 0).then_some(Duration::ZERO);
        }
        let worked = self.worked(now);
        let average = self.average(now, left);
        let at_average =
            (average > 0.0).then(|| Duration::from_secs_f64((left as f64 / average).min(1e9)));
        let due = self.schedule(self.settled(left) + 1, tally, meter);
        let end = self.schedule(self.steps, tally, meter);
        let rest = end.saturating_sub(worked);
        if worked <= GRACE {
            // A burst that looks fast is still held to its schedule, a slow wire is believed.
            return at_average.max((!end.is_zero()).then_some(rest));
        }
        let late = worked > due.mul_f64(1.05) + GRACE;
        let early = self.schedule(self.settled(left), tally, meter) > worked.mul_f64(1.05) + GRACE;
        if late || early || end.is_zero() {
            return at_average;
        }
        // The last answers of a schedule that is over may come any moment.
        Some(rest.max(Duration::from_secs(1)))
    }

    fn worked(&self, now: Moment) -> Duration {
        self.lasted(now).saturating_sub(self.idle)
    }

    /// When this many steps are settled at best, counted from the beginning.
    fn schedule(&self, steps: u64, tally: &Tally, meter: &Meter) -> Duration {
        let requests = (steps as f64 / steps_a_request(tally)).ceil();
        let round_trip = tally.latency_ms(0.5) / 1000.0;
        let round = |window: &WindowMeter| {
            // Slowed by a 429, it grows back: for long its limit is what counts.
            let limit = f64::from(window.quota.limit.max(1));
            ((requests - 1.0).max(0.0) / limit).floor()
                * (window.quota.span.as_secs_f64() + round_trip)
        };
        let used = meter.windows.iter().filter(|window| self.used.contains(&window.name));
        let ceiling = meter.rate.map(|rate| requests / rate);
        let seconds = used.map(round).chain(ceiling).fold(0.0, f64::max);
        Duration::from_secs_f64(seconds.min(1e9))
    }
}

/// The time that so many steps take when one takes `each`.
#[must_use]
pub fn expected_for(each: Duration, steps: u64) -> Duration {
    Duration::from_secs_f64((each.as_secs_f64() * steps as f64).min(1e9))
}

/// How many steps one request settles, retries included; 1 before the first answer.
fn steps_a_request(tally: &Tally) -> f64 {
    let sent = tally.counts.settled().saturating_sub(tally.counts.skipped);
    if tally.attempts == 0 || sent == 0 { 1.0 } else { sent as f64 / tally.attempts as f64 }
}
