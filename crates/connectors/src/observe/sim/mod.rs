//! Simulated destinations of Observe: Langfuse, a RudderStack data plane and a receiver of OTLP on
//! one port. Tests, demos, benchmarks and `windlass sim observe` talk to them.
//!
//! Owns what they accepted, and judges its callers by the published contracts. It is built from
//! the facts alone and must never use code of the gateway beside it or of the engine: the judge
//! and the judged share no code.
//!
//! | control plane, besides that of every simulator | answer |
//! | --- | --- |
//! | GET `/_sim/events?remote=langfuse\|rudder\|otlp\|scores` | one line for every accepted event |
//! | GET `/_sim/counts` | accepted, distinct, duplicate and disordered events, traffic |
//! | POST `/_sim/outage?remote=R&mode=M`, with a [`Mode`] or `off` | flips the switch of a remote |

mod body;
mod journal;
mod langfuse;
mod load;
mod money;
mod options;
mod otlp;
mod outage;
mod replies;
mod rudder;
mod spans;
#[cfg(test)]
mod tests;
mod wire;
mod world;

pub use journal::{Delivered, Totals};
pub use load::{LoadOptions, OverLimit, Traffic};
pub use options::{LangfuseRate, Options, RetryAfter};
pub use outage::{Mode, Outage, Remote};

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use load::Gauges;
use outage::Outages;
use replies::{json, parameters, with_body};
use serde_json::{Value, json};
use windlass_sim::{Chassis, Fault, Ledger, Reset, Simulator};
use world::{ObserveWorld, Trouble};

/// Simulated Langfuse, RudderStack and OTLP receiver.
#[derive(Debug)]
pub struct ObserveSim {
    chassis: Chassis<ObserveWorld>,
    gauges: Gauges,
    outages: Mutex<Outages>,
    load: LoadOptions,
    commit: Duration,
}

impl ObserveSim {
    /// Starts the clock. To be called inside the tokio runtime when its time is paused.
    ///
    /// # Errors
    ///
    /// Options that contradict themselves, in words for the user of the flags.
    pub fn new(options: Options) -> Result<Self, String> {
        options.check()?;
        let quotas = world::quotas(&options);
        let outages = Mutex::new(Outages::new(options.outage.clone()));
        let (load, commit) = (options.load.clone(), options.commit);
        let chassis = Chassis::new(options.chassis.clone(), quotas, ObserveWorld::new(options));
        Ok(Self { chassis, gauges: Gauges::default(), outages, load, commit })
    }

