//! A classified error, and the one table that says what each kind means for the run.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What went wrong, as far as the engine needs to know. [`Kind::verdict`] is the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The remote asked for patience: 429, or a busy database.
    Throttled,
    /// The remote was not there or broke: a 5xx, a refused or reset connection.
    Unavailable,
    /// No answer came in time; the request may have taken effect.
    TimedOut,
    /// The object is not there: 404 or 410.
    Absent,
    /// The object is in another state than expected: a duplicate key, a changed version.
    Conflict,
    /// The remote will not do this for this object: 400, 409, 422.
    Rejected,
    /// The request carried more than the remote takes, or answers in time: 413, 524. A batch is
    /// halved and sent again; a single step fails.
    TooLarge,
    /// The remote forbids this one request: 403. Repeated, it means the credentials.
    Forbidden,
    /// The credentials are not accepted: 401.
    Denied,
    /// The remote gave no good answer for longer than the deadline.
    Away,
    /// The answer could not be understood.
    Malformed,
    /// What the job reads or writes here failed it: a full disk, a file that has changed.
    Output,
    /// A stop was asked for before the request was sent.
    Cancelled,
    /// An invariant of ours is broken.
    Bug,
}

/// When a kind of failure ends the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndsRun {
    /// It concerns one step only.
    Never,
    /// Nothing further can succeed.
    Always,
    /// So many in a row without a success between them are no longer about one step.
    After(u32),
}

/// What the engine does about a kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the attempt may be made again.
    pub retry: bool,
    /// Whether another attempt is paid for by the retry budget and the step's own retries.
    pub spends_budget: bool,
    /// Whether it tells the adaptive concurrency to come down.
    pub pushes_back: bool,
    /// Whether the breaker counts it.
    pub counts_for_breaker: bool,
    /// Whether it ends the run.
    pub ends_run: EndsRun,
}

/// How many 403 in a row are about the credentials and no longer about one object.
const FORBIDDEN_IN_A_ROW: u32 = 3;
/// How many unreadable answers in a row mean that this is not the remote we think it is.
const MALFORMED_IN_A_ROW: u32 = 5;

impl Kind {
    /// The table. It is exhaustive on purpose: a new kind has to say all five things.
    #[must_use]
    pub const fn verdict(self) -> Verdict {
        const NOTHING: Verdict = Verdict {
            retry: false,
            spends_budget: false,
            pushes_back: false,
            counts_for_breaker: false,
            ends_run: EndsRun::Never,
        };
        const TROUBLE: Verdict = Verdict {
            retry: true,
            spends_budget: true,
            pushes_back: true,
            counts_for_breaker: true,
            ends_run: EndsRun::Never,
        };
        match self {
            Self::Throttled => Verdict { retry: true, pushes_back: true, ..NOTHING },
            Self::Unavailable | Self::TimedOut => TROUBLE,
            Self::Absent | Self::Rejected | Self::TooLarge | Self::Conflict | Self::Cancelled => {
                NOTHING
            }
            Self::Forbidden => Verdict { ends_run: EndsRun::After(FORBIDDEN_IN_A_ROW), ..NOTHING },
            Self::Malformed => Verdict {
                retry: true,
                spends_budget: true,
                ends_run: EndsRun::After(MALFORMED_IN_A_ROW),
                ..NOTHING
            },
            Self::Denied | Self::Away | Self::Output | Self::Bug => {
                Verdict { ends_run: EndsRun::Always, ..NOTHING }
            }
        }
    }

    /// Whether it makes its steps failed steps and lets the run go on.
    #[must_use]
    pub const fn fails_its_steps(self) -> bool {
        !matches!(self, Self::Cancelled) && matches!(self.verdict().ends_run, EndsRun::Never)
    }

    /// The kind in words, for counts in summaries.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Throttled => "rate limited",
            Self::Unavailable => "remote unavailable",
            Self::TimedOut => "timed out",
            Self::Absent => "not found",
            Self::Conflict => "conflict",
            Self::Rejected => "refused by the remote",
            Self::TooLarge => "too large for the remote",
            Self::Forbidden => "forbidden",
            Self::Denied => "credentials refused",
            Self::Away => "remote unavailable past the deadline",
            Self::Malformed => "answer not understood",
            Self::Output => "files can't be read or written",
            Self::Cancelled => "cancelled",
            Self::Bug => "internal error",
        }
    }
}

/// An error of one attempt, classified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class that decides what happens next.
    pub kind: Kind,
    /// What happened, in words, without secrets.
    pub message: String,
    /// The status of the answer, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The remote's own code, such as `user_deletion_not_allowed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The remote's name for the request, for its support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Box<str>>,
    /// How long the remote asked us to wait.
    #[serde(skip)]
    pub wait: Option<Duration>,
    /// How many attempts were sent before it was final.
    #[serde(skip)]
    pub attempts: u32,
    /// Whether the request may have taken effect although no good answer came.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_have_happened: bool,
    /// What the person at the terminal can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of this kind with a message and nothing else known.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            status: None,
            code: None,
            request_id: None,
            wait: None,
            attempts: 0,
            may_have_happened: false,
            hint: None,
        }
    }

    /// The same failure with advice for the person at the terminal.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// No answer came within `limit`.
    #[must_use]
    pub fn timed_out(limit: Duration) -> Self {
        let mut failure = Self::new(Kind::TimedOut, format!("no answer within {limit:?}"));
        failure.may_have_happened = true;
        failure
    }

    /// A stop was asked for before the request was sent.
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(Kind::Cancelled, "stopped before it was sent")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        if let Some(status) = self.status {
            write!(out, " (status {status}")?;
            if let Some(code) = &self.code {
                write!(out, ", {code}")?;
            }
            out.write_str(")")?;
        }
        if let Some(request_id) = &self.request_id {
            write!(out, " [request {request_id}]")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_costs_a_step_nothing() {
        let verdict = Kind::Throttled.verdict();
        assert!(verdict.retry && verdict.pushes_back);
        assert!(!verdict.spends_budget && !verdict.counts_for_breaker);
        assert_eq!(verdict.ends_run, EndsRun::Never);
    }

    #[test]
    fn refused_credentials_end_the_run_at_once() {
        assert_eq!(Kind::Denied.verdict().ends_run, EndsRun::Always);
        assert_eq!(Kind::Forbidden.verdict().ends_run, EndsRun::After(3));
    }

    #[test]
    fn a_failure_survives_the_journal_and_keeps_no_wait() {
        let mut failure = Failure::new(Kind::Rejected, "not allowed").with_hint("ask");
        failure.status = Some(409);
        failure.code = Some("user_deletion_not_allowed".into());
        failure.wait = Some(Duration::from_secs(1));
        let text = serde_json::to_string(&failure).unwrap();
        let back: Failure = serde_json::from_str(&text).unwrap();
        failure.wait = None;
        assert_eq!(back, failure);
        assert_eq!(failure.to_string(), "not allowed (status 409, user_deletion_not_allowed)");
    }
}
