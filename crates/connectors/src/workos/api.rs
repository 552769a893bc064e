//! The raw calls: requests, replies, and what a status means. Nothing here retries or waits.

use crate::connector::Secret;
use crate::rate_headers;
use crate::transport::{BaseUrl, Transport, TransportError};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use windlass_engine::remote::Attempt;
use windlass_engine::{Failure, Kind};

/// How many objects a page holds: the documented maximum.
pub const PAGE_OBJECTS: usize = 100;

/// The longest text of an error body that is kept.
const MESSAGE_CHARS_MAX: usize = 300;

/// The shortest key that is looked for in answers: a shorter one is no secret, and its letters
/// would be found everywhere.
const KEY_BYTES_MIN: usize = 8;
/// What stands in an answer where our key was.
const KEY_SHOWN: &str = "(the key)";

/// The two kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/organizations`
    Organization,
    /// `/user_management/users`
    User,
}

impl Resource {
    /// The path of the list, and of each object behind a slash.
    const fn path(self) -> &'static str {
        match self {
            Self::Organization => "/organizations",
            Self::User => "/user_management/users",
        }
    }

    /// What its ids begin with.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Organization => "org_",
            Self::User => "user_",
        }
    }

    /// Whether an id may go into the path of a deletion: the prefix of its kind and nothing that
    /// could change the path. A DELETE must never go to another path than that of one object.
    #[must_use]
    pub fn is_id(self, id: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        id.len() <= 128
            && id.strip_prefix(self.prefix()).is_some_and(|rest| !rest.is_empty())
            && id.chars().all(plain)
    }
}

/// One page of a list.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// The objects, whole.
    pub data: Vec<Box<RawValue>>,
    /// Where the list goes on.
    pub list_metadata: Cursors,
}

/// The cursors of a page. Only `after` is used; its absence is the end, not a short page.
#[derive(Debug, Deserialize)]
pub struct Cursors {
    /// The id to go on after.
    #[serde(default)]
    pub after: Option<String>,
}

/// What is read of an object; everything else stays in the raw text.
#[derive(Debug, Deserialize)]
pub struct Entity<'a> {
    /// Its id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Kept raw, since it may be missing or anything at all.
    #[serde(borrow, default)]
    created_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    email: Option<&'a RawValue>,
    #[serde(borrow, default)]
    external_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    updated_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    last_sign_in_at: Option<&'a RawValue>,
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str::<Option<String>>(raw?.get()).ok().flatten()
}

impl<'a> Entity<'a> {
    /// Reads an object of a page.
    ///
    /// # Errors
    /// When it has no id.
    pub fn read(raw: &'a RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(raw.get())
    }

    /// When it was created; `None` when that is missing or unreadable.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        text(self.created_at)?.parse().ok()
    }

    /// What a person calls it: email, name or id.
    #[must_use]
    pub fn label(&self) -> String {
        let words = [self.email, self.name].into_iter().find_map(text);
        words.filter(|text| !text.is_empty()).unwrap_or_else(|| self.id.clone().into_owned())
    }

    /// The names by which an exclude file can mean it.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let others = [self.email, self.name, self.external_id].into_iter().filter_map(text);
        std::iter::once(self.id.clone().into_owned()).chain(others)
    }

    /// What changes when somebody touches or uses it.
    #[must_use]
    pub fn version(&self) -> (Option<&'a str>, Option<&'a str>) {
        (self.updated_at.map(RawValue::get), self.last_sign_in_at.map(RawValue::get))
    }
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The remote accepted it.
    Now,
    /// It was not there.
    Absent,
}

/// An answer with what is worth recording of it.
#[derive(Debug)]
pub struct Reply<T> {
    /// What the call is for.
    pub value: T,
    /// The status.
    pub status: u16,
    /// `x-request-id`.
    pub request_id: Option<Box<str>>,
}

/// The API of one account.
#[derive(Debug)]
pub struct Api {
    transport: Transport,
    base_url: BaseUrl,
    authorization: HeaderValue,
    key: Secret,
}

