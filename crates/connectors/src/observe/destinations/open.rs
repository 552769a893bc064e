//! From the gateway's file to an open destination: its address, keys, limits and pace.

use super::http::Endpoint;
use super::langfuse::Langfuse;
use super::otlp::Otlp;
use super::rudderstack::Rudderstack;
use super::sql::Sql;
use super::{Pace, Sink, jsonl::Jsonl};
use crate::connector::{OpenError, Secret};
use crate::observe::settings::{
    Compression, DestinationKind, DestinationSettings, Environment, SecretRef,
};
use crate::transport::{BaseUrl, Transport, check_base_url};
use http::HeaderValue;
use std::path::Path;
use std::time::Duration;
use windlass_engine::clock::Clock;
use windlass_engine::policy::Bounds;
use windlass_engine::policy::backoff::Backoff;
use windlass_engine::policy::quota::Quota;
use windlass_engine::remote::{ConcurrencySpec, OperationSpec, Remote, Spec, WindowSpec};

/// What destinations are opened with.
pub(in crate::observe) struct Opening<'a> {
    pub(in crate::observe) clock: Clock,
    pub(in crate::observe) transport: &'a Transport,
    pub(in crate::observe) environment: &'a Environment,
    /// Where the embedded database is.
    pub(in crate::observe) folder: &'a Path,
    pub(in crate::observe) seed: u64,
}

/// A destination that is open.
pub(in crate::observe) struct Opened {
    pub(in crate::observe) sink: Sink,
    pub(in crate::observe) remote: Remote,
    pub(in crate::observe) pace: Pace,
}

/// The usual figures of a kind of destination.
struct Usual {
    events: u32,
    bytes: u64,
    linger_ms: u64,
    concurrency: u32,
    timeout: Duration,
    compression: Compression,
    /// What a batch should take.
    target: Duration,
}

/// Langfuse Cloud counts requests and not bytes, so that large batches are its lever. A request of
/// RudderStack may have 4,000 KiB with what the server adds.
const fn usual(kind: DestinationKind) -> Usual {
    const SECONDS_30: Duration = Duration::from_secs(30);
    let (events, bytes, linger_ms, concurrency) = match kind {
        DestinationKind::Langfuse => (2_000, 8 << 20, 500, 8),
        DestinationKind::Otlp => (8_192, 8 << 20, 200, 16),
        DestinationKind::Rudderstack => (1_000, 3_000 << 10, 200, 16),
        DestinationKind::Sql => (10_000, 16 << 20, 200, 2),
        DestinationKind::Jsonl => (10_000, 16 << 20, 200, 1),
        DestinationKind::Blackhole => (10_000, 16 << 20, 0, 1),
    };
    let compression = match kind {
        DestinationKind::Langfuse | DestinationKind::Rudderstack => Compression::Gzip,
        _ => Compression::None,
    };
    let target = Duration::from_secs(1);
    Usual { events, bytes, linger_ms, concurrency, timeout: SECONDS_30, compression, target }
}

/// The first size of a batch. Remotes of others are approached from the 20 events that the SDKs of
/// old had; a database takes rows by the hundred.
const fn first_batch(kind: DestinationKind) -> u32 {
    match kind {
        DestinationKind::Sql | DestinationKind::Jsonl | DestinationKind::Blackhole => 1_000,
        DestinationKind::Langfuse | DestinationKind::Otlp | DestinationKind::Rudderstack => 20,
    }
}

/// How often one call tries before the forwarder looks at what else may be wrong.
const RETRIES: u32 = 8;
/// The longest wait between two attempts.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(30) };
/// There is no run to end: an outage may last for a century.
const DEADLINE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Opens a destination. A database is reached for, everything else only when there is an event.
///
/// # Errors
/// When what the file says can't be used: a URL, a key, a database.
pub(in crate::observe) async fn open(
    settings: &DestinationSettings,
    with: &Opening<'_>,
) -> Result<Opened, OpenError> {
    let usual = usual(settings.kind);
    let remote = Remote::new(with.clock, spec(settings, &usual, with.seed)?);
    let events = settings.batch_events.unwrap_or(usual.events).max(1);
    let concurrency = settings.concurrency.unwrap_or(usual.concurrency).max(1);
    let pace = Pace {
        events: Bounds { min: 1, start: first_batch(settings.kind).min(events), max: events },
        bytes: usize::try_from(settings.batch_bytes.unwrap_or(usual.bytes)).unwrap_or(usize::MAX),
        linger: settings.linger.unwrap_or(Duration::from_millis(usual.linger_ms)),
        target: usual.target,
        flights: concurrency as usize * 2,
    };
    let sink = sink(settings, &usual, with).await?;
    Ok(Opened { sink, remote, pace })
}

fn spec(settings: &DestinationSettings, usual: &Usual, seed: u64) -> Result<Spec, OpenError> {
    let quota = settings.quota.as_deref().map(|text| quota(&settings.name, text)).transpose()?;
    let windows: Vec<WindowSpec> = quota
        .map(|quota| WindowSpec { name: "quota".to_owned(), quota: Some(quota) })
        .into_iter()
        .collect();
    let paid: Vec<usize> = (0..windows.len()).collect();
    let max = settings.concurrency.unwrap_or(usual.concurrency).max(1);
    // A growing batch takes longer, which adaptive concurrency would take for congestion: a
    // database of one's own is fed by the size of batches alone.
    let concurrency = match settings.kind {
        DestinationKind::Sql => ConcurrencySpec::Fixed(max),
        _ => ConcurrencySpec::Adaptive { min: 1, max },
    };
    Ok(Spec {
        name: "destination",
        windows,
        operations: vec![OperationSpec { halves_above: 1, ..OperationSpec::new("deliver", &paid) }],
        concurrency,
        rate: None,
        smooth: false,
        timeout: settings.timeout.unwrap_or(usual.timeout),
        retries: RETRIES,
        backoff: BACKOFF,
        deadline: DEADLINE,
        seed,
    })
}

