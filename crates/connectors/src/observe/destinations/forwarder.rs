//! One destination's loop: it reads the queue ahead, sends batches through the destination's
//! gate, and settles every event as delivered or rejected. It never gives up: what can't be sent
//! now stays in the queue, through outages of any length and restarts.
//!
//! A batch that the remote refuses for its content is halved until the event is found that is to
//! blame; that one goes to the dead letters. A refusal for its size makes later batches smaller.

use super::backlog::{Backlog, Most, orders};
use super::{Decoder, Pending, Sent, Sink};
use crate::observe::dead_letters::DeadLetter;
use crate::observe::letters::{self, Letterbox};
use crate::observe::queue::{Disposition, Item, Queue, QueueError, Reader};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use windlass_engine::policy::Bounds;
use windlass_engine::policy::batch_size::BatchSize;
use windlass_engine::remote::{Attempt, Remote};
use windlass_engine::{Context, Failure, Kind as FailureKind, Moment};

/// Events that are read ahead of their delivery, at most.
const AHEAD_EVENTS: usize = 10_000;
/// Bytes of them.
const AHEAD_BYTES: usize = 32 << 20;
/// How long a forwarder sleeps that has nothing to do.
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// How long a destination that refuses its keys or has no such path is left alone: a person has to
/// do something about it.
const MISCONFIGURED_WAIT: Duration = Duration::from_secs(15);

/// How a destination is fed.
#[derive(Clone, Copy, Debug)]
pub(in crate::observe) struct Pace {
    /// Events in a batch.
    pub(in crate::observe) events: Bounds,
    /// Bytes in a batch, before packing.
    pub(in crate::observe) bytes: usize,
    /// How long the first event of a batch waits for others.
    pub(in crate::observe) linger: Duration,
    /// What a batch should take; its size follows.
    pub(in crate::observe) target: Duration,
    /// Batches begun and not answered.
    pub(in crate::observe) flights: usize,
}

/// What is known of a forwarder from outside.
#[derive(Debug, Default)]
pub(in crate::observe) struct ForwarderMeter {
    /// Batches that were answered well.
    pub(in crate::observe) batches: AtomicU64,
    /// Events in them.
    pub(in crate::observe) events: AtomicU64,
    /// Attempts that were made again.
    pub(in crate::observe) retries: AtomicU64,
    /// Requests for patience.
    pub(in crate::observe) throttled: AtomicU64,
    /// Batches that were halved.
    pub(in crate::observe) splits: AtomicU64,
    /// The size of the next batch.
    pub(in crate::observe) batch_size: AtomicU64,
    /// Whether the destination refuses what only a person can mend.
    pub(in crate::observe) misconfigured: AtomicBool,
    /// All times of batches together, in microseconds.
    pub(in crate::observe) latency_sum_us: AtomicU64,
    /// Times of batches, in microseconds.
    pub(in crate::observe) latency: Mutex<Option<hdrhistogram::Histogram<u64>>>,
    /// The last thing that went wrong.
    pub(in crate::observe) last_error: Mutex<Option<String>>,
}

impl ForwarderMeter {
    /// Keeps the last thing that went wrong.
    pub(in crate::observe) fn note(&self, trouble: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
    }

    fn failed(&self, failure: &Failure) {
        self.note(failure.to_string());
    }

    fn took(&self, events: usize, took: Duration) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(events as u64, Ordering::Relaxed);
        self.misconfigured.store(false, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency_sum_us.fetch_add(micros, Ordering::Relaxed);
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        if latency.is_none() {
            // Two significant digits of up to an hour take 40 kB.
            *latency = hdrhistogram::Histogram::new_with_max(3_600_000_000, 2).ok();
        }
        if let Some(latency) = latency.as_mut() {
            latency.saturating_record(micros);
        }
    }
}

/// What feeds one destination.
pub(in crate::observe) struct Forwarder {
    /// Its name in the queue and in dead letters.
    pub(in crate::observe) name: String,
    /// Its number in the queue.
    pub(in crate::observe) number: usize,
    /// Where events go.
    pub(in crate::observe) sink: Arc<Sink>,
    /// Its limits.
    pub(in crate::observe) remote: Arc<Remote>,
    /// Where events come from.
    pub(in crate::observe) queue: Queue,
    /// Where events go that it will never take.
    pub(in crate::observe) dead_letters: Arc<Letterbox>,
    /// How it is fed.
    pub(in crate::observe) pace: Pace,
    /// What is told of it.
    pub(in crate::observe) meter: Arc<ForwarderMeter>,
}

/// A batch that is off the wire.
struct Landed {
    /// Whose turn is over.
    orders: Vec<u64>,
    /// What has to go again.
    back: Vec<Pending>,
    /// Sizes that were too large.
    too_large: Vec<usize>,
    /// Batches that were answered well, with their times.
    answered: Vec<(usize, Duration)>,
}

