//! Measures a gateway, and says which of two is faster.
//!
//! The measure is an open loop: requests are due at fixed moments whether or not earlier ones were
//! answered, and a latency counts from that moment. A gateway that stalls for half a second
//! therefore shows half a second in all requests that were due meanwhile, as its users would see
//! it; a loop that waits for answers would show it in a few ("coordinated omission").
//!
//! - `args`: the command line, `bodies`: what is sent, `schedule`: when, `connection`: over what
//! - `report`: what was seen, `goal`: what it should have been
//! - `compare`: two gateways in alternating rounds, `side`: how they are started
//!
//! It shares no code with the gateway that it judges.

pub mod args;
mod bodies;
pub mod compare;
mod connection;
pub mod goal;
pub mod report;
mod schedule;
pub mod side;
#[cfg(test)]
mod tests;

pub use args::LoadtestArgs;
pub use compare::{Verdict, compare};
pub use goal::GoalResult;
pub use report::Report;
pub use side::{Running, Side, alternate};

use bodies::Bodies;
use connection::{Run, Tally};
use schedule::Schedule;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

/// Which door is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Door {
    /// Events of RudderStack, `POST /v1/batch`.
    #[default]
    Rudder,
    /// Spans of OTLP in protobuf, `POST /v1/traces`.
    Otlp,
    /// Events of old clients of Langfuse, `POST /api/public/ingestion`.
    Legacy,
}

impl Door {
    const fn path(self) -> &'static str {
        match self {
            Self::Rudder => "/v1/batch",
            Self::Otlp => "/v1/traces",
            Self::Legacy => "/api/public/ingestion",
        }
    }

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rudder => "rudder",
            Self::Otlp => "otlp",
            Self::Legacy => "legacy",
        }
    }
}

/// When requests are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many a second, equally far apart.
    Fixed(f64),
    /// So many a second on average, as independent users send them.
    Poisson(f64),
    /// Closed loop: every connection sends the next when it has its answer.
    Closed,
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The gateway, such as `http://127.0.0.1:4318`.
    pub url: String,
    /// The door.
    pub door: Door,
    /// When requests are due.
    pub pace: Pace,
    /// How long is measured.
    pub duration: Duration,
    /// How long requests are sent before that.
    pub warmup: Duration,
    /// Events of a request.
    pub events: usize,
    /// Bytes of an event, roughly; at least what its fields take.
    pub bytes: usize,
    /// Connections, which are kept open.
    pub connections: usize,
    /// How many users the events are of.
    pub users: u64,
    /// `PUBLIC:SECRET`, or a write key.
    pub key: Option<String>,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The plan can't be done.
    #[error("{0}")]
    Plan(String),
    /// The gateway does not start, is not found, or the system gives no threads.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Requests a second that one thread sends without being late itself.
const THREAD_RATE: f64 = 20_000.0;

/// The most requests of a plan, which bounds what waits when a gateway does not keep up: 16 bytes
/// each.
const REQUESTS_MAX: f64 = 50_000_000.0;

/// Measures a gateway; blocks until it is done, a little longer than warm-up and duration.
///
/// # Errors
/// When the plan can't be done. A gateway that is away is no error but a report of errors.
pub fn measure(plan: &Plan) -> Result<Report, LoadError> {
    check(plan)?;
    let (host, address) = resolve(&plan.url)?;
    let bodies = Bodies::new(plan.door, plan.events, plan.bytes, plan.users, fastrand::u64(..));
    let schedule = Schedule::new(plan, Instant::now() + LEAD);
    let run = Run::new(plan, &schedule, &bodies, host, address);
    let threads = threads(plan).min(plan.connections);
    let mut total = Tally::new()?;
    let late = std::thread::scope(|scope| {
        let pacer = scope.spawn(|| schedule.release());
        let begin = |number: usize| {
            let share =
                plan.connections / threads + usize::from(number < plan.connections % threads);
            let run = &run;
            scope.spawn(move || connection::thread(run, share))
        };
        let all: Vec<_> = (0..threads).map(begin).collect();
        let mut failed = None;
        for thread in all {
            match thread.join() {
                Ok(Ok(tally)) => total.add(&tally),
                Ok(Err(error)) => failed = Some(error),
                Err(_) => failed = Some(io::Error::other("a thread of the load panicked")),
            }
        }
        // Without a panic of its own, the pacer ends with its schedule.
        let paced = pacer.join();
        match (failed, paced) {
            (Some(error), _) => Err(error),
            (None, Err(_)) => Err(io::Error::other("the pacer panicked")),
            (None, Ok(())) => Ok(()),
        }
    });
    late?;
    total.add_unanswered(&schedule);
    Ok(Report::new(plan, &total, &schedule))
}

