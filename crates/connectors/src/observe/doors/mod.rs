//! The HTTP front: what clients of OTLP, Langfuse and RudderStack find where those would be.
//!
//! - `serve`: connections, their number and their end
//! - `route`: addresses to doors
//! - `keys`: projects by their keys
//! - `body` and `unpack`: bodies within bounds
//! - `entry`: bodies to events, and verdicts to answers
//! - `answer`: answers in the dialect of the client
//! - `counters`: what went through
//!
//! The doors know nothing of what becomes of events: they hand them to an [`Admission`], which
//! also decides whether an answer waits for the disk.

pub mod answer;
pub mod body;
pub mod counters;
mod entry;
pub mod keys;
pub mod route;
pub mod serve;
pub mod unpack;

#[cfg(test)]
mod tests;

pub use answer::{Answer, AnswerBody};
pub use body::BodyLimits;
pub use counters::{Counters, Door, DoorCounts};
pub use keys::{Key, Keys, Presented, Project};

use crate::observe::dialects::messages::Reject;
use crate::observe::event::Arrival;
use crate::observe::otlp::answer::Encoding;
use answer::{Dialect, Refusal};
use body::{Held, Memory, NotTaken, Packing};
use entry::{Read, Visit};
use futures_util::future::BoxFuture;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, CONTENT_ENCODING, CONTENT_TYPE, EXPECT, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use route::{Entry, Question, Route, route};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What became of the events of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The drafts that were refused one by one, by their index, with the reason.
    pub refused: Vec<(usize, String)>,
    /// What became of the others.
    pub verdict: Verdict,
}

impl Admitted {
    /// Everything was taken.
    #[cfg(test)]
    #[must_use]
    pub const fn all() -> Self {
        Self { refused: Vec::new(), verdict: Verdict::Taken }
    }
}

/// What became of a request as a whole. Except for `Taken`, none of its events may have been kept:
/// the client will send them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its events are ours now.
    Taken,
    /// There is no room now.
    Busy {
        /// When there may be; clients of OTLP in Python give up after 10 s in all.
        retry_after: Duration,
    },
    /// The project has used up what it may.
    Limited {
        /// What it has used up.
        message: String,
        /// When it may again.
        retry_after: Duration,
    },
    /// Something of ours is broken.
    Broken {
        /// What.
        message: String,
    },
}

/// Who takes the events behind the doors.
pub trait Admission: Send + Sync + 'static {
    /// Takes the events of a request, or refuses them. `rejects` could not be read, and are to be
    /// set aside for a person to look at; they are no part of the verdict.
    fn admit<'a>(
        &'a self,
        project: &'a Arc<Project>,
        arrival: Arrival,
        rejects: Vec<Reject>,
        door: Door,
    ) -> BoxFuture<'a, Admitted>;
}

/// Who answers what is no door of ours.
pub type Fallback =
    Arc<dyn Fn(Request<Incoming>, SocketAddr) -> BoxFuture<'static, Answer> + Send + Sync>;

/// The bounds of the doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bodies in OTLP. Its specification recommends 64 MiB, unpacked too.
    pub otlp: BodyLimits,
    /// Bodies of Langfuse's ingestion and scores. Langfuse's own server reads 4.5 MB.
    pub langfuse: BodyLimits,
    /// Bodies of RudderStack, whose own limit is 4,000 KiB.
    pub rudder: BodyLimits,
    /// How many spans one request may have.
    pub spans: usize,
    /// How many bytes all bodies together may take at a time.
    pub memory: usize,
    /// How many connections may be open.
    pub connections: usize,
    /// How long a client may take for the head of a request, and be silent between two of them.
    pub head_time: Duration,
    /// How long requests have to be finished once the doors close.
    pub stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let body = |bytes| BodyLimits {
            packed: bytes,
            unpacked: bytes,
            time: Duration::from_secs(60),
            grace: Duration::from_secs(5),
            rate: 1 << 10,
        };
        Self {
            otlp: body(64 << 20),
            langfuse: body(4_500_000),
            rudder: body(4_000 << 10),
            spans: 50_000,
            memory: 256 << 20,
            connections: 1_024,
            head_time: Duration::from_secs(30),
            stop_time: Duration::from_secs(10),
        }
    }
}

/// How the doors behave.
#[derive(Clone)]
pub struct Options {
    /// The bounds.
    pub limits: Limits,
    /// Whether one bad event of a batch is answered as the real servers do: RudderStack's refuses
    /// the whole batch, which ends the process of a Node client; Langfuse's lists it as an error,
    /// upon which old Python clients repeat the whole batch. Otherwise it is set aside.
    pub is_strict: bool,
    /// The version to be told.
    pub version: String,
}

/// The doors.
pub struct Doors<A> {
    admission: Arc<A>,
    keys: Keys,
    fallback: Fallback,
    options: Options,
    memory: Memory,
    counters: Arc<Counters>,
}