impl Forwarder {
    /// Delivers until a stop is asked for. What is on the wire then is still answered.
    pub(in crate::observe) async fn run(self, context: Context) {
        let this = Arc::new(self);
        let mut reader = this.queue.reader(this.number);
        let mut backlog = Backlog::new(this.sink.keeps_order());
        let mut size = BatchSize::new(this.pace.events, Some(this.pace.target));
        let mut decoder = Decoder::default();
        let mut flights: JoinSet<Landed> = JoinSet::new();
        let mut broken = false;
        while !context.stop.is_draining() {
            let now = context.clock.now();
            let most = Most { events: size.size(), bytes: this.pace.bytes };
            this.meter.batch_size.store(most.events as u64, Ordering::Relaxed);
            let mut ripe = backlog.ripe_at(now, most, this.pace.linger);
            while ripe.is_some_and(|at| at <= now) && flights.len() < this.pace.flights {
                let batch = backlog.take(most);
                if batch.is_empty() {
                    break;
                }
                flights.spawn(Arc::clone(&this).fly(context.clone(), batch));
                ripe = backlog.ripe_at(now, most, this.pace.linger);
            }
            let waits = ripe.filter(|&at| at > now).unwrap_or(now + IDLE_LOOK);
            let has_room = backlog.len() < AHEAD_EVENTS && backlog.bytes() < AHEAD_BYTES;
            tokio::select! {
                items = read(&mut reader, &backlog), if has_room && !broken => match items {
                    Ok(items) => {
                        this.take_in(items, &mut decoder, &mut backlog, context.clock.now());
                    }
                    // What is on the way is still delivered; a person has to look at the disk.
                    Err(error) => {
                        this.meter.note(format!("the queue can't be read: {error}"));
                        broken = true;
                    }
                },
                Some(landed) = flights.join_next() => {
                    settle_in(landed, &mut backlog, &mut size, context.clock.now());
                }
                () = context.clock.sleep_until(waits) => {}
                () = context.stop.draining() => {}
            }
        }
        // Requests that wait for their turn give up by themselves; those on the wire are answered.
        while flights.join_next().await.is_some() {}
    }

    fn take_in(&self, items: Vec<Item>, decoder: &mut Decoder, backlog: &mut Backlog, now: Moment) {
        for item in &items {
            match decoder.read(item) {
                Ok(event) => backlog.push(now, event),
                // Its checksum was right, so another version of the program wrote it.
                Err(error) => {
                    let reason = format!("the queue's event can't be read: {error}");
                    self.bury_bytes(item, &reason);
                }
            }
        }
    }

