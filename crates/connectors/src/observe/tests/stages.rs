//! What the stages between a door and the queue do.

use super::rig::{Rig, SpanSpec, envelopes, messages, spans};
use crate::observe::otlp::rewrite::Added;
use crate::observe::pipeline::Answer;
use crate::observe::sim::Remote;
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn status(rig: &Rig) -> crate::observe::status::Status {
    rig.running.status()
}

#[tokio::test(start_paused = true)]
async fn the_trace_shows_the_cost_that_the_row_has() {
    let mut rig = Rig::new(&[], "").await;
    let mut stated = SpanSpec::generation(2, 2);
    stated.attributes.push(("gen_ai.usage.cost", Added::Double(9.0)));
    rig.take(spans(&[SpanSpec::generation(1, 1), stated])).await;
    rig.start();
    rig.delivered(HOUR).await;
    for remote in [Remote::Langfuse, Remote::Otlp] {
        for span in rig.sim.events(remote) {
            assert_eq!(span.cost.as_deref(), Some("0.0075"), "{remote:?} {span:?}");
        }
    }
    let cost = status(&rig).costs["gpt-4o"];
    assert_eq!((cost.events, cost.cost_pico, cost.input_tokens), (2, 15_000_000_000, 2_000));
}

#[tokio::test(start_paused = true)]
async fn a_trace_is_kept_or_left_out_whole() {
    let sampling = "sampling = { rate = 0.2, keep-errors = false }";
    let mut rig = Rig::new(&[], sampling).await;
    // Each request has a part of many traces.
    for part in 0..4 {
        let all: Vec<SpanSpec> =
            (0..500).map(|trace| SpanSpec::new(trace, trace * 4 + part)).collect();
        rig.take(spans(&all)).await;
    }
    rig.start();
    rig.delivered(HOUR).await;
    let mut by_trace = std::collections::BTreeMap::<String, u32>::new();
    for span in rig.sim.events(Remote::Langfuse) {
        *by_trace.entry(span.trace_id).or_default() += 1;
    }
    assert!(by_trace.values().all(|&count| count == 4));
    assert!((60..140).contains(&by_trace.len()), "{}", by_trace.len());
    let counts = status(&rig).events;
    assert_eq!(counts.sampled_out, 2_000 - 4 * by_trace.len() as u64);
    assert_eq!(counts.in_progress(), 0);
}

#[tokio::test(start_paused = true)]
async fn tail_rules_keep_slow_failed_and_expensive_traces_whole() {
    let sampling = "sampling = { rate = 0.0, keep-slower-than = \"1s\", \
                    keep-above-usd = \"0.01\", decision-wait = \"5s\" }";
    let mut rig = Rig::new(&[], sampling).await;
    let slow = SpanSpec { duration_ms: 1_001, ..SpanSpec::new(1, 11) };
    let failed = SpanSpec { is_error: true, ..SpanSpec::new(2, 21) };
    let first = [SpanSpec::new(1, 10), SpanSpec::new(2, 20), SpanSpec::generation(3, 30)];
    rig.take(spans(&first)).await;
    rig.take(spans(&[SpanSpec::new(4, 40), SpanSpec::generation(5, 50)])).await;
    rig.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.sim.totals(Remote::Langfuse).distinct, 0, "nothing is decided yet");
    rig.take(spans(&[slow, failed, SpanSpec::generation(3, 31)])).await;
    rig.delivered(HOUR).await;
    // A late span of a trace that was kept, and one of a trace that was not.
    rig.take(spans(&[SpanSpec::new(1, 12), SpanSpec::new(4, 41)])).await;
    rig.delivered(HOUR).await;
    let mut names: Vec<_> =
        rig.sim.events(Remote::Langfuse).into_iter().map(|one| one.id).collect();
    names.sort();
    let expected = [10_u64, 11, 12, 20, 21, 30, 31].map(|span| format!("{:016x}", span + 1));
    assert_eq!(names, expected);
    let held = status(&rig).held;
    assert_eq!((held.traces_kept, held.traces_out, held.spans_out), (3, 2, 3));
}

