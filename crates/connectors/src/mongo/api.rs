//! The raw calls: one command each, its reply, and what an error means. Limits and retries live
//! in the remote, so those of the driver are switched off.

mod refusal;
#[cfg(test)]
mod tests;

use bson::raw::CStr;
use bson::{Bson, Document, RawDocumentBuf, Timestamp, cstr, doc};
use futures_util::TryStreamExt;
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::{ChangeStreamEvent, ResumeToken};
use mongodb::options::{ClientOptions, ConnectionString, HostInfo};
use mongodb::{Client, Database};
use refusal::passing;
pub use refusal::{failure_of, is_code};
use std::time::Duration;
use tokio::sync::OnceCell;
use windlass_engine::{Failure, Kind};

/// Connections beside those of the requests on the wire: one for what keeps a run's claims alive
/// and one for a change stream.
const CONNECTIONS_BESIDE: u32 = 2;
/// Connections that are opened at the same time; the driver's default of 2 makes a slow start.
const CONNECTING_MAX: u32 = 8;
/// How long a change stream waits for the next change before it says that there is none.
const CHANGE_WAIT: Duration = Duration::from_millis(500);

/// Where a database is, as its URI says, without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The hosts, or the name whose DNS records list them.
    pub hosts: String,
    /// The database.
    pub database: String,
    /// The user, where one is named.
    pub user: Option<String>,
}

impl Place {
    /// Reads a URI.
    ///
    /// # Errors
    /// When it is none, or names no database.
    pub fn of(uri: &str) -> Result<Self, String> {
        let parsed = ConnectionString::parse(uri).map_err(|error| words(&error))?;
        let hosts = match &parsed.host_info {
            HostInfo::HostIdentifiers(hosts) => {
                hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
            HostInfo::DnsRecord(name) => name.clone(),
            _ => "unknown hosts".to_owned(),
        };
        let database = parsed.default_database.ok_or("it names no database")?;
        let user = parsed.credential.and_then(|credential| credential.username);
        Ok(Self { hosts, database, user })
    }

    /// For people: `host:27017/shop`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{}/{}", self.hosts, self.database)
    }
}

fn words(error: &mongodb::error::Error) -> String {
    error.kind.to_string()
}

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// The newest version of the wire protocol that it speaks.
    pub wire: i32,
    /// How many statements one write may have.
    pub write_batch_max: usize,
    /// Whether it belongs to a replica set, or is a router: only then it can tell of changes.
    pub can_watch: bool,
    /// Its clock, in milliseconds since 1970.
    pub clock_ms: i64,
    /// Where its history stands now.
    pub operation_time: Option<Timestamp>,
}

/// One statement of a write that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError {
    /// Which statement, from 0.
    pub index: usize,
    /// The server's code, such as 11000 for a duplicate key.
    pub code: i32,
    /// What it says.
    pub message: String,
    /// The fields of the index that a duplicate key is in; some servers do not say.
    pub fields: Vec<String>,
}

/// What a write did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Documents inserted, matched or deleted.
    pub count: u64,
    /// The statements that were not carried out, in their order.
    pub errors: Vec<WriteError>,
}

/// One database behind its driver. The connection is made with the first call.
#[derive(Debug)]
pub struct Api {
    uri: crate::connector::Secret,
    concurrency: u32,
    timeout: Duration,
    place: Place,
    database: OnceCell<Database>,
}

