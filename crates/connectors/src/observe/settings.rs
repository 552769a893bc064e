//! The gateway's own file, in TOML: where it listens, whose keys it takes, where events go, and
//! what is done with them on the way. Without a file the environment says it all.
//!
//! Secrets never stand in the file: it names the environment variable or the file that has them.

mod environment;
#[cfg(test)]
mod tests;

use crate::connector::{OpenError, Secret};
use serde::{Deserialize, Deserializer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use environment::{Environment, from_environment};

/// Where a gateway listens when nothing is said: the port that OTLP/HTTP is known for.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4318);
/// How many destinations there may be: an event has one bit for each.
const DESTINATIONS_MAX: usize = 32;

/// Everything that a gateway is told when it starts.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Where the doors are.
    pub listen: SocketAddr,
    /// The folder of the queue, the dead letters and the embedded database; without it, a folder
    /// of the program's state.
    pub folder: Option<PathBuf>,
    /// What an answer means; a project may say otherwise.
    pub durability: Durability,
    /// How long a stop may take until what is on the wire is dropped. What is queued stays queued.
    #[serde(deserialize_with = "duration")]
    pub drain: Duration,
    /// Whether a bad event is answered as the real services do: RudderStack's refuses the whole
    /// batch, Langfuse's lists an error. Otherwise it is set aside and the rest is taken.
    pub strict: bool,
    /// Threads that serve the doors; without it, one for each core and at most four.
    pub threads: Option<usize>,
    /// The queue on disk.
    pub queue: Queue,
    /// Who may send. Without any, everybody on this machine may, and nobody else.
    pub projects: Vec<ProjectSettings>,
    /// Where events go.
    pub destinations: Vec<DestinationSettings>,
    /// What is hidden before anything touches the disk.
    pub masks: Vec<toml::Table>,
    /// The file of policies.
    pub policies: Option<PathBuf>,
    /// Which traces are kept.
    pub sampling: Sampling,
    /// What things cost.
    pub prices: Prices,
    /// A file of feature flags in flagd's form.
    pub flags: Option<PathBuf>,
    /// The flag that switches whether traces are taken at all, on when it is absent.
    pub tracing_flag: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: LISTEN,
            folder: None,
            durability: Durability::Acknowledged,
            drain: Duration::from_secs(25),
            strict: false,
            threads: None,
            queue: Queue::default(),
            projects: Vec::new(),
            destinations: Vec::new(),
            masks: Vec::new(),
            policies: None,
            sampling: Sampling::default(),
            prices: Prices::default(),
            flags: None,
            tracing_flag: None,
        }
    }
}

/// What the 200 of a door means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// The events are on disk, synced.
    #[default]
    Acknowledged,
    /// The events are with the system: they outlive the end of this program, and a cut of the power
    /// may lose the last second of them.
    Written,
    /// The events were taken in; a crash of the machine may lose the last second of them. A full
    /// queue drops and counts instead of making anybody wait.
    FireAndForget,
}

/// The queue on disk.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Queue {
    /// Its size on disk, at most.
    #[serde(deserialize_with = "bytes")]
    pub bytes: u64,
    /// What happens when it is full.
    pub when_full: WhenFull,
}

impl Default for Queue {
    fn default() -> Self {
        Self { bytes: 4 << 30, when_full: WhenFull::Refuse }
    }
}

/// What happens when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// Nothing more is taken in: doors answer 503 with a short Retry-After.
    Refuse,
    /// The oldest events are shed, and counted.
    DropOldest,
    /// The least important events are shed, and counted; errors and costs come last.
    DropByPriority,
}

/// Somebody who may send, with keys of their own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProjectSettings {
    /// Its name: the workspace of policies and of the database's rows.
    pub name: String,
    /// The public half of a pair as Langfuse's clients send it; it is no secret.
    pub public_key: Option<String>,
    /// The secret half, or the one key of clients that send only one.
    pub secret_key: Option<SecretRef>,
    /// The write key of RudderStack's clients.
    pub write_key: Option<SecretRef>,
    /// What an answer means to this project.
    pub durability: Option<Durability>,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretRef {
    /// In this environment variable.
    Env(String),
    /// In this file, with nothing else.
    File(PathBuf),
}

impl SecretRef {
    /// The secret itself.
    ///
    /// # Errors
    /// When the variable isn't set or the file can't be read, or nothing is in it.
    pub fn read(&self, environment: &Environment) -> Result<Secret, OpenError> {
        let (text, place) = match self {
            Self::Env(name) => (environment.get(name), format!("the variable {name}")),
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    let what = format!("can't read the secret in {}: {error}", path.display());
                    OpenError::usage(what, "the file holds the secret and nothing else")
                })?;
                (Some(text), path.display().to_string())
            }
        };
        let text = text.filter(|text| !text.trim().is_empty()).ok_or_else(|| {
            OpenError::usage(
                format!("there is no secret in {place}"),
                "set it, or name another place: { env = \"NAME\" } or { file = \"PATH\" }",
            )
        })?;
        Ok(Secret::new(&text))
    }
}

