//! Owns what a line of a file of events can be. Dialects are read by what reads them at the doors,
//! so a policy meets the same facts here as there.

use crate::observe::dialects::facts::{ResourceFacts, of_span};
use crate::observe::dialects::messages::{self, Received, TYPES};
use crate::observe::dialects::{join, patches};
use crate::observe::event::{CostRow, Draft, Facts, Kind};
use crate::observe::mask::nearest;
use crate::observe::otlp::json::to_protobuf;
use crate::observe::otlp::request::ExportRequest;
use crate::observe::otlp::span::SpanView;
use crate::observe::price::money;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// More spans than one line has.
const SPANS_MAX: usize = 100_000;
/// The project of events that name none, as at the doors.
const PROJECT: &str = "default";
/// The words of an event that is written by hand.
const WORDS: [&str; 26] = [
    "id",
    "project",
    "workspace",
    "api_key",
    "kind",
    "type",
    "name",
    "user",
    "session",
    "environment",
    "provider",
    "model",
    "requested_model",
    "service_tier",
    "prompt",
    "metadata",
    "cost_usd",
    "tokens",
    "input_tokens",
    "output_tokens",
    "duration_ms",
    "is_error",
    "is_debug",
    "is_root",
    "at",
    "at_ms",
];

/// An event of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) project: String,
    pub(super) key_name: String,
    pub(super) kind: Kind,
    pub(super) facts: Facts,
    pub(super) cost_pico: Option<u64>,
    pub(super) at_ms: Option<u64>,
}

impl Event {
    fn new(id: String, kind: Kind, facts: Facts) -> Self {
        let at_ms = Some(facts.start_ns / 1_000_000).filter(|at| *at > 0);
        let (project, key_name) = (PROJECT.to_owned(), String::new());
        Self { id, project, key_name, kind, facts, cost_pico: None, at_ms }
    }
}

/// The events of a line; the error says why it is none.
pub(super) fn read(line: &str) -> Result<Vec<Event>, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
    let Value::Object(object) = value else { return Err("no object of JSON".to_owned()) };
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    if object.contains_key("event") && object.contains_key("at_ms") && text("kind").is_some() {
        return stored(object);
    }
    if object.contains_key("resourceSpans") {
        return spans(&Value::Object(object));
    }
    if let Some(batch) = object.get("batch").and_then(Value::as_array) {
        let is_langfuse = batch.first().is_some_and(|one| one.get("body").is_some());
        let whole = Value::Object(object.clone());
        return if is_langfuse { envelopes(&whole) } else { product_events(&whole) };
    }
    if object.contains_key("attributes") || object.contains_key("spanId") {
        return spans(&request(object));
    }
    if object.get("body").is_some_and(Value::is_object) && text("type").is_some() {
        return envelopes(&json!({"batch": [object]}));
    }
    let has_sender = object.contains_key("userId") || object.contains_key("anonymousId");
    let is_message = object.contains_key("messageId")
        || has_sender && text("type").is_some_and(|kind| TYPES.contains(&kind));
    if is_message {
        product_events(&json!({"batch": [object]}))
    } else {
        Ok(vec![by_hand(&object)?])
    }
}

