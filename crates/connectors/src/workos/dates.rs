//! From what people write about dates to two instants: `start <= created_at < end`.

use crate::connector::OpenError;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A half-open range of instants; a missing bound leaves that side open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The first instant inside.
    pub start: Option<Timestamp>,
    /// The first instant after it.
    pub end: Option<Timestamp>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written<'a> {
    /// A day or an instant.
    pub start: Option<&'a str>,
    /// A day or an instant.
    pub end: Option<&'a str>,
    /// The zone of the days.
    pub tz: &'a str,
    /// An age.
    pub older_than: Option<&'a str>,
    /// An age.
    pub newer_than: Option<&'a str>,
    /// Whether a range without a beginning is meant.
    pub open_range: bool,
}

impl Range {
    /// Whether an instant lies inside.
    #[must_use]
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.start.is_none_or(|start| start <= instant) && self.end.is_none_or(|end| instant < end)
    }

    /// Resolves what was written, with `now` fixed once for the whole plan.
    ///
    /// # Errors
    /// Impossible dates, unknown zones, a start after the end, and a range without a beginning
    /// that was not asked for.
    pub fn resolve(written: Written<'_>, now: Timestamp) -> Result<Self, OpenError> {
        let range = match (written.start, written.end) {
            (Some(start), end) => Self::of_days(start, end.unwrap_or(start), written.tz)?,
            (None, _) => Self::of_ages(written, now)?,
        };
        if range.start.is_none() && !written.open_range {
            return Err(OpenError::refused(
                "the range has no beginning, so it takes in nearly everything",
                "name a first day or --newer-than as well; if everything older is meant, \
                 --open-range says so",
            ));
        }
        match (range.start, range.end) {
            (Some(start), Some(end)) if start >= end => Err(OpenError::usage(
                format!("the range is empty: it begins at {start} and ends before {end}"),
                "put the earlier date first; a single date means that whole day",
            )),
            _ => Ok(range),
        }
    }

    fn of_days(start: &str, end: &str, tz: &str) -> Result<Self, OpenError> {
        let zone = zone(tz)?;
        let start = Edge::read(start)?.first_instant(&zone)?;
        let end = Edge::read(end)?.instant_after(&zone)?;
        Ok(Self { start: Some(start), end: Some(end) })
    }

    fn of_ages(written: Written<'_>, now: Timestamp) -> Result<Self, OpenError> {
        if written.older_than.is_none() && written.newer_than.is_none() {
            if written.open_range {
                return Ok(Self { start: None, end: Some(now) });
            }
            return Err(OpenError::usage(
                "no date is given",
                "name a day (2005-12-17), two days, or --older-than and --newer-than",
            ));
        }
        let ago = |text: &str| {
            let too_long = |_| OpenError::usage(format!("`{text}` is too long ago"), AGE_HINT);
            now.checked_sub(age(text)?).map_err(too_long)
        };
        Ok(Self {
            start: written.newer_than.map(ago).transpose()?,
            end: Some(written.older_than.map(ago).transpose()?.unwrap_or(now)),
        })
    }
}

/// One end of a range as it was written.
enum Edge {
    Day(Date),
    Instant(Timestamp),
}

impl Edge {
    fn read(text: &str) -> Result<Self, OpenError> {
        let hint = "a day is written YYYY-MM-DD, an instant 2005-12-17T10:00:00Z";
        if text.contains(['T', 't', ' ']) {
            let instant = text.parse().map(Self::Instant);
            return instant.map_err(|_| {
                OpenError::usage(format!("`{text}` is not an instant with its offset"), hint)
            });
        }
        let well_formed = text.len() == 10
            && text.chars().enumerate().all(|(at, c)| match at {
                4 | 7 => c == '-',
                _ => c.is_ascii_digit(),
            });
        if !well_formed {
            return Err(OpenError::usage(format!("`{text}` is not a date"), hint));
        }
        text.parse()
            .map(Self::Day)
            .map_err(|_| OpenError::usage(format!("there is no day {text} in the calendar"), hint))
    }

    fn first_instant(&self, zone: &TimeZone) -> Result<Timestamp, OpenError> {
        match self {
            Self::Day(day) => beginning(*day, zone),
            Self::Instant(instant) => Ok(*instant),
        }
    }

    fn instant_after(&self, zone: &TimeZone) -> Result<Timestamp, OpenError> {
        match self {
            Self::Day(day) => beginning(day.checked_add(1.day()).map_err(|_| far(*day))?, zone),
            Self::Instant(instant) => Ok(*instant),
        }
    }
}

/// The first instant of a day in a zone: a local day can have 23 or 25 hours.
fn beginning(day: Date, zone: &TimeZone) -> Result<Timestamp, OpenError> {
    zone.to_zoned(day.at(0, 0, 0, 0)).map(|zoned| zoned.timestamp()).map_err(|_| far(day))
}

fn far(day: Date) -> OpenError {
    OpenError::usage(format!("{day} is too far away"), "name a day of this era")
}

