//! Numbers, times and names as people read them. Everything here is pure.

use jiff::Timestamp;
use ratatui::text::Span;
use std::time::Duration;

/// A number with thousands separators: `5,432`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things, by the name of one: `1 organization`, `5,432 organizations`.
#[must_use]
pub fn plural(number: u64, one: &str) -> String {
    if number == 1 {
        return format!("1 {one}");
    }
    let many = match one.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ if one.ends_with(['s', 'x']) || one.ends_with("ch") || one.ends_with("sh") => {
            format!("{one}es")
        }
        _ => format!("{one}s"),
    };
    format!("{} {many}", count(number))
}

/// A number of things, by the name of many: `1 organization` for 1 and `organizations`.
#[must_use]
pub fn counted(number: u64, many: &str) -> String {
    if number == 1 { format!("1 {}", singular(many)) } else { format!("{} {many}", count(number)) }
}

fn singular(many: &str) -> String {
    if let Some(stem) = many.strip_suffix("ies") {
        return format!("{stem}y");
    }
    let hisses = ["sses", "xes", "ches", "shes"];
    let cut = if hisses.iter().any(|end| many.ends_with(end)) { "es" } else { "s" };
    many.strip_suffix(cut).unwrap_or(many).to_owned()
}

/// The text with a capital first letter.
#[must_use]
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters.by_ref()).collect())
}

/// A length of time with two units at most: `850ms`, `25.1s`, `4m 12s`, `3h 42m`, `2d 3h`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    let tenths = (millis + 50) / 100;
    if millis < 1000 {
        format!("{millis}ms")
    } else if tenths < 600 {
        format!("{}.{}s", tenths / 10, tenths % 10)
    } else {
        whole(Duration::from_secs(tenths as u64 / 10))
    }
}

/// The time that is left, in whole seconds and never short: `8s`, `4m 12s`, `3h 42m`.
#[must_use]
pub fn eta(time: Duration) -> String {
    whole(Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0)))
}

fn whole(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", count(seconds / 86_400), seconds / 3600 % 24),
    }
}

/// So many a second: `1,234/s`, `42.3/s`, `0.83/s`; below one in ten seconds by the minute.
#[must_use]
pub fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 0.1 {
        return format!("{}/min", decimal(per_second * 60.0));
    }
    format!("{}/s", decimal(per_second))
}

/// A number with as many decimals as matter: `1,234`, `42.3`, `0.83`, `0`.
#[must_use]
pub fn decimal(number: f64) -> String {
    if number >= 999.5 {
        count(number.round() as u64)
    } else if number >= 0.995 {
        format!("{number:.1}")
    } else if number > 0.0 {
        format!("{number:.2}")
    } else {
        "0".to_owned()
    }
}

/// A latency of so many milliseconds: `41 ms`, `0.42 ms`, `1.25 s`.
#[must_use]
pub fn latency(millis: f64) -> String {
    if millis >= 999.5 {
        format!("{:.2} s", millis / 1000.0)
    } else if millis >= 9.95 {
        format!("{millis:.0} ms")
    } else {
        format!("{} ms", decimal(millis))
    }
}

/// A share from 0 to 1 as percent, rounded down: 100 is said of the whole only.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    let tenths = if whole == 0 {
        1000
    } else {
        u64::try_from(u128::from(part.min(whole)) * 1000 / u128::from(whole)).unwrap_or(1000)
    };
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// So many bytes, in units of 1,024: `512 B`, `41 MB`, `4,096 MB`, `15.6 GB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    const MEGABYTE: f64 = 1024.0 * 1024.0;
    let megabytes = number as f64 / MEGABYTE;
    if megabytes >= 9_999.5 {
        format!("{:.1} GB", megabytes / 1024.0)
    } else if megabytes >= 0.95 {
        format!("{} MB", count(megabytes.round() as u64))
    } else if number >= 1024 {
        format!("{} KB", number.div_ceil(1024))
    } else {
        format!("{number} B")
    }
}

/// An instant in words: `2026-11-21 01:30:05 UTC`.
#[must_use]
pub fn when(unix_ms: u64) -> String {
    let millis = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    match Timestamp::from_millisecond(millis) {
        Ok(instant) => instant.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => format!("{unix_ms} ms after 1970"),
    }
}

/// A bar of `width` columns, full only when everything is done.
#[must_use]
pub fn progress_bar(part: u64, whole: u64, width: usize) -> String {
    let full = if whole == 0 {
        width
    } else {
        usize::try_from(u128::from(part.min(whole)) * width as u128 / u128::from(whole))
            .unwrap_or(width)
    };
    "█".repeat(full) + &"░".repeat(width - full)
}

/// How many columns the text takes on a terminal.
#[must_use]
pub fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text cut to so many columns, with an ellipsis where something is missing.
#[must_use]
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut room = columns.saturating_sub(1);
    for letter in Span::raw(text).styled_graphemes(ratatui::style::Style::default()) {
        let Some(rest) = room.checked_sub(width(letter.symbol)) else { break };
        room = rest;
        kept.push_str(letter.symbol);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// Text of a remote without the characters that move cursors, change colours or turn the
/// direction of writing: what an object is called must not be able to change what is read.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|letter| if is_harmless(letter) { letter } else { '\u{fffd}' }).collect()
}

fn is_harmless(letter: char) -> bool {
    let turns_direction = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(letter, '\u{2066}'..='\u{2069}');
    let ends_line = matches!(letter, '\u{2028}' | '\u{2029}');
    !letter.is_control() && !turns_direction && !ends_line
}

/// Verbs whose forms follow no rule of [`Verb::of`].
const IRREGULAR: &[(&str, &str, &str)] = &[
    ("put", "putting", "put"),
    ("set", "setting", "set"),
    ("drop", "dropping", "dropped"),
    ("write", "writing", "written"),
    ("send", "sending", "sent"),
];

/// An operation as a verb and a noun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verb {
    /// `delete`
    pub base: String,
    /// `deleting`
    pub doing: String,
    /// `deleted`
    pub done: String,
    /// `deletion`
    pub noun: String,
}

impl Verb {
    /// The forms of an English verb. Of several words it is the first that is no plural noun, as in
    /// `purge tags` and `namespaces drop`; what is no word stands for itself.
    #[must_use]
    pub fn of(operation: &str) -> Self {
        let verb = operation.split([' ', '-']).find(|word| !word.ends_with('s'));
        let base = plain(verb.unwrap_or(operation));
        if base.is_empty() || !base.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Self { doing: base.clone(), done: base.clone(), noun: base.clone(), base };
        }
        let irregular = IRREGULAR.iter().find(|(known, _, _)| *known == base);
        let (doing, done) = if let Some((_, doing, done)) = irregular {
            ((*doing).to_owned(), (*done).to_owned())
        } else if let Some(stem) = base.strip_suffix('e') {
            (format!("{stem}ing"), format!("{stem}ed"))
        } else if let Some(stem) = base.strip_suffix('y') {
            (format!("{base}ing"), format!("{stem}ied"))
        } else {
            (format!("{base}ing"), format!("{base}ed"))
        };
        let noun = match base.strip_suffix('e') {
            Some(stem) if stem.ends_with("et") || stem.ends_with("at") => format!("{stem}ion"),
            _ => base.clone(),
        };
        Self { base, doing, done, noun }
    }
}
