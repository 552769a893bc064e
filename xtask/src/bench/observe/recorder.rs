//! What a call of the recorder costs the program that calls it: the example `latency` of
//! `windlass-observe`, which measures single calls against a server that is healthy, hangs or is
//! not there.

use super::Field;
use super::figures::{Goal, head, row, shown, spread};
use crate::place::output;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Half of all calls of `track` take less, in nanoseconds.
const P50: Goal = Goal::Under(200.0);
/// And 99 of 100.
const P99: Goal = Goal::Under(2_000.0);
/// The width of the column of the call's name, which may hold a blank.
const NAME: usize = 11;

/// One row of the example's table. Times are in nanoseconds.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    call: String,
    gateway: String,
    threads: u32,
    p50: f64,
    p99: f64,
    max: f64,
}

/// The table of the recorder.
///
/// # Errors
/// When the example does not compile or run.
pub fn measure(field: &Field<'_>) -> Result<String> {
    let example = build(field)?;
    let seconds = field.or_quick("4", "1");
    let mut rounds: Vec<Vec<Line>> = Vec::new();
    for _ in 0..field.job.rounds {
        let said = output(Command::new(&example).arg(seconds))?;
        println!("{said}");
        rounds.push(said.lines().skip(1).map(read).collect::<Result<_>>()?);
    }
    let times = field.times();
    let mut text = format!(
        "### In process: what a call of the recorder takes\n\nEach {times} for {seconds} s, at \
         50,000 calls a second of each thread; p50 and p99 are medians, the longest call is that \
         of all. The clock's own time is in every figure.\n\n"
    );
    text.push_str(&table(&rounds));
    Ok(text)
}

fn build(field: &Field<'_>) -> Result<PathBuf> {
    let words = ["build", "--release", "--locked", "--package", "windlass-observe"];
    let mut command = field.place.cargo(&words);
    if !command.args(["--example", "latency"]).status()?.success() {
        bail!("the example can't be built");
    }
    Ok(field.place.target.join("release/examples/latency"))
}

fn read(line: &str) -> Result<Line> {
    let read = || {
        let (call, rest) = line.split_at_checked(NAME)?;
        let mut words = rest.split_whitespace();
        let (gateway, threads) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
        let times: Option<Vec<f64>> = words.take(5).map(|word| word.parse().ok()).collect();
        let [p50, _p95, p99, _p99_9, max] = times?.try_into().ok()?;
        Some(Line { call: call.trim().to_owned(), gateway, threads, p50, p99, max })
    };
    read().with_context(|| format!("the example wrote `{line}`"))
}

fn table(rounds: &[Vec<Line>]) -> String {
    let mut text = head(&[
        "call",
        "server",
        ">threads",
        ">p50 ns",
        ">p99 ns",
        ">longest us",
        "p50 goal",
        "p99 goal",
    ]);
    for (number, line) in rounds.first().into_iter().flatten().enumerate() {
        let of = |figure: fn(&Line) -> f64| {
            spread(rounds.iter().filter_map(|round| round.get(number)).map(figure))
        };
        let (p50, p99) = (of(|line| line.p50), of(|line| line.p99));
        let goal = |goal: Goal, figure: f64| match line.call.as_str() {
            "track" => goal.judged(figure),
            _ => "-".to_owned(),
        };
        text.push_str(&row(&[
            line.call.clone(),
            line.gateway.clone(),
            line.threads.to_string(),
            shown(p50),
            shown(p99),
            format!("{:.0}", of(|line| line.max).max / 1e3),
            goal(P50, p50.median),
            goal(P99, p99.median),
        ]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "(clock)     -              1      37      40      52      90     12345     \
                        80000  0 sent, 0 dropped, 0 failed, 0 left";
    const TRACK: &str = "track       hangs          2     160     200    2100    4000   1500000    \
                         160000  1 sent, 2 dropped, 3 failed, 4 left";
    const OFF: &str = "track, off  hangs          2      40      41      60      90      2000    \
                       160000  0 sent, 0 dropped, 0 failed, 0 left";

    #[test]
    fn rows_are_read() {
        let line = read(TRACK).unwrap();
        let expected = Line {
            call: "track".to_owned(),
            gateway: "hangs".to_owned(),
            threads: 2,
            p50: 160.0,
            p99: 2_100.0,
            max: 1_500_000.0,
        };
        assert_eq!(line, expected);
        assert_eq!(read(OFF).unwrap().call, "track, off");
        assert_eq!(read(SAID).unwrap().gateway, "-");
        assert!(read("thread 'main' panicked").is_err() && read("").is_err());
    }

    #[test]
    fn only_track_has_goals() {
        let round: Vec<Line> = [SAID, TRACK, OFF].map(|line| read(line).unwrap()).to_vec();
        let text = table(&[round]);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        let expected = [
            "| (clock) | - | 1 | 37.0 | 52.0 | 12 | - | - |",
            "| track | hangs | 2 | 160 | 2,100 | 1500 | < 200: met | < 2000: missed |",
            "| track, off | hangs | 2 | 40.0 | 60.0 | 2 | - | - |",
        ];
        assert_eq!(lines, expected);
    }
}
