//! What is sent: templates with realistic content, made once, into which every request gets ids
//! that no other has, users and times. A request of a hundred events costs a copy and a few
//! hundred small writes.

use super::Door;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many templates there are; requests take them in turn.
const TEMPLATES: u64 = 16;

/// Provider, model, tokens read and written.
const MODELS: [(&str, &str, u64, u64); 6] = [
    ("openai", "gpt-4o", 1240, 310),
    ("openai", "gpt-4o-mini", 480, 95),
    ("anthropic", "claude-sonnet-4-5", 5300, 720),
    ("anthropic", "claude-haiku-4-5", 900, 140),
    ("gemini", "gemini-2.5-flash", 2100, 260),
    ("openai", "text-embedding-3-small", 350, 0),
];

const WORDS: [&str; 16] = [
    "the", "customer", "asks", "whether", "her", "order", "arrives", "before", "Friday", "and",
    "wants", "to", "change", "the", "address", "today",
];

/// What a template has at a place that differs between events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// 32 hexadecimal digits: the event's id.
    EventHex,
    /// 32 hexadecimal digits: the id of the observation.
    ObservationHex,
    /// 32 hexadecimal digits: the trace's id.
    TraceHex,
    /// 16 bytes: the trace's id.
    TraceBytes,
    /// 8 bytes: the span's id.
    SpanBytes,
    /// 8 decimal digits: the user's number.
    User,
    /// 8 bytes, little endian: when it began, in nanoseconds.
    Start,
    /// The same: when it ended.
    End,
}

impl Slot {
    const fn length(self) -> usize {
        match self {
            Self::EventHex | Self::ObservationHex | Self::TraceHex => 32,
            Self::TraceBytes => 16,
            Self::SpanBytes | Self::User | Self::Start | Self::End => 8,
        }
    }
}

#[derive(Debug, Default)]
struct Template {
    bytes: Vec<u8>,
    /// Where slots are, with the number of their event.
    slots: Vec<(usize, Slot, u64)>,
}

impl Template {
    fn slot(&mut self, slot: Slot, event: u64) {
        self.slots.push((self.bytes.len(), slot, event));
        self.bytes.resize(self.bytes.len() + slot.length(), b'0');
    }

    fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Puts another one behind.
    fn append(&mut self, other: Self) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.slots
            .extend(other.slots.into_iter().map(|(at, slot, event)| (begin + at, slot, event)));
    }
}

/// The bodies of a run.
#[derive(Debug)]
pub(super) struct Bodies {
    door: Door,
    events: u64,
    users: u64,
    seed: u64,
    templates: Vec<Template>,
}

impl Bodies {
    /// Bodies of so many events, each of roughly so many bytes. Two runs with different seeds have
    /// no id in common.
    pub(super) fn new(door: Door, events: usize, bytes: usize, users: u64, seed: u64) -> Self {
        let make = |variant| match door {
            Door::Rudder => rudder(variant, events as u64, bytes),
            Door::Otlp => otlp(variant, events as u64, bytes),
            Door::Legacy => legacy(variant, events as u64, bytes),
        };
        let templates = (0..TEMPLATES).map(make).collect();
        Self { door, events: events as u64, users, seed, templates }
    }