fn quota(name: &str, text: &str) -> Result<Quota, OpenError> {
    text.parse().map_err(|error| {
        OpenError::usage(format!("the quota of {name}: {error}"), "write it as 1000/60s")
    })
}

async fn sink(
    settings: &DestinationSettings,
    usual: &Usual,
    with: &Opening<'_>,
) -> Result<Sink, OpenError> {
    let compression = settings.compression.unwrap_or(usual.compression);
    Ok(match settings.kind {
        DestinationKind::Langfuse => {
            let (base, secret) = (place(settings, with)?, secret(settings, with)?);
            let public = settings.public_key.as_deref().unwrap_or_default();
            let endpoint = |path, packing| {
                let endpoint =
                    Endpoint::new(with.transport.clone(), &base, path, packing, secret.clone());
                let endpoint = endpoint.map_err(|error| no_url(settings, &error))?;
                Ok(endpoint.with_basic(public, secret.reveal()))
            };
            let traces = endpoint("/api/public/otel/v1/traces", compression)?
                .with(INGESTION_VERSION, HeaderValue::from_static("4"));
            let scores = endpoint("/api/public/scores", Compression::None)?;
            Sink::Langfuse(Box::new(Langfuse::new(traces, scores)))
        }
        DestinationKind::Rudderstack => {
            let (base, secret) = (place(settings, with)?, secret(settings, with)?);
            let endpoint = Endpoint::new(
                with.transport.clone(),
                &base,
                "/v1/batch",
                compression,
                secret.clone(),
            )
            .map_err(|error| no_url(settings, &error))?;
            Sink::Rudderstack(Box::new(Rudderstack::new(endpoint.with_basic(secret.reveal(), ""))))
        }
        DestinationKind::Otlp => {
            Sink::Otlp(Box::new(Otlp::new(receiver(settings, compression, with)?)))
        }
        DestinationKind::Sql => {
            let url = match &settings.url_from {
                Some(place) => Some(place.read(with.environment)?.reveal().to_owned()),
                None => settings.url.clone(),
            };
            let sql = Sql::open(url.as_deref(), with.folder, settings.retention).await?;
            Sink::Sql(Box::new(sql))
        }
        DestinationKind::Jsonl => {
            let path = settings.path.as_deref().unwrap_or(Path::new("events.jsonl"));
            Sink::Jsonl(Jsonl::open(path).map_err(|error| {
                let what = format!("can't open {} for {}: {error}", path.display(), settings.name);
                OpenError::usage(what, "name a file in a folder that exists")
            })?)
        }
        DestinationKind::Blackhole => Sink::Blackhole,
    })
}

/// The header of Langfuse's real-time path; without it what was sent can lag by ten minutes.
const INGESTION_VERSION: http::HeaderName =
    http::HeaderName::from_static("x-langfuse-ingestion-version");

fn receiver(
    settings: &DestinationSettings,
    compression: Compression,
    with: &Opening<'_>,
) -> Result<Endpoint, OpenError> {
    let base = place(settings, with)?;
    let token =
        settings.secret_key.as_ref().map(|secret| secret.read(with.environment)).transpose()?;
    let secret = token.clone().unwrap_or_else(|| Secret::new(""));
    let endpoint =
        Endpoint::new(with.transport.clone(), &base, "/v1/traces", compression, secret.clone());
    let mut endpoint = endpoint.map_err(|error| no_url(settings, &error))?;
    if token.is_some() {
        let mut value = header(settings, &format!("Bearer {}", secret.reveal()))?;
        value.set_sensitive(true);
        endpoint = endpoint.with(http::header::AUTHORIZATION, value);
    }
    for (name, value) in &settings.headers {
        let known = http::HeaderName::try_from(name).map_err(|_| {
            let what = format!("the header {name} of {} is not one", settings.name);
            OpenError::usage(what, "letters, digits and -")
        })?;
        endpoint = endpoint.with(known, header(settings, value)?);
    }
    Ok(endpoint)
}

fn header(settings: &DestinationSettings, value: &str) -> Result<HeaderValue, OpenError> {
    HeaderValue::try_from(value).map_err(|_| {
        let what = format!("a header of {} has characters that no header can have", settings.name);
        OpenError::usage(what, "a header is one line of visible characters")
    })
}

fn place(settings: &DestinationSettings, with: &Opening<'_>) -> Result<BaseUrl, OpenError> {
    let text = match (&settings.url_from, &settings.url) {
        (Some(place), _) => place.read(with.environment)?.reveal().to_owned(),
        (None, Some(url)) => url.clone(),
        (None, None) => String::new(),
    };
    check_base_url(&text).map_err(|error| {
        let what = format!("the url of the destination {}: {error}", settings.name);
        OpenError::usage(what, error.hint())
    })
}

fn secret(settings: &DestinationSettings, with: &Opening<'_>) -> Result<Secret, OpenError> {
    let nowhere = SecretRef::Env(String::new());
    settings.secret_key.as_ref().unwrap_or(&nowhere).read(with.environment)
}

fn no_url(settings: &DestinationSettings, error: &http::Error) -> OpenError {
    let what = format!("the url of the destination {}: {error}", settings.name);
    OpenError::usage(what, "a URL such as https://cloud.langfuse.com")
}