    /// Sends one batch, in parts if need be, until each event is settled or has to go again.
    async fn fly(self: Arc<Self>, context: Context, batch: Vec<Pending>) -> Landed {
        let mut landed = Landed {
            orders: orders(&batch).collect(),
            back: Vec::new(),
            too_large: Vec::new(),
            answered: Vec::new(),
        };
        // The part at the end goes first.
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            let answered_before = self.meter.batches.load(Ordering::Relaxed);
            let failure = match self.call(&context, &part).await {
                Ok((sent, took)) => {
                    landed.answered.push((part.len(), took));
                    self.meter.took(part.len(), took);
                    self.settle(part, sent);
                    continue;
                }
                Err(failure) => failure,
            };
            let others_work = self.meter.batches.load(Ordering::Relaxed) > answered_before;
            match remedy(&failure, others_work) {
                Remedy::Stop => {
                    landed.back.extend(part);
                    landed.back.extend(parts.into_iter().flatten());
                    break;
                }
                Remedy::Split if part.len() > 1 => {
                    self.meter.failed(&failure);
                    self.meter.splits.fetch_add(1, Ordering::Relaxed);
                    if failure.kind == FailureKind::TooLarge {
                        landed.too_large.push(part.len());
                    }
                    let second = part.split_off(part.len() / 2);
                    parts.extend([second, part]);
                }
                Remedy::Split => {
                    self.meter.failed(&failure);
                    let sent = Sent { rejected: vec![(0, failure.to_string())] };
                    self.settle(part, sent);
                }
                Remedy::Wait(time) => {
                    self.meter.failed(&failure);
                    self.meter.misconfigured.store(time >= MISCONFIGURED_WAIT, Ordering::Relaxed);
                    tokio::select! {
                        () = context.clock.sleep(time) => {}
                        () = context.stop.draining() => {}
                    }
                    parts.push(part);
                }
            }
        }
        landed
    }

    async fn call(&self, context: &Context, part: &[Pending]) -> Result<(Sent, Duration), Failure> {
        let items = u32::try_from(part.len()).unwrap_or(u32::MAX);
        let send = |attempt| async move { self.send(part, &attempt).await };
        let answer = self.remote.call_with(context, 0, items, false, send).await?;
        Ok((answer.value, answer.latency))
    }

    /// Makes one attempt. What was shed for want of room since it was read is counted as that
    /// already and stays behind.
    async fn send(&self, part: &[Pending], attempt: &Attempt) -> Result<Sent, Failure> {
        let numbers: Vec<u64> = part.iter().map(|event| event.seq).collect();
        let open = self.queue.are_open(self.number, &numbers);
        if open.iter().all(|&is_open| is_open) {
            return self.sink.send(part, attempt).await;
        }
        let left = part.iter().enumerate().zip(open).filter(|(_, is_open)| *is_open);
        let (places, left): (Vec<usize>, Vec<Pending>) =
            left.map(|((place, event), _)| (place, event.clone())).unzip();
        if left.is_empty() {
            return Ok(Sent::default());
        }
        let sent = self.sink.send(&left, attempt).await?;
        let place = |place: usize| places.get(place).copied().unwrap_or_default();
        let rejected = sent.rejected.into_iter().map(|(at, reason)| (place(at), reason));
        Ok(Sent { rejected: rejected.collect() })
    }

    /// Every event of an answered batch is delivered or rejected. What is rejected is in the dead
    /// letters first; where they can't be written it stays in the queue, for the next start.
    fn settle(&self, batch: Vec<Pending>, sent: Sent) {
        let mut rejected: Vec<(u64, bool)> = Vec::new();
        for (place, reason) in sent.rejected {
            if let Some(event) = batch.get(place) {
                rejected.push((event.seq, self.bury(event, &reason)));
            }
        }
        let is_rejected = |seq: u64| rejected.iter().any(|&(other, _)| other == seq);
        let delivered = batch.iter().map(|event| event.seq);
        let delivered: Vec<u64> = delivered.filter(|&seq| !is_rejected(seq)).collect();
        // It fails where the queue is closed, which comes after this loop has ended.
        let _ = self.queue.settle(self.number, &delivered, Disposition::Delivered);
        let buried = rejected.iter().filter(|(_, buried)| *buried).map(|&(seq, _)| seq);
        let buried: Vec<u64> = buried.collect();
        if !buried.is_empty() {
            let _ = self.queue.settle(self.number, &buried, Disposition::Rejected);
        }
    }

    fn bury(&self, event: &Pending, reason: &str) -> bool {
        self.write_letter(letters::of_event(&self.name, &event.shared, &event.event, reason))
    }

    fn bury_bytes(&self, item: &Item, reason: &str) {
        let id = item.seq.to_string();
        let letter = letters::of_bytes(&self.name, &id, &item.payload, reason);
        if self.write_letter(letter) {
            let _ = self.queue.settle(self.number, &[item.seq], Disposition::Rejected);
        }
    }

    fn write_letter(&self, letter: DeadLetter) -> bool {
        match self.dead_letters.put(letter) {
            Ok(()) => true,
            Err(error) => {
                self.meter.note(format!("the dead letters can't be written: {error}"));
                false
            }
        }
    }
}

/// What helps against a failure that the engine did not outlast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// The gateway stops: the queue keeps it.
    Stop,
    /// Something in the batch is to blame.
    Split,
    /// The destination is: it is asked again later.
    Wait(Duration),
}

/// A remote that answers 500 to this batch and 200 to others means this batch.
fn remedy(failure: &Failure, others_work: bool) -> Remedy {
    match failure.kind {
        FailureKind::Cancelled => Remedy::Stop,
        FailureKind::Rejected | FailureKind::Conflict | FailureKind::TooLarge => Remedy::Split,
        FailureKind::Unavailable | FailureKind::TimedOut | FailureKind::Malformed
            if others_work && failure.status.is_some() =>
        {
            Remedy::Split
        }
        FailureKind::Throttled
        | FailureKind::Unavailable
        | FailureKind::TimedOut
        | FailureKind::Away
        | FailureKind::Malformed => Remedy::Wait(Duration::from_secs(1)),
        FailureKind::Absent
        | FailureKind::Forbidden
        | FailureKind::Denied
        | FailureKind::Output
        | FailureKind::Bug => Remedy::Wait(MISCONFIGURED_WAIT),
    }
}

async fn read(reader: &mut Reader, backlog: &Backlog) -> Result<Vec<Item>, QueueError> {
    let events = (AHEAD_EVENTS - backlog.len()).min(1_000);
    reader.read(events, AHEAD_BYTES - backlog.bytes()).await
}

fn settle_in(
    landed: Result<Landed, tokio::task::JoinError>,
    backlog: &mut Backlog,
    size: &mut BatchSize,
    now: Moment,
) {
    // A task that panicked keeps its orders busy and its events in the queue until a restart.
    let Ok(landed) = landed else { return };
    for count in landed.too_large {
        size.too_large(count);
    }
    for (count, took) in landed.answered {
        size.observed(count, took);
    }
    backlog.landed(now, &landed.orders, landed.back);
}
