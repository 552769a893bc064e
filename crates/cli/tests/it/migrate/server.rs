//! The servers that migrations run against, and a way to look into their databases that has nothing
//! to do with the program: the official driver.

use crate::support::{skipped, wait_until};
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Collection};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use windlass_connectors::mongo::sim::{MongoSim, Options, serve};

/// Keeps a server until whoever started this shell is gone, however it went: then its end of the
/// pipe is closed. A server that does not heed SIGTERM within five seconds is killed.
const KEEPER: &str = r#"
folder=$1; shift
"$@" </dev/null >"$folder/log" 2>&1 &
server=$!
cat >/dev/null
kill $server 2>/dev/null
n=0
while kill -0 $server 2>/dev/null && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done
kill -9 $server 2>/dev/null
rm -rf "$folder"
"#;

/// A real server on a port of this machine.
pub struct Server {
    /// Where it is, without a database.
    address: String,
    /// Its end is the server's.
    _keeper: Option<ChildStdin>,
}

/// Which kind of server a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A replica set of one, with fail points.
    ReplicaSet,
    /// One that tells of no changes.
    Standalone,
}

static REPLICA_SET: OnceLock<Option<Server>> = OnceLock::new();
static STANDALONE: OnceLock<Option<Server>> = OnceLock::new();
/// The server has one fail point, so tests take turns.
static FAIL_POINT: Mutex<()> = Mutex::new(());
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Server {
    /// The one of this kind that all tests of this process share; says so when there is none.
    fn shared(kind: Kind) -> Option<&'static Self> {
        let (cell, flags): (_, &[&str]) = match kind {
            Kind::ReplicaSet => (&REPLICA_SET, &["--enable-test-commands"]),
            Kind::Standalone => (&STANDALONE, &["--standalone"]),
        };
        let server = cell.get_or_init(|| match std::env::var("WINDLASS_TEST_MONGODB_URI") {
            Ok(address) if kind == Kind::ReplicaSet => Some(Self { address, _keeper: None }),
            _ => Self::start(flags),
        });
        if server.is_none() {
            skipped("migrations on a real server: WINDLASS_SECANTUSD names no program");
        }
        server.as_ref()
    }

    fn start(flags: &[&str]) -> Option<Self> {
        let program = std::env::var_os("WINDLASS_SECANTUSD").map(PathBuf::from);
        let program = program.filter(|path| path.is_file())?;
        let folder = tempfile::tempdir().unwrap().keep();
        let mut keeper = Command::new("sh");
        keeper.arg("-c").arg(KEEPER).arg("keeper").arg(&folder).arg(program);
        keeper.args(["--port", "0", "--storage-path"]).arg(folder.join("data")).args(flags);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let stdin = keeper.spawn().unwrap().stdin.take();
        let mut address = None;
        wait_until("the server", || {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            let listens = log.lines().find_map(|line| line.split_once("listening on "));
            address = listens.map(|(_, address)| format!("mongodb://{}", address.trim()));
            address.is_some()
        });
        Some(Self { address: address?, _keeper: stdin })
    }
}

/// A database of one test, which is dropped at its end.
pub struct Database {
    runtime: Handle,
    database: mongodb::Database,
    /// What the program is told.
    pub uri: String,
    /// The runtime's thread ends with it.
    _end: oneshot::Sender<()>,
}

impl Database {
    /// One on a shared server; `None` where there is no server.
    pub fn real(kind: Kind) -> Option<Self> {
        Some(Self::at(&Server::shared(kind)?.address))
    }

    /// One on a server of our own, which ends with the test.
    pub fn simulated(flags: &[&str]) -> (Self, Simulated) {
        let simulated = Simulated::start(flags);
        (Self::at(&simulated.address), simulated)
    }

    fn at(address: &str) -> Self {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("windlass_test_{}_{number}", std::process::id());
        let (hosts, options) = address.split_once('?').unwrap_or((address, ""));
        let hosts = hosts.trim_end_matches('/');
        let uri = format!("{hosts}/{name}?{options}");
        let (runtime, end) = runtime();
        let client = runtime.block_on(Client::with_uri_str(&uri)).unwrap();
        // The program has a name of its own, so that fail points strike it alone.
        let own = if options.is_empty() { "" } else { "&" };
        let database = client.database(&name);
        let uri = format!("{uri}{own}appName={name}");
        Self { runtime, database, uri, _end: end }
    }

