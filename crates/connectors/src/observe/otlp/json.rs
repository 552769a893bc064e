//! OTLP in JSON, brought into the bytes that the protobuf encoding would have, field by field while
//! it is read: nothing is built in between, so a request of many empty objects takes no memory.
//!
//! It differs from the JSON of protobuf: ids are hexadecimal, of either case, and enumerations are
//! numbers. Numbers of 64 bits come as strings or as numbers, names are in lower camel case, and
//! unknown names are ignored.

use super::request::Refused;
use super::span::MOST_NESTING;
use super::wire::{put_bytes, put_fixed32, put_fixed64, put_message, put_number};
use crate::observe::dialects::json_text::Repaired;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;
use std::fmt;

/// How a field is written in JSON, and so in protobuf.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Hex,
    Base64,
    Bool,
    /// A varint from a number or a string, signed numbers too.
    Int,
    Fixed32,
    Fixed64,
    Double,
    /// An enumeration; the names are those of some early exporters.
    Enum(&'static [&'static str]),
    Message(&'static [FieldShape]),
    /// A span: one that cannot be read is left out by itself.
    Span,
}

struct FieldShape {
    name: &'static str,
    number: u32,
    shape: Shape,
    is_repeated: bool,
}

const fn one(name: &'static str, number: u32, shape: Shape) -> FieldShape {
    FieldShape { name, number, shape, is_repeated: false }
}

const fn many(name: &'static str, number: u32, shape: Shape) -> FieldShape {
    FieldShape { name, number, shape, is_repeated: true }
}

static REQUEST: [FieldShape; 1] = [many("resourceSpans", 1, Shape::Message(&RESOURCE_SPANS))];
static RESOURCE_SPANS: [FieldShape; 3] = [
    one("resource", 1, Shape::Message(&RESOURCE)),
    many("scopeSpans", 2, Shape::Message(&SCOPE_SPANS)),
    one("schemaUrl", 3, Shape::Text),
];
static RESOURCE: [FieldShape; 3] = [
    many("attributes", 1, Shape::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 2, Shape::Int),
    many("entityRefs", 3, Shape::Message(&ENTITY_REF)),
];
static ENTITY_REF: [FieldShape; 4] = [
    one("schemaUrl", 1, Shape::Text),
    one("type", 2, Shape::Text),
    many("idKeys", 3, Shape::Text),
    many("descriptionKeys", 4, Shape::Text),
];
static SCOPE_SPANS: [FieldShape; 3] = [
    one("scope", 1, Shape::Message(&SCOPE)),
    many("spans", 2, Shape::Span),
    one("schemaUrl", 3, Shape::Text),
];
static SCOPE: [FieldShape; 4] = [
    one("name", 1, Shape::Text),
    one("version", 2, Shape::Text),
    many("attributes", 3, Shape::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 4, Shape::Int),
];
static SPAN: [FieldShape; 16] = [
    one("traceId", 1, Shape::Hex),
    one("spanId", 2, Shape::Hex),
    one("traceState", 3, Shape::Text),
    one("parentSpanId", 4, Shape::Hex),
    one("name", 5, Shape::Text),
    one("kind", 6, Shape::Enum(&KINDS)),
    one("startTimeUnixNano", 7, Shape::Fixed64),
    one("endTimeUnixNano", 8, Shape::Fixed64),
    many("attributes", 9, Shape::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 10, Shape::Int),
    many("events", 11, Shape::Message(&EVENT)),
    one("droppedEventsCount", 12, Shape::Int),
    many("links", 13, Shape::Message(&LINK)),
    one("droppedLinksCount", 14, Shape::Int),
    one("status", 15, Shape::Message(&STATUS)),
    one("flags", 16, Shape::Fixed32),
];
static KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
static EVENT: [FieldShape; 4] = [
    one("timeUnixNano", 1, Shape::Fixed64),
    one("name", 2, Shape::Text),
    many("attributes", 3, Shape::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 4, Shape::Int),
];
static LINK: [FieldShape; 6] = [
    one("traceId", 1, Shape::Hex),
    one("spanId", 2, Shape::Hex),
    one("traceState", 3, Shape::Text),
    many("attributes", 4, Shape::Message(&KEY_VALUE)),
    one("droppedAttributesCount", 5, Shape::Int),
    one("flags", 6, Shape::Fixed32),
];
static STATUS: [FieldShape; 2] =
    [one("message", 2, Shape::Text), one("code", 3, Shape::Enum(&CODES))];
static CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
static KEY_VALUE: [FieldShape; 2] =
    [one("key", 1, Shape::Text), one("value", 2, Shape::Message(&ANY_VALUE))];
static ANY_VALUE: [FieldShape; 7] = [
    one("stringValue", 1, Shape::Text),
    one("boolValue", 2, Shape::Bool),
    one("intValue", 3, Shape::Int),
    one("doubleValue", 4, Shape::Double),
    one("arrayValue", 5, Shape::Message(&ARRAY)),
    one("kvlistValue", 6, Shape::Message(&MAP)),
    one("bytesValue", 7, Shape::Base64),
];
static ARRAY: [FieldShape; 1] = [many("values", 1, Shape::Message(&ANY_VALUE))];
static MAP: [FieldShape; 1] = [many("values", 1, Shape::Message(&KEY_VALUE))];

/// Messages around an attribute's value, plus three for each level of nesting.
const MOST_DEPTH: usize = 8 + 3 * MOST_NESTING;

/// Writes the protobuf encoding of a request in JSON. Spans that cannot be read are left out and
/// counted.
///
/// # Errors
///
/// What is wrong with the JSON.
pub fn to_protobuf(body: &[u8]) -> Result<(Vec<u8>, Refused), serde_json::Error> {
    let mut out = Vec::with_capacity(body.len() / 2);
    let mut refused = Refused::default();
    let mut from = Deserializer::from_slice(body);
    // The stack is bounded by our own count of messages.
    let target = Target { out: &mut out, refused: &mut refused, depth: 0 };
    Content { fields: &REQUEST, target }.deserialize(&mut from)?;
    from.end()?;
    Ok((out, refused))
}

struct Target<'o> {
    out: &'o mut Vec<u8>,
    refused: &'o mut Refused,
    depth: usize,
}

impl Target<'_> {
    const fn again(&mut self) -> Target<'_> {
        Target { out: self.out, refused: self.refused, depth: self.depth }
    }
}

/// The fields of a message, without its tag and length.
struct Content<'o> {
    fields: &'static [FieldShape],
    target: Target<'o>,
}

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(Name(self.fields))? {
            match field {
                Some(field) => {
                    let one = One { field, target: self.target.again() };
                    if field.is_repeated {
                        map.next_value_seed(Many(one))?;
                    } else {
                        map.next_value_seed(one)?;
                    }
                }
                None => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }
}

/// The name of a field.
struct Name(&'static [FieldShape]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static FieldShape>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static FieldShape>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|field| field.name == name))
    }
}

/// The values of a repeated field.
struct Many<'o>(One<'o>);

impl<'de> DeserializeSeed<'de> for Many<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Many<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "a list for `{}`", self.0.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let field = self.0.field;
        if matches!(field.shape, Shape::Span) {
            while let Some(span) = seq.next_element::<&RawValue>()? {
                put_span(&mut self.0.target, field.number, span.get());
            }
            return Ok(());
        }
        while seq.next_element_seed(One { field, target: self.0.target.again() })?.is_some() {}
        Ok(())
    }
}

/// Appends a span, or counts it as refused.
fn put_span(target: &mut Target<'_>, number: u32, json: &str) {
    let start = target.out.len();
    let mut attempt = |json: &str| {
        target.out.truncate(start);
        let mut from = Deserializer::from_str(json);
        put_message(target.out, number, |out| {
            let target = Target { out, refused: target.refused, depth: 4 };
            Content { fields: &SPAN, target }.deserialize(&mut from)
        })
    };
    let Err(first) = attempt(json) else { return };
    // Clients that cut a text in the middle of a character leave half of it.
    let again = match Repaired::of(json) {
        Some(repaired) => attempt(repaired.text()),
        None => Err(first),
    };
    if let Err(error) = again {
        target.out.truncate(start);
        target.refused.add(|| format!("the span cannot be read: {error}"));
    }
}

