//! The gate and the retry loop against a small server of our own, in virtual time. The server
//! keeps a strict sliding log: a request is counted at some instant between its sending and its
//! answer, and refused if any span that ends there already holds the limit.

mod outage;
mod patience;
mod waiting;

use super::*;
use crate::clock::Clock;
use crate::event::Event;
use crate::failure::{Failure, Kind};
use crate::job::Context;
use crate::runner::stop::Stop;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// The operation of most tests: idempotent, and paying every window.
const SEND: usize = 0;
/// The same, but not to be sent twice.
const INSERT: usize = 1;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn spec(windows: &[&str]) -> Spec {
    let window = |text: &&str| {
        let quota = (*text != "unlimited").then(|| text.parse().unwrap());
        WindowSpec { name: (*text).to_owned(), quota }
    };
    let all: Vec<usize> = (0..windows.len()).collect();
    Spec {
        name: "test",
        windows: windows.iter().map(window).collect(),
        operations: vec![
            OperationSpec::new("send", &all),
            OperationSpec { idempotent: false, ..OperationSpec::new("insert", &all) },
        ],
        concurrency: ConcurrencySpec::Fixed(1000),
        rate: None,
        smooth: false,
        timeout: secs(30),
        retries: 5,
        backoff: Backoff::default(),
        deadline: secs(600),
        seed: 7,
    }
}

/// A remote with what a call to it needs.
struct Rig {
    remote: Arc<Remote>,
    context: Context,
    signals: mpsc::Receiver<Event>,
}

impl Rig {
    fn new(spec: Spec) -> Self {
        let clock = Clock::start();
        let (sender, signals) = mpsc::channel(100_000);
        let context = Context { clock, stop: Stop::default(), signals: sender };
        Self { remote: Arc::new(Remote::new(clock, spec)), context, signals }
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.signals.try_recv().ok()).collect()
    }

    /// A call in a task of its own.
    fn start<T, A, F>(&self, operation: usize, attempt: A) -> Calling<T>
    where
        T: Send + 'static,
        A: FnMut(Attempt) -> F + Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let (remote, context) = (Arc::clone(&self.remote), self.context.clone());
        tokio::spawn(async move { remote.call(&context, operation, false, attempt).await })
    }
}

type Calling<T> = tokio::task::JoinHandle<Result<Answer<T>, Failure>>;

/// Lets everything run that can run at this instant.
async fn settle() {
    sleep(Duration::from_nanos(1)).await;
    sleep(ms(1)).await;
}

fn unavailable() -> Failure {
    Failure::new(Kind::Unavailable, "status 503")
}

fn throttled(wait: Option<Duration>) -> Failure {
    Failure { wait, ..Failure::new(Kind::Throttled, "status 429") }
}

#[derive(Clone)]
struct Server {
    state: Arc<Mutex<Strict>>,
}

struct Strict {
    limits: Vec<(usize, Duration, VecDeque<Instant>)>,
    chance: fastrand::Rng,
    latency_us: RangeInclusive<u64>,
    counted: u64,
    refused: u64,
}

impl Server {
    /// A server with these quotas. An answer takes `latency`, split at random around the instant
    /// at which the request is counted.
    fn new(quotas: &[&str], latency: RangeInclusive<Duration>, seed: u64) -> Self {
        let limit = |text: &&str| {
            let quota: Quota = text.parse().unwrap();
            (quota.limit as usize, quota.span, VecDeque::new())
        };
        let micros = |duration: &Duration| duration.as_micros() as u64;
        let strict = Strict {
            limits: quotas.iter().map(limit).collect(),
            chance: fastrand::Rng::with_seed(seed),
            latency_us: micros(latency.start())..=micros(latency.end()),
            counted: 0,
            refused: 0,
        };
        Self { state: Arc::new(Mutex::new(strict)) }
    }

