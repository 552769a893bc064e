//! Prometheus' text format 0.0.4: families with their help and type, samples with their labels,
//! histograms with cumulative buckets. Numbers are written as exact decimals.

use std::fmt::{Display, Write};

/// The media type of the format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// What all names begin with, but for those that Prometheus' own libraries give every process.
const PREFIX: &str = "windlass_observe_";

/// What a family's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// They only grow while the process lives.
    Counter,
    /// They go up and down.
    Gauge,
    /// Counts of observations at most as large as each bound.
    Histogram,
}

/// The text as it grows.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
    /// The whole name of the family whose samples follow.
    family: String,
}

impl Exposition {
    /// An empty one with room for the usual gateway.
    pub(super) fn new() -> Self {
        Self { text: String::with_capacity(32 << 10), family: String::new() }
    }

    /// Begins a family of our own, whose name lacks the common prefix.
    pub(super) fn family(&mut self, name: &str, form: Form, help: &str) {
        self.begin(PREFIX, name, form, help);
    }

    /// Begins a family that has the same name in every process.
    pub(super) fn common_family(&mut self, name: &str, form: Form, help: &str) {
        self.begin("", name, form, help);
    }

    fn begin(&mut self, prefix: &str, name: &str, form: Form, help: &str) {
        self.family.clear();
        self.family.push_str(prefix);
        self.family.push_str(name);
        let form = match form {
            Form::Counter => "counter",
            Form::Gauge => "gauge",
            Form::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a text does not fail, here and below.
        let _ = write!(self.text, "# HELP {0} {help}\n# TYPE {0} {form}\n", self.family);
    }

    /// Writes a sample of the family.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// Writes a family of our own with one sample.
    pub(super) fn single(&mut self, name: &str, form: Form, help: &str, value: impl Display) {
        self.family(name, form, help);
        self.sample(&[], value);
    }

    /// Writes a histogram of the family, whose observations are in microseconds, in seconds.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], times: &Times<'_>) {
        // The counters behind are read one after the other while others add to them; buckets that
        // do not grow with their bounds are invalid, so a bucket is at least the one before it.
        let mut below = 0;
        for (&bound, &count) in times.bounds_us.iter().zip(times.at_most) {
            below = count.max(below);
            self.line("_bucket", labels, Some(&micros(bound).to_string()), below);
        }
        let all = times.count.max(below);
        self.line("_bucket", labels, Some("+Inf"), all);
        self.line("_sum", labels, None, micros(times.sum_us));
        self.line("_count", labels, None, all);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], le: Option<&str>, v: impl Display) {
        self.text.push_str(&self.family);
        self.text.push_str(suffix);
        let mut opening = '{';
        for (name, value) in labels.iter().copied().chain(le.map(|bound| ("le", bound))) {
            self.text.push(opening);
            opening = ',';
            let _ = write!(self.text, "{name}=\"");
            escape(value, &mut self.text);
            self.text.push('"');
        }
        if opening == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {v}");
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

fn escape(value: &str, text: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(letter),
        }
    }
}

/// Times in microseconds for a histogram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times<'a> {
    /// The upper bounds of the buckets, growing.
    pub(super) bounds_us: &'a [u64],
    /// How many took at most the bound of the same place.
    pub(super) at_most: &'a [u64],
    /// All of them.
    pub(super) count: u64,
    /// All of them together.
    pub(super) sum_us: u64,
}

/// A whole number of small units, shown as an exact decimal of the base unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    units: u64,
    /// How many of them make one, as a power of ten.
    digits: u32,
}

/// Milliseconds as seconds.
pub(super) const fn millis(units: u64) -> Decimal {
    Decimal { units, digits: 3 }
}

/// Microseconds as seconds.
pub(super) const fn micros(units: u64) -> Decimal {
    Decimal { units, digits: 6 }
}

/// 10^-12 US dollars as US dollars.
pub(super) const fn picos(units: u64) -> Decimal {
    Decimal { units, digits: 12 }
}

impl Display for Decimal {
    fn fmt(&self, into: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let one = 10_u64.pow(self.digits);
        write!(into, "{}", self.units / one)?;
        let mut rest = self.units % one;
        if rest == 0 {
            return Ok(());
        }
        let mut width = self.digits as usize;
        while rest.is_multiple_of(10) {
            rest /= 10;
            width -= 1;
        }
        write!(into, ".{rest:0width$}")
    }
}
