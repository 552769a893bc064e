//! The background thread of a door: makes batches, sends them, retries what may pass later, and
//! counts how every event ended.

use crate::clock::Clock;
use crate::door::{Answer, Door};
use crate::lane::{End, Lane};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The bounds of what the background does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Events of a request.
    pub(crate) batch_events: usize,
    /// Bytes of a request's events as they are queued.
    pub(crate) batch_bytes: usize,
    /// Bytes of a request's body, before it is compressed.
    pub(crate) request_bytes: usize,
    /// How long an event waits for others.
    pub(crate) linger: Duration,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    /// How long after the first attempt the last one may begin.
    pub(crate) give_up_after: Duration,
}

/// The longest wait after the first failed attempt; it doubles with each.
const BACKOFF_BASE: Duration = Duration::from_millis(250);
/// The longest wait between attempts, unless the gateway asks for more.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// The longest wait that the gateway can ask for.
const SERVER_WAIT_MAX: Duration = Duration::from_secs(600);

/// How a part of a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Settled,
    /// The gateway says that it is too large.
    TooLarge,
    /// It is above our own limit.
    AboveLimit,
}

/// The background thread's state.
#[derive(Debug)]
pub(crate) struct Exporter {
    lane: Arc<Lane>,
    door: Door,
    clock: Arc<Clock>,
    limits: Limits,
    body: Vec<u8>,
    /// Before this, the gateway wants to hear nothing.
    not_before: Option<Instant>,
}

impl Exporter {
    pub(crate) fn new(lane: Arc<Lane>, door: Door, clock: Arc<Clock>, limits: Limits) -> Self {
        Self { lane, door, clock, limits, body: Vec::new(), not_before: None }
    }

    /// Runs until the lane is closed and empty.
    pub(crate) fn run(mut self) {
        let mut flushes = 0;
        loop {
            let asked = self.lane.wait_for_work(self.limits.linger, flushes);
            let is_closing = self.lane.deadline().is_some();
            self.clock.refresh();
            // Who asked for a flush wants what is queued now; later events wait for others again.
            let wanted = self.lane.len();
            let is_asked = asked != flushes || is_closing;
            flushes = asked;
            self.drain(wanted, is_asked);
            if is_closing && self.lane.len() == 0 {
                return self.lane.tell_done();
            }
        }
    }

    /// Sends one batch, then those that are full; where it was asked for, all that was queued.
    fn drain(&mut self, mut wanted: usize, is_asked: bool) {
        loop {
            let batch = self.next_batch();
            if batch.is_empty() {
                return;
            }
            self.deliver(&batch);
            self.lane.tell();
            wanted = wanted.saturating_sub(batch.len());
            let has_more = self.lane.len() >= self.limits.batch_events;
            if !(has_more || is_asked && wanted > 0) {
                return;
            }
        }
    }

    fn next_batch(&self) -> Vec<Vec<u8>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < self.limits.batch_events && bytes < self.limits.batch_bytes {
            let Some(event) = self.lane.take() else { break };
            bytes += event.len();
            batch.push(event);
        }
        batch
    }

    /// Sends a batch, in halves where it is too large as a whole.
    fn deliver(&mut self, batch: &[Vec<u8>]) {
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.deliver_part(part) {
                Part::Settled => {}
                Part::TooLarge | Part::AboveLimit if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Part::TooLarge => self.lane.end(End::Refused, 1),
                Part::AboveLimit => self.lane.end(End::Dropped, 1),
            }
        }
    }

    fn deliver_part(&mut self, events: &[Vec<u8>]) -> Part {
        let count = events.len() as u64;
        let mut begun = None;
        for attempt in 0_u32.. {
            if self.not_before.is_some_and(|moment| !self.lane.wait_until(moment)) {
                break;
            }
            let now = Instant::now();
            let Some(timeout) = self.timeout(now) else { break };
            let begun = *begun.get_or_insert(now);
            self.door.encode(events, &self.clock, &mut self.body);
            if self.body.len() > self.limits.request_bytes {
                return Part::AboveLimit;
            }
            match self.door.post(&self.body, timeout, &self.clock) {
                Answer::Taken { refused } => {
                    let refused = refused.min(count);
                    self.not_before = None;
                    self.lane.end(End::Sent, count - refused);
                    self.lane.end(End::Refused, refused);
                    return Part::Settled;
                }
                Answer::Refused => {
                    self.lane.end(End::Refused, count);
                    return Part::Settled;
                }
                Answer::TooLarge => return Part::TooLarge,
                Answer::Again { after } => {
                    let next = Instant::now() + wait(attempt, after, fastrand::f64());
                    self.not_before = Some(next);
                    if next > begun + self.limits.give_up_after {
                        break;
                    }
                }
            }
        }
        self.lane.end(End::Failed, count);
        Part::Settled
    }

    /// How long a request that begins now may take; `None` where nothing may begin any more.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let Some(deadline) = self.lane.deadline() else { return Some(self.limits.timeout) };
        let left = deadline.saturating_duration_since(now);
        (!left.is_zero()).then(|| left.min(self.limits.timeout))
    }
}

/// The wait after a failed attempt, counted from zero: half of it fixed and half of it chance, or
/// what the gateway asked for and up to a tenth more.
fn wait(attempt: u32, asked: Option<Duration>, unit_random: f64) -> Duration {
    match asked {
        Some(asked) => asked.min(SERVER_WAIT_MAX).mul_f64(1.0 + unit_random / 10.0),
        None => {
            let longest = BACKOFF_BASE.saturating_mul(1 << attempt.min(16)).min(BACKOFF_MAX);
            longest.mul_f64(0.5 + unit_random / 2.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_maximum() {
        assert_eq!(wait(0, None, 0.0), Duration::from_millis(125));
        assert_eq!(wait(0, None, 1.0), Duration::from_millis(250));
        assert_eq!(wait(3, None, 1.0), Duration::from_secs(2));
        assert_eq!(wait(u32::MAX, None, 1.0), Duration::from_secs(10));
    }

    #[test]
    fn the_gateways_wait_is_never_cut() {
        assert_eq!(wait(0, Some(Duration::from_secs(3)), 0.0), Duration::from_secs(3));
        assert_eq!(wait(0, Some(Duration::from_secs(10)), 1.0), Duration::from_secs(11));
        assert_eq!(wait(9, Some(Duration::from_secs(9999)), 0.0), Duration::from_secs(600));
    }
}
