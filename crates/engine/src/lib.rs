//! The engine of Windlass: one way to run a bulk operation against a remote with limits.
//!
//! [`plan`] holds what is to be done, [`job`] says how a system does it, [`remote`] is the only
//! door to a remote and keeps its limits, [`journal`] remembers what became of every step, and
//! [`runner`] drives them. [`policy`] decides without clock, lock or I/O; [`event`] tells what
//! happened, and [`tally`] and [`report`] are folds over those events.
//!
//! The engine knows no HTTP, no command line, no terminal and no vendor.

pub mod alerts;
pub mod bits;
pub mod clock;
pub mod event;
pub mod failure;
pub mod job;
pub mod journal;
pub mod moment;
pub mod plan;
pub mod policy;
pub mod remote;
pub mod report;
pub mod runner;
pub mod series;
pub mod steps;
pub mod tally;

pub use event::{Event, Settled, Stamped};
pub use failure::{Failure, Kind};
pub use job::{Applied, BoxFuture, Claim, Context, Job, JobInfo, Outcome, Step};
pub use moment::Moment;
pub use steps::Steps;
