//! The measurements of one client at one job.

use crate::measure::Cost;

/// One measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// What the client cost.
    pub cost: Cost,
    /// Requests that the simulator saw.
    pub requests: u64,
    /// How many of them it answered 429.
    pub too_many: u64,
    /// How many objects of the job are done.
    pub done: u64,
    /// The share of the machine that other programs used meanwhile.
    pub others_percent: f64,
}

impl Sample {
    /// One line about it while others still run.
    pub fn words(&self, done: &str) -> String {
        let Self { cost, requests, done: count, others_percent, .. } = self;
        let Cost { wall_s, cpu_s, peak_mib, .. } = cost;
        format!(
            "{wall_s:.3} s, CPU {cpu_s:.3} s, {peak_mib:.1} MiB, {requests} requests, {count} \
             {done}, others {others_percent:.0} %"
        )
    }
}

/// All measurements.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Sample>);

/// A median with its extremes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The value in the middle, or the mean of the two there.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The spread of one figure; zeros when there are no samples.
    pub fn spread(&self, figure: impl Fn(&Sample) -> f64) -> Spread {
        let mut values: Vec<f64> = self.0.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            return Spread::default();
        };
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Spread { median, min, max }
    }

    /// Seconds.
    pub fn wall_s(&self) -> Spread {
        self.spread(|sample| sample.cost.wall_s)
    }

    /// Seconds of CPU.
    pub fn cpu_s(&self) -> Spread {
        self.spread(|sample| sample.cost.cpu_s)
    }

    /// Milliseconds of CPU for 1,000 requests.
    pub fn cpu_ms(&self) -> Spread {
        self.spread(|sample| sample.cost.cpu_s * 1e6 / sample.requests.max(1) as f64)
    }

    /// Requests that the simulator saw.
    pub fn requests(&self) -> Spread {
        self.spread(|sample| sample.requests as f64)
    }

    /// Whether every sample did so much.
    pub fn are_whole(&self, count: u64) -> bool {
        self.0.iter().all(|sample| sample.done >= count)
    }

    /// The largest resident set.
    pub fn peak_mib(&self) -> Spread {
        self.spread(|sample| sample.cost.peak_mib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walls(walls: &[f64]) -> Spread {
        let mut samples = Samples::default();
        for wall_s in walls {
            let cost = Cost { wall_s: *wall_s, ..Cost::default() };
            samples.push(Sample { cost, ..Sample::default() });
        }
        samples.wall_s()
    }

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(walls(&[3.0, 1.0, 9.0]), Spread { median: 3.0, min: 1.0, max: 9.0 });
        assert_eq!(walls(&[4.0, 1.0, 2.0, 9.0]).median, 3.0);
        assert_eq!(walls(&[]), Spread::default());
    }

    #[test]
    fn cpu_is_for_a_thousand_requests() {
        let mut samples = Samples::default();
        let cost = Cost { cpu_s: 0.5, ..Cost::default() };
        samples.push(Sample { cost, requests: 2_000, ..Sample::default() });
        assert_eq!(samples.cpu_ms().median, 250.0);
    }
}
