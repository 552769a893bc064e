//! The three remotes behind one port, and their limits.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Map, Value, json};
use windlass_sim::{Arrival, Quotas, Reply, Rule, WindowKind, World};

use super::journal::Journal;
use super::langfuse::Langfuse;
use super::options::Options;
use super::otlp::Receiver;
use super::outage::Remote;
use super::replies::{header, json};
use super::rudder::DataPlane;

/// The status with which a remote in trouble refuses a request, told from outside the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trouble(pub u16);

/// All that is remembered.
#[derive(Debug)]
pub(super) struct ObserveWorld {
    options: Options,
    pub langfuse: Langfuse,
    pub rudder: DataPlane,
    pub otlp: Receiver,
}

impl ObserveWorld {
    pub(super) fn new(options: Options) -> Self {
        Self {
            langfuse: Langfuse::new(&options),
            rudder: DataPlane::new(&options),
            otlp: Receiver::new(&options),
            options,
        }
    }

    pub(super) fn journal(&self, remote: Remote) -> &Journal {
        match remote {
            Remote::Langfuse => &self.langfuse.journal,
            Remote::Rudder => &self.rudder.journal,
            Remote::Otlp => &self.otlp.journal,
        }
    }

    /// The totals of all remotes.
    pub(super) fn totals(&self) -> Map<String, Value> {
        let named = Remote::ALL.into_iter().map(|remote| {
            let mut totals = self.journal(remote).totals.to_json();
            match remote {
                Remote::Langfuse => {
                    totals.insert("observations".to_owned(), self.langfuse.observations().into());
                }
                Remote::Rudder => {
                    totals.insert("suppressed".to_owned(), self.rudder.suppressed.into());
                }
                Remote::Otlp => {}
            }
            (remote.name().to_owned(), Value::Object(totals))
        });
        let mut all: Map<String, Value> = named.collect();
        all.insert("scores".to_owned(), Value::Object(self.langfuse.scores.totals.to_json()));
        all
    }
}

/// The windows of Langfuse are per minute, those of RudderStack a bucket of a minute's events.
pub(super) fn quotas(options: &Options) -> Quotas {
    let minute = Duration::from_secs(60);
    let rate = &options.langfuse_rate;
    // A request is refused as soon as less than one point would remain after it.
    let less_one = |limit: Option<u32>| limit.map(|limit| limit.saturating_sub(1));
    let langfuse = [
        ("langfuse-ingestion", less_one(rate.ingestion)),
        ("langfuse-legacy-ingestion", less_one(rate.legacy)),
        ("langfuse-public-api", less_one(rate.api)),
    ];
    let mut rng = fastrand::Rng::with_seed(options.chassis.seed);
    let rule = |name, limit, kind, phase| Rule {
        name,
        limit,
        span: minute,
        kind,
        phase,
        penalty: Duration::ZERO,
    };
    let mut rules: Vec<Rule> = langfuse
        .into_iter()
        .map(|(name, limit)| rule(name, limit, options.windows, minute.mul_f64(rng.f64())))
        .collect();
    let capacity = options.rudder_rate.unwrap_or(0);
    let bucket = WindowKind::Bucket { capacity };
    rules.push(rule("rudder-events", options.rudder_rate, bucket, Duration::ZERO));
    Quotas::new(rules, 0.0)
}

impl World for ObserveWorld {
    /// The credential as it was sent: it is none of value.
    fn key<'a>(&self, request: &'a Request<Bytes>) -> &'a str {
        header(request, "authorization")
    }

    fn answer(&mut self, request: &Request<Bytes>, arrival: Arrival, quotas: &mut Quotas) -> Reply {
        let trouble = request.extensions().get::<Trouble>().map(|trouble| trouble.0);
        let options = &self.options;
        match Remote::of(request.uri().path()) {
            Some(Remote::Langfuse) => {
                self.langfuse.answer(options, request, arrival, (trouble, quotas))
            }
            Some(Remote::Rudder) => {
                self.rudder.answer(options, request, arrival, (trouble, quotas))
            }
            Some(Remote::Otlp) => self.otlp.answer(options, request, arrival, trouble),
            None => Reply::unchanged(no_such_path()),
        }
    }

    fn is_kept_for_each_key(&self, _: usize) -> bool {
        false
    }

    fn remaining(&self) -> Value {
        Value::Object(self.totals())
    }

    fn summary(&self) -> Map<String, Value> {
        self.totals()
    }
}

fn no_such_path() -> Response<Bytes> {
    json(404, &json!({"message": "Not Found"}))
}
