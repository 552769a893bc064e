//! How the program ends: the exit codes, and the one form of an error on the screen.

use std::fmt;
use std::process::ExitCode;
use windlass_connectors::{OpenError, QueryError};
use windlass_engine::event::Ending;
use windlass_engine::journal::JournalError;
use windlass_engine::plan::PlanError;
use windlass_engine::runner::DiscoverError;
use windlass_engine::tally::Tally;
use windlass_engine::{Failure, Kind};

/// The exit codes; each has one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything was done.
    Done = 0,
    /// The program is broken.
    Bug = 1,
    /// The arguments or settings are not understood.
    Usage = 2,
    /// The run ended, and some steps failed; or what was compared is not the same.
    Failed = 3,
    /// The run stopped early and can be resumed; or a query was interrupted.
    Stopped = 4,
    /// It was refused for safety; nothing was changed.
    Refused = 5,
    /// The credentials were refused.
    Denied = 6,
    /// The remote was not there, or did not answer as it should.
    Unavailable = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error for the person at the terminal.
#[derive(Debug)]
pub struct Error {
    /// With which code the program ends.
    pub exit: Exit,
    what: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl Error {
    /// An error that ends the program with this code.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), causes: Vec::new(), hint: None }
    }

    /// The same error with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn because(mut self, cause: &dyn fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "error: {}", self.what)?;
        for cause in &self.causes {
            write!(out, "\n  caused by: {cause}")?;
        }
        if let Some(hint) = &self.hint {
            write!(out, "\n\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        let exit = if error.refused { Exit::Refused } else { Exit::Usage };
        Self { exit, what: error.message, causes: Vec::new(), hint: error.hint }
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        let exit = match &error {
            PlanError::Io { .. } => Exit::Usage,
            _ => Exit::Refused,
        };
        let hint = error.hint();
        Self::new(exit, error.to_string()).hint(hint)
    }
}

impl From<JournalError> for Error {
    fn from(error: JournalError) -> Self {
        let exit = match &error {
            JournalError::Io(_) => Exit::Usage,
            _ => Exit::Refused,
        };
        let hint = error.hint();
        Self::new(exit, error.to_string()).hint(hint)
    }
}

impl From<DiscoverError> for Error {
    fn from(error: DiscoverError) -> Self {
        match error {
            DiscoverError::Plan(error) => error.into(),
            DiscoverError::Remote(failure) if failure.kind == Kind::Cancelled => {
                Self::new(Exit::Stopped, "stopped while listing; nothing was changed")
                    .hint("run the same command again")
            }
            DiscoverError::Remote(failure) => refused(
                failure,
                "the remote could not be listed",
                "nothing was changed; check the base URL and the network, and try again: \
                 --debug shows every request",
            ),
        }
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Usage(error) => error.into(),
            QueryError::Output(error) => {
                Self::new(Exit::Usage, "the answer can't be written").because(&error).hint(
                    "check the place that standard output goes to, and the free space of the disk",
                )
            }
            QueryError::Remote(failure) if failure.kind == Kind::Cancelled => {
                Self::new(Exit::Stopped, "stopped; the answer is not whole")
                    .hint("run the same command again")
            }
            QueryError::Remote(failure) => refused(
                failure,
                "the remote gave no answer",
                "check the base URL and the network, and try again: --debug shows every request",
            ),
        }
    }
}

/// The error of a failure before or instead of a run, of which nothing is there to be resumed:
/// what a remote that stays away advises does not fit.
fn refused(failure: Failure, what: &str, hint: &str) -> Error {
    // What the remote says in its own words, or was found without asking it, is about the command
    // line: it names what is not there or can't be. A 404 of any other server has no code.
    let is_told = failure.code.is_some() || failure.status.is_none();
    let error = match failure.kind {
        Kind::Absent | Kind::Rejected | Kind::Conflict if is_told => {
            Error::new(Exit::Usage, failure.to_string())
        }
        Kind::Output => Error::new(Exit::Usage, failure.kind.words()).because(&failure),
        _ => Error::new(exit_of(&failure), what).because(&failure),
    };
    match failure.hint {
        Some(own) if failure.kind != Kind::Away => error.hint(own),
        _ => error.hint(hint),
    }
}

/// The exit code of a failure that ended everything.
fn exit_of(failure: &Failure) -> Exit {
    match failure.kind {
        Kind::Denied | Kind::Forbidden => Exit::Denied,
        Kind::Bug => Exit::Bug,
        Kind::Output => Exit::Usage,
        _ => Exit::Unavailable,
    }
}

/// The exit code of a run.
#[must_use]
pub fn of_run(tally: &Tally) -> Exit {
    let is_unproved = tally.verified.as_ref().is_some_and(|verified| verified.left > 0);
    match &tally.ending {
        Some(Ending::Complete) if tally.counts.failed > 0 => Exit::Failed,
        Some(Ending::Complete) if is_unproved => Exit::Failed,
        Some(Ending::Complete) => Exit::Done,
        // The disk has room again, or it can be made: the run can be resumed.
        Some(Ending::Fatal(failure)) if failure.kind == Kind::Output => Exit::Stopped,
        Some(Ending::Fatal(failure)) => exit_of(failure),
        Some(Ending::Stopped | Ending::Aborted | Ending::JournalLost(_)) | None => Exit::Stopped,
    }
}
