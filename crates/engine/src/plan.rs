//! The plan on disk: what will be done, exactly, and the backup of what it will be done to.
//!
//! A plan is a text file of JSON lines. The first is the [`Header`], padded with spaces so that
//! the count and the digest, known only at the end, can be written into it in place. Then comes
//! one line for each step with the whole object as it was, and between them one line for each
//! object that matched but was left out on purpose. The digest seals header and lines.
//!
//! A plan that is applied while it is listed ([`Growth`]) also has lines that mark how far the
//! listing came, so that it can go on there.

mod grow;
mod keys;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use grow::Visible;
pub use grow::{Growth, PlanMark};
pub use read::{Left, Line, Lines, Plan};
pub(crate) use write::sync_folder_of;
pub use write::{Draft, PlanWriter, Pushed};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// The format of the plans that this program writes, and the newest one that it reads.
pub const FORMAT: u32 = 2;

/// The longest line of a plan that is read: an object of 16 MiB is beyond every remote we know.
pub const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One phase of a plan: its steps stand together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// What it counts, such as `organizations`.
    pub name: String,
    /// How many steps it has.
    pub steps: u64,
    /// How many objects the listing saw, selected or not.
    pub seen: u64,
}

/// The first line of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The format's version; [`FORMAT`].
    pub windlass_plan: u32,
    /// The plan's name, which becomes the name of the run that applies it.
    pub id: String,
    /// The system, such as `workos`.
    pub system: String,
    /// The operation, such as `delete`.
    pub operation: String,
    /// The fingerprint of the account: never the key itself.
    pub account: String,
    /// Where the remote is.
    pub base_url: String,
    /// When the plan was begun, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// The options as they were resolved: instants, expressions, switches.
    pub options: serde_json::Value,
    /// The phases in their order.
    pub phases: Vec<Phase>,
    /// How many objects were left out on purpose, by reason.
    pub left: BTreeMap<String, u64>,
    /// How many steps there are.
    pub steps: u64,
    /// SHA-256 over header (without this) and lines, in hex; empty while the plan is being made.
    pub digest: String,
}

impl Header {
    /// The phase that step `number` belongs to.
    #[must_use]
    pub fn phase_of(&self, number: u64) -> usize {
        let mut end = 0;
        for (index, phase) in self.phases.iter().enumerate() {
            end += phase.steps;
            if number < end {
                return index;
            }
        }
        self.phases.len().saturating_sub(1)
    }

    /// How many objects the listing saw over all phases.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.phases.iter().map(|phase| phase.seen).sum()
    }
}

/// Why a plan can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file can't be read or written.
    #[error("plan {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not a plan, or was changed since it was made.
    #[error("plan {} is damaged: {what}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with the line.
        what: String,
    },
    /// It was never finished: the listing was interrupted.
    #[error("plan {} was never finished: its listing was interrupted", path.display())]
    Unfinished {
        /// Which file.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error("plan {} has format {found}; this program reads up to {FORMAT}", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

impl PlanError {
    /// What the person at the terminal can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check the path, its permissions and the free space of the disk",
            Self::Damaged { .. } => {
                "a plan must not be edited; make a new one with `--dry-run` or `--plan-out`"
            }
            Self::Unfinished { .. } => "nothing was applied; make the plan again",
            Self::Newer { .. } => "use the version of windlass that made it, or a newer one",
        }
    }
}
