//! A gateway without its doors, with a simulator in process for every destination over HTTP.

use crate::observe::dialects::facts::{ResourceFacts, of_span};
use crate::observe::dialects::ids::span_key;
use crate::observe::dialects::{messages, patches};
use crate::observe::event::{Arrival, Draft, Kind, Scope};
use crate::observe::gateway::{Feed, Running, With, assemble, unheard};
use crate::observe::hold::Hold;
use crate::observe::otlp::rewrite::{Added, add_to_span};
use crate::observe::otlp::span::{SpanView, field};
use crate::observe::otlp::wire::{put_bytes, put_fixed64};
use crate::observe::pipeline::Taken;
use crate::observe::queue::{DestinationMeter, Durability, OnDamage};
use crate::observe::settings::{Environment, Settings};
use crate::observe::sim::{ObserveSim, Options};
use crate::transport::Transport;
use clap::{Args, FromArgMatches};
use futures_util::FutureExt;
use jiff::Timestamp;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;
use windlass_engine::clock::{Clock, unix_millis};
use windlass_engine::runner::stop::Stop;

/// Three remotes of the simulator as destinations; what a test adds comes before.
pub(super) const REMOTES: &str = r#"
[[destinations]]
name = "langfuse"
kind = "langfuse"
url = "http://127.0.0.1:1"
public-key = "pk-lf-simulated"
secret-key = { env = "SECRET" }

[[destinations]]
name = "rudder"
kind = "rudderstack"
url = "http://127.0.0.1:1"
secret-key = { env = "WRITE" }

[[destinations]]
name = "otlp"
kind = "otlp"
url = "http://127.0.0.1:1"
"#;

pub(super) struct Rig {
    pub(super) running: Arc<Running>,
    pub(super) sim: Arc<ObserveSim>,
    pub(super) folder: TempDir,
    clock: Clock,
    feeds: Vec<Feed>,
    tasks: JoinSet<()>,
    stops: Vec<Stop>,
}

impl Rig {
    /// With these flags of the simulator, and these settings before the remotes.
    pub(super) async fn new(flags: &[&str], settings: &str) -> Self {
        Self::with(flags, &format!("{settings}\n{REMOTES}")).await
    }

    pub(super) async fn with(flags: &[&str], settings: &str) -> Self {
        let command = Options::augment_args(clap::Command::new("sim").no_binary_name(true));
        let options =
            Options::from_arg_matches(&command.try_get_matches_from(flags).unwrap()).unwrap();
        let sim = Arc::new(ObserveSim::new(options).unwrap());
        let folder = tempfile::tempdir().unwrap();
        Self::open(sim, folder, settings).await
    }

    async fn open(sim: Arc<ObserveSim>, folder: TempDir, settings: &str) -> Self {
        let settings = Settings::parse(settings).unwrap();
        let environment =
            Environment::of(&[("SECRET", "sk-lf-simulated"), ("WRITE", "simulated-write-key")]);
        let transport = Transport::in_process(Arc::clone(&sim) as Arc<_>);
        let clock = Clock::start();
        let with = With {
            folder: folder.path(),
            clock,
            transport: &transport,
            environment: &environment,
            seed: 7,
            on_damage: OnDamage::Stop,
            forget: &[],
        };
        let (running, feeds) = assemble(&settings, &with).await.unwrap();
        let (tasks, stops) = (JoinSet::new(), Vec::new());
        Self { running, sim, folder, clock, feeds, tasks, stops }
    }

    /// Begins to forward and to let go.
    pub(super) fn start(&mut self) {
        for feed in self.feeds.drain(..) {
            self.stops.push(feed.spawn(&mut self.tasks));
        }
        let context = unheard(self.clock);
        self.stops.push(context.stop.clone());
        self.tasks.spawn(Hold::new(Arc::clone(&self.running)).run(context));
    }