/// A line of the destination that writes JSON lines.
fn stored(mut line: Map<String, Value>) -> Result<Vec<Event>, String> {
    let kind = line.get("kind").cloned().unwrap_or_default();
    let kind: Kind = serde_json::from_value(kind).map_err(|error| error.to_string())?;
    let inner = match (kind, line.remove("event")) {
        (_, None) => return Err("its `event` is missing".to_owned()),
        (Kind::Span, Some(Value::Object(span))) => spans(&request(span))?,
        (Kind::Message, Some(message)) => product_events(&json!({"batch": [message]}))?,
        (Kind::Patch, Some(patch)) => envelopes(&json!({"batch": [patch]}))?,
        (Kind::Score, Some(score)) => {
            let scores = patches::scores(score.to_string().as_bytes(), Timestamp::UNIX_EPOCH);
            taken(scores.map_err(|error| error.error)?.items)?.into_iter().map(of_draft).collect()
        }
        (Kind::Span, Some(_)) => return Err("its `event` is no span".to_owned()),
    };
    let mut event = inner.into_iter().next().ok_or("its `event` is nothing")?;
    let text = |key: &str| line.get(key).and_then(Value::as_str).map(str::to_owned);
    event.id = text("id").unwrap_or(event.id);
    event.project = text("project").unwrap_or(event.project);
    event.at_ms = line.get("at_ms").and_then(Value::as_u64).or(event.at_ms);
    if let Some(cost) = line.remove("cost").filter(|cost| !cost.is_null()) {
        let cost: CostRow = serde_json::from_value(cost).map_err(|error| error.to_string())?;
        event.cost_pico = cost.cost_pico;
    }
    Ok(vec![event])
}

/// The request around a span, which has its attributes as OTLP does or as one object.
fn request(mut span: Map<String, Value>) -> Value {
    for (ours, theirs) in [
        ("trace_id", "traceId"),
        ("span_id", "spanId"),
        ("parent_span_id", "parentSpanId"),
        ("start_ns", "startTimeUnixNano"),
        ("end_ns", "endTimeUnixNano"),
    ] {
        if let Some(value) = span.remove(ours).filter(|value| !value.is_null()) {
            span.insert(theirs.to_owned(), value);
        }
    }
    if let Some(Value::Object(attributes)) = span.get("attributes") {
        let attributes = Value::from_iter(attributes.iter().map(attribute));
        span.insert("attributes".to_owned(), attributes);
    }
    span.remove("events");
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
}

fn attribute((key, value): (&String, &Value)) -> Value {
    json!({"key": key, "value": any_value(value)})
}

fn any_value(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(value) => json!({"boolValue": value}),
        Value::Number(value) if value.is_i64() => json!({"intValue": value}),
        Value::Number(value) => json!({"doubleValue": value}),
        Value::String(value) => json!({"stringValue": value}),
        Value::Array(items) => {
            json!({"arrayValue": {"values": items.iter().map(any_value).collect::<Vec<_>>()}})
        }
        Value::Object(entries) => {
            json!({"kvlistValue": {"values": entries.iter().map(attribute).collect::<Vec<_>>()}})
        }
    }
}

fn spans(request: &Value) -> Result<Vec<Event>, String> {
    let (bytes, refused) =
        to_protobuf(request.to_string().as_bytes()).map_err(|error| error.to_string())?;
    let request = ExportRequest::parse(&bytes, SPANS_MAX).map_err(|error| error.to_string())?;
    let mut events = Vec::with_capacity(request.spans.len());
    for (scope, span) in &request.spans {
        let scope = request.scopes.get(usize::from(*scope));
        let resource = scope.map(|scope| ResourceFacts::of(&scope.resource)).unwrap_or_default();
        events.push(of_view(span, &resource));
    }
    if events.is_empty() && (refused != Default::default() || request.refused != Default::default())
    {
        return Err("its span has no proper ids".to_owned());
    }
    Ok(events)
}

fn of_view(span: &SpanView<'_>, resource: &ResourceFacts) -> Event {
    let facts = of_span(span, resource);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Event::new(format!("{}-{}", hex(&span.trace_id), hex(&span.span_id)), Kind::Span, facts)
}

fn product_events(request: &Value) -> Result<Vec<Event>, String> {
    let received = Received { at: Timestamp::UNIX_EPOCH, is_strict: false };
    let messages = messages::batch(request.to_string().as_bytes(), received)
        .map_err(|error| error.to_string())?;
    match messages.rejects.into_iter().next() {
        Some(reject) if messages.drafts.is_empty() => Err(reject.reason),
        _ => Ok(messages.drafts.into_iter().map(of_draft).collect()),
    }
}

