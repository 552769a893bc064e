//! A status in which every figure is there.

use crate::observe::costs::Sum;
use crate::observe::ledger::Counts;
use crate::observe::status::{
    DestinationStatus, DoorStatus, HeldStatus, LATENCY_BOUNDS_US, Latency, PolicyStatus,
    PriceStatus, QueueStatus, Status, SyncStatus,
};
use std::collections::BTreeMap;

/// Latencies of which `count` took 2 ms and one took 180 ms.
fn latency(count: u64) -> Latency {
    let at_most = |bound| match bound {
        0..2_000 => 0,
        2_000..200_000 => count,
        _ => count + 1,
    };
    Latency {
        count: count + 1,
        sum_us: count * 2_000 + 180_001,
        at_most: LATENCY_BOUNDS_US.map(at_most).into(),
        p50_us: 2_000,
        p95_us: 2_000,
        p99_us: 180_001,
        max_us: 180_001,
    }
}

fn queue(bytes: u64) -> QueueStatus {
    QueueStatus {
        bytes,
        bytes_max: 4 << 30,
        waiting: 3,
        refused_busy: 4,
        refused_full: 5,
        shed_unstored: 6,
        duplicates: 7,
        disk_failures: 1,
        syncs: SyncStatus {
            bounds_us: vec![500, 1_000, 20_000],
            at_most: vec![1, 4, 9],
            count: 10,
            sum_us: 71_500,
        },
    }
}

fn destinations() -> Vec<DestinationStatus> {
    let langfuse = DestinationStatus {
        name: "langfuse".to_owned(),
        kind: "langfuse",
        routed: 100,
        delivered: 60,
        rejected: 2,
        shed: 1,
        pending: 37,
        pending_bytes: 25_900,
        lag_ms: 1_250,
        in_flight: 2,
        concurrency: 8,
        batch_size: 500,
        batches: 6,
        retries: 3,
        throttled: 2,
        splits: 1,
        waiting: "429, for another 12 s".to_owned(),
        latency: latency(5),
        ..DestinationStatus::default()
    };
    let rows = DestinationStatus {
        name: "rows".to_owned(),
        kind: "sql",
        is_off: true,
        is_misconfigured: true,
        latency: Latency { at_most: vec![0; LATENCY_BOUNDS_US.len()], ..Latency::default() },
        ..DestinationStatus::default()
    };
    vec![langfuse, rows]
}

fn costs() -> BTreeMap<String, Sum> {
    let priced = Sum {
        events: 9,
        unpriced: 0,
        input_tokens: 9_000,
        output_tokens: 4_500,
        cost_pico: 67_500_000_000,
    };
    let unpriced = Sum { events: 2, unpriced: 2, cost_pico: 0, ..priced };
    // A model's name comes from outside and may be anything.
    let odd = "a \"model\" with a \\ and\na line".to_owned();
    BTreeMap::from([("gpt-4o".to_owned(), priced), (odd, unpriced)])
}

/// All of it.
pub(super) fn full() -> Status {
    let door = DoorStatus {
        name: "otlp",
        requests: BTreeMap::from([(200, 9), (503, 1)]),
        bytes: 12_345,
        events: 900,
        rejected: 8,
        latency: latency(9),
    };
    let policy = PolicyStatus {
        name: "monthly-budget".to_owned(),
        matched: 21,
        flagged: 5,
        masked: 4,
        dropped: 3,
        refused: 2,
        alerted: 1,
    };
    Status {
        version: "0.1.0",
        started_ms: 1_700_000_000_500,
        now_ms: 1_700_000_100_500,
        events: Counts {
            received: 900,
            stored: 797,
            duplicates: 40,
            sampled_out: 30,
            dropped: 12,
            refused: 8,
            unrouted: 5,
            rejected: 3,
            shed: 4,
            failed: 1,
        },
        doors: vec![door],
        queue: queue(123_456_789),
        hold: queue(0),
        held: HeldStatus {
            parts: 1,
            spans: 2,
            joined: 3,
            traces_kept: 4,
            traces_out: 5,
            spans_out: 6,
        },
        destinations: destinations(),
        costs: costs(),
        policies: vec![policy],
        alerts: vec!["monthly-budget: 80 % of 50 USD".to_owned()],
        masks: BTreeMap::from([("email".to_owned(), 17)]),
        prices: PriceStatus { hash: "9f2c41d0".to_owned(), models: 4_552, unknown: 2 },
        sampling_rate: 0.25,
        tracing: true,
        reload_errors: BTreeMap::from([("policies".to_owned(), "line 3: `limt`".to_owned())]),
        dead_letters: 2,
        memory_bytes: 100 << 20,
        machine_memory_bytes: 8 << 30,
        cpu_seconds: 12.5,
        ..Status::default()
    }
}