    async fn request(&self, limits: &[usize]) -> Result<(), Failure> {
        let (before, after) = {
            let strict = &mut *self.state.lock().unwrap();
            let latency = strict.chance.u64(strict.latency_us.clone());
            let before = strict.chance.u64(0..=latency);
            (before, latency - before)
        };
        sleep(Duration::from_micros(before)).await;
        let answer = self.state.lock().unwrap().count(limits);
        sleep(Duration::from_micros(after)).await;
        answer
    }

    fn counted(&self) -> u64 {
        self.state.lock().unwrap().counted
    }

    fn refused(&self) -> u64 {
        self.state.lock().unwrap().refused
    }
}

impl Strict {
    /// A refused request counts, too: the strictest of servers do that.
    fn count(&mut self, limits: &[usize]) -> Result<(), Failure> {
        let now = Instant::now();
        let mut full = false;
        for &index in limits {
            let (limit, span, log) = &mut self.limits[index];
            log.retain(|at| now.duration_since(*at) < *span);
            full |= log.len() >= *limit;
            log.push_back(now);
        }
        self.counted += 1;
        self.refused += u64::from(full);
        if full { Err(throttled(None)) } else { Ok(()) }
    }
}

/// Sends so many requests at once and says how long they took.
async fn send_all(rig: &Rig, server: &Server, operation: usize, requests: u64) -> Duration {
    let began = Instant::now();
    let limits = rig.remote.spec().operations[operation].windows.clone();
    let mut calls = JoinSet::new();
    for _ in 0..requests {
        let (server, limits) = (server.clone(), limits.clone());
        let (remote, context) = (Arc::clone(&rig.remote), rig.context.clone());
        calls.spawn(async move {
            remote.call(&context, operation, false, |_| server.request(&limits)).await.unwrap();
        });
    }
    calls.join_all().await;
    began.elapsed()
}

/// The main law, for one window and several, whatever the network does, and the price of it.
#[tokio::test(start_paused = true)]
async fn a_strict_server_never_refuses_and_little_time_is_lost() {
    let mixes: [&[&str]; 6] = [
        &["50/60s"],
        &["1/1s"],
        &["7/250ms"],
        &["6/1s", "40/10s"],
        &["40/10s", "6/1s"],
        &["100/20s", "300/2m", "20/1s"],
    ];
    for (index, windows) in mixes.into_iter().enumerate() {
        for (slowest, smooth) in [(ms(1), false), (ms(80), false), (ms(900), false), (ms(80), true)]
        {
            let mut rig = Rig::new(Spec { smooth, ..spec(windows) });
            let server = Server::new(windows, slowest / 4..=slowest, index as u64);
            let quotas: Vec<Quota> = windows.iter().map(|text| text.parse().unwrap()).collect();
            let requests = 6 * u64::from(quotas.iter().map(|quota| quota.limit).max().unwrap());
            let took = send_all(&rig, &server, SEND, requests).await.as_secs_f64();
            let what = format!("{windows:?} {slowest:?} smooth: {smooth}");
            assert_eq!((server.counted(), server.refused()), (requests, 0), "{what}");
            assert_eq!(rig.events(), [], "{what}");
            let rounds = quotas.iter().map(|quota| {
                let rounds = requests as f64 / f64::from(quota.limit);
                rounds * (quota.span + slowest).as_secs_f64()
            });
            let bound = rounds.fold(0.0, f64::max) * 1.06;
            assert!(took <= bound, "{what}: {took} s is more than {bound} s");
        }
    }
}

/// Operations with a window in common and one of their own, side by side.
#[tokio::test(start_paused = true)]
async fn operations_share_a_window_and_keep_their_own() {
    let windows = ["30/10s", "20/10s", "5/1s"];
    let mut shared = spec(&windows);
    shared.operations[SEND].windows = vec![0, 1];
    shared.operations[INSERT].windows = vec![0, 2];
    let rig = Rig::new(shared);
    let server = Server::new(&windows, ms(5)..=ms(400), 3);
    let (first, second) =
        tokio::join!(send_all(&rig, &server, SEND, 100), send_all(&rig, &server, INSERT, 100));
    assert_eq!((server.counted(), server.refused()), (200, 0));
    let bound = 200.0 / 30.0 * 10.4 * 1.06;
    assert!(first.max(second).as_secs_f64() <= bound, "{first:?} {second:?}");
}

