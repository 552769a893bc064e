use crate::observe::dialects::messages::{BadBody, Messages, Received, batch, single};
use crate::observe::event::{Kind, Usage};
use proptest::prelude::*;
use serde_json::{Value, json};

fn received(is_strict: bool) -> Received {
    Received { at: "2026-11-21T10:00:00.5Z".parse().unwrap(), is_strict }
}

fn read(body: &Value) -> Messages {
    batch(body.to_string().as_bytes(), received(false)).unwrap()
}

fn body_of(messages: &Messages, index: usize) -> Value {
    serde_json::from_slice(&messages.drafts[index].body).unwrap()
}

#[test]
fn a_batch_of_the_python_client_is_read() {
    let messages = read(&json!({
        "batch": [
            {
                "type": "track", "event": "llm_call", "messageId": "m1", "userId": "u1",
                "anonymousId": null, "timestamp": "2026-11-21T09:59:58.250+00:00",
                "context": {"library": {"name": "rudder-analytics-python", "version": "2.1.9"}},
                "integrations": {}, "channel": "server",
                "properties": {
                    "model": "gpt-4o", "provider": "OpenAI", "prompt_tokens": 1000,
                    "completion_tokens": 500, "cached_tokens": 600, "cost": 0.0075, "plan": "pro",
                },
            },
            {"type": "identify", "messageId": "m2", "userId": 7, "context": {"sessionId": 1234}},
        ],
        "sentAt": "2026-11-21T10:00:00.000Z",
    }));
    assert_eq!(messages.rejects, []);
    let track = &messages.drafts[0];
    assert_eq!((track.kind, &*track.id), (Kind::Message, "m1"));
    assert_eq!((&*track.facts.class, &*track.facts.name), ("track", "llm_call"));
    assert_eq!(track.facts.user.as_deref(), Some("u1"));
    assert_eq!(track.facts.start_ns, 1_795_255_198_250_000_000);
    assert_eq!(track.facts.model.as_deref(), Some("gpt-4o"));
    assert_eq!(track.facts.provider.as_deref(), Some("openai"));
    assert_eq!(
        track.facts.usage,
        Usage { input: 400, cache_read: 600, output: 500, ..Usage::default() }
    );
    assert_eq!(track.facts.stated_cost_pico, Some(7_500_000_000));
    assert_eq!(track.facts.metadata["plan"], "pro");
    let body = body_of(&messages, 0);
    assert_eq!(body["receivedAt"], "2026-11-21T10:00:00.500Z");
    assert_eq!(body["anonymousId"], Value::Null);
    let identify = &messages.drafts[1].facts;
    assert_eq!((identify.user.as_deref(), identify.session.as_deref()), (Some("7"), Some("1234")));
    assert_eq!(identify.name, "identify");
}

