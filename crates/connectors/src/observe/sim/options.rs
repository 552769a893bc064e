//! Every switch of the simulators of Observe's destinations, which are also the flags of
//! `windlass sim observe`.

use std::str::FromStr;
use std::time::Duration;

use windlass_sim::{ChassisOptions, ServeOptions, WindowKind, parse_rate, parse_span};

use super::load::LoadOptions;
use super::outage::Outage;

/// How Langfuse, RudderStack and the OTLP receiver behave. The default is faithful to what their
/// own servers do in a fresh installation of one's own, with no limits of rate.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct Options {
    /// The public key of the one Langfuse project
    #[arg(long, value_name = "KEY", default_value = "pk-lf-simulated")]
    pub langfuse_public_key: String,
    /// The secret key of the one Langfuse project
    #[arg(long, value_name = "KEY", default_value = "sk-lf-simulated")]
    pub langfuse_secret_key: String,
    /// The write key of the one RudderStack source
    #[arg(long, value_name = "KEY", default_value = "simulated-write-key")]
    pub rudder_write_key: String,
    /// The Authorization header that the OTLP receiver wants; without it, it takes everybody
    #[arg(long, value_name = "HEADER")]
    pub otlp_authorization: Option<String>,
    /// Accept any key that is not empty
    #[arg(long)]
    pub any_key: bool,
    /// Langfuse's limits: none, hobby, pro, or a number of ingestion requests a minute. One request
    /// less than the number passes, as in the vendor's own limiter
    #[arg(long, value_name = "LIMIT", default_value = "none")]
    pub langfuse_rate: LangfuseRate,
    /// How the windows of Langfuse's limits look at the past
    #[arg(long, value_enum, default_value_t = WindowKind::Fixed)]
    pub windows: WindowKind,
    /// How long after its arrival an observation is seen by readers of Langfuse
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "0")]
    pub visible_after: Duration,
    /// How much later still when the ingestion version is missing or below 4
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "10m")]
    pub dual_write_lag: Duration,
    /// The largest body, as sent, that the proxy in front of Langfuse lets through, in bytes
    #[arg(long, value_name = "BYTES")]
    pub body_max: Option<usize>,
    /// Langfuse refuses trace and observation events of the legacy ingestion, as version 4 does
    #[arg(long)]
    pub events_only: bool,
    /// Langfuse's key may post scores alone
    #[arg(long)]
    pub scores_only: bool,
    /// Langfuse answers 403: the usage threshold is exceeded
    #[arg(long)]
    pub suspended: bool,
    /// RudderStack takes this many events in 60 seconds, whole batches only; without it, any
    #[arg(long, value_name = "EVENTS")]
    pub rudder_rate: Option<u32>,
    /// The largest request that RudderStack takes, unpacked, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4_000 << 10)]
    pub rudder_body_max: usize,
    /// How long RudderStack takes to commit a batch before it answers 200
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "0")]
    pub commit: Duration,
    /// RudderStack shows a message once, however often its id came within an hour
    #[arg(long)]
    pub dedup: bool,
    /// RudderStack's source is disabled: 404
    #[arg(long)]
    pub source_disabled: bool,
    /// The largest body that the OTLP receiver takes, unpacked, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20)]
    pub otlp_body_max: usize,
    /// The OTLP receiver refuses spans of such a name in a partial success; `*` is any text, and
    /// the flag may be repeated
    #[arg(long, value_name = "GLOB")]
    pub reject_name: Vec<String>,
    /// A request with a span or message of this name is answered 400, by all three; may be repeated
    #[arg(long, value_name = "NAME")]
    pub poison: Vec<String>,
    /// Share of requests that the OTLP receiver refuses for now
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub refuse_rate: f64,
    /// The statuses of those refusals; may be repeated
    #[arg(long, value_name = "STATUS", default_values_t = RETRYABLE)]
    pub refuse_status: Vec<u16>,
    /// What the Retry-After header of the OTLP receiver's refusals holds
    #[arg(long, value_enum, default_value_t)]
    pub retry_after: RetryAfter,
    /// The time that refusals ask to wait, where no window says it
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "1s")]
    pub retry_after_wait: Duration,
    /// A period of trouble, like `rudder=503@10s..1h`, with down, hang, slow, slow:5s or a status;
    /// may be repeated
    #[arg(long, value_name = "REMOTE=MODE@FROM..TO")]
    pub outage: Vec<Outage>,
    /// Keep inputs, outputs, metadata, attributes and messages, not only what counts
    #[arg(long)]
    pub bodies: bool,
    /// The answering times under load.
    #[command(flatten)]
    pub load: LoadOptions,
    /// The options of every simulator.
    #[command(flatten)]
    pub chassis: ChassisOptions,
    /// How its port behaves, when it is served on one.
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// The statuses after which OTLP lets a client try again.
const RETRYABLE: [u16; 4] = [429, 502, 503, 504];