    pub(super) const fn content_type(&self) -> &'static str {
        match self.door {
            Door::Otlp => "application/x-protobuf",
            Door::Rudder | Door::Legacy => "application/json",
        }
    }

    /// The body of the request of this number.
    pub(super) fn body(&self, number: u64) -> Vec<u8> {
        let template = &self.templates[(number % TEMPLATES) as usize];
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let mut body = template.bytes.clone();
        for (at, slot, event) in &template.slots {
            let place = &mut body[*at..*at + slot.length()];
            self.fill(place, *slot, number * self.events + event, now);
        }
        body
    }

    fn fill(&self, place: &mut [u8], slot: Slot, event: u64, now: u64) {
        // Mixing is a bijection: different events have different ids.
        let low = mixed(event);
        match slot {
            Slot::EventHex => hex(self.seed, low, place),
            Slot::ObservationHex => hex(self.seed.wrapping_add(1), low, place),
            Slot::TraceHex => hex(self.seed.wrapping_add(2), low, place),
            Slot::TraceBytes => {
                place[..8].copy_from_slice(&self.seed.to_be_bytes());
                place[8..].copy_from_slice(&low.to_be_bytes());
            }
            Slot::SpanBytes => place.copy_from_slice(&mixed(event ^ self.seed).to_be_bytes()),
            Slot::User => {
                let mut user = low % self.users;
                for digit in place.iter_mut().rev() {
                    *digit = b'0' + (user % 10) as u8;
                    user /= 10;
                }
            }
            Slot::Start => {
                // From 50 ms to 2 s.
                let took = 50_000_000 + low % 1_950_000_000;
                place.copy_from_slice(&now.saturating_sub(took).to_le_bytes());
            }
            Slot::End => place.copy_from_slice(&now.to_le_bytes()),
        }
    }
}

/// The last step of the generator splitmix64.
const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn hex(high: u64, low: u64, place: &mut [u8]) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let all = u128::from(high) << 64 | u128::from(low);
    for (digit, at) in place.iter_mut().rev().zip(0..) {
        *digit = DIGITS[(all >> (4 * at) & 15) as usize];
    }
}

/// Words of so many bytes.
fn words(bytes: usize, variant: u64) -> String {
    let mut text = String::with_capacity(bytes + 16);
    let mut at = variant as usize;
    while text.len() < bytes {
        text.push_str(WORDS[at % WORDS.len()]);
        text.push(' ');
        at += 1 + variant as usize % 3;
    }
    text.truncate(bytes);
    text
}

fn model(variant: u64, event: u64) -> (&'static str, &'static str, u64, u64) {
    MODELS[((variant + event) % MODELS.len() as u64) as usize]
}

/// Now as `2026-11-21T19:13:41.123Z`.
fn timestamp() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// Makes an event without text, and makes it again with as much text as is missing to the size.
fn sized(bytes: usize, variant: u64, make: impl Fn(&str) -> Template) -> Template {
    let bare = make("").bytes.len();
    make(&words(bytes.saturating_sub(bare), variant))
}

fn rudder(variant: u64, events: u64, bytes: usize) -> Template {
    let at = timestamp();
    let mut all = Template::default();
    all.text("{\"batch\":[");
    for event in 0..events {
        let (provider, model, input, output) = model(variant, event);
        all.text(if event > 0 { "," } else { "" });
        all.append(sized(bytes, variant + event, |text| {
            let mut one = Template::default();
            one.text("{\"type\":\"track\",\"messageId\":\"");
            one.slot(Slot::EventHex, event);
            one.text("\",\"userId\":\"user-");
            one.slot(Slot::User, event);
            one.text(&format!(
                "\",\"event\":\"message_sent\",\"channel\":\"server\",\
                 \"integrations\":{{\"All\":true}},\"originalTimestamp\":\"{at}\",\
                 \"context\":{{\"library\":{{\"name\":\"windlass-loadtest\",\"version\":\"1\"}}}},\
                 \"properties\":{{\"provider\":\"{provider}\",\"model\":\"{model}\",\
                 \"input_tokens\":{input},\"output_tokens\":{output},\"text\":\"{text}\"}}}}"
            ));
            one
        }));
    }
    all.text(&format!("],\"sentAt\":\"{at}\"}}"));
    all
}

