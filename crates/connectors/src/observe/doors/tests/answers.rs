use super::*;
use crate::observe::doors::Verdict;
use serde_json::{Value, json};

fn otlp_sent(body: Vec<u8>) -> Sent<'static> {
    Sent::post("/v1/traces", body).header("content-type", PROTOBUF)
}

#[tokio::test]
async fn spans_are_taken() {
    let house = House::new();
    let got = house.send(otlp_sent(otlp(&[1, 2]))).await;
    assert_eq!(got.brief(), (200, PROTOBUF, ""));
    let brought = house.brought();
    assert_eq!((&*brought[0].project, brought[0].door), ("acme", Door::Otlp));
    let ids: Vec<_> = brought[0].arrival.drafts.iter().map(|draft| &*draft.id).collect();
    assert_eq!(ids[0], "01010101010101010101010101010101-0101010101010101");
    assert_eq!(ids.len(), 2);
    let counts = house.doors.counters().door(Door::Otlp);
    assert_eq!((counts.answers, counts.events), (vec![(200, 1)], 2));
}

#[tokio::test]
async fn an_empty_request_is_a_success() {
    let house = House::new();
    assert_eq!(house.send(otlp_sent(Vec::new())).await.brief(), (200, PROTOBUF, ""));
    let json = Sent::post("/v1/traces", "{}").header("content-type", "application/json; charset=x");
    assert_eq!(house.send(json).await.brief(), (200, "application/json", "{}"));
}

#[tokio::test]
async fn a_bad_span_is_refused_alone_with_a_partial_success() {
    let house = House::new();
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [
        {"traceId": "01".repeat(16), "spanId": "02".repeat(8)},
        {"traceId": "01".repeat(15), "spanId": "02".repeat(8)},
        {"name": 7},
    ]}]}]});
    let sent =
        Sent::post("/v1/traces", body.to_string()).header("content-type", "application/json");
    let got = house.send(sent).await;
    assert_eq!(got.status, 200);
    let answer: Value = serde_json::from_str(&got.body).unwrap();
    assert_eq!(answer["partialSuccess"]["rejectedSpans"], "2");
    assert_eq!(house.brought()[0].arrival.drafts.len(), 1);
    assert_eq!(house.doors.counters().door(Door::Otlp).rejected, 2);
}

#[tokio::test]
async fn what_the_admission_refuses_is_a_partial_success_too() {
    let house = House::new();
    house.verdict(Admitted { refused: vec![(0, "no".into())], verdict: Verdict::Taken });
    let got = house.send(otlp_sent(otlp(&[1, 2]))).await;
    assert_eq!(got.brief(), (200, PROTOBUF, "\n\u{6}\u{8}\u{1}\u{12}\u{2}no"));
}

#[tokio::test]
async fn bad_requests_in_otlp_have_a_status() {
    let house = House::new();
    let got = house.send(otlp_sent(b"\xff".to_vec())).await;
    let message = "the request cannot be read: it ends in the middle of a field";
    assert_eq!(
        got.brief(),
        (400, PROTOBUF, &*format!("\u{8}\u{3}\u{12}{}{message}", message.len() as u8 as char))
    );
    let json = Sent::post("/v1/traces", "[").header("content-type", "application/json");
    let got = house.send(json).await;
    assert_eq!((got.status, got.header("content-type")), (400, Some("application/json")));
    assert_eq!(serde_json::from_str::<Value>(&got.body).unwrap()["code"], 3);
    let text = Sent::post("/v1/traces", "x").header("content-type", "text/plain");
    assert_eq!(house.send(text).await.status, 415);
    let packed = otlp_sent(otlp(&[1])).header("content-encoding", "br");
    assert_eq!(house.send(packed).await.status, 415);
    let corrupt = otlp_sent(otlp(&[1])).header("content-encoding", "gzip");
    assert_eq!(house.send(corrupt).await.status, 400);
}

#[tokio::test]
async fn every_compression_is_unpacked() {
    let house = House::new();
    let body = otlp(&[1, 2, 3]);
    for (name, body) in [("gzip", gzip(&body)), ("zstd", zstd::encode_all(&*body, 1).unwrap())] {
        let got = house.send(otlp_sent(body).header("content-encoding", name)).await;
        assert_eq!(got.status, 200, "{name}");
        assert_eq!(house.brought()[0].arrival.drafts.len(), 3);
    }
}

#[tokio::test]
async fn langfuses_address_checks_the_version() {
    let house = House::new();
    let sent =
        || Sent::post("/api/public/otel/v1/traces", otlp(&[1])).header("content-type", PROTOBUF);
    let status = async |sent: Sent<'_>| house.send(sent).await.status;
    assert_eq!(status(sent()).await, 200);
    assert_eq!(status(sent().header("x-langfuse-ingestion-version", "4")).await, 200);
    assert_eq!(status(sent().header("x-langfuse-ingestion-version", "5")).await, 400);
    assert_eq!(status(sent().header("x_langfuse_ingestion_version", "new")).await, 400);
    assert_eq!(house.brought()[0].door, Door::LangfuseOtlp);
}

