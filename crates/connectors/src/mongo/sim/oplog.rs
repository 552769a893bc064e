//! The memory of all changes, from which change streams are fed, and the logical clock.

use std::collections::VecDeque;
use std::sync::Arc;

use bson::Timestamp;

use super::collection::Stored;

/// One change.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it was, in the order of all changes: seconds in the upper half, a counter in the lower.
    pub time: u64,
    /// `database.collection`.
    pub namespace: Arc<str>,
    /// What it was.
    pub event: Event,
}

/// What a change was.
#[derive(Clone, Debug)]
pub enum Event {
    /// This document was put in.
    Insert(Stored),
    /// The first became the second, by operators.
    Update(Stored, Stored),
    /// The first became the second as a whole.
    Replace(Stored, Stored),
    /// This document was taken out.
    Delete(Stored),
    /// The collection was dropped.
    Drop,
}

/// The latest changes, at most so many.
#[derive(Debug)]
pub struct Oplog {
    entries: VecDeque<Entry>,
    now: u64,
    /// The time of the latest change that is forgotten.
    forgotten: u64,
}

impl Oplog {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        let mut oplog = Self { entries: VecDeque::new(), now: 0, forgotten: 0 };
        oplog.tick();
        oplog
    }

    /// The time of the latest change.
    pub fn now(&self) -> u64 {
        self.now
    }

    fn tick(&mut self) -> u64 {
        let seconds = bson::DateTime::now().timestamp_millis() / 1_000;
        let seconds = u64::try_from(seconds).unwrap_or(0);
        self.now = (self.now + 1).max((seconds << 32) | 1);
        self.now
    }

    /// Takes a change down, and forgets the oldest beyond `entries_max`.
    pub fn push(&mut self, namespace: &Arc<str>, event: Event, entries_max: usize) {
        let time = self.tick();
        self.entries.push_back(Entry { time, namespace: namespace.clone(), event });
        self.keep(entries_max);
    }

    /// Forgets the oldest changes beyond so many.
    pub fn keep(&mut self, entries_max: usize) {
        while self.entries.len() > entries_max {
            if let Some(entry) = self.entries.pop_front() {
                self.forgotten = entry.time;
            }
        }
    }

    /// Whether no change after this time is forgotten.
    pub fn reaches_back_to(&self, time: u64) -> bool {
        self.forgotten <= time
    }

    /// All changes after this time.
    pub fn after(&self, time: u64) -> impl Iterator<Item = &Entry> {
        let start = self.entries.partition_point(|entry| entry.time <= time);
        self.entries.range(start..)
    }
}

/// A logical time as BSON has it.
pub fn timestamp(time: u64) -> Timestamp {
    Timestamp { time: (time >> 32) as u32, increment: time as u32 }
}

/// The logical time of a timestamp.
pub fn time(stamp: Timestamp) -> u64 {
    (u64::from(stamp.time) << 32) | u64::from(stamp.increment)
}
