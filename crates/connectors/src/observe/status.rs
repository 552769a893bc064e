//! Everything that is known of a running gateway at one moment. The page, the metrics and
//! `/v1/status` are readers of it and nothing else.

use super::costs::Sum;
use super::ledger::Counts;
use serde::Serialize;
use std::collections::BTreeMap;

/// A gateway at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Status {
    /// The program's version.
    pub(super) version: &'static str,
    /// When it started, in milliseconds since 1970.
    pub(super) started_ms: u64,
    /// The moment, in milliseconds since 1970.
    pub(super) now_ms: u64,
    /// Why it does not take anything in, or should not; empty when all is well.
    pub(super) not_ready: Vec<String>,
    /// What became of the events that came through doors.
    pub(super) events: Counts,
    /// The doors.
    pub(super) doors: Vec<DoorStatus>,
    /// Connections that are open.
    pub(super) connections: u64,
    /// Connections that were refused because too many were open.
    pub(super) refused_connections: u64,
    /// The queue that destinations read.
    pub(super) queue: QueueStatus,
    /// The queue of what is joined or decided before.
    pub(super) hold: QueueStatus,
    /// What waits there.
    pub(super) held: HeldStatus,
    /// The destinations, in the order of the gateway's file.
    pub(super) destinations: Vec<DestinationStatus>,
    /// What models cost since the start.
    pub(super) costs: BTreeMap<String, Sum>,
    /// The policies.
    pub(super) policies: Vec<PolicyStatus>,
    /// The last alerts of policies, the newest first.
    pub(super) alerts: Vec<String>,
    /// How often each mask hid something.
    pub(super) masks: BTreeMap<String, u64>,
    /// The prices.
    pub(super) prices: PriceStatus,
    /// The share of traces that is kept whatever they are.
    pub(super) sampling_rate: f64,
    /// Whether traces are taken at all.
    pub(super) tracing: bool,
    /// What went wrong when a file was read again; the values before are in force.
    pub(super) reload_errors: BTreeMap<String, String>,
    /// Letters that were buried since the start.
    pub(super) dead_letters: u64,
    /// The memory of this process, in bytes.
    pub(super) memory_bytes: u64,
    /// The memory of the machine, in bytes.
    pub(super) machine_memory_bytes: u64,
    /// The processor time of this process, in seconds.
    pub(super) cpu_seconds: f64,
}

/// Times in microseconds: what metrics need, and what people look at.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Latency {
    /// How many were measured.
    pub(super) count: u64,
    /// Their sum.
    pub(super) sum_us: u64,
    /// How many took at most the bound at the same place of [`LATENCY_BOUNDS_US`].
    pub(super) at_most: Vec<u64>,
    /// Half of them took at most this.
    pub(super) p50_us: u64,
    /// 95 of 100.
    pub(super) p95_us: u64,
    /// 99 of 100.
    pub(super) p99_us: u64,
    /// The longest.
    pub(super) max_us: u64,
}

/// The upper bounds of the buckets of latencies, in microseconds. 150 ms and 200 ms are there
/// because alerts ask about them.
pub(super) const LATENCY_BOUNDS_US: [u64; 16] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 150_000, 200_000, 500_000,
    1_000_000, 5_000_000, 10_000_000,
];

impl Latency {
    /// What a histogram of microseconds says; it does not know the exact sum itself.
    pub(super) fn of(times: &hdrhistogram::Histogram<u64>, sum_us: u64) -> Self {
        let at = |share| times.value_at_quantile(share);
        Self {
            count: times.len(),
            sum_us,
            at_most: LATENCY_BOUNDS_US.iter().map(|&bound| times.count_between(0, bound)).collect(),
            p50_us: at(0.50),
            p95_us: at(0.95),
            p99_us: at(0.99),
            max_us: times.max(),
        }
    }
}

/// One door.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct DoorStatus {
    /// `otlp`, `langfuse`, `rudderstack`.
    pub(super) name: &'static str,
    /// Requests by the status of their answer.
    pub(super) requests: BTreeMap<u16, u64>,
    /// Bytes of bodies as they came.
    pub(super) bytes: u64,
    /// Events in them.
    pub(super) events: u64,
    /// Events that were refused because they make no sense.
    pub(super) rejected: u64,
    /// From the end of the request's head to its answer.
    pub(super) latency: Latency,
}

