//! Every form of a line, and what is written for it.

use super::*;
use crate::observe::event::Kind;
use crate::observe::policy::CounterStore;
use serde_json::{Value, json};

const POLICY: &str = "
    [[policies]]
    name = 'big'
    where = 'cost_usd > 0.5'
    [[policies]]
    name = 'budget'
    type = 'cost'
    limit = '1.00'
    period = 'daily'
    group-by = ['user']
    action = 'refuse'
    [[policies]]
    name = 'team'
    conditions = [{ key = 'metadata.team', value = 'x' }]
    action = 'mask'
    mask = ['email']
";

fn run(policy: &str, lines: &[String], format: Format) -> (Summary, String) {
    let policies = Policies::parse(policy, &CounterStore::default()).unwrap();
    let lines = lines.iter().map(|line| Ok(line.clone()));
    let mut out = Vec::new();
    let price =
        |facts: &Facts| (facts.model.as_deref() == Some("gpt-4o")).then_some(600_000_000_000);
    let summary = check(&policies, lines, &price, format, &mut out).unwrap();
    (summary, String::from_utf8(out).unwrap())
}

fn facts_of(line: Value) -> line::Event {
    line::read(&line.to_string()).unwrap().remove(0)
}

#[test]
fn decisions_are_lines_of_a_table_with_a_summary() {
    let lines = [
        r#"{"user":"ann","name":"chat","cost_usd":"0.60","at":"2026-11-20T10:00:00Z"}"#,
        "",
        r#"{"user":"ann","name":"chat","cost_usd":0.4,"metadata":{"team":"x"}}"#,
        r#"{"user":"ann","name":"chat","cost_usd":"0.60"}"#,
        r#"{"usr":"ann"}"#,
        r#"{"user":"ann","name":"ch\u001bat","model":"gpt-4o","at":"2026-11-21T00:00:00Z"}"#,
    ];
    let (summary, text) = run(POLICY, &lines.map(str::to_owned), Format::Table);
    let expected = "  LINE  TIME                      DECISION    POLICY                EVENT
     1  2026-11-20T10:00:00.000Z  flag        big                   chat by ann
     3  2026-11-20T10:00:00.000Z  mask                              chat by ann (masks: email)
     4  2026-11-20T10:00:00.000Z  refuse      budget                chat by ann
     5  -                         unreadable                        an unknown word `usr`: \
did you mean `user`?
     6  2026-11-21T00:00:00.000Z  flag        big                   ch at by ann

4 events: 3 pass, 0 dropped, 1 refused
2 flagged, 1 masked, 0 alerts, 1 unreadable
big: 3 matched, 3 flagged, 0 masked, 0 dropped, 0 refused, 0 alerts, 0 errors
budget: 4 matched, 0 flagged, 0 masked, 0 dropped, 1 refused, 0 alerts, 0 errors
team: 1 matched, 0 flagged, 1 masked, 0 dropped, 0 refused, 0 alerts, 0 errors
";
    assert_eq!(text, expected);
    assert_eq!((summary.events, summary.refused, summary.unreadable), (4, 1, 1));
}

#[test]
fn decisions_are_lines_of_json() {
    let policy = "[[policies]]\nname = 'p'\ntype = 'requests'\nlimit = 2\nalert-threshold = 1\n\
        action = 'refuse'\nperiod = '1m'";
    let lines = [
        r#"{"id":"1","at":1000}"#.to_owned(),
        r#"{"id":"2"}"#.to_owned(),
        r#"{"id":"3","project":"q"}"#.to_owned(),
        "x".to_owned(),
    ];
    let (_, text) = run(policy, &lines, Format::Json);
    let rows: Vec<Value> = text.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let at = "1970-01-01T00:00:01.000Z";
    let alert = "policy `p`: 1 requests of 2 requests used";
    assert_eq!(
        rows[0],
        json!({"line": 1, "id": "1", "at": at, "project": "default", "action": "pass",
            "alerts": [alert]})
    );
    let message = "the policy `p` allows 2 requests, and they are used up";
    assert_eq!(
        rows[2],
        json!({"line": 3, "id": "3", "at": at, "project": "q", "action": "refuse", "policy": "p",
            "message": message, "retry_after_s": 59})
    );
    assert_eq!(rows[3]["action"], "unreadable");
    assert_eq!(rows[4]["summary"]["events"], 3);
    assert_eq!(rows[4]["policies"][0]["refused"], 1);
}

fn span(attributes: Value) -> Value {
    json!({"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331",
        "parent_span_id": null, "name": "chat", "start_ns": 1_795_168_800_000_000_000_u64,
        "end_ns": 1_795_168_801_000_000_000_u64, "attributes": attributes,
        "status": {"code": 2, "message": ""}})
}

