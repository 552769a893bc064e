//! Throughput beside Rotel, a collector of OpenTelemetry in Rust that keeps everything in memory.
//! The same generator sends the same requests to both as fast as answers come; both throw away
//! what they took.

use super::figures::{Goal, head, ratio, rounds, row, shown, spread};
use super::gateway::{Gateway, Process, free_address};
use super::load::{EVENT_BYTES, Load, Seen};
use super::{Config, Field};
use crate::bench::table::{figure, thousands};
use crate::test::tools::python::ROTEL;
use anyhow::{Context, Result};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Requests of ours for each one of Rotel's.
const RATIO: Goal = Goal::AtLeast(1.0);
/// Spans of a request, and connections.
const LOADS: [(u32, u32); 4] = [(1, 16), (100, 16), (1, 256), (100, 256)];

/// Where it is, if it is not installed by its wheels.
const VARIABLE: &str = "WINDLASS_ROTEL";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Rotel,
    Forget,
    Acknowledged,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Rotel => "Rotel",
            Self::Forget => "windlass, fire-and-forget",
            Self::Acknowledged => "windlass, acknowledged",
        }
    }

    /// Where the spans are when the answer comes, and what a kill -9 or a power cut takes.
    const fn durability(self) -> &'static str {
        match self {
            Self::Rotel => "memory only",
            Self::Forget => "taken in, written within ms",
            Self::Acknowledged => "synced to disk",
        }
    }
}

/// What a round saw.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Round {
    seen: Seen,
    /// Time of a core that the server took for one request, in microseconds.
    cpu_us: f64,
    /// Its largest resident set, in MB.
    peak_mb: f64,
}

/// The tables beside Rotel, one for each load.
///
/// # Errors
/// When a server does not start or answers nothing.
pub fn measure(field: &Field<'_>) -> Result<String> {
    let rotel = rotel(field);
    let mut sides = vec![Side::Forget, Side::Acknowledged];
    if rotel.is_ok() {
        sides.insert(0, Side::Rotel);
    }
    let (duration, times) = (field.durations().0.as_secs(), field.times());
    let mut text = format!(
        "### Spans beside Rotel\n\nA closed loop of OTLP requests in protobuf, spans of \
         {EVENT_BYTES} bytes, behind both a destination that throws everything away; in turns, \
         each {times} for {duration} s. Ours reads, masks, prices and queues every span; Rotel \
         passes them on. \"Generator\" is the share of one core that sending took: near 100 % \
         the server was not the limit.\n"
    );
    for (spans, connections) in LOADS {
        let all = rounds(&sides, field.job.rounds, |side| {
            let round = take(field, rotel.as_deref().ok(), side, spans, connections);
            let round = round.with_context(|| side.name().to_owned())?;
            println!("{spans} spans, {connections} connections, {}: {round:?}", side.name());
            Ok(round)
        })?;
        let plural = if spans == 1 { "" } else { "s" };
        text.push_str(&format!("\n{spans} span{plural} a request, {connections} connections:\n\n"));
        text.push_str(&table(spans, &all));
    }
    if let Err(why) = rotel {
        text.push_str(&format!("\nNot measured: Rotel: {why:#}.\n"));
    }
    Ok(text)
}

/// The program, which is installed where it is missing.
fn rotel(field: &Field<'_>) -> Result<PathBuf> {
    if field.tool(VARIABLE).is_none() {
        ROTEL.install(&field.place.target)?;
    }
    field.tool(VARIABLE).context("pip installed no Rotel")
}

