//! What an answer means that is not the one asked for: by its status first, then by the code in
//! its envelope. Codes that are not known are shown as they came.

use super::{Auth, REQUEST_ID};
use crate::connector::Secret;
use crate::http_api::{cut, failure_of, hide_key, readable};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;
use windlass_engine::{Failure, Kind};

/// What to do about an answer that is not the API's.
pub(super) const BASE_URL_HINT: &str =
    "check the base URL: this does not answer as the Cloudflare API does";

/// The codes of the envelope that say that the credentials are not good for this: "authentication
/// error", "authentication failed" and "not authorised".
const DENIED: [&str; 3] = ["10000", "9106", "9109"];
/// The codes for a key and a namespace that are not there, and for a title that is taken.
const KEY_NOT_FOUND: &str = "10009";
const NAMESPACE_NOT_FOUND: &str = "10013";
const TITLE_TAKEN: &str = "10014";
/// How Cloudflare's edge says that the API took too long: its own status.
const EDGE_TIMEOUT: u16 = 524;

/// What a refusal of a purge says when it is about the number of its items; its code is not
/// documented.
const TOO_MANY: [&str; 6] = ["too many", "at most", "maximum", "exceed", "more than", "limited to"];

/// A purge of so many items was never seen refused for their number: 30 URLs were the limit before
/// the documentation said 100, and were reported to be still in force after it. The words of such
/// a refusal are not documented, so a larger purge that is refused as a bad request is halved
/// whatever they are; a bad item then spoils 30 others at most.
const ITEMS_NEVER_TOO_MANY: u32 = 30;

/// The permission that a call needs, as the dashboard names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// Reading keys and namespaces.
    KvRead,
    /// Changing them.
    KvWrite,
    /// Purging and invalidating.
    CachePurge,
    /// Reading zones.
    ZoneRead,
}

impl Permission {
    const fn name(self) -> Option<&'static str> {
        match self {
            Self::KvRead => Some("Workers KV Storage Read"),
            Self::KvWrite => Some("Workers KV Storage Write"),
            Self::CachePurge => Some("Cache Purge"),
            Self::ZoneRead => Some("Zone Read"),
        }
    }
}

/// An answer that is a refusal, and what was asked for.
pub(super) struct Refused<'a> {
    pub response: &'a Response<Bytes>,
    pub items: u32,
    pub needs: Permission,
}