impl Api {
    /// The database of this URI, for so many requests at once. Attempts take up to `timeout`.
    ///
    /// # Errors
    /// When the URI is not understood.
    pub fn new(
        uri: crate::connector::Secret,
        concurrency: u32,
        timeout: Duration,
    ) -> Result<Self, String> {
        let place = Place::of(uri.reveal())?;
        Ok(Self { uri, concurrency, timeout, place, database: OnceCell::new() })
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    async fn database(&self) -> Result<&Database, Failure> {
        let connect = async {
            let mut options = ClientOptions::parse(self.uri.reveal()).await?;
            options.app_name.get_or_insert_with(|| "windlass".to_owned());
            options.retry_reads = Some(false);
            options.retry_writes = Some(false);
            options.max_adaptive_retries = Some(0);
            options.max_pool_size = Some(self.concurrency + CONNECTIONS_BESIDE);
            options.max_connecting = Some(CONNECTING_MAX);
            options.server_selection_timeout = Some(self.timeout);
            Ok(Client::with_options(options)?.database(&self.place.database))
        };
        let connected = self.database.get_or_try_init(|| connect).await;
        connected.map_err(|error| failure_of(&error))
    }

    /// Any command, as the server answers it.
    ///
    /// # Errors
    /// What the server or the network says.
    pub async fn command(&self, command: Document) -> Result<Document, Failure> {
        let database = self.database().await?;
        database.run_command(command).await.map_err(|error| failure_of(&error))
    }

    /// A command about the server as a whole.
    ///
    /// # Errors
    /// As every call.
    pub async fn admin(&self, command: Document) -> Result<Document, Failure> {
        let admin = self.database().await?.client().database("admin");
        admin.run_command(command).await.map_err(|error| failure_of(&error))
    }

    /// What the server says of itself.
    ///
    /// # Errors
    /// As every call.
    pub async fn hello(&self) -> Result<Server, Failure> {
        let reply = self.command(doc! { "hello": 1 }).await?;
        let number = |name: &str| reply.get(name).and_then(whole);
        Ok(Server {
            wire: number("maxWireVersion").and_then(|n| n.try_into().ok()).unwrap_or_default(),
            write_batch_max: number("maxWriteBatchSize")
                .and_then(|n| n.try_into().ok())
                .unwrap_or(1000),
            can_watch: reply.contains_key("setName")
                || reply.get_str("msg").is_ok_and(|msg| msg == "isdbgrid"),
            clock_ms: reply.get_datetime("localTime").map_or(0, |at| at.timestamp_millis()),
            operation_time: reply.get_timestamp("operationTime").ok(),
        })
    }

    /// The first `limit` documents in the order of their `_id`s for which the filter holds.
    ///
    /// # Errors
    /// As every call.
    pub async fn page(
        &self,
        collection: &str,
        filter: Document,
        limit: i64,
        projection: Option<Document>,
    ) -> Result<Vec<RawDocumentBuf>, Failure> {
        let collection = self.database().await?.collection::<RawDocumentBuf>(collection);
        let mut find = collection.find(filter).sort(doc! { "_id": 1 });
        if limit > 0 {
            find = find.limit(limit).batch_size(u32::try_from(limit).unwrap_or(u32::MAX));
        }
        if let Some(projection) = projection {
            find = find.projection(projection);
        }
        let mut batches = find.batch().await.map_err(|error| failure_of(&error))?;
        let mut documents = Vec::new();
        while let Some(batch) = batches.try_next().await.map_err(|error| failure_of(&error))? {
            let slices = batch.doc_slices().map_err(|error| failure_of(&error))?;
            for slice in slices {
                let slice = slice.map_err(|error| malformed(&error))?;
                let document = slice.as_document().ok_or_else(|| malformed(&"no document"))?;
                documents.push(document.to_owned());
            }
        }
        Ok(documents)
    }

    /// Inserts documents, every one that can be, whatever becomes of the others.
    ///
    /// # Errors
    /// As every call. A document that is refused is no error here but in [`Written::errors`].
    pub async fn insert(
        &self,
        collection: &str,
        documents: &[RawDocumentBuf],
        write_concern: &Document,
    ) -> Result<Written, Failure> {
        self.write(cstr!("insert"), cstr!("documents"), collection, documents, write_concern).await
    }

    /// Carries out update statements, as [`Api::insert`].
    ///
    /// # Errors
    /// As [`Api::insert`].
    pub async fn update(
        &self,
        collection: &str,
        statements: &[RawDocumentBuf],
        write_concern: &Document,
    ) -> Result<Written, Failure> {
        self.write(cstr!("update"), cstr!("updates"), collection, statements, write_concern).await
    }

    /// Carries out delete statements, as [`Api::insert`].
    ///
    /// # Errors
    /// As [`Api::insert`].
    pub async fn delete(
        &self,
        collection: &str,
        statements: &[RawDocumentBuf],
        write_concern: &Document,
    ) -> Result<Written, Failure> {
        self.write(cstr!("delete"), cstr!("deletes"), collection, statements, write_concern).await
    }

    async fn write(
        &self,
        command: &CStr,
        member: &CStr,
        collection: &str,
        statements: &[RawDocumentBuf],
        write_concern: &Document,
    ) -> Result<Written, Failure> {
        let mut body = bson::RawArrayBuf::new();
        for statement in statements {
            body.push(statement.clone());
        }
        let concern = RawDocumentBuf::try_from(write_concern).map_err(|error| malformed(&error))?;
        let mut request = RawDocumentBuf::new();
        request.append(command, collection);
        request.append(cstr!("ordered"), false);
        request.append(cstr!("writeConcern"), concern);
        request.append(member, body);
        let database = self.database().await?;
        let reply = database.run_raw_command(request).await.map_err(|error| failure_of(&error))?;
        written(&reply)
    }

    /// What changes in a collection from this moment of the server's history on, or behind the
    /// change of this token.
    ///
    /// # Errors
    /// As every call; servers without change streams refuse it.
    pub async fn changes(
        &self,
        collection: &str,
        from: Timestamp,
        behind: Option<ResumeToken>,
    ) -> Result<ChangeStream<ChangeStreamEvent<Document>>, Failure> {
        let collection = self.database().await?.collection::<Document>(collection);
        let watch = collection.watch().max_await_time(CHANGE_WAIT);
        let watch = match behind {
            Some(token) => watch.resume_after(token),
            None => watch.start_at_operation_time(from),
        };
        watch.await.map_err(|error| failure_of(&error))
    }
}

/// The reply of a write. A statement that was refused for a reason that passes fails the whole of
/// it: sent again, the others are found to be there. So does a write concern that was not met: the
/// documents may be there, on too few members.
fn written(reply: &Document) -> Result<Written, Failure> {
    if let Ok(error) = reply.get_document("writeConcernError") {
        let message = error.get_str("errmsg").unwrap_or("the write concern was not met");
        let mut failure = Failure::new(Kind::Unavailable, format!("write concern: {message}"));
        failure.code = error.get("code").and_then(whole).map(|code| code.to_string());
        failure.may_have_happened = true;
        return Err(failure);
    }
    let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    let mut errors: Vec<WriteError> = errors.iter().filter_map(write_error).collect();
    errors.sort_by_key(|error| error.index);
    if let Some(failure) = errors.iter().find_map(|error| passing(error.code, &error.message)) {
        return Err(failure);
    }
    let count = reply.get("n").and_then(whole).unwrap_or_default();
    Ok(Written { count: u64::try_from(count).unwrap_or_default(), errors })
}

fn write_error(error: &Bson) -> Option<WriteError> {
    let error = error.as_document()?;
    let fields = error.get_document("keyPattern").map(|keys| keys.keys().cloned().collect());
    Some(WriteError {
        index: error.get("index").and_then(whole)?.try_into().ok()?,
        code: error.get("code").and_then(whole)?.try_into().ok()?,
        message: error.get_str("errmsg").unwrap_or_default().to_owned(),
        fields: fields.unwrap_or_default(),
    })
}

/// A number of a reply, whatever its type: servers answer in int, long or double.
#[must_use]
pub fn whole(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(n) => Some(i64::from(*n)),
        Bson::Int64(n) => Some(*n),
        Bson::Double(n) if n.fract() == 0.0 && n.abs() < 9e15 => Some(*n as i64),
        _ => None,
    }
}

fn malformed(what: &dyn std::fmt::Display) -> Failure {
    Failure::new(Kind::Malformed, format!("the answer could not be understood: {what}"))
}
