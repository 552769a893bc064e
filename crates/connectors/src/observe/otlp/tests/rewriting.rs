use super::samples::{attribute, plain_span, span, text};
use crate::observe::otlp::rewrite::{
    Added, add_to_resource, add_to_span, rewrite_resource, rewrite_scope, rewrite_span,
};
use crate::observe::otlp::wire::put_bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::prelude::*;
use prost::Message;

fn map(values: Vec<KeyValue>) -> Value {
    Value::KvlistValue(KeyValueList { values })
}

fn list(texts: &[&str]) -> Value {
    let value = |text: &&str| AnyValue { value: Some(Value::StringValue((*text).to_owned())) };
    Value::ArrayValue(ArrayValue { values: texts.iter().map(value).collect() })
}

#[test]
fn every_string_is_shown_with_its_key() {
    let span = Span {
        name: "n".into(),
        trace_state: "s".into(),
        attributes: vec![
            text("a", "1"),
            attribute("b", list(&["2", "3"])),
            attribute("c", map(vec![text("d", "4"), attribute("e", map(vec![text("f", "5")]))])),
            text("g", "6"),
        ],
        events: vec![Event {
            name: "en".into(),
            attributes: vec![text("h", "7")],
            ..Event::default()
        }],
        links: vec![Link { attributes: vec![text("i", "8")], ..Link::default() }],
        status: Some(Status { message: "m".into(), code: 2 }),
        ..plain_span(1, 1)
    };
    let mut seen = Vec::new();
    let changed = rewrite_span(&span.encode_to_vec(), &mut |key, value| {
        seen.push(format!("{key}={value}"));
        None
    });
    assert_eq!(changed, None);
    seen.sort();
    assert_eq!(
        seen,
        [
            "a=1",
            "b=2",
            "b=3",
            "c.d=4",
            "c.e.f=5",
            "event.name=en",
            "g=6",
            "h=7",
            "i=8",
            "span.name=n",
            "status.message=m",
            "trace.state=s",
        ]
    );
}

#[test]
fn only_what_changes_differs() {
    let span = Span {
        attributes: vec![
            text("a", "keep"),
            attribute("c", map(vec![attribute("e", list(&["secret", "keep"]))])),
            text("z", "keep"),
        ],
        ..plain_span(1, 1)
    };
    let mut bytes = span.encode_to_vec();
    put_bytes(&mut bytes, 99, b"of tomorrow");
    let masked = "a longer text than before, of more than 127 bytes: ".repeat(3);
    let changed = rewrite_span(&bytes, &mut |_, value| (value == "secret").then(|| masked.clone()));
    let mut expected = Span {
        attributes: vec![
            text("a", "keep"),
            attribute("c", map(vec![attribute("e", list(&[&masked, "keep"]))])),
            text("z", "keep"),
        ],
        ..plain_span(1, 1)
    }
    .encode_to_vec();
    put_bytes(&mut expected, 99, b"of tomorrow");
    assert_eq!(changed.unwrap(), expected);
}

#[test]
fn a_value_that_is_there_twice_is_changed_twice() {
    let mut entry = Vec::new();
    put_bytes(&mut entry, 1, b"k");
    for value in [b"secret", b"secret"] {
        let mut any = Vec::new();
        put_bytes(&mut any, 1, value);
        put_bytes(&mut any, 1, value);
        put_bytes(&mut entry, 2, &any);
    }
    let mut bytes = plain_span(1, 1).encode_to_vec();
    put_bytes(&mut bytes, 9, &entry);
    let changed = rewrite_span(&bytes, &mut |_, _| Some("masked".into())).unwrap();
    assert_eq!(memchr::memmem::find_iter(&changed, b"masked").count(), 4);
    assert_eq!(memchr::memmem::find_iter(&changed, b"secret").count(), 0);
}

#[test]
fn resources_and_scopes_are_rewritten_too() {
    let resource = Resource { attributes: vec![text("host.name", "h")], ..Default::default() };
    let changed = rewrite_resource(&resource.encode_to_vec(), &mut |key, value| {
        assert_eq!((key, value), ("host.name", "h"));
        Some("x".into())
    });
    let changed = Resource::decode(changed.unwrap().as_slice()).unwrap();
    assert_eq!(changed.attributes, [text("host.name", "x")]);
    let scope = InstrumentationScope {
        name: "langfuse-sdk".into(),
        attributes: vec![text("public_key", "pk")],
        ..Default::default()
    };
    let changed = rewrite_scope(&scope.encode_to_vec(), &mut |_, _| Some(String::new())).unwrap();
    let changed = InstrumentationScope::decode(changed.as_slice()).unwrap();
    assert_eq!(
        (&*changed.name, changed.attributes),
        ("langfuse-sdk", vec![text("public_key", "")])
    );
}

#[test]
fn attributes_are_added_behind_the_others() {
    let mut bytes = Span { attributes: vec![text("a", "1")], ..plain_span(1, 1) }.encode_to_vec();
    add_to_span(&mut bytes, "t", Added::Text("x"));
    add_to_span(&mut bytes, "b", Added::Bool(true));
    add_to_span(&mut bytes, "i", Added::Int(-3));
    add_to_span(&mut bytes, "d", Added::Double(0.5));
    add_to_span(&mut bytes, "l", Added::Texts(&["p", "q"]));
    let span = Span::decode(bytes.as_slice()).unwrap();
    assert_eq!(
        span.attributes,
        [
            text("a", "1"),
            text("t", "x"),
            attribute("b", Value::BoolValue(true)),
            attribute("i", Value::IntValue(-3)),
            attribute("d", Value::DoubleValue(0.5)),
            attribute("l", list(&["p", "q"])),
        ]
    );
    let mut resource = Vec::new();
    add_to_resource(&mut resource, "t", Added::Text("x"));
    assert_eq!(Resource::decode(resource.as_slice()).unwrap().attributes, [text("t", "x")]);
}

/// Puts `change` through every string of a value.
fn upper(value: &mut AnyValue) {
    match &mut value.value {
        Some(Value::StringValue(text)) => *text = text.to_uppercase(),
        Some(Value::ArrayValue(list)) => list.values.iter_mut().for_each(upper),
        Some(Value::KvlistValue(map)) => upper_all(&mut map.values),
        _ => {}
    }
}

fn upper_all(attributes: &mut [KeyValue]) {
    attributes.iter_mut().filter_map(|entry| entry.value.as_mut()).for_each(upper);
}

proptest! {
    #[test]
    fn rewriting_is_the_same_as_changing_the_message(span in span()) {
        let bytes = span.encode_to_vec();
        let changed = rewrite_span(&bytes, &mut |_, value| Some(value.to_uppercase()))
            .unwrap_or(bytes);
        let mut expected = span;
        expected.name = expected.name.to_uppercase();
        expected.trace_state = expected.trace_state.to_uppercase();
        if let Some(status) = &mut expected.status {
            status.message = status.message.to_uppercase();
        }
        upper_all(&mut expected.attributes);
        for event in &mut expected.events {
            event.name = event.name.to_uppercase();
            upper_all(&mut event.attributes);
        }
        for link in &mut expected.links {
            link.trace_state = link.trace_state.to_uppercase();
            upper_all(&mut link.attributes);
        }
        prop_assert_eq!(Span::decode(changed.as_slice()).unwrap(), expected);
    }
}
