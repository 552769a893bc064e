//! Langfuse's OTLP door, and what readers see of it.

use super::*;

fn observations(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|o| o["id"].as_str().unwrap()).collect()
}

type Headers<'a> = &'a [(&'a str, &'a str)];

async fn with(sim: &ObserveSim, headers: Headers<'_>, body: impl Into<Bytes>) -> (u16, Value) {
    let key = langfuse_key();
    let mut all = vec![("authorization", key.as_str())];
    all.extend(headers);
    said(&send(sim, TRACES, &all, body).await)
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

#[tokio::test(start_paused = true)]
async fn exports_are_answered_with_json_whatever_they_are() {
    let sim = sim(plain());
    let job = |id: u64| json!({"id": id.to_string(), "name": "otel-ingestion-job"});
    assert_eq!(with(&sim, &[PROTOBUF], named(&["a"])).await, (200, job(1)));
    let packed = ("content-encoding", "gzip");
    assert_eq!(with(&sim, &[PROTOBUF, packed], gzip(&named(&["a"]))).await, (200, job(2)));
    assert_eq!(with(&sim, &[JSON], export_json(&[])).await, (200, job(3)));
    assert_eq!(with(&sim, &[PROTOBUF], "").await, (200, json!({})), "nothing to store");
    let expected = Totals { accepted: 3, distinct: 2, duplicates: 1, out_of_order: 0, rejected: 0 };
    assert_eq!(sim.totals(Remote::Langfuse), expected);
}

#[tokio::test(start_paused = true)]
async fn one_bad_span_refuses_the_whole_export() {
    let sim = sim(Options { poison: vec!["bad".to_owned()], ..plain() });
    let mut short = span(2, "short", Vec::new());
    short.span_id.pop();
    let error = |text: &str| json!({"error": text});
    let invalid = |why: &str| {
        let message = format!("Invalid OTel spans: {why}");
        json!({"error": "InvalidRequestError", "message": message})
    };
    let good = || span(1, "good", Vec::new());
    let zstd = zstd::encode_all(&named(&["a"; 500])[..], 1).unwrap();
    let unreadable = || error("Failed to parse OTel Protobuf Trace");
    let cases: [(Headers<'_>, Vec<u8>, Value); 10] = [
        (&[PROTOBUF], export(vec![good(), short]), invalid("spanId: wrong_length")),
        (&[PROTOBUF], export(vec![good(), Span::default()]), invalid("traceId: absent")),
        (
            &[JSON],
            export_json(&[("traceId", json!("zz"))]).into(),
            invalid("traceId: wrong_length"),
        ),
        (
            &[JSON],
            export_json(&[("attributes", json!({}))]).into(),
            invalid("attributes: not an array"),
        ),
        (
            &[JSON],
            b"{\"resourceSpans\":[{\"scopeSpans\":7}]}".to_vec(),
            invalid("scopeSpans: not an array"),
        ),
        (&[PROTOBUF], vec![0xff], unreadable()),
        (&[PROTOBUF], named(&["good", "bad"]), unreadable()),
        (&[PROTOBUF, ("content-encoding", "zstd")], zstd, unreadable()),
        (
            &[PROTOBUF, ("content-encoding", "gzip")],
            named(&["a"]),
            error("Failed to decompress request body"),
        ),
        (&[("content-type", "text/plain")], named(&["a"]), error("Invalid content type")),
    ];
    for (headers, body, expected) in cases {
        assert_eq!(with(&sim, headers, body).await, (400, expected));
    }
    assert_eq!(with(&sim, &[JSON], "{").await, (400, error("Failed to parse OTel JSON Trace")));
    assert!(sim.events(Remote::Langfuse).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_ingestion_version_is_at_most_4_and_below_it_readers_wait() {
    let visible_after = Duration::from_secs(5);
    for (name, version, expected, seen_after) in [
        ("x-langfuse-ingestion-version", "4", 200, 5),
        ("x_langfuse_ingestion_version", "4", 200, 5),
        ("x-langfuse-ingestion-version", "3", 200, 605),
        ("x-other", "4", 200, 605),
        ("x-langfuse-ingestion-version", "5", 400, 0),
        ("x-langfuse-ingestion-version", "four", 400, 0),
    ] {
        let sim = sim(Options { visible_after, ..plain() });
        let (status, body) = with(&sim, &[PROTOBUF, (name, version)], named(&["a"])).await;
        assert_eq!(status, expected, "{name} {version}");
        if status == 400 {
            let message = format!(
                "Unsupported x-langfuse-ingestion-version: \"{version}\". Maximum supported: \"4\"."
            );
            assert_eq!(body, json!({"error": message}));
            continue;
        }
        tokio::time::sleep(Duration::from_secs(seen_after) - Duration::from_millis(1)).await;
        let path = "/api/public/v2/observations";
        assert!(observations(&get(&sim, path).await.1).is_empty(), "{name} {version}");
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(observations(&get(&sim, path).await.1), ["0000000000000001"]);
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_suspension_and_the_proxy_refuse_in_their_words() {
    let sim = sim(Options { body_max: Some(500), ..plain() });
    let said_to = async |authorization: &str| {
        let headers = [PROTOBUF, ("authorization", authorization)];
        said(&send(&sim, TRACES, &headers, named(&["a"])).await)
    };
    let wrong = "Invalid credentials. Confirm that you've configured the correct host.";
    let other = basic_header("pk-lf-simulated", "other");
    assert_eq!(said_to(&other).await, (401, json!({"message": wrong})));
    assert_eq!(said_to("Bearer x").await, (401, json!({"message": wrong})));
    let bare = said(&send(&sim, TRACES, &[PROTOBUF], named(&["a"])).await);
    assert_eq!(bare, (401, json!({"message": "No authorization header"})));
    let key = langfuse_key();
    let reply = send(&sim, TRACES, &[("authorization", &key)], vec![0; 501]).await;
    assert_eq!((reply.status().as_u16(), header_of(&reply, "content-type")), (413, "text/html"));
    sim.revoke_key();
    assert_eq!(said_to(&key).await.0, 401);
    let suspended = super::sim(Options { suspended: true, ..plain() });
    let (status, body) = to_langfuse(&suspended, named(&["a"])).await;
    assert_eq!((status, &body["error"]), (403, &json!("ForbiddenError")));
    let (status, _) = get(&suspended, TRACES).await;
    assert_eq!(status, 405);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_n_lets_n_less_one_pass_and_tells_four_headers() {
    let langfuse_rate = "5".parse().unwrap();
    let windows = windlass_sim::WindowKind::Sliding;
    let sim = sim(Options { langfuse_rate, windows, ..plain() });
    for _ in 0..4 {
        assert_eq!(to_langfuse(&sim, named(&["a"])).await.0, 200);
    }
    tokio::time::sleep(Duration::from_millis(29_500)).await;
    let key = langfuse_key();
    let reply = send(&sim, TRACES, &[("authorization", &key), PROTOBUF], named(&["a"])).await;
    let headers =
        ["retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
    assert_eq!(
        headers.map(|name| header_of(&reply, name)),
        ["31", "5", "0", "Sat Jan 31 2026 00:01:00 GMT+0000 (Coordinated Universal Time)"]
    );
    let details = json!({
        "retryAfterSeconds": 31, "limit": 5, "remaining": 0, "resetAt": "2026-01-31T00:01:00.000Z",
    });
    let body =
        json!({"message": "Rate limit exceeded", "code": "rate_limited", "details": details});
    assert_eq!(said(&reply), (429, body));
    // Reading has a limit of its own, and checking the keys has none.
    assert_eq!(get(&sim, "/api/public/projects").await.0, 200);
    assert_eq!(get(&sim, "/api/public/v2/observations").await.0, 200);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(to_langfuse(&sim, named(&["a"])).await.0, 200);
    assert_eq!(
        "hobby".parse(),
        Ok(LangfuseRate { ingestion: Some(1_000), legacy: Some(100), api: Some(30) })
    );
}

#[tokio::test(start_paused = true)]
async fn health_and_projects_are_what_clients_check() {
    let sim = sim(plain());
    let health = Request::builder().uri("/api/public/health").body(Bytes::new()).unwrap();
    let health = said(&sim.call(health).await.unwrap());
    assert_eq!(health, (200, json!({"status": "OK", "version": "4.0.0"})));
    let (status, projects) = get(&sim, "/api/public/projects").await;
    let expected = json!({
        "id": "project-simulated", "name": "Simulated", "metadata": {},
        "organization": {"id": "organization-simulated", "name": "Simulated"},
    });
    assert_eq!((status, &projects["data"][0]), (200, &expected));
}

async fn read_back(attributes: Vec<KeyValue>) -> Value {
    let sim = sim(Options { bodies: true, ..plain() });
    let mut whole = span(1, "chat", attributes);
    whole.parent_span_id = vec![0, 0, 0, 0, 0, 0, 0, 9];
    to_langfuse(&sim, export(vec![whole])).await;
    let fields = "core,basic,time,io,metadata,model,usage,prompt,metrics,trace_context";
    let (status, page) = get(&sim, &format!("/api/public/v2/observations?fields={fields}")).await;
    assert_eq!(status, 200);
    page["data"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn attributes_of_langfuse_are_read_back_word_for_word() {
    let read = read_back(vec![
        text("langfuse.observation.type", "generation"),
        text("langfuse.observation.model.name", "gpt-4o"),
        text("gen_ai.request.model", "other"),
        text("langfuse.observation.usage_details", "{\"input\":100,\"output\":50,\"my_key\":3}"),
        text("langfuse.observation.cost_details", "{\"input\":0.0025,\"output\":0.00500}"),
        text("langfuse.observation.input", "hello"),
        text("langfuse.observation.level", "WARNING"),
        text("langfuse.observation.metadata.team", "red"),
        text("langfuse.trace.tags", "[\"a\",\"b\"]"),
        text("langfuse.trace.name", "trace"),
        text("langfuse.user.id", "u"),
        text("gen_ai.conversation.id", "s"),
        text("langfuse.observation.completion_start_time", "\"2026-01-31T00:00:01.100Z\""),
        text("langfuse.observation.prompt.name", "p"),
        number("langfuse.observation.prompt.version", 2),
    ])
    .await;
    let expected = json!({
        "id": "0000000000000001", "traceId": TRACE, "parentObservationId": "0000000000000009",
        "startTime": "2026-01-31T00:00:01.000Z", "endTime": "2026-01-31T00:00:01.250Z",
        "projectId": "project-simulated", "type": "GENERATION", "name": "chat",
        "level": "WARNING", "statusMessage": null, "version": null, "environment": "staging",
        "bookmarked": false, "public": false, "userId": "u", "sessionId": "s",
        "tags": ["a", "b"], "release": null, "traceName": "trace",
        "completionStartTime": "2026-01-31T00:00:01.100Z", "providedModelName": "gpt-4o",
        "modelParameters": {}, "promptName": "p", "promptVersion": 2,
        "input": "hello", "output": null,
        "metadata": {
            "resourceAttributes": {"deployment.environment": "Staging"}, "scopeAttributes": {},
            "scope": {"name": "app", "version": ""}, "team": "red",
        },
        "latency": 0.25, "timeToFirstToken": 0.1,
        "usageDetails": {"input": 100, "output": 50, "my_key": 3},
        "costDetails": {"input": 0.0025, "output": 0.005}, "totalCost": 0.0075,
    });
    assert_eq!(read, expected);
}

#[tokio::test(start_paused = true)]
async fn usage_of_the_conventions_becomes_disjoint() {
    let read = read_back(vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.request.model", "asked"),
        text("gen_ai.response.model", "answered"),
        number("gen_ai.usage.input_tokens", 1_000),
        number("gen_ai.usage.output_tokens", 500),
        number("gen_ai.usage.cache_read.input_tokens", 600),
        number("gen_ai.usage.cache_creation.input_tokens", 100),
        number("gen_ai.usage.reasoning.output_tokens", 200),
        number("gen_ai.usage.reasoning_tokens", 200),
        attribute("gen_ai.usage.cost", AnyKind::Double(0.008955)),
    ])
    .await;
    assert_eq!(
        read["usageDetails"],
        json!({
            "input": 300, "output": 300, "input_cached_tokens": 600, "input_cache_creation": 100,
            "output_reasoning_tokens": 200, "reasoning_tokens": 200,
        })
    );
    assert_eq!(
        (&read["providedModelName"], &read["type"]),
        (&json!("answered"), &json!("GENERATION"))
    );
    assert_eq!((&read["totalCost"], &read["level"]), (&json!(0.008955), &json!("DEFAULT")));
    let inference = read_back(vec![
        text("openinference.span.kind", "LLM"),
        text("llm.model_name", "m"),
        number("llm.token_count.prompt", 10),
        number("llm.token_count.prompt_details.cache_read", 20),
        number("llm.token_count.total", 12),
    ])
    .await;
    let expected = json!({"input": 0, "input_cached_tokens": 20, "total": 12});
    assert_eq!((&inference["usageDetails"], &inference["type"]), (&expected, &json!("GENERATION")));
    let unpriced = (&inference["costDetails"], &inference["totalCost"]);
    assert_eq!(unpriced, (&json!({}), &json!(null)), "nothing is computed here");
    let plain = read_back(vec![text("deployment.environment.name", "Caf\u{e9}")]).await;
    let typed = (&plain["type"], &plain["environment"], &plain["usageDetails"]);
    assert_eq!(typed, (&json!("SPAN"), &json!("default"), &json!({})));
}

#[tokio::test(start_paused = true)]
async fn pages_go_from_the_newest_to_the_oldest_with_a_cursor() {
    let sim = sim(plain());
    let spans = (1..=2_500).map(|id| span(id, if id % 5 == 0 { "x" } else { "y" }, Vec::new()));
    to_langfuse(&sim, export(spans.collect())).await;
    let mut all = Vec::new();
    let mut sizes = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/public/v2/observations?limit=1000&cursor={cursor}");
        let (_, page) = get(&sim, &path.replace('+', "%2B").replace("==", "%3D%3D")).await;
        let ids = observations(&page).into_iter().map(|id| u64::from_str_radix(id, 16).unwrap());
        all.extend(ids);
        sizes.push(page["data"].as_array().unwrap().len());
        match page["meta"]["cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(sizes, [1_000, 1_000, 500]);
    assert!(all.iter().rev().copied().eq(1..=2_500));
    let (_, page) = get(&sim, "/api/public/v2/observations?name=x").await;
    assert_eq!(observations(&page).len(), 50);
    assert_eq!(page["data"][0].get("usageDetails"), None, "core and basic where nobody asks");
    let from = "2026-01-31T00%3A41%3A40Z";
    let (_, page) = get(&sim, &format!("/api/public/v2/observations?fromStartTime={from}")).await;
    assert_eq!(observations(&page), ["00000000000009c4"]);
    for wrong in ["limit=1001", "limit=0", "cursor=x", "unknown=1", "fromStartTime=x"] {
        let path = format!("/api/public/v2/observations?{wrong}");
        assert_eq!(get(&sim, &path).await.0, 400, "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_span_that_comes_again_replaces_itself() {
    let sim = sim(plain());
    to_langfuse(&sim, export(vec![span(1, "first", vec![text("user.id", "u")])])).await;
    to_langfuse(&sim, export(vec![span(1, "second", Vec::new())])).await;
    let (_, page) = get(&sim, "/api/public/v2/observations").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    let seen = (&page["data"][0]["name"], &page["data"][0]["userId"]);
    assert_eq!(seen, (&json!("second"), &json!(null)));
    assert_eq!(sim.events(Remote::Langfuse)[0].times, 2);
}

#[tokio::test(start_paused = true)]
async fn metrics_are_sums_without_the_dust_of_fractions() {
    let sim = sim(plain());
    let priced = |model: &str| {
        vec![
            text("langfuse.observation.model.name", model),
            text("langfuse.observation.usage_details", "{\"input\":10,\"output\":5}"),
            text("langfuse.observation.cost_details", "{\"total\":0.1}"),
        ]
    };
    let spans = (1..=3).map(|id| span(id, "chat", priced(if id < 3 { "a" } else { "b" })));
    to_langfuse(&sim, export(spans.chain([span(9, "plain", Vec::new())]).collect())).await;
    let query = "%7B%22view%22:%22observations%22,\
        %22dimensions%22:[%7B%22field%22:%22providedModelName%22%7D],\
        %22metrics%22:[%7B%22measure%22:%22totalCost%22,%22aggregation%22:%22sum%22%7D,\
        %7B%22measure%22:%22count%22,%22aggregation%22:%22count%22%7D,\
        %7B%22measure%22:%22totalTokens%22,%22aggregation%22:%22sum%22%7D]%7D";
    let (status, body) = get(&sim, &format!("/api/public/v2/metrics?query={query}")).await;
    let expected = json!([
        {"providedModelName": null, "sum_totalCost": 0, "count_count": 1, "sum_totalTokens": 0},
        {"providedModelName": "a", "sum_totalCost": 0.2, "count_count": 2, "sum_totalTokens": 30},
        {"providedModelName": "b", "sum_totalCost": 0.1, "count_count": 1, "sum_totalTokens": 15},
    ]);
    assert_eq!((status, &body["data"]), (200, &expected));
    assert_eq!(get(&sim, "/api/public/v2/metrics").await.0, 400);
}
