//! What stands after a run: the summary for people and the report for programs.

use super::story;
use super::style::Style;
use super::words::{self, Verb};
use std::time::Duration;
use windlass_engine::Outcome;
use windlass_engine::event::Settled;
use windlass_engine::report::{PhaseReport, Report};

/// The width of the box around the title.
const BOX: usize = 56;

/// The summary of a run for a terminal or a log.
#[must_use]
pub fn text(report: &Report, style: Style) -> String {
    let verb = Verb::of(&report.operation);
    let rule = "═".repeat(BOX);
    let title = format!("{} SUMMARY", verb.noun.to_uppercase());
    let indent = " ".repeat(BOX.saturating_sub(words::width(&title)) / 2);
    let mut text = format!("\n{rule}\n{indent}{}\n{rule}\n", style.strong(title));
    for phase in &report.phases {
        text.push_str(&phase_text(phase, &verb, style));
    }
    text.push_str(&totals(report, style));
    text.push_str(&failures(report, &verb, style));
    text.push_str(&performance(report, style));
    text
}

/// The report as one JSON line: `{"event":"report",...}`.
#[must_use]
pub fn json(report: &Report) -> String {
    let body = serde_json::to_string(report).expect("a report has only text keys");
    format!("{{\"event\":\"report\",{}\n", body.strip_prefix('{').unwrap_or(&body))
}

/// Lines of a name and a value, the values below each other.
fn table(rows: &[(String, String)]) -> String {
    let widest = rows.iter().map(|(name, _)| words::width(name)).max().unwrap_or(0);
    let row = |(name, value): &(String, String)| {
        let gap = " ".repeat(widest - words::width(name));
        format!("  {name}{gap}  {value}\n")
    };
    rows.iter().map(row).collect()
}

fn phase_text(phase: &PhaseReport, verb: &Verb, style: Style) -> String {
    let counts = phase.counts;
    let row =
        |symbol: &str, name: String, count: u64| (format!("{symbol} {name}:"), words::count(count));
    let mut rows = vec![row("✓", format!("Successfully {}", verb.done), counts.done)];
    if counts.already_gone > 0 {
        rows.push(row("=", "Already gone".into(), counts.already_gone));
    }
    rows.push(row("✗", format!("Failed to {}", verb.base), counts.failed));
    if counts.skipped > 0 {
        rows.push(row("-", "Skipped".into(), counts.skipped));
    }
    if counts.elsewhere > 0 {
        rows.push(row("+", format!("{} by others", words::capital(&verb.done)), counts.elsewhere));
    }
    let left = phase.steps.saturating_sub(counts.settled());
    if left > 0 {
        rows.push(row("…", "Left to do".into(), left));
    }
    rows.push(row(" ", "Total processed".into(), counts.settled()));
    let mut text = table(&rows);
    if counts.done > 0 {
        text = text.replacen('✓', &style.good("✓"), 1);
    }
    if counts.failed > 0 {
        text = text.replacen('✗', &style.bad("✗"), 1);
    }
    format!("\n{}:\n{text}", style.strong(words::plain(&words::capital(&phase.name))))
}

/// What concerns all phases: why steps were skipped, and what stayed unclear.
fn totals(report: &Report, style: Style) -> String {
    let mut text = String::new();
    if !report.skipped.is_empty() {
        let row = |(reason, count): (&String, &u64)| {
            (format!("- {}:", words::plain(reason)), words::count(*count))
        };
        let rows: Vec<_> = report.skipped.iter().map(row).collect();
        text.push_str(&format!("\nSkipped because:\n{}", table(&rows)));
    }
    if report.confirmed > 0 {
        let steps = words::plural(report.confirmed, "step");
        text.push_str(&format!("\n{steps} had lost answers and were found done at the remote.\n"));
    }
    if let Some(verified) = &report.verified {
        let good = verified.left == 0;
        let mark = if good { style.good("✓") } else { style.warn("!") };
        text.push_str(&format!("\n{mark} {}\n", words::plain(&words::capital(&verified.message))));
    }
    if report.in_doubt > 0 {
        let steps = words::plural(report.in_doubt, "step");
        let mark = style.warn("!");
        text.push_str(&format!("\n{mark} {steps} in doubt: sent, and never answered. "));
        text.push_str("Resuming the run settles them.\n");
    }
    text
}

fn failures(report: &Report, verb: &Verb, style: Style) -> String {
    if report.counts.failed == 0 {
        return String::new();
    }
    let row = |(kind, count): (&windlass_engine::Kind, &u64)| {
        (format!("{}:", kind.words()), words::count(*count))
    };
    let rows: Vec<_> = report.failures.iter().map(row).collect();
    let mut text = format!("\n{} {}:\n{}", style.bad("Failed to"), verb.base, table(&rows));
    for (index, settled) in report.first_failures.iter().enumerate() {
        if let Some((name, error, request)) = failed(settled) {
            let request = request.map(|id| format!(" [request {id}]")).unwrap_or_default();
            let name = style.name(name);
            text.push_str(&format!("  {:>3}. {name} - Error: {error}{request}\n", index + 1));
        }
    }
    let more = report.counts.failed.saturating_sub(report.first_failures.len() as u64);
    if more > 0 {
        text.push_str(&format!("       ... and {} more in the journal\n", words::count(more)));
    }
    text
}

/// A failed step as its name, its error and the remote's name for the request.
pub(super) fn failed(settled: &Settled) -> Option<(String, String, Option<String>)> {
    let Outcome::Failed(failure) = &settled.outcome else { return None };
    let request = failure.request_id.as_deref().map(words::plain);
    Some((story::name(settled), story::failure(failure), request))
}

fn performance(report: &Report, style: Style) -> String {
    let wall = Duration::from_secs_f64(report.seconds.clamp(0.0, 1e12));
    let mut time = words::duration(wall);
    if report.sessions > 1 {
        time.push_str(&format!(" in {} sessions", words::count(report.sessions.into())));
    }
    let mut rate = words::rate(report.per_second);
    if let Some(share) = share(report) {
        rate.push_str(&format!(", {share} of what the quota allows"));
    }
    let throttled = if report.throttled == 0 {
        "no 429".to_owned()
    } else {
        let asked = Duration::from_secs_f64(report.throttled_seconds.clamp(0.0, 1e12));
        let count = words::count(report.throttled);
        format!("{count} × 429 that asked for {}", words::duration(asked))
    };
    let latency = report.latency_ms;
    let rows = [
        ("Execution time:", time),
        ("Average rate:", rate),
        (
            "Requests:",
            format!(
                "{}, {}, {throttled}",
                words::plural(report.attempts, "attempt"),
                words::plural(report.retries, "retry")
            ),
        ),
        (
            "Latency:",
            format!(
                "p50 {}, p95 {}, p99 {}",
                words::latency(latency.p50),
                words::latency(latency.p95),
                words::latency(latency.p99)
            ),
        ),
        ("How it ended:", story::ending(report.ending.as_ref()).symbol(style).trim().to_owned()),
    ];
    let rows = rows.map(|(name, value)| (name.to_owned(), value));
    format!("\n{}:\n{}", style.strong("Performance"), table(&rows))
}

/// How much of the quota a complete run used: the least time over the time it took.
pub fn share(report: &Report) -> Option<String> {
    report.quota_share.map(|share| format!("{:.0}%", share * 100.0))
}
