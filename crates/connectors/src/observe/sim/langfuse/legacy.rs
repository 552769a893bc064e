//! The legacy ingestion: batches of envelopes, each answered for itself in a 207.

use bytes::Bytes;
use http::Request;
use serde_json::{Map, Value, json};
use windlass_sim::{Arrival, Micros, Reply};

use super::super::journal::Accepted;
use super::super::options::Options;
use super::super::replies::{Refused, json};
use super::super::spans::plain;
use super::mapping::clean_environment;
use super::reading::multi_status;
use super::store::{self, Bodies, Patch};
use super::{Langfuse, invalid, usage};

/// The parser's limit of a body, which is above the documented 3.5 MB.
const MOST_BODY: usize = 4_500_000;

const KINDS: [&str; 10] = [
    "trace-create",
    "score-create",
    "span-create",
    "span-update",
    "generation-create",
    "generation-update",
    "event-create",
    "sdk-log",
    "observation-create",
    "observation-update",
];

impl Langfuse {
    pub(super) fn take_ingestion(
        &mut self,
        options: &Options,
        request: &Request<Bytes>,
        arrival: Arrival,
    ) -> Result<Reply, Refused> {
        if request.body().len() > MOST_BODY {
            return Err(json(413, &json!({"message": "Body exceeded 4.5mb limit"})).into());
        }
        let body: Value = serde_json::from_slice(request.body()).map_err(|_| invalid("JSON"))?;
        let Some(batch) = body["batch"].as_array() else { return Err(invalid("batch")) };
        let (mut successes, mut errors) = (Vec::new(), Vec::new());
        let mut taken: Vec<&Value> = Vec::new();
        for event in batch {
            match refusal(options, event) {
                None => taken.push(event),
                Some((status, message, why)) => errors.push(json!({
                    "id": event["id"], "status": status, "message": message, "error": why,
                })),
            }
        }
        // Creates go before updates, each by time, whatever the order in the request.
        taken.sort_by_key(|event| {
            let is_update = event["type"].as_str().is_some_and(|kind| kind.ends_with("-update"));
            (is_update, event["timestamp"].as_str().and_then(store::nanoseconds))
        });
        for event in &taken {
            self.apply(options, event, arrival.at);
            successes.push(json!({"id": event["id"], "status": 201}));
        }
        self.journal.totals.rejected += errors.len() as u64;
        let effect = !successes.is_empty();
        let response = multi_status(&successes, &errors);
        Ok(Reply { response, effect, items: 0 }.with_items(batch.len()))
    }

    fn apply(&mut self, options: &Options, event: &Value, at: Micros) {
        let kind = event["type"].as_str().unwrap_or("");
        let body = &event["body"];
        let text = |name: &str| body[name].as_str().unwrap_or("");
        let patch = patch_of(kind, body, options.bodies);
        let total = patch.cost.as_deref().and_then(usage::total_cost);
        let trace = if kind == "trace-create" { text("id") } else { text("traceId") };
        let seen = self.journal.note(
            at,
            Accepted {
                trace,
                id: event["id"].as_str().unwrap_or(""),
                class: kind,
                name: text("name"),
                user: text("userId"),
                cost: total.as_deref(),
                ..Accepted::default()
            },
        );
        // An envelope that was seen is stored already.
        if !seen.is_new {
            return;
        }
        let visible = u64::try_from(options.visible_after.as_micros()).unwrap_or(u64::MAX);
        match kind {
            "trace-create" => self.store.put_trace(patch),
            "sdk-log" => {}
            "score-create" => self.note_score(body, at),
            _ => self.store.put(patch, at.saturating_add(visible), false),
        }
    }
}

/// Why an event is refused, if it is: status, message and error.
fn refusal(options: &Options, event: &Value) -> Option<(u16, &'static str, &'static str)> {
    let invalid = |why| Some((400, "Invalid request data", why));
    let kind = event["type"].as_str().unwrap_or("");
    if event["id"].as_str().is_none_or(str::is_empty) {
        return invalid("id: Required");
    }
    if !KINDS.contains(&kind) {
        return invalid("type: Invalid discriminator value");
    }
    if event["timestamp"].as_str().and_then(store::nanoseconds).is_none() {
        return invalid("timestamp: Invalid datetime");
    }
    let body = &event["body"];
    if !body.is_object() {
        return invalid("body: Required");
    }
    if kind.ends_with("-update") && body["id"].as_str().is_none_or(str::is_empty) {
        return invalid("body.id: Required");
    }
    let is_score = kind == "score-create";
    if options.scores_only && !is_score {
        return Some((401, "Access Scope Denied", "the key may post scores alone"));
    }
    if options.events_only && !is_score && kind != "sdk-log" {
        return invalid("this server takes traces and observations by OTLP alone");
    }
    if body["name"].as_str().is_some_and(|name| options.poison.iter().any(|bad| bad == name)) {
        return invalid("body: Invalid");
    }
    None
}

