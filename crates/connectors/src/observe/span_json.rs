//! A span as people and files read it: JSON with its ids in hexadecimal and its attributes as one
//! object. It is for eyes and `jq`; what is forwarded are the bytes themselves.

use super::dialects::ids::hex;
use super::otlp::span::{AnyValue, Attributes, SpanView};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value, json};

/// The JSON of an encoded span; what is none becomes a text in base64.
pub(super) fn to_json(bytes: &[u8]) -> Value {
    let Ok(span) = SpanView::parse(bytes) else {
        return Value::String(BASE64_STANDARD.encode(bytes));
    };
    let events: Vec<Value> = span
        .events()
        .map(|(name, attributes)| json!({"name": name, "attributes": object(attributes)}))
        .collect();
    let mut json = json!({
        "trace_id": hex(&span.trace_id),
        "span_id": hex(&span.span_id),
        "parent_span_id": span.parent_span_id.map(|parent| hex(&parent)),
        "name": span.name,
        "start_ns": span.start_ns,
        "end_ns": span.end_ns,
        "attributes": object(span.attributes()),
    });
    if !events.is_empty() {
        json["events"] = events.into();
    }
    if span.status_code != 0 {
        json["status"] = json!({"code": span.status_code, "message": span.status_message});
    }
    json
}

fn object(attributes: Attributes<'_>) -> Value {
    let entries = attributes.map(|(key, value)| (key.to_owned(), value_of(value)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn value_of(value: AnyValue<'_>) -> Value {
    match value {
        AnyValue::Empty => Value::Null,
        AnyValue::Text(text) => text.into(),
        AnyValue::Bool(value) => value.into(),
        AnyValue::Int(value) => value.into(),
        AnyValue::Double(value) => value.into(),
        AnyValue::List(_) => value.items().map(value_of).collect(),
        AnyValue::Map(bytes) => object(Attributes::of_map(bytes)),
        AnyValue::Bytes(bytes) => BASE64_STANDARD.encode(bytes).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::otlp::rewrite::{Added, add_to_span};
    use crate::observe::otlp::span::field;
    use crate::observe::otlp::wire::{put_bytes, put_fixed64};

    #[test]
    fn a_span_is_shown_with_all_that_people_look_for() {
        let mut span = Vec::new();
        put_bytes(&mut span, field::TRACE_ID, &[0xab; 16]);
        put_bytes(&mut span, field::SPAN_ID, &[1; 8]);
        put_bytes(&mut span, field::NAME, b"chat");
        put_fixed64(&mut span, field::START, 5);
        put_fixed64(&mut span, field::END, 7);
        add_to_span(&mut span, "a", Added::Texts(&["x", "y"]));
        add_to_span(&mut span, "n", Added::Int(-3));
        let expected = json!({
            "trace_id": "abababababababababababababababab",
            "span_id": "0101010101010101",
            "parent_span_id": null,
            "name": "chat",
            "start_ns": 5,
            "end_ns": 7,
            "attributes": {"a": ["x", "y"], "n": -3},
        });
        assert_eq!(to_json(&span), expected);
        assert_eq!(to_json(b"\xff"), json!("/w=="));
    }
}