#[test]
fn what_is_missing_is_completed_and_nothing_else_changes() {
    let messages = read(&json!({"batch": [
        {"messageId": " ", "anonymousId": "a", "event": "x", "n": 1.50, "receivedAt": "then"},
    ]}));
    let text = std::str::from_utf8(&messages.drafts[0].body).unwrap();
    let id = &messages.drafts[0].id;
    assert_eq!(id.len(), 36);
    assert_eq!(
        text,
        format!(
            r#"{{"anonymousId":"a","event":"x","n":1.5,"receivedAt":"then",{}}}"#,
            format_args!(r#""messageId":"{id}","type":"track""#)
        )
    );
    let whole = r#"{"type":"page","messageId":"m","userId":"u","receivedAt":"r","x":1.50,"y":"é"}"#;
    let messages = batch(format!(r#"{{"batch":[{whole}]}}"#).as_bytes(), received(true)).unwrap();
    assert_eq!(messages.drafts[0].body, whole.as_bytes());
}

#[test]
fn a_single_message_has_the_type_of_its_address() {
    let body = br#"{"userId":"u","name":"Home","type":"nonsense","messageId":"m"}"#;
    let messages = single(body, "page", received(false)).unwrap();
    assert_eq!(messages.drafts[0].facts.class, "page");
    assert_eq!(messages.drafts[0].facts.name, "Home");
    assert_eq!(body_of(&messages, 0)["type"], "page");
    let imported =
        single(br#"{"userId":"u","type":"group","groupId":"g"}"#, "import", received(false));
    assert_eq!(imported.unwrap().drafts[0].facts.name, "g");
    assert_eq!(single(b"{}", "track", received(false)), Err(BadBody::NonIdentifiable));
    assert_eq!(single(b"7", "track", received(false)), Err(BadBody::NotAnEvent));
    assert_eq!(single(b"{", "track", received(false)), Err(BadBody::InvalidJson));
    assert_eq!(single(b"", "track", received(false)), Err(BadBody::Nil));
}

#[test]
fn a_bad_message_is_set_aside_alone() {
    let body = json!({"batch": [
        {"type": "track", "messageId": "bad", "event": "x", "userId": "", "anonymousId": null},
        {"type": "track", "messageId": "good", "event": "x", "userId": "u"},
        [1, 2],
        {"type": "extract", "messageId": "warehouse"},
    ]});
    let messages = read(&body);
    let ids: Vec<_> = messages.drafts.iter().map(|draft| &*draft.id).collect();
    assert_eq!(ids, ["good", "warehouse"]);
    assert_eq!(messages.rejects[0].id.as_deref(), Some("bad"));
    assert_eq!(messages.rejects[0].reason, "request neither has anonymousId nor userId");
    assert_eq!(messages.rejects[1].reason, "event is not a valid rudder event");
    assert_eq!(messages.rejects[1].body, b"[1,2]");
    let strict = batch(body.to_string().as_bytes(), received(true));
    assert_eq!(strict, Err(BadBody::NonIdentifiable));
}

#[test]
fn bodies_without_messages_are_refused() {
    let refused = |body: &str| batch(body.as_bytes(), received(false)).unwrap_err().to_string();
    assert_eq!(refused(""), "request body is nil");
    assert_eq!(refused("{"), "invalid json");
    assert_eq!(refused(r#"{"batch":[{"a":NaN}]}"#), "invalid json");
    assert_eq!(refused("[]"), "empty batch payload");
    assert_eq!(refused("[[{}]]"), "empty batch payload");
    assert_eq!(refused("{}"), "empty batch payload");
    assert_eq!(refused(r#"{"batch":[]}"#), "empty batch payload");
    assert_eq!(refused(r#"{"batch":{"userId":"u"}}"#), "empty batch payload");
    let many = format!(r#"{{"batch":[{}0]}}"#, "0,".repeat(50_000));
    assert_eq!(refused(&many), "request size exceeds max limit");
}

#[test]
fn tokens_have_many_names() {
    let usage = |properties: Value| {
        read(&json!({"batch": [{"type": "track", "userId": "u", "properties": properties}]})).drafts
            [0]
        .facts
        .usage
    };
    let expected = Usage { input: 60, cache_read: 40, output: 50, ..Usage::default() };
    for properties in [
        json!({"model": "m", "inputTokens": 100, "outputTokens": 50, "cachedTokens": 40}),
        json!({"model": "m", "promptTokens": "100", "completionTokens": 50.0, "cached_tokens": 40}),
        json!({"model": "m", "input_tokens": 60, "output_tokens": 50,
            "cache_read_input_tokens": 40}),
        json!({"model": "m", "usage": {"prompt_tokens": 100, "completion_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 40}}}),
    ] {
        assert_eq!(usage(properties.clone()), expected, "{properties}");
    }
    // Without a model it is another event, whose properties only look alike.
    assert!(usage(json!({"inputTokens": 100})).is_empty());
    assert_eq!(usage(json!({"model": "m", "totalTokens": 9})).input, 9);
}

#[test]
fn half_a_character_costs_no_batch() {
    let body = br#"{"batch":[{"type":"track","userId":"u","event":"cut \ud83d"}]}"#;
    let messages = batch(body, received(false)).unwrap();
    assert_eq!(messages.drafts[0].facts.name, "cut \u{fffd}");
    assert_eq!(body_of(&messages, 0)["event"], "cut \u{fffd}");
    let messages = batch(b"{\"batch\":[{\"userId\":\"\xff\",\"event\":\"x\"}]}", received(false));
    assert_eq!(messages.unwrap().drafts[0].facts.user.as_deref(), Some("\u{fffd}"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        json in "[\\[{\":,}\\] a-e0-9.\\\\u]{0,80}",
    ) {
        let _either = batch(&bytes, received(false));
        let _either = single(&bytes, "track", received(false));
        let around = format!(r#"{{"batch":[{{"userId":"u","properties":{json}}}]}}"#);
        let _either = batch(around.as_bytes(), received(false));
    }

    #[test]
    fn completed_messages_are_json_of_one_message(
        id in ".{0,8}",
        user in ".{1,8}",
        key in ".{0,8}",
    ) {
        let message = json!({"messageId": id, "userId": user, key: {"x": [1, null]}});
        let messages = read(&json!({"batch": [message]}));
        for draft in &messages.drafts {
            let body: Value = serde_json::from_slice(&draft.body).unwrap();
            prop_assert_eq!(body["messageId"].as_str().map(str::trim), Some(draft.id.as_str()));
        }
    }
}
