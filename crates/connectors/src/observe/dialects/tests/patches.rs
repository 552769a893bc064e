use crate::observe::dialects::ids::{hex, root_span_id, span_id};
use crate::observe::dialects::patches::{Fate, Items, ingestion, scores};
use crate::observe::event::Kind;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn envelope(id: &str, kind: &str, body: Value) -> Value {
    json!({"id": id, "type": kind, "timestamp": "2026-11-21T09:00:00.123Z", "body": body})
}

fn read(batch: Value) -> Items {
    ingestion(json!({ "batch": batch }).to_string().as_bytes(), now()).unwrap()
}

/// Why the items were refused; empty for those that were not.
fn reasons(items: &Items) -> Vec<(&str, &str)> {
    items
        .items
        .iter()
        .map(|item| match &item.fate {
            Fate::Bad(reject) => (&*item.id, &*reject.reason),
            _ => (&*item.id, ""),
        })
        .collect()
}

#[test]
fn every_type_of_envelope_is_known() {
    let id = "b7ad6b7169203331";
    let items = read(json!([
        envelope(
            "e1",
            "trace-create",
            json!({"id": "t", "name": "chat", "userId": "u", "sessionId": "s"})
        ),
        envelope(
            "e2",
            "generation-create",
            json!({"id": id, "traceId": "t", "model": "gpt-4o",
            "startTime": "2026-11-21T09:00:00Z", "usage": {"input": 5}, "level": "ERROR"})
        ),
        envelope("e3", "span-update", json!({"id": id, "endTime": "2026-11-21T09:00:02+01:00"})),
        envelope("e4", "event-create", json!({"id": id, "traceId": "t"})),
        envelope("e5", "observation-create", json!({"type": "GENERATION", "traceId": "t"})),
        envelope("e6", "tool-create", json!({"id": id})),
        envelope("e7", "sdk-log", json!({"log": "x"})),
        envelope(
            "e8",
            "score-create",
            json!({"id": "s1", "traceId": "t", "name": "q", "value": 0.5})
        ),
    ]));
    assert!(reasons(&items).iter().all(|(_, reason)| reason.is_empty()), "{:?}", reasons(&items));
    let kinds: Vec<_> = items.drafts.iter().map(|draft| (&*draft.id, draft.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("e1", Kind::Patch),
            ("e2", Kind::Patch),
            ("e3", Kind::Patch),
            ("e4", Kind::Patch),
            ("e5", Kind::Patch),
            ("e6", Kind::Patch),
            ("e8", Kind::Score),
        ]
    );
    assert_eq!(items.items[6].fate, Fate::Dropped);
    assert_eq!(items.items[7].fate, Fate::Draft(6));
    let trace = &items.drafts[0].facts;
    assert_eq!((&*trace.class, trace.is_root, &*trace.name), ("trace", true, "chat"));
    assert_eq!(trace.span_id, Some(root_span_id("t")));
    assert_eq!((trace.user.as_deref(), trace.session.as_deref()), (Some("u"), Some("s")));
    let generation = &items.drafts[1].facts;
    assert_eq!((&*generation.class, generation.is_error), ("generation", true));
    assert_eq!(hex(&generation.span_id.unwrap()), id);
    assert_eq!(generation.trace_id, trace.trace_id);
    assert_eq!(generation.model.as_deref(), Some("gpt-4o"));
    assert!(generation.usage.is_empty(), "tokens count once, in the joined span");
    assert_eq!(items.drafts[4].facts.class, "generation");
    assert_eq!(items.drafts[4].facts.span_id, Some(span_id("e5")));
    let body: Value = serde_json::from_slice(&items.drafts[2].body).unwrap();
    assert_eq!(body["type"], "span-update");
    let score: Value = serde_json::from_slice(&items.drafts[6].body).unwrap();
    assert_eq!(score["id"], "s1");
}