fn zone(text: &str) -> Result<TimeZone, OpenError> {
    if text.eq_ignore_ascii_case("utc") || text == "Z" {
        return Ok(TimeZone::UTC);
    }
    if text.starts_with(['+', '-']) {
        let probe = format!("2000-01-01T00:00:00{text}[{text}]");
        if let Ok(zoned) = probe.parse::<jiff::Zoned>() {
            return Ok(zoned.time_zone().clone());
        }
    }
    TimeZone::get(text).map_err(|_| {
        OpenError::usage(
            format!("there is no time zone `{text}`"),
            "write an IANA name such as Europe/Berlin, or an offset such as +02:00",
        )
    })
}

const AGE_HINT: &str = "an age is a number and a unit: 30d, 12h, 90m, 2w";

/// An age as people write it: `30d`, `12h`, `90m`, `45s`, `2w`. A day is 24 hours.
fn age(text: &str) -> Result<Duration, OpenError> {
    let wrong = || OpenError::usage(format!("`{text}` is not an age"), AGE_HINT);
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let number = text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    number.and_then(|n| n.checked_mul(seconds)).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-15T12:00:00Z".parse().unwrap()
    }

    fn days(start: &str, end: Option<&str>, tz: &str) -> Result<(String, String), OpenError> {
        let written = Written { start: Some(start), end, tz, ..Written::default() };
        let range = Range::resolve(written, now())?;
        Ok((range.start.unwrap().to_string(), range.end.unwrap().to_string()))
    }

    #[test]
    fn one_day_is_the_whole_day_and_two_are_inclusive() {
        let day = days("2005-12-17", None, "UTC").unwrap();
        assert_eq!(day, ("2005-12-17T00:00:00Z".into(), "2005-12-18T00:00:00Z".into()));
        let week = days("2005-12-17", Some("2005-12-25"), "UTC").unwrap();
        assert_eq!(week, ("2005-12-17T00:00:00Z".into(), "2005-12-26T00:00:00Z".into()));
    }

    #[test]
    fn the_ends_are_exact_to_the_millisecond() {
        let written = Written { start: Some("2005-12-17"), tz: "UTC", ..Written::default() };
        let range = Range::resolve(written, now()).unwrap();
        let inside = |text: &str| range.contains(text.parse().unwrap());
        assert!(inside("2005-12-17T00:00:00.000Z") && inside("2005-12-17T23:59:59.999Z"));
        assert!(!inside("2005-12-16T23:59:59.999Z") && !inside("2005-12-18T00:00:00.000Z"));
        assert!(inside("2005-12-18T01:59:59+02:00"));
    }

    #[test]
    fn a_local_day_has_23_24_or_25_hours() {
        let spring = days("2026-03-29", None, "Europe/Berlin").unwrap();
        assert_eq!(spring, ("2026-03-28T23:00:00Z".into(), "2026-03-29T22:00:00Z".into()));
        let autumn = days("2025-10-26", None, "Europe/Berlin").unwrap();
        assert_eq!(autumn, ("2025-10-25T22:00:00Z".into(), "2025-10-26T23:00:00Z".into()));
        let offset = days("2005-12-17", None, "+02:00").unwrap();
        assert_eq!(offset, ("2005-12-16T22:00:00Z".into(), "2005-12-17T22:00:00Z".into()));
    }

    #[test]
    fn a_written_time_is_taken_exactly() {
        let range = days("2005-12-17T10:00:00Z", Some("2005-12-17T11:30:00.500Z"), "UTC").unwrap();
        assert_eq!(range, ("2005-12-17T10:00:00Z".into(), "2005-12-17T11:30:00.5Z".into()));
    }

    #[test]
    fn what_is_no_date_is_refused_with_a_hint() {
        for text in
            ["2025-02-31", "2025-2-3", "17.12.2005", "2005-12-17x", "yesterday", "", "20051217"]
        {
            let error = days(text, None, "UTC").unwrap_err();
            assert!(error.hint.is_some(), "{text}");
        }
        assert!(days("2025-02-31", None, "UTC").unwrap_err().message.contains("no day"));
        assert!(
            days("2005-12-25", Some("2005-12-17"), "UTC").unwrap_err().message.contains("empty")
        );
        assert!(days("2005-12-17", None, "Mars/Olympus").is_err());
    }

    #[test]
    fn ages_are_counted_back_from_one_now() {
        let written = Written {
            older_than: Some("30d"),
            newer_than: Some("8w"),
            tz: "UTC",
            ..Written::default()
        };
        let range = Range::resolve(written, now()).unwrap();
        assert_eq!(range.start.unwrap().to_string(), "2025-11-20T12:00:00Z");
        assert_eq!(range.end.unwrap().to_string(), "2025-12-16T12:00:00Z");
        let newer = Written { older_than: None, ..written };
        assert_eq!(Range::resolve(newer, now()).unwrap().end, Some(now()));
    }

    #[test]
    fn a_range_without_a_beginning_has_to_be_meant() {
        let written = Written { older_than: Some("30d"), tz: "UTC", ..Written::default() };
        assert!(Range::resolve(written, now()).unwrap_err().refused);
        let meant = Written { open_range: true, ..written };
        assert_eq!(Range::resolve(meant, now()).unwrap().start, None);
        for age in ["30", "d", "-3d", "3 d", "99999999999999999999d", "1y"] {
            let wrong = Written { older_than: Some(age), open_range: true, ..written };
            assert!(Range::resolve(wrong, now()).is_err(), "{age}");
        }
        assert!(Range::resolve(Written { tz: "UTC", ..Written::default() }, now()).is_err());
    }
}
