//! The gateway's two doors: how events become the body of a request, and what an answer means.

use crate::clock::{Clock, ISO_LENGTH, push_iso, retry_after};
use crate::message::push_json;
use crate::protobuf;
use crate::settings::Builder;
use crate::value::Value;
use crate::{ids, json};
use std::time::Duration;
use ureq::Agent;
use ureq::http::Response;

/// What a door's requests carry.
#[derive(Debug)]
pub(crate) enum Content {
    /// Spans: a `Resource` of OTLP, and an `InstrumentationScope`.
    Spans {
        /// The finished message.
        resource: Vec<u8>,
        /// The finished message.
        scope: Vec<u8>,
    },
    /// Product events, with the context that all share, without its last brace.
    Messages {
        /// See [`push_json`].
        context: Vec<u8>,
    },
}

/// Where requests go.
#[derive(Debug)]
pub(crate) struct Door {
    agent: Agent,
    url: String,
    authorization: String,
    content: Content,
    gzip: bool,
}

/// What an answer means for the events of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The gateway has them, but for so many that it refused.
    Taken {
        /// How many it refused.
        refused: u64,
    },
    /// It never takes them.
    Refused,
    /// There were too many bytes; fewer may pass.
    TooLarge,
    /// The same request may pass later.
    Again {
        /// After how long, where it was told.
        after: Option<Duration>,
    },
}

/// An answer's body is read up to here; those of the doors have less than a hundred bytes.
const ANSWER_MAX: u64 = 64 << 10;

const SPANS_PATH: &str = "/v1/traces";
const MESSAGES_PATH: &str = "/v1/batch";

impl Door {
    /// The door of traces.
    pub(crate) fn of_spans(settings: &Builder, keys: &(String, String)) -> Self {
        let mut resource = Vec::new();
        protobuf::attribute(1, "service.name", Value::Text(&settings.service), &mut resource);
        if let Some(environment) = &settings.environment {
            let environment = Value::Text(environment);
            protobuf::attribute(1, "deployment.environment.name", environment, &mut resource);
            protobuf::attribute(1, "langfuse.environment", environment, &mut resource);
        }
        if let Some(release) = &settings.release {
            protobuf::attribute(1, "service.version", Value::Text(release), &mut resource);
            protobuf::attribute(1, "langfuse.release", Value::Text(release), &mut resource);
        }
        let mut scope = Vec::new();
        protobuf::bytes(1, env!("CARGO_PKG_NAME").as_bytes(), &mut scope);
        protobuf::bytes(2, env!("CARGO_PKG_VERSION").as_bytes(), &mut scope);
        let content = Content::Spans { resource, scope };
        Self::new(settings, SPANS_PATH, &format!("{}:{}", keys.0, keys.1), content)
    }

    /// The door of product events.
    pub(crate) fn of_messages(settings: &Builder, write_key: &str) -> Self {
        let mut context = b"{\"library\":{\"name\":".to_vec();
        json::text(env!("CARGO_PKG_NAME"), &mut context);
        context.extend_from_slice(b",\"version\":");
        json::text(env!("CARGO_PKG_VERSION"), &mut context);
        context.push(b'}');
        if let Some(environment) = &settings.environment {
            context.extend_from_slice(b",\"environment\":");
            json::text(environment, &mut context);
        }
        if let Some(release) = &settings.release {
            context.extend_from_slice(b",\"app\":{\"version\":");
            json::text(release, &mut context);
            context.push(b'}');
        }
        let content = Content::Messages { context };
        Self::new(settings, MESSAGES_PATH, &format!("{write_key}:"), content)
    }

