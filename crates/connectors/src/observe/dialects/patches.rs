//! What old clients of Langfuse send: envelopes with parts of observations and traces, and scores.
//!
//! The parts of an observation come in any order and in several requests, so they stay parts here;
//! `join` makes spans of them.

use super::facts::{metadata_of_json, normal_environment};
use super::ids::{hex, random_uuid, span_id, trace_id};
use super::json_text::{Capped, Object, text_of_body};
use super::messages::Reject;
use crate::observe::event::{Draft, Facts, Kind};
use jiff::Timestamp;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// How many envelopes or scores a request may have.
pub const MOST_ITEMS: usize = 50_000;
/// The longest id, as with Langfuse.
const MOST_ID: usize = 800;

/// The types of envelope that are parts of observations, with the type of the observation. That of
/// the last two stands in the body.
const OBSERVATIONS: [(&str, &str); 14] = [
    ("event-create", "event"),
    ("span-create", "span"),
    ("span-update", "span"),
    ("generation-create", "generation"),
    ("generation-update", "generation"),
    ("agent-create", "agent"),
    ("tool-create", "tool"),
    ("chain-create", "chain"),
    ("retriever-create", "retriever"),
    ("evaluator-create", "evaluator"),
    ("embedding-create", "embedding"),
    ("guardrail-create", "guardrail"),
    ("observation-create", ""),
    ("observation-update", ""),
];

/// A request that is refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("Invalid request data")]
pub struct BadBody {
    /// What is wrong with it.
    pub error: String,
}

/// What became of an item of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is the draft with this index.
    Draft(usize),
    /// It is a client's own log, which nobody asked for.
    Dropped,
    /// It cannot be taken.
    Bad(Reject),
}

/// An item of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The id of its envelope, empty where it has none.
    pub id: String,
    /// What became of it.
    pub fate: Fate,
}

/// What a request has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Items {
    /// The events.
    pub drafts: Vec<Draft>,
    /// All items in their order.
    pub items: Vec<Item>,
}

impl Items {
    fn add(&mut self, id: String, json: &str, read: Result<Option<Draft>, String>) {
        let fate = match read {
            Ok(Some(draft)) => {
                self.drafts.push(draft);
                Fate::Draft(self.drafts.len() - 1)
            }
            Ok(None) => Fate::Dropped,
            Err(reason) => Fate::Bad(Reject {
                id: Some(id.clone()).filter(|id| !id.is_empty()),
                reason,
                body: json.as_bytes().to_vec(),
            }),
        };
        self.items.push(Item { id, fate });
    }
}

/// Reads the body of `/api/public/ingestion`.
///
/// # Errors
///
/// [`BadBody`] if it has no list `batch`.
pub fn ingestion(body: &[u8], received: Timestamp) -> Result<Items, BadBody> {
    let text = text_of_body(body);
    let bad = |error: serde_json::Error| BadBody { error: error.to_string() };
    let request: Object<'_> = serde_json::from_str(&text).map_err(bad)?;
    let batch = request.get("batch").map_or("null", RawValue::get);
    let Capped(envelopes) = serde_json::from_str::<Capped<'_, MOST_ITEMS>>(batch).map_err(bad)?;
    let mut items = Items::default();
    for item in envelopes {
        let envelope = Object::parse(item.get());
        let id = envelope.as_ref().and_then(|it| it.text("id")).unwrap_or_default().into_owned();
        let read = match &envelope {
            Some(envelope) => draft(envelope, item.get(), received),
            None => Err("it is no object".to_owned()),
        };
        items.add(id, item.get(), read);
    }
    Ok(items)
}