#[test]
fn spans_are_read_as_at_the_doors() {
    let attributes = json!({"user.id": "ann", "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o", "gen_ai.provider.name": "openai",
        "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
        "langfuse.trace.metadata.team": "x", "x": [1, 0.5, {"y": true}, null]});
    let line = json!({"id": "e1", "kind": "span", "project": "prod", "at_ms": 7,
        "weight_milli": 1000, "cost": {"provider": "openai", "model": "gpt-4o", "matched_key": null,
            "price_hash": "h",
            "tier": "", "usage": {}, "cost_pico": 42, "input_pico": null, "output_pico": null,
            "stated": false},
        "event": span(attributes.clone())});
    let event = facts_of(line);
    assert_eq!((event.id.as_str(), event.project.as_str(), event.at_ms), ("e1", "prod", Some(7)));
    assert_eq!(event.cost_pico, Some(42));
    let facts = event.facts;
    assert_eq!(facts.user.as_deref(), Some("ann"));
    assert_eq!(facts.requested_model.as_deref(), Some("gpt-4o"));
    assert_eq!(facts.provider.as_deref(), Some("openai"));
    assert_eq!(facts.class, "generation");
    assert_eq!((facts.usage.input, facts.usage.output), (10, 5));
    assert_eq!(facts.metadata.get("team").map(String::as_str), Some("x"));
    assert!(facts.is_root && facts.is_error);
    assert_eq!(facts.duration_ms(), 1_000);
    let alone = facts_of(span(attributes));
    assert_eq!((alone.facts, alone.at_ms), (facts, Some(1_795_168_800_000)));
    let otlp = json!({"resourceSpans": [{"resource": {"attributes": [
        {"key": "deployment.environment.name", "value": {"stringValue": "staging"}}]},
    "scopeSpans": [{"spans": [
        {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "a"},
        {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203332", "name": "b"}
    ]}]}]});
    let events = line::read(&otlp.to_string()).unwrap();
    let names: Vec<&str> = events.iter().map(|event| event.facts.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(events[0].id, "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331");
    assert_eq!(events[0].facts.environment.as_deref(), Some("staging"));
    let bad = json!({"spanId": "00", "traceId": "00", "name": "a"}).to_string();
    assert_eq!(line::read(&bad), Err("its span has no proper ids".to_owned()));
}

#[test]
fn messages_and_envelopes_are_read_as_at_the_doors() {
    let message = json!({"type": "track", "event": "Asked", "messageId": "m1", "userId": "ann",
        "originalTimestamp": "2026-11-20T10:00:00Z", "properties": {"model": "gpt-4o"}});
    for line in [
        message.clone(),
        json!({"batch": [message.clone()]}),
        json!({"id": "m1", "kind": "message", "project": "p", "at_ms": 1_795_168_800_000_u64,
            "weight_milli": 1000, "event": message}),
    ] {
        let event = facts_of(line);
        assert_eq!((event.id.as_str(), event.kind), ("m1", Kind::Message));
        assert_eq!((event.facts.name.as_str(), event.facts.class.as_str()), ("Asked", "track"));
        assert_eq!(event.facts.user.as_deref(), Some("ann"));
        assert_eq!(event.at_ms, Some(1_795_168_800_000));
    }
    let envelope = json!({"id": "e1", "type": "generation-create",
        "timestamp": "2026-11-20T10:00:00Z", "body": {"id": "g1", "traceId": "t1",
            "name": "chat", "model": "gpt-4o", "usage":
            {"input": 7, "output": 3}, "startTime": "2026-11-20T09:59:00Z"}});
    for line in [envelope.clone(), json!({"batch": [envelope]})] {
        let event = facts_of(line);
        assert_eq!((event.id.as_str(), event.kind), ("e1", Kind::Span));
        assert_eq!(event.facts.class, "generation");
        assert_eq!(event.facts.model.as_deref(), Some("gpt-4o"));
        assert_eq!((event.facts.usage.input, event.facts.usage.output), (7, 3));
        assert_eq!(event.at_ms, Some(1_795_168_740_000));
    }
    let score = json!({"id": "s1", "traceId": "t1", "name": "quality", "value": 1});
    let stored = json!({"id": "s1", "kind": "score", "project": "p", "at_ms": 5,
        "weight_milli": 1000, "event": score});
    let event = facts_of(stored);
    assert_eq!(
        (event.kind, event.facts.class.as_str(), event.at_ms),
        (Kind::Score, "score", Some(5))
    );
    for bad in [
        json!({"type": "track", "messageId": "m1"}),
        json!({"id": "e1", "type": "span-create", "body": {}}),
        json!({"kind": "span", "at_ms": 1, "event": 5}),
        json!([1]),
    ] {
        assert!(line::read(&bad.to_string()).is_err(), "{bad}");
    }
}
