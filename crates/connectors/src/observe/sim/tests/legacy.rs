//! The legacy ingestion, and scores.

use super::*;

fn envelope(id: &str, kind: &str, second: u32, body: &Value) -> Value {
    let timestamp = format!("2026-01-31T00:00:{second:02}Z");
    json!({"id": id, "type": kind, "timestamp": timestamp, "body": body})
}

async fn post(sim: &ObserveSim, path: &str, body: &Value) -> (u16, Value) {
    let key = langfuse_key();
    let headers = [("authorization", key.as_str())];
    said(&send(sim, &format!("/api/public/{path}"), &headers, body.to_string()).await)
}

async fn ingest(sim: &ObserveSim, events: &[Value]) -> (u16, Value) {
    post(sim, "ingestion", &json!({"batch": events})).await
}

async fn first(sim: &ObserveSim) -> Value {
    let fields = "core,basic,model,usage,trace_context,io";
    let (_, page) = get(sim, &format!("/api/public/v2/observations?fields={fields}")).await;
    page["data"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn each_event_is_answered_for_itself_in_a_207() {
    let sim = sim(plain());
    let good = json!({"id": "o", "traceId": "t", "startTime": "2026-01-31T00:00:00Z"});
    let answer = ingest(
        &sim,
        &[
            envelope("e1", "generation-create", 1, &good),
            envelope("e2", "unheard-of", 1, &good),
            envelope("e3", "span-update", 1, &json!({"traceId": "t"})),
            json!({"type": "span-create", "timestamp": "2026-01-31T00:00:00Z", "body": good}),
        ],
    )
    .await;
    let refused = |id: Value, why: &str| {
        let message = "Invalid request data";
        json!({"id": id, "status": 400, "message": message, "error": why})
    };
    let expected = json!({
        "successes": [{"id": "e1", "status": 201}],
        "errors": [
            refused(json!("e2"), "type: Invalid discriminator value"),
            refused(json!("e3"), "body.id: Required"),
            refused(json!(null), "id: Required"),
        ],
    });
    assert_eq!(answer, (207, expected));
    assert_eq!(sim.totals(Remote::Langfuse).rejected, 3);
    assert_eq!(post(&sim, "ingestion", &json!({"events": []})).await.0, 400);
    let huge = json!({"batch": [], "metadata": "x".repeat(4_500_000)});
    assert_eq!(post(&sim, "ingestion", &huge).await.0, 413);
}

#[tokio::test(start_paused = true)]
async fn creates_go_before_updates_and_traces_lend_their_user() {
    let sim = sim(plain());
    let create = json!({
        "id": "o", "traceId": "t", "name": "chat", "model": "gpt-4o", "input": "in",
        "startTime": "2026-01-31T00:00:00Z",
        "usage": {"promptTokens": 10, "completionTokens": 5, "totalTokens": 15},
    });
    let update = json!({
        "id": "o", "traceId": "t", "endTime": "2026-01-31T00:00:02Z", "model": "gpt-4o-mini",
        "costDetails": {"input": 0.1, "output": 0.2}, "level": "ERROR",
    });
    let trace = json!({"id": "t", "name": "trace", "userId": "u", "environment": "Prod"});
    let (status, answer) = ingest(
        &sim,
        &[
            envelope("e3", "generation-update", 1, &update),
            envelope("e2", "trace-create", 3, &trace),
            envelope("e1", "generation-create", 2, &create),
        ],
    )
    .await;
    let order: Vec<&str> =
        answer["successes"].as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap()).collect();
    assert_eq!((status, order), (207, vec!["e1", "e2", "e3"]));
    let read = first(&sim).await;
    let expected = [
        ("type", json!("GENERATION")),
        ("name", json!("chat")),
        ("level", json!("ERROR")),
        ("providedModelName", json!("gpt-4o-mini")),
        ("endTime", json!("2026-01-31T00:00:02.000Z")),
        ("usageDetails", json!({"input": 10, "output": 5, "total": 15})),
        ("totalCost", json!(0.3)),
        ("userId", json!("u")),
        ("environment", json!("prod")),
        ("traceName", json!("trace")),
        ("input", json!(null)),
    ];
    for (name, value) in expected {
        assert_eq!(read[name], value, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_envelope_is_applied_once_and_always_answered() {
    let sim = sim(plain());
    let body = |name: &str| json!({"id": "o", "traceId": "t", "name": name});
    ingest(&sim, &[envelope("e1", "span-create", 1, &body("one"))]).await;
    ingest(&sim, &[envelope("e2", "span-update", 2, &body("two"))]).await;
    let again = ingest(&sim, &[envelope("e1", "span-create", 1, &body("one"))]).await;
    assert_eq!(again.1["successes"], json!([{"id": "e1", "status": 201}]));
    assert_eq!(first(&sim).await["name"], "two");
    let totals = sim.totals(Remote::Langfuse);
    assert_eq!((totals.distinct, totals.duplicates), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_shapes_of_openai_become_disjoint() {
    let sim = sim(plain());
    let usage = json!({
        "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 20},
    });
    let body = json!({"id": "o", "traceId": "t", "usageDetails": usage});
    ingest(&sim, &[envelope("e", "generation-create", 1, &body)]).await;
    let expected = json!({
        "input": 60, "input_cached_tokens": 40, "output": 30, "output_reasoning_tokens": 20,
        "total": 150,
    });
    assert_eq!(first(&sim).await["usageDetails"], expected);
}

#[tokio::test(start_paused = true)]
async fn a_server_of_version_4_takes_scores_and_logs_alone() {
    let score = json!({"id": "s", "traceId": "t", "name": "good", "value": 1});
    let events = [
        envelope("e1", "span-create", 1, &json!({"id": "o"})),
        envelope("e2", "score-create", 1, &score),
        envelope("e3", "sdk-log", 1, &json!({"log": "x"})),
    ];
    for (options, status) in [
        (Options { events_only: true, ..plain() }, 400),
        (Options { scores_only: true, ..plain() }, 401),
    ] {
        let sim = sim(options);
        let (_, answer) = ingest(&sim, &events).await;
        assert_eq!(answer["errors"][0]["id"], "e1");
        assert_eq!(answer["errors"][0]["status"], status);
        assert_eq!(sim.scores()[0].id, "s");
        let logs = answer["successes"].as_array().unwrap().iter().any(|s| s["id"] == "e3");
        assert_eq!(logs, status == 400);
    }
}

#[tokio::test(start_paused = true)]
async fn arrays_of_scores_are_accepted_or_answered_in_part() {
    let sim = sim(plain());
    let good = |id: &str| json!({"id": id, "traceId": "t", "name": "n", "value": 0.5});
    let accepted = post(&sim, "scores", &json!([good("a"), good("b")])).await;
    assert_eq!(accepted, (202, json!({"message": "Accepted"})));
    let bad = json!({"id": "c", "traceId": "t", "value": 1});
    let part = post(&sim, "scores", &json!([good("a"), bad, {"name": "n", "value": 1}])).await;
    let errors = json!([
        {"message": "name: Required"},
        {"message": "one of traceId, sessionId, datasetRunId is required"},
    ]);
    assert_eq!(part, (207, json!({"accepted": 1, "rejected": 2, "errors": errors})));
    assert_eq!(post(&sim, "scores", &good("d")).await, (200, json!({"id": "d"})));
    let unnamed = json!({"traceId": "t", "name": "n", "value": "text"});
    assert_eq!(post(&sim, "scores", &unnamed).await, (200, json!({"id": "score-4"})));
    assert_eq!(post(&sim, "scores", &json!({"name": "n"})).await.0, 400);
    let huge = json!([{"name": "x".repeat(1 << 20)}]);
    assert_eq!(post(&sim, "scores", &huge).await.0, 413);
    let seen: Vec<_> = sim.scores().into_iter().map(|s| (s.id, s.times)).collect();
    let expected = [("a", 2), ("b", 1), ("d", 1), ("score-4", 1)];
    assert!(seen.iter().map(|(id, times)| (id.as_str(), *times)).eq(expected));
}
