//! Where the pure policies meet tokio: one lock around them, one first-come queue for each kind
//! of request. The head of a queue asks the policies and sleeps until they say yes; everybody
//! behind it waits for its turn. Nothing here decides anything.

mod state;

use super::meter::Meter;
use super::{OperationSpec, Spec};
use crate::clock::Clock;
use crate::failure::{Failure, Kind};
use crate::moment::Moment;
use crate::policy::backoff::Backoff;
use crate::policy::concurrency::{Finish, Kind as FinishKind};
use crate::policy::quota::Quota;
use crate::runner::stop::Stop;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

pub use state::Hold;
use state::is_closed;
pub(super) use state::{State, per_second};

/// Admits attempts to one remote.
#[derive(Debug)]
pub struct Gate {
    clock: Clock,
    state: Mutex<State>,
    changed: Notify,
    turnstiles: Vec<tokio::sync::Mutex<()>>,
    operations: Vec<OperationSpec>,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is final.
    GiveUp,
    /// The remote has been silent past the deadline.
    Away,
    /// Another attempt may start then.
    Again(Moment),
    /// The remote asked for patience until then, and `bool` says whether it named the time.
    Patience(Moment, bool),
}

/// What a failed attempt changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aftermath {
    pub(super) next: Next,
    /// Whether this failure opened the breaker.
    pub(super) opened: bool,
}

/// How patient a call is with failures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) retries: u32,
    pub(super) backoff: Backoff,
    pub(super) deadline: Duration,
}

impl Gate {
    /// A gate for the remote of this spec.
    #[must_use]
    pub fn new(clock: Clock, spec: &Spec) -> Self {
        Self {
            clock,
            state: Mutex::new(State::new(spec)),
            changed: Notify::new(),
            turnstiles: spec.operations.iter().map(|_| tokio::sync::Mutex::default()).collect(),
            operations: spec.operations.clone(),
        }
    }

