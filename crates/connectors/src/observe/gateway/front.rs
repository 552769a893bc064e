//! The doors as the gateway opens them: whose keys they take, what an answer waits for, what is
//! shown beside them, and the threads that serve them.

use super::Running;
use crate::connector::OpenError;
use crate::observe::dialects::messages::Reject;
use crate::observe::doors::{
    self, Admission, Admitted, AnswerBody, Door, DoorCounts, Doors, Key, Keys, Project, Verdict,
};
use crate::observe::event::Arrival;
use crate::observe::ledger::count;
use crate::observe::letters;
use crate::observe::pages;
use crate::observe::pipeline::Answer;
use crate::observe::queue;
use crate::observe::settings::{Durability, Environment, ProjectSettings, Settings};
use crate::observe::status::{DoorStatus, LATENCY_BOUNDS_US, Latency};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use windlass_engine::clock::unix_millis;
use windlass_engine::runner::stop::Stop;

/// Threads at the doors, at most, when the file does not say: more than that, and the forwarders
/// and the disk have no core left.
const THREADS_MAX: usize = 4;

/// What stands behind the doors.
pub(super) struct Behind {
    running: Arc<Running>,
    durability: Durability,
    /// Projects that want something else.
    by_project: BTreeMap<String, Durability>,
}

impl Behind {
    fn durability(&self, project: &str) -> queue::Durability {
        match self.by_project.get(project).copied().unwrap_or(self.durability) {
            Durability::Acknowledged => queue::Durability::Synced,
            Durability::Written => queue::Durability::Written,
            Durability::FireAndForget => queue::Durability::None,
        }
    }

    /// What can't be read is set aside. Where that fails, the client is told, so that it keeps it.
    fn set_aside(&self, project: &str, rejects: &[Reject], door: Door) -> Result<(), String> {
        for reject in rejects {
            let id = reject.id.as_deref().unwrap_or_default();
            let reason = format!("project {project}: {}", reject.reason);
            let letter = letters::of_bytes(door.name(), id, &reject.body, &reason);
            self.running.dead_letters.put(letter).map_err(|error| error.to_string())?;
        }
        let ledger = &self.running.pipeline.ledger;
        count(&ledger.received, rejects.len());
        count(&ledger.rejected, rejects.len());
        Ok(())
    }
}

impl Admission for Behind {
    fn admit<'a>(
        &'a self,
        project: &'a Arc<Project>,
        arrival: Arrival,
        rejects: Vec<Reject>,
        door: Door,
    ) -> BoxFuture<'a, Admitted> {
        Box::pin(async move {
            let name = project.name.as_str();
            if let Err(message) = self.set_aside(name, &rejects, door) {
                return Admitted { refused: Vec::new(), verdict: Verdict::Broken { message } };
            }
            let durability = self.durability(name);
            let taken = self.running.pipeline.take(name, durability, arrival, unix_millis()).await;
            let verdict = match taken.answer {
                Answer::Taken => Verdict::Taken,
                Answer::Busy { retry_after } => Verdict::Busy { retry_after },
                Answer::Limited { message, retry_after } => {
                    Verdict::Limited { message, retry_after }
                }
                Answer::Broken { message } => Verdict::Broken { message },
            };
            Admitted { refused: taken.refused, verdict }
        })
    }
}

/// The doors of a gateway.
///
/// # Errors
/// When a key can't be read.
pub(super) fn open(
    settings: &Settings,
    environment: &Environment,
    running: &Arc<Running>,
) -> Result<Arc<Doors<Behind>>, OpenError> {
    let mut keys = Vec::new();
    for project in &settings.projects {
        keys.extend(keys_of(project, environment)?);
    }
    let keys = Keys::new(keys).map_err(|error| {
        OpenError::usage(error.to_string(), "the system has to give random numbers")
    })?;
    let by_project = settings.projects.iter();
    let by_project = by_project.filter_map(|one| Some((one.name.clone(), one.durability?)));
    let behind = Behind {
        running: Arc::clone(running),
        durability: settings.durability,
        by_project: by_project.collect(),
    };
    let counters = Arc::new(OnceLock::new());
    let limits = doors::Limits::default();
    let options = doors::Options {
        limits,
        is_strict: settings.strict,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let fallback = fallback(Arc::clone(running), Arc::clone(&counters));
    let doors = Doors::new(Arc::new(behind), keys, fallback, options);
    // The pages show what the doors count, and the doors show the pages.
    let _ = counters.set(doors.counters());
    Ok(doors)
}

fn keys_of(
    settings: &ProjectSettings,
    environment: &Environment,
) -> Result<Vec<(Arc<Project>, Key)>, OpenError> {
    let project = Project::new(&settings.name);
    let mut keys = Vec::new();
    if let Some(secret) = &settings.secret_key {
        let secret = secret.read(environment)?.reveal().to_owned();
        if let Some(public) = settings.public_key.clone() {
            keys.push((Arc::clone(&project), Key::Pair { public, secret: secret.clone() }));
        }
        keys.push((Arc::clone(&project), Key::Token(secret)));
    }
    if let Some(key) = &settings.write_key {
        let key = key.read(environment)?.reveal().to_owned();
        keys.push((Arc::clone(&project), Key::WriteKey(key)));
    }
    if keys.is_empty() {
        let what = format!("the project {} has no key", settings.name);
        let hint = "give it a secret-key, a write-key, or take the project out";
        return Err(OpenError::usage(what, hint));
    }
    Ok(keys)
}

fn fallback(
    running: Arc<Running>,
    counters: Arc<OnceLock<Arc<doors::Counters>>>,
) -> doors::Fallback {
    Arc::new(move |request: Request<Incoming>, _from| {
        let running = Arc::clone(&running);
        let counters = counters.get().cloned();
        Box::pin(async move {
            page(&request, || {
                let mut status = running.status();
                if let Some(counters) = &counters {
                    status.doors = statuses(counters);
                    status.connections = counters.connections();
                    status.refused_connections = counters.refused_connections();
                }
                status
            })
        })
    })
}

fn page(
    request: &Request<Incoming>,
    status: impl Fn() -> crate::observe::status::Status,
) -> Response<AnswerBody> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return doors::answer::whole(
            StatusCode::NOT_FOUND,
            "text/plain",
            "there is no such door\n",
        );
    }
    let accept = request.headers().get(http::header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let query = request.uri().query().unwrap_or_default();
    let Some(page) = pages::answer(request.uri().path(), query, accept, status) else {
        return doors::answer::whole(
            StatusCode::NOT_FOUND,
            "text/plain",
            "there is no such page\n",
        );
    };
    let body = Full::new(Bytes::from(page.body)).boxed_unsync();
    let mut response = Response::builder()
        .status(page.status)
        .header(http::header::CONTENT_TYPE, page.content_type);
    for (name, value) in &page.headers {
        response = response.header(*name, value.as_ref());
    }
    response.body(body).unwrap_or_else(|error| {
        doors::answer::whole(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string())
    })
}

