//! Every switch of the Cloudflare simulator, which are also the flags of `windlass sim
//! cloudflare`.

use std::time::Duration;

use windlass_sim::{ChassisOptions, ServeOptions, WindowKind, parse_rate, parse_span};

use super::limits::Limit;
use super::routes::is_identifier;

/// What the simulated Cloudflare holds and how it behaves. The default is faithful to the
/// published documentation, with the global limit judged by an exact sliding log.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many keys the first namespace holds
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    pub keys: u64,
    /// How many namespaces there are; all but the first are empty
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub namespaces: u32,
    /// The id of the first namespace, 32 hexadecimal digits
    #[arg(long, value_name = "ID")]
    pub namespace_id: Option<String>,
    /// How many zones there are
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    pub zones: u32,
    /// The name of a zone, the first one's first; may be repeated
    #[arg(long = "zone", value_name = "NAME")]
    pub zone_names: Vec<String>,
    /// The plan of a zone, the first one's first, beginning again after the last; may be repeated
    #[arg(long = "plan", value_name = "PLAN", value_enum, default_values_t = PLANS)]
    pub plans: Vec<Plan>,
    /// The id of an account, of which the zones belong to each in turn. Any id of 32 hexadecimal
    /// digits is another name of the first; may be repeated
    #[arg(long = "account", value_name = "ID", default_value = "acc")]
    pub accounts: Vec<String>,
    /// The length of each generated value
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    pub value_bytes: usize,
    /// Generated keys carry metadata; this is so without it, too
    #[arg(long, overrides_with = "no_metadata")]
    pub metadata: bool,
    /// No generated key carries metadata
    #[arg(long, overrides_with = "metadata")]
    pub no_metadata: bool,
    /// Only one in this many generated keys carries metadata
    #[arg(long, value_name = "KEYS", default_value_t = 1)]
    pub metadata_every: u64,
    /// One in this many generated keys expires; 0 is none
    #[arg(long, value_name = "KEYS", default_value_t = 0)]
    pub expiring_every: u64,
    /// When those keys expire, since the start of the simulator
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "1h")]
    pub expires_in: Duration,
    /// One generated key in four has slashes, spaces, percent signs, quotes or non-ASCII letters
    #[arg(long)]
    pub odd_keys: bool,
    /// One in this many generated values is no UTF-8; 0 is none
    #[arg(long, value_name = "KEYS", default_value_t = 0)]
    pub binary_every: u64,
    /// A valid API token; may be repeated. All of them belong to one user
    #[arg(long, value_name = "TOKEN", default_value = "cf-token-1")]
    pub tokens: Vec<String>,
    /// A valid token that may only read; may be repeated
    #[arg(long = "read-only-token", value_name = "TOKEN")]
    pub read_only_tokens: Vec<String>,
    /// A valid token that may do nothing; may be repeated
    #[arg(long = "forbidden-token", value_name = "TOKEN")]
    pub forbidden_tokens: Vec<String>,
    /// The user's address, for the key style of authentication
    #[arg(long, value_name = "ADDRESS", default_value = "ops@example.com")]
    pub email: String,
    /// The user's global API key
    #[arg(long, value_name = "KEY", default_value = "cf-key-1")]
    pub api_key: String,
    /// Accept any token and any key that is not empty
    #[arg(long)]
    pub any_key: bool,
    /// How the windows of the limits on requests look at the past
    #[arg(long, value_enum, default_value_t)]
    pub windows: WindowKind,
    /// Another limit, like `global=100/10s` or `all=unlimited`; the names are all, global, ip,
    /// purge-PLAN and urls-PLAN
    #[arg(long = "limit", value_name = "NAME=LIMIT")]
    pub limits: Vec<Limit>,
    /// No limits on the rate of anything
    #[arg(long)]
    pub no_limits: bool,
    /// For how long everything is refused after a request beyond the global limit
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "5m")]
    pub block: Duration,
    /// Share of every limit that a second client of the same user takes for itself
    #[arg(long, value_name = "SHARE", value_parser = parse_rate, default_value = "0")]
    pub second_client: f64,
    /// Purges by URL do not count against the global limit
    #[arg(long)]
    pub free_url_purge: bool,
    /// A bulk write is refused when it names a key twice, or one written in the last second
    #[arg(long)]
    pub strict_writes: bool,
    /// What the Retry-After header of a 429 holds
    #[arg(long, value_enum, default_value_t)]
    pub retry_after: RetryAfter,
    /// No reply carries Ratelimit headers
    #[arg(long)]
    pub no_limit_headers: bool,
    /// Share of list pages that are empty and still carry a cursor, at most three in a row
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub empty_pages: f64,
    /// Share of list pages that are shorter than their limit and still carry a cursor
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub short_pages: f64,
    /// How the last page of a list says that it is the last
    #[arg(long, value_enum, default_value_t)]
    pub last_cursor: LastCursor,
    /// Share of the keys of bulk writes and deletions that are reported as unsuccessful, and are
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub unsuccessful: f64,
    /// The first keys that bulk writes and deletions name are unsuccessful, this many of them
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub unsuccessful_first: u64,
    /// The status of a reply that reports unsuccessful keys
    #[arg(long, value_name = "STATUS", default_value_t = 200)]
    pub unsuccessful_status: u16,
    /// Bulk writes and deletions tell no counts, as in an older version of the API
    #[arg(long)]
    pub empty_bulk_results: bool,
    /// Bulk requests with more items than this are answered 524 and an HTML page
    #[arg(long, value_name = "ITEMS")]
    pub bulk_524_above: Option<usize>,
    /// Bulk requests that are answered 524 take effect all the same
    #[arg(long)]
    pub bulk_524_takes_effect: bool,
    /// Bulk requests with a larger body are answered 413
    #[arg(long, value_name = "BYTES", default_value_t = 100_000_000)]
    pub bulk_413_above: usize,
    /// Bulk reads of more bytes of values are answered 413
    #[arg(long, value_name = "BYTES", default_value_t = 25_000_000)]
    pub bulk_get_413_above: usize,
    /// The most URLs in one purge for zones that are not on the Enterprise plan; 30 was seen where
    /// 100 is documented
    #[arg(long, value_name = "URLS", default_value_t = 100)]
    pub url_items: usize,
    /// Within this time, at random, lists and reads come to see a change
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "0")]
    pub lag: Duration,
    /// Reads of values and metadata see every change at once, only lists are late
    #[arg(long)]
    pub only_lists_lag: bool,
    /// Replies carry messages of both kinds and fields that no documentation names
    #[arg(long)]
    pub odd_envelopes: bool,
    /// The options of every simulator.
    #[command(flatten)]
    pub chassis: ChassisOptions,
    /// How its port behaves, when it is served on one.
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// The plan of a zone, on which its purge limits depend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Plan {
    /// 5 purges a minute.
    Free,
    /// 5 purges a second.
    Pro,
    /// 10 purges a second.
    Business,
    /// 50 purges a second, and 500 URLs in one.
    Enterprise,
}