#[test]
fn a_bad_item_is_told_alone() {
    let items = read(json!([
        7,
        {"type": "trace-create"},
        envelope("e1", "nonsense-create", json!({})),
        envelope("e2", "span-create", json!({"name": "no id"})),
        envelope("e3", "span-create", json!({"id": "x", "startTime": "yesterday"})),
        envelope("e4", "score-create", json!({"name": "q"})),
        envelope("e5", "score-create", json!({"value": 1})),
        envelope("e6", "observation-update", json!({"id": "x"})),
        {"id": "e7", "type": "trace-create", "timestamp": "2026-11-21", "body": {}},
        {"id": "e8", "type": "trace-create", "timestamp": "2026-11-21T09:00:00Z", "body": []},
        envelope(&"x".repeat(801), "trace-create", json!({})),
        envelope("good", "trace-create", json!({})),
    ]));
    let reasons = reasons(&items);
    assert_eq!(
        reasons[..10],
        [
            ("", "it is no object"),
            ("", "`id` is missing"),
            ("e1", "`type` cannot be `nonsense-create`"),
            ("e2", "`body.id` is missing"),
            ("e3", "`startTime` is no date and time with an offset"),
            ("e4", "`value` is missing"),
            ("e5", "`name` is missing"),
            ("e6", "`body.type` is missing"),
            ("e7", "`timestamp` is no date and time with an offset"),
            ("e8", "`body` is no object"),
        ]
    );
    assert_eq!(reasons[10].1, "`id` is too long, or has a line end");
    assert_eq!(reasons[11], ("good", ""));
    assert_eq!(items.drafts.len(), 1);
}

#[test]
fn a_request_without_a_batch_is_refused() {
    for body in ["", "[]", "{}", r#"{"batch":{}}"#, r#"{"batch":null}"#, "[[{}]]"] {
        assert!(ingestion(body.as_bytes(), now()).is_err(), "{body}");
    }
    assert_eq!(ingestion(br#"{"batch":[]}"#, now()).unwrap().items.len(), 0);
}

#[test]
fn scores_come_as_a_list_or_alone() {
    let list = json!([
        {"id": "s1", "traceId": "t", "name": "q", "value": 1},
        {"name": "q", "value": "good", "traceId": "t"},
        {"name": "q"},
    ]);
    let read = scores(list.to_string().as_bytes(), now()).unwrap();
    assert!(!read.is_single);
    assert_eq!(read.items.drafts.len(), 2);
    assert_eq!(reasons(&read.items)[2].1, "`value` is missing");
    // A score without an id gets one, in its body too.
    let body: Value = serde_json::from_slice(&read.items.drafts[1].body).unwrap();
    assert_eq!(body["id"], read.items.drafts[1].id);
    assert_eq!(body["value"], "good");
    let one = scores(br#"{"id":"s1","name":"q","value":1}"#, now()).unwrap();
    assert!(one.is_single);
    assert_eq!(one.items.items[0].id, "s1");
    assert!(scores(b"7", now()).is_err());
    assert!(scores(b"{", now()).is_err());
}

#[test]
fn a_corrected_score_is_no_copy() {
    let id = |json: &str| scores(json.as_bytes(), now()).unwrap().items.drafts[0].id.clone();
    let first = id(r#"{"id":"s1","name":"q","value":1}"#);
    assert_eq!(first, id(r#"{"id":"s1","name":"q","value":1}"#));
    assert_ne!(first, id(r#"{"id":"s1","name":"q","value":2}"#));
    assert!(first.starts_with("s1-"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        json in "[\\[{\":,}\\] a-e0-9.\\\\u]{0,80}",
    ) {
        let _either = ingestion(&bytes, now());
        let _either = scores(&bytes, now());
        let around = format!(r#"{{"batch":[{json}]}}"#);
        let _either = ingestion(around.as_bytes(), now());
        let _either = scores(json.as_bytes(), now());
    }
}
