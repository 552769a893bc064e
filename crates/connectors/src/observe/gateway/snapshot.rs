//! What a running gateway looks like at one moment: the parts' own figures, put into one record.

use super::Running;
use crate::observe::queue;
use crate::observe::settings::DestinationKind;
use crate::observe::status::{
    DestinationStatus, Latency, PolicyStatus, PriceStatus, QueueStatus, Status, SyncStatus,
};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};
use windlass_engine::clock::unix_millis;
use windlass_engine::event::Waiting;

/// How much of the machine this process takes; asked when somebody looks.
/// Nothing is known where the system does not say.
pub(in crate::observe) struct Machine(Option<Mutex<System>>);

impl Machine {
    pub(in crate::observe) fn new() -> Self {
        let system = System::new().ok().map(|mut system| {
            system.refresh_memory();
            Mutex::new(system)
        });
        Self(system)
    }

    /// Memory of the process and of the machine in bytes, and processor time in seconds.
    fn usage(&self) -> (u64, u64, f64) {
        let Some(system) = &self.0 else { return (0, 0, 0.0) };
        let mut system = system.lock().unwrap_or_else(PoisonError::into_inner);
        let own = sysinfo::Pid::from_u32(std::process::id());
        let kind = ProcessRefreshKind::nothing().with_memory().with_cpu();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, kind);
        let process = system.process(own);
        let memory = process.map_or(0, sysinfo::Process::memory);
        let cpu = process.map_or(0, sysinfo::Process::accumulated_cpu_time);
        (memory, system.total_memory(), cpu as f64 / 1e3)
    }
}

impl Running {
    /// Everything that is known now, but for what only the doors know.
    pub(in crate::observe) fn status(&self) -> Status {
        let now_ms = unix_millis();
        let pipeline = &self.pipeline;
        let meter = pipeline.queue.meter();
        let hold = pipeline.hold.meter();
        let switches = pipeline.switches.at_large(now_ms);
        let (memory_bytes, machine_memory_bytes, cpu_seconds) = self.machine.usage();
        let destinations: Vec<DestinationStatus> = meter
            .destinations
            .iter()
            .enumerate()
            .map(|(place, queued)| self.destination(place, queued, now_ms))
            .collect();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            started_ms: self.started_ms,
            now_ms,
            not_ready: not_ready(&meter, self.queue_bytes_max),
            events: pipeline.ledger.counts(),
            doors: Vec::new(),
            connections: 0,
            refused_connections: 0,
            queue: queue_status(&meter, self.queue_bytes_max),
            hold: queue_status(&hold, self.hold_bytes_max),
            held: *self.held.lock().unwrap_or_else(PoisonError::into_inner),
            destinations,
            costs: pipeline.costs.all(),
            policies: self.policies(),
            alerts: pipeline.alerts(),
            masks: pipeline.masks.counts(),
            prices: PriceStatus {
                hash: pipeline.prices.hash(),
                models: pipeline.prices.len() as u64,
                unknown: pipeline.prices.unknown(),
            },
            sampling_rate: switches.rate().unwrap_or_else(|| pipeline.sampling.rate()),
            tracing: switches.is_tracing(),
            reload_errors: self.troubles.all(),
            dead_letters: self.dead_letters.written(),
            memory_bytes,
            machine_memory_bytes,
            cpu_seconds,
        }
    }

    fn destination(
        &self,
        place: usize,
        queued: &queue::DestinationMeter,
        now_ms: u64,
    ) -> DestinationStatus {
        let base = DestinationStatus {
            name: queued.name.clone(),
            routed: queued.routed,
            delivered: queued.delivered,
            rejected: queued.rejected,
            shed: queued.shed,
            pending: queued.pending,
            pending_bytes: queued.pending_bytes,
            lag_ms: queued.oldest_ms.map_or(0, |oldest| now_ms.saturating_sub(oldest)),
            ..DestinationStatus::default()
        };
        let Some(known) = self.destinations.get(place).filter(|_| queued.is_configured) else {
            return base;
        };
        let (gate, meter) = (known.remote.meter(), &known.meter);
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let switches = self.pipeline.switches.at_large(now_ms);
        let latency = meter.latency.lock().unwrap_or_else(PoisonError::into_inner);
        DestinationStatus {
            kind: kind_name(known.kind),
            is_off: known.flag.as_deref().is_some_and(|flag| !switches.is_on(flag)),
            in_flight: gate.in_flight,
            concurrency: gate.concurrency,
            batch_size: read(&meter.batch_size),
            batches: read(&meter.batches),
            retries: read(&meter.retries),
            throttled: read(&meter.throttled),
            splits: read(&meter.splits),
            waiting: gate.waiting.as_ref().map(words).unwrap_or_default(),
            is_misconfigured: meter.misconfigured.load(Ordering::Relaxed),
            last_error: meter.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            latency: latency
                .as_ref()
                .map(|times| Latency::of(times, read(&meter.latency_sum_us)))
                .unwrap_or_default(),
            ..base
        }
    }

    fn policies(&self) -> Vec<PolicyStatus> {
        let counts = self.pipeline.policies.load().counts();
        let status = |count: &crate::observe::policy::PolicyCounts| PolicyStatus {
            name: count.name.clone(),
            matched: count.matched,
            flagged: count.flagged,
            masked: count.masked,
            dropped: count.dropped,
            refused: count.refused,
            alerted: count.alerted,
        };
        counts.iter().map(status).collect()
    }
}

