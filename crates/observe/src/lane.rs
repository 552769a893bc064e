//! The bounded queue between callers and a background thread, and the counts that always add up.
//!
//! Callers touch atomics and the ring only: they take no lock, make no system call and wake nobody.
//! The background thread looks by itself every so often; only `flush` and the end wake it.

use crossbeam_queue::ArrayQueue;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Which event is dropped when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The one that comes.
    #[default]
    DropNewest,
    /// Those that wait longest.
    DropOldest,
}

/// What became of everything that was recorded:
/// `recorded == dropped + sent + failed + refused + queued`, at any moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events and spans that callers finished.
    pub recorded: u64,
    /// Those that found no room, were too large to send, or came after the end.
    pub dropped: u64,
    /// Those that the gateway took.
    pub sent: u64,
    /// Those that were given up after retries.
    pub failed: u64,
    /// Those that the gateway refused for good.
    pub refused: u64,
    /// Those that wait, or are on the wire.
    pub queued: u64,
}

impl Stats {
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            recorded: self.recorded + other.recorded,
            dropped: self.dropped + other.dropped,
            sent: self.sent + other.sent,
            failed: self.failed + other.failed,
            refused: self.refused + other.refused,
            queued: self.queued + other.queued,
        }
    }
}

/// Keeps what callers write apart from what the background thread writes: two cores that write to
/// one line of the cache (and its neighbour, which is fetched with it) wait for each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// How events ended in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// See [`Stats::sent`].
    Sent,
    /// See [`Stats::failed`].
    Failed,
    /// See [`Stats::refused`].
    Refused,
    /// Dropped after it was queued.
    Dropped,
}

#[derive(Debug, Default)]
struct Ends {
    sent: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
}

/// What the background thread is told.
#[derive(Debug, Default)]
struct Orders {
    /// How many times somebody asked for everything to be sent now.
    flushes: u64,
    /// Until when everything has to end, once it has to.
    deadline: Option<Instant>,
    /// Whether the background thread has ended.
    is_done: bool,
}

/// How many events a caller moves out of its way at most, so that a single large one among many
/// small ones keeps no caller busy.
const EVICTIONS_MAX: usize = 64;

/// A queue with its counts.
#[derive(Debug)]
pub(crate) struct Lane {
    queue: ArrayQueue<Vec<u8>>,
    bytes: Apart<AtomicUsize>,
    bytes_max: usize,
    event_max: usize,
    when_full: WhenFull,
    accepted: Apart<AtomicU64>,
    turned_away: Apart<AtomicU64>,
    ends: Apart<Ends>,
    is_closed: AtomicBool,
    orders: Mutex<Orders>,
    changed: Condvar,
}

