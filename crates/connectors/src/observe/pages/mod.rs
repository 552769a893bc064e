//! What a gateway shows of itself: the live page, the metrics, its status as JSON, and the answers
//! to whoever asks whether it lives and is ready. All of it is made from a [`Status`], and nothing
//! here knows of sockets.

mod exposition;
mod findings;
mod metrics;
mod page;
#[cfg(test)]
mod tests;

use super::status::{LATENCY_BOUNDS_US, Status};
use findings::Finding;
use serde::Serialize;
use std::borrow::Cow;

const JSON: &str = "application/json; charset=utf-8";
/// Nothing here is worth keeping: figures are old after a second, and the page is small.
const FRESH: (&str, &str) = ("cache-control", "no-store");
/// No answer is ever to be read as anything but what it says it is.
const AS_STATED: (&str, &str) = ("x-content-type-options", "nosniff");

/// An answer, without its transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The status of HTTP: 200, or 503 of a gateway that is not ready.
    pub(super) status: u16,
    /// The media type of the body.
    pub(super) content_type: &'static str,
    /// All other headers, with lower-case names; `Content-Length` is the server's.
    pub(super) headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub(super) body: String,
}

impl Page {
    fn new(status: u16, content_type: &'static str, body: String) -> Self {
        let headers = [FRESH, AS_STATED].map(|(name, value)| (name, Cow::Borrowed(value)));
        Self { status, content_type, headers: headers.into(), body }
    }

    fn json(status: u16, value: &impl Serialize, is_pretty: bool) -> Self {
        let text = if is_pretty {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        match text {
            Ok(mut body) => {
                body.push('\n');
                Self::new(status, JSON, body)
            }
            Err(error) => Self::new(500, "text/plain; charset=utf-8", format!("{error}\n")),
        }
    }
}

/// The answer to a GET of `path`, or nothing where the path is none of ours. `query` is what
/// follows the `?` without it; `accept` is the header, empty when there was none. `status` is only
/// called for paths that need it.
///
/// `/` is the page, or the same as `/v1/status` for who accepts JSON and no HTML. `/v1/status` is
/// everything as JSON, indented after `?pretty`. `/metrics` is Prometheus' text format 0.0.4.
/// `/health` is 200 as long as anything answers. `/ready` is 503 with the reasons while the
/// gateway should not be sent to.
pub(super) fn answer(
    path: &str,
    query: &str,
    accept: &str,
    status: impl Fn() -> Status,
) -> Option<Page> {
    match path {
        "/" if wants_json(accept) => Some(whole(&status(), is_pretty(query))),
        "/" => Some(page::live(&status())),
        "/metrics" => Some(Page::new(200, exposition::CONTENT_TYPE, metrics::text(&status()))),
        "/health" => Some(health()),
        "/ready" => Some(ready(&status())),
        "/v1/status" => Some(whole(&status(), is_pretty(query))),
        _ => None,
    }
}

fn wants_json(accept: &str) -> bool {
    accept.contains("application/json") && !accept.contains("text/html")
}

fn is_pretty(query: &str) -> bool {
    query.split('&').any(|part| part == "pretty" || part == "pretty=1" || part == "pretty=true")
}

/// The process lives; the words are those of Langfuse's own health check, whose clients may ask.
fn health() -> Page {
    #[derive(Serialize)]
    struct Health {
        status: &'static str,
        version: &'static str,
    }
    Page::json(200, &Health { status: "OK", version: env!("CARGO_PKG_VERSION") }, false)
}

fn ready(status: &Status) -> Page {
    #[derive(Serialize)]
    struct Ready<'a> {
        ready: bool,
        reasons: &'a [String],
    }
    let is_ready = status.not_ready.is_empty();
    let body = Ready { ready: is_ready, reasons: &status.not_ready };
    let mut page = Page::json(if is_ready { 200 } else { 503 }, &body, false);
    if !is_ready {
        page.headers.push(("retry-after", Cow::Borrowed("2")));
    }
    page
}

/// A status with what its readers need to understand it.
fn whole(status: &Status, is_pretty: bool) -> Page {
    #[derive(Serialize)]
    struct Whole<'a> {
        /// The upper bounds of `at_most` in the latencies of doors and destinations.
        latency_bounds_us: &'static [u64],
        /// What a person should know, the worst first.
        findings: Vec<Finding>,
        #[serde(flatten)]
        status: &'a Status,
    }
    let findings = findings::of(status);
    let whole = Whole { latency_bounds_us: &LATENCY_BOUNDS_US, findings, status };
    Page::json(200, &whole, is_pretty)
}
