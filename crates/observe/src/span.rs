//! Spans and generations under way. Each is one buffer that already is the message `Span` of OTLP:
//! what a caller says is appended in its final form, and the background only puts it into an
//! envelope.
//!
//! What is known at the beginning is said by value (`span("answer").user("user-1")`), what comes
//! later by reference (`span.error("...")`).

use crate::door::traceparent;
use crate::ids;
use crate::protobuf;
use crate::recorder::Shared;
use crate::value::Value;
use std::ops::Range;
use std::sync::Arc;

/// Room for the ids, the times and about five attributes.
const ROOM: usize = 384;

const TRACE_ID: u8 = 1;
const SPAN_ID: u8 = 2;
const TRACE_STATE: u8 = 3;
const PARENT: u8 = 4;
const NAME: u8 = 5;
const KIND: u8 = 6;
const START: u8 = 7;
const END: u8 = 8;
const ATTRIBUTE: u8 = 9;
const STATUS: u8 = 15;
const FLAGS: u8 = 16;

/// The kinds of OTLP: work of the application itself, and a call to somebody else.
const INTERNAL: u64 = 1;
const CLIENT: u64 = 3;
/// The trace is kept, and its id is random.
const SAMPLED_AND_RANDOM: u32 = 3;
const STATUS_ERROR: u64 = 2;

/// A piece of work under way. It ends when it is dropped; while a panic unwinds, as an error.
///
/// Say each thing once: receivers take any one of several values of an attribute.
#[derive(Debug)]
#[must_use = "a span ends when it is dropped"]
pub struct Span {
    /// `None` where the trace is not recorded: everything is nearly free then.
    live: Option<Live>,
}

#[derive(Debug)]
struct Live {
    shared: Arc<Shared>,
    message: Vec<u8>,
    trace_id: [u8; 16],
    span_id: [u8; 8],
    start: u64,
    /// Where the attributes are that children repeat.
    user: Range<usize>,
    session: Range<usize>,
    is_error: bool,
}

impl Live {
    fn attribute(&mut self, name: &str, value: Value<'_>) -> Range<usize> {
        let value = match value {
            Value::Text(text) => Value::Text(cut(text, self.shared.text_bytes)),
            other => other,
        };
        let begin = self.message.len();
        protobuf::attribute(ATTRIBUTE, name, value, &mut self.message);
        begin..self.message.len()
    }

    fn error(&mut self, what: &str) {
        if self.is_error {
            return;
        }
        self.is_error = true;
        let what = cut(what, self.shared.text_bytes);
        let status = protobuf::field_length(what.len()) + 2;
        protobuf::header(STATUS, status, &mut self.message);
        protobuf::bytes(2, what.as_bytes(), &mut self.message);
        protobuf::number(3, STATUS_ERROR, &mut self.message);
        self.attribute("langfuse.observation.level", Value::Text("ERROR"));
        self.attribute("langfuse.observation.status_message", Value::Text(what));
    }
}

/// The beginning of a text, with whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

impl Span {
    pub(crate) const fn none() -> Self {
        Self { live: None }
    }

    pub(crate) fn root(
        shared: &Arc<Shared>,
        trace_id: [u8; 16],
        name: &str,
        is_generation: bool,
    ) -> Self {
        Self { live: Some(begin(shared, trace_id, None, name, is_generation)) }
    }

    fn below(&self, name: &str, is_generation: bool) -> Self {
        let Some(parent) = &self.live else { return Self::none() };
        let own = Some(parent.span_id);
        let mut live = begin(&parent.shared, parent.trace_id, own, name, is_generation);
        // Langfuse looks for users and sessions at every span of a trace.
        for (from, to) in [(&parent.user, &mut live.user), (&parent.session, &mut live.session)] {
            let begin = live.message.len();
            live.message.extend_from_slice(&parent.message[from.clone()]);
            *to = begin..live.message.len();
        }
        Self { live: Some(live) }
    }

    /// Begins a span below this one, of the same user and session.
    pub fn child(&self, name: &str) -> Self {
        self.below(name, false)
    }

    /// Begins a generation below this span: one call of a model.
    pub fn generation(&self, name: &str) -> Generation {
        Generation::of(self.below(name, true))
    }

    /// Says who used the application. Children that begin later say the same.
    pub fn user(mut self, user: &str) -> Self {
        if let Some(live) = &mut self.live {
            live.user = live.attribute("user.id", Value::Text(user));
        }
        self
    }

    /// Says in which conversation. Children that begin later say the same.
    pub fn session(mut self, session: &str) -> Self {
        if let Some(live) = &mut self.live {
            live.session = live.attribute("session.id", Value::Text(session));
        }
        self
    }

    /// Says what came in.
    pub fn input(mut self, text: &str) -> Self {
        self.attribute("langfuse.observation.input", text);
        self
    }

    /// Says what went out.
    pub fn output(&mut self, text: &str) -> &mut Self {
        self.attribute("langfuse.observation.output", text)
    }

