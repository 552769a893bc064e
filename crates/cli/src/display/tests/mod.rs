//! What the screen says, checked as text. A made-up run is fed to every reader the way the
//! dispatcher does it: the tally first, then the reader.

mod answer;
mod bar;
mod dashboard;
mod expected;
mod json;
mod lines;
mod metrics;
mod pace;
mod screen;
mod summary;
mod words;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use windlass_engine::event::{Ending, Event, Settled, Stamped, Waiting};
use windlass_engine::plan::{Header, Phase};
use windlass_engine::remote::{Meter, WindowMeter};
use windlass_engine::report::Report;
use windlass_engine::runner::Reporter;
use windlass_engine::tally::Tally;
use windlass_engine::{Failure, Kind, Moment, Outcome};

/// A label of a remote that means harm to terminals and pages.
const HOSTILE: &str = "Evil\x1b[2J <script>alert('1')</script>";

fn header(organizations: u64, users: u64) -> Header {
    let phase = |name: &str, steps| Phase { name: name.into(), steps, seen: 2 * steps };
    Header {
        windlass_plan: 1,
        id: "run-1".into(),
        system: "workos".into(),
        operation: "delete".into(),
        account: "fp_12ab".into(),
        base_url: "https://api.workos.com".into(),
        created_unix_ms: 0,
        options: serde_json::Value::Null,
        phases: vec![phase("organizations", organizations), phase("users", users)],
        left: [("unknown date".to_owned(), 3)].into(),
        steps: organizations + users,
        digest: String::new(),
    }
}

fn seconds(seconds: f64) -> Moment {
    Moment::from_micros((seconds * 1e6) as u64)
}

fn failed(request: &str) -> Outcome {
    let mut failure = Failure::new(Kind::Rejected, "not allowed");
    failure.status = Some(422);
    failure.request_id = Some(request.into());
    Outcome::Failed(Box::new(failure))
}

fn settled(step: u64, outcome: Outcome) -> Event {
    let label = (outcome != Outcome::Done).then(|| HOSTILE.into());
    Event::Settled {
        steps: vec![Settled { step, key: format!("org_{step}").into(), label, outcome }],
        latency_us: 41_000,
        attempts: 1,
        status: Some(204),
        request_id: Some("req_9".into()),
    }
}

fn page(phase: &str, number: u64) -> Event {
    Event::Page {
        phase: phase.into(),
        page: number,
        seen: 100 * number,
        selected: 23 * number,
        latency_us: 41_000,
        request_id: Some("req_1".into()),
    }
}

fn throttled(wait_ms: u64) -> Event {
    let operation = "delete organization".into();
    Event::Throttled { operation, wait_ms, told: true, request_id: Some("req_7".into()) }
}

fn window(name: &str, quota: &str, available: u32) -> WindowMeter {
    let quota = quota.parse().unwrap();
    WindowMeter { name: name.into(), quota, available, factor: 1.0 }
}

fn waiting(waiting: Waiting, seconds: u64) -> Meter {
    let waiting_us = Some(seconds * 1_000_000);
    Meter { in_flight: 3, waiting: Some(waiting), waiting_us, ..Meter::default() }
}

/// A run that is told to one reader.
struct Feed<R> {
    tally: Tally,
    reporter: R,
}

impl<R: Reporter> Feed<R> {
    fn new(plan: &Header, reporter: R) -> Self {
        Self { tally: Tally::new(plan), reporter }
    }

    /// A feed whose run has begun.
    fn started(plan: &Header, reporter: R) -> Self {
        let mut feed = Self::new(plan, reporter);
        feed.event(0.0, start(plan));
        feed
    }

    fn event(&mut self, at: f64, event: Event) {
        let stamped = Stamped { at: seconds(at), event };
        self.tally.take_in(&stamped);
        self.reporter.event(&stamped, &self.tally);
    }

    fn done(&mut self, at: f64, steps: std::ops::Range<u64>) {
        steps.for_each(|step| self.event(at, settled(step, Outcome::Done)));
    }

    fn tick(&mut self, at: f64, meter: &Meter) {
        self.reporter.tick(seconds(at), &self.tally, meter);
    }
}

fn start(plan: &Header) -> Event {
    Event::RunStarted {
        version: 1,
        run: plan.id.clone(),
        unix_ms: 1_795_224_605_000,
        session: 1,
        steps: plan.steps,
        finished: 0,
        seed: 1,
        best_ms: None,
    }
}

/// A writer whose text can still be read when the reporter has it.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    /// What was written since the last look.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal that was closed.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

/// Reads nothing into the events.
struct Deaf;

impl Reporter for Deaf {
    fn event(&mut self, _: &Stamped, _: &Tally) {}
    fn tick(&mut self, _: Moment, _: &Tally, _: &Meter) {}
}

/// The report of a run of 40 organizations and 10 users with every outcome in it.
fn report() -> Report {
    let plan = header(40, 10);
    let mut feed = Feed::started(&plan, Deaf);
    feed.done(1.0, 0..20);
    for step in 20..35 {
        feed.event(2.0, settled(step, failed(&format!("req_{step}"))));
    }
    feed.event(3.0, throttled(4000));
    feed.event(8.0, settled(35, Outcome::AlreadyGone));
    feed.event(8.0, settled(36, Outcome::DoneConfirmed));
    feed.event(8.0, settled(37, Outcome::Skipped("protected".into())));
    feed.done(9.0, 38..50);
    feed.event(10.0, Event::RunEnded { ending: Ending::Complete });
    Report::new(&plan, &feed.tally)
}
