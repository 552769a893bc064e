//! Product events as the clients of RudderStack send them.
//!
//! One message of a batch that cannot be taken does not cost the others: it is set aside with its
//! reason. RudderStack's own server refuses the whole batch then, and its Node client ends the
//! host process on such an answer, so this is a choice (`is_strict`).

use super::cost::pico_of_text;
use super::facts::{metadata_of_json, normal_tier};
use super::ids::random_uuid;
use super::json_text::{Capped, Object, plain_text, text_of_body};
use super::provider::provider;
use super::usage::{Count, Counts, Includes, UsageDetails, whole};
use crate::observe::event::{Draft, Facts, Kind, Usage};
use jiff::Timestamp;
use serde_json::value::RawValue;
use thiserror::Error;

/// How many messages a batch may have.
pub const MOST_MESSAGES: usize = 50_000;

/// The kinds of message that have an address of their own.
pub const TYPES: [&str; 8] =
    ["identify", "track", "page", "screen", "group", "alias", "merge", "import"];

/// Something that was sent and cannot be taken, to be kept for a person to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its id, where it has one.
    pub id: Option<String>,
    /// Why it cannot be taken.
    pub reason: String,
    /// What was sent.
    pub body: Vec<u8>,
}

/// A body that is refused as a whole. The texts are RudderStack's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadBody {
    /// There is none.
    #[error("request body is nil")]
    Nil,
    /// It is no JSON.
    #[error("invalid json")]
    InvalidJson,
    /// It has no `batch`, or nothing in it.
    #[error("empty batch payload")]
    EmptyBatch,
    /// It is no object where a message was expected.
    #[error("event is not a valid rudder event")]
    NotAnEvent,
    /// A message says nothing of who did it.
    #[error("request neither has anonymousId nor userId")]
    NonIdentifiable,
    /// It has more messages than [`MOST_MESSAGES`].
    #[error("request size exceeds max limit")]
    TooLarge,
}

/// What a body has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Messages {
    /// The messages that are taken.
    pub drafts: Vec<Draft>,
    /// The others.
    pub rejects: Vec<Reject>,
}

/// When a request arrived, and from where; messages are completed with it.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// When it arrived.
    pub at: Timestamp,
    /// Whether one bad message refuses them all, as with RudderStack's own server.
    pub is_strict: bool,
}

/// Reads the body of `/v1/batch`.
///
/// # Errors
///
/// [`BadBody`], for which nothing of the body is taken.
pub fn batch(body: &[u8], received: Received) -> Result<Messages, BadBody> {
    if body.is_empty() {
        return Err(BadBody::Nil);
    }
    let text = text_of_body(body);
    serde_json::from_str::<&RawValue>(&text).map_err(|_| BadBody::InvalidJson)?;
    // Any other JSON is one without a batch.
    let request = Object::parse(&text).ok_or(BadBody::EmptyBatch)?;
    let batch = request.get("batch").ok_or(BadBody::EmptyBatch)?.get();
    if !batch.starts_with('[') {
        return Err(BadBody::EmptyBatch);
    }
    let Capped(items) =
        serde_json::from_str::<Capped<'_, MOST_MESSAGES>>(batch).map_err(|_| BadBody::TooLarge)?;
    if items.is_empty() {
        return Err(BadBody::EmptyBatch);
    }
    let mut messages = Messages::default();
    for item in items {
        messages.add(item.get(), None, received)?;
    }
    Ok(messages)
}

/// Reads the body of `/v1/track` and the like: one message, whose type is that of the address.
///
/// # Errors
///
/// [`BadBody`].
pub fn single(body: &[u8], kind: &str, received: Received) -> Result<Messages, BadBody> {
    if body.is_empty() {
        return Err(BadBody::Nil);
    }
    let text = text_of_body(body);
    serde_json::from_str::<&RawValue>(&text).map_err(|_| BadBody::InvalidJson)?;
    let mut messages = Messages::default();
    messages.add(&text, Some(kind), Received { is_strict: true, ..received })?;
    Ok(messages)
}

impl Messages {
    fn add(&mut self, json: &str, kind: Option<&str>, received: Received) -> Result<(), BadBody> {
        let message = Object::parse(json);
        match message.as_ref().ok_or(BadBody::NotAnEvent).and_then(|it| draft(it, kind, received)) {
            Ok(draft) => self.drafts.push(draft),
            Err(bad) if received.is_strict => return Err(bad),
            Err(bad) => self.rejects.push(Reject {
                id: message.and_then(|it| it.text("messageId").map(Into::into)),
                reason: bad.to_string(),
                body: json.as_bytes().to_vec(),
            }),
        }
        Ok(())
    }
}

fn draft(message: &Object<'_>, kind: Option<&str>, received: Received) -> Result<Draft, BadBody> {
    let own_kind = message.text("type");
    let kind = match (kind, &own_kind) {
        // Imported messages keep their own types.
        (Some("import"), own) => own.as_deref().unwrap_or("track"),
        (Some(kind), _) => kind,
        (None, Some(own)) => own,
        (None, None) if message.get("event").is_some() => "track",
        (None, None) => "",
    };
    let user = message.text_of(&["userId", "anonymousId"]);
    // What a warehouse sends has no user.
    if user.is_none() && !["extract", "rETL"].contains(&kind) {
        return Err(BadBody::NonIdentifiable);
    }
    let id = message.text("messageId").map(|id| id.trim().to_owned());
    let id = id.unwrap_or_else(random_uuid);
    let at = message
        .text_of(&["timestamp", "originalTimestamp"])
        .and_then(|text| text.parse::<Timestamp>().ok())
        .unwrap_or(received.at);
    let at = u64::try_from(at.as_nanosecond()).unwrap_or(0);
    let name = match kind {
        "track" => message.text("event"),
        "group" => message.text("groupId"),
        _ => message.text("name"),
    };
    let mut facts = Facts {
        name: name.map_or_else(|| kind.to_owned(), Into::into),
        class: kind.to_owned(),
        user: user.map(Into::into),
        session: message.object("context").and_then(|it| it.text("sessionId").map(Into::into)),
        start_ns: at,
        end_ns: at,
        ..Facts::default()
    };
    if let Some(properties) = message.get("properties") {
        put_properties(&mut facts, properties.get());
    }
    let body = complete(message, &id, kind, received.at);
    Ok(Draft { kind: Kind::Message, id, scope: 0, body, facts })
}

