//! How long requests and replies travel.
//!
//! Owns the distribution. The uplink part passes before the server counts the request and the
//! downlink part after, so a client that paces its sending exactly still sees its requests arrive
//! closer together than they were sent.

use std::time::Duration;

use fastrand::Rng;

use crate::span::{micros, parse_span};

/// The delays of a simulated network, as flags. The default is none at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct LatencyOptions {
    /// Time between sending and reply: `20ms`, or uniform in a range like `5ms..200ms`. One half
    /// passes before the request is counted, the other after
    #[arg(long, value_name = "RANGE", value_parser = parse_range, default_value = "0")]
    pub latency: Range,
    /// Additional random delay of up to this much on the way up, and again on the way down
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "0")]
    pub jitter: Duration,
}

/// A range of durations, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
}

/// The delays of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// Before the server sees the request.
    pub up: Duration,
    /// After the server has answered.
    pub down: Duration,
}

impl LatencyOptions {
    /// A constant round trip without jitter.
    #[must_use]
    pub fn constant(round_trip: Duration) -> Self {
        Self { latency: Range { min: round_trip, max: round_trip }, jitter: Duration::ZERO }
    }

    /// True when every delay is zero, so that no timer and no randomness is needed.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.latency.max.is_zero() && self.jitter.is_zero()
    }

    /// Draws the delays of one request.
    pub fn draw(&self, rng: &mut Rng) -> Delays {
        let base = uniform(rng, self.latency.min, self.latency.max) / 2;
        Delays {
            up: base + uniform(rng, Duration::ZERO, self.jitter),
            down: base + uniform(rng, Duration::ZERO, self.jitter),
        }
    }
}

fn uniform(rng: &mut Rng, min: Duration, max: Duration) -> Duration {
    Duration::from_micros(rng.u64(micros(min)..=micros(max).max(micros(min))))
}

/// Reads `20ms` or `5ms..200ms`.
///
/// # Errors
///
/// An unreadable duration, or a range whose end is before its start.
pub fn parse_range(text: &str) -> Result<Range, String> {
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let range = Range { min: parse_span(min)?, max: parse_span(max)? };
    if range.min > range.max {
        return Err(format!("`{text}` ends before it starts"));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_in_their_range_and_use_it() {
        let range = parse_range("5ms..200ms").unwrap();
        let options = LatencyOptions { latency: range, jitter: Duration::from_millis(40) };
        let mut rng = Rng::with_seed(3);
        let drawn: Vec<Delays> = (0..2_000).map(|_| options.draw(&mut rng)).collect();
        let longest = drawn.iter().map(|d| d.up).max().unwrap();
        let shortest = drawn.iter().map(|d| d.down).min().unwrap();
        assert!(longest <= Duration::from_millis(140) && longest > Duration::from_millis(125));
        assert!(shortest >= Duration::from_micros(2_500) && shortest < Duration::from_millis(12));
        assert!(drawn.iter().any(|d| d.up != d.down));
    }

    #[test]
    fn ranges_are_read_or_refused() {
        let ms = Duration::from_millis;
        assert_eq!(parse_range("20ms"), Ok(Range { min: ms(20), max: ms(20) }));
        assert_eq!(parse_range("5ms..1s"), Ok(Range { min: ms(5), max: ms(1_000) }));
        assert!(parse_range("1s..5ms").is_err());
        assert!(LatencyOptions::default().is_zero());
    }
}
