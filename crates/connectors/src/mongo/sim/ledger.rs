//! The record of what the server was asked and what it did: the evidence of the judge.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What became of the documents of one collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Documents put in, by inserts and upserts.
    pub inserted: u64,
    /// Documents changed; an update that leaves a document as it is does not count.
    pub updated: u64,
    /// Documents taken out.
    pub deleted: u64,
}

impl Written {
    /// Whether nothing was written at all.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.deleted += other.deleted;
    }
}

/// One command that was carried out or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub command: Arc<str>,
    /// `database.collection`, or the name of the database when it has no collection.
    pub namespace: Arc<str>,
    /// Statements of a write, or documents that a read answered.
    pub count: u64,
    /// The code of the error it was answered with.
    pub error: Option<i32>,
}

/// The record of all commands, as it is now.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// How many commands of each name arrived.
    pub commands: BTreeMap<Arc<str>, u64>,
    /// What was written, by `database.collection`; what was dropped stays in it.
    pub written: BTreeMap<Arc<str>, Written>,
    /// The latest commands in their order, at most as many as the options say.
    pub rows: VecDeque<Row>,
    /// How many replies were withheld or cut by faults.
    pub lost_replies: u64,
}

impl Ledger {
    /// How many commands of a name arrived.
    #[must_use]
    pub fn count(&self, command: &str) -> u64 {
        self.commands.get(command).copied().unwrap_or(0)
    }

    /// What was written into a collection.
    #[must_use]
    pub fn written(&self, database: &str, collection: &str) -> Written {
        let namespace = format!("{database}.{collection}");
        self.written.get(&namespace[..]).copied().unwrap_or_default()
    }

    /// What was written in all collections together.
    #[must_use]
    pub fn total(&self) -> Written {
        let mut total = Written::default();
        self.written.values().for_each(|written| total.add(*written));
        total
    }

    /// Takes a command down.
    pub(super) fn record(&mut self, row: Row, rows_max: usize) {
        *self.commands.entry(row.command.clone()).or_default() += 1;
        if rows_max == 0 {
            return;
        }
        if self.rows.len() >= rows_max {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
    }
}
