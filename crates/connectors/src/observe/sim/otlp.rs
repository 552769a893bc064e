//! The receiver of OTLP over HTTP: `POST /v1/traces`, in protobuf and JSON.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderValue, Method, Request, Response};
use jiff::Timestamp;
use prost::Message;
use serde_json::json;
use windlass_sim::{Arrival, Reply};

use super::body::{Unpackable, unpack};
use super::journal::{Accepted, Journal, sequence_of};
use super::money;
use super::options::{Options, RetryAfter};
use super::replies::{add_retry_after, header, with_body};
use super::spans::{Attributes, Encoding, Span, Unreadable, read};
use super::wire::{ExportResponse, PartialSuccess};

/// The codes of `google.rpc.Status` that stand in the bodies of refusals.
const INVALID_ARGUMENT: i32 = 3;
const RESOURCE_EXHAUSTED: i32 = 8;
const UNAVAILABLE: i32 = 14;
const UNAUTHENTICATED: i32 = 16;

/// A receiver of spans.
#[derive(Debug)]
pub(super) struct Receiver {
    pub journal: Journal,
    rng: Rng,
}

impl Receiver {
    pub(super) fn new(options: &Options) -> Self {
        let journal = Journal::new(options.chassis.counters_only);
        Self { journal, rng: Rng::with_seed(options.chassis.seed ^ 0x0717) }
    }

    pub(super) fn answer(
        &mut self,
        options: &Options,
        request: &Request<Bytes>,
        arrival: Arrival,
        trouble: Option<u16>,
    ) -> Reply {
        let encoding = Encoding::of(header(request, "content-type"));
        // Refusals before the content type is looked at are in the encoding of a browser's taste.
        let spoken = encoding.unwrap_or(Encoding::Json);
        let say =
            |status, code, message: &str| Reply::unchanged(refusal(spoken, status, code, message));
        if request.method() != Method::POST {
            return say(405, INVALID_ARGUMENT, "405 method not allowed, supported: [POST]");
        }
        let unlucky = options.refuse_rate > 0.0 && self.rng.f64() < options.refuse_rate;
        let unlucky = unlucky.then(|| self.rng.choice(&options.refuse_status).copied()).flatten();
        let storm = arrival.storm.map(|_| 429);
        if let Some(status) = storm.or(trouble).or(unlucky) {
            let wait = arrival.storm.unwrap_or(options.retry_after_wait);
            return Reply::unchanged(later(
                spoken,
                status,
                options.retry_after,
                arrival.wall,
                wait,
            ));
        }
        let is_known = |wanted: &String| header(request, "authorization") == wanted;
        let is_open = options.any_key || options.otlp_authorization.as_ref().is_none_or(is_known);
        if arrival.revoked || !is_open {
            return say(401, UNAUTHENTICATED, "unauthorized");
        }
        let Some(encoding) = encoding else {
            let supported = "415 unsupported media type, supported: [application/json, \
                application/x-protobuf]";
            return say(415, INVALID_ARGUMENT, supported);
        };
        let coding = header(request, "content-encoding");
        let body = match unpack(request.body(), coding, options.otlp_body_max) {
            Ok(body) => body,
            Err(Unpackable::TooLarge) => {
                return say(413, RESOURCE_EXHAUSTED, "request body too large");
            }
            Err(Unpackable::Unknown) => {
                return say(415, INVALID_ARGUMENT, "unsupported Content-Encoding");
            }
            Err(Unpackable::Broken) => {
                return say(400, INVALID_ARGUMENT, "the body is not what its encoding says");
            }
        };
        match read(encoding, &body) {
            Ok(spans) if spans.iter().any(|span| options.poison.contains(&span.name)) => {
                say(400, INVALID_ARGUMENT, "a span can't be taken")
            }
            Ok(spans) => self.accept(options, encoding, &spans, arrival),
            Err(Unreadable::Malformed) => say(400, INVALID_ARGUMENT, "the body can't be parsed"),
            Err(Unreadable::Invalid(why)) => say(400, INVALID_ARGUMENT, &why),
        }
    }

