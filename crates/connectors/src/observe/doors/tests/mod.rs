//! The doors over connections in memory, with the bytes that clients see.

mod answers;
mod bounds;
mod connections;
mod fuzz;
mod keys;
mod traps;

use super::{
    Admission, Admitted, Answer, Door, Doors, Fallback, Key, Keys, Limits, Options, Project,
};
use crate::observe::dialects::messages::Reject;
use crate::observe::event::Arrival;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Semaphore, watch};

/// What a request brought to the admission.
#[derive(Debug)]
struct Brought {
    project: String,
    arrival: Arrival,
    rejects: Vec<Reject>,
    door: Door,
}

/// An admission that keeps what it is brought, and says what it is told to.
struct Keeper {
    brought: Mutex<Vec<Brought>>,
    verdict: Mutex<Admitted>,
    /// Each request needs a permit, so that tests can hold requests up.
    gate: Semaphore,
}

impl Admission for Keeper {
    fn admit<'a>(
        &'a self,
        project: &'a Arc<Project>,
        arrival: Arrival,
        rejects: Vec<Reject>,
        door: Door,
    ) -> BoxFuture<'a, Admitted> {
        async move {
            self.gate.acquire().await.unwrap().forget();
            let brought = Brought { project: project.name.clone(), arrival, rejects, door };
            self.brought.lock().unwrap().push(brought);
            self.verdict.lock().unwrap().clone()
        }
        .boxed()
    }
}

/// Doors under test.
struct House {
    doors: Arc<Doors<Keeper>>,
    keeper: Arc<Keeper>,
    closing: watch::Sender<bool>,
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    for body in [&mut limits.otlp, &mut limits.langfuse, &mut limits.rudder] {
        body.packed = 100_000;
        body.unpacked = 200_000;
    }
    limits
}

fn keys() -> Keys {
    let project = Project::new("acme");
    Keys::new([
        (project.clone(), Key::Pair { public: "pk".into(), secret: "sk".into() }),
        (project.clone(), Key::WriteKey("wk".into())),
        (project, Key::Token("token".into())),
    ])
    .unwrap()
}

fn fallback() -> Fallback {
    Arc::new(|request: Request<Incoming>, _from| {
        let page = format!("page {}", request.uri().path());
        async move { super::answer::whole(StatusCode::OK, "text/html", page) as Answer }.boxed()
    })
}

impl House {
    fn new() -> Self {
        Self::with(limits(), keys(), false)
    }

    fn with(limits: Limits, keys: Keys, is_strict: bool) -> Self {
        let keeper = Arc::new(Keeper {
            brought: Mutex::default(),
            verdict: Mutex::new(Admitted::all()),
            gate: Semaphore::new(1_000_000),
        });
        let options = Options { limits, is_strict, version: "1.2.3".into() };
        let doors = Doors::new(keeper.clone(), keys, fallback(), options);
        Self { doors, keeper, closing: watch::channel(false).0 }
    }

    fn verdict(&self, admitted: Admitted) {
        *self.keeper.verdict.lock().unwrap() = admitted;
    }

    fn brought(&self) -> Vec<Brought> {
        std::mem::take(&mut self.keeper.brought.lock().unwrap())
    }

    /// Opens a connection from this address.
    fn connect_from(&self, from: &str, is_refused: bool) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let from: SocketAddr = from.parse().unwrap();
        let connection =
            self.doors.clone().converse(theirs, from, is_refused, self.closing.subscribe());
        tokio::spawn(connection);
        ours
    }

    fn connect(&self) -> DuplexStream {
        self.connect_from("203.0.113.7:5000", false)
    }

    /// Sends bytes, then reads all that comes until the connection ends.
    async fn exchange(&self, request: &[u8]) -> String {
        exchange(self.connect(), request).await
    }

    /// Sends one request and returns its answer.
    async fn send(&self, request: Sent<'_>) -> Got {
        Got::parse(&self.exchange(&request.bytes()).await)
    }
}

async fn exchange(mut stream: DuplexStream, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ended = tokio::time::timeout(Duration::from_secs(600), read).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request to be sent.
#[derive(Clone)]
struct Sent<'a> {
    line: &'a str,
    headers: Vec<(&'a str, String)>,
    body: Vec<u8>,
}

impl<'a> Sent<'a> {
    fn post(path: &'a str, body: impl AsRef<[u8]>) -> Self {
        Self { line: path, headers: vec![basic("pk:sk")], body: body.as_ref().to_vec() }
    }

    /// A message of RudderStack's clients.
    fn rudder(body: impl AsRef<[u8]>) -> Self {
        Self { headers: vec![basic("wk:")], ..Self::post("/v1/batch", body) }
    }

    fn header(mut self, name: &'a str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn without_headers(mut self) -> Self {
        self.headers.clear();
        self
    }

    fn head(&self) -> String {
        let line = match self.line.starts_with('/') {
            true => format!("POST {}", self.line),
            false => self.line.to_owned(),
        };
        let mut head = format!("{line} HTTP/1.1\r\nhost: x\r\n");
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    /// The last request of a connection.
    fn bytes(&self) -> Vec<u8> {
        let length = self.body.len();
        let head = format!("{}connection: close\r\ncontent-length: {length}\r\n\r\n", self.head());
        [head.as_bytes(), &self.body].concat()
    }
}

fn basic(pair: &str) -> (&'static str, String) {
    ("authorization", format!("Basic {}", STANDARD.encode(pair)))
}

/// JSON with its names in order: how a map keeps them depends on what else is compiled in.
fn sorted(json: &str) -> String {
    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(untagged)]
    enum Sorted {
        Object(std::collections::BTreeMap<String, Sorted>),
        List(Vec<Sorted>),
        Plain(serde_json::Value),
    }
    serde_json::to_string(&serde_json::from_str::<Sorted>(json).unwrap()).unwrap()
}

/// An answer, without its date.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Got {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| !["date", "connection"].contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers: Vec<_> = headers.collect();
        let is_json = headers.iter().any(|(_, value)| value == JSON);
        let body = if is_json && !body.is_empty() { sorted(body) } else { body.to_owned() };
        Self { status, headers, body }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// What most tests look at.
    fn brief(&self) -> (u16, &str, &str) {
        (self.status, self.header("content-type").unwrap_or(""), &self.body)
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";
const PROTOBUF: &str = "application/x-protobuf";

/// A request in OTLP with spans of these ids.
fn otlp(spans: &[u8]) -> Vec<u8> {
    use crate::observe::otlp::wire::put_bytes;
    let mut scope = Vec::new();
    for id in spans {
        let mut span = Vec::new();
        put_bytes(&mut span, 1, &[*id; 16]);
        put_bytes(&mut span, 2, &[*id; 8]);
        put_bytes(&mut span, 5, b"a span");
        put_bytes(&mut scope, 2, &span);
    }
    let mut resource = Vec::new();
    put_bytes(&mut resource, 2, &scope);
    let mut request = Vec::new();
    put_bytes(&mut request, 1, &resource);
    request
}

fn gzip(content: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

const TRACK: &str = r#"{"batch":[{"type":"track","event":"x","userId":"u","messageId":"m1"}]}"#;