    /// Takes a request in and waits until it is on disk.
    pub(super) async fn take(&self, arrival: Arrival) -> Taken {
        let pipeline = &self.running.pipeline;
        let mut taking = pin!(pipeline.take("shop", Durability::Synced, arrival, unix_millis()));
        // The disk works in real time: a runtime that waited for it would let virtual time pass.
        loop {
            match (&mut taking).now_or_never() {
                Some(taken) => return taken,
                None => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    /// Waits until nothing waits, for so long at most of virtual time.
    pub(super) async fn delivered(&self, within: Duration) -> Duration {
        let start = tokio::time::Instant::now();
        while self.pending() > 0 {
            assert!(start.elapsed() < within, "{:?}", self.meters());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        start.elapsed()
    }

    pub(super) fn pending(&self) -> u64 {
        let held = self.running.pipeline.hold.meter().destinations;
        self.meters().iter().chain(&held).map(|one| one.pending).sum()
    }

    pub(super) fn meters(&self) -> Vec<DestinationMeter> {
        self.running.pipeline.queue.meter().destinations
    }

    pub(super) fn meter(&self, name: &str) -> DestinationMeter {
        self.meters().into_iter().find(|one| one.name == name).unwrap()
    }

    /// Stops in good order.
    pub(super) async fn stop(mut self) -> (Arc<ObserveSim>, TempDir) {
        self.stops.iter().for_each(Stop::drain);
        while self.tasks.join_next().await.is_some() {}
        self.running.pipeline.queue.close();
        self.running.pipeline.hold.close();
        (self.sim, self.folder)
    }

    /// Opens the same folder again, as the next start of the program does.
    pub(super) async fn again(self, settings: &str) -> Self {
        let (sim, folder) = self.stop().await;
        Self::open(sim, folder, &format!("{settings}\n{REMOTES}")).await
    }
}

/// Product events of users, in turn, with numbers that grow.
pub(super) fn messages(numbers: std::ops::Range<usize>, users: usize) -> Arrival {
    let batch: Vec<serde_json::Value> = numbers
        .map(|number| {
            serde_json::json!({
                "type": "track",
                "messageId": format!("m-{number}"),
                "userId": format!("user-{}", number % users),
                "event": format!("event-{number}"),
                "properties": {"sequence": number},
            })
        })
        .collect();
    let body = serde_json::json!({"batch": batch}).to_string();
    let received = messages::Received { at: Timestamp::now(), is_strict: false };
    let read = messages::batch(body.as_bytes(), received).unwrap();
    Arrival { scopes: Vec::new(), drafts: read.drafts }
}

/// Envelopes of Langfuse's old clients.
pub(super) fn envelopes(batch: &serde_json::Value) -> Arrival {
    let body = serde_json::json!({"batch": batch}).to_string();
    let items = patches::ingestion(body.as_bytes(), Timestamp::now()).unwrap();
    Arrival { scopes: Vec::new(), drafts: items.drafts }
}

/// A span as a tracer sends it.
#[derive(Clone, Debug)]
pub(super) struct SpanSpec {
    pub(super) trace: u64,
    pub(super) span: u64,
    pub(super) name: &'static str,
    pub(super) duration_ms: u64,
    pub(super) is_error: bool,
    pub(super) attributes: Vec<(&'static str, Added<'static>)>,
}

impl SpanSpec {
    pub(super) fn new(trace: u64, span: u64) -> Self {
        let (name, attributes) = ("work", Vec::new());
        Self { trace, span, name, duration_ms: 5, is_error: false, attributes }
    }

    /// A generation of gpt-4o with 1,000 tokens read and 500 written: 0.0075 dollars.
    pub(super) fn generation(trace: u64, span: u64) -> Self {
        let attributes = vec![
            ("gen_ai.operation.name", Added::Text("chat")),
            ("gen_ai.request.model", Added::Text("gpt-4o")),
            ("gen_ai.usage.input_tokens", Added::Int(1000)),
            ("gen_ai.usage.output_tokens", Added::Int(500)),
        ];
        Self { attributes, ..Self::new(trace, span) }
    }

    fn bytes(&self) -> Vec<u8> {
        // Ids of traces are random, for sampling goes by that.
        let trace = fastrand::Rng::with_seed(self.trace).u128(..).to_be_bytes();
        let mut span = Vec::new();
        put_bytes(&mut span, field::TRACE_ID, &trace);
        put_bytes(&mut span, field::SPAN_ID, &(self.span + 1).to_be_bytes());
        put_bytes(&mut span, field::NAME, self.name.as_bytes());
        let start = 1_700_000_000_000_000_000;
        put_fixed64(&mut span, field::START, start);
        put_fixed64(&mut span, field::END, start + self.duration_ms * 1_000_000);
        for (key, value) in &self.attributes {
            add_to_span(&mut span, key, *value);
        }
        if self.is_error {
            // `status`, whose code 2 is an error.
            put_bytes(&mut span, field::STATUS, &[0x18, 2]);
        }
        span
    }
}

/// A request with these spans.
pub(super) fn spans(specs: &[SpanSpec]) -> Arrival {
    let resource = ResourceFacts::of(&[]);
    let draft = |spec: &SpanSpec| {
        let body = spec.bytes();
        let view = SpanView::parse(&body).unwrap();
        let id = span_key(&view.trace_id, &view.span_id);
        let facts = of_span(&view, &resource);
        Draft { kind: Kind::Span, id, scope: 0, body, facts }
    };
    Arrival { scopes: vec![Scope::default()], drafts: specs.iter().map(draft).collect() }
}
