//! The parts of an observation, as old clients of Langfuse send them, made one span.
//!
//! Langfuse's own rules: creations come before updates, each by their timestamps; a field that is
//! `null` leaves an earlier value; metadata is merged. A trace becomes the root span of itself,
//! and observations without a parent hang below it.

use super::ids::{is_span_id, is_trace_id, root_span_id, span_id, trace_id};
use super::patches::nanoseconds;
use crate::observe::otlp::rewrite::{Added, add_to_span};
use crate::observe::otlp::span::{STATUS_ERROR, field};
use crate::observe::otlp::wire::{put_bytes, put_fixed64, put_number};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// What a part belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Whole {
    /// Whether it is a trace and no observation.
    pub is_trace: bool,
    /// The id as the client has it.
    pub id: String,
}

/// A finished span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
    /// The message `Span`.
    pub span: Vec<u8>,
}

/// An envelope.
struct Patch {
    id: String,
    kind: String,
    at: Timestamp,
    body: Map<String, Value>,
}

impl Patch {
    fn parse(envelope: &[u8]) -> Option<Self> {
        let Value::Object(mut envelope) = serde_json::from_slice(envelope).ok()? else {
            return None;
        };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let Some(Value::Object(body)) = envelope.remove("body") else { return None };
        Some(Self {
            id: text(envelope.get("id"))?,
            kind: text(envelope.get("type"))?,
            at: text(envelope.get("timestamp"))?.parse().ok()?,
            body,
        })
    }

    fn is_trace(&self) -> bool {
        self.kind == "trace-create"
    }

    fn is_update(&self) -> bool {
        self.kind.ends_with("-update")
    }

    fn whole(&self) -> Whole {
        let id = text_of(self.body.get("id")).unwrap_or_else(|| self.id.clone());
        Whole { is_trace: self.is_trace(), id }
    }

    /// The type of the observation; the oldest clients have it in the body.
    fn class(&self) -> String {
        match self.kind.rsplit_once('-') {
            Some(("observation", _)) | None => {
                text_of(self.body.get("type")).unwrap_or_default().to_lowercase()
            }
            Some((class, _)) => class.to_owned(),
        }
    }
}

/// What an envelope is a part of; `None` if it cannot be read.
#[must_use]
pub fn whole_of(envelope: &[u8]) -> Option<Whole> {
    Patch::parse(envelope).map(|patch| patch.whole())
}

/// Whether nothing more is to be expected of an observation: it was created and has ended. Events
/// have no end. Of a trace this can never be told, for clients add to it at any time.
#[must_use]
pub fn is_complete(envelopes: &[&[u8]]) -> bool {
    let patches: Vec<_> = envelopes.iter().filter_map(|it| Patch::parse(it)).collect();
    let is_created = patches.iter().any(|patch| !patch.is_trace() && !patch.is_update());
    let has_ended = patches.iter().any(|patch| {
        patch.class() == "event" || patch.body.get("endTime").is_some_and(|end| !end.is_null())
    });
    is_created && has_ended
}

/// What a trace says of all its observations. OTLP has no traces apart from spans, and Langfuse's
/// newer servers look for these words at each span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceWords(Vec<(&'static str, String)>);

impl TraceWords {
    /// The words of this trace with those of a later part of it.
    pub fn merge(&mut self, later: Self) {
        for (key, text) in later.0 {
            match self.0.iter_mut().find(|(known, _)| *known == key) {
                Some((_, before)) => *before = text,
                None => self.0.push((key, text)),
            }
        }
    }
}

/// The words of a trace's envelope; none of an observation's, or of what can't be read.
#[must_use]
pub fn words_of(envelope: &[u8]) -> TraceWords {
    const WORDS: [(&str, &str); 3] =
        [("name", "langfuse.trace.name"), ("userId", "user.id"), ("sessionId", "session.id")];
    let Some(patch) = Patch::parse(envelope).filter(Patch::is_trace) else {
        return TraceWords::default();
    };
    let word = |(name, key)| Some((key, text_of(patch.body.get(name))?));
    TraceWords(WORDS.into_iter().filter_map(word).collect())
}

/// The trace that an observation's envelope names.
#[must_use]
pub fn trace_of(envelope: &[u8]) -> Option<String> {
    text_of(Patch::parse(envelope)?.body.get("traceId"))
}

