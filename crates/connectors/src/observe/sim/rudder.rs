//! RudderStack's data plane: `POST /v1/batch` and the single endpoints, with answers in plain text.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Value, json};
use windlass_sim::{Arrival, Charge, Micros, Quotas, Reply};
use xxhash_rust::xxh3::xxh3_64;

use super::body::{MOST_UNPACKED, unpack};
use super::journal::{Accepted, Journal, sequence_of};
use super::options::Options;
use super::replies::{Refused, basic, header, json, text};
use super::spans::plain;

/// The index of the rule of events in 60 seconds.
pub(super) const EVENTS: usize = 3;

/// For how long an id is known, in microseconds, where deduplication is on.
const DEDUP_WINDOW: Micros = 3_600_000_000;

/// The kinds of messages with an endpoint of their own.
const SINGLE: [&str; 7] = ["identify", "track", "page", "screen", "group", "alias", "merge"];

/// What a gateway adds around a single message before it looks at the size.
const WRAPPING: usize = "{\"batch\":[]}".len();

/// A data plane with one source.
#[derive(Debug)]
pub(super) struct DataPlane {
    pub journal: Journal,
    /// When each message id came last; only where deduplication is on.
    recent: HashMap<u64, Micros>,
    /// Messages that deduplication held back.
    pub suppressed: u64,
    generated: u64,
}

/// The messages of a request that can be taken.
struct Batch {
    messages: Vec<Value>,
}

impl DataPlane {
    pub(super) fn new(options: &Options) -> Self {
        let journal = Journal::new(options.chassis.counters_only);
        Self { journal, recent: HashMap::new(), suppressed: 0, generated: 0 }
    }

    pub(super) fn answer(
        &mut self,
        options: &Options,
        request: &Request<Bytes>,
        arrival: Arrival,
        (trouble, quotas): (Option<u16>, &mut Quotas),
    ) -> Reply {
        if let Some(status) = arrival.storm.map(|_| 429).or(trouble) {
            return Reply::unchanged(refusal(status));
        }
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::GET, "/health") => return Reply::unchanged(health()),
            (&Method::GET, "/version") => {
                let version = json!({"Version": "simulated", "Major": "1", "Minor": "83"});
                return Reply::unchanged(json(200, &version));
            }
            _ => {}
        }
        match self.take(options, request, arrival, quotas) {
            Ok(batch) => {
                let count = batch.messages.len();
                self.commit(options, batch, arrival.at);
                Reply::changed(text(200, "ok")).with_items(count)
            }
            Err(response) => Reply::unchanged(*response),
        }
    }

    /// Looks at a request in the order in which the real gateway does.
    fn take(
        &self,
        options: &Options,
        request: &Request<Bytes>,
        arrival: Arrival,
        quotas: &mut Quotas,
    ) -> Result<Batch, Refused> {
        let kind = request.uri().path().strip_prefix("/v1/").unwrap_or("");
        let is_batch = matches!(kind, "batch" | "import");
        if !is_batch && !SINGLE.contains(&kind) {
            return Err(refused(404, "404 page not found\n"));
        }
        if request.method() != Method::POST {
            return Err(refused(405, ""));
        }
        match basic(request) {
            None => return Err(refused(401, "failed to read writekey from header")),
            Some((key, _)) if key.is_empty() => {
                return Err(refused(401, "failed to read writekey from header"));
            }
            Some((key, _))
                if arrival.revoked || !(options.any_key || key == options.rudder_write_key) =>
            {
                return Err(refused(401, "invalid write key"));
            }
            Some(_) if options.source_disabled => return Err(refused(404, "source is disabled")),
            Some(_) => {}
        }
        if request.body().is_empty() {
            return Err(refused(400, "request body is nil"));
        }
        // Only an exact gzip is unpacked; anything else is taken for plain JSON.
        let body = match header(request, "content-encoding") {
            "gzip" => unpack(request.body(), "gzip", MOST_UNPACKED),
            _ => Ok(Cow::Borrowed(request.body().as_ref())),
        };
        let body = body.map_err(|_| refused(400, "invalid json"))?;
        let parsed = serde_json::from_slice::<Value>(&body);
        let parsed = parsed.map_err(|_| refused(400, "invalid json"))?;
        let size = body.len() + if is_batch { 0 } else { WRAPPING };
        if size > options.rudder_body_max {
            return Err(refused(413, "request size exceeds max limit"));
        }
        let messages = if is_batch { batched(parsed) } else { vec![typed(parsed, kind)] };
        let cost = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        if quotas.admit_costs(arrival.at, &[Charge { rule: EVENTS, scope: 0, cost }]).is_err() {
            return Err(refused(429, "max requests limit reached"));
        }
        check(&messages)?;
        let is_poison = |message: &Value| options.poison.contains(&name_of(message));
        if messages.iter().any(is_poison) {
            return Err(refused(400, "invalid json"));
        }
        Ok(Batch { messages })
    }

    fn commit(&mut self, options: &Options, batch: Batch, at: Micros) {
        for message in batch.messages {
            let mut id = plain_or_empty(&message["messageId"]);
            if id.trim().is_empty() {
                self.generated += 1;
                id = format!("generated-{}", self.generated);
            }
            if options.dedup {
                let last = self.recent.insert(xxh3_64(id.as_bytes()), at);
                if last.is_some_and(|last| at < last + DEDUP_WINDOW) {
                    self.suppressed += 1;
                    continue;
                }
            }
            let body = options.bodies.then(|| message.to_string());
            self.journal.note(
                at,
                Accepted {
                    id: &id,
                    class: message["type"].as_str().unwrap_or(""),
                    name: &name_of(&message),
                    user: &plain_or_empty(&message["userId"]),
                    anonymous: &plain_or_empty(&message["anonymousId"]),
                    sequence: sequence_of(message["properties"].get("sequence")),
                    body: body.as_deref(),
                    ..Accepted::default()
                },
            );
        }
    }
}

