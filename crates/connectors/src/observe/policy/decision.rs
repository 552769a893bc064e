//! Owns what comes out of policies: what becomes of an event, what it owes to budgets, who should
//! hear of it, and how often each policy did what.

use super::{Measure, Policy};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What policies say to an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Names of the policies that flag it.
    pub flags: Vec<String>,
    /// Whether it goes on.
    pub action: Action,
    /// Names of the masks that are put on it besides those for all events.
    pub masks: Vec<Arc<str>>,
    /// What somebody should hear of.
    pub alerts: Vec<Alert>,
    /// What is to be settled when the event is stored; nothing when it doesn't go on.
    pub due: Vec<Due>,
}

/// Whether an event goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// It does.
    #[default]
    Pass,
    /// It is dropped, and its client hears nothing of it; the name of the policy.
    Drop(Arc<str>),
    /// Its client is told that it is refused.
    Refuse {
        /// The name of the policy.
        policy: Arc<str>,
        /// What the client is told.
        message: String,
        /// When it may come again.
        retry_after: Duration,
    },
}

/// An amount that a stored event adds to a counter.
#[derive(Clone, Debug)]
pub struct Due {
    pub(super) policy: Arc<Policy>,
    pub(super) group: Box<str>,
    pub(super) amount: u64,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (&self.policy.name, &self.group, self.amount)
            == (&other.policy.name, &other.group, other.amount)
    }
}

impl Eq for Due {}

/// Something that somebody should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// The name of the policy.
    pub policy: Arc<str>,
    /// Whom it is about, such as `user=ann`; empty for a policy without groups.
    pub group: String,
    /// Why.
    pub reason: Reason,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Why there is an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A policy without a limit applies. It says so once a minute at most.
    Matched,
    /// What is used has come to the threshold.
    Threshold {
        /// What is counted.
        measure: Measure,
        /// What is used.
        used: u64,
        /// The limit.
        limit: u64,
    },
    /// What is used has come to the limit; what comes next is over it.
    Limit {
        /// What is counted.
        measure: Measure,
        /// What is used.
        used: u64,
        /// The limit.
        limit: u64,
    },
}

impl fmt::Display for Alert {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "policy `{}`", self.policy)?;
        if !self.group.is_empty() {
            write!(out, " for {}", self.group)?;
        }
        match self.reason {
            Reason::Matched => out.write_str(" applies"),
            Reason::Threshold { measure, used, limit } | Reason::Limit { measure, used, limit } => {
                write!(out, ": {} of {} used", measure.words(used), measure.words(limit))
            }
        }
    }
}

/// How often a policy did what since the program was started, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyCounts {
    /// The policy.
    pub name: String,
    /// Events that it is about.
    pub matched: u64,
    /// Events that it flagged.
    pub flagged: u64,
    /// Events that it masked.
    pub masked: u64,
    /// Events that it dropped.
    pub dropped: u64,
    /// Events that it refused.
    pub refused: u64,
    /// Alerts that it raised.
    pub alerted: u64,
    /// Events about which its CEL could not be answered, so it did not apply.
    pub errors: u64,
    /// Groups that it has counters for.
    pub groups: u64,
    /// Groups that had to make room for others and begin anew, since the program was started.
    pub evicted: u64,
}
