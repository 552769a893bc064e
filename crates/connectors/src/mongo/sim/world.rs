//! Everything the server knows: collections, cursors, the oplog, sessions and the ledger.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use bson::RawDocument;

use super::collection::Collection;
use super::cursors::Cursors;
use super::faults::Faults;
use super::ledger::Ledger;
use super::oplog::{Event, Oplog};
use super::options::Options;
use super::reply::{CommandError, Writer};

/// Most sessions whose last write is remembered.
const SESSIONS_MAX: usize = 10_000;

/// The state of the server.
#[derive(Debug)]
pub struct World {
    /// The collections by `database.collection`.
    pub collections: BTreeMap<String, Collection>,
    /// What clients are reading.
    pub cursors: Cursors,
    /// The changes.
    pub oplog: Oplog,
    /// The last retryable write of each session.
    pub sessions: Sessions,
    /// The record of all commands.
    pub ledger: Ledger,
    /// What goes wrong.
    pub faults: Faults,
    /// The switches.
    pub options: Options,
    /// How many connections are open, and how many there ever were.
    pub connections: (i32, i32),
}

impl World {
    /// An empty server.
    pub fn new(options: Options) -> Self {
        Self {
            collections: BTreeMap::new(),
            cursors: Cursors::default(),
            oplog: Oplog::new(),
            sessions: Sessions::default(),
            ledger: Ledger::default(),
            faults: Faults::new(options.seed),
            connections: (0, 0),
            options,
        }
    }

    /// The collection of this name, made if it is not there.
    ///
    /// # Errors
    ///
    /// Code 73 for names that no collection can have.
    pub fn collection(&mut self, namespace: &str) -> Result<&mut Collection, CommandError> {
        if !self.collections.contains_key(namespace) {
            let collection = namespace.split_once('.').map_or("", |(_, collection)| collection);
            if collection.is_empty() || collection.contains(['$', '\0']) {
                let message = format!("Invalid collection name: {collection}");
                return Err(CommandError::new(73, message));
            }
            self.collections.insert(namespace.to_owned(), Collection::new(namespace));
        }
        let gone = || CommandError::new(26, "ns not found");
        self.collections.get_mut(namespace).ok_or_else(gone)
    }

    /// Changes the switches.
    ///
    /// # Errors
    ///
    /// Options that contradict themselves; then nothing changes.
    pub fn set_options(&mut self, options: Options) -> Result<(), String> {
        options.check()?;
        self.oplog.keep(options.oplog_entries);
        self.options = options;
        Ok(())
    }

    /// Takes a change down in the oplog.
    pub fn note(&mut self, namespace: &Arc<str>, event: Event) {
        self.oplog.push(namespace, event, self.options.oplog_entries);
    }

    /// Drops a collection, and says whether there was one.
    pub fn drop_collection(&mut self, namespace: &str) -> bool {
        let Some(collection) = self.collections.remove(namespace) else { return false };
        let written = self.ledger.written.entry(collection.namespace.clone()).or_default();
        written.add(collection.written);
        self.note(&collection.namespace, Event::Drop);
        true
    }

    /// The names of the collections of a database, in order.
    pub fn collection_names(&self, database: &str) -> Vec<String> {
        let start = format!("{database}.");
        let names = self.collections.range(start.clone()..).map(|(namespace, _)| namespace);
        names.map_while(|name| name.strip_prefix(&start)).map(ToOwned::to_owned).collect()
    }

    /// The ledger as it is now.
    pub fn ledger(&self) -> Ledger {
        let mut ledger = self.ledger.clone();
        for collection in self.collections.values().filter(|it| !it.written.is_nothing()) {
            let written = ledger.written.entry(collection.namespace.clone()).or_default();
            written.add(collection.written);
        }
        ledger
    }
}

/// The last retryable write of each session.
#[derive(Debug, Default)]
pub struct Sessions {
    last: HashMap<Vec<u8>, (i64, Writer)>,
    order: VecDeque<Vec<u8>>,
}

impl Sessions {
    /// The reply that a write with this number had, if it was carried out already.
    ///
    /// # Errors
    ///
    /// Code 225 when the session has gone on to another write since.
    pub fn replay(&self, session: &[u8], number: i64) -> Result<Option<Writer>, CommandError> {
        match self.last.get(session) {
            Some((last, reply)) if *last == number => Ok(Some(reply.clone())),
            Some((last, _)) if *last > number => {
                let message = format!(
                    "Retryable write with txnNumber {number} is prohibited on session because a \
                     newer retryable write with txnNumber {last} has already started"
                );
                Err(CommandError::new(225, message))
            }
            _ => Ok(None),
        }
    }

    /// Remembers the reply of a write.
    pub fn remember(&mut self, session: &[u8], number: i64, reply: Writer) {
        if self.last.insert(session.to_vec(), (number, reply)).is_none() {
            self.order.push_back(session.to_vec());
        }
        if self.order.len() > SESSIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.last.remove(&oldest);
        }
    }
}

/// The number of a session, of which a command with `lsid` is part.
pub fn session_id(command: &RawDocument) -> Option<&[u8]> {
    Some(command.get_document("lsid").ok()?.get_binary("id").ok()?.bytes)
}