    fn new(settings: &Builder, path: &str, credentials: &str, content: Content) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(1)
            // A gateway is near; a proxy is for what is far.
            .proxy(None)
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")));
        Self {
            agent: config.build().new_agent(),
            url: format!("{}{path}", settings.url),
            authorization: format!("Basic {}", base64(credentials.as_bytes())),
            content,
            gzip: settings.gzip,
        }
    }

    /// Makes the body of a request with these events, the same for every attempt but for the
    /// moment it is sent.
    pub(crate) fn encode(&self, events: &[Vec<u8>], clock: &Clock, body: &mut Vec<u8>) {
        body.clear();
        match &self.content {
            Content::Spans { resource, scope } => encode_spans(events, resource, scope, body),
            Content::Messages { context } => {
                body.extend_from_slice(b"{\"batch\":[");
                for (number, event) in events.iter().enumerate() {
                    if number > 0 {
                        body.push(b',');
                    }
                    let begin = body.len();
                    if push_json(event, context, body).is_none() {
                        body.truncate(begin.saturating_sub(usize::from(number > 0)));
                    }
                }
                // RudderStack corrects clocks by this, so that an old one would move every event.
                body.reserve(ISO_LENGTH + 14);
                body.extend_from_slice(b"],\"sentAt\":\"");
                push_iso(clock.now_ns(), body);
                body.extend_from_slice(b"\"}");
            }
        }
    }

    /// Sends a body, and says what the answer means.
    pub(crate) fn post(&self, body: &[u8], timeout: Duration, clock: &Clock) -> Answer {
        let content_type = match self.content {
            Content::Spans { .. } => "application/x-protobuf",
            Content::Messages { .. } => "application/json",
        };
        let request = self
            .agent
            .post(&self.url)
            .config()
            .timeout_global(Some(timeout))
            .build()
            .header("Authorization", &self.authorization)
            .header("Content-Type", content_type);
        let answered = match self.gzipped(body) {
            Some(small) => request.header("Content-Encoding", "gzip").send(&small[..]),
            None => request.send(body),
        };
        match answered {
            Ok(response) => self.judge(response, clock),
            // Everything that is no answer is a connection that failed, was lost or hangs.
            Err(_) => Answer::Again { after: None },
        }
    }

    #[cfg(feature = "gzip")]
    fn gzipped(&self, body: &[u8]) -> Option<Vec<u8>> {
        use std::io::Write;
        if !self.gzip {
            return None;
        }
        let small = Vec::with_capacity(body.len() / 4);
        let mut encoder = flate2::write::GzEncoder::new(small, flate2::Compression::fast());
        encoder.write_all(body).ok()?;
        encoder.finish().ok()
    }

    #[cfg(not(feature = "gzip"))]
    fn gzipped(&self, _: &[u8]) -> Option<Vec<u8>> {
        // The settings refuse to start with it.
        debug_assert!(!self.gzip);
        None
    }

    fn judge(&self, mut response: Response<ureq::Body>, clock: &Clock) -> Answer {
        let wait = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let after = wait.and_then(|wait| retry_after(wait, clock.now_ns()));
        let status = response.status().as_u16();
        // The body is read to its end, since only then the connection can be used again.
        let body = response.body_mut().with_config().limit(ANSWER_MAX).read_to_vec();
        match status {
            200..=299 if matches!(self.content, Content::Spans { .. }) => {
                let refused = body.map_or(0, |body| protobuf::rejected_spans(&body));
                Answer::Taken { refused }
            }
            200..=299 => Answer::Taken { refused: 0 },
            413 => Answer::TooLarge,
            // The codes that OTLP names as those to retry.
            429 | 502 | 503 | 504 => Answer::Again { after },
            _ => Answer::Refused,
        }
    }
}

/// An `ExportTraceServiceRequest` with one resource and one scope.
fn encode_spans(events: &[Vec<u8>], resource: &[u8], scope: &[u8], body: &mut Vec<u8>) {
    let spans: usize = events.iter().map(|span| protobuf::field_length(span.len())).sum();
    let scope_spans = protobuf::field_length(scope.len()) + spans;
    let resource_spans =
        protobuf::field_length(resource.len()) + protobuf::field_length(scope_spans);
    body.reserve(protobuf::field_length(resource_spans));
    protobuf::header(1, resource_spans, body);
    protobuf::bytes(1, resource, body);
    protobuf::header(2, scope_spans, body);
    protobuf::bytes(1, scope, body);
    for span in events {
        protobuf::bytes(2, span, body);
    }
}

/// Base64 with padding, as the header `Authorization` has it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |place: usize| u32::from(group.get(place).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

/// A trace id and a span id as the header `traceparent` of W3C has them.
pub(crate) fn traceparent(trace_id: &[u8; 16], span_id: &[u8; 8]) -> String {
    let mut out = b"00-".to_vec();
    ids::push_hex(trace_id, &mut out);
    out.push(b'-');
    ids::push_hex(span_id, &mut out);
    out.extend_from_slice(b"-01");
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn credentials_are_padded() {
        assert_eq!(base64(b""), "");
        assert_eq!(base64(b"pk:sk"), "cGs6c2s=");
        assert_eq!(base64(b"wk:"), "d2s6");
        assert_eq!(base64(b"user:pass\xff\xfe"), "dXNlcjpwYXNz//4=");
    }
}
