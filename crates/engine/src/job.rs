//! What a system has to say about one bulk operation: [`Job`], its [`Step`]s and [`Outcome`]s.

use crate::clock::Clock;
use crate::event::Event;
use crate::failure::Failure;
use crate::plan::{Plan, PlanWriter};
use crate::remote::{Answer, Remote};
use crate::runner::DiscoverError;
use crate::runner::stop::Stop;
use crate::steps::Steps;
use crate::tally::Verified;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A boxed future, so that [`Job`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One unit of intent, as it stands in the plan.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number in the plan, from 0 without gaps.
    pub number: u64,
    /// The phase it belongs to, an index into the plan's phases.
    pub phase: usize,
    /// The remote's own stable name for the object.
    pub key: Box<str>,
    /// What a person calls the object; empty where the key says it already.
    pub label: Box<str>,
    /// The whole object as it was when the plan was made.
    pub object: Box<RawValue>,
    /// Whether an earlier session may have carried it out already without knowing the answer.
    pub in_doubt: bool,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// It was carried out by an attempt whose answer was lost; the remote's state proves it.
    DoneConfirmed,
    /// There was nothing left to do: somebody else did it.
    AlreadyGone,
    /// It was left alone on purpose, for this reason.
    Skipped(String),
    /// It could not be carried out.
    Failed(Box<Failure>),
    /// It may have been carried out: the run was aborted while it was on the wire.
    InDoubt,
}

impl Outcome {
    /// Whether a resumed run leaves this step alone.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::InDoubt)
    }
}

impl Applied {
    /// What there is to say where nothing had to be sent.
    #[must_use]
    pub fn nothing_sent() -> Self {
        Self {
            outcomes: Vec::new(),
            latency: Duration::ZERO,
            attempts: 0,
            status: None,
            request_id: None,
        }
    }

    /// What a call's answer did to all of so many steps.
    #[must_use]
    pub fn all<T>(outcome: &Outcome, steps: usize, answer: &Answer<T>) -> Self {
        Self {
            outcomes: vec![outcome.clone(); steps],
            latency: answer.latency,
            attempts: answer.attempts,
            status: None,
            request_id: None,
        }
    }
}

/// What [`Job::apply`] says about a batch that the remote has answered.
#[derive(Debug)]
pub struct Applied {
    /// One outcome for each step of the batch, in its order.
    pub outcomes: Vec<Outcome>,
    /// From the sending of the last attempt to its answer.
    pub latency: Duration,
    /// How many attempts were sent.
    pub attempts: u32,
    /// The status of the answer, where the remote has such a thing.
    pub status: Option<u16>,
    /// The remote's name for the last request.
    pub request_id: Option<Box<str>>,
}

/// How many steps one batch may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSpec {
    /// At least so many, however slow the remote is.
    pub min: usize,
    /// How many the first batch has where there is a target; otherwise it has `max`.
    pub start: usize,
    /// At most so many.
    pub max: usize,
    /// At most so many bytes, as [`Job::weight`] counts them; one step always fits.
    pub bytes_max: u64,
    /// Where the best size is unknown: how long a batch should take. Without it batches are as
    /// large as allowed, and only a remote that refuses one as too large makes them smaller.
    pub target: Option<Duration>,
}

/// The bytes of one batch where nothing else is said: 32 MiB.
const BATCH_BYTES_MAX: u64 = 32 * 1024 * 1024;

impl BatchSpec {
    /// One step a batch.
    pub const SINGLE: Self = Self::up_to(1);

    /// As many as allowed, at most `max`.
    #[must_use]
    pub const fn up_to(max: usize) -> Self {
        Self { min: 1, start: max, max, bytes_max: BATCH_BYTES_MAX, target: None }
    }
}

/// One phase of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseInfo {
    /// What it counts, such as `organizations`.
    pub name: Cow<'static, str>,
    /// The number of the operation that carries its steps out, at the job's first remote.
    pub operation: usize,
    /// How many of its steps one batch may hold.
    pub batch: BatchSpec,
    /// How many of its steps one request carries.
    pub steps_a_request: u64,
    /// What a step takes where everything runs as wide as it may, as measured before the run;
    /// `None` where the quota alone says how long it takes.
    pub expected: Option<Duration>,
}

impl PhaseInfo {
    /// A phase with one request a step.
    #[must_use]
    pub const fn single(name: &'static str, operation: usize) -> Self {
        let (name, batch) = (Cow::Borrowed(name), BatchSpec::SINGLE);
        Self { name, operation, batch, steps_a_request: 1, expected: None }
    }

    /// A phase whose batches are one request each.
    #[must_use]
    pub fn bulk(name: impl Into<Cow<'static, str>>, operation: usize, batch: BatchSpec) -> Self {
        let steps_a_request = batch.max as u64;
        Self { name: name.into(), operation, batch, steps_a_request, expected: None }
    }

    /// How many requests so many of its steps take at best.
    #[must_use]
    pub fn requests(&self, steps: u64) -> u64 {
        steps.div_ceil(self.steps_a_request.max(1))
    }
}

/// What the runner has to know about a job.
#[derive(Clone, Debug)]
pub struct JobInfo {
    /// The system, such as `workos`.
    pub system: &'static str,
    /// The operation, such as `delete`.
    pub operation: &'static str,
    /// What its steps are counted in, in the plan's order.
    pub phases: Vec<PhaseInfo>,
    /// Whether a step may be sent again without harm. If not, intents are synced to disk before
    /// anything is sent, and steps in doubt are settled by asking the remote.
    pub idempotent: bool,
    /// Batches begun and not settled, at most, where whole batches take so much memory that twice
    /// the concurrency would be too many.
    pub window: Option<usize>,
    /// Whether steps may be applied while the listing goes on, which is for work that destroys
    /// nothing: nobody sees the plan before. Such a job has one phase.
    pub streaming: bool,
    /// Whether several processes share the plan, so that each step has to be claimed before it is
    /// carried out. See [`Job::claim`].
    pub shared: bool,
}

