//! What waits, in memory: read from the queue of what is held, and let go by time. Pure: the time
//! comes in, decisions come out.

use crate::observe::dialects::join::{self, TraceWords, Whole};
use crate::observe::event::{Kind, Shared, Stored};
use crate::observe::queue::Item;
use crate::observe::sample::Rules;
use crate::observe::status::HeldStatus;
use bytes::Bytes;
use quick_cache::unsync::Cache;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use windlass_engine::Moment;

/// How long an observation that is whole waits for a late part. Clients send theirs in one request
/// or in the next one, a second later at most.
const WHOLE_QUIET: Duration = Duration::from_millis(1_500);
/// How long a trace's own parts wait, for nothing ever says that a trace is whole.
const TRACE_QUIET: Duration = Duration::from_secs(3);
/// How long an observation may stay open. Beyond it, it is let go as it is; a part that comes
/// later makes another span with the same id, which replaces this one.
const OPEN_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Events that wait, at most; beyond it the oldest are let go with what is known.
const EVENTS_MAX: usize = 100_000;
/// Bytes of them.
const BYTES_MAX: usize = 64 << 20;
/// Traces whose decision is remembered for late spans.
const DECISIONS: usize = 100_000;

/// The parts of one observation or trace.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) project: String,
    /// The envelopes with their numbers in the queue.
    pub(super) envelopes: Vec<(u64, Vec<u8>)>,
    /// What the trace of an observation says of it.
    pub(super) words: TraceWords,
}

/// A span that waited.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) seq: u64,
    pub(super) id: u128,
    pub(super) priority: u8,
    pub(super) shared: Bytes,
    pub(super) event: Stored,
    /// Where it goes; set when its trace is decided on.
    pub(super) bits: u32,
}

/// The spans of a trace that is decided on.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) spans: Vec<Held>,
    is_kept: bool,
    /// Whether it was decided before, and these came late.
    is_late: bool,
}

impl Decided {
    pub(super) fn count_in(&self, counts: &mut HeldStatus) {
        let traces = u64::from(!self.is_late);
        if self.is_kept {
            counts.traces_kept += traces;
        } else {
            counts.traces_out += traces;
            counts.spans_out += self.spans.len() as u64;
        }
    }
}

/// Everything that waits.
pub(super) struct Waiting {
    decision_wait: Duration,
    parts: HashMap<(String, Whole), Open>,
    traces: HashMap<TraceKey, Trace>,
    ready: Vec<Decided>,
    decisions: Cache<TraceKey, bool>,
    /// What traces said, by project and the id that the client has for them.
    words: Cache<TraceKey, TraceWords>,
    events: usize,
    bytes: usize,
    last_shared: Option<(Bytes, Arc<Shared>)>,
}

/// A project's trace: its id in hexadecimal.
type TraceKey = (String, String);

#[derive(Debug)]
struct Open {
    first: Moment,
    last: Moment,
    /// Whether nothing more is to be expected. Asked once a part, for it reads all of them.
    is_complete: bool,
    parts: Parts,
}

#[derive(Debug)]
struct Trace {
    first: Moment,
    spans: Vec<Held>,
    cost_pico: u64,
}