    /// Every request that reached a remote. The items of a row are its spans, messages or scores.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        self.chassis.ledger()
    }

    /// The next requests meet exactly these faults, in order, before any rate is looked at.
    pub fn force(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.chassis.force(faults);
    }

    /// No key is valid from now on.
    pub fn revoke_key(&self) {
        self.chassis.revoke();
    }

    /// Puts a remote in trouble from now on, or out of it with `None`, whatever is planned.
    pub fn set_outage(&self, remote: Remote, mode: Option<Mode>) {
        self.outages().switch(remote, mode);
    }

    /// The events that a remote accepted, each once, in the order of their first arrival; none
    /// with `--counters-only`.
    #[must_use]
    pub fn events(&self, remote: Remote) -> Vec<Delivered> {
        self.chassis.with_world(|world| world.journal(remote).delivered().collect())
    }

    /// The scores that Langfuse accepted. The body is the value.
    #[must_use]
    pub fn scores(&self) -> Vec<Delivered> {
        self.chassis.with_world(|world| world.langfuse.scores.delivered().collect())
    }

    /// The totals of a remote's events.
    #[must_use]
    pub fn totals(&self, remote: Remote) -> Totals {
        self.chassis.with_world(|world| world.journal(remote).totals)
    }

    /// How a remote was used so far.
    #[must_use]
    pub fn traffic(&self, remote: Remote) -> Traffic {
        self.gauges.of(remote)
    }

    fn outages(&self) -> MutexGuard<'_, Outages> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> Value {
        let mut all = self.chassis.with_world(|world| world.totals());
        for remote in Remote::ALL {
            let traffic = self.traffic(remote);
            let statuses = traffic.statuses.iter().map(|(status, count)| {
                let name = if *status == 0 { "reset".to_owned() } else { status.to_string() };
                (name, (*count).into())
            });
            let statuses = Value::Object(statuses.collect());
            if let Some(Value::Object(counts)) = all.get_mut(remote.name()) {
                counts.insert("statuses".to_owned(), statuses);
                counts.insert("abandoned".to_owned(), traffic.abandoned.into());
                counts.insert("in_flight".to_owned(), traffic.in_flight.into());
                counts.insert("most_in_flight".to_owned(), traffic.most_in_flight.into());
            }
        }
        Value::Object(all)
    }

    fn event_lines(&self, query: &str) -> Result<Response<Bytes>, String> {
        let name = parameter(query, "remote").ok_or("the parameter remote is missing")?;
        let mut lines = String::new();
        self.chassis.with_world(|world| {
            let (journal, is_message) = match name.as_str() {
                "scores" => (&world.langfuse.scores, false),
                name => {
                    let remote: Remote = name.parse()?;
                    (world.journal(remote), remote == Remote::Rudder)
                }
            };
            for event in journal.delivered() {
                lines.push_str(&event.to_json(is_message).to_string());
                lines.push('\n');
            }
            Ok::<(), String>(())
        })?;
        Ok(with_body(200, HeaderValue::from_static("application/x-ndjson"), lines))
    }

    fn switch(&self, query: &str) -> Result<Response<Bytes>, String> {
        let remote = parameter(query, "remote").ok_or("the parameter remote is missing")?;
        let mode = parameter(query, "mode").ok_or("the parameter mode is missing")?;
        let mode = if mode == "off" { None } else { Some(mode.parse()?) };
        self.set_outage(remote.parse()?, mode);
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    parameters(query).find(|(known, _)| *known == name).map(|(_, value)| value)
}

impl Simulator for ObserveSim {
    async fn call(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, Reset> {
        let Some(remote) = Remote::of(request.uri().path()) else {
            return self.chassis.call(request).await;
        };
        let visit = self.gauges.enter(remote);
        let (at, _) = self.chassis.now();
        let mode = self.outages().mode(remote, at);
        let over = self.load.is_over(visit.in_flight).then_some(self.load.over_limit);
        let trouble = match (mode, over) {
            (Some(Mode::Hang), _) => std::future::pending().await,
            (Some(Mode::Down), _) | (_, Some(OverLimit::Drop)) => {
                visit.end(0);
                return Err(Reset);
            }
            (Some(Mode::Status(status)), _) => Some(status),
            (_, Some(OverLimit::Unavailable)) => Some(503),
            (_, Some(OverLimit::TooMany)) => Some(429),
            (_, None) => None,
        };
        if let Some(status) = trouble {
            request.extensions_mut().insert(Trouble(status));
        }
        let answer = self.chassis.call(request).await;
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        let mut late = Duration::ZERO;
        if trouble.is_none() {
            late += self.load.delay(visit.in_flight);
        }
        if let Some(Mode::Slow(by)) = mode {
            late += by;
        }
        if remote == Remote::Rudder && status == 200 {
            late += self.commit;
        }
        if !late.is_zero() {
            tokio::time::sleep(late).await;
        }
        visit.end(status);
        answer
    }

    fn control(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let query = request.uri().query().unwrap_or("");
        let answer = match (request.method(), request.uri().path()) {
            (&Method::GET, "/_sim/events") => self.event_lines(query),
            (&Method::GET, "/_sim/counts") => Ok(json(200, &self.counts())),
            (&Method::POST, "/_sim/outage") => self.switch(query),
            _ => return self.chassis.control(request),
        };
        answer.unwrap_or_else(|why| json(400, &json!({"message": why})))
    }
}
