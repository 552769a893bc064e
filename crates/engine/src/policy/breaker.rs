//! Law: a remote that failed many times in a row is left alone, then asked by one request at a
//! time, and gets traffic again only after some of those succeeded.
//!
//! Worked example with the default rules: the tenth failure in a row at 4 s opens the breaker until
//! 5 s. At 5 s one probe may start. It fails, so the breaker is open until 7 s, then 4 s more, and
//! so on up to 60 s. When a probe succeeds a second one follows, and when that succeeds too the
//! breaker is closed and the next pause starts again at one second.
//!
//! Requests that started before the breaker opened answer later and must not be taken for probes.
//! Answers carry no name here, so the breaker counts: while open, an answer only lowers the number
//! on the wire, and the first probe waits until that number is zero. Every answer seen while half
//! open is then a probe's own. The attempt timeout bounds how long that wait can be.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use super::Admit;
use crate::moment::Moment;

/// When a breaker opens and how it closes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Failures in a row that open it. Zero is read as one.
    pub failures: u32,
    /// How long it stays open the first time.
    pub open_for: Duration,
    /// How long it stays open at most, after doubling with every failed probe.
    pub open_for_max: Duration,
    /// Probes that must succeed, one after the other, to close it. Zero is read as one.
    pub probes: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            failures: 10,
            open_for: Duration::from_secs(1),
            open_for_max: Duration::from_secs(60),
            probes: 2,
        }
    }
}

/// What the breaker lets through.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Everything.
    Closed,
    /// Nothing before this moment; from then on one probe, once nothing is on the wire.
    Open {
        /// The earliest moment of a probe.
        until: Moment,
    },
    /// One probe at a time.
    HalfOpen,
}

/// Watches the answers of one remote. Refusals for reasons of quota (429) are not failures of the
/// remote and go to [`Breaker::ignored`].
#[derive(Clone, Debug)]
pub struct Breaker {
    rules: Rules,
    state: State,
    out: u32,
    failures: u32,
    probes: u32,
    open_for: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new(Rules::default())
    }
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        let open_for = rules.open_for;
        Self { rules, state: State::Closed, out: 0, failures: 0, probes: 0, open_for }
    }

    /// What it lets through. An open breaker stays [`State::Open`] until its first probe starts.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether a request may start now.
    #[must_use]
    pub fn check(&self, now: Moment) -> Admit {
        match self.state {
            State::Closed => Admit::Now,
            State::Open { until } if now < until => Admit::At(until),
            State::Open { .. } | State::HalfOpen if self.out > 0 => Admit::WhenAnswered,
            State::Open { .. } | State::HalfOpen => Admit::Now,
        }
    }

    /// A request starts. Only after [`Breaker::check`] said [`Admit::Now`]. It must be followed by
    /// exactly one of `succeeded`, `failed` or `ignored`, the last one also when the request was
    /// given up.
    pub fn started(&mut self, now: Moment) {
        debug_assert_eq!(self.check(now), Admit::Now, "started without leave");
        if matches!(self.state, State::Open { until } if until <= now) && self.out == 0 {
            self.state = State::HalfOpen;
            self.probes = 0;
        }
        self.out += 1;
    }

    /// The remote answered as it should.
    pub fn succeeded(&mut self, _now: Moment) {
        self.answered();
        match self.state {
            State::Closed => self.failures = 0,
            State::Open { .. } => {}
            State::HalfOpen => {
                self.probes += 1;
                if self.probes >= self.rules.probes {
                    self.close();
                }
            }
        }
    }

    /// The remote failed in a way that counts: no connection, no answer in time, an error of its
    /// own.
    pub fn failed(&mut self, now: Moment) {
        self.answered();
        match self.state {
            State::Closed => {
                self.failures += 1;
                if self.failures >= self.rules.failures {
                    self.open(now);
                }
            }
            State::Open { .. } => {}
            State::HalfOpen => {
                self.open_for = self.open_for.saturating_mul(2).min(self.rules.open_for_max);
                self.open(now);
            }
        }
    }

    /// The answer says nothing about the remote's health, or there is none because the request was
    /// given up. It neither breaks a row of failures nor adds to it, and frees the probe's place.
    pub fn ignored(&mut self, _now: Moment) {
        self.answered();
    }

    fn answered(&mut self) {
        debug_assert!(self.out > 0, "an answer to a request that never started");
        self.out = self.out.saturating_sub(1);
    }

    fn open(&mut self, now: Moment) {
        self.failures = 0;
        self.state = State::Open { until: now + self.open_for };
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.failures = 0;
        self.open_for = self.rules.open_for;
    }
}
