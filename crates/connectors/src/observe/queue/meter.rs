//! The figures of a queue.

use super::ledger::Ledger;
use super::{Appended, Core, Refused};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The upper bounds of the classes of sync times, in microseconds; the last class has no bound.
pub const SYNC_BOUNDS_US: [u64; 12] =
    [500, 1_000, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000];

/// How long syncs took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncTimes {
    /// How many took at most the bound of the same place in [`SYNC_BOUNDS_US`] and more than the
    /// bound before it; the last place has those that took longer.
    pub counts: [u64; SYNC_BOUNDS_US.len() + 1],
    /// All of them together, in microseconds.
    pub sum_us: u64,
}

/// The figures of one destination. `routed == delivered + rejected + shed + pending`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DestinationMeter {
    /// Its name.
    pub name: String,
    /// Whether the configuration has it. One that it hasn't keeps what is pending.
    pub is_configured: bool,
    /// All entries that were ever for it.
    pub routed: u64,
    /// Those that it has.
    pub delivered: u64,
    /// Those that it will never take.
    pub rejected: u64,
    /// Those that were given up.
    pub shed: u64,
    /// Those that are not settled.
    pub pending: u64,
    /// About how many bytes those take in the log: by the mean of their segment.
    pub pending_bytes: u64,
    /// When the oldest of them came, in milliseconds since 1970; up to a second too early, and
    /// where the destination does not read, too early by entries that are not for it.
    pub oldest_ms: Option<u64>,
    /// In how many runs its settled numbers lie: what it costs in memory, 50 bytes each.
    pub runs: usize,
    /// Whether something is settled that the disk refused to record.
    pub is_unrecorded: bool,
}

/// The figures of a queue. Counts begin with the process, but for those of the destinations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// The configured destinations in their order, then those that are no longer configured.
    pub destinations: Vec<DestinationMeter>,
    /// The log's bytes on disk.
    pub log_bytes: u64,
    /// The log's files.
    pub segments: usize,
    /// The bytes of its entries of low, normal and high priority, settled ones included.
    pub bytes_by_priority: [u64; 3],
    /// Batches that wait to be written.
    pub waiting_batches: usize,
    /// Their bytes.
    pub waiting_bytes: usize,
    /// Entries that were stored.
    pub stored: u64,
    /// Entries that were known already.
    pub duplicates: u64,
    /// Entries that were shed before they were stored; they are in `shed` of their destinations.
    pub shed_unstored: u64,
    /// Entries of batches that were refused because too much waited.
    pub refused_busy: u64,
    /// Entries of batches that were refused because the log was full.
    pub refused_full: u64,
    /// Entries of batches that were refused because they were too large or the queue closed.
    pub refused_other: u64,
    /// Entries of batches that were taken and couldn't be stored.
    pub failed: u64,
    /// Writes that the disk refused.
    pub write_failures: u64,
    /// Syncs that the disk refused.
    pub sync_failures: u64,
    /// Readings that met damage and did not skip it.
    pub read_failures: u64,
    /// Bytes at the end of the log that a crash had torn and that were cut when it was opened.
    pub torn_bytes: u64,
    /// Bytes that were damaged and left out.
    pub damaged_bytes: u64,
    /// At most so many entries were in them.
    pub damaged_entries: u64,
    /// Segments that were rewritten.
    pub rewritten: u64,
    /// Ids that are known to the duplicates' window.
    pub known_ids: u64,
    /// How long syncs of the log took.
    pub syncs: SyncTimes,
}

/// The counters behind a [`Meter`].
#[derive(Debug, Default)]
pub struct Counters {
    log_bytes: AtomicU64,
    stored: AtomicU64,
    duplicates: AtomicU64,
    shed_unstored: AtomicU64,
    refused_busy: AtomicU64,
    refused_full: AtomicU64,
    refused_other: AtomicU64,
    failed: AtomicU64,
    pub(super) write_failures: AtomicU64,
    pub(super) sync_failures: AtomicU64,
    pub(super) read_failures: AtomicU64,
    pub(super) torn_bytes: AtomicU64,
    pub(super) damaged_bytes: AtomicU64,
    pub(super) damaged_entries: AtomicU64,
    pub(super) rewritten: AtomicU64,
    pub(super) known_ids: AtomicU64,
    syncs: [AtomicU64; SYNC_BOUNDS_US.len() + 1],
    syncs_us: AtomicU64,
}

