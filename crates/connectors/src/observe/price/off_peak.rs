//! Cheaper hours: some vendors, such as DeepSeek, ask less at times of the day and the week.

use super::field::Field;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

const MINUTES_PER_DAY: u16 = 24 * 60;
/// Every day of the week.
const EVERY_DAY: u8 = 0b0111_1111;
/// A model with more windows than this is not priced in a way we understand.
const WINDOWS_MAX: usize = 64;

/// When a model is cheaper, and what it costs then. What has no price here keeps its usual one.
#[derive(Clone, Debug)]
pub(super) struct OffPeak {
    windows: Vec<Window>,
    /// Whose calendar says which day of the week it is; hours are always UTC.
    calendar: TimeZone,
    pub(super) fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    /// One bit a day, Monday the lowest.
    days: u8,
    /// Minutes of the day.
    start: u16,
    /// Minutes of the day; not later than `start` where the window goes past midnight.
    end: u16,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(default)]
    hours_utc: Value,
    #[serde(default)]
    weekdays: Option<Vec<Value>>,
}

impl OffPeak {
    /// Reads the block `off_peak_pricing`; `None` where it has no window or is not understood.
    pub(super) fn parse(json: &str) -> Option<Self> {
        let block: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(json).ok()?;
        let read = |name: &str| block.get(name).map(|raw| raw.get());
        let mut windows = Vec::new();
        if let Some(hours) = read("hours_utc") {
            add_hours(&serde_json::from_str(hours).ok()?, EVERY_DAY, &mut windows);
        }
        if let Some(rules) = read("windows") {
            for rule in serde_json::from_str::<Vec<Rule>>(rules).ok()? {
                let days = rule.weekdays.as_deref().map_or(EVERY_DAY, days);
                add_hours(&rule.hours_utc, days, &mut windows);
            }
        }
        let calendar = match read("weekday_timezone") {
            Some(name) => TimeZone::get(&serde_json::from_str::<String>(name).ok()?).ok()?,
            None => TimeZone::UTC,
        };
        let fields = block.iter().filter_map(|(name, raw)| {
            Field::named(name, super::money::femto(raw.get().trim_matches('"'))?)
        });
        let fields = fields.collect();
        let is_sound = !windows.is_empty() && windows.len() <= WINDOWS_MAX;
        is_sound.then_some(Self { windows, calendar, fields })
    }

    /// Whether a moment, in nanoseconds since 1970, is in a cheap window. A moment that is not
    /// known, 0, is not.
    pub(super) fn is_open(&self, at_ns: u64) -> bool {
        if at_ns == 0 {
            return false;
        }
        let seconds = i64::try_from(at_ns / 1_000_000_000).unwrap_or(i64::MAX);
        let Ok(moment) = Timestamp::from_second(seconds) else { return false };
        let there = seconds + i64::from(self.calendar.to_offset(moment).seconds());
        // The first day of 1970 was a Thursday.
        let day = (there.div_euclid(86_400) + 3).rem_euclid(7);
        let minute = (seconds.rem_euclid(86_400) / 60) as u16;
        self.windows.iter().any(|window| window.days & (1 << day) != 0 && window.has(minute))
    }
}

impl Window {
    const fn has(self, minute: u16) -> bool {
        if self.start < self.end {
            self.start <= minute && minute < self.end
        } else {
            self.start <= minute || minute < self.end
        }
    }
}

/// One window such as `16:30-00:30` or a list of them; what is malformed is left out.
fn add_hours(hours: &Value, days: u8, windows: &mut Vec<Window>) {
    let list = hours.as_array().map_or(std::slice::from_ref(hours), Vec::as_slice);
    let parsed = list.iter().filter_map(|text| {
        let (start, end) = text.as_str()?.split_once('-')?;
        Some(Window { days, start: minute(start)?, end: minute(end)? })
    });
    windows.extend(parsed.take(WINDOWS_MAX));
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours.checked_mul(60)?.checked_add(minutes)?;
    (minutes < 60 && minute <= MINUTES_PER_DAY).then_some(minute)
}

/// Days as numbers from 1 for Monday, or by their English names.
fn days(list: &[Value]) -> u8 {
    const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let number = |day: &Value| match day {
        Value::String(name) => {
            let name = name.trim().to_ascii_lowercase();
            NAMES.iter().position(|start| name.starts_with(start))
        }
        day => day.as_u64().filter(|day| (1..=7).contains(day)).map(|day| day as usize - 1),
    };
    list.iter().filter_map(number).fold(0, |days, day| days | 1 << day)
}

#[cfg(test)]
mod tests {
    use super::OffPeak;

    const NS: u64 = 1_000_000_000;
    /// Monday, 16 November 2026, midnight in UTC, in seconds.
    const MONDAY: u64 = 1_794_787_200;

    fn deepseek(extra: &str) -> OffPeak {
        let json = format!(
            r#"{{"input_cost_per_token": 1.5e-07, {extra} "windows": [
                {{"hours_utc": ["00:00-01:00", "10:00-00:00"], "weekdays": [1, "tue", 3, 4, 5]}},
                {{"hours_utc": "00:00-00:00", "weekdays": [6, 7]}}]}}"#
        );
        OffPeak::parse(&json).unwrap()
    }

    #[test]
    fn windows_have_days_and_hours() {
        let block = deepseek("");
        let open = |hours: u64| block.is_open((MONDAY + hours * 3_600) * NS);
        assert!(open(0), "Monday at midnight");
        assert!(!open(1), "Monday at one: the end is excluded");
        assert!(!open(9));
        assert!(open(10));
        assert!(open(23));
        assert!(!open(24 + 3), "Tuesday at three");
        assert!(open(5 * 24 + 3), "Saturday at three");
        assert!(!open(7 * 24 + 3));
        assert!(!block.is_open(0), "an unknown time");
        assert_eq!(block.fields.len(), 1);
        assert_eq!(block.fields[0].rate, 150_000_000);
    }

    #[test]
    fn the_day_is_that_of_the_named_calendar() {
        let block = deepseek(r#""weekday_timezone": "Asia/Shanghai","#);
        let open = |hours: u64| block.is_open((MONDAY + hours * 3_600) * NS);
        assert!(open(4 * 24 + 17), "Friday at 17 in UTC is Saturday in Shanghai");
        assert!(!open(6 * 24 + 17 - 12 + 24), "Monday");
        assert!(open(6 * 24 + 3), "Sunday");
    }

    #[test]
    fn a_window_may_go_past_midnight() {
        let json = r#"{"hours_utc": "16:30-00:30", "output_cost_per_token": "6e-07"}"#;
        let block = OffPeak::parse(json).unwrap();
        let open = |minutes: u64| block.is_open((MONDAY + minutes * 60) * NS);
        assert!(open(16 * 60 + 30));
        assert!(open(29));
        assert!(!open(30));
        assert_eq!(block.fields[0].rate, 600_000_000);
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        for json in ["[]", "{}", r#"{"hours_utc": "noon"}"#, r#"{"hours_utc": "25:00-26:00"}"#] {
            assert!(OffPeak::parse(json).is_none(), "{json}");
        }
    }
}
