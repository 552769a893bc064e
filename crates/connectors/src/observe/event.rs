//! What the doors make of a request and every later stage works on: drafts before the queue,
//! stored events behind it. Whatever dialect a client speaks, its spans are protobuf spans of
//! OTLP here, its product events are JSON messages, its scores are JSON objects.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What kind of thing a client told us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A finished span of a trace; its body is the protobuf message `Span` of OTLP.
    Span,
    /// A score of Langfuse; its body is the JSON object.
    Score,
    /// A product event of RudderStack; its body is the JSON message.
    Message,
    /// A part of an observation or a trace as old clients of Langfuse send it, to be joined with
    /// others to a span; its body is the JSON envelope (`id`, `type`, `timestamp`, `body`).
    Patch,
}

/// Who is shed first when there is no more room.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Shed first, such as debug output.
    Low,
    /// Everything else.
    #[default]
    Normal,
    /// Shed last: errors, and what has a cost.
    High,
}

/// The tokens of a generation in disjoint buckets: no token is in two of them, so a cost is a sum
/// of products. Where a client's count of input includes cached tokens, they are taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Text read by the model, without what the other buckets have.
    pub input: u64,
    /// Input that came from the vendor's cache.
    pub cache_read: u64,
    /// Input that was written into the vendor's cache, for five minutes or the vendor's usual time.
    pub cache_write: u64,
    /// Input that was written into the vendor's cache for an hour.
    pub cache_write_1h: u64,
    /// Audio read by the model.
    pub audio_input: u64,
    /// Text written by the model, without what the other buckets have.
    pub output: u64,
    /// Tokens spent on reasoning.
    pub reasoning: u64,
    /// Audio written by the model.
    pub audio_output: u64,
}

impl Usage {
    /// Everything that the model read.
    #[must_use]
    pub const fn all_input(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.audio_input)
    }

    /// Everything that the model wrote.
    #[must_use]
    pub const fn all_output(&self) -> u64 {
        self.output.saturating_add(self.reasoning).saturating_add(self.audio_output)
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of an event, in one set of words for all dialects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The trace, 16 bytes.
    pub trace_id: Option<[u8; 16]>,
    /// The span, 8 bytes.
    pub span_id: Option<[u8; 8]>,
    /// Whether the span has no parent.
    pub is_root: bool,
    /// The name of the span or of the product event.
    pub name: String,
    /// `span`, `generation`, `event`, `agent`, `tool`, ... for spans; `track`, `identify`, ... for
    /// messages; `score`.
    pub class: String,
    /// Who used the application.
    pub user: Option<String>,
    /// The conversation.
    pub session: Option<String>,
    /// The application's environment, such as `production`.
    pub environment: Option<String>,
    /// The model that answered, else the one that was asked.
    pub model: Option<String>,
    /// The model that was asked; policies look at this one.
    pub requested_model: Option<String>,
    /// Who runs the model, such as `openai`.
    pub provider: Option<String>,
    /// The vendor's service tier, such as `priority`, `flex` or `batch`.
    pub service_tier: Option<String>,
    /// The tokens.
    pub usage: Usage,
    /// The total cost that the client states, in units of 10^-12 US dollars.
    pub stated_cost_pico: Option<u64>,
    /// When it began, in nanoseconds since 1970; for messages, when it happened.
    pub start_ns: u64,
    /// When it ended; the same for messages.
    pub end_ns: u64,
    /// Whether it says that something went wrong.
    pub is_error: bool,
    /// Whether it is marked as unimportant (level DEBUG).
    pub is_debug: bool,
    /// The version of the prompt or config that was used, where it says so.
    pub prompt: Option<String>,
    /// Metadata of the event and the trace that policies may name: `metadata.KEY`.
    pub metadata: BTreeMap<String, String>,
}

impl Facts {
    /// How long it took, in milliseconds.
    #[must_use]
    pub const fn duration_ms(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns) / 1_000_000
    }
}

/// What spans of one request share: where they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The protobuf message `Resource`.
    #[serde(with = "serde_bytes")]
    pub resource: Vec<u8>,
    /// The schema of the resource.
    pub resource_schema_url: String,
    /// The protobuf message `InstrumentationScope`.
    #[serde(with = "serde_bytes")]
    pub scope: Vec<u8>,
    /// The schema of the scope's spans.
    pub schema_url: String,
}

/// An event on its way to the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What it is.
    pub kind: Kind,
    /// Its identity in its project, which every copy of it has: the trace and span ids in
    /// hexadecimal joined by `-`, the `messageId`, the `id` of an envelope or a score.
    pub id: String,
    /// Which of the request's scopes it belongs to.
    pub scope: u16,
    /// The event itself; see [`Kind`].
    pub body: Vec<u8>,
    /// What it says.
    pub facts: Facts,
}

/// What a request brought, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arrival {
    /// Where spans come from; empty where there are none.
    pub scopes: Vec<Scope>,
    /// The events, in the order of the request.
    pub drafts: Vec<Draft>,
}

/// What a generation cost, and what that was computed from: with it the cost can be derived again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostRow {
    /// Who runs the model, as far as it is known.
    pub provider: Option<String>,
    /// The model's name as the client gave it.
    pub model: String,
    /// The entry of the price map that it was found under; `None` for an unknown model.
    pub matched_key: Option<String>,
    /// The hash of the price map.
    pub price_hash: String,
    /// The tier of the prices, such as `above_200k` or `priority`; empty for the usual one.
    pub tier: String,
    /// The tokens.
    pub usage: Usage,
    /// The cost in units of 10^-12 US dollars; `None` for an unknown model.
    pub cost_pico: Option<u64>,
    /// The input's part of it.
    pub input_pico: Option<u64>,
    /// The output's part of it.
    pub output_pico: Option<u64>,
    /// Whether the cost is the client's own statement and not ours.
    pub stated: bool,
}

/// What the queue's events of one request share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// The project whose key the request had.
    pub project: String,
    /// When it arrived, in milliseconds since 1970.
    pub received_ms: u64,
    /// Where its spans come from.
    pub scopes: Vec<Scope>,
}

/// An event in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// What it is.
    pub kind: Kind,
    /// See [`Draft::id`].
    pub id: String,
    /// Which scope of [`Shared`] it belongs to.
    pub scope: u16,
    /// When it happened, in milliseconds since 1970.
    pub at_ms: u64,
    /// Events with the same number other than 0 are forwarded in their order: a hash of the user.
    pub order: u64,
    /// The user, where there is one.
    pub user: Option<String>,
    /// See [`Facts::class`].
    pub class: String,
    /// See [`Facts::name`].
    pub name: String,
    /// The cost, for generations.
    pub cost: Option<CostRow>,
    /// One in how many of its like it stands for, times 1,000: 1,000 where nothing is left out.
    pub weight_milli: u64,
    /// Names of the policies that flagged it.
    pub flags: Vec<String>,
    /// What a tail rule has still to decide on, where there is something.
    pub held: Option<Held>,
    /// The event itself; see [`Kind`].
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

/// A span whose trace is not decided on: where it goes either way, and what rules look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The bits of the destinations it goes to when its trace is kept.
    pub kept: u32,
    /// When it is not.
    pub otherwise: u32,
    /// See [`Facts::is_error`].
    pub is_error: bool,
    /// See [`Facts::duration_ms`].
    pub duration_ms: u64,
}
