//! What a remote accepted: every event once, in the order of first arrival, with how many times
//! it came.
//!
//! Owns identity and order. An event takes some 200 bytes, with names and users kept once for all
//! events that share them, so that a million events fit in memory several times over.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use windlass_sim::Micros;
use xxhash_rust::xxh3::xxh3_64;

use super::spans::plain;

/// One event as it arrives.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Accepted<'a> {
    /// The trace of a span; empty for messages.
    pub trace: &'a str,
    /// The id of the span or the message.
    pub id: &'a str,
    /// `track`, `span` and so on.
    pub class: &'a str,
    pub name: &'a str,
    pub user: &'a str,
    pub anonymous: &'a str,
    pub cost: Option<&'a str>,
    pub sequence: Option<i64>,
    pub body: Option<&'a str>,
}

/// One event that a remote accepted, at least once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The trace of a span; empty for messages.
    pub trace_id: String,
    /// The id of the span, the message, the envelope or the score.
    pub id: String,
    /// `span`, `track`, `generation-create`, `score` and so on.
    pub class: String,
    /// Its name; the event of a `track`.
    pub name: String,
    /// The user, empty where there is none.
    pub user: String,
    /// The anonymous id, empty where there is none.
    pub anonymous_id: String,
    /// The total cost in US dollars, as decimal text.
    pub cost: Option<String>,
    /// The number in `properties.sequence`, or in the attribute `sequence` of a span.
    pub sequence: Option<i64>,
    /// How many times it arrived.
    pub times: u32,
    /// When it arrived first, in microseconds since the simulator started.
    pub at: Micros,
    /// The message, or the attributes of the span, as JSON; only with `--bodies`.
    pub body: Option<String>,
}

/// The totals of one remote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events that were accepted, each as often as it came.
    pub accepted: u64,
    /// Different events.
    pub distinct: u64,
    /// Events that came again.
    pub duplicates: u64,
    /// Events that came for the first time after a later one of the same user, by their sequence.
    pub out_of_order: u64,
    /// Events that were refused alone: in a partial success, or in a 207.
    pub rejected: u64,
}

#[derive(Debug)]
struct Row {
    at: Micros,
    sequence: Option<i64>,
    trace_length: u32,
    /// The cost stands behind the id; 0 is none.
    cost_length: u32,
    class: u32,
    name: u32,
    user: u32,
    anonymous: u32,
    times: u32,
}

/// The accepted events of one remote.
#[derive(Debug, Default)]
pub(super) struct Journal {
    keeps_no_rows: bool,
    rows: Vec<Row>,
    /// The trace, the id and the cost of each row, one after the other.
    ids: Texts,
    bodies: HashMap<u32, Box<str>>,
    /// Rows by the hash of trace and id. Two of a million events share one with a chance of 1 in
    /// 37 million.
    index: HashMap<u64, u32>,
    names: Names,
    /// The last sequence of each user.
    sequences: HashMap<u32, i64>,
    pub totals: Totals,
}

/// How an event stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub is_new: bool,
}

impl Journal {
    pub(super) fn new(keeps_no_rows: bool) -> Self {
        Self { keeps_no_rows, ..Self::default() }
    }

    /// Notes an accepted event.
    pub(super) fn note(&mut self, at: Micros, event: Accepted<'_>) -> Seen {
        self.totals.accepted += 1;
        let key = xxh3_64([event.trace, "/", event.id].concat().as_bytes());
        let next = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let known = *self.index.entry(key).or_insert(next);
        let is_new = self.index.len() as u64 > self.totals.distinct;
        if !is_new {
            self.totals.duplicates += 1;
            if let Some(row) = self.rows.get_mut(known as usize) {
                row.times = row.times.saturating_add(1);
            }
            return Seen { is_new };
        }
        self.totals.distinct += 1;
        let who = if event.user.is_empty() { event.anonymous } else { event.user };
        if let Some(sequence) = event.sequence.filter(|_| !who.is_empty()) {
            let who = self.names.number(who);
            let last = self.sequences.entry(who).or_insert(sequence);
            self.totals.out_of_order += u64::from(sequence < *last);
            *last = sequence.max(*last);
        }
        if !self.keeps_no_rows {
            let cost = event.cost.unwrap_or("");
            self.ids.push(&[event.trace, event.id, cost].concat());
            if let Some(body) = event.body {
                self.bodies.insert(next, body.into());
            }
            self.rows.push(Row {
                at,
                sequence: event.sequence,
                trace_length: u32::try_from(event.trace.len()).unwrap_or(0),
                cost_length: u32::try_from(cost.len()).unwrap_or(0),
                class: self.names.number(event.class),
                name: self.names.number(event.name),
                user: self.names.number(event.user),
                anonymous: self.names.number(event.anonymous),
                times: 1,
            });
        }
        Seen { is_new }
    }

