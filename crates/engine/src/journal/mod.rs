//! The memory of a run: an append-only file of checksummed lines in the run's folder.
//!
//! Every line is `crc32 moment event`: eight hex digits over the rest of the line, microseconds
//! since the session began, and a durable [`Event`](crate::Event) as JSON, so that `grep` finds
//! a key and `tail -f` follows a run. An intent (`begun`) is written before anything is sent, an
//! outcome (`settled`) as soon as the dispatcher has it. Lines reach the system before the loop
//! goes on, so kill -9 loses nothing that was answered; they are synced to the disk in groups.
//! A torn last line is dropped when the journal is opened again, any other damage is refused.

mod files;
mod recent;
mod record;
mod recover;
#[cfg(test)]
mod tests;
mod writer;

pub use files::{Disk, Faulty, Files, Memory};
pub use recent::{PastAnswer, Recent};
pub use recover::{Recovered, replay};
pub use writer::{Journal, SyncTask};

use std::io;

/// The format of the journals that this program writes, and the newest one that it reads.
pub const FORMAT: u32 = 2;

/// Why a journal can't be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file can't be read or written.
    #[error("the journal can't be read or written: {0}")]
    Io(#[from] io::Error),
    /// A line other than the last is broken.
    #[error("the journal is damaged at line {line}: {what}")]
    Damaged {
        /// Which line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A newer program wrote it.
    #[error("the journal has format {found}; this program reads up to {FORMAT}")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It belongs to another plan.
    #[error("the journal belongs to another plan than the one beside it")]
    OtherPlan,
}

impl JournalError {
    /// What the person at the terminal can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io(_) => "check the state directory, its permissions and its free space",
            Self::Damaged { .. } => {
                "nothing was sent; keep the run's folder, and make a new plan: what is gone \
                 already will not be in it"
            }
            Self::Newer { .. } => "use the version of windlass that wrote it, or a newer one",
            Self::OtherPlan => "put the plan back that this run was started with",
        }
    }
}
