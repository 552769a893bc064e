//! The network and the front door around a vendor's world.
//!
//! Owns the order in which one request meets delay, fault, quota, data and ledger. All of it but
//! the delays happens under one lock at one instant, so that the ledger and the windows agree to
//! the microsecond, whatever number of threads call.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::faults::{Fault, FaultOptions, Faults};
use crate::latency::{Delays, LatencyOptions};
use crate::ledger::{Ledger, Note};
use crate::quota::Quotas;
use crate::span::micros;
use crate::{Micros, Reset, Simulator, control};

/// What every simulator can be told, as flags.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub struct ChassisOptions {
    /// Seed of all randomness: the same seed gives the same data, delays and faults
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Keep only counters of the requests, no row for each
    #[arg(long)]
    pub counters_only: bool,
    /// What the simulator's calendar says at its start, such as 2026-01-31T00:00:00Z; without it,
    /// the real time
    #[arg(long, value_name = "TIME")]
    pub start_at: Option<Timestamp>,
    /// The delays of the network.
    #[command(flatten)]
    pub latency: LatencyOptions,
    /// The faults of the network and of the remote.
    #[command(flatten)]
    pub faults: FaultOptions,
}

/// How a request found the remote.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When it arrived.
    pub at: Micros,
    /// The same instant in the calendar.
    pub wall: Timestamp,
    /// The rest of the period in which the remote refuses everything with 429, if there is one.
    pub storm: Option<Duration>,
    /// True when no key is valid any more.
    pub revoked: bool,
}

/// The reply of a world to one request.
#[derive(Debug)]
pub struct Reply {
    /// What the client gets.
    pub response: Response<Bytes>,
    /// Whether the request changed anything.
    pub effect: bool,
    /// How many items the request's body named, for the ledger.
    pub items: u32,
}

impl Reply {
    /// A reply to a request that changed nothing.
    #[must_use]
    pub fn unchanged(response: Response<Bytes>) -> Self {
        Self { response, effect: false, items: 0 }
    }

    /// A reply to a request that changed something.
    #[must_use]
    pub fn changed(response: Response<Bytes>) -> Self {
        Self { response, effect: true, items: 0 }
    }

    /// The same reply to a request whose body named this many items.
    #[must_use]
    pub fn with_items(self, items: usize) -> Self {
        Self { items: u32::try_from(items).unwrap_or(u32::MAX), ..self }
    }
}

/// A vendor's data and rules. Called under a lock, one request at a time; it must not wait.
pub trait World: Send + 'static {
    /// The header that carries a different value on every reply, if the vendor has one.
    const REQUEST_ID: Option<HeaderName> = None;

    /// The value of that header on the reply with this number.
    #[must_use]
    fn request_id(number: u64) -> HeaderValue {
        let text = format!("req_{number:016x}");
        HeaderValue::from_str(&text).expect("hexadecimal digits are a header value")
    }

    /// Told once, before the first request: the calendar's instant of the start.
    fn begin(&mut self, _start: Timestamp) {}

    /// The credential of a request, or the empty text.
    fn key<'a>(&self, request: &'a Request<Bytes>) -> &'a str;

    /// Answers one request at the instant of its arrival. The world asks `quotas` for admission,
    /// since only it knows which rules apply and what its 429 looks like.
    fn answer(&mut self, request: &Request<Bytes>, arrival: Arrival, quotas: &mut Quotas) -> Reply;

    /// Whether the windows of a rule are kept for each key, or one for all of them.
    fn is_kept_for_each_key(&self, rule: usize) -> bool;

    /// What remains, as the JSON of `/_sim/remaining`.
    fn remaining(&self) -> serde_json::Value;

    /// The world's part of `/_sim/summary`.
    fn summary(&self) -> serde_json::Map<String, serde_json::Value>;
}

/// A world behind a simulated network.
#[derive(Debug)]
pub struct Chassis<W> {
    start: Instant,
    epoch: Timestamp,
    latency: LatencyOptions,
    ledger: Ledger,
    core: Mutex<Core<W>>,
}

#[derive(Debug)]
struct Core<W> {
    world: W,
    quotas: Quotas,
    faults: Faults,
    rng: Rng,
    last: Micros,
    number: u64,
}

/// What one request meets at the remote: its reply, and how much later than usual it comes.
type Met = (Result<Response<Bytes>, Reset>, Duration);

