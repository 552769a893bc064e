//! What the headers of an answer say about the quota: `Retry-After`, the `RateLimit` fields in
//! their several spellings, and `RateLimit-Policy`. Every one of them is optional; what can't be
//! read is left alone.

use http::HeaderMap;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use std::cmp::Reverse;
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

/// How many requests are left, and for how long that holds. Of several limits it is the one with
/// the fewest left, and of those the one that holds longest.
#[must_use]
pub fn remaining(headers: &HeaderMap, now: Timestamp) -> Option<(u32, Duration)> {
    structured(headers).or_else(|| separate(headers, now))
}

/// The quotas that the remote states for itself, as in `"default";q=1200;w=300`.
pub fn policies(headers: &HeaderMap) -> impl Iterator<Item = Quota> {
    let items = headers.get_all("ratelimit-policy").into_iter();
    items.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).filter_map(policy)
}

fn policy(item: &str) -> Option<Quota> {
    let limit = parameter(item, "q").or_else(|| item.split(';').next()?.trim().parse().ok())?;
    let span = Duration::from_secs(parameter(item, "w")?);
    let limit = u32::try_from(limit).ok()?;
    (limit > 0 && !span.is_zero()).then_some(Quota { limit, span })
}

/// `RateLimit: "default";r=50;t=30`, several of them with commas between, or the older
/// `limit=100, remaining=50, reset=30`, whose commas stand inside one limit.
fn structured(headers: &HeaderMap) -> Option<(u32, Duration)> {
    let lines = || headers.get_all("ratelimit").into_iter().filter_map(|line| line.to_str().ok());
    let items = lines().flat_map(|line| line.split(','));
    let tightest = items
        .filter_map(|item| left(item, "r", "t"))
        .min_by_key(|&(left, resets_in)| (left, Reverse(resets_in)));
    tightest.or_else(|| lines().find_map(|line| left(line, "remaining", "reset")))
}

fn left(text: &str, remaining: &str, reset: &str) -> Option<(u32, Duration)> {
    let left = u32::try_from(parameter(text, remaining)?).ok()?;
    Some((left, Duration::from_secs(parameter(text, reset)?)))
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
    fn of_several_limits_the_tightest_counts() {
        let read = |pairs: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in pairs {
                map.append(*name, value.parse().unwrap());
            }
            remaining(&map, noon()).map(|(left, resets_in)| (left, resets_in.as_secs()))
        };
        let burst = ("ratelimit", "\"burst\";r=90;t=10, \"default\";r=7;t=250");
        assert_eq!(read(&[burst]), Some((7, 250)));
        assert_eq!(read(&[burst, ("ratelimit", "\"other\";r=3;t=1")]), Some((3, 1)));
        let equal = ("ratelimit", "\"a\";r=0;t=1, \"b\";r=0;t=300, \"c\";r=0;t=2");
        assert_eq!(read(&[equal]), Some((0, 300)), "the one that holds longest");
        let partly = ("ratelimit", "\"a\";r=x;t=1, \"b\";t=300, \"c\";r=4;t=2");
        assert_eq!(read(&[partly]), Some((4, 2)), "what can't be read is left alone");
        assert_eq!(read(&[("ratelimit", "\"a\";r=1")]), None);
    }

    #[test]
    fn a_policy_states_a_window() {
        let read = |text: &str| policies(&headers(&[("ratelimit-policy", text)])).collect();
        let all = |text: &str| -> Vec<Quota> { read(text) };
        let quota = |limit, seconds| Quota { limit, span: Duration::from_secs(seconds) };
        assert_eq!(all("\"default\";q=1200;w=300"), [quota(1200, 300)]);
        assert_eq!(all("1200;w=300"), [quota(1200, 300)]);
        assert_eq!(
            all("\"burst\";q=100;w=60, nonsense, \"default\";q=1200;w=300"),
            [quota(100, 60), quota(1200, 300)]
        );
        assert_eq!(all("\"default\";q=0;w=300"), []);
        assert_eq!(all("nonsense"), []);
    }
}
