//! What can't go on at once: parts of observations until they make a whole, and spans until a tail
//! rule has seen enough of their trace. Both wait in a durable queue of their own, so that a crash
//! costs nothing: what was not let go before is read again, and what was is known by its id.

mod waiting;

use super::dialects::facts::{ResourceFacts, of_span};
use super::dialects::ids::span_key;
use super::dialects::join;
use super::event::{Arrival, Draft, Kind, Scope, Stored};
use super::gateway::Running;
use super::letters;
use super::otlp::span::SpanView;
use super::otlp::wire::put_bytes;
use super::pipeline::Answer;
use super::queue::{Batch, Disposition, Durability, Entry, Queue};
use super::status::HeldStatus;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use waiting::{Decided, Held, Parts, Waiting};
use windlass_engine::Context;
use windlass_engine::clock::unix_millis;

/// How often what waits is looked through.
const LOOK: Duration = Duration::from_millis(100);
/// How long to wait when the queue behind has no room.
const NO_ROOM_WAIT: Duration = Duration::from_millis(500);
/// Events that are read at once.
const READ_EVENTS: usize = 1_000;
/// Bytes that are read at once.
const READ_BYTES: usize = 8 << 20;
/// Where joined spans say that they come from.
const SCOPE_NAME: &[u8] = b"windlass.observe";

/// The loop that lets go.
pub(super) struct Hold {
    running: Arc<Running>,
}

impl Hold {
    /// For this gateway.
    pub(super) fn new(running: Arc<Running>) -> Self {
        Self { running }
    }

    /// Lets go what is whole or decided, until a stop is asked for.
    pub(super) async fn run(self, context: Context) {
        let pipeline = &self.running.pipeline;
        let mut reader = pipeline.hold.reader(0);
        let mut waiting = Waiting::new(pipeline.sampling.decision_wait);
        let mut broken = false;
        while !context.stop.is_draining() {
            tokio::select! {
                items = reader.read(READ_EVENTS, READ_BYTES), if waiting.has_room() && !broken => {
                    let now = context.clock.now();
                    if let Err(error) = &items {
                        self.running.troubles.note("held", Err(error.to_string()));
                        broken = true;
                    }
                    for item in items.iter().flatten() {
                        if let Err(why) = waiting.take_in(now, item, &pipeline.sampling) {
                            self.bury(item.seq, &item.payload, &why);
                        }
                    }
                }
                () = context.clock.sleep(LOOK) => {}
                () = context.stop.draining() => {}
            }
            let now = context.clock.now();
            let (parts, decided) = (waiting.whole(now), waiting.decided(now));
            self.report(&waiting);
            self.let_go(&context, parts, decided).await;
        }
    }

    /// Puts everything into the queue of the destinations and settles it here. Where there is no
    /// room there, it is tried again: what is held is safe where it is.
    async fn let_go(&self, context: &Context, parts: Vec<Parts>, decided: Vec<Decided>) {
        let mut by_project: BTreeMap<String, (Vec<Draft>, Vec<u64>)> = BTreeMap::new();
        for parts in parts {
            let Some(draft) = joined(&parts) else {
                for (seq, envelope) in &parts.envelopes {
                    self.bury(*seq, envelope, "the parts make no observation");
                }
                continue;
            };
            let (drafts, seqs) = by_project.entry(parts.project.clone()).or_default();
            drafts.push(draft);
            seqs.extend(parts.envelopes.iter().map(|(seq, _)| *seq));
        }
        for (project, (drafts, seqs)) in by_project {
            self.count(|counts| counts.joined += drafts.len() as u64);
            while !self.take_joined(&project, drafts.clone()).await {
                if wait(context).await {
                    return;
                }
            }
            self.settle(&seqs);
        }
        for trace in decided {
            self.count(|counts| trace.count_in(counts));
            while !self.append(&trace.spans).await {
                if wait(context).await {
                    return;
                }
            }
            let seqs: Vec<u64> = trace.spans.iter().map(|span| span.seq).collect();
            self.settle(&seqs);
        }
    }

    /// Takes joined observations through the stages, as if they had come as spans.
    async fn take_joined(&self, project: &str, drafts: Vec<Draft>) -> bool {
        let mut scope = Vec::new();
        put_bytes(&mut scope, 1, SCOPE_NAME);
        let scopes = vec![Scope { scope, ..Scope::default() }];
        let arrival = Arrival { scopes, drafts };
        let pipeline = &self.running.pipeline;
        let taken = pipeline.take(project, Durability::Synced, arrival, unix_millis()).await;
        match taken.answer {
            // A policy that refuses has nobody to tell here: the client got its answer long ago.
            Answer::Taken | Answer::Limited { .. } => true,
            Answer::Busy { .. } | Answer::Broken { .. } => false,
        }
    }

    /// Appends decided spans where their routes lead; those that lead nowhere are left out.
    async fn append(&self, spans: &[Held]) -> bool {
        let mut tickets = Vec::new();
        for group in spans.chunk_by(|one, next| one.shared == next.shared) {
            let Some(first) = group.first() else { continue };
            let entries: Vec<Entry> = group.iter().filter_map(entry).collect();
            if entries.is_empty() {
                continue;
            }
            let batch = Batch { shared: first.shared.clone(), at_ms: unix_millis(), entries };
            match self.running.pipeline.queue.append(batch, Durability::Synced) {
                Ok(ticket) => tickets.push(ticket),
                Err(_) => return false,
            }
        }
        for ticket in tickets {
            if ticket.await.is_err() {
                return false;
            }
        }
        true
    }

    fn settle(&self, seqs: &[u64]) {
        // It fails where the queue is closed, which comes after this loop has ended.
        let _ = self.hold_queue().settle(0, seqs, Disposition::Delivered);
    }

    fn bury(&self, seq: u64, payload: &[u8], why: &str) {
        let letter = letters::of_bytes("hold", &seq.to_string(), payload, why);
        if self.running.dead_letters.put(letter).is_ok() {
            let _ = self.hold_queue().settle(0, &[seq], Disposition::Rejected);
        }
    }

    fn hold_queue(&self) -> &Queue {
        &self.running.pipeline.hold
    }

    fn report(&self, waiting: &Waiting) {
        let (parts, spans) = waiting.sizes();
        self.count(|counts| (counts.parts, counts.spans) = (parts, spans));
    }

    fn count(&self, change: impl FnOnce(&mut HeldStatus)) {
        change(&mut self.running.held.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Waits for room; true when a stop came first.
async fn wait(context: &Context) -> bool {
    tokio::select! {
        () = context.clock.sleep(NO_ROOM_WAIT) => false,
        () = context.stop.draining() => true,
    }
}

fn entry(span: &Held) -> Option<Entry> {
    let stored = Stored { held: None, ..span.event.clone() };
    let payload = postcard::to_stdvec(&stored).expect("an event can be written to memory");
    let bits = span.bits;
    (bits != 0).then(|| Entry {
        id: span.id,
        routes: bits,
        priority: span.priority,
        payload: payload.into(),
    })
}

fn joined(parts: &Parts) -> Option<Draft> {
    let envelopes: Vec<&[u8]> = parts.envelopes.iter().map(|(_, body)| body.as_slice()).collect();
    let joined = join::join(&envelopes, &parts.words)?;
    let view = SpanView::parse(&joined.span).ok()?;
    let facts = of_span(&view, &ResourceFacts::of(&[]));
    Some(Draft {
        kind: Kind::Span,
        id: span_key(&joined.trace_id, &joined.span_id),
        scope: 0,
        body: joined.span,
        facts,
    })
}
