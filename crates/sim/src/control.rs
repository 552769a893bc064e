//! The control plane of a simulator on a port: what tests ask when they are in another process.
//!
//! | request | answer |
//! | --- | --- |
//! | GET `/_sim/ledger` | one JSON object a line for every request |
//! | GET `/_sim/summary` | counts by status and path, most in any window by rule, what remains |
//! | GET `/_sim/remaining` | the ids that are left |
//! | POST `/_sim/revoke` | no key is valid any more |

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::{Chassis, WindowKind, World};

pub(crate) fn answer<W: World>(chassis: &Chassis<W>, request: &Request<Bytes>) -> Response<Bytes> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/_sim/ledger") => {
            let mut lines = Vec::new();
            match chassis.ledger().write_json_lines(&mut lines) {
                Ok(()) => reply("application/x-ndjson", lines),
                Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
        (&Method::GET, "/_sim/summary") => json_reply(&summary(chassis)),
        (&Method::GET, "/_sim/remaining") => {
            json_reply(&chassis.with_world(|world| world.remaining()))
        }
        (&Method::POST, "/_sim/revoke") => {
            chassis.revoke();
            empty(StatusCode::NO_CONTENT)
        }
        _ => empty(StatusCode::NOT_FOUND),
    }
}

fn summary<W: World>(chassis: &Chassis<W>) -> Value {
    let ledger = chassis.ledger();
    let statuses: Map<String, Value> = ledger
        .statuses()
        .into_iter()
        .map(|(status, count)| {
            let name = if status == 0 { "reset".to_owned() } else { status.to_string() };
            (name, count.into())
        })
        .collect();
    let rules = chassis.rules().into_iter().enumerate().map(|(index, rule)| {
        let each_key = chassis.with_world(|world| world.is_kept_for_each_key(index));
        let (arrived, counted) = ledger.most_of_rule(index, rule.span, each_key);
        json!({
            "name": rule.name,
            "limit": rule.limit,
            "burst": match rule.kind {
                WindowKind::Bucket { capacity } => Some(capacity),
                WindowKind::Sliding | WindowKind::Fixed => None,
            },
            "span_ms": u64::try_from(rule.span.as_millis()).unwrap_or(u64::MAX),
            "most_arrived": arrived,
            "most_counted": counted,
        })
    });
    let rules: Vec<Value> = rules.collect();
    let mut whole = chassis.with_world(|world| world.summary());
    whole.insert("requests".to_owned(), ledger.len().into());
    whole.insert("too_many_requests".to_owned(), ledger.too_many().into());
    whole.insert("statuses".to_owned(), Value::Object(statuses));
    whole.insert("paths".to_owned(), json!(ledger.paths()));
    whole.insert("rules".to_owned(), Value::Array(rules));
    Value::Object(whole)
}

fn json_reply(value: &Value) -> Response<Bytes> {
    reply("application/json", value.to_string().into_bytes())
}

fn reply(content_type: &'static str, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
