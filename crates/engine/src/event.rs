//! What happened: one enum, written by the dispatcher alone, read by everything that shows,
//! counts or remembers. The durable ones are the lines of the journal.
//!
//! This is a public interface (`--output json`): variants and fields are added, never renamed.

use crate::failure::{Failure, Kind};
use crate::job::Outcome;
use crate::moment::Moment;
use crate::steps::Steps;
use serde::{Deserialize, Serialize};

/// The version of the event stream, told in [`Event::RunStarted`].
pub const EVENTS_VERSION: u32 = 1;

/// An event with the moment at which the dispatcher saw it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// Since this session of the run began.
    pub at: Moment,
    /// What happened.
    pub event: Event,
}

/// What became of one step, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The step's number in the plan.
    pub step: u64,
    /// The remote's name for the object, so that `grep` finds it.
    pub key: Box<str>,
    /// What a person calls it; only kept where the step did not simply succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Box<str>>,
    /// What became of it.
    pub outcome: Outcome,
}

/// How a session of a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every step has its outcome.
    Complete,
    /// Somebody asked for a stop, and what was on the wire was answered.
    Stopped,
    /// Somebody asked twice; what was on the wire is in doubt.
    Aborted,
    /// This failure ended the run; the steps it met are not counted as failed.
    Fatal(Box<Failure>),
    /// The journal could not be written.
    JournalLost(String),
}

/// Why nothing is being sent at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// This window of the quota is used up.
    Quota(String),
    /// The remote asked for patience (429 and its Retry-After).
    Throttled,
    /// The remote's headers say that nothing is left until its reset.
    Told,
    /// As many requests as allowed are on the wire.
    Concurrency,
    /// The breaker is open after repeated failures.
    Breaker,
    /// Somebody paused the run.
    Paused,
    /// Something that is watched, here or at the remote, says that new work has to wait.
    Held(String),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A session of a run began: the first, or one after a resume.
    RunStarted {
        /// [`EVENTS_VERSION`] of the writer.
        version: u32,
        /// The run's name.
        run: String,
        /// Wall clock, milliseconds since 1970.
        unix_ms: u64,
        /// Which session of the run this is, from 1.
        session: u32,
        /// How many steps the plan has.
        steps: u64,
        /// How many had their outcome before this session.
        finished: u64,
        /// The seed of the jitter, so that a strange run can be had again.
        seed: u64,
        /// The milliseconds that all steps of the plan take at best under the quotas in force;
        /// `None` where they leave it open.
        #[serde(default)]
        best_ms: Option<u64>,
    },
    /// A page of the remote's list was read.
    Page {
        /// Which list, by its phase.
        phase: String,
        /// From 1.
        page: u64,
        /// How many objects were seen in this phase so far.
        seen: u64,
        /// How many of them are in the plan so far.
        selected: u64,
        /// Microseconds from sending to answer.
        latency_us: u64,
        /// The remote's name for the request.
        request_id: Option<Box<str>>,
    },
    /// The plan of a run that applies while it lists has grown.
    Planned {
        /// How many steps it has now.
        steps: u64,
        /// Whether the listing has come to its end.
        complete: bool,
    },
    /// These steps are about to be sent.
    Begun {
        /// Their numbers.
        steps: Steps,
    },
    /// These steps were begun but never sent; they are as if untouched.
    Returned {
        /// Their numbers.
        steps: Steps,
    },
    /// These steps had failed, or what they wrote is not there, and are to be tried again.
    Reopened {
        /// Their numbers.
        steps: Steps,
    },
    /// Every step of a batch that one request carried was simply done. Their keys stand in the
    /// plan.
    Done {
        /// Their numbers.
        steps: Steps,
        /// Microseconds of the last attempt, from sending to answer.
        latency_us: u64,
        /// How many attempts were sent.
        attempts: u32,
        /// The status of the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// The remote's name for the last request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<Box<str>>,
    },
    /// A batch has its outcomes.
    Settled {
        /// One for each step of the batch.
        steps: Vec<Settled>,
        /// Microseconds of the last attempt, from sending to answer.
        latency_us: u64,
        /// How many attempts were sent.
        attempts: u32,
        /// The status of the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// The remote's name for the last request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<Box<str>>,
    },
    /// The remote answered 429; everything to it pauses.
    Throttled {
        /// The operation that met it.
        operation: String,
        /// For how long, in milliseconds.
        wait_ms: u64,
        /// Whether the remote named that time itself.
        told: bool,
        /// The remote's name for the request.
        request_id: Option<Box<str>>,
    },
    /// An attempt failed and will be made again.
    Retrying {
        /// The operation.
        operation: String,
        /// Which attempt failed, from 1.
        attempt: u32,
        /// Its class.
        kind: Kind,
        /// What happened.
        message: String,
        /// After how many milliseconds the next one may start.
        wait_ms: u64,
    },
    /// The breaker opened after repeated failures: nothing is sent until a probe succeeds.
    BreakerOpened {
        /// The failure that opened it.
        message: String,
    },
    /// The breaker closed: the remote answers again.
    BreakerClosed,
    /// Somebody paused the run.
    Paused,
    /// Somebody let it go on.
    Resumed,
    /// New work waits, or goes on one request at a time, for a reason that is watched.
    Held {
        /// What is watched, such as `cpu` or `replication-lag`.
        by: String,
        /// What it says.
        reason: String,
    },
    /// What was watched does not hold new work up any more.
    Released {
        /// What is watched.
        by: String,
    },
    /// Somebody should look at this: a figure has left its bounds, or is back within them.
    Alert {
        /// Which: `memory`, `cpu`, `slow`, `errors` or `breaker`.
        name: String,
        /// Whether it left them.
        raised: bool,
        /// The figure in words.
        message: String,
    },
    /// What this process takes of the machine.
    Load {
        /// Processor time of the machine in use, as a share from 0 to 1, without what this program
        /// spends on purpose.
        cpu: f32,
        /// All processor time of the machine in use, as a share from 0 to 1.
        cpu_all: f32,
        /// Memory of this process in bytes.
        memory_bytes: u64,
        /// The memory that it may take in bytes.
        memory_limit_bytes: u64,
    },
    /// Other processes that share the plan have carried these steps out, or this one before it was
    /// killed and could not write it down.
    Elsewhere {
        /// Their numbers.
        steps: Steps,
    },
    /// Somebody set the rate; `None` takes the ceiling away.
    RateSet {
        /// Requests a second, at most.
        per_second: Option<f64>,
    },
    /// No further steps are begun.
    Stopping {
        /// Why.
        reason: String,
    },
    /// After the last step the job looked once more at what it had done.
    Verified {
        /// How many objects it looked at.
        seen: u64,
        /// How many of them are not as they should be.
        left: u64,
        /// What it found, in words.
        message: String,
    },
    /// Something a person should know that fits nowhere else.
    Warning {
        /// In words.
        message: String,
    },
    /// The session ended.
    RunEnded {
        /// How.
        ending: Ending,
    },
}

impl Event {
    /// Whether the journal keeps it.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        !matches!(self, Self::Page { .. } | Self::Load { .. })
    }
}
