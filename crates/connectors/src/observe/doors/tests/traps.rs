//! The traps that recorded clients lay for a receiver, by their names.

use super::*;
use crate::observe::doors::Verdict;
use crate::observe::event::Kind;
use serde_json::{Value, json};

const AT: &str = "2026-11-21T09:00:00Z";

#[tokio::test]
async fn old_clients_of_langfuse_keep_their_door() {
    let house = House::new();
    let body = json!({"batch": [
        {"id": "e1", "type": "trace-create", "timestamp": AT, "body": {"id": "t"}},
        {"id": "e2", "type": "sdk-log", "timestamp": AT, "body": {"log": "x"}},
    ], "metadata": {"batch_size": 2}});
    let got = house.send(Sent::post("/api/public/ingestion", body.to_string())).await;
    assert_eq!(
        got.brief(),
        (
            207,
            JSON,
            r#"{"errors":[],"successes":[{"id":"e1","status":201},{"id":"e2","status":201}]}"#
        )
    );
    assert_eq!(house.brought()[0].arrival.drafts[0].kind, Kind::Patch);
}

#[tokio::test]
async fn clients_of_rudderstack_get_exactly_200_and_ok() {
    let house = House::new();
    for sent in [
        Sent::rudder(TRACK),
        Sent::rudder(gzip(TRACK.as_bytes())).header("content-encoding", "gzip"),
    ] {
        let got = house.send(sent).await;
        assert_eq!(got.brief(), (200, TEXT, "ok"));
    }
    let mut single = Sent::rudder(r#"{"userId":"u","event":"x"}"#);
    single.line = "/v1/track";
    assert_eq!(house.send(single).await.brief(), (200, TEXT, "ok"));
    let brought = house.brought();
    assert_eq!(brought.len(), 3);
    assert_eq!(brought[2].arrival.drafts[0].facts.class, "track");
}

#[tokio::test]
async fn errors_for_rudderstack_are_plain_text() {
    let house = House::new();
    for (body, text) in [
        ("", "request body is nil\n"),
        ("{", "invalid json\n"),
        (r#"{"batch":[]}"#, "empty batch payload\n"),
    ] {
        let got = house.send(Sent::rudder(body)).await;
        assert_eq!(got.brief(), (400, TEXT, text));
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    }
    let mut single = Sent::rudder("{}");
    single.line = "/v1/track";
    let text = "request neither has anonymousId nor userId\n";
    assert_eq!(house.send(single).await.brief(), (400, TEXT, text));
    let large = house.send(Sent::rudder("x".repeat(100_001))).await;
    assert_eq!(large.brief(), (413, TEXT, "request size exceeds max limit\n"));
}

#[tokio::test]
async fn the_content_type_of_the_node_client_is_not_believed() {
    let house = House::new();
    let sent = Sent::rudder(gzip(TRACK.as_bytes()))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-encoding", "gzip");
    assert_eq!(house.send(sent).await.brief(), (200, TEXT, "ok"));
    assert_eq!(house.brought()[0].arrival.drafts.len(), 1);
}

#[tokio::test]
async fn a_bad_message_does_not_end_the_process_of_a_node_client() {
    let body = r#"{"batch":[{"type":"track","event":"x","messageId":"bad"},
        {"type":"track","event":"x","userId":"u","messageId":"good"}]}"#;
    let house = House::new();
    assert_eq!(house.send(Sent::rudder(body)).await.brief(), (200, TEXT, "ok"));
    let brought = house.brought();
    assert_eq!(brought[0].arrival.drafts[0].id, "good");
    assert_eq!(brought[0].rejects[0].id.as_deref(), Some("bad"));
    assert_eq!(house.doors.counters().door(Door::Rudder).rejected, 1);
    let strict = House::with(limits(), keys(), true);
    let text = "request neither has anonymousId nor userId\n";
    assert_eq!(strict.send(Sent::rudder(body)).await.brief(), (400, TEXT, text));
    assert_eq!(strict.brought().len(), 0);
}

