//! The replies of WorkOS as they are on the wire, errors above all.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde_json::{Value, json};
use windlass_sim::{Rule, Standing};

use super::options::{Kind, LimitHeaders, Options, RetryAfter, TooManyBody};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

pub(super) fn json_text(text: String) -> Response<Bytes> {
    with_body(StatusCode::OK, JSON, text)
}

fn error(status: StatusCode, body: &Value) -> Response<Bytes> {
    with_body(status, JSON, body.to_string())
}

fn with_body(status: StatusCode, content_type: HeaderValue, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The empty reply of a successful deletion. A 202 says that it is text.
pub(super) fn deleted(status: u16) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::ACCEPTED);
    if status != 204 {
        response.headers_mut().insert(CONTENT_TYPE, TEXT);
    }
    response
}

pub(super) fn unauthorized() -> Response<Bytes> {
    error(StatusCode::UNAUTHORIZED, &json!({"message": "Unauthorized"}))
}

pub(super) fn forbidden() -> Response<Bytes> {
    let message = "You do not have permission to perform this action.";
    error(StatusCode::FORBIDDEN, &json!({"code": "forbidden", "message": message}))
}

pub(super) fn no_such_route() -> Response<Bytes> {
    error(StatusCode::NOT_FOUND, &json!({"message": "Not Found"}))
}

pub(super) fn not_found(kind: Kind, id: &str) -> Response<Bytes> {
    let message = format!("{} not found: '{id}'.", kind.title());
    error(StatusCode::NOT_FOUND, &json!({"code": "entity_not_found", "message": message}))
}

pub(super) fn user_deletion_not_allowed() -> Response<Bytes> {
    let message = "This user cannot be deleted.";
    let body = json!({"code": "user_deletion_not_allowed", "message": message});
    error(StatusCode::CONFLICT, &body)
}

pub(super) fn invalid(field: &str, why: &str) -> Response<Bytes> {
    let body = json!({
        "message": "Validation failed",
        "errors": [{"field": field, "code": "invalid", "message": format!("{field} {why}")}],
    });
    error(StatusCode::UNPROCESSABLE_ENTITY, &body)
}

pub(super) fn too_many(options: &Options, wall: Timestamp, wait: Duration) -> Response<Bytes> {
    let body = json!({"code": "rate_limit_exceeded", "message": "Rate limit exceeded."});
    let status = StatusCode::TOO_MANY_REQUESTS;
    let mut response = match options.too_many_body {
        TooManyBody::Json => error(status, &body),
        TooManyBody::String => with_body(status, JSON, "\"Ratelimited\"".to_owned()),
        TooManyBody::Html => {
            with_body(status, HTML, "<html><body>Too Many Requests</body></html>\n".to_owned())
        }
    };
    let headers = response.headers_mut();
    match options.retry_after {
        RetryAfter::Seconds => {
            headers.insert(RETRY_AFTER, whole_seconds(wait).max(1).into());
        }
        RetryAfter::HttpDate => {
            headers.insert(RETRY_AFTER, http_date(wall + wait, RoundMode::Ceil));
            headers.insert(DATE, http_date(wall, RoundMode::Floor));
        }
        RetryAfter::Absent => {}
    }
    response
}

pub(super) fn add_limit_headers(
    headers: &mut HeaderMap,
    form: LimitHeaders,
    standing: Standing,
    rule: &Rule,
) {
    let Standing { limit, remaining, reset, .. } = standing;
    let reset = whole_seconds(reset);
    let mut add = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    match form {
        LimitHeaders::None => {}
        LimitHeaders::XRatelimit => {
            add("x-ratelimit-limit", limit.to_string());
            add("x-ratelimit-remaining", remaining.to_string());
            add("x-ratelimit-reset", reset.to_string());
        }
        LimitHeaders::Ratelimit => {
            let name = rule.name;
            add("ratelimit-policy", format!("\"{name}\";q={limit};w={}", rule.span.as_secs()));
            add("ratelimit", format!("\"{name}\";r={remaining};t={reset}"));
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
