//! What happened over time, in bounded memory however long the run is.

use crate::moment::Moment;
use serde::Serialize;
use std::time::Duration;

/// How many bins a series has at most; when they are full, two become one.
const BINS_MAX: usize = 240;
/// Latencies are kept in quarter octaves from 64 microseconds on: the last class begins at
/// 64 us x 2^(63/4), about an hour.
const CLASSES: usize = 64;
const FIRST_CLASS_LOG2: f64 = 6.0;

/// Counts and latencies in bins of equal width, from one second on.
#[derive(Clone, Debug)]
pub struct Series {
    width: Duration,
    bins: Vec<Bin>,
}

#[derive(Clone, Debug)]
struct Bin {
    settled: u64,
    throttled: u64,
    latencies: [u32; CLASSES],
}

/// One point of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Seconds since the run began, at the bin's beginning.
    pub seconds: f64,
    /// Steps that got their outcome, a second.
    pub per_second: f64,
    /// Answers of the kind 429.
    pub throttled: u64,
    /// Half of the answers came within this many milliseconds; `None` when there were none.
    pub p50_ms: Option<f64>,
    /// 95 of 100 answers came within this many milliseconds.
    pub p95_ms: Option<f64>,
}

impl Default for Series {
    fn default() -> Self {
        Self { width: Duration::from_secs(1), bins: Vec::new() }
    }
}

impl Bin {
    const EMPTY: Self = Self { settled: 0, throttled: 0, latencies: [0; CLASSES] };

    fn add(&mut self, other: &Self) {
        self.settled += other.settled;
        self.throttled += other.throttled;
        for (mine, theirs) in self.latencies.iter_mut().zip(other.latencies) {
            *mine = mine.saturating_add(theirs);
        }
    }

    fn percentile_ms(&self, share: f64) -> Option<f64> {
        let total: u64 = self.latencies.iter().copied().map(u64::from).sum();
        let mut left = (total as f64 * share).ceil().max(1.0) as u64;
        for (class, &count) in self.latencies.iter().enumerate() {
            if u64::from(count) >= left {
                return (total > 0).then(|| class_middle_ms(class));
            }
            left -= u64::from(count);
        }
        None
    }
}

fn class_of(latency_us: u64) -> usize {
    let quarters = ((latency_us.max(1) as f64).log2() - FIRST_CLASS_LOG2) * 4.0;
    (quarters.max(0.0) as usize).min(CLASSES - 1)
}

fn class_middle_ms(class: usize) -> f64 {
    2f64.powf(FIRST_CLASS_LOG2 + (class as f64 + 0.5) / 4.0) / 1000.0
}

impl Series {
    /// Counts steps that got their outcome at this moment of the run, and the answer's latency.
    pub fn settled(&mut self, at: Moment, steps: u64, latency_us: Option<u64>) {
        let bin = self.bin(at);
        bin.settled += steps;
        if let Some(count) = latency_us.and_then(|us| bin.latencies.get_mut(class_of(us))) {
            *count = count.saturating_add(1);
        }
    }

    /// Counts a 429 at this moment of the run.
    pub fn throttled(&mut self, at: Moment) {
        self.bin(at).throttled += 1;
    }

    /// The width of a bin.
    #[must_use]
    pub fn width(&self) -> Duration {
        self.width
    }

    /// One point for each bin; `until` is the end of the run, which may cut the last bin short.
    #[must_use]
    pub fn points(&self, until: Moment) -> Vec<Point> {
        let width = self.width.as_secs_f64();
        let end = until.as_micros() as f64 / 1e6;
        let point = |(index, bin): (usize, &Bin)| {
            let seconds = index as f64 * width;
            let lasted = (end - seconds).clamp(0.001, width);
            Point {
                seconds,
                per_second: bin.settled as f64 / lasted,
                throttled: bin.throttled,
                p50_ms: bin.percentile_ms(0.50),
                p95_ms: bin.percentile_ms(0.95),
            }
        };
        self.bins.iter().enumerate().map(point).collect()
    }

    fn bin(&mut self, at: Moment) -> &mut Bin {
        let index = |width: Duration| u128::from(at.as_micros()) / width.as_micros();
        while index(self.width) >= BINS_MAX as u128 {
            self.halve();
        }
        let index = usize::try_from(index(self.width)).expect("it is below the bound");
        if self.bins.len() <= index {
            self.bins.resize(index + 1, Bin::EMPTY);
        }
        self.bins.get_mut(index).expect("it was just made")
    }

    fn halve(&mut self) {
        self.width *= 2;
        self.bins = self
            .bins
            .chunks(2)
            .map(|pair| {
                let mut sum = Bin::EMPTY;
                pair.iter().for_each(|bin| sum.add(bin));
                sum
            })
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(number: u64) -> Moment {
        Moment::from_micros(number * 1_000_000)
    }

    #[test]
    fn a_long_run_keeps_its_counts_in_bounded_memory() {
        let mut series = Series::default();
        for number in 0..10_000 {
            series.settled(second(number), 3, Some(1000));
        }
        let points = series.points(second(10_000));
        assert!(points.len() <= BINS_MAX);
        let width = series.width().as_secs_f64();
        let sum: f64 =
            points.iter().map(|p| p.per_second * (10_000.0 - p.seconds).min(width)).sum();
        assert!((sum - 30_000.0).abs() < 1.0, "{sum}");
    }

    #[test]
    fn percentiles_are_within_a_quarter_octave() {
        let mut series = Series::default();
        for number in 1..=100u64 {
            series.settled(second(0), 1, Some(number * 1000));
        }
        let point = series.points(second(1))[0];
        let p50 = point.p50_ms.unwrap();
        let p95 = point.p95_ms.unwrap();
        assert!((42.0..60.0).contains(&p50), "{p50}");
        assert!((80.0..113.0).contains(&p95), "{p95}");
    }
}
