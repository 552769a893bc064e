//! Arbitrary requests as the generated code knows them, and their JSON.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

pub fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

pub fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

pub fn plain_span(trace: u8, span: u8) -> Span {
    Span { trace_id: vec![trace; 16], span_id: vec![span; 8], ..Span::default() }
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        ".{0,12}".prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|value| Some(Value::BoolValue(value))),
        any::<i64>().prop_map(|value| Some(Value::IntValue(value))),
        any::<i32>().prop_map(|part| Some(Value::DoubleValue(f64::from(part) / 256.0))),
        vec(any::<u8>(), 0..9).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| AnyValue {
                value: Some(Value::ArrayValue(ArrayValue { values }))
            }),
            vec(("[a-z.]{0,9}", inner), 0..4).prop_map(|entries| {
                let values = entries
                    .into_iter()
                    .map(|(key, value)| KeyValue { key, value: Some(value), ..Default::default() })
                    .collect();
                AnyValue { value: Some(Value::KvlistValue(KeyValueList { values })) }
            }),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(("[a-z._]{0,20}", any_value()), 0..5).prop_map(|entries| {
        entries
            .into_iter()
            .map(|(key, value)| KeyValue { key, value: Some(value), ..Default::default() })
            .collect()
    })
}

fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255u8, length)
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), ".{0,8}", attributes(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (id(16), id(8), "[a-z=]{0,6}", attributes(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, flags)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count: flags / 3,
            flags,
        },
    )
}

pub fn span() -> impl Strategy<Value = Span> {
    let ids = (id(16), id(8), prop_oneof![Just(Vec::new()), id(8)]);
    let parts = (attributes(), vec(event(), 0..3), vec(link(), 0..2));
    let status = proptest::option::of((".{0,10}", 0..3i32));
    let rest = (".{0,10}", 0..6i32, any::<u64>(), any::<u64>(), any::<u32>(), "[a-z=]{0,6}");
    (ids, parts, status, rest).prop_map(|(ids, parts, status, rest)| Span {
        trace_id: ids.0,
        span_id: ids.1,
        parent_span_id: ids.2,
        attributes: parts.0,
        events: parts.1,
        links: parts.2,
        status: status.map(|(message, code)| Status { message, code }),
        name: rest.0,
        kind: rest.1,
        start_time_unix_nano: rest.2,
        end_time_unix_nano: rest.3,
        flags: rest.4,
        trace_state: rest.5,
        dropped_attributes_count: rest.4 / 2,
        dropped_events_count: rest.4 / 5,
        dropped_links_count: rest.4 / 7,
    })
}

pub fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = (".{0,8}", "[0-9.]{0,4}", attributes(), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    );
    let scope_spans = (proptest::option::of(scope), vec(span(), 0..4), "[a-z:/]{0,9}")
        .prop_map(|(scope, spans, schema_url)| ScopeSpans { scope, spans, schema_url });
    let resource = attributes().prop_map(|attributes| Resource {
        attributes,
        dropped_attributes_count: 3,
        entity_refs: Vec::new(),
    });
    let resource_spans = (proptest::option::of(resource), vec(scope_spans, 0..3), "[a-z:/]{0,9}")
        .prop_map(|(resource, scope_spans, schema_url)| ResourceSpans {
            resource,
            scope_spans,
            schema_url,
        });
    vec(resource_spans, 0..3)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn json_value(value: &AnyValue) -> Json {
    use base64::Engine;
    match &value.value {
        None => json!({}),
        Some(Value::StringValue(text)) => json!({ "stringValue": text }),
        Some(Value::BoolValue(value)) => json!({ "boolValue": value }),
        // Even numbers as a number, odd ones as a string: both are met.
        Some(Value::IntValue(value)) if value % 2 == 0 => json!({ "intValue": value }),
        Some(Value::IntValue(value)) => json!({ "intValue": value.to_string() }),
        Some(Value::DoubleValue(value)) => json!({ "doubleValue": value }),
        Some(Value::ArrayValue(list)) => {
            let values: Vec<_> = list.values.iter().map(json_value).collect();
            json!({"arrayValue": {"values": values}})
        }
        Some(Value::KvlistValue(map)) => {
            json!({"kvlistValue": {"values": json_attributes(&map.values)}})
        }
        Some(Value::BytesValue(bytes)) => {
            json!({ "bytesValue": base64::engine::general_purpose::STANDARD.encode(bytes) })
        }
        Some(Value::StringValueStrindex(_)) => json!(null),
    }
}

fn json_attributes(attributes: &[KeyValue]) -> Json {
    let entry = |entry: &KeyValue| {
        json!({
            "key": entry.key,
            "value": entry.value.as_ref().map(json_value),
            "somethingNew": {"a": [1, null]},
        })
    };
    attributes.iter().map(entry).collect()
}

pub fn json_span(span: &Span) -> Json {
    let events = span.events.iter().map(|event| {
        json!({
            "timeUnixNano": event.time_unix_nano.to_string(),
            "name": event.name,
            "attributes": json_attributes(&event.attributes),
            "droppedAttributesCount": event.dropped_attributes_count,
        })
    });
    let links = span.links.iter().map(|link| {
        json!({
            "traceId": hex(&link.trace_id), "spanId": hex(&link.span_id),
            "traceState": link.trace_state, "attributes": json_attributes(&link.attributes),
            "droppedAttributesCount": link.dropped_attributes_count, "flags": link.flags,
        })
    });
    json!({
        "traceId": hex(&span.trace_id),
        "spanId": hex(&span.span_id).to_lowercase(),
        "parentSpanId": hex(&span.parent_span_id),
        "traceState": span.trace_state,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": span.start_time_unix_nano.to_string(),
        "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": json_attributes(&span.attributes),
        "droppedAttributesCount": span.dropped_attributes_count,
        "events": events.collect::<Vec<_>>(),
        "droppedEventsCount": span.dropped_events_count,
        "links": links.collect::<Vec<_>>(),
        "droppedLinksCount": span.dropped_links_count,
        "status": span.status.as_ref().map(
            |status| json!({"message": status.message, "code": status.code}),
        ),
        "flags": span.flags,
    })
}

pub fn json_request(request: &ExportTraceServiceRequest) -> Json {
    let scope_spans = |spans: &ScopeSpans| {
        json!({
            "scope": spans.scope.as_ref().map(|scope| json!({
                "name": scope.name, "version": scope.version,
                "attributes": json_attributes(&scope.attributes),
                "droppedAttributesCount": scope.dropped_attributes_count,
            })),
            "spans": spans.spans.iter().map(json_span).collect::<Vec<_>>(),
            "schemaUrl": spans.schema_url,
        })
    };
    let resource_spans = |spans: &ResourceSpans| {
        json!({
            "resource": spans.resource.as_ref().map(|resource| json!({
                "attributes": json_attributes(&resource.attributes),
                "droppedAttributesCount": resource.dropped_attributes_count,
            })),
            "scopeSpans": spans.scope_spans.iter().map(scope_spans).collect::<Vec<_>>(),
            "schemaUrl": spans.schema_url,
        })
    };
    json!({
        "resourceSpans": request.resource_spans.iter().map(resource_spans).collect::<Vec<_>>(),
    })
}
