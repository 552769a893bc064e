//! What a person should know of a gateway now, as its status alone shows it, with what to do about
//! it. The page adds what only a comparison of two moments shows.

use crate::observe::status::{DestinationStatus, QueueStatus, Status};
use serde::Serialize;
use std::borrow::Cow;

/// A queue that is fuller than this, in percent, gets attention.
const QUEUE_PERCENT: u64 = 80;
/// A queue that is fuller than this, in percent, is about to refuse or shed events.
const QUEUE_PERCENT_BAD: u64 = 95;
/// A process with more of the machine's memory than this, in percent, gets attention.
const MEMORY_PERCENT: u64 = 80;
/// A destination that is this far behind, in milliseconds, gets attention.
const LAG_MS: u64 = 5 * 60_000;
/// How much of an error is quoted, in characters.
const QUOTE_CHARS: usize = 120;

/// How much a finding matters, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// Events are refused or lost, or a person has to act now.
    Bad,
    /// It gets bad if it goes on.
    Warn,
    /// Good to know: somebody wanted it so.
    Note,
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// How much it matters.
    pub(super) level: Level,
    /// What is so, as a sentence.
    pub(super) what: String,
    /// What to do, as a sentence.
    pub(super) todo: String,
}

/// Everything that there is to know, the worst first.
pub(super) fn of(status: &Status) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut add = |level, what: String, todo: &str| {
        all.push(Finding { level, what, todo: todo.to_owned() });
    };
    for reason in &status.not_ready {
        let what = format!("The gateway is not ready: {}.", reason.trim_end_matches('.'));
        add(Level::Bad, what, "Clients should go elsewhere until this is over.");
    }
    for (file, error) in &status.reload_errors {
        let what = format!("New content of {file} is not in force: {}", beginning(error));
        add(Level::Warn, what, "Correct it; until then the values before hold.");
    }
    if percent(status.memory_bytes, status.machine_memory_bytes) >= MEMORY_PERCENT {
        let what = "The process has over 80 % of the machine's memory.".to_owned();
        add(Level::Warn, what, "Lower `concurrency` and `batch-bytes`, or move to more memory.");
    }
    if !status.tracing {
        let what = "Tracing is switched off: traces are left out.".to_owned();
        add(Level::Note, what, "The flag that says so switches it on again.");
    }
    all.extend(queue("The queue", &status.queue));
    all.extend(queue("The queue of what waits for its trace", &status.hold));
    all.extend(status.destinations.iter().filter_map(destination));
    all.sort_by_key(|finding| finding.level);
    all
}

/// The beginning of a text from outside, for a sentence; the whole of it stands elsewhere.
fn beginning(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(QUOTE_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// How much `part` is of `whole`, rounded down; 0 where the whole is not known.
fn percent(part: u64, whole: u64) -> u64 {
    (u128::from(part) * 100).checked_div(u128::from(whole)).unwrap_or(0) as u64
}

fn queue(name: &str, queue: &QueueStatus) -> Option<Finding> {
    let percent = percent(queue.bytes, queue.bytes_max);
    if percent < QUEUE_PERCENT {
        return None;
    }
    let level = if percent < QUEUE_PERCENT_BAD { Level::Warn } else { Level::Bad };
    let todo = "Help the destination with the most bytes waiting, or raise `bytes` of the queue.";
    Some(Finding { level, what: format!("{name} is {percent} % full."), todo: todo.to_owned() })
}

/// The worst that there is to say of a destination.
fn destination(one: &DestinationStatus) -> Option<Finding> {
    let DestinationStatus { name, pending, .. } = one;
    let (level, what, todo) = if one.is_misconfigured {
        let error = beginning(one.last_error.as_deref().unwrap_or("no error was told"));
        let todo = "Correct its keys or its URL; what waits for it is kept on disk.";
        (Level::Bad, format!("{name} refuses its keys or its address: {error}"), todo)
    } else if one.kind.is_empty() && *pending > 0 {
        let todo = "Configure it again, or give its events up with `--forget`.";
        let what = format!("{name} is no longer configured, and {pending} events wait for it.");
        (Level::Warn, what, todo)
    } else if one.is_off {
        let todo = "The flag that says so switches it on again; its events wait on disk.";
        (Level::Note, format!("{name} is switched off."), todo)
    } else if one.lag_ms >= LAG_MS && *pending > 0 {
        let why = match (one.waiting.as_str(), one.last_error.as_deref()) {
            ("", None) => Cow::Borrowed("more comes than it takes"),
            ("", Some(error)) => beginning(error),
            (waiting, _) => beginning(waiting),
        };
        let minutes = one.lag_ms / 60_000;
        let todo = "Nothing is lost while the queue has room; see whether the destination is well.";
        (Level::Warn, format!("{name} is {minutes} min behind: {why}."), todo)
    } else {
        return None;
    };
    Some(Finding { level, what, todo: todo.to_owned() })
}
