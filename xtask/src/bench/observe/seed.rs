//! The overhead that was asked for, 95 % of requests under 150 ms and 99 % under 200 ms, and how
//! many times less it is: every stage switched on, every answer synced.

use super::figures::{Goal, head, rounds, row, shown, spread};
use super::gateway::Gateway;
use super::load::{Load, Seen};
use super::{Config, Field};
use crate::bench::remote::Remote;
use crate::bench::table::thousands;
use anyhow::{Context, Result};
use std::fs;

/// What was asked for, in milliseconds.
const P95_MS: f64 = 150.0;
const P99_MS: f64 = 200.0;
/// How many times less it should be.
const FACTOR: Goal = Goal::AtLeast(15.0);
/// Requests a second.
const RATE: f64 = 2_000.0;

/// The table of the floor.
///
/// # Errors
/// When a gateway does not start or answers nothing.
pub fn measure(field: &Field<'_>) -> Result<String> {
    let doors = ["otlp", "legacy", "rudder"];
    let all = rounds(&doors, field.job.rounds, |door| {
        let seen = take(field, door).with_context(|| format!("door {door}"))?;
        println!("{door}: {seen:?}");
        Ok(seen)
    })?;
    let ((measured, _), times) = (field.durations(), field.times());
    let mut text = format!(
        "### The overhead that was asked for: p95 under {P95_MS} ms, p99 under {P99_MS} ms\n\n\
         Every stage switched on (masks, policies with a budget, prices, flags, Langfuse, \
         RudderStack and SQLite behind it), every answer synced to disk: {} requests a second in \
         an open loop, each {times} for {} s. The factor is how many times less it takes.\n\n",
        thousands(RATE as u64),
        measured.as_secs()
    );
    text.push_str(&table(&all));
    Ok(text)
}

fn take(field: &Field<'_>, door: &'static str) -> Result<Seen> {
    let folder = field.round()?;
    let remote = Remote::start(field.windlass, "observe", &["--counters-only"])?;
    let files = field.place.root.join("xtask/bench/observe");
    for name in ["policies.toml", "flags.json"] {
        fs::copy(files.join(name), folder.join(name)).with_context(|| name.to_owned())?;
    }
    let stages = fs::read_to_string(files.join("stages.toml")).context("stages.toml")?;
    let mut config = Config::new("acknowledged").simulators(&remote.url);
    config = config.destination("rows", "sql", "");
    // Single keys of a TOML file stand before its tables.
    let config = format!(
        "policies = \"policies.toml\"\nflags = \"flags.json\"\ntracing-flag = \"tracing\"\n{}\n\
         {stages}",
        config.text
    );
    let gateway = Gateway::start(field.windlass, &folder, &config)?;
    let (duration, warmup) = field.durations();
    let load = Load { door, rate: Some(RATE), connections: 32, events: 1, duration, warmup };
    load.send(field.windlass, &gateway.url, &folder)
}

fn table(all: &[(&'static str, Vec<Seen>)]) -> String {
    let mut text = head(&[
        "door",
        ">p95 ms",
        ">factor",
        ">p99 ms",
        ">factor",
        ">errors %",
        "p95 goal",
        "p99 goal",
    ]);
    for (door, rounds) in all {
        let of = |figure: fn(&Seen) -> f64| spread(rounds.iter().map(figure));
        let (p95, p99) = (of(|seen| seen.p95_ms), of(|seen| seen.p99_ms));
        let (first, second) = (P95_MS / p95.median, P99_MS / p99.median);
        text.push_str(&row(&[
            (*door).to_owned(),
            shown(p95),
            format!("{first:.0}"),
            shown(p99),
            format!("{second:.0}"),
            format!("{:.2}", of(|seen| seen.errors).max * 100.0),
            FACTOR.judged(first),
            FACTOR.judged(second),
        ]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_of_the_median() {
        let seen = |p95_ms: f64, p99_ms: f64| Seen { p95_ms, p99_ms, ..Seen::default() };
        let text = table(&[("otlp", vec![seen(5.0, 20.0), seen(4.0, 16.0), seen(50.0, 90.0)])]);
        let expected = "| otlp | 5.00 (4.00..50.0) | 30 | 20.0 (16.0..90.0) | 10 | 0.00 | \
                        >= 15: met | >= 15: missed |";
        assert_eq!(text.lines().nth(2).unwrap(), expected);
    }
}