#[tokio::test]
async fn an_item_that_can_never_be_taken_does_not_make_old_clients_repeat_the_batch() {
    let good = json!({"id": "e1", "type": "trace-create", "timestamp": AT, "body": {}});
    let body = json!({"batch": [good, {"id": "e2", "type": "nonsense"}]}).to_string();
    let house = House::new();
    let got = house.send(Sent::post("/api/public/ingestion", &body)).await;
    let answer: Value = serde_json::from_str(&got.body).unwrap();
    assert_eq!(answer["errors"], json!([]));
    assert_eq!(answer["successes"].as_array().unwrap().len(), 2);
    assert_eq!(house.brought()[0].rejects[0].reason, "`timestamp` is missing");
    let strict = House::with(limits(), keys(), true);
    strict.verdict(Admitted { refused: vec![(0, "denied".into())], verdict: Verdict::Taken });
    let got = strict.send(Sent::post("/api/public/ingestion", &body)).await;
    let answer: Value = serde_json::from_str(&got.body).unwrap();
    let error = |id: &str, why: &str| {
        let message = "Invalid request data";
        json!({"id": id, "status": 400, "message": message, "error": why})
    };
    assert_eq!(
        answer["errors"],
        json!([error("e1", "denied"), error("e2", "`timestamp` is missing")])
    );
    let missing = house.send(Sent::post("/api/public/ingestion", "{}")).await;
    assert_eq!(missing.status, 400);
    let answer: Value = serde_json::from_str(&missing.body).unwrap();
    assert_eq!(answer["message"], "Invalid request data");
}

#[tokio::test]
async fn a_body_that_is_too_large_once_unpacked_is_413() {
    let house = House::new();
    let bomb = gzip(&vec![b' '; 40 << 20]);
    assert!(bomb.len() > 40_000);
    for (path, kind) in
        [("/v1/traces", PROTOBUF), ("/api/public/ingestion", JSON), ("/v1/batch", TEXT)]
    {
        let mut limits = limits();
        for body in [&mut limits.otlp, &mut limits.langfuse, &mut limits.rudder] {
            body.packed = 1 << 20;
        }
        let house = House::with(limits, keys(), false);
        let sent = Sent::post(path, &bomb)
            .header("content-encoding", "gzip")
            .header("content-type", PROTOBUF);
        let sent = if path == "/v1/batch" {
            Sent { headers: [vec![basic("wk:")], sent.headers[1..].to_vec()].concat(), ..sent }
        } else {
            sent
        };
        let got = house.send(sent).await;
        assert_eq!((got.status, got.header("content-type")), (413, Some(kind)));
        assert_eq!(house.doors.free_memory(), 256 << 20);
    }
    assert_eq!(house.brought().len(), 0);
}

#[tokio::test]
async fn a_request_is_answered_only_when_its_events_are_taken() {
    let house = House::new();
    let permits = house.keeper.gate.forget_permits(1_000_000);
    assert_eq!(permits, 1_000_000);
    let stream = house.connect();
    let request = Sent::rudder(TRACK).bytes();
    let answered = exchange(stream, &request);
    let mut answered = std::pin::pin!(answered);
    let early = tokio::time::timeout(Duration::from_millis(50), answered.as_mut()).await;
    assert!(early.is_err(), "the answer must wait for the admission");
    house.keeper.gate.add_permits(1);
    assert_eq!(Got::parse(&answered.await).brief(), (200, TEXT, "ok"));
}

#[tokio::test]
async fn a_log_export_at_the_address_of_traces_is_told_so() {
    use crate::observe::otlp::wire::{put_bytes, put_fixed64};
    let mut log = Vec::new();
    put_fixed64(&mut log, 1, 17);
    let mut scope = Vec::new();
    put_bytes(&mut scope, 2, &log);
    let mut resource = Vec::new();
    put_bytes(&mut resource, 2, &scope);
    let mut request = Vec::new();
    put_bytes(&mut request, 1, &resource);
    let house = House::new();
    let got = house.send(Sent::post("/v1/traces", request).header("content-type", PROTOBUF)).await;
    assert_eq!(got.status, 200);
    assert!(
        got.body.ends_with("the span cannot be read: one of its fields has the wrong type"),
        "{}",
        got.body
    );
    assert_eq!(house.brought()[0].arrival.drafts.len(), 0);
}

#[tokio::test]
async fn a_chunked_body_without_a_length_is_read() {
    let house = House::new();
    let json = r#"{"resourceSpans":[]}"#;
    let sent =
        Sent::post("/api/public/otel/v1/traces", "").header("content-type", "application/json");
    let (front, back) = json.split_at(7);
    let bytes = format!(
        "{}connection: close\r\ntransfer-encoding: chunked\r\n\r\n\
        {:x}\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\n\r\n",
        sent.head(),
        front.len(),
        back.len(),
    );
    let got = Got::parse(&house.exchange(bytes.as_bytes()).await);
    assert_eq!(got.brief(), (200, "application/json", "{}"));
}
