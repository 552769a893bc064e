//! Spans and generations as an OTLP receiver reads them.

use crate::server::{OK, Reply, Server};
use crate::{LONG, checked};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;
use std::collections::HashSet;
use std::time::Duration;
use windlass_observe::{Builder, Recorder};

fn traces(server: &Server) -> Builder {
    Recorder::to(&server.url).keys("pk", "sk").linger(Duration::from_millis(5))
}

fn exports(server: &Server) -> Vec<ResourceSpans> {
    let decode = |body: &[u8]| ExportTraceServiceRequest::decode(body).unwrap().resource_spans;
    server.requests().iter().flat_map(|request| decode(&request.body)).collect()
}

fn spans(server: &Server) -> Vec<Span> {
    let scopes = exports(server).into_iter().flat_map(|export| export.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

fn find<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a Value> {
    let mut found = attributes.iter().filter(|attribute| attribute.key == name);
    let value = found.next().and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    assert_eq!(found.count(), 0, "{name} is there once");
    value
}

fn text(span: &Span, name: &str) -> Option<String> {
    match find(&span.attributes, name)? {
        Value::StringValue(text) => Some(text.clone()),
        other => panic!("{name} is {other:?}"),
    }
}

fn whole(span: &Span, name: &str) -> Option<i64> {
    match find(&span.attributes, name)? {
        Value::IntValue(whole) => Some(*whole),
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn a_trace_arrives_with_its_tree_its_times_and_its_tokens() {
    let server = Server::start(|_, _| OK);
    let settings = traces(&server).environment("production").service("answers").release("7");
    let recorder = settings.start().unwrap();
    let mut answer = recorder.span("answer").user("user-1").session("s-1").input("why?");
    let mut retrieve = answer.child("retrieve");
    retrieve.error("index is away").error("not counted");
    let traceparent = retrieve.traceparent().unwrap();
    retrieve.end();
    let mut chat = answer.generation("chat").model("gpt-4o").provider("openai").input("why?");
    chat.usage(1000, 500).cached(600, 100).reasoning(50).response_model("gpt-4o-2024-08-06");
    chat.output("because");
    chat.end();
    answer.output("because").attribute("documents", 3).attribute("share", 0.5);
    drop(answer);
    assert!(recorder.flush(LONG));

    let spans = spans(&server);
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["retrieve", "chat", "answer"]);
    let [retrieve, chat, answer] = &spans[..] else { panic!() };
    assert!(spans.iter().all(|span| span.trace_id == answer.trace_id && span.span_id.len() == 8));
    assert_eq!((answer.trace_id.len(), answer.parent_span_id.len()), (16, 0));
    assert_eq!(retrieve.parent_span_id, answer.span_id);
    assert_eq!(chat.parent_span_id, answer.span_id);
    assert!(spans.iter().all(|span| span.end_time_unix_nano >= span.start_time_unix_nano));
    assert!(chat.start_time_unix_nano >= retrieve.end_time_unix_nano);
    assert!(answer.end_time_unix_nano >= chat.end_time_unix_nano);
    assert_eq!((answer.kind, chat.kind, answer.flags), (1, 3, 3));
    let hex: String = retrieve.span_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(traceparent.starts_with("00-") && traceparent.ends_with(&format!("-{hex}-01")));

    for span in &spans {
        assert_eq!(text(span, "user.id").as_deref(), Some("user-1"));
        assert_eq!(text(span, "session.id").as_deref(), Some("s-1"));
    }
    let status = retrieve.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "index is away"));
    assert_eq!(text(retrieve, "langfuse.observation.level").as_deref(), Some("ERROR"));
    assert_eq!(answer.status, None);
    assert_eq!(text(chat, "langfuse.observation.type").as_deref(), Some("generation"));
    assert_eq!(text(chat, "gen_ai.request.model").as_deref(), Some("gpt-4o"));
    assert_eq!(text(chat, "gen_ai.response.model").as_deref(), Some("gpt-4o-2024-08-06"));
    assert_eq!(text(chat, "gen_ai.provider.name").as_deref(), Some("openai"));
    assert_eq!(text(chat, "langfuse.observation.output").as_deref(), Some("because"));
    assert_eq!(whole(chat, "gen_ai.usage.input_tokens"), Some(1000));
    assert_eq!(whole(chat, "gen_ai.usage.output_tokens"), Some(500));
    assert_eq!(whole(chat, "gen_ai.usage.cache_read.input_tokens"), Some(600));
    assert_eq!(whole(chat, "gen_ai.usage.cache_creation.input_tokens"), Some(100));
    assert_eq!(whole(chat, "gen_ai.usage.reasoning.output_tokens"), Some(50));
    assert_eq!(find(&answer.attributes, "share"), Some(&Value::DoubleValue(0.5)));

    let export = &exports(&server)[0];
    let resource = &export.resource.as_ref().unwrap().attributes;
    let production = Value::StringValue("production".to_owned());
    assert_eq!(find(resource, "langfuse.environment"), Some(&production));
    assert_eq!(find(resource, "deployment.environment.name"), Some(&production));
    assert_eq!(find(resource, "service.name"), Some(&Value::StringValue("answers".to_owned())));
    let scope = export.scope_spans[0].scope.as_ref().unwrap();
    assert_eq!(scope.name, "windlass-observe");
    let request = &server.requests()[0];
    assert_eq!(request.path, "/v1/traces");
    assert_eq!(request.header("authorization"), Some("Basic cGs6c2s="));
    assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
}

#[test]
fn a_share_of_traces_is_kept_and_each_is_whole() {
    let server = Server::start(|_, _| OK);
    let recorder = traces(&server).sample(0.25).start().unwrap();
    for _ in 0..4000 {
        let root = recorder.span("root");
        root.child("first").end();
        root.generation("second").end();
    }
    assert!(recorder.flush(LONG));
    let spans = spans(&server);
    let ids: HashSet<_> = spans.iter().map(|span| span.trace_id.clone()).collect();
    // A quarter of 4,000 is 1,000 with a standard deviation of 27.
    assert!((840..1160).contains(&ids.len()), "{} traces", ids.len());
    assert_eq!(spans.len(), 3 * ids.len());
    assert!(spans.iter().all(|span| span.trace_state == "ot=th:c"));
    // Of the lowest 56 bits, those above three quarters are kept.
    assert!(ids.iter().all(|id| id[9] >= 0xc0));
    assert_eq!(checked(recorder.stats()).recorded, spans.len() as u64);
}

#[test]
fn rejected_spans_of_an_answer_are_counted() {
    let partial = ExportTracePartialSuccess { rejected_spans: 2, error_message: "two".to_owned() };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let server = Server::start(move |_, _| Reply::Answer(200, "", answer.clone()));
    let recorder = traces(&server).linger(Duration::from_secs(60)).start().unwrap();
    (0..5).for_each(|_| recorder.span("s").end());
    assert!(recorder.flush(LONG));
    let stats = checked(recorder.stats());
    assert_eq!((stats.sent, stats.refused), (3, 2));
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let server = Server::start(|_, _| OK);
    let recorder = traces(&server).text_bytes(10).start().unwrap();
    recorder.span("s").input("ääääääää").end();
    assert!(recorder.flush(LONG));
    let input = text(&spans(&server)[0], "langfuse.observation.input");
    assert_eq!(input.as_deref(), Some("äääää"));
}

#[test]
fn a_panic_ends_a_span_as_an_error() {
    let server = Server::start(|_, _| OK);
    let recorder = traces(&server).start().unwrap();
    let clone = recorder.clone();
    let panicked = std::thread::spawn(move || {
        let _span = clone.span("doomed");
        panic!("as the test wants it");
    });
    assert!(panicked.join().is_err());
    assert!(recorder.flush(LONG));
    assert_eq!(spans(&server)[0].status.as_ref().map(|status| status.code), Some(2));
}

#[test]
fn spans_outlive_their_recorder() {
    let server = Server::start(|_, _| OK);
    let recorder = traces(&server).linger(Duration::from_secs(60)).start().unwrap();
    let span = recorder.span("late");
    drop(recorder);
    std::thread::spawn(move || span.end()).join().unwrap();
    assert_eq!(spans(&server).len(), 1);
}
