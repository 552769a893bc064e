//! The arguments of `windlass observe loadtest`.

use super::goal::Goal;
use super::{Door, Pace, Plan};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use windlass_sim::parse_span;

/// What is measured, and what it should be.
#[derive(Clone, Debug, Args)]
pub struct LoadtestArgs {
    /// The gateway that is measured
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4318")]
    pub url: String,

    /// The door that is measured
    #[arg(long, value_enum, default_value_t = Door::Rudder)]
    pub door: Door,

    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 1000.0)]
    pub rate: f64,

    /// Let requests come by chance, as independent users send them, with --rate as the mean
    #[arg(long)]
    pub poisson: bool,

    /// How long is measured
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub duration: Duration,

    /// How long requests are sent before that
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub warmup: Duration,

    /// Events of a request
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub events: usize,

    /// Bytes of an event, roughly
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub bytes: usize,

    /// Connections, which are kept open
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub connections: usize,

    /// How many users the events are of
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub users: u64,

    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub timeout: Duration,

    /// Send the next request when the last is answered, as fast as the gateway can, instead of at
    /// a rate
    #[arg(long, conflicts_with_all = ["rate", "poisson"])]
    pub closed: bool,

    /// Start a gateway with this file and measure it
    #[arg(long, value_name = "FILE", help_heading = "Comparison")]
    pub config: Option<PathBuf>,

    /// Compare it with a gateway of this file, in rounds that alternate
    #[arg(long, value_name = "FILE", requires = "config", help_heading = "Comparison")]
    pub against: Option<PathBuf>,

    /// How often each is measured [default: 5 for a comparison, else 1]
    #[arg(long, value_name = "N", help_heading = "Comparison",
          value_parser = clap::value_parser!(u16).range(1..=100))]
    pub rounds: Option<u16>,

    /// Fail unless this holds, such as p95=10ms, p99.9=1s, errors=1% or rate=5000
    #[arg(long = "goal", value_name = "GOAL")]
    pub goals: Vec<Goal>,

    /// The project's key: PUBLIC:SECRET, or a write key
    #[arg(long, value_name = "KEY", env = "OBSERVE_LOADTEST_KEY", hide_env_values = true)]
    pub key: Option<String>,
}

impl LoadtestArgs {
    /// The plan of one round.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let pace = match (self.closed, self.poisson) {
            (true, _) => Pace::Closed,
            (false, true) => Pace::Poisson(self.rate),
            (false, false) => Pace::Fixed(self.rate),
        };
        Plan {
            url: self.url.trim_end_matches('/').to_owned(),
            door: self.door,
            pace,
            duration: self.duration,
            warmup: self.warmup,
            events: self.events,
            bytes: self.bytes,
            connections: self.connections,
            users: self.users,
            key: self.key.clone(),
            timeout: self.timeout,
        }
    }

    /// How often each gateway is measured.
    #[must_use]
    pub fn rounds(&self) -> usize {
        let default = if self.against.is_some() { 5 } else { 1 };
        self.rounds.map_or(default, usize::from)
    }
}

fn time(text: &str) -> Result<Duration, String> {
    parse_span(text).map_err(|error| error.to_string())
}