/// The message with what its sender left out. It is written anew only where something is missing.
fn complete(message: &Object<'_>, id: &str, kind: &str, received: Timestamp) -> Vec<u8> {
    let received = format!("{received:.3}");
    let wanted = [("messageId", id), ("type", kind), ("receivedAt", &*received)];
    // A type that is known from the address wins, as with RudderStack's server.
    let is_kept = |key: &str| match wanted.iter().find(|(name, _)| *name == key) {
        Some(("receivedAt", _)) => message.text(key).is_some(),
        Some((_, value)) => message.text(key).is_some_and(|own| own == *value),
        None => true,
    };
    let mut out = String::with_capacity(256);
    out.push('{');
    let put = |out: &mut String, key: &str, value: &str| {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&quoted(key));
        out.push(':');
        out.push_str(value);
    };
    for (key, value) in message.fields.iter().filter(|(key, _)| is_kept(key)) {
        put(&mut out, key, value.get());
    }
    for (key, value) in wanted {
        let is_there = is_kept(key) && message.get(key).is_some();
        if !is_there && !value.is_empty() {
            put(&mut out, key, &quoted(value));
        }
    }
    out.push('}');
    out.into_bytes()
}

/// A JSON string; writing one never fails.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// The names under which applications tell what a call of a model used, for each count. The counts
/// of the input include cached tokens, except with Anthropic's names for those, as at Anthropic.
const COUNTS: [(Count, &[&str]); 5] = [
    (
        Count::Input,
        &["inputTokens", "input_tokens", "prompt_tokens", "promptTokens", "tokens_in", "tokensIn"],
    ),
    (
        Count::Output,
        &[
            "outputTokens",
            "output_tokens",
            "completion_tokens",
            "completionTokens",
            "tokens_out",
            "tokensOut",
        ],
    ),
    (
        Count::CacheRead,
        &[
            "cache_read_input_tokens",
            "cachedTokens",
            "cached_tokens",
            "cachedInputTokens",
            "cached_input_tokens",
            "cacheReadTokens",
            "cache_read_tokens",
        ],
    ),
    (Count::CacheWrite, &["cache_creation_input_tokens", "cacheWriteTokens", "cache_write_tokens"]),
    (Count::Reasoning, &["reasoningTokens", "reasoning_tokens"]),
];

/// The names of the total, which only counts where nothing else is stated.
const TOTAL: [&str; 3] = ["totalTokens", "total_tokens", "tokens"];
const COST: [&str; 6] = ["cost", "totalCost", "total_cost", "cost_usd", "costUsd", "costUSD"];

fn put_properties(facts: &mut Facts, json: &str) {
    facts.metadata = metadata_of_json(json);
    let Some(properties) = Object::parse(json) else { return };
    let owned = |names: &[&str]| properties.text_of(names).map(String::from);
    facts.model = owned(&["model", "modelName", "model_name", "llm_model"]);
    facts.requested_model =
        owned(&["requestedModel", "requested_model"]).or_else(|| facts.model.clone());
    facts.provider = properties
        .text_of(&["provider", "modelProvider", "model_provider"])
        .and_then(|name| provider(&name));
    facts.service_tier =
        properties.text_of(&["serviceTier", "service_tier"]).and_then(|tier| normal_tier(&tier));
    facts.session = facts.session.take().or_else(|| owned(&["sessionId", "session_id"]));
    facts.environment = owned(&["environment"]);
    // Only a call of a model has a model; other events may well have a cost, of a product.
    if facts.model.is_some() {
        facts.usage = usage(&properties);
        facts.stated_cost_pico = properties.text_of(&COST).and_then(|text| pico_of_text(&text));
    }
}

fn usage(properties: &Object<'_>) -> Usage {
    let mut counts = Counts::default();
    let mut has_anthropic_names = false;
    let totals = (Count::Total, TOTAL.as_slice());
    for (count, names) in COUNTS.into_iter().chain([totals]) {
        for (rank, name) in (0..).zip(names) {
            if let Some(value) = properties.get(name).and_then(number) {
                counts.state(count, rank, value);
                has_anthropic_names |=
                    name.starts_with("cache_") && name.ends_with("_input_tokens");
            }
        }
    }
    if counts.is_empty() {
        let details = properties.get("usage").and_then(|json| UsageDetails::parse(json.get()));
        return details.map(|details| details.usage()).unwrap_or_default();
    }
    counts.disjoint(match has_anthropic_names {
        true => Includes { reasoning: true, ..Includes::NOTHING },
        false => Includes::EVERYTHING,
    })
}

fn number(value: &RawValue) -> Option<u64> {
    let text = plain_text(value)?;
    let text = text.trim();
    text.parse().ok().or_else(|| text.parse().ok().and_then(whole))
}
