//! Bodies to events, and what became of the events to an answer, for each kind of door.

use super::answer::{Answer, Refusal, json, rudder_ok, whole};
use super::route::Entry;
use super::{Admitted, Verdict};
use crate::observe::dialects::facts::{ResourceFacts, of_span};
use crate::observe::dialects::ids::span_key;
use crate::observe::dialects::messages::{self, BadBody, Received, Reject};
use crate::observe::dialects::patches::{self, Fate, Item, Items};
use crate::observe::event::{Arrival, Draft, Kind, Scope};
use crate::observe::otlp::answer::{Encoding, partial_success};
use crate::observe::otlp::json::to_protobuf;
use crate::observe::otlp::request::{ExportRequest, Refused};
use crate::observe::otlp::span::SpanView;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::HashMap;

/// How a body is to be read.
#[derive(Clone, Copy, Debug)]
pub struct Visit {
    /// Where it was brought.
    pub entry: Entry,
    /// The encoding, in OTLP.
    pub encoding: Encoding,
    /// How many spans it may have.
    pub spans: usize,
    /// See [`super::Options::is_strict`].
    pub is_strict: bool,
}

/// What a body brought.
#[derive(Debug)]
pub struct Read {
    /// The events.
    pub arrival: Arrival,
    /// What is to be set aside.
    pub rejects: Vec<Reject>,
    /// How to answer.
    pub plan: Plan,
}

impl Read {
    /// How many events could not be read.
    pub fn rejected(&self) -> u64 {
        match &self.plan {
            Plan::Otlp { refused, .. } => refused.count,
            _ => self.rejects.len() as u64,
        }
    }
}

/// How a request is answered once it is known what became of its events.
#[derive(Debug)]
pub enum Plan {
    /// With a partial success where spans were refused.
    Otlp { encoding: Encoding, refused: Refused },
    /// With the fate of every envelope.
    Ingestion { items: Vec<Item>, is_strict: bool },
    /// With the fate of every score.
    Scores { items: Vec<Item>, is_single: bool },
    /// With `ok`.
    Rudder,
}

/// The version of ingestion that a client of Langfuse asks for must be a number of at most 4, as
/// with Langfuse. Old Python clients write underscores in names of headers.
pub fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    let names = ["x-langfuse-ingestion-version", "x_langfuse_ingestion_version"];
    let Some(version) = names.iter().find_map(|name| headers.get(*name)) else { return Ok(()) };
    let number = version.to_str().ok().and_then(|text| text.trim().parse::<u32>().ok());
    match number {
        Some(..=4) => Ok(()),
        _ => Err(Refusal::Bad("x-langfuse-ingestion-version must be a number up to 4".into())),
    }
}

impl Visit {
    /// Reads a body.
    pub fn read(self, body: &[u8]) -> Result<Read, Refusal> {
        match self.entry {
            Entry::Otlp | Entry::LangfuseOtlp => self.read_spans(body),
            Entry::Ingestion => {
                let items = patches::ingestion(body, Timestamp::now())
                    .map_err(|bad| Refusal::Bad(bad.error))?;
                let is_strict = self.is_strict;
                Ok(items_read(items, |items| Plan::Ingestion { items, is_strict }))
            }
            Entry::Scores => {
                let scores = patches::scores(body, Timestamp::now())
                    .map_err(|bad| Refusal::Bad(bad.error))?;
                let is_single = scores.is_single;
                if let (true, [Item { fate: Fate::Bad(reject), .. }]) =
                    (is_single, scores.items.items.as_slice())
                {
                    return Err(Refusal::Bad(reject.reason.clone()));
                }
                Ok(items_read(scores.items, |items| Plan::Scores { items, is_single }))
            }
            Entry::Batch | Entry::Beacon | Entry::Single(_) => self.read_messages(body),
        }
    }

    fn read_spans(self, body: &[u8]) -> Result<Read, Refusal> {
        let bad = |error: &dyn std::fmt::Display| Refusal::Bad(error.to_string());
        let (transcoded, unreadable) = match self.encoding {
            Encoding::Protobuf => (None, Refused::default()),
            Encoding::Json => {
                let (bytes, refused) = to_protobuf(body).map_err(|error| bad(&error))?;
                (Some(bytes), refused)
            }
        };
        let body = transcoded.as_deref().unwrap_or(body);
        let request = ExportRequest::parse(body, self.spans).map_err(|error| bad(&error))?;
        let mut refused = unreadable;
        refused.append(request.refused);
        let drafts = drafts(&request.scopes, &request.spans);
        Ok(Read {
            arrival: Arrival { scopes: request.scopes, drafts },
            rejects: Vec::new(),
            plan: Plan::Otlp { encoding: self.encoding, refused },
        })
    }