/// A queue on disk.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct QueueStatus {
    /// Its size on disk.
    pub(super) bytes: u64,
    /// The size that it may have.
    pub(super) bytes_max: u64,
    /// Requests that wait to be written.
    pub(super) waiting: u64,
    /// Events that were refused because too much waited.
    pub(super) refused_busy: u64,
    /// Events that were refused because it was full.
    pub(super) refused_full: u64,
    /// Events that were shed before they were stored.
    pub(super) shed_unstored: u64,
    /// Copies of events that were there already.
    pub(super) duplicates: u64,
    /// Writes and syncs that the disk refused.
    pub(super) disk_failures: u64,
    /// How long syncs took; `at_most` has other bounds, which follow.
    pub(super) syncs: SyncStatus,
}

/// Times of syncs.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct SyncStatus {
    /// Upper bounds in microseconds.
    pub(super) bounds_us: Vec<u64>,
    /// How many took at most the bound of the same place.
    pub(super) at_most: Vec<u64>,
    /// All of them.
    pub(super) count: u64,
    /// All of them together, in microseconds.
    pub(super) sum_us: u64,
}

/// What waits to be joined or decided.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct HeldStatus {
    /// Parts of observations.
    pub(super) parts: u64,
    /// Spans whose trace is not decided on.
    pub(super) spans: u64,
    /// Observations that were joined.
    pub(super) joined: u64,
    /// Traces that a tail rule kept.
    pub(super) traces_kept: u64,
    /// Traces that nothing kept.
    pub(super) traces_out: u64,
    /// Spans of those.
    pub(super) spans_out: u64,
}

/// One destination. `routed == delivered + rejected + shed + pending`, also over restarts.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct DestinationStatus {
    /// Its name.
    pub(super) name: String,
    /// Its kind, such as `langfuse`; empty for one that is no longer configured.
    pub(super) kind: &'static str,
    /// Whether a flag switches it off.
    pub(super) is_off: bool,
    /// All events that were ever for it.
    pub(super) routed: u64,
    /// Those that it has.
    pub(super) delivered: u64,
    /// Those that it will never take; they are in the dead letters.
    pub(super) rejected: u64,
    /// Those that were given up for want of room.
    pub(super) shed: u64,
    /// Those that wait.
    pub(super) pending: u64,
    /// Their bytes, about.
    pub(super) pending_bytes: u64,
    /// How long the oldest of them waits, in milliseconds.
    pub(super) lag_ms: u64,
    /// Requests on the wire.
    pub(super) in_flight: u32,
    /// The most that are allowed now.
    pub(super) concurrency: u32,
    /// Events in the next batch.
    pub(super) batch_size: u64,
    /// Requests that were answered well.
    pub(super) batches: u64,
    /// Attempts that were made again.
    pub(super) retries: u64,
    /// Requests for patience (429).
    pub(super) throttled: u64,
    /// Batches that were halved.
    pub(super) splits: u64,
    /// Why nothing starts now, in words; empty when nothing waits.
    pub(super) waiting: String,
    /// Whether it refuses its keys or has no such path: a person has to do something.
    pub(super) is_misconfigured: bool,
    /// The last thing that went wrong.
    pub(super) last_error: Option<String>,
    /// Times of requests.
    pub(super) latency: Latency,
}

/// One policy.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct PolicyStatus {
    /// Its name.
    pub(super) name: String,
    /// Events that met its conditions.
    pub(super) matched: u64,
    /// Events that it flagged.
    pub(super) flagged: u64,
    /// Events that it masked.
    pub(super) masked: u64,
    /// Events that it dropped.
    pub(super) dropped: u64,
    /// Events that it refused.
    pub(super) refused: u64,
    /// Alerts that it raised.
    pub(super) alerted: u64,
}

/// The prices in force.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct PriceStatus {
    /// The hash of the map, which rows are stamped with.
    pub(super) hash: String,
    /// Models that it knows.
    pub(super) models: u64,
    /// Generations of models that it does not know.
    pub(super) unknown: u64,
}