impl Api {
    /// The API at this base URL with this key.
    ///
    /// # Errors
    /// When the key has characters that no header can carry.
    pub fn new(
        transport: Transport,
        base_url: BaseUrl,
        key: &Secret,
    ) -> Result<Self, http::header::InvalidHeaderValue> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", key.reveal()))?;
        authorization.set_sensitive(true);
        Ok(Self { transport, base_url, authorization, key: key.clone() })
    }

    /// Reads one page of a list, the oldest objects first.
    ///
    /// # Errors
    /// Everything but a page.
    pub async fn list(
        &self,
        resource: Resource,
        after: Option<&str>,
        attempt: Attempt,
    ) -> Result<Reply<Page>, Failure> {
        let mut path = format!("{}?limit={PAGE_OBJECTS}&order=asc", resource.path());
        if let Some(after) = after {
            path.push_str("&after=");
            percent_encode(&mut path, after);
        }
        let response = self.send(Method::GET, &path, &attempt).await?;
        let reply = accepted(&response)?;
        let page = serde_json::from_slice(response.body()).map_err(|error| {
            let mut failure =
                Failure::new(Kind::Malformed, format!("not a page of a list: {error}"));
            failure.request_id = reply.request_id.clone();
            failure.with_hint("check the base URL: this does not answer as WorkOS does")
        })?;
        Ok(Reply { value: page, status: reply.status, request_id: reply.request_id })
    }

    /// Deletes one object. Any 2xx is success and its body is not looked at: 200, 202 and 204
    /// are all documented or seen. 404 and 410 mean that it is not there.
    ///
    /// # Errors
    /// Everything else.
    ///
    /// # Panics
    /// When `id` is not one that [`Resource::is_id`] accepts; the plan never holds such a one.
    pub async fn delete(
        &self,
        resource: Resource,
        id: &str,
        attempt: Attempt,
    ) -> Result<Reply<Deleted>, Failure> {
        assert!(resource.is_id(id), "only the path of one object is ever deleted");
        let path = format!("{}/{id}", resource.path());
        let response = self.send(Method::DELETE, &path, &attempt).await?;
        if matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::GONE) {
            let status = response.status().as_u16();
            return Ok(Reply { value: Deleted::Absent, status, request_id: request_id(&response) });
        }
        accepted(&response)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        attempt: &Attempt,
    ) -> Result<Response<Bytes>, Failure> {
        let uri: Uri = self.base_url.join(path).map_err(|error| {
            Failure::new(Kind::Bug, format!("a path can't be part of a URL: {error}"))
        })?;
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT))
            .body(Bytes::new())
            .map_err(|error| {
                Failure::new(Kind::Bug, format!("a request can't be built: {error}"))
            })?;
        let response = self.transport.send(request).await.map_err(|error| unanswered(&error))?;
        learn(&response, attempt);
        Ok(self.without_key(response))
    }

    /// The answer without our key. Servers and proxies may repeat what they were sent, and what an
    /// answer says goes into errors, plans and journals.
    fn without_key(&self, mut response: Response<Bytes>) -> Response<Bytes> {
        let key = self.key.reveal();
        if key.len() < KEY_BYTES_MIN {
            return response;
        }
        // Nothing is ever shown of a body that is not text.
        if let Ok(text) = std::str::from_utf8(response.body())
            && text.contains(key)
        {
            *response.body_mut() = text.replace(key, KEY_SHOWN).into();
        }
        let tells = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains(key));
        if response.headers().get(REQUEST_ID).is_some_and(tells) {
            response.headers_mut().remove(REQUEST_ID);
        }
        response
    }
}

/// The header with the remote's name for the request.
const REQUEST_ID: &str = "x-request-id";

const USER_AGENT_TEXT: &str = concat!("windlass/", env!("CARGO_PKG_VERSION"));

