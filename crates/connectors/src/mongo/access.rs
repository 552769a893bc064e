//! A database behind its limits: every call of the api goes through the remote's gate here.

use super::api::{Api, Server, Written};
use crate::connector::{OpenError, Setup};
use bson::{Bson, Document, RawDocumentBuf};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;
use windlass_engine::job::Context;
use windlass_engine::remote::{Answer, Attempt, ConcurrencySpec, OperationSpec, Remote};
use windlass_engine::{Failure, Kind};

/// The numbers of the operations in the remote's spec.
pub mod operation {
    /// Reads documents.
    pub const READ: usize = 0;
    /// Writes documents.
    pub const WRITE: usize = 1;
    /// Anything else, such as an index or a count.
    pub const ASK: usize = 2;
    /// Keeps a run's claims alive and hears what people say: it goes on while the run is held.
    pub const KEEP: usize = 3;
}

/// Requests at once where nobody said how many: found by watching the server's latency.
pub const CONCURRENCY_MAX: u32 = 6;
/// A write of more statements that got no answer in time is halved.
const HALVES_ABOVE: u32 = 10;

/// A database behind its limits.
#[derive(Clone, Debug)]
pub struct Access {
    /// The raw calls.
    pub api: Arc<Api>,
    /// The gate.
    pub remote: Arc<Remote>,
    server: Arc<OnceCell<(Server, i64)>>,
}

impl Access {
    /// The database that the settings name.
    ///
    /// # Errors
    /// When they name none that can be understood.
    pub fn open(setup: &Setup) -> Result<Self, OpenError> {
        let limits = &setup.limits;
        let most = limits.concurrency.unwrap_or(CONCURRENCY_MAX);
        let api = Api::new(setup.key.clone(), most, limits.timeout).map_err(|what| {
            let what = format!("MONGODB_URI is not understood: {what}");
            OpenError::usage(what, "write mongodb://HOST:PORT/DATABASE")
        })?;
        let operations = vec![
            OperationSpec::new("read documents", &[]),
            OperationSpec { halves_above: HALVES_ABOVE, ..OperationSpec::new("write", &[]) },
            OperationSpec::new("command", &[]),
            OperationSpec { vital: true, ..OperationSpec::new("keep the claims", &[]) },
        ];
        let mut spec = limits
            .spec("mongo", &[], operations)
            .map_err(|error| OpenError::usage(error.to_string(), error.hint()))?;
        if limits.concurrency.is_none() {
            spec.concurrency = ConcurrencySpec::Adaptive { min: 1, max: CONCURRENCY_MAX };
        }
        let remote = Arc::new(Remote::new(setup.clock, spec));
        Ok(Self { api: Arc::new(api), remote, server: Arc::new(OnceCell::new()) })
    }