fn draft(envelope: &Object<'_>, json: &str, received: Timestamp) -> Result<Option<Draft>, String> {
    let id = valid_id(envelope, "id")?.ok_or("`id` is missing")?;
    let kind = envelope.text("type").ok_or("`type` is missing")?;
    let timestamp = envelope.text("timestamp").ok_or("`timestamp` is missing")?;
    let at = timestamp
        .parse::<Timestamp>()
        .map_err(|_| "`timestamp` is no date and time with an offset".to_owned())?;
    let raw = envelope.get("body").ok_or("`body` is missing")?;
    let body = Object::parse(raw.get()).ok_or("`body` is no object")?;
    if kind == "sdk-log" {
        return Ok(None);
    }
    if kind == "score-create" {
        return score(&body, raw.get(), &id, received).map(|draft| Some(Draft { id, ..draft }));
    }
    let at = nanoseconds(at);
    let facts = if kind == "trace-create" {
        trace_facts(&body, &id, at)?
    } else {
        let (_, class) = OBSERVATIONS
            .iter()
            .find(|(known, _)| *known == kind)
            .ok_or_else(|| format!("`type` cannot be `{}`", cut(&kind)))?;
        observation_facts(&body, &id, class, at)?
    };
    let body = json.as_bytes().to_vec();
    Ok(Some(Draft { kind: Kind::Patch, id, scope: 0, body, facts }))
}

/// The facts of a part of a trace. Without an id of its own it has that of its envelope.
fn trace_facts(body: &Object<'_>, envelope: &str, at: u64) -> Result<Facts, String> {
    let trace = valid_id(body, "id")?.unwrap_or_else(|| envelope.to_owned());
    let start = time(body, "timestamp")?.unwrap_or(at);
    Ok(Facts {
        trace_id: Some(trace_id(&trace)),
        span_id: Some(super::ids::root_span_id(&trace)),
        is_root: true,
        name: body.text("name").unwrap_or_default().into_owned(),
        class: "trace".to_owned(),
        user: body.text("userId").map(Into::into),
        session: body.text("sessionId").map(Into::into),
        environment: body.text("environment").map(|text| normal_environment(&text)),
        start_ns: start,
        end_ns: start,
        metadata: metadata(body),
        ..Facts::default()
    })
}

/// The facts of a part of an observation. Tokens and costs are left to the joined span: a creation
/// and its updates may each state them, and they must count once.
fn observation_facts(
    body: &Object<'_>,
    envelope: &str,
    class: &str,
    at: u64,
) -> Result<Facts, String> {
    let id = valid_id(body, "id")?;
    // Only the oldest clients may leave the id out.
    let id = match (id, class) {
        (Some(id), _) => id,
        (None, "") => envelope.to_owned(),
        (None, _) => return Err("`body.id` is missing".to_owned()),
    };
    let class = match class {
        "" => body.text("type").unwrap_or_default().to_lowercase(),
        class => class.to_owned(),
    };
    if class.is_empty() {
        return Err("`body.type` is missing".to_owned());
    }
    let level = body.text("level").unwrap_or_default();
    let start = time(body, "startTime")?.unwrap_or(at);
    let model = body.text("model").map(String::from);
    Ok(Facts {
        trace_id: valid_id(body, "traceId")?.map(|trace| trace_id(&trace)),
        span_id: Some(span_id(&id)),
        name: body.text("name").unwrap_or_default().into_owned(),
        class,
        environment: body.text("environment").map(|text| normal_environment(&text)),
        requested_model: model.clone(),
        model,
        start_ns: start,
        end_ns: time(body, "endTime")?.unwrap_or(start),
        is_error: level == "ERROR",
        is_debug: level == "DEBUG",
        prompt: prompt(body),
        metadata: metadata(body),
        ..Facts::default()
    })
}

fn metadata(body: &Object<'_>) -> std::collections::BTreeMap<String, String> {
    body.get("metadata").map(|json| metadata_of_json(json.get())).unwrap_or_default()
}

fn prompt(body: &Object<'_>) -> Option<String> {
    let name = body.text("promptName")?;
    Some(match body.text("promptVersion") {
        Some(version) => format!("{name}:{version}"),
        None => name.into_owned(),
    })
}