/// Parts of observations are judged as the spans that they are by themselves.
fn envelopes(request: &Value) -> Result<Vec<Event>, String> {
    let items = patches::ingestion(request.to_string().as_bytes(), Timestamp::UNIX_EPOCH);
    let event = |draft: Draft| {
        let joined = if draft.kind == Kind::Patch {
            join::join(&[&draft.body], &Default::default())
        } else {
            None
        };
        let view = joined.as_ref().and_then(|joined| SpanView::parse(&joined.span).ok());
        match view {
            Some(view) => Event { id: draft.id, ..of_view(&view, &ResourceFacts::default()) },
            None => of_draft(draft),
        }
    };
    Ok(taken(items.map_err(|error| error.error)?)?.into_iter().map(event).collect())
}

fn taken(items: patches::Items) -> Result<Vec<Draft>, String> {
    let bad = items.items.into_iter().find_map(|item| match item.fate {
        patches::Fate::Bad(reject) => Some(reject.reason),
        _ => None,
    });
    match bad {
        Some(reason) if items.drafts.is_empty() => Err(reason),
        _ => Ok(items.drafts),
    }
}

fn of_draft(draft: Draft) -> Event {
    Event::new(draft.id, draft.kind, draft.facts)
}

/// An event in the words of conditions.
fn by_hand(object: &Map<String, Value>) -> Result<Event, String> {
    if let Some(key) = object.keys().find(|key| !WORDS.contains(&key.as_str())) {
        return Err(format!("an unknown word `{key}`: {}", nearest(key, WORDS)));
    }
    let text = |key: &str| match object.get(key) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string()),
        _ => None,
    };
    let count = |key: &str| object.get(key).and_then(Value::as_u64).unwrap_or(0);
    let flag = |key: &str| object.get(key).and_then(Value::as_bool).unwrap_or(false);
    let kind = match object.get("kind") {
        None => Kind::Span,
        Some(kind) => serde_json::from_value(kind.clone()).map_err(|error| error.to_string())?,
    };
    let start_ns = at(object)?.saturating_mul(1_000_000);
    let mut facts = Facts {
        name: text("name").unwrap_or_default(),
        class: text("type").unwrap_or_default(),
        user: text("user"),
        session: text("session"),
        environment: text("environment"),
        provider: text("provider"),
        requested_model: text("requested_model").or_else(|| text("model")),
        model: text("model"),
        service_tier: text("service_tier"),
        prompt: text("prompt"),
        is_error: flag("is_error"),
        is_debug: flag("is_debug"),
        is_root: flag("is_root"),
        start_ns,
        end_ns: start_ns.saturating_add(count("duration_ms").saturating_mul(1_000_000)),
        ..Facts::default()
    };
    facts.usage.input = count("input_tokens").saturating_add(count("tokens"));
    facts.usage.output = count("output_tokens");
    for (key, value) in object.get("metadata").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        facts.metadata.insert(key.clone(), value);
    }
    let cost_pico = match text("cost_usd") {
        None => None,
        Some(cost) => Some(money::pico(&cost).ok_or("its `cost_usd` is no amount")?),
    };
    let event = Event::new(text("id").unwrap_or_default(), kind, facts);
    Ok(Event {
        project: text("project").or_else(|| text("workspace")).unwrap_or(event.project),
        key_name: text("api_key").unwrap_or_default(),
        cost_pico,
        ..event
    })
}

/// When it happened, in milliseconds since 1970; 0 where it doesn't say.
fn at(object: &Map<String, Value>) -> Result<u64, String> {
    match object.get("at").or_else(|| object.get("at_ms")) {
        None => Ok(0),
        Some(Value::Number(ms)) => ms.as_u64().ok_or_else(|| "its time is before 1970".to_owned()),
        Some(Value::String(text)) => {
            let at = text.parse::<Timestamp>().map_err(|error| error.to_string())?;
            u64::try_from(at.as_millisecond()).map_err(|_| "its time is before 1970".to_owned())
        }
        Some(_) => Err("its time is neither a number nor a text".to_owned()),
    }
}