/// Passes on what the headers say of the quota. WorkOS documents none; the emulator sends them.
fn learn(response: &Response<Bytes>, attempt: &Attempt) {
    if !response.headers().keys().any(|name| name.as_str().contains("ratelimit")) {
        return;
    }
    let headers = response.headers();
    if let Some((left, resets_in)) = rate_headers::remaining(headers, rate_headers::now(headers)) {
        attempt.told(left, resets_in);
    }
    if let Some(quota) = rate_headers::policy(headers) {
        attempt.told_quota(quota);
    }
}

fn request_id(response: &Response<Bytes>) -> Option<Box<str>> {
    let text = response.headers().get(REQUEST_ID)?.to_str().ok()?;
    Some(text.into())
}

/// A good status, or the failure that the status means.
fn accepted(response: &Response<Bytes>) -> Result<Reply<Deleted>, Failure> {
    let status = response.status();
    if status.is_success() {
        let (value, status) = (Deleted::Now, status.as_u16());
        return Ok(Reply { value, status, request_id: request_id(response) });
    }
    Err(refused(response))
}

pub(super) fn refused(response: &Response<Bytes>) -> Failure {
    let status = response.status();
    let (message, code) = error_words(response.body());
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS => Kind::Throttled,
        StatusCode::UNAUTHORIZED => Kind::Denied,
        StatusCode::FORBIDDEN => Kind::Forbidden,
        StatusCode::REQUEST_TIMEOUT => Kind::Unavailable,
        _ if status.is_server_error() => Kind::Unavailable,
        _ if status.is_redirection() => Kind::Malformed,
        _ => Kind::Rejected,
    };
    let words = message.unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason").into());
    let mut failure = Failure::new(kind, words);
    failure.status = Some(status.as_u16());
    failure.code = code;
    failure.request_id = request_id(response);
    let headers = response.headers();
    failure.wait = rate_headers::retry_after(headers, rate_headers::now(headers));
    failure.may_have_happened = kind == Kind::Unavailable;
    failure.hint = hint(kind, status).map(str::to_owned);
    failure
}

fn hint(kind: Kind, status: StatusCode) -> Option<&'static str> {
    match kind {
        Kind::Denied => {
            Some("check WORKOS_API_KEY: it was revoked, mistyped, or is of another environment")
        }
        Kind::Forbidden => {
            Some("check the permissions of this WORKOS_API_KEY in the WorkOS dashboard")
        }
        Kind::Malformed => Some("check the base URL: it answers with a redirect"),
        Kind::Rejected if status == StatusCode::NOT_FOUND => {
            Some("check the base URL: this does not answer as WorkOS does")
        }
        _ => None,
    }
}

/// No answer came.
fn unanswered(error: &TransportError) -> Failure {
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

/// The message and the code of an error body, which has no single shape: `message`, else
/// `error_description`, else `error`, else the raw text; `code`, else `error`. What is wrong with
/// single fields stands in `errors`.
fn error_words(body: &[u8]) -> (Option<String>, Option<String>) {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| json.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let message =
        field("message").or_else(|| field("error_description")).or_else(|| field("error"));
    let code = field("code").or_else(|| field("error"));
    let raw = || match &json {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Null => readable(body),
        _ => None,
    };
    let fields = json.get("errors").and_then(|errors| errors.as_array()).into_iter().flatten();
    let fields = fields.filter_map(|field| field.get("message")?.as_str());
    let message = message.or_else(raw).into_iter().chain(fields.map(str::to_owned));
    let message = message.reduce(|all, next| format!("{all}: {next}"));
    (message.map(|text| cut(&text)), code.map(|code| cut(&code)))
}

/// The text of a body that is not JSON, if a person can read it; a proxy's HTML page is not.
fn readable(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    (!text.is_empty() && !text.starts_with('<')).then(|| text.to_owned())
}

fn cut(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MESSAGE_CHARS_MAX).collect()
}

fn percent_encode(path: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~') {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
}
