//! Owns the windows that limits are counted in: where the one begins that a moment is in, and where
//! it ends. Pure numbers over milliseconds since 1970 in UTC, which knows no summer time.

use std::fmt;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long a limit lasts until it is whole again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Windows of so many milliseconds, one behind the other, counted from 1970: those of a minute
    /// begin with the minute, those of a day at midnight.
    Every(u64),
    /// From Monday to Sunday.
    Week,
    /// From the first to the last of a month.
    Month,
    /// The limit is never whole again.
    Ever,
}

impl Period {
    /// From text: `30s`, `1m`, `1h`, `1d`, `daily`, `weekly` or `monthly`; `None` for anything
    /// else, for nothing at all and for more than ten years.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "daily" => return Some(Self::Every(DAY)),
            "weekly" => return Some(Self::Week),
            "monthly" => return Some(Self::Month),
            _ => {}
        }
        duration_ms(text).filter(|length| *length <= 3_660 * DAY).map(Self::Every)
    }

    /// When the window began that this moment is in.
    #[must_use]
    pub const fn start(self, now_ms: u64) -> u64 {
        match self {
            Self::Every(length) => now_ms - now_ms % length,
            // The first day of 1970 was a Thursday.
            Self::Week => {
                let days = now_ms / DAY + 3;
                (days - days % 7).saturating_sub(3) * DAY
            }
            Self::Month => month_start(now_ms, 0),
            Self::Ever => 0,
        }
    }

    /// When the next window begins; `None` when there is none.
    #[must_use]
    pub const fn end(self, now_ms: u64) -> Option<u64> {
        match self {
            Self::Every(length) => self.start(now_ms).checked_add(length),
            Self::Week => {
                let days = now_ms / DAY + 3;
                Some((days - days % 7 + 4) * DAY)
            }
            Self::Month => Some(month_start(now_ms, 1)),
            Self::Ever => None,
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(length) => {
                let units = [(DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")];
                let unit = units.into_iter().find(|(unit, _)| length.is_multiple_of(*unit));
                let (unit, name) = unit.unwrap_or((1, "ms"));
                write!(out, "{}{name}", length / unit)
            }
            Self::Week => out.write_str("weekly"),
            Self::Month => out.write_str("monthly"),
            Self::Ever => out.write_str("ever"),
        }
    }
}

/// A whole number of seconds, minutes, hours or days, such as `90s`, in milliseconds.
#[must_use]
pub fn duration_ms(text: &str) -> Option<u64> {
    let unit = match text.chars().last()? {
        's' => SECOND,
        'm' => MINUTE,
        'h' => HOUR,
        'd' => DAY,
        _ => return None,
    };
    let count = &text[..text.len() - 1];
    let is_number = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    let length = if is_number { count.parse::<u64>().ok()? } else { 0 }.checked_mul(unit)?;
    (length > 0).then_some(length)
}

/// The first moment of the month so many months behind the one that a moment is in, by the
/// arithmetic over eras of 400 years that years beginning in March make simple.
const fn month_start(now_ms: u64, later: u64) -> u64 {
    let days = now_ms / DAY + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months are counted from March here.
    let month = (5 * day_of_year + 2) / 153;
    let months = (era * 400 + year_of_era) * 12 + month + later;
    let (year, month) = (months / 12, months % 12);
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).saturating_sub(719_468) * DAY
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::Weekday;
    use jiff::{Timestamp, ToSpan, Zoned, tz::TimeZone};
    use proptest::prelude::*;

    fn ms(text: &str) -> u64 {
        text.parse::<Timestamp>().unwrap().as_millisecond() as u64
    }

    fn text(ms: u64) -> String {
        Timestamp::from_millisecond(ms as i64).unwrap().to_string()
    }

    fn window(period: &str, now: &str) -> (String, String) {
        let period = Period::parse(period).unwrap();
        (text(period.start(ms(now))), text(period.end(ms(now)).unwrap()))
    }

    #[test]
    fn windows_begin_and_end_with_the_calendar_of_utc() {
        for (period, now, start, end) in [
            ("30s", "2026-11-20T10:00:29.999Z", "2026-11-20T10:00:00Z", "2026-11-20T10:00:30Z"),
            ("1m", "2026-11-20T10:00:59.999Z", "2026-11-20T10:00:00Z", "2026-11-20T10:01:00Z"),
            ("1h", "2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z"),
            ("1d", "2026-03-29T01:30:00Z", "2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z"),
            ("daily", "2026-10-25T23:59:59.999Z", "2026-10-25T00:00:00Z", "2026-10-26T00:00:00Z"),
            ("7d", "1970-01-08T00:00:00Z", "1970-01-08T00:00:00Z", "1970-01-15T00:00:00Z"),
            ("weekly", "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
            ("weekly", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
            ("weekly", "1970-01-01T12:00:00Z", "1970-01-01T00:00:00Z", "1970-01-05T00:00:00Z"),
            ("monthly", "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("monthly", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("monthly", "2100-02-28T12:00:00Z", "2100-02-01T00:00:00Z", "2100-03-01T00:00:00Z"),
            ("monthly", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-02-01T00:00:00Z"),
        ] {
            assert_eq!(window(period, now), (start.into(), end.into()), "{period} {now}");
        }
        assert_eq!((Period::Ever.start(5), Period::Ever.end(5)), (0, None));
    }

    #[test]
    fn periods_are_written_as_they_are_read() {
        for text in ["30s", "1m", "90m", "1h", "1d", "7d", "30d", "weekly", "monthly"] {
            assert_eq!(Period::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Period::parse("daily"), Period::parse("24h"));
        for text in ["", "s", "0s", "-1s", "1w", "1.5h", "1 h", "+1s", "99999d", "é", "1M"] {
            assert_eq!(Period::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn weeks_and_months_are_those_of_the_calendar(now in 500_000_000_u64..7_000_000_000_000) {
            let zoned = |ms: u64| -> Zoned {
                Timestamp::from_millisecond(ms as i64).unwrap().to_zoned(TimeZone::UTC)
            };
            let first = zoned(now).first_of_month().unwrap().start_of_day().unwrap();
            prop_assert_eq!(zoned(Period::Month.start(now)), first.clone());
            prop_assert_eq!(zoned(Period::Month.end(now).unwrap()), &first + 1.month());
            let monday = zoned(Period::Week.start(now));
            prop_assert_eq!(monday.weekday(), Weekday::Monday);
            prop_assert_eq!(zoned(Period::Week.end(now).unwrap()), &monday + 7.days());
            prop_assert!(Period::Week.start(now) <= now && now < Period::Week.end(now).unwrap());
        }
    }
}
