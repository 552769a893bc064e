//! What became of every event that came through a door. The counts add up: what was received is
//! what was stored and everything that is said here of why something was not.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of this process.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Events that a door read.
    pub(super) received: AtomicU64,
    /// On disk, for a destination or to be joined first.
    pub(super) stored: AtomicU64,
    /// There already: the same id came before.
    pub(super) duplicates: AtomicU64,
    /// Left out by sampling, for every destination.
    pub(super) sampled_out: AtomicU64,
    /// Dropped by a policy.
    pub(super) dropped: AtomicU64,
    /// Refused by a policy; the client was told.
    pub(super) refused: AtomicU64,
    /// No destination takes such events.
    pub(super) unrouted: AtomicU64,
    /// Could not be read; they are in the dead letters.
    pub(super) rejected: AtomicU64,
    /// Not taken in because there was no room: fire-and-forget ones are lost, the client of
    /// acknowledged ones was told to come again.
    pub(super) shed: AtomicU64,
    /// Not taken in because the disk failed; the client was told.
    pub(super) failed: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) received: u64,
    pub(super) stored: u64,
    pub(super) duplicates: u64,
    pub(super) sampled_out: u64,
    pub(super) dropped: u64,
    pub(super) refused: u64,
    pub(super) unrouted: u64,
    pub(super) rejected: u64,
    pub(super) shed: u64,
    pub(super) failed: u64,
}

impl Ledger {
    /// What is counted so far.
    pub(super) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            received: read(&self.received),
            stored: read(&self.stored),
            duplicates: read(&self.duplicates),
            sampled_out: read(&self.sampled_out),
            dropped: read(&self.dropped),
            refused: read(&self.refused),
            unrouted: read(&self.unrouted),
            rejected: read(&self.rejected),
            shed: read(&self.shed),
            failed: read(&self.failed),
        }
    }
}

impl Counts {
    /// What is received and not accounted for: zero whenever no request is being served.
    #[cfg(test)]
    pub(super) const fn in_progress(&self) -> u64 {
        self.received.saturating_sub(
            self.stored
                + self.duplicates
                + self.sampled_out
                + self.dropped
                + self.refused
                + self.unrouted
                + self.rejected
                + self.shed
                + self.failed,
        )
    }

    /// The counts with their names.
    pub(super) const fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("stored", self.stored),
            ("duplicate", self.duplicates),
            ("sampled_out", self.sampled_out),
            ("dropped", self.dropped),
            ("refused", self.refused),
            ("unrouted", self.unrouted),
            ("rejected", self.rejected),
            ("shed", self.shed),
            ("failed", self.failed),
        ]
    }
}

/// Adds to a count.
pub(super) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}