/// How long after the start the first request is due, so that connections stand by then.
const LEAD: Duration = Duration::from_millis(50);

fn check(plan: &Plan) -> Result<(), LoadError> {
    let refuse = |what: &str| Err(LoadError::Plan(what.to_owned()));
    if plan.events == 0 || plan.connections == 0 || plan.users == 0 {
        return refuse("events, connections and users are at least 1");
    }
    if plan.duration.is_zero() {
        return refuse("the duration is more than 0");
    }
    if plan.events.saturating_mul(plan.bytes.max(500)) > 64 << 20 {
        return refuse("a request has at most 64 MiB");
    }
    if let Pace::Fixed(rate) | Pace::Poisson(rate) = plan.pace {
        if !(rate.is_finite() && rate > 0.0) {
            return refuse("the rate is a number above 0");
        }
        if rate * (plan.duration + plan.warmup).as_secs_f64() > REQUESTS_MAX {
            return refuse("a measurement has at most 50 million requests");
        }
    }
    Ok(())
}

fn threads(plan: &Plan) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match plan.pace {
        // The other half of the machine is the gateway's.
        Pace::Closed => cores.div_ceil(2),
        Pace::Fixed(rate) | Pace::Poisson(rate) => {
            ((rate / THREAD_RATE).ceil() as usize).clamp(1, cores)
        }
    }
}

/// The host as a request names it, and its address.
fn resolve(url: &str) -> Result<(String, SocketAddr), LoadError> {
    let refused = || LoadError::Plan(format!("`{url}` is no http:// address"));
    let uri: http::Uri = url.parse().map_err(|_| refused())?;
    let authority = uri.authority().ok_or_else(refused)?;
    if uri.scheme_str() != Some("http") || uri.path() != "/" {
        return Err(refused());
    }
    let port = authority.port_u16().unwrap_or(80);
    let host = authority.host().trim_matches(['[', ']']);
    let address = (host, port).to_socket_addrs()?.next().ok_or_else(refused)?;
    Ok((authority.as_str().to_owned(), address))
}

/// What a command of the load test found.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outcome {
    /// The rounds of the gateway, or of the one that `--config` names.
    pub a: Vec<Report>,
    /// The rounds of the one that `--against` names.
    pub b: Vec<Report>,
    /// Which is faster, where there are two.
    pub verdict: Option<Verdict>,
    /// Whether goals were met, by the last gateway named.
    pub goals: Vec<GoalResult>,
}

impl Outcome {
    /// Whether every goal was met.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.goals.iter().all(|goal| goal.is_met)
    }

    /// All of it for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (name, reports) in [("A", &self.a), ("B", &self.b)] {
            for (number, report) in reports.iter().enumerate() {
                if self.verdict.is_some() || self.a.len() > 1 {
                    out.push_str(&format!("{name}, round {}\n", number + 1));
                }
                out.push_str(&report.text());
                out.push('\n');
            }
        }
        if let Some(verdict) = &self.verdict {
            out.push_str(&verdict.text());
        }
        for goal in &self.goals {
            out.push_str(&goal.text());
        }
        out
    }
}

/// Does what the command line says; blocks. `start` starts a gateway with a file, where two are
/// compared.
///
/// # Errors
/// When the plan can't be done or a gateway does not start.
pub fn execute(
    args: &LoadtestArgs,
    mut start: impl FnMut(Side, &Path) -> io::Result<Running>,
) -> Result<Outcome, LoadError> {
    let plan = args.plan();
    let rounds = args.rounds();
    let (a, b) = match (&args.config, &args.against) {
        (Some(first), Some(second)) => alternate(&plan, rounds, |side| match side {
            Side::A => start(side, first),
            Side::B => start(side, second),
        })?,
        (Some(only), None) => {
            let mut round = || {
                let running = start(Side::A, only)?;
                measure(&Plan { url: running.url.clone(), ..plan.clone() })
            };
            ((0..rounds).map(|_| round()).collect::<Result<_, _>>()?, Vec::new())
        }
        _ => ((0..rounds).map(|_| measure(&plan)).collect::<Result<_, _>>()?, Vec::new()),
    };
    let verdict = (!b.is_empty()).then(|| compare(&a, &b));
    let judged = if b.is_empty() { &a } else { &b };
    let goals = args.goals.iter().map(|goal| goal.check(judged)).collect();
    Ok(Outcome { a, b, verdict, goals })
}
