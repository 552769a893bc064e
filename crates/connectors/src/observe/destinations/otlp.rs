//! Any receiver of OTLP/HTTP: `POST /v1/traces` in protobuf.
//!
//! The specification's rules (opentelemetry-proto, `docs/specification.md`): 429, 502, 503 and 504
//! ask for a retry, every other failure means the content; a partial success is final and must not
//! be sent again, and it does not say which of the spans were refused.

use super::http::Endpoint;
use super::{Pending, Sent};
use crate::observe::otlp::answer::{Encoding, read_partial_success};
use crate::observe::otlp::export::Export;
use crate::observe::otlp::request::Refused;
use windlass_engine::Failure;
use windlass_engine::remote::Attempt;

/// Such a receiver.
pub(in crate::observe) struct Otlp {
    endpoint: Endpoint,
}

impl Otlp {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    pub(super) async fn send(&self, batch: &[Pending], attempt: &Attempt) -> Result<Sent, Failure> {
        let body = spans(batch);
        let response = self.endpoint.post("application/x-protobuf", body, attempt).await?;
        let partial = read_partial_success(Encoding::Protobuf, response.body());
        Ok(refused_in_part(batch, partial))
    }
}

/// The export request with these spans as they came, those of one scope together.
pub(super) fn spans(batch: &[Pending]) -> Vec<u8> {
    let mut export = Export::new();
    for pending in batch {
        if let Some(scope) = pending.shared.scopes.get(usize::from(pending.event.scope)) {
            export.push(scope, &pending.event.body);
        }
    }
    export.build()
}

/// Which spans were refused is not told, so that all of them go to the dead letters, where nothing
/// is lost; sent again they have the same ids.
fn refused_in_part(batch: &[Pending], partial: Option<Refused>) -> Sent {
    let Some(Refused { count, reason }) = partial.filter(|refused| refused.count > 0) else {
        return Sent::default();
    };
    let all = batch.len();
    let reason = format!("the receiver refused {count} of the {all} spans of a request: {reason}");
    Sent { rejected: (0..all).map(|place| (place, reason.clone())).collect() }
}