/// One place where events go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DestinationSettings {
    /// Its name in metrics, dead letters and the queue; it must not change while events wait.
    pub name: String,
    /// What it is.
    pub kind: DestinationKind,
    /// Where it is: the base URL, or `sqlite:PATH` and `postgres://...` for SQL.
    pub url: Option<String>,
    /// The environment variable with the URL, for one that has a password in it.
    pub url_from: Option<SecretRef>,
    /// The public half of Langfuse's pair.
    pub public_key: Option<String>,
    /// The secret half, RudderStack's write key, or the bearer token of an OTLP receiver.
    pub secret_key: Option<SecretRef>,
    /// The file of `jsonl`.
    pub path: Option<PathBuf>,
    /// Further headers of requests to an OTLP receiver.
    #[serde(default)]
    pub headers: std::collections::BTreeMap<String, String>,
    /// Only events for which this CEL expression holds.
    #[serde(rename = "where")]
    pub only: Option<String>,
    /// Only events of these projects.
    pub projects: Option<Vec<String>>,
    /// The flag that switches it, on when the flag is absent.
    pub flag: Option<String>,
    /// How bodies are packed.
    pub compression: Option<Compression>,
    /// Events in a batch, at most.
    pub batch_events: Option<u32>,
    /// Bytes in a batch before packing, at most.
    #[serde(default, deserialize_with = "maybe_bytes")]
    pub batch_bytes: Option<u64>,
    /// How long the first event of a batch waits for others.
    #[serde(default, deserialize_with = "maybe_duration")]
    pub linger: Option<Duration>,
    /// Requests on the wire, at most.
    pub concurrency: Option<u32>,
    /// A window of the remote's quota, such as `1000/60s`.
    pub quota: Option<String>,
    /// How long one attempt may take.
    #[serde(default, deserialize_with = "maybe_duration")]
    pub timeout: Option<Duration>,
    /// How long rows are kept, for SQL; without it, for ever.
    #[serde(default, deserialize_with = "maybe_duration")]
    pub retention: Option<Duration>,
}

/// What a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DestinationKind {
    /// Langfuse: traces by OTLP, scores by its own API.
    Langfuse,
    /// A data plane of RudderStack: product events.
    Rudderstack,
    /// A receiver of OTLP/HTTP: traces.
    Otlp,
    /// `model_cost_logs` and `event_logs`.
    Sql,
    /// JSON lines in a file: everything.
    Jsonl,
    /// Nowhere: everything is counted as delivered. For measuring.
    Blackhole,
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, the one that everybody reads.
    Gzip,
    /// zstd, for receivers that read it: a third of gzip's work.
    Zstd,
}

/// Which traces are kept. What is not kept still has its cost counted.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sampling {
    /// The share of traces that is kept whatever they are, from 0 to 1.
    pub rate: f64,
    /// The flag that sets the rate while the gateway runs: a number, or a boolean for all or none.
    pub flag: Option<String>,
    /// Traces with a span that took longer are kept.
    #[serde(deserialize_with = "maybe_duration")]
    pub keep_slower_than: Option<Duration>,
    /// Traces with a failed span are kept.
    pub keep_errors: bool,
    /// Traces that cost more US dollars are kept: decimal text.
    pub keep_above_usd: Option<String>,
    /// How long a trace that is not kept by its rate waits for such a span, from its first span.
    #[serde(deserialize_with = "duration")]
    pub decision_wait: Duration,
    /// The share of product events that is kept, by their users.
    pub messages: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            rate: 1.0,
            flag: None,
            keep_slower_than: None,
            keep_errors: true,
            keep_above_usd: None,
            decision_wait: Duration::from_secs(30),
            messages: 1.0,
        }
    }
}

/// What things cost.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Prices {
    /// A file with prices of your own.
    pub overrides: Option<PathBuf>,
    /// A newer map of LiteLLM's form, from a file or an https URL.
    pub source: Option<String>,
    /// How often the source is read again.
    #[serde(deserialize_with = "maybe_duration")]
    pub refresh: Option<Duration>,
    /// Whose cost stands where a client states one of its own.
    pub prefer: Precedence,
}

/// Whose cost stands where a client states one of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precedence {
    /// Ours where the model is known, else the client's.
    #[default]
    Ours,
    /// The client's.
    Stated,
}

/// Says what is wrong with a text that should be an address to listen on.
///
/// # Errors
/// When it is none.
pub fn check_listen(text: &str) -> Result<(), String> {
    let parsed = text.parse::<SocketAddr>();
    parsed.map(|_| ()).map_err(|_| format!("`{text}` is no address such as 127.0.0.1:4318"))
}