/// Joins the parts of one observation or one trace, in whatever order they are given; an
/// observation gets the words of its trace. `None` if none of the parts can be read.
#[must_use]
pub fn join(envelopes: &[&[u8]], words: &TraceWords) -> Option<Joined> {
    let mut patches: Vec<_> = envelopes.iter().filter_map(|it| Patch::parse(it)).collect();
    patches.sort_by_key(|patch| (patch.is_update(), patch.at));
    let first = patches.first()?;
    let (whole, at) = (first.whole(), first.at);
    // A creation knows better than an update what it is; an update of a generation knows more
    // than one of just any observation.
    let class = patches.iter().map(Patch::class).find(|class| !class.is_empty());
    let mut body = Map::new();
    for patch in patches {
        merge(&mut body, patch.body);
    }
    let out = Out { body, span: Vec::with_capacity(512) };
    Some(match whole.is_trace {
        true => out.trace(&whole.id, at),
        false => {
            let class = class.unwrap_or_else(|| "span".to_owned());
            let mut joined = out.observation(&whole.id, &class, at);
            for (key, text) in &words.0 {
                add_to_span(&mut joined.span, key, Added::Text(text));
            }
            joined
        }
    })
}

fn merge(into: &mut Map<String, Value>, later: Map<String, Value>) {
    for (key, value) in later {
        match (into.get_mut(&key), value) {
            (_, Value::Null) => {}
            (Some(Value::Object(before)), Value::Object(value)) if key == "metadata" => {
                merge_deeply(before, value);
            }
            (_, value) => _ = into.insert(key, value),
        }
    }
}

/// Merges metadata. It was parsed, so it is nested no deeper than 128 levels.
fn merge_deeply(into: &mut Map<String, Value>, later: Map<String, Value>) {
    for (key, value) in later {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(before)), Value::Object(value)) => merge_deeply(before, value),
            (_, value) => _ = into.insert(key, value),
        }
    }
}

