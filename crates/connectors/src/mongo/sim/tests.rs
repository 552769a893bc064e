//! The official driver finds a MongoDB behind the socket, and every switch does what it says. All
//! time is real: sockets and paused clocks do not mix.

mod changes;
mod documents;
mod indexes;
mod lies;
mod queries;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection};

use super::*;

const DATABASE: &str = "shop";

/// A server with a client, and the collection of most tests.
struct Scene {
    simulator: Arc<MongoSim>,
    address: SocketAddr,
    client: Client,
}

async fn scene(options: Options) -> Scene {
    let simulator = Arc::new(MongoSim::new(options).unwrap());
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let (address, serving) = serve(simulator.clone(), local).await.unwrap();
    tokio::spawn(serving);
    let client = connect(address, true).await;
    Scene { simulator, address, client }
}

async fn connect(address: SocketAddr, retries: bool) -> Client {
    let mut options = ClientOptions::parse(format!("mongodb://{address}")).await.unwrap();
    options.retry_writes = Some(retries);
    options.retry_reads = Some(retries);
    options.server_selection_timeout = Some(Duration::from_secs(5));
    Client::with_options(options).unwrap()
}

impl Scene {
    fn things(&self) -> Collection<Document> {
        self.client.database(DATABASE).collection("things")
    }

    async fn run(&self, command: Document) -> Result<Document, Error> {
        self.client.database(DATABASE).run_command(command).await
    }

    async fn admin(&self, command: Document) -> Result<Document, Error> {
        self.client.database("admin").run_command(command).await
    }

    fn lie(&self, faults: FaultOptions) {
        self.simulator.set_faults(faults).unwrap();
    }

    fn ids(&self) -> Vec<Bson> {
        let all = self.simulator.dump(DATABASE, "things");
        all.into_iter().map(|mut document| document.remove("_id").unwrap()).collect()
    }

    /// Puts documents with these numbers in.
    fn fill(&self, numbers: impl IntoIterator<Item = i32>) {
        let documents = numbers.into_iter().map(|n| raw(&doc! { "_id": n, "n": n % 10 }));
        self.simulator.insert(DATABASE, "things", documents).unwrap();
    }
}

fn raw(document: &Document) -> RawDocumentBuf {
    RawDocumentBuf::try_from(document).unwrap()
}

/// The code of the refusal of a command, with its labels in order.
fn refusal<T: std::fmt::Debug>(answer: Result<T, Error>) -> (i32, Vec<String>) {
    let error = answer.unwrap_err();
    let mut labels: Vec<String> = error.labels().iter().cloned().collect();
    labels.sort();
    match *error.kind {
        ErrorKind::Command(error) => (error.code, labels),
        kind => panic!("no refusal of a command: {kind:?}"),
    }
}

fn is_network<T: std::fmt::Debug>(answer: Result<T, Error>) -> bool {
    matches!(*answer.unwrap_err().kind, ErrorKind::Io(_))
}

fn int(document: &Document, name: &str) -> i32 {
    document.get_i32(name).unwrap()
}