fn take(
    field: &Field<'_>,
    rotel: Option<&Path>,
    side: Side,
    spans: u32,
    connections: u32,
) -> Result<Round> {
    let folder = field.round()?;
    let send = |url: &str, process: &Process| {
        let (duration, warmup) = field.durations();
        let load = Load { door: "otlp", rate: None, connections, events: spans, duration, warmup };
        let before_s = process.cpu_s();
        let seen = load.send(field.windlass, url, &folder)?;
        let cpu_us = (process.cpu_s() - before_s) * 1e6 / seen.requests.max(1) as f64;
        Ok(Round { seen, cpu_us, peak_mb: process.memory().peak_mb })
    };
    let durability = match side {
        Side::Rotel => {
            let address = free_address()?;
            let process = start(rotel.context("there is no Rotel")?, &folder, address)?;
            return send(&format!("http://{address}"), &process);
        }
        Side::Forget => "fire-and-forget",
        Side::Acknowledged => "acknowledged",
    };
    let config = Config::new(durability).destination("hole", "blackhole", "");
    let gateway = Gateway::start(field.windlass, &folder, &config.text)?;
    send(&gateway.url, gateway.process()?)
}

fn start(rotel: &Path, folder: &Path, address: SocketAddr) -> Result<Process> {
    let mut command = Command::new(rotel);
    command.args(["start", "--exporter", "blackhole"]);
    command.args(["--otlp-http-endpoint", &address.to_string()]);
    command.args(["--otlp-grpc-endpoint", &free_address()?.to_string()]);
    command.arg("--pid-file").arg(folder.join("pid")).arg("--log-file").arg(folder.join("log"));
    command.current_dir(folder).stdout(Stdio::null());
    let mut process = Process::start(&mut command, &folder.join("stderr"))?;
    process.wait_until(|| TcpStream::connect(address).is_ok()).context("Rotel")?;
    Ok(process)
}

fn table(spans: u32, all: &[(Side, Vec<Round>)]) -> String {
    let mut text = head(&[
        "server",
        "an answer means",
        ">requests/s",
        ">spans/s",
        ">p50 ms",
        ">p99 ms",
        ">CPU us / request",
        ">peak MB",
        ">generator %",
        ">x Rotel",
        "goal",
    ]);
    let rotel = all.iter().find(|(side, _)| *side == Side::Rotel).map(|found| &found.1);
    for (side, rounds) in all {
        let of = |figure: fn(&Round) -> f64| spread(rounds.iter().map(figure));
        let rate = of(|round| round.seen.rate);
        let beside = rotel.map(|rotel| ratio(rounds, rotel, |round| round.seen.rate));
        let goal = beside.filter(|_| *side != Side::Rotel);
        text.push_str(&row(&[
            side.name().to_owned(),
            side.durability().to_owned(),
            shown(rate),
            thousands((rate.median * f64::from(spans)).round() as u64),
            figure(of(|round| round.seen.p50_ms).median),
            figure(of(|round| round.seen.p99_ms).median),
            figure(of(|round| round.cpu_us).median),
            figure(of(|round| round.peak_mb).max),
            format!("{:.0}", of(|round| round.seen.generator_cores).median * 100.0),
            beside.map_or_else(|| "-".to_owned(), shown),
            goal.map_or_else(|| "-".to_owned(), |ratio| RATIO.judged(ratio.median)),
        ]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(rate: f64) -> Round {
        let seen = Seen { rate, generator_cores: 0.5, ..Seen::default() };
        Round { seen, cpu_us: 20.0, peak_mb: 30.0 }
    }

    #[test]
    fn ratios_are_beside_rotel() {
        let all = [
            (Side::Rotel, vec![round(1_000.0), round(2_000.0), round(1_000.0)]),
            (Side::Acknowledged, vec![round(900.0), round(2_200.0), round(900.0)]),
        ];
        let text = table(100, &all);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        let expected = [
            "| Rotel | memory only | 1,000 (1,000..2,000) | 100,000 | 0.000 | 0.000 | 20.0 | \
             30.0 | 50 | 1.00 | - |",
            "| windlass, acknowledged | synced to disk | 900 (900..2,200) | 90,000 | 0.000 | \
             0.000 | 20.0 | 30.0 | 50 | 0.900 (0.900..1.10) | >= 1: missed |",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn without_rotel_nothing_is_compared() {
        let text = table(1, &[(Side::Forget, vec![round(1_000.0)])]);
        assert!(text.ends_with("| 50 | - | - |\n"), "{text}");
    }
}