fn text_of(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

/// A span in the making.
struct Out {
    body: Map<String, Value>,
    span: Vec<u8>,
}

impl Out {
    fn trace(mut self, id: &str, at: Timestamp) -> Joined {
        let (trace, span) = (trace_id(id), root_span_id(id));
        let start = self.time("timestamp").unwrap_or_else(|| nanoseconds(at));
        let name = text_of(self.body.get("name")).unwrap_or_else(|| "trace".to_owned());
        self.begin(trace, span, None, &name);
        self.times(start, start);
        self.add("langfuse.observation.type", "span");
        self.copy_all(&[
            ("name", "langfuse.trace.name"),
            ("userId", "user.id"),
            ("sessionId", "session.id"),
            ("input", "langfuse.trace.input"),
            ("output", "langfuse.trace.output"),
            ("release", "langfuse.release"),
            ("version", "langfuse.version"),
            ("environment", "langfuse.environment"),
        ]);
        if let Some(Value::Bool(public)) = self.body.get("public") {
            add_to_span(&mut self.span, "langfuse.trace.public", Added::Bool(*public));
        }
        if let Some(Value::Array(tags)) = self.body.get("tags") {
            let tags: Vec<_> = tags.iter().filter_map(Value::as_str).collect();
            add_to_span(&mut self.span, "langfuse.trace.tags", Added::Texts(&tags));
        }
        self.metadata("langfuse.trace.metadata");
        self.legacy_trace_id(id);
        Joined { trace_id: trace, span_id: span, span: self.span }
    }

    fn observation(mut self, id: &str, class: &str, at: Timestamp) -> Joined {
        // An observation without a trace is one of its own.
        let trace_text = text_of(self.body.get("traceId")).unwrap_or_else(|| id.to_owned());
        let (trace, span) = (trace_id(&trace_text), span_id(id));
        let parent = match text_of(self.body.get("parentObservationId")) {
            Some(parent) => span_id(&parent),
            None => root_span_id(&trace_text),
        };
        let start = self.time("startTime").unwrap_or_else(|| nanoseconds(at));
        let end = self.time("endTime").unwrap_or(start).max(start);
        let name = text_of(self.body.get("name")).unwrap_or_else(|| class.to_owned());
        self.begin(trace, span, Some(parent), &name);
        self.times(start, end);
        self.add("langfuse.observation.type", class);
        self.copy_all(&[
            ("model", "langfuse.observation.model.name"),
            ("modelParameters", "langfuse.observation.model.parameters"),
            ("input", "langfuse.observation.input"),
            ("output", "langfuse.observation.output"),
            ("level", "langfuse.observation.level"),
            ("statusMessage", "langfuse.observation.status_message"),
            ("completionStartTime", "langfuse.observation.completion_start_time"),
            ("promptName", "langfuse.observation.prompt.name"),
            ("version", "langfuse.version"),
            ("environment", "langfuse.environment"),
        ]);
        if let Some(version) = self.body.get("promptVersion").and_then(Value::as_i64) {
            let key = "langfuse.observation.prompt.version";
            add_to_span(&mut self.span, key, Added::Int(version));
        }
        self.usage();
        self.metadata("langfuse.observation.metadata");
        self.legacy_trace_id(&trace_text);
        // Behind that of the trace, for of two values under one key of metadata the last counts.
        if !is_span_id(id) {
            self.add("langfuse.observation.metadata.legacy_id", id);
        }
        self.status();
        Joined { trace_id: trace, span_id: span, span: self.span }
    }

    fn begin(&mut self, trace: [u8; 16], span: [u8; 8], parent: Option<[u8; 8]>, name: &str) {
        put_bytes(&mut self.span, field::TRACE_ID, &trace);
        put_bytes(&mut self.span, field::SPAN_ID, &span);
        if let Some(parent) = parent {
            put_bytes(&mut self.span, field::PARENT_SPAN_ID, &parent);
        }
        put_bytes(&mut self.span, field::NAME, name.as_bytes());
        // An internal span.
        put_number(&mut self.span, field::KIND, 1);
    }

    fn times(&mut self, start: u64, end: u64) {
        put_fixed64(&mut self.span, field::START, start);
        put_fixed64(&mut self.span, field::END, end);
    }

    fn time(&self, name: &str) -> Option<u64> {
        text_of(self.body.get(name))?.parse().ok().map(nanoseconds)
    }

    fn add(&mut self, key: &str, text: &str) {
        add_to_span(&mut self.span, key, Added::Text(text));
    }

    /// Fields to attributes: texts as they are, everything else as JSON.
    fn copy_all(&mut self, names: &[(&str, &str)]) {
        for (name, key) in names {
            if let Some(text) = text_of(self.body.get(*name)) {
                self.add(key, &text);
            }
        }
    }

    fn metadata(&mut self, key: &str) {
        match self.body.get("metadata") {
            Some(Value::Object(metadata)) => {
                for (name, value) in metadata {
                    if let Some(text) = text_of(Some(value)) {
                        add_to_span(&mut self.span, &format!("{key}.{name}"), Added::Text(&text));
                    }
                }
            }
            other => {
                if let Some(text) = text_of(other) {
                    self.add(key, &text);
                }
            }
        }
    }

    fn legacy_trace_id(&mut self, id: &str) {
        if !is_trace_id(id) {
            self.add("langfuse.trace.metadata.legacy_id", id);
        }
    }

    /// The details as they are, or what the older `usage` says.
    fn usage(&mut self) {
        let usage = self.body.get("usage").and_then(Value::as_object);
        let older = |names: [(&str, &[&str]); 3]| {
            let usage = usage?;
            let mut details = Map::new();
            for (ours, theirs) in names {
                let mut stated = theirs.iter().filter_map(|name| usage.get(*name));
                if let Some(value) = stated.find(|value| value.is_number()) {
                    details.insert(ours.to_owned(), value.clone());
                }
            }
            (!details.is_empty()).then_some(details)
        };
        let newer = |name: &str| {
            let details = self.body.get(name)?.as_object()?;
            (!details.is_empty()).then(|| details.clone())
        };
        let counts = newer("usageDetails").or_else(|| {
            older([
                ("input", &["input", "promptTokens"]),
                ("output", &["output", "completionTokens"]),
                ("total", &["total", "totalTokens"]),
            ])
        });
        let costs = newer("costDetails").or_else(|| {
            older([
                ("input", &["inputCost"]),
                ("output", &["outputCost"]),
                ("total", &["totalCost"]),
            ])
        });
        for (key, details) in [("usage_details", counts), ("cost_details", costs)] {
            if let Some(details) = details {
                let text = Value::Object(details).to_string();
                self.add(&format!("langfuse.observation.{key}"), &text);
            }
        }
    }

    fn status(&mut self) {
        if self.body.get("level").and_then(Value::as_str) != Some("ERROR") {
            return;
        }
        let mut status = Vec::new();
        if let Some(message) = text_of(self.body.get("statusMessage")) {
            put_bytes(&mut status, 2, message.as_bytes());
        }
        put_number(&mut status, 3, STATUS_ERROR);
        put_bytes(&mut self.span, field::STATUS, &status);
    }
}
