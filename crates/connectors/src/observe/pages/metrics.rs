//! The metrics of a gateway: which there are, and what of a [`Status`] each of them shows.

use super::exposition::Form::{Counter, Gauge, Histogram};
use super::exposition::{Exposition, Form, Times, millis, picos};
use crate::observe::status::{
    DestinationStatus, DoorStatus, LATENCY_BOUNDS_US, Latency, PolicyStatus, QueueStatus, Status,
};

/// All of them, in Prometheus' text format.
pub(super) fn text(status: &Status) -> String {
    let mut out = Exposition::new();
    process(&mut out, status);
    events(&mut out, status);
    doors(&mut out, &status.doors);
    queues(&mut out, status);
    held(&mut out, status);
    destinations(&mut out, &status.destinations);
    destination_latency(&mut out, &status.destinations);
    costs(&mut out, status);
    policies(&mut out, &status.policies);
    decisions(&mut out, status);
    out.finish()
}

fn process(out: &mut Exposition, status: &Status) {
    out.family("build_info", Gauge, "Always 1; the label is the version of the program.");
    out.sample(&[("version", status.version)], 1);
    let help = "Whether the gateway takes events in and should be sent to.";
    out.single("ready", Gauge, help, u8::from(status.not_ready.is_empty()));
    let help = "When the process started, in seconds since 1970.";
    out.common_family("process_start_time_seconds", Gauge, help);
    out.sample(&[], millis(status.started_ms));
    let help = "Memory of the process that is in the machine's memory.";
    out.common_family("process_resident_memory_bytes", Gauge, help);
    out.sample(&[], status.memory_bytes);
    let help = "Processor time of the process, of its users and of the system.";
    out.common_family("process_cpu_seconds_total", Counter, help);
    out.sample(&[], status.cpu_seconds);
    let help = "Memory of the machine.";
    out.single("machine_memory_bytes", Gauge, help, status.machine_memory_bytes);
    out.family("reload_failed", Gauge, "1 for a file whose new content is not in force.");
    for file in status.reload_errors.keys() {
        out.sample(&[("file", file)], 1);
    }
}

fn events(out: &mut Exposition, status: &Status) {
    let help = "Events that doors read.";
    out.single("events_received_total", Counter, help, status.events.received);
    out.family("events_total", Counter, "Events by what became of them at the doors.");
    for (result, count) in status.events.named() {
        out.sample(&[("result", result)], count);
    }
}

/// Writes one figure of every part of the gateway as a family.
fn each<T>(
    out: &mut Exposition,
    (name, form, help): (&str, Form, &str),
    parts: &[T],
    label: impl Fn(&T) -> (&'static str, &str),
    value: impl Fn(&T) -> u64,
) {
    out.family(name, form, help);
    for part in parts {
        out.sample(&[label(part)], value(part));
    }
}

fn doors(out: &mut Exposition, doors: &[DoorStatus]) {
    fn label(door: &DoorStatus) -> (&'static str, &str) {
        ("door", door.name)
    }
    out.family("door_requests_total", Counter, "Requests by the status of their answer.");
    for door in doors {
        for (code, &count) in &door.requests {
            out.sample(&[label(door), ("status", &code.to_string())], count);
        }
    }
    let family = ("door_bytes_total", Counter, "Bytes of bodies as they came, still packed.");
    each(out, family, doors, label, |door| door.bytes);
    let family = ("door_events_total", Counter, "Events in the requests.");
    each(out, family, doors, label, |door| door.events);
    let family = ("door_rejected_total", Counter, "Events that were refused as malformed.");
    each(out, family, doors, label, |door| door.rejected);
    let help = "From the end of a request's head to its answer.";
    out.family("door_request_duration_seconds", Histogram, help);
    for door in doors {
        out.histogram(&[label(door)], &times(&door.latency));
    }
}

fn times(latency: &Latency) -> Times<'_> {
    Times {
        bounds_us: &LATENCY_BOUNDS_US,
        at_most: &latency.at_most,
        count: latency.count,
        sum_us: latency.sum_us,
    }
}

