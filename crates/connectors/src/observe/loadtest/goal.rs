//! What a gateway should reach: `p95=10ms`, `errors=1%`, `rate=5000`.

use super::report::{Report, span};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use windlass_sim::parse_span;

/// A figure of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The median of latencies, in nanoseconds, as are all percentiles here.
    P50,
    /// The percentile 90.
    P90,
    /// The percentile 95.
    P95,
    /// The percentile 99.
    P99,
    /// The percentile 99.9.
    P999,
    /// The longest latency.
    Max,
    /// The share of requests without a good answer, from 0 to 1.
    Errors,
    /// Answers a second.
    Rate,
}

const NAMES: [(Metric, &str); 8] = [
    (Metric::P50, "p50"),
    (Metric::P90, "p90"),
    (Metric::P95, "p95"),
    (Metric::P99, "p99"),
    (Metric::P999, "p99.9"),
    (Metric::Max, "max"),
    (Metric::Errors, "errors"),
    (Metric::Rate, "rate"),
];

impl Metric {
    /// What a report says.
    #[must_use]
    pub fn of(self, report: &Report) -> f64 {
        let latency = &report.latency;
        match self {
            Self::P50 => latency.p50_ns as f64,
            Self::P90 => latency.p90_ns as f64,
            Self::P95 => latency.p95_ns as f64,
            Self::P99 => latency.p99_ns as f64,
            Self::P999 => latency.p99_9_ns as f64,
            Self::Max => latency.max_ns as f64,
            Self::Errors => report.error_share(),
            Self::Rate => report.achieved_rate,
        }
    }

    /// Whether more of it is better.
    #[must_use]
    pub const fn is_more_better(self) -> bool {
        matches!(self, Self::Rate)
    }

    /// A value with its unit.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Errors => format!("{:.3} %", value * 100.0),
            Self::Rate => format!("{value:.1}/s"),
            _ => span(value as u64),
        }
    }

    /// Its name on the command line and in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(metric, _)| *metric == self).map_or("", |(_, name)| name)
    }
}

/// A figure that should be reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// Which.
    pub metric: Metric,
    /// At most this; at least, for a rate.
    pub bound: f64,
}

impl fmt::Display for Goal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.metric.is_more_better() { "at least" } else { "at most" };
        write!(out, "{} {word} {}", self.metric.name(), self.metric.show(self.bound))
    }
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, bound) = text.split_once('=').ok_or("a goal is NAME=VALUE, as p95=10ms")?;
        let found = NAMES.iter().find(|(_, known)| *known == name);
        let metric = found.map(|(metric, _)| *metric).ok_or_else(|| {
            let names: Vec<&str> = NAMES.iter().map(|(_, name)| *name).collect();
            format!("`{name}` is none of {}", names.join(", "))
        })?;
        let bound = match metric {
            Metric::Errors => match bound.strip_suffix('%') {
                Some(percent) => number(percent)? / 100.0,
                None => number(bound)?,
            },
            Metric::Rate => number(bound)?,
            _ => parse_span(bound).map_err(|error| error.to_string())?.as_nanos() as f64,
        };
        Ok(Self { metric, bound })
    }
}

fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.trim().parse().map_err(|_| format!("`{text}` is no number"))?;
    if number.is_finite() && number >= 0.0 {
        Ok(number)
    } else {
        Err(format!("`{text}` is no number from 0 on"))
    }
}

/// Whether a goal was met.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalResult {
    /// The goal.
    pub goal: Goal,
    /// The median over the rounds.
    pub measured: f64,
    /// Whether it was met.
    pub is_met: bool,
}

impl GoalResult {
    /// The result as a line.
    #[must_use]
    pub fn text(&self) -> String {
        let word = if self.is_met { "met" } else { "MISSED" };
        let measured = self.goal.metric.show(self.measured);
        format!("goal {word}: {}, measured {measured}\n", self.goal)
    }
}

impl Goal {
    /// Whether the median over these rounds meets it. Without a round or a single answer nothing
    /// is met, since there are no latencies of gateways that answer nothing.
    #[must_use]
    pub fn check(&self, rounds: &[Report]) -> GoalResult {
        let measured = median(rounds.iter().map(|round| self.metric.of(round)).collect());
        let is_measured = rounds.iter().any(|round| !round.statuses.is_empty());
        let is_in = match self.metric.is_more_better() {
            true => measured >= self.bound,
            false => measured <= self.bound,
        };
        GoalResult { goal: *self, measured, is_met: is_measured && is_in }
    }
}

/// The middle of values; 0 where there are none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
