//! The raw calls: requests, replies, and what a status means. Nothing here retries or waits.
//!
//! - `keys`: Workers KV below a namespace: listing, values, metadata, bulk
//! - `account`: namespaces, zones, purging, and the state of the token
//! - `refusal`: what an answer means that is not the one asked for
//!
//! The data in good answers is never changed, not even where our own token stands in it: names
//! and values are the user's, and a deletion or an export must have them as they are. What is
//! shown of refusals is.

mod account;
mod keys;
mod refusal;
#[cfg(test)]
pub(super) mod tests;

pub use crate::http_api::Reply;
pub use account::{Action, Listed, Namespace, Zone, ZoneQuery};
pub use keys::{BulkReply, Expiry, Found, KeyPage, ListQuery, Put};

use crate::connector::{OpenError, Secret};
use crate::http_api::{USER_AGENT_TEXT, learn, percent_encode, unanswered, without_key};
use crate::transport::{BaseUrl, Transport, TransportError};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, Uri};
use refusal::{BASE_URL_HINT, Permission, Refused};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::fmt::Display;
use windlass_engine::remote::Attempt;
use windlass_engine::{Failure, Kind};

/// How many keys a page of a list holds at most, and how many we ask for.
pub const PAGE_KEYS: u32 = 1_000;
/// The fewest keys that may be asked for.
pub const PAGE_KEYS_MIN: u32 = 10;
/// How many pairs one bulk write may carry.
pub const PUT_ITEMS_MAX: usize = 10_000;
/// How many names one bulk deletion may carry.
pub const DELETE_ITEMS_MAX: usize = 10_000;
/// How many keys one bulk read may ask for.
pub const GET_KEYS_MAX: usize = 100;

/// The header with Cloudflare's name for the request.
pub(super) const REQUEST_ID: &str = "cf-ray";

/// Who asks.
#[derive(Clone, Debug)]
pub enum Auth {
    /// An API token.
    Token(Secret),
    /// The global key of a user.
    Key {
        /// The user's address.
        email: String,
        /// The key.
        key: Secret,
    },
}

impl Auth {
    /// What must never be shown.
    #[must_use]
    pub const fn secret(&self) -> &Secret {
        match self {
            Self::Token(secret) | Self::Key { key: secret, .. } => secret,
        }
    }

    fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, http::header::InvalidHeaderValue> {
        let sensitive = |text: &str| {
            HeaderValue::from_str(text).map(|mut value| {
                value.set_sensitive(true);
                value
            })
        };
        Ok(match self {
            Self::Token(token) => {
                vec![(AUTHORIZATION, sensitive(&format!("Bearer {}", token.reveal()))?)]
            }
            Self::Key { email, key } => vec![
                (HeaderName::from_static("x-auth-email"), HeaderValue::from_str(email)?),
                (HeaderName::from_static("x-auth-key"), sensitive(key.reveal())?),
            ],
        })
    }
}

/// The API as one user sees it.
#[derive(Debug)]
pub struct Api {
    transport: Transport,
    base_url: BaseUrl,
    account: Option<String>,
    auth: Auth,
    headers: Vec<(HeaderName, HeaderValue)>,
    reserve: u32,
}

/// One request, whole.
struct Call {
    method: Method,
    path: String,
    body: Option<(HeaderValue, Bytes)>,
    /// How many items it carries; 1 where it is about one thing.
    items: u32,
    needs: Permission,
}

impl Call {
    fn new(method: Method, path: String, needs: Permission) -> Self {
        Self { method, path, body: None, items: 1, needs }
    }

    fn json(mut self, body: Bytes) -> Self {
        self.body = Some((HeaderValue::from_static("application/json"), body));
        self
    }

    fn items(mut self, items: u32) -> Self {
        self.items = items;
        self
    }
}

/// What every answer in JSON looks like. Besides, there are `errors` and `messages`, which may be
/// objects or strings and are not looked at in a good answer.
#[derive(Deserialize)]
struct Envelope<'a> {
    success: bool,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result_info: Option<&'a RawValue>,
}

impl Api {
    /// The API at this base URL. The last `reserve` requests of the quota that its answers tell of
    /// are kept for the account's other users.
    ///
    /// # Errors
    /// When the credentials hold characters that no header can carry.
    pub fn new(
        transport: Transport,
        base_url: BaseUrl,
        account: Option<String>,
        auth: &Auth,
        reserve: u32,
    ) -> Result<Self, OpenError> {
        let headers = auth.headers().map_err(|_| {
            OpenError::usage(
                "the credentials hold characters that can't be sent",
                match auth {
                    Auth::Token(_) => "copy CLOUDFLARE_API_TOKEN again from the dashboard",
                    Auth::Key { .. } => {
                        "copy CLOUDFLARE_API_KEY and CLOUDFLARE_EMAIL again from the dashboard"
                    }
                },
            )
        })?;
        Ok(Self { transport, base_url, account, auth: auth.clone(), headers, reserve })
    }

