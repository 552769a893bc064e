//! A small MongoDB of our own, on a port of this machine: what tests, benchmarks and
//! `windlass sim mongo` talk to.
//!
//! Owns databases in memory, indexes, cursors, change streams and retryable writes, answers the
//! wire protocol well enough for the official drivers, and can do what a good server never does:
//! lose replies, refuse for a while, lie about itself. It is built from the published manual
//! alone and must never use code of the connector beside it or of the engine: the judge and the
//! judged share no code.
//!
//! Besides the commands of the manual there are two on the `admin` database, for those who have
//! started it as another process: `{ simulate: ["--reply-lost", "0.1"] }` sets the switches as if
//! it had been started with these flags, and `{ ledger: 1 }` tells what was asked and written.
//!
//! Documents without an order come in that of their `_id`. There are no transactions, no users
//! and no disk.

mod changes;
mod collection;
mod commands;
mod connection;
mod cursors;
mod expression;
mod fail_point;
mod faults;
mod filter;
mod index;
mod ledger;
mod oplog;
mod options;
mod order;
mod path;
mod pipeline;
mod projection;
mod reply;
mod scan;
mod sort;
#[cfg(test)]
mod tests;
mod update;
mod wire;
mod world;

pub use connection::serve;
pub use faults::FaultOptions;
pub use ledger::{Ledger, Row, Written};
pub use options::Options;

use std::sync::{Mutex, MutexGuard};

use bson::{Document, RawDocument};
use tokio::sync::Notify;
use world::World;

/// A simulated MongoDB server.
#[derive(Debug)]
pub struct MongoSim {
    world: Mutex<World>,
    /// Told of every write, for those who wait for changes.
    news: Notify,
}

impl MongoSim {
    /// An empty server.
    ///
    /// # Errors
    ///
    /// Options that contradict themselves, in words for the user of the flags.
    pub fn new(options: Options) -> Result<Self, String> {
        options.check()?;
        Ok(Self { world: Mutex::new(World::new(options)), news: Notify::new() })
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no code panics while it holds the world")
    }

    fn with_world<R>(&self, with: impl FnOnce(&mut World) -> R) -> R {
        with(&mut self.world())
    }

    /// The record of all commands and of what was written, as it is now.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.with_world(|world| world.ledger())
    }

    /// Forgets all commands so far, and what was written.
    pub fn clear_ledger(&self) {
        self.with_world(|world| {
            world.ledger = Ledger::default();
            world.collections.values_mut().for_each(|it| it.written = Written::default());
        });
    }

    /// How many documents a collection has; 0 when there is no such collection.
    #[must_use]
    pub fn len(&self, database: &str, collection: &str) -> usize {
        let namespace = format!("{database}.{collection}");
        self.with_world(|world| {
            world.collections.get(&namespace).map_or(0, |it| it.documents.len())
        })
    }

    /// Whether there is no document at all on the server.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.with_world(|world| world.collections.values().all(|it| it.documents.is_empty()))
    }

    /// All documents of a collection in the order of their `_id`.
    #[must_use]
    pub fn dump(&self, database: &str, collection: &str) -> Vec<Document> {
        let mut all = Vec::new();
        self.each(database, collection, |document| {
            all.push(Document::try_from(document).unwrap_or_default());
        });
        all
    }

    /// Shows all documents of a collection, as the bytes they are, in the order of their `_id`.
    /// The server stands still meanwhile.
    pub fn each(&self, database: &str, collection: &str, mut show: impl FnMut(&RawDocument)) {
        let namespace = format!("{database}.{collection}");
        self.with_world(|world| {
            let collection = world.collections.get(&namespace);
            let documents = collection.iter().flat_map(|it| it.documents.values());
            documents.for_each(|document| show(document));
        });
    }

    /// The names of all indexes of a collection, that on `_id` first; none when there is no such
    /// collection.
    #[must_use]
    pub fn index_names(&self, database: &str, collection: &str) -> Vec<String> {
        let namespace = format!("{database}.{collection}");
        self.with_world(|world| {
            let Some(collection) = world.collections.get(&namespace) else { return Vec::new() };
            let others = collection.indexes.iter().map(|index| index.name.clone());
            std::iter::once("_id_".to_owned()).chain(others).collect()
        })
    }

    /// Puts documents in as somebody else than the clients: change streams see them, the ledger
    /// does not.
    ///
    /// # Errors
    ///
    /// What a client would be told, in words, with how many were put in before.
    pub fn insert<D: AsRef<RawDocument>>(
        &self,
        database: &str,
        collection: &str,
        documents: impl IntoIterator<Item = D>,
    ) -> Result<(), String> {
        let namespace = format!("{database}.{collection}");
        let outcome = self.with_world(|world| {
            for (count, document) in documents.into_iter().enumerate() {
                let words = |error: reply::CommandError| {
                    format!("after {count} documents: {} ({})", error.message, error.code)
                };
                let own = world.collection(&namespace).map_err(words)?;
                let stored = own.insert(document.as_ref()).map_err(words)?;
                own.written.inserted -= 1;
                let name = own.namespace.clone();
                world.note(&name, oplog::Event::Insert(stored));
            }
            Ok(())
        });
        self.news.notify_waiters();
        outcome
    }

    /// From now on these faults happen, and no others.
    ///
    /// # Errors
    ///
    /// Rates that contradict themselves; then nothing changes.
    pub fn set_faults(&self, faults: FaultOptions) -> Result<(), String> {
        self.set_options(|options| options.faults = faults)
    }

    /// Changes the switches while the server runs. The seed counts only at the start.
    ///
    /// # Errors
    ///
    /// Options that contradict themselves; then nothing changes.
    pub fn set_options(&self, change: impl FnOnce(&mut Options)) -> Result<(), String> {
        self.with_world(|world| {
            let mut options = world.options.clone();
            change(&mut options);
            world.set_options(options)
        })
    }
}