#[tokio::test]
async fn verdicts_are_told_in_every_dialect() {
    let house = House::new();
    let wait = Duration::from_millis(1_500);
    let sents = || {
        [
            otlp_sent(otlp(&[1])),
            Sent::post("/api/public/ingestion", r#"{"batch":[]}"#),
            Sent::rudder(TRACK),
        ]
    };
    house.verdict(Admitted { refused: vec![], verdict: Verdict::Busy { retry_after: wait } });
    for sent in sents() {
        let got = house.send(sent).await;
        assert_eq!((got.status, got.header("retry-after")), (503, Some("2")));
    }
    let message = "the budget of acme is spent".to_owned();
    let limited = Verdict::Limited { message, retry_after: wait };
    house.verdict(Admitted { refused: vec![], verdict: limited });
    let [otlp, langfuse, rudder] = sents();
    let got = house.send(otlp).await;
    assert_eq!((got.status, got.header("retry-after")), (429, Some("2")));
    assert_eq!(got.body, "\u{8}\u{8}\u{12}\u{1b}the budget of acme is spent");
    let got = house.send(langfuse).await;
    assert_eq!(
        got.brief(),
        (
            429,
            JSON,
            concat!(
                r#"{"code":"rate_limited","details":{"retryAfterSeconds":2},"#,
                r#""error":"RateLimitError","message":"the budget of acme is spent"}"#,
            )
        )
    );
    assert_eq!(house.send(rudder).await.brief(), (429, TEXT, "max requests limit reached\n"));
    let broken = Verdict::Broken { message: "the disk is full".into() };
    house.verdict(Admitted { refused: vec![], verdict: broken });
    let [otlp, langfuse, rudder] = sents();
    // Clients of OTLP give up at once after a 500.
    assert_eq!(house.send(otlp).await.status, 503);
    assert_eq!(house.send(langfuse).await.status, 500);
    assert_eq!(house.send(rudder).await.brief(), (500, TEXT, "the disk is full\n"));
}

#[tokio::test]
async fn scores_are_accepted_as_a_list_or_alone() {
    let house = House::new();
    let score = r#"{"id":"s1","traceId":"t","name":"q","value":1}"#;
    let send = async |body: String| house.send(Sent::post("/api/public/scores", body)).await;
    assert_eq!(send(format!("[{score}]")).await.brief(), (202, JSON, r#"{"message":"Accepted"}"#));
    assert_eq!(send(score.to_owned()).await.brief(), (200, JSON, r#"{"id":"s1"}"#));
    assert_eq!(
        send(format!(r#"[{score},{{"name":"q"}}]"#)).await.brief(),
        (207, JSON, r#"{"accepted":1,"errors":[{"message":"`value` is missing"}],"rejected":1}"#)
    );
    assert_eq!(
        send(r#"{"name":"q"}"#.to_owned()).await.brief(),
        (
            400,
            JSON,
            concat!(
                r#"{"error":"InvalidRequestError","errors":["`value` is missing"],"#,
                r#""message":"Invalid request data"}"#,
            )
        )
    );
    assert_eq!(house.brought()[2].rejects.len(), 1);
}

#[tokio::test]
async fn questions_are_answered() {
    let house = House::new();
    let ask = async |line: &str, pair: Option<&str>| {
        let mut sent = Sent::post("/", "").without_headers();
        sent.line = line;
        sent.headers.extend(pair.map(basic));
        house.send(sent).await
    };
    assert_eq!(
        ask("GET /api/public/projects", Some("pk:sk")).await.brief(),
        (
            200,
            JSON,
            concat!(
                r#"{"data":[{"id":"acme","metadata":{},"name":"acme","#,
                r#""organization":{"id":"windlass","name":"windlass"}}]}"#,
            )
        )
    );
    assert_eq!(ask("GET /api/public/projects", None).await.status, 401);
    assert_eq!(
        ask("GET /api/public/health", None).await.brief(),
        (200, JSON, r#"{"status":"OK","version":"1.2.3"}"#)
    );
    let health = ask("GET /health", None).await;
    assert_eq!(serde_json::from_str::<Value>(&health.body).unwrap()["server"], "UP");
    let version = ask("GET /version", None).await;
    assert_eq!(serde_json::from_str::<Value>(&version.body).unwrap()["Version"], "1.2.3");
    assert_eq!(ask("GET /metrics", None).await.brief(), (200, "text/html", "page /metrics"));
    let head = ask("HEAD /health", None).await;
    assert_eq!((head.status, &*head.body), (200, ""));
    let wrong = ask("GET /v1/batch", None).await;
    assert_eq!(wrong.brief(), (405, TEXT, "invalid http request method\n"));
    assert_eq!(wrong.header("allow"), Some("POST, OPTIONS"));
}

#[tokio::test]
async fn browsers_may_bring_events_from_any_page() {
    let house = House::new();
    let mut sent = Sent::post("/", "").without_headers();
    sent.line = "OPTIONS /v1/batch";
    let preflight = sent
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let got = house.send(preflight).await;
    assert_eq!((got.status, &*got.body), (204, ""));
    let name = "access-control-allow-headers";
    assert_eq!(got.header(name), Some("authorization,content-type"));
    assert_eq!(got.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(got.header("access-control-max-age"), Some("900"));
    let got = house.send(Sent::rudder(TRACK).header("origin", "https://shop.example")).await;
    assert_eq!(got.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(house.send(Sent::rudder(TRACK)).await.header("access-control-allow-origin"), None);
}