    /// Waits until an attempt of this operation may start. The permit has to be given back with
    /// what became of the attempt; dropped, it counts as given up now.
    ///
    /// # Errors
    /// When a stop is asked for first.
    pub(super) async fn admit(
        &self,
        operation: usize,
        items: u32,
        stop: &Stop,
    ) -> Result<Permit<'_>, Failure> {
        let turnstile = self.turnstiles.get(operation).expect("the operation is in the spec");
        let _turn = tokio::select! {
            biased;
            turn = turnstile.lock() => turn,
            () = stop.draining() => return Err(Failure::cancelled()),
        };
        loop {
            if stop.is_draining() {
                return Err(Failure::cancelled());
            }
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let until = match self.try_admit(operation, items) {
                Ok(permit) => return Ok(permit),
                Err(until) => until.unwrap_or(Moment::NEVER),
            };
            tokio::select! {
                () = changed => {}
                () = self.clock.sleep_until(until) => {}
                () = stop.draining() => {}
            }
        }
    }

    fn try_admit(&self, operation: usize, items: u32) -> Result<Permit<'_>, Option<Moment>> {
        let now = self.clock.now();
        let spec = self.operation(operation);
        let mut state = self.state();
        match state.check(now, spec, items) {
            Ok(()) => {
                state.take(now, spec, items);
                Ok(Permit { gate: self, operation, items, open: true })
            }
            Err((waiting, until)) => {
                state.waiting = Some((waiting, until));
                Err(until)
            }
        }
    }

    /// Takes in what the remote's headers say: so many requests are left until then.
    pub fn told(&self, remaining: u32, resets_in: Duration) {
        let now = self.clock.now();
        let mut state = self.state();
        // The request whose answer says this is counted in it already.
        let others = state.concurrency.in_flight().saturating_sub(1);
        state.told.learn(now, remaining, resets_in, others);
        state.told_answers += 1;
    }

    /// Takes in requests of an earlier process that were answered so long ago, the oldest first:
    /// the remote's windows still hold them.
    pub fn recall(&self, operation: usize, answered_ago: Duration, requests: u32) {
        let now = self.clock.now();
        let operation = self.operation(operation);
        self.state().for_windows(operation, 1, |window, _| {
            let left = window.quota().span.saturating_sub(answered_ago);
            window.recall(now, now + left, requests);
        });
    }

    /// Takes in a quota that the remote states for itself: windows of this operation with the same
    /// span come down to it. They never go up: the operator's word stands.
    pub fn told_quota(&self, operation: usize, quota: Quota) {
        let operation = self.operation(operation);
        let mut state = self.state();
        for (index, _) in operation.costs(1) {
            if let Some(Some(named)) = state.windows.get_mut(index)
                && named.quota.span == quota.span
                && quota.limit < named.quota.limit
            {
                named.quota.limit = quota.limit;
                named.window.set_limit(quota.limit);
            }
        }
    }

    /// Pauses everything, or lets it go on. What is on the wire is answered either way.
    pub fn set_paused(&self, paused: bool) {
        let now = self.clock.now();
        let mut state = self.state();
        state.paused = paused;
        state.rest_or_ask(now);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Holds new work up, or lets it go on as far as this watch is concerned. Vital operations go
    /// on. Says whether that changes anything.
    pub fn hold(&self, watch: &'static str, hold: Option<Hold>) -> bool {
        let mut state = self.state();
        let before = match hold.clone() {
            Some(hold) => state.holds.insert(watch, hold),
            None => state.holds.remove(watch),
        };
        drop(state);
        self.changed.notify_waiters();
        before != hold
    }

    /// Whether this watch holds new work up.
    #[must_use]
    pub fn is_held(&self, watch: &str) -> bool {
        self.state().holds.contains_key(watch)
    }

    /// Sets a ceiling in requests a second, or takes it away.
    pub fn set_rate(&self, rate: Option<f64>) {
        self.state().set_rate(rate);
        self.changed.notify_waiters();
    }

    /// What the gate looks like now.
    #[must_use]
    pub fn meter(&self) -> Meter {
        let now = self.clock.now();
        Meter::read(now, &mut self.state())
    }

    /// Keeps a place on the wire for the operations that lead.
    #[must_use]
    pub fn lead(&self) -> Lead<'_> {
        self.state().leads += 1;
        Lead { gate: self }
    }

    /// Marks that somebody wants an answer, until it is dropped.
    pub(super) fn asking(&self) -> Asking<'_> {
        self.count_calls(1);
        Asking { gate: self }
    }

    fn count_calls(&self, change: i32) {
        let now = self.clock.now();
        let mut state = self.state();
        state.calls = state.calls.saturating_add_signed(change);
        state.rest_or_ask(now);
    }

    pub(super) fn operation(&self, number: usize) -> &OperationSpec {
        self.operations.get(number).expect("the operation is in the spec")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a place on the wire for a leading operation, until it is dropped.
#[derive(Debug)]
pub struct Lead<'a> {
    gate: &'a Gate,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.leads = state.leads.saturating_sub(1);
        drop(state);
        self.gate.changed.notify_waiters();
    }
}

/// One call that has begun and not ended.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    gate: &'a Gate,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.gate.count_calls(-1);
    }
}

/// The right to one attempt.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    gate: &'a Gate,
    operation: usize,
    items: u32,
    open: bool,
}

