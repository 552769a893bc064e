//! The observations of the project.
//!
//! Owns their identity: a trace and an id. A span that comes again replaces the one before; an
//! update of the legacy ingestion changes the fields that it names. An observation takes some 300
//! bytes with its ids, tokens and costs, without its inputs and outputs.

use std::collections::HashMap;

use jiff::Timestamp;
use windlass_sim::Micros;
use xxhash_rust::xxh3::xxh3_64;

use super::super::journal::Names;

/// The texts of an observation, by index.
pub(super) const TYPE: usize = 0;
pub(super) const NAME: usize = 1;
pub(super) const MODEL: usize = 2;
pub(super) const LEVEL: usize = 3;
pub(super) const STATUS: usize = 4;
pub(super) const ENVIRONMENT: usize = 5;
pub(super) const SESSION: usize = 6;
pub(super) const USER: usize = 7;
pub(super) const TRACE_NAME: usize = 8;
pub(super) const VERSION: usize = 9;
pub(super) const RELEASE: usize = 10;
pub(super) const TAGS: usize = 11;
pub(super) const PROMPT_NAME: usize = 12;
pub(super) const PROMPT_VERSION: usize = 13;
const TEXTS: usize = 14;

/// What is kept with `--bodies` alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Bodies {
    pub input: Option<String>,
    pub output: Option<String>,
    pub metadata: Option<String>,
    pub parameters: Option<String>,
}

/// What a request says of an observation; what is empty is not said.
#[derive(Clone, Debug, Default)]
pub(super) struct Patch {
    pub trace_id: String,
    pub id: String,
    pub parent: Option<String>,
    pub start_ns: Option<u64>,
    pub end_ns: Option<u64>,
    pub completion_ns: Option<u64>,
    pub usage: Option<String>,
    pub cost: Option<String>,
    pub bodies: Option<Box<Bodies>>,
    texts: [String; TEXTS],
}

impl Patch {
    pub(super) fn new(trace_id: &str, id: &str) -> Self {
        Self { trace_id: trace_id.to_owned(), id: id.to_owned(), ..Self::default() }
    }

    pub(super) fn set(&mut self, field: usize, text: Option<String>) {
        self.texts[field] = text.unwrap_or_default();
    }

    pub(super) fn text(&self, field: usize) -> &str {
        &self.texts[field]
    }
}

/// One observation.
#[derive(Debug, Default)]
pub(super) struct Observation {
    /// Trace, id, parent, usage and cost, one after the other in one piece of memory.
    said: Box<str>,
    /// Where each of them ends.
    ends: [u32; SAID],
    /// The number of its texts other than user and session: most observations share theirs.
    profile: u32,
    user: u32,
    session: u32,
    pub start_ns: u64,
    pub end_ns: u64,
    pub completion_ns: u64,
    pub visible_at: Micros,
    pub bodies: Option<Box<Bodies>>,
}

const SAID: usize = 5;
const PARENT: usize = 2;
const USAGE: usize = 3;
const COST: usize = 4;

impl Observation {
    fn new(visible_at: Micros) -> Self {
        Self { visible_at, ..Self::default() }
    }

    fn said(&self, part: usize) -> &str {
        let start = part.checked_sub(1).map_or(0, |last| self.ends[last]);
        &self.said[start as usize..self.ends[part] as usize]
    }

    fn said_if_any(&self, part: usize) -> Option<&str> {
        Some(self.said(part)).filter(|text| !text.is_empty())
    }

    pub(super) fn trace_id(&self) -> &str {
        self.said(0)
    }

    pub(super) fn id(&self) -> &str {
        self.said(1)
    }

    pub(super) fn parent(&self) -> Option<&str> {
        self.said_if_any(PARENT)
    }

    /// The tokens, a JSON object of numbers.
    pub(super) fn usage(&self) -> Option<&str> {
        self.said_if_any(USAGE)
    }

    /// The costs, a JSON object of numbers.
    pub(super) fn cost(&self) -> Option<&str> {
        self.said_if_any(COST)
    }

    /// Takes over what a request says; texts are the affair of the store.
    fn apply(&mut self, patch: Patch) {
        let or = |new: Option<String>, old: &str| new.unwrap_or_else(|| old.to_owned());
        let said = [
            patch.trace_id,
            patch.id,
            or(patch.parent, self.said(PARENT)),
            or(patch.usage, self.said(USAGE)),
            or(patch.cost, self.said(COST)),
        ];
        let mut end = 0;
        for (own, text) in self.ends.iter_mut().zip(&said) {
            end += u32::try_from(text.len()).unwrap_or(u32::MAX);
            *own = end;
        }
        self.said = said.concat().into();
        self.start_ns = patch.start_ns.unwrap_or(self.start_ns);
        self.end_ns = patch.end_ns.unwrap_or(self.end_ns);
        self.completion_ns = patch.completion_ns.unwrap_or(self.completion_ns);
        self.bodies = patch.bodies.or(self.bodies.take());
    }
}

