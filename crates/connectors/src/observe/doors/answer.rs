//! Answers, each in the dialect of its client and byte for byte what that expects.
//!
//! - OTLP: a `google.rpc.Status` in the encoding of the request. Its clients repeat a request after
//!   429, 502, 503 and 504 only, so a fault of ours is 503 and never 500.
//! - Langfuse: JSON with `message`.
//! - RudderStack: plain text, with the line end that Go's `http.Error` adds. Its Python client
//!   takes an error in JSON without a `code` for a failure of its own, and repeats the request;
//!   it also repeats after any success that is not exactly 200.

use crate::observe::otlp::answer::{Code, Encoding, status};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;

/// The body of an answer; pages that the caller serves may stream theirs.
pub type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;
/// An answer.
pub type Answer = Response<AnswerBody>;

/// How a client is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OTLP, in this encoding.
    Otlp(Encoding),
    /// Langfuse's programming interface.
    Langfuse,
    /// RudderStack's data plane.
    Rudder,
}

/// Why a whole request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has no key.
    NoKey {
        /// Whether the key would stand in the address.
        in_query: bool,
    },
    /// Its key is unknown.
    WrongKey,
    /// It cannot be read.
    Bad(String),
    /// Its content type or encoding is none of ours.
    Unsupported(String),
    /// It is too large.
    TooLarge,
    /// It came too slowly.
    TooSlow,
    /// There is no room now.
    Busy {
        /// When there may be.
        retry_after: Duration,
    },
    /// The project has used up what it may.
    Limited {
        /// What it has used up.
        message: String,
        /// When it may again.
        retry_after: Duration,
    },
    /// Something of ours is broken.
    Broken(String),
    /// It has the wrong method; the right ones.
    WrongMethod(&'static str),
}

impl Refusal {
    fn status(&self, dialect: Dialect) -> StatusCode {
        match self {
            Self::NoKey { .. } | Self::WrongKey => StatusCode::UNAUTHORIZED,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Broken(_) if matches!(dialect, Dialect::Otlp(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::Limited { retry_after, .. } => Some(*retry_after),
            Self::Broken(_) => Some(Duration::from_secs(3)),
            _ => None,
        }
    }

    /// What is said to clients of OTLP and Langfuse.
    fn message(&self) -> &str {
        match self {
            Self::NoKey { .. } => "No authorization header",
            Self::WrongKey => {
                "Invalid credentials. Confirm that you've configured the correct host."
            }
            Self::Bad(message) | Self::Unsupported(message) | Self::Broken(message) => message,
            Self::Limited { message, .. } => message,
            Self::TooLarge => "The request is larger than allowed, or becomes so when unpacked",
            Self::TooSlow => "The request took too long to arrive",
            Self::Busy { .. } => "The gateway has no room for the request now; repeat it later",
            Self::WrongMethod(_) => "Method not allowed",
        }
    }

    const fn code(&self) -> Code {
        match self {
            Self::NoKey { .. } | Self::WrongKey => Code::Unauthenticated,
            Self::Bad(_) | Self::Unsupported(_) | Self::TooLarge | Self::WrongMethod(_) => {
                Code::InvalidArgument
            }
            Self::Limited { .. } => Code::ResourceExhausted,
            Self::TooSlow | Self::Busy { .. } | Self::Broken(_) => Code::Unavailable,
        }
    }

    /// The names of Langfuse's errors.
    const fn langfuse_name(&self) -> &'static str {
        match self {
            Self::NoKey { .. } | Self::WrongKey => "UnauthorizedError",
            Self::Bad(_) | Self::Unsupported(_) => "InvalidRequestError",
            Self::TooLarge => "PayloadTooLargeError",
            Self::TooSlow => "RequestTimeoutError",
            Self::Limited { .. } => "RateLimitError",
            Self::Busy { .. } => "ServiceUnavailableError",
            Self::Broken(_) => "InternalServerError",
            Self::WrongMethod(_) => "MethodNotAllowedError",
        }
    }

    /// What RudderStack's server says.
    fn rudder_text(&self) -> &str {
        match self {
            Self::NoKey { in_query: true } => "failed to read writekey from query params",
            Self::NoKey { in_query: false } => "failed to read writekey from header",
            Self::WrongKey => "invalid write key",
            Self::Bad(message) | Self::Unsupported(message) | Self::Broken(message) => message,
            Self::TooLarge => "request size exceeds max limit",
            Self::TooSlow => "failed to read body from request",
            Self::Busy { .. } => "service unavailable",
            Self::Limited { .. } => "max requests limit reached",
            Self::WrongMethod(_) => "invalid http request method",
        }
    }
}

/// The answer to a refused request.
#[must_use]
pub fn refusal(dialect: Dialect, refusal: &Refusal) -> Answer {
    let status_code = refusal.status(dialect);
    let mut answer = match dialect {
        Dialect::Otlp(encoding) => {
            let body = status(encoding, refusal.code(), refusal.message());
            whole(status_code, encoding.content_type(), body)
        }
        Dialect::Langfuse => langfuse_refusal(status_code, refusal),
        Dialect::Rudder => rudder_error(status_code, refusal.rudder_text()),
    };
    if let Some(wait) = refusal.retry_after() {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds(wait)));
    }
    if let Refusal::WrongMethod(methods) = refusal {
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    }
    answer
}

/// Whole seconds, rounded up, at least one.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn langfuse_refusal(status: StatusCode, refusal: &Refusal) -> Answer {
    let body = match refusal {
        Refusal::Limited { message, retry_after } => json!({
            "error": refusal.langfuse_name(),
            "message": message,
            "code": "rate_limited",
            "details": {"retryAfterSeconds": seconds(*retry_after)},
        }),
        Refusal::Bad(error) => json!({
            "error": refusal.langfuse_name(),
            "message": "Invalid request data",
            "errors": [error],
        }),
        _ => json!({"error": refusal.langfuse_name(), "message": refusal.message()}),
    };
    json(status, &body)
}

/// An error of RudderStack.
fn rudder_error(status: StatusCode, text: &str) -> Answer {
    let mut answer = whole(status, "text/plain; charset=utf-8", format!("{text}\n"));
    let nosniff = HeaderName::from_static("x-content-type-options");
    answer.headers_mut().insert(nosniff, HeaderValue::from_static("nosniff"));
    answer
}

/// RudderStack's success.
#[must_use]
pub fn rudder_ok() -> Answer {
    whole(StatusCode::OK, "text/plain; charset=utf-8", "ok")
}

/// An answer in JSON.
#[must_use]
pub fn json(status: StatusCode, body: &serde_json::Value) -> Answer {
    whole(status, "application/json; charset=utf-8", body.to_string())
}

/// An answer with a body that is there already.
#[must_use]
pub fn whole(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