/// A text of at most 800 bytes without line ends, as Langfuse wants ids to be.
fn valid_id(object: &Object<'_>, name: &str) -> Result<Option<String>, String> {
    match object.text(name) {
        Some(id) if id.len() <= MOST_ID && !id.contains('\r') => Ok(Some(id.into_owned())),
        Some(_) => Err(format!("`{name}` is too long, or has a line end")),
        None => Ok(None),
    }
}

/// A moment, in nanoseconds since 1970.
fn time(body: &Object<'_>, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = body.text(name) else { return Ok(None) };
    match text.parse::<Timestamp>() {
        Ok(at) => Ok(Some(nanoseconds(at))),
        Err(_) => Err(format!("`{name}` is no date and time with an offset")),
    }
}

/// Nanoseconds since 1970; 0 for what was before.
#[must_use]
pub fn nanoseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}

/// The beginning of a text, for a message to its sender.
fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

/// What `/api/public/scores` was sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// The scores.
    pub items: Items,
    /// Whether it was one object and no list, as with older clients, which get its id as answer.
    pub is_single: bool,
}

/// Reads the body of `/api/public/scores`: a list, or one score.
///
/// # Errors
///
/// [`BadBody`] if it is neither.
pub fn scores(body: &[u8], received: Timestamp) -> Result<Scores, BadBody> {
    let text = text_of_body(body);
    let bad = |error: serde_json::Error| BadBody { error: error.to_string() };
    let is_single = text.trim_start().starts_with('{');
    let list = match is_single {
        true => vec![serde_json::from_str(&text).map_err(bad)?],
        false => serde_json::from_str::<Capped<'_, MOST_ITEMS>>(&text).map_err(bad)?.0,
    };
    let mut items = Items::default();
    for item in list {
        let item: &RawValue = item;
        let object = Object::parse(item.get());
        let given = object.as_ref().and_then(|it| it.text("id")).map(String::from);
        let id = given.clone().unwrap_or_else(random_uuid);
        let read = match &object {
            Some(object) => score(object, item.get(), &id, received).map(|draft| {
                // A score that is sent again with another value is a correction and no copy, so
                // its value takes part in its identity.
                let id = match given {
                    Some(given) => format!("{given}-{}", hex(&digest(item.get())[..8])),
                    None => id.clone(),
                };
                Some(Draft { id, ..draft })
            }),
            None => Err("it is no object".to_owned()),
        };
        items.add(id, item.get(), read);
    }
    Ok(Scores { items, is_single })
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A score; one without an id gets this one.
fn score(score: &Object<'_>, json: &str, id: &str, received: Timestamp) -> Result<Draft, String> {
    let name = score.text("name").ok_or("`name` is missing")?.into_owned();
    let own = valid_id(score, "id")?;
    let value = score.get("value").ok_or("`value` is missing")?.get();
    if value.starts_with(['{', '[']) {
        return Err("`value` is neither a number nor a text".to_owned());
    }
    let at = time(score, "timestamp")?.unwrap_or_else(|| nanoseconds(received));
    let trace = score.text("traceId");
    let facts = Facts {
        trace_id: trace.as_ref().map(|text| trace_id(text)),
        span_id: score.text("observationId").map(|text| span_id(&text)),
        name,
        class: "score".to_owned(),
        session: score.text("sessionId").map(Into::into),
        environment: score.text("environment").map(|text| normal_environment(&text)),
        start_ns: at,
        end_ns: at,
        metadata: metadata(score),
        ..Facts::default()
    };
    let body = match own {
        Some(_) => json.as_bytes().to_vec(),
        None => with_id(score, id),
    };
    Ok(Draft { kind: Kind::Score, id: id.to_owned(), scope: 0, body, facts })
}

/// The score with this id: one that gets it here keeps it when it is sent again.
fn with_id(score: &Object<'_>, id: &str) -> Vec<u8> {
    let mut out = b"{\"id\":".to_vec();
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default();
    put(&quoted(id));
    for (key, value) in score.fields.iter().filter(|(key, _)| key != "id") {
        put(",");
        put(&quoted(key));
        put(":");
        put(value.get());
    }
    put("}");
    out
}
