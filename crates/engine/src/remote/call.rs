//! The one retry loop of the program, in reading order: admission, one attempt under its
//! timeout, what the failure means, then either an answer or a wait outside the wire.

use super::Spec;
use super::gate::{Aftermath, Gate, Next, Patience};
use super::meter::Meter;
use crate::clock::Clock;
use crate::event::Event;
use crate::failure::{Failure, Kind};
use crate::job::Context;
use crate::moment::Moment;
use crate::policy::quota::Quota;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// A thing with limits.
#[derive(Debug)]
pub struct Remote {
    spec: Spec,
    gate: Arc<Gate>,
    patience: Patience,
}

/// What one attempt is told.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// Whether an earlier attempt may have taken effect although no good answer came.
    pub in_doubt: bool,
    gate: Arc<Gate>,
    operation: usize,
}

impl Attempt {
    /// Passes on a quota that the answer's headers state for the remote itself. A window of ours
    /// with the same span comes down to it.
    pub fn told_quota(&self, quota: Quota) {
        self.gate.told_quota(self.operation, quota);
    }

    /// Passes on what the answer's headers say of the quota.
    pub fn told(&self, remaining: u32, resets_in: Duration) {
        self.gate.told(remaining, resets_in);
    }
}

/// A good answer with what it took.
#[derive(Debug)]
pub struct Answer<T> {
    /// What the attempt returned.
    pub value: T,
    /// From the sending of the last attempt to its answer.
    pub latency: Duration,
    /// How many attempts were sent.
    pub attempts: u32,
}

impl Remote {
    /// The remote of this spec. Its clock starts with the run's.
    #[must_use]
    pub fn new(clock: Clock, spec: Spec) -> Self {
        Self {
            gate: Arc::new(Gate::new(clock, &spec)),
            patience: Patience {
                retries: spec.retries,
                backoff: spec.backoff,
                deadline: spec.deadline,
            },
            spec,
        }
    }