impl<A: Admission> Doors<A> {
    /// Doors that hand events to `admission`, and what is none of theirs to `fallback`.
    #[must_use]
    pub fn new(admission: Arc<A>, keys: Keys, fallback: Fallback, options: Options) -> Arc<Self> {
        let memory = Memory::new(options.limits.memory);
        let counters = Arc::new(Counters::default());
        Arc::new(Self { admission, keys, fallback, options, memory, counters })
    }

    /// What went through them.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// How many bytes of bodies there is room for.
    #[cfg(test)]
    #[must_use]
    pub fn free_memory(&self) -> usize {
        self.memory.free()
    }

    /// Answers a request. `is_refused` answers that there are too many connections.
    async fn answer(
        &self,
        request: Request<Incoming>,
        from: SocketAddr,
        is_refused: bool,
    ) -> Answer {
        let started = Instant::now();
        let headers = request.headers();
        let encoding = encoding_of(headers).unwrap_or(Encoding::Protobuf);
        let way = route(request.method(), request.uri().path(), encoding);
        let cors = cors_headers(headers, way == Route::Preflight);
        let (door, mut answer) = match way {
            Route::Bring(entry) if is_refused => {
                let busy = Refusal::Busy { retry_after: retry_soon() };
                (Some(entry.door()), answer::refusal(entry.dialect(encoding), &busy))
            }
            Route::Bring(entry) => (Some(entry.door()), self.enter(entry, request, from).await),
            Route::Ask(question) => (Some(Door::Info), self.reply(question, headers, from)),
            Route::Preflight => (Some(Door::Info), preflight()),
            Route::WrongMethod(dialect, methods) => {
                (Some(Door::Info), answer::refusal(dialect, &Refusal::WrongMethod(methods)))
            }
            Route::Other => return (self.fallback)(request, from).await,
        };
        answer.headers_mut().extend(cors);
        if let Some(door) = door {
            self.counters.answered(door, answer.status().as_u16(), started.elapsed());
        }
        answer
    }

    /// Lets a request in, or refuses it and reads what is left of it.
    async fn enter(&self, entry: Entry, request: Request<Incoming>, from: SocketAddr) -> Answer {
        let (parts, mut body) = request.into_parts();
        let encoding = encoding_of(&parts.headers).unwrap_or(Encoding::Protobuf);
        let dialect = entry.dialect(encoding);
        match self.visit(entry, &parts, &mut body, from).await {
            Ok(answer) => answer,
            Err(refusal) => {
                // A client that asked whether to go on has sent nothing yet.
                let is_waiting = parts.headers.contains_key(EXPECT);
                if !is_waiting && refusal != Refusal::TooSlow {
                    body::drain(&mut body, self.limits_of(entry)).await;
                }
                answer::refusal(dialect, &refusal)
            }
        }
    }

    async fn visit(
        &self,
        entry: Entry,
        parts: &http::request::Parts,
        body: &mut Incoming,
        from: SocketAddr,
    ) -> Result<Answer, Refusal> {
        let is_beacon = entry == Entry::Beacon;
        let query = is_beacon.then(|| parts.uri.query().unwrap_or_default());
        let project = self.project(&parts.headers, query, from)?;
        let packing = packing_of(&parts.headers)?;
        let encoding = match entry {
            Entry::Otlp | Entry::LangfuseOtlp => encoding_of(&parts.headers)?,
            _ => Encoding::Json,
        };
        if entry == Entry::LangfuseOtlp {
            entry::check_version(&parts.headers)?;
        }
        let limits = self.limits_of(entry);
        let mut held = self.memory.hold();
        let packed = body::receive(body, limits, &mut held).await.map_err(not_taken)?;
        let visit = Visit {
            entry,
            encoding,
            spans: self.options.limits.spans,
            is_strict: self.options.is_strict,
        };
        let work = Work { packed, packing, limits: *limits, visit };
        let size = work.packed.len();
        // The memory is held until it is known what became of the events.
        let (read, bytes, _held) = work.run(held).await?;
        self.counters.received(entry.door(), size, bytes);
        let (events, rejected) = (read.arrival.drafts.len() as u64, read.rejected());
        let (arrival, rejects, plan) = (read.arrival, read.rejects, read.plan);
        let admitted = self.admission.admit(&project, arrival, rejects, entry.door()).await;
        let answer = plan.answer(&admitted)?;
        self.counters.events(entry.door(), events, rejected);
        Ok(answer)
    }

    fn limits_of(&self, entry: Entry) -> &BodyLimits {
        let limits = &self.options.limits;
        match entry {
            Entry::Otlp | Entry::LangfuseOtlp => &limits.otlp,
            Entry::Ingestion | Entry::Scores => &limits.langfuse,
            Entry::Batch | Entry::Beacon | Entry::Single(_) => &limits.rudder,
        }
    }