    pub(super) fn delivered(&self) -> impl Iterator<Item = Delivered> {
        self.rows.iter().zip(0..).map(|(row, number)| {
            let ids = self.ids.get(number);
            let (trace_id, rest) = ids.split_at(row.trace_length as usize);
            let (id, cost) = rest.split_at(rest.len() - row.cost_length as usize);
            Delivered {
                trace_id: trace_id.to_owned(),
                id: id.to_owned(),
                class: self.names.text(row.class).to_owned(),
                name: self.names.text(row.name).to_owned(),
                user: self.names.text(row.user).to_owned(),
                anonymous_id: self.names.text(row.anonymous).to_owned(),
                cost: Some(cost.to_owned()).filter(|cost| !cost.is_empty()),
                sequence: row.sequence,
                times: row.times,
                at: row.at,
                body: self.bodies.get(&number).map(|body| body.to_string()),
            }
        })
    }
}

impl Totals {
    pub(super) fn to_json(self) -> Map<String, Value> {
        let named = [
            ("accepted", self.accepted),
            ("distinct", self.distinct),
            ("duplicates", self.duplicates),
            ("out_of_order", self.out_of_order),
            ("rejected", self.rejected),
        ];
        named.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect()
    }
}

impl Delivered {
    /// The event as one line of the control plane, in the words of its remote.
    pub(super) fn to_json(&self, is_message: bool) -> Value {
        let mut line = if is_message {
            json!({"messageId": self.id, "type": self.class, "event": self.name})
        } else {
            json!({"trace_id": self.trace_id, "span_id": self.id, "name": self.name})
        };
        let (user, anonymous) =
            if is_message { ("userId", "anonymousId") } else { ("user", "anonymous") };
        let mut add = |name: &str, value: Value| line[name] = value;
        if !self.user.is_empty() {
            add(user, self.user.clone().into());
        }
        if !self.anonymous_id.is_empty() {
            add(anonymous, self.anonymous_id.clone().into());
        }
        if let Some(cost) = &self.cost {
            add("cost", cost.clone().into());
        }
        if let Some(sequence) = self.sequence {
            add("sequence", sequence.into());
        }
        if let Some(body) = &self.body {
            let parsed = serde_json::from_str(body);
            add("body", parsed.unwrap_or_else(|_| body.clone().into()));
        }
        add("times", self.times.into());
        add("at", self.at.into());
        line
    }
}

/// A whole number in JSON, also one that is written as text.
pub(super) fn sequence_of(value: Option<&Value>) -> Option<i64> {
    let value = value?;
    value.as_i64().or_else(|| plain(value).parse().ok())
}

/// Small numbers for texts that repeat, each kept once. They are found by their hash: two of a
/// million share one with a chance of 1 in 37 million.
#[derive(Debug, Default)]
pub(super) struct Names {
    texts: Texts,
    numbers: HashMap<u64, u32>,
}

impl Names {
    /// The number of a text.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        let texts = &mut self.texts;
        *self.numbers.entry(xxh3_64(text.as_bytes())).or_insert_with(|| texts.push(text))
    }

    pub(super) fn text(&self, number: u32) -> &str {
        self.texts.get(number)
    }
}

/// Texts one after the other in one piece of memory.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: String,
    ends: Vec<usize>,
}

impl Texts {
    /// Appends a text and returns its number.
    pub(super) fn push(&mut self, text: &str) -> u32 {
        self.all.push_str(text);
        self.ends.push(self.all.len());
        u32::try_from(self.ends.len() - 1).unwrap_or(u32::MAX)
    }

    /// The text with this number; empty where there is none.
    pub(super) fn get(&self, number: u32) -> &str {
        let end = self.ends.get(number as usize).copied().unwrap_or(0);
        let start = number.checked_sub(1).and_then(|last| self.ends.get(last as usize).copied());
        self.all.get(start.unwrap_or(0)..end).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_row_is_small() {
        assert_eq!(size_of::<super::Row>(), 56);
    }
}
