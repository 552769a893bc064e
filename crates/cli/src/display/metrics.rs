//! `--metrics-file`: the figures of a run as Prometheus' text format in a file, for its textfile
//! collector or anything else that reads it.
//!
//! The file is replaced as a whole every few seconds and at the end, so that no reader sees half of
//! one. One that can't be written is told once and costs the run nothing.

use super::words;
use std::collections::BTreeSet;
use std::fmt::{Display, Write};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use windlass_engine::Moment;
use windlass_engine::event::{Event, Stamped};
use windlass_engine::plan::Header;
use windlass_engine::remote::Meter;
use windlass_engine::runner::Reporter;
use windlass_engine::tally::{Counts, Tally};

/// How long between two writings.
const EVERY: Duration = Duration::from_secs(5);
/// The alerts that there are; see [`Event::Alert`].
const ALERTS: [&str; 5] = ["breaker", "cpu", "errors", "memory", "slow"];

/// The figures of a run in a file.
pub struct Metrics {
    path: PathBuf,
    /// The labels that every figure has.
    labels: String,
    /// Everything that has ever held new work up: what is over is told as 0.
    held: BTreeSet<String>,
    next: Moment,
    trouble: Option<io::Error>,
    is_told: bool,
}

impl Metrics {
    /// The figures of the run of this plan in a file at `path`. One that can't be written is told
    /// now, before anything else has the terminal.
    #[must_use]
    pub fn new(plan: &Header, path: &Path) -> Self {
        let labels = [("run", &plan.id), ("system", &plan.system), ("operation", &plan.operation)];
        let labels = labels.map(|(name, value)| label(name, value)).join(",");
        let mut metrics = Self {
            path: path.to_owned(),
            labels,
            held: BTreeSet::new(),
            next: Moment::ZERO,
            trouble: None,
            is_told: false,
        };
        let temporary = metrics.temporary();
        let tried = std::fs::write(&temporary, "").and_then(|()| std::fs::remove_file(&temporary));
        metrics.trouble = tried.err();
        metrics.tell();
        metrics
    }

    /// A name that the collector does not look for, which is `*.prom`.
    fn temporary(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        self.path.with_file_name(name)
    }

    fn write(&mut self, now: Moment, tally: &Tally, meter: &Meter) {
        let text = self.text(now, tally, meter);
        let temporary = self.temporary();
        let written =
            std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, &self.path));
        if let Err(error) = written {
            self.trouble.get_or_insert(error);
        }
    }

    fn tell(&mut self) {
        if let Some(error) = &self.trouble
            && !self.is_told
        {
            self.is_told = true;
            let path = words::plain(&self.path.display().to_string());
            super::note(&format!("warning: the metrics file {path} can't be written: {error}"));
        }
    }

    /// The figures as Prometheus reads them.
    pub(super) fn text(&self, now: Moment, tally: &Tally, meter: &Meter) -> String {
        let mut page = Page { labels: &self.labels, text: String::new() };
        steps(&mut page, tally);
        speed(&mut page, now, tally, meter);
        troubles(&mut page, tally);
        machine(&mut page, tally);
        page.family("windlass_held", "gauge", "Whether this holds new work up.");
        for by in &self.held {
            let is_held = tally.held.contains_key(by);
            page.value("windlass_held", &[("by", by)], u8::from(is_held));
        }
        page.family("windlass_alert", "gauge", "Whether this alert is raised.");
        for name in ALERTS {
            let is_raised = tally.alerts.contains_key(name);
            page.value("windlass_alert", &[("name", name)], u8::from(is_raised));
        }
        page.family("windlass_alerts_total", "counter", "How often this alert was raised.");
        for name in ALERTS {
            let times = tally.alerts_raised.get(name).copied().unwrap_or_default();
            page.value("windlass_alerts_total", &[("name", name)], times);
        }
        page.text
    }
}

