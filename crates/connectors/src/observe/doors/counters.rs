//! What went through the doors: counts by door and answer, and how long answers took.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Door {
    /// `/v1/traces`.
    Otlp,
    /// `/api/public/otel/v1/traces`.
    LangfuseOtlp,
    /// `/api/public/ingestion`.
    Ingestion,
    /// `/api/public/scores`.
    Scores,
    /// `/v1/batch` and the single messages.
    Rudder,
    /// `/beacon/v1/batch`.
    Beacon,
    /// What only asks: health, version, projects.
    Info,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Otlp,
        Self::LangfuseOtlp,
        Self::Ingestion,
        Self::Scores,
        Self::Rudder,
        Self::Beacon,
        Self::Info,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Otlp => "otlp",
            Self::LangfuseOtlp => "langfuse_otlp",
            Self::Ingestion => "langfuse_ingestion",
            Self::Scores => "langfuse_scores",
            Self::Rudder => "rudderstack",
            Self::Beacon => "rudderstack_beacon",
            Self::Info => "info",
        }
    }
}

/// The statuses that doors answer with; every other one is counted as the last.
pub const STATUSES: [u16; 15] =
    [200, 202, 204, 207, 400, 401, 403, 405, 408, 413, 415, 429, 500, 503, 0];

/// The upper bounds of the buckets of latencies, in microseconds; longer ones have a bucket of
/// their own behind them.
pub const BUCKETS_US: [u64; 21] = [
    50, 100, 200, 500, 1_000, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 20_000, 50_000, 100_000,
    150_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000,
];

#[derive(Debug, Default)]
struct DoorCells {
    answers: [AtomicU64; STATUSES.len()],
    packed_bytes: AtomicU64,
    bytes: AtomicU64,
    events: AtomicU64,
    rejected: AtomicU64,
    latency: [AtomicU64; BUCKETS_US.len() + 1],
    latency_sum_us: AtomicU64,
}

/// The counters of all doors, which only grow.
#[derive(Debug, Default)]
pub struct Counters {
    doors: [DoorCells; Door::ALL.len()],
    connections: AtomicI64,
    refused_connections: AtomicU64,
}

/// What one door has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorCounts {
    /// Which.
    pub door: Door,
    /// Answers by status, for the statuses that were answered; 0 is any other status.
    pub answers: Vec<(u16, u64)>,
    /// Bytes of bodies as they came over the network.
    pub packed_bytes: u64,
    /// Bytes of bodies once they were unpacked.
    pub bytes: u64,
    /// Events that were handed on.
    pub events: u64,
    /// Events that could not be read.
    pub rejected: u64,
    /// How many answers took at most as long as [`BUCKETS_US`] says, each bucket by itself; the
    /// last is for all longer ones.
    pub latency: Vec<u64>,
    /// How long all answers took together, in microseconds.
    pub latency_sum_us: u64,
}

impl Counters {
    /// What one door has counted.
    #[must_use]
    pub fn door(&self, door: Door) -> DoorCounts {
        let cells = &self.doors[door as usize];
        let answers = STATUSES.iter().zip(&cells.answers);
        DoorCounts {
            door,
            answers: answers
                .map(|(status, count)| (*status, count.load(Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            packed_bytes: cells.packed_bytes.load(Relaxed),
            bytes: cells.bytes.load(Relaxed),
            events: cells.events.load(Relaxed),
            rejected: cells.rejected.load(Relaxed),
            latency: cells.latency.iter().map(|count| count.load(Relaxed)).collect(),
            latency_sum_us: cells.latency_sum_us.load(Relaxed),
        }
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> u64 {
        u64::try_from(self.connections.load(Relaxed)).unwrap_or(0)
    }

    /// How many connections were refused because too many were open.
    #[must_use]
    pub fn refused_connections(&self) -> u64 {
        self.refused_connections.load(Relaxed)
    }

    pub(super) fn answered(&self, door: Door, status: u16, took: Duration) {
        let cells = &self.doors[door as usize];
        let known = STATUSES.iter().position(|it| *it == status).unwrap_or(STATUSES.len() - 1);
        cells.answers[known].fetch_add(1, Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        cells.latency[BUCKETS_US.partition_point(|bound| *bound < us)].fetch_add(1, Relaxed);
        cells.latency_sum_us.fetch_add(us, Relaxed);
    }

    pub(super) fn received(&self, door: Door, packed: usize, bytes: usize) {
        let cells = &self.doors[door as usize];
        cells.packed_bytes.fetch_add(packed as u64, Relaxed);
        cells.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn events(&self, door: Door, events: u64, rejected: u64) {
        let cells = &self.doors[door as usize];
        cells.events.fetch_add(events, Relaxed);
        cells.rejected.fetch_add(rejected, Relaxed);
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn disconnected(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    pub(super) fn refused_connection(&self) {
        self.refused_connections.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_door_and_status() {
        let counters = Counters::default();
        counters.answered(Door::Rudder, 200, Duration::from_micros(50));
        counters.answered(Door::Rudder, 200, Duration::from_micros(51));
        counters.answered(Door::Rudder, 418, Duration::from_secs(11));
        counters.received(Door::Rudder, 10, 30);
        counters.events(Door::Rudder, 3, 1);
        let counts = counters.door(Door::Rudder);
        assert_eq!(counts.answers, [(200, 2), (0, 1)]);
        assert_eq!(counts.latency[..3], [1, 1, 0]);
        assert_eq!(counts.latency.last(), Some(&1));
        assert_eq!(counts.latency_sum_us, 11_000_101);
        assert_eq!((counts.packed_bytes, counts.bytes), (10, 30));
        assert_eq!((counts.events, counts.rejected), (3, 1));
        assert_eq!(counters.door(Door::Otlp).answers, []);
    }
}