fn queues(out: &mut Exposition, status: &Status) {
    type Queue<'a> = (&'static str, &'a QueueStatus);
    fn label<'a>(queue: &'a Queue<'_>) -> (&'static str, &'a str) {
        ("queue", queue.0)
    }
    let queues: [Queue<'_>; 2] = [("main", &status.queue), ("hold", &status.hold)];
    let family = ("queue_bytes", Gauge, "Size of the queue on disk.");
    each(out, family, &queues, label, |queue| queue.1.bytes);
    let family = ("queue_bytes_max", Gauge, "Size that the queue may have.");
    each(out, family, &queues, label, |queue| queue.1.bytes_max);
    let family = ("queue_waiting", Gauge, "Requests that wait to be written.");
    each(out, family, &queues, label, |queue| queue.1.waiting);
    let help = "Events that the queue refused, because too much waited or it was full.";
    out.family("queue_refused_total", Counter, help);
    for queue in &queues {
        out.sample(&[label(queue), ("reason", "busy")], queue.1.refused_busy);
        out.sample(&[label(queue), ("reason", "full")], queue.1.refused_full);
    }
    let family = ("queue_shed_total", Counter, "Events that were shed before they were stored.");
    each(out, family, &queues, label, |queue| queue.1.shed_unstored);
    let family = ("duplicates_total", Counter, "Copies of events that the queue had already.");
    each(out, family, &queues, label, |queue| queue.1.duplicates);
    let family = ("queue_disk_failures_total", Counter, "Writes and syncs that the disk refused.");
    each(out, family, &queues, label, |queue| queue.1.disk_failures);
    out.family("queue_sync_duration_seconds", Histogram, "How long syncs to the disk took.");
    for queue in &queues {
        let syncs = &queue.1.syncs;
        let times = Times {
            bounds_us: &syncs.bounds_us,
            at_most: &syncs.at_most,
            count: syncs.count,
            sum_us: syncs.sum_us,
        };
        out.histogram(&[label(queue)], &times);
    }
}

fn held(out: &mut Exposition, status: &Status) {
    let held = &status.held;
    let help = "Parts of observations that wait to be joined.";
    out.single("held_parts", Gauge, help, held.parts);
    let help = "Spans whose trace is not decided on.";
    out.single("held_spans", Gauge, help, held.spans);
    let help = "Observations that were joined from parts.";
    out.single("held_joined_total", Counter, help, held.joined);
    let help = "Traces that a rule kept at their end.";
    out.single("held_traces_kept_total", Counter, help, held.traces_kept);
    let help = "Traces that nothing kept.";
    out.single("held_traces_out_total", Counter, help, held.traces_out);
    let help = "Spans of traces that nothing kept.";
    out.single("held_spans_out_total", Counter, help, held.spans_out);
}

fn by_destination(one: &DestinationStatus) -> (&'static str, &str) {
    ("destination", &one.name)
}

type Figure<T> = (&'static str, Form, &'static str, fn(&T) -> u64);

/// The plain figures of a destination.
const DESTINATION: [Figure<DestinationStatus>; 17] = [
    ("routed_total", Counter, "Events that were ever for it.", |one| one.routed),
    ("delivered_total", Counter, "Events that it has.", |one| one.delivered),
    ("rejected_total", Counter, "Events that it will never take.", |one| one.rejected),
    ("shed_total", Counter, "Events that were given up for want of room.", |one| one.shed),
    ("pending", Gauge, "Events that wait.", |one| one.pending),
    ("pending_bytes", Gauge, "About the bytes of those that wait.", |one| one.pending_bytes),
    ("in_flight", Gauge, "Requests on the wire.", |one| u64::from(one.in_flight)),
    ("concurrency", Gauge, "Requests that may be on the wire.", |one| u64::from(one.concurrency)),
    ("batch_size", Gauge, "Events in the next batch.", |one| one.batch_size),
    ("batches_total", Counter, "Requests that were answered well.", |one| one.batches),
    ("retries_total", Counter, "Attempts that were made again.", |one| one.retries),
    ("throttled_total", Counter, "Answers that asked for patience (429).", |one| one.throttled),
    ("splits_total", Counter, "Batches that were halved.", |one| one.splits),
    ("waiting", Gauge, "Whether something holds new requests up.", |one| {
        u64::from(!one.waiting.is_empty())
    }),
    ("misconfigured", Gauge, "Whether it refuses its keys or its path.", |one| {
        u64::from(one.is_misconfigured)
    }),
    ("off", Gauge, "Whether a flag switches it off.", |one| u64::from(one.is_off)),
    ("configured", Gauge, "Whether the gateway's file has it.", |one| {
        u64::from(!one.kind.is_empty())
    }),
];