impl Reporter for Metrics {
    fn event(&mut self, stamped: &Stamped, _: &Tally) {
        if let Event::Held { by, .. } = &stamped.event {
            self.held.insert(by.clone());
        }
    }

    fn tick(&mut self, now: Moment, tally: &Tally, meter: &Meter) {
        // The last tick of a run comes after its end.
        if now >= self.next || tally.ending.is_some() {
            self.next = now + EVERY;
            self.write(now, tally, meter);
        }
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.tell();
    }
}

/// The text with its common labels.
struct Page<'a> {
    labels: &'a str,
    text: String,
}

impl Page<'_> {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text does not fail.
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let own = labels.iter().map(|(name, value)| format!(",{}", label(name, value)));
        let own: String = own.collect();
        let _ = writeln!(self.text, "{name}{{{}{own}}} {value}", self.labels);
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.value(name, &[], value);
    }
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

fn outcomes(counts: Counts) -> [(&'static str, u64); 5] {
    let Counts { done, already_gone, skipped, failed, elsewhere } = counts;
    [
        ("done", done),
        ("already_gone", already_gone),
        ("skipped", skipped),
        ("failed", failed),
        ("elsewhere", elsewhere),
    ]
}

fn steps(page: &mut Page<'_>, tally: &Tally) {
    page.single("windlass_steps", "gauge", "Steps of the plan.", tally.steps);
    let name = "windlass_steps_settled_total";
    page.family(name, "counter", "Steps with an outcome.");
    for (outcome, count) in outcomes(tally.counts) {
        page.value(name, &[("outcome", outcome)], count);
    }
    page.family("windlass_phase_steps", "gauge", "Steps of a phase of the plan.");
    for phase in &tally.phases {
        page.value("windlass_phase_steps", &[("phase", &phase.name)], phase.steps);
    }
    let name = "windlass_phase_settled_total";
    page.family(name, "counter", "Steps of a phase with an outcome.");
    for phase in &tally.phases {
        for (outcome, count) in outcomes(phase.counts) {
            page.value(name, &[("phase", &phase.name), ("outcome", outcome)], count);
        }
    }
}

fn speed(page: &mut Page<'_>, now: Moment, tally: &Tally, meter: &Meter) {
    let help = "Steps with an outcome a second: now, on average and at most in one second.";
    page.family("windlass_rate", "gauge", help);
    page.value("windlass_rate", &[("over", "now")], tally.rate_now(now));
    page.value("windlass_rate", &[("over", "average")], tally.rate_average(now));
    page.value("windlass_rate", &[("over", "peak")], tally.rate_peak());
    page.single("windlass_batch_size", "gauge", "Steps of the latest batch.", tally.batch);
    let name = "windlass_requests_in_flight";
    page.single(name, "gauge", "Requests on the wire.", meter.in_flight);
    let name = "windlass_concurrency";
    page.single(name, "gauge", "Requests that may be on the wire.", meter.concurrency);
}

fn troubles(page: &mut Page<'_>, tally: &Tally) {
    let name = "windlass_retries_total";
    page.single(name, "counter", "Attempts that were made again.", tally.retries);
    let name = "windlass_throttled_total";
    page.single(name, "counter", "Answers that asked for patience (429).", tally.throttled);
    let is_open = u8::from(tally.breaker_is_open);
    page.single("windlass_breaker_open", "gauge", "Whether the breaker is open.", is_open);
}

fn machine(page: &mut Page<'_>, tally: &Tally) {
    let Some(load) = tally.load else { return };
    let name = "windlass_memory_bytes";
    page.single(name, "gauge", "Memory of the process.", load.memory_bytes);
    let name = "windlass_memory_limit_bytes";
    page.single(name, "gauge", "Memory that the process may take.", load.memory_limit_bytes);
    let help = "Share of processor time in use, without what is spent on purpose.";
    page.single("windlass_cpu_ratio", "gauge", help, load.cpu);
}