    pub fn name(&self) -> &str {
        self.database.name()
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    /// All documents of a collection in the order of their `_id`s.
    pub fn all(&self, collection: &str) -> Vec<Document> {
        self.find(collection, doc! {})
    }

    /// Those that match.
    pub fn find(&self, collection: &str, filter: Document) -> Vec<Document> {
        let collection = self.collection(collection);
        self.runtime.block_on(async {
            let mut cursor = collection.find(filter).sort(doc! { "_id": 1 }).await.unwrap();
            let mut found = Vec::new();
            while cursor.advance().await.unwrap() {
                found.push(cursor.deserialize_current().unwrap());
            }
            found
        })
    }

    /// The one that matches.
    #[track_caller]
    pub fn one(&self, collection: &str, filter: Document) -> Document {
        let mut found = self.find(collection, filter.clone());
        assert_eq!(found.len(), 1, "{collection} {filter}");
        found.swap_remove(0)
    }

    pub fn count(&self, collection: &str, filter: Document) -> u64 {
        let collection = self.collection(collection);
        self.runtime.block_on(collection.count_documents(filter).into_future()).unwrap()
    }

    /// Puts documents in as somebody else than the program.
    pub fn insert(&self, collection: &str, documents: &[Document]) {
        let collection = self.collection(collection);
        for some in documents.chunks(500) {
            self.runtime.block_on(collection.insert_many(some).into_future()).unwrap();
        }
    }

    /// Changes all that match as somebody else.
    pub fn update(&self, collection: &str, filter: Document, change: Document) -> u64 {
        let collection = self.collection(collection);
        let done = self.runtime.block_on(collection.update_many(filter, change).into_future());
        done.unwrap().matched_count
    }

    /// Removes all that match as somebody else.
    pub fn delete(&self, collection: &str, filter: Document) -> u64 {
        let collection = self.collection(collection);
        let done = self.runtime.block_on(collection.delete_many(filter).into_future());
        done.unwrap().deleted_count
    }

    pub fn command(&self, command: Document) -> Document {
        self.runtime.block_on(self.database.run_command(command).into_future()).unwrap()
    }

    /// Makes an index.
    pub fn index(&self, collection: &str, keys: Document, name: &str, unique: bool) {
        let index = doc! { "key": keys, "name": name, "unique": unique };
        self.command(doc! { "createIndexes": collection, "indexes": [index] });
    }

    /// The names of all indexes of a collection.
    pub fn indexes(&self, collection: &str) -> Vec<String> {
        let reply = self.command(doc! { "listIndexes": collection });
        let batch = reply.get_document("cursor").unwrap().get_array("firstBatch").unwrap().clone();
        let name = |index: Bson| index.as_document().unwrap().get_str("name").unwrap().to_owned();
        let mut names: Vec<String> = batch.into_iter().map(name).collect();
        names.sort();
        names
    }

    fn admin(&self, command: Document) -> Result<Document, mongodb::error::Error> {
        let admin = self.database.client().database("admin");
        self.runtime.block_on(admin.run_command(command).into_future())
    }

    /// From now on commands of the program fail like this, as `failCommand` of servers in tests
    /// says: `failCommands`, and how. It ends with the guard. `None` where the server is one for
    /// real work, which has no fail points.
    pub fn fail_point(&self, mode: impl Into<Bson>, mut data: Document) -> Option<FailPoint<'_>> {
        let turn = FAIL_POINT.lock().unwrap_or_else(PoisonError::into_inner);
        data.insert("appName", self.name());
        let point = doc! { "configureFailPoint": "failCommand", "mode": mode.into(), "data": data };
        if let Err(error) = self.admin(point) {
            skipped(&format!("faults of a server without fail points: {error}"));
            return None;
        }
        Some(FailPoint { database: self, _turn: turn })
    }
}

/// A runtime on a thread of its own: the driver watches its servers all the time, also while the
/// test does something else.
fn runtime() -> (Handle, oneshot::Sender<()>) {
    let (told, hear) = std::sync::mpsc::channel();
    let (end, ended) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        told.send(runtime.handle().clone()).unwrap();
        let _ = runtime.block_on(ended);
    });
    (hear.recv().unwrap(), end)
}

impl Drop for Database {
    fn drop(&mut self) {
        // A simulator may be gone already; what is left of it is nothing.
        let _ = self.runtime.block_on(self.database.drop().into_future());
    }
}

/// A fail point that is on.
pub struct FailPoint<'a> {
    database: &'a Database,
    _turn: MutexGuard<'static, ()>,
}

impl Drop for FailPoint<'_> {
    fn drop(&mut self) {
        let off = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        self.database.admin(off).unwrap();
    }
}

/// A small MongoDB of our own on a port, which can lie.
pub struct Simulated {
    pub sim: Arc<MongoSim>,
    address: String,
    _open: oneshot::Sender<()>,
}

impl Simulated {
    fn start(flags: &[&str]) -> Self {
        let options = Options::read(flags).unwrap_or_else(|what| panic!("{what}"));
        let (told, hear) = std::sync::mpsc::channel();
        let (open, closed) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let sim = Arc::new(MongoSim::new(options).unwrap());
                let any = "127.0.0.1:0".parse().unwrap();
                let (address, serving) = serve(Arc::clone(&sim), any).await.unwrap();
                told.send((sim, address)).unwrap();
                tokio::select! {
                    _ = serving => {}
                    _ = closed => {}
                }
            });
        });
        let (sim, address) = hear.recv().unwrap();
        Self { sim, address: format!("mongodb://{address}"), _open: open }
    }
}
