//! The replies of Cloudflare as they are on the wire: the envelope, and errors above all.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde_json::{Value, json};
use windlass_sim::{Rule, Standing};

use super::options::RetryAfter;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=UTF-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

pub(super) const INFALLIBLE: &str = "memory takes every write";

/// A refusal: its status, and code and message of its one error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub code: u32,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// What the validation of requests says: 400 with code 10001.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, 10_001, message)
    }

    /// Something is too large: 413 with code 10001.
    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, 10_001, message)
    }

    pub(super) fn no_such_route(path: &str) -> Self {
        Self::new(404, 7_000, format!("No route for the URI {path}"))
    }

    pub(super) fn bad_identifier(path: &str) -> Self {
        let message = format!("Could not route to {path}, the object identifier may be invalid");
        Self::new(404, 7_003, message)
    }

    pub(super) fn wrong_method(method: &http::Method) -> Self {
        Self::new(405, 7_001, format!("Method {method} not available for that URI"))
    }

    pub(super) fn forbidden() -> Self {
        Self::new(403, 9_109, "Unauthorized to access requested resource")
    }

    pub(super) fn key_not_found() -> Self {
        Self::new(404, 10_009, "key not found")
    }
}

/// How envelopes look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    pub is_odd: bool,
}

const PLAIN_TAIL: &str = ",\"success\":true,\"errors\":[],\"messages\":[]";
const ODD_TAIL: &str = ",\"success\":true,\"errors\":[],\"messages\":[\"seen in passing\",\
    {\"code\":10099,\"message\":\"an object\",\"x_level\":3}],\
    \"x_trace\":{\"nested\":[1,null,{\"deep\":true}]}";

impl Envelope {
    /// What stands in front of a result that is written bit by bit.
    pub(super) const HEAD: &str = "{\"result\":";

    /// Writes what follows the result.
    pub(super) fn close(self, out: &mut Vec<u8>) {
        let tail = if self.is_odd { ODD_TAIL } else { PLAIN_TAIL };
        out.extend_from_slice(tail.as_bytes());
    }

    /// A success with this result, and with `result_info` where there is one.
    pub(super) fn success(self, result: &Value, info: Option<&Value>) -> Response<Bytes> {
        let mut out = Self::HEAD.as_bytes().to_vec();
        serde_json::to_writer(&mut out, result).expect(INFALLIBLE);
        self.close(&mut out);
        if let Some(info) = info {
            out.extend_from_slice(b",\"result_info\":");
            serde_json::to_writer(&mut out, info).expect(INFALLIBLE);
        }
        out.push(b'}');
        json_bytes(out)
    }

    /// A success that has nothing to say: an empty object, or null where envelopes are odd.
    pub(super) fn empty(self) -> Response<Bytes> {
        self.success(&if self.is_odd { Value::Null } else { json!({}) }, None)
    }

    pub(super) fn refusal(self, refusal: &Refusal) -> Response<Bytes> {
        let mut error = json!({"code": refusal.code, "message": refusal.message});
        let mut messages = json!([]);
        if self.is_odd {
            error["documentation_url"] = json!("https://developers.cloudflare.com/api/");
            error["source"] = json!({"pointer": "/x"});
            error["error_chain"] = json!([{"code": 1, "message": "one below"}]);
            messages = json!(["seen in passing"]);
        }
        let body =
            json!({"result": null, "success": false, "errors": [error], "messages": messages});
        let mut response = json_bytes(body.to_string().into_bytes());
        *response.status_mut() = status(refusal.status);
        response
    }
}

fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A whole envelope, already written.
pub(super) fn json_bytes(bytes: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A bare value, with the header that says when it expires.
pub(super) fn value(bytes: Vec<u8>, expiration: Option<u64>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, BYTES);
    if let Some(expiration) = expiration {
        response.headers_mut().insert(HeaderName::from_static("expiration"), expiration.into());
    }
    response
}

/// The page with which the edge ends a request that takes too long.
pub(super) fn edge_timeout() -> Response<Bytes> {
    let page = "<!DOCTYPE html><html><head><title>api.cloudflare.com | 524: A timeout occurred\
                </title></head><body>Error 524</body></html>\n";
    let mut response = Response::new(Bytes::from_static(page.as_bytes()));
    *response.status_mut() = status(524);
    response.headers_mut().insert(CONTENT_TYPE, HTML);
    response
}

/// Adds when to come again to a 429.
pub(super) fn add_retry_after(
    headers: &mut HeaderMap,
    form: RetryAfter,
    wall: Timestamp,
    wait: Duration,
) {
    match form {
        RetryAfter::Seconds => {
            headers.insert(RETRY_AFTER, whole_seconds(wait).max(1).into());
        }
        RetryAfter::HttpDate => {
            headers.insert(RETRY_AFTER, http_date(wall + wait, RoundMode::Ceil));
            headers.insert(DATE, http_date(wall, RoundMode::Floor));
        }
        RetryAfter::Absent => {}
    }
}

/// Adds `Ratelimit` and `Ratelimit-Policy`, one item for each rule.
pub(super) fn add_limit_headers(headers: &mut HeaderMap, told: &[(Standing, Rule)]) {
    let (mut standings, mut policies) = (Vec::new(), Vec::new());
    for (standing, rule) in told {
        let name = if rule.name == "global" { "default" } else { rule.name };
        let reset = whole_seconds(standing.reset);
        standings.push(format!("\"{name}\";r={};t={reset}", standing.remaining));
        policies.push(format!("\"{name}\";q={};w={}", standing.limit, rule.span.as_secs()));
    }
    for (name, items) in [("ratelimit", standings), ("ratelimit-policy", policies)] {
        if let Ok(value) = HeaderValue::from_str(&items.join(", "))
            && !items.is_empty()
        {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// Whole seconds that are never too short.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn http_date(instant: Timestamp, mode: RoundMode) -> HeaderValue {
    let whole = TimestampRound::new().smallest(Unit::Second).mode(mode);
    let instant = instant.round(whole).unwrap_or(instant);
    let text = instant.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::from_str(&text).expect("a date is a header value")
}