fn legacy(variant: u64, events: u64, bytes: usize) -> Template {
    let at = timestamp();
    let mut all = Template::default();
    all.text("{\"batch\":[");
    for event in 0..events {
        let (_, model, input, output) = model(variant, event);
        all.text(if event > 0 { "," } else { "" });
        all.append(sized(bytes, variant + event, |text| {
            let mut one = Template::default();
            one.text("{\"id\":\"");
            one.slot(Slot::EventHex, event);
            one.text("\",\"type\":\"generation-create\",\"timestamp\":\"");
            one.text(&format!("{at}\",\"body\":{{\"id\":\""));
            one.slot(Slot::ObservationHex, event);
            one.text("\",\"traceId\":\"");
            one.slot(Slot::TraceHex, event);
            one.text("\",\"metadata\":{\"user\":\"user-");
            one.slot(Slot::User, event);
            one.text(&format!(
                "\"}},\"name\":\"chat\",\"startTime\":\"{at}\",\"endTime\":\"{at}\",\
                 \"model\":\"{model}\",\"input\":\"{text}\",\"output\":\"yes\",\"usageDetails\":\
                 {{\"input\":{input},\"output\":{output}}},\"environment\":\"loadtest\"}}}}"
            ));
            one
        }));
    }
    all.text("],\"metadata\":{\"sdk_name\":\"windlass-loadtest\"}}");
    all
}

/// Spans of one resource and one scope; the numbers are those of the fields in `trace.proto`.
fn otlp(variant: u64, events: u64, bytes: usize) -> Template {
    let mut scope = Template::default();
    scope.append(field(1, &message(1, b"windlass-loadtest")));
    for event in 0..events {
        scope.append(wrapped(2, sized(bytes, variant + event, |text| span(variant, event, text))));
    }
    let mut resource = Template::default();
    let service = attribute(1, "service.name", &message(1, b"loadtest"));
    resource.append(field(1, &service));
    resource.append(wrapped(2, scope));
    wrapped(1, resource)
}

fn span(variant: u64, event: u64, text: &str) -> Template {
    let (provider, model, input, output) = model(variant, event);
    let mut span = Template::default();
    span.bytes.extend([1 << 3 | 2, 16]);
    span.slot(Slot::TraceBytes, event);
    span.bytes.extend([2 << 3 | 2, 8]);
    span.slot(Slot::SpanBytes, event);
    span.bytes.extend(message(5, b"chat"));
    // The kind is 3, a call to somebody else.
    span.bytes.extend([6 << 3, 3]);
    span.bytes.push(7 << 3 | 1);
    span.slot(Slot::Start, event);
    span.bytes.push(8 << 3 | 1);
    span.slot(Slot::End, event);
    let texts = [
        ("langfuse.observation.type", "generation"),
        ("langfuse.observation.input", text),
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", provider),
        ("gen_ai.request.model", model),
        ("langfuse.environment", "loadtest"),
    ];
    for (name, value) in texts {
        span.bytes.extend(attribute(9, name, &message(1, value.as_bytes())));
    }
    let tokens = [("gen_ai.usage.input_tokens", input), ("gen_ai.usage.output_tokens", output)];
    for (name, value) in tokens {
        let mut whole = vec![3 << 3];
        varint(value, &mut whole);
        span.bytes.extend(attribute(9, name, &whole));
    }
    // The user is the last attribute, since it has a slot: 13 bytes of text.
    let name = message(1, b"user.id");
    span.bytes.extend([9 << 3 | 2, name.len() as u8 + 17]);
    span.bytes.extend(name);
    span.bytes.extend([2 << 3 | 2, 15, 1 << 3 | 2, 13]);
    span.text("user-");
    span.slot(Slot::User, event);
    span
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A field with bytes.
fn message(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(content.len() as u64, &mut out);
    out.extend_from_slice(content);
    out
}

/// A `KeyValue` as the field of this number; the value is a finished `AnyValue`.
fn attribute(number: u8, name: &str, value: &[u8]) -> Vec<u8> {
    message(number, &[message(1, name.as_bytes()), message(2, value)].concat())
}

fn field(number: u8, content: &[u8]) -> Template {
    Template { bytes: message(number, content), slots: Vec::new() }
}

/// A field with a message that has slots.
fn wrapped(number: u8, content: Template) -> Template {
    let mut out = Template::default();
    out.bytes.push(number << 3 | 2);
    varint(content.bytes.len() as u64, &mut out.bytes);
    out.append(content);
    out
}
