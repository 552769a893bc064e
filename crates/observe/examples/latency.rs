//! What a call of the recorder costs the caller: histograms of `track`, `span` and `generation` on
//! one and two threads, while the background sends to a gateway that is healthy, hangs or is away.
//!
//! `cargo run --release -p windlass-observe --example latency [SECONDS]` prints a table; each row
//! takes so long. Calls come at a fixed pace, as they do in a program that has other work; the time
//! that reading the clock takes is part of every figure and is the table's first row.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for the terminal")]

use hdrhistogram::Histogram;
use std::hint::{black_box, spin_loop};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use windlass_observe::{Recorder, Stats};

/// Calls a second of each thread.
const PACE: f64 = 50_000.0;

type Call = fn(&Recorder, u64);

const CALLS: [(&str, Call); 4] =
    [("track", track), ("span", span), ("generation", generation), ("track, off", track)];

fn track(recorder: &Recorder, number: u64) {
    let properties = [("length", number.into()), ("plan", "pro".into()), ("paid", true.into())];
    recorder.track(black_box("user-4711"), black_box("message_sent"), &properties);
}

fn span(recorder: &Recorder, number: u64) {
    let mut span = recorder.span(black_box("retrieve")).user("user-4711").session("s-1");
    span.attribute("documents", number);
}

fn generation(recorder: &Recorder, number: u64) {
    let generation = recorder.generation(black_box("chat")).user("user-4711").session("s-1");
    let mut generation = generation.model("gpt-4o").provider("openai").input("Why is it blue?");
    generation.usage(number, 500).output("Because of Rayleigh scattering.");
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).map_or(2.0, |text| text.parse().unwrap());
    println!(
        "{:<11} {:<8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9} {:>9}  became of them",
        "call", "gateway", "threads", "p50 ns", "p95 ns", "p99 ns", "p99.9", "max ns", "calls"
    );
    let clock = measure(None, 1, seconds, |_, _| {});
    row("(clock)", "-", 1, &clock, Stats::default());
    for gateway in ["healthy", "hangs", "refused"] {
        let url = match gateway {
            "healthy" => serve(false),
            "hangs" => serve(true),
            _ => "http://127.0.0.1:9".to_owned(),
        };
        for (name, call) in CALLS {
            for threads in [1, 2] {
                let settings = Recorder::to(&url).keys("pk", "sk").write_key("wk");
                let recorder = settings.start().unwrap();
                recorder.set_enabled(name != "track, off");
                let seen = measure(Some(&recorder), threads, seconds, |recorder, number| {
                    call(recorder.unwrap(), number);
                });
                let stats = recorder.shutdown(Duration::from_secs(1));
                row(name, gateway, threads, &seen, stats);
            }
        }
    }
}

fn row(name: &str, gateway: &str, threads: usize, seen: &Histogram<u64>, stats: Stats) {
    let at = |quantile| seen.value_at_quantile(quantile);
    let Stats { sent, dropped, failed, refused, queued, .. } = stats;
    println!(
        "{name:<11} {gateway:<8} {threads:>7} {:>7} {:>7} {:>7} {:>7} {:>9} {:>9}  \
         {sent} sent, {dropped} dropped, {} failed, {queued} left",
        at(0.5),
        at(0.95),
        at(0.99),
        at(0.999),
        seen.max(),
        seen.len(),
        failed + refused,
    );
}

/// Calls at the pace and measures each call; the first fifth warms up.
fn measure(
    recorder: Option<&Recorder>,
    threads: usize,
    seconds: f64,
    call: impl Fn(Option<&Recorder>, u64) + Sync,
) -> Histogram<u64> {
    let count = (seconds * PACE) as u64;
    let one = || {
        let mut seen = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        let begun = Instant::now();
        for number in 0..count {
            let due = Duration::from_secs_f64(number as f64 / PACE);
            while begun.elapsed() < due {
                spin_loop();
            }
            let before = Instant::now();
            call(recorder, number);
            let took = before.elapsed();
            if number > count / 5 {
                seen.saturating_record(u64::try_from(took.as_nanos()).unwrap());
            }
        }
        seen
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let mut all = Histogram::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        for handle in handles {
            all.add(handle.join().unwrap()).unwrap();
        }
        all
    })
}

/// A gateway that takes everything, or reads and never answers.
fn serve(hangs: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream, hangs));
        }
    });
    url
}

/// Answers requests until the connection ends.
fn answer(mut stream: TcpStream, hangs: bool) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().ok()?;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).ok()?;
        if !hangs {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").ok()?;
        }
    }
}
