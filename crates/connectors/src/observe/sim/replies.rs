//! The shapes of replies that the remotes share: JSON, text, pages, and times to wait.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use http::{HeaderValue, Request, Response, StatusCode};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use serde_json::Value;

use super::options::RetryAfter;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html");

/// A reply that ends a request early.
pub(super) type Refused = Box<Response<Bytes>>;

pub(super) fn json(status: u16, body: &Value) -> Response<Bytes> {
    with_body(status, JSON, body.to_string())
}

pub(super) fn text(status: u16, body: &'static str) -> Response<Bytes> {
    with_body(status, TEXT, body)
}

/// The page of a proxy that found the body too large.
pub(super) fn too_large_page() -> Response<Bytes> {
    let page = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n\
        <body>\r\n<center><h1>413 Request Entity Too Large</h1></center>\r\n\
        <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
    with_body(413, HTML, page)
}

pub(super) fn with_body(
    status: u16,
    content_type: HeaderValue,
    body: impl Into<Bytes>,
) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// A header as text; empty when it is missing or no text.
pub(super) fn header<'a>(request: &'a Request<Bytes>, name: &str) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

pub(super) fn add_retry_after(
    headers: &mut HeaderMap,
    form: RetryAfter,
    wall: Timestamp,
    wait: Duration,
) {
    match form {
        RetryAfter::Seconds => {
            headers.insert(RETRY_AFTER, whole_seconds(wait).into());
        }
        RetryAfter::HttpDate => {
            headers.insert(RETRY_AFTER, http_date(wall + wait, RoundMode::Ceil));
            headers.insert(DATE, http_date(wall, RoundMode::Floor));
        }
        RetryAfter::Absent => {}
    }
}

/// Whole seconds that are never too short.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn http_date(instant: Timestamp, mode: RoundMode) -> HeaderValue {
    let whole = TimestampRound::new().smallest(Unit::Second).mode(mode);
    let instant = instant.round(whole).unwrap_or(instant);
    let text = instant.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::from_str(&text).expect("a date is a header value")
}

/// The user and the password of Basic credentials.
pub(super) fn basic(request: &Request<Bytes>) -> Option<(String, String)> {
    use base64::Engine;
    let header = header(request, "authorization");
    let (scheme, coded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(coded.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The parameters of a query in form encoding.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (&str, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name, decode(value))
    })
}

/// Undoes form encoding. What is not well encoded stays.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = 0;
    while rest < bytes.len() {
        let hex = (bytes[rest] == b'%').then(|| text.get(rest + 1..rest + 3)).flatten();
        let hex = hex.filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest += 3;
            }
            None => {
                decoded.push(if bytes[rest] == b'+' { b' ' } else { bytes[rest] });
                rest += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
