use super::samples::{json_request, plain_span, request};
use crate::observe::otlp::json::to_protobuf;
use crate::observe::otlp::request::ExportRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::*;
use prost::Message;
use serde_json::json;

proptest! {
    #[test]
    fn json_becomes_the_same_request(request in request()) {
        let json = json_request(&request).to_string();
        let (bytes, refused) = to_protobuf(json.as_bytes()).unwrap();
        prop_assert_eq!(refused.count, 0);
        prop_assert_eq!(ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap(), request);
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
        json in "[\\[{\":,}\\] a-e0-9.]{0,60}",
    ) {
        let _either = to_protobuf(&bytes);
        let _either = to_protobuf(json.as_bytes());
        let around = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":{json}}}]}}]}}"#);
        let _either = to_protobuf(around.as_bytes());
    }
}

/// The spans of a request with these spans in JSON, and why others were refused.
fn spans(json: &str) -> (Vec<Span>, u64, String) {
    let around = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{json}]}}]}}]}}"#);
    let (bytes, refused) = to_protobuf(around.as_bytes()).unwrap();
    let mut request = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
    let spans = request.resource_spans.remove(0).scope_spans.remove(0).spans;
    (spans, refused.count, refused.reason)
}

#[test]
fn a_request_of_the_javascript_exporter_is_read() {
    let (spans, ..) = spans(
        r#"{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331",
        "name":"chat","kind":3,"startTimeUnixNano":"1763740000000000001",
        "endTimeUnixNano":"1763740001000000000","attributes":[
        {"key":"gen_ai.usage.input_tokens","value":{"intValue":12}},
        {"key":"d","value":{"doubleValue":0.25}},{"key":"w","value":{"doubleValue":3}}],
        "droppedAttributesCount":0,"events":[],"droppedEventsCount":0,"status":{"code":0},
        "links":[],"droppedLinksCount":0,"flags":257}"#,
    );
    let span = &spans[0];
    assert_eq!(span.trace_id[..3], [0x0a, 0xf7, 0x65]);
    assert_eq!(span.start_time_unix_nano, 1_763_740_000_000_000_001);
    assert_eq!(span.flags, 257);
    let values = span.attributes.iter().map(|entry| entry.value.clone().unwrap().value.unwrap());
    assert_eq!(
        values.collect::<Vec<_>>(),
        [Value::IntValue(12), Value::DoubleValue(0.25), Value::DoubleValue(3.0)]
    );
}

#[test]
fn numbers_come_in_many_ways() {
    let value = |json: &str| {
        let (spans, count, reason) =
            spans(&format!(r#"{{"attributes":[{{"key":"k","value":{json}}}]}}"#));
        match spans.first() {
            Some(span) => Ok(span.attributes[0].value.clone().unwrap().value),
            None => Err((count, reason)),
        }
    };
    assert_eq!(
        value(r#"{"intValue":"-9223372036854775808"}"#),
        Ok(Some(Value::IntValue(i64::MIN)))
    );
    assert_eq!(value(r#"{"intValue":5.0}"#), Ok(Some(Value::IntValue(5))));
    assert_eq!(value(r#"{"intValue":1e3}"#), Ok(Some(Value::IntValue(1000))));
    assert_eq!(
        value(r#"{"doubleValue":"-Infinity"}"#),
        Ok(Some(Value::DoubleValue(f64::NEG_INFINITY)))
    );
    assert_eq!(value(r#"{"doubleValue":"1.5"}"#), Ok(Some(Value::DoubleValue(1.5))));
    assert_eq!(value(r#"{"bytesValue":"_-8="}"#), Ok(Some(Value::BytesValue(vec![255, 239]))));
    assert_eq!(value(r#"{"string_value":"x"}"#), Ok(None));
    assert_eq!(value("{}"), Ok(None));
    let refused = |json: &str| value(json).unwrap_err().0;
    assert_eq!(refused(r#"{"intValue":1.5}"#), 1);
    assert_eq!(refused(r#"{"intValue":"x"}"#), 1);
    assert_eq!(refused(r#"{"stringValue":{}}"#), 1);
    assert_eq!(refused(r#"{"bytesValue":"?"}"#), 1);
}

#[test]
fn a_bad_span_in_json_is_refused_alone() {
    let (spans, count, reason) = spans(
        r#"{"name":"a"},{"name":7},{"traceId":"xyz"},17,null,
        {"name":"b","kind":"SPAN_KIND_CLIENT"}"#,
    );
    assert_eq!(spans.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(spans[1].kind, 3);
    assert_eq!(count, 4);
    assert!(
        reason.starts_with("the span cannot be read: a number cannot be the value of `name`"),
        "{reason}"
    );
}

#[test]
fn half_a_character_costs_no_span() {
    let (spans, count, _) = spans(r#"{"name":"cut \ud83d"}"#);
    assert_eq!((spans[0].name.as_str(), count), ("cut \u{fffd}", 0));
}

#[test]
fn what_is_no_request_is_an_error() {
    for body in ["", "[]", "7", "{", r#"{"resourceSpans":{}}"#, "{}x", r#"{"resourceSpans":[1]}"#] {
        assert!(to_protobuf(body.as_bytes()).is_err(), "{body}");
    }
    assert_eq!(to_protobuf(b"{}").unwrap().0, b"");
    assert_eq!(to_protobuf(br#"{"resourceSpans":null}"#).unwrap().0, b"");
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = |levels: usize| {
        let (open, close) = (r#"{"kvlistValue":{"values":[{"value":"#, "}]}}");
        format!(
            r#"{{"attributes":[{{"key":"k","value":{}{{"intValue":1}}{}}}]}}"#,
            open.repeat(levels),
            close.repeat(levels)
        )
    };
    assert_eq!(spans(&deep(30)).1, 0);
    assert_eq!(spans(&deep(60)).1, 1);
    assert_eq!(spans(&deep(100_000)).1, 1);
    // Empty objects stay as small as they are.
    let many = format!(r#"{{"attributes":[{}{{}}]}}"#, "{},".repeat(100_000));
    let around = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{many}]}}]}}]}}"#);
    let (bytes, _) = to_protobuf(around.as_bytes()).unwrap();
    assert!(bytes.len() < 200_100, "{}", bytes.len());
}

#[test]
fn decoded_json_goes_on_as_protobuf() {
    let span = super::samples::json_span(&plain_span(7, 9));
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span, {"name": "no ids"}]}]}]});
    let (bytes, _) = to_protobuf(body.to_string().as_bytes()).unwrap();
    let request = ExportRequest::parse(&bytes, 10).unwrap();
    assert_eq!(request.spans[0].1.trace_id, [7; 16]);
    assert_eq!(request.refused.count, 1);
}