    /// Whose request it is.
    fn project(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        from: SocketAddr,
    ) -> Result<Arc<Project>, Refusal> {
        if let Some(project) = self.keys.find_open(from.ip(), headers) {
            return Ok(project.clone());
        }
        let presented = Presented::of_headers(headers).or_else(|| Presented::of_query(query?));
        let presented = presented
            .filter(|presented| !presented.is_empty())
            .ok_or(Refusal::NoKey { in_query: query.is_some() })?;
        self.keys.find(&presented).cloned().ok_or(Refusal::WrongKey)
    }

    fn reply(&self, question: Question, headers: &HeaderMap, from: SocketAddr) -> Answer {
        let version = &self.options.version;
        let body = match question {
            Question::Projects => match self.project(headers, None, from) {
                Ok(project) => json!({"data": [{
                    "id": project.name,
                    "name": project.name,
                    "organization": {"id": "windlass", "name": "windlass"},
                    "metadata": {},
                }]}),
                Err(refusal) => return answer::refusal(Dialect::Langfuse, &refusal),
            },
            Question::LangfuseHealth => json!({"status": "OK", "version": version}),
            Question::Health => json!({
                "appType": "WINDLASS",
                "server": "UP",
                "db": "UP",
                "acceptingEvents": "TRUE",
                "routingEvents": "TRUE",
                "mode": "NORMAL",
                "version": version,
            }),
            Question::Version => json!({
                "Version": version,
                "Commit": "",
                "BuildDate": "",
                "BuiltBy": "windlass",
                "Features": {},
            }),
        };
        answer::json(StatusCode::OK, &body)
    }
}

/// Bodies that are larger than this, as they came, are unpacked and read beside the other tasks:
/// a full one takes up to a second.
const LARGE: usize = 128 << 10;

/// A body that was received.
struct Work {
    packed: Vec<u8>,
    packing: Packing,
    limits: BodyLimits,
    visit: Visit,
}

impl Work {
    /// What it brought, and how many bytes it had once it was unpacked.
    async fn run(self, held: Held) -> Result<(Read, usize, Held), Refusal> {
        if self.packed.len() <= LARGE {
            return self.run_now(held);
        }
        let ended = tokio::task::spawn_blocking(move || self.run_now(held)).await;
        ended.unwrap_or_else(|_| Err(Refusal::Broken("the body could not be read".into())))
    }

    fn run_now(self, mut held: Held) -> Result<(Read, usize, Held), Refusal> {
        let Self { packed, packing, limits, visit } = self;
        let unpacked = body::unpacked(packed, packing, &limits, &mut held).map_err(not_taken)?;
        Ok((visit.read(&unpacked)?, unpacked.len(), held))
    }
}

/// When to come back: 1 to 3 s, not all at the same time.
fn retry_soon() -> Duration {
    Duration::from_secs(fastrand::u64(1..=3))
}

fn not_taken(why: NotTaken) -> Refusal {
    match why {
        NotTaken::TooLarge => Refusal::TooLarge,
        NotTaken::TooSlow => Refusal::TooSlow,
        NotTaken::NoMemory => Refusal::Busy { retry_after: retry_soon() },
        NotTaken::Corrupt => Refusal::Bad("the body is not compressed as its header says".into()),
        NotTaken::Gone => Refusal::Bad("failed to read body from request".into()),
    }
}

/// The encoding of a request in OTLP.
fn encoding_of(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let name = text.split(';').next().unwrap_or("").trim();
    match name.to_ascii_lowercase().as_str() {
        "application/x-protobuf" | "application/protobuf" => Ok(Encoding::Protobuf),
        "application/json" => Ok(Encoding::Json),
        _ => Err(Refusal::Unsupported(
            "the content type must be application/x-protobuf or application/json".into(),
        )),
    }
}

fn packing_of(headers: &HeaderMap) -> Result<Packing, Refusal> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let Some(value) = values.next() else { return Ok(Packing::Identity) };
    value.to_str().ok().filter(|_| values.next().is_none()).and_then(Packing::of).ok_or_else(|| {
        Refusal::Unsupported("the content encoding must be gzip, deflate or zstd".into())
    })
}

/// What a browser wants to hear, for clients in pages of any origin: keys are in headers or the
/// address, never in cookies.
fn cors_headers(headers: &HeaderMap, is_preflight: bool) -> HeaderMap {
    let mut cors = HeaderMap::new();
    let Some(origin) = headers.get(ORIGIN) else { return cors };
    cors.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    cors.insert(VARY, HeaderValue::from_static("Origin"));
    cors.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    if is_preflight {
        let methods = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");
        cors.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        cors.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("900"));
        if let Some(wanted) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            cors.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
    } else {
        let retry = HeaderValue::from_static("Retry-After");
        cors.insert(ACCESS_CONTROL_EXPOSE_HEADERS, retry);
    }
    cors
}

fn preflight() -> Answer {
    let mut answer = answer::whole(StatusCode::NO_CONTENT, "text/plain", "");
    answer.headers_mut().remove(CONTENT_TYPE);
    answer
}