/// One value of a field, with the field's tag.
struct One<'o> {
    field: &'static FieldShape,
    target: Target<'o>,
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl One<'_> {
    fn wrong<E: Error>(&self, what: &str) -> E {
        E::custom(format_args!("{what} cannot be the value of `{}`", self.field.name))
    }

    /// Writes a number; `as_i64` and `as_u64` are what it is exactly, where it can be.
    fn number<E: Error>(self, exact: Option<u64>, double: f64) -> Result<(), E> {
        let (out, number) = (self.target.out, self.field.number);
        match (self.field.shape, exact) {
            (Shape::Double, _) => put_fixed64(out, number, double.to_bits()),
            (Shape::Int | Shape::Enum(_), Some(exact)) => put_number(out, number, exact),
            (Shape::Fixed64, Some(exact)) => put_fixed64(out, number, exact),
            (Shape::Fixed32, Some(exact)) if u32::try_from(exact).is_ok() => {
                put_fixed32(out, number, exact as u32);
            }
            _ => {
                return Err(E::custom(format_args!(
                    "a number cannot be the value of `{}`",
                    self.field.name
                )));
            }
        }
        Ok(())
    }

    fn number_in_text<E: Error>(self, text: &str) -> Result<(), E> {
        let text = text.trim();
        let exact = match text.parse::<u64>() {
            Ok(number) => Some(number),
            Err(_) => text.parse::<i64>().ok().map(i64::cast_unsigned),
        };
        match (exact, text.parse::<f64>()) {
            (Some(exact), Ok(double)) => self.number(Some(exact), double),
            (_, Ok(double)) if matches!(self.field.shape, Shape::Double) => {
                self.number(None, double)
            }
            _ => Err(self.wrong("this text")),
        }
    }

    fn put_id<E: Error>(self, text: &str) -> Result<(), E> {
        // The longest id has 16 bytes; a little more is let through to be refused by its length.
        let mut id = [0; 32];
        let (count, rest) = (text.len() / 2, text.len() % 2);
        if rest != 0 || count > id.len() || !unhex(text.as_bytes(), &mut id[..count]) {
            return Err(self.wrong("what is not hexadecimal"));
        }
        put_bytes(self.target.out, self.field.number, &id[..count]);
        Ok(())
    }
}

/// Reads hexadecimal digits of either case; whether all of them are.
fn unhex(text: &[u8], into: &mut [u8]) -> bool {
    text.chunks_exact(2).zip(into).all(|(pair, byte)| {
        let digit = |at: u8| char::from(at).to_digit(16);
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => {
                *byte = (high << 4 | low) as u8;
                true
            }
            _ => false,
        }
    })
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    [STANDARD, URL_SAFE, STANDARD_NO_PAD, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(text).ok())
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "a value for `{}`", self.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.shape {
            Shape::Bool => put_number(self.target.out, self.field.number, u64::from(value)),
            _ => return Err(self.wrong("a boolean")),
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(Some(value), value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(Some(value.cast_unsigned()), value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        // JavaScript has only doubles, and may write a whole number as one.
        let is_whole = value.fract() == 0.0 && value.abs() < 9.2e18;
        self.number(is_whole.then_some((value as i64).cast_unsigned()), value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let (number, shape) = (self.field.number, self.field.shape);
        match shape {
            Shape::Text => put_bytes(self.target.out, number, value.as_bytes()),
            Shape::Hex => return self.put_id(value),
            Shape::Base64 => match unbase64(value) {
                Some(bytes) => put_bytes(self.target.out, number, &bytes),
                None => return Err(self.wrong("what is not Base64")),
            },
            Shape::Enum(names) => match names.iter().position(|name| *name == value) {
                Some(index) => put_number(self.target.out, number, index as u64),
                None => return self.number_in_text(value),
            },
            Shape::Int | Shape::Fixed32 | Shape::Fixed64 | Shape::Double => {
                return self.number_in_text(value);
            }
            Shape::Bool | Shape::Message(_) | Shape::Span => return Err(self.wrong("a text")),
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Shape::Message(fields) = self.field.shape else {
            return Err(self.wrong("an object"));
        };
        let Target { out, refused, depth } = self.target;
        if depth >= MOST_DEPTH {
            return Err(A::Error::custom("values are nested too deeply"));
        }
        put_message(out, self.field.number, |out| {
            Content { fields, target: Target { out, refused, depth: depth + 1 } }.visit_map(map)
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _seq: A) -> Result<(), A::Error> {
        Err(self.wrong("a list"))
    }
}