impl Default for Options {
    fn default() -> Self {
        Self {
            langfuse_public_key: "pk-lf-simulated".to_owned(),
            langfuse_secret_key: "sk-lf-simulated".to_owned(),
            rudder_write_key: "simulated-write-key".to_owned(),
            otlp_authorization: None,
            any_key: false,
            langfuse_rate: LangfuseRate::default(),
            windows: WindowKind::Fixed,
            visible_after: Duration::ZERO,
            dual_write_lag: Duration::from_secs(600),
            body_max: None,
            events_only: false,
            scores_only: false,
            suspended: false,
            rudder_rate: None,
            rudder_body_max: 4_000 << 10,
            commit: Duration::ZERO,
            dedup: false,
            source_disabled: false,
            otlp_body_max: 16 << 20,
            reject_name: Vec::new(),
            poison: Vec::new(),
            refuse_rate: 0.0,
            refuse_status: RETRYABLE.to_vec(),
            retry_after: RetryAfter::default(),
            retry_after_wait: Duration::from_secs(1),
            outage: Vec::new(),
            bodies: false,
            load: LoadOptions::default(),
            chassis: ChassisOptions::default(),
            serve: ServeOptions::default(),
        }
    }
}

impl Options {
    /// Refuses what contradicts itself.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.refuse_status.iter().any(|status| !(400..=599).contains(status)) {
            return Err("--refuse-status is between 400 and 599".to_owned());
        }
        if self.rudder_rate == Some(0) {
            return Err("--rudder-rate is at least 1".to_owned());
        }
        if self.langfuse_public_key.contains(':') {
            return Err("--langfuse-public-key can't contain a colon".to_owned());
        }
        Ok(())
    }
}

/// The requests in 60 seconds that Langfuse states, by kind of route; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LangfuseRate {
    /// OTLP and scores.
    pub ingestion: Option<u32>,
    /// The legacy ingestion.
    pub legacy: Option<u32>,
    /// Reading.
    pub api: Option<u32>,
}

impl FromStr for LangfuseRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let of = |ingestion, legacy, api| Self {
            ingestion: Some(ingestion),
            legacy: Some(legacy),
            api: Some(api),
        };
        match text {
            "none" => Ok(Self::default()),
            "hobby" => Ok(of(1_000, 100, 30)),
            "pro" => Ok(of(20_000, 400, 1_000)),
            number => match number.parse() {
                Ok(ingestion) if ingestion > 0 => {
                    Ok(Self { ingestion: Some(ingestion), ..Self::default() })
                }
                _ => Err(format!("`{text}` is none of none, hobby, pro or a number above 0")),
            },
        }
    }
}

/// What the Retry-After header of the OTLP receiver's refusals holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum RetryAfter {
    /// Whole seconds, rounded up.
    #[default]
    Seconds,
    /// A date, rounded up to the next second; the reply then carries a Date header of the
    /// simulator's own clock.
    HttpDate,
    /// The header is missing.
    Absent,
}
