//! How long an answer takes at the doors while the destinations are well, slow, throttled or dead.
//! An open loop: a time counts from the moment that a request was due.

use super::figures::{Goal, head, rounds, row, shown, spread};
use super::gateway::Gateway;
use super::load::{EVENT_BYTES, Load, Seen};
use super::{Config, Field};
use crate::bench::remote::Remote;
use crate::bench::samples::Spread;
use crate::bench::table::{figure, thousands};
use anyhow::{Context, Result};
use std::time::Instant;

/// Connections of the load.
const CONNECTIONS: u32 = 32;
/// The share of requests without a good answer, and of events that were dropped after one.
const ERRORS: Goal = Goal::Under(0.01);

/// What an answer means, and what is asked of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mode {
    durability: &'static str,
    rate: f64,
    /// Of 95 of 100 answers, in milliseconds.
    p95: Goal,
}

const MODES: [Mode; 2] = [
    Mode { durability: "fire-and-forget", rate: 5_000.0, p95: Goal::Under(1.0) },
    Mode { durability: "acknowledged", rate: 2_000.0, p95: Goal::Under(10.0) },
];

/// How the destinations are: a word, and the mode of the simulators' outage.
const STATES: [(&str, Option<&str>); 4] = [
    ("healthy", None),
    ("slow, 200 ms", Some("slow:200ms")),
    ("throttled, 429", Some("429")),
    ("dead", Some("down")),
];

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Side {
    mode: Mode,
    door: &'static str,
    state: (&'static str, Option<&'static str>),
}

/// What a round saw.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Round {
    seen: Seen,
    /// With what was taken in and dropped.
    errors: f64,
    /// The gateway's time of a core.
    cores: f64,
    /// What one sync of the disk took on average, in milliseconds.
    sync_ms: f64,
}

/// The table of the doors.
///
/// # Errors
/// When a gateway does not start or answers nothing.
pub fn measure(field: &Field<'_>) -> Result<String> {
    let mut sides = Vec::new();
    for mode in MODES {
        for door in ["rudder", "otlp"] {
            sides.extend(STATES.map(|state| Side { mode, door, state }));
        }
    }
    let all = rounds(&sides, field.job.rounds, |side| {
        let round = take(field, side);
        let Side { mode, door, state } = side;
        let round = round.with_context(|| format!("{} {door} {}", mode.durability, state.0))?;
        println!("{} {door} {}: {round:?}", mode.durability, state.0);
        Ok(round)
    })?;
    let ((measured, warmup), times) = (field.durations(), field.times());
    let (measured, warmup) = (measured.as_secs(), warmup.as_secs());
    let mut text = format!(
        "### The doors, in front of destinations in every state\n\nAn open loop over \
         {CONNECTIONS} connections, one event of {EVENT_BYTES} bytes a request, each {times} for \
         {measured} s after {warmup} s; gateway, generator and simulators share the cores. Events \
         go to Langfuse or RudderStack, in that state, and to SQLite. Times in ms from the moment \
         that a request was due; \"late\" is how late the generator itself was, and part of them; \
         \"sync\" is what the disk took for one, on average. Errors count requests without a \
         good answer and events dropped after one, at most.\n\n"
    );
    text.push_str(&table(&all));
    Ok(text)
}

fn take(field: &Field<'_>, side: Side) -> Result<Round> {
    let folder = field.round()?;
    let mut arguments = vec!["--counters-only".to_owned()];
    if let Some(mode) = side.state.1 {
        for remote in ["langfuse", "rudder"] {
            arguments.extend(["--outage".to_owned(), format!("{remote}={mode}@..")]);
        }
    }
    let remote = Remote::start(field.windlass, "observe", &arguments)?;
    let config = Config::new(side.mode.durability).simulators(&remote.url);
    let config = config.destination("rows", "sql", "");
    let gateway = Gateway::start(field.windlass, &folder, &config.text)?;
    let (duration, warmup) = field.durations();
    let load = Load {
        door: side.door,
        rate: Some(side.mode.rate),
        connections: CONNECTIONS,
        events: 1,
        duration,
        warmup,
    };
    let (start, before_s) = (Instant::now(), gateway.process()?.cpu_s());
    let seen = load.send(field.windlass, &gateway.url, &folder)?;
    let cores = (gateway.process()?.cpu_s() - before_s) / start.elapsed().as_secs_f64();
    let status = gateway.status()?;
    let shed = status["events"]["shed"].as_u64().context("no events.shed")?;
    let syncs = &status["queue"]["syncs"];
    let (count, sum_us) = (syncs["count"].as_f64(), syncs["sum_us"].as_f64());
    let (count, sum_us) = count.zip(sum_us).context("no queue.syncs")?;
    let sync_ms = sum_us / count.max(1.0) / 1e3;
    // Those of the warm-up are among them, too, for the gateway doesn't tell them apart.
    let errors = seen.errors + shed as f64 / seen.requests.max(1) as f64;
    Ok(Round { seen, errors, cores, sync_ms })
}

fn table(all: &[(Side, Vec<Round>)]) -> String {
    let mut text = head(&[
        "answer",
        "door",
        "destinations",
        ">requests/s",
        ">p50",
        ">p95",
        ">p99",
        ">late p95",
        ">sync",
        ">cores",
        ">errors %",
        "p95 goal",
        "errors goal",
    ]);
    for (Side { mode, door, state }, rounds) in all {
        let of = |figure: fn(&Round) -> f64| spread(rounds.iter().map(figure));
        let (p95, errors) = (of(|round| round.seen.p95_ms), of(|round| round.errors));
        text.push_str(&row(&[
            mode.durability.to_owned(),
            (*door).to_owned(),
            state.0.to_owned(),
            thousands(of(|round| round.seen.rate).median.round() as u64),
            figure(of(|round| round.seen.p50_ms).median),
            shown(p95),
            shown(of(|round| round.seen.p99_ms)),
            late(of(|round| round.seen.late_p95_ms)),
            figure(of(|round| round.sync_ms).median),
            figure(of(|round| round.cores).median),
            figure(errors.max * 100.0),
            mode.p95.judged(p95.median),
            format!("< 1: {}", ERRORS.verdict(errors.max)),
        ]));
    }
    text
}

/// It is only known of requests that found a free connection when they were due.
fn late(spread: Spread) -> String {
    if spread.max > 0.0 { figure(spread.median) } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_errors_count_and_the_median_of_times() {
        let side = Side { mode: MODES[0], door: "otlp", state: STATES[3] };
        let round = |p95_ms: f64, errors: f64| Round {
            seen: Seen { p50_ms: 0.1, p95_ms, p99_ms: 2.0, rate: 4_999.6, ..Seen::default() },
            errors,
            cores: 0.5,
            sync_ms: 1.4,
        };
        let text = table(&[(side, vec![round(0.9, 0.0), round(0.8, 0.02), round(3.0, 0.0)])]);
        let line = text.lines().nth(2).unwrap();
        let expected = "| fire-and-forget | otlp | dead | 5,000 | 0.100 | 0.900 (0.800..3.00) | \
                        2.00 | - | 1.40 | 0.500 | 2.00 | < 1: met | < 1: missed |";
        assert_eq!(line, expected);
    }
}
