//! What is hoped for, and what became of it. It is told and judged by nobody: a busy machine misses
//! goals, too.

use crate::bench::samples::{Samples, Spread};
use crate::bench::table::{figure, range, thousands};

/// One figure that windlass should reach. Times are medians; memory and requests are those of the
/// worst round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// At most so many times the time of the fastest peer.
    PeerTime(f64),
    /// At most so many times the CPU of the thriftiest peer.
    PeerCpu(f64),
    /// At most so many seconds.
    Seconds(f64),
    /// At most so many times a time that nobody can beat.
    Bound {
        /// So many times.
        factor: f64,
        /// That time in seconds.
        bound_s: f64,
    },
    /// At most so many MiB.
    Memory(f64),
    /// Exactly so many requests.
    Requests(u64),
    /// At most so many requests.
    RequestsAtMost(u64),
    /// No answer 429.
    NoneRefused,
}

impl Goal {
    fn hoped(self) -> String {
        match self {
            Self::PeerTime(most) => format!("at most {most} x the time of the best peer"),
            Self::PeerCpu(most) => format!("at most {most} x the CPU of the best peer"),
            Self::Seconds(most) => format!("at most {most} s"),
            Self::Bound { factor, bound_s } => {
                format!("at most {factor} x the {} s of round trips", figure(bound_s))
            }
            Self::Memory(most) => format!("at most {most} MiB"),
            Self::Requests(count) => format!("{} requests", thousands(count)),
            Self::RequestsAtMost(most) => format!("at most {} requests", thousands(most)),
            Self::NoneRefused => "no 429".to_owned(),
        }
    }

    /// What was measured, and whether that is as good; `None` where there is nobody to compare
    /// with.
    fn found(self, ours: &Samples, peers: &[&Samples]) -> Option<(String, bool)> {
        let best = |of: fn(&Samples) -> Spread| {
            let medians = peers.iter().map(|samples| of(samples).median);
            medians.min_by(f64::total_cmp).map(|best| of(ours).median / best)
        };
        let wall_s = ours.wall_s().median;
        let (value, unit, most) = match self {
            Self::PeerTime(most) => (best(Samples::wall_s)?, "x", most),
            Self::PeerCpu(most) => (best(Samples::cpu_s)?, "x", most),
            Self::Seconds(most) => (wall_s, "s", most),
            Self::Bound { factor, bound_s } => (wall_s / bound_s, "x", factor),
            Self::Memory(most) => (ours.peak_mib().max, "MiB", most),
            Self::Requests(count) => return counted(ours.requests(), count, count),
            Self::RequestsAtMost(most) => return counted(ours.requests(), 0, most),
            Self::NoneRefused => {
                return counted(ours.spread(|sample| sample.too_many as f64), 0, 0);
            }
        };
        Some((format!("{} {unit}", figure(value)), value <= most))
    }
}

fn counted(found: Spread, least: u64, most: u64) -> Option<(String, bool)> {
    Some((range(found), found.min >= least as f64 && found.max <= most as f64))
}

/// The goals in one line, each with what was measured.
pub fn line(goals: &[Goal], ours: &Samples, peers: &[&Samples]) -> String {
    let words = goals.iter().map(|goal| match goal.found(ours, peers) {
        Some((found, true)) => format!("{}: {found}, reached", goal.hoped()),
        Some((found, false)) => format!("{}: {found}, missed", goal.hoped()),
        None => format!("{}: there was no peer", goal.hoped()),
    });
    format!("Goals: {}.", words.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::samples::Sample;
    use crate::measure::Cost;

    fn samples(rounds: &[(f64, f64, f64, u64)]) -> Samples {
        let mut samples = Samples::default();
        for &(wall_s, cpu_s, peak_mib, requests) in rounds {
            let cost = Cost { wall_s, cpu_s, peak_mib, success: true };
            samples.push(Sample { cost, requests, ..Sample::default() });
        }
        samples
    }

    #[test]
    fn the_best_peer_of_each_figure_counts() {
        let ours = samples(&[(1.0, 0.6, 12.0, 1_000)]);
        let fast = samples(&[(4.0, 8.0, 500.0, 1_000)]);
        let thrifty = samples(&[(8.0, 2.0, 40.0, 1_000)]);
        let goals = [Goal::PeerTime(0.4), Goal::PeerCpu(0.25), Goal::Memory(16.0)];
        assert_eq!(
            line(&goals, &ours, &[&fast, &thrifty]),
            "Goals: at most 0.4 x the time of the best peer: 0.250 x, reached; at most 0.25 x \
             the CPU of the best peer: 0.300 x, missed; at most 16 MiB: 12.0 MiB, reached."
        );
        let alone = line(&goals[..1], &ours, &[]);
        let none = "Goals: at most 0.4 x the time of the best peer: there was no peer.";
        assert_eq!(alone, none);
    }

    #[test]
    fn the_worst_round_counts_for_memory_and_requests() {
        let ours = samples(&[(1.0, 0.6, 12.0, 110), (1.0, 0.6, 17.0, 111)]);
        let goals = [Goal::Memory(16.0), Goal::Requests(110), Goal::RequestsAtMost(111)];
        assert_eq!(
            line(&goals, &ours, &[]),
            "Goals: at most 16 MiB: 17.0 MiB, missed; 110 requests: 110..111, missed; at most \
             111 requests: 110..111, reached."
        );
    }

    #[test]
    fn a_bound_is_a_time_that_nobody_beats() {
        let ours = samples(&[(21.0, 0.6, 12.0, 1_000)]);
        let goal = Goal::Bound { factor: 1.1, bound_s: 20.0 };
        let text = line(&[goal, Goal::NoneRefused], &ours, &[]);
        assert_eq!(
            text,
            "Goals: at most 1.1 x the 20.0 s of round trips: 1.05 x, reached; no 429: 0, reached."
        );
    }
}
