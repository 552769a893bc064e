//! The report of a run: its last tally in a form for people and machines.

use crate::event::{Ending, Settled};
use crate::failure::Kind;
use crate::moment::Moment;
use crate::plan::Header;
use crate::series::Point;
use crate::tally::{Counts, Tally, Verified};
use serde::Serialize;
use std::collections::BTreeMap;

/// Latency of answers, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the answers.
    pub p50: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// One phase of the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseReport {
    /// What it counts.
    pub name: String,
    /// How many steps it has.
    pub steps: u64,
    /// What became of them.
    #[serde(rename = "outcomes")]
    pub counts: Counts,
}

/// What a person wants to know after a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The run's name.
    pub run: String,
    /// The system.
    pub system: String,
    /// The operation.
    pub operation: String,
    /// Where the remote is.
    pub base_url: String,
    /// The account's fingerprint.
    pub account: String,
    /// When it began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// How many sessions it took.
    pub sessions: u32,
    /// How many steps the plan has.
    pub steps: u64,
    /// What became of them.
    #[serde(rename = "outcomes")]
    pub counts: Counts,
    /// Steps without a final outcome.
    pub left: u64,
    /// Done, and proved by the remote's state because the answer was lost.
    pub confirmed: u64,
    /// Begun and aborted without an answer.
    pub in_doubt: u64,
    /// The same by phase.
    pub phases: Vec<PhaseReport>,
    /// Seconds at work, over all sessions.
    pub seconds: f64,
    /// Steps with an outcome, a second.
    pub per_second: f64,
    /// Seconds that all steps take at best under the quotas.
    pub best_seconds: Option<f64>,
    /// The achieved rate as a share of what the quotas allow, from 0 to 1; only for a run that is
    /// complete and that its quotas held up.
    pub quota_share: Option<f64>,
    /// Attempts that were sent.
    pub attempts: u64,
    /// Attempts that were made again.
    pub retries: u64,
    /// Answers of the kind 429.
    pub throttled: u64,
    /// Seconds that 429s asked for.
    pub throttled_seconds: f64,
    /// How often the breaker opened.
    pub breaker_opened: u64,
    /// Latency of answers.
    pub latency_ms: Latency,
    /// Failed steps by class.
    pub failures: BTreeMap<Kind, u64>,
    /// The first failed steps.
    pub first_failures: Vec<Settled>,
    /// Why steps were skipped.
    pub skipped: BTreeMap<String, u64>,
    /// Throughput and latency over time.
    pub series: Vec<Point>,
    /// What the job found when it looked once more at what it had done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// How the last session ended; `None` while it runs, or after a crash.
    pub ending: Option<Ending>,
}

impl Report {
    /// The report of the run that applies this plan.
    #[must_use]
    pub fn new(plan: &Header, tally: &Tally) -> Self {
        let seconds = tally.elapsed().as_secs_f64();
        let settled = tally.counts.settled();
        let phases = tally.phases.iter().map(|phase| PhaseReport {
            name: phase.name.clone(),
            steps: phase.steps,
            counts: phase.counts,
        });
        Self {
            run: plan.id.clone(),
            system: plan.system.clone(),
            operation: plan.operation.clone(),
            base_url: plan.base_url.clone(),
            account: plan.account.clone(),
            started_unix_ms: tally.started_unix_ms,
            sessions: tally.sessions,
            steps: tally.steps,
            counts: tally.counts,
            left: tally.steps.saturating_sub(settled),
            confirmed: tally.confirmed,
            in_doubt: tally.in_doubt,
            phases: phases.collect(),
            seconds,
            per_second: if seconds > 0.0 { settled as f64 / seconds } else { 0.0 },
            best_seconds: tally.best.map(|best| best.as_secs_f64()),
            quota_share: quota_share(tally, settled),
            attempts: tally.attempts,
            retries: tally.retries,
            throttled: tally.throttled,
            throttled_seconds: tally.throttled_for.as_secs_f64(),
            breaker_opened: tally.breaker_opened,
            latency_ms: Latency {
                p50: tally.latency_ms(0.50),
                p95: tally.latency_ms(0.95),
                p99: tally.latency_ms(0.99),
                max: tally.latency_us.max() as f64 / 1000.0,
            },
            failures: tally.failures.clone(),
            first_failures: tally.first_failures.clone(),
            skipped: tally.skipped.clone(),
            series: tally.series.points(Moment::ZERO + tally.elapsed()),
            verified: tally.verified.clone(),
            ending: tally.ending.clone(),
        }
    }

    /// Whether every step has its outcome and the run came to its end: after the last step a job
    /// may look once more at what it has done.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.left == 0 && self.ending == Some(Ending::Complete)
    }
}

fn quota_share(tally: &Tally, settled: u64) -> Option<f64> {
    let best = tally.best.filter(|best| !best.is_zero())?.as_secs_f64();
    let seconds = tally.elapsed().as_secs_f64();
    (settled >= tally.steps && seconds > 0.0).then(|| (best / seconds).min(1.0))
}