fn patch_of(kind: &str, body: &Value, with_bodies: bool) -> Patch {
    let text = |name: &str| Some(&body[name]).filter(|value| !value.is_null()).map(plain);
    let id = text("id").unwrap_or_default();
    let trace = text("traceId").unwrap_or_else(|| id.clone());
    let mut patch = Patch::new(&trace, &id);
    patch.parent = text("parentObservationId");
    let time = |name: &str| body[name].as_str().and_then(store::nanoseconds);
    patch.start_ns = time("startTime");
    patch.end_ns = time("endTime");
    patch.completion_ns = time("completionStartTime");
    let class = match kind.split('-').next() {
        Some("generation") => Some("GENERATION".to_owned()),
        Some("span") => Some("SPAN".to_owned()),
        Some("event") => Some("EVENT".to_owned()),
        _ => text("type"),
    };
    let name = if kind == "trace-create" { store::TRACE_NAME } else { store::NAME };
    for (field, value) in [
        (store::TYPE, class),
        (name, text("name")),
        (store::MODEL, text("model")),
        (store::LEVEL, text("level")),
        (store::STATUS, text("statusMessage")),
        (store::ENVIRONMENT, text("environment").map(|stated| clean_environment(&stated))),
        (store::SESSION, text("sessionId")),
        (store::USER, text("userId")),
        (store::VERSION, text("version")),
        (store::RELEASE, text("release")),
        (store::TAGS, text("tags")),
        (store::PROMPT_NAME, text("promptName")),
        (store::PROMPT_VERSION, text("promptVersion")),
    ] {
        patch.set(field, value);
    }
    patch.usage = usage_of(body);
    patch.cost = cost_of(body);
    if with_bodies {
        patch.bodies = Some(Box::new(Bodies {
            input: text("input"),
            output: text("output"),
            metadata: text("metadata"),
            parameters: text("modelParameters"),
        }));
    }
    patch
}

/// The tokens: details word for word, or the shapes of OpenAI and of old SDKs.
fn usage_of(body: &Value) -> Option<String> {
    let details = &body["usageDetails"];
    let openai = [("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")];
    for (input, output) in openai {
        if details.get(input).is_some() {
            return openai_usage(details, input, output);
        }
    }
    if details.is_object() {
        return usage::numbers(&details.to_string());
    }
    let usage = &body["usage"];
    let mut named = Map::new();
    for (name, names) in [
        ("input", ["input", "promptTokens"]),
        ("output", ["output", "completionTokens"]),
        ("total", ["total", "totalTokens"]),
    ] {
        if let Some(count) = names.iter().find_map(|name| usage[*name].as_u64()) {
            named.insert(name.to_owned(), count.into());
        }
    }
    (!named.is_empty()).then(|| Value::Object(named).to_string())
}

/// The parts are taken out of the sums.
fn openai_usage(details: &Value, input: &str, output: &str) -> Option<String> {
    let mut named = Map::new();
    for (sum, name) in [(input, "input"), (output, "output")] {
        let mut count = details[sum].as_u64()?;
        let parts = details[format!("{sum}_details")].as_object();
        for (part, value) in parts.into_iter().flatten() {
            let part_count = value.as_u64().unwrap_or(0);
            count = count.saturating_sub(part_count);
            named.insert(format!("{name}_{part}"), part_count.into());
        }
        named.insert(name.to_owned(), count.into());
    }
    if let Some(total) = details["total_tokens"].as_u64() {
        named.insert("total".to_owned(), total.into());
    }
    Some(Value::Object(named).to_string())
}

fn cost_of(body: &Value) -> Option<String> {
    if body["costDetails"].is_object() {
        return usage::numbers(&body["costDetails"].to_string());
    }
    let usage = &body["usage"];
    let named = [("input", "inputCost"), ("output", "outputCost"), ("total", "totalCost")];
    let named = named.iter().filter(|(_, old)| usage[*old].is_number());
    let named: Map<String, Value> =
        named.map(|(name, old)| ((*name).to_owned(), usage[*old].clone())).collect();
    (!named.is_empty()).then(|| Value::Object(named).to_string())
}
