//! Reading durations and rates from flags.

use std::time::Duration;

use jiff::SignedDuration;

/// Reads a duration such as `250ms`, `5s`, `1m 30s` or a plain `0`.
///
/// # Errors
///
/// A text that is not a duration, or a negative one.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let span: SignedDuration =
        text.parse().map_err(|error| format!("`{text}` is not a duration like 5s: {error}"))?;
    Duration::try_from(span).map_err(|_| format!("`{text}` is negative"))
}

/// Reads a rate, a share of all requests between 0 and 1.
///
/// # Errors
///
/// A text that is not a number between 0 and 1.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err(format!("`{text}` is not a number between 0 and 1")),
    }
}

pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_rates_are_read_or_refused() {
        assert_eq!(parse_span("0"), Ok(Duration::ZERO));
        assert_eq!(parse_span("40ms"), Ok(Duration::from_millis(40)));
        assert_eq!(parse_span("60s"), Ok(Duration::from_secs(60)));
        assert!(parse_span("-5s").is_err());
        assert!(parse_span("soon").is_err());
        assert_eq!(parse_rate("0.25"), Ok(0.25));
        assert!(parse_rate("1.1").is_err());
        assert!(parse_rate("NaN").is_err());
    }
}
