//! Which traces are kept. A trace is kept or left out whole, because the decision is a function of
//! its id: every span of it, whatever door and process it comes through, gets the same answer. It
//! is OpenTelemetry's function (consistent probability sampling), so that a tracer that keeps a
//! half and a gateway that keeps a tenth keep a tenth together and not a twentieth. Product events
//! go by their users.
//!
//! Where a tail rule could still keep a trace that its id does not, its spans wait until the rule
//! has seen them (see `hold`).

use super::event::Facts;
use super::settings::Sampling;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// Decisions compare 56 bits, as the probability sampling of OpenTelemetry does.
const SPACE: f64 = (1_u64 << 56) as f64;

/// The rules that are in force.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rules {
    rate: Rate,
    messages: Rate,
    tail: Tail,
    /// How long a trace waits for a tail rule.
    pub(super) decision_wait: Duration,
}

/// A share, as the number of 56 bits below which an id is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate {
    share: f64,
    below: u64,
}

/// What keeps a trace that its id does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tail {
    slower_than_ms: Option<u64>,
    errors: bool,
    above_pico: Option<u64>,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on, and stands for so many of its like, times 1,000.
    Kept {
        /// See [`super::event::Stored::weight_milli`].
        weight_milli: u64,
    },
    /// A tail rule may still keep it.
    Undecided,
    /// It is left out.
    Out,
}

impl Rate {
    fn new(share: f64) -> Self {
        let share = share.clamp(0.0, 1.0);
        Self { share, below: (share * SPACE) as u64 }
    }

    /// The 56 low bits of an id are random, says the W3C's recommendation of trace contexts; they
    /// are kept from the top down.
    fn keeps_trace(self, id: &[u8; 16]) -> bool {
        let [.., a, b, c, d, e, f, g] = *id;
        let random = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
        (1 << 56) - 1 - random < self.below
    }

    fn keeps_user(self, name: &[u8]) -> bool {
        xxh3_64(name) >> 8 < self.below
    }

    /// Events of a share of a tenth stand for ten of their like.
    fn weight_milli(self) -> u64 {
        if self.share > 0.0 { (1000.0 / self.share).round() as u64 } else { 1000 }
    }
}

impl Rules {
    /// The rules of the gateway's file; `above_pico` is its text in units of 10^-12 US dollars.
    pub(super) fn new(settings: &Sampling, above_pico: Option<u64>) -> Self {
        Self {
            rate: Rate::new(settings.rate),
            messages: Rate::new(settings.messages),
            tail: Tail {
                slower_than_ms: settings
                    .keep_slower_than
                    .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
                errors: settings.keep_errors,
                above_pico,
            },
            decision_wait: settings.decision_wait,
        }
    }

    /// The same with another share of traces, as a flag may say while the gateway runs.
    pub(super) fn with_rate(&self, share: f64) -> Self {
        Self { rate: Rate::new(share), ..self.clone() }
    }

    /// The share of traces that is kept whatever they are.
    pub(super) fn rate(&self) -> f64 {
        self.rate.share
    }

    /// What becomes of a span.
    pub(super) fn span(&self, facts: &Facts) -> Verdict {
        let Some(trace) = facts.trace_id else { return Verdict::Kept { weight_milli: 1000 } };
        if self.rate.keeps_trace(&trace) {
            return Verdict::Kept { weight_milli: self.rate.weight_milli() };
        }
        if self.tail == Tail::default() { Verdict::Out } else { Verdict::Undecided }
    }

    /// Whether this span keeps its trace. A trace's cost is that of all its spans.
    pub(super) fn keeps_trace(
        &self,
        is_error: bool,
        duration_ms: u64,
        cost_of_trace_pico: u64,
    ) -> bool {
        (self.tail.errors && is_error)
            || self.tail.slower_than_ms.is_some_and(|least| duration_ms > least)
            || self.tail.above_pico.is_some_and(|least| cost_of_trace_pico > least)
    }

    /// What becomes of a product event: all of a user's, or none.
    pub(super) fn message(&self, user: &str) -> Verdict {
        if self.messages.keeps_user(user.as_bytes()) {
            Verdict::Kept { weight_milli: self.messages.weight_milli() }
        } else {
            Verdict::Out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(rate: f64, tail: bool) -> Rules {
        let settings = Sampling {
            rate,
            messages: rate,
            keep_errors: tail,
            keep_slower_than: tail.then_some(Duration::from_secs(1)),
            ..Sampling::default()
        };
        Rules::new(&settings, tail.then_some(500))
    }

    fn span(number: u64) -> Facts {
        let trace = fastrand::Rng::with_seed(number).u128(..).to_be_bytes();
        Facts { trace_id: Some(trace), ..Facts::default() }
    }

    #[test]
    fn the_decision_is_that_of_opentelemetry() {
        // A threshold of a tenth is 0xe6666666666666, below which random numbers are left out.
        let mut id = [0; 16];
        for (random, is_kept) in [(0xe6_6666_6666_6665_u64, false), (0xe6_6666_6666_6670, true)] {
            id[8..].copy_from_slice(&random.to_be_bytes());
            assert_eq!(Rate::new(0.1).keeps_trace(&id), is_kept, "{random:x}");
        }
    }

    #[test]
    fn a_tenth_is_a_tenth() {
        let rules = rules(0.1, false);
        let kept = (0..100_000)
            .filter(|&number| rules.span(&span(number)) == Verdict::Kept { weight_milli: 10_000 });
        let kept = kept.count();
        assert!((9_600..10_400).contains(&kept), "{kept}");
    }

    #[test]
    fn all_and_none_are_exact() {
        for number in 0..1_000 {
            let kept = Verdict::Kept { weight_milli: 1_000 };
            assert_eq!(rules(1.0, false).span(&span(number)), kept);
            assert_eq!(rules(0.0, false).span(&span(number)), Verdict::Out);
            assert_eq!(rules(0.0, false).message(&number.to_string()), Verdict::Out);
        }
    }

    #[test]
    fn a_higher_rate_keeps_what_a_lower_one_kept() {
        let (low, high) = (rules(0.1, false), rules(0.5, false));
        for number in 0..10_000 {
            if low.span(&span(number)) != Verdict::Out {
                assert_ne!(high.span(&span(number)), Verdict::Out);
            }
        }
    }

    #[test]
    fn tail_rules_ask_for_patience_and_know_what_they_keep() {
        let rules = rules(0.0, true);
        assert_eq!(rules.span(&span(1)), Verdict::Undecided);
        assert!(rules.keeps_trace(true, 0, 0));
        assert!(rules.keeps_trace(false, 1_001, 0));
        assert!(rules.keeps_trace(false, 0, 501));
        assert!(!rules.keeps_trace(false, 1_000, 500));
        assert_eq!(rules.with_rate(1.0).span(&span(1)), Verdict::Kept { weight_milli: 1_000 });
    }
}