fn destinations(out: &mut Exposition, destinations: &[DestinationStatus]) {
    out.family("destination_info", Gauge, "Always 1; the label is the kind of destination.");
    for one in destinations {
        out.sample(&[by_destination(one), ("kind", one.kind)], 1);
    }
    for (name, form, help, value) in DESTINATION {
        let name = format!("destination_{name}");
        each(out, (&name, form, help), destinations, by_destination, value);
    }
    out.family("destination_lag_seconds", Gauge, "How long the oldest event waits.");
    for one in destinations {
        out.sample(&[by_destination(one)], millis(one.lag_ms));
    }
}

fn destination_latency(out: &mut Exposition, destinations: &[DestinationStatus]) {
    let help = "How long requests to the destination took.";
    out.family("destination_request_duration_seconds", Histogram, help);
    for one in destinations {
        out.histogram(&[by_destination(one)], &times(&one.latency));
    }
}

fn costs(out: &mut Exposition, status: &Status) {
    out.family("cost_usd_total", Counter, "What the generations of a model cost, in US dollars.");
    for (model, sum) in &status.costs {
        out.sample(&[("model", model)], picos(sum.cost_pico));
    }
    out.family("tokens_total", Counter, "Tokens that a model read and wrote.");
    for (model, sum) in &status.costs {
        out.sample(&[("model", model), ("direction", "input")], sum.input_tokens);
        out.sample(&[("model", model), ("direction", "output")], sum.output_tokens);
    }
    out.family("generations_total", Counter, "Generations by whether their price is known.");
    for (model, sum) in &status.costs {
        let priced = sum.events.saturating_sub(sum.unpriced);
        out.sample(&[("model", model), ("priced", "yes")], priced);
        out.sample(&[("model", model), ("priced", "no")], sum.unpriced);
    }
    // Without a label it is there from the start, so that its first increase is seen as one.
    let help = "Generations of models that the prices do not know.";
    out.single("unpriced_total", Counter, help, status.prices.unknown);
    let help = "Models that the prices know.";
    out.single("price_models", Gauge, help, status.prices.models);
    out.family("price_info", Gauge, "Always 1; the label is the hash of the prices in force.");
    out.sample(&[("hash", &status.prices.hash)], 1);
}

/// The figures of a policy.
const POLICY: [Figure<PolicyStatus>; 6] = [
    ("matched", Counter, "Events that met the conditions.", |policy| policy.matched),
    ("flagged", Counter, "Events that the policy flagged.", |policy| policy.flagged),
    ("masked", Counter, "Events that the policy masked.", |policy| policy.masked),
    ("dropped", Counter, "Events that the policy dropped.", |policy| policy.dropped),
    ("refused", Counter, "Events that the policy refused.", |policy| policy.refused),
    ("alerted", Counter, "Alerts that the policy raised.", |policy| policy.alerted),
];

fn policies(out: &mut Exposition, policies: &[PolicyStatus]) {
    for (name, form, help, value) in POLICY {
        let name = format!("policy_{name}_total");
        each(out, (&name, form, help), policies, |policy| ("policy", &policy.name), value);
    }
}

fn decisions(out: &mut Exposition, status: &Status) {
    out.family("masked_total", Counter, "How often a mask hid something.");
    for (mask, count) in &status.masks {
        out.sample(&[("mask", mask)], count);
    }
    let help = "Share of traces that is kept whatever they are, from 0 to 1.";
    out.single("sampling_rate", Gauge, help, status.sampling_rate);
    let help = "Whether traces are taken at all.";
    out.single("tracing", Gauge, help, u8::from(status.tracing));
    let help = "Letters that were buried since the start.";
    out.single("dead_letters_total", Counter, help, status.dead_letters);
}
