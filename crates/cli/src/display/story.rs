//! Events in words: the same for the bar, the plain lines and the dashboard.

use super::style::Style;
use super::words;
use std::time::Duration;
use windlass_engine::event::{Ending, Event, Settled, Waiting};
use windlass_engine::remote::Meter;
use windlass_engine::{Failure, Outcome};

/// Waits for a window that are shorter than this are the normal rhythm and not worth a word.
const WAIT_WORTH_SAYING: Duration = Duration::from_secs(1);

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It is neither good nor bad.
    Note,
    /// It went well.
    Good,
    /// A person should know.
    Warn,
    /// It went wrong.
    Bad,
}

/// One line about what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// How it is meant.
    pub tone: Tone,
    /// The words, free of control characters.
    pub text: String,
}

impl Told {
    /// A line.
    #[must_use]
    pub fn new(tone: Tone, text: impl AsRef<str>) -> Self {
        Self { tone, text: words::plain(text.as_ref()) }
    }

    /// The line with its symbol, for a terminal.
    #[must_use]
    pub fn symbol(&self, style: Style) -> String {
        match self.tone {
            Tone::Note => format!("  {}", self.text),
            Tone::Good => format!("{} {}", style.good("✓"), self.text),
            Tone::Warn => format!("{} {}", style.warn("!"), self.text),
            Tone::Bad => format!("{} {}", style.bad("✗"), self.text),
        }
    }

    /// The line with its meaning in letters, for a log.
    #[must_use]
    pub fn letters(&self) -> String {
        match self.tone {
            Tone::Note => self.text.clone(),
            Tone::Good => format!("ok: {}", self.text),
            Tone::Warn => format!("warning: {}", self.text),
            Tone::Bad => format!("failed: {}", self.text),
        }
    }
}

/// What everybody should be told, debug or not. Failed steps are told by [`failures`].
#[must_use]
pub fn notable(event: &Event) -> Option<Told> {
    let told = match event {
        Event::Warning { message } => Told::new(Tone::Warn, message),
        Event::BreakerOpened { message } => {
            Told::new(Tone::Warn, format!("the breaker opened, nothing is sent: {message}"))
        }
        Event::BreakerClosed => Told::new(Tone::Good, "the remote answers again"),
        Event::Held { by, reason } => Told::new(Tone::Warn, format!("held by {by}: {reason}")),
        Event::Released { by } => Told::new(Tone::Note, format!("{by} does not hold it any more")),
        Event::Alert { name, raised: true, message } => {
            Told::new(Tone::Warn, format!("alert {name}: {message}"))
        }
        Event::Alert { name, raised: false, message } => {
            Told::new(Tone::Good, format!("alert {name} is over: {message}"))
        }
        Event::Paused => Told::new(Tone::Warn, "paused"),
        Event::Resumed => Told::new(Tone::Note, "resumed"),
        Event::RateSet { per_second: Some(rate) } => {
            Told::new(Tone::Note, format!("at most {} from now on", words::rate(*rate)))
        }
        Event::RateSet { per_second: None } => Told::new(Tone::Note, "no ceiling from now on"),
        Event::Stopping { reason } => {
            Told::new(Tone::Warn, format!("stopping ({reason}): what is on the wire is waited for"))
        }
        Event::Reopened { steps } => Told::new(
            Tone::Note,
            format!("trying {} again", words::plural(steps.count(), "failed step")),
        ),
        Event::Verified { left: 0, message, .. } => Told::new(Tone::Good, message),
        Event::Verified { message, .. } => Told::new(Tone::Warn, message),
        _ => return None,
    };
    Some(told)
}

/// A 429 in words, where nothing else shows it.
#[must_use]
pub fn throttle(event: &Event) -> Option<Told> {
    let Event::Throttled { operation, wait_ms, told, request_id } = event else { return None };
    let wait = words::duration(Duration::from_millis(*wait_ms));
    let who = if *told { "the remote said so" } else { "the rest of the window" };
    let id = request(request_id.as_deref());
    Some(Told::new(Tone::Warn, format!("429 for `{operation}`: waiting {wait}, {who}{id}")))
}

/// The failed steps of an event.
pub fn failures(event: &Event) -> impl Iterator<Item = Told> {
    let steps = if let Event::Settled { steps, .. } = event { &steps[..] } else { &[] };
    steps.iter().filter_map(|settled| match &settled.outcome {
        Outcome::Failed(failure) => {
            Some(Told::new(Tone::Bad, format!("{}: {failure}", name(settled))))
        }
        _ => None,
    })
}