/// What a job is given to work with.
#[derive(Clone, Debug)]
pub struct Context {
    /// The time of the run.
    pub clock: Clock,
    /// Says when to stop.
    pub stop: Stop,
    /// Takes what happened to the dispatcher, the only author of events. Bounded.
    pub signals: mpsc::Sender<Event>,
}

impl Context {
    /// Tells the dispatcher what happened. A dispatcher that has gone away is not an error here:
    /// the run is over then.
    pub async fn signal(&self, event: Event) {
        let _ = self.signals.send(event).await;
    }
}

/// What a job's output proves to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// Nothing from this step on is in it.
    pub below: u64,
    /// The steps below that one that have nothing in it.
    pub missing: Steps,
}

/// What [`Job::claim`] has to say about a plan that several processes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The steps from `first` to before `end` are this process's to carry out, except those that
    /// another process has carried out before.
    Part {
        /// The first of them.
        first: u64,
        /// The one behind the last.
        end: u64,
        /// Those of them that are done.
        done: Steps,
    },
    /// Other processes have carried these out.
    Elsewhere(Steps),
    /// Every step of the plan is carried out: here, or elsewhere and told as such before.
    Over,
}

/// A step that is to be left alone although the plan has it, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The step's number.
    pub step: u64,
    /// The remote's name for the object.
    pub key: Box<str>,
    /// What a person calls it.
    pub label: Box<str>,
    /// Why it is left alone.
    pub reason: String,
}

/// One configured bulk operation of one system.
pub trait Job: Send + Sync {
    /// The facts about it.
    fn info(&self) -> JobInfo;

    /// The remotes it talks to, the one that limits it first. The runner shows their meters and
    /// passes pause and rate on to them.
    fn remotes(&self) -> Vec<Arc<Remote>>;

    /// Reads the remote and writes every step into the plan; changes nothing.
    ///
    /// # Errors
    /// Any failure makes the plan worthless; a partial plan is never applied.
    fn discover<'a>(
        &'a self,
        context: &'a Context,
        plan: &'a mut PlanWriter,
    ) -> BoxFuture<'a, Result<(), DiscoverError>>;

    /// Carries out one batch through a [`Remote`] and says what became of each of its steps.
    ///
    /// # Errors
    /// A failure that concerns the whole batch, after the remote's retries.
    fn apply<'a>(
        &'a self,
        context: &'a Context,
        batch: &'a [Step],
    ) -> BoxFuture<'a, Result<Applied, Failure>>;

    /// What a step adds to the bytes of its batch; by default its object's.
    fn weight(&self, step: &Step) -> u64 {
        step.object.get().len() as u64
    }

    /// For a job whose output proves what is done, such as a file in the order of the plan: brings
    /// the output into a state to go on from, and says what is in it. The default knows of no
    /// output.
    ///
    /// # Errors
    /// When the output is not there or not this job's; nothing is applied then.
    fn prepare<'a>(
        &'a self,
        _context: &'a Context,
        _plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Option<Covered>, DiscoverError>> {
        Box::pin(async { Ok(None) })
    }

    /// Takes the next part of a shared plan for this process. It waits while all that is left is in
    /// the hands of others, and while an earlier phase is not finished. Only called where
    /// [`JobInfo::shared`] says so, and never twice at once.
    ///
    /// # Errors
    /// When it can't be found out; the run ends and can be resumed.
    fn claim<'a>(&'a self, _context: &'a Context) -> BoxFuture<'a, Result<Claim, Failure>> {
        Box::pin(async { Ok(Claim::Over) })
    }

    /// Steps that failed in an earlier session are about to be tried again.
    fn reopened(&self) {}

    /// What goes on beside the work for as long as the run lasts, such as keeping a claim alive.
    /// It is dropped at the run's end. The default does nothing.
    fn accompany<'a>(&'a self, _context: &'a Context) -> BoxFuture<'a, ()> {
        Box::pin(std::future::pending())
    }

    /// The processor time that the job has spent on purpose so far, such as on hashing. It is not
    /// counted as load that new work has to wait for.
    fn busy(&self) -> Duration {
        Duration::ZERO
    }

    /// What the listing found that a person should know before the plan is carried out: names with
    /// what there is to say, in the order in which they are shown.
    fn remarks(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Looks once more, after the last step has its outcome, at what was done. The run is complete
    /// only when it has. The default looks at nothing.
    ///
    /// # Errors
    /// The run ends here and can be resumed, which looks again.
    fn finish<'a>(
        &'a self,
        _context: &'a Context,
        _plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Option<Verified>, DiscoverError>> {
        Box::pin(async { Ok(None) })
    }

    /// Looks once more, before the first step is sent, for steps that must be left alone.
    /// The default finds none.
    ///
    /// # Errors
    /// A failure here means that nothing is applied.
    fn recheck<'a>(
        &'a self,
        _context: &'a Context,
        _plan: &'a Plan,
    ) -> BoxFuture<'a, Result<Vec<Skip>, DiscoverError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Asks the remote whether a step in doubt was carried out; `None` when it was not. Only
    /// called for jobs that are not idempotent.
    ///
    /// # Errors
    /// The step stays in doubt.
    fn settle<'a>(
        &'a self,
        _context: &'a Context,
        _step: &'a Step,
    ) -> BoxFuture<'a, Result<Option<Outcome>, Failure>> {
        Box::pin(async { Ok(None) })
    }
}