    /// The id of the account, where one was named.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// Sends one request; an answer of any status comes back as it is.
    async fn exchange(&self, call: &Call, attempt: &Attempt) -> Result<Response<Bytes>, Failure> {
        let bug =
            |what: &str, error: &dyn Display| Failure::new(Kind::Bug, format!("{what}: {error}"));
        let uri: Uri = self
            .base_url
            .join(&call.path)
            .map_err(|error| bug("a path can't be part of a URL", &error))?;
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(uri)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, HeaderValue::from_static(USER_AGENT_TEXT));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut body = Bytes::new();
        if let Some((kind, content)) = &call.body {
            request = request.header(CONTENT_TYPE, kind);
            body = content.clone();
        }
        let request =
            request.body(body).map_err(|error| bug("a request can't be built", &error))?;
        let answer = self.transport.send(request).await;
        let response = answer.map_err(|error| self.no_answer(call, &error))?;
        learn(response.headers(), attempt, self.reserve);
        Ok(response)
    }

    /// Sends one request; an answer of a good status comes back as it is.
    async fn send(&self, call: &Call, attempt: &Attempt) -> Result<Response<Bytes>, Failure> {
        let response = self.exchange(call, attempt).await?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refused(response, call))
        }
    }

    /// The answer to a request of many items may be more than we take at once: fewer are then.
    fn no_answer(&self, call: &Call, error: &TransportError) -> Failure {
        let mut failure = unanswered(error);
        if call.items > 1 && matches!(error, TransportError::BodyTooLarge { .. }) {
            failure.kind = Kind::TooLarge;
        }
        failure
    }

    fn refused(&self, response: Response<Bytes>, call: &Call) -> Failure {
        let response = without_key(response, self.auth.secret(), REQUEST_ID);
        let refused = Refused { response: &response, items: call.items, needs: call.needs };
        refused.failure(&self.auth)
    }

    /// Sends one request whose answer is an envelope, and reads the result in it.
    async fn ask<T: DeserializeOwned>(
        &self,
        call: Call,
        attempt: &Attempt,
    ) -> Result<Reply<T>, Failure> {
        let response = self.send(&call, attempt).await?;
        let result = self.envelope(&response, &call)?.result;
        let value = serde_json::from_str(result.map_or("null", RawValue::get));
        let value = value.map_err(|error| self.malformed(&response, &error))?;
        Ok(Reply::of(value, &response, REQUEST_ID))
    }

    /// The same where nothing in the result matters: older schemas leave it empty.
    async fn tell(&self, call: Call, attempt: &Attempt) -> Result<Reply<()>, Failure> {
        Ok(self.ask::<serde::de::IgnoredAny>(call, attempt).await?.map(|_| ()))
    }

    /// The envelope of a good status. One that says `"success": false` is a refusal all the same.
    fn envelope<'r>(
        &self,
        response: &'r Response<Bytes>,
        call: &Call,
    ) -> Result<Envelope<'r>, Failure> {
        let envelope: Envelope<'r> = serde_json::from_slice(response.body())
            .map_err(|error| self.malformed(response, &error))?;
        if envelope.success { Ok(envelope) } else { Err(self.refused(response.clone(), call)) }
    }

    /// The answer is not what the API answers. What the parser says may quote the answer.
    fn malformed(&self, response: &Response<Bytes>, error: &dyn Display) -> Failure {
        let words = format!("the answer is not understood: {error}");
        let response = without_key(response.clone(), self.auth.secret(), REQUEST_ID);
        refusal::malformed(&response, &words, self.auth.secret()).with_hint(BASE_URL_HINT)
    }

    /// The path of the account's namespaces.
    fn namespaces_path(&self) -> Result<String, Failure> {
        let Some(account) = &self.account else {
            let failure = Failure::new(Kind::Rejected, "no account is named");
            return Err(failure.with_hint("set CLOUDFLARE_ACCOUNT_ID, or name --account-id"));
        };
        let mut path = "/accounts/".to_owned();
        segment(&mut path, "account id", account)?;
        path.push_str("/storage/kv/namespaces");
        Ok(path)
    }

    /// The path of one namespace.
    fn namespace_path(&self, namespace: &str) -> Result<String, Failure> {
        let mut path = self.namespaces_path()?;
        path.push('/');
        segment(&mut path, "namespace", namespace)?;
        Ok(path)
    }
}

/// Appends a name as one segment of a path. An empty one, `.` and `..` would make it the path of
/// something else, and a DELETE must never go there.
fn segment(path: &mut String, what: &str, name: &str) -> Result<(), Failure> {
    if matches!(name, "" | "." | "..") {
        return Err(Failure::new(Kind::Rejected, format!("`{name}` can't be a {what}")));
    }
    percent_encode(path, name);
    Ok(())
}

/// Appends `name=value` to a query.
fn query(path: &mut String, name: &str, value: &str) {
    path.push(if path.contains('?') { '&' } else { '?' });
    path.push_str(name);
    path.push('=');
    percent_encode(path, value);
}
