//! Plain lines for a standard error that is not a terminal: a log, a pipe, a cron mail. No
//! control characters, and symbols that any character set has.

use super::progress::{Progress, Shown, left};
use super::story::{self, Told, Tone};
use super::{Expected, FAILURES_TOLD, words};
use std::io::{self, Write};
use std::time::Duration;
use windlass_engine::Moment;
use windlass_engine::event::{Event, Stamped};
use windlass_engine::plan::Header;
use windlass_engine::remote::Meter;
use windlass_engine::runner::Reporter;
use windlass_engine::tally::Tally;

/// When the first line of progress comes.
const FIRST: Duration = Duration::from_secs(1);
/// How long between two of them.
const EVERY: Duration = Duration::from_secs(10);

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Only what a person has to know.
    Quiet,
    /// What holds a query up, too.
    Trouble,
    /// Progress, too.
    Normal,
    /// Every page, attempt and step.
    Debug,
}

/// Plain lines.
pub struct Lines<W: Write + Send = io::Stderr> {
    out: W,
    detail: Detail,
    progress: Progress,
    failures: u64,
    next: Moment,
    /// A 429 hits every request on the wire at once; until this moment one line stands for all.
    throttled: Moment,
}

impl Lines {
    /// Lines on standard error.
    #[must_use]
    pub fn new(plan: &Header, detail: Detail) -> Self {
        Self::with(plan, detail, io::stderr())
    }
}

impl<W: Write + Send> Lines<W> {
    /// Lines on `out`.
    #[must_use]
    pub fn with(plan: &Header, detail: Detail, out: W) -> Self {
        let progress = Progress::new(plan);
        let next = Moment::ZERO + FIRST;
        Self { out, detail, progress, failures: 0, next, throttled: Moment::ZERO }
    }

    /// The same with what a step of each phase is expected to take.
    #[must_use]
    pub fn expecting(mut self, expected: Expected) -> Self {
        self.progress.expect(expected);
        self
    }

    fn say(&mut self, told: &[Told]) {
        let text: String = told.iter().map(|line| line.letters() + "\n").collect();
        // A reader that is gone is no reason to end a run.
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }

    fn throttle(&mut self, stamped: &Stamped) -> Option<Told> {
        let Event::Throttled { wait_ms, .. } = &stamped.event else { return None };
        let known = stamped.at < self.throttled;
        self.throttled = self.throttled.max(stamped.at + Duration::from_millis(*wait_ms));
        if known { None } else { story::throttle(&stamped.event) }
    }

    fn failures(&mut self, event: &Event) -> Vec<Told> {
        let mut told = Vec::new();
        for failure in story::failures(event) {
            self.failures += 1;
            if self.detail == Detail::Debug || self.failures <= FAILURES_TOLD {
                told.push(failure);
            } else if self.failures == FAILURES_TOLD + 1 {
                told.push(Told::new(Tone::Note, "further failures are only counted here"));
            }
        }
        told
    }
}

impl<W: Write + Send> Reporter for Lines<W> {
    fn event(&mut self, stamped: &Stamped, tally: &Tally) {
        let event = &stamped.event;
        let mut told: Vec<Told> = story::notable(event).into_iter().collect();
        let progress = self.progress.event(stamped, tally);
        let is_trouble = |line: &Told| matches!(line.tone, Tone::Warn | Tone::Bad);
        if self.detail == Detail::Quiet {
            told.retain(is_trouble);
        } else if self.detail == Detail::Trouble {
            told.extend(self.throttle(stamped));
            told.extend(progress);
            told.retain(is_trouble);
        } else {
            told.extend(self.failures(event));
            match self.detail {
                Detail::Debug => told.extend(story::details(event)),
                _ => told.extend(self.throttle(stamped)),
            }
            told.extend(progress);
        }
        if !told.is_empty() {
            self.say(&told);
        }
    }

    fn tick(&mut self, now: Moment, tally: &Tally, meter: &Meter) {
        self.progress.observe(now, meter);
        let held_up = || story::waiting(meter, self.progress.is_stopping()).is_some();
        let is_worth_it = match self.detail {
            Detail::Quiet => false,
            Detail::Trouble => held_up(),
            Detail::Normal | Detail::Debug => true,
        };
        if now < self.next || !is_worth_it {
            return;
        }
        if let Some(text) = sentence(&self.progress, now, tally, meter) {
            self.next = now + EVERY;
            self.say(&[Told::new(Tone::Note, text)]);
        }
    }
}

impl<W: Write + Send> Drop for Lines<W> {
    fn drop(&mut self) {
        let told = self.progress.finish();
        if matches!(self.detail, Detail::Normal | Detail::Debug) && !told.is_empty() {
            self.say(&told);
        }
    }
}

fn sentence(progress: &Progress, now: Moment, tally: &Tally, meter: &Meter) -> Option<String> {
    let mut parts = Vec::new();
    let title = match progress.shown(tally) {
        Shown::Phase(phase, pace) => {
            let counts = phase.counts;
            let settled = words::count(counts.settled());
            let percent = words::percent(counts.settled(), phase.steps);
            parts.push(format!("{settled} of {} ({percent})", words::count(phase.steps)));
            let named = [
                (counts.done, "ok"),
                (counts.already_gone, "already gone"),
                (counts.skipped, "skipped"),
                (counts.failed, "failed"),
                (counts.elsewhere, "by others"),
            ];
            let present = named.iter().filter(|(count, _)| *count > 0);
            parts.extend(present.map(|(count, name)| format!("{} {name}", words::count(*count))));
            let left = left(phase);
            parts.push(words::rate(pace.average(now, left)));
            let eta = progress.eta(now, tally, meter);
            parts.extend(eta.map(|eta| format!("{} left", words::eta(eta))));
            progress.title(&phase.name)
        }
        Shown::Listing(listing) => {
            parts.push(words::plural(listing.pages, "page"));
            parts.push(format!("{} seen", words::count(listing.seen)));
            parts.push(format!("{} match", words::count(listing.selected)));
            parts.push(format!("{} pages/s", words::decimal(listing.rate(now))));
            progress.title(&listing.phase)
        }
        Shown::Nothing => progress.title(""),
        Shown::Ended => return None,
    };
    parts.extend(story::waiting(meter, progress.is_stopping()));
    Some(if parts.is_empty() { title } else { format!("{title}: {}", parts.join(", ")) })
}