#[tokio::test(start_paused = true)]
async fn parts_of_observations_become_spans() {
    let mut rig = Rig::new(&["--bodies"], "").await;
    let trace = json!({"id": "e-1", "type": "trace-create", "timestamp": "2026-01-01T00:00:00Z",
        "body": {"id": "trace-a", "name": "answer", "userId": "ann"}});
    let create = json!({"id": "e-2", "type": "generation-create",
        "timestamp": "2026-01-01T00:00:01Z",
        "body": {"id": "gen-a", "traceId": "trace-a", "name": "chat", "model": "gpt-4o",
            "startTime": "2026-01-01T00:00:01Z"}});
    let update = json!({"id": "e-3", "type": "generation-update",
        "timestamp": "2026-01-01T00:00:02Z",
        "body": {"id": "gen-a", "traceId": "trace-a", "endTime": "2026-01-01T00:00:02Z",
            "usage": {"input": 1000, "output": 500}}});
    let score = json!({"id": "e-4", "type": "score-create", "timestamp": "2026-01-01T00:00:03Z",
        "body": {"id": "s-1", "traceId": "trace-a", "name": "good", "value": 1}});
    rig.start();
    rig.take(envelopes(&json!([score, trace, create]))).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    rig.take(envelopes(&json!([update, create]))).await;
    rig.delivered(HOUR).await;
    let spans = rig.sim.events(Remote::Langfuse);
    assert_eq!(spans.len(), 2, "the trace's root and the generation: {spans:?}");
    let generation = spans.iter().find(|span| span.name == "chat").unwrap();
    assert_eq!((generation.times, generation.cost.as_deref()), (1, Some("0.0075")));
    assert!(spans.iter().all(|span| span.times == 1 && span.user == "ann"), "{spans:?}");
    assert_eq!(rig.sim.scores().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn personal_data_is_hidden_before_anything_is_on_disk() {
    let mut rig = Rig::new(&["--bodies"], "[[masks]]\nbuiltin = \"email\"\n").await;
    let mut span = SpanSpec::new(1, 1);
    span.attributes.push(("input.value", Added::Text("write to ann@example.com now")));
    rig.take(spans(&[span])).await;
    let mut arrival = messages(0..1, 1);
    arrival.drafts[0].body = br#"{"type":"track","messageId":"m-0","userId":"u",
        "event":"e","properties":{"mail":"bob@example.com"}}"#
        .to_vec();
    rig.take(arrival).await;
    for part in ["queue", "held"] {
        for file in std::fs::read_dir(rig.folder.path().join(part)).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(12).any(|part| part == b"@example.com"));
        }
    }
    rig.start();
    rig.delivered(HOUR).await;
    let bodies: Vec<String> = [Remote::Otlp, Remote::Rudder]
        .into_iter()
        .flat_map(|remote| rig.sim.events(remote))
        .filter_map(|event| event.body)
        .collect();
    assert_eq!(bodies.len(), 2);
    assert!(bodies.iter().all(|body| body.contains("[email]")), "{bodies:?}");
    assert_eq!(status(&rig).masks["email"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_request_changes_nothing() {
    let mut rig = Rig::new(&[], "").await;
    for _ in 0..3 {
        rig.take(messages(0..10, 2)).await;
        rig.take(spans(&[SpanSpec::new(1, 1)])).await;
    }
    rig.start();
    rig.delivered(HOUR).await;
    let counts = status(&rig).events;
    assert_eq!((counts.received, counts.stored, counts.duplicates), (33, 11, 22));
    assert_eq!(rig.sim.totals(Remote::Rudder).accepted, 10);
    assert_eq!(rig.sim.totals(Remote::Langfuse).accepted, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_tells_the_client_to_come_again() {
    let rig = Rig::new(&[], "queue = { bytes = \"1MiB\" }").await;
    let mut answers = Vec::new();
    for start in (0..20_000).step_by(500) {
        answers.push(rig.take(messages(start..start + 500, 5)).await.answer);
    }
    assert_eq!(answers[0], Answer::Taken);
    let busy = Answer::Busy { retry_after: Duration::from_secs(2) };
    assert_eq!(answers.last(), Some(&busy));
    let counts = status(&rig).events;
    assert_eq!(counts.in_progress(), 0);
    assert_eq!(counts.stored + counts.shed, 20_000);
}

#[tokio::test(start_paused = true)]
async fn budgets_refuse_drop_and_flag() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    let text = "[[policies]]\nname = \"budget\"\ntype = \"cost\"\nlimit = \"0.0075\"\n\
        period = \"1d\"\naction = \"refuse\"\nmessage = \"the budget is used up\"\n\
        [[policies]]\nname = \"seen\"\nconditions = [{ key = \"model\", value = \"gpt-*\" }]\n\
        action = \"flag\"\n";
    std::fs::write(&policies, text).unwrap();
    let settings = format!("policies = {:?}", policies.display().to_string());
    let mut rig = Rig::new(&["--bodies"], &settings).await;
    let first = rig.take(spans(&[SpanSpec::generation(1, 1)])).await;
    assert_eq!(first.answer, Answer::Taken);
    let second = rig.take(spans(&[SpanSpec::generation(2, 2)])).await;
    match second.answer {
        Answer::Limited { message, .. } => assert_eq!(message, "the budget is used up"),
        other => panic!("{other:?}"),
    }
    rig.start();
    rig.delivered(HOUR).await;
    let sent = rig.sim.events(Remote::Otlp);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].body.as_deref().unwrap().contains("seen"), "{sent:?}");
    assert_eq!(status(&rig).events.refused, 1);
}
