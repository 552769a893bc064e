//! What a person or another process can say to a run in progress.

use crate::tally::Counts;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Send nothing until resumed.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Start nothing more, let the wire drain, end; the run can be resumed. Said twice by
    /// interrupts, it aborts.
    Stop,
    /// End now; what is on the wire is in doubt.
    Abort,
    /// At most so many requests a second.
    Rate(f64),
    /// The present ceiling times this.
    Scale(f64),
    /// Nothing; only tell how it is.
    Status,
}

/// A command with the way back.
#[derive(Debug)]
pub struct Order {
    /// What to do.
    pub command: Command,
    /// Who says so, such as `interrupt` or `ctl`.
    pub by: &'static str,
    /// Where the status after it goes, if somebody waits for it.
    pub reply: Option<oneshot::Sender<Status>>,
}

impl Order {
    /// An order that nobody waits for.
    #[must_use]
    pub fn new(command: Command, by: &'static str) -> Self {
        Self { command, by, reply: None }
    }
}

/// How a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The run's name.
    pub run: String,
    /// How many steps the plan has.
    pub steps: u64,
    /// What became of them.
    #[serde(rename = "outcomes")]
    pub counts: Counts,
    /// Requests on the wire.
    pub in_flight: u32,
    /// Steps with an outcome, a second, over the last five seconds.
    pub per_second: f64,
    /// The operator's ceiling in requests a second.
    pub rate: Option<f64>,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it is about to stop.
    pub stopping: bool,
}