    fn read_messages(self, body: &[u8]) -> Result<Read, Refusal> {
        let received = Received { at: Timestamp::now(), is_strict: self.is_strict };
        let read = match self.entry {
            Entry::Single(kind) => messages::single(body, kind, received),
            _ => messages::batch(body, received),
        };
        let read = read.map_err(|bad| match bad {
            BadBody::TooLarge => Refusal::TooLarge,
            bad => Refusal::Bad(bad.to_string()),
        })?;
        Ok(Read {
            arrival: Arrival { scopes: Vec::new(), drafts: read.drafts },
            rejects: read.rejects,
            plan: Plan::Rudder,
        })
    }
}

/// Spans with their facts; what a resource says is read once.
fn drafts(scopes: &[Scope], spans: &[(u16, SpanView<'_>)]) -> Vec<Draft> {
    let resources: Vec<_> = scopes.iter().map(|scope| ResourceFacts::of(&scope.resource)).collect();
    let draft = |(scope, span): &(u16, SpanView<'_>)| Draft {
        kind: Kind::Span,
        id: span_key(&span.trace_id, &span.span_id),
        scope: *scope,
        body: span.bytes.to_vec(),
        facts: of_span(span, &resources[usize::from(*scope)]),
    };
    spans.iter().map(draft).collect()
}

fn items_read(items: Items, plan: impl FnOnce(Vec<Item>) -> Plan) -> Read {
    let rejects = items.items.iter().filter_map(|item| match &item.fate {
        Fate::Bad(reject) => Some(reject.clone()),
        _ => None,
    });
    Read {
        rejects: rejects.collect(),
        arrival: Arrival { scopes: Vec::new(), drafts: items.drafts },
        plan: plan(items.items),
    }
}

impl Plan {
    /// The answer.
    pub fn answer(self, admitted: &Admitted) -> Result<Answer, Refusal> {
        match &admitted.verdict {
            Verdict::Taken => {}
            Verdict::Busy { retry_after } => {
                return Err(Refusal::Busy { retry_after: *retry_after });
            }
            Verdict::Limited { message, retry_after } => {
                let message = message.clone();
                return Err(Refusal::Limited { message, retry_after: *retry_after });
            }
            Verdict::Broken { message } => return Err(Refusal::Broken(message.clone())),
        }
        Ok(match self {
            Self::Otlp { encoding, mut refused } => {
                for (_, reason) in &admitted.refused {
                    refused.add(|| reason.clone());
                }
                let body = partial_success(encoding, &refused);
                whole(StatusCode::OK, encoding.content_type(), body)
            }
            Self::Ingestion { items, is_strict } => ingestion(&items, is_strict, admitted),
            Self::Scores { items, is_single } => scores(&items, is_single, admitted),
            Self::Rudder => rudder_ok(),
        })
    }
}

fn reasons(admitted: &Admitted) -> HashMap<usize, &str> {
    admitted.refused.iter().map(|(index, reason)| (*index, reason.as_str())).collect()
}

/// Why an item was not taken, if it was not.
fn reason<'a>(item: &'a Item, refused: &HashMap<usize, &'a str>) -> Option<&'a str> {
    match &item.fate {
        Fate::Draft(index) => refused.get(index).copied(),
        Fate::Dropped => None,
        Fate::Bad(reject) => Some(&reject.reason),
    }
}

/// The fate of every envelope. What would be refused again stands among the successes unless the
/// doors are strict: Langfuse 2.60 in Python sends the whole batch again for any error in it.
fn ingestion(items: &[Item], is_strict: bool, admitted: &Admitted) -> Answer {
    let refused = reasons(admitted);
    let (mut successes, mut errors) = (Vec::new(), Vec::new());
    for item in items {
        match reason(item, &refused).filter(|_| is_strict) {
            None => successes.push(json!({"id": item.id, "status": 201})),
            Some(reason) => errors.push(json!({
                "id": item.id,
                "status": 400,
                "message": "Invalid request data",
                "error": reason,
            })),
        }
    }
    json(StatusCode::MULTI_STATUS, &json!({"successes": successes, "errors": errors}))
}

/// Clients that send lists do not repeat what stands among the errors.
fn scores(items: &[Item], is_single: bool, admitted: &Admitted) -> Answer {
    let refused = reasons(admitted);
    if is_single {
        let id = items.first().map_or("", |item| &item.id);
        return json(StatusCode::OK, &json!({"id": id}));
    }
    let errors: Vec<Value> = items
        .iter()
        .filter_map(|item| reason(item, &refused))
        .map(|reason| json!({"message": reason}))
        .collect();
    if errors.is_empty() {
        return json(StatusCode::ACCEPTED, &json!({"message": "Accepted"}));
    }
    let body = json!({
        "accepted": items.len() - errors.len(),
        "rejected": errors.len(),
        "errors": errors,
    });
    json(StatusCode::MULTI_STATUS, &body)
}
