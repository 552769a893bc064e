//! What a measurement saw.

use super::connection::Tally;
use super::schedule::Schedule;
use super::{Pace, Plan};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Times at the usual percentiles, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The median.
    pub p50_ns: u64,
    /// Nine of ten are shorter.
    pub p90_ns: u64,
    /// Nineteen of twenty are shorter.
    pub p95_ns: u64,
    /// All but one of a hundred are shorter.
    pub p99_ns: u64,
    /// All but one of a thousand are shorter.
    pub p99_9_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Times {
    fn of(seen: &Histogram<u64>) -> Self {
        Self {
            p50_ns: seen.value_at_quantile(0.5),
            p90_ns: seen.value_at_quantile(0.9),
            p95_ns: seen.value_at_quantile(0.95),
            p99_ns: seen.value_at_quantile(0.99),
            p99_9_ns: seen.value_at_quantile(0.999),
            max_ns: seen.max(),
        }
    }
}

/// What a measurement saw, without its warm-up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The gateway.
    pub url: String,
    /// The door.
    pub door: String,
    /// Requests a second as planned; `None` for a closed loop.
    pub rate: Option<f64>,
    /// Connections.
    pub connections: u64,
    /// Events of a request.
    pub events: u64,
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that warmed up before.
    pub warmup: u64,
    /// Requests that were due and found no free connection to the end.
    pub unanswered: u64,
    /// Answers by their status.
    pub statuses: BTreeMap<u16, u64>,
    /// What went wrong otherwise: `connect`, `lost`, `timeout`.
    pub errors: BTreeMap<String, u64>,
    /// Times from the moment that requests were due.
    pub latency: Times,
    /// Times from the moment that they were sent.
    pub service: Times,
    /// How late the load itself was: where it is near the latency, a faster machine is needed.
    pub lateness: Times,
    /// Answers a second.
    pub achieved_rate: f64,
}

impl Report {
    pub(super) fn new(plan: &Plan, seen: &Tally, schedule: &Schedule) -> Self {
        let answered: u64 = seen.statuses.values().sum();
        let end = seen.last_answer.map_or(schedule.end, |last| last.max(schedule.end));
        let window = end.saturating_duration_since(schedule.measured_from);
        Self {
            url: plan.url.clone(),
            door: plan.door.name().to_owned(),
            rate: match plan.pace {
                Pace::Fixed(rate) | Pace::Poisson(rate) => Some(rate),
                Pace::Closed => None,
            },
            connections: plan.connections as u64,
            events: plan.events as u64,
            seconds: plan.duration.as_secs_f64(),
            sent: seen.sent,
            warmup: seen.warmup,
            unanswered: seen.unanswered,
            statuses: seen.statuses.clone(),
            errors: seen.errors.iter().map(|(error, n)| ((*error).to_owned(), *n)).collect(),
            latency: Times::of(&seen.latency),
            service: Times::of(&seen.service),
            lateness: Times::of(&seen.lateness),
            achieved_rate: answered as f64 / window.as_secs_f64(),
        }
    }

    /// The share of requests that got no good answer (one of 200 to 299), from 0 to 1.
    #[must_use]
    pub fn error_share(&self) -> f64 {
        let good: u64 = self.statuses.range(200..300).map(|(_, count)| count).sum();
        let all = self.sent + self.unanswered;
        if all == 0 { 0.0 } else { (all.saturating_sub(good)) as f64 / all as f64 }
    }

    /// The report as a table.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a text does not fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let planned = self.rate.map_or("closed loop".to_owned(), |rate| format!("{rate} planned"));
        writeln!(
            out,
            "{} {}: {} requests in {:.1} s over {} connections, {} events each",
            self.url, self.door, self.sent, self.seconds, self.connections, self.events
        )?;
        let events = self.achieved_rate * self.events as f64;
        writeln!(
            out,
            "  rate      {:.1} requests/s ({planned}), {events:.0} events/s",
            self.achieved_rate
        )?;
        let statuses = self.statuses.iter().map(|(status, count)| format!("{count} x {status}"));
        let errors = self.errors.iter().map(|(error, count)| format!("{count} x {error}"));
        let waited = (self.unanswered > 0).then(|| format!("{} x not sent", self.unanswered));
        let all: Vec<String> = statuses.chain(errors).chain(waited).collect();
        let share = self.error_share() * 100.0;
        writeln!(out, "  answers   {}; errors {share:.3} %", all.join(", "))?;
        writeln!(
            out,
            "  {:<9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "p50", "p90", "p95", "p99", "p99.9", "max"
        )?;
        let rows = [("latency", self.latency), ("service", self.service), ("late", self.lateness)];
        for (name, of) in rows {
            let all = [of.p50_ns, of.p90_ns, of.p95_ns, of.p99_ns, of.p99_9_ns, of.max_ns];
            let all: Vec<String> = all.iter().map(|ns| format!("{:>9}", span(*ns))).collect();
            writeln!(out, "  {name:<9} {}", all.join(" "))?;
        }
        Ok(())
    }
}

/// A time with three digits or so.
pub(super) fn span(ns: u64) -> String {
    let time = Duration::from_nanos(ns);
    match ns {
        0..1_000_000 => format!("{:.0} us", ns as f64 / 1e3),
        1_000_000..100_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        100_000_000..1_000_000_000 => format!("{:.0} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}
