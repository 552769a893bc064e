//! Langfuse: traces by OTLP to `/api/public/otel/v1/traces` with ingestion version 4, scores to
//! `/api/public/scores`.
//!
//! From its source and its SDKs: one span with a bad id makes it refuse the whole request with 400,
//! so the doors check ids; only gzip is unpacked; a 200 has a body that says nothing; scores go as
//! an array of at most 15 and 1 MiB, answered 202, or 207 with errors that must not be sent again;
//! they are not packed, for only its door for OTLP unpacks anything.

use super::http::Endpoint;
use super::otlp::spans;
use super::{Pending, Sent};
use crate::observe::event::Kind;
use serde::Deserialize;
use windlass_engine::Failure;
use windlass_engine::remote::Attempt;

/// Scores in one request, as its own SDKs send them.
pub(super) const SCORES_MAX: usize = 15;

/// A project of Langfuse.
pub(in crate::observe) struct Langfuse {
    traces: Endpoint,
    scores: Endpoint,
}

#[derive(Deserialize)]
struct Refusals {
    #[serde(default)]
    errors: Vec<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
}

impl Langfuse {
    pub(super) fn new(traces: Endpoint, scores: Endpoint) -> Self {
        Self { traces, scores }
    }

    pub(super) async fn send(&self, batch: &[Pending], attempt: &Attempt) -> Result<Sent, Failure> {
        if batch.first().is_some_and(|first| first.form() == Kind::Score) {
            return self.send_scores(batch, attempt).await;
        }
        self.traces.post("application/x-protobuf", spans(batch), attempt).await?;
        Ok(Sent::default())
    }

    /// Its array has a bound, so that a batch goes in several requests; a repeated one is no harm,
    /// since a score has an id.
    async fn send_scores(&self, batch: &[Pending], attempt: &Attempt) -> Result<Sent, Failure> {
        let mut sent = Sent::default();
        for (number, part) in batch.chunks(SCORES_MAX).enumerate() {
            let body = array(part.iter().map(|score| score.event.body.as_slice()));
            let response = self.scores.post("application/json", body, attempt).await?;
            if response.status() == http::StatusCode::MULTI_STATUS {
                let refused = serde_json::from_slice(response.body());
                let errors = refused.map_or_else(|_| Vec::new(), |list: Refusals| list.errors);
                sent.rejected.extend(refused_scores(number * SCORES_MAX, part.len(), &errors));
            }
        }
        Ok(sent)
    }
}

/// Its 207 says what was wrong and not with which score: all of the request are kept.
fn refused_scores(
    first: usize,
    count: usize,
    errors: &[Refusal],
) -> impl Iterator<Item = (usize, String)> {
    let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    let reason = format!("Langfuse refused a part of {count} scores: {}", messages.join("; "));
    let refused = if errors.is_empty() { 0 } else { count };
    (first..first + refused).map(move |place| (place, reason.clone()))
}

/// Bodies that are JSON already, as a JSON array.
pub(super) fn array<'a>(bodies: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut array = vec![b'['];
    for (number, body) in bodies.enumerate() {
        if number > 0 {
            array.push(b',');
        }
        array.extend_from_slice(body);
    }
    array.push(b']');
    array
}