#[tokio::test(start_paused = true)]
async fn an_unlimited_window_limits_nothing_and_the_wire_does() {
    let mut wide = spec(&["unlimited"]);
    wide.concurrency = ConcurrencySpec::Fixed(4);
    assert_eq!(wide.rate_of(SEND), None);
    let rig = Rig::new(wide);
    let server = Server::new(&["1000/1s"], ms(100)..=ms(100), 1);
    let took = send_all(&rig, &server, SEND, 40).await;
    assert!(took >= secs(1) && took < ms(1060), "{took:?}");
    assert_eq!(rig.remote.meter().in_flight, 0);
}

/// What the operator is told before a run is what it then takes.
#[tokio::test(start_paused = true)]
async fn the_estimate_is_within_6_percent_of_the_run() {
    type Case<'a> = (&'a [&'a str], ConcurrencySpec, Option<f64>, Duration, u64);
    let wire = ConcurrencySpec::Fixed;
    let cases: [Case<'_>; 9] = [
        (&["50/60s"], wire(100), None, ms(200), 1000),
        (&["50/60s"], wire(5), None, secs(2), 1000),
        (&["1200/5m"], wire(200), None, ms(80), 10_000),
        (&["50/1s", "500/60s"], wire(200), None, ms(150), 2000),
        (&["1000/1s"], wire(10), None, ms(100), 2000),
        (&["unlimited"], wire(8), None, ms(250), 500),
        (&["50/1s"], wire(100), Some(10.0), ms(10), 500),
        (&["50/1s"], wire(100), Some(10.0), ms(300), 500),
        (&["unlimited"], wire(100), Some(2.5), ms(50), 200),
    ];
    for (windows, concurrency, rate, round_trip, requests) in cases {
        let rig = Rig::new(Spec { concurrency, rate, ..spec(windows) });
        let server = Server::new(&["100000/1s"; 2], round_trip..=round_trip, 1);
        let took = send_all(&rig, &server, SEND, requests).await.as_secs_f64();
        let estimate = rig.remote.spec().time_for(SEND, requests, round_trip).as_secs_f64();
        let off = (took - estimate) / took;
        assert!(
            off.abs() <= 0.06,
            "{windows:?} {rate:?} {round_trip:?}: {estimate} s, took {took} s"
        );
    }
    assert_eq!(spec(&["1/1s"]).time_for(SEND, 0, secs(1)), Duration::ZERO);
}

/// The next page of a list gets its place although others wait for one in a long queue.
#[tokio::test(start_paused = true)]
async fn a_place_is_kept_for_what_leads() {
    let clock = Clock::start();
    let mut spec = spec(&[]);
    spec.concurrency = ConcurrencySpec::Fixed(2);
    spec.operations.push(OperationSpec { leads: true, ..OperationSpec::new("page", &[]) });
    let page = spec.operations.len() - 1;
    let gate = Gate::new(clock, &spec);
    let stop = Stop::default();
    let lead = gate.lead();
    let first = gate.admit(0, 1, &stop).await.expect("there is room");
    let second = tokio::time::timeout(Duration::from_secs(1), gate.admit(0, 1, &stop)).await;
    assert!(second.is_err(), "the other place is kept");
    let leading = gate.admit(page, 1, &stop).await.expect("its place was kept");
    assert_eq!(gate.meter().in_flight, 2);
    drop((first, leading));
    let again = gate.admit(0, 1, &stop).await.expect("one place is free");
    drop(lead);
    let both = tokio::time::timeout(Duration::from_secs(1), gate.admit(0, 1, &stop)).await;
    assert!(both.is_ok(), "nothing is kept any more");
    drop(again);
}
