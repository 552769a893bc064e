use crate::observe::dialects::facts::{ResourceFacts, of_span};
use crate::observe::dialects::ids::{hex, root_span_id, span_id, trace_id};
use crate::observe::dialects::join::{Joined, TraceWords, Whole, is_complete, join, whole_of};
use crate::observe::event::{Facts, Usage};
use crate::observe::otlp::span::{AnyValue, SpanView};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn envelope(kind: &str, second: u32, body: Value) -> Vec<u8> {
    let timestamp = format!("2026-11-21T09:00:{second:02}Z");
    json!({"id": format!("e{second}"), "type": kind, "timestamp": timestamp, "body": body})
        .to_string()
        .into_bytes()
}

fn joined(envelopes: &[Vec<u8>]) -> Joined {
    join(&envelopes.iter().map(Vec::as_slice).collect::<Vec<_>>(), &TraceWords::default()).unwrap()
}

fn complete(envelopes: &[Vec<u8>]) -> bool {
    is_complete(&envelopes.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn attributes(joined: &Joined) -> BTreeMap<String, String> {
    let text = |value: AnyValue<'_>| match value {
        AnyValue::Text(text) => text.to_owned(),
        AnyValue::List(_) => value.items().filter_map(AnyValue::text).collect::<Vec<_>>().join("|"),
        other => format!("{other:?}"),
    };
    let view = SpanView::parse(&joined.span).unwrap();
    view.attributes().map(|(key, value)| (key.to_owned(), text(value))).collect()
}

fn facts(joined: &Joined) -> Facts {
    of_span(&SpanView::parse(&joined.span).unwrap(), &ResourceFacts::default())
}

fn generation() -> Vec<Vec<u8>> {
    vec![
        envelope(
            "generation-create",
            1,
            json!({
                "id": "gen-1", "traceId": "0af7651916cd43dd8448eb211c80319c", "name": "chat",
                "startTime": "2026-11-21T09:00:01Z", "model": "gpt-4o", "input": [{"role": "user"}],
                "metadata": {"plan": "pro", "deep": {"a": 1}}, "parentObservationId": null,
                "modelParameters": {"temperature": 0.5}, "environment": "prod",
                "promptName": "greeting", "promptVersion": 3,
            }),
        ),
        envelope(
            "generation-update",
            4,
            json!({
                "id": "gen-1", "endTime": "2026-11-21T09:00:03.500Z", "output": "hello",
                "model": null, "usage": {"promptTokens": 100, "completionTokens": 50},
                "metadata": {"deep": {"b": 2}, "more": true},
                "level": "ERROR", "statusMessage": "too long",
            }),
        ),
        envelope("generation-update", 5, json!({"id": "gen-1", "output": "hello again"})),
    ]
}

#[test]
fn the_parts_of_a_generation_become_one_span() {
    let joined = joined(&generation());
    let view = SpanView::parse(&joined.span).unwrap();
    assert_eq!(hex(&joined.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(joined.span_id, span_id("gen-1"));
    assert_eq!(view.parent_span_id, Some(root_span_id("0af7651916cd43dd8448eb211c80319c")));
    assert_eq!(view.name, "chat");
    assert_eq!(view.end_ns - view.start_ns, 2_500_000_000);
    assert_eq!((view.status_code, view.status_message), (2, "too long"));
    let attributes = attributes(&joined);
    let expected = [
        ("langfuse.environment", "prod"),
        ("langfuse.observation.input", r#"[{"role":"user"}]"#),
        ("langfuse.observation.level", "ERROR"),
        ("langfuse.observation.metadata.deep", r#"{"a":1,"b":2}"#),
        ("langfuse.observation.metadata.legacy_id", "gen-1"),
        ("langfuse.observation.metadata.more", "true"),
        ("langfuse.observation.metadata.plan", "pro"),
        ("langfuse.observation.model.name", "gpt-4o"),
        ("langfuse.observation.model.parameters", r#"{"temperature":0.5}"#),
        ("langfuse.observation.output", "hello again"),
        ("langfuse.observation.prompt.name", "greeting"),
        ("langfuse.observation.prompt.version", "Int(3)"),
        ("langfuse.observation.status_message", "too long"),
        ("langfuse.observation.type", "generation"),
        ("langfuse.observation.usage_details", r#"{"input":100,"output":50}"#),
    ];
    let found: Vec<_> = attributes.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(found, expected);
    let facts = facts(&joined);
    assert_eq!(facts.usage, Usage { input: 100, output: 50, ..Usage::default() });
    assert_eq!((&*facts.class, facts.is_error), ("generation", true));
    assert_eq!(facts.prompt.as_deref(), Some("greeting:3"));
}

#[test]
fn an_observation_is_complete_once_it_was_created_and_has_ended() {
    let parts = generation();
    assert!(!complete(&parts[..1]));
    assert!(!complete(&parts[1..]));
    assert!(complete(&parts[..2]));
    assert!(complete(&[envelope("event-create", 1, json!({"id": "x"}))]));
    let span = json!({"id": "x", "endTime": "2026-11-21T09:00:03Z"});
    assert!(complete(&[envelope("span-create", 1, span)]));
    assert!(!complete(&[envelope("trace-create", 1, json!({"id": "t", "output": "o"}))]));
    assert!(!complete(&[]));
}

#[test]
fn a_trace_becomes_its_root_span() {
    let joined = joined(&[
        envelope("trace-create", 2, json!({"id": "t-1", "output": "o", "userId": null})),
        envelope(
            "trace-create",
            1,
            json!({
                "id": "t-1", "name": "chat", "userId": "u", "sessionId": "s", "tags": ["a", "b"],
                "public": true, "release": "r", "version": "v", "input": {"q": 1},
                "metadata": {"plan": "pro"}, "timestamp": "2026-11-21T08:59:59Z",
            }),
        ),
    ]);
    let view = SpanView::parse(&joined.span).unwrap();
    assert_eq!((joined.trace_id, joined.span_id), (trace_id("t-1"), root_span_id("t-1")));
    assert_eq!((view.parent_span_id, view.name), (None, "chat"));
    assert_eq!(view.start_ns, 1_795_251_599_000_000_000);
    let expected = [
        ("langfuse.observation.type", "span"),
        ("langfuse.release", "r"),
        ("langfuse.trace.input", r#"{"q":1}"#),
        ("langfuse.trace.metadata.legacy_id", "t-1"),
        ("langfuse.trace.metadata.plan", "pro"),
        ("langfuse.trace.name", "chat"),
        ("langfuse.trace.output", "o"),
        ("langfuse.trace.public", "Bool(true)"),
        ("langfuse.trace.tags", "a|b"),
        ("langfuse.version", "v"),
        ("session.id", "s"),
        ("user.id", "u"),
    ];
    let attributes = attributes(&joined);
    let found: Vec<_> = attributes.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(found, expected);
    assert!(facts(&joined).is_root);
}

#[test]
fn parts_know_what_they_belong_to() {
    let whole = |kind: &str, body: Value| whole_of(&envelope(kind, 1, body)).unwrap();
    assert_eq!(whole("trace-create", json!({"id": "t"})), Whole { is_trace: true, id: "t".into() });
    assert_eq!(whole("span-update", json!({"id": "x"})), Whole { is_trace: false, id: "x".into() });
    assert_eq!(whole("trace-create", json!({})).id, "e1");
    assert_eq!(whole_of(b"{}"), None);
    assert_eq!(whole_of(b"\xff"), None);
    assert_eq!(join(&[b"nonsense"], &TraceWords::default()), None);
}

#[test]
fn costs_and_details_are_kept_as_they_are_stated() {
    let parts = [envelope(
        "generation-create",
        1,
        json!({
            "id": "g", "traceId": "t", "parentObservationId": "parent",
            "usageDetails": {"input": 1, "input_cached_tokens": 2},
            "costDetails": {"total": 0.00375}, "usage": {"input": 9, "totalCost": 9.0},
        }),
    )];
    let joined = joined(&parts);
    assert_eq!(SpanView::parse(&joined.span).unwrap().parent_span_id, Some(span_id("parent")));
    let facts = facts(&joined);
    assert_eq!(facts.usage, Usage { input: 1, cache_read: 2, ..Usage::default() });
    assert_eq!(facts.stated_cost_pico, Some(3_750_000_000));
    assert_eq!(facts.metadata["legacy_id"], "g");
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(order in Just(generation()).prop_shuffle()) {
        prop_assert_eq!(joined(&order), joined(&generation()));
    }

    #[test]
    fn any_bodies_are_joined(
        json in "[\\[{\":,}\\] a-e0-9.\\\\u]{0,60}",
        field in "(id|traceId|metadata|usage|usageDetails|tags|startTime|level|input)",
    ) {
        let body = format!(
            r#"{{"id":"e","type":"generation-create","timestamp":"2026-11-21T09:00:00Z",
            "body":{{"{field}":{json}}}}}"#
        );
        if let Some(joined) = join(&[body.as_bytes()], &TraceWords::default()) {
            prop_assert!(SpanView::parse(&joined.span).is_ok());
        }
    }
}
