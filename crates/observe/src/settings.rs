//! What a recorder can be told, with the defaults.

use crate::exporter::Limits;
use crate::lane::WhenFull;
use crate::recorder::Recorder;
use std::time::Duration;

/// Why a recorder does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address of the gateway is not one.
    #[error("`{0}` is no http:// or https:// address")]
    Address(String),
    /// The address begins with https, and the crate was built without TLS.
    #[error("`{0}` needs the feature `tls` of windlass-observe")]
    Tls(String),
    /// Compression was asked for, and the crate was built without it.
    #[error("compression needs the feature `gzip` of windlass-observe")]
    Gzip,
    /// There is neither a pair of keys for traces nor a write key for events.
    #[error("a recorder needs keys, a write key, or both")]
    Keys,
    /// The system gives no thread.
    #[error("no thread for the background: {0}")]
    Thread(#[from] std::io::Error),
}

/// The settings of a recorder that is about to start; see [`Recorder::to`].
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) url: String,
    pub(crate) keys: Option<(String, String)>,
    pub(crate) write_key: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) release: Option<String>,
    pub(crate) service: String,
    pub(crate) share: f64,
    pub(crate) queue_events: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) text_bytes: usize,
    pub(crate) when_full: WhenFull,
    pub(crate) gzip: bool,
    pub(crate) drop_timeout: Duration,
    pub(crate) limits: Limits,
}

impl Builder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            keys: None,
            write_key: None,
            environment: None,
            release: None,
            service: "unknown_service".to_owned(),
            share: 1.0,
            queue_events: 32_768,
            queue_bytes: 64 << 20,
            text_bytes: 512 << 10,
            when_full: WhenFull::DropNewest,
            gzip: false,
            drop_timeout: Duration::from_secs(2),
            limits: Limits {
                batch_events: 512,
                batch_bytes: 1 << 20,
                // RudderStack takes 4,000 KiB.
                request_bytes: 4_000 << 10,
                linger: Duration::from_millis(200),
                timeout: Duration::from_secs(10),
                give_up_after: Duration::from_secs(120),
            },
        }
    }

    /// The public and the secret key of a project, for spans and generations. Without them, these
    /// are dropped and counted.
    #[must_use]
    pub fn keys(mut self, public: &str, secret: &str) -> Self {
        self.keys = Some((public.to_owned(), secret.to_owned()));
        self
    }

    /// The write key of a project, for events. Without it, these are dropped and counted.
    #[must_use]
    pub fn write_key(mut self, key: &str) -> Self {
        self.write_key = Some(key.to_owned());
        self
    }

    /// The application's environment, such as `production`.
    #[must_use]
    pub fn environment(mut self, name: &str) -> Self {
        self.environment = Some(name.to_owned());
        self
    }

    /// The application's version.
    #[must_use]
    pub fn release(mut self, name: &str) -> Self {
        self.release = Some(name.to_owned());
        self
    }

    /// The application's name [default: `unknown_service`, as OpenTelemetry has it].
    #[must_use]
    pub fn service(mut self, name: &str) -> Self {
        self.service = name.to_owned();
        self
    }

    /// The share of traces that are kept, from 0 to 1 [default: 1]. The lowest 56 bits of the
    /// trace's id decide, as in the probability sampling of OpenTelemetry, so a trace is kept or
    /// left out whole. Events are not sampled.
    #[must_use]
    pub const fn sample(mut self, share: f64) -> Self {
        self.share = if share >= 0.0 { share.min(1.0) } else { 0.0 };
        self
    }

    /// How many events wait, and how many bytes of them: for events and for spans each
    /// [default: 32,768 and 64 MiB].
    #[must_use]
    pub const fn queue(mut self, events: usize, bytes: usize) -> Self {
        (self.queue_events, self.queue_bytes) = (events, bytes);
        self
    }

    /// What is dropped when the queue is full [default: what comes].
    #[must_use]
    pub const fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// How many events a request has at most, and how many bytes of them are enough for one
    /// [default: 512 and 1 MiB].
    #[must_use]
    pub const fn batch(mut self, events: usize, bytes: usize) -> Self {
        (self.limits.batch_events, self.limits.batch_bytes) =
            (if events > 0 { events } else { 1 }, if bytes > 0 { bytes } else { 1 });
        self
    }

    /// How many bytes the body of a request has at most, before it is compressed
    /// [default: 4,000 KiB, the limit of RudderStack]. A larger batch goes in halves; an event that
    /// is larger by itself is dropped.
    #[must_use]
    pub const fn request_bytes(mut self, bytes: usize) -> Self {
        self.limits.request_bytes = bytes;
        self
    }

    /// How many bytes of a span's text are kept, such as of an input [default: 512 KiB].
    #[must_use]
    pub const fn text_bytes(mut self, bytes: usize) -> Self {
        self.text_bytes = bytes;
        self
    }

    /// How long an event waits for others before it is sent [default: 200 ms].
    #[must_use]
    pub const fn linger(mut self, time: Duration) -> Self {
        self.limits.linger = time;
        self
    }

    /// How long an answer of the gateway may take [default: 10 s].
    #[must_use]
    pub const fn timeout(mut self, time: Duration) -> Self {
        self.limits.timeout = time;
        self
    }

    /// How long after its first attempt a request is tried for the last time [default: 120 s].
    #[must_use]
    pub const fn give_up_after(mut self, time: Duration) -> Self {
        self.limits.give_up_after = time;
        self
    }

    /// Whether requests are compressed, which costs the background about 5 ms for 1 MiB
    /// [default: no]. Needs the feature `gzip`.
    #[must_use]
    pub const fn gzip(mut self, is_on: bool) -> Self {
        self.gzip = is_on;
        self
    }

    /// How long the end of the last [`Recorder`] waits for what is queued [default: 2 s].
    #[must_use]
    pub const fn drop_timeout(mut self, time: Duration) -> Self {
        self.drop_timeout = time;
        self
    }

    /// Starts the background, a thread for events and one for spans where each has its key. It does
    /// not wait for the gateway, which need not run yet.
    ///
    /// # Errors
    /// When the address is none, something is asked for that this build does not have, there are no
    /// keys, or the system gives no thread.
    pub fn start(self) -> Result<Recorder, StartError> {
        let host = self.url.strip_prefix("http://").or(self.url.strip_prefix("https://"));
        let parsed: Result<ureq::http::Uri, _> = self.url.parse();
        if host.is_none_or(str::is_empty) || parsed.is_err() {
            return Err(StartError::Address(self.url));
        }
        if self.url.starts_with("https:") && !cfg!(feature = "tls") {
            return Err(StartError::Tls(self.url));
        }
        if self.gzip && !cfg!(feature = "gzip") {
            return Err(StartError::Gzip);
        }
        if self.keys.is_none() && self.write_key.is_none() {
            return Err(StartError::Keys);
        }
        Recorder::start(&self)
    }
}
