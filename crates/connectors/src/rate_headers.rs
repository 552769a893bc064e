//! What the headers of an answer say about the quota: `Retry-After`, the `RateLimit` fields in
//! their several spellings, and `RateLimit-Policy`. Every one of them is optional; what can't be
//! read is left alone.

use http::HeaderMap;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use std::time::Duration;
use windlass_engine::policy::quota::Quota;

/// How long the remote asks to wait: `Retry-After` in seconds, also fractions, or as a date.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    }
    Some(Duration::try_from(date(text)?.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// The remote's own time, by which the dates in its headers have to be read; ours where it tells
/// none. A clock that differs from the remote's by minutes would turn a wait of seconds into one of
/// minutes, or into none.
#[must_use]
pub fn now(headers: &HeaderMap) -> Timestamp {
    let date = headers.get("date").and_then(|text| date(text.to_str().ok()?));
    date.unwrap_or_else(Timestamp::now)
}

fn date(text: &str) -> Option<Timestamp> {
    Some(rfc2822::parse(&text.trim().replace("GMT", "+0000")).ok()?.timestamp())
}

/// How many requests are left, and for how long that holds.
#[must_use]
pub fn remaining(headers: &HeaderMap, now: Timestamp) -> Option<(u32, Duration)> {
    structured(headers).or_else(|| separate(headers, now))
}

/// The quota that the remote states for itself, as in `"default";q=1200;w=300`.
#[must_use]
pub fn policy(headers: &HeaderMap) -> Option<Quota> {
    let text = headers.get("ratelimit-policy")?.to_str().ok()?;
    let first = text.split(',').next()?;
    let limit = parameter(first, "q").or_else(|| first.split(';').next()?.trim().parse().ok())?;
    let span = Duration::from_secs(parameter(first, "w")?);
    let limit = u32::try_from(limit).ok()?;
    (limit > 0 && !span.is_zero()).then_some(Quota { limit, span })
}

/// `RateLimit: "default";r=50;t=30`, or the older `limit=100, remaining=50, reset=30`.
fn structured(headers: &HeaderMap) -> Option<(u32, Duration)> {
    let text = headers.get("ratelimit")?.to_str().ok()?;
    let left = parameter(text, "r").or_else(|| parameter(text, "remaining"))?;
    let reset = parameter(text, "t").or_else(|| parameter(text, "reset"))?;
    Some((u32::try_from(left).ok()?, Duration::from_secs(reset)))
}

/// `RateLimit-Remaining` and `RateLimit-Reset`, also with the prefix `X-`. A reset is in seconds,
/// or an instant in seconds since 1970 when it is that large.
fn separate(headers: &HeaderMap, now: Timestamp) -> Option<(u32, Duration)> {
    let number = |name: &str| {
        let prefixed =
            ["ratelimit-", "x-ratelimit-"].map(|prefix| headers.get(prefix.to_owned() + name));
        prefixed.into_iter().flatten().next()?.to_str().ok()?.trim().parse::<u64>().ok()
    };
    let left = u32::try_from(number("remaining")?).ok()?;
    let reset = number("reset")?;
    const YEAR_2001: u64 = 1_000_000_000;
    let since_1970 = u64::try_from(now.as_second()).unwrap_or_default();
    let seconds = if reset > YEAR_2001 { reset.saturating_sub(since_1970) } else { reset };
    Some((left, Duration::from_secs(seconds)))
}

fn parameter(text: &str, name: &str) -> Option<u64> {
    let parts = text.split([';', ',']).map(str::trim);
    let values = parts.filter_map(|part| part.strip_prefix(name)?.trim_start().strip_prefix('='));
    values.filter_map(|value| value.trim().parse().ok()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn noon() -> Timestamp {
        "2026-01-15T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |text: &str| retry_after(&headers(&[("retry-after", text)]), noon());
        assert_eq!(wait("17"), Some(Duration::from_secs(17)));
        assert_eq!(wait("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(wait("Thu, 15 Jan 2026 12:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("Thu, 15 Jan 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("inf"), None);
        assert_eq!(retry_after(&headers(&[]), noon()), None);
    }

    #[test]
    fn dates_are_read_by_the_remotes_clock() {
        let at = |text: &str| now(&headers(&[("date", text)])).to_string();
        assert_eq!(at("Thu, 15 Jan 2026 12:00:30 GMT"), "2026-01-15T12:00:30Z");
        let ours = Timestamp::now();
        assert!(now(&headers(&[])) >= ours && now(&headers(&[("date", "today")])) >= ours);
    }

    #[test]
    fn what_is_left_is_read_in_every_spelling() {
        let thirty = Duration::from_secs(30);
        for pairs in [
            &[("ratelimit", "\"default\";r=5;t=30")][..],
            &[("ratelimit", "limit=100, remaining=5, reset=30")],
            &[("ratelimit-remaining", "5"), ("ratelimit-reset", "30")],
            &[("x-ratelimit-remaining", "5"), ("x-ratelimit-reset", "1768478430")],
        ] {
            assert_eq!(remaining(&headers(pairs), noon()), Some((5, thirty)), "{pairs:?}");
        }
        assert_eq!(remaining(&headers(&[("x-ratelimit-remaining", "5")]), noon()), None);
    }

    #[test]
    fn a_policy_states_a_window() {
        let read = |text: &str| policy(&headers(&[("ratelimit-policy", text)]));
        let quota = Quota { limit: 1200, span: Duration::from_secs(300) };
        assert_eq!(read("\"default\";q=1200;w=300"), Some(quota));
        assert_eq!(read("1200;w=300"), Some(quota));
        assert_eq!(read("\"default\";q=0;w=300"), None);
        assert_eq!(read("nonsense"), None);
    }
}