    /// What can be told of whose data this is: 16 hex digits over hosts, database and user. A new
    /// password is no other account.
    #[must_use]
    pub fn account(&self) -> String {
        let place = self.api.place();
        let user = place.user.as_deref().unwrap_or_default();
        let text = format!("windlass mongo\n{}\n{}\n{user}", place.hosts, place.database);
        let hash = Sha256::digest(text);
        hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// What the server says of itself; it is asked once.
    ///
    /// # Errors
    /// As every call.
    pub async fn server(&self, context: &Context) -> Result<Server, Failure> {
        let asked = self.server.get_or_try_init(|| async {
            let hello = |_| self.api.hello();
            let server = self.remote.call(context, operation::ASK, false, hello).await?.value;
            let ahead = if server.clock_ms == 0 { 0 } else { server.clock_ms - local_ms() };
            Ok::<_, Failure>((server, ahead))
        });
        asked.await.map(|(server, _)| *server)
    }

    /// The server's clock now, in milliseconds since 1970; ours before it was ever asked.
    #[must_use]
    pub fn server_ms(&self) -> i64 {
        local_ms() + self.server.get().map_or(0, |(_, ahead)| *ahead)
    }

    /// Any command, as [`operation::ASK`].
    ///
    /// # Errors
    /// As every call.
    pub async fn ask(&self, context: &Context, command: Document) -> Result<Document, Failure> {
        self.command(context, operation::ASK, command).await
    }

    /// Any command that has to go on while the run is held.
    ///
    /// # Errors
    /// As every call.
    pub async fn keep(&self, context: &Context, command: Document) -> Result<Document, Failure> {
        self.command(context, operation::KEEP, command).await
    }

    async fn command(
        &self,
        context: &Context,
        operation: usize,
        command: Document,
    ) -> Result<Document, Failure> {
        let send = |_| self.api.command(command.clone());
        Ok(self.remote.call(context, operation, false, send).await?.value)
    }

    /// Documents in the order of their `_id`s; all of them where `limit` is 0.
    ///
    /// # Errors
    /// As every call.
    pub async fn page(
        &self,
        context: &Context,
        collection: &str,
        filter: Document,
        limit: i64,
        projection: Option<Document>,
    ) -> Result<Answer<Vec<RawDocumentBuf>>, Failure> {
        let read = |_| self.api.page(collection, filter.clone(), limit, projection.clone());
        self.remote.call(context, operation::READ, false, read).await
    }

    /// The documents with these `_id`s, in the order of their `_id`s.
    ///
    /// # Errors
    /// As every call.
    pub async fn by_ids(
        &self,
        context: &Context,
        collection: &str,
        ids: Vec<Bson>,
        projection: Option<Document>,
    ) -> Result<Answer<Vec<RawDocumentBuf>>, Failure> {
        let filter = bson::doc! { "_id": { "$in": ids } };
        self.page(context, collection, filter, 0, projection).await
    }

    /// How many documents a collection has, as its metadata say.
    ///
    /// # Errors
    /// As every call.
    pub async fn count(&self, context: &Context, collection: &str) -> Result<u64, Failure> {
        let reply = self.ask(context, bson::doc! { "count": collection }).await?;
        let count = reply.get("n").and_then(super::api::whole).unwrap_or_default();
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Sends a write of so many statements, and says whether it may have been made before.
    ///
    /// # Errors
    /// As every call.
    pub async fn write<A, F>(
        &self,
        context: &Context,
        statements: usize,
        in_doubt: bool,
        write: A,
    ) -> Result<(Answer<Written>, bool), Failure>
    where
        A: Fn() -> F,
        F: Future<Output = Result<Written, Failure>>,
    {
        let items = u32::try_from(statements).unwrap_or(u32::MAX);
        let doubt = AtomicBool::new(in_doubt);
        let send = |attempt: Attempt| {
            doubt.fetch_or(attempt.in_doubt, Ordering::Relaxed);
            write()
        };
        let answer =
            self.remote.call_with(context, operation::WRITE, items, in_doubt, send).await?;
        Ok((answer, doubt.load(Ordering::Relaxed)))
    }

    /// Creates an index; one that is there with the same keys is left as it is. Says whether it was
    /// made now.
    ///
    /// # Errors
    /// As every call.
    pub async fn create_index(
        &self,
        context: &Context,
        collection: &str,
        index: Document,
    ) -> Result<bool, Failure> {
        let command = bson::doc! { "createIndexes": collection, "indexes": [index] };
        // IndexOptionsConflict and IndexKeySpecsConflict: there is one under another name.
        match self.ask(context, command).await {
            Ok(reply) => {
                let count = |name: &str| reply.get(name).and_then(super::api::whole);
                let (before, after) = (count("numIndexesBefore"), count("numIndexesAfter"));
                Ok(before.is_none() || before < after)
            }
            Err(failure) if super::api::is_code(&failure, &[85, 86]) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

/// Milliseconds since 1970 on this machine's clock.
#[must_use]
pub fn local_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// An answer of the server that makes no sense where it stands.
#[must_use]
pub fn odd(what: impl std::fmt::Display) -> Failure {
    Failure::new(Kind::Malformed, format!("the server's answer makes no sense: {what}"))
}

/// How long between two looks at something that changes by itself.
pub const LOOK_AGAIN: Duration = Duration::from_millis(500);
