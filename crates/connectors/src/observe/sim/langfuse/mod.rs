//! Langfuse: the OTLP door, the legacy ingestion, scores, and what readers see later.
//!
//! Owns the order in which a request meets proxy, credentials, limits and its own contents, and
//! the words of the refusals. The facts are those of the server's source of August 2026.

mod legacy;
mod mapping;
mod reading;
mod scores;
mod store;
mod usage;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Request, Response};
use jiff::Timestamp;
use serde_json::json;
use windlass_sim::{Arrival, Micros, Quotas, Reply};

use super::body::{MOST_UNPACKED, unpack};
use super::journal::{Accepted, Journal, sequence_of};
use super::options::Options;
use super::replies::{Refused, basic, header, json, too_large_page, whole_seconds};
use super::spans::{Encoding, Span, Unreadable, read};
use store::Store;

/// The rules of Langfuse's limits, by kind of route.
pub(super) const INGESTION: usize = 0;
pub(super) const LEGACY: usize = 1;
pub(super) const API: usize = 2;

/// The newest ingestion version that the server knows.
const NEWEST_VERSION: i64 = 4;

/// A project of Langfuse.
#[derive(Debug)]
pub(super) struct Langfuse {
    pub journal: Journal,
    pub scores: Journal,
    store: Store,
    jobs: u64,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Health,
    Projects,
    Traces,
    Ingestion,
    Scores,
    Observations,
    Metrics,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        Some(match path.strip_prefix("/api/public/")? {
            "health" => Self::Health,
            "projects" => Self::Projects,
            "otel/v1/traces" => Self::Traces,
            "ingestion" => Self::Ingestion,
            "scores" => Self::Scores,
            "v2/observations" => Self::Observations,
            "v2/metrics" => Self::Metrics,
            _ => return None,
        })
    }

    const fn method(self) -> Method {
        match self {
            Self::Traces | Self::Ingestion | Self::Scores => Method::POST,
            _ => Method::GET,
        }
    }

    const fn rule(self) -> Option<usize> {
        match self {
            Self::Health | Self::Projects => None,
            Self::Traces | Self::Scores => Some(INGESTION),
            Self::Ingestion => Some(LEGACY),
            Self::Observations | Self::Metrics => Some(API),
        }
    }
}

impl Langfuse {
    pub(super) fn new(options: &Options) -> Self {
        let journal = || Journal::new(options.chassis.counters_only);
        Self { journal: journal(), scores: journal(), store: Store::default(), jobs: 0 }
    }

    pub(super) fn answer(
        &mut self,
        options: &Options,
        request: &Request<Bytes>,
        arrival: Arrival,
        (trouble, quotas): (Option<u16>, &mut Quotas),
    ) -> Reply {
        if options.body_max.is_some_and(|most| request.body().len() > most) {
            return Reply::unchanged(too_large_page());
        }
        let route = match admit(options, request, arrival, (trouble, quotas)) {
            Ok(route) => route,
            Err(refused) => return Reply::unchanged(*refused),
        };
        let reply = match route {
            Route::Health => Ok(Reply::unchanged(health())),
            Route::Projects => Ok(Reply::unchanged(projects())),
            Route::Traces => self.take_traces(options, request, arrival),
            Route::Ingestion => self.take_ingestion(options, request, arrival),
            Route::Scores => self.take_scores(options, request, arrival),
            Route::Observations => self.store.list(request.uri().query().unwrap_or(""), arrival.at),
            Route::Metrics => self.store.metrics(request.uri().query().unwrap_or(""), arrival.at),
        };
        reply.unwrap_or_else(|refused| Reply::unchanged(*refused))
    }

    /// How many observations there are, seen or not.
    pub(super) fn observations(&self) -> usize {
        self.store.len()
    }

    fn take_traces(
        &mut self,
        options: &Options,
        request: &Request<Bytes>,
        arrival: Arrival,
    ) -> Result<Reply, Refused> {
        if options.suspended {
            let message =
                "Ingestion suspended: Usage threshold exceeded. Please upgrade your plan.";
            return Err(named(403, "ForbiddenError", message));
        }
        if options.scores_only {
            let message = "Access denied - need to use project-level access";
            return Err(named(403, "ForbiddenError", message));
        }
        let spans = spans_of(request)?;
        if spans.is_empty() {
            return Ok(Reply::unchanged(json(200, &json!({}))));
        }
        let version = version_of(request)?;
        if spans.iter().any(|span| options.poison.contains(&span.name)) {
            return Err(error("Failed to parse OTel Protobuf Trace"));
        }
        let lag = if version == Some(NEWEST_VERSION) {
            options.visible_after
        } else {
            options.visible_after + options.dual_write_lag
        };
        for span in &spans {
            self.store_span(options, span, arrival.at, lag);
        }
        self.jobs += 1;
        let job = json!({"id": self.jobs.to_string(), "name": "otel-ingestion-job"});
        Ok(Reply::changed(json(200, &job)).with_items(spans.len()))
    }

    fn store_span(&mut self, options: &Options, span: &Span, at: Micros, lag: Duration) {
        let patch = mapping::observation(span, options.bodies);
        let total = patch.cost.as_deref().and_then(usage::total_cost);
        self.journal.note(
            at,
            Accepted {
                trace: &span.trace_id,
                id: &span.span_id,
                class: "span",
                name: &span.name,
                user: patch.text(store::USER),
                cost: total.as_deref(),
                sequence: sequence_of(span.attributes.get("sequence")),
                ..Accepted::default()
            },
        );
        let visible_at = at.saturating_add(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX));
        self.store.put(patch, visible_at, true);
    }
}