impl Lane {
    /// A queue of so many events and bytes; an event of more than `event_max` bytes is dropped.
    pub(crate) fn new(
        events: usize,
        bytes_max: usize,
        event_max: usize,
        when_full: WhenFull,
    ) -> Self {
        Self {
            queue: ArrayQueue::new(events.max(1)),
            bytes: Apart::default(),
            bytes_max,
            event_max,
            when_full,
            accepted: Apart::default(),
            turned_away: Apart::default(),
            ends: Apart::default(),
            is_closed: AtomicBool::new(false),
            orders: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Queues an event, or drops it or older ones; never waits.
    pub(crate) fn offer(&self, event: Vec<u8>) {
        let is_in = event.len() <= self.event_max
            && !self.is_closed.load(Ordering::Relaxed)
            && match self.when_full {
                WhenFull::DropNewest => self.push(event),
                WhenFull::DropOldest => self.push_over(event),
            };
        let count = if is_in { &self.accepted } else { &self.turned_away };
        count.0.fetch_add(1, Ordering::Relaxed);
    }

    fn push(&self, event: Vec<u8>) -> bool {
        let size = event.capacity();
        let before = self.bytes.0.fetch_add(size, Ordering::Relaxed);
        if before.saturating_add(size) <= self.bytes_max && self.queue.push(event).is_ok() {
            return true;
        }
        self.bytes.0.fetch_sub(size, Ordering::Relaxed);
        false
    }

    fn push_over(&self, event: Vec<u8>) -> bool {
        let size = event.capacity();
        self.bytes.0.fetch_add(size, Ordering::Relaxed);
        let mut evictions = 0;
        while self.bytes.0.load(Ordering::Relaxed) > self.bytes_max {
            if evictions == EVICTIONS_MAX || self.take().is_none() {
                self.bytes.0.fetch_sub(size, Ordering::Relaxed);
                return false;
            }
            self.end(End::Dropped, 1);
            evictions += 1;
        }
        if let Some(oldest) = self.queue.force_push(event) {
            self.bytes.0.fetch_sub(oldest.capacity(), Ordering::Relaxed);
            self.end(End::Dropped, 1);
        }
        true
    }

    /// The event that waits longest.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let event = self.queue.pop()?;
        self.bytes.0.fetch_sub(event.capacity(), Ordering::Relaxed);
        Some(event)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Counts how events ended.
    pub(crate) fn end(&self, end: End, count: u64) {
        let ends = &self.ends.0;
        let counter = match end {
            End::Sent => &ends.sent,
            End::Failed => &ends.failed,
            End::Refused => &ends.refused,
            End::Dropped => &ends.dropped,
        };
        counter.fetch_add(count, Ordering::Release);
    }

    pub(crate) fn stats(&self) -> Stats {
        let ends = &self.ends.0;
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let (sent, failed) = (read(&ends.sent), read(&ends.failed));
        let (refused, evicted) = (read(&ends.refused), read(&ends.dropped));
        let settled = sent + failed + refused + evicted;
        // A caller counts its event after it has queued it; the background may be faster.
        let accepted = read(&self.accepted.0).max(settled);
        let turned_away = read(&self.turned_away.0);
        Stats {
            recorded: accepted + turned_away,
            dropped: turned_away + evicted,
            sent,
            failed,
            refused,
            queued: accepted - settled,
        }
    }

    /// How many of the queued events have ended.
    fn settled(&self) -> u64 {
        let ends = &self.ends.0;
        let all = [&ends.sent, &ends.failed, &ends.refused, &ends.dropped];
        all.into_iter().map(|counter| counter.load(Ordering::Acquire)).sum()
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits in the background until it is time to look again, somebody asks for a flush that was
    /// not seen yet, or everything has to end. The count of flushes asked for.
    pub(crate) fn wait_for_work(&self, linger: Duration, seen: u64) -> u64 {
        let orders = self.orders();
        let waits = |orders: &mut Orders| orders.flushes == seen && orders.deadline.is_none();
        let waited = self.changed.wait_timeout_while(orders, linger, waits);
        waited.unwrap_or_else(PoisonError::into_inner).0.flushes
    }

    /// Waits in the background until a moment. Whether it came: not where everything has to end
    /// before it.
    pub(crate) fn wait_until(&self, moment: Instant) -> bool {
        let mut orders = self.orders();
        loop {
            if orders.deadline.is_some_and(|deadline| deadline <= moment) {
                return false;
            }
            let left = moment.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let waited = self.changed.wait_timeout(orders, left);
            orders = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Until when everything has to end, once it has to.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.orders().deadline
    }

    /// Tells those who wait that events have ended.
    pub(crate) fn tell(&self) {
        drop(self.orders());
        self.changed.notify_all();
    }

    /// Tells those who wait that the background thread has ended.
    pub(crate) fn tell_done(&self) {
        self.orders().is_done = true;
        self.changed.notify_all();
    }

    /// Asks for everything that is queued to be sent now, and waits for its end.
    pub(crate) fn flush(&self, deadline: Instant) -> bool {
        let target = self.accepted.0.load(Ordering::Acquire);
        if self.settled() >= target {
            return true;
        }
        let mut orders = self.orders();
        orders.flushes += 1;
        self.changed.notify_all();
        loop {
            if self.settled() >= target {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || orders.is_done {
                return false;
            }
            let waited = self.changed.wait_timeout(orders, left);
            orders = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes no more events, and asks the background thread to end until then.
    pub(crate) fn close(&self, deadline: Instant) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.orders().deadline.get_or_insert(deadline);
        self.changed.notify_all();
    }

    /// Waits for the end of the background thread. Whether it came in time.
    pub(crate) fn wait_for_end(&self, deadline: Instant) -> bool {
        let mut orders = self.orders();
        while !orders.is_done {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(orders, left);
            orders = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Act {
        Offer(usize),
        Take,
        Close,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            20 => (0_usize..200).prop_map(Act::Offer),
            10 => Just(Act::Take),
            1 => Just(Act::Close),
        ];
        prop::collection::vec(act, 0..300)
    }

    proptest! {
        /// Every event is counted once, whatever happens to it; a queue never holds more than it
        /// may, and what it holds is what the counts say.
        #[test]
        fn every_event_is_counted_once(
            acts in acts(), events in 1_usize..20, bytes in 0_usize..1000, oldest: bool,
        ) {
            let when_full = if oldest { WhenFull::DropOldest } else { WhenFull::DropNewest };
            let lane = Lane::new(events, bytes, 150, when_full);
            let ends = [End::Sent, End::Failed, End::Refused, End::Dropped];
            let (mut offered, mut taken) = (0, 0_usize);
            for act in acts {
                match act {
                    Act::Offer(size) => {
                        lane.offer(vec![0; size]);
                        offered += 1;
                    }
                    Act::Take if lane.take().is_some() => {
                        lane.end(ends[taken % 4], 1);
                        taken += 1;
                    }
                    Act::Take => {}
                    Act::Close => lane.close(Instant::now()),
                }
                let stats = lane.stats();
                let ended = stats.dropped + stats.sent + stats.failed + stats.refused;
                prop_assert_eq!(stats.recorded, offered);
                prop_assert_eq!(ended + stats.queued, offered);
                prop_assert_eq!(stats.queued, lane.len() as u64);
                prop_assert!(lane.bytes.0.load(Ordering::Relaxed) <= bytes);
                prop_assert!(lane.len() <= events);
            }
        }
    }

    #[test]
    fn the_newest_or_the_oldest_is_dropped() {
        let fill = |when_full| {
            let lane = Lane::new(3, 1000, 100, when_full);
            for number in 0..5 {
                lane.offer(vec![number]);
            }
            assert_eq!((lane.stats().dropped, lane.stats().queued), (2, 3));
            std::iter::from_fn(|| lane.take()).flatten().collect::<Vec<_>>()
        };
        assert_eq!(fill(WhenFull::DropNewest), [0, 1, 2]);
        assert_eq!(fill(WhenFull::DropOldest), [2, 3, 4]);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let lane = Lane::new(100, 250, 100, WhenFull::DropOldest);
        for number in 0..4 {
            lane.offer(vec![number; 100]);
        }
        lane.offer(vec![9; 101]);
        assert_eq!((lane.len(), lane.stats().dropped), (2, 3));
        assert_eq!(lane.take(), Some(vec![2; 100]));
    }

    #[test]
    fn callers_on_many_threads_lose_no_count() {
        let lane = Lane::new(64, 1 << 20, 100, WhenFull::DropOldest);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).for_each(|_| lane.offer(vec![1; 10])));
            }
            scope.spawn(|| {
                for _ in 0..20_000 {
                    if lane.take().is_some() {
                        lane.end(End::Sent, 1);
                    }
                    let stats = lane.stats();
                    let ended = stats.dropped + stats.sent;
                    assert_eq!(stats.recorded, ended + stats.queued);
                }
            });
        });
        let stats = lane.stats();
        assert_eq!(stats.recorded, 80_000);
        assert_eq!(stats.queued, lane.len() as u64);
        assert_eq!(lane.bytes.0.load(Ordering::Relaxed), lane.len() * 10);
    }
}
