//! Where events go. Every destination is a remote of the engine with a reader of the queue of its
//! own, so that one that is slow, throttled or down holds up nobody else.
//!
//! - `forwarder`: one destination's loop; `backlog`: which events its next batch has
//! - `http`: what the HTTP destinations share; `langfuse`, `rudderstack`, `otlp`: their requests
//! - `sql`: rows; `jsonl`: lines
//! - `open`: from the gateway's file to a destination

mod backlog;
mod forwarder;
mod http;
mod jsonl;
mod langfuse;
mod open;
mod otlp;
mod rudderstack;
pub(super) mod sql;

use super::event::{Kind, Shared, Stored};
use super::queue::Item;
use std::sync::Arc;
use windlass_engine::Failure;
use windlass_engine::remote::Attempt;

pub(super) use forwarder::{Forwarder, ForwarderMeter, Pace};
pub(super) use open::{Opening, open};

/// A destination that is open.
pub(super) enum Sink {
    Langfuse(Box<langfuse::Langfuse>),
    Rudderstack(Box<rudderstack::Rudderstack>),
    Otlp(Box<otlp::Otlp>),
    Sql(Box<sql::Sql>),
    Jsonl(jsonl::Jsonl),
    Blackhole,
}

/// What became of a batch that was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Events that the destination will never take, by their place in the batch, with the reason.
    pub(super) rejected: Vec<(usize, String)>,
}

impl Sink {
    /// Whether it takes events of this kind, with or without a cost.
    pub(super) const fn takes(
        kind: super::settings::DestinationKind,
        event: Kind,
        cost: bool,
    ) -> bool {
        use super::settings::DestinationKind as To;
        match (kind, event) {
            // Parts are joined to spans before they are forwarded.
            (_, Kind::Patch) => false,
            (To::Langfuse, Kind::Span | Kind::Score) => true,
            (To::Langfuse, Kind::Message) => false,
            (To::Otlp, kind) => matches!(kind, Kind::Span),
            (To::Rudderstack, kind) => matches!(kind, Kind::Message),
            (To::Sql, Kind::Span) => cost,
            (To::Sql, Kind::Score | Kind::Message) => true,
            (To::Jsonl | To::Blackhole, _) => true,
        }
    }

    /// Whether events of a user have to arrive in their order.
    pub(super) const fn keeps_order(&self) -> bool {
        matches!(self, Self::Rudderstack(_))
    }

    /// Makes one request with these events, all of one form.
    pub(super) async fn send(&self, batch: &[Pending], attempt: &Attempt) -> Result<Sent, Failure> {
        match self {
            Self::Langfuse(langfuse) => langfuse.send(batch, attempt).await,
            Self::Rudderstack(rudderstack) => rudderstack.send(batch, attempt).await,
            Self::Otlp(otlp) => otlp.send(batch, attempt).await,
            Self::Sql(sql) => sql.send(batch).await,
            Self::Jsonl(jsonl) => jsonl.send(batch),
            Self::Blackhole => Ok(Sent::default()),
        }
    }
}

/// An event on its way to one destination.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Its number in the queue.
    pub(super) seq: u64,
    /// 0 low, 1 normal, 2 high.
    pub(super) priority: u8,
    /// What the events of its request share.
    pub(super) shared: Arc<Shared>,
    /// The event.
    pub(super) event: Stored,
    /// What it takes up.
    pub(super) bytes: usize,
}

impl Pending {
    /// See [`Stored::order`].
    pub(super) fn order(&self) -> u64 {
        self.event.order
    }

    /// Events of different forms can't be in one request.
    pub(super) fn form(&self) -> Kind {
        self.event.kind
    }
}

/// Reads what the queue gave. Events of one request come one after the other and share what they
/// share in memory, too.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    last: Option<(bytes::Bytes, Arc<Shared>)>,
}

impl Decoder {
    /// # Errors
    /// When the bytes are not an event of ours.
    pub(super) fn read(&mut self, item: &Item) -> Result<Pending, postcard::Error> {
        let known = self.last.as_ref().filter(|(bytes, _)| {
            bytes.as_ptr() == item.shared.as_ptr() && bytes.len() == item.shared.len()
        });
        let shared = match known {
            Some((_, shared)) => Arc::clone(shared),
            None => {
                let shared: Arc<Shared> = Arc::new(postcard::from_bytes(&item.shared)?);
                self.last = Some((item.shared.clone(), Arc::clone(&shared)));
                shared
            }
        };
        let event: Stored = postcard::from_bytes(&item.payload)?;
        let bytes = item.payload.len();
        Ok(Pending { seq: item.seq, priority: item.priority, shared, event, bytes })
    }
}

#[cfg(test)]
impl Pending {
    /// A span with nothing in it.
    pub(super) fn sample(seq: u64) -> Self {
        let event = Stored {
            kind: Kind::Span,
            id: format!("event-{seq}"),
            scope: 0,
            at_ms: 0,
            order: 0,
            user: None,
            class: "span".to_owned(),
            name: String::new(),
            cost: None,
            weight_milli: 1000,
            flags: Vec::new(),
            held: None,
            body: Vec::new(),
        };
        Self { seq, priority: 1, shared: Arc::default(), event, bytes: 1 }
    }
}
