//! The OTLP receiver.

use prost::Message;

use super::super::wire::{ExportResponse, PartialSuccess, RpcStatus};
use super::*;

fn status_of(reply: &Response<Bytes>) -> (u16, String) {
    assert_eq!(header_of(reply, "content-type"), "application/x-protobuf");
    let status = RpcStatus::decode(reply.body().clone()).unwrap();
    (reply.status().as_u16(), status.message)
}

#[tokio::test(start_paused = true)]
async fn both_encodings_and_all_packings_are_taken_and_answered_alike() {
    let sim = sim(plain());
    let protobuf = named(&["a", "b"]);
    let reply = to_otlp(&sim, protobuf.clone()).await;
    assert_eq!((reply.status().as_u16(), reply.body().len()), (200, 0));
    assert_eq!(header_of(&reply, "content-type"), "application/x-protobuf");
    let zstd = zstd::encode_all(&protobuf[..], 1).unwrap();
    for (coding, body) in [("gzip", gzip(&protobuf)), ("zstd", zstd), ("identity", protobuf)] {
        let headers = [("content-type", "application/x-protobuf"), ("content-encoding", coding)];
        assert_eq!(send(&sim, "/v1/traces", &headers, body).await.status(), 200, "{coding}");
    }
    let json = [("content-type", "application/json")];
    let reply = send(&sim, "/v1/traces", &json, export_json(&[])).await;
    assert_eq!(said(&reply), (200, json!({})));
    assert_eq!(said(&send(&sim, "/v1/traces", &json, "{}").await), (200, json!({})), "empty");
    let events = sim.events(Remote::Otlp);
    let seen: Vec<_> = events.iter().map(|e| (e.id.as_str(), e.name.as_str(), e.times)).collect();
    assert_eq!(
        seen,
        [
            ("0000000000000001", "a", 4),
            ("0000000000000002", "b", 4),
            ("00000000000000ff", "json", 1)
        ]
    );
    assert!(events.iter().all(|event| event.trace_id == TRACE));
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_refused_with_a_status_in_their_encoding() {
    let sim = sim(Options { poison: vec!["bad".to_owned()], otlp_body_max: 3_000, ..plain() });
    let mut short = span(1, "short", Vec::new());
    short.trace_id.pop();
    for (body, expected) in [
        (vec![0xff], (400, "the body can't be parsed")),
        (export(vec![short]), (400, "traceId: wrong_length")),
        (export(vec![Span::default()]), (400, "traceId: absent")),
        (named(&["good", "bad"]), (400, "a span can't be taken")),
        (vec![0; 3_001], (413, "request body too large")),
    ] {
        assert_eq!(status_of(&to_otlp(&sim, body).await), (expected.0, expected.1.to_owned()));
    }
    // The bound holds after unpacking, so that a bomb does not go off.
    let bomb = gzip(&vec![0; 1 << 20]);
    assert!(bomb.len() < 3_000);
    for (coding, body, expected) in
        [("gzip", bomb, 413), ("br", named(&["a"]), 415), ("gzip", named(&["a"]), 400)]
    {
        let headers = [("content-type", "application/x-protobuf"), ("content-encoding", coding)];
        assert_eq!(send(&sim, "/v1/traces", &headers, body).await.status(), expected, "{coding}");
    }
    let json = [("content-type", "application/json")];
    let reply = send(&sim, "/v1/traces", &json, export_json(&[("events", json!({}))])).await;
    assert_eq!(said(&reply), (400, json!({"code": 3, "message": "events: not an array"})));
    assert_eq!(send(&sim, "/v1/traces", &[], "x").await.status(), 415);
    assert!(sim.events(Remote::Otlp).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_partial_success_refuses_spans_by_name() {
    let sim = sim(Options { reject_name: vec!["bad*".to_owned()], ..plain() });
    let reply = to_otlp(&sim, named(&["good", "bad-1", "bad-2"])).await;
    let error_message = "the names of these spans are not welcome".to_owned();
    let partial_success = Some(PartialSuccess { rejected_spans: 2, error_message });
    assert_eq!(reply.status(), 200);
    assert_eq!(
        ExportResponse::decode(reply.body().clone()),
        Ok(ExportResponse { partial_success })
    );
    let json = [("content-type", "application/json")];
    let reply = send(&sim, "/v1/traces", &json, export_json(&[("name", json!("bad"))])).await;
    assert_eq!(said(&reply).1["partialSuccess"]["rejectedSpans"], "1");
    let expected = Totals { accepted: 1, distinct: 1, duplicates: 0, out_of_order: 0, rejected: 3 };
    assert_eq!(sim.totals(Remote::Otlp), expected);
}

#[tokio::test(start_paused = true)]
async fn refusals_for_now_tell_the_time_in_each_of_its_forms() {
    for (retry_after, expected, date) in [
        (RetryAfter::Seconds, "2", ""),
        (RetryAfter::HttpDate, "Sat, 31 Jan 2026 00:00:02 GMT", "Sat, 31 Jan 2026 00:00:00 GMT"),
        (RetryAfter::Absent, "", ""),
    ] {
        let retry_after_wait = Duration::from_millis(1_500);
        let refuse_status = vec![503];
        let options = Options { retry_after, retry_after_wait, refuse_status, ..plain() };
        let sim = sim(Options { refuse_rate: 1.0, ..options });
        let reply = to_otlp(&sim, named(&["a"])).await;
        assert_eq!(status_of(&reply), (503, "not now".to_owned()));
        assert_eq!(header_of(&reply, "retry-after"), expected);
        assert_eq!(header_of(&reply, "date"), date);
        assert!(sim.events(Remote::Otlp).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_leaves_its_spans() {
    let sim = sim(plain());
    sim.force([Some(Fault::ResetAfter)]);
    let request = Request::builder().method(Method::POST).uri("/v1/traces");
    let request = request.header("content-type", "application/x-protobuf");
    let reply = sim.call(request.body(named(&["a"]).into()).unwrap()).await;
    assert_eq!(reply.unwrap_err(), Reset);
    to_otlp(&sim, named(&["a"])).await;
    assert_eq!(sim.events(Remote::Otlp)[0].times, 2);
    assert_eq!(sim.traffic(Remote::Otlp).statuses, [(0, 1), (200, 1)].into());
}

#[tokio::test(start_paused = true)]
async fn costs_users_and_credentials_are_looked_at() {
    let otlp_authorization = Some("Bearer t".to_owned());
    let sim = sim(Options { otlp_authorization, bodies: true, ..plain() });
    let priced = vec![
        attribute("llm.cost.total", AnyKind::Double(2.5e-7)),
        text("user.id", "u"),
        number("sequence", 4),
    ];
    let body = export(vec![span(1, "a", priced)]);
    assert_eq!(to_otlp(&sim, body.clone()).await.status(), 401);
    let headers = [("content-type", "application/x-protobuf"), ("authorization", "Bearer t")];
    assert_eq!(send(&sim, "/v1/traces", &headers, body).await.status(), 200);
    let event = &sim.events(Remote::Otlp)[0];
    assert_eq!(event.cost.as_deref(), Some("0.00000025"));
    assert_eq!((event.user.as_str(), event.sequence), ("u", Some(4)));
    let body = r#"{"llm.cost.total":2.5e-7,"sequence":4,"user.id":"u"}"#;
    assert_eq!(event.body.as_deref(), Some(body));
}
