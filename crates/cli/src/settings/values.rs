//! The forms of values: ceilings, times, shares, and the check that each key has.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use windlass_connectors::limits::QuotaChoice;

/// Says what is wrong with a text, if anything is.
pub type Check = fn(&str) -> Result<(), String>;

/// The most that may be deleted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ceiling {
    /// So many objects.
    Count(u64),
    /// So many of a hundred that were listed.
    Percent(f64),
}

impl Ceiling {
    /// Whether a plan with so many steps, from so many listed objects, is too large.
    #[must_use]
    pub fn is_exceeded(self, steps: u64, seen: u64) -> bool {
        match self {
            Self::Count(most) => steps > most,
            Self::Percent(most) => steps as f64 * 100.0 > most * seen as f64,
        }
    }
}

impl fmt::Display for Ceiling {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(out, "{count}"),
            Self::Percent(percent) => write!(out, "{percent}%"),
        }
    }
}

impl FromStr for Ceiling {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a number nor a share such as 10%");
        match text.strip_suffix('%') {
            Some(percent) => match percent.trim().parse::<f64>() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
            None => text.replace([',', '_'], "").parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

/// The memory that a run may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemoryLimit {
    /// A share of the machine's memory, above 0 and at most 1.
    Share(f64),
    /// So many bytes.
    Bytes(u64),
}

impl Default for MemoryLimit {
    fn default() -> Self {
        Self::Share(0.80)
    }
}

impl MemoryLimit {
    /// The limit on a machine with so much memory, in bytes; at least one.
    #[must_use]
    pub fn bytes(self, machine: u64) -> u64 {
        match self {
            Self::Share(share) => ((machine as f64 * share) as u64).max(1),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl FromStr for MemoryLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no amount of memory; write a share such as 80%, or 4096MB");
        if let Some(percent) = text.strip_suffix('%') {
            return match percent.trim().parse::<f64>() {
                Ok(percent) if percent > 0.0 && percent <= 100.0 => {
                    Ok(Self::Share(percent / 100.0))
                }
                _ => Err(wrong()),
            };
        }
        let number = text.strip_suffix("MB").ok_or_else(wrong)?;
        let megabytes = number.trim().parse::<u64>().ok().filter(|number| *number > 0);
        let bytes = megabytes.and_then(|number| number.checked_mul(BYTES_A_MEGABYTE));
        bytes.map(Self::Bytes).ok_or_else(wrong)
    }
}

/// A megabyte of memory, as machines are sold.
const BYTES_A_MEGABYTE: u64 = 1024 * 1024;

/// Reads a share of processor time from which a run slows down, from above 0 to 1.
pub fn parse_cpu_limit(text: &str) -> Result<f32, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f32>().ok());
    match percent {
        Some(percent) if percent > 0.0 && percent <= 100.0 => Ok(percent / 100.0),
        _ => Err(format!(
            "`{text}` is not a limit; write a percentage such as 85%, or 100% for none"
        )),
    }
}

/// Reads a time as people write it: `250ms`, `30s`, `15m`, `24h`, `7d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time; write 250ms, 30s, 15m, 24h or 7d");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

/// Reads a share of something, of which a rest has to stay: `5%`, or `0`.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').or_else(|| (text == "0").then_some(text));
    match number.and_then(|number| number.trim().parse::<f64>().ok()) {
        Some(percent) if (0.0..100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err(format!("`{text}` is not a share; write a percentage from 0% to 99%, such as 5%")),
    }
}

pub(super) fn anything(_text: &str) -> Result<(), String> {
    Ok(())
}

pub(super) fn parses<T: FromStr<Err = String>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(|_| ())
}

pub(super) fn output(text: &str) -> Result<(), String> {
    match text {
        "text" | "json" => Ok(()),
        _ => Err(format!("`{text}` is neither text nor json")),
    }
}

pub(super) fn share(text: &str) -> Result<(), String> {
    parse_share(text).map(|_| ())
}

pub(super) fn cpu_limit(text: &str) -> Result<(), String> {
    parse_cpu_limit(text).map(|_| ())
}

/// A plain number with this unit behind it; any other text is left as it is.
pub(super) fn with_unit(text: &str, unit: &str) -> String {
    let text = text.trim();
    if text.parse::<f64>().is_ok() { format!("{text}{unit}") } else { text.to_owned() }
}

pub(super) fn time(text: &str) -> Result<(), String> {
    match parse_duration(text) {
        Ok(time) if time.is_zero() => Err(format!("`{text}` leaves no time at all")),
        other => other.map(|_| ()),
    }
}

pub(super) fn rate(text: &str) -> Result<(), String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(()),
        _ => Err(format!("`{text}` is not a rate; write requests a second, such as 40 or 0.5")),
    }
}

pub(super) fn whole(text: &str) -> Result<(), String> {
    text.parse::<u32>().map(|_| ()).map_err(|_| format!("`{text}` is not a whole number"))
}

pub(super) fn at_least_one(text: &str) -> Result<(), String> {
    match text.parse::<u32>() {
        Ok(1..=10_000) => Ok(()),
        _ => Err(format!("`{text}` is not a number from 1 to 10,000")),
    }
}

pub(super) fn yes_or_no(text: &str) -> Result<(), String> {
    match text {
        "true" | "false" => Ok(()),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

pub(super) fn quota_choice(text: &str) -> Result<(), String> {
    text.parse::<QuotaChoice>().map(|_| ())
}

pub(super) fn quota_choice_of_window(text: &str) -> Result<(), String> {
    quota_choice(&format!("window={text}"))
}
