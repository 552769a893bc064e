//! Each switch does what it says, walks are complete and in order whatever is on the way, and the
//! limits let no more pass than documented. All time is virtual, but where a port is needed.

mod bulk;
mod lists;
mod quotas;
mod scale;
mod values;
mod wire;
mod zones;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use serde_json::{Value, json};
use windlass_sim::{ChassisOptions, Simulator};

use super::*;

const TOKEN: &str = "cf-token-1";
const API: &str = "/client/v4";

/// The calendar of most tests: 2026-01-31 at midnight.
const START: u64 = 1_769_817_600;

fn calendar() -> ChassisOptions {
    let start_at = Some("2026-01-31T00:00:00Z".parse().unwrap());
    ChassisOptions { start_at, ..ChassisOptions::default() }
}

/// No limits, and a fixed calendar.
fn free() -> Options {
    Options { no_limits: true, chassis: calendar(), ..Options::default() }
}

fn with_keys(keys: u64) -> Options {
    Options { keys, ..free() }
}

fn sim(options: Options) -> CloudflareSim {
    CloudflareSim::new(options).unwrap()
}

/// A simulator with the id of its first namespace.
fn with_namespace(options: Options) -> (CloudflareSim, String) {
    let sim = sim(options);
    let id = sim.namespace_ids()[0].clone();
    (sim, id)
}

async fn send(
    sim: &CloudflareSim,
    method: Method,
    path: &str,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let request = Request::builder().method(method).uri(format!("{API}{path}"));
    let request = request.header("authorization", format!("Bearer {TOKEN}"));
    sim.call(request.body(body.into()).unwrap()).await.unwrap()
}

fn answer(reply: &Response<Bytes>) -> (u16, Value) {
    let body = serde_json::from_slice(reply.body());
    (reply.status().as_u16(), body.unwrap_or_else(|_| panic!("no JSON: {:?}", reply.body())))
}

async fn call(sim: &CloudflareSim, method: Method, path: &str, body: &Value) -> (u16, Value) {
    answer(&send(sim, method, path, body.to_string()).await)
}

async fn get(sim: &CloudflareSim, path: &str) -> (u16, Value) {
    answer(&send(sim, Method::GET, path, "").await)
}

/// Status and code of a refusal.
fn refusal((status, body): &(u16, Value)) -> (u16, u64) {
    assert_eq!((&body["success"], &body["result"]), (&json!(false), &Value::Null), "{body}");
    (*status, body["errors"][0]["code"].as_u64().unwrap())
}

fn kv(namespace: &str, rest: &str) -> String {
    format!("/accounts/acc/storage/kv/namespaces/{namespace}{rest}")
}

/// Percent-encodes everything but letters and digits.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn names(page: &Value) -> Vec<String> {
    let names = page["result"].as_array().unwrap().iter();
    names.map(|key| key["name"].as_str().unwrap().to_owned()).collect()
}

/// Walks all pages of a list and returns them.
async fn walk(sim: &CloudflareSim, namespace: &str, query: &str) -> Vec<Value> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    for _ in 0..2_000 {
        let path = kv(namespace, &format!("/keys?{query}&cursor={}", encoded(&cursor)));
        let (status, page) = get(sim, &path).await;
        assert_eq!(status, 200, "{page}");
        let count = page["result"].as_array().unwrap().len();
        assert_eq!(page["result_info"]["count"], count);
        cursor = page["result_info"]["cursor"].as_str().unwrap_or("").to_owned();
        pages.push(page);
        if cursor.is_empty() {
            return pages;
        }
    }
    panic!("the list has no end");
}

async fn walk_names(sim: &CloudflareSim, namespace: &str, query: &str) -> Vec<String> {
    walk(sim, namespace, query).await.iter().flat_map(names).collect()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