/// Looks at everything that is the same on all routes.
fn admit(
    options: &Options,
    request: &Request<Bytes>,
    arrival: Arrival,
    (trouble, quotas): (Option<u16>, &mut Quotas),
) -> Result<Route, Refused> {
    let wait = options.retry_after_wait;
    match trouble {
        Some(429) => return Err(too_many(options, INGESTION, arrival.wall, wait)),
        Some(status) => {
            let words = http::StatusCode::from_u16(status).ok();
            let words = words.and_then(|status| status.canonical_reason()).unwrap_or("Error");
            return Err(json(status, &json!({"message": words})).into());
        }
        None => {}
    }
    let Some(route) = Route::of(request.uri().path()) else {
        return Err(named(404, "LangfuseNotFoundError", "Not Found"));
    };
    if request.method() != route.method() {
        return Err(named(405, "MethodNotAllowedError", "Method not allowed"));
    }
    if route == Route::Health {
        return Ok(route);
    }
    let message = match basic(request) {
        None if header(request, "authorization").is_empty() => "No authorization header",
        Some((key, secret)) if !arrival.revoked && is_known(options, &key, &secret) => "",
        _ => "Invalid credentials. Confirm that you've configured the correct host.",
    };
    if !message.is_empty() {
        return Err(json(401, &json!({"message": message})).into());
    }
    if let Some(rule) = route.rule() {
        if let Some(wait) = arrival.storm {
            return Err(too_many(options, rule, arrival.wall, wait));
        }
        if let Err(rejection) = quotas.admit(arrival.at, &[(rule, 0)]) {
            return Err(too_many(options, rule, arrival.wall, rejection.wait));
        }
    }
    Ok(route)
}

fn is_known(options: &Options, key: &str, secret: &str) -> bool {
    let any = options.any_key && !key.is_empty() && !secret.is_empty();
    any || (key == options.langfuse_public_key && secret == options.langfuse_secret_key)
}

/// The spans of a request, or why there are none; one bad span refuses all.
fn spans_of(request: &Request<Bytes>) -> Result<Vec<Span>, Refused> {
    // Only gzip is unpacked: any other encoding ends as a body that can't be parsed.
    let body = if header(request, "content-encoding").contains("gzip") {
        let unpacked = unpack(request.body(), "gzip", MOST_UNPACKED);
        unpacked.map_err(|_| error("Failed to decompress request body"))?
    } else {
        Cow::Borrowed(request.body().as_ref())
    };
    let Some(encoding) = Encoding::of(header(request, "content-type")) else {
        return Err(error("Invalid content type"));
    };
    read(encoding, &body).map_err(|why| match (why, encoding) {
        (Unreadable::Malformed, Encoding::Protobuf) => error("Failed to parse OTel Protobuf Trace"),
        (Unreadable::Malformed, Encoding::Json) => error("Failed to parse OTel JSON Trace"),
        (Unreadable::Invalid(why), _) => {
            named(400, "InvalidRequestError", &format!("Invalid OTel spans: {why}"))
        }
    })
}

/// The ingestion version, read as leniently as the server does: by its leading digits.
fn version_of(request: &Request<Bytes>) -> Result<Option<i64>, Refused> {
    let mut told = header(request, "x-langfuse-ingestion-version");
    if told.is_empty() {
        told = header(request, "x_langfuse_ingestion_version");
    }
    if told.is_empty() {
        return Ok(None);
    }
    let text = told.trim();
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    match digits[..end].parse::<i64>().map(|version| sign * version) {
        Ok(version) if version <= NEWEST_VERSION => Ok(Some(version)),
        _ => Err(error(&format!(
            "Unsupported x-langfuse-ingestion-version: \"{told}\". Maximum supported: \"4\"."
        ))),
    }
}

/// A 400 of the OTLP door.
fn error(message: &str) -> Refused {
    json(400, &json!({"error": message})).into()
}

/// A refusal of the frame around all routes.
fn named(status: u16, name: &str, message: &str) -> Refused {
    json(status, &json!({"message": message, "error": name})).into()
}

/// A 400 for a request of the wrong form.
fn invalid(what: &str) -> Refused {
    let error = json!([{"message": what}]);
    json(400, &json!({"message": "Invalid request data", "error": error})).into()
}

/// A 429 with the four headers.
fn too_many(options: &Options, rule: usize, wall: Timestamp, wait: Duration) -> Refused {
    let rate = &options.langfuse_rate;
    let limit = [rate.ingestion, rate.legacy, rate.api][rule].unwrap_or(1_000);
    let seconds = whole_seconds(wait).max(1);
    let reset = wall + wait;
    let body = json!({
        "message": "Rate limit exceeded",
        "code": "rate_limited",
        "details": {
            "retryAfterSeconds": seconds,
            "limit": limit,
            "remaining": 0,
            "resetAt": reset.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        },
    });
    let mut response = json(429, &body);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, seconds.into());
    headers.insert(HeaderName::from_static("x-ratelimit-limit"), limit.into());
    headers.insert(HeaderName::from_static("x-ratelimit-remaining"), 0.into());
    let date = reset.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)");
    let date = HeaderValue::from_str(&date.to_string()).expect("a date is a header value");
    headers.insert(HeaderName::from_static("x-ratelimit-reset"), date);
    response.into()
}

fn health() -> Response<Bytes> {
    let mut response = json(200, &json!({"status": "OK", "version": "4.0.0"}));
    let plain = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// The one project that the key belongs to.
pub(super) const PROJECT: &str = "project-simulated";

fn projects() -> Response<Bytes> {
    let organization = json!({"id": "organization-simulated", "name": "Simulated"});
    let project = json!({
        "id": PROJECT, "name": "Simulated", "organization": organization, "metadata": {},
    });
    json(200, &json!({"data": [project]}))
}