impl Permit<'_> {
    /// The attempt got an answer that shows the remote at work. True when that closed the breaker.
    pub(super) fn succeeded(mut self, latency: Duration) -> bool {
        let (now, mut state) = self.give_back(latency, FinishKind::Success);
        let was_closed = is_closed(&state.breaker);
        state.breaker.succeeded(now);
        state.budget.deposit(now);
        state.silent_since = None;
        let closed = !was_closed && is_closed(&state.breaker);
        drop(state);
        self.gate.changed.notify_waiters();
        closed
    }

    /// The attempt failed; `spent` attempts of this call have counted before.
    pub(super) fn failed(
        mut self,
        failure: &Failure,
        latency: Duration,
        spent: u32,
        patience: &Patience,
    ) -> Aftermath {
        let verdict = failure.kind.verdict();
        let kind = if verdict.pushes_back { FinishKind::PushBack } else { FinishKind::Other };
        let gate = self.gate;
        let operation = gate.operation(self.operation);
        let (now, mut state) = self.give_back(latency, kind);
        let was_closed = is_closed(&state.breaker);
        if verdict.counts_for_breaker {
            state.breaker.failed(now);
        } else if verdict.retry {
            state.breaker.ignored(now);
        } else {
            state.breaker.succeeded(now);
            state.silent_since = None;
        }
        let opened = was_closed && !is_closed(&state.breaker);
        let next = if failure.kind == Kind::Throttled {
            throttle(&mut state, now, operation, failure, patience)
        } else {
            retry(&mut state, now, operation, failure, spent, patience)
        };
        let next = if verdict.retry { deadline(&mut state, now, next, patience) } else { next };
        drop(state);
        gate.changed.notify_waiters();
        Aftermath { next, opened }
    }

    fn give_back(
        &mut self,
        latency: Duration,
        kind: FinishKind,
    ) -> (Moment, MutexGuard<'_, State>) {
        self.open = false;
        let now = self.gate.clock.now();
        let mut state = self.gate.state();
        let operation = self.gate.operation(self.operation);
        state.for_windows(operation, self.items, |window, cost| window.answered(now, cost));
        state.concurrency.finished(now, Finish { latency, kind });
        state.leading = state.leading.saturating_sub(u32::from(operation.leads));
        match state.told_answers.checked_sub(1) {
            Some(left) => state.told_answers = left,
            None => state.told.answered(now, 1),
        }
        (now, state)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.open {
            let (now, mut state) = self.give_back(Duration::ZERO, FinishKind::Other);
            state.breaker.ignored(now);
            drop(state);
            self.gate.changed.notify_waiters();
        }
    }
}

/// A 429 pauses the whole remote and lowers its rate; the step pays nothing but time.
fn throttle(
    state: &mut State,
    now: Moment,
    operation: &OperationSpec,
    failure: &Failure,
    patience: &Patience,
) -> Next {
    let random = state.chance.f64();
    let told = failure.wait;
    let wait = told.unwrap_or_else(|| state.rest_of_window(operation));
    let until = now + patience.backoff.server_wait(wait, random);
    let held_before = state.throttled_until.max(now);
    state.throttled_until = state.throttled_until.max(until);
    // The patience it asked for is no silence.
    let more = state.throttled_until.saturating_since(held_before);
    *state.silent_since.get_or_insert(now) += more;
    if let Some(window) = state.fullest(now, operation) {
        window.slow(now);
    }
    Next::Patience(state.throttled_until, told.is_some())
}

/// Any other failure is retried if it may be, as often as the call's own retries allow, and paid
/// for from the remote's budget. The breaker lets one probe through at a time in an outage, and
/// the probes go round all waiting calls, so that forty of them outlast one of five minutes.
fn retry(
    state: &mut State,
    now: Moment,
    operation: &OperationSpec,
    failure: &Failure,
    spent: u32,
    patience: &Patience,
) -> Next {
    let safe = operation.idempotent || !failure.may_have_happened;
    if !failure.kind.verdict().retry || !safe || spent >= patience.retries {
        return Next::GiveUp;
    }
    let wait = patience.backoff.wait(spent + 1, state.chance.f64());
    let mut until = now + wait.max(failure.wait.unwrap_or_default());
    if !state.budget.try_spend(now) {
        until = until.max(state.budget.ready_at(now));
    }
    Next::Again(until)
}

/// A remote that gives no good answer for too long ends the run, which can be resumed.
fn deadline(state: &mut State, now: Moment, next: Next, patience: &Patience) -> Next {
    let since = *state.silent_since.get_or_insert(now);
    if now.saturating_since(since) > patience.deadline { Next::Away } else { next }
}