impl Waiting {
    pub(super) fn new(decision_wait: Duration) -> Self {
        Self {
            decision_wait,
            parts: HashMap::new(),
            traces: HashMap::new(),
            ready: Vec::new(),
            decisions: Cache::new(DECISIONS),
            words: Cache::new(DECISIONS),
            events: 0,
            bytes: 0,
            last_shared: None,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.events < EVENTS_MAX && self.bytes < BYTES_MAX
    }

    /// Parts and spans that wait.
    pub(super) fn sizes(&self) -> (u64, u64) {
        let parts: usize = self.parts.values().map(|open| open.parts.envelopes.len()).sum();
        let spans: usize = self.traces.values().map(|trace| trace.spans.len()).sum();
        (parts as u64, spans as u64)
    }

    /// Takes in an event from the queue. The error says why it is none.
    pub(super) fn take_in(
        &mut self,
        now: Moment,
        item: &Item,
        rules: &Rules,
    ) -> Result<(), String> {
        let project = self.shared(item)?.project.clone();
        let event: Stored = postcard::from_bytes(&item.payload)
            .map_err(|error| format!("the event can't be read: {error}"))?;
        if event.kind == Kind::Patch {
            let whole = join::whole_of(&event.body).ok_or("the part belongs to nothing")?;
            self.events += 1;
            self.bytes += event.body.len();
            let is_trace = whole.is_trace;
            if is_trace {
                self.hear(&project, &whole.id, &event.body);
            }
            let open = self.parts.entry((project.clone(), whole)).or_insert_with(|| Open {
                first: now,
                last: now,
                is_complete: false,
                parts: Parts { project, ..Parts::default() },
            });
            open.last = now;
            open.parts.envelopes.push((item.seq, event.body));
            open.is_complete = !is_trace && is_complete(&open.parts);
            return Ok(());
        }
        let trace = event.id.split('-').next().unwrap_or_default().to_owned();
        let held = Held {
            seq: item.seq,
            id: item.id,
            priority: item.priority,
            shared: item.shared.clone(),
            event,
            bits: 0,
        };
        self.take_span(now, (project, trace), held, rules);
        Ok(())
    }

    /// Keeps what a trace says for the observations that belong to it.
    fn hear(&mut self, project: &str, trace: &str, envelope: &[u8]) {
        let key = (project.to_owned(), trace.to_owned());
        let mut words = self.words.get(&key).cloned().unwrap_or_default();
        words.merge(join::words_of(envelope));
        self.words.insert(key, words);
    }

    fn take_span(&mut self, now: Moment, key: TraceKey, span: Held, rules: &Rules) {
        if let Some(&is_kept) = self.decisions.get(&key) {
            self.ready.push(decided(vec![span], is_kept, true));
            return;
        }
        let known = span.event.held.unwrap_or_default();
        let cost = span.event.cost.as_ref().and_then(|cost| cost.cost_pico).unwrap_or_default();
        self.events += 1;
        self.bytes += span.event.body.len();
        let trace = self.traces.entry(key.clone()).or_insert_with(|| Trace {
            first: now,
            spans: Vec::new(),
            cost_pico: 0,
        });
        trace.cost_pico = trace.cost_pico.saturating_add(cost);
        let is_kept = rules.keeps_trace(known.is_error, known.duration_ms, trace.cost_pico);
        trace.spans.push(span);
        if is_kept {
            self.decide(&key, true);
        }
    }

    fn decide(&mut self, key: &TraceKey, is_kept: bool) {
        let Some(trace) = self.traces.remove(key) else { return };
        self.events -= trace.spans.len();
        self.bytes -= trace.spans.iter().map(|span| span.event.body.len()).sum::<usize>();
        self.decisions.insert(key.clone(), is_kept);
        self.ready.push(decided(trace.spans, is_kept, false));
    }

    /// The traces that are decided on by now.
    pub(super) fn decided(&mut self, now: Moment) -> Vec<Decided> {
        let is_over = |trace: &Trace| now.saturating_since(trace.first) >= self.decision_wait;
        let mut over: Vec<TraceKey> = Vec::new();
        over.extend(
            self.traces.iter().filter(|(_, trace)| is_over(trace)).map(|(key, _)| key.clone()),
        );
        if !self.has_room() {
            let oldest = self.traces.iter().min_by_key(|(_, trace)| trace.first);
            over.extend(oldest.map(|(key, _)| key.clone()));
        }
        for key in over {
            self.decide(&key, false);
        }
        std::mem::take(&mut self.ready)
    }

    /// The observations that are whole by now, and those that have waited long enough.
    pub(super) fn whole(&mut self, now: Moment) -> Vec<Parts> {
        let room = self.has_room();
        let keys: Vec<(String, Whole)> = self
            .parts
            .iter()
            .filter(|((_, whole), open)| !room || is_due(now, whole, open))
            .map(|(key, _)| key.clone())
            .collect();
        let mut due: Vec<Parts> =
            keys.iter().filter_map(|key| self.parts.remove(key)).map(|open| open.parts).collect();
        for parts in &mut due {
            let named = parts.envelopes.iter().find_map(|(_, body)| join::trace_of(body));
            let words = named.and_then(|trace| self.words.get(&(parts.project.clone(), trace)));
            parts.words = words.cloned().unwrap_or_default();
            self.events -= parts.envelopes.len();
            self.bytes -= parts.envelopes.iter().map(|(_, body)| body.len()).sum::<usize>();
        }
        due
    }

    /// Events of one request come one after the other.
    fn shared(&mut self, item: &Item) -> Result<Arc<Shared>, String> {
        if let Some((bytes, shared)) = &self.last_shared
            && *bytes == item.shared
        {
            return Ok(Arc::clone(shared));
        }
        let shared: Arc<Shared> = postcard::from_bytes(&item.shared)
            .map(Arc::new)
            .map_err(|error| format!("what the request's events share can't be read: {error}"))?;
        self.last_shared = Some((item.shared.clone(), Arc::clone(&shared)));
        Ok(shared)
    }
}

fn is_due(now: Moment, whole: &Whole, open: &Open) -> bool {
    let (quiet, age) = (now.saturating_since(open.last), now.saturating_since(open.first));
    if age >= OPEN_LIMIT {
        return true;
    }
    if whole.is_trace {
        return quiet >= TRACE_QUIET;
    }
    open.is_complete && quiet >= WHOLE_QUIET
}

fn is_complete(parts: &Parts) -> bool {
    let bodies: Vec<&[u8]> = parts.envelopes.iter().map(|(_, body)| body.as_slice()).collect();
    join::is_complete(&bodies)
}

fn decided(mut spans: Vec<Held>, is_kept: bool, is_late: bool) -> Decided {
    for span in &mut spans {
        let held = span.event.held.unwrap_or_default();
        span.bits = if is_kept { held.kept } else { held.otherwise };
    }
    Decided { spans, is_kept, is_late }
}