/// What the doors count, as the status has it.
fn statuses(counters: &doors::Counters) -> Vec<DoorStatus> {
    let status = |counts: DoorCounts| DoorStatus {
        name: counts.door.name(),
        requests: counts.answers.iter().copied().collect(),
        bytes: counts.packed_bytes,
        events: counts.events,
        rejected: counts.rejected,
        latency: latency(&counts),
    };
    Door::ALL.into_iter().map(|door| status(counters.door(door))).collect()
}

fn latency(counts: &DoorCounts) -> Latency {
    let up_to = |bound: u64| {
        let buckets = doors::counters::BUCKETS_US.iter().zip(&counts.latency);
        buckets.filter(|(upper, _)| **upper <= bound).map(|(_, count)| count).sum()
    };
    let count = counts.latency.iter().sum();
    Latency {
        count,
        sum_us: counts.latency_sum_us,
        at_most: LATENCY_BOUNDS_US.iter().map(|&bound| up_to(bound)).collect(),
        p50_us: quantile(&counts.latency, count, 0.50),
        p95_us: quantile(&counts.latency, count, 0.95),
        p99_us: quantile(&counts.latency, count, 0.99),
        max_us: quantile(&counts.latency, count, 1.0),
    }
}

/// The time within which this share of answers came, as far as buckets can say: on a straight
/// line through its bucket. Beyond the last bound it is that bound.
fn quantile(buckets: &[u64], count: u64, share: f64) -> u64 {
    let wanted = share * count as f64;
    let (mut below, mut lower) = (0.0, 0.0);
    for (bucket, &upper) in buckets.iter().zip(&doors::counters::BUCKETS_US) {
        let (inside, upper) = (*bucket as f64, upper as f64);
        if inside > 0.0 && below + inside >= wanted {
            return (lower + (upper - lower) * ((wanted - below) / inside)).round() as u64;
        }
        (below, lower) = (below + inside, upper);
    }
    lower as u64 * u64::from(count > 0)
}

/// The threads at the doors.
pub(super) struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    /// Waits until all of them have closed.
    pub(super) fn join(self) {
        for thread in self.0 {
            // A thread that panicked has answered what it could.
            drop(thread.join());
        }
    }
}

/// Serves the doors on threads of their own, so that forwarding never makes a client wait. Each
/// takes connections from the one listener.
///
/// # Errors
/// When the system gives no threads.
pub(super) fn spawn(
    settings: &Settings,
    listener: &TcpListener,
    doors: &Arc<Doors<Behind>>,
    stop: &Stop,
) -> Result<Threads, OpenError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let count = settings.threads.unwrap_or(cores.min(THREADS_MAX)).max(1);
    let mut threads = Vec::new();
    for number in 0..count {
        let thread = listener.try_clone().and_then(|listener| {
            let (doors, stop) = (Arc::clone(doors), stop.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            std::thread::Builder::new().name(format!("door-{number}")).spawn(move || {
                runtime.block_on(async move {
                    // It was made non-blocking when it was bound.
                    if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                        doors.serve(listener, async move { stop.draining().await }).await;
                    }
                });
            })
        });
        threads.push(thread.map_err(|error| {
            let what = format!("can't start a thread for the doors: {error}");
            OpenError::usage(what, "the system's limit of threads or open files is reached")
        })?);
    }
    Ok(Threads(threads))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let mut buckets = vec![0; doors::counters::BUCKETS_US.len() + 1];
        assert_eq!(quantile(&buckets, 0, 0.5), 0);
        // Ten answers in 200 to 500 µs, ninety in 500 to 1,000 µs.
        (buckets[3], buckets[4]) = (10, 90);
        assert_eq!(quantile(&buckets, 100, 0.05), 350);
        assert_eq!(quantile(&buckets, 100, 0.55), 750);
        assert_eq!(quantile(&buckets, 100, 1.0), 1000);
        *buckets.last_mut().unwrap() = 100;
        assert_eq!(quantile(&buckets, 200, 0.99), 10_000_000);
    }
}