const PLANS: [Plan; 4] = [Plan::Free, Plan::Pro, Plan::Business, Plan::Enterprise];

/// What the Retry-After header of a 429 holds.
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

/// How the last page of a list says that it is the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LastCursor {
    /// The cursor is the empty text.
    #[default]
    Empty,
    /// There is no cursor.
    Missing,
    /// The cursor is null.
    Null,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keys: 1_000,
            namespaces: 2,
            namespace_id: None,
            zones: 4,
            zone_names: Vec::new(),
            plans: PLANS.to_vec(),
            accounts: vec!["acc".to_owned()],
            value_bytes: 64,
            metadata: false,
            no_metadata: false,
            metadata_every: 1,
            expiring_every: 0,
            expires_in: Duration::from_secs(3_600),
            odd_keys: false,
            binary_every: 0,
            tokens: vec!["cf-token-1".to_owned()],
            read_only_tokens: Vec::new(),
            forbidden_tokens: Vec::new(),
            email: "ops@example.com".to_owned(),
            api_key: "cf-key-1".to_owned(),
            any_key: false,
            windows: WindowKind::default(),
            limits: Vec::new(),
            no_limits: false,
            block: Duration::from_secs(300),
            second_client: 0.0,
            free_url_purge: false,
            strict_writes: false,
            retry_after: RetryAfter::default(),
            no_limit_headers: false,
            empty_pages: 0.0,
            short_pages: 0.0,
            last_cursor: LastCursor::default(),
            unsuccessful: 0.0,
            unsuccessful_first: 0,
            unsuccessful_status: 200,
            empty_bulk_results: false,
            bulk_524_above: None,
            bulk_524_takes_effect: false,
            bulk_413_above: 100_000_000,
            bulk_get_413_above: 25_000_000,
            url_items: 100,
            lag: Duration::ZERO,
            only_lists_lag: false,
            odd_envelopes: false,
            chassis: ChassisOptions::default(),
            serve: ServeOptions::default(),
        }
    }
}

impl Options {
    /// Refuses what contradicts itself.
    pub(super) fn check(&self) -> Result<(), String> {
        /// Names tell the number of their key in 11 digits.
        const MOST_KEYS: u64 = 99_999_999_999;
        if self.keys > MOST_KEYS {
            return Err(format!("--keys is at most {MOST_KEYS}"));
        }
        if self.keys > 0 && self.namespaces == 0 {
            return Err("--keys need a namespace to be in, and --namespaces is 0".to_owned());
        }
        if let Some(id) = self.namespace_id.as_ref().filter(|id| !is_identifier(id)) {
            return Err(format!("--namespace-id {id} is not 32 hexadecimal digits"));
        }
        if self.metadata_every == 0 {
            return Err("--metadata-every is at least 1; use --no-metadata for none".to_owned());
        }
        if self.plans.is_empty() || self.accounts.is_empty() {
            return Err("there has to be one --plan and one --account at least".to_owned());
        }
        if self.zone_names.len() > self.zones as usize {
            return Err(format!("there are more names of zones than --zones {}", self.zones));
        }
        if !(200..600).contains(&self.unsuccessful_status) {
            return Err("--unsuccessful-status is between 200 and 599".to_owned());
        }
        Ok(())
    }
}
