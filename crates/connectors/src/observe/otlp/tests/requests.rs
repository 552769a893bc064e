use super::samples::{attribute, plain_span, request, text};
use crate::observe::event::Scope;
use crate::observe::otlp::export::{Export, size_alone};
use crate::observe::otlp::request::{BadRequest, ExportRequest};
use crate::observe::otlp::span::{AnyValue, Attributes, SpanView};
use crate::observe::otlp::wire::{Malformed, put_bytes};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{self as common, ArrayValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use prost::Message;

fn same(ours: AnyValue<'_>, theirs: Option<&common::AnyValue>) -> bool {
    match (ours, theirs.and_then(|value| value.value.as_ref())) {
        (AnyValue::Empty, None) => true,
        (AnyValue::Text(ours), Some(Value::StringValue(theirs))) => ours == theirs,
        (AnyValue::Bool(ours), Some(Value::BoolValue(theirs))) => ours == *theirs,
        (AnyValue::Int(ours), Some(Value::IntValue(theirs))) => ours == *theirs,
        (AnyValue::Double(ours), Some(Value::DoubleValue(theirs))) => ours == *theirs,
        (AnyValue::Bytes(ours), Some(Value::BytesValue(theirs))) => ours == theirs,
        (AnyValue::List(_), Some(Value::ArrayValue(theirs))) => {
            ours.items().count() == theirs.values.len()
                && ours.items().zip(&theirs.values).all(|(ours, theirs)| same(ours, Some(theirs)))
        }
        (AnyValue::Map(bytes), Some(Value::KvlistValue(theirs))) => {
            same_attributes(Attributes::of_map(bytes), &theirs.values)
        }
        _ => false,
    }
}

fn same_attributes(ours: Attributes<'_>, theirs: &[common::KeyValue]) -> bool {
    ours.count() == theirs.len()
        && ours
            .zip(theirs)
            .all(|((key, value), theirs)| key == theirs.key && same(value, theirs.value.as_ref()))
}

fn assert_same(ours: &SpanView<'_>, theirs: &Span) {
    assert_eq!(ours.trace_id.as_slice(), theirs.trace_id);
    assert_eq!(ours.span_id.as_slice(), theirs.span_id);
    let parent = ours.parent_span_id.map(Vec::from).unwrap_or_default();
    assert_eq!(parent, theirs.parent_span_id);
    assert_eq!(ours.name, theirs.name);
    assert_eq!(ours.kind, theirs.kind as u64);
    assert_eq!(ours.start_ns, theirs.start_time_unix_nano);
    assert_eq!(ours.end_ns, theirs.end_time_unix_nano);
    let status = theirs.status.clone().unwrap_or_default();
    assert_eq!((ours.status_message, ours.status_code), (&*status.message, status.code as u64));
    assert!(same_attributes(ours.attributes(), &theirs.attributes));
    assert_eq!(ours.events().count(), theirs.events.len());
    for ((name, attributes), theirs) in ours.events().zip(&theirs.events) {
        assert_eq!(name, theirs.name);
        assert!(same_attributes(attributes, &theirs.attributes));
    }
}

/// The spans of a request, each with what it shares with others.
fn flat(request: &ExportTraceServiceRequest) -> Vec<(ResourceSpans, Span)> {
    let mut flat = Vec::new();
    for resource in &request.resource_spans {
        for scope in &resource.scope_spans {
            for span in &scope.spans {
                let around = ResourceSpans {
                    scope_spans: vec![ScopeSpans { spans: Vec::new(), ..scope.clone() }],
                    ..resource.clone()
                };
                flat.push((around, span.clone()));
            }
        }
    }
    flat
}

proptest! {
    #[test]
    fn what_others_encode_is_read(request in request()) {
        let bytes = request.encode_to_vec();
        let ours = ExportRequest::parse(&bytes, 1_000).unwrap();
        prop_assert_eq!(ours.refused.count, 0);
        let theirs = flat(&request);
        prop_assert_eq!(ours.spans.len(), theirs.len());
        for ((scope, ours_span), (around, span)) in ours.spans.iter().zip(&theirs) {
            assert_same(ours_span, span);
            prop_assert_eq!(ours_span.bytes, span.encode_to_vec());
            let scope = &ours.scopes[usize::from(*scope)];
            prop_assert_eq!(&scope.resource_schema_url, &around.schema_url);
            prop_assert_eq!(&scope.schema_url, &around.scope_spans[0].schema_url);
            let resource = around.resource.as_ref().map(Message::encode_to_vec);
            prop_assert_eq!(&scope.resource, &resource.unwrap_or_default());
        }
    }

    #[test]
    fn what_we_encode_is_read_by_others(request in request()) {
        let bytes = request.encode_to_vec();
        let ours = ExportRequest::parse(&bytes, 1_000).unwrap();
        let mut export = Export::new();
        for (scope, span) in &ours.spans {
            export.push(&ours.scopes[usize::from(*scope)], span.bytes);
        }
        let built = export.build();
        prop_assert_eq!(built.len(), export.size());
        prop_assert_eq!(export.spans(), ours.spans.len());
        // Empty resources and scopes are left out, which means the same.
        let absent = |(mut around, span): (ResourceSpans, Span)| {
            around.resource = around.resource.filter(|it| *it != Default::default());
            let scope = &mut around.scope_spans[0].scope;
            *scope = scope.take().filter(|it| *it != Default::default());
            (around, span)
        };
        let key = |(around, span): &(ResourceSpans, Span)| {
            (around.encode_to_vec(), span.encode_to_vec())
        };
        let read = ExportTraceServiceRequest::decode(built.as_slice()).unwrap();
        let mut read = flat(&read).into_iter().map(absent).collect::<Vec<_>>();
        let mut sent = flat(&request).into_iter().map(absent).collect::<Vec<_>>();
        read.sort_by_key(key);
        sent.sort_by_key(key);
        prop_assert_eq!(read, sent);
    }

    #[test]
    fn any_bytes_are_taken_apart(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(request) = ExportRequest::parse(&bytes, 10) {
            prop_assert!(request.spans.len() <= 10);
        }
    }

    #[test]
    fn damaged_requests_are_taken_apart(
        request in request(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = request.encode_to_vec();
        for (index, byte) in damage {
            if let Some(at) = bytes.len().checked_sub(1).map(|last| index.index(last + 1)) {
                bytes[at] = byte;
            }
        }
        // What we take, others take: a span that we pass on must not cost a receiver's batch.
        if let Ok(request) = ExportRequest::parse(&bytes, 1_000) {
            for (_, span) in request.spans {
                prop_assert!(Span::decode(span.bytes).is_ok());
            }
        }
    }
}

fn export_of(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

#[test]
fn a_bad_span_is_refused_alone() {
    let bad = Span { trace_id: vec![1; 15], span_id: vec![1; 8], ..Span::default() };
    let bytes = export_of(vec![plain_span(1, 1), bad.clone(), plain_span(1, 2), bad]);
    let request = ExportRequest::parse(&bytes, 10).unwrap();
    assert_eq!(request.spans.len(), 2);
    assert_eq!(request.refused.count, 2);
    assert_eq!(
        request.refused.reason,
        "the span has no valid trace id (16 bytes, not all zero); is it a span?"
    );
}

#[test]
fn too_many_spans_or_scopes_are_refused() {
    let bytes = export_of(vec![plain_span(1, 1); 3]);
    assert!(ExportRequest::parse(&bytes, 3).is_ok());
    assert_eq!(
        ExportRequest::parse(&bytes, 2).unwrap_err().to_string(),
        "the request has more than 2 spans; send it in parts"
    );
    // A resource of 1 MiB and 20 scopes in few bytes: each of them would have a copy of it.
    let mut spans = vec![0; 0];
    put_bytes(&mut spans, 1, &text_resource(1 << 20));
    let mut scope = Vec::new();
    put_bytes(&mut scope, 2, &plain_span(1, 1).encode_to_vec());
    for _ in 0..20 {
        put_bytes(&mut spans, 2, &scope);
    }
    let mut request = Vec::new();
    put_bytes(&mut request, 1, &spans);
    assert_eq!(
        ExportRequest::parse(&request, 100).unwrap_err(),
        BadRequest::TooMany { most: 16 << 20, what: "bytes of scopes" }
    );
}

fn text_resource(length: usize) -> Vec<u8> {
    let attributes = vec![text("k", &"x".repeat(length))];
    opentelemetry_proto::tonic::resource::v1::Resource { attributes, ..Default::default() }
        .encode_to_vec()
}

#[test]
fn deep_values_are_refused_where_others_refuse_them() {
    let deep = |levels: usize| {
        let mut value = Value::IntValue(1);
        for _ in 0..levels {
            let values = vec![common::AnyValue { value: Some(value) }];
            value = Value::ArrayValue(ArrayValue { values });
        }
        Span { attributes: vec![attribute("k", value)], ..plain_span(1, 1) }
    };
    assert!(SpanView::parse(&deep(30).encode_to_vec()).is_ok());
    assert_eq!(SpanView::parse(&deep(31).encode_to_vec()).unwrap_err(), Malformed::TooDeep.into());
    // In maps, the deepest kind of nesting, everything that we take can be read by others.
    let mut value = Value::IntValue(1);
    for _ in 0..30 {
        let values = vec![attribute("k", value)];
        value = Value::KvlistValue(common::KeyValueList { values });
    }
    let span = Span { attributes: vec![attribute("k", value)], ..plain_span(1, 1) };
    let bytes = export_of(vec![span]);
    assert_eq!(ExportRequest::parse(&bytes, 1).unwrap().spans.len(), 1);
    assert!(ExportTraceServiceRequest::decode(bytes.as_slice()).is_ok());
}

#[test]
fn unknown_fields_survive() {
    let mut span = plain_span(1, 1).encode_to_vec();
    put_bytes(&mut span, 99, b"of tomorrow");
    let scope = Scope::default();
    let mut export = Export::new();
    export.push(&scope, &span);
    let built = export.build();
    assert_eq!(built.len(), size_alone(&scope, &span));
    let request = ExportRequest::parse(&built, 1).unwrap();
    assert_eq!(request.spans[0].1.bytes, span);
}

#[test]
fn an_empty_request_is_a_request() {
    assert_eq!(ExportRequest::parse(&[], 1).unwrap().spans.len(), 0);
    assert_eq!(Export::new().build(), b"");
}
