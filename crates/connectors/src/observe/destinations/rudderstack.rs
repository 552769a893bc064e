//! A data plane of RudderStack: `POST /v1/batch`, product events in the order of their users.
//!
//! From rudder-server's source: one message without a user makes it refuse the whole request with
//! 400, answers are plain text, a request may have 4,000 KiB after its own wrapping, and no answer
//! ever has a Retry-After. With deduplication on, copies are known by their `messageId`.

use super::http::Endpoint;
use super::langfuse::array;
use super::{Pending, Sent};
use jiff::Timestamp;
use windlass_engine::Failure;
use windlass_engine::remote::Attempt;

/// A source of a data plane.
pub(in crate::observe) struct Rudderstack {
    batches: Endpoint,
}

impl Rudderstack {
    pub(super) fn new(batches: Endpoint) -> Self {
        Self { batches }
    }

    pub(super) async fn send(&self, batch: &[Pending], attempt: &Attempt) -> Result<Sent, Failure> {
        let messages = array(batch.iter().map(|message| message.event.body.as_slice()));
        let mut body = Vec::with_capacity(messages.len() + 64);
        body.extend_from_slice(b"{\"batch\":");
        body.extend_from_slice(&messages);
        body.extend_from_slice(format!(",\"sentAt\":\"{:.3}\"}}", Timestamp::now()).as_bytes());
        self.batches.post("application/json", body, attempt).await?;
        Ok(Sent::default())
    }
}