impl Refused<'_> {
    /// The failure that it means.
    pub(super) fn failure(&self, auth: &Auth) -> Failure {
        let (mut words, code) = error_words(self.response.body());
        if self.is_challenge() {
            words =
                Some("a page of Cloudflare's firewall (a challenge) answered, not the API".into());
        }
        let kind = self.kind(code.as_deref(), words.as_deref().unwrap_or_default());
        let mut failure = failure_of(self.response, kind, words, REQUEST_ID);
        // A batch that the edge gave up waiting for may have been carried out.
        failure.may_have_happened |= failure.status == Some(EDGE_TIMEOUT);
        failure.hint = self.hint(kind, code.as_deref(), auth);
        failure.code = code;
        failure
    }

    fn is_challenge(&self) -> bool {
        self.response.headers().get("cf-mitigated").is_some_and(|value| value == "challenge")
    }

    fn kind(&self, code: Option<&str>, words: &str) -> Kind {
        let status = self.response.status();
        let denied = code.is_some_and(|code| DENIED.contains(&code));
        let many = self.items > 1;
        match (status, code) {
            (StatusCode::TOO_MANY_REQUESTS, _) => Kind::Throttled,
            (StatusCode::PAYLOAD_TOO_LARGE, _) => Kind::TooLarge,
            _ if status.as_u16() == EDGE_TIMEOUT && many => Kind::TooLarge,
            (StatusCode::UNAUTHORIZED, _) => Kind::Denied,
            (StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN, _) if denied => Kind::Denied,
            (StatusCode::FORBIDDEN, _) => Kind::Forbidden,
            (StatusCode::NOT_FOUND, Some(KEY_NOT_FOUND)) => Kind::Absent,
            (StatusCode::BAD_REQUEST, Some(TITLE_TAKEN)) => Kind::Conflict,
            (StatusCode::REQUEST_TIMEOUT, _) => Kind::Unavailable,
            _ if status.is_server_error() => Kind::Unavailable,
            _ if status.is_redirection() => Kind::Malformed,
            _ if status.is_success() && denied => Kind::Denied,
            _ if self.may_be_too_many(words) => Kind::TooLarge,
            _ => Kind::Rejected,
        }
    }

    /// Whether a purge of fewer items may be taken.
    fn may_be_too_many(&self, words: &str) -> bool {
        let is_bad = self.response.status() == StatusCode::BAD_REQUEST;
        let many = is_bad && self.items > ITEMS_NEVER_TOO_MANY;
        let purges = self.needs == Permission::CachePurge;
        purges && self.items > 1 && (many || says_too_many(words))
    }

    fn hint(&self, kind: Kind, code: Option<&str>, auth: &Auth) -> Option<String> {
        let status = self.response.status();
        let fixed = match kind {
            Kind::Forbidden if self.is_challenge() => {
                "allow this machine in the firewall's rules, or call from another network"
            }
            Kind::Denied | Kind::Forbidden => return Some(self.credentials_hint(auth)),
            Kind::Malformed => "check the base URL: it answers with a redirect",
            Kind::Conflict => {
                "choose another title; `windlass kv namespaces` shows those there are"
            }
            Kind::Rejected if code == Some(NAMESPACE_NOT_FOUND) => {
                "`windlass kv namespaces` shows those there are, with their ids"
            }
            Kind::Rejected if status == StatusCode::NOT_FOUND && code.is_some() => {
                "check CLOUDFLARE_ACCOUNT_ID and the ids in this command"
            }
            Kind::Rejected if status == StatusCode::NOT_FOUND => BASE_URL_HINT,
            Kind::Rejected if status == StatusCode::URI_TOO_LONG => "a key has at most 512 bytes",
            _ => return None,
        };
        Some(fixed.to_owned())
    }

    fn credentials_hint(&self, auth: &Auth) -> String {
        let check = match auth {
            Auth::Token(_) => "check CLOUDFLARE_API_TOKEN",
            Auth::Key { .. } => "check CLOUDFLARE_API_KEY and CLOUDFLARE_EMAIL",
        };
        match self.needs.name() {
            Some(name) => format!("{check}: this needs the permission \"{name}\""),
            None => check.to_owned(),
        }
    }
}

fn says_too_many(words: &str) -> bool {
    let words = words.to_lowercase();
    TOO_MANY.iter().any(|many| words.contains(many))
}

/// The answer is not what the API answers.
pub(super) fn malformed(response: &Response<Bytes>, words: &str, key: &Secret) -> Failure {
    let words = cut(&hide_key(words, key));
    failure_of(response, Kind::Malformed, Some(words), REQUEST_ID)
}

/// The messages of the envelope's errors with those of their chains, and the first one's code.
/// Further codes stand behind their messages.
fn error_words(body: &[u8]) -> (Option<String>, Option<String>) {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let errors = json.get("errors").and_then(Value::as_array).into_iter().flatten();
    let errors: Vec<&Value> = errors.collect();
    let said = errors.iter().enumerate().filter_map(|(number, error)| {
        let chain = error.get("error_chain").and_then(Value::as_array).into_iter().flatten();
        let messages = std::iter::once(*error).chain(chain).filter_map(message_of);
        let said = messages.reduce(|all, next| format!("{all}: {next}"))?;
        let code = code_of(error).filter(|_| number > 0);
        Some(code.map_or_else(|| said.clone(), |code| format!("{said} ({code})")))
    });
    let words = said.reduce(|all, next| format!("{all}; {next}"));
    let words = words.or_else(|| match &json {
        Value::Null => readable(body),
        Value::Object(_) => json.get("error").and_then(Value::as_str).map(str::to_owned),
        Value::String(text) => Some(text.clone()),
        _ => None,
    });
    let code = errors.first().and_then(|error| code_of(error));
    (words.map(|text| cut(&text)), code.map(|code| cut(&code)))
}

fn message_of(error: &Value) -> Option<String> {
    let message = error.as_str().or_else(|| error.get("message")?.as_str())?.trim();
    (!message.is_empty()).then(|| message.to_owned())
}

fn code_of(error: &Value) -> Option<String> {
    match error.get("code")? {
        Value::Number(code) => Some(code.to_string()),
        Value::String(code) => Some(code.clone()),
        _ => None,
    }
}
