//! How a quota is written and read.

use std::time::Duration;

use proptest::prelude::*;

use crate::policy::quota::{Quota, SPAN_MAX};

fn read(text: &str) -> Quota {
    text.parse().unwrap()
}

#[test]
fn reads_every_unit() {
    let cases = [
        ("50/60s", 50, 60_000),
        ("500/10s", 500, 10_000),
        ("1200/5m", 1_200, 300_000),
        ("50/1s", 50, 1_000),
        ("10/250ms", 10, 250),
        ("1/24h", 1, 86_400_000),
        (" 7/2s ", 7, 2_000),
    ];
    for (text, limit, millis) in cases {
        let span = Duration::from_millis(millis);
        assert_eq!(read(text), Quota { limit, span }, "{text}");
    }
}

#[test]
fn is_shown_as_people_write_it() {
    let cases = [
        ("50/60s", "50/60s"),
        ("1200/300s", "1200/5m"),
        ("5/1m", "5/60s"),
        ("5/60m", "5/1h"),
        ("5/1000ms", "5/1s"),
        ("5/1500ms", "5/1500ms"),
    ];
    for (text, shown) in cases {
        assert_eq!(read(text).to_string(), shown);
    }
}

#[test]
fn says_what_is_wrong() {
    let cases = [
        ("50", "no slash"),
        ("0.5/1s", "not a whole number"),
        ("-1/1s", "not a whole number"),
        ("/1s", "not a whole number"),
        ("0/1s", "at least 1"),
        ("99999999999/1s", "above 4,294,967,295"),
        ("5/10", "no unit"),
        ("5/", "no unit"),
        ("5/s", "no number"),
        ("5/1.5s", "units ms, s, m, h"),
        ("5/1d", "units ms, s, m, h"),
        ("5/0s", "longer than zero"),
        ("5/25h", "at most 24h"),
        ("5/99999999999999999999h", "at most 24h"),
        ("5/18446744073709551615h", "at most 24h"),
    ];
    for (text, problem) in cases {
        let error = text.parse::<Quota>().unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with(&format!("`{text}` is not a quota: ")), "{message}");
        assert!(message.contains(problem), "{text}: {message}");
        assert!(error.hint().contains("50/60s"));
    }
}

#[test]
fn travels_as_its_text() {
    let quota = read("1200/5m");
    let json = serde_json::to_string(&quota).unwrap();
    assert_eq!(json, "\"1200/5m\"");
    assert_eq!(serde_json::from_str::<Quota>(&json).unwrap(), quota);
    let error = serde_json::from_str::<Quota>("\"0.5/1s\"").unwrap_err().to_string();
    assert!(error.contains("not a whole number") && error.contains("1/2s"), "{error}");
}

proptest! {
    #[test]
    fn what_is_shown_is_read_back(limit in 1_u32.., millis in 1_u64..=86_400_000) {
        let quota = Quota { limit, span: Duration::from_millis(millis).min(SPAN_MAX) };
        prop_assert_eq!(quota.to_string().parse::<Quota>().unwrap(), quota);
    }

    #[test]
    fn no_text_is_too_odd(text in ".{0,12}") {
        let _ = text.parse::<Quota>();
    }
}
