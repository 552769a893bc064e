//! The report of a run as one HTML page that stands alone: no script, no font, no picture from
//! anywhere. Everything a remote named is escaped before it is written.

mod chart;

use super::summary::failed;
use super::words::{self, Verb};
use super::{story, story::Tone};
use chart::Chart;
use std::fmt::Display;
use std::time::Duration;
use windlass_engine::report::{PhaseReport, Report};

const STYLE: &str = include_str!("html/page.css");

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let verb = Verb::of(&report.operation);
    let title = format!("{} {} · {}", report.system, report.operation, report.run);
    let body = [
        head(report, &verb),
        tiles(report, &verb),
        charts(report),
        phases(report, &verb),
        causes(report),
        failures(report, &verb),
        facts(report),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{}</main>\n\
         </body>\n</html>\n",
        escape(&title),
        body.concat()
    )
}

/// Text that means only itself in HTML, inside quoted attributes too.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in words::plain(text).chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(letter),
        }
    }
    safe
}

fn wall(report: &Report) -> Duration {
    Duration::from_secs_f64(report.seconds.clamp(0.0, 1e12))
}

fn head(report: &Report, verb: &Verb) -> String {
    let ending = story::ending(report.ending.as_ref());
    let (class, symbol) = match ending.tone {
        Tone::Good if report.counts.failed > 0 => ("warn", "!"),
        Tone::Good => ("good", "✓"),
        Tone::Bad => ("bad", "✗"),
        Tone::Warn | Tone::Note => ("warn", "!"),
    };
    let failed = match report.counts.failed {
        0 => String::new(),
        failed => format!(", with {}", words::plural(failed, "failed step")),
    };
    format!(
        "<header>\n<h1>{} {}</h1>\n<p class=\"ending {class}\"><span>{symbol}</span> {}{failed}\
         </p>\n<p class=\"sub\">{} at {}, {} in {}</p>\n</header>\n",
        escape(&words::capital(&report.system)),
        escape(&verb.noun),
        escape(&ending.text),
        escape(&report.run),
        words::when(report.started_unix_ms),
        words::plural(report.steps, "step"),
        words::duration(wall(report)),
    )
}

fn tiles(report: &Report, verb: &Verb) -> String {
    let counts = report.counts;
    let tile = |class: &str, symbol: &str, value: String, name: &str| {
        format!(
            "<li class=\"{class}\"><strong>{value}</strong><span>{symbol} {}</span></li>\n",
            escape(name)
        )
    };
    let mut tiles = tile("good", "✓", words::count(counts.done), &verb.done);
    let failed = if counts.failed > 0 { "bad" } else { "" };
    tiles.push_str(&tile(failed, "✗", words::count(counts.failed), "failed"));
    let others = [
        ("=", counts.already_gone, "already gone"),
        ("-", counts.skipped, "skipped"),
        ("+", counts.elsewhere, "by others"),
        ("…", report.left, "left to do"),
        ("?", report.in_doubt, "in doubt"),
    ];
    for (symbol, count, name) in others.into_iter().filter(|(_, count, _)| *count > 0) {
        tiles.push_str(&tile("", symbol, words::count(count), name));
    }
    tiles.push_str(&tile("", "", words::rate(report.per_second), "average"));
    if let Some(share) = super::summary::share(report) {
        tiles.push_str(&tile("", "", share, "of the quota"));
    }
    tiles.push_str(&tile("", "", words::latency(report.latency_ms.p95), "latency p95"));
    format!("<ul class=\"tiles\">\n{tiles}</ul>\n")
}

fn charts(report: &Report) -> String {
    if report.series.is_empty() {
        return String::new();
    }
    let throughput = Chart::new("Throughput", "steps a second", report.seconds, &report.series)
        .area("steps a second", "a", |point| Some(point.per_second))
        .marks("429", |point| point.throttled);
    let latency = Chart::new("Latency", "milliseconds", report.seconds, &report.series)
        .line("p50", "a", |point| point.p50_ms)
        .line("p95", "b", |point| point.p95_ms);
    format!("{}{}", throughput.svg(), latency.svg())
}

