//! Law: retries are paid for by successes; those spent in any time never exceed a share of the
//! successes of that time, plus a small floor per second, plus a bounded balance.
//!
//! Worked example with a share of 0.2, a floor of 10 a second and a balance of at most 100: a
//! remote that answers 1,000 requests a second well pays for 200 retries a second. When it stops
//! answering, the balance of 100 goes at once, and from then on ten retries a second are all that
//! an outage gets, instead of every request being sent several times over.

use crate::moment::Moment;

/// One retry, in the unit of the balance. A floor of N retries a second is then exactly N units for
/// each microsecond.
const RETRY: u64 = 1_000_000;

/// What pays for retries.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Terms {
    /// Retries paid for by one success, from 0 to 1; anything else is moved there.
    pub ratio: f64,
    /// Retries each second whatever happens, so that a quiet run can still recover.
    pub min_per_second: u32,
    /// The most that can be saved up, in retries, and what a run begins with. Zero is read as one.
    pub balance_max: u32,
}

impl Default for Terms {
    /// One retry for five successes, ten a second at least, ten seconds of that floor saved up.
    fn default() -> Self {
        Self { ratio: 0.2, min_per_second: 10, balance_max: 100 }
    }
}

/// The retries a remote's requests can still afford.
#[derive(Clone, Debug)]
pub struct Budget {
    per_success: u64,
    per_micro: u64,
    /// Cut to `balance_max` whenever it is looked at.
    balance: u64,
    balance_max: u64,
    counted_until: Moment,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Terms::default())
    }
}

impl Budget {
    /// A budget that starts with its full balance.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        let ratio = if terms.ratio.is_nan() { 0.0 } else { terms.ratio.clamp(0.0, 1.0) };
        let balance_max = u64::from(terms.balance_max.max(1)) * RETRY;
        Self {
            per_success: (ratio * RETRY as f64).round() as u64,
            per_micro: u64::from(terms.min_per_second),
            balance: balance_max,
            balance_max,
            counted_until: Moment::ZERO,
        }
    }

    /// Whole retries that could be spent at this moment.
    #[must_use]
    pub fn balance(&self, now: Moment) -> u64 {
        self.balance_at(now) / RETRY
    }

    /// A request succeeded.
    pub fn deposit(&mut self, now: Moment) {
        self.count_floor(now);
        self.balance += self.per_success;
    }

    /// Spends one retry, or says no and spends nothing.
    pub fn try_spend(&mut self, now: Moment) -> bool {
        self.count_floor(now);
        let affordable = self.balance >= RETRY;
        if affordable {
            self.balance -= RETRY;
        }
        affordable
    }

    /// When a retry will be affordable even if nothing succeeds until then: now, later, or
    /// [`Moment::NEVER`] without a floor.
    #[must_use]
    pub fn ready_at(&self, now: Moment) -> Moment {
        match RETRY.saturating_sub(self.balance_at(now)) {
            0 => now,
            _ if self.per_micro == 0 => Moment::NEVER,
            missing => {
                let wait = missing.div_ceil(self.per_micro);
                Moment::from_micros(now.as_micros().saturating_add(wait))
            }
        }
    }

    fn balance_at(&self, now: Moment) -> u64 {
        let passed = now.as_micros().saturating_sub(self.counted_until.as_micros());
        let floor = passed.saturating_mul(self.per_micro);
        self.balance.saturating_add(floor).min(self.balance_max)
    }

    fn count_floor(&mut self, now: Moment) {
        self.balance = self.balance_at(now);
        self.counted_until = self.counted_until.max(now);
    }
}