    fn accept(
        &mut self,
        options: &Options,
        encoding: Encoding,
        spans: &[Span],
        arrival: Arrival,
    ) -> Reply {
        let is_rejected =
            |span: &&Span| options.reject_name.iter().any(|glob| matches(glob, &span.name));
        let rejected = spans.iter().filter(is_rejected).count();
        for span in spans.iter().filter(|span| !is_rejected(span)) {
            let user = user_of(&span.attributes).unwrap_or_default();
            let cost = total_cost_of(&span.attributes);
            let body = options.bodies.then(|| span.attributes.to_json().to_string());
            self.journal.note(
                arrival.at,
                Accepted {
                    trace: &span.trace_id,
                    id: &span.span_id,
                    class: "span",
                    name: &span.name,
                    user: &user,
                    cost: cost.as_deref(),
                    sequence: sequence_of(span.attributes.get("sequence")),
                    body: body.as_deref(),
                    ..Accepted::default()
                },
            );
        }
        self.journal.totals.rejected += rejected as u64;
        let response = success(encoding, rejected);
        let effect = spans.len() > rejected;
        let reply = Reply { response, effect, items: 0 };
        reply.with_items(spans.len())
    }
}

/// The user by any of the names in use.
pub(super) fn user_of(attributes: &Attributes) -> Option<String> {
    attributes.text(&["user.id", "langfuse.user.id"])
}

/// The total cost that a span states, by any of the names in use.
fn total_cost_of(attributes: &Attributes) -> Option<String> {
    let text = attributes.text(&["gen_ai.usage.cost", "llm.cost.total"])?;
    money::parse(&text).map(money::format)
}

/// Partial success stays unset when nothing was refused.
fn success(encoding: Encoding, rejected: usize) -> Response<Bytes> {
    let message = "the names of these spans are not welcome";
    let body = match (encoding, rejected) {
        (Encoding::Protobuf, 0) => Vec::new(),
        (Encoding::Json, 0) => b"{}".to_vec(),
        (Encoding::Protobuf, rejected) => {
            let rejected_spans = i64::try_from(rejected).unwrap_or(i64::MAX);
            let error_message = message.to_owned();
            let partial_success = Some(PartialSuccess { rejected_spans, error_message });
            ExportResponse { partial_success }.encode_to_vec()
        }
        (Encoding::Json, rejected) => {
            let partial = json!({"rejectedSpans": rejected.to_string(), "errorMessage": message});
            json!({"partialSuccess": partial}).to_string().into_bytes()
        }
    };
    with_body(200, HeaderValue::from_static(encoding.content_type()), body)
}

fn refusal(encoding: Encoding, status: u16, code: i32, message: &str) -> Response<Bytes> {
    let content_type = HeaderValue::from_static(encoding.content_type());
    with_body(status, content_type, encoding.status(code, message))
}

/// A refusal for now.
fn later(
    encoding: Encoding,
    status: u16,
    form: RetryAfter,
    wall: Timestamp,
    wait: Duration,
) -> Response<Bytes> {
    let code = if status == 429 { RESOURCE_EXHAUSTED } else { UNAVAILABLE };
    let mut response = refusal(encoding, status, code, "not now");
    add_retry_after(response.headers_mut(), form, wall, wait);
    response
}

/// Whether a name fits a pattern in which `*` is any text.
fn matches(glob: &str, name: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(rest) = name.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let mut rest = Some(rest);
    let mut last = None;
    for part in parts {
        if let (Some(text), Some(before)) = (rest, last) {
            rest = find_after(text, before);
        }
        last = Some(part);
    }
    match (rest, last) {
        (Some(rest), Some(last)) => rest.ends_with(last),
        (Some(rest), None) => rest.is_empty(),
        (None, _) => false,
    }
}

fn find_after<'a>(text: &'a str, part: &str) -> Option<&'a str> {
    text.find(part).map(|at| &text[at + part.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_any_text() {
        for (glob, name, expected) in [
            ("bad", "bad", true),
            ("bad", "bads", false),
            ("bad*", "bads", true),
            ("*bad", "so bad", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }
}