impl<W: World> Chassis<W> {
    /// Starts the clock. To be called inside the tokio runtime when its time is paused.
    #[must_use]
    pub fn new(options: ChassisOptions, quotas: Quotas, mut world: W) -> Self {
        let epoch = options.start_at.unwrap_or_else(Timestamp::now);
        world.begin(epoch);
        Self {
            start: Instant::now(),
            epoch,
            latency: options.latency,
            ledger: Ledger::new(options.counters_only),
            core: Mutex::new(Core {
                world,
                quotas,
                faults: Faults::new(options.faults),
                rng: Rng::with_seed(options.seed),
                last: 0,
                number: 0,
            }),
        }
    }

    /// Every request so far.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The instant of now, on the simulator's clock and in its calendar.
    #[must_use]
    pub fn now(&self) -> (Micros, Timestamp) {
        let at = micros(self.start.elapsed());
        (at, self.epoch + Duration::from_micros(at))
    }

    /// Reads or changes the world between two requests.
    pub fn with_world<R>(&self, act: impl FnOnce(&mut W) -> R) -> R {
        act(&mut self.core().world)
    }

    /// The next requests meet exactly these faults, in order, before any rate is looked at.
    pub fn force(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.core().faults.force(faults);
    }

    /// No key is valid from now on.
    pub fn revoke(&self) {
        self.core().faults.revoke();
    }

    /// The rules of the remote with their index.
    #[must_use]
    pub fn rules(&self) -> Vec<crate::Rule> {
        self.core().quotas.rules().to_vec()
    }

    fn core(&self) -> MutexGuard<'_, Core<W>> {
        self.core.lock().expect("a world does not panic")
    }

    fn delays(&self) -> Delays {
        if self.latency.is_zero() {
            return Delays::default();
        }
        self.latency.draw(&mut self.core().rng)
    }

    fn meet(&self, request: &Request<Bytes>) -> Met {
        let mut guard = self.core();
        let core = &mut *guard;
        let at = micros(self.start.elapsed()).max(core.last);
        core.last = at;
        core.number += 1;
        let fault = core.faults.draw(at, request.method(), &mut core.rng);
        let (reply, late) = self.decide(core, request, at, fault);
        let (rules, counted) = core.quotas.take_marks();
        let cut = matches!(fault, Some(Fault::ResetBefore | Fault::ResetAfter));
        let status = (!cut).then_some(reply.response.status().as_u16());
        self.ledger.record(Note {
            at,
            method: request.method(),
            path: request.uri().path_and_query().map_or("/", |path| path.as_str()),
            key: core.world.key(request),
            status,
            effect: reply.effect,
            items: reply.items,
            rules,
            counted,
        });
        let mut response = reply.response;
        if let Some(name) = W::REQUEST_ID {
            response.headers_mut().insert(name, W::request_id(core.number));
        }
        (if cut { Err(Reset) } else { Ok(response) }, late)
    }

    fn decide(
        &self,
        core: &mut Core<W>,
        request: &Request<Bytes>,
        at: Micros,
        fault: Option<Fault>,
    ) -> (Reply, Duration) {
        match fault {
            Some(Fault::ResetBefore) => return (Reply::unchanged(page(503)), Duration::ZERO),
            Some(Fault::Error(status)) => return (Reply::unchanged(page(status)), Duration::ZERO),
            _ => {}
        }
        let arrival = Arrival {
            at,
            wall: self.epoch + Duration::from_micros(at),
            storm: core.faults.refusal(at),
            revoked: core.faults.is_revoked(),
        };
        let mut reply = core.world.answer(request, arrival, &mut core.quotas);
        match fault {
            Some(Fault::Slow(late)) => (reply, late),
            Some(Fault::Truncate) => {
                let half = reply.response.body().len() / 2;
                reply.response.body_mut().truncate(half);
                (reply, Duration::ZERO)
            }
            Some(Fault::CutBody) => {
                let whole = reply.response.body().len();
                reply.response.headers_mut().insert(CONTENT_LENGTH, whole.into());
                reply.response.body_mut().truncate(whole / 2);
                (reply, Duration::ZERO)
            }
            _ => (reply, Duration::ZERO),
        }
    }
}

impl<W: World> Simulator for Chassis<W> {
    async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Reset> {
        let delays = self.delays();
        if !delays.up.is_zero() {
            tokio::time::sleep(delays.up).await;
        }
        let (met, late) = self.meet(&request);
        let down = delays.down + late;
        if !down.is_zero() {
            tokio::time::sleep(down).await;
        }
        met
    }

    fn control(&self, request: &Request<Bytes>) -> Response<Bytes> {
        control::answer(self, request)
    }
}

/// The page of a proxy in front of the remote.
fn page(status: u16) -> Response<Bytes> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = format!("<html><head><title>{status}</title></head><body>{status}</body></html>\n");
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}