/// What only `--debug` tells.
#[must_use]
pub fn details(event: &Event) -> Vec<Told> {
    match event {
        Event::Page { phase, page, seen, selected, latency_us, request_id } => {
            let latency = words::latency(*latency_us as f64 / 1000.0);
            let (page, seen, id) =
                (words::count(*page), words::count(*seen), request_id.as_deref());
            vec![Told::new(
                Tone::Note,
                format!(
                    "page {page} of {phase}: {seen} seen, {} match so far, {latency}{}",
                    words::count(*selected),
                    request(id)
                ),
            )]
        }
        Event::Retrying { operation, attempt, kind, message, wait_ms } => {
            let wait = words::duration(Duration::from_millis(*wait_ms));
            vec![Told::new(
                Tone::Warn,
                format!(
                    "attempt {attempt} of `{operation}` failed, {}: {message}; again in {wait}",
                    kind.words()
                ),
            )]
        }
        Event::Settled { steps, latency_us, attempts, status, request_id } => {
            let answer = answer(*latency_us, *attempts, *status, request_id.as_deref());
            steps.iter().filter_map(|settled| settled_line(settled, &answer)).collect()
        }
        Event::Done { steps, latency_us, attempts, status, request_id } => {
            let answer = answer(*latency_us, *attempts, *status, request_id.as_deref());
            let what = words::plural(steps.count(), "step");
            vec![Told::new(Tone::Good, format!("{what} in one request: done{answer}"))]
        }
        _ => throttle(event).into_iter().collect(),
    }
}

fn answer(latency_us: u64, attempts: u32, status: Option<u16>, id: Option<&str>) -> String {
    let latency = words::latency(latency_us as f64 / 1000.0);
    let status = status.map(|status| format!(", status {status}")).unwrap_or_default();
    let tries = if attempts > 1 { format!(", {attempts} attempts") } else { String::new() };
    format!("{status}, {latency}{tries}{}", request(id))
}

fn settled_line(settled: &Settled, answer: &str) -> Option<Told> {
    let (tone, what) = match &settled.outcome {
        Outcome::Done => (Tone::Good, format!("done{answer}")),
        Outcome::DoneConfirmed => (Tone::Good, format!("done, as its state shows{answer}")),
        Outcome::AlreadyGone => (Tone::Note, format!("already gone{answer}")),
        Outcome::Skipped(reason) => (Tone::Note, format!("skipped, {reason}")),
        Outcome::InDoubt => (Tone::Warn, "in doubt, no answer".to_owned()),
        Outcome::Failed(_) => return None,
    };
    Some(Told::new(tone, format!("step {} {}: {what}", settled.step, name(settled))))
}

fn request(id: Option<&str>) -> String {
    id.map(|id| format!(", request {id}")).unwrap_or_default()
}

/// What a person calls the object of a step, with the remote's name for it: `Acme (org_123)`.
#[must_use]
pub fn name(settled: &Settled) -> String {
    let name = match &settled.label {
        Some(label) if **label != *settled.key && !label.is_empty() => {
            format!("{label} ({})", settled.key)
        }
        _ if settled.key.is_empty() => format!("number {}", settled.step),
        _ => settled.key.to_string(),
    };
    words::plain(&name)
}

/// A failure without its request's name, which tables show in a column of its own.
#[must_use]
pub fn failure(failure: &Failure) -> String {
    words::plain(&Failure { request_id: None, ..failure.clone() }.to_string())
}

/// Why nothing moves, where that is worth saying.
#[must_use]
pub fn waiting(meter: &Meter, stopping: bool) -> Option<String> {
    let left = meter.waiting_us.map(Duration::from_micros);
    if stopping {
        return Some(format!("stopping: {} on the wire", meter.in_flight));
    }
    if meter.paused {
        return Some("paused".to_owned());
    }
    let seconds = left.map(|left| format!(" {}", words::eta(left))).unwrap_or_default();
    match meter.waiting.as_ref()? {
        Waiting::Quota(_) | Waiting::Told if left.is_none_or(|left| left < WAIT_WORTH_SAYING) => {
            None
        }
        Waiting::Quota(name) => Some(format!("waiting{seconds}: quota {name}")),
        Waiting::Told => Some(format!("waiting{seconds}: the remote has no quota left")),
        Waiting::Throttled => Some(format!("waiting{seconds}: the remote said so (429)")),
        Waiting::Breaker if left.is_some() => Some(format!("breaker open, next probe in{seconds}")),
        Waiting::Breaker => Some("breaker open, a probe is on the wire".to_owned()),
        Waiting::Paused => Some("paused".to_owned()),
        Waiting::Held(reason) => Some(format!("held: {}", words::plain(reason))),
        Waiting::Concurrency => None,
    }
}

/// How a session ended, with the tone of it.
#[must_use]
pub fn ending(ending: Option<&Ending>) -> Told {
    match ending {
        Some(Ending::Complete) => Told::new(Tone::Good, "complete"),
        Some(Ending::Stopped) => Told::new(Tone::Warn, "stopped early; it can be resumed"),
        Some(Ending::Aborted) => {
            Told::new(Tone::Warn, "aborted; what was on the wire is in doubt until it is resumed")
        }
        Some(Ending::Fatal(failure)) => Told::new(Tone::Bad, format!("ended by: {failure}")),
        Some(Ending::JournalLost(why)) => {
            Told::new(Tone::Bad, format!("the journal could not be written: {why}"))
        }
        None => Told::new(Tone::Warn, "not ended: it still runs, or it crashed"),
    }
}
