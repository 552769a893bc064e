//! The raw calls: requests, replies, and what a status means. Nothing here retries or waits.

use crate::connector::Secret;
pub use crate::http_api::Reply;
use crate::http_api::{
    USER_AGENT_TEXT, cut, failure_of, learn, percent_encode, readable, unanswered, without_key,
};
use crate::transport::{BaseUrl, Transport};
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
        Ok(reply.map(|_| page))
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
            return Ok(Reply::of(Deleted::Absent, &response, REQUEST_ID));
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
        // WorkOS documents no headers about its quota; the emulator sends them.
        learn(response.headers(), attempt, 0);
        Ok(without_key(response, &self.key, REQUEST_ID))
    }
}

/// The header with the remote's name for the request.
const REQUEST_ID: &str = "x-request-id";

/// A good status, or the failure that the status means.
fn accepted(response: &Response<Bytes>) -> Result<Reply<Deleted>, Failure> {
    if response.status().is_success() {
        return Ok(Reply::of(Deleted::Now, response, REQUEST_ID));
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
    let mut failure = failure_of(response, kind, message, REQUEST_ID);
    failure.code = code;
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
