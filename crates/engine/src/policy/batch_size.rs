//! Law: batches grow or shrink, at most twofold at a time, until one takes about the target time,
//! and a size that was refused as too large is only approached again slowly.
//!
//! Worked example, target 1 s: a batch of 100 took 250 ms, so an item costs 2.5 ms and 400 would
//! fit; the next size is 200, the most that one step allows, and then 400. The remote refuses a
//! batch of 400 as too large: the next size is 200, and each full batch that succeeds raises that
//! ceiling by a sixty-fourth.
//!
//! The moving average makes it react to trends and not to one slow batch. It reacts to the time of
//! whole batches, more slowly than the concurrency limit does, so the two do not chase each other.

use std::time::Duration;

pub use super::Bounds;

/// The weight of the newest batch in the average cost of an item.
const NEWEST: f64 = 0.4;
/// A ceiling grows by this part of itself with every full batch.
const CEILING_GROWTH: u32 = 64;

/// The size of the next batch for one kind of work.
#[derive(Clone, Debug)]
pub struct BatchSize {
    bounds: Bounds,
    /// Without a target only refusals change the size.
    target_secs: Option<f64>,
    item_secs: Option<f64>,
    size: u32,
    ceiling: u32,
}

impl BatchSize {
    /// Starts at `bounds.start` and aims at batches that take `target`; without one it grows to
    /// its upper bound, or to what was not refused.
    #[must_use]
    pub fn new(bounds: Bounds, target: Option<Duration>) -> Self {
        let bounds = bounds.ordered();
        Self {
            bounds,
            target_secs: target.map(|target| target.as_secs_f64()),
            item_secs: None,
            size: bounds.start,
            ceiling: bounds.max,
        }
    }

    /// How many items the next batch should have, within the bounds.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size as usize
    }

    /// A batch of `count` items succeeded and took this long.
    ///
    /// A batch not even half full, such as the last one of a run, says little about the cost of an
    /// item, because the fixed cost of a request weighs more in it; it is heard only if it took
    /// longer than the target all the same.
    pub fn observed(&mut self, count: usize, took: Duration) {
        let Ok(count) = u32::try_from(count) else { return };
        let took = took.as_secs_f64();
        if count >= self.ceiling {
            let step = (self.ceiling / CEILING_GROWTH).max(1);
            self.ceiling = self.ceiling.saturating_add(step).min(self.bounds.max);
        }
        let Some(target) = self.target_secs else {
            self.size = self.ceiling;
            return;
        };
        if count == 0 || (count < self.size.div_ceil(2) && took <= target) {
            return;
        }
        let item = took / f64::from(count);
        let item = self.item_secs.map_or(item, |past| past + NEWEST * (item - past));
        self.item_secs = Some(item);
        self.size = self.within(self.wanted(item, target));
    }

    /// A batch of `count` items was refused as too large (413), or was too much to be answered in
    /// time: the next one has half as many, and the ceiling is lowered to that.
    ///
    /// It is the refused count that is halved, so ten batches refused together cost one halving. At
    /// the lower bound nothing is left to give; the caller must then fail the steps or end the run.
    pub fn too_large(&mut self, count: usize) {
        let half = u32::try_from(count / 2).unwrap_or(u32::MAX).max(self.bounds.min);
        self.ceiling = self.ceiling.min(half);
        self.size = self.size.min(half);
    }

    /// The size that would take the target time, at most twice and at least half the present one.
    fn wanted(&self, item_secs: f64, target_secs: f64) -> u32 {
        let exact = target_secs / item_secs;
        let (least, most) = (self.size.div_ceil(2), self.size.saturating_mul(2));
        if exact.is_nan() {
            return self.size;
        }
        exact.clamp(f64::from(least), f64::from(most)) as u32
    }

    fn within(&self, size: u32) -> u32 {
        size.clamp(self.bounds.min, self.ceiling)
    }
}