/// Why nothing is sent now.
fn words(waiting: &Waiting) -> String {
    match waiting {
        Waiting::Quota(window) => format!("its {window} is used up"),
        Waiting::Throttled => "it asked for patience".to_owned(),
        Waiting::Told => "its headers say that nothing is left".to_owned(),
        Waiting::Concurrency => "as many requests as allowed are on the wire".to_owned(),
        Waiting::Breaker => "it failed many times in a row and is asked again later".to_owned(),
        Waiting::Paused => "it is paused".to_owned(),
        Waiting::Held(reason) => reason.clone(),
    }
}

/// The name of a kind, as in the gateway's file.
const fn kind_name(kind: DestinationKind) -> &'static str {
    match kind {
        DestinationKind::Langfuse => "langfuse",
        DestinationKind::Rudderstack => "rudderstack",
        DestinationKind::Otlp => "otlp",
        DestinationKind::Sql => "sql",
        DestinationKind::Jsonl => "jsonl",
        DestinationKind::Blackhole => "blackhole",
    }
}

/// Why nothing should be sent here now. A destination that is down is none: that is what the queue
/// is for.
fn not_ready(meter: &queue::Meter, bytes_max: u64) -> Vec<String> {
    let mut reasons = Vec::new();
    // The last tenth is for what is on its way.
    if meter.log_bytes > bytes_max / 10 * 9 {
        let (bytes, most) = (meter.log_bytes >> 20, bytes_max >> 20);
        reasons.push(format!("the queue is nearly full: {bytes} of {most} MiB"));
    }
    if meter.destinations.iter().any(|one| one.is_unrecorded) {
        reasons.push("the disk refuses to record what is delivered".to_owned());
    }
    reasons
}

fn queue_status(meter: &queue::Meter, bytes_max: u64) -> QueueStatus {
    let mut at_most = 0;
    let cumulative = meter.syncs.counts.iter().take(queue::SYNC_BOUNDS_US.len()).map(|count| {
        at_most += count;
        at_most
    });
    QueueStatus {
        bytes: meter.log_bytes,
        bytes_max,
        waiting: meter.waiting_batches as u64,
        refused_busy: meter.refused_busy,
        refused_full: meter.refused_full,
        shed_unstored: meter.shed_unstored,
        duplicates: meter.duplicates,
        disk_failures: meter.write_failures + meter.sync_failures,
        syncs: SyncStatus {
            bounds_us: queue::SYNC_BOUNDS_US.to_vec(),
            at_most: cumulative.collect(),
            count: meter.syncs.counts.iter().sum(),
            sum_us: meter.syncs.sum_us,
        },
    }
}
