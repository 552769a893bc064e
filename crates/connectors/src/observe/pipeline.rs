//! What happens to a request between its door and the disk, in this order: mask, price, judge,
//! sample, route, append. All but the last step is pure work of some microseconds an event, done
//! on the door's own thread; only an acknowledged request waits, for the disk.

use super::annotate;
use super::costs::Costs;
use super::event::{Arrival, CostRow, Draft, Held, Kind, Priority, Scope, Shared, Stored};
use super::ledger::{Ledger, count};
use super::mask::{MaskFailed, Masks};
use super::otlp::rewrite::{rewrite_resource, rewrite_scope, rewrite_span};
use super::policy::{Action, Alert, Decision, Policies, Subject};
use super::price::Prices;
use super::queue::{Batch, Durability, Entry, Queue, Refused};
use super::routes::{self, Route};
use super::sample::{Rules, Verdict as Sampled};
use super::switches::{Asked, Switches};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// When a client should come again that met a full queue. A Python client of OpenTelemetry has ten
/// seconds for all of its attempts, so that anything longer would lose its batch.
const COME_AGAIN: Duration = Duration::from_secs(2);

/// Alerts that are kept to be shown.
const ALERTS_KEPT: usize = 50;
/// The bit of the one reader of the queue of what waits.
const HOLD: u32 = 1;

/// The stages and what they need. One for all doors.
pub(super) struct Pipeline {
    pub(super) routes: Vec<Route>,
    pub(super) masks: Masks,
    pub(super) prices: Prices,
    pub(super) policies: ArcSwap<Policies>,
    pub(super) sampling: Rules,
    /// The last alerts of policies, the newest first.
    pub(super) alerts: Mutex<VecDeque<Alert>>,
    pub(super) switches: Switches,
    pub(super) costs: Costs,
    /// What destinations read.
    pub(super) queue: Queue,
    /// What has to be joined or decided first.
    pub(super) hold: Queue,
    pub(super) ledger: Ledger,
}

/// What became of a request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Taken {
    /// Events that a policy refused, by their place in the request, with the reason.
    pub(super) refused: Vec<(usize, String)>,
    /// Whether the request as a whole was taken.
    pub(super) answer: Answer,
}

/// The answer to a request as a whole.
#[derive(Debug, Default, PartialEq)]
pub(super) enum Answer {
    /// It is taken, as safely as was asked for.
    #[default]
    Taken,
    /// There is no room now.
    Busy {
        /// When there may be.
        retry_after: Duration,
    },
    /// All of it was refused by a policy.
    Limited {
        /// What the policy says.
        message: String,
        /// When it may be asked again.
        retry_after: Duration,
    },
    /// The disk failed.
    Broken {
        /// How.
        message: String,
    },
}

/// The entries of one request for the two queues.
#[derive(Default)]
struct Entries {
    direct: Vec<Entry>,
    held: Vec<Entry>,
    /// What is due to the counters of policies once the events are stored.
    due: Vec<super::policy::Due>,
}

/// An event that policies let pass.
struct Judged {
    draft: Draft,
    id: u128,
    cost: Option<CostRow>,
    flags: Vec<String>,
}

impl Pipeline {
    /// Takes a request in. `now_ms` is the time in milliseconds since 1970.
    pub(super) async fn take(
        &self,
        project: &str,
        durability: Durability,
        arrival: Arrival,
        now_ms: u64,
    ) -> Taken {
        let received = arrival.drafts.len();
        count(&self.ledger.received, received);
        let mut entries = Entries::default();
        let mut taken = Taken::default();
        let mut limit = None;
        for (place, draft) in arrival.drafts.into_iter().enumerate() {
            if let Some((message, retry_after)) = self.process(project, draft, now_ms, &mut entries)
            {
                count(&self.ledger.refused, 1);
                taken.refused.push((place, message.clone()));
                limit = Some((message, retry_after));
            }
        }
        if let Some((message, retry_after)) = limit.filter(|_| taken.refused.len() == received) {
            taken.answer = Answer::Limited { message, retry_after };
            return taken;
        }
        let mut scopes = arrival.scopes;
        mask_scopes(&self.masks, &mut scopes);
        let shared = Shared { project: project.to_owned(), received_ms: now_ms, scopes };
        taken.answer = self.store(&shared, entries, durability, now_ms).await;
        taken
    }

