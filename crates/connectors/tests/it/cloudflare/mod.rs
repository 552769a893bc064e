//! The Cloudflare connector against its simulator in this process, in virtual time.
//!
//! - `defects`: sixteen defects of an older tool for the same work, one test each
//! - `counts`: how many requests a job takes, and what the limits make of them
//! - `faults`: single faults, refusals, odd pages, and a store that shows changes late
//! - `names`: namespaces and zones by their names, and who may ask
//! - `restore`: what an export, an import and a copy keep and leave out
//! - `purges`: the cache, and keys together with the cache

mod counts;
mod defects;
mod faults;
mod names;
mod purges;
mod restore;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use windlass_connectors::cloudflare::sim::{CloudflareSim, Options};
use windlass_connectors::transport::Transport;
use windlass_engine::event::Ending;
use windlass_engine::plan::Plan;
use windlass_sim::{Answer, ChassisOptions, DynSimulator, LatencyOptions};

use super::support::{Run, Stage};

/// A token that the simulator accepts.
const TOKEN: &str = "cf-token-1";

/// A request as it went over the wire.
#[derive(Clone, Debug)]
pub struct Sent {
    pub method: String,
    pub uri: String,
    pub body: Bytes,
}

impl Sent {
    /// How many items its body has, where that is an array.
    pub fn items(&self) -> usize {
        serde_json::from_slice::<Vec<serde_json::Value>>(&self.body).map_or(0, |items| items.len())
    }

    /// The names in its body, where that is an array of them.
    pub fn names(&self) -> Vec<String> {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

type Look = Box<dyn Fn(&Request<Bytes>) -> Option<Response<Bytes>> + Send + Sync>;

/// The way to a simulator: it keeps every request, counts those that are under way, and lets a
/// doorman answer some of them.
pub struct Wire {
    remote: Arc<CloudflareSim>,
    sent: Mutex<Vec<Sent>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
    look: Look,
}

impl Wire {
    pub fn new(remote: Arc<CloudflareSim>, look: Look) -> Arc<Self> {
        let (sent, under_way, most) = (Mutex::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { remote, sent, under_way, most, look })
    }

    /// The requests so far with this method whose address has this in it.
    pub fn sent(&self, method: &str, part: &str) -> Vec<Sent> {
        let sent = self.sent.lock().unwrap();
        let fits = |one: &&Sent| one.method == method && one.uri.contains(part);
        sent.iter().filter(fits).cloned().collect()
    }

    /// All requests so far.
    pub fn all(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// The most requests that were under way at a time.
    pub fn most_at_once(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl DynSimulator for Wire {
    fn call_boxed(&self, request: Request<Bytes>) -> Answer<'_> {
        let (method, uri) = (request.method().to_string(), request.uri().to_string());
        let body = request.body().clone();
        self.sent.lock().unwrap().push(Sent { method, uri, body });
        if let Some(answer) = (self.look)(&request) {
            return Box::pin(async { Ok(answer) });
        }
        let under_way = UnderWay::begin(self);
        Box::pin(async move {
            let answer = self.remote.call_boxed(request).await;
            drop(under_way);
            answer
        })
    }
}

struct UnderWay<'a>(&'a Wire);

impl<'a> UnderWay<'a> {
    fn begin(wire: &'a Wire) -> Self {
        let now = wire.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        wire.most.fetch_max(now, Ordering::Relaxed);
        Self(wire)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A simulator with an operator in front of it.
pub struct Scene {
    pub sim: Arc<CloudflareSim>,
    pub wire: Arc<Wire>,
    pub stage: Stage,
    /// The id of the namespace with the keys.
    pub full: String,
    /// The id of an empty one.
    pub empty: String,
}

/// No limits on rates, and 20 ms a round trip.
fn free() -> Options {
    let latency = LatencyOptions::constant(Duration::from_millis(20));
    let chassis = ChassisOptions { latency, ..ChassisOptions::default() };
    Options { no_limits: true, chassis, ..Options::default() }
}

fn scene(options: Options) -> Scene {
    guarded(options, |_| None)
}

/// The same with a doorman: `Some` is his own answer, `None` lets a request pass.
fn guarded<F>(options: Options, look: F) -> Scene
where
    F: Fn(&Request<Bytes>) -> Option<Response<Bytes>> + Send + Sync + 'static,
{
    let sim = Arc::new(CloudflareSim::new(options).unwrap());
    let wire = Wire::new(Arc::clone(&sim), Box::new(look));
    let transport = Transport::in_process(Arc::clone(&wire) as Arc<_>);
    let mut stage = Stage::new("cloudflare", transport, TOKEN);
    stage.settings.insert("account-id".to_owned(), "acc".to_owned());
    let ids = sim.namespace_ids();
    Scene { full: ids[0].clone(), empty: ids[1].clone(), sim, wire, stage }
}

/// A namespace with exactly these keys, whose values are their names.
fn with_keys(keys: &[&str]) -> Scene {
    let scene = scene(Options { keys: 0, ..free() });
    for key in keys {
        assert!(scene.sim.put(&scene.full, key, key.as_bytes(), None, None));
    }
    scene
}

impl Scene {
    /// A command line about the namespace with the keys.
    fn line<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        [&["kv"], words, &["--namespace-id", &self.full]].concat()
    }

    async fn text(&self, words: &[&str]) -> String {
        self.stage.text(&self.line(words)).await
    }

    async fn plan(&self, words: &[&str]) -> Plan {
        self.stage.plan(&self.line(words)).await.unwrap()
    }

    /// Plans and applies, and expects that all of it is done.
    async fn carry_out(&self, words: &[&str]) -> Run {
        let plan = self.plan(words).await;
        let run = self.stage.apply(&plan).await;
        assert_complete(&run);
        run
    }

    /// Carries out what begins while it still lists, and expects that all of it is done.
    async fn stream(&self, words: &[&str]) -> Run {
        let (_, run) = self.stage.stream(&self.line(words)).await;
        assert_complete(&run);
        run
    }

    /// The keys of the first namespace that are there.
    fn keys(&self) -> Vec<String> {
        self.sim.keys(&self.full)
    }
}

fn assert_complete(run: &Run) {
    assert_eq!(run.tally.ending, Some(Ending::Complete), "{:?}", run.tally.first_failures);
    assert_eq!(run.tally.counts.failed, 0, "{:?}", run.tally.first_failures);
}