fn refused(status: u16, why: &'static str) -> Refused {
    text(status, why).into()
}

fn batched(mut parsed: Value) -> Vec<Value> {
    match parsed.get_mut("batch").map(Value::take) {
        Some(Value::Array(messages)) => messages,
        _ => Vec::new(),
    }
}

/// A single message has the type of its path.
fn typed(mut message: Value, kind: &str) -> Value {
    if let Some(fields) = message.as_object_mut() {
        fields.insert("type".to_owned(), kind.into());
    }
    message
}

/// One message that can't be taken fails the whole request.
fn check(messages: &[Value]) -> Result<(), Refused> {
    if messages.is_empty() {
        return Err(refused(400, "empty batch payload"));
    }
    for message in messages {
        if !message.is_object() {
            return Err(refused(400, "event is not a valid rudder event"));
        }
        let is_blank = |name: &str| plain_or_empty(&message[name]).trim().is_empty();
        if is_blank("anonymousId") && is_blank("userId") {
            return Err(refused(400, "request neither has anonymousId nor userId"));
        }
    }
    Ok(())
}

/// The event of a `track`, the name of a page or screen.
fn name_of(message: &Value) -> String {
    let event = plain_or_empty(&message["event"]);
    if event.is_empty() { plain_or_empty(&message["name"]) } else { event }
}

fn plain_or_empty(value: &Value) -> String {
    if value.is_null() { String::new() } else { plain(value) }
}

/// A refusal of a data plane in trouble. There is never a time to wait.
fn refusal(status: u16) -> Response<Bytes> {
    text(
        status,
        match status {
            429 => "max requests limit reached",
            503 => "service unavailable",
            504 => "gateway timeout",
            500 => "failed to store",
            _ => "",
        },
    )
}

fn health() -> Response<Bytes> {
    json(
        200,
        &json!({
            "appType": "EMBEDDED", "server": "UP", "db": "UP", "acceptingEvents": "TRUE",
            "routingEvents": "TRUE", "mode": "NORMAL", "backendConfigMode": "API",
        }),
    )
}