    /// Says anything else, under a name such as those of OpenTelemetry.
    pub fn attribute<'v>(&mut self, name: &str, value: impl Into<Value<'v>>) -> &mut Self {
        if let Some(live) = &mut self.live {
            live.attribute(name, value.into());
        }
        self
    }

    /// Says that something went wrong; the first time counts.
    pub fn error(&mut self, what: &str) -> &mut Self {
        if let Some(live) = &mut self.live {
            live.error(what);
        }
        self
    }

    /// Whether the trace is recorded, for callers whose texts are expensive to make.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        self.live.is_some()
    }

    /// The header `traceparent` for requests that this span makes; `None` where it is not recorded.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.live.as_ref().map(|live| traceparent(&live.trace_id, &live.span_id))
    }

    /// Ends the span now.
    pub fn end(self) {
        drop(self);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(mut live) = self.live.take() else { return };
        if std::thread::panicking() {
            live.error("panic");
        }
        let end = live.shared.clock.steady_ns();
        let end = live.shared.clock.at_ns(end.max(live.start));
        protobuf::fixed64(END, end, &mut live.message);
        live.shared.spans.offer(live.message);
    }
}

fn begin(
    shared: &Arc<Shared>,
    trace_id: [u8; 16],
    parent: Option<[u8; 8]>,
    name: &str,
    is_generation: bool,
) -> Live {
    let span_id = ids::short();
    let start = shared.clock.steady_ns();
    let mut message = Vec::with_capacity(ROOM);
    protobuf::bytes(TRACE_ID, &trace_id, &mut message);
    protobuf::bytes(SPAN_ID, &span_id, &mut message);
    if !shared.trace_state.is_empty() {
        protobuf::bytes(TRACE_STATE, shared.trace_state.as_bytes(), &mut message);
    }
    if let Some(parent) = parent {
        protobuf::bytes(PARENT, &parent, &mut message);
    }
    protobuf::bytes(NAME, cut(name, shared.text_bytes).as_bytes(), &mut message);
    protobuf::number(KIND, if is_generation { CLIENT } else { INTERNAL }, &mut message);
    protobuf::fixed64(START, shared.clock.at_ns(start), &mut message);
    protobuf::fixed32(FLAGS, SAMPLED_AND_RANDOM, &mut message);
    let shared = Arc::clone(shared);
    let is_error = false;
    Live { shared, message, trace_id, span_id, start, user: 0..0, session: 0..0, is_error }
}

/// One call of a model under way: a span with a model and tokens.
#[derive(Debug)]
#[must_use = "a generation ends when it is dropped"]
pub struct Generation {
    span: Span,
}

impl Generation {
    pub(crate) fn of(mut span: Span) -> Self {
        span.attribute("langfuse.observation.type", "generation");
        span.attribute("gen_ai.operation.name", "chat");
        Self { span }
    }

    /// Says which model is asked.
    pub fn model(mut self, model: &str) -> Self {
        self.span.attribute("gen_ai.request.model", model);
        self
    }

    /// Says who runs the model, such as `openai`.
    pub fn provider(mut self, provider: &str) -> Self {
        self.span.attribute("gen_ai.provider.name", provider);
        self
    }

    /// Says who used the application.
    pub fn user(mut self, user: &str) -> Self {
        self.span = self.span.user(user);
        self
    }

    /// Says in which conversation.
    pub fn session(mut self, session: &str) -> Self {
        self.span = self.span.session(session);
        self
    }

    /// Says what the model read.
    pub fn input(mut self, text: &str) -> Self {
        self.span = self.span.input(text);
        self
    }

    /// Says what the model wrote.
    pub fn output(&mut self, text: &str) -> &mut Self {
        self.span.output(text);
        self
    }

    /// Says which model answered, where it is another than the one asked.
    pub fn response_model(&mut self, model: &str) -> &mut Self {
        self.attribute("gen_ai.response.model", model)
    }

    /// Says how many tokens the model read and wrote, as vendors count them: with those from a
    /// cache and those of reasoning.
    pub fn usage(&mut self, input: u64, output: u64) -> &mut Self {
        self.attribute("gen_ai.usage.input_tokens", input);
        self.attribute("gen_ai.usage.output_tokens", output)
    }

    /// Says how many of the tokens read came from the vendor's cache, and how many were written
    /// into it.
    pub fn cached(&mut self, read: u64, written: u64) -> &mut Self {
        self.attribute("gen_ai.usage.cache_read.input_tokens", read);
        self.attribute("gen_ai.usage.cache_creation.input_tokens", written)
    }

    /// Says how many of the tokens written were spent on reasoning.
    pub fn reasoning(&mut self, tokens: u64) -> &mut Self {
        self.attribute("gen_ai.usage.reasoning.output_tokens", tokens)
    }

    /// Says anything else, under a name such as those of OpenTelemetry.
    pub fn attribute<'v>(&mut self, name: &str, value: impl Into<Value<'v>>) -> &mut Self {
        self.span.attribute(name, value);
        self
    }

    /// Says that something went wrong; the first time counts.
    pub fn error(&mut self, what: &str) -> &mut Self {
        self.span.error(what);
        self
    }

    /// Begins a span below this generation, such as a call of a tool.
    pub fn child(&self, name: &str) -> Span {
        self.span.child(name)
    }

    /// Whether the trace is recorded, for callers whose texts are expensive to make.
    #[must_use]
    pub const fn is_recorded(&self) -> bool {
        self.span.is_recorded()
    }

    /// The header `traceparent` for requests of this generation; `None` where it is not recorded.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        self.span.traceparent()
    }

    /// Ends the generation now.
    pub fn end(self) {
        drop(self);
    }
}
