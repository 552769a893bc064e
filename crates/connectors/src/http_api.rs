//! What the raw calls of every HTTP API have in common: the request id, the words of an error,
//! what a missing answer means, what the headers say of the quota, and that no key shows.
//!
//! Nothing here knows a vendor, sends anything, retries or waits.

use crate::connector::Secret;
use crate::rate_headers;
use crate::transport::TransportError;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use std::borrow::Cow;
use std::fmt::Write;
use windlass_engine::remote::Attempt;
use windlass_engine::{Failure, Kind};

/// How we introduce ourselves.
pub const USER_AGENT_TEXT: &str = concat!("windlass/", env!("CARGO_PKG_VERSION"));

/// The longest text of an error body that is kept, in characters.
const MESSAGE_CHARS_MAX: usize = 300;
/// The shortest key that is looked for in answers: a shorter one is no secret, and its letters
/// would be found everywhere.
const KEY_BYTES_MIN: usize = 8;
/// What stands in an answer where our key was.
const KEY_SHOWN: &str = "(the key)";

/// An answer with what is worth recording of it.
#[derive(Debug)]
pub struct Reply<T> {
    /// What the call is for.
    pub value: T,
    /// The status.
    pub status: u16,
    /// The remote's name for the request.
    pub request_id: Option<Box<str>>,
}

impl<T> Reply<T> {
    /// What `response` says, with its status and the id in the header of this name.
    pub fn of(value: T, response: &Response<Bytes>, header: &str) -> Self {
        let status = response.status().as_u16();
        Self { value, status, request_id: request_id(response.headers(), header) }
    }

    /// The same about something else.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Reply<U> {
        Reply { value: change(self.value), status: self.status, request_id: self.request_id }
    }
}

/// The remote's name for the request, from the header of this name.
#[must_use]
pub fn request_id(headers: &HeaderMap, header: &str) -> Option<Box<str>> {
    Some(headers.get(header)?.to_str().ok()?.into())
}

/// Passes on what the headers say of the quota. The last `reserve` requests of it are kept for
/// others who use the same account.
pub fn learn(headers: &HeaderMap, attempt: &Attempt, reserve: u32) {
    if !headers.keys().any(|name| name.as_str().contains("ratelimit")) {
        return;
    }
    if let Some((left, resets_in)) = rate_headers::remaining(headers, rate_headers::now(headers)) {
        attempt.told(left.saturating_sub(reserve), resets_in);
    }
    for quota in rate_headers::policies(headers) {
        attempt.told_quota(quota);
    }
}

/// The failure of an answer: this kind, these words, or those of the status, and what the answer
/// says of itself.
pub fn failure_of(
    response: &Response<Bytes>,
    kind: Kind,
    words: Option<String>,
    id_header: &str,
) -> Failure {
    let status = response.status();
    let words = words.unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason").into());
    let mut failure = Failure::new(kind, words);
    failure.status = Some(status.as_u16());
    let headers = response.headers();
    failure.request_id = request_id(headers, id_header);
    failure.wait = rate_headers::retry_after(headers, rate_headers::now(headers));
    failure.may_have_happened = kind == Kind::Unavailable;
    failure
}

/// No answer came.
#[must_use]
pub fn unanswered(error: &TransportError) -> Failure {
    let kind = match error {
        TransportError::Malformed { .. } | TransportError::BodyTooLarge { .. } => Kind::Malformed,
        TransportError::Refused(_) => Kind::Bug,
        TransportError::Connect { .. } | TransportError::Reset { .. } => Kind::Unavailable,
    };
    let mut failure = Failure::new(kind, with_causes(error));
    failure.may_have_happened = error.may_have_arrived();
    failure.hint = error.hint().map(str::to_owned);
    failure
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// The answer without our key. Servers and proxies may repeat what they were sent, and what an
/// answer says goes into errors, plans and journals.
#[must_use]
pub fn without_key(
    mut response: Response<Bytes>,
    key: &Secret,
    id_header: &str,
) -> Response<Bytes> {
    // Nothing is ever shown of a body that is not text.
    if let Ok(text) = std::str::from_utf8(response.body())
        && let Cow::Owned(hidden) = hide_key(text, key)
    {
        *response.body_mut() = hidden.into();
    }
    let tells = |value: &HeaderValue| {
        value.to_str().is_ok_and(|text| matches!(hide_key(text, key), Cow::Owned(_)))
    };
    if response.headers().get(id_header).is_some_and(tells) {
        response.headers_mut().remove(id_header);
    }
    response
}

/// The text with other words in the place of our key.
#[must_use]
pub fn hide_key<'t>(text: &'t str, key: &Secret) -> Cow<'t, str> {
    let key = key.reveal();
    if key.len() < KEY_BYTES_MIN || !text.contains(key) {
        return text.into();
    }
    text.replace(key, KEY_SHOWN).into()
}

/// The text of a body that is not JSON, if a person can read it; a proxy's HTML page is not.
#[must_use]
pub fn readable(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    (!text.is_empty() && !text.starts_with('<')).then(|| text.to_owned())
}

/// At most 300 characters of a text from outside, on one line.
#[must_use]
pub fn cut(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MESSAGE_CHARS_MAX).collect()
}

/// Appends a text as one segment of a path, or one value of a query: everything but letters,
/// digits and `_-.~` is encoded.
pub fn percent_encode(path: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~') {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_hidden_wherever_it_stands() {
        let key = Secret::new("0123456789abcdef");
        assert_eq!(hide_key("no", &key), "no");
        assert_eq!(hide_key("<0123456789abcdef>", &key), "<(the key)>");
        assert_eq!(hide_key("short", &Secret::new("short")), "short");
        let response = Response::builder()
            .header("cf-ray", "0123456789abcdef-FRA")
            .body(Bytes::from_static(b"Bearer 0123456789abcdef?"))
            .unwrap();
        let response = without_key(response, &key, "cf-ray");
        assert_eq!(response.body().as_ref(), b"Bearer (the key)?");
        assert_eq!(request_id(response.headers(), "cf-ray"), None);
    }

    #[test]
    fn a_whole_text_is_one_segment() {
        let encode = |text: &str| {
            let mut path = String::new();
            percent_encode(&mut path, text);
            path
        };
        assert_eq!(encode("a/b c:%"), "a%2Fb%20c%3A%25");
        assert_eq!(encode("é!~?#"), "%C3%A9%21~%3F%23");
    }
}
