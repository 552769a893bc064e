//! The connections of a run: threads with a runtime each, a task a connection, which sends what is
//! due and waits for the answer.

use super::Plan;
use super::bodies::Bodies;
use super::schedule::{Due, Schedule};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Run<'a> {
    schedule: &'a Schedule,
    bodies: &'a Bodies,
    address: SocketAddr,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    path: &'static str,
    timeout: Duration,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        plan: &Plan,
        schedule: &'a Schedule,
        bodies: &'a Bodies,
        host: String,
        address: SocketAddr,
    ) -> Self {
        let authorization = plan.key.as_ref().map(|key| {
            let pair = if key.contains(':') { key.clone() } else { format!("{key}:") };
            let basic = format!("Basic {}", BASE64_STANDARD.encode(pair));
            // Base64 has no byte that a header can't have.
            let mut value =
                HeaderValue::try_from(basic).unwrap_or(HeaderValue::from_static("Basic"));
            value.set_sensitive(true);
            value
        });
        Self {
            schedule,
            bodies,
            address,
            // A host that a URL had is one that a header can have.
            host: HeaderValue::try_from(host).unwrap_or(HeaderValue::from_static("localhost")),
            authorization,
            path: plan.door.path(),
            timeout: plan.timeout,
        }
    }

    fn request(&self, due: Due) -> Result<Request<Full<Bytes>>, http::Error> {
        let body = self.bodies.body(due.number);
        let mut request = Request::post(self.path)
            .header(header::HOST, self.host.clone())
            .header(header::CONTENT_TYPE, self.bodies.content_type());
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization.clone());
        }
        request.body(Full::new(Bytes::from(body)))
    }
}

/// What connections saw. Times are in nanoseconds.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) warmup: u64,
    pub(super) unanswered: u64,
    pub(super) statuses: BTreeMap<u16, u64>,
    pub(super) errors: BTreeMap<&'static str, u64>,
    /// From the moment a request was due.
    pub(super) latency: Histogram<u64>,
    /// From the moment it was sent.
    pub(super) service: Histogram<u64>,
    /// From due to sent, where a connection was free: what the load itself is late.
    pub(super) lateness: Histogram<u64>,
    pub(super) last_answer: Option<Instant>,
}

/// The longest time that is told apart from longer ones: ten minutes.
const LONGEST_NS: u64 = 600_000_000_000;

fn histogram() -> io::Result<Histogram<u64>> {
    Histogram::new_with_bounds(1000, LONGEST_NS, 3).map_err(io::Error::other)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Tally {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            sent: 0,
            warmup: 0,
            unanswered: 0,
            statuses: BTreeMap::new(),
            errors: BTreeMap::new(),
            latency: histogram()?,
            service: histogram()?,
            lateness: histogram()?,
            last_answer: None,
        })
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.warmup += other.warmup;
        self.unanswered += other.unanswered;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (error, count) in &other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        // All have the same bounds, for which adding does not fail.
        let _ = self.latency.add(&other.latency);
        let _ = self.service.add(&other.service);
        let _ = self.lateness.add(&other.lateness);
        self.last_answer = self.last_answer.max(other.last_answer);
    }

    /// Counts what never found a connection, with the time it waited: leaving it out would make a
    /// gateway look the better the less it answers.
    pub(super) fn add_unanswered(&mut self, schedule: &Schedule) {
        for due in schedule.unsent().into_iter().filter(|due| schedule.is_measured(*due)) {
            self.unanswered += 1;
            self.latency.saturating_record(nanoseconds(schedule.give_up - due.at));
        }
    }

    fn record(
        &mut self,
        due: Due,
        sent: Instant,
        free: Instant,
        ended: &Result<u16, &'static str>,
    ) {
        let now = Instant::now();
        self.sent += 1;
        self.latency.saturating_record(nanoseconds(now.saturating_duration_since(due.at)));
        self.service.saturating_record(nanoseconds(now.saturating_duration_since(sent)));
        if free <= due.at {
            self.lateness.saturating_record(nanoseconds(sent.saturating_duration_since(due.at)));
        }
        match ended {
            Ok(status) => *self.statuses.entry(*status).or_default() += 1,
            Err(error) => *self.errors.entry(error).or_default() += 1,
        }
        self.last_answer = Some(now);
    }
}

/// Runs so many connections until the end of the schedule.
pub(super) fn thread(run: &Run<'_>, connections: usize) -> io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tally = RefCell::new(Tally::new()?);
    let all = (0..connections).map(|_| connection(run, &tally));
    let local = LocalSet::new();
    let all = futures_util::future::join_all(all);
    local.block_on(&runtime, all);
    Ok(tally.into_inner())
}

async fn connection(run: &Run<'_>, tally: &RefCell<Tally>) {
    let mut sender = connect(run).await.ok();
    loop {
        let free = Instant::now();
        let Some(due) = run.schedule.next_due().await else { return };
        let sent = Instant::now();
        let exchange = exchange(run, &mut sender, due);
        let ended = tokio::time::timeout(run.timeout, exchange).await.unwrap_or(Err("timeout"));
        if ended.is_err() {
            sender = None;
        }
        if run.schedule.is_measured(due) {
            tally.borrow_mut().record(due, sent, free, &ended);
        } else {
            tally.borrow_mut().warmup += 1;
        }
    }
}

/// Sends a request and reads its answer to the end; its status.
async fn exchange(
    run: &Run<'_>,
    sender: &mut Option<SendRequest<Full<Bytes>>>,
    due: Due,
) -> Result<u16, &'static str> {
    let is_open = match sender {
        Some(open) => open.ready().await.is_ok(),
        None => false,
    };
    if !is_open {
        *sender = Some(connect(run).await?);
    }
    let Some(open) = sender else { return Err("connect") };
    let request = run.request(due).map_err(|_| "request")?;
    let response = open.send_request(request).await.map_err(|_| "lost")?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame.map_err(|_| "lost")?;
    }
    Ok(status)
}

async fn connect(run: &Run<'_>) -> Result<SendRequest<Full<Bytes>>, &'static str> {
    let stream = TcpStream::connect(run.address).await.map_err(|_| "connect")?;
    stream.set_nodelay(true).map_err(|_| "connect")?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| "connect")?;
    tokio::task::spawn_local(connection);
    Ok(sender)
}
