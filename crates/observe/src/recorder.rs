//! The recorder: what callers hold, and the life of the background.

use crate::clock::Clock;
use crate::door::Door;
use crate::exporter::Exporter;
use crate::ids;
use crate::lane::{Lane, Stats};
use crate::message::{Kind, record};
use crate::settings::{Builder, StartError};
use crate::span::{Generation, Span};
use crate::value::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Records events, spans and generations, and has a thread in the background send them to a
/// gateway. It is cheap to clone; clones share the queues. Recording never waits: where there is no
/// room, events are dropped and counted. When the last clone and the last span are gone, what is
/// queued is sent, for a bounded time.
///
/// A child of `fork` has no background: what it records through its parent's recorder is dropped
/// when the queue is full. It starts a recorder of its own.
#[derive(Clone, Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
}

/// What clones and spans share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Arc<Clock>,
    pub(crate) spans: Arc<Lane>,
    messages: Arc<Lane>,
    is_enabled: AtomicBool,
    /// Traces whose lowest 56 bits are at least this are kept.
    threshold: u64,
    /// What tells others of the share: the threshold, in the form of OpenTelemetry.
    pub(crate) trace_state: String,
    pub(crate) text_bytes: usize,
    /// The process that has the background.
    process: u32,
    drop_timeout: Duration,
}

impl Recorder {
    /// The settings of a recorder for the gateway at an address such as `http://127.0.0.1:4318`.
    #[must_use]
    pub fn to(url: &str) -> Builder {
        Builder::new(url)
    }

    pub(crate) fn start(settings: &Builder) -> Result<Self, StartError> {
        ids::reseed();
        let clock = Arc::new(Clock::new());
        let spans = settings.keys.as_ref().map(|keys| Door::of_spans(settings, keys));
        let messages = settings.write_key.as_ref().map(|key| Door::of_messages(settings, key));
        let threshold = threshold(settings.share);
        let shared = Shared {
            spans: lane(settings, spans, &clock, "observe-spans")?,
            messages: lane(settings, messages, &clock, "observe-events")?,
            clock,
            is_enabled: AtomicBool::new(true),
            threshold,
            trace_state: trace_state(threshold),
            text_bytes: settings.text_bytes,
            process: std::process::id(),
            drop_timeout: settings.drop_timeout,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Records that a user did something.
    pub fn track(&self, user: &str, event: &str, properties: &[(&str, Value<'_>)]) {
        self.message(Kind::Track, user, event, properties);
    }

    /// Records who a user is.
    pub fn identify(&self, user: &str, traits: &[(&str, Value<'_>)]) {
        self.message(Kind::Identify, user, "", traits);
    }

    fn message(&self, kind: Kind, user: &str, name: &str, properties: &[(&str, Value<'_>)]) {
        if self.is_enabled() {
            let at_ns = self.shared.clock.now_ns();
            let message = record(kind, at_ns, ids::long(), user, name, properties);
            self.shared.messages.offer(message);
        }
    }

    /// Begins a trace with a span of this name.
    pub fn span(&self, name: &str) -> Span {
        self.trace().map_or_else(Span::none, |id| Span::root(&self.shared, id, name, false))
    }

    /// Begins a trace with a generation of this name: one call of a model.
    pub fn generation(&self, name: &str) -> Generation {
        let root = |id| Span::root(&self.shared, id, name, true);
        Generation::of(self.trace().map_or_else(Span::none, root))
    }

    /// The id of a new trace, where traces are recorded and the id says that it is kept.
    fn trace(&self) -> Option<[u8; 16]> {
        if !self.is_enabled() {
            return None;
        }
        let id = ids::long();
        (u128::from_be_bytes(id) as u64 & LOW_56 >= self.shared.threshold).then_some(id)
    }

    /// Whether anything is recorded.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.shared.is_enabled.load(Ordering::Relaxed)
    }

    /// Switches recording off or on, for all clones. While it is off, calls cost a few nanoseconds
    /// and are not counted; spans that have begun are still recorded.
    pub fn set_enabled(&self, is_enabled: bool) {
        self.shared.is_enabled.store(is_enabled, Ordering::Relaxed);
    }

    /// Has everything sent that was recorded before, and waits up to so long for its end. Whether
    /// it came: every event was sent, refused, given up or dropped; [`Recorder::stats`] says which.
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        if !self.shared.has_background() {
            return false;
        }
        let messages = self.shared.messages.flush(deadline);
        self.shared.spans.flush(deadline) && messages
    }

    /// What became of everything.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.messages.stats().plus(self.shared.spans.stats())
    }

    /// Ends recording for all clones, has everything sent, and waits up to so long for it. What
    /// could not be sent by then is given up; what is recorded later is dropped. The final counts.
    pub fn shutdown(self, timeout: Duration) -> Stats {
        self.shared.end(timeout);
        self.stats()
    }
}

impl Shared {
    /// Not in a child of `fork`.
    fn has_background(&self) -> bool {
        self.process == std::process::id()
    }

    fn end(&self, timeout: Duration) {
        if self.has_background() {
            let deadline = Instant::now() + timeout;
            let lanes = [&self.messages, &self.spans];
            for lane in lanes {
                lane.close(deadline);
            }
            // A thread that hangs on the wire is left behind; it ends with its request's timeout.
            let grace = deadline + END_GRACE;
            for lane in lanes {
                lane.wait_for_end(grace);
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.end(self.drop_timeout);
    }
}

/// How much later than asked the background may say that it has ended, so that the last counts are
/// there.
const END_GRACE: Duration = Duration::from_millis(100);

const LOW_56: u64 = (1 << 56) - 1;

/// What an id has to reach so that this share of ids is kept.
fn threshold(share: f64) -> u64 {
    ((1.0 - share) * (1_u64 << 56) as f64) as u64
}

/// The threshold in hexadecimal without zeros at its end; empty where everything is kept.
fn trace_state(threshold: u64) -> String {
    if threshold == 0 {
        return String::new();
    }
    format!("ot=th:{}", format!("{threshold:014x}").trim_end_matches('0'))
}

/// A queue with its background, or a closed one where there is no door for it.
fn lane(
    settings: &Builder,
    door: Option<Door>,
    clock: &Arc<Clock>,
    name: &str,
) -> Result<Arc<Lane>, StartError> {
    let events = if door.is_some() { settings.queue_events } else { 1 };
    let event_max = settings.limits.request_bytes;
    let lane = Arc::new(Lane::new(events, settings.queue_bytes, event_max, settings.when_full));
    match door {
        None => {
            lane.close(Instant::now());
            lane.tell_done();
        }
        Some(door) => {
            let exporter =
                Exporter::new(Arc::clone(&lane), door, Arc::clone(clock), settings.limits);
            std::thread::Builder::new().name(name.to_owned()).spawn(move || exporter.run())?;
        }
    }
    Ok(lane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_told_as_opentelemetry_does() {
        assert_eq!(trace_state(threshold(1.0)), "");
        assert_eq!(trace_state(threshold(0.5)), "ot=th:8");
        assert_eq!(trace_state(threshold(0.25)), "ot=th:c");
        assert_eq!(threshold(0.0), 1 << 56);
    }
}