    /// Takes one event through the stages. What comes back is why a policy refuses it.
    fn process(
        &self,
        project: &str,
        mut draft: Draft,
        now_ms: u64,
        entries: &mut Entries,
    ) -> Option<(String, Duration)> {
        let id = fingerprint(project, &draft);
        let switches = self.switches.ask(project, &draft, now_ms);
        if matches!(draft.kind, Kind::Span | Kind::Patch) && !switches.is_tracing() {
            count(&self.ledger.sampled_out, 1);
            return None;
        }
        if let Err(error) = mask(&self.masks, &mut draft) {
            return Some((format!("it can't be masked: {error}"), COME_AGAIN));
        }
        if draft.kind == Kind::Patch {
            entries.held.push(held(id, &draft));
            return None;
        }
        let cost = self.prices.cost(&draft.facts);
        if let Some(cost) = &cost {
            self.costs.add(cost);
        }
        let decision = self.judge(project, &draft, cost.as_ref(), now_ms);
        match decision.action {
            Action::Pass => {}
            Action::Drop(_) => {
                count(&self.ledger.dropped, 1);
                return None;
            }
            Action::Refuse { message, retry_after, .. } => return Some((message, retry_after)),
        }
        if !decision.masks.is_empty()
            && let Err(error) = mask(&self.masks.only(&decision.masks), &mut draft)
        {
            return Some((format!("it can't be masked: {error}"), COME_AGAIN));
        }
        self.raise(decision.alerts);
        entries.due.extend(decision.due);
        let event = Judged { draft, id, cost, flags: decision.flags };
        self.send_on(project, event, &switches, entries);
        None
    }

    fn judge(&self, project: &str, draft: &Draft, cost: Option<&CostRow>, now_ms: u64) -> Decision {
        let subject = Subject {
            project,
            key_name: project,
            kind: draft.kind,
            facts: &draft.facts,
            cost_pico: cost.and_then(|cost| cost.cost_pico),
        };
        self.policies.load().decide(&subject, now_ms)
    }

    /// Samples, routes and prepares an event for the queue.
    fn send_on(&self, project: &str, event: Judged, switches: &Asked<'_>, entries: &mut Entries) {
        let Judged { mut draft, id, cost, flags } = event;
        let sampled = self.sampled(&draft, switches);
        let cost_pico = cost.as_ref().and_then(|cost| cost.cost_pico);
        let routes = |kept| {
            routes::bits(&self.routes, project, &draft, cost_pico, cost.is_some(), kept, switches)
        };
        let (now, kept) = (routes(false), routes(true));
        let bits = if matches!(sampled, Sampled::Kept { .. }) { kept } else { now };
        let waits = sampled == Sampled::Undecided && kept != now;
        if bits == 0 && !waits {
            let why = if kept == 0 { &self.ledger.unrouted } else { &self.ledger.sampled_out };
            count(why, 1);
            return;
        }
        let weight_milli = match sampled {
            Sampled::Kept { weight_milli } => weight_milli,
            Sampled::Undecided | Sampled::Out => 1000,
        };
        annotate(&mut draft, cost.as_ref(), &flags, weight_milli);
        let priority = priority(&draft, cost.is_some());
        let (is_error, duration_ms) = (draft.facts.is_error, draft.facts.duration_ms());
        let held = Some(Held { kept, otherwise: now, is_error, duration_ms });
        let stored = stored(draft, cost, flags, weight_milli);
        if waits {
            // All of it waits, so that the row of its cost comes once, with its trace or without.
            let stored = Stored { held, ..stored };
            entries.held.push(entry(id, HOLD, priority, &stored));
        } else {
            entries.direct.push(entry(id, bits, priority, &stored));
        }
    }

    fn sampled(&self, draft: &Draft, switches: &Asked<'_>) -> Sampled {
        let rules = &self.sampling;
        match draft.kind {
            Kind::Span => match switches.rate() {
                Some(rate) => rules.with_rate(rate).span(&draft.facts),
                None => rules.span(&draft.facts),
            },
            Kind::Message => rules.message(draft.facts.user.as_deref().unwrap_or(&draft.id)),
            Kind::Score | Kind::Patch => Sampled::Kept { weight_milli: 1000 },
        }
    }

    async fn store(
        &self,
        shared: &Shared,
        entries: Entries,
        durability: Durability,
        now_ms: u64,
    ) -> Answer {
        let shared: Bytes = match postcard::to_stdvec(shared) {
            Ok(bytes) => bytes.into(),
            Err(error) => return Answer::Broken { message: error.to_string() },
        };
        let mut answer = Answer::Taken;
        let mut stored = 0;
        for (queue, entries) in [(&self.hold, entries.held), (&self.queue, entries.direct)] {
            if entries.is_empty() {
                continue;
            }
            let batch = Batch { shared: shared.clone(), entries, at_ms: now_ms };
            match self.append(queue, batch, durability).await {
                Ok(new) => stored += new,
                Err(refusal) => answer = refusal,
            }
        }
        if stored > 0 {
            self.raise(self.policies.load().settle(&entries.due, now_ms));
        }
        answer
    }

    /// The last alerts of policies in words, the newest first.
    pub(super) fn alerts(&self) -> Vec<String> {
        let kept = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(Alert::to_string).collect()
    }

    /// Keeps the last alerts of policies.
    fn raise(&self, alerts: Vec<Alert>) {
        if alerts.is_empty() {
            return;
        }
        let mut kept = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        for alert in alerts {
            kept.truncate(ALERTS_KEPT - 1);
            kept.push_front(alert);
        }
    }

