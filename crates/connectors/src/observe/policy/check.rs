//! Owns the trying out of policies on events of a file: one decision a line, in the order of the
//! file and by the time of the events, with budgets running along.

mod line;
#[cfg(test)]
mod tests;

use super::{Action, Decision, Policies, PolicyCounts, Subject};
use crate::observe::event::Facts;
use jiff::Timestamp;
use serde::Serialize;
use std::io::{self, Write};

/// How decisions are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// One object of JSON a line; the last one is `{"summary": …}`.
    Json,
}

/// What came out of it all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Events that were read.
    pub events: u64,
    /// Events that go on, whatever was done with them.
    pub passed: u64,
    /// Events that are dropped.
    pub dropped: u64,
    /// Events that are refused.
    pub refused: u64,
    /// Events that go on with a flag.
    pub flagged: u64,
    /// Events that go on with more masks than others.
    pub masked: u64,
    /// Alerts.
    pub alerts: u64,
    /// Lines that are no event.
    pub unreadable: u64,
}

#[derive(Serialize)]
struct Row<'a> {
    line: u64,
    id: &'a str,
    at: Option<String>,
    project: &'a str,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    flags: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    masks: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alerts: Vec<String>,
}

#[derive(Serialize)]
struct Last<'a> {
    summary: &'a Summary,
    policies: Vec<LastPolicy>,
}

#[derive(Serialize)]
struct LastPolicy {
    policy: String,
    matched: u64,
    flagged: u64,
    masked: u64,
    dropped: u64,
    refused: u64,
    alerted: u64,
    errors: u64,
}

/// Tries policies, whose counters should be new, on the lines of a file. A line is what the JSON
/// lines destination writes, a span of OTLP in JSON, a message of RudderStack, an envelope of
/// Langfuse, a whole request of one of these three, or an object with the words of conditions and
/// `cost_usd`, `tokens` and `at`. `price` tells what an event cost, in units of 10^-12 US dollars;
/// where it doesn't know, the event's own statement counts. An event without a time has that of
/// the one before it.
///
/// # Errors
/// When lines can't be read, or decisions can't be written. A line that is no event is no error.
pub fn check(
    policies: &Policies,
    lines: impl IntoIterator<Item = io::Result<String>>,
    price: &dyn Fn(&Facts) -> Option<u64>,
    format: Format,
    out: &mut dyn Write,
) -> io::Result<Summary> {
    let mut summary = Summary::default();
    let mut now_ms = 0;
    if format == Format::Table {
        writeln!(
            out,
            "{:>6}  {:<24}  {:<10}  {:<20}  EVENT",
            "LINE", "TIME", "DECISION", "POLICY"
        )?;
    }
    for (number, text) in (1..).zip(lines) {
        let text = text?;
        if text.trim().is_empty() {
            continue;
        }
        let events = match line::read(&text) {
            Ok(events) => events,
            Err(reason) => {
                summary.unreadable += 1;
                write_unreadable(out, format, number, &reason)?;
                continue;
            }
        };
        for mut event in events {
            now_ms = event.at_ms.unwrap_or(now_ms);
            let stated = event.facts.stated_cost_pico;
            event.cost_pico = event.cost_pico.or_else(|| price(&event.facts)).or(stated);
            let decision = decided(policies, &event, now_ms, &mut summary);
            write_row(out, format, &row(number, &event, now_ms, &decision), &event.facts)?;
        }
    }
    write_last(out, format, &summary, policies.counts())?;
    Ok(summary)
}

fn decided(
    policies: &Policies,
    event: &line::Event,
    now_ms: u64,
    summary: &mut Summary,
) -> Decision {
    let subject = Subject {
        project: &event.project,
        key_name: &event.key_name,
        kind: event.kind,
        facts: &event.facts,
        cost_pico: event.cost_pico,
    };
    let mut decision = policies.decide(&subject, now_ms);
    decision.alerts.extend(policies.settle(&decision.due, now_ms));
    summary.events += 1;
    match &decision.action {
        Action::Pass => summary.passed += 1,
        Action::Drop(_) => summary.dropped += 1,
        Action::Refuse { .. } => summary.refused += 1,
    }
    summary.flagged += u64::from(!decision.flags.is_empty());
    summary.masked += u64::from(!decision.masks.is_empty());
    summary.alerts += decision.alerts.len() as u64;
    decision
}