    /// What is known of its limits.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Its gate, for pause, rate and meter.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What its gate looks like now.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.gate.meter()
    }

    /// How many requests of this operation may start before one of its windows has to come back.
    #[must_use]
    pub fn room(&self, operation: usize) -> u64 {
        let meter = self.meter();
        let names: Vec<&str> = self.spec.windows_of(operation).map(|(name, _)| name).collect();
        let windows = meter.windows.iter().filter(|window| names.contains(&window.name.as_str()));
        windows.map(|window| u64::from(window.available)).min().unwrap_or(u64::MAX)
    }

    /// How long `requests` of this operation take at best from now on: as [`Spec::time_for`], with
    /// what the windows hold already.
    #[must_use]
    pub fn time_for(&self, operation: usize, requests: u64, round_trip: Duration) -> Duration {
        let fresh = self.spec.time_for(operation, requests, round_trip);
        let meter = self.meter();
        let waits = self.spec.windows_of(operation).filter_map(|(name, quota)| {
            let window = meter.windows.iter().find(|window| window.name == name)?;
            let beyond = requests.saturating_sub(window.available.into());
            let rounds = u32::try_from(beyond.div_ceil(quota.limit.into())).unwrap_or(u32::MAX);
            Some((quota.span + round_trip).saturating_mul(rounds) + round_trip)
        });
        waits.chain([fresh]).max().filter(|_| requests > 0).unwrap_or_default()
    }

    /// Makes one request, as often as it takes. Every attempt pays the quota of `operation`, its
    /// number in the spec. `in_doubt` says that an earlier session may have made it already.
    ///
    /// # Errors
    /// The last failure, when it may not be retried or the retries are used up;
    /// [`Kind::Cancelled`] when a stop was asked for; [`Kind::Away`] when the remote gave no good
    /// answer for longer than the deadline.
    pub async fn call<T, A, F>(
        &self,
        context: &Context,
        operation: usize,
        in_doubt: bool,
        attempt: A,
    ) -> Result<Answer<T>, Failure>
    where
        A: FnMut(Attempt) -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        self.call_with(context, operation, 1, in_doubt, attempt).await
    }

    /// The same for a request that carries so many items, which some windows count.
    ///
    /// # Errors
    /// As [`Remote::call`]; [`Kind::TooLarge`] when a batch got no answer in time.
    pub async fn call_with<T, A, F>(
        &self,
        context: &Context,
        operation: usize,
        items: u32,
        in_doubt: bool,
        mut attempt: A,
    ) -> Result<Answer<T>, Failure>
    where
        A: FnMut(Attempt) -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        let _asking = self.gate.asking();
        let mut tries = Tries { sent: 0, spent: 0, in_doubt };
        loop {
            let permit = match self.gate.admit(operation, items, &context.stop).await {
                Ok(permit) => permit,
                Err(stopped) => return Err(tries.marked(stopped)),
            };
            tries.sent += 1;
            let sent_at = context.clock.now();
            let told = Attempt {
                number: tries.sent,
                in_doubt: tries.in_doubt,
                gate: Arc::clone(&self.gate),
                operation,
            };
            let result = tokio::time::timeout(self.spec.timeout, attempt(told)).await;
            let latency = context.clock.now().saturating_since(sent_at);
            let failure = match result {
                Ok(Ok(value)) => {
                    if permit.succeeded(latency) {
                        context.signal(Event::BreakerClosed).await;
                    }
                    return Ok(Answer { value, latency, attempts: tries.sent });
                }
                Ok(Err(failure)) => failure,
                Err(_elapsed) => Failure::timed_out(self.spec.timeout),
            };
            tries.in_doubt |= failure.may_have_happened;
            let after = permit.failed(&failure, latency, tries.spent, &self.patience);
            if self.is_too_much(operation, items, &failure) {
                return Err(tries.marked(Failure { kind: Kind::TooLarge, ..failure }));
            }
            tries.spent += u32::from(failure.kind.verdict().spends_budget);
            let until = self.go_on(context, operation, &tries, failure, after).await?;
            tokio::select! {
                () = context.clock.sleep_until(until) => {}
                () = context.stop.draining() => return Err(tries.marked(Failure::cancelled())),
            }
        }
    }

    /// Tells the dispatcher what happened, and the caller when the next attempt may start.
    async fn go_on(
        &self,
        context: &Context,
        operation: usize,
        tries: &Tries,
        failure: Failure,
        after: Aftermath,
    ) -> Result<Moment, Failure> {
        if after.opened {
            context.signal(Event::BreakerOpened { message: failure.to_string() }).await;
        }
        let now = context.clock.now();
        let name = self.gate.operation(operation).name.to_owned();
        let (event, until) = match after.next {
            Next::GiveUp => return Err(tries.marked(failure)),
            Next::Away => return Err(tries.marked(self.away(&failure))),
            Next::Patience(until, told) => {
                let wait_ms = millis(until.saturating_since(now));
                let request_id = failure.request_id;
                (Event::Throttled { operation: name, wait_ms, told, request_id }, until)
            }
            Next::Again(until) => {
                let wait_ms = millis(until.saturating_since(now));
                let message = failure.to_string();
                let (attempt, kind) = (tries.sent, failure.kind);
                (Event::Retrying { operation: name, attempt, kind, message, wait_ms }, until)
            }
        };
        context.signal(event).await;
        Ok(until)
    }

    /// Whether a batch of this size was too much to be answered in time.
    fn is_too_much(&self, operation: usize, items: u32, failure: &Failure) -> bool {
        let above = self.gate.operation(operation).halves_above;
        failure.kind == Kind::TimedOut && items > above
    }

    fn away(&self, last: &Failure) -> Failure {
        let deadline = self.patience.deadline;
        let message =
            format!("no good answer from {} for {deadline:?}; the last: {last}", self.spec.name);
        let mut away = Failure::new(Kind::Away, message);
        away.status = last.status;
        let hint = last.hint.clone();
        away.with_hint(hint.unwrap_or_else(|| {
            "check the remote's status page and the network, then resume the run".to_owned()
        }))
    }
}

/// How far a call has come.
#[derive(Debug)]
struct Tries {
    sent: u32,
    /// Failed attempts that count against the retries.
    spent: u32,
    in_doubt: bool,
}

impl Tries {
    /// The failure with what all attempts together leave in doubt.
    fn marked(&self, mut failure: Failure) -> Failure {
        failure.may_have_happened |= self.in_doubt;
        failure.attempts = self.sent;
        failure
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