    /// Appends to one queue. What comes back is how many events are new.
    async fn append(
        &self,
        queue: &Queue,
        batch: Batch,
        durability: Durability,
    ) -> Result<u64, Answer> {
        let events = batch.entries.len();
        let ticket = match queue.append(batch, durability) {
            Ok(ticket) => ticket,
            Err(Refused::Busy | Refused::Full | Refused::TooLarge | Refused::Closed) => {
                count(&self.ledger.shed, events);
                // Fire and forget means that nobody waits and nobody comes again.
                if durability == Durability::None {
                    return Ok(0);
                }
                return Err(Answer::Busy { retry_after: COME_AGAIN });
            }
        };
        if durability == Durability::None {
            count(&self.ledger.stored, events);
            return Ok(events as u64);
        }
        match ticket.await {
            Ok(appended) => {
                count(&self.ledger.stored, appended.stored as usize);
                count(&self.ledger.duplicates, appended.duplicates as usize);
                count(&self.ledger.shed, appended.shed as usize);
                Ok(u64::from(appended.stored))
            }
            Err(error) => {
                count(&self.ledger.failed, events);
                Err(Answer::Broken { message: error.to_string() })
            }
        }
    }
}

/// What tells a copy of an event from another event: its id, and for a span its content too, for
/// some tracers send a span again when there is more to say of it.
fn fingerprint(project: &str, draft: &Draft) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(project.as_bytes());
    hash.update(&[0, draft.kind as u8]);
    hash.update(draft.id.as_bytes());
    if draft.kind == Kind::Span {
        hash.update(&draft.body);
    }
    hash.digest128()
}

/// Hides personal data in the body, and in the facts that were read from it.
fn mask(masks: &Masks, draft: &mut Draft) -> Result<(), MaskFailed> {
    if masks.is_empty() {
        return Ok(());
    }
    let masked = match draft.kind {
        Kind::Span => rewrite_span(&draft.body, &mut |key, text| masks.text(key, text)),
        Kind::Score | Kind::Message | Kind::Patch => masks.json(&draft.body)?,
    };
    if let Some(body) = masked {
        draft.body = body;
    }
    let facts = &mut draft.facts;
    if let Some(name) = masks.text("name", &facts.name) {
        facts.name = name;
    }
    for (key, text) in [("user.id", &mut facts.user), ("session.id", &mut facts.session)] {
        if let Some(masked) = text.as_deref().and_then(|text| masks.text(key, text)) {
            *text = Some(masked);
        }
    }
    for (key, text) in &mut facts.metadata {
        if let Some(masked) = masks.text(key, text) {
            *text = masked;
        }
    }
    Ok(())
}

/// Hides personal data in what the spans of a request share.
fn mask_scopes(masks: &Masks, scopes: &mut [Scope]) {
    if masks.is_empty() {
        return;
    }
    for scope in scopes {
        let change = &mut |key: &str, text: &str| masks.text(key, text);
        if let Some(resource) = rewrite_resource(&scope.resource, change) {
            scope.resource = resource;
        }
        if let Some(name) = rewrite_scope(&scope.scope, change) {
            scope.scope = name;
        }
    }
}

/// Errors and costs are shed last, debug output first.
fn priority(draft: &Draft, has_cost: bool) -> Priority {
    if draft.facts.is_error || has_cost {
        Priority::High
    } else if draft.facts.is_debug {
        Priority::Low
    } else {
        Priority::Normal
    }
}

/// What the gateway adds to a span.
fn annotate(draft: &mut Draft, cost: Option<&CostRow>, flags: &[String], weight_milli: u64) {
    if draft.kind != Kind::Span {
        return;
    }
    if let Some(cost) = cost {
        annotate::cost(&mut draft.body, cost, draft.facts.stated_cost_pico.is_some());
    }
    annotate::flags(&mut draft.body, flags);
    annotate::weight(&mut draft.body, weight_milli);
}

fn stored(draft: Draft, cost: Option<CostRow>, flags: Vec<String>, weight_milli: u64) -> Stored {
    let facts = draft.facts;
    let order = match (draft.kind, &facts.user) {
        // Zero says that there is no order to keep.
        (Kind::Message, Some(user)) => xxh3_64(user.as_bytes()).max(1),
        _ => 0,
    };
    Stored {
        kind: draft.kind,
        id: draft.id,
        scope: draft.scope,
        at_ms: facts.start_ns / 1_000_000,
        order,
        user: facts.user,
        class: facts.class,
        name: facts.name,
        cost,
        weight_milli,
        flags,
        held: None,
        body: draft.body,
    }
}

/// A part of an observation, which is judged when it is whole.
fn held(id: u128, draft: &Draft) -> Entry {
    let stored = stored(draft.clone(), None, Vec::new(), 1000);
    entry(id, HOLD, Priority::Normal, &stored)
}

fn entry(id: u128, routes: u32, priority: Priority, stored: &Stored) -> Entry {
    // All of its parts have a form in postcard, and a vector grows.
    let payload = postcard::to_stdvec(stored).expect("an event can be written to memory");
    Entry { id, routes, priority: priority as u8, payload: payload.into() }
}
