//! Owns a limit over groups of events: how much an event takes of it, and which group it is in.

use super::condition::{Attribute, Subject};
use super::counter::Counters;
use super::parse::Measure;
use super::period::Period;
use std::sync::Arc;

/// Values of groups beyond this are counted under their hash.
const VALUE_BYTES_MAX: usize = 256;

/// A limit with its counters.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) measure: Measure,
    pub(super) limit: u64,
    pub(super) alert_at: Option<u64>,
    pub(super) period: Period,
    pub(super) group_by: Vec<Attribute>,
    pub(super) counters: Arc<Counters>,
}

impl Budget {
    pub(super) fn amount(&self, subject: &Subject<'_>) -> u64 {
        let usage = &subject.facts.usage;
        match self.measure {
            Measure::Cost => subject.cost_pico.unwrap_or(0),
            Measure::Tokens => usage.all_input().saturating_add(usage.all_output()),
            Measure::Requests => 1,
        }
    }

    /// The group of an event: its values with their lengths, so that no two groups look alike, and
    /// `-` for what it doesn't have.
    pub(super) fn group(&self, subject: &Subject<'_>) -> String {
        let mut group = String::new();
        for attribute in &self.group_by {
            match attribute.of(subject) {
                None => group.push('-'),
                Some(value) if value.len() <= VALUE_BYTES_MAX => {
                    group.push_str(&value.len().to_string());
                    group.push(':');
                    group.push_str(value);
                }
                Some(value) => {
                    let hash = ring::digest::digest(&ring::digest::SHA256, value.as_bytes());
                    group.push_str("65:#");
                    hash.as_ref().iter().for_each(|byte| group.push_str(&format!("{byte:02x}")));
                }
            }
        }
        group
    }

    /// A group for people: `user=ann, model=gpt-4o`.
    pub(super) fn label(&self, group: &str) -> String {
        let mut rest = group;
        let mut words = Vec::with_capacity(self.group_by.len());
        for attribute in &self.group_by {
            let value = match rest.split_once(':') {
                Some((length, behind)) if !rest.starts_with('-') => {
                    let length = length.parse().unwrap_or(behind.len());
                    let (value, behind) = behind.split_at_checked(length).unwrap_or((behind, ""));
                    rest = behind;
                    value
                }
                _ => {
                    rest = rest.get(1..).unwrap_or_default();
                    "-"
                }
            };
            words.push(format!("{}={value}", attribute.name()));
        }
        words.join(", ")
    }
}
