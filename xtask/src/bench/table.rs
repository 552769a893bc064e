//! How figures are written, in every table.

use super::samples::{Samples, Spread};

/// How busy others were, at most. The kernel counts in hundredths of a second: of a short run
/// nothing can be said.
pub fn others(samples: &Samples) -> String {
    if samples.wall_s().min < 0.2 {
        return "-".to_owned();
    }
    format!("{:.0}", samples.spread(|sample| sample.others_percent).max)
}

/// The median of the times, between these marks, with its extremes.
pub fn wall(samples: &Samples, mark: &str) -> String {
    let Spread { median, min, max } = samples.wall_s();
    format!("{mark}{}{mark} ({}..{})", figure(median), figure(min), figure(max))
}

/// Three digits that matter.
pub fn figure(value: f64) -> String {
    match value {
        value if value >= 1_000.0 => thousands(value.round() as u64),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

/// One number where all are the same.
pub fn range(spread: Spread) -> String {
    let (min, max) = (thousands(spread.min as u64), thousands(spread.max as u64));
    if min == max { min } else { format!("{min}..{max}") }
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let written: Vec<String> = [1_234_567, 1_000, 999, 0].map(thousands).into();
        assert_eq!(written, ["1,234,567", "1,000", "999", "0"]);
        let written: Vec<String> = [0.02851, 1.234, 12.34, 123.4, 1234.4].map(figure).into();
        assert_eq!(written, ["0.029", "1.23", "12.3", "123", "1,234"]);
    }
}