/// One more.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counters {
    /// The log's bytes on disk.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Relaxed)
    }

    /// The log grew.
    pub fn grow(&self, bytes: u64) {
        self.log_bytes.fetch_add(bytes, Relaxed);
    }

    /// The log shrank.
    pub fn shrink(&self, bytes: u64) {
        self.log_bytes.fetch_sub(bytes, Relaxed);
    }

    /// A batch of so many entries was refused.
    pub fn refuse(&self, refused: Refused, entries: usize) {
        let counter = match refused {
            Refused::Busy => &self.refused_busy,
            Refused::Full => &self.refused_full,
            Refused::TooLarge | Refused::Closed => &self.refused_other,
        };
        counter.fetch_add(entries as u64, Relaxed);
    }

    /// A batch was stored.
    pub fn append(&self, appended: Appended) {
        self.stored.fetch_add(appended.stored.into(), Relaxed);
        self.duplicates.fetch_add(appended.duplicates.into(), Relaxed);
        self.shed_unstored.fetch_add(appended.shed.into(), Relaxed);
    }

    /// A batch of so many entries was not stored.
    pub fn fail(&self, entries: usize) {
        self.failed.fetch_add(entries as u64, Relaxed);
    }

    /// A sync took so long.
    pub fn synced(&self, micros: u64) {
        let class = SYNC_BOUNDS_US.partition_point(|bound| *bound < micros);
        count(&self.syncs[class]);
        self.syncs_us.fetch_add(micros, Relaxed);
    }
}

/// Reads everything.
pub fn read(core: &Core) -> Meter {
    let counters = &core.counters;
    let value = |counter: &AtomicU64| counter.load(Relaxed);
    let (waiting_batches, waiting_bytes) = core.waiting.held();
    let mut meter = Meter {
        destinations: destinations(core),
        log_bytes: counters.log_bytes(),
        waiting_batches,
        waiting_bytes,
        stored: value(&counters.stored),
        duplicates: value(&counters.duplicates),
        shed_unstored: value(&counters.shed_unstored),
        refused_busy: value(&counters.refused_busy),
        refused_full: value(&counters.refused_full),
        refused_other: value(&counters.refused_other),
        failed: value(&counters.failed),
        write_failures: value(&counters.write_failures),
        sync_failures: value(&counters.sync_failures),
        read_failures: value(&counters.read_failures),
        torn_bytes: value(&counters.torn_bytes),
        damaged_bytes: value(&counters.damaged_bytes),
        damaged_entries: value(&counters.damaged_entries),
        rewritten: value(&counters.rewritten),
        known_ids: value(&counters.known_ids),
        ..Meter::default()
    };
    meter.syncs.sum_us = value(&counters.syncs_us);
    for (count, counter) in meter.syncs.counts.iter_mut().zip(&counters.syncs) {
        *count = value(counter);
    }
    let index = core.index();
    meter.segments = index.segments.len();
    for segment in index.segments.values() {
        for (sum, bytes) in meter.bytes_by_priority.iter_mut().zip(segment.by_priority) {
            *sum += bytes;
        }
    }
    meter
}

fn destinations(core: &Core) -> Vec<DestinationMeter> {
    let is_configured = |place: &usize| core.configured.contains(place);
    let gone = (0..core.ledgers.len()).filter(|place| !is_configured(place));
    let places = core.configured.iter().copied().chain(gone);
    let read = |place| {
        let ledger: &Ledger = &core.ledgers[place];
        let (mut meter, oldest) = ledger.meter()?;
        meter.is_configured = is_configured(&place);
        meter.oldest_ms = oldest.and_then(|number| core.index().time_of(number));
        Some(meter)
    };
    places.filter_map(read).collect()
}
