//! The time of day at the price of one read of the steady clock, and the two texts of time that
//! HTTP and JSON need.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The steady clock with an offset to the time of day. Durations measured with it are never
/// negative, also while the machine's clock is set.
#[derive(Debug)]
pub(crate) struct Clock {
    base: Instant,
    /// What the base is in nanoseconds since 1970.
    offset_ns: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let clock = Self { base: Instant::now(), offset_ns: AtomicU64::new(0) };
        clock.refresh();
        clock
    }

    /// Follows the machine's clock where it was set or corrected.
    pub(crate) fn refresh(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let offset = nanoseconds(now).saturating_sub(nanoseconds(self.base.elapsed()));
        self.offset_ns.store(offset, Ordering::Relaxed);
    }

    /// Nanoseconds since 1970.
    pub(crate) fn now_ns(&self) -> u64 {
        self.offset_ns.load(Ordering::Relaxed) + self.steady_ns()
    }

    /// Nanoseconds since the clock was made.
    pub(crate) fn steady_ns(&self) -> u64 {
        nanoseconds(self.base.elapsed())
    }

    /// The time of day of a moment of the steady clock.
    pub(crate) fn at_ns(&self, steady_ns: u64) -> u64 {
        self.offset_ns.load(Ordering::Relaxed) + steady_ns
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How many characters [`push_iso`] appends.
pub(crate) const ISO_LENGTH: usize = 24;

/// Appends a moment as `2026-11-21T19:13:41.123Z`.
pub(crate) fn push_iso(at_ns: u64, out: &mut Vec<u8>) {
    let ms = at_ns / 1_000_000;
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = date_of(days);
    digits(year, 4, out);
    out.push(b'-');
    digits(month, 2, out);
    out.push(b'-');
    digits(day, 2, out);
    out.push(b'T');
    digits(in_day / 3_600_000, 2, out);
    out.push(b':');
    digits(in_day / 60_000 % 60, 2, out);
    out.push(b':');
    digits(in_day / 1000 % 60, 2, out);
    out.push(b'.');
    digits(in_day % 1000, 3, out);
    out.push(b'Z');
}

fn digits(number: u64, count: u32, out: &mut Vec<u8>) {
    for place in (0..count).rev() {
        out.push(b'0' + (number / 10_u64.pow(place) % 10) as u8);
    }
}

/// Year, month and day of a number of days since 1970, by the method of Howard Hinnant, which
/// counts years from March so that the leap day is the last of its year.
fn date_of(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, in_era) = (shifted / 146_097, shifted % 146_097);
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * in_year + 2) / 153;
    let day = in_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

/// Days since 1970 of a date; the reverse of [`date_of`].
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, in_era) = (year / 400, year % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let in_year = (153 * from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year;
    days.checked_sub(719_468)
}

/// How long `Retry-After` asks to wait: seconds, or a date such as
/// `Sat, 21 Nov 2026 19:13:41 GMT`. `None` where it is neither.
pub(crate) fn retry_after(text: &str, now_ns: u64) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let at = http_date(text)?;
    Some(Duration::from_secs(at).saturating_sub(Duration::from_nanos(now_ns)))
}

/// Seconds since 1970 of a date in the form of HTTP.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, date) = text.split_once(", ")?;
    let mut words = date.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut time = words.next()?.split(':').map(str::parse::<u64>);
    let mut next = || time.next()?.ok();
    let (hour, minute, second) = (next()?, next()?, next()?);
    let is_date = (1..=31).contains(&day) && (1970..=9999).contains(&year);
    if !is_date || hour > 23 || minute > 59 || second > 60 || words.next() != Some("GMT") {
        return None;
    }
    Some(days_of(year, month, day)? * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn iso(at_ns: u64) -> String {
        let mut out = Vec::new();
        push_iso(at_ns, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn moments_have_their_text() {
        assert_eq!(iso(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso(951_782_400_000_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(iso(1_795_288_421_123_999_999), "2026-11-21T19:13:41.123Z");
        assert_eq!(iso(4_107_542_399_999_000_000), "2100-02-28T23:59:59.999Z");
        assert_eq!(iso(u64::MAX).len(), ISO_LENGTH);
    }

    #[test]
    fn waits_are_seconds_or_dates() {
        let now = 1_795_288_421_000_000_000;
        assert_eq!(retry_after("2", now), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(" 0 ", now), Some(Duration::ZERO));
        let date = "Sat, 21 Nov 2026 19:13:44 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(3)));
        let past = "Sat, 21 Nov 2026 19:13:40 GMT";
        assert_eq!(retry_after(past, now), Some(Duration::ZERO));
        for wrong in ["", "soon", "-1", "Sat, 00 Nov 2026 19:13:44 GMT", "Sat, 21 Nov 2026"] {
            assert_eq!(retry_after(wrong, now), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn dates_and_days_are_each_others_reverse(days in 0_u64..2_900_000) {
            let (year, month, day) = date_of(days);
            prop_assert_eq!(days_of(year, month, day), Some(days));
        }
    }
}
