//! Each answer word for word, and each rule by its name. All time is virtual, but where a port is
//! needed.

mod control;
mod langfuse;
mod legacy;
mod otlp;
mod rudder;
mod trouble;

use std::io::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Method, Request, Response};
use prost::Message;
use serde_json::{Value, json};
use windlass_sim::{ChassisOptions, Simulator};

use super::wire::{
    AnyKind, AnyValue, ExportRequest, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, Span,
};
use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const TRACES: &str = "/api/public/otel/v1/traces";

/// 2026-01-31 at midnight, in nanoseconds.
const START_NS: u64 = 1_769_817_600_000_000_000;

fn calendar() -> ChassisOptions {
    let start_at = Some("2026-01-31T00:00:00Z".parse().unwrap());
    ChassisOptions { start_at, ..ChassisOptions::default() }
}

fn plain() -> Options {
    Options { chassis: calendar(), ..Options::default() }
}

fn sim(options: Options) -> ObserveSim {
    ObserveSim::new(options).unwrap()
}

fn basic_header(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn langfuse_key() -> String {
    basic_header("pk-lf-simulated", "sk-lf-simulated")
}

fn rudder_key() -> String {
    basic_header("simulated-write-key", "")
}

async fn send(
    sim: &ObserveSim,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let mut request = Request::builder().method(Method::POST).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    sim.call(request.body(body.into()).unwrap()).await.unwrap()
}

async fn get(sim: &ObserveSim, path: &str) -> (u16, Value) {
    let request = Request::builder().uri(path).header("authorization", langfuse_key());
    said(&sim.call(request.body(Bytes::new()).unwrap()).await.unwrap())
}

fn said(reply: &Response<Bytes>) -> (u16, Value) {
    let body = serde_json::from_slice(reply.body());
    (reply.status().as_u16(), body.unwrap_or_else(|_| panic!("no JSON: {:?}", reply.body())))
}

fn header_of<'a>(reply: &'a Response<Bytes>, name: &str) -> &'a str {
    reply.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn attribute(key: &str, kind: AnyKind) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { kind: Some(kind) }) }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, AnyKind::Text(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, AnyKind::Int(value))
}

/// A span whose id is its number.
fn span(id: u64, name: &str, attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        name: name.to_owned(),
        start_time_unix_nano: START_NS + id * 1_000_000_000,
        end_time_unix_nano: START_NS + id * 1_000_000_000 + 250_000_000,
        attributes,
        ..Span::default()
    }
}

fn export(spans: Vec<Span>) -> Vec<u8> {
    let scope = Some(Scope { name: "app".to_owned(), ..Scope::default() });
    let attributes = vec![text("deployment.environment", "Staging")];
    ExportRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes }),
            scope_spans: vec![ScopeSpans { scope, spans }],
        }],
    }
    .encode_to_vec()
}

fn named(names: &[&str]) -> Vec<u8> {
    export(names.iter().zip(1..).map(|(name, id)| span(id, name, Vec::new())).collect())
}

/// An export of one span in JSON.
fn export_json(changes: &[(&str, Value)]) -> String {
    let mut span = json!({
        "traceId": TRACE.to_ascii_uppercase(), "spanId": "00000000000000ff", "name": "json",
        "kind": 1, "startTimeUnixNano": START_NS.to_string(), "endTimeUnixNano": START_NS,
        "attributes": [
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": 7}},
            {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "9"}},
        ],
        "unknown": {"field": true},
    });
    for (name, value) in changes {
        span[*name] = value.clone();
    }
    let scopes = json!([{"scope": {"name": "app"}, "spans": [span]}]);
    json!({"resourceSpans": [{"scopeSpans": scopes}]}).to_string()
}

async fn to_langfuse(sim: &ObserveSim, body: impl Into<Bytes>) -> (u16, Value) {
    let key = langfuse_key();
    let headers = [
        ("authorization", key.as_str()),
        ("content-type", "application/x-protobuf"),
        ("x-langfuse-ingestion-version", "4"),
    ];
    said(&send(sim, TRACES, &headers, body).await)
}

async fn to_otlp(sim: &ObserveSim, body: impl Into<Bytes>) -> Response<Bytes> {
    send(sim, "/v1/traces", &[("content-type", "application/x-protobuf")], body).await
}

async fn to_rudder(sim: &ObserveSim, path: &str, body: impl Into<Bytes>) -> (u16, String) {
    let key = rudder_key();
    words(&send(sim, path, &[("authorization", &key)], body).await)
}

fn words(reply: &Response<Bytes>) -> (u16, String) {
    (reply.status().as_u16(), String::from_utf8(reply.body().to_vec()).unwrap())
}

fn track(id: &str, user: &str, sequence: i64) -> Value {
    json!({
        "type": "track", "messageId": id, "userId": user, "anonymousId": null, "event": "clicked",
        "properties": {"sequence": sequence},
    })
}

fn batch(messages: &[Value]) -> String {
    json!({"batch": messages, "sentAt": "2026-01-31T00:00:00Z"}).to_string()
}