/// The numbers of the texts of an observation or a trace; 0 is no text.
type Profile = [u32; TEXTS];

/// All observations, and what the legacy ingestion knows of their traces.
#[derive(Debug, Default)]
pub(super) struct Store {
    rows: Vec<Observation>,
    index: HashMap<u64, u32>,
    names: Names,
    profiles: Vec<Profile>,
    profile_numbers: HashMap<Profile, u32>,
    traces: HashMap<Box<str>, Profile>,
    /// The rows from the newest to the oldest, as far as they were put in order.
    pub order: Vec<u32>,
    pub is_ordered: bool,
}

impl Store {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&self, index: u32) -> &Observation {
        &self.rows[index as usize]
    }

    /// A text of an observation, else that of its trace; empty where there is none.
    pub(super) fn text(&self, row: &Observation, field: usize) -> &str {
        let mut number = self.number(row, field);
        if number == 0 && !self.traces.is_empty() && of_trace(field) {
            number = self.traces.get(row.trace_id()).map_or(0, |texts| texts[field]);
        }
        number.checked_sub(1).map_or("", |number| self.names.text(number))
    }

    fn number(&self, row: &Observation, field: usize) -> u32 {
        match field {
            USER => row.user,
            SESSION => row.session,
            _ => self.profiles.get(row.profile as usize).map_or(0, |profile| profile[field]),
        }
    }

    /// Stores an observation. `whole` replaces what was known, else the fields are merged.
    pub(super) fn put(&mut self, patch: Patch, visible_at: Micros, whole: bool) {
        let key = xxh3_64([patch.trace_id.as_str(), &patch.id].join("/").as_bytes());
        let next = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let index = *self.index.entry(key).or_insert(next);
        self.is_ordered = false;
        if index == next {
            self.order.push(index);
            self.rows.push(Observation::new(visible_at));
        }
        let known = &self.rows[index as usize];
        let mut profile: Profile = [0; TEXTS];
        for (field, text) in patch.texts.iter().enumerate() {
            profile[field] = match text.as_str() {
                "" if whole => 0,
                "" => self.number(known, field),
                text => self.names.number(text) + 1,
            };
        }
        let (user, session) = (profile[USER], profile[SESSION]);
        [profile[USER], profile[SESSION]] = [0; 2];
        let profiles = &mut self.profiles;
        let profile = *self.profile_numbers.entry(profile).or_insert_with(|| {
            profiles.push(profile);
            u32::try_from(profiles.len() - 1).unwrap_or(u32::MAX)
        });
        let row = &mut self.rows[index as usize];
        if whole {
            *row = Observation::new(row.visible_at.min(visible_at));
        }
        (row.user, row.session, row.profile) = (user, session, profile);
        row.apply(patch);
    }

    /// Notes what a trace of the legacy ingestion says.
    pub(super) fn put_trace(&mut self, patch: Patch) {
        let trace = self.traces.entry(patch.id.as_str().into()).or_default();
        for (own, text) in trace.iter_mut().zip(&patch.texts).filter(|(_, text)| !text.is_empty()) {
            *own = self.names.number(text) + 1;
        }
    }

    /// Puts the rows in order: the newest first, and the same order for the same times.
    pub(super) fn put_in_order(&mut self) {
        if !std::mem::replace(&mut self.is_ordered, true) {
            let rows = &self.rows;
            self.order.sort_by(|a, b| {
                let (a, b) = (&rows[*a as usize], &rows[*b as usize]);
                let by_ids = || (a.trace_id(), a.id()).cmp(&(b.trace_id(), b.id()));
                b.start_ns.cmp(&a.start_ns).then_with(by_ids)
            });
        }
    }
}

/// Whether an observation takes this text over from its trace.
const fn of_trace(field: usize) -> bool {
    matches!(field, ENVIRONMENT | SESSION | USER | TRACE_NAME | VERSION | RELEASE | TAGS)
}

/// Nanoseconds since 1970 of a time such as `2026-01-31T00:00:00.5Z`.
pub(super) fn nanoseconds(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<Timestamp>().ok()?.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_observation_is_small() {
        assert_eq!(size_of::<super::Observation>(), 88);
    }
}