impl Settings {
    /// Reads the gateway's file.
    ///
    /// # Errors
    /// When it can't be read or says something that can't be.
    pub fn read(path: &Path) -> Result<Self, OpenError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let what = format!("can't read {}: {error}", path.display());
            OpenError::usage(what, "name the gateway's file: --config gateway.toml")
        })?;
        let mut settings = Self::parse(&text).map_err(|mut error| {
            error.message = format!("{}: {}", path.display(), error.message);
            error
        })?;
        settings.beside(path.parent().unwrap_or(Path::new("")));
        Ok(settings)
    }

    /// Reads the text of the gateway's file.
    ///
    /// # Errors
    /// When it says something that can't be.
    pub fn parse(text: &str) -> Result<Self, OpenError> {
        let settings: Self = toml::from_str(text).map_err(|error| {
            OpenError::usage(
                error.to_string().trim_end().to_owned(),
                "docs/guide/observe.md has a whole file",
            )
        })?;
        settings.check()?;
        Ok(settings)
    }

    /// Paths in the file are relative to the file.
    fn beside(&mut self, folder: &Path) {
        let own =
            [&mut self.folder, &mut self.policies, &mut self.flags, &mut self.prices.overrides];
        let others = self.destinations.iter_mut().map(|destination| &mut destination.path);
        for path in own.into_iter().chain(others).flatten() {
            *path = folder.join(&*path);
        }
    }

    fn check(&self) -> Result<(), OpenError> {
        if self.destinations.len() > DESTINATIONS_MAX {
            let what = format!("there are {} destinations", self.destinations.len());
            return Err(OpenError::usage(what, format!("at most {DESTINATIONS_MAX} are possible")));
        }
        unique("destination", self.destinations.iter().map(|one| one.name.as_str()))?;
        unique("project", self.projects.iter().map(|one| one.name.as_str()))?;
        for share in
            [("sampling.rate", self.sampling.rate), ("sampling.messages", self.sampling.messages)]
        {
            if !(0.0..=1.0).contains(&share.1) {
                let what = format!("{} is {}", share.0, share.1);
                return Err(OpenError::usage(what, "it is a share from 0 to 1"));
            }
        }
        self.destinations.iter().try_for_each(DestinationSettings::check)
    }
}

impl DestinationSettings {
    /// One with nothing but a name.
    #[must_use]
    pub fn new(name: &str, kind: DestinationKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            url: None,
            url_from: None,
            public_key: None,
            secret_key: None,
            path: None,
            headers: Default::default(),
            only: None,
            projects: None,
            flag: None,
            compression: None,
            batch_events: None,
            batch_bytes: None,
            linger: None,
            concurrency: None,
            quota: None,
            timeout: None,
            retention: None,
        }
    }

    fn check(&self) -> Result<(), OpenError> {
        use DestinationKind::{Blackhole, Jsonl, Langfuse, Otlp, Rudderstack, Sql};
        let name = &self.name;
        let wrong = |what: String, hint: &str| Err(OpenError::usage(what, hint));
        if name.is_empty()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return wrong(
                format!("`{name}` can't be a destination's name"),
                "letters, digits, - and _",
            );
        }
        let has_url = self.url.is_some() || self.url_from.is_some();
        match self.kind {
            Langfuse | Rudderstack | Otlp if !has_url => {
                wrong(format!("the destination {name} has no url"), "url = \"https://...\"")
            }
            Langfuse if self.public_key.is_none() || self.secret_key.is_none() => wrong(
                format!("the destination {name} lacks a key"),
                "public-key = \"pk-lf-...\" and secret-key = { env = \"LANGFUSE_SECRET_KEY\" }",
            ),
            Rudderstack if self.secret_key.is_none() => wrong(
                format!("the destination {name} lacks a key"),
                "secret-key = { env = \"RUDDERSTACK_WRITE_KEY\" }",
            ),
            Jsonl if self.path.is_none() => {
                wrong(format!("the destination {name} has no path"), "path = \"events.jsonl\"")
            }
            Langfuse if self.compression == Some(Compression::Zstd) => wrong(
                format!("the destination {name} can't read zstd"),
                "Langfuse unpacks gzip and nothing else",
            ),
            Langfuse | Rudderstack | Otlp | Sql | Jsonl | Blackhole => Ok(()),
        }
    }
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<(), OpenError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            let what = format!("there are two {what}s of the name {name}");
            return Err(OpenError::usage(what, "every one needs a name of its own"));
        }
    }
    Ok(())
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    windlass_sim::parse_span(&text).map_err(serde::de::Error::custom)
}

fn maybe_duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration(from).map(Some)
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    parse_bytes(&text).ok_or_else(|| {
        serde::de::Error::custom(format!("`{text}` is no size; try 512MiB, 4GiB or 100MB"))
    })
}

fn maybe_bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    bytes(from).map(Some)
}

/// A size: a number with a unit of 1,000s or 1,024s, or bytes.
pub(super) fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
