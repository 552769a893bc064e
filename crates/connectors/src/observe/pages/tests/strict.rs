//! A reader of Prometheus' text format 0.0.4 that takes nothing on trust: it shares no code with
//! the writer and panics at the first thing that is not as the format has it.

use std::collections::{BTreeMap, BTreeSet};

/// A family of samples.
#[derive(Debug)]
pub(super) struct Family {
    /// Its name.
    pub(super) name: String,
    /// `counter`, `gauge` or `histogram`.
    pub(super) form: String,
    /// Its samples, in their order.
    pub(super) samples: Vec<Sample>,
}

/// One sample.
#[derive(Debug)]
pub(super) struct Sample {
    /// Its name: the family's, or that with a suffix of histograms.
    pub(super) name: String,
    /// Its labels with their values as they were meant.
    pub(super) labels: BTreeMap<String, String>,
    /// Its value as it stands there.
    pub(super) value: String,
}

impl Sample {
    fn number(&self) -> f64 {
        self.value.parse().unwrap()
    }

    fn without(&self, label: &str) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.remove(label);
        labels
    }
}

/// Reads a whole text and checks it.
pub(super) fn read(text: &str) -> Vec<Family> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut families: Vec<Family> = Vec::new();
    let mut lines = text.lines();
    let mut names = BTreeSet::new();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help");
            assert!(help.ends_with('.') && help.len() > 10, "{name}: {help}");
            let typed = lines.next().unwrap().strip_prefix("# TYPE ").expect("a type");
            let (typed, form) = typed.split_once(' ').unwrap();
            assert_eq!(typed, name);
            assert!(["counter", "gauge", "histogram"].contains(&form), "{form}");
            assert!(is_name(name), "{name}");
            assert_eq!(form == "counter", name.ends_with("_total"), "{name}");
            assert!(names.insert(name.to_owned()), "{name} comes twice");
            let (name, form) = (name.to_owned(), form.to_owned());
            families.push(Family { name, form, samples: Vec::new() });
        } else {
            let family = families.last_mut().expect("a family");
            family.samples.push(sample(line));
        }
    }
    families.iter().for_each(check);
    families
}

fn is_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_lowercase() || c == '_';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("a value");
    let name = line[..end].to_owned();
    assert!(is_name(&name), "{line}");
    let mut labels = BTreeMap::new();
    let mut rest = &line[end..];
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").expect("a label");
            assert!(is_name(label), "{line}");
            let (value, after) = quoted(after);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            if let Some(after) = after.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = after.strip_prefix(',').expect("a comma");
        }
    }
    let value = rest.strip_prefix(' ').expect("a space").to_owned();
    assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
    assert!(value.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-'), "{line}");
    Sample { name, labels, value }
}

/// A value up to its closing quote, and what follows that.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    loop {
        match letters.next().expect("a closing quote") {
            (place, '"') => return (value, &text[place + 1..]),
            (_, '\\') => value.push(match letters.next().unwrap().1 {
                'n' => '\n',
                letter @ ('\\' | '"') => letter,
                letter => panic!("\\{letter} means nothing"),
            }),
            (_, letter) => value.push(letter),
        }
    }
}

fn check(family: &Family) {
    let mut seen = BTreeSet::new();
    for sample in &family.samples {
        assert!(seen.insert((&sample.name, &sample.labels)), "{sample:?} comes twice");
        assert!(sample.number() >= 0.0, "{sample:?}");
        if family.form != "histogram" {
            assert_eq!(sample.name, family.name);
        }
    }
    if family.form == "histogram" {
        assert!(family.name.ends_with("_seconds"), "{}", family.name);
        histograms(family);
    }
}

fn histograms(family: &Family) {
    let named = |suffix: &str| {
        let name = format!("{}{suffix}", family.name);
        family.samples.iter().filter(move |sample| sample.name == name)
    };
    let known = named("_bucket").count() + named("_sum").count() + named("_count").count();
    assert_eq!(known, family.samples.len(), "{}", family.name);
    assert_eq!(named("_sum").count(), named("_count").count());
    for count in named("_count") {
        assert!(named("_sum").any(|sum| sum.labels == count.labels));
        let buckets: Vec<(f64, f64)> = named("_bucket")
            .filter(|bucket| bucket.without("le") == count.labels)
            .map(|bucket| match bucket.labels["le"].as_str() {
                "+Inf" => (f64::INFINITY, bucket.number()),
                bound => (bound.parse().unwrap(), bucket.number()),
            })
            .collect();
        assert!(buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1), "{buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, count.number())));
    }
    let counted: BTreeSet<_> = named("_count").map(|count| &count.labels).collect();
    let buckets: BTreeSet<_> = named("_bucket").map(|bucket| bucket.without("le")).collect();
    assert_eq!(counted, buckets.iter().collect());
}