fn table(title: &str, heads: &[&str], rows: &[String]) -> String {
    let heads: String = heads.iter().map(|head| format!("<th>{}</th>", escape(head))).collect();
    format!(
        "<section>\n<h2>{}</h2>\n<div class=\"wide\"><table>\n<thead><tr>{heads}</tr></thead>\n\
         <tbody>\n{}</tbody>\n</table></div>\n</section>\n",
        escape(title),
        rows.concat()
    )
}

fn number(value: impl Display) -> String {
    format!("<td class=\"n\">{value}</td>")
}

fn phases(report: &Report, verb: &Verb) -> String {
    let is_shared = report.counts.elsewhere > 0;
    let row = |phase: &PhaseReport| {
        let counts = phase.counts;
        let left = phase.steps.saturating_sub(counts.settled());
        let others = is_shared.then_some(counts.elsewhere);
        let cells: String =
            [phase.steps, counts.done, counts.already_gone, counts.failed, counts.skipped, left]
                .into_iter()
                .chain(others)
                .map(|count| number(words::count(count)))
                .collect();
        format!("<tr><td>{}</td>{cells}</tr>\n", escape(&phase.name))
    };
    let rows: Vec<String> = report.phases.iter().map(row).collect();
    let done = words::capital(&verb.done);
    let mut heads = vec!["Phase", "Steps", &*done, "Already gone", "Failed", "Skipped", "Left"];
    heads.extend(is_shared.then_some("By others"));
    table("Phases", &heads, &rows)
}

/// Failures by class and skipped steps by reason.
fn causes(report: &Report) -> String {
    let row = |what: &str, why: &str, count: u64| {
        format!("<tr><td>{what}</td><td>{}</td>{}</tr>\n", escape(why), number(words::count(count)))
    };
    let failed = report.failures.iter().map(|(kind, &count)| row("✗ failed", kind.words(), count));
    let skipped = report.skipped.iter().map(|(why, &count)| row("- skipped", why, count));
    let rows: Vec<String> = failed.chain(skipped).collect();
    if rows.is_empty() {
        return String::new();
    }
    table("Not done, by cause", &["Outcome", "Cause", "Steps"], &rows)
}

fn failures(report: &Report, verb: &Verb) -> String {
    let rows: Vec<String> = report
        .first_failures
        .iter()
        .filter_map(failed)
        .map(|(name, error, request)| {
            format!(
                "<tr><td>{}</td><td>{}</td><td><code>{}</code></td></tr>\n",
                escape(&name),
                escape(&error),
                escape(request.as_deref().unwrap_or("none"))
            )
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let more = report.counts.failed.saturating_sub(rows.len() as u64);
    let more = match more {
        0 => String::new(),
        more => format!("<p class=\"sub\">and {} more in the journal</p>\n", words::count(more)),
    };
    let title = format!("First failures to {}", verb.base);
    table(&title, &["Object", "Error", "Request"], &rows) + &more
}

fn facts(report: &Report) -> String {
    let latency = report.latency_ms;
    let asked = Duration::from_secs_f64(report.throttled_seconds.clamp(0.0, 1e12));
    let facts = [
        ("Address", report.base_url.clone()),
        ("Account", report.account.clone()),
        ("Run", report.run.clone()),
        ("Sessions", words::count(report.sessions.into())),
        ("Attempts", words::count(report.attempts)),
        ("Retries", words::count(report.retries)),
        ("429 answers", words::count(report.throttled)),
        ("Time that 429s asked for", words::duration(asked)),
        ("Breaker opened", words::plural(report.breaker_opened, "time")),
        ("Done, answer lost", words::count(report.confirmed)),
        ("Latency p50", words::latency(latency.p50)),
        ("Latency p95", words::latency(latency.p95)),
        ("Latency p99", words::latency(latency.p99)),
        ("Latency, slowest", words::latency(latency.max)),
    ];
    let row = |(name, value): &(&str, String)| {
        format!("<tr><td>{}</td><td>{}</td></tr>\n", escape(name), escape(value))
    };
    let rows: Vec<String> = facts.iter().map(row).collect();
    table("Facts", &["What", "Value"], &rows)
}