fn row<'a>(line: u64, event: &'a line::Event, now_ms: u64, decision: &'a Decision) -> Row<'a> {
    let (action, policy, message, retry_after_s) = match &decision.action {
        Action::Pass if !decision.flags.is_empty() => ("flag", None, None, None),
        Action::Pass if !decision.masks.is_empty() => ("mask", None, None, None),
        Action::Pass => ("pass", None, None, None),
        Action::Drop(policy) => ("drop", Some(policy.as_ref()), None, None),
        Action::Refuse { policy, message, retry_after } => {
            let seconds = Some(retry_after.as_secs());
            ("refuse", Some(policy.as_ref()), Some(message.as_str()), seconds)
        }
    };
    Row {
        line,
        id: &event.id,
        at: time(now_ms),
        project: &event.project,
        action,
        policy,
        message,
        retry_after_s,
        flags: &decision.flags,
        masks: decision.masks.iter().map(AsRef::as_ref).collect(),
        alerts: decision.alerts.iter().map(ToString::to_string).collect(),
    }
}

fn time(ms: u64) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    (ms > 0).then(|| format!("{at:.3}"))
}

fn write_row(out: &mut dyn Write, format: Format, row: &Row<'_>, facts: &Facts) -> io::Result<()> {
    if format == Format::Json {
        serde_json::to_writer(&mut *out, row)?;
        return writeln!(out);
    }
    let flags = row.flags.join(",");
    let policy = row.policy.unwrap_or(&flags);
    let name = if facts.name.is_empty() { row.id } else { &facts.name };
    let at = row.at.as_deref().unwrap_or("-");
    write!(out, "{:>6}  {at:<24}  {:<10}  {policy:<20}  {}", row.line, row.action, words(name))?;
    if let Some(user) = &facts.user {
        write!(out, " by {}", words(user))?;
    }
    if !row.masks.is_empty() {
        write!(out, " (masks: {})", row.masks.join(","))?;
    }
    writeln!(out)?;
    for alert in &row.alerts {
        writeln!(out, "{:>6}  {:<24}  {:<10}  {}", "", "", "alert", words(alert))?;
    }
    Ok(())
}

fn write_unreadable(
    out: &mut dyn Write,
    format: Format,
    line: u64,
    reason: &str,
) -> io::Result<()> {
    if format == Format::Json {
        let row = serde_json::json!({"line": line, "action": "unreadable", "message": reason});
        return writeln!(out, "{row}");
    }
    writeln!(out, "{line:>6}  {:<24}  {:<10}  {:<20}  {}", "-", "unreadable", "", words(reason))
}

fn write_last(
    out: &mut dyn Write,
    format: Format,
    summary: &Summary,
    counts: Vec<PolicyCounts>,
) -> io::Result<()> {
    let policies: Vec<LastPolicy> = counts
        .into_iter()
        .map(|count| LastPolicy {
            policy: count.name,
            matched: count.matched,
            flagged: count.flagged,
            masked: count.masked,
            dropped: count.dropped,
            refused: count.refused,
            alerted: count.alerted,
            errors: count.errors,
        })
        .collect();
    if format == Format::Json {
        serde_json::to_writer(&mut *out, &Last { summary, policies })?;
        return writeln!(out);
    }
    let Summary { events, passed, dropped, refused, flagged, masked, alerts, unreadable } = summary;
    writeln!(out, "\n{events} events: {passed} pass, {dropped} dropped, {refused} refused")?;
    writeln!(out, "{flagged} flagged, {masked} masked, {alerts} alerts, {unreadable} unreadable")?;
    for LastPolicy { policy, matched, flagged, masked, dropped, refused, alerted, errors } in
        policies
    {
        write!(out, "{policy}: {matched} matched, {flagged} flagged, {masked} masked, ")?;
        writeln!(out, "{dropped} dropped, {refused} refused, {alerted} alerts, {errors} errors")?;
    }
    Ok(())
}

/// What a client sent, without what would move the cursor of a terminal.
fn words(text: &str) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    text.chars().take(120).map(plain).collect()
}
