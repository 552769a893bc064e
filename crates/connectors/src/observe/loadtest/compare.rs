//! Which of two gateways is faster. A difference counts only where all rounds agree on its sign
//! and it is large enough to matter: with the usual five rounds, chance alone makes all agree in
//! one of sixteen cases, and with three in one of four.

use super::goal::{Metric, median};
use super::report::Report;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// What the rounds say of B against A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// B is better in every round.
    Better,
    /// B is worse in every round.
    Worse,
    /// The rounds disagree, are too few, or it is too little to matter.
    NoDifference,
}

/// One figure of both.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which.
    pub metric: Metric,
    /// The median of A's rounds.
    pub a: f64,
    /// The median of B's rounds.
    pub b: f64,
    /// B divided by A, round by round: the median. `None` where A was 0 in a round, as are the
    /// next two.
    pub ratio: Option<f64>,
    /// The lowest of these.
    pub ratio_min: Option<f64>,
    /// The highest of these.
    pub ratio_max: Option<f64>,
    /// What it means.
    pub judgement: Judgement,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// How many rounds both had.
    pub rounds: usize,
    /// The figures: p50, p95, p99, errors, rate.
    pub rows: Vec<Row>,
}

const COMPARED: [Metric; 5] = [Metric::P50, Metric::P95, Metric::P99, Metric::Errors, Metric::Rate];

/// Fewer rounds than these prove nothing.
pub const ROUNDS_MIN: usize = 3;
/// A smaller change of the median does not matter.
const CHANGE_MIN: f64 = 0.02;
/// A smaller change of the share of errors does not matter.
const ERRORS_MIN: f64 = 0.001;

/// Compares two gateways by the rounds that both had, the first with the first and so on.
#[must_use]
pub fn compare(a: &[Report], b: &[Report]) -> Verdict {
    let rounds = a.len().min(b.len());
    let row = |metric: Metric| {
        let of = |reports: &[Report]| -> Vec<f64> {
            reports[..rounds].iter().map(|report| metric.of(report)).collect()
        };
        row(metric, &of(a), &of(b))
    };
    Verdict { rounds, rows: COMPARED.map(row).to_vec() }
}

fn row(metric: Metric, a: &[f64], b: &[f64]) -> Row {
    let changes: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    let ratios: Option<Vec<f64>> =
        a.iter().zip(b).map(|(a, b)| (*a > 0.0).then(|| b / a)).collect();
    let ratios = ratios.filter(|ratios| !ratios.is_empty());
    let by = |pick: fn(f64, f64) -> f64| {
        ratios.as_ref().and_then(|ratios| ratios.iter().copied().reduce(pick))
    };
    let ratio = ratios.clone().map(median);
    let matters = match (metric, ratio) {
        (Metric::Errors, _) => median(changes.clone()).abs() >= ERRORS_MIN,
        (_, Some(ratio)) => (ratio - 1.0).abs() >= CHANGE_MIN,
        // From nothing to something.
        (_, None) => true,
    };
    let is_up = changes.iter().all(|change| *change > 0.0);
    let is_down = changes.iter().all(|change| *change < 0.0);
    let judgement = if changes.len() < ROUNDS_MIN || !matters || is_up == is_down {
        Judgement::NoDifference
    } else if is_up == metric.is_more_better() {
        Judgement::Better
    } else {
        Judgement::Worse
    };
    let (low, high) = (by(f64::min), by(f64::max));
    let (a, b) = (median(a.to_vec()), median(b.to_vec()));
    Row { metric, a, b, ratio, ratio_min: low, ratio_max: high, judgement }
}

impl Verdict {
    /// Whether B is worse in anything.
    #[cfg(test)]
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.rows.iter().any(|row| row.judgement == Judgement::Worse)
    }

    /// The verdict as a table.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("B against A over {} rounds\n", self.rounds);
        // Writing to a text does not fail.
        let _ = writeln!(out, "  {:<7} {:>11} {:>11}   B/A (lowest..highest)", "", "A", "B");
        for row in &self.rows {
            let ratios = match (row.ratio, row.ratio_min, row.ratio_max) {
                (Some(ratio), Some(low), Some(high)) => {
                    format!("{ratio:.3} ({low:.3}..{high:.3})")
                }
                _ => "-".to_owned(),
            };
            let word = match row.judgement {
                Judgement::Better => "better",
                Judgement::Worse => "WORSE",
                Judgement::NoDifference => "no difference",
            };
            let (a, b) = (row.metric.show(row.a), row.metric.show(row.b));
            let name = row.metric.name();
            let _ = writeln!(out, "  {name:<7} {a:>11} {b:>11}   {ratios:<24} {word}");
        }
        if self.rounds < ROUNDS_MIN {
            let _ = writeln!(out, "  fewer than {ROUNDS_MIN} rounds prove nothing");
        }
        out
    }
}
