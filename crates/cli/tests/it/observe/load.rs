//! A load that keeps the books: batches with ids that tell their order, over connections that are
//! kept open, each sent again until it is acknowledged. What was answered with 200 has to be at
//! every destination in the end.

use super::gateway::{SECRET_KEY, WRITE_KEY};
use super::http::{Connection, basic};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Events in a batch.
const BATCH: u64 = 50;
/// Users of one sender, among whom its events go round.
const USERS: u64 = 8;
/// How long a sender waits before it comes again, as the shortest Retry-After would say.
const AGAIN: Duration = Duration::from_millis(10);

/// Which door a sender uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Messages to `/v1/batch`.
    Rudder,
    /// Generations to `/v1/traces`, in JSON.
    Otlp,
}

/// Everything that was acknowledged.
#[derive(Debug, Default)]
pub struct Books {
    /// Ids of messages.
    pub messages: Vec<String>,
    /// Ids of spans, as the databases have them.
    pub spans: Vec<String>,
    /// Batches that had to be sent more than once.
    pub resent: u64,
}

/// Senders at work.
pub struct Load {
    is_over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    senders: Vec<JoinHandle<()>>,
    books: Arc<Mutex<Books>>,
}

impl Load {
    /// Starts one sender for each of these doors.
    pub fn start(url: &str, doors: &[Door]) -> Self {
        let load = Self {
            is_over: Arc::default(),
            acknowledged: Arc::default(),
            senders: Vec::new(),
            books: Arc::default(),
        };
        let senders = doors.iter().enumerate().map(|(number, door)| {
            let mut sender = Sender {
                url: url.to_owned(),
                door: *door,
                number,
                next: 0,
                connection: None,
                is_over: Arc::clone(&load.is_over),
            };
            let (acknowledged, books) = (Arc::clone(&load.acknowledged), Arc::clone(&load.books));
            std::thread::spawn(move || {
                while let Some((ids, tries)) = sender.send_next() {
                    let mut books = books.lock().unwrap();
                    books.resent += u64::from(tries > 1);
                    match sender.door {
                        Door::Rudder => books.messages.extend(ids),
                        Door::Otlp => books.spans.extend(ids),
                    }
                    acknowledged.fetch_add(BATCH, Ordering::Relaxed);
                }
            })
        });
        let senders = senders.collect();
        Self { senders, ..load }
    }

    /// Events that were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends it. A batch that is on its way and not answered is nobody's.
    pub fn end(self) -> Books {
        self.is_over.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender.join().unwrap();
        }
        Arc::into_inner(self.books).unwrap().into_inner().unwrap()
    }
}

struct Sender {
    url: String,
    door: Door,
    number: usize,
    next: u64,
    connection: Option<Connection>,
    is_over: Arc<AtomicBool>,
}

impl Sender {
    /// Sends the next batch until it is acknowledged, and returns its ids with the number of tries.
    /// `None` when the load is over.
    fn send_next(&mut self) -> Option<(Vec<String>, u32)> {
        let (ids, body) = match self.door {
            Door::Rudder => messages(self.number, self.next),
            Door::Otlp => spans(self.number, self.next),
        };
        self.next += BATCH;
        let mut tries = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            tries += 1;
            if self.is_acknowledged(&body) {
                return Some((ids, tries));
            }
            std::thread::sleep(AGAIN);
        }
        None
    }

    fn is_acknowledged(&mut self, body: &str) -> bool {
        if self.connection.is_none() {
            self.connection = Connection::to(&self.url).ok();
        }
        let Some(connection) = &mut self.connection else { return false };
        let (path, key) = match self.door {
            Door::Rudder => ("/v1/batch", basic(WRITE_KEY, "")),
            Door::Otlp => ("/v1/traces", format!("Bearer {SECRET_KEY}")),
        };
        let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
        match connection.send("POST", path, &headers, body.as_bytes()) {
            Ok(answer) if answer.status == 200 => true,
            Ok(answer) => {
                let patience = [429, 502, 503, 504].contains(&answer.status);
                assert!(patience, "{} {}: {}", answer.status, path, answer.text());
                false
            }
            Err(_) => {
                self.connection = None;
                false
            }
        }
    }
}

/// A batch of messages from this one on; the sequence of each user grows.
pub fn messages(sender: usize, first: u64) -> (Vec<String>, String) {
    let numbers = first..first + BATCH;
    let ids: Vec<String> = numbers.clone().map(|number| format!("m-{sender}-{number}")).collect();
    let message = |(number, id): (u64, &String)| {
        json!({
            "type": "track", "messageId": id, "event": "loaded",
            "userId": format!("user-{sender}-{}", number % USERS),
            "properties": { "sequence": number / USERS },
            "originalTimestamp": "2026-01-01T00:00:00.000Z",
        })
    };
    let batch: Vec<_> = numbers.zip(&ids).map(message).collect();
    (ids, json!({ "batch": batch }).to_string())
}

/// A batch of generations; each is a trace of its own.
pub fn spans(sender: usize, first: u64) -> (Vec<String>, String) {
    let numbers = first..first + BATCH;
    let key = |number: u64| {
        let trace = format!("{:016x}{:016x}", sender + 1, number + 1);
        (trace, format!("{:016x}", number + 1))
    };
    let ids = numbers.clone().map(|number| {
        let (trace, span) = key(number);
        format!("{trace}-{span}")
    });
    let span = |number: u64| {
        let (trace, span) = key(number);
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let number_of =
            |key: &str, value: u64| json!({"key": key, "value": {"intValue": value.to_string()}});
        json!({
            "traceId": trace, "spanId": span, "name": "chat gpt-4o", "kind": 3,
            "startTimeUnixNano": "1767225600000000000", "endTimeUnixNano": "1767225601000000000",
            "attributes": [
                text("gen_ai.operation.name", "chat"),
                text("gen_ai.provider.name", "openai"),
                text("gen_ai.response.model", "gpt-4o"),
                text("user.id", &format!("user-{sender}-{}", number % USERS)),
                number_of("gen_ai.usage.input_tokens", 1000),
                number_of("gen_ai.usage.cache_read.input_tokens", 400),
                number_of("gen_ai.usage.output_tokens", 500),
                number_of("sequence", number / USERS),
            ],
        })
    };
    let spans: Vec<_> = numbers.map(span).collect();
    let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] });
    (ids.collect(), body.to_string())
}
